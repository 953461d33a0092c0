//! Reading a mapping key by key: each value with its place, its pointer, and words for what is wrong with it.

use std::borrow::Cow;
use std::str::FromStr;
use std::sync::Arc;

use super::secrets::SecretMention;
use crate::diagnostic::{Code, Diagnostic, nearest, pointer_step};
use crate::gitops::{Key, Node, NodeValue, Origin};
use crate::model::{Dialect, IdError, SecretName, Span};

/// Where findings go.
#[derive(Debug)]
pub(super) struct Sink {
    findings: Vec<Diagnostic>,
    errors: usize,
    mentions: Vec<SecretMention>,
}

/// The most findings that are kept of one file.
const MAX_FINDINGS: usize = 200;
/// The most places of one file that are kept in which secrets are named. What isn't judged here is judged at the run.
const MAX_MENTIONS: usize = 1000;

impl Sink {
    pub(super) fn new() -> Self {
        Self { findings: Vec::new(), errors: 0, mentions: Vec::new() }
    }

    /// Keeps a finding about the value at `origin` and `pointer`.
    pub(super) fn add(&mut self, origin: &Origin, pointer: &str, finding: Diagnostic) {
        self.errors += usize::from(finding.is_error());
        if self.findings.len() < MAX_FINDINGS || (finding.is_error() && self.errors == 1) {
            self.findings.push(origin.locate(finding).pointer(pointer));
        }
    }

    /// Keeps a place where a secret is named.
    pub(super) fn mention(&mut self, origin: &Origin, pointer: &str, name: &SecretName) {
        if self.mentions.len() < MAX_MENTIONS {
            let at = origin.locate(SecretMention::skeleton()).pointer(pointer);
            self.mentions.push(SecretMention::new(name.clone(), at));
        }
    }

    pub(super) fn take_mentions(&mut self) -> Vec<SecretMention> {
        std::mem::take(&mut self.mentions)
    }

    /// Whether further findings would be dropped, so that looking for near names is not worth it.
    pub(super) fn is_full(&self) -> bool {
        self.findings.len() >= MAX_FINDINGS && self.errors > 0
    }

    /// How many errors there were so far.
    pub(super) fn errors(&self) -> usize {
        self.errors
    }

    pub(super) fn into_findings(self) -> Vec<Diagnostic> {
        self.findings
    }
}

/// Adds a hint, if there is one.
pub(super) fn hinted(finding: Diagnostic, hint: Option<String>) -> Diagnostic {
    match hint {
        Some(hint) => finding.hint(hint),
        None => finding,
    }
}

/// A value with what leads to it.
#[derive(Debug, Clone)]
pub(super) struct Field<'a> {
    pub(super) node: &'a Arc<Node>,
    pub(super) pointer: String,
    /// How messages name it: `timeout`, `needs[0]`.
    pub(super) name: Cow<'a, str>,
}

impl<'a> Field<'a> {
    pub(super) fn say(&self, sink: &mut Sink, finding: Diagnostic) {
        sink.add(&self.node.origin, &self.pointer, finding);
    }

    /// Says that the value isn't of the type `expected`, given with its article.
    pub(super) fn wrong_type(&self, sink: &mut Sink, expected: &str) {
        if self.node.as_str().is_some_and(|text| text.contains("${")) {
            let message = format!("no expression is evaluated in `{}`", self.name);
            let finding = Diagnostic::error(Code::ExpressionNotAllowed, message);
            return self.say(sink, finding.hint(format!("write {expected}")));
        }
        let message = format!("`{}` has to be {expected}, not {}", self.name, self.node.kind());
        let quotes = match &self.node.value {
            NodeValue::Int(number) if expected == "a string" => Some(number.to_string()),
            NodeValue::Float(number) if expected == "a string" => Some(number.to_string()),
            NodeValue::Bool(flag) if expected == "a string" => Some(flag.to_string()),
            _ => None,
        };
        let hint = quotes.map(|text| format!("put it in quotes: `\"{text}\"`"));
        self.say(sink, hinted(Diagnostic::error(Code::WrongType, message), hint));
    }

