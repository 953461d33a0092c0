//! Requests to other servers over HTTP and HTTPS, always within bounds.
//!
//! Whoever asks somebody else for something over HTTP does it here (GitHub's client, octocrab, has a connection of its
//! own for now). What always holds:
//! - A request is sent once. Whether it is tried again is for the one who asks; [`OutboundError::may_have_arrived`]
//!   says whether the other side may have acted.
//! - It ends: within `deadline` from its start to the last byte of the answer, and a connection stands within
//!   `connect`. The answer has at most `body_limit` bytes.
//! - It stays where it was sent: no redirect is followed unless asked for, and then only on the same scheme, host
//!   and port. No proxy is read from the environment.
//! - Only addresses that the [`AddressPolicy`] permits are connected to, checked at the connection itself and not at
//!   the name, so that a name that resolves anew is no way around it.
//! - Errors name the host and nothing else of the address, because addresses hold secrets too.
//!
//! ```ignore
//! let client = Client::new(ClientOptions::default())?;
//! let request = Request::new(Method::POST, url).json(&json!({"text": "done"})).secret_header("x-token", &token)?;
//! let answer = client.send(request).await?;   // any status is an answer
//! ```

mod address;
mod connect;
mod request;

use std::fmt;
use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, CONTENT_LENGTH, LOCATION, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};

pub use address::{AddressPolicy, Allowed, AllowedError};
use connect::{Connector, Lookup, NotPermitted, system_lookup};
pub use request::{Answer, HeaderError, Request};

/// How long an idle connection is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// The bounds of a client.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// How long a request may take from its start to the last byte of the answer.
    pub deadline: Duration,
    /// How long a connection may take to stand, the look-up of the name included.
    pub connect: Duration,
    /// The most bytes of an answer's body.
    pub body_limit: usize,
    /// Which addresses may be connected to.
    pub policy: AddressPolicy,
    /// How Longboat presents itself, `longboat/<version>` by default.
    pub user_agent: String,
}

