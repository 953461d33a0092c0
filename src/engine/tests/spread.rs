//! Stages that become several: `matrix` and `forEach`.

use serde_json::{Value, json};

use super::house::House;
use super::world::*;
use crate::engine::Outcome;
use crate::engine::decide::Event;
use crate::engine::dry_run::dry_run;
use crate::engine::entry::Entry;
use crate::engine::view;
use crate::model::{Hours, OnFailure, Over, Spread, Stage, Status, Window};

/// A stage `id` for each of these items.
fn each(id: &str, needs: &[&str], items: Value) -> Stage {
    let over = Over::ForEach { items, name: "region".to_owned() };
    Stage { spread: Some(Spread { over, max_parallel: None, fail_fast: true }), ..stage(id, needs) }
}

fn at_once(mut stage: Stage, most: u32) -> Stage {
    stage.spread.as_mut().expect("a list").max_parallel = Some(most);
    stage
}

fn slowly(mut stage: Stage) -> Stage {
    stage.spread.as_mut().expect("a list").fail_fast = false;
    stage
}

fn matrix(id: &str, axes: Value) -> Stage {
    let over = Over::Matrix { axes: map(axes), include: Vec::new(), exclude: Vec::new() };
    Stage { spread: Some(Spread { over, max_parallel: None, fail_fast: true }), ..stage(id, &[]) }
}

fn field(run: &Run, id: &str) -> Value {
    run.state.fields(run.index(id)).get("x").cloned().unwrap_or_default()
}

#[test]
fn a_matrix_stage_becomes_one_for_each_combination_and_what_needs_it_waits_for_all() {
    let build = matrix("build", json!({"os": ["linux", "darwin"], "arch": ["amd64"]}))
        .fields(json!({"x": "${ matrix.os }/${ matrix.arch } ${ each.index }"}));
    let after = stage("after", &["build"]).fields(json!({
        "x": "${ stages.build.outputs.list.map(o, o.image) } ${ stages.build.outputs.instances['linux-amd64'].image }"
    }));
    let mut run = Run::of(vec![build, after]);
    assert_eq!(run.asked(), "build[linux-amd64]:start build[darwin-amd64]:start");
    assert_eq!(field(&run, "build[darwin-amd64]"), json!("darwin/amd64 1"));
    assert_eq!(run.text(), "Running: build (linux, amd64) and 1 more (1 of 3)");
    let image = |name: &str| Outcome::Done { outputs: map(json!({"image": name})) };
    run.answer("build[darwin-amd64]", image("d"));
    assert!(run.stages().starts_with("build=RUNNING after=NOT_STARTED"), "{}", run.stages());
    run.answer("build[linux-amd64]", image("l"));
    assert_eq!(run.asked(), "after:start");
    assert_eq!(field(&run, "after"), json!("[\"l\",\"d\"] l"));
    run.done("after");
    assert_eq!(run.status(), Status::Succeeded);
    let view = view::of_state(&run.state);
    let paths: Vec<&str> = view.stages.iter().map(|stage| stage.path.as_str()).collect();
    assert_eq!(paths, ["build", "build[linux-amd64]", "build[darwin-amd64]", "after"], "as people read them");
    let instances = view.stages[0].instances.clone().expect("it became several");
    assert_eq!((instances.total, instances.ended, instances.failed), (2, 2, 0));
    assert_eq!(view.stages[1].instance_of, Some(path("build")));
    assert_eq!(view.stages[1].instance, Some(json!({"os": "linux", "arch": "amd64"})));
}

