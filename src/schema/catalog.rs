//! The stage types that there are.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::SchemaFinding;

/// What a schema says of a field whose expressions are never evaluated.
const RAW_MARK: &str = "x-longboat-raw";

/// A type of stage, as its author's files see it.
#[derive(Debug, Clone)]
pub struct StageType {
    /// What `type` says.
    pub name: &'static str,
    /// For people.
    pub description: &'static str,
    /// The JSON Schema of its own fields, those common to all stages left out.
    pub schema: Value,
    /// JSON pointers of the fields whose expressions are never evaluated.
    pub raw: Vec<String>,
    /// What it always yields under `outputs`.
    pub outputs: &'static [&'static str],
    validator: Arc<OnceLock<Option<jsonschema::Validator>>>,
}

/// The stage type whose own fields are those of `T`.
pub fn stage_type<T: JsonSchema>(name: &'static str, description: &'static str) -> StageType {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let schema = generator.root_schema_for::<T>().to_value();
    let raw = raw_fields(&schema);
    StageType { name, description, schema, raw, outputs: &[], validator: Arc::default() }
}

fn raw_fields(schema: &Value) -> Vec<String> {
    let properties = schema.get("properties").and_then(Value::as_object);
    let is_raw = |field: &Value| field.get(RAW_MARK).and_then(Value::as_bool) == Some(true);
    properties
        .into_iter()
        .flatten()
        .filter(|(_, field)| is_raw(field))
        .map(|(key, _)| format!("/{}", key.replace('~', "~0").replace('/', "~1")))
        .collect()
}

impl StageType {
    /// Says what the type always yields.
    #[must_use]
    pub fn with_outputs(mut self, outputs: &'static [&'static str]) -> Self {
        self.outputs = outputs;
        self
    }

    /// What is wrong with a stage's own fields.
    pub fn check(&self, fields: &Value) -> Vec<SchemaFinding> {
        let validator = self.validator.get_or_init(|| jsonschema::validator_for(&self.schema).ok());
        let Some(validator) = validator else { return Vec::new() };
        validator
            .iter_errors(fields)
            .map(|error| SchemaFinding::other(error.instance_path().to_string(), error.to_string()))
            .collect()
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
