//! What a pipeline is started with from a terminal, here or on a server, and what a dry run of it tells.

use std::collections::BTreeMap;

use anyhow::Context;
use serde_json::{Map, Value};

use super::progress;
use crate::engine::chosen_outcome;
use crate::model::{Artifact, DryRun, Parameter, ParameterType, StagePath, Status};

/// What a pipeline is started with
#[derive(Debug, clap::Args)]
pub(super) struct Given {
    /// A parameter; may be given several times
    #[arg(long = "param", value_name = "KEY=VALUE")]
    params: Vec<String>,
    /// An artifact, as JSON like '{"type": "docker/image", "name": "shop", "version": "1.2"}'; may be given several times
    #[arg(long = "artifact", value_name = "JSON")]
    artifacts: Vec<String>,
    /// Do nothing: tell what would start, wait or be skipped, in order
    #[arg(long)]
    pub(super) dry_run: bool,
    /// How a stage ends in a dry run, SUCCEEDED or FAILED; the others succeed. May be given several times
    #[arg(long = "outcome", value_name = "STAGE=OUTCOME", requires = "dry_run")]
    outcomes: Vec<String>,
}

impl Given {
    /// The parameters as their `declared` types: texts as they are, JSON for the others. Whether they are right is not
    /// looked at.
    pub(super) fn parameters(&self, declared: &[Parameter]) -> anyhow::Result<Map<String, Value>> {
        let read = |text: &String| {
            let (key, value) = text.split_once('=').with_context(|| format!("--param {text}: write KEY=VALUE"))?;
            let kind = declared.iter().find(|parameter| parameter.name == key).map(|parameter| parameter.kind);
            let value = match kind {
                None | Some(ParameterType::String) => Value::String(value.to_owned()),
                Some(_) => serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned())),
            };
            Ok((key.to_owned(), value))
        };
        self.params.iter().map(read).collect()
    }

    /// The artifacts.
    pub(super) fn artifacts(&self) -> anyhow::Result<Vec<Artifact>> {
        let read =
            |text: &String| serde_json::from_str(text).with_context(|| format!("`{text}` is no artifact in JSON"));
        self.artifacts.iter().map(read).collect()
    }

    /// How stages are chosen to end.
    pub(super) fn outcomes(&self) -> anyhow::Result<BTreeMap<StagePath, Status>> {
        let read = |text: &String| {
            let (stage, outcome) =
                text.split_once('=').with_context(|| format!("--outcome {text}: write STAGE=OUTCOME"))?;
            let status = chosen_outcome(outcome)
                .with_context(|| format!("--outcome {text}: the outcome is SUCCEEDED or FAILED"))?;
            Ok((StagePath::parse(stage)?, status))
        };
        self.outcomes.iter().map(read).collect()
    }
}

/// A dry run in lines.
pub(super) fn rehearsed(told: &DryRun) -> String {
    let width = told.steps.iter().map(|step| step.path.as_str().chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    if let Some(held) = &told.held {
        text.push_str(&format!("It would wait first: {}\n{}", held.reason, progress::hold(held)));
    }
    for older in &told.supersedes {
        text.push_str(&format!("It would cancel {}/{}  {}\n", older.application, older.pipeline, older.id));
    }
    for step in &told.steps {
        let what = step.status.map_or_else(|| step.does.clone(), |status| status.to_string());
        let detail = step.detail.as_ref().map(|detail| format!("  {detail}")).unwrap_or_default();
        text.push_str(&format!("  {:width$}  {what}{detail}\n", step.path.as_str()));
    }
    for path in &told.never {
        text.push_str(&format!("  {:width$}  never starts\n", path.as_str()));
    }
    text.push_str(&format!("\nIt would end as {}: {}\n", told.status, told.description));
    text
}
