//! Time tables.

use std::time::Duration;

use super::Fixture;
use super::sample::{append, application, finish, pipeline_name, quiet_run};
use crate::clock::Timestamp;
use crate::model::{ExecutionId, NewExecution, Status};
use crate::store::{CronDone, CronKey, CronStep, Store};

fn key(table: &str) -> CronKey {
    CronKey { application: application("shop"), pipeline: pipeline_name("nightly"), table: table.to_owned() }
}

fn run(id: &str) -> NewExecution {
    NewExecution { id: ExecutionId::generate(), correlation_id: Some(id.to_owned()), ..quiet_run() }
}

fn step(from: Option<Timestamp>, until: Timestamp, start: Result<NewExecution, &str>) -> CronStep {
    CronStep { key: key("@daily UTC"), from, until, due: from.map(|_| until), start: start.map_err(str::to_owned) }
}

async fn only(store: &Store) -> crate::store::CronState {
    let states = store.cron_states().await.expect("read");
    assert_eq!(states.len(), 1, "{states:?}");
    states.into_iter().next().expect("one")
}

pub(super) async fn a_moment_that_was_due_starts_once(fixture: Fixture) {
    let store = fixture.open().await;
    let begin = fixture.clock.now();
    let due = begin.plus(Duration::from_secs(60));
    let new = CronStep { due: None, ..step(None, begin, Err("new")) };
    assert_eq!(store.cron_step(new.clone()).await.expect("written"), CronDone::Noted);
    assert_eq!(store.cron_step(new).await.expect("written"), CronDone::Overtaken, "it is known already");
    assert_eq!((only(&store).await.until, only(&store).await.last_due), (begin, None));

    let CronDone::Started(first) = store.cron_step(step(Some(begin), due, Ok(run("a")))).await.expect("written") else {
        panic!("it starts");
    };
    // A second process, or the same one that didn't get the answer.
    let again = store.cron_step(step(Some(begin), due, Ok(run("a")))).await.expect("written");
    assert_eq!(again, CronDone::Overtaken);
    assert_eq!(store.live().await.expect("read").len(), 1);
    let state = only(&store).await;
    let stored = store.execution_by_key(first).await.expect("read").expect("there");
    assert_eq!((state.until, state.last_due), (due, Some(due)));
    assert_eq!((state.execution, state.outcome), (Some(stored.execution.info.id), None));
}

pub(super) async fn what_has_not_begun_stands_for_what_comes_after(fixture: Fixture) {
    let store = fixture.open().await;
    let at = |minutes: u64| fixture.clock.now().plus(Duration::from_secs(60 * minutes));
    store.cron_step(CronStep { due: None, ..step(None, at(0), Err("new")) }).await.expect("written");
    let CronDone::Started(key) = store.cron_step(step(Some(at(0)), at(1), Ok(run("1")))).await.expect("written") else {
        panic!("it starts");
    };
    let waiting = store.cron_step(step(Some(at(1)), at(2), Ok(run("2")))).await.expect("written");
    let id = store.execution_by_key(key).await.expect("read").expect("there").execution.info.id;
    assert_eq!(waiting, CronDone::Waiting(id));
    let state = only(&store).await;
    assert_eq!((state.last_due, state.execution), (Some(at(2)), Some(id)));
    assert_eq!(state.outcome, Some(format!("the execution {id} has not begun yet")));

    store.append(vec![append(key, 1, Status::Running)]).await.expect("appends");
    let third = store.cron_step(step(Some(at(2)), at(3), Ok(run("3")))).await.expect("written");
    let CronDone::Started(third) = third else { panic!("what runs holds nothing up: {third:?}") };
    finish(&store, third, 1).await;
    let fourth = store.cron_step(step(Some(at(3)), at(4), Err("no such luck"))).await.expect("written");
    assert_eq!(fourth, CronDone::Noted);
    let state = only(&store).await;
    assert_eq!((state.last_due, state.outcome.as_deref()), (Some(at(4)), Some("no such luck")));
}

pub(super) async fn a_table_that_is_gone_is_forgotten(fixture: Fixture) {
    let store = fixture.open().await;
    let now = fixture.clock.now();
    for table in ["a", "b"] {
        let new = CronStep { key: key(table), ..step(None, now, Err("new")) };
        store.cron_step(new).await.expect("written");
    }
    store.forget_cron(vec![key("a")]).await.expect("written");
    assert_eq!(only(&store).await.key, key("b"));
}
