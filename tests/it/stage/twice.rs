//! Every stage type is asked twice, and does what it does once: one table over all that are registered. A type that is
//! new has to say here what its effect is, and how it is counted.
//!
//! Scripts are real processes, calls go to a real server that counts by `Idempotency-Key`, and pipelines start real
//! executions of an engine.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::Router;
use axum::http::HeaderMap;
use axum::routing::post;
use longboat::clock::{Clock, Timestamp};
use longboat::engine::{Effect, Engine, EngineOptions, Outcome, Signals, StageContext, StageHandler, Wake};
use longboat::model::{Execution, ExecutionId, ExecutionView, Pipeline, StagePath};
use longboat::outbound::AddressPolicy;
use longboat::stage::{
    ChildError, ChildStart, FoundExecution, PastExecutions, Pipelines, WantedExecution, handlers, registry,
};
use longboat::store::{ExecutionFilter, Store};
use longboat::trigger::{ChildRequest, Children, Reports};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::pipelines::stage;
use super::{DEADLINE, World, eventually};

/// How a stage type is asked, and where its effect is counted.
enum Entry {
    /// It does nothing outside: the answer is the same whenever it is asked.
    Nothing(Value),
    /// It appends a line to this file.
    Line(Value),
    /// It calls the server.
    Call(Value),
    /// It starts an execution, whose script appends a line to the file.
    Child(Value),
}

/// The table.
fn entry(kind: &str, world: &Twice) -> Entry {
    match kind {
        "checkPreconditions" => {
            Entry::Nothing(json!({"preconditions": [{"type": "expression", "expression": "1 < 2"}]}))
        }
        "evaluateVariables" => Entry::Nothing(json!({"variables": [{"key": "a", "value": "b"}]})),
        "findArtifactFromExecution" => Entry::Nothing(json!({"pipeline": "build"})),
        "group" | "noop" => Entry::Nothing(json!({})),
        "manualJudgment" => Entry::Nothing(json!({"instructions": "Look"})),
        "wait" => Entry::Nothing(json!({"waitTime": "5m"})),
        "waitUntil" => Entry::Nothing(json!({"until": "2026-12-24T09:00:00Z"})),
        "script" => Entry::Line(json!({"command": "echo done >> $LINES", "env": {"LINES": world.lines}})),
        "webhook" => Entry::Call(json!({"url": format!("http://127.0.0.1:{}/jobs", world.port), "method": "POST"})),
        "pipeline" => Entry::Child(json!({"application": "base", "pipeline": "build"})),
        new => panic!(
            "the stage type `{new}` is new: say in this table what it does outside, and count it, so that a crash \
             between its effect and its answer is known to do no harm"
        ),
    }
}

/// What the effects of a test's stages come to.
struct Twice {
    world: World,
    /// Where scripts append lines.
    lines: PathBuf,
    /// Where calls go.
    port: u16,
    /// The calls by their key.
    calls: Arc<Mutex<BTreeMap<String, usize>>>,
    store: Store,
    engine: Engine,
    children: Arc<Real>,
    clock: Clock,
}

impl Twice {
    async fn new() -> Self {
        let mut world = World::new();
        let lines = world.state.path().join("lines");
        let calls: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
        let port = serve(Arc::clone(&calls)).await;
        let store = Store::temporary(Clock::system()).await.expect("a store");
        world.deps.calls.policy = AddressPolicy::Any;
        world.deps.executions = Arc::new(OneBefore);
        let options = EngineOptions::default();
        let engine = Engine::start(store.clone(), Clock::system(), registry(world.deps.clone()), options).await;
        let engine = engine.expect("an engine");
        let children = Arc::new(Real {
            children: Children {
                store: store.clone(),
                clock: Clock::system(),
                submit: Arc::new({
                    let handle = engine.handle();
                    move |key| {
                        let handle = handle.clone();
                        Box::pin(async move { handle.submit(key).await })
                    }
                }),
                reports: Reports::default(),
                definitions: Some(Arc::new(vec![build(&world, &lines)])),
            },
            engine: engine.handle(),
        });
        world.deps.pipelines = children.clone();
        let clock = Clock::manual(Timestamp::from_millis(1_795_000_000_000));
        Self { world, lines, port, calls, store, engine, children, clock }
    }

