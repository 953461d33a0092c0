//! Time tables: up to which moment each was worked off. Moving that moment on and starting what was due is one
//! transaction, so that no crash and no second process starts it twice.

use sqlx::any::AnyRow;

use super::execution::{self, Birth, Created};
use super::rows::Row;
use super::writer::Tx;
use super::{Store, StoreError};
use crate::clock::Timestamp;
use crate::model::{
    ApplicationName, CronTrigger, ExecutionId, ExecutionKey, NewExecution, Pipeline, PipelineName, Status,
};

/// The most characters of what is kept about the last due moment.
const MAX_OUTCOME: usize = 500;

/// Which time table.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CronKey {
    /// The pipeline's application.
    pub application: ApplicationName,
    /// The pipeline.
    pub pipeline: PipelineName,
    /// The schedule and its zone ([`crate::model::CronTrigger::words`]).
    pub table: String,
}

impl CronKey {
    /// Whether it is that of a pipeline's trigger.
    pub fn is_of(&self, pipeline: &Pipeline, trigger: &CronTrigger) -> bool {
        self.application == pipeline.application && self.pipeline == pipeline.name && self.table == trigger.words()
    }
}

/// How a time table stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CronState {
    /// Which one.
    pub key: CronKey,
    /// What was due up to this moment is done with.
    pub until: Timestamp,
    /// The last moment that was due.
    pub last_due: Option<Timestamp>,
    /// What it started.
    pub execution: Option<ExecutionId>,
    /// Why it started nothing.
    pub outcome: Option<String>,
}

/// A time table that is worked off up to a moment.
#[derive(Debug, Clone)]
pub struct CronStep {
    /// Which one.
    pub key: CronKey,
    /// Up to which moment it was worked off before; none: it is new.
    pub from: Option<Timestamp>,
    /// Up to which moment it is now.
    pub until: Timestamp,
    /// The last moment that was due, if any was.
    pub due: Option<Timestamp>,
    /// What that starts, or why it starts nothing.
    pub start: Result<NewExecution, String>,
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CronDone {
    /// It started an execution.
    Started(ExecutionKey),
    /// The execution of the moment before has not begun yet, and stands for this one as well.
    Waiting(ExecutionId),
    /// Nothing was to be started.
    Noted,
    /// Somebody else did it.
    Overtaken,
}

impl Store {
    /// All time tables that are known.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn cron_states(&self) -> Result<Vec<CronState>, StoreError> {
        let rows = sqlx::query(
            "SELECT cron.*, i.public_id FROM cron LEFT JOIN execution_info i ON i.id = cron.execution \
             ORDER BY application, pipeline, time_table",
        )
        .fetch_all(self.reads())
        .await?;
        rows.iter().map(state).collect()
    }

    /// Works a time table off up to a moment, if it stands where the step begins.
    ///
    /// # Errors
    /// If it can't be written.
    pub async fn cron_step(&self, step: CronStep) -> Result<CronDone, StoreError> {
        let CronStep { key, from, until, due, start } = step;
        let (birth, outcome) = match start {
            Ok(new) => (Some(Birth::knowing(new, &self.inner.ahead)?), None),
            Err(why) => (None, Some(why)),
        };
        let row = Moved { key, from, until, due };
        self.write(move |tx| Box::pin(async move { work_off(tx, &row, birth.as_ref(), outcome).await })).await
    }

    /// Forgets time tables that no pipeline in force has any more.
    ///
    /// # Errors
    /// If it can't be written.
    pub async fn forget_cron(&self, keys: Vec<CronKey>) -> Result<(), StoreError> {
        self.write(move |tx| {
            Box::pin(async move {
                for key in &keys {
                    sqlx::query("DELETE FROM cron WHERE application = $1 AND pipeline = $2 AND time_table = $3")
                        .bind(key.application.as_str())
                        .bind(key.pipeline.as_str())
                        .bind(key.table.as_str())
                        .execute(&mut tx.connection)
                        .await?;
                }
                Ok(())
            })
        })
        .await
    }
}

