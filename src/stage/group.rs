//! `group`: a heading among stages (Spinnaker's stage of the same name). Pages show it; nothing happens in it, and
//! what needs it goes on.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::engine::{CancelReason, Effect, Outcome, StageContext, StageHandler, Wake};

/// For people.
pub(super) const DESCRIPTION: &str = "A heading among stages: succeeds at once. Stages belong to a group by their own key `group`, which only pages look at.";

/// A stage of this type.
pub(super) const EXAMPLE: &str = "\
id: checks
name: Checks before the deployment
type: group
";

/// The fields of a `group` stage: none.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Fields {}

pub(super) struct Group;

#[async_trait]
impl StageHandler for Group {
    fn kind(&self) -> &'static str {
        "group"
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
