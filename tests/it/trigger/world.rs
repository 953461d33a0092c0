//! A store, triggers and repositories to push to.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use longboat::clock::{Clock, Timestamp};
use longboat::config::{ApplicationRule, Applications, Names};
use longboat::forge::{Forges, Push};
use longboat::git::{GitOptions, Remote};
use longboat::model::{ApplicationName, CommitSha, ExecutionKey, NewExecution, PipelineName, RepositoryName};
use longboat::stage;
use longboat::store::{Duty, ExecutionFilter, Store, Terms};
use longboat::trigger::{
    ModuleOptions, ModuleSet, ModuleSpec, Notice, Noticed, RepositorySet, RepositorySpec, Submit, TriggerDeps,
    TriggerOptions, Triggers,
};
use tokio::sync::broadcast;

use crate::support::duty::{ByHand, store_in};

/// The clock's beginning.
pub const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// The store and its triggers; both can be stopped and started again.
pub struct World {
    pub store: Store,
    pub clock: Clock,
    pub triggers: Triggers,
    pub notices: broadcast::Receiver<Notice>,
    pub submitted: Arc<Mutex<Vec<ExecutionKey>>>,
    specs: Vec<RepositorySpec>,
    modules: (Vec<ModuleSpec>, ModuleOptions),
    options: TriggerOptions,
    git: GitOptions,
    forges: Forges,
    state: tempfile::TempDir,
    duty: Option<ByHand>,
}

/// A repository that is looked at once a minute.
pub fn follow(name: &str, url: impl Into<String>) -> RepositorySpec {
    RepositorySpec {
        name: repository(name),
        forge: None,
        forge_url: None,
        remote: Remote::open_to_all(url),
        branches: Vec::new(),
        applications: None,
        poll: Duration::from_secs(60),
    }
}

pub fn repository(name: &str) -> RepositoryName {
    RepositoryName::parse(name).expect("legal")
}

pub fn application(name: &str) -> ApplicationName {
    ApplicationName::parse(name).expect("legal")
}

pub fn pipeline(name: &str) -> PipelineName {
    PipelineName::parse(name).expect("legal")
}

/// The operator's word on which applications may be defined, each by its name and, if it isn't for all, its branches.
pub fn may_define(rules: &[(&str, Option<&[&str]>)]) -> Applications {
    let names = |patterns: &[&str]| {
        Names::parse(&patterns.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>()).expect("patterns")
    };
    let rule = |(name, branches): &(&str, Option<&[&str]>)| ApplicationRule {
        names: names(&[name]),
        branches: branches.map(names),
    };
    Applications::new(rules.iter().map(rule).collect())
}

/// What a webhook says about a push to `acme/shop`.
pub fn push(git_ref: &str, before: Option<&CommitSha>, after: Option<&CommitSha>) -> Push {
    Push {
        repository_full_name: repository("acme/shop"),
        git_ref: git_ref.to_owned(),
        before: before.cloned(),
        after: after.cloned(),
        actor: Some("ann".to_owned()),
        forced: false,
        created: before.is_none(),
        deleted: after.is_none(),
    }
}

/// An application file of one pipeline `deploy` with these triggers and a stage.
pub fn file(application: &str, triggers: &str) -> String {
    format!(
        "application: {application}\npipelines:\n  - name: deploy\n    triggers: {triggers}\n    stages: [{{id: one, type: noop}}]\n"
    )
}

pub const ON_MAIN: &str = "[{type: git, branches: [main]}]";

impl World {
    pub async fn new(specs: Vec<RepositorySpec>) -> Self {
        Self::with(specs, TriggerOptions::default(), GitOptions::default()).await
    }

    pub async fn with(specs: Vec<RepositorySpec>, options: TriggerOptions, git: GitOptions) -> Self {
        Self::on(Forges::new(), specs, options, git).await
    }

    /// A world with module repositories.
    pub async fn using(modules: Vec<ModuleSpec>, how: ModuleOptions, specs: Vec<RepositorySpec>) -> Self {
        Self::made(
            Clock::manual(START),
            Forges::new(),
            specs,
            (modules, how),
            TriggerOptions::default(),
            GitOptions::default(),
        )
        .await
    }

    /// A world in which forges can be asked.
    pub async fn on(forges: Forges, specs: Vec<RepositorySpec>, options: TriggerOptions, git: GitOptions) -> Self {
        Self::at(Clock::manual(START), forges, specs, options, git).await
    }

