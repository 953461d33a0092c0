//! Functions that look stages and artifacts up by name.

use serde_json::{Map, Value};

use super::{Arguments, Made};
use crate::diagnostic::nearest;
use crate::expression::Scope;

/// The most names that a message lists.
const LISTED: usize = 8;

/// What functions look into.
#[derive(Debug, Default)]
pub(in crate::expression) struct Tables {
    /// Stages by id, in the author's order; those that can't be asked for are left out.
    stages: Map<String, Value>,
    /// The names of all stages.
    names: Vec<String>,
    /// The resolved artifacts of the start.
    resolved: Vec<Value>,
    /// `{artifacts, resolvedExpectedArtifacts}`, the nearest first.
    sources: Vec<Value>,
}

impl Tables {
    /// Of `scope`, with the stages that `names` may mean; with all if it is nothing.
    pub(super) fn of(scope: &Scope, names: Option<&[&str]>) -> Self {
        let all = scope.stages.as_object();
        let wanted = |id: &str, stage: &Value| {
            names.is_none_or(|names| names.contains(&id) || names.iter().any(|name| name_of(stage) == Some(name)))
        };
        let stages = all.into_iter().flatten().filter(|(id, stage)| wanted(id, stage));
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        Self {
            stages: stages.map(|(id, stage)| (id.clone(), stage.clone())).collect(),
            names: all.into_iter().flatten().map(|(id, stage)| name_of(stage).unwrap_or(id).to_owned()).collect(),
            resolved: scope.trigger.get("resolvedExpectedArtifacts").map(list).unwrap_or_default(),
            sources: list(&scope.artifacts),
        }
    }
}

fn name_of(stage: &Value) -> Option<&str> {
    stage.get("name").and_then(Value::as_str)
}

/// The id of the stage that a name means: that of the first stage with the name, else the name itself if it is one.
pub(in crate::expression) fn stage_id<'a>(stages: &'a Map<String, Value>, name: &str) -> Option<&'a String> {
    let named = stages.iter().find(|(_, stage)| name_of(stage) == Some(name));
    named.or_else(|| stages.get_key_value(name)).map(|(id, _)| id)
}

/// That no stage has a name, in words.
pub(in crate::expression) fn no_stage(stages: &Value, name: &str) -> String {
    let all: Vec<&str> =
        stages.as_object().into_iter().flatten().map(|(id, stage)| name_of(stage).unwrap_or(id)).collect();
    unknown("stage", name, all.iter().copied())
}

fn find_stage<'a>(arguments: &'a Arguments<'_>) -> Result<(&'a str, &'a Value), String> {
    let name = arguments.text(0)?;
    let tables = arguments.tables;
    match stage_id(&tables.stages, name).and_then(|id| tables.stages.get(id)) {
        Some(stage) => Ok((name, stage)),
        None => Err(unknown("stage", name, tables.names.iter().map(String::as_str))),
    }
}

fn unknown<'n>(what: &str, name: &str, known: impl Iterator<Item = &'n str> + Clone) -> String {
    let near = nearest(name, known.clone()).map(|near| format!(" (did you mean `{near}`?)"));
    let list = || {
        let count = known.clone().count();
        let listed: Vec<_> = known.clone().take(LISTED).map(|name| format!("`{name}`")).collect();
        match (count, count > LISTED) {
            (0, _) => String::new(),
            (_, false) => format!("; there are {}", listed.join(", ")),
            (_, true) => format!("; there are {} and {} more", listed.join(", "), count - LISTED),
        }
    };
    let cut: String = name.chars().take(60).collect();
    format!("there is no {what} `{cut}`{}", near.unwrap_or_else(list))
}

pub(super) fn stage(arguments: &Arguments<'_>) -> Result<Made, String> {
    find_stage(arguments).map(|(_, stage)| Made::Json(stage.clone()))
}

pub(super) fn judgment(arguments: &Arguments<'_>) -> Result<Made, String> {
    let (name, stage) = find_stage(arguments)?;
    match stage.get("outputs").and_then(|outputs| outputs.get("judgmentInput")) {
        Some(input) => Ok(Made::Json(input.clone())),
        None => {
            let word = |key: &str| stage.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            let instances = stage.pointer("/outputs/instances").and_then(Value::as_object);
            let each = instances.into_iter().flat_map(Map::keys).next();
            Err(match (word("type").as_str(), each) {
                ("manualJudgment", Some(key)) => format!(
                    "the stage `{name}` became several, and each was judged by itself; name one, like `{}[{key}]`",
                    word("id")
                ),
                ("manualJudgment", None) => format!("nobody has judged the stage `{name}`; it is {}", word("status")),
                (kind, _) => format!("the stage `{name}` is no judgment but a `{kind}`"),
            })
        }
    }
}

fn resolved_named<'a>(resolved: &'a [Value], name: &str) -> Option<&'a Value> {
    let by = |key: &'static str| resolved.iter().find(move |one| one.get(key).and_then(Value::as_str) == Some(name));
    by("displayName").or_else(|| by("id"))?.get("boundArtifact")
}

fn names_of(resolved: &[Value]) -> impl Iterator<Item = &str> + Clone {
    resolved.iter().filter_map(|one| one.get("displayName").or_else(|| one.get("id"))?.as_str())
}

pub(super) fn artifact(arguments: &Arguments<'_>) -> Result<Made, String> {
    let name = arguments.text(0)?;
    let list = |source: &'_ Value, key: &str| source.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let mut known: Vec<String> = Vec::new();
    for source in &arguments.tables.sources {
        let resolved = list(source, "resolvedExpectedArtifacts");
        if let Some(found) = resolved_named(&resolved, name) {
            return Ok(Made::Json(found.clone()));
        }
        known.extend(names_of(&resolved).map(str::to_owned));
        for artifact in list(source, "artifacts") {
            match artifact.get("name").and_then(Value::as_str) {
                Some(other) if other == name => return Ok(Made::Json(artifact)),
                Some(other) => known.push(other.to_owned()),
                None => {}
            }
        }
    }
    known.sort_unstable();
    known.dedup();
    Err(unknown("artifact", name, known.iter().map(String::as_str)))
}

pub(super) fn trigger_artifact(arguments: &Arguments<'_>) -> Result<Made, String> {
    let name = arguments.text(0)?;
    let resolved = &arguments.tables.resolved;
    match resolved_named(resolved, name) {
        Some(found) => Ok(Made::Json(found.clone())),
        None => Err(unknown("resolved artifact", name, names_of(resolved))),
    }
}

pub(super) fn trigger_artifact_by_type(arguments: &Arguments<'_>) -> Result<Made, String> {
    let kind = arguments.text(0)?;
    let kind_of = |artifact: &Value| artifact.get("type").and_then(Value::as_str).map(str::to_owned);
    let bound = || arguments.tables.resolved.iter().filter_map(|one| one.get("boundArtifact"));
    match bound().find(|artifact| kind_of(artifact).as_deref() == Some(kind)) {
        Some(found) => Ok(Made::Json(found.clone())),
        None => {
            let kinds: Vec<String> = bound().filter_map(kind_of).collect();
            Err(unknown("resolved artifact of the type", kind, kinds.iter().map(String::as_str)))
        }
    }
}
