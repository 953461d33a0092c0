//! Pauses, skips, windows, what is worth another attempt, and what runs at the end: the rules, one a test.

use serde_json::json;

use super::house::*;
use super::world::*;
use crate::clock::Timestamp;
use crate::engine::decide::{Event, Refusal};
use crate::engine::{EngineError, Failure, Outcome, view};
use crate::model::{Hours, OnFailure, Pipeline, RetryOn, Stage, Status, Window};

impl Run {
    fn pause(&mut self) -> &mut Self {
        self.event(Event::Pause { by: "ann".to_owned() })
    }

    fn resume(&mut self) -> &mut Self {
        self.event(Event::Resume { by: "bob".to_owned() })
    }

    fn skip(&mut self, id: &str) -> &mut Self {
        self.event(Event::Skip { path: path(id), by: "ann".to_owned() })
    }
}

fn chain() -> Vec<Stage> {
    vec![stage("a", &[]), stage("b", &["a"])]
}

#[test]
fn while_it_is_paused_what_runs_goes_on_and_nothing_starts() {
    let mut run = Run::of(chain());
    run.pause();
    assert_eq!((run.status(), run.text().as_str()), (Status::Paused, "Paused by ann"));
    run.done("a");
    assert_eq!((run.stages().as_str(), run.asked().as_str()), ("a=SUCCEEDED b=NOT_STARTED", ""));
    assert!(run.state.only_waits() && run.state.next_due().is_none(), "it needs no memory and no look");
    run.crash().pass("10d");
    assert_eq!((run.status(), run.asked().as_str()), (Status::Paused, ""));
    let paused = view::of_state(&run.state).paused.expect("paused");
    assert_eq!(paused.by, "ann");
    run.resume();
    assert_eq!((run.status(), run.asked().as_str()), (Status::Running, "b:start"));
    run.done("b");
    assert_eq!(run.status(), Status::Succeeded);
}

#[test]
fn the_time_of_a_pause_is_not_the_pipelines() {
    let mut limited = pipeline(chain());
    limited.timeout = Some(span("10m"));
    let mut run = Run::of_pipeline(limited);
    run.pass("5m").pause().pass("1d").done("a").resume();
    assert_eq!(run.state.deadline(), Some(run.now.plus(span("5m").as_duration())));
    run.pass("4m").done("b");
    assert_eq!(run.status(), Status::Succeeded);
}

#[test]
fn another_attempt_waits_for_the_end_of_the_pause() {
    let mut run = Run::of(vec![stage("a", &[]).retry(2, "10s")]);
    run.pause().fail_retryable("a").pass("1h");
    assert_eq!((run.asked().as_str(), run.state.next_due()), ("", None));
    run.resume();
    assert_eq!(run.asked(), "a:start");
}

#[test]
fn what_is_paused_can_be_cancelled_and_a_halting_failure_ends_it() {
    let mut run = Run::of(chain());
    run.pause().cancel("cat");
    assert_eq!((run.status(), run.asked().as_str()), (Status::Running, "a:cancel"));
    run.cancelled("a");
    assert_eq!((run.status(), run.text().as_str()), (Status::Canceled, "Cancelled by cat"));
    let mut run = Run::of(chain());
    run.pause().fail("a");
    assert_eq!(run.status(), Status::Terminal);
}

#[test]
fn a_pause_with_nothing_left_to_start_ends_with_what_runs() {
    let mut run = Run::of(vec![stage("a", &[])]);
    run.pause().done("a");
    assert_eq!(run.status(), Status::Succeeded);
}

#[test]
fn only_what_runs_is_paused_and_only_what_is_paused_goes_on() {
    let mut run = Run::of(vec![stage("a", &[])]);
    run.resume();
    assert_eq!(run.last.refused, Some(Refusal::NotPaused));
    run.pause().pause();
    assert_eq!((run.last.refused, run.last.entries.len()), (None, 0), "asking twice is no fault");
    run.resume().done("a").pause();
    assert_eq!(run.last.refused, Some(Refusal::Complete));
    let mut held = Run::stored(pipeline(chain()));
    held.freeze(Some("audit")).pause();
    assert_eq!(held.last.refused, Some(Refusal::NotPausable));
}

