//! One stage: the keys that all stages have, and the fields of its type.

use std::collections::HashSet;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Value};

use super::artifact;
use super::reader::{Field, Fields, Sink, cut, hinted, unknown_key};
use super::spinnaker::{self, FailureFlags};
use super::{spread, window};
use crate::diagnostic::{Code, Diagnostic, nearest, pointer_key};
use crate::expression::Template;
use crate::gitops::{Node, NodeValue, Origin};
use crate::model::{Dialect, ExpectedArtifact, OnFailure, Retry, RetryOn, Span, Spread, Stage, StageId, Window};
use crate::schema::format::{RetryFile, StageFile, keys};
use crate::schema::{Catalog, SchemaFinding, SchemaFindingKind, StageType};

/// The longest name of a stage, in characters.
const MAX_NAME: usize = 200;
/// The longest id, in bytes.
const MAX_ID: usize = 63;
/// The most stages that one needs.
const MAX_NEEDS: usize = 1000;
const MAX_ATTEMPTS: i64 = 100;
/// The most kinds of failures that `retry.on` lists.
const MAX_RETRY_ON: usize = 50;
/// The pause before the second attempt, if `retry` doesn't say it.
const BACKOFF_MILLIS: u64 = 10_000;

static KEYS: LazyLock<Vec<String>> = LazyLock::new(keys::<StageFile>);
static RETRY_KEYS: LazyLock<Vec<String>> = LazyLock::new(keys::<RetryFile>);
const WHAT: &str = "a stage";

/// A stage as read, before its place in the pipeline is known.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    /// The whole stage.
    pub(super) field: Field<'a>,
    /// The id, given or made.
    pub(super) id: Option<StageId>,
    /// Where the id is given.
    pub(super) id_field: Option<Field<'a>>,
    /// The stages that it says it needs; nothing, if it doesn't say.
    pub(super) needs: Option<Vec<(Field<'a>, StageId)>>,
    /// Whether its keys say where it stands, so that the list's order doesn't.
    pub(super) placed: bool,
    /// The condition with its text, without `${ }` around it.
    pub(super) when: Option<(Field<'a>, String)>,
    /// The fields of its type, those unknown left out: a mapping.
    pub(super) own: Value,
    /// Its type, if there is such a type.
    pub(super) stage_type: Option<&'a StageType>,
    /// Its name, if it is given.
    pub(super) name: Option<String>,
    kind: Option<&'a str>,
    expected_artifacts: Vec<ExpectedArtifact>,
    group: Option<String>,
    on_failure: OnFailure,
    timeout: Option<Span>,
    retry: Option<Retry>,
    window: Option<Window>,
    /// What it is spread over, if it becomes several.
    pub(super) spread: Option<Spread>,
    /// Whether it is to become several, even if it can't be told what it would be spread over.
    pub(super) is_spread: bool,
    /// Whether it runs after all others, whatever became of them.
    pub(super) finally: bool,
}

/// Reads a stage.
pub(super) fn draft<'a>(item: Field<'a>, dialect: Dialect, catalog: &'a Catalog, sink: &mut Sink) -> Option<Draft<'a>> {
    let mut fields = Fields::of(item.node, &item.pointer, WHAT, sink)?;
    let placed = fields.has("refId") || fields.has("requisiteStageRefIds");
    let id_field = fields.either("id", "refId", sink);
    let id = id_field.as_ref().and_then(|field| field.identifier(sink));
    let needs = fields.either("needs", "requisiteStageRefIds", sink).map(|field| needs(&field, sink));
    let kind_field = fields.require("type", WHAT, sink);
    let kind = kind_field.as_ref().and_then(|field| field.string(sink));
    let on_failure = on_failure(&mut fields, sink);
    let is_spread = ["matrix", "forEach"].iter().any(|key| fields.peek(key).is_some_and(|node| !node.is_null()));
    let mut draft = Draft {
        id,
        id_field,
        placed: placed || needs.is_some(),
        needs,
        when: when(&mut fields, sink),
        own: Value::Null,
        stage_type: None,
        kind,
        name: fields.take("name").and_then(|field| field.label(sink, MAX_NAME)),
        expected_artifacts: artifact::take_all(&mut fields, dialect, sink),
        group: fields.take("group").and_then(|field| field.label(sink, MAX_NAME)),
        on_failure,
        timeout: stage_timeout(&mut fields, sink),
        retry: fields.take("retry").and_then(|field| retry(&field, sink)),
        window: window::take(&mut fields, dialect, sink),
        spread: spread::take(&mut fields, on_failure, sink),
        is_spread,
        finally: fields.take("finally").and_then(|field| field.boolean(sink)).unwrap_or(false),
        field: item.clone(),
    };
    if dialect == Dialect::Spinnaker {
        spinnaker::take_stage_rest(&mut fields, sink);
    }
    draft.own = own_fields(&fields, sink);
    let Some((kind_field, kind)) = kind_field.zip(kind) else { return Some(draft) };
    match catalog.get(kind) {
        Some(kind) => {
            draft.stage_type = Some(kind);
            check_own(&mut draft.own, kind, &item, &kind_field, dialect, sink);
        }
        None => unknown_type(&kind_field, kind, catalog, sink),
    }
    Some(draft)
}

impl Draft<'_> {
    /// The stage, once it is known what it needs.
    pub(super) fn finish(self, needs: Vec<StageId>) -> Option<Stage> {
        let id = self.id?;
        Some(Stage {
            name: self.name.unwrap_or_else(|| id.to_string()),
            id,
            kind: self.kind?.to_owned(),
            needs,
            when: self.when.map(|(_, text)| text),
            on_failure: self.on_failure,
            timeout: self.timeout,
            retry: self.retry,
            window: self.window,
            spread: self.spread,
            finally: self.finally,
            expected_artifacts: self.expected_artifacts,
            group: self.group,
            fields: match self.own {
                Value::Object(fields) => fields,
                _ => Map::new(),
            },
            raw: self.stage_type?.raw.clone(),
            secret: self.stage_type?.secret.clone(),
            source: self.field.node.origin.place_in(".longboat/"),
        })
    }
}

