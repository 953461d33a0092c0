//! How things stand at the moment, for `/metrics`.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;

use crate::api::Figures;
use crate::clock::Clock;
use crate::engine::Handle;
use crate::notify::ReporterView;
use crate::store::{Duty, Store, StoreError, disagree};
use crate::telemetry::{ForgeFigures, ReplicaFigures, Snapshot};

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
    let replica = if store.is_shared() { Some(among_others(store).await?) } else { None };
    Ok(Snapshot {
        replica,
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

/// How this process stands among those that share its database.
async fn among_others(store: &Store) -> Result<ReplicaFigures, StoreError> {
    let replicas = store.replicas().await?;
    let duties = Duty::ALL.map(|duty| (duty.as_str().to_owned(), store.is_on_duty(duty)));
    Ok(ReplicaFigures {
        alive: replicas.iter().filter(|replica| replica.alive).count() as u64,
        lease: store.lease_left(),
        shards: store.shards().borrow().held.len() as u64,
        duties: duties.to_vec(),
        differ: disagree(&replicas),
    })
}
