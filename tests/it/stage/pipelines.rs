//! The stage types in the engine's hands: whole pipelines over a real store.

use std::time::Duration;

use longboat::clock::Clock;
use longboat::diagnostic::Place;
use longboat::engine::{Engine, EngineError, EngineOptions, Judgment, Verdict};
use longboat::model::{
    ExecutionId, ExecutionView, OnFailure, Retry, Span, Stage, StageId, StagePath, StageView, Status,
};
use longboat::stage::registry;
use longboat::store::{Created, Store};
use serde_json::{Value, json};

use super::{World, eventually, processes_with, until};

/// A stage of a pipeline, as its author writes it.
pub(super) fn stage(id: &str, kind: &str, needs: &[&str], fields: Value) -> Stage {
    let Value::Object(fields) = fields else { panic!("fields are a map") };
    let raw = if kind == "script" { vec!["/command".to_owned()] } else { Vec::new() };
    Stage {
        id: StageId::parse(id).expect("an id"),
        name: id.to_owned(),
        kind: kind.to_owned(),
        needs: needs.iter().map(|need| StageId::parse(need).expect("an id")).collect(),
        when: None,
        on_failure: OnFailure::Halt,
        timeout: None,
        retry: None,
        expected_artifacts: Vec::new(),
        group: None,
        window: None,
        spread: None,
        finally: false,
        fields,
        raw,
        secret: if kind == "script" { vec!["/env/*".to_owned()] } else { Vec::new() },
        source: Place::point("deploy.yaml", 1, 1),
    }
}

fn span(text: &str) -> Span {
    Span::parse(text).expect("a span")
}

/// A store, and the engine over it.
struct Running {
    store: Store,
    engine: Engine,
}

impl Running {
    async fn start(world: &World) -> Self {
        let store = Store::temporary(Clock::system()).await.expect("a store");
        Self { engine: engine(world, &store).await, store }
    }

    /// The engine stops and another takes its place, as after a restart of Longboat.
    async fn restart(self, world: &World) -> Self {
        self.engine.shutdown().await;
        Self { engine: engine(world, &self.store).await, store: self.store }
    }

    /// Runs a pipeline of these stages as the world's execution.
    async fn submit(&self, world: &World, stages: Vec<Stage>) -> ExecutionId {
        let mut info = world.execution.info.clone();
        info.pipeline.stages = stages;
        let id = info.id;
        let created = self.store.create(info).await.expect("created");
        let Created::New(key) = created else { panic!("should be new") };
        self.engine.handle().submit(key).await;
        id
    }

    async fn view(&self, id: ExecutionId) -> ExecutionView {
        self.engine.handle().view(id).await.expect("readable").expect("is there")
    }

    async fn ended(&self, id: ExecutionId) -> ExecutionView {
        eventually("the execution ends", || async {
            let view = self.view(id).await;
            view.status.is_complete().then_some(view)
        })
        .await
    }

    async fn until_stage(&self, id: ExecutionId, what: &str, condition: impl Fn(&StageView) -> bool) {
        eventually(what, || async { self.view(id).await.stages.iter().any(&condition).then_some(()) }).await;
    }
}

async fn engine(world: &World, store: &Store) -> Engine {
    let registry = registry(world.deps.clone());
    Engine::start(store.clone(), Clock::system(), registry, EngineOptions::default()).await.expect("an engine")
}

fn of<'a>(view: &'a ExecutionView, id: &str) -> &'a StageView {
    view.stages.iter().find(|stage| stage.id.as_str() == id).expect("a stage")
}

