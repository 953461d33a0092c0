//! Comments on pull requests. Whoever edits one has to say which version of it they saw: it is remembered from whatever
//! answer told it last, so that an edit is one request as a rule.

use std::sync::PoisonError;

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
/// Of how many comments the version is remembered; then all are forgotten.
const KNOWN_LIMIT: usize = 2000;

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
        let comment: CommentPart = parse(&answer, call, "a comment")?;
        let id = comment.id.ok_or_else(|| ForgeError {
            kind: ForgeErrorKind::Server,
            message: format!("{}: the answer doesn't say which comment it is", call.title()),
            may_have_arrived: true,
        })?;
        self.note_version(id, comment.version);
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
        for _ in 0..EDITS {
            let version = match self.known_version(number) {
                Some(version) => version,
                None => {
                    let seen: CommentPart = self.api.read(&path, READ, "a comment").await?;
                    self.note_version(number, seen.version);
                    if seen.text.as_deref().is_some_and(|text| text.trim_end() == body.trim_end()) {
                        return Ok(());
                    }
                    seen.version.unwrap_or_default()
                }
            };
            let body = json!({"text": body, "version": version});
            let call = Call::with(&Method::PUT, &path, &body, READ);
            let answer = self.api.ask(call).await?;
            if answer.status.as_u16() == 409 {
                self.note_version(number, None);
                continue;
            }
            if answer.status.as_u16() != 200 {
                return Err(self.api.refusal(&answer, call));
            }
            // It counts, whatever else the answer says.
            let edited = serde_json::from_slice::<CommentPart>(&answer.body).ok();
            self.note_version(number, edited.and_then(|edited| edited.version));
            return Ok(());
        }
        Err(ForgeError {
            kind: ForgeErrorKind::Server,
            message: format!(
                "PUT {path}: 409 each time that it was tried, because somebody else edits the comment too"
            ),
            may_have_arrived: false,
        })
    }

    fn known_version(&self, comment: u64) -> Option<i64> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner).get(&comment).copied()
    }

    /// Takes note of the version that a comment has now; none if that isn't known.
    fn note_version(&self, comment: u64, version: Option<i64>) {
        let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        if versions.len() >= KNOWN_LIMIT {
            versions.clear();
        }
        match version {
            Some(version) => versions.insert(comment, version),
            None => versions.remove(&comment),
        };
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
        let Some((number, version, comment)) = ours.min_by_key(|(number, ..)| *number) else { return Ok(None) };
        self.note_version(number, version);
        Ok(Some(comment))
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
    fn ours(self, own: &str, marker: &str) -> Option<(u64, Option<i64>, PostedComment)> {
        let (id, version, body, author) = (self.id?, self.version, self.text?, self.author?.name?);
        let found = author.eq_ignore_ascii_case(own) && body.contains(marker);
        found.then(|| (id, version, PostedComment { id: CommentId(id.to_string()), body }))
    }
}