    /// A handler as a freshly started Longboat has it.
    fn handler(&self, kind: &str) -> Arc<dyn StageHandler> {
        let all = handlers(self.world.deps.clone());
        all.into_iter().find(|handler| handler.kind() == kind).expect("it is registered")
    }

    /// An attempt that is only this test's. Whoever signals is answered that it was taken.
    fn attempt(&self, name: &str, fields: &Value, clock: Clock) -> StageContext {
        let (signals, mut arrivals) = Signals::channel(8);
        tokio::spawn(async move {
            while let Some(signal) = arrivals.recv().await {
                drop(signal.answer.send(Ok(())));
            }
        });
        StageContext {
            execution: Arc::clone(&self.world.execution),
            path: StagePath::parse(name).expect("a path"),
            attempt: 1,
            fields: fields.as_object().expect("a mapping").clone(),
            secrets: Vec::new(),
            scope: Arc::default(),
            clock,
            signals,
        }
    }

    fn written(&self) -> usize {
        fs::read_to_string(&self.lines).map_or(0, |text| text.lines().count())
    }

    /// How many calls the server carried out: what has a key that it knows is not carried out again.
    fn carried_out(&self) -> usize {
        self.calls.lock().expect("unharmed").len()
    }

    async fn started(&self) -> usize {
        self.store.executions(ExecutionFilter::default()).await.expect("reads").items.len()
    }

    /// The effects of this kind so far.
    async fn effects(&self, entry: &Entry) -> usize {
        match entry {
            Entry::Nothing(_) => 0,
            Entry::Line(_) => self.written(),
            Entry::Call(_) => self.carried_out(),
            Entry::Child(_) => {
                let (started, written) = (self.started().await, self.written());
                assert_eq!(started, written, "each execution has run its script once");
                started
            }
        }
    }
}

