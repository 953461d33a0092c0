//! Finding and opening the database file.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AnyPool, ConnectOptions, Executor, SqliteConnection};

use super::postgres::shown;
use super::{StoreError, StoreOptions};
use crate::model::percent_encode;

/// Readers. Reads are short; more connections than this only compete for the same cores.
const READERS: u32 = 4;

/// The database file that a URL names. The folder is made if it is missing, and its path made absolute, so that
/// nothing that happens to the working directory later can lead to another file.
pub(super) fn locate(url: &str) -> Result<PathBuf, StoreError> {
    let bad = |reason| StoreError::BadUrl { url: shown(url), reason };
    let Some(path) = url.strip_prefix("sqlite:") else {
        return Err(bad("write `sqlite:PATH` or `postgres://USER@HOST:PORT/DATABASE`"));
    };
    let path = path.strip_prefix("//").unwrap_or(path);
    if path == ":memory:" || path.is_empty() {
        return Err(bad("a database needs a file, so that it survives a restart; write `sqlite:PATH`"));
    }
    if path.contains('?') {
        return Err(bad("options after `?` are not supported; write only the path"));
    }
    let path = Path::new(path);
    let Some(name) = path.file_name() else {
        return Err(bad("the path names no file; write `sqlite:FOLDER/longboat.db`"));
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let io = |source| StoreError::Io { path: folder.to_owned(), source: Arc::new(source) };
    std::fs::create_dir_all(folder).map_err(io)?;
    let file = folder.canonicalize().map_err(io)?.join(name);
    if file.is_dir() {
        return Err(bad("the path is a folder; write `sqlite:FOLDER/longboat.db`"));
    }
    Ok(file)
}

/// The connection for all writes.
pub(super) async fn writer(file: &Path, options: &StoreOptions) -> Result<SqliteConnection, StoreError> {
    let mut connection = SqliteConnectOptions::try_from(&connect_options(file)?)?.connect().await?;
    connection.execute("PRAGMA busy_timeout = 10000").await?;
    connection.execute("PRAGMA journal_mode = WAL").await?;
    connection
        .execute(if options.durable { "PRAGMA synchronous = FULL" } else { "PRAGMA synchronous = NORMAL" })
        .await?;
    connection.execute("PRAGMA foreign_keys = ON").await?;
    // A rare huge transaction must not leave a huge log file behind for ever.
    connection.execute("PRAGMA journal_size_limit = 67108864").await?;
    Ok(connection)
}

/// The connections for all reads; the database itself refuses writes on them.
pub(super) async fn readers(file: &Path) -> Result<AnyPool, StoreError> {
    let pool = AnyPoolOptions::new()
        .max_connections(READERS)
        .test_before_acquire(false) // a file doesn't go away; the ping would double the cost of a small read
        .max_lifetime(None)
        .acquire_timeout(Duration::from_secs(30))
        .after_connect(|connection, _| {
            Box::pin(async move {
                connection.execute("PRAGMA busy_timeout = 10000").await?;
                connection.execute("PRAGMA query_only = ON").await?;
                Ok(())
            })
        })
        .connect_with(connect_options(file)?)
        .await?;
    Ok(pool)
}

fn connect_options(file: &Path) -> Result<AnyConnectOptions, StoreError> {
    sqlx::any::install_default_drivers();
    let path = percent_encode(file.as_os_str().as_encoded_bytes(), "/-_.");
    let url = format!("sqlite://{path}?mode=rwc");
    Ok(url.parse::<AnyConnectOptions>()?.disable_statement_logging())
}

#[cfg(test)]
mod tests {
    use sqlx::Row as _;

    use super::*;

    #[test]
    fn a_url_that_names_no_file_is_refused_with_what_to_write() {
        for url in ["postgres://localhost/x", "sqlite::memory:", "sqlite:", "sqlite:x.db?mode=ro", "sqlite:/", "x.db"] {
            let error = locate(url).expect_err(url);
            assert!(matches!(error, StoreError::BadUrl { .. }), "{url}: {error}");
            assert!(error.to_string().contains("write"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_durable_store_waits_for_the_disk() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let file = dir.path().join("with ?, % and ü.db");
        for (durable, level) in [(true, 2), (false, 1)] {
            let options = StoreOptions { durable, ..StoreOptions::new("", "test") };
            let mut connection = writer(&file, &options).await.expect("connects");
            let mut ask = async |pragma| sqlx::query(pragma).fetch_one(&mut connection).await.expect("answers");
            assert_eq!(ask("PRAGMA synchronous").await.get::<i64, _>(0), level);
            assert_eq!(ask("PRAGMA journal_mode").await.get::<String, _>(0), "wal");
            assert_eq!(ask("PRAGMA foreign_keys").await.get::<i64, _>(0), 1);
        }
        assert!(file.is_file());
    }

    #[test]
    fn a_missing_folder_is_made_and_a_folder_is_no_database() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let wanted = dir.path().join("a/b c/longboat.db");
        let found = locate(&format!("sqlite:{}", wanted.display())).expect("is located");
        assert!(found.is_absolute() && found.parent().expect("has a folder").is_dir(), "{found:?}");
        let error = locate(&format!("sqlite:{}", dir.path().display())).expect_err("a folder");
        assert!(error.to_string().contains("is a folder"), "{error}");
    }
}
