//! Starts by triggers that need no forge (a time table, the end of another pipeline, a custom webhook): the definition in
//! force, for the commit that it was published from, with the trigger's parameters, in which `${ trigger... }` is evaluated.

use serde_json::{Map, Value};

use super::Shared;
use super::artifacts::{self, Unresolved, commit_artifact};
use crate::expression::{Scope, resolve};
use crate::model::{
    Artifact, Cause, CommitStatus, ExecutionId, NewExecution, OwnStart, Pipeline, Start, check_parameters,
};
use crate::store::{Published, StoreError};

/// What a trigger starts, and with what.
pub(super) struct Given<'a> {
    /// What starts.
    pub(super) published: &'a Published,
    /// What the trigger says about it.
    pub(super) start: &'a Start,
    /// Why; what is known of the commit is added.
    pub(super) cause: Cause,
    /// Parameters beneath the trigger's own.
    pub(super) parameters: Map<String, Value>,
    /// Artifacts beside the commit.
    pub(super) brought: Vec<Artifact>,
    /// Whether the outcome stands on the commit.
    pub(super) reports: bool,
    /// What makes it start once.
    pub(super) own: OwnStart<'a>,
}

impl Given<'_> {
    /// The execution, or why there is none, in words.
    ///
    /// # Errors
    /// If the store can't be read.
    pub(super) async fn execution(self, shared: &Shared) -> Result<Result<NewExecution, String>, StoreError> {
        let Self { published, start, cause, parameters: more, mut brought, reports, own } = self;
        let Published { pipeline, revision, repository: name, branch, commit, .. } = published;
        let Some(repository) = shared.repositories.get(name) else {
            return Ok(Err(format!("the repository {name} is not in the configuration any more")));
        };
        let wanted = commit.clone();
        let info = repository.read(move |mirror| mirror.commit(&wanted)).await.ok();
        let cause = Cause {
            repository: Some(name.clone()),
            branch: Some(branch.clone()),
            commit: Some(commit.clone()),
            author: info.as_ref().map(|info| info.author.clone()),
            message: info.map(|info| info.message),
            ..cause
        };
        let parameters = match parameters(pipeline, start, more, &cause) {
            Ok(parameters) => parameters,
            Err(why) => return Ok(Err(why)),
        };
        brought.push(commit_artifact(name, commit, Some(branch)));
        let ids = &start.expected_artifact_ids;
        let artifacts = match artifacts::of_trigger(&shared.store, pipeline, ids, brought).await {
            Ok(artifacts) => artifacts,
            Err(Unresolved::Problems(problems)) => return Ok(Err(in_words(&problems))),
            Err(Unresolved::Store(error)) => return Err(error),
        };
        let target = || shared.options.reports.pipeline(name, commit, &pipeline.application, &pipeline.name);
        Ok(Ok(NewExecution {
            id: ExecutionId::generate(),
            pipeline: pipeline.clone(),
            revision: Some(*revision),
            parameters,
            trigger: cause,
            artifacts,
            repository: Some(name.clone()),
            commit: Some(commit.clone()),
            report: reports.then(target),
            correlation_id: Some(own.to_string()),
            created_at: shared.clock.now(),
        }))
    }
}

/// What stands on the commit where a pipeline should have started and could not.
pub(super) fn not_started(shared: &Shared, published: &Published, why: &str) -> CommitStatus {
    let pipeline = (&published.pipeline.application, &published.pipeline.name);
    let reports = &shared.options.reports;
    reports.not_started(&published.repository, &published.commit, pipeline, &why.replace('`', ""))
}

/// The parameters of a start, those of `more` beneath the trigger's own.
///
/// # Errors
/// All that is wrong with them, in words.
fn parameters(
    pipeline: &Pipeline,
    start: &Start,
    more: Map<String, Value>,
    cause: &Cause,
) -> Result<Map<String, Value>, String> {
    let scope = Scope { trigger: serde_json::to_value(cause).unwrap_or_default(), ..Scope::default() };
    let own = resolve(&start.parameters, &[], &scope).map_err(|error| format!("parameters: {error}"))?;
    let mut given = more;
    given.extend(own);
    check_parameters(pipeline, given).map_err(|problems| in_words(&problems))
}

/// Several problems as one text.
pub(super) fn in_words<T: ToString>(problems: &[T]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
