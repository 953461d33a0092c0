//! Scalars: written ones, placeholders that stand alone, and texts with placeholders in them.

use std::sync::Arc;

use granit_parser::{ScalarStyle, Span, Tag};

use super::build::{Builder, Built, PendingKey, Role, Text, Yielded};
use super::clip;
use crate::diagnostic::{Code, Diagnostic};
use crate::gitops::render::fault::Stopped;
use crate::gitops::render::reserved::Piece;
use crate::gitops::render::scalar::TooLarge;
use crate::gitops::render::value::measure;
use crate::gitops::render::{origin, reserved, scalar};
use crate::gitops::{Key, Node, NodeValue, Origin};

/// Whether a scalar, as a key, is the text that is written, and nothing else: most keys are.
fn is_word(text: &str, style: ScalarStyle) -> bool {
    style == ScalarStyle::Plain && scalar::is_text(text) && reserved::find(text).is_none()
}

impl Builder<'_> {
    /// A scalar, as a key or as a value.
    pub(super) fn scalar(
        &mut self,
        text: Text<'_>,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        span: &Span,
        origin: Origin,
    ) -> Result<(), Stopped> {
        let at_key = self.at_key();
        if at_key && anchor == 0 && tag.is_none() && is_word(text.as_str(), style) {
            self.charge(1, &origin)?;
            let role = if text.as_str() == "use" { Role::Call } else { Role::Name };
            self.key(PendingKey::Key { key: Key { name: text.to_shared(), origin }, role });
            return Ok(());
        }
        let built = self.built(text, style, tag, span, origin)?;
        if !at_key {
            return self.complete(built, anchor);
        }
        if anchor != 0 {
            self.anchors.insert(anchor, Some(built.node.clone()));
        }
        let whole = text;
        let text = text.as_str();
        let plain = style == ScalarStyle::Plain && reserved::find(text).is_none();
        let name = match &built.node.value {
            // A plain key is the text that is written: `010: x` has the key `010`.
            NodeValue::Null => None,
            _ if plain => Some(whole.to_shared()),
            value => scalar::text(value).map(Arc::from),
        };
        match name {
            Some(name) => {
                let key = Key { name, origin: built.node.origin.clone() };
                let role = match text {
                    "<<" if plain => Role::Merge,
                    "use" => Role::Call,
                    _ => Role::Name,
                };
                self.key(PendingKey::Key { key, role });
            }
            None if self.has_hole(text) => self.key(PendingKey::Refused),
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

    /// A scalar's value, placeholders replaced.
    fn built(
        &mut self,
        text: Text<'_>,
        style: ScalarStyle,
        tag: Option<&Tag>,
        span: &Span,
        origin: Origin,
    ) -> Result<Built, Stopped> {
        self.charge(1, &origin)?;
        let node = |value, origin| Built { node: Arc::new(Node { value, origin }), yielded: Yielded::No };
        if reserved::find(text.as_str()).is_none() {
            let value = self.literal(text, style, tag, span, &origin);
            return Ok(node(value, origin));
        }
        let text = text.as_str();
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

    /// Whether a part of a text isn't known.
    fn has_hole(&self, text: &str) -> bool {
        let is_hole = |piece: &Piece<'_>| match piece {
            Piece::Value(number) => self.input.placed(*number).is_some_and(|placed| placed.is_hole),
            Piece::Text(_) => false,
        };
        reserved::find(text).is_some() && reserved::pieces(text).is_some_and(|pieces| pieces.iter().any(is_hole))
    }

    fn literal(
        &mut self,
        text: Text<'_>,
        style: ScalarStyle,
        tag: Option<&Tag>,
        span: &Span,
        origin: &Origin,
    ) -> NodeValue {
        if tag.is_none() && (style != ScalarStyle::Plain || scalar::is_text(text.as_str())) {
            return NodeValue::String(text.to_shared());
        }
        let text = text.as_str();
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
            if placed.is_hole {
                // What is known of a part of a text says nothing about the whole.
                return (NodeValue::Null, origin);
            }
            let node = placed.node.clone();
            if placed.tag.is_some() {
                origin::extend(&mut through, std::iter::once(node.origin.spot().clone()));
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
        through.retain(|spot| spot != origin.spot());
        (NodeValue::String(text.into()), origin.with_through(through))
    }
}
