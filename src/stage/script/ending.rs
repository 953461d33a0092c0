//! Ending a script: by its supervisor, and where that is gone, by the marks that its processes carry.
//!
//! The supervisor finds everything that the script started. Without it (somebody killed it with SIGKILL), what hangs
//! together with the command is found, and whatever still has the script's environment. A process that threw that away
//! and moved away from the command can then not be told from a stranger's, and is left alone.

use std::io;
use std::time::Duration;

use super::attempt::{Attempt, State};
use crate::process::{self, KillSignal};
use crate::stage::files::blocking;

/// How often a script that must end, or that was adopted, is looked at.
pub(super) const LOOK: Duration = Duration::from_millis(50);
/// What a supervisor needs on top of the grace: its own rounds of SIGKILL, on a busy machine.
const SUPERVISOR_TIME: Duration = Duration::from_secs(8);
/// How long a process that was sent SIGKILL is waited for.
const KILL_TIME: Duration = Duration::from_secs(5);

/// The `NAME=value` entries that every process of an attempt has in its environment.
pub(super) type Marks = Vec<Vec<u8>>;

/// Ends an attempt, whatever its state; returns when nothing of it is left, or when the system doesn't let go of
/// what is (the error names it).
pub(super) async fn end(attempt: &Attempt, grace: Duration, marks: &Marks) -> io::Result<()> {
    loop {
        match state(attempt).await? {
            // A supervisor on its way finds the claim taken, and goes.
            State::Unclaimed if make_void(attempt).await? => return Ok(()),
            State::Unclaimed => {}
            State::Void | State::Ended(_) => return Ok(()),
            State::Running(supervisor) => {
                process::signal_group(supervisor.pid, supervisor.start_time, KillSignal::Terminate)
                    .map_err(io::Error::other)?;
                if !ends_within(attempt, grace + SUPERVISOR_TIME).await? {
                    kill_tree(supervisor.pid, supervisor.start_time).await?;
                    ends_within(attempt, KILL_TIME).await?;
                    return sweep(attempt, marks).await;
                }
            }
            State::Gone => return sweep(attempt, marks).await,
        }
    }
}

/// The attempt's state, asked beside the async tasks.
pub(super) async fn state(attempt: &Attempt) -> io::Result<State> {
    let attempt = attempt.clone();
    blocking(move || attempt.state()).await
}

async fn make_void(attempt: &Attempt) -> io::Result<bool> {
    let attempt = attempt.clone();
    blocking(move || attempt.make_void()).await
}

async fn kill_tree(pid: u32, start_time: u64) -> io::Result<bool> {
    blocking(move || process::kill_tree(pid, start_time).map_err(io::Error::other)).await
}

async fn ends_within(attempt: &Attempt, time: Duration) -> io::Result<bool> {
    let ended = async {
        while let State::Running(_) = state(attempt).await? {
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    };
    tokio::time::timeout(time, ended).await.map_or(Ok(false), |ended: io::Result<()>| ended.map(|()| true))
}

/// Kills what a supervisor that was killed itself couldn't end: the command's group, and whoever carries the marks.
pub(super) async fn sweep(attempt: &Attempt, marks: &Marks) -> io::Result<()> {
    let swept = async {
        loop {
            let (attempt, marks) = (attempt.clone(), marks.clone());
            let left = blocking(move || kill_marked(&attempt, &marks)).await?;
            if left.is_empty() {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    match tokio::time::timeout(KILL_TIME, swept).await {
        Ok(result) => result,
        Err(_) => Err(io::Error::other("processes of the script are left that can't be killed")),
    }
}

fn kill_marked(attempt: &Attempt, marks: &Marks) -> io::Result<Vec<u32>> {
    if let Some(command) = attempt.command() {
        process::kill_tree(command.pid, command.start_time).map_err(io::Error::other)?;
    }
    let found = marked(marks);
    for pid in &found {
        if let Some(start_time) = process::start_time_of(*pid).filter(|_| carries(*pid, marks)) {
            process::kill_tree(*pid, start_time).map_err(io::Error::other)?;
        }
    }
    Ok(found)
}

/// The processes whose environment, as it was when their program started, holds all marks. A zombie has none.
fn marked(marks: &Marks) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid != std::process::id() && carries(*pid, marks))
        .collect()
}

fn carries(pid: u32, marks: &Marks) -> bool {
    // Other people's processes can't be read, and are none of ours.
    let Ok(environment) = std::fs::read(format!("/proc/{pid}/environ")) else { return false };
    marks.iter().all(|mark| environment.split(|byte| *byte == 0).any(|entry| entry == mark.as_slice()))
}
