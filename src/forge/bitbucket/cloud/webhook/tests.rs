//! Deliveries as Bitbucket Cloud sends them, and as it never would.

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use super::*;
use crate::model::{PullRequest, PullRequestState};

const SECRET: &str = "between the two of us";

fn headers(event: &str, body: &[u8]) -> HeaderMap {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any length");
    mac.update(body);
    let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("x-hub-signature", signature.as_str()),
        ("content-type", "application/json"),
        ("x-request-uuid", "2f5a1f6e-6a9c-4dbc-8b1e-0a53a46b2dc2"),
        ("x-event-key", event),
    ] {
        headers.insert(name, value.parse().expect("ascii"));
    }
    headers
}

fn shop() -> Vec<RepositoryName> {
    vec![RepositoryName::parse("acme/shop").expect("legal")]
}

fn deliver(event: &str, payload: &Value) -> Result<Vec<ForgeEvent>, WebhookError> {
    let body = serde_json::to_vec(payload).expect("json");
    let delivery = receive(Some(&SecretString::from(SECRET)), &shop(), &headers(event, &body), &body)?;
    assert_eq!(delivery.id.as_deref(), Some("2f5a1f6e-6a9c-4dbc-8b1e-0a53a46b2dc2"));
    Ok(delivery.events)
}

fn sha(digit: &str) -> String {
    digit.repeat(40)
}

fn ref_part(kind: &str, name: &str, hash: &str) -> Value {
    json!({"type": kind, "name": name, "target": {"type": "commit", "hash": hash, "author": {"raw": "Mallory <m@x>"}}})
}

fn push_of(changes: &Value) -> Value {
    json!({
        "repository": {"type": "repository", "full_name": "Acme/Shop", "uuid": "{1}"},
        "actor": {"type": "user", "display_name": "Ann A.", "nickname": "admin", "account_id": "557058:ann", "uuid": "{2}"},
        "push": {"changes": changes},
    })
}

fn pushed(changes: &Value) -> Result<Vec<Push>, WebhookError> {
    let events = deliver("repo:push", &push_of(changes))?;
    let push = |event| match event {
        ForgeEvent::Push(push) => push,
        other => panic!("{other:?} is no push"),
    };
    Ok(events.into_iter().map(push).collect())
}

fn pull_request_payload() -> Value {
    json!({
        "repository": {"full_name": "acme/shop"},
        "actor": {"nickname": "ann", "account_id": "557058:ann"},
        "pullrequest": {
            "id": 7, "title": "Ship\nit", "state": "OPEN", "updated_on": "2026-11-20T10:11:12.345678+00:00",
            "author": {"account_id": "557058:bob"},
            "source": {
                "branch": {"name": "feature/x"}, "commit": {"hash": &sha("a")[..12]},
                "repository": {"full_name": "acme/shop"},
            },
            "destination": {
                "branch": {"name": "main"}, "commit": {"hash": &sha("b")[..12]},
                "repository": {"full_name": "acme/shop"},
            },
            "merge_commit": null,
        },
    })
}

#[test]
fn one_delivery_tells_of_every_ref_that_moved() {
    let changes = json!([
        {"old": ref_part("branch", "main", &sha("a")), "new": ref_part("branch", "main", &sha("b")), "forced": true},
        {"old": null, "new": ref_part("branch", "feature/x", &sha("c")), "created": true, "forced": false},
        {"old": ref_part("branch", "old", &sha("d")), "new": null, "closed": true},
        {"old": null, "new": ref_part("tag", "v1", &sha("e"))},
        {"old": null, "new": ref_part("annotated_tag", "v2", &sha("f"))},
    ]);
    let pushes = pushed(&changes).expect("pushes");
    let told: Vec<_> = pushes
        .iter()
        .map(|push| {
            let id = |commit: &Option<CommitSha>| commit.as_ref().map(|commit| commit.as_str()[..1].to_owned());
            (push.git_ref.as_str(), id(&push.before), id(&push.after), push.created, push.deleted, push.forced)
        })
        .collect();
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        told,
        [
            ("refs/heads/main", some("a"), some("b"), false, false, true),
            ("refs/heads/feature/x", None, some("c"), true, false, false),
            ("refs/heads/old", some("d"), None, false, true, false),
            ("refs/tags/v1", None, some("e"), true, false, false),
            ("refs/tags/v2", None, some("f"), true, false, false),
        ]
    );
    assert!(pushes.iter().all(|push| push.repository_full_name.as_str() == "acme/shop"));
    // Who acted is the account, not the name that anybody may choose.
    assert!(pushes.iter().all(|push| push.actor.as_deref() == Some("557058:ann")));
}

