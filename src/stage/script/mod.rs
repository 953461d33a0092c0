//! `script`: runs a command on this machine (FORMAT section 4).
//!
//! A script doesn't run below Longboat but below a supervisor of its own (`longboat supervise`, see [`supervisor`]),
//! so it neither dies with Longboat nor escapes it. What the two have to tell each other stands in the attempt's folder
//! (see `attempt`), and that folder is the truth: asked to start, resume or cancel, the handler looks there first.
//!
//! | found | start, resume |
//! |---|---|
//! | no claim | a supervisor is started. If one that was started before a crash comes late, one of the two gets the claim and the other goes: the command runs once |
//! | claim, lock held | the script runs. It is watched to its end; after a restart of Longboat that is called adopted. With `restartable: true` it is ended instead, and the engine makes a new attempt |
//! | status | the script is over: outputs, or the failure |
//! | no claim, and another node had the attempt | lost: a new attempt with `restartable: true`, else a failure (see `elsewhere`) |
//! | claim, no lock, no status | the supervisor was killed. What is left of the script is killed too; the stage fails, because nobody knows how far the script came |
//!
//! `restartable` is false unless the author says otherwise: adoption loses nothing, and only the author knows whether
//! running twice does harm. A script whose result is known is never run again for a restart's sake.
//!
//! A script sees a clean environment (see `environment`) and runs in its execution's checkout. Its `command` is passed
//! on as it stands: values reach it by `env`, so that no pull request's title is ever read by a shell. Secrets do, too;
//! how they get there without being written down stands in `handover`.

mod attempt;
mod elsewhere;
mod ending;
mod environment;
mod fields;
mod handover;
mod launch;
mod outputs;
pub mod supervisor;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::StageDeps;
use super::files::{attempt_dir, blocking};
use super::saved::{self, Globs, Manifest, SaveError};
use super::shared;
use super::workspace::Workspaces;
use crate::engine::{CancelReason, Effect, Failure, Outcome, StageContext, StageHandler, Wake};
use attempt::{Attempt, End, Ended, Process, State};
use elsewhere::{Begun, lost};
pub(super) use elsewhere::{end_all, remove_checkouts};
pub(super) use fields::Fields;
use fields::Workspace;
use launch::Watched;

/// For people.
pub(super) const DESCRIPTION: &str = "Runs a command in a checkout of the commit.";

/// A stage of this type.
pub(super) const EXAMPLE: &str = "\
id: build
type: script
command: |
  make image TAG=$TAG
  echo \"image=shop:$TAG\" >> $LONGBOAT_OUTPUT
env: {TAG: '${ trigger.commit }'}
timeout: 20m
";

/// The time between SIGTERM and SIGKILL if the stage gives none.
const DEFAULT_GRACE: Duration = Duration::from_secs(5);

/// How often a running script is looked at even if its watcher says nothing: the watcher's word makes the end known
/// at once, this makes it known at all.
const RECONCILE: Duration = Duration::from_secs(60);

/// The pause after a look at a script that told nothing.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Whether an attempt that has begun is over; `dir` is its folder, which may have been removed by now.
///
/// # Errors
/// If its files can't be read.
pub(super) fn is_over(dir: &Path) -> io::Result<bool> {
    Ok(match Attempt::new(dir).state()? {
        State::Unclaimed => !dir.try_exists()?,
        State::Running(_) => false,
        State::Void | State::Ended(_) | State::Gone => true,
    })
}

/// Why there is no answer about an attempt.
enum Trouble {
    /// It can't begin, or its result is of no use.
    Failed(String),
    /// How it stands can't be told right now (too many open files, say). It may well run, so it has not failed.
    Unknown(String),
}

impl From<String> for Trouble {
    fn from(message: String) -> Self {
        Self::Failed(message)
    }
}

type Answer = Result<Outcome, Trouble>;

/// The handler of `script` stages.
pub(super) struct Script {
    deps: StageDeps,
    workspaces: Workspaces,
    /// One permit for each script that runs.
    slots: Arc<tokio::sync::Semaphore>,
    watched: Watched,
}

