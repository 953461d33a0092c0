//! Webhooks: read within bounds, believed only when signed, written down before they are answered.
//!
//! The order is the protection. While the body is read, it is counted. Then its signature is checked over
//! the raw bytes, before anything in it is looked at and before anybody is called. What is answered 2xx is on
//! disk, even if the sender hung up meanwhile; what it sets in motion happens afterwards.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::Shared;
use super::problem::Problem;
use super::request::read_body;
use crate::forge::{Delivery, ForgeEvent, Forges, WebhookError};
use crate::store::{Accepted, HookAccepted};
use crate::telemetry::metrics;
use crate::trigger::Noticed;

/// The largest custom webhook, in bytes: its payload is kept with each execution that it starts.
const MAX_CUSTOM: usize = 256 * 1024;

/// How many bodies of the largest size fit into memory at once, in KiB.
pub(super) fn memory_budget(limit: usize) -> usize {
    limit.div_ceil(1024).saturating_mul(4).clamp(1, tokio::sync::Semaphore::MAX_PERMITS)
}

/// Answers `POST /webhooks/{path}`: with 202 if something was written down, with 200 if there was nothing to write.
///
/// A delivery can speak of several things, several branches of one push for instance; each is noticed for itself.
/// If one can't be written the whole delivery is refused, and those that were written are known when it comes again.
pub(super) async fn receive(
    State(shared): State<Shared>,
    Path(path): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    if let Some(source) = path.strip_prefix("custom/") {
        return receive_custom(&shared, source, &headers, body).await;
    }
    if shared.api.forges.by_webhook_path(&path).next().is_none() {
        return Err(Problem::not_found("no forge of the configuration sends its webhooks here"));
    }
    let limit = shared.api.config.limits.webhook_body;
    let (bytes, permits) = read_body(&headers, body, limit, Some(&shared.webhook_memory)).await?;
    let believed = believe(&shared.api.forges, &path, &headers, &bytes);
    metrics().webhook(&path, if believed.is_ok() { "believed" } else { "refused" });
    let (forge, delivery) = believed?;
    drop(bytes);
    drop(permits);
    let mut answers = Vec::new();
    for event in delivery.events {
        answers.push(notice(&shared, &forge, delivery.id.as_deref(), event).await?);
    }
    Ok(together(answers).into_response())
}

/// Answers `POST /webhooks/custom/{source}`: with 202 when it is written down. What it starts is told later, by the list
/// of executions.
async fn receive_custom(shared: &Shared, source: &str, headers: &HeaderMap, body: Body) -> Result<Response, Problem> {
    let Some(secret) = shared.api.config.webhooks.get(source) else {
        return Err(Problem::not_found("the configuration has no such source under `webhooks`"));
    };
    let limit = shared.api.config.limits.webhook_body.min(MAX_CUSTOM);
    let (bytes, permits) = read_body(headers, body, limit, Some(&shared.webhook_memory)).await?;
    let believed = crate::forge::receive_custom(secret, shared.api.clock.now(), headers, &bytes);
    metrics().webhook("custom", if believed.is_ok() { "believed" } else { "refused" });
    let delivery = believed.map_err(|error| {
        tracing::debug!(source, %error, "a custom webhook was refused");
        answer_to(&error)
    })?;
    drop(bytes);
    drop(permits);
    // Without a name of its sender's, each is another one.
    let id = delivery.id.unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
    let accepted = shared.api.triggers.notice_hook(source.to_owned(), id.clone(), delivery.payload).await?;
    let result = match accepted {
        HookAccepted::New => "accepted",
        HookAccepted::Duplicate => "duplicate",
        HookAccepted::Full => {
            return Err(Problem::unavailable("too many webhooks of this source wait to be worked off"));
        }
    };
    Ok((StatusCode::ACCEPTED, Json(json!({"result": result, "delivery": id}))).into_response())
}

