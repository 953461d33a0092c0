//! Orca's part: runs executions, durably.
//!
//! The engine knows no stage types, providers, forges or notifiers. Stage types implement [`StageHandler`], and
//! whoever puts the program together fills a [`Registry`] with them.
//!
//! - `decide` is the pure heart: from a state, an event and the time follow journal entries and calls of handlers.
//! - `state` is the fold of the journal, `legal` spells out every legal transition, `entry` is how a row is written,
//!   `plan` the graph, `freeze` and `lanes` what keeps executions from beginning, `evaluate` the expressions, `limits` the bounds.
//! - `shell` is what makes it durable: one loop that decides, commits, and only then calls handlers. [`Engine`] is
//!   its owner, [`Handle`] the way to speak to it. Of several replicas each runs the executions of its own shards (`shell::shards`),
//!   and `wish` is how what people ask reaches the one that has the execution.
//! - `dry_run` goes through the graph by the same rules, without any effect.
//! - `view` and `status_text` are what people see of it.

mod artifacts;
mod decide;
mod dry_run;
mod entry;
mod evaluate;
mod freeze;
mod handle;
mod handler;
mod lanes;
mod legal;
mod limits;
mod logs;
mod plan;
mod registry;
mod shell;
mod state;
mod status_text;
mod view;
mod wish;

pub use artifacts::produced;
pub use dry_run::chosen_outcome;
pub use entry::VERSION as JOURNAL_VERSION;
pub use handle::{Changed, EngineError, Handle, stored_view};
pub use handler::{
    CancelReason, Effect, Failure, Judgment, Outcome, SentSignal, SignalError, Signals, StageContext, StageHandler,
    Verdict, Wake,
};
pub use logs::{LogChunk, LogSource};
pub use registry::{Censor, Registry};
pub use shell::{Engine, EngineOptions};

#[cfg(test)]
mod tests;
