//! The handler over other pipelines that a test makes up.

use tokio::sync::Notify;

use super::*;
use crate::clock::Timestamp;
use crate::engine::SignalError;
use crate::model::{Execution, StageView};
use crate::stage::tests::Stage;

/// A world with at most one child.
#[derive(Default)]
struct World {
    starts: Mutex<Vec<ChildStart>>,
    /// What was started, by correlation id.
    known: Mutex<Vec<(String, ExecutionId)>>,
    view: Mutex<Option<ExecutionView>>,
    cancelled: Mutex<Vec<String>>,
    changed: Notify,
    refuses: Mutex<Option<ChildError>>,
}

impl World {
    fn ends(&self, change: impl FnOnce(&mut ExecutionView)) {
        let mut view = self.view.lock().expect("lock");
        change(view.as_mut().expect("a child"));
        self.changed.notify_waiters();
    }

    fn starts(&self) -> Vec<ChildStart> {
        self.starts.lock().expect("lock").clone()
    }
}

#[async_trait]
impl Pipelines for World {
    async fn start(&self, _: &Execution, child: ChildStart) -> Result<ExecutionId, ChildError> {
        if let Some(refusal) = self.refuses.lock().expect("lock").take() {
            return Err(refusal);
        }
        let mut known = self.known.lock().expect("lock");
        self.starts.lock().expect("lock").push(child.clone());
        if let Some((_, id)) = known.iter().find(|(name, _)| *name == child.correlation_id) {
            return Ok(*id);
        }
        let view = running();
        let id = view.id;
        *self.view.lock().expect("lock") = Some(view);
        known.push((child.correlation_id, id));
        Ok(id)
    }
    async fn started(&self, correlation_id: &str) -> Result<Option<ExecutionId>, String> {
        Ok(self.known.lock().expect("lock").iter().find(|(name, _)| name == correlation_id).map(|(_, id)| *id))
    }
    async fn view(&self, id: ExecutionId) -> Result<Option<ExecutionView>, String> {
        Ok(self.view.lock().expect("lock").clone().filter(|view| view.id == id))
    }
    async fn cancel(&self, _: ExecutionId, by: &str, reason: &str) -> Result<(), String> {
        self.cancelled.lock().expect("lock").push(format!("{by}: {reason}"));
        self.ends(|view| view.status = Status::Canceled);
        Ok(())
    }
    async fn ended(&self, _: ExecutionId) {
        let changed = self.changed.notified();
        if !self.view.lock().expect("lock").as_ref().is_some_and(|view| view.status.is_complete()) {
            changed.await;
        }
    }
}

fn running() -> ExecutionView {
    let time = Timestamp::from_millis(0);
    let stage = StageView {
        id: "bake".parse().expect("an id"),
        path: "bake".parse().expect("a path"),
        kind: "script".to_owned(),
        name: "Bake".to_owned(),
        group: None,
        needs: Vec::new(),
        status: Status::Running,
        attempt: 1,
        start_time: Some(time),
        end_time: None,
        instance_of: None,
        instance: None,
        instances: None,
        outputs: Map::new(),
        error: None,
        waiting_for: None,
        progress: crate::model::StageProgress::default(),
        context: Map::new(),
        source: crate::model::StageSource { file: "a.yaml".to_owned(), line: 1, commit: None },
    };
    ExecutionView {
        id: ExecutionId::generate(),
        application: "base".parse().expect("a name"),
        pipeline: "build".parse().expect("a name"),
        status: Status::Running,
        description: "Running".to_owned(),
        repository: None,
        commit: None,
        trigger: crate::model::Cause::default(),
        parameters: Map::new(),
        created_time: time,
        start_time: Some(time),
        end_time: None,
        canceled_by: None,
        artifacts: crate::model::Artifacts::default(),
        held: None,
        compacted_time: None,
        paused: None,
        stranded: None,
        restarts: Vec::new(),
        children: Vec::new(),
        stages: vec![stage],
    }
}

fn fields() -> Value {
    json!({"application": "base", "pipeline": "build", "pipelineParameters": {"n": 1}, "files": {"from": ["compile"]}})
}