/// A step without what it starts.
struct Moved {
    key: CronKey,
    from: Option<Timestamp>,
    until: Timestamp,
    due: Option<Timestamp>,
}

async fn work_off(
    tx: &mut Tx,
    row: &Moved,
    birth: Option<&Birth>,
    outcome: Option<String>,
) -> Result<CronDone, StoreError> {
    if !move_on(tx, row).await? {
        return Ok(CronDone::Overtaken);
    }
    let Some(due) = row.due else { return Ok(CronDone::Noted) };
    let done = match birth {
        None => CronDone::Noted,
        Some(birth) => match not_begun(tx, &row.key).await? {
            Some(waiting) => CronDone::Waiting(waiting),
            None => match execution::create(tx, birth, None).await? {
                // Whoever created what exists may not have come to this.
                Created::New(key) | Created::Existing(key, _) => CronDone::Started(key),
            },
        },
    };
    let outcome = match done {
        CronDone::Waiting(id) => Some(format!("the execution {id} has not begun yet")),
        _ => outcome.map(|text| text.chars().take(MAX_OUTCOME).collect()),
    };
    let started = match done {
        CronDone::Started(key) => Some(key.0),
        _ => None,
    };
    sqlx::query(
        "UPDATE cron SET last_due = $1, outcome = $2, execution = COALESCE($3, execution) \
         WHERE application = $4 AND pipeline = $5 AND time_table = $6",
    )
    .bind(due.as_millis())
    .bind(outcome)
    .bind(started)
    .bind(row.key.application.as_str())
    .bind(row.key.pipeline.as_str())
    .bind(row.key.table.as_str())
    .execute(&mut tx.connection)
    .await?;
    Ok(done)
}

/// Whether the table stood where the step begins.
async fn move_on(tx: &mut Tx, row: &Moved) -> Result<bool, StoreError> {
    let done = match row.from {
        None => {
            sqlx::query(
                "INSERT INTO cron (application, pipeline, time_table, until) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (application, pipeline, time_table) DO NOTHING",
            )
            .bind(row.key.application.as_str())
            .bind(row.key.pipeline.as_str())
            .bind(row.key.table.as_str())
            .bind(row.until.as_millis())
            .execute(&mut tx.connection)
            .await?
        }
        Some(from) => {
            sqlx::query(
                "UPDATE cron SET until = $4 \
                 WHERE application = $1 AND pipeline = $2 AND time_table = $3 AND until = $5",
            )
            .bind(row.key.application.as_str())
            .bind(row.key.pipeline.as_str())
            .bind(row.key.table.as_str())
            .bind(row.until.as_millis())
            .bind(from.as_millis())
            .execute(&mut tx.connection)
            .await?
        }
    };
    Ok(done.rows_affected() == 1)
}

/// The execution that the table started last, if it has not begun.
async fn not_begun(tx: &mut Tx, key: &CronKey) -> Result<Option<ExecutionId>, StoreError> {
    let row = sqlx::query(
        "SELECT i.public_id FROM cron JOIN execution e ON e.id = cron.execution \
         JOIN execution_info i ON i.id = e.id \
         WHERE cron.application = $1 AND cron.pipeline = $2 AND cron.time_table = $3 AND e.live = 1 AND e.status = $4",
    )
    .bind(key.application.as_str())
    .bind(key.pipeline.as_str())
    .bind(key.table.as_str())
    .bind(Status::NotStarted.as_str())
    .fetch_optional(&mut tx.connection)
    .await?;
    row.map(|row| Row::of("execution_info", &row).id("public_id")).transpose()
}

fn state(row: &AnyRow) -> Result<CronState, StoreError> {
    let row = Row::of("cron", row);
    Ok(CronState {
        key: CronKey {
            application: row.id("application")?,
            pipeline: row.id("pipeline")?,
            table: row.text("time_table")?,
        },
        until: row.time("until")?,
        last_due: row.time_or_null("last_due")?,
        execution: row.id_or_null("public_id")?,
        outcome: row.text_or_null("outcome")?,
    })
}
