//! The pages of pull requests: the list of a repository's, and one of them.

use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::view::{Links, PullPage, pull_rows, state_choices};
use super::{Refusal, UiState, render};
use crate::config::Repository;
use crate::model::PullRequestState;
use crate::store::ExecutionFilter;

/// Pull requests on one page.
const PAGE: u32 = 50;
/// Executions of a merge on the page of its pull request.
const EXECUTIONS: u32 = 50;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    state: String,
    cursor: String,
}

/// The address of the list.
pub(super) fn list_page(repository: &Repository) -> String {
    format!("/repositories/{}/pull-requests", repository.name)
}

/// Answers `GET /repositories/{name}/pull-requests`.
pub(super) async fn list(state: &UiState, repository: &Repository, asked: Asked) -> Result<Response, Refusal> {
    let mut values = rows(state, repository, &asked).await?;
    values["repository"] = json!(repository.name);
    values["address"] = json!(list_page(repository));
    values["states"] = json!(state_choices());
    values["here"] = json!("repositories");
    values["signed_in"] = json!(state.signs_in());
    values["freezes"] = json!(state.freezes(None).await?);
    Ok(render::page(StatusCode::OK, "pull_requests.html", values))
}

/// Answers `GET /fragments/repositories/{name}/pull-requests`.
pub(super) async fn list_fragment(state: &UiState, repository: &Repository, asked: Asked) -> Result<Response, Refusal> {
    Ok(render::page(StatusCode::OK, "_pull_requests.html", rows(state, repository, &asked).await?))
}

async fn rows(state: &UiState, repository: &Repository, asked: &Asked) -> Result<Value, Refusal> {
    let wanted = Some(asked.state.as_str()).filter(|text| !text.is_empty()).map(|text| {
        PullRequestState::parse(text).ok_or_else(|| Refusal::BadRequest(format!("No pull request is `{text}`.")))
    });
    let before = Some(asked.cursor.as_str())
        .filter(|text| !text.is_empty())
        .map(|text| text.parse::<u64>().map_err(|_| Refusal::BadRequest("The list has no such part.".to_owned())));
    let (wanted, before) = (wanted.transpose()?, before.transpose()?);
    let mut found = state.store.pull_requests(&repository.name, wanted, before, PAGE + 1).await?;
    let more = found.len() > PAGE as usize;
    found.truncate(PAGE as usize);
    let last = found.last().filter(|_| more).map(|last| last.pull_request.number);
    let query = |before: Option<u64>| {
        let parts = [wanted.map(|state| format!("state={}", state.as_str())), before.map(|at| format!("cursor={at}"))];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) }
    };
    let address = list_page(repository);
    Ok(json!({
        "rows": pull_rows(&found, Links(&state.config)),
        "chosen": wanted,
        "query": query(before),
        "older": last.map(|last| format!("{address}{}", query(Some(last)))),
        "newest": before.map(|_| format!("{address}{}", query(None))),
    }))
}

/// Answers `GET /repositories/{name}/pull-requests/{number}`.
pub(super) async fn one(state: &UiState, repository: &Repository, number: &str) -> Result<Response, Refusal> {
    let page = make(state, repository, number).await?;
    let freezes = state.freezes(None).await?;
    let values = json!({"page": page, "here": "repositories", "signed_in": state.signs_in(), "freezes": freezes});
    Ok(render::page(StatusCode::OK, "pull_request.html", values))
}

/// Answers `GET /fragments/repositories/{name}/pull-requests/{number}`.
pub(super) async fn one_fragment(state: &UiState, repository: &Repository, number: &str) -> Result<Response, Refusal> {
    let page = make(state, repository, number).await?;
    Ok(render::page(StatusCode::OK, "_pull_request.html", json!({"page": page})))
}

async fn make(state: &UiState, repository: &Repository, number: &str) -> Result<PullPage, Refusal> {
    let missing = Refusal::NotFound("Longboat knows no such pull request.");
    let Ok(number) = number.parse::<u64>() else { return Err(missing) };
    let Some(stored) = state.store.pull_request(&repository.name, number).await? else { return Err(missing) };
    let runs = match &stored.pull_request.merge_commit {
        Some(commit) => {
            let filter = ExecutionFilter {
                repository: Some(repository.name.clone()),
                commit: Some(commit.clone()),
                limit: EXECUTIONS,
                ..ExecutionFilter::default()
            };
            let mut runs = state.store.executions(filter).await?.items;
            // A part of another pipeline is told by that one.
            runs.retain(|run| run.cause.parent.is_none());
            runs
        }
        None => Vec::new(),
    };
    let applications = state.store.applications().await?;
    Ok(PullPage::new(&stored, &runs, &applications, Links(&state.config), state.clock.now()))
}
