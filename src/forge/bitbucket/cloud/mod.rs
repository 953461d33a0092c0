//! Bitbucket Cloud (bitbucket.org), by its REST API 2.0.

mod check;
mod comment;
mod payload;
mod pulls;
mod status;
mod webhook;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use http::HeaderMap;
use secrecy::SecretString;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::answer::Product;
use super::check::no_token;
use super::client::{Api, parts};
use super::{BitbucketOptions, CAPABILITIES, WEBHOOK_PATH};
use crate::clock::Clock;
use crate::forge::plain::leave_unsaid;
use crate::forge::{
    Capabilities, CheckItem, CommentId, Delivery, Forge, ForgeError, HeadSource, Listing, PostedComment, PostedStatus,
    SetupError, Validator, WebhookError,
};
use crate::model::{CommitSha, CommitStatus, PullRequest, RepositoryName};

/// What reading and writing statuses needs, in the words of Bitbucket's settings.
const STATUSES: &str = "the scope `repository` (for an API token `read:repository:bitbucket`)";
/// What reading and commenting on pull requests needs.
const PULL_REQUESTS: &str =
    "the scope `pullrequest` (for an API token `read:pullrequest:bitbucket` and `write:pullrequest:bitbucket`)";

/// One Bitbucket Cloud.
pub struct BitbucketCloud {
    name: String,
    url: String,
    webhook_url: Option<String>,
    webhook_secret: Option<SecretString>,
    cloud: Option<Cloud>,
}

/// Its API, with the token that opens it.
struct Cloud {
    api: Api,
    /// The account that the token speaks for, once it is known.
    own: Mutex<Option<String>>,
    /// Ids of commits that were found in full, by repository and their first 12 digits.
    known: Mutex<HashMap<(String, String), CommitSha>>,
}

impl fmt::Debug for BitbucketCloud {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = self.cloud.as_ref().map(|cloud| cloud.api.base());
        out.debug_struct("BitbucketCloud").field("name", &self.name).field("base", &base).finish_non_exhaustive()
    }
}

impl BitbucketCloud {
    /// Sets up the client; nothing is sent yet. To be called within the runtime.
    ///
    /// # Errors
    /// If the address or the token can't be used.
    pub fn new(options: BitbucketOptions, clock: Clock) -> Result<Self, SetupError> {
        let api = options.api(Product::Cloud, clock)?;
        let webhook_url = options.webhook_url();
        Ok(Self {
            name: options.name,
            url: options.url.trim_end_matches('/').to_owned(),
            webhook_url,
            webhook_secret: options.webhook_secret,
            cloud: api.map(|api| Cloud { api, own: Mutex::default(), known: Mutex::default() }),
        })
    }

    fn with_token(&self, what: &str) -> Result<&Cloud, ForgeError> {
        self.cloud.as_ref().ok_or_else(|| ForgeError::unsupported(&self.name, what))
    }
}

#[async_trait]
impl Forge for BitbucketCloud {
    fn name(&self) -> &str {
        &self.name
    }

    fn capabilities(&self) -> Capabilities {
        if self.cloud.is_some() { CAPABILITIES } else { Capabilities::NONE }
    }

    fn webhook_path(&self) -> Option<&'static str> {
        Some(WEBHOOK_PATH)
    }

    fn receive(
        &self,
        repositories: &[RepositoryName],
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Delivery, WebhookError> {
        webhook::receive(self.webhook_secret.as_ref(), repositories, headers, body)
    }

    async fn post_status(&self, repo: &str, status: &CommitStatus, target_url: Option<&str>) -> Result<(), ForgeError> {
        match &self.cloud {
            Some(cloud) => cloud.post_status(repo, status, target_url).await,
            None => {
                leave_unsaid(&self.name, status);
                Ok(())
            }
        }
    }

    async fn statuses(&self, repo: &str, commit: &CommitSha) -> Result<Vec<PostedStatus>, ForgeError> {
        match &self.cloud {
            Some(cloud) => cloud.statuses(repo, commit).await,
            None => Ok(Vec::new()),
        }
    }

    async fn newest_status(
        &self,
        repo: &str,
        commit: &CommitSha,
        context: &str,
    ) -> Result<Option<PostedStatus>, ForgeError> {
        match &self.cloud {
            Some(cloud) => cloud.newest_status(repo, commit, context).await,
            None => Ok(None),
        }
    }

    async fn post_comment(&self, repo: &str, pull_request: u64, body: &str) -> Result<CommentId, ForgeError> {
        self.with_token("comments")?.post_comment(repo, pull_request, body).await
    }

    async fn edit_comment(
        &self,
        repo: &str,
        pull_request: u64,
        comment: &CommentId,
        body: &str,
    ) -> Result<(), ForgeError> {
        self.with_token("comments")?.edit_comment(repo, pull_request, comment, body).await
    }

    async fn find_comment(
        &self,
        repo: &str,
        pull_request: u64,
        marker: &str,
    ) -> Result<Option<PostedComment>, ForgeError> {
        self.with_token("comments")?.find_comment(repo, pull_request, marker).await
    }

    async fn pull_request(&self, repository: &RepositoryName, number: u64) -> Result<PullRequest, ForgeError> {
        self.with_token("pull requests")?.pull_request(repository, number).await
    }

    async fn open_pull_requests(
        &self,
        repository: &RepositoryName,
        since: Option<&Validator>,
    ) -> Result<Listing, ForgeError> {
        self.with_token("pull requests")?.open_pull_requests(repository, since).await
    }

    /// Bitbucket Cloud has no refs for pull requests: their heads are branches, of other repositories if need be.
    fn head_of(&self, pull_request: &PullRequest) -> HeadSource {
        let git_ref = format!("refs/heads/{}", pull_request.head_branch);
        match &pull_request.head_repository {
            _ if !pull_request.fork => HeadSource::Ref(git_ref),
            Some(name) => HeadSource::Repository { url: format!("{}/{name}.git", self.url), git_ref },
            None => HeadSource::Gone,
        }
    }

    async fn check_access(&self) -> Vec<CheckItem> {
        match &self.cloud {
            Some(cloud) => cloud.check_access().await,
            None => vec![no_token(&self.name)],
        }
    }

    async fn check(&self, repository: &RepositoryName) -> Vec<CheckItem> {
        self.check_all(repository).await
    }
}

/// A page of a list.
#[derive(Deserialize)]
struct Page<T> {
    #[serde(default = "Vec::new")]
    values: Vec<T>,
    /// The address of the next page. It is never called, only whether there is one counts.
    next: Option<String>,
}

impl Cloud {
    /// Where a repository stands in the API.
    fn path(repo: &str) -> Result<String, ForgeError> {
        let (workspace, slug) = parts(Product::Cloud, repo)?;
        Ok(format!("/2.0/repositories/{workspace}/{slug}"))
    }

    /// Reads at most `pages` pages of a list; whether there are more.
    async fn list<T: DeserializeOwned>(
        &self,
        path: &str,
        size: usize,
        pages: usize,
        permission: &str,
    ) -> Result<(Vec<T>, bool), ForgeError> {
        let mark = if path.contains('?') { '&' } else { '?' };
        let mut all = Vec::new();
        for page in 1..=pages {
            let path = format!("{path}{mark}pagelen={size}&page={page}");
            let Page { values, next } = if page == 1 {
                self.api.read(&path, permission, "a page of a list").await?
            } else {
                self.api.read_on(&path, permission, "a page of a list").await?
            };
            all.extend(values);
            if next.is_none() {
                return Ok((all, false));
            }
        }
        Ok((all, true))
    }

    fn own(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
