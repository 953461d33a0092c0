//! Requests as they come: noted, met with a fault if a test wants one, else answered by one of the two products.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{ConnectInfo, Request, State as Shares};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::{Kind, Limit, Shared, cloud, data_center};
use crate::support::connection::Breaker;

const BODY_LIMIT: usize = 1 << 20;

/// An answer before it has headers of HTTP.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Value,
    pub(super) headers: Vec<(&'static str, String)>,
}

impl Reply {
    pub(super) fn new(status: u16, body: Value) -> Self {
        Self { status, body, headers: Vec::new() }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// A request, taken apart.
pub(super) struct Asked<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) headers: &'a HeaderMap,
    /// Null if there is none, or it is no JSON.
    pub(super) body: Value,
}

impl Asked<'_> {
    /// A number of the query.
    pub(super) fn number(&self, key: &str, default: usize) -> usize {
        self.word(key).and_then(|value| value.parse().ok()).unwrap_or(default)
    }

    /// A word of the query, as it was meant.
    pub(super) fn word(&self, key: &str) -> Option<String> {
        let pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        let value = pairs.filter(|(name, _)| *name == key).map(|(_, value)| value).next()?;
        let mut bytes = Vec::new();
        let mut rest = value.as_bytes();
        while let Some((&byte, tail)) = rest.split_first() {
            if byte == b'%' && tail.len() >= 2 {
                bytes.extend(hex::decode(&tail[..2]).expect("hexadecimal"));
                rest = &tail[2..];
            } else {
                bytes.push(byte);
                rest = tail;
            }
        }
        Some(String::from_utf8(bytes).expect("UTF-8"))
    }

    /// A text of the body.
    pub(super) fn text(&self, pointer: &str) -> Option<String> {
        self.body.pointer(pointer).and_then(Value::as_str).map(str::to_owned)
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new().fallback(handle).with_state(shared)
}

async fn handle(
    Shares(shared): Shares<Arc<Shared>>,
    ConnectInfo(breaker): ConnectInfo<Breaker>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, BODY_LIMIT).await.unwrap_or_default();
    let (method, uri) = (parts.method.clone(), parts.uri.clone());
    let work = {
        let shared = Arc::clone(&shared);
        move || response(answer(&shared, &parts.method, &parts.uri, &parts.headers, &body))
    };
    shared.control.handle(&breaker, &method, &uri, work).await
}

fn response(reply: Reply) -> Response {
    let status = StatusCode::from_u16(reply.status).expect("a status");
    let mut response =
        if reply.status == 204 { status.into_response() } else { (status, Json(reply.body)).into_response() };
    for (name, value) in reply.headers {
        response.headers_mut().insert(name, value.parse().expect("a header"));
    }
    response
}

fn answer(shared: &Shared, method: &Method, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Reply {
    let asked = Asked {
        method: method.as_str(),
        path: uri.path(),
        query: uri.query().unwrap_or_default(),
        headers,
        body: serde_json::from_slice(body).unwrap_or_default(),
    };
    let mut state = shared.state();
    if let Some(limited) = shared.control.limited() {
        let reply = Reply::new(429, json!({"error": {"message": "Rate limit for this resource has been exceeded"}}));
        let says = limited.limit != Limit::Silent;
        return if says { reply.with("retry-after", limited.seconds.to_string()) } else { reply };
    }
    match shared.kind {
        Kind::Cloud => cloud::answer(shared, &mut state, &asked),
        Kind::DataCenter => data_center::answer(shared, &mut state, &asked),
    }
}
