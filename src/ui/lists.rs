//! The pages that list: executions, applications, repositories.

use std::collections::BTreeSet;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::view::{ApplicationCard, FilterForm, Links, RepositoryCard, execution_rows, status_choices};
use super::{Refusal, UiState, render};
use crate::model::{RepositoryName, Status};
use crate::store::{ExecutionFilter, StoredRemoval};

/// Executions on one page.
const PAGE: u32 = 50;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    application: String,
    pipeline: String,
    status: String,
    repository: String,
    commit: String,
    cursor: String,
}

impl Asked {
    fn form(self) -> FilterForm {
        let Self { application, pipeline, status, repository, commit, cursor } = self;
        let trim = |text: String| text.trim().to_owned();
        FilterForm {
            application: trim(application),
            pipeline: trim(pipeline),
            status,
            repository: trim(repository),
            commit: trim(commit),
            cursor,
        }
    }
}

/// Answers `GET /`.
pub(super) async fn executions(State(state): State<UiState>, Query(asked): Query<Asked>) -> Result<Response, Refusal> {
    let form = asked.form();
    let mut values = list(&state, &form).await?;
    let pipelines = state.store.pipelines(None).await?;
    let chosen = pipelines
        .iter()
        .filter(|one| form.application.is_empty() || one.pipeline.application.as_str() == form.application);
    let names: BTreeSet<&str> = chosen.map(|one| one.pipeline.name.as_str()).collect();
    let applications: Vec<String> =
        state.store.applications().await?.into_iter().map(|summary| summary.name.to_string()).collect();
    // Without a filter the list has every application's executions.
    let freezes = match form.application.parse() {
        Ok(application) => state.freezes(Some(&application)).await?,
        Err(_) => state.all_freezes().await?,
    };
    values["freezes"] = json!(freezes);
    values["pipelines"] = json!(names);
    values["applications"] = json!(applications);
    values["statuses"] = json!(status_choices());
    values["query"] = json!(form.query(&form.cursor));
    values["filter"] = json!(form);
    values["here"] = json!("executions");
    values["signed_in"] = json!(state.signs_in());
    Ok(render::page(StatusCode::OK, "executions.html", values))
}

/// Answers `GET /fragments/executions`.
pub(super) async fn executions_fragment(
    State(state): State<UiState>,
    Query(asked): Query<Asked>,
) -> Result<Response, Refusal> {
    let values = list(&state, &asked.form()).await?;
    Ok(render::page(StatusCode::OK, "_executions.html", values))
}

async fn list(state: &UiState, form: &FilterForm) -> Result<Value, Refusal> {
    let page = match filter(form) {
        Some(filter) => Some(state.store.executions(filter).await?),
        // A name that can't be one has no executions.
        None => None,
    };
    let (items, next) = page.map(|page| (page.items, page.next_cursor)).unwrap_or_default();
    let links = Links(&state.config);
    let address = |cursor: &str| format!("/{}", form.query(cursor));
    Ok(json!({
        "rows": execution_rows(&items, links, state.clock.now()),
        "older": next.map(|cursor| address(&cursor)),
        "newest": (!form.cursor.is_empty()).then(|| address("")),
        "narrowed": form.is_set(),
        "repositories": state.config.repositories.len(),
    }))
}

/// None if a text can't be what it is looked for as.
fn filter(form: &FilterForm) -> Option<ExecutionFilter> {
    fn optional<T>(text: &str, parse: impl Fn(&str) -> Option<T>) -> Option<Option<T>> {
        if text.is_empty() { Some(None) } else { parse(text).map(Some) }
    }
    Some(ExecutionFilter {
        application: optional(&form.application, |text| text.parse().ok())?,
        pipeline: optional(&form.pipeline, |text| text.parse().ok())?,
        status: optional(&form.status, Status::parse)?,
        commit: optional(&form.commit, |text| text.parse().ok())?,
        repository: optional(&form.repository, |text| text.parse().ok())?,
        parent: None,
        cursor: Some(form.cursor.clone()).filter(|cursor| !cursor.is_empty()),
        limit: PAGE,
    })
}

/// Answers `GET /applications`.
pub(super) async fn applications(State(state): State<UiState>) -> Result<Response, Refusal> {
    let pipelines = state.store.pipelines(None).await?;
    let summaries = state.store.applications().await?;
    let links = Links(&state.config);
    let states = state.store.cron_states().await?;
    let tables = (states.as_slice(), state.clock.now());
    let cards: Vec<ApplicationCard> =
        summaries.iter().map(|summary| ApplicationCard::new(summary, &pipelines, tables, links)).collect();
    let freezes = state.all_freezes().await?;
    let values = json!({"cards": cards, "here": "applications", "signed_in": state.signs_in(), "freezes": freezes});
    Ok(render::page(StatusCode::OK, "applications.html", values))
}

/// Answers `GET /repositories`.
pub(super) async fn repositories(State(state): State<UiState>) -> Result<Response, Refusal> {
    let cards = repository_cards(&state, None).await?;
    let freezes = state.freezes(None).await?;
    let values = json!({
        "cards": cards, "here": "repositories", "signed_in": state.signs_in(), "freezes": freezes,
        "shared": state.store.is_shared(),
    });
    Ok(render::page(StatusCode::OK, "repositories.html", values))
}

/// Answers `GET /fragments/repositories`.
pub(super) async fn repositories_fragment(State(state): State<UiState>) -> Result<Response, Refusal> {
    let cards = repository_cards(&state, None).await?;
    Ok(render::page(StatusCode::OK, "_repositories.html", json!({"cards": cards})))
}

/// The repositories as cards; `only` one of them.
pub(super) async fn repository_cards(
    state: &UiState,
    only: Option<&RepositoryName>,
) -> Result<Vec<RepositoryCard>, Refusal> {
    let states = state.store.repository_states().await?;
    let removals = state.store.removals(only).await?;
    let links = Links(&state.config);
    let mut cards = Vec::new();
    for repository in state.config.repositories.iter().filter(|one| only.is_none_or(|only| one.name == *only)) {
        let known = states.iter().find(|known| known.name == repository.name);
        let findings = match known.and_then(|known| known.settled_commit.as_ref()) {
            Some(commit) => state.store.findings(&repository.name, commit).await?,
            None => None,
        };
        cards.push(RepositoryCard::new(repository, known, findings.as_ref(), &removals, links));
    }
    if only.is_none() {
        let is_left = |one: &&StoredRemoval| {
            let is_followed = state.config.repositories.iter().any(|followed| followed.name == one.repository);
            one.approved.is_none() && !is_followed
        };
        let names: BTreeSet<_> = removals.iter().filter(is_left).map(|one| &one.repository).collect();
        cards.extend(names.into_iter().map(|name| RepositoryCard::left_over(name, &removals)));
    }
    Ok(cards)
}
