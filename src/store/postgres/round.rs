//! One round of a replica's keeper: the lease is renewed, what is given back is let go of, what is free is taken.
//!
//! A round is one message to the server, so that nothing stays half done in it if the process is stopped. Rounds of
//! several replicas wait for one another, so each sees what the one before it did.

use serde::Deserialize;
use sqlx::{AssertSqlSafe, PgConnection, Row as _, raw_sql};

use super::session::LOCK;
use crate::store::StoreError;
use crate::store::duty::{Duty, Term};
use crate::store::lease::Returned;
use crate::store::replica::Replicas;
use crate::store::shard::{Shard, Shards};
use crate::store::step;

/// How long a lease holds after its renewal, in milliseconds.
pub(super) const LEASE: i64 = 6_000;

/// How long the row of a replica stays whose lease is over, in milliseconds: for people, and so that its sessions are ended
/// more than once.
const REMEMBERED: i64 = 20_000;

/// The time of the database, in milliseconds.
const NOW: &str = "(EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::BIGINT";

/// By what the replicas hear that something is to be taken.
pub(super) const CHANNEL: &str = "longboat_lease";

/// The beginning of the name of a session, before the process's id; see `Server::new`.
pub(super) const SESSION: &str = "Longboat replica ";

/// The id of a process: hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Process(String);

impl Process {
    /// A new one.
    pub(super) fn generate() -> Self {
        Self(format!("{:016x}", fastrand::u64(..)))
    }

    pub(in crate::store) fn as_str(&self) -> &str {
        &self.0
    }

    /// The id of the replica that this process is after it joined so many times.
    pub(super) fn replica(&self, term: u64) -> String {
        format!("{}-{term}", self.0)
    }
}

/// How things stand after a round.
#[derive(Debug, Deserialize)]
pub(super) struct Standing {
    /// Whether the lease holds. If it doesn't, nothing was done.
    alive: bool,
    /// The shards that are this replica's own, with their epochs.
    shards: Vec<(i64, i64)>,
    /// How many it should have.
    target: Option<usize>,
    /// The duties that are its own, with their epochs.
    duties: Vec<(String, i64)>,
    /// How many it should have.
    duty_target: Option<usize>,
    /// The newest step of the tables.
    step: i64,
    /// For how many milliseconds the lease of the next of the others holds that isn't renewed.
    next: Option<i64>,
    /// Whether there are shards that nobody has.
    free: bool,
}

impl Standing {
    pub(super) fn is_alive(&self) -> bool {
        self.alive
    }

    /// The newest step of the tables: a replica of a later version may have brought them further.
    pub(super) fn step(&self) -> i64 {
        self.step
    }

    /// Its shards, and their epochs by their number.
    pub(super) fn held(&self) -> Result<(Shards, [i64; Shard::COUNT]), StoreError> {
        let mut held = Shards::NONE;
        let mut epochs = [0; Shard::COUNT];
        for (number, epoch) in &self.shards {
            let shard = Shard::of_row(*number)?;
            held.insert(shard);
            epochs[shard.index()] = *epoch;
        }
        Ok((held, epochs))
    }

    /// Those that others should have: the last of them, so that the choice stays the same while they leave.
    pub(super) fn leaving(&self) -> Result<Shards, StoreError> {
        let (held, _) = self.held()?;
        let keep = self.target.unwrap_or(0);
        Ok(held.iter().skip(keep).collect())
    }

    /// The terms of the duties that are to stay its own, and the duties that others should have.
    pub(super) fn duties(&self) -> (Vec<Term>, Vec<Duty>) {
        let keep = self.duty_target.unwrap_or(0);
        // What a later version knows besides is nothing that this one does.
        let known = self.duties.iter().filter_map(|(name, epoch)| Some((Duty::of_name(name)?, *epoch)));
        let terms: Vec<Term> = known.map(|(duty, epoch)| Term::shared(duty, epoch)).collect();
        let (kept, others) = terms.split_at(keep.min(terms.len()));
        (kept.to_vec(), others.iter().map(|term| term.duty()).collect())
    }

