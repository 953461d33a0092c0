//! The forges: where repositories live, pushes are announced, and commits get their statuses.
//!
//! [`Forge`] is what the rest of Longboat knows of GitHub and its like. A forge's own words stay in its
//! folder: a webhook becomes a list of [`ForgeEvent`]s at the border, an answer of its API a model type or a
//! [`ForgeError`]. What a forge can do is declared in its [`Capabilities`]: nothing above this room asks which
//! forge it is. The hosts that are called come from the configuration alone, never from a payload.

pub mod bitbucket;
mod custom;
mod error;
mod event;
pub mod github;
mod hook;
pub mod markdown;
mod pause;
mod plain;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use http::HeaderMap;
use serde::Serialize;

use crate::clock::Timestamp;
use crate::model::{CommitSha, CommitStatus, PullRequest, RepositoryName, StatusState};

pub use custom::{CustomDelivery, receive_custom};
pub use error::{ForgeError, ForgeErrorKind, SetupError};
pub use event::{CommentEvent, Delivery, ForgeEvent, PullRequestAction, PullRequestEvent, Push, WebhookError};
pub use plain::PlainForge;

/// A forge as Longboat uses it. One object per forge of the configuration, shared.
///
/// Requests are tried once; who calls decides about another try. `repo` is always the repository's full name on
/// the forge (`owner/name`).
#[async_trait]
pub trait Forge: Send + Sync + 'static {
    /// Its name in the configuration.
    fn name(&self) -> &str;

    /// What it can do, with the access that it was given.
    fn capabilities(&self) -> Capabilities;

    /// What is left of its allowance of requests, as its latest answer told it; none if it doesn't tell.
    fn budget(&self) -> Option<Budget> {
        None
    }

    /// The last part of the address of its webhooks: `github` for `/webhooks/github`; none if it sends none. Forges
    /// may share one.
    fn webhook_path(&self) -> Option<&'static str> {
        None
    }

    /// Checks a delivery of its webhook and says what it announces. Nothing but the signature is looked at before
    /// the signature is good; `repositories` are those that live on this forge, and what speaks of another one is
    /// refused, whoever signed it. Nobody is called.
    ///
    /// # Errors
    /// [`WebhookError`], with the HTTP status to answer with.
    fn receive(
        &self,
        repositories: &[RepositoryName],
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Delivery, WebhookError> {
        let _ = (repositories, headers, body);
        Err(WebhookError::NoSecret)
    }

    /// Writes one status onto a commit. `target_url` is the absolute address of the page behind it. A forge without
    /// [`Capabilities::statuses`] says nothing and counts it as done, so that the outbox empties.
    ///
    /// # Errors
    /// What the forge answered, or that it could not be asked; [`ForgeError::may_have_arrived`] says whether
    /// the status may stand there all the same.
    async fn post_status(&self, repo: &str, status: &CommitStatus, target_url: Option<&str>) -> Result<(), ForgeError>;

    /// The statuses of a commit, newest first. How far back an implementation reads is bounded.
    ///
    /// # Errors
    /// As for [`Forge::post_status`].
    async fn statuses(&self, repo: &str, commit: &CommitSha) -> Result<Vec<PostedStatus>, ForgeError>;

    /// The newest status of a commit in one context, if there is one.
    ///
    /// # Errors
    /// As for [`Forge::post_status`].
    async fn newest_status(
        &self,
        repo: &str,
        commit: &CommitSha,
        context: &str,
    ) -> Result<Option<PostedStatus>, ForgeError> {
        Ok(self.statuses(repo, commit).await?.into_iter().find(|status| status.context == context))
    }

    /// Writes a new comment on a pull request; `body` is in the forge's markup and not longer than it takes.
    ///
    /// # Errors
    /// As for [`Forge::post_status`].
    async fn post_comment(&self, repo: &str, pull_request: u64, body: &str) -> Result<CommentId, ForgeError> {
        let _ = (repo, pull_request, body);
        Err(ForgeError::unsupported(self.name(), "comments"))
    }

    /// Replaces the text of a comment.
    ///
    /// # Errors
    /// As for [`Forge::post_status`]; [`ForgeErrorKind::NotFound`] if somebody deleted it.
    async fn edit_comment(
        &self,
        repo: &str,
        pull_request: u64,
        comment: &CommentId,
        body: &str,
    ) -> Result<(), ForgeError> {
        let _ = (repo, pull_request, comment, body);
        Err(ForgeError::unsupported(self.name(), "comments"))
    }

    /// The comment on a pull request that Longboat's own account wrote and whose text holds `marker`, if there is
    /// one: the oldest. How far an implementation reads is bounded.
    ///
    /// # Errors
    /// As for [`Forge::post_status`].
    async fn find_comment(
        &self,
        repo: &str,
        pull_request: u64,
        marker: &str,
    ) -> Result<Option<PostedComment>, ForgeError> {
        let _ = (repo, pull_request, marker);
        Err(ForgeError::unsupported(self.name(), "comments"))
    }

    /// A pull request as it stands, with full commit ids. `repository` is its name in the configuration.
    ///
    /// # Errors
    /// As for [`Forge::post_status`].
    async fn pull_request(&self, repository: &RepositoryName, number: u64) -> Result<PullRequest, ForgeError> {
        let _ = (repository, number);
        Err(ForgeError::unsupported(self.name(), "pull requests"))
    }

    /// The open pull requests of a repository, newest change first, bounded; cheap if nothing changed since the
    /// look that `since` came from.
    ///
    /// # Errors
    /// As for [`Forge::post_status`].
    async fn open_pull_requests(
        &self,
        repository: &RepositoryName,
        since: Option<&Validator>,
    ) -> Result<Listing, ForgeError> {
        let _ = (repository, since);
        Err(ForgeError::unsupported(self.name(), "pull requests"))
    }

    /// Where Git finds the head of a pull request.
    fn head_of(&self, pull_request: &PullRequest) -> HeadSource {
        HeadSource::Ref(format!("refs/heads/{}", pull_request.head_branch))
    }

    /// Finds out whether the forge answers and takes the token. Changes nothing.
    async fn check_access(&self) -> Vec<CheckItem> {
        Vec::new()
    }

    /// Finds out what the permissions or the webhook of a repository lack. Changes nothing.
    async fn check(&self, repository: &RepositoryName) -> Vec<CheckItem> {
        let _ = repository;
        Vec::new()
    }
}

