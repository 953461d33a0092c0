//! A custom webhook.

use std::sync::LazyLock;

use indexmap::IndexMap;

use super::super::reader::{Field, Fields, Sink, cut};
use super::{Around, start};
use crate::diagnostic::{Code, Diagnostic, pointer_step};
use crate::model::{WebhookTrigger, is_hook_source, payload_pattern};
use crate::schema::format::WebhookTriggerFile;

const WHAT: &str = "a `webhook` trigger";
/// The most constraints of one trigger.
const MAX_CONSTRAINTS: usize = 50;

static KEYS: LazyLock<Vec<String>> = LazyLock::new(super::with_type::<WebhookTriggerFile>);

pub(super) fn read(fields: &mut Fields<'_>, around: Around<'_>, sink: &mut Sink) -> Option<WebhookTrigger> {
    let errors = sink.errors();
    let source = fields.require("source", WHAT, sink).and_then(|field| source(&field, sink));
    let constraints = fields.take("payloadConstraints").map(|field| constraints(&field, sink)).unwrap_or_default();
    let start = start::read(fields, around, start::Parameters::Some, WHAT, sink);
    fields.finish(&KEYS, WHAT, around.dialect, sink);
    let source = source?;
    (sink.errors() == errors).then_some(WebhookTrigger { source, payload_constraints: constraints, start })
}

fn source(field: &Field<'_>, sink: &mut Sink) -> Option<String> {
    let text = field.string(sink)?;
    if is_hook_source(text) {
        return Some(text.to_owned());
    }
    let message = format!("`{}` is no name of a webhook's source", cut(text));
    let hint = "1 to 63 letters, digits, `-` and `_`, as under `webhooks` of the server's configuration";
    field.say(sink, Diagnostic::error(Code::BadIdentifier, message).hint(hint));
    None
}

fn constraints(field: &Field<'_>, sink: &mut Sink) -> IndexMap<String, String> {
    let Some(entries) = field.node.as_map() else {
        field.wrong_type(sink, "a mapping");
        return IndexMap::new();
    };
    if entries.len() > MAX_CONSTRAINTS {
        let message = format!("`payloadConstraints` has {} keys; {MAX_CONSTRAINTS} is the most", entries.len());
        field.say(sink, Diagnostic::error(Code::TooManyNodes, message));
        return IndexMap::new();
    }
    let mut constraints = IndexMap::new();
    for (key, node) in entries {
        let pointer = format!("{}/{}", field.pointer, pointer_step(&key.name));
        let item = Field { node, pointer, name: format!("{}.{}", field.name, key.name).into() };
        let Some(text) = item.string(sink) else { continue };
        if let Err(error) = payload_pattern(text) {
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
            let message = format!("`{}` is not a regular expression: {reason}", cut(text));
            item.say(sink, Diagnostic::error(Code::BadPattern, message));
        }
        constraints.insert(key.name.to_string(), text.to_owned());
    }
    constraints
}
