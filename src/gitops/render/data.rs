//! Stretches of files that are data: headers of modules, variables.

use std::ops::Range;
use std::sync::Arc;

use super::budget::Budget;
use super::file::File;
use super::template::Template;
use super::yaml::{self, Input, Places};
use crate::diagnostic::Diagnostic;
use crate::gitops::{Limits, Node};

/// Reads a stretch of a file that is data: no templates, no modules.
pub(super) fn read_data(file: &Arc<File>, range: Range<usize>, limits: &Limits) -> Result<Arc<Node>, Vec<Diagnostic>> {
    let template = Template::plain(file.clone(), range.start);
    let budget = Budget::new(limits);
    let input = Input {
        text: &file.text[range.clone()],
        file,
        base: range.start,
        places: Places::Plain,
        template: &template,
        frame: None,
        origin: file.origin(0, 0),
        budget: &budget,
    };
    let read = yaml::read(&input);
    match read.root {
        Some(root) if read.findings.is_empty() => Ok(root),
        _ => Err(read.findings),
    }
}
