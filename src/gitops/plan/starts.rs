//! What a push of the change to the target branch would start.
//!
//! The changed paths are those of the change itself. A push of its merge changes the same ones, unless the merge is
//! resolved by hand.

use serde_json::Value;

use super::document::trigger_key;
use crate::diagnostic::pointer_step;
use crate::git::Changed;
use crate::gitops::matching::{RefName, asks_for_paths, git_triggers, is_for, lets_through};
use crate::model::{Pipeline, PlannedStart, Trigger, WhyNot};

/// The most parameters that are named of one pipeline.
const MAX_PARAMETERS: usize = 20;
/// The most triggers that are named of one.
const MAX_OTHERWISE: usize = 5;

/// Whether a push to `branch` that changes these paths would start the pipeline.
pub(super) fn start(pipeline: &Pipeline, branch: &str, changed: &Changed) -> PlannedStart {
    let name = RefName::Branch(branch);
    let mut why_not = WhyNot::NoGitTrigger;
    for trigger in git_triggers(pipeline) {
        if !is_for(trigger, name) {
            if why_not == WhyNot::NoGitTrigger {
                why_not = WhyNot::OtherBranch;
            }
            continue;
        }
        if asks_for_paths(trigger, name) && !lets_through(trigger, changed) {
            why_not = WhyNot::OtherPaths;
            continue;
        }
        let missing = without_value(pipeline);
        let starts = missing.is_empty();
        let content = serde_json::to_value(Trigger::Git(trigger.clone())).unwrap_or_default();
        return PlannedStart {
            starts,
            why_not: (!starts).then_some(WhyNot::MissingParameters),
            trigger: Some(format!("/triggers/{}", pointer_step(&trigger_key(&content)))),
            parameters: missing,
            ..not(pipeline, WhyNot::NoGitTrigger)
        };
    }
    not(pipeline, why_not)
}

/// A pipeline that would not start.
pub(super) fn not(pipeline: &Pipeline, why: WhyNot) -> PlannedStart {
    PlannedStart {
        application: pipeline.application.clone(),
        pipeline: pipeline.name.clone(),
        starts: false,
        why_not: Some(why),
        trigger: None,
        parameters: Vec::new(),
        otherwise: otherwise(pipeline),
    }
}

/// What starts the pipeline besides pushes.
fn otherwise(pipeline: &Pipeline) -> Vec<String> {
    let others = pipeline.triggers.iter().filter(|trigger| !matches!(trigger, Trigger::Git(_) | Trigger::Other(_)));
    others.map(Trigger::words).take(MAX_OTHERWISE).collect()
}

/// The parameters that a push can't give.
fn without_value(pipeline: &Pipeline) -> Vec<String> {
    let required = pipeline.parameters.iter().filter(|parameter| parameter.required);
    let empty = required.filter(|parameter| parameter.default.as_ref().is_none_or(Value::is_null));
    empty.map(|parameter| parameter.name.clone()).take(MAX_PARAMETERS).collect()
}
