//! The composition root: puts the rooms together, starts them in the right order, and stops them in the other.
//!
//! Up: store, engine (which goes on with what a former process left), forges and reporter, triggers, the listener.
//! Down: the listener takes no more, triggers stop, the reporter finishes what is under way, the engine leaves its
//! running scripts to the next start, and the store closes last.

mod checkouts;
mod comments;
mod configuration;
mod core;
mod figures;
mod folders;
mod forges;
mod local;
mod node;
mod past;
mod pipelines;
mod placements;
mod replica;
mod retention;
mod shared;
mod together;

pub use forges::forges;
pub use local::Local;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use futures::FutureExt;
use serde_json::Map;
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::api::{self, ApiState};
use crate::clock::Clock;
use crate::config::{Config, SecretRules};
use crate::engine::Handle;
use crate::forge::Forges;
use crate::git::GitOptions;
use crate::gitops::RemovalLimits;
use crate::notify::{Reporter, ReporterOptions};
use crate::outbound::AddressPolicy;
use crate::secret::Secrets;
use crate::stage::SavedLimits;
use crate::store::{ExecutionFilter, StoreError, StoreOptions};
use crate::trigger::{
    ManualStart, ModuleOptions, ModuleSet, ModuleSpec, Notice, Reports, RepositorySet, RepositorySpec, ReviewOptions,
    TriggerDeps, TriggerOptions, Triggers,
};
use crate::ui::{self, UiState};
use core::{Core, CoreOptions};

/// How long requests that are under way may take when the server stops.
const GRACE: Duration = Duration::from_secs(10);

/// What the configuration file doesn't say.
#[derive(Debug, Clone)]
pub struct AppOptions {
    /// The time.
    pub clock: Clock,
    /// Whether what a repository holds at its first sight counts as pushed.
    pub run_first: bool,
}

impl Default for AppOptions {
    fn default() -> Self {
        Self { clock: Clock::system(), run_first: false }
    }
}

/// A running Longboat.
pub struct App {
    core: Core,
    triggers: Triggers,
    reporter: Reporter,
    address: SocketAddr,
    stopping: CancellationToken,
    server: JoinHandle<std::io::Result<()>>,
}

impl App {
    /// Starts everything that the configuration asks for; returns when the address answers.
    ///
    /// # Errors
    /// If the address is taken, another process has the database, or a forge can't be set up.
    pub async fn start(config: Config, options: AppOptions) -> anyhow::Result<Self> {
        let AppOptions { clock, run_first } = options;
        let state_dir = config.server.state_dir.clone();
        std::fs::create_dir_all(&state_dir)
            .with_context(|| format!("can't make the state folder {}", state_dir.display()))?;
        // Before anything starts to run: a second server must not get further than this.
        let listener = listen(config.server.listen).await?;
        let address = listener.local_addr()?;

        let specs = RepositorySpec::all(&config);
        let git_options = GitOptions::within(config.limits.git_deadline);
        let repositories = RepositorySet::new(specs, &state_dir.join("mirrors"), &git_options);
        let modules = ModuleOptions { git: git_options.clone(), ..ModuleOptions::default() };
        let modules = ModuleSet::new(
            ModuleSpec::all(&config),
            &repositories,
            &state_dir.join("mirrors"),
            clock.clone(),
            &modules,
        );
        let store = StoreOptions {
            url: config.database.url.clone(),
            password: config.database.password.clone(),
            durable: config.database.durable,
            owner: format!("process {}", std::process::id()),
            replicas: replica::said(&config, node::node(&state_dir)?),
        };
        let (secrets, rules) = (Secrets::new(&config), SecretRules::new(&config.secrets));
        let reports = Reports::new(config.status_prefix.clone());
        let core_options = CoreOptions {
            secrets,
            running_stages: config.limits.running_stages,
            drain: config.server.drain,
            saved: SavedLimits {
                bytes: config.limits.saved_bytes,
                files: config.limits.saved_files,
                keep: config.limits.saved_for,
            },
            network: AddressPolicy::Public { except: config.network.clone() },
            public_url: config.server.public_url.clone(),
            reports: reports.clone(),
            logs: config.logs.clone(),
            definitions: None,
        };
        let core = Core::start(store, &state_dir, &repositories, core_options, clock.clone()).await?;
        core.keep_small(config.retention);
        core.watch_replicas();

        let forges = forges(&config, &clock)?;
        let reporting = ReporterOptions { public_url: config.server.public_url.clone(), ..ReporterOptions::default() };
        let composer = Some(comments::composer(&core));
        let reporter = Reporter::start(core.store.clone(), clock.clone(), forges.clone(), composer, reporting).await?;

        let engine = core.engine();
        let deps = TriggerDeps {
            store: core.store.clone(),
            clock: clock.clone(),
            repositories,
            modules,
            catalog: Arc::new(crate::stage::catalog()),
            forges: forges.clone(),
            submit: Arc::new(move |key| {
                let engine = engine.clone();
                async move { engine.submit(key).await }.boxed()
            }),
        };
        let reviews = ReviewOptions {
            memory: config.limits.review_memory,
            cpu: config.limits.review_cpu,
            deadline: config.limits.review_deadline,
            ..ReviewOptions::default()
        };
        let removals = RemovalLimits { share: config.limits.removal_share, from: config.limits.removal_from };
        let triggers = Triggers::start(
            deps,
            TriggerOptions {
                reports,
                run_first,
                globals: config.vars.clone(),
                reviews,
                removals,
                cron_catch_up: config.limits.cron_catch_up,
                secrets: Some(rules),
                ..TriggerOptions::default()
            },
        )
        .await?;

        let stopping = CancellationToken::new();
        let figures = figures::figures(core.store.clone(), core.engine(), reporter.view(), clock.clone());
        let router = router(config, &core, forges, &triggers, figures, &stopping);
        let stop = stopping.clone();
        let server =
            tokio::spawn(
                async move { axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await },
            );
        tracing::info!(%address, "listening");
        Ok(Self { core, triggers, reporter, address, stopping, server })
    }

