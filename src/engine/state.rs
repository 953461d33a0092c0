//! How an execution stands: the fold of its journal.
//!
//! [`State::apply`] is the only place where an execution changes. It takes an entry only if the entry is legal
//! in the present state (see `legal`).
//!
//! Beside what the journal says, a state knows which handler calls are out. That knowledge is not in the
//! journal, and is gone after a restart, as the calls are.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::entry::Entry;
use super::freeze::Hold;
use super::legal::IllegalEntry;
use super::plan::{Plan, PlanError};
use super::registry::Kinds;
use crate::clock::Timestamp;
use crate::model::{Execution, OnFailure, Retry, SecretUse, Stage, Status};

/// How long after its last word an execution that nothing wakes is looked at, if the process is another one by then.
const LOOK_AT_STRANDED: Duration = Duration::from_secs(600);

/// How long a stage that runs at the end whatever happened may take if it doesn't say: so nothing hangs in its end.
pub const FINALLY_TIMEOUT: Duration = Duration::from_secs(600);

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

/// One stage.
#[derive(Debug, Clone, PartialEq)]
pub struct StageState {
    /// Where it is in its life.
    pub phase: Phase,
    /// The latest attempt, from 1; 0 before the first. Goes on counting when the stage is restarted.
    pub attempt: u32,
    /// How many attempts had been made when the stage was restarted.
    pub before: u32,
    /// How many attempts since then were lost rather than failed.
    pub lost: u32,
    /// When the first attempt since then started: the stage's timeout counts from here.
    pub started_at: Option<Timestamp>,
    /// When the latest attempt started.
    pub attempt_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// When it came into its present phase.
    pub phase_at: Option<Timestamp>,
    /// Who had it start outside of its window.
    pub window_skipped_by: Option<String>,
    /// What it yielded.
    pub outputs: Map<String, Value>,
    /// Why it failed, or its latest attempt did.
    pub error: Option<String>,
    /// Its fields as evaluated, where they differ from the definition.
    pub fields: Option<Map<String, Value>>,
    /// Where secrets belong in them.
    pub secrets: Vec<SecretUse>,
    /// A signal that the handler has not worked off.
    pub signal: Option<Value>,
    /// The handler's call that is out. Not from the journal.
    pub call: Option<Call>,
}

/// Where a stage is in its life.
#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    /// Not begun.
    Idle,
    /// It could start, and waits for its window.
    Window {
        /// When that opens.
        until: Timestamp,
    },
    /// An attempt started, and its handler has never answered.
    InFlight,
    /// The attempt waits.
    Waiting {
        /// When it goes on by itself.
        until: Option<Timestamp>,
        /// What it waits for, in words.
        waiting_for: String,
        /// What the handler wants to know.
        checkpoint: Value,
    },
    /// The attempt goes on outside.
    Polling {
        /// When it is looked at again.
        until: Timestamp,
        /// What the handler wants to know.
        checkpoint: Value,
    },
    /// An attempt failed, and another follows.
    Backoff {
        /// When.
        until: Timestamp,
    },
    /// What the attempt does outside is being ended.
    Cancelling {
        /// Because the stage itself ran for too long.
        timed_out: bool,
        /// What the handler wants to know.
        checkpoint: Option<Value>,
    },
    /// Ended, with a complete status.
    Ended(Status),
}

