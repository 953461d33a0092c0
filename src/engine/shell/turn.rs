//! Deciding for executions, and what follows a commit.

use std::collections::VecDeque;
use std::sync::Arc;

use super::calls::Desk;
use super::figures;
use super::holds::Holds;
use super::load::{Loaded, Unreadable};
use super::shards::Right;
use super::slot::{Answer, Incoming, Live, Slot, What};
use super::{Changed, Command, EngineError, LOAD_PAUSE, Shell, is_closed};
use crate::clock::Timestamp;
use crate::engine::decide::{Ask, Event, Refusal, advance};
use crate::engine::entry::Body;
use crate::engine::handle::{Reply, payload};
use crate::engine::status_text;
use crate::engine::{Registry, entry::Entry};
use crate::model::{CommitStatus, ExecutionKey, StagePath};
use crate::store::{Append, Shard, Word};

/// An execution that only waits for less than this stays in memory: reading it again costs more.
const LINGER_MILLIS: i64 = 10_000;
/// Calls of handlers without an effect whose answers may share a row: others wait for the loop.
const FUSED_CALLS: usize = 100;
/// A row of this size, in bytes, is written before more is asked of such handlers.
const FUSED_BYTES: usize = 64 * 1024;

impl Shell {
    /// Decides for up to `rows` executions, and yields their rows, which are the batch of that number.
    pub(super) fn decide(&mut self, number: u64, rows: usize) -> Vec<Append> {
        let now = self.clock.now();
        let mut batch = Vec::with_capacity(rows);
        let mut suspicious = false;
        while batch.len() < rows {
            let Some(key) = self.ready.pop_front() else { break };
            let Some(Slot::Live(live)) = self.slots.get_mut(&key) else { continue };
            // It may stand here from before it was lost and came back.
            if !std::mem::take(&mut live.queued) {
                continue;
            }
            let desk = Desk { registry: &self.registry, clock: &self.clock, signals: &self.signals };
            let calls = if self.stopping || self.part.rests_in(live.shard) { 0 } else { FUSED_CALLS };
            let decided = live.decide(key, now, desk, &mut self.holds, calls);
            self.holds.note(key, live.shard, live.state.held.is_some());
            match decided {
                Ok(Some(row)) => {
                    live.batch = number;
                    suspicious |= self.part.shared && live.waits_while_awaited();
                    batch.push(row);
                }
                // Nothing to record (a look that saw nothing new): what follows can follow at once.
                Ok(None) => self.settle(key, None),
                Err(reason) => self.give_up(key, reason),
            }
        }
        if suspicious {
            self.suspect_a_circle();
        }
        batch
    }

    /// Whether an execution waits for that batch. It may have been lost, and be another one's or here anew.
    pub(super) fn waits_for(&self, key: ExecutionKey, number: u64) -> bool {
        match self.slots.get(&key) {
            Some(Slot::Live(live)) => live.committing && live.batch == number,
            Some(Slot::Closing { batch, .. }) => *batch == number,
            Some(Slot::Loading(_)) | None => false,
        }
    }