#[test]
fn the_list_is_evaluated_when_the_stage_starts_and_never_again_after_a_crash() {
    let first = stage("first", &[]);
    let deploy =
        each("deploy", &["first"], json!("${ stages.first.outputs.regions }")).fields(json!({"x": "${ each.region }"}));
    let mut run = Run::of(vec![first, deploy]);
    run.answer("first", Outcome::Done { outputs: map(json!({"regions": ["eu", "us"]})) });
    assert_eq!(run.asked(), "deploy[0]:start deploy[1]:start");
    let spread = |run: &Run| run.entries().iter().filter(|entry| matches!(entry, Entry::Spread { .. })).count();
    run.done("deploy[0]").crash();
    assert_eq!((run.asked().as_str(), spread(&run)), ("deploy[1]:recovered", 1));
    assert_eq!(field(&run, "deploy[1]"), json!("us"));
    run.done("deploy[1]");
    assert_eq!(run.status(), Status::Succeeded);
}

#[test]
fn an_empty_list_skips_the_stage_and_what_comes_after_it_runs() {
    let mut run = Run::of(vec![each("deploy", &[], json!([])), stage("after", &["deploy"])]);
    assert_eq!((run.stages().as_str(), run.asked().as_str()), ("deploy=SKIPPED after=RUNNING", "after:start"));
    assert_eq!(view::of_state(&run.state).stages[0].instances.as_ref().map(|one| one.total), Some(0));
    run.done("after");
    assert_eq!(run.status(), Status::Succeeded);
}

#[test]
fn what_is_no_list_or_too_long_fails_the_stage_with_the_reason() {
    let run = Run::of(vec![each("deploy", &[], json!("${ parameters.version }"))]);
    assert_eq!(run.error("deploy"), "its `forEach` can't be used: `forEach` has to be a list, and is a text");
    assert_eq!(run.status(), Status::Terminal);
    let run = Run::of(vec![each("deploy", &[], json!("${ parameters.regions }"))]);
    assert!(
        run.error("deploy").starts_with("its `forEach` (`${ parameters.regions }`) can't be evaluated"),
        "{}",
        run.error("deploy")
    );
    let run = Run::of(vec![each("deploy", &[], json!(vec![1; 257]))]);
    assert!(run.error("deploy").contains("257 instances, and 256 is the most"), "{}", run.error("deploy"));
}

#[test]
fn no_more_run_at_once_than_the_stage_says() {
    let mut run = Run::of(vec![at_once(each("deploy", &[], json!(["a", "b", "c", "d"])), 2)]);
    assert_eq!(run.asked(), "deploy[0]:start deploy[1]:start");
    run.done("deploy[1]");
    assert_eq!(run.asked(), "deploy[0]:start deploy[2]:start");
    run.crash();
    assert_eq!(run.asked(), "deploy[0]:recovered deploy[2]:recovered", "nor after a crash");
    run.done("deploy[0]").done("deploy[2]").done("deploy[3]");
    assert_eq!(run.status(), Status::Succeeded);
}

#[test]
fn the_first_failure_ends_the_others_and_those_that_have_not_begun_never_do() {
    let mut run = Run::of(vec![at_once(each("deploy", &[], json!(["a", "b", "c"])), 2), stage("beside", &[])]);
    run.fail("deploy[1]");
    assert_eq!(run.asked(), "beside:start deploy[0]:cancel");
    assert!(
        run.stages().starts_with("deploy=RUNNING beside=RUNNING"),
        "what it started is ended first: {}",
        run.stages()
    );
    run.cancelled("deploy[0]");
    assert_eq!(run.error("deploy[0]"), "deploy[1] failed");
    assert_eq!(run.error("deploy"), "deploy[1]: exit code 1");
    run.cancelled("beside");
    assert_eq!(
        run.stages(),
        "deploy=TERMINAL beside=CANCELED deploy[0]=CANCELED deploy[1]=TERMINAL deploy[2]=CANCELED"
    );
    assert_eq!(run.text(), "Failed: deploy, deploy[1]: exit code 1");
}

