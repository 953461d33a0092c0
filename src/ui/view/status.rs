//! A status as people see it: a word, a colour's class, and a shape, so that nobody needs the colour.

use serde::Serialize;

use crate::model::{PullRequestState, Review, ReviewVerdict, Status};

/// A status on a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(in crate::ui) struct Pill {
    /// CSS class, and name of the icon.
    class: &'static str,
    /// The word.
    label: &'static str,
}

impl Pill {
    /// `waiting`: it runs, but a person or a time must come first.
    pub(in crate::ui) fn new(status: Status, waiting: bool) -> Self {
        let (class, label) = match status {
            Status::Running | Status::Redirect if waiting => ("waiting", "Waiting"),
            Status::Running | Status::Redirect => ("running", "Running"),
            Status::NotStarted | Status::Buffered => ("todo", "Not started"),
            Status::Paused => ("waiting", "Paused"),
            Status::Suspended => ("waiting", "Waiting"),
            Status::Succeeded => ("good", "Succeeded"),
            Status::Skipped => ("skipped", "Skipped"),
            Status::FailedContinue => ("warn", "Failed, went on"),
            Status::Stopped => ("warn", "Stopped"),
            Status::Terminal => ("bad", "Failed"),
            Status::Canceled => ("canceled", "Cancelled"),
        };
        Self { class, label }
    }

    /// Whether a pull request is open.
    pub(in crate::ui) const fn of_pull_request(state: PullRequestState) -> Self {
        let (class, label) = match state {
            PullRequestState::Open => ("todo", "Open"),
            PullRequestState::Merged => ("good", "Merged"),
            PullRequestState::Closed => ("canceled", "Closed"),
        };
        Self { class, label }
    }

    /// What a review came to; `open`: if there is none yet, there will be.
    pub(in crate::ui) fn of_review(review: Option<&Review>, open: bool) -> Self {
        let (class, label) = match review.map(Review::verdict) {
            Some(ReviewVerdict::Unchecked) => ("warn", "Not checkable"),
            Some(ReviewVerdict::Failed) => ("bad", "Failed"),
            Some(ReviewVerdict::Warnings) => ("warn", "Warnings"),
            Some(ReviewVerdict::Empty) => ("skipped", "No files"),
            Some(ReviewVerdict::Good) => ("good", "Good"),
            None if open => ("running", "Checking"),
            None => ("todo", "Not checked"),
        };
        Self { class, label }
    }

    /// What the executions of a stopped queue are called: they have not begun. `waiting`: as for stages, or a freeze must
    /// end first.
    pub(in crate::ui) fn of_execution(status: Status, waiting: bool) -> Self {
        match status {
            Status::NotStarted | Status::Buffered if waiting => Self { class: "waiting", label: "Waiting" },
            Status::NotStarted | Status::Buffered => Self { class: "todo", label: "Queued" },
            other => Self::new(other, waiting),
        }
    }
}

/// The statuses that an execution can have, for the filter of the list.
pub(in crate::ui) fn status_choices() -> Vec<(&'static str, &'static str)> {
    [Status::NotStarted, Status::Running, Status::Paused, Status::Succeeded, Status::Terminal, Status::Canceled]
        .into_iter()
        .map(|status| (status.as_str(), Pill::of_execution(status, false).label))
        .collect()
}
