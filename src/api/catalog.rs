//! Applications and pipelines, as they are in force now.

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use serde_json::{Value, json};

use super::Shared;
use super::problem::Problem;
use super::request::parse;
use crate::clock::Timestamp;
use crate::model::{
    self, ApplicationName, CommitSha, CronTrigger, ExecutionId, Pins, Pipeline, PipelineName, RepositoryName,
};
use crate::store::{ApplicationSummary, CronState, Published};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Application {
    name: ApplicationName,
    repository: RepositoryName,
    branch: String,
    commit: CommitSha,
    published_time: String,
    pipelines: Vec<PipelineName>,
    pins: Pins,
}

impl Application {
    fn new(summary: ApplicationSummary, pipelines: &[Published]) -> Self {
        let own = pipelines.iter().filter(|published| published.pipeline.application == summary.name);
        Self {
            pipelines: own.map(|published| published.pipeline.name.clone()).collect(),
            name: summary.name,
            repository: summary.repository,
            branch: summary.branch,
            commit: summary.commit,
            published_time: summary.published_at.to_rfc3339(),
            pins: summary.pins,
        }
    }
}

/// A definition, and where it came from.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Definition {
    #[serde(flatten)]
    pipeline: Pipeline,
    repository: RepositoryName,
    branch: String,
    commit: CommitSha,
    published_time: String,
    time_tables: Vec<TimeTable>,
}

/// How many moments of a time table are told ahead.
const AHEAD: usize = 3;

/// A `cron` trigger: when it is due next, and what came of it last.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TimeTable {
    schedule: String,
    timezone: String,
    next: Vec<Moment>,
    last_due: Option<String>,
    last_execution: Option<ExecutionId>,
    last_outcome: Option<String>,
}

/// A moment, and what the clock of the zone shows then.
#[derive(Serialize)]
struct Moment {
    time: String,
    local: String,
}

impl TimeTable {
    fn all(pipeline: &Pipeline, states: &[CronState], now: Timestamp) -> Vec<Self> {
        let state = |trigger: &CronTrigger| states.iter().find(|state| state.key.is_of(pipeline, trigger));
        let moment =
            |table: &model::TimeTable, time: Timestamp| Moment { time: time.to_rfc3339(), local: table.in_zone(time) };
        let one = |(trigger, table): (&CronTrigger, model::TimeTable)| Self {
            schedule: trigger.schedule.clone(),
            timezone: trigger.timezone.clone().unwrap_or_else(|| "UTC".to_owned()),
            next: table.upcoming(now, AHEAD).into_iter().map(|time| moment(&table, time)).collect(),
            last_due: state(trigger).and_then(|state| state.last_due).map(Timestamp::to_rfc3339),
            last_execution: state(trigger).and_then(|state| state.execution),
            last_outcome: state(trigger).and_then(|state| state.outcome.clone()),
        };
        pipeline.time_tables().map(one).collect()
    }
}

impl Definition {
    fn new(published: Published, states: &[CronState], now: Timestamp) -> Self {
        Self {
            time_tables: TimeTable::all(&published.pipeline, states, now),
            pipeline: published.pipeline,
            repository: published.repository,
            branch: published.branch,
            commit: published.commit,
            published_time: published.published_at.to_rfc3339(),
        }
    }
}

/// Answers `GET /applications`.
pub(super) async fn applications(State(shared): State<Shared>) -> Result<Json<Value>, Problem> {
    let store = &shared.api.store;
    let pipelines = store.pipelines(None).await?;
    let summaries = store.applications().await?;
    let items: Vec<Application> = summaries.into_iter().map(|summary| Application::new(summary, &pipelines)).collect();
    Ok(Json(json!({"items": items, "nextCursor": null})))
}

/// Answers `GET /applications/{application}`.
pub(super) async fn application(
    State(shared): State<Shared>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    let (summary, pipelines) = find(&shared, &name).await?;
    Ok(Json(json!(Application::new(summary, &pipelines))))
}

/// Answers `GET /applications/{application}/pipelines`.
pub(super) async fn pipelines(State(shared): State<Shared>, Path(name): Path<String>) -> Result<Json<Value>, Problem> {
    let (_, pipelines) = find(&shared, &name).await?;
    let (states, now) = (shared.api.store.cron_states().await?, shared.api.clock.now());
    let items: Vec<Definition> =
        pipelines.into_iter().map(|published| Definition::new(published, &states, now)).collect();
    Ok(Json(json!({"items": items, "nextCursor": null})))
}

/// Answers `GET /applications/{application}/pipelines/{pipeline}`.
pub(super) async fn pipeline(
    State(shared): State<Shared>,
    Path((application, pipeline)): Path<(String, String)>,
) -> Result<Json<Value>, Problem> {
    let application: ApplicationName = parse(&application, "application")?;
    let pipeline: PipelineName = parse(&pipeline, "pipeline")?;
    let published = shared.api.store.pipeline(&application, &pipeline).await?;
    let published =
        published.ok_or_else(|| Problem::not_found(format!("`{application}` has no pipeline `{pipeline}`")))?;
    let states = shared.api.store.cron_states().await?;
    Ok(Json(json!(Definition::new(published, &states, shared.api.clock.now()))))
}

async fn find(shared: &Shared, name: &str) -> Result<(ApplicationSummary, Vec<Published>), Problem> {
    let name: ApplicationName = parse(name, "application")?;
    let store = &shared.api.store;
    let summary = store.applications().await?.into_iter().find(|summary| summary.name == name);
    let summary =
        summary.ok_or_else(|| Problem::not_found(format!("no repository publishes an application `{name}`")))?;
    Ok((summary, store.pipelines(Some(&name)).await?))
}
