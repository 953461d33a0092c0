//! The engine's hot path on PostgreSQL: the fence, the journal and the summaries of a whole batch in one statement,
//! with one array a column; a row that comes alone has a statement of its own.

use sqlx::PgConnection;

use crate::clock::Timestamp;
use crate::store::append::{Append, late};
use crate::store::ownership::Ownership;
use crate::store::shard::Shards;
use crate::store::{StoreError, rows::MAX_DOCUMENT};

/// The most bytes of journal bodies in one statement; one body at least goes in.
const PIECE: usize = 2 * MAX_DOCUMENT;

/// Adds journal rows without looking at anything else.
const JOURNAL: &str = "INSERT INTO journal (execution, seq, at, body) \
     SELECT * FROM UNNEST($1::BIGINT[], $2::BIGINT[], $3::BIGINT[], $4::TEXT[])";

/// Journal rows, one summary per execution, and how many shards of the batch are owned: locked until the commit, so
/// that nobody takes them over meanwhile. Each summary's execution must be there, live, and behind the row. Ends that a
/// pipeline listens to are noted (`ending`) by the same statement: so nobody pays a trip for it, and nobody has to know
/// whether another process has published such a pipeline.
const BATCH: &str = "WITH \
     owned AS MATERIALIZED (SELECT shard, epoch FROM shard WHERE owner = $5 AND shard = ANY($6::BIGINT[]) FOR SHARE), \
     written AS (INSERT INTO journal (execution, seq, at, body) \
         SELECT * FROM UNNEST($1::BIGINT[], $2::BIGINT[], $3::BIGINT[], $4::TEXT[])), \
     summed AS (UPDATE execution SET status = v.status, seq = v.seq, due_at = v.due_at, started_at = v.started_at, \
             ended_at = v.ended_at, live = v.live \
         FROM UNNEST($8::BIGINT[], $9::TEXT[], $10::BIGINT[], $11::BIGINT[], $12::BIGINT[], $13::BIGINT[], \
             $14::BIGINT[]) AS v (id, status, seq, due_at, started_at, ended_at, live) \
         WHERE execution.id = v.id AND execution.seq < v.seq AND execution.live = 1 RETURNING 1), \
     noted AS (INSERT INTO ending (execution, seq, status, ended_at, attempts, due_at) \
         SELECT v.execution, v.seq, v.status, v.ended_at, 0, $19::BIGINT \
         FROM UNNEST($15::BIGINT[], $16::BIGINT[], $17::TEXT[], $18::BIGINT[]) AS v (execution, seq, status, ended_at) \
         JOIN execution_info i ON i.id = v.execution WHERE EXISTS (SELECT 1 FROM listener l \
             WHERE (l.target_application = i.application AND l.target = i.pipeline) OR l.target_application = '*') \
         RETURNING 1) \
     SELECT (SELECT COUNT(*) FROM owned JOIN UNNEST($6::BIGINT[], $7::BIGINT[]) AS claimed (shard, epoch) \
         USING (shard, epoch)), (SELECT COUNT(*) FROM summed), (SELECT COUNT(*) FROM noted)";

/// The same for one row, which is what an execution writes that runs alone. Of arrays, a server can't know how long they
/// are, so it plans [`BATCH`] anew each time, and that takes longer than all the rest of it; for this one it keeps a plan.
const LONE: &str = "WITH \
     owned AS MATERIALIZED (SELECT 1 FROM shard WHERE owner = $5 AND shard = $6 AND epoch = $7 FOR SHARE), \
     written AS (INSERT INTO journal (execution, seq, at, body) VALUES ($1, $2, $3, $4)), \
     summed AS (UPDATE execution SET status = $8, seq = $2, due_at = $9, started_at = $10, ended_at = $11, live = $12 \
         WHERE id = $1 AND seq < $2 AND live = 1 RETURNING 1), \
     noted AS (INSERT INTO ending (execution, seq, status, ended_at, attempts, due_at) \
         SELECT $1, $2, $8, $3, 0, $13 FROM execution_info i WHERE i.id = $1 AND $12 = 0 \
         AND EXISTS (SELECT 1 FROM listener l \
             WHERE (l.target_application = i.application AND l.target = i.pipeline) OR l.target_application = '*') \
         RETURNING 1) \
     SELECT (SELECT COUNT(*) FROM owned), (SELECT COUNT(*) FROM summed), (SELECT COUNT(*) FROM noted)";

