//! Where the value of an expression came from, found without running it: its names are looked up in the call of
//! the module that the template belongs to, and among the variables.

use std::sync::Arc;

use minijinja::value::Value;

use super::expression::{Expression, Path};
use super::file::File;
use super::frame::Frame;
use crate::diagnostic::{MAX_THROUGH, Place};
use crate::gitops::{Node, Origin, Position};

/// The origin of what an expression yields that stands at `here`, a tag or an argument.
///
/// An expression that is nothing but the name of a parameter hands the value on unchanged: its place is then
/// where the caller wrote the value. A variable's place stays the tag, because a variable is used in many
/// places and only this one may be wrong; the variable's line is among the other places.
///
/// `locals` are the names that the template gives a value itself, as they stand when the expression is evaluated.
pub(super) fn of_expression(
    frame: &Frame,
    here: Origin,
    expression: &Expression,
    locals: &dyn Fn(&str) -> Option<Value>,
) -> Origin {
    if let ([path], true) = (&expression.reads[..], expression.bare)
        && let Some(given) = parameter(frame, path)
    {
        let mut through = vec![here.place()];
        extend(&mut through, given.through().iter().cloned());
        return given.with_trail(&frame.chain, through);
    }
    let mut through = Vec::new();
    for path in &expression.reads {
        match local(path, frame, locals) {
            Some(Local::Node(origin)) => extend(&mut through, whole(&origin)),
            Some(Local::Made(sources)) => {
                sources.iter().for_each(|source| extend(&mut through, read(frame, source, here.start())));
            }
            None => extend(&mut through, read(frame, path, here.start())),
        }
    }
    let own = here.place();
    through.retain(|place| *place != own);
    here.with_trail(&frame.chain, through)
}

/// The places that had a part in what the tag at a place of the template's file reads, for an error in it.
pub(super) fn read_at(frame: &Frame, place: &Place) -> Vec<Place> {
    let (tags, file) = (&frame.template.tags, &frame.template.file);
    let at = Position { line: place.line, column: place.column };
    let before = tags.partition_point(|tag| file.position(tag.start) <= at);
    let Some(tag) = before.checked_sub(1).map(|last| &tags[last]).filter(|tag| at < file.position(tag.end)) else {
        return Vec::new();
    };
    let here = file.origin(tag.start, tag.end);
    let mut through = Vec::new();
    for path in &tag.expression.reads {
        extend(&mut through, read(frame, path, here.start()));
        for source in frame.template.sources.get(&path[0]).into_iter().flatten() {
            extend(&mut through, read(frame, source, here.start()));
        }
    }
    through
}

/// The places of a name that is a parameter's or a variable's.
fn read(frame: &Frame, path: &[Box<str>], position: Position) -> Vec<Place> {
    match (parameter(frame, path), variable(frame, path, position)) {
        (Some(given), _) => whole(&given).collect(),
        (None, Some(variable)) => whole(&variable).collect(),
        (None, None) => Vec::new(),
    }
}

fn whole(origin: &Origin) -> impl Iterator<Item = Place> {
    std::iter::once(origin.place()).chain(origin.through().iter().cloned())
}

/// What is known of a name that the template gives a value itself.
enum Local<'a> {
    /// It holds a part of a list or mapping that knows where it was written.
    Node(Origin),
    /// It was made of what these names hold.
    Made(&'a [Path]),
}

fn local<'a>(path: &[Box<str>], frame: &'a Frame, locals: &dyn Fn(&str) -> Option<Value>) -> Option<Local<'a>> {
    let (name, steps) = path.split_first()?;
    frame.template.assigned.get(name)?;
    if let Some(node) = locals(name).and_then(|value| value.downcast_object::<Node>()) {
        let found = if steps.is_empty() { Some(&*node) } else { descend(&node, steps) };
        return found.map(|node| Local::Node(node.origin.clone()));
    }
    Some(Local::Made(frame.template.sources.get(name).map_or(&[], Vec::as_slice)))
}

/// Adds places that are not there yet.
pub(super) fn extend(through: &mut Vec<Place>, places: impl IntoIterator<Item = Place>) {
    for place in places {
        if through.len() < MAX_THROUGH && !through.contains(&place) {
            through.push(place);
        }
    }
}

/// Where a parameter, or a part of it, was written.
fn parameter(frame: &Frame, path: &[Box<str>]) -> Option<Origin> {
    let (name, steps) = path.split_first()?;
    if frame.template.assigned.contains(name) {
        return None;
    }
    let argument = frame.argument(name)?;
    match descend(&argument.node, steps) {
        Some(node) if !steps.is_empty() => Some(node.origin.clone()),
        _ => Some(argument.origin.clone()),
    }
}

/// Where a variable is defined that is used at a position.
fn variable(frame: &Frame, path: &[Box<str>], position: Position) -> Option<Origin> {
    let (name, steps) = path.split_first()?;
    if &**name != "vars" || steps.is_empty() || frame.template.assigned.contains(name) {
        return None;
    }
    descend(frame.variables.at(position), steps).map(|node| node.origin.clone())
}

/// The node at the end of the steps, or as far as they lead.
fn descend<'a>(node: &'a Arc<Node>, steps: &[Box<str>]) -> Option<&'a Node> {
    let (first, rest) = match steps.split_first() {
        Some((first, rest)) => (node.child(first)?, rest),
        None => return Some(node),
    };
    let mut found = first;
    for step in rest {
        match found.child(step) {
            Some(child) => found = child,
            None => break,
        }
    }
    Some(found)
}

/// A stretch of a file as an origin.
pub(super) fn stretch(file: &File, range: &std::ops::Range<usize>) -> Origin {
    file.origin(range.start, range.end)
}
