//! The pages as a browser asks for them, over a real store.

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use secrecy::SecretString;
use serde_json::json;
use tower::ServiceExt as _;

use super::super::view::samples::{HOSTILE, NOW};
use super::super::*;
use crate::diagnostic::{Code, Diagnostic, Place};
use crate::engine::{Engine, EngineOptions, LogChunk, Registry};
use crate::model::{
    CommitSha, ExecutionId, Freeze, NewExecution, Pin, PinKind, Pipeline, RepositoryName, StagePath, pipeline_id,
};
use crate::store::{CommitFindings, Publication, RemovalVerdict, RepositoryNote, Settlement, Taking};

/// Every stage has printed 600,000 times `x`.
struct Logs;

#[async_trait::async_trait]
impl LogSource for Logs {
    async fn read(&self, _: ExecutionId, _: &StagePath, _: u32, offset: u64, max: usize) -> io::Result<LogChunk> {
        let from = offset.min(600_000);
        let next = from.saturating_add(max as u64).min(600_000);
        Ok(LogChunk { bytes: vec![b'x'; usize::try_from(next - from).expect("small")], next, end: next == 600_000 })
    }
}

pub(super) struct World {
    app: Router,
    pub(super) state: UiState,
    _engine: Engine,
}

impl World {
    pub(super) async fn new(tokens: &[&str]) -> Self {
        let mut config = super::config();
        config.server.tokens = tokens.iter().map(|token| SecretString::from(*token)).collect();
        let clock = Clock::manual(NOW);
        let store = Store::temporary(clock.clone()).await.expect("a store");
        let registry = Registry::new(Vec::new());
        let engine =
            Engine::start(store.clone(), clock.clone(), registry, EngineOptions::default()).await.expect("an engine");
        let state = UiState { config: Arc::new(config), store, engine: engine.handle(), logs: Arc::new(Logs), clock };
        Self { app: router(state.clone()), state, _engine: engine }
    }

    pub(super) async fn get(&self, path: &str) -> (StatusCode, HeaderMap, String) {
        self.ask(Request::get(path).body(Body::empty()).expect("a request")).await
    }

    async fn ask(&self, request: Request<Body>) -> (StatusCode, HeaderMap, String) {
        let response = self.app.clone().oneshot(request).await.expect("an answer");
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 1 << 22).await.expect("a body");
        (parts.status, parts.headers, String::from_utf8_lossy(&bytes).replace("&#x2f;", "/"))
    }

    #[track_caller]
    pub(super) fn shown(reply: (StatusCode, HeaderMap, String)) -> String {
        assert_eq!(reply.0, StatusCode::OK, "{}", reply.2);
        assert_eq!(reply.1["content-type"], "text/html; charset=utf-8");
        reply.2
    }
}

fn pipeline(name: &str, description: &str) -> Pipeline {
    let (application, pipeline) = ("shop".parse().expect("a name"), name.parse().expect("a name"));
    let source = json!({"file": ".longboat/shop.yaml", "line": 3, "column": 5, "endLine": 3, "endColumn": 5});
    let stage = |id: &str, needs: &[&str]| json!({"id": id, "name": id, "type": "wait", "needs": needs, "fields": {}, "source": source});
    let stages = [stage("wait", &[]), stage("check", &["wait"])];
    let json = json!({
        "application": "shop", "name": name, "id": pipeline_id(&application, &pipeline), "description": description,
        "parameters": [
            {"name": "region", "type": "string", "required": true, "options": ["eu", "us"], "description": HOSTILE},
            {"name": "replicas", "type": "integer", "default": 2},
            {"name": "dry", "type": "boolean", "default": false},
            {"name": "features", "type": "list"},
        ],
        "triggers": [{"type": "git", "branches": ["main", "release/*"]}, {"type": "cron", "schedule": "0 9 * * *"}],
        "stages": stages, "source": source,
    });
    serde_json::from_value(json).expect("a pipeline")
}

fn execution(number: u32, name: &str, message: &str) -> NewExecution {
    let commit = "1a2b3c4d5e".repeat(4);
    let json = json!({
        "id": format!("018f6b2e-4a57-7c3e-9d8f-{number:012x}"), "pipeline": pipeline(name, "x"), "revision": null,
        "parameters": {},
        "trigger": {"type": "git", "repository": "acme/shop", "branch": "main", "commit": commit, "actor": "ann", "message": message},
        "repository": "acme/shop", "commit": commit, "report": null, "correlationId": null,
        "createdAt": NOW.as_millis() - 600_000 + i64::from(number) * 60_000,
    });
    serde_json::from_value(json).expect("an execution")
}

