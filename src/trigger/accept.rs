//! From a push that somebody noticed to an entry of the inbox.

use super::matching::RefName;
use super::{Repository, Shared, Triggers};
use crate::forge::{CommentEvent, PullRequestEvent, Push};
use crate::model::{CommitSha, CommitStatus, RepositoryName};
use crate::store::{Accepted, RefChange, Seen, Source, StoreError};

/// What became of a webhook's push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Noticed {
    /// The store has taken notice; what it answered 2xx survives a crash.
    Accepted(Accepted),
    /// The configuration doesn't have the repository.
    NotFollowed(RepositoryName),
    /// Neither a branch nor a tag.
    NoBranch,
    /// Nothing follows from it.
    Nothing,
}

impl Triggers {
    /// Takes up a push that a verified webhook announced. The caller has made sure that the webhook's secret
    /// speaks for the repository's forge.
    ///
    /// # Errors
    /// If it can't be written; then the forge must send it again.
    pub async fn notice(&self, push: Push, delivery: Option<String>) -> Result<Noticed, StoreError> {
        let Some(repository) = self.shared.repositories.get(&push.repository_full_name) else {
            return Ok(Noticed::NotFollowed(push.repository_full_name));
        };
        if RefName::of(&push.git_ref).is_none() {
            return Ok(Noticed::NoBranch);
        }
        let change = RefChange {
            repository: repository.name().clone(),
            checking: self.shared.checking(repository, &push.git_ref, push.after.as_ref()),
            git_ref: push.git_ref,
            old: Seen::Claimed(push.before),
            new: push.after,
            delivery,
            source: Source::Webhook,
            actor: push.actor,
            event: Some("push".to_owned()),
        };
        // In a task of its own: a client that hangs up must not keep half a push from being written.
        let store = self.shared.store.clone();
        let accepted = tokio::spawn(async move { store.accept(change).await }).await;
        accepted.unwrap_or(Err(StoreError::Closed)).map(Noticed::Accepted)
    }

    /// Takes up what a verified webhook announced about a pull request. Pull requests are not followed, so nothing
    /// comes of it.
    ///
    /// # Errors
    /// If it can't be written; then the forge must send it again.
    pub async fn notice_pull_request(
        &self,
        event: PullRequestEvent,
        delivery: Option<String>,
    ) -> Result<Noticed, StoreError> {
        tracing::debug!(repository = %event.repository, number = event.number, delivery, "a pull request's event");
        Ok(self.unless_unknown(event.repository))
    }

    /// Takes up what a verified webhook announced about a comment on a pull request; nothing comes of it.
    ///
    /// # Errors
    /// If it can't be written; then the forge must send it again.
    pub async fn notice_comment(&self, event: CommentEvent, delivery: Option<String>) -> Result<Noticed, StoreError> {
        tracing::debug!(repository = %event.repository, number = event.number, delivery, "a comment's event");
        Ok(self.unless_unknown(event.repository))
    }

    fn unless_unknown(&self, repository: RepositoryName) -> Noticed {
        match self.shared.repositories.get(&repository) {
            Some(_) => Noticed::Nothing,
            None => Noticed::NotFollowed(repository),
        }
    }
}

impl Shared {
    /// The status that stands on a commit until its files are checked. Repositories whose tree had no files when
    /// it was last seen get none (FORMAT section 8), nor do tags.
    pub(super) fn checking(
        &self,
        repository: &Repository,
        git_ref: &str,
        commit: Option<&CommitSha>,
    ) -> Option<CommitStatus> {
        RefName::of(git_ref)?.branch()?;
        let commit = commit.filter(|_| repository.known().has_files == Some(true))?;
        Some(self.options.reports.checking(repository.name(), commit))
    }
}
