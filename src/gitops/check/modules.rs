//! Modules that are checked by themselves: their text, and what their worked examples come to.

use super::{Rendered, Request, check_rendered, in_order};
use crate::diagnostic::{Code, Diagnostic};
use crate::gitops::render::{Trial, try_modules};
use crate::schema::Catalog;

/// What was found about modules.
#[derive(Debug, Default)]
pub struct CheckedModules {
    /// Everything that was found, sorted by file and line.
    pub findings: Vec<Diagnostic>,
    /// How many modules there are.
    pub modules: usize,
    /// How many examples were rendered, those that failed included.
    pub examples: usize,
}

/// Checks the repository's own modules, or those that are built in: header and body as far as their text tells, and
/// each worked example as if somebody had written it.
///
/// Blocks until all are checked, like [`render_all`](crate::gitops::render_all).
pub fn check_modules(request: &Request<'_>, catalog: &Catalog, standard: bool) -> CheckedModules {
    let trials = try_modules(request, standard);
    let mut checked = CheckedModules { findings: trials.findings, modules: trials.modules.len(), examples: 0 };
    for Trial { findings, examples, .. } in trials.modules {
        checked.examples += examples.len();
        for file in examples {
            let rendered = Rendered { files: vec![file], findings: Vec::new() };
            let mut found = check_rendered(rendered, catalog, None).findings;
            // A name that the text alone shows to be unknown fails in each example as well.
            found.retain(|one| one.code != Code::UndefinedValue || !findings.iter().any(|told| is_there(told, one)));
            checked.findings.extend(found);
        }
        checked.findings.extend(findings);
    }
    checked.findings = in_order(checked.findings);
    checked
}

/// Whether two findings of one kind begin at the same place.
fn is_there(one: &Diagnostic, other: &Diagnostic) -> bool {
    let start =
        |finding: &Diagnostic| finding.place.as_ref().map(|place| (place.file.clone(), place.line, place.column));
    one.code == other.code && start(one) == start(other)
}
