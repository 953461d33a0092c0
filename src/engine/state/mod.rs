//! How an execution stands: the fold of its journal.
//!
//! [`State::apply`] is the only place where an execution changes. It takes an entry only if the entry is legal
//! in the present state (see `legal`).
//!
//! Beside what the journal says, a state knows which handler calls are out. That knowledge is not in the
//! journal, and is gone after a restart, as the calls are.
//!
//! `stage` is what is known of one stage, `questions` what can be asked of a state.

mod questions;
mod stage;

use std::sync::Arc;
use std::time::Duration;

use super::entry::Entry;
use super::freeze::Hold;
use super::legal::IllegalEntry;
use super::plan::{Plan, PlanError};
use super::registry::Kinds;
use crate::clock::Timestamp;
use crate::model::{Execution, Status};

pub use questions::FINALLY_TIMEOUT;
pub use stage::{Call, Phase, StageState};

/// An execution, as its journal tells it.
#[derive(Debug, Clone)]
pub struct State {
    /// The unchanging part.
    pub execution: Arc<Execution>,
    /// The graph.
    pub plan: Arc<Plan>,
    /// How the execution stands.
    pub status: Status,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// When it was begun again after an end, the latest last.
    pub restarts: Vec<Restarted>,
    /// What keeps it from beginning, or from going on after a restart.
    pub held: Option<Hold>,
    /// When that let it go, the last time.
    pub released_at: Option<Timestamp>,
    /// Who paused it, and when.
    pub paused: Option<Paused>,
    /// How long it was paused since it began, or was restarted.
    pub paused_for: Duration,
    /// Why no further stage starts, if so.
    pub stop: Option<Stop>,
    /// Why Longboat itself can't go on.
    pub trouble: Option<String>,
    /// Whether it is a dry run: what can't be evaluated before there are outputs is taken as it stands. Not from the
    /// journal.
    pub(super) dry: bool,
    /// The stages, by index.
    pub stages: Vec<StageState>,
    /// How many stages have begun and not ended.
    pub(super) active: u32,
    /// How many stages have become several that are not all over.
    pub(super) spread: u32,
    /// Numbers the calls of handlers, so that a late answer is known as such.
    calls: u64,
}

/// Why an execution stops before all its stages have run. The first cause stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// A stage failed whose failure halts the pipeline.
    Halted {
        /// The stage's index.
        stage: u32,
    },
    /// Somebody cancelled it.
    Canceled {
        /// Who.
        by: String,
        /// Why.
        reason: Option<String>,
        /// A newer execution takes its place, and `by` is that one's commit, or its id.
        superseded: bool,
    },
    /// It ran for longer than its pipeline may.
    TimedOut,
}

/// That an execution is paused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paused {
    /// By whom.
    pub by: String,
    /// Since when.
    pub at: Timestamp,
}

/// One restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restarted {
    /// Who asked for it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// How the execution had ended.
    pub status: Status,
    /// The indexes of the stages that were asked to run again.
    pub stages: Vec<u32>,
    /// Whether it goes on although there may be a freeze.
    pub override_freeze: bool,
}

impl State {
    /// The state of an execution without a journal.
    ///
    /// # Errors
    /// If the definition is not a graph.
    pub fn new(execution: Arc<Execution>, kinds: Arc<Kinds>) -> Result<Self, PlanError> {
        let plan = Arc::new(Plan::new(&execution, kinds)?);
        let stages = vec![StageState::new(); plan.stages().len()];
        Ok(Self {
            execution,
            plan,
            status: Status::NotStarted,
            started_at: None,
            ended_at: None,
            restarts: Vec::new(),
            held: None,
            released_at: None,
            paused: None,
            paused_for: Duration::ZERO,
            stop: None,
            trouble: None,
            dry: false,
            stages,
            active: 0,
            spread: 0,
            calls: 0,
        })
    }

    /// Numbers the calls of handlers from there on.
    pub fn number_calls_from(&mut self, number: u64) {
        self.calls = number;
    }

