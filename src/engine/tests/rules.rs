//! The rules, one a test. The name of a test is the sentence that it checks.

use serde_json::json;

use super::world::*;
use crate::engine::decide::{Event, Refusal};
use crate::engine::entry::{AddedStage, Entry};
use crate::engine::state::State;
use crate::engine::{Outcome, limits};
use crate::model::{OnFailure, Status};

fn wait_for_approval() -> Outcome {
    Outcome::Wait { until: None, waiting_for: "approval".to_owned(), checkpoint: json!({"asked": true}) }
}

fn poll(text: &str, checkpoint: serde_json::Value) -> Outcome {
    Outcome::Poll { after: span(text).as_duration(), checkpoint }
}

#[test]
fn stages_without_needs_start_at_once_and_a_join_waits_for_all() {
    let mut run = Run::of(vec![stage("a", &[]), stage("b", &[]), stage("c", &["a", "b"])]);
    assert_eq!(run.asked(), "a:start b:start");
    run.done("a");
    assert_eq!(run.stages(), "a=SUCCEEDED b=RUNNING c=NOT_STARTED");
    run.done("b");
    assert_eq!(run.asked(), "c:start");
    run.done("c");
    assert_eq!(run.status(), Status::Succeeded);
}

#[test]
fn success_of_one_stage_and_start_of_the_next_are_one_row() {
    let mut run = Run::of(vec![stage("a", &[]), stage("b", &["a"])]);
    run.done("a");
    assert_eq!(&*run.journal.last().expect("a row").body, r#"{"v":1,"e":[{"done":{"s":0}},{"start":{"s":1,"a":1}}]}"#);
}

#[test]
fn a_join_also_starts_after_skipped_and_ignored_stages() {
    let mut run = Run::of(vec![
        stage("a", &[]).when("false"),
        stage("b", &[]).on_failure(OnFailure::Ignore),
        stage("c", &["a", "b"]),
    ]);
    run.fail("b");
    assert_eq!(run.stages(), "a=SKIPPED b=FAILED_CONTINUE c=RUNNING");
    run.done("c");
    assert_eq!(run.status(), Status::Succeeded);
}

#[test]
fn halt_cancels_the_running_stages_and_the_execution_fails_when_they_are_gone() {
    let mut run = Run::of(vec![stage("a", &[]), stage("b", &[]), stage("c", &["a", "b"])]);
    run.fail("a");
    assert_eq!((run.stages().as_str(), run.asked().as_str()), ("a=TERMINAL b=RUNNING c=NOT_STARTED", "b:cancel"));
    assert_eq!(run.status(), Status::Running);
    run.cancelled("b");
    assert_eq!(run.stages(), "a=TERMINAL b=CANCELED c=NOT_STARTED");
    assert_eq!(run.status(), Status::Terminal);
}

#[test]
fn halt_branch_ends_its_branch_alone_and_the_execution_can_succeed() {
    let mut run = Run::of(vec![
        stage("a", &[]).on_failure(OnFailure::HaltBranch),
        stage("b", &[]),
        stage("c", &["a"]),
        stage("d", &["b"]),
    ]);
    run.fail("a").done("b").done("d");
    assert_eq!(run.stages(), "a=STOPPED b=SUCCEEDED c=NOT_STARTED d=SUCCEEDED");
    assert_eq!(run.status(), Status::Succeeded);
}

#[test]
fn halt_branch_then_fail_lets_the_others_end_and_then_fails() {
    let mut run =
        Run::of(vec![stage("a", &[]).on_failure(OnFailure::HaltBranchThenFail), stage("b", &[]), stage("c", &["a"])]);
    run.fail("a");
    assert_eq!((run.status(), run.asked().as_str()), (Status::Running, "b:start"));
    run.done("b");
    assert_eq!((run.status(), run.text().as_str()), (Status::Terminal, "Failed: a, exit code 1"));
}

#[test]
fn an_ignored_failure_runs_what_comes_after() {
    let mut run = Run::of(vec![stage("a", &[]).on_failure(OnFailure::Ignore), stage("b", &["a"])]);
    run.fail("a").done("b");
    assert_eq!(run.stages(), "a=FAILED_CONTINUE b=SUCCEEDED");
    assert_eq!(run.status(), Status::Succeeded);
    assert_eq!(run.error("a"), "exit code 1");
}

#[test]
fn a_condition_that_is_false_skips_and_one_that_is_true_runs() {
    let mut run = Run::of(vec![
        stage("a", &[]).when("parameters.version == '1.3'"),
        stage("b", &["a"]).when("${ stages.a.status == 'SKIPPED' }"),
    ]);
    assert_eq!(run.stages(), "a=SKIPPED b=RUNNING");
    run.done("b");
    assert_eq!(run.status(), Status::Succeeded);
}

#[test]
fn a_condition_that_cannot_be_evaluated_fails_the_stage_and_names_the_expression() {
    let run = Run::of(vec![stage("a", &[]).when("parameters.nothing == 1"), stage("b", &["a"])]);
    assert_eq!(run.stages(), "a=TERMINAL b=NOT_STARTED");
    assert_eq!(run.status(), Status::Terminal);
    assert!(run.error("a").contains("parameters.nothing == 1"), "{}", run.error("a"));
}

#[test]
fn a_condition_that_yields_no_boolean_fails_the_stage_and_names_expression_and_value() {
    let run = Run::of(vec![stage("a", &[]).when("parameters.version")]);
    assert_eq!(run.status(), Status::Terminal);
    assert_eq!(run.error("a"), "its `when` (`parameters.version`) must yield true or false, and yields `\"1.2\"`");
}

#[test]
fn a_condition_that_fails_obeys_on_failure() {
    let mut run =
        Run::of(vec![stage("a", &[]).when("parameters.version").on_failure(OnFailure::Ignore), stage("b", &["a"])]);
    run.done("b");
    assert_eq!(run.stages(), "a=FAILED_CONTINUE b=SUCCEEDED");
}

#[test]
fn fields_are_evaluated_at_start_and_recorded_only_if_that_changed_them() {
    let mut run = Run::of(vec![
        stage("a", &[]).fields(json!({"plain": "x", "n": 1})),
        stage("b", &["a"]).fields(json!({"image": "shop:${ stages.a.outputs.tag }", "n": "${ parameters.count }"})),
    ]);
    assert_eq!(run.state.stages[0].fields, None);
    run.answer("a", Outcome::Done { outputs: map(json!({"tag": "v7"})) });
    assert_eq!(run.state.stages[1].fields, Some(map(json!({"image": "shop:v7", "n": 3}))));
}

#[test]
fn a_field_that_cannot_be_evaluated_fails_the_stage_and_names_expression_and_place() {
    let run = Run::of(vec![stage("a", &[]).fields(json!({"env": {"TAG": "${ parameters.tag }"}}))]);
    assert_eq!(run.status(), Status::Terminal);
    let error = run.error("a");
    assert!(error.contains("/env/TAG") && error.contains("parameters.tag"), "{error}");
}

#[test]
fn a_stage_type_that_is_unknown_fails_the_stage_and_lists_those_that_are_known() {
    let run = Run::of(vec![stage("a", &[]).of("bake")]);
    assert_eq!(run.error("a"), "this Longboat has no stage type `bake`; it has ask, look, none, set, work");
}

#[test]
fn outputs_that_are_too_large_fail_the_stage() {
    let mut run = Run::of(vec![stage("a", &[])]);
    run.answer("a", Outcome::Done { outputs: map(json!({"log": "x".repeat(300_000)})) });
    assert_eq!(run.status(), Status::Terminal);
    assert!(run.error("a").contains("256 KiB"), "{}", run.error("a"));
}

#[test]
fn a_failure_keeps_its_outputs_unless_they_are_too_large() {
    let failure = |text: &str| {
        let outputs = map(json!({"log": text}));
        Outcome::Fail(crate::engine::Failure {
            message: "exit code 1".to_owned(),
            retryable: false,
            outputs,
            on_failure: None,
        })
    };
    let mut run = Run::of(vec![stage("a", &[])]);
    run.answer("a", failure("x"));
    assert_eq!(run.state.stages[0].outputs, map(json!({"log": "x"})));
    let mut run = Run::of(vec![stage("a", &[])]);
    run.answer("a", failure(&"x".repeat(300_000)));
    assert_eq!(run.error("a"), "exit code 1; its outputs were too large to be kept");
    assert!(run.state.stages[0].outputs.is_empty());
}

#[test]
fn a_retryable_failure_is_tried_again_after_a_pause_that_doubles() {
    let mut run = Run::of(vec![stage("a", &[]).retry(3, "10s")]);
    run.fail_retryable("a");
    assert_eq!(run.asked(), "");
    assert_eq!(run.state.next_due(), Some(run.now.plus(span("10s").as_duration())));
    run.pass("9s");
    assert_eq!(run.asked(), "");
    run.pass("1s").fail_retryable("a");
    run.pass("10s");
    assert_eq!(run.asked(), "", "the second pause is twice as long");
    run.pass("10s").done("a");
    assert_eq!((run.status(), run.state.stages[0].attempt), (Status::Succeeded, 3));
    assert_eq!(run.state.stages[0].error, None);
}

#[test]
fn the_last_attempt_decides_and_a_failure_that_is_not_retryable_is_final() {
    let mut run = Run::of(vec![stage("a", &[]).retry(2, "1s")]);
    run.fail_retryable("a").pass("1s").fail_retryable("a");
    assert_eq!((run.status(), run.state.stages[0].attempt), (Status::Terminal, 2));
    let mut run = Run::of(vec![stage("a", &[]).retry(2, "1s")]);
    run.fail("a");
    assert_eq!((run.status(), run.state.stages[0].attempt), (Status::Terminal, 1));
}

#[test]
fn a_lost_attempt_is_made_again_at_once_and_counts_as_none_of_the_authors() {
    let mut run = Run::of(vec![stage("a", &[]).retry(2, "1s")]);
    run.crash();
    assert_eq!(run.asked(), "a:recovered");
    run.answer("a", Outcome::Restart { reason: "the script died with Longboat".to_owned() });
    assert_eq!((run.asked().as_str(), run.state.stages[0].attempt), ("a:start", 2));
    run.fail_retryable("a").pass("1s").done("a");
    assert_eq!((run.status(), run.state.stages[0].attempt), (Status::Succeeded, 3));
}

#[test]
fn a_stage_that_is_lost_again_and_again_fails() {
    let mut run = Run::of(vec![stage("a", &[])]);
    for _ in 0..limits::LOST_ATTEMPTS {
        run.answer("a", Outcome::Restart { reason: "the script died with Longboat".to_owned() });
    }
    assert_eq!(run.status(), Status::Running);
    run.answer("a", Outcome::Restart { reason: "the script died with Longboat".to_owned() });
    assert_eq!(run.status(), Status::Terminal);
    assert_eq!(run.error("a"), "the script died with Longboat; it was lost 5 times before");
}

#[test]
fn a_stage_that_runs_for_too_long_is_cancelled_and_then_fails_and_says_so() {
    let mut run = Run::of(vec![stage("a", &[]).timeout("5m").retry(3, "1s")]);
    run.pass("299s");
    assert_eq!(run.asked(), "a:start");
    run.pass("1s");
    assert_eq!((run.asked().as_str(), run.stages().as_str()), ("a:cancel(timeout)", "a=RUNNING"));
    run.cancelled("a");
    assert_eq!((run.status(), run.error("a")), (Status::Terminal, "timed out after 5m"));
}

#[test]
fn a_stage_timeout_spans_all_attempts_and_their_pauses() {
    let mut run = Run::of(vec![stage("a", &[]).timeout("30s").retry(3, "20s")]);
    run.pass("15s").fail_retryable("a");
    run.pass("15s");
    assert_eq!(run.status(), Status::Terminal);
    assert_eq!(run.error("a"), "timed out after 30s; the attempt before failed: exit code 1");
}

#[test]
fn a_timeout_obeys_on_failure() {
    let mut run = Run::of(vec![stage("a", &[]).timeout("5m").on_failure(OnFailure::Ignore), stage("b", &["a"])]);
    run.pass("5m").cancelled("a").done("b");
    assert_eq!((run.stages().as_str(), run.status()), ("a=FAILED_CONTINUE b=SUCCEEDED", Status::Succeeded));
}

#[test]
fn a_pipeline_that_runs_for_too_long_fails_when_its_stages_are_gone() {
    let mut pipeline = pipeline(vec![stage("a", &[]), stage("b", &["a"]), stage("c", &[]).retry(2, "3h")]);
    pipeline.timeout = Some(span("2h"));
    let mut run = Run::of_pipeline(pipeline);
    run.fail_retryable("c").pass("2h");
    assert_eq!(run.asked(), "a:cancel(timeout)");
    run.cancelled("a");
    assert_eq!(run.stages(), "a=TERMINAL b=NOT_STARTED c=TERMINAL");
    assert_eq!((run.status(), run.text().as_str()), (Status::Terminal, "Failed: timed out after 2h"));
    assert_eq!(run.error("a"), "the pipeline timed out after 2h");
}

#[test]
fn a_cancelled_execution_ends_once_its_effects_are_gone() {
    let mut run = Run::of(vec![stage("a", &[]), stage("b", &[]), stage("c", &["a"])]);
    run.cancel("ann");
    assert_eq!((run.asked().as_str(), run.status()), ("a:cancel b:cancel", Status::Running));
    run.cancelled("b");
    assert_eq!(run.status(), Status::Running);
    run.cancelled("a");
    assert_eq!(run.stages(), "a=CANCELED b=CANCELED c=NOT_STARTED");
    assert_eq!((run.status(), run.text().as_str()), (Status::Canceled, "Cancelled by ann"));
}

#[test]
fn cancelling_twice_is_no_fault_and_what_has_ended_refuses() {
    let mut run = Run::of(vec![stage("a", &[])]);
    run.cancel("ann").cancel("bob");
    assert_eq!((run.last.refused, run.last.entries.len()), (None, 0));
    run.cancelled("a").cancel("ann");
    assert_eq!(run.last.refused, Some(Refusal::Complete));
    assert_eq!(run.text(), "Cancelled by ann");
}

#[test]
fn an_execution_that_has_not_begun_can_be_cancelled() {
    let mut run = Run::stored(pipeline(vec![stage("a", &[])]));
    run.cancel("ann");
    assert_eq!((run.status(), run.stages().as_str()), (Status::Canceled, "a=NOT_STARTED"));
}

#[test]
fn a_handler_that_cancels_too_slowly_does_not_hold_up_the_end() {
    let mut run = Run::of(vec![stage("a", &[])]);
    run.cancel("ann");
    let call = run.calls[0].call;
    run.event(Event::Cancelled { stage: 0, call, overdue: true });
    assert_eq!(run.status(), Status::Canceled);
    assert!(run.error("a").contains("may still run"));
}

#[test]
fn a_failure_before_a_cancellation_decides_the_end_and_so_does_a_cancellation_before_a_failure() {
    let mut run = Run::of(vec![stage("a", &[]), stage("b", &[])]);
    run.fail("a").cancel("ann").cancelled("b");
    assert_eq!(run.status(), Status::Terminal);
    let mut run = Run::of(vec![stage("a", &[]).timeout("1m"), stage("b", &[])]);
    run.pass("1m").cancel("ann").cancelled("b").cancelled("a");
    assert_eq!((run.stages().as_str(), run.status()), ("a=TERMINAL b=CANCELED", Status::Canceled));
}

#[test]
fn an_answer_that_comes_after_its_call_was_given_up_changes_nothing() {
    let mut run = Run::of(vec![stage("a", &[])]);
    let late = run.calls[0].clone();
    run.cancel("ann");
    run.event(Event::Answered { stage: late.stage, call: late.call, outcome: Outcome::done() });
    assert_eq!((run.stages().as_str(), run.last.entries.len()), ("a=RUNNING", 0));
    run.cancelled("a");
    assert_eq!(run.stages(), "a=CANCELED");
}

#[test]
fn a_stage_without_an_effect_is_cancelled_without_being_asked() {
    let mut run = Run::of(vec![stage("a", &[]).of("none")]);
    run.answer("a", wait_for_approval()).cancel("ann");
    assert_eq!((run.asked().as_str(), run.status()), ("", Status::Canceled));
}

#[test]
fn a_stage_that_would_start_in_the_decision_that_halts_everything_never_starts() {
    let run = Run::of(vec![stage("a", &[]), stage("b", &[]).when("1")]);
    assert_eq!((run.stages().as_str(), run.asked().as_str()), ("a=CANCELED b=TERMINAL", ""));
    assert_eq!(run.status(), Status::Terminal);
}

#[test]
fn a_wait_ends_when_its_time_comes_and_hands_the_checkpoint_back() {
    let mut run = Run::of(vec![stage("a", &[])]);
    let until = run.now.plus(span("3d").as_duration());
    run.answer("a", Outcome::Wait { until: Some(until), waiting_for: "3d".into(), checkpoint: json!(7) });
    assert!(run.state.only_waits());
    assert_eq!(run.state.next_due(), Some(until));
    run.pass("71h");
    assert_eq!(run.asked(), "");
    run.pass("1h");
    assert_eq!(run.asked(), "a:due");
    assert_eq!(run.state.stages[0].checkpoint(), Some(&json!(7)));
    run.done("a");
    assert_eq!(run.status(), Status::Succeeded);
}

#[test]
fn a_judgment_is_recorded_and_then_handed_over_and_only_once() {
    let mut run = Run::of(vec![stage("a", &[]).of("ask")]);
    run.judge("a", json!("go"));
    assert_eq!(run.last.refused, Some(Refusal::NotWaiting));
    run.answer("a", wait_for_approval());
    run.judge("a", json!("go"));
    assert_eq!((run.last.refused, run.asked().as_str()), (None, "a:signal(\"go\")"));
    run.judge("a", json!("stop"));
    assert_eq!(run.last.refused, Some(Refusal::AlreadySignalled));
    run.judge("b", json!("go"));
    assert_eq!(run.last.refused, Some(Refusal::NoSuchStage));
    run.done("a").judge("a", json!("go"));
    assert_eq!(run.last.refused, Some(Refusal::Complete));
}

#[test]
fn only_a_stage_that_asks_is_judged() {
    let mut run = Run::of(vec![stage("a", &[])]);
    run.answer("a", wait_for_approval()).judge("a", json!("go"));
    assert_eq!((run.last.refused, run.last.entries.len()), (Some(Refusal::NotWaiting), 0));
}

#[test]
fn a_judgment_that_was_recorded_survives_a_crash() {
    let mut run = Run::of(vec![stage("a", &[]).of("ask")]);
    run.answer("a", wait_for_approval()).judge("a", json!("go")).crash();
    assert_eq!(run.asked(), "a:signal(\"go\")");
    run.crash().done("a");
    assert_eq!(run.status(), Status::Succeeded);
}

#[test]
fn a_stage_that_waits_on_after_a_signal_can_be_signalled_again() {
    let mut run = Run::of(vec![stage("a", &[]).of("ask")]);
    run.answer("a", wait_for_approval()).judge("a", json!(1)).answer("a", wait_for_approval());
    assert_eq!(run.asked(), "");
    run.judge("a", json!(2));
    assert_eq!(run.asked(), "a:signal(2)");
}

#[test]
fn a_signal_that_comes_while_the_handler_works_is_kept_until_it_has_answered() {
    let mut run = Run::of(vec![stage("a", &[])]);
    let signal = |payload| Event::Signal { path: path("a"), attempt: Some(1), payload };
    run.event(signal(json!("early")));
    assert_eq!((run.last.refused, run.asked().as_str()), (None, "a:start"));
    run.answer("a", poll("1m", json!({"pid": 1})));
    assert_eq!(run.asked(), "a:signal(\"early\")");
    run.crash();
    assert_eq!(run.asked(), "a:recovered");
    run.answer("a", poll("1m", json!({"pid": 2})));
    assert_eq!(run.asked(), "a:signal(\"early\")", "it was not worked off before the crash");
    run.answer("a", poll("1m", json!({"pid": 2})));
    assert_eq!(run.asked(), "");
    run.event(signal(json!("late")));
    assert_eq!(run.asked(), "a:signal(\"late\")");
    run.event(Event::Signal { path: path("a"), attempt: Some(2), payload: json!(0) });
    assert_eq!(run.last.refused, Some(Refusal::NotWaiting), "another attempt");
}

#[test]
fn a_look_that_saw_nothing_new_leaves_no_row() {
    let mut run = Run::of(vec![stage("a", &[])]);
    run.answer("a", poll("10s", json!({"percent": 1})));
    let rows = run.journal.len();
    run.pass("10s").answer("a", poll("10s", json!({"percent": 1})));
    assert_eq!(run.journal.len(), rows);
    assert_eq!(run.state.next_due(), Some(run.now.plus(span("10s").as_duration())));
    run.pass("10s").answer("a", poll("10s", json!({"percent": 2})));
    assert_eq!(run.journal.len(), rows + 1);
}

#[test]
fn after_a_restart_handlers_that_had_something_in_hand_are_asked_and_those_that_wait_are_not() {
    let mut run = Run::of(vec![stage("a", &[]), stage("b", &[]), stage("c", &[]), stage("d", &[])]);
    run.done("a").answer("b", wait_for_approval()).answer("c", poll("1h", json!(3)));
    run.crash();
    assert_eq!(run.asked(), "c:recovered d:recovered");
    assert_eq!(run.stages(), "a=SUCCEEDED b=RUNNING c=RUNNING d=RUNNING");
}

#[test]
fn after_a_restart_a_cancellation_goes_on() {
    let mut run = Run::of(vec![stage("a", &[])]);
    run.cancel("ann").crash();
    assert_eq!(run.asked(), "a:cancel");
    run.cancelled("a");
    assert_eq!(run.status(), Status::Canceled);
}

#[test]
fn a_time_that_came_while_longboat_was_down_is_noticed_at_once() {
    let mut run = Run::of(vec![stage("a", &[]).timeout("1h"), stage("b", &[])]);
    let until = run.now.plus(span("10m").as_duration());
    run.answer("b", Outcome::Wait { until: Some(until), waiting_for: "10m".into(), checkpoint: json!(null) });
    run.now = run.now.plus(span("2h").as_duration());
    run.crash();
    assert_eq!(run.asked(), "a:cancel(timeout) b:due");
}

#[test]
fn the_graph_can_grow_while_it_runs() {
    let mut run = Run::of(vec![stage("a", &[]), stage("b", &["a"])]);
    let added = AddedStage { path: path("a/after/notify"), needs: vec![0], definition: stage("notify", &[]) };
    let entry = Entry::AddStages { stages: vec![added] };
    run.state.apply(&entry, run.now).expect("legal");
    run.journal.push(Row::of(run.now, vec![entry.clone()]));
    run.done("a");
    assert_eq!(run.asked(), "b:start a/after/notify:start");
    assert_eq!(run.refold().stages.len(), 3);
    assert!(run.state.apply(&entry, run.now).is_err(), "the same path twice");
    run.done("b").done("a/after/notify");
    assert_eq!(run.status(), Status::Succeeded);
}

#[test]
fn what_is_not_legal_is_an_error_and_changes_nothing() {
    let run = Run::of(vec![stage("a", &[]), stage("b", &["a"])]);
    let done = |stage| Entry::Done { stage, outputs: serde_json::Map::new() };
    for entry in [
        Entry::Begin,
        done(1),
        done(9),
        Entry::Start { stage: 1, attempt: 1, fields: None, secrets: Vec::new() },
        Entry::Start { stage: 0, attempt: 2, fields: None, secrets: Vec::new() },
        Entry::Skip { stage: 0 },
        Entry::Canceled { stage: 0, message: None },
        Entry::End { status: Status::Succeeded },
        Entry::Fail { stage: 0, status: Status::Succeeded, message: String::new(), outputs: serde_json::Map::new() },
    ] {
        let mut state: State = run.state.clone();
        let error = state.apply(&entry, run.now).expect_err(&format!("{entry:?}"));
        assert!(!error.reason.is_empty());
        assert_eq!(state.stages, run.state.stages);
    }
}

#[test]
fn nothing_follows_the_end() {
    let mut run = Run::of(vec![stage("a", &[])]);
    run.done("a");
    let entry = Entry::Trouble { message: String::new() };
    assert!(run.state.apply(&entry, run.now).is_err());
    assert_eq!(run.state.next_due(), None);
    run.pass("1h");
    assert!(run.last.entries.is_empty());
}
