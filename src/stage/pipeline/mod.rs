//! `pipeline`: runs another pipeline as a stage (Spinnaker's stage of the same name).
//!
//! The child is named after execution, stage and attempt (its correlation id), so that asking for it twice starts it
//! once: a crash between its start and the answer finds it again. What the child is doing is always read from the
//! store; the engine's word that it ended only makes that known at once.
//!
//! A further attempt starts a further child, unless one of an earlier attempt runs: then somebody restarted that one,
//! and the stage with it, and the stage waits for it again.
//!
//! What the child's stages yielded stands under `outputs.stages.<id>`, where nothing of it can hide what the stage
//! itself says. (Spinnaker lays the child's whole context over the outputs.)

mod border;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::fields_of;
use super::saved::TakeFiles;
use crate::engine::{self, CancelReason, Effect, Failure, Outcome, StageContext, StageHandler, Wake};
use crate::model::{Artifact, ExecutionId, ExecutionView, OwnStart, Parent, StageId, Status};
use crate::schema::Dynamic;
pub(super) use border::NoPipelines;
pub use border::{ChildError, ChildStart, Pipelines};

/// For people.
pub(super) const DESCRIPTION: &str = "Runs another pipeline, and waits for its end.";

/// How often a child is looked at even if nobody says that it ended.
const RECONCILE: Duration = Duration::from_secs(30);

/// The pause after a look that told nothing.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// How many earlier attempts are asked for a child that runs.
const EARLIER: u32 = 8;

/// The most bytes of what a child's stages yielded, as JSON; it has to fit into this stage's own outputs.
const MAX_OUTPUTS: usize = 192 * 1024;

/// For the page of stage types.
pub(super) const EXAMPLE: &str = "\
id: build
type: pipeline
application: base
pipeline: build
pipelineParameters: {version: \"${ parameters.tag }\"}
";

/// The fields of a `pipeline` stage.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct Fields {
    /// The application that has the pipeline; this pipeline's own if not given.
    #[serde(default)]
    application: Option<String>,
    /// The pipeline's name, or its id.
    pipeline: String,
    /// Its parameters, checked against what it declares.
    #[serde(default)]
    pipeline_parameters: Map<String, Value>,
    /// Whether to wait for its end, which is the usual; `false` succeeds as soon as it has started.
    #[serde(default)]
    wait_for_completion: Option<Dynamic<bool>>,
    /// Whether to leave out what its stages yield; `false` is the usual.
    #[serde(default)]
    skip_downstream_output: Option<Dynamic<bool>>,
    /// The files that its stages may take: `from` names stages of this pipeline that saved some. There they are called
    /// `parent/<stage>`.
    #[serde(default)]
    #[schemars(extend("x-longboat-raw" = true))]
    files: Option<TakeFiles>,
}

fn flag(field: Option<&Dynamic<bool>>, name: &str, usual: bool) -> Result<bool, String> {
    match field {
        None => Ok(usual),
        Some(Dynamic::Value(value)) => Ok(*value),
        Some(Dynamic::Expression(text)) => Err(format!("`{name}` is the text `{text}`: write true or false")),
    }
}

/// What the stage is resumed with.
#[derive(Serialize, Deserialize)]
struct Checkpoint {
    execution: ExecutionId,
}

/// The handler.
pub(super) struct SubPipeline {
    pipelines: Arc<dyn Pipelines>,
    /// The children whose end somebody waits for, with the attempt that wants to know.
    watched: Arc<Mutex<HashSet<(ExecutionId, u32)>>>,
}

/// Why there is nothing to say about a child.
enum Trouble {
    /// The stage fails.
    Failed(String),
    /// It can't be told now.
    Unknown(String),
}

impl From<ChildError> for Trouble {
    fn from(error: ChildError) -> Self {
        match error {
            ChildError::Refused(message) => Self::Failed(message),
            ChildError::Unavailable(message) => Self::Unknown(message),
        }
    }
}

