//! What happens to an execution, and what follows from it, as data.

use serde_json::Value;

use crate::engine::entry::Entry;
use crate::engine::freeze::Hold;
use crate::engine::{CancelReason, Outcome, Wake};
use crate::model::StagePath;

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The state was folded from the journal, for the first time or after a restart. Handlers that had something
    /// in hand are asked to go on.
    Loaded,
    /// A time has come; the state knows whose.
    Due,
    /// A handler answered.
    Answered {
        /// The stage.
        stage: u32,
        /// The number of the call.
        call: u64,
        /// Its answer.
        outcome: Outcome,
    },
    /// A handler's `cancel` returned.
    Cancelled {
        /// The stage.
        stage: u32,
        /// The number of the call.
        call: u64,
        /// It did not return in time, and was left alone.
        overdue: bool,
    },
    /// A signal for a stage: for one attempt if it names it (handlers do), else a person's judgment.
    Signal {
        /// The stage.
        path: StagePath,
        /// The attempt.
        attempt: Option<u32>,
        /// What `resume` is to know.
        payload: Value,
    },
    /// Somebody cancels the execution.
    Cancel {
        /// Who.
        by: String,
        /// Why.
        reason: Option<String>,
        /// A newer execution takes its place, and `by` is that one's commit, or its id.
        superseded: bool,
    },
    /// Somebody pauses it: what runs goes on, and no further stage starts.
    Pause {
        /// Who.
        by: String,
    },
    /// Somebody has a paused one go on.
    Resume {
        /// Who.
        by: String,
    },
    /// Somebody has a stage wait no longer: for a time, or for its window.
    Skip {
        /// The stage.
        path: StagePath,
        /// Who.
        by: String,
    },
    /// Somebody wants an execution that has ended to go on.
    Restart {
        /// From which stage on; without one, from all that failed or were cancelled.
        path: Option<StagePath>,
        /// Who.
        by: String,
        /// They said that it goes on although there may be a freeze.
        override_freeze: bool,
        /// What holds it back all the same.
        hold: Option<Hold>,
    },
    /// A freeze or its lane keeps it from beginning, or from going on after a restart. What runs takes no notice. That nothing
    /// holds it any more, [`Event::Loaded`] says.
    Held(Hold),
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Decision {
    /// What is to be written, in this order, all or nothing.
    pub entries: Vec<Entry>,
    /// What is to be done once that is on disk.
    pub actions: Vec<Action>,
    /// Why the event was not taken, if it could be refused.
    pub refused: Option<Refusal>,
    /// What could not be evaluated, in a dry run.
    pub notes: Vec<(u32, String)>,
}

/// A call of a handler.
#[derive(Debug, Clone, PartialEq)]
pub struct Action {
    /// The stage.
    pub stage: u32,
    /// The number that the answer must carry.
    pub call: u64,
    /// What to ask.
    pub ask: Ask,
}

/// What a handler is asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    /// To start.
    Start,
    /// To go on.
    Resume(Wake),
    /// To end what the attempt does outside; calls of the stage that are out are given up first.
    Cancel(CancelReason),
}

/// Why a signal, a cancellation or a restart was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such stage.
    NoSuchStage,
    /// The stage doesn't wait, or not in this attempt.
    NotWaiting,
    /// The stage has been given a signal already.
    AlreadySignalled,
    /// The payload is too large.
    TooLarge,
    /// The execution has ended.
    Complete,
    /// The execution has not ended.
    Running,
    /// The execution ended before it began.
    NeverBegan,
    /// The stage has not run.
    NotRun,
    /// No stage failed or was cancelled.
    NothingFailed,
    /// It has not begun, is held, or stops already: it can't be paused.
    NotPausable,
    /// It isn't paused.
    NotPaused,
    /// The stage waits for nothing that can be skipped.
    NotSkippable,
}
