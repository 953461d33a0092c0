//! A forge that fails, refuses, limits, or is away.

use std::sync::Arc;
use std::time::Duration;

use longboat::forge::github::{GitHub, GitHubOptions};
use longboat::forge::{Forge, Forges};
use longboat::model::StatusState::{Pending, Success};
use longboat::notify::ReporterOptions;
use longboat::telemetry::{Snapshot, metrics};
use secrecy::SecretString;

use super::{DEPLOY, SECOND, SHOP, World, deploy, forge_stats, name, sha, status_of, until, waiting};
use crate::support::fake_github::{FakeGitHub, Fault, Limit, TOKEN};

#[tokio::test]
async fn a_lost_answer_is_no_second_status() {
    for fault in [Fault::BreakAfter, Fault::HangAfter, Fault::FailAfter] {
        let world = World::new().await;
        let reporter = world.reporter().await;
        world.fake.fail_next(fault.clone());
        world.say(vec![deploy(Pending, "Queued")]).await;
        world.drain(&reporter).await;
        world.say(vec![deploy(Success, "Succeeded in 1s")]).await;
        world.drain(&reporter).await;
        assert_eq!(world.fake.texts(&sha(1), DEPLOY), ["pending Queued", "success Succeeded in 1s"], "{fault:?}");
        let posts = world.fake.seen().iter().filter(|seen| seen.method == "POST").count();
        assert_eq!(posts, 2, "{fault:?}: the first was looked up, not sent again");
        reporter.shutdown().await;
    }
}

#[tokio::test]
async fn a_request_that_was_lost_is_sent_again() {
    for fault in [Fault::BreakBefore, Fault::HangBefore, Fault::Answer(500)] {
        let world = World::new().await;
        let reporter = world.reporter().await;
        world.fake.fail_next(fault.clone());
        world.say(vec![deploy(Success, "Succeeded in 1s")]).await;
        world.drain(&reporter).await;
        assert_eq!(world.fake.texts(&sha(1), DEPLOY), ["success Succeeded in 1s"], "{fault:?}");
        reporter.shutdown().await;
    }
}

#[tokio::test]
async fn a_forge_that_often_fails_gets_every_status_once_and_in_order() {
    for fault in [Fault::Answer(500), Fault::BreakAfter] {
        let world = World::new().await;
        world.fake.fail_every(3, fault);
        let reporter = world.reporter().await;
        for round in 0..5 {
            let round =
                (1..=10).map(|number| status_of(SHOP, &sha(number), DEPLOY, Pending, &format!("round {round}")));
            world.say(round.collect()).await;
            world.drain(&reporter).await;
        }
        for number in 1..=10 {
            let expected: Vec<String> = (0..5).map(|round| format!("pending round {round}")).collect();
            assert_eq!(world.fake.texts(&sha(number), DEPLOY), expected);
        }
        reporter.shutdown().await;
    }
}

#[tokio::test]
async fn a_limit_is_obeyed_by_all_that_goes_to_the_forge() {
    for limit in [Limit::RetryAfter, Limit::Reset, Limit::TooMany] {
        let world = World::new().await;
        let reporter = world.reporter_with(ReporterOptions { per_forge: 1, ..ReporterOptions::default() }).await;
        world.fake.limit(limit, Duration::from_secs(120));
        let began = world.clock.now();
        world.say((1..=5).map(|number| status_of(SHOP, &sha(number), DEPLOY, Pending, "Queued")).collect()).await;
        until("it is at rest", async || forge_stats(&reporter, "github").await.paused_until.is_some()).await;
        assert_eq!(waiting(&reporter).await, 5);
        world.drain(&reporter).await;
        let seen = world.fake.seen();
        assert_eq!(seen[0].at, began);
        let early = seen[1..].iter().filter(|seen| seen.at < began.plus(Duration::from_secs(120))).count();
        assert_eq!(early, 0, "{limit:?}: {seen:#?}");
        assert_eq!(world.fake.posted().len(), 5);
        reporter.shutdown().await;
    }
}

#[tokio::test]
async fn a_forge_that_is_down_delays_no_other() {
    let world = World::new().await;
    let other = FakeGitHub::start(world.clock.clone()).await;
    other.add_repository("beta/app");
    other.know_commits("beta/app", |_| true);
    let beta: Arc<dyn Forge> = Arc::new(
        GitHub::new(GitHubOptions::new("beta", other.url(), SecretString::from(TOKEN)), world.clock.clone())
            .expect("set up"),
    );
    let mut forges = Forges::new();
    forges.add(world.github(), [name(SHOP)]);
    forges.add(beta, [name("beta/app")]);
    let reporter = world.start(forges, ReporterOptions::default()).await;

    // More than one look at the outbox shows, and each of them hangs.
    world.fake.fail_always(Some(Fault::HangBefore));
    world.say((1..=300).map(|number| status_of(SHOP, &sha(number), DEPLOY, Pending, "Queued")).collect()).await;
    until("the first has no room", async || forge_stats(&reporter, "github").await.in_flight == 8).await;
    world.say(vec![status_of("beta/app", &sha(1), DEPLOY, Success, "Succeeded in 1s")]).await;
    other.newest_is(&sha(1), DEPLOY, "success Succeeded in 1s").await;

    // And while it rests, the other one is told at once as well.
    until("the first rests", async || forge_stats(&reporter, "github").await.paused_until.is_some()).await;
    world.say(vec![status_of("beta/app", &sha(2), DEPLOY, Success, "Succeeded in 2s")]).await;
    other.newest_is(&sha(2), DEPLOY, "success Succeeded in 2s").await;
    let tries = world.fake.seen().len();
    // Eight at first, and one for each of the two failures that don't make a pattern yet.
    assert!(tries <= 10, "a forge that rests is left alone: {tries}");

    world.fake.fail_always(None);
    world.drain(&reporter).await;
    assert_eq!(world.fake.posted().len(), 300);
    assert_eq!(forge_stats(&reporter, "beta").await.last_error, None);
    reporter.shutdown().await;
}