    /// The same, by a clock that others go by as well.
    pub async fn at(
        clock: Clock,
        forges: Forges,
        specs: Vec<RepositorySpec>,
        options: TriggerOptions,
        git: GitOptions,
    ) -> Self {
        let modules = (Vec::new(), ModuleOptions::default());
        Self::made(clock, forges, specs, modules, options, git).await
    }

    /// A world of all that it can have.
    pub async fn made(
        clock: Clock,
        forges: Forges,
        specs: Vec<RepositorySpec>,
        modules: (Vec<ModuleSpec>, ModuleOptions),
        options: TriggerOptions,
        git: GitOptions,
    ) -> Self {
        let store = Store::temporary(clock.clone()).await.expect("a store");
        Self::kept_in(store, clock, forges, specs, modules, options, git).await
    }

    /// The same, of all that it can have, on a store that there is.
    #[allow(clippy::too_many_arguments, reason = "the parts of the world")]
    pub async fn kept_in(
        store: Store,
        clock: Clock,
        forges: Forges,
        specs: Vec<RepositorySpec>,
        modules: (Vec<ModuleSpec>, ModuleOptions),
        options: TriggerOptions,
        git: GitOptions,
    ) -> Self {
        let state = tempfile::tempdir().expect("a folder");
        let submitted = Arc::default();
        let parts = (specs.clone(), &modules);
        let triggers = start(&store, &clock, &submitted, parts, &options, &git, &forges, &state, None).await;
        let notices = triggers.notices();
        Self { store, clock, triggers, notices, submitted, specs, modules, options, git, forges, state, duty: None }
    }

    /// A world whose duty is given and taken by hand: nobody has it yet.
    pub async fn shared(specs: Vec<RepositorySpec>, options: TriggerOptions) -> Self {
        let (clock, state) = (Clock::manual(START), tempfile::tempdir().expect("a folder"));
        let database = state.path().join("longboat.db");
        let store = store_in(&database, &clock).await;
        let duty = ByHand::new(Duty::Triggers, &database);
        let (modules, git, forges) = ((Vec::new(), ModuleOptions::default()), GitOptions::default(), Forges::new());
        let submitted = Arc::default();
        let (parts, terms) = ((specs.clone(), &modules), Some(duty.terms()));
        let triggers = start(&store, &clock, &submitted, parts, &options, &git, &forges, &state, terms).await;
        let (notices, duty) = (triggers.notices(), Some(duty));
        Self { store, clock, triggers, notices, submitted, specs, modules, options, git, forges, state, duty }
    }

    /// The duty of a shared world.
    pub fn duty(&self) -> &ByHand {
        self.duty.as_ref().expect("a shared world")
    }

    /// Stops the triggers and starts them again on the same store and mirrors.
    pub async fn restart(&mut self) {
        self.restart_with(self.specs.clone()).await;
    }

    /// As [`World::restart`], with the operator's variables as they are then.
    pub async fn restart_where(&mut self, globals: serde_json::Value) {
        self.options.globals = globals.as_object().expect("variables").clone();
        self.restart().await;
    }

    pub async fn restart_with(&mut self, specs: Vec<RepositorySpec>) {
        self.triggers.shutdown().await;
        self.specs = specs;
        let Self { store, clock, submitted, specs, modules, options, git, forges, state, .. } = self;
        let parts = (specs.clone(), &*modules);
        self.triggers = start(store, clock, submitted, parts, options, git, forges, state, None).await;
        self.notices = self.triggers.notices();
    }

    /// The folder of the mirrors.
    pub fn mirrors(&self) -> &std::path::Path {
        self.state.path()
    }