#[test]
fn a_wait_can_be_skipped_and_it_is_known_by_whom() {
    let mut run = Run::of(vec![stage("a", &[]).of("none"), stage("b", &[])]);
    let wait = Outcome::Wait { until: None, waiting_for: "time".to_owned(), checkpoint: json!(null) };
    run.answer("a", wait.clone()).answer("b", wait);
    let shown = view::of_state(&run.state);
    assert_eq!(shown.stages.iter().map(|stage| stage.progress.skippable).collect::<Vec<_>>(), [true, false]);
    run.skip("a");
    assert!(run.asked().contains(r#"a:signal({"skippedBy":"ann"})"#), "{}", run.asked());
    run.skip("a");
    assert_eq!(run.last.refused, Some(Refusal::NotSkippable), "it has been");
    run.skip("b");
    assert_eq!(run.last.refused, Some(Refusal::NotSkippable), "not every wait is one for time");
    run.skip("nobody");
    assert_eq!(run.last.refused, Some(Refusal::NoSuchStage));
}

/// From half past five, for a quarter of an hour each day; `Run` begins at 00:16:40.
fn in_window(id: &str, needs: &[&str]) -> Stage {
    let mut stage = stage(id, needs);
    let hours = vec![Hours::parse("05:30-05:45").expect("hours")];
    stage.window = Some(Window { days: Vec::new(), hours, timezone: "UTC".to_owned(), jitter: None });
    stage
}

fn half_past_five() -> Timestamp {
    Timestamp::from_rfc3339("1970-01-01T05:30:00Z").expect("a moment")
}

#[test]
fn a_stage_waits_for_its_window_and_that_is_not_its_own_time() {
    let mut run = Run::of(vec![stage("a", &[]), in_window("b", &["a"]).timeout("10m")]);
    run.done("a");
    assert_eq!((run.stages().as_str(), run.asked().as_str()), ("a=SUCCEEDED b=RUNNING", ""));
    assert_eq!(run.text(), "Waiting for the time window of b, until 1970-01-01T05:30:00.000Z");
    assert_eq!((run.state.next_due(), run.state.only_waits()), (Some(half_past_five()), true));
    let shown = view::of_state(&run.state).stages.remove(1);
    assert_eq!((shown.attempt, shown.start_time, shown.progress.until), (0, None, Some(half_past_five())));
    assert!(shown.waiting_for.is_some_and(|text| text.starts_with("its time window")) && shown.progress.skippable);
    run.crash().pass("4h");
    assert_eq!(run.asked(), "");
    run.now = half_past_five();
    run.event(Event::Due);
    assert_eq!(run.asked(), "b:start");
    assert_eq!(run.state.next_due(), Some(half_past_five().plus(span("10m").as_duration())));
    run.done("b");
    assert_eq!(run.status(), Status::Succeeded);
}

#[test]
fn a_window_that_closed_while_nobody_looked_is_waited_for_once_more() {
    let mut run = Run::of(vec![in_window("a", &[])]);
    run.now = half_past_five().plus(span("1h").as_duration());
    run.crash();
    assert_eq!(
        (run.asked().as_str(), run.state.next_due()),
        ("", Some(half_past_five().plus(span("1d").as_duration())))
    );
}

#[test]
fn a_window_can_be_skipped_and_a_later_attempt_doesnt_wait_for_one() {
    let mut run = Run::of(vec![in_window("a", &[]).retry(2, "1h")]);
    run.skip("a");
    assert_eq!(run.asked(), "a:start");
    assert_eq!(view::of_state(&run.state).stages[0].progress.skipped_by.as_deref(), Some("ann"));
    run.fail_retryable("a").pass("1h");
    assert_eq!(run.asked(), "a:start");
    let mut paused = Run::of(vec![in_window("a", &[])]);
    paused.pause().skip("a");
    assert_eq!(paused.asked(), "");
    paused.resume();
    assert_eq!(paused.asked(), "a:start");
}

#[test]
fn who_waits_for_a_window_is_cancelled_at_once_and_one_whose_condition_is_false_doesnt_wait() {
    let mut run = Run::of(vec![in_window("a", &[])]);
    run.cancel("ann");
    assert_eq!((run.status(), run.stages().as_str()), (Status::Canceled, "a=CANCELED"));
    let run = Run::of(vec![in_window("a", &[]).when("false")]);
    assert_eq!(run.stages(), "a=SKIPPED");
}

fn failure(message: &str, code: i64) -> Outcome {
    let outputs = map(json!({"exitCode": code}));
    Outcome::Fail(Failure { message: message.to_owned(), retryable: true, outputs, on_failure: None })
}

fn retried_on(on: Vec<RetryOn>) -> Stage {
    let mut stage = stage("a", &[]).retry(3, "10s");
    stage.retry.as_mut().expect("given").on = on;
    stage
}

#[test]
fn only_failures_that_the_author_names_are_worth_another_attempt() {
    let on = || vec![RetryOn::ExitCode(75), RetryOn::Text("connection (reset|refused)".to_owned())];
    for (message, code, again) in [
        ("exit code 75", 75, true),
        ("curl: connection refused", 7, true),
        ("exit code 1", 1, false),
        ("timeout", 1, false),
    ] {
        let mut run = Run::of(vec![retried_on(on())]);
        run.answer("a", failure(message, code)).pass("10s");
        assert_eq!(run.asked() == "a:start", again, "{message}");
        assert_eq!(run.status().is_complete(), !again, "{message}");
    }
    let mut run = Run::of(vec![retried_on(Vec::new())]);
    run.answer("a", failure("exit code 1", 1)).pass("10s");
    assert_eq!(run.asked(), "a:start", "without a list, all are");
}

#[test]
fn a_lost_attempt_is_known_by_its_outputs_and_not_by_its_words() {
    let said = |outputs| {
        let message = "the connection was lost".to_owned();
        Outcome::Fail(Failure { message, retryable: true, outputs: map(outputs), on_failure: None })
    };
    for (outputs, again) in [(json!({"lost": true}), true), (json!({"lost": "true"}), false), (json!({}), false)] {
        let mut run = Run::of(vec![retried_on(vec![RetryOn::Text("lost".to_owned())])]);
        run.answer("a", said(outputs)).pass("10s");
        assert_eq!(run.asked() == "a:start", again);
    }
}

#[test]
fn a_timeout_that_is_worth_another_attempt_is_that_of_each() {
    let mut run = Run::of(vec![retried_on(vec![RetryOn::Text("timeout".to_owned())]).timeout("1m")]);
    for _ in 0..2 {
        run.pass("1m");
        assert_eq!(run.asked(), "a:cancel(timeout)");
        run.cancelled("a");
        assert_eq!((run.stages().as_str(), run.asked().as_str()), ("a=RUNNING", ""));
        run.pass("20s");
        assert_eq!(run.asked(), "a:start");
    }
    run.pass("1m").cancelled("a");
    assert_eq!(
        (run.status(), run.error("a")),
        (
            Status::Terminal,
            "timed out after 1m; the attempt before failed: timed out after 1m; the attempt before failed: timed out after 1m"
        )
    );
    // Another failure isn't.
    let mut run = Run::of(vec![retried_on(vec![RetryOn::Text("timeout".to_owned())]).timeout("1m")]);
    run.answer("a", failure("exit code 1", 1));
    assert_eq!(run.status(), Status::Terminal);
}

fn finally(id: &str, needs: &[&str]) -> Stage {
    let mut stage = stage(id, needs);
    stage.finally = true;
    stage
}

fn with_an_end() -> Pipeline {
    pipeline(vec![stage("a", &[]), stage("b", &["a"]), finally("tidy", &[]), finally("tell", &["tidy"])])
}

#[test]
fn what_runs_at_the_end_runs_after_everything_else() {
    let mut run = Run::of_pipeline(with_an_end());
    assert_eq!(run.asked(), "a:start");
    run.done("a").done("b");
    assert_eq!(run.asked(), "tidy:start");
    run.done("tidy").done("tell");
    assert_eq!((run.status(), run.text().as_str()), (Status::Succeeded, "Succeeded in 0ms"));
}

#[test]
fn it_runs_after_a_failure_too_and_after_one_of_its_own() {
    let mut run = Run::of_pipeline(with_an_end());
    run.fail("a");
    assert_eq!((run.status(), run.asked().as_str()), (Status::Running, "tidy:start"));
    run.fail("tidy");
    assert_eq!(run.asked(), "tell:start", "whatever became of what is before it");
    run.done("tell");
    assert_eq!((run.status(), run.text().as_str()), (Status::Terminal, "Failed: a, exit code 1"));
}

#[test]
fn it_runs_after_a_cancellation_and_after_the_pipelines_timeout() {
    let mut run = Run::of_pipeline(with_an_end());
    run.cancel("ann");
    assert_eq!(run.asked(), "a:cancel");
    run.cancelled("a");
    assert_eq!(run.asked(), "tidy:start");
    run.crash();
    assert_eq!(run.asked(), "tidy:recovered", "a crash changes nothing");
    run.done("tidy").done("tell");
    assert_eq!((run.status(), run.text().as_str()), (Status::Canceled, "Cancelled by ann"));
    assert_eq!(run.stages(), "a=CANCELED b=NOT_STARTED tidy=SUCCEEDED tell=SUCCEEDED");

    let mut limited = with_an_end();
    limited.timeout = Some(span("10m"));
    let mut run = Run::of_pipeline(limited);
    run.pass("10m").cancelled("a").done("tidy").done("tell");
    assert_eq!(run.status(), Status::Terminal);
}

#[test]
fn its_failure_fails_an_execution_that_was_good() {
    let mut run = Run::of_pipeline(with_an_end());
    run.done("a").done("b").fail("tidy").done("tell");
    assert_eq!((run.status(), run.text().as_str()), (Status::Terminal, "Failed: tidy, exit code 1"));
    let mut lenient = with_an_end();
    lenient.stages[2].on_failure = OnFailure::Ignore;
    let mut run = Run::of_pipeline(lenient);
    run.done("a").done("b").fail("tidy").done("tell");
    assert_eq!(run.status(), Status::Succeeded);
}

#[test]
fn it_is_bounded_by_a_timeout_of_its_own() {
    let mut run = Run::of_pipeline(with_an_end());
    run.fail("a").pass("9m").cancel("ann");
    assert_eq!(run.asked(), "tidy:start", "nobody stops it");
    run.pass("1m").cancelled("tidy");
    assert_eq!(run.error("tidy"), "timed out after 10m");
    run.done("tell");
    assert_eq!(run.status(), Status::Terminal);
}

#[test]
fn it_knows_how_the_execution_will_have_ended() {
    let told = |failed: bool| {
        let mut pipeline = pipeline(vec![stage("a", &[]), finally("tell", &[]).when("execution.status == 'TERMINAL'")]);
        pipeline.name = "p".parse().expect("a name");
        let mut run = Run::of_pipeline(pipeline);
        if failed {
            run.fail("a")
        } else {
            run.done("a")
        };
        run.stages()
    };
    assert_eq!(told(true), "a=TERMINAL tell=RUNNING");
    assert_eq!(told(false), "a=SUCCEEDED tell=SKIPPED");
}

#[test]
fn after_a_restart_it_runs_again() {
    let mut run = Run::of_pipeline(with_an_end());
    run.done("a").fail("b").done("tidy").done("tell").restart(None);
    assert_eq!(
        (run.stages().as_str(), run.asked().as_str()),
        ("a=SUCCEEDED b=RUNNING tidy=NOT_STARTED tell=NOT_STARTED", "b:start")
    );
    run.done("b").done("tidy").done("tell");
    assert_eq!(run.status(), Status::Succeeded);
}

#[tokio::test]
async fn an_execution_that_nothing_will_wake_is_reported_also_after_a_restart() {
    let house = House::new().await;
    let forlorn = house.submit(pipeline(vec![stage("a", &[]).fields(json!({"do": "wait-for-nobody"}))])).await;
    let asks = house.submit(pipeline(vec![stage("b", &[]).of("ask")])).await;
    let view = house.until(forlorn, "its wait", |view| view.stranded.is_some()).await;
    let told = "nothing will wake it: stage a waits for a word, with no time at which it goes on";
    assert_eq!(view.stranded.as_deref(), Some(told));
    house.until(asks, "the question", |view| view.stages[0].waiting_for.is_some()).await;
    assert_eq!(house.view(asks).await.stranded, None, "a person will");
    let counted = async |house: &House, count: usize| {
        let handle = house.handle();
        patiently("the count", async {
            while handle.stranded() != count {
                house.clock.advance(std::time::Duration::from_secs(60));
                tokio::task::yield_now().await;
            }
        })
        .await;
    };
    counted(&house, 1).await;
    let house = house.crash().await;
    counted(&house, 1).await;
    house.handle().cancel(forlorn, "ann", None).await.expect("taken");
    house.until_complete(forlorn).await;
    counted(&house, 0).await;
}

#[tokio::test]
async fn a_pause_survives_a_crash_and_needs_no_memory() {
    let house = House::new().await;
    let id = house.submit(pipeline(vec![stage("a", &[]).fields(json!({"do": "hang"})), stage("b", &["a"])])).await;
    house.outside.until_asked("a.1 start").await;
    house.handle().pause(id, "ann").await.expect("paused");
    house.outside.open("a");
    house.until(id, "the end of what runs", |view| stage_status(view, "a") == Status::Succeeded).await;
    let house = house.crash().await;
    let view = house.view(id).await;
    assert_eq!((view.status, view.paused.expect("paused").by.as_str()), (Status::Paused, "ann"));
    assert_eq!(house.handle().in_memory(), 0);
    assert_eq!(house.outside.count("b.1 start"), 0);
    house.handle().resume(id, "bob").await.expect("resumed");
    assert_eq!(house.until_complete(id).await.status, Status::Succeeded);
    let error = house.handle().resume(id, "bob").await.expect_err("it has ended");
    assert!(matches!(error, EngineError::Complete(_)), "{error}");
}
