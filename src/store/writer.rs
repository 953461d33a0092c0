//! The one writer: every write of the store goes through this task and its own connection.
//!
//! It takes all that queued while the commit before was under way and writes it in one transaction: many small
//! writes share one flush of the disk, and nothing waits for a timer. The engine's appends go first, all of them
//! in a few statements; then the executions that somebody starts, likewise; each other job runs in a savepoint, so that
//! one that fails leaves its neighbours alone.
//! An answer is given only after the commit. Whoever asked may stop waiting: the write lands all the same.

use std::time::Instant;

use futures::future::BoxFuture;
use sqlx::{AssertSqlSafe, Row as _};
use tokio::sync::{mpsc, oneshot};

use super::append::{self, Encoded};
use super::bell::{Bells, Rung};
use super::birth::{self, Birth};
use super::connection::{Backend, Connection};
use super::duty::{self, Term};
use super::execution::Created;
use super::lease::Lease;
use super::ownership::Lock;
use super::postgres::{Keeper, Link};
use super::series::Known;
use super::{Store, StoreError};
use crate::clock::{Clock, Timestamp};
use crate::model::ExecutionKey;
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
    /// What rings after the commit; each job adds what it has made work for.
    pub(super) rung: Rung,
    /// Whether a pull request was ever merged, as far as that is known: see `mark`.
    pub(super) merges: Option<bool>,
    /// Whether any pipeline in force listens to the end of another, as far as that is known: see `ending`.
    pub(super) listeners: Option<bool>,
    /// The numbers of series that are known.
    pub(super) series: Known,
    stage: Stage,
    /// PostgreSQL's name for the transaction.
    transaction: Option<String>,
}

/// How far a transaction got: that decides what an error means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The database has not been asked for anything but its beginning.
    Beginning,
    Working,
    /// The commit was sent.
    Committing,
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
    /// A new execution that starts in any case.
    Birth(Box<BirthJob>),
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
    /// The term that has to hold for it.
    term: Option<Term>,
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
            if let Some(term) = self.term {
                duty::hold(tx, term).await?;
            }
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
    /// How often this process had joined the replicas when they were decided: see `Ownership::term`.
    term: u64,
    pub(super) outcome: Result<(), StoreError>,
    reply: oneshot::Sender<Result<(), StoreError>>,
}

/// A new execution. How it went is known after the commit.
pub(super) struct BirthJob {
    birth: Birth,
    outcome: Result<Created, StoreError>,
    reply: oneshot::Sender<Result<Created, StoreError>>,
}

/// What was taken from the queue.
#[derive(Default)]
struct Batch {
    appends: Vec<AppendJob>,
    births: Vec<BirthJob>,
    jobs: Vec<Taken>,
}

/// The task's state.
pub(super) struct Writer {
    tx: Tx,
    lease: Lease,
    clock: Clock,
    bells: Bells,
    // Only for a server, to which a connection can be lost.
    link: Option<Box<Link>>,
    /// When the tables were brought further that what is prepared was made for.
    tables_of: Option<Instant>,
    /// Whether the transaction waits for its turn among those of other replicas.
    turn: bool,
    // Let go of after the last write, so that nothing is written late.
    keeper: Option<Keeper>,
    // Let go of last: after the connection is closed.
    _lock: Option<Lock>,
}

/// What keeps other processes out of the database.
pub(super) enum Hold {
    /// A lock file beside the database file.
    File(Lock),
    /// A lock of the writer's session with the server; a replica has that together with others, and a keeper.
    Session(Box<Link>, Option<Keeper>),
}

/// The queue in front of a running writer, and the task itself.
pub(super) struct Running {
    pub(super) queue: mpsc::Sender<Command>,
    pub(super) task: tokio::task::JoinHandle<()>,
}

impl Writer {
    pub(super) fn new(connection: Connection, lease: Lease, clock: Clock, bells: Bells, hold: Hold) -> Self {
        let (lock, link, keeper) = match hold {
            Hold::File(lock) => (Some(lock), None, None),
            Hold::Session(link, keeper) => (None, Some(link), keeper),
        };
        let tx = Tx {
            connection,
            now: clock.now(),
            rung: Rung::default(),
            merges: None,
            listeners: None,
            series: Known::default(),
            stage: Stage::Beginning,
            transaction: None,
        };
        Self { tx, lease, clock, bells, link, tables_of: None, turn: false, keeper, _lock: lock }
    }

