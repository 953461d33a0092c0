//! The part of the program that executes: store, repositories, engine, stage types. `serve` and `run` share it.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::checkouts::FromMirrors;
use super::past::FromStore;
use crate::clock::Clock;
use crate::engine::{Engine, EngineOptions, Handle};
use crate::secret::Secrets;
use crate::stage::{self, StageDeps};
use crate::store::{Store, StoreOptions};
use crate::trigger::RepositorySet;

/// Store and engine, running.
pub(super) struct Core {
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) state_dir: PathBuf,
    engine: Engine,
    stop: CancellationToken,
}

impl Core {
    /// Opens the store and starts the engine, which goes on with what a former process left.
    pub(super) async fn start(
        store: StoreOptions,
        state_dir: &Path,
        repositories: &RepositorySet,
        secrets: Secrets,
        running_stages: usize,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let store = Store::open(store, clock.clone()).await?;
        remove_leftovers(&store, state_dir).await;
        let mut deps = StageDeps::new(Arc::new(FromMirrors(repositories.clone())), state_dir.to_owned());
        deps.secrets = secrets;
        deps.max_scripts = running_stages;
        deps.executions = FromStore::shared(&store);
        let registry = stage::registry(deps);
        let options = EngineOptions { max_running_effects: running_stages, ..EngineOptions::default() };
        let engine = Engine::start(store.clone(), clock.clone(), registry, options).await?;
        let stop = CancellationToken::new();
        tokio::spawn(forget_ended(engine.handle(), state_dir.to_owned(), stop.clone()));
        Ok(Self { store, clock, state_dir: state_dir.to_owned(), engine, stop })
    }

    pub(super) fn engine(&self) -> Handle {
        self.engine.handle()
    }

    /// Stops the engine, then closes the store. Running scripts go on.
    pub(super) async fn shutdown(self) {
        self.stop.cancel();
        self.engine.shutdown().await;
        self.store.close().await;
    }
}

/// Removes the workspaces of executions that ended while nobody could remove them.
async fn remove_leftovers(store: &Store, state_dir: &Path) {
    let mut live = HashSet::new();
    let Ok(executions) = store.live().await else { return };
    for execution in executions {
        match store.execution_by_key(execution.key).await {
            Ok(Some(stored)) => {
                live.insert(stored.execution.info.id);
            }
            // Better a folder too many than one too few.
            Ok(None) | Err(_) => return,
        }
    }
    if let Err(error) = stage::sweep(state_dir, live).await {
        tracing::warn!(%error, "some workspaces of ended executions could not be removed");
    }
}

/// Removes the workspace of each execution when it has ended.
async fn forget_ended(engine: Handle, state_dir: PathBuf, stop: CancellationToken) {
    let mut changes = engine.subscribe();
    loop {
        let change = tokio::select! {
            () = stop.cancelled() => return,
            change = changes.recv() => change,
        };
        match change {
            Ok(change) if change.status.is_complete() => {
                if let Err(error) = stage::forget(&state_dir, change.id).await {
                    tracing::warn!(execution.id = %change.id, %error, "the workspace could not be removed");
                }
            }
            // What was missed is removed at the next start.
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}
