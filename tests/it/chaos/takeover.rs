//! A replica that dies, hangs or loses the database is replaced within ten seconds: from the fault to the first journal row
//! that another one writes about its executions.

use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::{Connection as _, PgConnection};

use super::fleet::{Fleet, NAMES};
use crate::journey::world::World;
use crate::support::postgres::with_database;
use crate::support::wait::eventually_async;

/// The promise.
const WITHIN: Duration = Duration::from_secs(10);

/// How long anything else may take.
const LIMIT: Duration = Duration::from_secs(60);

/// As many as there are shards, so that each replica has some of them.
const EXECUTIONS: usize = 64;

/// An execution that writes something every second.
const FILE: &str = r#"
application: shop
pipelines:
  - name: tick
    stages:
      - {id: s0, type: wait, waitTime: 1}
{% for number in range(1, 18) %}
      - {id: "s{{ number }}", type: wait, needs: ["s{{ number - 1 }}"], waitTime: 1}
{% endfor %}
"#;

enum Fault {
    Kill,
    Stop,
    Cut,
}

async fn replaced(fault: Fault) {
    with_database(|url| async move {
        let world = World::new().await;
        let mut fleet = Fleet::start(&world, &url).await;
        let commit = world.push(&[(".longboat/shop.yaml", FILE)], "First").await;
        world.settled(&commit, "longboat/validate").await;
        for _ in 0..EXECUTIONS {
            let start = fleet.server(0).post("/api/v1/applications/shop/pipelines/tick/executions", json!({})).await;
            assert_eq!(start.0, 201, "{}", start.1);
        }
        let mut database = PgConnection::connect(&url).await.expect("connects");
        // Which shards are the victim's, and that its executions run.
        let victim = 1;
        let shards: Vec<i64> = loop {
            let shards: Vec<i64> = sqlx::query_scalar(
                "SELECT s.shard FROM shard s JOIN replica r ON r.id = s.owner WHERE r.name = $1 AND EXISTS \
                 (SELECT 1 FROM execution e WHERE e.shard = s.shard AND e.live = 1 AND e.seq > 2) \
                 AND (SELECT COUNT(DISTINCT owner) FROM shard) = 3",
            )
            .bind(NAMES[victim])
            .fetch_all(&mut database)
            .await
            .expect("reads");
            if shards.len() > 3 {
                break shards;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };

        let began = Instant::now();
        match fault {
            Fault::Kill => fleet.kill(victim),
            Fault::Stop => fleet.pause(victim),
            Fault::Cut => fleet.cable(victim).swallow(),
        }
        let last: i64 = written(&mut database, &shards).await;
        let taken = eventually_async(LIMIT, "another replica goes on", || {
            let (url, shards) = (url.clone(), shards.clone());
            async move {
                let mut database = PgConnection::connect(&url).await.expect("connects");
                let owners: i64 = sqlx::query_scalar(
                    "SELECT COUNT(*) FROM shard s JOIN replica r ON r.id = s.owner WHERE s.shard = ANY($1) AND r.name <> $2",
                )
                .bind(&shards)
                .bind(NAMES[victim])
                .fetch_one(&mut database)
                .await
                .expect("reads");
                (owners > 0 && written(&mut database, &shards).await > last).then(|| began.elapsed())
            }
        })
        .await;
        eprintln!("replaced after {taken:?}");
        assert!(taken < WITHIN, "{taken:?}\n{}", fleet.logs());

        match fault {
            Fault::Kill => fleet.begin(victim),
            Fault::Stop => fleet.resume(victim),
            Fault::Cut => fleet.cable(victim).heal(false),
        }
        eventually_async(LIMIT, "every execution ends", || async {
            let list = fleet.server(0).get("/api/v1/executions?limit=100").await;
            let items = list["items"].as_array().expect("a list").clone();
            assert_eq!(items.len(), EXECUTIONS);
            items.iter().all(|item| item["status"] == "SUCCEEDED").then_some(())
        })
        .await;
        // Who was away is one of them again.
        eventually_async(LIMIT, "the shards are shared again", || async {
            let mut database = PgConnection::connect(&url).await.expect("connects");
            let shared: i64 = sqlx::query_scalar(
                "SELECT COUNT(*) FROM (SELECT r.name FROM shard s JOIN replica r ON r.id = s.owner \
                 GROUP BY r.name HAVING COUNT(*) >= 21) AS parts",
            )
            .fetch_one(&mut database)
            .await
            .expect("reads");
            (shared == 3).then_some(())
        })
        .await;
        fleet.stop();
    })
    .await;
}

/// How many journal rows there are about executions of these shards.
async fn written(database: &mut PgConnection, shards: &[i64]) -> i64 {
    sqlx::query_scalar("SELECT COUNT(*) FROM journal j JOIN execution e ON e.id = j.execution WHERE e.shard = ANY($1)")
        .bind(shards)
        .fetch_one(database)
        .await
        .expect("reads")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_killed_is_replaced() {
    replaced(Fault::Kill).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_hangs_is_replaced_and_comes_back() {
    replaced(Fault::Stop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_whose_network_swallows_everything_is_replaced_and_comes_back() {
    replaced(Fault::Cut).await;
}
