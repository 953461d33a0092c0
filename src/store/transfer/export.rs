//! From a database into a file.

use std::path::Path;

use futures::TryStreamExt as _;
use sqlx::AssertSqlSafe;

use super::file::{FORMAT, Head, Mark, Writing, row};
use super::tables::{Table, tables};
use super::{Moved, Progress, TELL_EVERY};
use crate::store::connection::{Backend, Connection};
use crate::store::open::Held;
use crate::store::{StoreError, StoreOptions};

/// Writes everything that a database holds into a new file. A database of an earlier version is brought up to date
/// before.
///
/// # Errors
/// [`StoreError::Taken`] if a server has the database open; others if it can't be read, the file can't be written, or
/// something is at its place already. Then there is no file.
pub async fn export(options: &StoreOptions, to: &Path, progress: Progress<'_>) -> Result<Moved, StoreError> {
    let mut file = Writing::begin(to)?;
    let mut held = Held::open(options).await?;
    let step = held.bring_up_to_date().await?;
    let moved = write(&mut held.connection, step, &mut file, progress).await?;
    held.close().await?;
    file.finish()?;
    Ok(moved)
}

/// Everything, as it stands at one moment.
async fn write(
    connection: &mut Connection,
    step: i64,
    file: &mut Writing,
    progress: Progress<'_>,
) -> Result<Moved, StoreError> {
    let begin = match connection.backend() {
        Backend::Sqlite => "BEGIN",
        Backend::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    };
    sqlx::query(begin).execute(&mut *connection).await?;
    file.line(&Head { longboat: "export".to_owned(), format: FORMAT, step })?;
    let (mut count, mut rows) = (0, 0);
    for table in tables(connection).await? {
        rows += write_table(connection, &table, file, progress).await?;
        count += 1;
    }
    let sha256 = file.digest();
    file.line(&Mark::Whole { tables: count, rows, sha256: sha256.clone() })?;
    sqlx::query("ROLLBACK").execute(connection).await?;
    Ok(Moved { tables: count, rows, sha256 })
}

async fn write_table(
    connection: &mut Connection,
    table: &Table,
    file: &mut Writing,
    progress: Progress<'_>,
) -> Result<u64, StoreError> {
    let columns = table.columns.iter().map(|column| column.name.clone()).collect();
    file.line(&Mark::Table { table: table.name.clone(), columns })?;
    // The names come from the database's own catalogue.
    let mut found = sqlx::query(AssertSqlSafe(table.select())).fetch(connection);
    let mut count = 0;
    while let Some(found) = found.try_next().await? {
        file.line(&row(&found, table)?)?;
        count += 1;
        if count % TELL_EVERY == 0 {
            progress(&table.name, count);
        }
    }
    drop(found);
    file.line(&Mark::End { end: table.name.clone(), rows: count })?;
    progress(&table.name, count);
    Ok(count)
}

/// All rows of some tables as lines have them, at most `limit` of each: to compare small databases.
pub(super) async fn sample(
    connection: &mut Connection,
    tables: &[Table],
    limit: usize,
) -> Result<Vec<(String, Vec<serde_json::Value>)>, StoreError> {
    let mut sample = Vec::new();
    for table in tables {
        let text = format!("{} LIMIT {limit}", table.select());
        let found = sqlx::query(AssertSqlSafe(text)).fetch_all(&mut *connection).await?;
        let rows = found.iter().map(|found| row(found, table)).collect::<Result<_, _>>()?;
        sample.push((table.name.clone(), rows));
    }
    Ok(sample)
}
