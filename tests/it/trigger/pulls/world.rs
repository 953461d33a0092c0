//! A forge that can be asked about its pull requests, and a repository to open them on.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use longboat::clock::Clock;
use longboat::forge::{
    Capabilities, Forge, ForgeError, ForgeErrorKind, Forges, HeadSource, Markup, PostedStatus, PullRequestAction,
    PullRequestEvent,
};
use longboat::git::GitOptions;
use longboat::model::{CommitSha, CommitStatus, PullRequest, PullRequestState, RepositoryName, Review};
use longboat::store::{Accepted, StoredPullRequest};
use longboat::trigger::{ModuleOptions, ModuleSpec, Noticed, RepositorySpec, ReviewOptions, TriggerOptions};

use crate::support::repo::Repo;
use crate::trigger::world::{START, World, follow, repository};

/// What the forge does when it is asked.
#[derive(Default)]
struct Answers {
    pull_requests: Vec<PullRequest>,
    /// Instead of an answer.
    error: Option<ForgeErrorKind>,
    /// Where heads are, instead of `refs/pull/<number>/head`.
    heads: Option<HeadSource>,
    asked: usize,
}

/// A forge.
#[derive(Clone, Default)]
pub struct Stub(Arc<Mutex<Answers>>);

impl Stub {
    /// What it answers from now on.
    pub fn has(&self, pull_request: &PullRequest) {
        let mut answers = self.0.lock().expect("whole");
        answers.pull_requests.retain(|other| other.number != pull_request.number);
        answers.pull_requests.push(pull_request.clone());
    }

    /// It can't be asked.
    pub fn fails(&self, error: Option<ForgeErrorKind>) {
        self.0.lock().expect("whole").error = error;
    }

    /// Where all heads are from now on.
    pub fn heads_are(&self, source: HeadSource) {
        self.0.lock().expect("whole").heads = Some(source);
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.0.lock().expect("whole").asked
    }
}

#[async_trait]
impl Forge for Stub {
    fn name(&self) -> &str {
        "stub"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            statuses: true,
            pull_requests: true,
            comment_limit: 1000,
            markup: Markup { folding: false, hidden_text: false, mermaid: false },
            ..Capabilities::NONE
        }
    }

    async fn post_status(&self, _: &str, _: &CommitStatus, _: Option<&str>) -> Result<(), ForgeError> {
        Ok(())
    }

    async fn statuses(&self, _: &str, _: &CommitSha) -> Result<Vec<PostedStatus>, ForgeError> {
        Ok(Vec::new())
    }

    async fn pull_request(&self, _: &RepositoryName, number: u64) -> Result<PullRequest, ForgeError> {
        let mut answers = self.0.lock().expect("whole");
        answers.asked += 1;
        let found = answers.pull_requests.iter().find(|one| one.number == number).cloned();
        let error = |kind| ForgeError { kind, message: "the forge said no".to_owned(), may_have_arrived: false };
        match answers.error {
            Some(kind) => Err(error(kind)),
            None => found.ok_or_else(|| error(ForgeErrorKind::NotFound)),
        }
    }

    fn head_of(&self, pull_request: &PullRequest) -> HeadSource {
        let own = || HeadSource::Ref(format!("refs/pull/{}/head", pull_request.number));
        self.0.lock().expect("whole").heads.clone().unwrap_or_else(own)
    }
}

/// A world with one repository that has pull requests.
pub struct Pulls {
    pub world: World,
    pub forge: Stub,
    pub remote: Repo,
}

/// An application file with one pipeline that waits, or tries to.
pub fn file(kind: &str) -> String {
    format!("application: shop\npipelines:\n  - name: deploy\n    stages:\n      - {{id: one, type: {kind}}}\n")
}

/// How reviews are made in tests: by the real binary.
pub fn reviews() -> ReviewOptions {
    ReviewOptions { program: PathBuf::from(env!("CARGO_BIN_EXE_longboat")), ..ReviewOptions::default() }
}

impl Pulls {
    /// A repository whose main branch has a good file.
    pub async fn new() -> Self {
        Self::with(|_| {}, |_| {}).await
    }

    /// With module repositories.
    pub async fn using(modules: Vec<ModuleSpec>) -> Self {
        Self::made(modules, |_| {}, |_| {}).await
    }

    pub async fn with(spec: impl FnOnce(&mut RepositorySpec), options: impl FnOnce(&mut TriggerOptions)) -> Self {
        Self::made(Vec::new(), spec, options).await
    }

