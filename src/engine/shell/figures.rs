//! What the engine counts: executions as they begin and end, and their stages when they have ended.

use crate::engine::state::State;
use crate::telemetry::metrics;

/// Takes note of a committed change. Stages are counted at the end of their execution, all at once: the hot path
/// pays nothing for each of them.
pub(super) fn count(state: &State, seq: i64) {
    if seq == 1 {
        metrics().execution_started();
    }
    if !state.status.is_complete() {
        return;
    }
    let took = state.started_at.zip(state.ended_at).map(|(start, end)| end.since(start));
    metrics().execution_ended(state.status.as_str(), took);
    for (planned, (definition, stage)) in
        state.plan.stages().iter().zip(state.execution.info.pipeline.stages.iter().zip(&state.stages))
    {
        let took = stage.started_at.zip(stage.ended_at).map(|(start, end)| end.since(start));
        // Only types that exist: others are whatever somebody wrote.
        let kind = planned.kind.map_or("unknown", |_| definition.kind.as_str());
        metrics().stage_ended(kind, stage.status().as_str(), took);
    }
}
