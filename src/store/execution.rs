//! Executions: their unchanging document, the summary that lists show, and their journal.

use std::sync::LazyLock;

use futures::TryStreamExt;
use sqlx::AssertSqlSafe;

use super::birth;
pub(super) use super::birth::{Birth, create};
use super::chunk::{self, Texts};
use super::connection::Backend;
use super::rows::Row;
use super::search::Search;
use super::shard::{Shard, Shards};
use super::{Store, StoreError};
use crate::clock::Timestamp;
use crate::model::{
    ApplicationName, Cause, CommitSha, Execution, ExecutionId, ExecutionKey, ExecutionView, NewExecution, Pipeline,
    PipelineName, RepositoryName, RevisionId, Status,
};

/// How many executions a list shows if nobody says.
const DEFAULT_PAGE: u32 = 50;
/// How many it shows at most.
const LARGEST_PAGE: u32 = 500;
/// How many new executions are read at once.
const AT_ONCE: i64 = 2000;

/// What became of a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// A new execution.
    New(ExecutionKey),
    /// The correlation id had been used; this is what it started.
    Existing(ExecutionKey, ExecutionId),
}

/// An execution with its document.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredExecution {
    /// The key and the unchanging part.
    pub execution: Execution,
    /// Its shard.
    pub shard: Shard,
    /// The version that a program has to know to go on with it.
    pub needs: u32,
    /// How it stands.
    pub status: Status,
    /// The sequence number of its last journal row; 0: none yet.
    pub seq: i64,
    /// When its first stage could start.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// What is left of it, once retention has taken its details: then it has no journal, and its pipeline no stages.
    pub summary: Option<Box<ExecutionView>>,
}

/// An execution as lists show it.
#[derive(Debug, Clone, PartialEq)]
pub struct ExecutionSummary {
    /// The store's key.
    pub key: ExecutionKey,
    /// The public id.
    pub id: ExecutionId,
    /// The application.
    pub application: ApplicationName,
    /// The pipeline.
    pub pipeline: PipelineName,
    /// How it stands.
    pub status: Status,
    /// The repository.
    pub repository: Option<RepositoryName>,
    /// The commit.
    pub commit: Option<CommitSha>,
    /// The branch that started it.
    pub branch: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its first stage could start.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Why it runs.
    pub cause: Cause,
}

/// Which executions a list shows; `None` shows all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecutionFilter {
    /// Of this application.
    pub application: Option<ApplicationName>,
    /// Of pipelines with this name.
    pub pipeline: Option<PipelineName>,
    /// With this status.
    pub status: Option<Status>,
    /// Of this commit.
    pub commit: Option<CommitSha>,
    /// Of this repository.
    pub repository: Option<RepositoryName>,
    /// Started by a stage of this execution.
    pub parent: Option<ExecutionId>,
    /// Where the page before ended ([`Page::next_cursor`]).
    pub cursor: Option<String>,
    /// How many at most; 0 means 50, and 500 is the most.
    pub limit: u32,
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// What it holds.
    pub items: Vec<T>,
    /// Where the next part begins; `None`: this was the last.
    pub next_cursor: Option<String>,
}

/// An execution that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveExecution {
    /// The store's key.
    pub key: ExecutionKey,
    /// Its shard.
    pub shard: Shard,
    /// How it stands.
    pub status: Status,
    /// The sequence number of its last journal row; 0: it was created and not yet begun.
    pub seq: i64,
    /// When it wants to be woken.
    pub due_at: Option<Timestamp>,
}

/// One row of a journal: what one batch of the engine decided about one execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalRow {
    /// Its number, rising within the execution.
    pub seq: i64,
    /// When it was decided.
    pub at: Timestamp,
    /// The entries, as the engine wrote them.
    pub body: String,
}

impl Store {
    /// Stores a new execution, and says `Queued` on its commit if it reports. Whatever happens later, it will run.
    ///
    /// # Errors
    /// If it can't be written, or its document is above 16 MiB.
    pub async fn create(&self, new: NewExecution) -> Result<Created, StoreError> {
        self.write_birth(Birth::knowing(new, &self.inner.ahead)?).await
    }

