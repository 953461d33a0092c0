//! An execution that has ended goes on: the rules, and the shell over a real database.

use std::sync::atomic::Ordering;

use serde_json::json;

use super::house::*;
use super::world::*;
use crate::engine::decide::Refusal;
use crate::engine::entry::Entry;
use crate::engine::{EngineError, Outcome};
use crate::model::{CauseKind, ExecutionId, ExecutionView, NewExecution, OnFailure, Parent, Pipeline, Status};
use crate::store::{Append, Created};

fn outputs(run: &Run, id: &str) -> serde_json::Value {
    run.state.stages[run.index(id) as usize].outputs.clone().into()
}

#[test]
fn a_failed_stage_and_what_comes_after_it_run_again_and_the_rest_is_kept() {
    let mut run = Run::of(vec![stage("a", &[]), stage("b", &["a"]), stage("c", &["b"]), stage("d", &["a"])]);
    run.answer("a", Outcome::Done { outputs: map(json!({"n": 1})) }).done("d").fail("b");
    assert_eq!((run.status(), run.text().as_str()), (Status::Terminal, "Failed: b, exit code 1"));
    run.restart(None);
    assert_eq!(run.stages(), "a=SUCCEEDED b=RUNNING c=NOT_STARTED d=SUCCEEDED");
    assert_eq!((run.asked().as_str(), run.text().as_str()), ("b:start", "Running: b (3 of 4)"));
    assert_eq!(run.state.stages[1].attempt, 2, "the log of the first attempt stays");
    assert_eq!(outputs(&run, "a"), json!({"n": 1}));
    assert_eq!(run.state.ended_at, None);
    run.done("b").done("c");
    assert_eq!(run.status(), Status::Succeeded);
    assert_eq!(run.entries().iter().filter(|entry| matches!(entry, Entry::End { .. })).count(), 2);
}

#[test]
fn a_stage_that_succeeded_can_be_named_and_what_it_yielded_is_gone_until_it_ends_anew() {
    let mut run = Run::of(vec![stage("a", &[]), stage("b", &["a"])]);
    run.answer("a", Outcome::Done { outputs: map(json!({"n": 1})) });
    run.answer("b", Outcome::Done { outputs: map(json!({"m": 1})) });
    run.restart(Some("a"));
    assert_eq!(run.stages(), "a=RUNNING b=NOT_STARTED");
    assert_eq!((outputs(&run, "a"), outputs(&run, "b")), (json!({}), json!({})));
    run.done("a");
    assert_eq!((run.state.stages[1].attempt, run.asked().as_str()), (2, "b:start"));
}

#[test]
fn what_was_cancelled_because_of_a_failure_is_restarted_with_it() {
    let stages = || vec![stage("a", &[]), stage("b", &[]), stage("c", &["a", "b"])];
    let mut run = Run::of(stages());
    run.fail("a").cancelled("b");
    run.restart(Some("a"));
    assert_eq!(run.stages(), "a=RUNNING b=RUNNING c=NOT_STARTED");
    run.done("a").done("b").done("c");
    assert_eq!(run.status(), Status::Succeeded);

    // Not the other way round: `a` failed by itself, and fails the execution again.
    let mut run = Run::of(stages());
    run.fail("a").cancelled("b").restart(Some("b"));
    assert_eq!(run.stages(), "a=TERMINAL b=RUNNING c=NOT_STARTED");
    run.done("b");
    assert_eq!((run.status(), run.text().as_str()), (Status::Terminal, "Failed: a, exit code 1"));
}

#[test]
fn what_a_person_cancelled_goes_on_where_they_say() {
    let stages = || vec![stage("a", &[]), stage("b", &[]), stage("c", &["a"])];
    let mut run = Run::of(stages());
    run.cancel("ann").cancelled("a").cancelled("b").restart(None);
    assert_eq!(run.asked(), "a:start b:start");
    run.done("a").done("b").done("c");
    assert_eq!(run.status(), Status::Succeeded);

    let mut run = Run::of(stages());
    run.cancel("ann").cancelled("a").cancelled("b").restart(Some("a"));
    run.done("a").done("c");
    assert_eq!((run.status(), run.text().as_str()), (Status::Canceled, "Cancelled: b was not restarted"));
}

