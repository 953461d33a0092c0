//! What Longboat says to the world: it drains the outbox into the forges.
//!
//! A change of state and the message that speaks of it are one transaction in the store; this room brings
//! a status to its commit, in order per commit and context, once, and as late as the forge makes it, and keeps
//! the one comment of a pull request up to date. It is the only reader of the outbox:
//!
//! - [`Reporter`] owns a task (`drain`) that looks for rows that are due, at each change of the outbox and
//!   each time that something falls due on the [`Clock`]; per commit and context and per pull request one
//!   request is under way, per forge a few.
//! - One row's way to the forge and back into the store is in `send`. A row that may have been sent
//!   already (the answer was lost, or it's older than this process) is looked up on the commit first.
//! - What a comment says is put together by a [`Composer`] when it is sent; `comment` brings it to the pull request.
//! - How a forge fares is in `lane`: several failures in a row make a pause in which nothing goes to a repository, and
//!   those of several, or the forge's own word, one in which nothing goes to the forge. Others don't notice.
//! - What was given up gets another try now and then for a day (`revive`).
//! - Of several processes on one database, one reports at a time (`term`).

mod comment;
mod drain;
mod lane;
mod revive;
mod send;
mod term;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::clock::{Clock, Timestamp};
use crate::forge::Forges;
use crate::model::{Comment, Message, RepositoryName};
use crate::store::{Duty, Store, StoreError, Terms, while_on_duty};
use term::Reporting;

/// How many messages a slow listener of [`Reporter::subscribe`] may lag behind before it misses some.
const LISTENER_BUFFER: usize = 256;

/// How the reporter works.
#[derive(Debug, Clone)]
pub struct ReporterOptions {
    /// The server's public address; without one, statuses and comments carry no link.
    pub public_url: Option<String>,
    /// How many requests may be under way to one forge; one more if all of them are about other repositories.
    pub per_forge: usize,
    /// The wait after a first failure; it doubles with each further one.
    pub first_wait: Duration,
    /// The longest wait between two tries.
    pub longest_wait: Duration,
    /// After how many answers like "not found" or "no permission" a message is given up.
    pub tries: u32,
    /// The shortest time between two changes of one comment: what happens in between is told by the next one.
    pub comment_pace: Duration,
    /// How long a forge that didn't answer may still be at work: not before is it looked whether a message arrived. For
    /// a comment, also if there was an answer that says nothing about it (a gateway's 502).
    pub late_by: Duration,
    /// How long messages wait at a start that an earlier process of this machine may have sent: it may have been killed
    /// a moment ago, and what it wrote to its connections still arrives.
    pub settle: Duration,
    /// How often it is looked for messages that were given up and have rested.
    pub revive: Duration,
    /// How long [`Reporter::shutdown`] waits for requests that are under way.
    pub grace: Duration,
}

impl Default for ReporterOptions {
    fn default() -> Self {
        Self {
            public_url: None,
            per_forge: 8,
            first_wait: Duration::from_secs(1),
            longest_wait: Duration::from_secs(300),
            tries: 5,
            comment_pace: Duration::from_secs(5),
            late_by: Duration::from_secs(10),
            settle: Duration::from_secs(2),
            revive: Duration::from_secs(300),
            grace: Duration::from_secs(5),
        }
    }
}

/// Puts together what the comment of a pull request says.
#[async_trait]
pub trait Composer: Send + Sync + 'static {
    /// What the comment says as things stand now; `None`: there is nothing to say about this pull request.
    ///
    /// # Errors
    /// Why it can't be told for now, in words. It is asked again later.
    async fn compose(&self, repository: &RepositoryName, pull_request: u64) -> Result<Option<Comment>, String>;
}

/// How reporting goes, to be shown to people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReporterStats {
    /// Messages that wait to be sent, those under way included.
    pub waiting: u64,
    /// One entry per forge of the configuration.
    pub forges: Vec<ForgeStats>,
}

