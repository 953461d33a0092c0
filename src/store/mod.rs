//! The store: everything that must survive a crash, in one SQL database.

mod append;
mod catalog;
mod error;
mod execution;
mod inbox;
mod outbox;
mod settle;
mod skeleton;

pub use append::Append;
pub use catalog::{ApplicationSummary, CommitFindings, Publication, Published, RepositoryNote, RepositoryState};
pub use error::StoreError;
pub use execution::{Created, ExecutionFilter, ExecutionSummary, JournalRow, LiveExecution, Page, StoredExecution};
pub use inbox::{Accepted, InboxEntry, InboxId, RefChange, RefHead, Seen, Source};
pub use outbox::{OutboxEntry, OutboxId};
pub use settle::{Settled, Settlement};

use std::sync::Arc;

/// Which database, and how.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// `sqlite:PATH`. The path is taken as it stands; a database in memory is refused.
    pub url: String,
    /// Whether a commit waits for the disk (`synchronous=FULL`). Without it, a power cut can lose the last
    /// commits; a crash of the process never does.
    pub durable: bool,
    /// Names this process among those that may share the database.
    pub owner: String,
}

/// A handle of the store; cheap to clone.
#[derive(Debug, Clone)]
pub struct Store(Arc<()>);
