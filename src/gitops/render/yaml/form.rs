//! What was read of a module's text before.
//!
//! A template puts placeholders out, and no values: what it yields is a matter of the way that it took through its
//! statements. So the calls of a module mostly yield the same text, and what the parser finds in it, and where that
//! stands in the file, is found once. It is kept under the text, marks included, and the tags of its placeholders:
//! nothing else has a part in it.

use std::borrow::Cow;
use std::sync::{Arc, Mutex};

use granit_parser::{Event, ScanError, Span};

use super::{Input, events};
use crate::gitops::Position;
use crate::gitops::render::engine::Placed;
use crate::gitops::render::reserved;
use crate::gitops::render::session::lock;

/// The most texts of a template that are kept.
const FORMS: usize = 4;
/// The longest text that is kept, in bytes.
const LONGEST: usize = 16 * 1024;

/// What was read of the texts that a template has yielded.
#[derive(Debug, Default)]
pub(in crate::gitops::render) struct Forms(Mutex<Vec<Arc<Form>>>);

/// A text, read.
#[derive(Debug)]
pub(in crate::gitops::render) struct Form {
    marked: String,
    tags: Vec<Option<usize>>,
    /// The text without marks.
    pub(in crate::gitops::render) text: String,
    /// The marks.
    pub(in crate::gitops::render) table: Vec<(u32, u32)>,
    /// The events.
    pub(super) steps: Vec<Step>,
    /// The error that ends them.
    pub(super) error: Option<ScanError>,
}

/// An event of the parser.
#[derive(Debug)]
pub(in crate::gitops::render) struct Step {
    pub(super) event: Event<'static>,
    pub(super) span: Span,
    /// Where it stands in the file.
    pub(super) at: (Position, Position),
    /// The text of a scalar, for all nodes to share.
    pub(super) shared: Option<Arc<str>>,
}

impl Forms {
    /// What is known of a text and its placeholders.
    pub(in crate::gitops::render) fn find(&self, marked: &str, placed: &[Placed]) -> Option<Arc<Form>> {
        let same = |form: &&Arc<Form>| form.marked == marked && form.tags.iter().copied().eq(tags(placed));
        lock(&self.0).iter().find(same).cloned()
    }

    /// Whether there is room for one more, of this length.
    pub(in crate::gitops::render) fn has_room(&self, length: usize) -> bool {
        length <= LONGEST && lock(&self.0).len() < FORMS
    }

    /// Keeps what was read of a text. Yields about how many bytes that takes.
    pub(in crate::gitops::render) fn keep(&self, form: Arc<Form>) -> usize {
        let mut forms = lock(&self.0);
        if forms.len() >= FORMS {
            return 0;
        }
        let bytes = 4 * form.marked.len() + form.steps.len() * size_of::<Step>();
        forms.push(form);
        bytes
    }
}

fn tags(placed: &[Placed]) -> impl Iterator<Item = Option<usize>> {
    placed.iter().map(|placed| placed.tag)
}

impl Form {
    /// Nothing read yet of a text with these placeholders.
    pub(in crate::gitops::render) fn new(marked: String, placed: &[Placed]) -> Self {
        let (text, table) = reserved::strip_marks(&marked);
        Self { marked, tags: tags(placed).collect(), text, table, steps: Vec::new(), error: None }
    }

    /// Reads the text, which is that of the input.
    pub(in crate::gitops::render) fn read(input: &Input<'_>) -> (Vec<Step>, Option<ScanError>) {
        let mut steps = Vec::new();
        for event in events(input.text) {
            let (event, span) = match event {
                Ok(event) => event,
                Err(error) => return (steps, Some(error)),
            };
            let origin = input.origin(&span);
            let shared = match &event {
                Event::Scalar(text, ..) => Some(Arc::from(&**text)),
                _ => None,
            };
            let at = match &event {
                // The end of a list or mapping may be a place of no extent.
                Event::SequenceEnd | Event::MappingEnd => {
                    (origin.start(), input.end(span.byte_range().map_or(0, |range| range.end)))
                }
                _ => (origin.start(), origin.end()),
            };
            steps.extend(owned(event).map(|event| Step { event, span, at, shared }));
        }
        (steps, None)
    }

    /// With what [`Form::read`] found.
    pub(in crate::gitops::render) fn with(self, (steps, error): (Vec<Step>, Option<ScanError>)) -> Self {
        Self { steps, error, ..self }
    }
}

/// An event that stands for itself; nothing for those that mean nothing here. The text of a scalar is left out.
fn owned(event: Event<'_>) -> Option<Event<'static>> {
    let tag = |tag: Option<Cow<'_, granit_parser::Tag>>| tag.map(|tag| Cow::Owned(tag.into_owned()));
    Some(match event {
        Event::DocumentStart(explicit, version) => Event::DocumentStart(explicit, version),
        Event::Anchor(id, name) => Event::Anchor(id, Cow::Owned(name.into_owned())),
        Event::Scalar(_, style, anchor, of) => Event::Scalar(Cow::Borrowed(""), style, anchor, tag(of)),
        Event::SequenceStart(style, anchor, of) => Event::SequenceStart(style, anchor, tag(of)),
        Event::MappingStart(style, anchor, of) => Event::MappingStart(style, anchor, tag(of)),
        Event::SequenceEnd => Event::SequenceEnd,
        Event::MappingEnd => Event::MappingEnd,
        Event::Alias(id) => Event::Alias(id),
        _ => return None,
    })
}
