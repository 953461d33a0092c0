//! Deliveries as Bitbucket Data Center sends them, and as it never would.

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use super::*;
use crate::model::{CommitSha, PullRequest};

const SECRET: &str = "between the two of us";

fn headers(event: &str, body: &[u8]) -> HeaderMap {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any length");
    mac.update(body);
    let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("x-hub-signature", signature.as_str()),
        ("content-type", "application/json; charset=utf-8"),
        ("x-request-id", "c2b4d3a0-7d1c-4f5e-9c2a-1f0e9d8c7b6a"),
        ("x-event-key", event),
    ] {
        headers.insert(name, value.parse().expect("ascii"));
    }
    headers
}

fn shops() -> Vec<RepositoryName> {
    ["SHOP/api", "~ann/tools"].map(|name| RepositoryName::parse(name).expect("legal")).into()
}

fn deliver(event: &str, payload: &Value) -> Result<Vec<ForgeEvent>, WebhookError> {
    let body = serde_json::to_vec(payload).expect("json");
    let delivery = receive(Some(&SecretString::from(SECRET)), &shops(), &headers(event, &body), &body)?;
    assert_eq!(delivery.id.as_deref(), Some("c2b4d3a0-7d1c-4f5e-9c2a-1f0e9d8c7b6a"));
    Ok(delivery.events)
}

fn sha(digit: &str) -> String {
    digit.repeat(40)
}

fn change(git_ref: &str, kind: &str, from: &str, to: &str) -> Value {
    let short = git_ref.rsplit('/').next().expect("a name");
    let of = if git_ref.starts_with("refs/tags/") { "TAG" } else { "BRANCH" };
    json!({
        "ref": {"id": git_ref, "displayId": short, "type": of}, "refId": git_ref,
        "fromHash": from, "toHash": to, "type": kind,
    })
}

fn push_of(changes: &Value) -> Value {
    json!({
        "eventKey": "repo:refs_changed", "date": "2026-11-20T10:11:12+0100",
        "actor": {"name": "ann", "emailAddress": "ann@example.com", "id": 1, "displayName": "Mallory", "active": true, "slug": "ann", "type": "NORMAL"},
        "repository": {"slug": "api", "id": 84, "name": "api", "project": {"key": "SHOP", "id": 9, "type": "NORMAL"}},
        "changes": changes,
    })
}

fn end(branch: &str, digit: &str, key: &str, slug: &str) -> Value {
    json!({
        "id": format!("refs/heads/{branch}"), "displayId": branch, "latestCommit": sha(digit),
        "repository": {"slug": slug, "project": {"key": key}},
    })
}

fn pull_request_payload() -> Value {
    json!({
        "date": 1_763_629_872_000_i64, "actor": {"name": "ann"},
        "pullRequest": {
            "id": 7, "version": 2, "title": "Ship it", "state": "OPEN", "open": true, "createdDate": 1_763_629_000_000_i64,
            "fromRef": end("feature/x", "a", "~bob", "api"), "toRef": end("main", "b", "SHOP", "api"),
            "author": {"user": {"name": "bob"}, "role": "AUTHOR"},
        },
    })
}

