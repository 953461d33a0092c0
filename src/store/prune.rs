//! Dropping what nobody needs any more beside the details of executions: a few rows at a time, each step in a commit
//! that others share.
//!
//! Each table is walked from its oldest row on. What is looked at is found by the readers; the one writer gets a range
//! of keys and one statement, which asks once more what still refers to each row.

use super::rows::Row;
use super::{Store, StoreError};
use crate::clock::Timestamp;

/// How many rows are looked at in one step.
const STEP: i64 = 200;

/// What is dropped when it is old and nothing refers to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stale {
    /// Messages of the outbox that were done with and that a later one took the place of. The last word on a commit
    /// stays, so that it is not said again.
    Messages,
    /// Entries of the inbox that were worked off, or came too late. The one that brought a ref to where it stands stays,
    /// and so does what waits for an approval.
    Inbox,
    /// The forges' ids of deliveries.
    Deliveries,
    /// What was found in commits. It stays for where a ref or an open pull request stands, for what is in force, and
    /// for executions that have their details.
    Findings,
    /// Renderings of pipelines that are not in force, and that no execution with its details ran.
    Revisions,
}

/// What came of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pruned {
    /// How many rows are gone.
    pub count: u64,
    /// Where to go on; none if the rest is newer.
    pub next: Option<i64>,
}

impl Stale {
    /// All kinds.
    pub const ALL: [Self; 5] = [Self::Messages, Self::Inbox, Self::Deliveries, Self::Findings, Self::Revisions];

    /// The rows behind `$1`, `$2` at most, each with its place in the walk and its age.
    const fn rows(self) -> &'static str {
        match self {
            Self::Messages => "SELECT id AS place, created_at AS at FROM outbox WHERE id > $1 ORDER BY id LIMIT $2",
            Self::Inbox => "SELECT id AS place, received_at AS at FROM inbox WHERE id > $1 ORDER BY id LIMIT $2",
            Self::Deliveries => {
                "SELECT received_at AS place, received_at AS at FROM delivery WHERE received_at > $1 \
                 ORDER BY received_at LIMIT $2"
            }
            Self::Findings => {
                "SELECT found_at AS place, found_at AS at FROM findings WHERE found_at > $1 ORDER BY found_at LIMIT $2"
            }
            Self::Revisions => "SELECT id AS place, created_at AS at FROM revision WHERE id > $1 ORDER BY id LIMIT $2",
        }
    }

    /// Drops of the rows behind `$1` up to `$2` what is older than `$3` and not needed.
    const fn drop(self) -> &'static str {
        match self {
            Self::Messages => {
                "DELETE FROM outbox WHERE id > $1 AND id <= $2 AND state <> 'pending' AND ended_at <= $3 \
                 AND EXISTS (SELECT 1 FROM outbox later \
                 WHERE later.order_key = outbox.order_key AND later.id > outbox.id)"
            }
            Self::Inbox => {
                "DELETE FROM inbox WHERE id > $1 AND id <= $2 AND state <> 'pending' \
                 AND COALESCE(settled_at, received_at) <= $3 \
                 AND NOT EXISTS (SELECT 1 FROM ref_head h WHERE h.repository = inbox.repository \
                 AND h.git_ref = inbox.git_ref AND h.seq = inbox.seq) \
                 AND NOT EXISTS (SELECT 1 FROM removal r WHERE r.inbox = inbox.id AND r.approved_at IS NULL)"
            }
            Self::Deliveries => {
                "DELETE FROM delivery WHERE received_at > $1 AND received_at <= $2 AND received_at <= $3"
            }
            Self::Findings => {
                "DELETE FROM findings WHERE found_at > $1 AND found_at <= $2 AND found_at <= $3 \
                 AND NOT EXISTS (SELECT 1 FROM ref_head h \
                 WHERE h.repository = findings.repository AND h.commit_sha = findings.commit_sha) \
                 AND NOT EXISTS (SELECT 1 FROM application a \
                 WHERE a.repository = findings.repository AND a.commit_sha = findings.commit_sha) \
                 AND NOT EXISTS (SELECT 1 FROM repository r \
                 WHERE r.name = findings.repository AND r.settled_commit = findings.commit_sha) \
                 AND NOT EXISTS (SELECT 1 FROM pull_request p WHERE p.repository = findings.repository \
                 AND p.head = findings.commit_sha AND p.state = 'open') \
                 AND NOT EXISTS (SELECT 1 FROM execution_info i WHERE i.commit_sha = findings.commit_sha \
                 AND i.repository = findings.repository AND i.summary IS NULL)"
            }
            Self::Revisions => {
                "DELETE FROM revision WHERE id > $1 AND id <= $2 AND created_at <= $3 \
                 AND NOT EXISTS (SELECT 1 FROM pipeline p WHERE p.revision = revision.id) \
                 AND NOT EXISTS (SELECT 1 FROM execution_info i WHERE i.application = revision.application \
                 AND i.pipeline = revision.pipeline AND i.revision = revision.id AND i.summary IS NULL)"
            }
        }
    }
}

impl Store {
    /// Drops what is of this kind, older than `before` and not needed any more, among the next few rows behind `after`
    /// (0 at first).
    ///
    /// # Errors
    /// If the database fails.
    pub async fn prune(&self, what: Stale, after: i64, before: Timestamp) -> Result<Pruned, StoreError> {
        let rows = sqlx::query(what.rows()).bind(after).bind(STEP).fetch_all(self.reads()).await?;
        let mut last = None;
        for row in &rows {
            let row = Row::of("a table that is pruned", row);
            if row.time("at")? > before {
                break;
            }
            last = Some(row.int("place")?);
        }
        let Some(last) = last else { return Ok(Pruned { count: 0, next: None }) };
        let count = self
            .write(move |tx| {
                Box::pin(async move {
                    let dropped = sqlx::query(what.drop())
                        .bind(after)
                        .bind(last)
                        .bind(before.as_millis())
                        .execute(&mut tx.connection)
                        .await?;
                    Ok(dropped.rows_affected())
                })
            })
            .await?;
        Ok(Pruned { count, next: Some(last) })
    }
}
