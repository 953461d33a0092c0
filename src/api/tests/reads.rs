//! What the API tells: lists, filters, single things, and what isn't there.

use serde_json::json;

use super::*;
use crate::diagnostic::{Code, Diagnostic, Place};
use crate::model::{CommitSha, NewExecution, Pin, PinKind, Pipeline, RepositoryName, pipeline_id};
use crate::store::{CommitFindings, Publication, RepositoryNote, Settlement};

pub(super) const COMMIT: &str = "1a2b3c4d5e1a2b3c4d5e1a2b3c4d5e1a2b3c4d5e";

fn pipeline(name: &str) -> Pipeline {
    let (application, pipeline) = ("shop".parse().expect("a name"), name.parse().expect("a name"));
    let source = json!({"file": ".longboat/shop.yaml", "line": 3, "column": 5, "endLine": 3, "endColumn": 5});
    let stage = json!({"id": "wait", "name": "wait", "type": "wait", "needs": [], "fields": {"duration": "5m"}, "source": source});
    let json = json!({
        "application": application, "name": name, "id": pipeline_id(&application, &pipeline),
        "description": "Ships the shop",
        "parameters": [
            {"name": "region", "type": "string", "required": true, "options": ["eu", "us"]},
            {"name": "replicas", "type": "integer", "default": 2},
        ],
        "triggers": [{"type": "git", "branches": ["main"]}],
        "stages": [stage], "source": source,
    });
    serde_json::from_value(json).expect("a pipeline")
}

fn execution(number: u32, name: &str, commit: &str) -> NewExecution {
    let json = json!({
        "id": format!("018f6b2e-4a57-7c3e-9d8f-{number:012x}"), "pipeline": pipeline(name), "revision": null,
        "parameters": {"region": "eu", "replicas": 2},
        "trigger": {"type": "git", "repository": "acme/shop", "branch": "main", "commit": commit, "actor": "ann", "message": "Ship it"},
        "repository": "acme/shop", "commit": commit, "report": null, "correlationId": null,
        "createdAt": 1_780_000_000_000_i64 + i64::from(number),
    });
    serde_json::from_value(json).expect("an execution")
}

/// What `platform` means.
pub(super) fn pin(letter: char) -> Pin {
    let commit = letter.to_string().repeat(40).parse().expect("a commit");
    Pin { repository: "platform".to_owned(), reference: None, commit, kind: PinKind::Branch("main".to_owned()) }
}

/// An application with two pipelines, three executions, and a finding.
pub(super) async fn seed(world: &World) {
    let repository: RepositoryName = "acme/shop".parse().expect("a name");
    let commit: CommitSha = COMMIT.parse().expect("a commit");
    let finding = Diagnostic::warning(Code::UnknownKey, "the key `x` is not known").at(Place::point("a.yaml", 2, 1));
    let other = "b".repeat(40);
    let settlement = Settlement {
        inbox: None,
        also: Vec::new(),
        pull_request: None,
        repository: repository.clone(),
        git_ref: "refs/heads/main".to_owned(),
        commit: Some(commit.clone()),
        publish: vec![Publication {
            application: "shop".parse().expect("a name"),
            file_owner: repository.clone(),
            pipelines: vec![pipeline("deploy"), pipeline("clean up")],
            branch: "main".to_owned(),
            commit: commit.clone(),
            pins: [pin('d')].into_iter().collect(),
        }],
        withdraw: Vec::new(),
        removal: None,
        executions: vec![
            execution(1, "deploy", COMMIT),
            execution(2, "clean up", COMMIT),
            execution(3, "deploy", &other),
        ],
        messages: Vec::new(),
        findings: Some(CommitFindings {
            repository: repository.clone(),
            commit,
            git_ref: "refs/heads/main".to_owned(),
            findings: vec![finding],
            pipelines: 2,
        }),
        has_files: Some(true),
        uses: None,
    };
    let store = &world.state.store;
    store.settle(settlement).await.expect("settled");
    let note = RepositoryNote { error: Some("could not be reached: timed out".to_owned()), has_files: None };
    store.note_repository(&"acme/secret".parse().expect("a name"), note).await.expect("noted");
}

#[tokio::test]
async fn unknown_addresses_and_methods_are_problems() {
    let world = World::new().await;
    for path in [
        "/api/v1",
        "/api/v1/",
        "/api/v1/nothing",
        "/api/v2/executions",
        "/api/v1/executions/not-an-id",
        "/api/v1/executions/018f6b2e-4a57-7c3e-9d8f-0a1b2c3d4e5f",
        "/api/v1/executions/018f6b2e-4a57-7c3e-9d8f-0a1b2c3d4e5f/stages/build/log",
        "/api/v1/executions/018f6b2e-4a57-7c3e-9d8f-0a1b2c3d4e5f/stages/build/log?attempt=1",
        "/api/v1/executions/018f6b2e-4a57-7c3e-9d8f-0a1b2c3d4e5f/stages/..%2F..%2Fetc/log?attempt=1",
        "/api/v1/executions/018f6b2e-4a57-7c3e-9d8f-0a1b2c3d4e5f/unpause",
        "/api/v1/applications/no",
        "/api/v1/applications/no/pipelines",
        "/api/v1/applications/no/pipelines/x",
        "/api/v1/applications/../x",
        "/api/v1/repositories/no/such",
    ] {
        world.get(path).await.problem(404, "not-found");
    }
    for path in ["/api/v1/executions", "/api/v1/repositories", "/healthz"] {
        let reply = world.post(path, "{}").await;
        reply.problem(405, "method-not-allowed");
        assert_eq!(reply.headers["allow"], "GET,HEAD", "{path}");
    }
}