#[test]
fn without_fail_fast_all_go_on_to_their_end_and_the_stage_says_how_many_failed() {
    let stages = vec![slowly(each("deploy", &[], json!(["a", "b", "c"]))), stage("after", &["deploy"])];
    let mut run = Run::of(stages);
    run.fail("deploy[0]");
    assert_eq!((run.status(), run.asked().as_str()), (Status::Running, "deploy[1]:start deploy[2]:start"));
    run.fail("deploy[2]").done("deploy[1]");
    assert_eq!(run.error("deploy"), "deploy[0]: exit code 1 (2 of 3 failed)");
    assert_eq!((run.status(), run.index("after")), (Status::Terminal, 1));
}

#[test]
fn what_a_failure_means_is_said_by_the_stage() {
    let ignored = slowly(each("deploy", &[], json!(["a", "b"])).on_failure(OnFailure::Ignore));
    let mut run = Run::of(vec![ignored, stage("after", &["deploy"])]);
    run.fail("deploy[0]").done("deploy[1]").done("after");
    assert_eq!(
        (run.stages().as_str(), run.status()),
        ("deploy=FAILED_CONTINUE after=SUCCEEDED deploy[0]=FAILED_CONTINUE deploy[1]=SUCCEEDED", Status::Succeeded)
    );
    let mut hasty = each("deploy", &[], json!(["a", "b"])).on_failure(OnFailure::Ignore);
    hasty.spread.as_mut().expect("a list").fail_fast = true;
    let mut run = Run::of(vec![hasty, stage("after", &["deploy"])]);
    run.fail("deploy[0]").cancelled("deploy[1]").done("after");
    assert_eq!(
        run.stages(),
        "deploy=FAILED_CONTINUE after=SUCCEEDED deploy[0]=FAILED_CONTINUE deploy[1]=CANCELED",
        "who is ended because of it is ignored with it"
    );
    assert_eq!(run.status(), Status::Succeeded);
    let branch = each("deploy", &[], json!(["a", "b"])).on_failure(OnFailure::HaltBranch);
    let mut run = Run::of(vec![branch, stage("after", &["deploy"]), stage("beside", &[])]);
    run.fail("deploy[0]").cancelled("deploy[1]").done("beside");
    assert_eq!(
        (run.stages().as_str(), run.status()),
        ("deploy=STOPPED after=NOT_STARTED beside=SUCCEEDED deploy[0]=STOPPED deploy[1]=CANCELED", Status::Succeeded),
        "only its branch ends"
    );
    let fails = each("deploy", &[], json!(["a"])).on_failure(OnFailure::HaltBranchThenFail);
    let mut run = Run::of(vec![fails, stage("beside", &[])]);
    run.fail("deploy[0]").done("beside");
    assert_eq!((run.status(), run.text().as_str()), (Status::Terminal, "Failed: deploy, deploy[0]: exit code 1"));
}

#[test]
fn each_instance_has_its_own_attempts_and_its_own_time() {
    let deploy = each("deploy", &[], json!(["a", "b"])).retry(2, "10s").timeout("1m");
    let mut run = Run::of(vec![slowly(at_once(deploy, 1))]);
    run.fail_retryable("deploy[0]").pass("10s");
    assert_eq!(run.asked(), "deploy[0]:start", "between its attempts it keeps its place");
    run.done("deploy[0]").pass("55s");
    assert_eq!(run.asked(), "deploy[1]:start", "the time of the other begins with it");
    run.pass("5s").cancelled("deploy[1]");
    assert_eq!(run.error("deploy[1]"), "timed out after 1m");
    assert_eq!(run.status(), Status::Terminal);
}

