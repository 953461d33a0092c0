//! How the rest of the program speaks to a running engine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::Instant;

use super::dry_run::{add_holds, dry_run};
use super::freeze::Freezes;
use super::registry::Kinds;
use super::shell::Ledger;
use super::{Judgment, SignalError, view};
use crate::clock::Timestamp;
use crate::model::{
    ApplicationName, ChildView, DryRun, ExecutionId, ExecutionKey, ExecutionView, Freeze, Holder, NewExecution,
    PipelineName, StagePath, Status,
};
use crate::store::{ExecutionSummary, LaneMember, Store, StoreError, StoredExecution, Word};

/// How many executions that another one waits for are shown.
pub(super) const SHOWN_HOLDERS: usize = 20;

/// How long it is waited for that all replicas heed a freeze. Tests don't wait for what they know won't come.
const HEEDING: Duration = Duration::from_secs(if cfg!(test) { 2 } else { 10 });

/// The longest pause between two looks whether another replica has answered.
pub(super) const LOOK: Duration = Duration::from_millis(200);

/// Speaks to a running engine; cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(super) store: Store,
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) requests: mpsc::Sender<Request>,
    pub(super) changed: broadcast::Sender<Changed>,
    pub(super) ready: watch::Receiver<bool>,
    pub(super) kinds: Arc<Kinds>,
    pub(super) in_memory: Arc<AtomicUsize>,
    pub(super) stranded: Arc<AtomicUsize>,
}

/// An execution changed, and the change is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changed {
    /// The public id.
    pub id: ExecutionId,
    /// How it stands now.
    pub status: Status,
    /// The number of its latest journal row: rises with each change.
    pub seq: i64,
}

impl Changed {
    /// Says that executions changed which can't be named, because too many did at another replica: whoever shows some looks
    /// at them again.
    pub const MANY: Self = Self { id: ExecutionId(uuid::Uuid::nil()), status: Status::Running, seq: 0 };
}

