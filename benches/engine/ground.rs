//! What the figures stand on: databases that are gone afterwards, stage types that do nothing, and executions of them.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use longboat::clock::{Clock, Timestamp};
use longboat::diagnostic::Place;
use longboat::engine::{CancelReason, Effect, Outcome, Registry, StageContext, StageHandler, Wake};
use longboat::model::{
    ApplicationName, Artifacts, Cause, CommitSha, Dialect, ExecutionId, ExecutionKey, NewExecution, OnFailure,
    Pipeline, PipelineName, ReportTarget, RepositoryName, Stage, StageId, Status,
};
use longboat::store::{Append, Created, Shard, Store, StoreOptions};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use serde_json::{Map, Value};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

/// Anything that stops a benchmark.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A type whose start is on disk before it is called, as for all types with an effect outside.
pub const TASK: &str = "task";
/// A type that declares no effect outside.
pub const NOTHING: &str = "nothing";
/// A type that waits for a judgment, or for three days.
pub const ASK: &str = "ask";

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

/// Waits for a judgment.
struct Ask;

#[async_trait]
impl StageHandler for Ask {
    fn kind(&self) -> &'static str {
        ASK
    }
    fn effect(&self) -> Effect {
        Effect::None
    }
    fn takes_judgments(&self) -> bool {
        true
    }
    async fn start(&self, ctx: &StageContext) -> Outcome {
        let until = ctx.clock.now().plus(Duration::from_secs(3 * 24 * 3600));
        Outcome::Wait { until: Some(until), waiting_for: "approval".to_owned(), checkpoint: Value::Null }
    }
    async fn resume(&self, _: &StageContext, _: Option<Value>, _: Wake) -> Outcome {
        Outcome::done()
    }
    async fn cancel(&self, _: &StageContext, _: Option<Value>, _: CancelReason) {}
}

/// The three types; calls of the first two are counted.
pub fn registry(calls: &Arc<AtomicU64>) -> Registry {
    let nothing =
        |kind, effect| -> Arc<dyn StageHandler> { Arc::new(Nothing { kind, effect, calls: Arc::clone(calls) }) };
    Registry::new(vec![nothing(NOTHING, Effect::None), nothing(TASK, Effect::Idempotent), Arc::new(Ask)])
}

/// A number of stages of a type, one after the other.
pub fn execution(kind: &str, stages: u64, reports: bool) -> Result<NewExecution, Failure> {
    let mut chain: Vec<Stage> = Vec::new();
    for number in 0..stages {
        let needs = chain.last().map(|stage| stage.id.clone()).into_iter().collect();
        chain.push(Stage {
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
            spread: None,
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
        stages: chain,
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
pub enum Database<'a> {
    /// A file in the target folder.
    Sqlite,
    /// A server, by the URL of a superuser.
    Postgres(&'a str),
}

/// A database of its own, gone at the end.
pub struct Bench {
    pub url: String,
    pub store: Store,
    pub clock: Clock,
    remains: Remains,
}

/// What is to be removed.
enum Remains {
    Folder(PathBuf),
    Database { server: String, name: String },
}

impl Bench {
    pub async fn open(database: Database<'_>, name: &str) -> Result<Self, Failure> {
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

    /// Stores `count` executions of ten stages.
    pub async fn create(&self, count: u64, kind: &str, reports: bool) -> Result<Vec<ExecutionKey>, Failure> {
        let mut keys = Vec::new();
        let mut left = count;
        while left > 0 {
            let some = left.min(500);
            left -= some;
            let new = (0..some).map(|_| execution(kind, STAGES, reports)).collect::<Result<Vec<_>, _>>()?;
            for created in futures::future::try_join_all(new.into_iter().map(|new| self.store.create(new))).await? {
                match created {
                    Created::New(key) | Created::Existing(key, _) => keys.push(key),
                }
            }
        }
        Ok(keys)
    }

    /// The median of 50 commits of one row each, one after the other, in milliseconds: what everything here is to be
    /// held against.
    pub async fn commit(&self) -> Result<f64, Failure> {
        let mut times = Vec::new();
        for key in self.create(1, TASK, false).await? {
            for seq in 1..=50 {
                let began = Instant::now();
                self.store.append(vec![row(key, seq, self.clock.now())]).await?;
                times.push(began.elapsed().as_secs_f64() * 1000.0);
            }
            let end = Append {
                status: Status::Succeeded,
                due_at: None,
                ended_at: Some(self.clock.now()),
                ..row(key, 51, self.clock.now())
            };
            self.store.append(vec![end]).await?;
        }
        Ok(median(&mut times))
    }

    /// Whether it is a file.
    pub fn is_sqlite(&self) -> bool {
        matches!(self.remains, Remains::Folder(_))
    }

    /// After the store was closed: opens it once more.
    pub async fn open_again(&mut self) -> Result<(), Failure> {
        self.store = Store::open(StoreOptions::new(self.url.clone(), "bench"), self.clock.clone()).await?;
        Ok(())
    }

    pub async fn close(self) -> Result<(), Failure> {
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

/// Stages of most executions here.
pub const STAGES: u64 = 10;
/// Rows of such an execution if each stage has an effect: each start shares a row with the success before it, and the
/// end with the last.
pub const ROWS: u64 = STAGES + 1;

/// A row of the journal.
pub const BODY: &str = r#"{"v":1,"e":[{"done":{"s":3}},{"start":{"s":4,"a":1}}]}"#;

/// A row of a running execution.
pub fn row(key: ExecutionKey, seq: i64, now: Timestamp) -> Append {
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

/// The middle one.
pub fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// The time of processors that this process has used, in seconds.
pub fn processors() -> Result<f64, Failure> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}

/// Prints a figure.
pub fn figure(name: &str, value: f64, digits: usize, unit: &str) {
    println!("{name} = {value:.digits$} {unit}");
}

/// Prints what a figure is held against (`goal`, `limit`), and how many times that it is.
pub fn against(name: &str, what: &str, value: f64, other: f64, digits: usize, unit: &str) {
    println!("{name}.{what} = {other:.digits$} {unit}");
    println!("{name}.{what}.ratio = {:.2}", value / other);
}
