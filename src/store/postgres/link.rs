//! Staying connected: what the writer does when its server restarts, its network breaks, or somebody ends its
//! session.
//!
//! The session holds the database, so a new one has to take it again, and to find every shard still owned. If
//! somebody else took it meanwhile, this process has lost it for good. A replica loses nothing by that: its lease says
//! what it may do.

use std::sync::LazyLock;
use std::time::Duration;

use sqlx::PgConnection;
use tokio::time::{Instant, sleep, timeout};

use super::Server;
use super::session::{self, Identity, Session};
use crate::store::StoreError;
use crate::store::bell::Rung;
use crate::store::connection::Connection;
use crate::store::ownership::Ownership;

/// How long writes that meet a dead connection wait for a new one. Tests don't wait for what they know won't come.
const PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 10 });
/// The first and the longest pause between two attempts.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// How often an idle connection is tried.
const CHECK: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 10 });
/// How long a sign of life may take.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);
/// What these are for a replica, whose work others take over meanwhile.
const SHORT_PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 4 });
const SHORT_CHECK: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 3 });
const SHORT_SIGN_OF_LIFE: Duration = Duration::from_secs(2);
/// How long a transaction may take, whatever it waits for.
const LONGEST: Duration = Duration::from_secs(75);
const SHORT_LONGEST: Duration = Duration::from_secs(10);

/// The writer's tie to its server.
pub(in crate::store) struct Link {
    server: Server,
    identity: Identity,
    sender: String,
    state: State,
}

enum State {
    Up,
    /// There is no connection; the next attempt is made then.
    Down {
        next: Instant,
        pause: Duration,
        error: StoreError,
    },
    /// Another process has the database.
    Lost(StoreError),
}

impl Link {
    /// A link that is up; `sender` is what this process signs its notices with.
    pub(in crate::store) fn new(server: Server, identity: Identity, sender: String) -> Self {
        Self { server, identity, sender, state: State::Up }
    }

    /// Why the database is lost for good, if it is.
    pub(in crate::store) fn lost(&self) -> Option<&StoreError> {
        match &self.state {
            State::Lost(error) => Some(error),
            State::Up | State::Down { .. } => None,
        }
    }

    /// The statements that end a transaction, in one trip. The first fails if the transaction has failed, because
    /// then the server would call a rollback a successful commit.
    pub(in crate::store) fn commit(&self, rung: Rung) -> String {
        let mut text = String::from("SELECT 1; ");
        let shared = self.server.is_shared();
        for bell in rung.bells().filter(|bell| shared || !bell.is_for_replicas()) {
            text.push_str(&format!("NOTIFY {}, '{}'; ", bell.channel(), self.sender));
        }
        text.push_str("COMMIT");
        text
    }

    /// When something is to be done though nobody writes.
    pub(in crate::store) async fn idle(&self) {
        match &self.state {
            State::Up => sleep(if self.server.is_shared() { SHORT_CHECK } else { CHECK }).await,
            State::Down { next, .. } => tokio::time::sleep_until(*next).await,
            State::Lost(_) => std::future::pending().await,
        }
    }

    /// Tries an idle connection, or makes one where there is none.
    pub(in crate::store) async fn look_after(&mut self, connection: &mut Connection, ownership: &Ownership) {
        if matches!(self.state, State::Up) && !self.answers(connection).await {
            tracing::warn!(database = self.server.shown(), "the connection to the database is gone; making a new one");
            self.state = down();
        }
        // What is wrong is kept in the state, for whoever writes next.
        let _ = self.ready(connection, ownership).await.is_ok();
    }

    /// Whether the connection is alive and outside of any transaction.
    pub(in crate::store) async fn answers(&self, connection: &mut Connection) -> bool {
        let asked = sqlx::query("ROLLBACK").execute(connection);
        let patience = if self.server.is_shared() { SHORT_SIGN_OF_LIFE } else { SIGN_OF_LIFE };
        matches!(timeout(patience, asked).await, Ok(Ok(_)))
    }

    /// How long a transaction may take.
    pub(in crate::store) fn longest(&self) -> Duration {
        if self.server.is_shared() { SHORT_LONGEST } else { LONGEST }
    }

