//! Builds the tree from events.

use std::collections::HashMap;
use std::sync::Arc;

use granit_parser::{Event, ScanError, Span, StructureStyle, Tag};

use super::{Input, Read};
use crate::diagnostic::{Code, Diagnostic};
use crate::gitops::render::fault::{Fault, Stopped};
use crate::gitops::render::value::measure;
use crate::gitops::render::{reserved, scalar};
use crate::gitops::{Key, Node, NodeValue, Origin, Position};

/// A value that is complete.
pub(super) struct Built {
    pub(super) node: Arc<Node>,
    /// As an item of a list, a list takes the item's place, and null leaves it out.
    pub(super) yielded: Yielded,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Yielded {
    /// Written as it stands.
    No,
    /// By a tag.
    Tag,
    /// By a module: nothing is nothing, not null.
    Module,
}

/// The text of a scalar.
#[derive(Clone, Copy)]
pub(super) enum Text<'t> {
    /// As the parser hands it out.
    Read(&'t str),
    /// As earlier nodes have it.
    Shared(&'t Arc<str>),
}

impl<'t> Text<'t> {
    pub(super) fn as_str(self) -> &'t str {
        match self {
            Self::Read(text) => text,
            Self::Shared(text) => text,
        }
    }

    /// The text for a node or a key to hold.
    pub(super) fn to_shared(self) -> Arc<str> {
        match self {
            Self::Read(text) => text.into(),
            Self::Shared(text) => text.clone(),
        }
    }
}

/// A list or mapping that is not complete.
struct Open {
    kind: OpenKind,
    origin: Origin,
    style: StructureStyle,
    anchor: usize,
}

enum OpenKind {
    List(Vec<Arc<Node>>),
    Map { entries: Vec<Entry>, key: Option<PendingKey> },
}

pub(super) struct Entry {
    pub(super) key: Key,
    pub(super) node: Arc<Node>,
    pub(super) role: Role,
}

/// What a key does. Only a key that is written as it stands does anything: what a template yields is a name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Name,
    /// `<<`
    Merge,
    /// `use`
    Call,
}

pub(super) enum PendingKey {
    Key {
        key: Key,
        role: Role,
    },
    /// A key that is an error; its value is read and dropped.
    Refused,
}

pub(super) struct Builder<'a> {
    pub(super) input: &'a Input<'a>,
    stack: Vec<Open>,
    /// The nodes that aliases stand for; nothing as long as the node is open.
    pub(super) anchors: HashMap<usize, Option<Arc<Node>>>,
    /// The document.
    pub(super) root: Option<Arc<Node>>,
    documents: usize,
    /// Where the event stands in the file, if that is known already.
    pub(super) at: Option<(Position, Position)>,
    pub(super) read: Read,
}

impl<'a> Builder<'a> {
    /// Nothing read yet.
    pub(super) fn new(input: &'a Input<'a>) -> Self {
        Self {
            input,
            stack: Vec::new(),
            anchors: HashMap::new(),
            root: None,
            documents: 0,
            at: None,
            read: Read::default(),
        }
    }

    /// Where an event stands.
    fn origin(&self, span: &Span) -> Origin {
        match self.at {
            Some((start, end)) => self.input.origin.spanning(start, end),
            None => self.input.origin(span),
        }
    }

