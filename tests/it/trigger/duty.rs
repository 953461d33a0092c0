//! Triggers that are begun, dropped and begun again: what others did meanwhile is seen, nothing is lost, and nothing is
//! done twice.

use std::time::Duration;

use longboat::model::{CauseKind, CommitSha, Status};
use longboat::store::{Accepted, Append};
use longboat::trigger::{Noticed, TriggerOptions};
use serde_json::json;

use super::world::{ON_MAIN, World, file, follow, push};
use crate::support::git_http::GitHttp;
use crate::support::repo::Repo;

const MAIN: &str = "refs/heads/main";

/// A repository behind HTTP, and a process that isn't on duty yet.
struct Setup {
    work: Repo,
    bare: Repo,
    world: World,
    _server: GitHttp,
}

impl Setup {
    async fn new(triggers: &str) -> Self {
        let (work, bare) = (Repo::new(), Repo::bare());
        work.write(".longboat/shop.yaml", file("shop", triggers)).commit("One");
        work.push_to(&bare);
        let server = GitHttp::start(bare.root(), None).await;
        let specs = vec![follow("acme/shop", server.url("shop.git"))];
        let world = World::shared(specs, TriggerOptions::default()).await;
        Self { work, bare, world, _server: server }
    }

    fn commit(&self, message: &str) -> CommitSha {
        let commit = self.work.commit(message);
        self.work.push_to(&self.bare);
        commit
    }
}

#[tokio::test]
async fn whoever_is_off_duty_takes_up_what_is_told_and_leaves_it_to_the_other() {
    let setup = Setup::new(ON_MAIN).await;
    let world = &setup.world;
    let one = setup.work.head();
    world.duty().begin().await;
    world.seen("acme/shop").await;
    world.duty().end();
    let two = setup.commit("Two");
    let noticed = world.notice(push(MAIN, Some(&one), Some(&two))).await;
    assert!(matches!(noticed, Noticed::Accepted(Accepted::New(_))), "{noticed:?}");
    assert_eq!(world.said(&two).await, ["longboat/validate: Pending Checking"], "it knows what the other one found");
    // A look would come by now.
    for _ in 0..50 {
        world.clock.advance(Duration::from_secs(10));
        tokio::task::yield_now().await;
    }
    assert_eq!(world.started().await, []);
    assert!(world.store.next_inbox_due().await.expect("reads").is_some(), "it waits for whoever is on duty");
    world.duty().begin().await;
    world.until("it is worked off", async |world| world.started().await.len() == 1).await;
    let said = world.said(&two).await;
    assert!(said.contains(&"longboat/validate: Success 1 pipeline valid".to_owned()), "{said:?}");
    world.triggers.shutdown().await;
}

#[tokio::test]
async fn dropped_anywhere_and_begun_again_each_push_runs_once_and_in_order() {
    let setup = Setup::new(ON_MAIN).await;
    let world = &setup.world;
    world.duty().begin().await;
    world.seen("acme/shop").await;
    let mut pushed = vec![setup.work.head()];
    for number in 0..12 {
        let commit = setup.commit(&format!("Change {number}"));
        // Some are told, others have to be found; either way nobody is there for long.
        if number % 2 == 0 {
            world.notice(push(MAIN, pushed.last(), Some(&commit))).await;
        }
        world.duty().end();
        world.duty().begin().await;
        for _ in 0..fastrand::u32(0..400) {
            world.clock.advance(Duration::from_millis(50));
            tokio::task::yield_now().await;
        }
        if number % 2 == 1 {
            // Each is seen by somebody before the next one comes: what nobody saw, nobody can run.
            world.until_later("it is noticed", async |world| noticed(world, &commit).await).await;
        }
        pushed.push(commit);
    }
    let last = pushed.last().expect("one").clone();
    world.until_later("the last one is settled", async |world| world.was_settled(&last).await).await;
    let started: Vec<CommitSha> = world.started().await.into_iter().map(|(_, commit)| commit).collect();
    assert_eq!(started, pushed[1..], "each once, in their order");
    let said = valid(world).await;
    for commit in &pushed[1..] {
        assert_eq!(said.iter().filter(|other| *other == commit).count(), 1, "{commit} is told once: {said:?}");
    }
    world.triggers.shutdown().await;
}

