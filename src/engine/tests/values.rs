//! What stages inherit from those before them, and what failures and results mean for what comes after.

use serde_json::{Value, json};

use super::world::*;
use crate::engine::evaluate;
use crate::engine::{Failure, Outcome};
use crate::model::{ExpectedArtifact, OnFailure, Status};

fn done(outputs: Value) -> Outcome {
    Outcome::Done { outputs: map(outputs) }
}

#[test]
fn of_two_stages_that_set_a_variable_the_nearer_counts() {
    let mut run = Run::of(vec![
        stage("far", &[]).of("set"),
        stage("plain", &["far"]),
        stage("near", &["plain"]).of("set"),
        stage("beside", &["far"]).of("set"),
        stage("last", &["near"]).fields(json!({"x": "${ variables.x }", "y": "${ variables.y }"})),
    ]);
    run.answer("far", done(json!({"x": 1, "y": "far"})));
    run.answer("beside", done(json!({"x": "not before it"})));
    run.answer("plain", done(json!({"x": "no variable"})));
    run.answer("near", done(json!({"x": 2})));
    let last = run.index("last");
    assert_eq!(Value::Object(run.state.fields(last).clone()), json!({"x": 2, "y": "far"}));
}

#[test]
fn artifacts_are_those_of_the_nearest_stage_first_and_of_the_start_last() {
    let mut pipeline = pipeline(vec![
        stage("a", &[]),
        stage("b", &["a"]),
        stage("c", &["b"]).fields(json!({
            "new": "${ artifact('shop').version }", "old": "${ artifact('base').version }",
            "start": "${ trigger.artifacts[0].name + ' ' + triggerResolvedArtifact('the chart').version }",
        })),
    ]);
    pipeline.expected_artifacts =
        serde_json::from_value(json!([{"id": "chart", "displayName": "the chart"}])).expect("legal");
    let mut new = new_execution(pipeline.clone());
    let chart = serde_json::from_value(json!({"name": "chart", "version": "c"})).expect("legal");
    new.artifacts = crate::model::resolve_artifacts(&pipeline.expected_artifacts, vec![chart], &[]).expect("fits");
    let mut run = Run::of_execution(new);
    run.answer("a", done(json!({"artifacts": [{"name": "shop", "version": "1"}, {"name": "base", "version": "0"}]})));
    run.answer("b", done(json!({"artifacts": [{"name": "shop", "version": "2"}]})));
    let last = run.index("c");
    assert_eq!(Value::Object(run.state.fields(last).clone()), json!({"new": "2", "old": "0", "start": "chart c"}));
}

#[test]
fn an_attempt_may_know_better_what_its_failure_means() {
    for (says, means, status) in [
        (OnFailure::Halt, Some(OnFailure::HaltBranch), Status::Stopped),
        (OnFailure::Ignore, Some(OnFailure::Halt), Status::Terminal),
        (OnFailure::Ignore, None, Status::FailedContinue),
    ] {
        let mut run = Run::of(vec![stage("a", &[]).on_failure(says)]);
        let failure =
            Failure { message: "no".to_owned(), retryable: false, outputs: map(json!({})), on_failure: means };
        run.answer("a", Outcome::Fail(failure));
        assert_eq!(run.stages(), format!("a={status}"));
    }
}

#[test]
fn a_stage_that_does_not_yield_what_is_expected_has_failed() {
    let expected: Vec<ExpectedArtifact> =
        serde_json::from_value(json!([{"id": "image", "matchArtifact": {"type": "docker/image"}}])).expect("legal");
    let make = || {
        let mut stage = stage("a", &[]);
        stage.expected_artifacts.clone_from(&expected);
        Run::of(vec![stage])
    };
    let mut run = make();
    run.answer("a", done(json!({"artifacts": [{"type": "docker/image", "name": "shop"}]})));
    assert_eq!(run.stages(), "a=SUCCEEDED");
    assert_eq!(run.state.stages[0].outputs["resolvedExpectedArtifacts"][0]["boundArtifact"]["name"], "shop");
    let mut run = make();
    run.answer("a", done(json!({"image": "shop"})));
    assert_eq!(run.stages(), "a=TERMINAL");
    assert_eq!(run.error("a"), "of what it yields, the artifact `image` is expected (docker/image), and none fits");
    assert_eq!(run.state.stages[0].outputs["image"], "shop");
}

#[test]
fn a_condition_sees_other_stages_by_their_name_and_says_what_it_saw() {
    let named = |when: &str| {
        let mut build = stage("build", &[]);
        "Build it".clone_into(&mut build.name);
        let mut run = Run::of(vec![build, stage("b", &["build"]).when(when)]);
        run.answer("build", done(json!({"size": 3})));
        run
    };
    assert_eq!(named("stage('Build it').outputs.size == 3").asked(), "b:start");
    assert_eq!(named("stage('Build it').outputs.size > 3").stages(), "build=SUCCEEDED b=SKIPPED");
    assert_eq!(
        named("stage('Build it').outputs.size > 'x'").error("b"),
        "its `when` (`stage('Build it').outputs.size > 'x'`) can't be evaluated: `stage('Build it').outputs.size > 'x'`: \
         `>` doesn't take an int and a string; `stage(\"Build it\").outputs.size` is 3 (turn the text into a number with \
         `int(...)`)"
    );
}

#[test]
fn what_a_stage_evaluates_itself_sees_the_same_as_its_fields() {
    let mut run = Run::of(vec![stage("a", &[]).of("set"), stage("b", &["a"]).of("look")]);
    run.answer("a", done(json!({"x": 1})));
    let scope = evaluate::scope(&run.state, run.index("b"));
    assert_eq!(scope.variables, json!({"x": 1}));
    assert_eq!(scope.stages["a"]["status"], "SUCCEEDED");
    assert_eq!(scope.stages["a"]["type"], "set");
    assert!(scope.execution["startTime"].is_string());
}
