//! Noticing that something changed on this machine: the refs of a repository, or files below a folder.
//!
//! What both give are hints. They can come without need, and, on network file systems, not come at all: whoever
//! watches looks at what is there, and doesn't ask what happened.

mod files;
mod refs;

use std::time::Duration;

use notify::{Event, Watcher};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

pub use files::watch_folder;
pub use refs::watch_local;

/// One push, commit or save touches several files: a hint is given once nothing happened for this long ...
const QUIET: Duration = Duration::from_millis(15);
/// ... or this long after the first event.
const LONGEST: Duration = Duration::from_millis(200);

/// A watcher, and the hints that it gave.
struct Hints {
    receiver: mpsc::Receiver<()>,
    watcher: notify::RecommendedWatcher,
}

impl Hints {
    /// Events that are not `interesting` give no hint. Nothing is watched yet.
    fn of(interesting: impl Fn(&Event) -> bool + Send + 'static) -> notify::Result<Self> {
        // One waiting hint stands for all: what counts is that a look follows the last event.
        let (sender, receiver) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // After an error (an overflow, say) nobody knows what was missed. Reading is no change.
            let counts = event.map_or(true, |event| {
                !event.kind.is_access() && (event.need_rescan() || event.paths.is_empty() || interesting(&event))
            });
            if counts {
                let _one_waits_already = sender.try_send(());
            }
        })?;
        Ok(Self { receiver, watcher })
    }

    fn watch(&mut self, folder: &std::path::Path, mode: notify::RecursiveMode) -> notify::Result<()> {
        self.watcher.watch(folder, mode)
    }

    /// Waits until something happened and it is quiet again.
    async fn next(&mut self) -> Option<()> {
        self.receiver.recv().await?;
        let last = Instant::now() + LONGEST;
        while let Ok(Some(())) = timeout_at(last.min(Instant::now() + QUIET), self.receiver.recv()).await {}
        Some(())
    }
}

fn refused(path: &std::path::Path, error: notify::Error) -> super::GitError {
    super::GitError::local("could not watch", path)(std::io::Error::other(error))
}
