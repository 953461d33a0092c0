//! The stage types that there are.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::SchemaFinding;
use super::finding::Speaker;
use crate::diagnostic::pointer_step;

/// What a schema says of a field whose expressions are never evaluated.
const RAW_MARK: &str = "x-longboat-raw";
/// ... of a condition: one expression, with `${ }` around it or not, that the stage evaluates itself.
const CONDITION_MARK: &str = "x-longboat-condition";
/// ... of a list of `{key, value}` whose values the stage evaluates one after the other, the earlier ones seen by the
/// later, and which become variables of the stages after it.
const VARIABLES_MARK: &str = "x-longboat-variables";
/// ... of a text that names a stage of the pipeline.
const STAGE_MARK: &str = "x-longboat-stage";
/// ... of values that are part of the format and that this version doesn't act on: the mark's value lists them.
const LATER_MARK: &str = "x-longboat-later";

/// What a schema says of a field that may name a secret.
const SECRET_MARK: &str = "x-longboat-secret";

/// The most errors of one stage that are put into words.
const MAX_ERRORS: usize = 50;

/// A type of stage, as its author's files see it.
#[derive(Debug, Clone)]
pub struct StageType {
    /// What `type` says.
    pub name: &'static str,
    /// For people.
    pub description: &'static str,
    /// The JSON Schema of its own fields, those common to all stages left out.
    pub schema: Value,
    /// JSON pointers of the fields whose expressions aren't evaluated before the stage starts: never, or by the
    /// stage itself; `*` stands for any index or key.
    pub raw: Vec<String>,
    /// JSON pointers of the fields in which `${ secret("name") }` is legal; `*` as above.
    pub secret: Vec<String>,
    /// Those of conditions, which the stage evaluates itself.
    pub conditions: Vec<String>,
    /// The field that lists variables, which the stage evaluates itself and yields.
    pub variables: Option<String>,
    /// JSON pointers of texts that name a stage of the pipeline.
    pub stage_names: Vec<String>,
    /// JSON pointers of fields with values that this version doesn't act on.
    pub later: Vec<(String, Vec<String>)>,
    /// What it always yields under `outputs`.
    pub outputs: &'static [&'static str],
    /// A stage of this type, in YAML, for people.
    pub example: &'static str,
    validator: Arc<OnceLock<Option<jsonschema::Validator>>>,
}

/// The stage type whose own fields are those of `T`.
pub fn stage_type<T: JsonSchema>(name: &'static str, description: &'static str) -> StageType {
    // Without references, so that the schema can be built into the one of application files.
    let mut generator =
        SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true).into_generator();
    let mut schema = generator.root_schema_for::<T>().to_value();
    join_lines(&mut schema);
    if let Some(object) = schema.as_object_mut().filter(|object| object.contains_key("properties")) {
        object.entry("additionalProperties").or_insert(Value::Bool(false));
    }
    let pointers = |mark| marked(&schema, mark).into_iter().map(|(pointer, _)| pointer).collect::<Vec<_>>();
    let (mut raw, conditions, stage_names) = (pointers(RAW_MARK), pointers(CONDITION_MARK), pointers(STAGE_MARK));
    let secret = pointers(SECRET_MARK);
    raw.extend(conditions.iter().cloned());
    let variables = pointers(VARIABLES_MARK).into_iter().next();
    raw.extend(variables.iter().map(|list| format!("{list}/*/value")));
    let variables = variables.map(|list| list.trim_start_matches('/').to_owned());
    let words = |values: &Value| serde_json::from_value::<Vec<String>>(values.clone()).unwrap_or_default();
    let later = marked(&schema, LATER_MARK).into_iter().map(|(pointer, values)| (pointer, words(values))).collect();
    StageType {
        name,
        description,
        raw,
        secret,
        conditions,
        variables,
        stage_names,
        later,
        outputs: &[],
        example: "",
        validator: Arc::default(),
        schema,
    }
}

/// Descriptions on one line: doc comments break theirs.
pub(super) fn join_lines(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(join_lines),
        Value::Object(map) => {
            map.values_mut().for_each(join_lines);
            if let Some(Value::String(text)) = map.get_mut("description") {
                *text = text.replace('\n', " ");
            }
        }
        _ => {}
    }
}

/// The pointers of all fields with a mark, and what the mark says; `*` stands for any item of a list or value of an
/// open mapping. What lies below a marked field isn't looked at.
fn marked<'s>(schema: &'s Value, mark: &str) -> Vec<(String, &'s Value)> {
    let mut found = Vec::new();
    find_marked(schema, mark, "", &mut found);
    found.dedup_by(|(left, _), (right, _)| left == right);
    found
}

