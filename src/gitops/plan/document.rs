//! Normalised documents: what a pipeline means, without places and without orders that mean nothing.
//!
//! - `parameters` and `expectedArtifacts` are mappings by name and id, `stages` is one by id; a stage's own fields stand
//!   beside the common ones, and its `needs` is a mapping of ids.
//! - `triggers` is a mapping by a word made of the type and the content. The same trigger twice is one.
//! - What looks like a credential written out in the definition is `***` ([`cover()`]): a plan is shown to more people
//!   than the file. Definitions name secrets (`${ secret("name") }`), and a name may be shown.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::model::Pipeline;

/// What stands in the place of a credential.
const COVERED: &str = "***";

/// A user and a password in an address.
static IN_ADDRESS: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(://[^/\s:@]*:)[^/\s@]+@").ok());

/// The document of a pipeline, as plans show it.
pub fn document(pipeline: &Pipeline) -> Value {
    let mut document = uncovered(pipeline);
    cover(&mut document);
    document
}

/// The document with everything that the definition holds.
pub(super) fn uncovered(pipeline: &Pipeline) -> Value {
    let mut all = keys(pipeline);
    for identity in ["application", "name", "source"] {
        all.shift_remove(identity);
    }
    let lists = ["parameters", "triggers", "expectedArtifacts", "stages"].map(|key| all.shift_remove(key));
    let [parameters, triggers, artifacts, stages] = lists.map(|list| match list {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    });
    all.insert("parameters".to_owned(), by("name", parameters));
    all.insert("triggers".to_owned(), by_content(triggers));
    all.insert("expectedArtifacts".to_owned(), by("id", artifacts));
    all.insert("stages".to_owned(), by("id", stages.into_iter().map(stage).collect()));
    Value::Object(all)
}

/// A stage as its author sees it.
fn stage(stage: Value) -> Value {
    let Value::Object(mut all) = stage else { return stage };
    // Where it stands, and what follows from its type.
    for derived in ["source", "raw", "secret"] {
        all.shift_remove(derived);
    }
    if let Some(Value::Array(needs)) = all.get("needs") {
        let needs = needs.iter().filter_map(Value::as_str).map(|id| (id.to_owned(), Value::Bool(true)));
        let needs: Map<String, Value> = needs.collect();
        all.insert("needs".to_owned(), Value::Object(needs));
    }
    if let Some(Value::Array(artifacts)) = all.get("expectedArtifacts").cloned() {
        all.insert("expectedArtifacts".to_owned(), by("id", artifacts));
    }
    // What it is spread over stands under the word that its author wrote.
    if let Some(Value::Object(mut spread)) = all.shift_remove("spread")
        && let Some(Value::Object(over)) = spread.shift_remove("over")
    {
        for (word, part) in over {
            let Value::Object(mut part) = part else { continue };
            part.extend(spread.clone());
            all.insert(word, Value::Object(part));
        }
    }
    if let Some(Value::Object(fields)) = all.shift_remove("fields") {
        // A field can't hide a common key: the two are kept apart where stages are read.
        for (name, value) in fields {
            all.entry(name).or_insert(value);
        }
    }
    Value::Object(all)
}

/// A list as a mapping by one of its items' keys. Validation refuses the same one twice.
fn by(key: &str, items: Vec<Value>) -> Value {
    let mut map = Map::new();
    for item in items {
        let Value::Object(mut item) = item else { continue };
        let Some(Value::String(name)) = item.shift_remove(key) else { continue };
        map.insert(free(&map, &name), Value::Object(item));
    }
    Value::Object(map)
}

fn free(map: &Map<String, Value>, name: &str) -> String {
    let mut free = name.to_owned();
    let mut number = 1_u32;
    while map.contains_key(&free) {
        number += 1;
        free = format!("{name}#{number}");
    }
    free
}

fn by_content(triggers: Vec<Value>) -> Value {
    Value::Object(triggers.into_iter().map(|trigger| (trigger_key(&trigger), trigger)).collect())
}

/// The word under which a trigger stands: its type, and eight digits of its content.
pub(super) fn trigger_key(trigger: &Value) -> String {
    let kind = trigger.get("type").and_then(Value::as_str).unwrap_or("trigger");
    let mut shown = trigger.clone();
    cover_within(&mut shown);
    let digest = Sha256::digest(canonical(&shown).as_bytes());
    let digits: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let kind: String = kind.chars().filter(|letter| !letter.is_control()).take(40).collect();
    format!("{kind}-{digits}")
}

/// The value with sorted keys, as text.
fn canonical(value: &Value) -> String {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Object(map) => {
                let mut entries: Vec<_> = map.iter().collect();
                entries.sort_unstable_by_key(|(key, _)| *key);
                Value::Object(entries.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect())
            }
            Value::Array(items) => items.iter().map(sorted).collect(),
            other => other.clone(),
        }
    }
    sorted(value).to_string()
}

