//! The engine's hot path: journal rows and what follows from them, many executions in one commit.

use crate::clock::Timestamp;
use crate::model::{CommitStatus, ExecutionKey, Status};

/// What one batch of the engine decided about one execution.
#[derive(Debug, Clone, PartialEq)]
pub struct Append {
    /// The execution.
    pub key: ExecutionKey,
    /// The journal row's number: larger than all before; the first is 1.
    pub seq: i64,
    /// When it was decided.
    pub at: Timestamp,
    /// The journal row's body.
    pub body: String,
    /// How the execution stands after it. A complete status ends it: it is no longer among the live ones.
    pub status: Status,
    /// When it wants to be woken.
    pub due_at: Option<Timestamp>,
    /// When its first stage could start.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// What is to be said on the commit, if that changed.
    pub report: Option<CommitStatus>,
}
