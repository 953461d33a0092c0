//! Variables: five layers, merged so that mappings are joined and everything else is replaced.
//!
//! Lowest first: the operator's, `.longboat/vars/default.yaml`, `.longboat/vars/branch/<branch>.yaml`,
//! `.longboat/vars/<environment>.yaml`, and the file's own `vars`. All of them are data: templates are not evaluated
//! in them. Every value keeps the line that it is written in.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::{Map, Value};

use super::data::read_data;
use super::file::File;
use super::head::Head;
use super::lookup::ENDINGS;
use super::session::{Session, lock};
use super::value::from_json;
use crate::diagnostic::{Code, Diagnostic, Place};
use crate::gitops::{Key, Node, NodeValue, Origin, Position, check_path};

const FOLDER: &str = ".longboat/vars";
/// The name that stands for the operator's configuration in places; it has no line in the repository.
const OPERATOR: &str = "(operator's variables)";

type Layer = Result<Option<Arc<Node>>, Arc<[Diagnostic]>>;

/// The layers that files share, each read once.
#[derive(Debug)]
pub(super) struct Layers {
    operator: Arc<Node>,
    files: Mutex<HashMap<String, Layer>>,
}

impl Layers {
    /// Nothing read yet.
    pub(super) fn new(globals: &Map<String, Value>) -> Self {
        let start = Position { line: 1, column: 1 };
        let origin = Origin::new(OPERATOR.into(), start, start);
        Self { operator: from_json(&Value::Object(globals.clone()), &origin), files: Mutex::default() }
    }

