//! The store: everything that must survive a crash, in one SQL database.
//!
//! - **Reads** go through a small pool of connections that may not write.
//! - **Writes** go through one task with a connection of its own (`writer`), which commits all that queued
//!   meanwhile together. A write that was queued lands even if nobody waits for its answer any more.
//! - **The engine's hot path** (`append`) writes the rows of many executions in a few statements.
//! - **Ownership** (`ownership`) keeps a second process out, and refuses what a process writes that was replaced.
//!
//! SQLite is the backend. The tables and nearly all statements are written for PostgreSQL as well, and
//! `contract` is the list of tests that every backend has to pass.

mod accept;
mod append;
mod backlog;
mod baseline;
mod catalog;
mod chunk;
mod connect;
#[cfg(test)]
mod contract;
mod error;
mod execution;
mod inbox;
mod outbox;
mod ownership;
mod publish;
mod repository;
mod rows;
mod settle;
mod writer;

pub use append::Append;
pub use backlog::Backlog;
pub use catalog::{ApplicationSummary, CommitFindings, Publication, Published};
pub use error::StoreError;
pub use execution::{Created, ExecutionFilter, ExecutionSummary, JournalRow, LiveExecution, Page, StoredExecution};
pub use inbox::{Accepted, InboxEntry, InboxId, RefChange, RefHead, Seen, Source};
pub use outbox::{OutboxEntry, OutboxId};
pub use repository::{RepositoryNote, RepositoryState};
pub use settle::{Settled, Settlement};

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use sqlx::AnyPool;
use tempfile::TempDir;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinHandle;

use crate::clock::{Clock, Timestamp};
use ownership::{Lock, Ownership};
use writer::{Bells, Command, Writer};

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

/// A handle of the store; cheap to clone. When the last one goes, what is queued is written and the database
/// closed; [`Store::close`] does it at once and waits for it.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    file: PathBuf,
    clock: Clock,
    reads: AnyPool,
    queue: mpsc::Sender<Command>,
    writer: Mutex<Option<JoinHandle<()>>>,
    bells: Bells,
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
        let options = StoreOptions { url, durable: false, owner: "temporary".to_owned() };
        Self::open_in(options, clock, Some(folder)).await
    }

    async fn open_in(options: StoreOptions, clock: Clock, temporary: Option<TempDir>) -> Result<Self, StoreError> {
        let StoreOptions { url, owner, .. } = options.clone();
        let (file, lock) = tokio::task::spawn_blocking(move || {
            let file = connect::locate(&url)?;
            let lock = Lock::acquire(&file, &owner)?;
            Ok::<_, StoreError>((file, lock))
        })
        .await
        // The task is not cancelled and doesn't panic.
        .unwrap_or(Err(StoreError::Closed))?;
        let mut connection = connect::writer(&file, &options).await?;
        sqlx::migrate!("src/store/migrations").run(&mut connection).await?;
        let ownership = Ownership::claim(&mut connection, &options.owner).await?;
        let reads = connect::readers(&file).await?;
        let bells = Bells::default();
        let writer = Writer::new(connection, ownership, clock.clone(), bells.clone(), lock).start();
        let inner = Inner {
            file,
            clock,
            reads,
            queue: writer.queue,
            writer: Mutex::new(Some(writer.task)),
            bells,
            _temporary: temporary,
        };
        Ok(Self { inner: Arc::new(inner) })
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
        self.inner.bells.inbox.subscribe()
    }

    /// Changes after each commit that added an outbox row.
    pub fn outbox_changed(&self) -> watch::Receiver<u64> {
        self.inner.bells.outbox.subscribe()
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
        out.debug_struct("Store").field("file", &self.inner.file).finish_non_exhaustive()
    }
}