impl Script {
    pub(super) fn new(mut deps: StageDeps) -> Self {
        // Scripts and their supervisors have working directories of their own.
        deps.state_dir = std::path::absolute(&deps.state_dir).unwrap_or(deps.state_dir);
        let workspaces = Workspaces::new(deps.state_dir.clone(), deps.checkouts.clone(), deps.locks.clone());
        let slots = Arc::new(tokio::sync::Semaphore::new(deps.max_scripts.max(1)));
        Self { deps, workspaces, slots, watched: Watched::default() }
    }

    /// Waits a while for the log of an attempt that is over to be where others read it.
    async fn send_log(&self, ctx: &StageContext) {
        if let Some(shipper) = &self.deps.shipper {
            shipper.finish(ctx.execution.info.id, &ctx.path, ctx.attempt).await;
        }
    }

    fn attempt(&self, ctx: &StageContext) -> Attempt {
        Attempt::new(attempt_dir(&self.deps.state_dir, ctx.execution.info.id, &ctx.path, ctx.attempt))
    }

    /// Takes the attempt one step further, from wherever it stands. `begun`: a supervisor is known to have begun.
    async fn proceed(&self, ctx: &StageContext, begun: bool) -> Answer {
        let attempt = self.attempt(ctx);
        let state = look(&attempt).await?;
        if let Some(answer) = self.came_back(ctx, &attempt, &state) {
            return answer;
        }
        match state {
            State::Unclaimed => match self.begun(ctx).await? {
                Begun::Elsewhere(replica) => self.elsewhere(ctx, &replica).await,
                Begun::Here if begun => Ok(Outcome::fail(format!(
                    "the script's files are gone from {}; how it ended isn't known, so it isn't run again",
                    attempt.dir().display()
                ))),
                Begun::Here | Begun::Nowhere => self.launch(ctx, &attempt).await,
            },
            State::Void => Ok(Outcome::fail("the script was cancelled before it began")),
            State::Running(supervisor) => {
                self.adopt(ctx, &attempt);
                Ok(running(Some(supervisor)))
            }
            State::Ended(ended) => self.finish(ctx, &attempt, ended).await,
            State::Gone => self.gone(ctx, &attempt).await,
        }
    }

    /// After a restart of Longboat.
    async fn recover(&self, ctx: &StageContext, begun: bool) -> Answer {
        let attempt = self.attempt(ctx);
        let fields = Fields::read(&ctx.fields.clone().into())?;
        let restartable = fields.restartable()?;
        match look(&attempt).await? {
            State::Running(_) if restartable => {}
            State::Unclaimed if !begun && !restartable && machine_went_down(ctx) => {
                let Begun::Here = self.begun(ctx).await? else { return self.proceed(ctx, begun).await };
                return Ok(lost(
                    "the machine went down when the script was about to begin; whether it did isn't known, so it isn't \
                     run again (`restartable: true` would allow it)"
                        .to_owned(),
                ));
            }
            _ => return self.proceed(ctx, begun).await,
        }
        ending::end(&attempt, fields.grace()?, &marks(ctx)).await.map_err(unknown)?;
        self.send_log(ctx).await;
        match look(&attempt).await? {
            // It came to its own end in the meantime.
            State::Ended(ended) if !ended.cancelled => self.finish(ctx, &attempt, ended).await,
            _ => Ok(Outcome::Restart {
                reason: "Longboat restarted while the script was running; as the stage is `restartable`, \
                         the script was ended to run again"
                    .to_owned(),
            }),
        }
    }

