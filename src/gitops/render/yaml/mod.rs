//! Reads rendered text: YAML events become one tree, and placeholders are replaced by their values while it is built,
//! so that lists are flattened, keys compared and mappings merged with the values and not with their placeholders.

mod build;
mod form;
mod mapping;
mod scalars;

use std::sync::Arc;

use granit_parser::{Event, Parser, ScanError, Span};

use self::build::Builder;
pub(in crate::gitops::render) use self::form::{Form, Forms};
use super::budget::Budget;
use super::engine::Placed;
use super::fault::Stopped;
use super::file::File;
use super::frame::Frame;
use super::reserved;
use super::template::{Tag, Template};
use crate::diagnostic::Diagnostic;
use crate::gitops::{Node, NodeValue, Origin, Position};

/// How the text's offsets lead to places in the file.
pub(in crate::gitops::render) enum Places<'a> {
    /// The text is the file's own.
    Plain,
    /// The text was put together by a template: marks, in ascending order, and the values that were put out.
    Marked { table: &'a [(u32, u32)], placed: &'a [Placed] },
}

/// A text to read.
pub(in crate::gitops::render) struct Input<'a> {
    /// The text, without marks.
    pub(in crate::gitops::render) text: &'a str,
    /// The file that it came from.
    pub(in crate::gitops::render) file: &'a File,
    /// Where the text starts in the file.
    pub(in crate::gitops::render) base: usize,
    /// How to find places in the file.
    pub(in crate::gitops::render) places: Places<'a>,
    /// The template that yielded it; not used for a plain text.
    pub(in crate::gitops::render) template: &'a Template,
    /// Who calls modules; nothing in files that are only data.
    pub(in crate::gitops::render) frame: Option<&'a Arc<Frame>>,
    /// An origin with the chain that every value gets.
    pub(in crate::gitops::render) origin: Origin,
    /// What may be used.
    pub(in crate::gitops::render) budget: &'a Budget,
}

/// What was read.
#[derive(Debug, Default)]
pub(in crate::gitops::render) struct Read {
    /// The document; nothing if it is broken. An empty text is null.
    pub(in crate::gitops::render) root: Option<Arc<Node>>,
    /// What is wrong with it.
    pub(in crate::gitops::render) findings: Vec<Diagnostic>,
    /// Whether a limit was reached.
    pub(in crate::gitops::render) stopped: bool,
}

impl Input<'_> {
    /// The value of a placeholder.
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

    /// The place in the file where what stands before an offset ends.
    fn end(&self, offset: usize) -> Position {
        let at = match reserved::placeholder_before(self.text, offset).and_then(|number| self.tag(number)) {
            Some(tag) => tag.end,
            // The end belongs to what is before it, which may be the last of its line.
            None => offset.checked_sub(1).map_or(self.base, |before| self.offset(before) + 1),
        };
        self.file.position(at)
    }

    /// The tag of a placeholder.
    fn tag(&self, number: u32) -> Option<&Tag> {
        self.template.tags.get(self.placed(number)?.tag?)
    }

    /// The offset in the file that an offset of the text came from.
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

    /// The origin of what stands at a stretch of the text.
    fn origin(&self, span: &Span) -> Origin {
        let range = span.byte_range().unwrap_or(0..0);
        let start = self.start(range.start);
        let end = if range.end > range.start { self.end(range.end) } else { start };
        self.origin.spanning(start, end.max(start))
    }
}

/// What the parser finds in a text.
fn events(text: &str) -> impl Iterator<Item = Result<(Event<'_>, Span), ScanError>> {
    let options = granit_parser::options! {
        emit_comments: false,
        emit_anchor_events: true,
        disallow_directives: true,
    };
    Parser::new_from_str_with_options(text, options)
}

/// Reads a text of one document.
pub(in crate::gitops::render) fn read(input: &Input<'_>) -> Read {
    let mut builder = Builder::new(input);
    for event in events(input.text) {
        let step = match event {
            Ok((event, span)) => builder.event(&event, &span, None),
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
    end(builder)
}

/// Reads a text of which it is known what the parser finds in it: the form's own.
pub(in crate::gitops::render) fn read_form(input: &Input<'_>, form: &Form) -> Read {
    let mut builder = Builder::new(input);
    for step in &form.steps {
        builder.at = Some(step.at);
        if let Err(Stopped) = builder.event(&step.event, &step.span, step.shared.as_ref()) {
            builder.read.stopped = true;
            return builder.read;
        }
    }
    if let Some(error) = &form.error {
        builder.syntax(error);
        return builder.read;
    }
    end(builder)
}

fn end(builder: Builder<'_>) -> Read {
    let empty = || Arc::new(Node { value: NodeValue::Null, origin: builder.input.origin(&Span::default()) });
    Read { root: Some(builder.root.unwrap_or_else(empty)), ..builder.read }
}

/// The start of a text that may be long, for messages.
fn clip(text: &str) -> String {
    if text.chars().count() <= 60 { text.to_owned() } else { text.chars().take(59).chain(['…']).collect() }
}
