//! Starts by a person or a program.

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

use super::artifacts::{self, Unresolved, commit_artifact};
use super::{Repository, Triggers};
use crate::diagnostic::nearest;
use crate::git::GitError;
use crate::model::{
    ApplicationName, Artifact, ArtifactProblem, Cause, CauseKind, CommitSha, ExecutionId, ExecutionKey, NewExecution,
    ParameterProblem, PipelineName, check_parameters,
};
use crate::store::{Created, Published, StoreError};

/// How long a start waits for what a mirror doesn't have and it can go without.
const CATCH_UP: Duration = Duration::from_secs(10);

/// A pipeline that is to be started.
#[derive(Debug, Clone)]
pub struct ManualStart {
    /// The application.
    pub application: ApplicationName,
    /// The pipeline.
    pub pipeline: PipelineName,
    /// The parameters, not yet checked.
    pub parameters: Map<String, Value>,
    /// The artifacts that come with the start.
    pub artifacts: Vec<Artifact>,
    /// The commit to run for; `None`: the one that the definition was published from.
    pub commit: Option<CommitSha>,
    /// Who asks, as authenticated.
    pub actor: Option<String>,
    /// The same id starts once.
    pub correlation_id: Option<String>,
    /// It begins although there may be a freeze; `actor` is recorded as who said so.
    pub override_freeze: bool,
}

/// What a start led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Started {
    /// The store's key.
    pub key: ExecutionKey,
    /// The public id.
    pub id: ExecutionId,
    /// The correlation id had been used before; this is what it started then.
    pub existing: bool,
}

