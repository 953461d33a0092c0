//! Whose executions are whose: what this engine takes over, loses, and gives to other replicas.
//!
//! A shard that is gained is read as at a start: executions, lanes, freezes. Of a shard that is lost everything is
//! forgotten at once, and what runs of it on this machine is ended ([`StageHandler::abandon`]):
//! whoever has it now goes on from the journal.
//!
//! A shard that is to leave goes on until there is a moment at which nothing of it runs here; then it is given back. So that
//! such a moment comes, no attempt is begun in it for a few seconds each minute, and while the engine stops. What was decided is
//! written down all the same, and begun by whoever has the shard next.
//!
//! An engine that has the database for itself has all shards, and none of this concerns it.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::commit::Ledger;
use super::slot::{Live, Slot};
use super::{Internal, LOAD_PAUSE, Shell};
use crate::clock::Timestamp;
use crate::engine::decide::{Action, Ask};
use crate::engine::freeze::Freezes;
use crate::engine::state::Phase;
use crate::engine::{EngineError, StageContext, StageHandler};
use crate::model::{ExecutionKey, Status};
use crate::store::{LaneMember, LiveExecution, Owned, Shard, Shards, Store, StoreError, WishId};

/// How long nothing is begun in shards that are to leave.
const REST: Duration = Duration::from_secs(5);
/// How long they go on as usual after that, if none could be given back.
const BETWEEN_RESTS: Duration = Duration::from_secs(60);
/// How long a shard is left alone in which a row was refused, if the store says all the same that it is this engine's.
const DOUBT: Duration = Duration::from_secs(1);
/// More calls than an execution makes while it is in memory.
const CALLS: u64 = 1 << 32;
/// How long handlers may take to end what they have to let go of: so long at most, executions that come back wait for it.
const LETTING_GO: Duration = Duration::from_secs(10);

/// What of the executions is this engine's.
pub(super) struct Part {
    /// Whether there may be other replicas.
    pub(super) shared: bool,
    pub(super) owned: watch::Receiver<Owned>,
    /// The shards that are worked on.
    pub(super) held: Shards,
    /// Those that are being read.
    gaining: Shards,
    /// Those that are to leave.
    leaving: Shards,
    /// Those in which a row was refused, until then.
    doubted: (Shards, Timestamp),
    /// The lease under which all of that is so.
    pub(super) term: u64,
    /// Counts what was gained.
    gains: u64,
    /// When each shard was gained, in that count: what was read before may be out of date.
    gained_at: [u64; Shard::COUNT],
    /// Where the latest execution's calls are numbered from.
    calls: u64,
    /// Executions that were read before their shard was; they are read again after it.
    parked: Vec<ExecutionKey>,
    /// Handlers that let go of what they had begun.
    letting_go: Vec<JoinHandle<()>>,
    /// Until when nothing is begun in the shards that leave, and when again after that.
    rest: (Option<Timestamp>, Timestamp),
    /// Until when a stopping engine waits.
    draining: Option<Timestamp>,
    /// The newest execution that is known.
    pub(super) newest: ExecutionKey,
    /// Whether the store is being asked what is new, and is to be asked once more after that.
    pub(super) polling: (bool, bool),
    /// When it is asked again.
    pub(super) poll_at: Timestamp,
    /// When it is looked again for executions that wait for one another, and whether that is going on.
    pub(super) circles: (Timestamp, bool),
    /// Wishes that were taken up.
    pub(super) wishes: BTreeSet<WishId>,
}

impl Part {
    /// All, if there is nobody else; else nothing yet.
    pub(super) fn new(ledger: &dyn Ledger, newest: ExecutionKey, now: Timestamp) -> Self {
        let (shared, owned) = (ledger.is_shared(), ledger.shards());
        let mut part = Self {
            shared,
            owned,
            held: if shared { Shards::NONE } else { Shards::ALL },
            gaining: Shards::NONE,
            leaving: Shards::NONE,
            doubted: (Shards::NONE, now),
            term: 0,
            gains: 0,
            gained_at: [0; Shard::COUNT],
            calls: 0,
            parked: Vec::new(),
            letting_go: Vec::new(),
            rest: (None, now),
            draining: None,
            newest,
            polling: (false, false),
            poll_at: now,
            circles: (now, false),
            wishes: BTreeSet::new(),
        };
        part.term = part.owned.borrow().term;
        // The first look is at what there is.
        part.owned.mark_changed();
        part
    }

    /// What is worked on, or will be as soon as it is read.
    pub(super) fn own(&self) -> Shards {
        self.held.and(self.gaining)
    }

    /// Where the numbers of an execution's calls begin, so that a late answer from before it was lost belongs to none.
    pub(super) fn next_calls(&mut self) -> u64 {
        self.calls += CALLS;
        self.calls
    }

