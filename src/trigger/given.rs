//! What a trigger that needs no forge gives a start: the parameters, in which `${ trigger... }` is evaluated.

use serde_json::{Map, Value};

use crate::expression::{Scope, resolve};
use crate::model::{Cause, Pipeline, Start, check_parameters};

/// The parameters of a start, those of `more` beneath the trigger's own.
///
/// # Errors
/// All that is wrong with them, in words.
pub(super) fn parameters(
    pipeline: &Pipeline,
    start: &Start,
    more: Map<String, Value>,
    cause: &Cause,
) -> Result<Map<String, Value>, String> {
    let scope = Scope { trigger: serde_json::to_value(cause).unwrap_or_default(), ..Scope::default() };
    let own = resolve(&start.parameters, &[], &scope).map_err(|error| format!("parameters: {error}"))?;
    let mut given = more;
    given.extend(own);
    check_parameters(pipeline, given).map_err(|problems| in_words(&problems))
}

/// Several problems as one text.
pub(super) fn in_words<T: ToString>(problems: &[T]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
