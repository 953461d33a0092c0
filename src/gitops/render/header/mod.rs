//! Headers of modules: what a module says about itself, before the line `---` (FORMAT section 2).
//!
//! [`split()`] finds the header, [`read`] reads and checks it, [`judge`] holds a value against a parameter, and
//! [`yields`] a result against what the module says that it yields.

mod judge;
mod kind;
mod pattern;
mod read;
mod split;
mod yields;

use std::ops::Range;
use std::sync::Arc;

pub use self::kind::ParameterKind;
use self::pattern::Pattern;
pub(super) use self::split::split;
pub use self::yields::Yields;
use super::file::File;
use crate::diagnostic::Diagnostic;
use crate::gitops::{Key, Limits, Node, Origin};

/// A module's header.
#[derive(Debug)]
pub(super) struct Header {
    /// For people.
    pub(super) description: Option<String>,
    /// What it yields; nothing, if it doesn't say.
    pub(super) yields: Option<Yields>,
    /// The parameters, in the author's order.
    pub(super) parameters: Vec<Parameter>,
    /// Worked examples.
    pub(super) examples: Vec<Example>,
    /// Where it stands.
    pub(super) origin: Origin,
}

/// A parameter of a module.
#[derive(Debug)]
pub(super) struct Parameter {
    /// Its name.
    pub(super) name: Arc<str>,
    /// Its type; nothing takes any value.
    pub(super) kind: Option<ParameterKind>,
    /// Of a list: the type of its items.
    pub(super) items: Option<ParameterKind>,
    /// Whether a call must give it.
    pub(super) required: bool,
    /// What it is if a call doesn't give it.
    pub(super) default: Option<Arc<Node>>,
    /// Of an enum: what there is to choose from.
    pub(super) options: Vec<Arc<Node>>,
    /// Of a text: what all of it has to match.
    pub(super) pattern: Option<Pattern>,
    /// The range of a number, of the characters of a text, of the items of a list.
    pub(super) bounds: Bounds,
    /// For people.
    pub(super) description: Option<String>,
    /// What to do instead of giving it.
    pub(super) deprecated: Option<String>,
    /// Where it is declared.
    pub(super) origin: Origin,
}

/// A range, both ends included.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Bounds {
    /// The least.
    pub(super) min: Option<f64>,
    /// The most.
    pub(super) max: Option<f64>,
}

/// A worked example of a call.
#[derive(Debug)]
pub(super) struct Example {
    /// For people.
    pub(super) description: Option<String>,
    /// What is given.
    pub(super) with: Vec<(Key, Arc<Node>)>,
    /// The stages that stand before it in the example's pipeline.
    pub(super) before: Vec<Arc<Node>>,
    /// Where it stands.
    pub(super) origin: Origin,
}

impl Header {
    /// Reads the header that stands in this stretch of a module's file.
    pub(super) fn read(file: &Arc<File>, range: Range<usize>, limits: &Limits) -> Result<Self, Vec<Diagnostic>> {
        read::read(file, range, limits)
    }

    /// The names of the parameters, in the author's order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.parameters.iter().map(|parameter| &*parameter.name)
    }
}

#[cfg(test)]
mod tests;
