//! Which tables and columns a database has, as the database itself says.

use sqlx::Row as _;
use sqlx::any::AnyRow;

use crate::store::StoreError;
use crate::store::connection::{Backend, Connection};

/// What a column holds: the types that both databases have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Integer,
    Double,
    Bytes,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// A table with its columns, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
    /// The names of the columns of its primary key.
    pub(super) key: Vec<String>,
}

impl Table {
    /// The names of its columns, as a statement lists them.
    pub(super) fn column_list(&self) -> String {
        self.columns.iter().map(|column| format!("\"{}\"", column.name)).collect::<Vec<_>>().join(", ")
    }

    /// The statement that reads all rows, in the order of the primary key.
    pub(super) fn select(&self) -> String {
        let key: Vec<String> = self.key.iter().map(|name| format!("\"{name}\"")).collect();
        let order = if key.is_empty() { self.column_list() } else { key.join(", ") };
        format!("SELECT {} FROM \"{}\" ORDER BY {order}", self.column_list(), self.name)
    }
}

/// All tables but those that keep the steps of migrations: each after those that its rows refer to, else by name.
pub(super) async fn tables(connection: &mut Connection) -> Result<Vec<Table>, StoreError> {
    let backend = connection.backend();
    let columns = match backend {
        Backend::Sqlite => {
            "SELECT t.name AS table_name, c.name AS column_name, c.type AS kind, c.pk AS key_place \
             FROM sqlite_schema t JOIN pragma_table_info(t.name) c \
             WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite#_%' ESCAPE '#' AND t.name NOT LIKE '#_%' ESCAPE '#' \
             ORDER BY t.name, c.cid"
        }
        Backend::Postgres => {
            "SELECT c.relname::text AS table_name, a.attname::text AS column_name, \
             format_type(a.atttypid, NULL) AS kind, \
             COALESCE((SELECT array_position(i.indkey::int2[], a.attnum) + 1 FROM pg_index i \
                 WHERE i.indrelid = c.oid AND i.indisprimary), 0)::BIGINT AS key_place \
             FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid \
             WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND left(c.relname, 1) <> '_' \
             AND a.attnum > 0 AND NOT a.attisdropped ORDER BY c.relname COLLATE \"C\", a.attnum"
        }
    };
    let mut tables: Vec<Table> = Vec::new();
    let mut places: Vec<Vec<(i64, String)>> = Vec::new();
    for row in sqlx::query(columns).fetch_all(&mut *connection).await? {
        let (table, name, kind) = (text(&row, 0)?, text(&row, 1)?, text(&row, 2)?);
        if tables.last().is_none_or(|last| last.name != table) {
            tables.push(Table { name: table.clone(), columns: Vec::new(), key: Vec::new() });
            places.push(Vec::new());
        }
        let kind = kind_of(&table, &name, &kind)?;
        let place: i64 = row.try_get(3)?;
        if let (Some(table), Some(places)) = (tables.last_mut(), places.last_mut()) {
            if place > 0 {
                places.push((place, name.clone()));
            }
            table.columns.push(Column { name, kind });
        }
    }
    for (table, mut places) in tables.iter_mut().zip(places) {
        places.sort_unstable();
        table.key = places.into_iter().map(|(_, name)| name).collect();
    }
    let references = references(connection, backend).await?;
    Ok(sorted(tables, &references))
}

/// Which table's rows refer to which other table.
async fn references(connection: &mut Connection, backend: Backend) -> Result<Vec<(String, String)>, StoreError> {
    let sql = match backend {
        Backend::Sqlite => {
            "SELECT t.name, f.\"table\" FROM sqlite_schema t JOIN pragma_foreign_key_list(t.name) f \
             WHERE t.type = 'table'"
        }
        Backend::Postgres => {
            "SELECT a.relname::text, b.relname::text FROM pg_constraint f JOIN pg_class a ON a.oid = f.conrelid \
             JOIN pg_class b ON b.oid = f.confrelid \
             WHERE f.contype = 'f' AND f.connamespace = current_schema()::regnamespace"
        }
    };
    sqlx::query(sql).fetch_all(connection).await?.iter().map(|row| Ok((text(row, 0)?, text(row, 1)?))).collect()
}

/// Each table after those that it refers to; a circle is broken anywhere.
fn sorted(mut left: Vec<Table>, references: &[(String, String)]) -> Vec<Table> {
    let mut sorted = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let waits = |table: &Table| {
            references.iter().any(|(from, to)| {
                *from == table.name && *to != table.name && left.iter().any(|other| other.name == *to)
            })
        };
        let next = left.iter().position(|table| !waits(table)).unwrap_or(0);
        sorted.push(left.remove(next));
    }
    sorted
}

fn text(row: &AnyRow, place: usize) -> Result<String, StoreError> {
    Ok(row.try_get(place)?)
}

fn kind_of(table: &str, column: &str, written: &str) -> Result<Kind, StoreError> {
    match written.to_ascii_lowercase().as_str() {
        "text" => Ok(Kind::Text),
        "bigint" => Ok(Kind::Integer),
        "double precision" => Ok(Kind::Double),
        "bytea" | "blob" => Ok(Kind::Bytes),
        other => Err(StoreError::corrupt(
            format!("column `{column}` of table `{table}`"),
            format!("the type `{other}` is not one that both databases have"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_comes_after_those_that_it_refers_to() {
        let table = |name: &str| Table { name: name.to_owned(), columns: Vec::new(), key: Vec::new() };
        let names = ["application", "info", "pipeline", "revision", "tail"].map(table).to_vec();
        let refers = |from: &str, to: &str| (from.to_owned(), to.to_owned());
        let references = [refers("application", "tail"), refers("pipeline", "revision"), refers("tail", "tail")];
        let sorted: Vec<String> = sorted(names, &references).into_iter().map(|table| table.name).collect();
        assert_eq!(sorted, ["info", "revision", "pipeline", "tail", "application"]);
    }

    #[test]
    fn only_types_that_both_have_are_carried() {
        assert!(matches!(kind_of("t", "c", "BIGINT"), Ok(Kind::Integer)));
        let error = kind_of("t", "c", "timestamptz").expect_err("is refused");
        assert!(error.to_string().contains("`timestamptz`"), "{error}");
    }
}
