//! Build statuses (Atlassian's page "The Bitbucket Cloud REST API: commit statuses"). Bitbucket keeps one status a key
//! and commit: a new one takes the place of the old.

use http::Method;
use serde_json::json;

use super::{Cloud, STATUSES};
use crate::forge::bitbucket::client::Call;
use crate::forge::bitbucket::status::{StatusPart, page_of, state_word, status_key};
use crate::forge::{ForgeError, PostedStatus};
use crate::model::{CommitSha, CommitStatus};

/// The longest key, in characters.
const KEY_LIMIT: usize = 40;
/// How many statuses a page has: Bitbucket's maximum.
const PAGE: usize = 100;
/// How many pages are read at most.
const PAGES: usize = 10;

impl Cloud {
    pub(super) async fn post_status(
        &self,
        repo: &str,
        status: &CommitStatus,
        target_url: Option<&str>,
    ) -> Result<(), ForgeError> {
        let url = page_of(target_url)?;
        let path = format!("{}/commit/{}/statuses/build", Self::path(repo)?, status.target.commit);
        let body = json!({
            "key": status_key(&status.target.context, KEY_LIMIT),
            "name": status.target.context,
            "state": state_word(status.state),
            "description": status.description,
            "url": url,
        });
        self.api.expect(Call::with(&Method::POST, &path, &body, STATUSES), &[200, 201]).await.map(|_| ())
    }

    async fn all_statuses(&self, repo: &str, commit: &CommitSha) -> Result<Vec<StatusPart>, ForgeError> {
        let path = format!("{}/commit/{commit}/statuses?sort=-updated_on", Self::path(repo)?);
        Ok(self.list(&path, PAGE, PAGES, STATUSES).await?.0)
    }

    pub(super) async fn statuses(&self, repo: &str, commit: &CommitSha) -> Result<Vec<PostedStatus>, ForgeError> {
        Ok(self.all_statuses(repo, commit).await?.into_iter().filter_map(StatusPart::posted).collect())
    }

    /// The key says which it is; the name is cut by Bitbucket if it is long.
    pub(super) async fn newest_status(
        &self,
        repo: &str,
        commit: &CommitSha,
        context: &str,
    ) -> Result<Option<PostedStatus>, ForgeError> {
        let key = status_key(context, KEY_LIMIT);
        let found = StatusPart::find(self.all_statuses(repo, commit).await?, &key);
        Ok(found.and_then(|status| status.posted_as(context)))
    }
}
