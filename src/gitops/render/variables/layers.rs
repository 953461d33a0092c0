//! The layers of variables that files share: the operator's, and the variable files of the repository. Each is read once
//! in a render.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::{Map, Value};

use super::stack::{Layer, LayerName, step};
use super::{FOLDER, mapping};
use crate::diagnostic::{Code, Diagnostic, Place};
use crate::gitops::render::data::read_data;
use crate::gitops::render::file::File;
use crate::gitops::render::lookup::ENDINGS;
use crate::gitops::render::session::{Session, lock};
use crate::gitops::render::value::from_json;
use crate::gitops::{Key, Node, NodeValue, Origin, Position, check_path};

/// What was read of a variable file, if there is one.
pub(super) type Read = Result<Option<Arc<Node>>, Arc<[Diagnostic]>>;

/// The layers that files share, each read once.
#[derive(Debug)]
pub(in crate::gitops::render) struct Layers {
    operator: Arc<Node>,
    files: Mutex<HashMap<String, Read>>,
}

impl Layers {
    /// Nothing read yet.
    pub(in crate::gitops::render) fn new(globals: &Map<String, Value>) -> Self {
        Self { operator: operator(globals, "vars"), files: Mutex::default() }
    }

    /// The operator's, if there are any; they have no place in the repository, and are named by their keys in the
    /// configuration.
    pub(super) fn operator(&self) -> Option<Layer> {
        let some = self.operator.as_map().is_some_and(|entries| !entries.is_empty());
        some.then(|| Layer { name: LayerName::Operator, node: self.operator.clone() })
    }

    /// A layer in the repository, by its path without ending.
    pub(super) fn file(&self, session: &Session, word: &str) -> Read {
        let path = format!("{FOLDER}/{word}");
        // A branch may have a name that is no path; then it has no layer.
        if check_path(&path).is_err() {
            return Ok(None);
        }
        if let Some(layer) = lock(&self.files).get(&path) {
            return layer.clone();
        }
        let layer = read(session, &path).map_err(Arc::from);
        lock(&self.files).entry(path).or_insert(layer).clone()
    }
}

/// The operator's variables below a key.
fn operator(values: &Map<String, Value>, path: &str) -> Arc<Node> {
    let start = Position { line: 1, column: 1 };
    let origin = |path: &str| Origin::new(Place::of_operator(path).file.into(), start, start);
    let entries = values.iter().map(|(name, value)| {
        let path = step(path, name);
        let node = match value {
            Value::Object(values) => operator(values, &path),
            value => from_json(value, &origin(&path)),
        };
        (Key { name: name.as_str().into(), origin: origin(&path) }, node)
    });
    Arc::new(Node { value: NodeValue::Map(entries.collect()), origin: origin(path) })
}

fn read(session: &Session, path: &str) -> Result<Option<Arc<Node>>, Vec<Diagnostic>> {
    let mut found: Option<(String, Vec<u8>)> = None;
    for ending in ENDINGS {
        let path = format!("{path}.{ending}");
        let refuse =
            |message: String| vec![Diagnostic::error(Code::UnreadablePath, message).at(Place::point(&*path, 1, 1))];
        let Some(bytes) = session.read(&path).map_err(|error| refuse(error.to_string()))? else { continue };
        if let Some((first, _)) = &found {
            let message = format!("the variables of `{path}` stand in `{first}`, too");
            let finding = Diagnostic::error(Code::MisplacedVariables, message).at(Place::point(&*path, 1, 1));
            return Err(vec![finding.hint("make one file of the two")]);
        }
        found = Some((path, bytes));
    }
    let Some((path, bytes)) = found else { return Ok(None) };
    let file = Arc::new(File::new(&path, bytes, &session.limits)?);
    let node = read_data(&file, 0..file.text.len(), &session.limits)?;
    mapping(node, &path).map(Some)
}