    /// The latest row of an execution is on disk, in that batch, or there is none: tells who waits, calls handlers, puts it
    /// out of memory.
    pub(super) fn settle(&mut self, key: ExecutionKey, number: Option<u64>) {
        match self.slots.get_mut(&key) {
            // It was lost in the meantime, and is here anew.
            Some(Slot::Live(live)) if number.is_some_and(|number| live.batch != number || !live.committing) => return,
            Some(Slot::Closing { batch, .. }) if number.is_some_and(|number| *batch != number) => return,
            Some(Slot::Live(live)) => {
                let changed = live.committing;
                live.committing = false;
                live.ended &= !changed;
                for (reply, outcome) in live.answers.drain(..) {
                    reply.send(outcome);
                }
                if changed {
                    let (id, status, seq) = (live.state.execution.info.id, live.state.status, live.seq);
                    // Nobody may be listening.
                    let _ = self.changed.send(Changed { id, status, seq }).is_ok();
                    if self.part.shared {
                        self.committer.ledger.tell(Word::Changed { id, status, seq });
                    }
                    figures::count(&live.state, live.began);
                }
                if live.state.status.is_complete() {
                    let info = &live.state.execution.info;
                    if changed {
                        tracing::info!(
                            execution = %info.id,
                            pipeline = %format_args!("{}/{}", info.pipeline.application, info.pipeline.name),
                            status = %live.state.status,
                            "an execution ended"
                        );
                    }
                    self.forget(key);
                    return;
                }
            }
            Some(Slot::Closing { .. }) => {
                if let Some(Slot::Closing { changed, answers, later, .. }) = self.slots.remove(&key) {
                    if changed.status.is_complete() {
                        self.holds.leave(key);
                    }
                    let _ = self.changed.send(changed).is_ok();
                    let Changed { id, status, seq } = changed;
                    self.committer.ledger.tell(Word::Changed { id, status, seq });
                    answers.into_iter().for_each(|(reply, outcome)| reply.send(outcome));
                    later.into_iter().for_each(|incoming| self.deliver(key, incoming));
                }
                return;
            }
            Some(Slot::Loading(_)) | None => return,
        }
        if !self.stopping {
            self.call_handlers(key);
        }
        self.rest(key);
    }

    /// After handlers were called: the next timer, the next decision, or out of memory.
    fn rest(&mut self, key: ExecutionKey) {
        let Some(Slot::Live(live)) = self.slots.get_mut(&key) else { return };
        if !live.events.is_empty() {
            if !live.queued {
                live.queued = true;
                self.ready.push_back(key);
            }
            return;
        }
        let due = live.state.next_due();
        if due != live.armed {
            live.armed = due;
            self.timers.arm(key, due);
        }
        let stranded = due.is_none().then(|| live.state.stranded()).flatten();
        let (id, shard) = (live.state.execution.info.id, live.shard);
        let soon = self.clock.now().as_millis().saturating_add(LINGER_MILLIS);
        let long = due.is_none_or(|due| due.as_millis() > soon);
        if long && live.state.only_waits() && live.calls.is_empty() {
            self.slots.remove(&key);
        }
        match stranded {
            Some(reason) if self.stranded.insert(key, shard).is_none() => {
                tracing::warn!(execution = %id, reason, "an execution is stranded; signal its stage, or cancel it");
            }
            Some(_) => {}
            None if !self.stranded.is_empty() => drop(self.stranded.remove(&key)),
            None => {}
        }
    }

    fn forget(&mut self, key: ExecutionKey) {
        self.holds.leave(key);
        self.stranded.remove(&key);
        let mut restarts = Vec::new();
        if let Some(Slot::Live(mut live)) = self.slots.remove(&key) {
            for incoming in live.events.drain(..) {
                if incoming.is_restart() {
                    restarts.push(incoming);
                } else if let Some(reply) = incoming.reply {
                    reply.send(Err(EngineError::Complete(live.state.status)));
                }
            }
        }
        self.timers.arm(key, None);
        self.effects.forget(key);
        // They came just before the end, and are legal now.
        restarts.into_iter().for_each(|incoming| self.deliver(key, incoming));
    }

