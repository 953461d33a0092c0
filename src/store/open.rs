//! Opening a database of either kind: held by this process, with its tables up to date.

use std::fmt::Display;
use std::path::PathBuf;
use std::sync::LazyLock;

use sqlx::migrate::Migrator;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AnyPool, ConnectOptions as _};
use tokio_util::task::AbortOnDropHandle;

use super::bell::Bells;
use super::connection::Connection;
use super::lease::Lease;
use super::ownership::Lock;
use super::ownership::Ownership;
use super::postgres::{self, Identity, Keeper, Link, Server, Session, session};
use super::writer::Hold;
use super::{StoreError, StoreOptions, connect, lane, series, step};

/// The tables, one text for both databases. Whether steps that are not among them are good is decided in `step`.
pub(super) static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrations = sqlx::migrate!("src/store/migrations");
    migrations.set_ignore_missing(true);
    migrations
});

/// A database that this process holds, whatever tables it has.
pub(super) struct Held {
    /// What people may see of its address.
    pub(super) database: String,
    /// For all writes.
    pub(super) connection: Connection,
    place: Place,
}

/// Where the database is, and what keeps other processes out.
enum Place {
    File(PathBuf, Lock),
    Server(Box<Server>, Identity),
    Memory,
}

impl Held {
    /// Takes what the options name.
    pub(super) async fn open(options: &StoreOptions) -> Result<Self, StoreError> {
        if !is_server(&options.url) && options.replicas.is_some() {
            return Err(StoreError::BadUrl {
                url: options.url.clone(),
                reason: "several replicas need a PostgreSQL server; write `postgres://USER@HOST:PORT/DATABASE`",
            });
        }
        if is_server(&options.url) {
            let server = Server::new(options)?;
            let Session { connection, identity } = Session::open(&server).await?;
            let database = server.shown().to_owned();
            let place = Place::Server(Box::new(server), identity);
            return Ok(Self { database, connection: Connection::Postgres(connection), place });
        }
        let StoreOptions { url, owner, .. } = options.clone();
        let (file, lock) = tokio::task::spawn_blocking(move || {
            let file = connect::locate(&url)?;
            let lock = Lock::acquire(&file, &owner)?;
            Ok::<_, StoreError>((file, lock))
        })
        .await
        // The task is not cancelled and doesn't panic.
        .unwrap_or(Err(StoreError::Closed))?;
        let connection = Connection::Sqlite(connect::writer(&file, options).await?);
        Ok(Self { database: file.display().to_string(), connection, place: Place::File(file, lock) })
    }

    /// A database in memory with the tables of a step, as the migrations leave them.
    pub(super) async fn in_memory(step: i64) -> Result<Connection, StoreError> {
        let connection = SqliteConnectOptions::new().in_memory(true).disable_statement_logging().connect().await?;
        let connection = Connection::Sqlite(connection);
        let mut held = Self { database: "memory".to_owned(), connection, place: Place::Memory };
        held.bring_to(step).await?;
        Ok(held.connection)
    }

    /// The last step that this version knows.
    pub(super) fn last_step() -> i64 {
        step::last(&MIGRATIONS)
    }

    /// Brings the tables up to date; the step is that of this version, or of a later one with which it can work.
    pub(super) async fn bring_up_to_date(&mut self) -> Result<i64, StoreError> {
        self.bring_to(Self::last_step()).await
    }

    /// Brings the tables to a step, if they are behind it; answers with the step at which they are then.
    pub(super) async fn bring_to(&mut self, step: i64) -> Result<i64, StoreError> {
        self.bring_along(&MIGRATIONS, step).await
    }

    /// The same with other migrations than those of this version.
    pub(super) async fn bring_along(&mut self, tables: &Migrator, step: i64) -> Result<i64, StoreError> {
        let shared = matches!(&self.place, Place::Server(server, _) if server.is_shared());
        if let Connection::Postgres(connection) = &mut self.connection {
            session::begin_furnishing(connection).await?;
        }
        step::admit(&mut self.connection, tables, step, shared).await?;
        match &mut self.connection {
            Connection::Sqlite(connection) => tables.run_to(step, connection).await?,
            Connection::Postgres(connection) => {
                if let Place::Server(server, _) = &self.place {
                    session::furnish(connection, server, tables, step).await?;
                    session::end_furnishing(connection).await?;
                }
            }
        }
        let reached = sqlx::query_scalar("SELECT COALESCE(MAX(version), 0) FROM _sqlx_migrations");
        Ok(reached.fetch_one(&mut self.connection).await?)
    }

    /// Lets another process have it.
    pub(super) async fn close(self) -> Result<(), StoreError> {
        Ok(self.connection.close().await?)
    }

    /// The refusal to put something into a database that holds something.
    pub(super) fn not_empty(&self, reason: impl Display) -> StoreError {
        StoreError::NotEmpty { database: self.database.clone(), reason: reason.to_string() }
    }
}

/// A database that is ready for a store.
pub(super) struct Opened {
    /// What people may see of its address.
    pub(super) database: String,
    /// For all writes.
    pub(super) connection: Connection,
    /// For all reads.
    pub(super) reads: AnyPool,
    /// What keeps other processes out.
    pub(super) hold: Hold,
    /// What this process may do.
    pub(super) lease: Lease,
    /// Rings the bells when another process commits something, and tells others.
    pub(super) tasks: Vec<AbortOnDropHandle<()>>,
}

impl Opened {
    /// Opens what the options name, with its tables up to date.
    pub(super) async fn open(options: &StoreOptions, bells: &Bells) -> Result<Self, StoreError> {
        let mut held = Held::open(options).await?;
        held.bring_up_to_date().await?;
        lane::gather(&mut held.connection).await?;
        series::gather(&mut held.connection).await?;
        let Held { database, mut connection, place } = held;
        let lease = if options.replicas.is_some() {
            Lease::shared()
        } else {
            Lease::alone(Ownership::claim(&mut connection, &options.owner).await?)
        };
        match (place, &mut connection) {
            (Place::File(file, lock), _) => {
                let reads = connect::readers(&file).await?;
                Ok(Self { database, connection, reads, hold: Hold::File(lock), lease, tasks: Vec::new() })
            }
            (Place::Server(server, identity), Connection::Postgres(writer)) => {
                server.set_limits(writer).await?;
                // Signs this process's notices, so that it doesn't listen to itself.
                let process = server.process().cloned();
                let sender =
                    process.as_ref().map_or_else(|| format!("{:016x}", fastrand::u64(..)), |it| it.as_str().to_owned());
                let mut tasks = vec![postgres::listen(&server, bells.clone(), sender.clone(), lease.clone()).await?];
                let reads = server.readers(lease.clone()).await?;
                let mut keeper = None;
                if let (Some(process), Some(said)) = (process, options.replicas.clone()) {
                    let (server, lease) = (Server::clone(&server), lease.clone());
                    tasks.push(postgres::tell(server.clone(), process.clone(), lease.clone()));
                    keeper = Some(Keeper::start(server, process, said, lease).await?);
                }
                let hold = Hold::Session(Box::new(Link::new(*server, identity, sender)), keeper);
                Ok(Self { database, connection, reads, hold, lease, tasks })
            }
            // No options name these.
            (Place::Server(..), Connection::Sqlite(_)) | (Place::Memory, _) => Err(StoreError::Closed),
        }
    }
}

fn is_server(url: &str) -> bool {
    url.starts_with("postgres:") || url.starts_with("postgresql:")
}
