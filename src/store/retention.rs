//! Retention: which executions still have their details, and how they lose them.
//!
//! The details are the journal and most of the document. An execution that has lost them stays in all lists; what is
//! shown of it is the summary that took their place.

use std::time::Duration;

use super::rows::{Row, document};
use super::writer::Tx;
use super::{Store, StoreError};
use crate::clock::Timestamp;
use crate::model::{ApplicationName, ExecutionId, ExecutionKey, ExecutionView, NewExecution, PipelineName};

/// For how long the details of an execution that somebody wants to restart are safe.
const WANTED: Duration = Duration::from_secs(3600);

/// Which executions that have ended keep their details.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// The newest of each pipeline, so many of them, keep theirs however old they are.
    pub newest: u32,
    /// Of each pipeline, no more than so many keep theirs; never fewer than `newest`.
    pub most: u32,
    /// What ended before this loses them, unless it is one of the newest.
    pub ended_before: Timestamp,
}

/// What takes the place of an execution's details.
#[derive(Debug, Clone)]
pub struct Compaction {
    /// The execution.
    pub key: ExecutionKey,
    /// Its latest journal row, as it was when the summary was made.
    pub seq: i64,
    /// What is shown of it from now on.
    pub summary: ExecutionView,
    /// What is left of its document.
    pub info: NewExecution,
}

impl Store {
    /// The pipelines of which executions with their details are there.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn pipelines_with_details(&self) -> Result<Vec<(ApplicationName, PipelineName)>, StoreError> {
        let rows = sqlx::query("SELECT DISTINCT application, pipeline FROM execution_info WHERE summary IS NULL")
            .fetch_all(self.reads())
            .await?;
        let mut found = Vec::with_capacity(rows.len());
        for row in &rows {
            let row = Row::of("execution_info", row);
            found.push((row.id("application")?, row.id("pipeline")?));
        }
        Ok(found)
    }

    /// Executions of a pipeline that have outlived their details, oldest first, `limit` at most. What runs isn't among
    /// them, nor what a stage of a running execution started, nor what ended and may still start others, who are told
    /// what its stages yielded.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn outlived(
        &self,
        (application, pipeline): (&ApplicationName, &PipelineName),
        rule: Retention,
        limit: u32,
    ) -> Result<Vec<ExecutionId>, StoreError> {
        let oldest_of = async |count: u32| -> Result<Option<i64>, StoreError> {
            let Some(skip) = count.checked_sub(1) else { return Ok(Some(i64::MAX)) };
            let found = sqlx::query_scalar(
                "SELECT id FROM execution_info WHERE application = $1 AND pipeline = $2 AND summary IS NULL \
                 ORDER BY id DESC LIMIT 1 OFFSET $3",
            )
            .bind(application.as_str())
            .bind(pipeline.as_str())
            .bind(i64::from(skip))
            .fetch_optional(self.reads())
            .await?;
            Ok(found)
        };
        // Fewer than that: all of them are among the newest.
        let Some(newest) = oldest_of(rule.newest).await? else { return Ok(Vec::new()) };
        let most = oldest_of(rule.most.max(rule.newest)).await?.unwrap_or(0);
        let rows = sqlx::query(
            "SELECT i.public_id FROM execution_info i JOIN execution e ON e.id = i.id \
             WHERE i.application = $1 AND i.pipeline = $2 AND i.summary IS NULL AND i.id < $3 AND e.live = 0 \
             AND (i.id < $4 OR e.ended_at <= $5) AND (i.wanted_at IS NULL OR i.wanted_at <= $6) \
             AND NOT EXISTS (SELECT 1 FROM ending n WHERE n.execution = i.id) \
             AND NOT EXISTS (SELECT 1 FROM execution_info p JOIN execution pe ON pe.id = p.id \
             WHERE p.public_id = i.parent AND pe.live = 1) ORDER BY i.id LIMIT $7",
        )
        .bind(application.as_str())
        .bind(pipeline.as_str())
        .bind(newest)
        .bind(most)
        .bind(rule.ended_before.as_millis())
        .bind(self.now().minus(WANTED).as_millis())
        .bind(i64::from(limit))
        .fetch_all(self.reads())
        .await?;
        rows.iter().map(|row| Row::of("execution_info", row).id("public_id")).collect()
    }

    /// Puts a summary in the place of an execution's details. Yields false, and changes nothing, if it goes on by now,
    /// somebody is about to restart it, its end is not worked off, or it had lost them before.
    ///
    /// # Errors
    /// If it can't be written.
    pub async fn compact(&self, compaction: Compaction) -> Result<bool, StoreError> {
        let Compaction { key, seq, summary, info } = compaction;
        let summary = document(|| format!("the summary of execution {}", summary.id), &summary)?;
        let info = document(|| format!("execution {}", info.id), &info)?;
        self.write(move |tx| Box::pin(async move { compact(tx, key, seq, &summary, &info).await })).await
    }

    /// Keeps the details of an execution safe for an hour, because it is to be restarted. Yields false if they are gone.
    ///
    /// # Errors
    /// If it can't be written.
    pub async fn keep_details(&self, key: ExecutionKey) -> Result<bool, StoreError> {
        self.write(move |tx| {
            Box::pin(async move {
                let kept = sqlx::query("UPDATE execution_info SET wanted_at = $1 WHERE id = $2 AND summary IS NULL")
                    .bind(tx.now.as_millis())
                    .bind(key.0)
                    .execute(&mut tx.connection)
                    .await?;
                Ok(kept.rows_affected() == 1)
            })
        })
        .await
    }
}

async fn compact(tx: &mut Tx, key: ExecutionKey, seq: i64, summary: &str, info: &str) -> Result<bool, StoreError> {
    let changed = sqlx::query(
        "UPDATE execution_info SET summary = $1, document = $2 WHERE id = $3 AND summary IS NULL \
         AND (wanted_at IS NULL OR wanted_at <= $4) \
         AND EXISTS (SELECT 1 FROM execution e WHERE e.id = $3 AND e.live = 0 AND e.seq = $5) \
         AND NOT EXISTS (SELECT 1 FROM ending n WHERE n.execution = $3)",
    )
    .bind(summary)
    .bind(info)
    .bind(key.0)
    .bind(tx.now.minus(WANTED).as_millis())
    .bind(seq)
    .execute(&mut tx.connection)
    .await?;
    if changed.rows_affected() != 1 {
        return Ok(false);
    }
    sqlx::query("DELETE FROM journal WHERE execution = $1").bind(key.0).execute(&mut tx.connection).await?;
    // It can't be restarted any more, so that it never stands in line again.
    sqlx::query("DELETE FROM lane WHERE execution = $1").bind(key.0).execute(&mut tx.connection).await?;
    sqlx::query("DELETE FROM placement WHERE execution = $1").bind(key.0).execute(&mut tx.connection).await?;
    Ok(true)
}
