//! What `longboat/validate` says on the head of a pull request.
//!
//! A commit has one such status. It can be the head of several pull requests, each rendered as another target branch,
//! and the tip of a branch. A branch whose definitions don't count leaves the word to the pull request. Among those
//! that do speak, the worst counts: who requires the status for a merge must not be let through by another
//! target's good news. What each pull request's own review found is in its comment and on its page.

use super::is_bad;
use crate::diagnostic::Diagnostic;
use crate::gitops::summarize_review;
use crate::model::{CommitSha, CommitStatus, PullRequest, Review, StatusState};
use crate::store::StoredPullRequest;
use crate::trigger::failure::WorkError;
use crate::trigger::{Repository, Shared};

/// What a pull request's own review says on its head.
pub(super) fn status(shared: &Shared, this: &PullRequest, review: &Review) -> CommitStatus {
    let (state, text) = summarize_review(review);
    shared.options.reports.reviewed(this, state, &text)
}

/// What is said on the head: the word of this review, or a worse one.
pub(super) async fn worst(
    shared: &Shared,
    repository: &Repository,
    this: &PullRequest,
    review: &Review,
) -> Result<CommitStatus, WorkError> {
    let own = status(shared, this, review);
    if is_bad(&own) {
        return Ok(own);
    }
    if let Some(worse) = bad_pull_request(shared, this, &open_at(shared, repository, this).await?) {
        return Ok(worse);
    }
    // The tip of a tracked branch has an answer of its own, which is about what is in force.
    if !this.fork && repository.tracks(&format!("refs/heads/{}", this.head_branch)) {
        let found = shared.store.findings(repository.name(), &this.head).await?;
        let found = found.filter(|found| found.git_ref == format!("refs/heads/{}", this.head_branch));
        let errors = found.map_or(0, |found| found.findings.iter().filter(|one| Diagnostic::is_error(one)).count());
        if errors > 0 {
            let noun = if errors == 1 { "error" } else { "errors" };
            let text = format!("Failed: {errors} {noun} on {} itself", this.head_branch);
            // The page of the commit has those errors, that of the pull request hasn't.
            return Ok(shared.options.reports.checked(&this.repository, &this.head, (StatusState::Failure, text)));
        }
    }
    Ok(own)
}

/// What the other open pull requests say on the head of one that was closed; nothing if there are none.
pub(super) async fn of_others(
    shared: &Shared,
    repository: &Repository,
    closed: &PullRequest,
) -> Result<Option<CommitStatus>, WorkError> {
    let others = open_at(shared, repository, closed).await?;
    let good = || {
        let (other, review) = others.iter().find_map(|other| Some((&other.pull_request, reviewed(other)?)))?;
        Some(status(shared, other, review))
    };
    Ok(bad_pull_request(shared, closed, &others).or_else(good))
}

/// What an open pull request has against a commit, in whatever place it was rendered.
pub(in crate::trigger) async fn worse_of_pull_requests(
    shared: &Shared,
    repository: &Repository,
    commit: &CommitSha,
) -> Result<Option<CommitStatus>, WorkError> {
    let open = shared.store.open_pull_requests_at(repository.name(), commit).await?;
    Ok(open.iter().find_map(|other| bad(shared, other)))
}

/// A pull request that went away before its head was looked at.
pub(super) fn cancelled(shared: &Shared, this: &PullRequest) -> CommitStatus {
    let text = format!("Cancelled: the pull request is {}", this.state.as_str());
    shared.options.reports.reviewed(this, StatusState::Failure, &text)
}

async fn open_at(
    shared: &Shared,
    repository: &Repository,
    this: &PullRequest,
) -> Result<Vec<StoredPullRequest>, WorkError> {
    let mut open = shared.store.open_pull_requests_at(repository.name(), &this.head).await?;
    open.retain(|other| other.pull_request.number != this.number);
    Ok(open)
}

fn bad_pull_request(shared: &Shared, this: &PullRequest, others: &[StoredPullRequest]) -> Option<CommitStatus> {
    let bad = others.iter().find_map(|other| bad(shared, other))?;
    debug_assert_eq!(bad.target.commit, this.head);
    Some(bad)
}

fn bad(shared: &Shared, other: &StoredPullRequest) -> Option<CommitStatus> {
    let (this, review) = (&other.pull_request, reviewed(other)?);
    let (state, text) = summarize_review(review);
    let text = text.replacen("Failed: ", &format!("Failed: #{} into {}, ", this.number, this.target_branch), 1);
    (state != StatusState::Success).then(|| shared.options.reports.reviewed(this, state, &text))
}

/// A review that is about the head as it stands.
fn reviewed(stored: &StoredPullRequest) -> Option<&Review> {
    let this = &stored.pull_request;
    stored.review.as_ref().filter(|review| review.commit == this.head && review.target_branch == this.target_branch)
}
