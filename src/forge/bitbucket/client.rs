//! The connection to a Bitbucket: one request, sent once, to the address of the configuration.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use http::{HeaderMap, HeaderValue, Method, Uri, header};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::answer::{Product, classify, one_line};
use crate::clock::Clock;
use crate::forge::pause::{self, Pause};
use crate::forge::{ForgeError, ForgeErrorKind};
use crate::model::RepositoryName;
use crate::outbound::{AddressPolicy, Answer, Client, ClientOptions, OutboundErrorKind, Request};

/// How many redirects are followed, on the same host: one for a repository that was renamed.
const REDIRECTS: usize = 2;

/// What an API is reached with.
pub(super) struct Access<'a> {
    pub(super) api_url: &'a str,
    pub(super) user: Option<&'a str>,
    pub(super) token: &'a SecretString,
    pub(super) connect_timeout: Duration,
    pub(super) request_timeout: Duration,
}

/// The API of one Bitbucket, with the token that opens it.
pub(super) struct Api {
    pub(super) clock: Clock,
    product: Product,
    client: Client,
    /// Without a slash at its end.
    base: String,
    authorization: HeaderValue,
    pause: Pause,
}

/// One request. `path` stands below the API's address, `permission` is what it needs, for messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) method: &'a Method,
    pub(super) path: &'a str,
    pub(super) body: Option<&'a Value>,
    pub(super) permission: &'a str,
}

impl<'a> Call<'a> {
    pub(super) const fn get(path: &'a str, permission: &'a str) -> Self {
        Self { method: &Method::GET, path, body: None, permission }
    }

    pub(super) const fn with(method: &'a Method, path: &'a str, body: &'a Value, permission: &'a str) -> Self {
        Self { method, path, body: Some(body), permission }
    }

    pub(super) fn title(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

impl Api {
    /// Sets up the client; nothing is sent yet.
    ///
    /// # Errors
    /// In words: if the address or the token can't be used.
    pub(super) fn new(access: &Access<'_>, product: Product, clock: Clock) -> Result<Self, String> {
        let base = access.api_url.trim_end_matches('/').to_owned();
        check_base(&base)?;
        let options = ClientOptions {
            deadline: access.request_timeout,
            connect: access.connect_timeout,
            // The operator wrote the address; a Data Center is in a private network as a rule.
            policy: AddressPolicy::Any,
            ..ClientOptions::default()
        };
        let client = Client::new(options).map_err(|error| error.message)?;
        let authorization = authorization(access.user, access.token)?;
        Ok(Self { clock, product, client, base, authorization, pause: Pause::default() })
    }

    /// The address of the API.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Sends one request and reads the answer, whatever it is.
    ///
    /// # Errors
    /// If there is no answer.
    pub(super) async fn ask(&self, call: Call<'_>) -> Result<Answer, ForgeError> {
        if let Some(until) = self.pause.until(self.clock.now()) {
            return Err(ForgeError {
                kind: ForgeErrorKind::RateLimited { until },
                message: format!("{} at {}: {}", call.title(), self.base, pause::in_words(until)),
                may_have_arrived: false,
            });
        }
        let mut request = Request::new(call.method.clone(), format!("{}{}", self.base, call.path));
        if let Some(body) = call.body {
            request = request.json(body);
        }
        request.redirects = REDIRECTS;
        request.headers.insert(header::AUTHORIZATION, self.authorization.clone());
        request.headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let answer = self.client.send(request).await.map_err(|error| ForgeError {
            kind: match error.kind {
                OutboundErrorKind::Invalid => ForgeErrorKind::Refused,
                OutboundErrorKind::TooLarge => ForgeErrorKind::Server,
                _ => ForgeErrorKind::Unreachable,
            },
            message: format!("{} at {}", call.title(), error.message),
            may_have_arrived: error.may_have_arrived,
        })?;
        if answer.status.is_success() {
            self.pause.answered();
        }
        Ok(answer)
    }

    /// Sends one request that must be answered with one of these statuses.
    ///
    /// # Errors
    /// If there is another answer, or none.
    pub(super) async fn expect(&self, call: Call<'_>, good: &[u16]) -> Result<Answer, ForgeError> {
        let answer = self.ask(call).await?;
        if good.contains(&answer.status.as_u16()) { Ok(answer) } else { Err(self.refusal(&answer, call)) }
    }

    /// Reads one more part of something that takes several requests: if that fails, once more. All that was read before
    /// would be lost with it, and of a Bitbucket that fails on every second request it could never be read.
    ///
    /// # Errors
    /// If there is another answer than these, or none.
    pub(super) async fn expect_on(&self, call: Call<'_>, good: &[u16]) -> Result<Answer, ForgeError> {
        match self.expect(call, good).await {
            Err(error) if matches!(error.kind, ForgeErrorKind::Server | ForgeErrorKind::Unreachable) => {
                self.expect(call, good).await
            }
            other => other,
        }
    }

    /// What an answer that is not the wanted one means.
    pub(super) fn refusal(&self, answer: &Answer, call: Call<'_>) -> ForgeError {
        let now = self.clock.now();
        let mut error = classify(self.product, answer, call, now);
        self.pause.note(&mut error, now);
        error
    }

    /// Reads something; `what` is for the message if it isn't that.
    ///
    /// # Errors
    /// If there is no good answer, or it can't be read.
    pub(super) async fn read<T: DeserializeOwned>(
        &self,
        path: &str,
        permission: &str,
        what: &str,
    ) -> Result<T, ForgeError> {
        let call = Call::get(path, permission);
        let answer = self.expect(call, &[200]).await?;
        parse(&answer, call, what)
    }

    /// The same, as one more part of something: see [`Api::expect_on`].
    ///
    /// # Errors
    /// If there is no good answer, or it can't be read.
    pub(super) async fn read_on<T: DeserializeOwned>(
        &self,
        path: &str,
        permission: &str,
        what: &str,
    ) -> Result<T, ForgeError> {
        let call = Call::get(path, permission);
        let answer = self.expect_on(call, &[200]).await?;
        parse(&answer, call, what)
    }
}

/// Reads a good answer.
pub(super) fn parse<T: DeserializeOwned>(answer: &Answer, call: Call<'_>, what: &str) -> Result<T, ForgeError> {
    serde_json::from_slice(&answer.body).map_err(|error| ForgeError {
        kind: ForgeErrorKind::Server,
        message: format!("{}: the answer is not {what}: {}", call.title(), one_line(&error.to_string(), 200)),
        // It was good, so whatever was to be done is done.
        may_have_arrived: call.body.is_some(),
    })
}

/// The value of a header that an answer has.
pub(super) fn header_of<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim).filter(|value| !value.is_empty())
}

