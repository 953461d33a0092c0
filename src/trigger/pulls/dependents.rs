//! What a pull request on a module repository would do to those who use its modules.
//!
//! The head of each branch that follows what the merge would move is rendered twice, with the module repository as it
//! is and as it would be: in the process that reviews are made in, some at a time, up to a number and for a while. The
//! graph says beforehand who is not concerned. What is found of other repositories is kept and told only as far as the
//! operator allows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use tokio::time::Instant;

use super::child::{self, Job, Library};
use crate::gitops::{KEPT_PLAN, ModuleMirror, ShelfState};
use crate::model::{
    CommitSha, Impact, ImpactDetail, ImpactedBranch, ImpactedPipeline, PullRequest, RepositoryName, Review,
};
use crate::store::ReferenceUse;
use crate::trigger::failure::WorkError;
use crate::trigger::modules::Stand;
use crate::trigger::{Repository, Shared};

/// The most branches that are rendered for one pull request.
const MOST_RENDERED: usize = 100;
/// The most of them that are kept with what was found.
const MOST_KEPT: usize = 100;
/// The most findings of one of them that are kept.
const MOST_FINDINGS: usize = 5;
/// How long they may take altogether.
const LONGEST: Duration = Duration::from_secs(180);
/// What all plans may take together, in bytes of JSON, and what each gets at least.
const ROOM: (usize, usize) = (256 * 1024, 4 * 1024);

type Branch = (RepositoryName, String);
/// The head of a branch and what was found in it; none if it can't be told.
type Looked = Result<Option<(CommitSha, Review)>, WorkError>;

/// Who follows what the merge moves.
#[derive(Debug, Default)]
struct Sorted {
    concerned: BTreeSet<Branch>,
    same: BTreeSet<Branch>,
    elsewhere: BTreeSet<Branch>,
}

/// What the merge of `this` would do; none if the repository is nobody's module repository. `base` is the commit that
/// its head is compared with.
pub(super) async fn of(
    shared: &Arc<Shared>,
    repository: &Repository,
    this: &PullRequest,
    base: Option<&CommitSha>,
) -> Result<Option<Impact>, WorkError> {
    let names = shared.modules.names_of(repository.name());
    let (Some(detail), Some(base)) = (names.iter().map(|(_, detail)| *detail).min(), base) else { return Ok(None) };
    let taken = shared.modules.taken().await.mirrors;
    let target = format!("refs/heads/{}", this.target_branch);
    let is_it = |mirror: &ModuleMirror| names.iter().any(|(name, _)| *name == mirror.name);
    let at = |commit: &CommitSha| -> Vec<ModuleMirror> {
        let mut mirrors = taken.clone();
        for mirror in mirrors.iter_mut().filter(|mirror| is_it(mirror)) {
            if let ShelfState::Known(refs) = &mut mirror.state {
                refs.heads.insert(target.clone(), commit.clone());
            }
        }
        mirrors
    };
    let library = Library { before: at(base), after: at(&this.head) };
    let mut uses = Vec::new();
    for (name, _) in &names {
        let used = shared.store.references_to(name).await?;
        uses.extend(used.into_iter().map(|used| (name.clone(), used)));
    }
    uses.retain(|(_, used)| {
        let user = shared.repositories.get(&used.repository);
        user.is_some_and(|user| user.tracks(&format!("refs/heads/{}", used.branch)))
    });
    let sorted = {
        let library = library.clone();
        tokio::task::spawn_blocking(move || sort(&library, &uses)).await.map_err(|_| WorkError::Stopping)?
    };
    let until = Instant::now() + LONGEST;
    let room = (ROOM.0 / sorted.concerned.len().max(1)).clamp(ROOM.1, KEPT_PLAN);
    let mut looks: Vec<BoxFuture<'static, (Branch, Looked)>> = Vec::new();
    for branch in sorted.concerned.iter().take(MOST_RENDERED) {
        let (shared, library, branch) = (shared.clone(), library.clone(), branch.clone());
        looks.push(Box::pin(async move {
            let looked = tokio::time::timeout_at(until, look(shared, branch.clone(), library, room)).await;
            (branch, looked.unwrap_or_else(|_| Ok(None)))
        }));
    }
    let at_once = shared.options.reviews.at_once.max(1);
    let mut looked: Vec<(Branch, Looked)> = futures::stream::iter(looks).buffer_unordered(at_once).collect().await;
    looked.sort_by(|(one, _), (other, _)| one.cmp(other));
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let mut impact = Impact {
        detail,
        same: count(sorted.same.len()),
        elsewhere: count(sorted.elsewhere.len()),
        unknown: count(sorted.concerned.len().saturating_sub(MOST_RENDERED)),
        ..Impact::default()
    };
    for (branch, looked) in looked {
        match looked {
            Ok(Some(review)) => add(&mut impact, &branch, review),
            Ok(None) => impact.unknown += 1,
            Err(error) if error.ends_work() => return Err(error),
            Err(error) => {
                tracing::warn!(repository = %branch.0, branch = branch.1, %error, "a dependent of a module repository can't be looked at");
                impact.unknown += 1;
            }
        }
    }
    impact.dependents.sort_by_key(|one| one.errors == 0);
    impact.dependents.truncate(MOST_KEPT);
    Ok(Some(impact))
}

