//! What a full database costs: many executions that wait, and many that ended long ago.
//!
//! One execution is made as always; the others are copies of its rows, with keys, ids, names and statuses of their
//! own, so that a million of them take seconds.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use longboat::clock::Clock;
use longboat::engine::{Engine, EngineOptions, Judgment, Verdict};
use longboat::model::{ExecutionId, StagePath, Status};
use longboat::store::{Created, ExecutionFilter, Store, StoreOptions};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _, SqliteConnection};

use crate::ground::{ASK, Bench, Database, Failure, NOTHING, against, execution, figure, median, registry};
use crate::rates::BULKS;

/// Names the database that this program is to start on, as a process of its own.
pub const WAKE: &str = "LONGBOAT_BENCH_WAKE";

/// Rows that are copied in one transaction.
const AT_ONCE: u64 = 50_000;
/// The public id of a copy: digits of its number, in the form of all ids.
const PUBLIC_ID: &str = "printf('00000000-0000-7000-8000-%012x', n)";

/// The changes of a copy's columns, as SQL over its number `n`; all others stay as they are.
struct Copies {
    execution: &'static [(&'static str, &'static str)],
    info: &'static [(&'static str, &'static str)],
}

/// Starts on a database with 100,000 executions that wait for a judgment: prints how long that takes, and the memory
/// that it takes.
pub async fn print_waiting(prefix: &str) -> Result<(), Failure> {
    const COUNT: u64 = 100_000;
    let name = format!("{prefix}.waiting_100000");
    let bench = Bench::open(Database::Sqlite, "waiting").await?;
    let copies = Copies { execution: &[], info: &[] };
    fill(&bench, ASK, Status::Running, COUNT, &copies).await?;
    let program = Command::new(std::env::current_exe()?).env(WAKE, &bench.url).output()?;
    bench.close().await?;
    let said = String::from_utf8_lossy(&program.stdout).into_owned();
    if !program.status.success() {
        return Err(
            format!("the process that starts on it failed: {}", String::from_utf8_lossy(&program.stderr)).into()
        );
    }
    let number = |word: &str| -> Result<f64, Failure> {
        let line = said.lines().find_map(|line| line.strip_prefix(word)).ok_or("it didn't say all")?;
        Ok(line.trim().parse()?)
    };
    figure(&format!("{name}.start"), number("start")?, 2, "s");
    against(&format!("{name}.start"), "goal", number("start")?, 2.0, 2, "s");
    figure(&format!("{name}.memory"), number("memory")?, 0, "MB");
    against(&format!("{name}.memory"), "goal", number("memory")?, 150.0, 0, "MB");
    figure(&format!("{name}.memory.before"), number("before")?, 0, "MB");
    figure(&format!("{name}.judged"), number("judged")?, 2, "ms");
    Ok(())
}

/// Starts the engine on a database that is there, judges one of those that wait, and says what it took.
pub async fn wake(url: &str) -> Result<(), Failure> {
    println!("before {:.1}", resident()?);
    let clock = Clock::system();
    let began = Instant::now();
    let store = Store::open(StoreOptions::new(url, "bench"), clock.clone()).await?;
    let engine = Engine::start(store.clone(), clock, registry(&Arc::default()), EngineOptions::default()).await?;
    println!("start {:.3}", began.elapsed().as_secs_f64());
    let began = Instant::now();
    let id: ExecutionId = "00000000-0000-7000-8000-000000000007".parse()?;
    let judgment = Judgment { verdict: Verdict::Continue, input: None, by: "ann".to_owned(), roles: None };
    engine.handle().judge(id, &StagePath::parse("stage0")?, judgment).await?;
    println!("judged {:.3}", began.elapsed().as_secs_f64() * 1000.0);
    println!("memory {:.1}", resident()?);
    engine.shutdown().await;
    store.close().await;
    Ok(())
}

/// The memory that this process has of its own at the moment, in MB.
fn resident() -> Result<f64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS in /proc/self/status")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<f64>()? / 1024.0)
}

/// With 1,000,000 executions that have ended: prints the rate of `bulk_1000` beside that in an empty database, and how
/// long the lists take that pages and API show.
pub async fn print_history(prefix: &str) -> Result<(), Failure> {
    const COUNT: u64 = 1_000_000;
    let name = format!("{prefix}.history_1000000");
    let copies = Copies {
        execution: &[("status", "CASE n % 100 WHEN 0 THEN 'TERMINAL' WHEN 1 THEN 'CANCELED' ELSE 'SUCCEEDED' END")],
        info: &[
            // Half of all are of one application, and none of those was cancelled.
            ("application", "CASE n % 2 WHEN 0 THEN 'big' ELSE 'small-' || (n % 199) END"),
            ("pipeline", "'deploy-' || (n % 5)"),
            ("repository", "CASE n % 2 WHEN 0 THEN 'acme/big' ELSE 'acme/small-' || (n % 199) END"),
            ("commit_sha", "printf('%040x', n / 2)"),
        ],
    };
    let mut old = Bench::open(Database::Sqlite, "history").await?;
    fill(&old, NOTHING, Status::Succeeded, COUNT, &copies).await?;
    old.open_again().await?;
    print_lists(&name, &old.store).await?;
    let (mut fresh_rates, mut old_rates) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let bulk = crate::rates::Bulk { total: 4_000, ..BULKS[0] };
        let fresh = Bench::open(Database::Sqlite, "fresh").await?;
        fresh_rates.push(bulk.run(&fresh).await?.rate);
        fresh.close().await?;
        old_rates.push(bulk.run(&old).await?.rate);
    }
    old.close().await?;
    let (fresh, old) = (median(&mut fresh_rates), median(&mut old_rates));
    let name = format!("{name}.bulk_1000");
    figure(&name, old, 0, "stages/s");
    against(&name, "empty", old, fresh, 0, "stages/s");
    println!("{name}.empty.ratio.goal = 0.80");
    Ok(())
}

