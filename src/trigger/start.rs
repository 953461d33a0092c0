//! Which definitions a push starts, and what their executions are.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::artifacts::{self, Unresolved, commit_artifact};
use super::failure::WorkError;
use super::{Repository, Shared};
use crate::git::{Changed, CommitInfo};
use crate::gitops::CheckedApplication;
use crate::gitops::matching::{RefName, asks_for_paths, git_triggers, is_for, lets_through, names_branches};
use crate::model::{
    ApplicationName, Artifacts, Cause, CauseKind, CommitSha, CommitStatus, ExecutionId, GitTrigger, NewExecution,
    Pipeline, RevisionId, check_parameters,
};
use crate::store::{ExecutionFilter, InboxEntry, Publication, Published, Source};

/// A definition that may be started, and its revision if it isn't published with this commit.
pub(super) struct Definition {
    pipeline: Pipeline,
    revision: Option<RevisionId>,
}

/// The definitions in force that a push to a tag can start.
pub(super) fn of_tag(name: RefName<'_>, in_force: Vec<Published>) -> Vec<Definition> {
    let asks = |published: &Published| git_triggers(&published.pipeline).any(|trigger| is_for(trigger, name));
    in_force.into_iter().filter(asks).map(Definition::from).collect()
}

/// The definitions that a push to a branch can start: those that it publishes, and those in force of
/// applications that its files don't speak of. On a branch that isn't tracked, all in force. What has errors in
/// this commit starts nothing for it.
pub(super) fn of_branch(
    applications: &[CheckedApplication],
    publish: &[Publication],
    withdraw: &[ApplicationName],
    in_force: Vec<Published>,
    tracked: bool,
) -> Vec<Definition> {
    let fresh = publish.iter().flat_map(|publication| &publication.pipelines);
    let mut definitions: Vec<Definition> =
        fresh.map(|pipeline| Definition { pipeline: pipeline.clone(), revision: None }).collect();
    let spoken_of =
        |name: &ApplicationName| applications.iter().any(|app| app.name == *name) || withdraw.contains(name);
    let others = in_force.into_iter().filter(|published| !tracked || !spoken_of(&published.pipeline.application));
    definitions.extend(others.map(Definition::from));
    definitions
}

impl From<Published> for Definition {
    fn from(published: Published) -> Self {
        Self { revision: Some(published.revision), pipeline: published.pipeline }
    }
}

/// A branch or tag that moved to a commit.
#[derive(Clone, Copy)]
pub(super) struct Push<'a> {
    pub(super) repository: &'a Arc<Repository>,
    pub(super) name: RefName<'a>,
    pub(super) commit: &'a CommitSha,
    pub(super) entry: &'a InboxEntry,
    pub(super) info: &'a CommitInfo,
}

/// Makes an execution of each definition that has a trigger for the push, or a status that says why it can't be.
pub(super) async fn executions(
    shared: &Shared,
    push: Push<'_>,
    definitions: Vec<Definition>,
    statuses: &mut Vec<CommitStatus>,
) -> Result<Vec<NewExecution>, WorkError> {
    let mut executions = Vec::new();
    let mut changed = None;
    for definition in definitions {
        let Some(trigger) = starting_trigger(shared, push, &definition.pipeline, &mut changed).await? else { continue };
        let pipeline = (&definition.pipeline.application, &definition.pipeline.name);
        let reports = &shared.options.reports;
        let ids = &trigger.expected_artifact_ids;
        match check(shared, push, &definition.pipeline, ids).await? {
            Ok((parameters, artifacts)) => executions.push(NewExecution {
                id: ExecutionId::generate(),
                report: Some(reports.pipeline(push.repository.name(), push.commit, pipeline.0, pipeline.1)),
                revision: definition.revision,
                parameters,
                trigger: cause(push),
                repository: Some(push.repository.name().clone()),
                commit: Some(push.commit.clone()),
                artifacts,
                correlation_id: None,
                created_at: shared.clock.now(),
                pipeline: definition.pipeline,
            }),
            Err(problems) => {
                let why = problems.join("; ").replace('`', "");
                statuses.push(reports.not_started(push.repository.name(), push.commit, pipeline, &why));
            }
        }
    }
    Ok(executions)
}

