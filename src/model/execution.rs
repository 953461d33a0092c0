//! An execution: one run of a pipeline. Its unchanging part, and the view that the API and the pages show.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    ApplicationName, Artifacts, Cause, CommitSha, ExecutionId, ExecutionKey, Pipeline, PipelineName, ReportTarget,
    RepositoryName, RevisionId, StageId, StagePath, Status,
};
use crate::clock::Timestamp;

/// The unchanging part of an execution, kept as one document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewExecution {
    /// The public id.
    pub id: ExecutionId,
    /// What runs, as it was rendered; never rendered again.
    pub pipeline: Pipeline,
    /// The revision that `pipeline` is, if it was published.
    pub revision: Option<RevisionId>,
    /// The checked parameters, defaults filled in.
    pub parameters: Map<String, Value>,
    /// Why it runs.
    pub trigger: Cause,
    /// The artifacts that came with the start, and those found for what the pipeline expects.
    #[serde(default, skip_serializing_if = "Artifacts::is_empty")]
    pub artifacts: Artifacts,
    /// The repository whose checkout scripts get.
    pub repository: Option<RepositoryName>,
    /// The commit whose checkout scripts get.
    pub commit: Option<CommitSha>,
    /// Where its outcome is reported.
    pub report: Option<ReportTarget>,
    /// The same id starts once.
    pub correlation_id: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
}

/// An execution that the store has: the unchanging part and the store's key.
#[derive(Debug, Clone, PartialEq)]
pub struct Execution {
    /// The store's key.
    pub key: ExecutionKey,
    /// The unchanging part.
    pub info: NewExecution,
}

/// An execution as the API and the pages show it (FORMAT section 7). Times are RFC 3339 on the wire.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecutionView {
    /// The public id.
    pub id: ExecutionId,
    /// The application.
    pub application: ApplicationName,
    /// The pipeline.
    pub pipeline: PipelineName,
    /// How it stands.
    pub status: Status,
    /// What the commit status says in words.
    pub description: String,
    /// The repository.
    pub repository: Option<RepositoryName>,
    /// The commit.
    pub commit: Option<CommitSha>,
    /// Why it runs.
    pub trigger: Cause,
    /// Its parameters.
    pub parameters: Map<String, Value>,
    /// The artifacts that it was started with.
    #[serde(flatten)]
    pub artifacts: Artifacts,
    /// When it was created.
    #[serde(with = "rfc3339")]
    pub created_time: Timestamp,
    /// When its first stage could start.
    #[serde(with = "rfc3339_or_null")]
    pub start_time: Option<Timestamp>,
    /// When it ended.
    #[serde(with = "rfc3339_or_null")]
    pub end_time: Option<Timestamp>,
    /// Who cancelled it, and why.
    pub canceled_by: Option<String>,
    /// What keeps it from beginning, or from going on after a restart.
    #[serde(default)]
    pub held: Option<HoldView>,
    /// When its details were dropped: the stages have no outputs and no evaluated fields then, and there are no logs.
    #[serde(with = "rfc3339_or_null", default)]
    pub compacted_time: Option<Timestamp>,
    /// Who paused it, if no further stage starts because of that.
    #[serde(default)]
    pub paused: Option<PauseView>,
    /// What it waits for if nothing that Longboat knows will ever wake it.
    #[serde(default)]
    pub stranded: Option<String>,
    /// When it was begun again, the latest last.
    pub restarts: Vec<RestartView>,
    /// What its stages started, in the order in which they did.
    pub children: Vec<ChildView>,
    /// The stages, in the author's order.
    pub stages: Vec<StageView>,
}

/// What holds an execution back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HoldView {
    /// A freeze, or the executions before it.
    #[serde(default)]
    pub kind: HoldKind,
    /// Why there is a freeze, or what is waited for.
    pub reason: String,
    /// Who froze.
    pub by: Option<String>,
    /// When the freeze ends by itself.
    #[serde(with = "rfc3339_or_null")]
    pub until: Option<Timestamp>,
    /// The lane in which it waits: `pipeline shop/deploy`, `lock prod-db`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<String>,
    /// Who has the places of the lane.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holders: Vec<Holder>,
}

/// That an execution is paused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PauseView {
    /// Who paused it.
    pub by: String,
    /// When.
    #[serde(with = "rfc3339")]
    pub time: Timestamp,
}

/// What kind of thing holds an execution back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HoldKind {
    /// A freeze.
    #[default]
    Freeze,
    /// Only so many run at once.
    Concurrency,
}

/// An execution that others wait for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// The public id.
    pub id: ExecutionId,
    /// The application.
    pub application: ApplicationName,
    /// The pipeline.
    pub pipeline: PipelineName,
}

