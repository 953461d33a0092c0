//! Series: the executions of one pipeline as it comes from one repository, under a number. There are as many of them as
//! there ever were pipelines, however often these ran, so that lists begin with them (`search`).

use std::collections::HashMap;

use super::StoreError;
use super::birth::Birth;
use super::connection::{Backend, Connection};
use super::postgres::TURN;
use super::rows::Row;
use super::writer::Tx;
use crate::model::RepositoryName;

/// How many numbers are remembered; beyond that, remembering begins anew.
const MOST: usize = 20_000;

/// Numbers of series that are in the database. A series is never removed, so what was committed once stays true; after
/// anything was taken back, all are forgotten.
#[derive(Default)]
pub(super) struct Known(HashMap<String, i64>);

impl Known {
    /// Forgets all, because what they were learned from may not hold.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

/// The number of the series of each, in their order; a new one for what never was before.
pub(super) async fn of(tx: &mut Tx, births: &[&Birth]) -> Result<Vec<i64>, StoreError> {
    let mut numbers = Vec::with_capacity(births.len());
    for birth in births {
        let (pipeline, repository) = (&birth.new.pipeline, birth.new.repository.as_ref());
        let repository = repository.map_or("", RepositoryName::as_str);
        let name = [pipeline.application.as_str(), pipeline.name.as_str(), repository];
        // No name has a line break in it.
        let line = name.join("\n");
        if let Some(number) = tx.series.0.get(&line) {
            numbers.push(*number);
            continue;
        }
        let number = number(&mut tx.connection, name).await?;
        if tx.series.0.len() >= MOST {
            tx.series.forget();
        }
        tx.series.0.insert(line, number);
        numbers.push(number);
    }
    Ok(numbers)
}

/// Its number, which is made if there is none. New ones are made one after the other: by the one writer, or by the
/// replica whose turn it is.
async fn number(
    connection: &mut Connection,
    [application, pipeline, repository]: [&str; 3],
) -> Result<i64, StoreError> {
    let found =
        sqlx::query_scalar("SELECT id FROM series WHERE application = $1 AND pipeline = $2 AND repository = $3")
            .bind(application)
            .bind(pipeline)
            .bind(repository)
            .fetch_optional(&mut *connection)
            .await?;
    if let Some(number) = found {
        return Ok(number);
    }
    let number: i64 = sqlx::query_scalar("UPDATE counter SET value = value + 1 WHERE name = 'series' RETURNING value")
        .fetch_one(&mut *connection)
        .await?;
    sqlx::query("INSERT INTO series (id, application, pipeline, repository) VALUES ($1, $2, $3, $4)")
        .bind(number)
        .bind(application)
        .bind(pipeline)
        .bind(repository)
        .execute(connection)
        .await?;
    Ok(number)
}

/// Sorts into series what a replica of an earlier version created, which knew of none.
pub(super) async fn gather(connection: &mut Connection) -> Result<(), StoreError> {
    const WITHOUT: &str = "SELECT e.id, i.application, i.pipeline, COALESCE(i.repository, '') AS repository \
         FROM execution e JOIN execution_info i ON i.id = e.id WHERE e.series IS NULL ORDER BY e.id";
    if sqlx::query(WITHOUT).fetch_optional(&mut *connection).await?.is_none() {
        return Ok(());
    }
    sqlx::query("BEGIN").execute(&mut *connection).await?;
    let sorted = sort(connection, WITHOUT).await;
    let end = if sorted.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = sqlx::query(end).execute(connection).await;
    sorted?;
    ended?;
    Ok(())
}

async fn sort(connection: &mut Connection, without: &'static str) -> Result<(), StoreError> {
    if connection.backend() == Backend::Postgres {
        sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(TURN).execute(&mut *connection).await?;
    }
    for row in sqlx::query(without).fetch_all(&mut *connection).await? {
        let row = Row::of("execution_info", &row);
        let (application, pipeline, repository) =
            (row.text("application")?, row.text("pipeline")?, row.text("repository")?);
        let number = number(connection, [&application, &pipeline, &repository]).await?;
        sqlx::query("UPDATE execution SET series = $1 WHERE id = $2")
            .bind(number)
            .bind(row.int("id")?)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use sqlx::AssertSqlSafe;

    use crate::clock::Clock;
    use crate::model::{Cause, ExecutionId, Status};
    use crate::store::contract::sample::{application, created, quiet_run, repository};
    use crate::store::contract::server::with_database;
    use crate::store::open::Held;
    use crate::store::{ExecutionFilter, Store, StoreOptions};

    async fn keys(store: &Store, filter: ExecutionFilter) -> Vec<i64> {
        store.executions(filter).await.expect("reads").items.iter().map(|execution| execution.key.0).collect()
    }

    /// A database from before there were series is brought up to date with all that is in it.
    async fn brought_up_to_date(options: StoreOptions) {
        let mut held = Held::open(&options).await.expect("opens");
        held.bring_to(19).await.expect("makes earlier tables");
        let cause = serde_json::to_string(&Cause::default()).expect("is JSON");
        // Letters of a language sort these otherwise than bytes do.
        let names = [
            ("a-b", "'acme/shop'"),
            ("ab", "'acme/shop'"),
            ("B", "NULL"),
            ("a-b", "'acme/moved'"),
            ("a-b", "'acme/shop'"),
        ];
        for (number, (name, owner)) in (1..).zip(names) {
            let id = ExecutionId::generate();
            let statements = [
                format!("INSERT INTO execution (id, shard, live, status, seq) VALUES ({number}, 1, 0, 'SUCCEEDED', 3)"),
                format!(
                    "INSERT INTO execution_info (id, public_id, application, pipeline, repository, created_at, cause, \
                     document) VALUES ({number}, '{id}', '{name}', 'deploy', {owner}, 1, '{cause}', '{{}}')"
                ),
                format!("UPDATE counter SET value = {number} WHERE name = 'execution'"),
            ];
            for statement in statements {
                sqlx::query(AssertSqlSafe(statement)).execute(&mut held.connection).await.expect("does it");
            }
        }
        held.close().await.expect("closes");

        let store = Store::open(options, Clock::system()).await.expect("opens");
        let all = ExecutionFilter::default;
        let of = |name: &str| ExecutionFilter { application: Some(application(name)), ..all() };
        assert_eq!(keys(&store, of("a-b")).await, [5, 4, 1]);
        assert_eq!(
            keys(&store, ExecutionFilter { repository: Some(repository("acme/shop")), ..of("a-b") }).await,
            [5, 1]
        );
        assert_eq!(keys(&store, ExecutionFilter { status: Some(Status::Succeeded), ..of("ab") }).await, [2]);
        assert_eq!(keys(&store, of("B")).await, [3]);
        // What comes gets a number of its own, or that which is there.
        created(&store, quiet_run()).await;
        let mut again = quiet_run();
        again.pipeline.application = application("ab");
        created(&store, again).await;
        assert_eq!(keys(&store, of("shop")).await, [6]);
        assert_eq!(keys(&store, of("ab")).await, [7, 2]);
        store.close().await;
    }

    #[tokio::test]
    async fn a_database_without_series_is_brought_up_to_date() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let url = format!("sqlite:{}", folder.path().join("longboat.db").display());
        brought_up_to_date(StoreOptions { durable: false, ..StoreOptions::new(url, "first") }).await;
    }

    #[tokio::test]
    async fn a_server_s_database_without_series_is_brought_up_to_date() {
        with_database(|url| brought_up_to_date(StoreOptions { durable: false, ..StoreOptions::new(url, "first") }))
            .await;
    }
}
