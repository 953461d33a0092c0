//! The REST API of the fake: what it takes, what it refuses, and in which words.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{ConnectInfo, Request, State as Shares};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::connection::Breaker;
use super::{Fault, Limit, Posted, Seen, Shared, State, TOKEN};

const MOST_STATUSES: usize = 1000;
const BODY_LIMIT: usize = 1 << 20;

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new().fallback(handle).with_state(shared)
}

/// An answer before it has headers of HTTP.
type Reply = (u16, Value, Vec<(&'static str, String)>);

async fn handle(
    Shares(shared): Shares<Arc<Shared>>,
    ConnectInfo(breaker): ConnectInfo<Breaker>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, BODY_LIMIT).await.unwrap_or_default();
    let (index, fault) = begin(&shared, &parts.method, &parts.uri);
    let _under_way = UnderWay(Arc::clone(&shared));
    match fault {
        Some(Fault::HangBefore) => std::future::pending().await,
        Some(Fault::BreakBefore) => return broken(&breaker),
        Some(Fault::Answer(status)) => {
            return finish(&shared, index, (status, json!({"message": "Something went wrong."}), Vec::new()));
        }
        Some(Fault::Gate) => {
            let mut gate = shared.gate.subscribe();
            shared.state().at_gate += 1;
            shared.note();
            gate.changed().await.expect("the fake lives");
            shared.state().at_gate -= 1;
        }
        _ => {}
    }
    let reply = answer(&shared, &parts.method, &parts.uri, &parts.headers, &body);
    match fault {
        Some(Fault::HangAfter) => {
            shared.note();
            std::future::pending().await
        }
        Some(Fault::BreakAfter) => {
            shared.note();
            broken(&breaker)
        }
        Some(Fault::FailAfter) => finish(&shared, index, (502, json!("<html>Bad gateway</html>"), Vec::new())),
        _ => finish(&shared, index, reply),
    }
}

/// Counts a request while it lasts, also if the client goes away.
struct UnderWay(Arc<Shared>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.state().under_way -= 1;
        self.0.note();
    }
}

fn begin(shared: &Shared, method: &Method, uri: &Uri) -> (usize, Option<Fault>) {
    let mut state = shared.state();
    state.under_way += 1;
    state.most_under_way = state.most_under_way.max(state.under_way);
    let index = state.seen.len();
    state.seen.push(Seen {
        method: method.to_string(),
        path: uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        status: None,
        at: shared.clock.now(),
    });
    let mut fault = state.always.clone();
    if method == Method::POST && fault.is_none() {
        state.posts += 1;
        let posts = state.posts;
        fault = state.next.pop_front();
        if fault.is_none() {
            fault = state.every.as_ref().filter(|(n, _)| posts.is_multiple_of(*n)).map(|(_, fault)| fault.clone());
        }
    }
    drop(state);
    shared.note();
    (index, fault)
}

fn finish(shared: &Shared, index: usize, (status, body, headers): Reply) -> Response {
    if let Some(seen) = shared.state().seen.get_mut(index) {
        seen.status = Some(status);
    }
    let mut response = (StatusCode::from_u16(status).expect("a status"), Json(body)).into_response();
    for (name, value) in headers {
        response.headers_mut().insert(name, value.parse().expect("a header"));
    }
    response
}

fn broken(breaker: &Breaker) -> Response {
    breaker.trip();
    StatusCode::OK.into_response()
}

fn refuse(status: u16, message: &str) -> Reply {
    let url = "https://docs.github.com/rest";
    (status, json!({"message": message, "documentation_url": url, "status": status.to_string()}), Vec::new())
}

fn invalid(field: &str, message: &str) -> Reply {
    let error = json!({"resource": "Status", "code": "custom", "field": field, "message": message});
    (422, json!({"message": "Validation Failed", "errors": [error], "status": "422"}), Vec::new())
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
    if let Some(reply) = limited(shared, &state) {
        return reply;
    }
    let path = uri.path();
    let path = path.strip_prefix("/api/v3").unwrap_or(path);
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let (name, rest) = match parts.as_slice() {
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
            Some(format!("{}/repositories/{}/{}", shared.base, repository.id, rest.join("/")))
        }
        _ => None,
    };
    if let Some(target) = target {
        let status = if method == Method::GET { 301 } else { 307 };
        let body = json!({"message": "Moved Permanently", "url": target});
        return (status, body, vec![("location", target)]);
    }
    let knows = |sha: &str| {
        repository.commits.iter().any(|known| known == sha) || repository.knows.as_ref().is_some_and(|knows| knows(sha))
    };
    match (method.as_str(), rest) {
        ("GET", []) => {
            let owner = name.split('/').next().unwrap_or_default();
            let body = json!({"id": repository.id, "full_name": name, "private": true, "owner": {"login": owner},
                "default_branch": "main", "permissions": {"pull": true, "push": true}});
            (200, body, Vec::new())
        }
        ("GET", ["commits", sha, "statuses"]) => {
            if knows(sha) {
                list(&state, sha, uri.query().unwrap_or_default())
            } else {
                refuse(422, &format!("No commit found for SHA: {sha}"))
            }
        }
        ("POST", ["statuses", sha]) => {
            let known = knows(sha);
            match check(&state, sha, known, body) {
                Ok((context, fields)) => create(shared, &mut state, &name, sha, context, &fields),
                Err(reply) => reply,
            }
        }
        _ => refuse(404, "Not Found"),
    }
}

