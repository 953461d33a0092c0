//! Repositories: how they stand, and what was found in their commits.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::Uri;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::problem::Problem;
use super::request::{Params, parse};
use super::{Shared, modules, pull_requests, removals};
use crate::clock::Timestamp;
use crate::config::{Location, Repository};
use crate::diagnostic::{Diagnostic, Severity};
use crate::model::{CommitSha, RepositoryName};
use crate::store::{RepositoryState, StoredRemoval};

/// A repository of the configuration, or one that was in it and has pipelines, and how it stands. Credentials have no
/// field here.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View {
    name: RepositoryName,
    forge: Option<String>,
    location: Option<String>,
    branches: Vec<String>,
    /// Why it can't be worked with, if so.
    error: Option<String>,
    /// When it could last be reached.
    reached_time: Option<String>,
    /// Whether its tree holds pipeline files.
    has_files: Option<bool>,
    /// The branch or tag that was worked off last, its commit, and when.
    #[serde(rename = "ref")]
    git_ref: Option<String>,
    commit: Option<CommitSha>,
    settled_time: Option<String>,
    /// What takes away too many pipelines, commits or the configuration, and waits for an approval.
    removals: Vec<removals::View>,
}

impl View {
    fn new(repository: &Repository, state: Option<&RepositoryState>, removals: &[StoredRemoval]) -> Self {
        let time = |time: Option<Timestamp>| time.map(Timestamp::to_rfc3339);
        Self {
            name: repository.name.clone(),
            forge: repository.forge.clone(),
            location: Some(match &repository.location {
                Location::Local(path) => path.display().to_string(),
                Location::Remote(url) => url.clone(),
            }),
            branches: repository.branches.clone(),
            error: state.and_then(|state| state.error.clone()),
            reached_time: time(state.and_then(|state| state.reached_at)),
            has_files: state.and_then(|state| state.has_files),
            git_ref: state.and_then(|state| state.settled_ref.clone()),
            commit: state.and_then(|state| state.settled_commit.clone()),
            settled_time: time(state.and_then(|state| state.settled_at)),
            removals: removals::waiting(removals, &repository.name),
        }
    }

    /// One that isn't in the configuration any more, and whose pipelines wait for the word that they may go.
    fn left_over(name: &RepositoryName, state: Option<&RepositoryState>, removals: &[StoredRemoval]) -> Self {
        let time = |time: Option<Timestamp>| time.map(Timestamp::to_rfc3339);
        Self {
            name: name.clone(),
            forge: None,
            location: None,
            branches: Vec::new(),
            error: Some("it is not in the configuration any more".to_owned()),
            reached_time: time(state.and_then(|state| state.reached_at)),
            has_files: state.and_then(|state| state.has_files),
            git_ref: state.and_then(|state| state.settled_ref.clone()),
            commit: state.and_then(|state| state.settled_commit.clone()),
            settled_time: time(state.and_then(|state| state.settled_at)),
            removals: removals::waiting(removals, name),
        }
    }
}

/// Answers `GET /repositories`.
pub(super) async fn list(State(shared): State<Shared>) -> Result<Json<Value>, Problem> {
    let states = shared.api.store.repository_states().await?;
    let state = |name: &RepositoryName| states.iter().find(|state| state.name == *name);
    let removals = shared.api.store.removals(None).await?;
    let repositories = shared.api.config.repositories.iter();
    let view = |repository: &Repository| View::new(repository, state(&repository.name), &removals);
    let mut items: Vec<View> = repositories.map(view).collect();
    let waits = |one: &&StoredRemoval| one.is_by_configuration() && one.approved.is_none();
    let names = removals.iter().filter(waits).map(|one| &one.repository);
    let left_over = names.filter(|name| shared.api.config.repository(name).is_none());
    items.extend(left_over.map(|name| View::left_over(name, state(name), &removals)));
    Ok(Json(json!({"items": items, "nextCursor": null})))
}

