//! How saved files go away.

use std::io;
use std::path::{Path, PathBuf};

use crate::model::ExecutionId;
use crate::stage::files::{blocking, executions_in, remove};

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
        let found = executions_in(&state_dir.join("files"))?;
        Ok(found.into_iter().map(|(execution, dir)| SavedFiles { execution, dir }).collect())
    })
    .await
}
