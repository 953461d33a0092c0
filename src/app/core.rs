//! The part of the program that executes: store, repositories, engine, stage types. `serve` and `run` share it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use tokio_util::sync::CancellationToken;

use super::checkouts::FromMirrors;
use super::folders::{forget_ended, forget_saved, remove_leftovers};
use super::past::FromStore;
use super::pipelines::SubPipelines;
use super::retention::keep_small;
use super::together;
use crate::clock::Clock;
use crate::config::Retention;
use crate::engine::{Engine, EngineOptions, Handle};
use crate::model::Pipeline;
use crate::outbound::AddressPolicy;
use crate::secret::Secrets;
use crate::stage::{self, SavedLimits, StageDeps};
use crate::store::{Duty, Store, StoreOptions, while_on_duty};
use crate::trigger::{Children, Reports, RepositorySet, Submit};

/// What the part that executes is to do and not to do.
pub(super) struct CoreOptions {
    /// How many stages may do something at the same time.
    pub(super) running_stages: usize,
    /// How long running stages have to come to their end when others take over.
    pub(super) drain: Duration,
    /// What stages may be given.
    pub(super) secrets: Secrets,
    /// How much stages may save for later ones.
    pub(super) saved: SavedLimits,
    /// Which addresses stages may call.
    pub(super) network: AddressPolicy,
    /// Where the outcome of sub-pipelines is reported.
    pub(super) reports: Reports,
    /// The definitions of sub-pipelines, if they are not those that are published.
    pub(super) definitions: Option<Arc<Vec<Pipeline>>>,
}

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
        options: CoreOptions,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let CoreOptions { running_stages, drain, secrets, saved, network, reports, definitions } = options;
        let store = Store::open(store, clock.clone()).await?;
        remove_leftovers(&store, state_dir).await;
        let pipelines = SubPipelines::default();
        let mut deps = StageDeps::new(Arc::new(FromMirrors(repositories.clone())), state_dir.to_owned());
        deps.secrets = secrets;
        deps.max_scripts = running_stages;
        deps.executions = FromStore::shared(&store);
        deps.saved = saved.clone();
        deps.pipelines = Arc::new(pipelines.clone());
        deps.calls.policy = network;
        let locks = deps.locks.clone();
        let registry = stage::registry(deps);
        let options = EngineOptions { max_running_effects: running_stages, drain, ..EngineOptions::default() };
        let engine = Engine::start(store.clone(), clock.clone(), registry, options).await?;
        let submit = submit(engine.handle());
        pipelines.connect(
            Children { store: store.clone(), clock: clock.clone(), submit, reports, definitions },
            engine.handle(),
        );
        let stop = CancellationToken::new();
        tokio::spawn(forget_ended(engine.handle(), store.clone(), state_dir.to_owned(), locks, stop.clone()));
        tokio::spawn(forget_saved(store.clone(), clock.clone(), state_dir.to_owned(), saved.keep, stop.clone()));
        Ok(Self { store, clock, state_dir: state_dir.to_owned(), engine, stop })
    }

    /// Takes the details of old executions away, until it is shut down.
    pub(super) fn keep_small(&self, rule: Retention) {
        let (store, clock, state_dir) = (self.store.clone(), self.clock.clone(), self.state_dir.clone());
        let (terms, stop) = (store.duty(Duty::Retention), self.stop.clone());
        tokio::spawn(while_on_duty(terms, self.stop.clone(), move |term| {
            keep_small(store.for_duty(term), clock.clone(), state_dir.clone(), rule, stop.clone())
        }));
    }

    /// Watches those that share the database, if there are any, until it is shut down.
    pub(super) fn watch_replicas(&self) {
        tokio::spawn(together::watch(self.store.clone(), self.stop.clone()));
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

/// Hands stored executions to the engine.
pub(super) fn submit(engine: Handle) -> Submit {
    Arc::new(move |key| {
        let engine = engine.clone();
        async move { engine.submit(key).await }.boxed()
    })
}
