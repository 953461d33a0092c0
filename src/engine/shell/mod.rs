//! The durable shell around the pure core.
//!
//! One loop owns the states of the executions that are in memory. It takes what happened, decides for all
//! executions that have no row on its way, sends their rows to the store as one batch, and goes on with others
//! while that commits. Two batches are out at most, one being written and one behind it: so batches grow by
//! themselves to what came during the commit before, and no timer is needed. Handlers are called once the rows
//! that speak of them are on disk.
//!
//! An execution that only waits, for a time or a person, is put out of memory; its journal is read again when
//! something happens. At start only summaries are read, and journals once their time has come.

mod calls;
mod commit;
mod engine;
mod fair;
mod figures;
mod holds;
mod load;
mod news;
mod shards;
mod slot;
mod timers;
mod turn;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::decide::{Action, Event};
use super::freeze::Freezes;
use super::handle::{Command, Reply, Request};
use super::{Changed, EngineError, Outcome, Registry, SentSignal, Signals};
use crate::clock::{Clock, Timestamp};
use crate::model::{ExecutionKey, Status};
use crate::store::{Append, LiveExecution, Shard, Store, StoreError, WishId};
use commit::{Committed, Committer, Verdict};
use fair::Fair;
use holds::{FreezeReply, Holds};
use load::Loaded;
use news::{News, Victim};
use shards::{Gained, Part};
use slot::{Incoming, Slot, What};
use timers::Timers;

pub(super) use commit::Ledger;
#[cfg(test)]
pub(super) use commit::Peer;
pub use engine::{Engine, EngineOptions};

/// Rows in one batch: bounds how long a commit takes.
const BATCH_ROWS: usize = 2000;
/// Batches that are out at once: one is written, one stands behind it.
const BATCHES: usize = 2;
/// Reads of executions that are out at once.
const LOADS: usize = 4;
/// Executions that one of them is about.
const LOADED: usize = 16;
/// Requests and signals that may wait for the loop; who comes later waits for a place.
const QUEUE: usize = 1024;
/// Changes that a slow subscriber may be behind.
const CHANGES: usize = 8192;
/// How often the store is asked which executions there are: who was created and never handed over begins then.
const RECONCILE: Duration = Duration::from_secs(60);
/// The pause before an execution that couldn't be read is read again.
const LOAD_PAUSE: Duration = Duration::from_secs(1);

/// What comes to the loop.
struct Inputs {
    requested: mpsc::Receiver<Request>,
    signalled: mpsc::Receiver<SentSignal>,
    answered: mpsc::UnboundedReceiver<Internal>,
    stop: CancellationToken,
    ready: watch::Sender<bool>,
}

/// What the loop's own tasks tell it. There are never more of these than tasks, and those are bounded.
enum Internal {
    /// A handler answered.
    Answered { key: ExecutionKey, stage: u32, call: u64, outcome: Outcome },
    /// A handler's `cancel` returned, or was given up.
    Cancelled { key: ExecutionKey, stage: u32, call: u64, overdue: bool },
    /// A call with an effect has ended.
    Freed,
    /// The executions that haven't ended, as the store has them.
    Found(Vec<LiveExecution>),
    /// The freezes in force, as the store has them.
    Freezes { asked: u64, found: Result<(i64, Freezes), StoreError>, reply: Option<FreezeReply> },
    /// Executions were read, when so many gains of shards had been made.
    Loaded { gains: u64, loaded: Vec<(ExecutionKey, Loaded)> },
    /// Shards that are this engine's from now on were read.
    Gained(Box<Gained>),
    /// What is new in the store.
    Polled(Result<Box<News>, StoreError>),
    /// Another replica says that there is something new.
    Heard,
    /// A wish could not be answered.
    Unanswered(WishId),
    /// Executions wait for one another; who has to give way.
    Circles(Result<Vec<Victim>, StoreError>),
}