/// The two parts of a repository's name. They are checked, because they become part of an address.
pub(super) fn parts(product: Product, repo: &str) -> Result<(&str, &str), ForgeError> {
    let parts = repo.split_once('/').filter(|(_, slug)| !slug.contains('/'));
    parts.filter(|_| RepositoryName::parse(repo).is_ok()).ok_or_else(|| ForgeError {
        kind: ForgeErrorKind::Refused,
        message: format!(
            "`{}` is no repository on {}: its name has to be {}",
            one_line(repo, 100),
            product.name(),
            product.repository_form()
        ),
        may_have_arrived: false,
    })
}

fn check_base(base: &str) -> Result<(), String> {
    let uri: Uri = base.parse().map_err(|error| format!("apiUrl `{base}` is no address: {error}"))?;
    let sane = matches!(uri.scheme_str(), Some("http" | "https"))
        && uri.host().is_some_and(|host| !host.is_empty())
        && uri.query().is_none()
        && !base.contains('@');
    if sane { Ok(()) } else { Err(format!("apiUrl `{base}` is not like https://HOST or https://HOST/path")) }
}

/// A token with its user is their password (`Basic`), one without stands for itself (`Bearer`).
fn authorization(user: Option<&str>, token: &SecretString) -> Result<HeaderValue, String> {
    let text = token.expose_secret();
    let sane = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    let value = match user {
        Some(user) => format!("Basic {}", BASE64.encode(format!("{user}:{text}"))),
        None => format!("Bearer {text}"),
    };
    let mut value = Some(value)
        .filter(|_| sane)
        .and_then(|value| HeaderValue::try_from(value).ok())
        .ok_or("its token is empty or holds characters that no token has, like a line break")?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(api_url: &str, token: &str) -> Result<Api, String> {
        let token = SecretString::from(token);
        let timeout = Duration::from_secs(5);
        let access = Access { api_url, user: None, token: &token, connect_timeout: timeout, request_timeout: timeout };
        Api::new(&access, Product::Cloud, Clock::system())
    }

    #[tokio::test]
    async fn what_cannot_work_is_refused_at_the_start() {
        for url in ["api.bitbucket.org", "ftp://host", "https://", "https://user:pw@host", "https://host/?a=b", ""] {
            assert!(api(url, "t").is_err(), "{url}");
        }
        for token in ["", "line\n", "a b", "ä"] {
            let error = api("http://localhost", token).err().unwrap_or_else(|| panic!("{token:?} is taken"));
            assert!(error.starts_with("its token is empty or"), "{error}");
        }
        assert_eq!(
            api("https://git.example.com/bitbucket/", "t").expect("set up").base(),
            "https://git.example.com/bitbucket"
        );
    }

    #[test]
    fn a_token_alone_bears_itself_and_with_a_user_it_is_a_password() {
        let token = SecretString::from("hunter2");
        let alone = authorization(None, &token).expect("legal");
        let basic = authorization(Some("ann@example.com"), &token).expect("legal");
        assert_eq!(alone.as_bytes(), b"Bearer hunter2");
        assert_eq!(basic.as_bytes(), b"Basic YW5uQGV4YW1wbGUuY29tOmh1bnRlcjI=");
        assert!(alone.is_sensitive() && basic.is_sensitive());
    }

    #[test]
    fn a_repository_cannot_lead_elsewhere() {
        assert_eq!(parts(Product::Cloud, "acme/shop"), Ok(("acme", "shop")));
        assert_eq!(parts(Product::DataCenter, "~ann/shop"), Ok(("~ann", "shop")));
        for bad in ["shop", "a/b/c", "../x", "a/..", "a/b?x", "a/~b", ""] {
            assert!(parts(Product::Cloud, bad).is_err(), "{bad}");
        }
        let error = parts(Product::DataCenter, "x").expect_err("refused").message;
        assert_eq!(error, "`x` is no repository on Bitbucket Data Center: its name has to be PROJECT/repository");
    }
}
