//! The API over a real store, asked as a client asks it.

mod acts;
mod freezes;
mod modules;
mod pulls;
mod reads;
mod removals;
mod webhooks;

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use serde_json::Value;
use tower::ServiceExt as _;

use super::*;
use crate::clock::Timestamp;
use crate::engine::{Engine, EngineOptions, LogChunk, Registry};
use crate::forge::Forges;
use crate::forge::github::{GitHub, GitHubOptions};
use crate::git::{GitOptions, Remote};
use crate::model::{ExecutionId, StagePath};
use crate::schema::Catalog;
use crate::trigger::{RepositorySet, RepositorySpec, TriggerDeps, TriggerOptions};

/// The secret of the sample forge's webhooks.
const SECRET: &str = "a secret that only GitHub and Longboat know";

/// Logs that a test wrote by hand, whatever the stage.
#[derive(Default)]
struct Logs(Mutex<Vec<u8>>);

#[async_trait::async_trait]
impl LogSource for Logs {
    async fn read(&self, _: ExecutionId, _: &StagePath, _: u32, offset: u64, max: usize) -> io::Result<LogChunk> {
        let text = self.0.lock().expect("no panic while it is held");
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(text.len());
        let to = from.saturating_add(max).min(text.len());
        Ok(LogChunk { bytes: text[from..to].to_vec(), next: to as u64, end: to == text.len() })
    }
}

/// A server without a socket.
struct World {
    app: Router,
    state: ApiState,
    logs: Arc<Logs>,
    _engine: Engine,
    _folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// With triggers that follow `acme/shop`, which can't be fetched.
    async fn following() -> Self {
        Self::following_with(|_| {}).await
    }

    async fn following_with(change: impl FnOnce(&mut Config)) -> Self {
        let spec = RepositorySpec {
            name: "acme/shop".parse().expect("a name"),
            forge: Some("github".to_owned()),
            forge_url: None,
            remote: Remote { url: "/nonexistent/acme/shop.git".to_owned(), credentials: None },
            branches: vec!["main".to_owned()],
            applications: None,
            poll: Duration::from_secs(3600),
        };
        Self::made(change, vec![spec]).await
    }

    async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::made(change, Vec::new()).await
    }

    async fn made(change: impl FnOnce(&mut Config), follow: Vec<RepositorySpec>) -> Self {
        let text = "forges:\n  github: {type: github, webhookSecret: {env: HOOK}}\n  other: {type: github, url: 'https://git.example.com', webhookSecret: {env: OTHER}}\n\
             repositories:\n  - {name: acme/shop, forge: github, branches: [main]}\n  - {name: acme/secret, forge: other}\n  - {name: local/plain, path: /nowhere}\n";
        let secret = |name: &str| Some(if name == "HOOK" { SECRET.to_owned() } else { "another".to_owned() });
        let mut config = Config::parse(Path::new("/etc/longboat.yaml"), text, secret).expect("legal");
        change(&mut config);
        let clock = Clock::manual(Timestamp::from_millis(1_780_000_000_000));
        let store = Store::temporary(clock.clone()).await.expect("a store");
        let logs = Arc::new(Logs::default());
        let folder = tempfile::tempdir().expect("a folder");
        let repositories = RepositorySet::new(follow, folder.path(), &GitOptions::default());
        let registry = Registry::new(vec![Arc::new(acts::Ask)]);
        let engine =
            Engine::start(store.clone(), clock.clone(), registry, EngineOptions::default()).await.expect("an engine");
        let handle = engine.handle();
        let deps = TriggerDeps {
            store: store.clone(),
            clock: clock.clone(),
            repositories,
            modules: crate::trigger::ModuleSet::default(),
            catalog: Arc::new(Catalog::new(Vec::new())),
            forges: Forges::new(),
            submit: Arc::new(move |key| {
                let handle = handle.clone();
                Box::pin(async move { handle.submit(key).await })
            }),
        };
        let state = ApiState {
            forges: forges(&config, &clock),
            config: Arc::new(config),
            engine: engine.handle(),
            triggers: Triggers::start(deps, TriggerOptions::default()).await.expect("triggers"),
            store,
            logs: logs.clone(),
            figures: Arc::new(|| Box::pin(async { Ok(crate::telemetry::Snapshot::default()) })),
            clock: clock.clone(),
            stopping: CancellationToken::new(),
        };
        let app = guard(router(state.clone()), &state.config, clock);
        Self { app, state, logs, _engine: engine, _folder: folder }
    }

    async fn get(&self, path: &str) -> Reply {
        self.ask(Request::get(path).header("host", "localhost").body(Body::empty()).expect("a request")).await
    }

    async fn post(&self, path: &str, body: &str) -> Reply {
        let request = Request::post(path).header("host", "localhost").header("content-type", "application/json");
        self.ask(request.body(Body::from(body.to_owned())).expect("a request")).await
    }

    async fn send(&self, method: &str, path: &str, body: &str) -> Reply {
        let request = Request::builder().method(method).uri(path).header("host", "localhost");
        let request = request.header("content-type", "application/json");
        self.ask(request.body(Body::from(body.to_owned())).expect("a request")).await
    }

    async fn ask(&self, request: Request<Body>) -> Reply {
        let response = self.app.clone().oneshot(request).await.expect("an answer");
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 1 << 24).await.expect("a body").to_vec();
        Reply { status: parts.status, headers: parts.headers, bytes }
    }
}

/// The forges of the sample configuration, as the composition root sets them up.
fn forges(config: &Config, clock: &Clock) -> Forges {
    let mut forges = Forges::new();
    for (name, section) in &config.forges {
        let mut options = GitHubOptions::new(name.as_str(), section.api_url.as_str(), section.token.clone());
        options.webhook_secret.clone_from(&section.webhook_secret);
        let there = config.repositories.iter().filter(|repository| repository.forge.as_ref() == Some(name));
        let github = GitHub::new(options, clock.clone()).expect("set up");
        forges.add(Arc::new(github), there.map(|repository| repository.name.clone()));
    }
    forges
}

/// What came back.
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    bytes: Vec<u8>,
}

impl Reply {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    #[track_caller]
    fn json(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        serde_json::from_slice(&self.bytes).expect("JSON")
    }

    /// A problem with its status in the body, and of the right type.
    #[track_caller]
    fn problem(&self, status: u16, code: &str) -> Value {
        let problem = self.json(status);
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(
            (problem["status"].as_u64(), problem["code"].as_str()),
            (Some(u64::from(status)), Some(code)),
            "{problem}"
        );
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
        problem
    }
}
