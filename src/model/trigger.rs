//! What starts a pipeline: the triggers it declares, and the cause of one execution.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::execution::rfc3339_or_null;
use super::{
    ApplicationName, CommitSha, ExecutionId, Pipeline, PipelineName, RepositoryName, StageId, StagePath, Status,
    TimeTable, WebhookTrigger,
};
use crate::clock::Timestamp;

/// A trigger that a pipeline declares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Trigger {
    /// A push.
    Git(GitTrigger),
    /// A time table.
    Cron(CronTrigger),
    /// The end of another pipeline.
    Pipeline(PipelineTrigger),
    /// A custom webhook.
    Webhook(WebhookTrigger),
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

impl Trigger {
    /// In a few words, as pages and plans say it.
    pub fn words(&self) -> String {
        match self {
            Self::Git(git) => {
                let mut parts = Vec::new();
                let branches: Vec<&str> =
                    git.branches.iter().map(String::as_str).chain(git.branch.as_deref()).collect();
                if !branches.is_empty() {
                    parts.push(format!("push to {}", branches.join(", ")));
                }
                if !git.tags.is_empty() {
                    parts.push(format!("tag {}", git.tags.join(", ")));
                }
                if parts.is_empty() { "any push".to_owned() } else { parts.join(" or ") }
            }
            Self::Cron(cron) => format!("time table {}", cron.words()),
            Self::Pipeline(of) => {
                let ends: Vec<&str> = of.statuses.iter().map(|status| status.as_str()).collect();
                let how = if ends.is_empty() { String::new() } else { format!(" ({})", ends.join(", ")) };
                match &of.application {
                    Some(application) => format!("end of {application}/{}{how}", of.pipeline),
                    None => format!("end of {}{how}", of.pipeline),
                }
            }
            Self::Webhook(hook) => format!("webhook {}", hook.source),
            Self::Other(value) => {
                format!("{} (not in this version)", value["type"].as_str().unwrap_or("another kind"))
            }
        }
    }
}

/// Starts the pipeline whenever a time table is due.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CronTrigger {
    /// The schedule, of five fields, or of six or seven as Quartz has it.
    #[serde(alias = "cronExpression")]
    pub schedule: String,
    /// A name of the IANA database; UTC if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// What a start gets.
    #[serde(flatten)]
    pub start: Start,
}

impl CronTrigger {
    /// The schedule and the zone; tells two time tables of a pipeline apart.
    pub fn words(&self) -> String {
        format!("{} {}", self.schedule, self.timezone.as_deref().unwrap_or("UTC"))
    }

    /// The time table of a pipeline; none if it can't be read, which validation has reported.
    pub fn table(&self, application: &ApplicationName, pipeline: &PipelineName) -> Option<TimeTable> {
        TimeTable::parse(&self.schedule, self.timezone.as_deref(), &format!("{application}/{pipeline}")).ok()
    }
}

/// Starts the pipeline when an execution of another one ends.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PipelineTrigger {
    /// The other pipeline's application; if there is none, that of the pipeline that declares this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<ApplicationName>,
    /// The other pipeline's name, or its id.
    pub pipeline: String,
    /// How it has to end; well, if nothing is said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statuses: Vec<Status>,
    /// What a start gets.
    #[serde(flatten)]
    pub start: Start,
}

impl PipelineTrigger {
    /// The other pipeline's id, if that is how it is named; no application is needed then.
    pub fn target_id(&self) -> Option<Uuid> {
        Uuid::parse_str(&self.pipeline).ok()
    }

    /// The other pipeline's application, where `own` is that of the pipeline that declares this.
    pub fn application_or<'a>(&'a self, own: &'a ApplicationName) -> &'a ApplicationName {
        self.application.as_ref().unwrap_or(own)
    }

