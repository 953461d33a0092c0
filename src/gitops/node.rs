//! The one tree that everything reads: a document's values, each with the place it came from.
//!
//! Schema checks, graph checks, `explain` and deserialisation all work on [`Node`]s; there is no second
//! parse of the same text (FORMAT section 3). Nodes are shared by reference counting, because a module's
//! result or a variable may stand in many documents.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::diagnostic::{ChainLink, Diagnostic, Place, pointer_key};

/// A value and where it came from.
#[derive(Debug, Clone)]
pub struct Node {
    /// The value.
    pub value: NodeValue,
    /// Where it came from.
    pub origin: Origin,
}

/// What a [`Node`] holds: the values of YAML's core schema.
#[derive(Debug, Clone)]
pub enum NodeValue {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number; larger ones are refused when they are read, because they would lose digits.
    Int(i64),
    /// Any other number, infinities and not-a-number included.
    Float(f64),
    /// Text.
    String(Arc<str>),
    /// A list.
    List(Vec<Arc<Node>>),
    /// A mapping in its author's order; no key stands twice.
    Map(Vec<(Key, Arc<Node>)>),
}

/// A key of a mapping. Keys are always text; `80: x` has the key `80`.
#[derive(Debug, Clone)]
pub struct Key {
    /// The key's text.
    pub name: Arc<str>,
    /// Where it came from.
    pub origin: Origin,
}

impl Node {
    /// The node that a JSON pointer (RFC 6901) leads to; the empty pointer is this node.
    pub fn at(&self, pointer: &str) -> Option<&Self> {
        let mut node = self;
        for step in steps(pointer)? {
            node = node.child(&step)?;
        }
        Some(node)
    }

    /// One step of a pointer: a key of a mapping or an index of a list.
    pub(super) fn child(&self, step: &str) -> Option<&Self> {
        match &self.value {
            NodeValue::Map(_) => self.get(step),
            NodeValue::List(items) => {
                let plain = step == "0" || (!step.starts_with(['0', '+']) && !step.is_empty());
                items.get(step.parse::<usize>().ok().filter(|_| plain)?).map(AsRef::as_ref)
            }
            _ => None,
        }
    }

    /// The same as a node of its own.
    pub(super) fn step(&self, step: &str) -> Option<Arc<Self>> {
        match &self.value {
            NodeValue::Map(_) => self.entry(step).map(|(_, node)| node.clone()),
            NodeValue::List(items) => items.get(step.parse::<usize>().ok()?).cloned(),
            _ => None,
        }
    }

    /// The value of a key, if this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|(_, node)| node.as_ref())
    }

    /// The key with its own origin, and its value.
    pub fn entry(&self, key: &str) -> Option<(&Key, &Arc<Self>)> {
        self.as_map()?.iter().find(|(name, _)| &*name.name == key).map(|(name, node)| (name, node))
    }

    /// The text, if this is text.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            NodeValue::String(text) => Some(text),
            _ => None,
        }
    }

    /// The items, if this is a list.
    pub fn as_list(&self) -> Option<&[Arc<Self>]> {
        match &self.value {
            NodeValue::List(items) => Some(items),
            _ => None,
        }
    }

    /// The entries, if this is a mapping.
    pub fn as_map(&self) -> Option<&[(Key, Arc<Self>)]> {
        match &self.value {
            NodeValue::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// Whether this is null.
    pub fn is_null(&self) -> bool {
        matches!(self.value, NodeValue::Null)
    }

    /// What kind of value this is, as messages say it: `a string`, `a list`.
    pub fn kind(&self) -> &'static str {
        match self.value {
            NodeValue::Null => "null",
            NodeValue::Bool(_) => "a boolean",
            NodeValue::Int(_) => "an integer",
            NodeValue::Float(_) => "a number",
            NodeValue::String(_) => "a string",
            NodeValue::List(_) => "a list",
            NodeValue::Map(_) => "a mapping",
        }
    }

    /// The value as JSON, keys in their order. JSON has no infinities and no not-a-number: they become null.
    pub fn to_json(&self) -> Value {
        match &self.value {
            NodeValue::Null => Value::Null,
            NodeValue::Bool(flag) => Value::Bool(*flag),
            NodeValue::Int(number) => Value::from(*number),
            NodeValue::Float(number) => Value::from(*number),
            NodeValue::String(text) => Value::String(text.to_string()),
            NodeValue::List(items) => items.iter().map(|item| item.to_json()).collect(),
            NodeValue::Map(entries) => {
                Value::Object(entries.iter().map(|(key, node)| (key.name.to_string(), node.to_json())).collect())
            }
        }
    }
}