/// The loop.
struct Shell {
    store: Store,
    clock: Clock,
    registry: Registry,
    options: EngineOptions,
    committer: Committer,
    signals: Signals,
    internal: mpsc::UnboundedSender<Internal>,
    changed: broadcast::Sender<Changed>,
    /// For people who watch: how many slots there are.
    in_memory: Arc<AtomicUsize>,
    /// For people who watch: how many executions are stranded.
    stranded_count: Arc<AtomicUsize>,
    /// Executions that nothing will wake, or that can't be gone on with.
    stranded: BTreeMap<ExecutionKey, Shard>,
    slots: HashMap<ExecutionKey, Slot>,
    /// Executions that something happened to, and that have no row on its way.
    ready: VecDeque<ExecutionKey>,
    commits: FuturesUnordered<BoxFuture<'static, Committed>>,
    /// How many batches there were.
    batches: u64,
    timers: Timers,
    /// Executions to be read; those that somebody waits for stand in front.
    loads: VecDeque<ExecutionKey>,
    loading: usize,
    /// Which are being read.
    reading: BTreeSet<ExecutionKey>,
    /// Those of a lane that were read before older ones, and wait for these: so they stand in line in their order.
    early: BTreeMap<ExecutionKey, (u64, Loaded)>,
    /// What keeps executions from beginning.
    holds: Holds,
    /// Which of the executions are this engine's.
    part: Part,
    /// When the store is asked again which executions there are.
    reconcile_at: Timestamp,
    /// Calls with an effect that wait for their turn.
    effects: Fair<Action>,
    running: usize,
    /// No call is made any more.
    stopping: bool,
    /// The executions are another process's now, or can't be recorded any more.
    lost: bool,
}

impl Shell {
    async fn run(mut self, mut inputs: Inputs) {
        let mut requests = Vec::new();
        let mut signals = Vec::new();
        let mut answers = Vec::new();
        while !self.stopping && !self.lost {
            if self.part.shared {
                let now = self.clock.now();
                self.follow_the_lease(now);
                self.look_around(now);
            }
            self.turn();
            if self.part.shared {
                self.give_back();
                if self.part.is_drained() {
                    break;
                }
            }
            let next = [self.timers.next(), self.holds.next_end(), self.part.next()].into_iter().flatten();
            let next = next.fold(self.reconcile_at, Timestamp::min);
            let clock = self.clock.clone();
            let mut written = None;
            tokio::select! {
                () = inputs.stop.cancelled(), if !self.part.is_draining() => {}
                Ok(()) = self.part.owned.changed(), if self.part.shared => {}
                Some(committed) = self.commits.next(), if !self.commits.is_empty() => written = Some(committed),
                _ = inputs.answered.recv_many(&mut answers, QUEUE) => {}
                _ = inputs.requested.recv_many(&mut requests, QUEUE), if !inputs.requested.is_closed() => {}
                _ = inputs.signalled.recv_many(&mut signals, QUEUE) => {}
                () = clock.sleep_until(next) => self.wake_due(),
            }
            if inputs.stop.is_cancelled() {
                self.drain(self.clock.now());
            }
            if let Some(committed) = written {
                self.committed(committed);
            }
            answers.drain(..).for_each(|answer| self.internal(answer));
            requests.drain(..).for_each(|request| self.request(request));
            signals.drain(..).for_each(|signal| self.signal(signal));
        }
        self.stopping = true;
        self.finish(inputs).await;
    }

    /// Writes down what is known already, and nothing else.
    async fn finish(mut self, mut inputs: Inputs) {
        inputs.requested.close();
        while let Ok(answer) = inputs.answered.try_recv() {
            self.internal(answer);
        }
        while !self.lost {
            self.turn();
            match self.commits.next().await {
                Some(committed) => self.committed(committed),
                None => break,
            }
        }
        if self.part.shared {
            self.leave().await;
        }
        let _ = inputs.ready.send(false).is_ok();
    }

    fn request(&mut self, request: Request) {
        match request {
            Request::Submit(key) => self.request_load(key, false),
            Request::Freezes(reply) => self.look_at_freezes(Some(reply)),
            Request::Command { key, command, reply } => {
                self.deliver(key, Incoming { what: What::Command(command), reply: Some(Reply::Person(reply)) });
            }
        }
    }

    fn signal(&mut self, signal: SentSignal) {
        let SentSignal { execution, path, attempt, payload, answer } = signal;
        let event = Event::Signal { path, attempt: Some(attempt), payload };
        let reply = Some(Reply::Handler(answer));
        self.deliver(execution, Incoming { what: What::Event(event), reply });
    }

