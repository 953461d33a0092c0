//! The rows of the lists.

use serde::Serialize;
use serde_json::Value;

use super::findings::{FindingsList, finding_rows};
use super::modules::{PinRow, pin_rows};
use super::{CommitLink, Links, Moment, Pill};
use crate::clock::Timestamp;
use crate::config::{Location, Repository};
use crate::diagnostic::Diagnostic;
use crate::model::{
    CommitSha, CronTrigger, Parameter, ParameterType, Pipeline, RepositoryName, TimeTable, Trigger, counted, humanize,
    percent_encode_part, shorten,
};
use crate::store::{
    ApplicationSummary, CommitFindings, CronState, ExecutionSummary, Published, RepositoryState, StoredRemoval,
};

/// One execution of the list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(in crate::ui) struct ExecutionRow {
    address: String,
    application: String,
    pipeline: String,
    pill: Pill,
    commit: Option<CommitLink>,
    branch: Option<String>,
    headline: String,
    who: Option<String>,
    created: Moment,
    duration: Option<String>,
    since: Option<String>,
}

/// The rows of a part of the list.
pub(in crate::ui) fn execution_rows(items: &[ExecutionSummary], links: Links<'_>, now: Timestamp) -> Vec<ExecutionRow> {
    items
        .iter()
        .map(|item| {
            let grows = item.ended_at.is_none() && !item.status.is_complete();
            let cause = &item.cause;
            ExecutionRow {
                address: format!("/executions/{}", item.id),
                application: item.application.to_string(),
                pipeline: item.pipeline.to_string(),
                pill: Pill::of_execution(item.status, false),
                commit: item.commit.as_ref().map(|commit| links.commit(item.repository.as_ref(), commit)),
                branch: item.branch.clone().or_else(|| cause.tag.clone()),
                headline: cause
                    .message
                    .as_deref()
                    .map_or_else(|| "Started by hand".to_owned(), |text| shorten(text, 120)),
                who: cause.actor.clone(),
                created: Moment::new(item.created_at),
                duration: item.started_at.map(|start| humanize(item.ended_at.unwrap_or(now).since(start))),
                since: item.started_at.filter(|_| grows).map(Timestamp::to_rfc3339),
            }
        })
        .collect()
}

/// What the list is narrowed down to.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(in crate::ui) struct FilterForm {
    pub(in crate::ui) application: String,
    pub(in crate::ui) pipeline: String,
    pub(in crate::ui) status: String,
    pub(in crate::ui) repository: String,
    pub(in crate::ui) commit: String,
    pub(in crate::ui) cursor: String,
}

impl FilterForm {
    /// Whether it narrows anything down.
    pub(in crate::ui) fn is_set(&self) -> bool {
        [&self.application, &self.pipeline, &self.status, &self.repository, &self.commit]
            .iter()
            .any(|text| !text.is_empty())
    }

    /// As a query, with another place in the list.
    pub(in crate::ui) fn query(&self, cursor: &str) -> String {
        let pairs = [
            ("application", self.application.as_str()),
            ("pipeline", &self.pipeline),
            ("status", &self.status),
            ("repository", &self.repository),
            ("commit", &self.commit),
            ("cursor", cursor),
        ];
        let set = pairs.into_iter().filter(|(_, value)| !value.is_empty());
        let parts: Vec<String> = set.map(|(name, value)| format!("{name}={}", percent_encode_part(value))).collect();
        if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) }
    }
}

/// One application with its pipelines.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(in crate::ui) struct ApplicationCard {
    name: String,
    list: String,
    repository: String,
    branch: String,
    commit: CommitLink,
    published: Moment,
    pipelines: Vec<PipelineCard>,
    pins: Vec<PinRow>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct PipelineCard {
    name: String,
    list: String,
    action: String,
    form: String,
    description: Option<String>,
    stages: usize,
    triggers: Vec<String>,
    tables: Vec<TableNote>,
    parameters: Vec<ParameterField>,
    file: String,
    line: u32,
    source_url: Option<String>,
}