/// One restart of an execution that had ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestartView {
    /// Who asked for it.
    pub by: String,
    /// When.
    #[serde(with = "rfc3339")]
    pub time: Timestamp,
    /// How the execution had ended before.
    pub previous_status: Status,
    /// Whether they said that it goes on although there may be a freeze.
    #[serde(default)]
    pub override_freeze: bool,
    /// The stages that were asked to run again; what comes after them runs again, too.
    pub stages: Vec<StagePath>,
}

/// An execution that a `pipeline` stage started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChildView {
    /// The public id.
    pub id: ExecutionId,
    /// The application.
    pub application: ApplicationName,
    /// The pipeline.
    pub pipeline: PipelineName,
    /// How it stands.
    pub status: Status,
    /// The stage that started it.
    pub stage: StagePath,
}

/// A stage of an [`ExecutionView`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StageView {
    /// The id in the definition.
    pub id: StageId,
    /// Where it stands in the execution.
    pub path: StagePath,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// For people.
    pub name: String,
    /// What it needs.
    pub needs: Vec<StageId>,
    /// The group that it is shown in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// How it stands.
    pub status: Status,
    /// The latest attempt, from 1; 0 before the first.
    pub attempt: u32,
    /// When the latest attempt started.
    #[serde(with = "rfc3339_or_null")]
    pub start_time: Option<Timestamp>,
    /// When it ended.
    #[serde(with = "rfc3339_or_null")]
    pub end_time: Option<Timestamp>,
    /// What it yielded. Of a stage that became several: `list` and `instances`, what each of its instances did.
    pub outputs: Map<String, Value>,
    /// The stage that it is an instance of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_of: Option<StagePath>,
    /// What is different about the instance: its combination, or its item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<Value>,
    /// What it has become, if it is a stage with `matrix` or `forEach`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instances: Option<InstancesView>,
    /// Why it failed.
    pub error: Option<String>,
    /// What it waits for, in words.
    pub waiting_for: Option<String>,
    /// Since when and until when, and what somebody can do about it.
    #[serde(flatten)]
    pub progress: StageProgress,
    /// The stage's own fields as evaluated for this attempt (the definition's before it started).
    pub context: Map<String, Value>,
    /// Where it was defined.
    pub source: StageSource,
}

/// How the instances of a stage stand; they follow it among the stages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstancesView {
    /// How many there are. None: there was nothing to do, and the stage was skipped.
    pub total: usize,
    /// How many have ended.
    pub ended: usize,
    /// How many of these failed.
    pub failed: usize,
    /// How many run.
    pub running: usize,
    /// How many run at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_parallel: Option<u32>,
    /// Whether the first failure ends the others.
    pub fail_fast: bool,
}

impl InstancesView {
    /// As people read it: `2 of 4 ended, 1 failed`.
    pub fn in_words(&self) -> String {
        if self.total == 0 {
            return "nothing to do: its list is empty".to_owned();
        }
        let failed = if self.failed > 0 { format!(", {} failed", self.failed) } else { String::new() };
        format!("{} of {} ended{failed}", self.ended, self.total)
    }
}

/// How long a stage that is in progress has done what it does, and how long it can go on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StageProgress {
    /// Since when it has waited, or been at work without a word.
    #[serde(with = "rfc3339_or_null")]
    pub since: Option<Timestamp>,
    /// When it goes on by itself, or is looked at again.
    #[serde(with = "rfc3339_or_null")]
    pub until: Option<Timestamp>,
    /// When its time is over.
    #[serde(with = "rfc3339_or_null")]
    pub deadline: Option<Timestamp>,
    /// Whether somebody may have it wait no longer.
    pub skippable: bool,
    /// Who had it start outside of its window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped_by: Option<String>,
}

/// Where a stage was defined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StageSource {
    /// The file in the repository, or the module's name.
    pub file: String,
    /// The line.
    pub line: u32,
    /// The commit.
    pub commit: Option<CommitSha>,
}

/// Times as the API writes them.
mod rfc3339 {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    use crate::clock::Timestamp;

    pub(super) fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&time.to_rfc3339())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(deserializer)?;
        Timestamp::from_rfc3339(&text).ok_or_else(|| de::Error::custom(format!("`{text}` is no RFC 3339 time")))
    }
}

/// As [`rfc3339`], or null.
pub(super) mod rfc3339_or_null {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    use crate::clock::Timestamp;

    pub(in crate::model) fn serialize<S: Serializer>(
        time: &Option<Timestamp>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => super::rfc3339::serialize(time, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(in crate::model) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Timestamp>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        let read = |text: String| {
            Timestamp::from_rfc3339(&text).ok_or_else(|| de::Error::custom(format!("`{text}` is no RFC 3339 time")))
        };
        text.map(read).transpose()
    }
}
