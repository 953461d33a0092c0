//! The writer's session, which holds the database: a session lock of the server plays the part of the lock file.
//!
//! The server lets go of the lock when the session ends, however it ends. One process per database: who comes
//! second is told who the first is.

use sqlx::{PgConnection, raw_sql};

use super::Server;
use crate::store::StoreError;

/// The key of the lock: "longboat" in ASCII. Locks of this kind belong to one database.
const LOCK: i64 = 0x6C6F_6E67_626F_6174;

/// How long somebody who starts waits for the session of one that just died.
const PATIENCE: &str = "SET lock_timeout = '1s'";

/// A connection that holds the database.
pub(in crate::store) struct Session {
    pub(in crate::store) connection: PgConnection,
}

impl Session {
    /// Connects and takes the database, or says who has it.
    pub(in crate::store) async fn open(server: &Server) -> Result<Self, StoreError> {
        let mut connection = server.connect().await?;
        raw_sql(PATIENCE).execute(&mut connection).await?;
        let taken = sqlx::query("SELECT pg_advisory_lock($1)").bind(LOCK).execute(&mut connection).await;
        match taken {
            Ok(_) => {}
            // "lock not available"
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("55P03") => {
                let holder = holder(&mut connection).await;
                return Err(StoreError::Taken { database: server.shown().to_owned(), holder });
            }
            Err(error) => return Err(error.into()),
        }
        raw_sql("SET lock_timeout = '10s'").execute(&mut connection).await?;
        Ok(Self { connection })
    }

    /// What PostgreSQL needs besides the migrations, whatever tables they make.
    ///
    /// Texts sort and compare byte by byte, as on SQLite, whatever language the database was created for. Rows that
    /// every transition rewrites get room in their page, so that rewriting them touches no index.
    pub(in crate::store) async fn furnish(&mut self) -> Result<(), StoreError> {
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
        .execute(&mut self.connection)
        .await?;
        Ok(())
    }
}

/// Who holds the lock, for people; the holder may be gone by now.
async fn holder(connection: &mut PgConnection) -> String {
    let found: Result<Option<(String, Option<String>, i32)>, sqlx::Error> = sqlx::query_as(
        "SELECT a.application_name, host(a.client_addr), a.pid FROM pg_locks l \
         JOIN pg_stat_activity a ON a.pid = l.pid \
         WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 \
         AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
         AND (l.classid::bigint << 32) + l.objid::bigint = $1",
    )
    .bind(LOCK)
    .fetch_optional(connection)
    .await;
    match found {
        Ok(Some((name, host, session))) => {
            let name = name.strip_prefix("Longboat ").unwrap_or(&name);
            let host = host.map_or_else(String::new, |host| format!(" on {host}"));
            format!("{name}{host}, session {session} of the server")
        }
        Ok(None) | Err(_) => "which one is not known".to_owned(),
    }
}
