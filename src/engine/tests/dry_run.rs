//! Dry runs: the same rules, and nothing outside.

use std::collections::BTreeMap;

use serde_json::json;

use super::house::*;
use super::world::*;
use crate::clock::Timestamp;
use crate::engine::dry_run::dry_run;
use crate::model::{Concurrency, DryRun, ExecutionId, HoldKind, Hours, OnFailure, OnNew, Pipeline, Status, Window};

fn told(pipeline: Pipeline, failing: &[&str]) -> DryRun {
    let outcomes: BTreeMap<_, _> = failing.iter().map(|id| (path(id), Status::Terminal)).collect();
    dry_run(new_execution(pipeline), kinds(), &outcomes, Timestamp::from_millis(0)).expect("runs")
}

/// `a starts, a SUCCEEDED, b waits: ...`.
fn in_words(told: &DryRun) -> String {
    let steps = told.steps.iter().map(|step| {
        let what = step.status.map_or_else(|| step.does.clone(), |status| status.to_string());
        match &step.detail {
            Some(detail) => format!("{} {what}: {detail}", step.path),
            None => format!("{} {what}", step.path),
        }
    });
    steps.collect::<Vec<_>>().join(", ")
}

#[test]
fn all_goes_well_if_nobody_says_otherwise() {
    let told =
        told(pipeline(vec![stage("a", &[]), stage("ask", &["a"]).of("ask"), stage("c", &["a"]).when("false")]), &[]);
    assert_eq!(in_words(&told), "a starts, a SUCCEEDED, ask starts: asks a person, c SKIPPED, ask SUCCEEDED");
    assert_eq!((told.status, told.never.len()), (Status::Succeeded, 0));
}

#[test]
fn a_chosen_failure_shows_what_would_be_left_out_and_what_runs_at_the_end() {
    let mut end = stage("tidy", &[]);
    end.finally = true;
    let stages = vec![stage("a", &[]).retry(2, "10s"), stage("b", &["a"]), end];
    let told = told(pipeline(stages), &["a"]);
    assert_eq!(
        in_words(&told),
        "a starts, a retries: chosen to fail; the next attempt is at 1970-01-01T00:00:10.000Z, a starts: attempt 2, \
         a TERMINAL: chosen to fail, tidy starts, tidy SUCCEEDED"
    );
    assert_eq!((told.status, told.never), (Status::Terminal, vec![path("b")]));
    assert_eq!(told.description, "Failed: a, chosen to fail");
    let ignored = vec![stage("a", &[]).on_failure(OnFailure::Ignore), stage("b", &["a"])];
    assert_eq!(
        in_words(&self::told(pipeline(ignored), &["a"])),
        "a starts, a FAILED_CONTINUE: chosen to fail, b starts, b SUCCEEDED"
    );
}

#[test]
fn a_window_is_waited_for_in_no_time_and_outputs_that_are_not_there_are_no_failure() {
    let mut early = stage("a", &[]);
    let hours = vec![Hours::parse("09:00-10:00").expect("hours")];
    early.window = Some(Window { days: Vec::new(), hours, timezone: "UTC".to_owned(), jitter: None });
    let late =
        stage("b", &["a"]).when("stages.a.outputs.ready").fields(json!({"image": "${ stages.a.outputs.image }"}));
    let told = told(pipeline(vec![early, late]), &[]);
    let words = in_words(&told);
    assert!(
        words.starts_with("a waits: for its time window, at 1970-01-01T09:00:00.000Z, a starts, a SUCCEEDED, "),
        "{words}"
    );
    assert!(words.contains("b starts, b note: its `when`") && words.contains("b note: its field `/image`"), "{words}");
    assert_eq!(told.status, Status::Succeeded);
}

#[test]
fn an_outcome_for_no_stage_is_refused() {
    let outcomes = BTreeMap::from([(path("nobody"), Status::Terminal)]);
    let refused =
        dry_run(new_execution(pipeline(vec![stage("a", &[])])), kinds(), &outcomes, Timestamp::from_millis(0));
    assert_eq!(refused.expect_err("refused"), "the pipeline has no stage `nobody`");
}

/// What would hold a start with that rule while an execution has the one place of its lane and one waits.
async fn held(on_new: OnNew) -> (DryRun, [ExecutionId; 2]) {
    let house = House::new().await;
    let limited = || {
        let rule = Concurrency { max: 1, on_new, lock: None };
        Pipeline { concurrency: Some(rule), ..pipeline(vec![stage("a", &[]).fields(json!({"do": "hang"}))]) }
    };
    let first = house.submit(limited()).await;
    house.outside.until_asked("a.1 start").await;
    // Stored and not told to the engine: so nobody makes way yet.
    let (second, _) = house.create(limited()).await;
    let told = house.handle().dry_run(new_execution(limited()), &BTreeMap::new(), Timestamp::from_millis(0)).await;
    (told.expect("runs"), [first, second])
}

#[tokio::test]
async fn it_says_who_stands_before_it_and_who_would_make_way() {
    let (told, [first, _]) = held(OnNew::Queue).await;
    let hold = told.held.expect("it would wait");
    assert_eq!((hold.kind, hold.reason.as_str()), (HoldKind::Concurrency, "its turn (1 at once)"));
    assert_eq!(hold.holders.iter().map(|holder| holder.id).collect::<Vec<_>>(), [first]);
    assert_eq!((told.supersedes.len(), told.status), (0, Status::Succeeded), "and what would follow");
    let (told, [first, second]) = held(OnNew::CancelRunning).await;
    let ids: Vec<ExecutionId> = told.supersedes.iter().map(|holder| holder.id).collect();
    assert_eq!((ids, told.held.is_some()), (vec![first, second], true));
    let (told, [_, second]) = held(OnNew::KeepNewest).await;
    assert_eq!(told.supersedes.iter().map(|holder| holder.id).collect::<Vec<_>>(), [second]);
}
