//! Bringing an execution into memory.

use std::collections::HashMap;
use std::sync::Arc;

use super::is_closed;
use crate::clock::Timestamp;
use crate::engine::entry::{Entry, encode};
use crate::engine::registry::Kinds;
use crate::engine::state::State;
use crate::engine::status_text::{page, trouble_text};
use crate::engine::view::{Unfoldable, fold};
use crate::model::{CommitStatus, ExecutionId, ExecutionKey, Status, StatusState};
use crate::store::{Append, Shard, Store, StoreError, StoredExecution};

/// What was found.
pub(super) enum Loaded {
    /// An execution to go on with, or one that has ended and is to be restarted.
    Live { state: Box<State>, shard: Shard, seq: i64, ended: bool },
    /// Nothing.
    Missing,
    /// One that has ended.
    Complete(Status),
    /// One that has ended, is to be restarted, and can't be read.
    Closed(String),
    /// One that this program can't go on with.
    Unreadable(Box<Unreadable>),
    /// One of which not even the document can be read: a newer program's, or damaged.
    Strange(String),
    /// The database failed.
    Failed(StoreError),
}

impl Loaded {
    /// The shard, of what can be gone on with.
    pub(super) fn shard(&self) -> Option<Shard> {
        match self {
            Self::Live { shard, .. } => Some(*shard),
            Self::Unreadable(unreadable) => Some(unreadable.stored.shard),
            _ => None,
        }
    }

    /// Whether it is about to ask for a place in a lane.
    pub(super) fn stands_in_line(&self) -> bool {
        match self {
            Self::Live { state, .. } => state.may_be_held() && state.execution.info.pipeline.concurrency.is_some(),
            _ => false,
        }
    }
}

/// An execution that can't be gone on with.
pub(super) struct Unreadable {
    stored: StoredExecution,
    /// The number of its latest journal row.
    seq: i64,
    /// Why not, and what to do.
    pub(super) reason: String,
    /// Whether its journal says so already.
    pub(super) known: bool,
    /// A newer program can go on with it, so that nothing is to be written.
    pub(super) newer: bool,
}

/// Reads documents and journals, the documents all at once. Those that have ended are read only if they are to be
/// restarted (`revive`).
pub(super) async fn load(
    store: &Store,
    kinds: &Arc<Kinds>,
    keys: Vec<ExecutionKey>,
    revive: bool,
) -> Vec<(ExecutionKey, Loaded)> {
    let stored = match store.executions_by_keys(&keys).await {
        Ok(stored) => stored,
        // Another attempt reads the same. One that is damaged must not hold up the others.
        Err(error) if keys.len() == 1 || is_closed(&error) => {
            return keys.into_iter().map(|key| (key, of_error(error.clone()))).collect();
        }
        Err(_) => {
            let mut all = Vec::new();
            for key in keys {
                all.extend(Box::pin(load(store, kinds, vec![key], revive)).await);
            }
            return all;
        }
    };
    let mut stored: HashMap<ExecutionKey, StoredExecution> =
        stored.into_iter().map(|stored| (stored.execution.key, stored)).collect();
    let mut all = Vec::with_capacity(keys.len());
    for key in keys {
        let loaded = match stored.remove(&key) {
            Some(stored) if stored.status.is_complete() && !revive => Loaded::Complete(stored.status),
            Some(stored) => with_journal(store, Arc::clone(kinds), stored).await,
            None => Loaded::Missing,
        };
        all.push((key, loaded));
    }
    all
}

async fn with_journal(store: &Store, kinds: Arc<Kinds>, stored: StoredExecution) -> Loaded {
    let rows = if stored.seq == 0 { Ok(Vec::new()) } else { store.journal(stored.execution.key).await };
    let rows = match rows {
        Ok(rows) => rows,
        Err(error) => return of_error(error),
    };
    let seq = rows.last().map_or(stored.seq, |row| row.seq);
    let ended = stored.status.is_complete();
    match fold(&stored, &rows, kinds) {
        Ok(state) => Loaded::Live { state: Box::new(state), shard: stored.shard, seq, ended },
        Err(trouble) if ended => Loaded::Closed(trouble.reason),
        Err(Unfoldable { reason, newer }) => {
            let known = rows.last().is_some_and(|row| encode(&[trouble(&reason)]).is_ok_and(|body| body == row.body));
            Loaded::Unreadable(Box::new(Unreadable { stored, seq, reason, known, newer }))
        }
    }
}

fn of_error(error: StoreError) -> Loaded {
    match error {
        // Another attempt reads the same.
        StoreError::Corrupt { .. } | StoreError::Ahead { .. } => Loaded::Strange(error.to_string()),
        error => Loaded::Failed(error),
    }
}

fn trouble(reason: &str) -> Entry {
    Entry::Trouble { message: reason.to_owned() }
}

impl Unreadable {
    /// An execution whose rules broke down, or whose rows are refused. The state may have taken along what was never
    /// written, an end above all.
    pub(super) fn of_state(state: &State, shard: Shard, seq: i64, reason: String) -> Self {
        let stored = StoredExecution {
            execution: (*state.execution).clone(),
            shard,
            needs: 1,
            status: if state.status.is_complete() { Status::Running } else { state.status },
            seq,
            started_at: state.started_at,
            ended_at: None,
            summary: None,
        };
        Self { stored, seq, reason, known: false, newer: false }
    }

    /// Whether it had begun, so that something of it may still run.
    pub(super) fn had_begun(&self) -> bool {
        self.stored.started_at.is_some()
    }

    pub(super) fn key(&self) -> ExecutionKey {
        self.stored.execution.key
    }

    pub(super) fn shard(&self) -> Shard {
        self.stored.shard
    }

    pub(super) fn id(&self) -> ExecutionId {
        self.stored.execution.info.id
    }

    /// The row that says that Longboat can't go on. The execution stays alive: a program that can read it goes on.
    pub(super) fn row(&self, now: Timestamp) -> Append {
        let entries = [trouble(&self.reason)];
        self.append(now, &entries, self.stored.status, (StatusState::Error, trouble_text(&self.reason)))
    }

    /// The row that ends the execution, because somebody cancelled it. What it had started is left alone.
    pub(super) fn cancelled_row(&self, now: Timestamp, by: String, reason: Option<String>) -> Append {
        let said = (StatusState::Failure, format!("Cancelled by {by}"));
        let entries = [Entry::Cancel { by, reason, superseded: false }, Entry::End { status: Status::Canceled }];
        self.append(now, &entries, Status::Canceled, said)
    }

    fn append(&self, now: Timestamp, entries: &[Entry], status: Status, said: (StatusState, String)) -> Append {
        let info = &self.stored.execution.info;
        let report = info.report.clone().map(|target| CommitStatus::new(target, said.0, &said.1, page(info.id)));
        Append {
            key: self.key(),
            shard: self.stored.shard,
            seq: self.seq + 1,
            at: now,
            body: encode(entries).unwrap_or_default(),
            status,
            due_at: (!status.is_complete()).then_some(now),
            started_at: self.stored.started_at,
            ended_at: status.is_complete().then_some(now),
            report,
            revives: false,
        }
    }
}