fn checkpoint(outcome: Outcome) -> Value {
    match outcome {
        Outcome::Poll { checkpoint, .. } => checkpoint,
        other => panic!("should wait, not {other:?}"),
    }
}

fn handler() -> (SubPipeline, Arc<World>) {
    let world = Arc::new(World::default());
    (SubPipeline::new(world.clone()), world)
}

fn outputs(outcome: Outcome) -> Map<String, Value> {
    match outcome {
        Outcome::Done { outputs } => outputs,
        other => panic!("should be done, not {other:?}"),
    }
}

fn failure(outcome: Outcome) -> Failure {
    match outcome {
        Outcome::Fail(failure) => failure,
        other => panic!("should fail, not {other:?}"),
    }
}

#[tokio::test]
async fn a_child_is_started_waited_for_and_yields_its_outputs_under_their_stages() {
    let (handler, world) = handler();
    let (ctx, mut signals) = Stage::of("pipeline", fields()).context();
    let kept = checkpoint(handler.start(&ctx).await);
    let start = world.starts().remove(0);
    let info = &ctx.execution.info;
    assert_eq!((start.application.as_str(), start.pipeline.as_str()), ("base", "build"));
    assert_eq!(start.parameters, Map::from_iter([("n".to_owned(), json!(1))]));
    assert_eq!(start.correlation_id, format!("{}/stage/1", info.id));
    assert_eq!((start.parent.execution, start.parent.files[0].as_str()), (info.id, "compile"));

    world.ends(|view| {
        view.status = Status::Succeeded;
        view.stages[0].outputs = Map::from_iter([("image".to_owned(), json!("shop:1"))]);
    });
    let signal = signals.recv().await.expect("woken at once");
    signal.answer.send(Ok(())).expect("the sender waits");
    let done = outputs(handler.resume(&ctx, Some(kept), Wake::Signal(signal.payload)).await);
    assert_eq!(done["stages"]["bake"]["image"], "shop:1");
    assert_eq!((&done["status"], &done["executionName"]), (&json!("SUCCEEDED"), &json!("build")));
}

#[tokio::test]
async fn without_a_wait_it_has_succeeded_once_the_child_is_there() {
    let (handler, world) = handler();
    let (ctx, _signals) = Stage::of("pipeline", json!({"pipeline": "build", "waitForCompletion": false})).context();
    let done = outputs(handler.start(&ctx).await);
    assert_eq!(done["status"], "RUNNING");
    assert_eq!(world.starts()[0].application, ctx.execution.info.pipeline.application.as_str(), "its own by default");
}

#[tokio::test]
async fn what_its_stages_yield_can_be_left_out_and_must_be_if_it_is_large() {
    for (skip, size, expected) in
        [(true, 10, Ok(false)), (false, 10, Ok(true)), (false, 200_000, Err(())), (true, 200_000, Ok(false))]
    {
        let (handler, world) = handler();
        let (ctx, _signals) =
            Stage::of("pipeline", json!({"pipeline": "build", "skipDownstreamOutput": skip})).context();
        let kept = checkpoint(handler.start(&ctx).await);
        world.ends(|view| {
            view.status = Status::Succeeded;
            view.stages[0].outputs = Map::from_iter([("x".to_owned(), json!("x".repeat(size)))]);
        });
        let outcome = handler.resume(&ctx, Some(kept), Wake::Due).await;
        match expected {
            Ok(there) => assert_eq!(outputs(outcome).contains_key("stages"), there, "{skip} {size}"),
            Err(()) => assert!(failure(outcome).message.contains("`skipDownstreamOutput: true`")),
        }
    }
}

