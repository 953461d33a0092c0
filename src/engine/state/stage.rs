//! One stage of an execution: where it is in its life, and what is known of it.

use serde_json::{Map, Value};

use crate::clock::Timestamp;
use crate::model::{SecretUse, Status};

/// One stage.
#[derive(Debug, Clone, PartialEq)]
pub struct StageState {
    /// Where it is in its life.
    pub phase: Phase,
    /// The latest attempt, from 1; 0 before the first. Goes on counting when the stage is restarted.
    pub attempt: u32,
    /// How many attempts had been made when the stage was restarted.
    pub before: u32,
    /// How many attempts since then were lost rather than failed.
    pub lost: u32,
    /// When the first attempt since then started: the stage's timeout counts from here.
    pub started_at: Option<Timestamp>,
    /// When the latest attempt started.
    pub attempt_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// When it came into its present phase.
    pub phase_at: Option<Timestamp>,
    /// Who had it start outside of its window.
    pub window_skipped_by: Option<String>,
    /// What it yielded.
    pub outputs: Map<String, Value>,
    /// Why it failed, or its latest attempt did.
    pub error: Option<String>,
    /// Its fields as evaluated, where they differ from the definition.
    pub fields: Option<Map<String, Value>>,
    /// Where secrets belong in them.
    pub secrets: Vec<SecretUse>,
    /// Of a stage that became several: the instance whose failure ends the others.
    pub failed_first: Option<u32>,
    /// A signal that the handler has not worked off.
    pub signal: Option<Value>,
    /// The handler's call that is out. Not from the journal.
    pub call: Option<Call>,
}

/// Where a stage is in its life.
#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    /// Not begun.
    Idle,
    /// It could start, and waits for its window.
    Window {
        /// When that opens.
        until: Timestamp,
    },
    /// An attempt started, and its handler has never answered.
    InFlight,
    /// The attempt waits.
    Waiting {
        /// When it goes on by itself.
        until: Option<Timestamp>,
        /// What it waits for, in words.
        waiting_for: String,
        /// What the handler wants to know.
        checkpoint: Value,
    },
    /// The attempt goes on outside.
    Polling {
        /// When it is looked at again.
        until: Timestamp,
        /// What the handler wants to know.
        checkpoint: Value,
    },
    /// An attempt failed, and another follows.
    Backoff {
        /// When.
        until: Timestamp,
    },
    /// It has become several, and they are not all over.
    Spread,
    /// What the attempt does outside is being ended.
    Cancelling {
        /// Because the stage itself ran for too long.
        timed_out: bool,
        /// What the handler wants to know.
        checkpoint: Option<Value>,
    },
    /// Ended, with a complete status.
    Ended(Status),
}

/// A handler's call that is out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Its number.
    pub number: u64,
    /// Whether the stage's signal went with it.
    pub took_signal: bool,
}

impl StageState {
    pub(super) fn new() -> Self {
        Self {
            phase: Phase::Idle,
            attempt: 0,
            before: 0,
            lost: 0,
            started_at: None,
            attempt_at: None,
            ended_at: None,
            phase_at: None,
            window_skipped_by: None,
            outputs: Map::new(),
            error: None,
            fields: None,
            secrets: Vec::new(),
            failed_first: None,
            signal: None,
            call: None,
        }
    }

    /// The stage's status in Spinnaker's words. Who waits is running, too.
    pub const fn status(&self) -> Status {
        match self.phase {
            Phase::Idle => Status::NotStarted,
            Phase::Ended(status) => status,
            Phase::Window { .. }
            | Phase::InFlight
            | Phase::Waiting { .. }
            | Phase::Polling { .. }
            | Phase::Backoff { .. }
            | Phase::Spread
            | Phase::Cancelling { .. } => Status::Running,
        }
    }

    /// Whether it failed or was cancelled, and is not ignored.
    pub(super) const fn is_broken(&self) -> bool {
        matches!(self.status(), Status::Terminal | Status::Stopped | Status::Canceled)
    }

    /// What the handler wanted to know when it goes on.
    pub const fn checkpoint(&self) -> Option<&Value> {
        match &self.phase {
            Phase::Waiting { checkpoint, .. } | Phase::Polling { checkpoint, .. } => Some(checkpoint),
            Phase::Cancelling { checkpoint, .. } => checkpoint.as_ref(),
            Phase::Idle
            | Phase::Window { .. }
            | Phase::InFlight
            | Phase::Backoff { .. }
            | Phase::Spread
            | Phase::Ended(_) => None,
        }
    }

    /// How many attempts failed or run, since the stage was restarted; those that were lost don't count.
    pub const fn tried(&self) -> u32 {
        self.attempt.saturating_sub(self.before + self.lost)
    }

    pub(super) fn keep_signal(&mut self, keep: bool) {
        if !keep {
            self.signal = None;
        }
    }
}

impl Phase {
    /// Whether it has begun and not ended. What became several is active by its instances.
    pub(in crate::engine) const fn is_active(&self) -> bool {
        !matches!(self, Self::Idle | Self::Spread | Self::Ended(_))
    }
}