/// Why a pipeline was not started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no such pipeline.
    #[error("{0}")]
    NoPipeline(String),
    /// Parameters are wrong.
    #[error("{}", Joined(.0))]
    Parameters(Vec<ParameterProblem>),
    /// Artifacts that the pipeline expects are not there, or there several times.
    #[error("{}", Joined(.0))]
    Artifacts(Vec<ArtifactProblem>),
    /// The repository doesn't have the commit.
    #[error("{0}")]
    NoCommit(String),
    /// The commit could not be looked for.
    #[error("the commit can't be looked up: {0}")]
    Git(GitError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

struct Joined<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for Joined<'_, T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.0.iter().enumerate() {
            write!(out, "{}{problem}", if number == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl Triggers {
    /// Starts the published definition of a pipeline.
    ///
    /// # Errors
    /// If there is no such pipeline, parameters or artifacts are wrong (all of them are named), or the repository
    /// doesn't have the commit.
    pub async fn start_pipeline(&self, start: ManualStart) -> Result<Started, StartError> {
        let new = self.prepare_start(start).await?;
        let id = new.id;
        // In a task of its own: a client that hangs up must not leave an execution that nobody begins.
        let (store, submit) = (self.shared.store.clone(), self.shared.submit.clone());
        let started = tokio::spawn(async move {
            let created = store.create(new).await?;
            if let Created::New(key) = created {
                submit(key).await;
            }
            Ok::<_, StoreError>(created)
        });
        match started.await.unwrap_or(Err(StoreError::Closed))? {
            Created::New(key) => Ok(Started { key, id, existing: false }),
            Created::Existing(key, id) => Ok(Started { key, id, existing: true }),
        }
    }

    /// What [`Triggers::start_pipeline`] would store.
    ///
    /// # Errors
    /// As there.
    pub async fn prepare_start(&self, start: ManualStart) -> Result<NewExecution, StartError> {
        let published = self.published(&start).await?;
        let parameters =
            check_parameters(&published.pipeline, start.parameters.clone()).map_err(StartError::Parameters)?;
        let commit = start.commit.clone().unwrap_or_else(|| published.commit.clone());
        let trigger = self.manual_cause(&start, &published, &commit).await?;
        let own = commit_artifact(&published.repository, &commit, trigger.branch.as_deref());
        let given = start.artifacts.clone();
        let artifacts = artifacts::of_manual_start(&self.shared, &published.pipeline, given, own).await;
        let artifacts = artifacts.map_err(|error| match error {
            Unresolved::Problems(problems) => StartError::Artifacts(problems),
            Unresolved::Store(error) => StartError::Store(error),
        })?;
        let report =
            self.shared.options.reports.pipeline(&published.repository, &commit, &start.application, &start.pipeline);
        Ok(NewExecution {
            id: ExecutionId::generate(),
            pipeline: published.pipeline,
            revision: Some(published.revision),
            parameters,
            trigger,
            repository: Some(published.repository),
            commit: Some(commit),
            report: Some(report),
            artifacts,
            correlation_id: start.correlation_id,
            created_at: self.shared.clock.now(),
        })
    }

    async fn published(&self, start: &ManualStart) -> Result<Published, StartError> {
        let store = &self.shared.store;
        if let Some(published) = store.pipeline(&start.application, &start.pipeline).await? {
            return Ok(published);
        }
        let others = store.pipelines(Some(&start.application)).await?;
        let text = format!("the application `{}` has no pipeline `{}`", start.application, start.pipeline);
        let names = others.iter().map(|other| other.pipeline.name.as_str());
        Err(StartError::NoPipeline(match nearest(start.pipeline.as_str(), names) {
            Some(near) => format!("{text}; did you mean `{near}`?"),
            None if others.is_empty() => format!("there is no application `{}`", start.application),
            None => text,
        }))
    }

    /// Looks a given commit up, so that a start for one that doesn't exist fails here and not in a script. What
    /// the commit says about itself is told if the mirror has it.
    async fn manual_cause(
        &self,
        start: &ManualStart,
        published: &Published,
        commit: &CommitSha,
    ) -> Result<Cause, StartError> {
        let mut cause = Cause {
            kind: CauseKind::Manual,
            repository: Some(published.repository.clone()),
            branch: (*commit == published.commit).then(|| published.branch.clone()),
            commit: Some(commit.clone()),
            actor: start.actor.clone(),
            override_freeze: start.override_freeze.then(|| start.actor.clone().unwrap_or_default()),
            ..Cause::default()
        };
        let Some(repository) = self.shared.repositories.get(&published.repository) else {
            return match &start.commit {
                Some(_) => {
                    let text = format!("the repository {} is not in the configuration any more", published.repository);
                    Err(StartError::NoCommit(text))
                }
                None => Ok(cause),
            };
        };
        if start.commit.is_some() {
            repository.ensure(commit).await.map_err(|error| match error {
                GitError::MissingCommit { .. } => StartError::NoCommit(error.to_string()),
                other => StartError::Git(other),
            })?;
        }
        self.catch_up(repository, &published.commit).await;
        if cause.branch.is_none() {
            // An older commit of the branch is on it as well; any other may be a stranger's.
            let (tip, wanted) = (published.commit.clone(), commit.clone());
            let known = repository.read(move |mirror| mirror.contains(&tip, &wanted)).await;
            cause.branch = known.unwrap_or(false).then(|| published.branch.clone());
        }
        let wanted = commit.clone();
        if let Ok(info) = repository.read(move |mirror| mirror.commit(&wanted)).await {
            cause.author = Some(info.author);
            cause.message = Some(info.message);
        }
        Ok(cause)
    }

    /// Where another process follows the repositories, this one's mirror may be behind. What is asked of it is worth a
    /// moment, and no more: it goes without, too.
    async fn catch_up(&self, repository: &Repository, commit: &CommitSha) {
        if self.shared.terms.borrow().is_some() {
            return;
        }
        match tokio::time::timeout(CATCH_UP, repository.ensure(commit)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(repository = %repository.name(), %error, "the mirror stays behind"),
            Err(_) => tracing::debug!(repository = %repository.name(), "the mirror stays behind for now"),
        }
    }
}
