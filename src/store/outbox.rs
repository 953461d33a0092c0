//! The outbox: commit statuses that wait to be sent, in order per commit and context.

use crate::model::{CommitStatus, ExecutionKey};

/// The key of an outbox row; rows of one `order_key` are sent in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutboxId(pub i64);

/// A commit status that waits to be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct OutboxEntry {
    /// Its key.
    pub id: OutboxId,
    /// Repository, commit and context: [`crate::model::ReportTarget::order_key`].
    pub order_key: String,
    /// The execution that it speaks of; `None`: it speaks of the commit's files.
    pub execution: Option<ExecutionKey>,
    /// What to send.
    pub status: CommitStatus,
    /// How often it was tried without success.
    pub attempts: u32,
    /// It is outdated: the same execution said something newer, or a newer execution owns the context.
    pub newer: bool,
}