#[tokio::test]
async fn values_go_from_stage_to_stage_past_a_person() {
    let world = World::new();
    let running = Running::start(&world).await;
    let build =
        stage("build", "script", &[], json!({"command": "echo image=shop:7 >> $LONGBOAT_OUTPUT; echo built > result"}));
    let pause = stage("pause", "wait", &["build"], json!({"waitTime": "50ms"}));
    let ask = stage("ask", "manualJudgment", &["pause"], json!({"instructions": "?", "judgmentInputs": ["eu", "us"]}));
    let deploy = stage(
        "deploy",
        "script",
        &["ask"],
        json!({
            "command": "cat result; echo \"$IMAGE in $REGION by $WHO\"",
            "env": {
                "IMAGE": "${ stages.build.outputs.image }",
                "REGION": "${ stages.ask.outputs.judgmentInput }",
                "WHO": "${ stages.ask.outputs.judgedBy }",
            },
        }),
    );
    let meet = stage("meet", "noop", &["deploy"], json!({}));
    let id = running.submit(&world, vec![build, pause, ask, deploy, meet]).await;
    running.until_stage(id, "it asks", |stage| stage.waiting_for.as_deref() == Some("approval: ask")).await;
    assert_eq!(running.view(id).await.description, "Waiting for approval: ask");

    let path = StagePath::parse("ask").expect("a path");
    let judgment = |input: &str| Judgment {
        verdict: Verdict::Continue,
        input: Some(input.to_owned()),
        by: "ann".into(),
        roles: None,
    };
    let refused = running.engine.handle().judge(id, &path, judgment("mars")).await.expect_err("refused");
    assert!(matches!(&refused, EngineError::Refused(why) if why.contains("choose one of `eu`, `us`")), "{refused}");
    running.engine.handle().judge(id, &path, judgment("us")).await.expect("taken");

    let view = running.ended(id).await;
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    assert_eq!(world.log("deploy"), "built\nshop:7 in us by ann\n");
    assert_eq!(Value::from(of(&view, "build").outputs.clone()), json!({"image": "shop:7", "exitCode": 0}));
}

#[tokio::test]
async fn a_stage_that_is_out_of_time_is_gone_with_all_its_processes() {
    let world = World::new();
    let running = Running::start(&world).await;
    let token = format!("{}", 1_000_000 + fastrand::u32(..1_000_000_000));
    let command = format!("trap '' TERM; setsid sleep {token} & touch begun; sleep {token}; sleep {token}");
    let slow = stage("slow", "script", &[], json!({"command": command, "grace": "100ms"}));
    let id = running.submit(&world, vec![Stage { timeout: Some(span("1s")), ..slow }]).await;
    let view = running.ended(id).await;
    assert_eq!(view.status, Status::Terminal);
    let error = of(&view, "slow").error.clone().unwrap_or_default();
    assert!(error.contains("timed out"), "{error}");
    assert!(world.workspace().join("begun").exists(), "it did run");
    assert_eq!(processes_with("cmdline", &token), [0; 0]);
    assert_eq!(world.processes(), [0; 0]);
}

#[tokio::test]
async fn a_failure_ends_the_scripts_beside_it() {
    let world = World::new();
    let running = Running::start(&world).await;
    let long = stage("long", "script", &[], json!({"command": "touch begun; setsid sleep 1000 & sleep 1000"}));
    let bad = stage("bad", "script", &[], json!({"command": "until [ -e begun ]; do sleep 0.01; done; exit 4"}));
    let id = running.submit(&world, vec![long, bad]).await;
    let view = running.ended(id).await;
    assert_eq!((view.status, view.description.as_str()), (Status::Terminal, "Failed: bad, exit code 4"));
    assert_eq!(of(&view, "long").status, Status::Canceled);
    assert_eq!(world.processes(), [0; 0]);
}

#[tokio::test]
async fn a_script_goes_on_while_longboat_restarts() {
    let world = World::new();
    let running = Running::start(&world).await;
    let command = "echo run >> runs; until [ -e go ]; do sleep 0.01; done; echo word=kept > $LONGBOAT_OUTPUT";
    let script = stage("script", "script", &[], json!({"command": command}));
    let id = running.submit(&world, vec![script]).await;
    until("it runs", || world.workspace().join("runs").exists()).await;
    let running = running.restart(&world).await;
    let running = running.restart(&world).await;
    std::fs::write(world.workspace().join("go"), "").expect("written");
    let view = running.ended(id).await;
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    let script = of(&view, "script");
    assert_eq!((script.attempt, &script.outputs["word"]), (1, &json!("kept")));
    assert_eq!(std::fs::read_to_string(world.workspace().join("runs")).expect("written"), "run\n");
}

