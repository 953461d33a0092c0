//! The parameters that a pipeline declares.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::Value;

use super::reader::{Field, Fields, Sink};
use crate::diagnostic::{Code, Diagnostic};
use crate::gitops::NodeValue;
use crate::model::{Dialect, Parameter, ParameterType};
use crate::schema::format::{ParameterFile, keys};

/// The most parameters of a pipeline, and the most options of one.
const MAX_PARAMETERS: usize = 200;
const MAX_OPTIONS: usize = 1000;
const MAX_NAME: usize = 100;
const MAX_DESCRIPTION: usize = 10_000;

static KEYS: LazyLock<Vec<String>> = LazyLock::new(keys::<ParameterFile>);
/// Keys of Spinnaker's form for a start by hand.
const SPINNAKER_FORM: &[&str] =
    &["condition", "conditional", "constraint", "hasOptions", "inherited", "label", "pinned"];
const TYPES: [&str; 6] = ["string", "integer", "number", "boolean", "list", "object"];

/// Reads the list of parameters; nothing, if one of them has no name that can be read.
pub(super) fn read_all(list: &Field<'_>, dialect: Dialect, sink: &mut Sink) -> Option<Vec<Parameter>> {
    let mut first: HashMap<String, u32> = HashMap::new();
    let mut parameters = Vec::new();
    let items = list.items(sink, MAX_PARAMETERS)?;
    let count = items.len();
    for item in items {
        let Some(parameter) = read(&item, dialect, sink) else { continue };
        let line = item.node.origin.start().line;
        if let Some(line) = first.insert(parameter.name.clone(), line) {
            let message = format!("the parameter `{}` is declared already, at line {line}", parameter.name);
            item.say(sink, Diagnostic::error(Code::ConflictingKeys, message));
        }
        parameters.push(parameter);
    }
    (parameters.len() == count).then_some(parameters)
}

fn read(item: &Field<'_>, dialect: Dialect, sink: &mut Sink) -> Option<Parameter> {
    let what = "a parameter";
    let mut fields = Fields::of(item.node, &item.pointer, what, sink)?;
    let name = fields.require("name", what, sink).and_then(|field| name(&field, sink));
    let declared = fields.take("type").map(|field| field.choice(sink, &TYPES));
    let required = fields.take("required").and_then(|field| field.boolean(sink)).unwrap_or(false);
    let default = fields.take("default");
    let options = fields.take("options");
    let description = fields.take("description").and_then(|field| field.label(sink, MAX_DESCRIPTION));
    if dialect == Dialect::Spinnaker {
        for key in SPINNAKER_FORM {
            fields.take(key);
        }
    }
    fields.finish(&KEYS, what, dialect, sink);
    let Some(kind) = declared.unwrap_or_else(|| Some(ParameterType::default())) else {
        // Complaints about values would be guesses. The name still counts: expressions use it.
        return Some(Parameter {
            name: name?,
            kind: ParameterType::default(),
            required,
            default: None,
            options: Vec::new(),
            description,
        });
    };
    let reader = Values { kind, dialect };
    let options = options.map(|field| reader.options(&field, sink)).unwrap_or_default();
    let default = default.and_then(|field| {
        let value = reader.value(&field, sink)?;
        // Spinnaker's form fills an empty default in where there is none.
        let absent = dialect == Dialect::Spinnaker && value.as_str() == Some("");
        if !options.is_empty() && !absent && !options.contains(&value) {
            let message = format!("the default of `{}` is not one of its options", name.as_deref().unwrap_or("it"));
            field.say(sink, Diagnostic::error(Code::ValueNotAllowed, message));
        }
        (!absent).then_some(value)
    });
    Some(Parameter { name: name?, kind, required, default, options, description })
}

fn name(field: &Field<'_>, sink: &mut Sink) -> Option<String> {
    let text = field.string(sink)?;
    let good = (1..=MAX_NAME).contains(&text.chars().count())
        && text.trim() == text
        && !text.chars().any(|letter| letter.is_control() || matches!(letter, '"' | '\\'));
    if !good {
        let message =
            format!("a parameter's name has 1 to {MAX_NAME} characters, no quotes, and no space at either end");
        field.say(sink, Diagnostic::error(Code::BadIdentifier, message));
    }
    good.then(|| text.to_owned())
}

struct Values {
    kind: ParameterType,
    dialect: Dialect,
}

impl Values {
    /// A value of the parameter's type. Spinnaker's parameters are texts, whatever their JSON says.
    fn value(&self, field: &Field<'_>, sink: &mut Sink) -> Option<Value> {
        if let NodeValue::String(text) = &field.node.value
            && text.contains("${")
        {
            let message = format!("no expression is evaluated in `{}`: it is taken as it is", field.name);
            field.say(sink, Diagnostic::warning(Code::ExpressionNotAllowed, message));
        }
        let value = field.json(sink);
        if self.dialect == Dialect::Spinnaker && self.kind == ParameterType::String {
            return Some(match value {
                Value::String(text) => Value::String(text),
                other => Value::String(other.to_string()),
            });
        }
        let (fits, expected) = match self.kind {
            ParameterType::String => (value.is_string(), "a string"),
            ParameterType::Integer => (value.is_i64() || value.is_u64(), "a whole number"),
            ParameterType::Number => (value.is_number(), "a number"),
            ParameterType::Boolean => (value.is_boolean(), "true or false"),
            ParameterType::List => (value.is_array(), "a list"),
            ParameterType::Object => (value.is_object(), "a mapping"),
        };
        if !fits {
            field.wrong_type(sink, expected);
        }
        fits.then_some(value)
    }

    /// The options; Spinnaker wraps each in a mapping with the one key `value`.
    fn options(&self, field: &Field<'_>, sink: &mut Sink) -> Vec<Value> {
        let mut options = Vec::new();
        for item in field.items(sink, MAX_OPTIONS).unwrap_or_default() {
            let wrapped = item.node.entry("value").filter(|_| self.dialect == Dialect::Spinnaker);
            let item = match wrapped {
                Some((_, node)) => Field { node, pointer: format!("{}/value", item.pointer), name: item.name },
                None => item,
            };
            options.extend(self.value(&item, sink));
        }
        options
    }
}
