//! The parameters of a start, held against what the pipeline declares.

use std::fmt;

use serde_json::{Map, Number, Value};

use super::{Dialect, Parameter, ParameterType, Pipeline};
use crate::diagnostic::nearest;

/// What is wrong with one parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterProblem {
    /// The parameter's name.
    pub parameter: String,
    /// What is wrong, as the end of a sentence that begins with the name.
    pub problem: String,
}

impl fmt::Display for ParameterProblem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "parameter `{}` {}", self.parameter, self.problem)
    }
}

/// Checks what a start gives and fills in defaults. A parameter that has no value is null, so that expressions
/// can ask for it. In the `spinnaker` dialect a text is taken for every type, and texts are made of other
/// values, because Spinnaker's parameters are texts.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn check_parameters(
    pipeline: &Pipeline,
    given: Map<String, Value>,
) -> Result<Map<String, Value>, Vec<ParameterProblem>> {
    check_declared(&pipeline.parameters, pipeline.dialect, given)
}

/// As [`check_parameters`], for a pipeline of which no more is known.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn check_declared(
    declared: &[Parameter],
    dialect: Dialect,
    mut given: Map<String, Value>,
) -> Result<Map<String, Value>, Vec<ParameterProblem>> {
    let mut checked = Map::new();
    let mut problems = Vec::new();
    for parameter in declared {
        match value_of(parameter, dialect, given.shift_remove(&parameter.name)) {
            Ok(value) => {
                checked.insert(parameter.name.clone(), value);
            }
            Err(problem) => problems.push(ParameterProblem { parameter: parameter.name.clone(), problem }),
        }
    }
    for name in given.keys() {
        let names = declared.iter().map(|parameter| parameter.name.as_str());
        let problem = match nearest(name, names) {
            Some(near) => format!("is not declared by the pipeline; did you mean `{near}`?"),
            None if declared.is_empty() => "is not declared: the pipeline takes no parameters".to_owned(),
            None => "is not declared by the pipeline".to_owned(),
        };
        problems.push(ParameterProblem { parameter: name.clone(), problem });
    }
    if problems.is_empty() { Ok(checked) } else { Err(problems) }
}

fn value_of(parameter: &Parameter, dialect: Dialect, given: Option<Value>) -> Result<Value, String> {
    let given = given.filter(|value| !value.is_null()).or_else(|| parameter.default.clone());
    let Some(value) = given.filter(|value| !value.is_null()) else {
        return if parameter.required { Err("is required and has no default".to_owned()) } else { Ok(Value::Null) };
    };
    let value = match dialect {
        Dialect::Longboat => value,
        Dialect::Spinnaker => converted(parameter.kind, value),
    };
    if !fits(parameter.kind, &value) {
        return Err(format!("must be {}, not {}", wanted(parameter.kind), found(&value)));
    }
    let allowed = parameter.options.is_empty()
        || parameter.options.iter().any(|option| match dialect {
            Dialect::Longboat => *option == value,
            Dialect::Spinnaker => converted(parameter.kind, option.clone()) == value,
        });
    if allowed {
        Ok(value)
    } else {
        let options: Vec<String> =
            parameter.options.iter().take(20).map(|option| format!("`{}`", text(option))).collect();
        Err(format!("must be one of {}, not `{}`", options.join(", "), short(&text(&value))))
    }
}

fn converted(kind: ParameterType, value: Value) -> Value {
    match (kind, &value) {
        (ParameterType::String, Value::Number(_) | Value::Bool(_)) => Value::String(text(&value)),
        (ParameterType::Integer, Value::String(text)) => text.trim().parse::<i64>().map_or(value, Value::from),
        (ParameterType::Number, Value::String(text)) => {
            let number = text.trim().parse::<i64>().map(Number::from).ok();
            let number = number.or_else(|| text.trim().parse::<f64>().ok().and_then(Number::from_f64));
            number.map_or(value, Value::Number)
        }
        (ParameterType::Boolean, Value::String(text)) => text.trim().parse::<bool>().map_or(value, Value::Bool),
        (ParameterType::List | ParameterType::Object, Value::String(text)) => {
            serde_json::from_str(text).ok().filter(|read| fits(kind, read)).unwrap_or(value)
        }
        _ => value,
    }
}

