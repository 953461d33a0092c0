//! The event `issue_comment`: a comment on an issue or, what counts here, on a pull request.

use serde::Deserialize;
use serde_json::Value;

use super::{RepositoryPart, UserPart, covered, shorten};
use crate::forge::{CommentEvent, CommentId, ForgeEvent, WebhookError};
use crate::model::RepositoryName;

/// How much of a comment is kept, in characters: room for a command, which stands at its beginning.
const TEXT_LIMIT: usize = 1000;

/// Reads what happened to a comment in one of `repositories`.
pub(super) fn comment(repositories: &[RepositoryName], payload: Payload) -> Result<ForgeEvent, WebhookError> {
    let malformed = |text: &str| WebhookError::Malformed(text.to_owned());
    let full_name = payload
        .repository
        .and_then(|repository| repository.full_name)
        .ok_or_else(|| malformed("repository.full_name is missing"))?;
    let repository = covered(repositories, &full_name)?;
    let action = payload.action.ok_or_else(|| malformed("action is missing"))?;
    let issue = payload.issue.ok_or_else(|| malformed("issue is missing"))?;
    let of_no_interest = |why: &str| Ok(ForgeEvent::Ignored { event: format!("issue_comment {why}") });
    if issue.pull_request.is_none_or(|part| part.is_null()) {
        return of_no_interest("of an issue");
    }
    if !matches!(action.as_str(), "created" | "edited" | "deleted") {
        return of_no_interest(&shorten(&action));
    }
    let comment = payload.comment.ok_or_else(|| malformed("comment is missing"))?;
    let id = comment.id.ok_or_else(|| malformed("comment.id is missing"))?;
    Ok(ForgeEvent::Comment(CommentEvent {
        repository,
        number: issue.number.filter(|number| *number > 0).ok_or_else(|| malformed("issue.number is missing"))?,
        comment: CommentId(id.to_string()),
        actor: payload.sender.and_then(UserPart::login),
        text: (action != "deleted").then(|| beginning(&comment.body.unwrap_or_default())),
        created: action == "created",
    }))
}

/// The beginning of a comment, with its lines and without any other control character.
fn beginning(text: &str) -> String {
    let sane = |letter: char| if letter.is_control() && letter != '\n' { ' ' } else { letter };
    text.replace("\r\n", "\n").chars().take(TEXT_LIMIT).map(sane).collect()
}

#[derive(Deserialize)]
pub(super) struct Payload {
    action: Option<String>,
    issue: Option<Issue>,
    comment: Option<Comment>,
    repository: Option<RepositoryPart>,
    sender: Option<UserPart>,
}

#[derive(Deserialize)]
struct Issue {
    number: Option<u64>,
    /// There only if the issue is a pull request.
    pull_request: Option<Value>,
}

#[derive(Deserialize)]
struct Comment {
    id: Option<u64>,
    body: Option<String>,
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
            "action": action,
            "issue": {"number": 7, "state": "open", "pull_request": {"url": "https://api.github.com/x"}},
            "comment": {"id": 991, "body": "/longboat check\r\nplease", "user": {"login": "mallory"}},
            "repository": {"full_name": "Acme/Shop"}, "sender": {"login": "ann"},
        })
    }

    fn read(value: Value) -> Result<ForgeEvent, WebhookError> {
        let payload = serde_json::from_value(value).map_err(|error| WebhookError::Malformed(error.to_string()))?;
        comment(&covers(), payload)
    }

    #[test]
    fn a_comment_tells_who_wrote_what_and_whether_it_is_new() {
        let expected = CommentEvent {
            repository: covers()[0].clone(),
            number: 7,
            comment: CommentId("991".to_owned()),
            actor: Some("ann".to_owned()),
            text: Some("/longboat check\nplease".to_owned()),
            created: true,
        };
        assert_eq!(read(sample("created")), Ok(ForgeEvent::Comment(expected.clone())));
        let edited = CommentEvent { created: false, ..expected.clone() };
        assert_eq!(read(sample("edited")), Ok(ForgeEvent::Comment(edited)));
        let deleted = CommentEvent { created: false, text: None, ..expected };
        assert_eq!(read(sample("deleted")), Ok(ForgeEvent::Comment(deleted)));
    }

    #[test]
    fn comments_on_issues_are_of_no_interest() {
        let mut issue = sample("created");
        issue["issue"]["pull_request"] = Value::Null;
        let ignored = |event: &str| Ok(ForgeEvent::Ignored { event: event.to_owned() });
        assert_eq!(read(issue), ignored("issue_comment of an issue"));
        assert_eq!(read(sample("pinned")), ignored("issue_comment pinned"));
    }

    #[test]
    fn hostile_comments_are_cut_or_refused() {
        let mut long = sample("created");
        long["comment"]["body"] = json!(format!("\u{1b}[31m{}", "ä".repeat(70_000)));
        let Ok(ForgeEvent::Comment(event)) = read(long) else { panic!("it is a comment") };
        let text = event.text.expect("a text");
        assert!(text.starts_with(" [31mä") && text.chars().count() == TEXT_LIMIT, "{}", &text[..20]);
        for (pointer, value) in [
            ("/action", Value::Null),
            ("/issue", Value::Null),
            ("/issue", json!([7])),
            ("/issue/number", json!(0)),
            ("/issue/number", json!("7")),
            ("/comment", Value::Null),
            ("/comment/id", json!("991; drop table")),
            ("/comment/id", json!(-1)),
            ("/comment/body", json!({"a": 1})),
            ("/repository", Value::Null),
        ] {
            let mut odd = sample("created");
            *odd.pointer_mut(pointer).expect("it is there") = value.clone();
            assert!(matches!(read(odd), Err(WebhookError::Malformed(_))), "{pointer} {value}");
        }
        let mut other = sample("created");
        other["repository"]["full_name"] = json!("acme/bank");
        assert!(matches!(read(other), Err(WebhookError::Repository { .. })));
    }
}