fn find_marked<'s>(schema: &'s Value, mark: &str, pointer: &str, found: &mut Vec<(String, &'s Value)>) {
    if let Some(value) = schema.get(mark).filter(|value| **value != Value::Bool(false)) {
        found.push((pointer.to_owned(), value));
        return;
    }
    for (key, field) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        find_marked(field, mark, &format!("{pointer}/{}", pointer_step(key)), found);
    }
    for keyword in ["items", "additionalProperties"] {
        if let Some(field) = schema.get(keyword) {
            find_marked(field, mark, &format!("{pointer}/*"), found);
        }
    }
    for keyword in ["anyOf", "oneOf", "allOf"] {
        for branch in schema.get(keyword).and_then(Value::as_array).into_iter().flatten() {
            find_marked(branch, mark, pointer, found);
        }
    }
}

impl StageType {
    /// Says what the type always yields.
    #[must_use]
    pub fn with_outputs(mut self, outputs: &'static [&'static str]) -> Self {
        self.outputs = outputs;
        self
    }

    /// Says how a stage of this type is written; in YAML.
    #[must_use]
    pub fn with_example(mut self, example: &'static str) -> Self {
        self.example = example;
        self
    }

    /// The names of its own fields.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        let properties = self.schema.get("properties").and_then(Value::as_object);
        properties.into_iter().flat_map(|properties| properties.keys().map(String::as_str))
    }

    /// What is wrong with a stage's own fields, in the order of the fields.
    pub fn check(&self, fields: &Value) -> Vec<SchemaFinding> {
        // A schema that doesn't compile is a fault of the program, which the test of all types finds.
        let validator = self.validator.get_or_init(|| jsonschema::validator_for(&self.schema).ok());
        let Some(validator) = validator.as_ref().filter(|validator| !validator.is_valid(fields)) else {
            return Vec::new();
        };
        let subject = format!("a `{}` stage", self.name);
        let speaker = Speaker { schema: &self.schema, subject: &subject };
        let mut findings: Vec<_> =
            validator.iter_errors(fields).take(MAX_ERRORS).flat_map(|error| speaker.findings(&error)).collect();
        let misspelt: Vec<_> = findings.iter().filter_map(SchemaFinding::meant).collect();
        findings.retain(|finding| !misspelt.contains(&finding.place_of_missing()));
        findings
    }

    /// Whether the schema itself is valid, for the test of a catalogue.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_schema(&self) -> Result<(), String> {
        jsonschema::validator_for(&self.schema).map(drop).map_err(|error| error.to_string())
    }
}

/// All stage types, by name.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    types: BTreeMap<&'static str, StageType>,
}

impl Catalog {
    /// A catalogue of these types; of two with one name, the later counts.
    pub fn new(types: Vec<StageType>) -> Self {
        Self { types: types.into_iter().map(|kind| (kind.name, kind)).collect() }
    }

    /// The type of that name.
    pub fn get(&self, name: &str) -> Option<&StageType> {
        self.types.get(name)
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.types.keys().copied()
    }

    /// All types, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = &StageType> {
        self.types.values()
    }
}

