//! Heeding freezes and lanes: whoever is held is looked at again when they change, in the order in which they were
//! created.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tokio::sync::oneshot;

use super::slot::Slot;
use super::{Internal, LOAD_PAUSE, Shell};
use crate::clock::Timestamp;
use crate::engine::EngineError;
use crate::engine::decide::Event;
use crate::engine::freeze::{Freezes, Hold};
use crate::engine::lanes::{Lanes, Superseded, Turn};
use crate::engine::state::State;
use crate::model::{ExecutionKey, NewExecution, Status};
use crate::store::{LaneMember, LiveExecution, Shard, Shards, StoreError};

/// Who cancels what would wait for ever.
const LONGBOAT: &str = "longboat";

/// Where somebody waits until a change of the freezes is heeded.
pub(super) type FreezeReply = oneshot::Sender<Result<(), EngineError>>;

/// What the loop knows of what holds executions back.
#[derive(Debug, Default)]
pub(super) struct Holds {
    freezes: Freezes,
    /// Who runs where only so many may, and who waits for that.
    lanes: Lanes,
    /// Executions that are held; they are in memory only while something happens to them.
    held: BTreeMap<ExecutionKey, Shard>,
    /// Executions that are to be looked at again, in this order.
    again: VecDeque<ExecutionKey>,
    /// Which of them is being read.
    reading: Option<ExecutionKey>,
    /// How often the store was asked.
    asked: u64,
    /// Which of these answers is heeded; an earlier one that comes later is not.
    heeded: u64,
    /// Up to which change the freezes are heeded, by their number in the store.
    pub(super) number: i64,
}

impl Holds {
    /// What is known at the start: the freezes, up to a change of that number.
    pub(super) fn new((number, freezes): (i64, Freezes)) -> Self {
        Self { freezes, number, ..Self::default() }
    }

    /// Takes on what the store knows of executions that are taken over: those that stand in a lane, and those that were
    /// held.
    pub(super) fn restore(&mut self, members: Vec<LaneMember>, held: &[LiveExecution]) {
        for LaneMember { key, id, application, pipeline, status, lane, .. } in members {
            self.lanes.restore(key, lane, status != Status::NotStarted, (id, application, pipeline));
        }
        for execution in held {
            self.held.insert(execution.key, execution.shard);
            self.again.push_back(execution.key);
        }
    }

    /// Forgets what is known of the executions of these shards.
    pub(super) fn forget(&mut self, lost: Shards) {
        self.lanes.forget(lost);
        let mut gone = BTreeSet::new();
        self.held.retain(|key, shard| {
            let stays = !lost.contains(*shard);
            if !stays {
                gone.insert(*key);
            }
            stays
        });
        self.again.retain(|key| !gone.contains(key));
    }

    /// Whether somebody waits in a lane for whose end others wait.
    pub(super) fn has_awaited(&self) -> bool {
        self.lanes.has_awaited()
    }

    /// What keeps the executions of an application from beginning at this moment.
    pub(super) fn freezes(&self) -> Freezes {
        self.freezes.clone()
    }

    /// Whether it is known as held, so that nothing is to be done for it.
    pub(super) fn holds(&self, key: ExecutionKey) -> bool {
        self.held.contains_key(&key)
    }

    /// Takes note of what was decided about an execution.
    pub(super) fn note(&mut self, key: ExecutionKey, shard: Shard, held: bool) {
        if held {
            self.held.insert(key, shard);
        } else if !self.held.is_empty() {
            self.held.remove(&key);
        }
    }

    /// When a freeze ends by itself, the next time.
    pub(super) fn next_end(&self) -> Option<Timestamp> {
        self.freezes.next_end()
    }

    /// What becomes of an event, as far as freezes and lanes have a say in it: what would have an execution go on
    /// (`Loaded`) holds it back, or ends it.
    pub(super) fn weigh(&mut self, key: ExecutionKey, event: Event, state: &State, now: Timestamp) -> Event {
        match event {
            Event::Loaded if state.may_be_held() => {
                let info = &state.execution.info;
                let frozen = match state.started_at {
                    None => self.freezes.hold_of_start(info, now),
                    // After a restart, which nobody is exempt from.
                    Some(_) => self.freezes.hold_of(&info.pipeline.application, now),
                };
                match self.turn_of(key, info, frozen) {
                    Ok(None) => Event::Loaded,
                    Ok(Some(hold)) => Event::Held(hold),
                    Err(reason) => Event::Cancel { by: LONGBOAT.to_owned(), reason: Some(reason), superseded: false },
                }
            }
            other => other,
        }
    }

