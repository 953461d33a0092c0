//! What stands in front of every request, to the API and to the pages.
//!
//! From the outside inwards: security headers on every answer; panics become problems; a bound on the
//! requests at work; a bound on the time until an answer begins (so a body that drips is given up); and the
//! question of who asks:
//! - On loopback any page in any tab of the person's browser can send requests here. So the `Host` must be
//!   one of ours (against rebound DNS names), and what changes something must come from our own pages or
//!   from no page at all, and be JSON, which a foreign form can't send.
//! - With tokens, API and pages ask for one: programs send it as a bearer token, people sign in with it.
//! - `/webhooks/*` is guarded by signatures only, `/healthz` and `/readyz` by nothing, as they tell nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Redirect, Response};
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;

use super::problem::{PROBLEM_JSON, Problem};
use crate::clock::Clock;
use crate::config::{Access, Config, Holder, SESSION_COOKIE};
use crate::model::percent_encode;
use crate::telemetry::metrics;

/// How long a request may take until its answer begins; its body must have come by then.
pub const REQUEST_DEADLINE: Duration = Duration::from_secs(30);

/// The path of the page on which people sign in.
const LOGIN: &str = "/login";

/// Scripts and styles from here only, and nothing inline; nobody may frame the pages.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Who sends a request, as far as it was authenticated; handlers find it in the request's extensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Actor(pub(super) String);

/// The roles of whoever sends a request; none: any. Handlers find them beside the [`Actor`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Roles(pub(super) Option<Vec<String>>);

/// Puts the guards in front of a router that holds the API and the pages.
pub fn guard(router: Router, config: &Config, clock: Clock) -> Router {
    guard_within(REQUEST_DEADLINE, router, config, clock)
}

fn guard_within(allowed: Duration, router: Router, config: &Config, clock: Clock) -> Router {
    let guard = Guard::new(config, clock);
    let slots = Arc::new(Semaphore::new(config.limits.requests));
    router
        .layer(middleware::from_fn_with_state(guard, admit))
        .layer(middleware::from_fn_with_state(allowed, deadline))
        .layer(middleware::from_fn_with_state(slots, bound))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::map_response(finish))
        .layer(middleware::from_fn(count))
}

#[derive(Clone)]
struct Guard(Arc<Rules>);

struct Rules {
    access: Access,
    /// The hosts that requests may name; none: any.
    hosts: Option<BTreeSet<String>>,
    /// `https://cd.example.com`, behind which a proxy may change the `Host`.
    public_origin: Option<String>,
    /// Who acts where no token tells.
    local_actor: String,
    clock: Clock,
}

impl Guard {
    fn new(config: &Config, clock: Clock) -> Self {
        let public = config.server.public_url.as_deref().and_then(|url| url.parse::<Uri>().ok());
        let hosts = (!config.is_off_loopback()).then(|| {
            let mut hosts: BTreeSet<String> = ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned).into();
            let listen = config.server.listen.ip();
            hosts.insert(if listen.is_ipv6() { format!("[{listen}]") } else { listen.to_string() });
            hosts.extend(public.as_ref().and_then(|url| url.host()).map(str::to_ascii_lowercase));
            hosts
        });
        let public_origin = public.as_ref().and_then(|url| {
            let (scheme, authority) = (url.scheme_str()?, url.authority()?);
            Some(format!("{scheme}://{authority}").to_ascii_lowercase())
        });
        let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).ok().filter(|user| is_user_name(user));
        let local_actor = user.unwrap_or_else(|| "local user".to_owned());
        Self(Arc::new(Rules { access: Access::new(config), hosts, public_origin, local_actor, clock }))
    }
}

async fn admit(State(Guard(rules)): State<Guard>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if path.starts_with("/webhooks/") || path == "/healthz" || path == "/readyz" {
        return next.run(request).await;
    }
    let verdict =
        rules.check_host(&request).and_then(|()| rules.check_origin(&request)).and_then(|()| rules.identify(&request));
    match verdict {
        Ok((actor, roles)) => {
            request.extensions_mut().insert(actor);
            request.extensions_mut().insert(roles);
            next.run(request).await
        }
        Err(Refusal::Problem(problem)) => problem.into_response(),
        Err(Refusal::SignIn(target)) => Redirect::to(&target).into_response(),
    }
}

/// Why a request goes no further.
enum Refusal {
    Problem(Problem),
    /// A person with a browser, who can sign in there.
    SignIn(String),
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl Rules {
    fn check_host(&self, request: &Request) -> Result<(), Refusal> {
        let Some(hosts) = &self.hosts else { return Ok(()) };
        let named = authority(request).map(|authority| authority.host().to_ascii_lowercase());
        if named.is_some_and(|host| hosts.contains(&host)) {
            return Ok(());
        }
        let detail = "the Host header names another server; if this is its address, set `server.publicUrl`";
        Err(Problem::forbidden("wrong-host", detail).into())
    }

    /// For what may change something: not from a foreign page, and no form.
    fn check_origin(&self, request: &Request) -> Result<(), Refusal> {
        if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
            return Ok(());
        }
        let headers = request.headers();
        let foreign_page = headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none");
        let foreign_origin = headers.get_all(header::ORIGIN).iter().any(|origin| !self.is_own_origin(origin, request));
        if foreign_page || foreign_origin {
            let detail = "the request comes from a page of another origin";
            return Err(Problem::forbidden("wrong-origin", detail).into());
        }
        // The form on which people sign in works without scripts; its origin has just been checked.
        if request.uri().path() != LOGIN && !is_json(headers) {
            let problem = Problem::unsupported_media_type("send `Content-Type: application/json`, also without a body");
            return Err(problem.into());
        }
        Ok(())
    }