fn told(event: &str, payload: &Value) -> crate::forge::PullRequestEvent {
    match deliver(event, payload).expect("an event").remove(0) {
        ForgeEvent::PullRequest(told) => told,
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_delivery_tells_of_every_ref_that_moved() {
    let zeros = "0".repeat(40);
    let changes = json!([
        change("refs/heads/main", "UPDATE", &sha("a"), &sha("b")),
        change("refs/heads/new", "ADD", &zeros, &sha("c")),
        change("refs/heads/old", "DELETE", &sha("d"), &zeros),
        change("refs/tags/v1", "ADD", &zeros, &sha("e")),
        change("refs/tags/v0", "DELETE", &sha("f"), &zeros),
    ]);
    let events = deliver("repo:refs_changed", &push_of(&changes)).expect("events");
    let told: Vec<_> = events
        .iter()
        .map(|event| match event {
            ForgeEvent::Push(push) => {
                assert_eq!((push.repository_full_name.as_str(), push.actor.as_deref()), ("SHOP/api", Some("ann")));
                (push.git_ref.as_str(), push.created, push.deleted)
            }
            ForgeEvent::Ignored { event } => (event.as_str(), false, false),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        told,
        [
            ("refs/heads/main", false, false),
            ("refs/heads/new", true, false),
            ("refs/heads/old", false, true),
            ("push of a tag", false, false),
            ("refs/tags/v0", false, true),
        ]
    );
}

#[test]
fn personal_repositories_have_a_tilde() {
    let mut payload = push_of(&json!([change("refs/heads/main", "UPDATE", &sha("a"), &sha("b"))]));
    payload["repository"] = json!({"slug": "tools", "project": {"key": "~ANN", "type": "PERSONAL"}});
    let events = deliver("repo:refs_changed", &payload).expect("events");
    assert!(matches!(&events[0], ForgeEvent::Push(push) if push.repository_full_name.as_str() == "~ann/tools"));
}

#[test]
fn a_pull_request_is_told_in_full() {
    let opened = told("pr:opened", &pull_request_payload());
    assert_eq!((opened.action, opened.actor.as_deref()), (PullRequestAction::Opened, Some("ann")));
    assert_eq!(
        opened.pull_request,
        Some(PullRequest {
            repository: shops()[0].clone(),
            number: 7,
            title: "Ship it".to_owned(),
            state: PullRequestState::Open,
            head: CommitSha::parse(&sha("a")).expect("legal"),
            head_branch: "feature/x".to_owned(),
            head_repository: Some("~bob/api".to_owned()),
            fork: true,
            target_branch: "main".to_owned(),
            author: Some("bob".to_owned()),
            merge_commit: None,
        })
    );
    for (event, action) in [
        ("pr:from_ref_updated", PullRequestAction::Updated),
        ("pr:modified", PullRequestAction::Updated),
        ("pr:declined", PullRequestAction::Closed),
    ] {
        assert_eq!(told(event, &pull_request_payload()).action, action);
    }
    let deleted = told("pr:deleted", &pull_request_payload());
    assert_eq!(deleted.pull_request.map(|pull_request| pull_request.state), Some(PullRequestState::Closed));
}

#[test]
fn a_merge_is_told_with_its_commit_or_asked_for() {
    let mut merged = pull_request_payload();
    merged["pullRequest"]["state"] = json!("MERGED");
    let event = told("pr:merged", &merged);
    assert_eq!((event.action, event.pull_request), (PullRequestAction::Merged, None), "without its commit");
    merged["pullRequest"]["properties"] = json!({"mergeCommit": {"displayId": &sha("c")[..11], "id": sha("c")}});
    let pull_request = told("pr:merged", &merged).pull_request.expect("in full");
    assert_eq!(pull_request.merge_commit.map(|commit| commit.as_str().to_owned()), Some(sha("c")));
    assert_eq!(pull_request.state, PullRequestState::Merged);
}

#[test]
fn a_comment_is_a_command_only_when_it_is_new() {
    let mut payload = pull_request_payload();
    payload["comment"] = json!({"id": 62, "version": 0, "text": "/longboat check", "author": {"name": "ann"}});
    for (event, created, text) in [
        ("pr:comment:added", true, Some("/longboat check")),
        ("pr:comment:edited", false, Some("/longboat check")),
        ("pr:comment:deleted", false, None),
    ] {
        let events = deliver(event, &payload).expect("an event");
        let [ForgeEvent::Comment(told)] = events.as_slice() else { panic!("{events:?}") };
        assert_eq!(told.comment.0, "62");
        assert_eq!((told.number, told.created, told.text.as_deref()), (7, created, text), "{event}");
        assert_eq!(told.repository.as_str(), "SHOP/api");
    }
}

#[test]
fn the_test_button_is_answered_and_does_nothing() {
    let secret = SecretString::from(SECRET);
    let pong = Ok(vec![ForgeEvent::Ping { complaints: Vec::new() }]);
    let body = br#"{"test":true}"#;
    let events = |headers: &HeaderMap, body: &[u8]| {
        receive(Some(&secret), &shops(), headers, body).map(|delivery| delivery.events)
    };
    let signed = headers("diagnostics:ping", body);
    let mut bare = HeaderMap::new();
    bare.insert("x-event-key", "diagnostics:ping".parse().expect("ascii"));
    assert_eq!(events(&bare, body), pong);
    assert_eq!(events(&signed, body), pong);
    assert_eq!(events(&signed, b"{}"), Err(WebhookError::WrongSignature), "a signature that is sent counts");
    assert_eq!(events(&bare, &[b' '; 2000]), Err(WebhookError::Unsigned { header: SIGNATURE }), "tiny");
    bare.insert("x-event-key", "repo:refs_changed".parse().expect("ascii"));
    assert_eq!(events(&bare, body), Err(WebhookError::Unsigned { header: SIGNATURE }));
    bare.insert("x-event-key", "diagnostics:ping".parse().expect("ascii"));
    assert_eq!(receive(None, &shops(), &bare, body), Err(WebhookError::NoSecret));
}

#[test]
fn what_the_secret_does_not_cover_or_nobody_asked_for_starts_nothing() {
    let mut other = push_of(&json!([]));
    other["repository"]["project"]["key"] = json!("BANK");
    let error = deliver("repo:refs_changed", &other).expect_err("refused");
    assert_eq!(error, WebhookError::Repository { repository: "BANK/api".to_owned() });
    // A fork's owner may send what they like: the target decides.
    let mut fork = pull_request_payload();
    fork["pullRequest"]["toRef"] = end("main", "b", "BANK", "api");
    fork["pullRequest"]["fromRef"] = end("main", "b", "SHOP", "api");
    assert_eq!(deliver("pr:opened", &fork).expect_err("refused").status(), 403);
    for event in ["repo:forked", "pr:reviewer:approved", "mirror:repo_synchronized", "repo:push"] {
        let ignored = [ForgeEvent::Ignored { event: event.to_owned() }];
        assert_eq!(deliver(event, &json!({"anything": []})).expect("ignored"), ignored);
    }
}

#[test]
fn what_is_missing_or_odd_is_malformed_and_never_a_panic() {
    for changes in [
        json!(null),
        json!({}),
        json!([{}]),
        json!([change("main", "UPDATE", &sha("a"), &sha("b"))]),
        json!([change("refs/heads/../../x", "UPDATE", &sha("a"), &sha("b"))]),
        json!([change("refs/heads/main", "UPDATE", &sha("a")[..12], &sha("b"))]),
        json!([change("refs/heads/main", "UPDATE", &sha("a"), "--upload-pack=x")]),
        json!([{"ref": {"id": "refs/heads/main"}, "toHash": sha("a")}]),
        json!(vec![change("refs/heads/main", "UPDATE", &sha("a"), &sha("b")); 1001]),
        json!([7]),
    ] {
        let error = deliver("repo:refs_changed", &push_of(&changes)).expect_err("refused");
        assert_eq!(error.status(), 400, "{error}");
    }
    for part in [json!(null), json!([]), json!({"id": "7"}), json!({"id": 7})] {
        let mut payload = pull_request_payload();
        payload["pullRequest"] = part;
        assert_eq!(deliver("pr:opened", &payload).expect_err("refused").status(), 400);
    }
    let body = b"{}";
    let mut cloud = headers("repo:push", body);
    cloud.remove("x-request-id");
    cloud.insert("x-request-uuid", "1".parse().expect("ascii"));
    let error = receive(Some(&SecretString::from(SECRET)), &shops(), &cloud, body).expect_err("the other Bitbucket's");
    assert_eq!(error, WebhookError::WrongSignature);
    cloud.remove("x-request-uuid");
    let error = receive(Some(&SecretString::from(SECRET)), &shops(), &cloud, body).expect_err("nobody's");
    assert_eq!(error.status(), 400);
}

proptest::proptest! {
    #[test]
    fn whatever_was_signed_is_read_or_refused(body: Vec<u8>, text in ".{0,80}", number: i64) {
        for event in ["repo:refs_changed", "pr:merged", "pr:comment:added", "diagnostics:ping"] {
            let _ = receive(Some(&SecretString::from(SECRET)), &shops(), &headers(event, &body), &body).is_ok();
            for value in [json!(text), json!(number), json!([text]), json!({"id": text, "text": text, "key": text})] {
                let mut payload = pull_request_payload();
                payload["changes"] = json!([value]);
                payload["repository"] = value.clone();
                payload["pullRequest"]["fromRef"] = value.clone();
                payload["comment"] = value;
                if let Ok(events) = deliver(event, &payload) {
                    assert!(events.len() <= 1);
                }
            }
        }
    }
}
