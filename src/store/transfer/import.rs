//! From a file into an empty database.

use std::path::Path;

use serde_json::Value;
use sha2::Digest as _;
use sqlx::AssertSqlSafe;

use super::export::sample;
use super::file::{Cell, FORMAT, Head, Mark, Reading};
use super::tables::{Table, tables};
use super::{Moved, Progress, TELL_EVERY};
use crate::store::chunk::{self, Texts};
use crate::store::connection::Connection;
use crate::store::open::Held;
use crate::store::{StoreError, StoreOptions};

/// How many rows are gathered before they are written.
const PIECE: usize = 256;
/// How many bytes of lines are gathered before they are written.
const PIECE_BYTES: usize = 8 * 1024 * 1024;

/// Fills an empty database with what an export holds: all of it, or nothing.
///
/// # Errors
/// [`StoreError::Taken`] if a server has the database open, [`StoreError::NotEmpty`] if it holds anything,
/// [`StoreError::Newer`] if a later version wrote the file, [`StoreError::BadExport`] if the file is damaged; others if
/// file or database fail. Then the database is as empty as it was.
pub async fn import(options: &StoreOptions, from: &Path, progress: Progress<'_>) -> Result<Moved, StoreError> {
    let mut file = Reading::begin(from)?;
    let (head, _) = file.line()?;
    let head: Head = serde_json::from_value(head).map_err(|_| file.bad("it is no export of Longboat's"))?;
    if head.longboat != "export" {
        return Err(file.bad("it is no export of Longboat's"));
    }
    if head.format != FORMAT {
        return Err(file.bad(format_args!("it has the form {}, and this version reads {FORMAT}", head.format)));
    }
    if head.step > Held::last_step() {
        let known = Held::last_step();
        return Err(StoreError::Newer { step: head.step, oldest: head.step, known });
    }
    let mut held = Held::open(options).await?;
    if held.bring_to(head.step).await? != head.step {
        return Err(held.not_empty("its tables are those of a later version than the file's"));
    }
    let targets = tables(&mut held.connection).await?;
    if let Some(full) = first_difference(&mut held.connection, &targets, head.step).await? {
        return Err(held.not_empty(format_args!("table `{full}` has rows")));
    }
    sqlx::query("BEGIN").execute(&mut held.connection).await?;
    let moved = fill(&mut held.connection, &targets, &mut file, progress).await;
    let end = if moved.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = sqlx::query(end).execute(&mut held.connection).await;
    let moved = moved?;
    ended?;
    held.bring_up_to_date().await?;
    held.close().await?;
    Ok(moved)
}

/// The first table that is not as the migrations leave it; they put some rows in themselves.
async fn first_difference(
    connection: &mut Connection,
    tables: &[Table],
    step: i64,
) -> Result<Option<String>, StoreError> {
    let mut fresh = Held::in_memory(step).await?;
    const ENOUGH: usize = 1000;
    let (empty, found) = (sample(&mut fresh, tables, ENOUGH).await?, sample(connection, tables, ENOUGH).await?);
    let different = empty.into_iter().zip(found).find(|(empty, found)| empty != found);
    Ok(different.map(|(_, (name, _))| name))
}