/// What an execution for the push is given, or all that is wrong with it, in words.
async fn check(
    shared: &Shared,
    push: Push<'_>,
    pipeline: &Pipeline,
    artifact_ids: &[String],
) -> Result<Result<(Map<String, Value>, Artifacts), Vec<String>>, WorkError> {
    let place = match push.name {
        RefName::Branch(name) | RefName::Tag(name) => name,
    };
    let commit = commit_artifact(push.repository.name(), push.commit, Some(place));
    let artifacts = match artifacts::of_push(shared, pipeline, artifact_ids, commit).await {
        Ok(artifacts) => Ok(artifacts),
        Err(Unresolved::Problems(problems)) => Err(in_words(&problems)),
        Err(Unresolved::Store(error)) => return Err(error.into()),
    };
    let parameters = check_parameters(pipeline, Map::new()).map_err(|problems| in_words(&problems));
    Ok(match (parameters, artifacts) {
        (Ok(parameters), Ok(artifacts)) => Ok((parameters, artifacts)),
        (parameters, artifacts) => Err([parameters.err(), artifacts.err()].into_iter().flatten().flatten().collect()),
    })
}

fn in_words<T: ToString>(problems: &[T]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

/// The first of the pipeline's triggers that is for the push.
async fn starting_trigger<'p>(
    shared: &Shared,
    push: Push<'_>,
    pipeline: &'p Pipeline,
    changed: &mut Option<Changed>,
) -> Result<Option<&'p GitTrigger>, WorkError> {
    for trigger in git_triggers(pipeline).filter(|trigger| is_for(trigger, push.name)) {
        if asks_for_paths(trigger, push.name) {
            let changed = match changed {
                Some(changed) => changed,
                None => changed.insert(changed_paths(push).await?),
            };
            if !lets_through(trigger, changed) {
                continue;
            }
        }
        // A new branch at a commit that has run is no news to who takes every branch.
        let any_branch = matches!(push.name, RefName::Branch(_)) && !names_branches(trigger);
        if any_branch && push.entry.old.is_none() && has_run(shared, push, pipeline).await? {
            continue;
        }
        return Ok(Some(trigger));
    }
    Ok(None)
}

async fn changed_paths(push: Push<'_>) -> Result<Changed, WorkError> {
    let (old, new) = (push.entry.old.clone(), push.commit.clone());
    Ok(push.repository.read(move |mirror| mirror.changed_paths(old.as_ref(), &new)).await?)
}

async fn has_run(shared: &Shared, push: Push<'_>, pipeline: &Pipeline) -> Result<bool, WorkError> {
    let filter = ExecutionFilter {
        application: Some(pipeline.application.clone()),
        pipeline: Some(pipeline.name.clone()),
        commit: Some(push.commit.clone()),
        repository: Some(push.repository.name().clone()),
        limit: 1,
        ..ExecutionFilter::default()
    };
    Ok(!shared.store.executions(filter).await?.items.is_empty())
}

fn cause(push: Push<'_>) -> Cause {
    let (branch, tag) = match push.name {
        RefName::Branch(name) => (Some(name.to_owned()), None),
        RefName::Tag(name) => (None, Some(name.to_owned())),
    };
    let looked = matches!(push.entry.source, Source::Poll | Source::Watch | Source::Start);
    Cause {
        kind: CauseKind::Git,
        repository: Some(push.repository.name().clone()),
        branch,
        tag,
        commit: Some(push.commit.clone()),
        previous: push.entry.old.clone(),
        event: push.entry.event.clone().or_else(|| looked.then(|| "push".to_owned())),
        actor: push.entry.actor.clone(),
        author: Some(push.info.author.clone()),
        message: Some(push.info.message.clone()),
        override_freeze: None,
        parent: None,
        parent_execution: None,
        payload: None,
        scheduled_time: None,
    }
}
