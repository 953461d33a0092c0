//! What the API says when it can't do what it was asked: RFC 9457 problem details.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

/// The content type of problems.
pub(super) const PROBLEM_JSON: &str = "application/problem+json";

/// One problem. Boxed, because it is the rare half of most results.
#[derive(Debug, Clone)]
pub(super) struct Problem(Box<Details>);

/// As it goes to the client.
#[derive(Debug, Clone, Serialize)]
struct Details {
    /// What kind of problem it is; a word that scripts can rely on.
    code: &'static str,
    /// The same in a few words.
    title: &'static str,
    #[serde(serialize_with = "as_number")]
    status: StatusCode,
    /// What happened, and what to do.
    detail: String,
    /// The single faults of the request, if there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Value>,
    /// Under which the log has the cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Uuid>,
    #[serde(skip)]
    headers: Vec<(header::HeaderName, HeaderValue)>,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self(Box::new(Details { code, title, status, detail, errors: Vec::new(), id: None, headers: Vec::new() }))
    }

    /// 400: the request itself is wrong.
    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", "The request is not valid", detail)
    }

    /// 401: nobody knows who asks.
    pub(super) fn unauthorized(detail: impl Into<String>) -> Self {
        let problem = Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "A token is needed", detail);
        problem.with_header(header::WWW_AUTHENTICATE, "Bearer realm=\"longboat\"")
    }

    /// 401 on a webhook, where a token wouldn't help.
    pub(super) fn unsigned(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "bad-signature", "The webhook is not signed as configured", detail)
    }

    /// 403: not from there.
    pub(super) fn forbidden(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, "The request is refused", detail)
    }

    /// 404.
    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "There is no such thing", detail)
    }

    /// 405.
    pub(super) fn method_not_allowed() -> Self {
        let detail = "this address exists, but not for this method";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "The method is not allowed here", detail)
    }

    /// 408: the request came too slowly.
    pub(super) fn timeout() -> Self {
        let detail = "the request was not complete, or not answered, in time";
        Self::new(StatusCode::REQUEST_TIMEOUT, "timeout", "The request took too long", detail)
    }

    /// 409: it can't be done as things stand.
    pub(super) fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, "That is not possible now", detail)
    }

    /// 413.
    pub(super) fn too_large(limit: usize) -> Self {
        let detail = format!("the body is larger than {limit} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The body is too large", detail)
    }

    /// 415.
    pub(super) fn unsupported_media_type(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "The body is not JSON", detail)
    }

    /// 422: well-formed, but the values can't be used.
    pub(super) fn unprocessable(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, "The values can't be used", detail)
    }

    /// 502: another server was needed, and didn't do its part.
    pub(super) fn bad_gateway(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, "upstream", "Another server failed", detail)
    }

    /// 503: too much at once, or not ready.
    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Not now", detail);
        problem.with_header(header::RETRY_AFTER, "5")
    }

    /// 500: our fault. The cause goes to the log; the client gets the number under which it stands there.
    pub(super) fn internal(cause: impl std::fmt::Display) -> Self {
        let id = Uuid::now_v7();
        tracing::error!(%id, %cause, "a request failed");
        let detail = "something failed inside Longboat; its log says what, under this id";
        let mut problem = Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Longboat failed", detail);
        problem.0.id = Some(id);
        problem
    }

    /// What a bare status says, for answers that come from a library without a body of ours.
    pub(super) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::not_found("there is nothing at this address"),
            StatusCode::METHOD_NOT_ALLOWED => Self::method_not_allowed(),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::unsupported_media_type("send `Content-Type: application/json`"),
            StatusCode::REQUEST_TIMEOUT => Self::timeout(),
            status if status.is_server_error() => Self::internal(format!("a bare answer {status}")),
            status => Self::new(status, "refused", "The request is refused", status.to_string()),
        }
    }

    /// Adds the single faults.
    pub(super) fn with_errors(mut self, errors: Vec<Value>) -> Self {
        self.0.errors = errors;
        self
    }

    fn with_header(mut self, name: header::HeaderName, value: &'static str) -> Self {
        self.0.headers.push((name, HeaderValue::from_static(value)));
        self
    }
}

/// One fault of a request: which field, and what is wrong with it.
pub(super) fn fault(field: &str, message: impl Into<String>) -> Value {
    let mut fault = Map::new();
    fault.insert("field".to_owned(), field.into());
    fault.insert("message".to_owned(), message.into().into());
    Value::Object(fault)
}

fn as_number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        // A struct of texts and numbers always serialises.
        let body = serde_json::to_vec(&self.0).unwrap_or_default();
        let mut response = (self.0.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        for (name, value) in self.0.headers {
            headers.insert(name, value);
        }
        response
    }
}
