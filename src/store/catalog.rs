//! The catalog: which pipelines are published, by which repository, from which commit; and what was found there.

use crate::clock::Timestamp;
use crate::diagnostic::Diagnostic;
use crate::model::{ApplicationName, CommitSha, Pipeline, RepositoryName, RevisionId};

/// All pipelines of one application in one commit: they appear together.
#[derive(Debug, Clone, PartialEq)]
pub struct Publication {
    /// The application.
    pub application: ApplicationName,
    /// The repository that holds its file.
    pub file_owner: RepositoryName,
    /// Its pipelines; those not among them are withdrawn.
    pub pipelines: Vec<Pipeline>,
    /// The tracked branch.
    pub branch: String,
    /// The commit.
    pub commit: CommitSha,
}

/// An application as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplicationSummary {
    /// Its name.
    pub name: ApplicationName,
    /// The repository that owns it.
    pub repository: RepositoryName,
    /// The branch it was last published from.
    pub branch: String,
    /// The commit it was last published from.
    pub commit: CommitSha,
    /// When that was.
    pub published_at: Timestamp,
    /// How many pipelines it has.
    pub pipelines: u32,
}

/// A pipeline as it is in force now.
#[derive(Debug, Clone, PartialEq)]
pub struct Published {
    /// Its revision. A commit that renders to the same document keeps it.
    pub revision: RevisionId,
    /// The repository that owns it.
    pub repository: RepositoryName,
    /// The branch it was last published from.
    pub branch: String,
    /// The commit it was last published from.
    pub commit: CommitSha,
    /// When that was.
    pub published_at: Timestamp,
    /// The definition.
    pub pipeline: Pipeline,
}

/// What was found in one commit.
#[derive(Debug, Clone, PartialEq)]
pub struct CommitFindings {
    /// The repository.
    pub repository: RepositoryName,
    /// The commit.
    pub commit: CommitSha,
    /// The ref by which it was seen last.
    pub git_ref: String,
    /// The findings, sorted as they are to be shown.
    pub findings: Vec<Diagnostic>,
    /// How many valid pipelines it has.
    pub pipelines: u32,
}

/// How a repository stands, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryState {
    /// Its name.
    pub name: RepositoryName,
    /// Why it can't be worked with, if it can't.
    pub error: Option<String>,
    /// When it was last noted to be well.
    pub reached_at: Option<Timestamp>,
    /// When it was last noted at all.
    pub noted_at: Timestamp,
    /// Whether its tree held pipeline files when it was last looked at.
    pub has_files: Option<bool>,
    /// The ref that was settled last.
    pub settled_ref: Option<String>,
    /// The commit that was settled last.
    pub settled_commit: Option<CommitSha>,
    /// When that was.
    pub settled_at: Option<Timestamp>,
}

/// What is to be kept about a repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepositoryNote {
    /// Why it can't be worked with; `None`: it is well.
    pub error: Option<String>,
    /// Whether its tree holds pipeline files; `None` leaves what is known.
    pub has_files: Option<bool>,
}
