//! Scripts as they really run: the handler of the library, the supervisor of the real binary, real processes.

mod elsewhere;
mod pipelines;
mod recovery;
mod results;
mod tree;
mod twice;

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use longboat::clock::Clock;
use longboat::diagnostic::Place;
use longboat::engine::{CancelReason, LogChunk, Outcome, SentSignal, Signals, StageContext, StageHandler, Wake};
use longboat::model::{
    ApplicationName, Artifacts, Cause, CommitSha, Dialect, Execution, ExecutionId, ExecutionKey, NewExecution,
    Pipeline, PipelineName, RepositoryName, StagePath,
};
use longboat::stage::{Checkouts, Logs, StageDeps, handlers};
use serde_json::{Map, Value};
use tokio::sync::mpsc;

/// Longer than anything takes, even on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// A state folder and an execution whose stages are scripts.
struct World {
    state: tempfile::TempDir,
    execution: Arc<Execution>,
    deps: StageDeps,
}

/// Every commit holds the same files.
struct SomeFiles;

#[async_trait]
impl Checkouts for SomeFiles {
    async fn checkout(&self, _: &RepositoryName, _: &CommitSha, dir: &Path) -> Result<(), String> {
        let write = || {
            fs::create_dir(dir.join("sub"))?;
            fs::write(dir.join("sub/file"), "from the commit")?;
            std::os::unix::fs::symlink("/", dir.join("out"))
        };
        write().map_err(|error| error.to_string())
    }
}

impl World {
    fn new() -> Self {
        let state = tempfile::tempdir().expect("a folder");
        let mut deps = StageDeps::new(Arc::new(SomeFiles), state.path().to_owned());
        deps.supervisor = PathBuf::from(env!("CARGO_BIN_EXE_longboat"));
        Self { state, execution: Arc::new(Execution { key: ExecutionKey(1), info: execution() }), deps }
    }

    /// A handler as a freshly started Longboat has it.
    fn handler(&self) -> Arc<dyn StageHandler> {
        handlers(self.deps.clone()).into_iter().find(|handler| handler.kind() == "script").expect("there is one")
    }

    /// The first attempt of a stage.
    fn stage(&self, path: &str, fields: Value) -> Stage {
        let Value::Object(fields) = fields else { panic!("fields are a map") };
        let (signals, arrivals) = Signals::channel(8);
        let path = StagePath::parse(path).expect("a path");
        let execution = self.execution.clone();
        let ctx = StageContext {
            execution,
            path,
            attempt: 1,
            fields,
            secrets: Vec::new(),
            scope: Arc::default(),
            clock: Clock::system(),
            signals,
        };
        Stage { ctx, arrivals, handler: self.handler() }
    }

    /// Runs a script to its end.
    async fn run(&self, fields: Value) -> Outcome {
        self.stage("script", fields).finish().await
    }

    fn workspace(&self) -> PathBuf {
        self.state.path().join("work").join(self.execution.info.id.to_string()).join("shared")
    }

    fn read_log(&self, path: &str, attempt: u32, offset: u64, max: usize) -> LogChunk {
        let path = StagePath::parse(path).expect("a path");
        Logs::new(self.state.path()).read_now(self.execution.info.id, &path, attempt, offset, max).expect("readable")
    }

    /// The log of a stage's first attempt.
    fn log(&self, path: &str) -> String {
        self.log_of(path, 1)
    }

    fn log_of(&self, path: &str, attempt: u32) -> String {
        String::from_utf8_lossy(&self.read_log(path, attempt, 0, usize::MAX).bytes).into_owned()
    }

    /// The processes that belong to the execution by their environment, supervisors included.
    fn processes(&self) -> Vec<u32> {
        let mark = format!("LONGBOAT_EXECUTION_ID={}", self.execution.info.id);
        processes_with("environ", &mark)
    }
}

/// Nothing that a test started outlives it, also if the test fails.
impl Drop for World {
    fn drop(&mut self) {
        for pid in self.processes() {
            kill(pid, "-9");
        }
    }
}

/// One attempt in a handler's hands.
struct Stage {
    ctx: StageContext,
    arrivals: mpsc::Receiver<SentSignal>,
    handler: Arc<dyn StageHandler>,
}

impl Stage {
    async fn start(&self) -> Outcome {
        self.handler.start(&self.ctx).await
    }

