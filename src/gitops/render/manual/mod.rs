//! What there is to know about modules without calling them: their manual, made from their headers, and whether they
//! work, as far as that can be told from their text and their worked examples.

mod statics;
mod trial;

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};

pub use self::trial::{Trial, try_modules};
use super::Request;
use super::crew;
use super::header::{Example, Header, Parameter};
use super::lookup::{self, Found, Home};
use super::session::Session;
use crate::diagnostic::{Code, Diagnostic, Place};

/// What all modules say about themselves.
#[derive(Debug, Default)]
pub struct Manual {
    /// The modules: built in, of the repository, of module repositories; of each kind by name.
    pub modules: Vec<ModuleManual>,
    /// What keeps modules, or whole module repositories, from being read.
    pub findings: Vec<Diagnostic>,
}

/// What a module says about itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ModuleManual {
    /// By which it is called.
    pub name: String,
    /// Its file: a path in its repository, or its name if it is built in.
    pub file: String,
    /// Where it comes from: `std`, `repository`, or the name of a module repository.
    pub source: String,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What it yields; nothing, if it doesn't say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub yields: Option<String>,
    /// What it takes; nothing, if it has no header and takes anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Vec<ParameterManual>>,
    /// Worked examples.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<ExampleManual>,
    /// Whether its file can't be read, so that the rest is missing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub broken: bool,
}

/// What a module says about a parameter.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ParameterManual {
    /// Its name.
    pub name: String,
    /// Its type; nothing takes any value.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
    /// Of a list: the type of its items.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<&'static str>,
    /// Whether a call must give it.
    pub required: bool,
    /// What it is if a call doesn't give it; null is nothing.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub default: Value,
    /// Of an enum: what there is to choose from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<Value>,
    /// What all of a text has to match.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// The least number, characters or items.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// What it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What to do instead of giving it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<String>,
}

impl ParameterManual {
    /// Its type in words: `list of string`, `"eu" or "us"`.
    pub fn type_words(&self) -> String {
        match (self.kind, self.items) {
            (None, _) => "any".to_owned(),
            (Some("enum"), _) => {
                let word = |option: &Value| option.as_str().map_or_else(|| option.to_string(), str::to_owned);
                self.options.iter().map(word).collect::<Vec<_>>().join(" or ")
            }
            (Some(kind), Some(items)) => format!("{kind} of {items}"),
            (Some(kind), None) => kind.to_owned(),
        }
    }

    /// What it is, with what its values have to be.
    pub fn about(&self) -> String {
        let noun = match self.kind {
            Some("string") => " characters",
            Some("list") => " items",
            _ => "",
        };
        let range = match (self.min, self.max) {
            // That a text or list is not empty goes without saying.
            (Some(min), None) if !noun.is_empty() && min <= 1.0 => None,
            (Some(min), Some(max)) => Some(format!("{min} to {max}{noun}")),
            (Some(min), None) => Some(format!("at least {min}{noun}")),
            (None, Some(max)) => Some(format!("at most {max}{noun}")),
            (None, None) => None,
        };
        let deprecated = self.deprecated.as_ref().map(|instead| format!("deprecated: {instead}"));
        let pattern = self.pattern.as_ref().map(|pattern| format!("matches `{pattern}`"));
        let notes: Vec<String> = range.into_iter().chain(pattern).chain(deprecated).collect();
        match (self.description.as_deref(), notes.is_empty()) {
            (Some(about), true) => about.to_owned(),
            (Some(about), false) => format!("{about} ({})", notes.join("; ")),
            (None, _) => notes.join("; "),
        }
    }
}

/// A worked example of a call.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExampleManual {
    /// What it shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What is given.
    pub with: Map<String, Value>,
    /// The stages that stand before it in the example's pipeline.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<Value>,
}

/// Reads the headers of all modules that a file of the repository can call.
pub fn manual(request: &Request<'_>) -> Manual {
    let lists = crew::work(request, &[()], |session, ()| find_all(session));
    let (found, mut findings) = lists.into_iter().flatten().next().unwrap_or_default();
    let read = crew::work(request, &found, read);
    let mut modules = Vec::new();
    for (module, wrong) in read.into_iter().flatten() {
        modules.push(module);
        findings.extend(wrong);
    }
    Manual { modules, findings }
}

/// Reads the header of the module that a name means, with or without a reference; what is wrong with the file stands
/// beside it.
///
/// # Errors
/// Why there is no such module.
pub fn module_manual(request: &Request<'_>, name: &str) -> Result<(ModuleManual, Vec<Diagnostic>), Box<Diagnostic>> {
    let look = |session: &Arc<Session>, name: &&str| match session.find_module(name, &Home::Repository) {
        Ok(found) => Ok(read(session, &found)),
        Err(fault) => Err(Box::new(fault.finding())),
    };
    let looked = crew::work(request, &[name], look).into_iter().next();
    looked.and_then(Result::ok).unwrap_or_else(|| Err(Box::new(lost(name, lookup::FOLDER))))
}