#[test]
fn only_what_has_ended_is_restarted_and_only_what_has_run() {
    let mut run = Run::of(vec![stage("a", &[]), stage("b", &["a"])]);
    let refused = |run: &mut Run, id: Option<&str>| run.restart(id).last.refused;
    assert_eq!(refused(&mut run, None), Some(Refusal::Running));
    assert_eq!(refused(&mut run, Some("a")), Some(Refusal::Running));
    run.fail("a");
    assert_eq!(refused(&mut run, Some("b")), Some(Refusal::NotRun));
    assert_eq!(refused(&mut run, Some("z")), Some(Refusal::NoSuchStage));
    run.restart(None).done("a").done("b");
    assert_eq!(refused(&mut run, None), Some(Refusal::NothingFailed));

    let mut never = Run::stored(pipeline(vec![stage("a", &[])]));
    never.cancel("ann");
    assert_eq!(never.status(), Status::Canceled);
    assert_eq!(refused(&mut never, None), Some(Refusal::NeverBegan));
}

#[test]
fn an_ignored_failure_is_no_reason_and_can_be_named() {
    let mut run = Run::of(vec![stage("a", &[]).on_failure(OnFailure::Ignore), stage("b", &["a"])]);
    run.fail("a").done("b");
    assert_eq!(run.status(), Status::Succeeded);
    assert_eq!(run.restart(None).last.refused, Some(Refusal::NothingFailed));
    run.restart(Some("a")).done("a").done("b");
    assert_eq!(run.stages(), "a=SUCCEEDED b=SUCCEEDED");
}

#[test]
fn times_and_attempts_that_the_author_allows_count_from_the_restart() {
    let mut limited = pipeline(vec![stage("a", &[]).retry(2, "10s").timeout("5m")]);
    limited.timeout = Some(span("10m"));
    let mut run = Run::of_pipeline(limited);
    run.fail_retryable("a").pass("10s").fail_retryable("a");
    assert_eq!((run.status(), run.state.stages[0].attempt), (Status::Terminal, 2));
    run.pass("1h").restart(None);
    assert_eq!(run.status(), Status::Running, "neither timeout has run out");
    run.fail_retryable("a");
    assert_eq!(run.stages(), "a=RUNNING", "a second attempt follows");
    run.pass("10s").done("a");
    assert_eq!((run.status(), run.state.stages[0].attempt), (Status::Succeeded, 4));
    assert_eq!(run.text(), "Succeeded in 10s", "not counting the hour in which nothing ran");
}

#[test]
fn a_crash_after_a_restart_goes_on_with_it() {
    let mut run = Run::of(vec![stage("a", &[]), stage("b", &["a"])]);
    run.done("a").fail("b").restart(None).crash();
    assert_eq!((run.stages().as_str(), run.asked().as_str()), ("a=SUCCEEDED b=RUNNING", "b:recovered"));
    run.done("b").crash();
    assert_eq!(run.status(), Status::Succeeded);
}

/// `a`, then `b`, which fails in its first attempt, then `c`.
fn fails_once() -> Pipeline {
    pipeline(vec![
        stage("a", &[]).fields(json!({"do": "yield", "outputs": {"n": 5}})),
        stage("b", &["a"]).fields(json!({"do": "flaky"})),
        stage("c", &["b"]).fields(json!({"x": "${ stages.a.outputs.n }"})),
    ])
}

