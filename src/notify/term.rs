//! Reporting for one term: from the moment at which this process is to report until another one does.
//!
//! Who begins looks at what the one before may have been sending, after the time that this may need to arrive: where
//! replicas share the work, the time that a forge may need to answer; after a restart of the one process, a moment.
//! Who loses the duty with requests on their way (it was stopped, and goes on) can't call them back; it says which they
//! were, and the other one looks again whether its own word is the last.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::drain::Drain;
use super::revive::Reviver;
use super::{Composer, ReporterOptions, Shared};
use crate::clock::Clock;
use crate::forge::Forges;
use crate::store::{OutboxId, Store, StoreError, Term};

/// How often it is tried to say what was on its way when the duty was lost, and the pause in between.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_secs(3);

/// What reporting needs, in each of its terms.
#[derive(Clone)]
pub(super) struct Reporting {
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) forges: Forges,
    pub(super) composer: Option<Arc<dyn Composer>>,
    pub(super) options: ReporterOptions,
    pub(super) shared: Arc<Shared>,
}

impl Reporting {
    /// Looks at what there is.
    pub(super) async fn begin(&self, term: Term) -> Result<Watched, StoreError> {
        let Self { store, clock, forges, composer, options, shared } = self.clone();
        let late_by = options.late_by;
        // Another process may live and have a connection that hangs; one of this machine is dead.
        let settle = if term.is_shared() { late_by } else { options.settle };
        let bound = store.for_duty(term);
        let drain = Drain::new(bound, clock.clone(), forges, composer, options, shared, settle).await?;
        Ok(Watched { drain, store, clock, late_by, shared_out: term.is_shared() })
    }

    /// Reports until `stop`; dropped, it stops where it is.
    pub(super) async fn work(self, term: Term, begun: Option<Watched>, stop: CancellationToken) {
        let begun = match begun {
            Some(begun) => Ok(begun),
            None => self.begin(term).await,
        };
        let mut watched = match begun {
            Ok(watched) => watched,
            Err(StoreError::Closed | StoreError::Fenced) => return,
            Err(error) => {
                tracing::error!(%error, "the outbox can't be worked off");
                return;
            }
        };
        let Self { store, clock, forges, options, shared, .. } = self;
        let _forgotten = Forgotten(shared);
        let reviver = Reviver::new(store.for_duty(term), clock, forges, options.revive);
        tokio::join!(watched.drain.run(stop.clone()), reviver.run(stop));
    }
}

/// A drain, and what is to be said if it is dropped in the middle.
pub(super) struct Watched {
    drain: Drain,
    store: Store,
    clock: Clock,
    late_by: Duration,
    /// Whether another process may report next.
    shared_out: bool,
}

impl Drop for Watched {
    fn drop(&mut self) {
        let under_way = self.drain.under_way();
        if !self.shared_out || under_way.is_empty() {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(doubt(self.store.clone(), self.clock.clone(), self.late_by, under_way));
        }
    }
}

/// Says that requests may still arrive that were on their way when this process lost the duty.
async fn doubt(store: Store, clock: Clock, late_by: Duration, ids: Vec<OutboxId>) {
    tracing::info!(requests = ids.len(), "stopped reporting while messages were under way; they are looked up");
    for _ in 0..TRIES {
        match store.doubt_messages(&ids, clock.now().plus(late_by)).await {
            Ok(()) | Err(StoreError::Closed) => return,
            Err(error) => tracing::debug!(%error, "what was under way can't be written down yet"),
        }
        tokio::time::sleep(PAUSE).await;
    }
    tracing::warn!("what was under way when this replica stopped reporting could not be written down");
}

/// How the forges fare is another process's to know, once this is dropped.
struct Forgotten(Arc<Shared>);

impl Drop for Forgotten {
    fn drop(&mut self) {
        self.0.forges.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
