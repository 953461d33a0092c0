//! The schema of application files as editors need it: they check the file as it is written, before its templates are
//! rendered, and they complete and explain what is being typed.
//!
//! - A tag of the template language stands for any value. In quotes it is a text with `{{` in it; without quotes YAML
//!   reads `{{ x }}` as a mapping of one mapping to nothing, and so does an editor.
//! - A choice of documented words is an `enum`, which is completed and which leaves the description of the field alone.
//! - Which of several shapes is meant is told by `type`, so that what is missing or wrong is said of that shape.

use serde_json::{Map, Value, json};

/// The definition of a template tag.
const TEMPLATE: &str = "Template";
/// Keys that are read before rendering, or that say which shape is meant; at the top of a file there are more.
const LITERAL: [&str; 3] = ["vars", "type", "use"];

/// Makes a schema with `$defs` one for editors.
pub(super) fn for_editors(schema: &mut Value) {
    words(schema);
    choose_by_type(schema.pointer_mut("/$defs/TriggerFile"));
    templates(schema, true);
    if let Some(definitions) = schema.get_mut("$defs").and_then(Value::as_object_mut) {
        definitions.insert(TEMPLATE.to_owned(), template());
    }
}

fn template() -> Value {
    json!({
        "description": "A tag of the template language, like `{{ vars.region }}`. It is replaced when the file is rendered.",
        "anyOf": [
            {"type": "string", "pattern": r"\{\{"},
            {"type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": {"type": "null"}},
        ],
    })
}

/// Lets a tag stand for the value of each key, item and entry.
fn templates(schema: &mut Value, top: bool) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(|item| templates(item, false)),
        Value::Object(map) => {
            for (keyword, value) in map.iter_mut() {
                match keyword.as_str() {
                    // Conditions choose; data is data.
                    "if" | "enum" | "const" | "default" | "examples" | "required" => {}
                    "properties" => {
                        let keys = value.as_object_mut().into_iter().flatten();
                        for (name, field) in keys {
                            templates(field, false);
                            let literal = match name.as_str() {
                                "application" | "environment" => top,
                                name => LITERAL.contains(&name),
                            };
                            if !literal {
                                or_template(field);
                            }
                        }
                    }
                    "items" | "additionalProperties" if value.is_object() => {
                        templates(value, false);
                        or_template(value);
                    }
                    "$defs" => value.as_object_mut().into_iter().flatten().for_each(|(_, one)| templates(one, false)),
                    _ => templates(value, false),
                }
            }
        }
        _ => {}
    }
}

/// The field, or a tag. What explains the field stays with it.
fn or_template(field: &mut Value) {
    let Value::Object(own) = std::mem::take(field) else { return };
    let (outer, inner): (Map<_, _>, Map<_, _>) =
        own.into_iter().partition(|(key, _)| matches!(key.as_str(), "description" | "default" | "examples"));
    let mut whole = outer;
    if inner.is_empty() {
        // Anything goes, a tag as well.
        *field = Value::Object(whole);
        return;
    }
    let tag = json!({"$ref": format!("#/$defs/{TEMPLATE}")});
    whole.insert("anyOf".to_owned(), json!([inner, tag]));
    *field = Value::Object(whole);
}

/// A choice of constants with descriptions becomes an enumeration.
fn words(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(words),
        Value::Object(map) => {
            map.values_mut().for_each(words);
            let Some(choices) = map.get("oneOf").and_then(Value::as_array) else { return };
            let word = |choice: &Value| Some((choice.get("const")?.clone(), choice.get("description").cloned()));
            let Some(choices) = choices.iter().map(word).collect::<Option<Vec<_>>>() else { return };
            map.shift_remove("oneOf");
            map.insert("type".to_owned(), json!("string"));
            map.insert("enum".to_owned(), choices.iter().map(|(word, _)| word.clone()).collect());
            let meanings: Value =
                choices.into_iter().map(|(_, meaning)| meaning.unwrap_or_else(|| json!(""))).collect();
            map.insert("enumDescriptions".to_owned(), meanings);
        }
        _ => {}
    }
}

/// An object of several shapes, each with a constant `type`, becomes one that `type` decides.
fn choose_by_type(schema: Option<&mut Value>) {
    let Some(Value::Object(map)) = schema else { return };
    let Some(Value::Array(mut shapes)) = map.shift_remove("oneOf") else { return };
    let mut names = Vec::new();
    let mut meanings = Vec::new();
    let mut choices = Vec::new();
    for shape in &mut shapes {
        let name = shape.pointer("/properties/type/const").cloned().unwrap_or_default();
        let about = shape.get("description").cloned().unwrap_or_else(|| json!(""));
        if let Some(kind) = shape.pointer_mut("/properties/type") {
            *kind = json!({"const": name, "description": about});
        }
        choices.push(json!({
            "if": {"properties": {"type": {"const": name}}, "required": ["type"]},
            "then": shape,
        }));
        names.push(name);
        meanings.push(about);
    }
    map.insert("type".to_owned(), json!("object"));
    map.insert(
        "properties".to_owned(),
        json!({"type": {
            "description": "What starts the pipeline.", "type": "string", "enum": names, "enumDescriptions": meanings,
        }}),
    );
    map.insert("required".to_owned(), json!(["type"]));
    map.insert("allOf".to_owned(), json!(choices));
}