    /// Waits until a condition holds.
    pub async fn until(&self, what: &str, mut condition: impl AsyncFnMut(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !condition(self).await {
            if Instant::now() >= deadline {
                let states = self.store.repository_states().await;
                let inbox = (self.store.next_inbox_due().await, self.store.due_inbox(10).await);
                panic!("waited in vain: {what}\nthe repositories: {states:#?}\nthe inbox: {inbox:#?}");
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Like [`World::until`], while time passes on the clock.
    pub async fn until_later(&self, what: &str, mut condition: impl AsyncFnMut(&Self) -> bool) {
        self.until(what, async |world| {
            world.clock.advance(Duration::from_millis(500));
            condition(world).await
        })
        .await;
    }

    /// Waits until the first look at a repository is over and what it found is settled.
    pub async fn seen(&self, name: &str) {
        self.until("the first look", async |world| {
            let states = world.store.repository_states().await.expect("reads");
            states.iter().any(|state| state.name == repository(name) && state.reached_at.is_some())
                && states.iter().any(|state| state.name == repository(name) && state.settled_commit.is_some())
        })
        .await;
        self.idle().await;
    }

    /// Waits until the inbox is empty.
    pub async fn idle(&self) {
        self.until("an empty inbox", async |world| world.store.next_inbox_due().await.expect("reads").is_none()).await;
    }

    /// Waits until a commit is settled.
    pub async fn settled(&self, commit: &CommitSha) {
        self.until("the commit is settled", async |world| world.was_settled(commit).await).await;
    }

    pub async fn was_settled(&self, commit: &CommitSha) -> bool {
        let states = self.store.repository_states().await.expect("reads");
        states.iter().any(|state| state.settled_commit.as_ref() == Some(commit))
            && self.store.next_inbox_due().await.expect("reads").is_none()
    }

    /// A webhook's word.
    pub async fn notice(&self, push: Push) -> Noticed {
        let delivery = format!("delivery-{}", fastrand::u64(..));
        self.triggers.notice(push, Some(delivery)).await.expect("written")
    }

    /// Everything that was started, oldest first.
    pub async fn executions(&self) -> Vec<NewExecution> {
        let filter = ExecutionFilter { limit: 500, ..ExecutionFilter::default() };
        let page = self.store.executions(filter).await.expect("reads");
        let mut executions = Vec::new();
        for summary in page.items.into_iter().rev() {
            let stored = self.store.execution_by_key(summary.key).await.expect("reads").expect("there");
            executions.push(stored.execution.info);
        }
        executions
    }

    /// `application/pipeline` and commit of everything that was started, oldest first.
    pub async fn started(&self) -> Vec<(String, CommitSha)> {
        let executions = self.executions().await;
        let line = |new: NewExecution| {
            let name = format!("{}/{}", new.pipeline.application, new.pipeline.name);
            (name, new.commit.expect("a commit"))
        };
        executions.into_iter().map(line).collect()
    }

    /// What was to be said about a commit since the last call, as `context: state description`.
    pub async fn said(&self, commit: &CommitSha) -> Vec<String> {
        let mut said = Vec::new();
        loop {
            let due = self.store.due_outbox(500).await.expect("reads");
            if due.is_empty() {
                return said.into_iter().map(|(_, line)| line).collect();
            }
            for entry in &due {
                let Some(status) = entry.message.status() else { continue };
                if status.target.commit == *commit {
                    let line = format!("{}: {:?} {}", status.target.context, status.state, status.description);
                    said.push((entry.id, line));
                }
            }
            said.sort();
            let ids: Vec<_> = due.iter().map(|entry| entry.id).collect();
            self.store.outbox_sent(&ids).await.expect("writes");
        }
    }

    /// `application/pipeline` of everything that is published.
    pub async fn published(&self) -> Vec<String> {
        let all = self.store.pipelines(None).await.expect("reads");
        all.iter().map(|one| format!("{}/{}", one.pipeline.application, one.pipeline.name)).collect()
    }
}

#[allow(clippy::too_many_arguments, reason = "the parts of the world")]
async fn start(
    store: &Store,
    clock: &Clock,
    submitted: &Arc<Mutex<Vec<ExecutionKey>>>,
    (specs, (modules, how)): (Vec<RepositorySpec>, &(Vec<ModuleSpec>, ModuleOptions)),
    options: &TriggerOptions,
    git: &GitOptions,
    forges: &Forges,
    state: &tempfile::TempDir,
    terms: Option<Terms>,
) -> Triggers {
    let submitted = submitted.clone();
    let submit: Submit = Arc::new(move |key| {
        submitted.lock().expect("whole").push(key);
        Box::pin(std::future::ready(()))
    });
    let repositories = RepositorySet::new(specs, state.path(), git);
    let deps = TriggerDeps {
        store: store.clone(),
        clock: clock.clone(),
        modules: ModuleSet::new(modules.clone(), &repositories, state.path(), clock.clone(), how),
        repositories,
        catalog: Arc::new(stage::catalog()),
        forges: forges.clone(),
        submit,
    };
    match terms {
        Some(terms) => Triggers::start_in(terms, deps, options.clone()).await.expect("starts"),
        None => Triggers::start(deps, options.clone()).await.expect("starts"),
    }
}
