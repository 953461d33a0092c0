//! Pull requests: what becomes of what was noticed about them.

use std::sync::Arc;

use super::failure::WorkError;
use super::{Repository, Shared};
use crate::forge::ForgeError;
use crate::model::PullRequest;
use crate::store::{InboxEntry, Settlement};

/// Works off an entry about a pull request.
pub(super) async fn work_off(
    shared: &Arc<Shared>,
    repository: &Arc<Repository>,
    entry: &InboxEntry,
) -> Result<(), WorkError> {
    let told = entry.pull_request.as_ref().and_then(|noticed| noticed.told.clone());
    let asked = match crate::model::pull_request_number(&entry.git_ref) {
        Some(number) => ask(shared, repository, number).await?,
        None => None,
    };
    let settlement = Settlement {
        git_ref: entry.git_ref.clone(),
        commit: entry.new.clone(),
        pull_request: asked.or(told).map(|pull_request| (pull_request, None)),
        ..super::settle::empty(repository.name(), Some(entry.id))
    };
    shared.store.settle(settlement).await?;
    Ok(())
}

/// The pull request as its forge has it; none if that one can't be asked.
async fn ask(shared: &Shared, repository: &Repository, number: u64) -> Result<Option<PullRequest>, ForgeError> {
    let forge = shared.forges.of(repository.name()).filter(|forge| forge.capabilities().pull_requests);
    match forge {
        Some(forge) => forge.pull_request(repository.name(), number).await.map(Some),
        None => Ok(None),
    }
}
