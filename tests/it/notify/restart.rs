//! What an earlier process sent without living to write it down, and stopping.

use std::time::Duration;

use longboat::model::StatusState::{Failure, Pending, Success};
use longboat::notify::ReporterOptions;

use super::{DEPLOY, SECOND, SHOP, World, deploy, forge_stats, sha, status_of};
use crate::support::fake_github::Fault;

#[tokio::test]
async fn what_an_earlier_process_sent_is_not_sent_again() {
    let world = World::new().await;
    let sent = deploy(Success, "Succeeded in 1s");
    let unsent = status_of(SHOP, &sha(2), DEPLOY, Failure, "Failed: bake, exit code 1");
    world.say(vec![sent.clone(), unsent.clone()]).await;
    // Killed between the forge's answer and the note in the store.
    world.posted_by_another(&sent).await;
    // The other commit has a status already, but another one.
    let queued = status_of(SHOP, &sha(2), DEPLOY, Pending, "Queued");
    world.posted_by_another(&queued).await;

    let reporter = world.reporter().await;
    world.drain(&reporter).await;
    assert_eq!(world.fake.texts(&sha(1), DEPLOY), ["success Succeeded in 1s"]);
    assert_eq!(world.fake.texts(&sha(2), DEPLOY), ["pending Queued", "failure Failed: bake, exit code 1"]);

    // What is new needs no look.
    let reads =
        |fake: &crate::support::fake_github::FakeGitHub| fake.seen().iter().filter(|seen| seen.method == "GET").count();
    assert_eq!(reads(&world.fake), 2);
    world.say(vec![status_of(SHOP, &sha(3), DEPLOY, Success, "Succeeded in 1s")]).await;
    world.fake.newest_is(&sha(3), DEPLOY, "success Succeeded in 1s").await;
    assert_eq!(reads(&world.fake), 2);
    reporter.shutdown().await;
}

#[tokio::test]
async fn what_a_killed_process_wrote_to_its_connection_is_awaited() {
    let world = World::new().await;
    world.say(vec![deploy(Success, "Succeeded in 1s")]).await;
    let reporter = world.reporter_with(ReporterOptions::default()).await;
    // What is new goes out meanwhile.
    world.say(vec![status_of(SHOP, &sha(2), DEPLOY, Success, "Succeeded in 1s")]).await;
    world.fake.newest_is(&sha(2), DEPLOY, "success Succeeded in 1s").await;
    // Only now the forge reads what the process before wrote, which lives no more.
    world.posted_by_another(&deploy(Success, "Succeeded in 1s")).await;
    world.drain(&reporter).await;
    assert_eq!(world.fake.texts(&sha(1), DEPLOY), ["success Succeeded in 1s"]);
    reporter.shutdown().await;
}

#[tokio::test]
async fn as_long_as_the_forge_cannot_be_read_nothing_is_sent_twice() {
    let world = World::new().await;
    let sent = deploy(Success, "Succeeded in 1s");
    world.say(vec![sent.clone()]).await;
    world.posted_by_another(&sent).await;
    world.fake.fail_always(Some(Fault::Answer(502)));
    let reporter = world.reporter().await;
    let tried = async || forge_stats(&reporter, "github").await.last_error.is_some();
    world.pass_time_until(SECOND, "it was tried", tried).await;
    world.fake.fail_always(None);
    world.drain(&reporter).await;
    assert_eq!(world.fake.texts(&sha(1), DEPLOY), ["success Succeeded in 1s"]);
    reporter.shutdown().await;
}

#[tokio::test]
async fn stopping_waits_for_what_is_under_way() {
    let world = World::new().await;
    let reporter = world.reporter().await;
    world.fake.fail_next(Fault::Gate);
    world.say(vec![deploy(Success, "Succeeded in 1s")]).await;
    world.fake.gate_holds(1).await;
    let stopped = tokio::spawn(reporter.shutdown());
    world.fake.open_gate();
    stopped.await.expect("it stops");
    assert_eq!(world.fake.posted().len(), 1);
    assert!(world.store.due_outbox(10).await.expect("read").is_empty(), "and it's written down");
}

#[tokio::test]
async fn stopping_does_not_wait_for_ever_and_the_next_process_looks() {
    let world = World::new().await;
    let mut options = ReporterOptions { grace: Duration::from_millis(50), ..ReporterOptions::default() };
    let reporter = world.reporter_with(options.clone()).await;
    world.fake.fail_next(Fault::HangAfter);
    world.say(vec![deploy(Success, "Succeeded in 1s")]).await;
    world.fake.newest_is(&sha(1), DEPLOY, "success Succeeded in 1s").await;
    reporter.shutdown().await;
    assert_eq!(world.store.outbox_waiting().await.expect("read"), 1, "nobody knows whether it arrived");

    options.grace = Duration::from_secs(5);
    let next = world.reporter_with(options).await;
    world.drain(&next).await;
    assert_eq!(world.fake.texts(&sha(1), DEPLOY), ["success Succeeded in 1s"]);
    next.shutdown().await;
}
