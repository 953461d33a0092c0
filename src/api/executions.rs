//! Executions: the list, one of them, and what a person can do to it.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::guard::{Actor, Roles};
use super::problem::{Problem, fault};
use super::request::{Nothing, Params, Payload, parse, parse_filter};
use super::{Shared, replicas};
use crate::clock::Timestamp;
use crate::engine::{EngineError, Handle, Judgment, Verdict};
use crate::model::{
    ApplicationName, Cause, CommitSha, ExecutionId, ExecutionView, PipelineName, RepositoryName, StagePath, Status,
};
use crate::store::{ExecutionFilter, ExecutionSummary};

/// The longest reason or answer that is kept, in characters.
const MAX_TEXT: usize = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    application: Option<String>,
    pipeline: Option<String>,
    status: Option<String>,
    commit: Option<String>,
    repository: Option<String>,
    parent: Option<String>,
    cursor: Option<String>,
    limit: Option<u32>,
}

/// One line of the list.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Summary {
    id: ExecutionId,
    application: ApplicationName,
    pipeline: PipelineName,
    status: Status,
    repository: Option<RepositoryName>,
    commit: Option<CommitSha>,
    branch: Option<String>,
    created_time: String,
    start_time: Option<String>,
    end_time: Option<String>,
    trigger: Cause,
}

impl From<ExecutionSummary> for Summary {
    fn from(summary: ExecutionSummary) -> Self {
        Self {
            id: summary.id,
            application: summary.application,
            pipeline: summary.pipeline,
            status: summary.status,
            repository: summary.repository,
            commit: summary.commit,
            branch: summary.branch,
            created_time: summary.created_at.to_rfc3339(),
            start_time: summary.started_at.map(Timestamp::to_rfc3339),
            end_time: summary.ended_at.map(Timestamp::to_rfc3339),
            trigger: summary.cause,
        }
    }
}

/// Answers `GET /executions`: newest first.
pub(super) async fn list(State(shared): State<Shared>, Params(filter): Params<Filter>) -> Result<Json<Value>, Problem> {
    let status = filter.status.as_deref().filter(|text| !text.is_empty()).map(|text| {
        Status::parse(text).ok_or_else(|| {
            let known: Vec<&str> = Status::ALL.into_iter().map(Status::as_str).collect();
            Problem::bad_request(format!("`status` is `{text}`; it can be {}", known.join(", ")))
        })
    });
    let limit = filter.limit.unwrap_or(50);
    if !(1..=500).contains(&limit) {
        return Err(Problem::bad_request("`limit` is a number from 1 to 500"));
    }
    let filter = ExecutionFilter {
        application: parse_filter(filter.application.as_deref(), "application")?,
        pipeline: parse_filter(filter.pipeline.as_deref(), "pipeline")?,
        status: status.transpose()?,
        commit: parse_filter(filter.commit.as_deref(), "commit")?,
        repository: parse_filter(filter.repository.as_deref(), "repository")?,
        parent: parse_filter(filter.parent.as_deref(), "parent")?,
        cursor: filter.cursor,
        limit,
    };
    let page = shared.api.store.executions(filter).await?;
    let items: Vec<Summary> = page.items.into_iter().map(Summary::from).collect();
    Ok(Json(json!({"items": items, "nextCursor": page.next_cursor})))
}

/// Answers `GET /executions/{id}`.
pub(super) async fn one(State(shared): State<Shared>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let view = view(&shared.api.engine, parse(&id, "execution")?).await?;
    let mut answer = json!(view);
    let store = &shared.api.store;
    if store.is_shared() {
        let holder = if view.status.is_complete() { None } else { store.holder(view.id).await? };
        answer["replica"] = json!(holder.map(replicas::Holder::from));
    }
    Ok(Json(answer))
}

/// The execution as it stands.
pub(super) async fn view(engine: &Handle, id: ExecutionId) -> Result<ExecutionView, Problem> {
    engine.view(id).await?.ok_or_else(|| Problem::not_found("there is no such execution"))
}

/// What is answered to whoever did something to an execution: how it stands then.
type Acted = Result<(StatusCode, Json<ExecutionView>), Problem>;

