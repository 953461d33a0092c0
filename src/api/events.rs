//! `GET /events`: what changes, as server-sent events.
//!
//! An event says that an execution changed, not what it looks like now; who wants to know asks. So nothing
//! is lost when a slow client misses some: it gets one `lagged` event and asks about everything it shows.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt as _, future, stream};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, broadcast};
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;

use super::Shared;
use super::problem::Problem;
use super::request::{Params, parse_filter};
use crate::engine::Changed;
use crate::model::ExecutionId;

/// How often a silent stream says that it lives; proxies close connections that say nothing for a minute.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// How long a client waits before it comes back.
const RETRY: Duration = Duration::from_secs(2);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    execution: Option<String>,
}

/// Answers `GET /events`.
pub(super) async fn stream(State(shared): State<Shared>, Params(filter): Params<Filter>) -> Result<Response, Problem> {
    let only: Option<ExecutionId> = parse_filter(filter.execution.as_deref(), "execution")?;
    let full = |_| Problem::unavailable("too many clients listen for events");
    let place = shared.streams.try_acquire_owned().map_err(full)?;
    let stopping = shared.api.stopping.clone().cancelled_owned();
    Ok(answer(shared.api.engine.subscribe(), only, place, stopping))
}

/// The stream as an answer; it ends when the server stops, and gives `place` back when it goes.
fn answer(
    changes: broadcast::Receiver<Changed>,
    only: Option<ExecutionId>,
    place: OwnedSemaphorePermit,
    stopping: impl Future<Output = ()> + Send + 'static,
) -> Response {
    let hello = stream::once(async { Event::default().retry(RETRY).comment("listening") });
    let events = BroadcastStream::new(changes).filter_map(move |change| {
        let _held = &place;
        future::ready(event(change, only))
    });
    let events = hello.chain(events).map(Ok::<_, Infallible>).take_until(stopping);
    Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response()
}

fn event(change: Result<Changed, BroadcastStreamRecvError>, only: Option<ExecutionId>) -> Option<Event> {
    match change {
        // Too many at another replica to be named.
        Ok(change) if change == Changed::MANY => {
            Some(Event::default().event("lagged").data(json!({"missed": null}).to_string()))
        }
        Ok(change) if only.is_none_or(|only| only == change.id) => {
            let data = json!({"id": change.id, "status": change.status, "seq": change.seq});
            Some(Event::default().event("changed").data(data.to_string()))
        }
        Ok(_) => None,
        Err(BroadcastStreamRecvError::Lagged(missed)) => {
            Some(Event::default().event("lagged").data(json!({"missed": missed}).to_string()))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::*;
    use crate::model::Status;

    fn change(number: u128, seq: i64) -> Changed {
        Changed { id: ExecutionId(uuid::Uuid::from_u128(number)), status: Status::Running, seq }
    }

    #[tokio::test]
    async fn a_slow_client_is_told_that_it_missed_something() {
        let places = Arc::new(Semaphore::new(1));
        let sender = broadcast::Sender::new(4);
        let place = Arc::clone(&places).try_acquire_owned().expect("a place");
        let response = answer(sender.subscribe(), Some(change(1, 0).id), place, future::pending());
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        for seq in 0..10 {
            sender.send(change(1 + u128::from(seq % 2 == 1), seq)).expect("somebody listens");
        }
        drop(sender);
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 16).await.expect("it ends with the engine");
        let text = String::from_utf8(bytes.to_vec()).expect("text");
        assert!(
            text.starts_with(": listening\nretry: 2000\n\n") || text.starts_with("retry: 2000\n: listening\n\n"),
            "{text}"
        );
        assert!(text.contains("event: lagged\ndata: {\"missed\":6}\n\n"), "{text}");
        let changed: Vec<&str> = text.lines().filter(|line| line.contains("seq")).collect();
        assert_eq!(changed.len(), 2, "only the one that was asked for: {text}");
        assert!(changed[1].ends_with("\"status\":\"RUNNING\",\"seq\":8}"), "{text}");
        assert_eq!(places.available_permits(), 1, "the place is free again");
    }

    #[test]
    fn whoever_can_t_be_told_what_changed_elsewhere_is_told_to_look() {
        let told = event(Ok(Changed::MANY), Some(change(1, 0).id)).map(|event| format!("{event:?}"));
        assert!(told.is_some_and(|told| told.contains("lagged")));
    }
}
