//! The REST API of the fake: what it takes, what it refuses, and in which words.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{ConnectInfo, Request, State as Shares};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::contract::contract;
use super::{Limit, Shared, TOKEN, answers};
use crate::support::connection::Breaker;

/// How many requests an hour takes.
const ALLOWANCE: u64 = 5000;
const BODY_LIMIT: usize = 1 << 20;

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new().fallback(handle).with_state(shared)
}

/// An answer before it has headers of HTTP; null: without a body.
pub(super) type Reply = (u16, Value, Vec<(&'static str, String)>);

async fn handle(
    Shares(shared): Shares<Arc<Shared>>,
    ConnectInfo(breaker): ConnectInfo<Breaker>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, BODY_LIMIT).await.unwrap_or_default();
    let place = place(&shared, parts.uri.path());
    if let Some(contract) = contract() {
        let faults = contract.request(parts.method.as_str(), &place, parts.uri.query().unwrap_or_default(), &body);
        shared.violated(faults);
    }
    let (method, uri) = (parts.method.clone(), parts.uri.clone());
    let work = {
        let shared = Arc::clone(&shared);
        move || {
            let mut reply = answer(&shared, &parts.method, &parts.uri, &parts.headers, &body);
            if let Some(contract) = contract() {
                shared.violated(contract.response(parts.method.as_str(), &place, reply.0, &reply.1));
            }
            name_it(&parts.method, &parts.headers, &mut reply);
            count(&shared, &mut reply);
            response(reply)
        }
    };
    shared.control.handle(&breaker, &method, &uri, work).await
}

/// The path as GitHub's description has it: without the prefix of an Enterprise Server, and by the repository's name
/// where a redirect led to its number.
fn place(shared: &Shared, path: &str) -> String {
    let path = path.strip_prefix("/api/v3").unwrap_or(path);
    let Some(behind) = path.strip_prefix("/repositories/") else { return path.to_owned() };
    let (id, rest) = behind.find('/').map_or((behind, ""), |slash| behind.split_at(slash));
    let state = shared.state();
    let found = state.repositories.iter().find(|(_, repository)| repository.id.to_string() == id);
    let name = found.map_or("unknown/unknown", |(name, _)| name.as_str());
    format!("/repos/{name}{rest}")
}

/// Gives a good answer its `ETag`; who has it already is told so.
fn name_it(method: &Method, headers: &HeaderMap, reply: &mut Reply) {
    if *method != Method::GET || reply.0 != 200 {
        return;
    }
    let name = format!("W/\"{}\"", hex::encode(Sha256::digest(reply.1.to_string())));
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    if known == Some(name.as_str()) {
        *reply = (304, Value::Null, Vec::new());
    }
    reply.2.push(("etag", name));
}

/// Counts the request, unless it cost nothing, and says what is left.
fn count(shared: &Shared, reply: &mut Reply) {
    let mut state = shared.state();
    if reply.0 != 304 {
        state.used += 1;
    }
    if reply.2.iter().any(|(name, _)| *name == "x-ratelimit-remaining") {
        return;
    }
    let resets_at = shared.clock.now().plus(Duration::from_secs(3600)).as_millis() / 1000;
    reply.2.extend([
        ("x-ratelimit-limit", ALLOWANCE.to_string()),
        ("x-ratelimit-remaining", ALLOWANCE.saturating_sub(state.used).to_string()),
        ("x-ratelimit-used", state.used.to_string()),
        ("x-ratelimit-reset", resets_at.to_string()),
    ]);
    if let Some(scopes) = &state.scopes {
        reply.2.push(("x-oauth-scopes", scopes.clone()));
    }
}

fn response((status, body, headers): Reply) -> Response {
    let status = StatusCode::from_u16(status).expect("a status");
    let mut response = if body.is_null() { status.into_response() } else { (status, Json(body)).into_response() };
    for (name, value) in headers {
        response.headers_mut().insert(name, value.parse().expect("a header"));
    }
    response
}

pub(super) fn refuse(status: u16, message: &str) -> Reply {
    let url = "https://docs.github.com/rest";
    (status, json!({"message": message, "documentation_url": url, "status": status.to_string()}), Vec::new())
}

pub(super) fn invalid(resource: &str, field: &str, message: &str) -> Reply {
    let error = json!({"resource": resource, "code": "custom", "field": field, "message": message});
    let url = "https://docs.github.com/rest";
    let body = json!({"message": "Validation Failed", "errors": [error], "documentation_url": url, "status": "422"});
    (422, body, Vec::new())
}

fn answer(shared: &Shared, method: &Method, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Reply {
    if headers.get(header::USER_AGENT).is_none_or(|agent| agent.is_empty()) {
        return refuse(
            403,
            "Request forbidden by administrative rules. Please make sure your request has a User-Agent header",
        );
    }
    match headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()) {
        None => return refuse(401, "Requires authentication"),
        Some(value) if value != format!("Bearer {TOKEN}") && value != format!("token {TOKEN}") => {
            return refuse(401, "Bad credentials");
        }
        Some(_) => {}
    }
    let mut state = shared.state();
    if let Some(reply) = limited(shared) {
        return reply;
    }
    let path = uri.path();
    let path = path.strip_prefix("/api/v3").unwrap_or(path);
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let (name, rest) = match parts.as_slice() {
        ["user"] if method == Method::GET => return answers::oneself(&state),
        ["repos", owner, name, rest @ ..] => (format!("{owner}/{name}"), rest),
        ["repositories", id, rest @ ..] => {
            let id: u64 = id.parse().unwrap_or_default();
            let found = state.repositories.iter_mut().find(|(_, repository)| repository.id == id);
            let Some((_, repository)) = found else { return refuse(404, "Not Found") };
            (repository.renamed_to.clone().unwrap_or_default(), rest)
        }
        _ => return refuse(404, "Not Found"),
    };
    let key = name.to_ascii_lowercase();
    let known = state.repositories.get(&key).map(|repository| (repository, false));
    let by_new_name =
        || state.repositories.values().find(|r| r.renamed_to.as_deref() == Some(&name)).map(|r| (r, true));
    let Some((repository, renamed)) = known.or_else(by_new_name) else { return refuse(404, "Not Found") };
    let target = match (&repository.redirect, &repository.renamed_to) {
        (Some(address), _) => Some(format!("{address}{path}")),
        (None, Some(_)) if !renamed => {
            let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
            let rest: String = rest.iter().map(|part| format!("/{part}")).collect();
            Some(format!("{}/repositories/{}{rest}{query}", shared.base, repository.id))
        }
        _ => None,
    };
    if let Some(target) = target {
        let status = if method == Method::GET { 301 } else { 307 };
        let body = json!({"message": "Moved Permanently", "url": target});
        return (status, body, vec![("location", target)]);
    }
    let name = repository.renamed_to.clone().unwrap_or(name);
    let asked = answers::Asked { name, method, rest, query: uri.query().unwrap_or_default(), body };
    let key = state
        .repositories
        .iter()
        .find(|(key, known)| **key == asked.key() || known.renamed_to.as_ref() == Some(&asked.name));
    let key = key.map(|(key, _)| key.clone()).unwrap_or_default();
    answers::repository(shared, &mut state, &key, &asked)
}

fn limited(shared: &Shared) -> Option<Reply> {
    let limited = shared.control.limited()?;
    let secondary = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.";
    let mut reply = match limited.limit {
        Limit::Reset => refuse(403, "API rate limit exceeded for user ID 1."),
        Limit::RetryAfter => refuse(403, secondary),
        Limit::TooMany | Limit::Silent => refuse(429, secondary),
    };
    reply.2 = match limited.limit {
        Limit::Reset => vec![
            ("x-ratelimit-limit", "5000".to_owned()),
            ("x-ratelimit-remaining", "0".to_owned()),
            ("x-ratelimit-reset", ((limited.until.as_millis() + 999) / 1000).to_string()),
        ],
        Limit::RetryAfter | Limit::TooMany => vec![("retry-after", limited.seconds.to_string())],
        Limit::Silent => Vec::new(),
    };
    Some(reply)
}
