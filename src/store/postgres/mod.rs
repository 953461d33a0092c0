//! PostgreSQL: finding the server, and connections that are set up as the store needs them.
//!
//! What only PostgreSQL has is in this folder: the session that holds the database (`session`), the hot path
//! (`append`), what happens when the connection breaks (`link`), how other processes' commits are heard of
//! (`listen`), and how replicas share the database (`keeper`, `round`, `tell`). All else is the same as on SQLite.

mod address;
pub(super) mod append;
mod keeper;
mod link;
mod listen;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod replicas;
mod round;
pub(super) mod session;
mod tell;
#[cfg(test)]
mod tests;

pub(super) use address::shown;
pub(super) use keeper::Keeper;
pub(super) use link::Link;
pub(super) use listen::listen;
pub(super) use round::Process;
pub(super) use session::{Identity, Session, TURN};
pub(super) use tell::tell;

use std::time::Duration;

use secrecy::ExposeSecret as _;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AnyPool, ConnectOptions as _, Connection as _, PgConnection, raw_sql};
use sqlx_core::Url;

use super::lease::Lease;
use super::{StoreError, StoreOptions};

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The same for a replica, whose work others take over meanwhile.
const SHORT_CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a read waits for a connection, a restart of the server included.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// Readers. A read is a trip over the network, so more of them than cores are of use.
const READERS: u32 = 8;
/// The oldest server that the statements run on and that is tested against (as the server counts: 14.0).
const OLDEST: i32 = 140_000;

/// A database on a PostgreSQL server. It has no `Debug`: the options hold the password.
#[derive(Clone)]
pub(in crate::store) struct Server {
    options: PgConnectOptions,
    readers: AnyConnectOptions,
    shown: String,
    durable: bool,
    /// This process, if it shares the database.
    process: Option<Process>,
}

impl Server {
    /// The server that the options name.
    pub(in crate::store) fn new(options: &StoreOptions) -> Result<Self, StoreError> {
        let shown = shown(&options.url);
        let bad = |reason| StoreError::BadUrl { url: shown.clone(), reason };
        let url: Url = options.url.parse().map_err(|_| bad("write `postgres://USER@HOST:PORT/DATABASE`"))?;
        // What `pg_stat_activity` shows, and how another Longboat names the holder; the server keeps 63 bytes.
        let process = options.replicas.as_ref().map(|_| Process::generate());
        let name = match (&process, &options.replicas) {
            (Some(process), Some(said)) => format!("{}{} {}", round::SESSION, process.as_str(), said.name),
            _ => format!("Longboat process {} as `{}`", std::process::id(), options.owner),
        };
        let mut full = url;
        let mut pairs = full.query_pairs_mut();
        pairs.append_pair("application_name", &name);
        if let Some(password) = &options.password {
            pairs.append_pair("password", password.expose_secret());
        }
        drop(pairs);
        let wrong = |_| bad("a part after `?` has a value that is not allowed there");
        let connect: PgConnectOptions = full.as_str().parse().map_err(wrong)?;
        sqlx::any::install_default_drivers();
        let readers: AnyConnectOptions = full.as_str().parse().map_err(wrong)?;
        Ok(Self {
            options: connect.disable_statement_logging(),
            readers: readers.disable_statement_logging(),
            shown,
            durable: options.durable,
            process,
        })
    }

    /// This process, if it shares the database with others.
    pub(in crate::store) fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    /// Whether this process shares the database with others.
    pub(super) fn is_shared(&self) -> bool {
        self.process.is_some()
    }

    /// A connection as it comes.
    async fn connect_plainly(&self) -> Result<PgConnection, StoreError> {
        PgConnection::connect_with(&self.options).await.map_err(|error| self.no_connection(&error))
    }

    /// The server as people may see it.
    pub(in crate::store) fn shown(&self) -> &str {
        &self.shown
    }

    /// A connection for writing, set up.
    pub(super) async fn connect(&self) -> Result<PgConnection, StoreError> {
        let patience = if self.is_shared() { SHORT_CONNECT_TIMEOUT } else { CONNECT_TIMEOUT };
        let mut connection = match tokio::time::timeout(patience, self.connect_plainly()).await {
            Ok(connection) => connection?,
            Err(_) => {
                let reason = format!("no answer within {patience:?}");
                return Err(self.refused(reason, "check host and port in `database.url`, and firewalls between"));
            }
        };
        self.examine(&mut connection).await?;
        raw_sql("SET client_min_messages = error").execute(&mut connection).await?;
        self.set_limits(&mut connection).await?;
        let level = if self.durable {
            // Whatever is stricter, as a server with replicas may have it, stays.
            "SELECT set_config('synchronous_commit', 'on', false) \
             WHERE current_setting('synchronous_commit') IN ('off', 'local')"
        } else {
            "SET synchronous_commit = off"
        };
        raw_sql(level).execute(&mut connection).await?;
        Ok(connection)
    }

