//! Time tables, by a clock that is moved.

use std::time::Duration;

use longboat::clock::Timestamp;
use longboat::git::GitOptions;
use longboat::model::{CauseKind, ExecutionKey, Status};
use longboat::store::{Append, CronState, Shard};
use longboat::trigger::TriggerOptions;

use super::world::{START, World, file, follow};
use crate::support::repo::Repo;

/// The clock begins at 2027-01-15 08:00:00 UTC.
const HOURLY: &str = "[{type: cron, schedule: '0 * * * *'}]";
const HOUR: Duration = Duration::from_secs(3600);

async fn world_of(repo: &Repo, triggers: &str) -> World {
    repo.write(".longboat/shop.yaml", file("shop", triggers)).commit("One");
    let options = TriggerOptions { cron_catch_up: Duration::from_secs(1800), ..TriggerOptions::default() };
    let specs = vec![follow("local/shop", repo.path().to_string_lossy())];
    let world = World::with(specs, options, GitOptions::default()).await;
    world.seen("local/shop").await;
    known(&world, 1).await;
    world
}

/// Waits until so many time tables are known.
async fn known(world: &World, count: usize) {
    world.until("the time tables are known", async |world| states(world).await.len() == count).await;
}

async fn states(world: &World) -> Vec<CronState> {
    world.store.cron_states().await.expect("reads")
}

async fn due(world: &World, at: Timestamp) -> CronState {
    let what = format!("{at} is worked off");
    world.until(&what, async |world| states(world).await.iter().any(|state| state.last_due == Some(at))).await;
    states(world).await.into_iter().next().expect("a state")
}

fn at(text: &str) -> Timestamp {
    Timestamp::from_rfc3339(text).expect("a moment")
}

/// Ends everything that was submitted, as the engine would.
async fn end_all(world: &World) {
    let keys: Vec<ExecutionKey> = std::mem::take(&mut *world.submitted.lock().expect("whole"));
    for key in keys {
        let row = Append {
            key,
            shard: Shard::of_key(key),
            seq: 1,
            at: world.clock.now(),
            body: "{}".to_owned(),
            status: Status::Succeeded,
            due_at: None,
            started_at: Some(world.clock.now()),
            ended_at: Some(world.clock.now()),
            report: None,
            revives: false,
        };
        world.store.append(vec![row]).await.expect("appends");
    }
}

#[tokio::test]
async fn what_is_due_runs_the_definition_in_force_and_says_nothing_on_the_commit() {
    assert_eq!(START, at("2027-01-15T08:00:00Z"));
    let repo = Repo::new();
    let world = world_of(&repo, HOURLY).await;
    let said = world.said(&repo.head()).await;
    world.clock.advance(HOUR - Duration::from_secs(1));
    assert!(world.started().await.is_empty());
    world.clock.advance(Duration::from_secs(1));
    let state = due(&world, at("2027-01-15T09:00:00Z")).await;
    let executions = world.executions().await;
    let [execution] = executions.as_slice() else { panic!("{executions:?}") };
    assert_eq!((state.execution, state.outcome), (Some(execution.id), None));
    let trigger = &execution.trigger;
    assert_eq!((trigger.kind, trigger.scheduled_time), (CauseKind::Cron, Some(at("2027-01-15T09:00:00Z"))));
    assert_eq!((trigger.branch.as_deref(), trigger.message.as_deref()), (Some("main"), Some("One")));
    assert_eq!(trigger.event.as_deref(), Some("0 * * * * UTC"));
    assert_eq!(execution.commit.as_ref(), Some(&repo.head()));
    assert_eq!((execution.report.as_ref(), execution.revision.is_some()), (None, true));
    assert!(world.said(&repo.head()).await.is_empty(), "before: {said:?}");
    world.until("it is submitted", async |world| world.submitted.lock().expect("whole").len() == 1).await;
}

#[tokio::test]
async fn the_outcome_is_reported_if_the_trigger_says_so() {
    let repo = Repo::new();
    let world = world_of(&repo, "[{type: cron, schedule: '@hourly', timezone: Europe/Berlin, report: true}]").await;
    world.said(&repo.head()).await;
    world.clock.advance(HOUR);
    due(&world, at("2027-01-15T09:00:00Z")).await;
    assert_eq!(world.said(&repo.head()).await, ["longboat/shop/deploy: Pending Queued"]);
}

