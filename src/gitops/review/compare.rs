//! What is different between two renderings, in words.
//!
//! Pipelines are compared by what they mean: where they stand in the files, the order of stages (their `needs` say
//! it all) and how a value was spelled don't count. Only names of keys are told, never values: a value can be long,
//! and it can be something that its author would rather not read in a comment.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::model::{ApplicationName, ChangeKind, Parameter, Pipeline, PipelineChange, PipelineName, Stage, Trigger};

/// The most pipelines that are listed.
const MAX_CHANGES: usize = 100;
/// The most differences that are told of one pipeline.
const MAX_DETAILS: usize = 20;
/// The longest name of a key that is told, in characters.
const LONGEST_NAME: usize = 80;

/// How pipelines change from one rendering to another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// The pipelines that change, by application and name; the first hundred.
    pub changes: Vec<PipelineChange>,
    /// How many change, those that `changes` has no room for included.
    pub changed: u32,
}

/// Compares the pipelines before with those after.
pub fn compare(before: &[Pipeline], after: &[Pipeline]) -> Comparison {
    let (before, after) = (by_name(before), by_name(after));
    let mut found = Comparison::default();
    let mut add = |(application, name): &(&ApplicationName, &PipelineName), kind, details| {
        found.changed = found.changed.saturating_add(1);
        if found.changes.len() < MAX_CHANGES {
            let (application, pipeline) = ((*application).clone(), (*name).clone());
            found.changes.push(PipelineChange { application, pipeline, kind, details });
        }
    };
    let mut names: Vec<_> = before.keys().chain(after.keys()).copied().collect();
    names.sort_unstable();
    names.dedup();
    for name in &names {
        match (before.get(name), after.get(name)) {
            (None, Some(_)) => add(name, ChangeKind::Added, Vec::new()),
            (Some(_), None) => add(name, ChangeKind::Removed, Vec::new()),
            (Some(old), Some(new)) => {
                let details = differences(old, new);
                if !details.is_empty() {
                    add(name, ChangeKind::Changed, bounded(details));
                }
            }
            (None, None) => {}
        }
    }
    found
}

fn by_name(pipelines: &[Pipeline]) -> BTreeMap<(&ApplicationName, &PipelineName), &Pipeline> {
    pipelines.iter().map(|pipeline| ((&pipeline.application, &pipeline.name), pipeline)).collect()
}

fn bounded(mut details: Vec<String>) -> Vec<String> {
    if details.len() > MAX_DETAILS {
        let more = details.len() - (MAX_DETAILS - 1);
        details.truncate(MAX_DETAILS - 1);
        details.push(format!("and {more} more"));
    }
    details
}

/// Everything in which two pipelines of one name differ.
fn differences(old: &Pipeline, new: &Pipeline) -> Vec<String> {
    let mut out = Vec::new();
    let mut own = |name: &str, differs: bool| {
        if differs {
            out.push(format!("{name} changed"));
        }
    };
    own("id", old.id != new.id);
    own("dialect", old.dialect != new.dialect);
    own("description", old.description != new.description);
    own("environment", old.environment != new.environment);
    own("concurrency", old.concurrency != new.concurrency);
    own("timeout", old.timeout != new.timeout);
    parameters(&old.parameters, &new.parameters, &mut out);
    triggers(&old.triggers, &new.triggers, &mut out);
    stages(&old.stages, &new.stages, &mut out);
    // What a pipeline has that this list doesn't know yet.
    if out.is_empty() && meaning(old) != meaning(new) {
        out.push("settings changed".to_owned());
    }
    out
}

/// A pipeline without its places; stages in no order.
fn meaning(pipeline: &Pipeline) -> Value {
    let mut value = keys(pipeline);
    value.remove("source");
    if let Some(Value::Array(stages)) = value.get_mut("stages") {
        for stage in stages.iter_mut().filter_map(Value::as_object_mut) {
            stage.remove("source");
            if let Some(Value::Array(needs)) = stage.get_mut("needs") {
                needs.sort_by_key(Value::to_string);
            }
        }
        stages.sort_by_cached_key(|stage| stage["id"].to_string());
    }
    if let Some(Value::Array(triggers)) = value.get_mut("triggers") {
        triggers.sort_by_cached_key(Value::to_string);
    }
    Value::Object(value)
}

