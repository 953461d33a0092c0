//! Writing what was decided, until it is written.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::model::ExecutionKey;
use crate::store::{Append, Store, StoreError};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Where batches are written. The store; tests put themselves between.
#[async_trait]
pub(in crate::engine) trait Ledger: Send + Sync {
    /// As [`Store::append`].
    async fn append(&self, batch: Vec<Append>) -> Result<(), StoreError>;
}

#[async_trait]
impl Ledger for Store {
    async fn append(&self, batch: Vec<Append>) -> Result<(), StoreError> {
        Self::append(self, batch).await
    }
}

/// What became of a batch.
#[derive(Debug)]
pub(super) struct Committed {
    /// The executions in it.
    pub(super) keys: Vec<ExecutionKey>,
    /// How it went.
    pub(super) verdict: Verdict,
}

#[derive(Debug)]
pub(super) enum Verdict {
    /// It is on disk, apart from the rows of these executions, which the store will never take.
    Written { refused: Vec<(ExecutionKey, String)> },
    /// Another process owns the executions now.
    Fenced,
    /// The engine stops, and the database did not take it.
    Abandoned,
}

/// How batches are written.
#[derive(Clone)]
pub(super) struct Committer {
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) store: Store,
    pub(super) clock: Clock,
    /// Once it is cancelled, nothing is tried again.
    pub(super) stop: CancellationToken,
}

impl Committer {
    /// Writes a batch. While the database fails, tries again: what was decided must not be lost, and what follows
    /// from it waits.
    pub(super) async fn commit(self, batch: Vec<Append>) -> Committed {
        let keys = batch.iter().map(|row| row.key).collect();
        let verdict = self.write(batch).await;
        Committed { keys, verdict }
    }

    async fn write(&self, batch: Vec<Append>) -> Verdict {
        match self.insist(&batch).await {
            Ok(()) => Verdict::Written { refused: Vec::new() },
            Err(StoreError::Fenced) => Verdict::Fenced,
            Err(StoreError::TooLarge { .. }) => self.one_by_one(batch).await,
            Err(_) => Verdict::Abandoned,
        }
    }

    /// One row that is refused must not hold up those of other executions.
    async fn one_by_one(&self, batch: Vec<Append>) -> Verdict {
        let mut refused = Vec::new();
        for row in batch {
            let key = row.key;
            match self.insist(&[row]).await {
                Ok(()) => {}
                Err(StoreError::Fenced) => return Verdict::Fenced,
                Err(error @ StoreError::TooLarge { .. }) => refused.push((key, error.to_string())),
                Err(_) => return Verdict::Abandoned,
            }
        }
        Verdict::Written { refused }
    }

    /// Fails only if trying again is of no use.
    async fn insist(&self, batch: &[Append]) -> Result<(), StoreError> {
        let mut pause = FIRST_PAUSE;
        let mut tried = false;
        loop {
            match self.ledger.append(batch.to_vec()).await {
                Ok(()) => return Ok(()),
                // A commit whose answer was lost is found to be there already.
                Err(StoreError::Fenced) if tried && self.is_written(batch).await => return Ok(()),
                Err(error @ (StoreError::Fenced | StoreError::TooLarge { .. })) => return Err(error),
                Err(error) => {
                    if self.stop.is_cancelled() {
                        return Err(error);
                    }
                    tracing::error!(%error, rows = batch.len(), "executions stand still: their progress can't be recorded; trying again");
                    tokio::select! {
                        () = self.clock.sleep(pause) => {}
                        () = self.stop.cancelled() => return Err(error),
                    }
                    tried = true;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// A batch is written as a whole, so one row tells.
    async fn is_written(&self, batch: &[Append]) -> bool {
        let Some(row) = batch.first() else { return true };
        let journal = self.store.journal(row.key).await.unwrap_or_default();
        journal.iter().any(|written| written.seq == row.seq && written.body == row.body)
    }
}
