//! Freezes: the rules, and the engine that heeds them.

use std::time::Duration;

use serde_json::json;

use super::house::*;
use super::world::*;
use crate::clock::Timestamp;
use crate::engine::EngineError;
use crate::engine::entry::Entry;
use crate::model::{ApplicationName, CauseKind, ExecutionId, ExecutionView, Freeze, NewExecution, Pipeline, Status};
use crate::store::Created;

fn one() -> Pipeline {
    pipeline(vec![stage("a", &[])])
}

#[test]
fn what_is_frozen_does_not_begin_and_says_why() {
    let mut run = Run::stored(one());
    run.freeze(Some("release week"));
    assert_eq!((run.status(), run.text().as_str()), (Status::NotStarted, "Waiting: frozen, release week"));
    assert_eq!((run.asked().as_str(), run.state.next_due(), run.state.only_waits()), ("", None, true));
    run.freeze(Some("audit"));
    assert_eq!(run.text(), "Waiting: frozen, audit");
    run.crash();
    assert_eq!(run.last.entries, [], "nothing new is said after a crash");
    run.pass("90d").freeze(None);
    assert_eq!((run.status(), run.asked().as_str()), (Status::Running, "a:start"));
    assert_eq!(run.last.entries[..2], [Entry::Release, Entry::Begin]);
    run.pass("10s").done("a");
    assert_eq!(run.text(), "Succeeded in 10s");
}

#[test]
fn what_runs_takes_no_notice() {
    let mut run = Run::of(vec![stage("a", &[]), stage("b", &["a"])]);
    run.freeze(Some("audit")).done("a").crash().done("b");
    assert_eq!(run.status(), Status::Succeeded);
    assert!(run.entries().iter().all(|entry| !matches!(entry, Entry::Hold(_))));
}

#[test]
fn what_is_held_can_be_cancelled() {
    let mut run = Run::stored(one());
    run.freeze(Some("audit")).cancel("ann");
    assert_eq!((run.status(), run.text().as_str()), (Status::Canceled, "Cancelled by ann"));
    assert!(run.state.held.is_none());
    run.freeze(None);
    assert_eq!(run.status(), Status::Canceled);
}

#[test]
fn a_restart_is_held_and_its_time_counts_from_the_end_of_the_freeze() {
    let mut limited = pipeline(vec![stage("a", &[]), stage("b", &["a"])]);
    limited.timeout = Some(span("10m"));
    let mut run = Run::of_pipeline(limited);
    run.done("a").fail("b").freeze(Some("audit")).restart(None);
    assert_eq!((run.status(), run.text().as_str()), (Status::Running, "Waiting: frozen, audit"));
    assert_eq!(run.stages(), "a=SUCCEEDED b=NOT_STARTED");
    run.crash().pass("2d").freeze(None);
    assert_eq!((run.stages().as_str(), run.asked().as_str()), ("a=SUCCEEDED b=RUNNING", "b:start"));
    run.pass("9m").done("b");
    assert_eq!(run.text(), "Succeeded in 9m");

    run.freeze(Some("audit")).restart(Some("a")).cancel("ann");
    assert_eq!((run.status(), run.stages().as_str()), (Status::Canceled, "a=NOT_STARTED b=NOT_STARTED"));
}

fn freeze(application: Option<&str>, reason: &str, until: Option<Timestamp>) -> Freeze {
    Freeze {
        application: application.map(|name| ApplicationName::parse(name).expect("a name")),
        reason: reason.to_owned(),
        by: "cat".to_owned(),
        since: Timestamp::from_millis(0),
        until,
    }
}

impl House {
    async fn freeze(&self, freeze: Freeze) {
        patiently("the freeze", self.handle().freeze(freeze)).await.expect("frozen");
    }

    async fn thaw(&self, application: Option<&str>) -> bool {
        let name = application.map(|name| ApplicationName::parse(name).expect("a name"));
        patiently("the thaw", self.handle().thaw(name.as_ref())).await.expect("thawed")
    }

    async fn held(&self, id: ExecutionId) -> ExecutionView {
        self.until(id, "the hold", |view| view.held.is_some()).await
    }

    async fn submit_execution(&self, new: NewExecution) -> ExecutionId {
        let id = new.id;
        let Created::New(key) = self.store.create(new).await.expect("stored") else { panic!("new") };
        self.handle().submit(key).await;
        id
    }