impl SubPipeline {
    pub(super) fn new(pipelines: Arc<dyn Pipelines>) -> Self {
        Self { pipelines, watched: Arc::default() }
    }

    /// Starts the child, or finds the one that runs already.
    async fn begin(&self, ctx: &StageContext) -> Outcome {
        let fields = match fields_of::<Fields>(ctx) {
            Ok(fields) => fields,
            Err(refused) => return refused,
        };
        let wait = match flag(fields.wait_for_completion.as_ref(), "waitForCompletion", true) {
            Ok(wait) => wait,
            Err(message) => return Outcome::fail(message),
        };
        let child = match self.child(ctx, fields, wait).await {
            Ok(child) => child,
            Err(Trouble::Failed(message)) => return Outcome::fail(message),
            Err(Trouble::Unknown(error)) => return look_again(ctx, &error, Value::Null),
        };
        if wait {
            return self.follow(ctx, child).await;
        }
        match self.pipelines.view(child).await {
            Ok(Some(view)) => Outcome::Done { outputs: own_outputs(&view) },
            Ok(None) => Outcome::fail(format!("the execution {child} has vanished from the database")),
            Err(error) => look_again(ctx, &error, Value::Null),
        }
    }

    async fn child(&self, ctx: &StageContext, fields: Fields, wait: bool) -> Result<ExecutionId, Trouble> {
        if let Some(child) = self.earlier(ctx).await.map_err(Trouble::Unknown)? {
            return Ok(child);
        }
        let info = &ctx.execution.info;
        let artifacts = self.artifacts(ctx).await.map_err(Trouble::Unknown)?;
        let child = ChildStart {
            parent: Parent {
                execution: info.id,
                stage: ctx.path.clone(),
                application: info.pipeline.application.clone(),
                pipeline: info.pipeline.name.clone(),
                root: info.trigger.parent.as_ref().map_or(info.trigger.kind, |parent| parent.root),
                files: fields.files.map(|files| files.from).unwrap_or_default(),
                awaited_by: if wait { awaited_by(ctx) } else { Vec::new() },
            },
            application: fields.application.unwrap_or_else(|| info.pipeline.application.to_string()),
            pipeline: fields.pipeline,
            parameters: fields.pipeline_parameters,
            artifacts,
            correlation_id: correlation_id(ctx, ctx.attempt),
        };
        Ok(self.pipelines.start(&ctx.execution, child).await?)
    }

    /// What the execution was started with, and what the stages before this one yielded: the latest first.
    async fn artifacts(&self, ctx: &StageContext) -> Result<Vec<Artifact>, String> {
        let info = &ctx.execution.info;
        let Some(mut view) = self.pipelines.view(info.id).await? else { return Ok(info.artifacts.artifacts.clone()) };
        let above = upstream(ctx);
        view.stages.retain(|stage| above.contains(&stage.id));
        Ok(engine::produced(&view))
    }

    /// A child of an earlier attempt that runs (again), or has been restarted and ended well before anybody looked.
    async fn earlier(&self, ctx: &StageContext) -> Result<Option<ExecutionId>, String> {
        if ctx.attempt == 1 {
            return Ok(None);
        }
        let info = &ctx.execution.info;
        let own = self.pipelines.view(info.id).await?;
        // What was restarted before the restart before this one has been taken into account.
        let before = own.and_then(|own| own.restarts.iter().nth_back(1).map(|restart| restart.time));
        let before = before.unwrap_or(info.created_at);
        for attempt in (1..ctx.attempt).rev().take(EARLIER as usize) {
            if let Some(child) = self.pipelines.started(&correlation_id(ctx, attempt)).await? {
                let counts = |view: &ExecutionView| {
                    let anew = view.restarts.last().is_some_and(|restart| restart.time > before);
                    !view.status.is_complete() || (anew && view.status == Status::Succeeded)
                };
                return Ok(self.pipelines.view(child).await?.filter(counts).map(|_| child));
            }
        }
        Ok(None)
    }

