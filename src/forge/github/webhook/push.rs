//! The event `push`: a branch or a tag moved.

use serde::Deserialize;

use super::{RepositoryPart, UserPart, commit, covered, shorten};
use crate::forge::{Push, WebhookError};
use crate::model::RepositoryName;

/// The longest name of a ref that is taken, in bytes; git itself stops at what a file system takes.
const REF_LIMIT: usize = 1000;

/// Reads a push to one of `repositories`.
pub(super) fn push(repositories: &[RepositoryName], payload: Payload) -> Result<Push, WebhookError> {
    let full_name = payload
        .repository
        .and_then(|repository| repository.full_name)
        .ok_or_else(|| WebhookError::Malformed("repository.full_name is missing".to_owned()))?;
    let repository_full_name = covered(repositories, &full_name)?;
    let git_ref = payload.git_ref.ok_or_else(|| WebhookError::Malformed("ref is missing".to_owned()))?;
    if !is_ref(&git_ref) {
        return Err(WebhookError::Malformed(format!("ref `{}` is not the full name of a ref", shorten(&git_ref))));
    }
    let before = payload.before.as_deref().map(|text| commit("before", text)).transpose()?.flatten();
    let after = payload.after.ok_or_else(|| WebhookError::Malformed("after is missing".to_owned()))?;
    let mut after = commit("after", &after)?;
    if payload.deleted == Some(true) {
        after = None;
    }
    // For an annotated tag `after` is the tag object, and a status can stand only on a commit.
    if git_ref.starts_with("refs/tags/")
        && after.is_some()
        && let Some(id) = payload.head_commit.and_then(|head| head.id)
    {
        after = commit("head_commit.id", &id)?;
    }
    Ok(Push {
        repository_full_name,
        git_ref,
        created: payload.created.unwrap_or_else(|| before.is_none()),
        deleted: after.is_none(),
        forced: payload.forced.unwrap_or(false),
        before,
        after,
        actor: payload.sender.and_then(UserPart::login),
    })
}

fn is_ref(text: &str) -> bool {
    text.starts_with("refs/")
        && text.len() <= REF_LIMIT
        && !text.ends_with('/')
        && !text.contains("..")
        && !text.chars().any(|letter| letter.is_control() || letter == ' ')
}

#[derive(Deserialize)]
pub(super) struct Payload {
    #[serde(rename = "ref")]
    git_ref: Option<String>,
    before: Option<String>,
    after: Option<String>,
    created: Option<bool>,
    deleted: Option<bool>,
    forced: Option<bool>,
    head_commit: Option<HeadCommit>,
    repository: Option<RepositoryPart>,
    sender: Option<UserPart>,
}

#[derive(Deserialize)]
struct HeadCommit {
    id: Option<String>,
}