    pub(super) fn string(&self, sink: &mut Sink) -> Option<&'a str> {
        let text = self.node.as_str();
        if text.is_none() {
            self.wrong_type(sink, "a string");
        }
        text
    }

    /// A text of at most `max` characters, shown to people as it is.
    pub(super) fn label(&self, sink: &mut Sink, max: usize) -> Option<String> {
        let text = self.string(sink)?;
        if text.chars().count() > max {
            let message = format!("`{}` has more than {max} characters", self.name);
            self.say(sink, Diagnostic::error(Code::BadIdentifier, message));
            return None;
        }
        if text.contains("${") {
            let message = format!("no expression is evaluated in `{}`: it is shown as it is", self.name);
            self.say(sink, Diagnostic::warning(Code::ExpressionNotAllowed, message));
        }
        Some(text.to_owned())
    }

    pub(super) fn boolean(&self, sink: &mut Sink) -> Option<bool> {
        match self.node.value {
            NodeValue::Bool(flag) => Some(flag),
            _ => {
                self.wrong_type(sink, "true or false");
                None
            }
        }
    }

    /// A whole number between `min` and `max`.
    pub(super) fn number(&self, sink: &mut Sink, min: i64, max: i64) -> Option<i64> {
        let NodeValue::Int(number) = self.node.value else {
            self.wrong_type(sink, "a whole number");
            return None;
        };
        if (min..=max).contains(&number) {
            return Some(number);
        }
        let message = format!("`{}` has to be from {min} to {max}, not {number}", self.name);
        self.say(sink, Diagnostic::error(Code::ValueNotAllowed, message));
        None
    }

    pub(super) fn span(&self, sink: &mut Sink) -> Option<Span> {
        let text = match &self.node.value {
            NodeValue::String(text) if !text.contains("${") => text.to_string(),
            NodeValue::Int(seconds) => seconds.to_string(),
            _ => {
                self.wrong_type(sink, "a duration like `90s` or `2h`");
                return None;
            }
        };
        let read = Span::parse(&text);
        read.map_err(|error| {
            self.say(sink, Diagnostic::error(Code::BadDuration, format!("`{}`: {error}", self.name)));
        })
        .ok()
    }

    /// Spinnaker's durations: a number of milliseconds.
    pub(super) fn millis(&self, sink: &mut Sink) -> Option<Span> {
        let NodeValue::Int(millis) = self.node.value else {
            self.wrong_type(sink, "a number of milliseconds");
            return None;
        };
        let span = u64::try_from(millis).ok().and_then(|millis| Span::from_millis(millis).ok());
        if span.is_none() {
            let message = format!("`{}` has to be from 0 to 3650 days in milliseconds, not {millis}", self.name);
            self.say(sink, Diagnostic::error(Code::BadDuration, message));
        }
        span
    }

    /// A name or id; a whole number counts as its digits, because Spinnaker's `refId`s may be numbers.
    pub(super) fn identifier<T: FromStr<Err = IdError>>(&self, sink: &mut Sink) -> Option<T> {
        let text = match &self.node.value {
            NodeValue::String(text) => text.to_string(),
            NodeValue::Int(number) => number.to_string(),
            _ => {
                self.wrong_type(sink, "a string");
                return None;
            }
        };
        text.parse()
            .map_err(|error: IdError| self.say(sink, Diagnostic::error(Code::BadIdentifier, error.to_string())))
            .ok()
    }

    /// One of the texts that a type has, by its name in files.
    pub(super) fn choice<T: serde::de::DeserializeOwned>(&self, sink: &mut Sink, all: &[&str]) -> Option<T> {
        let text = self.string(sink)?;
        let read = serde_json::from_value(serde_json::Value::String(text.to_owned())).ok();
        if read.is_none() {
            let list: Vec<_> = all.iter().map(|one| format!("`{one}`")).collect();
            let message = format!("`{}` is `{}`, which is none of {}", self.name, cut(text), list.join(", "));
            let hint = nearest(text, all.iter().copied()).map(|near| format!("did you mean `{near}`?"));
            self.say(sink, hinted(Diagnostic::error(Code::ValueNotAllowed, message), hint));
        }
        read
    }

    /// The items of a list; at most `max`.
    pub(super) fn items(&self, sink: &mut Sink, max: usize) -> Option<Vec<Self>> {
        let Some(items) = self.node.as_list() else {
            self.wrong_type(sink, "a list");
            return None;
        };
        if items.len() > max {
            let message = format!("`{}` has {} items; {max} is the most", self.name, items.len());
            self.say(sink, Diagnostic::error(Code::TooManyNodes, message));
            return None;
        }
        let item = |(index, node)| Field {
            node,
            pointer: format!("{}/{index}", self.pointer),
            name: format!("{}[{index}]", self.name).into(),
        };
        Some(items.iter().enumerate().map(item).collect())
    }

    /// A list of texts.
    pub(super) fn strings(&self, sink: &mut Sink, max: usize) -> Option<Vec<(Self, &'a str)>> {
        let items = self.items(sink, max)?;
        let texts: Vec<_> = items.iter().map(|item| item.string(sink)).collect();
        items.into_iter().zip(texts).map(|(item, text)| Some((item, text?))).collect()
    }

    /// The value as JSON; infinities and not-a-number are refused.
    pub(super) fn json(&self, sink: &mut Sink) -> serde_json::Value {
        if holds_infinity(self.node) {
            self.refuse_infinities(sink);
        }
        self.node.to_json()
    }

    fn refuse_infinities(&self, sink: &mut Sink) {
        match &self.node.value {
            NodeValue::Float(number) if !number.is_finite() => {
                let message = format!("`{}` has to be a finite number, not {number}", self.name);
                self.say(sink, Diagnostic::error(Code::ValueNotAllowed, message));
            }
            NodeValue::List(items) => {
                for (index, node) in items.iter().enumerate() {
                    let (pointer, name) = (format!("{}/{index}", self.pointer), format!("{}[{index}]", self.name));
                    Field { node, pointer, name: name.into() }.refuse_infinities(sink);
                }
            }
            NodeValue::Map(entries) => {
                for (key, node) in entries {
                    let pointer = format!("{}/{}", self.pointer, pointer_step(&key.name));
                    Field { node, pointer, name: format!("{}.{}", self.name, key.name).into() }.refuse_infinities(sink);
                }
            }
            _ => {}
        }
    }
}

