//! Several servers on one PostgreSQL: whoever is asked answers, and what one of them does for all is done once.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use futures::StreamExt as _;
use serde_json::{Value, json};

use super::world::World;
use crate::support::postgres::{Gate, with_database};
use crate::support::server::Server;

/// A pipeline that waits for a person, and one that does nothing else.
const FILE: &str = r"
application: shop
pipelines:
  - name: deploy
    triggers: [{type: git, branches: [main]}]
    stages:
      - {id: before, type: noop}
      - {id: ask, type: manualJudgment, needs: [before]}
      - {id: after, type: noop, needs: [ask]}
";

/// A server that shares the database, with a folder of its own.
fn replica(world: &World, name: &str, database: &str) -> Server {
    configured(world, name, database, "")
}

fn configured(world: &World, name: &str, database: &str, more: &str) -> Server {
    world.serve_otherwise(&format!("{name}.yaml"), |text| {
        let text = text.replace("stateDir: state", &format!("stateDir: {name}, name: {name}"));
        format!("{text}database: {{url: '{database}', replicas: true}}\n{more}")
    })
}

/// What a server tells of all of them.
async fn told(server: &Server) -> Vec<Value> {
    server.get("/api/v1/replicas").await["items"].as_array().expect("a list").clone()
}

/// The name of the one that has a duty, once there is one that lives.
async fn on_duty(world: &World, server: &Server, duty: &str) -> String {
    let found = world.until("somebody has the duty", || async {
        let all = told(server).await;
        let has = |one: &&Value| {
            one["state"] == "alive" && one["duties"].as_array().is_some_and(|all| all.contains(&json!(duty)))
        };
        all.iter().find(has).map(|one| one["name"].as_str().expect("a name").to_owned())
    });
    found.await
}

/// Waits until so many servers share the shards and each has some.
async fn shared_by(world: &World, server: &Server, count: usize) {
    let shared = || async {
        let all = told(server).await;
        let well = all.iter().filter(|one| one["state"] == "alive" && one["shards"].as_u64() > Some(0)).count();
        (well == count && all.len() == count).then_some(())
    };
    world.until("the shards are shared", shared).await;
}

/// The execution of a commit, once there is one.
async fn execution(world: &World, server: &Server, commit: &str) -> String {
    let found = world.until("an execution of the commit", || async {
        let list = server.get(&format!("/api/v1/executions?commit={commit}")).await;
        list["items"][0]["id"].as_str().map(str::to_owned)
    });
    found.await
}

async fn judge(world: &World, server: &Server, id: &str) {
    let asked = || async {
        let view = server.get(&format!("/api/v1/executions/{id}")).await;
        let ask =
            view["stages"].as_array()?.iter().find(|stage| stage["path"] == "ask" || stage["id"] == "ask")?.clone();
        (ask["status"] == "RUNNING").then_some(())
    };
    world.until("it asks", asked).await;
    // Its owner may be changing at this moment: whoever is told to try again does.
    let answered = || async {
        let (status, answer) =
            server.post(&format!("/api/v1/executions/{id}/stages/ask/judge"), json!({"verdict": "continue"})).await;
        assert!(matches!(status, 202 | 409 | 503), "{status}: {answer}");
        (status != 503).then_some(())
    };
    world.until("the answer is taken", answered).await;
}

