//! Bitbucket Data Center's webhooks (its page "Event payload").

use http::HeaderMap;
use secrecy::SecretString;
use serde::Deserialize;

use super::payload::{PullRequestPart, Repository, User};
use crate::forge::bitbucket::webhook::{DATA_CENTER_ID, SIGNATURE, Told, believe};
use crate::forge::{Delivery, ForgeEvent, PullRequestAction, Push, WebhookError, hook};
use crate::model::{PullRequestState, RepositoryName};

/// The most changes of one push that are read.
const CHANGES_LIMIT: usize = 1000;
/// The longest body of a test of the connection: it is `{"test":true}`.
const PING_LIMIT: usize = 1024;

/// Checks a delivery and says what it announces.
pub(super) fn receive(
    secret: Option<&SecretString>,
    repositories: &[RepositoryName],
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Delivery, WebhookError> {
    if is_unsigned_test(secret, headers, body) {
        return Ok(Delivery { id: None, events: vec![ForgeEvent::Ping { complaints: Vec::new() }] });
    }
    let head = believe(secret, headers, DATA_CENTER_ID, body)?;
    let pull_request =
        |action| Ok::<_, WebhookError>(told(repositories, hook::parse(body)?)?.event(action, &head.event));
    let events = match head.event.as_str() {
        "diagnostics:ping" => vec![ForgeEvent::Ping { complaints: Vec::new() }],
        "repo:refs_changed" => pushes(repositories, hook::parse(body)?)?,
        "pr:opened" => vec![pull_request(PullRequestAction::Opened)?],
        "pr:from_ref_updated" | "pr:modified" => vec![pull_request(PullRequestAction::Updated)?],
        "pr:reopened" => vec![pull_request(PullRequestAction::Reopened)?],
        "pr:merged" => vec![pull_request(PullRequestAction::Merged)?],
        "pr:declined" => vec![pull_request(PullRequestAction::Closed)?],
        "pr:deleted" => vec![deleted(repositories, hook::parse(body)?, &head.event)?],
        "pr:comment:added" => vec![comment(repositories, body, true, false)?],
        "pr:comment:edited" => vec![comment(repositories, body, false, false)?],
        "pr:comment:deleted" => vec![comment(repositories, body, false, true)?],
        _ => vec![ForgeEvent::Ignored { event: head.event }],
    };
    Ok(Delivery { id: head.id, events })
}

/// The button "Test connection" sends a few bytes without a signature. Nothing follows from them, so they are answered
/// well, lest the person at the button looks for a mistake that isn't there. Where a signature is sent, it counts.
fn is_unsigned_test(secret: Option<&SecretString>, headers: &HeaderMap, body: &[u8]) -> bool {
    secret.is_some()
        && headers.get("x-event-key").is_some_and(|event| event.as_bytes() == b"diagnostics:ping")
        && !headers.contains_key(SIGNATURE)
        && body.len() <= PING_LIMIT
}

fn name_of(repositories: &[RepositoryName], part: Option<Repository>) -> Result<RepositoryName, WebhookError> {
    let name = part.and_then(Repository::full_name).ok_or_else(|| hook::missing("the repository's slug or project"))?;
    hook::covered(repositories, &name)
}

fn pushes(repositories: &[RepositoryName], payload: PushPayload) -> Result<Vec<ForgeEvent>, WebhookError> {
    let repository = name_of(repositories, payload.repository)?;
    let actor = payload.actor.and_then(User::account);
    let changes = payload.changes.ok_or_else(|| hook::missing("changes"))?;
    if changes.len() > CHANGES_LIMIT {
        return Err(WebhookError::Malformed(format!("changes has {} entries", changes.len())));
    }
    changes.into_iter().map(|change| push(&repository, actor.clone(), change)).collect()
}

fn push(repository: &RepositoryName, actor: Option<String>, change: Change) -> Result<ForgeEvent, WebhookError> {
    let named = change.git_ref.and_then(|part| part.id).or(change.ref_id).ok_or_else(|| hook::missing("ref.id"))?;
    let git_ref = hook::git_ref(named)?;
    let hash = |field: &str, text: Option<String>| hook::commit(field, &text.ok_or_else(|| hook::missing(field))?);
    let before = hash("fromHash", change.from_hash)?;
    let after = hash("toHash", change.to_hash)?.filter(|_| change.kind.as_deref() != Some("DELETE"));
    if git_ref.starts_with("refs/tags/") && after.is_some() {
        // Of an annotated tag this is the tag object, which no status can stand on; a look at the repository tells
        // the commit, so tags are left to that.
        return Ok(ForgeEvent::Ignored { event: "push of a tag".to_owned() });
    }
    Ok(ForgeEvent::Push(Push {
        repository_full_name: repository.clone(),
        git_ref,
        created: before.is_none(),
        deleted: after.is_none(),
        // It isn't told.
        forced: false,
        before,
        after,
        actor,
    }))
}

fn comment(
    repositories: &[RepositoryName],
    body: &[u8],
    created: bool,
    deleted: bool,
) -> Result<ForgeEvent, WebhookError> {
    let mut payload: PullRequestPayload = hook::parse(body)?;
    let comment = payload.comment.take().ok_or_else(|| hook::missing("comment"))?;
    let text = comment.text.unwrap_or_default();
    told(repositories, payload)?.comment(comment.id, (!deleted).then_some(text), created)
}

/// Who asked the server would hear that there is no such pull request, and the payload shows it as it was before.
fn deleted(
    repositories: &[RepositoryName],
    payload: PullRequestPayload,
    event: &str,
) -> Result<ForgeEvent, WebhookError> {
    let mut told = told(repositories, payload)?;
    if let Some(pull_request) = &mut told.pull_request {
        pull_request.state = PullRequestState::Closed;
    }
    Ok(told.event(PullRequestAction::Closed, event))
}

fn told(repositories: &[RepositoryName], payload: PullRequestPayload) -> Result<Told, WebhookError> {
    let part = payload.pull_request.ok_or_else(|| hook::missing("pullRequest"))?;
    let target = part.to_ref.as_ref().and_then(|end| end.repository.clone());
    let repository = name_of(repositories, target)?;
    let number = part.id.ok_or_else(|| hook::missing("pullRequest.id"))?;
    let actor = payload.actor.and_then(User::account);
    Ok(Told { number, actor, pull_request: part.in_full(&repository), repository })
}

#[derive(Deserialize)]
struct PushPayload {
    repository: Option<Repository>,
    actor: Option<User>,
    changes: Option<Vec<Change>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Change {
    #[serde(rename = "ref")]
    git_ref: Option<RefPart>,
    ref_id: Option<String>,
    from_hash: Option<String>,
    to_hash: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Deserialize)]
struct RefPart {
    id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PullRequestPayload {
    actor: Option<User>,
    pull_request: Option<PullRequestPart>,
    comment: Option<Comment>,
}

#[derive(Deserialize)]
struct Comment {
    id: Option<u64>,
    text: Option<String>,
}

#[cfg(test)]
mod tests;
