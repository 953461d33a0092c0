//! Between CEL's values and JSON.

use serde_json::{Map, Number, Value};

/// A CEL value as JSON.
///
/// # Errors
/// If JSON has no such value: not a number, infinite, or a type or function of the language.
pub(super) fn to_json(value: &cel::Value) -> Result<Value, String> {
    Ok(match value {
        cel::Value::Null => Value::Null,
        cel::Value::Bool(flag) => Value::Bool(*flag),
        cel::Value::Int(number) => Value::from(*number),
        cel::Value::UInt(number) => Value::from(*number),
        cel::Value::Float(number) => Number::from_f64(*number)
            .map(Value::Number)
            .ok_or_else(|| format!("yields {number}, which JSON can't hold"))?,
        cel::Value::String(text) => Value::String(text.to_string()),
        cel::Value::List(items) => Value::Array(items.iter().map(to_json).collect::<Result<_, _>>()?),
        cel::Value::Map(map) => {
            let mut entries: Vec<_> = map.map.iter().map(|(key, value)| (key.to_string(), value)).collect();
            entries.sort_by(|left, right| left.0.cmp(&right.0));
            let mut object = Map::new();
            for (key, value) in entries {
                object.insert(key, to_json(value)?);
            }
            Value::Object(object)
        }
        other => other.json().map_err(|_| "yields a value that JSON can't hold".to_owned())?,
    })
}
