//! Removals: commits that take away more pipelines than one commit may, and who approved them.
//!
//! What is refused waits until somebody approves it, or until the branch goes on to a commit that isn't refused. An
//! approval is for one commit and for the pipelines that were listed; it stays, and says who gave it.
//!
//! The operator's configuration can take pipelines away as well, from a repository as a whole. That stands here under
//! [`BY_CONFIGURATION`] in the place of a ref, and goes by the newest commit that what is taken was published from.

use std::collections::HashSet;

use sqlx::any::AnyRow;

use super::accept::{Arrival, record};
use super::bell::Bell;
use super::inbox::Source;
use super::rows::{Row, document};
use super::writer::Tx;
use super::{InboxId, Store, StoreError, notice, publish};
use crate::clock::Timestamp;
use crate::model::{ApplicationName, CommitSha, RepositoryName};

/// What stands in the place of a ref where it is no commit that takes pipelines away, but the operator's configuration.
pub const BY_CONFIGURATION: &str = "configuration";

/// What was decided about the pipelines that a commit takes away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemovalVerdict {
    /// The commit may do what it does.
    Allowed,
    /// It takes away too much, and nothing of it was published.
    Refused {
        /// The pipelines, as `application/name`.
        pipelines: Vec<String>,
        /// How many the repository has in force.
        of: u32,
    },
}

/// A commit that takes away more than one commit may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRemoval {
    /// The repository.
    pub repository: RepositoryName,
    /// The full name of the branch.
    pub git_ref: String,
    /// The commit.
    pub commit: CommitSha,
    /// The pipelines that it takes away, as `application/name`, sorted.
    pub pipelines: Vec<String>,
    /// How many the repository had in force.
    pub of: u32,
    /// When it was refused.
    pub refused_at: Timestamp,
    /// Who approved it, and when.
    pub approved: Option<(String, Timestamp)>,
}

impl StoredRemoval {
    /// Whether it is the operator's configuration that takes them away, and no commit.
    pub fn is_by_configuration(&self) -> bool {
        self.git_ref == BY_CONFIGURATION
    }

    /// Who approved that these pipelines go with this commit, if somebody did.
    pub fn approves(&self, pipelines: &[String]) -> Option<&str> {
        let (by, _) = self.approved.as_ref()?;
        let listed: HashSet<&String> = self.pipelines.iter().collect();
        pipelines.iter().all(|one| listed.contains(one)).then_some(by.as_str())
    }
}

/// What the operator's configuration takes from a repository.
#[derive(Debug, Clone)]
pub struct Taking {
    /// The repository.
    pub repository: RepositoryName,
    /// The applications that go now.
    pub withdraw: Vec<ApplicationName>,
    /// The newest commit that they were published from, and what was decided; none: nothing is taken, so that nothing
    /// waits any more.
    pub verdict: Option<(CommitSha, RemovalVerdict)>,
    /// The entry that is done with this.
    pub inbox: Option<InboxId>,
}

/// What became of an approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Approval {
    /// It holds, since now or since before; the commit is worked off once more.
    Given(Vec<StoredRemoval>),
    /// The commit was not refused, or is none that is known.
    NotRefused,
    /// The branch stands elsewhere by now: at this commit, or nowhere.
    MovedOn {
        /// The full name of the branch.
        git_ref: String,
        /// Where it stands.
        head: Option<CommitSha>,
    },
}