/// What `platform` means.
pub(super) fn pin(letter: char) -> Pin {
    let commit = letter.to_string().repeat(40).parse().expect("a commit");
    Pin { repository: "platform".to_owned(), reference: None, commit, kind: PinKind::Branch("main".to_owned()) }
}

/// An application with two pipelines, three executions, and findings.
pub(super) async fn seed(world: &World) {
    let repository: RepositoryName = "acme/shop".parse().expect("a name");
    let commit: CommitSha = "1a2b3c4d5e".repeat(4).parse().expect("a commit");
    let error = Diagnostic::error(Code::UnknownStageType, "the stage type `scirpt` is not known")
        .at(Place::point(".longboat/deploy.yaml", 14, 13))
        .hint("did you mean `script`?");
    let findings = vec![error, Diagnostic::warning(Code::UnknownKey, HOSTILE).at(Place::point(HOSTILE, 1, 1))];
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
            pipelines: vec![pipeline("deploy", "Ships the shop"), pipeline("clean up", HOSTILE)],
            branch: "main".to_owned(),
            commit: commit.clone(),
            pins: [pin('d')].into_iter().collect(),
        }],
        withdraw: Vec::new(),
        removal: None,
        executions: vec![
            execution(1, "deploy", "Let the basket survive a restart"),
            execution(2, "clean up", HOSTILE),
            execution(
                3,
                "deploy",
                "A longer headline that says what the change is for, and why it had to be made today",
            ),
        ],
        messages: Vec::new(),
        findings: Some(CommitFindings {
            repository: repository.clone(),
            commit,
            git_ref: "refs/heads/main".to_owned(),
            findings,
            pipelines: 2,
        }),
        has_files: Some(true),
        uses: None,
    };
    world.state.store.settle(settlement).await.expect("settled");
    world.state.store.note_repository(&repository, RepositoryNote::default()).await.expect("noted");
}

#[tokio::test]
async fn an_empty_server_says_what_to_do() {
    let world = World::new(&[]).await;
    assert!(World::shown(world.get("/").await).contains("Nothing has run yet"));
    assert!(World::shown(world.get("/applications").await).contains("No application is published yet"));
    assert!(World::shown(world.get("/repositories").await).contains("Not looked at yet"));
}

#[tokio::test]
async fn what_the_configuration_would_take_away_is_shown_with_the_command_that_approves() {
    let world = World::new(&[]).await;
    seed(&world).await;
    let commit: CommitSha = "1a2b3c4d5e".repeat(4).parse().expect("a commit");
    for (name, number) in [("acme/shop", 30), ("acme/gone", 1)] {
        let pipelines = (0..number).map(|number| format!("shop/p{number:02}")).collect();
        let taking = Taking {
            repository: name.parse().expect("a name"),
            withdraw: Vec::new(),
            verdict: Some((commit.clone(), RemovalVerdict::Refused { pipelines, of: 31 })),
            inbox: None,
        };
        world.state.store.take(taking).await.expect("written");
    }
    let shop = [
        "configuration would take away 30 of 31 pipelines. They stay as they are",
        "<li>shop/p19</li>",
        "<li>and 10 more</li>",
        "<pre>longboat repositories approve-removal acme/shop 1a2b3c4</pre>",
    ];
    let one = World::shown(world.get("/repositories/acme/shop").await);
    let all = World::shown(world.get("/repositories").await);
    for text in shop {
        assert!(one.contains(text) && all.contains(text), "{text}\n{one}");
    }
    assert!(!one.contains("acme/gone") && !one.contains("shop/p20"), "{one}");
    for text in ["Not in the configuration", "<pre>longboat repositories approve-removal acme/gone 1a2b3c4</pre>"] {
        assert!(all.contains(text), "{text}\n{all}");
    }
    // What somebody approved waits no longer.
    let gone: RepositoryName = "acme/gone".parse().expect("a name");
    world.state.store.approve_removal(&gone, &commit, "ann").await.expect("written");
    assert!(!World::shown(world.get("/repositories").await).contains("acme/gone"));
}

