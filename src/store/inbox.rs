//! The inbox: what was noticed about repositories, and what became of it.

use super::notice::NoticedPullRequest;
use super::rows::Row;
use super::{Store, StoreError};
use crate::clock::Timestamp;
use crate::model::{CommitSha, CommitStatus, RepositoryName};

/// The key of an inbox entry; entries about a repository's branches are worked off in this order, and so are those
/// about one pull request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InboxId(pub i64);

/// How a change was noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// The forge said so.
    Webhook,
    /// A periodic look at the remote.
    Poll,
    /// The file system said that a local repository changed.
    Watch,
    /// The look at start-up.
    Start,
    /// Nothing moved here, but something that the branch depends on: a module repository, or whose an application is.
    Modules,
    /// Somebody approved what was refused before: it is published, and starts nothing.
    Approval,
}

impl Source {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Poll => "poll",
            Self::Watch => "watch",
            Self::Start => "start",
            Self::Modules => "modules",
            Self::Approval => "approval",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let all = [Self::Webhook, Self::Poll, Self::Watch, Self::Start, Self::Modules, Self::Approval];
        all.into_iter().find(|source| source.as_str() == text)
    }
}

/// What whoever noticed a change knows about the ref before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// A webhook's word for where the ref stood before; `None`: the ref was created.
    Claimed(Option<CommitSha>),
    /// The look began when the ref's head had this sequence number (0: the ref was not known). If the head has
    /// moved since, the look is stale and the next one decides.
    Observed {
        /// [`RefHead::seq`] at the beginning of the look.
        head_seq: i64,
    },
}

/// A branch or tag that moved, appeared or went away.
#[derive(Debug, Clone, PartialEq)]
pub struct RefChange {
    /// The repository.
    pub repository: RepositoryName,
    /// The full name: `refs/heads/x` or `refs/tags/x`.
    pub git_ref: String,
    /// What is known about the moment before.
    pub old: Seen,
    /// Where the ref stands now; `None`: it is gone.
    pub new: Option<CommitSha>,
    /// The forge's id of the delivery, so that a repeated delivery is known.
    pub delivery: Option<String>,
    /// How it was noticed.
    pub source: Source,
    /// Who pushed, as the forge authenticated them.
    pub actor: Option<String>,
    /// The forge's word for the event.
    pub event: Option<String>,
    /// Whether the branch's definitions count: then its commits answer for themselves even if a pull request has
    /// one of them as its head.
    pub tracked: bool,
    /// Reported if the change is new, in the same transaction; not if the commit is the head of an open pull request,
    /// whose review speaks of it.
    pub checking: Option<CommitStatus>,
}

/// What became of a [`RefChange`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// It is in the inbox.
    New(InboxId),
    /// It was known already, or a look that was overtaken; nothing to do.
    Duplicate,
    /// A late word about a push that was already jumped over; nothing to do.
    Superseded,
}

/// A change that waits to be worked off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxEntry {
    /// Its key.
    pub id: InboxId,
    /// The repository.
    pub repository: RepositoryName,
    /// The full name of the ref.
    pub git_ref: String,
    /// Where the store last saw the ref.
    pub old: Option<CommitSha>,
    /// Where it stands now; `None`: it is gone.
    pub new: Option<CommitSha>,
    /// How it was noticed.
    pub source: Source,
    /// Who pushed.
    pub actor: Option<String>,
    /// The forge's word for the event.
    pub event: Option<String>,
    /// What was told of a pull request; none if it is about a branch or a tag.
    pub pull_request: Option<NoticedPullRequest>,
    /// How often it was tried without success.
    pub attempts: u32,
    /// When it came.
    pub received_at: Timestamp,
}

/// Where the store last saw a ref.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefHead {
    /// The repository.
    pub repository: RepositoryName,
    /// The full name of the ref.
    pub git_ref: String,
    /// Its commit; `None`: the ref is gone.
    pub commit: Option<CommitSha>,
    /// Counts the changes of this ref, from 1.
    pub seq: i64,
    /// When it was last seen to move.
    pub seen_at: Timestamp,
}

/// The oldest pending entry of each lane: branches and tags of a repository are one, each pull request is one of its
/// own. What goes on in one doesn't hold the others.
macro_rules! fronts {
    () => {
        "(SELECT MIN(id) FROM inbox WHERE state = 'pending' \
         GROUP BY repository, CASE WHEN git_ref LIKE 'refs/pull/%' THEN git_ref ELSE '' END)"
    };
}