/// When a time table is due next, and why nothing started when it was due last.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct TableNote {
    next: Vec<String>,
    trouble: Option<String>,
}

/// How many moments of a time table are shown.
const AHEAD: usize = 3;

/// One field of the form that starts a pipeline.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct ParameterField {
    name: String,
    kind: &'static str,
    required: bool,
    default: String,
    options: Vec<String>,
    description: Option<String>,
}

impl ApplicationCard {
    pub(in crate::ui) fn new(
        summary: &ApplicationSummary,
        pipelines: &[Published],
        tables: (&[CronState], Timestamp),
        links: Links<'_>,
    ) -> Self {
        let application = percent_encode_part(summary.name.as_str());
        Self {
            name: summary.name.to_string(),
            list: format!("/?application={application}"),
            repository: summary.repository.to_string(),
            branch: summary.branch.clone(),
            commit: links.commit(Some(&summary.repository), &summary.commit),
            published: Moment::new(summary.published_at),
            pins: pin_rows(&summary.pins, links),
            pipelines: pipelines
                .iter()
                .filter(|published| published.pipeline.application == summary.name)
                .enumerate()
                .map(|(index, published)| PipelineCard::new(published, index, tables, links))
                .collect(),
        }
    }
}

impl PipelineCard {
    fn new(published: &Published, index: usize, (states, now): (&[CronState], Timestamp), links: Links<'_>) -> Self {
        let table = |(trigger, table): (&CronTrigger, TimeTable)| TableNote {
            next: table.upcoming(now, AHEAD).into_iter().map(|moment| table.in_zone(moment)).collect(),
            trouble: states
                .iter()
                .find(|state| state.key.is_of(&published.pipeline, trigger))
                .and_then(|state| state.outcome.clone()),
        };
        let Pipeline { application, name, description, parameters, triggers, stages, source, .. } = &published.pipeline;
        let (application, escaped) = (percent_encode_part(application.as_str()), percent_encode_part(name.as_str()));
        let repository = Some(&published.repository);
        Self {
            name: name.to_string(),
            list: format!("/?application={application}&pipeline={escaped}"),
            action: format!("/api/v1/applications/{application}/pipelines/{escaped}/executions"),
            form: format!("start-{application}-{index}"),
            description: description.clone(),
            stages: stages.len(),
            triggers: triggers.iter().map(Trigger::words).collect(),
            tables: published.pipeline.time_tables().map(table).collect(),
            parameters: parameters.iter().map(ParameterField::new).collect(),
            file: source.file.clone(),
            line: source.line,
            source_url: links.line(repository, Some(&published.commit), &source.file, source.line),
        }
    }
}

impl ParameterField {
    fn new(parameter: &Parameter) -> Self {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Self {
            name: parameter.name.clone(),
            kind: match parameter.kind {
                ParameterType::String => "string",
                ParameterType::Integer => "integer",
                ParameterType::Number => "number",
                ParameterType::Boolean => "boolean",
                ParameterType::List => "list",
                ParameterType::Object => "object",
            },
            required: parameter.required && parameter.default.is_none(),
            default: parameter.default.as_ref().map(text).unwrap_or_default(),
            options: parameter.options.iter().map(text).collect(),
            description: parameter.description.clone(),
        }
    }
}

/// One repository.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(in crate::ui) struct RepositoryCard {
    name: String,
    address: String,
    url: Option<String>,
    location: String,
    branches: String,
    pill: RepositoryPill,
    error: Option<String>,
    reached: Option<Moment>,
    head: Option<CommitLink>,
    head_ref: Option<String>,
    settled: Option<Moment>,
    no_files: bool,
    findings: Option<FindingsList>,
    /// Whether it isn't in the configuration any more.
    gone: bool,
    removals: Vec<WaitingRemoval>,
}

/// Pipelines that go only if somebody approves it.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct WaitingRemoval {
    what: String,
    pipelines: Vec<String>,
    more: usize,
    command: String,
}

