//! The call itself, and the one that takes it back.

use std::time::Duration;

use http::header::CONTENT_TYPE;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::answer::{Kept, excerpt, retry_after};
use super::fields::{Fields, Method, StatusUrl};
use super::{CALL_TIME, Calls, Checkpoint, Step, failed, growing_pause, monitor, outputs};
use crate::clock::Timestamp;
use crate::engine::{Outcome, StageContext};
use crate::outbound::{Answer, OutboundErrorKind, Request};

/// By which a server knows a call that it has had.
const KEY_HEADER: &str = "idempotency-key";

/// How often a cancellation is tried, and the pause in between: the engine waits a minute for all of it.
const CANCEL_TRIES: u32 = 3;
const CANCEL_PAUSE: Duration = Duration::from_secs(2);

/// The most headers of a request.
const MAX_HEADERS: usize = 100;

impl Calls<'_> {
    /// Makes the call once.
    pub(super) async fn call(&self, tried: u32, since: Timestamp) -> Step {
        let (ctx, fields) = (self.ctx, self.fields);
        let fail = |message: String| failed(message, Map::new());
        let key = key(ctx, "");
        let request = request(fields.method, &fields.url, fields.payload.as_ref(), &fields.custom_headers, Some(&key))
            .map_err(Outcome::fail)?;
        let again = |error: String, pause: Option<Duration>| {
            let tried = tried + 1;
            if ctx.clock.now() >= since.plus(CALL_TIME) {
                return Err(fail(format!(
                    "{error}; it was tried {tried} times in {} minutes",
                    CALL_TIME.as_secs() / 60
                )));
            }
            let checkpoint = json!(Checkpoint::Call { tried, since, error });
            Ok(Outcome::Poll { after: pause.unwrap_or_else(|| growing_pause(tried)), checkpoint })
        };
        let answer = match self.webhook.client().map_err(Outcome::fail)?.send(request).await {
            Ok(answer) => answer,
            Err(error) => {
                return match error.kind {
                    OutboundErrorKind::Invalid => Err(Outcome::fail(error.message)),
                    OutboundErrorKind::Refused => Err(Outcome::fail(format!(
                        "{}; the configuration can allow it (`network: {{allow: [...]}}`)",
                        error.message
                    ))),
                    OutboundErrorKind::TooLarge | OutboundErrorKind::Redirected => Err(fail(error.message)),
                    OutboundErrorKind::Unreachable | OutboundErrorKind::TimedOut
                        if error.may_have_arrived && !fields.method.is_idempotent() =>
                    {
                        Err(fail(format!(
                            "{}; the call may have been taken all the same, so it isn't made again by itself",
                            error.message
                        )))
                    }
                    OutboundErrorKind::Unreachable | OutboundErrorKind::TimedOut => again(error.message, None),
                };
            }
        };
        let code = answer.status.as_u16();
        let shown = self.shown(&answer);
        let said = format!("{} answered {}{}", host_of(&fields.url), answer.status, excerpt(&shown));
        if fields.fails_fast(code) {
            return Err(failed(said, outputs(&Kept::of(&shown), None)));
        }
        if fields.calls_again(code) {
            return again(said, retry_after(&answer));
        }
        let watches = fields.monitor().map_err(Outcome::fail)?;
        let points = watches.is_some() && fields.status_url_resolution == StatusUrl::LocationHeader;
        if answer.status.is_redirection() && !points {
            let to = answer.header("location").map(|to| format!(" to {}", host_of(to))).unwrap_or_default();
            let message = format!("{said}; it redirects{to}, and redirects are not followed: give the final address");
            return Err(failed(message, outputs(&Kept::of(&shown), None)));
        }
        if !answer.status.is_success() && !answer.status.is_redirection() {
            return Err(failed(said, outputs(&Kept::of(&shown), None)));
        }
        match watches {
            None => Ok(Outcome::Done { outputs: outputs(&Kept::of(&shown), None) }),
            Some(monitored) => monitor::begin(self, &monitored, &answer),
        }
    }

    /// An answer without the values of secrets, for all that is kept of it. What is cut off it later can't cut one in
    /// two.
    pub(super) fn shown(&self, answer: &Answer) -> Answer {
        let mut shown = answer.clone();
        if !self.masker.is_empty() {
            shown.body = self.masker.mask(&String::from_utf8_lossy(&answer.body)).into_bytes();
            for value in shown.headers.values_mut() {
                let masked = value.to_str().ok().map(|text| self.masker.mask(text));
                if let Some(masked) = masked.and_then(|text| http::HeaderValue::try_from(text).ok()) {
                    *value = masked;
                }
            }
        }
        shown
    }

    /// Calls the cancel endpoint, if there is one. What goes wrong is logged: the stage ends all the same.
    pub(super) async fn signal_cancellation(&self) {
        let (ctx, fields) = (self.ctx, self.fields);
        let Some(url) = fields.cancel_endpoint.as_deref().filter(|_| fields.signals_cancellation() == Ok(true)) else {
            return;
        };
        let headers = headers_for(url, fields);
        let key = key(ctx, "/cancel");
        let mut trouble = String::new();
        for tried in 1..=CANCEL_TRIES {
            let request = request(fields.cancel_method, url, fields.cancel_payload.as_ref(), headers, Some(&key));
            let sent = match (request, self.webhook.client()) {
                (Ok(request), Ok(client)) => client.send(request).await,
                (Err(error), _) | (_, Err(error)) => {
                    trouble = error;
                    break;
                }
            };
            match sent {
                Ok(answer) if fields.calls_again(answer.status.as_u16()) => {
                    trouble = format!("{} answered {}", host_of(url), answer.status);
                }
                // Whatever else it says, it was told.
                Ok(answer) => {
                    tracing::info!(execution = %ctx.execution.info.id, stage = %ctx.path, status = answer.status.as_u16(), "called the cancel endpoint of a webhook");
                    return;
                }
                Err(error) => trouble = error.message,
            }
            if tried < CANCEL_TRIES {
                ctx.clock.sleep(CANCEL_PAUSE).await;
            }
        }
        tracing::error!(
            execution = %ctx.execution.info.id, stage = %ctx.path, error = trouble,
            "the cancel endpoint of a webhook could not be called: what it began may go on"
        );
    }
}

