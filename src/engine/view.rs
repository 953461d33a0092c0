//! An execution as the API and the pages show it, from its document and its journal.

use std::sync::Arc;

use super::entry::{RowError, decode};
use super::freeze::Hold;
use super::registry::Kinds;
use super::state::{Phase, State, Stop};
use super::status_text::{describe, trouble_text};
use crate::model::{
    ExecutionView, HoldKind, HoldView, InstancesView, PauseView, Pipeline, RestartView, StageProgress, StageSource,
    StageView, Status,
};
use crate::store::{JournalRow, StoredExecution};

/// The newest version of an execution's document that this program goes on with.
const DOCUMENT: u32 = Pipeline::DOCUMENT_VERSION;

/// Why an execution can't be told from its document and its journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfoldable {
    /// In words that say which row, and what to do.
    pub reason: String,
    /// A newer program wrote it, and can go on with it.
    pub newer: bool,
}

/// Folds a journal.
///
/// # Errors
/// If a newer program wrote something of it, a row can't be read or isn't legal, or the definition is no graph.
pub fn fold(stored: &StoredExecution, rows: &[JournalRow], kinds: Arc<Kinds>) -> Result<State, Unfoldable> {
    if stored.needs > DOCUMENT {
        let needs = stored.needs;
        let reason = format!(
            "a newer Longboat created it (version {needs} of the document; this one knows {DOCUMENT}): start that one"
        );
        return Err(Unfoldable { reason, newer: true });
    }
    let execution = Arc::new(stored.execution.clone());
    let wrong = |reason: String| Unfoldable { reason, newer: false };
    let mut state = State::new(execution, kinds).map_err(|error| wrong(error.to_string()))?;
    for row in rows {
        let at_row = |error: &dyn std::fmt::Display| format!("row {} of its journal: {error}", row.seq);
        let entries = decode(&row.body)
            .map_err(|error| Unfoldable { reason: at_row(&error), newer: matches!(error, RowError::Version { .. }) })?;
        for entry in entries {
            state.apply(&entry, row.at).map_err(|error| wrong(at_row(&error)))?;
        }
    }
    Ok(state)
}

/// The view. Of an execution that has lost its details it is what was kept. An execution whose journal can't be read is shown with what the store's summary says of it, and why
/// there is no more.
pub fn view(stored: &StoredExecution, rows: &[JournalRow], kinds: Arc<Kinds>) -> ExecutionView {
    if let Some(summary) = &stored.summary {
        return ExecutionView::clone(summary);
    }
    match fold(stored, rows, kinds) {
        Ok(state) => of_state(&state),
        Err(trouble) => unreadable(stored, &trouble.reason),
    }
}

