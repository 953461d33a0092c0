//! Bitbucket Cloud's webhooks (its page "Event payloads").

use http::HeaderMap;
use secrecy::SecretString;
use serde::Deserialize;

use super::payload::{Account, Hash, PullRequestPart, Repository};
use crate::forge::bitbucket::webhook::{CLOUD_ID, Told, believe};
use crate::forge::{Delivery, ForgeEvent, PullRequestAction, Push, WebhookError, hook};
use crate::model::{CommitSha, RepositoryName};

/// The most changes of one push that are read. Bitbucket sends five unless an administrator asked for more.
const CHANGES_LIMIT: usize = 200;

/// Checks a delivery and says what it announces.
pub(super) fn receive(
    secret: Option<&SecretString>,
    repositories: &[RepositoryName],
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Delivery, WebhookError> {
    let head = believe(secret, headers, CLOUD_ID, body)?;
    let events = match head.event.as_str() {
        "repo:push" => pushes(repositories, hook::parse(body)?)?,
        "pullrequest:created" => vec![pull_request(repositories, body, PullRequestAction::Opened, &head.event)?],
        "pullrequest:updated" => vec![pull_request(repositories, body, PullRequestAction::Updated, &head.event)?],
        "pullrequest:fulfilled" => vec![pull_request(repositories, body, PullRequestAction::Merged, &head.event)?],
        "pullrequest:rejected" => vec![pull_request(repositories, body, PullRequestAction::Closed, &head.event)?],
        "pullrequest:comment_created" => vec![comment(repositories, body, true, false)?],
        "pullrequest:comment_updated" => vec![comment(repositories, body, false, false)?],
        "pullrequest:comment_deleted" => vec![comment(repositories, body, false, true)?],
        _ => vec![ForgeEvent::Ignored { event: head.event }],
    };
    Ok(Delivery { id: head.id, events })
}

fn full_name(repository: Option<Repository>) -> Result<String, WebhookError> {
    repository.and_then(|repository| repository.full_name).ok_or_else(|| hook::missing("repository.full_name"))
}

fn pushes(repositories: &[RepositoryName], payload: PushPayload) -> Result<Vec<ForgeEvent>, WebhookError> {
    let repository = hook::covered(repositories, &full_name(payload.repository)?)?;
    let actor = payload.actor.and_then(Account::id);
    let changes = payload.push.and_then(|push| push.changes).ok_or_else(|| hook::missing("push.changes"))?;
    if changes.len() > CHANGES_LIMIT {
        return Err(WebhookError::Malformed(format!("push.changes has {} entries", changes.len())));
    }
    changes.into_iter().map(|change| push(&repository, actor.clone(), change)).collect()
}

fn push(repository: &RepositoryName, actor: Option<String>, change: Change) -> Result<ForgeEvent, WebhookError> {
    let named = change.new.as_ref().or(change.old.as_ref()).ok_or_else(|| hook::missing("a change's new and old"))?;
    let folder = match named.kind.as_deref() {
        Some("branch" | "named_branch") => "heads",
        Some("tag" | "annotated_tag") => "tags",
        other => {
            return Ok(ForgeEvent::Ignored { event: format!("push of a {}", hook::shorten(other.unwrap_or("?"))) });
        }
    };
    let name = named.name.as_deref().ok_or_else(|| hook::missing("a change's name"))?;
    let git_ref = hook::git_ref(format!("refs/{folder}/{name}"))?;
    let before = change.old.and_then(Ref::hash).map(|hash| hook::commit("old.target.hash", &hash)).transpose()?;
    let after = match change.new {
        None => None,
        // Of a tag, `target` is the commit that it stands for, not the tag object.
        Some(new) => {
            let hash = new.hash().ok_or_else(|| hook::missing("new.target.hash"))?;
            hook::commit("new.target.hash", &hash)?
        }
    };
    Ok(ForgeEvent::Push(moved(repository, git_ref, before.flatten(), after, actor, change.forced)))
}

fn moved(
    repository: &RepositoryName,
    git_ref: String,
    before: Option<CommitSha>,
    after: Option<CommitSha>,
    actor: Option<String>,
    forced: Option<bool>,
) -> Push {
    Push {
        repository_full_name: repository.clone(),
        git_ref,
        created: before.is_none(),
        deleted: after.is_none(),
        forced: forced.unwrap_or(false),
        before,
        after,
        actor,
    }
}

fn pull_request(
    repositories: &[RepositoryName],
    body: &[u8],
    action: PullRequestAction,
    event: &str,
) -> Result<ForgeEvent, WebhookError> {
    Ok(told(repositories, hook::parse(body)?)?.event(action, event))
}

fn comment(
    repositories: &[RepositoryName],
    body: &[u8],
    created: bool,
    deleted: bool,
) -> Result<ForgeEvent, WebhookError> {
    let mut payload: PullRequestPayload = hook::parse(body)?;
    let comment = payload.comment.take().ok_or_else(|| hook::missing("comment"))?;
    let text = comment.content.and_then(|content| content.raw).unwrap_or_default();
    told(repositories, payload)?.comment(comment.id, (!deleted).then_some(text), created)
}

fn told(repositories: &[RepositoryName], payload: PullRequestPayload) -> Result<Told, WebhookError> {
    let repository = hook::covered(repositories, &full_name(payload.repository)?)?;
    let part = payload.pullrequest.ok_or_else(|| hook::missing("pullrequest"))?;
    let number = part.id.ok_or_else(|| hook::missing("pullrequest.id"))?;
    let actor = payload.actor.and_then(Account::id);
    Ok(Told { number, actor, pull_request: part.in_full(&repository), repository })
}

#[derive(Deserialize)]
struct PushPayload {
    repository: Option<Repository>,
    actor: Option<Account>,
    push: Option<PushPart>,
}

#[derive(Deserialize)]
struct PushPart {
    changes: Option<Vec<Change>>,
}

#[derive(Deserialize)]
struct Change {
    new: Option<Ref>,
    old: Option<Ref>,
    forced: Option<bool>,
}

#[derive(Deserialize)]
struct Ref {
    #[serde(rename = "type")]
    kind: Option<String>,
    name: Option<String>,
    target: Option<Hash>,
}

impl Ref {
    fn hash(self) -> Option<String> {
        self.target?.hash
    }
}

#[derive(Deserialize)]
struct PullRequestPayload {
    repository: Option<Repository>,
    actor: Option<Account>,
    pullrequest: Option<PullRequestPart>,
    comment: Option<Comment>,
}

#[derive(Deserialize)]
struct Comment {
    id: Option<u64>,
    content: Option<Content>,
}

#[derive(Deserialize)]
struct Content {
    raw: Option<String>,
}

#[cfg(test)]
mod tests;