/// Who is concerned by a merge, who follows the branch without being concerned, and who uses other commits.
fn sort(library: &Library, uses: &[(String, ReferenceUse)]) -> Sorted {
    let find = |all: &[ModuleMirror], name: &str| all.iter().find(|mirror| mirror.name == name).map(Stand::new);
    let mut stands: BTreeMap<&str, Option<(Stand, Stand)>> = BTreeMap::new();
    let mut sorted = Sorted::default();
    for (name, used) in uses {
        let stand = stands.entry(name).or_insert_with(|| find(&library.before, name).zip(find(&library.after, name)));
        let Some((before, after)) = stand else { continue };
        let reference = used.reference.as_deref();
        let branch = (used.repository.clone(), used.branch.clone());
        match (before.of(reference), after.of(reference)) {
            (Ok(from), Ok(to)) if from == to => sorted.elsewhere.insert(branch),
            (Ok(from), Ok(to)) if !after.differs(&from, &to, used.used_file.as_deref()) => sorted.same.insert(branch),
            (Err(_), Err(_)) => sorted.elsewhere.insert(branch),
            _ => sorted.concerned.insert(branch),
        };
    }
    sorted.same.retain(|branch| !sorted.concerned.contains(branch));
    sorted.elsewhere.retain(|branch| !sorted.concerned.contains(branch) && !sorted.same.contains(branch));
    sorted
}

/// Renders the head of a branch with the module repository before and after.
async fn look(shared: Arc<Shared>, (name, branch): Branch, library: Library, room: usize) -> Looked {
    let Some(repository) = shared.repositories.get(&name) else { return Ok(None) };
    let head = shared.store.head(&name, &format!("refs/heads/{branch}")).await?;
    let Some(head) = head.and_then(|head| head.commit) else { return Ok(None) };
    repository.ensure(&head).await?;
    let Library { before, after } = library;
    let job = Job {
        mirror: repository.mirror().await?.dir().to_owned(),
        head: head.clone(),
        base: None,
        repository: name.clone(),
        branch: branch.clone(),
        globals: shared.options.globals.clone(),
        limits: shared.options.limits.clone(),
        ownership: super::ownership(&shared, repository, &branch).await?,
        modules: after,
        instead_of: Some(child::Before { modules: before, room }),
    };
    let _permit = shared.reviews.acquire().await.map_err(|_| WorkError::Stopping)?;
    Ok(child::run(&shared.options.reviews, &job).await?.ok().map(|looked| (head, looked.review)))
}

fn add(impact: &mut Impact, (repository, branch): &Branch, (commit, review): (CommitSha, Review)) {
    impact.pipelines = impact.pipelines.saturating_add(if review.errors == 0 { review.changed } else { 0 });
    match (review.errors, review.changed) {
        (0, 0) => {
            impact.same += 1;
            return;
        }
        (0, _) => impact.changed += 1,
        (errors, _) => {
            impact.broken += 1;
            impact.errors = impact.errors.saturating_add(errors);
        }
    }
    if impact.detail == ImpactDetail::Counts {
        return;
    }
    let changes = review.plan.iter().flat_map(|plan| &plan.pipelines);
    let pipelines = changes.map(|change| ImpactedPipeline {
        application: change.application.clone(),
        pipeline: change.pipeline.clone(),
        kind: change.kind,
    });
    let whole = impact.detail == ImpactDetail::Plans;
    let pipelines = pipelines.collect();
    let errors = review.findings.into_iter().filter(|found| found.finding.is_error());
    impact.dependents.push(ImpactedBranch {
        repository: repository.clone(),
        branch: branch.clone(),
        commit,
        errors: review.errors,
        pipelines,
        findings: if whole { errors.take(MOST_FINDINGS).collect() } else { Vec::new() },
        plan: review.plan.filter(|_| whole),
    });
}
