//! Starts by a `pipeline` stage of another execution.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::artifacts::{self, Unresolved, commit_artifact};
use super::{Reports, StartError, Started, Submit};
use crate::clock::Clock;
use crate::diagnostic::nearest;
use crate::model::{
    ApplicationName, Artifact, Artifacts, Cause, CauseKind, CommitSha, Execution, ExecutionId, NewExecution, Parent,
    Pipeline, RepositoryName, RevisionId, check_parameters,
};
use crate::store::{Created, Published, Store, StoreError, StoredExecution};

/// How many executions may stand above one another.
const MAX_DEPTH: usize = 10;

/// A pipeline that a stage wants to run.
#[derive(Debug, Clone)]
pub struct ChildRequest {
    /// The stage that wants it.
    pub parent: Parent,
    /// The application that has the pipeline.
    pub application: String,
    /// The pipeline's name or id.
    pub pipeline: String,
    /// The parameters, not yet checked.
    pub parameters: Map<String, Value>,
    /// What the parent has.
    pub artifacts: Vec<Artifact>,
    /// The same id starts once.
    pub correlation_id: String,
}

/// Starts the children of executions; cheap to clone.
#[derive(Clone)]
pub struct Children {
    /// Where executions are kept.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// Where new executions go.
    pub submit: Submit,
    /// Where their outcome is reported, if that of their parent is.
    pub reports: Reports,
    /// The definitions, if they are not those that are published.
    pub definitions: Option<Arc<Vec<Pipeline>>>,
}

/// A definition, and where it came from, if it is published.
struct Found {
    pipeline: Pipeline,
    published: Option<(RevisionId, RepositoryName, String, CommitSha)>,
}

impl From<Published> for Found {
    fn from(published: Published) -> Self {
        let Published { revision, repository, branch, commit, pipeline, .. } = published;
        Self { pipeline, published: Some((revision, repository, branch, commit)) }
    }
}

impl Children {
    /// Starts the definition in force. In its parent's repository it runs for its parent's commit, else for the commit
    /// that it was published from.
    ///
    /// # Errors
    /// If there is no such pipeline, parameters or artifacts are wrong (all of them are named), or it would run within itself or too
    /// deep.
    pub async fn start(&self, parent: &Execution, child: ChildRequest) -> Result<Started, StartError> {
        let found = self.find(&child.application, &child.pipeline).await?;
        self.check_ancestors(parent, &found.pipeline).await?;
        let parameters = check_parameters(&found.pipeline, child.parameters).map_err(StartError::Parameters)?;
        let mut new = self.execution(parent, found, parameters, child.parent, child.correlation_id);
        let own = new.repository.as_ref().zip(new.commit.as_ref());
        let own = own.map(|(name, commit)| commit_artifact(name, commit, new.trigger.branch.as_deref()));
        let artifacts = artifacts::of_child(&self.store, &new.pipeline, child.artifacts, own).await;
        new.artifacts = artifacts.map_err(|error| match error {
            Unresolved::Problems(problems) => StartError::Artifacts(problems),
            Unresolved::Store(error) => StartError::Store(error),
        })?;
        let (id, wanted) = (new.id, new.trigger.parent.clone());
        match self.store.create(new).await? {
            Created::New(key) => {
                (self.submit)(key).await;
                Ok(Started { key, id, existing: false })
            }
            Created::Existing(key, id) => {
                // Before such names were kept for stages, anybody could choose one.
                let there = self.store.execution(id).await?.and_then(|there| there.execution.info.trigger.parent);
                let same = |other: &Parent| wanted.as_ref().is_some_and(|parent| is_same_stage(parent, other));
                if !there.as_ref().is_some_and(same) {
                    let message = format!("the execution {id} has taken the correlation id that this stage needs");
                    return Err(StartError::NoPipeline(message));
                }
                // Whoever created it may not have come to this.
                (self.submit)(key).await;
                Ok(Started { key, id, existing: true })
            }
        }
    }

