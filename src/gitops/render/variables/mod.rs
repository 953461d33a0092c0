//! Variables: five layers, joined so that mappings are merged and everything else is replaced.
//!
//! Lowest first: the operator's, `.longboat/vars/default.yaml`, `.longboat/vars/branch/<branch>.yaml`,
//! `.longboat/vars/<environment>.yaml`, and the file's own `vars`. All of them are data: templates are not evaluated
//! in them. Every value keeps the line that it is written in.
//!
//! The environment is that of the pipeline, or of the file if the pipeline names none.

mod layers;
mod stack;

use std::ops::Range;
use std::sync::Arc;

pub(super) use self::layers::Layers;
pub(in crate::gitops) use self::stack::Stacks;
use self::stack::{Layer, Stack};
pub use self::stack::{LayerName, LayerOutcome, LayerValue, Variable};
use super::data::read_data;
use super::file::File;
use super::head::Head;
use super::session::Session;
use crate::diagnostic::{Code, Diagnostic};
use crate::gitops::{Node, NodeValue, Position};

const FOLDER: &str = ".longboat/vars";

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
    /// What the pipelines of other environments see, and where they stand, in the order of the file.
    pub(super) regions: Vec<Region>,
    /// The variable files that had a part in it.
    pub(super) files: Vec<String>,
    /// All layers, to say which of them won.
    pub(super) stacks: Arc<Stacks>,
    /// The file's name.
    name: Arc<str>,
    /// The environments that can be read before rendering, and where their pipelines stand.
    environments: Vec<(Range<Position>, String)>,
    /// The file's own, which is what the document's `vars` must be.
    own: Option<Arc<Node>>,
}

/// A part of a file that belongs to another environment than the rest.
#[derive(Debug)]
pub(super) struct Region {
    /// Where it stands in the file, in bytes.
    pub(super) range: Range<usize>,
    /// The same as positions.
    positions: Range<Position>,
    /// The environment.
    pub(super) environment: String,
    /// What it sees.
    pub(super) vars: Arc<Node>,
}

/// What is wrong with variables, as it comes together.
#[derive(Default)]
struct Findings {
    own: Vec<Diagnostic>,
    shared: Vec<Diagnostic>,
}

impl Findings {
    /// A layer that files share; nothing, if it is broken.
    fn shared(&mut self, session: &Session, word: &str, name: LayerName) -> Option<Layer> {
        match session.layers.file(session, word) {
            Ok(node) => node.map(|node| Layer { name, node }),
            Err(findings) => {
                let new: Vec<_> = findings.iter().filter(|finding| !self.shared.contains(finding)).cloned().collect();
                self.shared.extend(new);
                None
            }
        }
    }
}

/// The layers that all parts of all files see.
fn base(session: &Session, findings: &mut Findings) -> Stack {
    let mut stack = Stack(session.layers.operator().into_iter().collect());
    let branch = format!("branch/{}", session.branch);
    for (word, name) in [("default", LayerName::Default), (&*branch, LayerName::Branch)] {
        stack.0.extend(findings.shared(session, word, name));
    }
    stack
}

/// The layers of variables without any file's own, for one environment.
pub(super) fn shared_stack(session: &Session, environment: Option<&str>) -> Result<Stack, Vec<Diagnostic>> {
    let mut findings = Findings::default();
    let stack = base(session, &mut findings);
    let layer = environment.and_then(|name| findings.shared(session, name, LayerName::Environment));
    if findings.shared.is_empty() { Ok(stack.and(layer)) } else { Err(findings.shared) }
}

impl Variables {
    /// Reads all layers of a file. The error says what is wrong with any of them.
    pub(super) fn new(session: &Session, file: &Arc<File>) -> Result<Self, Trouble> {
        let head = Head::new(&file.text);
        let mut findings = Findings::default();
        let base = base(session, &mut findings);
        let own = own(file, &head, session).unwrap_or_else(|wrong| {
            findings.own = wrong;
            None
        });
        let own_layer = own.clone().map(|node| Layer { name: LayerName::File, node });
        let mut of = |name: &str| findings.shared(session, name, LayerName::Environment);
        let of_file = head.environment.as_deref().and_then(&mut of);
        let has_own_layer = of_file.is_some();
        let mut stacks = Stacks {
            common: base.and(of_file).and(own_layer.clone()),
            environment: head.environment,
            environments: Vec::new(),
        };
        let nothing = || Arc::new(Node { value: NodeValue::Map(Vec::new()), origin: file.origin(0, 0) });
        let common = stacks.common.joined().unwrap_or_else(nothing);
        let mut seen: Vec<(String, Option<Arc<Node>>)> = Vec::new();
        let mut regions = Vec::new();
        let mut environments = Vec::with_capacity(head.environments.len());
        for (range, environment) in head.environments {
            let positions = file.position(range.start)..file.position(range.end);
            environments.push((positions.clone(), environment.clone()));
            if stacks.environment.as_ref() == Some(&environment) {
                continue;
            }
            let vars = match seen.iter().find(|(name, _)| *name == environment) {
                Some((_, vars)) => vars.clone(),
                None => {
                    let layer = of(&environment);
                    // Without variables of its own it differs only from what the file's environment has.
                    let vars = (layer.is_some() || has_own_layer).then(|| {
                        let stack = base.and(layer).and(own_layer.clone());
                        let vars = stack.joined().unwrap_or_else(nothing);
                        stacks.environments.push((environment.clone(), stack));
                        vars
                    });
                    seen.push((environment.clone(), vars.clone()));
                    vars
                }
            };
            regions.extend(vars.map(|vars| Region { range, positions, environment, vars }));
        }
        let Findings { own: wrong, shared } = findings;
        if !(wrong.is_empty() && shared.is_empty()) {
            return Err(Trouble { own: wrong, shared: shared.into() });
        }
        let all = std::iter::once(&stacks.common).chain(stacks.environments.iter().map(|(_, stack)| stack));
        let in_files = |layer: &&Layer| !matches!(layer.name, LayerName::Operator | LayerName::File);
        let mut files: Vec<String> =
            all.flat_map(|stack| &stack.0).filter(in_files).map(|layer| layer.node.origin.file().to_string()).collect();
        files.sort();
        files.dedup();
        let (name, stacks) = (file.name.clone(), Arc::new(stacks));
        Ok(Self { common, regions, files, stacks, name, environments, own })
    }

