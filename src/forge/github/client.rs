//! The connection to GitHub's API: octocrab on a connection of our own making.
//!
//! A request is sent once: the outbox decides about further tries. It ends within a deadline, its answer
//! has a limit, and it stays on the host of the configuration: a redirect is followed only on the same
//! scheme, host and port, so that neither the token nor the request can be led elsewhere.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::{ACCEPT, IF_NONE_MATCH, LOCATION, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use octocrab::service::middleware::auth_header::AuthHeaderLayer;
use octocrab::service::middleware::extra_headers::ExtraHeadersLayer;
use octocrab::{AuthState, OctoBody, Octocrab, OctocrabBuilder};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::account::Account;
use super::answer::classify;
use crate::clock::{Clock, Timestamp};
use crate::forge::pause::{self, Pause};
use crate::forge::{Budget, ForgeError, ForgeErrorKind, Validator};

/// The most bytes of an answer that are read: ten pull requests or comments with the longest texts that GitHub takes,
/// each character escaped, have about 4 MB. A page of 100 statuses has about 250 KB.
const ANSWER_LIMIT: usize = 8 * 1024 * 1024;
/// How many redirects are followed; GitHub needs one for a repository that was renamed.
const REDIRECT_LIMIT: usize = 3;
/// How long an idle connection is kept, well below the minute after which GitHub closes it.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// The API of one GitHub, with the token that opens it.
pub(super) struct Api {
    pub(super) clock: Clock,
    octocrab: Octocrab,
    /// Without a slash at its end.
    base: String,
    deadline: Duration,
    budget: Mutex<Option<Budget>>,
    pause: Pause,
    pub(super) account: Account,
}

/// An answer of the API, read to its end.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// Why there is no answer.
pub(super) struct NoAnswer {
    pub(super) message: String,
    /// Whether the request may have left.
    pub(super) may_have_arrived: bool,
    /// Whether there was one, but a longer one than is read.
    pub(super) too_long: bool,
    /// Until when GitHub takes no requests, if that's why none was sent.
    limited: Option<Timestamp>,
}

impl NoAnswer {
    fn new(message: String, may_have_arrived: bool) -> Self {
        Self { message, may_have_arrived, too_long: false, limited: None }
    }
}

/// One request. `path` stands below the API's address.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) method: &'a Method,
    pub(super) path: &'a str,
    pub(super) body: Option<&'a Value>,
    /// What was told at an earlier time: if that's how it still is, the answer is 304 and costs nothing.
    pub(super) unless: Option<&'a Validator>,
}

impl<'a> Call<'a> {
    /// A request that reads.
    pub(super) const fn get(path: &'a str) -> Self {
        Self { method: &Method::GET, path, body: None, unless: None }
    }

    /// A request with a body.
    pub(super) const fn with(method: &'a Method, path: &'a str, body: &'a Value) -> Self {
        Self { method, path, body: Some(body), unless: None }
    }

