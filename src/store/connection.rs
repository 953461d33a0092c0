//! One connection over either database.
//!
//! The writer needs both: statements that are the same everywhere, and the native connection below them for the
//! hot path and for what only PostgreSQL has. sqlx's own `AnyConnection` hides the connection that it holds, so
//! this type stands in its place: whatever is written for `sqlx::Any` runs on it.

use futures::FutureExt as _;
use futures::future::{self, BoxFuture};
use futures::stream::{self, BoxStream, StreamExt as _};
use sqlx::any::{Any, AnyQueryResult, AnyRow, AnyStatement, AnyTypeInfo};
use sqlx::{Connection as _, Execute, Executor, PgConnection, SqlStr, SqliteConnection};
use sqlx_core::Either;
use sqlx_core::any::{AnyArguments, AnyConnectionBackend, AnyValueKind};
use sqlx_core::describe::Describe;

/// Which database it is, where it makes a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Backend {
    Sqlite,
    Postgres,
}

/// A connection that runs statements written for `sqlx::Any`.
#[derive(Debug)]
pub(super) enum Connection {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Connection {
    pub(super) fn backend(&self) -> Backend {
        match self {
            Self::Sqlite(_) => Backend::Sqlite,
            Self::Postgres(_) => Backend::Postgres,
        }
    }

    /// Forgets what was prepared for tables that may be different by now.
    pub(super) async fn forget_prepared(&mut self) -> Result<(), sqlx::Error> {
        self.driver().clear_cached_statements().await
    }

    pub(super) async fn close(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(connection) => connection.close().await,
            Self::Postgres(connection) => connection.close().await,
        }
    }

    fn driver(&mut self) -> &mut dyn AnyConnectionBackend {
        match self {
            Self::Sqlite(connection) => connection,
            Self::Postgres(connection) => connection,
        }
    }

    /// What is bound. PostgreSQL has no zero character in texts, and a text that somebody else wrote (an error of
    /// a program, a name in a webhook) may hold one: it becomes U+FFFD, as other letters do that can't be shown.
    fn arguments<'q>(&self, query: &mut impl Execute<'q, Any>) -> Result<Option<AnyArguments>, sqlx::Error> {
        let mut arguments = query.take_arguments().map_err(sqlx::Error::Encode)?;
        if let (Self::Postgres(_), Some(arguments)) = (self, &mut arguments) {
            for value in &mut arguments.values.0 {
                let text = match value {
                    AnyValueKind::Text(text) => text.as_str(),
                    AnyValueKind::TextSlice(text) => text,
                    _ => continue,
                };
                if let Some(clean) = without_zero(text) {
                    *value = AnyValueKind::Text(clean.into());
                }
            }
        }
        Ok(arguments)
    }
}

/// The text with U+FFFD for each zero character; `None`: it has none.
pub(super) fn without_zero(text: &str) -> Option<String> {
    text.contains('\0').then(|| text.replace('\0', "\u{FFFD}"))
}

impl<'c> Executor<'c> for &'c mut Connection {
    type Database = Any;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        mut query: E,
    ) -> BoxStream<'e, Result<Either<AnyQueryResult, AnyRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        match self.arguments(&mut query) {
            Ok(arguments) => {
                let persistent = query.persistent();
                self.driver().fetch_many(query.sql(), persistent, arguments)
            }
            Err(error) => stream::once(future::ready(Err(error))).boxed(),
        }
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, mut query: E) -> BoxFuture<'e, Result<Option<AnyRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        match self.arguments(&mut query) {
            Ok(arguments) => {
                let persistent = query.persistent();
                self.driver().fetch_optional(query.sql(), persistent, arguments)
            }
            Err(error) => future::ready(Err(error)).boxed(),
        }
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &[AnyTypeInfo],
    ) -> BoxFuture<'e, Result<AnyStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        self.driver().prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Any>, sqlx::Error>>
    where
        'c: 'e,
    {
        self.driver().describe(sql)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_text_with_a_zero_character_is_rewritten() {
        assert_eq!(without_zero("plain ü"), None);
        assert_eq!(without_zero("a\0b\0").as_deref(), Some("a\u{FFFD}b\u{FFFD}"));
    }
}