    /// Whether it waits for what runs to come to its end.
    pub(super) fn is_draining(&self) -> bool {
        self.draining.is_some()
    }

    /// Whether it has waited for all of it.
    pub(super) fn is_drained(&self) -> bool {
        self.is_draining() && self.own().is_empty()
    }

    /// When something is to be done though nothing happens.
    pub(super) fn next(&self) -> Option<Timestamp> {
        if !self.shared {
            return None;
        }
        let rest = (!self.leaving.is_empty()).then(|| self.rest.0.unwrap_or(self.rest.1));
        let doubt = (!self.doubted.0.is_empty()).then_some(self.doubted.1);
        [Some(self.poll_at), rest, doubt, self.draining].into_iter().flatten().min()
    }

    /// Whether nothing is begun in a shard at the moment.
    pub(super) fn rests_in(&self, shard: Shard) -> bool {
        self.shared && self.resting().contains(shard)
    }

    /// The shards in which nothing is begun at the moment.
    fn resting(&self) -> Shards {
        match (self.draining, self.rest.0) {
            (Some(_), _) => self.held,
            (None, Some(_)) => self.leaving,
            (None, None) => Shards::NONE,
        }
    }

    /// How many executions were gained so far: what is read from now on is as new as that.
    pub(super) fn gains(&self) -> u64 {
        self.gains
    }
}

/// What was read of shards that were gained.
pub(super) struct Gained {
    /// Which gain it was.
    number: u64,
    shards: Shards,
    /// The freezes, up to the change of that number.
    freezes: (i64, Freezes),
    live: Vec<LiveExecution>,
    members: Vec<LaneMember>,
}

impl Gained {
    async fn read(store: &Store, number: u64, shards: Shards) -> Result<Self, StoreError> {
        let (change, freezes) = store.numbered_freezes().await?;
        let members = store.lane_members_in(shards).await?;
        let live = store.live_in(shards).await?;
        Ok(Self { number, shards, freezes: (change, Freezes::from(freezes)), live, members })
    }
}

/// What may be done with an execution that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Right {
    /// Anything.
    Own,
    /// Nothing yet: its shard is being read.
    Soon,
    /// Nothing: it was read before its shard was gained, and may have changed since.
    Stale,
    /// Nothing: another replica has it.
    No,
}

/// Whether its journal has begun and the execution has not: a freeze holds it, or did.
const fn is_held(execution: &LiveExecution) -> bool {
    matches!(execution.status, Status::NotStarted) && execution.seq > 0
}

impl Shell {
    /// Takes on executions as the store has them.
    pub(super) fn take_on(&mut self, live: &[LiveExecution], members: Vec<LaneMember>) {
        let (held, free): (Vec<LiveExecution>, Vec<LiveExecution>) = live.iter().partition(|one| is_held(one));
        // Those wait for their turn, with the others that were held.
        self.holds.restore(members, &held);
        for execution in free {
            match execution.status {
                Status::NotStarted => self.request_load(execution.key, false),
                _ => self.timers.arm(execution.key, execution.due_at),
            }
        }
    }

    /// Follows what the store says of whose executions are whose. Cheap if nothing changed.
    pub(super) fn follow_the_lease(&mut self, now: Timestamp) {
        let owned = *self.part.owned.borrow_and_update();
        // The process may have been stopped for a while, and nobody has come to say so.
        let held = if self.committer.ledger.has_lease() { owned.held } else { Shards::NONE };
        let before = self.part.own();
        if owned.term != self.part.term {
            self.part.term = owned.term;
            self.lose(before);
        }
        self.lose(self.part.own().without(held));
        let (doubted, until) = self.part.doubted;
        if !doubted.is_empty() && (until <= now || doubted.both(held).is_empty()) {
            self.part.doubted.0 = Shards::NONE;
        }
        let new = held.without(self.part.own()).without(self.part.doubted.0);
        if !new.is_empty() && !self.part.is_draining() {
            self.gain(new);
        }
        self.part.leaving = owned.leaving.both(self.part.held);
        let (rest, again) = self.part.rest;
        match rest {
            _ if self.part.leaving.is_empty() => self.part.rest.0 = None,
            Some(until) if until <= now => self.part.rest = (None, now.plus(BETWEEN_RESTS)),
            None if again <= now => self.part.rest.0 = Some(now.plus(REST)),
            Some(_) | None => {}
        }
    }