    pub(super) fn loaded(&mut self, key: ExecutionKey, gains: u64, loaded: Loaded) {
        let right = loaded.shard().map_or(Right::Own, |shard| self.right_to(shard, gains));
        let Some(Slot::Loading(waiting)) = self.slots.get_mut(&key) else { return };
        match right {
            Right::Own | Right::No => {}
            Right::Soon => return self.park(key),
            Right::Stale => return self.loads.push_front(key),
        }
        let waiting = std::mem::take(waiting);
        if right == Right::No {
            return self.dismiss(key, waiting, |_| Some(EngineError::Moved));
        }
        match loaded {
            Loaded::Live { state, shard, seq, ended } => {
                let said = state.execution.info.report.as_ref().map(|_| status_text::describe(&state));
                let mut state = *state;
                if self.part.shared {
                    state.number_calls_from(self.part.next_calls());
                }
                let live = Live {
                    state,
                    shard,
                    seq,
                    began: false,
                    ended,
                    said,
                    events: VecDeque::with_capacity(1 + waiting.len()),
                    queued: false,
                    committing: false,
                    batch: 0,
                    actions: Vec::new(),
                    thinking: Vec::new(),
                    answers: Vec::new(),
                    calls: Vec::new(),
                    armed: None,
                };
                self.timers.arm(key, None);
                self.slots.insert(key, Slot::Live(Box::new(live)));
                self.deliver(key, Event::Loaded.into());
                waiting.into_iter().for_each(|incoming| self.deliver(key, incoming));
            }
            Loaded::Failed(error) => {
                if !is_closed(&error) {
                    tracing::error!(%error, execution = key.0, "an execution can't be read; trying again");
                }
                self.slots.insert(key, Slot::Loading(waiting));
                self.timers.arm(key, Some(self.clock.now().plus(LOAD_PAUSE)));
            }
            Loaded::Missing => self.dismiss(key, waiting, |_| None),
            // The wish came while it was being read.
            Loaded::Complete(_) if waiting.iter().any(Incoming::is_restart) => {
                self.slots.insert(key, Slot::Loading(waiting));
                self.loads.push_front(key);
            }
            Loaded::Strange(reason) => {
                self.leave_alone(key, Shard::of_key(key), &reason);
                self.dismiss(key, waiting, |_| Some(EngineError::Unreadable(reason.clone())));
            }
            Loaded::Closed(reason) => {
                self.dismiss(key, waiting, |_| Some(EngineError::Unreadable(reason.clone())));
            }
            Loaded::Complete(status) => self.dismiss(key, waiting, |_| Some(EngineError::Complete(status))),
            Loaded::Unreadable(unreadable) => self.put_aside(&unreadable, waiting),
        }
    }

    /// Tells all who waited for an execution that isn't there (`None`), or isn't theirs to change.
    fn dismiss(
        &mut self,
        key: ExecutionKey,
        waiting: Vec<Incoming>,
        why: impl Fn(ExecutionKey) -> Option<EngineError>,
    ) {
        self.slots.remove(&key);
        self.holds.leave(key);
        self.timers.arm(key, None);
        for reply in waiting.into_iter().filter_map(|incoming| incoming.reply) {
            reply.send(Err(why(key).unwrap_or(EngineError::Stopped)));
        }
    }

    /// Records that an execution can't be gone on with, or ends it if that is what somebody wants.
    fn put_aside(&mut self, unreadable: &Unreadable, waiting: Vec<Incoming>) {
        let key = unreadable.key();
        let now = self.clock.now();
        if !unreadable.had_begun() {
            // It begins nothing any more, and must not hold up those behind it.
            self.holds.leave(key);
        }
        let mut cancelled = None;
        let mut answers: Vec<Answer> = Vec::new();
        for incoming in waiting {
            let outcome = match incoming.what {
                // Of a newer program's execution nothing is touched that another replica can go on with.
                What::Command(Command::Cancel { by, reason }) if !(unreadable.newer && self.part.shared) => {
                    cancelled = cancelled.or(Some((by, reason)));
                    Ok(())
                }
                What::Command(
                    Command::Cancel { .. }
                    | Command::Judge { .. }
                    | Command::Restart { .. }
                    | Command::Pause { .. }
                    | Command::Resume { .. }
                    | Command::Skip { .. },
                )
                | What::Event(_) => Err(EngineError::Unreadable(unreadable.reason.clone())),
            };
            answers.extend(incoming.reply.map(|reply| (reply, outcome)));
        }
        self.timers.arm(key, None);
        let row = match cancelled {
            Some((by, reason)) => unreadable.cancelled_row(now, by, reason),
            None if unreadable.known || unreadable.newer => {
                self.slots.remove(&key);
                self.leave_alone(key, unreadable.shard(), &unreadable.reason);
                answers.into_iter().for_each(|(reply, outcome)| reply.send(outcome));
                return;
            }
            None => {
                tracing::error!(execution = key.0, reason = unreadable.reason, "an execution can't be gone on with");
                unreadable.row(now)
            }
        };
        if row.status.is_complete() {
            self.stranded.remove(&key);
        } else {
            self.stranded.insert(key, row.shard);
        }
        let changed = Changed { id: unreadable.id(), status: row.status, seq: row.seq };
        let (shard, batch) = (row.shard, self.next_batch());
        self.slots.insert(key, Slot::Closing { shard, batch, changed, answers, later: Vec::new() });
        self.send(batch, vec![row]);
    }

