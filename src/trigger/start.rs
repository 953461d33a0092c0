//! Which definitions a push starts, and what their executions are.

use std::sync::Arc;

use serde_json::Map;

use super::failure::WorkError;
use super::matching::{RefName, asks_for_paths, git_triggers, is_for, lets_through, names_branches};
use super::{Repository, Shared, check_parameters};
use crate::git::{Changed, CommitInfo};
use crate::gitops::CheckedApplication;
use crate::model::{
    ApplicationName, Cause, CauseKind, CommitSha, CommitStatus, ExecutionId, NewExecution, Pipeline, RevisionId,
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
        if !starts(shared, push, &definition.pipeline, &mut changed).await? {
            continue;
        }
        let pipeline = (&definition.pipeline.application, &definition.pipeline.name);
        let reports = &shared.options.reports;
        match check_parameters(&definition.pipeline, Map::new()) {
            Ok(parameters) => executions.push(NewExecution {
                id: ExecutionId::generate(),
                report: Some(reports.pipeline(push.repository.name(), push.commit, pipeline.0, pipeline.1)),
                revision: definition.revision,
                parameters,
                trigger: cause(push),
                repository: Some(push.repository.name().clone()),
                commit: Some(push.commit.clone()),
                correlation_id: None,
                created_at: shared.clock.now(),
                pipeline: definition.pipeline,
            }),
            Err(problems) => {
                let why: Vec<String> = problems.iter().map(ToString::to_string).collect();
                let why = why.join("; ").replace('`', "");
                statuses.push(reports.not_started(push.repository.name(), push.commit, pipeline, &why));
            }
        }
    }
    Ok(executions)
}

/// Whether one of the pipeline's triggers is for the push.
async fn starts(
    shared: &Shared,
    push: Push<'_>,
    pipeline: &Pipeline,
    changed: &mut Option<Changed>,
) -> Result<bool, WorkError> {
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
        return Ok(true);
    }
    Ok(false)
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
        parent: None,
    }
}