#[tokio::test]
async fn lists_show_what_there_is_and_escape_it() {
    let world = World::new(&[]).await;
    seed(&world).await;
    for (path, texts) in [
        ("/", vec!["Let the basket survive a restart", "Queued", "ann", "2026-05-28", "href=\"/executions/018f6b2e"]),
        (
            "/applications",
            vec![
                "Ships the shop",
                "2 stages",
                "push to main, release/*",
                "time table 0 9 * * * UTC",
                "data-kind=\"boolean\"",
            ],
        ),
        (
            "/repositories",
            vec![
                "acme/shop",
                "Has errors",
                "`scirpt` is not known",
                ".longboat/deploy.yaml:14:13",
                "did you mean `script`?",
            ],
        ),
        ("/repositories/acme/shop", vec!["acme/shop", "Its executions"]),
        (
            "/repositories/acme/shop?commit=1a2b3c4d5e1a2b3c4d5e1a2b3c4d5e1a2b3c4d5e",
            vec!["What was found in 1a2b3c4", "scirpt"],
        ),
        ("/repositories/acme/shop?commit=cccccccccccccccccccccccccccccccccccccccc", vec!["not validated this commit"]),
        ("/fragments/executions", vec!["Let the basket"]),
        ("/fragments/repositories", vec!["acme/shop"]),
    ] {
        let html = World::shown(world.get(path).await);
        for text in texts {
            assert!(html.contains(text), "{path} lacks {text}: {html}");
        }
        assert!(!html.contains("<script>alert") && !html.contains("<img"), "{path}: {html}");
    }
}

#[tokio::test]
async fn an_execution_has_a_page_and_a_part_that_lives() {
    let world = World::new(&[]).await;
    seed(&world).await;
    let id = "018f6b2e-4a57-7c3e-9d8f-000000000002";
    let html = World::shown(world.get(&format!("/executions/{id}")).await);
    assert!(html.contains(&format!("data-fragment=\"/fragments/executions/{id}\"")), "{html}");
    assert!(html.contains("id=\"stage-wait\""), "{html}");
    let fragment = World::shown(world.get(&format!("/fragments/executions/{id}")).await);
    assert!(html.contains(fragment.trim()), "the page holds what the fragment holds");
    assert!(!fragment.contains("<html") && !fragment.contains("<script"), "{fragment}");
}

