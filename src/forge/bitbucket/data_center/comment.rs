//! Comments on pull requests. Whoever edits one has to say which version of it they saw.

use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::payload::User;
use super::{Center, READ};
use crate::forge::bitbucket::answer::user_name;
use crate::forge::bitbucket::client::{Call, parse};
use crate::forge::bitbucket::comment_number;
use crate::forge::{CommentId, ForgeError, ForgeErrorKind, PostedComment};

/// How many activities a page has.
const PAGE: usize = 200;
/// How many pages are read at most.
const PAGES: usize = 10;
/// How often an edit is tried if somebody else's comes between.
const EDITS: usize = 3;

impl Center {
    pub(super) async fn post_comment(
        &self,
        repo: &str,
        pull_request: u64,
        body: &str,
    ) -> Result<CommentId, ForgeError> {
        let path = format!("{}/pull-requests/{pull_request}/comments", Self::path(repo)?);
        let body = json!({"text": body});
        let call = Call::with(&Method::POST, &path, &body, READ);
        let answer = self.api.expect(call, &[200, 201]).await?;
        let id = parse::<CommentPart>(&answer, call, "a comment")?.id.ok_or_else(|| ForgeError {
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
        let path = format!("{}/pull-requests/{pull_request}/comments/{number}", Self::path(repo)?);
        let mut tries = 0;
        loop {
            let seen: CommentPart = self.api.read(&path, READ, "a comment").await?;
            let body = json!({"text": body, "version": seen.version.unwrap_or_default()});
            let call = Call::with(&Method::PUT, &path, &body, READ);
            let answer = self.api.ask(call).await?;
            tries += 1;
            match answer.status.as_u16() {
                200 => return Ok(()),
                409 if tries < EDITS => {}
                _ => return Err(self.api.refusal(&answer, call)),
            }
        }
    }

    /// The list of what happened to a pull request is the only one that has all comments; it begins with the newest.
    pub(super) async fn find_comment(
        &self,
        repo: &str,
        pull_request: u64,
        marker: &str,
    ) -> Result<Option<PostedComment>, ForgeError> {
        let path = format!("{}/pull-requests/{pull_request}/activities", Self::path(repo)?);
        let (activities, _, answer): (Vec<Activity>, _, _) = self.list(&path, PAGE, PAGES).await?;
        // Each answer names the user that the token speaks for.
        let Some(own) = answer.as_ref().and_then(|answer| user_name(&answer.headers)) else { return Ok(None) };
        let comments = activities.into_iter().filter(|activity| activity.action.as_deref() == Some("COMMENTED"));
        let ours = comments.filter_map(|activity| activity.comment?.ours(own, marker));
        Ok(ours.min_by_key(|(number, _)| *number).map(|(_, comment)| comment))
    }
}

#[derive(Deserialize)]
struct Activity {
    action: Option<String>,
    comment: Option<CommentPart>,
}

#[derive(Deserialize)]
struct CommentPart {
    id: Option<u64>,
    version: Option<i64>,
    text: Option<String>,
    author: Option<User>,
}

impl CommentPart {
    fn ours(self, own: &str, marker: &str) -> Option<(u64, PostedComment)> {
        let (id, body, author) = (self.id?, self.text?, self.author?.name?);
        let found = author.eq_ignore_ascii_case(own) && body.contains(marker);
        found.then(|| (id, PostedComment { id: CommentId(id.to_string()), body }))
    }
}