#[cfg(test)]
#[allow(dead_code, reason = "of the fields only the schema counts")]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::model::Span;
    use crate::schema::Dynamic;

    /// Where it works.
    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(rename_all = "camelCase")]
    enum Place {
        /// Together.
        Shared,
        /// Alone.
        Fresh,
    }

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(untagged)]
    enum Command {
        Line(String),
        Arguments(#[schemars(length(min = 1))] Vec<String>),
    }

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Files {
        #[serde(default)]
        save: Vec<String>,
        #[schemars(extend("x-longboat-raw" = true))]
        from: Option<String>,
    }

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Work {
        #[schemars(extend("x-longboat-raw" = true))]
        command: Command,
        attempts: Option<Dynamic<u32>>,
        #[serde(default)]
        fast: Dynamic<bool>,
        wait_time: Option<Dynamic<Span>>,
        pause: Option<Span>,
        place: Option<Place>,
        env: Option<BTreeMap<String, String>>,
        files: Option<Files>,
        #[schemars(range(min = 1, max = 10))]
        weight: Option<u32>,
        #[schemars(length(min = 1))]
        title: Option<String>,
    }

    fn work() -> StageType {
        stage_type::<Work>("work", "Works")
    }

    #[test]
    fn what_is_right_passes() {
        for fields in [
            json!({"command": "true"}),
            json!({"command": ["a", "b"], "attempts": "${ parameters.n }", "fast": "${ true }", "waitTime": 90}),
            json!({"command": "x", "attempts": 3, "waitTime": "1h30m", "pause": "5m", "place": "fresh", "env": {"A": "b"}}),
            json!({"command": "x", "waitTime": "${ parameters.wait }", "files": {"save": ["x"]}, "place": null}),
        ] {
            assert_eq!(work().check(&fields), [], "{fields}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_in_words() {
        let wrong = [
            json!({}),
            json!({"comand": "x"}),
            json!({"command": "x", "zebra": 1}),
            json!({"command": 3}),
            json!({"command": ["a", 1]}),
            json!({"command": []}),
            json!({"command": "x", "attempts": "three"}),
            json!({"command": "x", "attempts": -1}),
            json!({"command": "x", "fast": "yes"}),
            json!({"command": "x", "waitTime": "soon"}),
            json!({"command": "x", "waitTime": [1]}),
            json!({"command": "x", "pause": "${ parameters.n }"}),
            json!({"command": "x", "pause": -5}),
            json!({"command": "x", "place": "shred"}),
            json!({"command": "x", "place": 7}),
            json!({"command": "x", "env": {"PORT": 80}}),
            json!({"command": "x", "env": ["PORT=80"]}),
            json!({"command": "x", "files": {"sve": ["x"]}}),
            json!({"command": "x", "weight": 11, "title": ""}),
            json!({"command": "x", "weight": "${ 1 }"}),
            json!([]),
        ];
        let said: Vec<_> = wrong
            .iter()
            .map(|fields| {
                let findings = work().check(fields);
                let line = |finding: SchemaFinding| {
                    let hint = finding.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
                    format!("  {:?} {}{hint}", finding.pointer, finding.message)
                };
                format!("{fields}\n{}", findings.into_iter().map(line).collect::<Vec<_>>().join("\n"))
            })
            .collect();
        insta::assert_snapshot!(said.join("\n"), @r#"
        {}
          "" a `work` stage needs `command`
        {"comand":"x"}
          "/comand" a `work` stage has no field `comand` (did you mean `command`?)
        {"command":"x","zebra":1}
          "/zebra" a `work` stage has no field `zebra` (known here: `command`, `attempts`, `fast`, `waitTime`, `pause`, `place`, `env`, `files`, `weight` and `title`)
        {"command":3}
          "/command" `command` has to be a string or a list, not an integer (`3`)
        {"command":["a",1]}
          "/command/1" `command[1]` has to be a string, not an integer (`1`) (put it in quotes: `"1"`)
        {"command":[]}
          "/command" `command` must not be empty
        {"command":"x","attempts":"three"}
          "/attempts" `attempts` has to be a whole number, not a string (`three`)
        {"command":"x","attempts":-1}
          "/attempts" `attempts` has to be 0 or more, not an integer (`-1`)
        {"command":"x","fast":"yes"}
          "/fast" `fast` has to be true or false, not a string (`yes`)
        {"command":"x","waitTime":"soon"}
          "/waitTime" `waitTime`: `soon` is not a duration: write `90s`, `5m`, `2h`, `3d`, `500ms`, or whole seconds, up to 3650 days
        {"command":"x","waitTime":[1]}
          "/waitTime" `waitTime` has to be a duration like `90s` or `2h`, not a list
        {"command":"x","pause":"${ parameters.n }"}
          "/pause" `pause`: `${ parameters.n }` is not a duration: write `90s`, `5m`, `2h`, `3d`, `500ms`, or whole seconds, up to 3650 days (no expression is evaluated here: write the value itself)
        {"command":"x","pause":-5}
          "/pause" `pause`: `-5` is not a duration: write `90s`, `5m`, `2h`, `3d`, `500ms`, or whole seconds, up to 3650 days
        {"command":"x","place":"shred"}
          "/place" `place` has to be `shared` or `fresh`, not `shred` (did you mean `shared`?)
        {"command":"x","place":7}
          "/place" `place` has to be `shared` or `fresh`, not an integer (`7`)
        {"command":"x","env":{"PORT":80}}
          "/env/PORT" `env.PORT` has to be a string, not an integer (`80`) (put it in quotes: `"80"`)
        {"command":"x","env":["PORT=80"]}
          "/env" `env` has to be a mapping, not a list
        {"command":"x","files":{"sve":["x"]}}
          "/files/sve" `files` has no field `sve` (did you mean `save`?)
        {"command":"x","weight":11,"title":""}
          "/weight" `weight` has to be 10 or less, not an integer (`11`)
          "/title" `title` must not be empty
        {"command":"x","weight":"${ 1 }"}
          "/weight" `weight` has to be a whole number, not a string (`${ 1 }`) (no expression is evaluated here: write the value itself)
        []
          "" a `work` stage has to be a mapping, not a list
        "#);
    }

    #[test]
    fn marks_are_found_at_every_depth() {
        assert_eq!(work().raw, ["/command", "/files/from"]);
    }

    #[test]
    fn a_dynamic_value_reads_both_ways() {
        let read = |value: Value| serde_json::from_value::<Dynamic<u32>>(value);
        assert_eq!(read(json!(3)).expect("a number"), Dynamic::Value(3));
        assert_eq!(read(json!("${ 1 }")).expect("an expression"), Dynamic::Expression("${ 1 }".to_owned()));
        insta::assert_snapshot!(read(json!("x")).expect_err("a text"), @r#"invalid type: string "x", expected u32"#);
    }

    #[test]
    fn a_catalogue_knows_its_types_by_name() {
        let catalog = Catalog::new(vec![work(), stage_type::<Files>("files", "Files")]);
        assert_eq!(catalog.names().collect::<Vec<_>>(), ["files", "work"]);
        assert!(catalog.get("work").is_some_and(|kind| kind.check_schema().is_ok()));
        assert!(catalog.get("Work").is_none());
    }
}
