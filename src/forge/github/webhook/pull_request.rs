//! The event `pull_request`: something happened to a pull request.
//!
//! Most of GitHub's actions (labels, reviewers, assignments) change nothing that Longboat looks at. A pull request is
//! looked at anew when its commits or its target change, or when it becomes open or ready.

use serde::Deserialize;
use serde_json::Value;

use super::{RepositoryPart, UserPart, covered, shorten};
use crate::forge::github::wire::PullRequestPart;
use crate::forge::{ForgeEvent, PullRequestAction, PullRequestEvent, WebhookError};
use crate::model::{PullRequestState, RepositoryName};

/// Reads what happened to a pull request of one of `repositories`.
pub(super) fn pull_request(repositories: &[RepositoryName], payload: Payload) -> Result<ForgeEvent, WebhookError> {
    let malformed = |text: &str| WebhookError::Malformed(text.to_owned());
    let full_name = payload
        .repository
        .and_then(|repository| repository.full_name)
        .ok_or_else(|| malformed("repository.full_name is missing"))?;
    let repository = covered(repositories, &full_name)?;
    let action = payload.action.ok_or_else(|| malformed("action is missing"))?;
    let new_base = payload.changes.is_some_and(|changes| changes.base.is_some());
    let happened = match action.as_str() {
        "opened" => PullRequestAction::Opened,
        "reopened" => PullRequestAction::Reopened,
        "synchronize" | "ready_for_review" => PullRequestAction::Updated,
        "edited" if new_base => PullRequestAction::Updated,
        "closed" => PullRequestAction::Closed,
        other => return Ok(ForgeEvent::Ignored { event: format!("pull_request {}", shorten(other)) }),
    };
    let part = payload.pull_request.ok_or_else(|| malformed("pull_request is missing"))?;
    if part.base_repository().is_none_or(|base| !base.eq_ignore_ascii_case(&full_name)) {
        return Err(malformed("pull_request.base.repo is not the repository of the delivery"));
    }
    let pull_request = part.into_model(&repository).map_err(WebhookError::Malformed)?;
    if payload.number.is_some_and(|number| number != pull_request.number) {
        return Err(malformed("number is not that of the pull request"));
    }
    let action = match (happened, pull_request.state) {
        (PullRequestAction::Closed, PullRequestState::Merged) => PullRequestAction::Merged,
        (happened, _) => happened,
    };
    Ok(ForgeEvent::PullRequest(PullRequestEvent {
        repository,
        number: pull_request.number,
        action,
        pull_request: Some(pull_request),
        actor: payload.sender.and_then(UserPart::login),
        event: "pull_request".to_owned(),
    }))
}

#[derive(Deserialize)]
pub(super) struct Payload {
    action: Option<String>,
    number: Option<u64>,
    pull_request: Option<PullRequestPart>,
    changes: Option<Changes>,
    repository: Option<RepositoryPart>,
    sender: Option<UserPart>,
}

/// What an edit changed.
#[derive(Deserialize)]
struct Changes {
    base: Option<Value>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn covers() -> Vec<RepositoryName> {
        vec![RepositoryName::parse("acme/shop").expect("legal")]
    }

    fn sample(action: &str) -> Value {
        json!({
            "action": action, "number": 7,
            "pull_request": {
                "number": 7, "state": "open", "title": "Deploy twice", "merged": false,
                "merge_commit_sha": "c".repeat(40), "user": {"login": "bob"},
                "head": {"ref": "topic", "sha": "a".repeat(40), "repo": {"full_name": "Acme/Shop"}},
                "base": {"ref": "main", "sha": "b".repeat(40), "repo": {"full_name": "Acme/Shop"}},
            },
            "repository": {"full_name": "Acme/Shop"}, "sender": {"login": "ann"},
        })
    }

    fn read(value: Value) -> Result<ForgeEvent, WebhookError> {
        let payload = serde_json::from_value(value).map_err(|error| WebhookError::Malformed(error.to_string()))?;
        pull_request(&covers(), payload)
    }

    fn happened(value: Value) -> PullRequestEvent {
        match read(value) {
            Ok(ForgeEvent::PullRequest(event)) => event,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn actions_with_new_code_are_told_in_full() {
        for (action, expected) in [
            ("opened", PullRequestAction::Opened),
            ("reopened", PullRequestAction::Reopened),
            ("synchronize", PullRequestAction::Updated),
            ("ready_for_review", PullRequestAction::Updated),
        ] {
            let event = happened(sample(action));
            assert_eq!((event.action, event.number, event.actor.as_deref()), (expected, 7, Some("ann")), "{action}");
            assert_eq!(event.repository, covers()[0], "spelled as in the configuration");
            let told = event.pull_request.expect("in full");
            assert_eq!((told.head_branch.as_str(), told.author.as_deref(), told.fork), ("topic", Some("bob"), false));
        }
    }

    #[test]
    fn an_edit_counts_if_it_changed_the_target() {
        let mut edited = sample("edited");
        edited["changes"] = json!({"title": {"from": "Deploy"}});
        assert_eq!(read(edited.clone()), Ok(ForgeEvent::Ignored { event: "pull_request edited".to_owned() }));
        edited["changes"] = json!({"base": {"ref": {"from": "main"}, "sha": {"from": "b".repeat(40)}}});
        assert_eq!(happened(edited).action, PullRequestAction::Updated);
    }

    #[test]
    fn a_closed_one_was_merged_or_not() {
        let mut closed = sample("closed");
        closed["pull_request"]["state"] = json!("closed");
        let event = happened(closed.clone());
        assert_eq!(event.action, PullRequestAction::Closed);
        assert_eq!(event.pull_request.expect("in full").merge_commit, None);
        closed["pull_request"]["merged"] = json!(true);
        let event = happened(closed);
        assert_eq!(event.action, PullRequestAction::Merged);
        assert!(event.pull_request.expect("in full").merge_commit.is_some());
    }

    #[test]
    fn what_changes_nothing_is_of_no_interest() {
        for action in ["labeled", "review_requested", "converted_to_draft", "auto_merge_enabled", "new\nthing"] {
            let event = ForgeEvent::Ignored { event: format!("pull_request {}", action.replace('\n', " ")) };
            assert_eq!(read(sample(action)), Ok(event));
        }
    }

    #[test]
    fn hostile_payloads_are_refused() {
        for (pointer, value) in [
            ("/repository", Value::Null),
            ("/action", Value::Null),
            ("/action", json!(["opened"])),
            ("/number", json!(8)),
            ("/number", json!(-7)),
            ("/pull_request", Value::Null),
            ("/pull_request", json!("7")),
            ("/pull_request/head/sha", json!("$(id)")),
            ("/pull_request/base/repo/full_name", json!("acme/bank")),
            ("/pull_request/base/repo", Value::Null),
        ] {
            let mut odd = sample("opened");
            *odd.pointer_mut(pointer).expect("it is there") = value.clone();
            assert!(matches!(read(odd), Err(WebhookError::Malformed(_))), "{pointer} {value}");
        }
        let mut other = sample("opened");
        other["repository"]["full_name"] = json!("acme/bank");
        assert!(matches!(read(other), Err(WebhookError::Repository { .. })));
    }
}
