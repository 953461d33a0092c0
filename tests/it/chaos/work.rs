//! Two hundred executions of all kinds, started, pushed and judged while replicas come and go.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use serde_json::{Value, json};

use super::fleet::Addresses;
use crate::journey::world::World;

/// Each script notes what it does, outside of its workspace, so that the test can count.
const NOTED: &str = r#"
id: {{ id }}
type: script
restartable: true
needs: {{ needs }}
env: {MARKS: "{{ file("marks") }}"}
command: |
  echo begin >> "$MARKS/$LONGBOAT_EXECUTION_ID.$LONGBOAT_STAGE.$LONGBOAT_ATTEMPT"
  sleep 0.1
  echo end >> "$MARKS/$LONGBOAT_EXECUTION_ID.$LONGBOAT_STAGE.$LONGBOAT_ATTEMPT"
"#;

/// The pipelines; `{{ file("counter") }}` is where webhooks go.
const FILE: &str = r#"
application: shop
pipelines:
  - name: deploy
    triggers: [{type: git, branches: [main]}]
    stages:
      - {{ module("noted", id="a", needs=[]) }}
      - {id: settle, type: wait, needs: [a], waitTime: 1}
      - {{ module("noted", id="b", needs=["settle"]) }}
  - name: work
    stages:
      - {{ module("noted", id="a", needs=[]) }}
      - {id: tell, type: webhook, method: POST, url: "{{ file("counter") }}/${ execution.id }", needs: [a]}
      - {id: settle, type: wait, needs: [tell], waitTime: 1}
      - {{ module("noted", id="b", needs=["settle"]) }}
  - name: judged
    stages:
      - {id: ask, type: manualJudgment, instructions: 'Go?'}
      - {{ module("noted", id="a", needs=["ask"]) }}
  - name: parent
    stages:
      - {id: run, type: pipeline, application: shop, pipeline: child}
      - {{ module("noted", id="a", needs=["run"]) }}
  - name: child
    stages:
      - {id: settle, type: wait, waitTime: 2}
      - {{ module("noted", id="a", needs=["settle"]) }}
  - name: lane
    concurrency: {max: 1, lock: prod}
    stages:
      - {id: hold, type: wait, waitTime: 1}
"#;

/// How many are started by hand of each.
pub const STARTS: [(&str, usize); 4] = [("work", 80), ("judged", 30), ("parent", 36), ("lane", 20)];
/// Pushes; each starts `deploy`, unless the next one comes before it is seen.
pub const PUSHES: usize = 8;
/// How many there are in the end, at least: those, the children of `parent`, and one of the last push.
pub const LEAST: usize = 80 + 30 + 36 + 20 + 36 + 1;

/// Counts calls by their key.
#[derive(Default)]
pub struct Counter {
    /// The keys with which each execution called, and how often.
    pub calls: Mutex<BTreeMap<String, BTreeMap<String, usize>>>,
}

impl Counter {
    pub async fn start() -> (Arc<Self>, String) {
        let counter = Arc::new(Self::default());
        let router = Router::new().fallback(count).with_state(Arc::clone(&counter));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        (counter, url)
    }
}

async fn count(State(counter): State<Arc<Counter>>, request: Request) -> &'static str {
    let key = request.headers().get("idempotency-key").and_then(|key| key.to_str().ok()).unwrap_or("none").to_owned();
    let execution = request.uri().path().trim_start_matches('/').to_owned();
    *counter.calls.lock().expect("whole").entry(execution).or_default().entry(key).or_default() += 1;
    "{}"
}

/// Publishes the pipelines; the commit.
pub async fn publish(world: &World, marks: &Path, counter: &str) -> String {
    let files = [
        (".longboat/shop.yaml", FILE),
        (".longboat/modules/noted.yaml", NOTED),
        ("marks", marks.to_str().expect("UTF-8")),
        ("counter", counter),
    ];
    world.push(&files, "First").await
}

/// Starts all that is started by hand, spread over the time: each until somebody says that it is.
pub async fn start_all(addresses: Addresses, over: Duration) {
    let mut all: Vec<(&str, usize)> =
        STARTS.iter().flat_map(|(pipeline, count)| (0..*count).map(|number| (*pipeline, number))).collect();
    fastrand::shuffle(&mut all);
    let pause = over / u32::try_from(all.len()).expect("few");
    let mut tasks = tokio::task::JoinSet::new();
    for (pipeline, number) in all {
        let addresses = addresses.clone();
        tasks.spawn(async move {
            let path = format!("/api/v1/applications/shop/pipelines/{pipeline}/executions");
            let start = json!({"correlationId": format!("chaos-{pipeline}-{number}")});
            while !matches!(addresses.ask(Some(&start), &path).await, Some((200 | 201, _))) {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        });
        tokio::time::sleep(pause).await;
    }
    while let Some(started) = tasks.join_next().await {
        started.expect("it starts in the end");
    }
}

/// Answers every judgment, again and again at any replica until it is taken.
pub async fn judge_all(addresses: Addresses) {
    loop {
        let list = addresses.ask(None, "/api/v1/executions?pipeline=judged&status=RUNNING&limit=100").await;
        let items = list.map_or(Value::Null, |(_, list)| list["items"].clone());
        for id in items.as_array().into_iter().flatten().filter_map(|item| item["id"].as_str()) {
            let path = format!("/api/v1/executions/{id}/stages/ask/judge");
            addresses.ask(Some(&json!({"verdict": "continue"})), &path).await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}
