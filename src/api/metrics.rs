//! `GET /metrics`: figures for Prometheus (docs/metrics.md has the list).

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use futures::future::BoxFuture;

use super::Shared;
use super::problem::Problem;
use crate::store::StoreError;
use crate::telemetry::{CONTENT_TYPE, Snapshot, metrics};

/// Says how things stand at the moment.
pub type Figures = Arc<dyn Fn() -> BoxFuture<'static, Result<Snapshot, StoreError>> + Send + Sync>;

/// Answers in the OpenMetrics text format.
pub(super) async fn metrics_text(State(shared): State<Shared>) -> Result<Response, Problem> {
    let snapshot = (shared.api.figures)().await?;
    let mut response = metrics().encode(&snapshot).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    Ok(response)
}