#[tokio::test]
async fn executions_are_listed_filtered_and_paged() {
    let world = World::new().await;
    assert_eq!(world.get("/api/v1/executions").await.json(200), json!({"items": [], "nextCursor": null}));
    seed(&world).await;
    let ids = |reply: &Reply| -> Vec<String> {
        let items = reply.json(200)["items"].as_array().expect("items").clone();
        items.iter().map(|item| item["id"].as_str().expect("an id")[35..].to_owned()).collect()
    };
    let all = world.get("/api/v1/executions").await;
    assert_eq!(ids(&all), ["3", "2", "1"]);
    let newest = &all.json(200)["items"][0];
    assert_eq!(newest["createdTime"], "2026-05-28T20:26:40.003Z");
    assert_eq!(newest["status"], "NOT_STARTED");
    assert_eq!((newest["startTime"].clone(), newest["trigger"]["actor"].clone()), (Value::Null, json!("ann")));
    for (query, expected) in [
        ("application=shop", vec!["3", "2", "1"]),
        ("application=shop&pipeline=clean%20up", vec!["2"]),
        ("pipeline=clean+up", vec!["2"]),
        ("status=NOT_STARTED", vec!["3", "2", "1"]),
        ("status=SUCCEEDED", vec![]),
        ("repository=acme/shop&commit=bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", vec!["3"]),
        ("application=&limit=1", vec!["3"]),
    ] {
        assert_eq!(ids(&world.get(&format!("/api/v1/executions?{query}")).await), expected, "{query}");
    }
    let mut seen = Vec::new();
    let mut path = "/api/v1/executions?limit=2".to_owned();
    loop {
        let reply = world.get(&path).await;
        seen.extend(ids(&reply));
        let Some(cursor) = reply.json(200)["nextCursor"].as_str().map(str::to_owned) else { break };
        path = format!("/api/v1/executions?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, ["3", "2", "1"]);
    for bad in [
        "status=GREAT",
        "limit=0",
        "limit=501",
        "limit=many",
        "cursor=no-cursor",
        "commit=abc",
        "repository=..",
        "statsu=RUNNING",
    ] {
        world.get(&format!("/api/v1/executions?{bad}")).await.problem(400, "bad-request");
    }
}

#[tokio::test]
async fn applications_and_pipelines_say_where_they_come_from() {
    let world = World::new().await;
    seed(&world).await;
    let list = world.get("/api/v1/applications").await.json(200);
    assert_eq!(list["items"][0]["name"], "shop");
    assert_eq!(list["items"][0]["commit"], COMMIT);
    assert_eq!(list["items"][0], world.get("/api/v1/applications/shop").await.json(200));
    let pipelines = world.get("/api/v1/applications/shop/pipelines").await.json(200);
    assert_eq!(pipelines["items"].as_array().map(Vec::len), Some(2));
    let one = world.get("/api/v1/applications/shop/pipelines/clean%20up").await.json(200);
    assert_eq!((one["name"].as_str(), one["repository"].as_str()), (Some("clean up"), Some("acme/shop")));
    assert_eq!(one["parameters"][0]["options"], json!(["eu", "us"]));
    world.get("/api/v1/applications/shop/pipelines/no").await.problem(404, "not-found");
}

#[tokio::test]
async fn repositories_show_how_they_stand_and_no_secret() {
    let world = World::new().await;
    seed(&world).await;
    let reply = world.get("/api/v1/repositories").await;
    let list = reply.json(200);
    assert_eq!(list["items"].as_array().map(Vec::len), Some(3));
    let shop = &list["items"][0];
    assert_eq!((shop["name"].as_str(), shop["commit"].as_str()), (Some("acme/shop"), Some(COMMIT)));
    assert_eq!(shop["location"], "https://github.com/acme/shop.git");
    assert_eq!(list["items"][1]["error"], "could not be reached: timed out");
    assert_eq!(list["items"][2]["settledTime"], Value::Null);
    assert!(!reply.text().contains(SECRET) && !reply.text().contains("credentials"));
    for path in ["/api/v1/repositories/acme/shop", "/api/v1/repositories/acme%2Fshop"] {
        assert_eq!(world.get(path).await.json(200)["name"], "acme/shop");
    }
}

#[tokio::test]
async fn diagnostics_of_a_commit_have_their_places() {
    let world = World::new().await;
    seed(&world).await;
    for query in [format!("repository=acme/shop&commit={COMMIT}"), "repository=acme%2Fshop".to_owned()] {
        let found = world.get(&format!("/api/v1/diagnostics?{query}")).await.json(200);
        assert_eq!(found["findings"][0]["code"], "LB0301");
        assert_eq!(
            (found["findings"][0]["file"].clone(), found["findings"][0]["line"].clone()),
            (json!("a.yaml"), json!(2))
        );
        assert_eq!(found["summary"], json!({"errors": 0, "warnings": 1, "infos": 0, "pipelines": 2, "valid": true}));
    }
    world.get("/api/v1/diagnostics?repository=acme/secret").await.problem(404, "not-found");
    world.get("/api/v1/diagnostics?repository=acme/unknown").await.problem(404, "not-found");
    world
        .get(&format!("/api/v1/diagnostics?repository=acme/shop&commit={}", "c".repeat(40)))
        .await
        .problem(404, "not-found");
    for bad in ["", "repository=acme/shop&commit=abc", "repository=..", "commit=abc"] {
        world.get(&format!("/api/v1/diagnostics?{bad}")).await.problem(400, "bad-request");
    }
}

#[tokio::test]
async fn a_log_is_read_a_part_at_a_time() {
    let world = World::new().await;
    *world.logs.0.lock().expect("free") = b"one\ntwo \xe2\x9c\x93\n<script>".to_vec();
    let base = "/api/v1/executions/018f6b2e-4a57-7c3e-9d8f-000000000001/stages/deploy%2Fbefore/log?attempt=1";
    let first = world.get(&format!("{base}&max=5")).await;
    assert_eq!((first.status, first.text().as_str()), (StatusCode::OK, "one\nt"));
    assert_eq!(first.headers["content-type"], "text/plain; charset=utf-8");
    assert_eq!(first.headers["x-content-type-options"], "nosniff");
    assert_eq!(
        (&first.headers["x-longboat-next-offset"], &first.headers["x-longboat-end"]),
        (&"5".parse().expect("a header"), &"false".parse().expect("a header"))
    );
    let rest = world.get(&format!("{base}&offset=5")).await;
    assert_eq!(rest.bytes, b"wo \xe2\x9c\x93\n<script>");
    assert_eq!(rest.headers["x-longboat-end"], "true");
    let behind = world.get(&format!("{base}&offset=18446744073709551615")).await;
    assert_eq!((behind.bytes.len(), &behind.headers["x-longboat-next-offset"]), (0, &"20".parse().expect("a header")));
    for bad in ["offset=-1", "offset=x", "attempt=one", "ofset=1"] {
        world.get(&format!("{}?{bad}", base.split('?').next().expect("a path"))).await.problem(400, "bad-request");
    }
}

#[tokio::test]
async fn bodies_are_bounded_and_their_mistakes_explained() {
    let world = World::new().await;
    let path = "/api/v1/executions/018f6b2e-4a57-7c3e-9d8f-000000000001/cancel";
    world.post(path, "{\"reason\": 7}").await.problem(400, "bad-request");
    world.post(path, "{\"raeson\": \"x\"}").await.problem(400, "bad-request");
    world.post(path, "{").await.problem(400, "bad-request");
    world.post(path, &"[".repeat(100_000)).await.problem(400, "bad-request");
    world.post(path, &format!("{{\"reason\": \"{}\"}}", "x".repeat(2000))).await.problem(422, "too-long");
    world.post(path, &format!("{{\"reason\": \"{}\"}}", "x".repeat(2 << 20))).await.problem(413, "too-large");
    world.post(path, "").await.problem(404, "not-found");
    let form =
        Request::post(path).header("host", "localhost").header("content-type", "application/x-www-form-urlencoded");
    world.ask(form.body(Body::from("reason=x")).expect("a request")).await.problem(415, "unsupported-media-type");
}

#[tokio::test]
async fn health_tells_nothing_else() {
    let world = World::new().await;
    assert_eq!(world.get("/healthz").await.json(200), json!({"status": "ok"}));
    assert_eq!(world.get("/readyz").await.json(200), json!({"status": "ready"}));
    world.state.stopping.cancel();
    world.get("/readyz").await.problem(503, "unavailable");
    assert_eq!(world.get("/healthz").await.status, StatusCode::OK);
    let world = World::new().await;
    world.state.store.close().await;
    world.get("/readyz").await.problem(503, "unavailable");
    world.get("/api/v1/executions").await.problem(503, "unavailable");
}

#[tokio::test]
async fn a_server_that_has_its_database_for_itself_has_no_replicas() {
    let world = World::new().await;
    seed(&world).await;
    let answer = world.get("/api/v1/replicas").await.json(200);
    assert_eq!((&answer["items"], &answer["shared"]), (&json!([]), &json!(false)));
    assert_eq!(answer["configurationsDiffer"], false);
    let executions = world.get("/api/v1/executions").await.json(200);
    let id = executions["items"][0]["id"].as_str().expect("one").to_owned();
    let view = world.get(&format!("/api/v1/executions/{id}")).await.json(200);
    assert!(view.get("replica").is_none(), "nobody asks who has it");
}
