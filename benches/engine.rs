//! How fast executions go, durably: `cargo bench --bench engine`.
//!
//! Prints one line a figure, `name = value unit`, and the limit of the same run as `name.limit = value unit`: what
//! the store alone does with rows of the same size in batches of the same size. SQLite with `synchronous=FULL`, on
//! the disk that holds the target folder; documents are stored before the clock starts, and read while it runs.
//! A word after `--` chooses the figures whose names contain it.

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
use longboat::store::{Append, Created, Store, StoreOptions};
use serde_json::{Map, Value};

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

/// A database of its own, gone at the end.
struct Bench {
    folder: PathBuf,
    store: Store,
    clock: Clock,
}

impl Bench {
    async fn open(name: &str) -> Result<Self, Failure> {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let url = format!("sqlite:{}", folder.join("longboat.db").display());
        let clock = Clock::system();
        let store = Store::open(StoreOptions::new(url, "bench"), clock.clone()).await?;
        Ok(Self { folder, store, clock })
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
        std::fs::remove_dir_all(&self.folder)?;
        Ok(())
    }
}

/// `total` executions, `live` of them at once: stages a second, from the engine's start to the last commit.
async fn bulk(live: usize, total: u64, kind: &str, reports: bool) -> Result<f64, Failure> {
    let bench = Bench::open("bulk").await?;
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
    let bench = Bench::open("limit").await?;
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

fn row(key: ExecutionKey, seq: i64, now: Timestamp) -> Append {
    let body = r#"{"v":1,"e":[{"done":{"s":3}},{"start":{"s":4,"a":1}}]}"#.to_owned();
    let (due_at, started_at) = (Some(now), Some(now));
    Append {
        key,
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
async fn single(count: u64) -> Result<(f64, f64), Failure> {
    let bench = Bench::open("single").await?;
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
    for key in bench.create(count, "nothing", false).await? {
        let began = Instant::now();
        for seq in 1..=i64::try_from(ROWS)? {
            bench.store.append(vec![row(key, seq, bench.clock.now())]).await?;
        }
        limits.push(began.elapsed().as_secs_f64() * 1000.0);
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
    runtime.block_on(async {
        for (name, live, total, kind, reports) in [
            ("engine.bulk_1000", 1000, 20_000, "nothing", false),
            ("engine.bulk_100", 100, 5_000, "nothing", false),
            ("engine.bulk_1000_reported", 1000, 10_000, "nothing", true),
            ("engine.bulk_1000_tasks", 1000, 10_000, "task", false),
        ] {
            if !name.contains(&word) {
                continue;
            }
            let rate = bulk(live, total, kind, reports).await?;
            println!("{name} = {rate:.0} stages/s");
            let limit = bulk_limit(live as u64, total).await?;
            println!("{name}.limit = {limit:.0} stages/s");
        }
        if "engine.single_10_stages".contains(&word) {
            let (time, limit) = single(200).await?;
            println!("engine.single_10_stages = {time:.2} ms");
            println!("engine.single_10_stages.limit = {limit:.2} ms");
        }
        Ok(())
    })
}
