//! Publishing: all pipelines of an application appear together, and those that vanished go with the same step.
//!
//! An application belongs to the repository that published it first, until that one withdraws it. Every rendering
//! is kept as a revision; a commit that renders a pipeline to the same document keeps the revision it had.

use std::collections::HashMap;

use super::ahead::Written;
use super::catalog::Publication;
use super::rows::{Row, document};
use super::writer::Tx;
use super::{StoreError, ending};
use crate::model::{ApplicationName, PipelineName, RepositoryName, RevisionId};

/// A publication whose documents are written out.
pub(super) struct Encoded {
    publication: Publication,
    documents: Vec<String>,
    pins: Option<String>,
}

impl Encoded {
    pub(super) fn new(publication: Publication) -> Result<Self, StoreError> {
        let documents = publication
            .pipelines
            .iter()
            .map(|pipeline| {
                document(|| format!("pipeline {}/{}", pipeline.application, pipeline.name), &Written::from(pipeline))
            })
            .collect::<Result<_, _>>()?;
        let pins = (!publication.pins.is_empty())
            .then(|| document(|| format!("the pins of application {}", publication.application), &publication.pins));
        Ok(Self { documents, pins: pins.transpose()?, publication })
    }

    pub(super) fn application(&self) -> &ApplicationName {
        &self.publication.application
    }
}

/// What is in force of a pipeline before a publication.
struct Current {
    revision: i64,
    position: i64,
    document: String,
}

/// Publishes one application and adds the revisions to `revisions`; `false` if another repository owns it.
pub(super) async fn publish(
    tx: &mut Tx,
    what: &Encoded,
    revisions: &mut HashMap<(ApplicationName, PipelineName), RevisionId>,
) -> Result<bool, StoreError> {
    if !own(tx, what).await? {
        return Ok(false);
    }
    let application = &what.publication.application;
    let mut current = current(tx, application).await?;
    for (position, (pipeline, document)) in what.publication.pipelines.iter().zip(&what.documents).enumerate() {
        let position = i64::try_from(position).unwrap_or(i64::MAX);
        let known = current.remove(pipeline.name.as_str());
        let revision = match &known {
            Some(known) if known.document == *document => known.revision,
            _ => new_revision(tx, what, &pipeline.name, document).await?,
        };
        if known.is_none_or(|known| (known.revision, known.position) != (revision, position)) {
            put_in_force(tx, application, &pipeline.name, revision, position).await?;
        }
        revisions.insert((application.clone(), pipeline.name.clone()), RevisionId(revision));
    }
    for name in current.into_keys() {
        sqlx::query("DELETE FROM pipeline WHERE application = $1 AND name = $2")
            .bind(application.as_str())
            .bind(name)
            .execute(&mut tx.connection)
            .await?;
    }
    ending::keep_listeners(tx, application, &what.publication.pipelines).await?;
    Ok(true)
}

/// Notes the application's commit, if the repository owns it or nobody does.
async fn own(tx: &mut Tx, what: &Encoded) -> Result<bool, StoreError> {
    let publication = &what.publication;
    let done = sqlx::query(
        "INSERT INTO application (name, repository, branch, commit_sha, published_at, pins) \
         VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (name) DO UPDATE SET branch = excluded.branch, commit_sha = excluded.commit_sha, \
         published_at = excluded.published_at, pins = excluded.pins \
         WHERE application.repository = excluded.repository",
    )
    .bind(publication.application.as_str())
    .bind(publication.file_owner.as_str())
    .bind(publication.branch.as_str())
    .bind(publication.commit.as_str())
    .bind(tx.now.as_millis())
    .bind(what.pins.as_deref())
    .execute(&mut tx.connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

async fn current(tx: &mut Tx, application: &ApplicationName) -> Result<HashMap<String, Current>, StoreError> {
    let rows = sqlx::query(
        "SELECT pipeline.name, pipeline.revision, pipeline.position, revision.document FROM pipeline \
         JOIN revision ON revision.id = pipeline.revision WHERE pipeline.application = $1",
    )
    .bind(application.as_str())
    .fetch_all(&mut tx.connection)
    .await?;
    rows.iter()
        .map(|row| {
            let row = Row::of("pipeline", row);
            let (revision, position) = (row.int("revision")?, row.int("position")?);
            Ok((row.text("name")?, Current { revision, position, document: row.text("document")? }))
        })
        .collect()
}

async fn new_revision(tx: &mut Tx, what: &Encoded, pipeline: &PipelineName, document: &str) -> Result<i64, StoreError> {
    let publication = &what.publication;
    let id = tx.keys("revision", 1).await?;
    sqlx::query(
        "INSERT INTO revision (id, application, pipeline, repository, commit_sha, created_at, document, pins) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(id)
    .bind(publication.application.as_str())
    .bind(pipeline.as_str())
    .bind(publication.file_owner.as_str())
    .bind(publication.commit.as_str())
    .bind(tx.now.as_millis())
    .bind(document)
    .bind(what.pins.as_deref())
    .execute(&mut tx.connection)
    .await?;
    Ok(id)
}

async fn put_in_force(
    tx: &mut Tx,
    application: &ApplicationName,
    pipeline: &PipelineName,
    revision: i64,
    position: i64,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO pipeline (application, name, revision, position) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (application, name) DO UPDATE SET revision = excluded.revision, position = excluded.position",
    )
    .bind(application.as_str())
    .bind(pipeline.as_str())
    .bind(revision)
    .bind(position)
    .execute(&mut tx.connection)
    .await?;
    Ok(())
}

/// Takes an application out of the catalog, if the repository owns it; another may publish it then.
pub(super) async fn withdraw(
    tx: &mut Tx,
    application: &ApplicationName,
    repository: &RepositoryName,
) -> Result<(), StoreError> {
    sqlx::query(
        "DELETE FROM pipeline WHERE application = $1 \
         AND EXISTS (SELECT 1 FROM application WHERE name = $1 AND repository = $2)",
    )
    .bind(application.as_str())
    .bind(repository.as_str())
    .execute(&mut tx.connection)
    .await?;
    let gone = sqlx::query("DELETE FROM application WHERE name = $1 AND repository = $2")
        .bind(application.as_str())
        .bind(repository.as_str())
        .execute(&mut tx.connection)
        .await?;
    if gone.rows_affected() == 1 {
        ending::keep_listeners(tx, application, &[]).await?;
    }
    Ok(())
}
