//! Noticing that files below a folder changed.

use std::path::{Path, PathBuf};

use futures::Stream;
use notify::RecursiveMode;

use super::{Hints, refused};
use crate::git::GitError;

/// Hints that something changed in the folder `name` below `root` or in a folder below that. It may come, go and be
/// replaced while it is watched. The stream ends when `root` is gone.
///
/// # Errors
/// If there is no folder `root`, or the system watches no more files.
pub fn watch_folder(root: &Path, name: &str) -> Result<impl Stream<Item = ()> + Send + Unpin + use<>, GitError> {
    let root = std::fs::canonicalize(root).map_err(GitError::local("could not resolve", root))?;
    let folder = root.join(name);
    let inside = (root.clone(), folder.clone());
    let mut hints = Hints::of(move |event| {
        let (root, folder) = &inside;
        event.paths.iter().any(|path| path == root || path.starts_with(folder))
    })
    .map_err(|error| refused(&root, error))?;
    // The root, because a watch on the folder itself ends with the folder.
    hints.watch(&root, RecursiveMode::NonRecursive).map_err(|error| refused(&root, error))?;
    // What removes the root is told by the folder around it: of itself, the root says nothing while it is some process's
    // current folder. Where that folder can't be watched, the end is noticed at the next change.
    if let Some(around) = root.parent() {
        let _not_allowed = hints.watch(around, RecursiveMode::NonRecursive);
    }
    let mut watched = Watched { hints, root, folder };
    watched.watch_again();
    Ok(Box::pin(futures::stream::unfold(Some(watched), |state| async {
        let mut watched = state?;
        watched.hints.next().await?;
        // Before the look that follows, so that files in a folder that has just come are not missed.
        watched.watch_again();
        watched.root.is_dir().then_some(((), Some(watched)))
    })))
}

struct Watched {
    hints: Hints,
    root: PathBuf,
    folder: PathBuf,
}

impl Watched {
    fn watch_again(&mut self) {
        if self.folder.is_dir() {
            // If it goes while it is being listed, an event of the root says so.
            let _gone_meanwhile = self.hints.watch(&self.folder, RecursiveMode::Recursive);
        }
    }
}
