//! `waitUntil`: lets time pass up to a moment (Spinnaker's stage of the same name).

use std::borrow::Cow;

use async_trait::async_trait;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::{fields_of, skipped};
use crate::clock::Timestamp;
use crate::engine::{CancelReason, Effect, Outcome, StageContext, StageHandler, Wake};
use crate::schema::Dynamic;

/// For people.
pub(super) const DESCRIPTION: &str =
    "Waits until a moment has come; one that has passed is no wait. Give `until` or `epochMillis`.";

/// A stage of this type.
pub(super) const EXAMPLE: &str = "\
id: opening
type: waitUntil
until: ${ formatDate(execution.startTime, \"yyyy-MM-dd\") }T09:00:00Z
";

/// The fields of a `waitUntil` stage.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct Fields {
    /// The moment, in RFC 3339: `2026-03-01T09:00:00Z`.
    #[serde(default)]
    until: Option<String>,
    /// The moment in milliseconds since 1970-01-01T00:00:00Z.
    #[serde(default)]
    epoch_millis: Option<Dynamic<Millis>>,
}

/// Milliseconds, as a number or as its digits: what an expression inside a text yields.
#[derive(Debug, Clone, Copy)]
struct Millis(i64);

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let millis = match &value {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        millis
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom(format!("{value} is no whole number of milliseconds since 1970")))
    }
}

impl JsonSchema for Millis {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Millis".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^[0-9]+$"}]})
    }
}

pub(super) struct WaitUntil;

/// The moment that the fields say.
fn moment(ctx: &StageContext) -> Result<Timestamp, Outcome> {
    let Fields { until, epoch_millis } = fields_of::<Fields>(ctx)?;
    match (until, epoch_millis) {
        (None, Some(Dynamic::Value(Millis(millis)))) => Ok(Timestamp::from_millis(millis)),
        (None, Some(Dynamic::Expression(text))) => {
            Err(Outcome::fail(format!("`epochMillis` is the text `{text}`, no number of milliseconds")))
        }
        (Some(text), None) => {
            let parsed = text.trim().parse::<jiff::Timestamp>();
            parsed.map(|time| Timestamp::from_millis(time.as_millisecond())).map_err(|_| {
                Outcome::fail(format!("`until` is `{text}`, no moment: write it as in `2026-03-01T09:00:00Z`"))
            })
        }
        (Some(_), Some(_)) => Err(Outcome::fail("`until` and `epochMillis` are both given: give one of them")),
        (None, None) => Err(Outcome::fail("it doesn't say until when: give `until` or `epochMillis`")),
    }
}

fn look(ctx: &StageContext) -> Outcome {
    match moment(ctx) {
        Ok(until) if ctx.clock.now() >= until => Outcome::done(),
        // The fields are fixed when the stage starts, so there is nothing else to remember.
        Ok(until) => Outcome::Wait { until: Some(until), waiting_for: format!("time: {until}"), checkpoint: json!({}) },
        Err(refused) => refused,
    }
}

#[async_trait]
impl StageHandler for WaitUntil {
    fn kind(&self) -> &'static str {
        "waitUntil"
    }

    fn effect(&self) -> Effect {
        Effect::None
    }

    async fn start(&self, ctx: &StageContext) -> Outcome {
        look(ctx)
    }

    fn skippable(&self) -> bool {
        true
    }

    async fn resume(&self, ctx: &StageContext, _: Option<Value>, wake: Wake) -> Outcome {
        skipped(&wake).unwrap_or_else(|| look(ctx))
    }

    async fn cancel(&self, _: &StageContext, _: Option<Value>, _: CancelReason) {}
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::tests::{Stage, clock};
    use super::*;

    #[tokio::test]
    async fn it_waits_for_the_moment_and_a_restart_does_not_begin_anew() {
        let clock = clock();
        let then = clock.now().plus(Duration::from_secs(60));
        for fields in [
            json!({"epochMillis": then.as_millis()}),
            json!({"epochMillis": then.as_millis().to_string()}),
            json!({"until": then.to_rfc3339()}),
        ] {
            let (ctx, _signals) = Stage::of("waitUntil", fields.clone()).clock(clock.clone()).context();
            let Outcome::Wait { until, checkpoint, .. } = WaitUntil.start(&ctx).await else { panic!("{fields} waits") };
            assert_eq!(until, Some(then));
            let later = Stage::of("waitUntil", fields).clock(crate::clock::Clock::manual(then)).context();
            assert_eq!(WaitUntil.resume(&later.0, Some(checkpoint), Wake::Recovered).await, Outcome::done());
        }
    }

    #[tokio::test]
    async fn a_moment_that_has_passed_is_no_wait_and_what_is_none_is_refused() {
        let (ctx, _signals) = Stage::of("waitUntil", json!({"epochMillis": 1})).clock(clock()).context();
        assert_eq!(WaitUntil.start(&ctx).await, Outcome::done());
        for (fields, part) in [
            (json!({}), "give `until` or `epochMillis`"),
            (json!({"until": "tomorrow"}), "`until` is `tomorrow`"),
            (json!({"epochMillis": "soon"}), "soon"),
            (json!({"until": "2026-03-01T09:00:00Z", "epochMillis": 1}), "both given"),
        ] {
            let (ctx, _signals) = Stage::of("waitUntil", fields).clock(clock()).context();
            let Outcome::Fail(failure) = WaitUntil.start(&ctx).await else { panic!("fails") };
            assert!(failure.message.contains(part), "{}", failure.message);
        }
    }
}
