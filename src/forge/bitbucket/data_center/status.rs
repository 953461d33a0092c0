//! Build statuses (Atlassian's page "Updating build status for commits"). Bitbucket keeps one status a key, commit and
//! repository: a new one takes the place of the old. Before 7.4 a status belonged to a commit alone, and had an address
//! of its own, which newer servers still answer.

use std::sync::atomic::Ordering;

use http::Method;
use serde_json::{Value, json};

use super::{Center, READ};
use crate::forge::bitbucket::answer::is_unknown_address;
use crate::forge::bitbucket::client::{Call, parse};
use crate::forge::bitbucket::status::{StatusPart, page_of, state_word, status_key};
use crate::forge::{ForgeError, ForgeErrorKind, PostedStatus};
use crate::model::{CommitSha, CommitStatus, percent_encode_part};

/// The longest key and the longest name, in characters.
const KEY_LIMIT: usize = 255;
/// How many statuses a page has.
const PAGE: usize = 100;
/// How many pages are read at most.
const PAGES: usize = 10;

fn old_path(commit: &CommitSha) -> String {
    format!("/rest/build-status/1.0/commits/{commit}")
}

impl Center {
    pub(super) async fn post_status(
        &self,
        repo: &str,
        status: &CommitStatus,
        target_url: Option<&str>,
    ) -> Result<(), ForgeError> {
        let body = json!({
            "key": status_key(&status.target.context, KEY_LIMIT),
            "name": status.target.context.chars().take(KEY_LIMIT).collect::<String>(),
            "state": state_word(status.state),
            "description": status.description,
            "url": page_of(target_url)?,
        });
        let path = format!("{}/commits/{}/builds", Self::path(repo)?, status.target.commit);
        if !self.old_statuses.load(Ordering::Relaxed) {
            let call = Call::with(&Method::POST, &path, &body, READ);
            let answer = self.api.ask(call).await?;
            match answer.status.as_u16() {
                200 | 201 | 204 => return Ok(()),
                404 if is_unknown_address(&answer) => {}
                _ => return Err(self.api.refusal(&answer, call)),
            }
        }
        self.post_old_status(&status.target.commit, &body).await?;
        self.is_old();
        Ok(())
    }

    /// Only the old address is there.
    fn is_old(&self) {
        if !self.old_statuses.swap(true, Ordering::Relaxed) {
            tracing::info!(
                "this Bitbucket is older than 7.4: a commit has its statuses in all repositories that have it"
            );
        }
    }

    async fn post_old_status(&self, commit: &CommitSha, body: &Value) -> Result<(), ForgeError> {
        let path = old_path(commit);
        let call = Call::with(&Method::POST, &path, body, READ);
        self.api.expect(call, &[200, 201, 204]).await.map(|_| ())
    }

    /// The list is there at the old address only.
    async fn all_statuses(&self, commit: &CommitSha) -> Result<Vec<StatusPart>, ForgeError> {
        let path = format!("{}?orderBy=NEWEST", old_path(commit));
        Ok(self.list(&path, PAGE, PAGES).await?.0)
    }

    async fn old_status(&self, commit: &CommitSha, key: &str) -> Result<Option<StatusPart>, ForgeError> {
        Ok(StatusPart::find(self.all_statuses(commit).await?, key))
    }

    pub(super) async fn statuses(&self, repo: &str, commit: &CommitSha) -> Result<Vec<PostedStatus>, ForgeError> {
        Self::path(repo)?;
        Ok(self.all_statuses(commit).await?.into_iter().filter_map(StatusPart::posted).collect())
    }

    pub(super) async fn newest_status(
        &self,
        repo: &str,
        commit: &CommitSha,
        context: &str,
    ) -> Result<Option<PostedStatus>, ForgeError> {
        let key = status_key(context, KEY_LIMIT);
        let path = format!("{}/commits/{commit}/builds?key={}", Self::path(repo)?, percent_encode_part(&key));
        let found = if self.old_statuses.load(Ordering::Relaxed) {
            self.old_status(commit, &key).await?
        } else {
            let call = Call::get(&path, READ);
            let answer = self.api.ask(call).await?;
            match answer.status.as_u16() {
                200 => Some(parse::<StatusPart>(&answer, call, "a status")?),
                404 if is_unknown_address(&answer) => {
                    let found = self.old_status(commit, &key).await?;
                    self.is_old();
                    found
                }
                _ => match self.api.refusal(&answer, call) {
                    error if error.kind == ForgeErrorKind::NotFound => None,
                    error => return Err(error),
                },
            }
        };
        Ok(found.and_then(|status| status.posted_as(context)))
    }
}
