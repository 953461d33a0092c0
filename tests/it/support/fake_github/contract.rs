//! GitHub's own description of its API, against which the tests hold what Longboat asks and what the fake answers.
//!
//! `tests/run` takes the description from npm, cuts it (`tests/peers/cut_openapi.mjs`) and names the file in
//! `LONGBOAT_GITHUB_OPENAPI`. Without it nothing is checked here, and with `LONGBOAT_REQUIRE_PEERS=1` that is a failure.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use jsonschema::Validator;
use serde_json::{Value, json};

/// Where the real GitHub answers otherwise than its description says: it gives null for the repository of a fork
/// that is gone, and the description always has one.
const KNOWN_DIFFERENCES: &[&str] = &["/head/repo"];

/// The description, and what was made of it so far.
pub struct Contract {
    description: Value,
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

/// The description, if it is there; read once a process.
///
/// # Panics
/// If it has to be there and isn't.
pub fn contract() -> Option<&'static Contract> {
    static CONTRACT: OnceLock<Option<Contract>> = OnceLock::new();
    CONTRACT.get_or_init(Contract::load).as_ref()
}

impl Contract {
    fn load() -> Option<Self> {
        let named = std::env::var_os("LONGBOAT_GITHUB_OPENAPI").map(PathBuf::from);
        // Where `tests/run` keeps it, for tests that were started without it. Benchmarks are left alone.
        let kept = || PathBuf::from(env!("CARGO_TARGET_TMPDIR")).with_file_name("peers").join("github-openapi.json");
        let path = named.or_else(|| cfg!(test).then(kept).filter(|path| path.exists()));
        let required = std::env::var("LONGBOAT_REQUIRE_PEERS").is_ok_and(|value| value == "1");
        let Some(path) = path else {
            assert!(!required, "LONGBOAT_GITHUB_OPENAPI names no file; tests/run makes it");
            eprintln!("GitHub's OpenAPI description is not here: requests are not checked against it (see tests/run)");
            return None;
        };
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let description = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Some(Self { description, validators: Mutex::default() })
    }