impl Store {
    /// The entries to work off now, one of each repository: the oldest that is pending about its branches and tags,
    /// if that is due, else the oldest about a pull request; strangers who open many don't hold up a push. One that
    /// is being worked off is pending until it is settled or put off.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn due_inbox(&self, limit: u32) -> Result<Vec<InboxEntry>, StoreError> {
        let rows = sqlx::query(concat!(
            "SELECT * FROM inbox WHERE id IN (SELECT COALESCE(\
             MIN(CASE WHEN git_ref LIKE 'refs/pull/%' THEN NULL ELSE id END), MIN(id)) \
             FROM inbox WHERE due_at <= $1 AND id IN ",
            fronts!(),
            " GROUP BY repository) ORDER BY id LIMIT $2"
        ))
        .bind(self.now().as_millis())
        .bind(i64::from(limit))
        .fetch_all(self.reads())
        .await?;
        rows.iter().map(|row| entry(&Row::of("inbox", row))).collect()
    }

    /// When [`Store::due_inbox`] will have something to work off next.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn next_inbox_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let row = sqlx::query(concat!("SELECT MIN(due_at) AS due_at FROM inbox WHERE id IN ", fronts!()))
            .fetch_one(self.reads())
            .await?;
        Row::of("inbox", &row).time_or_null("due_at")
    }

    /// Puts an entry off after a failure; the later entries of its repository, or of its pull request, wait with it.
    ///
    /// # Errors
    /// If it can't be written.
    pub async fn retry_inbox(&self, id: InboxId, at: Timestamp, error: &str) -> Result<(), StoreError> {
        let error = error.to_owned();
        self.write(move |tx| {
            Box::pin(async move {
                sqlx::query(
                    "UPDATE inbox SET attempts = attempts + 1, due_at = $1, error = $2 \
                     WHERE id = $3 AND state = 'pending'",
                )
                .bind(at.as_millis())
                .bind(error)
                .bind(id.0)
                .execute(&mut tx.connection)
                .await?;
                Ok(())
            })
        })
        .await
    }

    /// Where a ref was last seen; `None`: never.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn head(&self, repository: &RepositoryName, git_ref: &str) -> Result<Option<RefHead>, StoreError> {
        let row = sqlx::query("SELECT * FROM ref_head WHERE repository = $1 AND git_ref = $2")
            .bind(repository.as_str())
            .bind(git_ref)
            .fetch_optional(self.reads())
            .await?;
        row.map(|row| head(&Row::of("ref_head", &row))).transpose()
    }

    /// Where all refs of a repository were last seen, those that are gone included.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn heads(&self, repository: &RepositoryName) -> Result<Vec<RefHead>, StoreError> {
        let rows = sqlx::query("SELECT * FROM ref_head WHERE repository = $1 ORDER BY git_ref")
            .bind(repository.as_str())
            .fetch_all(self.reads())
            .await?;
        rows.iter().map(|row| head(&Row::of("ref_head", row))).collect()
    }
}

pub(super) fn entry(row: &Row<'_>) -> Result<InboxEntry, StoreError> {
    let source = row.text("source")?;
    Ok(InboxEntry {
        id: InboxId(row.int("id")?),
        repository: row.id("repository")?,
        git_ref: row.text("git_ref")?,
        old: row.id_or_null("old_commit")?,
        new: row.id_or_null("new_commit")?,
        source: Source::parse(&source)
            .ok_or_else(|| StoreError::corrupt("column `source` of table `inbox`", source))?,
        actor: row.text_or_null("actor")?,
        event: row.text_or_null("event")?,
        pull_request: row.text_or_null("document")?.map(|_| row.json("document")).transpose()?,
        attempts: row.count("attempts")?,
        received_at: row.time("received_at")?,
    })
}

fn head(row: &Row<'_>) -> Result<RefHead, StoreError> {
    Ok(RefHead {
        repository: row.id("repository")?,
        git_ref: row.text("git_ref")?,
        commit: row.id_or_null("commit_sha")?,
        seq: row.int("seq")?,
        seen_at: row.time("seen_at")?,
    })
}
