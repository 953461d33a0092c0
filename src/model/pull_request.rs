//! A pull request, and what Longboat found in it.

use serde::{Deserialize, Serialize};

use super::{CommitSha, Impact, Pins, Plan, PlanReport, RepositoryName, counted};
use crate::diagnostic::Diagnostic;

/// A pull request as its forge has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PullRequest {
    /// The repository that it would change.
    pub repository: RepositoryName,
    /// Its number there.
    pub number: u64,
    /// Its title: a text that anybody can choose.
    pub title: String,
    /// Whether it is open.
    pub state: PullRequestState,
    /// The newest commit of its branch.
    pub head: CommitSha,
    /// The branch that it comes from, without `refs/heads/`.
    pub head_branch: String,
    /// The full name on the forge of the repository that the branch is in; none if that repository is gone.
    pub head_repository: Option<String>,
    /// Whether the branch is in another repository.
    pub fork: bool,
    /// The branch that it would change, without `refs/heads/`.
    pub target_branch: String,
    /// Who opened it, as the forge authenticated them.
    pub author: Option<String>,
    /// The commit by which it was merged.
    pub merge_commit: Option<CommitSha>,
}

impl PullRequest {
    /// The path of the page that shows it, below the server's public address.
    pub fn page(&self) -> String {
        pull_request_page(&self.repository, self.number)
    }
}

/// What [`PullRequest::page`] is for a pull request of which only the number is known.
pub fn pull_request_page(repository: &RepositoryName, number: u64) -> String {
    format!("/repositories/{repository}/pull-requests/{number}")
}

/// The name under which Longboat follows the head of a pull request, whatever its forge calls it.
pub fn pull_request_ref(number: u64) -> String {
    format!("{PREFIX}{number}{SUFFIX}")
}

/// The pull request that [`pull_request_ref`] named.
pub fn pull_request_number(git_ref: &str) -> Option<u64> {
    git_ref.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.parse().ok()
}

const PREFIX: &str = "refs/pull/";
const SUFFIX: &str = "/head";

/// Whether a pull request is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PullRequestState {
    /// It can be merged.
    Open,
    /// Its changes are in the target branch.
    Merged,
    /// It was declined, closed or deleted.
    Closed,
}

impl PullRequestState {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Open, Self::Merged, Self::Closed];

    /// The word for it: `open`, `merged`, `closed`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Merged => "merged",
            Self::Closed => "closed",
        }
    }

    /// The state that [`Self::as_str`] named.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// What was found in the head of a pull request, rendered as its target branch would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Review {
    /// The head that was looked at.
    pub commit: CommitSha,
    /// The branch in whose place it was rendered.
    pub target_branch: String,
    /// How many application files there are.
    pub files: u32,
    /// How many pipelines are valid.
    pub pipelines: u32,
    /// What was found, errors first; bounded.
    pub findings: Vec<ReviewFinding>,
    /// How many errors there are, those that `findings` has no room for included.
    pub errors: u32,
    /// How many warnings there are, likewise.
    pub warnings: u32,
    /// How many errors the review before this one had; it is what "fixed" refers to.
    pub errors_before: u32,
    /// How many pipelines the merge would add, change or remove.
    pub changed: u32,
    /// What the references to module repositories meant.
    #[serde(default, skip_serializing_if = "Pins::is_empty")]
    pub pins: Pins,
    /// What the merge would do; none if the head could not be looked at, or was by an older version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    /// The commit that the head was compared with; none if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<CommitSha>,
    /// What the merge would do to those who use the repository's modules; none if it is no module repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dependents: Option<Impact>,
    /// Why the head could not be looked at, in words; then nothing else here counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// What a review comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReviewVerdict {
    /// The head could not be looked at.
    Unchecked,
    /// There are errors.
    Failed,
    /// There are no errors, but warnings.
    Warnings,
    /// There are no pipeline files, and none go away.
    Empty,
    /// All is well.
    Good,
}