/// Writes rows that are sorted by execution and number, and says whether an end was noted that somebody listens to. After
/// an error the transaction must be taken back to where it was.
pub(in crate::store) async fn write(
    connection: &mut PgConnection,
    ownership: &Ownership,
    rows: &[&Append],
    now: Timestamp,
) -> Result<bool, StoreError> {
    if let [row] = rows {
        return lone(connection, ownership, row, now).await;
    }
    let mut rest = rows;
    loop {
        let mut bytes = 0;
        let fits = rest.iter().take_while(|row| {
            bytes += row.body.len();
            bytes <= PIECE
        });
        let (piece, later) = rest.split_at(fits.count().max(1).min(rest.len()));
        rest = later;
        let journal = Journal::of(piece);
        if rest.is_empty() {
            return batch(connection, ownership, rows, &journal, now).await;
        }
        sqlx::query(JOURNAL)
            .bind(&journal.executions)
            .bind(&journal.seqs)
            .bind(&journal.times)
            .bind(&journal.bodies)
            .execute(&mut *connection)
            .await
            .map_err(late)?;
    }
}

async fn lone(
    connection: &mut PgConnection,
    ownership: &Ownership,
    row: &Append,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let (owned, summed, noted): (i64, i64, i64) = sqlx::query_as(LONE)
        .bind(row.key.0)
        .bind(row.seq)
        .bind(row.at.as_millis())
        .bind(&row.body)
        .bind(ownership.owner())
        .bind(row.shard.number())
        .bind(ownership.epoch(row.shard))
        .bind(row.status.as_str())
        .bind(row.due_at.map(Timestamp::as_millis))
        .bind(row.started_at.map(Timestamp::as_millis))
        .bind(row.ended_at.map(Timestamp::as_millis))
        .bind(i64::from(!row.status.is_complete()))
        .bind(now.as_millis())
        .fetch_one(connection)
        .await
        .map_err(late)?;
    if (owned, summed) == (1, 1) { Ok(noted > 0) } else { Err(StoreError::Fenced) }
}

/// Journal rows, column by column.
struct Journal<'a> {
    executions: Vec<i64>,
    seqs: Vec<i64>,
    times: Vec<i64>,
    bodies: Vec<&'a str>,
}

impl<'a> Journal<'a> {
    fn of(rows: &[&'a Append]) -> Self {
        Self {
            executions: rows.iter().map(|row| row.key.0).collect(),
            seqs: rows.iter().map(|row| row.seq).collect(),
            times: rows.iter().map(|row| row.at.as_millis()).collect(),
            bodies: rows.iter().map(|row| row.body.as_str()).collect(),
        }
    }
}

async fn batch(
    connection: &mut PgConnection,
    ownership: &Ownership,
    rows: &[&Append],
    journal: &Journal<'_>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    // Only the last row of an execution counts for its summary.
    let last = |at: usize, row: &Append| rows.get(at + 1).is_none_or(|next| next.key != row.key);
    let sums: Vec<&Append> = rows.iter().enumerate().filter(|(at, row)| last(*at, row)).map(|(_, row)| *row).collect();
    let millis = |time: Option<Timestamp>| time.map(Timestamp::as_millis);
    let (shards, epochs) = claimed(ownership, &sums);
    let ends: Vec<&Append> = rows.iter().filter(|row| row.status.is_complete()).copied().collect();
    let (owned, summed, noted): (i64, i64, i64) = sqlx::query_as(BATCH)
        .bind(&journal.executions)
        .bind(&journal.seqs)
        .bind(&journal.times)
        .bind(&journal.bodies)
        .bind(ownership.owner())
        .bind(&shards)
        .bind(&epochs)
        .bind(sums.iter().map(|row| row.key.0).collect::<Vec<i64>>())
        .bind(sums.iter().map(|row| row.status.as_str()).collect::<Vec<&str>>())
        .bind(sums.iter().map(|row| row.seq).collect::<Vec<i64>>())
        .bind(sums.iter().map(|row| millis(row.due_at)).collect::<Vec<Option<i64>>>())
        .bind(sums.iter().map(|row| millis(row.started_at)).collect::<Vec<Option<i64>>>())
        .bind(sums.iter().map(|row| millis(row.ended_at)).collect::<Vec<Option<i64>>>())
        .bind(sums.iter().map(|row| i64::from(!row.status.is_complete())).collect::<Vec<i64>>())
        .bind(ends.iter().map(|row| row.key.0).collect::<Vec<i64>>())
        .bind(ends.iter().map(|row| row.seq).collect::<Vec<i64>>())
        .bind(ends.iter().map(|row| row.status.as_str()).collect::<Vec<&str>>())
        .bind(ends.iter().map(|row| row.at.as_millis()).collect::<Vec<i64>>())
        .bind(now.as_millis())
        .fetch_one(connection)
        .await
        .map_err(late)?;
    let whole = usize::try_from(owned) == Ok(shards.len()) && usize::try_from(summed) == Ok(sums.len());
    if whole { Ok(noted > 0) } else { Err(StoreError::Fenced) }
}

/// The shards of these executions, each once, and the epochs under which they were claimed.
fn claimed(ownership: &Ownership, rows: &[&Append]) -> (Vec<i64>, Vec<i64>) {
    let shards: Shards = rows.iter().map(|row| row.shard).collect();
    shards.iter().map(|shard| (shard.number(), ownership.epoch(shard))).unzip()
}
