//! The fields of a `script` stage.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Number, Value};

use crate::model::{Span, humanize};
use crate::schema::Dynamic;
use crate::stage::saved::PassFiles;

/// The longest single argument that Linux passes to a program, its final zero included (`MAX_ARG_STRLEN`).
const MAX_ARGUMENT: usize = 128 * 1024 - 1;

/// The longest time between SIGTERM and SIGKILL: with what SIGKILL may take, it stays below the time for which the
/// engine waits for a cancelled stage (`EngineOptions::cancel_deadline`).
const MAX_GRACE: Duration = Duration::from_secs(30);

/// The fields of a `script` stage.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(in crate::stage) struct Fields {
    /// What runs: a text as a shell script (`sh -e -c`), a list as a program and its arguments, without a shell.
    /// Expressions are not evaluated here; values come in by `env`.
    #[schemars(extend("x-longboat-raw" = true))]
    command: Command,
    /// Variables for the script.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Variable>")]
    env: BTreeMap<String, Value>,
    /// The folder to run in, inside the checkout; the checkout itself if not given.
    #[serde(default)]
    pub(super) dir: Option<String>,
    /// Where it runs: `host`, the machine that Longboat runs on.
    #[serde(default)]
    #[expect(dead_code, reason = "there is only one; it's checked when it is read")]
    runner: Runner,
    /// `shared`: in the one checkout that the execution's stages share. `fresh`: in a checkout of its own.
    #[serde(default)]
    pub(super) workspace: Workspace,
    /// Files for later stages, and from earlier ones. `save`: globs of paths from the root of the checkout
    /// (`dist/**`), saved when the script has succeeded; each has to match something, and symbolic links are left out.
    /// `from`: the stages whose saved files are put into the checkout before the script starts, each at its path;
    /// `parent/<stage>` takes what the pipeline that started this one hands down.
    #[serde(default)]
    #[schemars(extend("x-longboat-raw" = true))]
    pub(super) files: PassFiles,
    /// What becomes of the script if Longboat itself restarts while it runs: `false` lets it run on and takes its
    /// result; `true` says that it may be stopped and run again from the start.
    #[serde(default)]
    restartable: Option<Dynamic<bool>>,
    /// How long the script has to clean up after SIGTERM when it is cancelled or timed out, before SIGKILL; 5 s if
    /// not given, 30 s at most.
    #[serde(default)]
    grace: Option<Dynamic<Span>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Command {
    /// A shell script.
    Shell(String),
    /// A program and its arguments.
    Program(#[schemars(length(min = 1))] Vec<String>),
}

/// A variable's value: text, or a number or truth value that becomes text.
// Only the schema needs it: what an expression yields is any value, and is refused in words of our own.
#[derive(JsonSchema)]
#[schemars(untagged, extend("x-longboat-secret" = true))]
#[expect(dead_code, reason = "it's there for its schema")]
enum Variable {
    Text(String),
    Number(Number),
    Truth(bool),
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Runner {
    #[default]
    Host,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) enum Workspace {
    #[default]
    Shared,
    Fresh,
}

impl Fields {
    /// Reads and checks the fields.
    pub(super) fn read(fields: &Value) -> Result<Self, String> {
        Self::deserialize(fields).map_err(|error| format!("the stage's fields can't be used: {error}"))
    }

    /// The program and its arguments.
    pub(super) fn argv(&self) -> Result<Vec<OsString>, String> {
        let argv = match &self.command {
            Command::Shell(script) => vec!["sh", "-e", "-c", script],
            Command::Program(argv) => argv.iter().map(String::as_str).collect(),
        };
        if argv.first().is_none_or(|program| program.is_empty()) {
            return Err("`command` is empty: it must be a script, or a list that begins with a program".to_owned());
        }
        if argv.iter().any(|argument| argument.contains('\0')) {
            return Err("`command` holds a zero byte, which no program takes as an argument".to_owned());
        }
        if argv.iter().any(|argument| argument.len() > MAX_ARGUMENT) {
            return Err("`command` is longer than 128 KiB: put the script into a file of the repository".to_owned());
        }
        Ok(argv.into_iter().map(OsString::from).collect())
    }

    /// The author's variables.
    pub(super) fn env(&self) -> Result<Vec<(&str, String)>, String> {
        self.env.iter().map(|(name, value)| variable(name, value)).collect()
    }

    pub(super) fn restartable(&self) -> Result<bool, String> {
        match &self.restartable {
            None => Ok(false),
            Some(Dynamic::Value(value)) => Ok(*value),
            Some(Dynamic::Expression(text)) => Err(format!("`restartable` is the text `{text}`: write true or false")),
        }
    }

    pub(super) fn grace(&self) -> Result<Duration, String> {
        let grace = match &self.grace {
            None => return Ok(super::DEFAULT_GRACE),
            Some(Dynamic::Value(grace)) => *grace,
            Some(Dynamic::Expression(text)) => return Err(format!("`grace` is the text `{text}`, no duration")),
        };
        if grace.as_duration() > MAX_GRACE {
            return Err(format!("`grace` is {grace}, longer than the {} that are allowed", humanize(MAX_GRACE)));
        }
        Ok(grace.as_duration())
    }
}

fn variable<'a>(name: &'a str, value: &Value) -> Result<(&'a str, String), String> {
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty();
    if !is_name {
        return Err(format!("`env` names a variable `{name}`: letters, digits and `_` are allowed, no digit first"));
    }
    if name.starts_with("LONGBOAT_") {
        return Err(format!("`env` sets `{name}`: the names that begin with LONGBOAT_ are Longboat's own"));
    }
    let value = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        Value::Null => return Err(format!("`{name}` in `env` has no value: give it text, a number, or true or false")),
        Value::Array(_) | Value::Object(_) => {
            let what = if value.is_array() { "list" } else { "mapping" };
            return Err(format!("`{name}` in `env` is a {what}: a variable holds text, a number, or true or false"));
        }
    };
    if value.contains('\0') || name.len() + 1 + value.len() > MAX_ARGUMENT {
        return Err(format!("`{name}` in `env` holds a zero byte or is longer than 128 KiB"));
    }
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(fields: Value) -> Fields {
        Fields::read(&fields).expect("legal")
    }

    #[test]
    fn a_text_is_a_script_and_a_list_a_program() {
        assert_eq!(read(json!({"command": "a; b"})).argv().expect("legal"), ["sh", "-e", "-c", "a; b"]);
        assert_eq!(read(json!({"command": ["a", "b c"]})).argv().expect("legal"), ["a", "b c"]);
        for bad in [json!([]), json!([""]), json!("a\0b"), json!("x".repeat(128 * 1024))] {
            assert!(read(json!({"command": bad})).argv().is_err());
        }
        assert!(Fields::read(&json!({"command": 1})).is_err());
        assert!(Fields::read(&json!({})).is_err());
    }

    #[test]
    fn variables_become_text_and_longboat_s_own_are_refused() {
        let fields = read(json!({"command": "x", "env": {"A": "${x}", "B": 8080, "C": 1.5, "D": true}}));
        let env = fields.env().expect("legal");
        let expected = [("A", "${x}"), ("B", "8080"), ("C", "1.5"), ("D", "true")];
        assert!(env.iter().map(|(name, value)| (*name, value.as_str())).eq(expected), "{env:?}");
        for bad in ["LONGBOAT_OUTPUT", "1A", "A-B", "", "A=B"] {
            let fields = read(json!({"command": "x", "env": {bad: "v"}}));
            assert!(fields.env().is_err(), "{bad}");
        }
        for (bad, part) in [(json!("b\0c"), "zero byte"), (json!(null), "no value"), (json!([1]), "is a list")] {
            let error = read(json!({"command": "x", "env": {"A": bad}})).env().expect_err("refused");
            assert!(error.contains("`A` in `env`") && error.contains(part), "{error}");
        }
    }

    #[test]
    fn other_fields_have_their_defaults_and_bounds() {
        let plain = read(json!({"command": "x"}));
        assert_eq!((plain.restartable(), plain.grace()), (Ok(false), Ok(super::super::DEFAULT_GRACE)));
        assert_eq!(plain.workspace, Workspace::Shared);
        let full =
            read(json!({"command": "x", "runner": "host", "workspace": "fresh", "restartable": true, "grace": "1s"}));
        assert_eq!((full.restartable(), full.grace()), (Ok(true), Ok(Duration::from_secs(1))));
        assert_eq!(full.workspace, Workspace::Fresh);
        assert!(read(json!({"command": "x", "grace": "31s"})).grace().is_err());
        assert!(Fields::read(&json!({"command": "x", "runner": "moon"})).is_err());
    }
}
