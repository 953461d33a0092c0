//! What a schema objects to, in words for people.

use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind};
use serde_json::Value;

use super::words::{self, listed};
use crate::diagnostic::{nearest, pointer_step};
use crate::model::Span;

/// One thing that is wrong with a value.
#[derive(Debug, Clone, PartialEq)]
pub struct SchemaFinding {
    /// JSON pointer of the value, from the checked one.
    pub pointer: String,
    /// What kind of fault it is.
    pub kind: SchemaFindingKind,
    /// What is wrong, in one sentence.
    pub message: String,
    /// What to write instead, if that can be told.
    pub hint: Option<String>,
}

/// The kinds of faults.
#[derive(Debug, Clone, PartialEq)]
pub enum SchemaFindingKind {
    /// A key that isn't known here.
    UnknownKey {
        /// The key.
        key: String,
        /// A known key that looks like it.
        nearest: Option<String>,
    },
    /// A value of the wrong type.
    WrongType {
        /// The types that are right, in words.
        expected: String,
        /// The value's type, in words.
        found: String,
    },
    /// A key that must be there.
    Missing {
        /// The key.
        key: String,
    },
    /// A value that is none of those allowed, or breaks a rule.
    NotAllowed {
        /// The allowed values, if they can be listed.
        allowed: Vec<String>,
    },
    /// A text that is no duration.
    BadDuration,
}

impl SchemaFinding {
    /// Of a misspelt key, the pointer of what was surely meant.
    pub(super) fn meant(&self) -> Option<String> {
        let SchemaFindingKind::UnknownKey { nearest: Some(near), .. } = &self.kind else { return None };
        let (parent, _) = self.pointer.rsplit_once('/')?;
        Some(format!("{parent}/{}", pointer_step(near)))
    }

    /// Of a missing key, the pointer where it should be; else the place itself.
    pub(super) fn place_of_missing(&self) -> String {
        match &self.kind {
            SchemaFindingKind::Missing { key } => format!("{}/{}", self.pointer, pointer_step(key)),
            _ => self.pointer.clone(),
        }
    }
}

/// The most unknown keys of one mapping that are put into words.
const MAX_KEYS: usize = 50;

/// Turns the validator's errors into findings.
pub(super) struct Speaker<'a> {
    /// The whole schema.
    pub(super) schema: &'a Value,
    /// What is checked, as a sentence begins: "a `script` stage".
    pub(super) subject: &'a str,
}

