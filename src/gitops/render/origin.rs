//! Where the value of an expression came from, found without running it: its names are looked up in the call of
//! the module that the template belongs to, and among the variables.

use std::sync::Arc;

use minijinja::value::Value;

use super::expression::Expression;
use super::file::File;
use super::frame::Frame;
use super::template::Tag;
use super::witness::Held;
use crate::diagnostic::{MAX_THROUGH, Place};
use crate::gitops::{Node, Origin, Position, Spot};

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
        && !frame.template.assigned.contains(&path[0])
        && let Some(given) = parameter(frame, path)
    {
        let mut through = vec![here.spot().clone()];
        extend(&mut through, given.through().iter().cloned());
        return given.with_trail(&frame.chain, through);
    }
    let mut through = Vec::new();
    let mut seen = Seen { frame, locals, position: here.start(), left: MAX_VISITS, is_error: false };
    for path in &expression.reads {
        extend(&mut through, seen.places(path, MAX_STEPS));
    }
    through.retain(|spot| spot != here.spot());
    here.with_trail(&frame.chain, through)
}

/// How far it is followed what names of the template's own are made of, and how many names are looked at.
const MAX_STEPS: usize = 4;
const MAX_VISITS: usize = 64;

/// The names of a template as they stand while it runs.
struct Seen<'a> {
    frame: &'a Frame,
    locals: &'a dyn Fn(&str) -> Option<Value>,
    position: Position,
    /// How many names may be looked at still.
    left: usize,
    /// Whether it is about an error: then what lacks a part is the place of the part.
    is_error: bool,
}

impl Seen<'_> {
    /// The places that had a part in what a name holds.
    fn places(&mut self, path: &[Box<str>], steps: usize) -> Vec<Spot> {
        if self.left == 0 {
            return Vec::new();
        }
        self.left -= 1;
        let Some(name) = path.first().filter(|name| self.frame.template.assigned.contains(&***name)) else {
            return read(self.frame, path, self.position);
        };
        let value = (self.locals)(name);
        if let Some(node) = value.as_ref().and_then(Value::downcast_object::<Node>) {
            let found = if path.len() == 1 { Some(&*node) } else { descend(&node, &path[1..]) };
            let found = found.or_else(|| self.is_error.then_some(&*node));
            return found.map(|node| whole(&node.origin).collect()).unwrap_or_default();
        }
        let held = self.held(path, value.as_ref());
        if !held.is_empty() || steps == 0 {
            return held;
        }
        let mut places = Vec::new();
        for source in self.frame.template.sources.get(name).into_iter().flatten() {
            // `{% set x = x|default(1) %}` is made of what `x` was before: a parameter.
            let before = source[0] == *name;
            let more = if before { read(self.frame, source, self.position) } else { self.places(source, steps - 1) };
            extend(&mut places, more);
        }
        places
    }

    /// The places in what a loop goes through that hold the value which it has given a name.
    fn held(&self, path: &[Box<str>], value: Option<&Value>) -> Vec<Spot> {
        let (Some(value), [name]) = (value, path) else { return Vec::new() };
        let turn = || (self.locals)("loop")?.get_attr("index0").ok()?.as_usize();
        let loops = self.frame.template.items.get(name).into_iter().flatten();
        let around = loops.filter(|item| item.range.contains(&self.position));
        let mut places = Vec::new();
        if let Some(item) = around.max_by_key(|item| item.range.start)
            && let Some(gone_through) = self.node(&item.whole)
        {
            let holders = item.holders(&gone_through, value, turn());
            holders.iter().for_each(|origin| extend(&mut places, whole(origin)));
        }
        places
    }

    /// The list or mapping that a name stands for, if it was written somewhere.
    fn node(&self, path: &[Box<str>]) -> Option<Arc<Node>> {
        let (name, steps) = path.split_first()?;
        let root = if self.frame.template.assigned.contains(name) {
            (self.locals)(name)?.downcast_object::<Node>()?
        } else if let Some(argument) = self.frame.argument(name) {
            argument.node.clone()
        } else if &**name == "vars" {
            self.frame.variables.at(self.position).clone()
        } else {
            return None;
        };
        steps.iter().try_fold(root, |node, step| node.step(step))
    }
}

/// The places that had a part in what the tag at a place of the template's file reads, for an error in it. `held` is what
/// names of the template's own held then, as far as that is known.
pub(super) fn read_at(frame: &Frame, place: &Place, held: &Held) -> Vec<Spot> {
    let file = &frame.template.file;
    let at = Position { line: place.line, column: place.column };
    let around = |tags: &'_ [Tag]| {
        let before = tags.partition_point(|tag| file.position(tag.start) <= at);
        before.checked_sub(1).filter(|last| at < file.position(tags[*last].end))
    };
    let (tags, statements) = (&frame.template.tags, &frame.template.statements);
    let Some(tag) = around(tags).map(|at| &tags[at]).or_else(|| around(statements).map(|at| &statements[at])) else {
        return Vec::new();
    };
    let here = file.origin(tag.start, tag.end);
    let locals = |name: &str| held.get(name).cloned();
    let mut seen = Seen { frame, locals: &locals, position: here.start(), left: MAX_VISITS, is_error: true };
    let mut through = Vec::new();
    tag.expression.reads.iter().for_each(|path| extend(&mut through, seen.places(path, MAX_STEPS)));
    through
}

/// The places of a name that is a parameter's or a variable's.
fn read(frame: &Frame, path: &[Box<str>], position: Position) -> Vec<Spot> {
    match (parameter(frame, path), variable(frame, path, position)) {
        (Some(given), _) => whole(&given).collect(),
        (None, Some(variable)) => whole(&variable).collect(),
        (None, None) => Vec::new(),
    }
}

fn whole(origin: &Origin) -> impl Iterator<Item = Spot> {
    std::iter::once(origin.spot().clone()).chain(origin.through().iter().cloned())
}

/// Adds places that are not there yet.
pub(super) fn extend(through: &mut Vec<Spot>, places: impl IntoIterator<Item = Spot>) {
    for place in places {
        if through.len() < MAX_THROUGH && !through.contains(&place) {
            through.push(place);
        }
    }
}

/// Where a parameter, or a part of it, was written.
fn parameter(frame: &Frame, path: &[Box<str>]) -> Option<Origin> {
    let (name, steps) = path.split_first()?;
    let argument = frame.argument(name)?;
    match descend(&argument.node, steps) {
        Some(node) if !steps.is_empty() => Some(node.origin.clone()),
        _ => Some(argument.origin.clone()),
    }
}

/// Where a variable is defined that is used at a position.
fn variable(frame: &Frame, path: &[Box<str>], position: Position) -> Option<Origin> {
    let (name, steps) = path.split_first()?;
    if &**name != "vars" {
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