/// The most pipelines of a removal that are listed.
const MOST_REMOVED: usize = 20;

impl WaitingRemoval {
    /// Those of a repository that nobody has approved; what the findings of `shown` say is left to them.
    fn all(removals: &[StoredRemoval], repository: &RepositoryName, shown: Option<&CommitSha>) -> Vec<Self> {
        let waits = |one: &&StoredRemoval| {
            let is_told = !one.is_by_configuration() && Some(&one.commit) == shown;
            one.repository == *repository && one.approved.is_none() && !is_told
        };
        removals.iter().filter(waits).map(Self::new).collect()
    }

    fn new(removal: &StoredRemoval) -> Self {
        let what = match removal.is_by_configuration() {
            true => "The server's configuration would take away".to_owned(),
            false => format!("The commit {} would remove", removal.commit.short()),
        };
        let (number, of) = (removal.pipelines.len(), counted(removal.of, "pipeline"));
        Self {
            what: format!("{what} {number} of {of}. They stay as they are until somebody approves it."),
            pipelines: removal.pipelines.iter().take(MOST_REMOVED).cloned().collect(),
            more: number.saturating_sub(MOST_REMOVED),
            command: format!("longboat repositories approve-removal {} {}", removal.repository, removal.commit.short()),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct RepositoryPill {
    class: &'static str,
    label: &'static str,
}

impl RepositoryCard {
    pub(in crate::ui) fn new(
        repository: &Repository,
        state: Option<&RepositoryState>,
        findings: Option<&CommitFindings>,
        removals: &[StoredRemoval],
        links: Links<'_>,
    ) -> Self {
        let error = state.and_then(|state| state.error.clone());
        let errors = findings.is_some_and(|found| found.findings.iter().any(Diagnostic::is_error));
        let pill = match (state, &error) {
            (None, _) => RepositoryPill { class: "todo", label: "Not looked at yet" },
            (Some(_), Some(_)) => RepositoryPill { class: "bad", label: "Not reachable" },
            (Some(_), None) if errors => RepositoryPill { class: "warn", label: "Has errors" },
            (Some(_), None) => RepositoryPill { class: "good", label: "Well" },
        };
        let settled = state.and_then(|state| state.settled_commit.as_ref());
        let git_ref = state.and_then(|state| state.settled_ref.as_deref());
        Self {
            name: repository.name.to_string(),
            address: format!("/repositories/{}", repository.name),
            url: links.repository(&repository.name),
            location: match &repository.location {
                Location::Local(path) => path.display().to_string(),
                Location::Remote(url) => url.clone(),
            },
            branches: if repository.branches.is_empty() {
                "the default branch".to_owned()
            } else {
                repository.branches.join(", ")
            },
            pill,
            error,
            reached: state.and_then(|state| state.reached_at).map(Moment::new),
            head: settled.map(|commit| links.commit(Some(&repository.name), commit)),
            head_ref: git_ref.map(|text| text.trim_start_matches("refs/heads/").trim_start_matches("refs/").to_owned()),
            settled: state.and_then(|state| state.settled_at).map(Moment::new),
            no_files: state.and_then(|state| state.has_files) == Some(false),
            findings: findings.map(|found| finding_rows(found, links)),
            gone: false,
            removals: WaitingRemoval::all(removals, &repository.name, findings.map(|found| &found.commit)),
        }
    }

    /// One that isn't in the configuration any more and has pipelines that wait for somebody to say that they may go.
    pub(in crate::ui) fn left_over(name: &RepositoryName, removals: &[StoredRemoval]) -> Self {
        Self {
            name: name.to_string(),
            address: String::new(),
            url: None,
            location: String::new(),
            branches: String::new(),
            pill: RepositoryPill { class: "warn", label: "Not in the configuration" },
            error: None,
            reached: None,
            head: None,
            head_ref: None,
            settled: None,
            no_files: false,
            findings: None,
            gone: true,
            removals: WaitingRemoval::all(removals, name, None),
        }
    }
}
