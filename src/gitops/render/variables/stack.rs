//! Layers that lie on each other: what they are together, and which of them a variable has its value from.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use crate::diagnostic::Place;
use crate::gitops::plan::cover_named;
use crate::gitops::render::Variables;
use crate::gitops::{Key, Node, NodeValue};

/// A layer of variables; the later ones lie on the earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum LayerName {
    /// `vars` of the operator's configuration.
    Operator,
    /// `.longboat/vars/default.yaml`.
    Default,
    /// `.longboat/vars/branch/<branch>.yaml`.
    Branch,
    /// `.longboat/vars/<environment>.yaml`.
    Environment,
    /// `vars` of the application file itself.
    File,
}

impl fmt::Display for LayerName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Operator => "the operator's",
            Self::Default => "default",
            Self::Branch => "the branch's",
            Self::Environment => "the environment's",
            Self::File => "the file's own",
        })
    }
}

/// A layer and what it holds, a mapping.
#[derive(Debug, Clone)]
pub(in crate::gitops::render) struct Layer {
    /// Which it is.
    pub(super) name: LayerName,
    /// What it holds.
    pub(super) node: Arc<Node>,
}

/// The layers that a part of a file sees, lowest first.
#[derive(Debug, Clone, Default)]
pub(in crate::gitops::render) struct Stack(pub(super) Vec<Layer>);

impl Stack {
    /// The same with one more on top.
    pub(super) fn and(&self, layer: Option<Layer>) -> Self {
        Self(self.0.iter().cloned().chain(layer).collect())
    }

    /// What they are together: mappings are joined, everything else is replaced. Nothing, if there is none.
    pub(super) fn joined(&self) -> Option<Arc<Node>> {
        let mut layers = self.0.iter().map(|layer| &layer.node);
        let lowest = layers.next()?.clone();
        Some(layers.fold(lowest, |below, above| overlay(&below, above)))
    }

    /// What each layer says about the variable that these steps lead to, the one that counts first.
    fn told(&self, whole_path: &[&str]) -> Vec<LayerValue> {
        let mut told: Vec<LayerValue> = Vec::new();
        let mut shadowed = false;
        let mut top: Option<&Node> = None;
        let mut path = whole_path;
        for layer in self.0.iter().rev() {
            let Some((depth, node)) = reach(&layer.node, path) else { continue };
            if top.is_none() {
                // Lists are replaced whole: below this layer, the list is what an item stands against.
                let list = (0..path.len()).find(|depth| {
                    reach(&layer.node, &path[..*depth]).is_some_and(|(_, node)| node.as_list().is_some())
                });
                path = list.map_or(path, |depth| &path[..depth]);
            }
            let whole = top.is_none() || depth == path.len();
            let joins = whole && node.as_map().is_some() && top.is_none_or(|top| top.as_map().is_some());
            let outcome = match (top.is_none(), shadowed, joins) {
                (true, ..) => LayerOutcome::Wins,
                (false, false, true) => LayerOutcome::Joined,
                _ => LayerOutcome::Shadowed,
            };
            // What isn't a mapping, and what replaces one, ends what lower layers could add.
            shadowed |= !joins;
            top = top.or(Some(node));
            let mut value = node.to_json();
            let way = if told.is_empty() { &whole_path[..depth] } else { &path[..depth] };
            way.iter().for_each(|name| cover_named(name, &mut value));
            cover_named("", &mut value);
            let name = name_of(way);
            told.push(LayerValue { layer: layer.name, outcome, name, place: node.origin.place(), value });
        }
        told
    }
}

/// The node at the end of the steps, and how many of them were gone. It is no mapping if steps are left, because what is
/// no mapping ends the way; nothing if a mapping has no such key.
fn reach<'a>(root: &'a Node, path: &[&str]) -> Option<(usize, &'a Node)> {
    let mut node = root;
    for (depth, name) in path.iter().enumerate() {
        match &node.value {
            NodeValue::Map(_) => node = node.get(name)?,
            NodeValue::List(_) => match node.child(name) {
                Some(child) => node = child,
                None => return Some((depth, node)),
            },
            _ => return Some((depth, node)),
        }
    }
    Some((path.len(), node))
}

