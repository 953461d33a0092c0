//! How fast executions go, durably: `cargo bench --bench engine`.
//!
//! Prints one line a figure, `name = value unit`, and the limit of the same run as `name.limit = value unit`: what
//! the store alone does with rows of the same size in batches of the same size. SQLite with `synchronous=FULL`, on
//! the disk that holds the target folder; documents are stored before the clock starts, and read while it runs.
//! A word after `--` chooses the figures whose names contain it.
//!
//! With `LONGBOAT_TEST_POSTGRES`, the same on that server as `engine.postgres.*` (`FSYNC=on tests/postgres run cargo
//! bench --bench engine` starts one that waits for the disk). The limit there is what the server does with bare
//! inserts of as many rows, half of the executions in a statement and a commit.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use longboat::clock::{Clock, Timestamp};
use longboat::diagnostic::Place;
use longboat::engine::{
    CancelReason, Effect, Engine, EngineOptions, Outcome, Registry, StageContext, StageHandler, Wake,
};
use longboat::model::{
    ApplicationName, Artifacts, Cause, CommitSha, Dialect, ExecutionId, ExecutionKey, NewExecution, OnFailure,
    Pipeline, PipelineName, ReportTarget, RepositoryName, Stage, StageId, Status,
};
use longboat::store::{Append, Created, Shard, Store, StoreOptions};
use serde_json::{Map, Value};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

const STAGES: u64 = 10;
/// Rows of an execution: each start shares a row with the success before it, and the end with the last.
const ROWS: u64 = STAGES + 1;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Does nothing, and counts.
struct Nothing {
    kind: &'static str,
    effect: Effect,
    calls: Arc<AtomicU64>,
}

#[async_trait]
impl StageHandler for Nothing {
    fn kind(&self) -> &'static str {
        self.kind
    }
    fn effect(&self) -> Effect {
        self.effect
    }
    async fn start(&self, _: &StageContext) -> Outcome {
        self.calls.fetch_add(1, Ordering::Relaxed);
        Outcome::done()
    }
    async fn resume(&self, _: &StageContext, _: Option<Value>, _: Wake) -> Outcome {
        Outcome::done()
    }
    async fn cancel(&self, _: &StageContext, _: Option<Value>, _: CancelReason) {}
}

fn registry(calls: &Arc<AtomicU64>) -> Registry {
    let nothing =
        |kind, effect| -> Arc<dyn StageHandler> { Arc::new(Nothing { kind, effect, calls: Arc::clone(calls) }) };
    Registry::new(vec![nothing("nothing", Effect::None), nothing("task", Effect::Idempotent)])
}

/// Ten stages of a type, one after the other.
fn execution(kind: &str, reports: bool) -> Result<NewExecution, Failure> {
    let mut stages: Vec<Stage> = Vec::new();
    for number in 0..STAGES {
        let needs = stages.last().map(|stage| stage.id.clone()).into_iter().collect();
        stages.push(Stage {
            id: StageId::parse(&format!("stage{number}"))?,
            name: format!("stage {number}"),
            kind: kind.to_owned(),
            needs,
            when: None,
            on_failure: OnFailure::Halt,
            timeout: None,
            retry: None,
            expected_artifacts: Vec::new(),
            group: None,
            window: None,
            finally: false,
            fields: Map::new(),
            raw: Vec::new(),
            secret: Vec::new(),
            source: Place::point(".longboat/bench.yaml", 1, 1),
        });
    }
    let pipeline = Pipeline {
        application: ApplicationName::parse("bench")?,
        name: PipelineName::parse("nothing")?,
        id: uuid::Uuid::nil(),
        dialect: Dialect::Longboat,
        description: None,
        environment: None,
        parameters: Vec::new(),
        triggers: Vec::new(),
        expected_artifacts: Vec::new(),
        concurrency: None,
        start_expiry: None,
        timeout: None,
        stages,
        source: Place::point(".longboat/bench.yaml", 1, 1),
    };
    let repository = RepositoryName::parse("acme/bench")?;
    let commit = CommitSha::parse(&"b".repeat(40))?;
    let id = ExecutionId::generate();
    let target = ReportTarget {
        repository: repository.clone(),
        commit: commit.clone(),
        context: format!("longboat/bench/{id}"),
    };
    Ok(NewExecution {
        id,
        pipeline,
        revision: None,
        parameters: Map::new(),
        trigger: Cause::default(),
        repository: Some(repository),
        commit: Some(commit),
        report: reports.then_some(target),
        artifacts: Artifacts::default(),
        correlation_id: None,
        created_at: Clock::system().now(),
    })
}