    /// What holds an execution back that somebody restarts.
    pub(super) fn hold_of_restart(
        &mut self,
        key: ExecutionKey,
        info: &NewExecution,
        override_freeze: bool,
        now: Timestamp,
    ) -> Result<Option<Hold>, String> {
        let application = &info.pipeline.application;
        let frozen = if override_freeze { None } else { self.freezes.hold_of(application, now) };
        self.turn_of(key, info, frozen)
    }

    /// Who is frozen doesn't stand in line; who isn't does.
    fn turn_of(
        &mut self,
        key: ExecutionKey,
        info: &NewExecution,
        frozen: Option<Hold>,
    ) -> Result<Option<Hold>, String> {
        if frozen.is_some() {
            self.lanes.leave(key);
            return Ok(frozen);
        }
        match self.lanes.ask(key, info) {
            Turn::Begin => Ok(None),
            Turn::Wait(hold) => Ok(Some(hold)),
            Turn::Never(reason) => Err(reason),
        }
    }

    /// An execution has ended, or can't be gone on with before it began.
    pub(super) fn leave(&mut self, key: ExecutionKey) {
        self.lanes.leave(key);
    }

    /// Heeds the freezes as they were read when shards were taken over, if nothing newer is known.
    pub(super) fn renew(&mut self, number: i64, freezes: Freezes) {
        if number > self.number {
            self.heed(number, freezes);
        }
    }

    fn heed(&mut self, number: i64, freezes: Freezes) {
        self.number = number;
        if freezes != self.freezes {
            self.freezes = freezes;
            self.look_again();
        }
    }

    fn look_again(&mut self) {
        // Whoever is still to be looked at is among the held.
        self.again = self.held.keys().copied().collect();
    }
}

impl Shell {
    /// Asks the store which freezes are in force, beside the loop.
    pub(super) fn look_at_freezes(&mut self, reply: Option<FreezeReply>) {
        self.holds.asked += 1;
        let asked = self.holds.asked;
        let (store, internal) = (self.store.clone(), self.internal.clone());
        tokio::spawn(async move {
            let found = store.numbered_freezes().await.map(|(number, freezes)| (number, Freezes::from(freezes)));
            // The loop may be gone.
            let _ = internal.send(Internal::Freezes { asked, found, reply }).is_ok();
        });
    }

    /// From here on nothing begins that is frozen, and what is not frozen any more goes on.
    pub(super) fn heed_freezes(
        &mut self,
        asked: u64,
        found: Result<(i64, Freezes), StoreError>,
        reply: Option<FreezeReply>,
    ) {
        let answer = match found {
            Ok((number, freezes)) => {
                let newer = number > self.holds.number || (number == self.holds.number && asked > self.holds.heeded);
                if newer {
                    self.holds.heeded = asked;
                    self.holds.heed(number, freezes);
                }
                self.say_what_is_heeded();
                Ok(())
            }
            Err(error) => {
                tracing::warn!(%error, "the freezes can't be read; trying again");
                self.reconcile_at = self.reconcile_at.min(self.clock.now().plus(LOAD_PAUSE));
                Err(EngineError::from(error))
            }
        };
        if let Some(reply) = reply {
            // Nobody may be waiting any more.
            let _ = reply.send(answer).is_ok();
        }
    }

    /// Freezes whose time is over end.
    pub(super) fn end_freezes(&mut self, now: Timestamp) {
        if self.holds.freezes.end(now) {
            tracing::info!("a freeze ended, as its time is over");
            self.holds.look_again();
        }
    }

    /// Has those cancelled that a newer execution takes the place of, and those looked at whose turn it may be. Says
    /// whether there is anybody to be looked at now.
    pub(super) fn heed_lanes(&mut self) -> bool {
        for Superseded { key, by, newer } in self.holds.lanes.take_superseded() {
            let reason = Some(format!("the execution {newer} is newer"));
            self.deliver(key, Event::Cancel { by, reason, superseded: true }.into());
        }
        self.holds.again.extend(self.holds.lanes.take_next());
        self.holds.reading.is_none() && !self.holds.again.is_empty()
    }

    /// Looks at what was held, one after the other: so they begin in the order in which they were created.
    pub(super) fn look_at_held(&mut self) {
        loop {
            if let Some(key) = self.holds.reading {
                if matches!(self.slots.get(&key), Some(Slot::Loading(_))) {
                    // The next one waits for it.
                    return;
                }
                self.holds.reading = None;
            }
            let Some(key) = self.holds.again.pop_front() else { return };
            match self.slots.get(&key) {
                Some(Slot::Live(live)) if live.state.may_be_held() => self.deliver(key, Event::Loaded.into()),
                // It goes on already, or is recorded as one that can't.
                Some(Slot::Live(_) | Slot::Closing { .. }) => {}
                Some(Slot::Loading(_)) => self.holds.reading = Some(key),
                None => {
                    self.request_load(key, false);
                    self.holds.reading = Some(key);
                }
            }
        }
    }
}
