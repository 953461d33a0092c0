//! What can be asked of a state: when something is due, what it waits for, and how it ends.

use std::borrow::Cow;
use std::time::Duration;

use serde_json::{Map, Value};

use super::{Phase, StageState, State, Stop};
use crate::clock::Timestamp;
use crate::model::{OnFailure, Retry, Stage, Status};

/// How long after its last word an execution that nothing wakes is looked at, if the process is another one by then.
const LOOK_AT_STRANDED: Duration = Duration::from_secs(600);

/// How long a stage that runs at the end whatever happened may take if it doesn't say: so nothing hangs in its end.
pub const FINALLY_TIMEOUT: Duration = Duration::from_secs(600);

impl State {
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

    /// Whether the instances of a stage that has become several are to end, because one of them failed or the execution
    /// stops.
    pub fn group_ends(&self, group: u32) -> bool {
        let stops = self.stop.is_some() && !self.plan.is_finally(group);
        stops || self.stages[group as usize].failed_first.is_some()
    }

    /// The stages that have become several which are not all over.
    pub fn spread_stages(&self) -> Vec<u32> {
        if self.spread == 0 {
            return Vec::new();
        }
        let spread = (0..).zip(&self.stages).filter(|(_, stage)| stage.phase == Phase::Spread);
        spread.map(|(index, _)| index).collect()
    }

    /// What a stage yielded. Of one that became several it is what each of its instances did: in a list, and by their keys.
    pub fn outputs(&self, stage: u32) -> Cow<'_, Map<String, Value>> {
        let own = &self.stages[stage as usize].outputs;
        if self.plan.stages()[stage as usize].group.is_none() {
            return Cow::Borrowed(own);
        }
        let members = self.plan.members(stage).iter().map(|member| {
            let place = self.plan.stages()[*member as usize].member.as_ref();
            let key = place.map(|place| place.instance.key.clone()).unwrap_or_default();
            (key, Value::Object(self.stages[*member as usize].outputs.clone()))
        });
        let instances: Map<String, Value> = members.collect();
        let list = Value::Array(instances.values().cloned().collect());
        Cow::Owned(Map::from_iter([("instances".to_owned(), Value::Object(instances)), ("list".to_owned(), list)]))
    }

    /// What people call a stage: an instance by what is different about it, too.
    pub fn name(&self, stage: u32) -> String {
        let name = &self.definition(stage).name;
        match &self.plan.stages()[stage as usize].member {
            Some(member) => format!("{name} ({})", member.instance.label()),
            None => name.clone(),
        }
    }

    /// When a stage is out of time. What became several is so by its instances.
    pub fn deadline_of(&self, stage: u32) -> Option<Timestamp> {
        if self.plan.stages()[stage as usize].group.is_some() {
            return None;
        }
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
                Phase::Idle
                | Phase::InFlight
                | Phase::Waiting { .. }
                | Phase::Polling { .. }
                | Phase::Spread
                | Phase::Ended(_) => {}
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
            None if self.of_the_pipeline().any(|(_, stage)| stage.status() == Status::Canceled) => Status::Canceled,
            None => Status::Succeeded,
        }
    }

    /// A stage that fails the execution although nothing stopped it: one that failed before a restart which didn't
    /// name it, or one that ended its branch and says so.
    pub fn failing(&self) -> Option<u32> {
        let left = self.of_the_pipeline().find(|(_, stage)| stage.status() == Status::Terminal);
        left.map(|(index, _)| index).or_else(|| self.failing_branch())
    }

    /// The stages that a restart without a name is about: those that failed or were cancelled. Of one that became several,
    /// these are the instances that did.
    pub fn broken(&self) -> Vec<u32> {
        let broken = |(index, stage): &(u32, &StageState)| {
            stage.is_broken()
                && !self.plan.is_retired(*index)
                && self.plan.members(*index).is_empty()
                && self.plan.group_of(*index).is_none_or(|group| self.stages[group as usize].is_broken())
        };
        (0..).zip(&self.stages).filter(broken).map(|(index, _)| index).collect()
    }

    /// The stages of the pipeline: those that became several, and not their instances.
    pub fn of_the_pipeline(&self) -> impl Iterator<Item = (u32, &StageState)> {
        let all = (0..).zip(self.plan.stages()).zip(&self.stages);
        all.filter(|((_, planned), _)| planned.member.is_none()).map(|((index, _), stage)| (index, stage))
    }

    /// Whether a stage never began although all that it needs ended well, because the execution stopped before.
    pub fn has_left_out(&self) -> bool {
        (0..).zip(&self.stages).any(|(index, stage)| {
            stage.phase == Phase::Idle && !self.plan.is_finally(index) && self.has_what_it_needs(index)
        })
    }

    /// Whether all stages are over but those that run at the end whatever happened.
    pub fn main_is_over(&self) -> bool {
        let goes_on = |stage: &StageState| stage.phase.is_active() || stage.phase == Phase::Spread;
        let active = |(index, stage): (u32, &StageState)| goes_on(stage) && !self.plan.is_finally(index);
        if (0..).zip(&self.stages).any(active) {
            return false;
        }
        self.stop.is_some() || !self.has_left_out()
    }

    /// A stage that ended its branch and fails the execution once the others are done.
    fn failing_branch(&self) -> Option<u32> {
        self.of_the_pipeline().map(|(index, stage)| (index, stage.status())).find_map(|(index, status)| {
            let fails = status == Status::Stopped && self.definition(index).on_failure == OnFailure::HaltBranchThenFail;
            fails.then_some(index)
        })
    }
}
