//! How stages end other than well: failures, timeouts, cancellations.

use serde_json::{Map, Value};

use super::{Ask, Done, Step};
use crate::engine::entry::Entry;
use crate::engine::limits;
use crate::engine::state::{FINALLY_TIMEOUT, Phase, Stop};
use crate::engine::{CancelReason, Effect};
use crate::model::{OnFailure, Status};

impl Step<'_> {
    /// Ends a stage that failed, by its `onFailure`.
    pub(super) fn fail(&mut self, stage: u32, message: String, outputs: Map<String, Value>) -> Done {
        self.fail_as(stage, None, message, outputs)
    }

    /// Ends a stage that failed, by what its attempt says the failure means, else by its `onFailure`.
    pub(super) fn fail_as(
        &mut self,
        stage: u32,
        meaning: Option<OnFailure>,
        message: String,
        outputs: Map<String, Value>,
    ) -> Done {
        let status = match meaning.unwrap_or_else(|| self.state.definition(stage).on_failure) {
            OnFailure::Halt => Status::Terminal,
            OnFailure::HaltBranch | OnFailure::HaltBranchThenFail => Status::Stopped,
            OnFailure::Ignore => Status::FailedContinue,
        };
        self.record(Entry::Fail { stage, status, message: limits::clip(message), outputs })?;
        self.ended(stage);
        Ok(())
    }

    /// A stage ran for too long.
    pub(super) fn time_out(&mut self, stage: u32) -> Done {
        match self.state.stages[stage as usize].phase {
            Phase::InFlight | Phase::Waiting { .. } | Phase::Polling { .. } => {
                if self.leaves_something(stage) {
                    self.record(Entry::Cancelling { stage, timed_out: true })?;
                    self.ask(stage, Ask::Cancel(CancelReason::TimedOut));
                    return Ok(());
                }
                self.out_of_time(stage, None)
            }
            Phase::Backoff { .. } => {
                let message = self.stage_timeout_message(stage, None);
                self.fail(stage, message, Map::new())
            }
            Phase::Idle | Phase::Window { .. } | Phase::Spread | Phase::Cancelling { .. } | Phase::Ended(_) => Ok(()),
        }
    }

    /// After what ran for too long is gone: another attempt, if the author wants one for that.
    pub(super) fn out_of_time(&mut self, stage: u32, note: Option<&str>) -> Done {
        let message = self.stage_timeout_message(stage, note);
        let tried = self.state.stages[stage as usize].tried();
        let retry = self.state.definition(stage).retry.as_ref();
        let again = retry.filter(|retry| retry.covers_timeout() && tried < retry.attempts);
        match again.map(|retry| limits::backoff(retry.backoff.as_duration(), tried)) {
            Some(pause) if self.goes_on(stage) || self.state.stop.is_none() => {
                let until = self.now.plus(pause);
                self.record(Entry::Retry { stage, message, until, lost: false })?;
                self.wake_if_due(stage)
            }
            _ => self.fail(stage, message, Map::new()),
        }
    }

    /// Stops a stage because the execution stops, or a sibling of it failed.
    pub(super) fn stop(&mut self, stage: u32) -> Done {
        match self.state.stages[stage as usize].phase {
            Phase::InFlight | Phase::Waiting { .. } | Phase::Polling { .. } => {
                if self.leaves_something(stage) {
                    self.record(Entry::Cancelling { stage, timed_out: false })?;
                    let reason = self.cancel_reason(false);
                    self.ask(stage, Ask::Cancel(reason));
                    return Ok(());
                }
                self.stopped(stage, None)
            }
            Phase::Window { .. } | Phase::Backoff { .. } => self.stopped(stage, None),
            Phase::Idle | Phase::Spread | Phase::Cancelling { .. } | Phase::Ended(_) => Ok(()),
        }
    }

    /// Ends a stage whose effect is gone because the execution stops.
    pub(super) fn stopped(&mut self, stage: u32, note: Option<&str>) -> Done {
        match (&self.state.stop, self.state.execution.info.pipeline.timeout) {
            (Some(Stop::TimedOut), Some(timeout)) => {
                let mut message = format!("the pipeline timed out after {timeout}");
                if let Some(note) = note {
                    message = format!("{message}; {note}");
                }
                self.record(Entry::Fail { stage, status: Status::Terminal, message, outputs: Map::new() })
            }
            (None, _) => {
                let message = [self.sibling_that_failed(stage), note.map(str::to_owned)];
                let message: Vec<String> = message.into_iter().flatten().collect();
                let message = Some(message.join("; ")).filter(|message| !message.is_empty());
                self.record(Entry::Canceled { stage, message })
            }
            _ => self.record(Entry::Canceled { stage, message: note.map(str::to_owned) }),
        }
    }

    /// Because of which sibling an instance is ended, in words.
    fn sibling_that_failed(&self, stage: u32) -> Option<String> {
        let group = self.state.plan.group_of(stage)?;
        let first = self.state.stages[group as usize].failed_first?;
        Some(format!("{} failed", self.state.plan.stages()[first as usize].path))
    }

    /// Whether a stage's attempt may have something outside, or a call that is out. Takes back a start that this
    /// very decision asked for, and that nobody has seen.
    fn leaves_something(&mut self, stage: u32) -> bool {
        let asked = self.decision.actions.iter().position(|action| action.stage == stage);
        if let Some(position) = asked {
            let action = self.decision.actions.remove(position);
            self.state.stages[stage as usize].call = None;
            if action.ask == Ask::Start {
                return false;
            }
        }
        let found = &self.state.stages[stage as usize];
        let effect = self.state.plan.stages()[stage as usize].kind.map(|kind| kind.effect);
        found.call.is_some() || effect.is_some_and(|effect| effect != Effect::None)
    }

    pub(super) fn stage_timeout_message(&self, stage: u32, note: Option<&str>) -> String {
        let found = &self.state.stages[stage as usize];
        let definition = self.state.definition(stage);
        let mut message = match definition.timeout {
            Some(timeout) => format!("timed out after {timeout}"),
            None => format!("timed out after {}", crate::model::humanize(FINALLY_TIMEOUT)),
        };
        if let Some(error) = &found.error {
            message = format!("{message}; the attempt before failed: {error}");
        }
        if let Some(note) = note {
            message = format!("{message}; {note}");
        }
        message
    }

    pub(super) fn cancel_reason(&self, stage_timed_out: bool) -> CancelReason {
        match self.state.stop {
            _ if stage_timed_out => CancelReason::TimedOut,
            Some(Stop::TimedOut) => CancelReason::TimedOut,
            Some(Stop::Halted { .. } | Stop::Canceled { .. }) | None => CancelReason::Canceled,
        }
    }
}
