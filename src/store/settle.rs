//! Settling an inbox entry: everything that came out of a commit, in one transaction.

use super::InboxId;
use super::catalog::{CommitFindings, Publication};
use crate::model::{ApplicationName, CommitSha, CommitStatus, ExecutionKey, NewExecution, RepositoryName};

/// The whole result of working off one inbox entry.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// The entry that is done with this; `None`: there was none (a start by hand).
    pub inbox: Option<InboxId>,
    /// The repository.
    pub repository: RepositoryName,
    /// The full name of the ref.
    pub git_ref: String,
    /// The commit that was worked off; `None`: the ref is gone.
    pub commit: Option<CommitSha>,
    /// Applications whose pipelines are replaced, each as a whole.
    pub publish: Vec<Publication>,
    /// Applications of this repository whose file is gone.
    pub withdraw: Vec<ApplicationName>,
    /// What is to run. Where a pipeline is published here, its revision is filled in.
    pub executions: Vec<NewExecution>,
    /// What is to be said about commits.
    pub statuses: Vec<CommitStatus>,
    /// What was found in the commit.
    pub findings: Option<CommitFindings>,
    /// Whether the repository's tree holds pipeline files, if that was looked at.
    pub has_files: Option<bool>,
}

/// What [`super::Store::settle`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settled {
    /// The new executions, in the settlement's order; those that existed already are left out.
    pub executions: Vec<ExecutionKey>,
    /// Applications that another repository owns: they were left as they are, and nothing of theirs was started.
    pub refused: Vec<ApplicationName>,
    /// The entry had been settled before, so nothing was done.
    pub repeated: bool,
}
