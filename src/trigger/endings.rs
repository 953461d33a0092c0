//! The ends of executions that start others.
//!
//! The store notes an end in the transaction that records it, if a pipeline in force listens to it. Here it is worked off:
//! what it starts is written together with the end of the note, so that whatever crashes when, it starts once. An execution
//! that is restarted ends again, and that is another end.
//!
//! What is started runs the definition in force for the commit that it was published from, as with a time table: the
//! other pipeline may be in another repository, or may have run for a branch that was never reviewed. Its execution is told as
//! `trigger.parentExecution`, with what it was given and what its stages yielded.

use serde_json::{Map, Value, json};

use super::chores::{Outcome, Work};
use super::given::{Given, not_started};
use super::{Shared, artifacts};
use crate::engine;
use crate::model::{Cause, CauseKind, ExecutionView, NewExecution, OwnStart, ParentExecution, PipelineTrigger};
use crate::store::{Ending, Published, StoreError, StoredExecution};

/// How many ends of pipelines may lead to one another.
const MAX_DEPTH: u32 = 10;
/// How many bytes, as JSON, are told of what the stages of the other execution yielded, and of its parameters.
const MAX_TOLD: usize = 32 * 1024;

impl Work for Ending {
    async fn outcome(&self, shared: &Shared) -> Result<Outcome, StoreError> {
        let mut outcome = Outcome::default();
        let Some(stored) = shared.store.execution_by_key(self.execution).await? else { return Ok(outcome) };
        let listening = listening(shared, self, &stored).await?;
        if listening.is_empty() {
            return Ok(outcome);
        }
        let Some(view) = engine::stored_view(&shared.store, stored.execution.info.id).await? else {
            return Ok(outcome);
        };
        let end = End { ending: self, stored: &stored, view: &view };
        for (published, trigger) in &listening {
            match end.execution(shared, published, trigger).await? {
                Ok(new) => outcome.start.push(new),
                Err(why) => {
                    tracing::warn!(
                        application = %published.pipeline.application, pipeline = %published.pipeline.name,
                        execution = %stored.execution.info.id, why,
                        "the end of another pipeline starts nothing"
                    );
                    let reports = end.reports(published, trigger);
                    outcome.say.extend(reports.then(|| not_started(shared, published, &why)));
                }
            }
        }
        Ok(outcome)
    }
}

/// The pipelines in force that this end starts, each by the first of its triggers that is for it.
async fn listening(
    shared: &Shared,
    ending: &Ending,
    stored: &StoredExecution,
) -> Result<Vec<(Published, PipelineTrigger)>, StoreError> {
    let ended = &stored.execution.info.pipeline;
    let mut all = Vec::new();
    for (application, name) in shared.store.listeners(ended).await? {
        let Some(published) = shared.store.pipeline(&application, &name).await? else { continue };
        let is_for = |trigger: &&PipelineTrigger| trigger.is_for(&application, ended) && trigger.takes(ending.status);
        let first = published.pipeline.pipeline_triggers().find(is_for).cloned();
        if let Some(trigger) = first {
            all.push((published, trigger));
        }
    }
    Ok(all)
}

/// The end of an execution.
struct End<'a> {
    ending: &'a Ending,
    stored: &'a StoredExecution,
    view: &'a ExecutionView,
}

impl End<'_> {
    /// What it starts, or why it starts nothing.
    async fn execution(
        &self,
        shared: &Shared,
        published: &Published,
        trigger: &PipelineTrigger,
    ) -> Result<Result<NewExecution, String>, StoreError> {
        let parent = self.parent();
        if parent.depth > MAX_DEPTH {
            return Ok(Err(format!("{MAX_DEPTH} ends of pipelines led to this one, which is the most")));
        }
        let mut brought = engine::produced(self.view);
        // The commit that runs is its own.
        brought.retain(|artifact| !artifacts::is_commit(artifact));
        let given = Given {
            published,
            start: &trigger.start,
            cause: Cause {
                kind: CauseKind::Pipeline,
                actor: self.stored.execution.info.trigger.actor.clone(),
                parent_execution: Some(Box::new(parent)),
                ..Cause::default()
            },
            parameters: Map::new(),
            brought,
            reports: self.reports(published, trigger),
            own: OwnStart::End {
                execution: self.stored.execution.info.id,
                seq: self.ending.seq,
                application: &published.pipeline.application,
                pipeline: &published.pipeline.name,
            },
        };
        given.execution(shared).await
    }

    /// Whether the outcome is reported: unless the trigger says, where the other execution reports on the same commit.
    fn reports(&self, published: &Published, trigger: &PipelineTrigger) -> bool {
        let ended = self.stored.execution.info.report.as_ref();
        trigger.start.report.unwrap_or_else(|| {
            ended.is_some_and(|report| report.commit == published.commit && report.repository == published.repository)
        })
    }

    /// The execution as the one that it starts sees it.
    fn parent(&self) -> ParentExecution {
        let info = &self.stored.execution.info;
        let above = info.trigger.parent_execution.as_ref();
        let mut room = MAX_TOLD;
        let mut fits = |value: &Value| {
            let size = value.to_string().len();
            let fits = size <= room;
            room -= if fits { size } else { 0 };
            fits
        };
        let parameters = info.parameters.iter().filter(|(_, value)| fits(value));
        let parameters = parameters.map(|(name, value)| (name.clone(), value.clone())).collect();
        let mut stages = Map::new();
        for stage in &self.view.stages {
            let told = json!({"status": stage.status, "outputs": stage.outputs});
            let told = if fits(&told) { told } else { json!({"status": stage.status, "outputs": null}) };
            stages.insert(stage.path.to_string(), told);
        }
        let root = match (&info.trigger.parent, above) {
            (_, Some(above)) => above.root,
            (Some(parent), None) => parent.root,
            (None, None) => info.trigger.kind,
        };
        ParentExecution {
            id: info.id,
            application: info.pipeline.application.clone(),
            pipeline: info.pipeline.name.clone(),
            status: self.ending.status,
            repository: info.repository.clone(),
            branch: info.trigger.branch.clone(),
            commit: info.commit.clone(),
            parameters,
            stages,
            depth: above.map_or(0, |above| above.depth).saturating_add(1),
            root,
        }
    }
}