    /// Looks at a child.
    async fn follow(&self, ctx: &StageContext, child: ExecutionId) -> Outcome {
        // Before it is looked at, so that an end in between isn't missed.
        self.watch(ctx, child);
        let checkpoint = json!(Checkpoint { execution: child });
        match self.pipelines.view(child).await {
            Ok(Some(view)) if view.status.is_complete() => conclude(ctx, &view),
            Ok(Some(_)) => Outcome::Poll { after: RECONCILE, checkpoint },
            Ok(None) => Outcome::fail(format!("the execution {child} has vanished from the database")),
            Err(error) => look_again(ctx, &error, checkpoint),
        }
    }

    /// Has the stage woken when the child has ended.
    fn watch(&self, ctx: &StageContext, child: ExecutionId) {
        let key = (child, ctx.attempt);
        if !self.watched.lock().unwrap_or_else(PoisonError::into_inner).insert(key) {
            return;
        }
        let (pipelines, watched, ctx) = (Arc::clone(&self.pipelines), Arc::clone(&self.watched), ctx.clone());
        tokio::spawn(async move {
            pipelines.ended(child).await;
            watched.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
            if let Err(error) = ctx.signal(json!({"ended": child})).await {
                tracing::debug!(execution = %ctx.execution.info.id, stage = %ctx.path, %error, "a child's end was not taken");
            }
        });
    }

    async fn cancel_child(&self, ctx: &StageContext, known: Option<ExecutionId>, reason: &str) -> Result<(), String> {
        let child = match known {
            Some(child) => Some(child),
            None => match self.pipelines.started(&correlation_id(ctx, ctx.attempt)).await? {
                Some(child) => Some(child),
                None => self.earlier(ctx).await?,
            },
        };
        let Some(child) = child else { return Ok(()) };
        let pipeline = &ctx.execution.info.pipeline;
        let by = format!("pipeline {}/{}", pipeline.application, pipeline.name);
        self.pipelines.cancel(child, &by, reason).await?;
        loop {
            let view = self.pipelines.view(child).await?;
            if view.is_none_or(|view| view.status.is_complete()) {
                return Ok(());
            }
            self.pipelines.ended(child).await;
        }
    }
}

/// The stages that have ended whenever this one starts.
fn upstream(ctx: &StageContext) -> HashSet<StageId> {
    let stages = &ctx.execution.info.pipeline.stages;
    let mut open: Vec<&StageId> = ctx.stage().map(|stage| stage.needs.iter().collect()).unwrap_or_default();
    let mut found = HashSet::new();
    while let Some(id) = open.pop() {
        if found.insert(id.clone()) {
            open.extend(stages.iter().filter(|stage| stage.id == *id).flat_map(|stage| &stage.needs));
        }
    }
    found
}

/// Who can't go on before a child that this stage waits for has ended.
fn awaited_by(ctx: &StageContext) -> Vec<ExecutionId> {
    let info = &ctx.execution.info;
    let above = info.trigger.parent.iter().flat_map(|parent| parent.awaited_by.iter().copied());
    std::iter::once(info.id).chain(above).collect()
}

/// Names the child of an attempt.
fn correlation_id(ctx: &StageContext, attempt: u32) -> String {
    OwnStart::Stage { execution: ctx.execution.info.id, path: &ctx.path, attempt }.to_string()
}

fn look_again(ctx: &StageContext, error: &str, checkpoint: Value) -> Outcome {
    tracing::warn!(execution = %ctx.execution.info.id, stage = %ctx.path, error, "how a sub-pipeline stands can't be told; looking again");
    Outcome::Poll { after: LOOK_AGAIN, checkpoint }
}

fn own_outputs(view: &ExecutionView) -> Map<String, Value> {
    let mut outputs = Map::new();
    outputs.insert("executionId".to_owned(), json!(view.id));
    outputs.insert("executionName".to_owned(), json!(view.pipeline));
    outputs.insert("status".to_owned(), json!(view.status));
    outputs
}

