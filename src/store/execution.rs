//! Executions: their unchanging document, the summary that lists show, and their journal.

use crate::clock::Timestamp;
use crate::model::{
    ApplicationName, Cause, CommitSha, Execution, ExecutionId, ExecutionKey, PipelineName, RepositoryName, Status,
};

/// What became of a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// A new execution.
    New(ExecutionKey),
    /// The correlation id had been used; this is what it started.
    Existing(ExecutionKey, ExecutionId),
}

/// An execution with its document.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredExecution {
    /// The key and the unchanging part.
    pub execution: Execution,
    /// How it stands.
    pub status: Status,
    /// The sequence number of its last journal row; 0: none yet.
    pub seq: i64,
    /// When its first stage could start.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// An execution as lists show it.
#[derive(Debug, Clone, PartialEq)]
pub struct ExecutionSummary {
    /// The store's key.
    pub key: ExecutionKey,
    /// The public id.
    pub id: ExecutionId,
    /// The application.
    pub application: ApplicationName,
    /// The pipeline.
    pub pipeline: PipelineName,
    /// How it stands.
    pub status: Status,
    /// The repository.
    pub repository: Option<RepositoryName>,
    /// The commit.
    pub commit: Option<CommitSha>,
    /// The branch that started it.
    pub branch: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its first stage could start.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Why it runs.
    pub cause: Cause,
}

/// Which executions a list shows; `None` shows all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecutionFilter {
    /// Of this application.
    pub application: Option<ApplicationName>,
    /// Of pipelines with this name.
    pub pipeline: Option<PipelineName>,
    /// With this status.
    pub status: Option<Status>,
    /// Of this commit.
    pub commit: Option<CommitSha>,
    /// Of this repository.
    pub repository: Option<RepositoryName>,
    /// Where the page before ended ([`Page::next_cursor`]).
    pub cursor: Option<String>,
    /// How many at most; 0 means 50, and 500 is the most.
    pub limit: u32,
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// What it holds.
    pub items: Vec<T>,
    /// Where the next part begins; `None`: this was the last.
    pub next_cursor: Option<String>,
}

/// An execution that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveExecution {
    /// The store's key.
    pub key: ExecutionKey,
    /// How it stands.
    pub status: Status,
    /// The sequence number of its last journal row; 0: it was created and not yet begun.
    pub seq: i64,
    /// When it wants to be woken.
    pub due_at: Option<Timestamp>,
}

/// One row of a journal: what one batch of the engine decided about one execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalRow {
    /// Its number, rising within the execution.
    pub seq: i64,
    /// When it was decided.
    pub at: Timestamp,
    /// The entries, as the engine wrote them.
    pub body: String,
}
