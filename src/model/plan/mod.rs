//! What a change of a repository's files does to its pipelines: which come, change and go, how, and what would start.
//!
//! A pipeline is compared as a *normalised document*: a JSON mapping in which parameters stand under their names,
//! stages and expected artifacts under their ids, triggers under a word made of their content, and what a stage needs
//! as a mapping of ids. Places and orders that mean nothing aren't in it. A [`Change`] points into that document.

mod told;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::{ApplicationName, CommitSha, Pins, PipelineName, RepositoryName, StageId};
use crate::diagnostic::Diagnostic;

pub use told::{LineChange, Told, told};

/// What a change does to the pipelines of a repository. The same files give the same plan.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The pipelines that come, change or go, by application and name. Bounded.
    pub pipelines: Vec<PipelineChange>,
    /// How many pipelines come, those that `pipelines` has no room for included.
    pub added: u32,
    /// How many change, likewise.
    pub changed: u32,
    /// How many go, likewise.
    pub removed: u32,
    /// How many stay as they are.
    pub unchanged: u32,
    /// The applications that can't be compared, because something is wrong with them before or after. Bounded.
    #[schemars(with = "Vec<String>")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hidden: Vec<ApplicationName>,
    /// What a push of this change to the target branch would start, and what it would not; the former first. Bounded.
    pub starts: Vec<PlannedStart>,
    /// How many pipelines it would start, those that `starts` has no room for included.
    pub starting: u32,
    /// Whether the definitions on the target branch count: if not, this change publishes nothing, and what a push
    /// starts is up to the definitions in force.
    pub tracked: bool,
    /// Whether something had no room. If so, `before` plus this plan is not all of `after`.
    pub cut: bool,
}

/// How one pipeline changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PipelineChange {
    /// Its application.
    #[schemars(with = "String")]
    pub application: ApplicationName,
    /// Its name.
    #[schemars(with = "String")]
    pub pipeline: PipelineName,
    /// What would happen to it.
    pub kind: ChangeKind,
    /// Where it is defined; of one that goes, where it was.
    pub place: SourceLine,
    /// What differs. Of a pipeline that comes or goes this is one change, of the whole document.
    pub changes: Vec<Change>,
    /// How many changes had no room here.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: u32,
    /// Its stages before and after in one picture; none if it had no room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graph: Option<PlanGraph>,
}

/// One difference between two normalised documents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// What happens to the value.
    pub kind: ChangeKind,
    /// Where it stands in the normalised document, as a JSON pointer: `/stages/deploy/command`. The empty pointer is
    /// the whole document.
    pub pointer: String,
    /// The value before; missing if there was none. What looks like a credential is `***`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub before: Option<Value>,
    /// The value after; missing if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub after: Option<Value>,
    /// Where the value after is written, or the one before if there is none after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<SourceLine>,
    /// Whether the values are missing because they had no room.
    #[serde(default, skip_serializing_if = "is_false")]
    pub cut: bool,
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceLine {
    /// The path inside the repository.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
}

impl std::fmt::Display for SourceLine {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}:{}", self.file, self.line)
    }
}

/// What a change does to a pipeline, or to a part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It is there before and after, and differs.
    Changed,
    /// It goes away.
    Removed,
}

impl ChangeKind {
    /// The word for it: `added`, `changed`, `removed`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Removed => "removed",
        }
    }

    /// The sign that stands before it in a list: `+`, `~`, `-`.
    pub const fn sign(self) -> char {
        match self {
            Self::Added => '+',
            Self::Changed => '~',
            Self::Removed => '-',
        }
    }
}

/// The stages of a pipeline before and after a change, in one picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanGraph {
    /// The stages after the change, in the author's order, then those that it removes.
    pub stages: Vec<PlanStage>,
}

/// A stage in such a picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanStage {
    /// Its id.
    #[schemars(with = "String")]
    pub id: StageId,
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// What happens to it; missing if nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<ChangeKind>,
    /// The stages that come before it, or did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<PlanEdge>,
}

