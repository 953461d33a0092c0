//! The HTTP interface for programs (Gate): `/api/v1`, the webhooks, and the two health checks.
//!
//! Handlers turn a request into a question to the store, the engine or the triggers, and the answer into JSON
//! (FORMAT section 7). Whatever goes wrong is a [`problem`] (RFC 9457). [`guard()`] stands in front of it all, and of
//! the pages as well. What must not be cut short when a client hangs up runs in a task of its own.

mod catalog;
mod events;
mod executions;
mod freezes;
mod guard;
mod health;
mod logs;
mod metrics;
mod modules;
mod problem;
mod pull_requests;
mod removals;
mod replicas;
mod repositories;
mod request;
mod starts;
mod webhooks;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post, put};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub use guard::{REQUEST_DEADLINE, guard};
pub use metrics::Figures;

use crate::clock::Clock;
use crate::config::Config;
use crate::engine::{EngineError, Handle, LogSource};
use crate::forge::Forges;
use crate::store::{Store, StoreError};
use crate::trigger::Triggers;
use problem::Problem;

/// How many clients may listen for events at the same time.
const MAX_STREAMS: usize = 512;

/// What the handlers work with.
#[derive(Clone)]
pub struct ApiState {
    /// The configuration.
    pub config: Arc<Config>,
    /// The store, to read from.
    pub store: Store,
    /// The engine.
    pub engine: Handle,
    /// Where repositories live, and webhooks come from.
    pub forges: Forges,
    /// What starts pipelines.
    pub triggers: Triggers,
    /// Where the logs of stages are.
    pub logs: Arc<dyn LogSource>,
    /// How things stand, for `/metrics`.
    pub figures: Figures,
    /// The time.
    pub clock: Clock,
    /// Cancelled when the server begins to stop: it isn't ready any more, and streams of events end.
    pub stopping: CancellationToken,
}

/// [`ApiState`] and what is counted across requests.
#[derive(Clone)]
struct Shared {
    api: ApiState,
    streams: Arc<Semaphore>,
    /// Kibibytes that unverified webhooks may hold together.
    webhook_memory: Arc<Semaphore>,
}

/// The routes of the API. [`guard()`] must be put around them.
pub fn router(state: ApiState) -> Router {
    let webhook_memory = Arc::new(Semaphore::new(webhooks::memory_budget(state.config.limits.webhook_body)));
    let shared = Shared { api: state, streams: Arc::new(Semaphore::new(MAX_STREAMS)), webhook_memory };
    let v1 = Router::new()
        .route("/applications", get(catalog::applications))
        .route("/applications/{application}", get(catalog::application))
        .route("/applications/{application}/pipelines", get(catalog::pipelines))
        .route("/applications/{application}/pipelines/{pipeline}", get(catalog::pipeline))
        .route("/applications/{application}/pipelines/{pipeline}/executions", post(starts::start))
        .route("/executions", get(executions::list))
        .route("/executions/{id}", get(executions::one))
        .route("/executions/{id}/cancel", post(executions::cancel))
        .route("/executions/{id}/pause", post(executions::pause))
        .route("/executions/{id}/resume", post(executions::resume))
        .route("/executions/{id}/restart", post(executions::restart))
        .route("/executions/{id}/stages/{path}/restart", post(executions::restart_stage))
        .route("/executions/{id}/stages/{path}/skip", post(executions::skip))
        .route("/executions/{id}/stages/{path}/judge", post(executions::judge))
        .route("/executions/{id}/stages/{path}/log", get(logs::read))
        .route("/repositories", get(repositories::list))
        .route("/repositories/{*path}", get(repositories::below).post(removals::act))
        .route("/modules/{*path}", get(modules::below))
        .route("/diagnostics", get(repositories::diagnostics))
        .route("/freezes", get(freezes::list).put(freezes::freeze_all).delete(freezes::thaw_all))
        .route("/freezes/{application}", put(freezes::freeze_one).delete(freezes::thaw_one))
        .route("/replicas", get(replicas::list))
        .route("/events", get(events::stream))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method);
    Router::new()
        .nest("/api/v1", v1)
        .route("/api/{*rest}", axum::routing::any(unknown))
        .route("/webhooks/{*path}", post(webhooks::receive))
        .route("/metrics", get(metrics::metrics_text))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .method_not_allowed_fallback(wrong_method)
        .with_state(shared)
}

async fn unknown() -> Problem {
    Problem::not_found("the API has no such address")
}

async fn wrong_method() -> Problem {
    Problem::method_not_allowed()
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::BadCursor { .. } => Self::bad_request(error.to_string()),
            StoreError::Closed => Self::unavailable("Longboat is stopping"),
            error if error.is_outage() => Self::unavailable(error.to_string()),
            StoreError::TooLarge { .. } => Self::unprocessable("too-large", error.to_string()),
            other => Self::internal(other),
        }
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        let text = error.to_string();
        match error {
            EngineError::NotFound(_) | EngineError::NoSuchStage(_) => Self::not_found(text),
            EngineError::Complete(_) => Self::conflict("complete", text),
            EngineError::Running => Self::conflict("running", text),
            EngineError::NeverBegan => Self::conflict("never-began", text),
            EngineError::Removed(..) => Self::conflict("removed", text),
            EngineError::NotRun(_) => Self::conflict("not-run", text),
            EngineError::NothingFailed => Self::conflict("nothing-failed", text),
            EngineError::Compacted => Self::conflict("compacted", text),
            EngineError::NotPausable => Self::conflict("not-pausable", text),
            EngineError::NotPaused => Self::conflict("not-paused", text),
            EngineError::NotSkippable(_) => Self::conflict("not-skippable", text),
            EngineError::NotWaiting(_) => Self::conflict("not-waiting", text),
            EngineError::AlreadyJudged(_) => Self::conflict("already-judged", text),
            EngineError::Refused(_) => Self::unprocessable("refused", text),
            EngineError::Stopped | EngineError::Moved | EngineError::Failed(_) | EngineError::Unheeded(_) => {
                Self::unavailable(text)
            }
            EngineError::Unreadable(_) => Self::internal(text),
            EngineError::Store(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests;