    /// The execution with that public id.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn execution(&self, id: ExecutionId) -> Result<Option<StoredExecution>, StoreError> {
        let row = sqlx::query("SELECT * FROM execution_info i JOIN execution e ON e.id = i.id WHERE i.public_id = $1")
            .bind(id.to_string())
            .fetch_optional(self.reads())
            .await?;
        row.map(|row| stored(&Row::of("execution", &row))).transpose()
    }

    /// The execution with that key.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn execution_by_key(&self, key: ExecutionKey) -> Result<Option<StoredExecution>, StoreError> {
        let row = sqlx::query("SELECT * FROM execution_info i JOIN execution e ON e.id = i.id WHERE i.id = $1")
            .bind(key.0)
            .fetch_optional(self.reads())
            .await?;
        row.map(|row| stored(&Row::of("execution", &row))).transpose()
    }

    /// The executions with these keys, in no order; those that don't exist are left out.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn executions_by_keys(&self, keys: &[ExecutionKey]) -> Result<Vec<StoredExecution>, StoreError> {
        /// For 1, 2, 4, ... keys; what is left over is filled with a repetition.
        static TEXTS: LazyLock<Texts> = LazyLock::new(|| {
            let head = "SELECT * FROM execution_info i JOIN execution e ON e.id = i.id WHERE i.id IN (";
            Texts::new(head, "?", ")")
        });
        let mut found = Vec::with_capacity(keys.len());
        for piece in keys.chunks(chunk::LARGEST) {
            let Some(last) = piece.last() else { break };
            let places = piece.len().next_power_of_two();
            // SQLite knows numbered parameters as well, and these are few.
            let mut query = sqlx::query(TEXTS.text(Backend::Postgres, places));
            for place in 0..places {
                query = query.bind(piece.get(place).unwrap_or(last).0);
            }
            let mut rows = query.fetch(self.reads());
            while let Some(row) = rows.try_next().await? {
                found.push(stored(&Row::of("execution", &row))?);
            }
        }
        Ok(found)
    }

    /// Executions, newest first.
    ///
    /// # Errors
    /// [`StoreError::BadCursor`] for a cursor that no page gave out; others if the database can't be read.
    pub async fn executions(&self, filter: ExecutionFilter) -> Result<Page<ExecutionSummary>, StoreError> {
        let limit = if filter.limit == 0 { DEFAULT_PAGE } else { filter.limit.min(LARGEST_PAGE) };
        let Search { sql, before, texts } = Search::new(&filter, limit + 1, self.inner.backend)?;
        // The text is put together from constants alone.
        let mut query = sqlx::query(AssertSqlSafe(sql)).bind(before);
        for text in texts {
            query = query.bind(text);
        }
        let rows = query.fetch_all(self.reads()).await?;
        let mut items =
            rows.iter().map(|row| summary(&Row::of("execution", row))).collect::<Result<Vec<_>, StoreError>>()?;
        let more = items.len() > limit as usize;
        items.truncate(limit as usize);
        let next_cursor = items.last().filter(|_| more).map(|last| last.key.0.to_string());
        Ok(Page { items, next_cursor })
    }

    /// What the stages of an execution started, in that order; the newest 500, if there are more.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn children(&self, parent: ExecutionId) -> Result<Vec<ExecutionSummary>, StoreError> {
        let filter = ExecutionFilter { parent: Some(parent), limit: LARGEST_PAGE, ..ExecutionFilter::default() };
        let mut children = self.executions(filter).await?.items;
        children.reverse();
        Ok(children)
    }

    /// What a start with this correlation id led to, once all writes that were queued before are done. So whoever
    /// gave up a start learns for sure whether it took place.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn started_by(&self, correlation_id: &str) -> Result<Option<(ExecutionKey, ExecutionId)>, StoreError> {
        let correlation = correlation_id.to_owned();
        self.write(move |tx| Box::pin(async move { birth::by_correlation(tx, Some(&correlation)).await })).await
    }

    /// All executions that have not ended, oldest first: what a start needs, without any journal.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn live(&self) -> Result<Vec<LiveExecution>, StoreError> {
        self.live_in(Shards::ALL).await
    }

    /// Those of some shards.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn live_in(&self, shards: Shards) -> Result<Vec<LiveExecution>, StoreError> {
        let text =
            format!("SELECT id, shard, status, seq, due_at FROM execution WHERE live = 1{}", shards.condition("shard"));
        // Put together from constants and numbers.
        let mut rows = sqlx::query(AssertSqlSafe(text)).fetch(self.reads());
        let mut live = Vec::new();
        while let Some(row) = rows.try_next().await? {
            live.push(live_execution(&Row::of("execution", &row))?);
        }
        live.sort_unstable_by_key(|execution| execution.key);
        Ok(live)
    }

    /// The executions created after that one which have not ended, oldest first, and the newest one that was looked at: to
    /// go on from there. Keys rise with the commits, whoever creates, so that none is missed.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn created_since(
        &self,
        mut after: ExecutionKey,
    ) -> Result<(ExecutionKey, Vec<LiveExecution>), StoreError> {
        let mut created = Vec::new();
        loop {
            let rows =
                sqlx::query("SELECT id, shard, status, seq, due_at FROM execution WHERE id > $1 ORDER BY id LIMIT $2")
                    .bind(after.0)
                    .bind(AT_ONCE)
                    .fetch_all(self.reads())
                    .await?;
            for row in &rows {
                let execution = live_execution(&Row::of("execution", row))?;
                after = execution.key;
                if !execution.status.is_complete() {
                    created.push(execution);
                }
            }
            if (rows.len() as i64) < AT_ONCE {
                return Ok((after, created));
            }
        }
    }

    /// The shard of an execution.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn shard(&self, key: ExecutionKey) -> Result<Option<Shard>, StoreError> {
        let row =
            sqlx::query("SELECT shard FROM execution WHERE id = $1").bind(key.0).fetch_optional(self.reads()).await?;
        row.map(|row| Shard::of_row(Row::of("execution", &row).int("shard")?)).transpose()
    }

    /// The newest execution that there is.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn newest_key(&self) -> Result<ExecutionKey, StoreError> {
        let newest: Option<i64> = sqlx::query_scalar("SELECT MAX(id) FROM execution").fetch_one(self.reads()).await?;
        Ok(ExecutionKey(newest.unwrap_or(0)))
    }

    /// The journal of an execution, from its beginning.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn journal(&self, key: ExecutionKey) -> Result<Vec<JournalRow>, StoreError> {
        let rows = sqlx::query("SELECT seq, at, body FROM journal WHERE execution = $1 ORDER BY seq")
            .bind(key.0)
            .fetch_all(self.reads())
            .await?;
        rows.iter()
            .map(|row| {
                let row = Row::of("journal", row);
                Ok(JournalRow { seq: row.int("seq")?, at: row.time("at")?, body: row.text("body")? })
            })
            .collect()
    }
}

