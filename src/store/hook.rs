//! The inbox of custom webhooks: what was answered 2xx is here, and is worked off later.

use std::time::Duration;

use serde_json::Value;
use sqlx::any::AnyRow;
use tokio::sync::watch;

use super::execution::{self, Birth, Created};
use super::rows::{Row, document};
use super::writer::Tx;
use super::{Store, StoreError, ending, outbox};
use crate::clock::Timestamp;
use crate::model::{ApplicationName, CommitStatus, ExecutionKey, NewExecution, PipelineName};

/// How many deliveries of one source may wait.
const MAX_PENDING: i64 = 1000;
/// How long a delivery is known.
const KNOWN: Duration = Duration::from_secs(7 * 24 * 3600);

/// A delivery of a custom webhook that waits to be worked off.
#[derive(Debug, Clone, PartialEq)]
pub struct Hook {
    /// Its key, rising as they came.
    pub id: i64,
    /// Where it came from.
    pub source: String,
    /// What the sender calls it.
    pub delivery: String,
    /// What it says.
    pub payload: Value,
    /// How often it was tried to work it off.
    pub attempts: u32,
    /// When it came.
    pub received_at: Timestamp,
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookAccepted {
    /// It is in the inbox.
    New,
    /// It was there already.
    Duplicate,
    /// Too many of its source wait.
    Full,
}

impl Store {
    /// Takes up a delivery, unless it is known. After this answered, a crash doesn't lose it.
    ///
    /// # Errors
    /// If it can't be written.
    pub async fn accept_hook(
        &self,
        source: String,
        delivery: String,
        payload: Value,
    ) -> Result<HookAccepted, StoreError> {
        let text = document(|| format!("a webhook of `{source}`"), &payload)?;
        self.write(move |tx| Box::pin(async move { accept(tx, &source, &delivery, &text).await })).await
    }

    /// Deliveries to work off now, oldest first.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn due_hooks(&self, limit: u32) -> Result<Vec<Hook>, StoreError> {
        let rows = sqlx::query("SELECT * FROM hook WHERE state = 'pending' AND due_at <= $1 ORDER BY id LIMIT $2")
            .bind(self.now().as_millis())
            .bind(i64::from(limit))
            .fetch_all(self.reads())
            .await?;
        rows.iter().map(hook).collect()
    }

    /// When [`Store::due_hooks`] will have something.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn next_hook_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let row = sqlx::query("SELECT MIN(due_at) AS due_at FROM hook WHERE state = 'pending'")
            .fetch_one(self.reads())
            .await?;
        Row::of("hook", &row).time_or_null("due_at")
    }

    /// The pipelines in force that listen to a source.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn hook_listeners(&self, source: &str) -> Result<Vec<(ApplicationName, PipelineName)>, StoreError> {
        let rows = sqlx::query(
            "SELECT application, pipeline FROM listener WHERE target_application = $1 AND target = $2 \
             ORDER BY application, pipeline",
        )
        .bind(ending::HOOK)
        .bind(source)
        .fetch_all(self.reads())
        .await?;
        rows.iter().map(ending::listener).collect()
    }

    /// Ends a delivery with what it starts and what is said about what it can't start; nothing, if it was worked off.
    ///
    /// # Errors
    /// If it can't be written; then nothing of it holds.
    pub async fn settle_hook(
        &self,
        id: i64,
        start: Vec<NewExecution>,
        say: Vec<CommitStatus>,
    ) -> Result<Vec<ExecutionKey>, StoreError> {
        let births = start.into_iter().map(Birth::new).collect::<Result<Vec<_>, _>>()?;
        let said = say.into_iter().map(|status| outbox::NewEntry::new(None, &status.into()));
        let said = said.collect::<Result<Vec<_>, _>>()?;
        self.write(move |tx| {
            Box::pin(async move {
                let done =
                    sqlx::query("UPDATE hook SET state = 'done', payload = NULL WHERE id = $1 AND state = 'pending'")
                        .bind(id)
                        .execute(&mut tx.connection)
                        .await?;
                let mut keys = Vec::new();
                if done.rows_affected() == 1 {
                    for birth in &births {
                        if let Created::New(key) = execution::create(tx, birth, None).await? {
                            keys.push(key);
                        }
                    }
                    outbox::insert(tx, &said.iter().collect::<Vec<_>>()).await?;
                }
                Ok(keys)
            })
        })
        .await
    }

    /// Puts a delivery off after a failure.
    ///
    /// # Errors
    /// If it can't be written.
    pub async fn retry_hook(&self, id: i64, at: Timestamp) -> Result<(), StoreError> {
        self.write(move |tx| {
            Box::pin(async move {
                sqlx::query("UPDATE hook SET attempts = attempts + 1, due_at = $1 WHERE id = $2")
                    .bind(at.as_millis())
                    .bind(id)
                    .execute(&mut tx.connection)
                    .await?;
                Ok(())
            })
        })
        .await
    }

    /// Changes after each commit that took up a delivery.
    pub fn hooks_changed(&self) -> watch::Receiver<u64> {
        self.inner.bells.hooks.subscribe()
    }
}

async fn accept(tx: &mut Tx, source: &str, delivery: &str, payload: &str) -> Result<HookAccepted, StoreError> {
    let known = sqlx::query("SELECT id FROM hook WHERE source = $1 AND delivery = $2")
        .bind(source)
        .bind(delivery)
        .fetch_optional(&mut tx.connection)
        .await?;
    if known.is_some() {
        return Ok(HookAccepted::Duplicate);
    }
    let waiting = sqlx::query("SELECT COUNT(*) AS waiting FROM hook WHERE state = 'pending' AND source = $1")
        .bind(source)
        .fetch_one(&mut tx.connection)
        .await?;
    if Row::of("hook", &waiting).int("waiting")? >= MAX_PENDING {
        return Ok(HookAccepted::Full);
    }
    let forgotten = tx.now.as_millis().saturating_sub(i64::try_from(KNOWN.as_millis()).unwrap_or(i64::MAX));
    sqlx::query("DELETE FROM hook WHERE received_at < $1 AND state = 'done'")
        .bind(forgotten)
        .execute(&mut tx.connection)
        .await?;
    let id = tx.keys("hook", 1).await?;
    sqlx::query(
        "INSERT INTO hook (id, source, delivery, payload, state, attempts, received_at, due_at) \
         VALUES ($1, $2, $3, $4, 'pending', 0, $5, $5)",
    )
    .bind(id)
    .bind(source)
    .bind(delivery)
    .bind(payload)
    .bind(tx.now.as_millis())
    .execute(&mut tx.connection)
    .await?;
    tx.hooks_grew = true;
    Ok(HookAccepted::New)
}

fn hook(row: &AnyRow) -> Result<Hook, StoreError> {
    let row = Row::of("hook", row);
    Ok(Hook {
        id: row.int("id")?,
        source: row.text("source")?,
        delivery: row.text("delivery")?,
        payload: row.json("payload")?,
        attempts: row.count("attempts")?,
        received_at: row.time("received_at")?,
    })
}
