//! A commit of a mirror as a source of files.

use super::{Source, SourceError, SourceFile};
use crate::git::{GitError, Snapshot};

/// The largest file that a commit hands out; a template may see other files than its own.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

impl Source for Snapshot {
    fn list(&self, dir: &str) -> Result<Vec<SourceFile>, SourceError> {
        let entries = Self::list(self, dir).map_err(|error| refused(dir, error))?;
        // Links and submodules are listed, so that reading them says why they don't count.
        Ok(entries.into_iter().map(|entry| SourceFile { path: entry.path, size: entry.size }).collect())
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, SourceError> {
        Self::read(self, path, MAX_BYTES).map_err(|error| refused(path, error))
    }
}

fn refused(path: &str, error: GitError) -> SourceError {
    match error {
        GitError::BadPath(path) => SourceError::BadPath(path),
        GitError::SymbolicLink(path) => SourceError::SymbolicLink(path),
        GitError::TooLarge { path, size, max } => SourceError::TooLarge { path, size, max },
        GitError::TooMany { max, .. } => SourceError::TooMany { dir: path.to_owned(), max },
        other => SourceError::Unreadable { path: path.to_owned(), message: other.to_string() },
    }
}
