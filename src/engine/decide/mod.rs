//! What follows from what happened: the pure heart of the engine.
//!
//! `decide` looks at a state, an event and the time, and says which entries are to be written and which
//! handlers are to be called once they are on disk. There is no I/O, no clock and no chance in it, so that it
//! can be replayed and run through millions of schedules.
//!
//! `event` is what goes in and comes out, `answers` what follows from what handlers say, `people` from what people ask for,
//! `ending` how stages end other than well, and `spread` how one stage becomes several, and how that ends.
//!
//! The rules are Spinnaker's where it has them. Five that it doesn't have, or has differently:
//! - A stage's timeout counts from its first attempt and spans all of them, pauses included; running out of
//!   time is never retried. So the number that an author writes is how long the stage can take.
//! - A condition or a `${ }` that can't be evaluated is a failure of its stage, never a silent skip.
//! - The first cause for which an execution stops (a halting failure, a cancellation, the pipeline's timeout)
//!   decides how it ends.
//! - Stages that run at the end whatever happened (`finally`) are stopped by nothing but their own timeout.
//! - Only an execution that has ended is restarted, and what it left behind counts: a stage that failed and was not
//!   restarted fails the execution again.

use std::collections::VecDeque;

use serde_json::Map;

mod answers;
mod ending;
mod event;
mod people;
mod spread;

use super::Wake;
use super::entry::Entry;
use super::evaluate;
use super::freeze::Hold;
use super::legal::IllegalEntry;
use super::limits::{self, Bound};
use super::state::{Phase, State};
use crate::clock::Timestamp;
use crate::model::{CauseKind, Status};

pub use event::{Action, Ask, Decision, Event, Refusal};

/// What follows from an event. Pure: the state stays as it is.
///
/// # Errors
/// Only if the rules contradict themselves, which the tests look for.
#[cfg(test)]
pub fn decide(state: &State, event: Event, now: Timestamp) -> Result<Decision, IllegalEntry> {
    advance(&mut state.clone(), event, now)
}

/// As `decide`, and takes the state along: the entries are applied, the calls noted.
///
/// # Errors
/// As `decide`; the state is then to be thrown away.
pub fn advance(state: &mut State, event: Event, now: Timestamp) -> Result<Decision, IllegalEntry> {
    let mut step = Step { state, now, decision: Decision::default(), open: VecDeque::new() };
    step.take(event)?;
    step.settle()?;
    Ok(step.decision)
}

struct Step<'a> {
    state: &'a mut State,
    now: Timestamp,
    decision: Decision,
    /// Stages that may have become free to start.
    open: VecDeque<u32>,
}

type Done = Result<(), IllegalEntry>;

