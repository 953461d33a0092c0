//! Opening a database of either kind: held by this process, with its tables up to date.

use sqlx::AnyPool;
use sqlx::migrate::Migrator;
use tokio_util::task::AbortOnDropHandle;

use super::connection::Connection;
use super::ownership::Lock;
use super::postgres::{self, Link, Server, Session};
use super::writer::{Bells, Hold};
use super::{StoreError, StoreOptions, connect};

/// The tables, one text for both databases.
pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("src/store/migrations");

/// An open database.
pub(super) struct Opened {
    /// What people may see of its address.
    pub(super) database: String,
    /// For all writes.
    pub(super) connection: Connection,
    /// For all reads.
    pub(super) reads: AnyPool,
    /// What keeps other processes out.
    pub(super) hold: Hold,
    /// Rings the bells when another process commits something.
    pub(super) listener: Option<AbortOnDropHandle<()>>,
}

impl Opened {
    /// Opens what the options name.
    pub(super) async fn open(options: &StoreOptions, bells: &Bells) -> Result<Self, StoreError> {
        if is_server(&options.url) { Self::server(options, bells).await } else { Self::file(options).await }
    }

    async fn file(options: &StoreOptions) -> Result<Self, StoreError> {
        let StoreOptions { url, owner, .. } = options.clone();
        let (file, lock) = tokio::task::spawn_blocking(move || {
            let file = connect::locate(&url)?;
            let lock = Lock::acquire(&file, &owner)?;
            Ok::<_, StoreError>((file, lock))
        })
        .await
        // The task is not cancelled and doesn't panic.
        .unwrap_or(Err(StoreError::Closed))?;
        let mut connection = connect::writer(&file, options).await?;
        MIGRATIONS.run(&mut connection).await?;
        Ok(Self {
            database: file.display().to_string(),
            connection: Connection::Sqlite(connection),
            reads: connect::readers(&file).await?,
            hold: Hold::File(lock),
            listener: None,
        })
    }

    async fn server(options: &StoreOptions, bells: &Bells) -> Result<Self, StoreError> {
        let server = Server::new(options)?;
        let mut session = Session::open(&server).await?;
        session.furnish(&server, &MIGRATIONS).await?;
        // Signs this process's notices, so that it doesn't listen to itself.
        let sender = format!("{:016x}", fastrand::u64(..));
        Ok(Self {
            database: server.shown().to_owned(),
            connection: Connection::Postgres(session.connection),
            reads: server.readers().await?,
            listener: Some(postgres::listen(&server, bells.clone(), sender.clone()).await?),
            hold: Hold::Session(Box::new(Link::new(server, session.identity, sender))),
        })
    }
}

fn is_server(url: &str) -> bool {
    url.starts_with("postgres:") || url.starts_with("postgresql:")
}
