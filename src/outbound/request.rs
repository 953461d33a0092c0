//! What is asked, and what comes back.

use std::fmt;

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};

/// One request.
#[derive(Clone)]
pub struct Request {
    /// What to do.
    pub method: Method,
    /// The whole address: `http://` or `https://`, without user and password.
    pub url: String,
    /// Headers; a value that holds a secret is to be marked, see [`Request::secret_header`].
    pub headers: HeaderMap,
    /// The body; empty means none.
    pub body: Vec<u8>,
    /// How many redirects are followed, and only on the same scheme, host and port. 0, the usual, hands a redirect
    /// back as it came.
    pub redirects: usize,
}

impl fmt::Debug for Request {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Addresses of webhooks are secrets themselves, and so may be bodies.
        out.debug_struct("Request")
            .field("method", &self.method)
            .field("headers", &self.headers)
            .field("body", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// A header that can't be sent: its name or value has characters that no header has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the header `{name}` can't be sent: its name or value holds characters that are not allowed there")]
pub struct HeaderError {
    /// The header's name.
    pub name: String,
}

impl Request {
    /// A request without headers and body.
    pub fn new(method: Method, url: impl Into<String>) -> Self {
        Self { method, url: url.into(), headers: HeaderMap::new(), body: Vec::new(), redirects: 0 }
    }

    /// A GET.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new(Method::GET, url)
    }

    /// With a header more.
    ///
    /// # Errors
    /// If the name or value can't stand in a request.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, HeaderError> {
        let (name, value) = header(name, value)?;
        self.headers.append(name, value);
        Ok(self)
    }

    /// With a header whose value is a secret: it is shown nowhere.
    ///
    /// # Errors
    /// If the name or value can't stand in a request; the value is not in the error.
    pub fn secret_header(mut self, name: &str, value: &SecretString) -> Result<Self, HeaderError> {
        let (name, mut value) = header(name, value.expose_secret())?;
        value.set_sensitive(true);
        self.headers.append(name, value);
        Ok(self)
    }

    /// With a body in JSON.
    #[must_use]
    pub fn json(mut self, body: &serde_json::Value) -> Self {
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.body = body.to_string().into_bytes();
        self
    }

    /// `authorization` is a secret, whoever put it there.
    pub(super) fn hide_credentials(&mut self) {
        for value in self.headers.iter_mut().filter(|(name, _)| *name == AUTHORIZATION).map(|(_, value)| value) {
            value.set_sensitive(true);
        }
    }
}

fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), HeaderError> {
    let refused = || HeaderError { name: name.chars().take(100).collect() };
    let parsed = HeaderName::try_from(name).map_err(|_| refused())?;
    Ok((parsed, HeaderValue::try_from(value).map_err(|_| refused())?))
}

/// An answer, read to its end.
#[derive(Clone)]
pub struct Answer {
    /// Its status, good or bad.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, at most as long as the client's limit.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header's value, if it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim)
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Answer").field("status", &self.status).field("body", &self.body.len()).finish_non_exhaustive()
    }
}
