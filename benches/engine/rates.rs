//! How many stages and executions go through in a second, and how long one alone takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use longboat::engine::{Engine, EngineOptions};
use longboat::model::ExecutionKey;
use longboat::store::{Created, Store};
use sqlx::{Connection as _, PgConnection};
use tokio::sync::Semaphore;
use tokio::sync::broadcast::error::RecvError;

use crate::ground::{
    BODY, Bench, Database, Failure, NOTHING, ROWS, STAGES, TASK, against, execution, figure, median, processors,
    registry, row,
};

/// What a run of many executions took.
pub struct Rate {
    /// In a second: stages, or executions.
    pub rate: f64,
    /// The time of processors for each, in microseconds: of the engine, the store, and this program.
    pub cpu: f64,
    /// The median of bare commits just before, in milliseconds.
    pub commit: f64,
}

/// A run of executions of ten stages that are stored before the clock starts.
#[derive(Clone, Copy)]
pub struct Bulk {
    pub name: &'static str,
    /// How many are live at once.
    pub live: usize,
    /// How many there are.
    pub total: u64,
    pub kind: &'static str,
    /// Whether each has a commit status.
    pub reports: bool,
    /// Stages a second, on SQLite and on PostgreSQL.
    pub goals: (Option<f64>, Option<f64>),
}

/// All such runs.
pub const BULKS: [Bulk; 4] = [
    Bulk {
        name: "bulk_1000",
        live: 1000,
        total: 10_000,
        kind: TASK,
        reports: false,
        goals: (Some(50_000.0), Some(20_000.0)),
    },
    Bulk { name: "bulk_100", live: 100, total: 4_000, kind: TASK, reports: false, goals: (Some(20_000.0), None) },
    Bulk { name: "bulk_1000_reported", live: 1000, total: 5_000, kind: TASK, reports: true, goals: (None, None) },
    Bulk { name: "bulk_1000_fused", live: 1000, total: 20_000, kind: NOTHING, reports: false, goals: (None, None) },
];

impl Bulk {
    pub async fn print(&self, prefix: &str, database: Database<'_>) -> Result<(), Failure> {
        let name = format!("{prefix}.{}", self.name);
        let bench = Bench::open(database, "bulk").await?;
        let rate = self.run(&bench).await?;
        bench.close().await?;
        figure(&name, rate.rate, 0, "stages/s");
        let goal = match database {
            Database::Sqlite => self.goals.0,
            Database::Postgres(_) => self.goals.1,
        };
        if let Some(goal) = goal {
            against(&name, "goal", rate.rate, goal, 0, "stages/s");
        }
        // Where stages share a row, the limit of those that don't says nothing.
        if self.kind == TASK {
            let limit = match database {
                Database::Sqlite => rows_alone(self.live as u64, self.total).await?,
                Database::Postgres(server) => bare_inserts(server, self.live as u64, self.total).await?,
            };
            against(&name, "limit", rate.rate, limit, 0, "stages/s");
        }
        figure(&format!("{name}.cpu"), rate.cpu, 1, "us/stage");
        figure(&format!("{name}.commit"), rate.commit, 2, "ms");
        Ok(())
    }

