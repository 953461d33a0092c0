//! What the triggers that need no forge have in common: what a start gets, and whether it is reported.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::super::artifact;
use super::super::reader::{Field, Fields, Sink, cut};
use super::super::spinnaker;
use super::Around;
use crate::diagnostic::{Code, Diagnostic, pointer_step};
use crate::expression::{Reference, Template, scan_expressions};
use crate::model::{Dialect, Start, check_declared};

/// Keys of Spinnaker's triggers that mean nothing here.
const SPINNAKER: &[&str] = &["description", "id", "link", "linkText", "runAsUser", "user"];
/// Keys that Spinnaker acts on and this version doesn't.
const SPINNAKER_LATER: &[&str] = &["attributeConstraints", "dryRun", "rebake"];

/// Whether the trigger's own parameters are all that a start gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parameters {
    /// There are no others, so that a required one that is missing keeps it from ever starting.
    Whole,
    /// The event brings others.
    Some,
}

/// Reads those keys.
pub(super) fn read(
    fields: &mut Fields<'_>,
    around: Around<'_>,
    whole: Parameters,
    what: &str,
    sink: &mut Sink,
) -> Start {
    let report = fields.take("report").and_then(|field| field.boolean(sink));
    let expected_artifact_ids = artifact::take_ids(fields, around.expected, around.dialect, sink);
    if around.dialect == Dialect::Spinnaker {
        for key in SPINNAKER {
            fields.take(key);
        }
        for field in SPINNAKER_LATER.iter().filter_map(|key| fields.take(key)) {
            spinnaker::later(&field, sink);
        }
    }
    let given = fields.take("parameters");
    let parameters = given.as_ref().and_then(|field| values(field, sink)).unwrap_or_default();
    let dynamic = given.as_ref().map(|field| dynamic(field, &parameters, sink)).unwrap_or_default();
    if let Some(declared) = around.parameters
        && let Err(problems) = check_declared(declared, around.dialect, parameters.clone())
    {
        for problem in problems {
            let declared = declared.iter().any(|parameter| parameter.name == problem.parameter);
            if declared && dynamic.contains(&problem.parameter) {
                continue; // What it yields is told at the start.
            }
            let missing = !parameters.contains_key(&problem.parameter);
            let at = given.as_ref().map_or(fields.pointer.as_str(), |field| field.pointer.as_str());
            let message = format!("{what} can't start the pipeline: {problem}");
            if !missing {
                let pointer = format!("{at}/{}", pointer_step(&problem.parameter));
                let origin = given.as_ref().map_or(fields.origin, |field| &field.node.origin);
                sink.add(origin, &pointer, Diagnostic::error(Code::TriggerCannotStart, message));
            } else if whole == Parameters::Whole {
                let hint = "give it under the trigger's `parameters`, or a default where it is declared";
                sink.add(fields.origin, at, Diagnostic::warning(Code::TriggerCannotStart, message).hint(hint));
            }
        }
    }
    Start { parameters, expected_artifact_ids, report }
}

/// The parameters whose values hold expressions, each of which can be read and asks for the trigger alone.
fn dynamic(field: &Field<'_>, values: &Map<String, Value>, sink: &mut Sink) -> HashSet<String> {
    let mut names = HashSet::new();
    for (name, value) in values {
        for (below, text) in scan_expressions(value, &[]) {
            names.insert(name.clone());
            let pointer = format!("{}/{}{below}", field.pointer, pointer_step(name));
            let finding = match Template::parse(text) {
                Err(error) => Some(Diagnostic::error(error.code, error.message.clone())),
                Ok(template) => template.references().iter().find_map(of_others),
            };
            if let Some(finding) = finding {
                sink.add(&field.node.origin, &pointer, finding);
            }
        }
    }
    names
}

/// What is wrong with a reference: only the trigger is known before an execution begins.
fn of_others(reference: &Reference) -> Option<Diagnostic> {
    let root = reference.path.first().filter(|root| *root != "trigger")?;
    let message = format!("`{}` is not known where a trigger's parameters are evaluated", cut(root));
    Some(Diagnostic::error(Code::UnknownVariable, message).hint("only `trigger` is"))
}

/// A mapping of values.
fn values(field: &Field<'_>, sink: &mut Sink) -> Option<Map<String, Value>> {
    let Value::Object(values) = field.json(sink) else {
        field.wrong_type(sink, "a mapping");
        return None;
    };
    Some(values)
}