/// Does something to an execution. In a task of its own: it isn't taken back when the client hangs up.
async fn act<F, T>(shared: &Shared, id: ExecutionId, what: impl FnOnce(Handle) -> F) -> Acted
where
    F: Future<Output = Result<T, EngineError>> + Send + 'static,
    T: Send + 'static,
{
    tokio::spawn(what(shared.api.engine.clone())).await.map_err(Problem::internal)??;
    Ok((StatusCode::ACCEPTED, Json(view(&shared.api.engine, id).await?)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cancel {
    reason: Option<String>,
}

/// Answers `POST /executions/{id}/cancel`. Cancelling twice is the same as once; running stages may take a moment.
pub(super) async fn cancel(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    Extension(Actor(by)): Extension<Actor>,
    Payload(request): Payload<Cancel>,
) -> Acted {
    let id: ExecutionId = parse(&id, "execution")?;
    let reason = bounded("reason", request.reason)?;
    act(&shared, id, |engine| async move { engine.cancel(id, &by, reason.as_deref()).await }).await
}

/// Answers `POST /executions/{id}/pause`: what runs goes on, and no further stage starts.
pub(super) async fn pause(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    Extension(Actor(by)): Extension<Actor>,
    Payload(Nothing {}): Payload<Nothing>,
) -> Acted {
    let id: ExecutionId = parse(&id, "execution")?;
    act(&shared, id, |engine| async move { engine.pause(id, &by).await }).await
}

/// Answers `POST /executions/{id}/resume`.
pub(super) async fn resume(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    Extension(Actor(by)): Extension<Actor>,
    Payload(Nothing {}): Payload<Nothing>,
) -> Acted {
    let id: ExecutionId = parse(&id, "execution")?;
    act(&shared, id, |engine| async move { engine.resume(id, &by).await }).await
}

/// Answers `POST /executions/{id}/stages/{path}/skip`: the stage waits no longer for a time, or for its window.
pub(super) async fn skip(
    State(shared): State<Shared>,
    Path((id, path)): Path<(String, String)>,
    Extension(Actor(by)): Extension<Actor>,
    Payload(Nothing {}): Payload<Nothing>,
) -> Acted {
    let (id, path): (ExecutionId, StagePath) = (parse(&id, "execution")?, parse(&path, "stage")?);
    act(&shared, id, |engine| async move { engine.skip(id, &path, &by).await }).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Restart {
    stage: Option<String>,
    #[serde(default, rename = "override")]
    override_freeze: bool,
}

/// Answers `POST /executions/{id}/restart`: from the stage that is named, or from all that failed or were cancelled.
pub(super) async fn restart(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    Extension(Actor(by)): Extension<Actor>,
    Payload(request): Payload<Restart>,
) -> Acted {
    let stage = request.stage.as_deref().map(|path| parse(path, "stage")).transpose()?;
    restart_from(shared, parse(&id, "execution")?, stage, by, request.override_freeze).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RestartStage {
    #[serde(default, rename = "override")]
    override_freeze: bool,
}

/// Answers `POST /executions/{id}/stages/{path}/restart`.
pub(super) async fn restart_stage(
    State(shared): State<Shared>,
    Path((id, path)): Path<(String, String)>,
    Extension(Actor(by)): Extension<Actor>,
    Payload(request): Payload<RestartStage>,
) -> Acted {
    let (id, stage) = (parse(&id, "execution")?, parse(&path, "stage")?);
    restart_from(shared, id, Some(stage), by, request.override_freeze).await
}

async fn restart_from(
    shared: Shared,
    id: ExecutionId,
    stage: Option<StagePath>,
    by: String,
    override_freeze: bool,
) -> Acted {
    // The executions that wait for this one follow it, also if the client hangs up.
    act(&shared, id, |engine| async move { engine.restart(id, stage.as_ref(), &by, override_freeze).await }).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer {
    verdict: VerdictWord,
    input: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum VerdictWord {
    Continue,
    Stop,
}

/// Answers `POST /executions/{id}/stages/{path}/judge`. Whether the stage takes the answer is the engine's to say.
pub(super) async fn judge(
    State(shared): State<Shared>,
    Path((id, path)): Path<(String, String)>,
    Extension(Actor(by)): Extension<Actor>,
    Extension(Roles(roles)): Extension<Roles>,
    Payload(answer): Payload<Answer>,
) -> Acted {
    let id: ExecutionId = parse(&id, "execution")?;
    let path: StagePath = parse(&path, "stage")?;
    let input = bounded("input", answer.input)?.filter(|text| !text.is_empty());
    let verdict = match answer.verdict {
        VerdictWord::Continue => Verdict::Continue,
        VerdictWord::Stop => Verdict::Stop,
    };
    let judgment = Judgment { verdict, input, by, roles };
    act(&shared, id, |engine| async move { engine.judge(id, &path, judgment).await }).await
}

fn bounded(field: &'static str, text: Option<String>) -> Result<Option<String>, Problem> {
    match text {
        Some(text) if text.chars().count() > MAX_TEXT => {
            let message = format!("has more than {MAX_TEXT} characters");
            Err(Problem::unprocessable("too-long", "a text is too long").with_errors(vec![fault(field, message)]))
        }
        other => Ok(other),
    }
}
