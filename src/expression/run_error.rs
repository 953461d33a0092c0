//! Why an evaluation failed, in words for people: which value stood where, and which keys there are.

use cel::ExecutionError;
use serde_json::Value;

use super::cel_value::kind_of;
use super::{Expression, ExpressionError, NamedCall, Scope, helpers};
use crate::diagnostic::{Code, nearest};

/// The most keys that a message lists.
const LISTED_KEYS: usize = 8;
/// The most values that a message tells.
const SEEN_VALUES: usize = 4;

/// A key that isn't there.
pub(super) struct Missing {
    pub(super) message: String,
    pub(super) hint: Option<String>,
    key: String,
}

/// The value at a path of keys.
pub(super) fn lookup<'a>(scope: &'a Scope, path: &[String]) -> Result<&'a Value, Missing> {
    let Some((root, keys)) = path.split_first() else { return Ok(&Value::Null) };
    let Some(mut value) = scope.get(root) else {
        let hint = nearest(root, Scope::NAMES).map(|near| format!("did you mean `{near}`?"));
        return Err(Missing { message: format!("there is no variable `{root}`"), hint, key: root.clone() });
    };
    for (depth, key) in keys.iter().enumerate() {
        let parent = value;
        value = parent
            .as_object()
            .and_then(|map| map.get(key))
            .ok_or_else(|| missing_key(&path_text(&path[..=depth]), parent, key))?;
    }
    Ok(value)
}

fn missing_key(path: &str, parent: &Value, key: &str) -> Missing {
    let Some(map) = parent.as_object() else {
        let message = format!("`{path}` is {} and has no `{key}`", shown(parent));
        return Missing { message, hint: None, key: key.to_owned() };
    };
    let mut keys: Vec<_> = map.keys().map(String::as_str).collect();
    keys.sort_unstable();
    let listed: Vec<_> = keys.iter().take(LISTED_KEYS).map(|key| format!("`{key}`")).collect();
    let more = keys.len().saturating_sub(LISTED_KEYS);
    let has = match (listed.is_empty(), more) {
        (true, _) => "it is empty".to_owned(),
        (false, 0) => format!("it has {}", listed.join(", ")),
        (false, more) => format!("it has {} and {more} more", listed.join(", ")),
    };
    let hint = nearest(key, keys.iter().copied()).map(|near| format!("did you mean `{near}`?"));
    Missing { message: format!("`{path}` has no `{key}`; {has}"), hint, key: key.to_owned() }
}

/// A path as an author writes it.
pub(super) fn path_text(path: &[String]) -> String {
    let is_plain = |key: &String| {
        let word = key.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
        word && !key.is_empty() && !key.starts_with(|letter: char| letter.is_ascii_digit())
    };
    let mut text = String::new();
    for (depth, key) in path.iter().enumerate() {
        match (is_plain(key), depth) {
            (_, 0) => text.push_str(key),
            (true, _) => text.extend([".", key]),
            (false, _) => text.extend(["[\"", key, "\"]"]),
        }
    }
    text
}

/// An expression as a message quotes it: on one line, and cut.
pub(super) fn quoted(text: &str) -> String {
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if flat.chars().count() <= 100 { flat } else { flat.chars().take(99).chain(['…']).collect() }
}

/// A value's type, with the value itself if it is short.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    if matches!(value, Value::Null) || text.chars().count() > 40 {
        return kind_of(value).to_owned();
    }
    format!("{} ({text})", kind_of(value))
}

/// A failed evaluation's error.
pub(super) fn for_people(expression: &Expression, scope: &Scope, error: &ExecutionError) -> ExpressionError {
    if let Some((missing, offset)) = missing_reference(expression, scope, error) {
        let message = format!("`{}`: {}", quoted(expression.text()), missing.message);
        return ExpressionError::new(message, offset).hint(missing.hint).code(Code::UnknownVariable);
    }
    let (mut reason, hint) = reason(error);
    let seen = values_seen(expression, scope, &reason);
    if !seen.is_empty() {
        reason.extend(["; ", seen.as_str()]);
    }
    ExpressionError::new(format!("`{}`: {reason}", quoted(expression.text())), 0).hint(hint)
}