    /// The address of its pages on this machine.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns when another process has taken the database over: this one can do nothing any more.
    pub async fn lost(&self) -> StoreError {
        self.core.store.lost().await
    }

    /// The engine.
    pub fn engine(&self) -> Handle {
        self.core.engine()
    }

    /// Commits as they are worked off.
    pub fn notices(&self) -> broadcast::Receiver<Notice> {
        self.triggers.notices()
    }

    /// Starts the pipeline of the newest execution once more, by hand.
    ///
    /// # Errors
    /// If there is no execution yet, or its pipeline can't be started.
    pub async fn repeat_newest(&self) -> anyhow::Result<()> {
        let newest = self.core.store.executions(ExecutionFilter { limit: 1, ..ExecutionFilter::default() }).await?;
        let Some(newest) = newest.items.into_iter().next() else { bail!("nothing has run yet") };
        let start = ManualStart {
            application: newest.application,
            pipeline: newest.pipeline,
            parameters: Map::new(),
            artifacts: Vec::new(),
            commit: None,
            actor: None,
            correlation_id: None,
            override_freeze: false,
        };
        self.triggers.start_pipeline(start).await?;
        Ok(())
    }

    /// Stops in good order. Running scripts go on and are adopted at the next start; those of a replica have their time
    /// (`server.drain`) and are ended then, since others go on with their executions.
    pub async fn shutdown(self) {
        self.stopping.cancel();
        self.triggers.shutdown().await;
        match tokio::time::timeout(GRACE, self.server).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::error!(%error, "the listener ended badly"),
            Ok(Err(error)) => tracing::error!(%error, "the listener ended badly"),
            Err(_) => tracing::warn!("some requests were cut off after {GRACE:?}"),
        }
        self.reporter.shutdown().await;
        self.core.shutdown().await;
    }
}

/// API and pages behind their guard.
fn router(
    config: Config,
    core: &Core,
    forges: Forges,
    triggers: &Triggers,
    figures: api::Figures,
    stopping: &CancellationToken,
) -> axum::Router {
    let config = Arc::new(config);
    let logs = core.logs();
    let api = ApiState {
        config: Arc::clone(&config),
        store: core.store.clone(),
        engine: core.engine(),
        forges,
        triggers: triggers.clone(),
        logs: Arc::clone(&logs),
        figures,
        clock: core.clock.clone(),
        stopping: stopping.clone(),
    };
    let ui = UiState {
        config: Arc::clone(&config),
        store: core.store.clone(),
        engine: core.engine(),
        logs,
        clock: core.clock.clone(),
    };
    api::guard(api::router(api).merge(ui::router(ui)), &config, core.clock.clone())
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => anyhow::anyhow!(
            "port {} of {} is taken by another program (or another Longboat); stop it, or choose another port",
            address.port(),
            address.ip()
        ),
        _ => anyhow::anyhow!("can't listen on {address}: {error}"),
    })
}