/// The unescaped steps of a JSON pointer, or nothing if the text is none.
pub(super) fn steps(pointer: &str) -> Option<Vec<String>> {
    if pointer.is_empty() {
        return Some(Vec::new());
    }
    let steps = pointer.strip_prefix('/')?.split('/');
    Some(steps.map(pointer_key).collect())
}

/// Where a value came from. Cheap to clone.
///
/// [`Origin::place`] is the place that a person edits first: where the value is written, or the tag that
/// yields it. A value that is handed through modules unchanged (`image: {{ image }}`) is placed at the
/// argument of the outermost such call, since that is where it was written; the tags in between are in
/// [`Origin::through`], and so is the line of a variable that was used.
#[derive(Clone)]
pub struct Origin {
    spot: Spot,
    trail: Option<Arc<Trail>>,
}

/// A stretch of a file: a [`Place`] that is cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Spot {
    file: Arc<str>,
    start: Position,
    end: Position,
}

impl Spot {
    /// A stretch of a file.
    pub fn new(file: Arc<str>, start: Position, end: Position) -> Self {
        Self { file, start, end }
    }

    /// The same, for those who tell people.
    pub fn place(&self) -> Place {
        Place {
            file: self.file.to_string(),
            line: self.start.line,
            column: self.start.column,
            end_line: self.end.line,
            end_column: self.end.column,
        }
    }
}

/// A line and a column, both from 1; the column counts characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

/// The less common part of an origin.
#[derive(Debug, Default)]
struct Trail {
    chain: Arc<[ChainLink]>,
    through: Vec<Spot>,
}

impl Origin {
    /// A stretch of a file that no module and no variable had a part in.
    pub fn new(file: Arc<str>, start: Position, end: Position) -> Self {
        Self { spot: Spot { file, start, end }, trail: None }
    }

    /// The same place, reached through these calls and other places.
    #[must_use]
    pub(super) fn with_trail(mut self, chain: &Arc<[ChainLink]>, through: Vec<Spot>) -> Self {
        self.trail =
            (!chain.is_empty() || !through.is_empty()).then(|| Arc::new(Trail { chain: chain.clone(), through }));
        self
    }

    /// The same file, chain and other places, at another stretch.
    pub(super) fn spanning(&self, start: Position, end: Position) -> Self {
        Self { spot: Spot { file: self.spot.file.clone(), start, end }, trail: self.trail.clone() }
    }

    /// The same with these other places instead.
    pub(super) fn with_through(self, through: Vec<Spot>) -> Self {
        let chain = self.trail.as_ref().map_or_else(|| Arc::new([]) as Arc<[ChainLink]>, |trail| trail.chain.clone());
        self.with_trail(&chain, through)
    }

    /// The place to edit first.
    pub fn place(&self) -> Place {
        self.spot.place()
    }

    /// The same, cheap to clone.
    pub(super) fn spot(&self) -> &Spot {
        &self.spot
    }

    /// The innermost place in a file whose path starts with `prefix`: where the value is written, or the call of
    /// a module that yields it. Without any such, [`Origin::place`].
    pub(super) fn place_in(&self, prefix: &str) -> Place {
        let call = self.chain().iter().rev().find(|link| link.file.starts_with(prefix));
        match call.filter(|_| !self.spot.file.starts_with(prefix)) {
            Some(link) => Place::point(&link.file, link.line, link.column),
            None => self.place(),
        }
    }

    /// The file of [`Origin::place`]: a path inside the repository, or a built-in module's full name.
    pub fn file(&self) -> &Arc<str> {
        &self.spot.file
    }

    /// The start of [`Origin::place`].
    pub fn start(&self) -> Position {
        self.spot.start
    }

    /// The end of [`Origin::place`].
    pub(super) fn end(&self) -> Position {
        self.spot.end
    }

    /// The calls of modules through which the value came, outermost first.
    pub fn chain(&self) -> &[ChainLink] {
        self.trail.as_ref().map_or(&[], |trail| &trail.chain)
    }

    /// The other places that had a part in the value: tags in modules, arguments, lines of variable files.
    pub fn through(&self) -> &[Spot] {
        self.trail.as_ref().map_or(&[], |trail| &trail.through)
    }

    /// Puts a finding at this place, with this chain and the other places.
    pub fn locate(&self, finding: Diagnostic) -> Diagnostic {
        finding.at(self.place()).chain(self.chain().to_vec()).through(self.through().iter().map(Spot::place))
    }
}

impl fmt::Debug for Spot {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}:{}", self.file, self.start.line, self.start.column)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", self.spot)?;
        for link in self.chain().iter().rev() {
            write!(out, " < {}:{}:{} {}", link.file, link.line, link.column, link.module)?;
        }
        Ok(())
    }
}
