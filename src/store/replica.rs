//! Several processes on one PostgreSQL database: what each is called, what it may do, and who does what.
//!
//! A *replica* is one process that opened the database with [`Replicas`]. Its *lease* is its right to act, until a time
//! by the database's clock; as long as it has one, it renews it (`postgres::keeper`). What is divided among those that
//! have a lease are the shards of the executions and the duties (`duty`). When a lease is over, the others take what was its own, each with a higher epoch, and whatever it still writes is refused by the epoch.
//!
//! A store that has the database for itself has everything for ever, and nothing of this costs it anything.

use std::time::Duration;

use tokio::sync::{broadcast, watch};

use super::duty::Duty;
use super::rows::Row;
use super::shard::{Shard, Shards};
use super::{Store, StoreError, Word};
use crate::clock::Timestamp;
use crate::model::ExecutionId;

/// What a process that shares its database says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replicas {
    /// What people call it.
    pub name: String,
    /// Its state folder, which stays when the process is started anew.
    pub node: String,
    /// Its version.
    pub version: String,
    /// The newest form of a journal that it reads.
    pub journal: i64,
    /// A digest of the parts of its configuration that all replicas should have in common.
    pub digest: String,
}

impl Replicas {
    /// One that says its name, and nothing else that matters.
    pub fn named(name: impl Into<String>) -> Self {
        let name = name.into();
        Self { node: name.clone(), name, version: String::new(), journal: 0, digest: String::new() }
    }
}

/// A replica as the database knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaState {
    /// Its id, made when it joined.
    pub id: String,
    /// Whether it is the one that was asked.
    pub own: bool,
    /// What it said of itself.
    pub said: Replicas,
    /// When it joined, by the database's clock.
    pub started_at: Timestamp,
    /// Until when it may act, by the database's clock.
    pub lease_until: Timestamp,
    /// Whether it may act.
    pub alive: bool,
    /// Whether it is about to stop.
    pub leaving: bool,
    /// The shards that are its own.
    pub shards: Shards,
    /// The duties that are its own.
    pub duties: Vec<Duty>,
}

impl ReplicaState {
    /// How it stands, in a word: `alive`; `leaving`, if it is about to stop; `lost`, if its lease is over.
    pub const fn state(&self) -> &'static str {
        match (self.alive, self.leaving) {
            (false, _) => "lost",
            (true, true) => "leaving",
            (true, false) => "alive",
        }
    }
}

/// Whether those replicas that may act are configured differently in what all should have in common.
pub fn disagree(replicas: &[ReplicaState]) -> bool {
    let mut digests = replicas.iter().filter(|replica| replica.alive).map(|replica| &replica.said.digest);
    digests.next().is_some_and(|first| digests.any(|other| other != first))
}

impl Store {
    /// Whether the database is shared with other replicas.
    pub fn is_shared(&self) -> bool {
        self.inner.lease.is_shared()
    }

    /// The shards whose executions this process runs. A process that has the database for itself has all of them, and
    /// that never changes.
    pub fn shards(&self) -> watch::Receiver<super::Owned> {
        self.inner.lease.shards()
    }

    /// Whether this process may act: its lease holds, by a clock that goes on while the process is stopped. From the
    /// moment at which this is false, nothing may be begun that is not taken back by a refused write.
    pub fn has_lease(&self) -> bool {
        self.inner.lease.holds()
    }

    /// For how long this process may act without renewing its lease; alone, there is no end.
    pub fn lease_left(&self) -> Duration {
        self.inner.lease.left()
    }

    /// Whether this process may act on the executions of a shard.
    pub fn holds(&self, shard: Shard) -> bool {
        self.inner.lease.holds_shard(shard)
    }

    /// Gives shards back, once nothing runs here any more that belongs to them. Whether others take them is not waited
    /// for.
    pub fn release(&self, shards: Shards) {
        self.inner.lease.release(shards);
    }

