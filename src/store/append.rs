//! The engine's hot path: journal rows and what follows from them, many executions in one commit.

use std::sync::LazyLock;

use super::bell::Bell;
use super::chunk::Texts;
use super::connection::{Backend, Connection};
use super::mark::{self, Reported};
use super::ownership::Ownership;
use super::rows::check_size;
use super::shard::{Shard, Shards};
use super::writer::{AppendJob, Tx};
use super::{Store, StoreError, chunk, ending, outbox, postgres};
use crate::clock::Timestamp;
use crate::model::{CommitStatus, ExecutionKey, Status};

/// What one batch of the engine decided about one execution.
#[derive(Debug, Clone, PartialEq)]
pub struct Append {
    /// The execution.
    pub key: ExecutionKey,
    /// Its shard: the row is written only as long as this is owned.
    pub shard: Shard,
    /// The journal row's number: larger than all before; the first is 1.
    pub seq: i64,
    /// When it was decided.
    pub at: Timestamp,
    /// The journal row's body.
    pub body: String,
    /// How the execution stands after it. A complete status ends it: it leaves the live ones, and only a row that
    /// `revives` it brings it back.
    pub status: Status,
    /// When it wants to be woken.
    pub due_at: Option<Timestamp>,
    /// When its first stage could start.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// What is to be said on the commit, if that changed.
    pub report: Option<CommitStatus>,
    /// The execution had ended, and is live again with this row.
    pub revives: bool,
}

impl Store {
    /// Writes journal rows, the executions' summaries and their reports: all of the batch, or nothing. Batches of
    /// several callers share a commit.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] if another owner took an execution over, if it has ended and the row doesn't revive
    /// it, if it has not ended and the row does, if it doesn't exist, or if its journal already has the row; [`StoreError::TooLarge`] for a body above 16 MiB.
    pub async fn append(&self, batch: Vec<Append>) -> Result<(), StoreError> {
        // Encoding happens here, so that the one writer doesn't have to.
        let rows = batch.into_iter().map(Encoded::new).collect::<Result<Vec<_>, _>>()?;
        if rows.is_empty() {
            return Ok(());
        }
        self.write_appends(rows).await
    }
}

/// An append, ready for the writer.
pub(super) struct Encoded {
    row: Append,
    report: Option<outbox::NewEntry>,
    /// The commit that it reports on, if its execution ends or begins anew with this row.
    turned: Option<Reported>,
}

impl Encoded {
    /// Whether it says something to the world: that is written one transaction after the other.
    pub(super) fn speaks(&self) -> bool {
        self.report.is_some() || self.turned.is_some()
    }

    fn new(mut row: Append) -> Result<Self, StoreError> {
        check_size(|| format!("a journal row of execution {}", row.key.0), &row.body)?;
        let turns = row.status.is_complete() || row.revives;
        let target = row.report.as_ref().filter(|_| turns).map(|status| &status.target);
        let turned = target.map(|target| (target.repository.clone(), target.commit.clone()));
        let report =
            row.report.take().map(|status| outbox::NewEntry::new(Some(row.key), &status.into())).transpose()?;
        Ok(Self { row, report, turned })
    }
}

/// Marks the jobs with executions that are no longer owned. On PostgreSQL, [`insert`] looks at that itself.
pub(super) async fn fence(tx: &mut Tx, ownership: &Ownership, jobs: &mut [AppendJob]) -> Result<(), StoreError> {
    if tx.backend() == Backend::Postgres {
        return Ok(());
    }
    let asked: Shards = jobs.iter().flat_map(|job| &job.rows).map(|encoded| encoded.row.shard).collect();
    let owned = ownership.still_owned(&mut tx.connection, asked).await?;
    for job in jobs {
        if job.rows.iter().any(|encoded| !owned.contains(encoded.row.shard)) {
            job.outcome = Err(StoreError::Fenced);
        }
    }
    Ok(())
}