    fn is_own_origin(&self, origin: &HeaderValue, request: &Request) -> bool {
        let Ok(origin) = origin.to_str().map(str::to_ascii_lowercase) else { return false };
        let named = authority(request).map(|authority| authority.as_str().to_ascii_lowercase());
        let origin_authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        (origin_authority.is_some() && origin_authority == named.as_deref())
            || self.public_origin.as_ref() == Some(&origin)
    }

    fn identify(&self, request: &Request) -> Result<(Actor, Roles), Refusal> {
        if self.access.is_open() {
            return Ok((Actor(self.local_actor.clone()), Roles(None)));
        }
        let path = request.uri().path();
        let headers = request.headers();
        // The scheme's name is not case-sensitive (RFC 9110, section 11.1).
        let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        let holder = match bearer {
            Some(token) => self.access.holder(token),
            None => session(headers).and_then(|session| self.access.session_holder(session, self.clock.now())),
        };
        if let Some(Holder { name, roles }) = holder {
            return Ok((Actor(name.clone()), Roles(roles.clone())));
        }
        if path == LOGIN || path.starts_with("/assets/") || path == "/favicon.ico" {
            return Ok((Actor("nobody".to_owned()), Roles(Some(Vec::new()))));
        }
        let wants_page = bearer.is_none()
            && request.method() == Method::GET
            && !path.starts_with("/api/")
            && headers
                .get(header::ACCEPT)
                .and_then(|value| value.to_str().ok())
                .is_some_and(|value| value.contains("text/html"));
        Err(if wants_page {
            let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
            Refusal::SignIn(format!("{LOGIN}?next={}", percent_encode(target, "-_./")))
        } else {
            Problem::unauthorized("send a configured token as `Authorization: Bearer ...`").into()
        })
    }
}

/// Whom the request is addressed to. Two `Host` headers are nobody's request.
fn authority(request: &Request) -> Option<Authority> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok()?.parse().ok(),
        (None, _) => request.uri().authority().cloned(),
        (Some(_), Some(_)) => None,
    }
}

/// Whether a body is declared to be JSON.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let declared = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    declared.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

fn session(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies.flat_map(|line| line.split(';')).find_map(|cookie| {
        let (name, value) = cookie.trim().split_once('=')?;
        (name == SESSION_COOKIE).then_some(value)
    })
}

fn is_user_name(text: &str) -> bool {
    (1..=40).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// Counts answers by the part of the server that they come from.
async fn count(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let part = match path.split('/').nth(1) {
        Some("api") => "api",
        Some("webhooks") => "webhooks",
        Some("healthz" | "readyz" | "metrics") => "health",
        _ => "pages",
    };
    let response = next.run(request).await;
    let class =
        ["1xx", "2xx", "3xx", "4xx", "5xx"].get(usize::from(response.status().as_u16() / 100).saturating_sub(1));
    metrics().request(part, class.copied().unwrap_or("other"));
    response
}

async fn deadline(State(allowed): State<Duration>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(allowed, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::timeout().into_response(),
    }
}

async fn bound(State(slots): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    match slots.try_acquire() {
        Ok(_slot) => next.run(request).await,
        Err(_) => Problem::unavailable("too many requests are at work; try again").into_response(),
    }
}

fn panicked(cause: Box<dyn std::any::Any + Send>) -> Response {
    let text = cause
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| cause.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_default();
    Problem::internal(format!("panic: {text}")).into_response()
}

/// The last touch on every answer: no error without a body that explains it, and the security headers.
async fn finish(response: Response) -> Response {
    let mut response = if needs_problem(&response) {
        let status = response.status();
        // What the library had to say in headers (`Allow`) stays.
        let kept = response.headers().get(header::ALLOW).cloned();
        let mut problem = Problem::of_status(status).into_response();
        if let Some(allow) = kept {
            problem.headers_mut().insert(header::ALLOW, allow);
        }
        problem
    } else {
        response
    };
    let headers = response.headers_mut();
    let fixed: [(HeaderName, &'static str); 6] = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // Not `no-referrer`: with it, browsers hide the origin of our own forms.
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

fn needs_problem(response: &Response) -> bool {
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    (status.is_client_error() || status.is_server_error())
        && !kind.starts_with(PROBLEM_JSON)
        && !kind.starts_with("text/html")
}

#[cfg(test)]
mod tests;
