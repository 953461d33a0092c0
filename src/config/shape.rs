//! Holds a configuration tree against the schema of the file: unknown keys with the nearest known one,
//! wrong types, missing keys; all findings at once, each with its place.

use serde_json::{Map, Value};

use super::tree::{Data, Tree};
use crate::diagnostic::{Code, Diagnostic, nearest};

/// Checks `tree` and returns it as JSON without what was found wrong, so that the rest can still be read.
pub(super) fn check(file: &str, tree: &Tree, schema: &Value) -> (Value, Vec<Diagnostic>) {
    let mut walk = Walk { file, findings: Vec::new() };
    let value = walk.value(tree, schema, "").unwrap_or_else(|| Value::Object(Map::new()));
    (value, walk.findings)
}

struct Walk<'a> {
    file: &'a str,
    findings: Vec<Diagnostic>,
}

impl Walk<'_> {
    /// The sound part of the value; none if it is wrong as a whole, or absent.
    fn value(&mut self, tree: &Tree, schema: &Value, pointer: &str) -> Option<Value> {
        let schema = without_null(schema);
        if matches!(tree.data, Data::Null) {
            return None;
        }
        if schema["x-longboat-secret"] == true && !matches!(tree.data, Data::Map(_)) {
            // The text itself is not repeated: it may be a real secret.
            self.findings.push(
                Diagnostic::error(
                    Code::SecretInConfig,
                    format!("`{}` holds a value, where only a source is allowed", leaf(pointer)),
                )
                .hint("write `{env: NAME}` or `{file: PATH}`; if this was a real secret, it is not secret any more")
                .at(tree.place(self.file))
                .pointer(pointer),
            );
            return None;
        }
        if let Some(choices) = schema["enum"].as_array().or_else(|| schema["oneOf"].as_array()) {
            return self.choice(tree, choices, pointer);
        }
        let types = type_names(schema);
        if !types.is_empty() && !types.iter().any(|name| is_type(&tree.data, name)) {
            let expected: Vec<&str> = types.iter().map(|name| for_people(name)).collect();
            let mut finding = self.finding(
                tree,
                pointer,
                Code::WrongType,
                format!("`{}` is {}, where {} is expected", leaf(pointer), tree.kind(), expected.join(" or ")),
            );
            if types.contains(&"string") && matches!(tree.data, Data::Number(_) | Data::Bool(_)) {
                finding = finding.hint("put it in quotes");
            }
            self.findings.push(finding);
            return None;
        }
        match &tree.data {
            Data::Map(entries) if schema["properties"].is_object() => {
                let properties = schema["properties"].as_object()?;
                let mut sound = Map::new();
                for (key, child) in entries {
                    let below = format!("{pointer}/{}", escape(&key.name));
                    let Some(child_schema) = properties.get(&key.name) else {
                        self.unknown_key(key, properties, pointer, &below);
                        continue;
                    };
                    if let Some(value) = self.value(child, child_schema, &below) {
                        sound.insert(key.name.clone(), value);
                    }
                }
                for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                    if !entries.iter().any(|(key, child)| key.name == name && !matches!(child.data, Data::Null)) {
                        let message = format!("{} has no `{name}`", describe(pointer));
                        self.findings.push(self.finding(tree, pointer, Code::MissingKey, message));
                    }
                }
                Some(Value::Object(sound))
            }
            Data::Map(entries) if schema["additionalProperties"].is_object() => {
                let mut sound = Map::new();
                for (key, child) in entries {
                    let below = format!("{pointer}/{}", escape(&key.name));
                    // An entry that is nothing stays, so that its name is known to the checks that follow.
                    let value = self.value(child, &schema["additionalProperties"], &below);
                    sound.insert(key.name.clone(), value.unwrap_or_else(|| Value::Object(Map::new())));
                }
                Some(Value::Object(sound))
            }
            Data::List(items) if schema["items"].is_object() => {
                let sound: Vec<Option<Value>> = items
                    .iter()
                    .enumerate()
                    .map(|(index, item)| {
                        let below = format!("{pointer}/{index}");
                        if matches!(item.data, Data::Null) {
                            let message = format!("{} is empty", describe(&below));
                            self.findings.push(self.finding(item, &below, Code::WrongType, message));
                        }
                        self.value(item, &schema["items"], &below)
                    })
                    .collect();
                // All or none: positions in the list are what later findings are placed by.
                sound.into_iter().collect::<Option<Vec<Value>>>().map(Value::Array)
            }
            Data::Number(number) => {
                let below =
                    schema["minimum"].as_f64().is_some_and(|least| number.as_f64().is_some_and(|found| found < least));
                let above =
                    schema["maximum"].as_f64().is_some_and(|most| number.as_f64().is_some_and(|found| found > most));
                if below || above {
                    let message = format!(
                        "`{}` is {number}, where {} to {} is allowed",
                        leaf(pointer),
                        schema["minimum"],
                        schema["maximum"]
                    );
                    self.findings.push(self.finding(tree, pointer, Code::ValueNotAllowed, message));
                    return None;
                }
                Some(tree.to_json())
            }
            _ => Some(tree.to_json()),
        }
    }

    fn choice(&mut self, tree: &Tree, choices: &[Value], pointer: &str) -> Option<Value> {
        let words: Vec<&str> =
            choices.iter().filter_map(|choice| choice.as_str().or_else(|| choice["const"].as_str())).collect();
        if let Data::Text(text) = &tree.data {
            if words.contains(&text.as_str()) {
                return Some(tree.to_json());
            }
            let listed: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
            let message = format!("`{}` is `{text}`, where {} is allowed", leaf(pointer), listed.join(" or "));
            let mut finding = self.finding(tree, pointer, Code::ValueNotAllowed, message);
            if let Some(near) = nearest(text, words.iter().copied()) {
                finding = finding.hint(format!("did you mean `{near}`?"));
            }
            self.findings.push(finding);
        } else {
            let message = format!("`{}` is {}, where a text is expected", leaf(pointer), tree.kind());
            self.findings.push(self.finding(tree, pointer, Code::WrongType, message));
        }
        None
    }

    fn unknown_key(&mut self, key: &super::tree::Key, known: &Map<String, Value>, pointer: &str, below: &str) {
        let inside = if pointer.is_empty() { String::new() } else { format!(" in {}", describe(pointer)) };
        let finding = Diagnostic::error(Code::UnknownKey, format!("the key `{}` is not known{inside}", key.name))
            .at(key.place(self.file))
            .pointer(below);
        self.findings.push(match nearest(&key.name, known.keys().map(String::as_str)) {
            Some(near) => finding.hint(format!("did you mean `{near}`?")),
            None => {
                let names: Vec<String> = known.keys().map(|name| format!("`{name}`")).collect();
                finding.hint(format!("known here: {}", names.join(", ")))
            }
        });
    }

    fn finding(&self, tree: &Tree, pointer: &str, code: Code, message: String) -> Diagnostic {
        Diagnostic::error(code, message).at(tree.place(self.file)).pointer(pointer)
    }
}

