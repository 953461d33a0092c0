//! The renderer from outside: files in, trees and findings out.

mod commit;
mod kept;
mod library;
mod limits;
mod modules;
mod origins;
mod properties;
mod together;
mod typed;
mod values;
mod variables;

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::diagnostic::{Code, Diagnostic};
use crate::gitops::{Limits, MemorySource, Node, RenderedFile, Request, render_file};
use crate::model::RepositoryName;

/// The application file of most tests.
const FILE: &str = ".longboat/a.yaml";

/// Renders the application file among these files; `a`, `vars/x` and `m/x` stand for
/// `.longboat/a.yaml`, `.longboat/vars/x.yaml` and `.longboat/modules/x.yaml`.
fn render(files: &[(&str, &str)]) -> RenderedFile {
    with(files, &Limits::default(), FILE)
}

fn with(files: &[(&str, &str)], limits: &Limits, path: &str) -> RenderedFile {
    let source = source(files);
    let repository = RepositoryName::parse("acme/shop").expect("a name");
    render_file(&request(&source, &repository, limits, &Map::new()), path)
}

fn source(files: &[(&str, &str)]) -> MemorySource {
    MemorySource::new(files.iter().map(|(path, text)| {
        let path = match path.strip_prefix("m/") {
            Some(module) => format!(".longboat/modules/{module}.yaml"),
            None if path.contains('.') => (*path).to_owned(),
            None => format!(".longboat/{path}.yaml"),
        };
        (path, text.as_bytes())
    }))
}

fn request<'a>(
    source: &'a MemorySource,
    repository: &'a RepositoryName,
    limits: &'a Limits,
    globals: &'a Map<String, Value>,
) -> Request<'a> {
    Request { source, repository, branch: "feature/x", globals, limits, library: None }
}

/// The document of a render that has nothing to complain about.
fn good(files: &[(&str, &str)]) -> Arc<Node> {
    let file = render(files);
    assert_eq!(file.findings, [], "{files:?}");
    file.root.expect("a document")
}

/// The document of one file as JSON.
fn json(text: &str) -> Value {
    good(&[("a", text)]).to_json()
}

/// The only finding of a render.
fn bad(files: &[(&str, &str)]) -> Diagnostic {
    let mut findings = render(files).findings;
    assert_eq!(findings.len(), 1, "{files:?}: {findings:#?}");
    findings.remove(0)
}

/// Where a finding is.
fn at(finding: &Diagnostic) -> String {
    let place = finding.place.as_ref().expect("a place");
    format!("{}:{}:{}", place.file.trim_start_matches(".longboat/"), place.line, place.column)
}

/// Checks that a file has one finding, of this kind, at this line and column, with these words in message or hint.
fn refuses(text: &str, code: Code, place: (u32, u32), words: &str) {
    let finding = bad(&[("a", text)]);
    assert_eq!(finding.code, code, "{text}: {finding}");
    assert_eq!(at(&finding), format!("a.yaml:{}:{}", place.0, place.1), "{text}: {finding}");
    let said = format!("{} {}", finding.message, finding.hint.as_deref().unwrap_or_default());
    assert!(said.contains(words), "{text}: {said}");
    assert!(!said.contains("__") && super::reserved::find(&said).is_none(), "{text}: {said}");
}