/// What a forge can do, with the access that it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Whether statuses can be posted.
    pub statuses: bool,
    /// Whether a status is refused without the absolute address of a page (Bitbucket).
    pub status_needs_url: bool,
    /// Whether comments on pull requests can be posted, found and edited, and pull requests read.
    pub pull_requests: bool,
    /// The longest comment, in characters.
    pub comment_limit: usize,
    /// How a comment is written.
    pub markup: Markup,
}

impl Capabilities {
    /// Those of a forge that can only be read with Git.
    pub const NONE: Self = Self {
        statuses: false,
        status_needs_url: false,
        pull_requests: false,
        comment_limit: 0,
        markup: Markup { folding: false, hidden_text: false, mermaid: false },
    };
}

/// An allowance of requests, shared by all that use the same access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// How many requests the forge takes until it is filled up.
    pub limit: u64,
    /// How many of them are left.
    pub remaining: u64,
    /// When it is filled up.
    pub resets_at: Timestamp,
}

/// What a forge's Markdown can do beyond headings, lists, tables, emphasis, code and links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Markup {
    /// Whether `<details>` folds.
    pub folding: bool,
    /// Whether HTML comments are hidden; elsewhere a marker is a link target or plain words.
    pub hidden_text: bool,
    /// Whether a code block in the language `mermaid` is drawn as a picture.
    pub mermaid: bool,
}

/// A forge's id of a comment, as the forge writes it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CommentId(pub String);

/// A comment as it stands on the forge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostedComment {
    /// Its id.
    pub id: CommentId,
    /// Its text, in the forge's markup.
    pub body: String,
}

/// Open pull requests, or that they are what they were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listing {
    /// Nothing changed since.
    Unchanged,
    /// All of them, and what to ask with the next time.
    Changed {
        /// The pull requests.
        open: Vec<PullRequest>,
        /// Whether there are more than an implementation reads.
        truncated: bool,
        /// For the next look, where the forge has such a thing.
        validator: Option<Validator>,
    },
}

/// What a forge calls the state that it told (an `ETag`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validator(pub String);

/// Where Git finds the head of a pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeadSource {
    /// A ref of the repository itself: `refs/pull/7/head`.
    Ref(String),
    /// A branch of another repository on the same forge.
    Repository {
        /// Where Git fetches it; below the forge's configured address.
        url: String,
        /// The full name of the ref there.
        git_ref: String,
    },
    /// The repository that it comes from is gone.
    Gone,
}

