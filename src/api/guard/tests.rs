//! The guards, over a router that answers everything with who it thinks is asking.

use std::path::Path;

use axum::body::Body;
use axum::http::StatusCode;
use axum::routing::{any, get};
use axum::{Extension, Router};
use secrecy::SecretString;
use tower::ServiceExt as _;

use super::*;

fn config(listen: &str, tokens: &[&str], public_url: Option<&str>) -> Config {
    let mut config = Config::local(Path::new("/nowhere"), listen.parse().expect("an address"));
    config.server.tokens = tokens.iter().map(|token| SecretString::from(*token)).collect();
    config.server.public_url = public_url.map(str::to_owned);
    config
}

async fn panics() -> &'static str {
    panic!("on purpose, with a hunter2")
}

fn app(config: &Config) -> Router {
    let inner = Router::new()
        .route("/panic", get(panics))
        .route("/slow", get(std::future::pending::<()>))
        .route("/only-get", get(|| async { "got" }))
        .route("/healthz", get(|| async { "ok" }))
        .route("/webhooks/github", any(|| async { "hooked" }))
        .fallback(any(|actor: Option<Extension<Actor>>| async move {
            actor.map_or_else(|| "nobody".to_owned(), |Extension(Actor(name))| name)
        }));
    guard_within(Duration::from_millis(200), inner, config, Clock::system())
}

struct Ask<'a> {
    method: &'a str,
    path: &'a str,
    headers: &'a [(&'a str, &'a str)],
}

async fn ask(config: &Config, ask: Ask<'_>) -> (StatusCode, HeaderMap, String) {
    let mut request = Request::builder().method(ask.method).uri(ask.path);
    for (name, value) in ask.headers {
        request = request.header(*name, *value);
    }
    let response = app(config).oneshot(request.body(Body::empty()).expect("a request")).await.expect("an answer");
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, 1 << 20).await.expect("a body");
    (parts.status, parts.headers, String::from_utf8(bytes.to_vec()).expect("text"))
}

