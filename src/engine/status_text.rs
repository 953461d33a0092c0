//! What a commit status says about an execution (FORMAT section 8): the state word first, then count or cause.

use crate::engine::state::{Phase, StageState, State, Stop};
use crate::model::{CommitStatus, ExecutionId, Status, StatusState, clip, humanize};

/// The commit status of an execution as it stands; `None` if it reports nowhere.
pub fn report(state: &State) -> Option<CommitStatus> {
    let target = state.execution.info.report.clone()?;
    let (word, text) = describe(state);
    Some(CommitStatus::new(target, word, &text, page(state.execution.info.id)))
}

/// The commit status of an execution that this program can't go on with.
pub fn trouble_text(message: &str) -> String {
    clip(&format!("Longboat error: {message}"))
}

/// The path of an execution's page.
pub fn page(id: ExecutionId) -> String {
    format!("/executions/{id}")
}

/// State and text.
pub fn describe(state: &State) -> (StatusState, String) {
    if let Some(trouble) = &state.trouble {
        return (StatusState::Error, trouble_text(trouble));
    }
    if let Some(hold) = &state.held
        && state.stop.is_none()
    {
        let text = match hold.lane {
            Some(_) => format!("Queued: waiting for {}", hold.reason),
            None => format!("Waiting: frozen, {}", hold.reason),
        };
        return (StatusState::Pending, clip(&text));
    }
    match state.status {
        Status::Succeeded => (StatusState::Success, succeeded(state)),
        Status::Canceled => (StatusState::Failure, canceled(state)),
        Status::Terminal => (StatusState::Failure, failed(state)),
        Status::Running => (StatusState::Pending, running(state)),
        Status::Paused => {
            let by = state.paused.as_ref().map(|paused| format!(" by {}", paused.by)).unwrap_or_default();
            (StatusState::Pending, clip(&format!("Paused{by}")))
        }
        _ => (StatusState::Pending, "Queued".to_owned()),
    }
}

fn succeeded(state: &State) -> String {
    match (state.running_since(), state.ended_at) {
        (Some(start), Some(end)) => format!("Succeeded in {}", humanize(end.since(start))),
        _ => "Succeeded".to_owned(),
    }
}

fn canceled(state: &State) -> String {
    match &state.stop {
        Some(Stop::Canceled { by, superseded: true, .. }) => clip(&format!("Superseded by {by}")),
        Some(Stop::Canceled { by, reason: Some(reason), .. }) if by == "longboat" => {
            clip(&format!("Cancelled: {reason}"))
        }
        Some(Stop::Canceled { by, .. }) => clip(&format!("Cancelled by {by}")),
        _ => match (0..).zip(&state.stages).find(|(_, stage)| stage.status() == Status::Canceled) {
            Some((stage, _)) => clip(&format!("Cancelled: {} was not restarted", state.name(stage))),
            None => "Cancelled".to_owned(),
        },
    }
}

fn failed(state: &State) -> String {
    let failure = match state.stop {
        Some(Stop::Halted { stage }) => Some(stage),
        Some(Stop::Canceled { .. } | Stop::TimedOut) => None,
        None => state.failing(),
    };
    match (failure, state.execution.info.pipeline.timeout) {
        (Some(stage), _) => {
            let error = state.stages[stage as usize].error.as_deref().unwrap_or("no reason was given");
            let line = error.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or(error);
            clip(&format!("Failed: {}, {line}", state.name(stage)))
        }
        (None, Some(timeout)) => format!("Failed: timed out after {timeout}"),
        (None, None) => "Failed".to_owned(),
    }
}

/// A person who is waited for is worth more words than a program that runs.
fn running(state: &State) -> String {
    let waits = state.active().find_map(|(index, stage)| match &stage.phase {
        Phase::Waiting { waiting_for, .. } if state.awaits_judgment(index) => Some(waiting_for),
        _ => None,
    });
    if let Some(waiting_for) = waits {
        return clip(&format!("Waiting for {waiting_for}"));
    }
    let windows = state.active().map(|(index, stage)| match stage.phase {
        Phase::Window { until } => Some((index, until)),
        _ => None,
    });
    // All that is under way waits for its window.
    if let Some(Some((first, until))) =
        windows.collect::<Option<Vec<_>>>().map(|all| all.into_iter().min_by_key(|one| one.1))
    {
        return clip(&format!("Waiting for the time window of {}, until {until}", state.name(first)));
    }
    // What has become several counts as its instances.
    let counted =
        |(index, _): &(u32, &StageState)| !state.plan.is_retired(*index) && state.plan.members(*index).is_empty();
    let all = || (0..).zip(&state.stages).filter(counted);
    let total = all().count();
    let ended = all().filter(|(_, stage)| stage.status().is_complete()).count();
    let position = (ended + 1).min(total);
    let mut active = state.active().map(|(index, _)| index);
    match (active.next(), active.count()) {
        (Some(first), 0) => clip(&format!("Running: {} ({position} of {total})", state.name(first))),
        (Some(first), more) => clip(&format!("Running: {} and {more} more ({position} of {total})", state.name(first))),
        (None, _) => "Running".to_owned(),
    }
}