fn summary(row: &Row<'_>) -> Result<ExecutionSummary, StoreError> {
    Ok(ExecutionSummary {
        key: ExecutionKey(row.int("id")?),
        id: row.id("public_id")?,
        application: row.id("application")?,
        pipeline: row.id("pipeline")?,
        status: row.status("status")?,
        repository: row.id_or_null("repository")?,
        commit: row.id_or_null("commit_sha")?,
        branch: row.text_or_null("branch")?,
        created_at: row.time("created_at")?,
        started_at: row.time_or_null("started_at")?,
        ended_at: row.time_or_null("ended_at")?,
        cause: row.json("cause")?,
    })
}

fn live_execution(row: &Row<'_>) -> Result<LiveExecution, StoreError> {
    Ok(LiveExecution {
        key: ExecutionKey(row.int("id")?),
        shard: Shard::of_row(row.int("shard")?)?,
        status: row.status("status")?,
        seq: row.int("seq")?,
        due_at: row.time_or_null("due_at")?,
    })
}

fn stored(row: &Row<'_>) -> Result<StoredExecution, StoreError> {
    let needs = row.int_or_null("needs")?.map_or(1, |needs| u32::try_from(needs).unwrap_or(u32::MAX));
    let mut info: NewExecution = match row.json("document") {
        Err(_) if needs > Pipeline::DOCUMENT_VERSION => {
            return Err(StoreError::Ahead { execution: row.text("public_id")?, needs });
        }
        read => read?,
    };
    // The document was written before its revision was known.
    info.revision = row.int_or_null("revision")?.map(RevisionId);
    Ok(StoredExecution {
        execution: Execution { key: ExecutionKey(row.int("id")?), info },
        shard: Shard::of_row(row.int("shard")?)?,
        needs,
        status: row.status("status")?,
        seq: row.int("seq")?,
        started_at: row.time_or_null("started_at")?,
        ended_at: row.time_or_null("ended_at")?,
        summary: row.json_or_null("summary")?,
    })
}