impl Store {
    /// The commits of a repository, or of all, that wait for an approval or got one: those that wait first, then the
    /// newest first; 500 at most.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn removals(&self, repository: Option<&RepositoryName>) -> Result<Vec<StoredRemoval>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM removal WHERE (repository = $1 OR $1 IS NULL) \
             ORDER BY CASE WHEN approved_at IS NULL THEN 0 ELSE 1 END, refused_at DESC, repository, git_ref LIMIT 500",
        )
        .bind(repository.map(RepositoryName::as_str))
        .fetch_all(self.reads())
        .await?;
        rows.iter().map(removal).collect()
    }

    /// What is known of the removal by a commit on a branch.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn removal(
        &self,
        repository: &RepositoryName,
        git_ref: &str,
        commit: &CommitSha,
    ) -> Result<Option<StoredRemoval>, StoreError> {
        let row = sqlx::query("SELECT * FROM removal WHERE repository = $1 AND git_ref = $2 AND commit_sha = $3")
            .bind(repository.as_str())
            .bind(git_ref)
            .bind(commit.as_str())
            .fetch_optional(self.reads())
            .await?;
        row.as_ref().map(removal).transpose()
    }

    /// Approves what a commit takes away, on each branch where it waits, and has it worked off once more: all in one
    /// transaction. A second approval changes nothing.
    ///
    /// # Errors
    /// If it can't be written.
    pub async fn approve_removal(
        &self,
        repository: &RepositoryName,
        commit: &CommitSha,
        by: &str,
    ) -> Result<Approval, StoreError> {
        let (repository, commit, by) = (repository.clone(), commit.clone(), by.to_owned());
        self.write(move |tx| Box::pin(async move { approve(tx, &repository, &commit, &by).await })).await
    }

    /// Withdraws what the operator's configuration takes from a repository, or keeps that it waits for an approval, in
    /// one transaction.
    ///
    /// # Errors
    /// If it can't be written.
    pub async fn take(&self, taking: Taking) -> Result<(), StoreError> {
        let Taking { repository, withdraw, verdict, inbox } = taking;
        let verdict = match verdict {
            Some((commit, verdict)) => Some((commit, Encoded::new(verdict)?)),
            None => None,
        };
        self.write(move |tx| {
            Box::pin(async move {
                notice::end_entries(tx, inbox.as_slice()).await?;
                for application in &withdraw {
                    publish::withdraw(tx, application, &repository).await?;
                }
                let (commit, verdict) =
                    verdict.as_ref().map_or((None, &Encoded::Allowed), |(commit, verdict)| (Some(commit), verdict));
                keep(tx, (&repository, BY_CONFIGURATION, commit), None, verdict).await
            })
        })
        .await
    }
}

async fn approve(
    tx: &mut Tx,
    repository: &RepositoryName,
    commit: &CommitSha,
    by: &str,
) -> Result<Approval, StoreError> {
    let rows = sqlx::query(
        "SELECT removal.*, ref_head.commit_sha AS head, ref_head.seq AS head_seq FROM removal LEFT JOIN ref_head \
         ON ref_head.repository = removal.repository AND ref_head.git_ref = removal.git_ref \
         WHERE removal.repository = $1 AND removal.commit_sha = $2 ORDER BY removal.git_ref",
    )
    .bind(repository.as_str())
    .bind(commit.as_str())
    .fetch_all(&mut tx.connection)
    .await?;
    let mut given = Vec::new();
    let mut moved_on = None;
    for row in &rows {
        let mut found = removal(row)?;
        if found.approved.is_none() {
            let row = Row::of("removal", row);
            let head: Option<CommitSha> = row.id_or_null("head")?;
            if head.as_ref() != Some(commit) && !found.is_by_configuration() {
                moved_on = Some(Approval::MovedOn { git_ref: found.git_ref, head });
                continue;
            }
            write_approval(tx, &found, by).await?;
            begin_again(tx, &found, row.int_or_null("inbox")?, row.int_or_null("head_seq")?).await?;
            found.approved = Some((by.to_owned(), tx.now));
        }
        given.push(found);
    }
    Ok(match (given.is_empty(), moved_on) {
        (false, _) => Approval::Given(given),
        (true, Some(moved_on)) => moved_on,
        (true, None) => Approval::NotRefused,
    })
}

async fn write_approval(tx: &mut Tx, what: &StoredRemoval, by: &str) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE removal SET approved_by = $1, approved_at = $2 \
         WHERE repository = $3 AND git_ref = $4 AND commit_sha = $5",
    )
    .bind(by)
    .bind(tx.now.as_millis())
    .bind(what.repository.as_str())
    .bind(what.git_ref.as_str())
    .bind(what.commit.as_str())
    .execute(&mut tx.connection)
    .await?;
    Ok(())
}

