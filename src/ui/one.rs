//! The page of one execution, and the part of it that lives.

use std::collections::HashMap;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures::StreamExt as _;
use serde::Deserialize;
use serde_json::json;

use super::view::{ExecutionPage, Links, LogTail};
use super::{Refusal, UiState, render};
use crate::engine::LogSource;
use crate::model::{ApplicationName, ExecutionId, ExecutionView, StagePath, StageView, plain_log};

/// How much of the end of each log is on the page at once, in bytes; the script fetches what follows.
const TAIL: u64 = 32 * 1024;

/// How many logs of a page are read at once.
const READERS: usize = 8;

/// How much of a whole log is in memory at once, in bytes.
const PART: usize = 256 * 1024;

/// Answers `GET /executions/{id}`.
pub(super) async fn page(State(state): State<UiState>, Path(id): Path<String>) -> Result<Response, Refusal> {
    let (application, page, replica) = make(&state, &id).await?;
    let freezes = state.freezes(Some(&application)).await?;
    let values = json!({
        "page": page, "replica": replica, "here": "executions", "signed_in": state.signs_in(), "freezes": freezes,
    });
    Ok(render::page(StatusCode::OK, "execution.html", values))
}

/// Answers `GET /fragments/executions/{id}`.
pub(super) async fn fragment(State(state): State<UiState>, Path(id): Path<String>) -> Result<Response, Refusal> {
    let (_, page, replica) = make(&state, &id).await?;
    Ok(render::page(StatusCode::OK, "_execution.html", json!({"page": page, "replica": replica})))
}

/// The application, the page, and the name of the replica that has the execution, if several share the database.
async fn make(state: &UiState, id: &str) -> Result<(ApplicationName, ExecutionPage, Option<String>), Refusal> {
    let missing = Refusal::NotFound("There is no such execution.");
    let Ok(id) = id.parse::<ExecutionId>() else { return Err(missing) };
    let view = state.engine.view(id).await.map_err(|error| Refusal::Failed(error.to_string()))?;
    let Some(view) = view else { return Err(missing) };
    let application = view.application.clone();
    let replica = if view.status.is_complete() { None } else { state.store.holder(id).await? };
    let tails = tails(state.logs.as_ref(), &view).await;
    let tail = |stage: &StageView| tails.get(&stage.path).cloned().unwrap_or_default();
    let page = ExecutionPage::new(&view, Links(&state.config), state.clock.now(), tail);
    Ok((application, page, replica.map(|replica| replica.said.name)))
}

#[derive(Debug, Deserialize)]
pub(super) struct Attempt {
    #[serde(default = "first")]
    attempt: u32,
}

fn first() -> u32 {
    1
}

/// Answers `GET /executions/{id}/stages/{path}/log`: the whole log, as the stage printed it, for a person to read
/// or keep. It is sent while it is read, so its size doesn't matter.
pub(super) async fn whole_log(
    State(state): State<UiState>,
    Path((id, path)): Path<(String, String)>,
    Query(Attempt { attempt }): Query<Attempt>,
) -> Result<Response, Refusal> {
    let missing = Refusal::NotFound("There is no such log.");
    let (Ok(id), Ok(path)) = (id.parse::<ExecutionId>(), path.parse::<StagePath>()) else { return Err(missing) };
    if state.store.execution(id).await?.is_none() {
        return Err(missing);
    }
    let logs = state.logs.clone();
    let parts = futures::stream::try_unfold(0, move |offset| {
        let (logs, path) = (logs.clone(), path.clone());
        async move {
            let chunk = logs.read(id, &path, attempt, offset, PART).await?;
            Ok::<_, std::io::Error>((!chunk.bytes.is_empty()).then_some((chunk.bytes, chunk.next)))
        }
    });
    let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    Ok((kind, Body::from_stream(parts)).into_response())
}

/// The ends of the logs that the page shows.
async fn tails(logs: &dyn LogSource, view: &ExecutionView) -> HashMap<StagePath, LogTail> {
    let with_log = view.stages.iter().filter(|stage| ExecutionPage::shows_log(stage));
    let reading = with_log.map(|stage| async { (stage.path.clone(), tail(logs, view, stage).await) });
    futures::stream::iter(reading.collect::<Vec<_>>()).buffer_unordered(READERS).collect().await
}

/// The end of a stage's log, from a line's beginning on.
async fn tail(logs: &dyn LogSource, view: &ExecutionView, stage: &StageView) -> LogTail {
    let read = |offset, max| logs.read(view.id, &stage.path, stage.attempt, offset, max);
    let chunk = async {
        let end = read(u64::MAX, 1).await?.next;
        let from = end.saturating_sub(TAIL);
        let chunk = read(from, usize::try_from(end - from).unwrap_or(0).max(1)).await?;
        Ok::<_, std::io::Error>((from, chunk))
    };
    match chunk.await {
        Ok((from, chunk)) => {
            let skip =
                if from == 0 { 0 } else { chunk.bytes.iter().position(|&byte| byte == b'\n').map_or(0, |at| at + 1) };
            LogTail { text: plain_log(&chunk.bytes[skip..]), next: chunk.next, cut: from > 0 }
        }
        Err(error) => {
            tracing::warn!(execution = %view.id, stage = %stage.path, %error, "a log can't be read");
            LogTail { text: "The log can't be read; Longboat's own log says why.".to_owned(), next: 0, cut: false }
        }
    }
}
