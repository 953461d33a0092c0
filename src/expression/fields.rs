//! All fields of a stage at once.

use serde_json::{Map, Value};

use super::{ExpressionError, Scope, Template, has_expression};

/// A field whose expression failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FieldError {
    /// JSON pointer of the field.
    pub pointer: String,
    /// The field's text.
    pub expression: String,
    /// What went wrong; names the expression.
    pub message: String,
    /// What to write instead, if that can be told.
    pub hint: Option<String>,
}

impl FieldError {
    fn new(pointer: &str, text: &str, error: ExpressionError) -> Self {
        let message = error.message;
        Self { pointer: pointer.to_owned(), expression: text.to_owned(), message, hint: error.hint }
    }
}

/// The fields with every `${ }` replaced by its value. What `raw` points at, and what lies below it, is left
/// alone; in these JSON pointers `*` stands for any one key or index.
///
/// # Errors
/// The first field that fails.
pub fn resolve(fields: &Map<String, Value>, raw: &[String], scope: &Scope) -> Result<Map<String, Value>, FieldError> {
    let mut resolved = fields.clone();
    for (pointer, text) in fields.iter().flat_map(|(key, value)| texts(value, &format!("/{}", escape(key)), raw)) {
        let value = Template::parse(text)
            .and_then(|template| template.evaluate(scope))
            .map_err(|error| FieldError::new(&pointer, text, error))?;
        if let Some(place) = place_mut(&mut resolved, &pointer) {
            *place = value;
        }
    }
    Ok(resolved)
}

/// Every text with a `${` in it, and its JSON pointer, except for what `raw` leaves alone (see [`resolve`]).
pub fn scan_expressions<'a>(value: &'a Value, raw: &[String]) -> Vec<(String, &'a str)> {
    texts(value, "", raw)
}

fn texts<'a>(value: &'a Value, pointer: &str, raw: &[String]) -> Vec<(String, &'a str)> {
    if raw.iter().any(|pattern| covers(pattern, pointer)) {
        return Vec::new();
    }
    match value {
        Value::String(text) if has_expression(text) => vec![(pointer.to_owned(), text)],
        Value::Array(items) => {
            items.iter().enumerate().flat_map(|(index, item)| texts(item, &format!("{pointer}/{index}"), raw)).collect()
        }
        Value::Object(map) => {
            map.iter().flat_map(|(key, item)| texts(item, &format!("{pointer}/{}", escape(key)), raw)).collect()
        }
        _ => Vec::new(),
    }
}

fn covers(pattern: &str, pointer: &str) -> bool {
    let mut segments = pointer.split('/');
    pattern.split('/').all(|expected| segments.next().is_some_and(|segment| expected == "*" || expected == segment))
}

/// A key as a segment of a JSON pointer (RFC 6901).
fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn place_mut<'a>(fields: &'a mut Map<String, Value>, pointer: &str) -> Option<&'a mut Value> {
    let (first, rest) = match pointer.get(1..)?.split_once('/') {
        Some((first, _)) => (first, &pointer[first.len() + 1..]),
        None => (&pointer[1..], ""),
    };
    fields.get_mut(&first.replace("~1", "/").replace("~0", "~"))?.pointer_mut(rest)
}
