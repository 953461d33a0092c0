//! A GitHub for tests: repositories, commits and statuses behind real HTTP, as strict as the real one about
//! what the tests rely on, and faulty in whatever way a test asks for.
//!
//! The refusals and their texts follow GitHub's REST API (version 2022-11-28). Besides, it remembers every
//! status in order, counts requests, and plays the other half too: it signs webhooks and delivers them.

#![allow(dead_code, reason = "each test uses its part")]

mod answers;
mod api;
pub mod contract;
mod hooks;
mod pulls;
mod show;

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
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
pub use hooks::{Delivery, PushOf, hook};
pub use pulls::{Comment, Pull};

/// The token that the fake takes.
pub const TOKEN: &str = "ghp_fakeTokenOfTheFakeGitHub0123456789ab";

/// The running fake. It stops when it is dropped.
pub struct FakeGitHub {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// A status that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    /// `owner/name`, as in the request.
    pub repository: String,
    pub sha: String,
    pub context: String,
    pub state: String,
    pub description: String,
    pub target_url: Option<String>,
    /// When, by the fake's clock.
    pub at: Timestamp,
}

type KnowsCommit = Arc<dyn Fn(&str) -> bool + Send + Sync>;

#[derive(Default)]
struct Repository {
    id: u64,
    /// The name it has now, if it was renamed.
    renamed_to: Option<String>,
    /// Where requests are sent instead, whatever host that is.
    redirect: Option<String>,
    commits: Vec<String>,
    knows: Option<KnowsCommit>,
    pulls: Vec<Pull>,
    comments: Vec<Comment>,
    /// None: the token may not see them.
    hooks: Option<Vec<Value>>,
}

impl Repository {
    fn has_commit(&self, sha: &str) -> bool {
        self.commits.iter().any(|known| known == sha) || self.knows.as_ref().is_some_and(|knows| knows(sha))
    }
}

#[derive(Default)]
struct State {
    repositories: HashMap<String, Repository>,
    /// Whose token it is; `...[bot]` for an App's.
    account: String,
    /// What a classic token may do.
    scopes: Option<String>,
    /// What the token may not do, as `statuses=write`.
    denied: Vec<String>,
    /// The last number that was given to a comment.
    ids: u64,
    /// Requests that count against the allowance.
    used: u64,
    /// What was asked or answered otherwise than GitHub's description says.
    violations: Vec<String>,
    posted: Vec<Posted>,
    /// Statuses that count against the limit of 1,000 without having been posted: (sha, context) to number.
    earlier: HashMap<(String, String), usize>,
}

struct Shared {
    clock: Clock,
    base: String,
    state: Mutex<State>,
    control: Arc<Control>,
}

impl fmt::Debug for FakeGitHub {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("FakeGitHub").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn violated(&self, faults: Vec<String>) {
        self.state().violations.extend(faults);
    }
}

impl FakeGitHub {
    /// Starts on a free port of loopback. `clock` gives the times of statuses and limits.
    pub async fn start(clock: Clock) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let control = Control::new(clock.clone());
        let shared = Arc::new(Shared {
            clock,
            base: format!("http://{address}"),
            state: Mutex::new(State { account: "longboat-bot".to_owned(), ids: 1000, ..State::default() }),
            control,
        });
        let stop = CancellationToken::new();
        let task = tokio::spawn(connection::serve(listener, api::router(Arc::clone(&shared)), stop.clone()));
        Self { address, shared, stop, task }
    }

    /// The address of the API.
    pub fn url(&self) -> String {
        self.shared.base.clone()
    }

    /// The address of the API as GitHub Enterprise Server has it, below a path.
    pub fn enterprise_url(&self) -> String {
        format!("{}/api/v3", self.shared.base)
    }

    /// Adds a repository without commits.
    pub fn add_repository(&self, full_name: &str) {
        let mut state = self.shared.state();
        let id = 1000 + state.repositories.len() as u64;
        state.repositories.insert(full_name.to_ascii_lowercase(), Repository { id, ..Repository::default() });
    }

    /// Tells it of a commit.
    pub fn add_commit(&self, full_name: &str, sha: &str) {
        self.with_repository(full_name, |repository| repository.commits.push(sha.to_owned()));
    }

    /// Lets it ask for commits that it wasn't told of, a real repository for instance.
    pub fn know_commits(&self, full_name: &str, knows: impl Fn(&str) -> bool + Send + Sync + 'static) {
        self.with_repository(full_name, |repository| repository.knows = Some(Arc::new(knows)));
    }

    /// Renames a repository: requests to the old name are redirected to its id.
    pub fn rename(&self, full_name: &str, new_name: &str) {
        self.with_repository(full_name, |repository| repository.renamed_to = Some(new_name.to_owned()));
    }

    /// Redirects all requests about a repository below another address.
    pub fn redirect(&self, full_name: &str, address: &str) {
        self.with_repository(full_name, |repository| repository.redirect = Some(address.to_owned()));
    }

    fn with_repository(&self, full_name: &str, change: impl FnOnce(&mut Repository)) {
        let mut state = self.shared.state();
        change(state.repositories.get_mut(&full_name.to_ascii_lowercase()).expect("the repository was added"));
    }

    /// Pretends that a commit has so many statuses in a context already.
    pub fn pretend_statuses(&self, sha: &str, context: &str, number: usize) {
        self.shared.state().earlier.insert((sha.to_owned(), context.to_owned()), number);
    }

    /// What the token may not do, as GitHub calls it: `statuses=write`, `pull_requests=read`, `contents=read`.
    pub fn deny(&self, permission: &str) {
        self.shared.state().denied.push(permission.to_owned());
    }

    /// The token is a classic one with these scopes.
    pub fn set_scopes(&self, scopes: &str) {
        self.shared.state().scopes = Some(scopes.to_owned());
    }

    /// The token is that of another account; of an App if the login ends in `[bot]`.
    pub fn act_as(&self, login: &str) {
        self.shared.state().account = login.to_owned();
    }

    /// The webhooks of a repository, which the token may see from now on; [`hook`] makes one.
    pub fn set_hooks(&self, full_name: &str, hooks: Vec<Value>) {
        self.with_repository(full_name, |repository| repository.hooks = Some(hooks));
    }

    fn next_id(&self) -> u64 {
        let mut state = self.shared.state();
        state.ids += 1;
        state.ids
    }

    /// Takes away what was found at odds with GitHub's description, which would fail the test at its end.
    pub fn take_violations(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.state().violations)
    }

    /// Every status that was taken, in order.
    pub fn posted(&self) -> Vec<Posted> {
        self.shared.state().posted.clone()
    }

    /// The texts of the statuses of a commit in a context, in order, like `pending Queued`.
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

/// What goes wrong with its requests, and what came of them.
impl Deref for FakeGitHub {
    type Target = Control;

    fn deref(&self) -> &Control {
        &self.shared.control
    }
}

impl Drop for FakeGitHub {
    fn drop(&mut self) {
        self.stop.cancel();
        let violations = self.take_violations();
        if !violations.is_empty() && !std::thread::panicking() {
            panic!("not as GitHub's OpenAPI description has it:\n{}", violations.join("\n"));
        }
    }
}
