//! The part of the program that executes: store, repositories, engine, stage types. `serve` and `run` share it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use tokio_util::sync::CancellationToken;

use super::checkouts::FromMirrors;
use super::folders::{forget_ended, forget_saved, let_go_of_others, remove_leftovers};
use super::node::node;
use super::past::FromStore;
use super::pipelines::SubPipelines;
use super::placements::InStore;
use super::retention::keep_small;
use super::shared::{self, Left};
use super::together;
use crate::clock::Clock;
use crate::config::{LogStore, Retention};
use crate::engine::{Engine, EngineOptions, Handle, LogSource};
use crate::model::Pipeline;
use crate::outbound::AddressPolicy;
use crate::secret::Secrets;
use crate::stage::{self, Placements, SavedLimits, Shipper, StageDeps};
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
    /// The address under which people reach the server, for links.
    pub(super) public_url: Option<String>,
    /// Where the outcome of sub-pipelines is reported.
    pub(super) reports: Reports,
    /// Where logs and saved files go.
    pub(super) logs: LogStore,
    /// The definitions of sub-pipelines, if they are not those that are published.
    pub(super) definitions: Option<Arc<Vec<Pipeline>>>,
}

/// Store and engine, running.
pub(super) struct Core {
    pub(super) store: Store,
    pub(super) clock: Clock,
    left: Left,
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
        let CoreOptions { running_stages, drain, secrets, saved, network, public_url, reports, logs, definitions } =
            options;
        let replica = store.replicas.as_ref().map(|said| said.name.clone());
        let store = Store::open(store, clock.clone()).await?;
        let shares = replica.is_some();
        let placements: Option<Arc<dyn Placements>> = match replica {
            Some(replica) => Some(Arc::new(InStore { store: store.clone(), node: node(state_dir)?, replica })),
            None => None,
        };
        let pipelines = SubPipelines::default();
        let mut deps = StageDeps::new(Arc::new(FromMirrors(repositories.clone())), state_dir.to_owned());
        deps.secrets = secrets;
        deps.max_scripts = running_stages;
        deps.executions = FromStore::shared(&store);
        deps.saved = saved.clone();
        deps.placements = placements;
        let shipper = shared::store(logs, &store)?.map(|shared| Shipper::new(state_dir.to_owned(), shared));
        deps.shipper = shipper.clone();
        deps.pipelines = Arc::new(pipelines.clone());
        deps.calls.policy = network;
        deps.public_url = public_url;
        let locks = deps.locks.clone();
        // Before anything runs.
        remove_leftovers(&store, state_dir, &locks).await;
        let registry = stage::registry(deps);
        let options = EngineOptions { max_running_effects: running_stages, drain, ..EngineOptions::default() };
        let engine = Engine::start(store.clone(), clock.clone(), registry, options).await?;
        let submit = submit(engine.handle());
        pipelines.connect(
            Children { store: store.clone(), clock: clock.clone(), submit, reports, definitions },
            engine.handle(),
        );
        let stop = CancellationToken::new();
        if shares {
            tokio::spawn(let_go_of_others(store.clone(), state_dir.to_owned(), locks.clone(), stop.clone()));
        }
        tokio::spawn(forget_ended(engine.handle(), store.clone(), state_dir.to_owned(), locks, stop.clone()));
        let left = Left { state_dir: state_dir.to_owned(), shipper };
        tokio::spawn(forget_saved(store.clone(), clock.clone(), left.clone(), saved.keep, stop.clone()));
        tokio::spawn(shared::send_leftovers(store.clone(), left.clone(), stop.clone()));
        Ok(Self { store, clock, left, engine, stop })
    }

    /// Where logs are read.
    pub(super) fn logs(&self) -> Arc<dyn LogSource> {
        self.left.logs()
    }

    /// Takes the details of old executions away, until it is shut down.
    pub(super) fn keep_small(&self, rule: Retention) {
        let (store, clock, left) = (self.store.clone(), self.clock.clone(), self.left.clone());
        let (terms, stop) = (store.duty(Duty::Retention), self.stop.clone());
        tokio::spawn(while_on_duty(terms, self.stop.clone(), move |term| {
            keep_small(store.for_duty(term), clock.clone(), left.clone(), rule, stop.clone())
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
        if let Some(shipper) = &self.left.shipper {
            shipper.stop();
        }
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
