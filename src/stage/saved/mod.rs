//! Files that a script saves for the stages after it (FORMAT section 4).
//!
//! ```text
//! files/<execution>/<stage>/files/...       what the stage saved, by its path in the checkout
//! files/<execution>/<stage>/manifest.json   which attempt saved it, and how much
//! ```
//!
//! They are saved when a script has succeeded and before its stage has: a stage that succeeded has saved. They are kept
//! for a while after the execution has ended (`limits.savedFor`), so that a restart finds them, and as long as an
//! execution that its `pipeline` stage started runs.
//!
//! Symbolic links are neither saved nor followed, on the way out and on the way in: each folder is opened below the one
//! before it (see `folder`), so that nothing outside of the checkout is read, and nothing outside is written, whatever
//! a script or a commit puts in the way.

mod folder;
mod globs;
mod restore;
mod save;
mod sweep;

use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::files::file_name;
use super::shared::{Leaving, Shelf};
use crate::model::{ExecutionId, NewExecution, StageId, StagePath};
pub(super) use globs::Globs;
pub(super) use restore::restore;
pub(super) use save::{Manifest, SaveError, manifest, put_in_place, save};
pub use sweep::{remove_saved, saved_executions};

/// The prefix of the name by which a stage takes files that the parent of its execution handed down.
const FROM_PARENT: &str = "parent/";

/// How much stages may save, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedLimits {
    /// The most bytes of one stage.
    pub bytes: u64,
    /// The most files of one stage.
    pub files: usize,
    /// How long they are kept after the end of their execution.
    pub keep: Duration,
}

impl Default for SavedLimits {
    /// 256 MiB in 10000 files, for a day.
    fn default() -> Self {
        Self { bytes: 256 * 1024 * 1024, files: 10_000, keep: Duration::from_secs(24 * 3600) }
    }
}

/// Passing files between stages.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct PassFiles {
    /// What is saved when the script has succeeded: globs of paths from the root of the checkout (`dist/**`,
    /// `report.xml`); a folder that matches is saved whole. Each has to match something. Symbolic links are not saved.
    #[serde(default)]
    pub(super) save: Vec<String>,
    /// The stages whose files are put into the checkout before the script starts, each at its path; of two files with
    /// one path, that of the later stage counts. `parent/<stage>` takes what the pipeline that started this one handed
    /// down.
    #[serde(default)]
    pub(super) from: Vec<String>,
}

/// Handing files down to another pipeline.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct TakeFiles {
    /// The stages that saved them.
    #[schemars(with = "Vec<String>")]
    pub(super) from: Vec<StageId>,
}

/// The folder of everything that an execution saved.
pub(super) fn execution_dir(state_dir: &Path, execution: ExecutionId) -> PathBuf {
    state_dir.join("files").join(execution.to_string())
}

/// The folder of what a stage saved.
pub(super) fn stage_dir(state_dir: &Path, execution: ExecutionId, stage: &StagePath) -> PathBuf {
    execution_dir(state_dir, execution).join(file_name(stage))
}

/// Where the store that replicas share has what a stage saved.
pub(super) fn shelf(execution: ExecutionId, stage: &StagePath) -> Shelf {
    Shelf { of: Leaving::Files, execution, name: file_name(stage) }
}

/// Whose files an execution's stage takes under the name `from`: a stage of its own execution, or of another.
///
/// # Errors
/// If there can't be such files, in words.
pub(super) fn source(info: &NewExecution, from: &str) -> Result<(ExecutionId, StagePath), String> {
    let path = |stage: &str| StagePath::parse(stage).map_err(|error| format!("`files.from`: {error}"));
    let Some(stage) = from.strip_prefix(FROM_PARENT) else {
        return Ok((info.id, path(from)?));
    };
    let Some(parent) = &info.trigger.parent else {
        return Err(format!("`files.from` names `{from}`, but no other pipeline started this one"));
    };
    if !super::pipeline::handed_down(parent, stage) {
        return Err(format!(
            "`files.from` names `{from}`, but the stage `{}` of {}/{} hands down no files of a stage `{stage}`: name it \
             in its `files: {{from: [...]}}`",
            parent.stage, parent.application, parent.pipeline
        ));
    }
    Ok((parent.execution, path(stage)?))
}

#[cfg(test)]
mod tests;
