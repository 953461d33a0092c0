//! The twelve statuses of executions, stages and tasks, in Spinnaker's words (Orca's `ExecutionStatus`).

use std::fmt;

use serde::{Deserialize, Serialize};

/// How an execution, a stage or a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// Waits for its turn.
    NotStarted,
    /// Held back because of load.
    Buffered,
    /// In progress.
    Running,
    /// Paused by a person.
    Paused,
    /// Waits for something outside: an approval, a time, a signal.
    Suspended,
    /// A task loop that goes round again.
    Redirect,
    /// Ended well.
    Succeeded,
    /// Left out, because its condition said so or a person did.
    Skipped,
    /// Failed, and what comes after it runs all the same.
    FailedContinue,
    /// Failed; this branch ends, others go on.
    Stopped,
    /// Failed, and the execution with it.
    Terminal,
    /// Cancelled.
    Canceled,
}

impl Status {
    /// All twelve.
    pub const ALL: [Self; 12] = [
        Self::NotStarted,
        Self::Buffered,
        Self::Running,
        Self::Paused,
        Self::Suspended,
        Self::Redirect,
        Self::Succeeded,
        Self::Skipped,
        Self::FailedContinue,
        Self::Stopped,
        Self::Terminal,
        Self::Canceled,
    ];

    /// Spinnaker's spelling, as the API and the store have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotStarted => "NOT_STARTED",
            Self::Buffered => "BUFFERED",
            Self::Running => "RUNNING",
            Self::Paused => "PAUSED",
            Self::Suspended => "SUSPENDED",
            Self::Redirect => "REDIRECT",
            Self::Succeeded => "SUCCEEDED",
            Self::Skipped => "SKIPPED",
            Self::FailedContinue => "FAILED_CONTINUE",
            Self::Stopped => "STOPPED",
            Self::Terminal => "TERMINAL",
            Self::Canceled => "CANCELED",
        }
    }

    /// Reads Spinnaker's spelling.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Whether it is a good end: what comes after may start.
    pub const fn is_good(self) -> bool {
        matches!(self, Self::Succeeded | Self::Skipped)
    }

    /// Whether it will not change any more by itself.
    pub const fn is_complete(self) -> bool {
        matches!(
            self,
            Self::Succeeded | Self::Skipped | Self::FailedContinue | Self::Stopped | Self::Terminal | Self::Canceled
        )
    }

    /// Whether stages that need this one may start.
    pub const fn lets_downstream_start(self) -> bool {
        matches!(self, Self::Succeeded | Self::Skipped | Self::FailedContinue)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}
