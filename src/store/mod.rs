//! The store: everything that must survive a crash, in one SQL database.
//!
//! - **Reads** go through a small pool of connections that may not write.
//! - **Writes** go through one task with a connection of its own (`writer`), which commits all that queued
//!   meanwhile together. A write that was queued lands even if nobody waits for its answer any more.
//! - **The engine's hot path** (`append`) writes the rows of many executions in a few statements.
//! - **Duties** (`duty`): work that one process does for all that share the database.
//! - **Replicas** (`replica`, `lease`): several processes on one database, each with some of the shards.
//! - **Ownership** (`ownership`) keeps a second process out, and refuses what a process writes that was replaced: for each
//!   `shard` of the executions.
//!
//! There are two backends, SQLite (`connect`) and PostgreSQL (`postgres`), with one set of tables and nearly one set
//! of statements. `contract` is the list of tests that both have to pass.
//!
//! # How to write a statement that runs on both
//!
//! - Parameters are `$1`, `$2`, ...; a number may be used twice. Only what `chunk` makes many rows of has `?`.
//! - Columns are `TEXT`, `BIGINT`, `DOUBLE PRECISION` or `BYTEA`, in the migration as well; truth is 0 or 1 in a
//!   `BIGINT`, a time is milliseconds, a document is JSON in `TEXT`. A statement yields only such values:
//!   `CASE WHEN ... THEN 1 ELSE 0 END` rather than a condition, `CAST(SUM(x) AS BIGINT)` rather than `SUM(x)`
//!   (`COUNT`, `MIN` and `MAX` need no cast).
//! - A value that may be null is bound as an `Option` of its type, so that PostgreSQL learns the type.
//! - `ON CONFLICT (columns) DO UPDATE SET x = excluded.x`, `RETURNING`, `IS NOT DISTINCT FROM`, `COALESCE`,
//!   `WITH ... AS MATERIALIZED` and partial indexes are the same on both. `INSERT OR IGNORE`, `json_each`, `ILIKE`,
//!   `::type`, arrays, `LIMIT` in an `UPDATE`, and double quotes around a text are not.
//! - `GROUP BY` names every column that is not aggregated. Texts compare byte by byte on both.
//! - A job runs `.execute(&mut tx.connection)`. After a statement has failed, PostgreSQL takes no other one in that
//!   job: let the error go (`?`), and ask first where a failure is expected, or write `ON CONFLICT DO NOTHING`.
//! - Many rows: `chunk::Texts`, with the text for `tx.backend()`.
//!
//! A case in `contract` proves it: each runs on both.

mod accept;
mod ahead;
mod append;
mod backlog;
mod baseline;
mod bell;
mod birth;
mod catalog;
mod chore;
mod chunk;
mod connect;
mod connection;
#[cfg(test)]
pub(crate) mod contract;
mod cron;
mod doubt;
mod duty;
mod ending;
mod error;
mod execution;
mod freeze;
mod graph;
mod hook;
mod inbox;
mod lane;
mod lease;
mod mark;
mod notice;
mod open;
mod outbox;
mod ownership;
mod piece;
mod placement;
mod postgres;
mod prune;
mod publish;
mod pull_request;
mod removal;
mod replica;
mod repository;
mod retention;
mod rows;
mod search;
mod series;
mod settle;
mod shard;
mod step;
mod transfer;
mod wish;
mod word;
mod writer;

pub use append::Append;
pub use backlog::Backlog;
pub use catalog::{ApplicationSummary, CommitFindings, Publication, Published, published_pins};
pub use chore::Chore;
pub use cron::{CronDone, CronKey, CronState, CronStep};
pub use duty::{Duty, Term, Terms, while_on_duty};
pub use ending::Ending;
pub use error::StoreError;
pub use execution::{Created, ExecutionFilter, ExecutionSummary, JournalRow, LiveExecution, Page, StoredExecution};
pub use graph::{Dependent, FileDependency, MOST_USES, ReferenceUse};
pub use hook::{Hook, HookAccepted};
pub use inbox::{Accepted, InboxEntry, InboxId, RefChange, RefHead, Seen, Source};
pub use lane::LaneMember;
pub use notice::{NoticedPullRequest, PullRequestNotice};
pub use outbox::{OutboxEntry, OutboxId};
pub use piece::{PieceKind, PieceName};
pub use placement::{Placed, Placement};
pub use prune::{Pruned, Stale};
pub use pull_request::{KeptComment, StoredPullRequest};
pub use removal::{Approval, BY_CONFIGURATION, RemovalVerdict, StoredRemoval, Taking};
pub use replica::{ReplicaState, Replicas, disagree};
pub use repository::{RepositoryNote, RepositoryState};
pub use retention::{Compaction, Retention};
pub use settle::{Settled, Settlement};
pub use shard::{Owned, Shard, Shards};
pub use transfer::{Moved, Progress, export, import};
pub use wish::{Wish, WishId};
pub use word::Word;

use std::fmt;
use std::sync::Arc;

use secrecy::SecretString;
use sqlx::AnyPool;
use tempfile::TempDir;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;

