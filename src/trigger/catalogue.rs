//! What a tracked branch publishes at a commit, and what it takes away.

use std::collections::{BTreeSet, HashSet};

use super::failure::WorkError;
use super::removal::Removed;
use super::{Repository, Shared, owners, removal};
use crate::gitops::Checked;
use crate::model::{ApplicationName, CommitSha};
use crate::store::{Publication, Published};

/// What is published from a commit, what is withdrawn, and what is refused because others have it.
#[derive(Default)]
pub(super) struct Catalogued {
    pub(super) publish: Vec<Publication>,
    pub(super) withdraw: Vec<ApplicationName>,
    pub(super) refused: BTreeSet<ApplicationName>,
}

/// Decides what a tracked branch publishes, and what of the pipelines in force goes by that; a commit that takes away
/// too much publishes nothing. An application with errors keeps its last good revision; one whose file is gone is
/// withdrawn, unless a file can't be told whose it is, or an application that is to come has errors: it may be the one
/// that was moved there.
pub(super) async fn decide(
    shared: &Shared,
    repository: &Repository,
    branch: &str,
    commit: &CommitSha,
    checked: &mut Checked,
    in_force: &[Published],
) -> Result<(Catalogued, Option<Removed>), WorkError> {
    let owners = shared.store.applications().await?;
    let others = owners::of_others(repository, &owners);
    checked.refuse_foreign(&others);
    let is_others = |name: &&ApplicationName| others.iter().any(|(other, _)| other == name);
    let owned: BTreeSet<_> = checked.applications.iter().map(|one| &one.name).filter(is_others).cloned().collect();
    let mut catalogued = Catalogued { refused: owned.clone(), ..Catalogued::default() };
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
    let is_known = |name: &ApplicationName| owners.iter().any(|owner| owner.name == *name);
    if blocked.is_empty()
        && checked.applications.iter().all(|application| application.valid || is_known(&application.name))
    {
        let defined = |name: &ApplicationName| checked.applications.iter().any(|app| app.name == *name);
        let gone = ours.filter(|owner| !defined(&owner.name));
        catalogued.withdraw = gone.map(|owner| owner.name.clone()).collect();
    }
    let removed = removal::judge(shared, repository, (branch, commit), &catalogued, in_force).await?;
    if let Removed::Refused(refused) = &removed {
        checked.findings.insert(0, removal::finding(repository, commit, refused));
        catalogued = Catalogued { refused: owned, ..Catalogued::default() };
    }
    Ok((catalogued, Some(removed)))
}
