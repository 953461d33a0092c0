//! Starting a script's supervisor, and watching one to its end.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::attempt::{Attempt, Process, State};
use super::fields::{Fields, Workspace};
use super::handover::Handover;
use super::supervisor::{Arguments, CLAIMED, LOST};
use super::{Answer, Script, Trouble, environment, look, running};
use crate::diagnostic::pointer_step;
use crate::engine::{Outcome, StageContext};
use crate::model::{ExecutionId, StagePath, humanize};
use crate::stage::files::{blocking, log_file};
use crate::stage::workspace::folder_in;
use crate::stage::{reveal, saved, shared};

/// How long a start waits for the script's end. Most commands that do little have ended by then, and their stage needs
/// neither a checkpoint nor a signal in the journal.
const SHORT: Duration = Duration::from_millis(200);

/// How often an adopted script is looked at. It isn't this process's child, so nobody tells of its end.
const LOOK: Duration = Duration::from_millis(100);

/// The attempts that have a watcher in this process.
#[derive(Clone, Default)]
pub(super) struct Watched(Arc<Mutex<HashSet<Attempt>>>);

impl Watched {
    /// A watch over an attempt, unless there is one.
    fn begin(&self, attempt: &Attempt) -> Option<Watch> {
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watched.insert(attempt.clone()).then(|| Watch { watched: self.clone(), attempt: attempt.clone() })
    }
}

/// A place in [`Watched`]; given back when dropped.
struct Watch {
    watched: Watched,
    attempt: Attempt,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.watched.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.attempt);
    }
}

impl Script {
    /// Starts a supervisor for an attempt that has none.
    pub(super) async fn launch(&self, ctx: &StageContext, attempt: &Attempt) -> Answer {
        let fields = Fields::read(&ctx.fields.clone().into())?;
        let log = log_file(&self.deps.state_dir, ctx.execution.info.id, &ctx.path, ctx.attempt);
        let env = environment::environment(ctx, &fields, &attempt.output(), std::env::vars_os())?;
        let mut arguments = Arguments {
            dir: attempt.dir().to_owned(),
            log,
            log_limit: self.deps.log_limit,
            grace: fields.grace()?,
            secrets: false,
            argv: fields.argv()?,
        };
        // The slots are never closed.
        let slot = self.slots.clone().acquire_owned().await.map_err(|error| error.to_string())?;
        let folder = self.folder(ctx, attempt, &fields).await?;
        prepare(attempt).await.map_err(|error| format!("the script's files can't be made: {error}"))?;
        // As late as can be: a value that was changed while the stage waited for its turn is the one that counts.
        let secrets = self.handover(ctx).await?;
        arguments.secrets = !secrets.is_empty();
        if let Some(elsewhere) = self.place(ctx).await? {
            return Ok(elsewhere);
        }
        let mut child = self.spawn(attempt, &arguments, env, folder).map_err(|error| match error.raw_os_error() {
            Some(code) if code == nix::errno::Errno::E2BIG as i32 => {
                "`command` and `env` together are longer than the system passes to a program: put the script into a \
                 file of the repository"
                    .to_owned()
            }
            _ => format!("the script's supervisor {} can't be started: {error}", self.deps.supervisor.display()),
        })?;
        hand_over(&mut child, secrets).await?;
        match first_word(&mut child).await.as_str() {
            CLAIMED => self.follow(ctx, attempt, child, slot).await,
            // One that was started before a crash has begun: it is the one to watch.
            LOST => self.look_again(ctx, attempt).await,
            _ => {
                let status = child.wait().await.map_or_else(|error| error.to_string(), |status| status.to_string());
                if look(attempt).await? == State::Unclaimed {
                    let why = attempt.complaint().unwrap_or(status);
                    return Err(format!("the script's supervisor ended before the script began: {why}").into());
                }
                self.look_again(ctx, attempt).await
            }
        }
    }

