//! Whose an application is. It belongs to the repository that published it first, until that one gives it up or the
//! operator's configuration takes it away ([`super::taken`]). Whoever was refused it meanwhile is looked at again then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use super::{Repository, RepositorySet, Shared};
use crate::model::{ApplicationName, RepositoryName};
use crate::store::{ApplicationSummary, StoreError};

/// Whether the configuration lets the repository that has an application have it.
pub(super) fn may_have(repositories: &RepositorySet, owner: &ApplicationSummary) -> bool {
    let Some(repository) = repositories.get(&owner.repository) else { return false };
    let rules = repository.spec.applications.as_ref();
    rules.is_none_or(|rules| rules.check(&owner.name, Some(&owner.branch)).is_ok())
}

/// The applications that belong to other repositories than this one, each with its owner.
pub(super) fn of_others<'a>(
    repository: &Repository,
    all: &'a [ApplicationSummary],
) -> Vec<(&'a ApplicationName, &'a RepositoryName)> {
    let others = all.iter().filter(|owner| owner.repository != *repository.name());
    others.map(|owner| (&owner.name, &owner.repository)).collect()
}

/// Tracked branches whose files define applications of other repositories. A start of the server looks at every branch,
/// so that this need not be kept.
#[derive(Debug, Default)]
pub(super) struct Refused(Mutex<BTreeMap<(RepositoryName, String), BTreeSet<ApplicationName>>>);

impl Refused {
    fn note(&self, repository: &Repository, branch: &str, applications: &BTreeSet<ApplicationName>) {
        let key = (repository.name().clone(), branch.to_owned());
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if applications.is_empty() {
            all.remove(&key);
        } else {
            all.insert(key, applications.clone());
        }
    }

    fn of(&self, applications: &[ApplicationName]) -> Vec<(RepositoryName, String)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wants = |refused: &BTreeSet<ApplicationName>| applications.iter().any(|name| refused.contains(name));
        all.iter().filter(|(_, refused)| wants(refused)).map(|(key, _)| key.clone()).collect()
    }
}

/// Remembers what a branch was refused. What was given up while it was looked at is offered at once.
pub(super) async fn note_refused(
    shared: &Shared,
    repository: &Repository,
    branch: &str,
    refused: &BTreeSet<ApplicationName>,
) -> Result<(), StoreError> {
    shared.refused.note(repository, branch, refused);
    if refused.is_empty() {
        return Ok(());
    }
    let owners = shared.store.applications().await?;
    let is_owned = |name: &ApplicationName| owners.iter().any(|owner| owner.name == *name);
    let free: Vec<ApplicationName> = refused.iter().filter(|name| !is_owned(name)).cloned().collect();
    offer(shared, &free).await
}

/// Has the branches looked at again that were refused one of these applications, which nobody has any more.
pub(super) async fn offer(shared: &Shared, given_up: &[ApplicationName]) -> Result<(), StoreError> {
    let branches = shared.refused.of(given_up);
    if branches.is_empty() {
        return Ok(());
    }
    tracing::info!(?given_up, ?branches, "what was given up is offered to those who were refused it");
    shared.store.look_again(branches).await?;
    Ok(())
}
