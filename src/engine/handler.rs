//! What a stage type implements: start, resume from a checkpoint, cancel.
//!
//! The engine knows no stage types. It records that a stage starts, commits that, and only then calls its
//! handler; what the handler answers is recorded and committed before anything follows from it. A handler is
//! therefore never asked to start an attempt that isn't on disk, and may be asked again about one whose answer
//! was lost: see [`Effect`] for what each type promises, and [`Wake::Recovered`] for how it is asked.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};

use crate::clock::{Clock, Timestamp};
use crate::expression::Scope;
use crate::model::{Execution, ExecutionKey, OnFailure, SecretUse, Stage, StagePath};

/// What a stage type does. One object per type, shared by all its stages.
#[async_trait]
pub trait StageHandler: Send + Sync + 'static {
    /// The type's name in a stage's `type` (`script`).
    fn kind(&self) -> &'static str;

    /// What happens outside of Longboat when the handler is called.
    fn effect(&self) -> Effect;

    /// Begins an attempt. The attempt's start is committed already.
    async fn start(&self, ctx: &StageContext) -> Outcome;

    /// Goes on with an attempt: a poll is due, a wait is over, a signal came, or the process restarted.
    ///
    /// `checkpoint` is that of the latest [`Outcome::Wait`] or [`Outcome::Poll`]; `None` if the attempt's start
    /// was recorded and no answer was.
    async fn resume(&self, ctx: &StageContext, checkpoint: Option<Value>, wake: Wake) -> Outcome;

    /// Ends what the attempt does outside; returns when it is gone. It may run beside a `start` or `resume` that
    /// hasn't returned (whose future is dropped first), and again after a crash. The engine waits for it, but not
    /// for ever: see `EngineOptions::cancel_deadline`.
    async fn cancel(&self, ctx: &StageContext, checkpoint: Option<Value>, reason: CancelReason);

    /// Lets go of an attempt whose execution goes on at another replica: ends what runs of it on this machine, and
    /// changes nothing anywhere else, because that is the other's by now. Nothing that it does is recorded. It may run
    /// beside a `start` or `resume` whose future has just been dropped, and for an attempt that has nothing here.
    async fn abandon(&self, ctx: &StageContext) {
        let _ = ctx;
    }

    /// Whether it evaluates expressions itself, so that [`StageContext::scope`] is to be filled.
    fn evaluates(&self) -> bool {
        false
    }

    /// Whether what it yields are variables, which expressions of all stages after it see as `variables.<name>`.
    fn yields_variables(&self) -> bool {
        false
    }

    /// Whether somebody may have a waiting stage of this type wait no longer: it gets a [`Wake::Signal`] with
    /// `{skippedBy}`, and ends well.
    fn skippable(&self) -> bool {
        false
    }

    /// Whether what a stage of this type began runs on this machine while the stage polls, so that its execution can't move
    /// to another replica.
    fn runs_here(&self) -> bool {
        false
    }

    /// Whether a waiting stage of this type waits for a person's judgment, so that one may be given to it.
    fn takes_judgments(&self) -> bool {
        false
    }

    /// Whether a stage with these fields (`${ }` evaluated) takes this judgment. It is asked before the judgment is
    /// recorded, so that the person who gave it can give a better one.
    ///
    /// # Errors
    /// What is wrong with the judgment, in words for that person.
    fn accepts(&self, fields: &Map<String, Value>, judgment: &Judgment) -> Result<(), String> {
        let _ = (fields, judgment);
        Ok(())
    }
}

/// What calling a handler does outside of Longboat, and thus what asking it twice means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Nothing: the answer is computed from the context. Such a handler is called within the engine's own loop and
    /// must not block; when its stage ends early, there is nothing to cancel.
    None,
    /// Something that is named after execution and stage path, so that asking twice does it once.
    Idempotent,
    /// Something that can happen again if the answer was lost; the handler reads before it writes, or has a key.
    AtLeastOnce,
}

/// Why a handler is asked to go on.
#[derive(Debug, Clone, PartialEq)]
pub enum Wake {
    /// The time of a poll or a wait has come.
    Due,
    /// A signal came for the waiting stage; the payload is recorded in the journal.
    Signal(Value),
    /// The process restarted while the attempt was in the handler's hands. The handler finds out what became of
    /// its effect: adopts it, answers for it, or gives [`Outcome::Restart`].
    Recovered,
}

/// A handler's answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The stage succeeded.
    Done {
        /// What later stages see under `stages.<id>.outputs`.
        outputs: Map<String, Value>,
    },
    /// Nothing to do until a time, or a signal. Costs no memory while it lasts.
    Wait {
        /// When [`Wake::Due`] comes; `None` waits for a signal alone.
        until: Option<Timestamp>,
        /// What it waits for, in words that people read (`approval`).
        waiting_for: String,
        /// What the handler wants to know when it goes on.
        checkpoint: Value,
    },
    /// The effect goes on by itself; look again later. Signals are taken while it lasts.
    Poll {
        /// The pause before [`Wake::Due`].
        after: Duration,
        /// What the handler wants to know when it goes on.
        checkpoint: Value,
    },
    /// The attempt failed.
    Fail(Failure),
    /// The attempt was lost through no fault of its own (Longboat died, and its effect with it) and may be made
    /// again: a new attempt follows although the author asked for no retry. It counts as none of the author's
    /// attempts, and is granted a bounded number of times in the life of a stage; then the reason is its failure.
    Restart {
        /// What was lost, in words that people read.
        reason: String,
    },
}