/// Whether a value holds a number that JSON hasn't.
fn holds_infinity(node: &Node) -> bool {
    match &node.value {
        NodeValue::Float(number) => !number.is_finite(),
        NodeValue::List(items) => items.iter().any(|item| holds_infinity(item)),
        NodeValue::Map(entries) => entries.iter().any(|(_, node)| holds_infinity(node)),
        _ => false,
    }
}

/// A mapping whose keys are taken one by one, so that those which nobody takes can be named.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    pub(super) origin: &'a Origin,
    pub(super) pointer: String,
    entries: &'a [(Key, Arc<Node>)],
    /// Of each entry, whether somebody took it.
    taken: Vec<bool>,
}

impl<'a> Fields<'a> {
    /// The keys of a mapping; says what is wrong if it is none. `what` names it: "a pipeline".
    pub(super) fn of(node: &'a Node, pointer: &str, what: &str, sink: &mut Sink) -> Option<Self> {
        let Some(entries) = node.as_map() else {
            let message = format!("{what} has to be a mapping, not {}", node.kind());
            sink.add(&node.origin, pointer, Diagnostic::error(Code::WrongShape, message));
            return None;
        };
        Some(Self { origin: &node.origin, pointer: pointer.to_owned(), entries, taken: vec![false; entries.len()] })
    }

