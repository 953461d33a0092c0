//! `manualJudgment`: asks a person whether to go on (Spinnaker's stage of the same name).
//!
//! The answer is a [`Judgment`]. The engine records it in the journal before this handler sees it, and asks
//! [`StageHandler::accepts`] before that: an answer that gets here and isn't acceptable is ignored, and the stage goes
//! on waiting.
//!
//! If the stage names an address (`notify`), that is told when the wait begins: see `notice`.

mod notice;

use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::fields_of;
use crate::clock::Timestamp;
use crate::engine::{CancelReason, Effect, Failure, Judgment, Outcome, StageContext, StageHandler, Verdict, Wake};
use crate::model::humanize;
use crate::outbound::{Client, ClientOptions, OutboundError};
use crate::secret::Secrets;
use notice::{Notice, Notify};

/// For people.
pub(super) const DESCRIPTION: &str = "Waits until a person says whether to continue or to stop.";

/// A stage of this type.
pub(super) const EXAMPLE: &str = "\
id: approve
type: manualJudgment
instructions: Look at ${ stages.deploy.outputs.url }, then say how to go on
judgmentInputs: [everywhere, one region]
";

/// How long an answer is waited for if the stage has no `timeout`: Spinnaker's three days.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(3 * 24 * 3600);

/// The fields of a `manualJudgment` stage.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct Fields {
    /// What the person has to know to decide.
    #[serde(default, rename = "instructions")]
    _instructions: Option<String>,
    /// The answers to choose from when continuing; none means that no choice is offered.
    #[serde(default)]
    judgment_inputs: Vec<JudgmentInput>,
    /// The roles or groups of which whoever answers has to have one; none means that anybody may. Tokens have roles, and are in
    /// groups, in the server's configuration; a token without any has all.
    #[serde(default)]
    required_roles: Vec<String>,
    /// Spinnaker's name for `requiredRoles`.
    #[serde(default)]
    selected_stage_roles: Vec<String>,
    /// Another of Spinnaker's names for it.
    #[serde(default)]
    required_judgment_roles: Vec<String>,
    /// Whom to tell when it begins to wait, beside the commit status and the comment of the pull request.
    #[serde(default)]
    notify: Option<Notify>,
}

impl Fields {
    /// The roles of which one is needed.
    fn roles(&self) -> Vec<&str> {
        let all = self.required_roles.iter().chain(&self.selected_stage_roles).chain(&self.required_judgment_roles);
        all.map(String::as_str).collect()
    }

    /// The answers to choose from.
    fn choices(&self) -> Vec<&str> {
        self.judgment_inputs.iter().map(JudgmentInput::as_str).collect()
    }
}

/// One answer to choose from: `staging`, or as Spinnaker writes it, `{value: staging}`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum JudgmentInput {
    /// The answer.
    Plain(String),
    /// The answer, in Spinnaker's form.
    Wrapped(Wrapped),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Wrapped {
    /// The answer.
    value: String,
}

impl JudgmentInput {
    fn as_str(&self) -> &str {
        match self {
            Self::Plain(value) | Self::Wrapped(Wrapped { value }) => value,
        }
    }
}