    fn internal(&mut self, internal: Internal) {
        match internal {
            Internal::Answered { key, stage, call, outcome } => {
                self.answered(key, stage, call, Event::Answered { stage, call, outcome });
            }
            Internal::Cancelled { key, stage, call, overdue } => {
                self.answered(key, stage, call, Event::Cancelled { stage, call, overdue });
            }
            Internal::Found(live) => self.found(&live),
            Internal::Freezes { asked, found, reply } => self.heed_freezes(asked, found, reply),
            Internal::Freed => self.running = self.running.saturating_sub(1),
            Internal::Loaded { gains, loaded } => {
                self.loading = self.loading.saturating_sub(1);
                loaded.into_iter().for_each(|(key, loaded)| self.was_read(key, gains, loaded));
            }
            Internal::Gained(gained) => self.gained(*gained),
            Internal::Polled(news) => self.polled(news),
            Internal::Heard => self.poll(self.clock.now()),
            Internal::Unanswered(id) => self.unanswered(id),
            Internal::Circles(found) => self.break_circles(found),
        }
    }

    fn answered(&mut self, key: ExecutionKey, stage: u32, call: u64, event: Event) {
        if let Some(Slot::Live(live)) = self.slots.get_mut(&key) {
            // The task has ended, so there is nothing to give up.
            live.calls.retain_mut(|known| known.stage != stage || known.number != call || known.task.take().is_none());
            self.deliver(key, event.into());
        }
    }

    /// Something happened to an execution. If it isn't in memory, it is brought there first.
    fn deliver(&mut self, key: ExecutionKey, incoming: Incoming) {
        match self.slots.get_mut(&key) {
            Some(Slot::Live(live)) => {
                live.events.push_back(incoming);
                if !live.queued && !live.committing {
                    live.queued = true;
                    self.ready.push_back(key);
                }
            }
            Some(Slot::Loading(waiting)) => {
                waiting.push(incoming);
                // Somebody waits now: it need not wait for a place in memory.
                if let Some(position) = self.loads.iter().position(|load| *load == key) {
                    self.loads.remove(position);
                    self.loads.push_front(key);
                }
            }
            Some(Slot::Closing { later, .. }) => later.push(incoming),
            None => {
                self.request_load(key, true);
                if let Some(Slot::Loading(waiting)) = self.slots.get_mut(&key) {
                    waiting.push(incoming);
                }
            }
        }
    }

    /// Has an execution read that isn't in memory.
    fn request_load(&mut self, key: ExecutionKey, urgent: bool) {
        if self.slots.contains_key(&key) {
            return;
        }
        self.slots.insert(key, Slot::Loading(Vec::new()));
        if urgent {
            self.loads.push_front(key);
        } else {
            self.loads.push_back(key);
        }
    }

    fn start_loads(&mut self) {
        while self.loading < LOADS && !self.stopping {
            let (keys, revive) = self.next_loads();
            if keys.is_empty() {
                break;
            }
            self.loading += 1;
            self.reading.extend(&keys);
            let (store, kinds, internal) =
                (self.store.clone(), Arc::clone(self.registry.kinds()), self.internal.clone());
            let gains = self.part.gains();
            tokio::spawn(async move {
                let loaded = load::load(&store, &kinds, keys, revive).await;
                // The loop may be gone.
                let _ = internal.send(Internal::Loaded { gains, loaded }).is_ok();
            });
        }
    }

    /// Takes the next executions to be read together, and says whether they have ended and are to be restarted.
    fn next_loads(&mut self) -> (Vec<ExecutionKey>, bool) {
        let mut keys = Vec::new();
        let mut restarts = false;
        while let Some(key) = self.loads.front() {
            let waiting = match self.slots.get(key) {
                Some(Slot::Loading(waiting)) => waiting.as_slice(),
                _ => &[],
            };
            let in_memory = self.slots.len().saturating_sub(self.loads.len());
            let revive = waiting.iter().any(Incoming::is_restart);
            let full = in_memory >= self.options.max_live && waiting.is_empty();
            if full || keys.len() >= LOADED || (!keys.is_empty() && revive != restarts) {
                break;
            }
            restarts = revive;
            keys.extend(self.loads.pop_front());
        }
        (keys, restarts)
    }

    /// An execution was read. One that would stand in line waits until all older ones that are being read are there.
    fn was_read(&mut self, key: ExecutionKey, gains: u64, loaded: Loaded) {
        self.reading.remove(&key);
        if loaded.stands_in_line() {
            self.early.insert(key, (gains, loaded));
        } else {
            self.loaded(key, gains, loaded);
        }
        while let Some(first) = self.early.first_entry() {
            if self.reading.first().is_some_and(|oldest| oldest < first.key()) {
                break;
            }
            let (key, (gains, loaded)) = first.remove_entry();
            self.loaded(key, gains, loaded);
        }
    }

