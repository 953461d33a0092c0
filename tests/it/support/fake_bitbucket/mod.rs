//! A Bitbucket for tests, Cloud or Data Center: repositories, commits, statuses, pull requests and comments behind real
//! HTTP, as strict as the real ones about what the tests rely on, and faulty in whatever way a test asks for.
//!
//! What a test does to it has the same names as at the fake GitHub, so that one story can be told on all of them. The
//! refusals and their texts follow Atlassian's pages and servers. It plays the other half too: it signs webhooks and
//! delivers them.

#![allow(dead_code, reason = "each test uses its part")]

mod cloud;
mod data_center;
mod hooks;
mod serve;

use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use longboat::clock::{Clock, Timestamp};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::connection;
use super::control::Control;
pub use super::control::{Fault, Limit, PullOf};
pub use super::fake_github::Posted;
pub use hooks::{Delivery, PushOf, hook};

/// The access token that the fake takes: of a repository, which is nobody.
pub const TOKEN: &str = "ATCTT3xFfGN0fakeAccessTokenOfTheFakeBitbucket";
/// Cloud: the API token of [`USER`].
pub const API_TOKEN: &str = "ATATT3xFfGF0fakeApiTokenOfTheFakeBitbucket";
/// Cloud: the e-mail address of an account.
pub const USER: &str = "bot@example.com";
/// Who writes with a token.
pub const BOT: &str = "longboat-bot";

/// Which of the two it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Cloud,
    DataCenter,
}

/// The running fake. It stops when it is dropped.
pub struct FakeBitbucket {
    shared: Arc<Shared>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// A pull request as it stands.
#[derive(Debug, Clone)]
pub struct Pull {
    pub number: u64,
    pub version: u64,
    pub title: String,
    pub open: bool,
    pub merge_commit: Option<String>,
    /// None: the fork is gone.
    pub head_repository: Option<String>,
    pub head_branch: String,
    pub head: String,
    pub target: String,
    pub author: String,
    pub updated: Timestamp,
}

/// A comment as it stands, and what it said before.
#[derive(Debug, Clone)]
pub struct Comment {
    pub id: u64,
    /// Of the pull request.
    pub number: u64,
    pub version: u64,
    pub author: String,
    pub body: String,
    /// All texts that it ever had, the first one included.
    pub versions: Vec<String>,
    pub deleted: bool,
}

type KnowsCommit = Arc<dyn Fn(&str) -> bool + Send + Sync>;

#[derive(Default)]
struct Repository {
    /// As it was added.
    full_name: String,
    commits: Vec<String>,
    knows: Option<KnowsCommit>,
    pulls: Vec<Pull>,
    comments: Vec<Comment>,
    hooks: Vec<Value>,
}

impl Repository {
    /// The full id of a commit, by as much of it as is told.
    fn commit(&self, text: &str) -> Option<String> {
        let known = self.commits.iter().find(|known| known.starts_with(text) && text.len() >= 7).cloned();
        known.or_else(|| self.knows.as_ref().filter(|knows| knows(text)).map(|_| text.to_owned()))
    }

    fn pull(&self, number: u64) -> Option<&Pull> {
        self.pulls.iter().find(|pull| pull.number == number)
    }
}

/// A status as it stands: the newest of its key.
#[derive(Debug, Clone)]
struct Status {
    repository: String,
    sha: String,
    key: String,
    name: Option<String>,
    state: String,
    description: String,
    url: String,
    /// Who wrote it.
    author: String,
}

#[derive(Default)]
struct State {
    repositories: HashMap<String, Repository>,
    posted: Vec<Posted>,
    statuses: Vec<Status>,
    ids: u64,
    /// What the token may not do.
    denied: Vec<String>,
    /// A Bitbucket Server from before 7.4.
    old: bool,
    /// What happens once between the look at a comment and its edit.
    meddler: Option<String>,
}

struct Shared {
    kind: Kind,
    clock: Clock,
    base: String,
    state: Mutex<State>,
    control: Arc<Control>,
}

impl fmt::Debug for FakeBitbucket {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("FakeBitbucket").field("url", &self.url()).finish_non_exhaustive()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn next_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    fn post(&mut self, status: Status, at: Timestamp) {
        self.posted.push(Posted {
            repository: status.repository.clone(),
            sha: status.sha.clone(),
            context: status.name.clone().unwrap_or_else(|| status.key.clone()),
            state: status.state.clone(),
            description: status.description.clone(),
            target_url: Some(status.url.clone()),
            at,
        });
        self.statuses
            .retain(|old| old.key != status.key || old.sha != status.sha || old.repository != status.repository);
        self.statuses.push(status);
    }
}

impl FakeBitbucket {
    /// Starts on a free port of loopback. `clock` gives the times of statuses and limits.
    pub async fn start(kind: Kind, clock: Clock) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let control = Control::new(clock.clone());
        let shared =
            Arc::new(Shared { kind, clock, base: format!("http://{address}"), state: Mutex::default(), control });
        let stop = CancellationToken::new();
        let task = tokio::spawn(connection::serve(listener, serve::router(Arc::clone(&shared)), stop.clone()));
        Self { shared, stop, task }
    }

