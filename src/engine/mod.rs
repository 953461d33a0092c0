//! Orca's part: runs executions, durably.
//!
//! The engine knows no stage types, providers, forges or notifiers; stage types implement [`StageHandler`].

mod handler;
mod logs;

pub use handler::{
    CancelReason, Effect, Failure, Outcome, SentSignal, SignalError, Signals, StageContext, StageHandler, Wake,
};
pub use logs::{LogChunk, LogSource};
