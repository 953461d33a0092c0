//! Accepting what was noticed, so that one push seen in several ways runs once, and A, B, A runs three times.
//!
//! The store remembers where it last saw each ref (its *head*) and every move of it. A change is turned away if
//! the delivery is known, if the head is there already, if it comes from a look that began before the head moved,
//! or if it is a late word about a push that a later one jumped over.

use super::bell::Bell;
use super::inbox::{Accepted, InboxId, RefChange, Seen, Source};
use super::rows::Row;
use super::writer::Tx;
use super::{Store, StoreError, notice, outbox};
use crate::model::{CommitSha, RepositoryName};
use crate::telemetry::metrics;

/// Where a ref stands before the change; a ref that was never seen is at no commit, with number 0.
#[derive(Default)]
struct Head {
    commit: Option<CommitSha>,
    seq: i64,
}

impl Store {
    /// Takes up a change that was noticed, unless it is known. After this answered, a crash doesn't lose it.
    ///
    /// # Errors
    /// If it can't be written.
    pub async fn accept(&self, change: RefChange) -> Result<Accepted, StoreError> {
        let checking = change.checking.clone().map(|status| outbox::NewEntry::new(None, &status.into())).transpose()?;
        let source = change.source;
        let accepted = self.write(move |tx| Box::pin(accept(tx, change, checking))).await?;
        if matches!(accepted, Accepted::New(_)) {
            metrics().noticed(source.as_str());
        }
        Ok(accepted)
    }
}

async fn accept(tx: &mut Tx, change: RefChange, checking: Option<outbox::NewEntry>) -> Result<Accepted, StoreError> {
    if let Some(delivery) = &change.delivery
        && !delivery_is_new(tx, &change.repository, &change.git_ref, delivery).await?
    {
        return Ok(Accepted::Duplicate);
    }
    let head = head(tx, &change).await?;
    if head.commit == change.new {
        return Ok(Accepted::Duplicate);
    }
    match &change.old {
        Seen::Observed { head_seq } if *head_seq != head.seq => return Ok(Accepted::Duplicate),
        Seen::Observed { .. } => {}
        Seen::Claimed(old) => match past(tx, &change, old.as_ref()).await? {
            Past::Unknown => {}
            Past::Same => return Ok(Accepted::Duplicate),
            Past::JumpedOver => {
                record(tx, &Arrival::of(&change, old.as_ref(), head.seq), "superseded").await?;
                return Ok(Accepted::Superseded);
            }
        },
    }
    let id = record(tx, &Arrival::of(&change, head.commit.as_ref(), head.seq + 1), "pending").await?;
    move_head(tx, &change, head.seq + 1).await?;
    if let Some(entry) = checking
        && !is_spoken_for(tx, &change).await?
    {
        outbox::insert(tx, &[&entry]).await?;
    }
    tx.rung.add(Bell::Inbox);
    Ok(Accepted::New(id))
}

/// Whether the commit has an open pull request whose review answers for it. A tracked branch answers for its own
/// commits.
async fn is_spoken_for(tx: &mut Tx, change: &RefChange) -> Result<bool, StoreError> {
    match &change.new {
        Some(commit) if !change.tracked => notice::is_head(tx, &change.repository, commit).await,
        _ => Ok(false),
    }
}