    /// A layer in the repository, by its path without ending.
    fn file(&self, session: &Session, word: &str) -> Layer {
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

fn read(session: &Session, path: &str) -> Result<Option<Arc<Node>>, Vec<Diagnostic>> {
    for ending in ENDINGS {
        let path = format!("{path}.{ending}");
        let refuse =
            |message: String| vec![Diagnostic::error(Code::UnreadablePath, message).at(Place::point(&*path, 1, 1))];
        let Some(bytes) = session.read(&path).map_err(|error| refuse(error.to_string()))? else { continue };
        let file = Arc::new(File::new(&path, bytes, &session.limits)?);
        let node = read_data(&file, 0..file.text.len(), &session.limits)?;
        return mapping(node, &path).map(Some);
    }
    Ok(None)
}

fn mapping(node: Arc<Node>, what: &str) -> Result<Arc<Node>, Vec<Diagnostic>> {
    match &node.value {
        NodeValue::Map(_) => Ok(node),
        NodeValue::Null => Ok(Arc::new(Node { value: NodeValue::Map(Vec::new()), origin: node.origin.clone() })),
        _ => {
            let message = format!("`{what}` holds {}; variables are a mapping", node.kind());
            Err(vec![node.origin.locate(Diagnostic::error(Code::WrongShape, message).hint("write `name: value`"))])
        }
    }
}

/// The variables of one application file.
#[derive(Debug)]
pub(super) struct Variables {
    /// What most of the file sees.
    pub(super) common: Arc<Node>,
    /// What the pipelines of an environment see, and where they stand.
    pub(super) regions: Vec<Region>,
    /// The variable files that had a part in it.
    pub(super) files: Vec<String>,
    /// The file's own, which is what the document's `vars` must be.
    own: Option<Arc<Node>>,
}

/// A part of a file that belongs to an environment which has variables of its own.
#[derive(Debug)]
pub(super) struct Region {
    /// Where it stands in the file, in bytes.
    pub(super) range: std::ops::Range<usize>,
    /// The same as positions.
    positions: std::ops::Range<Position>,
    /// The environment.
    environment: String,
    /// What it sees.
    pub(super) vars: Arc<Node>,
}

impl Variables {
    /// Reads all layers of a file. The error says whether it is the file's own or one that files share.
    pub(super) fn new(session: &Session, file: &Arc<File>) -> Result<Self, Trouble> {
        let head = Head::new(&file.text);
        let shared = |word: &str| session.layers.file(session, word).map_err(Trouble::Shared);
        let mut files = Vec::new();
        let mut common = session.layers.operator.clone();
        for word in ["default", &format!("branch/{}", session.branch)] {
            let layer = shared(word)?;
            files.extend(layer.iter().map(|layer| layer.origin.place().file));
            common = overlay(&common, layer);
        }
        let own = own(file, &head, session).map_err(Trouble::Own)?;
        let mut regions = Vec::new();
        for (range, environment) in head.environments {
            if let Some(layer) = shared(&environment)? {
                files.push(layer.origin.place().file);
                let vars = overlay(&overlay(&common, Some(layer)), own.clone());
                let positions = file.position(range.start)..file.position(range.end);
                regions.push(Region { range, positions, environment, vars });
            }
        }
        Ok(Self { common: overlay(&common, own.clone()), regions, files, own })
    }

    /// Variables that a module was called with: the same everywhere in it.
    pub(super) fn everywhere(vars: Arc<Node>) -> Self {
        Self { common: vars, regions: Vec::new(), files: Vec::new(), own: None }
    }

    /// What is seen at a position of the file.
    pub(super) fn at(&self, position: Position) -> &Arc<Node> {
        let region = self.regions.iter().find(|region| region.positions.contains(&position));
        region.map_or(&self.common, |region| &region.vars)
    }

    /// Findings about a rendered document whose variables or environments were not where they could be seen.
    pub(super) fn verify(&self, session: &Session, root: &Node) -> Vec<Diagnostic> {
        let mut findings = Vec::new();
        let rendered = root.entry("vars").filter(|(_, node)| !node.is_null());
        if let Some((key, node)) = rendered
            && self.own.as_ref().is_none_or(|own| own.to_json() != node.to_json())
        {
            let message = "the file's `vars` are not where they can be read before rendering";
            let hint =
                "write them once, at the top level of the file, outside of template statements, and without tags";
            findings.push(key.origin.locate(Diagnostic::error(Code::MisplacedVariables, message).hint(hint)));
        }
        for pipeline in root.get("pipelines").and_then(Node::as_list).unwrap_or_default() {
            let Some(node) = pipeline.get("environment") else { continue };
            let Some(name) = node.as_str() else { continue };
            let seen = self.regions.iter().any(|region| region.environment == name);
            if !seen && matches!(session.layers.file(session, name), Ok(Some(_))) {
                let message = format!(
                    "the variables of the environment `{name}` are not used: it is not written where it can be read before rendering"
                );
                let hint =
                    format!("write `environment: {name}` as it is, in the file itself, as a key of the pipeline");
                findings.push(node.origin.locate(Diagnostic::error(Code::MisplacedVariables, message).hint(hint)));
            }
        }
        findings
    }
}

/// Why a file has no variables.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The file's own are wrong.
    Own(Vec<Diagnostic>),
    /// A layer is wrong that other files use too.
    Shared(Arc<[Diagnostic]>),
}

/// The file's own `vars`.
fn own(file: &Arc<File>, head: &Head, session: &Session) -> Result<Option<Arc<Node>>, Vec<Diagnostic>> {
    let misplaced = |range: &std::ops::Range<usize>, message: &str, hint: &str| {
        let finding = Diagnostic::error(Code::MisplacedVariables, message).hint(hint);
        Err(vec![finding.at(file.place(range.start, range.start))])
    };
    let [range] = &head.vars[..] else {
        return match head.vars.get(1) {
            None => Ok(None),
            Some(second) => {
                misplaced(second, "the file's `vars` stand twice", "write them once, outside of template statements")
            }
        };
    };
    if let Some(tag) = ["{{", "{%"].iter().filter_map(|tag| file.text[range.clone()].find(tag)).min() {
        let tag = range.start + tag..range.start + tag;
        return misplaced(
            &tag,
            "a tag can't stand in `vars`: variables are data",
            "write the value itself, or use the tag where it is needed",
        );
    }
    let mut node = read_data(file, range.clone(), &session.limits)?;
    if head.vars_with_key {
        let inner = node.entry("vars").map(|(_, inner)| inner.clone());
        let Some(inner) = inner else { return Ok(None) };
        node = inner;
    }
    mapping(node, "vars").map(Some)
}

/// The lower layer with the upper one on it.
fn overlay(lower: &Arc<Node>, upper: Option<Arc<Node>>) -> Arc<Node> {
    let Some(upper) = upper else { return lower.clone() };
    let (NodeValue::Map(below), NodeValue::Map(above)) = (&lower.value, &upper.value) else { return upper };
    let mut entries: Vec<(Key, Arc<Node>)> = below.clone();
    for (key, node) in above {
        match entries.iter_mut().find(|(known, _)| known.name == key.name) {
            Some((known, value)) => {
                *value = overlay(value, Some(node.clone()));
                *known = key.clone();
            }
            None => entries.push((key.clone(), node.clone())),
        }
    }
    Arc::new(Node { value: NodeValue::Map(entries), origin: upper.origin.clone() })
}
