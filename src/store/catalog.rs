//! The catalog: which pipelines are published, by which repository, from which commit; and what was found there.

use sqlx::any::AnyRow;

use super::rows::Row;
use super::{Store, StoreError, ahead};
use crate::clock::Timestamp;
use crate::diagnostic::Diagnostic;
use crate::model::{ApplicationName, CommitSha, Pins, Pipeline, PipelineName, PullRequest, RepositoryName, RevisionId};

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
    /// What its references to module repositories meant.
    pub pins: Pins,
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
    /// What its references to module repositories meant then.
    pub pins: Pins,
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
    /// What the application's references to module repositories meant then.
    pub pins: Pins,
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

/// Reads a pipeline with its revision and its application; to be completed with a condition and an order.
macro_rules! published {
    ($rest:literal) => {
        concat!(
            "SELECT pipeline.revision, application.repository, application.branch, application.commit_sha, \
             application.published_at, application.pins, revision.document \
             FROM pipeline JOIN application ON application.name = pipeline.application \
             JOIN revision ON revision.id = pipeline.revision ",
            $rest
        )
    };
}

/// The pins of the applications that are published from a pull request's target branch.
pub fn published_pins<'a>(
    applications: &'a [ApplicationSummary],
    this: &PullRequest,
) -> impl Iterator<Item = &'a Pins> + Clone {
    let (repository, branch) = (this.repository.clone(), this.target_branch.clone());
    let from_there = move |one: &&ApplicationSummary| one.repository == repository && one.branch == branch;
    applications.iter().filter(from_there).map(|one| &one.pins)
}

impl Store {
    /// All applications, by name.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn applications(&self) -> Result<Vec<ApplicationSummary>, StoreError> {
        let rows = sqlx::query(
            "SELECT application.*, (SELECT COUNT(*) FROM pipeline WHERE pipeline.application = application.name) \
             AS pipelines FROM application ORDER BY name",
        )
        .fetch_all(self.reads())
        .await?;
        rows.iter().map(|row| application(&Row::of("application", row))).collect()
    }

    /// The pipelines in force, of one application or of all: by application, then in their author's order.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn pipelines(&self, application: Option<&ApplicationName>) -> Result<Vec<Published>, StoreError> {
        let query = match application {
            None => sqlx::query(published!("ORDER BY pipeline.application, pipeline.position")),
            Some(name) => sqlx::query(published!("WHERE pipeline.application = $1 ORDER BY pipeline.position"))
                .bind(name.as_str()),
        };
        self.read_all(&query.fetch_all(self.reads()).await?)
    }

    /// The pipeline in force of that name.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn pipeline(
        &self,
        application: &ApplicationName,
        name: &PipelineName,
    ) -> Result<Option<Published>, StoreError> {
        let row = sqlx::query(published!("WHERE pipeline.application = $1 AND pipeline.name = $2"))
            .bind(application.as_str())
            .bind(name.as_str())
            .fetch_optional(self.reads())
            .await?;
        row.map(|row| self.published(&Row::of("pipeline", &row))).transpose()
    }

    /// The pipelines in force that a repository published: by application, then in their author's order.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn pipelines_of(&self, repository: &RepositoryName) -> Result<Vec<Published>, StoreError> {
        let rows = sqlx::query(published!(
            "WHERE application.repository = $1 ORDER BY pipeline.application, pipeline.position"
        ))
        .bind(repository.as_str())
        .fetch_all(self.reads())
        .await?;
        self.read_all(&rows)
    }

    /// What was found in a commit; `None`: it was never looked at.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn findings(
        &self,
        repository: &RepositoryName,
        commit: &CommitSha,
    ) -> Result<Option<CommitFindings>, StoreError> {
        let row = sqlx::query("SELECT * FROM findings WHERE repository = $1 AND commit_sha = $2")
            .bind(repository.as_str())
            .bind(commit.as_str())
            .fetch_optional(self.reads())
            .await?;
        row.map(|row| findings(&Row::of("findings", &row))).transpose()
    }

    /// Those that a later version wrote in a way that can't be read here at all are left out.
    fn read_all(&self, rows: &[AnyRow]) -> Result<Vec<Published>, StoreError> {
        let mut all = Vec::with_capacity(rows.len());
        for row in rows {
            let row = Row::of("pipeline", row);
            match self.published(&row) {
                Ok(published) => all.push(published),
                Err(error) if ahead::beyond(&row.text("document")?).is_some() => {
                    tracing::warn!(%error, "a pipeline of a later version can't be read here");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    fn published(&self, row: &Row<'_>) -> Result<Published, StoreError> {
        let revision = RevisionId(row.int("revision")?);
        let document = row.text("document")?;
        if let Some(needs) = ahead::beyond(&document) {
            self.inner.ahead.note(revision, needs, document);
        }
        Ok(Published {
            revision,
            repository: row.id("repository")?,
            branch: row.text("branch")?,
            commit: row.id("commit_sha")?,
            published_at: row.time("published_at")?,
            pins: pins(row)?,
            pipeline: row.json("document")?,
        })
    }
}

fn application(row: &Row<'_>) -> Result<ApplicationSummary, StoreError> {
    Ok(ApplicationSummary {
        name: row.id("name")?,
        repository: row.id("repository")?,
        branch: row.text("branch")?,
        commit: row.id("commit_sha")?,
        published_at: row.time("published_at")?,
        pipelines: row.count("pipelines")?,
        pins: pins(row)?,
    })
}

fn pins(row: &Row<'_>) -> Result<Pins, StoreError> {
    match row.text_or_null("pins")? {
        Some(_) => row.json("pins"),
        None => Ok(Pins::default()),
    }
}

fn findings(row: &Row<'_>) -> Result<CommitFindings, StoreError> {
    Ok(CommitFindings {
        repository: row.id("repository")?,
        commit: row.id("commit_sha")?,
        git_ref: row.text("git_ref")?,
        findings: row.json("document")?,
        pipelines: row.count("pipelines")?,
    })
}
