//! GitHub, github.com and GitHub Enterprise Server: webhooks that come in, statuses and comments that go out.
//!
//! octocrab and the HTTP client stay in `client`, what answers mean in `answer`, the words of the API in one file
//! per thing it is about, those of a webhook in `webhook`. [`GitHub`] puts them together.

mod account;
mod answer;
mod check;
mod client;
mod comment;
mod hook;
mod list;
mod pull_request;
mod status;
mod webhook;
mod wire;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use http::HeaderMap;
use secrecy::SecretString;

use super::plain::leave_unsaid;
use super::{
    Budget, Capabilities, CheckItem, CheckVerdict, CommentId, Delivery, Forge, ForgeError, ForgeErrorKind, HeadSource,
    Listing, Markup, PostedComment, PostedStatus, SetupError, Validator, WebhookError,
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
    /// The address under which the forge reaches this server, without a slash at the end; for [`Forge::check`].
    pub public_url: Option<String>,
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
            public_url: None,
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
    public_url: Option<String>,
}

impl fmt::Debug for GitHub {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = self.api.as_ref().map(Api::base);
        out.debug_struct("GitHub").field("name", &self.name).field("base", &base).finish_non_exhaustive()
    }
}

impl GitHub {
    fn api(&self, what: &str) -> Result<&Api, ForgeError> {
        self.api.as_ref().ok_or_else(|| ForgeError::unsupported(&self.name, what))
    }

    /// Sets up the client; nothing is sent yet. To be called within the runtime.
    ///
    /// # Errors
    /// If the address or the token can't be used, or TLS finds no certificate authorities to trust.
    pub fn new(options: GitHubOptions, clock: Clock) -> Result<Self, SetupError> {
        let GitHubOptions { name, api_url, token, webhook_secret, public_url, connect_timeout, request_timeout } =
            options;
        let api = token
            .map(|token| Api::new(&api_url, &token, connect_timeout, request_timeout, clock))
            .transpose()
            .map_err(|message| SetupError { forge: name.clone(), message })?;
        Ok(Self { name, api, webhook_secret, public_url })
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
            pull_requests: true,
            comment_limit: COMMENT_LIMIT,
            markup: Markup { folding: true, hidden_text: true, mermaid: true },
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

    async fn post_comment(&self, repo: &str, pull_request: u64, body: &str) -> Result<CommentId, ForgeError> {
        self.api("comments")?.post_comment(repo, pull_request, body).await
    }

    async fn edit_comment(&self, repo: &str, _: u64, comment: &CommentId, body: &str) -> Result<(), ForgeError> {
        self.api("comments")?.edit_comment(repo, comment, body).await
    }

    async fn find_comment(
        &self,
        repo: &str,
        pull_request: u64,
        marker: &str,
    ) -> Result<Option<PostedComment>, ForgeError> {
        self.api("comments")?.find_comment(repo, pull_request, marker).await
    }

    async fn pull_request(&self, repository: &RepositoryName, number: u64) -> Result<PullRequest, ForgeError> {
        self.api("pull requests")?.pull_request(repository, number).await
    }

    async fn open_pull_requests(
        &self,
        repository: &RepositoryName,
        since: Option<&Validator>,
    ) -> Result<Listing, ForgeError> {
        self.api("pull requests")?.open_pull_requests(repository, since).await
    }

    fn head_of(&self, pull_request: &PullRequest) -> HeadSource {
        // GitHub keeps it in the target's repository, whatever becomes of the fork.
        HeadSource::Ref(format!("refs/pull/{}/head", pull_request.number))
    }

    async fn check_access(&self) -> Vec<CheckItem> {
        match &self.api {
            Some(api) => api.check_access().await,
            None => vec![CheckItem::new(
                "token",
                CheckVerdict::Bad,
                "there is none, so nothing can be posted; add `token` to the forge",
            )],
        }
    }

    async fn check(&self, repository: &RepositoryName) -> Vec<CheckItem> {
        let Some(api) = &self.api else { return Vec::new() };
        let webhook = check::Wanted {
            secret: self.webhook_secret.is_some(),
            address: self.public_url.as_ref().map(|public| format!("{public}/webhooks/github")),
        };
        api.check(repository, &webhook).await
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
