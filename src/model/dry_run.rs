//! What a dry run tells.

use serde::{Deserialize, Serialize};

use super::{HoldView, Holder, StagePath, Status};

/// What an execution would do, step by step, if its stages ended as they were chosen to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DryRun {
    /// How it would end.
    pub status: Status,
    /// What its commit status would say.
    pub description: String,
    /// What happens, in order.
    pub steps: Vec<DryStep>,
    /// The stages that would never start.
    pub never: Vec<StagePath>,
    /// What would keep it from beginning if it were started now: a freeze, or the executions before it. The steps are what
    /// follows then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<HoldView>,
    /// The executions that would be cancelled because this one is newer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub supersedes: Vec<Holder>,
}

/// One step of a [`DryRun`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DryStep {
    /// The stage.
    pub path: StagePath,
    /// For people.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// `starts`, `becomes` (several), `waits`, `retries`, `ends`, or `note` for what can't be told beforehand.
    pub does: String,
    /// How it ends, if it does.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<Status>,
    /// More about it, in words.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<String>,
}
