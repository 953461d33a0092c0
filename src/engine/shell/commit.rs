//! Writing what was decided, until it is written.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::model::ExecutionKey;
use crate::store::{Append, Owned, Shard, Shards, Store, StoreError, Word};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Where batches are written, and where it is known whose executions are whose. The store; tests put themselves between.
#[async_trait]
pub(in crate::engine) trait Ledger: Send + Sync {
    /// As [`Store::append`].
    async fn append(&self, batch: Vec<Append>) -> Result<(), StoreError>;

    /// As [`Store::is_shared`].
    fn is_shared(&self) -> bool {
        false
    }

    /// As [`Store::shards`].
    fn shards(&self) -> watch::Receiver<Owned> {
        watch::Sender::new(Owned::ALL).subscribe()
    }

    /// As [`Store::has_lease`].
    fn has_lease(&self) -> bool {
        true
    }

    /// As [`Store::holds`].
    fn holds(&self, _: Shard) -> bool {
        true
    }

    /// As [`Store::release`].
    fn release(&self, _: Shards) {}

    /// As [`Store::leave`].
    fn leave(&self) {}

    /// As [`Store::tell`].
    fn tell(&self, _: Word) {}

    /// As [`Store::words`].
    fn words(&self) -> broadcast::Receiver<Word> {
        broadcast::Sender::new(1).subscribe()
    }

    /// The replicas that have a lease.
    async fn replicas(&self) -> Result<Vec<Peer>, StoreError> {
        Ok(Vec::new())
    }
}

/// A replica that has a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::engine) struct Peer {
    /// Its id.
    pub(in crate::engine) id: String,
    /// What people call it.
    pub(in crate::engine) name: String,
    /// Whether it is this process.
    pub(in crate::engine) own: bool,
}

impl fmt::Debug for dyn Ledger {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Ledger")
    }
}

#[async_trait]
impl Ledger for Store {
    async fn append(&self, batch: Vec<Append>) -> Result<(), StoreError> {
        Self::append(self, batch).await
    }

    fn is_shared(&self) -> bool {
        Self::is_shared(self)
    }

    fn shards(&self) -> watch::Receiver<Owned> {
        Self::shards(self)
    }

    fn has_lease(&self) -> bool {
        Self::has_lease(self)
    }

    fn holds(&self, shard: Shard) -> bool {
        Self::holds(self, shard)
    }

    fn release(&self, shards: Shards) {
        Self::release(self, shards);
    }

    fn leave(&self) {
        Self::leave(self);
    }

    fn tell(&self, word: Word) {
        Self::tell(self, word);
    }

    fn words(&self) -> broadcast::Receiver<Word> {
        Self::words(self)
    }

    async fn replicas(&self) -> Result<Vec<Peer>, StoreError> {
        let replicas = Self::replicas(self).await?.into_iter().filter(|replica| replica.alive);
        Ok(replicas.map(|replica| Peer { id: replica.id, name: replica.said.name, own: replica.own }).collect())
    }
}

/// What became of a batch.
#[derive(Debug)]
pub(super) struct Committed {
    /// Its number.
    pub(super) batch: u64,
    /// The lease under which it was decided.
    pub(super) term: u64,
    /// The executions in it.
    pub(super) keys: Vec<ExecutionKey>,
    /// How it went.
    pub(super) verdict: Verdict,
}

#[derive(Debug)]
pub(super) enum Verdict {
    /// It is on disk, apart from some.
    Written(Exceptions),
    /// Another process owns the executions now.
    Fenced,
    /// The engine stops, and the database did not take it.
    Abandoned,
}

/// What of a batch is not on disk.
#[derive(Debug, Default)]
pub(super) struct Exceptions {
    /// The executions whose rows the store will never take, and why.
    pub(super) refused: Vec<(ExecutionKey, String)>,
    /// The executions that another replica has by now.
    pub(super) lost: BTreeSet<ExecutionKey>,
    /// Their shards.
    pub(super) shards: Shards,
}

impl Exceptions {
    fn lose(&mut self, rows: &[Append]) {
        self.lost.extend(rows.iter().map(|row| row.key));
        self.shards = self.shards.and(rows.iter().map(|row| row.shard).collect());
    }
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
    /// `term` is that of the lease under which it was decided.
    pub(super) async fn commit(self, number: u64, term: u64, batch: Vec<Append>) -> Committed {
        let keys = batch.iter().map(|row| row.key).collect();
        let verdict = self.write(term, batch).await;
        Committed { batch: number, term, keys, verdict }
    }

