//! The `webhook` stage with the real binary and a server that somebody else runs.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::world::World;
use crate::support::server::Server;

/// What was asked, and how the job stands.
#[derive(Default)]
struct Ci {
    asked: Mutex<Vec<String>>,
    /// The bodies by which it was called off.
    aborted: Mutex<Vec<Value>>,
    state: Mutex<String>,
}

impl Ci {
    async fn start() -> (Arc<Self>, String) {
        let ci = Arc::new(Self::default());
        *ci.state.lock().expect("lock") = "running".to_owned();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&ci));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        (ci, url)
    }

    fn aborted(&self) -> Vec<Value> {
        self.aborted.lock().expect("lock").clone()
    }

    fn count(&self, line: &str) -> usize {
        self.asked.lock().expect("lock").iter().filter(|asked| *asked == line).count()
    }
}

async fn answer(State(ci): State<Arc<Ci>>, request: Request) -> Response {
    let line = format!("{} {}", request.method(), request.uri().path());
    ci.asked.lock().expect("lock").push(line.clone());
    match line.as_str() {
        "POST /jobs" => (StatusCode::ACCEPTED, [("location", "/jobs/7")], "{\"id\": 7}").into_response(),
        "GET /jobs/7" => {
            json!({"state": *ci.state.lock().expect("lock"), "image": "shop:7"}).to_string().into_response()
        }
        "PUT /jobs/7/abort" => {
            let body = axum::body::to_bytes(request.into_body(), 10_000).await.expect("a body");
            ci.aborted.lock().expect("lock").push(serde_json::from_slice(&body).expect("JSON"));
            StatusCode::NO_CONTENT.into_response()
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// `more` is a line of the stage that calls.
async fn shop(network: &str, ci: &str, more: &str) -> (World, Server, String) {
    let world = World::with(network).await;
    let file = format!(
        r#"
application: shop
pipelines:
  - name: deploy
    stages:
      - id: scan
        type: webhook
        url: {ci}/jobs
        payload: {{commit: "${{ trigger.commit }}"}}
        waitForCompletion: true
        statusUrlResolution: locationHeader
        statusJsonPath: $.state
        successStatuses: done
        terminalStatuses: failed
        cancelEndpoint: {ci}/jobs/7/abort
        cancelMethod: PUT
        cancelPayload: {{why: not needed}}
        {more}
      - id: tell
        type: script
        env: {{IMAGE: "${{ stages.scan.outputs.webhook.monitor.body.image }}"}}
        command: echo "image=$IMAGE" >> "$LONGBOAT_OUTPUT"
"#
    );
    let commit = world.push(&[(".longboat/shop.yaml", &file)], "First").await;
    let server = world.serve();
    world.settled(&commit, "longboat/validate").await;
    let id = started(&server).await;
    (world, server, id)
}

async fn started(server: &Server) -> String {
    let (status, view) = server.post("/api/v1/applications/shop/pipelines/deploy/executions", json!({})).await;
    assert_eq!(status, 201, "{view}");
    view["id"].as_str().expect("an id").to_owned()
}

async fn ended(world: &World, server: &Server, id: &str) -> Value {
    let view = || async {
        let view = server.get(&format!("/api/v1/executions/{id}")).await;
        view["endTime"].is_string().then_some(view)
    };
    world.until("the end", view).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_elsewhere_is_started_once_and_followed_over_a_restart() {
    let (ci, url) = Ci::start().await;
    let (world, server, id) = shop("network: {allow: [127.0.0.1]}\n", &url, "").await;
    world.until("a look at the job", || async { (ci.count("GET /jobs/7") > 0).then_some(()) }).await;
    server.kill();
    let server = world.serve();
    let looks = ci.count("GET /jobs/7");
    world.until("a look after the restart", || async { (ci.count("GET /jobs/7") > looks).then_some(()) }).await;
    *ci.state.lock().expect("lock") = "done".to_owned();
    let view = ended(&world, &server, &id).await;
    assert_eq!(
        (&view["status"], &view["stages"][1]["outputs"]["image"]),
        (&json!("SUCCEEDED"), &json!("shop:7")),
        "{view:#}"
    );
    assert_eq!((ci.count("POST /jobs"), ci.count("PUT /jobs/7/abort")), (1, 0));

    // And once more, this time to be cancelled.
    *ci.state.lock().expect("lock") = "running".to_owned();
    let looks = ci.count("GET /jobs/7");
    let id = started(&server).await;
    world.until("a look at the second job", || async { (ci.count("GET /jobs/7") > looks).then_some(()) }).await;
    server.post(&format!("/api/v1/executions/{id}/cancel"), json!({})).await;
    assert_eq!(ended(&world, &server, &id).await["status"], "CANCELED");
    assert_eq!((ci.count("POST /jobs"), ci.count("PUT /jobs/7/abort")), (2, 1));
    assert_eq!(ci.aborted(), [json!({"why": "not needed"})], "with its method and its body");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_called_off_once_after_a_restart_and_when_its_time_is_over() {
    let (ci, url) = Ci::start().await;
    let (world, server, id) = shop("network: {allow: [127.0.0.1]}\n", &url, "").await;
    world.until("a look at the job", || async { (ci.count("GET /jobs/7") > 0).then_some(()) }).await;
    server.kill();
    let server = world.serve();
    let looks = ci.count("GET /jobs/7");
    world.until("a look after the restart", || async { (ci.count("GET /jobs/7") > looks).then_some(()) }).await;
    server.post(&format!("/api/v1/executions/{id}/cancel"), json!({})).await;
    let view = ended(&world, &server, &id).await;
    assert_eq!((&view["status"], ci.count("PUT /jobs/7/abort")), (&json!("CANCELED"), 1), "{view:#}");

    // Its time runs out while nobody is there, and the next process calls it off.
    let (ci, url) = Ci::start().await;
    let (world, server, id) = shop("network: {allow: [127.0.0.1]}\n", &url, "timeout: 4s").await;
    world.until("a look at the job", || async { (ci.count("GET /jobs/7") > 0).then_some(()) }).await;
    server.kill();
    let server = world.serve();
    let view = ended(&world, &server, &id).await;
    assert_eq!(
        (&view["status"], &view["stages"][0]["error"]),
        (&json!("TERMINAL"), &json!("timed out after 4s")),
        "{view:#}"
    );
    assert_eq!((ci.count("POST /jobs"), ci.count("PUT /jobs/7/abort")), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn this_machine_is_not_called_unless_the_configuration_says_so() {
    let (ci, url) = Ci::start().await;
    let (world, server, id) = shop("", &url, "").await;
    let view = ended(&world, &server, &id).await;
    let error = view["stages"][0]["error"].as_str().expect("an error");
    assert_eq!(
        error,
        "`127.0.0.1` leads to 127.0.0.1, which is not an address of the public internet; the configuration can allow it \
         (`network: {allow: [...]}`)"
    );
    assert!(ci.asked.lock().expect("lock").is_empty());
}