/// What the end of a child means for the stage.
fn conclude(ctx: &StageContext, view: &ExecutionView) -> Outcome {
    let mut outputs = own_outputs(view);
    let skip = fields_of::<Fields>(ctx).ok().and_then(|fields| fields.skip_downstream_output);
    let skip = match flag(skip.as_ref(), "skipDownstreamOutput", false) {
        Ok(skip) => skip,
        Err(message) => return Outcome::Fail(Failure { message, retryable: false, outputs, on_failure: None }),
    };
    let mut too_large = false;
    if !skip {
        let stages: Map<String, Value> = view
            .stages
            .iter()
            .filter(|stage| !stage.outputs.is_empty())
            .map(|stage| (stage.path.to_string(), Value::Object(stage.outputs.clone())))
            .collect();
        too_large = serde_json::to_vec(&stages).map_or(true, |text| text.len() > MAX_OUTPUTS);
        if !too_large {
            outputs.insert("stages".to_owned(), Value::Object(stages));
        }
    }
    let name = format!("{}/{}", view.application, view.pipeline);
    let (message, retryable) = match view.status {
        Status::Succeeded if too_large => (
            format!(
                "what the stages of {name} yielded is larger than {} KiB; set `skipDownstreamOutput: true`",
                MAX_OUTPUTS / 1024
            ),
            false,
        ),
        Status::Succeeded => return Outcome::Done { outputs },
        Status::Canceled => {
            let by = view.canceled_by.as_deref().map(|by| format!(" by {by}")).unwrap_or_default();
            (format!("{name} was cancelled{by}"), false)
        }
        _ => (failure(&name, view), true),
    };
    Outcome::Fail(Failure { message, retryable, outputs, on_failure: None })
}

/// The error of the child's stage that failed it.
fn failure(name: &str, view: &ExecutionView) -> String {
    let of = |status| view.stages.iter().find(|stage| stage.status == status);
    match of(Status::Terminal).or_else(|| of(Status::Stopped)) {
        Some(stage) => {
            let error = stage.error.as_deref().unwrap_or("no reason was given");
            format!("{name} failed at its stage {}: {error}", stage.name)
        }
        None => format!("{name}: {}", view.description),
    }
}

#[async_trait]
impl StageHandler for SubPipeline {
    fn kind(&self) -> &'static str {
        "pipeline"
    }

    fn effect(&self) -> Effect {
        Effect::Idempotent
    }

    async fn start(&self, ctx: &StageContext) -> Outcome {
        self.begin(ctx).await
    }

    async fn resume(&self, ctx: &StageContext, checkpoint: Option<Value>, _: Wake) -> Outcome {
        match child_of(checkpoint) {
            Some(child) => self.follow(ctx, child).await,
            None => self.begin(ctx).await,
        }
    }

    async fn cancel(&self, ctx: &StageContext, checkpoint: Option<Value>, reason: CancelReason) {
        let what = match reason {
            CancelReason::TimedOut => "timed out",
            CancelReason::Canceled => "was cancelled",
        };
        let why = format!("its stage {} {what}", ctx.path);
        if let Err(error) = self.cancel_child(ctx, child_of(checkpoint), &why).await {
            tracing::error!(
                execution = %ctx.execution.info.id, stage = %ctx.path, error,
                "a sub-pipeline that was to end could not be cancelled"
            );
        }
    }
}

fn child_of(checkpoint: Option<Value>) -> Option<ExecutionId> {
    serde_json::from_value::<Checkpoint>(checkpoint?).ok().map(|checkpoint| checkpoint.execution)
}

/// The names that a `pipeline` stage gives to files that it hands down.
pub(super) fn handed_down(parent: &Parent, stage: &str) -> bool {
    parent.files.iter().any(|from: &StageId| from.as_str() == stage)
}

#[cfg(test)]
mod tests;
