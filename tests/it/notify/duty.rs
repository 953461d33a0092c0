//! One reporter after the other: what happens to messages that are on their way when the duty changes hands.

use std::time::Duration;

use longboat::clock::{Clock, Timestamp};
use longboat::forge::Forges;
use longboat::model::StatusState::{Pending, Success};
use longboat::notify::{Reporter, ReporterOptions};
use longboat::store::Duty;

use super::{DEPLOY, SECOND, SHOP, World, deploy, name, sha, status_of, until};
use crate::support::duty::{ByHand, store_in};
use crate::support::fake_github::{FakeGitHub, Fault, TOKEN};

/// A world whose reporting is given and taken by hand.
struct Shared {
    world: World,
    duty: ByHand,
    _folder: tempfile::TempDir,
}

impl Shared {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let database = folder.path().join("longboat.db");
        let clock = Clock::manual(Timestamp::from_millis(1_700_000_000_000));
        let store = store_in(&database, &clock).await;
        let fake = FakeGitHub::start(clock.clone()).await;
        fake.add_repository(SHOP);
        fake.know_commits(SHOP, |sha| !sha.starts_with('e'));
        Self { duty: ByHand::new(Duty::Reports, &database), world: World { clock, store, fake }, _folder: folder }
    }

    /// One of the processes that may report.
    async fn reporter(&self, duty: &ByHand) -> Reporter {
        let mut forges = Forges::new();
        // What hangs here hangs until the test ends: a request that was given up would be tried again.
        forges.add(self.world.client_that_waits(TOKEN, SECOND * 60), [name(SHOP)]);
        let World { store, clock, .. } = &self.world;
        let options = ReporterOptions { grace: Duration::from_millis(50), ..ReporterOptions::default() };
        Reporter::start_in(duty.terms(), store.clone(), clock.clone(), forges, None, options).await.expect("starts")
    }

    fn another(&self) -> ByHand {
        ByHand::new(Duty::Reports, &self._folder.path().join("longboat.db"))
    }
}

#[tokio::test]
async fn whoever_takes_over_waits_for_what_the_former_may_have_sent() {
    let shared = Shared::new().await;
    let Shared { world, duty: first, .. } = &shared;
    let second = shared.another();
    let (one, two) = (shared.reporter(first).await, shared.reporter(&second).await);
    first.begin().await;
    world.fake.fail_next(Fault::HangBefore);
    world.say(vec![deploy(Pending, "Running")]).await;
    // Said before the first look, it waits for what others may have sent.
    world.pass_time_until(SECOND, "it is on its way", async || !world.fake.seen().is_empty()).await;
    first.end();
    world.say(vec![deploy(Success, "Succeeded in 1s")]).await;
    second.begin().await;
    // The first one's request is slow, and arrives when the second one has the duty.
    let passed = async |seconds: u32| {
        let from = world.clock.now();
        let wait = async || world.clock.now().since(from) >= SECOND * seconds;
        world.pass_time_until(SECOND, "time passes", wait).await;
    };
    passed(8).await;
    assert_eq!(world.fake.texts(&sha(1), DEPLOY), [""; 0], "nothing overtakes what may be on its way");
    world.posted_by_another(&deploy(Pending, "Running")).await;
    world.drain(&two).await;
    assert_eq!(world.fake.texts(&sha(1), DEPLOY), ["pending Running", "success Succeeded in 1s"]);
    one.shutdown().await;
    two.shutdown().await;
}

/// A reporter with a word on its way that was stopped (it isn't told), and another one that has said the last word since.
struct Overtaken {
    shared: Shared,
    first: Reporter,
    second: Reporter,
    _its_duty: ByHand,
}

impl Overtaken {
    /// `fault`: what becomes of the word on its way.
    async fn new(fault: Fault) -> Self {
        let shared = Shared::new().await;
        let Shared { world, duty, .. } = &shared;
        let another = shared.another();
        let (first, second) = (shared.reporter(duty).await, shared.reporter(&another).await);
        duty.begin().await;
        world.fake.fail_next(fault);
        world.say(vec![deploy(Pending, "Running")]).await;
        // Said before the first look, it waits for what others may have sent.
        world.pass_time_until(SECOND, "it is on its way", async || !world.fake.seen().is_empty()).await;
        world.say(vec![deploy(Success, "Succeeded in 1s")]).await;
        another.begin().await;
        world.drain(&second).await;
        assert_eq!(world.fake.texts(&sha(1), DEPLOY), ["success Succeeded in 1s"]);
        Self { shared, first, second, _its_duty: another }
    }