    /// The statements that begin a transaction, the name of which is the first that is answered. Replicas write one after
    /// the other, as the jobs of one writer do, so that what a job reads is true until its commit; only the engine's
    /// journal rows, which belong to one replica each, need no turn.
    pub(in crate::store) fn begin(&self, turn: bool) -> &'static str {
        static IN_TURN: LazyLock<String> = LazyLock::new(|| {
            format!("BEGIN; SELECT pg_current_xact_id()::text; SELECT pg_advisory_xact_lock({})", session::TURN)
        });
        if turn && self.server.is_shared() { &IN_TURN } else { "BEGIN; SELECT pg_current_xact_id()::text" }
    }

    /// An error after which the same may go well, in words that say so: a replica waited too long for another, or each for
    /// the other.
    pub(in crate::store) fn explain(&self, error: StoreError) -> StoreError {
        let StoreError::Database(said) = &error else { return error };
        let code = said.as_database_error().and_then(|error| error.code());
        // Lock not available, statement timeout, deadlock, serialization.
        match code.as_deref() {
            Some("55P03" | "57014" | "40P01" | "40001") if self.server.is_shared() => {
                StoreError::Disconnected { reason: format!("another replica was in the way: {said}") }
            }
            _ => error,
        }
    }

    /// Notes that the connection is gone.
    pub(in crate::store) fn broke(&mut self) {
        if matches!(self.state, State::Up) {
            self.state = down();
        }
    }

    /// Sees to it that there is a connection, by one attempt if it is time for one.
    pub(in crate::store) async fn ready(
        &mut self,
        connection: &mut Connection,
        ownership: &Ownership,
    ) -> Result<(), StoreError> {
        match &self.state {
            State::Up => Ok(()),
            State::Lost(error) => Err(error.clone()),
            State::Down { next, error, .. } if *next > Instant::now() => Err(error.clone()),
            State::Down { pause, .. } => {
                let pause = *pause;
                self.attempt(connection, ownership, pause).await
            }
        }
    }

    /// Makes a new connection, trying for a while.
    pub(in crate::store) async fn reconnect(
        &mut self,
        connection: &mut Connection,
        ownership: &Ownership,
    ) -> Result<(), StoreError> {
        self.broke();
        let patience = if self.server.is_shared() { SHORT_PATIENCE } else { PATIENCE };
        let until = Instant::now() + patience;
        loop {
            let outcome = match timeout(patience, self.ready(connection, ownership)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(StoreError::Disconnected { reason: format!("no answer within {patience:?}") }),
            };
            match &self.state {
                State::Down { next, .. } if *next < until => tokio::time::sleep_until(*next).await,
                _ => return outcome,
            }
        }
    }

    async fn attempt(
        &mut self,
        connection: &mut Connection,
        ownership: &Ownership,
        pause: Duration,
    ) -> Result<(), StoreError> {
        let error = match self.renew(connection, ownership).await {
            Ok(()) => {
                tracing::info!(database = self.server.shown(), "connected to the database again");
                self.state = State::Up;
                return Ok(());
            }
            Err(error @ StoreError::Taken { .. }) => {
                tracing::error!(%error, "this process has lost its database");
                self.state = State::Lost(error.clone());
                return Err(error);
            }
            Err(error) => error,
        };
        if pause == PAUSES.1 {
            tracing::warn!(%error, "still no connection to the database");
        }
        // Whoever wants to write learns that it can be tried again, whatever keeps the server away.
        let error = match error {
            error @ StoreError::Disconnected { .. } => error,
            other => StoreError::Disconnected { reason: other.to_string() },
        };
        let longer = (pause * 2).min(PAUSES.1);
        self.state = State::Down { next: Instant::now() + pause, pause: longer, error: error.clone() };
        Err(error)
    }

    /// A new session that holds the database, with all shards still owned; those of a replica are its lease's matter.
    async fn renew(&mut self, connection: &mut Connection, ownership: &Ownership) -> Result<(), StoreError> {
        let session = Session::reopen(&self.server, &self.identity).await?;
        let mut fresh = Connection::Postgres(session.connection);
        if !self.server.is_shared() && !ownership.holds_all(&mut fresh).await? {
            return Err(StoreError::Taken {
                database: self.server.shown().to_owned(),
                holder: "one that took it over while there was no connection".to_owned(),
            });
        }
        self.identity = session.identity;
        *connection = fresh;
        Ok(())
    }

    /// Whether a transaction was committed whose commit was sent and not answered. To be asked on a new session that
    /// holds the database: the old one has ended then. `None`: the server can't tell.
    pub(in crate::store) async fn was_committed(connection: &mut PgConnection, transaction: &str) -> Option<bool> {
        let status: Result<Option<String>, sqlx::Error> =
            sqlx::query_scalar("SELECT pg_xact_status($1::text::xid8)").bind(transaction).fetch_one(connection).await;
        match status {
            Ok(Some(status)) if status == "committed" => Some(true),
            Ok(Some(status)) if status == "aborted" => Some(false),
            // "in the future": a server that crashed has no trace of it.
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("22023") => Some(false),
            Ok(_) | Err(_) => None,
        }
    }
}

fn down() -> State {
    let error = StoreError::Disconnected { reason: "a new connection is being made".to_owned() };
    State::Down { next: Instant::now(), pause: PAUSES.0, error }
}
