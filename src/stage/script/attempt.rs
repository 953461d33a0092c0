//! One attempt of a script on disk: what the supervisor and Longboat tell each other by files.
//!
//! | file | written by | says |
//! |---|---|---|
//! | `claim` | whoever is first | this attempt is mine: a supervisor's process, or a note that nobody may begin |
//! | `command` | the supervisor | the command's process |
//! | `output` | the script | `key=value` lines |
//! | `status` | the supervisor, last of all | how the command ended |
//! | `abandoned` | Longboat | the execution went over to another replica |
//! | `supervisor.err` | the supervisor | why it couldn't do its work |
//!
//! A claim can't be taken twice, so an attempt runs at most once however often it is asked for. The supervisor holds
//! a lock on its claim as long as it lives, and the system lets go of it at its death, whatever kills it: a claim
//! without a lock is a supervisor that is gone, also after a restart of the machine, and no process number can be
//! mistaken for another.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::process;

/// Where an attempt's files are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Attempt {
    dir: PathBuf,
}

/// A process, told from a later one with the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) start_time: u64,
}

impl Process {
    /// The process with that number, if there is one.
    pub(super) fn of(pid: u32) -> Option<Self> {
        process::start_time_of(pid).map(|start_time| Self { pid, start_time })
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Claim {
    Supervisor(Process),
    Void { void: bool },
}

/// How an attempt stands.
#[derive(Debug, PartialEq)]
pub(super) enum State {
    /// No supervisor has begun.
    Unclaimed,
    /// None will: the attempt was cancelled before.
    Void,
    /// A supervisor is at work.
    Running(Process),
    /// It is over.
    Ended(Ended),
    /// The supervisor ended without saying how the command did.
    Gone,
}

/// How a command ended, as its supervisor saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Ended {
    pub(super) end: End,
    /// Whether the supervisor was told to end it.
    pub(super) cancelled: bool,
    /// Processes that survived even SIGKILL.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) survivors: Vec<u32>,
    /// Why part of the log is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) log_error: Option<String>,
}

/// The end itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum End {
    /// It exited with this code.
    Exited(i32),
    /// This signal killed it.
    Killed(i32),
    /// It couldn't be started, for this reason.
    NotStarted(String),
}

impl Attempt {
    pub(super) fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn output(&self) -> PathBuf {
        self.dir.join("output")
    }

    /// Takes the attempt for this process. `None`: somebody else has it. The claim holds as long as the file is open.
    pub(super) fn claim(&self) -> io::Result<Option<File>> {
        let own = Process::of(std::process::id()).ok_or_else(|| io::Error::other("this process doesn't see itself"))?;
        self.publish(&Claim::Supervisor(own))
    }

    /// Makes sure that no supervisor begins from now on. False: one has begun.
    pub(super) fn make_void(&self) -> io::Result<bool> {
        fs::create_dir_all(&self.dir)?;
        Ok(self.publish(&Claim::Void { void: true })?.is_some())
    }

