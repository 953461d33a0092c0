//! Reads rendered text: YAML events become one tree, and placeholders are replaced by their values while it is built,
//! so that lists are flattened, keys compared and mappings merged with the values and not with their placeholders.

use std::collections::HashMap;
use std::sync::Arc;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, StructureStyle, Tag};

use super::budget::Budget;
use super::engine::Placed;
use super::fault::{Fault, Stopped};
use super::file::File;
use super::frame::{Argument, Frame};
use super::prepass::Template;
use super::reserved::{self, Piece};
use super::scalar::{self, TooLarge};
use super::value::measure;
use super::{call, origin};
use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::gitops::{Key, Node, NodeValue, Origin, Position};

/// How the text's offsets lead to places in the file.
pub(super) enum Places<'a> {
    /// The text is the file's own.
    Plain,
    /// The text was put together by a template: marks, in ascending order, and the values that were put out.
    Marked { table: &'a [(u32, u32)], placed: &'a [Placed] },
}

/// A text to read.
pub(super) struct Input<'a> {
    /// The text, without marks.
    pub(super) text: &'a str,
    /// The file that it came from.
    pub(super) file: &'a File,
    /// Where the text starts in the file.
    pub(super) base: usize,
    /// How to find places in the file.
    pub(super) places: Places<'a>,
    /// The template that yielded it; not used for a plain text.
    pub(super) template: &'a Template,
    /// Who calls modules; nothing in files that are only data.
    pub(super) frame: Option<&'a Arc<Frame>>,
    /// An origin with the chain that every value gets.
    pub(super) origin: Origin,
    /// What may be used.
    pub(super) budget: &'a Budget,
}

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// The document; nothing if it is broken. An empty text is null.
    pub(super) root: Option<Arc<Node>>,
    /// What is wrong with it.
    pub(super) findings: Vec<Diagnostic>,
    /// Whether a limit was reached.
    pub(super) stopped: bool,
}

impl Input<'_> {
    fn placed(&self, number: u32) -> Option<&Placed> {
        match self.places {
            Places::Plain => None,
            Places::Marked { placed, .. } => placed.get(number as usize),
        }
    }

    /// The place in the file of what stands at an offset of the text: the nearest mark before it, and the characters
    /// between; of a placeholder its tag.
    fn start(&self, offset: usize) -> Position {
        let at = match reserved::placeholder_at(self.text, offset).and_then(|number| self.tag(number)) {
            Some(tag) => tag.start,
            None => self.offset(offset),
        };
        self.file.position(at)
    }

    fn end(&self, offset: usize) -> Position {
        let at = match reserved::placeholder_before(self.text, offset).and_then(|number| self.tag(number)) {
            Some(tag) => tag.end,
            // The end belongs to what is before it, which may be the last of its line.
            None => offset.checked_sub(1).map_or(self.base, |before| self.offset(before) + 1),
        };
        self.file.position(at)
    }

    fn tag(&self, number: u32) -> Option<&super::prepass::Tag> {
        self.template.tags.get(self.placed(number)?.tag?)
    }

    fn offset(&self, offset: usize) -> usize {
        match self.places {
            Places::Plain => self.base + offset,
            Places::Marked { table, .. } => {
                let after = table.partition_point(|(at, _)| *at as usize <= offset);
                match after.checked_sub(1).map(|last| table[last]) {
                    Some((at, mark)) => {
                        self.template.marks.get(mark as usize).map_or(self.base, |mark| mark + offset - at as usize)
                    }
                    None => self.base,
                }
            }
        }
    }

    fn origin(&self, span: &Span) -> Origin {
        let range = span.byte_range().unwrap_or(0..0);
        let start = self.start(range.start);
        let end = if range.end > range.start { self.end(range.end) } else { start };
        self.origin.spanning(start, end.max(start))
    }
}

/// Reads a text of one document.
pub(super) fn read(input: &Input<'_>) -> Read {
    let mut builder =
        Builder { input, stack: Vec::new(), anchors: HashMap::new(), root: None, documents: 0, read: Read::default() };
    let options = granit_parser::options! {
        emit_comments: false,
        emit_anchor_events: true,
        disallow_directives: true,
    };
    for event in Parser::new_from_str_with_options(input.text, options) {
        let step = match event {
            Ok((event, span)) => builder.event(event, &span),
            Err(error) => {
                builder.syntax(&error);
                return builder.read;
            }
        };
        if let Err(Stopped) = step {
            builder.read.stopped = true;
            return builder.read;
        }
    }
    let Builder { root, mut read, .. } = builder;
    let empty = || Arc::new(Node { value: NodeValue::Null, origin: input.origin(&Span::default()) });
    read.root = Some(root.map_or_else(empty, |built| built.node));
    read
}

