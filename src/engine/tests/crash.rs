//! Longboat dies at every commit there is, before it and after it, and goes on.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::json;

use super::house::*;
use super::world::*;
use crate::engine::entry::{Entry, decode};
use crate::engine::{EngineOptions, Verdict};
use crate::model::{ExecutionId, ExecutionView, OnFailure, Pipeline, Status};

/// One of everything.
fn motley() -> Pipeline {
    pipeline(vec![
        stage("a", &[]).of("none"),
        stage("b", &["a"]).fields(json!({"do": "yield", "outputs": {"n": 5}})),
        stage("c", &["a"]).fields(json!({"do": "flaky"})).retry(3, "20s"),
        stage("d", &["b"]).of("ask"),
        stage("e", &["c"]).fields(json!({"do": "wait", "seconds": 90})),
        stage("f", &["d", "e"]).when("stages.b.outputs.n == 5").fields(json!({"x": "${ stages.b.outputs.n }"})),
        stage("g", &["f"]).fields(json!({"do": "fail"})).on_failure(OnFailure::Ignore),
        stage("h", &["g"]).when("false"),
        stage("i", &["h"]).fields(json!({"do": "poll"})),
        stage("j", &["i"]).fields(json!({"do": "lost"})),
    ])
}

/// Answers what is asked and moves time until the execution has ended, or the process dies.
async fn live_on(house: &House, id: ExecutionId) -> Option<ExecutionView> {
    let life = async {
        loop {
            let view = house.view(id).await;
            if view.status.is_complete() {
                return view;
            }
            if view.stages[3].waiting_for.is_some() {
                // Whoever judges may be told that the process is dying.
                let judged = house.judge(id, "d", Verdict::Continue);
                drop(tokio::time::timeout(Duration::from_millis(20), judged).await);
            }
            house.clock.advance(Duration::from_secs(3));
            tokio::task::yield_now().await;
        }
    };
    let ended = async {
        tokio::select! {
            view = life => Some(view),
            () = house.ledger.died.notified() => None,
        }
    };
    patiently("the end of the execution or of the process", Box::pin(ended)).await
}

/// What must hold whatever happened.
async fn check(house: &House, id: ExecutionId, view: &ExecutionView) {
    let statuses: Vec<String> = view.stages.iter().map(|stage| format!("{}={}", stage.id, stage.status)).collect();
    assert_eq!(
        statuses.join(" "),
        "a=SUCCEEDED b=SUCCEEDED c=SUCCEEDED d=SUCCEEDED e=SUCCEEDED f=SUCCEEDED g=FAILED_CONTINUE h=SKIPPED \
         i=SUCCEEDED j=SUCCEEDED"
    );
    assert_eq!(view.status, Status::Succeeded);
    assert_eq!(view.stages[5].context["x"], 5);
    let mut started = HashSet::new();
    // Those without an effect are asked before their row is written, and again if that is lost.
    let no_effect = |asked: &String| asked.starts_with("a.") || asked.starts_with("d.");
    for asked in house.outside.asked().iter().filter(|asked| asked.ends_with("start") && !no_effect(asked)) {
        assert!(started.insert(asked.clone()), "{asked} happened twice");
    }
    let key = house.store.execution(id).await.expect("reads").expect("there").execution.key;
    let mut ended = HashSet::new();
    for row in house.store.journal(key).await.expect("reads") {
        for entry in decode(&row.body).expect("decodes") {
            if let Entry::Done { stage, .. } = entry {
                assert!(ended.insert(stage), "stage {stage} succeeded twice");
            }
        }
    }
    let said = house.said().await;
    assert!(said.last().is_some_and(|text| text.starts_with("Succeeded in")), "{said:?}");
}

/// Dies once, at the n-th commit, and goes on. Says whether it came to that.
async fn dies_once(fault: Fault) -> bool {
    let house = House::with(fault, EngineOptions::default()).await;
    let id = house.submit(motley()).await;
    if let Some(view) = Box::pin(live_on(&house, id)).await {
        check(&house, id, &view).await;
        return false;
    }
    let house = house.crash().await;
    let succeeded: Vec<String> = house
        .view(id)
        .await
        .stages
        .iter()
        .filter(|stage| stage.status == Status::Succeeded)
        .map(|stage| format!("{}.", stage.path))
        .collect();
    let before = house.outside.asked().len();
    let view = Box::pin(live_on(&house, id)).await.expect("nothing dies any more");
    for asked in &house.outside.asked()[before..] {
        assert!(!succeeded.iter().any(|stage| asked.starts_with(stage)), "{asked} although it had succeeded");
    }
    check(&house, id, &view).await;
    true
}

