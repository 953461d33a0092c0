//! The writer's session, which holds the database: a session lock of the server plays the part of the lock file.
//!
//! The server lets go of the lock when the session ends, however it ends. One process per database: who comes
//! second is told who the first is. Replicas have the lock together, so that none but replicas are on the database.

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{PgConnection, raw_sql};

use super::Server;
use crate::store::StoreError;

/// The key of the lock: "longboat" in ASCII. Locks of this kind belong to one database.
pub(super) const LOCK: i64 = 0x6C6F_6E67_626F_6174;

/// The key of the lock by which replicas write one after the other.
pub(in crate::store) const TURN: i64 = LOCK + 2;

/// How long somebody who starts waits for the session of one that just died.
const PATIENCE: &str = "SET lock_timeout = '1s'";

/// A session among all that the server ever had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Identity {
    process: i32,
    started: String,
}

/// A connection that holds the database.
pub(in crate::store) struct Session {
    pub(in crate::store) connection: PgConnection,
    pub(in crate::store) identity: Identity,
}

impl Session {
    /// Connects and takes the database, or says who has it.
    pub(in crate::store) async fn open(server: &Server) -> Result<Self, StoreError> {
        let mut connection = server.connect().await?;
        if take(&mut connection, server.is_shared()).await? {
            return Self::of(connection).await;
        }
        let holder = holder(&mut connection).await.map(|(_, holder)| holder);
        let holder = holder.unwrap_or_else(|| "which one is not known".to_owned());
        Err(StoreError::Taken { database: server.shown().to_owned(), holder })
    }

    /// Connects again after the session `old` was lost, and takes the database back. The server may not have
    /// noticed yet that the old one is dead; then it is ended.
    pub(super) async fn reopen(server: &Server, old: &Identity) -> Result<Self, StoreError> {
        let mut connection = server.connect().await?;
        if server.is_shared() {
            return Self::rejoin(connection, old).await;
        }
        for _ in 0..3 {
            if take(&mut connection, false).await? {
                return Self::of(connection).await;
            }
            match holder(&mut connection).await {
                Some((identity, _)) if identity == *old => {
                    sqlx::query("SELECT pg_terminate_backend($1)").bind(old.process).execute(&mut connection).await?;
                }
                Some((_, holder)) => {
                    return Err(StoreError::Taken { database: server.shown().to_owned(), holder });
                }
                // It ended just now.
                None => {}
            }
        }
        Err(StoreError::Disconnected { reason: "the old session has not ended yet".to_owned() })
    }

    /// The same for a replica: the lock keeps the old session from nothing, but what became of its last transaction is
    /// known only once it has ended.
    async fn rejoin(mut connection: PgConnection, old: &Identity) -> Result<Self, StoreError> {
        sqlx::query(
            "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity WHERE pid = $1 AND backend_start::text = $2",
        )
        .bind(old.process)
        .bind(&old.started)
        .execute(&mut connection)
        .await?;
        if take(&mut connection, true).await? {
            return Self::of(connection).await;
        }
        let holder = holder(&mut connection).await.map_or_else(String::new, |(_, holder)| format!(": {holder}"));
        Err(StoreError::Disconnected { reason: format!("another Longboat has the database for itself{holder}") })
    }

    async fn of(mut connection: PgConnection) -> Result<Self, StoreError> {
        let (process, started) =
            sqlx::query_as("SELECT pid, backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid()")
                .fetch_one(&mut connection)
                .await?;
        Ok(Self { connection, identity: Identity { process, started } })
    }
}

/// Says what to do where the user may not make tables, as in the schema `public` of a database of somebody else.
fn not_allowed(server: &Server, error: MigrateError) -> StoreError {
    let said = match &error {
        MigrateError::Execute(sqlx::Error::Database(said))
        | MigrateError::ExecuteMigration(sqlx::Error::Database(said), _) => said,
        _ => return error.into(),
    };
    if said.code().as_deref() != Some("42501") {
        return error.into();
    }
    let reason = format!("its user may not make tables there: {}", said.message());
    server.refused(reason, server.advise_ownership())
}

