//! What the triggers that need no forge have in common: what a start gets, and whether it is reported.

use serde_json::Map;

use super::super::artifact;
use super::super::reader::{Field, Fields, Sink};
use super::super::spinnaker;
use super::Around;
use crate::diagnostic::{Code, Diagnostic, pointer_step};
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
    if let Some(declared) = around.parameters
        && let Err(problems) = check_declared(declared, around.dialect, parameters.clone())
    {
        for problem in problems {
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

/// A mapping of values, in which no expression is evaluated.
fn values(field: &Field<'_>, sink: &mut Sink) -> Option<Map<String, serde_json::Value>> {
    let serde_json::Value::Object(values) = field.json(sink) else {
        field.wrong_type(sink, "a mapping");
        return None;
    };
    Some(values)
}