#[test]
fn a_pull_request_is_asked_for_because_its_commits_are_cut_short() {
    for (event, action) in [
        ("pullrequest:created", PullRequestAction::Opened),
        ("pullrequest:updated", PullRequestAction::Updated),
        ("pullrequest:fulfilled", PullRequestAction::Merged),
        ("pullrequest:rejected", PullRequestAction::Closed),
    ] {
        let events = deliver(event, &pull_request_payload()).expect("an event");
        let [ForgeEvent::PullRequest(told)] = events.as_slice() else { panic!("{events:?}") };
        assert_eq!((told.number, told.action, told.event.as_str()), (7, action, event));
        assert_eq!((told.actor.as_deref(), &told.pull_request), (Some("557058:ann"), &None));
    }
    // Should Bitbucket tell them in full one day, nobody needs to be asked.
    let mut full = pull_request_payload();
    full["pullrequest"]["source"]["commit"]["hash"] = json!(sha("a"));
    full["pullrequest"]["source"]["repository"] = Value::Null;
    let events = deliver("pullrequest:created", &full).expect("an event");
    let [ForgeEvent::PullRequest(told)] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(
        told.pull_request,
        Some(PullRequest {
            repository: shop()[0].clone(),
            number: 7,
            title: "Ship it".to_owned(),
            state: PullRequestState::Open,
            head: CommitSha::parse(&sha("a")).expect("legal"),
            head_branch: "feature/x".to_owned(),
            head_repository: None,
            fork: true,
            target_branch: "main".to_owned(),
            author: Some("557058:bob".to_owned()),
            merge_commit: None,
        })
    );
}

#[test]
fn a_comment_is_a_command_only_when_it_is_new() {
    let mut payload = pull_request_payload();
    payload["comment"] = json!({"id": 3, "content": {"raw": format!("/longboat check{}", "x".repeat(5000))}});
    for (event, created, text) in [
        ("pullrequest:comment_created", true, true),
        ("pullrequest:comment_updated", false, true),
        ("pullrequest:comment_deleted", false, false),
    ] {
        let events = deliver(event, &payload).expect("an event");
        let [ForgeEvent::Comment(told)] = events.as_slice() else { panic!("{events:?}") };
        assert_eq!(told.comment.0, "3");
        assert_eq!((told.number, told.created, told.text.is_some()), (7, created, text), "{event}");
        assert!(told.text.as_ref().is_none_or(|text| text.chars().count() == 1000));
    }
}

#[test]
fn nothing_is_believed_without_the_signature() {
    let body = serde_json::to_vec(&push_of(&json!([]))).expect("json");
    let secret = SecretString::from(SECRET);
    let good = headers("repo:push", &body);
    assert_eq!(receive(Some(&secret), &shop(), &good, &body).map(|delivery| delivery.events), Ok(Vec::new()));
    assert_eq!(receive(None, &shop(), &good, &body), Err(WebhookError::NoSecret));
    let other = SecretString::from("another");
    assert_eq!(receive(Some(&other), &shop(), &good, &body), Err(WebhookError::WrongSignature));
    assert_eq!(receive(Some(&secret), &shop(), &good, b"{}"), Err(WebhookError::WrongSignature));
    let mut unsigned = good.clone();
    unsigned.remove("x-hub-signature");
    let error = receive(Some(&secret), &shop(), &unsigned, &body).expect_err("unsigned");
    assert_eq!(error, WebhookError::Unsigned { header: "X-Hub-Signature" });
    let mut twice = good;
    twice.append("x-hub-signature", "sha256=00".parse().expect("ascii"));
    assert_eq!(receive(Some(&secret), &shop(), &twice, &body), Err(WebhookError::WrongSignature));
}