    /// Takes an entry of the journal.
    ///
    /// # Errors
    /// If the entry isn't legal in this state; the state is then unchanged.
    pub fn apply(&mut self, entry: &Entry, at: Timestamp) -> Result<(), IllegalEntry> {
        self.check(entry).map_err(|reason| IllegalEntry::new(entry, reason))?;
        if !matches!(entry, Entry::End { .. }) {
            self.trouble = None;
        }
        match entry {
            Entry::Begin => {
                self.status = Status::Running;
                self.started_at = Some(at);
            }
            Entry::Hold(hold) => self.held = Some(hold.clone()),
            Entry::Release => {
                self.held = None;
                self.released_at = Some(at);
            }
            Entry::Start { stage, attempt, fields, secrets } => {
                let stage = self.enter(*stage, Phase::InFlight, at);
                stage.attempt = *attempt;
                stage.started_at = stage.started_at.or(Some(at));
                stage.attempt_at = Some(at);
                stage.fields.clone_from(fields);
                stage.secrets.clone_from(secrets);
            }
            Entry::Wait { stage, until, waiting_for, checkpoint, signal_kept } => {
                let (waiting_for, checkpoint) = (waiting_for.clone(), checkpoint.clone());
                let phase = Phase::Waiting { until: *until, waiting_for, checkpoint };
                self.enter(*stage, phase, at).keep_signal(*signal_kept);
            }
            Entry::Poll { stage, until, checkpoint, signal_kept } => {
                let phase = Phase::Polling { until: *until, checkpoint: checkpoint.clone() };
                self.enter(*stage, phase, at).keep_signal(*signal_kept);
            }
            Entry::Signal { stage, payload } => self.stages[*stage as usize].signal = Some(payload.clone()),
            Entry::Done { stage, outputs } => {
                let stage = self.end_stage(*stage, Status::Succeeded, at);
                stage.outputs.clone_from(outputs);
                stage.error = None;
            }
            Entry::Retry { stage, message, until, lost } => {
                let stage = self.enter(*stage, Phase::Backoff { until: *until }, at);
                stage.keep_signal(false);
                stage.error = Some(message.clone());
                stage.lost += u32::from(*lost);
            }
            Entry::Fail { stage: index, status, message, outputs } => {
                let stage = self.end_stage(*index, *status, at);
                stage.error = Some(message.clone());
                stage.outputs.clone_from(outputs);
                if let Some(group) = self.plan.group_of(*index) {
                    self.member_failed(group, *index);
                } else if *status == Status::Terminal && self.stop.is_none() {
                    self.stop = Some(Stop::Halted { stage: *index });
                    self.go_on(at);
                }
            }
            Entry::Skip { stage } => drop(self.end_stage(*stage, Status::Skipped, at)),
            Entry::Cancel { by, reason, superseded } => {
                let (by, reason) = (by.clone(), reason.clone());
                self.stop = Some(Stop::Canceled { by, reason, superseded: *superseded });
                self.go_on(at);
            }
            Entry::Pause { by } => {
                self.status = Status::Paused;
                self.paused = Some(Paused { by: by.clone(), at });
            }
            Entry::Resume { .. } => self.go_on(at),
            Entry::Window { stage, until } => drop(self.enter(*stage, Phase::Window { until: *until }, at)),
            Entry::SkipWindow { stage, by } => self.stages[*stage as usize].window_skipped_by = Some(by.clone()),
            Entry::Timeout => self.stop = Some(Stop::TimedOut),
            Entry::Cancelling { stage, timed_out } => {
                let checkpoint = self.stages[*stage as usize].checkpoint().cloned();
                self.enter(*stage, Phase::Cancelling { timed_out: *timed_out, checkpoint }, at);
            }
            Entry::Canceled { stage, message } => {
                let stage = self.end_stage(*stage, Status::Canceled, at);
                if message.is_some() {
                    stage.error.clone_from(message);
                }
            }
            Entry::End { status } => {
                self.status = *status;
                self.held = None;
                self.paused = None;
                self.ended_at = Some(at);
            }
            Entry::AddStages { stages } => {
                // `check` has tried it.
                if Arc::make_mut(&mut self.plan).add(stages).is_ok() {
                    self.stages.resize(self.plan.stages().len(), StageState::new());
                }
            }
            Entry::Spread { stage, instances } => {
                // `check` has tried it.
                if Arc::make_mut(&mut self.plan).spread(*stage, instances).is_ok() {
                    self.stages.resize(self.plan.stages().len(), StageState::new());
                }
                let stage = self.enter(*stage, Phase::Spread, at);
                stage.attempt += 1;
                stage.started_at = Some(at);
                stage.attempt_at = Some(at);
            }
            Entry::Restart { stages, by, override_freeze } => {
                let restarted = Restarted {
                    by: by.clone(),
                    at,
                    status: self.status,
                    stages: stages.clone(),
                    override_freeze: *override_freeze,
                };
                self.forget_runs(stages, at);
                self.restarts.push(restarted);
                self.paused_for = Duration::ZERO;
                self.status = Status::Running;
                self.ended_at = None;
                self.stop = None;
            }
            Entry::Trouble { message } => self.trouble = Some(message.clone()),
        }
        Ok(())
    }

