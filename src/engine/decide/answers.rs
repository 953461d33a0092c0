//! What follows from what handlers answer, and from signals.

use serde_json::{Map, Value};

use super::{Ask, Done, Refusal, Step};
use crate::engine::artifacts;
use crate::engine::entry::Entry;
use crate::engine::limits::{self, Bound};
use crate::engine::state::Phase;
use crate::engine::{Failure, Outcome, Wake};
use crate::model::StagePath;

impl Step<'_> {
    pub(super) fn answered(&mut self, stage: u32, call: u64, outcome: Outcome) -> Done {
        let Some(took_signal) = self.take_call(stage, call) else { return Ok(()) };
        let signal_kept = !took_signal && self.state.stages[stage as usize].signal.is_some();
        match outcome {
            Outcome::Done { outputs } => {
                let bound = artifacts::bind(&self.state.definition(stage).expected_artifacts, outputs);
                let outputs = match bound {
                    Ok(outputs) => outputs,
                    Err((message, outputs)) => return self.fail(stage, message, outputs),
                };
                match limits::check(Bound::Outputs, &outputs) {
                    Ok(()) => self.record(Entry::Done { stage, outputs })?,
                    Err(message) => return self.fail(stage, message, Map::new()),
                }
            }
            Outcome::Wait { until, waiting_for, checkpoint } => {
                if let Err(message) = limits::check(Bound::Checkpoint, &checkpoint) {
                    return self.fail(stage, message, Map::new());
                }
                let waiting_for = limits::clip(waiting_for);
                self.record(Entry::Wait { stage, until, waiting_for, checkpoint, signal_kept })?;
                return self.go_on(stage);
            }
            Outcome::Poll { after, checkpoint } => {
                if let Err(message) = limits::check(Bound::Checkpoint, &checkpoint) {
                    return self.fail(stage, message, Map::new());
                }
                let next = self.now.plus(after.max(limits::SHORTEST_POLL));
                // A look that saw nothing new is not worth a row.
                let found = &mut self.state.stages[stage as usize];
                match &mut found.phase {
                    Phase::Polling { until, checkpoint: known } if !took_signal && *known == checkpoint => {
                        *until = next
                    }
                    _ => self.record(Entry::Poll { stage, until: next, checkpoint, signal_kept })?,
                }
                return self.go_on(stage);
            }
            Outcome::Fail(failure) => return self.attempt_failed(stage, failure),
            Outcome::Restart { reason } => {
                let reason = limits::clip(reason);
                if self.state.stages[stage as usize].lost >= limits::LOST_ATTEMPTS {
                    let message = format!("{reason}; it was lost {} times before", limits::LOST_ATTEMPTS);
                    return self.fail(stage, message, Map::new());
                }
                self.record(Entry::Retry { stage, message: reason, until: self.now, lost: true })?;
                return self.wake_if_due(stage);
            }
        }
        self.ended(stage);
        Ok(())
    }

    /// After a handler answered that it isn't done: the next wake may be there already.
    fn go_on(&mut self, stage: u32) -> Done {
        self.give_signal(stage);
        if self.state.stages[stage as usize].call.is_none() { self.wake_if_due(stage) } else { Ok(()) }
    }

    fn attempt_failed(&mut self, stage: u32, failure: Failure) -> Done {
        let Failure { message, retryable, outputs, on_failure } = failure;
        let message = limits::clip(message);
        let tried = self.state.stages[stage as usize].tried();
        match &self.state.definition(stage).retry {
            Some(retry) if retryable && tried < retry.attempts && retry.covers(&message, &outputs) => {
                let pause = limits::backoff(retry.backoff.as_duration(), tried);
                let until = self.now.plus(pause);
                self.record(Entry::Retry { stage, message, until, lost: false })?;
                self.wake_if_due(stage)
            }
            _ => match limits::check(Bound::Outputs, &outputs) {
                Ok(()) => self.fail_as(stage, on_failure, message, outputs),
                Err(_) => {
                    let message = format!("{message}; its outputs were too large to be kept");
                    self.fail_as(stage, on_failure, message, Map::new())
                }
            },
        }
    }

    pub(super) fn cancelled(&mut self, stage: u32, call: u64, overdue: bool) -> Done {
        let Phase::Cancelling { timed_out, .. } = self.state.stages[stage as usize].phase else { return Ok(()) };
        if self.take_call(stage, call).is_none() {
            return Ok(());
        }
        let note = overdue.then_some("ending what it had started took too long and was given up: it may still run");
        if timed_out { self.out_of_time(stage, note) } else { self.stopped(stage, note) }
    }

    pub(super) fn signal(&mut self, path: &StagePath, attempt: Option<u32>, payload: Value) -> Done {
        let refusal = match self.state.plan.find(path) {
            None => Refusal::NoSuchStage,
            Some(stage) => {
                let found = &self.state.stages[stage as usize];
                let judged = self.state.plan.stages()[stage as usize].kind.is_some_and(|kind| kind.takes_judgments);
                let listens = match found.phase {
                    Phase::Waiting { .. } => attempt.map_or(judged, |attempt| attempt == found.attempt),
                    Phase::InFlight | Phase::Polling { .. } => attempt == Some(found.attempt),
                    Phase::Idle
                    | Phase::Window { .. }
                    | Phase::Backoff { .. }
                    | Phase::Spread
                    | Phase::Cancelling { .. }
                    | Phase::Ended(_) => false,
                };
                if !listens {
                    Refusal::NotWaiting
                } else if found.signal.is_some() {
                    Refusal::AlreadySignalled
                } else if limits::check(Bound::Signal, &payload).is_err() {
                    Refusal::TooLarge
                } else {
                    self.record(Entry::Signal { stage, payload })?;
                    if self.state.stages[stage as usize].call.is_none() {
                        self.give_signal(stage);
                    }
                    return Ok(());
                }
            }
        };
        self.decision.refused = Some(refusal);
        Ok(())
    }

    /// Hands a signal that came to the handler.
    pub(super) fn give_signal(&mut self, stage: u32) {
        if let Some(payload) = self.state.stages[stage as usize].signal.clone() {
            self.ask(stage, Ask::Resume(Wake::Signal(payload)));
        }
    }
}