/// The author's headers, if the address is of the same origin as the call's.
pub(super) fn headers_for<'a>(url: &str, fields: &'a Fields) -> &'a Map<String, Value> {
    static NONE: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    let same = origin_of(url).is_some_and(|origin| Some(origin) == origin_of(&fields.url));
    if same { &fields.custom_headers } else { &NONE }
}

/// A request, or what is wrong with it.
pub(in crate::stage) fn request(
    method: Method,
    url: &str,
    payload: Option<&Value>,
    headers: &Map<String, Value>,
    key: Option<&str>,
) -> Result<Request, String> {
    let mut request = Request::new(method.into(), url);
    if headers.len() > MAX_HEADERS {
        return Err(format!("`customHeaders` has more than {MAX_HEADERS} headers"));
    }
    for (name, value) in headers {
        for text in texts(name, value)? {
            // Whatever it is, it may be a secret.
            request = request.secret_header(name, &text.into()).map_err(|error| error.to_string())?;
        }
    }
    if let Some(key) = key.filter(|_| !request.headers.contains_key(KEY_HEADER)) {
        request = request.header(KEY_HEADER, key).map_err(|error| error.to_string())?;
    }
    let own_kind = request.headers.get(CONTENT_TYPE).cloned();
    let is_json = own_kind.as_ref().is_none_or(|kind| kind.to_str().is_ok_and(|kind| kind.contains("json")));
    match payload {
        None | Some(Value::Null) => {}
        Some(Value::String(text)) if !is_json => request.body = text.clone().into_bytes(),
        Some(payload) => {
            request = request.json(payload);
            if let Some(kind) = own_kind {
                request.headers.insert(CONTENT_TYPE, kind);
            }
        }
    }
    Ok(request)
}

fn texts(name: &str, value: &Value) -> Result<Vec<String>, String> {
    Ok(match value {
        Value::String(text) => vec![text.clone()],
        Value::Number(_) | Value::Bool(_) => vec![value.to_string()],
        Value::Array(items) if items.iter().all(Value::is_string) => {
            items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }
        Value::Null | Value::Array(_) | Value::Object(_) => {
            return Err(format!("the header `{name}` must be text, a number, true or false, or a list of texts"));
        }
    })
}

/// The same for every sending of one attempt's call.
pub(in crate::stage) fn key(ctx: &StageContext, what: &str) -> String {
    let name = format!("{}/{}{what}", ctx.path, ctx.attempt);
    Uuid::new_v5(&ctx.execution.info.id.0, name.as_bytes()).to_string()
}

/// What may be said of an address: its host. The rest may hold secrets.
pub(in crate::stage) fn host_of(url: &str) -> String {
    let host = url.parse::<http::Uri>().ok().and_then(|uri| uri.host().map(str::to_owned));
    host.unwrap_or_else(|| "the address".to_owned())
}

/// Scheme, host and port.
pub(super) fn origin_of(url: &str) -> Option<(String, String, u16)> {
    let uri: http::Uri = url.parse().ok()?;
    let scheme = uri.scheme_str()?.to_ascii_lowercase();
    let port = uri.port_u16().unwrap_or_else(|| if scheme == "https" { 443 } else { 80 });
    Some((scheme, uri.host()?.to_ascii_lowercase(), port))
}