/// A value that is complete.
struct Built {
    node: Arc<Node>,
    /// As an item of a list, a list takes the item's place, and null leaves it out.
    yielded: Yielded,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Yielded {
    /// Written as it stands.
    No,
    /// By a tag.
    Tag,
    /// By a module: nothing is nothing, not null.
    Module,
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

struct Entry {
    key: Key,
    node: Arc<Node>,
    /// Whether the entry is `<<`.
    merge: bool,
}

enum PendingKey {
    Key {
        key: Key,
        merge: bool,
    },
    /// A key that is an error; its value is read and dropped.
    Refused,
}

struct Builder<'a> {
    input: &'a Input<'a>,
    stack: Vec<Open>,
    /// The nodes that aliases stand for; nothing as long as the node is open.
    anchors: HashMap<usize, Option<Arc<Node>>>,
    root: Option<Built>,
    documents: usize,
    read: Read,
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, span: &Span) -> Result<(), Stopped> {
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents == 2 {
                    let finding = Diagnostic::error(Code::WrongShape, "the file holds more than one document")
                        .hint("one file is one document: remove the `---`, or make two files of it");
                    self.report(finding, &self.input.origin(span));
                }
            }
            Event::Anchor(_, name) if reserved::find(&name).is_some() => {
                let finding = Diagnostic::error(Code::YamlSyntax, "the name of an anchor can't come from a template")
                    .hint("write the value where it is needed: templates need no anchors");
                self.report(finding, &self.input.origin(span));
            }
            Event::Scalar(text, style, anchor, tag) => self.scalar(&text, style, anchor, tag.as_deref(), span)?,
            Event::SequenceStart(style, anchor, tag) => {
                self.open(OpenKind::List(Vec::new()), style, anchor, tag.as_deref(), span)?;
            }
            Event::MappingStart(style, anchor, tag) => {
                let kind = OpenKind::Map { entries: Vec::new(), key: None };
                self.open(kind, style, anchor, tag.as_deref(), span)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span)?,
            Event::Alias(id) => self.alias(id, span)?,
            _ => {}
        }
        Ok(())
    }

    fn report(&mut self, finding: Diagnostic, origin: &Origin) {
        self.read.findings.push(origin.locate(finding));
    }

    fn exhausted(&mut self, fault: &Fault, origin: &Origin) -> Stopped {
        self.report(fault.finding(), origin);
        Stopped
    }

    fn charge(&mut self, nodes: usize, origin: &Origin) -> Result<(), Stopped> {
        self.input.budget.nodes(nodes).map_err(|fault| self.exhausted(&fault, origin))
    }

    fn check_depth(&mut self, below: usize, origin: &Origin) -> Result<(), Stopped> {
        let max = self.input.budget.limits().depth;
        if self.stack.len() + below <= max {
            return Ok(());
        }
        let fault = Fault::new(Code::TooManyNodes, format!("lists and mappings nest deeper than {max} levels"))
            .hint("nest less");
        Err(self.exhausted(&fault, origin))
    }

    fn syntax(&mut self, error: &ScanError) {
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
    fn check_tag(&mut self, tag: Option<&Tag>, span: &Span, allowed: &[&str]) {
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
        let origin = self.input.origin(span);
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
            let end = self.input.end(span.byte_range().map_or(0, |range| range.end));
            origin = origin.spanning(origin.start(), end.max(origin.start()));
        }
        let (value, entries) = match kind {
            OpenKind::List(items) => (NodeValue::List(items), None),
            OpenKind::Map { entries, .. } => {
                let entries = self.merge(entries)?;
                let call = entries.iter().any(|(key, _)| &*key.name == "use") && self.input.frame.is_some();
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
    fn complete(&mut self, built: Built, anchor: usize) -> Result<(), Stopped> {
        if anchor != 0 {
            self.anchors.insert(anchor, Some(built.node.clone()));
        }
        let at_key = matches!(self.stack.last(), Some(Open { kind: OpenKind::Map { key: None, .. }, .. }));
        if at_key {
            let finding = Diagnostic::error(Code::WrongShape, format!("{} can't be a key", built.node.kind()))
                .hint("a key is text; put it in quotes if it starts with `{` or `[`");
            let origin = built.node.origin.clone();
            self.report(finding, &origin);
        }
        match self.stack.last_mut().map(|open| &mut open.kind) {
            None => self.root = self.root.take().or(Some(built)),
            Some(OpenKind::List(items)) => match (&built.node.value, built.yielded) {
                (NodeValue::List(inner), Yielded::Tag | Yielded::Module) => items.extend(inner.iter().cloned()),
                (NodeValue::Null, Yielded::Module) => {}
                _ => items.push(built.node),
            },
            Some(OpenKind::Map { entries, key }) => match key.take() {
                None => *key = Some(PendingKey::Refused),
                Some(PendingKey::Refused) => {}
                Some(PendingKey::Key { key, merge }) => entries.push(Entry { key, node: built.node, merge }),
            },
        }
        Ok(())
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        span: &Span,
    ) -> Result<(), Stopped> {
        let origin = self.input.origin(span);
        let at_key = matches!(self.stack.last(), Some(Open { kind: OpenKind::Map { key: None, .. }, .. }));
        let built = self.built(text, style, tag, span, origin)?;
        if !at_key {
            return self.complete(built, anchor);
        }
        if anchor != 0 {
            self.anchors.insert(anchor, Some(built.node.clone()));
        }
        let plain = style == ScalarStyle::Plain && reserved::find(text).is_none();
        let name = match &built.node.value {
            // A plain key is the text that is written: `010: x` has the key `010`.
            NodeValue::Null => None,
            _ if plain => Some(text.into()),
            value => scalar::text(value).map(Arc::from),
        };
        match name {
            Some(name) => {
                let key = Key { name, origin: built.node.origin.clone() };
                self.key(PendingKey::Key { key, merge: plain && text == "<<" });
            }
            None => {
                let finding = Diagnostic::error(Code::WrongShape, format!("{} can't be a key", built.node.kind()))
                    .hint("a key is text");
                let origin = built.node.origin.clone();
                self.report(finding, &origin);
                self.key(PendingKey::Refused);
            }
        }
        Ok(())
    }

    fn key(&mut self, pending: PendingKey) {
        if let Some(Open { kind: OpenKind::Map { key, .. }, .. }) = self.stack.last_mut() {
            *key = Some(pending);
        }
    }

    /// A scalar's value, placeholders replaced.
    fn built(
        &mut self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        span: &Span,
        origin: Origin,
    ) -> Result<Built, Stopped> {
        self.charge(1, &origin)?;
        let node = |value, origin| Built { node: Arc::new(Node { value, origin }), yielded: Yielded::No };
        if reserved::find(text).is_none() {
            let value = self.literal(text, style, tag, span, &origin);
            return Ok(node(value, origin));
        }
        if tag.is_some() {
            let finding = Diagnostic::error(Code::TagOnTemplateValue, "a YAML tag stands on a value of a template")
                .hint("leave the tag out: the value keeps its type; in quotes it is text");
            self.report(finding, &origin);
        }
        // An escape in a quoted text can spell a placeholder; then the text as written has fewer of these characters.
        let written = span.slice(self.input.text).map_or(0, reserved::count);
        let pieces = reserved::pieces(text).filter(|_| written == reserved::count(text));
        let Some(pieces) = pieces else {
            let message =
                "a text spells a character between U+FDD0 and U+FDEF, which Unicode reserves for use inside programs";
            self.report(Diagnostic::error(Code::ReservedCharacter, message), &origin);
            return Ok(node(NodeValue::Null, origin));
        };
        if let [Piece::Value(number)] = pieces[..]
            && let Some(placed) = self.input.placed(number)
        {
            let container = matches!(placed.node.value, NodeValue::List(_) | NodeValue::Map(_));
            match style {
                ScalarStyle::Plain => return self.value(number, &origin, span),
                ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted if container => {
                    let built = self.value(number, &origin, span)?;
                    return Ok(Built { yielded: Yielded::No, ..built });
                }
                _ => {}
            }
        }
        let (value, origin) = self.joined(&pieces, origin);
        Ok(node(value, origin))
    }

    fn literal(
        &mut self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        span: &Span,
        origin: &Origin,
    ) -> NodeValue {
        if tag.is_none() && style != ScalarStyle::Plain {
            return NodeValue::String(text.into());
        }
        let resolved = scalar::resolve(text);
        let kind = match (&resolved, style) {
            _ if tag.is_none() => "",
            (Ok(NodeValue::Null), ScalarStyle::Plain) => "null",
            (Ok(NodeValue::Bool(_)), ScalarStyle::Plain) => "bool",
            (Ok(NodeValue::Int(_)), ScalarStyle::Plain) => "int",
            (Ok(NodeValue::Float(_)), ScalarStyle::Plain) => "float",
            _ => "str",
        };
        self.check_tag(tag, span, &["str", kind]);
        if tag.is_some_and(|tag| tag.core_suffix().is_none_or(|suffix| suffix == "str")) || kind == "str" {
            return NodeValue::String(text.into());
        }
        resolved.unwrap_or_else(|TooLarge| {
            let finding = Diagnostic::error(
                Code::NumberTooLarge,
                format!("the number {} has more digits than can be kept", clip(text)),
            )
            .hint("if it is a name or an id, put it in quotes");
            self.report(finding, origin);
            NodeValue::String(text.into())
        })
    }

    /// A value that stands alone in its scalar.
    fn value(&mut self, number: u32, origin: &Origin, span: &Span) -> Result<Built, Stopped> {
        let Some(placed) = self.input.placed(number) else {
            return Ok(Built {
                node: Arc::new(Node { value: NodeValue::Null, origin: origin.clone() }),
                yielded: Yielded::No,
            });
        };
        let (size, depth) = measure(&placed.node, self.input.budget.nodes_left());
        self.charge(size, origin)?;
        self.check_depth(depth, origin)?;
        let tag = self.input.tag(number);
        let filter = tag.and_then(|tag| tag.expression.textual).filter(|_| placed.node.as_str().is_some());
        let module = tag.is_some_and(|tag| tag.expression.calls_module);
        let node = match tag {
            Some(_) => placed.node.clone(),
            // What a `call` or `filter` block yields has no tag; it stands where its placeholder does.
            None => Arc::new(Node { value: placed.node.value.clone(), origin: self.input.origin(span) }),
        };
        if let Some(filter) = filter {
            let finding = Diagnostic::warning(
                Code::TextFilter,
                format!("`|{filter}` makes text of the value; without it, the value itself would stand here"),
            )
            .hint(format!("leave `|{filter}` out, or put the tag in quotes if text is meant"));
            self.report(finding, origin);
        }
        Ok(Built { node, yielded: if module { Yielded::Module } else { Yielded::Tag } })
    }

    /// Values inside of a longer text.
    fn joined(&mut self, pieces: &[Piece<'_>], origin: Origin) -> (NodeValue, Origin) {
        let mut text = String::new();
        let mut through = origin.through().to_vec();
        for piece in pieces {
            let number = match piece {
                Piece::Text(part) => {
                    text.push_str(part);
                    continue;
                }
                Piece::Value(number) => *number,
            };
            let Some(placed) = self.input.placed(number) else { continue };
            let node = placed.node.clone();
            if placed.tag.is_some() {
                origin::extend(&mut through, std::iter::once(node.origin.place()));
                origin::extend(&mut through, node.origin.through().iter().cloned());
            }
            match scalar::text(&node.value) {
                Some(part) => text.push_str(&part),
                None => {
                    let finding = Diagnostic::error(Code::WrongType, format!("{} stands inside a text", node.kind()))
                        .hint("let the tag stand alone to place the value itself, or use `|join(\", \")` or `|tojson`");
                    let place = self.input.tag(number).map_or_else(
                        || origin.clone(),
                        |tag| {
                            let file = self.input.file;
                            self.input.origin.spanning(file.position(tag.start), file.position(tag.end))
                        },
                    );
                    self.report(finding, &place);
                }
            }
        }
        let through: Vec<_> = through.into_iter().filter(|place| *place != origin.place()).collect();
        (NodeValue::String(text.into()), origin.with_through(through))
    }

    fn alias(&mut self, id: usize, span: &Span) -> Result<(), Stopped> {
        let origin = self.input.origin(span);
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
        let at_key = matches!(self.stack.last(), Some(Open { kind: OpenKind::Map { key: None, .. }, .. }));
        if let (true, Some(text)) = (at_key && !node.is_null(), scalar::text(&node.value)) {
            let key = Key { name: text.into(), origin };
            self.key(PendingKey::Key { key, merge: false });
            return Ok(());
        }
        self.complete(Built { node, yielded: Yielded::No }, 0)
    }

    /// A mapping's entries: duplicates reported, `<<` replaced by what it merges. Written keys win, then the first
    /// merged mapping.
    fn merge(&mut self, entries: Vec<Entry>) -> Result<Vec<(Key, Arc<Node>)>, Stopped> {
        let mut seen: HashMap<Arc<str>, Option<Origin>> = HashMap::with_capacity(entries.len());
        for Entry { key, .. } in entries.iter().filter(|entry| !entry.merge) {
            if let Some(Some(first)) = seen.get(&key.name) {
                let place = first.place();
                let finding =
                    Diagnostic::error(Code::DuplicateKey, format!("the key `{}` stands twice", clip(&key.name)))
                        .hint(format!("it stands in line {} already; remove one of them", place.line));
                self.report(finding, &key.origin.clone());
            } else {
                seen.insert(key.name.clone(), Some(key.origin.clone()));
            }
        }
        let mut merged: Vec<(Key, Arc<Node>)> = Vec::with_capacity(entries.len());
        for Entry { key, node, merge } in entries {
            if !merge {
                // Only the first of two equal keys is kept.
                if seen.get_mut(&key.name).is_some_and(|origin| origin.take().is_some()) {
                    merged.push((key, node));
                }
                continue;
            }
            let sources = match &node.value {
                NodeValue::List(items) => items.iter().collect(),
                _ => vec![&node],
            };
            for source in sources {
                let NodeValue::Map(inner) = &source.value else {
                    if !source.is_null() {
                        let finding =
                            Diagnostic::error(Code::WrongShape, format!("`<<` can't merge {}", source.kind()))
                                .hint("it merges a mapping, or a list of mappings");
                        self.report(finding, &source.origin.clone());
                    }
                    continue;
                };
                self.charge(inner.len(), &key.origin)?;
                for (name, value) in inner {
                    if !seen.contains_key(&name.name) {
                        seen.insert(name.name.clone(), None);
                        merged.push((name.clone(), value.clone()));
                    }
                }
            }
        }
        Ok(merged)
    }

    /// A mapping with `use` is a call of a module.
    fn call(&mut self, entries: &[(Key, Arc<Node>)], origin: Origin) -> Result<Built, Stopped> {
        let hole = |origin: Origin| Built {
            node: Arc::new(Node { value: NodeValue::Null, origin }),
            yielded: Yielded::Module,
        };
        let Some(frame) = self.input.frame else { return Ok(hole(origin)) };
        let mut arguments = Vec::new();
        let mut module = None;
        let mut good = true;
        for (key, node) in entries {
            let finding = match (&*key.name, &node.value) {
                ("use", NodeValue::String(name)) => {
                    module = Some((name.clone(), node.origin.clone()));
                    continue;
                }
                ("with", NodeValue::Null) => continue,
                ("with", NodeValue::Map(given)) => {
                    arguments.extend(given.iter().map(|(key, node)| Argument {
                        name: key.name.clone(),
                        node: node.clone(),
                        origin: node.origin.clone(),
                    }));
                    continue;
                }
                ("use", _) => {
                    let message = format!("`use` names a module; this is {}", node.kind());
                    node.origin.locate(Diagnostic::error(Code::ModuleCall, message))
                }
                ("with", _) => {
                    let message = format!("`with` holds a module's parameters; this is {}", node.kind());
                    node.origin.locate(Diagnostic::error(Code::ModuleCall, message))
                }
                (other, _) => {
                    let message = format!("`{}` can't stand beside `use`", clip(other));
                    let hint = match nearest(other, ["with"]) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => format!(
                            "a call has `use` and `with`; put `{}` under `with` if the module has such a parameter",
                            clip(other)
                        ),
                    };
                    key.origin.locate(Diagnostic::error(Code::ModuleCall, message).hint(hint))
                }
            };
            good = false;
            self.read.findings.push(finding);
        }
        let Some((name, site)) = module.filter(|_| good) else {
            frame.work.failed()?;
            return Ok(hole(origin));
        };
        let Some(node) = call::invoke(frame, &name, arguments, &site, origin.start())? else { return Ok(hole(origin)) };
        let (size, depth) = measure(&node, self.input.budget.nodes_left());
        self.charge(size, &site)?;
        self.check_depth(depth, &site)?;
        Ok(Built { node, yielded: Yielded::Module })
    }
}

/// The start of a text that may be long, for messages.
fn clip(text: &str) -> String {
    if text.chars().count() <= 60 { text.to_owned() } else { text.chars().take(59).chain(['…']).collect() }
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
