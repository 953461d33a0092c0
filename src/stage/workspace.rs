//! The folders that scripts run in: a checkout of the execution's commit, shared by its stages or of their own.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use super::files::{FolderLocks, blocking, work_dir};
use crate::model::{CommitSha, ExecutionId, NewExecution, RepositoryName};

/// Fills a folder with the files of a commit.
#[async_trait]
pub trait Checkouts: Send + Sync + 'static {
    /// Writes the commit's files into `dir`, which is there and empty. If the future is dropped, or the answer is an
    /// error, the folder is given up and removed.
    ///
    /// # Errors
    /// What went wrong, in words that people read.
    async fn checkout(&self, repository: &RepositoryName, commit: &CommitSha, dir: &Path) -> Result<(), String>;
}

/// The workspaces of executions.
pub(super) struct Workspaces {
    state_dir: PathBuf,
    checkouts: Arc<dyn Checkouts>,
    /// Held while a checkout of an execution is made.
    locks: FolderLocks,
}

impl Workspaces {
    pub(super) fn new(state_dir: PathBuf, checkouts: Arc<dyn Checkouts>, locks: FolderLocks) -> Self {
        Self { state_dir, checkouts, locks }
    }

    /// The one checkout that the stages of an execution share; the first who asks makes it, others wait.
    pub(super) async fn shared(&self, execution: &NewExecution) -> Result<PathBuf, String> {
        let dir = self.shared_dir(execution.id);
        let lock = self.locks.of(execution.id);
        let _making = lock.lock().await;
        self.make(execution, &dir).await?;
        Ok(dir)
    }

    /// A checkout for one attempt alone.
    pub(super) async fn fresh(&self, execution: &NewExecution, attempt_dir: &Path) -> Result<PathBuf, String> {
        let dir = Self::fresh_dir(attempt_dir);
        let lock = self.locks.of(execution.id);
        let _making = lock.lock().await;
        self.make(execution, &dir).await?;
        Ok(dir)
    }

    /// Where the shared checkout is.
    pub(super) fn shared_dir(&self, execution: ExecutionId) -> PathBuf {
        work_dir(&self.state_dir, execution).join("shared")
    }

    /// Where an attempt's own checkout is.
    pub(super) fn fresh_dir(attempt_dir: &Path) -> PathBuf {
        attempt_dir.join("checkout")
    }

    /// Makes the checkout under another name first, so that a half-made one is never run in.
    async fn make(&self, execution: &NewExecution, dir: &Path) -> Result<(), String> {
        let place = |error: io::Error| format!("the workspace {} can't be made: {error}", dir.display());
        let target = dir.to_owned();
        let staging = blocking(move || {
            if target.try_exists()? {
                return Ok(None);
            }
            let parent = target.parent().unwrap_or(&target);
            std::fs::create_dir_all(parent)?;
            tempfile::Builder::new().prefix(".checkout-").tempdir_in(parent).map(Some)
        })
        .await
        .map_err(place)?;
        let Some(staging) = staging else { return Ok(()) };
        // An inner folder, because the outer one is private and the last step renames.
        let inner = staging.path().join("files");
        tokio::fs::create_dir(&inner).await.map_err(place)?;
        if let (Some(repository), Some(commit)) = (&execution.repository, &execution.commit) {
            self.checkouts
                .checkout(repository, commit, &inner)
                .await
                .map_err(|error| format!("commit {} of {repository} can't be checked out: {error}", commit.short()))?;
        }
        let target = dir.to_owned();
        blocking(move || {
            match std::fs::rename(&inner, &target) {
                // Somebody was faster; theirs is as good.
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
                renamed => renamed?,
            }
            staging.close()
        })
        .await
        .map_err(place)
    }
}