/// Gives an id to each stage that has none: the slug of its name or type, with a number if that is taken.
pub(super) fn name_all(drafts: &mut [Draft<'_>]) {
    let mut taken: HashSet<String> =
        drafts.iter().filter_map(|draft| draft.id.as_ref()).map(StageId::to_string).collect();
    for draft in drafts.iter_mut().filter(|draft| draft.id.is_none()) {
        let from_name = draft.name.as_deref().map(slug).filter(|slug| !slug.is_empty());
        let base = from_name.or_else(|| draft.kind.map(str::to_owned)).unwrap_or_else(|| "stage".to_owned());
        let id = (1..).map(|number| numbered(&base, number)).find(|id| !taken.contains(id));
        if let Some(id) = id {
            draft.id = StageId::parse(&id).ok();
            taken.insert(id);
        }
    }
}

/// A text as an id: letters and digits, the rest as single hyphens.
fn slug(text: &str) -> String {
    let mut slug = String::new();
    for letter in text.chars().map(|letter| letter.to_ascii_lowercase()) {
        if letter.is_ascii_alphanumeric() || letter == '_' {
            slug.push(letter);
        } else if !slug.ends_with('-') && !slug.is_empty() {
            slug.push('-');
        }
    }
    slug.truncate(MAX_ID);
    slug.trim_end_matches('-').to_owned()
}

fn numbered(base: &str, number: usize) -> String {
    if number == 1 {
        return base.to_owned();
    }
    let suffix = format!("-{number}");
    let base: String = base.chars().take(MAX_ID - suffix.len()).collect();
    base + &suffix
}

fn needs<'a>(field: &Field<'a>, sink: &mut Sink) -> Vec<(Field<'a>, StageId)> {
    if field.node.as_str().is_some() {
        let message = format!("`{}` has to be a list, not a string", field.name);
        let hint = format!("write `[{}]`", cut(field.node.as_str().unwrap_or_default()));
        field.say(sink, Diagnostic::error(Code::WrongType, message).hint(hint));
        return Vec::new();
    }
    let items = field.items(sink, MAX_NEEDS).unwrap_or_default();
    items.into_iter().filter_map(|item| item.identifier(sink).map(|id| (item, id))).collect()
}

