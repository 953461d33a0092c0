//! What can go wrong in the store, in words that say what to do.

use std::path::PathBuf;
use std::sync::Arc;

use crate::model::ApplicationName;

/// Why the store could not do something.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Another process has the database open.
    #[error(
        "the database {database} is in use by another Longboat ({holder}); stop that one, or give this one a database of its own (`database.url`)"
    )]
    Taken {
        /// The database: its file, or its address without a password.
        database: String,
        /// Who holds it, as far as is known.
        holder: String,
    },
    /// Another owner took over the executions, or a late writer tried to write a journal row twice.
    /// Whoever gets this must forget what it has in memory about the execution.
    #[error("this process no longer owns the execution, so its write was refused")]
    Fenced,
    /// The URL in the configuration doesn't name a database that the store can open.
    #[error("`{url}` can't be opened as a database: {reason}")]
    BadUrl {
        /// The URL as configured, without a password.
        url: String,
        /// What is wrong with it, and what to write instead.
        reason: &'static str,
    },
    /// A database server can't be worked with.
    #[error("the database {database} can't be used: {reason}; {advice}")]
    Unusable {
        /// Its address, without a password.
        database: String,
        /// Why not.
        reason: String,
        /// What to do.
        advice: String,
    },
    /// The connection to the server was lost, and with it the write; it did not happen.
    #[error(
        "the connection to the database was lost before the write was committed ({reason}); Longboat connects again by itself: try again"
    )]
    Disconnected {
        /// What is known of the cause.
        reason: String,
    },
    /// The connection to the server was lost after the commit was sent, and the server can't tell what became of it.
    #[error(
        "the connection to the database was lost during a commit, and whether the write holds is not known ({reason}); look before you try again"
    )]
    Uncertain {
        /// What is known of the cause.
        reason: String,
    },
    /// A file or folder beside the database can't be used.
    #[error("{path}: {source}; check that the folder exists and that Longboat's user may write there")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: Arc<std::io::Error>,
    },
    /// A database that should be filled holds something already.
    #[error("the database {database} is not empty: {reason}; import into a new one")]
    NotEmpty {
        /// The database: its file, or its address without a password.
        database: String,
        /// What it holds.
        reason: String,
    },
    /// A file is not what an export writes.
    #[error("{path}, line {line}: {reason}; export again, and see that the file is copied whole")]
    BadExport {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong there.
        reason: String,
    },
    /// A later version of Longboat has changed the database in a way that this one can't work with.
    #[error(
        "a later Longboat has brought the tables to step {step}, and whoever works with them has to know step {oldest}; this \
         version knows {known}: start the later one, or one in between, or restore the backup that was made before it"
    )]
    Newer {
        /// The step of the tables.
        step: i64,
        /// The step that a program has to know.
        oldest: i64,
        /// The last one that this version knows.
        known: i64,
    },
    /// The tables are to be changed in a way that replicas which run can't follow.
    #[error(
        "this version has to change the tables (step {step}) in a way that replicas of an earlier one can't follow; stop \
         them all first, and start this version then: {replicas}"
    )]
    InUse {
        /// The step that was not taken.
        step: i64,
        /// Their names and versions.
        replicas: String,
    },
    /// The tables could not be brought to this version.
    #[error("the database can't be brought to this version's tables: {0}")]
    Migration(Arc<sqlx::migrate::MigrateError>),
    /// The database said no.
    #[error("the database failed: {0}")]
    Database(Arc<sqlx::Error>),
    /// Something in the database can't be read back.
    #[error("the database holds something that can't be read: {what}: {reason}; restore it from a backup")]
    Corrupt {
        /// Which row or column.
        what: String,
        /// Why it can't be read.
        reason: String,
    },
    /// An execution whose document is of a later version, and can't even be read by this one.
    #[error("a later Longboat created the execution {execution} (version {needs} of the document): start that one")]
    Ahead {
        /// Its public id.
        execution: String,
        /// The version that its document needs.
        needs: u32,
    },
    /// A value that has no form as a document.
    #[error("{what} can't be stored: {reason}")]
    Unwritable {
        /// Which value.
        what: String,
        /// Why not.
        reason: String,
    },
    /// A value is larger than the store takes.
    #[error("{what} has {size} bytes; the store takes {limit} at most")]
    TooLarge {
        /// Which value.
        what: String,
        /// Its size in bytes.
        size: usize,
        /// The most bytes allowed.
        limit: usize,
    },
    /// What was to be published belongs to another repository: somebody was a moment faster.
    #[error("{} to another repository", owned(.applications))]
    Owned {
        /// The applications.
        applications: Vec<ApplicationName>,
    },
    /// A list was continued with a cursor that no list gave out.
    #[error("`{cursor}` is not a cursor; leave it out to start from the newest")]
    BadCursor {
        /// The text given.
        cursor: String,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// Whether the database can't be reached for now: the same may go well in a moment.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Disconnected { .. } | Self::Uncertain { .. } => true,
            Self::Database(error) => matches!(**error, sqlx::Error::PoolTimedOut | sqlx::Error::Io(_)),
            _ => false,
        }
    }

    /// A value in the database that can't be read.
    pub(super) fn corrupt(what: impl Into<String>, reason: impl std::fmt::Display) -> Self {
        Self::Corrupt { what: what.into(), reason: reason.to_string() }
    }
}

fn owned(applications: &[ApplicationName]) -> String {
    let names: Vec<&str> = applications.iter().map(ApplicationName::as_str).collect();
    let (noun, verb) = if names.len() == 1 { ("application", "belongs") } else { ("applications", "belong") };
    format!("the {noun} {} {verb}", names.join(", "))
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::PoolClosed => Self::Closed,
            other => Self::Database(Arc::new(other)),
        }
    }
}

impl From<sqlx::migrate::MigrateError> for StoreError {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        Self::Migration(Arc::new(error))
    }
}