/// A handler's call that is out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Its number.
    pub number: u64,
    /// Whether the stage's signal went with it.
    pub took_signal: bool,
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
                if *status == Status::Terminal && self.stop.is_none() {
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
            Entry::Restart { stages, by, override_freeze } => {
                let restarted = Restarted {
                    by: by.clone(),
                    at,
                    status: self.status,
                    stages: stages.clone(),
                    override_freeze: *override_freeze,
                };
                for stage in self.plan.again(stages) {
                    let stage = &mut self.stages[stage as usize];
                    *stage = StageState { attempt: stage.attempt, before: stage.attempt, ..StageState::new() };
                }
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

    /// Whether a stage that hasn't begun may: the execution goes on, and all that it needs ended well.
    pub fn may_start(&self, stage: u32) -> bool {
        self.why_not_start(stage).is_none()
    }

    /// The definition of a stage.
    pub fn definition(&self, stage: u32) -> &Stage {
        self.plan.definition(&self.execution, stage)
    }

    /// Whether a stage has begun and not ended.
    pub fn has_active(&self) -> bool {
        self.active > 0
    }

    /// The stages that have begun and not ended.
    pub fn active(&self) -> impl Iterator<Item = (u32, &StageState)> {
        (0..).zip(&self.stages).filter(|(_, stage)| stage.phase.is_active())
    }

    /// A stage's fields: as evaluated for its latest attempt, else as written.
    pub fn fields(&self, stage: u32) -> &Map<String, Value> {
        match &self.stages[stage as usize].fields {
            Some(fields) => fields,
            None => &self.definition(stage).fields,
        }
    }

    /// Whether a stage waits for a person's judgment, and has been given none.
    pub fn awaits_judgment(&self, stage: u32) -> bool {
        let kind = self.plan.stages()[stage as usize].kind;
        let found = &self.stages[stage as usize];
        let waits = matches!(found.phase, Phase::Waiting { .. }) && found.signal.is_none();
        waits && kind.is_some_and(|kind| kind.takes_judgments)
    }

    /// Whether somebody may have the stage wait no longer.
    pub fn is_skippable(&self, stage: u32) -> bool {
        let kind = self.plan.stages()[stage as usize].kind;
        let found = &self.stages[stage as usize];
        match found.phase {
            Phase::Window { .. } => found.window_skipped_by.is_none(),
            Phase::Waiting { .. } => found.signal.is_none() && kind.is_some_and(|kind| kind.skippable),
            _ => false,
        }
    }

    /// Takes a number for a handler's call.
    pub(super) fn call(&mut self, stage: u32, took_signal: bool) -> u64 {
        self.calls += 1;
        self.stages[stage as usize].call = Some(Call { number: self.calls, took_signal });
        self.calls
    }

    /// When a stage is out of time.
    pub fn deadline_of(&self, stage: u32) -> Option<Timestamp> {
        let (definition, found) = (self.definition(stage), &self.stages[stage as usize]);
        let timeout = match definition.timeout {
            Some(timeout) => timeout.as_duration(),
            None if definition.finally => FINALLY_TIMEOUT,
            None => return None,
        };
        let each = definition.retry.as_ref().is_some_and(Retry::covers_timeout);
        match (each, &found.phase) {
            // Between two attempts that have the time each for itself.
            (true, Phase::Backoff { .. }) => None,
            (true, _) => Some(found.attempt_at?.plus(timeout)),
            (false, _) => Some(found.started_at?.plus(timeout)),
        }
    }

    /// Since when it runs: its begin, its latest restart, or the end of the freeze that held it after that.
    pub fn running_since(&self) -> Option<Timestamp> {
        let since = self.restarts.last().map(|restart| restart.at).or(self.started_at)?;
        Some(self.released_at.map_or(since, |released| released.max(since)))
    }

    /// When it has waited for too long to begin.
    pub fn start_expires(&self) -> Option<Timestamp> {
        let expiry = self.execution.info.pipeline.start_expiry.filter(|_| self.status == Status::NotStarted)?;
        Some(self.execution.info.created_at.plus(expiry.as_duration()))
    }

    /// Whether freezes and lanes have a say in whether it goes on: it has not begun, or is held.
    pub fn may_be_held(&self) -> bool {
        self.status == Status::NotStarted || self.held.is_some()
    }

    /// When the execution is out of time.
    pub fn deadline(&self) -> Option<Timestamp> {
        if self.held.is_some() || self.paused.is_some() {
            return None;
        }
        let since = self.running_since()?.plus(self.paused_for);
        Some(since.plus(self.execution.info.pipeline.timeout?.as_duration()))
    }

    /// When something is to be done without anything happening.
    pub fn next_due(&self) -> Option<Timestamp> {
        if self.status.is_complete() {
            return None;
        }
        let mut due = if self.stop.is_none() { self.start_expires().or_else(|| self.deadline()) } else { None };
        let mut add = |time: Option<Timestamp>| due = [due, time].into_iter().flatten().min();
        for (index, stage) in self.active() {
            match &stage.phase {
                Phase::Waiting { until, .. } if stage.call.is_none() => add(*until),
                Phase::Polling { until, .. } if stage.call.is_none() => add(Some(*until)),
                Phase::Backoff { until } | Phase::Window { until } if self.paused.is_none() => add(Some(*until)),
                Phase::Backoff { .. } | Phase::Window { .. } => {}
                // Whoever cancels it says when that is over.
                Phase::Cancelling { .. } => continue,
                Phase::Idle | Phase::InFlight | Phase::Waiting { .. } | Phase::Polling { .. } | Phase::Ended(_) => {}
            }
            add(self.deadline_of(index));
        }
        due
    }

    /// Whether it only waits for a time, a signal or the end of a freeze, so that it needs no memory.
    pub fn only_waits(&self) -> bool {
        if self.held.is_some() {
            return self.stop.is_none();
        }
        matches!(self.status, Status::Running | Status::Paused)
            && self.active().all(|(_, stage)| {
                stage.call.is_none()
                    && match stage.phase {
                        Phase::Waiting { .. } => stage.signal.is_none(),
                        Phase::Backoff { .. } | Phase::Window { .. } => true,
                        _ => false,
                    }
            })
    }

    /// What it waits for if nothing that Longboat knows will ever wake it: no time, no person, no end of a pause.
    pub fn stranded(&self) -> Option<String> {
        let sleeps = self.held.is_none() && self.paused.is_none() && self.only_waits() && self.next_due().is_none();
        if !sleeps || self.active().any(|(index, _)| self.awaits_judgment(index)) {
            return None;
        }
        let waits = self.active().map(|(index, stage)| {
            let path = &self.plan.stages()[index as usize].path;
            match &stage.phase {
                Phase::Waiting { waiting_for, .. } => format!("stage {path} waits for {waiting_for}"),
                _ => format!("stage {path} waits"),
            }
        });
        let waits: Vec<String> = waits.collect();
        Some(format!("nothing will wake it: {}, with no time at which it goes on", waits.join(", ")))
    }

    /// When a Longboat that starts must look at it: at once if a handler had something of it in hand, or if a freeze
    /// that holds it may be over by then.
    pub fn wake_at(&self, now: Timestamp) -> Option<Timestamp> {
        if self.held.is_some() {
            return Some(now);
        }
        if self.status.is_complete() || !self.only_waits() {
            return (!self.status.is_complete()).then_some(now);
        }
        // What nothing wakes is looked at all the same, so that it is reported after a restart as well.
        self.next_due().or_else(|| self.stranded().map(|_| now.plus(LOOK_AT_STRANDED)))
    }

    /// How the execution ends, now that nothing of it runs.
    pub fn final_status(&self) -> Status {
        match self.stop {
            Some(Stop::Halted { .. } | Stop::TimedOut) => Status::Terminal,
            Some(Stop::Canceled { .. }) => Status::Canceled,
            None if self.failing().is_some() => Status::Terminal,
            // Left over from before a restart that didn't name them.
            None if self.stages.iter().any(|stage| stage.status() == Status::Canceled) => Status::Canceled,
            None => Status::Succeeded,
        }
    }

    /// A stage that fails the execution although nothing stopped it: one that failed before a restart which didn't
    /// name it, or one that ended its branch and says so.
    pub fn failing(&self) -> Option<u32> {
        let left = (0..).zip(&self.stages).find(|(_, stage)| stage.status() == Status::Terminal);
        left.map(|(index, _)| index).or_else(|| self.failing_branch())
    }

    /// The stages that a restart without a name is about: those that failed or were cancelled.
    pub fn broken(&self) -> Vec<u32> {
        let broken = |status| matches!(status, Status::Terminal | Status::Stopped | Status::Canceled);
        (0..).zip(&self.stages).filter(|(_, stage)| broken(stage.status())).map(|(index, _)| index).collect()
    }

    /// Whether a stage never began although all that it needs ended well, because the execution stopped before.
    pub fn has_left_out(&self) -> bool {
        (0..).zip(&self.stages).any(|(index, stage)| {
            stage.phase == Phase::Idle && !self.plan.is_finally(index) && self.has_what_it_needs(index)
        })
    }

    /// Whether all stages are over but those that run at the end whatever happened.
    pub fn main_is_over(&self) -> bool {
        let active = |(index, stage): (u32, &StageState)| stage.phase.is_active() && !self.plan.is_finally(index);
        if (0..).zip(&self.stages).any(active) {
            return false;
        }
        self.stop.is_some() || !self.has_left_out()
    }

    /// A stage that ended its branch and fails the execution once the others are done.
    fn failing_branch(&self) -> Option<u32> {
        (0..).zip(&self.stages).map(|(index, stage)| (index, stage.status())).find_map(|(index, status)| {
            let fails = status == Status::Stopped && self.definition(index).on_failure == OnFailure::HaltBranchThenFail;
            fails.then_some(index)
        })
    }

    /// It is not paused any more.
    fn go_on(&mut self, at: Timestamp) {
        if let Some(paused) = self.paused.take() {
            self.paused_for += at.since(paused.at);
            self.status = Status::Running;
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

impl StageState {
    fn new() -> Self {
        Self {
            phase: Phase::Idle,
            attempt: 0,
            before: 0,
            lost: 0,
            started_at: None,
            attempt_at: None,
            ended_at: None,
            phase_at: None,
            window_skipped_by: None,
            outputs: Map::new(),
            error: None,
            fields: None,
            secrets: Vec::new(),
            signal: None,
            call: None,
        }
    }

    /// The stage's status in Spinnaker's words. Who waits is running, too.
    pub const fn status(&self) -> Status {
        match self.phase {
            Phase::Idle => Status::NotStarted,
            Phase::Ended(status) => status,
            Phase::Window { .. }
            | Phase::InFlight
            | Phase::Waiting { .. }
            | Phase::Polling { .. }
            | Phase::Backoff { .. }
            | Phase::Cancelling { .. } => Status::Running,
        }
    }

    /// What the handler wanted to know when it goes on.
    pub const fn checkpoint(&self) -> Option<&Value> {
        match &self.phase {
            Phase::Waiting { checkpoint, .. } | Phase::Polling { checkpoint, .. } => Some(checkpoint),
            Phase::Cancelling { checkpoint, .. } => checkpoint.as_ref(),
            Phase::Idle | Phase::Window { .. } | Phase::InFlight | Phase::Backoff { .. } | Phase::Ended(_) => None,
        }
    }

    /// How many attempts failed or run, since the stage was restarted; those that were lost don't count.
    pub const fn tried(&self) -> u32 {
        self.attempt.saturating_sub(self.before + self.lost)
    }

    fn keep_signal(&mut self, keep: bool) {
        if !keep {
            self.signal = None;
        }
    }
}

impl Phase {
    const fn is_active(&self) -> bool {
        !matches!(self, Self::Idle | Self::Ended(_))
    }
}
