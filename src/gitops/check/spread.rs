//! What a stage is spread over: `matrix` or `forEach`.

use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::reader::{Field, Fields, Sink, cut, hinted};
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::expression::has_expression;
use crate::gitops::NodeValue;
use crate::model::{Dialect, OnFailure, Over, Spread};
use crate::schema::format::{ForEachDetails, MatrixFile, keys};

static MATRIX_KEYS: LazyLock<Vec<String>> = LazyLock::new(keys::<MatrixFile>);
static EACH_KEYS: LazyLock<Vec<String>> = LazyLock::new(keys::<ForEachDetails>);
/// The most values of an axis, and entries of `include` and `exclude`.
const MAX_VALUES: usize = Spread::MOST;
/// The longest name of an axis or item, in bytes.
const MAX_WORD: usize = 63;

/// Takes what a stage is spread over, whose failure means `on_failure`.
pub(super) fn take(fields: &mut Fields<'_>, on_failure: OnFailure, sink: &mut Sink) -> Option<Spread> {
    let (matrix, each) = (fields.take("matrix"), fields.take("forEach"));
    match (matrix, each) {
        (Some(_), Some(each)) => {
            let message = "a stage has `matrix` or `forEach`, not both";
            let hint = "make the list an axis of the matrix";
            each.say(sink, Diagnostic::error(Code::ConflictingKeys, message).hint(hint));
            None
        }
        (Some(field), None) => matrix_of(&field, on_failure, sink),
        (None, Some(field)) => for_each(&field, on_failure, sink),
        (None, None) => None,
    }
}

fn matrix_of(field: &Field<'_>, on_failure: OnFailure, sink: &mut Sink) -> Option<Spread> {
    let what = "`matrix`";
    let errors = sink.errors();
    let mut fields = Fields::of(field.node, &field.pointer, what, sink)?;
    if let Some(stray) = axes_beside(&fields) {
        let hint = format!("write `matrix: {{axes: {{{stray}: [...]}}}}`");
        let message = "the axes of a `matrix` stand below `axes`";
        field.say(sink, Diagnostic::error(Code::MissingKey, message).hint(hint));
        return None;
    }
    let axes = fields.take("axes").map(|axes| axes_of(&axes, sink)).unwrap_or_default();
    let include = fields.take("include").map(|list| included(&list, &axes, sink)).unwrap_or_default();
    let exclude = fields.take("exclude").map(|list| excluded(&list, &axes, sink)).unwrap_or_default();
    let (max_parallel, fail_fast) = rules(&mut fields, on_failure, sink);
    fields.finish(&MATRIX_KEYS, what, Dialect::Longboat, sink);
    if axes.is_empty() && include.is_empty() && sink.errors() == errors {
        let hint = "write `axes: {os: [linux, darwin]}`";
        field.say(sink, Diagnostic::error(Code::MissingKey, "`matrix` needs `axes`").hint(hint));
    }
    // Of what was said already it isn't worth saying what follows from it.
    let over = Over::Matrix { axes, include, exclude };
    (sink.errors() == errors).then(|| bounded(field, Spread { over, max_parallel, fail_fast }, sink))?
}

/// The first axis that stands where its name is taken for a key, as elsewhere it would.
fn axes_beside(fields: &Fields<'_>) -> Option<String> {
    if fields.has("axes") {
        return None;
    }
    let mut strays = fields.untaken().filter(|(key, _)| !MATRIX_KEYS.iter().any(|known| *known == *key.name));
    strays.find(|(_, value)| value.node.as_list().is_some()).map(|(key, _)| cut(&key.name))
}

/// `[a, b]`, `${ ... }`, or either under `in`, with `as` beside.
fn for_each(field: &Field<'_>, on_failure: OnFailure, sink: &mut Sink) -> Option<Spread> {
    let what = "`forEach`";
    let errors = sink.errors();
    if field.node.as_map().is_none() {
        let items = items_of(field, sink)?;
        let over = Over::ForEach { items, name: Spread::ITEM.to_owned() };
        return bounded(field, Spread { over, max_parallel: None, fail_fast: fails_fast(on_failure) }, sink);
    }
    let mut fields = Fields::of(field.node, &field.pointer, what, sink)?;
    let items = fields.require("in", what, sink).and_then(|items| items_of(&items, sink));
    let name = fields.take("as").map(|name| item_name(&name, sink));
    let (max_parallel, fail_fast) = rules(&mut fields, on_failure, sink);
    fields.finish(&EACH_KEYS, what, Dialect::Longboat, sink);
    let over = Over::ForEach { items: items?, name: name.unwrap_or_else(|| Some(Spread::ITEM.to_owned()))? };
    (sink.errors() == errors).then(|| bounded(field, Spread { over, max_parallel, fail_fast }, sink))?
}

/// Refuses what would have too many instances, as far as that can be told before it runs.
fn bounded(field: &Field<'_>, spread: Spread, sink: &mut Sink) -> Option<Spread> {
    let source = spread.over.source();
    if source.values().any(holds_expression) {
        return Some(spread);
    }
    match spread.over.instances(&source) {
        Ok(_) => Some(spread),
        Err(reason) => {
            let hint = "split the stage, or loop within one script";
            let message = format!("the stage can't become that many: {reason}");
            field.say(sink, Diagnostic::error(Code::TooManyInstances, message).hint(hint));
            None
        }
    }
}