#[tokio::test]
async fn a_child_that_fails_or_is_cancelled_fails_the_stage_in_its_own_words() {
    let (first, world) = handler();
    let (ctx, _signals) = Stage::of("pipeline", fields()).context();
    let kept = checkpoint(first.start(&ctx).await);
    let id = world.starts()[0].parent.execution;
    world.ends(|view| {
        view.status = Status::Terminal;
        (view.stages[0].status, view.stages[0].error) = (Status::Terminal, Some("exit code 3".to_owned()));
    });
    let failed = failure(first.resume(&ctx, Some(kept), Wake::Due).await);
    assert_eq!((failed.message.as_str(), failed.retryable), ("base/build failed at its stage Bake: exit code 3", true));
    assert_ne!(failed.outputs["executionId"], json!(id), "it names the child");

    let (second, world) = handler();
    let kept = checkpoint(second.start(&ctx).await);
    world.ends(|view| {
        (view.status, view.canceled_by) = (Status::Canceled, Some("ann: wrong version".to_owned()));
    });
    let failed = failure(second.resume(&ctx, Some(kept), Wake::Due).await);
    assert_eq!((failed.message.as_str(), failed.retryable), ("base/build was cancelled by ann: wrong version", false));
}

#[tokio::test]
async fn a_start_whose_answer_was_lost_is_found_again() {
    let (handler, world) = handler();
    let (ctx, _signals) = Stage::of("pipeline", fields()).context();
    let first = checkpoint(handler.start(&ctx).await);
    let again = checkpoint(handler.resume(&ctx, None, Wake::Recovered).await);
    assert_eq!(first, again, "the same child");
    assert_eq!(world.known.lock().expect("lock").len(), 1);
}

#[tokio::test]
async fn a_further_attempt_starts_another_child_unless_the_earlier_one_runs_again() {
    let (handler, world) = handler();
    let (mut ctx, _signals) = Stage::of("pipeline", fields()).context();
    let first = checkpoint(handler.start(&ctx).await);
    ctx.attempt = 2;
    // Somebody restarted the child, and the stage with it.
    assert_eq!(checkpoint(handler.start(&ctx).await), first);
    world.ends(|view| view.status = Status::Terminal);
    ctx.attempt = 3;
    assert_ne!(checkpoint(handler.start(&ctx).await), first);
    assert_eq!(world.starts().last().expect("a start").correlation_id, format!("{}/stage/3", ctx.execution.info.id));
}

#[tokio::test]
async fn cancelling_ends_the_child_also_if_its_start_was_never_answered() {
    for known in [true, false] {
        let (handler, world) = handler();
        let (ctx, _signals) = Stage::of("pipeline", fields()).context();
        let kept = checkpoint(handler.start(&ctx).await);
        handler.cancel(&ctx, known.then_some(kept), CancelReason::TimedOut).await;
        assert_eq!(*world.cancelled.lock().expect("lock"), ["pipeline shop/deploy: its stage stage timed out"]);
    }
    let (handler, world) = handler();
    let (ctx, _signals) = Stage::of("pipeline", fields()).context();
    handler.cancel(&ctx, None, CancelReason::Canceled).await;
    assert!(world.cancelled.lock().expect("lock").is_empty(), "there is none");
}

#[tokio::test]
async fn what_can_t_be_is_a_failure_and_what_can_t_be_told_is_asked_again() {
    let (handler, world) = handler();
    let (ctx, _signals) = Stage::of("pipeline", fields()).context();
    *world.refuses.lock().expect("lock") = Some(ChildError::Unavailable("the disk is full".to_owned()));
    let kept = checkpoint(handler.start(&ctx).await);
    *world.refuses.lock().expect("lock") = Some(ChildError::Refused("no pipeline `build`".to_owned()));
    let failed = failure(handler.resume(&ctx, Some(kept), Wake::Due).await);
    assert_eq!((failed.message.as_str(), failed.retryable), ("no pipeline `build`", false));
}

#[tokio::test]
async fn an_engine_that_doesn_t_take_the_word_is_no_harm() {
    let (handler, world) = handler();
    let (ctx, mut signals) = Stage::of("pipeline", fields()).context();
    checkpoint(handler.start(&ctx).await);
    world.ends(|view| view.status = Status::Succeeded);
    let signal = signals.recv().await.expect("a signal");
    signal.answer.send(Err(SignalError::NotWaiting)).expect("the sender waits");
}