fn parameters(old: &[Parameter], new: &[Parameter], out: &mut Vec<String>) {
    let pair = |all: &[Parameter]| all.iter().map(|one| (one.name.clone(), keys(one))).collect::<Vec<_>>();
    named("parameter", &pair(old), &pair(new), out);
    let order = |all: &[Parameter], other: &[Parameter]| {
        let both = all.iter().filter(|one| other.iter().any(|same| same.name == one.name));
        both.map(|one| one.name.clone()).collect::<Vec<_>>()
    };
    if order(old, new) != order(new, old) {
        out.push("parameters in another order".to_owned());
    }
}

fn stages(old: &[Stage], new: &[Stage], out: &mut Vec<String>) {
    let pair = |all: &[Stage]| all.iter().map(|stage| (stage.id.to_string(), stage_keys(stage))).collect::<Vec<_>>();
    named("stage", &pair(old), &pair(new), out);
}

/// A stage as its author sees it: the fields of its type stand beside the common ones.
fn stage_keys(stage: &Stage) -> Map<String, Value> {
    let mut all = keys(stage);
    all.remove("source");
    if let Some(Value::Array(needs)) = all.get_mut("needs") {
        needs.sort_by_key(Value::to_string);
    }
    if let Some(Value::Object(fields)) = all.remove("fields") {
        // A field can't hide a common key: the two are kept apart where stages are read.
        for (name, value) in fields {
            all.entry(name).or_insert(value);
        }
    }
    all
}

/// Tells what came, went and differs among things that have names.
fn named(
    noun: &str,
    old: &[(String, Map<String, Value>)],
    new: &[(String, Map<String, Value>)],
    out: &mut Vec<String>,
) {
    let find = |all: &[(String, Map<String, Value>)], name: &str| {
        all.iter().find(|(other, _)| other == name).map(|(_, keys)| keys.clone())
    };
    for (name, keys) in new {
        let shown = short(name);
        match find(old, name) {
            None => out.push(format!("{noun} {shown} added")),
            Some(before) => out.extend(
                different(&before, keys).into_iter().map(|key| format!("{noun} {shown}: {} changed", short(&key))),
            ),
        }
    }
    let gone = old.iter().filter(|(name, _)| find(new, name).is_none());
    out.extend(gone.map(|(name, _)| format!("{noun} {} removed", short(name))));
}

