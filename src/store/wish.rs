//! Wishes: what somebody asks of an execution that another replica has.
//!
//! Whoever has the execution finds the wish, does it, and writes the answer beside it; whoever asked reads the answer and
//! takes both away. What nobody came back for goes after a while.

use std::time::Duration;

use super::rows::Row;
use super::shard::{Shard, Shards};
use super::{Store, StoreError};
use crate::model::ExecutionKey;

/// The most bytes of a wish or an answer: a judgment with its input, and whatever is wrong with it.
const LARGEST: usize = 256 * 1024;

/// How many are read at once.
const AT_ONCE: i64 = 1000;

/// When a wish that nobody came back for is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(120);

/// Names a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WishId(i64);

/// Something that somebody asks of an execution, and that has no answer yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Its name.
    pub id: WishId,
    /// The execution.
    pub execution: ExecutionKey,
    /// The execution's shard.
    pub shard: Shard,
    /// What is asked, as the engine wrote it.
    pub document: String,
}

impl Store {
    /// Writes a wish down for whoever has the execution.
    ///
    /// # Errors
    /// If it can't be written, or is above 256 KiB.
    pub async fn wish(&self, execution: ExecutionKey, shard: Shard, document: String) -> Result<WishId, StoreError> {
        check(&document)?;
        self.write(move |tx| {
            Box::pin(async move {
                sqlx::query("DELETE FROM wish WHERE created_at < $1")
                    .bind(tx.now.minus(FORGOTTEN).as_millis())
                    .execute(&mut tx.connection)
                    .await?;
                let id = tx.keys("wish", 1).await?;
                sqlx::query(
                    "INSERT INTO wish (id, execution, shard, document, created_at) VALUES ($1, $2, $3, $4, $5)",
                )
                .bind(id)
                .bind(execution.0)
                .bind(shard.number())
                .bind(document.as_str())
                .bind(tx.now.as_millis())
                .execute(&mut tx.connection)
                .await?;
                Ok(WishId(id))
            })
        })
        .await
    }

    /// The wishes for executions of these shards that have no answer, in the order in which they came.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn wishes(&self, of: Shards) -> Result<Vec<Wish>, StoreError> {
        let rows =
            sqlx::query("SELECT id, execution, shard, document FROM wish WHERE answer IS NULL ORDER BY id LIMIT $1")
                .bind(AT_ONCE)
                .fetch_all(self.reads())
                .await?;
        let wish = |row| {
            let row = Row::of("wish", row);
            Ok(Wish {
                id: WishId(row.int("id")?),
                execution: ExecutionKey(row.int("execution")?),
                shard: Shard::of_row(row.int("shard")?)?,
                document: row.text("document")?,
            })
        };
        let mut wishes = rows.iter().map(wish).collect::<Result<Vec<Wish>, StoreError>>()?;
        wishes.retain(|wish| of.contains(wish.shard));
        Ok(wishes)
    }

    /// Answers a wish. The first answer stays. A wish that was taken back needs none.
    ///
    /// # Errors
    /// If it can't be written, or is above 256 KiB.
    pub async fn answer_wish(&self, id: WishId, answer: String) -> Result<(), StoreError> {
        check(&answer)?;
        self.write(move |tx| {
            Box::pin(async move {
                sqlx::query("UPDATE wish SET answer = $1 WHERE id = $2 AND answer IS NULL")
                    .bind(answer.as_str())
                    .bind(id.0)
                    .execute(&mut tx.connection)
                    .await?;
                Ok(())
            })
        })
        .await
    }

    /// The answer to a wish, once there is one.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn wish_answer(&self, id: WishId) -> Result<Option<String>, StoreError> {
        let row = sqlx::query("SELECT answer FROM wish WHERE id = $1").bind(id.0).fetch_optional(self.reads()).await?;
        row.map_or(Ok(None), |row| Row::of("wish", &row).text_or_null("answer"))
    }

    /// Takes a wish back, or away after its answer. Yields the answer that it had by then: without one, nobody does it any
    /// more who hasn't begun.
    ///
    /// # Errors
    /// If it can't be written.
    pub async fn forget_wish(&self, id: WishId) -> Result<Option<String>, StoreError> {
        self.write(move |tx| {
            Box::pin(async move {
                let row = sqlx::query("DELETE FROM wish WHERE id = $1 RETURNING answer")
                    .bind(id.0)
                    .fetch_optional(&mut tx.connection)
                    .await?;
                row.map_or(Ok(None), |row| Row::of("wish", &row).text_or_null("answer"))
            })
        })
        .await
    }
}

fn check(text: &str) -> Result<(), StoreError> {
    if text.len() <= LARGEST {
        return Ok(());
    }
    Err(StoreError::TooLarge { what: "what is asked of another replica".to_owned(), size: text.len(), limit: LARGEST })
}
