//! The schemas as files, for editors and for other programs: `schema/application.json`, `schema/module.json`, and one
//! for each stage type.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::catalog::join_lines;
use super::editor::for_editors;
use super::format::{ApplicationFile, ModuleCall, SettingsFile, StageFile};
use super::module::ModuleFile;
use super::{Catalog, StageType};
use crate::model::PlanReport;

/// The files below `schema/` that say what application files and modules may hold, and what a plan looks like, as paths
/// and texts.
pub fn files(catalog: &Catalog) -> Vec<(String, String)> {
    let mut files = vec![
        ("schema/application.json".to_owned(), text(&application(catalog))),
        ("schema/module.json".to_owned(), text(&module())),
        ("schema/settings.json".to_owned(), text(&settings())),
    ];
    let stages = catalog.iter().map(|kind| (format!("schema/stages/{}.json", kind.name), text(&stage_file(kind))));
    files.extend(stages);
    files.push(("schema/plan.json".to_owned(), text(&plan())));
    files
}

/// What `longboat plan --format json` prints.
fn plan() -> Value {
    let mut schema =
        SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<PlanReport>();
    schema.insert("title".to_owned(), json!("Longboat plan"));
    schema.to_value()
}

fn text(schema: &Value) -> String {
    let mut schema = schema.clone();
    join_lines(&mut schema);
    simplify(&mut schema);
    let Value::Object(rest) = schema else { return String::new() };
    // What a reader looks for first stands first.
    let first = ["$schema", "title", "description"];
    let mut ordered: Map<_, _> =
        first.iter().filter_map(|key| Some(((*key).to_owned(), rest.get(*key)?.clone()))).collect();
    ordered.extend(rest);
    format!("{:#}\n", Value::Object(ordered))
}

/// Takes out what editors only stumble over: null as an alternative (a key without a value counts as missing
/// anyway), and alternatives inside alternatives.
fn simplify(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(simplify),
        Value::Object(map) => {
            map.values_mut().for_each(simplify);
            map.retain(|key, value| key != "default" || !value.is_null());
            if let Some(Value::Array(types)) = map.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    map.insert("type".to_owned(), only);
                }
            }
            flatten(map);
        }
        _ => {}
    }
}

fn flatten(map: &mut Map<String, Value>) {
    let Some(Value::Array(branches)) = map.get_mut("anyOf") else { return };
    let is_null = |branch: &Value| branch.get("type").and_then(Value::as_str) == Some("null");
    let mut flat = Vec::new();
    for branch in std::mem::take(branches).into_iter().filter(|branch| !is_null(branch)) {
        match branch.get("anyOf") {
            Some(Value::Array(inner)) => flat.extend(inner.clone()),
            _ => flat.push(branch),
        }
    }
    if let [Value::Object(only)] = flat.as_slice() {
        map.shift_remove("anyOf");
        for (key, value) in only {
            map.entry(key.clone()).or_insert_with(|| value.clone());
        }
    } else {
        *branches = flat;
    }
}

/// The header. An editor holds each document of a file against its schema, so that the body, which can be anything, must
/// be let through.
fn module() -> Value {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<ModuleFile>();
    for keyword in ["type", "required", "additionalProperties"] {
        schema.remove(keyword);
    }
    schema.insert("if".to_owned(), json!({"type": "object", "required": ["module"]}));
    schema.insert("then".to_owned(), json!({"properties": {"module": true}, "additionalProperties": false}));
    schema.to_value()
}

fn settings() -> Value {
    SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<SettingsFile>().to_value()
}

fn application(catalog: &Catalog) -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let call = generator.subschema_for::<ModuleCall>().to_value();
    let mut schema = generator.into_root_schema_for::<ApplicationFile>().to_value();
    allow_modules(&mut schema, "/$defs/PipelineFile/properties/stages", &call);
    allow_modules(&mut schema, "/$defs/PipelineFile/properties/triggers", &call);
    allow_modules(&mut schema, "/properties/pipelines", &call);
    if let Some(item) = schema.pointer_mut("/properties/pipelines/items/else") {
        let strict = std::mem::take(item);
        *item = json!({"if": is_spinnaker(), "then": {"type": "object", "required": ["name"]}, "else": strict});
    }
    let Some(definitions) = schema.get_mut("$defs").and_then(Value::as_object_mut) else { return schema };
    let common = definitions.get("StageFile").cloned().unwrap_or_default();
    if let Some(stage) = definitions.get_mut("StageFile") {
        stage["properties"]["type"]["enum"] = catalog.names().collect();
        let meanings: Value = catalog.iter().map(|kind| json!(kind.description)).collect();
        stage["properties"]["type"]["enumDescriptions"] = meanings;
        let choice = |kind: &StageType| {
            let name = definition(kind);
            json!({
                "if": {"properties": {"type": {"const": kind.name}}, "required": ["type"]},
                "then": {"$ref": format!("#/$defs/{name}")},
            })
        };
        stage["allOf"] = catalog.iter().map(choice).collect();
    }
    for kind in catalog.iter() {
        let mut stage = whole_stage(kind, &common);
        stage["title"] = json!(format!("A `{}` stage", kind.name));
        definitions.insert(definition(kind), stage);
    }
    for_editors(&mut schema);
    schema
}

/// Lets a module call stand for an item of a list.
fn allow_modules(schema: &mut Value, list: &str, call: &Value) {
    if let Some(items) = schema.pointer_mut(list).and_then(|list| list.get_mut("items")) {
        let item = std::mem::take(items);
        *items = json!({"if": {"type": "object", "required": ["use"]}, "then": call, "else": item});
    }
}

