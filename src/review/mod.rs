//! What the one comment of a pull request says: what was found in it, and what became of its merge.
//!
//! [`Reviewer::comment`] gathers what the store and the engine know now; `layout` turns that into blocks, without
//! any I/O. The same state gives the same comment, so that nothing is edited for nothing. How it is written and
//! sent is the business of `forge::markdown` and `notify`.

mod dependents;
mod findings;
mod layout;
mod outcome;
mod plan;
mod runs;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::engine::{Handle, LogSource};
use crate::model::{Block, Comment, Line, PullRequest, PullRequestState, RepositoryName, Review};
use crate::store::Store;

use runs::Runs;

/// A plan as a comment tells it, for those who print it: `about` says what was compared.
pub fn plan(review: &Review, about: Line) -> Vec<Block> {
    layout::plan(review, about)
}

/// Puts comments together.
#[derive(Clone)]
pub struct Reviewer {
    store: Store,
    engine: Handle,
    logs: Arc<dyn LogSource>,
}

/// What a comment is about.
struct Subject<'a> {
    pull_request: &'a PullRequest,
    review: Option<&'a Review>,
    /// What its merge started; none while it isn't merged.
    runs: Option<Runs>,
}

impl Reviewer {
    /// Reads from `store` and `engine`, and the last lines of what failed from `logs`.
    pub fn new(store: Store, engine: Handle, logs: Arc<dyn LogSource>) -> Self {
        Self { store, engine, logs }
    }

    /// What the comment of a pull request says as things stand; none if there is nothing to say: the pull request is
    /// unknown or not looked at yet, or neither it nor its merge has to do with pipelines and nothing was said before.
    ///
    /// # Errors
    /// Why it can't be told for now.
    pub async fn comment(&self, repository: &RepositoryName, number: u64) -> Result<Option<Comment>, String> {
        let stored = self.store.pull_request(repository, number).await.map_err(|error| error.to_string())?;
        let Some(stored) = stored else { return Ok(None) };
        let runs = match &stored.pull_request.merge_commit {
            Some(commit) if stored.pull_request.state == PullRequestState::Merged => {
                Some(runs::of_commit(self, repository, commit).await?)
            }
            _ => None,
        };
        let subject = Subject { pull_request: &stored.pull_request, review: stored.review.as_ref(), runs };
        let silent = stored.comment.is_none() && subject.is_of_no_interest();
        Ok((!silent).then(|| layout::comment(&subject)))
    }
}

impl Subject<'_> {
    /// Whether a reader who was told nothing so far misses nothing.
    fn is_of_no_interest(&self) -> bool {
        let started_nothing = self.runs.as_ref().is_none_or(|runs| runs.all == 0);
        let found_nothing = self.review.is_none_or(|review| !review.is_of_interest());
        started_nothing && found_nothing
    }
}