impl Default for ClientOptions {
    /// 20 s in all, 5 s to connect, 4 MiB, public addresses only.
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(20),
            connect: Duration::from_secs(5),
            body_limit: 4 * 1024 * 1024,
            policy: AddressPolicy::Public { except: Vec::new() },
            user_agent: concat!("longboat/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct OutboundError {
    /// What kind of trouble it is.
    pub kind: OutboundErrorKind,
    /// For people: what happened, and with which host. Holds no secret, and of the address only the host.
    pub message: String,
    /// Whether the other side may have received the request, and acted.
    pub may_have_arrived: bool,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutboundErrorKind {
    /// The request itself can't be sent: its address is none, or a header is not allowed.
    Invalid,
    /// The policy doesn't permit the address.
    Refused,
    /// No connection, or it broke.
    Unreachable,
    /// The deadline passed.
    TimedOut,
    /// The answer is longer than the limit.
    TooLarge,
    /// It redirects to another host, or in a circle.
    Redirected,
}

/// Sends requests within bounds. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Client {
    inner: legacy::Client<HttpsConnector<Connector>, Full<Cursor<Vec<u8>>>>,
    deadline: Duration,
    body_limit: usize,
    user_agent: HeaderValue,
    /// Why there is no TLS, if there is none.
    no_tls: Option<Arc<str>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Client").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

impl Client {
    /// Sets up a client; nothing is sent yet. To be called within the runtime.
    ///
    /// # Errors
    /// If the user agent can't stand in a header, or TLS can't be set up. A machine without certificate authorities is
    /// no error: there, each request by `https` fails with what to install.
    pub fn new(options: ClientOptions) -> Result<Self, OutboundError> {
        Self::with_lookup(options, system_lookup())
    }

    fn with_lookup(options: ClientOptions, lookup: Lookup) -> Result<Self, OutboundError> {
        let ClientOptions { deadline, connect, body_limit, policy, user_agent } = options;
        let invalid =
            |message: String| OutboundError { kind: OutboundErrorKind::Invalid, message, may_have_arrived: false };
        let user_agent = HeaderValue::try_from(&user_agent)
            .map_err(|_| invalid(format!("`{user_agent}` can't stand in the header user-agent")))?;
        let (tls, no_tls) = tls().map_err(invalid)?;
        let connector = Connector { policy: Arc::new(policy), timeout: connect, lookup };
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(connector);
        let inner = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build(connector);
        Ok(Self { inner, deadline, body_limit, user_agent, no_tls })
    }

    /// Sends a request, once, and reads its answer to the end. Whatever its status is: it is an answer.
    ///
    /// # Errors
    /// If there is no answer within the bounds.
    pub async fn send(&self, mut request: Request) -> Result<Answer, OutboundError> {
        request.hide_credentials();
        let host = request.url.parse::<Uri>().ok().and_then(|uri| uri.host().map(str::to_owned)).unwrap_or_default();
        match tokio::time::timeout(self.deadline, self.follow(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(OutboundError {
                kind: OutboundErrorKind::TimedOut,
                message: format!("{host}: no answer within {} s", self.deadline.as_secs_f32()),
                may_have_arrived: true,
            }),
        }
    }

    async fn follow(&self, request: Request) -> Result<Answer, OutboundError> {
        let mut target = self.address(&request.url)?;
        let mut left = request.redirects;
        loop {
            let answer = self.once(&request.method, &target, &request.headers, &request.body).await?;
            // Not 303, which would turn a request that writes into one that reads.
            if !matches!(answer.status.as_u16(), 301 | 302 | 307 | 308) || request.redirects == 0 {
                return Ok(answer);
            }
            let redirected = |what: &str| OutboundError {
                kind: OutboundErrorKind::Redirected,
                message: format!("{} redirects {what}", target.host().unwrap_or_default()),
                may_have_arrived: false,
            };
            if left == 0 {
                return Err(redirected("in a circle"));
            }
            left -= 1;
            let location = answer.header(LOCATION.as_str()).unwrap_or_default();
            target =
                same_origin(&target, location).ok_or_else(|| redirected("away from the address that was asked"))?;
        }
    }

    async fn once(
        &self,
        method: &Method,
        target: &Uri,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Answer, OutboundError> {
        let host = target.host().unwrap_or_default().to_owned();
        let body = Full::new(Cursor::new(body.to_vec()));
        let mut request = http::Request::new(body);
        *request.method_mut() = method.clone();
        *request.uri_mut() = target.clone();
        *request.headers_mut() = headers.clone();
        // How a request is framed is decided by what is sent.
        request.headers_mut().remove(CONTENT_LENGTH);
        request.headers_mut().entry(USER_AGENT).or_insert_with(|| self.user_agent.clone());
        request.headers_mut().entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        let response = self.inner.request(request).await.map_err(|error| trouble(&host, &error))?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, self.body_limit).collect().await.map_err(|error| {
            let too_large = error.is::<http_body_util::LengthLimitError>();
            OutboundError {
                kind: if too_large { OutboundErrorKind::TooLarge } else { OutboundErrorKind::Unreachable },
                message: if too_large {
                    format!("{host}: the answer is longer than {} bytes", self.body_limit)
                } else {
                    format!("{host}: the answer can't be read: {}", causes(error.as_ref()))
                },
                may_have_arrived: true,
            }
        })?;
        Ok(Answer { status: parts.status, headers: parts.headers, body: body.to_bytes().to_vec() })
    }

    /// Reads an address, and refuses what could be meant in two ways.
    fn address(&self, url: &str) -> Result<Uri, OutboundError> {
        let invalid =
            |message: String| Err(OutboundError { kind: OutboundErrorKind::Invalid, message, may_have_arrived: false });
        let Ok(uri) = url.parse::<Uri>() else {
            return invalid("the address can't be read: it must be like https://host/path, with %-escapes".to_owned());
        };
        let host = uri.host().unwrap_or_default();
        if !matches!(uri.scheme_str(), Some("http" | "https")) || host.is_empty() {
            return invalid("the address must begin with http:// or https:// and name a host".to_owned());
        }
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return invalid(format!("the address of {host} holds a user or password: send them as a header"));
        }
        if let Some(reason) = self.no_tls.as_ref().filter(|_| uri.scheme_str() == Some("https")) {
            return invalid(format!("{host}: {reason}"));
        }
        Ok(uri)
    }
}

/// TLS by ring, trusting whom the system trusts; and why nobody is trusted, if so.
fn tls() -> Result<(rustls::ClientConfig, Option<Arc<str>>), String> {
    let builder = || {
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS can't be set up: {error}"))
    };
    match builder()?.with_native_roots() {
        Ok(trusting) => Ok((trusting.with_no_client_auth(), None)),
        Err(error) => {
            let nobody = builder()?.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
            let reason = format!("no certificate authorities to trust ({error}): install the package ca-certificates");
            Ok((nobody, Some(reason.into())))
        }
    }
}

/// The absolute form of a redirect's target, if it stays on the scheme, host and port of `base`.
fn same_origin(base: &Uri, location: &str) -> Option<Uri> {
    let target: Uri = location.parse().ok()?;
    if target.authority().is_some() {
        return (target.scheme() == base.scheme() && target.authority() == base.authority()).then_some(target);
    }
    if !location.starts_with('/') || location.starts_with("//") {
        return None;
    }
    format!("{}://{}{location}", base.scheme_str()?, base.authority()?).parse().ok()
}

fn trouble(host: &str, error: &legacy::Error) -> OutboundError {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = next {
        if let Some(refused) = cause.downcast_ref::<NotPermitted>() {
            return OutboundError {
                kind: OutboundErrorKind::Refused,
                message: refused.to_string(),
                may_have_arrived: false,
            };
        }
        next = cause.source();
    }
    OutboundError {
        kind: OutboundErrorKind::Unreachable,
        message: format!("{host}: {}", causes(error)),
        may_have_arrived: !error.is_connect(),
    }
}

/// An error with its causes, in one line.
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        // The level of the HTTP library says only that it is one.
        if !texts.last().is_some_and(|last| last.contains(&text)) && !text.starts_with("client error") {
            texts.push(text);
        }
        next = error.source();
    }
    let line = texts.join(": ");
    line.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(300).collect()
}

#[cfg(test)]
mod tests;