#[test]
fn what_the_secret_does_not_cover_or_nobody_asked_for_starts_nothing() {
    let mut other = push_of(&json!([]));
    other["repository"]["full_name"] = json!("acme/bank");
    let error = deliver("repo:push", &other).expect_err("refused");
    assert_eq!(error, WebhookError::Repository { repository: "acme/bank".to_owned() });
    for event in ["repo:fork", "pullrequest:approved", "issue:created", "repo:refs_changed"] {
        let ignored = [ForgeEvent::Ignored { event: event.to_owned() }];
        assert_eq!(deliver(event, &json!({"anything": []})).expect("ignored"), ignored);
    }
    let odd = json!([{"old": null, "new": ref_part("bookmark", "x", &sha("a"))}]);
    let ignored = [ForgeEvent::Ignored { event: "push of a bookmark".to_owned() }];
    assert_eq!(deliver("repo:push", &push_of(&odd)).expect("ignored"), ignored);
}

#[test]
fn what_is_missing_or_odd_is_malformed_and_never_a_panic() {
    let good = ref_part("branch", "main", &sha("b"));
    for changes in [
        json!(null),
        json!({}),
        json!([{"old": null, "new": null}]),
        json!([{"new": {"type": "branch", "target": {"hash": sha("b")}}}]),
        json!([{"new": {"type": "branch", "name": "main"}}]),
        json!([{"new": ref_part("branch", "main", &sha("b")[..12])}]),
        json!([{"new": ref_part("branch", "main", "--upload-pack=x")}]),
        json!([{"new": ref_part("branch", "../../x", &sha("b"))}]),
        json!([{"new": ref_part("branch", "a\nb", &sha("b"))}]),
        json!([{"new": ref_part("branch", &"x".repeat(2000), &sha("b"))}]),
        json!(vec![json!({"new": good}); 201]),
        json!([7]),
    ] {
        let error = pushed(&changes).expect_err("refused");
        assert_eq!(error.status(), 400, "{changes}: {error}");
    }
    for part in [json!(null), json!([]), json!({"id": "7"}), json!({"id": -1}), json!({"title": "x"})] {
        let mut payload = pull_request_payload();
        payload["pullrequest"] = part;
        assert_eq!(deliver("pullrequest:created", &payload).expect_err("refused").status(), 400);
    }
    let deep = format!("{{\"actor\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    for body in [&b"\xff\xfe"[..], b"", b"null", b"[]", deep.as_bytes()] {
        let error = receive(Some(&SecretString::from(SECRET)), &shop(), &headers("repo:push", body), body);
        assert!(matches!(error, Err(WebhookError::Malformed(_))), "{error:?}");
    }
    let body = b"{}";
    for name in ["x-request-uuid", "x-event-key"] {
        let mut lacking = headers("repo:push", body);
        lacking.remove(name);
        let error = receive(Some(&SecretString::from(SECRET)), &shop(), &lacking, body).expect_err("refused");
        assert_eq!(error.status(), 400, "{name}");
    }
}

proptest::proptest! {
    #[test]
    fn whatever_was_signed_is_read_or_refused(body: Vec<u8>, text in ".{0,80}", number: i64) {
        for event in ["repo:push", "pullrequest:updated", "pullrequest:comment_created"] {
            let _ = receive(Some(&SecretString::from(SECRET)), &shop(), &headers(event, &body), &body).is_ok();
            for value in [json!(text), json!(number), json!([text]), json!({"hash": text, "name": text, "raw": text})] {
                let mut payload = pull_request_payload();
                payload["push"] = json!({"changes": [{"new": {"type": "branch", "name": text, "target": value}}]});
                payload["pullrequest"]["source"] = value.clone();
                payload["comment"] = value;
                if let Ok(events) = deliver(event, &payload) {
                    assert!(events.len() <= 1);
                }
            }
        }
    }
}
