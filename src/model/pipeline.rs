//! A pipeline as published: what a rendered file means once its two dialects are one.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{ApplicationName, ExpectedArtifact, Lane, LockName, PipelineName, Span, Spread, StageId, Trigger, Window};
use crate::diagnostic::Place;

/// Which of the two spellings a pipeline was written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// Longboat's own: unknown keys are errors, parameters are typed, expressions are CEL.
    #[default]
    Longboat,
    /// Spinnaker's JSON: unknown keys are warnings, parameters are strings.
    Spinnaker,
}

/// A pipeline, ready to be executed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pipeline {
    /// The application that owns it.
    pub application: ApplicationName,
    /// Its name, unique within the application.
    pub name: PipelineName,
    /// Its declared id, or one made from the two names.
    pub id: Uuid,
    /// The spelling it was written in.
    #[serde(default)]
    pub dialect: Dialect,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Names the deployment, and chooses a variable overlay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// What a start may or must give, in the author's order.
    #[serde(default)]
    pub parameters: Vec<Parameter>,
    /// What starts it.
    #[serde(default)]
    pub triggers: Vec<Trigger>,
    /// The artifacts that it works on; see [`super::resolve_artifacts`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expected_artifacts: Vec<ExpectedArtifact>,
    /// How many may run at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
    /// How long a whole execution may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// How long an execution may wait to begin; then it is cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_expiry: Option<Span>,
    /// The stages, in the author's order; `needs` is complete (list order is already made explicit).
    pub stages: Vec<Stage>,
    /// Where the definition stands.
    pub source: Place,
}

impl Pipeline {
    /// The newest version of an execution's document that a program can go on with: 2 has stages that become several.
    pub const DOCUMENT_VERSION: u32 = 2;

    /// The version that a program has to know to go on with an execution of this pipeline.
    pub fn document_version(&self) -> u32 {
        if self.stages.iter().any(|stage| stage.spread.is_some()) { 2 } else { 1 }
    }

    /// Where its executions stand in line, and by which rule, if not any number of them may run at once.
    pub fn lane(&self) -> Option<(Lane, &Concurrency)> {
        let concurrency = self.concurrency.as_ref()?;
        let lane = match &concurrency.lock {
            Some(lock) => Lane::Lock(lock.clone()),
            None => Lane::Pipeline(self.application.clone(), self.name.clone()),
        };
        Some((lane, concurrency))
    }
}

/// One parameter of a pipeline (Spinnaker's `parameterConfig` entry).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Parameter {
    /// The name under `parameters`.
    pub name: String,
    /// The type of its values.
    #[serde(rename = "type", default)]
    pub kind: ParameterType,
    /// Whether a start must give it, if there is no default.
    #[serde(default)]
    pub required: bool,
    /// The value if none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// The values allowed; empty means all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<Value>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// The type of a parameter's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ParameterType {
    /// Text.
    #[default]
    String,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// True or false.
    Boolean,
    /// A list.
    List,
    /// A mapping.
    Object,
}

/// How many executions of a pipeline, or with one lock, may run at once, and what a further one does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Concurrency {
    /// The most that run at once.
    pub max: u32,
    /// What becomes of one more.
    #[serde(default)]
    pub on_new: OnNew,
    /// The lock that is shared with other pipelines; without one, the pipeline's own executions are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<LockName>,
}

/// What a start does when as many executions run as may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OnNew {
    /// It waits; all run in their order.
    #[default]
    Queue,
    /// It cancels the running one.
    CancelRunning,
    /// It waits, and takes the place of those that wait already.
    KeepNewest,
}

/// What the failure of a stage means for its pipeline (Spinnaker's three flags as one choice).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OnFailure {
    /// The execution fails at once, and running stages are cancelled.
    #[default]
    Halt,
    /// Only what comes after this stage is left out; the execution can succeed.
    HaltBranch,
    /// What comes after is left out; the execution fails when the other branches have ended.
    HaltBranchThenFail,
    /// What comes after runs as if the stage had succeeded.
    Ignore,
}

/// When and how often a failed stage is tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    /// All attempts, the first included.
    pub attempts: u32,
    /// The pause before the second attempt; each further pause is twice as long.
    pub backoff: Span,
    /// The failures that are worth another attempt; none: all that may pass.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on: Vec<RetryOn>,
}

/// A failure that is worth another attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RetryOn {
    /// A script that ended with this exit code.
    ExitCode(i64),
    /// [`RetryOn::TIMEOUT`], [`RetryOn::LOST`], or a regular expression that is found in the message.
    Text(String),
}

impl RetryOn {
    /// An attempt that took longer than the stage's `timeout`, which is then that of each attempt.
    pub const TIMEOUT: &'static str = "timeout";

    /// An attempt of which nobody knows how far it came: whatever ran it is gone, a replica or a machine.
    pub const LOST: &'static str = "lost";

    /// The output by which such an attempt is known; a script's own outputs are never `true` but texts.
    pub const LOST_OUTPUT: &'static str = "lost";

    /// Whether it is that of an attempt that took too long.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Text(text) if text == Self::TIMEOUT)
    }

    /// Whether it is about a failure with this message and these outputs.
    pub fn covers(&self, message: &str, outputs: &Map<String, Value>) -> bool {
        match self {
            Self::ExitCode(code) => outputs.get("exitCode").and_then(Value::as_i64) == Some(*code),
            Self::Text(_) if self.is_timeout() => false,
            Self::Text(text) if text == Self::LOST => outputs.get(Self::LOST_OUTPUT) == Some(&Value::Bool(true)),
            // Validation has seen to it that it can be read.
            Self::Text(pattern) => regex::Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(message)),
        }
    }
}

impl Retry {
    /// Whether a failure with this message and these outputs is worth another attempt.
    pub fn covers(&self, message: &str, outputs: &Map<String, Value>) -> bool {
        self.on.is_empty() || self.on.iter().any(|on| on.covers(message, outputs))
    }

    /// Whether the stage's `timeout` is that of each attempt, and running out of it is worth another.
    pub fn covers_timeout(&self) -> bool {
        self.on.iter().any(RetryOn::is_timeout)
    }
}

/// One stage of a pipeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stage {
    /// Unique within the pipeline.
    pub id: StageId,
    /// For people.
    pub name: String,
    /// Chooses the handler, the schema and the fields.
    #[serde(rename = "type")]
    pub kind: String,
    /// The stages that must end well before this one starts.
    pub needs: Vec<StageId>,
    /// A CEL expression; if it yields false, the stage is skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// What its failure means.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// How long it may run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// Whether and how it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// The times of the week at which it may start; at others it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// What it is spread over, if it becomes several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<Spread>,
    /// Whether it runs after all others, whatever became of them.
    #[serde(default, skip_serializing_if = "is_false")]
    pub finally: bool,
    /// The artifacts that it has to yield: bound out of its outputs' `artifacts` when it ends well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expected_artifacts: Vec<ExpectedArtifact>,
    /// The group of stages that pages show it in; nothing else follows from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The fields of its type, `${ }` not yet evaluated.
    pub fields: Map<String, Value>,
    /// JSON pointers into `fields` of values that are never evaluated (`x-longboat-raw` in the schema).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub raw: Vec<String>,
    /// JSON pointers into `fields` of texts that may name a secret (`x-longboat-secret` in the schema).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secret: Vec<String>,
    /// Where the stage stands in the author's files.
    pub source: Place,
}

// Serde's `skip_serializing_if` hands out references.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_false(flag: &bool) -> bool {
    !*flag
}
