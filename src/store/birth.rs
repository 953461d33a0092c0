//! New executions: one in the transaction of what starts it, or all that wait for the writer in a few statements.

use std::sync::LazyLock;

use super::ahead::Ahead;
use super::chunk::{self, Texts};
use super::execution::Created;
use super::rows::{self, Row};
use super::shard::Shard;
use super::writer::Tx;
use super::{StoreError, lane, mark, outbox, series};
use crate::model::{
    CommitSha, CommitStatus, ExecutionId, ExecutionKey, Message, NewExecution, RepositoryName, RevisionId, Status,
    StatusState,
};

/// A new execution, ready for the writer.
pub(super) struct Birth {
    pub(super) new: NewExecution,
    cause: String,
    document: String,
    /// The version that a program has to know to go on with it.
    needs: u32,
    queued: Option<Message>,
}

impl Birth {
    /// One of a pipeline that this version published.
    #[cfg(test)]
    pub(super) fn new(new: NewExecution) -> Result<Self, StoreError> {
        Self::knowing(new, &Ahead::default())
    }

    /// One of a pipeline that a later version may have published: of what `ahead` knows, it keeps all that was said.
    pub(super) fn knowing(new: NewExecution, ahead: &Ahead) -> Result<Self, StoreError> {
        let queued = new
            .report
            .clone()
            .map(|target| CommitStatus::new(target, StatusState::Pending, "Queued", new.id.page()).into());
        let what = || format!("execution {}", new.id);
        let (needs, document) = match ahead.document(&new)? {
            Some((needs, whole)) => (needs, rows::document(what, &whole)?),
            None => (new.pipeline.document_version(), rows::document(what, &new)?),
        };
        Ok(Self {
            cause: rows::document(|| format!("the cause of execution {}", new.id), &new.trigger.in_short())?,
            document,
            needs,
            queued,
            new,
        })
    }

    /// Whether it is to start only if nothing else was started in its place, so that somebody has to look first.
    pub(super) fn may_exist(&self) -> bool {
        self.new.correlation_id.is_some()
    }
}

/// Writes it, unless its correlation id was used before. `published` is the revision that its pipeline is, if the
/// document doesn't say.
pub(super) async fn create(tx: &mut Tx, birth: &Birth, published: Option<RevisionId>) -> Result<Created, StoreError> {
    if let Some((key, id)) = by_correlation(tx, birth.new.correlation_id.as_deref()).await? {
        return Ok(Created::Existing(key, id));
    }
    let first = insert(tx, &[birth], published).await?;
    Ok(Created::New(ExecutionKey(first)))
}

/// Writes them under keys that follow one another; yields the first.
pub(super) async fn insert(tx: &mut Tx, births: &[&Birth], published: Option<RevisionId>) -> Result<i64, StoreError> {
    let first = tx.keys("execution", births.len()).await?;
    let born: Vec<(ExecutionKey, &Birth)> = (first..).map(ExecutionKey).zip(births.iter().copied()).collect();
    let series = series::of(tx, births).await?;
    insert_summaries(tx, &born.iter().zip(series).collect::<Vec<_>>()).await?;
    insert_infos(tx, &born, published).await?;
    let (mut said, mut reported) = (Vec::new(), Vec::new());
    for (key, birth) in &born {
        if let Some((lane, rule)) = birth.new.pipeline.lane() {
            let awaited_by = birth.new.trigger.parent.as_ref().map_or(&[][..], |parent| &parent.awaited_by);
            lane::insert(tx, *key, &lane, rule.max, awaited_by).await?;
        }
        if let Some(message) = &birth.queued {
            said.push(outbox::NewEntry::new(Some(*key), message)?);
        }
        if let Some(target) = &birth.new.report {
            reported.push((target.repository.clone(), target.commit.clone()));
        }
    }
    outbox::insert(tx, &said.iter().collect::<Vec<_>>()).await?;
    mark::of_merges(tx, reported).await?;
    Ok(first)
}

pub(super) async fn by_correlation(
    tx: &mut Tx,
    correlation: Option<&str>,
) -> Result<Option<(ExecutionKey, ExecutionId)>, StoreError> {
    let Some(correlation) = correlation else { return Ok(None) };
    let row = sqlx::query("SELECT id, public_id FROM execution_info WHERE correlation_id = $1")
        .bind(correlation)
        .fetch_optional(&mut tx.connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let row = Row::of("execution_info", &row);
    Ok(Some((ExecutionKey(row.int("id")?), row.id("public_id")?)))
}

/// The narrow rows, which every transition rewrites.
async fn insert_summaries(tx: &mut Tx, born: &[(&(ExecutionKey, &Birth), i64)]) -> Result<(), StoreError> {
    static TEXTS: LazyLock<Texts> = LazyLock::new(|| {
        Texts::new("INSERT INTO execution (id, shard, live, status, seq, series) VALUES ", "(?, ?, 1, ?, 0, ?)", "")
    });
    for piece in chunk::pieces(born) {
        let mut query = sqlx::query(TEXTS.text(tx.backend(), piece.len()));
        for ((key, birth), series) in piece {
            let lane = birth.new.pipeline.lane();
            let shard = lane.map_or_else(|| Shard::of_key(*key), |(lane, _)| Shard::of_lane(&lane));
            query = query.bind(key.0).bind(shard.number()).bind(Status::NotStarted.as_str()).bind(*series);
        }
        query.execute(&mut tx.connection).await?;
    }
    Ok(())
}

/// The wide rows, which are written once.
async fn insert_infos(
    tx: &mut Tx,
    born: &[(ExecutionKey, &Birth)],
    published: Option<RevisionId>,
) -> Result<(), StoreError> {
    static TEXTS: LazyLock<Texts> = LazyLock::new(|| {
        let columns = "id, public_id, correlation_id, application, pipeline, revision, repository, commit_sha, branch, \
            created_at, cause, document, parent, needs";
        let row = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        Texts::new(&format!("INSERT INTO execution_info ({columns}) VALUES "), row, "")
    });
    for piece in chunk::pieces(born) {
        let mut query = sqlx::query(TEXTS.text(tx.backend(), piece.len()));
        for (key, birth) in piece {
            let new = &birth.new;
            query = query
                .bind(key.0)
                .bind(new.id.to_string())
                .bind(new.correlation_id.as_deref())
                .bind(new.pipeline.application.as_str())
                .bind(new.pipeline.name.as_str())
                .bind(new.revision.or(published).map(|revision| revision.0))
                .bind(new.repository.as_ref().map(RepositoryName::as_str))
                .bind(new.commit.as_ref().map(CommitSha::as_str))
                .bind(new.trigger.branch.as_deref())
                .bind(new.created_at.as_millis())
                .bind(birth.cause.as_str())
                .bind(birth.document.as_str())
                .bind(new.trigger.parent.as_ref().map(|parent| parent.execution.to_string()))
                // Most need the first, and say nothing.
                .bind(Some(birth.needs).filter(|version| *version > 1).map(i64::from));
        }
        query.execute(&mut tx.connection).await?;
    }
    Ok(())
}
