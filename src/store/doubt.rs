//! Doubts about what stands on a forge: a process that lost its duty while it was sending can't know when its request
//! arrives. Whoever reports by then looks, and says the last word once more if it isn't the last one there.

use std::collections::HashSet;

use super::bell::Bell;
use super::rows::Row;
use super::writer::Tx;
use super::{OutboxId, Store, StoreError};
use crate::clock::Timestamp;
use crate::model::Message;

impl Store {
    /// Doubts that what was said last of what these rows are about stands last on its forge: it goes into the outbox once
    /// more, to be looked up first, and not before `at`.
    ///
    /// # Errors
    /// If it can't be written.
    pub async fn doubt_messages(&self, ids: &[OutboxId], at: Timestamp) -> Result<(), StoreError> {
        let ids = ids.to_vec();
        self.write(move |tx| {
            Box::pin(async move {
                let mut doubted = HashSet::new();
                for id in ids {
                    doubt(tx, id, at, &mut doubted).await?;
                }
                Ok(())
            })
        })
        .await
    }
}

/// Doubts what a row is about, unless its order key is among those `doubted` already.
async fn doubt(tx: &mut Tx, id: OutboxId, at: Timestamp, doubted: &mut HashSet<String>) -> Result<(), StoreError> {
    // The last word is that of the newest execution, as in `due_outbox`.
    let last = sqlx::query(
        "SELECT order_key, execution, document FROM outbox \
         WHERE order_key = (SELECT order_key FROM outbox WHERE id = $1) AND state IN ('pending', 'sent') \
         ORDER BY COALESCE(execution, 0) DESC, id DESC LIMIT 1",
    )
    .bind(id.0)
    .fetch_optional(&mut tx.connection)
    .await?;
    let Some(last) = last else { return Ok(()) };
    let last = Row::of("outbox", &last);
    if !doubted.insert(last.text("order_key")?) {
        return Ok(());
    }
    if let Message::Comment { repository, pull_request } = last.json("document")? {
        sqlx::query("UPDATE pull_request SET comment_digest = NULL WHERE repository = $1 AND number = $2")
            .bind(repository.as_str())
            .bind(i64::try_from(pull_request).unwrap_or(i64::MAX))
            .execute(&mut tx.connection)
            .await?;
    }
    let key = tx.keys("outbox", 1).await?;
    sqlx::query(
        "INSERT INTO outbox (id, order_key, execution, state, attempts, created_at, due_at, document, look_first) \
         VALUES ($1, $2, $3, 'pending', 0, $4, $5, $6, 1)",
    )
    .bind(key)
    .bind(last.text("order_key")?)
    .bind(last.int_or_null("execution")?)
    .bind(tx.now.as_millis())
    .bind(at.as_millis())
    .bind(last.text("document")?)
    .execute(&mut tx.connection)
    .await?;
    tx.rung.add(Bell::Outbox);
    Ok(())
}
