//! `wait`: lets time pass. The end is fixed when the stage starts, so a restart doesn't begin anew.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{fields_of, skipped};
use crate::clock::Timestamp;
use crate::engine::{CancelReason, Effect, Outcome, StageContext, StageHandler, Wake};
use crate::model::Span;
use crate::schema::Dynamic;

/// For people.
pub(super) const DESCRIPTION: &str = "Lets time pass before the stages after it start.";

/// A stage of this type.
pub(super) const EXAMPLE: &str = "\
id: settle
type: wait
waitTime: 5m
";

/// The fields of a `wait` stage.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct Fields {
    /// How long to wait: `30s`, `5m`, `2h`, `3d`, or whole seconds.
    wait_time: Dynamic<Span>,
}

#[derive(Serialize, Deserialize)]
struct Checkpoint {
    until: Timestamp,
}

pub(super) struct Wait;

fn wait_until(ctx: &StageContext, until: Timestamp) -> Outcome {
    if ctx.clock.now() >= until {
        return Outcome::done();
    }
    Outcome::Wait { until: Some(until), waiting_for: format!("time: {until}"), checkpoint: json!(Checkpoint { until }) }
}

#[async_trait]
impl StageHandler for Wait {
    fn kind(&self) -> &'static str {
        "wait"
    }

    fn effect(&self) -> Effect {
        Effect::None
    }

    async fn start(&self, ctx: &StageContext) -> Outcome {
        match fields_of::<Fields>(ctx) {
            Ok(Fields { wait_time: Dynamic::Value(span) }) => wait_until(ctx, ctx.clock.now().plus(span.as_duration())),
            Ok(Fields { wait_time: Dynamic::Expression(text) }) => {
                Outcome::fail(format!("`waitTime` is the text `{text}`, which is no duration: write `30s` or seconds"))
            }
            Err(refused) => refused,
        }
    }

    fn skippable(&self) -> bool {
        true
    }

    async fn resume(&self, ctx: &StageContext, checkpoint: Option<Value>, wake: Wake) -> Outcome {
        if let Some(skipped) = skipped(&wake) {
            return skipped;
        }
        match checkpoint.and_then(|checkpoint| serde_json::from_value::<Checkpoint>(checkpoint).ok()) {
            Some(Checkpoint { until }) => wait_until(ctx, until),
            None => self.start(ctx).await,
        }
    }

    async fn cancel(&self, _: &StageContext, _: Option<Value>, _: CancelReason) {}
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::tests::{Stage, clock};
    use super::*;

    #[tokio::test]
    async fn a_restart_does_not_begin_anew() {
        let clock = clock();
        let start = clock.now();
        let (ctx, _signals) = Stage::of("wait", json!({"waitTime": "10m"})).clock(clock.clone()).context();
        let Outcome::Wait { until, checkpoint, waiting_for } = Wait.start(&ctx).await else { panic!("waits") };
        assert_eq!(until, Some(start.plus(Duration::from_secs(600))));
        assert!(waiting_for.starts_with("time: "), "{waiting_for}");

        clock.advance(Duration::from_secs(599));
        let again = Wait.resume(&ctx, Some(checkpoint.clone()), Wake::Recovered).await;
        assert!(matches!(again, Outcome::Wait { until: unchanged, .. } if unchanged == until), "{again:?}");
        clock.advance(Duration::from_secs(1));
        assert_eq!(Wait.resume(&ctx, Some(checkpoint), Wake::Due).await, Outcome::done());
    }

    #[tokio::test]
    async fn seconds_and_spans_are_read_and_other_things_refused() {
        for (given, millis) in [(json!(30), 30_000), (json!("30"), 30_000), (json!("1h30m"), 5_400_000)] {
            let (ctx, _signals) = Stage::of("wait", json!({"waitTime": given})).clock(clock()).context();
            let outcome = Wait.start(&ctx).await;
            let end = clock().now().plus(Duration::from_millis(millis));
            assert!(matches!(outcome, Outcome::Wait { until: Some(until), .. } if until == end), "{outcome:?}");
        }
        for bad in [json!({"waitTime": "soon"}), json!({}), json!({"waitTime": "${ left }"})] {
            let (ctx, _signals) = Stage::of("wait", bad).clock(clock()).context();
            let Outcome::Fail(failure) = Wait.start(&ctx).await else { panic!("fails") };
            assert!(failure.message.contains("waitTime") || failure.message.contains("soon"), "{}", failure.message);
        }
    }

    #[tokio::test]
    async fn who_skips_it_is_known_and_other_signals_mean_nothing() {
        let (ctx, _signals) = Stage::of("wait", json!({"waitTime": "10m"})).clock(clock()).context();
        let Outcome::Wait { checkpoint, .. } = Wait.start(&ctx).await else { panic!("waits") };
        let other = Wait.resume(&ctx, Some(checkpoint.clone()), Wake::Signal(json!({"ended": true}))).await;
        assert!(matches!(other, Outcome::Wait { .. }), "{other:?}");
        let skipped = Wait.resume(&ctx, Some(checkpoint), Wake::Signal(json!({"skippedBy": "ann"}))).await;
        let Outcome::Done { outputs } = skipped else { panic!("done, not {skipped:?}") };
        assert_eq!(Value::from(outputs), json!({"skippedBy": "ann"}));
    }

    #[tokio::test]
    async fn no_time_is_no_wait() {
        let (ctx, _signals) = Stage::of("wait", json!({"waitTime": 0})).clock(clock()).context();
        assert_eq!(Wait.start(&ctx).await, Outcome::done());
    }
}
