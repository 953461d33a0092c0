//! Marks at comments: when something happens to an execution of a commit that merged a pull request, the same
//! transaction marks the pull request's comment as to be brought up to date.
//!
//! The engine's hot path pays nothing for it as long as no pull request was ever merged, and one statement per batch
//! afterwards.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::chunk::{self, Texts};
use super::connection::Backend;
use super::rows::Row;
use super::writer::Tx;
use super::{Store, StoreError, outbox};
use crate::model::{CommitSha, Message, RepositoryName};

/// A commit on which executions report.
pub(super) type Reported = (RepositoryName, CommitSha);

impl Store {
    /// Doubts that a comment of Longboat's still says what it said (somebody edited or deleted it), and marks it as to
    /// be looked at. Whether it was one of Longboat's.
    ///
    /// # Errors
    /// If it can't be written.
    pub async fn doubt_comment(
        &self,
        repository: &RepositoryName,
        number: u64,
        comment: &str,
    ) -> Result<bool, StoreError> {
        let (repository, comment) = (repository.clone(), comment.to_owned());
        self.write(move |tx| {
            Box::pin(async move {
                let doubted = sqlx::query(
                    "UPDATE pull_request SET comment_digest = NULL \
                     WHERE repository = $1 AND number = $2 AND comment_id = $3",
                )
                .bind(repository.as_str())
                .bind(i64::try_from(number).unwrap_or(i64::MAX))
                .bind(comment)
                .execute(&mut tx.connection)
                .await?;
                let ours = doubted.rows_affected() == 1;
                if ours {
                    insert(tx, HashSet::from([(repository, number)])).await?;
                }
                Ok(ours)
            })
        })
        .await
    }
}

/// Marks the comments of the pull requests that these commits merged.
pub(super) async fn of_merges(tx: &mut Tx, mut commits: Vec<Reported>) -> Result<(), StoreError> {
    static TEXTS: LazyLock<Texts> = LazyLock::new(|| {
        let head = "SELECT p.repository, p.number FROM (VALUES ";
        let tail = ") AS v JOIN pull_request p ON p.repository = v.column1 AND p.merge_commit = v.column2";
        Texts::new(head, "(?, ?)", tail)
    });
    if commits.is_empty() || !any_merges(tx).await? {
        return Ok(());
    }
    commits.sort_unstable();
    commits.dedup();
    let mut marked = HashSet::new();
    for piece in chunk::pieces(&commits) {
        let mut query = sqlx::query(TEXTS.text(tx.backend(), piece.len()));
        for (repository, commit) in piece {
            query = query.bind(repository.as_str()).bind(commit.as_str());
        }
        for row in query.fetch_all(&mut tx.connection).await? {
            let row = Row::of("pull_request", &row);
            marked.insert((row.id("repository")?, u64::try_from(row.int("number")?).unwrap_or(0)));
        }
    }
    insert(tx, marked).await
}

async fn insert(tx: &mut Tx, marked: HashSet<(RepositoryName, u64)>) -> Result<(), StoreError> {
    let mut entries = Vec::with_capacity(marked.len());
    for (repository, pull_request) in marked {
        entries.push(outbox::NewEntry::new(None, &Message::Comment { repository, pull_request })?);
    }
    outbox::insert(tx, &entries.iter().collect::<Vec<_>>()).await
}

/// Whether a pull request was ever merged. A process that has the database for itself asks once; where others may
/// merge as well, the look-up itself is the question.
async fn any_merges(tx: &mut Tx) -> Result<bool, StoreError> {
    if tx.backend() == Backend::Postgres {
        return Ok(true);
    }
    if let Some(merges) = tx.merges {
        return Ok(merges);
    }
    let row = sqlx::query("SELECT COUNT(*) AS merges FROM pull_request WHERE merge_commit IS NOT NULL")
        .fetch_one(&mut tx.connection)
        .await?;
    let merges = Row::of("pull_request", &row).int("merges")? > 0;
    tx.merges = Some(merges);
    Ok(merges)
}
