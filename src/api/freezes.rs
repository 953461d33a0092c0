//! Freezes: which applications begin nothing new, and why.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Shared;
use super::guard::Actor;
use super::problem::{Problem, fault};
use super::request::{Payload, parse};
use crate::clock::Timestamp;
use crate::diagnostic::nearest;
use crate::model::{ApplicationName, Freeze};

/// A freeze as the API shows it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FreezeView {
    /// None: everything.
    application: Option<ApplicationName>,
    reason: String,
    by: String,
    since: String,
    until: Option<String>,
}

impl From<Freeze> for FreezeView {
    fn from(freeze: Freeze) -> Self {
        Self {
            application: freeze.application,
            reason: freeze.reason,
            by: freeze.by,
            since: freeze.since.to_rfc3339(),
            until: freeze.until.map(Timestamp::to_rfc3339),
        }
    }
}

/// Answers `GET /freezes`: those in force, that of everything first.
pub(super) async fn list(State(shared): State<Shared>) -> Result<Json<Value>, Problem> {
    let freezes = shared.api.store.freezes().await?;
    let items: Vec<FreezeView> = freezes.into_iter().map(FreezeView::from).collect();
    Ok(Json(json!({"items": items, "nextCursor": null})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    #[serde(default)]
    reason: String,
    until: Option<String>,
}

/// Answers `PUT /freezes`.
pub(super) async fn freeze_all(
    State(shared): State<Shared>,
    Extension(Actor(by)): Extension<Actor>,
    Payload(wish): Payload<Wish>,
) -> Result<Json<Value>, Problem> {
    freeze(&shared, None, wish, by).await
}

/// Answers `PUT /freezes/{application}`. A name that nobody publishes is refused: it may be a slip, and the freeze one
/// that freezes nothing.
pub(super) async fn freeze_one(
    State(shared): State<Shared>,
    Path(application): Path<String>,
    Extension(Actor(by)): Extension<Actor>,
    Payload(wish): Payload<Wish>,
) -> Result<Json<Value>, Problem> {
    let name: ApplicationName = parse(&application, "application")?;
    let known = shared.api.store.applications().await?;
    if !known.iter().any(|summary| summary.name == name) {
        let text = format!("no repository publishes an application `{name}`");
        let near = nearest(name.as_str(), known.iter().map(|summary| summary.name.as_str()));
        return Err(Problem::not_found(match near {
            Some(near) => format!("{text}; did you mean `{near}`?"),
            None => text,
        }));
    }
    freeze(&shared, Some(name), wish, by).await
}

async fn freeze(
    shared: &Shared,
    application: Option<ApplicationName>,
    wish: Wish,
    by: String,
) -> Result<Json<Value>, Problem> {
    let since = shared.api.clock.now();
    let (reason, until) = check(&wish, since)?;
    let freeze = Freeze { application, reason, by, since, until };
    let (engine, wanted) = (shared.api.engine.clone(), freeze.clone());
    // In a task of its own: it isn't taken back when the client hangs up.
    let task = tokio::spawn(async move { engine.freeze(wanted).await });
    task.await.map_err(Problem::internal)??;
    Ok(Json(json!(FreezeView::from(freeze))))
}

/// Reason and end, or all that is wrong with them.
fn check(wish: &Wish, now: Timestamp) -> Result<(String, Option<Timestamp>), Problem> {
    let mut faults = Vec::new();
    let reason = wish.reason.trim();
    if reason.is_empty() || reason.chars().count() > Freeze::MAX_REASON || reason.chars().any(char::is_control) {
        let message = format!("say why, in a line of at most {} characters", Freeze::MAX_REASON);
        faults.push(fault("reason", message));
    }
    let until = wish.until.as_deref().map(Timestamp::from_rfc3339);
    match until {
        Some(None) => faults.push(fault("until", "is no RFC 3339 time, like 2026-12-24T18:00:00Z")),
        Some(Some(until)) if until <= now => faults.push(fault("until", "is over already")),
        Some(Some(_)) | None => {}
    }
    if faults.is_empty() {
        return Ok((reason.to_owned(), until.flatten()));
    }
    Err(Problem::unprocessable("invalid-freeze", "the freeze can't be made as it stands").with_errors(faults))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// Answers `DELETE /freezes`. Applications that are frozen by themselves stay so.
pub(super) async fn thaw_all(
    State(shared): State<Shared>,
    Extension(Actor(by)): Extension<Actor>,
    Payload(Nothing {}): Payload<Nothing>,
) -> Result<StatusCode, Problem> {
    thaw(shared, None, by).await
}

/// Answers `DELETE /freezes/{application}`.
pub(super) async fn thaw_one(
    State(shared): State<Shared>,
    Path(application): Path<String>,
    Extension(Actor(by)): Extension<Actor>,
    Payload(Nothing {}): Payload<Nothing>,
) -> Result<StatusCode, Problem> {
    thaw(shared, Some(parse(&application, "application")?), by).await
}

async fn thaw(shared: Shared, application: Option<ApplicationName>, by: String) -> Result<StatusCode, Problem> {
    let what = application.as_ref().map_or_else(|| "everything".to_owned(), |name| format!("the application `{name}`"));
    let engine = shared.api.engine.clone();
    let task = tokio::spawn(async move { engine.thaw(application.as_ref()).await });
    if !task.await.map_err(Problem::internal)?? {
        return Err(Problem::not_found(format!("there is no freeze of {what}")));
    }
    // The row is gone, so that the log is where it stands who ended it.
    tracing::info!(%by, what, "a freeze was ended");
    Ok(StatusCode::NO_CONTENT)
}
