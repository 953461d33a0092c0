//! Custom webhooks: what they bring starts the pipelines that listen to their source.
//!
//! A delivery was verified and written to the inbox before it was answered. Here it is worked off, and what it starts is
//! written together with its end, so that whatever crashes when, it starts once. Everything in a payload is foreign:
//! it chooses among the pipelines that ask for it, and fills in parameters that they declare, but never says which
//! definition or which commit runs.

use serde_json::{Map, Value};

use super::chores::{Outcome, Work};
use super::given::{Given, not_started};
use super::{Shared, Triggers, artifacts};
use crate::model::{Artifact, Cause, CauseKind, NewExecution, OwnStart, Pipeline, WebhookTrigger};
use crate::store::{Hook, HookAccepted, Published, StoreError};

/// The most artifacts that a payload brings.
const MAX_ARTIFACTS: usize = 100;
/// The longest correlation id, in characters.
const MAX_CORRELATION_ID: usize = 200;

impl Triggers {
    /// Takes up the payload of a verified custom webhook.
    ///
    /// # Errors
    /// If it can't be written; then it must be sent again.
    pub async fn notice_hook(
        &self,
        source: String,
        delivery: String,
        payload: Value,
    ) -> Result<HookAccepted, StoreError> {
        // In a task of its own: what was begun is written, even if the sender doesn't wait for the answer.
        let store = self.shared.store.clone();
        let accepted = tokio::spawn(async move { store.accept_hook(source, delivery, payload).await }).await;
        accepted.unwrap_or(Err(StoreError::Closed))
    }
}

impl Work for Hook {
    async fn outcome(&self, shared: &Shared) -> Result<Outcome, StoreError> {
        let mut outcome = Outcome::default();
        for (application, name) in shared.store.hook_listeners(&self.source).await? {
            let Some(published) = shared.store.pipeline(&application, &name).await? else { continue };
            let is_for = |trigger: &&WebhookTrigger| trigger.source == self.source && trigger.accepts(&self.payload);
            let Some(trigger) = published.pipeline.webhook_triggers().find(is_for) else { continue };
            match execution(shared, self, &published, trigger).await? {
                Ok(new) => outcome.start.push(new),
                Err(why) => {
                    tracing::warn!(
                        %application, pipeline = %name, source = self.source, delivery = self.delivery, why,
                        "a custom webhook starts nothing"
                    );
                    outcome.say.extend(reports(trigger).then(|| not_started(shared, &published, &why)));
                }
            }
        }
        Ok(outcome)
    }
}

/// The execution that a delivery starts, or why there is none.
async fn execution(
    shared: &Shared,
    hook: &Hook,
    published: &Published,
    trigger: &WebhookTrigger,
) -> Result<Result<NewExecution, String>, StoreError> {
    let pipeline = &published.pipeline;
    let same = told_correlation_id(&hook.payload).unwrap_or(&hook.delivery);
    let given = Given {
        published,
        start: &trigger.start,
        cause: Cause {
            kind: CauseKind::Webhook,
            event: Some(hook.source.clone()),
            payload: Some(hook.payload.clone()),
            ..Cause::default()
        },
        parameters: told_parameters(pipeline, &hook.payload),
        brought: told_artifacts(&hook.payload),
        reports: reports(trigger),
        own: OwnStart::Webhook {
            source: &hook.source,
            application: &pipeline.application,
            pipeline: &pipeline.name,
            same,
        },
    };
    given.execution(shared).await
}

/// Whether the outcome is reported on the commit.
fn reports(trigger: &WebhookTrigger) -> bool {
    trigger.start.report.unwrap_or(false)
}

/// What a payload says under `parameters`, as far as the pipeline declares it: several pipelines may listen.
fn told_parameters(pipeline: &Pipeline, payload: &Value) -> Map<String, Value> {
    let told = payload.get("parameters").and_then(Value::as_object);
    let declared = |name: &str| pipeline.parameters.iter().any(|parameter| parameter.name == name);
    let told = told.into_iter().flatten().filter(|(name, _)| declared(name));
    told.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// What a payload says under `artifacts`; what is none is left out: the key may mean something else to its sender.
fn told_artifacts(payload: &Value) -> Vec<Artifact> {
    let told = payload.get("artifacts").and_then(Value::as_array);
    let read = |value: &Value| serde_json::from_value::<Artifact>(value.clone()).ok();
    let artifacts = told.into_iter().flatten().take(MAX_ARTIFACTS).filter_map(read);
    artifacts.filter(|artifact| artifact.kind.is_some() && !artifacts::is_commit(artifact)).collect()
}

fn told_correlation_id(payload: &Value) -> Option<&str> {
    let id = payload.get("correlationId").and_then(Value::as_str)?;
    let sane = (1..=MAX_CORRELATION_ID).contains(&id.chars().count()) && !id.chars().any(char::is_control);
    sane.then_some(id)
}
