//! `findArtifactFromExecution`: takes artifacts over from the newest execution of a pipeline (Spinnaker's stage of
//! the same name).

use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::fields_of;
use crate::engine::{CancelReason, Effect, Outcome, StageContext, StageHandler, Wake};
use crate::model::{ApplicationName, Artifact, ExecutionId, PipelineName, Status, resolve_artifacts};
use crate::schema::Dynamic;

/// For people.
pub(super) const DESCRIPTION: &str = "Finds the newest execution of a pipeline, and in it the artifacts that the stage's `expectedArtifacts` \
     name; without those, yields all of its artifacts.";

/// A stage of this type.
pub(super) const EXAMPLE: &str = "\
id: image
type: findArtifactFromExecution
application: shop
pipeline: build
executionOptions: {successful: true}
expectedArtifacts:
  - {id: image, matchArtifact: {type: docker/image, name: ghcr.io/acme/shop}}
";

/// The fields of a `findArtifactFromExecution` stage.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct Fields {
    /// The pipeline's application; this pipeline's if it is missing.
    #[serde(default)]
    application: Option<String>,
    /// The pipeline, by its name or its id.
    pipeline: String,
    /// Which of its executions count; those that ended well if it is missing.
    #[serde(default)]
    execution_options: Option<ExecutionOptions>,
}

/// Which executions count.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
struct ExecutionOptions {
    /// Those that ended well.
    #[serde(default)]
    successful: Option<Dynamic<bool>>,
    /// The same as `successful`.
    #[serde(default)]
    succeeded: Option<Dynamic<bool>>,
    /// Those that failed.
    #[serde(default)]
    terminal: Option<Dynamic<bool>>,
    /// Those that have not ended.
    #[serde(default)]
    running: Option<Dynamic<bool>>,
}

/// An execution that is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedExecution {
    /// The pipeline's application.
    pub application: ApplicationName,
    /// The pipeline's name or id.
    pub pipeline: String,
    /// How it may stand.
    pub statuses: Vec<Status>,
    /// The execution that asks, which is none of those that are meant.
    pub asking: ExecutionId,
}

/// An execution that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundExecution {
    /// Its id.
    pub id: ExecutionId,
    /// Its pipeline's name.
    pub pipeline: PipelineName,
    /// How it stands.
    pub status: Status,
    /// All its artifacts: those that its stages yielded, the last first, then those of its start.
    pub artifacts: Vec<Artifact>,
}

/// Finds executions.
#[async_trait]
pub trait PastExecutions: Send + Sync + 'static {
    /// The newest execution that is as wanted.
    ///
    /// # Errors
    /// If there is no such pipeline, or it can't be looked for; in words that people read.
    async fn newest(&self, wanted: &WantedExecution) -> Result<Option<FoundExecution>, String>;
}

/// Where there are no executions to find.
pub(super) struct NoExecutions;

#[async_trait]
impl PastExecutions for NoExecutions {
    async fn newest(&self, _: &WantedExecution) -> Result<Option<FoundExecution>, String> {
        Ok(None)
    }
}

pub(super) struct FindArtifact(pub(super) Arc<dyn PastExecutions>);

impl ExecutionOptions {
    fn statuses(&self) -> Result<Vec<Status>, String> {
        let flag = |name: &str, value: &Option<Dynamic<bool>>| match value {
            None => Ok(false),
            Some(Dynamic::Value(flag)) => Ok(*flag),
            Some(Dynamic::Expression(text)) => Err(format!("`{name}` is the text `{text}`: write true or false")),
        };
        let mut statuses = Vec::new();
        if flag("successful", &self.successful)? || flag("succeeded", &self.succeeded)? {
            statuses.push(Status::Succeeded);
        }
        if flag("terminal", &self.terminal)? {
            statuses.push(Status::Terminal);
        }
        if flag("running", &self.running)? {
            statuses.push(Status::Running);
        }
        if statuses.is_empty() {
            return Err("`executionOptions` lets no execution count: set one of them to true".to_owned());
        }
        Ok(statuses)
    }
}

impl FindArtifact {
    async fn find(&self, ctx: &StageContext) -> Result<Map<String, Value>, Outcome> {
        let fields = fields_of::<Fields>(ctx)?;
        let info = &ctx.execution.info;
        let application = match &fields.application {
            Some(name) => ApplicationName::parse(name).map_err(|error| Outcome::fail(error.to_string()))?,
            None => info.pipeline.application.clone(),
        };
        let statuses = match &fields.execution_options {
            Some(options) => options.statuses().map_err(Outcome::fail)?,
            None => vec![Status::Succeeded],
        };
        let wanted = WantedExecution { application, pipeline: fields.pipeline, statuses, asking: info.id };
        let found = self.0.newest(&wanted).await.map_err(Outcome::fail_retryable)?;
        let Some(found) = found else {
            let words: Vec<&str> = wanted.statuses.iter().map(|status| status.as_str()).collect();
            let (application, pipeline) = (&wanted.application, &wanted.pipeline);
            let message = format!("there is no execution of {application}/{pipeline} that is {}", words.join(" or "));
            return Err(Outcome::fail_retryable(message));
        };
        let name = format!("{}/{}", wanted.application, found.pipeline);
        let mut outputs = Map::new();
        outputs.insert("executionId".to_owned(), json!(found.id.to_string()));
        outputs.insert("executionStatus".to_owned(), json!(found.status.as_str()));
        let expected = ctx.stage().map(|stage| stage.expected_artifacts.as_slice()).unwrap_or_default();
        if expected.is_empty() {
            outputs.insert("artifacts".to_owned(), json!(found.artifacts));
            return Ok(outputs);
        }
        let resolved = resolve_artifacts(expected, found.artifacts, &[]).map_err(|problems| {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            Outcome::fail(format!("in execution {} of {name}, {}", found.id, problems.join("; ")))
        })?;
        outputs.insert("artifacts".to_owned(), json!(resolved.bound()));
        outputs.insert("resolvedExpectedArtifacts".to_owned(), json!(resolved.resolved_expected_artifacts));
        Ok(outputs)
    }