    /// Asks the store which executions there are, beside the loop.
    fn reconcile(&mut self, now: Timestamp) {
        self.reconcile_at = now.plus(RECONCILE);
        self.look_at_freezes(None);
        let (store, internal, own) = (self.store.clone(), self.internal.clone(), self.part.held);
        tokio::spawn(async move {
            match store.live_in(own).await {
                Ok(live) => drop(internal.send(Internal::Found(live))),
                Err(error) => tracing::warn!(%error, "the list of executions can't be read; trying again"),
            }
        });
    }

    /// Takes on what should be in memory or have a time, and hasn't. What is here already knows better.
    fn found(&mut self, live: &[LiveExecution]) {
        let now = self.clock.now();
        let own = self.part.held;
        for execution in live.iter().filter(|execution| own.contains(execution.shard)) {
            match execution.due_at {
                _ if self.holds.holds(execution.key) => {}
                _ if execution.status == Status::NotStarted => self.request_load(execution.key, false),
                Some(due) if due <= now => self.request_load(execution.key, false),
                Some(_) | None => {}
            }
        }
    }

    fn wake_due(&mut self) {
        let now = self.clock.now();
        if self.reconcile_at <= now {
            self.reconcile(now);
        }
        self.end_freezes(now);
        while let Some(key) = self.timers.take_due(now) {
            match self.slots.get_mut(&key) {
                Some(Slot::Live(live)) => {
                    live.armed = None;
                    self.deliver(key, Event::Due.into());
                }
                // The database failed when it was read.
                Some(Slot::Loading(_)) if !self.loads.contains(&key) => self.loads.push_back(key),
                Some(Slot::Loading(_) | Slot::Closing { .. }) => {}
                None => self.request_load(key, false),
            }
        }
    }

    /// One turn: what can be read is read, what can be decided is decided and sent, what can be called is called.
    fn turn(&mut self) {
        loop {
            self.heed_lanes();
            self.look_at_held();
            self.start_loads();
            while self.commits.len() < BATCHES && !self.lost {
                // With nothing out, half goes first, so that from then on one half is written while the other is decided.
                let share = if self.commits.is_empty() { self.ready.len().div_ceil(2) } else { self.ready.len() };
                let number = self.next_batch();
                let batch = self.decide(number, share.min(BATCH_ROWS));
                if batch.is_empty() && self.ready.is_empty() {
                    break;
                }
                if !batch.is_empty() {
                    self.send(number, batch);
                }
            }
            // What was decided may have made room for others.
            if !self.heed_lanes() {
                break;
            }
        }
        self.start_effects();
        self.in_memory.store(self.slots.len(), Ordering::Relaxed);
        self.stranded_count.store(self.stranded.len(), Ordering::Relaxed);
    }

    /// The number of the next batch.
    fn next_batch(&mut self) -> u64 {
        self.batches += 1;
        self.batches
    }

    /// Has rows written.
    fn send(&mut self, number: u64, batch: Vec<Append>) {
        self.commits.push(Box::pin(self.committer.clone().commit(number, self.part.term, batch)));
    }

    fn committed(&mut self, committed: Committed) {
        let Committed { batch, term, keys, verdict } = committed;
        match verdict {
            Verdict::Written(exceptions) => {
                // What was lost with a whole lease is known as lost, and some of it may be held again.
                if !exceptions.shards.is_empty() && term == self.part.term {
                    self.doubt(exceptions.shards);
                }
                for key in keys {
                    match exceptions.refused.iter().find(|(bad, _)| *bad == key) {
                        None if exceptions.lost.contains(&key) => {}
                        None => self.settle(key, Some(batch)),
                        Some((_, reason)) if self.waits_for(key, batch) => {
                            self.give_up(key, format!("its progress can't be recorded: {reason}"));
                        }
                        Some(_) => {}
                    }
                }
            }
            Verdict::Fenced => {
                tracing::warn!("another process owns the executions now; this engine stops");
                self.lost = true;
            }
            Verdict::Abandoned => {
                tracing::warn!("the engine stopped while the database failed; what wasn't recorded is done again");
                self.lost = true;
            }
        }
    }
}

/// Whether a failure of the store means that nothing works any more.
const fn is_closed(error: &StoreError) -> bool {
    matches!(error, StoreError::Closed)
}
