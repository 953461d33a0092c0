//! The shell over a real database.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};

use super::house::*;
use super::world::*;
use crate::engine::{EngineError, EngineOptions, Judgment, SignalError, Verdict};
use crate::model::{ExecutionId, Pipeline, Stage, Status};

/// `a`, then `b`, then so on, of one type.
fn chain(kind: &str, length: usize) -> Pipeline {
    let id = |at: usize| format!("s{at}");
    let one = |at: usize| if at == 0 { stage(&id(0), &[]) } else { stage(&id(at), &[&id(at - 1)]) };
    pipeline((0..length).map(|at| one(at).of(kind)).collect())
}

fn does(id: &str, needs: &[&str], fields: Value) -> Stage {
    stage(id, needs).fields(fields)
}

#[tokio::test]
async fn a_chain_runs_and_each_step_is_one_row() {
    let house = House::new().await;
    let id = house.submit(chain("work", 10)).await;
    let view = house.until_complete(id).await;
    assert_eq!(view.status, Status::Succeeded);
    let stored = house.store.execution(id).await.expect("reads").expect("there");
    assert_eq!(stored.seq, 11, "ten starts, of which nine share a row with the success before, and the end");
    assert_eq!((stored.status, stored.ended_at.is_some()), (Status::Succeeded, true));
}

