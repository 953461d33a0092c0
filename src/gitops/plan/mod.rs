//! What a change does: two checked commits in, the plan of going from one to the other out.
//!
//! Pipelines are compared by what they mean, as normalised documents ([`document()`]). What can't be compared is left out
//! and named: applications with errors on either side, and everything that could go away while some file can't be
//! read.

mod difference;
mod document;
mod fit;
mod graph;
mod places;
mod starts;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

pub use difference::{Documents, apply};
pub(super) use document::cover_named;
pub use document::document;

use self::document::uncovered;
use self::places::Places;
use super::Checked;
use crate::git::Changed;
use crate::model::{
    ApplicationName, Change, ChangeKind, Pipeline, PipelineChange, PipelineName, Plan, PlannedStart, StageId, WhyNot,
};

/// About how large a plan may be that is kept, in bytes as JSON.
pub const KEPT_PLAN: usize = 96 * 1024;
/// About how large a plan may be that is printed, in bytes as JSON.
pub const PRINTED_PLAN: usize = 16 * 1024 * 1024;

/// The push that would bring a change to its target.
#[derive(Debug, Clone, Copy)]
pub struct Push<'a> {
    /// The branch, without `refs/heads/`.
    pub branch: &'a str,
    /// The paths that it changes.
    pub changed: &'a Changed,
    /// Whether the definitions on the branch count.
    pub tracked: bool,
}

type Named<'a> = BTreeMap<(&'a ApplicationName, &'a PipelineName), &'a Pipeline>;

/// The plan of a change from `before` to `after`, cut to about `room` bytes.
pub fn plan(before: &Checked, after: &Checked, push: Push<'_>, room: usize) -> Plan {
    let hidden = hidden(before, after);
    let (old, new) = (pipelines(before, &hidden), pipelines(after, &hidden));
    let places = (Places::new(before), Places::new(after));
    let mut plan = Plan { tracked: push.tracked, ..Plan::default() };
    let names: BTreeSet<_> = old.keys().chain(new.keys()).copied().collect();
    for name in names {
        let change = match (old.get(&name), new.get(&name)) {
            (None, Some(new)) => whole(new, ChangeKind::Added, &places.1),
            (Some(old), None) => whole(old, ChangeKind::Removed, &places.0),
            (Some(old), Some(new)) => match changed((old, &places.0), (new, &places.1)) {
                Some(change) => change,
                None => {
                    plan.unchanged = plan.unchanged.saturating_add(1);
                    continue;
                }
            },
            (None, None) => continue,
        };
        let count = match change.kind {
            ChangeKind::Added => &mut plan.added,
            ChangeKind::Changed => &mut plan.changed,
            ChangeKind::Removed => &mut plan.removed,
        };
        *count = count.saturating_add(1);
        plan.pipelines.push(change);
    }
    plan.hidden = hidden.into_iter().cloned().collect();
    plan.starts = if push.tracked { starts(before, after, push) } else { Vec::new() };
    plan.starting = u32::try_from(plan.starts.iter().filter(|start| start.starts).count()).unwrap_or(u32::MAX);
    fit::fit(&mut plan, room);
    plan
}

/// The documents of all pipelines that can be compared with the other side's.
pub fn documents(checked: &Checked) -> Documents {
    let valid = checked.applications.iter().filter(|application| application.valid);
    let pipelines = valid.flat_map(|application| &application.pipelines);
    pipelines.map(|one| ((one.application.clone(), one.name.clone()), document(one))).collect()
}

fn pipelines<'a>(checked: &'a Checked, hidden: &BTreeSet<&ApplicationName>) -> Named<'a> {
    let shown = checked.applications.iter().filter(|application| !hidden.contains(&application.name));
    shown.flat_map(|application| &application.pipelines).map(|one| ((&one.application, &one.name), one)).collect()
}

/// The applications that can't be compared.
fn hidden<'a>(before: &'a Checked, after: &'a Checked) -> BTreeSet<&'a ApplicationName> {
    let broken = |checked: &'a Checked| checked.applications.iter().filter(|application| !application.valid);
    let mut hidden: BTreeSet<_> = broken(before).chain(broken(after)).map(|application| &application.name).collect();
    if !after.blocked_files.is_empty() {
        // A file whose application can't be told may be the one that an application has moved to.
        let there: BTreeSet<_> = after.applications.iter().map(|application| &application.name).collect();
        let gone = before.applications.iter().map(|application| &application.name);
        hidden.extend(gone.filter(|name| !there.contains(name)));
    }
    hidden
}

/// A pipeline that comes or goes.
fn whole(pipeline: &Pipeline, kind: ChangeKind, places: &Places<'_>) -> PipelineChange {
    let value = Some(document(pipeline));
    let added = kind == ChangeKind::Added;
    let (before, after) = if added { (None, value) } else { (value, None) };
    let place = places.find(pipeline, "");
    let sides = if added { (None, Some(pipeline)) } else { (Some(pipeline), None) };
    PipelineChange {
        application: pipeline.application.clone(),
        pipeline: pipeline.name.clone(),
        kind,
        place: place.clone(),
        changes: vec![Change { kind, pointer: String::new(), before, after, place: Some(place), cut: false }],
        left_out: 0,
        graph: Some(graph::graph(sides.0, sides.1, |_| false)),
    }
}

/// A pipeline that is on both sides; none if it means the same.
fn changed(before: (&Pipeline, &Places<'_>), after: (&Pipeline, &Places<'_>)) -> Option<PipelineChange> {
    let (old, new) = (uncovered(before.0), uncovered(after.0));
    let mut changes = difference::differences(&old, &new);
    if changes.is_empty() {
        return None;
    }
    for change in &mut changes {
        let (pipeline, places) = if change.kind == ChangeKind::Removed { before } else { after };
        change.place = Some(places.find(pipeline, &change.pointer));
    }
    let differs = |id: &StageId| old["stages"].get(id.as_str()) != new["stages"].get(id.as_str());
    Some(PipelineChange {
        application: after.0.application.clone(),
        pipeline: after.0.name.clone(),
        kind: ChangeKind::Changed,
        place: after.1.find(after.0, ""),
        graph: Some(graph::graph(Some(before.0), Some(after.0), differs)),
        changes,
        left_out: 0,
    })
}

/// Those that would start first; each by application and name.
fn starts(before: &Checked, after: &Checked, push: Push<'_>) -> Vec<PlannedStart> {
    let mut all: BTreeMap<(&ApplicationName, &PipelineName), PlannedStart> = BTreeMap::new();
    for application in &after.applications {
        for pipeline in &application.pipelines {
            let start = match application.valid {
                true => starts::start(pipeline, push.branch, push.changed),
                false => starts::not(pipeline, WhyNot::Errors),
            };
            all.insert((&pipeline.application, &pipeline.name), start);
        }
    }
    // Those with errors of their own have no pipeline on this side.
    let broken =
        after.applications.iter().filter(|application| !application.valid).map(|application| &application.name);
    let broken: BTreeSet<_> = broken.collect();
    let known = before.applications.iter().filter(|application| broken.contains(&application.name));
    for pipeline in known.flat_map(|application| &application.pipelines) {
        let name = (&pipeline.application, &pipeline.name);
        all.entry(name).or_insert_with(|| starts::not(pipeline, WhyNot::Errors));
    }
    let (starting, not): (Vec<_>, Vec<_>) = all.into_values().partition(|start| start.starts);
    starting.into_iter().chain(not).collect()
}