fn limited(shared: &Shared, state: &State) -> Option<Reply> {
    let (limit, until) = state.limit?;
    let left = until.since(shared.clock.now());
    if left == Duration::ZERO {
        return None;
    }
    // Whole seconds, and never less than is left.
    let seconds = u64::try_from(left.as_millis().div_ceil(1000)).unwrap_or(u64::MAX);
    let secondary = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.";
    let mut reply = match limit {
        Limit::Reset => refuse(403, "API rate limit exceeded for user ID 1."),
        Limit::RetryAfter => refuse(403, secondary),
        Limit::TooMany => refuse(429, secondary),
    };
    reply.2 = match limit {
        Limit::Reset => vec![
            ("x-ratelimit-limit", "5000".to_owned()),
            ("x-ratelimit-remaining", "0".to_owned()),
            ("x-ratelimit-reset", ((until.as_millis() + 999) / 1000).to_string()),
        ],
        Limit::RetryAfter | Limit::TooMany => vec![("retry-after", seconds.to_string())],
    };
    Some(reply)
}

/// What GitHub checks about a new status, in its order; the context and the other fields if all is well.
fn check(state: &State, sha: &str, known: bool, body: &Bytes) -> Result<(String, Value), Reply> {
    let fields: Value = serde_json::from_slice(body).map_err(|_| refuse(400, "Problems parsing JSON"))?;
    if !fields.is_object() {
        return Err(refuse(400, "Body should be a JSON object"));
    }
    match fields["state"].as_str() {
        Some("error" | "failure" | "pending" | "success") => {}
        _ => return Err(invalid("state", "state is not included in the list")),
    }
    if fields["description"].as_str().is_some_and(|text| text.chars().count() > 140) {
        return Err(invalid("description", "description is too long (maximum is 140 characters)"));
    }
    if fields["target_url"].as_str().is_some_and(|url| !url.starts_with("http://") && !url.starts_with("https://")) {
        return Err(invalid("target_url", "target_url must use http(s) scheme"));
    }
    if !known {
        return Err(refuse(422, &format!("No commit found for SHA: {sha}")));
    }
    let context = fields["context"].as_str().unwrap_or("default").to_owned();
    let earlier = state.earlier.get(&(sha.to_owned(), context.clone())).copied().unwrap_or_default();
    let posted = state.posted.iter().filter(|posted| posted.sha == sha && posted.context == context).count();
    if earlier + posted >= MOST_STATUSES {
        return Err(invalid("base", "This SHA and context has reached the maximum number of statuses."));
    }
    Ok((context, fields))
}

fn create(shared: &Shared, state: &mut State, name: &str, sha: &str, context: String, fields: &Value) -> Reply {
    let text = |field: &str| fields[field].as_str().map(str::to_owned);
    state.posted.push(Posted {
        repository: name.to_owned(),
        sha: sha.to_owned(),
        context,
        state: text("state").unwrap_or_default(),
        description: text("description").unwrap_or_default(),
        target_url: text("target_url"),
        at: shared.clock.now(),
    });
    let id = state.posted.len();
    let shown = state.posted.last().map(|posted| show(id, posted)).unwrap_or_default();
    (201, shown, Vec::new())
}

/// Newest first, in pages.
fn list(state: &State, sha: &str, query: &str) -> Reply {
    let number = |key: &str, default: usize| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(name, _)| *name == key).find_map(|(_, value)| value.parse().ok()).unwrap_or(default)
    };
    let size = number("per_page", 30).clamp(1, 100);
    let mine = state.posted.iter().enumerate().rev().filter(|(_, posted)| posted.sha == sha);
    let page = mine.skip(number("page", 1).saturating_sub(1) * size).take(size);
    (200, page.map(|(index, posted)| show(index + 1, posted)).collect(), Vec::new())
}

fn show(id: usize, posted: &Posted) -> Value {
    json!({
        "id": id,
        "node_id": format!("SC_{id}"),
        "url": format!("https://api.github.example/repos/{}/statuses/{}", posted.repository, posted.sha),
        "avatar_url": "https://avatars.example/u/1",
        "state": posted.state,
        "description": if posted.description.is_empty() { Value::Null } else { json!(posted.description) },
        "target_url": posted.target_url,
        "context": posted.context,
        "created_at": posted.at.to_rfc3339(),
        "updated_at": posted.at.to_rfc3339(),
        "creator": {"login": "longboat-bot", "id": 1, "type": "User", "site_admin": false},
    })
}