/// Asks until there is an answer that is the last.
async fn to_its_end(handler: &Arc<dyn StageHandler>, ctx: &StageContext, first: Outcome) -> Outcome {
    let now = Mutex::new(first);
    eventually("the attempt ends", || async {
        let before = now.lock().expect("unharmed").clone();
        let Outcome::Poll { checkpoint, .. } = before else { return Some(before) };
        let next = handler.resume(ctx, Some(checkpoint), Wake::Due).await;
        *now.lock().expect("unharmed") = next;
        None
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_asked_twice_is_done_once() {
    let world = Twice::new().await;
    let mut counted = 0;
    for handler in handlers(world.world.deps.clone()) {
        let kind = handler.kind();
        let entry = entry(kind, &world);
        let (Entry::Nothing(fields) | Entry::Line(fields) | Entry::Call(fields) | Entry::Child(fields)) = &entry;
        if let Entry::Nothing(_) = entry {
            let ctx = world.attempt(kind, fields, world.clock.clone());
            let first = handler.start(&ctx).await;
            assert!(!matches!(first, Outcome::Fail(_)), "{kind}: {first:?}");
            assert_eq!(world.handler(kind).start(&ctx).await, first, "{kind} started twice");
            let recovered = world.handler(kind).resume(&ctx, None, Wake::Recovered).await;
            assert_eq!(recovered, first, "{kind} after a crash");
            continue;
        }
        assert_ne!(handler.effect(), Effect::None, "{kind} is called within the engine's loop");
        counted += 1;
        let before = Cell::new(world.effects(&entry).await);
        let once = async |case: &str, outcome: Outcome| {
            assert!(matches!(outcome, Outcome::Done { .. }), "{kind}, {case}: {outcome:?}");
            before.set(before.get() + 1);
            assert_eq!(world.effects(&entry).await, before.get(), "{kind}, {case}: its effect is there once");
            outcome
        };

        // Longboat dies between the effect and the answer: nobody has the answer, and a new one is asked to go on.
        let ctx = world.attempt(&format!("{kind}/crash"), fields, Clock::system());
        drop(handler.start(&ctx).await);
        let fresh = world.handler(kind);
        let outcome = fresh.resume(&ctx, None, Wake::Recovered).await;
        let outcome = to_its_end(&fresh, &ctx, outcome).await;
        let outcome = once("a crash before the answer", outcome).await;

        // A start that was on its way comes after all is over.
        let late = world.handler(kind);
        let again = late.start(&ctx).await;
        let again = to_its_end(&late, &ctx, again).await;
        assert!(matches!(again, Outcome::Done { .. }), "{kind}, late: {again:?}");
        assert_eq!(world.effects(&entry).await, before.get(), "{kind}: a late start does it again");
        if !matches!(entry, Entry::Call(_)) {
            assert_eq!(again, outcome, "{kind}: a late start has another answer");
        }

        // Two at the same time, each of a Longboat of its own.
        let ctx = world.attempt(&format!("{kind}/both"), fields, Clock::system());
        let (one, other) = (world.handler(kind), world.handler(kind));
        let (first, second) = tokio::join!(one.start(&ctx), other.start(&ctx));
        let (first, second) = tokio::join!(to_its_end(&one, &ctx, first), to_its_end(&other, &ctx, second));
        assert!(matches!(second, Outcome::Done { .. }), "{kind}, two at once: {second:?}");
        once("two at once", first).await;

        // Another attempt is another effect: the counting counts.
        let ctx = StageContext { attempt: 2, ..world.attempt(&format!("{kind}/both"), fields, Clock::system()) };
        let first = world.handler(kind).start(&ctx).await;
        let outcome = to_its_end(&world.handler(kind), &ctx, first).await;
        once("another attempt", outcome).await;
    }
    assert_eq!(counted, 3, "scripts, calls and pipelines");
    let most = world.calls.lock().expect("unharmed").values().copied().max();
    assert!(most >= Some(2), "a call whose answer was lost is sent again, with the same key");
    drop(world.children);
    world.engine.shutdown().await;
}

/// Carries out what is posted, once for each key; yields its port.
async fn serve(calls: Arc<Mutex<BTreeMap<String, usize>>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let answer = async move |headers: HeaderMap| {
        let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok()).map(str::to_owned);
        let mut calls = calls.lock().expect("unharmed");
        let key = key.unwrap_or_else(|| format!("without a key {}", calls.len()));
        *calls.entry(key).or_default() += 1;
        "{}"
    };
    let router = Router::new().route("/jobs", post(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    port
}

/// The pipeline `base/build`: one script that appends a line.
fn build(world: &World, lines: &std::path::Path) -> Pipeline {
    let fields = json!({"command": "echo child >> $LINES", "env": {"LINES": lines}, "workspace": "fresh"});
    Pipeline {
        application: "base".parse().expect("a name"),
        name: "build".parse().expect("a name"),
        stages: vec![stage("append", "script", &[], fields)],
        ..world.execution.info.pipeline.clone()
    }
}

/// An execution is there to be found.
struct OneBefore;

#[async_trait]
impl PastExecutions for OneBefore {
    async fn newest(&self, wanted: &WantedExecution) -> Result<Option<FoundExecution>, String> {
        Ok(Some(FoundExecution {
            // The same one each time.
            id: wanted.asking,
            pipeline: "build".parse().expect("a name"),
            status: longboat::model::Status::Succeeded,
            artifacts: Vec::new(),
        }))
    }
}

/// Starts executions as the server does.
struct Real {
    children: Children,
    engine: longboat::engine::Handle,
}

#[async_trait]
impl Pipelines for Real {
    async fn start(&self, parent: &Execution, child: ChildStart) -> Result<ExecutionId, ChildError> {
        let ChildStart { parent: by, application, pipeline, parameters, artifacts, correlation_id } = child;
        let request = ChildRequest { parent: by, application, pipeline, parameters, artifacts, correlation_id };
        let started = self.children.start(parent, request).await;
        started.map(|started| started.id).map_err(|error| ChildError::Refused(error.to_string()))
    }

    async fn started(&self, correlation_id: &str) -> Result<Option<ExecutionId>, String> {
        let found = self.children.store.started_by(correlation_id).await;
        found.map(|found| found.map(|(_, id)| id)).map_err(|error| error.to_string())
    }

    async fn view(&self, id: ExecutionId) -> Result<Option<ExecutionView>, String> {
        self.engine.view(id).await.map_err(|error| error.to_string())
    }

    async fn cancel(&self, id: ExecutionId, by: &str, reason: &str) -> Result<(), String> {
        self.engine.cancel(id, by, Some(reason)).await.map_err(|error| error.to_string())
    }

    async fn ended(&self, id: ExecutionId) {
        let ended = async || {
            let view = self.engine.view(id).await.ok().flatten();
            view.is_none_or(|view| view.status.is_complete()).then_some(())
        };
        let _ = tokio::time::timeout(DEADLINE, eventually("the child ends", ended)).await.is_ok();
    }
}
