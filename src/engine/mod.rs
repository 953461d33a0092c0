//! Orca's part: runs executions, durably.
//!
//! The engine knows no stage types, providers, forges or notifiers. Stage types implement [`StageHandler`], and
//! whoever puts the program together fills a [`Registry`] with them.
//!
//! - `decide` is the pure heart: from a state, an event and the time follow journal entries and calls of handlers.
//! - `state` is the fold of the journal, with every legal transition spelt out; `entry` is how a row is written,
//!   `plan` the graph, `evaluate` the expressions, `limits` the bounds.
//! - `view` and `status_text` are what people see of it.

mod decide;
mod entry;
mod evaluate;
mod handler;
mod limits;
mod logs;
mod plan;
mod registry;
mod state;
mod status_text;
mod view;

pub use handler::{
    CancelReason, Effect, Failure, Outcome, SentSignal, SignalError, Signals, StageContext, StageHandler, Wake,
};
pub use logs::{LogChunk, LogSource};
pub use registry::Registry;

#[cfg(test)]
mod tests;
