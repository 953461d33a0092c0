//! Artifacts on their way: a commit becomes one, a script yields one, another pipeline takes it over, and the next
//! start falls back on it.

use serde_json::{Value, json};

use super::world::World;
use crate::support::server::Server;

const FILE: &str = "\
application: shop
pipelines:
  - name: build
    expectedArtifacts:
      - {id: source, displayName: the commit, matchArtifact: {type: git/repo, name: acme/shop}}
    triggers: [{type: git, branches: [main], expectedArtifactIds: [source]}]
    stages:
      - id: image
        type: script
        command: 'echo \"artifact={\\\"type\\\": \\\"docker/image\\\", \\\"name\\\": \\\"shop\\\", \\\"version\\\": \\\"$V\\\"}\" >> \"$LONGBOAT_OUTPUT\"'
        env: {V: '${ triggerResolvedArtifact(\"the commit\").version }'}
        expectedArtifacts: [{id: image, matchArtifact: {type: docker/image}}]
  - name: deploy
    stages:
      - id: found
        type: findArtifactFromExecution
        pipeline: build
        expectedArtifacts: [{id: image, displayName: the image, matchArtifact: {type: docker/image}}]
      - {id: ship, type: script, command: 'test \"$V\" = \"$LONGBOAT_COMMIT\"', env: {V: '${ artifact(\"the image\").version }'}}
  - name: promote
    expectedArtifacts:
      - {id: image, matchArtifact: {type: docker/image, version: '[0-9]+'}, usePriorArtifact: true}
    stages:
      - {id: ship, type: script, command: 'echo \"shipped=$V\" >> \"$LONGBOAT_OUTPUT\"', env: {V: '${ trigger.resolvedExpectedArtifacts[0].boundArtifact.version }'}}
  - name: strict
    expectedArtifacts: [{id: chart, matchArtifact: {type: helm/chart}}]
    triggers: [{type: git, branches: [main], expectedArtifactIds: [chart]}]
    stages: [{type: noop}]
";

async fn start(server: &Server, pipeline: &str, artifacts: Value) -> (u16, Value) {
    let path = format!("/api/v1/applications/shop/pipelines/{pipeline}/executions");
    server.post(&path, json!({"artifacts": artifacts})).await
}

/// Waits for the end of an execution; its last stage's outputs.
async fn ended(world: &World, server: &Server, started: &Value) -> (String, Value) {
    let id = started["id"].as_str().expect("an id").to_owned();
    let view = world
        .until("the execution ends", || async {
            let view = server.get(&format!("/api/v1/executions/{id}")).await;
            (!view["endTime"].is_null()).then_some(view)
        })
        .await;
    let outputs = view["stages"].as_array().and_then(|stages| stages.last()).map(|stage| stage["outputs"].clone());
    (view["description"].as_str().expect("a text").to_owned(), outputs.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn artifacts_go_from_a_commit_through_pipelines() {
    let world = World::new().await;
    let first = world.push(&[(".longboat/shop.yaml", FILE)], "First").await;
    let server = world.serve();
    world.settled(&first, "longboat/validate").await;

    // Nothing to take over yet.
    let (status, none) = start(&server, "deploy", json!([])).await;
    assert_eq!(status, 201, "{none}");
    let (said, _) = ended(&world, &server, &none).await;
    assert_eq!(said, "Failed: found, there is no execution of shop/build that is SUCCEEDED");

    // The push is an artifact of its own; what the trigger of `strict` names doesn't come with it.
    let commit = world.push(&[("code", "1")], "Change").await;
    assert_eq!(world.webhook(&server, &first, &commit).await, 202);
    world.settled(&commit, "longboat/shop/build").await;
    let strict = world.finished(&commit, "longboat/shop/strict").await;
    assert_eq!(
        strict.last().expect("a status").description,
        "Failed: the artifact chart is expected (helm/chart), and none fits"
    );
    let list = server.get("/api/v1/executions?pipeline=build&application=shop").await;
    let build = server.get(&format!("/api/v1/executions/{}", list["items"][0]["id"].as_str().expect("an id"))).await;
    assert_eq!(build["resolvedExpectedArtifacts"][0]["boundArtifact"]["version"], commit.as_str());
    assert_eq!(build["stages"][0]["outputs"]["resolvedExpectedArtifacts"][0]["boundArtifact"]["name"], "shop");

    // The newest successful execution has what is looked for.
    let body = json!({"commit": commit});
    let (status, deploy) = server.post("/api/v1/applications/shop/pipelines/deploy/executions", body).await;
    assert_eq!(status, 201, "{deploy}");
    let (said, _) = ended(&world, &server, &deploy).await;
    assert!(said.starts_with("Succeeded"), "{said}");

    // A start by hand gives what is expected, and the one after it falls back on that.
    let (status, refused) = start(&server, "promote", json!([])).await;
    assert_eq!((status, &refused["code"]), (422, &json!("invalid-artifacts")), "{refused}");
    let said = refused["errors"][0]["message"].as_str().expect("a text");
    assert_eq!(
        said,
        "the artifact `image` is expected (docker/image [0-9]+), and none fits, not even of the newest successful execution"
    );
    let image = |version: &str| json!({"type": "docker/image", "name": "shop", "version": version});
    let (status, two) = start(&server, "promote", json!([image("1"), image("2")])).await;
    assert_eq!(status, 422, "{two}");
    assert!(two.to_string().contains("fits 2 artifacts, and must fit one"), "{two}");
    let (status, wrong) = start(&server, "promote", json!([{"nmae": "shop"}])).await;
    assert!((400..=422).contains(&status) && wrong.to_string().contains("nmae"), "{status} {wrong}");
    for given in [json!([image("7")]), json!([])] {
        let (status, promote) = start(&server, "promote", given).await;
        assert_eq!(status, 201, "{promote}");
        let (said, outputs) = ended(&world, &server, &promote).await;
        assert!(said.starts_with("Succeeded") && outputs["shipped"] == "7", "{said} {outputs}");
    }
    assert!(server.stop().success());
}