/// An edge of such a picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanEdge {
    /// The stage that comes before.
    #[schemars(with = "String")]
    pub stage: StageId,
    /// Whether the edge is new or goes away; missing if it stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<ChangeKind>,
}

/// Whether a push of the change to the target branch would start a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlannedStart {
    /// The pipeline's application.
    #[schemars(with = "String")]
    pub application: ApplicationName,
    /// Its name.
    #[schemars(with = "String")]
    pub pipeline: PipelineName,
    /// Whether it would start.
    pub starts: bool,
    /// Why it would not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why_not: Option<WhyNot>,
    /// The trigger that starts it, as a JSON pointer into its normalised document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<String>,
    /// The parameters without which it can't start. Bounded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<String>,
    /// What starts it besides pushes, in words. Bounded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub otherwise: Vec<String>,
}

impl PlannedStart {
    /// Why it would not start, in words, to be read after "not started: "; nothing if it would.
    pub fn reason(&self) -> String {
        let why = self.why_not.map_or("", WhyNot::as_str);
        match (self.why_not, self.otherwise.as_slice()) {
            (Some(WhyNot::NoGitTrigger), [_, ..]) => {
                format!("{why}; what starts it is: {}", self.otherwise.join(", "))
            }
            _ => why.to_owned(),
        }
    }
}

/// Why a push would not start a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum WhyNot {
    /// It has no git trigger.
    NoGitTrigger,
    /// Its git triggers are for other branches, or for tags.
    OtherBranch,
    /// Its git triggers are for other paths than those that change.
    OtherPaths,
    /// Its git trigger fits, but a required parameter has no default.
    MissingParameters,
    /// Its application has errors, so nothing of it starts.
    Errors,
}

impl WhyNot {
    /// In words, to be read after "not started: ".
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoGitTrigger => "it has no git trigger",
            Self::OtherBranch => "its git triggers are for other branches or for tags",
            Self::OtherPaths => "the change touches none of the paths of its git triggers",
            Self::MissingParameters => "a required parameter has no default",
            Self::Errors => "its application has errors",
        }
    }
}

/// A plan with what it is about and what is wrong: the document that `longboat plan --format json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanReport {
    /// The repository.
    #[schemars(with = "String")]
    pub repository: RepositoryName,
    /// The branch that the change is for: both sides are rendered as this branch.
    pub target_branch: String,
    /// The commit before; missing if there is none.
    #[schemars(with = "Option<String>")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<CommitSha>,
    /// The commit after; missing if it is a work tree as it stands.
    #[schemars(with = "Option<String>")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<CommitSha>,
    /// Why the head could not be looked at, in words; then nothing else counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// How many errors the head has.
    pub errors: u32,
    /// How many warnings it has.
    pub warnings: u32,
    /// What was found in the head, errors first. Bounded.
    pub findings: Vec<Diagnostic>,
    /// The commits at which module repositories were read for the head.
    #[serde(default, skip_serializing_if = "Pins::is_empty")]
    pub pins: Pins,
    /// Those for the base, where it is compared at a terminal. A reference that both have means the same for both.
    #[serde(default, skip_serializing_if = "Pins::is_empty")]
    pub base_pins: Pins,
    /// What would change. Missing if it isn't known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
}

impl Plan {
    /// How many pipelines come, change or go.
    pub const fn all_changed(&self) -> u32 {
        self.added.saturating_add(self.changed).saturating_add(self.removed)
    }
}

/// A key that is there has a value, and be it null.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

const fn is_zero(number: &u32) -> bool {
    *number == 0
}

const fn is_false(flag: &bool) -> bool {
    !*flag
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn null_is_a_value_and_nothing_is_none() {
        let change = Change {
            kind: ChangeKind::Changed,
            pointer: "/a".to_owned(),
            before: Some(Value::Null),
            after: None,
            place: None,
            cut: false,
        };
        let text = serde_json::to_value(&change).expect("JSON");
        assert_eq!(text, json!({"kind": "changed", "pointer": "/a", "before": null}));
        assert_eq!(serde_json::from_value::<Change>(text).expect("reads back"), change);
    }
}
