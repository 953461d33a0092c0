//! Checkouts for scripts, out of the mirrors of the repositories that are followed.

use std::path::Path;

use async_trait::async_trait;

use crate::model::{CommitSha, RepositoryName};
use crate::stage::Checkouts;
use crate::trigger::RepositorySet;

/// Fills a folder from a mirror.
pub(super) struct FromMirrors(pub(super) RepositorySet);

#[async_trait]
impl Checkouts for FromMirrors {
    async fn checkout(&self, repository: &RepositoryName, commit: &CommitSha, dir: &Path) -> Result<(), String> {
        self.0.checkout(repository, commit, dir).await.map_err(|error| error.to_string())
    }
}