fn fits(kind: ParameterType, value: &Value) -> bool {
    match kind {
        ParameterType::String => value.is_string(),
        ParameterType::Integer => value.is_i64() || value.is_u64(),
        ParameterType::Number => value.is_number(),
        ParameterType::Boolean => value.is_boolean(),
        ParameterType::List => value.is_array(),
        ParameterType::Object => value.is_object(),
    }
}

const fn wanted(kind: ParameterType) -> &'static str {
    match kind {
        ParameterType::String => "a text",
        ParameterType::Integer => "a whole number",
        ParameterType::Number => "a number",
        ParameterType::Boolean => "true or false",
        ParameterType::List => "a list",
        ParameterType::Object => "a mapping",
    }
}

fn found(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(flag) => format!("{flag}"),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => format!("the text `{}`", short(text)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a mapping".to_owned(),
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn short(text: &str) -> String {
    let mut cut: String = text.chars().take(60).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    cut
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pipeline(dialect: Dialect, parameters: Value) -> (Dialect, Vec<Parameter>) {
        (dialect, serde_json::from_value(parameters).expect("parameters"))
    }

    fn check((dialect, parameters): &(Dialect, Vec<Parameter>), given: Value) -> Result<Value, Vec<String>> {
        check_declared(parameters, *dialect, given.as_object().expect("an object").clone())
            .map(Value::Object)
            .map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn defaults_are_filled_in_and_order_is_the_author_s() {
        let pipeline = pipeline(
            Dialect::Longboat,
            json!([{"name": "version", "default": "1"}, {"name": "count", "type": "integer"}, {"name": "dry", "type": "boolean", "default": false}]),
        );
        let checked = check(&pipeline, json!({"dry": true})).expect("fine");
        assert_eq!(checked.to_string(), r#"{"version":"1","count":null,"dry":true}"#);
    }

    #[test]
    fn all_problems_come_at_once() {
        let pipeline = pipeline(
            Dialect::Longboat,
            json!([
                {"name": "version", "required": true},
                {"name": "count", "type": "integer"},
                {"name": "region", "options": ["eu", "us"]},
            ]),
        );
        let problems =
            check(&pipeline, json!({"count": "3", "region": "de", "versoin": 1, "x": 1})).expect_err("wrong");
        assert_eq!(
            problems,
            [
                "parameter `version` is required and has no default",
                "parameter `count` must be a whole number, not the text `3`",
                "parameter `region` must be one of `eu`, `us`, not `de`",
                "parameter `versoin` is not declared by the pipeline; did you mean `version`?",
                "parameter `x` is not declared by the pipeline",
            ]
        );
    }

    #[test]
    fn types_are_strict_in_longboat_s_own_dialect() {
        for (kind, good, bad) in [
            ("string", json!("1"), json!(1)),
            ("integer", json!(-3), json!(3.5)),
            ("number", json!(3.5), json!("3.5")),
            ("boolean", json!(true), json!("true")),
            ("list", json!([1]), json!("[1]")),
            ("object", json!({"a": 1}), json!([["a", 1]])),
        ] {
            let pipeline = pipeline(Dialect::Longboat, json!([{"name": "p", "type": kind}]));
            assert_eq!(check(&pipeline, json!({"p": good})), Ok(json!({"p": good})), "{kind}");
            assert!(check(&pipeline, json!({"p": bad})).is_err(), "{kind}");
        }
    }

    #[test]
    fn spinnaker_s_texts_stand_for_every_type() {
        for (kind, given, expected) in [
            ("string", json!(3), json!("3")),
            ("integer", json!(" 3 "), json!(3)),
            ("number", json!("3.5"), json!(3.5)),
            ("boolean", json!("true"), json!(true)),
            ("list", json!("[1]"), json!([1])),
            ("object", json!("{\"a\": 1}"), json!({"a": 1})),
        ] {
            let pipeline = pipeline(Dialect::Spinnaker, json!([{"name": "p", "type": kind, "default": given}]));
            assert_eq!(check(&pipeline, json!({})), Ok(json!({"p": expected})), "{kind}");
        }
        let pipeline = pipeline(Dialect::Spinnaker, json!([{"name": "p", "type": "integer", "options": ["1", "2"]}]));
        assert_eq!(check(&pipeline, json!({"p": "2"})), Ok(json!({"p": 2})));
        assert!(check(&pipeline, json!({"p": "three"})).is_err());
    }
}
