//! The stages of a pipeline before and after, as one picture.

use std::collections::BTreeMap;

use crate::expression::scan_expressions;
use crate::model::{ChangeKind, Pipeline, PlanEdge, PlanGraph, PlanStage, Stage, StageId};

/// The stages after, in their order, then those that are gone; `changed` says of a stage that is in both whether it
/// differs.
pub(super) fn graph(
    before: Option<&Pipeline>,
    after: Option<&Pipeline>,
    changed: impl Fn(&StageId) -> bool,
) -> PlanGraph {
    let by_id = |pipeline: Option<&'_ Pipeline>| -> BTreeMap<StageId, Stage> {
        let stages = pipeline.map_or(&[][..], |pipeline| &pipeline.stages);
        stages.iter().map(|stage| (stage.id.clone(), stage.clone())).collect()
    };
    let (old, new) = (by_id(before), by_id(after));
    let gone = before.map_or(&[][..], |pipeline| &pipeline.stages).iter().filter(|stage| !new.contains_key(&stage.id));
    let stages = after.map_or(&[][..], |pipeline| &pipeline.stages).iter().chain(gone);
    let stages = stages.map(|stage| {
        let (was, is) = (old.get(&stage.id), new.get(&stage.id));
        let change = match (was, is) {
            (None, _) => Some(ChangeKind::Added),
            (_, None) => Some(ChangeKind::Removed),
            _ => changed(&stage.id).then_some(ChangeKind::Changed),
        };
        PlanStage { id: stage.id.clone(), name: name(stage), kind: stage.kind.clone(), change, needs: edges(was, is) }
    });
    PlanGraph { stages: stages.collect() }
}

/// What the picture calls a stage: one that becomes several says how many, if that is known beforehand.
fn name(stage: &Stage) -> String {
    let Some(spread) = &stage.spread else { return stage.name.clone() };
    let source = spread.over.source();
    let dynamic = source.values().any(|value| !scan_expressions(value, &[]).is_empty());
    let count = spread.over.instances(&source).ok().filter(|_| !dynamic).map(|all| all.len());
    match count {
        Some(count) => format!("{} ×{count}", stage.name),
        None => format!("{} ×n", stage.name),
    }
}

/// Sorted by the stage that comes before: the order of `needs` means nothing.
fn edges(was: Option<&Stage>, is: Option<&Stage>) -> Vec<PlanEdge> {
    let needs = |stage: Option<&Stage>| stage.map_or_else(Vec::new, |stage| stage.needs.clone());
    let (was, is) = (needs(was), needs(is));
    let mut all: Vec<&StageId> = was.iter().chain(&is).collect();
    all.sort_unstable();
    all.dedup();
    let edge = |stage: &StageId| {
        let change = match (was.contains(stage), is.contains(stage)) {
            (true, false) => Some(ChangeKind::Removed),
            (false, true) => Some(ChangeKind::Added),
            _ => None,
        };
        PlanEdge { stage: stage.clone(), change }
    };
    all.into_iter().map(edge).collect()
}