async fn fill(
    connection: &mut Connection,
    targets: &[Table],
    file: &mut Reading,
    progress: Progress<'_>,
) -> Result<Moved, StoreError> {
    // What the migrations put in is in the file as well.
    for table in targets.iter().rev() {
        sqlx::query(AssertSqlSafe(format!("DELETE FROM \"{}\"", table.name))).execute(&mut *connection).await?;
    }
    let (mut seen, mut all) = (Vec::new(), 0);
    loop {
        let (line, before) = file.line()?;
        match serde_json::from_value(line) {
            Ok(Mark::Table { table, columns }) => {
                let known = targets.iter().find(|target| target.name == table);
                let target = known.filter(|target| {
                    target.columns.len() == columns.len()
                        && target.columns.iter().all(|column| columns.contains(&column.name))
                });
                let Some(target) = target else {
                    return Err(file.bad(format_args!("no table `{table}` with such columns is in the database")));
                };
                if seen.contains(&table) {
                    return Err(file.bad(format_args!("table `{table}` comes a second time")));
                }
                all += fill_table(connection, &in_order(target, &columns), file, progress).await?;
                seen.push(table);
            }
            Ok(Mark::Whole { tables, rows, sha256 }) => {
                let digest = hex::encode(before.finalize());
                if digest != sha256 {
                    return Err(file.bad("the file was changed: its digest is not the one that stands there"));
                }
                if (tables, rows) != (seen.len() as u64, all) || seen.len() != targets.len() || !file.ends() {
                    return Err(file.bad("the file holds another number of tables or rows than it says"));
                }
                return Ok(Moved { tables, rows, sha256 });
            }
            Ok(Mark::End { .. }) | Err(_) => return Err(file.bad("neither a table nor the end")),
        }
    }
}

/// The table with its columns in the file's order.
fn in_order(target: &Table, columns: &[String]) -> Table {
    let place = |name: &str| columns.iter().position(|column| column == name);
    let mut table = target.clone();
    table.columns.sort_by_key(|column| place(&column.name));
    table
}

async fn fill_table(
    connection: &mut Connection,
    table: &Table,
    file: &mut Reading,
    progress: Progress<'_>,
) -> Result<u64, StoreError> {
    let places = vec!["?"; table.columns.len()].join(", ");
    let head = format!("INSERT INTO \"{}\" ({}) VALUES ", table.name, table.column_list());
    let texts = Texts::new(&head, &format!("({places})"), "");
    let (mut piece, mut bytes, mut count) = (Vec::with_capacity(PIECE), 0, 0);
    loop {
        let (line, _) = file.line()?;
        let whole = match line {
            Value::Array(values) => {
                bytes += values.iter().map(|value| value.as_str().map_or(8, str::len)).sum::<usize>();
                piece.push(cells(values, table, file)?);
                count += 1;
                false
            }
            mark => match serde_json::from_value(mark) {
                Ok(Mark::End { end, rows }) if end == table.name && rows == count => true,
                _ => return Err(file.bad(format_args!("table `{}` does not end as it should", table.name))),
            },
        };
        if whole || piece.len() == PIECE || bytes >= PIECE_BYTES {
            insert(connection, &texts, &piece).await?;
            piece.clear();
            bytes = 0;
        }
        if whole || count % TELL_EVERY == 0 {
            progress(&table.name, count);
        }
        if whole {
            return Ok(count);
        }
    }
}

fn cells(values: Vec<Value>, table: &Table, file: &Reading) -> Result<Vec<Cell>, StoreError> {
    if values.len() != table.columns.len() {
        return Err(file.bad(format_args!("the row has {} values, not {}", values.len(), table.columns.len())));
    }
    let cells = values.into_iter().zip(&table.columns).map(|(value, column)| {
        Cell::read(value, column.kind)
            .ok_or_else(|| file.bad(format_args!("the value of column `{}` has the wrong type", column.name)))
    });
    cells.collect()
}

async fn insert(connection: &mut Connection, texts: &Texts, rows: &[Vec<Cell>]) -> Result<(), StoreError> {
    let backend = connection.backend();
    for piece in chunk::pieces(rows) {
        // The names come from the database's own catalogue.
        let mut query = sqlx::query(AssertSqlSafe(texts.text(backend, piece.len()).to_owned()));
        for cell in piece.iter().flatten() {
            query = match cell {
                Cell::Text(text) => query.bind(text.as_deref()),
                Cell::Integer(number) => query.bind(*number),
                Cell::Double(number) => query.bind(*number),
                Cell::Bytes(bytes) => query.bind(bytes.as_deref()),
            };
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}
