//! What other replicas did that concerns this engine: new executions, wishes, freezes, changes, and executions that wait
//! for one another.
//!
//! Words make it known at once, and a look each second makes sure. Alone, there is nothing to look for.

use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

use super::slot::{Incoming, What};
use super::{Internal, Shell};
use crate::clock::Timestamp;
use crate::engine::decide::Event;
use crate::engine::handle::Reply;
use crate::engine::lanes::{self, Lanes};
use crate::engine::{Changed, EngineError, wish};
use crate::model::{ExecutionKey, Status};
use crate::store::{LaneMember, LiveExecution, Shard, Shards, Store, StoreError, Wish, WishId, Word};

/// How often it is looked what is new.
const POLL: Duration = Duration::from_secs(1);
/// How often it is looked whether executions wait for one another, if some could.
const CIRCLES: Duration = Duration::from_secs(5);
/// How many wishes are remembered as done, so that a look that was under way doesn't bring them again.
const REMEMBERED: usize = 10_000;
/// Who cancels what would wait for ever.
const LONGBOAT: &str = "longboat";

/// What is new in the store.
pub(super) struct News {
    /// The newest execution.
    newest: ExecutionKey,
    created: Vec<LiveExecution>,
    wishes: Vec<Wish>,
    /// The number of the latest change of the freezes.
    freezes: i64,
}

impl News {
    async fn read(store: &Store, newest: ExecutionKey, of: Shards) -> Result<Self, StoreError> {
        let (newest, created) = store.created_since(newest).await?;
        Ok(Self { newest, created, wishes: store.wishes(of).await?, freezes: store.freezes_number().await? })
    }
}

/// An execution that has to give way: its shard, and why.
pub(super) type Victim = (ExecutionKey, Shard, String);

impl Shell {
    /// Has what other replicas say passed on.
    pub(super) fn listen(&self) -> AbortOnDropHandle<()> {
        let words = self.committer.ledger.words();
        AbortOnDropHandle::new(tokio::spawn(pass_on(words, self.changed.clone(), self.internal.clone())))
    }

    /// Looks for what is due to be looked for.
    pub(super) fn look_around(&mut self, now: Timestamp) {
        if self.part.poll_at <= now {
            self.poll(now);
        }
        let (due, looking) = self.part.circles;
        if due <= now && !looking {
            self.part.circles.0 = now.plus(CIRCLES);
            if self.holds.has_awaited() {
                self.look_for_circles(now);
            }
        }
    }

    /// Asks the store what is new, beside the loop.
    pub(super) fn poll(&mut self, now: Timestamp) {
        self.part.poll_at = now.plus(POLL);
        if self.part.polling.0 {
            self.part.polling.1 = true;
            return;
        }
        self.part.polling = (true, false);
        let (store, newest, own) = (self.store.clone(), self.part.newest, self.part.held);
        let internal = self.internal.clone();
        tokio::spawn(async move {
            let news = News::read(&store, newest, own).await;
            // The loop may be gone.
            let _ = internal.send(Internal::Polled(news.map(Box::new))).is_ok();
        });
    }

    /// The store has answered.
    pub(super) fn polled(&mut self, news: Result<Box<News>, StoreError>) {
        let (_, again) = std::mem::take(&mut self.part.polling);
        if again {
            self.poll(self.clock.now());
        }
        let news = match news {
            Ok(news) => *news,
            Err(StoreError::Closed) => return,
            Err(error) => {
                tracing::warn!(%error, "what other replicas did can't be read; trying again");
                return;
            }
        };
        self.part.newest = self.part.newest.max(news.newest);
        let own = self.part.own();
        for execution in news.created.iter().filter(|execution| own.contains(execution.shard)) {
            if execution.status == Status::NotStarted && !self.holds.holds(execution.key) {
                self.request_load(execution.key, false);
            }
        }
        if news.freezes != self.holds.number {
            self.look_at_freezes(None);
        }
        news.wishes.into_iter().for_each(|wish| self.take_up(wish));
    }