#[tokio::test]
async fn a_restartable_script_begins_anew_after_a_restart() {
    let world = World::new();
    let running = Running::start(&world).await;
    let command = "echo run >> runs; until [ -e go ]; do sleep 0.01; done";
    let script = stage("script", "script", &[], json!({"command": command, "restartable": true}));
    let id = running.submit(&world, vec![script]).await;
    let runs = || std::fs::read_to_string(world.workspace().join("runs")).map_or(0, |text| text.lines().count());
    until("it runs", || runs() == 1).await;
    let running = running.restart(&world).await;
    until("it runs again", || runs() == 2).await;
    std::fs::write(world.workspace().join("go"), "").expect("written");
    let view = running.ended(id).await;
    assert_eq!((view.status, of(&view, "script").attempt), (Status::Succeeded, 2), "{view:#?}");
    assert_eq!(world.processes(), [0; 0]);
}

#[tokio::test]
async fn each_attempt_has_its_log() {
    let world = World::new();
    let running = Running::start(&world).await;
    let command = "echo attempt $LONGBOAT_ATTEMPT; [ $LONGBOAT_ATTEMPT = 2 ]";
    let script = stage("script", "script", &[], json!({"command": command}));
    let retry = Some(Retry { attempts: 3, backoff: span("10ms"), on: Vec::new() });
    let id = running.submit(&world, vec![Stage { retry, ..script }]).await;
    let view = running.ended(id).await;
    assert_eq!((view.status, of(&view, "script").attempt), (Status::Succeeded, 2), "{view:#?}");
    assert_eq!((world.log_of("script", 1), world.log_of("script", 2)), ("attempt 1\n".into(), "attempt 2\n".into()));
}

/// A hundred scripts at once: more than may run at once, none lost, none run twice.
#[tokio::test]
async fn many_scripts_at_once() {
    let mut world = World::new();
    world.deps.max_scripts = 8;
    let running = Running::start(&world).await;
    let stages = (0..100).map(|index| {
        let fields = json!({"command": "echo $LONGBOAT_STAGE >> runs; echo n=$LONGBOAT_STAGE > $LONGBOAT_OUTPUT"});
        stage(&format!("s{index}"), "script", &[], fields)
    });
    let id = running.submit(&world, stages.collect()).await;
    let started = std::time::Instant::now();
    let view = running.ended(id).await;
    assert_eq!(view.status, Status::Succeeded, "{view:#?}");
    assert!(view.stages.iter().all(|stage| stage.outputs["n"] == json!(stage.id.as_str())));
    let mut runs: Vec<String> =
        std::fs::read_to_string(world.workspace().join("runs")).expect("written").lines().map(str::to_owned).collect();
    runs.sort();
    runs.dedup();
    assert_eq!(runs.len(), 100);
    assert!(started.elapsed() < Duration::from_secs(60), "nobody waited for a periodic look");
}

#[tokio::test]
async fn files_go_from_one_fresh_checkout_to_another_and_over_a_restart() {
    let world = World::new();
    let running = Running::start(&world).await;
    let build = stage(
        "build",
        "script",
        &[],
        json!({
            "command": "mkdir -p dist/deep; echo app > dist/app; chmod +x dist/app; echo lib > dist/deep/lib; \
                        echo no > other; ln -s /etc dist/etc; ls out > /dev/null",
            "workspace": "fresh",
            "files": {"save": ["dist"]},
        }),
    );
    let ask = stage("ask", "manualJudgment", &["build"], json!({}));
    let deploy = stage(
        "deploy",
        "script",
        &["ask"],
        json!({
            "command": "test -x dist/app; cat dist/app dist/deep/lib sub/file; test ! -e other; test ! -e dist/etc",
            "workspace": "fresh",
            "files": {"from": ["build"]},
        }),
    );
    let id = running.submit(&world, vec![build, ask, deploy]).await;
    running.until_stage(id, "it asks", |stage| stage.waiting_for.is_some()).await;
    let running = running.restart(&world).await;
    let judgment = Judgment { verdict: Verdict::Continue, input: None, by: "ann".into(), roles: None };
    running.engine.handle().judge(id, &StagePath::parse("ask").expect("a path"), judgment).await.expect("taken");
    let view = running.ended(id).await;
    assert_eq!(view.status, Status::Succeeded, "{:?}", of(&view, "deploy").error);
    assert_eq!(world.log("deploy"), "app\nlib\nfrom the commit");
}