    /// The first one learns that it is off duty, and what arrived late does not stay the last word.
    async fn told(self) {
        let Self { shared, first, second, _its_duty } = self;
        let Shared { world, duty, .. } = &shared;
        duty.end();
        until("it tells what was on its way", async || super::waiting(&second).await == 1).await;
        world.drain(&second).await;
        let texts = world.fake.texts(&sha(1), DEPLOY);
        assert_eq!(texts, ["success Succeeded in 1s", "pending Running", "success Succeeded in 1s"]);
        first.shutdown().await;
        second.shutdown().await;
    }
}

#[tokio::test]
async fn what_arrives_after_the_last_word_does_not_stay_the_last_word() {
    let overtaken = Overtaken::new(Fault::HangBefore).await;
    // It goes on, its request arrives, and only then it learns that it is off duty.
    overtaken.shared.world.posted_by_another(&deploy(Pending, "Running")).await;
    overtaken.told().await;
}

/// The same, but the answer reaches the first one, too, before it learns that it is off duty: what it can't record then
/// counts as under way.
#[tokio::test]
async fn what_arrived_late_and_could_not_be_recorded_does_not_stay_the_last_word() {
    let overtaken = Overtaken::new(Fault::Gate).await;
    let (world, first) = (&overtaken.shared.world, &overtaken.first);
    world.fake.open_gate();
    until("it has arrived", async || world.fake.texts(&sha(1), DEPLOY).len() == 2).await;
    until("its answer was heard, and refused", async || super::forge_stats(first, "github").await.in_flight == 0).await;
    overtaken.told().await;
}

#[tokio::test]
async fn whoever_is_not_told_of_the_end_of_its_term_writes_nothing() {
    let shared = Shared::new().await;
    let Shared { world, duty, .. } = &shared;
    let reporter = shared.reporter(duty).await;
    duty.begin().await;
    world.say(vec![status_of(SHOP, &sha(2), DEPLOY, Success, "Succeeded in 1s")]).await;
    world.drain(&reporter).await;
    duty.pass_on().await;
    world.say(vec![deploy(Success, "Succeeded in 1s")]).await;
    world.fake.newest_is(&sha(1), DEPLOY, "success Succeeded in 1s").await;
    until("it was tried", async || {
        !world.store.due_outbox(10).await.expect("reads").is_empty() && super::waiting(&reporter).await == 1
    })
    .await;
    assert_eq!(super::waiting(&reporter).await, 1, "what became of it is the other one's to write");
    reporter.shutdown().await;
}

#[tokio::test]
async fn dropped_anywhere_and_begun_again_each_status_arrives_once_and_in_order() {
    let shared = Shared::new().await;
    let Shared { world, duty, .. } = &shared;
    let reporter = shared.reporter(duty).await;
    let commits = 8;
    for round in 0..3 {
        for commit in 1..=commits {
            // Each in a context of its own, so that none makes another one obsolete.
            let context = format!("{DEPLOY}/{round}");
            world.say(vec![status_of(SHOP, &sha(commit), &context, Success, "Succeeded in 1s")]).await;
        }
        duty.begin().await;
        // Somewhere in the middle: nobody knows where.
        for _ in 0..fastrand::u32(1..200) {
            world.clock.advance(SECOND);
            tokio::task::yield_now().await;
        }
        duty.end();
    }
    duty.begin().await;
    world.drain(&reporter).await;
    for round in 0..3 {
        for commit in 1..=commits {
            let texts = world.fake.texts(&sha(commit), &format!("{DEPLOY}/{round}"));
            assert_eq!(texts, ["success Succeeded in 1s"], "commit {commit}, round {round}");
        }
    }
    reporter.shutdown().await;
}