    /// The file is complete and locked before it gets its name, and a hard link never replaces one that is there.
    fn publish(&self, claim: &Claim) -> io::Result<Option<File>> {
        let draft = tempfile::Builder::new().prefix("claim.").tempfile_in(&self.dir)?;
        draft.as_file().lock()?;
        draft.as_file().write_all(&serde_json::to_vec(claim)?)?;
        match fs::hard_link(draft.path(), self.dir.join("claim")) {
            Ok(()) => Ok(Some(draft.into_file())),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Notes which process the command is.
    pub(super) fn note_command(&self, command: Process) -> io::Result<()> {
        self.write("command", &command)
    }

    /// The command's process, if it was noted.
    pub(super) fn command(&self) -> Option<Process> {
        self.read("command")
    }

    /// Says how the command ended.
    pub(super) fn note_end(&self, ended: &Ended) -> io::Result<()> {
        self.write("status", ended)
    }

    /// Notes that the attempt's execution went over to another replica: whatever is found here was ended for that.
    pub(super) fn note_abandoned(&self) -> io::Result<()> {
        OpenOptions::new().create(true).append(true).open(self.dir.join("abandoned")).map(drop)
    }

    /// Whether that was noted.
    pub(super) fn is_abandoned(&self) -> bool {
        self.dir.join("abandoned").exists()
    }

    /// How the attempt stands.
    pub(super) fn state(&self) -> io::Result<State> {
        let claim = match File::open(self.dir.join("claim")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::Unclaimed),
            claim => claim?,
        };
        let content = serde_json::from_reader(&claim).ok();
        match (claim.try_lock_shared(), content) {
            (_, Some(Claim::Void { .. })) => Ok(State::Void),
            (Err(TryLockError::WouldBlock), Some(Claim::Supervisor(process))) => Ok(State::Running(process)),
            (Err(TryLockError::WouldBlock), None) => Err(io::Error::other("the claim of a running script is damaged")),
            (Err(TryLockError::Error(error)), _) => Err(error),
            // The lock is free, so what the supervisor had to say is there.
            (Ok(()), _) => Ok(self.read("status").map_or(State::Gone, State::Ended)),
        }
    }

    /// The last words of a supervisor that couldn't do its work.
    pub(super) fn complaint(&self) -> Option<String> {
        let text = fs::read_to_string(self.dir.join("supervisor.err")).ok()?;
        let line = text.lines().rev().find(|line| !line.trim().is_empty())?;
        Some(line.chars().take(300).collect())
    }

    /// Where a supervisor's complaints go.
    pub(super) fn complaints(&self) -> io::Result<File> {
        OpenOptions::new().create(true).append(true).open(self.dir.join("supervisor.err"))
    }

    /// A file that isn't whole (the machine went down while it was written) counts as not there.
    fn read<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_slice(&fs::read(self.dir.join(name)).ok()?).ok()
    }

    fn write(&self, name: &str, content: &impl Serialize) -> io::Result<()> {
        let mut draft = tempfile::NamedTempFile::new_in(&self.dir)?;
        draft.write_all(&serde_json::to_vec(content)?)?;
        draft.persist(self.dir.join(name))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt() -> (tempfile::TempDir, Attempt) {
        let dir = tempfile::tempdir().expect("a folder");
        let attempt = Attempt::new(dir.path());
        (dir, attempt)
    }

    fn state(attempt: &Attempt) -> State {
        attempt.state().expect("readable")
    }

    #[test]
    fn an_attempt_is_claimed_once_and_lost_with_its_holder() {
        let (_dir, attempt) = attempt();
        assert_eq!(state(&attempt), State::Unclaimed);
        let claim = attempt.claim().expect("claimed").expect("is free");
        assert!(attempt.claim().expect("asked").is_none());
        assert!(!attempt.make_void().expect("asked"));
        let own = Process::of(std::process::id()).expect("runs");
        assert_eq!(state(&attempt), State::Running(own));
        drop(claim);
        assert_eq!(state(&attempt), State::Gone);
        let ended = Ended { end: End::Exited(3), cancelled: false, survivors: vec![], log_error: None };
        attempt.note_end(&ended).expect("written");
        assert_eq!(state(&attempt), State::Ended(ended));
        assert_eq!(fs::read_dir(attempt.dir()).expect("listed").count(), 2, "no draft is left");
    }

    #[test]
    fn nobody_begins_a_void_attempt() {
        let (dir, _) = attempt();
        let attempt = Attempt::new(dir.path().join("not/yet/there"));
        assert!(attempt.make_void().expect("made void"));
        assert_eq!(state(&attempt), State::Void);
        assert!(attempt.claim().expect("asked").is_none());
    }

    #[test]
    fn of_many_only_one_gets_the_claim() {
        let (_dir, attempt) = attempt();
        let claims: Vec<_> = std::thread::scope(|scope| {
            let takers: Vec<_> = (0..16).map(|_| scope.spawn(|| attempt.claim().expect("asked"))).collect();
            takers.into_iter().map(|taker| taker.join().expect("no panic")).collect()
        });
        assert_eq!(claims.iter().flatten().count(), 1);
    }

    #[test]
    fn damaged_files_are_a_supervisor_that_is_gone() {
        let (_dir, attempt) = attempt();
        fs::write(attempt.dir().join("claim"), "").expect("written");
        fs::write(attempt.dir().join("status"), "{\"end\":").expect("written");
        assert_eq!(state(&attempt), State::Gone);
    }
}
