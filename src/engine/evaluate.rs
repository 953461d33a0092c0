//! What is evaluated when a stage starts: its `when`, and the `${ }` in its fields.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::state::State;
use crate::expression::{self, Expression, ExpressionError, Scope, Template, has_expression};
use crate::model::{Instance, SecretUse};

/// Fields, where they differ from the definition's, and the secrets in them.
pub type Evaluated = (Option<Map<String, Value>>, Vec<SecretUse>);

/// What the expressions of a stage see at this moment.
pub fn scope(state: &State, stage: u32) -> Scope {
    scope_for(state, stage, true)
}

/// What expressions see. Without `stages`, nothing of other stages is copied: most expressions don't ask for them.
fn scope_for(state: &State, stage: u32, stages: bool) -> Scope {
    let info = &state.execution.info;
    let mut trigger = serde_json::to_value(&info.trigger).unwrap_or_default();
    if let Value::Object(trigger) = &mut trigger {
        trigger.insert("artifacts".to_owned(), json!(info.artifacts.artifacts));
        trigger.insert("resolvedExpectedArtifacts".to_owned(), json!(info.artifacts.resolved_expected_artifacts));
    }
    let (variables, artifacts) = if stages { inherited(state, stage) } else { Default::default() };
    let spread = state.definition(stage).spread.as_ref();
    let member = state.plan.stages()[stage as usize].member.as_ref();
    let seen = spread.zip(member).map(|(spread, member)| spread.seen(member.index, &member.instance));
    let (matrix, each) = seen.unwrap_or_default();
    Scope {
        matrix,
        each,
        parameters: Value::Object(info.parameters.clone()),
        trigger,
        execution: json!({
            "id": info.id.to_string(),
            "application": info.pipeline.application.as_str(),
            "pipeline": info.pipeline.name.as_str(),
            "createdTime": info.created_at.to_rfc3339(),
            "startTime": state.started_at.map(|time| time.to_rfc3339()),
            // At the end: how the execution will have ended if nothing more fails.
            "status": if state.plan.is_finally(stage) { state.final_status() } else { state.status }.as_str(),
        }),
        stages: if stages { seen_stages(state) } else { Value::Null },
        variables: Value::Object(variables),
        artifacts: Value::Array(artifacts),
    }
}

fn seen_stages(state: &State) -> Value {
    let stages = state.plan.shown().into_iter().map(|index| {
        let (place, stage) = (&state.plan.stages()[index as usize], &state.stages[index as usize]);
        let definition = state.definition(index);
        let seen = json!({
            "id": place.path.as_str(),
            "name": state.name(index),
            "type": definition.kind,
            "status": stage.status().as_str(),
            "outputs": state.outputs(index).as_ref(),
            "context": state.fields(index),
            "error": stage.error,
            "startTime": stage.started_at.map(|time| time.to_rfc3339()),
            "endTime": stage.ended_at.map(|time| time.to_rfc3339()),
        });
        (place.path.as_str().to_owned(), seen)
    });
    Value::Object(stages.collect())
}

/// What a stage inherits from those before it: variables by name, and where artifacts stand. Of two stages that
/// yield the same, the nearer counts; of two at the same distance, the one further down the author's list.
fn inherited(state: &State, stage: u32) -> (Map<String, Value>, Vec<Value>) {
    let mut variables = Map::new();
    let mut artifacts = Vec::new();
    // What became several yields what its instances do.
    let members = |index: u32| std::iter::once(index).chain(state.plan.members(index).iter().copied());
    for index in ancestors(state, stage).into_iter().flat_map(members) {
        let outputs = &state.stages[index as usize].outputs;
        let kind = state.plan.stages()[index as usize].kind;
        if kind.is_some_and(|kind| kind.yields_variables) {
            for (name, value) in outputs {
                variables.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
        if outputs.contains_key("artifacts") || outputs.contains_key("resolvedExpectedArtifacts") {
            artifacts.push(json!({
                "artifacts": outputs.get("artifacts"),
                "resolvedExpectedArtifacts": outputs.get("resolvedExpectedArtifacts"),
            }));
        }
    }
    if !state.execution.info.artifacts.is_empty() {
        artifacts.push(json!(state.execution.info.artifacts));
    }
    (variables, artifacts)
}

/// The stages that a stage comes after, the nearest first.
fn ancestors(state: &State, stage: u32) -> Vec<u32> {
    let needs = |index: u32| state.plan.stages()[index as usize].needs.iter().copied();
    let mut seen = HashSet::new();
    let mut all = Vec::new();
    let mut ring: Vec<u32> = needs(stage).collect();
    while !ring.is_empty() {
        ring.retain(|index| seen.insert(*index));
        ring.sort_unstable_by(|left, right| right.cmp(left));
        all.extend(&ring);
        ring = ring.into_iter().flat_map(needs).collect();
    }
    all
}

/// Whether an expression in this text may look at other stages: all ways to them have a name with one of these words.
fn looks_at_stages(text: &str) -> bool {
    ["stage", "variable", "judg", "rtifact"].iter().any(|word| text.contains(word))
}

fn any_looks_at_stages(value: &Value) -> bool {
    match value {
        Value::String(text) => has_expression(text) && looks_at_stages(text),
        Value::Array(items) => items.iter().any(any_looks_at_stages),
        Value::Object(map) => map.values().any(any_looks_at_stages),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// What a stage becomes.
///
/// # Errors
/// If its list can't be evaluated, or is none, or has too many items.
pub fn instances(state: &State, stage: u32) -> Result<Vec<Instance>, String> {
    let Some(spread) = &state.definition(stage).spread else { return Err("it has no list".to_owned()) };
    let (source, word) = (spread.over.source(), spread.over.word());
    let scope = scope_for(state, stage, source.values().any(any_looks_at_stages));
    let source = expression::resolve(&source, &[], &scope).map_err(|error| {
        let hint = error.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("its `{word}` (`{}`) can't be evaluated: {}{hint}", error.expression, error.message)
    })?;
    spread.over.instances(&source).map_err(|reason| format!("its `{word}` can't be used: {reason}"))
}

/// Whether the stage's condition lets it run.
///
/// # Errors
/// If the condition can't be evaluated, or yields something else than true or false.
pub fn condition(state: &State, stage: u32) -> Result<bool, String> {
    let Some(when) = &state.definition(stage).when else { return Ok(true) };
    let scope = scope_for(state, stage, looks_at_stages(when));
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
    let scope = scope_for(state, stage, definition.fields.values().any(any_looks_at_stages));
    let (raw, secret) = (&definition.raw, &definition.secret);
    let resolved = expression::resolve_with_secrets(&definition.fields, raw, secret, &scope);
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
