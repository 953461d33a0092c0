//! What the operator's configuration takes from repositories: applications that the rules of a repository don't let
//! through any more, and all of a repository that isn't followed any more. It goes with the start of the server, unless
//! it is more than one commit might take away: a slip in the configuration must not do what a slip in a commit can't.
//! Then all stays as it is until somebody approves.

use std::collections::BTreeMap;

use super::failure::WorkError;
use super::{Shared, owners};
use crate::clock::Timestamp;
use crate::gitops::{InForce, Removal};
use crate::model::{ApplicationName, CommitSha, RepositoryName};
use crate::store::{ApplicationSummary, BY_CONFIGURATION, InboxEntry, RemovalVerdict, StoreError, Taking};

/// What is taken from one repository.
struct Loss {
    repository: RepositoryName,
    applications: Vec<ApplicationName>,
    removal: Removal,
    /// The newest commit that they were published from, and when that was.
    commit: CommitSha,
    published_at: Timestamp,
}

impl Loss {
    async fn of(
        shared: &Shared,
        repository: &RepositoryName,
        lost: &[&ApplicationSummary],
    ) -> Result<Option<Self>, StoreError> {
        let Some(newest) = lost.iter().max_by_key(|owner| owner.published_at) else { return Ok(None) };
        let published = shared.store.pipelines_of(repository).await?;
        let in_force: Vec<InForce> = published.iter().map(|one| InForce::from(&one.pipeline)).collect();
        let gone = |one: &InForce| lost.iter().any(|owner| owner.name == one.application);
        Ok(Some(Self {
            repository: repository.clone(),
            applications: lost.iter().map(|owner| owner.name.clone()).collect(),
            removal: Removal::new(&in_force, gone, []),
            commit: newest.commit.clone(),
            published_at: newest.published_at,
        }))
    }

    /// Who approved that it goes. What was published again since then needs another word.
    async fn approved_by(&self, shared: &Shared) -> Result<Option<String>, StoreError> {
        let known = shared.store.removal(&self.repository, BY_CONFIGURATION, &self.commit).await?;
        let known = known.filter(|known| known.approved.as_ref().is_some_and(|(_, at)| *at >= self.published_at));
        Ok(known.and_then(|known| known.approves(&self.removal.pipelines).map(str::to_owned)))
    }

    /// What is written down if it goes now, or waits.
    fn taking(self, goes: bool) -> Taking {
        let Removal { pipelines, of } = self.removal;
        let verdict = if goes { RemovalVerdict::Allowed } else { RemovalVerdict::Refused { pipelines, of } };
        Taking {
            repository: self.repository,
            withdraw: if goes { self.applications } else { Vec::new() },
            verdict: Some((self.commit, verdict)),
            inbox: None,
        }
    }
}

/// Takes away what the configuration takes, or says what waits for an approval. Once at the start, before anything is
/// published.
pub(super) async fn enforce(shared: &Shared) -> Result<(), StoreError> {
    let owners = shared.store.applications().await?;
    let losses = losses(shared, &owners, None).await?;
    forget_mended(shared, &losses).await?;
    let limits = shared.options.removals;
    let in_all = Removal {
        pipelines: losses.iter().flat_map(|loss| loss.removal.pipelines.clone()).collect(),
        of: owners.iter().map(|owner| owner.pipelines).sum(),
    };
    let too_much = limits.are_exceeded_by(&in_all);
    for loss in losses {
        let approved = loss.approved_by(shared).await?;
        let exceeded = limits.are_exceeded_by(&loss.removal) || (too_much && !loss.removal.pipelines.is_empty());
        let goes = approved.is_some() || !exceeded;
        tell(&loss, goes, &in_all);
        shared.store.take(loss.taking(goes)).await?;
    }
    Ok(())
}

/// Works off an approval of what waits.
pub(super) async fn approved(shared: &Shared, entry: &InboxEntry) -> Result<(), WorkError> {
    let _working = match shared.repositories.get(&entry.repository) {
        Some(repository) => Some(repository.working.lock().await),
        None => None,
    };
    let owners = shared.store.applications().await?;
    let loss = losses(shared, &owners, Some(&entry.repository)).await?.pop();
    let Some(loss) = loss else {
        let nothing =
            Taking { repository: entry.repository.clone(), withdraw: Vec::new(), verdict: None, inbox: Some(entry.id) };
        return Ok(shared.store.take(nothing).await?);
    };
    let goes = loss.approved_by(shared).await?.is_some();
    tell(&loss, goes, &loss.removal);
    let taking = Taking { inbox: Some(entry.id), ..loss.taking(goes) };
    let free = taking.withdraw.clone();
    shared.store.take(taking).await?;
    shared.catalog_changed.send_modify(|count| *count += 1);
    Ok(owners::offer(shared, &free).await?)
}

/// What is taken from each repository, or from one.
async fn losses(
    shared: &Shared,
    owners: &[ApplicationSummary],
    only: Option<&RepositoryName>,
) -> Result<Vec<Loss>, StoreError> {
    let mut lost: BTreeMap<&RepositoryName, Vec<&ApplicationSummary>> = BTreeMap::new();
    for owner in owners.iter().filter(|owner| only.is_none_or(|only| owner.repository == *only)) {
        if !owners::may_have(&shared.repositories, owner) {
            lost.entry(&owner.repository).or_default().push(owner);
        }
    }
    let mut losses = Vec::with_capacity(lost.len());
    for (repository, lost) in lost {
        losses.extend(Loss::of(shared, repository, &lost).await?);
    }
    Ok(losses)
}

/// What waited and isn't taken any more waits no longer.
async fn forget_mended(shared: &Shared, losses: &[Loss]) -> Result<(), StoreError> {
    let waiting = shared.store.removals(None).await?;
    let waiting = waiting.into_iter().filter(|one| one.is_by_configuration() && one.approved.is_none());
    for one in waiting.filter(|one| !losses.iter().any(|loss| loss.repository == one.repository)) {
        let mended = Taking { repository: one.repository, withdraw: Vec::new(), verdict: None, inbox: None };
        shared.store.take(mended).await?;
    }
    Ok(())
}

fn tell(loss: &Loss, goes: bool, in_all: &Removal) {
    let Loss { repository, removal, commit, .. } = loss;
    let (what, names) = (removal.counted(), removal.named());
    if goes {
        tracing::info!(%repository, pipelines = names, "the configuration takes away {what}");
        return;
    }
    let others = match in_all.pipelines.len() > removal.pipelines.len() {
        true => format!(" (and {} of all {} in one start)", in_all.pipelines.len(), in_all.of),
        false => String::new(),
    };
    tracing::warn!(
        %repository,
        pipelines = names,
        "the configuration would take away {what}{others}: they stay as they are; if it is a slip, mend the \
         configuration and start again, if it is meant: longboat repositories approve-removal {repository} {}",
        commit.short()
    );
}