    /// A dead client must not hold the database for hours: the server looks after it by itself.
    pub(in crate::store) async fn set_limits(&self, connection: &mut PgConnection) -> Result<(), StoreError> {
        // A replica holds up the others as long as a transaction of its own is open.
        let limits = if self.is_shared() {
            "SET lock_timeout = '8s'; SET statement_timeout = '10s'; \
             SET idle_in_transaction_session_timeout = '5s'; \
             SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3"
        } else {
            "SET lock_timeout = '10s'; SET statement_timeout = '60s'; \
             SET idle_in_transaction_session_timeout = '60s'; \
             SET tcp_keepalives_idle = 20; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3"
        };
        raw_sql(limits).execute(connection).await?;
        Ok(())
    }

    /// The connections for all reads; the server refuses writes on them.
    pub(in crate::store) async fn readers(&self, lease: Lease) -> Result<AnyPool, StoreError> {
        AnyPoolOptions::new()
            // What was prepared for tables that are different by now fails for ever.
            .before_acquire(move |_, connection| {
                let stale = lease.tables_changed().is_some_and(|changed| connection.age > changed.elapsed());
                Box::pin(async move { Ok(!stale) })
            })
            .max_connections(READERS)
            // A trip more for each read; without it, reads fail once for each connection after a restart of the server.
            .test_before_acquire(true)
            .acquire_timeout(READ_TIMEOUT)
            .after_connect(|connection, _| {
                Box::pin(async move {
                    raw_sql("SET default_transaction_read_only = on; SET statement_timeout = '60s'")
                        .execute(connection)
                        .await?;
                    Ok(())
                })
            })
            .connect_with(self.readers.clone())
            .await
            .map_err(|error| self.no_connection(&error))
    }

    /// Whether the server can keep what the store writes.
    async fn examine(&self, connection: &mut PgConnection) -> Result<(), StoreError> {
        let (version, name, encoding, standby): (i32, String, String, bool) = sqlx::query_as(
            "SELECT current_setting('server_version_num')::int, current_setting('server_version'), \
             current_setting('server_encoding'), pg_is_in_recovery()",
        )
        .fetch_one(&mut *connection)
        .await?;
        if version < OLDEST {
            let reason =
                format!("the server is PostgreSQL {name}, and this version needs {} or later", OLDEST / 10_000);
            return Err(self.refused(reason, "upgrade the server, or use another one"));
        }
        if encoding != "UTF8" {
            let reason = format!("its texts are kept as {encoding}, and Longboat's are UTF-8");
            return Err(self.refused(reason, "create the database with `ENCODING 'UTF8' TEMPLATE template0`"));
        }
        if standby {
            let reason = "the server is a standby, which takes no writes".to_owned();
            return Err(self.refused(reason, "name the primary server in `database.url`"));
        }
        Ok(())
    }

    pub(super) fn refused(&self, reason: String, advice: impl Into<String>) -> StoreError {
        StoreError::Unusable { database: self.shown.clone(), reason, advice: advice.into() }
    }

    /// How the user gets the rights that it needs.
    pub(super) fn advise_ownership(&self) -> String {
        let user = self.options.get_username();
        let database = self.options.get_database().unwrap_or(user);
        format!("let the database belong to that user: ALTER DATABASE \"{database}\" OWNER TO \"{user}\"")
    }

    /// Why there is no connection, and what can be done.
    fn no_connection(&self, error: &sqlx::Error) -> StoreError {
        let user = self.options.get_username();
        let database = self.options.get_database().unwrap_or(user);
        let (host, port) = (self.options.get_host(), self.options.get_port());
        let (reason, advice) = match error {
            sqlx::Error::Database(said) => match said.code().as_deref() {
                Some("28P01") => (
                    format!("the server refuses user `{user}`: the password is missing or wrong"),
                    "check `database.password`, and the user in `database.url`".to_owned(),
                ),
                Some("28000") => (
                    format!("the server lets nobody in as `{user}` from here: {}", said.message()),
                    "check the user in `database.url`, and the server's pg_hba.conf".to_owned(),
                ),
                Some("3D000") => (
                    format!("the server has no database `{database}`"),
                    format!("create it there: CREATE DATABASE \"{database}\" OWNER \"{user}\""),
                ),
                Some("42501") => (format!("user `{user}` may not use it: {}", said.message()), self.advise_ownership()),
                Some("53300") => (
                    "the server has no connection left".to_owned(),
                    "raise its max_connections, or close other programs' connections".to_owned(),
                ),
                Some("57P03") => (
                    format!("the server is not ready: {}", said.message()),
                    "wait until it has started, then try again".to_owned(),
                ),
                _ => (said.message().to_owned(), "see the server's log for more".to_owned()),
            },
            sqlx::Error::Io(io) if io.kind() == std::io::ErrorKind::ConnectionRefused => (
                format!("nothing answers at {host}:{port}"),
                "check that PostgreSQL runs there, and host and port in `database.url`".to_owned(),
            ),
            sqlx::Error::Tls(_) => {
                (format!("{error}"), "check `sslmode` and `sslrootcert` after the `?` of `database.url`".to_owned())
            }
            sqlx::Error::PoolTimedOut => (
                format!("no connection within {READ_TIMEOUT:?}"),
                "check that the server runs, and its max_connections".to_owned(),
            ),
            other => (other.to_string(), format!("check that PostgreSQL runs at {host}:{port}")),
        };
        self.refused(reason, advice)
    }
}
