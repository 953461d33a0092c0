//! Taking up what was noticed about a pull request.
//!
//! A pull request has an entry of the inbox for each state that was told of it, under
//! [`crate::model::pull_request_ref`]. What tells two states apart is the head, the target branch and whether it is
//! open: a changed title is no news, another target is. What came late can't be told from news here; whoever works
//! the entry off asks the forge.

use serde::{Deserialize, Serialize};

use super::accept::{Arrival, delivery_is_new, record};
use super::bell::Bell;
use super::inbox::{Accepted, Source};
use super::rows::{Row, document};
use super::writer::Tx;
use super::{InboxEntry, InboxId, Store, StoreError, inbox, outbox};
use crate::model::{CommitSha, CommitStatus, PullRequest, PullRequestState, RepositoryName, pull_request_ref};
use crate::telemetry::metrics;

/// Something that was noticed about a pull request.
#[derive(Debug, Clone, PartialEq)]
pub struct PullRequestNotice {
    /// The repository.
    pub repository: RepositoryName,
    /// The number there.
    pub number: u64,
    /// What was told.
    pub noticed: NoticedPullRequest,
    /// The forge's id of the delivery, so that a repeated delivery is known.
    pub delivery: Option<String>,
    /// How it was noticed.
    pub source: Source,
    /// Who acted, as the forge authenticated them.
    pub actor: Option<String>,
    /// The forge's word for the event.
    pub event: Option<String>,
    /// Reported if it is news, in the same transaction.
    pub checking: Option<CommitStatus>,
}

/// What an entry of the inbox keeps of a pull request.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NoticedPullRequest {
    /// The pull request as it was told; none if the forge has to be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<PullRequest>,
    /// Its head is to be looked at even if that was done: somebody asked for it.
    #[serde(default)]
    pub again: bool,
}

impl Store {
    /// Takes up what was noticed about a pull request, unless it is known. After this answered, a crash doesn't lose
    /// it.
    ///
    /// # Errors
    /// If it can't be written.
    pub async fn notice_pull_request(&self, notice: PullRequestNotice) -> Result<Accepted, StoreError> {
        let checking = notice.checking.clone().map(|status| outbox::NewEntry::new(None, &status.into())).transpose()?;
        let what = || format!("what was told of pull request {}", notice.number);
        let text = document(what, &notice.noticed)?;
        let source = notice.source;
        let accepted = self.write(move |tx| Box::pin(async move { accept(tx, &notice, text, checking).await })).await?;
        if matches!(accepted, Accepted::New(_)) {
            metrics().noticed(source.as_str());
        }
        Ok(accepted)
    }

    /// The entries of a ref that wait to be worked off, the oldest first; 500 at most.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn pending_inbox(
        &self,
        repository: &RepositoryName,
        git_ref: &str,
    ) -> Result<Vec<InboxEntry>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM inbox WHERE repository = $1 AND git_ref = $2 AND state = 'pending' ORDER BY id LIMIT 500",
        )
        .bind(repository.as_str())
        .bind(git_ref)
        .fetch_all(self.reads())
        .await?;
        rows.iter().map(|row| inbox::entry(&Row::of("inbox", row))).collect()
    }

    /// Whether a commit is the head of an open pull request, as far as was noticed: then it is the pull request's
    /// review that speaks of its files.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn has_pull_request_at(
        &self,
        repository: &RepositoryName,
        commit: &CommitSha,
    ) -> Result<bool, StoreError> {
        let row =
            sqlx::query(AT_HEAD).bind(repository.as_str()).bind(commit.as_str()).fetch_optional(self.reads()).await?;
        Ok(row.is_some())
    }
}

const AT_HEAD: &str = "SELECT git_ref FROM ref_head WHERE repository = $1 AND commit_sha = $2 \
    AND git_ref LIKE 'refs/pull/%' AND detail LIKE 'open %' LIMIT 1";

/// As [`Store::has_pull_request_at`], within a transaction.
pub(super) async fn is_head(tx: &mut Tx, repository: &RepositoryName, commit: &CommitSha) -> Result<bool, StoreError> {
    let row =
        sqlx::query(AT_HEAD).bind(repository.as_str()).bind(commit.as_str()).fetch_optional(&mut tx.connection).await?;
    Ok(row.is_some())
}

