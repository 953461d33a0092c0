//! Pipelines of one commit that start each other by their ends, in a circle.

use std::collections::{BTreeMap, HashSet};

use super::CheckedApplication;
use crate::diagnostic::{Code, Diagnostic};
use crate::model::Pipeline;

/// The most circles that are named.
const MAX_CIRCLES: usize = 20;

/// A warning for each pipeline that begins a circle.
pub(super) fn circles<'a>(applications: impl Iterator<Item = &'a CheckedApplication>) -> Vec<Diagnostic> {
    let pipelines: Vec<&Pipeline> = applications.flat_map(|application| &application.pipelines).collect();
    let mut by_name = BTreeMap::new();
    let mut by_id = BTreeMap::new();
    for (index, pipeline) in pipelines.iter().enumerate() {
        by_name.insert((pipeline.application.as_str(), pipeline.name.as_str()), index);
        by_id.insert(pipeline.id, index);
    }
    // From each pipeline to those whose ends start it.
    let before: Vec<Vec<usize>> = pipelines
        .iter()
        .map(|pipeline| {
            let of = |trigger: &crate::model::PipelineTrigger| match trigger.target_id() {
                Some(id) => by_id.get(&id).copied(),
                None => {
                    let application = trigger.application_or(&pipeline.application).as_str();
                    by_name.get(&(application, trigger.pipeline.as_str())).copied()
                }
            };
            pipeline.pipeline_triggers().filter_map(of).collect()
        })
        .collect();
    let mut done = HashSet::new();
    let mut findings = Vec::new();
    for start in 0..pipelines.len() {
        if findings.len() >= MAX_CIRCLES || done.contains(&start) {
            continue;
        }
        let Some(way) = way_back(start, &before) else { continue };
        done.extend(way.iter().copied());
        let mut names: Vec<String> = way
            .iter()
            .rev()
            .map(|index| format!("{}/{}", pipelines[*index].application, pipelines[*index].name))
            .collect();
        names.rotate_right(1);
        names.push(names[0].clone());
        let message = format!("pipelines start each other by their ends: {}", names.join(" → "));
        let finding = Diagnostic::warning(Code::TriggerCircle, message).at(pipelines[start].source.clone());
        findings.push(finding.hint("such a chain is ended after a while; take one of the `pipeline` triggers out"));
    }
    findings
}

/// The shortest way from a pipeline back to itself.
fn way_back(start: usize, before: &[Vec<usize>]) -> Option<Vec<usize>> {
    let mut from: BTreeMap<usize, usize> = BTreeMap::new();
    let mut queue = std::collections::VecDeque::from([start]);
    while let Some(at) = queue.pop_front() {
        for next in before[at].iter().copied() {
            if next == start {
                let mut way = vec![at];
                let mut here = at;
                while here != start {
                    here = from[&here];
                    way.push(here);
                }
                way.reverse();
                return Some(way);
            }
            if let std::collections::btree_map::Entry::Vacant(new) = from.entry(next) {
                new.insert(at);
                queue.push_back(next);
            }
        }
    }
    None
}
