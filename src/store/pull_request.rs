//! Pull requests: as they were last read, what was found in them, and the comment that says so.

use sqlx::any::AnyRow;

use super::rows::{Row, document};
use super::writer::Tx;
use super::{Store, StoreError};
use crate::clock::Timestamp;
use crate::model::{CommitSha, PullRequest, PullRequestState, RepositoryName, Review};

/// The most open pull requests that are read of one repository.
const MOST_OPEN: i64 = 2000;

/// A pull request with what is known about it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredPullRequest {
    /// As its forge had it when it was last read.
    pub pull_request: PullRequest,
    /// What was found in its head; none until a head was looked at.
    pub review: Option<Review>,
    /// The comment that Longboat keeps on it; none until one was posted.
    pub comment: Option<KeptComment>,
    /// When Longboat first heard of it.
    pub seen_at: Timestamp,
    /// When anything of it last changed.
    pub updated_at: Timestamp,
}

/// The one comment that Longboat keeps on a pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptComment {
    /// The forge's id of it.
    pub id: String,
    /// What its text was when it was last written, as a digest; none if the text there may be another one by now.
    pub digest: Option<String>,
}

impl Store {
    /// A pull request with its review and comment.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn pull_request(
        &self,
        repository: &RepositoryName,
        number: u64,
    ) -> Result<Option<StoredPullRequest>, StoreError> {
        let row = sqlx::query("SELECT * FROM pull_request WHERE repository = $1 AND number = $2")
            .bind(repository.as_str())
            .bind(key(number))
            .fetch_optional(self.reads())
            .await?;
        row.as_ref().map(stored).transpose()
    }

    /// The pull request that a commit merged, if there is one; of several, the newest.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn pull_request_by_merge(
        &self,
        repository: &RepositoryName,
        commit: &CommitSha,
    ) -> Result<Option<StoredPullRequest>, StoreError> {
        let row = sqlx::query(
            "SELECT * FROM pull_request WHERE repository = $1 AND merge_commit = $2 ORDER BY number DESC LIMIT 1",
        )
        .bind(repository.as_str())
        .bind(commit.as_str())
        .fetch_optional(self.reads())
        .await?;
        row.as_ref().map(stored).transpose()
    }

    /// The open pull requests of a repository, the newest first, without what was found in them; 2000 at most.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn open_pull_requests(&self, repository: &RepositoryName) -> Result<Vec<PullRequest>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM pull_request WHERE repository = $1 AND state = 'open' ORDER BY number DESC LIMIT $2",
        )
        .bind(repository.as_str())
        .bind(MOST_OPEN)
        .fetch_all(self.reads())
        .await?;
        rows.iter().map(|row| plain(&Row::of("pull_request", row))).collect()
    }

    /// The pull requests of a repository, the newest first: those with a number below `before`, in one state if one
    /// is given.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn pull_requests(
        &self,
        repository: &RepositoryName,
        state: Option<PullRequestState>,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<StoredPullRequest>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM pull_request WHERE repository = $1 AND number < $2 AND ($3 = '' OR state = $3) \
             ORDER BY number DESC LIMIT $4",
        )
        .bind(repository.as_str())
        .bind(before.map_or(i64::MAX, key))
        .bind(state.map_or("", PullRequestState::as_str))
        .bind(i64::from(limit))
        .fetch_all(self.reads())
        .await?;
        rows.iter().map(stored).collect()
    }

    /// The open pull requests whose head is a commit, with what was found in them; 100 at most.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn open_pull_requests_at(
        &self,
        repository: &RepositoryName,
        head: &CommitSha,
    ) -> Result<Vec<StoredPullRequest>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM pull_request WHERE repository = $1 AND head = $2 AND state = 'open' ORDER BY number LIMIT 100",
        )
        .bind(repository.as_str())
        .bind(head.as_str())
        .fetch_all(self.reads())
        .await?;
        rows.iter().map(stored).collect()
    }

    /// Remembers the comment that stands on a pull request now, and a digest of its text.
    ///
    /// # Errors
    /// If it can't be written.
    pub async fn note_comment(
        &self,
        repository: &RepositoryName,
        number: u64,
        id: &str,
        digest: &str,
    ) -> Result<(), StoreError> {
        let (repository, id, digest) = (repository.clone(), id.to_owned(), digest.to_owned());
        self.write(move |tx| {
            Box::pin(async move {
                sqlx::query(
                    "UPDATE pull_request SET comment_id = $1, comment_digest = $2 WHERE repository = $3 AND number = $4",
                )
                .bind(id)
                .bind(digest)
                .bind(repository.as_str())
                .bind(key(number))
                .execute(&mut tx.connection)
                .await?;
                Ok(())
            })
        })
        .await
    }
}