    /// What is wrong with a request; `path` has neither the host nor the prefix of an Enterprise Server.
    pub fn request(&self, method: &str, path: &str, query: &str, body: &[u8]) -> Vec<String> {
        let title = format!("{method} {path}");
        let Some((name, arguments)) = self.operation(method, path) else {
            return vec![format!("{title}: GitHub's description has no such operation among those that Longboat uses")];
        };
        let operation = &self.description["operations"][&name];
        let mut faults = Vec::new();
        let mut given: Vec<(&str, &str, String)> =
            arguments.iter().map(|(k, v)| ("path", *k, (*v).to_owned())).collect();
        given.extend(query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            ("query", key, value.to_owned())
        }));
        let parameters = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice);
        for (place, key, text) in &given {
            let Some(index) = parameters.iter().position(|known| known["name"] == *key && known["in"] == *place) else {
                faults.push(format!("{title}: there is no parameter `{key}` in the {place}"));
                continue;
            };
            // A parameter is a text on its way; a number if it looks like one.
            let value = text.parse::<i64>().map_or_else(|_| json!(text), |number| json!(number));
            let pointer = format!("/operations/{}/parameters/{index}/schema", escape(&name));
            if !self.is_valid(&pointer, &value) && !self.is_valid(&pointer, &json!(text)) {
                faults.push(format!("{title}: `{text}` is no value of the parameter `{key}`"));
            }
        }
        for known in parameters.iter().filter(|known| known["required"] == true) {
            if !given.iter().any(|(place, key, _)| known["name"] == *key && known["in"] == *place) {
                faults.push(format!("{title}: the parameter {} is missing", known["name"]));
            }
        }
        match (&operation["body"], body) {
            (Value::Null, []) => {}
            (Value::Null, _) => faults.push(format!("{title}: it has a body, and should have none")),
            (known, []) if known["required"] == true => faults.push(format!("{title}: the body is missing")),
            (_, []) => {}
            (known, bytes) => match serde_json::from_slice::<Value>(bytes) {
                Err(error) => faults.push(format!("{title}: the body is no JSON: {error}")),
                Ok(value) => {
                    let pointer = format!("/operations/{}/body/schema", escape(&name));
                    faults.extend(
                        self.faults(&pointer, &value).into_iter().map(|fault| format!("{title}: body: {fault}")),
                    );
                    // GitHub ignores what it doesn't know, and so a misspelt field would go unseen.
                    let fields = value.as_object().into_iter().flat_map(|fields| fields.keys());
                    for field in fields.filter(|field| known["schema"]["properties"].get(field).is_none()) {
                        faults.push(format!("{title}: body: there is no field `{field}`"));
                    }
                }
            },
        }
        faults
    }

    /// What is wrong with an answer of the fake. Errors that the description doesn't list are left out.
    pub fn response(&self, method: &str, path: &str, status: u16, body: &Value) -> Vec<String> {
        let Some((name, _)) = self.operation(method, path) else { return Vec::new() };
        let code = status.to_string();
        match &self.description["operations"][&name]["responses"][&code] {
            Value::Null if (200..300).contains(&status) => {
                vec![format!("{method} {path}: GitHub never answers {status}")]
            }
            Value::Null | Value::Bool(_) => Vec::new(),
            _ => {
                let pointer = format!("/operations/{}/responses/{code}", escape(&name));
                let faults = self.faults(&pointer, body).into_iter();
                faults.map(|fault| format!("{method} {path}: the fake's answer {status}: {fault}")).collect()
            }
        }
    }

    /// What is wrong with the payload of a webhook.
    pub fn webhook(&self, event: &str, payload: &Value) -> Vec<String> {
        let name = match payload["action"].as_str() {
            Some(action) => format!("{event}_{action}").replace('_', "-"),
            None => event.replace('_', "-"),
        };
        if self.description["webhooks"].get(&name).is_none() {
            return Vec::new();
        }
        let faults = self.faults(&format!("/webhooks/{name}"), payload).into_iter();
        faults.map(|fault| format!("the fake's webhook {name}: {fault}")).collect()
    }

    /// The operation of a path, like `get /repos/{owner}/{repo}`, and its arguments; the one with the most literal parts.
    fn operation<'a>(&'a self, method: &str, path: &'a str) -> Option<(String, Vec<(&'a str, &'a str)>)> {
        let parts: Vec<&str> = path.split('/').collect();
        let known = self.description["operations"].as_object()?.keys();
        let fitting = known.filter_map(|name| {
            let (verb, template) = name.split_once(' ')?;
            let wanted: Vec<&str> = template.split('/').collect();
            if !verb.eq_ignore_ascii_case(method) || wanted.len() != parts.len() {
                return None;
            }
            let mut arguments = Vec::new();
            for (wanted, part) in wanted.iter().zip(&parts) {
                match wanted.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
                    Some(argument) => arguments.push((argument, *part)),
                    None if wanted == part => {}
                    None => return None,
                }
            }
            Some((name.clone(), arguments))
        });
        fitting.min_by_key(|(_, arguments)| arguments.len())
    }

    fn is_valid(&self, pointer: &str, value: &Value) -> bool {
        self.validator(pointer).is_valid(value)
    }

    fn faults(&self, pointer: &str, value: &Value) -> Vec<String> {
        let validator = self.validator(pointer);
        let errors = validator.iter_errors(value).map(|error| (error.instance_path().to_string(), error.to_string()));
        errors
            .filter(|(place, text)| {
                !(text.starts_with("null") && KNOWN_DIFFERENCES.iter().any(|known| place.ends_with(known)))
            })
            .take(5)
            .map(|(place, text)| format!("{place}: {}", text.chars().take(300).collect::<String>()))
            .collect()
    }

    fn validator(&self, pointer: &str) -> Arc<Validator> {
        let mut validators = self.validators.lock().unwrap_or_else(PoisonError::into_inner);
        let made = validators.entry(pointer.to_owned()).or_insert_with(|| {
            let schema = self.description.pointer(pointer).unwrap_or_else(|| panic!("{pointer} is in the description"));
            let root = json!({"allOf": [schema], "components": self.description["components"]});
            Arc::new(jsonschema::validator_for(&root).unwrap_or_else(|error| panic!("{pointer}: {error}")))
        });
        Arc::clone(made)
    }
}

fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
