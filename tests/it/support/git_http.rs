//! A Git server over HTTP: `git http-backend` behind a small CGI bridge, with moods.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::io::AsyncWriteExt;

/// How the server behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Serves.
    Well,
    /// Takes the request and never answers.
    Hangs,
    /// Answers a byte a second, for ever.
    Drips,
    /// Sends the caller to another address of the same server.
    Moves,
    /// Says 503.
    Overloaded,
}

/// A running server; it stops when dropped.
pub struct GitHttp {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

struct Shared {
    root: PathBuf,
    credentials: Option<(String, String)>,
    mood: Mutex<Mood>,
    seen: Mutex<Vec<Seen>>,
}

/// A request that came.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Path and query.
    pub target: String,
    /// Whether it carried credentials.
    pub authorized: bool,
}

impl GitHttp {
    /// Serves every repository below a folder; with credentials, only to who has them.
    pub async fn start(root: &Path, credentials: Option<(&str, &str)>) -> Self {
        let shared = Arc::new(Shared {
            root: root.to_owned(),
            credentials: credentials.map(|(name, password)| (name.to_owned(), password.to_owned())),
            mood: Mutex::new(Mood::Well),
            seen: Mutex::default(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let app = Router::new().fallback(answer).with_state(shared.clone());
        let task = tokio::spawn(async move { axum::serve(listener, app).await.expect("serves") });
        Self { address, shared, task }
    }

    /// The address of a repository below the root.
    pub fn url(&self, repository: &str) -> String {
        format!("http://{}/{repository}", self.address)
    }

    /// How it behaves from now on.
    pub fn set_mood(&self, mood: Mood) {
        *lock(&self.shared.mood) = mood;
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.shared.seen).clone()
    }
}

impl Drop for GitHttp {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    lock(&shared.seen)
        .push(Seen { target: parts.uri.to_string(), authorized: parts.headers.contains_key(header::AUTHORIZATION) });
    let mood = *lock(&shared.mood);
    match mood {
        Mood::Well => {}
        Mood::Hangs => std::future::pending().await,
        Mood::Drips => return drip(),
        Mood::Moves => {
            let target = parts.uri.to_string().replacen('/', "/moved/", 1);
            return (StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, target)]).into_response();
        }
        Mood::Overloaded => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
    if !shared.lets_in(&parts.headers) {
        return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Basic realm=\"git\"")]).into_response();
    }
    let body = axum::body::to_bytes(body, 64 * 1024 * 1024).await.expect("a body");
    let path = parts.uri.path().replacen("/moved/", "/", 1);
    backend(&shared, parts.method.as_str(), &path, parts.uri.query(), &parts.headers, body).await
}

impl Shared {
    fn lets_in(&self, headers: &HeaderMap) -> bool {
        let Some((name, password)) = &self.credentials else { return true };
        let expected = format!("Basic {}", base64(&format!("{name}:{password}")));
        headers.get(header::AUTHORIZATION).is_some_and(|value| value.as_bytes() == expected.as_bytes())
    }
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::prelude::BASE64_STANDARD.encode(text)
}

fn drip() -> Response {
    let bytes = futures::stream::unfold(0, |count| async move {
        if count > 0 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Some((Ok::<_, Infallible>(Bytes::from_static(b"0")), count + 1))
    });
    let kind = (header::CONTENT_TYPE, "application/x-git-upload-pack-advertisement");
    ([kind], Body::from_stream(bytes)).into_response()
}

async fn backend(
    shared: &Shared,
    method: &str,
    path: &str,
    query: Option<&str>,
    headers: &HeaderMap,
    body: Bytes,
) -> Response {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let mut child = tokio::process::Command::new("git")
        .arg("http-backend")
        .env_clear()
        .env("PATH", std::env::var_os("PATH").expect("a PATH"))
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_PROJECT_ROOT", &shared.root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query.unwrap_or_default())
        .env("CONTENT_TYPE", text("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", text("content-encoding"))
        .env("GIT_PROTOCOL", text("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("git http-backend");
    let mut stdin = child.stdin.take().expect("piped");
    tokio::spawn(async move {
        let _closed = stdin.write_all(&body).await;
    });
    let output = child.wait_with_output().await.expect("ends").stdout;
    let end = output.windows(4).position(|window| window == b"\r\n\r\n").expect("CGI headers");
    let mut response = Response::builder();
    for line in String::from_utf8_lossy(&output[..end]).lines() {
        let (name, value) = line.split_once(": ").expect("a header");
        response = if name == "Status" {
            response.status(value.split(' ').next().and_then(|code| code.parse().ok()).unwrap_or(500_u16))
        } else {
            response.header(name, value)
        };
    }
    response.body(Body::from(output[end + 4..].to_vec())).expect("a response")
}