/// Why the engine did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EngineError {
    /// There is no such execution.
    #[error("there is no execution {0}")]
    NotFound(ExecutionId),
    /// The execution has no such stage.
    #[error("the execution has no stage `{0}`")]
    NoSuchStage(StagePath),
    /// The execution has ended.
    #[error("the execution has ended already: {0}")]
    Complete(Status),
    /// Only an execution that has ended can be restarted.
    #[error("the execution is still running; cancel it or wait for its end, then restart it")]
    Running,
    /// The execution ended before any stage could begin.
    #[error("the execution was ended before it began; start its pipeline anew")]
    NeverBegan,
    /// The pipeline is not published any more.
    #[error("the pipeline `{0}/{1}` is not there any more, so that its executions can't be restarted")]
    Removed(ApplicationName, PipelineName),
    /// The stage has not run, so it can't run again.
    #[error("stage `{0}` has not run yet; restart the stage before it that failed")]
    NotRun(StagePath),
    /// No stage failed or was cancelled, and none was named.
    #[error("no stage failed or was cancelled; name the stage to restart from")]
    NothingFailed,
    /// Its details are gone.
    #[error(
        "the details of the execution were dropped after its end, so it can't be restarted; start its pipeline anew"
    )]
    Compacted,
    /// It can't be paused as it stands.
    #[error("the execution can't be paused: it has not begun, waits to go on after a restart, or stops already")]
    NotPausable,
    /// Nobody paused it.
    #[error("the execution isn't paused")]
    NotPaused,
    /// There is nothing to skip.
    #[error("stage `{0}` doesn't wait for a time or a window")]
    NotSkippable(StagePath),
    /// The stage isn't waiting for a judgment.
    #[error("stage `{0}` isn't waiting for a judgment")]
    NotWaiting(StagePath),
    /// Somebody was faster.
    #[error("stage `{0}` has been judged already")]
    AlreadyJudged(StagePath),
    /// The stage doesn't take this judgment.
    #[error("{0}")]
    Refused(String),
    /// The execution's journal can't be read.
    #[error("Longboat can't go on with the execution: {0}")]
    Unreadable(String),
    /// The engine is stopping, or was replaced by another process.
    #[error("the engine isn't running; try again once Longboat is up")]
    Stopped,
    /// The execution is going from one replica to another, or the one that has it doesn't answer.
    #[error("another replica has the execution, or is taking it over, and did not answer in time; try again")]
    Moved,
    /// The replica that has the execution couldn't do it.
    #[error("the replica that has the execution could not do it: {0}")]
    Failed(String),
    /// A freeze is written down, and these replicas have not said that they heed it.
    #[error(
        "it is written down, but the replica {0} has not said that it heeds it; it does so within a minute, or as soon as it \
         has a lease again"
    )]
    Unheeded(String),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Handle {
    /// Hands over an execution that was stored. Without this call it would start when Longboat starts anew.
    pub async fn submit(&self, key: ExecutionKey) {
        if self.ledger.is_shared()
            && let Ok(Some(shard)) = self.store.shard(key).await
            && !self.ledger.holds(shard)
        {
            self.ledger.tell(Word::Work([shard].into_iter().collect()));
            return;
        }
        // A stopped engine leaves it to the next start.
        let _ = self.requests.send(Request::Submit(key)).await.is_ok();
    }

    /// Cancels an execution: running stages are ended, then it is `CANCELED`. Returns when that is recorded, not when
    /// it has ended. To cancel what stops already, or was cancelled, is no error.
    ///
    /// # Errors
    /// If there is no such execution, or it ended in another way.
    pub async fn cancel(&self, id: ExecutionId, by: &str, reason: Option<&str>) -> Result<(), EngineError> {
        let stored = self.stored(id).await?;
        if stored.status == Status::Canceled {
            return Ok(());
        }
        let command = Command::Cancel { by: by.to_owned(), reason: reason.map(str::to_owned) };
        match self.ask(&stored, command).await {
            Err(EngineError::Complete(Status::Canceled)) => Ok(()),
            other => other,
        }
    }

    /// What an execution would do if its stages ended as `outcomes` says, and well otherwise. Nothing is stored, nothing
    /// happens outside; freezes and concurrency are not looked at.
    ///
    /// # Errors
    /// [`EngineError::Refused`] if an outcome is for no stage or is none that can be chosen.
    pub async fn dry_run(
        &self,
        new: NewExecution,
        outcomes: &BTreeMap<StagePath, Status>,
        now: Timestamp,
    ) -> Result<DryRun, EngineError> {
        let mut told = dry_run(new.clone(), Arc::clone(&self.kinds), outcomes, now).map_err(EngineError::Refused)?;
        let freezes = Freezes::from(self.store.freezes().await?);
        let members = match new.pipeline.lane() {
            Some((lane, _)) => self.store.lane_members(Some(&lane)).await?,
            None => Vec::new(),
        };
        add_holds(&mut told, &new, &freezes, members, now);
        Ok(told)
    }

    /// Pauses an execution that runs: its running stages go on, no further stage starts. Children are executions of
    /// their own and go on. To pause twice is no error.
    ///
    /// # Errors
    /// If there is no such execution, it has ended, has not begun, or stops already.
    pub async fn pause(&self, id: ExecutionId, by: &str) -> Result<(), EngineError> {
        self.ask(&self.stored(id).await?, Command::Pause { by: by.to_owned() }).await
    }

    /// Has a paused execution go on.
    ///
    /// # Errors
    /// If there is no such execution, or it isn't paused.
    pub async fn resume(&self, id: ExecutionId, by: &str) -> Result<(), EngineError> {
        self.ask(&self.stored(id).await?, Command::Resume { by: by.to_owned() }).await
    }

    /// Has a stage wait no longer for a time, or for its window.
    ///
    /// # Errors
    /// If there is no such execution or stage, or it waits for nothing of the kind.
    pub async fn skip(&self, id: ExecutionId, path: &StagePath, by: &str) -> Result<(), EngineError> {
        self.ask(&self.stored(id).await?, Command::Skip { path: path.clone(), by: by.to_owned() }).await
    }

    /// Freezes an application, or everything, in the place of its former freeze. When this returns, nothing that it is
    /// about begins any more; what has begun goes on.
    ///
    /// # Errors
    /// If it can't be written. If the engine can't be told, or another replica doesn't say that it knows, it is written, and
    /// heeded within a minute.
    pub async fn freeze(&self, freeze: Freeze) -> Result<(), EngineError> {
        let number = self.store.freeze(freeze).await?;
        self.heed_freezes().await?;
        if self.ledger.is_shared() { self.until_all_heed(number).await } else { Ok(()) }
    }

    /// Waits until all replicas that have a lease heed the freezes up to this change.
    async fn until_all_heed(&self, number: i64) -> Result<(), EngineError> {
        let until = Instant::now() + HEEDING;
        loop {
            let replicas = self.ledger.replicas().await?;
            let heeding = self.store.heeding(number).await?;
            let Some(deaf) = replicas.iter().find(|one| !heeding.contains(&one.id)) else { return Ok(()) };
            if Instant::now() >= until {
                return Err(EngineError::Unheeded(deaf.name.clone()));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Ends the freeze of an application, or of everything: what it held goes on, in the order in which it was created.
    /// Yields whether there was a freeze.
    ///
    /// # Errors
    /// As [`Handle::freeze`].
    pub async fn thaw(&self, application: Option<&ApplicationName>) -> Result<bool, EngineError> {
        let ended = self.store.thaw(application).await?;
        self.heed_freezes().await?;
        Ok(ended)
    }

    async fn heed_freezes(&self) -> Result<(), EngineError> {
        let (reply, answer) = oneshot::channel();
        self.ledger.tell(Word::Freezes);
        self.requests.send(Request::Freezes(reply)).await.map_err(|_| EngineError::Stopped)?;
        answer.await.unwrap_or(Err(EngineError::Stopped))
    }

    /// Gives a person's judgment to a stage that waits for one. Returns when it is recorded: from then on it counts,
    /// whatever happens.
    ///
    /// # Errors
    /// If the stage isn't waiting for a judgment, has been given one, or doesn't take this one.
    pub async fn judge(&self, id: ExecutionId, path: &StagePath, judgment: Judgment) -> Result<(), EngineError> {
        let stored = self.stored(id).await?;
        self.ask(&stored, Command::Judge { path: path.clone(), judgment }).await
    }

    /// Lets an execution that has ended go on: from the stage at `path`, or without one from all stages that failed or
    /// were cancelled. These stages and all that come after them run again; the others keep what they yielded. What
    /// was cancelled only because the named stage failed is restarted with it. Returns when that is recorded. A freeze
    /// holds it back, unless `override_freeze` says that it goes before freezes.
    ///
    /// If a `pipeline` stage of another execution failed because of this one, that stage is restarted as well, if its
    /// execution has ended, and so on upwards; it goes on waiting for this very execution. The answer names all
    /// executions that were restarted, this one first.
    ///
    /// It goes on with the definition that it began with, whatever is published by now. Of a pipeline that isn't published
    /// at all any more, nothing is restarted: it was removed, or the operator took it from its repository.
    ///
    /// # Errors
    /// If there is no such execution or stage, the execution has not ended, never began or has lost its details, its
    /// pipeline is not published any more, the stage has not run, or none failed and none was named.
    pub async fn restart(
        &self,
        id: ExecutionId,
        path: Option<&StagePath>,
        by: &str,
        override_freeze: bool,
    ) -> Result<Vec<ExecutionId>, EngineError> {
        let mut stored = self.stored(id).await?;
        self.restart_one(&stored, path, by, override_freeze).await?;
        let mut restarted = vec![id];
        // Each is the parent of the one before, and older than it: this ends.
        while let Some((parent, stage)) = self.failed_by(&stored).await? {
            let parent_id = parent.execution.info.id;
            if let Err(error) = self.restart_one(&parent, Some(&stage), by, override_freeze).await {
                tracing::info!(execution = %parent_id, %stage, %error, "the stage that waited was not restarted");
                break;
            }
            restarted.push(parent_id);
            stored = parent;
        }
        Ok(restarted)
    }

    async fn restart_one(
        &self,
        stored: &StoredExecution,
        path: Option<&StagePath>,
        by: &str,
        override_freeze: bool,
    ) -> Result<(), EngineError> {
        if !stored.status.is_complete() {
            return Err(EngineError::Running);
        }
        let NewExecution { pipeline, revision, .. } = &stored.execution.info;
        // What was never published, like a file on a laptop, can't be removed.
        if revision.is_some() && self.store.pipeline(&pipeline.application, &pipeline.name).await?.is_none() {
            return Err(EngineError::Removed(pipeline.application.clone(), pipeline.name.clone()));
        }
        // From here on retention leaves it alone.
        if !self.store.keep_details(stored.execution.key).await? {
            return Err(EngineError::Compacted);
        }
        let command = Command::Restart { path: path.cloned(), by: by.to_owned(), override_freeze };
        self.command(stored, command).await
    }

    /// The execution and its stage that failed because this execution did.
    async fn failed_by(&self, child: &StoredExecution) -> Result<Option<(StoredExecution, StagePath)>, EngineError> {
        let info = &child.execution.info;
        let Some(parent) = &info.trigger.parent else { return Ok(None) };
        let Some(stored) = self.store.execution(parent.execution).await? else { return Ok(None) };
        let rows = self.store.journal(stored.execution.key).await?;
        let view = view::view(&stored, &rows, Arc::clone(&self.kinds));
        let child_id = info.id.to_string();
        let failed = view.stages.iter().any(|stage| {
            stage.path == parent.stage
                && matches!(stage.status, Status::Terminal | Status::Stopped)
                && stage.outputs.get("executionId").and_then(Value::as_str) == Some(child_id.as_str())
        });
        Ok(failed.then(|| (stored, parent.stage.clone())))
    }

    /// An execution as the API and the pages show it: what is committed, whether it runs or has ended.
    ///
    /// # Errors
    /// If the database fails. A journal that can't be read is no error: the view says so.
    pub async fn view(&self, id: ExecutionId) -> Result<Option<ExecutionView>, EngineError> {
        let Some(stored) = self.store.execution(id).await? else { return Ok(None) };
        let rows = self.store.journal(stored.execution.key).await?;
        let children = self.store.children(id).await?;
        let mut view = view::view(&stored, &rows, Arc::clone(&self.kinds));
        view.children = children.into_iter().filter_map(child_view).collect();
        if let Some(hold) = &mut view.held
            && let Some(lane) = hold.lane.as_deref().and_then(|lane| lane.parse().ok())
        {
            let members = self.store.lane_members(Some(&lane)).await?;
            let holders = members.into_iter().filter(|member| member.status != Status::NotStarted && member.id != id);
            hold.holders = holders.take(SHOWN_HOLDERS).map(|member| holder(&member)).collect();
        }
        Ok(Some(view))
    }

    /// What changes from now on, after it is committed. Who is too slow misses some and is told so.
    pub fn subscribe(&self) -> broadcast::Receiver<Changed> {
        self.changed.subscribe()
    }

    /// Whether the engine runs. It stops for good when another process takes its executions over.
    pub fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// How many executions are in memory; those that wait for a time or a person aren't.
    pub fn in_memory(&self) -> usize {
        self.in_memory.load(Ordering::Relaxed)
    }

    /// How many executions nothing will wake, or can't be gone on with, as far as this process has come across them.
    pub fn stranded(&self) -> usize {
        self.stranded.load(Ordering::Relaxed)
    }

    async fn stored(&self, id: ExecutionId) -> Result<StoredExecution, EngineError> {
        self.store.execution(id).await?.ok_or(EngineError::NotFound(id))
    }

    async fn ask(&self, stored: &StoredExecution, command: Command) -> Result<(), EngineError> {
        if stored.status.is_complete() {
            return Err(EngineError::Complete(stored.status));
        }
        self.command(stored, command).await
    }

    /// Has an execution's own engine do something: this one, or that of another replica.
    async fn command(&self, stored: &StoredExecution, command: Command) -> Result<(), EngineError> {
        let key = stored.execution.key;
        if !self.ledger.is_shared() {
            return self.here(key, command).await;
        }
        if self.ledger.holds(stored.shard) {
            match self.here(key, command.clone()).await {
                // It went to another replica at this very moment.
                Err(EngineError::Moved) => {}
                outcome => return outcome,
            }
        }
        self.elsewhere(stored, &command).await
    }

    async fn here(&self, key: ExecutionKey, command: Command) -> Result<(), EngineError> {
        let (reply, answer) = oneshot::channel();
        let request = Request::Command { key, command, reply };
        self.requests.send(request).await.map_err(|_| EngineError::Stopped)?;
        answer.await.unwrap_or(Err(EngineError::Stopped))
    }

    /// Whether other replicas run executions as well, so that what they do is to be looked for.
    pub fn is_shared(&self) -> bool {
        self.ledger.is_shared()
    }
}

/// An execution as [`Handle::view`] shows it, without an engine: what is committed.
///
/// # Errors
/// If the database fails.
pub async fn stored_view(store: &Store, id: ExecutionId) -> Result<Option<ExecutionView>, StoreError> {
    let Some(stored) = store.execution(id).await? else { return Ok(None) };
    let rows = store.journal(stored.execution.key).await?;
    // Which types there are changes nothing about what has happened.
    Ok(Some(view::view(&stored, &rows, Arc::default())))
}

/// What the handle asks of the engine's loop.
#[derive(Debug)]
pub(super) enum Request {
    /// To begin an execution.
    Submit(ExecutionKey),
    /// To heed the freezes as the store has them now, and to answer when nothing begins any more that is frozen.
    Freezes(oneshot::Sender<Result<(), EngineError>>),
    /// To do something with one, and to answer when that is committed.
    Command { key: ExecutionKey, command: Command, reply: oneshot::Sender<Result<(), EngineError>> },
}

/// What people ask for. Its form travels between replicas (`wish`): what is added, older ones don't know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Command {
    Cancel { by: String, reason: Option<String> },
    Judge { path: StagePath, judgment: Judgment },
    Pause { by: String },
    Resume { by: String },
    Skip { path: StagePath, by: String },
    Restart { path: Option<StagePath>, by: String, override_freeze: bool },
}

/// Where somebody waits for the commit of what they asked.
#[derive(Debug)]
pub(super) enum Reply {
    Person(oneshot::Sender<Result<(), EngineError>>),
    Handler(oneshot::Sender<Result<(), SignalError>>),
}

impl Reply {
    /// Answers. Nobody may be waiting any more, which changes nothing.
    pub(super) fn send(self, outcome: Result<(), EngineError>) {
        match self {
            Self::Person(reply) => drop(reply.send(outcome)),
            Self::Handler(reply) => drop(reply.send(outcome.map_err(|error| match error {
                EngineError::AlreadyJudged(_) => SignalError::AlreadySignalled,
                EngineError::Refused(_) => SignalError::TooLarge,
                EngineError::Stopped
                | EngineError::Moved
                | EngineError::Failed(_)
                | EngineError::Unheeded(_)
                | EngineError::Store(_) => SignalError::Stopped,
                EngineError::NotFound(_)
                | EngineError::NoSuchStage(_)
                | EngineError::Complete(_)
                | EngineError::Running
                | EngineError::NeverBegan
                | EngineError::NotRun(_)
                | EngineError::NothingFailed
                | EngineError::Compacted
                | EngineError::NotPausable
                | EngineError::NotPaused
                | EngineError::NotSkippable(_)
                | EngineError::NotWaiting(_)
                | EngineError::Removed(..)
                | EngineError::Unreadable(_) => SignalError::NotWaiting,
            }))),
        }
    }
}

pub(super) fn holder(member: &LaneMember) -> Holder {
    Holder { id: member.id, application: member.application.clone(), pipeline: member.pipeline.clone() }
}

fn child_view(child: ExecutionSummary) -> Option<ChildView> {
    Some(ChildView {
        id: child.id,
        application: child.application,
        pipeline: child.pipeline,
        status: child.status,
        stage: child.cause.parent?.stage,
    })
}

/// The payload by which a handler sees a judgment.
pub(super) fn payload(judgment: &Judgment) -> Value {
    serde_json::to_value(judgment).unwrap_or_default()
}