#[tokio::test]
async fn a_whole_log_is_sent_however_long_it_is() {
    let world = World::new(&[]).await;
    seed(&world).await;
    let base = "/executions/018f6b2e-4a57-7c3e-9d8f-000000000002/stages/wait";
    let (status, headers, text) = world.get(&format!("{base}/log?attempt=1")).await;
    assert_eq!((status, text.len()), (StatusCode::OK, 600_000));
    assert_eq!(headers["content-type"], "text/plain; charset=utf-8");
    let other = base.replace("000002", "000009");
    assert_eq!(world.get(&format!("{other}/log")).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_list_is_narrowed_by_its_form() {
    let world = World::new(&[]).await;
    seed(&world).await;
    let rows = |html: String| html.matches("class=\"row ").count();
    for (query, expected) in [
        ("", 3),
        ("application=shop&pipeline=&status=", 3),
        ("pipeline=clean+up", 1),
        ("status=NOT_STARTED", 3),
        ("status=SUCCEEDED", 0),
        ("application=%3Cscript%3E", 0),
        ("status=nonsense", 0),
        ("repository=acme%2Fshop", 3),
    ] {
        assert_eq!(rows(World::shown(world.get(&format!("/?{query}")).await)), expected, "{query}");
    }
    let (status, _, html) = world.get("/?cursor=%3Cimg%3E").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(!html.contains("<img"), "{html}");
}

#[tokio::test]
async fn what_is_not_there_has_a_page_that_says_so() {
    let world = World::new(&[]).await;
    for path in [
        "/nothing",
        "/executions/x",
        "/executions/018f6b2e-4a57-7c3e-9d8f-000000000001",
        "/repositories/no/such",
        "/repositories/..",
        "/fragments/executions/x",
    ] {
        let (status, _, html) = world.get(path).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        assert!(html.contains("<h1>Not found</h1>"), "{path}: {html}");
    }
    assert_eq!(world.get("/assets/../templates/base.html").await.0, StatusCode::NOT_FOUND);
    assert_eq!(world.get("/assets/none.js").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn assets_are_kept_by_their_digest() {
    let world = World::new(&[]).await;
    let html = World::shown(world.get("/").await);
    for name in ["app.css", "app.js", "mark.svg"] {
        let at = html.find(&format!("/assets/{name}?v=")).expect("the page names it");
        let path = html[at..].split('"').next().expect("an address");
        let (status, headers, _) = world.get(path).await;
        assert_eq!(
            (status, headers["cache-control"].to_str().expect("text")),
            (StatusCode::OK, "public, max-age=31536000, immutable")
        );
        let again =
            Request::get(path).header("if-none-match", &headers["etag"]).body(Body::empty()).expect("a request");
        assert_eq!(world.ask(again).await.0, StatusCode::NOT_MODIFIED);
        assert_eq!(world.get(&format!("/assets/{name}?v=old")).await.1["cache-control"], "no-cache");
    }
}

async fn sign_in(world: &World, body: &str) -> (StatusCode, HeaderMap, String) {
    let request = Request::post("/login").header("content-type", "application/x-www-form-urlencoded");
    world.ask(request.body(Body::from(body.to_owned())).expect("a request")).await
}

#[tokio::test]
async fn a_token_opens_a_session_and_nothing_else_does() {
    let world = World::new(&["right-token"]).await;
    assert!(World::shown(world.get("/login?next=/applications").await).contains("value=\"/applications\""));
    let (status, headers, _) = sign_in(&world, "token=right-token&next=%2Fapplications").await;
    assert_eq!((status, &headers["location"]), (StatusCode::SEE_OTHER, &"/applications".parse().expect("a header")));
    let cookie = headers["set-cookie"].to_str().expect("text");
    assert!(cookie.contains("; HttpOnly; SameSite=Strict") && cookie.starts_with("longboat_session="), "{cookie}");
    assert!(!cookie.contains("right-token"));
    let session = cookie.split(['=', ';']).nth(1).expect("a value");
    assert!(Access::new(&world.state.config).admits_session(session, NOW));

    for wrong in ["token=wrong&next=/", "token=&next=/", "next=/", "token=right-token%20"] {
        let (status, headers, html) = sign_in(&world, wrong).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{wrong}");
        assert!(!headers.contains_key("set-cookie") && html.contains("not one of the configured tokens"), "{wrong}");
    }
    let (_, headers, _) = sign_in(&world, "token=right-token&next=https%3A%2F%2Fevil.example").await;
    assert_eq!(headers["location"], "/");
    let (_, headers, _) = sign_in(&world, "leave=1").await;
    assert!(headers["set-cookie"].to_str().expect("text").contains("Max-Age=0"));
    let long = format!("token={}", "x".repeat(20_000));
    assert_eq!(sign_in(&world, &long).await.0, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_link_from_elsewhere_goes_round_once_more() {
    let world = World::new(&["right-token"]).await;
    let request = Request::get("/login?next=/executions/1").header("sec-fetch-site", "cross-site").body(Body::empty());
    let html = World::shown(world.ask(request.expect("a request")).await);
    assert!(html.contains("http-equiv=\"refresh\" content=\"0;url=/executions/1\""), "{html}");
    let open = World::new(&[]).await;
    assert_eq!(open.get("/login?next=/applications").await.1["location"], "/applications");
}

#[tokio::test]
async fn a_freeze_stands_on_the_pages_that_it_is_about() {
    let world = World::new(&[]).await;
    seed(&world).await;
    let freeze = |application: Option<&str>, reason: &str| Freeze {
        application: application.map(|name| name.parse().expect("a name")),
        reason: reason.to_owned(),
        by: "ann".to_owned(),
        since: NOW,
        until: application.is_none().then(|| NOW.plus(std::time::Duration::from_secs(60))),
    };
    let engine = world.state.engine.clone();
    let execution = "/executions/018f6b2e-4a57-7c3e-9d8f-000000000002";
    let pages = ["/", "/?application=shop", execution, "/applications", "/?application=bank", "/repositories"];
    let told = |reason: &'static str| {
        let world = &world;
        async move {
            let mut told = Vec::new();
            for path in pages {
                let html = World::shown(world.get(path).await);
                assert!(!html.contains("<script>alert"), "{html}");
                told.push(html.contains(reason));
            }
            told
        }
    };
    assert_eq!(told("is frozen").await, [false; 6]);
    engine.freeze(freeze(Some("shop"), HOSTILE)).await.expect("frozen");
    assert_eq!(told("shop is frozen: ").await, [true, true, true, true, false, false]);
    engine.freeze(freeze(None, "release week")).await.expect("frozen");
    assert_eq!(told("Everything is frozen: release week").await, [true; 6]);
    assert!(World::shown(world.get("/").await).contains(", until 2026-"), "it says when it ends");
}

#[tokio::test]
async fn a_server_that_has_its_database_for_itself_says_so() {
    let world = World::new(&[]).await;
    let html = World::shown(world.get("/replicas").await);
    assert!(html.contains("This server has its database for itself"), "{html}");
    assert!(!html.contains("<table"), "{html}");
    assert!(!World::shown(world.get("/repositories").await).contains("/replicas"), "no link to it");
}
