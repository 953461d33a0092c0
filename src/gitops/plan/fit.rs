//! A plan made to fit: what is large goes first, and the plan says so.

use serde::Serialize;

use crate::model::{Change, PipelineChange, Plan};

/// The most pipelines that are listed, changed or started.
const MAX_PIPELINES: usize = 500;
/// The most applications that are listed as hidden.
const MAX_HIDDEN: usize = 100;
/// A value of more bytes than this is left out of a pipeline that has no room.
const LARGE_VALUE: usize = 1024;

/// Cuts a plan so that what it lists takes about `room` bytes as JSON. Small pipelines come first: a large one can't
/// push them out. Where there is no room, a pipeline loses its picture, then its large values, then its last changes;
/// what is left without any room is that it changes, and where it is defined.
pub(super) fn fit(plan: &mut Plan, room: usize) {
    plan.hidden.truncate(MAX_HIDDEN);
    plan.starts.truncate(MAX_PIPELINES);
    if plan.pipelines.len() > MAX_PIPELINES {
        plan.pipelines.truncate(MAX_PIPELINES);
        plan.cut = true;
    }
    let mut room = room;
    let mut by_size: Vec<(usize, usize)> =
        plan.pipelines.iter().enumerate().map(|(index, pipeline)| (size(pipeline), index)).collect();
    by_size.sort_unstable();
    let mut left = by_size.len();
    for (_, index) in by_size {
        let Some(pipeline) = plan.pipelines.get_mut(index) else { continue };
        // What is smaller than its share leaves the rest of it to those that follow.
        let share = room / left.max(1);
        left -= 1;
        plan.cut |= fit_pipeline(pipeline, share);
        room = room.saturating_sub(size(pipeline));
    }
}

/// Yields whether a change lost something.
fn fit_pipeline(pipeline: &mut PipelineChange, room: usize) -> bool {
    if size(pipeline) <= room {
        return false;
    }
    pipeline.graph = None;
    if size(pipeline) <= room {
        return false;
    }
    let mut cut = false;
    for change in &mut pipeline.changes {
        let large = size(&change.before) + size(&change.after) > LARGE_VALUE;
        if large {
            *change = Change { before: None, after: None, cut: true, ..change.clone() };
            cut = true;
        }
    }
    let mut used = size(&PipelineChange { changes: Vec::new(), ..pipeline.clone() });
    let fits = |change: &&Change| {
        used += size(change) + 1;
        used <= room
    };
    let kept = pipeline.changes.iter().take_while(fits).count();
    let left_out = pipeline.changes.len() - kept;
    pipeline.changes.truncate(kept);
    pipeline.left_out = u32::try_from(left_out).unwrap_or(u32::MAX);
    cut || left_out > 0
}

/// The length as JSON.
fn size(value: &impl Serialize) -> usize {
    serde_json::to_string(value).map_or(usize::MAX / 4, |text| text.len())
}