/// The values that the expression's references had, as far as they are short and a message doesn't say them already.
pub(super) fn values_seen(expression: &Expression, scope: &Scope, said: &str) -> String {
    let mut seen: Vec<String> = Vec::new();
    for (path, written) in mentioned(expression, scope) {
        let Ok(value) = lookup(scope, &path) else { continue };
        let text = value.to_string();
        let known = seen.iter().any(|other| other.starts_with(&format!("`{written}` ")));
        if seen.len() < SEEN_VALUES && !known && text.chars().count() <= 60 && !said.contains(&text) {
            seen.push(format!("`{written}` is {text}"));
        }
    }
    seen.join(", ")
}

/// The paths in a scope that an expression mentions, each as it is written.
fn mentioned(expression: &Expression, scope: &Scope) -> Vec<(Vec<String>, String)> {
    let references =
        expression.references().iter().map(|reference| (reference.path.clone(), path_text(&reference.path)));
    let calls = expression.calls().iter().filter_map(|call| {
        let path = path_of_call(scope, call)?;
        let written = std::iter::once(format!("{}(\"{}\")", call.function, call.name)).chain(call.keys.iter().cloned());
        Some((path, path_text(&written.collect::<Vec<_>>())))
    });
    references.chain(calls).collect()
}

/// The path of what a call with keys behind it is about.
fn path_of_call(scope: &Scope, call: &NamedCall) -> Option<Vec<String>> {
    if call.function != "stage" {
        return None;
    }
    let id = helpers::stage_id(scope.stages.as_object()?, &call.name)?;
    Some([&["stages".to_owned(), id.clone()], call.keys.as_slice()].concat())
}

/// The reference that `error` is about: CEL names the key alone.
fn missing_reference(expression: &Expression, scope: &Scope, error: &ExecutionError) -> Option<(Missing, usize)> {
    let key = match error {
        ExecutionError::NoSuchKey(key) | ExecutionError::UndeclaredReference(key) => Some(key.as_str()),
        // A member of a value that has none.
        ExecutionError::NoSuchOverload(overload) if matches!(overload.function(), "_._" | "_[_]") => None,
        _ => return None,
    };
    let references = expression.references().iter().map(|reference| (reference.path.clone(), reference.offset));
    let calls = expression.calls().iter().filter_map(|call| Some((path_of_call(scope, call)?, call.offset)));
    references.chain(calls).find_map(|(path, offset)| {
        let mut missing = lookup(scope, &path).err()?;
        if key.is_some_and(|key| key != missing.key) {
            return None;
        }
        missing.hint = quoting(expression, scope).or(missing.hint);
        Some((missing, offset))
    })
}

/// What to write where a key with a `-` needs quotes.
fn quoting(expression: &Expression, scope: &Scope) -> Option<String> {
    expression.hyphenated().into_iter().find_map(|(mut path, key)| {
        path.push(key);
        lookup(scope, &path).ok().map(|_| format!("write `{}`", path_text(&path)))
    })
}

