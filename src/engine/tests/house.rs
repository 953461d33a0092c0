//! An engine over a real database in a temporary folder, with a clock that tests move and handlers that note what
//! they are asked.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::sync::Notify;

use super::world::new_execution;
use crate::clock::{Clock, Timestamp};
use crate::engine::shell::Ledger;
use crate::engine::{
    CancelReason, Effect, Engine, EngineOptions, Failure, Handle, Judgment, Outcome, Registry, StageContext,
    StageHandler, Verdict, Wake,
};
use crate::model::{ExecutionId, ExecutionKey, ExecutionView, Pipeline, Status};
use crate::store::{Append, Created, Store, StoreError, StoreOptions};

/// The longest that a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

pub async fn patiently<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited in vain for: {what}"))
}

/// The outside world of the handlers: outlives engines, as scripts do.
#[derive(Default)]
pub struct Outside {
    /// What handlers were asked: `a.1 start`.
    pub asked: Mutex<Vec<String>>,
    /// Stages whose call answers when this is notified.
    gates: Mutex<HashMap<String, Arc<Notify>>>,
    pub running: AtomicUsize,
    pub most_running: AtomicUsize,
    asked_changed: Notify,
}

impl Outside {
    pub fn note(&self, text: String) {
        self.asked.lock().expect("lock").push(text);
        self.asked_changed.notify_waiters();
    }

    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("lock").clone()
    }

    pub fn count(&self, wanted: &str) -> usize {
        self.asked().iter().filter(|asked| *asked == wanted).count()
    }

    /// Waits until a handler was asked this.
    pub async fn until_asked(&self, wanted: &str) {
        patiently(wanted, async {
            loop {
                let changed = self.asked_changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if self.count(wanted) > 0 {
                    return;
                }
                changed.await;
            }
        })
        .await;
    }

    fn gate(&self, stage: &str) -> Arc<Notify> {
        Arc::clone(self.gates.lock().expect("lock").entry(stage.to_owned()).or_default())
    }

    /// Lets a call that hangs answer.
    pub fn open(&self, stage: &str) {
        self.gate(stage).notify_one();
    }
}

/// A stage type that does as its fields say: `{"do": "done" | "fail" | "flaky" | "hang" | "wait" | "poll" | "panic"}`.
pub struct Worker {
    pub kind: &'static str,
    pub effect: Effect,
    pub outside: Arc<Outside>,
}

struct Busy<'a>(&'a Outside);

impl<'a> Busy<'a> {
    fn new(outside: &'a Outside) -> Self {
        let now = outside.running.fetch_add(1, Ordering::SeqCst) + 1;
        outside.most_running.fetch_max(now, Ordering::SeqCst);
        Self(outside)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Worker {
    async fn work(&self, ctx: &StageContext, asked: &str) -> Outcome {
        let stage = format!("{}.{}", ctx.path, ctx.attempt);
        self.outside.note(format!("{stage} {asked}"));
        let _busy = Busy::new(&self.outside);
        let word = ctx.fields.get("do").and_then(Value::as_str).unwrap_or("done");
        let outputs = ctx.fields.get("outputs").and_then(Value::as_object).cloned().unwrap_or_default();
        match (word, asked) {
            ("fail", _) => Outcome::fail("exit code 1"),
            ("fail-with", _) if ctx.attempt == 1 => Outcome::Fail(Failure {
                message: "exit code 1".to_owned(),
                retryable: false,
                outputs,
                on_failure: None,
            }),
            ("flaky", _) if ctx.attempt == 1 => Outcome::fail_retryable("exit code 2"),
            ("hang", _) => {
                self.outside.gate(ctx.path.as_str()).notified().await;
                Outcome::Done { outputs }
            }
            ("yield", _) => {
                tokio::task::yield_now().await;
                Outcome::Done { outputs }
            }
            ("wait", "start") => {
                let seconds = ctx.fields.get("seconds").and_then(Value::as_u64).unwrap_or_default();
                let until = ctx.clock.now().plus(Duration::from_secs(seconds));
                Outcome::Wait { until: Some(until), waiting_for: "time".to_owned(), checkpoint: json!({"n": 1}) }
            }
            ("wait-for-nobody", "start") => {
                Outcome::Wait { until: None, waiting_for: "a word".to_owned(), checkpoint: json!(null) }
            }
            ("poll", "start") => Outcome::Poll { after: Duration::from_secs(10), checkpoint: json!({"pid": 7}) },
            ("lost", "recovered") => Outcome::Restart { reason: "it died with Longboat".to_owned() },
            ("panic", _) => panic!("out of luck"),
            _ => Outcome::Done { outputs },
        }
    }
}

#[async_trait]
impl StageHandler for Worker {
    fn kind(&self) -> &'static str {
        self.kind
    }
    fn effect(&self) -> Effect {
        self.effect
    }
    fn runs_here(&self) -> bool {
        self.kind == "here"
    }
    async fn abandon(&self, ctx: &StageContext) {
        self.outside.note(format!("{}.{} abandon", ctx.path, ctx.attempt));
    }
    async fn start(&self, ctx: &StageContext) -> Outcome {
        self.work(ctx, "start").await
    }
    async fn resume(&self, ctx: &StageContext, _: Option<Value>, wake: Wake) -> Outcome {
        let asked = match wake {
            Wake::Due => "due",
            Wake::Signal(_) => "signal",
            Wake::Recovered => "recovered",
        };
        self.work(ctx, asked).await
    }
    async fn cancel(&self, ctx: &StageContext, _: Option<Value>, reason: CancelReason) {
        self.outside.note(format!("{}.{} cancel {reason:?}", ctx.path, ctx.attempt));
        if ctx.fields.get("cancel").and_then(Value::as_str) == Some("never") {
            std::future::pending::<()>().await;
        }
    }
}

/// A stage type that asks a person.
pub struct Asker(pub Arc<Outside>);

impl Asker {
    fn wait(ctx: &StageContext) -> Outcome {
        let waiting_for = format!("approval: {}", ctx.path);
        Outcome::Wait { until: None, waiting_for, checkpoint: Value::Null }
    }
}

#[async_trait]
impl StageHandler for Asker {
    fn kind(&self) -> &'static str {
        "ask"
    }
    fn effect(&self) -> Effect {
        Effect::None
    }
    fn takes_judgments(&self) -> bool {
        true
    }
    fn accepts(&self, _: &Map<String, Value>, judgment: &Judgment) -> Result<(), String> {
        if judgment.input.as_deref() == Some("nonsense") { Err("choose `eu` or `us`".to_owned()) } else { Ok(()) }
    }
    async fn start(&self, ctx: &StageContext) -> Outcome {
        self.0.note(format!("{}.{} start", ctx.path, ctx.attempt));
        Self::wait(ctx)
    }
    async fn resume(&self, ctx: &StageContext, _: Option<Value>, wake: Wake) -> Outcome {
        match wake {
            Wake::Signal(payload) => {
                self.0.note(format!("{}.{} signal", ctx.path, ctx.attempt));
                let judgment: Judgment = serde_json::from_value(payload).expect("a judgment");
                match judgment.verdict {
                    Verdict::Continue => {
                        let outputs = [("judgedBy".to_owned(), json!(judgment.by))].into_iter().collect();
                        Outcome::Done { outputs }
                    }
                    Verdict::Stop => Outcome::fail(format!("stopped by {}", judgment.by)),
                }
            }
            Wake::Due | Wake::Recovered => Self::wait(ctx),
        }
    }
    async fn cancel(&self, _: &StageContext, _: Option<Value>, _: CancelReason) {}
}

