//! The forges: where repositories live, pushes are announced, and commits get their statuses.
//!
//! [`Forge`] is what the rest of Longboat knows of GitHub and its like. A forge's own words stay in its
//! folder: a webhook becomes a [`ForgeEvent`] at the border, an answer of its API a [`ForgeError`]. The
//! hosts that are called come from the configuration alone, never from a payload.

pub mod github;
mod plain;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::model::{CommitSha, CommitStatus, RepositoryName, StatusState};

pub use plain::PlainForge;

/// A forge as Longboat uses it. One object per forge of the configuration, shared.
#[async_trait]
pub trait Forge: Send + Sync + 'static {
    /// Its name in the configuration.
    fn name(&self) -> &str;

    /// Writes one status onto a commit. It's tried once; who calls decides about another try.
    ///
    /// `repo` is the repository's full name on the forge (`owner/name`), `target_url` the absolute address
    /// of the page behind the status.
    ///
    /// # Errors
    /// What the forge answered, or that it could not be asked; [`ForgeError::may_have_arrived`] says whether
    /// the status may stand there all the same.
    async fn post_status(&self, repo: &str, status: &CommitStatus, target_url: Option<&str>) -> Result<(), ForgeError>;

    /// The statuses of a commit, newest first. Forges keep a status for every post; how far back an
    /// implementation reads is bounded.
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
    /// Whether this is what posting `status` with `target_url` would leave behind.
    pub fn says(&self, status: &CommitStatus, target_url: Option<&str>) -> bool {
        self.context == status.target.context
            && self.state == status.state
            && self.description == status.description
            && self.target_url.as_deref() == target_url
    }
}

/// Why a forge did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ForgeError {
    /// What kind of trouble it is; decides about further tries.
    pub kind: ForgeErrorKind,
    /// For people: what happened, where, and what to do. Holds no secret.
    pub message: String,
    /// Whether the forge may have acted although there's no good answer: the request had left when the
    /// trouble began. Then it is to be read back before it is sent again.
    pub may_have_arrived: bool,
}

/// The kinds of trouble with a forge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForgeErrorKind {
    /// The request is not acceptable and never will be (GitHub's 422).
    Refused,
    /// No such repository or commit, or the token may not see it.
    NotFound,
    /// The token is missing, wrong or expired (401): nothing on this forge works.
    Auth,
    /// The token may not do this to this repository (403 without a rate limit).
    Forbidden,
    /// Too many requests; nothing is to be sent before `until`.
    RateLimited {
        /// When the forge takes requests again, by Longboat's clock.
        until: Timestamp,
    },
    /// No connection, no answer in time, or the connection broke.
    Unreachable,
    /// The forge failed (5xx), or answered with something that is no answer.
    Server,
}

impl ForgeErrorKind {
    /// Whether the forge as a whole is in trouble, rather than this one request.
    pub const fn concerns_whole_forge(self) -> bool {
        matches!(self, Self::Auth | Self::RateLimited { .. } | Self::Unreachable | Self::Server)
    }
}

/// What a webhook delivery announces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForgeEvent {
    /// The forge tries out the webhook.
    Ping,
    /// A branch or a tag moved.
    Push(Push),
    /// Verified, but of no interest.
    Ignored {
        /// The forge's word for it.
        event: String,
    },
}

/// A branch or tag that moved, as a webhook tells it: a hint that is checked against the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// The repository, spelled as in the configuration.
    pub repository_full_name: RepositoryName,
    /// The full name of the ref: `refs/heads/main`, `refs/tags/v1`.
    pub git_ref: String,
    /// Where it stood before; none if it was created. For an annotated tag this can be the tag object.
    pub before: Option<CommitSha>,
    /// The commit it stands at; none if it was deleted.
    pub after: Option<CommitSha>,
    /// Who pushed, as the forge authenticated them. Never the author of a commit.
    pub actor: Option<String>,
    /// Whether history was rewritten.
    pub forced: bool,
    /// Whether the ref was created.
    pub created: bool,
    /// Whether the ref is gone.
    pub deleted: bool,
}

/// The forges of the configuration, and which repository lives on which.
#[derive(Clone, Default)]
pub struct Forges {
    forges: Vec<Arc<dyn Forge>>,
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
        self.routes.extend(repositories.into_iter().map(|repository| (repository, index)));
    }

    /// The forge of a repository; none if the configuration doesn't name the repository (any more).
    pub fn of(&self, repository: &RepositoryName) -> Option<&Arc<dyn Forge>> {
        self.index_of(repository).and_then(|index| self.forges.get(index))
    }

    /// Where the forge of a repository stands in [`Forges::all`].
    pub fn index_of(&self, repository: &RepositoryName) -> Option<usize> {
        self.routes.get(repository).copied()
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
    }
}