/// Where the journal is.
#[derive(Clone, Copy)]
enum Database<'a> {
    /// A file in the target folder.
    Sqlite,
    /// A server, by the URL of a superuser.
    Postgres(&'a str),
}

/// A database of its own, gone at the end.
struct Bench {
    url: String,
    store: Store,
    clock: Clock,
    remains: Remains,
}

/// What is to be removed.
enum Remains {
    Folder(PathBuf),
    Database { server: String, name: String },
}

impl Bench {
    async fn open(database: Database<'_>, name: &str) -> Result<Self, Failure> {
        let (url, remains) = match database {
            Database::Sqlite => {
                let folder = format!("bench-{name}-{}", std::process::id());
                let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(folder);
                std::fs::create_dir_all(&folder)?;
                (format!("sqlite:{}", folder.join("longboat.db").display()), Remains::Folder(folder))
            }
            Database::Postgres(server) => {
                let name = format!("longboat_bench_{name}_{}", std::process::id());
                administer(server, format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")).await?;
                let (base, _) = server.rsplit_once('/').ok_or("the server's URL names no database")?;
                (format!("{base}/{name}"), Remains::Database { server: server.to_owned(), name })
            }
        };
        let clock = Clock::system();
        let store = Store::open(StoreOptions::new(url.clone(), "bench"), clock.clone()).await?;
        Ok(Self { url, store, clock, remains })
    }

    async fn create(&self, count: u64, kind: &str, reports: bool) -> Result<Vec<ExecutionKey>, Failure> {
        let mut keys = Vec::new();
        let mut left = count;
        while left > 0 {
            let some = left.min(500);
            left -= some;
            let new = (0..some).map(|_| execution(kind, reports)).collect::<Result<Vec<_>, _>>()?;
            for created in futures::future::try_join_all(new.into_iter().map(|new| self.store.create(new))).await? {
                match created {
                    Created::New(key) | Created::Existing(key, _) => keys.push(key),
                }
            }
        }
        Ok(keys)
    }

    async fn close(self) -> Result<(), Failure> {
        self.store.close().await;
        match &self.remains {
            Remains::Folder(folder) => std::fs::remove_dir_all(folder)?,
            Remains::Database { server, name } => {
                administer(server, format!("DROP DATABASE {name} WITH (FORCE)")).await?;
            }
        }
        Ok(())
    }
}

async fn administer(server: &str, statement: String) -> Result<(), Failure> {
    let mut connection = PgConnection::connect(server).await?;
    sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await?;
    Ok(connection.close().await?)
}

/// `total` executions, `live` of them at once: stages a second, from the engine's start to the last commit.
async fn bulk(database: Database<'_>, live: usize, total: u64, kind: &str, reports: bool) -> Result<f64, Failure> {
    let bench = Bench::open(database, "bulk").await?;
    bench.create(total, kind, reports).await?;
    let calls = Arc::new(AtomicU64::new(0));
    let options = EngineOptions { max_live: live, ..EngineOptions::default() };
    let began = Instant::now();
    let engine = Engine::start(bench.store.clone(), bench.clock.clone(), registry(&calls), options).await?;
    while calls.load(Ordering::Relaxed) < total * STAGES || !bench.store.live().await?.is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let seconds = began.elapsed().as_secs_f64();
    engine.shutdown().await;
    bench.close().await?;
    Ok((total * STAGES) as f64 / seconds)
}

/// What the store alone does with the same rows: half of the executions in each of two batches, always one behind
/// the other. In stages a second, so that it stands beside the engine's rate.
async fn bulk_limit(live: u64, total: u64) -> Result<f64, Failure> {
    let bench = Bench::open(Database::Sqlite, "limit").await?;
    let keys = bench.create(live, "nothing", false).await?;
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

/// A row of the journal.
const BODY: &str = r#"{"v":1,"e":[{"done":{"s":3}},{"start":{"s":4,"a":1}}]}"#;

fn row(key: ExecutionKey, seq: i64, now: Timestamp) -> Append {
    let body = BODY.to_owned();
    let (due_at, started_at) = (Some(now), Some(now));
    Append {
        key,
        shard: Shard::of_key(key),
        seq,
        at: now,
        body,
        status: Status::Running,
        due_at,
        started_at,
        ended_at: None,
        report: None,
        revives: false,
    }
}

/// The median time of one execution when nothing else runs, and of as many commits in a row, in milliseconds.
async fn single(database: Database<'_>, count: u64) -> Result<(f64, f64), Failure> {
    let bench = Bench::open(database, "single").await?;
    let calls = Arc::new(AtomicU64::new(0));
    let options = EngineOptions::default();
    let engine = Engine::start(bench.store.clone(), bench.clock.clone(), registry(&calls), options).await?;
    let handle = engine.handle();
    let mut changes = handle.subscribe();
    let mut times = Vec::new();
    for key in bench.create(count, "nothing", false).await? {
        let began = Instant::now();
        handle.submit(key).await;
        while !changes.recv().await?.status.is_complete() {}
        times.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    engine.shutdown().await;
    let mut limits = Vec::new();
    match database {
        Database::Sqlite => {
            for key in bench.create(count, "nothing", false).await? {
                let began = Instant::now();
                for seq in 1..=i64::try_from(ROWS)? {
                    bench.store.append(vec![row(key, seq, bench.clock.now())]).await?;
                }
                limits.push(began.elapsed().as_secs_f64() * 1000.0);
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

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let word = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let server = std::env::var("LONGBOAT_TEST_POSTGRES").ok();
    runtime.block_on(async {
        figures("engine", Database::Sqlite, &word).await?;
        match &server {
            Some(server) => {
                let mut connection = PgConnection::connect(server).await?;
                let fsync: String = sqlx::query_scalar("SHOW fsync").fetch_one(&mut connection).await?;
                connection.close().await?;
                println!("engine.postgres.fsync = {fsync}");
                figures("engine.postgres", Database::Postgres(server), &word).await
            }
            None => {
                println!("engine.postgres: left out, LONGBOAT_TEST_POSTGRES is not set");
                Ok(())
            }
        }
    })
}

/// All figures of a database whose names contain the word.
async fn figures(prefix: &str, database: Database<'_>, word: &str) -> Result<(), Failure> {
    for (name, live, total, kind, reports) in [
        ("bulk_1000", 1000, 20_000, "nothing", false),
        ("bulk_100", 100, 5_000, "nothing", false),
        ("bulk_1000_reported", 1000, 10_000, "nothing", true),
        ("bulk_1000_tasks", 1000, 10_000, "task", false),
    ] {
        let name = format!("{prefix}.{name}");
        if !name.contains(word) {
            continue;
        }
        let rate = bulk(database, live, total, kind, reports).await?;
        println!("{name} = {rate:.0} stages/s");
        let limit = match database {
            Database::Sqlite => bulk_limit(live as u64, total).await?,
            Database::Postgres(server) => bare_inserts(server, live as u64, total).await?,
        };
        println!("{name}.limit = {limit:.0} stages/s");
    }
    let name = format!("{prefix}.single_10_stages");
    if name.contains(word) {
        let (time, limit) = single(database, 200).await?;
        println!("{name} = {time:.2} ms");
        println!("{name}.limit = {limit:.2} ms");
    }
    Ok(())
}