async fn print_lists(name: &str, store: &Store) -> Result<(), Failure> {
    let all = ExecutionFilter { limit: 50, ..ExecutionFilter::default() };
    let (big, small) = (Some("big".parse()?), Some("small-7".parse()?));
    let lists: [(&str, ExecutionFilter); 11] = [
        ("newest", all.clone()),
        ("further_back", ExecutionFilter { cursor: Some("500000".to_owned()), ..all.clone() }),
        ("application", ExecutionFilter { application: small.clone(), ..all.clone() }),
        ("pipeline", ExecutionFilter { application: big.clone(), pipeline: Some("deploy-4".parse()?), ..all.clone() }),
        ("commit", ExecutionFilter { commit: Some(format!("{:040x}", 250_000).parse()?), ..all.clone() }),
        ("repository", ExecutionFilter { repository: Some("acme/big".parse()?), ..all.clone() }),
        ("running", ExecutionFilter { status: Some(Status::Running), ..all.clone() }),
        ("failed", ExecutionFilter { status: Some(Status::Terminal), ..all.clone() }),
        (
            "failed_of_application",
            ExecutionFilter { status: Some(Status::Terminal), application: small, ..all.clone() },
        ),
        ("none_of_application", ExecutionFilter { status: Some(Status::Canceled), application: big, ..all.clone() }),
        ("pipeline_alone", ExecutionFilter { pipeline: Some("deploy-9".parse()?), ..all }),
    ];
    let mut slowest: f64 = 0.0;
    for (list, filter) in lists {
        let mut times = Vec::new();
        for _ in 0..11 {
            let began = Instant::now();
            store.executions(filter.clone()).await?;
            times.push(began.elapsed().as_secs_f64() * 1000.0);
        }
        let time = median(&mut times);
        slowest = slowest.max(time);
        figure(&format!("{name}.list.{list}"), time, 2, "ms");
    }
    against(&format!("{name}.list"), "goal", slowest, 20.0, 0, "ms");
    Ok(())
}

/// Has one execution of a stage run until it stands so, closes the store, and puts copies of it into the database.
async fn fill(bench: &Bench, kind: &str, status: Status, count: u64, copies: &Copies) -> Result<(), Failure> {
    let calls = Arc::default();
    let options = EngineOptions::default();
    let engine = Engine::start(bench.store.clone(), bench.clock.clone(), registry(&calls), options).await?;
    let mut changes = engine.handle().subscribe();
    let Created::New(key) = bench.store.create(execution(kind, 1, false)?).await? else {
        return Err("the execution was there already".into());
    };
    engine.handle().submit(key).await;
    while tokio::time::timeout(Duration::from_secs(10), changes.recv()).await??.status != status {}
    engine.shutdown().await;
    bench.store.close().await;
    let mut database = bench.url.parse::<SqliteConnectOptions>()?.disable_statement_logging().connect().await?;
    for pragma in ["PRAGMA synchronous = OFF", "PRAGMA cache_size = -400000"] {
        sqlx::query(pragma).execute(&mut database).await?;
    }
    let mut from = key.0.unsigned_abs() + 1;
    let last = from + count;
    while from < last {
        let to = (from + AT_ONCE).min(last);
        let mut work = database.begin().await?;
        let execution = [("id", "n"), ("shard", "n % 64")];
        copy(&mut work, "execution", key.0, "id", &[&execution, copies.execution], (from, to)).await?;
        let info = [("id", "n"), ("public_id", PUBLIC_ID)];
        copy(&mut work, "execution_info", key.0, "id", &[&info, copies.info], (from, to)).await?;
        copy(&mut work, "journal", key.0, "execution", &[&[("execution", "n")]], (from, to)).await?;
        work.commit().await?;
        from = to;
    }
    let counter = format!("UPDATE counter SET value = {last} WHERE name = 'execution'");
    sqlx::query(AssertSqlSafe(counter)).execute(&mut database).await?;
    database.close().await?;
    Ok(())
}

/// Copies the rows of a table that belong to the execution `key`: one for each number of the range.
async fn copy(
    work: &mut SqliteConnection,
    table: &str,
    key: i64,
    column: &str,
    changes: &[&[(&str, &str)]],
    (from, to): (u64, u64),
) -> Result<(), Failure> {
    let names = sqlx::query(AssertSqlSafe(format!("SELECT name FROM pragma_table_info('{table}')")));
    let names: Vec<String> =
        names.fetch_all(&mut *work).await?.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    let quoted: Vec<String> = names.iter().map(|name| format!("quote({name})")).collect();
    let rows = format!("SELECT {} FROM {table} WHERE {column} = {key}", quoted.join(", "));
    for row in sqlx::query(AssertSqlSafe(rows)).fetch_all(&mut *work).await? {
        let mut values = Vec::new();
        for (place, name) in names.iter().enumerate() {
            let changed = changes.iter().flat_map(|changes| changes.iter()).find(|(of, _)| of == name);
            values.push(match changed {
                Some((_, expression)) => (*expression).to_owned(),
                None => row.try_get(place)?,
            });
        }
        let insert = format!(
            "WITH RECURSIVE numbers (n) AS (SELECT {from} UNION ALL SELECT n + 1 FROM numbers WHERE n < {}) \
             INSERT INTO {table} ({}) SELECT {} FROM numbers",
            to - 1,
            names.join(", "),
            values.join(", ")
        );
        sqlx::query(AssertSqlSafe(insert)).execute(&mut *work).await?;
    }
    Ok(())
}