impl Outcome {
    /// Success without outputs.
    pub fn done() -> Self {
        Self::Done { outputs: Map::new() }
    }

    /// A failure that another attempt wouldn't change.
    pub fn fail(message: impl Into<String>) -> Self {
        Self::Fail(Failure { message: message.into(), retryable: false, outputs: Map::new(), on_failure: None })
    }

    /// A failure that another attempt may not have, if the author asked for retries.
    pub fn fail_retryable(message: impl Into<String>) -> Self {
        Self::Fail(Failure { message: message.into(), retryable: true, outputs: Map::new(), on_failure: None })
    }
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// What happened, in words that people read: it stands on the page and in the commit status.
    pub message: String,
    /// Whether the stage's `retry` applies.
    pub retryable: bool,
    /// What it yielded all the same (an exit code).
    pub outputs: Map<String, Value>,
    /// What the failure means for the pipeline, where the attempt knows better than the stage's `onFailure`.
    pub on_failure: Option<OnFailure>,
}

/// What a person decided about a stage that asked. A handler sees it as [`Wake::Signal`], as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Judgment {
    /// Whether to go on.
    pub verdict: Verdict,
    /// Which of the choices was made, if the stage offered any.
    #[serde(default)]
    pub input: Option<String>,
    /// Who answered, as the API authenticated them.
    pub by: String,
    /// Their roles; none: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles: Option<Vec<String>>,
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The stage succeeds.
    Continue,
    /// The stage fails.
    Stop,
}

/// Why an attempt is cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CancelReason {
    /// It ran for longer than its stage or its pipeline may.
    TimedOut,
    /// A person cancelled the execution, or another stage's failure halted it.
    Canceled,
}

/// What a handler knows about the attempt that it works on.
#[derive(Debug, Clone)]
pub struct StageContext {
    /// The execution: its pipeline, parameters, trigger, repository and commit.
    pub execution: Arc<Execution>,
    /// Which stage.
    pub path: StagePath,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// The stage's own fields, `${ }` evaluated. Secrets are references in them.
    pub fields: Map<String, Value>,
    /// Where the values of secrets belong in the fields.
    pub secrets: Vec<SecretUse>,
    /// What the stage's expressions see, if its type [evaluates](StageHandler::evaluates) any itself; else empty.
    pub scope: Arc<Scope>,
    /// The time.
    pub clock: Clock,
    /// Wakes a stage that waits; for a handler's own background tasks.
    pub signals: Signals,
}

impl StageContext {
    /// The stage's definition: the stage itself, or the one that it stands below.
    pub fn stage(&self) -> Option<&Stage> {
        let path = self.path.as_str();
        let top = path.split_once(['/', '[']).map_or(path, |(top, _)| top);
        self.execution.info.pipeline.stages.iter().find(|stage| stage.id.as_str() == top)
    }

    /// Sends a signal to this very attempt.
    ///
    /// # Errors
    /// As [`Signals::send`].
    pub async fn signal(&self, payload: Value) -> Result<(), SignalError> {
        self.signals.send(self.execution.key, &self.path, self.attempt, payload).await
    }
}

/// The way to wake a stage that waits or polls: the payload is recorded, then the handler's `resume` is called with it.
#[derive(Debug, Clone)]
pub struct Signals(mpsc::Sender<SentSignal>);

impl Signals {
    /// A way, and the end where the signals arrive. The engine holds that end; so can a handler's test.
    pub fn channel(capacity: usize) -> (Self, mpsc::Receiver<SentSignal>) {
        let (sender, receiver) = mpsc::channel(capacity);
        (Self(sender), receiver)
    }

    /// Sends a signal to an attempt; returns when it is committed. A signal to a stage that is in its handler's
    /// hands at the moment is kept until the handler has answered.
    ///
    /// # Errors
    /// If the attempt is over, has a signal already, or the engine stopped: the sender must not count on it.
    pub async fn send(
        &self,
        execution: ExecutionKey,
        path: &StagePath,
        attempt: u32,
        payload: Value,
    ) -> Result<(), SignalError> {
        let (answer, answered) = oneshot::channel();
        let signal = SentSignal { execution, path: path.clone(), attempt, payload, answer };
        self.0.send(signal).await.map_err(|_| SignalError::Stopped)?;
        answered.await.unwrap_or(Err(SignalError::Stopped))
    }
}

/// A signal on its way to the engine.
#[derive(Debug)]
pub struct SentSignal {
    /// The execution.
    pub execution: ExecutionKey,
    /// The stage.
    pub path: StagePath,
    /// The attempt.
    pub attempt: u32,
    /// What `resume` is called with.
    pub payload: Value,
    /// Where the sender waits for the commit.
    pub answer: oneshot::Sender<Result<(), SignalError>>,
}

/// Why a signal was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignalError {
    /// No such attempt is in progress.
    #[error("the stage is not in this attempt any more; nothing waits for the signal")]
    NotWaiting,
    /// The attempt has a signal that its handler hasn't worked off yet.
    #[error("the stage has been given an answer already")]
    AlreadySignalled,
    /// The payload is larger than the journal takes.
    #[error("the signal is larger than 64 KiB")]
    TooLarge,
    /// The engine stops; the stage will be resumed with [`Wake::Recovered`] or when it is due.
    #[error("the engine is stopping; the stage goes on when Longboat starts again")]
    Stopped,
}
