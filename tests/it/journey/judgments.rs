//! Who is waited for is told: once, with a link, and the secret of the address goes nowhere else.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::world::World;

/// A request to the chat: its path, its key, its header, its body.
type Told = (String, String, String, Value);

/// A chat that is away at first.
#[derive(Default)]
struct Chat {
    told: Mutex<Vec<Told>>,
}

impl Chat {
    async fn start() -> (Arc<Self>, String) {
        let chat = Arc::new(Self::default());
        let router = Router::new().fallback(take).with_state(Arc::clone(&chat));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        (chat, url)
    }

    fn told(&self) -> Vec<Told> {
        self.told.lock().expect("lock").clone()
    }
}

async fn take(State(chat): State<Arc<Chat>>, request: Request) -> StatusCode {
    let (parts, body) = request.into_parts();
    let header =
        |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let (path, key, from) = (parts.uri.path().to_owned(), header("idempotency-key"), header("x-from"));
    let body = axum::body::to_bytes(body, 100_000).await.expect("a body");
    let mut told = chat.told.lock().expect("lock");
    told.push((path, key, from, serde_json::from_slice(&body).expect("JSON")));
    if told.len() == 1 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_waited_for_is_told_once_the_judgment_waits_also_if_the_server_dies_meanwhile() {
    let (chat, url) = Chat::start().await;
    let world = World::with("network: {allow: [127.0.0.1]}\nsecrets: {hook: {env: TEST_HOOK}}\n").await;
    let file = format!(
        r#"
application: shop
pipelines:
  - name: release
    stages:
      - id: approve
        name: Approve
        type: manualJudgment
        instructions: Look first
        judgmentInputs: [eu, us]
        requiredRoles: [release]
        notify: {{url: "{url}/hooks/${{ secret('hook') }}", headers: {{X-From: longboat}}}}
"#
    );
    let commit = world.push(&[(".longboat/shop.yaml", &file)], "First").await;
    let environment = [("TEST_HOOK", "T0-very-secret")];
    let server = world.serve_with(&environment);
    world.settled(&commit, "longboat/validate").await;
    let (status, view) = server.post("/api/v1/applications/shop/pipelines/release/executions", json!({})).await;
    assert_eq!(status, 201, "{view}");
    let id = view["id"].as_str().expect("an id").to_owned();
    world.until("a first try", || async { (!chat.told().is_empty()).then_some(()) }).await;
    server.kill();
    let server = world.serve_with(&environment);
    world.until("a second try", || async { (chat.told().len() > 1).then_some(()) }).await;

    let (path, key, from, body) = chat.told().pop().expect("told");
    assert_eq!((path.as_str(), from.as_str()), ("/hooks/T0-very-secret", "longboat"));
    assert!(!key.is_empty() && chat.told().iter().all(|told| told.1 == key), "whoever has had it knows it again");
    let page = format!("https://cd.example.com/executions/{id}");
    assert_eq!(body["link"], format!("{page}#stage-approve"));
    assert_eq!(body["answer"], format!("https://cd.example.com/api/v1/executions/{id}/stages/approve/judge"));
    assert_eq!(body["text"], format!("shop/release waits for approval: Approve\nLook first\n{page}#stage-approve"));
    assert_eq!((&body["choices"], &body["requiredRoles"]), (&json!(["eu", "us"]), &json!(["release"])));
    assert!(body["until"].is_string(), "{body:#}");

    let answer = json!({"verdict": "continue", "input": "eu"});
    let (status, said) = server.post(&format!("/api/v1/executions/{id}/stages/approve/judge"), answer).await;
    assert_eq!(status, 202, "{said}");
    let view = world
        .until("the end", || async {
            let view = server.get(&format!("/api/v1/executions/{id}")).await;
            view["endTime"].is_string().then_some(view)
        })
        .await;
    assert_eq!((&view["status"], &view["stages"][0]["outputs"]["judgmentInput"]), (&json!("SUCCEEDED"), &json!("eu")));
    assert_eq!(chat.told().len(), 2, "told once, and not again");
    assert!(!view.to_string().contains("T0-very-secret") && !server.log().contains("T0-very-secret"));
}