/// The stage types of these tests.
pub fn registry(outside: &Arc<Outside>) -> Registry {
    let worker =
        |kind, effect| -> Arc<dyn StageHandler> { Arc::new(Worker { kind, effect, outside: Arc::clone(outside) }) };
    Registry::new(vec![
        worker("work", Effect::AtLeastOnce),
        worker("here", Effect::Idempotent),
        worker("none", Effect::None),
        Arc::new(Asker(Arc::clone(outside))),
    ])
}

/// What a ledger does with the batches of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: it passes them on.
    None,
    /// After so many batches no answer ever comes, and nothing is written: the process is dying.
    DiesBefore(usize),
    /// The same, but the last batch is written: only its answer is lost.
    DiesAfter(usize),
    /// So many times the database fails before it takes anything.
    Fails(usize),
    /// The first batch is written, and the answer says that the database failed.
    LosesAnAnswer,
    /// The batch of this number is written when it is released.
    Holds(usize),
    /// Another process owns the executions.
    Fenced,
}

pub struct FaultyLedger {
    pub store: Store,
    pub fault: Mutex<Fault>,
    pub batches: AtomicUsize,
    pub rows: AtomicUsize,
    /// Told when the process dies, or holds a batch.
    pub died: Notify,
    pub release: Notify,
}

impl FaultyLedger {
    async fn die(&self) -> Result<(), StoreError> {
        self.died.notify_one();
        std::future::pending().await
    }
}

fn disk_full() -> StoreError {
    StoreError::Corrupt { what: "the test's disk".to_owned(), reason: "no space left".to_owned() }
}

#[async_trait]
impl Ledger for FaultyLedger {
    async fn append(&self, batch: Vec<Append>) -> Result<(), StoreError> {
        let number = self.batches.fetch_add(1, Ordering::SeqCst);
        let fault = *self.fault.lock().expect("lock");
        match fault {
            Fault::DiesBefore(count) if number >= count => self.die().await,
            Fault::DiesAfter(count) if number > count => self.die().await,
            Fault::DiesAfter(count) if number == count => {
                self.store.append(batch).await?;
                self.die().await
            }
            Fault::Fails(times) if number < times => Err(disk_full()),
            Fault::LosesAnAnswer if number == 0 => {
                self.store.append(batch).await?;
                Err(disk_full())
            }
            Fault::Holds(held) if number == held => {
                self.died.notify_one();
                self.release.notified().await;
                self.store.append(batch).await
            }
            Fault::Fenced => Err(StoreError::Fenced),
            _ => {
                self.rows.fetch_add(batch.len(), Ordering::SeqCst);
                self.store.append(batch).await
            }
        }
    }
}

