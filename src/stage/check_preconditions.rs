//! `checkPreconditions`: goes on only if things are as they should be (Spinnaker's stage of the same name).
//!
//! Expressions are evaluated here and not before the stage starts, so that all preconditions that don't hold are
//! reported together, and one that can't be evaluated is one that doesn't hold.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::fields_of;
use crate::engine::{CancelReason, Effect, Failure, Outcome, StageContext, StageHandler, Wake};
use crate::expression::{Expression, Scope, Template, has_expression};
use crate::model::{OnFailure, Status};
use crate::schema::Dynamic;

/// For people.
pub(super) const DESCRIPTION: &str =
    "Goes on only if all preconditions hold. All are checked, and all that don't hold are reported together.";

/// A stage of this type.
pub(super) const EXAMPLE: &str = "\
id: sane
type: checkPreconditions
preconditions:
  - {type: expression, expression: 'size(parameters.regions) > 0', failureMessage: Name a region}
  - {type: stageStatus, stageName: Test, stageStatus: SUCCEEDED, failPipeline: false}
";

/// The fields of a `checkPreconditions` stage.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct Fields {
    /// What has to hold.
    #[schemars(length(min = 1, max = 100))]
    preconditions: Vec<Precondition>,
}

/// Something that has to hold.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
struct Precondition {
    /// What is looked at.
    #[serde(rename = "type")]
    #[schemars(extend("x-longboat-later" = ["clusterSize"]))]
    kind: Kind,
    /// Whether the whole pipeline fails if it doesn't hold (`true`), or this branch alone stops (`false`); what the
    /// stage's `onFailure` says if it is missing.
    #[serde(default)]
    fail_pipeline: Option<Dynamic<bool>>,
    /// What is said if it doesn't hold.
    #[serde(default)]
    failure_message: Option<String>,
    /// Of `expression`: what has to be true, with `${ }` around it or not.
    #[serde(default)]
    #[schemars(extend("x-longboat-condition" = true))]
    expression: Option<String>,
    /// Of `stageStatus`: the stage, by its name, else by its id.
    #[serde(default)]
    #[schemars(extend("x-longboat-stage" = true))]
    stage_name: Option<String>,
    /// Of `stageStatus`: the status that the stage has to have.
    #[serde(default)]
    stage_status: Option<Dynamic<Status>>,
    /// The same keys as Spinnaker has them, one level deeper.
    #[serde(default)]
    context: Option<Context>,
}

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Kind {
    /// Whether an expression is true.
    Expression,
    /// How a stage stands.
    StageStatus,
    /// How many server groups a cluster has. Not in this version.
    ClusterSize,
}

/// The details of a precondition, where Spinnaker has them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
struct Context {
    /// Of `expression`: what has to be true.
    #[serde(default)]
    #[schemars(extend("x-longboat-condition" = true))]
    expression: Option<String>,
    /// What is said if it doesn't hold.
    #[serde(default)]
    failure_message: Option<String>,
    /// Of `stageStatus`: the stage.
    #[serde(default)]
    #[schemars(extend("x-longboat-stage" = true))]
    stage_name: Option<String>,
    /// Of `stageStatus`: the status.
    #[serde(default)]
    stage_status: Option<Dynamic<Status>>,
    /// Of `clusterSize`, which is not in this version.
    #[serde(default, rename = "credentials")]
    _credentials: Option<Value>,
    /// Of `clusterSize`.
    #[serde(default, rename = "regions")]
    _regions: Option<Value>,
    /// Of `clusterSize`.
    #[serde(default, rename = "cluster")]
    _cluster: Option<Value>,
    /// Of `clusterSize`.
    #[serde(default, rename = "moniker")]
    _moniker: Option<Value>,
    /// Of `clusterSize`.
    #[serde(default, rename = "comparison")]
    _comparison: Option<Value>,
    /// Of `clusterSize`.
    #[serde(default, rename = "expected")]
    _expected: Option<Value>,
    /// Of `clusterSize`.
    #[serde(default, rename = "onlyEnabledServerGroups")]
    _only_enabled_server_groups: Option<Value>,
    /// Of `clusterSize`.
    #[serde(default, rename = "cloudProvider")]
    _cloud_provider: Option<Value>,
}

/// What became of a precondition.
struct Verdict {
    /// Why it doesn't hold; nothing, if it does.
    fault: Option<String>,
    /// What was looked at and found, for the outputs.
    record: Map<String, Value>,
}

impl Precondition {
    fn check(&self, scope: &Scope) -> Verdict {
        let mut record = Map::new();
        let fault = match self.kind {
            Kind::Expression => self.check_expression(scope, &mut record),
            Kind::StageStatus => self.check_status(scope, &mut record),
            Kind::ClusterSize => Err("`clusterSize` is not in this version of Longboat".to_owned()),
        };
        let message = self.failure_message.as_ref().or_else(|| self.context.as_ref()?.failure_message.as_ref());
        let fault = fault.err().map(|why| match message.filter(|message| !message.trim().is_empty()) {
            Some(message) => format!("{message} ({why})"),
            None => why,
        });
        record.insert("passed".to_owned(), fault.is_none().into());
        if let Some(fault) = &fault {
            record.insert("message".to_owned(), fault.as_str().into());
        }
        Verdict { fault, record }
    }