/// How reporting to one forge goes, since this process started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ForgeStats {
    /// The forge's name in the configuration.
    pub name: String,
    /// Requests under way.
    pub in_flight: usize,
    /// Messages that arrived.
    pub sent: u64,
    /// Messages that were given up.
    pub failed: u64,
    /// Until when nothing goes there, if it's at rest.
    pub paused_until: Option<Timestamp>,
    /// The last trouble and when it was; none once a later message arrived.
    pub last_error: Option<(Timestamp, String)>,
}

/// Drains the outbox until it is shut down, or dropped, which waits for nothing; while it is this process that reports.
#[derive(Debug)]
pub struct Reporter {
    store: Store,
    stop: DropGuard,
    task: JoinHandle<()>,
    shared: Arc<Shared>,
}

/// Shows how each forge fares; outlives the reporter.
#[derive(Debug, Clone)]
pub struct ReporterView(Arc<Shared>);

impl ReporterView {
    /// One entry per forge of the configuration.
    pub fn forges(&self) -> Vec<ForgeStats> {
        self.0.forges.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What the draining task shows to the outside.
#[derive(Debug)]
struct Shared {
    forges: Mutex<Vec<ForgeStats>>,
    sent: broadcast::Sender<Message>,
}

impl Reporter {
    /// Starts to drain the outbox, whenever it is this process's to do so. Without a `composer`, no comments are written.
    ///
    /// # Errors
    /// If the store can't be read.
    pub async fn start(
        store: Store,
        clock: Clock,
        forges: Forges,
        composer: Option<Arc<dyn Composer>>,
        options: ReporterOptions,
    ) -> Result<Self, StoreError> {
        let terms = store.duty(Duty::Reports);
        Self::start_in(terms, store, clock, forges, composer, options).await
    }

    /// As [`Reporter::start`], in these terms.
    ///
    /// # Errors
    /// If the store can't be read.
    pub async fn start_in(
        terms: Terms,
        store: Store,
        clock: Clock,
        forges: Forges,
        composer: Option<Arc<dyn Composer>>,
        options: ReporterOptions,
    ) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared { forges: Mutex::default(), sent: broadcast::Sender::new(LISTENER_BUFFER) });
        let stop = CancellationToken::new();
        let reporting =
            Reporting { store: store.clone(), clock, forges, composer, options, shared: Arc::clone(&shared) };
        let now = *terms.borrow();
        // What is in the outbox by now is inherited; what comes after this returns is not.
        let mut first = match now {
            Some(term) => Some((term, reporting.begin(term).await?)),
            None => None,
        };
        let stopping = stop.clone();
        let work = while_on_duty(terms, stop.clone(), move |term| {
            let begun = first.take().filter(|(of, _)| *of == term).map(|(_, drain)| drain);
            reporting.clone().work(term, begun, stopping.clone())
        });
        Ok(Self { store, stop: stop.drop_guard(), task: tokio::spawn(work), shared })
    }

    /// How it goes.
    ///
    /// # Errors
    /// If the store can't be read.
    pub async fn stats(&self) -> Result<ReporterStats, StoreError> {
        let waiting = self.store.outbox_waiting().await?;
        let forges = self.shared.forges.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(ReporterStats { waiting, forges })
    }

    /// Every message from now on, once it stands on the forge. For a repository without a forge that is when
    /// its turn came.
    pub fn subscribe(&self) -> broadcast::Receiver<Message> {
        self.shared.sent.subscribe()
    }

    /// How each forge fares, for whoever shows it.
    pub fn view(&self) -> ReporterView {
        ReporterView(Arc::clone(&self.shared))
    }

    /// Starts nothing more and waits a while for what is under way. What doesn't end in time is looked up on
    /// the forge by the next process.
    pub async fn shutdown(self) {
        drop(self.stop);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the reporter ended badly");
        }
    }
}