    async fn made(
        modules: Vec<ModuleSpec>,
        spec: impl FnOnce(&mut RepositorySpec),
        options: impl FnOnce(&mut TriggerOptions),
    ) -> Self {
        let remote = Repo::new();
        remote.write(".longboat/deploy.yaml", file("noop")).commit("the beginning");
        remote.git(&["checkout", "--quiet", "-B", "main"]);
        let mut follow = follow("acme/shop", remote.path().to_str().expect("UTF-8"));
        follow.branches = vec!["main".to_owned()];
        follow.forge = Some("stub".to_owned());
        spec(&mut follow);
        let forge = Stub::default();
        let mut forges = Forges::new();
        forges.add(Arc::new(forge.clone()), [repository("acme/shop")]);
        let mut trigger = TriggerOptions { reviews: reviews(), ..TriggerOptions::default() };
        options(&mut trigger);
        let world = World::made(
            Clock::manual(START),
            forges,
            vec![follow],
            (modules, ModuleOptions::default()),
            trigger,
            GitOptions::default(),
        )
        .await;
        world.seen("acme/shop").await;
        Self { world, forge, remote }
    }

    /// Commits files on top of main, as the head of a pull request. No branch names the commit: the repository is
    /// watched, and would be found to have one more.
    pub fn head(&self, number: u64, files: &[(&str, &str)]) -> CommitSha {
        self.remote.git(&["checkout", "--quiet", "--detach", "main"]);
        for (path, text) in files {
            self.remote.write(path, text);
        }
        let commit = self.remote.commit("a change");
        self.remote.git(&["update-ref", &format!("refs/pull/{number}/head"), commit.as_str()]);
        self.remote.git(&["checkout", "--quiet", "main"]);
        commit
    }

    pub fn pull_request(&self, number: u64, head: &CommitSha) -> PullRequest {
        PullRequest {
            repository: repository("acme/shop"),
            number,
            title: "A change".to_owned(),
            state: PullRequestState::Open,
            head: head.clone(),
            head_branch: "change".to_owned(),
            head_repository: Some("acme/shop".to_owned()),
            fork: false,
            target_branch: "main".to_owned(),
            author: Some("ann".to_owned()),
            merge_commit: None,
        }
    }

    /// The forge has it like this, and its webhook says so.
    pub async fn tell(&self, this: &PullRequest) -> Accepted {
        self.forge.has(this);
        self.hook(Some(this), this.number).await
    }

    /// A webhook with or without the pull request in full.
    pub async fn hook(&self, told: Option<&PullRequest>, number: u64) -> Accepted {
        let event = PullRequestEvent {
            repository: repository("acme/shop"),
            number,
            action: PullRequestAction::Updated,
            pull_request: told.cloned(),
            actor: Some("ann".to_owned()),
            event: "pull_request".to_owned(),
        };
        let delivery = format!("delivery-{}", fastrand::u64(..));
        match self.world.triggers.notice_pull_request(event, Some(delivery)).await.expect("written") {
            Noticed::Accepted(accepted) => accepted,
            other => panic!("{other:?}"),
        }
    }

    /// Opens a pull request with these files and waits for its review.
    pub async fn open(&self, number: u64, files: &[(&str, &str)]) -> (PullRequest, Review) {
        let head = self.head(number, files);
        let this = self.pull_request(number, &head);
        self.tell(&this).await;
        self.world.idle().await;
        (this, self.review(number).await)
    }

    pub async fn stored(&self, number: u64) -> StoredPullRequest {
        let stored = self.world.store.pull_request(&repository("acme/shop"), number).await.expect("reads");
        stored.expect("is known")
    }

    pub async fn review(&self, number: u64) -> Review {
        self.stored(number).await.review.expect("was looked at")
    }

    /// What `longboat/validate` was to say on a commit, in order.
    pub async fn said(&self, commit: &CommitSha) -> Vec<String> {
        let said = self.world.said(commit).await;
        said.iter().map(|line| line.trim_start_matches("longboat/validate: ").to_owned()).collect()
    }

    /// Whether the mirror keeps the head of a pull request.
    pub fn keeps_head(&self, number: u64) -> bool {
        let mirror = self.world.mirrors().join("acme%2Fshop.git");
        let refs = crate::support::repo::git_in(&mirror, &["for-each-ref", "--format=%(refname)"]);
        refs.lines().any(|line| line == format!("refs/longboat/pull/{number}"))
    }

    /// Waits, while time passes, until nothing is left to be done.
    pub async fn idle_later(&self) {
        let idle = async |world: &World| world.store.next_inbox_due().await.expect("reads").is_none();
        self.world.until_later("an empty inbox", idle).await;
    }
}
