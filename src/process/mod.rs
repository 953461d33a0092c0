//! Programs that Longboat starts: in process groups of their own, with deadlines, bounded output and a
//! cleared environment; and processes that outlived the Longboat that started them.
//!
//! A process is recognised by its number and its start time, never by the number alone, because numbers
//! are given out again. No shell stands between Longboat and a program.

mod command;
mod identity;
mod restrict;
mod tree;

pub use command::{Command, Output, run};
pub use identity::{is_alive, start_time_of};
pub use restrict::{Restrictions, restrict};
pub use tree::{KillSignal, descendants, group_members, kill_group, kill_tree, signal_group};

use std::path::PathBuf;
use std::time::Duration;

/// Why a program gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// There is no such program.
    #[error("the program `{program}` was not found: install it, or put it on the PATH")]
    NotFound {
        /// As it was asked for.
        program: String,
    },
    /// It could not be started.
    #[error("the program `{program}` could not be started: {source}")]
    Start {
        /// As it was asked for.
        program: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// It did not end in time; its whole group was killed.
    #[error("the program `{program}` did not end within {}", crate::model::humanize(*.after))]
    TimedOut {
        /// As it was asked for.
        program: String,
        /// The deadline.
        after: Duration,
        /// What it had written to standard error until then.
        stderr: Vec<u8>,
    },
    /// Talking to it failed.
    #[error("talking to the program `{program}` failed: {source}")]
    Io {
        /// As it was asked for.
        program: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A signal could not be sent.
    #[error("process group {group} could not be signalled: {source}")]
    Signal {
        /// The group.
        group: u32,
        /// The system's reason.
        source: std::io::Error,
    },
}

/// This program, to be started once more; also after its file was replaced by a newer version.
pub fn own_program() -> PathBuf {
    let running = PathBuf::from("/proc/self/exe");
    if running.exists() { running } else { std::env::current_exe().unwrap_or_else(|_| "longboat".into()) }
}
