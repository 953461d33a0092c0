//! How fast executions go, durably: `cargo bench --bench engine`.
//!
//! Prints one line a figure, `name = value unit`; beside it `name.goal`, and `name.limit`, what the database alone does
//! with the same rows in the same run, each with the ratio to it; `name.cpu`, the processors' time of this program,
//! which others on the machine lengthen less than the time on the clock; and `name.commit`, the median of a bare commit
//! just before. SQLite with `synchronous=FULL`, on the disk that holds the target folder. Words after `--` choose the
//! figures whose names contain one of them: `bulk`, `three_stages`, `single`, `waiting`, `history`, `postgres`, `replicas`.
//!
//! With `LONGBOAT_TEST_POSTGRES`, the same on that server as `engine.postgres.*` (`FSYNC=on tests/postgres run cargo
//! bench --bench engine -- postgres` starts one that waits for the disk). The limit there is what the server does with
//! bare inserts of as many rows, half of the executions in a statement and a commit.

mod crowd;
mod ground;
mod pair;
mod rates;

use ground::{Database, Failure, NOTHING, TASK};
use rates::BULKS;
use sqlx::{Connection as _, PgConnection};

fn main() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    if let Ok(url) = std::env::var(crowd::WAKE) {
        return runtime.block_on(crowd::wake(&url));
    }
    let words: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let server = std::env::var("LONGBOAT_TEST_POSTGRES").ok();
    runtime.block_on(async {
        figures("engine", Database::Sqlite, &words).await?;
        if chosen(&words, "engine.waiting_100000") {
            crowd::print_waiting("engine").await?;
        }
        if chosen(&words, "engine.history_1000000") {
            crowd::print_history("engine", Database::Sqlite).await?;
        }
        let Some(server) = &server else {
            println!("engine.postgres: left out, LONGBOAT_TEST_POSTGRES is not set");
            return Ok(());
        };
        let mut connection = PgConnection::connect(server).await?;
        let fsync: String = sqlx::query_scalar("SHOW fsync").fetch_one(&mut connection).await?;
        connection.close().await?;
        println!("engine.postgres.fsync = {fsync}");
        figures("engine.postgres", Database::Postgres(server), &words).await?;
        if chosen(&words, "engine.postgres.history_1000000") {
            crowd::print_history("engine.postgres", Database::Postgres(server)).await?;
        }
        if chosen(&words, "engine.postgres.replicas") {
            pair::print("engine.postgres", server).await?;
        }
        Ok(())
    })
}

fn chosen(words: &[String], name: &str) -> bool {
    words.is_empty() || words.iter().any(|word| name.contains(word.as_str()))
}

/// The chosen figures of a database.
async fn figures(prefix: &str, database: Database<'_>, words: &[String]) -> Result<(), Failure> {
    for bulk in BULKS {
        if chosen(words, &format!("{prefix}.{}", bulk.name)) {
            bulk.print(prefix, database).await?;
        }
    }
    for (name, kind) in [("three_stages", TASK), ("three_stages_fused", NOTHING)] {
        if chosen(words, &format!("{prefix}.{name}")) {
            rates::print_whole(prefix, database, name, kind).await?;
        }
    }
    if chosen(words, &format!("{prefix}.single_10_stages")) {
        rates::print_single(prefix, database).await?;
    }
    if chosen(words, &format!("{prefix}.single_10_stages_fused")) {
        rates::print_single_fused(prefix, database).await?;
    }
    Ok(())
}