    /// The script's secrets, and what its log must not show.
    async fn handover(&self, ctx: &StageContext) -> Result<Handover, String> {
        let revealed = reveal(ctx, &self.deps.secrets).await?;
        let mut env = BTreeMap::new();
        if revealed.has_secrets() {
            let fields = Fields::read(revealed.fields())?;
            let is_secret = |name: &str| revealed.is_secret(&format!("/env/{}", pointer_step(name)));
            env.extend(
                fields
                    .env()?
                    .into_iter()
                    .filter(|(name, _)| is_secret(name))
                    .map(|(name, value)| (name.to_owned(), value)),
            );
        }
        Ok(Handover::new(env, &self.deps.secrets.masked_values().await))
    }

    /// The checkout that the script runs in, and the folder within.
    async fn folder(&self, ctx: &StageContext, attempt: &Attempt, fields: &Fields) -> Result<PathBuf, String> {
        let info = &ctx.execution.info;
        let workspace = match fields.workspace {
            Workspace::Shared => self.workspaces.shared(info).await?,
            Workspace::Fresh => self.workspaces.fresh(info, attempt.dir()).await?,
        };
        self.take_files(ctx, fields, &workspace).await?;
        let dir = fields.dir.clone();
        blocking(move || Ok(folder_in(&workspace, dir.as_deref()))).await.map_err(|error| error.to_string())?
    }

    /// Puts the files that other stages saved into the checkout.
    async fn take_files(&self, ctx: &StageContext, fields: &Fields, workspace: &Path) -> Result<(), String> {
        for from in &fields.files.from {
            let (execution, stage) = saved::source(&ctx.execution.info, from)?;
            let source = saved::stage_dir(&self.deps.state_dir, execution, &stage);
            let target = workspace.to_owned();
            let there = match self.fetch_files(execution, &stage, &source).await {
                Ok(()) => blocking(move || saved::restore(&source, &target)).await,
                Err(error) => Err(error),
            };
            match there {
                Ok(true) => {}
                Ok(false) => {
                    return Err(format!(
                        "the files of stage `{from}` are not there: it was skipped or failed, or they were removed, \
                         because they are kept for {} after the end of an execution; restart the stage that saves them",
                        humanize(self.deps.saved.keep)
                    ));
                }
                Err(error) => {
                    return Err(format!("the files of stage `{from}` can't be put into the checkout: {error}"));
                }
            }
        }
        Ok(())
    }

    /// Brings what a stage saved, on whatever node, to this one.
    async fn fetch_files(&self, execution: ExecutionId, stage: &StagePath, dir: &Path) -> io::Result<()> {
        let Some(shipper) = &self.deps.shipper else { return Ok(()) };
        let lock = self.deps.locks.of(execution);
        let _alone = lock.lock().await;
        // Where the store knows of none, those of this node count: they may be older than the store.
        let _known = shared::fetch(shipper.store(), &saved::shelf(execution, stage), dir).await?;
        Ok(())
    }

