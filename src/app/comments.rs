//! What comments on pull requests say, for the room that brings them there.

use std::sync::Arc;

use async_trait::async_trait;

use super::core::Core;
use crate::model::{Comment, RepositoryName};
use crate::notify::Composer;
use crate::review::Reviewer;

struct Comments(Reviewer);

#[async_trait]
impl Composer for Comments {
    async fn compose(&self, repository: &RepositoryName, pull_request: u64) -> Result<Option<Comment>, String> {
        self.0.comment(repository, pull_request).await
    }
}

/// Puts comments together from what the core knows.
pub(super) fn composer(core: &Core) -> Arc<dyn Composer> {
    Arc::new(Comments(Reviewer::new(core.store.clone(), core.engine(), core.logs())))
}