    /// For how many milliseconds nothing will happen, as far as is known.
    pub(super) fn quiet_for(&self) -> i64 {
        let wants_more = self.target.is_some_and(|target| self.shards.len() < target);
        // Somebody's session may be about to end that keeps a free one locked.
        if wants_more && self.free { 100 } else { self.next.unwrap_or(i64::MAX).saturating_add(30) }
    }
}

/// Makes this process a replica with that id, with nothing of its own yet. Each step may be done twice. One that hung while
/// a later version changed the tables is turned away.
pub(super) async fn join(
    connection: &mut PgConnection,
    process: &Process,
    id: &str,
    said: &Replicas,
) -> Result<(), StoreError> {
    step::still_understood(connection).await?;
    let shards: Vec<i64> = (0..).take(Shard::COUNT).collect();
    sqlx::query("INSERT INTO shard (shard, owner, epoch) SELECT it, '', 0 FROM UNNEST($1::BIGINT[]) AS it ON CONFLICT DO NOTHING")
        .bind(shards)
        .execute(&mut *connection)
        .await?;
    let duties: Vec<&str> = Duty::ALL.iter().map(|duty| duty.as_str()).collect();
    sqlx::query(
        "INSERT INTO duty (duty, owner, epoch) SELECT it, '', 0 FROM UNNEST($1::TEXT[]) AS it ON CONFLICT DO NOTHING",
    )
    .bind(duties)
    .execute(&mut *connection)
    .await?;
    // What this process was before, it is no more.
    sqlx::query("DELETE FROM replica WHERE id LIKE $1 || '-%'")
        .bind(process.as_str())
        .execute(&mut *connection)
        .await?;
    let insert = format!(
        "INSERT INTO replica (id, name, node, version, journal, digest, leaving, started_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, 0, {NOW}, {NOW} + {LEASE})"
    );
    sqlx::query(AssertSqlSafe(insert))
        .bind(id)
        .bind(&said.name)
        .bind(&said.node)
        .bind(&said.version)
        .bind(said.journal)
        .bind(&said.digest)
        .execute(&mut *connection)
        .await?;
    let tell = format!("NOTIFY {CHANNEL}, '{}'", process.as_str());
    raw_sql(AssertSqlSafe(tell)).execute(connection).await?;
    Ok(())
}

/// Gives everything back that the process has.
pub(super) async fn leave(connection: &mut PgConnection, process: &Process) -> Result<(), StoreError> {
    let id = process.as_str();
    let text = format!(
        "UPDATE shard SET owner = '' WHERE owner LIKE '{id}-%'; UPDATE duty SET owner = '' WHERE owner LIKE '{id}-%'; \
         DELETE FROM replica WHERE id LIKE '{id}-%'; NOTIFY {CHANNEL}, '{id}'"
    );
    // Put together from digits and constants.
    raw_sql(AssertSqlSafe(text)).execute(connection).await?;
    Ok(())
}

/// Does one round.
pub(super) async fn round(
    connection: &mut PgConnection,
    id: &str,
    returned: Returned,
    duties: &[Duty],
) -> Result<Standing, StoreError> {
    let rows = raw_sql(AssertSqlSafe(text(id, returned, duties))).fetch_all(connection).await?;
    let said: Option<String> = rows.last().map(|row| row.try_get(0)).transpose()?;
    let said = said.unwrap_or_default();
    serde_json::from_str(&said).map_err(|error| StoreError::corrupt("the state of the replicas", error))
}

