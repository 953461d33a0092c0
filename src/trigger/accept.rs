//! From a push that somebody noticed to an entry of the inbox.

use super::{Repository, Shared, Triggers};
use crate::forge::{CommentEvent, PullRequestEvent, Push};
use crate::gitops::matching::RefName;
use crate::model::{CommitSha, CommitStatus, PullRequestState, RepositoryName, pull_request_page};
use crate::store::{Accepted, NoticedPullRequest, PullRequestNotice, RefChange, Seen, Source, StoreError};

/// What a comment starts with that asks for another look at a pull request.
const CHECK: &str = "/longboat check";
/// The longest title that is kept, in characters.
const LONGEST_TITLE: usize = 300;

/// What became of a webhook's push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Noticed {
    /// The store has taken notice; what it answered 2xx survives a crash.
    Accepted(Accepted),
    /// The configuration doesn't have the repository.
    NotFollowed(RepositoryName),
    /// Neither a branch nor a tag.
    NoBranch,
    /// A comment that asks for nothing.
    NoCommand,
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
        self.shared.listen_to_others().await?;
        let change = RefChange {
            repository: repository.name().clone(),
            tracked: repository.tracks(&push.git_ref),
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

    /// Takes up what a verified webhook told of a pull request. What it doesn't tell is asked for later.
    ///
    /// # Errors
    /// If it can't be written; then the forge must send it again.
    pub async fn notice_pull_request(
        &self,
        event: PullRequestEvent,
        delivery: Option<String>,
    ) -> Result<Noticed, StoreError> {
        let PullRequestEvent { repository, number, pull_request, actor, event, .. } = event;
        let noticed = NoticedPullRequest { told: pull_request, again: false };
        self.take_up(repository, number, noticed, delivery, (actor, event)).await
    }

    /// Takes up a comment on a pull request: whoever writes `/longboat check` gets another look at its head, and
    /// whoever edits or deletes Longboat's own comment gets it back.
    ///
    /// # Errors
    /// If it can't be written; then the forge must send it again.
    pub async fn notice_comment(&self, event: CommentEvent, delivery: Option<String>) -> Result<Noticed, StoreError> {
        let CommentEvent { repository, number, comment, actor, text, created } = event;
        if !created {
            let store = self.shared.store.clone();
            // What was begun is written, even if the forge doesn't wait for the answer.
            let doubted = tokio::spawn(async move { store.doubt_comment(&repository, number, &comment.0).await }).await;
            doubted.unwrap_or(Err(StoreError::Closed))?;
            return Ok(Noticed::NoCommand);
        }
        if !text.as_deref().is_some_and(asks_for_a_check) {
            return Ok(Noticed::NoCommand);
        }
        let noticed = NoticedPullRequest { told: None, again: true };
        self.take_up(repository, number, noticed, delivery, (actor, "comment".to_owned())).await
    }

    async fn take_up(
        &self,
        repository: RepositoryName,
        number: u64,
        noticed: NoticedPullRequest,
        delivery: Option<String>,
        (actor, event): (Option<String>, String),
    ) -> Result<Noticed, StoreError> {
        let Some(repository) = self.shared.repositories.get(&repository) else {
            return Ok(Noticed::NotFollowed(repository));
        };
        self.shared.listen_to_others().await?;
        let notice = PullRequestNotice {
            delivery,
            source: Source::Webhook,
            actor,
            event: Some(event),
            ..self.shared.notice_of(repository, number, noticed)
        };
        let store = self.shared.store.clone();
        let accepted = tokio::spawn(async move { store.notice_pull_request(notice).await }).await;
        accepted.unwrap_or(Err(StoreError::Closed)).map(Noticed::Accepted)
    }
}

/// Whether a comment's first line is the command, in words of any case.
fn asks_for_a_check(text: &str) -> bool {
    let mut words = text.lines().next().unwrap_or_default().split_whitespace();
    CHECK.split(' ').all(|word| words.next().is_some_and(|said| said.eq_ignore_ascii_case(word)))
        && words.next().is_none()
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

    /// What is written down of a pull request that was noticed by looking; a webhook adds its own. An open head waits
    /// for its review from now on, and says so, in repositories that are known to have files.
    pub(super) fn notice_of(
        &self,
        repository: &Repository,
        number: u64,
        mut noticed: NoticedPullRequest,
    ) -> PullRequestNotice {
        if let Some(told) = &mut noticed.told
            && let Some((end, _)) = told.title.char_indices().nth(LONGEST_TITLE)
        {
            told.title.truncate(end);
        }
        let head = noticed.told.as_ref().filter(|told| told.state == PullRequestState::Open).map(|told| &told.head);
        let known = head.filter(|_| repository.known().has_files == Some(true));
        PullRequestNotice {
            repository: repository.name().clone(),
            number,
            checking: known.map(|head| {
                let page = pull_request_page(repository.name(), number);
                self.options.reports.checking(repository.name(), head).on_page(page)
            }),
            noticed,
            delivery: None,
            source: Source::Poll,
            actor: None,
            event: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_comment_s_first_line_is_a_command() {
        for good in ["/longboat check", "/longboat  check \r\nplease", "/Longboat Check"] {
            assert!(asks_for_a_check(good), "{good}");
        }
        for bad in ["", "please\n/longboat check", "> /longboat check", "/longboat checks", "/longboat check it"] {
            assert!(!asks_for_a_check(bad), "{bad}");
        }
    }
}
