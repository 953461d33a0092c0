//! Bitbucket Data Center's JSON, in webhooks and in answers of its API; the parts that are used.
//!
//! Dates are not among them: depending on the version they are milliseconds or text.

use serde::Deserialize;

use crate::forge::bitbucket::webhook::{branch, title};
use crate::forge::hook;
use crate::model::{CommitSha, PullRequest, PullRequestState, RepositoryName};

#[derive(Debug, Clone, Deserialize)]
pub(super) struct User {
    /// Unique on the server, and not to be chosen anew.
    pub(super) name: Option<String>,
}

impl User {
    pub(super) fn account(self) -> Option<String> {
        hook::account(self.name)
    }
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Project {
    pub(super) key: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Repository {
    pub(super) slug: Option<String>,
    pub(super) project: Option<Project>,
}

impl Repository {
    /// `KEY/slug`, or `~user/slug` for a personal one.
    pub(super) fn full_name(self) -> Option<String> {
        Some(format!("{}/{}", self.project?.key?, self.slug?))
    }
}

/// One end of a pull request.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct End {
    pub(super) id: Option<String>,
    pub(super) latest_commit: Option<String>,
    pub(super) repository: Option<Repository>,
}

impl End {
    fn branch(&self) -> Option<String> {
        branch(self.id.as_deref()?.strip_prefix("refs/heads/")?)
    }
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Participant {
    pub(super) user: Option<User>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct CommitPart {
    pub(super) id: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Properties {
    pub(super) merge_commit: Option<CommitPart>,
}

/// A pull request.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PullRequestPart {
    pub(super) id: Option<u64>,
    pub(super) version: Option<i64>,
    pub(super) title: Option<String>,
    pub(super) state: Option<String>,
    pub(super) author: Option<Participant>,
    pub(super) from_ref: Option<End>,
    pub(super) to_ref: Option<End>,
    pub(super) properties: Option<Properties>,
}

impl PullRequestPart {
    /// The pull request; none if something is missing.
    pub(super) fn in_full(self, repository: &RepositoryName) -> Option<PullRequest> {
        let (from, to) = (self.from_ref?, self.to_ref?);
        let state = match self.state.as_deref() {
            Some("MERGED") => PullRequestState::Merged,
            Some("OPEN") | None => PullRequestState::Open,
            Some(_) => PullRequestState::Closed,
        };
        let merge = self.properties.and_then(|properties| properties.merge_commit).and_then(|commit| commit.id);
        let merge_commit = merge.and_then(|id| CommitSha::parse(&id).ok());
        if state == PullRequestState::Merged && merge_commit.is_none() {
            return None;
        }
        let head_branch = from.branch()?;
        let head = CommitSha::parse(from.latest_commit.as_deref()?).ok()?;
        let head_repository = from.repository.and_then(Repository::full_name);
        Some(PullRequest {
            repository: repository.clone(),
            number: self.id?,
            title: title(self.title),
            state,
            head,
            head_branch,
            fork: head_repository.as_deref().is_none_or(|name| !name.eq_ignore_ascii_case(repository.as_str())),
            head_repository: head_repository.filter(|name| RepositoryName::parse(name).is_ok()),
            target_branch: to.branch()?,
            author: self.author.and_then(|author| author.user).and_then(User::account),
            merge_commit,
        })
    }
}
