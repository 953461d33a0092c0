//! What a `pipeline` stage asks of the rest of the program: this room knows neither catalog nor engine's handle.

use async_trait::async_trait;
use serde_json::{Map, Value};

use crate::model::{Artifact, Execution, ExecutionId, ExecutionView, Parent};

/// Starts and follows executions for `pipeline` stages.
#[async_trait]
pub trait Pipelines: Send + Sync + 'static {
    /// Starts an execution of a published pipeline. The same correlation id starts once, however often it is asked:
    /// then the answer is what it started. If the future is dropped, the start takes place or not, and
    /// [`Pipelines::started`] tells.
    ///
    /// # Errors
    /// [`ChildError::Refused`] if there is no such pipeline, its parameters or artifacts are wrong, or it would run within itself;
    /// [`ChildError::Unavailable`] if that can't be told now.
    async fn start(&self, parent: &Execution, child: ChildStart) -> Result<ExecutionId, ChildError>;

    /// What was started with a correlation id; also by a start that was given up.
    ///
    /// # Errors
    /// If the store can't be asked, in words.
    async fn started(&self, correlation_id: &str) -> Result<Option<ExecutionId>, String>;

    /// An execution as it stands.
    ///
    /// # Errors
    /// If the store can't be asked, in words.
    async fn view(&self, id: ExecutionId) -> Result<Option<ExecutionView>, String>;

    /// Has an execution cancelled. One that has ended is left alone.
    ///
    /// # Errors
    /// If that can't be recorded, in words.
    async fn cancel(&self, id: ExecutionId, by: &str, reason: &str) -> Result<(), String>;

    /// Returns when an execution has ended, or may have.
    async fn ended(&self, id: ExecutionId);
}

/// An execution that a stage wants.
#[derive(Debug, Clone, PartialEq)]
pub struct ChildStart {
    /// The stage.
    pub parent: Parent,
    /// The application that has the pipeline.
    pub application: String,
    /// The pipeline's name or id.
    pub pipeline: String,
    /// The parameters, not yet checked.
    pub parameters: Map<String, Value>,
    /// What its parent was started with, and what the stages before this one yielded.
    pub artifacts: Vec<Artifact>,
    /// Names the start, so that it takes place once.
    pub correlation_id: String,
}

/// Why there is no child.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChildError {
    /// There never will be.
    #[error("{0}")]
    Refused(String),
    /// Try again.
    #[error("{0}")]
    Unavailable(String),
}

/// Where there are no other pipelines.
pub(in crate::stage) struct NoPipelines;

#[async_trait]
impl Pipelines for NoPipelines {
    async fn start(&self, _: &Execution, _: ChildStart) -> Result<ExecutionId, ChildError> {
        Err(ChildError::Refused("there are no other pipelines here".to_owned()))
    }

    async fn started(&self, _: &str) -> Result<Option<ExecutionId>, String> {
        Ok(None)
    }

    async fn view(&self, _: ExecutionId) -> Result<Option<ExecutionView>, String> {
        Ok(None)
    }

    async fn cancel(&self, _: ExecutionId, _: &str, _: &str) -> Result<(), String> {
        Ok(())
    }

    async fn ended(&self, _: ExecutionId) {}
}
