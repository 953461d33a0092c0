//! How much waits: what the figures of `/metrics` are made of.

use super::rows::Row;
use super::{Store, StoreError};
use crate::clock::Timestamp;

/// What waits in the store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Executions that have not ended.
    pub live: u64,
    /// Inbox entries that wait to be worked off.
    pub inbox: u64,
    /// When the oldest of them came.
    pub inbox_since: Option<Timestamp>,
    /// Messages that wait to be sent.
    pub outbox: u64,
    /// When the oldest of them was written.
    pub outbox_since: Option<Timestamp>,
    /// Messages that were given up.
    pub outbox_failed: u64,
}

impl Store {
    /// How much waits at the moment. Only what is pending is counted through, by its own indexes.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn backlog(&self) -> Result<Backlog, StoreError> {
        let row = sqlx::query(
            "SELECT (SELECT COUNT(*) FROM execution WHERE live = 1) AS live, \
             (SELECT COUNT(*) FROM inbox WHERE state = 'pending') AS inbox, \
             (SELECT MIN(received_at) FROM inbox WHERE state = 'pending') AS inbox_since, \
             (SELECT COUNT(*) FROM outbox WHERE state = 'pending') AS outbox, \
             (SELECT MIN(created_at) FROM outbox WHERE state = 'pending') AS outbox_since, \
             (SELECT COUNT(*) FROM outbox WHERE state = 'failed') AS outbox_failed",
        )
        .fetch_one(self.reads())
        .await?;
        let row = Row::of("backlog", &row);
        let count = |column| row.int(column).map(|count| u64::try_from(count).unwrap_or(0));
        Ok(Backlog {
            live: count("live")?,
            inbox: count("inbox")?,
            inbox_since: row.time_or_null("inbox_since")?,
            outbox: count("outbox")?,
            outbox_since: row.time_or_null("outbox_since")?,
            outbox_failed: count("outbox_failed")?,
        })
    }
}
