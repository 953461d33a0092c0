//! A pipeline that the end of another starts, with the real binary: none is lost and none runs twice, over `kill -9`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::world::World;
use crate::support::server::Server;

const BUILD: &str = r#"
application: shop
pipelines:
  - name: build
    parameters: [{name: number, type: integer}]
    stages:
      - id: make
        type: script
        env: {NUMBER: "${ parameters.number }"}
        command: |
          echo "artifact={\"type\": \"docker/image\", \"name\": \"shop\", \"version\": \"$NUMBER\"}" >> "$LONGBOAT_OUTPUT"
          echo "tag=v$NUMBER" >> "$LONGBOAT_OUTPUT"
"#;

const DEPLOY: &str = r#"
application: bank
pipelines:
  - name: deploy
    parameters: [{name: tag, required: true}]
    expectedArtifacts: [{id: image, matchArtifact: {type: docker/image, name: shop}}]
    triggers:
      - type: pipeline
        application: shop
        pipeline: build
        expectedArtifactIds: [image]
        parameters: {tag: "${ trigger.parentExecution.stages.make.outputs.tag }"}
    stages:
      - id: ship
        type: script
        env: {TAG: "${ parameters.tag }", VERSION: '${ triggerResolvedArtifact("image").version }', MARKS: '{{ file("marks") }}'}
        command: echo "$TAG $VERSION" >> "$MARKS"
"#;

const BUILDS: usize = 6;

async fn list(server: &Server, application: &str) -> Vec<Value> {
    let list = server.get(&format!("/api/v1/executions?application={application}&limit=100")).await;
    list["items"].as_array().expect("a list").clone()
}

async fn build(server: &Server, number: usize) {
    let start = json!({"parameters": {"number": number}, "correlationId": format!("build-{number}")});
    let (status, answer) = server.post("/api/v1/applications/shop/pipelines/build/executions", start).await;
    assert_eq!(status, 201, "{answer}");
}

/// Waits until so many executions of an application have ended well.
async fn succeeded(world: &World, server: &Server, application: &str, count: usize) -> Vec<Value> {
    world
        .until(&format!("{count} of {application} have ended"), || async {
            let all = list(server, application).await;
            let well = all.iter().filter(|one| one["status"] == "SUCCEEDED").count();
            (well >= count).then_some(all)
        })
        .await
}

on_both_databases!(every_end_starts_one_over_a_kill, a_freeze_holds_what_an_end_starts);

async fn shop(world: &World) -> (std::path::PathBuf, String) {
    let marks = world.folder().join("shipped");
    let files =
        [(".longboat/shop.yaml", BUILD), (".longboat/bank.yaml", DEPLOY), ("marks", marks.to_str().expect("UTF-8"))];
    let commit = world.push(&files, "First").await;
    (marks, commit)
}

async fn every_end_starts_one_over_a_kill(world: World) {
    let (marks, commit) = shop(&world).await;
    let server = world.serve();
    world.settled(&commit, "longboat/validate").await;
    for number in 0..BUILDS {
        build(&server, number).await;
    }
    succeeded(&world, &server, "shop", 2).await;
    server.kill();
    let server = world.serve();
    succeeded(&world, &server, "shop", BUILDS).await;
    let deploys = succeeded(&world, &server, "bank", BUILDS).await;
    assert_eq!(deploys.len(), BUILDS, "one for each build");

    let mut parents = BTreeSet::new();
    for deploy in &deploys {
        let view = server.get(&format!("/api/v1/executions/{}", deploy["id"].as_str().expect("an id"))).await;
        let (trigger, parent) = (&view["trigger"], &view["trigger"]["parentExecution"]);
        assert_eq!((&trigger["type"], &parent["pipeline"]), (&json!("pipeline"), &json!("build")), "{view:#}");
        assert_eq!(parent["stages"]["make"]["status"], "SUCCEEDED", "{view:#}");
        assert_eq!(deploy["trigger"]["parentExecution"]["stages"], json!({}), "lists are short: {deploy:#}");
        assert!(parents.insert(parent["id"].to_string()), "{view:#}");
    }
    let shipped = std::fs::read_to_string(&marks).expect("notes");
    let lines: BTreeSet<&str> = shipped.lines().collect();
    let wanted: Vec<String> = (0..BUILDS).map(|number| format!("v{number} {number}")).collect();
    assert_eq!(lines, wanted.iter().map(String::as_str).collect(), "{shipped}");
    assert_eq!(shipped.lines().count(), BUILDS, "{shipped}");
    let page = deploys[0]["id"].as_str().expect("an id");
    let page = server.get_text(&format!("/executions/{page}")).await;
    assert!(page.contains("started by the end of shop"), "{page}");
    assert!(server.stop().success());
}

async fn a_freeze_holds_what_an_end_starts(world: World) {
    let (_, commit) = shop(&world).await;
    let server = world.serve();
    world.settled(&commit, "longboat/validate").await;
    let frozen = super::terminal::ask(&server, &["freeze", "on", "bank", "--reason", "audit"]).await;
    assert!(frozen.status.success());
    build(&server, 1).await;
    let held = world.until("it is there", || async { list(&server, "bank").await.pop() }).await;
    let address = format!("/api/v1/executions/{}", held["id"].as_str().expect("an id"));
    world
        .until("it is held", || async {
            let view = server.get(&address).await;
            (view["held"]["reason"] == "audit" && view["status"] == "NOT_STARTED").then_some(())
        })
        .await;
    let off = super::terminal::ask(&server, &["freeze", "off", "bank"]).await;
    assert!(off.status.success());
    succeeded(&world, &server, "bank", 1).await;
    assert!(server.stop().success());
}