/// Remembers the delivery, whatever becomes of the change. A delivery may speak of several refs.
pub(super) async fn delivery_is_new(
    tx: &mut Tx,
    repository: &RepositoryName,
    git_ref: &str,
    delivery: &str,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "INSERT INTO delivery (repository, git_ref, delivery, received_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (repository, git_ref, delivery) DO NOTHING",
    )
    .bind(repository.as_str())
    .bind(git_ref)
    .bind(delivery)
    .bind(tx.now.as_millis())
    .execute(&mut tx.connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

async fn head(tx: &mut Tx, change: &RefChange) -> Result<Head, StoreError> {
    let row = sqlx::query("SELECT commit_sha, seq FROM ref_head WHERE repository = $1 AND git_ref = $2")
        .bind(change.repository.as_str())
        .bind(change.git_ref.as_str())
        .fetch_optional(&mut tx.connection)
        .await?;
    let Some(row) = row else { return Ok(Head::default()) };
    let row = Row::of("ref_head", &row);
    Ok(Head { commit: row.id_or_null("commit_sha")?, seq: row.int("seq")? })
}

/// What the ref's history says about a webhook's word "it moved from `old` to `new`".
enum Past {
    /// The ref hasn't left `old` yet, as far as is known.
    Unknown,
    /// It was seen to move from `old` to `new`.
    Same,
    /// It was seen to leave `old` for another commit, or `old` itself was jumped over.
    JumpedOver,
}

async fn past(tx: &mut Tx, change: &RefChange, old: Option<&CommitSha>) -> Result<Past, StoreError> {
    let old = old.map(CommitSha::as_str);
    let left = sqlx::query(
        "SELECT id, new_commit FROM inbox \
         WHERE repository = $1 AND git_ref = $2 AND old_commit IS NOT DISTINCT FROM $3 AND state <> 'superseded' \
         ORDER BY id DESC LIMIT 1",
    )
    .bind(change.repository.as_str())
    .bind(change.git_ref.as_str())
    .bind(old)
    .fetch_optional(&mut tx.connection)
    .await?;
    let reached = sqlx::query(
        "SELECT MAX(CASE WHEN state <> 'superseded' THEN id ELSE 0 END) AS really, \
         MAX(CASE WHEN state = 'superseded' THEN id ELSE 0 END) AS by_word FROM inbox \
         WHERE repository = $1 AND git_ref = $2 AND new_commit IS NOT DISTINCT FROM $3",
    )
    .bind(change.repository.as_str())
    .bind(change.git_ref.as_str())
    .bind(old)
    .fetch_one(&mut tx.connection)
    .await?;
    let reached = Row::of("inbox", &reached);
    let really = reached.int_or_null("really")?.unwrap_or(0);
    let by_word = reached.int_or_null("by_word")?.unwrap_or(0);
    if let Some(left) = left {
        let left = Row::of("inbox", &left);
        if left.int("id")? > really {
            let same = left.id_or_null::<CommitSha>("new_commit")? == change.new;
            return Ok(if same { Past::Same } else { Past::JumpedOver });
        }
    }
    Ok(if by_word > really { Past::JumpedOver } else { Past::Unknown })
}

/// An entry of the inbox to be written.
pub(super) struct Arrival<'a> {
    pub(super) repository: &'a RepositoryName,
    pub(super) git_ref: &'a str,
    pub(super) seq: i64,
    pub(super) old: Option<&'a CommitSha>,
    pub(super) new: Option<&'a CommitSha>,
    pub(super) source: Source,
    pub(super) actor: Option<&'a str>,
    pub(super) event: Option<&'a str>,
    pub(super) document: Option<&'a str>,
}

impl<'a> Arrival<'a> {
    fn of(change: &'a RefChange, old: Option<&'a CommitSha>, seq: i64) -> Self {
        Self {
            repository: &change.repository,
            git_ref: &change.git_ref,
            seq,
            old,
            new: change.new.as_ref(),
            source: change.source,
            actor: change.actor.as_deref(),
            event: change.event.as_deref(),
            document: None,
        }
    }
}

pub(super) async fn record(tx: &mut Tx, what: &Arrival<'_>, state: &'static str) -> Result<InboxId, StoreError> {
    let id = tx.keys("inbox", 1).await?;
    sqlx::query(
        "INSERT INTO inbox (id, repository, git_ref, seq, old_commit, new_commit, source, actor, event, document, \
         state, attempts, received_at, due_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, $12, $12)",
    )
    .bind(id)
    .bind(what.repository.as_str())
    .bind(what.git_ref)
    .bind(what.seq)
    .bind(what.old.map(CommitSha::as_str))
    .bind(what.new.map(CommitSha::as_str))
    .bind(what.source.as_str())
    .bind(what.actor)
    .bind(what.event)
    .bind(what.document)
    .bind(state)
    .bind(tx.now.as_millis())
    .execute(&mut tx.connection)
    .await?;
    Ok(InboxId(id))
}

async fn move_head(tx: &mut Tx, change: &RefChange, seq: i64) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO ref_head (repository, git_ref, commit_sha, seq, seen_at) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (repository, git_ref) DO UPDATE \
         SET commit_sha = excluded.commit_sha, seq = excluded.seq, seen_at = excluded.seen_at",
    )
    .bind(change.repository.as_str())
    .bind(change.git_ref.as_str())
    .bind(change.new.as_ref().map(CommitSha::as_str))
    .bind(seq)
    .bind(tx.now.as_millis())
    .execute(&mut tx.connection)
    .await?;
    Ok(())
}