    /// What the end of a command means for its stage; of one that succeeded, its files are saved.
    async fn finish(&self, ctx: &StageContext, attempt: &Attempt, ended: Ended) -> Answer {
        self.send_log(ctx).await;
        let outcome = conclude(attempt, ended).await?;
        let Outcome::Done { outputs } = outcome else { return Ok(outcome) };
        let fields = Fields::read(&ctx.fields.clone().into())?;
        if fields.files.save.is_empty() {
            return Ok(Outcome::Done { outputs });
        }
        let globs = match Globs::parse(&fields.files.save) {
            Ok(globs) => globs,
            Err(message) => return Ok(failure(message, Some(0), outputs)),
        };
        let info = &ctx.execution.info;
        let checkout = match fields.workspace {
            Workspace::Shared => self.workspaces.shared_dir(info.id),
            Workspace::Fresh => Workspaces::fresh_dir(attempt.dir()),
        };
        let target = saved::stage_dir(&self.deps.state_dir, info.id, &ctx.path);
        let (number, limits) = (ctx.attempt, self.deps.saved.clone());
        let dir = target.clone();
        let saved = blocking(move || Ok(saved::save(&checkout, globs, &dir, number, &limits))).await;
        let saved = match saved.map_err(|error| error.to_string())? {
            Ok(saved) => self.share(ctx, saved, &target).await,
            refused => refused,
        };
        match saved {
            Ok(saved) => {
                tracing::debug!(execution = %info.id, stage = %ctx.path, files = saved.files, bytes = saved.bytes, "saved files");
                Ok(Outcome::Done { outputs })
            }
            Err(SaveError::Refused(message)) => Ok(failure(message, Some(0), outputs)),
            Err(SaveError::Io(error)) => {
                Ok(failure(format!("the script succeeded, but its files can't be saved: {error}"), Some(0), outputs))
            }
        }
    }

    /// Puts saved files where later stages find them on every node.
    async fn share(&self, ctx: &StageContext, saved: Manifest, dir: &Path) -> Result<Manifest, SaveError> {
        let Some(shipper) = &self.deps.shipper else { return Ok(saved) };
        let most = shipper.store().sizes().saved;
        if saved.bytes > most {
            return Err(SaveError::Refused(format!(
                "`files.save` is {} bytes, and the store that the replicas share takes at most {most} of one stage; a \
                 store for large files is `logs: {{store: s3}}` of the configuration",
                saved.bytes
            )));
        }
        let shelf = saved::shelf(ctx.execution.info.id, &ctx.path);
        shared::send(shipper.store(), &shelf, dir).await?;
        Ok(saved)
    }

    async fn gone(&self, ctx: &StageContext, attempt: &Attempt) -> Answer {
        let swept = ending::sweep(attempt, &marks(ctx)).await;
        self.send_log(ctx).await;
        let complaint = attempt.complaint().map(|line| format!(" ({line})")).unwrap_or_default();
        let left = swept.err().map(|error| format!("; {error}")).unwrap_or_default();
        Ok(lost(format!(
            "the script's supervisor ended without saying how the script did{complaint}: it was killed, or the machine went down; what was left of the script was ended{left}"
        )))
    }
}

/// Whether the machine was restarted in the life of the execution. A claim is not forced to the disk, which would cost
/// every script some milliseconds: it survives whatever Longboat does, but if the power fails right after it was made,
/// it can be lost, and the lack of one means nothing.
fn machine_went_down(ctx: &StageContext) -> bool {
    let Ok(text) = std::fs::read_to_string("/proc/stat") else { return false };
    let booted = text.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<i64>().ok());
    booted.is_some_and(|seconds| seconds.saturating_mul(1000) > ctx.execution.info.created_at.as_millis())
}

fn marks(ctx: &StageContext) -> ending::Marks {
    environment::marks(ctx).into_iter().map(|(name, value)| format!("{name}={value}").into_bytes()).collect()
}

async fn look(attempt: &Attempt) -> Result<State, Trouble> {
    ending::state(attempt).await.map_err(unknown)
}

fn unknown(error: io::Error) -> Trouble {
    Trouble::Unknown(error.to_string())
}

/// What an attempt that has begun is resumed with.
#[derive(Serialize, Deserialize)]
struct Checkpoint {
    /// The process that watches over the script; `None` if that couldn't be told.
    supervisor: Option<Process>,
}

/// The answer for a script that runs.
fn running(supervisor: Option<Process>) -> Outcome {
    Outcome::Poll { after: RECONCILE, checkpoint: json!(Checkpoint { supervisor }) }
}

fn failure(message: String, exit_code: Option<i32>, mut outputs: Map<String, Value>) -> Outcome {
    outputs.insert(outputs::EXIT_CODE.to_owned(), json!(exit_code));
    Outcome::Fail(Failure { message, retryable: true, outputs, on_failure: None })
}

