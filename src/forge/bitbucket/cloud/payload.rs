//! Bitbucket Cloud's JSON, in webhooks and in answers of its API; the parts that are used.
//!
//! Everything is optional, because Bitbucket adds and leaves out. Accounts have no user names: `account_id` is what
//! doesn't change and can't be chosen, so it is who somebody is.

use serde::Deserialize;

use crate::forge::bitbucket::webhook::{branch, title};
use crate::forge::hook;
use crate::model::{CommitSha, PullRequest, PullRequestState, RepositoryName};

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Account {
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) uuid: Option<String>,
    pub(super) account_id: Option<String>,
}

impl Account {
    pub(super) fn id(self) -> Option<String> {
        hook::account(self.account_id.or(self.uuid))
    }
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Repository {
    pub(super) full_name: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Hash {
    pub(super) hash: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Branch {
    pub(super) name: Option<String>,
}

/// One end of a pull request.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct End {
    pub(super) branch: Option<Branch>,
    pub(super) commit: Option<Hash>,
    /// None if the repository is gone.
    pub(super) repository: Option<Repository>,
}

/// A pull request. Its commits are cut to 12 digits.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct PullRequestPart {
    pub(super) id: Option<u64>,
    pub(super) title: Option<String>,
    pub(super) state: Option<String>,
    pub(super) author: Option<Account>,
    pub(super) source: Option<End>,
    pub(super) destination: Option<End>,
    pub(super) merge_commit: Option<Hash>,
    pub(super) updated_on: Option<String>,
}

impl PullRequestPart {
    /// The head's id as far as it is told.
    pub(super) fn head(&self) -> Option<&str> {
        self.source.as_ref()?.commit.as_ref()?.hash.as_deref()
    }

    /// The merge's id as far as it is told.
    pub(super) fn merge(&self) -> Option<&str> {
        self.merge_commit.as_ref()?.hash.as_deref()
    }

    /// The pull request, with ids that were found out elsewhere; none if something is missing.
    pub(super) fn with(
        self,
        repository: &RepositoryName,
        head: CommitSha,
        merge_commit: Option<CommitSha>,
    ) -> Option<PullRequest> {
        let source = self.source?;
        let head_repository = source.repository.and_then(|repository| repository.full_name);
        Some(PullRequest {
            repository: repository.clone(),
            number: self.id?,
            title: title(self.title),
            state: state(self.state.as_deref()),
            head,
            head_branch: branch(source.branch?.name.as_deref()?)?,
            fork: head_repository.as_deref().is_none_or(|name| !name.eq_ignore_ascii_case(repository.as_str())),
            head_repository: head_repository.filter(|name| RepositoryName::parse(name).is_ok()),
            target_branch: branch(self.destination?.branch?.name.as_deref()?)?,
            author: self.author.and_then(Account::id),
            merge_commit,
        })
    }

    /// The pull request, if all ids are told in full.
    pub(super) fn in_full(self, repository: &RepositoryName) -> Option<PullRequest> {
        let head = CommitSha::parse(self.head()?).ok()?;
        let merge = match self.merge() {
            Some(merge) => Some(CommitSha::parse(merge).ok()?),
            // It is merged, so there must be one.
            None if state(self.state.as_deref()) == PullRequestState::Merged => return None,
            None => None,
        };
        self.with(repository, head, merge)
    }
}

fn state(word: Option<&str>) -> PullRequestState {
    match word {
        Some("MERGED") => PullRequestState::Merged,
        Some("OPEN") | None => PullRequestState::Open,
        // DECLINED, SUPERSEDED, and whatever comes to be said of one that can't be merged.
        Some(_) => PullRequestState::Closed,
    }
}