use crate::clock::{Clock, Timestamp};
use ahead::Ahead;
use bell::{Bell, Bells};
use connection::Backend;
use lease::Lease;
use open::Opened;
use writer::{Command, Writer};

/// Which database, and how.
#[derive(Clone)]
pub struct StoreOptions {
    /// `sqlite:PATH` or `postgres://USER@HOST:PORT/DATABASE`. A path is taken as it stands; a database in memory is
    /// refused.
    pub url: String,
    /// The password for a server.
    pub password: Option<SecretString>,
    /// Whether a commit waits for the disk (SQLite's `synchronous=FULL`, PostgreSQL's `synchronous_commit=on`).
    /// Without it, a power cut can lose the last commits; a crash of the process never does.
    pub durable: bool,
    /// Names this process among those that may have the database.
    pub owner: String,
    /// What this process says of itself, if it shares the database with others (PostgreSQL only). Without it, it has the
    /// database for itself.
    pub replicas: Option<Replicas>,
}

impl StoreOptions {
    /// A durable database without a password.
    pub fn new(url: impl Into<String>, owner: impl Into<String>) -> Self {
        Self { url: url.into(), password: None, durable: true, owner: owner.into(), replicas: None }
    }
}

impl fmt::Debug for StoreOptions {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("StoreOptions")
            .field("url", &postgres::shown(&self.url))
            .field("durable", &self.durable)
            .field("owner", &self.owner)
            .field("replicas", &self.replicas)
            .finish_non_exhaustive()
    }
}

/// A handle of the store; cheap to clone. When the last one goes, what is queued is written and the database
/// closed; [`Store::close`] does it at once and waits for it.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
    /// The term that this handle's writes depend on: see `duty`.
    term: Option<Term>,
}

struct Inner {
    database: String,
    backend: Backend,
    clock: Clock,
    reads: AnyPool,
    queue: mpsc::Sender<Command>,
    writer: Mutex<Option<JoinHandle<()>>>,
    bells: Bells,
    lease: Lease,
    /// Revisions that a later version published.
    ahead: Ahead,
    // They end with this.
    _tasks: Vec<AbortOnDropHandle<()>>,
    _temporary: Option<TempDir>,
}

impl Store {
    /// Opens the database, brings its tables up to date, and takes over all executions.
    ///
    /// # Errors
    /// [`StoreError::Taken`] if another process has it open; others if the URL, the file or its tables are no good.
    pub async fn open(options: StoreOptions, clock: Clock) -> Result<Self, StoreError> {
        Self::open_in(options, clock, None).await
    }

    /// A database of its own in a temporary folder that goes away with the last handle. It doesn't wait for the
    /// disk: for tests, and for runs that nobody will come back to.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn temporary(clock: Clock) -> Result<Self, StoreError> {
        let folder = tempfile::tempdir()
            .map_err(|source| StoreError::Io { path: std::env::temp_dir(), source: Arc::new(source) })?;
        let url = format!("sqlite:{}", folder.path().join("longboat.db").display());
        let options = StoreOptions { durable: false, ..StoreOptions::new(url, "temporary") };
        Self::open_in(options, clock, Some(folder)).await
    }

    async fn open_in(options: StoreOptions, clock: Clock, temporary: Option<TempDir>) -> Result<Self, StoreError> {
        let bells = Bells::default();
        let Opened { database, connection, reads, hold, lease, tasks } = Opened::open(&options, &bells).await?;
        let backend = connection.backend();
        let writer = Writer::new(connection, lease.clone(), clock.clone(), bells.clone(), hold).start();
        let inner = Inner {
            database,
            backend,
            clock,
            reads,
            queue: writer.queue,
            writer: Mutex::new(Some(writer.task)),
            bells,
            lease,
            ahead: Ahead::default(),
            _tasks: tasks,
            _temporary: temporary,
        };
        Ok(Self { inner: Arc::new(inner), term: None })
    }

    /// Writes what is queued, closes the database and lets another process have it. Later calls fail with
    /// [`StoreError::Closed`].
    pub async fn close(&self) {
        // An error says that it is closed already.
        let _ = self.inner.queue.send(Command::Close).await.is_ok();
        self.inner.reads.close().await;
        if let Some(task) = self.inner.writer.lock().await.take() {
            let _ = task.await.is_ok();
        }
    }

    /// Changes after each commit that added an inbox entry.
    pub fn inbox_changed(&self) -> watch::Receiver<u64> {
        self.inner.bells.subscribe(Bell::Inbox)
    }

    /// Changes after each commit that added an outbox row.
    pub fn outbox_changed(&self) -> watch::Receiver<u64> {
        self.inner.bells.subscribe(Bell::Outbox)
    }

    /// Returns when another process has taken the database over; from then on every write fails. That happens only
    /// on a server, and only while there was no connection to it.
    pub async fn lost(&self) -> StoreError {
        let mut lost = self.inner.bells.lost.subscribe();
        match lost.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(error)) => error.clone(),
            Ok(None) | Err(_) => StoreError::Closed,
        }
    }

    fn reads(&self) -> &AnyPool {
        &self.inner.reads
    }

    fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Store").field("database", &self.inner.database).finish_non_exhaustive()
    }
}