/// The condition: CEL, with or without `${ }` around it, or simply true or false.
fn when<'a>(fields: &mut Fields<'a>, sink: &mut Sink) -> Option<(Field<'a>, String)> {
    let enabled = fields.take("stageEnabled");
    let field = match (fields.take("when"), enabled) {
        (Some(_), Some(enabled)) => {
            fields.conflict(&enabled, "when", sink);
            return None;
        }
        (Some(when), None) => when,
        (None, enabled) => spinnaker::stage_enabled(&enabled?, sink)?,
    };
    let text = match &field.node.value {
        NodeValue::Bool(flag) => flag.to_string(),
        _ => bare(field.string(sink)?).to_owned(),
    };
    Some((field, text))
}

/// A condition without the one `${ }` around it.
pub(super) fn bare(text: &str) -> &str {
    let trimmed = text.trim();
    let Some(inner) = trimmed.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) else { return text };
    // Of `${ a } && ${ b }` the outer signs belong to different expressions.
    let is_one = match Template::parse(trimmed) {
        Ok(template) => template.as_single().is_some(),
        Err(_) => !inner.contains("${"),
    };
    if is_one { inner.trim() } else { text }
}

fn on_failure(fields: &mut Fields<'_>, sink: &mut Sink) -> OnFailure {
    let flags = FailureFlags::take(fields, sink);
    match (fields.take("onFailure"), flags) {
        (Some(_), Some(flags)) => {
            fields.conflict(flags.field(), "onFailure", sink);
            OnFailure::default()
        }
        (Some(field), None) => {
            field.choice(sink, &["halt", "haltBranch", "haltBranchThenFail", "ignore"]).unwrap_or_default()
        }
        (None, Some(flags)) => flags.meaning(),
        (None, None) => OnFailure::default(),
    }
}

fn stage_timeout(fields: &mut Fields<'_>, sink: &mut Sink) -> Option<Span> {
    let millis = fields.take("stageTimeoutMs");
    match (fields.take("timeout"), millis) {
        (Some(_), Some(millis)) => {
            fields.conflict(&millis, "timeout", sink);
            None
        }
        (Some(field), None) => timeout(field.span(sink), &field, sink),
        (None, Some(field)) => timeout(field.millis(sink), &field, sink),
        (None, None) => None,
    }
}

/// Refuses a timeout of no time at all.
pub(super) fn timeout(span: Option<Span>, field: &Field<'_>, sink: &mut Sink) -> Option<Span> {
    if span.is_some_and(|span| span.as_millis() == 0) {
        let message = format!("`{}` has to be longer than no time at all", field.name);
        field.say(sink, Diagnostic::error(Code::BadDuration, message).hint("leave it out if there is no limit"));
        return None;
    }
    span
}

fn retry(field: &Field<'_>, sink: &mut Sink) -> Option<Retry> {
    let what = "`retry`";
    let mut fields = Fields::of(field.node, &field.pointer, what, sink)?;
    let attempts = fields.require("attempts", what, sink).and_then(|field| field.number(sink, 1, MAX_ATTEMPTS));
    let backoff = match fields.take("backoff") {
        Some(field) => field.span(sink),
        None => Span::from_millis(BACKOFF_MILLIS).ok(),
    };
    let on = fields.take("on").map(|field| field.items(sink, MAX_RETRY_ON).unwrap_or_default());
    let on: Vec<_> = on.unwrap_or_default().iter().map(|item| retry_on(item, sink)).collect();
    let on: Option<Vec<RetryOn>> = on.into_iter().collect();
    fields.finish(&RETRY_KEYS, what, Dialect::Longboat, sink);
    Some(Retry { attempts: u32::try_from(attempts?).ok()?, backoff: backoff?, on: on? })
}

/// One failure that is worth another attempt: an exit code, `timeout`, `lost`, or a regular expression.
fn retry_on(item: &Field<'_>, sink: &mut Sink) -> Option<RetryOn> {
    if matches!(item.node.value, NodeValue::String(_)) {
        let text = item.string(sink)?;
        if let Err(error) = Regex::new(text) {
            let message = format!("`{}` is no regular expression: {error}", cut(text));
            let hint = "give an exit code as a number, `timeout`, `lost`, or a regular expression for the message";
            item.say(sink, Diagnostic::error(Code::ValueNotAllowed, message).hint(hint));
            return None;
        }
        return Some(RetryOn::Text(text.to_owned()));
    }
    item.number(sink, 0, 255).map(RetryOn::ExitCode)
}