/// The lower layer with the upper one on it.
fn overlay(lower: &Arc<Node>, upper: &Arc<Node>) -> Arc<Node> {
    let (NodeValue::Map(below), NodeValue::Map(above)) = (&lower.value, &upper.value) else { return upper.clone() };
    if below.is_empty() {
        return upper.clone();
    }
    let mut entries: Vec<(Key, Arc<Node>)> = below.clone();
    let places: HashMap<&str, usize> = below.iter().enumerate().map(|(at, (key, _))| (&*key.name, at)).collect();
    for (key, node) in above {
        match places.get(&*key.name) {
            Some(at) => entries[*at] = (key.clone(), overlay(&below[*at].1, node)),
            None => entries.push((key.clone(), node.clone())),
        }
    }
    Arc::new(Node { value: NodeValue::Map(entries), origin: upper.origin.clone() })
}

/// What became of what a layer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum LayerOutcome {
    /// This is what templates see.
    Wins,
    /// A mapping whose keys templates see beside those of the layers above.
    Joined,
    /// A higher layer has replaced it.
    Shadowed,
}

/// What a layer says about a variable.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerValue {
    /// The layer.
    pub layer: LayerName,
    /// What became of it.
    pub outcome: LayerOutcome,
    /// What it gives a value: the variable, or what the variable is a part of elsewhere.
    pub name: String,
    /// Where; the operator's have a key in place of a line.
    pub place: Place,
    /// The value. What looks like a credential is `***`.
    pub value: Value,
}

/// A variable, and where its value comes from.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Variable {
    /// As templates write it: `vars.image.tag`.
    pub name: String,
    /// What templates see. What looks like a credential is `***`.
    pub value: Value,
    /// Whether a part of the value is not shown.
    #[serde(skip)]
    pub covered: bool,
    /// What each layer says that has it, the one that counts first.
    pub layers: Vec<LayerValue>,
}

/// The layers of variables that the parts of a file see.
#[derive(Debug, Default)]
pub(in crate::gitops) struct Stacks {
    /// What most of the file sees.
    pub(super) common: Stack,
    /// The environment of the file itself.
    pub(super) environment: Option<String>,
    /// What the pipelines of other environments see.
    pub(super) environments: Vec<(String, Stack)>,
}

impl Stacks {
    /// Those that no file adds any of its own to.
    pub(in crate::gitops::render) fn alone(environment: Option<&str>, common: Stack) -> Self {
        Self { common, environment: environment.map(str::to_owned), environments: Vec::new() }
    }

    /// What the pipelines of an environment see, or the rest of the file.
    pub(super) fn of(&self, environment: Option<&str>) -> &Stack {
        let own = self.environments.iter().find(|(name, _)| Some(&**name) == environment);
        own.map_or(&self.common, |(_, stack)| stack)
    }

    /// The variables whose values are written at these places, in the order of the places.
    pub(in crate::gitops::render) fn written_at(&self, environment: Option<&str>, places: &[Place]) -> Vec<Variable> {
        let first = self.of(environment);
        let others = [&self.common].into_iter().chain(self.environments.iter().map(|(_, stack)| stack));
        let mut found = Vec::new();
        let mut left: Vec<&Place> = places.iter().collect();
        for stack in [first].into_iter().chain(others) {
            let Some(root) = stack.joined().filter(|_| !left.is_empty()) else { continue };
            let mut here: Vec<(usize, Vec<String>)> = Vec::new();
            search(&root, &left, &mut Vec::new(), &mut here);
            // What holds another one that was found says nothing more.
            let paths: Vec<Vec<String>> = here.iter().map(|(_, path)| path.clone()).collect();
            here.sort();
            let gone: Vec<&Place> = here.iter().map(|(at, _)| left[*at]).collect();
            here.retain(|(_, path)| !paths.iter().any(|other| other.len() > path.len() && other.starts_with(path)));
            found.extend(here.iter().map(|(_, path)| {
                let path: Vec<&str> = path.iter().map(String::as_str).collect();
                variable(stack, &root, &path)
            }));
            left.retain(|place| !gone.contains(place));
        }
        let mut seen = Vec::new();
        found.retain(|variable: &Variable| {
            let new = !seen.contains(&variable.name);
            seen.push(variable.name.clone());
            new
        });
        found
    }

