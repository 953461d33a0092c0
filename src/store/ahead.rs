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
    use crate::clock::Clock;
    use crate::store::contract::sample::{application, created, pipeline, pipeline_name, publication, run, settlement};
    use crate::store::contract::server::with_database;
    use crate::store::{Published, Settlement, Store, StoreOptions};

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

    /// Puts the document of a revision into the form that a later version gives it.
    async fn rewritten(store: &Store, revision: RevisionId, change: fn(&str) -> String) {
        let write = store.write(move |tx| {
            Box::pin(async move {
                let text: String = sqlx::query_scalar("SELECT document FROM revision WHERE id = $1")
                    .bind(revision.0)
                    .fetch_one(&mut tx.connection)
                    .await?;
                sqlx::query("UPDATE revision SET document = $1 WHERE id = $2")
                    .bind(change(&text))
                    .bind(revision.0)
                    .execute(&mut tx.connection)
                    .await?;
                Ok(())
            })
        });
        write.await.expect("writes");
    }

    async fn started_with_all_that_it_says(store: Store) {
        let publish = vec![publication("shop", "acme/shop", &["deploy", "build"], 1)];
        store.settle(Settlement { publish, ..settlement(None, 1) }).await.expect("settles");
        let find = async || store.pipeline(&application("shop"), &pipeline_name("deploy")).await;
        let deploy = async || find().await.expect("reads").expect("is published");
        let revision = deploy().await.revision;
        rewritten(&store, revision, |text| format!("{{\"needs\":99,\"novel\":{{\"over\":[1]}},{}", &text[1..])).await;
        // As a time table, the end of another, or a person starts it.
        let Published { pipeline, revision, .. } = deploy().await;
        let key = created(&store, NewExecution { pipeline, revision: Some(revision), ..run() }).await;
        let stored = store.execution_by_key(key).await.expect("reads").expect("exists");
        assert_eq!(stored.needs, 99, "this version leaves it alone");
        let document: String = sqlx::query_scalar("SELECT document FROM execution_info WHERE id = $1")
            .bind(key.0)
            .fetch_one(store.reads())
            .await
            .expect("reads");
        assert!(document.contains(r#""novel":{"over":[1]}"#), "{document}");
        // One that can't be read here at all doesn't hide the others.
        rewritten(&store, revision, |_| r#"{"needs":100,"pipelines":"no longer stages"}"#.to_owned()).await;
        let left = store.pipelines(None).await.expect("reads");
        assert_eq!(left.iter().map(|one| one.pipeline.name.as_str()).collect::<Vec<_>>(), ["build"]);
        let error = find().await.expect_err("can't be read");
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    }

    #[tokio::test]
    async fn what_a_later_version_published_is_started_with_all_that_it_says() {
        started_with_all_that_it_says(Store::temporary(Clock::system()).await.expect("opens")).await;
        with_database(|url| async move {
            let options = StoreOptions { durable: false, ..StoreOptions::new(url, "test") };
            started_with_all_that_it_says(Store::open(options, Clock::system()).await.expect("opens")).await;
        })
        .await;
    }
}
