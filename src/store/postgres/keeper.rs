//! The keeper of a replica's lease: a task with a connection of its own, so that nothing that the store is busy with
//! delays a renewal.
//!
//! It renews every two seconds; each renewal also gives back what is to be given, and takes what is free (`round`). When
//! it can't reach the server, the lease ends by itself (`Lease::watch_the_time`); when it has ended, the process joins
//! anew, with nothing.

use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection, raw_sql};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::Server;
use super::round::{self, LEASE, Process, Standing};
use crate::store::StoreError;
use crate::store::duty::Duty;
use crate::store::lease::{Grant, Lease, Returned};
use crate::store::ownership::Ownership;
use crate::store::replica::Replicas;

/// How often a lease is renewed.
const RENEWAL: Duration = Duration::from_secs(2);
/// How long the server may take for an answer, the connection included.
const REQUEST: Duration = Duration::from_secs(2);
/// How much sooner a lease is over here than in the database: what was begun in the last moment has that long to end.
const MARGIN: Duration = Duration::from_secs(1);
/// How long whoever has a duty here has to stop, before another replica may take it.
const STEPPING_DOWN: Duration = Duration::from_millis(1500);
/// The pause after a failure.
const PAUSE: Duration = Duration::from_millis(250);

/// A running keeper.
pub(in crate::store) struct Keeper {
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
    _clock: AbortOnDropHandle<()>,
}

impl Keeper {
    /// Joins the replicas of a database, and keeps the lease until it is stopped. When this returns, the first round is
    /// done.
    pub(in crate::store) async fn start(
        server: Server,
        process: Process,
        said: Replicas,
        lease: Lease,
    ) -> Result<Self, StoreError> {
        let mut work = Work { server, process, said, lease, connection: None, term: 0, surplus: None };
        work.turn().await?;
        let stop = CancellationToken::new();
        let clock = AbortOnDropHandle::new(tokio::spawn(work.lease.clone().watch_the_time()));
        let task = tokio::spawn(work.run(stop.clone()));
        Ok(Self { stop, task: Some(task), _clock: clock })
    }

    /// Gives everything back, so that others have it at once.
    pub(in crate::store) async fn stop(mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            // It doesn't panic.
            let _ = task.await.is_ok();
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

struct Work {
    server: Server,
    process: Process,
    said: Replicas,
    lease: Lease,
    connection: Option<PgConnection>,
    /// How often it joined; 0: it is to join first.
    term: u64,
    /// Duties that others should have, and since when whoever has them here knows that.
    surplus: Option<(Instant, Vec<Duty>)>,
}

impl Work {
    async fn run(mut self, stop: CancellationToken) {
        let mut pause = Duration::ZERO;
        let mut failing = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(pause) => {}
                () = self.lease.nudged() => {}
            }
            #[cfg(test)]
            if self.lease.is_stopped() {
                return;
            }
            pause = match self.turn().await {
                Ok(quiet) => {
                    if std::mem::take(&mut failing) {
                        tracing::info!("this replica's lease can be renewed again");
                    }
                    quiet
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(%error, "this replica's lease could not be renewed; trying again");
                    }
                    self.connection = None;
                    PAUSE
                }
            };
        }
        self.lease.lapse();
        let left = timeout(REQUEST, async {
            let process = self.process.clone();
            round::leave(self.connect().await?, &process).await?;
            if let Some(connection) = self.connection.take() {
                connection.close().await?;
            }
            Ok::<_, StoreError>(())
        });
        if !matches!(left.await, Ok(Ok(()))) {
            tracing::warn!("the database was not told that this replica stops; others take over in a few seconds");
        }
    }

    /// Joins if need be, and does a round; for how long nothing is to be done then.
    async fn turn(&mut self) -> Result<Duration, StoreError> {
        let lapses = self.lease.lapses();
        let began = Instant::now();
        match timeout(REQUEST, self.ask()).await {
            Ok(Ok(Some((standing, asked)))) => {
                self.lease.saw_tables(standing.step());
                let (held, epochs) = standing.held()?;
                let (terms, surplus) = standing.duties();
                let grant = Grant {
                    term: self.term,
                    until: began + Duration::from_millis(LEASE.unsigned_abs()).saturating_sub(MARGIN),
                    ownership: Ownership::of(self.process.replica(self.term), epochs, self.term),
                    held,
                    leaving: standing.leaving()?,
                    terms,
                };
                if !self.lease.grant(grant, asked, lapses) {
                    self.lease.lapse();
                    return Ok(Duration::ZERO);
                }
                let quiet = Duration::from_millis(u64::try_from(standing.quiet_for()).unwrap_or(0));
                self.surplus = match self.surplus.take() {
                    _ if surplus.is_empty() => None,
                    Some((since, known)) if known == surplus => Some((since, known)),
                    _ => Some((Instant::now(), surplus)),
                };
                Ok(quiet.min(if self.surplus.is_some() { STEPPING_DOWN } else { RENEWAL }))
            }
            Ok(Ok(None)) => {
                tracing::warn!("this replica's lease was over before it was renewed; it joins anew");
                self.lease.lapse();
                Ok(Duration::ZERO)
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(StoreError::Disconnected { reason: format!("no answer within {REQUEST:?}") }),
        }
    }

    /// `None`: the lease is over in the database.
    async fn ask(&mut self) -> Result<Option<(Standing, Returned)>, StoreError> {
        if self.term == 0 || !self.lease.is_granted() {
            let (process, said, id) = (self.process.clone(), self.said.clone(), self.process.replica(self.term + 1));
            round::join(self.connect().await?, &process, &id, &said).await?;
            self.term += 1;
            self.surplus = None;
            tracing::info!(replica = id, name = said.name, "joined the replicas of the database");
        }
        let asked = self.lease.to_return();
        let id = self.process.replica(self.term);
        let given_up = self.surplus.clone().filter(|(since, _)| since.elapsed() >= STEPPING_DOWN);
        let duties = given_up.map_or_else(Vec::new, |(_, duties)| duties);
        let standing = round::round(self.connect().await?, &id, asked, &duties).await?;
        Ok(standing.is_alive().then_some((standing, asked)))
    }

    /// The connection, made if there is none.
    async fn connect(&mut self) -> Result<&mut PgConnection, StoreError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let mut connection = self.server.connect_plainly().await?;
                raw_sql(
                    "SET statement_timeout = '2s'; SET lock_timeout = '1500ms'; SET client_min_messages = error; \
                     SET idle_in_transaction_session_timeout = '2s'; \
                     SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3",
                )
                .execute(&mut connection)
                .await?;
                connection
            }
        };
        Ok(self.connection.insert(connection))
    }
}
