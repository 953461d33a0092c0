//! Signatures, until their bodies land.

use tokio::sync::watch;

use super::*;
use crate::clock::{Clock, Timestamp};
use crate::model::{ApplicationName, CommitSha, ExecutionId, ExecutionKey, NewExecution, PipelineName, RepositoryName};

macro_rules! later {
    ($($(#[$doc:meta])* fn $name:ident(&self $(, $arg:ident: $type:ty)*) -> $result:ty;)*) => {
        impl Store {
            $($(#[$doc])* pub async fn $name(&self $(, $arg: $type)*) -> Result<$result, StoreError> {
                $(let _ = $arg;)*
                Err(StoreError::Closed)
            })*
        }
    };
}

impl Store {
    /// Opens the database.
    ///
    /// # Errors
    /// If it can't be opened, or another process has it.
    pub async fn open(options: StoreOptions, clock: Clock) -> Result<Self, StoreError> {
        let _ = (options, clock);
        Err(StoreError::Closed)
    }
    /// A database of its own in a temporary folder that goes away with the last handle: for tests.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn temporary(clock: Clock) -> Result<Self, StoreError> {
        let _ = clock;
        Err(StoreError::Closed)
    }
    /// Writes what is queued and closes the database.
    pub async fn close(&self) {}
    /// Changes after each commit that added an inbox entry.
    pub fn inbox_changed(&self) -> watch::Receiver<u64> {
        watch::Sender::new(0).subscribe()
    }
    /// Changes after each commit that added an outbox row.
    pub fn outbox_changed(&self) -> watch::Receiver<u64> {
        watch::Sender::new(0).subscribe()
    }
}

later! {
    /// .
    fn accept(&self, change: RefChange) -> Accepted;
    /// .
    fn due_inbox(&self, limit: u32) -> Vec<InboxEntry>;
    /// .
    fn next_inbox_due(&self) -> Option<Timestamp>;
    /// .
    fn retry_inbox(&self, id: InboxId, at: Timestamp, error: &str) -> ();
    /// .
    fn settle(&self, settlement: Settlement) -> Settled;
    /// .
    fn applications(&self) -> Vec<ApplicationSummary>;
    /// .
    fn pipelines(&self, application: Option<&ApplicationName>) -> Vec<Published>;
    /// .
    fn pipeline(&self, application: &ApplicationName, name: &PipelineName) -> Option<Published>;
    /// .
    fn pipelines_of(&self, repository: &RepositoryName) -> Vec<Published>;
    /// .
    fn findings(&self, repository: &RepositoryName, commit: &CommitSha) -> Option<CommitFindings>;
    /// .
    fn repository_states(&self) -> Vec<RepositoryState>;
    /// .
    fn note_repository(&self, name: &RepositoryName, note: RepositoryNote) -> ();
    /// .
    fn head(&self, repository: &RepositoryName, git_ref: &str) -> Option<RefHead>;
    /// .
    fn heads(&self, repository: &RepositoryName) -> Vec<RefHead>;
    /// .
    fn create(&self, new: NewExecution) -> Created;
    /// .
    fn execution(&self, id: ExecutionId) -> Option<StoredExecution>;
    /// .
    fn execution_by_key(&self, key: ExecutionKey) -> Option<StoredExecution>;
    /// .
    fn executions(&self, filter: ExecutionFilter) -> Page<ExecutionSummary>;
    /// .
    fn live(&self) -> Vec<LiveExecution>;
    /// .
    fn journal(&self, key: ExecutionKey) -> Vec<JournalRow>;
    /// .
    fn append(&self, batch: Vec<Append>) -> ();
    /// .
    fn due_outbox(&self, limit: u32) -> Vec<OutboxEntry>;
    /// .
    fn next_outbox_due(&self) -> Option<Timestamp>;
    /// .
    fn last_outbox_id(&self) -> i64;
    /// .
    fn outbox_sent(&self, ids: &[OutboxId]) -> ();
    /// .
    fn outbox_obsolete(&self, ids: &[OutboxId]) -> ();
    /// .
    fn outbox_retry(&self, id: OutboxId, at: Timestamp, error: &str) -> ();
    /// .
    fn outbox_failed(&self, id: OutboxId, error: &str) -> ();
}
