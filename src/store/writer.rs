//! The one writer: every write of the store goes through this task and its own connection.
//!
//! It takes all that queued while the commit before was under way and writes it in one transaction: many small
//! writes share one flush of the disk, and nothing waits for a timer. The engine's appends go first, all of them
//! in a few statements; each other job runs in a savepoint, so that one that fails leaves its neighbours alone.
//! An answer is given only after the commit. Whoever asked may stop waiting: the write lands all the same.

use std::time::Instant;

use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot, watch};

use super::append::{self, Encoded};
use super::connection::{Backend, Connection};
use super::ownership::{Lock, Ownership};
use super::{Store, StoreError};
use crate::clock::{Clock, Timestamp};
use crate::telemetry::metrics;

/// How many writes may wait; who comes later waits for a place.
const QUEUE: usize = 1024;
/// How many queued writes one transaction takes, so that none grows without bound.
const BATCH: usize = 512;

/// What a job works with: the connection, inside a transaction.
pub(super) struct Tx {
    /// The writer's connection.
    pub(super) connection: Connection,
    /// The time of the transaction.
    pub(super) now: Timestamp,
    /// To be set by a job that added an inbox entry.
    pub(super) inbox_grew: bool,
    /// To be set by a job that added an outbox row.
    pub(super) outbox_grew: bool,
}

impl Tx {
    /// The first of `count` new keys. They rise in the order of commits.
    pub(super) async fn keys(&mut self, counter: &'static str, count: usize) -> Result<i64, StoreError> {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let last: i64 = sqlx::query_scalar("UPDATE counter SET value = value + $1 WHERE name = $2 RETURNING value")
            .bind(count)
            .bind(counter)
            .fetch_one(&mut self.connection)
            .await?;
        Ok(last - count + 1)
    }

    /// Which database it is, for the few statements that differ.
    pub(super) fn backend(&self) -> Backend {
        self.connection.backend()
    }

    async fn control(&mut self, statement: &'static str) -> Result<(), StoreError> {
        sqlx::query(statement).execute(&mut self.connection).await?;
        Ok(())
    }
}

/// A write that is queued.
pub(super) enum Command {
    /// Anything but the hot path.
    Job(Box<dyn Job>),
    /// Journal rows.
    Append(AppendJob),
    /// Write what is queued, then end.
    Close,
}

/// A write with the way its answer goes back.
pub(super) trait Job: Send {
    fn run<'a>(&'a mut self, tx: &'a mut Tx) -> BoxFuture<'a, Result<(), StoreError>>;
    /// Called once, after the commit or its failure.
    fn answer(self: Box<Self>, outcome: Result<(), StoreError>);
}

/// A job that was taken from the queue, and how it went so far.
type Taken = (Box<dyn Job>, Result<(), StoreError>);

struct Work<F, T> {
    work: Option<F>,
    value: Option<T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<F, T> Job for Work<F, T>
where
    F: for<'a> FnOnce(&'a mut Tx) -> BoxFuture<'a, Result<T, StoreError>> + Send,
    T: Send,
{
    fn run<'a>(&'a mut self, tx: &'a mut Tx) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            if let Some(work) = self.work.take() {
                self.value = Some(work(tx).await?);
            }
            Ok(())
        })
    }

    fn answer(self: Box<Self>, outcome: Result<(), StoreError>) {
        let Self { value, reply, .. } = *self;
        // Nobody may be waiting any more; the write stands.
        let _ = reply.send(outcome.and_then(|()| value.ok_or(StoreError::Closed))).is_ok();
    }
}

/// The journal rows of one call of [`Store::append`]: all are written, or none.
pub(super) struct AppendJob {
    pub(super) rows: Vec<Encoded>,
    pub(super) outcome: Result<(), StoreError>,
    reply: oneshot::Sender<Result<(), StoreError>>,
}

/// What the writer tells everybody after a commit.
#[derive(Debug, Clone, Default)]
pub(super) struct Bells {
    pub(super) inbox: watch::Sender<u64>,
    pub(super) outbox: watch::Sender<u64>,
}

/// The task's state.
pub(super) struct Writer {
    tx: Tx,
    ownership: Ownership,
    clock: Clock,
    bells: Bells,
    // Let go of last: after the connection is closed.
    _lock: Option<Lock>,
}

