//! Ending processes together with everything that they started.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::ProcessError;
use super::identity::{Stat, all, stat_of};

/// How a group is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KillSignal {
    /// SIGTERM: a request that the program may act on.
    Terminate,
    /// SIGKILL: the end.
    Kill,
}

impl From<KillSignal> for Signal {
    fn from(signal: KillSignal) -> Self {
        match signal {
            KillSignal::Terminate => Self::SIGTERM,
            KillSignal::Kill => Self::SIGKILL,
        }
    }
}

/// Sends a signal to the group that the process `pid` leads, if `pid` is still the process that started at
/// `start_time` (a zombie counts: while it stands, its number is taken). Yields whether it was sent.
///
/// # Errors
/// If the system refuses the signal.
pub fn signal_group(pid: u32, start_time: u64, signal: KillSignal) -> Result<bool, ProcessError> {
    match stat_of(pid) {
        Some(stat) if stat.start_time == start_time && stat.group == pid => send_to_group(pid, signal),
        _ => Ok(false),
    }
}

/// Kills the group that the process `pid` leads; see [`signal_group`].
///
/// # Errors
/// If the system refuses the signal.
pub fn kill_group(pid: u32, start_time: u64) -> Result<bool, ProcessError> {
    signal_group(pid, start_time, KillSignal::Kill)
}

/// Kills the group that `pid` leads and also those descendants that moved into groups of their own, each
/// recognised by its start time. What left the tree (its parents ended first) is out of reach; a process
/// that must reach it makes itself the tree's reaper. Yields whether `pid` was still the right process.
///
/// # Errors
/// If the system refuses a signal.
pub fn kill_tree(pid: u32, start_time: u64) -> Result<bool, ProcessError> {
    let Some(root) = stat_of(pid).filter(|stat| stat.start_time == start_time) else { return Ok(false) };
    // All are stopped first, so that none slips away while the others die; who is stopped starts no more
    // children, so each round finds fewer. The bound is for fork bombs.
    signal_one(&root, Signal::SIGSTOP)?;
    let mut known = BTreeMap::from([(root.pid, root.start_time)]);
    for _ in 0..16 {
        let fresh: Vec<Stat> =
            below(pid, &all()).into_iter().filter(|stat| known.insert(stat.pid, stat.start_time).is_none()).collect();
        if fresh.is_empty() {
            break;
        }
        for stat in &fresh {
            signal_one(stat, Signal::SIGSTOP)?;
        }
    }
    kill_group(pid, start_time)?;
    for (&pid, &start_time) in &known {
        if let Some(stat) = stat_of(pid).filter(|stat| stat.start_time == start_time) {
            signal_one(&stat, Signal::SIGKILL)?;
        }
    }
    Ok(true)
}

/// The processes that `pid` started, and those that they started, as far as they still hang together.
pub fn descendants(pid: u32) -> Vec<u32> {
    below(pid, &all()).into_iter().map(|stat| stat.pid).collect()
}

/// The running processes of a group, zombies left out. While there are any, or zombies, no new process gets
/// the group's number.
pub fn group_members(group: u32) -> Vec<u32> {
    all().into_iter().filter(|stat| stat.group == group && stat.runs()).map(|stat| stat.pid).collect()
}

/// Kills a group whose leader the caller knows to be its own, unreaped child or to have ended this moment.
pub(super) fn send_to_group(group: u32, signal: KillSignal) -> Result<bool, ProcessError> {
    let Some(target) = to_pid(group) else { return Ok(false) };
    match killpg(target, Signal::from(signal)) {
        Ok(()) => Ok(true),
        // macOS says EPERM where only zombies are left.
        Err(Errno::ESRCH) => Ok(false),
        Err(Errno::EPERM) if group_members(group).is_empty() => Ok(false),
        Err(errno) => Err(ProcessError::Signal { group, source: io::Error::from(errno) }),
    }
}

fn signal_one(stat: &Stat, signal: Signal) -> Result<(), ProcessError> {
    let Some(target) = to_pid(stat.pid) else { return Ok(()) };
    match kill(target, signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(ProcessError::Signal { group: stat.pid, source: io::Error::from(errno) }),
    }
}

/// Numbers below 2 would mean "everybody" or init.
fn to_pid(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().filter(|pid| *pid > 1).map(Pid::from_raw)
}

fn below(root: u32, everyone: &[Stat]) -> Vec<Stat> {
    let mut found: Vec<Stat> = Vec::new();
    let mut parents = BTreeSet::from([root]);
    loop {
        let next: Vec<Stat> = everyone
            .iter()
            .filter(|stat| parents.contains(&stat.parent) && !parents.contains(&stat.pid))
            .copied()
            .collect();
        if next.is_empty() {
            return found;
        }
        parents.extend(next.iter().map(|stat| stat.pid));
        found.extend(next);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command, Stdio};
    use std::time::{Duration, Instant};

    use super::super::{is_alive, start_time_of};
    use super::*;

    fn spawn(script: &str) -> (Child, u64) {
        let child =
            Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).process_group(0).spawn().expect("sh");
        let started = start_time_of(child.id()).expect("runs");
        (child, started)
    }

    fn eventually(what: &str, condition: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !condition() {
            assert!(Instant::now() < deadline, "{what}");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_group_dies_only_under_its_leader_s_start_time() {
        let (mut child, started) = spawn("sleep 1000 & sleep 1000; wait");
        let pid = child.id();
        eventually("both sleepers run", || descendants(pid).len() == 2);
        assert!(!kill_group(pid, started + 1).expect("no error"), "a stranger is left alone");
        assert!(is_alive(pid, started));
        assert_eq!(group_members(pid).len(), 3);
        assert!(kill_group(pid, started).expect("killed"));
        eventually("the group is gone", || group_members(pid).is_empty());
        assert!(!is_alive(pid, started), "a zombie is not alive");
        child.wait().expect("reaped");
        assert!(!kill_group(pid, started).expect("no error"), "gone");
    }

    #[test]
    fn a_tree_dies_with_the_children_that_left_the_group() {
        let (mut child, started) = spawn("setsid sleep 1000 & sleep 1000; wait");
        let pid = child.id();
        eventually("a child has a group of its own", || {
            let below = descendants(pid);
            below.len() == 2 && group_members(pid).len() == 2
        });
        let escaped = descendants(pid).into_iter().find(|child| !group_members(pid).contains(child)).expect("one left");
        let escaped_start = start_time_of(escaped).expect("runs");
        assert!(kill_tree(pid, started).expect("killed"));
        eventually("all are gone", || group_members(pid).is_empty() && !is_alive(escaped, escaped_start));
        child.wait().expect("reaped");
    }

    #[test]
    fn nobody_signals_everybody() {
        assert!(to_pid(0).is_none() && to_pid(1).is_none() && to_pid(u32::MAX).is_none());
    }
}