    /// In a database that may hold others: from the engine's start to the last commit.
    pub async fn run(&self, bench: &Bench) -> Result<Rate, Failure> {
        let commit = bench.commit().await?;
        let alive = bench.store.live().await?.len();
        bench.create(self.total, self.kind, self.reports).await?;
        let calls = Arc::new(AtomicU64::new(0));
        let options = EngineOptions { max_live: self.live, ..EngineOptions::default() };
        let (began, used) = (Instant::now(), processors()?);
        let engine = Engine::start(bench.store.clone(), bench.clock.clone(), registry(&calls), options).await?;
        let stages = self.total * STAGES;
        while calls.load(Ordering::Relaxed) < stages || bench.store.live().await?.len() > alive {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let (seconds, used) = (began.elapsed().as_secs_f64(), processors()? - used);
        engine.shutdown().await;
        Ok(Rate { rate: stages as f64 / seconds, cpu: used * 1e6 / stages as f64, commit })
    }
}

/// What the store alone does with the same rows: half of the executions in each of two batches, always one behind
/// the other. In stages a second, so that it stands beside the engine's rate.
async fn rows_alone(live: u64, total: u64) -> Result<f64, Failure> {
    let bench = Bench::open(Database::Sqlite, "limit").await?;
    let keys = bench.create(live, TASK, false).await?;
    let rounds = i64::try_from((total / live).max(1) * ROWS)?;
    let halves = keys.chunks(keys.len().div_ceil(2));
    let began = Instant::now();
    let writers = halves.map(|half| {
        let (store, clock, half) = (bench.store.clone(), bench.clock.clone(), half.to_vec());
        tokio::spawn(async move {
            for seq in 1..=rounds {
                let now = clock.now();
                store.append(half.iter().map(|key| row(*key, seq, now)).collect()).await?;
            }
            Ok::<_, Failure>(())
        })
    });
    for writer in futures::future::join_all(writers).await {
        writer??;
    }
    let rows = keys.len() as f64 * rounds as f64;
    let rate = rows / began.elapsed().as_secs_f64();
    bench.close().await?;
    Ok(rate * STAGES as f64 / ROWS as f64)
}

/// What a PostgreSQL server does with the same rows and nothing else: one connection, half of the executions in a
/// statement and a commit. In stages a second.
async fn bare_inserts(server: &str, live: u64, total: u64) -> Result<f64, Failure> {
    let bench = Bench::open(Database::Postgres(server), "bare").await?;
    let mut connection = bare(&bench.url).await?;
    let half = i64::try_from(live.div_ceil(2))?;
    let statements = (total * ROWS).div_ceil(live.div_ceil(2));
    let (keys, bodies): (Vec<i64>, Vec<&str>) = (0..half).map(|key| (key, BODY)).unzip();
    let began = Instant::now();
    for seq in 0..i64::try_from(statements)? {
        let seqs = vec![seq; keys.len()];
        let insert = "INSERT INTO bare SELECT * FROM UNNEST($1::bigint[], $2::bigint[], $3::bigint[], $4::text[])";
        sqlx::query(insert).bind(&keys).bind(&seqs).bind(&seqs).bind(&bodies).execute(&mut connection).await?;
    }
    let rate = keys.len() as f64 * statements as f64 / began.elapsed().as_secs_f64();
    connection.close().await?;
    bench.close().await?;
    Ok(rate * STAGES as f64 / ROWS as f64)
}

/// A connection with a table like the journal.
async fn bare(url: &str) -> Result<PgConnection, Failure> {
    let mut connection = PgConnection::connect(url).await?;
    let table = "CREATE TABLE bare (key BIGINT, seq BIGINT, at BIGINT, body TEXT, PRIMARY KEY (key, seq))";
    sqlx::query(table).execute(&mut connection).await?;
    Ok(connection)
}

/// Executions of three stages, from their creation to their end, 1,000 of them live: prints how many a second.
pub async fn print_whole(prefix: &str, database: Database<'_>, name: &str, kind: &'static str) -> Result<(), Failure> {
    let name = format!("{prefix}.{name}");
    let bench = Bench::open(database, "whole").await?;
    let rate = whole(&bench, kind, 15_000).await?;
    bench.close().await?;
    figure(&name, rate.rate, 0, "executions/s");
    if matches!(database, Database::Sqlite) {
        against(&name, "goal", rate.rate, 12_000.0, 0, "executions/s");
    }
    figure(&format!("{name}.cpu"), rate.cpu, 1, "us/execution");
    figure(&format!("{name}.commit"), rate.commit, 2, "ms");
    Ok(())
}

async fn whole(bench: &Bench, kind: &'static str, total: usize) -> Result<Rate, Failure> {
    const LIVE: usize = 1000;
    let commit = bench.commit().await?;
    let calls = Arc::new(AtomicU64::new(0));
    let options = EngineOptions::default();
    let engine = Engine::start(bench.store.clone(), bench.clock.clone(), registry(&calls), options).await?;
    let mut changes = engine.handle().subscribe();
    let places = Arc::new(Semaphore::new(LIVE));
    let (began, used) = (Instant::now(), processors()?);
    let creating = {
        let (store, handle, places) = (bench.store.clone(), engine.handle(), Arc::clone(&places));
        tokio::spawn(async move {
            for _ in 0..total {
                places.acquire().await?.forget();
                let (new, store, handle) = (execution(kind, 3, false)?, store.clone(), handle.clone());
                tokio::spawn(async move {
                    // One that is not created never ends, and the patience below does.
                    if let Ok(Created::New(key)) = store.create(new).await {
                        handle.submit(key).await;
                    }
                });
            }
            Ok::<_, Failure>(())
        })
    };
    let mut ended = 0;
    while ended < total {
        match tokio::time::timeout(Duration::from_secs(60), changes.recv()).await? {
            Ok(change) if change.status.is_complete() => {
                ended += 1;
                places.add_permits(1);
            }
            Ok(_) => {}
            Err(RecvError::Lagged(missed)) => return Err(format!("{missed} changes were missed").into()),
            Err(RecvError::Closed) => return Err("the engine stopped".into()),
        }
    }
    creating.await??;
    let (seconds, used) = (began.elapsed().as_secs_f64(), processors()? - used);
    engine.shutdown().await;
    Ok(Rate { rate: total as f64 / seconds, cpu: used * 1e6 / total as f64, commit })
}

/// One execution of ten stages when nothing else runs: prints the median from its submission to its end, beside as many
/// commits one after the other.
pub async fn print_single(prefix: &str, database: Database<'_>) -> Result<(), Failure> {
    let name = format!("{prefix}.single_10_stages");
    let (time, limit) = single(database, TASK, 200).await?;
    figure(&name, time, 2, "ms");
    against(&name, "limit", time, limit, 2, "ms");
    println!("{name}.limit.ratio.goal = 1.30");
    Ok(())
}

/// The same with stages that declare no effect, and so share a commit.
pub async fn print_single_fused(prefix: &str, database: Database<'_>) -> Result<(), Failure> {
    let name = format!("{prefix}.single_10_stages_fused");
    let (time, limit) = single(database, NOTHING, 200).await?;
    figure(&name, time, 2, "ms");
    against(&name, "goal", time, 3.0, 2, "ms");
    figure(&format!("{name}.commit"), limit / ROWS as f64, 2, "ms");
    Ok(())
}

/// The median time of one execution, and of as many commits in a row as its stages would take each for itself, in
/// milliseconds.
async fn single(database: Database<'_>, kind: &str, count: u64) -> Result<(f64, f64), Failure> {
    let bench = Bench::open(database, "single").await?;
    let calls = Arc::new(AtomicU64::new(0));
    let options = EngineOptions::default();
    let engine = Engine::start(bench.store.clone(), bench.clock.clone(), registry(&calls), options).await?;
    let handle = engine.handle();
    let mut changes = handle.subscribe();
    let mut times = Vec::new();
    for key in bench.create(count, kind, false).await? {
        let began = Instant::now();
        handle.submit(key).await;
        while !changes.recv().await?.status.is_complete() {}
        times.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    engine.shutdown().await;
    let mut limits = Vec::new();
    match database {
        Database::Sqlite => {
            for key in bench.create(count, kind, false).await? {
                limits.push(in_a_row(&bench.store, &bench, key).await?);
            }
        }
        Database::Postgres(_) => {
            let mut connection = bare(&bench.url).await?;
            for key in 0..i64::try_from(count)? {
                let began = Instant::now();
                for seq in 1..=i64::try_from(ROWS)? {
                    let insert = sqlx::query("INSERT INTO bare VALUES ($1, $2, $3, $4)");
                    insert.bind(key).bind(seq).bind(seq).bind(BODY).execute(&mut connection).await?;
                }
                limits.push(began.elapsed().as_secs_f64() * 1000.0);
            }
            connection.close().await?;
        }
    }
    bench.close().await?;
    Ok((median(&mut times), median(&mut limits)))
}

/// How long the rows of an execution take one after the other, in milliseconds.
async fn in_a_row(store: &Store, bench: &Bench, key: ExecutionKey) -> Result<f64, Failure> {
    let began = Instant::now();
    for seq in 1..=i64::try_from(ROWS)? {
        store.append(vec![row(key, seq, bench.clock.now())]).await?;
    }
    Ok(began.elapsed().as_secs_f64() * 1000.0)
}