    fn spawn(
        &self,
        attempt: &Attempt,
        arguments: &Arguments,
        env: Vec<(OsString, OsString)>,
        folder: PathBuf,
    ) -> io::Result<Child> {
        // Not in a process group of its own: the supervisor makes itself a session, which a group's leader can't.
        Command::new(&self.deps.supervisor)
            .arg0("longboat")
            .arg("supervise")
            .args(arguments.to_args())
            .env_clear()
            .envs(env)
            .current_dir(folder)
            .stdin(if arguments.secrets { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(attempt.complaints()?)
            .kill_on_drop(false)
            .spawn()
    }

    /// Watches a supervisor that this process started, and answers at once if the script is short.
    async fn follow(&self, ctx: &StageContext, attempt: &Attempt, child: Child, slot: OwnedSemaphorePermit) -> Answer {
        self.begin_log(ctx);
        let supervisor = child.id().and_then(Process::of);
        let (ended, mut short) = oneshot::channel();
        if let Some(watch) = self.watched.begin(attempt) {
            tokio::spawn(watch_child(watch, child, ctx.clone(), ended, slot));
        }
        if tokio::time::timeout(SHORT, &mut short).await.is_err() {
            short.close();
            if short.try_recv().is_err() {
                return Ok(running(supervisor));
            }
        }
        self.look_again(ctx, attempt).await
    }

    /// Has the log of a script that runs sent on.
    fn begin_log(&self, ctx: &StageContext) {
        if let Some(shipper) = &self.deps.shipper {
            shipper.begin(ctx.execution.info.id, &ctx.path, ctx.attempt);
        }
    }

    /// Watches a supervisor that is not this process's child.
    pub(super) fn adopt(&self, ctx: &StageContext, attempt: &Attempt) {
        let Some(watch) = self.watched.begin(attempt) else { return };
        self.begin_log(ctx);
        // It runs, so it isn't asked to wait for a slot; it takes one if it can.
        let slot = self.slots.clone().try_acquire_owned().ok();
        let ctx = ctx.clone();
        tokio::spawn(async move {
            while let Ok(State::Running(_)) = super::ending::state(&watch.attempt).await {
                tokio::time::sleep(LOOK).await;
            }
            drop((watch, slot));
            wake(&ctx).await;
        });
    }

    /// After somebody has begun: the attempt as it stands now.
    async fn look_again(&self, ctx: &StageContext, attempt: &Attempt) -> Answer {
        match look(attempt).await? {
            State::Unclaimed => Err(Trouble::Unknown("its claim has vanished".to_owned())),
            State::Void => Ok(Outcome::fail("the script was cancelled before it began")),
            State::Running(supervisor) => {
                self.adopt(ctx, attempt);
                Ok(running(Some(supervisor)))
            }
            State::Ended(ended) => self.finish(ctx, attempt, ended).await,
            State::Gone => self.gone(ctx, attempt).await,
        }
    }
}

async fn prepare(attempt: &Attempt) -> io::Result<()> {
    let (dir, output) = (attempt.dir().to_owned(), attempt.output());
    blocking(move || {
        std::fs::create_dir_all(dir)?;
        std::fs::OpenOptions::new().create(true).append(true).open(output).map(drop)
    })
    .await
}

/// Tells a supervisor the secrets, which it waits for.
async fn hand_over(child: &mut Child, secrets: Handover) -> Result<(), String> {
    let Some(mut pipe) = child.stdin.take() else { return Ok(()) };
    let bytes = secrets.to_bytes().map_err(|error| error.to_string())?;
    drop(secrets);
    // If it has ended meanwhile, it says why elsewhere; the end of the pipe is its end of the secrets.
    let _gone = pipe.write_all(&bytes).await;
    Ok(())
}

/// What a supervisor says about its claim; nothing if it ended before.
async fn first_word(child: &mut Child) -> String {
    let mut line = String::new();
    if let Some(out) = child.stdout.take() {
        // No word is the same as an unreadable one.
        let _silence = BufReader::new(out).read_line(&mut line).await;
    }
    line.trim_end().to_owned()
}

async fn watch_child(
    watch: Watch,
    mut child: Child,
    ctx: StageContext,
    ended: oneshot::Sender<()>,
    slot: OwnedSemaphorePermit,
) {
    if let Err(error) = child.wait().await {
        tracing::error!(execution = %ctx.execution.info.id, stage = %ctx.path, %error, "a supervisor can't be waited for");
    }
    drop((watch, slot));
    if ended.send(()).is_err() {
        wake(&ctx).await;
    }
}

/// Tells the engine that there is something to see. If it doesn't take the word, it will look by itself.
async fn wake(ctx: &StageContext) {
    if let Err(error) = ctx.signal(json!({"ended": true})).await {
        tracing::debug!(execution = %ctx.execution.info.id, stage = %ctx.path, %error, "a script's end was not taken");
    }
}