    /// For messages: `GET /repos/acme/shop`.
    pub(super) fn title(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

impl Api {
    /// Sets up the client; nothing is sent yet. To be called within the runtime.
    ///
    /// # Errors
    /// In words: if the address or the token can't be used, or TLS finds no certificate authorities to trust.
    pub(super) fn new(
        api_url: &str,
        token: &SecretString,
        connect_timeout: Duration,
        deadline: Duration,
        clock: Clock,
    ) -> Result<Self, String> {
        let base = api_url.trim_end_matches('/').to_owned();
        let octocrab = connect(base_uri(&base)?, token, connect_timeout)?;
        Ok(Self {
            clock,
            octocrab,
            base,
            deadline,
            budget: Mutex::new(None),
            pause: Pause::default(),
            account: Account::default(),
        })
    }

    /// The address of the API.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// What the latest answer said about the allowance of requests.
    pub(super) fn budget(&self) -> Option<Budget> {
        *self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends one request and reads the answer, whatever it is.
    ///
    /// # Errors
    /// If there is no answer.
    pub(super) async fn ask(&self, call: Call<'_>) -> Result<Answer, ForgeError> {
        self.try_ask(call).await.map_err(|trouble| self.trouble(call, trouble))
    }

    /// The same, for who can do with less than a whole answer.
    ///
    /// # Errors
    /// If there is no answer.
    pub(super) async fn try_ask(&self, call: Call<'_>) -> Result<Answer, NoAnswer> {
        if let Some(until) = self.pause.until(self.clock.now()) {
            return Err(NoAnswer { limited: Some(until), ..NoAnswer::new(pause::in_words(until), false) });
        }
        match tokio::time::timeout(self.deadline, self.follow(call)).await {
            Ok(Ok(answer)) => {
                if answer.status.is_success() {
                    self.pause.answered();
                }
                if let Some(budget) = budget(&answer.headers) {
                    *self.budget.lock().unwrap_or_else(PoisonError::into_inner) = Some(budget);
                }
                Ok(answer)
            }
            Ok(Err(trouble)) => Err(trouble),
            Err(_) => Err(NoAnswer::new(format!("no answer within {} s", self.deadline.as_secs_f32()), true)),
        }
    }

    /// Reads one more part of something: if that fails, once more. All that was read before would be lost with it, and
    /// of a GitHub that fails on every second request nothing could be read that takes two.
    ///
    /// # Errors
    /// If there is no answer.
    pub(super) async fn try_ask_on(&self, call: Call<'_>) -> Result<Answer, NoAnswer> {
        let first = self.try_ask(call).await;
        let failed = match &first {
            Ok(answer) => {
                answer.status.is_server_error() && self.refusal(answer, call, "").kind == ForgeErrorKind::Server
            }
            Err(trouble) => !trouble.too_long && trouble.limited.is_none(),
        };
        if failed { self.try_ask(call).await } else { first }
    }

    /// The same, where a longer answer than is read is an error like any other.
    ///
    /// # Errors
    /// If there is no answer.
    pub(super) async fn ask_on(&self, call: Call<'_>) -> Result<Answer, ForgeError> {
        self.try_ask_on(call).await.map_err(|trouble| self.trouble(call, trouble))
    }

    /// What an answer that is not the wanted one means. `permission` is what a fine-grained token needs for it, in the
    /// words of GitHub's settings page.
    pub(super) fn refusal(&self, answer: &Answer, call: Call<'_>, permission: &str) -> ForgeError {
        let now = self.clock.now();
        let mut error = classify(answer, call, permission, now);
        self.pause.note(&mut error, now);
        error
    }

    /// That there was no answer to a request.
    pub(super) fn trouble(&self, call: Call<'_>, trouble: NoAnswer) -> ForgeError {
        let kind = trouble.limited.map_or(ForgeErrorKind::Unreachable, |until| ForgeErrorKind::RateLimited { until });
        ForgeError {
            kind,
            message: format!("{} at {}: {}", call.title(), self.base, trouble.message),
            may_have_arrived: trouble.may_have_arrived,
        }
    }

    async fn follow(&self, call: Call<'_>) -> Result<Answer, NoAnswer> {
        let mut target = format!("{}{}", self.base, call.path);
        for _ in 0..=REDIRECT_LIMIT {
            let answer = self.send(call, &target).await?;
            // Not 303, which would turn a request that writes into one that reads.
            if !matches!(answer.status.as_u16(), 301 | 302 | 307 | 308) {
                return Ok(answer);
            }
            let location = answer.headers.get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
            target = self.same_origin(location).ok_or_else(|| {
                let location = one_line(location, 200);
                NoAnswer::new(format!("it redirects to `{location}`, away from the configured address"), false)
            })?;
        }
        Err(NoAnswer::new("it redirects in a circle".to_owned(), false))
    }

    async fn send(&self, call: Call<'_>, target: &str) -> Result<Answer, NoAnswer> {
        let mut builder = http::request::Builder::new().method(call.method).uri(target);
        if let Some(Validator(known)) = call.unless {
            builder = builder.header(IF_NONE_MATCH, known);
        }
        let request = self
            .octocrab
            .build_request(builder, call.body)
            .map_err(|error| NoAnswer::new(format!("the request can't be built: {}", causes(&error)), false))?;
        let response = self
            .octocrab
            .execute(request)
            .await
            .map_err(|error| NoAnswer::new(causes(&error), !failed_to_connect(&error)))?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_LIMIT).collect().await.map_err(|error| NoAnswer {
            message: format!("its answer can't be read: {}", causes(error.as_ref())),
            may_have_arrived: true,
            too_long: error.is::<LengthLimitError>(),
            limited: None,
        })?;
        Ok(Answer { status: parts.status, headers: parts.headers, body: body.to_bytes().to_vec() })
    }

    /// The absolute form of a redirect's target, if it stays on the configured scheme, host and port.
    fn same_origin(&self, location: &str) -> Option<String> {
        let base: Uri = self.base.parse().ok()?;
        let origin = format!("{}://{}", base.scheme_str()?, base.authority()?);
        let target: Uri = location.parse().ok()?;
        match target.authority() {
            None => {
                let path = location.starts_with('/') && !location.starts_with("//");
                path.then(|| format!("{origin}{location}"))
            }
            Some(_) => {
                let same = target.scheme() == base.scheme() && target.authority() == base.authority();
                same.then(|| location.to_owned())
            }
        }
    }
}

/// What an answer says about the allowance of requests; GitHub says it in each, unless an operator switched it off.
fn budget(headers: &HeaderMap) -> Option<Budget> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    let resets_at = i64::try_from(number("x-ratelimit-reset")?).ok()?.saturating_mul(1000);
    Some(Budget {
        limit: number("x-ratelimit-limit")?,
        remaining: number("x-ratelimit-remaining")?,
        resets_at: Timestamp::from_millis(resets_at),
    })
}

fn base_uri(base: &str) -> Result<Uri, String> {
    let uri: Uri = base.parse().map_err(|error| format!("apiUrl `{base}` is no address: {error}"))?;
    let scheme = uri.scheme_str().unwrap_or_default();
    let host = uri.host().unwrap_or_default();
    if !matches!(scheme, "http" | "https") || host.is_empty() || uri.query().is_some() || base.contains('@') {
        return Err(format!("apiUrl `{base}` is not like https://api.github.com or https://HOST/api/v3"));
    }
    Ok(uri)
}

fn connect(base: Uri, token: &SecretString, connect_timeout: Duration) -> Result<Octocrab, String> {
    let sane = |token: &str| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    let mut authorization = Some(token.expose_secret())
        .filter(|token| sane(token))
        .and_then(|token| HeaderValue::from_str(&format!("Bearer {token}")).ok())
        .ok_or("its token is empty or holds characters that no token has, like a line break")?;
    authorization.set_sensitive(true);
    let agent = HeaderValue::from_static(concat!("longboat/", env!("CARGO_PKG_VERSION")));
    let accept = HeaderValue::from_static("application/vnd.github+json");
    let headers = ExtraHeadersLayer::new(Arc::new(vec![(USER_AGENT, agent), (ACCEPT, accept)]));
    // octocrab adds the token only to requests to this host.
    let auth = AuthHeaderLayer::new(Some(authorization), base.clone(), base.clone());

    let mut tcp = HttpConnector::new();
    tcp.set_connect_timeout(Some(connect_timeout));
    tcp.set_nodelay(true);
    tcp.enforce_http(false);
    let mut client = legacy::Client::builder(TokioExecutor::new());
    client.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE_TIMEOUT);
    let empty = OctocrabBuilder::new_empty();
    let built = if base.scheme_str() == Some("https") {
        let tls = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::ring::default_provider())
            .map_err(|error| {
                format!("no certificate authorities to trust ({error}): install the package ca-certificates")
            })?
            .https_only()
            .enable_http1()
            .wrap_connector(tcp);
        let service = client.build::<_, OctoBody>(tls);
        empty.with_service(service).with_layer(&headers).with_layer(&auth).with_auth(AuthState::None).build()
    } else {
        // No certificates are read for plain HTTP: loopback, or a gateway that speaks TLS for us.
        let service = client.build::<_, OctoBody>(tcp);
        empty.with_service(service).with_layer(&headers).with_layer(&auth).with_auth(AuthState::None).build()
    };
    built.map_err(|never| match never {})
}

