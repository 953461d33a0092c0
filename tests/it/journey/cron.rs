//! A time table with the real binary: each moment starts once, over `kill -9`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::world::World;
use crate::support::server::Server;

const FILE: &str = r#"
application: shop
pipelines:
  - name: tick
    parameters: [{name: mode, options: [quick, full]}]
    triggers:
      - {type: cron, schedule: "* * * ? * *", timezone: Europe/Berlin, parameters: {mode: quick}}
    stages:
      - id: note
        type: script
        env: {WHEN: "${ trigger.scheduledTime }", MODE: "${ parameters.mode }", MARKS: '{{ file("marks") }}'}
        command: echo "$MODE $WHEN" >> "$MARKS"
"#;

async fn ticks(server: &Server) -> Vec<Value> {
    let list = server.get("/api/v1/executions?application=shop&limit=100").await;
    list["items"].as_array().expect("a list").clone()
}

on_both_databases!(each_moment_starts_once_over_a_kill);

async fn each_moment_starts_once_over_a_kill(world: World) {
    let marks = world.folder().join("ran");
    let files = [(".longboat/shop.yaml", FILE), ("marks", marks.to_str().expect("UTF-8"))];
    let commit = world.push(&files, "First").await;
    let server = world.serve();
    world.settled(&commit, "longboat/validate").await;
    world.until("a tick", || async { ticks(&server).await.pop() }).await;
    server.kill();

    let server = world.serve();
    let before = ticks(&server).await.len();
    world
        .until("ticks after the restart, all at their end", || async {
            let ticks = ticks(&server).await;
            let ended = ticks.iter().filter(|tick| tick["status"] == "SUCCEEDED").count();
            (ended > before).then_some(())
        })
        .await;
    let pipeline = server.get("/api/v1/applications/shop/pipelines/tick").await;
    let table = &pipeline["timeTables"][0];
    assert_eq!((&table["schedule"], &table["timezone"]), (&json!("* * * ? * *"), &json!("Europe/Berlin")));
    assert_eq!(table["next"].as_array().map(Vec::len), Some(3), "{table:#}");
    assert!(table["lastExecution"].is_string() && table["lastDue"].is_string(), "{table:#}");

    let mut moments = BTreeSet::new();
    for tick in ticks(&server).await {
        let view = server.get(&format!("/api/v1/executions/{}", tick["id"].as_str().expect("an id"))).await;
        let trigger = &view["trigger"];
        assert_eq!((&trigger["type"], &view["commit"]), (&json!("cron"), &json!(commit)), "{view:#}");
        let moment = trigger["scheduledTime"].as_str().expect("a moment").to_owned();
        assert!(moments.insert(moment.clone()), "{moment} started twice");
    }
    let noted = std::fs::read_to_string(&marks).expect("notes");
    let lines: BTreeSet<&str> = noted.lines().collect();
    assert_eq!(lines.len(), noted.lines().count(), "nothing ran twice: {noted}");
    assert!(lines.iter().all(|line| line.starts_with("quick ")), "{noted}");
    assert!(!world.statuses(&commit).contains_key("longboat/shop/tick"), "the commit's statuses stay as they are");
    let page = server.get_text("/applications").await;
    assert!(page.contains("time table * * * ? * * Europe&#x2f;Berlin") && page.contains("next "), "{page}");
    assert!(server.stop().success());
}