/// The states and texts of a context, which must rise to their end and stay there.
fn in_order(world: &World, commit: &str, context: &str, expected: &[&str]) {
    let statuses = world.statuses(commit).remove(context).unwrap_or_default();
    let texts: Vec<String> = statuses.iter().map(|one| format!("{} {}", one.state, one.description)).collect();
    let mut wanted = texts.iter();
    for part in expected {
        assert!(wanted.any(|text| text.starts_with(part)), "{part:?} does not come in its place: {texts:?}");
    }
    assert!(texts.last().is_some_and(|last| last.starts_with(expected[expected.len() - 1])), "{texts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_told_to_one_is_worked_off_by_the_other_and_judged_at_either() {
    with_database(|url| async move {
        let world = World::new().await;
        let first = world.push(&[(".longboat/shop.yaml", FILE)], "First").await;
        let (blue, green) = (replica(&world, "blue", &url), replica(&world, "green", &url));
        shared_by(&world, &blue, 2).await;
        world.settled(&first, "longboat/validate").await;
        let worker = on_duty(&world, &green, "triggers").await;
        let (off_duty, other) = if worker == "blue" { (&green, &blue) } else { (&blue, &green) };

        // Events of whatever runs where are heard at both.
        let events = reqwest::get(format!("{}/api/v1/events", off_duty.url)).await.expect("a stream");
        let commit = world.push(&[("code", "1")], "Change").await;
        assert_eq!(world.webhook(off_duty, &first, &commit).await, 202);
        let id = execution(&world, off_duty, &commit).await;
        assert_eq!(execution(&world, other, &commit).await, id, "both show it");
        let wanted = id.clone();
        let mut text = String::new();
        let mut events = events.bytes_stream();
        let heard = async {
            while !text.contains(&wanted) {
                text.push_str(&String::from_utf8_lossy(&events.next().await.expect("goes on").expect("is read")));
            }
        };
        tokio::time::timeout(Duration::from_secs(30), heard).await.expect("the stream tells of it");

        let view = off_duty.get(&format!("/api/v1/executions/{id}")).await;
        let holder = view["replica"]["name"].as_str().expect("somebody has it").to_owned();
        let stranger = if holder == "blue" { &green } else { &blue };
        let page = stranger.get_text(&format!("/executions/{id}")).await;
        assert!(page.contains("<dt>Replica</dt>") && page.contains(&holder), "the page names who has it");
        judge(&world, stranger, &id).await;
        world.settled(&commit, "longboat/shop/deploy").await;
        in_order(&world, &commit, "longboat/shop/deploy", &["pending", "success Succeeded"]);
        in_order(&world, &commit, "longboat/validate", &["success 1 pipeline valid"]);
        assert_eq!(
            off_duty.get("/api/v1/executions?application=shop").await["items"].as_array().map(Vec::len),
            Some(1)
        );
        assert!(blue.stop().success() && green.stop().success());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_on_duty_is_killed_in_the_middle_and_the_other_goes_on() {
    with_database(|url| async move {
        let world = World::new().await;
        let first = world.push(&[(".longboat/shop.yaml", FILE)], "First").await;
        let (blue, green) = (replica(&world, "blue", &url), replica(&world, "green", &url));
        shared_by(&world, &blue, 2).await;
        world.settled(&first, "longboat/validate").await;
        let worker = on_duty(&world, &green, "triggers").await;
        let (doomed, left) = if worker == "blue" { (blue, green) } else { (green, blue) };
        let one = world.push(&[("code", "1")], "Change").await;
        assert_eq!(world.webhook(&left, &first, &one).await, 202);
        let id = execution(&world, &left, &one).await;
        // The next one is told, and may be anywhere on its way when its worker dies.
        let two = world.push(&[("code", "2")], "Another change").await;
        assert_eq!(world.webhook(&left, &one, &two).await, 202);
        let killed = std::time::Instant::now();
        doomed.kill();
        let other = execution(&world, &left, &two).await;
        for duty in ["triggers", "reports", "retention"] {
            on_duty(&world, &left, duty).await;
        }
        eprintln!("after {:?} the other one has all duties", killed.elapsed());
        for (commit, id) in [(&one, &id), (&two, &other)] {
            judge(&world, &left, id).await;
            world.settled(commit, "longboat/shop/deploy").await;
            in_order(&world, commit, "longboat/shop/deploy", &["pending", "success Succeeded"]);
        }
        let list = left.get("/api/v1/executions?application=shop").await;
        assert_eq!(list["items"].as_array().map(Vec::len), Some(2), "each push ran once: {list:#}");
        assert!(left.stop().success());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_table_fires_once_for_each_moment_whoever_has_the_duty() {
    const TICK: &str = r#"
application: shop
pipelines:
  - name: tick
    triggers: [{type: cron, schedule: "* * * ? * *"}]
    stages: [{id: one, type: noop}]
"#;
    with_database(|url| async move {
        let world = World::new().await;
        let first = world.push(&[(".longboat/shop.yaml", TICK)], "First").await;
        let (blue, green) = (replica(&world, "blue", &url), replica(&world, "green", &url));
        shared_by(&world, &blue, 2).await;
        world.settled(&first, "longboat/validate").await;
        let worker = on_duty(&world, &green, "triggers").await;
        let (doomed, left) = if worker == "blue" { (blue, green) } else { (green, blue) };
        let ticks = async |server: &Server| {
            let list = server.get("/api/v1/executions?application=shop&limit=200").await;
            list["items"].as_array().expect("a list").clone()
        };
        world.until("it ticks", || async { (ticks(&left).await.len() >= 2).then_some(()) }).await;
        // Cleanly this time, which hands over at once.
        assert!(doomed.stop().success());
        let before = ticks(&left).await.len();
        world.until("it ticks elsewhere", || async { (ticks(&left).await.len() >= before + 3).then_some(()) }).await;
        let all = ticks(&left).await;
        let moments: BTreeSet<&str> = all.iter().filter_map(|tick| tick["trigger"]["scheduledTime"].as_str()).collect();
        assert_eq!(moments.len(), all.len(), "one for each moment");
        assert!(left.stop().success());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_faces_say_who_does_what_and_a_replica_without_a_lease_is_not_ready() {
    with_database(|url| async move {
        let (mut gate, through) = Gate::before(&url).await;
        let world = World::new().await;
        let first = world.push(&[(".longboat/shop.yaml", FILE)], "First").await;
        let blue = replica(&world, "blue", &url);
        let green = configured(&world, "green", &through, "vars: {region: eu}\n");
        shared_by(&world, &blue, 2).await;
        world.settled(&first, "longboat/validate").await;

        let answer = green.get("/api/v1/replicas").await;
        assert_eq!((&answer["shared"], &answer["configurationsDiffer"]), (&json!(true), &json!(true)), "{answer:#}");
        let own: Vec<&Value> =
            answer["items"].as_array().expect("a list").iter().filter(|one| one["own"] == true).collect();
        assert_eq!(own.iter().map(|one| &one["name"]).collect::<Vec<_>>(), ["green"]);
        let duties: Vec<String> = told(&blue)
            .await
            .iter()
            .flat_map(|one| one["duties"].as_array().expect("a list").clone())
            .map(|duty| duty.as_str().expect("a name").to_owned())
            .collect();
        assert_eq!(duties.iter().collect::<BTreeSet<_>>().len(), duties.len(), "each has one owner: {duties:?}");
        world
            .until("the log says so", || async {
                blue.log().contains("configurations of the replicas differ").then_some(())
            })
            .await;

        let list = Command::new(env!("CARGO_BIN_EXE_longboat"))
            .args(["replicas", "list", "--server", &blue.url])
            .output()
            .expect("the binary runs");
        let (out, err) = (String::from_utf8_lossy(&list.stdout), String::from_utf8_lossy(&list.stderr));
        assert!(out.contains("blue, ") && out.contains("(it answers here)") && out.contains("green, "), "{out}");
        assert!(err.contains("their configurations differ"), "{err}");
        let page = blue.get_text("/replicas").await;
        assert!(
            page.contains("blue") && page.contains("green") && page.contains("Their configurations differ"),
            "{page}"
        );
        let figures = blue.get_text("/metrics").await;
        for line in ["longboat_replicas_alive 2", "longboat_shards_held 32", "longboat_configurations_differ 1"] {
            assert!(figures.lines().any(|found| found == line), "{line} is not in\n{figures}");
        }

        // Its database is out of reach: it lives, and is not ready; the other one has all.
        let cut = std::time::Instant::now();
        gate.close().await;
        let status =
            async |path: &str| reqwest::get(format!("{}{path}", green.url)).await.expect("an answer").status().as_u16();
        let own =
            || async { told(&blue).await.iter().any(|one| one["name"] == "blue" && one["shards"] == 64).then_some(()) };
        world.until("the other one has all", own).await;
        eprintln!("after {:?} the other one has all shards", cut.elapsed());
        assert_eq!((status("/readyz").await, status("/healthz").await), (503, 200));
        for duty in ["triggers", "reports", "retention"] {
            assert_eq!(on_duty(&world, &blue, duty).await, "blue");
        }
        gate.open().await;
        world.until("it is ready again", || async { (status("/readyz").await == 200).then_some(()) }).await;
        shared_by(&world, &blue, 2).await;
        assert!(blue.stop().success() && green.stop().success());
    })
    .await;
}