/// What tells that a pipeline is in Spinnaker's spelling, which has more keys than this schema lists.
fn is_spinnaker() -> Value {
    json!({"anyOf": [
        {"required": ["dialect"], "properties": {"dialect": {"const": "spinnaker"}}},
        {"required": ["parameterConfig"]},
        {"required": ["spelEvaluator"]},
        {"required": ["stages"], "properties": {"stages": {"contains": {
            "anyOf": [{"required": ["refId"]}, {"required": ["requisiteStageRefIds"]}],
        }}}},
    ]})
}

fn definition(kind: &StageType) -> String {
    format!("stage.{}", kind.name)
}

/// A stage of this type with the fields that all stages have.
fn whole_stage(kind: &StageType, common: &Value) -> Value {
    let mut properties = common.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    let own = kind.schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    properties.insert("type".to_owned(), json!({"const": kind.name, "description": kind.description}));
    properties.extend(own);
    let mut required = vec![json!("type")];
    required.extend(kind.schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default());
    let mut schema = Map::new();
    schema.insert("type".to_owned(), json!("object"));
    schema.insert("description".to_owned(), json!(kind.description));
    for keyword in ["examples", "$defs"] {
        if let Some(value) = kind.schema.get(keyword) {
            schema.insert(keyword.to_owned(), value.clone());
        }
    }
    schema.insert("properties".to_owned(), Value::Object(properties));
    schema.insert("required".to_owned(), Value::Array(required));
    schema.insert("additionalProperties".to_owned(), Value::Bool(false));
    Value::Object(schema)
}

fn stage_file(kind: &StageType) -> Value {
    let mut generator =
        SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true).into_generator();
    let common = generator.root_schema_for::<StageFile>().to_value();
    let mut schema = json!({"$schema": common["$schema"], "title": format!("Longboat stage: {}", kind.name)});
    if let (Some(file), Value::Object(stage)) = (schema.as_object_mut(), whole_stage(kind, &common)) {
        file.extend(stage);
    }
    schema
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;

    use super::*;
    use crate::schema::stage_type;

    #[derive(JsonSchema)]
    #[schemars(rename_all = "camelCase")]
    #[allow(dead_code, reason = "only its schema counts")]
    struct Work {
        /// What to do.
        command: String,
    }

    fn application_schema() -> jsonschema::Validator {
        let catalog = Catalog::new(vec![stage_type::<Work>("work", "Works")]);
        let files = files(&catalog);
        assert_eq!(
            files.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(),
            [
                "schema/application.json",
                "schema/module.json",
                "schema/settings.json",
                "schema/stages/work.json",
                "schema/plan.json"
            ]
        );
        for (path, text) in &files {
            let schema: Value = serde_json::from_str(text).expect("JSON");
            jsonschema::meta::validate(&schema).unwrap_or_else(|error| panic!("{path}: {error}"));
        }
        jsonschema::validator_for(&serde_json::from_str(&files[0].1).expect("JSON")).expect("a schema")
    }

    #[test]
    fn the_published_schema_agrees_with_the_format() {
        let schema = application_schema();
        let with = |pipeline: Value| json!({"application": "shop", "pipelines": [pipeline]});
        let stage = |stage: Value| with(json!({"name": "p", "stages": [stage]}));
        for good in [
            stage(json!({"type": "work", "command": "x", "needs": [], "when": true, "timeout": "5m"})),
            stage(json!({"use": "std/x", "with": {"a": 1}})),
            with(json!({"use": "pipelines/standard"})),
            with(
                json!({"name": "p", "parameterConfig": [], "limitConcurrent": true, "stages": [{"refId": "1", "type": "x"}]}),
            ),
            with(json!({"name": "p", "stages": [{"refId": 1, "type": "x", "zone": "a"}]})),
            with(json!({
                "name": "p", "environment": "prod", "timeout": 90, "concurrency": {"max": 1, "onNew": "keepNewest"},
                "parameters": [{"name": "n", "type": "integer", "default": 3, "options": [1, 3]}],
                "triggers": [
                    {"type": "git", "branches": ["main"], "ignorePaths": ["docs/**"]},
                    {"type": "pull_request", "events": ["opened"]}, {"type": "cron", "schedule": "0 9 * * *"},
                    {"type": "pipeline", "pipeline": "build", "statuses": ["SUCCEEDED"]}, {"use": "triggers/main"},
                ],
                "stages": [{"type": "work", "command": "x", "onFailure": "ignore", "retry": {"attempts": 3, "backoff": "10s"}}],
            })),
        ] {
            assert!(
                schema.is_valid(&good),
                "{good}: {:?}",
                schema.iter_errors(&good).map(|error| error.to_string()).collect::<Vec<_>>()
            );
        }
        for bad in [
            json!({"application": "shop"}),
            stage(json!({"type": "work"})),
            stage(json!({"type": "wrok", "command": "x"})),
            stage(json!({"type": "work", "command": "x", "comand": "y"})),
            stage(json!({"command": "x"})),
            with(json!({"name": "p", "stages": []})),
            with(json!({"name": "p", "stage": [], "stages": [{"type": "work", "command": "x"}]})),
            with(
                json!({"name": "p", "triggers": [{"type": "git", "branch": ["main"]}], "stages": [{"type": "work", "command": "x"}]}),
            ),
        ] {
            assert!(!schema.is_valid(&bad), "{bad}");
        }
    }
}
