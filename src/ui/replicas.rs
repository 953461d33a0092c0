//! The page of the servers that share the database.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::view::ReplicaRow;
use super::{Refusal, UiState, render};
use crate::store::disagree;

/// Answers `GET /replicas`.
pub(super) async fn page(State(state): State<UiState>) -> Result<Response, Refusal> {
    let mut values = list(&state).await?;
    values["here"] = json!("replicas");
    values["signed_in"] = json!(state.signs_in());
    values["freezes"] = json!(state.freezes(None).await?);
    Ok(render::page(StatusCode::OK, "replicas.html", values))
}

/// Answers `GET /fragments/replicas`.
pub(super) async fn fragment(State(state): State<UiState>) -> Result<Response, Refusal> {
    Ok(render::page(StatusCode::OK, "_replicas.html", list(&state).await?))
}

async fn list(state: &UiState) -> Result<Value, Refusal> {
    let replicas = state.store.replicas().await?;
    let now = state.clock.now();
    let rows: Vec<ReplicaRow> = replicas.iter().map(|replica| ReplicaRow::new(replica, &replicas, now)).collect();
    Ok(json!({"rows": rows, "differ": disagree(&replicas), "shared": state.store.is_shared()}))
}