/// What the end of a command means, but for its files.
async fn conclude(attempt: &Attempt, ended: Ended) -> Answer {
    let file = attempt.output();
    let (mut outputs, fault) = blocking(move || Ok(outputs::read(&file))).await.map_err(|error| error.to_string())?;
    if let Some(error) = &ended.log_error {
        tracing::warn!(attempt = %attempt.dir().display(), error, "a script's log is not complete");
    }
    Ok(match ended.end {
        _ if ended.cancelled => failure(
            "the script was ended by a signal to its supervisor from outside Longboat".to_owned(),
            code_of(&ended.end),
            outputs,
        ),
        End::Exited(0) => match fault {
            None => {
                outputs.insert(outputs::EXIT_CODE.to_owned(), json!(0));
                Outcome::Done { outputs }
            }
            Some(fault) => failure(fault, Some(0), outputs),
        },
        End::Exited(code) => failure(format!("exit code {code}"), Some(code), outputs),
        End::Killed(signal) => {
            let name =
                Signal::try_from(signal).map_or_else(|_| format!("signal {signal}"), |signal| signal.to_string());
            failure(format!("killed by {name}"), code_of(&ended.end), outputs)
        }
        End::NotStarted(reason) => failure(reason, None, outputs),
    })
}

/// As a shell gives it: 128 and the signal for a command that a signal killed.
fn code_of(end: &End) -> Option<i32> {
    match end {
        End::Exited(code) => Some(*code),
        End::Killed(signal) => Some(128 + signal),
        End::NotStarted(_) => None,
    }
}

fn answer(ctx: &StageContext, result: Answer, supervisor: Option<Process>) -> Outcome {
    match result {
        Ok(outcome) => outcome,
        Err(Trouble::Failed(message)) => Outcome::fail_retryable(message),
        Err(Trouble::Unknown(error)) => {
            let execution = &ctx.execution.info.id;
            tracing::warn!(%execution, stage = %ctx.path, error, "how a script stands can't be told; looking again");
            Outcome::Poll { after: LOOK_AGAIN, checkpoint: json!(Checkpoint { supervisor }) }
        }
    }
}

#[async_trait]
impl StageHandler for Script {
    fn kind(&self) -> &'static str {
        "script"
    }

    fn effect(&self) -> Effect {
        Effect::Idempotent
    }

    fn runs_here(&self) -> bool {
        true
    }

    async fn start(&self, ctx: &StageContext) -> Outcome {
        answer(ctx, self.proceed(ctx, false).await, None)
    }

    async fn resume(&self, ctx: &StageContext, checkpoint: Option<Value>, wake: Wake) -> Outcome {
        let checkpoint = checkpoint.and_then(|checkpoint| serde_json::from_value::<Checkpoint>(checkpoint).ok());
        let supervisor = checkpoint.and_then(|checkpoint| checkpoint.supervisor);
        let result = match wake {
            Wake::Recovered => self.recover(ctx, supervisor.is_some()).await,
            Wake::Due | Wake::Signal(_) => self.proceed(ctx, supervisor.is_some()).await,
        };
        answer(ctx, result, supervisor)
    }

    async fn cancel(&self, ctx: &StageContext, _: Option<Value>, reason: CancelReason) {
        let grace = Fields::read(&ctx.fields.clone().into()).and_then(|fields| fields.grace()).unwrap_or(DEFAULT_GRACE);
        if let Err(error) = ending::end(&self.attempt(ctx), grace, &marks(ctx)).await {
            tracing::error!(
                execution = %ctx.execution.info.id, stage = %ctx.path, ?reason, %error,
                "a script that was to end could not be ended completely"
            );
        }
        self.send_log(ctx).await;
    }

    async fn abandon(&self, ctx: &StageContext) {
        if let Err(error) = self.let_go(ctx).await {
            tracing::error!(
                execution = %ctx.execution.info.id, stage = %ctx.path, %error,
                "a script whose execution goes on at another replica could not be ended completely"
            );
        }
    }
}