/// Whether a stage with these fields (`${ }` evaluated) takes this answer.
///
/// # Errors
/// What is wrong with the answer, in words for the person who gave it.
fn accepts(fields: &Map<String, Value>, answer: &Judgment) -> Result<(), String> {
    let fields: Fields = serde_json::from_value(fields.clone().into())
        .map_err(|error| format!("the stage's fields can't be used: {error}"))?;
    let required = fields.roles();
    if let Some(roles) = answer.roles.as_ref().filter(|_| !required.is_empty())
        && !roles.iter().any(|role| required.contains(&role.as_str()))
    {
        return Err(format!("{} may not answer: it needs one of the roles {}", answer.by, quoted(&required)));
    }
    let allowed = fields.choices();
    match (&answer.input, answer.verdict) {
        (Some(input), _) if allowed.is_empty() => {
            Err(format!("`{input}` was given as input, but this stage offers no choice: leave it out"))
        }
        (Some(input), _) if !allowed.contains(&input.as_str()) => {
            Err(format!("`{input}` is not among the inputs of this stage: choose one of {}", quoted(&allowed)))
        }
        (None, Verdict::Continue) if !allowed.is_empty() => {
            Err(format!("this stage asks for an input: choose one of {}", quoted(&allowed)))
        }
        _ => Ok(()),
    }
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

#[derive(Serialize, Deserialize)]
struct Checkpoint {
    /// When nobody is waited for any more; `None` leaves that to the stage's own `timeout`.
    until: Option<Timestamp>,
    /// What is left to do about the notice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    notice: Option<Notice>,
}

/// The handler.
pub(super) struct ManualJudgment {
    calls: ClientOptions,
    secrets: Secrets,
    /// The server's address, for links.
    public_url: Option<String>,
    client: OnceLock<Result<Client, OutboundError>>,
}

impl ManualJudgment {
    pub(super) fn new(calls: ClientOptions, secrets: Secrets, public_url: Option<String>) -> Self {
        Self { calls, secrets, public_url, client: OnceLock::new() }
    }

    fn client(&self) -> Result<&Client, String> {
        let client = self.client.get_or_init(|| Client::new(self.calls.clone()));
        client.as_ref().map_err(|error| format!("no requests can be sent from here: {error}"))
    }
}

fn wait(ctx: &StageContext, checkpoint: Checkpoint) -> Outcome {
    let name = ctx.stage().map_or_else(|| ctx.path.to_string(), |stage| stage.name.clone());
    let notice = checkpoint.notice.as_ref();
    let untold =
        notice.and_then(|notice| notice.given_up.as_ref()).map(|error| format!(" (nobody could be told: {error})"));
    let next = notice.and_then(|notice| notice.next);
    Outcome::Wait {
        until: [checkpoint.until, next].into_iter().flatten().min(),
        waiting_for: format!("approval: {name}{}", untold.unwrap_or_default()),
        checkpoint: json!(checkpoint),
    }
}

fn conclude(answer: &Judgment) -> Outcome {
    let mut outputs = Map::new();
    outputs.insert("judgmentInput".to_owned(), json!(answer.input));
    outputs.insert("judgedBy".to_owned(), json!(answer.by));
    match answer.verdict {
        Verdict::Continue => Outcome::Done { outputs },
        Verdict::Stop => Outcome::Fail(Failure {
            message: format!("stopped by {}", answer.by),
            retryable: false,
            outputs,
            on_failure: None,
        }),
    }
}

#[async_trait]
impl StageHandler for ManualJudgment {
    fn kind(&self) -> &'static str {
        "manualJudgment"
    }

    fn effect(&self) -> Effect {
        Effect::None
    }

    fn takes_judgments(&self) -> bool {
        true
    }

    fn accepts(&self, fields: &Map<String, Value>, judgment: &Judgment) -> Result<(), String> {
        accepts(fields, judgment)
    }

    async fn start(&self, ctx: &StageContext) -> Outcome {
        let fields = match fields_of::<Fields>(ctx) {
            Ok(fields) => fields,
            Err(refused) => return refused,
        };
        let own_timeout = ctx.stage().is_some_and(|stage| stage.timeout.is_some());
        let until = (!own_timeout).then(|| ctx.clock.now().plus(DEFAULT_TIMEOUT));
        // Told once the wait is on disk, so that whoever reads of it can answer.
        let notice = fields.notify.map(|_| Notice { next: Some(ctx.clock.now()), ..Notice::default() });
        wait(ctx, Checkpoint { until, notice })
    }

    async fn resume(&self, ctx: &StageContext, checkpoint: Option<Value>, wake: Wake) -> Outcome {
        let Some(mut checkpoint) = checkpoint.and_then(|value| serde_json::from_value::<Checkpoint>(value).ok()) else {
            return self.start(ctx).await;
        };
        if let Wake::Signal(payload) = wake {
            let answer = serde_json::from_value::<Judgment>(payload)
                .map_err(|error| error.to_string())
                .and_then(|answer| accepts(&ctx.fields, &answer).map(|()| answer));
            match answer {
                Ok(answer) => return conclude(&answer),
                Err(reason) => {
                    tracing::warn!(execution = %ctx.execution.info.id, stage = %ctx.path, reason, "ignored an answer");
                }
            }
        }
        if checkpoint.until.is_some_and(|until| ctx.clock.now() >= until) {
            return Outcome::fail(format!("nobody answered within {}", humanize(DEFAULT_TIMEOUT)));
        }
        if let Some(notice) = checkpoint.notice.take() {
            let due = notice.next.is_some_and(|next| next <= ctx.clock.now());
            checkpoint.notice = if due {
                // The engine's loop looks at what comes at once; nothing of this does.
                tokio::task::yield_now().await;
                notice.send(self, ctx, checkpoint.until).await
            } else {
                Some(notice)
            };
        }
        wait(ctx, checkpoint)
    }

    async fn cancel(&self, _: &StageContext, _: Option<Value>, _: CancelReason) {}
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Stage, clock};
    use super::*;
    use crate::model::Span;

    fn judgment() -> ManualJudgment {
        ManualJudgment::new(ClientOptions::default(), Secrets::none(), None)
    }

    const INPUTS: &str = r#"{"instructions": "Look first", "judgmentInputs": ["eu", {"value": "us"}]}"#;

    fn inputs() -> Value {
        serde_json::from_str(INPUTS).expect("JSON")
    }

    fn answer(verdict: Verdict, input: Option<&str>) -> Judgment {
        Judgment { verdict, input: input.map(str::to_owned), by: "ann".to_owned(), roles: None }
    }

    async fn waiting(ctx: &StageContext) -> Value {
        match judgment().start(ctx).await {
            Outcome::Wait { checkpoint, .. } => checkpoint,
            other => panic!("should wait, not {other:?}"),
        }
    }

    #[tokio::test]
    async fn a_yes_succeeds_and_says_who_chose_what() {
        let (ctx, _signals) = Stage::of("manualJudgment", inputs()).context();
        let checkpoint = waiting(&ctx).await;
        let wake = Wake::Signal(json!(answer(Verdict::Continue, Some("us"))));
        let outcome = judgment().resume(&ctx, Some(checkpoint), wake).await;
        let Outcome::Done { outputs } = outcome else { panic!("should be done, not {outcome:?}") };
        assert_eq!(Value::from(outputs), json!({"judgmentInput": "us", "judgedBy": "ann"}));
    }

    #[tokio::test]
    async fn a_no_fails_and_is_not_asked_again() {
        let (ctx, _signals) = Stage::of("manualJudgment", inputs()).context();
        let checkpoint = waiting(&ctx).await;
        let wake = Wake::Signal(json!({"verdict": "stop", "by": "ann"}));
        let Outcome::Fail(failure) = judgment().resume(&ctx, Some(checkpoint), wake).await else {
            panic!("should fail")
        };
        assert_eq!((failure.message.as_str(), failure.retryable), ("stopped by ann", false));
        assert_eq!(failure.outputs["judgedBy"], "ann");
    }

    #[tokio::test]
    async fn it_waits_three_days_unless_the_stage_says_otherwise() {
        let clock = clock();
        let (ctx, _signals) = Stage::of("manualJudgment", json!({})).clock(clock.clone()).context();
        let checkpoint = waiting(&ctx).await;
        clock.advance(DEFAULT_TIMEOUT - Duration::from_millis(1));
        let outcome = judgment().resume(&ctx, Some(checkpoint.clone()), Wake::Recovered).await;
        let Outcome::Wait { waiting_for, until: Some(_), .. } = outcome else { panic!("still waits") };
        assert_eq!(waiting_for, "approval: A stage");
        clock.advance(Duration::from_millis(1));
        let outcome = judgment().resume(&ctx, Some(checkpoint), Wake::Due).await;
        assert_eq!(outcome, Outcome::fail("nobody answered within 3d"));

        let own = Span::parse("7d").expect("a span");
        let (ctx, _signals) = Stage::of("manualJudgment", json!({})).timeout(own).context();
        assert!(matches!(judgment().start(&ctx).await, Outcome::Wait { until: None, .. }));
    }

    #[tokio::test]
    async fn an_answer_that_is_not_acceptable_changes_nothing() {
        let (ctx, _signals) = Stage::of("manualJudgment", inputs()).context();
        let checkpoint = waiting(&ctx).await;
        for payload in [json!(answer(Verdict::Continue, Some("mars"))), json!({"ended": true}), json!(null)] {
            let outcome = judgment().resume(&ctx, Some(checkpoint.clone()), Wake::Signal(payload)).await;
            assert!(matches!(outcome, Outcome::Wait { .. }), "{outcome:?}");
        }
    }

    #[test]
    fn who_answers_has_one_of_the_roles() {
        let Value::Object(fields) = json!({"requiredRoles": ["release", "lead"]}) else { panic!("a map") };
        let by = |roles: Option<&[&str]>| Judgment {
            roles: roles.map(|roles| roles.iter().map(ToString::to_string).collect()),
            ..answer(Verdict::Continue, None)
        };
        assert_eq!(accepts(&fields, &by(Some(&["dev", "lead"]))), Ok(()));
        assert_eq!(accepts(&fields, &by(None)), Ok(()), "whoever has no roles in the configuration has all");
        let refused = accepts(&fields, &by(Some(&["dev"]))).expect_err("refused");
        assert_eq!(refused, "ann may not answer: it needs one of the roles `release`, `lead`");
        assert!(accepts(&fields, &Judgment { verdict: Verdict::Stop, ..by(Some(&[])) }).is_err(), "nor say no");
        let Value::Object(spinnakers) = json!({"selectedStageRoles": ["release"]}) else { panic!("a map") };
        assert!(accepts(&spinnakers, &by(Some(&["dev"]))).is_err());
        assert_eq!(accepts(&Map::new(), &by(Some(&[]))), Ok(()), "where nobody asks for one, anybody may");
    }

    #[test]
    fn answers_are_checked_against_the_inputs() {
        let Value::Object(fields) = inputs() else { panic!("a map") };
        assert_eq!(accepts(&fields, &answer(Verdict::Continue, Some("eu"))), Ok(()));
        assert_eq!(accepts(&fields, &answer(Verdict::Stop, None)), Ok(()));
        let wrong = accepts(&fields, &answer(Verdict::Continue, Some("mars"))).expect_err("refused");
        assert_eq!(wrong, "`mars` is not among the inputs of this stage: choose one of `eu`, `us`");
        let missing = accepts(&fields, &answer(Verdict::Continue, None)).expect_err("refused");
        assert_eq!(missing, "this stage asks for an input: choose one of `eu`, `us`");
        assert_eq!(accepts(&Map::new(), &answer(Verdict::Continue, None)), Ok(()));
        assert!(accepts(&Map::new(), &answer(Verdict::Continue, Some("eu"))).is_err());
    }
}
