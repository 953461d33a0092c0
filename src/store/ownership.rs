//! Who may run executions: a lock file keeps a second process out, and ownership rows fence late writers.
//!
//! An execution belongs to a shard (`shard`). A store claims all shards when it opens, each with a higher
//! epoch than before; every commit with journal rows holds only if owner and epoch are still those of the claim.
//! On SQLite a lock file already makes sure of it, on PostgreSQL a lock of the writer's session does
//! (`postgres::session`), and the rows are what replicas on one database rely on: each has some of the shards, as its
//! lease says (`lease`).

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::sync::{Arc, LazyLock};

use sqlx::Row as _;

use super::StoreError;
use super::chunk::Texts;
use super::connection::Connection;
use super::shard::{Shard, Shards};

/// The lock file beside the database, held as long as this lives; the system lets go of it if the process dies.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Locks the database file, or says who holds it.
    pub(super) fn acquire(database: &Path, owner: &str) -> Result<Self, StoreError> {
        let mut path = database.as_os_str().to_owned();
        path.push(".lock");
        let io = |source: std::io::Error| StoreError::Io { path: path.clone().into(), source: Arc::new(source) };
        let mut file = File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) => return Err(io(error)),
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // The holder may be about to write its line; the name is only for people.
                let read = file.take(200).read_to_string(&mut holder);
                let holder = match (read, holder.trim()) {
                    (Err(_), _) | (_, "") => "which one is not known".to_owned(),
                    (Ok(_), text) => text.to_owned(),
                };
                return Err(StoreError::Taken { database: database.display().to_string(), holder });
            }
        }
        file.set_len(0).map_err(io)?;
        file.rewind().map_err(io)?;
        writeln!(file, "process {} as `{owner}`", std::process::id()).map_err(io)?;
        Ok(Self { _file: file })
    }
}

/// The epochs under which this store owns the shards.
#[derive(Debug)]
pub(super) struct Ownership {
    owner: String,
    epochs: [i64; Shard::COUNT],
    /// How often this process joined the replicas.
    term: u64,
}

impl Ownership {
    /// Takes over all shards.
    pub(super) async fn claim(connection: &mut Connection, owner: &str) -> Result<Self, StoreError> {
        static CLAIM: LazyLock<String> = LazyLock::new(|| {
            let rows: Vec<String> = (0..Shard::COUNT).map(|shard| format!("({shard}, $1, 1)")).collect();
            format!(
                "INSERT INTO shard (shard, owner, epoch) VALUES {} \
                 ON CONFLICT (shard) DO UPDATE SET owner = excluded.owner, epoch = shard.epoch + 1, expires_at = NULL",
                rows.join(", ")
            )
        });
        sqlx::query(CLAIM.as_str()).bind(owner).execute(&mut *connection).await?;
        let mut epochs = [0; Shard::COUNT];
        for row in sqlx::query("SELECT shard, epoch FROM shard").fetch_all(connection).await? {
            epochs[Shard::of_row(row.try_get("shard")?)?.index()] = row.try_get("epoch")?;
        }
        Ok(Self { owner: owner.to_owned(), epochs, term: 0 })
    }

    /// Of nothing.
    pub(super) fn none() -> Self {
        Self { owner: "-".to_owned(), epochs: [0; Shard::COUNT], term: 0 }
    }

    /// Of the shards with those epochs; those with 0 are others'. `term` is how often this process joined the replicas.
    pub(super) fn of(owner: String, epochs: [i64; Shard::COUNT], term: u64) -> Self {
        Self { owner, epochs, term }
    }

    /// How often this process joined the replicas: what was decided under another number is out of date, because
    /// everything was lost in between. 0: it has the database for itself, or nothing.
    pub(super) fn term(&self) -> u64 {
        self.term
    }

    /// Who owns.
    pub(super) fn owner(&self) -> &str {
        &self.owner
    }

    /// The epoch under which a shard was claimed.
    pub(super) fn epoch(&self, shard: Shard) -> i64 {
        self.epochs[shard.index()]
    }

    /// Whether all shards are still owned.
    pub(super) async fn holds_all(&self, connection: &mut Connection) -> Result<bool, StoreError> {
        Ok(self.still_owned(connection, Shards::ALL).await? == Shards::ALL)
    }

    /// Which of the `asked` shards are still owned: one statement, in the transaction that relies on it.
    pub(super) async fn still_owned(&self, connection: &mut Connection, asked: Shards) -> Result<Shards, StoreError> {
        /// For 1, 2, 4, ... shards; what is left over is filled with a repetition.
        static FENCE: LazyLock<Texts> =
            LazyLock::new(|| Texts::new("SELECT shard, epoch FROM shard WHERE owner = ? AND shard IN (", "?", ")"));
        let shards: Vec<Shard> = asked.iter().collect();
        let mut owned = Shards::NONE;
        let Some(last) = shards.last() else { return Ok(owned) };
        let places = shards.len().next_power_of_two();
        let mut query = sqlx::query(FENCE.text(connection.backend(), places)).bind(&self.owner);
        for place in 0..places {
            query = query.bind(shards.get(place).unwrap_or(last).number());
        }
        for row in query.fetch_all(connection).await? {
            let shard = Shard::of_row(row.try_get("shard")?)?;
            if row.try_get::<i64, _>("epoch")? == self.epoch(shard) {
                owned.insert(shard);
            }
        }
        Ok(owned)
    }
}
