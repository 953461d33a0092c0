//! `POST /applications/{application}/pipelines/{pipeline}/executions`: a start by a person or a program.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::Shared;
use super::executions::view;
use super::guard::Actor;
use super::problem::{Problem, fault};
use super::request::{Payload, parse};
use crate::engine::chosen_outcome;
use crate::model::{Artifact, CommitSha, OwnStart, StagePath, Status};
use crate::trigger::{ManualStart, StartError};

/// The most artifacts that come with a start.
const MAX_ARTIFACTS: usize = 100;

/// The longest correlation id, in characters.
const MAX_CORRELATION_ID: usize = 200;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Start {
    #[serde(default)]
    parameters: Map<String, Value>,
    #[serde(default)]
    artifacts: Vec<Artifact>,
    commit: Option<String>,
    correlation_id: Option<String>,
    #[serde(default, rename = "override")]
    override_freeze: bool,
    /// Only tell what would happen.
    #[serde(default)]
    dry_run: bool,
    /// How stages end in that: `SUCCEEDED` or `FAILED`.
    #[serde(default)]
    outcomes: BTreeMap<String, String>,
}

/// Answers with 201 and the execution; with 200 and what would happen if it is a dry run; with 200 if the correlation id had started one before.
pub(super) async fn start(
    State(shared): State<Shared>,
    Path((application, pipeline)): Path<(String, String)>,
    Extension(Actor(by)): Extension<Actor>,
    Payload(request): Payload<Start>,
) -> Result<Response, Problem> {
    let (commit, correlation_id) = check(&request)?;
    let outcomes = outcomes(&request)?;
    let start = ManualStart {
        application: parse(&application, "application")?,
        pipeline: parse(&pipeline, "pipeline")?,
        parameters: request.parameters,
        artifacts: request.artifacts,
        commit,
        actor: Some(by),
        correlation_id,
        override_freeze: request.override_freeze,
    };
    if request.dry_run {
        let new = shared.api.triggers.prepare_start(start).await?;
        let told = shared.api.engine.dry_run(new, &outcomes, shared.api.clock.now()).await?;
        return Ok(Json(told).into_response());
    }
    let started = shared.api.triggers.start_pipeline(start).await?;
    let body = view(&shared.api.engine, started.id).await?;
    let status = if started.existing { StatusCode::OK } else { StatusCode::CREATED };
    let mut response = (status, Json(body)).into_response();
    let location = HeaderValue::from_str(&format!("/api/v1/executions/{}", started.id)).map_err(Problem::internal)?;
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

/// How stages are chosen to end in a dry run.
fn outcomes(request: &Start) -> Result<BTreeMap<StagePath, Status>, Problem> {
    let mut outcomes = BTreeMap::new();
    let mut faults = Vec::new();
    if !request.dry_run && !request.outcomes.is_empty() {
        faults.push(fault("outcomes", "are for a dry run: set `dryRun` to true"));
    }
    for (path, outcome) in &request.outcomes {
        match (StagePath::parse(path), chosen_outcome(outcome)) {
            (Ok(path), Some(status)) => drop(outcomes.insert(path, status)),
            _ => {
                faults.push(fault("outcomes", format!("`{path}: {outcome}` must be a stage with SUCCEEDED or FAILED")))
            }
        }
    }
    if faults.is_empty() {
        return Ok(outcomes);
    }
    Err(Problem::unprocessable("invalid-start", "the start can't be made as it stands").with_errors(faults))
}

/// What can be said before anything is looked up, all at once.
fn check(request: &Start) -> Result<(Option<CommitSha>, Option<String>), Problem> {
    let mut faults = Vec::new();
    let commit = request.commit.as_deref().map(CommitSha::parse).transpose();
    if let Err(error) = &commit {
        faults.push(fault("commit", error.to_string()));
    }
    if request.artifacts.len() > MAX_ARTIFACTS {
        faults.push(fault("artifacts", format!("must be {MAX_ARTIFACTS} at most")));
    }
    if let Some(id) = &request.correlation_id
        && (id.is_empty() || id.chars().count() > MAX_CORRELATION_ID || id.chars().any(char::is_control))
    {
        let message = format!("must be 1 to {MAX_CORRELATION_ID} characters without control characters");
        faults.push(fault("correlationId", message));
    }
    if let Some(id) = &request.correlation_id
        && OwnStart::is_name(id)
    {
        let message = "names a start that Longboat makes itself; begin with something other than `cron `, `end `, \
            `webhook `, or an execution's id and a slash";
        faults.push(fault("correlationId", message));
    }
    match commit {
        Ok(commit) if faults.is_empty() => Ok((commit, request.correlation_id.clone())),
        _ => Err(Problem::unprocessable("invalid-start", "the start can't be made as it stands").with_errors(faults)),
    }
}

impl From<StartError> for Problem {
    fn from(error: StartError) -> Self {
        let text = error.to_string();
        match error {
            StartError::NoPipeline(_) => Self::not_found(text),
            StartError::Parameters(problems) => {
                let faults = problems.iter().map(|problem| {
                    let field = format!("parameters.{}", problem.parameter);
                    fault(&field, problem.problem.clone())
                });
                let detail = "the parameters are not what the pipeline declares";
                Self::unprocessable("invalid-parameters", detail).with_errors(faults.collect())
            }
            StartError::Artifacts(problems) => {
                let faults = problems.iter().map(|problem| fault("artifacts", problem.to_string()));
                let detail = "artifacts that the pipeline expects can't be told: give each exactly once";
                Self::unprocessable("invalid-artifacts", detail).with_errors(faults.collect())
            }
            StartError::NoCommit(_) => Self::unprocessable("unknown-commit", text),
            StartError::Git(_) => Self::bad_gateway(text),
            StartError::Store(error) => error.into(),
        }
    }
}
