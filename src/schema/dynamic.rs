//! Fields that may be an expression until the stage starts.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::words::EXPRESSION_PATTERN;

/// A value, or the expression that yields it. After [`crate::expression::resolve`] only the value is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Dynamic<T> {
    /// The value.
    Value(T),
    /// A text with `${ }` in it.
    Expression(String),
}

impl<T> Dynamic<T> {
    /// The value, unless it is still an expression.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Expression(_) => None,
        }
    }

    /// The value, unless it is still an expression.
    pub fn into_value(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Expression(_) => None,
        }
    }
}

impl<T: Default> Default for Dynamic<T> {
    fn default() -> Self {
        Self::Value(T::default())
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Dynamic<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Not `untagged`, so that a wrong value gets T's own message.
        let value = Value::deserialize(deserializer)?;
        match serde_json::from_value(value.clone()) {
            Ok(value) => Ok(Self::Value(value)),
            Err(error) => match value {
                Value::String(text) if text.contains("${") => Ok(Self::Expression(text)),
                _ => Err(serde::de::Error::custom(error)),
            },
        }
    }
}

impl<T: JsonSchema> JsonSchema for Dynamic<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Dynamic_{}", T::schema_name()).into()
    }

    fn schema_id() -> Cow<'static, str> {
        format!("longboat::Dynamic<{}>", T::schema_id()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<T>();
        json_schema!({"anyOf": [value, {"type": "string", "pattern": EXPRESSION_PATTERN}]})
    }
}