    /// The value of a key. A key without a value counts as missing.
    pub(super) fn take(&mut self, key: &str) -> Option<Field<'a>> {
        let at = self.entries.iter().position(|(name, _)| &*name.name == key)?;
        self.taken[at] = true;
        let (name, node) = &self.entries[at];
        (!node.is_null()).then(|| self.field(name, node))
    }

    /// The value of the first of two keys that say the same thing; both at once are an error.
    pub(super) fn either(&mut self, key: &str, other: &str, sink: &mut Sink) -> Option<Field<'a>> {
        match (self.take(key), self.take(other)) {
            (Some(_), Some(second)) => {
                self.conflict(&second, key, sink);
                None
            }
            (first, second) => first.or(second),
        }
    }

    /// Says that a value stands in the way of the key `other`.
    pub(super) fn conflict(&self, field: &Field<'_>, other: &str, sink: &mut Sink) {
        let message = format!("`{}` and `{other}` say the same thing: give one of them", field.name);
        field.say(sink, Diagnostic::error(Code::ConflictingKeys, message));
    }

    /// The value of a key that must be there; `what` names the mapping: "a pipeline".
    pub(super) fn require(&mut self, key: &str, what: &str, sink: &mut Sink) -> Option<Field<'a>> {
        let found = self.take(key);
        if found.is_none() {
            let finding = Diagnostic::error(Code::MissingKey, format!("{what} needs `{key}`"));
            let near = |at: &usize| !self.taken[*at] && nearest(&self.entries[*at].0.name, [key]).is_some();
            match (0..self.entries.len()).find(near) {
                Some(at) => {
                    self.taken[at] = true;
                    let (name, node) = &self.entries[at];
                    let field = self.field(name, node);
                    let hint = format!("there is `{}`: was `{key}` meant?", name.name);
                    sink.add(&name.origin, &field.pointer, finding.hint(hint));
                }
                None => sink.add(self.origin, &self.pointer, finding),
            }
        }
        found
    }

    fn field(&self, key: &'a Key, node: &'a Arc<Node>) -> Field<'a> {
        let pointer = format!("{}/{}", self.pointer, pointer_step(&key.name));
        Field { node, pointer, name: Cow::Borrowed(&key.name) }
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(name, _)| &*name.name == key)
    }

    /// The value of a key, which stays as untaken as it was; null counts as one.
    pub(super) fn peek(&self, key: &str) -> Option<&'a Node> {
        self.entries.iter().find(|(name, _)| &*name.name == key).map(|(_, node)| &**node)
    }

    /// The keys that nobody took.
    pub(super) fn untaken(&self) -> impl Iterator<Item = (&'a Key, Field<'a>)> {
        let entries = self.entries.iter().zip(&self.taken).filter(|(_, taken)| !**taken);
        entries.map(|((name, node), _)| (name, self.field(name, node)))
    }

    /// Names the keys that nobody took: in Spinnaker's dialect as warnings, as Spinnaker keeps such keys too.
    pub(super) fn finish(&self, known: &[String], what: &str, dialect: Dialect, sink: &mut Sink) {
        for (key, field) in self.untaken() {
            if sink.is_full() {
                return;
            }
            sink.add(&key.origin, &field.pointer, unknown_key(&key.name, known, what, dialect));
        }
    }
}

/// A finding about a key that isn't known in `what`.
pub(super) fn unknown_key(key: &str, known: &[String], what: &str, dialect: Dialect) -> Diagnostic {
    let message = format!("{what} has no field `{}`", cut(key));
    let finding = match dialect {
        Dialect::Longboat => Diagnostic::error(Code::UnknownKey, message),
        Dialect::Spinnaker => Diagnostic::warning(Code::UnknownKey, message),
    };
    let list = || known.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
    let hint = match nearest(key, known.iter().map(String::as_str)) {
        Some(near) => Some(format!("did you mean `{near}`?")),
        None if dialect == Dialect::Longboat => Some(format!("known here: {}", list())),
        None => None,
    };
    hinted(finding, hint)
}

/// A text of an author's as a message quotes it.
pub(super) fn cut(text: &str) -> String {
    if text.chars().count() <= 60 { text.to_owned() } else { text.chars().take(59).chain(['…']).collect() }
}