/// Brings the tables to a step of the migrations, and adds what PostgreSQL needs besides, whatever tables there are.
/// Afterwards nothing bounds how long a statement may take.
///
/// Texts sort and compare byte by byte, as on SQLite, whatever language the database was created for. Rows that
/// every transition rewrites get room in their page, so that rewriting them touches no index.
pub(in crate::store) async fn furnish(
    connection: &mut PgConnection,
    server: &Server,
    tables: &Migrator,
    step: i64,
) -> Result<(), StoreError> {
    raw_sql("SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0").execute(&mut *connection).await?;
    tables.run_to(step, &mut *connection).await.map_err(|error| not_allowed(server, error))?;
    raw_sql(
        "DO $$ DECLARE it record; BEGIN \
         FOR it IN SELECT c.table_name AS name, \
             string_agg(format('ALTER COLUMN %I TYPE TEXT COLLATE \"C\"', c.column_name), ', ') AS changes \
             FROM information_schema.columns c JOIN information_schema.tables t \
             ON t.table_schema = c.table_schema AND t.table_name = c.table_name AND t.table_type = 'BASE TABLE' \
             WHERE c.table_schema = current_schema() AND c.data_type = 'text' \
             AND c.collation_name IS DISTINCT FROM 'C' AND left(c.table_name, 1) <> '_' \
             GROUP BY c.table_name \
         LOOP EXECUTE format('ALTER TABLE %I %s', it.name, it.changes); END LOOP; \
         IF NOT EXISTS (SELECT 1 FROM pg_class WHERE oid = 'execution'::regclass \
             AND reloptions @> ARRAY['fillfactor=70']) \
         THEN ALTER TABLE execution SET (fillfactor = 70); END IF; END $$",
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Waits until no other replica brings the tables up to date.
pub(in crate::store) async fn begin_furnishing(connection: &mut PgConnection) -> Result<(), StoreError> {
    raw_sql("SET statement_timeout = 0; SET lock_timeout = 0").execute(&mut *connection).await?;
    sqlx::query("SELECT pg_advisory_lock($1)").bind(LOCK + 3).execute(connection).await?;
    Ok(())
}

/// Lets others bring the tables up to date. If it comes to nothing before that, the end of the session does it.
pub(in crate::store) async fn end_furnishing(connection: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query("SELECT pg_advisory_unlock($1)").bind(LOCK + 3).execute(connection).await?;
    Ok(())
}

/// Takes the lock, unless somebody keeps it for longer than one that is just dying.
async fn take(connection: &mut PgConnection, shared: bool) -> Result<bool, StoreError> {
    raw_sql(PATIENCE).execute(&mut *connection).await?;
    let lock = if shared { "SELECT pg_advisory_lock_shared($1)" } else { "SELECT pg_advisory_lock($1)" };
    let taken = sqlx::query(lock).bind(LOCK).execute(&mut *connection).await;
    let taken = match taken {
        Ok(_) => true,
        // "lock not available"
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("55P03") => false,
        Err(error) => return Err(error.into()),
    };
    raw_sql(if shared { "SET lock_timeout = '8s'" } else { "SET lock_timeout = '10s'" }).execute(connection).await?;
    Ok(taken)
}

/// Who holds the lock, with words for people; the holder may be gone by now.
async fn holder(connection: &mut PgConnection) -> Option<(Identity, String)> {
    let asked = sqlx::query_as::<_, (String, Option<String>, i32, String, bool)>(
        "SELECT a.application_name, host(a.client_addr), a.pid, a.backend_start::text, l.mode = 'ShareLock' \
         FROM pg_locks l \
         JOIN pg_stat_activity a ON a.pid = l.pid \
         WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 \
         AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
         AND (l.classid::bigint << 32) + l.objid::bigint = $1 AND l.pid <> pg_backend_pid() LIMIT 1",
    )
    .bind(LOCK);
    let (name, host, process, started, shared) = asked.fetch_optional(connection).await.ok().flatten()?;
    let name = name.strip_prefix("Longboat ").unwrap_or(&name);
    let host = host.map_or_else(String::new, |host| format!(" on {host}"));
    let how = if shared { "one of several that share it (`database.replicas`)" } else { "which has it for itself" };
    let words = format!("{name}{host}, session {process} of the server, {how}");
    Some((Identity { process, started }, words))
}