/// Answers what is asked for at and below `GET /repositories/{name}`: a name has slashes, escaped or not.
pub(super) async fn below(
    State(shared): State<Shared>,
    Path(path): Path<String>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let (repository, rest) = repository_at(&shared, &path)?;
    match rest.split_once('/') {
        None if rest.is_empty() => one(&shared, repository).await,
        None if rest == "dependencies" => modules::dependencies(&shared, repository, Params::of(&uri)?).await,
        None if rest == "pull-requests" => pull_requests::list(&shared, repository, Params::of(&uri)?).await,
        Some(("pull-requests", below)) if below.ends_with("/plan") => {
            pull_requests::plan(&shared, repository, below.trim_end_matches("/plan")).await
        }
        Some(("pull-requests", number)) => pull_requests::one(&shared, repository, number).await,
        _ => Err(Problem::not_found(format!("of `{}`, the API has no `{rest}`", repository.name))),
    }
}

/// The repository that a path begins with, and what follows.
pub(super) fn repository_at<'a>(shared: &'a Shared, path: &'a str) -> Result<(&'a Repository, &'a str), Problem> {
    match shared.api.config.repository_at(path) {
        Some(found) => Ok(found),
        None => {
            // What is asked about the repository is not a part of its name.
            let end = ["/dependencies", "/pull-requests", "/removals"].iter().filter_map(|word| path.find(word)).min();
            let name = parse::<RepositoryName>(&path[..end.unwrap_or(path.len())], "repository")?;
            Err(not_configured(&name))
        }
    }
}

/// How a repository stands, with the branches and tags that Longboat saw.
async fn one(shared: &Shared, repository: &Repository) -> Result<Json<Value>, Problem> {
    let name = &repository.name;
    let states = shared.api.store.repository_states().await?;
    let removals = shared.api.store.removals(Some(name)).await?;
    let view = View::new(repository, states.iter().find(|state| state.name == *name), &removals);
    let heads = shared
        .api
        .store
        .heads(name)
        .await?
        .into_iter()
        .map(|head| json!({"ref": head.git_ref, "commit": head.commit, "seenTime": head.seen_at.to_rfc3339()}));
    let mut answer = json!(view);
    answer["heads"] = heads.collect();
    // Here those that were approved as well, which says by whom.
    answer["removals"] = json!(removals.into_iter().map(removals::View::from).collect::<Vec<_>>());
    Ok(Json(answer))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    repository: String,
    commit: Option<String>,
}

/// Answers `GET /diagnostics?repository&commit`; without a commit, of the one that was worked off last.
pub(super) async fn diagnostics(
    State(shared): State<Shared>,
    Params(question): Params<Question>,
) -> Result<Json<Value>, Problem> {
    let wrong = |error: crate::model::IdError| Problem::bad_request(error.to_string());
    let name = RepositoryName::parse(&question.repository).map_err(wrong)?;
    configured(&shared, &name)?;
    let commit = match question.commit {
        Some(commit) => CommitSha::parse(&commit).map_err(wrong)?,
        None => {
            let states = shared.api.store.repository_states().await?;
            let settled = states.into_iter().find(|state| state.name == name).and_then(|state| state.settled_commit);
            settled.ok_or_else(|| Problem::not_found("no commit of this repository was worked off yet"))?
        }
    };
    let found = shared.api.store.findings(&name, &commit).await?;
    let found = found.ok_or_else(|| Problem::not_found("this commit was not validated"))?;
    let count = |severity| found.findings.iter().filter(|finding| finding.severity == severity).count();
    let summary = json!({
        "errors": count(Severity::Error),
        "warnings": count(Severity::Warning),
        "infos": count(Severity::Info),
        "pipelines": found.pipelines,
        "valid": !found.findings.iter().any(Diagnostic::is_error),
    });
    Ok(Json(json!({
        "repository": found.repository,
        "commit": found.commit,
        "ref": found.git_ref,
        "findings": found.findings,
        "summary": summary,
    })))
}

fn configured<'a>(shared: &'a Shared, name: &RepositoryName) -> Result<&'a Repository, Problem> {
    let repository = shared.api.config.repository(name);
    repository.ok_or_else(|| not_configured(name))
}

fn not_configured(name: &RepositoryName) -> Problem {
    Problem::not_found(format!("no repository `{name}` is configured"))
}
