//! The artifacts of a start: what came with it, and what is found for what the pipeline expects.
//!
//! A start by a trigger needs the expected artifacts that the trigger names, and binds those that have a prior one
//! or a default to fall back on, as in Spinnaker. Who starts by hand gives what a trigger would have brought: then
//! all that the pipeline expects is needed. The commit that is to run is an artifact of its own, of the type
//! `git/repo`, so that a pipeline can ask for it like for any other.

use super::Shared;
use crate::engine;
use crate::model::{
    Artifact, ArtifactProblem, Artifacts, CommitSha, ExpectedArtifact, Pipeline, RepositoryName, Status,
    resolve_artifacts,
};
use crate::store::{ExecutionFilter, Store, StoreError};

/// The type of the artifact that stands for a commit.
const COMMIT: &str = "git/repo";

/// Why the artifacts of a start can't be told.
pub(super) enum Unresolved {
    /// Something expected isn't there, or is there several times.
    Problems(Vec<ArtifactProblem>),
    /// The store failed.
    Store(StoreError),
}

/// The artifacts of a start by hand: all that the pipeline expects is found among those given, the commit's own, and
/// those of `prior`, the artifacts of its newest successful execution.
///
/// # Errors
/// All that can't be found, or more than once.
pub fn resolve_given(
    pipeline: &Pipeline,
    given: Vec<Artifact>,
    commit: Option<Artifact>,
    prior: &[Artifact],
) -> Result<Artifacts, Vec<ArtifactProblem>> {
    resolve_artifacts(&pipeline.expected_artifacts, with_commit(given, commit), prior)
}

/// The artifact that a commit is; `place` is its branch or tag.
pub fn commit_artifact(repository: &RepositoryName, commit: &CommitSha, place: Option<&str>) -> Artifact {
    Artifact {
        kind: Some(COMMIT.to_owned()),
        name: Some(repository.to_string()),
        version: Some(commit.to_string()),
        location: place.map(str::to_owned),
        ..Artifact::default()
    }
}

/// Whether an artifact stands for a commit.
pub(super) fn is_commit(artifact: &Artifact) -> bool {
    artifact.kind.as_deref() == Some(COMMIT)
}

/// Adds the commit, unless such an artifact was given.
fn with_commit(mut artifacts: Vec<Artifact>, commit: Option<Artifact>) -> Vec<Artifact> {
    let given = artifacts.iter().any(is_commit);
    artifacts.extend(commit.filter(|_| !given));
    artifacts
}

/// As [`resolve_given`]; the prior artifacts are looked up if they may be needed.
pub(super) async fn of_manual_start(
    shared: &Shared,
    pipeline: &Pipeline,
    given: Vec<Artifact>,
    commit: Artifact,
) -> Result<Artifacts, Unresolved> {
    let prior = prior_artifacts(&shared.store, pipeline, &pipeline.expected_artifacts).await?;
    resolve_given(pipeline, given, Some(commit), &prior).map_err(Unresolved::Problems)
}

/// As [`resolve_given`], for the child of another execution, which brings what its parent has.
pub(super) async fn of_child(
    store: &Store,
    pipeline: &Pipeline,
    given: Vec<Artifact>,
    commit: Option<Artifact>,
) -> Result<Artifacts, Unresolved> {
    let prior = prior_artifacts(store, pipeline, &pipeline.expected_artifacts).await?;
    resolve_given(pipeline, given, commit, &prior).map_err(Unresolved::Problems)
}

/// The artifacts of a start by a trigger that names the expected artifacts `ids`.
pub(super) async fn of_push(
    shared: &Shared,
    pipeline: &Pipeline,
    ids: &[String],
    commit: Artifact,
) -> Result<Artifacts, Unresolved> {
    of_trigger(&shared.store, pipeline, ids, vec![commit]).await
}

/// As [`of_push`], for a trigger that brings these artifacts, its commit's own among them.
pub(super) async fn of_trigger(
    store: &Store,
    pipeline: &Pipeline,
    ids: &[String],
    given: Vec<Artifact>,
) -> Result<Artifacts, Unresolved> {
    let counts = |one: &&ExpectedArtifact| ids.contains(&one.id) || one.use_prior_artifact || one.use_default_artifact;
    let expected: Vec<ExpectedArtifact> = pipeline.expected_artifacts.iter().filter(counts).cloned().collect();
    let prior = prior_artifacts(store, pipeline, &expected).await?;
    resolve_artifacts(&expected, given, &prior).map_err(Unresolved::Problems)
}

/// The artifacts of the pipeline's newest successful execution, if one of those expected may be among them.
async fn prior_artifacts(
    store: &Store,
    pipeline: &Pipeline,
    expected: &[ExpectedArtifact],
) -> Result<Vec<Artifact>, Unresolved> {
    if !expected.iter().any(|one| one.use_prior_artifact) {
        return Ok(Vec::new());
    }
    let filter = ExecutionFilter {
        application: Some(pipeline.application.clone()),
        pipeline: Some(pipeline.name.clone()),
        status: Some(Status::Succeeded),
        limit: 1,
        ..ExecutionFilter::default()
    };
    let page = store.executions(filter).await.map_err(Unresolved::Store)?;
    let Some(newest) = page.items.first() else { return Ok(Vec::new()) };
    let view = engine::stored_view(store, newest.id).await.map_err(Unresolved::Store)?;
    Ok(view.map(|view| engine::produced(&view)).unwrap_or_default())
}