#[test]
fn a_condition_is_asked_once_or_for_each_instance_if_it_looks_at_what_is_different() {
    let run = Run::of(vec![each("deploy", &[], json!(["a", "b"])).when("parameters.count > 5")]);
    assert_eq!((run.stages().as_str(), run.status()), ("deploy=SKIPPED", Status::Succeeded));
    let mut run = Run::of(vec![each("deploy", &[], json!(["a", "b"])).when("each.region != 'a'")]);
    assert_eq!(run.stages(), "deploy=RUNNING deploy[0]=SKIPPED deploy[1]=RUNNING");
    run.done("deploy[1]");
    assert_eq!(run.stages(), "deploy=SUCCEEDED deploy[0]=SKIPPED deploy[1]=SUCCEEDED");
    let run = Run::of(vec![each("deploy", &[], json!(["a", "b"])).when("each.region == 'c'")]);
    assert_eq!(run.stages(), "deploy=SKIPPED deploy[0]=SKIPPED deploy[1]=SKIPPED");
}

#[test]
fn each_instance_waits_for_its_window_and_is_skipped_by_itself() {
    let mut deploy = each("deploy", &[], json!(["a", "b"]));
    let hours = vec![Hours::parse("09:00-10:00").expect("hours")];
    deploy.window = Some(Window { days: Vec::new(), hours, timezone: "UTC".to_owned(), jitter: None });
    let mut run = Run::of(vec![deploy]);
    assert_eq!(run.text(), "Waiting for the time window of deploy (a), until 1970-01-01T09:00:00.000Z");
    run.event(Event::Skip { path: path("deploy[1]"), by: "ann".to_owned() });
    assert_eq!(run.asked(), "deploy[1]:start");
    run.done("deploy[1]").pass("9h");
    assert_eq!(run.asked(), "deploy[0]:start");
}

#[test]
fn a_cancellation_ends_all_instances_and_a_pause_lets_no_further_one_start() {
    let mut run = Run::of(vec![at_once(each("deploy", &[], json!(["a", "b"])), 1)]);
    run.event(Event::Pause { by: "ann".to_owned() }).done("deploy[0]");
    assert_eq!((run.status(), run.asked().as_str()), (Status::Paused, ""));
    run.crash();
    assert_eq!((run.status(), run.asked().as_str()), (Status::Paused, ""), "it stays paused");
    run.event(Event::Resume { by: "bob".to_owned() });
    assert_eq!(run.asked(), "deploy[1]:start");
    run.cancel("ann");
    assert_eq!(run.asked(), "deploy[1]:cancel");
    run.cancelled("deploy[1]");
    assert_eq!(run.stages(), "deploy=CANCELED deploy[0]=SUCCEEDED deploy[1]=CANCELED");
    assert_eq!(run.status(), Status::Canceled);
    // Paused between two, nothing of it runs; it can be cancelled all the same.
    let mut run = Run::of(vec![at_once(each("deploy", &[], json!(["a", "b"])), 1)]);
    run.event(Event::Pause { by: "ann".to_owned() }).done("deploy[0]").cancel("ann");
    assert_eq!(run.stages(), "deploy=CANCELED deploy[0]=SUCCEEDED deploy[1]=CANCELED");
}

#[test]
fn one_instance_is_restarted_alone_and_what_comes_after_its_stage_with_it() {
    let stages = vec![slowly(each("deploy", &[], json!(["a", "b", "c"]))), stage("after", &["deploy"])];
    let mut run = Run::of(stages);
    run.done("deploy[0]").fail("deploy[1]").done("deploy[2]");
    assert_eq!(run.status(), Status::Terminal);
    run.restart(Some("deploy[1]"));
    assert_eq!(run.asked(), "deploy[1]:start", "the others keep what they yielded");
    assert_eq!(
        run.stages(),
        "deploy=RUNNING after=NOT_STARTED deploy[0]=SUCCEEDED deploy[1]=RUNNING deploy[2]=SUCCEEDED"
    );
    run.crash().done("deploy[1]").done("after");
    assert_eq!(run.status(), Status::Succeeded);
    let spreads = run.entries().iter().filter(|entry| matches!(entry, Entry::Spread { .. })).count();
    assert_eq!(spreads, 1, "the list is that of the first time");
    // After a success as well: what comes after runs again.
    run.restart(Some("deploy[0]")).done("deploy[0]");
    assert_eq!(run.asked(), "after:start");
}

