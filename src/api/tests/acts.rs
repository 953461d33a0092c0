//! What people and programs do through the API, with a real engine behind it.

use async_trait::async_trait;
use futures::StreamExt as _;
use serde_json::{Map, json};

use super::reads::{COMMIT, seed};
use super::*;
use crate::engine::{CancelReason, Effect, Judgment, Outcome, StageContext, StageHandler, Verdict, Wake};

/// Asks a person, and takes `yes` or nothing for an answer.
pub(super) struct Ask;

#[async_trait]
impl StageHandler for Ask {
    fn kind(&self) -> &'static str {
        "wait"
    }

    fn effect(&self) -> Effect {
        Effect::None
    }

    async fn start(&self, _: &StageContext) -> Outcome {
        Outcome::Wait { until: None, waiting_for: "approval".to_owned(), checkpoint: Value::Null }
    }

    async fn resume(&self, _: &StageContext, _: Option<Value>, wake: Wake) -> Outcome {
        match wake {
            Wake::Signal(judgment) => match serde_json::from_value::<Judgment>(judgment) {
                Ok(Judgment { verdict: Verdict::Continue, input, by, .. }) => {
                    let outputs = json!({"input": input, "by": by});
                    Outcome::Done { outputs: outputs.as_object().cloned().unwrap_or_default() }
                }
                _ => Outcome::fail("a person said stop"),
            },
            _ => Outcome::Wait { until: None, waiting_for: "approval".to_owned(), checkpoint: Value::Null },
        }
    }

    async fn cancel(&self, _: &StageContext, _: Option<Value>, _: CancelReason) {}

    fn takes_judgments(&self) -> bool {
        true
    }

    fn accepts(&self, _: &Map<String, Value>, judgment: &Judgment) -> Result<(), String> {
        match judgment.input.as_deref() {
            None | Some("yes") => Ok(()),
            Some(other) => Err(format!("`{other}` is not among the inputs")),
        }
    }
}

const STARTS: &str = "/api/v1/applications/shop/pipelines/deploy/executions";

