//! Repositories without a forge: a folder, or a Git server that knows no statuses.

use async_trait::async_trait;

use super::{Capabilities, Forge, ForgeError, PostedStatus};
use crate::model::{CommitSha, CommitStatus};

/// A forge that has no place for statuses. Posting counts as done, so that the outbox empties and what a
/// commit was told can be seen in Longboat itself.
#[derive(Debug, Clone)]
pub struct PlainForge {
    name: String,
}

impl PlainForge {
    /// The plain forge of that name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }
}

/// Takes note of a status that has nowhere to go: there's no forge, or no token for it.
pub(super) fn leave_unsaid(forge: &str, status: &CommitStatus) {
    tracing::debug!(
        forge,
        repository = %status.target.repository,
        commit = status.target.commit.short(),
        context = status.target.context,
        text = status.description,
        "a status that no forge is told"
    );
}

#[async_trait]
impl Forge for PlainForge {
    fn name(&self) -> &str {
        &self.name
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::NONE
    }

    async fn post_status(&self, _: &str, status: &CommitStatus, _: Option<&str>) -> Result<(), ForgeError> {
        leave_unsaid(&self.name, status);
        Ok(())
    }

    async fn statuses(&self, _: &str, _: &CommitSha) -> Result<Vec<PostedStatus>, ForgeError> {
        Ok(Vec::new())
    }
}
