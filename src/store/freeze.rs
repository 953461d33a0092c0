//! Freezes: which applications begin nothing new, and why.

use std::time::Duration;

use sqlx::any::AnyRow;

use super::rows::Row;
use super::{Store, StoreError};
use crate::clock::Timestamp;
use crate::model::{ApplicationName, Freeze};

/// What stands in the place of an application's name if everything is frozen; no application can be called that.
const EVERYTHING: &str = "*";

/// When it is forgotten what a replica heeded.
const FORGOTTEN: Duration = Duration::from_secs(24 * 3600);

impl Store {
    /// The freezes in force, that of everything first, then by application.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn freezes(&self) -> Result<Vec<Freeze>, StoreError> {
        let rows = sqlx::query("SELECT * FROM freezes WHERE ends_at IS NULL OR ends_at > $1 ORDER BY scope")
            .bind(self.now().as_millis())
            .fetch_all(self.reads())
            .await?;
        rows.iter().map(freeze).collect()
    }

    /// The number of the latest change of the freezes, and the freezes as they stand since then or later.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn numbered_freezes(&self) -> Result<(i64, Vec<Freeze>), StoreError> {
        let number = self.freezes_number().await?;
        Ok((number, self.freezes().await?))
    }

    /// The number of the latest change of the freezes.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn freezes_number(&self) -> Result<i64, StoreError> {
        let number = sqlx::query_scalar("SELECT value FROM counter WHERE name = 'freezes'");
        Ok(number.fetch_one(self.reads()).await?)
    }

    /// Notes up to which change a replica heeds the freezes.
    ///
    /// # Errors
    /// If it can't be written.
    pub async fn note_heeded(&self, replica: &str, number: i64) -> Result<(), StoreError> {
        let replica = replica.to_owned();
        self.write(move |tx| {
            Box::pin(async move {
                // Those that have been gone for long; who is there notes the next change anew.
                sqlx::query("DELETE FROM heeded WHERE noted_at < $1")
                    .bind(tx.now.minus(FORGOTTEN).as_millis())
                    .execute(&mut tx.connection)
                    .await?;
                sqlx::query(
                    "INSERT INTO heeded (replica, freezes, noted_at) VALUES ($1, $2, $3) ON CONFLICT (replica) \
                     DO UPDATE SET freezes = excluded.freezes, noted_at = excluded.noted_at",
                )
                .bind(replica.as_str())
                .bind(number)
                .bind(tx.now.as_millis())
                .execute(&mut tx.connection)
                .await?;
                Ok(())
            })
        })
        .await
    }

    /// The replicas that heed the freezes up to a change, or a later one. Some of them may be gone.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn heeding(&self, number: i64) -> Result<Vec<String>, StoreError> {
        let rows = sqlx::query("SELECT replica FROM heeded WHERE freezes >= $1 ORDER BY replica")
            .bind(number)
            .fetch_all(self.reads())
            .await?;
        rows.iter().map(|row| Row::of("heeded", row).text("replica")).collect()
    }

    /// Freezes an application, or everything; takes the place of its former freeze. What has run out is forgotten. Yields
    /// the number of the change.
    ///
    /// # Errors
    /// If it can't be written.
    pub async fn freeze(&self, freeze: Freeze) -> Result<i64, StoreError> {
        self.write(move |tx| {
            Box::pin(async move {
                sqlx::query("DELETE FROM freezes WHERE ends_at <= $1")
                    .bind(tx.now.as_millis())
                    .execute(&mut tx.connection)
                    .await?;
                sqlx::query(
                    "INSERT INTO freezes (scope, reason, frozen_by, frozen_at, ends_at) VALUES ($1, $2, $3, $4, $5) \
                     ON CONFLICT (scope) DO UPDATE SET reason = excluded.reason, frozen_by = excluded.frozen_by, \
                     frozen_at = excluded.frozen_at, ends_at = excluded.ends_at",
                )
                .bind(scope(freeze.application.as_ref()))
                .bind(freeze.reason.as_str())
                .bind(freeze.by.as_str())
                .bind(freeze.since.as_millis())
                .bind(freeze.until.map(Timestamp::as_millis))
                .execute(&mut tx.connection)
                .await?;
                tx.keys("freezes", 1).await
            })
        })
        .await
    }

    /// Ends the freeze of an application, or of everything. Yields whether there was one in force.
    ///
    /// # Errors
    /// If it can't be written.
    pub async fn thaw(&self, application: Option<&ApplicationName>) -> Result<bool, StoreError> {
        let scope = scope(application).to_owned();
        self.write(move |tx| {
            Box::pin(async move {
                let row = sqlx::query("DELETE FROM freezes WHERE scope = $1 RETURNING *")
                    .bind(scope.as_str())
                    .fetch_optional(&mut tx.connection)
                    .await?;
                let ended = row.as_ref().map(freeze).transpose()?;
                if ended.is_some() {
                    tx.keys("freezes", 1).await?;
                }
                Ok(ended.is_some_and(|freeze| freeze.is_in_force(tx.now)))
            })
        })
        .await
    }
}

fn scope(application: Option<&ApplicationName>) -> &str {
    application.map_or(EVERYTHING, ApplicationName::as_str)
}

fn freeze(row: &AnyRow) -> Result<Freeze, StoreError> {
    let row = Row::of("freezes", row);
    let everything = row.text("scope")? == EVERYTHING;
    Ok(Freeze {
        application: if everything { None } else { Some(row.id("scope")?) },
        reason: row.text("reason")?,
        by: row.text("frozen_by")?,
        since: row.time("frozen_at")?,
        until: row.time_or_null("ends_at")?,
    })
}
