//! Steps of the tables: which versions may work with which.
//!
//! Each migration is a step, and tables only ever go forward. While several versions share a database (replicas that are
//! replaced one after the other), an older one meets steps that it doesn't know. Most of them add what it may ignore: a
//! table, an index, a column that may be empty. Such a step says nothing, and the older one works with the tables, also
//! if it is started anew. A step that changes what others rely on (it takes something away, gives it another meaning, or
//! has to be kept up by everybody who writes) says from which step on a program has to know the tables, in its own
//! transaction:
//!
//! ```sql
//! INSERT INTO counter (name, value) VALUES ('oldest_step', 31)
//!     ON CONFLICT (name) DO UPDATE SET value = excluded.value;
//! ```
//!
//! Programs that know less are refused from then on, and while such programs run on the database as replicas, the step
//! isn't taken.

use std::time::{Duration, Instant};

use sqlx::PgConnection;
use sqlx::migrate::Migrator;

use super::StoreError;
use super::connection::{Backend, Connection};
use super::open::MIGRATIONS;

/// Who keeps the number; no counter of keys is called that.
const OLDEST: &str = "oldest_step";

/// How long it is waited for the leases of replicas that died to end, before a step is refused because of them.
const LEASES_END: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 8 });
const PAUSE: Duration = Duration::from_millis(200);

/// The last step of these migrations.
pub(super) fn last(migrations: &Migrator) -> i64 {
    migrations.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// Whether a program that knows these migrations may work with the tables as they are, and take the steps that are
/// missing up to `target`.
///
/// # Errors
/// [`StoreError::Newer`] if the tables are beyond it, [`StoreError::InUse`] if replicas run that couldn't follow.
pub(super) async fn admit(
    connection: &mut Connection,
    migrations: &Migrator,
    target: i64,
    shared: bool,
) -> Result<(), StoreError> {
    let Some(reached) = reached(connection).await? else { return Ok(()) };
    let known = last(migrations);
    let oldest: Option<i64> = sqlx::query_scalar("SELECT value FROM counter WHERE name = $1")
        .bind(OLDEST)
        .fetch_optional(&mut *connection)
        .await?;
    if let Some(oldest) = oldest.filter(|oldest| *oldest > known) {
        return Err(StoreError::Newer { step: reached, oldest, known });
    }
    if reached > known {
        tracing::warn!(
            step = reached,
            known,
            "a later version has brought the tables further, in a way that this one can work with; replace this one, too"
        );
    }
    let pending = migrations.iter().filter(|one| one.version > reached && one.version <= target);
    let breaking = pending.filter(|one| one.sql.as_str().contains(OLDEST)).map(|one| one.version).max();
    match breaking {
        Some(step) if shared => none_runs(connection, step).await,
        _ => Ok(()),
    }
}

/// Whether the tables are still such that this version can work with them, while it runs.
///
/// # Errors
/// [`StoreError::Newer`] if they aren't.
pub(super) async fn still_understood(connection: &mut PgConnection) -> Result<(), StoreError> {
    let oldest: Option<i64> = sqlx::query_scalar("SELECT value FROM counter WHERE name = $1")
        .bind(OLDEST)
        .fetch_optional(&mut *connection)
        .await?;
    let known = last(&MIGRATIONS);
    let Some(oldest) = oldest.filter(|oldest| *oldest > known) else { return Ok(()) };
    let step = sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations").fetch_one(connection).await?;
    Err(StoreError::Newer { step, oldest, known })
}

/// The newest step that was taken; none: the database is new.
async fn reached(connection: &mut Connection) -> Result<Option<i64>, StoreError> {
    let there = match connection.backend() {
        Backend::Sqlite => "SELECT COUNT(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'",
        Backend::Postgres => "SELECT COUNT(to_regclass('_sqlx_migrations')::text)",
    };
    let there: i64 = sqlx::query_scalar(there).fetch_one(&mut *connection).await?;
    if there == 0 {
        return Ok(None);
    }
    Ok(sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations").fetch_one(connection).await?)
}

/// Waits until no replica has a lease. Whoever runs knows less than a step that has not been taken yet.
async fn none_runs(connection: &mut Connection, step: i64) -> Result<(), StoreError> {
    let began = Instant::now();
    loop {
        let names: Vec<String> = sqlx::query_scalar(
            "SELECT name || ' (' || version || ')' FROM replica \
             WHERE expires_at > (EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::BIGINT ORDER BY name LIMIT 20",
        )
        .fetch_all(&mut *connection)
        .await?;
        if names.is_empty() {
            return Ok(());
        }
        if began.elapsed() >= LEASES_END {
            return Err(StoreError::InUse { step, replicas: names.join(", ") });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The last step before this rule was there: older programs refuse every step that they don't know.
    const BEFORE: i64 = 22;

    /// What an older program that doesn't know of it may ignore.
    fn only_adds(statement: &str) -> bool {
        let words: Vec<&str> = statement.split_whitespace().collect();
        match words.as_slice() {
            ["CREATE", "TABLE" | "INDEX", ..] | ["INSERT", "INTO", "counter", ..] => true,
            ["ALTER", "TABLE", _, "ADD", "COLUMN", rest @ ..] => !rest.contains(&"NOT") || rest.contains(&"DEFAULT"),
            _ => false,
        }
    }

    fn statements(sql: &str) -> Vec<String> {
        let text: String =
            sql.lines().filter(|line| !line.trim_start().starts_with("--")).collect::<Vec<_>>().join("\n");
        text.split(';').map(|one| one.trim().to_owned()).filter(|one| !one.is_empty()).collect()
    }

    #[test]
    fn a_step_that_does_more_than_add_says_from_which_one_on_it_is_understood() {
        for migration in MIGRATIONS.iter().filter(|migration| migration.version > BEFORE) {
            let sql = migration.sql.as_str();
            let adds = statements(sql).iter().all(|statement| only_adds(statement));
            assert!(adds || sql.contains(OLDEST), "step {} has to set `{OLDEST}`", migration.version);
        }
        for (statement, adds) in [
            ("CREATE TABLE a (b BIGINT)", true),
            ("CREATE INDEX a ON b (c)", true),
            ("CREATE UNIQUE INDEX a ON b (c)", false),
            ("ALTER TABLE a ADD COLUMN b TEXT", true),
            ("ALTER TABLE a ADD COLUMN b BIGINT NOT NULL", false),
            ("ALTER TABLE a ADD COLUMN b BIGINT NOT NULL DEFAULT 0", true),
            ("ALTER TABLE a DROP COLUMN b", false),
            ("UPDATE a SET b = 1", false),
            ("DROP TABLE a", false),
        ] {
            assert_eq!(only_adds(statement), adds, "{statement}");
        }
        assert_eq!(statements("-- a; b\nCREATE TABLE a (b BIGINT);\nDROP TABLE c;\n").len(), 2);
    }
}