/// The queue in front of a running writer, and the task itself.
pub(super) struct Running {
    pub(super) queue: mpsc::Sender<Command>,
    pub(super) task: tokio::task::JoinHandle<()>,
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        ownership: Ownership,
        clock: Clock,
        bells: Bells,
        lock: Option<Lock>,
    ) -> Self {
        let tx = Tx { connection, now: clock.now(), inbox_grew: false, outbox_grew: false };
        Self { tx, ownership, clock, bells, _lock: lock }
    }

    pub(super) fn start(self) -> Running {
        let (queue, commands) = mpsc::channel(QUEUE);
        Running { queue, task: tokio::spawn(self.run(commands)) }
    }

    async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut taken = Vec::with_capacity(BATCH);
        // Ends when the queue is closed and empty, so that what was queued before is still written.
        while commands.recv_many(&mut taken, BATCH).await > 0 {
            let mut appends = Vec::new();
            let mut jobs = Vec::new();
            for command in taken.drain(..) {
                match command {
                    Command::Append(job) => appends.push(job),
                    Command::Job(job) => jobs.push((job, Ok(()))),
                    Command::Close => commands.close(),
                }
            }
            self.write(appends, jobs).await;
        }
        if let Err(error) = self.tx.connection.close().await {
            tracing::warn!(%error, "the database was not closed cleanly; nothing is lost");
        }
    }

    /// One transaction and its answers.
    async fn write(&mut self, mut appends: Vec<AppendJob>, mut jobs: Vec<Taken>) {
        (self.tx.inbox_grew, self.tx.outbox_grew) = (false, false);
        self.tx.now = self.clock.now();
        let started = Instant::now();
        let whole = self.transaction(&mut appends, &mut jobs).await;
        if let Err(error) = &whole {
            tracing::warn!(%error, "a transaction was taken back");
            // The database may have taken it back by itself; then there is nothing to take back, which is fine.
            let _ = self.tx.control("ROLLBACK").await.is_ok();
        }
        if whole.is_ok() {
            metrics().committed(appends.len() + jobs.len(), started.elapsed());
        }
        if whole.is_ok() && self.tx.inbox_grew {
            self.bells.inbox.send_modify(|count| *count += 1);
        }
        if whole.is_ok() && self.tx.outbox_grew {
            self.bells.outbox.send_modify(|count| *count += 1);
        }
        for job in appends {
            let outcome = job.outcome.and_then(|()| whole.clone());
            let _ = job.reply.send(outcome).is_ok();
        }
        for (job, outcome) in jobs {
            job.answer(outcome.and_then(|()| whole.clone()));
        }
    }

    /// `Err`: nothing of it holds. `Ok`: committed, apart from what failed by itself.
    async fn transaction(&mut self, appends: &mut [AppendJob], jobs: &mut [Taken]) -> Result<(), StoreError> {
        self.begin().await?;
        if !appends.is_empty() {
            self.append(appends).await?;
        }
        if let ([(job, _)], []) = (&mut *jobs, &*appends) {
            // Alone in its transaction, it needs no savepoint: two trips less.
            job.run(&mut self.tx).await?;
        } else {
            for (job, outcome) in jobs {
                self.tx.control("SAVEPOINT job").await?;
                *outcome = job.run(&mut self.tx).await;
                self.end_savepoint(outcome.is_ok()).await?;
            }
        }
        self.tx.control("COMMIT").await
    }

    async fn begin(&mut self) -> Result<(), StoreError> {
        let begin = match self.tx.backend() {
            // A transaction that will write says so at once: one that begins by reading could find later that it
            // may not write.
            Backend::Sqlite => "BEGIN IMMEDIATE",
            Backend::Postgres => "BEGIN",
        };
        self.tx.control(begin).await
    }

    async fn end_savepoint(&mut self, good: bool) -> Result<(), StoreError> {
        if !good {
            self.tx.control("ROLLBACK TO SAVEPOINT job").await?;
        }
        self.tx.control("RELEASE SAVEPOINT job").await
    }

    /// All appends at once; if that fails, one after the other, so that only the bad ones fail.
    async fn append(&mut self, jobs: &mut [AppendJob]) -> Result<(), StoreError> {
        append::fence(&mut self.tx, &self.ownership, jobs).await?;
        let rows: Vec<&Encoded> =
            jobs.iter().filter(|job| job.outcome.is_ok()).flat_map(|job| job.rows.iter()).collect();
        if append::insert(&mut self.tx, &rows).await.is_ok() {
            return Ok(());
        }
        self.tx.control("ROLLBACK").await?;
        self.begin().await?;
        append::fence(&mut self.tx, &self.ownership, jobs).await?;
        for job in jobs.iter_mut().filter(|job| job.outcome.is_ok()) {
            self.tx.control("SAVEPOINT job").await?;
            let rows: Vec<&Encoded> = job.rows.iter().collect();
            job.outcome = append::insert(&mut self.tx, &rows).await;
            self.end_savepoint(job.outcome.is_ok()).await?;
        }
        Ok(())
    }
}

impl Store {
    /// Queues a write and waits for its commit.
    pub(super) async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        F: for<'a> FnOnce(&'a mut Tx) -> BoxFuture<'a, Result<T, StoreError>> + Send + 'static,
        T: Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.queue(Command::Job(Box::new(Work { work: Some(work), value: None, reply }))).await?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Queues journal rows and waits for their commit.
    pub(super) async fn write_appends(&self, rows: Vec<Encoded>) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        self.queue(Command::Append(AppendJob { rows, outcome: Ok(()), reply })).await?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    async fn queue(&self, command: Command) -> Result<(), StoreError> {
        self.inner.queue.send(command).await.map_err(|_| StoreError::Closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RepositoryName;
    use crate::store::RepositoryNote;

    async fn pages(store: &Store, statement: &'static str) {
        store
            .write(move |tx| {
                Box::pin(async move {
                    sqlx::query(statement).fetch_one(&mut tx.connection).await?;
                    Ok(())
                })
            })
            .await
            .expect("limits the file");
    }

    #[tokio::test]
    async fn a_full_disk_fails_what_does_not_fit_and_nothing_after_it() {
        let store = Store::temporary(Clock::system()).await.expect("opens");
        let name = RepositoryName::parse("acme/shop").expect("legal");
        let note = |size| RepositoryNote { error: Some("x".repeat(size)), has_files: None };
        pages(&store, "PRAGMA max_page_count = 1").await; // as many as there are
        let (first, second) =
            tokio::join!(store.note_repository(&name, note(1 << 20)), store.note_repository(&name, note(1 << 20)));
        assert!(matches!((first, second), (Err(StoreError::Database(_)), Err(StoreError::Database(_)))));
        assert_eq!(store.repository_states().await.expect("reads"), []);
        pages(&store, "PRAGMA max_page_count = 1000000").await;
        store.note_repository(&name, note(1 << 20)).await.expect("there is room again");
    }
}