    /// Does what somebody asks at another replica, and answers.
    fn take_up(&mut self, wish: Wish) {
        let Wish { id, execution, shard, document } = wish;
        if !self.part.held.contains(shard) || !self.part.wishes.insert(id) {
            return;
        }
        if self.part.wishes.len() > REMEMBERED {
            self.part.wishes.pop_first();
        }
        let (reply, answer) = oneshot::channel();
        let reply = Reply::Person(reply);
        match wish::read_command(&document) {
            Ok(command) => {
                self.deliver(execution, Incoming { what: What::Command(command), reply: Some(reply) });
            }
            Err(error) => reply.send(Err(error)),
        }
        let (store, ledger) = (self.store.clone(), std::sync::Arc::clone(&self.committer.ledger));
        let internal = self.internal.clone();
        tokio::spawn(async move {
            let outcome = answer.await.unwrap_or(Err(EngineError::Stopped));
            let answered = match wish::write_answer(outcome) {
                Some(document) => store.answer_wish(id, document).await,
                // Whoever has it next does it.
                None => Err(StoreError::Fenced),
            };
            if answered.is_ok() {
                ledger.tell(Word::Wishes);
            } else {
                let _ = internal.send(Internal::Unanswered(id)).is_ok();
            }
        });
    }

    /// A wish has no answer, and is taken up again if it is there again.
    pub(super) fn unanswered(&mut self, id: WishId) {
        self.part.wishes.remove(&id);
    }

    /// Somebody waits in a lane for whose end others wait.
    pub(super) fn suspect_a_circle(&mut self) {
        let now = self.clock.now();
        if self.part.shared && !self.part.circles.1 {
            self.look_for_circles(now);
        }
    }

    /// Looks among the executions of all replicas for some that wait for one another, beside the loop.
    fn look_for_circles(&mut self, now: Timestamp) {
        self.part.circles = (now.plus(CIRCLES), true);
        let (store, internal, freezes) = (self.store.clone(), self.internal.clone(), self.holds.freezes());
        tokio::spawn(async move {
            let found = store.awaited_lanes().await.map(|found| {
                let mut members: Vec<LaneMember> = found.into_iter().map(lanes::as_it_stands).collect();
                // Who is frozen doesn't stand in line; what others wait for isn't.
                members.retain(|member| {
                    let waits = member.status == Status::NotStarted && member.awaited_by.is_empty();
                    !waits || freezes.hold_of(&member.application, now).is_none()
                });
                Lanes::circles(&members)
            });
            let _ = internal.send(Internal::Circles(found)).is_ok();
        });
    }

    /// Of executions that wait for one another, this engine ends those that are its own.
    pub(super) fn break_circles(&mut self, found: Result<Vec<Victim>, StoreError>) {
        self.part.circles.1 = false;
        match found {
            Ok(victims) => {
                let own = self.part.held;
                for (key, _, reason) in victims.into_iter().filter(|(_, shard, _)| own.contains(*shard)) {
                    let event = Event::Cancel { by: LONGBOAT.to_owned(), reason: Some(reason), superseded: false };
                    self.deliver(key, event.into());
                }
            }
            Err(StoreError::Closed) => {}
            Err(error) => tracing::warn!(%error, "who stands in a lane can't be read; trying again"),
        }
    }

    /// Says in the store up to which change the freezes are heeded here, so that whoever froze something knows.
    pub(super) fn say_what_is_heeded(&self) {
        if !self.part.shared {
            return;
        }
        let (store, number) = (self.store.clone(), self.holds.number);
        let ledger = std::sync::Arc::clone(&self.committer.ledger);
        tokio::spawn(async move {
            let said = async {
                match ledger.replicas().await?.into_iter().find(|replica| replica.own) {
                    Some(own) => store.note_heeded(&own.id, number).await,
                    // Nobody waits for one without a lease.
                    None => Ok(()),
                }
            };
            if let Err(error) = said.await {
                tracing::warn!(%error, "it can't be noted that the freezes are heeded");
            }
        });
    }
}

/// Passes on what other replicas say: changes to whoever watches, the rest to the loop, which looks for itself.
async fn pass_on(
    mut words: broadcast::Receiver<Word>,
    changed: broadcast::Sender<Changed>,
    internal: mpsc::UnboundedSender<Internal>,
) {
    loop {
        let (change, look) = match words.recv().await {
            Ok(Word::Changed { id, status, seq }) => (Some(Changed { id, status, seq }), false),
            Ok(Word::ManyChanged) => (Some(Changed::MANY), false),
            Ok(Word::Work(_) | Word::Wishes | Word::Freezes) => (None, true),
            Ok(Word::Catalog) => (None, false),
            Err(RecvError::Lagged(_)) => (Some(Changed::MANY), true),
            Err(RecvError::Closed) => return,
        };
        // Nobody may be watching.
        let _ = change.is_none_or(|change| changed.send(change).is_ok());
        if look && internal.send(Internal::Heard).is_err() {
            return;
        }
    }
}