#[test]
fn a_restart_of_what_failed_takes_along_whom_the_failure_ended() {
    let mut run = Run::of(vec![each("deploy", &[], json!(["a", "b", "c"]))]);
    run.done("deploy[0]").fail("deploy[1]").cancelled("deploy[2]");
    assert_eq!(run.status(), Status::Terminal);
    let mut other = Run::of(vec![each("deploy", &[], json!(["a", "b", "c"]))]);
    other.done("deploy[0]").fail("deploy[1]").cancelled("deploy[2]");
    run.restart(None);
    assert_eq!(run.asked(), "deploy[1]:start deploy[2]:start");
    other.restart(Some("deploy[1]"));
    assert_eq!(other.asked(), "deploy[1]:start deploy[2]:start");
    run.done("deploy[1]").done("deploy[2]");
    assert_eq!(run.status(), Status::Succeeded);
}

#[test]
fn a_restart_of_the_whole_evaluates_its_list_anew() {
    let first = stage("first", &[]);
    let deploy =
        each("deploy", &["first"], json!("${ stages.first.outputs.regions }")).fields(json!({"x": "${ each.region }"}));
    let regions = |list: Value| Outcome::Done { outputs: map(json!({"regions": list})) };
    let mut run = Run::of(vec![first, deploy]);
    run.answer("first", regions(json!(["eu", "us"]))).done("deploy[0]").done("deploy[1]");
    run.restart(Some("first")).answer("first", regions(json!(["ap"])));
    assert_eq!((run.asked().as_str(), field(&run, "deploy[0]")), ("deploy[0]:start", json!("ap")));
    let view = view::of_state(&run.state);
    let shown: Vec<_> = view.stages.iter().map(|stage| (stage.path.as_str(), stage.attempt)).collect();
    assert_eq!(shown, [("first", 2), ("deploy", 2), ("deploy[0]", 2)], "what is not in the list any more isn't there");
    run.restart(Some("deploy[1]"));
    assert!(run.last.refused.is_some());
    run.crash().done("deploy[0]");
    assert_eq!(run.status(), Status::Succeeded);
    run.restart(Some("deploy"));
    assert_eq!(run.asked(), "deploy[0]:start");
}

#[test]
fn one_that_waits_for_a_person_is_answered_by_its_own_path() {
    let mut run = Run::of(vec![each("ask", &[], json!(["eu", "us"])).of("ask")]);
    let wait = || Outcome::Wait { until: None, waiting_for: "approval".to_owned(), checkpoint: Value::Null };
    run.answer("ask[0]", wait()).answer("ask[1]", wait());
    assert!(run.state.only_waits() && run.state.stranded().is_none());
    run.judge("ask", json!("go"));
    assert!(run.last.refused.is_some(), "the stage itself asks nobody");
    run.judge("ask[1]", json!("go"));
    assert_eq!(run.asked(), "ask[1]:signal(\"go\")");
}

#[test]
fn at_the_end_whatever_happened_each_instance_runs() {
    let mut tidy = at_once(each("tidy", &[], json!(["a", "b"])), 1);
    tidy.finally = true;
    let mut run = Run::of(vec![stage("a", &[]), tidy]);
    run.fail("a").done("tidy[0]");
    assert_eq!(run.asked(), "tidy[1]:start", "also after a failure");
    run.cancel("ann").done("tidy[1]");
    assert_eq!(run.stages(), "a=TERMINAL tidy=SUCCEEDED tidy[0]=SUCCEEDED tidy[1]=SUCCEEDED");
    assert_eq!(run.status(), Status::Terminal);
}

