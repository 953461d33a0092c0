//! What this process may do at this moment: shards, duties, and until when.
//!
//! The keeper (`postgres::keeper`) writes it after each renewal; writer, engine and whoever has a duty read it. It ends by
//! itself at a deadline that is earlier than the one in the database, by a clock that goes on while the process is
//! stopped.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, broadcast, watch};

use super::duty::{Duties, Duty, Term};
use super::ownership::Ownership;
use super::shard::{Owned, Shard, Shards};
use super::word::{Outgoing, Word};

/// Words of others that somebody slow may be behind.
const WORDS: usize = 4096;

/// What a renewal said.
#[derive(Debug)]
pub(super) struct Grant {
    /// Rises whenever this process had to join anew: what it held before is lost then.
    pub(super) term: u64,
    /// Until when it holds.
    pub(super) until: Instant,
    /// Owner and epochs, for the fence.
    pub(super) ownership: Ownership,
    /// The shards that are this process's own.
    pub(super) held: Shards,
    /// Those of them that others should have.
    pub(super) leaving: Shards,
    /// The terms of the duties that are its own and are to stay so.
    pub(super) terms: Vec<Term>,
}

/// What is to be given back with the next renewal.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Returned {
    /// Shards that nothing uses any more.
    pub(super) shards: Shards,
    /// Whether this process is about to stop.
    pub(super) departing: bool,
}

#[derive(Debug, Default)]
struct Book {
    returned: Returned,
    /// How often everything ended.
    lapses: u64,
    #[cfg(test)]
    stopped: bool,
}

/// A handle of it; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Lease(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    shared: bool,
    /// `None`: for ever, or never, depending on whether there is an owner.
    until: watch::Sender<Option<Instant>>,
    ownership: RwLock<Arc<Ownership>>,
    owned: watch::Sender<Owned>,
    duties: Duties,
    book: Mutex<Book>,
    /// The newest step of the tables that was seen, and when it changed.
    tables: Mutex<(i64, Option<Instant>)>,
    nudge: Notify,
    outgoing: Outgoing,
    words: broadcast::Sender<Word>,
}

impl Lease {
    /// Everything for ever: this process has the database for itself.
    pub(super) fn alone(ownership: Ownership) -> Self {
        Self::new(ownership, false)
    }

    /// Nothing yet.
    pub(super) fn shared() -> Self {
        Self::new(Ownership::none(), true)
    }

    fn new(ownership: Ownership, shared: bool) -> Self {
        Self(Arc::new(Shared {
            shared,
            until: watch::Sender::new(None),
            ownership: RwLock::new(Arc::new(ownership)),
            owned: watch::Sender::new(if shared { Owned::NONE } else { Owned::ALL }),
            duties: if shared { Duties::none() } else { Duties::alone() },
            book: Mutex::default(),
            tables: Mutex::default(),
            nudge: Notify::new(),
            outgoing: Outgoing::default(),
            words: broadcast::Sender::new(WORDS),
        }))
    }

    pub(super) fn is_shared(&self) -> bool {
        self.0.shared
    }

    /// What the fence holds rows against.
    pub(super) fn ownership(&self) -> Arc<Ownership> {
        Arc::clone(&self.0.ownership.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn shards(&self) -> watch::Receiver<Owned> {
        self.0.owned.subscribe()
    }

    pub(super) fn duties(&self) -> &Duties {
        &self.0.duties
    }

    pub(super) fn holds(&self) -> bool {
        !self.0.shared || self.0.until.borrow().is_some_and(|until| Instant::now() < until)
    }

    /// For how long it holds; alone, for ever.
    pub(super) fn left(&self) -> Duration {
        if !self.0.shared {
            return Duration::MAX;
        }
        self.0.until.borrow().map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()))
    }

    pub(super) fn holds_shard(&self, shard: Shard) -> bool {
        self.holds() && self.0.owned.borrow().held.contains(shard)
    }

    pub(super) fn release(&self, shards: Shards) {
        if !self.0.shared || shards.is_empty() {
            return;
        }
        let mut book = self.book();
        let given = shards.both(self.0.owned.borrow().held);
        book.returned.shards = book.returned.shards.and(given);
        self.publish(|owned| owned.take_away(given));
        drop(book);
        self.0.nudge.notify_one();
    }

    pub(super) fn depart(&self) {
        if !self.0.shared {
            return;
        }
        let mut book = self.book();
        book.returned.departing = true;
        self.publish(|owned| owned.leaving = owned.held);
        self.end_terms();
        drop(book);
        self.0.nudge.notify_one();
    }

    pub(super) fn tell(&self, word: Word) {
        if self.0.shared {
            self.0.outgoing.add(word);
        }
    }

    /// What is to be told to the others.
    pub(super) fn outgoing(&self) -> &Outgoing {
        &self.0.outgoing
    }

    /// Passes on what another replica said.
    pub(super) fn heard(&self, word: Word) {
        // Nobody may be listening.
        let _ = self.0.words.send(word).is_ok();
    }

