//! Lanes: which executions stand in line, for a start to know without reading any journal.

use sqlx::AssertSqlSafe;

use super::connection::Connection;
use super::rows::{Row, document};
use super::shard::{Shard, Shards};
use super::writer::Tx;
use super::{Store, StoreError};
use crate::model::{ApplicationName, ExecutionId, ExecutionKey, Lane, PipelineName, Status};

/// An execution of a lane that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneMember {
    /// The store's key.
    pub key: ExecutionKey,
    /// Its shard, which is that of its lane.
    pub shard: Shard,
    /// The public id.
    pub id: ExecutionId,
    /// The application.
    pub application: ApplicationName,
    /// The pipeline.
    pub pipeline: PipelineName,
    /// How it stands.
    pub status: Status,
    /// The lane.
    pub lane: Lane,
    /// How many may run there once it does.
    pub most: usize,
    /// The executions that wait for its end, directly or by way of others.
    pub awaited_by: Vec<ExecutionId>,
}

impl Store {
    /// All executions that stand in a lane and have not ended, oldest first; of one lane, if it is named.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn lane_members(&self, lane: Option<&Lane>) -> Result<Vec<LaneMember>, StoreError> {
        self.members(Shards::ALL, lane).await
    }

    /// The same for all lanes of some shards.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn lane_members_in(&self, shards: Shards) -> Result<Vec<LaneMember>, StoreError> {
        self.members(shards, None).await
    }

    async fn members(&self, shards: Shards, lane: Option<&Lane>) -> Result<Vec<LaneMember>, StoreError> {
        let text = format!(
            "SELECT e.id, e.shard, e.status, l.name, l.most, l.awaited_by, i.public_id, i.application, i.pipeline \
             FROM execution e JOIN lane l ON l.execution = e.id JOIN execution_info i ON i.id = e.id \
             WHERE e.live = 1 AND ($1 IS NULL OR l.name = $1){} ORDER BY e.id",
            shards.condition("e.shard")
        );
        // Put together from constants and numbers.
        let rows = sqlx::query(AssertSqlSafe(text)).bind(lane.map(Lane::to_string)).fetch_all(self.reads()).await?;
        rows.iter().map(|row| member(&Row::of("lane", row))).collect()
    }

    /// Those who stand in lanes in which somebody may wait for whose end others wait, oldest first; 5000 at most. With each
    /// the last row of its journal, if that is short: of one that was restarted it says whether it waits once more.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn awaited_lanes(&self) -> Result<Vec<(LaneMember, Option<String>)>, StoreError> {
        let rows = sqlx::query(
            "SELECT e.id, e.shard, e.status, l.name, l.most, l.awaited_by, i.public_id, i.application, i.pipeline, \
             (SELECT j.body FROM journal j WHERE j.execution = e.id AND j.seq = e.seq AND length(j.body) < 4096) AS body \
             FROM execution e JOIN lane l ON l.execution = e.id JOIN execution_info i ON i.id = e.id \
             WHERE e.live = 1 AND l.name IN (SELECT w.name FROM execution f JOIN lane w ON w.execution = f.id \
                 WHERE f.live = 1 AND f.status = $1 AND w.awaited_by IS NOT NULL) ORDER BY e.id LIMIT 5000",
        )
        .bind(Status::NotStarted.as_str())
        .fetch_all(self.reads())
        .await?;
        let read = |row| {
            let row = Row::of("lane", row);
            Ok((member(&row)?, row.text_or_null("body")?))
        };
        rows.iter().map(read).collect()
    }
}

fn member(row: &Row<'_>) -> Result<LaneMember, StoreError> {
    Ok(LaneMember {
        key: ExecutionKey(row.int("id")?),
        shard: Shard::of_row(row.int("shard")?)?,
        id: row.id("public_id")?,
        application: row.id("application")?,
        pipeline: row.id("pipeline")?,
        status: row.status("status")?,
        lane: row.id("name")?,
        most: row.int_or_null("most")?.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(0)),
        awaited_by: row.json_or_null("awaited_by")?.unwrap_or_default(),
    })
}

/// Notes the lane of a new execution.
pub(super) async fn insert(
    tx: &mut Tx,
    key: ExecutionKey,
    lane: &Lane,
    most: u32,
    awaited_by: &[ExecutionId],
) -> Result<(), StoreError> {
    let awaited_by =
        if awaited_by.is_empty() { None } else { Some(document(|| format!("the lane of {}", key.0), &awaited_by)?) };
    sqlx::query("INSERT INTO lane (execution, name, most, awaited_by) VALUES ($1, $2, $3, $4)")
        .bind(key.0)
        .bind(lane.to_string())
        .bind(i64::from(most))
        .bind(awaited_by)
        .execute(&mut tx.connection)
        .await?;
    Ok(())
}

/// Under which counter it is kept that [`gather`] was done.
const GATHERED: &str = "lanes_gathered";

/// Puts those who stand in a lane, or did before they ended, into its shard that were created when lanes had none; once. To
/// be called while no process has such executions in memory.
pub(super) async fn gather(connection: &mut Connection) -> Result<(), StoreError> {
    let done: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM counter WHERE name = $1")
        .bind(GATHERED)
        .fetch_one(&mut *connection)
        .await?;
    if done > 0 {
        return Ok(());
    }
    let rows =
        sqlx::query("SELECT e.id, e.shard, l.name FROM execution e JOIN lane l ON l.execution = e.id ORDER BY e.id")
            .fetch_all(&mut *connection)
            .await?;
    for row in rows {
        let row = Row::of("lane", &row);
        let shard = Shard::of_lane(&row.id::<Lane>("name")?);
        if row.int("shard")? != shard.number() {
            sqlx::query("UPDATE execution SET shard = $1 WHERE id = $2")
                .bind(shard.number())
                .bind(row.int("id")?)
                .execute(&mut *connection)
                .await?;
        }
    }
    sqlx::query("INSERT INTO counter (name, value) VALUES ($1, 1) ON CONFLICT (name) DO NOTHING")
        .bind(GATHERED)
        .execute(connection)
        .await?;
    Ok(())
}
