//! Bitbucket Data Center (and Bitbucket Server, as it was called before), by its REST API.

mod check;
mod comment;
mod payload;
mod pulls;
mod status;
mod webhook;

use std::collections::HashMap;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use async_trait::async_trait;
use http::HeaderMap;
use secrecy::SecretString;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::answer::Product;
use super::check::no_token;
use super::client::{Api, Call, parse, parts};
use super::{BitbucketOptions, CAPABILITIES, WEBHOOK_PATH};
use crate::clock::Clock;
use crate::forge::plain::leave_unsaid;
use crate::forge::{
    Capabilities, CheckItem, CommentId, Delivery, Forge, ForgeError, HeadSource, Listing, PostedComment, PostedStatus,
    SetupError, Validator, WebhookError,
};
use crate::model::{CommitSha, CommitStatus, PullRequest, RepositoryName};
use crate::outbound::Answer;

/// What statuses and comments need, in the words of Bitbucket's settings.
const READ: &str = "the permission \"Repository read\"";

/// One Bitbucket Data Center.
pub struct BitbucketDataCenter {
    name: String,
    webhook_url: Option<String>,
    webhook_secret: Option<SecretString>,
    center: Option<Center>,
}

/// Its API, with the token that opens it.
struct Center {
    api: Api,
    /// Whether the server was found to be older than 7.4, where a status belongs to a commit alone.
    old_statuses: AtomicBool,
    /// The versions of comments as they were last told: who edits one has to say which they saw.
    versions: Mutex<HashMap<u64, i64>>,
}

impl fmt::Debug for BitbucketDataCenter {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = self.center.as_ref().map(|center| center.api.base());
        out.debug_struct("BitbucketDataCenter").field("name", &self.name).field("base", &base).finish_non_exhaustive()
    }
}

impl BitbucketDataCenter {
    /// Sets up the client; nothing is sent yet. To be called within the runtime.
    ///
    /// # Errors
    /// If the address or the token can't be used.
    pub fn new(options: BitbucketOptions, clock: Clock) -> Result<Self, SetupError> {
        let api = options.api(Product::DataCenter, clock)?;
        let webhook_url = options.webhook_url();
        Ok(Self {
            name: options.name,
            webhook_url,
            webhook_secret: options.webhook_secret,
            center: api.map(|api| Center { api, old_statuses: AtomicBool::new(false), versions: Mutex::default() }),
        })
    }

    fn with_token(&self, what: &str) -> Result<&Center, ForgeError> {
        self.center.as_ref().ok_or_else(|| ForgeError::unsupported(&self.name, what))
    }
}

#[async_trait]
impl Forge for BitbucketDataCenter {
    fn name(&self) -> &str {
        &self.name
    }

    fn capabilities(&self) -> Capabilities {
        if self.center.is_some() { CAPABILITIES } else { Capabilities::NONE }
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
        match &self.center {
            Some(center) => center.post_status(repo, status, target_url).await,
            None => {
                leave_unsaid(&self.name, status);
                Ok(())
            }
        }
    }

    async fn statuses(&self, repo: &str, commit: &CommitSha) -> Result<Vec<PostedStatus>, ForgeError> {
        match &self.center {
            Some(center) => center.statuses(repo, commit).await,
            None => Ok(Vec::new()),
        }
    }

    async fn newest_status(
        &self,
        repo: &str,
        commit: &CommitSha,
        context: &str,
    ) -> Result<Option<PostedStatus>, ForgeError> {
        match &self.center {
            Some(center) => center.newest_status(repo, commit, context).await,
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

    /// The server keeps a ref for each head in the target's repository, of forks as well.
    fn head_of(&self, pull_request: &PullRequest) -> HeadSource {
        HeadSource::Ref(format!("refs/pull-requests/{}/from", pull_request.number))
    }

    async fn check_access(&self) -> Vec<CheckItem> {
        match &self.center {
            Some(center) => center.check_access().await,
            None => vec![no_token(&self.name)],
        }
    }

    async fn check(&self, repository: &RepositoryName) -> Vec<CheckItem> {
        self.check_all(repository).await
    }
}

/// A page of a list.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page<T> {
    #[serde(default = "Vec::new")]
    values: Vec<T>,
    is_last_page: Option<bool>,
    next_page_start: Option<u64>,
}

impl Center {
    /// Where a repository stands in the API.
    fn path(repo: &str) -> Result<String, ForgeError> {
        let (key, slug) = parts(Product::DataCenter, repo)?;
        Ok(format!("/rest/api/latest/projects/{key}/repos/{slug}"))
    }

    /// Reads at most `pages` pages of a list: its entries, whether there are more, and the last answer.
    async fn list<T: DeserializeOwned>(
        &self,
        path: &str,
        size: usize,
        pages: usize,
    ) -> Result<(Vec<T>, bool, Option<Answer>), ForgeError> {
        let mark = if path.contains('?') { '&' } else { '?' };
        let (mut all, mut start, mut last) = (Vec::new(), 0, None);
        for _ in 0..pages {
            let path = format!("{path}{mark}limit={size}&start={start}");
            let call = Call::get(&path, READ);
            let first = all.is_empty();
            let answer =
                if first { self.api.expect(call, &[200]).await? } else { self.api.expect_on(call, &[200]).await? };
            let page: Page<T> = parse(&answer, call, "a page of a list")?;
            all.extend(page.values);
            last = Some(answer);
            match page.next_page_start {
                // One that doesn't go on would be read for ever.
                Some(next) if page.is_last_page != Some(true) && next > start => start = next,
                _ => return Ok((all, false, last)),
            }
        }
        Ok((all, true, last))
    }
}
