//! Whose an application is. It belongs to the repository that published it, as long as that one is followed and the
//! operator lets it define the application on the branch that it was published from.

use super::{Repository, Shared};
use crate::model::{ApplicationName, RepositoryName};
use crate::store::ApplicationSummary;

/// Whether the repository that has an application may have it.
pub(super) fn is_permitted(repository: &Repository, owner: &ApplicationSummary) -> bool {
    let rules = repository.spec.applications.as_ref();
    rules.is_none_or(|rules| rules.check(&owner.name, Some(&owner.branch)).is_ok())
}

/// Whether an application belongs to another repository than this one.
pub(super) fn is_others(shared: &Shared, repository: &Repository, owner: &ApplicationSummary) -> bool {
    let other = || shared.repositories.get(&owner.repository);
    owner.repository != *repository.name() && other().is_some_and(|other| is_permitted(other, owner))
}

/// The applications that belong to other repositories than this one, each with its owner.
pub(super) fn of_others<'a>(
    shared: &Shared,
    repository: &Repository,
    all: &'a [ApplicationSummary],
) -> Vec<(&'a ApplicationName, &'a RepositoryName)> {
    let others = all.iter().filter(|owner| is_others(shared, repository, owner));
    others.map(|owner| (&owner.name, &owner.repository)).collect()
}