impl Step<'_> {
    fn take(&mut self, event: Event) -> Done {
        if let Event::Restart { path, by, override_freeze, hold } = event {
            return self.restart(path.as_ref(), by, override_freeze, hold);
        }
        if self.state.status.is_complete() {
            let refusable = matches!(
                event,
                Event::Signal { .. }
                    | Event::Cancel { .. }
                    | Event::Pause { .. }
                    | Event::Resume { .. }
                    | Event::Skip { .. }
            );
            self.decision.refused = refusable.then_some(Refusal::Complete);
            return Ok(());
        }
        match event {
            Event::Loaded => self.loaded(),
            Event::Due => self.due(),
            Event::Answered { stage, call, outcome } => self.answered(stage, call, outcome),
            Event::Cancelled { stage, call, overdue } => self.cancelled(stage, call, overdue),
            Event::Signal { path, attempt, payload } => self.signal(&path, attempt, payload),
            Event::Cancel { by, reason, superseded } => self.cancel(by, reason, superseded),
            Event::Held(hold) => self.held(hold),
            Event::Pause { by } => self.pause(by),
            Event::Resume { by } => self.resume(by),
            Event::Skip { path, by } => self.skip(&path, by),
            Event::Restart { .. } => Ok(()),
        }
    }

    fn held(&mut self, hold: Hold) -> Done {
        if self.expire()? {
            return Ok(());
        }
        if self.state.may_be_held() && self.state.held.as_ref() != Some(&hold) {
            self.record(Entry::Hold(hold))?;
        }
        Ok(())
    }

    /// Ends an execution that has waited for too long to begin.
    fn expire(&mut self) -> Result<bool, IllegalEntry> {
        let late = self.state.start_expires().is_some_and(|end| end <= self.now);
        if late && let Some(expiry) = self.state.execution.info.pipeline.start_expiry {
            let waited = self.state.held.as_ref().map(|hold| format!(": it waited for {}", hold.waited_for()));
            let reason = format!("it had not begun after {expiry}{}", waited.unwrap_or_default());
            self.cancel("longboat".to_owned(), Some(reason), false)?;
        }
        Ok(late)
    }

    fn loaded(&mut self) -> Done {
        if self.expire()? {
            return Ok(());
        }
        if self.state.held.is_some() {
            self.record(Entry::Release)?;
        }
        if self.state.status == Status::NotStarted {
            self.record(Entry::Begin)?;
        }
        self.due()?;
        for stage in self.active_stages() {
            let found = &self.state.stages[stage as usize];
            if found.call.is_some() {
                continue;
            }
            match &found.phase {
                Phase::InFlight | Phase::Polling { .. } => self.ask(stage, Ask::Resume(Wake::Recovered)),
                Phase::Waiting { .. } => self.give_signal(stage),
                Phase::Cancelling { timed_out, .. } => {
                    let reason = self.cancel_reason(*timed_out);
                    self.ask(stage, Ask::Cancel(reason));
                }
                Phase::Window { .. } | Phase::Backoff { .. } | Phase::Idle | Phase::Spread | Phase::Ended(_) => {}
            }
        }
        self.open_all();
        Ok(())
    }

    fn open_all(&mut self) {
        self.open.extend(0..u32::try_from(self.state.stages.len()).unwrap_or(u32::MAX));
    }

    fn due(&mut self) -> Done {
        if self.expire()? {
            return Ok(());
        }
        let now = self.now;
        let late = |deadline: Option<Timestamp>| deadline.is_some_and(|deadline| deadline <= now);
        if self.state.stop.is_none() && self.state.status == Status::Running && late(self.state.deadline()) {
            self.record(Entry::Timeout)?;
        }
        for stage in self.active_stages() {
            if late(self.state.deadline_of(stage)) {
                self.time_out(stage)?;
            } else {
                self.wake_if_due(stage)?;
            }
        }
        Ok(())
    }

    /// Goes on with a stage whose time has come.
    fn wake_if_due(&mut self, stage: u32) -> Done {
        let found = &self.state.stages[stage as usize];
        let free = found.call.is_none();
        match &found.phase {
            Phase::Waiting { until: Some(until), .. } | Phase::Polling { until, .. } if free && *until <= self.now => {
                self.ask(stage, Ask::Resume(Wake::Due));
                Ok(())
            }
            Phase::Window { .. } if found.window_skipped_by.is_some() && self.goes_on(stage) => self.start(stage),
            Phase::Backoff { until } | Phase::Window { until } if *until <= self.now && self.goes_on(stage) => {
                self.start(stage)
            }
            _ => Ok(()),
        }
    }

    /// Whether a stage that is between two attempts, or before its first, has another one.
    fn goes_on(&self, stage: u32) -> bool {
        let siblings_end = self.state.plan.group_of(stage).is_some_and(|group| self.state.group_ends(group));
        let stops = self.state.stop.is_some() && !self.state.plan.is_finally(stage);
        self.state.paused.is_none() && !stops && !siblings_end
    }

    /// Starts what became free, stops what must stop, and ends the execution if nothing is left.
    fn settle(&mut self) -> Done {
        if !matches!(self.state.status, Status::Running | Status::Paused) {
            return Ok(());
        }
        let held = loop {
            self.start_free()?;
            if self.state.stop.is_some() {
                for stage in self.active_stages() {
                    if !self.state.plan.is_finally(stage) {
                        self.stop(stage)?;
                    }
                }
            }
            // What ends there may let others start.
            if self.settle_groups()? {
                continue;
            }
            let held = self.state.held.is_some() && self.state.stop.is_none();
            if self.state.plan.has_finally() && !held && self.state.paused.is_none() && self.state.main_is_over() {
                self.open_all();
                self.start_free()?;
                if self.settle_groups()? {
                    continue;
                }
            }
            break held;
        };
        let paused = self.state.paused.is_some() && (self.state.plan.has_finally() || self.state.has_left_out());
        if held || paused || self.state.has_active() {
            Ok(())
        } else {
            self.record(Entry::End { status: self.state.final_status() })
        }
    }

    fn start_free(&mut self) -> Done {
        while let Some(stage) = self.open.pop_front() {
            if self.state.stages[stage as usize].phase == Phase::Idle && self.state.may_start(stage) {
                self.start(stage)?;
            }
        }
        Ok(())
    }

    /// When a stage may start for the first time, if not now.
    fn window(&self, stage: u32) -> Result<Option<Timestamp>, String> {
        let found = &self.state.stages[stage as usize];
        let first = matches!(found.phase, Phase::Idle | Phase::Window { .. }) && found.window_skipped_by.is_none();
        match &self.state.definition(stage).window {
            Some(window) if first => {
                let info = &self.state.execution.info;
                let path = &self.state.plan.stages()[stage as usize].path;
                window.opens(self.now, (info.id, path), info.trigger.kind == CauseKind::Manual)
            }
            _ => Ok(None),
        }
    }

    /// Starts an attempt of a stage that hasn't begun, or whose last attempt failed.
    fn start(&mut self, stage: u32) -> Done {
        if self.state.stages[stage as usize].phase == Phase::Idle && self.is_asked(stage) {
            match evaluate::condition(self.state, stage) {
                Ok(true) => {}
                Ok(false) => {
                    self.record(Entry::Skip { stage })?;
                    self.ended(stage);
                    return Ok(());
                }
                Err(message) if self.state.dry => self.decision.notes.push((stage, message)),
                Err(message) => return self.fail(stage, message, Map::new()),
            }
        }
        if self.state.plan.stages()[stage as usize].group.is_some() {
            return self.spread(stage);
        }
        match self.window(stage) {
            Ok(None) => {}
            // Its time may have come and gone while nobody looked.
            Ok(Some(until)) => return self.record(Entry::Window { stage, until }),
            Err(message) => return self.fail(stage, message, Map::new()),
        }
        if self.state.plan.stages()[stage as usize].kind.is_none() {
            let known = self.state.plan.kinds().names().join(", ");
            let kind = &self.state.definition(stage).kind;
            let message = format!("this Longboat has no stage type `{kind}`; it has {known}");
            return self.fail(stage, message, Map::new());
        }
        let (fields, secrets) = match evaluate::fields(self.state, stage) {
            Ok(evaluated) => evaluated,
            Err(message) if self.state.dry => {
                self.decision.notes.push((stage, message));
                (None, Vec::new())
            }
            Err(message) => return self.fail(stage, message, Map::new()),
        };
        if let Some(Err(message)) = fields.as_ref().map(|fields| limits::check(Bound::Fields, fields)) {
            return self.fail(stage, message, Map::new());
        }
        let attempt = self.state.stages[stage as usize].attempt + 1;
        self.record(Entry::Start { stage, attempt, fields, secrets })?;
        self.ask(stage, Ask::Start);
        Ok(())
    }

    fn ask(&mut self, stage: u32, ask: Ask) {
        let took_signal = matches!(ask, Ask::Resume(Wake::Signal(_)));
        let call = self.state.call(stage, took_signal);
        self.decision.actions.push(Action { stage, call, ask });
    }

    /// Takes back the call that an answer belongs to; says whether it took the signal along. `None`: the answer is
    /// to a call that was given up.
    fn take_call(&mut self, stage: u32, number: u64) -> Option<bool> {
        let call = self.state.stages.get_mut(stage as usize)?.call.take_if(|call| call.number == number)?;
        Some(call.took_signal)
    }

    fn ended(&mut self, stage: u32) {
        self.open.extend(&self.state.plan.stages()[stage as usize].needed_by);
        if let Some(group) = self.state.plan.group_of(stage) {
            self.open_members(group);
        }
    }

    fn active_stages(&self) -> Vec<u32> {
        if self.state.has_active() { self.state.active().map(|(index, _)| index).collect() } else { Vec::new() }
    }

    fn record(&mut self, entry: Entry) -> Done {
        self.state.apply(&entry, self.now)?;
        self.decision.entries.push(entry);
        Ok(())
    }
}
