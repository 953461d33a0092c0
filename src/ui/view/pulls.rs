//! Pull requests: the rows of their list, and the page of one.

use serde::Serialize;

use super::findings::{FindingsList, review_rows};
use super::lists::{ExecutionRow, execution_rows};
use super::modules::{ImpactPart, PinRow, compared_rows};
use super::plan::PlanPart;
use super::{CommitLink, Links, Moment, Pill};
use crate::clock::Timestamp;
use crate::model::{ComparedPin, PullRequest, PullRequestState, Review, counted, percent_encode_part, shorten};
use crate::store::{ApplicationSummary, ExecutionSummary, StoredPullRequest, published_pins};

/// The longest title in the list, in characters.
const MAX_TITLE: usize = 120;

/// One pull request of the list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(in crate::ui) struct PullRow {
    address: String,
    number: u64,
    title: String,
    state: Pill,
    verdict: Pill,
    summary: String,
    head: CommitLink,
    branches: String,
    author: Option<String>,
    updated: Moment,
}

/// The rows of a part of the list.
pub(in crate::ui) fn pull_rows(items: &[StoredPullRequest], links: Links<'_>) -> Vec<PullRow> {
    let row = |stored: &StoredPullRequest| {
        let this = &stored.pull_request;
        PullRow {
            address: this.page(),
            number: this.number,
            title: title(this, MAX_TITLE),
            state: Pill::of_pull_request(this.state),
            verdict: verdict(stored),
            summary: stored.review.as_ref().map_or_else(|| "Not checked yet".to_owned(), Review::summary),
            head: links.commit(Some(&this.repository), &this.head),
            branches: format!("{} → {}", source(this), this.target_branch),
            author: this.author.clone(),
            updated: Moment::new(stored.updated_at),
        }
    };
    items.iter().map(row).collect()
}

/// The states that the list can be narrowed down to: word, label.
pub(in crate::ui) fn state_choices() -> Vec<(&'static str, Pill)> {
    PullRequestState::ALL.into_iter().map(|state| (state.as_str(), Pill::of_pull_request(state))).collect()
}

/// The page of a pull request.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(in crate::ui) struct PullPage {
    repository: String,
    number: u64,
    title: String,
    url: Option<String>,
    state: Pill,
    verdict: Pill,
    author: Option<String>,
    head: CommitLink,
    source: String,
    target: String,
    seen: Moment,
    updated: Moment,
    review: Option<ReviewPart>,
    merge: Option<MergePart>,
    complete: bool,
}

/// What was found in its head.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct ReviewPart {
    found: FindingsList,
    /// Why the head could not be looked at.
    trouble: Option<String>,
    target: String,
    /// Another head, or another target, than the pull request has by now.
    outdated: bool,
    fixed: Option<String>,
    unlisted: Option<String>,
    plan: Option<PlanPart>,
    /// What the module repositories were read at.
    pins: Vec<PinRow>,
    /// What becomes of those who use the modules of the repository.
    dependents: Option<ImpactPart>,
    /// Errors hide what would change.
    hidden: bool,
    /// What is only counted: that was told by an older version.
    untold: Option<String>,
}

/// What the merge started.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct MergePart {
    commit: CommitLink,
    rows: Vec<ExecutionRow>,
    /// Where all executions of the commit are.
    all: String,
    /// What was found in the commit itself.
    findings: String,
}

impl PullPage {
    /// `runs`: what its merge started, the newest first; `applications`: what is published, to compare with.
    pub(in crate::ui) fn new(
        stored: &StoredPullRequest,
        runs: &[ExecutionSummary],
        applications: &[ApplicationSummary],
        links: Links<'_>,
        now: Timestamp,
    ) -> Self {
        let this = &stored.pull_request;
        Self {
            repository: this.repository.to_string(),
            number: this.number,
            title: title(this, usize::MAX),
            url: links.pull_request(this),
            state: Pill::of_pull_request(this.state),
            verdict: verdict(stored),
            author: this.author.clone(),
            head: links.commit(Some(&this.repository), &this.head),
            source: source(this),
            target: this.target_branch.clone(),
            seen: Moment::new(stored.seen_at),
            updated: Moment::new(stored.updated_at),
            review: stored.review.as_ref().map(|review| ReviewPart::new(this, review, applications, links)),
            merge: this.merge_commit.as_ref().map(|commit| MergePart {
                commit: links.commit(Some(&this.repository), commit),
                rows: execution_rows(runs, links, now),
                all: format!("/?repository={}&commit={commit}", percent_encode_part(this.repository.as_str())),
                findings: format!("/repositories/{}?commit={commit}", this.repository),
            }),
            complete: this.state == PullRequestState::Closed,
        }
    }
}

impl ReviewPart {
    fn new(this: &PullRequest, review: &Review, applications: &[ApplicationSummary], links: Links<'_>) -> Self {
        let checked = review.trouble.is_none();
        let listed = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let errors = review.findings.iter().filter(|found| found.finding.is_error()).count();
        let fixed = review.errors_before.saturating_sub(review.errors);
        let more = |all: u32, shown: usize| all.saturating_sub(listed(shown));
        Self {
            found: review_rows(&this.repository, review, links),
            trouble: review.trouble.clone(),
            target: review.target_branch.clone(),
            outdated: review.commit != this.head || review.target_branch != this.target_branch,
            fixed: (checked && fixed > 0)
                .then(|| format!("{} fewer than at the check before", counted(fixed, "error"))),
            unlisted: Some(more(review.errors, errors))
                .filter(|more| *more > 0)
                .map(|more| counted(more, "further error")),
            plan: review.plan.as_ref().map(|plan| PlanPart::new(&this.repository, review, plan, links)),
            pins: compared_rows(&ComparedPin::all(&review.pins, published_pins(applications, this)), links),
            dependents: review.dependents.as_ref().and_then(|impact| ImpactPart::new(impact, links)),
            hidden: checked && review.errors > 0 && review.changed == 0,
            untold: Some(review.changed)
                .filter(|changed| *changed > 0 && review.plan.is_none())
                .map(|changed| counted(changed, "pipeline")),
        }
    }
}

/// What the review of the head as it stands came to; an older one doesn't count while there will be another.
fn verdict(stored: &StoredPullRequest) -> Pill {
    let this = &stored.pull_request;
    let open = this.state == PullRequestState::Open;
    let current = |review: &&Review| !open || review.commit == this.head;
    Pill::of_review(stored.review.as_ref().filter(current), open)
}

fn title(this: &PullRequest, most: usize) -> String {
    if this.title.trim().is_empty() { format!("Pull request {}", this.number) } else { shorten(&this.title, most) }
}

/// The branch that it comes from, with its repository if that is another one.
fn source(this: &PullRequest) -> String {
    match &this.head_repository {
        _ if !this.fork => this.head_branch.clone(),
        Some(fork) => format!("{fork}:{}", this.head_branch),
        None => format!("(repository gone):{}", this.head_branch),
    }
}