#[tokio::test]
async fn files_that_are_not_there_or_lead_out_fail_the_stage_with_words() {
    let world = World::new();
    let running = Running::start(&world).await;
    let ignore = |mut stage: Stage| {
        stage.on_failure = OnFailure::Ignore;
        stage
    };
    let saves = |id: &str, command: &str, glob: &str| {
        ignore(stage(id, "script", &[], json!({"command": command, "workspace": "fresh", "files": {"save": [glob]}})))
    };
    let takes = |from: &str, needs: &str| {
        let fields = json!({"command": "true", "workspace": "fresh", "files": {"from": [from]}});
        ignore(stage(&format!("takes-{needs}"), "script", &[needs], fields))
    };
    // The commit has `out`, a link to the root of the machine.
    let stages = vec![
        saves("nothing", "true", "dist/**"),
        saves("outside", "true", "out/etc/hostname"),
        saves("climbs", "true", "../*"),
        saves("fails", "echo x > a; exit 3", "a"),
        saves("link", "rm out; mkdir out; echo evil > out/longboat-was-here", "out/*"),
        takes("fails", "fails"),
        takes("link", "link"),
    ];
    let view = running.ended(running.submit(&world, stages).await).await;
    let error = |id: &str| of(&view, id).error.clone().unwrap_or_default();
    assert_eq!(error("nothing"), "`files.save`: `dist/**` matches no file of the checkout");
    assert!(error("outside").contains("matches no file"), "{}", error("outside"));
    assert!(error("climbs").contains("without `..`"), "{}", error("climbs"));
    assert_eq!(error("fails"), "exit code 3");
    assert!(error("takes-fails").contains("the files of stage `fails` are not there"), "{}", error("takes-fails"));
    assert_eq!(of(&view, "link").status, Status::Succeeded, "{}", error("link"));
    assert!(
        error("takes-link").contains("`out`: the checkout has something else than a folder"),
        "{}",
        error("takes-link")
    );
    assert!(!std::path::Path::new("/longboat-was-here").exists());
}

#[tokio::test]
async fn a_restarted_script_has_a_checkout_its_earlier_log_and_the_files_of_the_stage_before() {
    let world = World::new();
    let running = Running::start(&world).await;
    let marker = world.state.path().join("repaired");
    let marker = marker.to_str().expect("UTF-8");
    let build = stage("build", "script", &[], json!({"command": "echo 7 > version", "files": {"save": ["version"]}}));
    let deploy = stage(
        "deploy",
        "script",
        &["build"],
        json!({
            "command": "cat version sub/file; test -e \"$MARKER\" || exit 4",
            "env": {"MARKER": marker},
            "files": {"from": ["build"]},
        }),
    );
    let id = running.submit(&world, vec![build, deploy]).await;
    let view = running.ended(id).await;
    assert_eq!((view.status, of(&view, "deploy").error.as_deref()), (Status::Terminal, Some("exit code 4")));
    // As when the execution has ended and its workspace was removed.
    let is_over = async { true };
    longboat::stage::forget(world.state.path(), id, &world.deps.locks, is_over).await.expect("forgotten");
    std::fs::write(marker, "").expect("written");
    running.engine.handle().restart(id, None, "ann", false).await.expect("restarts");
    let view = running.ended(id).await;
    assert_eq!(view.status, Status::Succeeded, "{:?}", of(&view, "deploy").error);
    assert_eq!((of(&view, "build").attempt, of(&view, "deploy").attempt), (1, 2));
    for attempt in [1, 2] {
        assert_eq!(world.log_of("deploy", attempt), "7\nfrom the commit");
    }
    // Once the saved files are gone, it says so.
    std::fs::remove_dir_all(world.state.path().join("files").join(id.to_string())).expect("removed");
    let path = StagePath::parse("deploy").expect("a path");
    running.engine.handle().restart(id, Some(&path), "ann", false).await.expect("restarts");
    let error = of(&running.ended(id).await, "deploy").error.clone().unwrap_or_default();
    assert!(error.contains("kept for 1d after the end") && error.contains("restart the stage that saves"), "{error}");
}