/// The whole: a folder, a database, an engine.
pub struct House {
    folder: Arc<TempDir>,
    pub clock: Clock,
    pub outside: Arc<Outside>,
    pub store: Store,
    pub ledger: Arc<FaultyLedger>,
    pub engine: Engine,
    pub options: EngineOptions,
}

impl House {
    pub async fn new() -> Self {
        Self::with(Fault::None, EngineOptions::default()).await
    }

    pub async fn with(fault: Fault, options: EngineOptions) -> Self {
        let folder = Arc::new(tempfile::tempdir().expect("a folder"));
        let clock = Clock::manual(Timestamp::from_millis(1_700_000_000_000));
        Self::open(folder, clock, Arc::default(), fault, options).await
    }

    async fn open(
        folder: Arc<TempDir>,
        clock: Clock,
        outside: Arc<Outside>,
        fault: Fault,
        options: EngineOptions,
    ) -> Self {
        let url = format!("sqlite:{}", folder.path().join("longboat.db").display());
        let store_options = StoreOptions { durable: false, ..StoreOptions::new(url, "test") };
        let store = Store::open(store_options, clock.clone()).await.expect("opens");
        let ledger = Arc::new(FaultyLedger {
            store: store.clone(),
            fault: Mutex::new(fault),
            batches: AtomicUsize::new(0),
            rows: AtomicUsize::new(0),
            died: Notify::new(),
            release: Notify::new(),
        });
        let registry = registry(&outside);
        let taken = Arc::clone(&ledger) as Arc<dyn Ledger>;
        let engine =
            Engine::start_with(store.clone(), taken, clock.clone(), registry, options.clone()).await.expect("starts");
        Self { folder, clock, outside, store, ledger, engine, options }
    }

    /// The process dies and comes back.
    pub async fn crash(self) -> Self {
        self.crash_into(Fault::None).await
    }

    pub async fn crash_into(self, fault: Fault) -> Self {
        let Self { folder, clock, outside, store, ledger, engine, options } = self;
        drop(engine);
        drop(ledger);
        store.close().await;
        Self::open(folder, clock, outside, fault, options).await
    }

    /// The process is stopped in good order and comes back.
    pub async fn restart(self) -> Self {
        let Self { folder, clock, outside, store, ledger, engine, options } = self;
        patiently("shutdown", engine.shutdown()).await;
        drop(ledger);
        store.close().await;
        Self::open(folder, clock, outside, Fault::None, options).await
    }

    pub fn handle(&self) -> Handle {
        self.engine.handle()
    }

    /// Stores an execution and hands it over.
    pub async fn submit(&self, pipeline: Pipeline) -> ExecutionId {
        let (id, key) = self.create(pipeline).await;
        self.handle().submit(key).await;
        id
    }

    /// Stores an execution, and tells nobody.
    pub async fn create(&self, pipeline: Pipeline) -> (ExecutionId, ExecutionKey) {
        let new = new_execution(pipeline);
        let id = new.id;
        let Created::New(key) = self.store.create(new).await.expect("stored") else { panic!("new") };
        (id, key)
    }

    pub async fn view(&self, id: ExecutionId) -> ExecutionView {
        self.handle().view(id).await.expect("readable").expect("there")
    }

    /// Waits until the committed view shows something.
    pub async fn until(&self, id: ExecutionId, what: &str, shows: impl Fn(&ExecutionView) -> bool) -> ExecutionView {
        let mut changes = self.handle().subscribe();
        patiently(what, async {
            loop {
                let view = self.view(id).await;
                if shows(&view) {
                    return view;
                }
                let _ = changes.recv().await;
            }
        })
        .await
    }

    pub async fn until_complete(&self, id: ExecutionId) -> ExecutionView {
        self.until(id, "the end", |view| view.status.is_complete()).await
    }

    /// Waits until an execution ended, moving time along while nothing happens.
    pub async fn hurry_to_end(&self, id: ExecutionId) -> ExecutionView {
        patiently("the end", async {
            loop {
                let view = self.view(id).await;
                if view.status.is_complete() {
                    return view;
                }
                self.clock.advance(Duration::from_secs(5));
                tokio::task::yield_now().await;
            }
        })
        .await
    }

    pub async fn judge(&self, id: ExecutionId, path: &str, verdict: Verdict) -> Result<(), crate::engine::EngineError> {
        let judgment = Judgment { verdict, input: None, by: "ann".to_owned(), roles: None };
        self.handle().judge(id, &super::world::path(path), judgment).await
    }

    /// What is to be said on the commit, in the order in which it was written.
    pub async fn said(&self) -> Vec<String> {
        let mut said = Vec::new();
        loop {
            let due = self.store.due_outbox(100).await.expect("readable");
            if due.is_empty() {
                return said;
            }
            for entry in due {
                said.push(entry.message.status().expect("a status").description.clone());
                self.store.outbox_sent(&[entry.id]).await.expect("marked");
            }
        }
    }
}

pub fn stage_status(view: &ExecutionView, id: &str) -> Status {
    view.stages.iter().find(|stage| stage.id.as_str() == id).expect("a stage").status
}