fn holds_expression(value: &Value) -> bool {
    match value {
        Value::String(text) => has_expression(text),
        Value::Array(items) => items.iter().any(holds_expression),
        Value::Object(map) => map.values().any(holds_expression),
        _ => false,
    }
}

fn rules(fields: &mut Fields<'_>, on_failure: OnFailure, sink: &mut Sink) -> (Option<u32>, bool) {
    let most = i64::try_from(Spread::MOST).unwrap_or(i64::MAX);
    let parallel = fields.take("maxParallel").and_then(|field| field.number(sink, 1, most));
    let fail_fast = fields.take("failFast").and_then(|field| field.boolean(sink));
    (parallel.and_then(|number| u32::try_from(number).ok()), fail_fast.unwrap_or_else(|| fails_fast(on_failure)))
}

/// Whether the first failure ends the others if `failFast` doesn't say it: not where failures are ignored.
fn fails_fast(on_failure: OnFailure) -> bool {
    on_failure != OnFailure::Ignore
}

/// A list, or an expression that yields one.
fn items_of(field: &Field<'_>, sink: &mut Sink) -> Option<Value> {
    match &field.node.value {
        NodeValue::String(text) if has_expression(text) => Some(Value::String(text.to_string())),
        NodeValue::List(items) if items.len() > Spread::MOST => {
            let message = format!("`{}` has {} items, and {} is the most", field.name, items.len(), Spread::MOST);
            field.say(sink, Diagnostic::error(Code::TooManyInstances, message));
            None
        }
        NodeValue::List(_) => Some(field.json(sink)),
        NodeValue::String(text) => {
            let message = format!("`{}` has to be a list, or an expression that yields one, not a string", field.name);
            let hint = format!("write `[{}]`", cut(text));
            field.say(sink, Diagnostic::error(Code::WrongType, message).hint(hint));
            None
        }
        _ => {
            let message = format!(
                "`{}` has to be a list, or an expression that yields one, not {}",
                field.name,
                field.node.kind()
            );
            field.say(sink, Diagnostic::error(Code::WrongType, message));
            None
        }
    }
}

fn axes_of(field: &Field<'_>, sink: &mut Sink) -> Map<String, Value> {
    let Some(fields) = Fields::of(field.node, &field.pointer, "`axes`", sink) else { return Map::new() };
    let mut axes = Map::new();
    for (key, axis) in fields.untaken() {
        if axes.len() == Spread::MOST_AXES {
            let message = format!("a matrix has {} axes at most", Spread::MOST_AXES);
            axis.say(sink, Diagnostic::error(Code::TooManyInstances, message));
            break;
        }
        if !is_word(&key.name) {
            sink.add(&key.origin, &axis.pointer, bad_word("an axis", &key.name));
        }
        if let Some(values) = items_of(&axis, sink) {
            axes.insert(key.name.to_string(), values);
        }
    }
    axes
}

/// Further combinations: each gives every axis a value, and may give more.
fn included(field: &Field<'_>, axes: &Map<String, Value>, sink: &mut Sink) -> Vec<Value> {
    let mut all = Vec::new();
    for item in field.items(sink, MAX_VALUES).unwrap_or_default() {
        let Some(fields) = Fields::of(item.node, &item.pointer, "an entry of `include`", sink) else { continue };
        for (key, value) in fields.untaken().filter(|(key, _)| !is_word(&key.name)) {
            sink.add(&key.origin, &value.pointer, bad_word("a name in `include`", &key.name));
        }
        if let Some(missing) = axes.keys().find(|axis| !fields.has(axis)) {
            let message = format!("an entry of `include` has to say all axes, and `{missing}` is missing");
            item.say(sink, Diagnostic::error(Code::MissingKey, message));
        }
        all.push(item.json(sink));
    }
    all
}

/// Combinations that are left out: those that have all of these values.
fn excluded(field: &Field<'_>, axes: &Map<String, Value>, sink: &mut Sink) -> Vec<Value> {
    let mut all = Vec::new();
    for item in field.items(sink, MAX_VALUES).unwrap_or_default() {
        let Some(fields) = Fields::of(item.node, &item.pointer, "an entry of `exclude`", sink) else { continue };
        for (key, value) in fields.untaken().filter(|(key, _)| !axes.contains_key(&*key.name)) {
            let near = nearest(&key.name, axes.keys().map(String::as_str));
            let hint = near.map(|near| format!("did you mean `{near}`?"));
            let message = format!("the matrix has no axis `{}`", cut(&key.name));
            sink.add(&key.origin, &value.pointer, hinted(Diagnostic::error(Code::UnknownKey, message), hint));
        }
        all.push(item.json(sink));
    }
    all
}

fn item_name(field: &Field<'_>, sink: &mut Sink) -> Option<String> {
    let name = field.string(sink)?;
    if !is_word(name) {
        field.say(sink, bad_word("the name of an item", name));
        return None;
    }
    if Spread::EACH.contains(&name) {
        let message = format!("`each.{name}` has a meaning of its own");
        field.say(sink, Diagnostic::error(Code::BadIdentifier, message).hint("choose another name"));
        return None;
    }
    Some(name.to_owned())
}

fn is_word(text: &str) -> bool {
    let mut letters = text.bytes();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == b'_')
        && text.len() <= MAX_WORD
}

fn bad_word(what: &str, text: &str) -> Diagnostic {
    let message = format!("`{}` is not {what}: 1 to {MAX_WORD} letters, digits and `_`, no digit first", cut(text));
    Diagnostic::error(Code::BadIdentifier, message)
}