/// The view of a state.
pub fn of_state(state: &State) -> ExecutionView {
    let info = &state.execution.info;
    let stages = state.plan.shown().into_iter().map(|index| {
        let stage = &state.stages[index as usize];
        let definition = state.definition(index);
        let waiting_for = match &stage.phase {
            Phase::Waiting { waiting_for, .. } if stage.signal.is_none() => Some(waiting_for.clone()),
            Phase::Backoff { until } => Some(format!("the next attempt, at {until}")),
            Phase::Window { until } => Some(format!("its time window, at {until}")),
            _ => None,
        };
        let active = matches!(stage.status(), Status::Running);
        let progress = StageProgress {
            since: stage.phase_at.filter(|_| active),
            until: match &stage.phase {
                Phase::Waiting { until, .. } => *until,
                Phase::Polling { until, .. } | Phase::Backoff { until } | Phase::Window { until } => Some(*until),
                _ => None,
            },
            deadline: state.deadline_of(index).filter(|_| active),
            skippable: state.is_skippable(index),
            skipped_by: stage.window_skipped_by.clone(),
        };
        StageView {
            id: definition.id.clone(),
            path: state.plan.stages()[index as usize].path.clone(),
            kind: definition.kind.clone(),
            name: state.name(index),
            needs: definition.needs.clone(),
            group: definition.group.clone(),
            status: stage.status(),
            attempt: stage.attempt,
            start_time: stage.attempt_at,
            end_time: stage.ended_at,
            outputs: state.outputs(index).into_owned(),
            instance_of: state.plan.group_of(index).map(|group| state.plan.stages()[group as usize].path.clone()),
            instance: state.plan.stages()[index as usize].member.as_ref().map(|member| member.instance.value.clone()),
            instances: instances(state, index),
            error: stage.error.clone(),
            waiting_for,
            progress,
            context: state.fields(index).clone(),
            source: StageSource {
                file: definition.source.file.clone(),
                line: definition.source.line,
                commit: info.commit.clone(),
            },
        }
    });
    let restarts = state.restarts.iter().map(|restart| RestartView {
        by: restart.by.clone(),
        time: restart.at,
        previous_status: restart.status,
        override_freeze: restart.override_freeze,
        stages: restart.stages.iter().map(|stage| state.plan.stages()[*stage as usize].path.clone()).collect(),
    });
    ExecutionView {
        id: info.id,
        application: info.pipeline.application.clone(),
        pipeline: info.pipeline.name.clone(),
        status: state.status,
        description: describe(state).1,
        repository: info.repository.clone(),
        commit: info.commit.clone(),
        trigger: info.trigger.clone(),
        parameters: info.parameters.clone(),
        artifacts: info.artifacts.clone(),
        created_time: info.created_at,
        start_time: state.started_at,
        end_time: state.ended_at,
        canceled_by: match &state.stop {
            Some(Stop::Canceled { by, superseded: true, .. }) => Some(format!("a newer execution, {by}")),
            Some(Stop::Canceled { by, reason: Some(reason), .. }) => Some(format!("{by}: {reason}")),
            Some(Stop::Canceled { by, reason: None, .. }) => Some(by.clone()),
            Some(Stop::Halted { .. } | Stop::TimedOut) | None => None,
        },
        held: state.held.as_ref().map(hold_view),
        compacted_time: None,
        paused: state.paused.as_ref().map(|paused| PauseView { by: paused.by.clone(), time: paused.at }),
        stranded: state.stranded(),
        restarts: restarts.collect(),
        children: Vec::new(),
        stages: stages.collect(),
    }
}

/// What holds an execution back; who stands before it isn't known here.
pub fn hold_view(hold: &Hold) -> HoldView {
    HoldView {
        kind: if hold.lane.is_some() { HoldKind::Concurrency } else { HoldKind::Freeze },
        reason: hold.reason.clone(),
        by: Some(hold.by.clone()).filter(|by| !by.is_empty()),
        until: hold.until,
        lane: hold.lane.clone(),
        holders: Vec::new(),
    }
}

/// How the instances of a stage stand that has become several.
fn instances(state: &State, stage: u32) -> Option<InstancesView> {
    let planned = &state.plan.stages()[stage as usize];
    let spread = state.definition(stage).spread.as_ref().filter(|_| planned.group.is_some())?;
    // Before it starts it has none.
    state.stages[stage as usize].started_at?;
    let statuses = || state.plan.members(stage).iter().map(|member| state.stages[*member as usize].status());
    let count = |counts: fn(Status) -> bool| statuses().filter(|status| counts(*status)).count();
    Some(InstancesView {
        total: statuses().count(),
        ended: count(Status::is_complete),
        failed: count(|status| matches!(status, Status::Terminal | Status::Stopped | Status::FailedContinue)),
        running: count(|status| status == Status::Running),
        max_parallel: spread.max_parallel,
        fail_fast: spread.fail_fast,
    })
}

fn unreadable(stored: &StoredExecution, trouble: &str) -> ExecutionView {
    let info = &stored.execution.info;
    ExecutionView {
        id: info.id,
        application: info.pipeline.application.clone(),
        pipeline: info.pipeline.name.clone(),
        status: stored.status,
        description: trouble_text(trouble),
        repository: info.repository.clone(),
        commit: info.commit.clone(),
        trigger: info.trigger.clone(),
        parameters: info.parameters.clone(),
        artifacts: info.artifacts.clone(),
        created_time: info.created_at,
        start_time: stored.started_at,
        end_time: stored.ended_at,
        canceled_by: None,
        held: None,
        compacted_time: None,
        paused: None,
        stranded: (!stored.status.is_complete()).then(|| trouble.to_owned()),
        restarts: Vec::new(),
        children: Vec::new(),
        stages: Vec::new(),
    }
}
