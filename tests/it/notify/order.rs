//! Every status once, in order per commit and context, side by side otherwise.

use std::sync::Arc;
use std::time::Duration;

use longboat::forge::{Forges, PlainForge};
use longboat::model::Message;
use longboat::model::StatusState::{Failure, Pending, Success};
use longboat::notify::ReporterOptions;

use super::{DEPLOY, SHOP, World, at_once, deploy, forge_stats, name, sha, status_of, until, waiting};
use crate::support::fake_github::Fault;

#[tokio::test]
async fn statuses_arrive_in_order_with_their_page() {
    let world = World::new().await;
    let public_url = Some("https://cd.example/".to_owned());
    let reporter = world.reporter_with(ReporterOptions { public_url, ..ReporterOptions::default() }).await;
    for (state, text) in [(Pending, "Queued"), (Pending, "Running: bake (1 of 2)"), (Success, "Succeeded in 2m 10s")] {
        world.say(vec![deploy(state, text)]).await;
        let stands = format!("{} {text}", if state == Success { "success" } else { "pending" });
        world.fake.newest_is(&sha(1), DEPLOY, &stands).await;
    }
    let posted = world.fake.posted();
    assert_eq!(posted.len(), 3);
    assert_eq!(posted[0].target_url.as_deref(), Some("https://cd.example/executions/1"));
    until("all are counted", async || forge_stats(&reporter, "github").await.sent == 3).await;
    assert_eq!(waiting(&reporter).await, 0);
    reporter.shutdown().await;
}

#[tokio::test]
async fn without_a_public_address_there_is_no_link() {
    let world = World::new().await;
    let reporter = world.reporter().await;
    world.say(vec![deploy(Pending, "Queued")]).await;
    world.fake.newest_is(&sha(1), DEPLOY, "pending Queued").await;
    assert_eq!(world.fake.posted()[0].target_url, None);
    reporter.shutdown().await;
}

#[tokio::test]
async fn a_forge_gets_a_few_requests_at_once_and_a_context_one() {
    let world = World::new().await;
    world.fake.fail_always(Some(Fault::Gate));
    let options = ReporterOptions { per_forge: 3, ..ReporterOptions::default() };
    let reporter = world.reporter_with(options).await;
    let statuses = (1..=20).map(|number| status_of(SHOP, &sha(number), DEPLOY, Success, "Succeeded in 1s"));
    world.say(statuses.collect()).await;
    world.fake.gate_holds(3).await;
    until("three are counted", async || forge_stats(&reporter, "github").await.in_flight == 3).await;
    world.fake.fail_always(None);
    world.fake.open_gate();
    until("all have arrived", async || waiting(&reporter).await == 0).await;
    assert_eq!(world.fake.posted().len(), 20);
    assert_eq!(world.fake.most_under_way(), 3);

    // Of one context the second waits for the first, even if there is room.
    world.fake.fail_next(Fault::Gate);
    world.say(vec![deploy(Pending, "first")]).await;
    world.fake.gate_holds(1).await;
    world.say(vec![deploy(Success, "second")]).await;
    world.say(vec![status_of(SHOP, &sha(1), "longboat/validate", Success, "1 pipeline valid")]).await;
    world.fake.newest_is(&sha(1), "longboat/validate", "success 1 pipeline valid").await;
    assert_eq!(world.fake.texts(&sha(1), DEPLOY).last().map(String::as_str), Some("success Succeeded in 1s"));
    world.fake.open_gate();
    world.fake.newest_is(&sha(1), DEPLOY, "success second").await;
    let texts = world.fake.texts(&sha(1), DEPLOY);
    assert_eq!(texts[1..], ["pending first", "success second"]);
    reporter.shutdown().await;
}

#[tokio::test]
async fn a_backlog_of_any_length_goes_out_without_a_wait() {
    let world = World::new().await;
    let statuses = (1..=700).map(|number| status_of(SHOP, &sha(number), DEPLOY, Success, "Succeeded in 1s"));
    world.say(statuses.collect()).await;
    let reporter = world.reporter().await;
    // The clock stands still, so nothing here can wait for a time.
    until("all have arrived", async || waiting(&reporter).await == 0).await;
    assert_eq!(world.fake.posted().len(), 700);
    reporter.shutdown().await;
}

#[tokio::test]
async fn what_is_outdated_before_it_is_sent_is_dropped() {
    let world = World::new().await;
    world.fake.fail_always(Some(Fault::Answer(503)));
    let reporter = world.reporter().await;
    let running = (1..=30).map(|stage| deploy(Pending, &format!("Running: s{stage} ({stage} of 30)")));
    world.say(running.collect()).await;
    until("it was tried", async || forge_stats(&reporter, "github").await.last_error.is_some()).await;
    world.say(vec![deploy(Pending, "Running: last"), deploy(Failure, "Failed: last, exit code 1")]).await;
    world.fake.fail_always(None);
    world.drain(&reporter).await;
    let texts = world.fake.texts(&sha(1), DEPLOY);
    assert_eq!(texts, ["failure Failed: last, exit code 1"], "only what still holds");
    reporter.shutdown().await;
}

#[tokio::test]
async fn repositories_without_a_forge_count_as_told() {
    let world = World::new().await;
    let mut forges = Forges::new();
    forges.add(Arc::new(PlainForge::new("local")), [name("local/shop")]);
    let reporter = world.start(forges, at_once()).await;
    let mut told = reporter.subscribe();
    let status = status_of("local/shop", &sha(1), DEPLOY, Success, "Succeeded in 1s");
    world.say(vec![status.clone()]).await;
    let heard = tokio::time::timeout(Duration::from_secs(30), told.recv()).await;
    assert_eq!(heard.expect("in time").expect("a status"), Message::Status(status));
    until("it is counted", async || forge_stats(&reporter, "local").await.sent == 1).await;
    reporter.shutdown().await;
}

#[tokio::test]
async fn a_repository_that_left_the_configuration_holds_nobody_up() {
    let world = World::new().await;
    world.say(vec![status_of("acme/gone", &sha(1), DEPLOY, Success, "Succeeded in 1s")]).await;
    let reporter = world.reporter().await;
    world.say(vec![deploy(Success, "Succeeded in 1s")]).await;
    until("the outbox is empty", async || waiting(&reporter).await == 0).await;
    assert_eq!(world.fake.posted().len(), 1);
    reporter.shutdown().await;
}

#[tokio::test]
async fn the_newest_execution_of_a_commit_has_the_last_word() {
    let world = World::new().await;
    let (old, new) = (world.create().await, world.create().await);
    let reporter = world.reporter().await;
    world.fake.newest_is(&sha(1), DEPLOY, "pending Queued").await;
    world.append(new, 1, deploy(Pending, "Waiting for approval: prod")).await;
    world.fake.newest_is(&sha(1), DEPLOY, "pending Waiting for approval: prod").await;
    // The older run goes on and ends; the newer one waits, and may do so for days.
    world.append(old, 1, deploy(Failure, "Failed: bake, exit code 1")).await;
    until("the outbox is empty", async || waiting(&reporter).await == 0).await;
    let texts = world.fake.texts(&sha(1), DEPLOY);
    assert_eq!(texts, ["pending Queued", "pending Waiting for approval: prod"], "one `Queued` was outdated at once");
    world.append(new, 2, deploy(Success, "Succeeded in 3d")).await;
    world.fake.newest_is(&sha(1), DEPLOY, "success Succeeded in 3d").await;
    reporter.shutdown().await;
}