/// Reads one of the repository's own modules and looks it over, without rendering anything.
pub fn inspect_module(request: &Request<'_>, name: &str) -> Vec<Diagnostic> {
    let inspect = |session: &Arc<Session>, name: &&str| {
        let found = match session.find_module(name, &Home::Repository) {
            Ok(found) => found,
            Err(fault) => return vec![fault.finding()],
        };
        match session.load_module(&found) {
            Ok(module) => statics::check(session, &module),
            Err(findings) => findings.to_vec(),
        }
    };
    // What a panic takes with it is missed by nobody: the fuzzer that caused it has seen it.
    let inspected = crew::work(request, &[name], inspect).into_iter().next();
    inspected.and_then(Result::ok).unwrap_or_else(|| vec![lost(name, lookup::FOLDER)])
}

/// Every module, and what keeps some from being found.
fn find_all(session: &Arc<Session>) -> (Vec<Found>, Vec<Diagnostic>) {
    let mut found = built_in();
    let (own, mut findings) = of_repository(session);
    found.extend(own);
    for repository in &session.libraries {
        match session.open(repository, None) {
            Ok(opened) => {
                let words = opened.files.iter().filter_map(|file| lookup::word(file));
                found.extend(words.filter_map(|word| lookup::in_opened(word, &opened).ok()));
            }
            Err(fault) => findings.push(fault.finding()),
        }
    }
    (found, findings)
}

fn built_in() -> Vec<Found> {
    let names = lookup::standard_names();
    let mut found: Vec<Found> =
        names.iter().filter_map(|name| lookup::built_in(name.split_once('/')?.1).ok()).collect();
    found.sort_by(|left, right| left.name.cmp(&right.name));
    found
}

/// The repository's own modules.
fn of_repository(session: &Session) -> (Vec<Found>, Vec<Diagnostic>) {
    let nowhere = Place::point(lookup::FOLDER, 1, 1);
    let files = match session.module_files() {
        Ok(files) => files,
        Err(fault) => return (Vec::new(), vec![fault.finding().at(nowhere)]),
    };
    let mut findings = Vec::new();
    let mut found: Vec<Found> = Vec::new();
    for file in files {
        let Some(name) = lookup::module_name(file) else { continue };
        match session.find_module(name, &Home::Repository) {
            // Of two files with one name, the other is what the error names.
            Ok(module) => found.push(module),
            Err(fault) => findings.push(fault.finding().at(Place::point(file.as_str(), 1, 1))),
        }
    }
    findings.dedup_by(|left, right| left.message == right.message);
    (found, findings)
}

fn read(session: &Arc<Session>, found: &Found) -> (ModuleManual, Vec<Diagnostic>) {
    let source = match &found.home {
        Home::BuiltIn => "std",
        Home::Repository => "repository",
        Home::Library(opened) => &opened.pinned.pin.repository,
    };
    let mut manual = ModuleManual {
        name: found.name.clone(),
        file: found.file.clone(),
        source: source.to_owned(),
        description: None,
        yields: None,
        parameters: None,
        examples: Vec::new(),
        broken: false,
    };
    match session.load_module(found) {
        Ok(module) => {
            if let Some(header) = &module.body.header {
                fill(&mut manual, header);
            }
            (manual, Vec::new())
        }
        Err(findings) => (ModuleManual { broken: true, ..manual }, findings.to_vec()),
    }
}

fn fill(manual: &mut ModuleManual, header: &Header) {
    manual.description.clone_from(&header.description);
    manual.yields = header.yields.map(|yields| yields.name().to_owned());
    manual.parameters = Some(header.parameters.iter().map(parameter).collect());
    manual.examples = header.examples.iter().map(example).collect();
}

fn parameter(parameter: &Parameter) -> ParameterManual {
    ParameterManual {
        name: parameter.name.to_string(),
        kind: parameter.kind.map(super::header::ParameterKind::name),
        items: parameter.items.map(super::header::ParameterKind::name),
        required: parameter.required,
        default: parameter.default.as_ref().map_or(Value::Null, |node| node.to_json()),
        options: parameter.options.iter().map(|option| option.to_json()).collect(),
        pattern: parameter.pattern.as_ref().map(|pattern| pattern.text.clone()),
        min: parameter.bounds.min,
        max: parameter.bounds.max,
        description: parameter.description.clone(),
        deprecated: parameter.deprecated.clone(),
    }
}

fn example(example: &Example) -> ExampleManual {
    ExampleManual {
        description: example.description.clone(),
        with: example.with.iter().map(|(key, node)| (key.name.to_string(), node.to_json())).collect(),
        before: example.before.iter().map(|stage| stage.to_json()).collect(),
    }
}

/// That a module's work was lost with its thread.
fn lost(name: &str, file: &str) -> Diagnostic {
    let message = format!("the renderer failed on the module `{name}`; this is a bug in Longboat");
    Diagnostic::error(Code::TemplateFailed, message).at(Place::point(file, 1, 1))
}
