//! Scripts of executions that several replicas share: which of them may begin an attempt, what is said of one that
//! another node had, and what becomes of one here whose execution has moved away.

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use serde_json::{Map, Value};

use super::attempt::{Attempt, Ended, State};
use super::fields::Fields;
use super::{Answer, DEFAULT_GRACE, Script, Trouble, ending, environment, failure};
use crate::engine::{Failure, Outcome, StageContext};
use crate::model::{ExecutionId, RetryOn};
use crate::stage::Whereabouts;
use crate::stage::files::{blocking, remove, work_dir};

/// Where an attempt of which this node has nothing was begun, if that makes a difference.
pub(super) enum Begun {
    /// Nowhere, and that is known.
    Nowhere,
    /// Here; or the executions are this node's alone.
    Here,
    /// On the node of that replica.
    Elsewhere(String),
}

impl Script {
    /// Where an attempt was begun.
    pub(super) async fn begun(&self, ctx: &StageContext) -> Result<Begun, Trouble> {
        let Some(placements) = &self.deps.placements else { return Ok(Begun::Here) };
        let found = placements.find(ctx.execution.key, &ctx.path, ctx.attempt).await.map_err(Trouble::Unknown)?;
        Ok(match found {
            None => Begun::Nowhere,
            Some(Whereabouts::Here) => Begun::Here,
            Some(Whereabouts::Elsewhere { replica }) => Begun::Elsewhere(replica),
        })
    }

    /// Takes an attempt for this node; to be called last of all before it begins. An answer says why it may not.
    pub(super) async fn place(&self, ctx: &StageContext) -> Result<Option<Outcome>, Trouble> {
        let Some(placements) = &self.deps.placements else { return Ok(None) };
        let placed = placements.place(ctx.execution.key, &ctx.path, ctx.attempt).await.map_err(Trouble::Unknown)?;
        if let Whereabouts::Elsewhere { replica } = placed {
            // That one may well run it: this process was late, and no word of its log is ours.
            return self.lost(ctx, &on_another_node(&replica)).map(Some);
        }
        Ok(None)
    }

    /// The answer for an attempt of which another node alone knows anything.
    pub(super) async fn elsewhere(&self, ctx: &StageContext, replica: &str) -> Answer {
        if let Some(shipper) = &self.deps.shipper {
            shipper.give_up(ctx.execution.info.id, &ctx.path, ctx.attempt).await;
        }
        self.lost(ctx, &on_another_node(replica))
    }

    /// The answer for an attempt that was ended here, because its execution went on at another replica, and that came
    /// back. Its checkout is gone, so what it was to save is lost even if it came to its own end.
    pub(super) fn came_back(&self, ctx: &StageContext, attempt: &Attempt, state: &State) -> Option<Answer> {
        if !attempt.is_abandoned() {
            return None;
        }
        let saves = || Fields::read(&ctx.fields.clone().into()).is_ok_and(|fields| !fields.files.save.is_empty());
        match state {
            State::Running(_) => None,
            State::Ended(Ended { cancelled: false, .. }) if !saves() => None,
            State::Unclaimed | State::Void | State::Gone | State::Ended(_) => Some(self.lost(
                ctx,
                "the script was ended when its execution went over to another replica, which never took it up",
            )),
        }
    }

    /// The answer for an attempt of which nobody knows how far it came.
    fn lost(&self, ctx: &StageContext, what: &str) -> Answer {
        if Fields::read(&ctx.fields.clone().into())?.restartable()? {
            return Ok(Outcome::Restart {
                reason: format!("{what}; as the stage is `restartable`, the script runs again"),
            });
        }
        Ok(lost(format!(
            "{what}; how far it came isn't known, so it isn't run again (`restartable: true` or `retry` with `on: [lost]` \
             would allow it)"
        )))
    }

    /// Ends what runs here of an attempt whose execution has moved away, and removes its checkouts. The attempt's own
    /// files stay until the execution has ended: should the execution come back, they say that the attempt is spent.
    pub(super) async fn let_go(&self, ctx: &StageContext) -> io::Result<()> {
        let attempt = self.attempt(ctx);
        let (dir, noted) = (attempt.dir().to_owned(), attempt.clone());
        if !blocking(move || Ok(dir.try_exists()? && noted.note_abandoned().map(|()| true)?)).await? {
            return Ok(());
        }
        let grace = Fields::read(&ctx.fields.clone().into()).and_then(|fields| fields.grace());
        ending::end(&attempt, grace.unwrap_or(DEFAULT_GRACE), &super::marks(ctx)).await?;
        self.send_log(ctx).await;
        let work = work_dir(&self.deps.state_dir, ctx.execution.info.id);
        let lock = self.deps.locks.of(ctx.execution.info.id);
        let _alone = lock.lock().await;
        blocking(move || remove_checkouts(&work)).await
    }
}

/// A failure of which nobody knows how far the attempt came.
pub(super) fn lost(message: String) -> Outcome {
    match failure(message, None, Map::new()) {
        Outcome::Fail(Failure { message, retryable, mut outputs, on_failure }) => {
            outputs.insert(RetryOn::LOST_OUTPUT.to_owned(), Value::Bool(true));
            Outcome::Fail(Failure { message, retryable, outputs, on_failure })
        }
        other => other,
    }
}

fn on_another_node(replica: &str) -> String {
    format!("the script was begun by the replica `{replica}`, which has lost the execution")
}

/// Ends every attempt of an execution that runs here; `work` is the execution's folder. `spent`: it may come back to
/// this node, so all of them are noted as abandoned.
pub(in crate::stage) async fn end_all(work: &Path, execution: ExecutionId, spent: bool) -> io::Result<()> {
    let dir = work.to_owned();
    let attempts = blocking(move || {
        let attempts = attempts_in(&dir)?;
        if spent {
            attempts.iter().try_for_each(Attempt::note_abandoned)?;
        }
        Ok(attempts)
    })
    .await?;
    // Known by the execution alone: all of it is to end.
    let marks = vec![format!("{}={execution}", environment::EXECUTION).into_bytes()];
    let mut gone = false;
    let mut running = Vec::new();
    for attempt in &attempts {
        match ending::state(attempt).await? {
            State::Running(_) | State::Unclaimed => running.push(ending::end(attempt, DEFAULT_GRACE, &marks)),
            State::Gone => gone = true,
            State::Void | State::Ended(_) => {}
        }
    }
    futures::future::try_join_all(running).await?;
    match attempts.first().filter(|_| gone) {
        Some(any) => ending::sweep(any, &marks).await,
        None => Ok(()),
    }
}

fn attempts_in(work: &Path) -> io::Result<Vec<Attempt>> {
    let entries = match std::fs::read_dir(work) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut attempts = Vec::new();
    for entry in entries {
        let entry = entry?;
        // Beside them are checkouts: `shared`, and such that are being made.
        let name = entry.file_name();
        if entry.file_type()?.is_dir() && name != "shared" && !name.as_bytes().starts_with(b".") {
            attempts.push(Attempt::new(entry.path()));
        }
    }
    Ok(attempts)
}

/// Removes the checkouts of an execution, unless something of it still runs here.
pub(in crate::stage) fn remove_checkouts(work: &Path) -> io::Result<()> {
    let mut checkouts = vec![work.join("shared")];
    for attempt in attempts_in(work)? {
        let dir = attempt.dir();
        if let State::Running(_) = attempt.state()? {
            return Ok(());
        }
        checkouts.push(dir.join("checkout"));
    }
    checkouts.iter().try_for_each(|dir| remove(dir))
}
