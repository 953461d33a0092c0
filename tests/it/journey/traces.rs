//! Executions as traces, sent to a collector by OTLP over HTTP.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;

use super::world::World;

const FILE: &str = "\
application: shop
pipelines:
  - name: deploy
    triggers: [{type: git, branches: [main]}]
    stages:
      - {id: build, type: script, command: 'true'}
      - {id: ship, type: script, command: 'false', needs: [build]}
";

type Batches = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

#[tokio::test(flavor = "multi_thread")]
async fn an_execution_becomes_a_trace_whose_id_is_its_own() {
    let batches = Batches::default();
    let collect = |State(batches): State<Batches>, headers: HeaderMap, body: Bytes| async move {
        let kind = headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        batches.lock().expect("no panic while it is held").push((kind, body.to_vec()));
    };
    let router = Router::new().route("/v1/traces", post(collect)).with_state(Arc::clone(&batches));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("its address"));
    tokio::spawn(async move { axum::serve(listener, router).await });

    let world = World::new().await;
    let first = world.push(&[(".longboat/shop.yaml", FILE)], "First").await;
    let server = world.serve_with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())]);
    world.settled(&first, "longboat/validate").await;
    let commit = world.push(&[("code", "1")], "Change").await;
    assert_eq!(world.webhook(&server, &first, &commit).await, 202);
    world.finished(&commit, "longboat/shop/deploy").await;
    let list = server.get("/api/v1/executions").await;
    let id: uuid::Uuid = list["items"][0]["id"].as_str().expect("an id").parse().expect("a UUID");
    // What waits is sent before the server is gone.
    assert!(server.stop().success());

    let batches = batches.lock().expect("no panic while it is held").clone();
    let all: Vec<u8> = batches.iter().flat_map(|(_, body)| body.clone()).collect();
    assert!(batches.iter().all(|(kind, _)| kind == "application/x-protobuf"), "{batches:?}");
    let holds = |needle: &[u8]| all.windows(needle.len()).filter(|window| *window == needle).count();
    assert_eq!(holds(id.as_bytes()), 3, "the trace's id stands in each of its three spans");
    for text in ["shop/deploy", "build", "ship", "longboat.stage.type", "script", "SUCCEEDED", "TERMINAL", "acme/shop"]
    {
        assert!(holds(text.as_bytes()) > 0, "{text} is in no span");
    }
    assert!(holds(commit.as_bytes()) > 0, "the commit is in the trace");
}
