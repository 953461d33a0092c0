//! What follows from what people ask for: to pause, go on, skip, cancel, restart.

use serde_json::json;

use super::{Done, Refusal, Step};
use crate::engine::entry::Entry;
use crate::engine::freeze::Hold;
use crate::engine::limits;
use crate::engine::state::{Phase, Stop};
use crate::model::{StagePath, Status};

impl Step<'_> {
    pub(super) fn pause(&mut self, by: String) -> Done {
        // Asking twice is no fault.
        if self.state.paused.is_some() {
            return Ok(());
        }
        if self.state.check_pausable().is_err() {
            self.decision.refused = Some(Refusal::NotPausable);
            return Ok(());
        }
        self.record(Entry::Pause { by: limits::clip(by) })
    }

    pub(super) fn resume(&mut self, by: String) -> Done {
        if self.state.paused.is_none() {
            self.decision.refused = Some(Refusal::NotPaused);
            return Ok(());
        }
        self.record(Entry::Resume { by: limits::clip(by) })?;
        for stage in self.active_stages() {
            self.wake_if_due(stage)?;
        }
        self.open_all();
        Ok(())
    }

    pub(super) fn skip(&mut self, path: &StagePath, by: String) -> Done {
        let Some(stage) = self.state.plan.find(path) else {
            self.decision.refused = Some(Refusal::NoSuchStage);
            return Ok(());
        };
        if !self.state.is_skippable(stage) {
            self.decision.refused = Some(Refusal::NotSkippable);
            return Ok(());
        }
        let by = limits::clip(by);
        if matches!(self.state.stages[stage as usize].phase, Phase::Window { .. }) {
            self.record(Entry::SkipWindow { stage, by })?;
            return if self.goes_on(stage) { self.start(stage) } else { Ok(()) };
        }
        self.record(Entry::Signal { stage, payload: json!({ "skippedBy": by }) })?;
        if self.state.stages[stage as usize].call.is_none() {
            self.give_signal(stage);
        }
        Ok(())
    }

    pub(super) fn cancel(&mut self, by: String, reason: Option<String>, superseded: bool) -> Done {
        // Whatever stops it already ends it, and asking twice is no fault.
        if self.state.stop.is_some() {
            return Ok(());
        }
        self.record(Entry::Cancel { by: limits::clip(by), reason: reason.map(limits::clip), superseded })?;
        if self.state.status == Status::NotStarted {
            self.record(Entry::End { status: Status::Canceled })?;
        }
        Ok(())
    }

    /// Lets an execution that has ended go on. What was cancelled only because a stage failed is restarted with that
    /// stage: nobody wanted it to end.
    pub(super) fn restart(
        &mut self,
        path: Option<&StagePath>,
        by: String,
        override_freeze: bool,
        hold: Option<Hold>,
    ) -> Done {
        let state = &*self.state;
        let stages = if !state.status.is_complete() {
            Err(Refusal::Running)
        } else if state.started_at.is_none() {
            Err(Refusal::NeverBegan)
        } else {
            match path {
                None if state.broken().is_empty() && !state.has_left_out() => Err(Refusal::NothingFailed),
                None => Ok(state.broken()),
                Some(path) => self.restarted_with(path),
            }
        };
        match stages {
            Ok(stages) => {
                self.record(Entry::Restart { stages, by: limits::clip(by), override_freeze })?;
                match hold {
                    Some(hold) => self.record(Entry::Hold(hold))?,
                    None => self.open_all(),
                }
            }
            Err(refusal) => self.decision.refused = Some(refusal),
        }
        Ok(())
    }

    fn restarted_with(&self, path: &StagePath) -> Result<Vec<u32>, Refusal> {
        let stage = self.state.plan.find(path).ok_or(Refusal::NoSuchStage)?;
        if !matches!(self.state.stages[stage as usize].phase, Phase::Ended(_)) {
            return Err(Refusal::NotRun);
        }
        let mut stages = vec![stage];
        let group = self.state.plan.group_of(stage);
        // Siblings that ended only because this one failed are restarted with it, too.
        if let Some(group) = group.filter(|group| self.state.stages[*group as usize].failed_first == Some(stage)) {
            let canceled = |index: &&u32| self.state.stages[**index as usize].status() == Status::Canceled;
            stages.extend(self.state.plan.members(group).iter().filter(canceled));
        }
        if let Some(Stop::Halted { stage: cause }) = self.state.stop
            && self.state.plan.and_after(&[group.unwrap_or(stage)]).contains(&cause)
        {
            let canceled = |index: &u32| self.state.stages[*index as usize].status() == Status::Canceled;
            stages.extend(self.state.broken().iter().filter(|index| canceled(index)));
            stages.sort_unstable();
            stages.dedup();
        }
        Ok(stages)
    }
}
