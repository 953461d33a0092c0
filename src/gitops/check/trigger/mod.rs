//! What starts a pipeline.

mod cron;
mod pipeline;
mod start;
mod webhook;

use std::sync::LazyLock;

use globset::GlobBuilder;
use schemars::JsonSchema;

use super::reader::{Field, Fields, Sink, cut, unknown_key};
use super::{artifact, spinnaker};
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::model::{Dialect, ExpectedArtifact, GitTrigger, Parameter, Trigger};
use crate::schema::format::{GitTriggerFile, PullRequestTriggerFile, keys};

/// The most triggers of a pipeline, and the most patterns of one list.
const MAX_TRIGGERS: usize = 100;
const MAX_PATTERNS: usize = 200;

const TYPES: [&str; 5] = ["git", "pull_request", "cron", "pipeline", "webhook"];
/// Keys of a git trigger in Spinnaker: which repository's pushes count, and bookkeeping.
const SPINNAKER_GIT: &[&str] =
    &["description", "hash", "id", "link", "linkText", "project", "runAsUser", "slug", "source", "user"];

fn with_type<T: JsonSchema>() -> Vec<String> {
    let mut all = vec!["type".to_owned()];
    all.extend(keys::<T>());
    all
}

static GIT: LazyLock<Vec<String>> = LazyLock::new(with_type::<GitTriggerFile>);
static PULL_REQUEST: LazyLock<Vec<String>> = LazyLock::new(with_type::<PullRequestTriggerFile>);

/// What a trigger is read against.
#[derive(Debug, Clone, Copy)]
pub(super) struct Around<'a> {
    pub(super) expected: &'a [ExpectedArtifact],
    /// Nothing, if they can't be told.
    pub(super) parameters: Option<&'a [Parameter]>,
    pub(super) dialect: Dialect,
}

/// Reads the list of triggers; those that are switched off are left out.
pub(super) fn read_all(list: &Field<'_>, around: Around<'_>, sink: &mut Sink) -> Vec<Trigger> {
    let items = list.items(sink, MAX_TRIGGERS).unwrap_or_default();
    items.iter().filter_map(|item| read(item, around, sink)).collect()
}

fn read(item: &Field<'_>, around: Around<'_>, sink: &mut Sink) -> Option<Trigger> {
    let Around { expected, dialect, .. } = around;
    let what = "a trigger";
    let mut fields = Fields::of(item.node, &item.pointer, what, sink)?;
    let kind = fields.require("type", what, sink)?;
    let name = kind.string(sink)?;
    let enabled = fields.take("enabled").and_then(|field| field.boolean(sink)).unwrap_or(true);
    let trigger = match name {
        "git" => git(&mut fields, expected, dialect, sink).map(Trigger::Git),
        "pull_request" => {
            fields.take("events").and_then(|field| field.strings(sink, MAX_PATTERNS));
            globs(&mut fields, "branches", sink);
            kept(&fields, item, &PULL_REQUEST, "a `pull_request` trigger", dialect, sink)
        }
        "cron" => cron::read(&mut fields, around, sink).map(Trigger::Cron),
        "webhook" => webhook::read(&mut fields, around, sink).map(Trigger::Webhook),
        "pipeline" => pipeline::read(&mut fields, around, sink).map(Trigger::Pipeline),
        other if dialect == Dialect::Spinnaker => {
            let message = format!("this version of Longboat doesn't act on triggers of the type `{}`", cut(other));
            kind.say(sink, Diagnostic::warning(Code::NotInThisVersion, message));
            Some(Trigger::Other(item.json(sink)))
        }
        other => {
            let message = format!("unknown trigger type `{}`", cut(other));
            let hint = match nearest(other, TYPES) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "there are `git`, `pull_request`, `cron`, `pipeline` and `webhook`".to_owned(),
            };
            kind.say(sink, Diagnostic::error(Code::ValueNotAllowed, message).hint(hint));
            None
        }
    };
    trigger.filter(|_| enabled)
}

fn git(
    fields: &mut Fields<'_>,
    expected: &[ExpectedArtifact],
    dialect: Dialect,
    sink: &mut Sink,
) -> Option<GitTrigger> {
    let errors = sink.errors();
    let trigger = GitTrigger {
        branches: globs(fields, "branches", sink),
        branch: fields.take("branch").and_then(|field| pattern(&field, sink)),
        tags: globs(fields, "tags", sink),
        paths: globs(fields, "paths", sink),
        ignore_paths: globs(fields, "ignorePaths", sink),
        expected_artifact_ids: artifact::take_ids(fields, expected, dialect, sink),
    };
    if dialect == Dialect::Spinnaker {
        for key in SPINNAKER_GIT {
            fields.take(key);
        }
        for field in ["events", "payloadConstraints", "secret"].iter().filter_map(|key| fields.take(key)) {
            spinnaker::later(&field, sink);
        }
    }
    fields.finish(&GIT, "a `git` trigger", dialect, sink);
    (sink.errors() == errors).then_some(trigger)
}

/// A trigger that is kept as it is, with a word that nothing acts on it yet.
fn kept(
    fields: &Fields<'_>,
    item: &Field<'_>,
    known: &[String],
    what: &str,
    dialect: Dialect,
    sink: &mut Sink,
) -> Option<Trigger> {
    for (key, field) in fields.untaken() {
        sink.add(&key.origin, &field.pointer, unknown_key(&key.name, known, what, dialect));
    }
    let message = format!("this version of Longboat doesn't act on {what}");
    item.say(sink, Diagnostic::warning(Code::NotInThisVersion, message));
    Some(Trigger::Other(item.json(sink)))
}

/// A list of globs, each of which can be read.
fn globs(fields: &mut Fields<'_>, key: &str, sink: &mut Sink) -> Vec<String> {
    let Some(field) = fields.take(key) else { return Vec::new() };
    if let Some(text) = field.node.as_str() {
        let message = format!("`{key}` has to be a list, not a string");
        field.say(sink, Diagnostic::error(Code::WrongType, message).hint(format!("write `[{}]`", cut(text))));
        return Vec::new();
    }
    let globs = field.strings(sink, MAX_PATTERNS).unwrap_or_default();
    for (item, text) in &globs {
        if let Err(error) = GlobBuilder::new(text).literal_separator(true).build() {
            let message = format!("`{}` is not a pattern: {}", cut(text), error.kind());
            item.say(sink, Diagnostic::error(Code::BadPattern, message));
        }
    }
    globs.into_iter().map(|(_, text)| text.to_owned()).collect()
}

/// Spinnaker's regular expression.
fn pattern(field: &Field<'_>, sink: &mut Sink) -> Option<String> {
    let text = field.string(sink)?;
    if let Err(error) = regex::Regex::new(&format!("^(?:{text})$")) {
        let reason = error.to_string();
        let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
        let message = format!("`{}` is not a regular expression: {reason}", cut(text));
        let hint = "globs of branch names go under `branches`; look-around and back references are not supported";
        field.say(sink, Diagnostic::error(Code::BadPattern, message).hint(hint));
        return None;
    }
    // An empty pattern matches every branch in Spinnaker.
    (!text.is_empty()).then(|| text.to_owned())
}
