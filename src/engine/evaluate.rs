//! What is evaluated when a stage starts: its `when`, and the `${ }` in its fields.

use serde_json::{Map, Value, json};

use super::state::State;
use crate::expression::{self, Expression, ExpressionError, Scope, Template, has_expression};
use crate::model::SecretUse;

/// Fields, where they differ from the definition's, and the secrets in them.
pub type Evaluated = (Option<Map<String, Value>>, Vec<SecretUse>);

/// What expressions see at this moment.
fn scope(state: &State) -> Scope {
    let info = &state.execution.info;
    let stages = state.plan.stages().iter().zip(&state.stages).map(|(place, stage)| {
        let seen = json!({"status": stage.status().as_str(), "outputs": stage.outputs});
        (place.path.as_str().to_owned(), seen)
    });
    Scope {
        parameters: Value::Object(info.parameters.clone()),
        trigger: serde_json::to_value(&info.trigger).unwrap_or_default(),
        execution: json!({
            "id": info.id.to_string(),
            "application": info.pipeline.application.as_str(),
            "pipeline": info.pipeline.name.as_str(),
            "createdTime": info.created_at.to_rfc3339(),
        }),
        stages: Value::Object(stages.collect()),
    }
}

/// Whether the stage's condition lets it run.
///
/// # Errors
/// If the condition can't be evaluated, or yields something else than true or false.
pub fn condition(state: &State, stage: u32) -> Result<bool, String> {
    let Some(when) = &state.definition(stage).when else { return Ok(true) };
    let scope = scope(state);
    // Both `a == b` and `${ a == b }` are understood.
    let value = if has_expression(when) {
        Template::parse(when).and_then(|template| template.evaluate(&scope))
    } else {
        Expression::parse(when).and_then(|expression| expression.evaluate(&scope))
    };
    match value {
        Ok(Value::Bool(answer)) => Ok(answer),
        Ok(other) => Err(format!("its `when` (`{when}`) must yield true or false, and yields {}", describe(&other))),
        Err(error) => Err(format!("its `when` (`{when}`) can't be evaluated: {}", explain(&error))),
    }
}

/// The stage's fields with every `${ }` replaced, if that changes any, and where secrets belong in them. Which secrets
/// those are is decided here, by the definition alone.
///
/// # Errors
/// If an expression can't be evaluated.
pub fn fields(state: &State, stage: u32) -> Result<Evaluated, String> {
    if !state.plan.stages()[stage as usize].dynamic {
        return Ok((None, Vec::new()));
    }
    let definition = state.definition(stage);
    let (raw, secret) = (&definition.raw, &definition.secret);
    let resolved = expression::resolve_with_secrets(&definition.fields, raw, secret, &scope(state));
    let (resolved, secrets) = resolved.map_err(|error| {
        let hint = error.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("its field `{}` (`{}`) can't be evaluated: {}{hint}", error.pointer, error.expression, error.message)
    })?;
    Ok(((resolved != definition.fields).then_some(resolved), secrets))
}

fn explain(error: &ExpressionError) -> String {
    match &error.hint {
        Some(hint) => format!("{} ({hint})", error.message),
        None => error.message.clone(),
    }
}

fn describe(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(80) {
        Some((cut, _)) => format!("`{}…`", &text[..cut]),
        None => format!("`{text}`"),
    }
}