/// Has the push worked off once more, as it was; what was refused without one (at a start of the server, or by the
/// configuration) gets an entry that publishes and starts nothing.
async fn begin_again(
    tx: &mut Tx,
    what: &StoredRemoval,
    inbox: Option<i64>,
    head_seq: Option<i64>,
) -> Result<(), StoreError> {
    tx.rung.add(Bell::Inbox);
    if let Some(id) = inbox {
        let done = sqlx::query(
            "UPDATE inbox SET state = 'pending', attempts = 0, error = NULL, received_at = $1, due_at = $1, \
             settled_at = NULL WHERE id = $2 AND state = 'done'",
        )
        .bind(tx.now.as_millis())
        .bind(id)
        .execute(&mut tx.connection)
        .await?;
        if done.rows_affected() == 1 {
            return Ok(());
        }
    }
    let arrival = Arrival {
        repository: &what.repository,
        git_ref: &what.git_ref,
        seq: head_seq.unwrap_or(0),
        old: Some(&what.commit),
        new: Some(&what.commit),
        source: Source::Approval,
        actor: None,
        event: None,
        document: None,
    };
    record(tx, &arrival, "pending").await?;
    Ok(())
}

/// A verdict whose list is written out.
pub(super) enum Encoded {
    Allowed,
    Refused { of: u32, document: String },
}

impl Encoded {
    pub(super) fn new(verdict: RemovalVerdict) -> Result<Self, StoreError> {
        Ok(match verdict {
            RemovalVerdict::Allowed => Self::Allowed,
            RemovalVerdict::Refused { pipelines, of } => {
                Self::Refused { of, document: document(|| "the pipelines of a removal".to_owned(), &pipelines)? }
            }
        })
    }
}

/// Keeps what was decided about a commit. What the branch had waiting before is forgotten: it stands elsewhere now.
pub(super) async fn keep(
    tx: &mut Tx,
    (repository, git_ref, commit): (&RepositoryName, &str, Option<&CommitSha>),
    inbox: Option<InboxId>,
    verdict: &Encoded,
) -> Result<(), StoreError> {
    let kept = match verdict {
        Encoded::Allowed => None,
        Encoded::Refused { .. } => commit.map(CommitSha::as_str),
    };
    sqlx::query(
        "DELETE FROM removal WHERE repository = $1 AND git_ref = $2 AND approved_at IS NULL \
         AND commit_sha IS DISTINCT FROM $3",
    )
    .bind(repository.as_str())
    .bind(git_ref)
    .bind(kept)
    .execute(&mut tx.connection)
    .await?;
    let (Encoded::Refused { of, document }, Some(commit)) = (verdict, commit) else { return Ok(()) };
    // Refused although it was approved: it takes away something that was not on the list.
    sqlx::query(
        "INSERT INTO removal (repository, git_ref, commit_sha, inbox, in_force, refused_at, document) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (repository, git_ref, commit_sha) DO UPDATE SET \
         inbox = CASE WHEN removal.approved_at IS NULL THEN COALESCE(removal.inbox, excluded.inbox) \
         ELSE excluded.inbox END, in_force = excluded.in_force, \
         refused_at = excluded.refused_at, approved_by = NULL, approved_at = NULL, document = excluded.document",
    )
    .bind(repository.as_str())
    .bind(git_ref)
    .bind(commit.as_str())
    .bind(inbox.map(|id| id.0))
    .bind(i64::from(*of))
    .bind(tx.now.as_millis())
    .bind(document.as_str())
    .execute(&mut tx.connection)
    .await?;
    Ok(())
}

fn removal(row: &AnyRow) -> Result<StoredRemoval, StoreError> {
    let row = Row::of("removal", row);
    let approved_at = row.time_or_null("approved_at")?;
    Ok(StoredRemoval {
        repository: row.id("repository")?,
        git_ref: row.text("git_ref")?,
        commit: row.id("commit_sha")?,
        pipelines: row.json("document")?,
        of: row.count("in_force")?,
        refused_at: row.time("refused_at")?,
        approved: row.text_or_null("approved_by")?.zip(approved_at),
    })
}
