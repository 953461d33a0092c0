//! Custom webhooks with the real binary: signed, written down before they are answered, each started once.

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use super::world::World;
use crate::support::server::Server;

const SECRET: &str = "what only the registry and Longboat know";

const FILE: &str = r#"
application: shop
pipelines:
  - name: deploy
    parameters: [{name: version, required: true}, {name: mode, default: quick}]
    expectedArtifacts: [{id: image, matchArtifact: {type: docker/image}}]
    triggers:
      - type: webhook
        source: registry
        payloadConstraints: {action: "^published$", /package/name: "^shop$"}
        expectedArtifactIds: [image]
        parameters: {version: "${ trigger.payload.package.version }"}
    stages:
      - id: ship
        type: script
        env:
          VERSION: "${ parameters.version }-${ parameters.mode }"
          IMAGE: '${ triggerResolvedArtifact("image").version }'
          MARKS: '{{ file("marks") }}'
        command: echo "$VERSION $IMAGE" >> "$MARKS"
  - name: note
    triggers: [{type: webhook, source: registry}]
    stages: [{id: one, type: noop}]
  - name: other
    triggers: [{type: webhook, source: elsewhere}, {type: webhook, source: registry, enabled: false}]
    stages: [{id: one, type: noop}]
"#;

fn body(action: &str, version: &str) -> String {
    json!({
        "action": action,
        "package": {"name": "shop", "version": version},
        "parameters": {"mode": "full", "unknown": 1},
        "artifacts": [{"type": "docker/image", "name": "shop", "version": format!("v{version}")}, 7],
    })
    .to_string()
}

async fn send(server: &Server, source: &str, delivery: &str, secret: &str, body: &str) -> (u16, Value) {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
    mac.update(body.as_bytes());
    let answer = reqwest::Client::new()
        .post(format!("{}/webhooks/custom/{source}", server.url))
        .header("content-type", "application/json")
        .header("x-hub-signature-256", format!("sha256={}", hex::encode(mac.finalize().into_bytes())))
        .header("idempotency-key", delivery)
        .body(body.to_owned())
        .send()
        .await
        .expect("an answer");
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

async fn executions(server: &Server, pipeline: &str) -> Vec<Value> {
    let list = server.get(&format!("/api/v1/executions?application=shop&pipeline={pipeline}")).await;
    list["items"].as_array().expect("a list").clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_signed_starts_who_listens_once_over_a_kill() {
    let config = "webhooks: {registry: {secret: {env: REGISTRY_SECRET}}}\n";
    let world = World::with(config).await;
    let marks = world.folder().join("shipped");
    let files = [(".longboat/shop.yaml", FILE), ("marks", marks.to_str().expect("UTF-8"))];
    let commit = world.push(&files, "First").await;
    let environment = [("REGISTRY_SECRET", SECRET)];
    let server = world.serve_with(&environment);
    world.settled(&commit, "longboat/validate").await;

    let published = body("published", "1.2");
    assert_eq!(send(&server, "registry", "a", "a guess", &published).await.0, 401);
    assert_eq!(send(&server, "elsewhere", "a", SECRET, &published).await.0, 404);
    assert_eq!(send(&server, "registry", "a", SECRET, "[]").await.0, 400);
    let large = json!({"x": "y".repeat(300 * 1024)}).to_string();
    assert_eq!(send(&server, "registry", "a", SECRET, &large).await.0, 413);
    assert!(executions(&server, "note").await.is_empty(), "nothing of that counts");

    let (status, answer) = send(&server, "registry", "a", SECRET, &published).await;
    assert_eq!((status, answer), (202, json!({"result": "accepted", "delivery": "a"})));
    // What was answered is not lost.
    server.kill();
    let server = world.serve_with(&environment);
    let (status, answer) = send(&server, "registry", "a", SECRET, &published).await;
    assert_eq!((status, &answer["result"]), (202, &json!("duplicate")));
    assert_eq!(send(&server, "registry", "b", SECRET, &body("deleted", "1.1")).await.0, 202);
    world
        .until("all have ended", || async {
            let (deploy, note) = (executions(&server, "deploy").await, executions(&server, "note").await);
            let ended = deploy.iter().chain(&note).all(|one| one["status"] == "SUCCEEDED");
            (ended && deploy.len() == 1 && note.len() == 2).then_some(())
        })
        .await;
    assert!(executions(&server, "other").await.is_empty());
    assert_eq!(std::fs::read_to_string(&marks).expect("notes"), "1.2-full v1.2\n");
    let id = executions(&server, "deploy").await[0]["id"].as_str().expect("an id").to_owned();
    let view = server.get(&format!("/api/v1/executions/{id}")).await;
    assert_eq!((&view["trigger"]["type"], &view["trigger"]["event"]), (&json!("webhook"), &json!("registry")));
    assert_eq!((&view["commit"], &view["trigger"]["payload"]["action"]), (&json!(commit), &json!("published")));
    assert!(!world.statuses(&commit).contains_key("longboat/shop/deploy"), "the commit's statuses stay as they are");
    let page = server.get_text(&format!("/executions/{id}")).await;
    assert!(page.contains("started by the webhook registry"), "{page}");
    assert!(server.stop().success());
}
