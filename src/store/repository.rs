//! How repositories stand, for people.

use super::rows::Row;
use super::writer::Tx;
use super::{Store, StoreError};
use crate::clock::Timestamp;
use crate::model::{CommitSha, RepositoryName};

/// How a repository stands, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryState {
    /// Its name.
    pub name: RepositoryName,
    /// Why it can't be worked with, if it can't.
    pub error: Option<String>,
    /// When it was last noted to be well.
    pub reached_at: Option<Timestamp>,
    /// When it was last noted at all.
    pub noted_at: Timestamp,
    /// Whether its tree held pipeline files when it was last looked at.
    pub has_files: Option<bool>,
    /// The ref that was settled last.
    pub settled_ref: Option<String>,
    /// The commit that was settled last.
    pub settled_commit: Option<CommitSha>,
    /// When that was.
    pub settled_at: Option<Timestamp>,
}

/// What is to be kept about a repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepositoryNote {
    /// Why it can't be worked with; `None`: it is well.
    pub error: Option<String>,
    /// Whether its tree holds pipeline files; `None` leaves what is known.
    pub has_files: Option<bool>,
}

impl Store {
    /// All repositories that something is known about, by name.
    ///
    /// # Errors
    /// If the database can't be read.
    pub async fn repository_states(&self) -> Result<Vec<RepositoryState>, StoreError> {
        let rows = sqlx::query("SELECT * FROM repository ORDER BY name").fetch_all(self.reads()).await?;
        rows.iter().map(|row| state(&Row::of("repository", row))).collect()
    }

    /// Keeps how a repository stands.
    ///
    /// # Errors
    /// If it can't be written.
    pub async fn note_repository(&self, name: &RepositoryName, note: RepositoryNote) -> Result<(), StoreError> {
        let name = name.clone();
        self.write(move |tx| {
            Box::pin(async move {
                sqlx::query(
                    "INSERT INTO repository (name, error, has_files, reached_at, noted_at) \
                     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (name) DO UPDATE SET error = excluded.error, \
                     has_files = COALESCE(excluded.has_files, repository.has_files), \
                     reached_at = COALESCE(excluded.reached_at, repository.reached_at), noted_at = excluded.noted_at",
                )
                .bind(name.as_str())
                .bind(note.error.as_deref())
                .bind(note.has_files.map(i64::from))
                .bind(note.error.is_none().then_some(tx.now.as_millis()))
                .bind(tx.now.as_millis())
                .execute(&mut tx.connection)
                .await?;
                Ok(())
            })
        })
        .await
    }
}

/// What a settlement says about its repository. Whether the repository is well is not among it: an entry may also
/// be settled because it was given up.
pub(super) struct SettledNote<'a> {
    pub(super) repository: &'a RepositoryName,
    pub(super) git_ref: &'a str,
    pub(super) commit: Option<&'a CommitSha>,
    pub(super) has_files: Option<bool>,
}

/// Keeps it.
pub(super) async fn note_settled(tx: &mut Tx, note: SettledNote<'_>) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO repository (name, has_files, noted_at, settled_ref, settled_commit, settled_at) \
         VALUES ($1, $2, $3, $4, $5, $3) ON CONFLICT (name) DO UPDATE SET \
         has_files = COALESCE(excluded.has_files, repository.has_files), noted_at = excluded.noted_at, \
         settled_ref = excluded.settled_ref, settled_commit = excluded.settled_commit, \
         settled_at = excluded.settled_at",
    )
    .bind(note.repository.as_str())
    .bind(note.has_files.map(i64::from))
    .bind(tx.now.as_millis())
    .bind(note.git_ref)
    .bind(note.commit.map(CommitSha::as_str))
    .execute(&mut tx.connection)
    .await?;
    Ok(())
}

fn state(row: &Row<'_>) -> Result<RepositoryState, StoreError> {
    Ok(RepositoryState {
        name: row.id("name")?,
        error: row.text_or_null("error")?,
        reached_at: row.time_or_null("reached_at")?,
        noted_at: row.time("noted_at")?,
        has_files: row.int_or_null("has_files")?.map(|flag| flag != 0),
        settled_ref: row.text_or_null("settled_ref")?,
        settled_commit: row.id_or_null("settled_commit")?,
        settled_at: row.time_or_null("settled_at")?,
    })
}
