//! Spinnaker's spelling of what Longboat spells otherwise (FORMAT section 1; the meaning of the keys is that of
//! Orca and Echo, Spinnaker's engine and its triggers).

use super::reader::{Field, Fields, Sink};
use crate::diagnostic::{Code, Diagnostic};
use crate::gitops::Node;
use crate::model::{Concurrency, Dialect, OnFailure, OnNew};

/// Keys of a pipeline that only Spinnaker's own bookkeeping uses, and that mean nothing here.
const PIPELINE_BOOKKEEPING: &[&str] = &[
    "appConfig",
    "createTs",
    "email",
    "entityTags",
    "executionEngine",
    "index",
    "lastModified",
    "lastModifiedBy",
    "migrationStatus",
    "parallel",
    "schema",
    "source",
    "spelEvaluator",
    "stageCounter",
    "tags",
    "type",
    "updateTs",
];

/// Keys of a stage that mean nothing here.
const STAGE_BOOKKEEPING: &[&str] = &["comments", "overrideTimeout", "skipWindowText"];

/// Keys that Spinnaker acts on and this version doesn't.
const PIPELINE_LATER: &[&str] = &[
    "config",
    "exclude",
    "inherit",
    "locked",
    "manualStartAlert",
    "notifications",
    "respectQuietPeriod",
    "roles",
    "serviceAccount",
    "strategy",
    "template",
    "templateVariables",
    "variables",
];
const STAGE_LATER: &[&str] = &[
    "alias",
    "allowSiblingStagesToContinueOnFailure",
    "backoffPeriodMs",
    "failOnFailedExpressions",
    "markSuccessfulOnTimeout",
    "notifications",
    "requiredArtifactIds",
    "requiredArtifacts",
    "sendNotifications",
    "skippable",
    "startTimeExpiry",
];

/// Keys whose presence says that a pipeline is in Spinnaker's spelling.
const PIPELINE_MARKS: [&str; 2] = ["parameterConfig", "spelEvaluator"];
const STAGE_MARKS: [&str; 2] = ["refId", "requisiteStageRefIds"];

/// The spelling that a pipeline's keys tell.
pub(super) fn dialect(pipeline: &Fields<'_>) -> Dialect {
    let stages = pipeline.peek("stages").and_then(Node::as_list).unwrap_or_default();
    let marked = PIPELINE_MARKS.iter().any(|mark| pipeline.has(mark))
        || stages.iter().any(|stage| STAGE_MARKS.iter().any(|mark| stage.get(mark).is_some()));
    if marked { Dialect::Spinnaker } else { Dialect::Longboat }
}

/// Takes the keys of a pipeline that have no meaning here, with a warning where they have one in Spinnaker.
pub(super) fn take_pipeline_rest(fields: &mut Fields<'_>, sink: &mut Sink) {
    for key in PIPELINE_BOOKKEEPING {
        fields.take(key);
    }
    refuse_guard(fields, "disabled", "a disabled pipeline would run: take it out of the file", sink);
    warn_later(fields, PIPELINE_LATER, sink);
}

/// The same for a stage.
pub(super) fn take_stage_rest(fields: &mut Fields<'_>, sink: &mut Sink) {
    for key in STAGE_BOOKKEEPING {
        fields.take(key);
    }
    warn_later(fields, STAGE_LATER, sink);
}

/// A key that keeps something from running can't be passed over.
fn refuse_guard(fields: &mut Fields<'_>, key: &str, hint: &str, sink: &mut Sink) {
    let Some(field) = fields.take(key) else { return };
    if field.boolean(sink) == Some(true) {
        let message = format!("`{key}` is not in this version of Longboat");
        field.say(sink, Diagnostic::error(Code::NotInThisVersion, message).hint(hint));
    }
}

fn warn_later(fields: &mut Fields<'_>, keys: &[&str], sink: &mut Sink) {
    for field in keys.iter().filter_map(|key| fields.take(key)) {
        later(&field, sink);
    }
}

/// Says that a key is kept, but that this version doesn't act on it.
pub(super) fn later(field: &Field<'_>, sink: &mut Sink) {
    let message = format!("this version of Longboat doesn't act on `{}`", field.name);
    field.say(sink, Diagnostic::warning(Code::NotInThisVersion, message));
}

/// `limitConcurrent`, `maxConcurrentExecutions` and `keepWaitingPipelines` as one.
pub(super) fn concurrency(fields: &mut Fields<'_>, sink: &mut Sink) -> Option<Concurrency> {
    let limited = fields.take("limitConcurrent");
    let most = fields.take("maxConcurrentExecutions");
    let keep = fields.take("keepWaitingPipelines").and_then(|field| field.boolean(sink)).unwrap_or(false);
    let on_new = if keep { OnNew::Queue } else { OnNew::KeepNewest };
    // Spinnaker looks at the number only if `limitConcurrent` is false.
    if limited.is_some_and(|field| field.boolean(sink) == Some(true)) {
        return Some(Concurrency { max: 1, on_new, lock: None });
    }
    let field = most?;
    let max =
        field.number(sink, 0, i64::from(u32::MAX)).and_then(|max| u32::try_from(max).ok()).filter(|max| *max > 0)?;
    Some(Concurrency { max, on_new, lock: None })
}

/// The three flags that say what a stage's failure means, read in the order in which Orca reads them.
pub(super) struct FailureFlags<'a> {
    first: Field<'a>,
    fail: bool,
    go_on: bool,
    others_first: bool,
}

impl<'a> FailureFlags<'a> {
    pub(super) fn take(fields: &mut Fields<'a>, sink: &mut Sink) -> Option<Self> {
        let mut first = None;
        let mut flag = |key: &str, absent: bool| {
            let Some(field) = fields.take(key) else { return absent };
            let value = field.boolean(sink).unwrap_or(absent);
            first.get_or_insert(field);
            value
        };
        let fail = flag("failPipeline", true);
        let go_on = flag("continuePipeline", false);
        let others_first = flag("completeOtherBranchesThenFail", false);
        Some(Self { first: first?, fail, go_on, others_first })
    }

    /// The first of the flags that were given.
    pub(super) fn field(&self) -> &Field<'a> {
        &self.first
    }

    pub(super) fn meaning(&self) -> OnFailure {
        match (self.go_on, self.fail, self.others_first) {
            (true, _, _) => OnFailure::Ignore,
            (false, true, _) => OnFailure::Halt,
            (false, false, true) => OnFailure::HaltBranchThenFail,
            (false, false, false) => OnFailure::HaltBranch,
        }
    }
}

/// `stageEnabled: {type: expression, expression: "..."}`: the field with the expression, if there is one.
pub(super) fn stage_enabled<'a>(field: &Field<'a>, sink: &mut Sink) -> Option<Field<'a>> {
    let mut fields = Fields::of(field.node, &field.pointer, "`stageEnabled`", sink)?;
    let kind = fields.take("type");
    let expression = fields.take("expression").map(|inner| Field { name: "stageEnabled.expression".into(), ..inner });
    let known = ["type", "expression"].map(str::to_owned);
    fields.finish(&known, "`stageEnabled`", Dialect::Spinnaker, sink);
    if let Some(kind) = kind.filter(|kind| kind.string(sink).is_some_and(|kind| kind != "expression")) {
        let message = "`stageEnabled.type` has to be `expression`";
        kind.say(sink, Diagnostic::error(Code::ValueNotAllowed, message));
        return None;
    }
    // Spinnaker runs a stage whose expression is empty.
    expression.filter(|field| field.node.as_str().is_none_or(|text| !text.trim().is_empty()))
}