    fn check_expression(&self, scope: &Scope, record: &mut Map<String, Value>) -> Result<(), String> {
        record.insert("type".to_owned(), "expression".into());
        let text = self.expression.as_ref().or_else(|| self.context.as_ref()?.expression.as_ref());
        let text = text.ok_or("a precondition of the type `expression` has no `expression`")?.trim();
        record.insert("expression".to_owned(), text.into());
        let (value, seen) = if has_expression(text) {
            let template = Template::parse(text).map_err(|error| explain(text, &error))?;
            let value = template.evaluate(scope).map_err(|error| explain(text, &error))?;
            (value, template.as_single().and_then(|expression| expression.values_in(scope)))
        } else {
            let expression = Expression::parse(text).map_err(|error| explain(text, &error))?;
            let value = expression.evaluate(scope).map_err(|error| explain(text, &error))?;
            (value, expression.values_in(scope))
        };
        record.insert("expressionResult".to_owned(), value.clone());
        let seen = seen.map(|seen| format!(": {seen}")).unwrap_or_default();
        match value {
            Value::Bool(true) => Ok(()),
            Value::String(text) if text == "true" => Ok(()),
            Value::Bool(false) => Err(format!("`{text}` is false{seen}")),
            other => Err(format!("`{text}` yields {}, and has to be true{seen}", short(&other))),
        }
    }

    fn check_status(&self, scope: &Scope, record: &mut Map<String, Value>) -> Result<(), String> {
        record.insert("type".to_owned(), "stageStatus".into());
        let context = self.context.as_ref();
        let name = self.stage_name.as_ref().or_else(|| context?.stage_name.as_ref());
        let wanted = self.stage_status.as_ref().or_else(|| context?.stage_status.as_ref());
        let name = name.ok_or("a precondition of the type `stageStatus` has no `stageName`")?;
        record.insert("stageName".to_owned(), name.as_str().into());
        let wanted = match wanted.ok_or("a precondition of the type `stageStatus` has no `stageStatus`")? {
            Dynamic::Value(status) => *status,
            Dynamic::Expression(text) => return Err(format!("`stageStatus` is `{text}`, which is no status")),
        };
        record.insert("stageStatus".to_owned(), wanted.as_str().into());
        let stage = scope.stage_named(name)?;
        let found = stage.get("status").and_then(Value::as_str).unwrap_or_default();
        record.insert("actualStatus".to_owned(), found.into());
        if found == wanted.as_str() {
            return Ok(());
        }
        Err(format!("the stage `{name}` is {found}, not {wanted}"))
    }

    /// What it means that this one doesn't hold.
    fn meaning(&self) -> Option<OnFailure> {
        match self.fail_pipeline.as_ref()? {
            Dynamic::Value(true) => Some(OnFailure::Halt),
            Dynamic::Value(false) => Some(OnFailure::HaltBranch),
            Dynamic::Expression(_) => None,
        }
    }
}

fn explain(text: &str, error: &crate::expression::ExpressionError) -> String {
    let hint = error.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
    format!("`{text}` can't be evaluated: {}{hint}", error.message)
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    let cut: String = text.chars().take(60).collect();
    if cut.len() < text.len() { format!("`{cut}…`") } else { format!("`{cut}`") }
}

fn check(ctx: &StageContext) -> Outcome {
    let Fields { preconditions } = match fields_of::<Fields>(ctx) {
        Ok(fields) => fields,
        Err(refused) => return refused,
    };
    let verdicts: Vec<Verdict> = preconditions.iter().map(|one| one.check(&ctx.scope)).collect();
    let faults: Vec<&str> = verdicts.iter().filter_map(|verdict| verdict.fault.as_deref()).collect();
    let message = match faults.as_slice() {
        [] => None,
        [only] => Some(format!("a precondition doesn't hold: {only}")),
        several => {
            let (count, all) = (several.len(), preconditions.len());
            Some(format!("{count} of {all} preconditions don't hold: {}", several.join("; ")))
        }
    };
    let failed = || preconditions.iter().zip(&verdicts).filter(|(_, verdict)| verdict.fault.is_some());
    let meanings: Vec<Option<OnFailure>> = failed().map(|(one, _)| one.meaning()).collect();
    // One that fails the pipeline outweighs those that stop the branch, and those the ones that say nothing.
    let on_failure = [Some(OnFailure::Halt), None, Some(OnFailure::HaltBranch)]
        .into_iter()
        .find(|meaning| meanings.contains(meaning))
        .flatten();
    let records: Vec<Value> = verdicts.into_iter().map(|verdict| Value::Object(verdict.record)).collect();
    let outputs = Map::from_iter([("preconditions".to_owned(), json!(records))]);
    match message {
        None => Outcome::Done { outputs },
        Some(message) => Outcome::Fail(Failure { message, retryable: true, outputs, on_failure }),
    }
}

pub(super) struct CheckPreconditions;

