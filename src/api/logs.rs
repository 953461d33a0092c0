//! `GET /executions/{id}/stages/{path}/log`: what a stage printed, a part at a time.

use axum::extract::{Path, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::Shared;
use super::problem::Problem;
use super::request::{Params, parse};
use crate::model::{ExecutionId, StagePath};

/// The most bytes of one answer, and how many there are if nobody asks for fewer.
const MAX_CHUNK: usize = 1024 * 1024;
const CHUNK: usize = 256 * 1024;

/// Where the next part begins.
const NEXT_OFFSET: HeaderName = HeaderName::from_static("x-longboat-next-offset");
/// Whether nothing more will come.
const END: HeaderName = HeaderName::from_static("x-longboat-end");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    /// From which byte on.
    #[serde(default)]
    offset: u64,
    /// Which attempt; the latest if absent.
    attempt: Option<u32>,
    /// At most that many bytes.
    max: Option<usize>,
}

/// Answers with the bytes as they are, and two headers about how to go on.
pub(super) async fn read(
    State(shared): State<Shared>,
    Path((id, path)): Path<(String, String)>,
    Params(part): Params<Part>,
) -> Result<Response, Problem> {
    let id: ExecutionId = parse(&id, "execution")?;
    let path: StagePath = parse(&path, "stage")?;
    let attempt = match part.attempt {
        Some(attempt) => attempt,
        None => {
            let view = shared.api.engine.view(id).await?;
            let view = view.ok_or_else(|| Problem::not_found("there is no such execution"))?;
            let stage = view.stages.iter().find(|stage| stage.path == path);
            stage.ok_or_else(|| Problem::not_found("the execution has no such stage"))?.attempt
        }
    };
    let max = part.max.unwrap_or(CHUNK).clamp(1, MAX_CHUNK);
    let chunk = shared.api.logs.read(id, &path, attempt, part.offset, max).await.map_err(Problem::internal)?;
    // A log that isn't there is empty; but an execution that isn't there has none, nor one that has lost it.
    if chunk.next == 0 {
        let stored = shared.api.store.execution(id).await?;
        let stored = stored.ok_or_else(|| Problem::not_found("there is no such execution"))?;
        if let Some(dropped) = stored.summary.and_then(|summary| summary.compacted_time) {
            return Err(Problem::not_found(format!("the logs of this execution were dropped on {dropped}")));
        }
    }
    let mut response = chunk.bytes.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(NEXT_OFFSET, HeaderValue::from(chunk.next));
    headers.insert(END, HeaderValue::from_static(if chunk.end { "true" } else { "false" }));
    Ok(response)
}
