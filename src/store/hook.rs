//! The inbox of custom webhooks: what was answered 2xx is here, and is worked off later.

use std::fmt;
use std::time::Duration;

use serde_json::Value;
use sqlx::any::AnyRow;

use super::bell::Bell;
use super::chore::Chore;
use super::chore::kind::{Kind, Statements};
use super::rows::{Row, document};
use super::writer::Tx;
use super::{Store, StoreError, ending};
use crate::clock::Timestamp;
use crate::model::{ApplicationName, PipelineName};

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

impl Chore for Hook {
    fn attempts(&self) -> u32 {
        self.attempts
    }
}

impl Kind for Hook {
    const STATEMENTS: Statements = Statements {
        due: "SELECT * FROM hook WHERE state = 'pending' AND due_at <= $1 ORDER BY id LIMIT $2",
        next_due: "SELECT MIN(due_at) AS due_at FROM hook WHERE state = 'pending'",
        end: "UPDATE hook SET state = 'done', payload = NULL WHERE id = $1 AND state = 'pending'",
        put_off: "UPDATE hook SET attempts = attempts + 1, due_at = $2 WHERE id = $1",
    };
    const BELL: Bell = Bell::Hooks;

    fn read(row: &AnyRow) -> Result<Self, StoreError> {
        let row = Row::of("hook", row);
        Ok(Self {
            id: row.int("id")?,
            source: row.text("source")?,
            delivery: row.text("delivery")?,
            payload: row.json("payload")?,
            attempts: row.count("attempts")?,
            received_at: row.time("received_at")?,
        })
    }

    fn key(&self) -> Vec<i64> {
        vec![self.id]
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "the delivery {} of custom webhook {}", self.delivery, self.source)
    }
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
    tx.rung.add(Bell::Hooks);
    Ok(HookAccepted::New)
}
