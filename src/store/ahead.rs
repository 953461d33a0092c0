//! Pipelines that a later version published, as they are met here: their documents say what this version doesn't know.
//!
//! Such a pipeline is shown and started by this version as well: what it starts gets the document as it was published,
//! with all that is unknown here, and needs the version that the document does. So this one leaves the execution alone
//! (`execution_info.needs`), and a replica of the later version goes on with it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::StoreError;
use crate::model::{NewExecution, Pipeline, RevisionId};

/// The most revisions that are kept; those that are met again come back.
const MOST: usize = 2_000;

/// How a document begins that needs more than the first version. [`Written`] keeps it so.
const MARK: &str = "{\"needs\":";

/// The document of a revision.
#[derive(Serialize)]
pub(super) struct Written<'a> {
    /// The version that a program has to know to go on with its executions; the first one isn't said.
    #[serde(skip_serializing_if = "is_first")]
    needs: u32,
    #[serde(flatten)]
    pipeline: &'a Pipeline,
}

impl<'a> From<&'a Pipeline> for Written<'a> {
    fn from(pipeline: &'a Pipeline) -> Self {
        Self { needs: pipeline.document_version(), pipeline }
    }
}

// Serde passes a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_first(version: &u32) -> bool {
    *version <= 1
}

/// The version that a revision's document needs, if this program doesn't know it.
pub(super) fn beyond(document: &str) -> Option<u32> {
    #[derive(Deserialize)]
    struct Head {
        needs: u32,
    }
    if !document.starts_with(MARK) {
        return None;
    }
    // A number that is none here is of a later version, too.
    let needs = serde_json::from_str::<Head>(document).map_or(u32::MAX, |head| head.needs);
    (needs > Pipeline::DOCUMENT_VERSION).then_some(needs)
}

/// What the store has met of such revisions.
#[derive(Debug, Default)]
pub(super) struct Ahead(Mutex<HashMap<RevisionId, (u32, String)>>);

impl Ahead {
    /// Notes a revision that needs a later version.
    pub(super) fn note(&self, revision: RevisionId, needs: u32, document: String) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(revision, (needs, document));
    }

    /// What an execution of such a revision needs, and its document with all that the revision says.
    pub(super) fn document(&self, new: &NewExecution) -> Result<Option<(u32, Value)>, StoreError> {
        let Some(revision) = new.revision else { return Ok(None) };
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((needs, document)) = known.get(&revision) else { return Ok(None) };
        let bad = |error: serde_json::Error| StoreError::corrupt(format!("revision {}", revision.0), error);
        let mut whole = serde_json::to_value(new).map_err(bad)?;
        whole["pipeline"] = serde_json::from_str(document).map_err(bad)?;
        Ok(Some((*needs, whole)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract::sample::pipeline;

    #[test]
    fn only_a_document_that_needs_more_than_is_known_is_beyond() {
        let plain = pipeline("shop", "deploy");
        let text = serde_json::to_string(&Written::from(&plain)).expect("a document");
        assert_eq!(text, serde_json::to_string(&plain).expect("a document"), "nothing is said of the first version");
        assert_eq!(beyond(&text), None);
        let known = Pipeline::DOCUMENT_VERSION;
        assert_eq!(beyond(&format!("{{\"needs\":{known},{}", &text[1..])), None);
        assert_eq!(beyond(&format!("{{\"needs\":{},{}", known + 1, &text[1..])), Some(known + 1));
        assert_eq!(beyond("{\"needs\":{\"more\":1}}"), Some(u32::MAX));
    }
}