    /// Reads what there is in shards that are this engine's from now on, beside the loop.
    fn gain(&mut self, shards: Shards) {
        self.part.gains += 1;
        let number = self.part.gains;
        shards.iter().for_each(|shard| self.part.gained_at[shard.index()] = number);
        self.part.gaining = self.part.gaining.and(shards);
        tracing::info!(shards = shards.len(), "takes over executions");
        let ended = std::mem::take(&mut self.part.letting_go);
        let (store, clock, internal) = (self.store.clone(), self.clock.clone(), self.internal.clone());
        tokio::spawn(async move {
            // What may come back is first gone.
            futures::future::join_all(ended).await;
            let gained = loop {
                match Gained::read(&store, number, shards).await {
                    Ok(gained) => break gained,
                    Err(StoreError::Closed) => return,
                    Err(error) => tracing::warn!(%error, "executions can't be taken over; trying again"),
                }
                if internal.is_closed() {
                    return;
                }
                clock.sleep(LOAD_PAUSE).await;
            };
            // The loop may be gone.
            let _ = internal.send(Internal::Gained(Box::new(gained))).is_ok();
        });
    }

    /// Shards were read: from now on they are worked on.
    pub(super) fn gained(&mut self, gained: Gained) {
        let Gained { number, shards, freezes: (change, freezes), mut live, mut members } = gained;
        // Some may have been lost again, and others gained anew.
        let current =
            |shard: &Shard| self.part.gaining.contains(*shard) && self.part.gained_at[shard.index()] == number;
        let shards: Shards = shards.iter().filter(current).collect();
        live.retain(|execution| shards.contains(execution.shard));
        members.retain(|member| shards.contains(member.shard));
        self.part.gaining = self.part.gaining.without(shards);
        self.part.held = self.part.held.and(shards);
        self.holds.renew(change, freezes);
        self.say_what_is_heeded();
        self.take_on(&live, members);
        // They may wait for these.
        for key in std::mem::take(&mut self.part.parked) {
            self.loads.push_front(key);
        }
    }

    /// What may be done with an execution of that shard which was read when so many gains had been made.
    pub(super) fn right_to(&self, shard: Shard, gains: u64) -> Right {
        if !self.part.shared {
            Right::Own
        } else if self.part.gaining.contains(shard) {
            Right::Soon
        } else if !self.part.held.contains(shard) {
            Right::No
        } else if self.part.gained_at[shard.index()] > gains {
            Right::Stale
        } else {
            Right::Own
        }
    }

    /// Leaves an execution that was read until its shard is.
    pub(super) fn park(&mut self, key: ExecutionKey) {
        self.part.parked.push(key);
    }

    /// Rows of these shards were refused, because somebody else has them, or had them for a moment.
    pub(super) fn doubt(&mut self, shards: Shards) {
        tracing::warn!(?shards, "another replica has taken executions over; what was decided about them is dropped");
        let until = self.clock.now().plus(DOUBT);
        self.part.doubted = (self.part.doubted.0.and(shards), until);
        self.lose(shards.both(self.part.own()));
    }

    /// Forgets the executions of shards that another replica has now, and ends what runs of them here.
    fn lose(&mut self, lost: Shards) {
        if lost.is_empty() {
            return;
        }
        tracing::info!(shards = lost.len(), "lets executions go");
        self.part.held = self.part.held.without(lost);
        self.part.gaining = self.part.gaining.without(lost);
        for key in std::mem::take(&mut self.part.parked) {
            self.loads.push_front(key);
        }
        self.forget_shards(lost, true);
    }

    fn forget_shards(&mut self, lost: Shards, abandon: bool) {
        let keys: Vec<ExecutionKey> =
            self.slots.iter().filter(|(_, slot)| slot.is_of(lost)).map(|(key, _)| *key).collect();
        keys.into_iter().for_each(|key| self.let_go(key, abandon));
        self.stranded.retain(|_, shard| !lost.contains(*shard));
        // Times stay: what is read then and is somebody else's is left alone.
        self.holds.forget(lost);
    }

    /// Forgets an execution; who waits for it here is told to ask anew.
    fn let_go(&mut self, key: ExecutionKey, abandon: bool) {
        self.effects.forget(key);
        match self.slots.remove(&key) {
            Some(Slot::Live(mut live)) => {
                let waiting = live.events.drain(..).filter_map(|incoming| incoming.reply);
                let told = live.answers.drain(..).map(|(reply, _)| reply).chain(waiting);
                told.for_each(|reply| reply.send(Err(EngineError::Moved)));
                if abandon {
                    self.abandon(*live);
                }
            }
            Some(Slot::Closing { answers, later, .. }) => {
                let later = later.into_iter().filter_map(|incoming| incoming.reply);
                let told = answers.into_iter().map(|(reply, _)| reply).chain(later);
                told.for_each(|reply| reply.send(Err(EngineError::Moved)));
            }
            Some(Slot::Loading(waiting)) => drop(self.slots.insert(key, Slot::Loading(waiting))),
            None => {}
        }
    }