#[tokio::test]
async fn dying_before_any_commit_loses_nothing_and_repeats_nothing() {
    let mut deaths = 0;
    while Box::pin(dies_once(Fault::DiesBefore(deaths))).await {
        deaths += 1;
    }
    assert!(deaths >= 10, "{deaths}");
}

#[tokio::test]
async fn dying_after_any_commit_loses_nothing_and_repeats_nothing() {
    let mut deaths = 0;
    while Box::pin(dies_once(Fault::DiesAfter(deaths))).await {
        deaths += 1;
    }
    assert!(deaths >= 10, "{deaths}");
}

#[tokio::test]
async fn dying_again_and_again_still_comes_to_an_end() {
    let mut house = House::with(Fault::DiesAfter(0), EngineOptions::default()).await;
    let id = house.submit(motley()).await;
    let mut deaths = 0;
    let view = loop {
        if let Some(view) = Box::pin(live_on(&house, id)).await {
            break view;
        }
        deaths += 1;
        // Each life has one commit more than none, so there is progress in each.
        house = house.crash_into(Fault::DiesAfter(deaths % 3)).await;
    };
    check(&house, id, &view).await;
    assert!(deaths >= 5, "{deaths}");
}

#[tokio::test]
async fn a_stop_in_good_order_leaves_what_runs_to_be_adopted() {
    let house = House::new().await;
    let id = house.submit(pipeline(vec![
        stage("a", &[]).fields(json!({"do": "hang"})),
        stage("b", &[]).fields(json!({"do": "poll"})),
        stage("c", &[]).of("ask"),
    ]));
    let id = id.await;
    house.until(id, "the question", |view| view.stages[2].waiting_for.is_some()).await;
    house.outside.until_asked("a.1 start").await;
    house.outside.until_asked("b.1 start").await;
    let house = house.restart().await;
    house.outside.until_asked("a.1 recovered").await;
    house.outside.until_asked("b.1 recovered").await;
    assert!(!house.outside.asked().iter().any(|asked| asked.contains("cancel")));
    assert_eq!(house.outside.count("c.1 start"), 1, "who waits isn't asked again");
    house.outside.open("a");
    house.judge(id, "c", Verdict::Continue).await.expect("taken");
    assert_eq!(house.until_complete(id).await.status, Status::Succeeded);
}

#[tokio::test]
async fn a_stop_in_good_order_writes_what_is_known_and_begins_nothing() {
    let house = House::with(Fault::Holds(1), EngineOptions::default()).await;
    let id = house.submit(pipeline(vec![stage("a", &[]), stage("b", &["a"])])).await;
    // The row with the success of `a` and the start of `b` is on its way when the stop comes.
    patiently("the row", house.ledger.died.notified()).await;
    let ledger = std::sync::Arc::clone(&house.ledger);
    let release = tokio::spawn(async move {
        tokio::task::yield_now().await;
        ledger.release.notify_one();
    });
    let house = house.restart().await;
    release.await.expect("released");
    assert_eq!(house.until_complete(id).await.status, Status::Succeeded);
    assert_eq!(house.outside.asked(), ["a.1 start", "b.1 recovered"]);
}

#[tokio::test]
async fn a_judgment_survives_the_death_that_follows_it() {
    let house = House::new().await;
    let id = house.submit(pipeline(vec![stage("ok", &[]).of("ask")])).await;
    house.until(id, "the question", |view| view.stages[0].waiting_for.is_some()).await;
    // The next batch is written, and nothing after it.
    let batches = house.ledger.batches.load(std::sync::atomic::Ordering::SeqCst);
    *house.ledger.fault.lock().expect("lock") = Fault::DiesAfter(batches);
    let handle = house.handle();
    let judged = tokio::spawn(async move {
        let judgment =
            crate::engine::Judgment { verdict: Verdict::Continue, input: None, by: "ann".into(), roles: None };
        handle.judge(id, &path("ok"), judgment).await
    });
    patiently("death", house.ledger.died.notified()).await;
    let house = house.crash().await;
    assert!(judged.await.expect("ends").is_err(), "nobody could tell");
    let view = house.until_complete(id).await;
    assert_eq!(view.stages[0].outputs["judgedBy"], "ann");
}
