//! Pieces: logs and saved files of stages, where they are kept in the database.
//!
//! A piece is some bytes with a name on a shelf; a shelf holds what belongs together, an attempt's log for example.
//! Writing a piece again replaces it, so that whoever doesn't know whether a write arrived repeats it. Each write is a job
//! of its own and small, and shares its commit with whatever else is written.

use super::rows::Row;
use super::{Store, StoreError};
use crate::model::ExecutionId;

/// How many pieces one step removes: a transaction that removes more would hold up everybody.
const STEP: i64 = 32;
/// How many executions are asked for at once.
const PAGE: i64 = 500;

/// What a piece is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PieceKind {
    /// A log.
    Log,
    /// Saved files.
    File,
}

impl PieceKind {
    /// The word in the database.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Log => "logs",
            Self::File => "files",
        }
    }
}

/// Where a piece stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PieceName {
    /// What it is of.
    pub kind: PieceKind,
    /// The execution.
    pub execution: ExecutionId,
    /// What belongs together.
    pub shelf: String,
    /// Its name there; a shelf is listed in the order of names.
    pub name: String,
}

impl Store {
    /// Writes a piece, in place of what had its name.
    ///
    /// # Errors
    /// If it can't be written.
    pub async fn put_piece(&self, at: PieceName, bytes: Vec<u8>) -> Result<(), StoreError> {
        self.write(move |tx| {
            Box::pin(async move {
                sqlx::query(
                    "INSERT INTO piece (kind, execution, shelf, name, bytes) VALUES ($1, $2, $3, $4, $5) \
                     ON CONFLICT (kind, execution, shelf, name) DO UPDATE SET bytes = excluded.bytes",
                )
                .bind(at.kind.as_str())
                .bind(at.execution.to_string())
                .bind(at.shelf)
                .bind(at.name)
                .bind(bytes)
                .execute(&mut tx.connection)
                .await?;
                Ok(())
            })
        })
        .await
    }

    /// A piece; nothing if there is none of that name.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn piece(&self, at: &PieceName) -> Result<Option<Vec<u8>>, StoreError> {
        let row =
            sqlx::query("SELECT bytes FROM piece WHERE kind = $1 AND execution = $2 AND shelf = $3 AND name = $4")
                .bind(at.kind.as_str())
                .bind(at.execution.to_string())
                .bind(at.shelf.as_str())
                .bind(at.name.as_str())
                .fetch_optional(self.reads())
                .await?;
        row.map(|row| Row::of("piece", &row).bytes("bytes")).transpose()
    }

    /// The names and sizes in bytes of all pieces on a shelf, in the order of names.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn pieces(
        &self,
        kind: PieceKind,
        execution: ExecutionId,
        shelf: &str,
    ) -> Result<Vec<(String, u64)>, StoreError> {
        let rows = sqlx::query(
            "SELECT name, CAST(LENGTH(bytes) AS BIGINT) AS size FROM piece \
             WHERE kind = $1 AND execution = $2 AND shelf = $3 ORDER BY name",
        )
        .bind(kind.as_str())
        .bind(execution.to_string())
        .bind(shelf)
        .fetch_all(self.reads())
        .await?;
        let mut pieces = Vec::with_capacity(rows.len());
        for row in &rows {
            let row = Row::of("piece", row);
            pieces.push((row.text("name")?, u64::try_from(row.int("size")?).unwrap_or(0)));
        }
        Ok(pieces)
    }

    /// Removes all pieces of an execution, in steps that others' writes come between.
    ///
    /// # Errors
    /// If the database fails; what is left can be removed by another call.
    pub async fn remove_pieces(&self, kind: PieceKind, execution: ExecutionId) -> Result<(), StoreError> {
        while self.remove_some(kind, execution).await? {}
        Ok(())
    }

    /// One step. Yields whether there may be more.
    async fn remove_some(&self, kind: PieceKind, execution: ExecutionId) -> Result<bool, StoreError> {
        let execution = execution.to_string();
        let last = sqlx::query(
            "SELECT shelf, name FROM piece WHERE kind = $1 AND execution = $2 AND shelf = \
             (SELECT MIN(shelf) FROM piece WHERE kind = $1 AND execution = $2) ORDER BY name LIMIT $3",
        )
        .bind(kind.as_str())
        .bind(execution.as_str())
        .bind(STEP)
        .fetch_all(self.reads())
        .await?
        .pop();
        let Some(last) = last else { return Ok(false) };
        let last = Row::of("piece", &last);
        let (shelf, name) = (last.text("shelf")?, last.text("name")?);
        self.write(move |tx| {
            Box::pin(async move {
                sqlx::query("DELETE FROM piece WHERE kind = $1 AND execution = $2 AND shelf = $3 AND name <= $4")
                    .bind(kind.as_str())
                    .bind(execution)
                    .bind(shelf)
                    .bind(name)
                    .execute(&mut tx.connection)
                    .await?;
                Ok(true)
            })
        })
        .await
    }

    /// The executions that have pieces, after one of them, as many as are asked for at once; in the order of their ids.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn piece_executions(
        &self,
        kind: PieceKind,
        after: Option<ExecutionId>,
    ) -> Result<Vec<ExecutionId>, StoreError> {
        let rows = sqlx::query(
            "SELECT DISTINCT execution FROM piece WHERE kind = $1 AND execution > $2 ORDER BY execution LIMIT $3",
        )
        .bind(kind.as_str())
        .bind(after.map_or_else(String::new, |id| id.to_string()))
        .bind(PAGE)
        .fetch_all(self.reads())
        .await?;
        rows.iter().map(|row| Row::of("piece", row).id("execution")).collect()
    }
}
