//! What stands at and below `/repositories/{name}`: the repository, and its pull requests. A name has slashes.

use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::lists::repository_cards;
use super::view::{Links, finding_rows};
use super::{Refusal, UiState, pulls, render};
use crate::config::Repository;
use crate::model::{CommitSha, percent_encode_part};

/// What an address below a repository's means.
enum Below<'a> {
    Itself,
    PullRequests,
    PullRequest(&'a str),
}

fn find<'a>(state: &'a UiState, path: &'a str) -> Result<(&'a Repository, Below<'a>), Refusal> {
    let found = state.config.repository_at(path);
    let (repository, rest) = found.ok_or(Refusal::NotFound("No such repository is configured."))?;
    let below = match rest.split_once('/') {
        None if rest.is_empty() => Below::Itself,
        None if rest == "pull-requests" => Below::PullRequests,
        Some(("pull-requests", number)) => Below::PullRequest(number),
        _ => return Err(Refusal::NotFound("There is nothing at this address.")),
    };
    Ok((repository, below))
}

fn asked<T: DeserializeOwned>(uri: &Uri) -> Result<T, Refusal> {
    let query = Query::<T>::try_from_uri(uri);
    query.map(|Query(value)| value).map_err(|error| Refusal::BadRequest(error.body_text()))
}

/// Answers `GET /repositories/{name}` and what is below.
pub(super) async fn page(
    State(state): State<UiState>,
    Path(path): Path<String>,
    uri: Uri,
) -> Result<Response, Refusal> {
    match find(&state, &path)? {
        (repository, Below::Itself) => itself(&state, repository, asked(&uri)?).await,
        (repository, Below::PullRequests) => pulls::list(&state, repository, asked(&uri)?).await,
        (repository, Below::PullRequest(number)) => pulls::one(&state, repository, number).await,
    }
}

/// Answers `GET /fragments/repositories/{name}/pull-requests` and what is below.
pub(super) async fn fragment(
    State(state): State<UiState>,
    Path(path): Path<String>,
    uri: Uri,
) -> Result<Response, Refusal> {
    match find(&state, &path)? {
        (_, Below::Itself) => Err(Refusal::NotFound("There is nothing at this address.")),
        (repository, Below::PullRequests) => pulls::list_fragment(&state, repository, asked(&uri)?).await,
        (repository, Below::PullRequest(number)) => pulls::one_fragment(&state, repository, number).await,
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AskedCommit {
    commit: String,
}

/// The repository; with `?commit=` what was found in that commit.
async fn itself(state: &UiState, repository: &Repository, asked: AskedCommit) -> Result<Response, Refusal> {
    let name = &repository.name;
    let card = repository_cards(state, Some(name)).await?.pop();
    let card = card.ok_or(Refusal::NotFound("No such repository is configured."))?;
    let commit = (!asked.commit.is_empty()).then(|| CommitSha::parse(&asked.commit)).transpose();
    let commit = commit.map_err(|error| Refusal::BadRequest(error.to_string()))?;
    let found = match &commit {
        Some(commit) => state.store.findings(name, commit).await?,
        None => None,
    };
    let values = json!({
        "card": card,
        "asked": commit.as_ref().map(CommitSha::short),
        "found": found.map(|found| finding_rows(&found, Links(&state.config))),
        "executions": format!("/?repository={}", percent_encode_part(name.as_str())),
        "pull_requests": repository.forge.is_some().then(|| pulls::list_page(repository)),
        "here": "repositories",
        "signed_in": state.signs_in(),
        "freezes": state.freezes(None).await?,
    });
    Ok(render::page(StatusCode::OK, "repository.html", values))
}