/// The folder `dir` of a workspace, for a script to run in. Only folders inside the workspace count, whatever
/// symbolic links the commit holds.
pub(super) fn folder_in(workspace: &Path, dir: Option<&str>) -> Result<PathBuf, String> {
    use std::path::Component;
    let Some(dir) = dir else { return Ok(workspace.to_owned()) };
    let relative = Path::new(dir);
    if !relative.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(format!("`dir` is `{dir}`: it must be a path inside the checkout, without `..`"));
    }
    let missing = |error: io::Error| format!("`dir` is `{dir}`, which the checkout doesn't have: {error}");
    let root = workspace.canonicalize().map_err(missing)?;
    let found = root.join(relative).canonicalize().map_err(missing)?;
    if !found.starts_with(&root) {
        return Err(format!("`dir` is `{dir}`, which leads out of the checkout by a symbolic link"));
    }
    if !found.is_dir() {
        return Err(format!("`dir` is `{dir}`, which is not a folder of the checkout"));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::tests::Stage;
    use super::*;

    /// Counts; fails the first `failures` times, after having written something.
    #[derive(Default)]
    struct Counting {
        calls: AtomicUsize,
        failures: usize,
    }

    #[async_trait]
    impl Checkouts for Counting {
        async fn checkout(&self, _: &RepositoryName, commit: &CommitSha, dir: &Path) -> Result<(), String> {
            let call = self.calls.fetch_add(1, Ordering::SeqCst);
            fs::write(dir.join("commit"), commit.as_str()).map_err(|error| error.to_string())?;
            tokio::task::yield_now().await;
            if call < self.failures { Err("no route".to_owned()) } else { Ok(()) }
        }
    }

    #[tokio::test]
    async fn stages_of_an_execution_share_one_checkout() {
        let state = tempfile::tempdir().expect("a folder");
        let counting = Arc::new(Counting::default());
        let workspaces = Workspaces::new(state.path().to_owned(), counting.clone(), FolderLocks::default());
        let (ctx, _signals) = Stage::of("script", serde_json::json!({})).commit().context();
        let info = &ctx.execution.info;
        let dirs = futures::future::join_all((0..8).map(|_| workspaces.shared(info))).await;
        assert_eq!(counting.calls.load(Ordering::SeqCst), 1);
        let first = dirs[0].as_ref().expect("made");
        assert!(dirs.iter().all(|dir| dir.as_ref() == Ok(first)));
        let fresh = workspaces.fresh(info, &state.path().join("attempt")).await.expect("made");
        assert_eq!(counting.calls.load(Ordering::SeqCst), 2);
        for dir in [first, &fresh] {
            assert_eq!(
                fs::read_to_string(dir.join("commit")).ok().as_deref(),
                info.commit.as_ref().map(|c| c.as_str())
            );
            assert_eq!(fs::read_dir(dir.parent().expect("a parent")).expect("listed").count(), 1, "nothing is left");
        }
    }

    #[tokio::test]
    async fn a_checkout_that_failed_leaves_nothing_to_run_in() {
        let state = tempfile::tempdir().expect("a folder");
        let failing = Arc::new(Counting { failures: 1, ..Counting::default() });
        let workspaces = Workspaces::new(state.path().to_owned(), failing, FolderLocks::default());
        let (ctx, _signals) = Stage::of("script", serde_json::json!({})).commit().context();
        let error = workspaces.shared(&ctx.execution.info).await.expect_err("fails");
        assert!(error.contains("can't be checked out: no route"), "{error}");
        assert_eq!(fs::read_dir(work_dir(state.path(), ctx.execution.info.id)).expect("listed").count(), 0);
        workspaces.shared(&ctx.execution.info).await.expect("the next try works");
    }

    #[tokio::test]
    async fn without_a_commit_the_workspace_is_empty() {
        let state = tempfile::tempdir().expect("a folder");
        let counting = Arc::new(Counting::default());
        let workspaces = Workspaces::new(state.path().to_owned(), counting.clone(), FolderLocks::default());
        let (ctx, _signals) = Stage::of("script", serde_json::json!({})).context();
        let dir = workspaces.shared(&ctx.execution.info).await.expect("made");
        assert_eq!(fs::read_dir(dir).expect("listed").count(), 0);
        assert_eq!(counting.calls.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn a_script_s_folder_lies_in_its_workspace() {
        let outside = tempfile::tempdir().expect("a folder");
        let workspace = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(workspace.path().join("a/b")).expect("made");
        fs::write(workspace.path().join("file"), "").expect("written");
        symlink("a/b", workspace.path().join("inward")).expect("linked");
        symlink(outside.path(), workspace.path().join("outward")).expect("linked");

        let root = workspace.path().canonicalize().expect("is there");
        let folder = |dir| folder_in(workspace.path(), Some(dir));
        assert_eq!(folder("./a/b"), Ok(root.join("a/b")));
        assert_eq!(folder("inward"), Ok(root.join("a/b")));
        for (bad, why) in [
            ("..", "without `..`"),
            ("a/../..", "without `..`"),
            ("/tmp", "inside the checkout"),
            ("outward", "symbolic link"),
            ("file", "not a folder"),
            ("none", "doesn't have"),
        ] {
            let error = folder(bad).expect_err(bad);
            assert!(error.contains(why), "{bad}: {error}");
        }
    }
}
