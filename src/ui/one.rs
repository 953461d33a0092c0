//! The page of one execution, and the part of it that lives.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use super::text::plain_log;
use super::view::{ExecutionPage, Links, LogTail};
use super::{Refusal, UiState, render};
use crate::engine::LogSource;
use crate::model::{ExecutionId, ExecutionView, StageView};

/// How much of the end of each log is on the page at once, in bytes; the script fetches what follows.
const TAIL: u64 = 32 * 1024;

/// Answers `GET /executions/{id}`.
pub(super) async fn page(State(state): State<UiState>, Path(id): Path<String>) -> Result<Response, Refusal> {
    let page = make(&state, &id).await?;
    let values = json!({"page": page, "here": "executions", "signed_in": state.signs_in()});
    Ok(render::page(StatusCode::OK, "execution.html", values))
}

/// Answers `GET /fragments/executions/{id}`.
pub(super) async fn fragment(State(state): State<UiState>, Path(id): Path<String>) -> Result<Response, Refusal> {
    let page = make(&state, &id).await?;
    Ok(render::page(StatusCode::OK, "_execution.html", json!({"page": page})))
}

async fn make(state: &UiState, id: &str) -> Result<ExecutionPage, Refusal> {
    let missing = Refusal::NotFound("There is no such execution.");
    let Ok(id) = id.parse::<ExecutionId>() else { return Err(missing) };
    let view = state.engine.view(id).await.map_err(|error| Refusal::Failed(error.to_string()))?;
    let Some(view) = view else { return Err(missing) };
    let (config, logs, now) = (state.config.clone(), state.logs.clone(), state.clock.now());
    // Logs are files; reading them may block.
    let making = tokio::task::spawn_blocking(move || {
        ExecutionPage::new(&view, Links(&config), now, |stage| tail(logs.as_ref(), &view, stage))
    });
    making.await.map_err(|error| Refusal::Failed(error.to_string()))
}

/// The end of a stage's log, from a line's beginning on.
fn tail(logs: &dyn LogSource, view: &ExecutionView, stage: &StageView) -> LogTail {
    let read = |offset, max| logs.read(view.id, &stage.path, stage.attempt, offset, max);
    let chunk = read(u64::MAX, 1).and_then(|end| {
        let from = end.next.saturating_sub(TAIL);
        read(from, usize::try_from(end.next - from).unwrap_or(0).max(1)).map(|chunk| (from, chunk))
    });
    match chunk {
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