#[async_trait]
impl StageHandler for CheckPreconditions {
    fn kind(&self) -> &'static str {
        "checkPreconditions"
    }

    fn effect(&self) -> Effect {
        Effect::None
    }

    fn evaluates(&self) -> bool {
        true
    }

    async fn start(&self, ctx: &StageContext) -> Outcome {
        check(ctx)
    }

    async fn resume(&self, ctx: &StageContext, _: Option<Value>, _: Wake) -> Outcome {
        check(ctx)
    }

    async fn cancel(&self, _: &StageContext, _: Option<Value>, _: CancelReason) {}
}

#[cfg(test)]
mod tests {
    use super::super::tests::Stage;
    use super::*;

    async fn run(preconditions: Value) -> Outcome {
        let scope = Scope {
            parameters: json!({"n": 4, "tag": "1.2"}),
            stages: json!({"test": {"id": "test", "name": "All tests", "status": "FAILED_CONTINUE"}}),
            ..Scope::default()
        };
        let fields = json!({"preconditions": preconditions});
        let (ctx, _signals) = Stage::of("checkPreconditions", fields).scope(scope).context();
        CheckPreconditions.start(&ctx).await
    }

    async fn failure(preconditions: Value) -> Failure {
        match run(preconditions).await {
            Outcome::Fail(failure) => failure,
            other => panic!("fails, but {other:?}"),
        }
    }

    #[tokio::test]
    async fn what_holds_passes_in_either_spelling() {
        let outcome = run(json!([
            {"type": "expression", "expression": "parameters.n == 4"},
            {"type": "expression", "context": {"expression": "${ parameters.n > 1 }"}},
            {"type": "expression", "expression": "${ parameters.tag == '1.2' }${ '' }"},
            {"type": "stageStatus", "context": {"stageName": "All tests", "stageStatus": "FAILED_CONTINUE"}},
            {"type": "stageStatus", "stageName": "test", "stageStatus": "FAILED_CONTINUE", "failPipeline": false},
        ]));
        let Outcome::Done { outputs } = outcome.await else { panic!("succeeds") };
        let records = outputs["preconditions"].as_array().expect("a list");
        assert!(records.iter().all(|record| record["passed"] == true));
        assert_eq!(records[0]["expressionResult"], true);
    }

    #[tokio::test]
    async fn all_that_do_not_hold_are_reported_together_with_what_they_saw() {
        let failure = failure(json!([
            {"type": "expression", "expression": "parameters.n > 5", "failureMessage": "Too few"},
            {"type": "expression", "expression": "${ parameters.n == 4 }"},
            {"type": "stageStatus", "stageName": "test", "stageStatus": "SUCCEEDED"},
            {"type": "expression", "expression": "parameters.tag > 1"},
            {"type": "stageStatus", "stageName": "All test", "stageStatus": "SUCCEEDED"},
            {"type": "expression", "expression": "parameters.n"},
        ]))
        .await;
        insta::assert_snapshot!(failure.message, @r#"5 of 6 preconditions don't hold: Too few (`parameters.n > 5` is false: `parameters.n` is 4); the stage `test` is FAILED_CONTINUE, not SUCCEEDED; `parameters.tag > 1` can't be evaluated: `parameters.tag > 1`: `>` doesn't take a string and an int; `parameters.tag` is "1.2" (turn the text into a number with `int(...)`); there is no stage `All test` (did you mean `All tests`?); `parameters.n` yields `4`, and has to be true: `parameters.n` is 4"#);
        assert_eq!(failure.on_failure, None);
        assert_eq!(failure.outputs["preconditions"][0]["expressionResult"], false);
        assert_eq!(failure.outputs["preconditions"][1]["passed"], true);
        assert_eq!(failure.outputs["preconditions"][2]["actualStatus"], "FAILED_CONTINUE");
    }

    #[tokio::test]
    async fn each_says_what_its_failure_means() {
        let bad = |fail: Value| json!({"type": "expression", "expression": "false", "failPipeline": fail});
        let silent = json!({"type": "expression", "expression": "false"});
        assert_eq!(failure(json!([bad(json!(true))])).await.on_failure, Some(OnFailure::Halt));
        assert_eq!(failure(json!([bad(json!(false))])).await.on_failure, Some(OnFailure::HaltBranch));
        assert_eq!(failure(json!([bad(json!(false)), bad(json!(true))])).await.on_failure, Some(OnFailure::Halt));
        assert_eq!(failure(json!([bad(json!(false)), silent])).await.on_failure, None);
    }

    #[tokio::test]
    async fn what_is_not_complete_or_not_there_yet_is_refused() {
        for (one, part) in [
            (json!({"type": "expression"}), "has no `expression`"),
            (json!({"type": "stageStatus", "stageStatus": "SUCCEEDED"}), "has no `stageName`"),
            (json!({"type": "stageStatus", "stageName": "test"}), "has no `stageStatus`"),
            (json!({"type": "clusterSize", "context": {"cluster": "shop"}}), "not in this version"),
        ] {
            let failure = failure(json!([one])).await;
            assert!(failure.message.contains(part), "{}", failure.message);
        }
    }
}