#[tokio::test]
async fn of_what_was_missed_only_the_latest_runs_and_only_if_it_is_not_too_old() {
    let repo = Repo::new();
    let mut world = world_of(&repo, HOURLY).await;
    // Down for a night, up again at a quarter past five.
    world.triggers.shutdown().await;
    world.clock.advance(HOUR * 21 + Duration::from_secs(900));
    world.restart().await;
    due(&world, at("2027-01-16T05:00:00Z")).await;
    assert_eq!(world.started().await.len(), 1);
    end_all(&world).await;
    // And once more, up again at a quarter to: that is too late.
    world.triggers.shutdown().await;
    world.clock.advance(HOUR * 2 + Duration::from_secs(1800));
    world.restart().await;
    let state = due(&world, at("2027-01-16T06:00:00Z")).await;
    let outcome = state.outcome.expect("it says why");
    assert!(outcome.starts_with("missed: it was due at 2027-01-16 06:00 UTC"), "{outcome}");
    assert_eq!(world.started().await.len(), 1);
    world.clock.advance(Duration::from_secs(900));
    due(&world, at("2027-01-16T08:00:00Z")).await;
    assert_eq!(world.started().await.len(), 2, "and it goes on");
}

#[tokio::test]
async fn what_has_not_begun_stands_for_what_comes_after() {
    let repo = Repo::new();
    let world = world_of(&repo, HOURLY).await;
    for hour in 9..12 {
        world.clock.advance(HOUR);
        due(&world, at(&format!("2027-01-15T{hour:02}:00:00Z"))).await;
    }
    assert_eq!(world.started().await.len(), 1, "nothing runs it here, as in a freeze");
    end_all(&world).await;
    world.clock.advance(HOUR);
    due(&world, at("2027-01-15T12:00:00Z")).await;
    assert_eq!(world.started().await.len(), 2);
}

#[tokio::test]
async fn a_table_that_changes_begins_anew_and_one_that_goes_is_forgotten() {
    let repo = Repo::new();
    let world = world_of(&repo, HOURLY).await;
    world.clock.advance(Duration::from_secs(1200));
    repo.write(".longboat/shop.yaml", file("shop", "[{type: cron, schedule: '*/10 * * * *'}]")).commit("Two");
    world
        .until_later("the other table is known", async |world| {
            states(world).await.first().is_some_and(|state| state.key.table == "*/10 * * * * UTC")
        })
        .await;
    assert_eq!(states(&world).await.len(), 1);
    world.until_later("it is due", async |world| !world.started().await.is_empty()).await;
    assert_eq!(world.started().await[0].1, repo.head());
    repo.write(".longboat/shop.yaml", file("shop", "[]")).commit("Three");
    world.until_later("no table is known", async |world| states(world).await.is_empty()).await;
}

#[tokio::test]
async fn what_can_t_start_says_why() {
    let repo = Repo::new();
    let text =
        file("shop", HOURLY).replace("    triggers", "    parameters: [{name: mode, required: true}]\n    triggers");
    repo.write(".longboat/shop.yaml", text).commit("One");
    let world = World::new(vec![follow("local/shop", repo.path().to_string_lossy())]).await;
    world.seen("local/shop").await;
    known(&world, 1).await;
    world.clock.advance(HOUR);
    let state = due(&world, at("2027-01-15T09:00:00Z")).await;
    assert_eq!(state.outcome.as_deref(), Some("parameter `mode` is required and has no default"));
    assert!(world.started().await.is_empty());
}

#[tokio::test]
async fn the_built_in_module_for_nights_starts_its_pipeline_at_night() {
    let repo = Repo::new();
    let night = "[{use: std/nightly, with: {at: '02:30', timezone: Europe/Berlin, days: SAT}}]";
    let world = world_of(&repo, night).await;
    // The first Saturday is the 16th; Berlin is an hour ahead of UTC in January.
    world.clock.advance(HOUR * 17 + Duration::from_secs(29 * 60 + 30));
    assert!(world.started().await.is_empty());
    world.clock.advance(Duration::from_secs(31));
    due(&world, at("2027-01-16T01:30:00Z")).await;
    assert_eq!(world.started().await, [("shop/deploy".to_owned(), repo.head())]);
}