/// Why a webhook isn't believed, as an answer.
fn answer_to(error: &WebhookError) -> Problem {
    let text = error.to_string();
    match error {
        WebhookError::NoSecret | WebhookError::Repository { .. } => Problem::not_found(text),
        WebhookError::Unsigned { .. } | WebhookError::WrongSignature => Problem::unsigned(text),
        WebhookError::ContentType { .. } => Problem::unsupported_media_type(text),
        WebhookError::Malformed(_) => Problem::bad_request(text),
    }
}

/// What became of one event: the status to answer with, and a word.
type Answer = (StatusCode, Value);

/// One answer for all events of a delivery: 202 if any was written down, and its word before all others.
fn together(mut answers: Vec<Answer>) -> (StatusCode, Json<Value>) {
    if answers.len() == 1
        && let Some((status, body)) = answers.pop()
    {
        return (status, Json(body));
    }
    let status = answers.iter().map(|(status, _)| *status).max().unwrap_or(StatusCode::OK);
    let words: Vec<&str> = answers.iter().filter_map(|(_, body)| body["result"].as_str()).collect();
    let best = ["accepted", "duplicate", "superseded"].into_iter().find(|word| words.contains(word));
    let body = json!({
        "result": best.unwrap_or("ignored"),
        "results": answers.iter().map(|(_, body)| body).collect::<Vec<_>>(),
    });
    (status, Json(body))
}

/// Finds the forge that believes a delivery. Several share an address; each one's secret speaks for the repositories
/// of its own forge only.
fn believe(forges: &Forges, path: &str, headers: &HeaderMap, body: &[u8]) -> Result<(String, Delivery), Problem> {
    let mut refusal: Option<WebhookError> = None;
    for (forge, repositories) in forges.by_webhook_path(path) {
        match forge.receive(repositories, headers, body) {
            Ok(delivery) => return Ok((forge.name().to_owned(), delivery)),
            // Another forge's secret may fit; what is said under a fitting secret goes before, and what a secret
            // says before there being none.
            Err(error) if !error.is_about_the_secret() => refusal = Some(error),
            Err(error) if refusal.as_ref().is_none_or(|refusal| *refusal == WebhookError::NoSecret) => {
                refusal = Some(error);
            }
            Err(_) => {}
        }
    }
    let error = refusal.unwrap_or(WebhookError::NoSecret);
    // At debug level: anybody can make these.
    tracing::debug!(path, %error, "a webhook was refused");
    Err(answer_to(&error))
}

/// Takes up one event. The triggers write in a task of their own: whoever hangs up now takes nothing back.
async fn notice(shared: &Shared, forge: &str, delivery: Option<&str>, event: ForgeEvent) -> Result<Answer, Problem> {
    let id = delivery.map(str::to_owned);
    let noticed = match event {
        ForgeEvent::Ping { complaints } => {
            for complaint in &complaints {
                tracing::warn!(forge.name = forge, complaint, "a webhook was tried out, and is not set up well");
            }
            let mut body = json!({"result": "pong"});
            if !complaints.is_empty() {
                body["complaints"] = json!(complaints);
            }
            return Ok((StatusCode::OK, body));
        }
        ForgeEvent::Ignored { event } => {
            tracing::debug!(delivery, event, "a webhook of a kind that starts nothing");
            return Ok((StatusCode::OK, json!({"result": "ignored", "event": event})));
        }
        ForgeEvent::Push(push) => shared.api.triggers.notice(push, id).await?,
        ForgeEvent::PullRequest(event) => shared.api.triggers.notice_pull_request(event, id).await?,
        ForgeEvent::Comment(event) => shared.api.triggers.notice_comment(event, id).await?,
    };
    let result = match noticed {
        Noticed::Accepted(Accepted::New(_)) => "accepted",
        Noticed::Accepted(Accepted::Duplicate) => "duplicate",
        Noticed::Accepted(Accepted::Superseded) => "superseded",
        Noticed::NoBranch | Noticed::NoCommand => "ignored",
        Noticed::NotFollowed(name) => {
            return Err(Problem::not_found(format!("the repository `{name}` isn't configured")));
        }
    };
    Ok((StatusCode::ACCEPTED, json!({"result": result})))
}
