//! What starts pipelines: pushes that are noticed, and people (Echo's and Igor's inbound part).
//!
//! - **Noticing.** A webhook ([`Triggers::notice`]), a periodic look at each remote, and the file system's word
//!   about local repositories all end in the store's inbox, which knows what it has seen ([`crate::store::Accepted`]).
//! - **Working off.** One entry of a repository after the other, many repositories at a time: fetch, check, and
//!   settle everything that comes of it in one transaction. What fails is tried again, with growing pauses; what
//!   keeps failing for Longboat's own reasons is given up with a status that says so.
//! - **Definitions** come from the tracked branches. A push to another branch has its files validated, and runs
//!   the published definitions that have a trigger for it against the pushed commit.
//! - **The first sight of a repository starts nothing.** What is there when a server first looks is published
//!   and validated; a new server must not deploy everything anew. With [`TriggerOptions::run_first`] the heads
//!   of the tracked branches count as pushed, which is what a demonstration wants.
//! - **Pull requests** are reviewed: their heads are rendered and checked as their target branch would be, in a process
//!   of their own, and never executed.
//! - **Module repositories** are kept in mirrors, too; a render sees a snapshot of them ([`ModuleSet`]).
//! - **Time tables** are worked off by one owner, who starts what is due, and makes up for the latest of what was missed.
//! - **Custom webhooks** start the pipelines that listen to their source.
//! - **Ends of pipelines** start those that listen to them.
//! - **One process at a time** does all of this, of several that share a database (`term`); whatever is told is taken up by
//!   each of them.
//! - **Starts by hand** are checked against the declared parameters ([`Triggers::start_pipeline`]).

