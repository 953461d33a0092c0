//! Ends of executions that start others: noted in the transaction in which the execution ends, and worked off later, so
//! that none is lost and none counts twice.
//!
//! The engine's hot path pays nothing for it as long as no pipeline in force listens to another, and one statement per
//! batch with ends afterwards; on PostgreSQL the statement of the hot path notes them itself (`postgres::append`).

use std::fmt;
use std::sync::LazyLock;

use sqlx::any::AnyRow;

use super::bell::Bell;
use super::chore::Chore;
use super::chore::kind::{Kind, Statements};
use super::chunk::{self, Texts};
use super::rows::Row;
use super::writer::Tx;
use super::{Append, Store, StoreError};
use crate::clock::Timestamp;
use crate::model::{ApplicationName, ExecutionKey, Pipeline, PipelineName, Status, Trigger};

/// What stands in the place of an application's name where a pipeline is named by its id.
const ANY: &str = "*";
/// What stands there if no pipeline is meant, but the source of a custom webhook; neither is an application's name.
pub(super) const HOOK: &str = "@webhook";

/// An end that is not worked off yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// The execution.
    pub execution: ExecutionKey,
    /// The journal row that ended it. An execution that is restarted ends again.
    pub seq: i64,
    /// How it ended.
    pub status: Status,
    /// When.
    pub ended_at: Timestamp,
    /// How often it was tried to work it off.
    pub attempts: u32,
}

impl Chore for Ending {
    fn attempts(&self) -> u32 {
        self.attempts
    }
}

impl Kind for Ending {
    const STATEMENTS: Statements = Statements {
        due: "SELECT * FROM ending WHERE due_at <= $1 ORDER BY ended_at, execution, seq LIMIT $2",
        next_due: "SELECT MIN(due_at) AS due_at FROM ending",
        end: "DELETE FROM ending WHERE execution = $1 AND seq = $2",
        put_off: "UPDATE ending SET attempts = attempts + 1, due_at = $3 WHERE execution = $1 AND seq = $2",
    };
    const BELL: Bell = Bell::Endings;

    fn read(row: &AnyRow) -> Result<Self, StoreError> {
        let row = Row::of("ending", row);
        Ok(Self {
            execution: ExecutionKey(row.int("execution")?),
            seq: row.int("seq")?,
            status: row.status("status")?,
            ended_at: row.time("ended_at")?,
            attempts: row.count("attempts")?,
        })
    }

    fn key(&self) -> Vec<i64> {
        vec![self.execution.0, self.seq]
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "the end of execution {} in row {}", self.execution.0, self.seq)
    }
}

impl Store {
    /// The pipelines in force that listen to the end of this one: those that name it, and those that name its id.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn listeners(&self, pipeline: &Pipeline) -> Result<Vec<(ApplicationName, PipelineName)>, StoreError> {
        let rows = sqlx::query(
            "SELECT DISTINCT application, pipeline FROM listener \
             WHERE (target_application = $1 AND target = $2) OR (target_application = $3 AND target = $4) \
             ORDER BY application, pipeline",
        )
        .bind(pipeline.application.as_str())
        .bind(pipeline.name.as_str())
        .bind(ANY)
        .bind(pipeline.id.to_string())
        .fetch_all(self.reads())
        .await?;
        rows.iter().map(listener).collect()
    }
}

/// A pipeline that listens.
pub(super) fn listener(row: &AnyRow) -> Result<(ApplicationName, PipelineName), StoreError> {
    let row = Row::of("listener", row);
    Ok((row.id("application")?, row.id("pipeline")?))
}

/// Notes the ends among the rows of a batch that somebody may listen to; on SQLite.
pub(super) async fn note(tx: &mut Tx, rows: &[&Append]) -> Result<(), StoreError> {
    static TEXTS: LazyLock<Texts> = LazyLock::new(|| {
        let head = "INSERT INTO ending (execution, seq, status, ended_at, attempts, due_at) \
            SELECT v.column1, v.column2, v.column3, v.column4, 0, v.column5 FROM (VALUES ";
        let tail = ") AS v JOIN execution_info i ON i.id = v.column1 WHERE EXISTS (SELECT 1 FROM listener l \
            WHERE (l.target_application = i.application AND l.target = i.pipeline) OR l.target_application = '*')";
        Texts::new(head, "(?, ?, ?, ?, ?)", tail)
    });
    let ended: Vec<&Append> = rows.iter().filter(|row| row.status.is_complete()).copied().collect();
    if ended.is_empty() || !any_listeners(tx).await? {
        return Ok(());
    }
    for piece in chunk::pieces(&ended) {
        let mut query = sqlx::query(TEXTS.text(tx.backend(), piece.len()));
        for row in piece {
            query = query.bind(row.key.0).bind(row.seq).bind(row.status.as_str()).bind(row.at.as_millis());
            query = query.bind(tx.now.as_millis());
        }
        let noted = query.execute(&mut tx.connection).await?.rows_affected();
        if noted > 0 {
            tx.rung.add(Bell::Endings);
        }
    }
    Ok(())
}

/// Whether any pipeline in force listens to another. The process has the database for itself, so it asks once after each
/// publication.
async fn any_listeners(tx: &mut Tx) -> Result<bool, StoreError> {
    if let Some(listeners) = tx.listeners {
        return Ok(listeners);
    }
    let row = sqlx::query("SELECT COUNT(*) AS listeners FROM listener WHERE target_application <> '@webhook'")
        .fetch_one(&mut tx.connection)
        .await?;
    let listeners = Row::of("listener", &row).int("listeners")? > 0;
    tx.listeners = Some(listeners);
    Ok(listeners)
}

/// Keeps what the pipelines of an application listen to; without pipelines, nothing any more.
pub(super) async fn keep_listeners(
    tx: &mut Tx,
    application: &ApplicationName,
    pipelines: &[Pipeline],
) -> Result<(), StoreError> {
    tx.listeners = None;
    sqlx::query("DELETE FROM listener WHERE application = $1")
        .bind(application.as_str())
        .execute(&mut tx.connection)
        .await?;
    for pipeline in pipelines {
        for trigger in &pipeline.triggers {
            let (of, target) = match trigger {
                Trigger::Pipeline(trigger) => match trigger.target_id() {
                    Some(id) => (ANY.to_owned(), id.to_string()),
                    None => (trigger.application_or(application).to_string(), trigger.pipeline.clone()),
                },
                Trigger::Webhook(trigger) => (HOOK.to_owned(), trigger.source.clone()),
                _ => continue,
            };
            sqlx::query(
                "INSERT INTO listener (application, pipeline, target_application, target) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (application, pipeline, target_application, target) DO NOTHING",
            )
            .bind(application.as_str())
            .bind(pipeline.name.as_str())
            .bind(of)
            .bind(target)
            .execute(&mut tx.connection)
            .await?;
        }
    }
    Ok(())
}