    async fn write(&self, term: u64, batch: Vec<Append>) -> Verdict {
        let mut attempt = Attempt { term, tried: false };
        match self.insist(&batch, &mut attempt).await {
            Ok(()) => Verdict::Written(Exceptions::default()),
            Err(StoreError::Fenced) if self.ledger.is_shared() => self.by_shard(batch, attempt).await,
            Err(StoreError::Fenced) => Verdict::Fenced,
            Err(StoreError::TooLarge { .. }) => self.one_by_one(batch, attempt).await,
            Err(_) => Verdict::Abandoned,
        }
    }

    /// What other replicas have taken over must not hold up what they haven't.
    async fn by_shard(&self, batch: Vec<Append>, mut attempt: Attempt) -> Verdict {
        let mut exceptions = Exceptions::default();
        let (held, lost): (Vec<Append>, Vec<Append>) = batch.into_iter().partition(|row| self.ledger.holds(row.shard));
        exceptions.lose(&lost);
        let mut shards: BTreeMap<Shard, Vec<Append>> = BTreeMap::new();
        for row in held {
            shards.entry(row.shard).or_default().push(row);
        }
        for rows in shards.into_values() {
            match self.insist(&rows, &mut attempt).await {
                Ok(()) => {}
                Err(StoreError::Fenced) => exceptions.lose(&rows),
                Err(StoreError::TooLarge { .. }) => match self.one_by_one(rows, attempt).await {
                    Verdict::Written(other) => {
                        exceptions.refused.extend(other.refused);
                        exceptions.lost.extend(other.lost);
                        exceptions.shards = exceptions.shards.and(other.shards);
                    }
                    verdict => return verdict,
                },
                Err(_) => return Verdict::Abandoned,
            }
        }
        Verdict::Written(exceptions)
    }

    /// One row that is refused must not hold up those of other executions.
    async fn one_by_one(&self, batch: Vec<Append>, mut attempt: Attempt) -> Verdict {
        let mut exceptions = Exceptions::default();
        for row in batch {
            let row = [row];
            match self.insist(&row, &mut attempt).await {
                Ok(()) => {}
                Err(StoreError::Fenced) if self.ledger.is_shared() => exceptions.lose(&row),
                Err(StoreError::Fenced) => return Verdict::Fenced,
                Err(error @ StoreError::TooLarge { .. }) => exceptions.refused.push((row[0].key, error.to_string())),
                Err(_) => return Verdict::Abandoned,
            }
        }
        Verdict::Written(exceptions)
    }

    /// Fails only if trying again is of no use.
    async fn insist(&self, batch: &[Append], attempt: &mut Attempt) -> Result<(), StoreError> {
        let mut pause = FIRST_PAUSE;
        loop {
            if self.is_outdated(*attempt) {
                return Err(StoreError::Fenced);
            }
            match self.ledger.append(batch.to_vec()).await {
                Ok(()) => return Ok(()),
                // A commit whose answer was lost is found to be there already.
                Err(StoreError::Fenced) if attempt.tried && self.is_written(batch, *attempt).await => return Ok(()),
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
                    // Others go on with them by now.
                    if self.ledger.is_shared() && !batch.iter().any(|row| self.ledger.holds(row.shard)) {
                        return Err(StoreError::Fenced);
                    }
                    attempt.tried = true;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Whether everything was lost since it was decided, so that others may have gone on in between.
    fn is_outdated(&self, attempt: Attempt) -> bool {
        self.ledger.is_shared() && self.ledger.shards().borrow().term != attempt.term
    }

    /// A batch is written as a whole, so one row tells. Another replica may have written the very same row: then it is not
    /// this engine's.
    async fn is_written(&self, batch: &[Append], attempt: Attempt) -> bool {
        let Some(row) = batch.first() else { return true };
        let ours = || !self.is_outdated(attempt) && batch.iter().all(|row| self.ledger.holds(row.shard));
        let journal = self.store.journal(row.key).await.unwrap_or_default();
        let written =
            |found: &crate::store::JournalRow| found.seq == row.seq && found.at == row.at && found.body == row.body;
        journal.iter().any(written) && ours()
    }
}

/// What is known of a batch while it is tried.
#[derive(Debug, Clone, Copy)]
struct Attempt {
    /// The lease under which it was decided.
    term: u64,
    /// It may have been written already, and its answer lost.
    tried: bool,
}
