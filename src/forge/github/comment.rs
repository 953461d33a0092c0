//! Comments on pull requests, which GitHub's REST API keeps with the issues.
//!
//! From GitHub's page "REST API endpoints for issue comments": a comment's id is a number that is unique on the whole
//! forge, 201 is the good answer to a new one and 200 to an edit, and a list comes oldest first.

use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::account::AuthorPart;
use super::answer::read;
use super::client::{Api, Call, one_line};
use super::list::List;
use super::repository_path;
use crate::forge::{CommentId, ForgeError, ForgeErrorKind, PostedComment};

/// How many comments of a pull request are looked through.
const COMMENTS: usize = 1000;
/// What a token needs to write and read them.
const PERMISSION: &str = "Pull requests: write";

impl Api {
    pub(super) async fn post_comment(&self, repo: &str, number: u64, body: &str) -> Result<CommentId, ForgeError> {
        let path = format!("{}/issues/{number}/comments", repository_path(repo)?);
        let body = json!({"body": body});
        let call = Call::with(&Method::POST, &path, &body);
        let answer = self.ask(call).await?;
        if answer.status != StatusCode::CREATED {
            return Err(self.refusal(&answer, call, PERMISSION));
        }
        let comment: CommentPart = read(&answer, call, "a comment")?;
        self.account.wrote(comment.user.as_ref());
        Ok(CommentId(comment.id.to_string()))
    }

    pub(super) async fn edit_comment(&self, repo: &str, comment: &CommentId, body: &str) -> Result<(), ForgeError> {
        let id: u64 = comment.0.parse().map_err(|_| ForgeError {
            kind: ForgeErrorKind::NotFound,
            message: format!("`{}` is no comment on GitHub: their ids are numbers", one_line(&comment.0, 50)),
            may_have_arrived: false,
        })?;
        let path = format!("{}/issues/comments/{id}", repository_path(repo)?);
        let body = json!({"body": body});
        let call = Call::with(&Method::PATCH, &path, &body);
        let answer = self.ask(call).await?;
        if answer.status == StatusCode::OK { Ok(()) } else { Err(self.refusal(&answer, call, PERMISSION)) }
    }

    pub(super) async fn find_comment(
        &self,
        repo: &str,
        number: u64,
        marker: &str,
    ) -> Result<Option<PostedComment>, ForgeError> {
        let address = format!("{}/issues/{number}/comments", repository_path(repo)?);
        let list = List { address: &address, what: "comments", permission: PERMISSION, limit: COMMENTS };
        // Who we are is asked only if anybody wrote such a comment.
        let mut candidates: Vec<CommentPart> = Vec::new();
        self.list(list, |comment: CommentPart| {
            if comment.body.as_deref().is_some_and(|body| body.contains(marker)) {
                candidates.push(comment);
            }
        })
        .await?;
        if candidates.is_empty() {
            return Ok(None);
        }
        let author = self.author().await?;
        let ours = candidates.into_iter().find(|comment| {
            let through_app = comment.performed_via_github_app.as_ref().is_some_and(|app| !app.is_null());
            author.wrote(comment.user.as_ref(), through_app)
        });
        Ok(ours.map(|comment| PostedComment {
            id: CommentId(comment.id.to_string()),
            body: comment.body.unwrap_or_default(),
        }))
    }
}

#[derive(Debug, Deserialize)]
struct CommentPart {
    id: u64,
    body: Option<String>,
    user: Option<AuthorPart>,
    performed_via_github_app: Option<Value>,
}
