//! What starts a pipeline: the triggers it declares, and the cause of one execution.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ApplicationName, CommitSha, ExecutionId, PipelineName, RepositoryName, StageId, StagePath};

/// A trigger that a pipeline declares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Trigger {
    /// A push.
    Git(GitTrigger),
    /// A kind of trigger that is part of the format and kept, but not acted on by this version.
    #[serde(untagged)]
    Other(Value),
}

/// Starts the pipeline when a branch or tag moves. A trigger that names neither is for all branches; one that
/// names tags and no branches is for tags alone; tags start a pipeline only if `tags` says so.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GitTrigger {
    /// Globs of branch names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub branches: Vec<String>,
    /// Spinnaker's spelling: a regular expression that must match the whole branch name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Globs of tag names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Globs of paths, one of which must have changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// Globs of paths whose change alone starts nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore_paths: Vec<String>,
    /// The ids of the pipeline's expected artifacts that a start by this trigger needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expected_artifact_ids: Vec<String>,
}

/// How an execution came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CauseKind {
    /// A push.
    Git,
    /// A person or a program asked for it.
    #[default]
    Manual,
    /// A `pipeline` stage of another execution.
    Pipeline,
}

/// The execution whose `pipeline` stage started this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Parent {
    /// Which execution.
    pub execution: ExecutionId,
    /// Its stage.
    pub stage: StagePath,
    /// The application that it runs.
    pub application: ApplicationName,
    /// The pipeline that it runs.
    pub pipeline: PipelineName,
    /// Why the execution at the top of all parents runs.
    pub root: CauseKind,
    /// The stages of it whose saved files this one may take, as `parent/<stage>`.
    #[serde(default)]
    pub files: Vec<StageId>,
}

/// Why an execution runs; expressions see it as `trigger`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cause {
    /// What kind of event.
    #[serde(rename = "type")]
    pub kind: CauseKind,
    /// The repository of the commit.
    pub repository: Option<RepositoryName>,
    /// The branch that moved.
    pub branch: Option<String>,
    /// The tag that moved.
    pub tag: Option<String>,
    /// The commit that runs.
    pub commit: Option<CommitSha>,
    /// Where the branch stood before.
    pub previous: Option<CommitSha>,
    /// The forge's word for the event (`push`).
    pub event: Option<String>,
    /// Who acted, as the forge or the API authenticated them.
    pub actor: Option<String>,
    /// The commit's author: a text that anybody can choose, never an identity.
    pub author: Option<String>,
    /// The commit's first line.
    pub message: Option<String>,
    /// Who said at the start that it begins although there may be a freeze.
    #[serde(default)]
    pub override_freeze: Option<String>,
    /// The execution that waits for this one, or started it.
    #[serde(default)]
    pub parent: Option<Parent>,
}