/// Ends everything that was started, as the engine would: what has not begun stands for what is due after it.
async fn end_all(world: &World) {
    for live in world.store.live().await.expect("reads") {
        let now = Some(world.clock.now());
        let row = Append {
            key: live.key,
            shard: live.shard,
            seq: 1,
            at: world.clock.now(),
            body: json!({"v": 1, "e": []}).to_string(),
            status: Status::Succeeded,
            due_at: None,
            started_at: now,
            ended_at: now,
            report: None,
            revives: false,
        };
        world.store.append(vec![row]).await.expect("appends");
    }
}

/// The commits that were called valid, as often as they were.
async fn valid(world: &World) -> Vec<CommitSha> {
    let mut commits = Vec::new();
    loop {
        let due = world.store.due_outbox(500).await.expect("reads");
        if due.is_empty() {
            return commits;
        }
        let ids: Vec<_> = due.iter().map(|entry| entry.id).collect();
        let statuses = due.into_iter().filter_map(|entry| entry.message.status().cloned());
        commits.extend(statuses.filter(|status| status.description == "1 pipeline valid").map(|one| one.target.commit));
        world.store.outbox_sent(&ids).await.expect("writes");
    }
}

async fn noticed(world: &World, commit: &CommitSha) -> bool {
    let heads = world.store.heads(&super::world::repository("acme/shop")).await.expect("reads");
    heads.iter().any(|head| head.commit.as_ref() == Some(commit))
}

#[tokio::test]
async fn a_first_sight_that_is_dropped_is_told_by_the_next_one_and_once() {
    for _ in 0..5 {
        let setup = Setup::new(ON_MAIN).await;
        let world = &setup.world;
        for _ in 0..3 {
            world.duty().begin().await;
            for _ in 0..fastrand::u32(0..300) {
                tokio::task::yield_now().await;
            }
            world.duty().end();
        }
        world.duty().begin().await;
        world.seen("acme/shop").await;
        world.until("it is published", async |world| world.published().await == ["shop/deploy"]).await;
        world.triggers.shutdown().await;
        assert_eq!(valid(world).await, [setup.work.head()]);
        assert_eq!(world.started().await, [], "what was there is no change");
    }
}

#[tokio::test]
async fn a_time_table_that_changes_hands_fires_once_for_each_moment() {
    let setup = Setup::new("[{type: cron, schedule: '0 * * * *'}]").await;
    let world = &setup.world;
    world.duty().begin().await;
    world.seen("acme/shop").await;
    world.until("the table is known", async |world| !world.store.cron_states().await.expect("reads").is_empty()).await;
    let hours = 6;
    for hour in 1..=hours {
        world.clock.advance(Duration::from_secs(3600));
        // It may fire before it is dropped, in the middle, or never.
        for _ in 0..fastrand::u32(0..60) {
            tokio::task::yield_now().await;
        }
        world.duty().end();
        world.duty().begin().await;
        world.until("it has fired", async |world| world.started().await.len() >= hour).await;
        end_all(world).await;
    }
    let executions = world.executions().await;
    let mut moments: Vec<_> = executions.iter().map(|one| one.trigger.scheduled_time).collect();
    assert!(executions.iter().all(|one| one.trigger.kind == CauseKind::Cron));
    moments.dedup();
    assert_eq!((executions.len(), moments.len()), (hours, hours));
    world.triggers.shutdown().await;
}

#[tokio::test]
async fn whoever_is_not_told_of_the_end_of_its_term_publishes_nothing() {
    let setup = Setup::new(ON_MAIN).await;
    let world = &setup.world;
    world.duty().begin().await;
    world.seen("acme/shop").await;
    world.duty().pass_on().await;
    let one = setup.work.head();
    let two = setup.commit("Two");
    world.notice(push(MAIN, Some(&one), Some(&two))).await;
    for _ in 0..100 {
        world.clock.advance(Duration::from_secs(5));
        tokio::task::yield_now().await;
    }
    assert_eq!(world.started().await, [], "the other one's word counts");
    // It is told, and is on duty again.
    world.duty().begin().await;
    world.until("it is worked off", async |world| world.started().await.len() == 1).await;
    world.triggers.shutdown().await;
}
