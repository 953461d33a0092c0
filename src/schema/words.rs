//! Schemas and values in words.

use serde_json::Value;

use crate::diagnostic::pointer_key;

/// What a schema of durations says of itself.
pub(super) const DURATION_MARK: &str = "x-longboat-duration";
/// The pattern of the alternative that lets an expression stand for a value.
pub(super) const EXPRESSION_PATTERN: &str = r"\$\{";
/// How messages name a duration.
pub(super) const DURATION: &str = "a duration like `90s` or `2h`";

/// A JSON type's name with its article.
pub(super) fn type_name(name: &str) -> &str {
    match name {
        "string" => "a string",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        "object" => "a mapping",
        other => other,
    }
}

/// A value's type with its article.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a number",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

/// A value's type, with the value if it is short.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Array(_) | Value::Object(_) => kind(value).to_owned(),
        _ if plain(value).chars().count() > 60 => kind(value).to_owned(),
        _ => format!("{} (`{}`)", kind(value), plain(value)),
    }
}

/// A value as an author writes it.
pub(super) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// `a`, `b` or `c`.
pub(super) fn listed(items: impl IntoIterator<Item = String>, last: &str) -> String {
    let mut items: Vec<_> = items.into_iter().collect();
    match items.pop() {
        None => "nothing".to_owned(),
        Some(only) if items.is_empty() => only,
        Some(end) => format!("{} {last} {end}", items.join(", ")),
    }
}

/// A JSON pointer as people write a path: `files.save[0]`.
pub(super) fn dotted(pointer: &str) -> String {
    let mut path = String::new();
    for step in pointer.split('/').skip(1).map(pointer_key) {
        if !path.is_empty() && !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit()) {
            path.extend(["[", &step, "]"]);
        } else if path.is_empty() {
            path.push_str(&step);
        } else {
            path.extend([".", &step]);
        }
    }
    path
}

pub(super) fn is_duration(schema: &Value) -> bool {
    schema.get(DURATION_MARK).is_some()
}

pub(super) fn is_expression(schema: &Value) -> bool {
    schema.get("pattern").and_then(Value::as_str) == Some(EXPRESSION_PATTERN)
}

pub(super) fn is_null(schema: &Value) -> bool {
    schema.get("type").and_then(Value::as_str) == Some("null")
}

/// The values that a schema lists, if it lists values.
pub(super) fn allowed(schema: &Value) -> Option<Vec<String>> {
    if let Some(only) = schema.get("const") {
        return Some(vec![plain(only)]);
    }
    schema.get("enum").and_then(Value::as_array).map(|all| all.iter().map(plain).collect())
}

/// The types that a schema takes, in words.
pub(super) fn types(schema: &Value) -> Vec<String> {
    if is_duration(schema) {
        return vec![DURATION.to_owned()];
    }
    if let Some(values) = allowed(schema) {
        return values.iter().map(|value| format!("`{value}`")).collect();
    }
    let alternatives = ["anyOf", "oneOf"].iter().filter_map(|keyword| schema.get(keyword)?.as_array()).flatten();
    let nested: Vec<_> =
        alternatives.filter(|branch| !is_null(branch) && !is_expression(branch)).flat_map(types).collect();
    if !nested.is_empty() {
        return nested;
    }
    match schema.get("type") {
        Some(Value::String(name)) => vec![type_name(name).to_owned()],
        Some(Value::Array(names)) => {
            let names = names.iter().filter_map(Value::as_str).filter(|name| *name != "null");
            names.map(|name| type_name(name).to_owned()).collect()
        }
        _ => vec!["another value".to_owned()],
    }
}