fn reason(error: &ExecutionError) -> (String, Option<String>) {
    let plain = |text: String| (text, None);
    match error {
        ExecutionError::NoSuchKey(key) => plain(format!("there is no key `{key}`")),
        ExecutionError::UndeclaredReference(name) => plain(format!("there is no variable or function `{name}`")),
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => plain("division by zero".to_owned()),
        ExecutionError::Overflow(..) => plain("the result needs more than 64 bits".to_owned()),
        ExecutionError::IndexOutOfBounds(index) => plain(format!("the list has no item {}", json(index))),
        ExecutionError::UnexpectedType { got, want } if want == "bool" => {
            (format!("a condition has to be true or false, not {}", article(got)), None)
        }
        ExecutionError::UnexpectedType { got, want } if want == "iterable" => {
            plain(format!("only lists and maps can be gone through, not {}", article(got)))
        }
        ExecutionError::UnsupportedBinaryOperator(name, left, right) => {
            let types = [cel_type(left), cel_type(right)];
            (
                format!("`{}` doesn't take {} and {}", sign(name), seen(left), seen(right)),
                conversion(sign(name), &types),
            )
        }
        ExecutionError::NoSuchOverload(overload) if overload.function() == "_._" => plain(format!(
            "{} has no keys",
            overload.argument_types().first().map_or_else(String::new, |kind| article(kind))
        )),
        ExecutionError::NoSuchOverload(overload) => {
            let types: Vec<_> = overload.argument_types().iter().filter(|kind| *kind != "budget").cloned().collect();
            let words: Vec<_> = types.iter().map(|kind| article(kind)).collect();
            let function = sign(overload.function());
            (format!("`{function}` doesn't take {}", words.join(" and ")), conversion(function, &types))
        }
        ExecutionError::ValuesNotComparable(left, right) => {
            plain(format!("{} and {} can't be compared", seen(left), seen(right)))
        }
        ExecutionError::FunctionError { function, message } => plain(format!("`{function}`: {message}")),
        ExecutionError::DuplicateKey(key) => plain(format!("the key {} stands twice", json(key))),
        ExecutionError::UnsupportedKeyType(key) => plain(format!("{} can't be a key", seen(key))),
        other => plain(other.to_string()),
    }
}

/// How to make an operator take its values, if that is the usual slip.
fn conversion(sign: &str, types: &[String]) -> Option<String> {
    if !matches!(sign, "+" | "-" | "*" | "/" | "%" | "<" | "<=" | ">" | ">=") {
        return None;
    }
    let has = |kind: &str| types.iter().any(|other| other == kind);
    let number = ["int", "uint", "double"].iter().any(|kind| has(kind));
    if sign == "+" && has("string") && number {
        Some("turn the number into text with `string(...)`".to_owned())
    } else if has("double") && (has("int") || has("uint")) {
        Some("turn both into doubles with `double(...)`".to_owned())
    } else if has("string") && number {
        Some("turn the text into a number with `int(...)`".to_owned())
    } else {
        None
    }
}

/// An operator as it is written, or a function's name.
fn sign(name: &str) -> &str {
    match name {
        "add" => "+",
        "sub" => "-",
        "mul" => "*",
        "div" => "/",
        "rem" => "%",
        "_?_:_" => "? :",
        "_[_]" => "[]",
        "_._" => ".",
        name => name.trim_matches(|letter| matches!(letter, '_' | '@')),
    }
}

fn article(kind: &str) -> String {
    match kind {
        "null_type" => "null".to_owned(),
        "int" => "an int".to_owned(),
        "optional_type" => "an optional value".to_owned(),
        kind => format!("a {kind}"),
    }
}

fn cel_type(value: &cel::Value) -> String {
    match value {
        cel::Value::Null => "null_type",
        cel::Value::Bool(_) => "bool",
        cel::Value::Int(_) => "int",
        cel::Value::UInt(_) => "uint",
        cel::Value::Float(_) => "double",
        cel::Value::String(_) => "string",
        cel::Value::Bytes(_) => "bytes",
        cel::Value::List(_) => "list",
        cel::Value::Map(_) => "map",
        _ => "value of another type",
    }
    .to_owned()
}

fn json(value: &cel::Value) -> String {
    value.json().map_or_else(|_| "of that kind".to_owned(), |value| value.to_string())
}

/// A value's type, with the value itself if it is short.
fn seen(value: &cel::Value) -> String {
    let (kind, text) = (article(&cel_type(value)), json(value));
    if matches!(value, cel::Value::Null) || text.chars().count() > 40 { kind } else { format!("{kind} ({text})") }
}
