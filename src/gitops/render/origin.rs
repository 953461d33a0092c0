//! Where the value of an expression came from, found without running it: its names are looked up in the call of
//! the module that the template belongs to, and among the variables.

use std::sync::Arc;

use super::expression::Expression;
use super::file::File;
use super::frame::Frame;
use crate::diagnostic::Place;
use crate::gitops::{Node, Origin, Position};

/// The most places of one origin; a value that many others had a part in names the first of them.
const MAX_THROUGH: usize = 16;

/// The origin of what an expression yields that stands at `here`, a tag or an argument.
///
/// An expression that is nothing but the name of a parameter hands the value on unchanged: its place is then
/// where the caller wrote the value. A variable's place stays the tag, because a variable is used in many
/// places and only this one may be wrong; the variable's line is among the other places.
pub(super) fn of_expression(frame: &Frame, here: Origin, expression: &Expression) -> Origin {
    if let ([path], true) = (&expression.reads[..], expression.bare)
        && let Some(given) = parameter(frame, path)
    {
        let mut through = vec![here.place()];
        extend(&mut through, given.through().iter().cloned());
        return given.with_trail(&frame.chain, through);
    }
    let mut through = Vec::new();
    for path in &expression.reads {
        if let Some(given) = parameter(frame, path) {
            extend(&mut through, std::iter::once(given.place()).chain(given.through().iter().cloned()));
        } else if let Some(variable) = variable(frame, path, here.start()) {
            extend(&mut through, [variable.place()]);
        }
    }
    here.with_trail(&frame.chain, through)
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
