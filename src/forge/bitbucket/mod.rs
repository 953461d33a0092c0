//! Bitbucket Cloud and Bitbucket Data Center: two products with one name. Their APIs, payloads and permissions have
//! nothing in common but an address for webhooks, the way to sign them, and that a status needs a full address.
//!
//! What they share stands here: the connection (`client`), what its answers mean (`answer`), the signature
//! (`webhook`), and how statuses are spelled (`status`). [`BitbucketCloud`] and [`BitbucketDataCenter`] have a folder each.

mod answer;
mod check;
mod client;
mod cloud;
mod data_center;
mod status;
mod webhook;

use std::time::Duration;

use secrecy::SecretString;

pub use cloud::BitbucketCloud;
pub use data_center::BitbucketDataCenter;

use super::{Capabilities, ForgeError, ForgeErrorKind, Markup, SetupError};
use crate::clock::Clock;
use answer::Product;
use client::{Access, Api};

/// The longest comment that either takes, in characters.
const COMMENT_LIMIT: usize = 32_768;
/// The last part of the address of both one's webhooks.
const WEBHOOK_PATH: &str = "bitbucket";

/// How to reach a Bitbucket.
#[derive(Debug, Clone)]
pub struct BitbucketOptions {
    /// The forge's name in the configuration.
    pub name: String,
    /// The address that people open it at, and below which repositories are cloned: `https://bitbucket.org`, or that of
    /// the Data Center with its path.
    pub url: String,
    /// The address of the REST API, without its version: `https://api.bitbucket.org`, or that of the Data Center.
    pub api_url: String,
    /// A token that may write statuses and comments; without one the API isn't called.
    pub token: Option<SecretString>,
    /// Whose password the token is; none for an access token, which stands for itself.
    pub user: Option<String>,
    /// The secret of its webhooks; without one they are refused.
    pub webhook_secret: Option<SecretString>,
    /// The address at which Longboat is reached, to find its webhook among those of a repository.
    pub public_url: Option<String>,
    /// How long a connection may take to stand.
    pub connect_timeout: Duration,
    /// How long a request may take from its start to the last byte of the answer.
    pub request_timeout: Duration,
}

impl BitbucketOptions {
    /// The options for an address and its API, with the usual deadlines (5 s to connect, 20 s in all), without a token
    /// and without webhooks.
    pub fn new(name: impl Into<String>, url: impl Into<String>, api_url: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            url: url.into(),
            api_url: api_url.into(),
            token: None,
            user: None,
            webhook_secret: None,
            public_url: None,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(20),
        }
    }

    /// The API, if there is a token for it.
    fn api(&self, product: Product, clock: Clock) -> Result<Option<Api>, SetupError> {
        let Some(token) = &self.token else { return Ok(None) };
        let access = Access {
            api_url: &self.api_url,
            user: self.user.as_deref(),
            token,
            connect_timeout: self.connect_timeout,
            request_timeout: self.request_timeout,
        };
        let api = Api::new(&access, product, clock);
        api.map(Some).map_err(|message| SetupError { forge: self.name.clone(), message })
    }

    /// Where Longboat's webhook points to.
    fn webhook_url(&self) -> Option<String> {
        self.public_url.as_ref().map(|url| format!("{}/webhooks/{WEBHOOK_PATH}", url.trim_end_matches('/')))
    }
}

/// What both can do with a token. Their Markdown doesn't fold, and shows HTML comments as text.
const CAPABILITIES: Capabilities = Capabilities {
    statuses: true,
    status_needs_url: true,
    pull_requests: true,
    comment_limit: COMMENT_LIMIT,
    markup: Markup { folding: false, hidden_text: false, mermaid: false },
};

/// The id of a comment as part of an address: both number them.
fn comment_number(id: &str) -> Result<u64, ForgeError> {
    id.parse().map_err(|_| ForgeError {
        kind: ForgeErrorKind::NotFound,
        message: format!("`{}` is not the number of a comment", answer::one_line(id, 50)),
        may_have_arrived: false,
    })
}
