//! The loop that empties the outbox.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::lane::{Go, Lane, wait};
use super::send::{Outcome, Way, send};
use super::{Composer, ReporterOptions, Shared};
use crate::clock::{Clock, Timestamp};
use crate::forge::{ForgeError, ForgeErrorKind, Forges};
use crate::model::{Message, RepositoryName};
use crate::store::{OutboxEntry, OutboxId, Store, StoreError};
use crate::telemetry::metrics;

/// How many rows one look at the outbox takes, besides those that are under way.
const LOOK: usize = 256;
/// How many looks are taken in a row before what has ended is attended to.
const ROUNDS: u32 = 8;
/// How long rows of a busy forge are put aside when they would hide those of another one. They come back as soon
/// as the forge has room; this is for the case that nobody lives to bring them back.
const ASIDE: Duration = Duration::from_secs(60);
/// After how many tries a message is given up whatever the reason: some days at the longest wait.
const LAST_TRY: u32 = 1000;

/// The state of the draining task.
pub(super) struct Drain {
    store: Store,
    clock: Clock,
    options: Arc<ReporterOptions>,
    shared: Arc<Shared>,
    forges: Forges,
    composer: Option<Arc<dyn Composer>>,
    /// One per forge, in the order of `forges`.
    lanes: Vec<Lane>,
    changed: watch::Receiver<u64>,
    tasks: JoinSet<Ended>,
    flights: HashMap<Id, Flight>,
    /// The order keys of outdated rows whose end is being written, by task.
    clearing: HashMap<Id, Vec<String>>,
    /// The commits and contexts, and the pull requests, that have a row under way.
    busy: HashSet<String>,
    /// Rows up to this one may have been sent by an earlier process.
    inherited: OutboxId,
    /// Inherited rows of which it's known that they do not stand on the forge.
    not_there: HashSet<OutboxId>,
    /// Rows that this process sent without hearing what became of them.
    lost: HashSet<OutboxId>,
    /// Until when comments that were just written are left as they are, by order key.
    fresh: HashMap<String, Timestamp>,
    /// When something that this process put off falls due.
    timers: BTreeSet<Timestamp>,
    /// Until when nothing is started, because the store can't be written.
    held_until: Option<Timestamp>,
    /// The store said that another process has the duty: nothing more is started.
    off_duty: bool,
    /// Until when inherited rows wait: the process that reported before may have requests on their way.
    settling_until: Timestamp,
}

/// What a task of this loop did.
enum Ended {
    /// A try to send a row.
    Flight(Box<OutboxEntry>, Outcome),
    /// Noted that these rows need not be sent any more.
    Cleared(Vec<OutboxId>, Result<(), StoreError>),
}

/// A row under way.
struct Flight {
    id: OutboxId,
    order_key: String,
    lane: usize,
    repository: RepositoryName,
}

impl Drain {
    /// `settle`: for how long what an earlier process sent may still be on its way.
    pub(super) async fn new(
        store: Store,
        clock: Clock,
        forges: Forges,
        composer: Option<Arc<dyn Composer>>,
        options: ReporterOptions,
        shared: Arc<Shared>,
        settle: Duration,
    ) -> Result<Self, StoreError> {
        let settling_until = clock.now().plus(settle);
        let changed = store.outbox_changed();
        let inherited = OutboxId(store.last_outbox_id().await?);
        let lane = |(index, forge)| Lane::new(Arc::clone(forge), forges.repositories_of(index).len());
        let lanes = forges.all().iter().enumerate().map(lane).collect();
        Ok(Self {
            lanes,
            options: Arc::new(options),
            tasks: JoinSet::new(),
            flights: HashMap::new(),
            clearing: HashMap::new(),
            busy: HashSet::new(),
            not_there: HashSet::new(),
            lost: HashSet::new(),
            fresh: HashMap::new(),
            timers: BTreeSet::new(),
            held_until: None,
            off_duty: false,
            settling_until,
            store,
            clock,
            forges,
            composer,
            shared,
            changed,
            inherited,
        })
    }