/// Starts the pipeline and waits until it asks.
async fn started(world: &World) -> String {
    let mut changes = world.state.engine.subscribe();
    let reply = world.post(STARTS, r#"{"parameters": {"region": "eu"}}"#).await;
    let id = reply.json(201)["id"].as_str().expect("an id").to_owned();
    assert_eq!(reply.headers["location"], format!("/api/v1/executions/{id}"));
    loop {
        let view = world.get(&format!("/api/v1/executions/{id}")).await.json(200);
        if view["stages"][0]["waitingFor"] == "approval" {
            return id;
        }
        changes.recv().await.expect("the engine runs");
    }
}

/// The execution once it has ended.
async fn ended(world: &World, id: &str) -> Value {
    let mut changes = world.state.engine.subscribe();
    loop {
        let view = world.get(&format!("/api/v1/executions/{id}")).await.json(200);
        if view["endTime"].is_string() {
            return view;
        }
        changes.recv().await.expect("the engine runs");
    }
}

#[tokio::test]
async fn a_start_is_created_with_its_parameters_checked() {
    let world = World::new().await;
    seed(&world).await;
    let id = started(&world).await;
    let view = world.get(&format!("/api/v1/executions/{id}")).await.json(200);
    assert_eq!(view["parameters"], json!({"region": "eu", "replicas": 2}), "defaults are filled in");
    assert_eq!((view["commit"].clone(), view["trigger"]["type"].clone()), (json!(COMMIT), json!("manual")));
    assert!(view["trigger"]["actor"].is_string());
    assert_eq!((view["status"].clone(), view["stages"][0]["status"].clone()), (json!("RUNNING"), json!("RUNNING")));
    assert_eq!(view["stages"][0]["source"], json!({"file": ".longboat/shop.yaml", "line": 3, "commit": COMMIT}));
}

#[tokio::test]
async fn everything_wrong_with_a_start_is_said_at_once() {
    let world = World::new().await;
    seed(&world).await;
    let refused = world.post(STARTS, r#"{"parameters": {"region": "mars", "replicas": "two", "regoin": "eu"}}"#).await;
    let problem = refused.problem(422, "invalid-parameters");
    let mut fields: Vec<&str> =
        problem["errors"].as_array().expect("faults").iter().filter_map(|fault| fault["field"].as_str()).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["parameters.region", "parameters.regoin", "parameters.replicas"]);
    let problem = world.post(STARTS, r#"{"commit": "main", "correlationId": ""}"#).await.problem(422, "invalid-start");
    assert_eq!(problem["errors"].as_array().map(Vec::len), Some(2));
    let night = r#"{"correlationId": "cron shop/deploy 0 2 * * * UTC 2026-11-22T02:00:00Z"}"#;
    let problem = world.post(STARTS, night).await.problem(422, "invalid-start");
    assert_eq!(problem["errors"][0]["field"], "correlationId", "it would keep the time table from starting: {problem}");
    world.post(STARTS, r#"{"params": {}}"#).await.problem(400, "bad-request");
    world.post(STARTS, r#"{"parameters": []}"#).await.problem(400, "bad-request");
    for path in
        ["/api/v1/applications/shop/pipelines/deplyo/executions", "/api/v1/applications/no/pipelines/x/executions"]
    {
        world.post(path, "{}").await.problem(404, "not-found");
    }
    assert_eq!(world.get("/api/v1/executions?limit=10").await.json(200)["items"].as_array().map(Vec::len), Some(3));
}

#[tokio::test]
async fn an_execution_is_paused_and_goes_on() {
    let world = World::new().await;
    seed(&world).await;
    let id = started(&world).await;
    let act = async |what: &str| world.post(&format!("/api/v1/executions/{id}/{what}"), "{}").await;
    act("resume").await.problem(409, "not-paused");
    let paused = act("pause").await.json(202);
    assert_eq!((&paused["status"], paused["paused"]["by"].is_string()), (&json!("PAUSED"), true));
    assert_eq!(act("pause").await.json(202)["paused"], paused["paused"], "again is the same as once");
    let resumed = act("resume").await.json(202);
    assert_eq!((&resumed["status"], &resumed["paused"]), (&json!("RUNNING"), &json!(null)));
    let stage = resumed["stages"][0]["path"].as_str().expect("a path").to_owned();
    act(&format!("stages/{stage}/skip")).await.problem(409, "not-skippable");
    act("stages/nobody/skip").await.problem(404, "not-found");
    assert!(resumed["stages"][0]["since"].is_string() && resumed["stages"][0]["skippable"] == json!(false));
    act("cancel").await.json(202);
    ended(&world, &id).await;
    act("pause").await.problem(409, "complete");
    world.post("/api/v1/executions/0190a5f0-0000-7000-8000-000000000000/pause", "{}").await.problem(404, "not-found");
}

#[tokio::test]
async fn a_dry_run_tells_what_would_happen_and_starts_nothing() {
    let world = World::new().await;
    seed(&world).await;
    let before = world.get("/api/v1/executions?limit=100").await.json(200)["items"].as_array().map(Vec::len);
    let told = world.post(STARTS, r#"{"parameters": {"region": "eu"}, "dryRun": true}"#).await.json(200);
    assert_eq!((&told["status"], &told["steps"][0]["does"]), (&json!("SUCCEEDED"), &json!("starts")));
    let stage = told["steps"][0]["path"].as_str().expect("a path").to_owned();
    let body = json!({"parameters": {"region": "eu"}, "dryRun": true, "outcomes": {stage: "FAILED"}});
    assert_eq!(world.post(STARTS, &body.to_string()).await.json(200)["status"], "TERMINAL");
    let query = world.post(&format!("{STARTS}?dryRun=true"), "{}").await.json(400);
    assert!(query["detail"].as_str().expect("a text").contains("takes no query"), "{query}");
    for wrong in [r#"{"outcomes": {"a": "FAILED"}}"#, r#"{"dryRun": true, "outcomes": {"a": "PERHAPS"}}"#] {
        world.post(STARTS, wrong).await.problem(422, "invalid-start");
    }
    let nobody = r#"{"parameters": {"region": "eu"}, "dryRun": true, "outcomes": {"nobody": "FAILED"}}"#;
    world.post(STARTS, nobody).await.problem(422, "refused");
    world
        .post(STARTS, r#"{"parameters": {"region": "mars"}, "dryRun": true}"#)
        .await
        .problem(422, "invalid-parameters");
    let after = world.get("/api/v1/executions?limit=100").await.json(200)["items"].as_array().map(Vec::len);
    assert_eq!(before, after);
    assert!(told.get("held").is_none() && told.get("supersedes").is_none(), "nothing holds it: {told:#}");
    world.send("PUT", "/api/v1/freezes/shop", r#"{"reason": "audit"}"#).await.json(200);
    let held = world.post(STARTS, r#"{"parameters": {"region": "eu"}, "dryRun": true}"#).await.json(200);
    assert_eq!((&held["held"]["kind"], &held["held"]["reason"]), (&json!("freeze"), &json!("audit")));
    assert_eq!(held["steps"], told["steps"], "what follows then");
    let before_it = r#"{"parameters": {"region": "eu"}, "dryRun": true, "override": true}"#;
    assert!(world.post(STARTS, before_it).await.json(200).get("held").is_none());
}

#[tokio::test]
async fn a_correlation_id_starts_once() {
    let world = World::new().await;
    seed(&world).await;
    let body = r#"{"parameters": {"region": "eu"}, "correlationId": "release-7"}"#;
    let first = world.post(STARTS, body).await.json(201)["id"].clone();
    let second = world.post(STARTS, body).await.json(200)["id"].clone();
    assert_eq!(first, second);
}

#[tokio::test]
async fn a_judgment_goes_on_and_only_once() {
    let world = World::new().await;
    seed(&world).await;
    let id = started(&world).await;
    let judge = format!("/api/v1/executions/{id}/stages/wait/judge");
    world.post(&judge, r#"{"verdict": "maybe"}"#).await.problem(400, "bad-request");
    world.post(&judge, "{}").await.problem(400, "bad-request");
    let refused = world.post(&judge, r#"{"verdict": "continue", "input": "perhaps"}"#).await.problem(422, "refused");
    assert!(refused["detail"].as_str().expect("a text").contains("`perhaps`"));
    world
        .post(&format!("/api/v1/executions/{id}/stages/none/judge"), r#"{"verdict": "stop"}"#)
        .await
        .problem(404, "not-found");
    assert_eq!(world.post(&judge, r#"{"verdict": "continue", "input": "yes"}"#).await.json(202)["id"], json!(id));
    let view = ended(&world, &id).await;
    assert_eq!(
        (view["status"].clone(), view["stages"][0]["outputs"]["input"].clone()),
        (json!("SUCCEEDED"), json!("yes"))
    );
    world.post(&judge, r#"{"verdict": "stop"}"#).await.problem(409, "complete");
    world.post(&format!("/api/v1/executions/{id}/cancel"), "").await.problem(409, "complete");
}

#[tokio::test]
async fn a_cancelled_execution_says_by_whom() {
    let world = World::new().await;
    seed(&world).await;
    let id = started(&world).await;
    let cancel = format!("/api/v1/executions/{id}/cancel");
    world.post(&cancel, r#"{"reason": "wrong region"}"#).await.json(202);
    let view = ended(&world, &id).await;
    assert_eq!(view["status"], "CANCELED");
    assert!(view["canceledBy"].as_str().expect("a text").ends_with(": wrong region"), "{view}");
    world.post(&cancel, "{}").await.json(202);
    world.post("/api/v1/executions/018f6b2e-4a57-7c3e-9d8f-0a1b2c3d4e5f/cancel", "{}").await.problem(404, "not-found");
}

#[tokio::test]
async fn events_tell_of_the_execution_that_was_asked_for_and_end_with_the_server() {
    let world = World::new().await;
    seed(&world).await;
    let id = started(&world).await;
    let request = Request::get(format!("/api/v1/events?execution={id}")).header("host", "localhost");
    let response = world.app.clone().oneshot(request.body(Body::empty()).expect("a request")).await.expect("an answer");
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut chunks = response.into_body().into_data_stream();
    let mut text = String::new();
    started(&world).await;
    world.post(&format!("/api/v1/executions/{id}/cancel"), "").await.json(202);
    while !text.contains("CANCELED") {
        let chunk = chunks.next().await.expect("the stream goes on").expect("a chunk");
        text.push_str(std::str::from_utf8(&chunk).expect("text"));
    }
    let told = text.lines().filter(|line| line.starts_with("data: "));
    assert!(told.into_iter().all(|line| line.contains(&id)), "{text}");
    world.state.stopping.cancel();
    while let Some(chunk) = chunks.next().await {
        chunk.expect("it ends in order");
    }
    world.get("/api/v1/events?execution=none").await.problem(400, "bad-request");
}

#[tokio::test]
async fn what_has_ended_is_restarted_and_nothing_else() {
    let world = World::new().await;
    seed(&world).await;
    let id = started(&world).await;
    let address = format!("/api/v1/executions/{id}");
    let running = world.post(&format!("{address}/restart"), "{}").await.json(409);
    assert_eq!(running["code"], "running");
    let path = world.get(&address).await.json(200)["stages"][0]["path"].as_str().expect("a path").to_owned();
    world.post(&format!("{address}/cancel"), "{}").await.json(202);
    assert_eq!(ended(&world, &id).await["status"], "CANCELED");

    let again = world.post(&format!("{address}/restart"), "").await.json(202);
    assert_eq!((&again["status"], &again["stages"][0]["attempt"]), (&json!("RUNNING"), &json!(2)));
    assert_eq!(again["restarts"][0]["previousStatus"], "CANCELED");
    assert_eq!(again["restarts"][0]["stages"], json!([path]));
    world.post(&format!("{address}/cancel"), "{}").await.json(202);
    ended(&world, &id).await;
    let stage = format!("{address}/stages/{path}/restart");
    assert_eq!(world.post(&stage, "{}").await.json(202)["stages"][0]["attempt"], 3);
    world.post(&format!("{address}/stages/{path}/judge"), r#"{"verdict": "continue"}"#).await;
    world.post(&format!("{address}/cancel"), "{}").await;
    ended(&world, &id).await;

    for (to, body, status, says) in [
        ("restart", r#"{"stage": "nonesuch"}"#, 404, "no stage `nonesuch`"),
        ("stages/nonesuch/restart", "{}", 404, "no stage `nonesuch`"),
        ("restart", r#"{"from": "a"}"#, 400, "unknown field"),
    ] {
        let problem = world.post(&format!("{address}/{to}"), body).await.json(status);
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(says)), "{problem}");
    }
    let nobody = ExecutionId::generate();
    world.post(&format!("/api/v1/executions/{nobody}/restart"), "{}").await.json(404);
}
