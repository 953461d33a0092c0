//! On which node scripts run, where several replicas share the executions.
//!
//! A script's files and processes are on one node. Before it is begun, its attempt is placed there, durably; a replica
//! that is asked to go on with an attempt of another node knows by that that it can't.

use async_trait::async_trait;

use crate::model::{ExecutionKey, StagePath};

/// Where an attempt was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whereabouts {
    /// On this node.
    Here,
    /// On another one.
    Elsewhere {
        /// The name of the replica that began it, for people.
        replica: String,
    },
}

/// Knows where attempts were begun. The answers are durable: an attempt never moves.
#[async_trait]
pub trait Placements: Send + Sync + 'static {
    /// Asks for an attempt before it is begun. When it returns, nobody else begins it, or somebody else has it.
    ///
    /// # Errors
    /// If that can't be told now, it may be known later; or if the execution has gone over to another replica meanwhile.
    async fn place(&self, execution: ExecutionKey, stage: &StagePath, attempt: u32) -> Result<Whereabouts, String>;

    /// Where an attempt was begun; nothing if nowhere.
    ///
    /// # Errors
    /// As [`Placements::place`].
    async fn find(
        &self,
        execution: ExecutionKey,
        stage: &StagePath,
        attempt: u32,
    ) -> Result<Option<Whereabouts>, String>;
}
