//! What the engine counts: executions as they begin and end, and their stages when they have ended.

use crate::engine::state::State;
use crate::telemetry::{ExecutionTrace, StageTrace, metrics, trace};

/// Takes note of a committed change. Stages are counted at the end of their execution, all at once: the hot path
/// pays nothing for each of them.
pub(super) fn count(state: &State, began: bool) {
    if began {
        metrics().execution_started();
    }
    if !state.status.is_complete() {
        return;
    }
    trace(|| spans(state));
    let took = state.started_at.zip(state.ended_at).map(|(start, end)| end.since(start));
    metrics().execution_ended(state.status.as_str(), took);
    // What became several is counted by its instances.
    for index in state.plan.shown().into_iter().filter(|index| state.plan.members(*index).is_empty()) {
        let (planned, stage) = (&state.plan.stages()[index as usize], &state.stages[index as usize]);
        let definition = state.definition(index);
        let took = stage.started_at.zip(stage.ended_at).map(|(start, end)| end.since(start));
        // Only types that exist: others are whatever somebody wrote.
        let kind = planned.kind.map_or("unknown", |_| definition.kind.as_str());
        metrics().stage_ended(kind, stage.status().as_str(), took);
    }
}

/// An execution that ended, as a trace; none if it never began.
fn spans(state: &State) -> Option<ExecutionTrace> {
    let info = &state.execution.info;
    let (start, end) = state.started_at.zip(state.ended_at)?;
    let stages = state.plan.shown().into_iter().filter_map(|index| {
        let stage = &state.stages[index as usize];
        Some(StageTrace {
            path: state.plan.stages()[index as usize].path.to_string(),
            kind: state.definition(index).kind.clone(),
            status: stage.status().as_str(),
            good: stage.status().is_good(),
            start: stage.started_at?,
            end: stage.ended_at?,
            attempts: stage.attempt,
        })
    });
    Some(ExecutionTrace {
        id: info.id.0,
        name: format!("{}/{}", info.pipeline.application, info.pipeline.name),
        status: state.status.as_str(),
        good: state.status.is_good(),
        start,
        end,
        source: info
            .repository
            .as_ref()
            .zip(info.commit.as_ref())
            .map(|(name, commit)| (name.to_string(), commit.to_string())),
        stages: stages.collect(),
    })
}
