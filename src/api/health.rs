//! For load balancers and service managers. They tell nothing about what runs here.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::Shared;
use super::problem::Problem;

/// Answers `GET /healthz`: the process lives.
pub(super) async fn healthz() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// Answers `GET /readyz`: the engine runs, the store answers, the server may act on it, and it isn't stopping.
pub(super) async fn readyz(State(shared): State<Shared>) -> Result<Json<Value>, Problem> {
    if shared.api.stopping.is_cancelled() {
        return Err(Problem::unavailable("Longboat is stopping"));
    }
    if !shared.api.engine.is_ready() {
        return Err(Problem::unavailable("the engine doesn't run"));
    }
    if !shared.api.store.has_lease() {
        return Err(Problem::unavailable("this replica has no lease; the others do its work"));
    }
    match shared.api.store.next_inbox_due().await {
        Ok(_) => Ok(Json(json!({"status": "ready"}))),
        Err(error) => {
            tracing::warn!(%error, "not ready: the store doesn't answer");
            Err(Problem::unavailable("the store doesn't answer"))
        }
    }
}
