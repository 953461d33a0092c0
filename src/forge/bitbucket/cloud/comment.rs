//! Comments on pull requests.
//!
//! Whose a comment is says the account that wrote it. Which account a token speaks for is asked once, and only if anybody
//! wrote such a comment; the access token
//! of a repository, project or workspace is nobody and may not ask. What it wrote shows it then: the answer to a
//! comment names its author. Until there was one, a comment counts as its own if an access token wrote it: only
//! administrators can make those.

use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::payload::Account;
use super::{Cloud, PULL_REQUESTS};
use crate::forge::bitbucket::client::{Call, parse};
use crate::forge::bitbucket::comment_number;
use crate::forge::{CommentId, ForgeError, ForgeErrorKind, PostedComment};

/// How many comments a page has: Bitbucket's maximum.
const PAGE: usize = 100;
/// How many pages are read at most.
const PAGES: usize = 10;
/// What Bitbucket calls an access token among the accounts.
const ACCESS_TOKEN: &str = "app_user";

impl Cloud {
    pub(super) async fn post_comment(
        &self,
        repo: &str,
        pull_request: u64,
        body: &str,
    ) -> Result<CommentId, ForgeError> {
        let path = format!("{}/pullrequests/{pull_request}/comments", Self::path(repo)?);
        let body = json!({"content": {"raw": body}});
        let call = Call::with(&Method::POST, &path, &body, PULL_REQUESTS);
        let answer = self.api.expect(call, &[200, 201]).await?;
        let comment: CommentPart = parse(&answer, call, "a comment")?;
        if let Some(own) = comment.user.and_then(|user| user.uuid) {
            *self.own() = Some(own);
        }
        let id = comment.id.ok_or_else(|| ForgeError {
            kind: ForgeErrorKind::Server,
            message: format!("{}: the answer doesn't say which comment it is", call.title()),
            may_have_arrived: true,
        })?;
        Ok(CommentId(id.to_string()))
    }

    pub(super) async fn edit_comment(
        &self,
        repo: &str,
        pull_request: u64,
        comment: &CommentId,
        body: &str,
    ) -> Result<(), ForgeError> {
        let number = comment_number(&comment.0)?;
        let path = format!("{}/pullrequests/{pull_request}/comments/{number}", Self::path(repo)?);
        let body = json!({"content": {"raw": body}});
        let call = Call::with(&Method::PUT, &path, &body, PULL_REQUESTS);
        let answer = self.api.expect(call, &[200]).await?;
        let comment: CommentPart = parse(&answer, call, "a comment")?;
        if comment.deleted == Some(true) {
            return Err(ForgeError {
                kind: ForgeErrorKind::NotFound,
                message: format!("{}: the comment was deleted", call.title()),
                may_have_arrived: false,
            });
        }
        Ok(())
    }

    pub(super) async fn find_comment(
        &self,
        repo: &str,
        pull_request: u64,
        marker: &str,
    ) -> Result<Option<PostedComment>, ForgeError> {
        let path = format!("{}/pullrequests/{pull_request}/comments?sort=created_on", Self::path(repo)?);
        let (comments, _): (Vec<CommentPart>, _) = self.list(&path, PAGE, PAGES, PULL_REQUESTS).await?;
        let candidates: Vec<CommentPart> = comments.into_iter().filter(|comment| comment.has(marker)).collect();
        if candidates.is_empty() {
            return Ok(None);
        }
        let own = self.own_account().await?;
        Ok(candidates.into_iter().find_map(|comment| comment.ours(own.as_deref())))
    }

    /// The account that the token speaks for; none if that isn't known.
    async fn own_account(&self) -> Result<Option<String>, ForgeError> {
        if let Some(own) = self.own().clone() {
            return Ok(Some(own));
        }
        match self.api.read_on::<Account>("/2.0/user", "the scope `account`", "an account").await {
            Ok(account) => {
                self.own().clone_from(&account.uuid);
                Ok(account.uuid)
            }
            // An access token is no user, and not every token may ask. A token that is good for nothing says so with
            // the next request.
            Err(error)
                if matches!(
                    error.kind,
                    ForgeErrorKind::Auth | ForgeErrorKind::Forbidden | ForgeErrorKind::NotFound
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

#[derive(Deserialize)]
struct CommentPart {
    id: Option<u64>,
    content: Option<Content>,
    user: Option<Account>,
    deleted: Option<bool>,
}

#[derive(Deserialize)]
struct Content {
    raw: Option<String>,
}

impl CommentPart {
    fn has(&self, marker: &str) -> bool {
        let raw = self.content.as_ref().and_then(|content| content.raw.as_deref());
        self.deleted != Some(true) && raw.is_some_and(|raw| raw.contains(marker))
    }

    fn ours(self, own: Option<&str>) -> Option<PostedComment> {
        let user = self.user?;
        let ours = match own {
            Some(own) => user.uuid.as_deref() == Some(own),
            None => user.kind.as_deref() == Some(ACCESS_TOKEN),
        };
        let body = self.content?.raw?;
        ours.then_some(PostedComment { id: CommentId(self.id?.to_string()), body })
    }
}
