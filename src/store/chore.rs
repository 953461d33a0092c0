//! Chores: rows that wait to be worked off, and may start executions then. What a chore starts is written together with
//! its end, so that whatever crashes when, it starts once. One that fails is put off and tried again.

use sqlx::any::AnyRow;
use tokio::sync::watch;

use super::bell::Bell;
use super::execution::{self, Birth, Created};
use super::rows::Row;
use super::{Store, StoreError, outbox};
use crate::clock::Timestamp;
use crate::model::{CommitStatus, ExecutionKey, NewExecution};

/// What waits in a table of its own.
pub trait Chore: kind::Kind {
    /// How often it was tried to work it off.
    fn attempts(&self) -> u32;
}

/// What only this room knows of a chore.
pub(super) mod kind {
    use super::{AnyRow, Bell, StoreError};

    /// How a chore is kept.
    pub trait Kind: Sized + Clone + Send + Sync + 'static {
        /// Its statements.
        const STATEMENTS: Statements;
        /// What rings when there is one more.
        const BELL: Bell;
        /// Reads it.
        fn read(row: &AnyRow) -> Result<Self, StoreError>;
        /// What the statements call it by: `$1` and on.
        fn key(&self) -> Vec<i64>;
    }

    /// The statements of a kind of chore.
    pub struct Statements {
        /// What is due at `$1`, `$2` at most, oldest first.
        pub due: &'static str,
        /// When something will be due next, as `due_at`.
        pub next_due: &'static str,
        /// Ends the one with the key; changes no row if it was ended before.
        pub end: &'static str,
        /// Puts the one with the key off until the parameter behind the key, and counts the attempt.
        pub put_off: &'static str,
    }
}

impl Store {
    /// Chores to work off now, oldest first.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn due<C: Chore>(&self, limit: u32) -> Result<Vec<C>, StoreError> {
        let rows = sqlx::query(C::STATEMENTS.due)
            .bind(self.now().as_millis())
            .bind(i64::from(limit))
            .fetch_all(self.reads())
            .await?;
        rows.iter().map(C::read).collect()
    }

    /// When [`Store::due`] will have something.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn next_due<C: Chore>(&self) -> Result<Option<Timestamp>, StoreError> {
        let row = sqlx::query(C::STATEMENTS.next_due).fetch_one(self.reads()).await?;
        Row::of("a table of chores", &row).time_or_null("due_at")
    }

    /// Ends a chore with what it starts and what is said about what it can't start; nothing, if it was worked off. Yields
    /// what is new.
    ///
    /// # Errors
    /// If it can't be written; then nothing of it holds.
    pub async fn end_chore<C: Chore>(
        &self,
        chore: &C,
        start: Vec<NewExecution>,
        say: Vec<CommitStatus>,
    ) -> Result<Vec<ExecutionKey>, StoreError> {
        let births =
            start.into_iter().map(|new| Birth::knowing(new, &self.inner.ahead)).collect::<Result<Vec<_>, _>>()?;
        let said = say.into_iter().map(|status| outbox::NewEntry::new(None, &status.into()));
        let said = said.collect::<Result<Vec<_>, _>>()?;
        let key = chore.key();
        self.write(move |tx| {
            Box::pin(async move {
                let mut end = sqlx::query(C::STATEMENTS.end);
                for part in key {
                    end = end.bind(part);
                }
                if end.execute(&mut tx.connection).await?.rows_affected() != 1 {
                    return Ok(Vec::new());
                }
                let mut keys = Vec::new();
                for birth in &births {
                    if let Created::New(key) = execution::create(tx, birth, None).await? {
                        keys.push(key);
                    }
                }
                outbox::insert(tx, &said.iter().collect::<Vec<_>>()).await?;
                Ok(keys)
            })
        })
        .await
    }

    /// Puts a chore off after a failure.
    ///
    /// # Errors
    /// If it can't be written.
    pub async fn put_off<C: Chore>(&self, chore: &C, until: Timestamp) -> Result<(), StoreError> {
        let key = chore.key();
        self.write(move |tx| {
            Box::pin(async move {
                let mut put_off = sqlx::query(C::STATEMENTS.put_off);
                for part in key {
                    put_off = put_off.bind(part);
                }
                put_off.bind(until.as_millis()).execute(&mut tx.connection).await?;
                Ok(())
            })
        })
        .await
    }

    /// Changes after each commit that added a chore of this kind.
    pub fn chores_changed<C: Chore>(&self) -> watch::Receiver<u64> {
        self.inner.bells.subscribe(C::BELL)
    }
}