mod accept;
mod anew;
mod artifacts;
mod catalogue;
mod child;
mod chores;
mod cron;
mod endings;
mod examine;
mod failure;
mod follow;
mod given;
mod hooks;
mod manual;
mod modules;
mod owners;
mod pulls;
mod reconcile;
mod removal;
mod reports;
mod repositories;
#[cfg(test)]
pub(crate) mod sample;
mod settle;
mod start;
mod taken;
mod term;
mod worker;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::{Map, Value};
use tokio::sync::{Semaphore, broadcast, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use accept::Noticed;
pub use artifacts::{commit_artifact, resolve_given};
pub use child::{ChildRequest, Children};
pub use manual::{ManualStart, StartError, Started};
pub use modules::{ModuleFrom, ModuleOptions, ModuleSet, ModuleSpec, Taken};
pub use pulls::child::{EXAMINE, ReviewOptions, main as examine_main};
pub use reports::Reports;
pub use repositories::{CheckoutError, Repository, RepositorySet, RepositorySpec};

use crate::clock::Clock;
use crate::config::SecretRules;
use crate::diagnostic::Diagnostic;
use crate::forge::Forges;
use crate::gitops::{Limits, RemovalLimits};
use crate::model::{CommitSha, CommitStatus, ExecutionKey, RepositoryName};
use crate::schema::Catalog;
use crate::store::{Duty, Store, StoreError, Terms, while_on_duty};
use term::Work;

/// Hands a stored execution to the engine.
pub type Submit = Arc<dyn Fn(ExecutionKey) -> BoxFuture<'static, ()> + Send + Sync>;

/// How triggers work.
#[derive(Debug, Clone)]
pub struct TriggerOptions {
    /// What commit statuses are called.
    pub reports: Reports,
    /// Whether what a repository holds at its first sight counts as pushed.
    pub run_first: bool,
    /// How often open pull requests are looked at anew.
    pub reconcile: Duration,
    /// How many repositories are worked on at the same time; most of that is waiting for servers.
    pub repositories_at_once: usize,
    /// How many commits are rendered and checked at the same time.
    pub checks_at_once: usize,
    /// What a render may use.
    pub limits: Limits,
    /// The operator's variables, the lowest layer of `vars`.
    pub globals: Map<String, Value>,
    /// How the files of pull requests are looked at.
    pub reviews: ReviewOptions,
    /// How many pipelines one commit may take away.
    pub removals: RemovalLimits,
    /// How long ago the latest missed moment of a time table may be that is made up for.
    pub cron_catch_up: Duration,
    /// Which secrets there are and who may use them; none, if that isn't known here.
    pub secrets: Option<SecretRules>,
}

impl Default for TriggerOptions {
    fn default() -> Self {
        Self {
            reports: Reports::default(),
            run_first: false,
            reconcile: Duration::from_secs(300),
            repositories_at_once: 32,
            checks_at_once: std::thread::available_parallelism().map_or(2, std::num::NonZero::get),
            limits: Limits::default(),
            globals: Map::new(),
            reviews: ReviewOptions::default(),
            removals: RemovalLimits::default(),
            cron_catch_up: crate::config::Limits::default().cron_catch_up,
            secrets: None,
        }
    }
}

/// What triggers work with.
pub struct TriggerDeps {
    /// Where everything goes.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// What is followed.
    pub repositories: RepositorySet,
    /// The module repositories.
    pub modules: ModuleSet,
    /// The stage types.
    pub catalog: Arc<Catalog>,
    /// Who is asked about pull requests.
    pub forges: Forges,
    /// Where new executions go.
    pub submit: Submit,
}

/// A commit that was worked off, for whoever watches.
#[derive(Debug, Clone)]
pub struct Notice {
    /// The repository.
    pub repository: RepositoryName,
    /// The branch.
    pub branch: String,
    /// Whether the branch's definitions count.
    pub tracked: bool,
    /// The commit.
    pub commit: CommitSha,
    /// Its first line.
    pub message: String,
    /// Its author, who is never an identity.
    pub author: String,
    /// What is said about its files.
    pub validate: CommitStatus,
    /// What was found in them.
    pub findings: Vec<Diagnostic>,
    /// The modules that they use.
    pub modules: Vec<String>,
    /// What was started.
    pub executions: Vec<ExecutionKey>,
}

/// The triggers at work; cheap to clone.
#[derive(Clone)]
pub struct Triggers {
    shared: Arc<Shared>,
    work: Arc<Mutex<Option<JoinHandle<()>>>>,
}

/// What the parts of this room share.
struct Shared {
    store: Store,
    clock: Clock,
    repositories: RepositorySet,
    modules: ModuleSet,
    catalog: Arc<Catalog>,
    forges: Forges,
    submit: Submit,
    options: TriggerOptions,
    notices: broadcast::Sender<Notice>,
    /// Changes whenever something was published or withdrawn.
    catalog_changed: watch::Sender<u64>,
    /// Who was refused applications of others.
    refused: owners::Refused,
    /// Bounds looks at remotes.
    looks: Semaphore,
    /// Bounds renders.
    checks: Arc<Semaphore>,
    /// Bounds looks at pull requests.
    reviews: Semaphore,
    stopping: CancellationToken,
    /// When it is this process that does the work.
    terms: Terms,
}

impl Triggers {
    /// Takes up what is told from now on, and whenever it is this process's to do so: takes away what the configuration
    /// takes, works off what is in the inbox, and looks at every repository. Waits for the store alone.
    ///
    /// # Errors
    /// If the store can't be read or written.
    pub async fn start(deps: TriggerDeps, options: TriggerOptions) -> Result<Self, StoreError> {
        let terms = deps.store.duty(Duty::Triggers);
        Self::start_in(terms, deps, options).await
    }

    /// As [`Triggers::start`], in these terms.
    ///
    /// # Errors
    /// If the store can't be read or written.
    pub async fn start_in(terms: Terms, deps: TriggerDeps, options: TriggerOptions) -> Result<Self, StoreError> {
        let TriggerDeps { store, clock, repositories, modules, catalog, forges, submit } = deps;
        let shared = Arc::new(Shared {
            store,
            clock,
            repositories,
            modules,
            catalog,
            forges,
            submit,
            notices: broadcast::channel(256).0,
            catalog_changed: watch::Sender::default(),
            refused: owners::Refused::default(),
            looks: Semaphore::new(options.repositories_at_once.max(1)),
            checks: Arc::new(Semaphore::new(options.checks_at_once.max(1))),
            reviews: Semaphore::new(options.reviews.at_once.max(1)),
            stopping: CancellationToken::new(),
            terms: terms.clone(),
            options,
        });
        shared.recall().await?;
        let now = *terms.borrow();
        let mut first = match now {
            Some(term) => Some((term, Work::begin(&shared, term).await?)),
            None => None,
        };
        let all = shared.clone();
        let work = while_on_duty(terms, shared.stopping.clone(), move |term| {
            let begun = first.take().filter(|(of, _)| *of == term).map(|(_, work)| work);
            Work::go_on(all.clone(), term, begun)
        });
        Ok(Self { shared, work: Arc::new(Mutex::new(Some(tokio::spawn(work)))) })
    }

    /// What is followed.
    pub fn repositories(&self) -> &RepositorySet {
        &self.shared.repositories
    }

    /// Whether a branch of a followed repository is one whose definitions count. Until a repository without named
    /// branches was reached, any of its branches may be.
    pub fn tracks(&self, repository: &RepositoryName, branch: &str) -> bool {
        let tracked = self.shared.repositories.get(repository).map(|repository| repository.tracked());
        tracked.is_some_and(|tracked| tracked.is_none_or(|tracked| tracked.iter().any(|name| name == branch)))
    }

    /// Commits as they are worked off. Who is too slow misses some.
    pub fn notices(&self) -> broadcast::Receiver<Notice> {
        self.shared.notices.subscribe()
    }

    /// Stops. What was begun and not settled is begun again at the next start.
    pub async fn shutdown(&self) {
        self.shared.stopping.cancel();
        let work = self.work.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(work) = work {
            let _ended = work.await;
        }
    }
}
