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
use sqlx::any::AnyConnectOptions;
use sqlx::{AnyConnection, AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};

use crate::ground::{ASK, Bench, Database, Failure, NOTHING, against, execution, figure, median, registry};
use crate::rates::BULKS;

/// Names the database that this program is to start on, as a process of its own.
pub const WAKE: &str = "LONGBOAT_BENCH_WAKE";

/// Rows that are copied in one transaction.
const AT_ONCE: u64 = 50_000;

/// The changes of a copy's columns, as SQL over its number `n`; all others stay as they are.
#[derive(Default)]
struct Copies {
    execution: Vec<(&'static str, String)>,
    info: Vec<(&'static str, String)>,
}

/// Starts on a database with 100,000 executions that wait for a judgment: prints how long that takes, and the memory
/// that it takes.
pub async fn print_waiting(prefix: &str) -> Result<(), Failure> {
    const COUNT: u64 = 100_000;
    let name = format!("{prefix}.waiting_100000");
    let bench = Bench::open(Database::Sqlite, "waiting").await?;
    fill(&bench, ASK, Status::Running, COUNT, Copies::default()).await?;
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

/// With 1,000,000 executions that have ended: prints how long the lists take that pages and API show, and on SQLite the
/// rate of `bulk_1000` beside that in an empty database.
pub async fn print_history(prefix: &str, database: Database<'_>) -> Result<(), Failure> {
    const COUNT: u64 = 1_000_000;
    let name = format!("{prefix}.history_1000000");
    let mut old = Bench::open(database, "history").await?;
    // Half of all are of one application, and none of those was cancelled; the others are of 199.
    let of = |big: &str, small: &str| format!("CASE n % 2 WHEN 0 THEN '{big}' ELSE '{small}-' || (n % 199) END");
    let status = "CASE n % 100 WHEN 0 THEN 'TERMINAL' WHEN 1 THEN 'CANCELED' ELSE 'SUCCEEDED' END";
    let series = "1000 + n % 5 + CASE n % 2 WHEN 0 THEN 0 ELSE 5 * (n % 199 + 1) END";
    let copies = Copies {
        execution: vec![("status", status.to_owned()), ("series", series.to_owned())],
        info: vec![
            ("application", of("big", "small")),
            ("pipeline", "'deploy-' || (n % 5)".to_owned()),
            ("repository", of("acme/big", "acme/small")),
            ("commit_sha", hex(&old, "n / 2", 40)),
        ],
    };
    fill(&old, NOTHING, Status::Succeeded, COUNT, copies).await?;
    old.open_again().await?;
    print_lists(&name, &old.store).await?;
    if matches!(database, Database::Postgres(_)) {
        return old.close().await;
    }
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
    let application =
        |name: &str| Ok::<_, Failure>(ExecutionFilter { application: Some(name.parse()?), ..all.clone() });
    let (big, small) = (application("big")?, application("small-7")?);
    let pipeline = |of: &ExecutionFilter, name: &str| {
        Ok::<_, Failure>(ExecutionFilter { pipeline: Some(name.parse()?), ..of.clone() })
    };
    let status = |of: &ExecutionFilter, status| ExecutionFilter { status: Some(status), ..of.clone() };
    let repository = |name: &str| Ok::<_, Failure>(ExecutionFilter { repository: Some(name.parse()?), ..all.clone() });
    let commit = ExecutionFilter { commit: Some(format!("{:040x}", 250_000).parse()?), ..all.clone() };
    let parent = ExecutionFilter { parent: Some(ExecutionId::generate()), ..all.clone() };
    let (of_big, deploy) = (repository("acme/big")?, pipeline(&all, "deploy-4")?);
    // Of application `big`, pipelines 0 to 4 end badly in turn: those of `deploy-4` never do.
    let lists: [(&str, ExecutionFilter); 27] = [
        ("newest", all.clone()),
        ("further_back", ExecutionFilter { cursor: Some("500000".to_owned()), ..all.clone() }),
        ("application", small.clone()),
        ("application_unknown", application("nobody")?),
        ("pipeline", pipeline(&big, "deploy-4")?),
        ("pipeline_alone", deploy.clone()),
        ("pipeline_unknown", pipeline(&all, "deploy-9")?),
        ("commit", commit.clone()),
        ("parent", parent.clone()),
        ("repository", of_big.clone()),
        ("repository_small", repository("acme/small-7")?),
        ("repository_unknown", repository("acme/none")?),
        ("running", status(&all, Status::Running)),
        ("failed", status(&all, Status::Terminal)),
        ("stopped", status(&all, Status::Stopped)),
        ("succeeded_of_application", status(&big, Status::Succeeded)),
        ("failed_of_application", status(&small, Status::Terminal)),
        ("none_of_application", status(&big, Status::Canceled)),
        ("failed_of_pipeline", status(&pipeline(&big, "deploy-0")?, Status::Terminal)),
        ("none_of_pipeline", status(&pipeline(&big, "deploy-4")?, Status::Terminal)),
        ("succeeded_of_pipeline_alone", status(&deploy, Status::Succeeded)),
        ("none_of_pipeline_alone", status(&deploy, Status::Terminal)),
        ("succeeded_of_repository", status(&of_big, Status::Succeeded)),
        ("none_of_repository", status(&of_big, Status::Canceled)),
        ("none_of_commit", status(&commit, Status::Stopped)),
        ("none_of_parent", status(&parent, Status::Succeeded)),
        ("application_of_another_repository", ExecutionFilter { repository: of_big.repository.clone(), ..small }),
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

/// A number in so many hexadecimal digits, as SQL.
fn hex(bench: &Bench, number: &str, digits: usize) -> String {
    if bench.is_sqlite() {
        format!("printf('%0{digits}x', {number})")
    } else {
        format!("lpad(to_hex({number}), {digits}, '0')")
    }
}

/// Has one execution of a stage run until it stands so, closes the store, and puts copies of it into the database.
async fn fill(bench: &Bench, kind: &str, status: Status, count: u64, copies: Copies) -> Result<(), Failure> {
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
    sqlx::any::install_default_drivers();
    let mut database = bench.url.parse::<AnyConnectOptions>()?.disable_statement_logging().connect().await?;
    if bench.is_sqlite() {
        for pragma in ["PRAGMA synchronous = OFF", "PRAGMA cache_size = -400000"] {
            sqlx::query(pragma).execute(&mut database).await?;
        }
    }
    let own = |column, value: String| (column, value);
    // A public id has the digits of its number, in the form of all ids.
    let public_id = format!("'00000000-0000-7000-8000-' || {}", hex(bench, "n", 12));
    let changes = |mut own: Vec<(&'static str, String)>, more: Vec<_>| {
        own.extend(more);
        own
    };
    let number = || "n".to_owned();
    let tables = [
        ("execution", "id", changes(vec![own("id", number()), own("shard", "n % 64".to_owned())], copies.execution)),
        ("execution_info", "id", changes(vec![own("id", number()), own("public_id", public_id)], copies.info)),
        ("journal", "execution", vec![own("execution", number())]),
    ];
    let mut from = key.0.unsigned_abs() + 1;
    let last = from + count;
    while from < last {
        let to = (from + AT_ONCE).min(last);
        let mut work = database.begin().await?;
        for (table, column, changes) in &tables {
            copy(&mut work, bench, (table, column, key.0), changes, (from, to)).await?;
        }
        work.commit().await?;
        from = to;
    }
    for statement in [
        format!("UPDATE counter SET value = {last} WHERE name = 'execution'").as_str(),
        "INSERT INTO series (id, application, pipeline, repository) \
         SELECT DISTINCT e.series, i.application, i.pipeline, i.repository FROM execution e \
         JOIN execution_info i ON i.id = e.id WHERE e.series NOT IN (SELECT id FROM series)",
        "UPDATE counter SET value = (SELECT MAX(id) FROM series) WHERE name = 'series'",
        // As a server does by itself after a while; on SQLite, nobody ever does.
        if bench.is_sqlite() { "SELECT 1" } else { "ANALYZE" },
    ] {
        sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&mut database).await?;
    }
    database.close().await?;
    Ok(())
}

/// Copies the rows of a table that belong to the execution `key`: one for each number of the range.
async fn copy(
    work: &mut AnyConnection,
    bench: &Bench,
    (table, column, key): (&str, &str, i64),
    changes: &[(&str, String)],
    (from, to): (u64, u64),
) -> Result<(), Failure> {
    let (names, quote) = if bench.is_sqlite() {
        (format!("SELECT name FROM pragma_table_info('{table}')"), "quote")
    } else {
        let names = "SELECT CAST(column_name AS TEXT) FROM information_schema.columns";
        (format!("{names} WHERE table_name = '{table}' ORDER BY ordinal_position"), "quote_nullable")
    };
    let names: Vec<String> = sqlx::query(AssertSqlSafe(names))
        .fetch_all(&mut *work)
        .await?
        .iter()
        .map(|row| row.try_get(0))
        .collect::<Result<_, _>>()?;
    let quoted: Vec<String> = names.iter().map(|name| format!("{quote}({name})")).collect();
    let rows = format!("SELECT {} FROM {table} WHERE {column} = {key}", quoted.join(", "));
    for row in sqlx::query(AssertSqlSafe(rows)).fetch_all(&mut *work).await? {
        let mut values = Vec::new();
        for (place, name) in names.iter().enumerate() {
            values.push(match changes.iter().find(|(of, _)| of == name) {
                Some((_, expression)) => expression.clone(),
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
