//! Working off chores of the store: ends of pipelines, and custom webhooks. One after the other, as they come; one that
//! fails is tried again after a pause that grows.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use crate::clock::Timestamp;
use crate::model::{CommitStatus, NewExecution};
use crate::store::{Chore, StoreError};

/// How often chores are looked for, even if nobody says that there are any.
const LOOK: Duration = Duration::from_secs(60);
/// The pause after the first failure; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// How many are worked off before the stop is looked at again.
const AT_ONCE: u32 = 20;

/// What comes of a chore.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// What it starts.
    pub(super) start: Vec<NewExecution>,
    /// What is said about what it can't start.
    pub(super) say: Vec<CommitStatus>,
}

/// A chore and how it is worked off; its text names it in logs.
pub(super) trait Work: Chore + Display {
    /// What comes of it. An error means that it is tried again.
    fn outcome(&self, shared: &Shared) -> impl Future<Output = Result<Outcome, StoreError>> + Send;
}

/// Works off chores of a kind until it is told to stop.
pub(super) async fn run<C: Work>(shared: Arc<Shared>) {
    let mut added = shared.store.chores_changed::<C>();
    loop {
        added.mark_unchanged();
        let next = match turn::<C>(&shared).await {
            Ok(next) => next,
            Err(StoreError::Closed | StoreError::Fenced) => return,
            Err(error) => {
                tracing::error!(%error, "what waits to start pipelines can't be worked off");
                shared.clock.now().plus(FIRST_PAUSE)
            }
        };
        tokio::select! {
            () = shared.stopping.cancelled() => return,
            changed = added.changed() => if changed.is_err() { return },
            () = shared.clock.sleep_until(next) => {}
        }
    }
}

/// Works off what is due; yields when to look again.
async fn turn<C: Work>(shared: &Shared) -> Result<Timestamp, StoreError> {
    loop {
        let due = shared.store.due::<C>(AT_ONCE).await?;
        if due.is_empty() || shared.stopping.is_cancelled() {
            break;
        }
        for chore in due {
            if let Err(error) = work_off(shared, &chore).await {
                if matches!(error, StoreError::Closed | StoreError::Fenced) {
                    return Err(error);
                }
                tracing::error!(%error, "{chore} can't be worked off yet");
                let pause = FIRST_PAUSE.saturating_mul(1 << chore.attempts().min(10)).min(LONGEST_PAUSE);
                shared.store.put_off(&chore, shared.clock.now().plus(pause)).await?;
            }
        }
    }
    let next = shared.store.next_due::<C>().await?;
    let look = shared.clock.now().plus(LOOK);
    Ok(next.map_or(look, |due| due.min(look)))
}

async fn work_off<C: Work>(shared: &Shared, chore: &C) -> Result<(), StoreError> {
    let Outcome { start, say } = chore.outcome(shared).await?;
    let started = shared.store.end_chore(chore, start, say).await?;
    tracing::info!(started = started.len(), "{chore} was worked off");
    for key in started {
        (shared.submit)(key).await;
    }
    Ok(())
}
