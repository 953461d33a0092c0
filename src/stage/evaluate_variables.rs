//! `evaluateVariables`: gives names to values (Spinnaker's stage of the same name).
//!
//! The values are evaluated here and not before the stage starts, because each sees those above it. What comes of
//! it is the stage's outputs, which the engine records, so nothing is ever evaluated again after that.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::fields_of;
use crate::engine::{CancelReason, Effect, Failure, Outcome, StageContext, StageHandler, Wake};
use crate::expression::{FieldError, Scope, resolve};

/// For people.
pub(super) const DESCRIPTION: &str = "Evaluates expressions and gives their values names. Expressions of all stages after it see them as \
     `variables.<key>`; of two stages that set the same key, the nearer counts. One that can't be evaluated fails the stage.";

/// A stage of this type.
pub(super) const EXAMPLE: &str = "\
id: names
type: evaluateVariables
variables:
  - {key: version, value: \"${ semver(parameters.tag) }\", description: The version that is deployed}
  - {key: track, value: \"${ variables.version.major >= 2 ? 'stable' : 'legacy' }\"}
";

/// The fields of an `evaluateVariables` stage.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct Fields {
    /// The variables, evaluated from the first to the last: each sees those above it.
    #[schemars(length(min = 1, max = 200), extend("x-longboat-variables" = true))]
    variables: Vec<Variable>,
}

/// A name and its value.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
struct Variable {
    /// The name: under it the value stands in the outputs, and in `variables`.
    #[schemars(length(min = 1, max = 100))]
    key: String,
    /// The value: a text with `${ }`, or a list or mapping of such texts.
    value: Value,
    /// For people.
    #[serde(default, rename = "description")]
    _description: Option<String>,
}

pub(super) struct EvaluateVariables;

fn evaluate(ctx: &StageContext) -> Outcome {
    let fields = match fields_of::<Fields>(ctx) {
        Ok(fields) => fields,
        Err(refused) => return refused,
    };
    let mut scope = Scope::clone(&ctx.scope);
    let mut outputs = Map::new();
    for Variable { key, value, .. } in fields.variables {
        let one = Map::from_iter([("value".to_owned(), value)]);
        let value = match resolve(&one, &[], &scope) {
            Ok(mut resolved) => resolved.swap_remove("value").unwrap_or_default(),
            Err(error) => {
                let message = explain(&key, &error);
                return Outcome::Fail(Failure { message, retryable: false, outputs, on_failure: None });
            }
        };
        if let Value::Object(variables) = &mut scope.variables {
            variables.insert(key.clone(), value.clone());
        } else {
            scope.variables = Value::Object(Map::from_iter([(key.clone(), value.clone())]));
        }
        outputs.insert(key, value);
    }
    Outcome::Done { outputs }
}

fn explain(key: &str, error: &FieldError) -> String {
    let hint = error.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
    format!("its variable `{key}` (`{}`) can't be evaluated: {}{hint}", error.expression, error.message)
}

#[async_trait]
impl StageHandler for EvaluateVariables {
    fn kind(&self) -> &'static str {
        "evaluateVariables"
    }

    fn effect(&self) -> Effect {
        Effect::None
    }

    fn evaluates(&self) -> bool {
        true
    }

    fn yields_variables(&self) -> bool {
        true
    }

    async fn start(&self, ctx: &StageContext) -> Outcome {
        evaluate(ctx)
    }

    async fn resume(&self, ctx: &StageContext, _: Option<Value>, _: Wake) -> Outcome {
        evaluate(ctx)
    }

    async fn cancel(&self, _: &StageContext, _: Option<Value>, _: CancelReason) {}
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::Stage;
    use super::*;

    async fn run(variables: Value) -> Outcome {
        let scope = Scope { parameters: json!({"n": 4}), variables: json!({"old": 1, "x": "far"}), ..Scope::default() };
        let (ctx, _signals) = Stage::of("evaluateVariables", json!({"variables": variables})).scope(scope).context();
        EvaluateVariables.start(&ctx).await
    }

    #[tokio::test]
    async fn later_ones_see_earlier_ones() {
        let outcome = run(json!([
            {"key": "x", "value": "${ parameters.n + variables.old }"},
            {"key": "y", "value": {"deep": ["${ variables.x * 2 }", "plain"]}, "description": "twice"},
            {"key": "z", "value": "v${ variables.y.deep[0] }"},
        ]));
        let Outcome::Done { outputs } = outcome.await else { panic!("succeeds") };
        assert_eq!(Value::Object(outputs), json!({"x": 5, "y": {"deep": [10, "plain"]}, "z": "v10"}));
    }

    #[tokio::test]
    async fn one_that_fails_is_named_with_what_it_saw() {
        let outcome = run(json!([{"key": "x", "value": 1}, {"key": "bad", "value": "${ parameters.n + 'a' }"}])).await;
        let Outcome::Fail(failure) = outcome else { panic!("fails") };
        assert_eq!(
            failure.message,
            "its variable `bad` (`${ parameters.n + 'a' }`) can't be evaluated: `parameters.n + 'a'`: `+` doesn't take \
             an int (4) and a string (\"a\") (turn the number into text with `string(...)`)"
        );
        assert_eq!(Value::Object(failure.outputs), json!({"x": 1}));
        let Outcome::Fail(failure) = run(json!([{"key": "a", "value": "${ variables.b }"}])).await else {
            panic!("fails")
        };
        assert!(failure.message.contains("`variables` has no `b`; it has `old`, `x`"), "{}", failure.message);
    }
}