    fn execution(
        &self,
        parent: &Execution,
        found: Found,
        parameters: Map<String, Value>,
        by: Parent,
        correlation_id: String,
    ) -> NewExecution {
        let above = &parent.info;
        let Found { pipeline, published } = found;
        let (revision, elsewhere) = match published {
            Some((revision, repository, branch, commit)) if above.repository.as_ref() != Some(&repository) => {
                (Some(revision), Some((repository, branch, commit)))
            }
            Some((revision, ..)) => (Some(revision), None),
            None => (None, None),
        };
        let (repository, commit, trigger) = match elsewhere {
            Some((repository, branch, commit)) => {
                let cause = Cause { branch: Some(branch), ..Cause::default() };
                (Some(repository), Some(commit), cause)
            }
            None => (above.repository.clone(), above.commit.clone(), above.trigger.clone()),
        };
        let report = above.report.as_ref().and_then(|_| repository.as_ref().zip(commit.as_ref()));
        NewExecution {
            id: ExecutionId::generate(),
            report: report.map(|(repository, commit)| {
                self.reports.pipeline(repository, commit, &pipeline.application, &pipeline.name)
            }),
            pipeline,
            revision,
            parameters,
            trigger: Cause {
                kind: CauseKind::Pipeline,
                repository: repository.clone(),
                commit: commit.clone(),
                actor: above.trigger.actor.clone(),
                // A child needs none: it goes on with its parent.
                override_freeze: None,
                parent: Some(by),
                // A child goes on with the chain of ends that its parent stands in.
                parent_execution: above.trigger.parent_execution.clone(),
                ..trigger
            },
            repository,
            commit,
            artifacts: Artifacts::default(),
            correlation_id: Some(correlation_id),
            created_at: self.clock.now(),
        }
    }

    /// The definition of that name or id; an id is unique in all applications.
    async fn find(&self, application: &str, pipeline: &str) -> Result<Found, StartError> {
        let all: Vec<Found> = match &self.definitions {
            Some(definitions) => {
                definitions.iter().map(|pipeline| Found { pipeline: pipeline.clone(), published: None }).collect()
            }
            None => match ApplicationName::parse(application) {
                Ok(name) => self.store.pipelines(Some(&name)).await?.into_iter().map(Found::from).collect(),
                Err(error) => return Err(StartError::NoPipeline(error.to_string())),
            },
        };
        let own = |found: &&Found| found.pipeline.application.as_str() == application;
        let is_it = |found: &Found| {
            found.pipeline.name.as_str() == pipeline || found.pipeline.id.to_string().eq_ignore_ascii_case(pipeline)
        };
        let names: Vec<String> = all.iter().filter(own).map(|found| found.pipeline.name.to_string()).collect();
        if let Some(found) = all.into_iter().find(|found| own(&found) && is_it(found)) {
            return Ok(found);
        }
        let text = format!("the application `{application}` has no pipeline `{pipeline}`");
        Err(StartError::NoPipeline(match nearest(pipeline, names.iter().map(String::as_str)) {
            Some(near) => format!("{text}; did you mean `{near}`?"),
            None if names.is_empty() => match self.nearest_application(application).await? {
                Some(near) => format!("there is no application `{application}`; did you mean `{near}`?"),
                None => format!("there is no application `{application}` with pipelines"),
            },
            None => text,
        }))
    }

    async fn nearest_application(&self, application: &str) -> Result<Option<String>, StoreError> {
        let known: Vec<String> = match &self.definitions {
            Some(definitions) => definitions.iter().map(|pipeline| pipeline.application.to_string()).collect(),
            None => self.store.applications().await?.iter().map(|known| known.name.to_string()).collect(),
        };
        Ok(nearest(application, known.iter().map(String::as_str)).map(str::to_owned))
    }

    /// A pipeline that runs above must not be started below itself, and the tower has an end.
    async fn check_ancestors(&self, parent: &Execution, pipeline: &Pipeline) -> Result<(), StartError> {
        let wanted = name_of(pipeline);
        let mut above = vec![wanted.clone()];
        let mut next: Option<StoredExecution> = None;
        loop {
            let execution = next.as_ref().map_or(parent, |stored| &stored.execution);
            let name = name_of(&execution.info.pipeline);
            let is_itself = name == wanted;
            above.push(name);
            let way = || above.iter().rev().map(String::as_str).collect::<Vec<_>>().join(" → ");
            if is_itself {
                let text = format!("the pipeline `{wanted}` would run within itself: {}", way());
                return Err(StartError::NoPipeline(text));
            }
            if above.len() > MAX_DEPTH {
                let text = format!("pipelines run within pipelines {MAX_DEPTH} deep, which is the most: {}", way());
                return Err(StartError::NoPipeline(text));
            }
            let Some(up) = execution.info.trigger.parent.as_ref().map(|parent| parent.execution) else {
                return Ok(());
            };
            next = self.store.execution(up).await?;
            if next.is_none() {
                return Ok(());
            }
        }
    }
}

fn name_of(pipeline: &Pipeline) -> String {
    format!("{}/{}", pipeline.application, pipeline.name)
}

fn is_same_stage(one: &Parent, other: &Parent) -> bool {
    (one.execution, &one.stage) == (other.execution, &other.stage)
}
