//! What `pipeline` stages ask for, answered by the engine, the store, and the part that starts executions.
//!
//! Stage types are made before the engine runs, and the engine may ask them at once: whoever asks before all is
//! connected waits for that.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{SetOnce, oneshot};

use crate::engine::{Changed, EngineError, Handle};
use crate::model::{Execution, ExecutionId, ExecutionView};
use crate::stage::{ChildError, ChildStart, Pipelines};
use crate::store::Store;
use crate::trigger::{ChildRequest, Children, StartError};

/// How often it is looked whether an execution has ended that another replica may have.
const LOOK: Duration = Duration::from_secs(3);

/// The engine and what starts executions, once they are there; cheap to clone.
#[derive(Clone, Default)]
pub(super) struct SubPipelines(Arc<Shared>);

#[derive(Default)]
struct Shared {
    connected: SetOnce<Connected>,
    /// Who waits for the end of which execution.
    waiting: Mutex<HashMap<ExecutionId, Vec<oneshot::Sender<()>>>>,
}

struct Connected {
    children: Children,
    engine: Handle,
}

impl SubPipelines {
    /// From now on, questions are answered. To be called once, within the runtime.
    pub(super) fn connect(&self, children: Children, engine: Handle) {
        let changes = engine.subscribe();
        if self.0.connected.set(Connected { children, engine }).is_ok() {
            tokio::spawn(tell(Arc::downgrade(&self.0), changes));
        }
    }

    async fn connected(&self) -> &Connected {
        self.0.connected.wait().await
    }
}

/// Tells of every end; one task for all who wait.
async fn tell(shared: std::sync::Weak<Shared>, mut changes: tokio::sync::broadcast::Receiver<Changed>) {
    loop {
        let change = changes.recv().await;
        let Some(shared) = shared.upgrade() else { return };
        let mut waiting = shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        match change {
            Ok(change) if change == Changed::MANY => waiting.clear(),
            Ok(change) if change.status.is_complete() => drop(waiting.remove(&change.id)),
            Ok(_) => {}
            // Whoever was missed is among them: they look for themselves.
            Err(RecvError::Lagged(_)) => waiting.clear(),
            Err(RecvError::Closed) => return,
        }
    }
}

/// Whether an execution has ended, as far as is known.
async fn is_over(store: &Store, id: ExecutionId) -> bool {
    let there = store.execution(id).await;
    there.is_ok_and(|there| there.is_none_or(|there| there.status.is_complete()))
}

#[async_trait]
impl Pipelines for SubPipelines {
    async fn start(&self, parent: &Execution, child: ChildStart) -> Result<ExecutionId, ChildError> {
        let ChildStart { parent: by, application, pipeline, parameters, artifacts, correlation_id } = child;
        let request = ChildRequest { parent: by, application, pipeline, parameters, artifacts, correlation_id };
        match self.connected().await.children.start(parent, request).await {
            Ok(started) => Ok(started.id),
            Err(error @ (StartError::Store(_) | StartError::Git(_))) => Err(ChildError::Unavailable(error.to_string())),
            Err(error) => Err(ChildError::Refused(error.to_string())),
        }
    }

    async fn started(&self, correlation_id: &str) -> Result<Option<ExecutionId>, String> {
        let found = self.connected().await.children.store.started_by(correlation_id).await;
        found.map(|found| found.map(|(_, id)| id)).map_err(|error| error.to_string())
    }

    async fn view(&self, id: ExecutionId) -> Result<Option<ExecutionView>, String> {
        self.connected().await.engine.view(id).await.map_err(|error| error.to_string())
    }

    async fn cancel(&self, id: ExecutionId, by: &str, reason: &str) -> Result<(), String> {
        match self.connected().await.engine.cancel(id, by, Some(reason)).await {
            Ok(()) | Err(EngineError::Complete(_) | EngineError::NotFound(_)) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn ended(&self, id: ExecutionId) {
        let connected = self.connected().await;
        let (told, ended) = oneshot::channel();
        {
            let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let those = waiting.entry(id).or_default();
            // Some may have given up waiting.
            those.retain(|one| !one.is_closed());
            those.push(told);
        }
        tokio::pin!(ended);
        // It may have ended before; and what another replica does may not be heard of.
        while !is_over(&connected.children.store, id).await {
            let look = async {
                if connected.engine.is_shared() {
                    connected.children.clock.sleep(LOOK).await;
                } else {
                    std::future::pending().await
                }
            };
            tokio::select! {
                // Telling is dropping: either way it's over.
                _ = &mut ended => return,
                () = look => {}
            }
        }
    }
}