    /// Says once that an execution can't be gone on with by this program, and writes nothing.
    fn leave_alone(&mut self, key: ExecutionKey, shard: Shard, reason: &str) {
        if self.stranded.insert(key, shard).is_none() {
            tracing::error!(
                execution = key.0,
                reason,
                "an execution can't be gone on with by this version; it is left alone"
            );
        }
    }

    /// An execution in memory can't be gone on with: the rules contradict themselves, or its rows are refused.
    pub(super) fn give_up(&mut self, key: ExecutionKey, reason: String) {
        match self.slots.remove(&key) {
            Some(Slot::Live(mut live)) => {
                let seq = if live.committing { live.seq - 1 } else { live.seq };
                let answers =
                    live.answers.drain(..).map(|(reply, _)| (reply, Err(EngineError::Unreadable(reason.clone()))));
                answers.for_each(|(reply, outcome)| reply.send(outcome));
                let waiting: Vec<Incoming> = live.events.drain(..).collect();
                self.effects.forget(key);
                if live.ended {
                    // The restart alone failed; the execution stays as it ended.
                    tracing::error!(execution = key.0, reason, "an execution can't be restarted");
                    self.dismiss(key, waiting, |_| Some(EngineError::Unreadable(reason.clone())));
                    return;
                }
                self.put_aside(&Unreadable::of_state(&live.state, live.shard, seq, reason), waiting);
            }
            Some(Slot::Closing { answers, later, .. }) => {
                tracing::error!(execution = key.0, reason, "an execution can't even be put aside");
                let later = later.into_iter().filter_map(|incoming| incoming.reply);
                let waiting = answers.into_iter().map(|(reply, _)| reply).chain(later);
                waiting.for_each(|reply| reply.send(Err(EngineError::Unreadable(reason.clone()))));
            }
            Some(Slot::Loading(_)) | None => {}
        }
    }
}

impl Live {
    /// Whether it waits in a lane while others wait for its end.
    fn waits_while_awaited(&self) -> bool {
        let awaited = || self.state.execution.info.trigger.parent.as_ref().is_some_and(|by| !by.awaited_by.is_empty());
        self.state.held.as_ref().is_some_and(|hold| hold.lane.is_some()) && awaited()
    }

    /// Decides about all that happened; the row, if there is anything to record. Handlers without an effect answer
    /// meanwhile, up to `calls` times.
    fn decide(
        &mut self,
        key: ExecutionKey,
        now: Timestamp,
        desk: Desk<'_>,
        holds: &mut Holds,
        mut calls: usize,
    ) -> Result<Option<Append>, String> {
        let mut body = Body::default();
        let mut began = false;
        while let Some(incoming) = self.events.pop_front() {
            let event = match self.event_of(key, incoming.what, desk.registry, holds, now) {
                Ok(event) => holds.weigh(key, event, &self.state, now),
                Err(error) => {
                    self.answers.extend(incoming.reply.map(|reply| (reply, Err(error))));
                    continue;
                }
            };
            let path = match &event {
                Event::Signal { path, .. } | Event::Skip { path, .. } => Some(path.clone()),
                Event::Restart { path, .. } => path.clone(),
                _ => None,
            };
            let decision = advance(&mut self.state, event, now)
                .map_err(|error| format!("its rules contradict themselves ({error}), which is a fault in Longboat"))?;
            for entry in &decision.entries {
                began |= matches!(entry, Entry::Begin);
                body.add(entry).map_err(|error| error.to_string())?;
            }
            for action in decision.actions {
                let later = calls == 0 || body.size() > FUSED_BYTES || matches!(action.ask, Ask::Cancel(_));
                if later || self.has_effect(&action) {
                    self.actions.push(action);
                } else {
                    calls -= 1;
                    let longer = self.ask_at_once(&action, desk);
                    self.thinking.extend(longer.map(|answering| (action, answering)));
                }
            }
            if let Some(reply) = incoming.reply {
                self.answers.push(self.answer(reply, decision.refused, path));
            }
        }
        if body.is_empty() {
            return Ok(None);
        }
        self.seq += 1;
        self.began = began;
        self.committing = true;
        Ok(Some(Append {
            key,
            shard: self.shard,
            seq: self.seq,
            at: now,
            body: body.text(),
            status: self.state.status,
            due_at: self.state.wake_at(now),
            started_at: self.state.started_at,
            ended_at: self.state.ended_at,
            report: self.report(),
            revives: self.ended,
        }))
    }