#[tokio::test]
async fn stages_without_an_effect_share_a_row_and_those_with_one_never_start_before_it() {
    let house = House::with(Fault::Holds(0), EngineOptions::default()).await;
    let mut stages: Vec<Stage> = chain("none", 3).stages;
    stages.push(does("ship", &["s2"], json!({})));
    stages.push(stage("after", &["ship"]).of("none"));
    let id = house.submit(pipeline(stages)).await;
    patiently("the first row", house.ledger.died.notified()).await;
    assert_eq!(house.outside.asked(), ["s0.1 start", "s1.1 start", "s2.1 start"]);
    assert_eq!(house.view(id).await.status, Status::NotStarted, "nothing of it is on disk");
    house.ledger.release.notify_one();
    assert_eq!(house.until_complete(id).await.status, Status::Succeeded);
    let key = house.store.execution(id).await.expect("reads").expect("there").execution.key;
    let journal = house.store.journal(key).await.expect("reads");
    let bodies: Vec<&str> = journal.iter().map(|row| row.body.as_str()).collect();
    let first =
        r#"{"v":1,"e":["begin",{"start":{"s":0,"a":1}},{"done":{"s":0}},{"start":{"s":1,"a":1}},{"done":{"s":1}},"#;
    assert!(bodies[0].starts_with(first) && bodies[0].ends_with(r#"{"start":{"s":3,"a":1}}]}"#), "{bodies:?}");
    assert_eq!(bodies.len(), 2, "{bodies:?}");
    assert!(bodies[1].ends_with(r#"{"done":{"s":4}},{"end":{"t":"SUCCEEDED"}}]}"#), "{bodies:?}");
}

#[tokio::test]
async fn a_stage_without_an_effect_that_needs_longer_is_called_once() {
    let house = House::new().await;
    let slow = |id, needs: &[&str]| does(id, needs, json!({"do": "yield"})).of("none");
    let id = house.submit(pipeline(vec![slow("a", &[]), slow("b", &["a"])])).await;
    assert_eq!(house.until_complete(id).await.status, Status::Succeeded);
    assert_eq!(house.outside.asked(), ["a.1 start", "b.1 start"]);
}

#[tokio::test]
async fn a_row_doesnt_grow_without_bound_by_stages_that_share_it() {
    let house = House::new().await;
    let id = house.submit(chain("none", 250)).await;
    assert_eq!(house.until_complete(id).await.status, Status::Succeeded);
    let stored = house.store.execution(id).await.expect("reads").expect("there");
    assert_eq!(stored.seq, 3, "a hundred of them in each");
    let large =
        |id: String, needs: &[&str]| does(&id, needs, json!({"outputs": {"text": "x".repeat(50_000)}})).of("none");
    let names: Vec<String> = (0..8).map(|at| format!("s{at}")).collect();
    let stages = (0..8)
        .map(|at| large(names[at].clone(), &names[at.max(1) - 1..at].iter().map(String::as_str).collect::<Vec<_>>()));
    let id = house.submit(pipeline(stages.collect())).await;
    assert_eq!(house.until_complete(id).await.status, Status::Succeeded);
    let key = house.store.execution(id).await.expect("reads").expect("there").execution.key;
    let sizes: Vec<usize> = house.store.journal(key).await.expect("reads").iter().map(|row| row.body.len()).collect();
    assert!(sizes.len() > 2 && sizes.iter().all(|size| *size < 200_000), "{sizes:?}");
}

#[tokio::test]
async fn every_new_text_is_written_with_its_transition_and_in_order() {
    let house = House::new().await;
    let id = house.submit(pipeline(vec![stage("test", &[]), stage("ship", &["test"])])).await;
    house.until_complete(id).await;
    let said = house.said().await;
    assert_eq!(said.last().map(String::as_str), Some("Succeeded in 0ms"));
    let known = ["Queued", "Running: test (1 of 2)", "Running: ship (2 of 2)", "Succeeded in 0ms"];
    let rows = house.store.journal(house.store.execution(id).await.expect("reads").expect("there").execution.key);
    assert_eq!(rows.await.expect("reads").len(), known.len() - 1);
    assert!(said.iter().all(|text| known.contains(&text.as_str())), "{said:?}");
}

#[tokio::test]
async fn a_handler_is_called_when_its_start_is_on_disk() {
    let house = House::new().await;
    let id = house.submit(pipeline(vec![does("a", &[], json!({"do": "hang"}))])).await;
    house.outside.until_asked("a.1 start").await;
    assert_eq!(house.view(id).await.stages[0].attempt, 1, "the view is what is committed");
    house.outside.open("a");
    assert_eq!(house.until_complete(id).await.status, Status::Succeeded);
}

#[tokio::test]
async fn an_execution_that_waits_for_days_is_no_memory_and_goes_on_when_the_time_comes() {
    let house = House::new().await;
    let id = house.submit(pipeline(vec![does("a", &[], json!({"do": "wait", "seconds": 259_200}))])).await;
    house.until(id, "the wait", |view| view.stages[0].waiting_for.is_some()).await;
    let handle = house.handle();
    patiently("eviction", async {
        while handle.in_memory() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    house.clock.advance(Duration::from_secs(259_199));
    assert_eq!(house.outside.count("a.1 due"), 0);
    house.clock.advance(Duration::from_secs(1));
    assert_eq!(house.until_complete(id).await.status, Status::Succeeded);
    assert_eq!(house.outside.asked(), ["a.1 start", "a.1 due"]);
}

#[tokio::test]
async fn a_judgment_counts_once_and_everything_else_is_a_typed_error() {
    let house = House::new().await;
    let id = house.submit(pipeline(vec![stage("ok", &[]).of("ask"), does("b", &["ok"], json!({"do": "hang"}))])).await;
    house.until(id, "the question", |view| view.stages[0].waiting_for.is_some()).await;
    assert_eq!(house.view(id).await.description, "Waiting for approval: ok");
    let nonsense =
        Judgment { verdict: Verdict::Continue, input: Some("nonsense".into()), by: "ann".into(), roles: None };
    let refused = house.handle().judge(id, &path("ok"), nonsense).await.expect_err("refused by the stage");
    assert_eq!(refused.to_string(), "choose `eu` or `us`");
    assert!(matches!(house.judge(id, "b", Verdict::Continue).await, Err(EngineError::NotWaiting(_))));
    assert!(matches!(house.judge(id, "zzz", Verdict::Continue).await, Err(EngineError::NoSuchStage(_))));
    let nobody = ExecutionId::generate();
    assert!(matches!(house.judge(nobody, "ok", Verdict::Stop).await, Err(EngineError::NotFound(_))));
    let (first, second) =
        tokio::join!(house.judge(id, "ok", Verdict::Continue), house.judge(id, "ok", Verdict::Continue));
    assert!(first.is_ok() ^ second.is_ok(), "{first:?} {second:?}");
    assert!(matches!(first.and(second), Err(EngineError::AlreadyJudged(_) | EngineError::NotWaiting(_))));
    house.outside.until_asked("b.1 start").await;
    assert!(matches!(house.judge(id, "ok", Verdict::Continue).await, Err(EngineError::NotWaiting(_))));
    house.outside.open("b");
    let view = house.until_complete(id).await;
    assert_eq!(view.stages[0].outputs["judgedBy"], "ann");
    assert!(matches!(house.judge(id, "ok", Verdict::Continue).await, Err(EngineError::Complete(Status::Succeeded))));
}

#[tokio::test]
async fn a_judgment_can_stop_the_pipeline() {
    let house = House::new().await;
    let id = house.submit(pipeline(vec![stage("ok", &[]).of("ask"), stage("b", &["ok"])])).await;
    house.until(id, "the question", |view| view.stages[0].waiting_for.is_some()).await;
    house.judge(id, "ok", Verdict::Stop).await.expect("taken");
    let view = house.until_complete(id).await;
    assert_eq!((view.status, view.description.as_str()), (Status::Terminal, "Failed: ok, stopped by ann"));
}

#[tokio::test]
async fn cancelling_ends_what_runs_and_doing_it_twice_is_fine() {
    let house = House::new().await;
    let id = house.submit(pipeline(vec![does("a", &[], json!({"do": "hang"})), stage("b", &["a"])])).await;
    house.outside.until_asked("a.1 start").await;
    house.handle().cancel(id, "ann", Some("wrong version")).await.expect("taken");
    house.handle().cancel(id, "bob", None).await.expect("no fault");
    let view = house.until_complete(id).await;
    assert_eq!((view.status, view.canceled_by.as_deref()), (Status::Canceled, Some("ann: wrong version")));
    assert_eq!(stage_status(&view, "a"), Status::Canceled);
    assert_eq!(house.outside.asked(), ["a.1 start", "a.1 cancel Canceled"]);
    assert_eq!(house.outside.running.load(Ordering::SeqCst), 0, "the call is given up before the cancellation");
    house.handle().cancel(id, "ann", None).await.expect("it is cancelled");
    let missing = house.handle().cancel(ExecutionId::generate(), "ann", None).await;
    assert!(matches!(missing, Err(EngineError::NotFound(_))));
    let done = house.submit(chain("none", 1)).await;
    house.until_complete(done).await;
    assert!(matches!(house.handle().cancel(done, "ann", None).await, Err(EngineError::Complete(Status::Succeeded))));
}

#[tokio::test]
async fn a_handler_that_never_finishes_cancelling_does_not_hold_up_the_end() {
    let house = House::new().await;
    let id = house.submit(pipeline(vec![does("a", &[], json!({"do": "hang", "cancel": "never"}))])).await;
    house.outside.until_asked("a.1 start").await;
    house.handle().cancel(id, "ann", None).await.expect("taken");
    house.outside.until_asked("a.1 cancel Canceled").await;
    assert_eq!(house.view(id).await.status, Status::Running);
    let view = house.hurry_to_end(id).await;
    assert_eq!(view.status, Status::Canceled);
    assert!(view.stages[0].error.as_deref().is_some_and(|error| error.contains("may still run")));
}

#[tokio::test]
async fn a_stage_that_runs_for_too_long_is_ended_by_the_clock() {
    let house = House::new().await;
    let id = house.submit(pipeline(vec![does("a", &[], json!({"do": "hang"})).timeout("5m")])).await;
    house.outside.until_asked("a.1 start").await;
    house.clock.advance(Duration::from_secs(299));
    assert_eq!(house.view(id).await.status, Status::Running);
    house.clock.advance(Duration::from_secs(1));
    let view = house.until_complete(id).await;
    assert_eq!((view.status, view.description.as_str()), (Status::Terminal, "Failed: a, timed out after 5m"));
    assert_eq!(house.outside.asked(), ["a.1 start", "a.1 cancel TimedOut"]);
}

#[tokio::test]
async fn a_flaky_stage_is_tried_again_after_its_pause() {
    let house = House::new().await;
    let id = house.submit(pipeline(vec![does("a", &[], json!({"do": "flaky"})).retry(3, "30s")])).await;
    house.until(id, "the pause", |view| view.stages[0].waiting_for.is_some()).await;
    assert_eq!(house.outside.asked(), ["a.1 start"]);
    house.clock.advance(Duration::from_secs(30));
    assert_eq!(house.until_complete(id).await.status, Status::Succeeded);
    assert_eq!(house.outside.asked(), ["a.1 start", "a.2 start"]);
}

#[tokio::test]
async fn a_handler_that_panics_has_failed_and_the_engine_goes_on() {
    let house = House::new().await;
    for kind in ["work", "none"] {
        let id = house.submit(pipeline(vec![does("a", &[], json!({"do": "panic"})).of(kind)])).await;
        let view = house.until_complete(id).await;
        assert_eq!(view.status, Status::Terminal);
        assert!(view.stages[0].error.as_deref().is_some_and(|error| error.contains("out of luck")), "{view:?}");
    }
    let id = house.submit(chain("none", 2)).await;
    assert_eq!(house.until_complete(id).await.status, Status::Succeeded);
}

#[tokio::test]
async fn effects_are_bounded_and_executions_take_turns() {
    let options = EngineOptions { max_running_effects: 3, ..EngineOptions::default() };
    let house = House::with(Fault::None, options).await;
    let hanging = |id: &str| does(id, &[], json!({"do": "hang"}));
    let wide = house.submit(pipeline((0..20).map(|at| hanging(&format!("w{at}"))).collect())).await;
    house.outside.until_asked("w2.1 start").await;
    let small = house.submit(pipeline(vec![hanging("small")])).await;
    house.until(small, "its start", |view| view.stages[0].attempt == 1).await;
    assert_eq!(house.outside.asked().len(), 3, "the rest waits for a place");
    // One place, and one that is taken by the wide pipeline at most, before it is the small one's turn.
    house.outside.open("w0");
    house.outside.open("w1");
    house.outside.until_asked("small.1 start").await;
    for at in 0..20 {
        house.outside.open(&format!("w{at}"));
    }
    house.outside.open("small");
    house.until_complete(small).await;
    house.until_complete(wide).await;
    assert_eq!(house.outside.most_running.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn only_so_many_executions_are_in_memory_and_all_get_their_turn() {
    let options = EngineOptions { max_live: 2, ..EngineOptions::default() };
    let house = House::with(Fault::None, options).await;
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(house.submit(pipeline(vec![does("a", &[], json!({"do": "yield"}))])).await);
    }
    for id in ids {
        assert_eq!(house.until_complete(id).await.status, Status::Succeeded);
    }
    assert!(house.outside.most_running.load(Ordering::SeqCst) <= 2);
}

#[tokio::test]
async fn a_handlers_own_task_wakes_its_stage() {
    let house = House::new().await;
    let id = house.submit(pipeline(vec![does("a", &[], json!({"do": "poll"}))])).await;
    house.outside.until_asked("a.1 start").await;
    house.until(id, "the poll's row", |view| view.stages[0].attempt == 1).await;
    let key = house.store.execution(id).await.expect("reads").expect("there").execution.key;
    let signals = house.engine.signals();
    assert_eq!(signals.send(key, &path("a"), 2, json!(1)).await, Err(SignalError::NotWaiting), "another attempt");
    signals.send(key, &path("a"), 1, json!("done")).await.expect("taken");
    assert_eq!(house.until_complete(id).await.status, Status::Succeeded);
    assert_eq!(house.outside.asked(), ["a.1 start", "a.1 signal"]);
    assert_eq!(signals.send(key, &path("a"), 1, json!(1)).await, Err(SignalError::NotWaiting), "it has ended");
}

#[tokio::test]
async fn a_change_is_told_after_it_is_on_disk() {
    let house = House::new().await;
    let mut changes = house.handle().subscribe();
    let id = house.submit(chain("work", 3)).await;
    let mut last = 0;
    loop {
        let change = patiently("a change", changes.recv()).await.expect("told");
        assert_eq!(change.id, id);
        assert!(change.seq > last);
        last = change.seq;
        let stored = house.store.execution(id).await.expect("reads").expect("there");
        assert!(stored.seq >= change.seq, "{} on disk, {} told", stored.seq, change.seq);
        if change.status.is_complete() {
            break;
        }
    }
    assert_eq!(last, 4);
}

#[tokio::test]
async fn an_execution_that_nobody_handed_over_begins_within_a_minute() {
    let house = House::new().await;
    let (id, _) = house.create(chain("none", 1)).await;
    house.clock.advance(Duration::from_secs(61));
    assert_eq!(house.until_complete(id).await.status, Status::Succeeded);
}

#[tokio::test]
async fn many_executions_share_commits() {
    let house = House::new().await;
    let mut ids = Vec::new();
    for _ in 0..100 {
        ids.push(house.submit(chain("work", 5)).await);
    }
    for id in ids {
        assert_eq!(house.until_complete(id).await.status, Status::Succeeded);
    }
    assert_eq!(house.ledger.rows.load(Ordering::SeqCst), 600);
    assert!(house.ledger.batches.load(Ordering::SeqCst) < 500, "{:?}", house.ledger.batches);
}