    pub(super) fn start(self) -> Running {
        let (queue, commands) = mpsc::channel(QUEUE);
        Running { queue, task: tokio::spawn(self.run(commands)) }
    }

    async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut taken = Vec::with_capacity(BATCH);
        // Ends when the queue is closed and empty, so that what was queued before is still written.
        loop {
            tokio::select! {
                biased;
                count = commands.recv_many(&mut taken, BATCH) => if count == 0 { break },
                () = idle(self.link.as_deref()) => {
                    if let Some(link) = &mut self.link {
                        link.look_after(&mut self.tx.connection, &self.lease.ownership()).await;
                    }
                    self.tell_loss();
                    continue;
                }
            }
            let mut batch = Batch::default();
            for command in taken.drain(..) {
                match command {
                    Command::Append(job) => batch.appends.push(job),
                    Command::Birth(job) => batch.births.push(*job),
                    Command::Job(job) => batch.jobs.push((job, Ok(()))),
                    Command::Close => commands.close(),
                }
            }
            self.write(batch).await;
        }
        if let Some(keeper) = self.keeper {
            keeper.stop().await;
        }
        if let Err(error) = self.tx.connection.close().await {
            tracing::warn!(%error, "the database was not closed cleanly; nothing is lost");
        }
    }

    /// One transaction and its answers.
    async fn write(&mut self, mut batch: Batch) {
        self.tx.rung = Rung::default();
        self.tx.now = self.clock.now();
        let started = Instant::now();
        self.forget_prepared().await;
        let whole = self.commit_all(&mut batch).await;
        let Batch { appends, births, jobs } = batch;
        match &whole {
            Ok(()) => {
                metrics().committed(appends.len() + births.len() + jobs.len(), started.elapsed());
                self.bells.ring(self.tx.rung.bells());
            }
            Err(error) => {
                // What a publication that was taken back said of it doesn't hold.
                self.tx.listeners = None;
                self.tx.series.forget();
                tracing::warn!(%error, "a transaction was taken back");
            }
        }
        self.tell_loss();
        for job in appends {
            let outcome = match &whole {
                // Whoever has the database now owns the executions as well.
                Err(StoreError::Taken { .. }) => Err(StoreError::Fenced),
                whole => job.outcome.and_then(|()| whole.clone()),
            };
            if matches!(outcome, Err(StoreError::Fenced)) {
                // What this process believes to be its own may be out of date.
                self.lease.nudge();
            }
            let _ = job.reply.send(outcome).is_ok();
        }
        for BirthJob { outcome, reply, .. } in births {
            // Nobody may be waiting any more; the execution runs all the same.
            let _ = reply.send(whole.clone().and(outcome)).is_ok();
        }
        for (job, outcome) in jobs {
            job.answer(outcome.and_then(|()| whole.clone()));
        }
    }

    /// After another replica brought the tables further, once.
    async fn forget_prepared(&mut self) {
        let changed = self.lease.tables_changed();
        if changed != self.tables_of {
            // If the connection is gone, so is what it had prepared.
            let _ = self.tx.connection.forget_prepared().await.is_ok();
            self.tables_of = changed;
        }
    }

    fn tell_loss(&self) {
        if let Some(error) = self.link.as_deref().and_then(Link::lost)
            && self.bells.lost.borrow().is_none()
        {
            self.bells.lost.send_replace(Some(error.clone()));
        }
    }

    /// Writes all in one transaction. `Err`: nothing of it holds, except where it says that this is not known. `Ok`:
    /// committed, apart from what failed by itself.
    async fn commit_all(&mut self, batch: &mut Batch) -> Result<(), StoreError> {
        let ownership = self.lease.ownership();
        let Self { link, tx, .. } = self;
        let Some(link) = link else {
            let outcome = self.transaction(batch).await;
            if outcome.is_err() {
                // The database may have taken it back by itself; then there is nothing to take back, which is fine.
                let _ = self.tx.control("ROLLBACK").await.is_ok();
            }
            return outcome;
        };
        link.ready(&mut tx.connection, &ownership).await?;
        let Err(error) = self.bounded(batch).await else { return Ok(()) };
        let Self { link: Some(link), tx, .. } = self else { return Err(error) };
        if link.answers(&mut tx.connection).await {
            // The connection is well, and whatever was begun is taken back.
            return Err(link.explain(error));
        }
        tracing::warn!(%error, "the connection to the database is gone; making a new one");
        let stage = tx.stage;
        let again = link.reconnect(&mut tx.connection, &ownership).await;
        match (stage, again) {
            // Nothing had been asked of it, so all of it can be asked again.
            (Stage::Beginning, Ok(())) => self.bounded(batch).await,
            (Stage::Beginning | Stage::Working, Err(again @ StoreError::Taken { .. })) => Err(again),
            (Stage::Beginning | Stage::Working, _) => Err(StoreError::Disconnected { reason: error.to_string() }),
            (Stage::Committing, Ok(())) => self.was_committed(&error).await,
            (Stage::Committing, Err(_)) => Err(StoreError::Uncertain { reason: error.to_string() }),
        }
    }

    /// [`Writer::transaction`] with an end, should the network swallow what is sent. The server ends it sooner.
    async fn bounded(&mut self, batch: &mut Batch) -> Result<(), StoreError> {
        let Some(longest) = self.link.as_deref().map(Link::longest) else {
            return self.transaction(batch).await;
        };
        let outcome = tokio::time::timeout(longest, self.transaction(batch)).await;
        outcome.unwrap_or_else(|_| Err(StoreError::Disconnected { reason: format!("no answer within {longest:?}") }))
    }

    /// What became of a commit that was sent and not answered, asked on a new connection.
    async fn was_committed(&mut self, error: &StoreError) -> Result<(), StoreError> {
        let reason = error.to_string();
        let (Connection::Postgres(connection), Some(transaction)) = (&mut self.tx.connection, &self.tx.transaction)
        else {
            return Err(StoreError::Uncertain { reason });
        };
        match Link::was_committed(connection, transaction).await {
            Some(true) => Ok(()),
            Some(false) => Err(StoreError::Disconnected { reason }),
            None => Err(StoreError::Uncertain { reason }),
        }
    }

    /// `Err`: nothing of it holds, unless the commit was sent. `Ok`: committed, apart from what failed by itself.
    async fn transaction(&mut self, batch: &mut Batch) -> Result<(), StoreError> {
        let Batch { appends, births, jobs } = batch;
        self.tx.stage = Stage::Beginning;
        self.turn =
            !jobs.is_empty() || !births.is_empty() || appends.iter().flat_map(|job| &job.rows).any(Encoded::speaks);
        self.begin().await?;
        self.tx.stage = Stage::Working;
        if !appends.is_empty() {
            self.append(appends).await?;
        }
        self.births(births, appends.is_empty() && jobs.is_empty()).await?;
        if let ([(job, _)], [], []) = (&mut **jobs, &**appends, &**births) {
            // Alone in its transaction, it needs no savepoint: two trips less.
            job.run(&mut self.tx).await?;
        } else {
            for (job, outcome) in jobs {
                self.tx.control("SAVEPOINT job").await?;
                *outcome = job.run(&mut self.tx).await;
                self.end_savepoint(outcome.is_ok()).await?;
            }
        }
        self.tx.stage = Stage::Committing;
        let Some(link) = &self.link else { return self.tx.control("COMMIT").await };
        let text = link.commit(self.tx.rung);
        // It is put together from constants and this process's own number.
        sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut self.tx.connection).await?;
        Ok(())
    }

    async fn begin(&mut self) -> Result<(), StoreError> {
        match &mut self.tx.connection {
            // A transaction that will write says so at once: one that begins by reading could find later that it
            // may not write.
            Connection::Sqlite(_) => self.tx.control("BEGIN IMMEDIATE").await,
            // One trip for both. With its name, the server can tell later what became of it.
            Connection::Postgres(connection) => {
                let text = self.link.as_deref().map_or("BEGIN", |link| link.begin(self.turn));
                let begin = sqlx::raw_sql(text);
                let rows = begin.fetch_all(connection).await?;
                self.tx.transaction = rows.first().map(|row| row.try_get(0)).transpose()?;
                Ok(())
            }
        }
    }

    async fn end_savepoint(&mut self, good: bool) -> Result<(), StoreError> {
        if !good {
            self.tx.series.forget();
            self.tx.control("ROLLBACK TO SAVEPOINT job").await?;
        }
        self.tx.control("RELEASE SAVEPOINT job").await
    }

    /// All new executions at once; if that fails, one after the other, so that only the bad ones fail. What is `alone`
    /// in its transaction needs no savepoint.
    async fn births(&mut self, jobs: &mut [BirthJob], alone: bool) -> Result<(), StoreError> {
        if let ([job], true) = (&mut *jobs, alone) {
            job.outcome = birth::create(&mut self.tx, &job.birth, None).await;
            return job.outcome.clone().map(|_| ());
        }
        if jobs.is_empty() {
            return Ok(());
        }
        self.tx.control("SAVEPOINT job").await?;
        let births: Vec<&Birth> = jobs.iter().map(|job| &job.birth).collect();
        let first = birth::insert(&mut self.tx, &births, None).await;
        self.end_savepoint(first.is_ok()).await?;
        match first {
            Ok(first) => {
                for (key, job) in (first..).zip(jobs) {
                    job.outcome = Ok(Created::New(ExecutionKey(key)));
                }
            }
            Err(_) => {
                for job in jobs {
                    self.tx.control("SAVEPOINT job").await?;
                    job.outcome = birth::create(&mut self.tx, &job.birth, None).await;
                    self.end_savepoint(job.outcome.is_ok()).await?;
                }
            }
        }
        Ok(())
    }

    /// All appends at once; if that fails, one after the other, so that only the bad ones fail.
    async fn append(&mut self, jobs: &mut [AppendJob]) -> Result<(), StoreError> {
        let ownership = self.lease.ownership();
        // What was decided before everything was lost is out of date, even where the same shards are held again.
        for job in jobs.iter_mut().filter(|job| job.term != ownership.term()) {
            job.outcome = Err(StoreError::Fenced);
        }
        append::fence(&mut self.tx, &ownership, jobs).await?;
        let rows: Vec<&Encoded> =
            jobs.iter().filter(|job| job.outcome.is_ok()).flat_map(|job| job.rows.iter()).collect();
        if rows.is_empty() {
            return Ok(());
        }
        if append::insert(&mut self.tx, &ownership, &rows).await.is_ok() {
            return Ok(());
        }
        self.tx.control("ROLLBACK").await?;
        self.begin().await?;
        append::fence(&mut self.tx, &ownership, jobs).await?;
        for job in jobs.iter_mut().filter(|job| job.outcome.is_ok()) {
            self.tx.control("SAVEPOINT job").await?;
            let rows: Vec<&Encoded> = job.rows.iter().collect();
            job.outcome = append::insert(&mut self.tx, &ownership, &rows).await;
            self.end_savepoint(job.outcome.is_ok()).await?;
        }
        Ok(())
    }
}

/// Returns when the writer has something to do though nobody writes.
async fn idle(link: Option<&Link>) {
    match link {
        Some(link) => link.idle().await,
        None => std::future::pending().await,
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
        self.queue(Command::Job(Box::new(Work { term: self.term, work: Some(work), value: None, reply }))).await?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Queues journal rows and waits for their commit.
    pub(super) async fn write_appends(&self, rows: Vec<Encoded>) -> Result<(), StoreError> {
        let term = self.inner.lease.ownership().term();
        let (reply, answer) = oneshot::channel();
        self.queue(Command::Append(AppendJob { rows, term, outcome: Ok(()), reply })).await?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Queues a new execution and waits for its commit.
    pub(super) async fn write_birth(&self, birth: Birth) -> Result<Created, StoreError> {
        // Somebody has to look before it is written: for what started in its place, or for the term.
        if birth.may_exist() || self.term.is_some() {
            return self.write(move |tx| Box::pin(async move { birth::create(tx, &birth, None).await })).await;
        }
        let (reply, answer) = oneshot::channel();
        self.queue(Command::Birth(Box::new(BirthJob { birth, outcome: Err(StoreError::Closed), reply }))).await?;
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