    /// The layers of a file, and beside them those of an environment that may be none of the file's.
    pub(super) fn of_environment(
        session: &Session,
        file: &Arc<File>,
        environment: Option<&str>,
    ) -> Result<Stacks, Trouble> {
        let all = Self::new(session, file)?;
        let mut stacks = Stacks {
            common: all.stacks.common.clone(),
            environment: all.stacks.environment.clone(),
            environments: all.stacks.environments.clone(),
        };
        let known = |name: &str| {
            stacks.environment.as_deref() == Some(name) || stacks.environments.iter().any(|(other, _)| other == name)
        };
        if let Some(name) = environment.filter(|name| !known(name)) {
            let shared = shared_stack(session, Some(name));
            let stack = shared.map_err(|findings| Trouble { own: Vec::new(), shared: findings.into() })?;
            let own = all.own.map(|node| Layer { name: LayerName::File, node });
            stacks.environments.push((name.to_owned(), stack.and(own)));
        }
        Ok(stacks)
    }

    /// Variables that a module was called with: the same everywhere in it.
    pub(super) fn everywhere(vars: Arc<Node>) -> Self {
        let (name, stacks) = (vars.origin.file().clone(), Arc::default());
        let (regions, files, environments) = (Vec::new(), Vec::new(), Vec::new());
        Self { common: vars, regions, files, stacks, name, environments, own: None }
    }

    /// What is seen at a position of the file.
    pub(super) fn at(&self, position: Position) -> &Arc<Node> {
        let region = self.regions.iter().find(|region| region.positions.contains(&position));
        region.map_or(&self.common, |region| &region.vars)
    }

    /// The environment of the pipelines at a position, as far as it could be read before rendering.
    fn environment_at(&self, file: &Arc<str>, position: Position) -> Option<&str> {
        let after = self.environments.partition_point(|(range, _)| range.start <= position);
        let own = after.checked_sub(1).map(|last| &self.environments[last]).filter(|_| *file == self.name);
        let own = own.filter(|(range, _)| range.contains(&position)).map(|(_, environment)| &**environment);
        own.or(self.stacks.environment.as_deref())
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
        let has_layer =
            |name: Option<&str>| name.is_some_and(|name| matches!(session.layers.file(session, name), Ok(Some(_))));
        let of_file = root.get("environment");
        for pipeline in root.get("pipelines").and_then(Node::as_list).unwrap_or_default() {
            let written = pipeline.get("environment").or(of_file).filter(|node| !node.is_null());
            let name = written.and_then(Node::as_str);
            // What isn't text is an error for itself.
            if written.is_some() && name.is_none() {
                continue;
            }
            let seen = self.environment_at(pipeline.origin.file(), pipeline.origin.start());
            if seen == name || !(has_layer(name) || has_layer(seen)) {
                continue;
            }
            let (message, hint) = match (name, seen) {
                (Some(name), None) => (
                    format!(
                        "the variables of the environment `{name}` are not used: it is not written where it can be read before rendering"
                    ),
                    format!(
                        "write `environment: {name}` as it is, on a line of its own in the file itself, as a key of the pipeline"
                    ),
                ),
                (_, seen) => (
                    format!(
                        "the pipeline was rendered with the variables of the environment `{}`, and ends up in {}",
                        seen.unwrap_or_default(),
                        name.map_or_else(|| "none".to_owned(), |name| format!("`{name}`"))
                    ),
                    "write its `environment` once, as it is, and outside of template statements".to_owned(),
                ),
            };
            let place = written.map_or(&pipeline.origin, |node| &node.origin);
            findings.push(place.locate(Diagnostic::error(Code::MisplacedVariables, message).hint(hint)));
        }
        findings
    }
}

/// Why a file has no variables.
#[derive(Debug)]
pub(super) struct Trouble {
    /// What is wrong with the file's own.
    pub(super) own: Vec<Diagnostic>,
    /// What is wrong with layers that other files use too.
    pub(super) shared: Arc<[Diagnostic]>,
}

/// The file's own `vars`.
fn own(file: &Arc<File>, head: &Head, session: &Session) -> Result<Option<Arc<Node>>, Vec<Diagnostic>> {
    let misplaced = |range: &Range<usize>, message: &str, hint: &str| {
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
