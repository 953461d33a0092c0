//! Heeding freezes: whoever is held is looked at again when they change, in the order in which they were created.

use std::collections::{BTreeSet, VecDeque};

use tokio::sync::oneshot;

use super::slot::Slot;
use super::{Internal, LOAD_PAUSE, Shell};
use crate::clock::Timestamp;
use crate::engine::EngineError;
use crate::engine::decide::Event;
use crate::engine::freeze::Freezes;
use crate::engine::state::State;
use crate::model::ExecutionKey;
use crate::store::StoreError;

/// Where somebody waits until a change of the freezes is heeded.
pub(super) type FreezeReply = oneshot::Sender<Result<(), EngineError>>;

/// What the loop knows of freezes.
#[derive(Debug, Default)]
pub(super) struct Freezing {
    pub(super) freezes: Freezes,
    /// Executions that are held; they are in memory only while something happens to them.
    held: BTreeSet<ExecutionKey>,
    /// Executions that are to be looked at again, in this order.
    again: VecDeque<ExecutionKey>,
    /// Which of them is being read.
    reading: Option<ExecutionKey>,
    /// How often the store was asked.
    asked: u64,
    /// Which of these answers is heeded; an earlier one that comes later is not.
    heeded: u64,
}

impl Freezing {
    /// What is known at the start; `held` are the executions that were held when the process before this one ended.
    pub(super) fn new(freezes: Freezes, held: impl IntoIterator<Item = ExecutionKey>) -> Self {
        let held: BTreeSet<ExecutionKey> = held.into_iter().collect();
        Self { freezes, again: held.iter().copied().collect(), held, ..Self::default() }
    }

    /// Whether it is known as held, so that nothing is to be done for it.
    pub(super) fn holds(&self, key: ExecutionKey) -> bool {
        self.held.contains(&key)
    }

    /// Takes note of what was decided about an execution.
    pub(super) fn note(&mut self, key: ExecutionKey, held: bool) {
        if held {
            self.held.insert(key);
        } else if !self.held.is_empty() {
            self.held.remove(&key);
        }
    }

    /// When a freeze ends by itself, the next time.
    pub(super) fn next_end(&self) -> Option<Timestamp> {
        self.freezes.next_end()
    }

    fn look_again(&mut self) {
        // Whoever is still to be looked at is among the held.
        self.again = self.held.iter().copied().collect();
    }
}

/// What became of an execution, as far as freezes have a say in it: what would have it go on (`Loaded`) holds it back.
pub(super) fn weigh(event: Event, state: &State, freezes: &Freezes, now: Timestamp) -> Event {
    let info = &state.execution.info;
    match event {
        Event::Loaded if state.may_be_held() => {
            let hold = match state.started_at {
                None => freezes.hold_of_start(info, now),
                // After a restart, which nobody is exempt from.
                Some(_) => freezes.hold_of(&info.pipeline.application, now),
            };
            hold.map_or(Event::Loaded, Event::Held)
        }
        other => other,
    }
}

impl Shell {
    /// Asks the store which freezes are in force, beside the loop.
    pub(super) fn look_at_freezes(&mut self, reply: Option<FreezeReply>) {
        self.freezing.asked += 1;
        let asked = self.freezing.asked;
        let (store, internal) = (self.store.clone(), self.internal.clone());
        tokio::spawn(async move {
            let found = store.freezes().await.map(Freezes::from);
            // The loop may be gone.
            let _ = internal.send(Internal::Freezes { asked, found, reply }).is_ok();
        });
    }

    /// From here on nothing begins that is frozen, and what is not frozen any more goes on.
    pub(super) fn heed_freezes(&mut self, asked: u64, found: Result<Freezes, StoreError>, reply: Option<FreezeReply>) {
        let answer = match found {
            Ok(freezes) => {
                if asked > self.freezing.heeded {
                    self.freezing.heeded = asked;
                    if freezes != self.freezing.freezes {
                        self.freezing.freezes = freezes;
                        self.freezing.look_again();
                    }
                }
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
        if self.freezing.freezes.end(now) {
            tracing::info!("a freeze ended, as its time is over");
            self.freezing.look_again();
        }
    }

    /// Looks at what was held, one after the other: so they begin in the order in which they were created.
    pub(super) fn look_at_held(&mut self) {
        loop {
            if let Some(key) = self.freezing.reading {
                if matches!(self.slots.get(&key), Some(Slot::Loading(_))) {
                    // The next one waits for it.
                    return;
                }
                self.freezing.reading = None;
            }
            let Some(key) = self.freezing.again.pop_front() else { return };
            match self.slots.get(&key) {
                Some(Slot::Live(live)) if live.state.may_be_held() => self.deliver(key, Event::Loaded.into()),
                // It goes on already, or is recorded as one that can't.
                Some(Slot::Live(_) | Slot::Closing { .. }) => {}
                Some(Slot::Loading(_)) => self.freezing.reading = Some(key),
                None => {
                    self.request_load(key, false);
                    self.freezing.reading = Some(key);
                }
            }
        }
    }
}
