//! Hope for messages that were given up: a status left pending, a comment that was never written. What kept them from
//! arriving may be mended by now: a permission, a repository that was away.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::lane::about;
use crate::clock::Clock;
use crate::forge::Forges;
use crate::store::{Store, StoreError};
use crate::telemetry::metrics;

/// How long a message that was given up rests before it is tried again.
const REST: Duration = Duration::from_secs(3600);
/// For how long messages that were given up are tried again.
const HOPE: Duration = Duration::from_secs(24 * 3600);

/// The state of the task that looks for them.
pub(super) struct Reviver {
    store: Store,
    clock: Clock,
    forges: Forges,
    every: Duration,
}

impl Reviver {
    pub(super) fn new(store: Store, clock: Clock, forges: Forges, every: Duration) -> Self {
        Self { store, clock, forges, every }
    }

    /// Works until `stop`, or until the store is closed.
    pub(super) async fn run(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.clock.sleep(about(self.every)) => {}
            }
            match self.store.revive_outbox(REST, HOPE).await {
                Ok(revived) if revived.is_empty() => {}
                Ok(revived) => {
                    let number = revived.len();
                    tracing::info!(number, "statuses and comments that were given up are tried again");
                    for message in &revived {
                        // One whose repository is configured no more goes to no forge.
                        if let Some(forge) = self.forges.of(message.repository()) {
                            metrics().reconciled(forge.name(), "message");
                        }
                    }
                }
                Err(StoreError::Closed | StoreError::Fenced) => return,
                Err(error) => tracing::error!(%error, "messages that were given up can't be looked at"),
            }
        }
    }
}