    /// Works until `stop`, or until the store is closed.
    pub(super) async fn run(&mut self, stop: CancellationToken) {
        while !stop.is_cancelled() && !self.off_duty {
            let next = match self.look().await {
                Ok(next) => next,
                Err(StoreError::Closed | StoreError::Fenced) => break,
                Err(error) => {
                    self.hold(&error);
                    self.held_until
                }
            };
            self.publish();
            tokio::select! {
                () = stop.cancelled() => break,
                // That the sender is gone means that the store is closed; the next look says so.
                _ = self.changed.changed() => {}
                () = sleep_until(&self.clock, next) => {}
                Some(done) = self.tasks.join_next_with_id() => self.settle(done).await,
            }
            // What has ended in the meantime needs only one look.
            while let Some(done) = self.tasks.try_join_next_with_id() {
                self.settle(done).await;
            }
        }
        let grace = self.options.grace;
        if tokio::time::timeout(grace, self.finish()).await.is_err() {
            tracing::info!(requests = self.flights.len(), "stopped while messages were under way");
        }
        self.publish();
    }

    async fn finish(&mut self) {
        while let Some(done) = self.tasks.join_next_with_id().await {
            self.settle(done).await;
        }
    }

    /// Starts whatever is due and has room; says when the next row falls due.
    async fn look(&mut self) -> Result<Option<Timestamp>, StoreError> {
        let now = self.clock.now();
        if let Some(until) = self.held_until.filter(|until| *until > now) {
            return Ok(Some(until));
        }
        self.held_until = None;
        self.fresh.retain(|_, until| *until > now);
        self.timers = self.timers.split_off(&now.plus(Duration::from_millis(1)));
        let mut rounds = 0;
        loop {
            let limit = LOOK + self.busy.len();
            let entries = self.store.due_outbox(u32::try_from(limit).unwrap_or(u32::MAX)).await?;
            let full = entries.len() >= limit;
            if !self.start(entries, full).await? && !self.bring_back().await? {
                break;
            }
            rounds += 1;
            if rounds == ROUNDS {
                // There is more, but first what has ended in the meantime.
                return Ok(Some(now));
            }
        }
        let stored = self.store.next_outbox_due().await?.filter(|due| *due > now);
        Ok(self.timers.first().copied().into_iter().chain(stored).min())
    }

