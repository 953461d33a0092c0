//! Where scripts' files lie under the state folder, and how they go away. The layout stands in the room's
//! doc comment.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use sha2::{Digest, Sha256};

use super::script::{end_all, remove_checkouts};
use crate::model::{ExecutionId, StagePath, percent_encode};

/// The longest file name made from a stage's path. File systems take 255 bytes; an attempt's number and an
/// extension are added.
const MAX_NAME: usize = 180;

/// The folder of everything that an execution needs only while it runs.
pub(super) fn work_dir(state_dir: &Path, execution: ExecutionId) -> PathBuf {
    state_dir.join("work").join(execution.to_string())
}

/// The folder of one attempt.
pub(super) fn attempt_dir(state_dir: &Path, execution: ExecutionId, path: &StagePath, attempt: u32) -> PathBuf {
    work_dir(state_dir, execution).join(log_name(path, attempt))
}

/// The log of one attempt.
pub(super) fn log_file(state_dir: &Path, execution: ExecutionId, path: &StagePath, attempt: u32) -> PathBuf {
    logs_dir(state_dir).join(execution.to_string()).join(format!("{}.log", log_name(path, attempt)))
}

/// The name of an attempt among those of its execution.
pub(super) fn log_name(path: &StagePath, attempt: u32) -> String {
    format!("{}.{attempt}", file_name(path))
}

/// The folder of all logs, one folder in it for each execution.
pub(super) fn logs_dir(state_dir: &Path) -> PathBuf {
    state_dir.join("logs")
}

/// A stage's path as one file name that can neither climb nor hide: everything but letters, digits, `_` and `-`
/// is percent-encoded. A name that would be too long ends in a hash instead, after a `~`, which no other name has.
pub(super) fn file_name(path: &StagePath) -> String {
    let mut name = percent_encode(path.as_str(), "_-");
    if name.len() > MAX_NAME {
        let hash = hex::encode(Sha256::digest(path.as_str()));
        name.truncate(MAX_NAME - 33);
        let _ = write!(name, "~{}", &hash[..32]);
    }
    name
}

/// Who works with the folder of which execution: a checkout is made once, and not while the folder is being removed.
/// Cheap to clone; clones are one.
#[derive(Debug, Clone, Default)]
pub struct FolderLocks(Arc<Mutex<HashMap<ExecutionId, Weak<tokio::sync::Mutex<()>>>>>);

impl FolderLocks {
    /// The lock of an execution's folder.
    pub(super) fn of(&self, execution: ExecutionId) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = locks.get(&execution).and_then(Weak::upgrade) {
            return lock;
        }
        locks.retain(|_, lock| lock.strong_count() > 0);
        let lock = Arc::default();
        locks.insert(execution, Arc::downgrade(&lock));
        lock
    }
}

/// Ends what still runs of an execution that is complete (on another replica, say), and removes its workspaces and its
/// supervisors' files; its logs stay, and what it saved for later stages. Whoever hears that executions change calls it
/// when one has become complete. `is_over` is asked when nobody can begin to use the folder any more: an execution that
/// was restarted meanwhile keeps it.
///
/// # Errors
/// If something can't be ended or removed.
pub async fn forget(
    state_dir: &Path,
    execution: ExecutionId,
    locks: &FolderLocks,
    is_over: impl Future<Output = bool>,
) -> io::Result<()> {
    let lock = locks.of(execution);
    let _alone = lock.lock().await;
    if !is_over.await {
        return Ok(());
    }
    let dir = work_dir(state_dir, execution);
    end_all(&dir, execution, false).await?;
    blocking(move || remove(&dir)).await
}

/// Lets go of an execution that goes on at another replica: ends what runs of it here, and removes its checkouts. What
/// says that its attempts are spent stays until [`forget`], should it come back.
///
/// # Errors
/// If something can't be ended or removed.
pub async fn let_go(state_dir: &Path, execution: ExecutionId, locks: &FolderLocks) -> io::Result<()> {
    let dir = work_dir(state_dir, execution);
    end_all(&dir, execution, true).await?;
    let lock = locks.of(execution);
    let _alone = lock.lock().await;
    blocking(move || remove_checkouts(&dir)).await
}

/// The executions that have workspaces or supervisors' files here.
///
/// # Errors
/// If the folder can't be listed.
pub async fn working_executions(state_dir: &Path) -> io::Result<Vec<ExecutionId>> {
    let root = state_dir.join("work");
    blocking(move || Ok(executions_in(&root)?.into_iter().map(|(id, _)| id).collect())).await
}

/// The folders of executions that lie in a folder; what isn't named like an execution isn't ours.
pub(super) fn executions_in(root: &Path) -> io::Result<Vec<(ExecutionId, PathBuf)>> {
    let entries = match fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<ExecutionId>().ok()) {
            found.push((id, entry.path()));
        }
    }
    Ok(found)
}

/// Removes a folder with everything in it, also folders that scripts made read-only (Go's module cache).
pub(super) fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            make_writable(dir)?;
            fs::remove_dir_all(dir)
        }
        result => result,
    }
}

fn make_writable(dir: &Path) -> io::Result<()> {
    fs::set_permissions(dir, Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            make_writable(&entry.path())?;
        }
    }
    Ok(())
}

/// Runs work with files beside the async tasks.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(io::Error::other(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(path: &str) -> String {
        file_name(&StagePath::parse(path).expect("a path"))
    }

    #[test]
    fn a_stage_path_is_one_harmless_file_name() {
        assert_eq!(name("deploy"), "deploy");
        assert_eq!(name("deploy/before/window"), "deploy%2Fbefore%2Fwindow");
        assert_eq!(name("test[eu.1]"), "test%5Beu%2E1%5D");
        assert_eq!(name("a~b%"), "a%7Eb%25");
    }

    #[test]
    fn long_paths_stay_apart() {
        let (one, other) = (name(&format!("{}1", "/x".repeat(190)[1..].to_owned())), name(&"x/".repeat(190)[..379]));
        assert!(one.len() == MAX_NAME && other.len() == MAX_NAME && one != other, "{one} {other}");
        assert!(one.contains('~') && !one.contains('/'));
    }

    #[tokio::test]
    async fn only_complete_executions_are_forgotten() {
        let state = tempfile::tempdir().expect("a folder");
        assert_eq!(working_executions(state.path()).await.expect("there is no folder"), []);
        let id = ExecutionId::generate();
        fs::create_dir_all(work_dir(state.path(), id).join("shared/deep")).expect("made");
        fs::create_dir(state.path().join("work/notes")).expect("made");
        fs::set_permissions(work_dir(state.path(), id).join("shared"), Permissions::from_mode(0o500)).expect("set");
        assert_eq!(working_executions(state.path()).await.expect("listed"), [id]);
        let locks = FolderLocks::default();
        forget(state.path(), id, &locks, async { false }).await.expect("asked");
        assert!(work_dir(state.path(), id).exists(), "it was restarted meanwhile");
        forget(state.path(), id, &locks, async { true }).await.expect("forgotten");
        forget(state.path(), id, &locks, async { true }).await.expect("forgetting twice is fine");
        assert!(!work_dir(state.path(), id).exists() && state.path().join("work/notes").exists());
    }
}
