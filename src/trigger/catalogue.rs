//! What a tracked branch publishes at a commit, and what it takes away.

use std::collections::HashSet;

use super::failure::WorkError;
use super::removal::Removed;
use super::{Repository, Shared, owners, removal, settle};
use crate::gitops::Checked;
use crate::model::{ApplicationName, CommitSha, RepositoryName};
use crate::store::{ApplicationSummary, Publication, Published, Settlement};

/// What is published from a commit and what is withdrawn.
#[derive(Default)]
pub(super) struct Catalogued {
    pub(super) publish: Vec<Publication>,
    pub(super) withdraw: Vec<ApplicationName>,
}

/// Decides what a tracked branch publishes, and what of the pipelines in force goes by that; a commit that takes away
/// too much publishes nothing. An application with errors keeps its last good revision; one whose file is gone is
/// withdrawn, unless a file can't be told whose it is, or an application that is to come has errors: it may be the one
/// that was moved there. What the operator doesn't let the branch define any more is withdrawn in any case.
pub(super) async fn decide(
    shared: &Shared,
    repository: &Repository,
    branch: &str,
    commit: &CommitSha,
    checked: &mut Checked,
    in_force: &[Published],
) -> Result<(Catalogued, Option<Removed>), WorkError> {
    let owners = shared.store.applications().await?;
    checked.refuse_foreign(&owners::of_others(shared, repository, &owners));
    let mut catalogued = Catalogued::default();
    let blocked: HashSet<&str> = checked.blocked_files.iter().map(String::as_str).collect();
    for application in checked.applications.iter().filter(|application| application.valid) {
        let reaches_in = |published: &Published| {
            published.pipeline.application == application.name
                && blocked.contains(published.pipeline.source.file.as_str())
        };
        if !in_force.iter().any(reaches_in) {
            catalogued.publish.push(Publication {
                application: application.name.clone(),
                file_owner: repository.name().clone(),
                pipelines: application.pipelines.clone(),
                branch: branch.to_owned(),
                commit: commit.clone(),
                pins: application.pins.clone(),
            });
        }
    }
    let ours = owners.iter().filter(|owner| owner.repository == *repository.name() && owner.branch == branch);
    let (permitted, forbidden): (Vec<_>, Vec<_>) = ours.partition(|owner| owners::is_permitted(repository, owner));
    let is_known = |name: &ApplicationName| owners.iter().any(|owner| owner.name == *name);
    if blocked.is_empty()
        && checked.applications.iter().all(|application| application.valid || is_known(&application.name))
    {
        let defined = |name: &ApplicationName| checked.applications.iter().any(|app| app.name == *name);
        let gone = permitted.into_iter().filter(|owner| !defined(&owner.name));
        catalogued.withdraw = gone.map(|owner| owner.name.clone()).collect();
    }
    let removed = removal::judge(shared, repository, (branch, commit), &catalogued, in_force).await?;
    if let Removed::Refused(refused) = &removed {
        checked.findings.insert(0, removal::finding(repository, commit, refused));
        catalogued = Catalogued::default();
    }
    // Whoever has what is published here is not followed any more, or may not define it.
    for publication in &catalogued.publish {
        let other = |owner: &&ApplicationSummary| {
            owner.name == publication.application && owner.repository != *repository.name()
        };
        if let Some(owner) = owners.iter().find(other) {
            give_up(shared, &owner.repository, &owner.name).await?;
        }
    }
    catalogued.withdraw.extend(forbidden.into_iter().map(|owner| owner.name.clone()));
    Ok((catalogued, Some(removed)))
}

/// Takes an application from a repository that has no right to it any more.
async fn give_up(shared: &Shared, owner: &RepositoryName, application: &ApplicationName) -> Result<(), WorkError> {
    let settlement = Settlement { withdraw: vec![application.clone()], ..settle::empty(owner, None) };
    shared.store.settle(settlement).await?;
    Ok(())
}