/// The statements of a round. All that goes into them is digits, letters of our own and constants.
fn text(id: &str, returned: Returned, duties: &[Duty]) -> String {
    let leaving = i64::from(returned.departing);
    let mut text = format!(
        "SELECT pg_advisory_xact_lock({lock}); \
         UPDATE replica SET expires_at = {NOW} + {LEASE}, leaving = {leaving} WHERE id = '{id}' AND expires_at > {NOW}; \
         SELECT pg_terminate_backend(a.pid, 300) FROM pg_stat_activity a JOIN replica r \
             ON left(a.application_name, {prefix} + 16) = '{SESSION}' || left(r.id, 16) \
             WHERE r.expires_at <= {NOW} AND a.datname = current_database() AND a.usename = current_user; \
         DELETE FROM replica WHERE expires_at <= {NOW} - {REMEMBERED}; ",
        lock = LOCK + 1,
        prefix = SESSION.len(),
    );
    let mut gives = false;
    if !returned.shards.is_empty() {
        let numbers: Vec<String> = returned.shards.iter().map(|shard| shard.number().to_string()).collect();
        // What a session of this process has locked still is given back in a later round.
        text += &format!(
            "UPDATE shard SET owner = '' WHERE shard IN (SELECT shard FROM shard \
                 WHERE owner = '{id}' AND shard IN ({}) FOR UPDATE SKIP LOCKED); ",
            numbers.join(", ")
        );
        gives = true;
    }
    if !duties.is_empty() {
        let names: Vec<String> = duties.iter().map(|duty| format!("'{}'", duty.as_str())).collect();
        text += &format!(
            "UPDATE duty SET owner = '' WHERE duty IN (SELECT duty FROM duty \
                 WHERE owner = '{id}' AND duty IN ({}) FOR UPDATE SKIP LOCKED); ",
            names.join(", ")
        );
        gives = true;
    }
    if gives {
        text += &format!("NOTIFY {CHANNEL}, '{}'; ", id.split('-').next().unwrap_or_default());
    }
    // Each alive one's part: as many as there are for each, and one more for the first of them, as far as that goes. Of
    // duties for the last of them, so that whoever has a shard more has a duty less.
    let part = |count: usize, order: &str| {
        format!(
            "alive AS (SELECT id, row_number() OVER (ORDER BY started_at {order}, id {order}) - 1 AS place, \
                 COUNT(*) OVER () AS all_of_them FROM replica WHERE expires_at > {NOW} AND leaving = 0), \
             mine AS (SELECT {count} / all_of_them + CASE WHEN place < {count} % all_of_them THEN 1 ELSE 0 END AS target \
                 FROM alive WHERE id = '{id}')"
        )
    };
    let take = |table: &str, key: &str, part: &str| {
        format!(
            "WITH {part}, free AS (SELECT it.{key} FROM {table} it \
                 WHERE NOT EXISTS (SELECT 1 FROM replica r WHERE r.id = it.owner AND r.expires_at > {NOW}) \
                 ORDER BY it.{key} \
                 LIMIT GREATEST(0, (SELECT target FROM mine) - (SELECT COUNT(*) FROM {table} WHERE owner = '{id}')) \
                 FOR UPDATE OF it SKIP LOCKED) \
             UPDATE {table} SET owner = '{id}', epoch = epoch + 1 WHERE {key} IN (SELECT {key} FROM free); "
        )
    };
    let (shards, tasks) = (part(Shard::COUNT, "ASC"), part(Duty::ALL.len(), "DESC"));
    text += &take("shard", "shard", &shards);
    text += &take("duty", "duty", &tasks);
    text += &format!(
        "SELECT json_build_object(\
             'alive', EXISTS (SELECT 1 FROM replica WHERE id = '{id}' AND expires_at > {NOW}), \
             'shards', COALESCE((SELECT json_agg(json_build_array(shard, epoch) ORDER BY shard) FROM shard \
                 WHERE owner = '{id}'), '[]'), \
             'target', (WITH {shards} SELECT target FROM mine), \
             'duties', COALESCE((SELECT json_agg(json_build_array(duty, epoch) ORDER BY duty) FROM duty \
                 WHERE owner = '{id}'), '[]'), \
             'duty_target', (WITH {tasks} SELECT target FROM mine), \
             'step', (SELECT MAX(version) FROM _sqlx_migrations), \
             'next', (SELECT MIN(expires_at) - {NOW} FROM replica WHERE id <> '{id}' AND expires_at > {NOW}), \
             'free', EXISTS (SELECT 1 FROM shard s WHERE NOT EXISTS \
                 (SELECT 1 FROM replica r WHERE r.id = s.owner AND r.expires_at > {NOW})))::text"
    );
    text
}
