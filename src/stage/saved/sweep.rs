//! How saved files go away.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::execution_dir;
use crate::model::ExecutionId;
use crate::stage::files::{blocking, remove};

/// The files that an execution saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedFiles {
    /// The execution.
    pub execution: ExecutionId,
    dir: PathBuf,
}

impl SavedFiles {
    /// Removes them.
    ///
    /// # Errors
    /// If something can't be removed.
    pub async fn remove(self) -> io::Result<()> {
        blocking(move || remove(&self.dir)).await
    }
}

/// The executions of which saved files are kept. Whoever knows when they ended decides about them.
///
/// # Errors
/// If the folder can't be listed.
pub async fn saved_executions(state_dir: &Path) -> io::Result<Vec<SavedFiles>> {
    let state_dir = state_dir.to_owned();
    blocking(move || {
        let entries = match fs::read_dir(state_dir.join("files")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut found = Vec::new();
        for entry in entries {
            // What isn't named like an execution isn't ours.
            let Some(execution) = entry?.file_name().to_str().and_then(|name| name.parse::<ExecutionId>().ok()) else {
                continue;
            };
            found.push(SavedFiles { execution, dir: execution_dir(&state_dir, execution) });
        }
        Ok(found)
    })
    .await
}
