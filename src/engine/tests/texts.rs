//! What the commit status says, sentence by sentence (FORMAT section 8).

use serde_json::json;

use super::world::*;
use crate::engine::entry::Entry;
use crate::engine::status_text::{describe, report};
use crate::engine::{Outcome, view};
use crate::model::{OnFailure, StatusState};

fn wait(waiting_for: &str) -> Outcome {
    Outcome::Wait { until: None, waiting_for: waiting_for.to_owned(), checkpoint: json!(null) }
}

#[test]
fn a_run_tells_where_it_is() {
    let mut run =
        Run::stored(pipeline(vec![stage("test", &[]), stage("bake", &["test"]), stage("prod", &["bake"]).of("ask")]));
    assert_eq!(describe(&run.state), (StatusState::Pending, "Queued".to_owned()));
    run.event(crate::engine::decide::Event::Loaded);
    assert_eq!(run.text(), "Running: test (1 of 3)");
    run.done("test");
    assert_eq!(run.text(), "Running: bake (2 of 3)");
    run.done("bake").answer("prod", wait("approval: prod"));
    assert_eq!(describe(&run.state), (StatusState::Pending, "Waiting for approval: prod".to_owned()));
    run.judge("prod", json!("go"));
    assert_eq!(run.text(), "Running: prod (3 of 3)");
    run.now = run.now.plus(span("130s").as_duration());
    run.done("prod");
    assert_eq!(describe(&run.state), (StatusState::Success, "Succeeded in 2m 10s".to_owned()));
}

#[test]
fn parallel_stages_are_counted() {
    let mut run = Run::of(vec![stage("a", &[]), stage("b", &[]), stage("c", &[]), stage("d", &["a", "b", "c"])]);
    assert_eq!(run.text(), "Running: a and 2 more (1 of 4)");
    run.done("a");
    assert_eq!(run.text(), "Running: b and 1 more (2 of 4)");
}

#[test]
fn a_failure_names_the_stage_and_the_first_line_of_its_reason() {
    let mut run = Run::of(vec![stage("bake", &[])]);
    run.answer("bake", Outcome::fail("\n exit code 1\nand much more"));
    assert_eq!(describe(&run.state), (StatusState::Failure, "Failed: bake, exit code 1".to_owned()));
    let mut run = Run::of(vec![stage("bake", &[]).on_failure(OnFailure::HaltBranch)]);
    run.fail("bake");
    assert_eq!(describe(&run.state).0, StatusState::Success);
}

#[test]
fn a_long_reason_is_cut_to_what_forges_take() {
    let mut run = Run::of(vec![stage("bake", &[])]);
    run.answer("bake", Outcome::fail("ä".repeat(500)));
    let status = report(&run.state).expect("reports");
    assert_eq!(status.description.chars().count(), 140);
    assert_eq!(status.page, format!("/executions/{}", run.state.execution.info.id));
}

#[test]
fn trouble_of_longboat_itself_is_an_error_until_it_goes_on() {
    let mut run = Run::of(vec![stage("a", &[])]);
    run.state.apply(&Entry::Trouble { message: "the disk is on fire".into() }, run.now).expect("legal");
    assert_eq!(describe(&run.state), (StatusState::Error, "Longboat error: the disk is on fire".to_owned()));
    run.done("a");
    assert_eq!(describe(&run.state).0, StatusState::Success);
}

#[test]
fn the_view_shows_stages_in_the_authors_order_with_what_was_evaluated() {
    let mut run = Run::of(vec![
        stage("a", &[]).fields(json!({"x": "${ parameters.count }", "y": 1})),
        stage("b", &["a"]).fields(json!({"z": "${ stages.a.outputs.n }"})),
        stage("c", &["b"]),
    ]);
    run.answer("a", Outcome::Done { outputs: map(json!({"n": 5})) }).answer("b", wait("approval"));
    let view = serde_json::to_value(view::of_state(&run.state)).expect("serialises");
    assert_eq!(view["status"], "RUNNING");
    assert_eq!(view["stages"][0]["context"], json!({"x": 3, "y": 1}));
    assert_eq!(view["stages"][0]["outputs"], json!({"n": 5}));
    assert_eq!(view["stages"][1]["context"], json!({"z": 5}));
    assert_eq!(view["stages"][1]["waitingFor"], "approval");
    assert_eq!(view["stages"][2]["status"], "NOT_STARTED");
    assert_eq!(view["stages"][2]["startTime"], json!(null));
    run.cancel("ann").cancelled("b");
    assert_eq!(view::of_state(&run.state).canceled_by.as_deref(), Some("ann: wrong version"));
}
