//! The one comment of a pull request: what it is to say now, brought to the forge.

use super::send::{Outcome, Way, record};
use crate::forge::markdown;
use crate::model::RepositoryName;
use crate::store::OutboxEntry;

/// Writes the comment, or edits the one that is there.
pub(super) async fn bring_up_to_date(
    way: &Way,
    entry: &OutboxEntry,
    repository: &RepositoryName,
    pull_request: u64,
) -> Outcome {
    let Way { store, forge, .. } = way;
    let Some(composer) = &way.composer else { return record(store, entry).await };
    let comment = match composer.compose(repository, pull_request).await {
        Ok(Some(comment)) => comment,
        Ok(None) => return record(store, entry).await,
        Err(reason) => return Outcome::NotComposed(reason),
    };
    let capabilities = forge.capabilities();
    let marker = markdown::marker(repository, pull_request, capabilities.markup);
    let body = markdown::write(&comment, &capabilities, way.public_url.as_deref(), &marker);
    let repo = repository.as_str();
    let written = match forge.find_comment(repo, pull_request, &marker).await {
        Ok(Some(found)) if found.body == body => Ok(()),
        Ok(Some(found)) => forge.edit_comment(repo, pull_request, &found.id, &body).await,
        Ok(None) => forge.post_comment(repo, pull_request, &body).await.map(drop),
        Err(error) => return Outcome::NotLookedUp(error),
    };
    match written {
        Ok(()) => record(store, entry).await,
        Err(error) => Outcome::NotTaken(error),
    }
}