fn checked(view: &ExecutionView) {
    let stages: Vec<_> = view.stages.iter().map(|stage| (stage.id.as_str(), stage.status, stage.attempt)).collect();
    let good = Status::Succeeded;
    assert_eq!((view.status, stages), (good, vec![("a", good, 1), ("b", good, 2), ("c", good, 1)]));
    assert_eq!(view.stages[2].context["x"], 5);
    let [restart] = view.restarts.as_slice() else { panic!("one restart: {:?}", view.restarts) };
    assert_eq!((restart.by.as_str(), restart.previous_status), ("bob", Status::Terminal));
    assert_eq!(restart.stages, [path("b")]);
}

#[tokio::test]
async fn an_ended_execution_is_live_again_and_says_so_on_its_commit() {
    let house = House::new().await;
    let id = house.submit(fails_once()).await;
    assert_eq!(house.until_complete(id).await.status, Status::Terminal);
    assert_eq!(house.store.live().await.expect("reads"), []);
    assert_eq!(house.handle().restart(id, None, "bob", false).await.expect("restarts"), [id]);
    checked(&house.until_complete(id).await);
    assert_eq!(house.outside.asked(), ["a.1 start", "b.1 start", "b.2 start", "c.1 start"]);
    assert_eq!(house.store.live().await.expect("reads"), []);
    let said = house.said().await;
    assert_eq!(said.last().map(String::as_str), Some("Succeeded in 0ms"), "{said:?}");
    let refused = house.handle().restart(id, None, "bob", false).await.expect_err("nothing failed");
    assert!(matches!(refused, EngineError::NothingFailed), "{refused}");
    assert_eq!(house.handle().in_memory(), 0);
}

#[tokio::test]
async fn restarts_that_can_t_be_are_typed_errors_and_change_nothing() {
    let house = House::new().await;
    let nobody = ExecutionId::generate();
    assert!(matches!(house.handle().restart(nobody, None, "bob", false).await, Err(EngineError::NotFound(_))));
    let id = house.submit(pipeline(vec![stage("a", &[]).fields(json!({"do": "hang"})), stage("b", &["a"])])).await;
    house.outside.until_asked("a.1 start").await;
    assert!(matches!(house.handle().restart(id, None, "bob", false).await, Err(EngineError::Running)));
    house.handle().cancel(id, "ann", None).await.expect("taken");
    let ended = house.until_complete(id).await;
    for (name, known) in [("b", true), ("z", false)] {
        let refused = house.handle().restart(id, Some(&path(name)), "bob", false).await.expect_err("refused");
        let expected = if known { "stage `b` has not run yet" } else { "has no stage `z`" };
        assert!(refused.to_string().contains(expected), "{refused}");
    }
    assert_eq!(house.view(id).await, ended);
    assert!(house.handle().is_ready());
}

#[tokio::test]
async fn of_two_restarts_at_once_one_counts() {
    let house = House::new().await;
    let id = house.submit(fails_once()).await;
    house.until_complete(id).await;
    let handle = house.handle();
    let (one, other) = tokio::join!(handle.restart(id, None, "bob", false), handle.restart(id, None, "bob", false));
    assert!(one.is_ok() ^ other.is_ok(), "{one:?} {other:?}");
    checked(&house.until_complete(id).await);
}

#[tokio::test]
async fn a_restart_survives_death_at_any_commit() {
    for before in [true, false] {
        // The restart itself, and each row that follows it.
        for number in 0..4 {
            let house = House::new().await;
            let id = house.submit(fails_once()).await;
            house.until_complete(id).await;
            let at = house.ledger.batches.load(Ordering::SeqCst) + number;
            let fault = if before { Fault::DiesBefore(at) } else { Fault::DiesAfter(at) };
            *house.ledger.fault.lock().expect("lock") = fault;
            let handle = house.handle();
            let asked = tokio::spawn(async move { handle.restart(id, None, "bob", false).await });
            let died = tokio::select! {
                () = house.ledger.died.notified() => true,
                _ = patiently("the end", ended_well(&house, id)) => false,
            };
            assert!(died || number > 1, "{before} {number}");
            let house = house.crash().await;
            let told = asked.await.expect("no panic").is_ok();
            let view = house.view(id).await;
            assert!(!told || view.status != Status::Terminal, "what was promised is there");
            if view.status == Status::Terminal {
                house.handle().restart(id, None, "bob", false).await.expect("restarts now");
            }
            house.until_complete(id).await;
            checked(&house.view(id).await);
            for once in ["a.1 start", "b.2 start", "c.1 start"] {
                assert!(house.outside.count(once) <= 1, "{once} happened twice");
            }
        }
    }
}

