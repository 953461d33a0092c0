//! Work trees of people: what they are called, and their files as a commit, committed or not.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::model::CommitSha;
use crate::process;

/// How long one git command on a local work tree may take; hashing a large tree for the first time is slow.
const DEADLINE: Duration = Duration::from_secs(120);

/// What a work tree says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkTreeFacts {
    /// The address of the remote `origin`.
    pub origin: Option<String>,
    /// The branch that is checked out.
    pub branch: Option<String>,
}

/// A git command on a work tree failed.
#[derive(Debug, thiserror::Error)]
pub enum WorkTreeError {
    /// The git program couldn't be run, or ran into its deadline.
    #[error("can't run git in {folder}: {source}")]
    Process {
        /// Where.
        folder: PathBuf,
        /// What happened.
        source: process::ProcessError,
    },
    /// Git said no.
    #[error("git {action} failed in {folder}: {message}")]
    Git {
        /// The subcommand.
        action: String,
        /// Where.
        folder: PathBuf,
        /// Its words.
        message: String,
    },
    /// A file of the snapshot's own could not be written.
    #[error("can't write {path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// What happened.
        source: std::io::Error,
    },
}

/// The facts of the work tree whose root is `root`; none if Git doesn't know it.
pub fn work_tree(root: &Path) -> Option<WorkTreeFacts> {
    let repository = git2::Repository::open(root).ok()?;
    let origin = repository.find_remote("origin").ok().and_then(|remote| remote.url().ok().map(str::to_owned));
    // An unborn branch (no commit yet) has a name too, but no `head()`.
    let head = repository.find_reference("HEAD").ok();
    let target = head.as_ref().and_then(|head| head.symbolic_target().ok().flatten().map(str::to_owned));
    let branch = target.and_then(|target| target.strip_prefix("refs/heads/").map(str::to_owned));
    Some(WorkTreeFacts { origin, branch })
}

/// Makes `folder` a repository with one commit of all its files, on `main`.
///
/// A person without a Git identity gets one for this repository alone, so that their next commit works.
///
/// # Errors
/// If git can't be run, or refuses.
pub async fn first_commit(folder: &Path, message: &str) -> Result<CommitSha, WorkTreeError> {
    git(folder, &[], &["init", "--quiet", "--initial-branch=main"]).await?;
    if git(folder, &[], &["config", "user.email"]).await.is_err() {
        git(folder, &[], &["config", "user.name", "Longboat demo"]).await?;
        git(folder, &[], &["config", "user.email", "demo@localhost"]).await?;
    }
    git(folder, &[], &["add", "--all"]).await?;
    git(folder, &[], &["-c", "commit.gpgSign=false", "commit", "--quiet", "--no-verify", "--message", message]).await?;
    commit_id(folder, "rev-parse", git(folder, &[], &["rev-parse", "HEAD"]).await?)
}