impl Speaker<'_> {
    /// What an error says; one about unknown keys may name several.
    pub(super) fn findings(&self, error: &ValidationError<'_>) -> Vec<SchemaFinding> {
        let pointer = error.instance_path().as_str().to_owned();
        let here = self.thing(&pointer);
        let found = error.instance();
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected }
            | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
                unexpected.iter().take(MAX_KEYS).map(|key| self.unknown_key(error, &pointer, key)).collect()
            }
            ValidationErrorKind::Required { property } => {
                let key = property.as_str().unwrap_or_default().to_owned();
                let message = format!("{here} needs `{key}`");
                vec![SchemaFinding { pointer, kind: SchemaFindingKind::Missing { key }, message, hint: None }]
            }
            ValidationErrorKind::Type { kind } => vec![self.wrong_type(pointer, expected_types(kind), found)],
            ValidationErrorKind::Enum { options } => {
                let options = options.as_array().cloned().unwrap_or_default();
                vec![self.not_allowed(pointer, options.iter().map(words::plain).collect(), found)]
            }
            ValidationErrorKind::Constant { expected_value } => {
                vec![self.not_allowed(pointer, vec![words::plain(expected_value)], found)]
            }
            ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
                self.alternatives(error, context)
            }
            _ => vec![self.rule(pointer, error)],
        }
    }

    fn thing(&self, pointer: &str) -> String {
        if pointer.is_empty() { self.subject.to_owned() } else { format!("`{}`", words::dotted(pointer)) }
    }

    /// The part of the schema that holds the keyword which an error is about.
    fn schema_of(&self, error: &ValidationError<'_>) -> &Value {
        let path = error.schema_path().as_str();
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        self.schema.pointer(parent).unwrap_or(&Value::Null)
    }

    fn unknown_key(&self, error: &ValidationError<'_>, pointer: &str, key: &str) -> SchemaFinding {
        let known = self.schema_of(error).get("properties").and_then(Value::as_object);
        let known: Vec<&str> = known.into_iter().flat_map(|known| known.keys().map(String::as_str)).collect();
        let near = nearest(key, known.iter().copied()).map(str::to_owned);
        let hint = match &near {
            Some(near) => Some(format!("did you mean `{near}`?")),
            None if known.is_empty() => None,
            None => Some(format!("known here: {}", listed(known.iter().map(|key| format!("`{key}`")), "and"))),
        };
        let message = format!("{} has no field `{key}`", self.thing(pointer));
        let pointer = format!("{pointer}/{}", pointer_step(key));
        SchemaFinding {
            pointer,
            kind: SchemaFindingKind::UnknownKey { key: key.to_owned(), nearest: near },
            message,
            hint,
        }
    }

    fn wrong_type(&self, pointer: String, expected: Vec<String>, value: &Value) -> SchemaFinding {
        let expected = listed(expected, "or");
        let found = words::kind(value).to_owned();
        let message = format!("{} has to be {expected}, not {}", self.thing(&pointer), words::shown(value));
        let quotes = (expected == "a string" && (value.is_number() || value.is_boolean()))
            .then(|| format!("put it in quotes: `\"{}\"`", words::plain(value)));
        let hint = no_expression(value).or(quotes);
        SchemaFinding { pointer, kind: SchemaFindingKind::WrongType { expected, found }, message, hint }
    }

    fn not_allowed(&self, pointer: String, allowed: Vec<String>, value: &Value) -> SchemaFinding {
        let list = listed(allowed.iter().map(|one| format!("`{one}`")), "or");
        let found = value.as_str().map_or_else(|| words::shown(value), |text| format!("`{text}`"));
        let message = format!("{} has to be {list}, not {found}", self.thing(&pointer));
        let near = value.as_str().and_then(|text| nearest(text, allowed.iter().map(String::as_str)));
        let hint = near.map(|near| format!("did you mean `{near}`?"));
        SchemaFinding { pointer, kind: SchemaFindingKind::NotAllowed { allowed }, message, hint }
    }

    /// None of several schemas fits: speaks of the one that was surely meant, or of all of them.
    fn alternatives(
        &self,
        error: &ValidationError<'_>,
        context: &[Vec<ValidationError<'static>>],
    ) -> Vec<SchemaFinding> {
        let value = error.instance();
        let pointer = error.instance_path().as_str();
        let schema = self.schema_of(error);
        if words::is_duration(schema) {
            return vec![self.duration(pointer, value)];
        }
        let keyword = if matches!(error.kind(), ValidationErrorKind::AnyOf { .. }) { "anyOf" } else { "oneOf" };
        let branches: Vec<_> = schema
            .get(keyword)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .zip(context)
            .filter(|(branch, _)| !words::is_null(branch) && !words::is_expression(branch))
            .collect();
        let is_outer = |inner: &ValidationError<'_>| {
            let kind = matches!(
                inner.kind(),
                ValidationErrorKind::Type { .. }
                    | ValidationErrorKind::Constant { .. }
                    | ValidationErrorKind::Enum { .. }
            );
            kind && inner.instance_path().as_str() == pointer
        };
        let near: Vec<_> = branches.iter().filter(|(_, errors)| !errors.iter().any(is_outer)).collect();
        let meant =
            if branches.len() == 1 { branches.first() } else { near.into_iter().min_by_key(|branch| branch.1.len()) };
        if let Some((_, errors)) = meant {
            return errors.iter().flat_map(|error| self.findings(error)).collect();
        }
        let allowed: Option<Vec<_>> = branches.iter().map(|(branch, _)| words::allowed(branch)).collect();
        match allowed {
            Some(allowed) if value.is_string() => vec![self.not_allowed(pointer.to_owned(), allowed.concat(), value)],
            _ => {
                let mut expected: Vec<_> = branches.iter().flat_map(|(branch, _)| words::types(branch)).collect();
                expected.dedup();
                vec![self.wrong_type(pointer.to_owned(), expected, value)]
            }
        }
    }

    fn duration(&self, pointer: &str, value: &Value) -> SchemaFinding {
        let text = words::plain(value);
        let Some(error) = Span::parse(&text).err().filter(|_| value.is_string() || value.is_number()) else {
            return self.wrong_type(pointer.to_owned(), vec![words::DURATION.to_owned()], value);
        };
        let (message, hint) = (format!("{}: {error}", self.thing(pointer)), no_expression(value));
        SchemaFinding { pointer: pointer.to_owned(), kind: SchemaFindingKind::BadDuration, message, hint }
    }

    /// A rule about a value of the right type.
    fn rule(&self, pointer: String, error: &ValidationError<'_>) -> SchemaFinding {
        let value = error.instance();
        let but = format!(", not {}", words::shown(value));
        let rule = match error.kind() {
            ValidationErrorKind::Minimum { limit } => format!("has to be {limit} or more{but}"),
            ValidationErrorKind::Maximum { limit } => format!("has to be {limit} or less{but}"),
            ValidationErrorKind::ExclusiveMinimum { limit } => format!("has to be more than {limit}{but}"),
            ValidationErrorKind::ExclusiveMaximum { limit } => format!("has to be less than {limit}{but}"),
            ValidationErrorKind::MultipleOf { multiple_of } => format!("has to be a multiple of {multiple_of}{but}"),
            ValidationErrorKind::MinLength { limit: 1 }
            | ValidationErrorKind::MinItems { limit: 1 }
            | ValidationErrorKind::MinProperties { limit: 1 } => "must not be empty".to_owned(),
            ValidationErrorKind::MinLength { limit } => format!("has to have {limit} characters or more"),
            ValidationErrorKind::MaxLength { limit } => format!("has to have {limit} characters or less"),
            ValidationErrorKind::MinItems { limit } => format!("has to have {limit} items or more"),
            ValidationErrorKind::MaxItems { limit } => format!("has to have {limit} items or less"),
            ValidationErrorKind::MinProperties { limit } => format!("has to have {limit} keys or more"),
            ValidationErrorKind::MaxProperties { limit } => format!("has to have {limit} keys or less"),
            ValidationErrorKind::UniqueItems => "must not have the same item twice".to_owned(),
            ValidationErrorKind::Pattern { pattern } => format!("has to match the pattern `{pattern}`{but}"),
            ValidationErrorKind::PropertyNames { error } => {
                let key = words::shown(error.instance());
                format!("has a key that isn't allowed: {key}")
            }
            ValidationErrorKind::FalseSchema => "isn't allowed here".to_owned(),
            _ => format!("isn't right: {error}"),
        };
        let message = format!("{} {rule}", self.thing(&pointer));
        let hint = self.schema_of(error).get("description").and_then(Value::as_str).map(str::to_owned);
        let hint = hint.filter(|_| matches!(error.kind(), ValidationErrorKind::Pattern { .. }));
        SchemaFinding { pointer, kind: SchemaFindingKind::NotAllowed { allowed: Vec::new() }, message, hint }
    }
}

fn no_expression(value: &Value) -> Option<String> {
    let is_expression = value.as_str().is_some_and(|text| text.contains("${"));
    is_expression.then(|| "no expression is evaluated here: write the value itself".to_owned())
}

fn expected_types(kind: &TypeKind) -> Vec<String> {
    let names: Vec<String> = match kind {
        TypeKind::Single(one) => vec![one.to_string()],
        TypeKind::Multiple(many) => many.iter().map(|one| one.to_string()).collect(),
    };
    names.iter().filter(|name| *name != "null").map(|name| words::type_name(name).to_owned()).collect()
}
