//! GitHub, github.com and GitHub Enterprise Server: webhooks that come in, statuses and comments that go out.
//!
//! octocrab and the HTTP client stay in `client`, what answers mean in `answer`, the words of the API in one file
//! per thing it is about, those of a webhook in `webhook`. [`GitHub`] puts them together.

mod answer;
mod client;
mod status;
mod webhook;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use http::HeaderMap;
use secrecy::SecretString;

use super::plain::leave_unsaid;
use super::{
    Budget, Capabilities, Delivery, Forge, ForgeError, ForgeErrorKind, HeadSource, Markup, PostedStatus, SetupError,
    WebhookError,
};
use crate::clock::Clock;
use crate::model::{CommitSha, CommitStatus, PullRequest, RepositoryName};
use client::{Api, one_line};

/// The longest comment that GitHub takes, in characters.
const COMMENT_LIMIT: usize = 65_536;

/// How to reach a GitHub.
#[derive(Debug, Clone)]
pub struct GitHubOptions {
    /// The forge's name in the configuration.
    pub name: String,
    /// The address of the REST API, `https://api.github.com` or `https://HOST/api/v3`.
    pub api_url: String,
    /// A token that may write commit statuses and comments; without one the API isn't called.
    pub token: Option<SecretString>,
    /// The secret of its webhooks; without one they are refused.
    pub webhook_secret: Option<SecretString>,
    /// How long a connection may take to stand.
    pub connect_timeout: Duration,
    /// How long a request may take from its start to the last byte of the answer.
    pub request_timeout: Duration,
}

impl GitHubOptions {
    /// The options for an API and a token, with the usual deadlines (5 s to connect, 20 s in all) and without webhooks.
    pub fn new(name: impl Into<String>, api_url: impl Into<String>, token: impl Into<Option<SecretString>>) -> Self {
        Self {
            name: name.into(),
            api_url: api_url.into(),
            token: token.into(),
            webhook_secret: None,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(20),
        }
    }
}

/// One GitHub.
pub struct GitHub {
    name: String,
    /// None without a token.
    api: Option<Api>,
    webhook_secret: Option<SecretString>,
}

impl fmt::Debug for GitHub {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = self.api.as_ref().map(Api::base);
        out.debug_struct("GitHub").field("name", &self.name).field("base", &base).finish_non_exhaustive()
    }
}

impl GitHub {
    /// Sets up the client; nothing is sent yet. To be called within the runtime.
    ///
    /// # Errors
    /// If the address or the token can't be used, or TLS finds no certificate authorities to trust.
    pub fn new(options: GitHubOptions, clock: Clock) -> Result<Self, SetupError> {
        let GitHubOptions { name, api_url, token, webhook_secret, connect_timeout, request_timeout } = options;
        let api = token
            .map(|token| Api::new(&api_url, &token, connect_timeout, request_timeout, clock))
            .transpose()
            .map_err(|message| SetupError { forge: name.clone(), message })?;
        Ok(Self { name, api, webhook_secret })
    }
}

#[async_trait]
impl Forge for GitHub {
    fn name(&self) -> &str {
        &self.name
    }

    fn capabilities(&self) -> Capabilities {
        if self.api.is_none() {
            return Capabilities::NONE;
        }
        Capabilities {
            statuses: true,
            status_needs_url: false,
            pull_requests: false,
            comment_limit: COMMENT_LIMIT,
            markup: Markup { folding: true, hidden_text: true },
        }
    }

    fn budget(&self) -> Option<Budget> {
        self.api.as_ref().and_then(Api::budget)
    }

    fn webhook_path(&self) -> Option<&'static str> {
        Some("github")
    }

    fn receive(
        &self,
        repositories: &[RepositoryName],
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Delivery, WebhookError> {
        let secret = self.webhook_secret.as_ref().ok_or(WebhookError::NoSecret)?;
        webhook::receive(secret, repositories, headers, body)
    }

    async fn post_status(&self, repo: &str, status: &CommitStatus, target_url: Option<&str>) -> Result<(), ForgeError> {
        let Some(api) = &self.api else {
            leave_unsaid(&self.name, status);
            return Ok(());
        };
        api.post_status(repo, status, target_url).await
    }

    async fn statuses(&self, repo: &str, commit: &CommitSha) -> Result<Vec<PostedStatus>, ForgeError> {
        match &self.api {
            Some(api) => api.statuses(repo, commit).await,
            None => Ok(Vec::new()),
        }
    }

    async fn newest_status(
        &self,
        repo: &str,
        commit: &CommitSha,
        context: &str,
    ) -> Result<Option<PostedStatus>, ForgeError> {
        match &self.api {
            Some(api) => api.newest_status(repo, commit, context).await,
            None => Ok(None),
        }
    }

    fn head_of(&self, pull_request: &PullRequest) -> HeadSource {
        // GitHub keeps it in the target's repository, whatever becomes of the fork.
        HeadSource::Ref(format!("refs/pull/{}/head", pull_request.number))
    }
}

/// Where a repository stands in the API. Its name is checked, because it becomes part of an address.
fn repository_path(repo: &str) -> Result<String, ForgeError> {
    if RepositoryName::parse(repo).is_ok() && repo.split('/').count() == 2 {
        Ok(format!("/repos/{repo}"))
    } else {
        Err(ForgeError {
            kind: ForgeErrorKind::Refused,
            message: format!("`{}` is no repository on GitHub: its name has to be owner/name", one_line(repo, 100)),
            may_have_arrived: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_cannot_lead_elsewhere() {
        assert!(repository_path("acme/shop").is_ok());
        for bad in ["shop", "a/b/c", "../x", "a/..", "a/b?x", ""] {
            assert!(repository_path(bad).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn without_a_token_there_is_still_a_forge() {
        let mut options = GitHubOptions::new("github", "https://api.github.com", None);
        options.webhook_secret = Some(SecretString::from("s"));
        let forge = GitHub::new(options, Clock::system()).expect("set up");
        assert_eq!(forge.capabilities(), Capabilities::NONE);
        assert_eq!(forge.webhook_path(), Some("github"));
        let refused = forge.receive(&[], &HeaderMap::new(), b"{}");
        assert_eq!(refused, Err(WebhookError::Unsigned { header: "X-Hub-Signature-256" }));
    }
}
