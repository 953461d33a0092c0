//! The servers that share the database: who they are, and who does what.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::{Value, json};

use super::Shared;
use super::problem::Problem;
use crate::store::{Duty, ReplicaState, disagree};

/// A replica as the API shows it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View {
    id: String,
    name: String,
    /// The id of its state folder.
    node: String,
    version: String,
    /// Whether it is the one that answers.
    own: bool,
    /// `alive`; `leaving`: it is about to stop; `lost`: its lease is over.
    state: &'static str,
    started_time: String,
    lease_until: String,
    /// How many of the 64 shards are its own.
    shards: usize,
    duties: Vec<&'static str>,
    /// A digest of what all replicas should be configured with alike.
    configuration: String,
}

impl From<ReplicaState> for View {
    fn from(replica: ReplicaState) -> Self {
        Self {
            state: replica.state(),
            own: replica.own,
            started_time: replica.started_at.to_rfc3339(),
            lease_until: replica.lease_until.to_rfc3339(),
            shards: replica.shards.len(),
            duties: replica.duties.iter().copied().map(Duty::as_str).collect(),
            id: replica.id,
            name: replica.said.name,
            node: replica.said.node,
            version: replica.said.version,
            configuration: replica.said.digest,
        }
    }
}

/// Answers `GET /replicas`: those that joined first before the others; none, if the server has the database for itself.
pub(super) async fn list(State(shared): State<Shared>) -> Result<Json<Value>, Problem> {
    let replicas = shared.api.store.replicas().await?;
    let differ = disagree(&replicas);
    let items: Vec<View> = replicas.into_iter().map(View::from).collect();
    Ok(Json(json!({
        "items": items,
        "nextCursor": null,
        "shared": shared.api.store.is_shared(),
        "configurationsDiffer": differ,
        "time": shared.api.clock.now().to_rfc3339(),
    })))
}

/// The replica that has an execution which has not ended.
#[derive(Serialize)]
pub(super) struct Holder {
    id: String,
    name: String,
    state: &'static str,
}

impl From<ReplicaState> for Holder {
    fn from(replica: ReplicaState) -> Self {
        Self { state: replica.state(), id: replica.id, name: replica.said.name }
    }
}
