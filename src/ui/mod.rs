//! The pages (Deck): made on the server, kept up to date by a small script.
//!
//! A page is a view (plain data, `view`) put into a template (`render`); the templates and what browsers
//! fetch beside the pages are inside the binary (`assets`). The part of a page that lives is a fragment of
//! its own, which the script fetches again when the API's stream of events says that something changed. Without
//! the script everything can be read. What a person decides goes through the API, like a program's decisions.

mod assets;
mod graph;
mod lists;
mod login;
mod one;
mod pulls;
mod render;
mod replicas;
mod repository;
mod view;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;

use crate::clock::Clock;
use crate::config::{Access, Config};
use crate::engine::{Handle, LogSource};
use crate::model::ApplicationName;
use crate::store::{Store, StoreError};
use view::FreezeNote;

/// What the pages are made from.
#[derive(Clone)]
pub struct UiState {
    /// The configuration.
    pub config: Arc<Config>,
    /// The store, to read from.
    pub store: Store,
    /// The engine.
    pub engine: Handle,
    /// Where the logs of stages are.
    pub logs: Arc<dyn LogSource>,
    /// The time.
    pub clock: Clock,
}

impl UiState {
    /// Whether people sign in, and thus can sign out.
    fn signs_in(&self) -> bool {
        !Access::new(&self.config).is_open()
    }

    /// The freezes that a page of an application has to tell of: its own, and that of everything. Without an
    /// application, only the latter.
    async fn freezes(&self, application: Option<&ApplicationName>) -> Result<Vec<FreezeNote>, StoreError> {
        let freezes = self.store.freezes().await?;
        let about = freezes.iter().filter(|freeze| match &freeze.application {
            Some(_) => application.is_some_and(|application| freeze.is_about(application)),
            None => true,
        });
        Ok(about.map(FreezeNote::from).collect())
    }

    /// All freezes, for a page that shows all applications.
    async fn all_freezes(&self) -> Result<Vec<FreezeNote>, StoreError> {
        Ok(self.store.freezes().await?.iter().map(FreezeNote::from).collect())
    }
}

/// The routes of the pages, and the answer to every address that nobody else answers. `api::guard` must be
/// put around them.
pub fn router(state: UiState) -> Router {
    Router::new()
        .route("/", get(lists::executions))
        .route("/executions", get(|| async { Redirect::permanent("/") }))
        .route("/executions/{id}", get(one::page))
        .route("/executions/{id}/stages/{path}/log", get(one::whole_log))
        .route("/applications", get(lists::applications))
        .route("/repositories", get(lists::repositories))
        .route("/repositories/{*path}", get(repository::page))
        .route("/replicas", get(replicas::page))
        .route("/fragments/replicas", get(replicas::fragment))
        .route("/fragments/executions", get(lists::executions_fragment))
        .route("/fragments/executions/{id}", get(one::fragment))
        .route("/fragments/repositories", get(lists::repositories_fragment))
        .route("/fragments/repositories/{*path}", get(repository::fragment))
        .route("/login", get(login::form).post(login::submit).layer(DefaultBodyLimit::max(login::MAX_BODY)))
        .route("/assets/{name}", get(assets::serve))
        .route("/favicon.ico", get(|| async { Redirect::permanent("/assets/mark.svg") }))
        .fallback(|| async { not_found("There is nothing at this address.") })
        .with_state(state)
}

fn not_found(text: &str) -> Response {
    render::message(StatusCode::NOT_FOUND, "Not found", text)
}

/// Why there is no page.
enum Refusal {
    /// No such thing.
    NotFound(&'static str),
    /// The address itself is wrong.
    BadRequest(String),
    /// Our fault.
    Failed(String),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::BadCursor { .. } => Self::BadRequest(error.to_string()),
            other => Self::Failed(other.to_string()),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::NotFound(text) => not_found(text),
            Self::BadRequest(text) => render::message(StatusCode::BAD_REQUEST, "That can't be shown", &text),
            Self::Failed(cause) => render::failed(cause),
        }
    }
}

#[cfg(test)]
mod tests;