    /// The commit status, if it says something new.
    fn report(&mut self) -> Option<CommitStatus> {
        let said = self.said.as_mut()?;
        let now = status_text::describe(&self.state);
        if now == *said {
            return None;
        }
        *said = now;
        status_text::report(&self.state)
    }

    fn answer(&self, reply: Reply, refused: Option<Refusal>, path: Option<StagePath>) -> Answer {
        let outcome = match (refused, path) {
            (None, _) => Ok(()),
            (Some(Refusal::NoSuchStage), Some(path)) => Err(EngineError::NoSuchStage(path)),
            (Some(Refusal::NotWaiting), Some(path)) => Err(EngineError::NotWaiting(path)),
            (Some(Refusal::AlreadySignalled), Some(path)) => Err(EngineError::AlreadyJudged(path)),
            (Some(Refusal::NotRun), Some(path)) => Err(EngineError::NotRun(path)),
            (Some(Refusal::NotSkippable), Some(path)) => Err(EngineError::NotSkippable(path)),
            (Some(Refusal::NotPausable), _) => Err(EngineError::NotPausable),
            (Some(Refusal::NotPaused), _) => Err(EngineError::NotPaused),
            (Some(Refusal::Running), _) => Err(EngineError::Running),
            (Some(Refusal::NeverBegan), _) => Err(EngineError::NeverBegan),
            (Some(Refusal::NothingFailed), _) => Err(EngineError::NothingFailed),
            (Some(Refusal::TooLarge), _) => Err(EngineError::Refused("the answer is larger than 64 KiB".to_owned())),
            (Some(_), _) => Err(EngineError::Complete(self.state.status)),
        };
        (reply, outcome)
    }

    /// What somebody asked for, as an event. A judgment is shown to its stage's handler first.
    fn event_of(
        &self,
        key: ExecutionKey,
        what: What,
        registry: &Registry,
        holds: &mut Holds,
        now: Timestamp,
    ) -> Result<Event, EngineError> {
        let (path, judgment) = match what {
            What::Event(event) => return Ok(event),
            What::Command(Command::Cancel { by, reason }) => {
                return Ok(Event::Cancel { by, reason, superseded: false });
            }
            What::Command(Command::Pause { by }) => return Ok(Event::Pause { by }),
            What::Command(Command::Resume { by }) => return Ok(Event::Resume { by }),
            What::Command(Command::Skip { path, by }) => return Ok(Event::Skip { path, by }),
            What::Command(Command::Restart { path, by, override_freeze }) => {
                // Only what has ended gives its place back when the wish is refused.
                let hold = if self.state.status.is_complete() {
                    let info = &self.state.execution.info;
                    holds.hold_of_restart(key, info, override_freeze, now).map_err(EngineError::Refused)?
                } else {
                    None
                };
                return Ok(Event::Restart { path, by, override_freeze, hold });
            }
            What::Command(Command::Judge { path, judgment }) => (path, judgment),
        };
        let state = &self.state;
        if let Some(stage) = state.plan.find(&path).filter(|stage| state.awaits_judgment(*stage)) {
            let handler = state.plan.stages()[stage as usize].kind.and_then(|kind| registry.handler(kind));
            if let Some(handler) = handler {
                Arc::clone(handler).accepts(state.fields(stage), &judgment).map_err(EngineError::Refused)?;
            }
        }
        Ok(Event::Signal { path, attempt: None, payload: payload(&judgment) })
    }
}
