//! Deliveries as GitHub sends them, and as it never would.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::*;
use crate::forge::Push;
use crate::model::CommitSha;
use serde_json::{Value, json};

const SECRET: &str = "It's a Secret to Everybody";

fn sign(body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any length");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

fn headers(event: &str, body: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("x-hub-signature-256", sign(body).parse().expect("ascii"));
    headers.insert("content-type", "application/json".parse().expect("ascii"));
    headers.insert("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958".parse().expect("ascii"));
    headers.insert("x-github-event", event.parse().expect("ascii"));
    headers
}

fn shop() -> Vec<RepositoryName> {
    vec![RepositoryName::parse("acme/shop").expect("legal")]
}

fn check(headers: &HeaderMap, body: &[u8]) -> Result<ForgeEvent, WebhookError> {
    receive(&SecretString::from(SECRET), &shop(), headers, body).map(|mut delivery| delivery.events.remove(0))
}

fn push_of(payload: &Value) -> Result<Push, WebhookError> {
    let body = serde_json::to_vec(payload).expect("json");
    match check(&headers("push", &body), &body)? {
        ForgeEvent::Push(push) => Ok(push),
        other => panic!("{other:?} is no push"),
    }
}

fn payload() -> Value {
    json!({
        "ref": "refs/heads/main", "before": "a".repeat(40), "after": "b".repeat(40),
        "created": false, "deleted": false, "forced": true,
        "head_commit": {"id": "b".repeat(40), "author": {"name": "mallory", "username": "mallory"}},
        "pusher": {"name": "mallory"}, "sender": {"login": "ann", "id": 7},
        "repository": {"id": 1, "full_name": "Acme/Shop"},
    })
}

#[test]
fn the_signature_of_githubs_own_documentation_is_accepted() {
    // The example of "Validating webhook deliveries" on docs.github.com.
    let mut headers = headers("whatever", b"");
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    headers.insert("x-hub-signature-256", signature.parse().expect("ascii"));
    assert_eq!(
        check(&headers, b"Hello, World!"),
        Ok(ForgeEvent::Ignored { event: "whatever".to_owned() }),
        "and the body of an event of no interest isn't read"
    );
}

#[test]
fn what_is_not_signed_over_the_very_bytes_is_refused() {
    let body = br#"{"zen":"Keep it logically awesome."}"#;
    let good = headers("ping", body);
    assert_eq!(check(&good, body), Ok(ForgeEvent::Ping { complaints: Vec::new() }));
    assert_eq!(check(&good, br#"{"zen": "Keep it logically awesome."}"#), Err(WebhookError::WrongSignature));

    let mut unsigned = good.clone();
    unsigned.remove("x-hub-signature-256");
    unsigned.insert("x-hub-signature", "sha1=da39a3ee5e6b4b0d3255bfef95601890afd80709".parse().expect("ascii"));
    assert_eq!(check(&unsigned, body), Err(WebhookError::Unsigned { header: "X-Hub-Signature-256" }));

    let digits = sign(body).replace("sha256=", "");
    for bad in [digits.clone(), format!("sha1={digits}"), format!("sha256={}", &digits[..62]), "sha256=".into()] {
        let mut headers = good.clone();
        headers.insert("x-hub-signature-256", bad.parse().expect("ascii"));
        assert_eq!(check(&headers, body), Err(WebhookError::WrongSignature), "{bad}");
    }

    let mut twice = good;
    twice.append("x-hub-signature-256", "sha256=00".parse().expect("ascii"));
    assert_eq!(check(&twice, body), Err(WebhookError::WrongSignature));
    assert_eq!(WebhookError::WrongSignature.status(), 401);
}

#[test]
fn an_empty_secret_opens_nothing() {
    let mut mac = Hmac::<Sha256>::new_from_slice(b"").expect("any length");
    mac.update(b"{}");
    let mut headers = headers("ping", b"{}");
    let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
    headers.insert("x-hub-signature-256", signature.parse().expect("ascii"));
    let answer = receive(&SecretString::from(""), &shop(), &headers, b"{}");
    assert_eq!(answer, Err(WebhookError::WrongSignature));
}

#[test]
fn a_form_is_refused_with_what_to_change() {
    let body = b"payload=%7B%7D";
    let mut headers = headers("ping", body);
    headers.insert("content-type", "application/x-www-form-urlencoded".parse().expect("ascii"));
    let error = check(&headers, body).expect_err("no form");
    assert_eq!(error.status(), 415);
    assert!(error.to_string().ends_with("set the webhook's content type on the forge to application/json"), "{error}");

    headers.insert("content-type", "application/json; charset=utf-8".parse().expect("ascii"));
    assert!(matches!(check(&headers, body), Err(WebhookError::Malformed(_))));
}

#[test]
fn a_delivery_needs_a_sane_id_and_an_event() {
    let body = b"{}";
    for (name, value) in [
        ("x-github-delivery", None),
        ("x-github-delivery", Some("")),
        ("x-github-delivery", Some("a b")),
        ("x-github-delivery", Some("../../etc")),
        ("x-github-event", None),
    ] {
        let mut headers = headers("ping", body);
        headers.remove(name);
        if let Some(value) = value {
            headers.insert(name, value.parse().expect("ascii"));
        }
        let error = check(&headers, body).expect_err("refused");
        assert_eq!(error.status(), 400, "{name} {value:?}");
    }
}

#[test]
fn a_push_tells_who_and_what() {
    assert_eq!(
        push_of(&payload()),
        Ok(Push {
            repository_full_name: shop()[0].clone(),
            git_ref: "refs/heads/main".to_owned(),
            before: CommitSha::parse(&"a".repeat(40)).ok(),
            after: CommitSha::parse(&"b".repeat(40)).ok(),
            actor: Some("ann".to_owned()),
            forced: true,
            created: false,
            deleted: false,
        })
    );
}

#[test]
fn zeros_mean_created_and_deleted() {
    for zeros in ["0".repeat(40), "0".repeat(64)] {
        let mut created = payload();
        created["before"] = json!(zeros);
        created["created"] = Value::Null;
        let push = push_of(&created).expect("a push");
        assert!(push.before.is_none() && push.created && !push.deleted);

        let mut deleted = payload();
        deleted["after"] = json!(zeros);
        deleted["head_commit"] = Value::Null;
        let push = push_of(&deleted).expect("a push");
        assert!(push.after.is_none() && push.deleted);
    }
}

#[test]
fn an_annotated_tag_stands_for_its_commit() {
    let mut tag = payload();
    tag["ref"] = json!("refs/tags/v1");
    tag["after"] = json!("c".repeat(40));
    assert_eq!(push_of(&tag).expect("a push").after, CommitSha::parse(&"b".repeat(40)).ok());
    // On a branch, `after` is the commit, whatever the head commit says.
    tag["ref"] = json!("refs/heads/main");
    assert_eq!(push_of(&tag).expect("a push").after, CommitSha::parse(&"c".repeat(40)).ok());
}

#[test]
fn a_repository_that_the_secret_does_not_cover_is_refused() {
    let mut other = payload();
    other["repository"]["full_name"] = json!("acme/bank");
    let error = push_of(&other).expect_err("refused");
    assert_eq!(error, WebhookError::Repository { repository: "acme/bank".to_owned() });
    assert_eq!(error.status(), 403);

    let body = br#"{"repository":{"full_name":"acme/bank"}}"#;
    assert!(matches!(check(&headers("ping", body), body), Err(WebhookError::Repository { .. })));
}

#[test]
fn what_is_missing_or_odd_is_malformed_and_never_a_panic() {
    let mut cases: Vec<(&str, Value)> =
        ["ref", "after", "repository"].into_iter().map(|key| (key, Value::Null)).collect();
    cases.extend([
        ("ref", json!("main")),
        ("ref", json!("refs/heads/../../x")),
        ("ref", json!("refs/heads/a\nb")),
        ("ref", json!(format!("refs/heads/{}", "x".repeat(2000)))),
        ("ref", json!(7)),
        ("after", json!("b".repeat(39))),
        ("after", json!("--upload-pack=x")),
        ("before", json!("Ä".repeat(20))),
        ("repository", json!("acme/shop")),
        ("sender", json!([])),
    ]);
    for (key, value) in cases {
        let mut odd = payload();
        odd[key] = value;
        let error = push_of(&odd).expect_err(key);
        assert_eq!(error.status(), 400, "{key}: {error}");
    }
    let deep = format!("{{\"sender\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    for body in [&b"\xff\xfe"[..], b"", b"null", b"[]", b"{\"ref\":1,\"ref\":2}", deep.as_bytes()] {
        assert!(matches!(check(&headers("push", body), body), Err(WebhookError::Malformed(_))));
    }
}

proptest::proptest! {
    #[test]
    fn whatever_was_signed_is_read_or_refused(
        body: Vec<u8>,
        key in "ref|before|after|created|deleted|forced|head_commit|repository|sender",
        text in ".{0,80}",
        number: i64,
    ) {
        let _ = check(&headers("push", &body), &body).is_ok();
        for value in [json!(text), json!(number), json!([text]), json!({"id": text, "full_name": text, "login": text})] {
            let mut odd = payload();
            odd[key.as_str()] = value;
            if let Ok(push) = push_of(&odd) {
                assert_eq!(push.repository_full_name, shop()[0]);
                assert!(push.git_ref.starts_with("refs/") && !push.git_ref.contains(".."));
                assert_eq!(push.deleted, push.after.is_none());
            }
        }
    }
}

#[test]
fn an_odd_sender_is_nobody() {
    for login in [json!("a b"), json!(""), json!("x".repeat(101)), Value::Null] {
        let mut odd = payload();
        odd["sender"]["login"] = login;
        assert_eq!(push_of(&odd).expect("a push").actor, None);
    }
}