/// Whether the trouble began before anything was sent.
fn failed_to_connect(error: &octocrab::Error) -> bool {
    let octocrab::Error::Service { source, .. } = error else { return false };
    source.downcast_ref::<legacy::Error>().is_some_and(legacy::Error::is_connect)
}

/// An error with its causes, in one line. octocrab's own level says nothing and is left out.
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if !texts.last().is_some_and(|last| last.contains(&text)) && !text.starts_with("Service Error") {
            texts.push(text);
        }
        next = error.source();
    }
    one_line(&texts.join(": "), 300)
}

/// At most `limit` characters of a foreign text, in one line.
pub(super) fn one_line(text: &str, limit: usize) -> String {
    let mut line = String::new();
    for word in text.split(|letter: char| letter.is_whitespace() || letter.is_control()).filter(|word| !word.is_empty())
    {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if line.chars().count() > limit {
        line = line.chars().take(limit.saturating_sub(1)).collect();
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn github(api_url: &str, token: &str) -> Result<Api, String> {
        let deadline = Duration::from_secs(5);
        Api::new(api_url, &SecretString::from(token), deadline, deadline, Clock::system())
    }

    #[tokio::test]
    async fn what_cannot_work_is_refused_at_the_start() {
        for url in ["api.github.com", "ftp://host", "https://", "https://user:pw@host", "https://host/?a=b", ""] {
            assert!(github(url, "t").await.is_err(), "{url}");
        }
        for token in ["", "line\n", "a b", "ä"] {
            let error = github("http://localhost", token).await.err();
            let error = error.unwrap_or_else(|| panic!("{token:?} is taken"));
            assert!(error.starts_with("its token is empty or"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_redirect_stays_on_its_host() {
        let github = github("http://ghe.example:8080/api/v3/", "t").await.expect("set up");
        for (location, expected) in [
            ("/repositories/1/x", Some("http://ghe.example:8080/repositories/1/x")),
            ("http://ghe.example:8080/y", Some("http://ghe.example:8080/y")),
            ("https://ghe.example:8080/y", None),
            ("http://ghe.example/y", None),
            ("http://ghe.example:8080@evil.example/y", None),
            ("//evil.example/y", None),
            ("", None),
        ] {
            assert_eq!(github.same_origin(location).as_deref(), expected, "{location}");
        }
    }

    #[test]
    fn an_allowance_is_read_if_it_is_told_whole() {
        let headers = |pairs: &[(&'static str, &'static str)]| -> HeaderMap {
            pairs.iter().map(|(name, value)| (name.parse().expect("name"), HeaderValue::from_static(value))).collect()
        };
        let told =
            [("x-ratelimit-limit", "5000"), ("x-ratelimit-remaining", "4998"), ("x-ratelimit-reset", "1700000000")];
        let expected = Budget { limit: 5000, remaining: 4998, resets_at: Timestamp::from_millis(1_700_000_000_000) };
        assert_eq!(budget(&headers(&told)), Some(expected));
        assert_eq!(budget(&headers(&told[..2])), None);
        assert_eq!(budget(&headers(&[told[0], told[1], ("x-ratelimit-reset", "99999999999999999999")])), None);
    }

    #[test]
    fn foreign_text_becomes_one_short_line() {
        assert_eq!(one_line(" a\r\n\tb\u{7}c ", 9), "a b c");
        assert_eq!(one_line("abcdef", 4), "abc…");
    }
}