async fn accept(
    tx: &mut Tx,
    notice: &PullRequestNotice,
    text: String,
    checking: Option<outbox::NewEntry>,
) -> Result<Accepted, StoreError> {
    let git_ref = pull_request_ref(notice.number);
    if let Some(delivery) = &notice.delivery
        && !delivery_is_new(tx, &notice.repository, &git_ref, delivery).await?
    {
        return Ok(Accepted::Duplicate);
    }
    let known = known(tx, &notice.repository, &git_ref).await?;
    let told = notice.noticed.told.as_ref();
    let state = told.map(|told| (told.head.clone(), detail(told)));
    if state.is_some() && state == known.state && !notice.noticed.again {
        return Ok(Accepted::Duplicate);
    }
    let (old, seq) = (known.state.map(|(head, _)| head), known.seq + 1);
    let arrival = Arrival {
        repository: &notice.repository,
        git_ref: &git_ref,
        seq,
        old: old.as_ref(),
        new: told.map(|told| &told.head),
        source: notice.source,
        actor: notice.actor.as_deref(),
        event: notice.event.as_deref(),
        document: Some(&text),
    };
    let id = record(tx, &arrival, "pending").await?;
    if let Some((head, detail)) = &state {
        move_head(tx, &notice.repository, &git_ref, (head, detail), seq).await?;
    }
    if let Some(entry) = checking.filter(|_| told.is_some_and(|told| told.state == PullRequestState::Open)) {
        outbox::insert(tx, &[&entry]).await?;
    }
    tx.rung.add(Bell::Inbox);
    Ok(Accepted::New(id))
}

/// What was last told of a pull request.
struct Known {
    state: Option<(CommitSha, String)>,
    seq: i64,
}

async fn known(tx: &mut Tx, repository: &RepositoryName, git_ref: &str) -> Result<Known, StoreError> {
    let row = sqlx::query("SELECT commit_sha, detail, seq FROM ref_head WHERE repository = $1 AND git_ref = $2")
        .bind(repository.as_str())
        .bind(git_ref)
        .fetch_optional(&mut tx.connection)
        .await?;
    let Some(row) = row else { return Ok(Known { state: None, seq: 0 }) };
    let row = Row::of("ref_head", &row);
    let state = row.id_or_null("commit_sha")?.zip(row.text_or_null("detail")?);
    Ok(Known { state, seq: row.int("seq")? })
}

async fn move_head(
    tx: &mut Tx,
    repository: &RepositoryName,
    git_ref: &str,
    (head, detail): (&CommitSha, &str),
    seq: i64,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO ref_head (repository, git_ref, commit_sha, detail, seq, seen_at) VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (repository, git_ref) DO UPDATE SET commit_sha = excluded.commit_sha, \
         detail = excluded.detail, seq = excluded.seq, seen_at = excluded.seen_at",
    )
    .bind(repository.as_str())
    .bind(git_ref)
    .bind(head.as_str())
    .bind(detail)
    .bind(seq)
    .bind(tx.now.as_millis())
    .execute(&mut tx.connection)
    .await?;
    Ok(())
}

/// Notes how a pull request really stands, unless something was noticed that isn't worked off yet.
pub(super) async fn confirm(tx: &mut Tx, pull_request: &PullRequest) -> Result<(), StoreError> {
    let git_ref = pull_request_ref(pull_request.number);
    let waiting =
        sqlx::query("SELECT id FROM inbox WHERE repository = $1 AND git_ref = $2 AND state = 'pending' LIMIT 1")
            .bind(pull_request.repository.as_str())
            .bind(git_ref.as_str())
            .fetch_optional(&mut tx.connection)
            .await?;
    let known = known(tx, &pull_request.repository, &git_ref).await?;
    let state = (pull_request.head.clone(), detail(pull_request));
    if waiting.is_some() || known.state.as_ref() == Some(&state) {
        return Ok(());
    }
    move_head(tx, &pull_request.repository, &git_ref, (&state.0, &state.1), known.seq + 1).await
}

/// What besides the head tells two states of a pull request apart.
fn detail(pull_request: &PullRequest) -> String {
    format!("{} {}", pull_request.state.as_str(), pull_request.target_branch)
}

/// Ends further entries together with one that was worked off.
pub(super) async fn end_entries(tx: &mut Tx, ids: &[InboxId]) -> Result<(), StoreError> {
    for id in ids {
        sqlx::query("UPDATE inbox SET state = 'done', settled_at = $1 WHERE id = $2 AND state = 'pending'")
            .bind(tx.now.as_millis())
            .bind(id.0)
            .execute(&mut tx.connection)
            .await?;
    }
    Ok(())
}
