//! `noop`: succeeds at once. A place where branches meet, or a pipeline's first sketch.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::engine::{CancelReason, Effect, Outcome, StageContext, StageHandler, Wake};

/// For people.
pub(super) const DESCRIPTION: &str = "Does nothing and succeeds: a place where branches meet.";

/// A stage of this type.
pub(super) const EXAMPLE: &str = "\
id: tested
type: noop
needs: [unit, browser]
";

/// The fields of a `noop` stage: none.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Fields {}

pub(super) struct Noop;

#[async_trait]
impl StageHandler for Noop {
    fn kind(&self) -> &'static str {
        "noop"
    }

    fn effect(&self) -> Effect {
        Effect::None
    }

    async fn start(&self, _: &StageContext) -> Outcome {
        Outcome::done()
    }

    async fn resume(&self, _: &StageContext, _: Option<Value>, _: Wake) -> Outcome {
        Outcome::done()
    }

    async fn cancel(&self, _: &StageContext, _: Option<Value>, _: CancelReason) {}
}