async fn ended_well(house: &House, id: ExecutionId) {
    house.until(id, "success", |view| view.status == Status::Succeeded).await;
}

#[tokio::test]
async fn a_journal_that_can_t_be_read_is_left_alone_by_a_restart() {
    let house = House::new().await;
    let id = house.submit(fails_once()).await;
    house.until_complete(id).await;
    let stored = house.store.execution(id).await.expect("reads").expect("there");
    // What a newer Longboat left.
    let row = Append {
        key: stored.execution.key,
        shard: stored.shard,
        seq: stored.seq + 1,
        at: house.clock.now(),
        body: r#"{"v":99,"e":[]}"#.to_owned(),
        status: Status::Terminal,
        due_at: None,
        started_at: stored.started_at,
        ended_at: stored.ended_at,
        report: None,
        revives: true,
    };
    house.store.append(vec![row]).await.expect("written");
    let refused = house.handle().restart(id, None, "bob", false).await.expect_err("refused");
    assert!(matches!(&refused, EngineError::Unreadable(why) if why.contains("newer Longboat")), "{refused}");
    assert!(house.handle().is_ready(), "the engine goes on");
    let other = house.submit(pipeline(vec![stage("a", &[])])).await;
    assert_eq!(house.until_complete(other).await.status, Status::Succeeded);
}

/// Stores an execution, and waits for its end.
async fn run_of(house: &House, new: NewExecution) {
    let id = new.id;
    let Created::New(key) = house.store.create(new).await.expect("stored") else { panic!("new") };
    house.handle().submit(key).await;
    house.until_complete(id).await;
}

#[tokio::test]
async fn the_stages_that_failed_because_of_an_execution_are_restarted_with_it() {
    let house = House::new().await;
    let child = new_execution(fails_once());
    let failed_by = |id: ExecutionId| {
        let fields = json!({"do": "fail-with", "outputs": {"executionId": id.to_string()}});
        new_execution(pipeline(vec![stage("sub", &[]).fields(fields), stage("other", &[])]))
    };
    let parent = failed_by(child.id);
    let grandparent = failed_by(parent.id);
    let below = |mut new: NewExecution, of: &NewExecution, stage: &str| {
        new.trigger.parent = Some(Parent {
            execution: of.id,
            stage: path(stage),
            application: of.pipeline.application.clone(),
            pipeline: of.pipeline.name.clone(),
            root: CauseKind::Git,
            files: Vec::new(),
            awaited_by: Vec::new(),
        });
        new
    };
    // One whose parent failed for another reason: the parent is left alone.
    let stranger = below(new_execution(fails_once()), &parent, "other");
    let ids = [child.id, parent.id, grandparent.id];
    run_of(&house, grandparent.clone()).await;
    run_of(&house, below(parent.clone(), &grandparent, "sub")).await;
    run_of(&house, below(child, &parent, "sub")).await;
    run_of(&house, stranger.clone()).await;
    let children: Vec<_> = house.view(parent.id).await.children.iter().map(|child| child.id).collect();
    assert_eq!(children, [ids[0], stranger.id]);

    assert_eq!(house.handle().restart(stranger.id, None, "bob", false).await.expect("restarts"), [stranger.id]);
    assert_eq!(house.view(parent.id).await.status, Status::Terminal);
    assert_eq!(house.handle().restart(ids[0], None, "bob", false).await.expect("restarts"), ids);
    for id in ids {
        assert_eq!(house.until_complete(id).await.status, Status::Succeeded);
    }
}
