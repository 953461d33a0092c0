//! Remembering where refs stand without anything coming of it.

use super::{Store, StoreError};
use crate::model::{CommitSha, RepositoryName};

impl Store {
    /// Takes down where refs of a repository stand, as a first look found them: what was there before Longboat
    /// is no change. Refs that are known already stay as they are.
    ///
    /// # Errors
    /// If it can't be written; then none of them is.
    pub async fn remember_heads(
        &self,
        repository: &RepositoryName,
        heads: Vec<(String, CommitSha)>,
    ) -> Result<(), StoreError> {
        let repository = repository.clone();
        self.write(move |tx| {
            Box::pin(async move {
                for (git_ref, commit) in heads {
                    sqlx::query(
                        "INSERT INTO ref_head (repository, git_ref, commit_sha, seq, seen_at) VALUES ($1, $2, $3, 1, $4) \
                         ON CONFLICT (repository, git_ref) DO NOTHING",
                    )
                    .bind(repository.as_str())
                    .bind(git_ref)
                    .bind(commit.as_str())
                    .bind(tx.now.as_millis())
                    .execute(&mut tx.connection)
                    .await?;
                }
                Ok(())
            })
        })
        .await
    }
}
