//! The outbox: what waits to be said on forges, in order per commit and context, and per pull request.

use std::sync::LazyLock;
use std::time::Duration;

use super::bell::Bell;
use super::chunk::Texts;
use super::rows::{Row, document};
use super::writer::Tx;
use super::{Store, StoreError, chunk};
use crate::clock::Timestamp;
use crate::model::{ExecutionKey, Message};

/// How many rows that were given up are made pending again at once.
const MOST_REVIVED: i64 = 1000;

/// The key of an outbox row; rows of one `order_key` are sent in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutboxId(pub i64);

/// A message that waits to be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct OutboxEntry {
    /// Its key.
    pub id: OutboxId,
    /// What it is about, as far as order goes: [`Message::order_key`].
    pub order_key: String,
    /// The execution that it speaks of; `None`: it speaks of the commit's files, or of a pull request.
    pub execution: Option<ExecutionKey>,
    /// What to send.
    pub message: Message,
    /// How often it was tried without success.
    pub attempts: u32,
    /// It is outdated: the same execution said something newer, a newer execution owns the context, or the pull
    /// request's comment was marked once more.
    pub newer: bool,
    /// Something else may stand on the forge by now, so it is looked up first: see [`Store::doubt_messages`].
    pub look_first: bool,
}

/// The oldest pending row of each order key.
macro_rules! fronts {
    () => {
        "(SELECT MIN(id) FROM outbox WHERE state = 'pending' GROUP BY order_key)"
    };
}

