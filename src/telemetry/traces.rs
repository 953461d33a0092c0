//! Executions as traces: one trace an execution, one span a stage, sent when the execution has ended.
//!
//! The times are the journal's, so that a trace says what the page says, also after a restart. Sending is in `otlp`,
//! a feature of the build; without it nothing is collected.

use crate::clock::Timestamp;

/// An execution that ended, as a trace.
#[derive(Debug, Clone, PartialEq)]
pub struct ExecutionTrace {
    /// The execution's id; it is the trace's id as well.
    pub id: uuid::Uuid,
    /// Application and pipeline.
    pub name: String,
    /// Its status in Spinnaker's words.
    pub status: &'static str,
    /// Whether that is a good end.
    pub good: bool,
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// The repository and the commit.
    pub source: Option<(String, String)>,
    /// The stages that began.
    pub stages: Vec<StageTrace>,
}

/// A stage of an execution that ended.
#[derive(Debug, Clone, PartialEq)]
pub struct StageTrace {
    /// Its path.
    pub path: String,
    /// Its type.
    pub kind: String,
    /// Its status in Spinnaker's words.
    pub status: &'static str,
    /// Whether that is a good end.
    pub good: bool,
    /// When its first attempt began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// How many attempts it took.
    pub attempts: u32,
}

/// Hands a trace over, if anybody collects them: else it isn't even put together.
pub fn trace(make: impl FnOnce() -> Option<ExecutionTrace>) {
    #[cfg(feature = "otlp")]
    super::otlp::send(make);
    #[cfg(not(feature = "otlp"))]
    drop(make);
}
