//! Noticing that the refs of a repository on this machine moved.

use std::fs;
use std::path::{Path, PathBuf};

use futures::Stream;
use notify::{Event, RecursiveMode};

use super::{Hints, refused};
use crate::git::GitError;

/// Hints that refs of the repository at `path` (a work tree or a bare repository) may have moved. The stream
/// ends when the repository is gone.
///
/// # Errors
/// If there is no repository at `path`, or the system watches no more files.
pub fn watch_local(path: &Path) -> Result<impl Stream<Item = ()> + Send + Unpin + use<>, GitError> {
    let places = GitDirs::of(path)?;
    let interesting = places.clone();
    let mut hints = Hints::of(move |event| interesting.concern(event)).map_err(|error| refused(path, error))?;
    for folder in places.flat() {
        hints.watch(folder, RecursiveMode::NonRecursive).map_err(|error| refused(folder, error))?;
    }
    for folder in places.deep() {
        hints.watch(&folder, RecursiveMode::Recursive).map_err(|error| refused(&folder, error))?;
    }
    Ok(Box::pin(futures::stream::unfold(Some((hints, places)), |state| async {
        let (mut hints, places) = state?;
        hints.next().await?;
        let alive = places.exist();
        Some(((), alive.then_some((hints, places))))
    })))
}

/// Where a repository keeps its HEAD and its refs.
#[derive(Debug, Clone)]
struct GitDirs {
    /// Holds HEAD.
    own: PathBuf,
    /// Holds refs; another folder than `own` in a linked work tree.
    common: PathBuf,
}

impl GitDirs {
    fn of(path: &Path) -> Result<Self, GitError> {
        let none =
            |detail: &str| GitError::NotARepository { remote: path.display().to_string(), detail: detail.to_owned() };
        let dot_git = path.join(".git");
        let own = if dot_git.is_file() {
            let text = fs::read_to_string(&dot_git).map_err(GitError::local("could not read", &dot_git))?;
            let target = text.strip_prefix("gitdir:").ok_or_else(|| none("its .git file names no folder"))?;
            path.join(target.trim())
        } else if dot_git.is_dir() {
            dot_git
        } else {
            path.to_owned()
        };
        if !own.join("HEAD").is_file() {
            return Err(none("there is no HEAD in it"));
        }
        let common =
            fs::read_to_string(own.join("commondir")).map_or_else(|_| own.clone(), |text| own.join(text.trim()));
        Ok(Self { own: resolved(&own)?, common: resolved(&common)? })
    }

    fn exist(&self) -> bool {
        self.own.join("HEAD").is_file() && self.common.is_dir()
    }

    fn flat(&self) -> Vec<&Path> {
        let mut folders = vec![self.own.as_path()];
        if self.common != self.own {
            folders.push(&self.common);
        }
        folders
    }

    fn deep(&self) -> Vec<PathBuf> {
        ["refs", "reftable"].iter().map(|name| self.common.join(name)).filter(|folder| folder.is_dir()).collect()
    }

    /// Whether an event is about refs. Git writes `x.lock` and renames it to `x`, so that events about locks
    /// alone say nothing.
    fn concern(&self, event: &Event) -> bool {
        event.paths.iter().any(|path| self.concerns(path))
    }

    fn concerns(&self, path: &Path) -> bool {
        if path.extension().is_some_and(|kind| kind == "lock") {
            return false;
        }
        let inside = |folder: &str| path.starts_with(self.common.join(folder));
        path == self.own
            || path == self.common
            || path == self.own.join("HEAD")
            || path == self.common.join("packed-refs")
            || inside("refs")
            || inside("reftable")
    }
}

/// Events carry resolved paths.
fn resolved(path: &Path) -> Result<PathBuf, GitError> {
    fs::canonicalize(path).map_err(GitError::local("could not resolve", path))
}