impl Store {
    /// The rows to send now: of each order key the oldest that is neither sent nor given up, if it is due. One that
    /// is being sent is among them until its end is noted.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn due_outbox(&self, limit: u32) -> Result<Vec<OutboxEntry>, StoreError> {
        // A context belongs to the execution that was created last, so rows compare by execution before time:
        // what an older execution says is outdated even if it says it later.
        let rows = sqlx::query(concat!(
            "SELECT id, order_key, execution, attempts, document, look_first, \
             CASE WHEN EXISTS (SELECT 1 FROM outbox other WHERE other.order_key = outbox.order_key \
             AND (COALESCE(other.execution, 0) > COALESCE(outbox.execution, 0) \
             OR (COALESCE(other.execution, 0) = COALESCE(outbox.execution, 0) AND other.id > outbox.id))) \
             THEN 1 ELSE 0 END AS newer \
             FROM outbox WHERE due_at <= $1 AND id IN ",
            fronts!(),
            " ORDER BY id LIMIT $2"
        ))
        .bind(self.now().as_millis())
        .bind(i64::from(limit))
        .fetch_all(self.reads())
        .await?;
        rows.iter().map(|row| read(&Row::of("outbox", row))).collect()
    }

    /// When [`Store::due_outbox`] will have something to send next.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn next_outbox_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let row = sqlx::query(concat!("SELECT MIN(due_at) AS due_at FROM outbox WHERE id IN ", fronts!()))
            .fetch_one(self.reads())
            .await?;
        Row::of("outbox", &row).time_or_null("due_at")
    }

    /// The key of the newest row. Rows up to the one that was newest at start may have been sent before a crash.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn last_outbox_id(&self) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar("SELECT COALESCE(MAX(id), 0) FROM outbox").fetch_one(self.reads()).await?)
    }

    /// Notes that rows were sent.
    ///
    /// # Errors
    /// If it can't be written.
    pub async fn outbox_sent(&self, ids: &[OutboxId]) -> Result<(), StoreError> {
        self.end_outbox(ids, "sent", None).await
    }

    /// Notes that rows need not be sent any more.
    ///
    /// # Errors
    /// If it can't be written.
    pub async fn outbox_obsolete(&self, ids: &[OutboxId]) -> Result<(), StoreError> {
        self.end_outbox(ids, "obsolete", None).await
    }

    /// Gives a row up for good; the next one of its order key has its turn.
    ///
    /// # Errors
    /// If it can't be written.
    pub async fn outbox_failed(&self, id: OutboxId, error: &str) -> Result<(), StoreError> {
        self.end_outbox(&[id], "failed", Some(error.to_owned())).await
    }

    /// Puts a row off after a failure; the rows after it wait with it.
    ///
    /// # Errors
    /// If it can't be written.
    pub async fn outbox_retry(&self, id: OutboxId, at: Timestamp, error: &str) -> Result<(), StoreError> {
        let error = error.to_owned();
        self.write(move |tx| {
            Box::pin(async move {
                sqlx::query(
                    "UPDATE outbox SET attempts = attempts + 1, due_at = $1, error = $2 \
                     WHERE id = $3 AND state = 'pending'",
                )
                .bind(at.as_millis())
                .bind(error)
                .bind(id.0)
                .execute(&mut tx.connection)
                .await?;
                Ok(())
            })
        })
        .await
    }

    /// Puts rows off through no failure of theirs: their forge takes nothing for now. The rows after them wait with
    /// them.
    ///
    /// # Errors
    /// If it can't be written.
    pub async fn outbox_defer(&self, ids: &[OutboxId], until: Timestamp) -> Result<(), StoreError> {
        let ids = ids.to_vec();
        self.write(move |tx| {
            Box::pin(async move {
                for id in ids {
                    sqlx::query("UPDATE outbox SET due_at = $1 WHERE id = $2 AND state = 'pending'")
                        .bind(until.as_millis())
                        .bind(id.0)
                        .execute(&mut tx.connection)
                        .await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// Makes rows pending again that were given up: those that rested for `rest`, are not older than `hope`, and are the
    /// last word of their order key, the oldest first, 1000 at most. They keep the count of their tries, so each has one
    /// more. Yields what they say.
    ///
    /// # Errors
    /// If it can't be written.
    pub async fn revive_outbox(&self, rest: Duration, hope: Duration) -> Result<Vec<Message>, StoreError> {
        self.write(move |tx| {
            Box::pin(async move {
                let millis = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
                let now = tx.now.as_millis();
                let rows = sqlx::query(
                    "UPDATE outbox SET state = 'pending', due_at = $1, ended_at = NULL WHERE id IN \
                     (SELECT id FROM outbox given WHERE state = 'failed' AND ended_at <= $2 AND created_at >= $3 \
                     AND NOT EXISTS (SELECT 1 FROM outbox later \
                     WHERE later.order_key = given.order_key AND later.id > given.id) ORDER BY id LIMIT $4) \
                     RETURNING document",
                )
                .bind(now)
                .bind(now.saturating_sub(millis(rest)))
                .bind(now.saturating_sub(millis(hope)))
                .bind(MOST_REVIVED)
                .fetch_all(&mut tx.connection)
                .await?;
                if !rows.is_empty() {
                    tx.rung.add(Bell::Outbox);
                }
                rows.iter().map(|row| Row::of("outbox", row).json("document")).collect()
            })
        })
        .await
    }

    /// How many rows are neither sent nor given up.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn outbox_waiting(&self) -> Result<u64, StoreError> {
        let rows: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM outbox WHERE state = 'pending'").fetch_one(self.reads()).await?;
        Ok(u64::try_from(rows).unwrap_or(0))
    }

    /// Whether this is the last that was said, or is to be said, about what it is about: then nobody needs to hear it
    /// again.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn was_said_last(&self, message: &Message) -> Result<bool, StoreError> {
        let row = sqlx::query("SELECT state, document FROM outbox WHERE order_key = $1 ORDER BY id DESC LIMIT 1")
            .bind(message.order_key())
            .fetch_optional(self.reads())
            .await?;
        let Some(row) = row else { return Ok(false) };
        let row = Row::of("outbox", &row);
        Ok(is_heard(&row)? && row.json::<Message>("document")? == *message)
    }

    async fn end_outbox(&self, ids: &[OutboxId], state: &'static str, error: Option<String>) -> Result<(), StoreError> {
        let ids = ids.to_vec();
        self.write(move |tx| {
            Box::pin(async move {
                for id in ids {
                    sqlx::query(
                        "UPDATE outbox SET state = $1, ended_at = $2, error = $3 WHERE id = $4 AND state = 'pending'",
                    )
                    .bind(state)
                    .bind(tx.now.as_millis())
                    .bind(error.as_deref())
                    .bind(id.0)
                    .execute(&mut tx.connection)
                    .await?;
                }
                Ok(())
            })
        })
        .await
    }
}

fn read(row: &Row<'_>) -> Result<OutboxEntry, StoreError> {
    Ok(OutboxEntry {
        id: OutboxId(row.int("id")?),
        order_key: row.text("order_key")?,
        execution: row.int_or_null("execution")?.map(ExecutionKey),
        message: row.json("document")?,
        attempts: row.count("attempts")?,
        newer: row.int("newer")? != 0,
        look_first: row.int("look_first")? != 0,
    })
}

/// A row to be written.
pub(super) struct NewEntry {
    order_key: String,
    execution: Option<ExecutionKey>,
    is_status: bool,
    document: String,
}

impl NewEntry {
    /// What an execution says, or what is said of a commit's files or a pull request if there is none.
    pub(super) fn new(execution: Option<ExecutionKey>, message: &Message) -> Result<Self, StoreError> {
        let order_key = message.order_key();
        let document = document(|| format!("the message {order_key}"), message)?;
        Ok(Self { order_key, execution, is_status: message.status().is_some(), document })
    }
}

/// Leaves out what would repeat the last word about a commit and context, word for word, if that is sent or waits to be:
/// a commit may be looked at twice, by whoever was told of it and by the look after a start.
///
/// Comments stay: a row of theirs says only that something changed.
pub(super) async fn news<'entry>(
    tx: &mut Tx,
    entries: &'entry [NewEntry],
) -> Result<Vec<&'entry NewEntry>, StoreError> {
    let mut news = Vec::with_capacity(entries.len());
    for entry in entries {
        let last = sqlx::query("SELECT state, document FROM outbox WHERE order_key = $1 ORDER BY id DESC LIMIT 1")
            .bind(entry.order_key.as_str())
            .fetch_optional(&mut tx.connection)
            .await?;
        let last = last.as_ref().map(|last| Row::of("outbox", last));
        let said = match last {
            Some(last) if entry.is_status && is_heard(&last)? => last.text("document")? == entry.document,
            _ => false,
        };
        if !said {
            news.push(entry);
        }
    }
    Ok(news)
}

/// Whether a row was sent or will be.
fn is_heard(row: &Row<'_>) -> Result<bool, StoreError> {
    Ok(matches!(row.text("state")?.as_str(), "pending" | "sent"))
}

/// Adds rows, in their order.
pub(super) async fn insert(tx: &mut Tx, entries: &[&NewEntry]) -> Result<(), StoreError> {
    static TEXTS: LazyLock<Texts> = LazyLock::new(|| {
        let columns = "id, order_key, execution, state, attempts, created_at, due_at, document";
        let row = "(?, ?, ?, 'pending', 0, ?, ?, ?)";
        Texts::new(&format!("INSERT INTO outbox ({columns}) VALUES "), row, "")
    });
    if entries.is_empty() {
        return Ok(());
    }
    let mut id = tx.keys("outbox", entries.len()).await?;
    for piece in chunk::pieces(entries) {
        let mut query = sqlx::query(TEXTS.text(tx.backend(), piece.len()));
        for entry in piece {
            query = query
                .bind(id)
                .bind(entry.order_key.as_str())
                .bind(entry.execution.map(|key| key.0))
                .bind(tx.now.as_millis())
                .bind(tx.now.as_millis())
                .bind(entry.document.as_str());
            id += 1;
        }
        query.execute(&mut tx.connection).await?;
    }
    tx.rung.add(Bell::Outbox);
    Ok(())
}
