//! A module's header as its author writes it. Like [`format`](super::format): never filled, the source of the schema
//! and of the keys that are known.
#![allow(dead_code, reason = "only the schemas of these types count")]

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde_json::{Value, json};

/// The first document of a module's file, before the line `---`. The body below it is a template, and not described here.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields, title = "Longboat module header")]
#[schemars(example = json!({"module": {
    "description": "Ships an image.",
    "yields": "stage",
    "parameters": {"image": {"type": "string", "required": true, "description": "What is shipped"}},
    "examples": [{"with": {"image": "shop:1.2"}}],
}}))]
pub struct ModuleFile {
    /// What the module says about itself.
    module: ModuleHeaderFile,
}

/// What a module says about itself.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
pub struct ModuleHeaderFile {
    /// What it is for.
    #[schemars(length(max = 2000))]
    description: Option<String>,
    /// What its body makes, and so where a call may stand.
    yields: Option<YieldsFile>,
    /// What a call gives, by name; the body sees it under that name.
    #[schemars(default, extend("propertyNames" = {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$", "maxLength": 63}))]
    #[schemars(extend("maxProperties" = 100))]
    parameters: Option<BTreeMap<String, Option<ModuleParameterFile>>>,
    /// Calls that work. `longboat modules check` tries them, `longboat modules show` prints them.
    #[schemars(default, length(max = 20))]
    examples: Option<Vec<ModuleExampleFile>>,
}

/// What a module yields.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum YieldsFile {
    /// One stage; the call stands in a list `stages`.
    Stage,
    /// A list of stages, which take the place of the call in the list around it.
    Stages,
    /// What starts a pipeline; the call stands in a list `triggers`.
    Trigger,
    /// A notification; the call stands in a list `notifications`.
    Notification,
    /// A whole pipeline; the call stands in a list `pipelines`.
    Pipeline,
    /// Anything; the call may stand anywhere.
    Value,
}

/// A parameter of a module.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("allOf" = [
    {"if": {"properties": {"type": {"const": "enum"}}, "required": ["type"]}, "then": {"required": ["options"]}, "else": {"properties": {"options": false}}},
    {"if": {"properties": {"required": {"const": true}}, "required": ["required"]}, "then": {"properties": {"default": false}}},
    {"if": {"properties": {"type": {"const": "string"}}, "required": ["type"]}, "else": {"properties": {"pattern": false}}},
    {"if": {"properties": {"type": {"const": "list"}}, "required": ["type"]}, "else": {"properties": {"items": false}}},
]))]
#[schemars(example = json!({"type": "integer", "default": 2, "min": 1, "max": 100, "description": "How many"}))]
pub struct ModuleParameterFile {
    /// What it takes; anything, if it is missing.
    #[schemars(rename = "type")]
    kind: Option<ModuleTypeFile>,
    /// Of a list: the type of its items.
    items: Option<ModuleItemFile>,
    /// Whether a call has to give it.
    #[schemars(default)]
    required: bool,
    /// What it is if a call doesn't give it.
    default: Option<Value>,
    /// For people.
    #[schemars(length(max = 2000))]
    description: Option<String>,
    /// Of a string: a regular expression that the whole text has to match.
    #[schemars(length(max = 1000), extend("format" = "regex"))]
    pattern: Option<String>,
    /// The least: of a number, of the characters of a string, of the items of a list.
    min: Option<f64>,
    /// The most.
    max: Option<f64>,
    /// Of an enum: what there is to choose from.
    #[schemars(length(min = 1, max = 200), extend("uniqueItems" = true))]
    options: Option<Vec<ModuleOptionFile>>,
    /// What to do instead of giving it; a call that does gets a warning.
    #[schemars(length(max = 2000))]
    deprecated: Option<String>,
}

/// The type of a parameter.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum ModuleTypeFile {
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// Any number.
    Number,
    /// True or false.
    Boolean,
    /// A list.
    List,
    /// A mapping.
    Object,
    /// One of `options`.
    Enum,
    /// The name of a secret: `${ secret("name") }`.
    Secret,
}

/// The type of the items of a list.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum ModuleItemFile {
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// Any number.
    Number,
    /// True or false.
    Boolean,
    /// A list.
    List,
    /// A mapping.
    Object,
}

/// One of the values of an enum.
#[derive(JsonSchema)]
#[schemars(untagged)]
enum ModuleOptionFile {
    /// Text.
    Text(String),
    /// A number.
    Number(f64),
    /// True or false.
    Flag(bool),
}

/// A call that works.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(example = json!({"description": "One copy", "with": {"image": "shop:1.2", "replicas": 1}}))]
pub struct ModuleExampleFile {
    /// What it shows.
    #[schemars(length(max = 2000))]
    description: Option<String>,
    /// What the call gives.
    #[schemars(default)]
    with: Option<BTreeMap<String, Value>>,
    /// The stages that stand before the call, if it needs any.
    #[schemars(default)]
    before: Option<Vec<BTreeMap<String, Value>>>,
}