    /// Starts a script that doesn't end at once. Yields the checkpoint.
    async fn start_long(&self) -> Value {
        checkpoint_of(self.start().await)
    }

    async fn recover(&self, checkpoint: Option<Value>) -> Outcome {
        self.handler.resume(&self.ctx, checkpoint, Wake::Recovered).await
    }

    async fn cancel(&self) {
        let cancelled = self.handler.cancel(&self.ctx, None, CancelReason::TimedOut);
        tokio::time::timeout(DEADLINE, cancelled).await.expect("cancelled in time");
    }

    async fn finish(mut self) -> Outcome {
        let outcome = self.start().await;
        self.follow(outcome).await
    }

    /// Does what the engine does with a running script: waits for its signal and resumes.
    async fn follow(&mut self, mut outcome: Outcome) -> Outcome {
        while let Outcome::Poll { checkpoint, .. } = outcome {
            let signal = tokio::time::timeout(DEADLINE, self.arrivals.recv()).await.expect("ends in time");
            let signal = signal.expect("a signal");
            assert_eq!((&signal.path, signal.attempt), (&self.ctx.path, self.ctx.attempt));
            signal.answer.send(Ok(())).expect("the sender waits");
            outcome = self.handler.resume(&self.ctx, Some(checkpoint), Wake::Signal(signal.payload)).await;
        }
        outcome
    }
}

fn checkpoint_of(outcome: Outcome) -> Value {
    match outcome {
        Outcome::Poll { checkpoint, .. } => checkpoint,
        other => panic!("should run, not {other:?}"),
    }
}

/// The supervisor's process id, as the checkpoint has it.
fn supervisor_of(checkpoint: &Value) -> u32 {
    let pid = checkpoint["supervisor"]["pid"].as_u64().expect("a process id");
    u32::try_from(pid).expect("a process id")
}

/// Whether a process is dead with all its threads, reaped or not. Only then are its locks free: the kernel takes its
/// memory, and with it the command line, away earlier.
fn is_dead(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
    let zombie = stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['Z', 'X']));
    zombie && fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count) <= 1
}

fn outputs_of(outcome: Outcome) -> Value {
    match outcome {
        Outcome::Done { outputs } => outputs.into(),
        other => panic!("should be done, not {other:?}"),
    }
}

/// The message and the outputs of a failure, which is one that a retry can follow.
fn failure_of(outcome: Outcome) -> (String, Value) {
    match outcome {
        Outcome::Fail(failure) if failure.retryable => (failure.message, failure.outputs.into()),
        other => panic!("should fail, not {other:?}"),
    }
}

fn kill(pid: u32, signal: &str) {
    let killed = std::process::Command::new("kill")
        .args([signal, &pid.to_string()])
        .stderr(std::process::Stdio::null())
        .status();
    killed.expect("there is a kill program");
}

/// The processes whose `/proc/<pid>/<file>` holds a text. Zombies have nothing there.
fn processes_with(file: &str, text: &str) -> Vec<u32> {
    let holds = |pid: &u32| {
        fs::read(format!("/proc/{pid}/{file}")).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(text))
    };
    let entries = fs::read_dir("/proc").expect("there is /proc");
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).filter(holds).collect()
}

/// Waits for something that other processes bring about.
async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let looked = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    match tokio::time::timeout(DEADLINE, looked).await {
        Ok(found) => found,
        Err(_) => panic!("not within {DEADLINE:?}: {what}"),
    }
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    eventually(what, || std::future::ready(condition().then_some(()))).await;
}

fn execution() -> NewExecution {
    NewExecution {
        id: ExecutionId::generate(),
        pipeline: Pipeline {
            application: ApplicationName::parse("shop").expect("a name"),
            name: PipelineName::parse("deploy to prod").expect("a name"),
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
            stages: Vec::new(),
            source: Place::point("deploy.yaml", 1, 1),
        },
        revision: None,
        parameters: Map::new(),
        trigger: Cause { branch: Some("main".to_owned()), ..Cause::default() },
        repository: Some(RepositoryName::parse("acme/shop").expect("a name")),
        commit: Some(CommitSha::parse(&"1a".repeat(20)).expect("an id")),
        report: None,
        artifacts: Artifacts::default(),
        correlation_id: None,
        created_at: Clock::system().now(),
    }
}