fn keys(pipeline: &Pipeline) -> Map<String, Value> {
    match serde_json::to_value(pipeline) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

/// Covers what looks like a credential, in a whole document.
pub(super) fn cover(document: &mut Value) {
    let Value::Object(document) = document else { return };
    for (key, part) in document.iter_mut() {
        match (key.as_str(), part) {
            ("parameters", Value::Object(parameters)) => {
                for (name, parameter) in parameters.iter_mut() {
                    let hides = is_credential(name);
                    let Value::Object(parameter) = parameter else { continue };
                    for (key, value) in parameter.iter_mut() {
                        if hides && matches!(key.as_str(), "default" | "options") {
                            cover_all(value);
                        } else {
                            cover_within(value);
                        }
                    }
                }
            }
            // The names of these mappings are ids: a stage `token` is no token.
            ("stages" | "triggers" | "expectedArtifacts", Value::Object(parts)) => {
                parts.values_mut().for_each(cover_within);
            }
            (_, other) => cover_within(other),
        }
    }
}

/// Covers what looks like a credential in a value that has this name.
pub(in crate::gitops) fn cover_named(name: &str, value: &mut Value) {
    if is_credential(name) { cover_all(value) } else { cover_within(value) }
}

/// Covers by the names of keys.
fn cover_within(value: &mut Value) {
    match value {
        Value::String(text) => cover_address(text),
        Value::Array(items) => items.iter_mut().for_each(cover_within),
        Value::Object(map) => {
            let named = map.get("name").or_else(|| map.get("key")).and_then(Value::as_str).is_some_and(is_credential);
            let of_kubernetes = map.get("kind").and_then(Value::as_str) == Some("Secret");
            for (key, value) in map.iter_mut() {
                let by_kind = of_kubernetes && matches!(key.as_str(), "data" | "stringData");
                if by_kind || named && key == "value" || is_credential(key) {
                    cover_all(value);
                } else {
                    cover_within(value);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Covers every text and number. An expression is none: what it names is fetched when the stage starts.
fn cover_all(value: &mut Value) {
    match value {
        Value::String(text) if text.is_empty() || text == COVERED => {}
        Value::String(text) if text.contains("${") => cover_address(text),
        Value::String(_) | Value::Number(_) => *value = Value::String(COVERED.to_owned()),
        Value::Array(items) => items.iter_mut().for_each(cover_all),
        Value::Object(map) => map.values_mut().for_each(cover_all),
        Value::Null | Value::Bool(_) => {}
    }
}

fn cover_address(text: &mut String) {
    if text.contains("://")
        && text.contains('@')
        && let Some(pattern) = IN_ADDRESS.as_ref()
        && pattern.is_match(text)
    {
        *text = pattern.replace_all(text, format!("${{1}}{COVERED}@")).into_owned();
    }
}

/// Whether a name is that of a credential: its last word says so (`DB_PASSWORD`, `apiToken`; not `tokenUrl`).
fn is_credential(name: &str) -> bool {
    const ALONE: [&str; 13] = [
        "password",
        "passwords",
        "passwd",
        "pwd",
        "passphrase",
        "secret",
        "secrets",
        "token",
        "tokens",
        "credential",
        "credentials",
        "authorization",
        "cookie",
    ];
    const KEYS: [&str; 6] = ["api", "access", "private", "signing", "secret", "encryption"];
    let words = words(name);
    match words.as_slice() {
        [.., last] if ALONE.contains(&last.as_str()) => true,
        [.., before, last] => last == "key" && KEYS.contains(&before.as_str()),
        [only] => only.strip_suffix("key").is_some_and(|before| KEYS.contains(&before)),
        [] => false,
    }
}

/// The words of a name in any spelling, in lower case.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut before = ' ';
    for letter in name.chars().take(200) {
        let starts = !before.is_alphanumeric() || before.is_lowercase() && letter.is_uppercase();
        if letter.is_alphanumeric() {
            match words.last_mut().filter(|_| !starts) {
                Some(word) => word.extend(letter.to_lowercase()),
                None => words.push(letter.to_lowercase().collect()),
            }
        }
        before = letter;
    }
    words
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_of_credentials_are_told_from_names_about_them() {
        for name in
            ["password", "DB_PASSWORD", "apiToken", "X-Api-Key", "apikey", "private_key", "Authorization", "PWD"]
        {
            assert!(is_credential(name), "{name}");
        }
        for name in ["tokenUrl", "secretName", "passwordFile", "key", "monkey", "tokenizer", "", "keyboard", "cacheKey"]
        {
            assert!(!is_credential(name), "{name}");
        }
    }

    #[test]
    fn credentials_are_covered_and_expressions_are_not() {
        let mut document = json!({
            "parameters": {
                "token": {"type": "string", "default": "abc", "options": ["abc", "def"], "description": "a token"},
                "version": {"type": "string", "default": "1"},
            },
            "stages": {"token": {
                "name": "token", "type": "script", "command": "git clone https://ann:s3cr3t@example.com/x",
                "env": {"TOKEN": "${ secret(\"shop\") }", "DB_PASSWORD": "hunter2", "REGION": "eu", "PIN_TOKEN": 4711},
                "manifest": {"kind": "Secret", "metadata": {"name": "x"}, "data": {"a": "aGk="}},
                "list": [{"name": "API_KEY", "value": "k"}, {"name": "MODE", "value": "fast"}],
            }},
        });
        cover(&mut document);
        let stage = &document["stages"]["token"];
        assert_eq!(document["parameters"]["token"]["default"], "***");
        assert_eq!(document["parameters"]["token"]["options"], json!(["***", "***"]));
        assert_eq!(document["parameters"]["token"]["description"], "a token");
        assert_eq!(document["parameters"]["version"]["default"], "1");
        assert_eq!(stage["command"], "git clone https://ann:***@example.com/x");
        let env = json!({"TOKEN": "${ secret(\"shop\") }", "DB_PASSWORD": "***", "REGION": "eu", "PIN_TOKEN": "***"});
        assert_eq!(stage["env"], env);
        assert_eq!(stage["manifest"], json!({"kind": "Secret", "metadata": {"name": "x"}, "data": {"a": "***"}}));
        assert_eq!(stage["list"], json!([{"name": "API_KEY", "value": "***"}, {"name": "MODE", "value": "fast"}]));
        let mut again = document.clone();
        cover(&mut again);
        assert_eq!(again, document);
    }

    #[test]
    fn a_trigger_is_known_by_its_content_whatever_the_order_of_its_keys() {
        let one = json!({"type": "git", "branches": ["main"], "paths": ["a"]});
        let same = json!({"paths": ["a"], "branches": ["main"], "type": "git"});
        let other = json!({"type": "git", "branches": ["main"], "paths": ["b"]});
        assert_eq!(trigger_key(&one), trigger_key(&same));
        assert_ne!(trigger_key(&one), trigger_key(&other));
        assert!(trigger_key(&one).starts_with("git-"));
    }
}
