//! What the loop keeps of an execution while it is in memory.

use std::collections::VecDeque;

use tokio::task::JoinHandle;

use super::calls::Answering;
use crate::clock::Timestamp;
use crate::engine::decide::{Action, Event};
use crate::engine::handle::{Command, Reply};
use crate::engine::state::State;
use crate::engine::{Changed, EngineError};
use crate::model::StatusState;
use crate::store::{Shard, Shards};

/// An execution that the loop knows.
pub(super) enum Slot {
    /// It is being read; this came in the meantime.
    Loading(Vec<Incoming>),
    /// It is here.
    Live(Box<Live>),
    /// It can't be gone on with; that is being recorded, and then these are told. What comes meanwhile is looked at
    /// after that.
    Closing { shard: Shard, batch: u64, changed: Changed, answers: Vec<Answer>, later: Vec<Incoming> },
}

impl Slot {
    /// Whether it is known to be of one of these shards.
    pub(super) fn is_of(&self, shards: Shards) -> bool {
        match self {
            Self::Live(live) => shards.contains(live.shard),
            Self::Closing { shard, .. } => shards.contains(*shard),
            Self::Loading(_) => false,
        }
    }
}

/// Something that came for an execution.
pub(super) struct Incoming {
    pub(super) what: What,
    pub(super) reply: Option<Reply>,
}

pub(super) enum What {
    Event(Event),
    Command(Command),
}

impl Incoming {
    /// Whether somebody wants an execution that has ended to go on.
    pub(super) fn is_restart(&self) -> bool {
        matches!(self.what, What::Command(Command::Restart { .. }))
    }
}

impl From<Event> for Incoming {
    fn from(event: Event) -> Self {
        Self { what: What::Event(event), reply: None }
    }
}

/// Somebody who waits, and what they will be told once the commit is there.
pub(super) type Answer = (Reply, Result<(), EngineError>);

/// An execution with its state.
pub(super) struct Live {
    pub(super) state: State,
    /// Its shard.
    pub(super) shard: Shard,
    /// The number of its latest journal row.
    pub(super) seq: i64,
    /// The row that is on its way, or the last one, says that it begins.
    pub(super) began: bool,
    /// The store has it as ended: it is here to be restarted, and the row that does so brings it back among the live.
    pub(super) ended: bool,
    /// What its commit status says.
    pub(super) said: Option<(StatusState, String)>,
    /// What happened and was not decided yet.
    pub(super) events: VecDeque<Incoming>,
    /// Whether it stands in the queue of those to be decided.
    pub(super) queued: bool,
    /// Whether a row of it is on its way; it is not decided about until that is there.
    pub(super) committing: bool,
    /// The batch in which its latest row is.
    pub(super) batch: u64,
    /// What to call once the row is there.
    pub(super) actions: Vec<Action>,
    /// Calls without an effect that were begun before the row is there, and need longer.
    pub(super) thinking: Vec<(Action, Answering)>,
    /// Whom to tell once the row is there.
    pub(super) answers: Vec<Answer>,
    /// Handlers' calls that are out.
    pub(super) calls: Vec<Call>,
    /// When it is looked at.
    pub(super) armed: Option<Timestamp>,
}

/// A handler's call that runs as a task of its own; given up when dropped.
pub(super) struct Call {
    pub(super) stage: u32,
    pub(super) number: u64,
    pub(super) task: Option<JoinHandle<()>>,
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Call {
    /// Gives the call up, and lets somebody wait until its future is gone.
    pub(super) fn give_up(mut self) -> Option<JoinHandle<()>> {
        let task = self.task.take()?;
        task.abort();
        Some(task)
    }
}
