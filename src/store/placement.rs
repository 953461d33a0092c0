//! Placements: on which node an attempt of a script was begun, where several replicas share the executions.
//!
//! The first who asks for an attempt has it for ever: the row is there before the script is, and nobody else begins it.

use uuid::Uuid;

use super::rows::Row;
use super::shard::Shard;
use super::writer::Tx;
use super::{Store, StoreError};
use crate::clock::Timestamp;
use crate::model::{ExecutionKey, StagePath};

/// An attempt of a stage, and the node on which it was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The execution.
    pub execution: ExecutionKey,
    /// The stage.
    pub stage: StagePath,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// The node: the id that a state folder keeps.
    pub node: Uuid,
    /// The name of the replica that began it, for people.
    pub replica: String,
}

/// Where an attempt was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The node.
    pub node: Uuid,
    /// The replica's name.
    pub replica: String,
    /// When.
    pub at: Timestamp,
    /// The execution's shard.
    pub shard: Shard,
}

impl Store {
    /// Asks for an attempt. Committed when it returns; yields who has it, which may be another node.
    ///
    /// # Errors
    /// If it can't be written.
    pub async fn place(&self, placement: Placement) -> Result<Placed, StoreError> {
        self.write(move |tx| Box::pin(async move { place(tx, &placement).await })).await
    }

    /// Where an attempt was begun, if anywhere.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn placed(
        &self,
        execution: ExecutionKey,
        stage: &StagePath,
        attempt: u32,
    ) -> Result<Option<Placed>, StoreError> {
        let row = sqlx::query(SELECT)
            .bind(execution.0)
            .bind(stage.as_str())
            .bind(i64::from(attempt))
            .fetch_optional(self.reads())
            .await?;
        row.map(|row| placed(&Row::of("placement", &row))).transpose()
    }
}

const SELECT: &str = "SELECT p.node, p.replica, p.placed_at, e.shard FROM placement p JOIN execution e ON e.id = p.execution \
                      WHERE p.execution = $1 AND p.stage = $2 AND p.attempt = $3";

async fn place(tx: &mut Tx, placement: &Placement) -> Result<Placed, StoreError> {
    sqlx::query(
        "INSERT INTO placement (execution, stage, attempt, node, replica, placed_at) VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (execution, stage, attempt) DO NOTHING",
    )
    .bind(placement.execution.0)
    .bind(placement.stage.as_str())
    .bind(i64::from(placement.attempt))
    .bind(placement.node.to_string())
    .bind(placement.replica.as_str())
    .bind(tx.now.as_millis())
    .execute(&mut tx.connection)
    .await?;
    let row = sqlx::query(SELECT)
        .bind(placement.execution.0)
        .bind(placement.stage.as_str())
        .bind(i64::from(placement.attempt))
        .fetch_one(&mut tx.connection)
        .await?;
    placed(&Row::of("placement", &row))
}

fn placed(row: &Row<'_>) -> Result<Placed, StoreError> {
    let shard = Shard::of_row(row.int("shard")?)?;
    Ok(Placed { node: row.id("node")?, replica: row.text("replica")?, at: row.time("placed_at")?, shard })
}
