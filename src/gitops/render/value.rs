//! Between the template engine's values and nodes. A list or mapping that is a node stays one while a template
//! handles it, so that what is in it keeps its origin.

use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr, Value, ValueKind};

use super::budget::Budget;
use super::call::Hole;
use super::fault::Fault;
use super::reserved;
use crate::diagnostic::Code;
use crate::gitops::{Key, Node, NodeValue, Origin};

impl Object for Node {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        match self.value {
            NodeValue::List(_) => ObjectRepr::Seq,
            NodeValue::Map(_) => ObjectRepr::Map,
            _ => ObjectRepr::Plain,
        }
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match &self.value {
            NodeValue::List(items) => items.get(key.as_usize()?).map(to_value),
            NodeValue::Map(_) => self.get_value_by_str(key.as_str()?),
            _ => None,
        }
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.entry(key).map(|(_, node)| to_value(node))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        match &self.value {
            NodeValue::List(items) => Enumerator::Seq(items.len()),
            NodeValue::Map(entries) => {
                let node = self.clone();
                Enumerator::KeyValueIter(Box::new((0..entries.len()).filter_map(move |at| {
                    let (key, value) = node.as_map()?.get(at)?;
                    Some((Value::from(key.name.clone()), to_value(value)))
                })))
            }
            _ => Enumerator::NonEnumerable,
        }
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        match &self.value {
            NodeValue::List(items) => Some(items.len()),
            NodeValue::Map(entries) => Some(entries.len()),
            _ => None,
        }
    }
}

/// A node as the engine sees it.
pub(super) fn to_value(node: &Arc<Node>) -> Value {
    match &node.value {
        NodeValue::Null => Value::from(()),
        NodeValue::Bool(flag) => Value::from(*flag),
        NodeValue::Int(number) => Value::from(*number),
        NodeValue::Float(number) => Value::from(*number),
        NodeValue::String(text) => Value::from(text.clone()),
        NodeValue::List(_) | NodeValue::Map(_) => Value::from_dyn_object(node.clone()),
    }
}

/// Why a value of the engine is no node.
#[derive(Debug)]
pub(super) enum Refusal {
    /// An undefined value; the engine words the error.
    Undefined(Value),
    /// Anything else.
    Fault(Fault),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// A value of the engine as a node. What is a node already stays what it is; the rest gets `origin`.
pub(super) fn to_node(value: &Value, origin: &Origin, budget: &Budget) -> Result<Arc<Node>, Refusal> {
    convert(value, origin, budget, 0)
}

fn convert(value: &Value, origin: &Origin, budget: &Budget, depth: usize) -> Result<Arc<Node>, Refusal> {
    if let Some(node) = value.downcast_object::<Node>() {
        return Ok(node);
    }
    if value.downcast_object_ref::<Hole>().is_some() {
        return Ok(Arc::new(Node { value: NodeValue::Null, origin: origin.clone() }));
    }
    if depth > budget.limits().depth {
        let message = format!("a template value nests deeper than {} levels", budget.limits().depth);
        return Err(Fault::new(Code::TooManyNodes, message).into());
    }
    budget.nodes(1)?;
    let value = match value.kind() {
        ValueKind::Undefined => return Err(Refusal::Undefined(value.clone())),
        ValueKind::None => NodeValue::Null,
        ValueKind::Bool => NodeValue::Bool(value.is_true()),
        ValueKind::Number => number(value)?,
        ValueKind::String => {
            let text = text(value)?;
            budget.output(text.len())?;
            NodeValue::String(text)
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let mut items = Vec::new();
            for item in value.try_iter().map_err(|error| failed(&error))? {
                items.push(convert(&item, origin, budget, depth + 1)?);
            }
            NodeValue::List(items)
        }
        ValueKind::Map => NodeValue::Map(entries(value, origin, budget, depth)?),
        ValueKind::Invalid => return Err(failed_text(&value.to_string()).into()),
        _ => return Err(no_data("a function or another object that is not data").into()),
    };
    Ok(Arc::new(Node { value, origin: origin.clone() }))
}

fn entries(value: &Value, origin: &Origin, budget: &Budget, depth: usize) -> Result<Vec<(Key, Arc<Node>)>, Refusal> {
    let Some(object) = value.as_object() else { return Ok(Vec::new()) };
    // A macro and the `loop` of a loop look like mappings to the engine.
    let kind = object.type_name();
    if kind.ends_with("::Macro") {
        return Err(no_data("a macro that is not called: write `name(...)`").into());
    }
    if kind.ends_with("::Loop") {
        return Err(no_data("the loop itself: use `loop.index` or another of its fields").into());
    }
    let mut entries: Vec<(Key, Arc<Node>)> = Vec::new();
    let Some(pairs) = object.try_iter_pairs() else { return Err(no_data("a mapping without entries").into()) };
    for (key, value) in pairs {
        let node = convert(&value, origin, budget, depth + 1)?;
        let name = key_text(&key)?;
        if entries.iter().any(|(known, _)| *known.name == *name) {
            let message = format!("a template yields a mapping with two keys `{name}`, which differ only in type");
            return Err(Fault::new(Code::DuplicateKey, message).into());
        }
        entries.push((Key { name, origin: origin.clone() }, node));
    }
    Ok(entries)
}

fn key_text(key: &Value) -> Result<Arc<str>, Refusal> {
    let value = match key.kind() {
        ValueKind::String => return Ok(text(key)?),
        ValueKind::Bool => NodeValue::Bool(key.is_true()),
        ValueKind::Number => number(key)?,
        _ => {
            let message = format!("a template yields a mapping with {} as a key; keys are text", named(key));
            return Err(Fault::new(Code::WrongType, message).into());
        }
    };
    Ok(super::scalar::text(&value).unwrap_or_default().into())
}

fn named(value: &Value) -> &'static str {
    match value.kind() {
        ValueKind::None => "null",
        ValueKind::Seq | ValueKind::Iterable => "a list",
        ValueKind::Map => "a mapping",
        _ => "something else",
    }
}