    async fn answer(&self, ctx: &StageContext) -> Outcome {
        self.find(ctx).await.map_or_else(|refused| refused, |outputs| Outcome::Done { outputs })
    }
}

#[async_trait]
impl StageHandler for FindArtifact {
    fn kind(&self) -> &'static str {
        "findArtifactFromExecution"
    }

    /// It only reads; but it waits for the database, which the engine's own loop must not.
    fn effect(&self) -> Effect {
        Effect::Idempotent
    }

    async fn start(&self, ctx: &StageContext) -> Outcome {
        self.answer(ctx).await
    }

    async fn resume(&self, ctx: &StageContext, _: Option<Value>, _: Wake) -> Outcome {
        self.answer(ctx).await
    }

    async fn cancel(&self, _: &StageContext, _: Option<Value>, _: CancelReason) {}
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::tests::Stage;
    use super::*;
    use crate::model::ExpectedArtifact;

    /// Answers with what it was given, and remembers what it was asked.
    struct One(Option<FoundExecution>, Mutex<Vec<WantedExecution>>);

    #[async_trait]
    impl PastExecutions for One {
        async fn newest(&self, wanted: &WantedExecution) -> Result<Option<FoundExecution>, String> {
            self.1.lock().expect("unpoisoned").push(wanted.clone());
            Ok(self.0.clone())
        }
    }

    fn image(version: &str) -> Artifact {
        serde_json::from_value(json!({"type": "docker/image", "name": "shop", "version": version})).expect("legal")
    }

    async fn run(fields: Value, found: Option<Vec<Artifact>>, expected: Value) -> (Outcome, Vec<WantedExecution>) {
        let found = found.map(|artifacts| FoundExecution {
            id: ExecutionId::generate(),
            pipeline: PipelineName::parse("build").expect("a name"),
            status: Status::Succeeded,
            artifacts,
        });
        let executions = Arc::new(One(found, Mutex::default()));
        let expected: Vec<ExpectedArtifact> = serde_json::from_value(expected).expect("legal");
        let (ctx, _signals) = Stage::of("findArtifactFromExecution", fields).expects(expected).context();
        let outcome = FindArtifact(executions.clone()).start(&ctx).await;
        let asked = executions.1.lock().expect("unpoisoned").clone();
        (outcome, asked)
    }

    #[tokio::test]
    async fn the_expected_artifacts_of_the_newest_execution_are_taken_over() {
        let expected = json!([{"id": "image", "matchArtifact": {"type": "docker/image"}}]);
        let other: Artifact = serde_json::from_value(json!({"type": "git/repo"})).expect("legal");
        let (outcome, asked) = run(json!({"pipeline": "build"}), Some(vec![image("2"), other]), expected).await;
        let Outcome::Done { outputs } = outcome else { panic!("succeeds: {outcome:?}") };
        assert_eq!(outputs["artifacts"], json!([image("2")]));
        assert_eq!(outputs["resolvedExpectedArtifacts"][0]["boundArtifact"]["version"], "2");
        assert_eq!((asked[0].application.as_str(), asked[0].pipeline.as_str()), ("shop", "build"));
        assert_eq!(asked[0].statuses, [Status::Succeeded]);
    }

    #[tokio::test]
    async fn which_executions_count_is_the_author_s_choice() {
        let options = json!({"pipeline": "b", "application": "other", "executionOptions": {"succeeded": true, "terminal": true, "running": true}});
        let (_, asked) = run(options, Some(Vec::new()), json!([])).await;
        assert_eq!(asked[0].statuses, [Status::Succeeded, Status::Terminal, Status::Running]);
        assert_eq!(asked[0].application.as_str(), "other");
        let none = json!({"pipeline": "b", "executionOptions": {"terminal": false}});
        let (outcome, _) = run(none, Some(Vec::new()), json!([])).await;
        assert!(matches!(&outcome, Outcome::Fail(failure) if failure.message.contains("lets no execution count")));
    }

    #[tokio::test]
    async fn what_is_not_found_is_said() {
        let (outcome, _) = run(json!({"pipeline": "build"}), None, json!([])).await;
        let Outcome::Fail(failure) = outcome else { panic!("fails") };
        assert_eq!(failure.message, "there is no execution of shop/build that is SUCCEEDED");
        let expected = json!([{"id": "chart", "matchArtifact": {"type": "helm/chart"}}]);
        let (outcome, _) = run(json!({"pipeline": "build"}), Some(vec![image("1")]), expected).await;
        let Outcome::Fail(failure) = outcome else { panic!("fails") };
        let said = "of shop/build, the artifact `chart` is expected (helm/chart), and none fits";
        assert!(failure.message.ends_with(said), "{}", failure.message);
    }
}
