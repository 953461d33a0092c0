//! How saved files go away.

use std::io;
use std::path::Path;

use super::execution_dir;
use crate::model::ExecutionId;
use crate::stage::files::{blocking, executions_in, remove};
use crate::stage::shared::{Leaving, SharedStore, all_executions};

/// Removes the files that an execution saved, from this node and the store.
///
/// # Errors
/// If something can't be removed.
pub async fn remove_saved(state_dir: &Path, store: Option<&dyn SharedStore>, execution: ExecutionId) -> io::Result<()> {
    let dir = execution_dir(state_dir, execution);
    blocking(move || remove(&dir)).await?;
    match store {
        Some(store) => store.remove(Leaving::Files, execution).await,
        None => Ok(()),
    }
}

/// The executions of which saved files are kept, on this node or in the store. Whoever knows when they ended decides
/// about them.
///
/// # Errors
/// If the folder can't be listed, or the store fails.
pub async fn saved_executions(state_dir: &Path, store: Option<&dyn SharedStore>) -> io::Result<Vec<ExecutionId>> {
    let root = state_dir.join("files");
    let mut all = blocking(move || Ok(executions_in(&root)?.into_iter().map(|(id, _)| id).collect())).await?;
    if let Some(store) = store {
        all_executions(store, Leaving::Files, &mut all).await?;
    }
    Ok(all)
}
