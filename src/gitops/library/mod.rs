//! Module repositories: what stands behind the `@` of a module's name, and the files that it leads to.
//!
//! Rendering stays pure: it gets a [`Library`], which holds a snapshot of the refs of each module repository, taken when
//! the render began. What a reference means is decided from that snapshot alone ([`mod@reference`]), so that all files of a
//! commit, and a review and the publication after it given the same snapshot, read the same commits. What was read is
//! handed on as [`Pins`](crate::model::Pins).
//!
//! A module's file is written `platform/deploy.yaml@1a2b3c4` in places and chains of calls: the module repository, the
//! path below its folder of modules, and the commit. [`Library::text`] reads it again by that name.

mod mirror;
mod reference;
mod shelf;

use std::sync::Arc;

pub use mirror::ModuleMirror;
pub use reference::{Refs, Resolved, resolve};
pub use shelf::{Commits, MemoryCommits, Shelf, ShelfState, Stock};

use super::Source;
use crate::diagnostic::Diagnostic;
use crate::model::{CommitSha, Pin};

/// The module repositories of a render. What a reference means stays the same as long as it lives.
pub trait Library: Send + Sync {
    /// The names of the module repositories, sorted.
    fn names(&self) -> Vec<String>;

    /// Where a module repository is fetched from, as the operator wrote it.
    fn address(&self, repository: &str) -> Option<String>;

    /// Opens a module repository at what a reference means; without one, at the default of the configuration.
    ///
    /// # Errors
    /// If there is no such repository, it was never read, or it has nothing of that name.
    fn open(&self, repository: &str, reference: Option<&str>) -> Result<Arc<Pinned>, LibraryError>;

    /// The text of a module, or of a file that modules read, of a repository that was opened before, by the name that places give its file; nothing if it is no such
    /// name.
    fn text(&self, place: &str) -> Option<String>;
}

/// A module repository at a commit.
pub struct Pinned {
    /// What the reference meant.
    pub pin: Pin,
    /// The folder of its modules; empty: the whole repository.
    pub folder: String,
    /// The files of the commit.
    pub source: Arc<dyn Source>,
    /// The commit of a branch that has the same name as the tag that was chosen, if it is another one.
    pub also_branch: Option<CommitSha>,
    /// What there is to say of the reference although something is read by it; without a place.
    pub doubt: Option<Diagnostic>,
}

impl std::fmt::Debug for Pinned {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Pinned").field("pin", &self.pin).field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Pinned {
    /// The path in the repository of a file below the folder of modules.
    pub fn path(&self, below: &str) -> String {
        if self.folder.is_empty() { below.to_owned() } else { format!("{}/{below}", self.folder) }
    }

    /// How places name a file below the folder of modules: `platform/deploy.yaml@1a2b3c4`.
    pub fn place(&self, below: &str) -> String {
        format!("{}/{below}@{}", self.pin.repository, self.pin.commit.short())
    }
}

/// Why a module repository can't be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LibraryError {
    /// There is no module repository of that name.
    #[error("no module repository `{0}` is configured")]
    Unknown(String),
    /// It was never read, or its mirror is damaged.
    #[error("the module repository `{repository}` can't be read: {why}")]
    Unread {
        /// The module repository.
        repository: String,
        /// What happened, in words.
        why: String,
    },
    /// It has nothing of that name.
    #[error("the module repository `{repository}` has {what}")]
    Reference {
        /// The module repository.
        repository: String,
        /// What it doesn't have, as in "no tag, branch or commit `v3`".
        what: String,
        /// What to write instead.
        hint: Option<String>,
    },
}
