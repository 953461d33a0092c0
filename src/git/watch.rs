//! Noticing that the refs of a repository on this machine moved.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::Stream;
use notify::{Event, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::GitError;

/// One push or commit touches several files: a hint is given once nothing happened for this long ...
const QUIET: Duration = Duration::from_millis(15);
/// ... or this long after the first event.
const LONGEST: Duration = Duration::from_millis(200);

/// Hints that refs of the repository at `path` (a work tree or a bare repository) may have moved. The stream
/// ends when the repository is gone. Hints can come without need, and, on network file systems, not come at
/// all: whoever watches also looks from time to time.
///
/// # Errors
/// If there is no repository at `path`, or the system watches no more files.
pub fn watch_local(path: &Path) -> Result<impl Stream<Item = ()> + Send + Unpin + use<>, GitError> {
    let places = GitDirs::of(path)?;
    // One waiting hint stands for all: what counts is that a look follows the last event.
    let (sender, receiver) = mpsc::channel(1);
    let interesting = places.clone();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        // After an error (an overflow, say) nobody knows what was missed.
        if event.map_or(true, |event| interesting.concern(&event)) {
            let _one_waits_already = sender.try_send(());
        }
    })
    .map_err(|error| refused(path, error))?;
    for folder in places.flat() {
        watcher.watch(folder, RecursiveMode::NonRecursive).map_err(|error| refused(folder, error))?;
    }
    for folder in places.deep() {
        watcher.watch(&folder, RecursiveMode::Recursive).map_err(|error| refused(&folder, error))?;
    }
    let state = Some(Hints { receiver, places, _watcher: watcher });
    Ok(Box::pin(futures::stream::unfold(state, |state| async {
        let mut hints = state?;
        hints.next().await?;
        let alive = hints.places.exist();
        Some(((), alive.then_some(hints)))
    })))
}

fn refused(path: &Path, error: notify::Error) -> GitError {
    GitError::local("could not watch", path)(std::io::Error::other(error))
}

struct Hints {
    receiver: mpsc::Receiver<()>,
    places: GitDirs,
    _watcher: notify::RecommendedWatcher,
}

impl Hints {
    async fn next(&mut self) -> Option<()> {
        self.receiver.recv().await?;
        let last = Instant::now() + LONGEST;
        while let Ok(Some(())) = timeout_at(last.min(Instant::now() + QUIET), self.receiver.recv()).await {}
        Some(())
    }
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
        if event.kind.is_access() {
            return false;
        }
        event.need_rescan() || event.paths.is_empty() || event.paths.iter().any(|path| self.concerns(path))
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