    /// Starts those of `entries` that can go, and moves out of the way what can't. Whether another look may
    /// show more.
    async fn start(&mut self, entries: Vec<OutboxEntry>, full: bool) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let (mut outdated, mut homeless) = (Vec::new(), Vec::new());
        let mut put_off: BTreeMap<Timestamp, Vec<OutboxId>> = BTreeMap::new();
        for entry in entries {
            if self.busy.contains(&entry.order_key) {
                continue;
            }
            // Not even passed over before that: what comes after it must not arrive before it.
            if entry.id <= self.inherited && self.settling_until > now {
                put_off.entry(self.settling_until).or_default().push(entry.id);
                continue;
            }
            if entry.newer {
                outdated.push((entry.id, entry.order_key));
                continue;
            }
            let Some(index) = self.forges.index_of(entry.message.repository()) else {
                homeless.push(entry);
                continue;
            };
            let Some(lane) = self.lanes.get_mut(index) else { continue };
            if matches!(entry.message, Message::Comment { .. })
                && (self.composer.is_none() || !lane.forge.capabilities().pull_requests)
            {
                outdated.push((entry.id, entry.order_key));
                continue;
            }
            let repository = entry.message.repository();
            let fresh = self.fresh.get(&entry.order_key).copied();
            match (lane.may_go(repository, now, &self.options), fresh) {
                (Go::At(until), fresh) => {
                    put_off.entry(Some(until).max(fresh).unwrap_or(until)).or_default().push(entry.id)
                }
                (_, Some(until)) => put_off.entry(until).or_default().push(entry.id),
                (Go::Now, None) => self.fly(index, entry),
                (Go::NoRoom, None) if full => {
                    lane.aside.insert(entry.id, repository.clone());
                    put_off.entry(now.plus(ASIDE)).or_default().push(entry.id);
                }
                // It stays where it is: a look that saw everything hides nothing.
                (Go::NoRoom, None) => {}
            }
        }
        let again = !homeless.is_empty() || (full && (!put_off.is_empty() || !outdated.is_empty()));
        self.clear(outdated);
        for entry in homeless {
            let reason = "the configuration names this repository no more, so there is no forge to tell";
            tracing::warn!(about = entry.order_key, reason, "a message is given up");
            self.store.outbox_failed(entry.id, reason).await?;
            self.forget(entry.id);
        }
        for (until, ids) in put_off {
            self.store.outbox_defer(&ids, until).await?;
            self.timers.insert(until);
        }
        Ok(again)
    }

    /// Has it written that rows need not be sent any more. Meanwhile others are sent: in a burst of pushes there is
    /// always something outdated, and waiting for the disk each time would leave the forge idle.
    fn clear(&mut self, outdated: Vec<(OutboxId, String)>) {
        if outdated.is_empty() {
            return;
        }
        let (ids, keys): (Vec<_>, Vec<_>) = outdated.into_iter().unzip();
        self.busy.extend(keys.iter().cloned());
        let store = self.store.clone();
        let task = self.tasks.spawn(async move {
            let written = store.outbox_obsolete(&ids).await;
            Ended::Cleared(ids, written)
        });
        self.clearing.insert(task.id(), keys);
    }

    /// Makes rows due again that were put aside, where there's room now. Whether there were any.
    async fn bring_back(&mut self) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let mut back = Vec::new();
        for lane in &mut self.lanes {
            let may_go = |repository: &RepositoryName| lane.may_go(repository, now, &self.options) == Go::Now;
            let ids: Vec<OutboxId> = lane
                .aside
                .iter()
                .filter(|(_, repository)| may_go(repository))
                .take(LOOK / 2)
                .map(|(id, _)| *id)
                .collect();
            ids.iter().for_each(|id| drop(lane.aside.remove(id)));
            back.extend(ids);
        }
        if !back.is_empty() {
            self.store.outbox_defer(&back, now).await?;
        }
        Ok(!back.is_empty())
    }

    fn fly(&mut self, index: usize, entry: OutboxEntry) {
        let Some(lane) = self.lanes.get_mut(index) else { return };
        let inherited = entry.id <= self.inherited && !self.not_there.contains(&entry.id);
        let look_first = inherited || entry.look_first || self.lost.contains(&entry.id);
        let way = Way {
            store: self.store.clone(),
            forge: Arc::clone(&lane.forge),
            composer: self.composer.clone(),
            public_url: self.options.public_url.clone(),
        };
        let repository = entry.message.repository().clone();
        lane.aside.remove(&entry.id);
        lane.started(&repository);
        let flight = Flight { id: entry.id, order_key: entry.order_key.clone(), lane: index, repository };
        self.busy.insert(entry.order_key.clone());
        let task = self.tasks.spawn(async move {
            let outcome = send(&way, &entry, look_first).await;
            Ended::Flight(Box::new(entry), outcome)
        });
        self.flights.insert(task.id(), flight);
    }

    /// Takes note of what a task did.
    async fn settle(&mut self, done: Result<(Id, Ended), JoinError>) {
        let task = done.as_ref().map_or_else(JoinError::id, |(task, _)| *task);
        for key in self.clearing.remove(&task).unwrap_or_default() {
            self.busy.remove(&key);
        }
        let written = match done {
            Ok((_, Ended::Cleared(ids, written))) => {
                if written.is_ok() {
                    ids.into_iter().for_each(|id| self.forget(id));
                }
                written
            }
            Ok((_, Ended::Flight(entry, outcome))) => match self.landed(task) {
                Some(flight) => self.note(&flight, *entry, outcome).await,
                None => Ok(()),
            },
            Err(error) => {
                tracing::error!(%error, "sending a message broke off");
                match self.landed(task) {
                    Some(flight) => {
                        self.lost.insert(flight.id);
                        let at = self.clock.now().plus(self.options.longest_wait);
                        self.timers.insert(at);
                        self.store.outbox_retry(flight.id, at, "sending it broke off; see the log").await
                    }
                    None => Ok(()),
                }
            }
        };
        if let Err(error) = written {
            self.hold(&error);
        }
    }

    /// A row that is under way no more, whatever became of it.
    fn landed(&mut self, task: Id) -> Option<Flight> {
        let flight = self.flights.remove(&task)?;
        self.busy.remove(&flight.order_key);
        if let Some(lane) = self.lanes.get_mut(flight.lane) {
            lane.ended(&flight.repository);
        }
        Some(flight)
    }

    /// Takes note of what became of a try.
    async fn note(&mut self, flight: &Flight, entry: OutboxEntry, outcome: Outcome) -> Result<(), StoreError> {
        match outcome {
            Outcome::Sent => {
                self.arrived(flight, entry);
                Ok(())
            }
            Outcome::Unrecorded(error) => {
                self.lost.insert(flight.id);
                Err(error)
            }
            Outcome::OffDuty => {
                // This is about to be dropped.
                self.held_until = Some(self.clock.now().plus(Duration::from_secs(1)));
                Ok(())
            }
            Outcome::NotLookedUp(error) => self.put_off(flight, &entry, error).await,
            Outcome::NotComposed(reason) => {
                tracing::warn!(about = entry.order_key, reason, "a comment could not be put together");
                let at = self.clock.now().plus(wait(entry.attempts.saturating_add(1), &self.options));
                self.timers.insert(at);
                self.store.outbox_retry(flight.id, at, &reason).await
            }
            Outcome::NotTaken(error) => {
                if error.may_have_arrived {
                    self.lost.insert(flight.id);
                    self.not_there.remove(&flight.id);
                } else {
                    self.lost.remove(&flight.id);
                    if flight.id <= self.inherited {
                        self.not_there.insert(flight.id);
                    }
                }
                self.put_off(flight, &entry, error).await
            }
        }
    }

    fn arrived(&mut self, flight: &Flight, entry: OutboxEntry) {
        self.forget(flight.id);
        if let Some(lane) = self.lanes.get_mut(flight.lane) {
            lane.answered(&flight.repository, self.clock.now());
            lane.stats.sent += 1;
            metrics().message(&lane.stats.name, "sent");
            lane.stats.last_error = None;
        }
        if matches!(entry.message, Message::Comment { .. }) {
            self.fresh.insert(flight.order_key.clone(), self.clock.now().plus(self.options.comment_pace));
        }
        // Nobody has to listen.
        let _ = self.shared.sent.send(entry.message).is_ok();
    }

    /// Decides about another try, and writes that down.
    async fn put_off(&mut self, flight: &Flight, entry: &OutboxEntry, error: ForgeError) -> Result<(), StoreError> {
        let Some(lane) = self.lanes.get_mut(flight.lane) else { return Ok(()) };
        let now = self.clock.now();
        let pause = lane.trouble(&flight.repository, &error, now, &self.options);
        let tries = entry.attempts.saturating_add(1);
        if gives_up(error.kind, tries, &self.options) {
            lane.stats.failed += 1;
            metrics().message(&lane.stats.name, "failed");
            tracing::warn!(
                forge = lane.stats.name,
                about = entry.order_key,
                tries,
                reason = error.message,
                "a message is given up"
            );
            self.forget(flight.id);
            return self.store.outbox_failed(flight.id, &error.message).await;
        }
        metrics().message(&lane.stats.name, "put off");
        tracing::debug!(forge = lane.stats.name, about = entry.order_key, tries, reason = error.message, "put off");
        if let (ForgeErrorKind::RateLimited { .. }, Some(until)) = (error.kind, pause) {
            // The forge's own limits are no failure of the message.
            self.timers.insert(until);
            return self.store.outbox_defer(&[flight.id], until).await;
        }
        let mut at = now.plus(wait(tries, &self.options)).max(pause.unwrap_or(now));
        let unanswered = error.kind == ForgeErrorKind::Unreachable || matches!(entry.message, Message::Comment { .. });
        if error.may_have_arrived && unanswered {
            at = at.max(now.plus(self.options.late_by));
        }
        self.timers.insert(at);
        self.store.outbox_retry(flight.id, at, &error.message).await
    }

    /// Nothing more is to be known about a row that has ended.
    fn forget(&mut self, id: OutboxId) {
        self.lost.remove(&id);
        self.not_there.remove(&id);
    }

    /// The store failed: without it nothing can be sent, or it would be sent again and again.
    fn hold(&mut self, error: &StoreError) {
        if matches!(error, StoreError::Fenced) {
            tracing::debug!("another replica reports by now");
            self.off_duty = true;
        } else {
            tracing::error!(%error, "the outbox can't be worked off");
        }
        self.held_until = Some(self.clock.now().plus(self.options.longest_wait.min(Duration::from_secs(5))));
    }

    /// The rows that are on their way to their forges, and those that may have arrived without that being recorded.
    pub(super) fn under_way(&self) -> Vec<OutboxId> {
        self.flights.values().map(|flight| flight.id).chain(self.lost.iter().copied()).collect()
    }

    fn publish(&self) {
        let mut stats = self.shared.forges.lock().unwrap_or_else(PoisonError::into_inner);
        stats.clear();
        stats.extend(self.lanes.iter().map(|lane| lane.stats.clone()));
    }
}

/// Whether another try can't help.
fn gives_up(kind: ForgeErrorKind, tries: u32, options: &ReporterOptions) -> bool {
    match kind {
        ForgeErrorKind::Refused => true,
        ForgeErrorKind::NotFound | ForgeErrorKind::Forbidden | ForgeErrorKind::Auth => tries >= options.tries,
        ForgeErrorKind::Unreachable | ForgeErrorKind::Server => tries >= LAST_TRY,
        ForgeErrorKind::RateLimited { .. } => false,
    }
}

async fn sleep_until(clock: &Clock, moment: Option<Timestamp>) {
    match moment {
        Some(moment) => clock.sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