    /// Has handlers end what they began on this machine.
    fn abandon(&mut self, mut live: Live) {
        let mut handlers: Vec<(Arc<dyn StageHandler>, StageContext)> = Vec::new();
        for (index, stage) in live.state.active() {
            let in_hand = matches!(stage.phase, Phase::InFlight | Phase::Polling { .. } | Phase::Cancelling { .. });
            let kind = live.state.plan.stages()[index as usize].kind.filter(|_| in_hand);
            if let Some(handler) = kind.and_then(|kind| self.registry.handler(kind)) {
                handlers.push((Arc::clone(handler), live.context(index, &self.clock, &self.signals)));
            }
        }
        let given_up: Vec<JoinHandle<()>> = live.calls.drain(..).filter_map(super::slot::Call::give_up).collect();
        if handlers.is_empty() {
            return;
        }
        self.part.letting_go.retain(|task| !task.is_finished());
        let (clock, deadline) = (self.clock.clone(), self.options.cancel_deadline.min(LETTING_GO));
        self.part.letting_go.push(tokio::spawn(async move {
            let ending = async {
                // First the futures, so that nothing new begins.
                futures::future::join_all(given_up).await;
                for (handler, context) in &handlers {
                    handler.abandon(context).await;
                }
            };
            tokio::select! {
                () = ending => {}
                () = clock.sleep(deadline) => tracing::warn!("what runs of an execution that moved could not be ended in time"),
            }
        }));
    }

    /// Whether a call is not to be made for now, because its execution is about to move.
    pub(super) fn rests(&self, key: ExecutionKey, action: &Action) -> bool {
        if !self.part.shared || !matches!(action.ask, Ask::Start) {
            return false;
        }
        let resting = self.part.resting();
        !resting.is_empty() && self.slots.get(&key).is_some_and(|slot| slot.is_of(resting))
    }

    /// Of several replicas, where to ask whether an execution is still this one's.
    pub(super) fn owner_of(&self, key: ExecutionKey) -> Option<(Arc<dyn Ledger>, Shard)> {
        if !self.part.shared {
            return None;
        }
        match self.slots.get(&key)? {
            Slot::Live(live) => Some((Arc::clone(&self.committer.ledger), live.shard)),
            Slot::Loading(_) | Slot::Closing { .. } => None,
        }
    }

    /// Gives back the shards that are to leave and of which nothing runs here.
    pub(super) fn give_back(&mut self) {
        let leaving = if self.part.is_draining() { self.part.held } else { self.part.leaving };
        if leaving.is_empty() {
            return;
        }
        let mut idle = leaving;
        for (key, slot) in &self.slots {
            match slot {
                Slot::Live(live) if idle.contains(live.shard) && self.is_busy(*key, live) => idle.remove(live.shard),
                Slot::Closing { shard, .. } => idle.remove(*shard),
                // It is told that it moved.
                Slot::Live(_) | Slot::Loading(_) => {}
            }
        }
        if idle.is_empty() {
            return;
        }
        tracing::info!(shards = idle.len(), "gives executions to other replicas");
        self.part.held = self.part.held.without(idle);
        self.part.leaving = self.part.leaving.without(idle);
        self.forget_shards(idle, false);
        self.committer.ledger.release(idle);
    }

    /// Whether something of an execution would be lost if it moved: something is being decided or done, or runs here.
    fn is_busy(&self, key: ExecutionKey, live: &Live) -> bool {
        if live.committing || live.queued || !live.events.is_empty() {
            return true;
        }
        let put_off: HashSet<u32> =
            self.effects.of(key).filter(|action| matches!(action.ask, Ask::Start)).map(|action| action.stage).collect();
        live.state.active().any(|(index, stage)| {
            let kind = live.state.plan.stages()[index as usize].kind;
            let runs_here = matches!(stage.phase, Phase::Polling { .. }) && kind.is_some_and(|kind| kind.runs_here);
            runs_here || (stage.call.is_some() && !put_off.contains(&index))
        })
    }

    /// Stops: at once, or among other replicas as soon as what runs has come to its end, or has had its time for that.
    pub(super) fn drain(&mut self, now: Timestamp) {
        if !self.part.shared || self.lost {
            self.stopping = true;
            return;
        }
        let until = *self.part.draining.get_or_insert_with(|| {
            self.committer.ledger.leave();
            now.plus(self.options.drain)
        });
        self.stopping = until <= now || self.part.is_drained();
    }

    /// Gives everything back that is left, after what runs of it was ended.
    pub(super) async fn leave(&mut self) {
        let rest = self.part.own();
        self.lose(rest);
        let letting_go = std::mem::take(&mut self.part.letting_go);
        if !letting_go.is_empty() {
            let stages = letting_go.len();
            tracing::warn!(
                stages,
                "what still runs has had its time: it is ended here, and other replicas go on with it"
            );
        }
        let ended = futures::future::join_all(letting_go);
        if tokio::time::timeout(LETTING_GO, ended).await.is_err() {
            tracing::warn!("what runs of executions that move could not be ended in time");
        }
        self.committer.ledger.release(rest);
    }
}
