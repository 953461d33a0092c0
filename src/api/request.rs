//! Reading requests: bodies within their limits, JSON and queries whose mistakes are explained, ids in paths.

use axum::body::{Body, HttpBody as _};
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri, header};
use futures::StreamExt as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::guard::is_json;
use super::problem::Problem;

/// The largest body that the API takes; webhooks have a limit of their own.
pub(super) const MAX_BODY: usize = 1024 * 1024;

/// A JSON body; an empty one counts as `{}`.
pub(super) struct Payload<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Payload<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        if !is_json(&parts.headers) {
            return Err(Problem::unsupported_media_type("send `Content-Type: application/json`"));
        }
        // Passed over, a `?dryRun=true` would start what was only to be looked at.
        if parts.uri.query().is_some_and(|query| !query.is_empty()) {
            return Err(Problem::bad_request("this takes no query: what it is to do stands in the body, as JSON"));
        }
        let (bytes, _) = read_body(&parts.headers, body, MAX_BODY, None).await?;
        let bytes = if bytes.iter().all(u8::is_ascii_whitespace) { b"{}".to_vec() } else { bytes };
        let value = serde_json::from_slice(&bytes);
        value.map(Self).map_err(|error| Problem::bad_request(format!("the body is not what is expected: {error}")))
    }
}

/// A body without anything in it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// The query of an address.
pub(super) struct Params<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(value)| Self(value)).map_err(|error| Problem::bad_request(error.body_text()))
    }
}

impl<T: DeserializeOwned> Params<T> {
    /// Those of an address, where the path decides what they can be.
    pub(super) fn of(uri: &Uri) -> Result<T, Problem> {
        let query = Query::<T>::try_from_uri(uri);
        query.map(|Query(value)| value).map_err(|error| Problem::bad_request(error.body_text()))
    }
}

/// Reads a body up to `limit` bytes. With a `budget` (counted in KiB), what arrives takes from it until the
/// permits are dropped, so that many large bodies at once don't fill the memory.
///
/// # Errors
/// 413 if it is longer, or announces to be; 503 if the budget is used up; 400 if the connection broke.
pub(super) async fn read_body<'a>(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    budget: Option<&'a Semaphore>,
) -> Result<(Vec<u8>, Vec<SemaphorePermit<'a>>), Problem> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let least = announced.unwrap_or(0).max(body.size_hint().lower());
    if least > limit as u64 {
        return Err(Problem::too_large(limit));
    }
    let mut bytes = Vec::new();
    let mut permits: Vec<SemaphorePermit<'a>> = Vec::new();
    let mut granted = 0;
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Problem::bad_request("the body broke off"))?;
        if bytes.len() + chunk.len() > limit {
            return Err(Problem::too_large(limit));
        }
        bytes.extend_from_slice(&chunk);
        let wanted = bytes.len().div_ceil(1024);
        if let Some(budget) = budget
            && wanted > granted
        {
            let more = u32::try_from(wanted - granted).unwrap_or(u32::MAX);
            let permit = budget.try_acquire_many(more);
            permits.push(permit.map_err(|_| Problem::unavailable("too much is being received; send it again later"))?);
            granted = wanted;
        }
    }
    Ok((bytes, permits))
}

/// A part of a path as a name or id. What can't be one names nothing: 404.
pub(super) fn parse<T: std::str::FromStr>(text: &str, what: &str) -> Result<T, Problem> {
    text.parse().map_err(|_| Problem::not_found(format!("there is no such {what}")))
}

/// A value of a query as a name or id.
pub(super) fn parse_filter<T: std::str::FromStr>(text: Option<&str>, field: &str) -> Result<Option<T>, Problem>
where
    T::Err: std::fmt::Display,
{
    let text = text.filter(|text| !text.is_empty());
    let parsed = text.map(|text| text.parse().map_err(|error| Problem::bad_request(format!("`{field}`: {error}"))));
    parsed.transpose()
}