/// schemars writes an optional value as the value or null; null is "absent" to us.
fn without_null(schema: &Value) -> &Value {
    let variants = schema["anyOf"].as_array();
    variants.and_then(|variants| variants.iter().find(|variant| variant["type"] != "null")).unwrap_or(schema)
}

fn type_names(schema: &Value) -> Vec<&str> {
    match &schema["type"] {
        Value::String(name) => vec![name],
        Value::Array(names) => names.iter().filter_map(Value::as_str).filter(|name| *name != "null").collect(),
        _ => Vec::new(),
    }
}

fn is_type(data: &Data, name: &str) -> bool {
    match name {
        "string" => matches!(data, Data::Text(_)),
        "integer" => matches!(data, Data::Number(number) if number.is_i64() || number.is_u64()),
        "number" => matches!(data, Data::Number(_)),
        "boolean" => matches!(data, Data::Bool(_)),
        "array" => matches!(data, Data::List(_)),
        "object" => matches!(data, Data::Map(_)),
        _ => true,
    }
}

fn for_people(name: &str) -> &str {
    match name {
        "string" => "a text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "a list",
        "object" => "a mapping",
        other => other,
    }
}

fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// The last key of a pointer, with the key of its list if it is an item.
fn leaf(pointer: &str) -> String {
    let path = dotted(pointer);
    if path.is_empty() { "the configuration".to_owned() } else { path }
}

fn describe(pointer: &str) -> String {
    if pointer.is_empty() { "the configuration".to_owned() } else { format!("`{}`", dotted(pointer)) }
}

/// `/repositories/0/name` as `repositories[0].name`.
pub(super) fn dotted(pointer: &str) -> String {
    let mut text = String::new();
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        if part.bytes().all(|byte| byte.is_ascii_digit()) && !part.is_empty() {
            text.push_str(&format!("[{part}]"));
        } else {
            if !text.is_empty() {
                text.push('.');
            }
            text.push_str(&part);
        }
    }
    text
}