    /// Takes nothing more: all shards are to leave, and duties end. For a replica that is about to stop; alone,
    /// it does nothing.
    pub fn leave(&self) {
        self.inner.lease.depart();
    }

    /// Tells the other replicas something. It is sent soon and may be lost: words make things sooner, and looking makes
    /// them right. Alone, it does nothing.
    pub fn tell(&self, word: Word) {
        self.inner.lease.tell(word);
    }

    /// What other replicas say. Who is slow misses the oldest.
    pub fn words(&self) -> broadcast::Receiver<Word> {
        self.inner.lease.words()
    }

    /// The replicas, those that joined first before the others; those whose lease ended a moment ago are among them. Alone,
    /// there are none.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn replicas(&self) -> Result<Vec<ReplicaState>, StoreError> {
        if !self.is_shared() {
            return Ok(Vec::new());
        }
        let own = self.inner.lease.ownership().owner().to_owned();
        let rows = sqlx::query(
            "SELECT r.id, r.name, r.node, r.version, r.journal, r.digest, r.leaving, r.started_at, r.expires_at, \
             CASE WHEN r.expires_at > CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT) THEN 1 ELSE 0 END \
             AS alive FROM replica r ORDER BY r.started_at, r.id",
        )
        .fetch_all(self.reads())
        .await?;
        let mut replicas = Vec::with_capacity(rows.len());
        for row in &rows {
            let row = Row::of("replica", row);
            let id = row.text("id")?;
            replicas.push(ReplicaState {
                own: id == own,
                id,
                said: Replicas {
                    name: row.text("name")?,
                    node: row.text("node")?,
                    version: row.text("version")?,
                    journal: row.int("journal")?,
                    digest: row.text("digest")?,
                },
                started_at: row.time("started_at")?,
                lease_until: row.time("expires_at")?,
                alive: row.int("alive")? == 1,
                leaving: row.int("leaving")? == 1,
                shards: Shards::NONE,
                duties: Vec::new(),
            });
        }
        let of = |replicas: &[ReplicaState], owner: &str| replicas.iter().position(|one| one.id == owner);
        for row in sqlx::query("SELECT shard, owner FROM shard").fetch_all(self.reads()).await? {
            let row = Row::of("shard", &row);
            if let Some(at) = of(&replicas, &row.text("owner")?) {
                replicas[at].shards.insert(Shard::of_row(row.int("shard")?)?);
            }
        }
        for row in sqlx::query("SELECT duty, owner FROM duty ORDER BY duty").fetch_all(self.reads()).await? {
            let row = Row::of("duty", &row);
            if let (Some(at), Some(duty)) = (of(&replicas, &row.text("owner")?), Duty::of_name(&row.text("duty")?)) {
                replicas[at].duties.push(duty);
            }
        }
        Ok(replicas)
    }

    /// The replica that has an execution. Alone, there is none.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn holder(&self, id: ExecutionId) -> Result<Option<ReplicaState>, StoreError> {
        if !self.is_shared() {
            return Ok(None);
        }
        let Some(stored) = self.execution(id).await? else { return Ok(None) };
        Ok(self.replicas().await?.into_iter().find(|replica| replica.shards.contains(stored.shard)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(name: &str, digest: &str, alive: bool) -> ReplicaState {
        ReplicaState {
            id: name.to_owned(),
            own: false,
            said: Replicas { digest: digest.to_owned(), ..Replicas::named(name) },
            started_at: Timestamp::from_millis(0),
            lease_until: Timestamp::from_millis(0),
            alive,
            leaving: false,
            shards: Shards::NONE,
            duties: Vec::new(),
        }
    }

    #[test]
    fn only_those_that_may_act_are_compared() {
        let (one, same, other) = (replica("a", "1", true), replica("b", "1", true), replica("c", "2", true));
        let gone = replica("d", "3", false);
        assert!(!disagree(&[]) && !disagree(std::slice::from_ref(&one)));
        assert!(!disagree(&[one.clone(), gone.clone(), same.clone()]));
        assert!(disagree(&[gone, one, same, other]));
    }
}