    /// Which of the two it is.
    pub fn kind(&self) -> Kind {
        self.shared.kind
    }

    /// The address of the API: a Data Center's has a path.
    pub fn url(&self) -> String {
        match self.shared.kind {
            Kind::Cloud => self.shared.base.clone(),
            Kind::DataCenter => format!("{}/bitbucket", self.shared.base),
        }
    }

    /// The word in the configuration.
    pub fn forge_type(&self) -> &'static str {
        match self.shared.kind {
            Kind::Cloud => "bitbucket",
            Kind::DataCenter => "bitbucketDataCenter",
        }
    }

    /// Adds a repository without commits.
    pub fn add_repository(&self, full_name: &str) {
        let repository = Repository { full_name: full_name.to_owned(), ..Repository::default() };
        self.shared.state().repositories.insert(full_name.to_ascii_lowercase(), repository);
    }

    /// Tells it of a commit.
    pub fn add_commit(&self, full_name: &str, sha: &str) {
        self.with_repository(full_name, |repository| repository.commits.push(sha.to_owned()));
    }

    /// Lets it ask for commits that it wasn't told of, a real repository for instance.
    pub fn know_commits(&self, full_name: &str, knows: impl Fn(&str) -> bool + Send + Sync + 'static) {
        self.with_repository(full_name, |repository| repository.knows = Some(Arc::new(knows)));
    }

    fn with_repository(&self, full_name: &str, change: impl FnOnce(&mut Repository)) {
        let mut state = self.shared.state();
        change(state.repositories.get_mut(&full_name.to_ascii_lowercase()).expect("the repository was added"));
    }

    /// Opens a pull request; its number. Its head becomes known as a commit of the repository that it comes from.
    pub fn open_pull(&self, full_name: &str, of: &PullOf<'_>) -> u64 {
        let now = self.shared.clock.now();
        self.add_commit(of.from, of.head);
        let mut number = 0;
        self.with_repository(full_name, |repository| {
            number = repository.pulls.len() as u64 + 1;
            repository.pulls.push(Pull {
                number,
                version: 0,
                title: of.title.to_owned(),
                open: true,
                merge_commit: None,
                head_repository: Some(of.from.to_owned()),
                head_branch: of.branch.to_owned(),
                head: of.head.to_owned(),
                target: of.target.to_owned(),
                author: of.author.to_owned(),
                updated: now,
            });
        });
        number
    }

    /// Changes a pull request in any way.
    pub fn change_pull(&self, full_name: &str, number: u64, change: impl FnOnce(&mut Pull)) {
        let now = self.shared.clock.now();
        self.with_repository(full_name, |repository| {
            let pull = repository.pulls.iter_mut().find(|pull| pull.number == number).expect("it was opened");
            change(pull);
            pull.version += 1;
            pull.updated = now;
        });
    }

    /// Its branch has a new commit.
    pub fn push_to_pull(&self, full_name: &str, number: u64, head: &str) {
        self.add_commit(full_name, head);
        self.change_pull(full_name, number, |pull| head.clone_into(&mut pull.head));
    }

    /// It is closed; merged by a commit, or not.
    pub fn close_pull(&self, full_name: &str, number: u64, merge_commit: Option<&str>) {
        self.change_pull(full_name, number, |pull| {
            pull.open = false;
            pull.merge_commit = merge_commit.map(str::to_owned);
        });
        merge_commit.into_iter().for_each(|commit| self.add_commit(full_name, commit));
    }

    /// Somebody writes a comment; its id.
    pub fn comment_as(&self, full_name: &str, number: u64, author: &str, body: &str) -> u64 {
        let id = self.shared.state().next_id();
        self.with_repository(full_name, |repository| repository.comments.push(Comment::new(id, number, author, body)));
        id
    }

    /// Somebody deletes a comment.
    pub fn delete_comment(&self, full_name: &str, id: u64) {
        self.with_repository(full_name, |repository| {
            repository
                .comments
                .iter_mut()
                .filter(|comment| comment.id == id)
                .for_each(|comment| comment.deleted = true);
        });
    }

    /// The comments of a pull request, oldest first.
    pub fn comments(&self, full_name: &str, number: u64) -> Vec<Comment> {
        let state = self.shared.state();
        let repository = state.repositories.get(&full_name.to_ascii_lowercase()).expect("the repository was added");
        let live = repository.comments.iter().filter(|comment| comment.number == number && !comment.deleted);
        live.cloned().collect()
    }

    /// What its page of webhooks shows.
    pub fn set_hooks(&self, full_name: &str, hooks: Vec<Value>) {
        self.with_repository(full_name, |repository| repository.hooks = hooks);
    }

    /// The token may not do this any more: a scope of Cloud (`pullrequest`, `webhook`), `admin` of a Data Center.
    pub fn deny(&self, permission: &str) {
        self.shared.state().denied.push(permission.to_owned());
    }

    /// Data Center: it is older than 7.4.
    pub fn grow_old(&self) {
        self.shared.state().old = true;
    }

    /// Data Center: between the next look at a comment and its edit, somebody else edits it.
    pub fn meddle(&self, text: &str) {
        self.shared.state().meddler = Some(text.to_owned());
    }

    /// Every status that was taken, in order.
    pub fn posted(&self) -> Vec<Posted> {
        self.shared.state().posted.clone()
    }

    /// The texts of the statuses of a commit in a context, in order, like `INPROGRESS Queued`.
    pub fn texts(&self, sha: &str, context: &str) -> Vec<String> {
        let state = self.shared.state();
        let mine = state.posted.iter().filter(|posted| posted.sha == sha && posted.context == context);
        mine.map(|posted| format!("{} {}", posted.state, posted.description)).collect()
    }

    /// Waits until `check` finds something; it is asked again after each request.
    ///
    /// # Panics
    /// With `what` and all that was posted, if that takes longer than half a minute.
    pub async fn eventually<T>(&self, what: &str, check: impl Fn(&Self) -> Option<T>) -> T {
        let shown = || format!("seen: {:#?}\nposted: {:#?}", self.seen(), self.posted());
        self.shared.control.eventually(what, || check(self), shown).await
    }

    /// Waits until the newest status of a commit in a context has this state and text.
    pub async fn newest_is(&self, sha: &str, context: &str, text: &str) {
        self.eventually(&format!("{context} says `{text}`"), |fake| {
            (fake.texts(sha, context).last().is_some_and(|newest| newest == text)).then_some(())
        })
        .await;
    }

    /// Stops: connections are refused from now on.
    pub async fn stop(mut self) {
        self.stop.cancel();
        (&mut self.task).await.expect("the fake ends well");
    }
}

impl Comment {
    fn new(id: u64, number: u64, author: &str, body: &str) -> Self {
        Self {
            id,
            number,
            version: 0,
            author: author.to_owned(),
            body: body.to_owned(),
            versions: vec![body.to_owned()],
            deleted: false,
        }
    }

    fn edit(&mut self, body: &str) {
        self.version += 1;
        body.clone_into(&mut self.body);
        self.versions.push(body.to_owned());
    }
}

/// What goes wrong with its requests, and what came of them.
impl Deref for FakeBitbucket {
    type Target = Control;

    fn deref(&self) -> &Control {
        &self.shared.control
    }
}

impl Drop for FakeBitbucket {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