    /// Takes a number for a handler's call.
    pub(super) fn call(&mut self, stage: u32, took_signal: bool) -> u64 {
        self.calls += 1;
        self.stages[stage as usize].call = Some(Call { number: self.calls, took_signal });
        self.calls
    }

    /// It is not paused any more.
    fn go_on(&mut self, at: Timestamp) {
        if let Some(paused) = self.paused.take() {
            self.paused_for += at.since(paused.at);
            self.status = Status::Running;
        }
    }

    /// An instance failed: if its stage wants that, its siblings end.
    fn member_failed(&mut self, group: u32, member: u32) {
        let fails_fast = self.definition(group).spread.as_ref().is_some_and(|spread| spread.fail_fast);
        let group = &mut self.stages[group as usize];
        if fails_fast && group.failed_first.is_none() {
            group.failed_first = Some(member);
        }
    }

    /// These stages, and all that come after them, are as if they had never run.
    fn forget_runs(&mut self, stages: &[u32], at: Timestamp) {
        let again = self.plan.again(stages);
        for stage in &again {
            if self.plan.stages()[*stage as usize].group.is_some() {
                Arc::make_mut(&mut self.plan).retire(*stage);
            }
            let stage = &mut self.stages[*stage as usize];
            *stage = StageState { attempt: stage.attempt, before: stage.attempt, ..StageState::new() };
        }
        // Of those that became several, some instances alone may be concerned: the others keep what they yielded.
        for stage in stages {
            if let Some(group) = self.plan.group_of(*stage)
                && self.stages[group as usize].phase != Phase::Spread
            {
                let group = self.enter(group, Phase::Spread, at);
                group.ended_at = None;
                group.error = None;
                group.failed_first = None;
            }
        }
    }

    fn enter(&mut self, stage: u32, phase: Phase, at: Timestamp) -> &mut StageState {
        let stage = &mut self.stages[stage as usize];
        if stage.phase_at.is_none() || std::mem::discriminant(&stage.phase) != std::mem::discriminant(&phase) {
            stage.phase_at = Some(at);
        }
        match (stage.phase.is_active(), phase.is_active()) {
            (false, true) => self.active += 1,
            (true, false) => self.active -= 1,
            (true, true) | (false, false) => {}
        }
        match (stage.phase == Phase::Spread, phase == Phase::Spread) {
            (false, true) => self.spread += 1,
            (true, false) => self.spread -= 1,
            (true, true) | (false, false) => {}
        }
        stage.phase = phase;
        stage
    }

    fn end_stage(&mut self, stage: u32, status: Status, at: Timestamp) -> &mut StageState {
        let stage = self.enter(stage, Phase::Ended(status), at);
        stage.ended_at = Some(at);
        stage.keep_signal(false);
        stage.call = None;
        stage
    }
}
