//! Rendering a commit's application files.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Limits, Node, Source};
use crate::diagnostic::{ChainLink, Code, Diagnostic, Place};
use crate::model::RepositoryName;

/// What to render: a source of files, and what templates see besides.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The files of the commit.
    pub source: &'a dyn Source,
    /// Seen as `repository`.
    pub repository: &'a RepositoryName,
    /// Seen as `branch`; of a pull request its target branch.
    pub branch: &'a str,
    /// The operator's variables, the lowest layer of `vars`.
    pub globals: &'a Map<String, Value>,
    /// What it may use.
    pub limits: &'a Limits,
}

/// All application files of a commit.
#[derive(Debug, Default)]
pub struct Rendered {
    /// One for each file, sorted by path.
    pub files: Vec<RenderedFile>,
    /// What is wrong with no file in particular.
    pub findings: Vec<Diagnostic>,
}

/// One application file, rendered as written: no key is renamed, none is filled in.
#[derive(Debug)]
pub struct RenderedFile {
    /// Its path inside the repository.
    pub path: String,
    /// The document; nothing if it could not be rendered. There may be a document and errors.
    pub root: Option<Arc<Node>>,
    /// What was found while rendering.
    pub findings: Vec<Diagnostic>,
    /// The modules that it used, by full name, sorted.
    pub modules: Vec<String>,
}

/// Where a value came from, for `longboat explain`.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The value.
    pub value: Value,
    /// The place to edit first.
    pub place: Place,
    /// The calls of modules through which it came, outermost first.
    pub chain: Vec<ChainLink>,
    /// Other places that had a part in it: tags in modules, arguments, lines of variable files.
    pub through: Vec<Place>,
}

/// Renders every application file of the commit: `.longboat/*.{yaml,yml,json}`.
pub fn render_all(_request: &Request<'_>) -> Rendered {
    Rendered::default()
}

/// Renders one application file.
pub fn render_file(_request: &Request<'_>, path: &str) -> RenderedFile {
    let finding = Diagnostic::error(Code::TemplateFailed, "rendering is not available");
    RenderedFile { path: path.to_owned(), root: None, findings: vec![finding], modules: Vec::new() }
}

/// Says where the value at a JSON pointer into the rendered document came from; nothing if there is no such value.
pub fn explain(file: &RenderedFile, pointer: &str) -> Option<Explanation> {
    let node = file.root.as_ref()?.at(pointer)?;
    Some(Explanation {
        value: node.to_json(),
        place: node.origin.place(),
        chain: node.origin.chain().to_vec(),
        through: node.origin.through().to_vec(),
    })
}