/// Writes rows in a few statements. After an error the transaction must be taken back to where it was.
pub(super) async fn insert(tx: &mut Tx, ownership: &Ownership, encoded: &[&Encoded]) -> Result<(), StoreError> {
    let reports: Vec<&outbox::NewEntry> = encoded.iter().filter_map(|encoded| encoded.report.as_ref()).collect();
    outbox::insert(tx, &reports).await?;
    mark::of_merges(tx, encoded.iter().filter_map(|encoded| encoded.turned.clone()).collect()).await?;
    // Rows of one execution stand together in the journal, and only the last one counts for the summary.
    let mut rows: Vec<&Append> = encoded.iter().map(|encoded| &encoded.row).collect();
    rows.sort_unstable_by_key(|row| (row.key, row.seq));
    revive(tx, &rows).await?;
    if let Connection::Postgres(connection) = &mut tx.connection {
        if postgres::append::write(connection, ownership, &rows, tx.now).await? {
            tx.rung.add(Bell::Endings);
        }
        return Ok(());
    }
    ending::note(tx, &rows).await?;
    journal(tx, &rows).await?;
    rows.dedup_by(|later, kept| {
        let same = later.key == kept.key;
        if same {
            *kept = later;
        }
        same
    });
    let (ended, running): (Vec<&Append>, Vec<&Append>) = rows.iter().partition(|row| row.status.is_complete());
    summarize(tx, &running, &RUNNING).await?;
    summarize(tx, &ended, &ENDED).await
}

/// Puts executions that had ended back among the live ones; what their rows say of them follows as for all others.
/// People do this, one at a time, so it needs no statement for many.
async fn revive(tx: &mut Tx, rows: &[&Append]) -> Result<(), StoreError> {
    for row in rows.iter().filter(|row| row.revives) {
        let revived = sqlx::query("UPDATE execution SET live = 1, ended_at = NULL WHERE id = $1 AND live = 0")
            .bind(row.key.0)
            .execute(&mut tx.connection)
            .await?;
        if revived.rows_affected() != 1 {
            return Err(StoreError::Fenced);
        }
    }
    Ok(())
}

async fn journal(tx: &mut Tx, rows: &[&Append]) -> Result<(), StoreError> {
    static TEXTS: LazyLock<Texts> =
        LazyLock::new(|| Texts::new("INSERT INTO journal (execution, seq, at, body) VALUES ", "(?, ?, ?, ?)", ""));
    for piece in chunk::pieces(rows) {
        let mut query = sqlx::query(TEXTS.text(tx.backend(), piece.len()));
        for row in piece {
            query = query.bind(row.key.0).bind(row.seq).bind(row.at.as_millis()).bind(row.body.as_str());
        }
        query.execute(&mut tx.connection).await.map_err(late)?;
    }
    Ok(())
}

/// A journal row that exists already was written by whoever owns the execution now.
pub(super) fn late(error: sqlx::Error) -> StoreError {
    match error.as_database_error() {
        Some(reason) if reason.is_unique_violation() => StoreError::Fenced,
        _ => error.into(),
    }
}

static RUNNING: LazyLock<Texts> = LazyLock::new(|| summary_texts(""));
static ENDED: LazyLock<Texts> = LazyLock::new(|| summary_texts(", live = 0"));

/// The running form leaves `live` alone, and with it the index on the live executions.
fn summary_texts(end: &str) -> Texts {
    let head = format!(
        "UPDATE execution SET status = v.column2, seq = v.column3, due_at = v.column4, started_at = v.column5, \
         ended_at = v.column6{end} FROM (VALUES "
    );
    let tail = ") AS v WHERE execution.id = v.column1 AND execution.seq < v.column3 AND execution.live = 1";
    Texts::new(&head, "(?, ?, ?, ?, ?, ?)", tail)
}

/// Updates one summary per row; each row's execution must be there, live, and behind the row.
async fn summarize(tx: &mut Tx, rows: &[&Append], texts: &'static Texts) -> Result<(), StoreError> {
    for piece in chunk::pieces(rows) {
        let mut query = sqlx::query(texts.text(tx.backend(), piece.len()));
        for row in piece {
            query = query
                .bind(row.key.0)
                .bind(row.status.as_str())
                .bind(row.seq)
                .bind(row.due_at.map(Timestamp::as_millis))
                .bind(row.started_at.map(Timestamp::as_millis))
                .bind(row.ended_at.map(Timestamp::as_millis));
        }
        if query.execute(&mut tx.connection).await?.rows_affected() != piece.len() as u64 {
            return Err(StoreError::Fenced);
        }
    }
    Ok(())
}