/// The keys that are left, as JSON.
fn own_fields(fields: &Fields<'_>, sink: &mut Sink) -> Value {
    Value::Object(fields.untaken().map(|(key, field)| (key.name.to_string(), field.json(sink))).collect())
}

fn unknown_type(field: &Field<'_>, kind: &str, catalog: &Catalog, sink: &mut Sink) {
    let message = format!("unknown stage type `{}`", cut(kind));
    let hint = match nearest(kind, catalog.names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => {
            let names: Vec<_> = catalog.names().map(|name| format!("`{name}`")).collect();
            format!("there are {}", names.join(", "))
        }
    };
    field.say(sink, Diagnostic::error(Code::UnknownStageType, message).hint(hint));
}

/// Checks the fields of a stage's type. In Spinnaker's dialect unknown ones are warnings, and are left out.
fn check_own(
    own: &mut Value,
    kind: &StageType,
    stage: &Field<'_>,
    kind_field: &Field<'_>,
    dialect: Dialect,
    sink: &mut Sink,
) {
    for finding in kind.check(own) {
        let pointer = format!("{}{}", stage.pointer, finding.pointer);
        let origin = match (&finding.kind, stage.node.at(&finding.pointer)) {
            (SchemaFindingKind::UnknownKey { .. }, _) => key_origin(stage.node, &finding.pointer),
            // The stage is a long stretch; its type says best which one is meant.
            (SchemaFindingKind::Missing { .. }, _) if finding.pointer.is_empty() => Some(&kind_field.node.origin),
            (_, node) => node.map(|node| &node.origin),
        };
        if dialect == Dialect::Spinnaker && matches!(finding.kind, SchemaFindingKind::UnknownKey { .. }) {
            remove(own, &finding.pointer);
        }
        sink.add(origin.unwrap_or(&stage.node.origin), &pointer, diagnostic(finding, kind, dialect));
    }
}

fn diagnostic(finding: SchemaFinding, kind: &StageType, dialect: Dialect) -> Diagnostic {
    let SchemaFinding { pointer, kind: fault, message, hint } = finding;
    let code = match fault {
        SchemaFindingKind::UnknownKey { key, .. } if !pointer[1..].contains('/') => {
            let known: Vec<_> = kind.fields().map(str::to_owned).chain(KEYS.iter().cloned()).collect();
            return unknown_key(&key, &known, &format!("a `{}` stage", kind.name), dialect);
        }
        SchemaFindingKind::UnknownKey { .. } if dialect == Dialect::Spinnaker => {
            return hinted(Diagnostic::warning(Code::UnknownKey, message), hint);
        }
        SchemaFindingKind::UnknownKey { .. } => Code::UnknownKey,
        SchemaFindingKind::WrongType { .. } => Code::WrongType,
        SchemaFindingKind::Missing { .. } => Code::MissingKey,
        SchemaFindingKind::NotAllowed { .. } => Code::ValueNotAllowed,
        SchemaFindingKind::BadDuration => Code::BadDuration,
    };
    hinted(Diagnostic::error(code, message), hint)
}

fn key_origin<'a>(stage: &'a Node, pointer: &str) -> Option<&'a Origin> {
    let (parent, key) = pointer.rsplit_once('/')?;
    stage.at(parent)?.entry(&pointer_key(key)).map(|(key, _)| &key.origin)
}

fn remove(value: &mut Value, pointer: &str) {
    let Some((parent, key)) = pointer.rsplit_once('/') else { return };
    if let Some(map) = value.pointer_mut(parent).and_then(Value::as_object_mut) {
        map.shift_remove(&pointer_key(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_is_an_id() {
        for (text, wanted) in [
            ("Deploy to EU (west)", "deploy-to-eu-west"),
            ("  a__b ", "a__b"),
            ("Prüfung", "pr-fung"),
            ("日本", ""),
            (&"x".repeat(80), &"x".repeat(63)),
        ] {
            assert_eq!(slug(text), wanted);
        }
        assert_eq!(numbered(&"x".repeat(63), 12).len(), 63);
    }
}