/// Triggers have no names: those that are in both are left out, and of what remains, one of each kind is compared.
fn triggers(old: &[Trigger], new: &[Trigger], out: &mut Vec<String>) {
    let mut before: Vec<Map<String, Value>> = old.iter().map(keys).collect();
    let mut after: Vec<Map<String, Value>> = Vec::new();
    for trigger in new.iter().map(keys) {
        match before.iter().position(|other| *other == trigger) {
            Some(at) => drop(before.remove(at)),
            None => after.push(trigger),
        }
    }
    let kind =
        |trigger: &Map<String, Value>| short(trigger.get("type").and_then(Value::as_str).unwrap_or("without a type"));
    let mut kinds: Vec<String> = before.iter().chain(&after).map(kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    for name in kinds {
        let gone: Vec<_> = before.iter().filter(|trigger| kind(trigger) == name).collect();
        let fresh: Vec<_> = after.iter().filter(|trigger| kind(trigger) == name).collect();
        if let ([gone], [fresh]) = (gone.as_slice(), fresh.as_slice()) {
            let keys = different(gone, fresh).into_iter();
            out.extend(keys.map(|key| format!("trigger {name}: {} changed", short(&key))));
            continue;
        }
        out.extend(fresh.iter().map(|_| format!("trigger {name} added")));
        out.extend(gone.iter().map(|_| format!("trigger {name} removed")));
    }
}

/// The keys whose values differ, in the order of the later one.
fn different(old: &Map<String, Value>, new: &Map<String, Value>) -> Vec<String> {
    let changed = new.iter().filter(|(key, value)| old.get(*key) != Some(*value)).map(|(key, _)| key.clone());
    let gone = old.keys().filter(|key| !new.contains_key(*key)).cloned();
    changed.chain(gone).collect()
}

/// The keys of a part of the model; everything there is a mapping.
fn keys<T: serde::Serialize>(value: &T) -> Map<String, Value> {
    match serde_json::to_value(value) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

fn short(name: &str) -> String {
    let clean = name.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
    let mut cut: String = clean.take(LONGEST_NAME).collect();
    if name.chars().nth(LONGEST_NAME).is_some() {
        cut.push('…');
    }
    cut
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn pipeline(name: &str, line: u32, value: Value) -> Pipeline {
        let place =
            |line| json!({"file": ".longboat/a.yaml", "line": line, "column": 1, "endLine": line, "endColumn": 1});
        let mut all = json!({
            "application": "shop", "name": name, "id": "00000000-0000-0000-0000-000000000001",
            "stages": [], "source": place(line),
        });
        for (key, value) in value.as_object().expect("a mapping") {
            all[key] = value.clone();
        }
        for stage in all["stages"].as_array_mut().expect("a list") {
            for (key, value) in
                [("name", json!("x")), ("needs", json!([])), ("fields", json!({})), ("source", place(line + 1))]
            {
                if stage[key].is_null() {
                    stage[key] = value;
                }
            }
        }
        serde_json::from_value(all).expect("a pipeline")
    }

    fn stage(id: &str, fields: Value) -> Value {
        json!({"id": id, "type": "script", "fields": fields})
    }

    fn details(old: Value, new: Value) -> Vec<String> {
        let found = compare(&[pipeline("deploy", 1, old)], &[pipeline("deploy", 1, new)]);
        found.changes.into_iter().flat_map(|change| change.details).collect()
    }

    #[test]
    fn pipelines_come_go_and_change() {
        let stages = |command: &str| json!({"stages": [stage("test", json!({"command": command}))]});
        let before = [pipeline("build", 1, stages("make")), pipeline("deploy", 9, stages("ship"))];
        let after = [pipeline("deploy", 1, stages("ship -x")), pipeline("smoke", 9, stages("curl"))];
        let found = compare(&before, &after);
        let said: Vec<_> = found.changes.iter().map(|change| (change.pipeline.as_str(), change.kind)).collect();
        let expected = [("build", ChangeKind::Removed), ("deploy", ChangeKind::Changed), ("smoke", ChangeKind::Added)];
        assert_eq!((said.as_slice(), found.changed), (expected.as_slice(), 3));
        assert_eq!(found.changes[1].details, ["stage test: command changed"]);
    }

    #[test]
    fn where_something_stands_is_no_difference() {
        let both = |order: [&str; 2]| json!({"stages": order.map(|id| stage(id, json!({"command": "x"})))});
        let found = compare(&[pipeline("a", 1, both(["one", "two"]))], &[pipeline("a", 50, both(["two", "one"]))]);
        assert_eq!(found, Comparison::default());
    }

    #[test]
    fn each_difference_is_told_by_its_key() {
        let old = json!({
            "description": "Ships", "timeout": "1h",
            "parameters": [{"name": "version", "default": "1"}, {"name": "old"}],
            "triggers": [{"type": "git", "branches": ["main"]}, {"type": "cron", "schedule": "1"}],
            "stages": [stage("test", json!({"command": "x"})), stage("gone", json!({}))],
        });
        let new = json!({
            "timeout": "2h",
            "parameters": [{"name": "version", "default": "2"}, {"name": "new"}],
            "triggers": [{"type": "git", "branches": ["main", "release"]}, {"type": "pipeline"}],
            "stages": [
                {"id": "test", "type": "script", "fields": {"command": "x", "env": {"A": "1"}}, "needs": ["fresh"]},
                stage("fresh", json!({})),
            ],
        });
        let expected = [
            "description changed",
            "timeout changed",
            "parameter version: default changed",
            "parameter new added",
            "parameter old removed",
            "trigger cron removed",
            "trigger git: branches changed",
            "trigger pipeline added",
            "stage test: needs changed",
            "stage test: env changed",
            "stage fresh added",
            "stage gone removed",
        ];
        assert_eq!(details(old, new), expected);
    }

    #[test]
    fn what_is_told_is_bounded() {
        let wide = |value: u32| {
            let fields: Map<String, Value> =
                (0..100).map(|at| (format!("{}{at}", "k".repeat(200)), json!(value))).collect();
            json!({"stages": [stage("test", fields.into())]})
        };
        let told = details(wide(1), wide(2));
        assert_eq!((told.len(), told.last().map(String::as_str)), (20, Some("and 81 more")));
        assert!(told.iter().all(|line| line.chars().count() < 120), "{told:?}");
        let many: Vec<_> = (0..150).map(|at| pipeline(&format!("p{at:03}"), 1, json!({}))).collect();
        let found = compare(&[], &many);
        assert_eq!((found.changes.len(), found.changed), (100, 150));
    }

    fn any_pipelines() -> impl Strategy<Value = Vec<Pipeline>> {
        let field = prop_oneof![Just(json!(1)), Just(json!("x")), Just(json!([1, {"a": null}])), Just(json!(true))];
        let fields = prop::collection::btree_map("[a-c]", field, 0..3);
        let stages = prop::collection::btree_map("[s-u]", (fields, prop::bool::ANY), 0..3);
        let one = ("[a-d]", stages, prop::option::of("[x-z]"), 1_u32..50);
        prop::collection::btree_map("[a-d]", one, 0..4).prop_map(|all| {
            let make = |(name, (_, stages, description, line)): (String, (_, BTreeMap<String, (_, bool)>, _, u32))| {
                let stages: Vec<Value> = stages
                    .into_iter()
                    .map(|(id, (fields, halts)): (String, (BTreeMap<String, Value>, bool))| {
                        let on_failure = if halts { "halt" } else { "ignore" };
                        json!({"id": id, "type": "script", "fields": fields, "onFailure": on_failure})
                    })
                    .collect();
                let description: Option<String> = description;
                let mut value = json!({"stages": stages});
                if let Some(description) = description {
                    value["description"] = json!(description);
                }
                pipeline(&name, line, value)
            };
            all.into_iter().map(make).collect()
        })
    }

    proptest! {
        #[test]
        fn nothing_differs_from_itself(pipelines in any_pipelines()) {
            prop_assert_eq!(compare(&pipelines, &pipelines), Comparison::default());
        }

        #[test]
        fn there_and_back_are_mirrors(before in any_pipelines(), after in any_pipelines()) {
            let (there, back) = (compare(&before, &after), compare(&after, &before));
            prop_assert_eq!(there.changed, back.changed);
            for (there, back) in there.changes.iter().zip(&back.changes) {
                prop_assert_eq!(&there.pipeline, &back.pipeline);
                let opposite = match there.kind {
                    ChangeKind::Added => ChangeKind::Removed,
                    ChangeKind::Removed => ChangeKind::Added,
                    ChangeKind::Changed => ChangeKind::Changed,
                };
                prop_assert_eq!(opposite, back.kind);
                prop_assert_eq!(there.kind == ChangeKind::Changed, !there.details.is_empty());
            }
        }

        #[test]
        fn no_change_means_the_same_meaning(before in any_pipelines(), after in any_pipelines()) {
            let same = before.len() == after.len()
                && before.iter().zip(&after).all(|(old, new)| meaning(old) == meaning(new));
            prop_assert_eq!(compare(&before, &after).changed == 0, same);
        }
    }
}
