//! The reporter: from the outbox of a real store to a GitHub behind real HTTP. Time is moved by hand.

mod comments;
mod duty;
mod faults;
mod order;
mod restart;

use std::sync::Arc;
use std::time::Duration;

use longboat::clock::{Clock, Timestamp};
use longboat::forge::github::{GitHub, GitHubOptions};
use longboat::forge::{Forge, Forges};
use longboat::model::{
    Artifacts, Cause, CommitSha, CommitStatus, ExecutionId, ExecutionKey, Message, NewExecution, ReportTarget,
    RepositoryName, Status, StatusState,
};
use longboat::notify::{ForgeStats, Reporter, ReporterOptions};
use longboat::store::{Append, Created, Settlement, Shard, Store};
use secrecy::SecretString;

use crate::support::fake_github::{FakeGitHub, TOKEN};

const SECOND: Duration = Duration::from_secs(1);
const SHOP: &str = "acme/shop";
const DEPLOY: &str = "longboat/shop/deploy";

/// A store, a GitHub and a clock that all agree on the time.
struct World {
    clock: Clock,
    store: Store,
    fake: FakeGitHub,
}

impl World {
    async fn new() -> Self {
        let clock = Clock::manual(Timestamp::from_millis(1_700_000_000_000));
        let store = Store::temporary(clock.clone()).await.expect("a store");
        let fake = FakeGitHub::start(clock.clone()).await;
        fake.add_repository(SHOP);
        fake.know_commits(SHOP, |sha| !sha.starts_with('e'));
        Self { clock, store, fake }
    }

    /// The fake as the forge `github`, with a client that gives up soon.
    fn github(&self) -> Arc<dyn Forge> {
        self.client(TOKEN)
    }

    fn client(&self, token: &str) -> Arc<dyn Forge> {
        self.client_that_waits(token, SECOND)
    }

    fn client_that_waits(&self, token: &str, request_timeout: Duration) -> Arc<dyn Forge> {
        let mut options = GitHubOptions::new("github", self.fake.url(), SecretString::from(token));
        options.request_timeout = request_timeout;
        Arc::new(GitHub::new(options, self.clock.clone()).expect("set up"))
    }

    /// A status arrives that another process sent.
    async fn posted_by_another(&self, status: &CommitStatus) {
        let another = self.client_that_waits(TOKEN, SECOND * 60);
        another.post_status(SHOP, status, None).await.expect("taken");
    }

    /// A reporter that knows the shop on the fake.
    async fn reporter(&self) -> Reporter {
        self.reporter_with(at_once()).await
    }

    async fn reporter_with(&self, options: ReporterOptions) -> Reporter {
        let mut forges = Forges::new();
        forges.add(self.github(), [name(SHOP)]);
        self.start(forges, options).await
    }

    async fn start(&self, forges: Forges, options: ReporterOptions) -> Reporter {
        Reporter::start(self.store.clone(), self.clock.clone(), forges, None, options)
            .await
            .expect("the reporter starts")
    }

    /// Puts statuses into the outbox, in one transaction.
    async fn say(&self, statuses: Vec<CommitStatus>) {
        say(&self.store, statuses).await;
    }

    /// Creates an execution that reports on the first commit.
    async fn create(&self) -> ExecutionKey {
        let pipeline = serde_json::json!({
            "id": "00000000-0000-0000-0000-000000000001", "application": "shop", "name": "deploy", "dialect": "longboat",
            "stages": [], "source": longboat::diagnostic::Place::point(".longboat/deploy.yaml", 1, 1),
        });
        let new = NewExecution {
            id: ExecutionId::generate(),
            pipeline: serde_json::from_value(pipeline).expect("a pipeline"),
            revision: None,
            parameters: serde_json::Map::new(),
            trigger: Cause::default(),
            repository: Some(name(SHOP)),
            commit: CommitSha::parse(&sha(1)).ok(),
            report: Some(deploy(StatusState::Pending, "").target),
            artifacts: Artifacts::default(),
            correlation_id: None,
            created_at: self.clock.now(),
        };
        match self.store.create(new).await.expect("created") {
            Created::New(key) | Created::Existing(key, _) => key,
        }
    }

    /// Lets an execution say something.
    async fn append(&self, key: ExecutionKey, seq: i64, status: CommitStatus) {
        let row = Append {
            key,
            shard: Shard::of_key(key),
            seq,
            at: self.clock.now(),
            body: "{}".to_owned(),
            status: Status::Running,
            due_at: None,
            started_at: None,
            ended_at: None,
            report: Some(status),
            revives: false,
        };
        self.store.append(vec![row]).await.expect("appended");
    }

    /// Moves the clock in steps until `done`; fails if that doesn't come about.
    async fn pass_time_until<F: Future<Output = bool>>(&self, step: Duration, what: &str, done: impl Fn() -> F) {
        for _ in 0..3000 {
            if done().await {
                return;
            }
            self.clock.advance(step);
            // Real requests need real time; what is waited for is the condition, not this.
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        panic!("gave up waiting: {what}\nseen: {:#?}", self.fake.seen());
    }

    /// Moves the clock until the outbox is empty.
    async fn drain(&self, reporter: &Reporter) {
        self.pass_time_until(SECOND, "the outbox is empty", async || waiting(reporter).await == 0).await;
    }
}

/// Options of a reporter before which there was none: what is in the outbox was said, and sent by nobody.
fn at_once() -> ReporterOptions {
    ReporterOptions { settle: Duration::ZERO, ..ReporterOptions::default() }
}

/// Waits, without moving the clock, until `done`.
async fn until<F: Future<Output = bool>>(what: &str, done: impl Fn() -> F) {
    let patience = std::time::Instant::now();
    while !done().await {
        assert!(patience.elapsed() < Duration::from_secs(30), "gave up waiting: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub async fn waiting(reporter: &Reporter) -> u64 {
    reporter.stats().await.expect("the store can be read").waiting
}

async fn forge_stats(reporter: &Reporter, name: &str) -> ForgeStats {
    let stats = reporter.stats().await.expect("the store can be read");
    stats.forges.into_iter().find(|forge| forge.name == name).unwrap_or_default()
}

pub fn name(text: &str) -> RepositoryName {
    RepositoryName::parse(text).expect("a name")
}

/// The `number`-th commit.
pub fn sha(number: usize) -> String {
    format!("a{number:039x}")
}

pub fn status_of(repository: &str, sha: &str, context: &str, state: StatusState, text: &str) -> CommitStatus {
    let target = ReportTarget {
        repository: name(repository),
        commit: CommitSha::parse(sha).expect("a commit id"),
        context: context.to_owned(),
    };
    CommitStatus::new(target, state, text, "/executions/1")
}

/// A status of the shop's pipeline on the first commit.
fn deploy(state: StatusState, text: &str) -> CommitStatus {
    status_of(SHOP, &sha(1), DEPLOY, state, text)
}

pub async fn say(store: &Store, statuses: Vec<CommitStatus>) {
    let target = statuses[0].target.clone();
    let settlement = Settlement {
        inbox: None,
        also: Vec::new(),
        pull_request: None,
        repository: target.repository,
        git_ref: "refs/heads/main".to_owned(),
        commit: Some(target.commit),
        publish: Vec::new(),
        withdraw: Vec::new(),
        removal: None,
        executions: Vec::new(),
        messages: statuses.into_iter().map(Message::from).collect(),
        findings: None,
        has_files: None,
        uses: None,
    };
    store.settle(settlement).await.expect("written");
}