#[test]
fn a_freeze_holds_an_instance_that_is_restarted() {
    let mut run = Run::of(vec![each("deploy", &[], json!(["a", "b"]))]);
    run.done("deploy[0]").fail("deploy[1]").freeze(Some("release week")).restart(None);
    assert_eq!((run.asked().as_str(), run.text().as_str()), ("", "Waiting: frozen, release week"));
    run.crash().freeze(None);
    assert_eq!(run.asked(), "deploy[1]:start");
}

#[test]
fn a_dry_run_tells_what_it_becomes_with_an_outcome_for_each_instance() {
    let told = |stages: Vec<Stage>, failing: &str| {
        let outcomes = std::collections::BTreeMap::from([(path(failing), Status::Terminal)]);
        dry_run(new_execution(pipeline(stages)), kinds(), &outcomes, crate::clock::Timestamp::from_millis(0))
    };
    let words = |told: &crate::model::DryRun| {
        let steps = told.steps.iter().map(|step| {
            let what = step.status.map_or_else(|| step.does.clone(), |status| status.to_string());
            let detail = step.detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
            format!("{} {what}{detail}", step.path)
        });
        steps.collect::<Vec<_>>().join(", ")
    };
    let stages = || vec![slowly(each("deploy", &[], json!(["eu", "us"]))), stage("after", &["deploy"])];
    let one = told(stages(), "deploy[1]").expect("runs");
    assert_eq!(
        words(&one),
        "deploy becomes: 2 instances, deploy[0] starts, deploy[1] starts, deploy[0] SUCCEEDED, \
         deploy[1] TERMINAL: chosen to fail, deploy TERMINAL: deploy[1]: chosen to fail"
    );
    assert_eq!((one.status, one.never), (Status::Terminal, vec![path("after")]));
    assert_eq!(one.steps[1].name, "deploy (eu)");
    let all = told(stages(), "deploy").expect("runs");
    assert!(words(&all).contains("deploy[0]: chosen to fail (2 of 2 failed)"), "{}", words(&all));
    let refused = told(stages(), "deploy[2]").expect_err("refused");
    assert_eq!(refused, "the pipeline has no stage `deploy[2]`; did you mean `deploy[0]`?");
    // A list that isn't known beforehand has one instance that stands for all.
    let later = vec![stage("a", &[]), each("deploy", &["a"], json!("${ stages.a.outputs.regions }"))];
    let unknown = told(later, "deploy[0]").expect("runs");
    assert!(words(&unknown).contains("one instance stands for all"), "{}", words(&unknown));
    assert_eq!(unknown.status, Status::Terminal);
}

#[tokio::test]
async fn an_older_program_leaves_an_execution_alone_that_has_such_a_stage() {
    let house = House::new().await;
    let needs = async |stages: Vec<Stage>| {
        let (id, _) = house.create(pipeline(stages)).await;
        house.store.execution(id).await.expect("readable").expect("there").needs
    };
    assert_eq!(needs(vec![stage("a", &[])]).await, 1);
    assert_eq!(needs(vec![stage("a", &[]), each("b", &[], json!(["eu"]))]).await, 2);
}

#[tokio::test]
async fn it_runs_in_a_real_engine_over_a_crash() {
    let house = House::new().await;
    let deploy = at_once(each("deploy", &[], json!(["eu", "us"])).fields(json!({"do": "hang"})), 1);
    let id = house.submit(pipeline(vec![deploy])).await;
    house.outside.until_asked("deploy[0].1 start").await;
    let house = house.crash().await;
    house.outside.until_asked("deploy[0].1 recovered").await;
    house.outside.open("deploy[0]");
    house.outside.until_asked("deploy[1].1 start").await;
    house.outside.open("deploy[1]");
    let view = house.until_complete(id).await;
    assert_eq!(view.status, Status::Succeeded);
    assert_eq!(
        view.stages.iter().map(|stage| stage.path.as_str()).collect::<Vec<_>>(),
        ["deploy", "deploy[0]", "deploy[1]"]
    );
}