fn number(value: &Value) -> Result<NodeValue, Fault> {
    if !value.is_integer() {
        return match f64::try_from(value.clone()) {
            Ok(number) => Ok(NodeValue::Float(number)),
            Err(error) => Err(failed(&error)),
        };
    }
    value.as_i64().map(NodeValue::Int).ok_or_else(|| {
        Fault::new(Code::NumberTooLarge, format!("the number {value} has more digits than can be kept"))
            .hint("make it text: put it in quotes")
    })
}

/// A text that holds a reserved character is a placeholder that leaked out of a captured block, or a forged one.
fn text(value: &Value) -> Result<Arc<str>, Fault> {
    let text = value.to_str().unwrap_or_default();
    check_text(&text)?;
    Ok(text)
}

/// Refuses a text that could be taken for a placeholder.
pub(super) fn check_text(text: &str) -> Result<(), Fault> {
    if reserved::find(text).is_none() {
        return Ok(());
    }
    let message = "a value holds a character between U+FDD0 and U+FDEF, which Unicode reserves for use inside programs";
    Err(Fault::new(Code::ReservedCharacter, message))
}

fn no_data(what: &str) -> Fault {
    Fault::new(Code::TemplateFailed, format!("the tag yields {what}"))
}

fn failed(error: &minijinja::Error) -> Fault {
    failed_text(error.detail().unwrap_or("a value can't be read"))
}

fn failed_text(text: &str) -> Fault {
    Fault::new(Code::TemplateFailed, reserved::readable(text))
}

/// How many values a tree has, up to `max` and a little more, and how deep it nests.
pub(super) fn measure(node: &Node, max: usize) -> (usize, usize) {
    let mut size = 1;
    let mut depth = 0;
    let mut add = |child: &Node| {
        if size <= max {
            let (child_size, child_depth) = measure(child, max - size.min(max));
            size += child_size;
            depth = depth.max(child_depth + 1);
        }
    };
    match &node.value {
        NodeValue::List(items) => items.iter().for_each(|item| add(item)),
        NodeValue::Map(entries) => entries.iter().for_each(|(_, value)| add(value)),
        _ => {}
    }
    (size, depth)
}

/// A value of JSON as a node; every part of it gets the same origin. Numbers beyond 64 bits become inexact.
pub(super) fn from_json(value: &serde_json::Value, origin: &Origin) -> Arc<Node> {
    let value = match value {
        serde_json::Value::Null => NodeValue::Null,
        serde_json::Value::Bool(flag) => NodeValue::Bool(*flag),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(number) => NodeValue::Int(number),
            None => NodeValue::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        serde_json::Value::String(text) => NodeValue::String(text.as_str().into()),
        serde_json::Value::Array(items) => NodeValue::List(items.iter().map(|item| from_json(item, origin)).collect()),
        serde_json::Value::Object(entries) => NodeValue::Map(
            entries
                .iter()
                .map(|(name, value)| {
                    (Key { name: name.as_str().into(), origin: origin.clone() }, from_json(value, origin))
                })
                .collect(),
        ),
    };
    Arc::new(Node { value, origin: origin.clone() })
}