/// One thing that `longboat forge check` looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckItem {
    /// What was looked at: `token`, `permission to write statuses`, `webhook`.
    pub subject: String,
    /// How it stands.
    pub verdict: CheckVerdict,
    /// What was found, and if it isn't good, what to do. Holds no secret.
    pub message: String,
}

impl CheckItem {
    /// A thing that was looked at.
    pub fn new(subject: impl Into<String>, verdict: CheckVerdict, message: impl Into<String>) -> Self {
        Self { subject: subject.into(), verdict, message: message.into() }
    }
}

/// How a thing stands that was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckVerdict {
    /// As it should be.
    Good,
    /// Works, but less well than it could.
    Warning,
    /// Something will not work.
    Bad,
    /// Can't be found out with this token.
    Unknown,
}

/// A status as it stands on the forge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostedStatus {
    /// Its name, like `longboat/shop/deploy`.
    pub context: String,
    /// Its state.
    pub state: StatusState,
    /// Its text.
    pub description: String,
    /// The page behind it.
    pub target_url: Option<String>,
}

impl PostedStatus {
    /// Whether this is what posting `status` with `target_url` would leave behind. Not every forge tells an error from
    /// a failure (Bitbucket), so where all else is the same, they are.
    pub fn says(&self, status: &CommitStatus, target_url: Option<&str>) -> bool {
        let bad = |state| matches!(state, StatusState::Failure | StatusState::Error);
        self.context == status.target.context
            && (self.state == status.state || bad(self.state) && bad(status.state))
            && self.description == status.description
            && self.target_url.as_deref() == target_url
    }
}

/// The forges of the configuration, and which repository lives on which.
#[derive(Clone, Default)]
pub struct Forges {
    forges: Vec<Arc<dyn Forge>>,
    /// Of each forge, in the same order.
    repositories: Vec<Vec<RepositoryName>>,
    routes: HashMap<RepositoryName, usize>,
}

impl Forges {
    /// No forges yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a forge with the repositories that live there.
    pub fn add(&mut self, forge: Arc<dyn Forge>, repositories: impl IntoIterator<Item = RepositoryName>) {
        let index = self.forges.len();
        self.forges.push(forge);
        let repositories: Vec<RepositoryName> = repositories.into_iter().collect();
        self.routes.extend(repositories.iter().map(|repository| (repository.clone(), index)));
        self.repositories.push(repositories);
    }

    /// The forge of a repository; none if the configuration doesn't name the repository (any more).
    pub fn of(&self, repository: &RepositoryName) -> Option<&Arc<dyn Forge>> {
        self.index_of(repository).and_then(|index| self.forges.get(index))
    }

    /// Where the forge of a repository stands in [`Forges::all`].
    pub fn index_of(&self, repository: &RepositoryName) -> Option<usize> {
        self.routes.get(repository).copied()
    }

    /// The repositories that live on the forge at that place of [`Forges::all`], in the order of the configuration.
    pub fn repositories_of(&self, index: usize) -> &[RepositoryName] {
        self.repositories.get(index).map_or(&[], Vec::as_slice)
    }

    /// The forges whose webhooks arrive at `/webhooks/` and that word, each with its repositories.
    pub fn by_webhook_path(&self, path: &str) -> impl Iterator<Item = (&Arc<dyn Forge>, &[RepositoryName])> {
        let each = self.forges.iter().enumerate().map(|(index, forge)| (forge, self.repositories_of(index)));
        each.filter(move |(forge, _)| forge.webhook_path() == Some(path))
    }

    /// All forges.
    pub fn all(&self) -> &[Arc<dyn Forge>] {
        &self.forges
    }
}

impl fmt::Debug for Forges {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.forges.iter().map(|forge| forge.name()).collect();
        out.debug_struct("Forges").field("forges", &names).field("repositories", &self.routes.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_find_their_forge() {
        let mut forges = Forges::new();
        let shop = RepositoryName::parse("local/shop").expect("legal");
        forges.add(Arc::new(PlainForge::new("local")), [shop.clone()]);
        assert_eq!(forges.of(&shop).map(|forge| forge.name()), Some("local"));
        assert!(forges.of(&RepositoryName::parse("local/other").expect("legal")).is_none());
        assert_eq!(forges.repositories_of(0), [shop]);
        assert!(forges.repositories_of(1).is_empty());
        assert_eq!(forges.by_webhook_path("local").count(), 0, "a folder sends no webhooks");
    }
}
