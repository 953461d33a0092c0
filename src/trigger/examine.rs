//! Looking into a commit: what its files mean, and what it says about itself.

use std::sync::Arc;
use std::time::Instant;

use super::failure::WorkError;
use super::{Repository, Shared, Taken};
use crate::git::{CommitInfo, GitError, Mirror};
use crate::gitops::{Checked, Permit, Request, Shelf, check};
use crate::model::CommitSha;
use crate::telemetry::metrics;

/// What is in a commit.
pub(super) struct Examined {
    pub(super) info: CommitInfo,
    pub(super) checked: Checked,
    /// How the module repositories stood, as [`super::ModuleSet`] counts.
    pub(super) version: u64,
}

/// Renders and checks a commit that the mirror has, as `branch` would be rendered; `tracked` says whether the
/// definitions on it count. If it uses module repositories that have to be looked at first, it is rendered again after
/// that.
pub(super) async fn examine(
    shared: &Arc<Shared>,
    repository: &Arc<Repository>,
    branch: &str,
    tracked: bool,
    commit: &CommitSha,
) -> Result<Examined, WorkError> {
    let taken = shared.modules.taken().await;
    let shelf = Arc::new(taken.shelf());
    let examined = examine_with(shared, repository, (branch, tracked), commit, (&taken, shelf.clone())).await?;
    let wanted = shelf.wanted();
    if wanted.is_empty() || !shared.modules.ask(&wanted, &taken).await {
        return Ok(examined);
    }
    let taken = shared.modules.taken().await;
    examine_with(shared, repository, (branch, tracked), commit, (&taken, Arc::new(taken.shelf()))).await
}

async fn examine_with(
    shared: &Arc<Shared>,
    repository: &Arc<Repository>,
    (branch, tracked): (&str, bool),
    commit: &CommitSha,
    (taken, shelf): (&Taken, Arc<Shelf>),
) -> Result<Examined, WorkError> {
    let version = taken.version();
    let permit = shared.checks.clone().acquire_owned().await.map_err(|_| WorkError::Stopping)?;
    let mirror = repository.mirror().await?.clone();
    let (shared, repository) = (shared.clone(), repository.clone());
    let (branch, commit) = (branch.to_owned(), commit.clone());
    let task = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let (info, checked) = read(&shared, &repository, &mirror, (&branch, tracked), &commit, &shelf)?;
        Ok::<_, GitError>(Examined { info, checked, version })
    });
    match task.await {
        Ok(examined) => Ok(examined?),
        Err(error) if error.is_panic() => {
            Err(WorkError::Broken(super::worker::panic_text(error.into_panic().as_ref())))
        }
        Err(_) => Err(WorkError::Stopping),
    }
}

fn read(
    shared: &Shared,
    repository: &Repository,
    mirror: &Mirror,
    (branch, tracked): (&str, bool),
    commit: &CommitSha,
    shelf: &Shelf,
) -> Result<(CommitInfo, Checked), GitError> {
    let info = mirror.commit(commit)?;
    let snapshot = mirror.snapshot(commit)?;
    let request = Request {
        source: &snapshot,
        repository: repository.name(),
        branch,
        globals: &shared.options.globals,
        limits: &shared.options.limits,
        library: Some(shelf),
    };
    let started = Instant::now();
    let rules = repository.spec.applications.as_ref();
    let permit = rules.map(|rules| Permit { rules, branch: tracked.then_some(branch) });
    let checked = check(&request, &shared.catalog, permit);
    metrics().checked(if checked.is_valid() { "valid" } else { "invalid" }, started.elapsed());
    Ok((info, checked))
}