#[tokio::test]
async fn on_loopback_only_our_own_names_are_answered() {
    let config = config("127.0.0.5:8084", &[], Some("https://cd.example.com"));
    for good in [
        "localhost:8084",
        "LOCALHOST",
        "127.0.0.1:8084",
        "[::1]:8084",
        "127.0.0.5",
        "cd.example.com",
        "CD.example.com:443",
    ] {
        let (status, ..) = ask(&config, Ask { method: "GET", path: "/", headers: &[("host", good)] }).await;
        assert_eq!(status, StatusCode::OK, "{good}");
    }
    for bad in [
        "evil.example",
        "localhost.evil.example",
        "localhost.",
        "127.0.0.1.nip.io",
        "0.0.0.0",
        "",
        "a b",
        "localhost@evil.example",
    ] {
        let (status, _, body) = ask(&config, Ask { method: "GET", path: "/", headers: &[("host", bad)] }).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{bad}: {body}");
    }
    let twice = Ask { method: "GET", path: "/", headers: &[("host", "localhost"), ("host", "localhost")] };
    assert_eq!(ask(&config, twice).await.0, StatusCode::FORBIDDEN);
    let absent = Ask { method: "GET", path: "/", headers: &[] };
    assert_eq!(ask(&config, absent).await.0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_foreign_page_changes_nothing() {
    let config = config("127.0.0.1:8084", &[], Some("https://cd.example.com"));
    let json = ("content-type", "application/json; charset=utf-8");
    let host = ("host", "localhost:8084");
    let cases: &[(&[(&str, &str)], StatusCode)] = &[
        (&[host, json], StatusCode::OK),
        (&[host, json, ("origin", "http://localhost:8084")], StatusCode::OK),
        (&[host, json, ("origin", "https://cd.example.com")], StatusCode::OK),
        (&[host, json, ("sec-fetch-site", "same-origin")], StatusCode::OK),
        (&[host, json, ("origin", "http://localhost:3000")], StatusCode::FORBIDDEN),
        (&[host, json, ("origin", "http://127.0.0.1:8084")], StatusCode::FORBIDDEN),
        (&[host, json, ("origin", "null")], StatusCode::FORBIDDEN),
        (&[host, json, ("origin", "localhost:8084")], StatusCode::FORBIDDEN),
        (&[host, json, ("origin", "http://localhost:8084"), ("origin", "http://evil.example")], StatusCode::FORBIDDEN),
        (&[host, json, ("sec-fetch-site", "cross-site")], StatusCode::FORBIDDEN),
        (&[host, json, ("sec-fetch-site", "same-site")], StatusCode::FORBIDDEN),
        (&[host], StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (&[host, ("content-type", "text/plain")], StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (&[host, ("content-type", "application/x-www-form-urlencoded")], StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (&[host, ("content-type", "text/plain; x=application/json")], StatusCode::UNSUPPORTED_MEDIA_TYPE),
    ];
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        for (headers, expected) in cases {
            let (status, _, body) = ask(&config, Ask { method, path: "/api/v1/x", headers }).await;
            assert_eq!(status, *expected, "{method} {headers:?}: {body}");
        }
    }
}

#[tokio::test]
async fn whoever_has_a_token_of_their_own_is_called_by_their_name() {
    let mut config = config("0.0.0.0:8084", &["anns-token", "other-token"], None);
    let roles = Some(vec!["release".to_owned()]);
    config.server.holders = vec![Holder { name: "ann".to_owned(), roles }, Holder::default()];
    let session = Access::new(&config).open_session("anns-token", Clock::system().now()).expect("a session");
    let cookie = format!("{SESSION_COOKIE}={session}");
    for (headers, name) in [
        (("authorization", "Bearer anns-token"), "ann"),
        (("authorization", "Bearer other-token"), "operator"),
        (("cookie", cookie.as_str()), "ann"),
    ] {
        let (status, _, body) = ask(&config, Ask { method: "GET", path: "/x", headers: &[headers] }).await;
        assert_eq!((status, body.as_str()), (StatusCode::OK, name));
    }
    let access = Access::new(&config);
    assert_eq!(access.holder("anns-token").and_then(|holder| holder.roles.clone()), Some(vec!["release".to_owned()]));
}

/// A path, headers, and what comes of them.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], StatusCode);

#[tokio::test]
async fn off_loopback_a_token_opens_api_and_pages() {
    let config = config("0.0.0.0:8084", &["first-token", "second-token"], None);
    let session = Access::new(&config).open_session("second-token", Clock::system().now()).expect("a session");
    let cookie = format!("other=1; {SESSION_COOKIE}={session}");
    let cases: &[Case<'_>] = &[
        ("/api/v1/executions", &[], StatusCode::UNAUTHORIZED),
        ("/api/v1/executions", &[("accept", "text/html")], StatusCode::UNAUTHORIZED),
        ("/api/v1/executions", &[("authorization", "Bearer first-token")], StatusCode::OK),
        ("/api/v1/executions", &[("authorization", "bearer second-token")], StatusCode::OK),
        ("/api/v1/executions", &[("authorization", "Bearer wrong")], StatusCode::UNAUTHORIZED),
        ("/api/v1/executions", &[("authorization", "Basic first-token")], StatusCode::UNAUTHORIZED),
        ("/api/v1/executions", &[("cookie", &cookie)], StatusCode::OK),
        ("/api/v1/executions", &[("cookie", "longboat_session=1.00")], StatusCode::UNAUTHORIZED),
        ("/", &[], StatusCode::UNAUTHORIZED),
        ("/", &[("cookie", &cookie)], StatusCode::OK),
        ("/login", &[], StatusCode::OK),
        ("/assets/app.js", &[], StatusCode::OK),
        ("/healthz", &[], StatusCode::OK),
        ("/webhooks/github", &[], StatusCode::OK),
        ("/webhooks", &[], StatusCode::UNAUTHORIZED),
        ("/healthz/../api/v1/executions", &[], StatusCode::UNAUTHORIZED),
    ];
    for (path, headers, expected) in cases {
        let (status, _, body) = ask(&config, Ask { method: "GET", path, headers }).await;
        assert_eq!(status, *expected, "{path} {headers:?}: {body}");
    }
    let page = Ask { method: "GET", path: "/executions/1?a=b&c=d", headers: &[("accept", "text/html,*/*")] };
    let (status, headers, _) = ask(&config, page).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    assert_eq!(headers["location"], "/login?next=/executions/1%3Fa%3Db%26c%3Dd");
    let (_, headers, _) = ask(&config, Ask { method: "GET", path: "/api/v1/x", headers: &[] }).await;
    assert_eq!(headers["www-authenticate"], "Bearer realm=\"longboat\"");
}

#[tokio::test]
async fn tokens_count_on_loopback_too_and_foreign_pages_stay_out() {
    let config = config("127.0.0.1:8084", &["first-token"], None);
    let host = ("host", "localhost");
    let bare = Ask { method: "GET", path: "/api/v1/x", headers: &[host] };
    assert_eq!(ask(&config, bare).await.0, StatusCode::UNAUTHORIZED);
    let foreign = [
        host,
        ("authorization", "Bearer first-token"),
        ("content-type", "application/json"),
        ("origin", "http://evil.example"),
    ];
    assert_eq!(
        ask(&config, Ask { method: "POST", path: "/api/v1/x", headers: &foreign }).await.0,
        StatusCode::FORBIDDEN
    );
}

#[tokio::test]
async fn every_answer_has_the_security_headers_and_every_error_a_body() {
    let config = config("127.0.0.1:8084", &[], None);
    let host = ("host", "localhost");
    for (method, path, expected) in
        [("GET", "/", 200), ("GET", "/panic", 500), ("DELETE", "/only-get", 415), ("OPTIONS", "/only-get", 405)]
    {
        let (status, headers, body) = ask(&config, Ask { method, path, headers: &[host] }).await;
        assert_eq!(status.as_u16(), expected, "{path}: {body}");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert!(headers["content-security-policy"].to_str().expect("text").contains("frame-ancestors 'none'"));
        assert!(!headers["content-security-policy"].to_str().expect("text").contains("unsafe"));
        assert_eq!(headers["cache-control"], "no-store");
        if status != StatusCode::OK {
            assert_eq!(headers["content-type"], PROBLEM_JSON, "{path}");
            let problem: serde_json::Value = serde_json::from_str(&body).expect("a problem");
            assert_eq!(problem["status"], expected, "{body}");
            assert!(!body.contains("hunter2") && !body.contains("panic"), "{body}");
            assert_eq!(problem["id"].is_string(), expected == 500, "{body}");
        }
    }
    let (_, headers, _) = ask(&config, Ask { method: "OPTIONS", path: "/only-get", headers: &[host] }).await;
    assert_eq!(headers["allow"], "GET,HEAD");
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_given_up() {
    let config = config("127.0.0.1:8084", &[], None);
    let (status, _, body) = ask(&config, Ask { method: "GET", path: "/slow", headers: &[("host", "localhost")] }).await;
    assert_eq!(status, StatusCode::REQUEST_TIMEOUT, "{body}");
}

#[tokio::test]
async fn more_requests_than_allowed_are_refused_at_once() {
    let mut config = config("127.0.0.1:8084", &[], None);
    config.limits.requests = 1;
    let app = app(&config);
    let request =
        |path: &str| Request::builder().uri(path).header("host", "localhost").body(Body::empty()).expect("a request");
    let mut slow = Box::pin(app.clone().oneshot(request("/slow")));
    assert!(futures::poll!(&mut slow).is_pending());
    let refused = app.oneshot(request("/")).await.expect("an answer");
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()["retry-after"], "5");
}