    async fn until_out_of_memory(&self) {
        let handle = self.handle();
        patiently("eviction", async {
            while handle.in_memory() > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn held_executions_survive_a_crash_and_begin_in_their_order() {
    let house = House::new().await;
    house.freeze(freeze(None, "release week", None)).await;
    let mut ids = Vec::new();
    for number in 0..12 {
        // By its stage each is known among what handlers were asked.
        let id = house.submit(pipeline(vec![stage(&format!("s{number}"), &[])])).await;
        let view = house.held(id).await;
        assert_eq!((view.status, view.description.as_str()), (Status::NotStarted, "Waiting: frozen, release week"));
        ids.push(id);
    }
    house.until_out_of_memory().await;
    let house = house.crash().await;
    house.until_out_of_memory().await;
    for id in &ids {
        assert_eq!(house.view(*id).await.description, "Waiting: frozen, release week");
    }
    assert!(house.outside.asked().is_empty());
    // The look at all executions, each minute, leaves them alone.
    house.clock.advance(Duration::from_secs(120));
    assert!(house.thaw(None).await);
    for id in &ids {
        assert_eq!(house.until_complete(*id).await.status, Status::Succeeded);
    }
    let expected: Vec<String> = (0..12).map(|number| format!("s{number}.1 start")).collect();
    assert_eq!(house.outside.asked(), expected);
    let said = house.said().await;
    assert_eq!(said.iter().filter(|text| *text == "Waiting: frozen, release week").count(), 12, "once each: {said:?}");
    assert!(!house.thaw(None).await, "there is none any more");
}

#[tokio::test]
async fn a_freeze_ends_when_its_time_is_over() {
    let house = House::new().await;
    let end = house.clock.now().plus(Duration::from_secs(3600));
    house.freeze(freeze(Some("shop"), "lunch", Some(end))).await;
    let id = house.submit(one()).await;
    assert_eq!(house.held(id).await.held.expect("held").until, Some(end));
    house.clock.advance(Duration::from_secs(3599));
    tokio::task::yield_now().await;
    assert_eq!(house.view(id).await.status, Status::NotStarted);
    house.clock.advance(Duration::from_secs(1));
    assert_eq!(house.until_complete(id).await.status, Status::Succeeded);

    // Also while nobody looks.
    let end = house.clock.now().plus(Duration::from_secs(60));
    house.freeze(freeze(None, "nap", Some(end))).await;
    let id = house.submit(one()).await;
    house.held(id).await;
    house.clock.advance(Duration::from_secs(61));
    let house = house.crash().await;
    assert_eq!(house.until_complete(id).await.status, Status::Succeeded);
}

#[tokio::test]
async fn a_freeze_is_about_its_application_and_the_one_that_ends_last_counts() {
    let house = House::new().await;
    house.freeze(freeze(Some("bank"), "audit", None)).await;
    let id = house.submit(one()).await;
    assert_eq!(house.until_complete(id).await.status, Status::Succeeded, "another application runs");

    let end = house.clock.now().plus(Duration::from_secs(60));
    house.freeze(freeze(None, "nap", Some(end))).await;
    house.freeze(freeze(Some("shop"), "release week", None)).await;
    let id = house.submit(one()).await;
    assert_eq!(house.held(id).await.held.expect("held").reason, "release week");
    assert!(house.thaw(Some("shop")).await);
    house.until(id, "the other freeze", |view| view.description == "Waiting: frozen, nap").await;
    assert!(house.thaw(None).await);
    assert_eq!(house.until_complete(id).await.status, Status::Succeeded);
}

#[tokio::test]
async fn children_and_whoever_goes_before_freezes_begin_at_once() {
    let house = House::new().await;
    house.freeze(freeze(None, "audit", None)).await;
    let mut child = new_execution(one());
    child.trigger.kind = CauseKind::Pipeline;
    child.trigger.parent = Some(parent());
    let mut over = new_execution(one());
    over.trigger.override_freeze = Some("ann".to_owned());
    for new in [child, over] {
        let id = house.submit_execution(new).await;
        assert_eq!(house.until_complete(id).await.status, Status::Succeeded);
    }
}

#[tokio::test]
async fn what_is_held_is_cancelled_and_what_runs_goes_on() {
    let house = House::new().await;
    let hangs = pipeline(vec![stage("a", &[]).fields(json!({"do": "hang"})), stage("b", &["a"])]);
    let running = house.submit(hangs).await;
    house.outside.until_asked("a.1 start").await;
    house.freeze(freeze(None, "audit", None)).await;
    let held = house.submit(one()).await;
    house.held(held).await;
    house.handle().cancel(held, "ann", None).await.expect("taken");
    assert_eq!(house.until_complete(held).await.status, Status::Canceled);
    house.outside.open("a");
    assert_eq!(house.until_complete(running).await.status, Status::Succeeded);
    let never = house.handle().restart(held, None, "bob", false).await.expect_err("it never began");
    assert!(matches!(never, EngineError::NeverBegan), "{never}");
}

#[tokio::test]
async fn a_restart_is_held_over_a_crash_unless_it_goes_before_freezes() {
    let house = House::new().await;
    let flaky = || pipeline(vec![stage("a", &[]).fields(json!({"do": "flaky"}))]);
    let (held, over) = (house.submit(flaky()).await, house.submit(flaky()).await);
    for id in [held, over] {
        assert_eq!(house.until_complete(id).await.status, Status::Terminal);
    }
    house.freeze(freeze(Some("shop"), "audit", None)).await;
    house.handle().restart(over, None, "bob", true).await.expect("restarts");
    let view = house.until_complete(over).await;
    assert_eq!((view.status, view.restarts[0].override_freeze), (Status::Succeeded, true));
    house.handle().restart(held, None, "bob", false).await.expect("restarts");
    assert_eq!(house.held(held).await.status, Status::Running);
    house.until_out_of_memory().await;
    let house = house.crash().await;
    house.until_out_of_memory().await;
    assert_eq!(house.view(held).await.description, "Waiting: frozen, audit");
    assert_eq!(house.outside.count("a.2 start"), 1);
    assert!(house.thaw(Some("shop")).await);
    let view = house.until_complete(held).await;
    assert_eq!((view.status, view.restarts[0].override_freeze), (Status::Succeeded, false));
}