/// A pull request whose documents are written out.
pub(super) struct Encoded {
    pub(super) pull_request: PullRequest,
    review: Option<String>,
}

impl Encoded {
    pub(super) fn new(pull_request: PullRequest, review: Option<&Review>) -> Result<Self, StoreError> {
        let what = || format!("the review of pull request {}", pull_request.number);
        let review = review.map(|review| document(what, review)).transpose()?;
        Ok(Self { pull_request, review })
    }
}

/// Writes down how a pull request stands. Without a review, the one that is kept stays; so does the comment.
pub(super) async fn keep(tx: &mut Tx, what: &Encoded) -> Result<(), StoreError> {
    let Encoded { pull_request: this, review } = what;
    sqlx::query(
        "INSERT INTO pull_request (repository, number, state, title, head, head_branch, head_repository, fork, \
         target_branch, author, merge_commit, review, seen_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $13) \
         ON CONFLICT (repository, number) DO UPDATE SET state = excluded.state, title = excluded.title, \
         head = excluded.head, head_branch = excluded.head_branch, head_repository = excluded.head_repository, \
         fork = excluded.fork, target_branch = excluded.target_branch, author = excluded.author, \
         merge_commit = COALESCE(excluded.merge_commit, pull_request.merge_commit), \
         review = COALESCE(excluded.review, pull_request.review), updated_at = excluded.updated_at",
    )
    .bind(this.repository.as_str())
    .bind(key(this.number))
    .bind(this.state.as_str())
    .bind(this.title.as_str())
    .bind(this.head.as_str())
    .bind(this.head_branch.as_str())
    .bind(this.head_repository.as_deref())
    .bind(i64::from(this.fork))
    .bind(this.target_branch.as_str())
    .bind(this.author.as_deref())
    .bind(this.merge_commit.as_ref().map(CommitSha::as_str))
    .bind(review.as_deref())
    .bind(tx.now.as_millis())
    .execute(&mut tx.connection)
    .await?;
    if this.merge_commit.is_some() {
        tx.merges = Some(true);
    }
    Ok(())
}

/// A number as a key. Forges count up from 1; what would not fit is no forge's.
fn key(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn stored(row: &AnyRow) -> Result<StoredPullRequest, StoreError> {
    let row = Row::of("pull_request", row);
    let digest = row.text_or_null("comment_digest")?;
    Ok(StoredPullRequest {
        pull_request: plain(&row)?,
        review: row.text_or_null("review")?.map(|_| row.json("review")).transpose()?,
        comment: row.text_or_null("comment_id")?.map(|id| KeptComment { id, digest }),
        seen_at: row.time("seen_at")?,
        updated_at: row.time("updated_at")?,
    })
}

fn plain(row: &Row<'_>) -> Result<PullRequest, StoreError> {
    let state = row.text("state")?;
    Ok(PullRequest {
        repository: row.id("repository")?,
        number: u64::try_from(row.int("number")?).unwrap_or(0),
        title: row.text("title")?,
        state: PullRequestState::parse(&state)
            .ok_or_else(|| StoreError::corrupt("column `state` of table `pull_request`", state))?,
        head: row.id("head")?,
        head_branch: row.text("head_branch")?,
        head_repository: row.text_or_null("head_repository")?,
        fork: row.int("fork")? != 0,
        target_branch: row.text("target_branch")?,
        author: row.text_or_null("author")?,
        merge_commit: row.id_or_null("merge_commit")?,
    })
}
