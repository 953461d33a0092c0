//! How things stand at the moment, for `/metrics`.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;

use crate::api::Figures;
use crate::clock::Clock;
use crate::engine::Handle;
use crate::notify::ReporterView;
use crate::store::{Store, StoreError};
use crate::telemetry::{ForgeFigures, Snapshot};

/// Asks the store, the engine and the reporter.
pub(super) fn figures(store: Store, engine: Handle, reporter: ReporterView, clock: Clock) -> Figures {
    Arc::new(move || {
        let (store, engine, reporter, clock) = (store.clone(), engine.clone(), reporter.clone(), clock.clone());
        async move { snapshot(&store, &engine, &reporter, &clock).await }.boxed()
    })
}

async fn snapshot(
    store: &Store,
    engine: &Handle,
    reporter: &ReporterView,
    clock: &Clock,
) -> Result<Snapshot, StoreError> {
    let backlog = store.backlog().await?;
    let now = clock.now();
    let age = |since: Option<_>| since.map_or(Duration::ZERO, |since| now.since(since));
    let forges = reporter.forges().into_iter().map(|forge| ForgeFigures {
        paused: forge.paused_until.is_some_and(|until| until > now),
        in_flight: forge.in_flight as u64,
        name: forge.name,
        budget: None,
    });
    let repositories = store.repository_states().await?;
    let freezes = store.freezes().await?;
    let everything = freezes.iter().filter(|freeze| freeze.application.is_none()).count();
    Ok(Snapshot {
        frozen_everything: everything > 0,
        frozen_applications: (freezes.len() - everything) as u64,
        live: backlog.live,
        in_memory: engine.in_memory() as u64,
        stranded: engine.stranded() as u64,
        inbox_waiting: backlog.inbox,
        inbox_oldest: age(backlog.inbox_since),
        outbox_waiting: backlog.outbox,
        outbox_oldest: age(backlog.outbox_since),
        outbox_failed: backlog.outbox_failed,
        forges: forges.collect(),
        repositories: repositories.into_iter().map(|state| (state.name.into(), state.error.is_none())).collect(),
    })
}