    pub(super) fn words(&self) -> broadcast::Receiver<Word> {
        self.0.words.subscribe()
    }

    /// Notes to which step the tables have been brought. Later ones only add to them, but what a connection has prepared
    /// before is of no use any more.
    pub(super) fn saw_tables(&self, step: i64) {
        let mut tables = self.0.tables.lock().unwrap_or_else(PoisonError::into_inner);
        if tables.0 != 0 && tables.0 != step {
            tracing::info!(step, "a replica of another version has brought the tables further");
            tables.1 = Some(Instant::now());
        }
        tables.0 = step;
    }

    /// When the tables were brought further by another replica, if they were.
    pub(super) fn tables_changed(&self) -> Option<Instant> {
        self.0.tables.lock().unwrap_or_else(PoisonError::into_inner).1
    }

    /// Makes the keeper look at once: something changed, or a write was refused.
    pub(super) fn nudge(&self) {
        if self.0.shared {
            self.0.nudge.notify_one();
        }
    }

    /// Returns when the keeper should look at once.
    pub(super) async fn nudged(&self) {
        self.0.nudge.notified().await;
    }

    /// What the next renewal is to give back.
    pub(super) fn to_return(&self) -> Returned {
        self.book().returned
    }

    /// Whether there is a lease that has not been ended.
    pub(super) fn is_granted(&self) -> bool {
        self.0.until.borrow().is_some()
    }

    /// How often everything ended so far.
    pub(super) fn lapses(&self) -> u64 {
        self.book().lapses
    }

    /// Takes over what a renewal said that gave back `asked`, unless everything ended since it was begun, when there had
    /// been so many `lapses`. Whether it holds.
    pub(super) fn grant(&self, grant: Grant, asked: Returned, lapses: u64) -> bool {
        let mut book = self.book();
        if book.lapses != lapses || grant.until <= Instant::now() {
            return false;
        }
        // What was given back is another's now, or taken again under a new epoch; what is as before is given back again.
        let before = self.ownership();
        let same = |shard: &Shard| grant.held.contains(*shard) && grant.ownership.epoch(*shard) == before.epoch(*shard);
        let still: Shards = asked.shards.iter().filter(same).collect();
        book.returned.shards = book.returned.shards.without(asked.shards.without(still));
        let (departing, kept_back) = (book.returned.departing, book.returned.shards);
        // First the fence, so that whoever sees a shard can write in it.
        *self.0.ownership.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(grant.ownership);
        self.0.until.send_replace(Some(grant.until));
        let held = grant.held.without(kept_back);
        let leaving = if departing { held } else { grant.leaving.both(held) };
        self.publish(|owned| *owned = Owned { held, leaving, term: grant.term });
        for duty in Duty::ALL {
            let term = grant.terms.iter().find(|term| term.duty() == duty);
            self.0.duties.set(duty, term.copied().filter(|_| !departing));
        }
        true
    }

    /// Ends everything that was granted.
    pub(super) fn lapse(&self) {
        self.lapse_in(&mut self.book());
    }

    fn lapse_in(&self, book: &mut Book) {
        book.returned.shards = Shards::NONE;
        book.lapses += 1;
        self.0.until.send_replace(None);
        *self.0.ownership.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Ownership::none());
        self.publish(|owned| *owned = Owned { term: owned.term, ..Owned::NONE });
        self.end_terms();
    }

    /// Whether the keeper is to do nothing any more, as if the process were stopped.
    #[cfg(test)]
    pub(super) fn is_stopped(&self) -> bool {
        self.book().stopped
    }

    /// From now on the keeper does nothing any more.
    #[cfg(test)]
    pub(super) fn stop_the_keeper(&self) {
        self.book().stopped = true;
        self.nudge();
    }

    /// Ends what was granted until then, unless it was renewed since.
    fn lapse_of(&self, deadline: Option<Instant>) {
        let mut book = self.book();
        if *self.0.until.borrow() == deadline {
            tracing::warn!("this replica's lease is over, because it was not renewed in time; others take what it had");
            self.lapse_in(&mut book);
        }
    }

    /// Ends what was granted as soon as its time is over. To be run beside the keeper, which may be waiting for an answer
    /// just then.
    pub(super) async fn watch_the_time(self) {
        let mut until = self.0.until.subscribe();
        loop {
            let deadline = *until.borrow_and_update();
            let over = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = until.changed() => if changed.is_err() { return },
                () = over => self.lapse_of(deadline),
            }
        }
    }

    fn end_terms(&self) {
        for duty in Duty::ALL {
            self.0.duties.set(duty, None);
        }
    }

    /// Tells only of what is different.
    fn publish(&self, change: impl FnOnce(&mut Owned)) {
        self.0.owned.send_if_modified(|owned| {
            let before = *owned;
            change(owned);
            *owned != before
        });
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Nothing panics while it holds this.
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
