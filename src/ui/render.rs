//! Templates into HTML. Every value is escaped by the template engine; no page marks anything as safe.

use std::sync::LazyLock;

use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde::Serialize;
use uuid::Uuid;

use super::assets;

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.add_function("asset", |name: String| assets::address(&name).unwrap_or_default());
    for (name, text) in assets::TEMPLATES.iter() {
        if let Err(error) = environment.add_template(name, text) {
            // A test loads them all, so this can't happen in a release.
            tracing::error!(name, %error, "a page's template can't be read");
        }
    }
    environment
});

/// Renders a template.
///
/// # Errors
/// If the template uses what isn't there: a mistake of ours.
pub(super) fn render(template: &str, values: impl Serialize) -> Result<String, minijinja::Error> {
    ENVIRONMENT.get_template(template)?.render(minijinja::value::Serde(values))
}

/// A page as an answer.
pub(super) fn page(status: StatusCode, template: &str, values: impl Serialize) -> Response {
    match render(template, values) {
        Ok(html) => (status, Html(html)).into_response(),
        Err(error) => failed(error),
    }
}

/// A page that says something short.
pub(super) fn message(status: StatusCode, title: &str, text: &str) -> Response {
    page(status, "message.html", serde_json::json!({"title": title, "text": text}))
}

/// Our fault: the log gets the cause, the page the number under which it stands there.
pub(super) fn failed(cause: impl std::fmt::Display) -> Response {
    let id = Uuid::now_v7();
    tracing::error!(%id, %cause, "a page failed");
    let html = format!(
        "<!doctype html><html lang=\"en\"><title>Longboat failed</title><h1>Longboat failed</h1>\
         <p>Something failed inside Longboat. Its log says what, under {id}.</p>"
    );
    (StatusCode::INTERNAL_SERVER_ERROR, Html(html)).into_response()
}