#[tokio::test]
async fn an_outage_of_an_hour_costs_only_the_delay() {
    let world = World::new().await;
    let reporter = world.reporter().await;
    world.fake.fail_always(Some(Fault::Answer(502)));
    world.say((1..=20).map(|number| status_of(SHOP, &sha(number), DEPLOY, Success, "Succeeded in 1s")).collect()).await;
    let began = world.clock.now();
    let passed = || world.clock.now().since(began);
    world.pass_time_until(5 * SECOND, "an hour has passed", async || passed().as_secs() >= 3600).await;
    let tries = world.fake.seen().len();
    assert!((10..60).contains(&tries), "an hour's tries of a forge that is down: {tries}");
    world.fake.fail_always(None);
    let back = world.clock.now();
    world.drain(&reporter).await;
    assert_eq!(world.fake.posted().len(), 20);
    assert!(world.clock.now().since(back) <= Duration::from_secs(330), "soon after it came back");
    reporter.shutdown().await;
}

#[tokio::test]
async fn what_is_refused_is_given_up_and_the_next_goes_on() {
    let world = World::new().await;
    let reporter = world.reporter().await;
    world.fake.pretend_statuses(&sha(1), DEPLOY, 1000);
    world.say(vec![deploy(Success, "Succeeded in 1s")]).await;
    until("it was given up", async || forge_stats(&reporter, "github").await.failed == 1).await;
    assert_eq!(world.fake.seen().len(), 1, "at once");
    let stats = forge_stats(&reporter, "github").await;
    let (_, reason) = stats.last_error.expect("a reason");
    assert!(reason.contains("reached the maximum number of statuses"), "{reason}");
    assert_eq!(stats.paused_until, None);

    // A commit that GitHub doesn't know may be one that it doesn't know yet.
    let unknown = format!("e{}", &sha(1)[1..]);
    world.say(vec![status_of(SHOP, &unknown, DEPLOY, Success, "Succeeded in 1s")]).await;
    world.drain(&reporter).await;
    assert_eq!(world.fake.seen().len(), 6);
    until("it is counted", async || forge_stats(&reporter, "github").await.failed == 2).await;

    world.say(vec![status_of(SHOP, &sha(2), DEPLOY, Success, "Succeeded in 1s")]).await;
    world.fake.newest_is(&sha(2), DEPLOY, "success Succeeded in 1s").await;
    reporter.shutdown().await;
}

#[tokio::test]
async fn what_was_given_up_is_tried_again_after_a_rest_and_counted_for_its_forge() {
    let world = World::new().await;
    let reporter = world.reporter().await;
    let unknown = format!("e{}", &sha(1)[1..]);
    world.say(vec![status_of(SHOP, &unknown, DEPLOY, Success, "Succeeded in 1s")]).await;
    world.drain(&reporter).await;
    // What is counted is published after what is written.
    until("it is counted", async || forge_stats(&reporter, "github").await.failed == 1).await;
    world.fake.know_commits(SHOP, |_| true);
    let began = world.clock.now();
    let arrived = async || forge_stats(&reporter, "github").await.sent == 1;
    world.pass_time_until(10 * SECOND, "it arrived", arrived).await;
    assert_eq!(world.fake.texts(&unknown, DEPLOY), ["success Succeeded in 1s"]);
    let rested = world.clock.now().since(began).as_secs();
    assert!((3500..4100).contains(&rested), "an hour, and what is left until the next look: {rested}");
    let figures = metrics().encode(&Snapshot::default());
    let count = "longboat_reconciler_findings_total{forge=\"github\",kind=\"message\"} 1";
    assert!(figures.contains(count), "{figures}");
    reporter.shutdown().await;
}

#[tokio::test]
async fn a_wrong_token_is_tried_less_and_less() {
    let world = World::new().await;
    let mut forges = Forges::new();
    forges.add(world.client("ghp_wrong"), [name(SHOP)]);
    let reporter = world.start(forges, ReporterOptions::default()).await;
    let began = world.clock.now();
    world.say((1..=10).map(|number| status_of(SHOP, &sha(number), DEPLOY, Success, "x")).collect()).await;
    let passed = || world.clock.now().since(began);
    world.pass_time_until(2 * SECOND, "ten minutes have passed", async || passed().as_secs() >= 600).await;
    let tries = world.fake.seen().len();
    assert!(tries < 25, "no hammering with a wrong token: {tries}");
    let stats = forge_stats(&reporter, "github").await;
    assert!(stats.last_error.expect("a reason").1.contains("Bad credentials"));
    assert!(stats.failed > 0, "the first ones are given up");
    reporter.shutdown().await;
}