/// Takes the tracked and unignored files of `root`, as they are, into a commit of the bare repository `bare`,
/// which is made. Nothing is written into `root` or its repository.
///
/// # Errors
/// If git can't be run, or refuses; if the bare repository can't be written.
pub async fn snapshot(root: &Path, bare: &Path) -> Result<CommitSha, WorkTreeError> {
    git(root, &[], &["init", "--quiet", "--bare", "--initial-branch=main", &bare.to_string_lossy()]).await?;
    let own = git2::Repository::open(root).ok().map(|repository| repository.path().to_owned());
    let index = bare.join("snapshot-index");
    let objects = bare.join("objects");
    let mut env: Vec<(&str, OsString)> = vec![
        ("GIT_INDEX_FILE", index.clone().into()),
        ("GIT_OBJECT_DIRECTORY", objects.clone().into()),
        ("GIT_WORK_TREE", root.into()),
    ];
    match own {
        // The repository's own index knows which files have not changed, and its objects need no copy.
        Some(own) => {
            let common = common_dir(&own);
            let alternates = objects.join("info/alternates");
            std::fs::write(&alternates, format!("{}\n", common.join("objects").display()))
                .map_err(|source| WorkTreeError::Io { path: alternates, source })?;
            if own.join("index").is_file() {
                std::fs::copy(own.join("index"), &index).map_err(|source| WorkTreeError::Io { path: index, source })?;
            }
            env.push(("GIT_DIR", own.into()));
        }
        None => env.push(("GIT_DIR", bare.into())),
    }
    let quiet = ["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "advice.addEmbeddedRepo=false"];
    git(root, &env, &[&quiet[..], &["add", "--all", "."]].concat()).await?;
    let tree = git(root, &env, &["write-tree"]).await?;
    let author = ["-c", "user.name=Longboat", "-c", "user.email=longboat@localhost"];
    let message = "The work tree as it is";
    let commit = git(root, &env, &[&author[..], &["commit-tree", "-m", message, tree.trim()]].concat()).await?;
    let commit = commit_id(root, "commit-tree", commit)?;
    git(bare, &[], &["update-ref", "refs/heads/main", commit.as_str()]).await?;
    Ok(commit)
}

/// Where the objects are: a linked work tree's own folder points to the main one.
fn common_dir(own: &Path) -> PathBuf {
    match std::fs::read_to_string(own.join("commondir")) {
        Ok(text) => own.join(text.trim()),
        Err(_) => own.to_owned(),
    }
}

fn commit_id(folder: &Path, action: &str, text: String) -> Result<CommitSha, WorkTreeError> {
    CommitSha::parse(text.trim()).map_err(|error| WorkTreeError::Git {
        action: action.to_owned(),
        folder: folder.to_owned(),
        message: error.to_string(),
    })
}

async fn git(folder: &Path, env: &[(&str, OsString)], args: &[&str]) -> Result<String, WorkTreeError> {
    let mut command = process::Command::new("git").args(args.iter().copied());
    command.dir = Some(folder.to_owned());
    command.deadline = DEADLINE;
    // The person's own settings count here: it is their work tree (ignored files, line endings, identity).
    for name in ["PATH", "HOME", "XDG_CONFIG_HOME", "LANG", "USER"] {
        if let Some(value) = std::env::var_os(name) {
            command = command.env(name, value);
        }
    }
    for (name, value) in env {
        command = command.env(name, value);
    }
    let output =
        process::run(command).await.map_err(|source| WorkTreeError::Process { folder: folder.to_owned(), source })?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(WorkTreeError::Git {
            action: args.iter().find(|arg| !arg.starts_with('-') && !arg.contains('=')).unwrap_or(&"").to_string(),
            folder: folder.to_owned(),
            message: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_snapshot_has_what_is_not_committed_and_leaves_the_repository_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("shop");
        std::fs::create_dir(&root).expect("a folder");
        std::fs::write(root.join("a"), "one").expect("a file");
        std::fs::write(root.join(".gitignore"), "ignored\n").expect("a file");
        let first = first_commit(&root, "First").await.expect("a commit");
        std::fs::write(root.join("a"), "two").expect("a file");
        std::fs::write(root.join("new"), "new").expect("a file");
        std::fs::write(root.join("ignored"), "secret").expect("a file");
        let before = git(&root, &[], &["status", "--porcelain"]).await.expect("a status");

        let bare = folder.path().join("bare");
        let commit = snapshot(&root, &bare).await.expect("a snapshot");
        assert_ne!(commit, first);
        let files = git(&bare, &[], &["ls-tree", "--name-only", commit.as_str()]).await.expect("a tree");
        assert_eq!(files, ".gitignore\na\nnew\n");
        let text = git(&bare, &[], &["show", &format!("{commit}:a")]).await.expect("a blob");
        assert_eq!(text, "two");
        assert_eq!(git(&root, &[], &["status", "--porcelain"]).await.expect("a status"), before);
        assert_eq!(git(&root, &[], &["count-objects"]).await.expect("a count").split(' ').next(), Some("4"));
    }

    #[tokio::test]
    async fn a_folder_without_git_has_a_snapshot_too() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("plain");
        std::fs::create_dir(&root).expect("a folder");
        std::fs::write(root.join("a"), "one").expect("a file");
        let bare = folder.path().join("bare");
        let commit = snapshot(&root, &bare).await.expect("a snapshot");
        let files = git(&bare, &[], &["ls-tree", "--name-only", commit.as_str()]).await.expect("a tree");
        assert_eq!(files, "a\n");
        assert!(!root.join(".git").exists());
        assert_eq!(work_tree(&root), None);
    }

    #[tokio::test]
    async fn the_branch_has_a_name_before_the_first_commit() {
        let folder = tempfile::tempdir().expect("a folder");
        git(folder.path(), &[], &["init", "--quiet", "--initial-branch=trunk"]).await.expect("a repository");
        let facts = work_tree(folder.path()).expect("a repository");
        assert_eq!(facts, WorkTreeFacts { origin: None, branch: Some("trunk".to_owned()) });
    }
}