    /// Takes one event; `shared` is the text of a scalar, if it is at hand.
    pub(super) fn event(&mut self, event: &Event<'_>, span: &Span, shared: Option<&Arc<str>>) -> Result<(), Stopped> {
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents == 2 {
                    let finding = Diagnostic::error(Code::WrongShape, "the file holds more than one document")
                        .hint("one file is one document: remove the `---`, or make two files of it");
                    self.report(finding, &self.input.origin(span));
                }
            }
            Event::Anchor(_, name) if reserved::find(name).is_some() => {
                let finding = Diagnostic::error(Code::YamlSyntax, "the name of an anchor can't come from a template")
                    .hint("write the value where it is needed: templates need no anchors");
                self.report(finding, &self.input.origin(span));
            }
            Event::Scalar(text, style, anchor, tag) => {
                let text = match shared {
                    Some(shared) => Text::Shared(shared),
                    None => Text::Read(text),
                };
                let origin = self.origin(span);
                self.scalar(text, *style, *anchor, tag.as_deref(), span, origin)?;
            }
            Event::SequenceStart(style, anchor, tag) => {
                self.open(OpenKind::List(Vec::new()), *style, *anchor, tag.as_deref(), span)?;
            }
            Event::MappingStart(style, anchor, tag) => {
                let kind = OpenKind::Map { entries: Vec::new(), key: None };
                self.open(kind, *style, *anchor, tag.as_deref(), span)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span)?,
            Event::Alias(id) => self.alias(*id, span)?,
            _ => {}
        }
        Ok(())
    }

    pub(super) fn report(&mut self, finding: Diagnostic, origin: &Origin) {
        self.read.findings.push(origin.locate(finding));
    }

    pub(super) fn exhausted(&mut self, fault: &Fault, origin: &Origin) -> Stopped {
        self.report(fault.finding(), origin);
        Stopped
    }

    pub(super) fn charge(&mut self, nodes: usize, origin: &Origin) -> Result<(), Stopped> {
        self.input.budget.nodes(nodes).map_err(|fault| self.exhausted(&fault, origin))
    }

    pub(super) fn check_depth(&mut self, below: usize, origin: &Origin) -> Result<(), Stopped> {
        let max = self.input.budget.limits().depth;
        if self.stack.len() + below <= max {
            return Ok(());
        }
        let fault = Fault::new(Code::TooManyNodes, format!("lists and mappings nest deeper than {max} levels"))
            .hint("nest less");
        Err(self.exhausted(&fault, origin))
    }

    pub(super) fn syntax(&mut self, error: &ScanError) {
        let offset = error.marker().byte_offset().unwrap_or(0);
        let position = self.input.start(offset);
        let line = self.input.file.line_at(self.input.offset(offset));
        let message = format!("this is not valid YAML: {}", reserved::readable(&error.info()));
        let mut finding = Diagnostic::error(Code::YamlSyntax, message);
        finding.hint = yaml_hint(line, &error.info()).map(str::to_owned);
        let origin = self.input.origin.spanning(position, position);
        self.report(finding, &origin);
    }

    /// Core tags say what is the case anyway, or make text of a scalar; others mean nothing here.
    pub(super) fn check_tag(&mut self, tag: Option<&Tag>, span: &Span, allowed: &[&str]) {
        let Some(tag) = tag else { return };
        let plain = if tag.original() == "!" { "str" } else { "" };
        let suffix = tag.core_suffix().unwrap_or(plain).to_owned();
        if allowed.contains(&suffix.as_str()) {
            return;
        }
        let name = reserved::readable(&tag.original());
        let finding = Diagnostic::error(Code::TagOnTemplateValue, format!("the YAML tag `{name}` means nothing here"))
            .hint("leave the tag out");
        let place = span.tag_span().unwrap_or(*span);
        self.report(finding, &self.input.origin(&place));
    }

    fn open(
        &mut self,
        kind: OpenKind,
        style: StructureStyle,
        anchor: usize,
        tag: Option<&Tag>,
        span: &Span,
    ) -> Result<(), Stopped> {
        let origin = self.origin(span);
        self.check_tag(tag, span, if matches!(kind, OpenKind::List(_)) { &["seq"] } else { &["map"] });
        self.charge(1, &origin)?;
        if anchor != 0 {
            self.anchors.insert(anchor, None);
        }
        self.stack.push(Open { kind, origin: origin.clone(), style, anchor });
        self.check_depth(0, &origin)
    }

    fn close(&mut self, span: &Span) -> Result<(), Stopped> {
        let Some(Open { kind, mut origin, style, anchor }) = self.stack.pop() else { return Ok(()) };
        if style == StructureStyle::Flow {
            let end = match self.at {
                Some((_, end)) => end,
                None => self.input.end(span.byte_range().map_or(0, |range| range.end)),
            };
            origin = origin.spanning(origin.start(), end.max(origin.start()));
        }
        let (value, entries) = match kind {
            OpenKind::List(items) => (NodeValue::List(items), None),
            OpenKind::Map { entries, .. } => {
                let call = entries.iter().any(|entry| entry.role == Role::Call) && self.input.frame.is_some();
                let entries = self.merge(entries)?;
                if call { (NodeValue::Null, Some(entries)) } else { (NodeValue::Map(entries), None) }
            }
        };
        let built = match entries {
            None => Built { node: Arc::new(Node { value, origin }), yielded: Yielded::No },
            Some(entries) => self.call(&entries, origin)?,
        };
        self.complete(built, anchor)
    }

    /// Hands a complete value to what it is part of.
    pub(super) fn complete(&mut self, built: Built, anchor: usize) -> Result<(), Stopped> {
        if anchor != 0 {
            self.anchors.insert(anchor, Some(built.node.clone()));
        }
        if self.at_key() {
            let finding = Diagnostic::error(Code::WrongShape, format!("{} can't be a key", built.node.kind()))
                .hint("a key is text; put it in quotes if it starts with `{` or `[`");
            let origin = built.node.origin.clone();
            self.report(finding, &origin);
        }
        match self.stack.last_mut().map(|open| &mut open.kind) {
            None => self.root = self.root.take().or(Some(built.node)),
            Some(OpenKind::List(items)) => match (&built.node.value, built.yielded) {
                (NodeValue::List(inner), Yielded::Tag | Yielded::Module) => items.extend(inner.iter().cloned()),
                (NodeValue::Null, Yielded::Module) => {}
                _ => items.push(built.node),
            },
            Some(OpenKind::Map { entries, key }) => match key.take() {
                None => *key = Some(PendingKey::Refused),
                Some(PendingKey::Refused) => {}
                Some(PendingKey::Key { key, role }) => entries.push(Entry { key, node: built.node, role }),
            },
        }
        Ok(())
    }

    fn alias(&mut self, id: usize, span: &Span) -> Result<(), Stopped> {
        let origin = self.origin(span);
        let node = match self.anchors.get(&id) {
            Some(Some(node)) => node.clone(),
            _ => {
                let finding = Diagnostic::error(Code::YamlSyntax, "an alias stands inside of what it stands for")
                    .hint("a value can't contain itself");
                self.report(finding, &origin);
                Arc::new(Node { value: NodeValue::Null, origin: origin.clone() })
            }
        };
        let (size, depth) = measure(&node, self.input.budget.nodes_left());
        self.charge(size, &origin)?;
        self.check_depth(depth, &origin)?;
        if let (true, Some(text)) = (self.at_key() && !node.is_null(), scalar::text(&node.value)) {
            let key = Key { name: text.into(), origin };
            self.key(PendingKey::Key { key, role: Role::Name });
            return Ok(());
        }
        self.complete(Built { node, yielded: Yielded::No }, 0)
    }

    /// Whether the next value is a key.
    pub(super) fn at_key(&self) -> bool {
        matches!(self.stack.last(), Some(Open { kind: OpenKind::Map { key: None, .. }, .. }))
    }

    /// Sets the key of the next value.
    pub(super) fn key(&mut self, pending: PendingKey) {
        if let Some(Open { kind: OpenKind::Map { key, .. }, .. }) = self.stack.last_mut() {
            *key = Some(pending);
        }
    }
}

fn yaml_hint(line: &str, message: &str) -> Option<&'static str> {
    if line.trim_start_matches(' ').starts_with('\t') {
        return Some("YAML is indented with spaces, not with tabs");
    }
    if message.contains("mapping values are not allowed") {
        return Some("a text with `: ` in it needs quotes, and keys of one mapping start in the same column");
    }
    if line.contains("{{") {
        return Some("a tag yields one value; it can't yield indentation, colons or dashes of the YAML around it");
    }
    None
}