    /// The places of the variables that look like credentials, and of the mappings and lists that hold them.
    pub(in crate::gitops::render) fn covered(&self) -> HashSet<Place> {
        fn walk(node: &Node, shown: &Value, found: &mut HashSet<Place>) -> bool {
            let mut any = false;
            match (&node.value, shown) {
                (NodeValue::Map(entries), Value::Object(shown)) => {
                    for ((_, node), shown) in entries.iter().zip(shown.values()) {
                        any |= walk(node, shown, found);
                    }
                }
                (NodeValue::List(items), Value::Array(shown)) => {
                    for (node, shown) in items.iter().zip(shown) {
                        any |= walk(node, shown, found);
                    }
                }
                _ => any = node.to_json() != *shown,
            }
            if any {
                found.insert(node.origin.place());
            }
            any
        }
        let mut found = HashSet::new();
        for stack in [&self.common].into_iter().chain(self.environments.iter().map(|(_, stack)| stack)) {
            if let Some(root) = stack.joined() {
                let mut shown = root.to_json();
                cover_named("", &mut shown);
                walk(&root, &shown, &mut found);
            }
        }
        found
    }

    /// What there is to tell of all variables: of an environment that was asked for, or of most of the file.
    pub(in crate::gitops::render) fn listed(&self, environment: Option<&str>) -> Variables {
        let own = environment.or(self.environment.as_deref()).map(str::to_owned);
        let others = self.environments.iter().map(|(name, _)| name.clone());
        let stack = self.of(environment);
        Variables {
            has_layer: stack.0.iter().any(|layer| layer.name == LayerName::Environment),
            environments: others.filter(|name| own.as_ref() != Some(name)).collect(),
            variables: Self::all(stack),
            environment: own,
        }
    }

    /// Every variable that the pipelines of an environment see, or the rest of the file: each value that is no mapping,
    /// and each mapping that is empty.
    fn all(stack: &Stack) -> Vec<Variable> {
        fn leaves<'a>(node: &'a Node, path: &mut Vec<&'a str>, found: &mut Vec<Vec<&'a str>>) {
            match node.as_map() {
                Some(entries) if !entries.is_empty() || path.is_empty() => {
                    for (key, node) in entries {
                        path.push(&key.name);
                        leaves(node, path, found);
                        path.pop();
                    }
                }
                _ => found.push(path.clone()),
            }
        }
        let Some(root) = stack.joined() else { return Vec::new() };
        let mut found = Vec::new();
        leaves(&root, &mut Vec::new(), &mut found);
        found.iter().map(|path| variable(stack, &root, path)).collect()
    }
}

fn variable(stack: &Stack, root: &Node, path: &[&str]) -> Variable {
    let plain = reach(root, path).map_or(Value::Null, |(_, node)| node.to_json());
    let mut value = plain.clone();
    path.iter().for_each(|name| cover_named(name, &mut value));
    cover_named("", &mut value);
    let covered = value != plain;
    Variable { name: name_of(path), value, covered, layers: stack.told(path) }
}

/// Finds the ways to what is written at one of the places, with the number of the place.
fn search(node: &Node, places: &[&Place], path: &mut Vec<String>, found: &mut Vec<(usize, Vec<String>)>) {
    let start = node.origin.start();
    let near = |place: &&&Place| (place.line, place.column) == (start.line, start.column);
    if places.iter().filter(near).any(|place| *place.file == **node.origin.file()) {
        let own = node.origin.place();
        if let Some(at) = places.iter().position(|place| **place == own) {
            found.push((at, path.clone()));
        }
    }
    let mut below = |name: String, node: &Node| {
        path.push(name);
        search(node, places, path, found);
        path.pop();
    };
    match &node.value {
        NodeValue::Map(entries) => entries.iter().for_each(|(key, node)| below(key.name.to_string(), node)),
        NodeValue::List(items) => items.iter().enumerate().for_each(|(at, node)| below(at.to_string(), node)),
        _ => {}
    }
}

/// As templates write it: `vars.image.tag`, `vars.list[0]`, `vars["a-b"]`.
fn name_of(path: &[&str]) -> String {
    path.iter().fold("vars".to_owned(), |name, part| step(&name, part))
}

/// One step more.
pub(super) fn step(name: &str, part: &str) -> String {
    let word = |letter: char| letter.is_alphanumeric() || letter == '_';
    if !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()) {
        format!("{name}[{part}]")
    } else if !part.is_empty() && part.chars().all(word) {
        format!("{name}.{part}")
    } else {
        format!("{name}[{part:?}]")
    }
}