impl Review {
    /// What it comes to.
    pub fn verdict(&self) -> ReviewVerdict {
        if self.trouble.is_some() {
            ReviewVerdict::Unchecked
        } else if self.errors > 0 || self.dependents.as_ref().is_some_and(|impact| impact.broken > 0) {
            ReviewVerdict::Failed
        } else if self.warnings > 0 {
            ReviewVerdict::Warnings
        } else if self.files == 0 && self.changed == 0 && !self.has_dependents() {
            ReviewVerdict::Empty
        } else {
            ReviewVerdict::Good
        }
    }

    /// Whether anybody depends on the repository's modules.
    pub fn has_dependents(&self) -> bool {
        self.dependents.as_ref().is_some_and(|impact| impact.all() > 0)
    }

    /// Whether there is anything in it that a reader wants to know.
    pub fn is_of_interest(&self) -> bool {
        self.files > 0
            || !self.findings.is_empty()
            || self.errors > 0
            || self.changed > 0
            || self.trouble.is_some()
            || self.has_dependents()
    }

    /// Verdict and counts: `Failed: 2 errors, 1 warning`.
    pub fn summary(&self) -> String {
        if self.trouble.is_some() {
            return "Could not be checked".to_owned();
        }
        let mut counts = Vec::new();
        let breaks = self.dependents.as_ref().and_then(Impact::breaks);
        let verdict = if self.errors > 0 || breaks.is_some() { "Failed" } else { "Good" };
        let is_empty = self.files == 0 && self.changed == 0;
        if self.errors > 0 {
            counts.push(counted(self.errors, "error"));
        } else if is_empty && !self.has_dependents() {
            return "No pipeline files".to_owned();
        }
        counts.extend(breaks);
        if self.warnings > 0 {
            counts.push(counted(self.warnings, "warning"));
        }
        if self.errors == 0 && !is_empty {
            counts.push(format!("{} valid", counted(self.pipelines, "pipeline")));
        }
        match (self.changed, self.errors) {
            (0, 0) if is_empty => {}
            (0, 0) => counts.push("none changes".to_owned()),
            (0, _) => {}
            (1, _) => counts.push("1 changes".to_owned()),
            (changed, _) => counts.push(format!("{changed} change")),
        }
        if let Some(impact) = self.dependents.as_ref().filter(|impact| impact.all() > 0) {
            let none = || (impact.broken == 0).then(|| "no dependent changes".to_owned());
            counts.extend(impact.changes().or_else(none));
        }
        format!("{verdict}: {}", counts.join(", "))
    }
}

/// A finding with the lines that it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReviewFinding {
    /// The finding.
    pub finding: Diagnostic,
    /// The lines around its place, numbered and marked as people read them; none if there is no place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snippet: Option<String>,
}

impl Review {
    /// The plan with what was found, as the program prints it.
    pub fn report(&self, repository: &RepositoryName) -> PlanReport {
        PlanReport {
            repository: repository.clone(),
            target_branch: self.target_branch.clone(),
            base: self.base.clone(),
            head: Some(self.commit.clone()),
            trouble: self.trouble.clone(),
            errors: self.errors,
            warnings: self.warnings,
            findings: self.findings.iter().map(|found| found.finding.clone()).collect(),
            pins: self.pins.clone(),
            base_pins: Pins::default(),
            plan: self.plan.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_review_of_an_older_version_is_read() {
        let old = json!({
            "commit": "a".repeat(40), "targetBranch": "main", "files": 1, "pipelines": 1, "findings": [], "errors": 0,
            "warnings": 0, "errorsBefore": 0, "changed": 1,
            "changes": [{"application": "shop", "pipeline": "deploy", "kind": "changed", "details": ["x changed"]}],
        });
        let review: Review = serde_json::from_value(old).expect("reads");
        assert_eq!((review.changed, review.plan), (1, None));
    }
}