    /// Whether it is for the end of `pipeline`, where `own` is the application that declares it.
    pub fn is_for(&self, own: &ApplicationName, pipeline: &Pipeline) -> bool {
        match self.target_id() {
            Some(id) => id == pipeline.id,
            None => self.application_or(own) == &pipeline.application && self.pipeline == pipeline.name.as_str(),
        }
    }

    /// Whether such an end starts it.
    pub fn takes(&self, status: Status) -> bool {
        if self.statuses.is_empty() { status == Status::Succeeded } else { self.statuses.contains(&status) }
    }
}

impl Pipeline {
    /// Its triggers by the end of other pipelines.
    pub fn pipeline_triggers(&self) -> impl Iterator<Item = &PipelineTrigger> {
        self.triggers.iter().filter_map(|trigger| match trigger {
            Trigger::Pipeline(of) => Some(of),
            _ => None,
        })
    }

    /// Its triggers by custom webhooks.
    pub fn webhook_triggers(&self) -> impl Iterator<Item = &WebhookTrigger> {
        self.triggers.iter().filter_map(|trigger| match trigger {
            Trigger::Webhook(hook) => Some(hook),
            _ => None,
        })
    }

    /// Its `cron` triggers, each with its time table.
    pub fn time_tables(&self) -> impl Iterator<Item = (&CronTrigger, TimeTable)> {
        self.triggers.iter().filter_map(|trigger| match trigger {
            Trigger::Cron(cron) => Some((cron, cron.table(&self.application, &self.name)?)),
            _ => None,
        })
    }
}

/// What a start by another trigger than a push gets, and whether it is reported.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Start {
    /// The values of parameters.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub parameters: Map<String, Value>,
    /// The ids of the pipeline's expected artifacts that a start by this trigger needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expected_artifact_ids: Vec<String>,
    /// Whether the outcome is reported on the commit; if nobody says, what is usual for the kind of trigger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<bool>,
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
    /// A `pipeline` stage of another execution ([`Cause::parent`]), or its end ([`Cause::parent_execution`]).
    Pipeline,
    /// A time table was due.
    Cron,
    /// A custom webhook came.
    Webhook,
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
    /// The executions that can't end before this one has: the parent if its stage waits, and those that wait for the
    /// parent. The nearest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub awaited_by: Vec<ExecutionId>,
}

/// The execution by whose end an execution began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentExecution {
    /// Which execution.
    pub id: ExecutionId,
    /// The application that it ran.
    pub application: ApplicationName,
    /// The pipeline that it ran.
    pub pipeline: PipelineName,
    /// How it ended.
    pub status: Status,
    /// The repository of its commit.
    pub repository: Option<RepositoryName>,
    /// Its branch.
    pub branch: Option<String>,
    /// Its commit.
    pub commit: Option<CommitSha>,
    /// Its parameters.
    #[serde(default)]
    pub parameters: Map<String, Value>,
    /// What its stages yielded, as `{status, outputs}` by their ids, as far as there is room.
    #[serde(default)]
    pub stages: Map<String, Value>,
    /// How many ends of pipelines led here, this one included.
    pub depth: u32,
    /// Why the execution at the beginning of them all ran.
    pub root: CauseKind,
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
    /// The forge's word for the event (`push`), the time table that was due, or the source of a
    /// custom webhook.
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
    /// The execution by whose end this one began, or the one that started it by a stage.
    #[serde(default)]
    pub parent_execution: Option<Box<ParentExecution>>,
    /// What a custom webhook said: foreign text.
    #[serde(default)]
    pub payload: Option<Value>,
    /// For which moment a time table started it; RFC 3339 in documents.
    #[serde(default, with = "rfc3339_or_null")]
    pub scheduled_time: Option<Timestamp>,
}

impl Cause {
    /// Without what only the execution itself needs, for lists.
    #[must_use]
    pub fn in_short(&self) -> Self {
        let mut short = Self { payload: None, ..self.clone() };
        if let Some(parent) = &mut short.parent_execution {
            (parent.parameters, parent.stages) = (Map::new(), Map::new());
        }
        short
    }
}
