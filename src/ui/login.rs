//! Where people with a browser show the token: once, for a session in a cookie that no script can read.

use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;
use serde_json::json;

use super::{UiState, render};
use crate::config::{Access, SESSION_COOKIE, SESSION_LENGTH};

/// More than a token needs.
pub(super) const MAX_BODY: usize = 16 * 1024;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    next: String,
}

/// Answers `GET /login`.
pub(super) async fn form(State(state): State<UiState>, Query(asked): Query<Asked>, headers: HeaderMap) -> Response {
    let next = local(&asked.next);
    if !state.signs_in() {
        return Redirect::to(next).into_response();
    }
    // A link from elsewhere (a commit's status, say) comes without the cookie, as it is `SameSite=Strict`. So who
    // is signed in goes round once more, from a page of ours; who isn't comes back here, and not from elsewhere.
    if headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site" || site == "same-site") {
        return render::page(StatusCode::OK, "bounce.html", json!({"next": next}));
    }
    render::page(StatusCode::OK, "login.html", json!({"next": next, "wrong": false}))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Submitted {
    token: String,
    next: String,
    leave: String,
}

/// Answers `POST /login`: signs in, or out with `leave`.
pub(super) async fn submit(State(state): State<UiState>, Form(submitted): Form<Submitted>) -> Response {
    let next = local(&submitted.next);
    let secure = state.config.server.public_url.as_deref().is_some_and(|url| url.starts_with("https://"));
    if !submitted.leave.is_empty() {
        return with_cookie(Redirect::to("/login").into_response(), "", 0, secure);
    }
    let session = Access::new(&state.config).open_session(&submitted.token, state.clock.now());
    match session {
        Some(session) => with_cookie(Redirect::to(next).into_response(), &session, SESSION_LENGTH.as_secs(), secure),
        None => {
            tracing::warn!("somebody tried to sign in with a wrong token");
            render::page(StatusCode::FORBIDDEN, "login.html", json!({"next": next, "wrong": true}))
        }
    }
}

/// Only an address on this server: nobody is sent elsewhere after signing in.
fn local(next: &str) -> &str {
    let safe = next.starts_with('/')
        && !next.starts_with("//")
        && !next.contains('\\')
        && !next.starts_with("/login")
        && next.bytes().all(|byte| byte.is_ascii_graphic());
    if safe { next } else { "/" }
}

fn with_cookie(mut response: Response, session: &str, seconds: u64, secure: bool) -> Response {
    let secure = if secure { "; Secure" } else { "" };
    let cookie = format!("{SESSION_COOKIE}={session}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    // Digits and a dot: always a legal header.
    if let Ok(value) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_elsewhere() {
        for good in ["/", "/executions/1?a=b", "/repositories/a/b"] {
            assert_eq!(local(good), good);
        }
        for bad in [
            "",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "/a\nb",
            "/login?next=/login",
            "javascript:x",
        ] {
            assert_eq!(local(bad), "/", "{bad}");
        }
    }
}
