//! Webhooks: read within bounds, believed only when signed, written down before they are answered.
//!
//! The order is the protection. While the body is read, it is counted. Then its signature is checked over
//! the raw bytes, before anything in it is looked at and before anybody is called. What is answered 2xx is on
//! disk, even if the sender hung up meanwhile; what it sets in motion happens afterwards.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::Shared;
use super::problem::Problem;
use super::request::read_body;
use crate::config::{Config, ForgeKind};
use crate::forge::github::webhook::verify_and_parse;
use crate::forge::{Delivery, ForgeEvent, Push, WebhookError};
use crate::model::RepositoryName;
use crate::store::Accepted;
use crate::trigger::Noticed;

/// How many bodies of the largest size fit into memory at once, in KiB.
pub(super) fn memory_budget(limit: usize) -> usize {
    limit.div_ceil(1024).saturating_mul(4).clamp(1, tokio::sync::Semaphore::MAX_PERMITS)
}

/// Answers `POST /webhooks/github`.
pub(super) async fn github(State(shared): State<Shared>, headers: HeaderMap, body: Body) -> Result<Response, Problem> {
    let limit = shared.api.config.limits.webhook_body;
    let (bytes, permits) = read_body(&headers, body, limit, Some(&shared.webhook_memory)).await?;
    let delivery = verify(&shared.api.config, ForgeKind::GitHub, &headers, &bytes)?;
    drop(bytes);
    drop(permits);
    let mut response = Json(json!({"result": "ignored"})).into_response();
    for event in delivery.events {
        match event {
            ForgeEvent::Ping => response = Json(json!({"result": "pong"})).into_response(),
            ForgeEvent::Ignored { event } => {
                tracing::debug!(delivery = delivery.id, event, "a webhook of a kind that starts nothing");
                response = Json(json!({"result": "ignored", "event": event})).into_response();
            }
            ForgeEvent::Push(push) => response = accept(&shared, delivery.id.clone(), push).await?,
            ForgeEvent::PullRequest(_) | ForgeEvent::Comment(_) => {}
        }
    }
    Ok(response)
}

/// Finds the forge whose secret made the signature. Several forges of one kind share the address; each secret
/// speaks for the repositories of its own forge only.
fn verify(config: &Config, kind: ForgeKind, headers: &HeaderMap, body: &[u8]) -> Result<Delivery, Problem> {
    let mut refusal = None;
    for (name, forge) in config.forges.iter().filter(|(_, forge)| forge.kind == kind) {
        let Some(secret) = &forge.webhook_secret else { continue };
        let repositories = config.repositories.iter().filter(|repository| repository.forge.as_ref() == Some(name));
        let repositories: Vec<RepositoryName> = repositories.map(|repository| repository.name.clone()).collect();
        match verify_and_parse(secret, &repositories, headers, body) {
            Ok(verified) => return Ok(verified),
            // Another forge's secret may fit; what a fitting secret says goes before.
            Err(error @ (WebhookError::WrongSignature | WebhookError::Unsigned)) => {
                refusal.get_or_insert(error);
            }
            Err(error) => refusal = Some(error),
        }
    }
    let kind = kind.as_str();
    let Some(error) = refusal else {
        return Err(Problem::not_found(format!(
            "no forge of type {kind} has a `webhookSecret`, so webhooks are refused"
        )));
    };
    // At debug level: anybody can make these.
    tracing::debug!(kind, %error, "a webhook was refused");
    Err(match &error {
        WebhookError::NoSecret => Problem::not_found(error.to_string()),
        WebhookError::Unsigned | WebhookError::WrongSignature => Problem::unsigned(error.to_string()),
        WebhookError::ContentType { .. } => Problem::unsupported_media_type(error.to_string()),
        WebhookError::Malformed(_) => Problem::bad_request(error.to_string()),
        WebhookError::Repository { .. } => Problem::not_found(error.to_string()),
    })
}

async fn accept(shared: &Shared, delivery: Option<String>, push: Push) -> Result<Response, Problem> {
    // The triggers write in a task of their own: whoever hangs up now takes nothing back.
    let result = match shared.api.triggers.notice(push, delivery).await? {
        Noticed::Accepted(Accepted::New(_)) => "accepted",
        Noticed::Accepted(Accepted::Duplicate) => "duplicate",
        Noticed::Accepted(Accepted::Superseded) => "superseded",
        Noticed::NoBranch => "ignored",
        Noticed::NotFollowed(name) => {
            return Err(Problem::not_found(format!("the repository `{name}` isn't configured")));
        }
    };
    Ok((StatusCode::ACCEPTED, Json(json!({"result": result}))).into_response())
}
