//! How a duration is written in a file.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::words::DURATION_MARK;
use crate::model::Span;

impl JsonSchema for Span {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                {"type": "string", "pattern": r"^([0-9]+(ms|s|m|h|d))+$|^[0-9]+$"},
                {"type": "integer", "minimum": 0, "maximum": 315_360_000},
            ],
            (DURATION_MARK): true,
        })
    }
}
