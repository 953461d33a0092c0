//! Several replicas of the real binary on a real PostgreSQL, while they are killed, stopped and cut off.

mod fleet;
mod plan;
mod takeover;
mod verdict;
mod work;

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::journey::world::World;
use crate::support::fake_github::Posted;
use crate::support::postgres::with_database;
use crate::support::wait::eventually_async;
use fleet::Fleet;

/// How long they are disturbed.
const CHAOS: Duration = Duration::from_secs(60);
/// How long what is left may take once all are well.
const LIMIT: Duration = Duration::from_secs(90);

/// The number of a plan: from `LONGBOAT_SEED`, or a new one.
fn seed() -> u64 {
    let given = std::env::var("LONGBOAT_SEED").ok().and_then(|seed| seed.parse().ok());
    given.unwrap_or_else(|| fastrand::u64(..1_000_000))
}

#[tokio::test(flavor = "multi_thread")]
async fn three_replicas_in_chaos_lose_nothing_and_repeat_nothing() {
    with_database(|url| async move {
        let seed = seed();
        let events = plan::plan(seed, CHAOS);
        let stops = events.iter().filter(|event| matches!(event.act, plan::Act::Pause)).count();
        eprintln!("LONGBOAT_SEED={seed} repeats this plan: {events:?}");
        let world = World::with("network: {allow: [127.0.0.1]}\n").await;
        let marks = world.folder().join("marks");
        std::fs::create_dir(&marks).expect("a folder");
        let (counter, counting) = work::Counter::start().await;
        let mut fleet = Fleet::start(&world, &url).await;
        let mut commits = vec![work::publish(&world, &marks, &counting).await];
        world.settled(&commits[0], "longboat/validate").await;

        let starts = tokio::spawn(work::start_all(fleet.addresses.clone(), CHAOS * 3 / 4));
        let judge = tokio::spawn(work::judge_all(fleet.addresses.clone()));
        let began = Instant::now();
        let mut events = events.into_iter().peekable();
        let mut pushes = 0;
        while began.elapsed() < CHAOS || events.peek().is_some() {
            while let Some(event) = events.next_if(|event| event.at <= began.elapsed()) {
                event.happen(&mut fleet);
            }
            // They are noticed by whoever polls.
            if pushes < work::PUSHES && began.elapsed() > CHAOS * pushes as u32 / work::PUSHES as u32 {
                pushes += 1;
                commits.push(world.push(&[("code", &pushes.to_string())], &format!("Change {pushes}")).await);
            }
            // The one thing here that is about real time: what happens, happens at its moment.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }

        tokio::time::timeout(LIMIT, starts).await.expect("in time").expect("all are started");
        let addresses = fleet.addresses.clone();
        let ended = |items: &[Value]| items.iter().all(|item| item["endTime"].is_string());
        let all = eventually_async(LIMIT, "every execution ends", || async {
            let (status, list) = addresses.ask(None, "/api/v1/executions?limit=500").await?;
            let items = list["items"].as_array().cloned().filter(|_| status == 200)?;
            (items.len() >= work::LEAST && ended(&items)).then_some(items)
        })
        .await;
        judge.abort();
        eprintln!("{} executions have ended after {:?}", all.len(), began.elapsed());
        eventually_async(LIMIT, "the last word about each commit arrives", || async {
            let all = commits.iter().flat_map(|commit| world.statuses(commit).into_values());
            let last = |statuses: Vec<_>| statuses.into_iter().next_back();
            all.filter_map(last).all(|status: Posted| status.state != "pending").then_some(())
        })
        .await;

        let notes = verdict::notes(&marks);
        let mut views = Vec::new();
        let mut wrong = Vec::new();
        for item in &all {
            let view =
                fleet.server(0).get(&format!("/api/v1/executions/{}", item["id"].as_str().expect("an id"))).await;
            wrong.extend(verdict::execution(&view, &notes, &counter));
            views.push(view);
        }
        wrong.extend(verdict::lane(&views));
        wrong.extend(verdict::children(&views));
        wrong.extend(verdict::statuses(&world, &commits, stops));
        assert!(wrong.is_empty(), "LONGBOAT_SEED={seed}\n{}\n{}", wrong.join("\n"), fleet.logs());
        fleet.stop();
    })
    .await;
}
