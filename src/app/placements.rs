//! Where scripts were begun, kept in the store.

use async_trait::async_trait;
use uuid::Uuid;

use crate::model::{ExecutionKey, StagePath};
use crate::stage::{Placements, Whereabouts};
use crate::store::{Placed, Placement, Store};

/// The placements of one node.
pub(super) struct InStore {
    pub(super) store: Store,
    pub(super) node: Uuid,
    /// This replica's name, for people.
    pub(super) replica: String,
}

impl InStore {
    fn seen(&self, placed: Placed) -> Whereabouts {
        if placed.node == self.node { Whereabouts::Here } else { Whereabouts::Elsewhere { replica: placed.replica } }
    }
}

#[async_trait]
impl Placements for InStore {
    async fn place(&self, execution: ExecutionKey, stage: &StagePath, attempt: u32) -> Result<Whereabouts, String> {
        let replica = self.replica.clone();
        let placement = Placement { execution, stage: stage.clone(), attempt, node: self.node, replica };
        let placed = self.store.place(placement).await.map_err(|error| error.to_string())?;
        // It took a while, and this process may have been stopped in it.
        if !self.store.holds(placed.shard) {
            return Err("the execution goes on at another replica".to_owned());
        }
        Ok(self.seen(placed))
    }

    async fn find(
        &self,
        execution: ExecutionKey,
        stage: &StagePath,
        attempt: u32,
    ) -> Result<Option<Whereabouts>, String> {
        let placed = self.store.placed(execution, stage, attempt).await.map_err(|error| error.to_string())?;
        Ok(placed.map(|placed| self.seen(placed)))
    }
}
