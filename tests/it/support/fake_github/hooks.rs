//! Webhooks as GitHub sends them: payloads in its shape, signed, with its headers.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::contract::contract;
use super::show;

/// One delivery, which can be sent more than once.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// `X-GitHub-Delivery`.
    pub id: String,
    /// `X-GitHub-Event`.
    pub event: String,
    /// The bytes that are signed and sent.
    pub body: Vec<u8>,
}

/// What the receiver answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

/// A push, in the words of a test.
#[derive(Debug, Clone)]
pub struct PushOf<'a> {
    /// `owner/name`.
    pub repository: &'a str,
    /// `refs/heads/main`.
    pub git_ref: &'a str,
    /// Where it stood; `None`: it's new.
    pub before: Option<&'a str>,
    /// Where it stands; `None`: it's gone.
    pub after: Option<&'a str>,
    /// Who pushed.
    pub actor: &'a str,
    /// Whether history was rewritten.
    pub forced: bool,
}

impl Delivery {
    /// A delivery of anything, with an id of its own.
    ///
    /// # Panics
    /// If GitHub's own description of the event says that it doesn't look like that.
    pub fn of(event: &str, payload: &Value) -> Self {
        let faults = contract().map(|contract| contract.webhook(event, payload)).unwrap_or_default();
        assert!(faults.is_empty(), "{faults:#?}");
        Self::odd(event, payload)
    }

    /// A delivery that GitHub would never send.
    pub fn odd(event: &str, payload: &Value) -> Self {
        let body = serde_json::to_vec(payload).expect("JSON");
        Self { id: uuid::Uuid::now_v7().to_string(), event: event.to_owned(), body }
    }

    /// What GitHub sends when a webhook is set up.
    pub fn ping(repository: &str) -> Self {
        let payload = json!({
            "zen": "Non-blocking is better than blocking.",
            "hook_id": 109_948_940,
            "hook": hook("https://cd.example.com/webhooks/github", Value::Null),
            "repository": show::repository_in_payload(repository),
            "sender": show::user("ann"),
        });
        Self::of("ping", &payload)
    }

    /// A push.
    pub fn push(push: &PushOf<'_>) -> Self {
        let zero = "0".repeat(push.after.or(push.before).map_or(40, str::len));
        let commit = push.after.map(|sha| {
            json!({
                "id": sha,
                "tree_id": "f".repeat(sha.len()),
                "distinct": true,
                "message": "Change something",
                "timestamp": "2026-11-20T10:11:12+01:00",
                "url": format!("https://github.example/{}/commit/{sha}", push.repository),
                "author": {"name": "Somebody Else", "email": "else@example.com", "username": "else"},
                "committer": {"name": "GitHub", "email": "noreply@github.example", "username": "web-flow"},
                "added": [], "removed": [], "modified": ["README.md"],
            })
        });
        let mut pushed = show::repository_in_payload(push.repository);
        // In this one payload they are numbers.
        pushed["created_at"] = json!(1_430_869_212);
        pushed["pushed_at"] = json!(1_430_869_217);
        let payload = json!({
            "ref": push.git_ref,
            "before": push.before.unwrap_or(&zero),
            "after": push.after.unwrap_or(&zero),
            "repository": pushed,
            "pusher": {"name": push.actor, "email": "pusher@example.com"},
            "sender": show::user(push.actor),
            "created": push.before.is_none(),
            "deleted": push.after.is_none(),
            "forced": push.forced,
            "base_ref": null,
            "compare": format!("https://github.example/{}/compare/x...y", push.repository),
            "commits": commit.iter().collect::<Vec<_>>(),
            "head_commit": commit,
        });
        Self::of("push", &payload)
    }

    /// `X-Hub-Signature-256` under a secret.
    pub fn signature(&self, secret: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("keys have any length");
        mac.update(&self.body);
        format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
    }

    /// Sends it to a receiver, with GitHub's headers. Sending it again is a redelivery: the id stays.
    pub async fn send(&self, url: &str, secret: &str) -> Answer {
        self.send_signed(url, &self.signature(secret)).await
    }

    /// Sends it with whatever signature.
    pub async fn send_signed(&self, url: &str, signature: &str) -> Answer {
        let answer = reqwest::Client::new()
            .post(url)
            .header("Accept", "*/*")
            .header("Content-Type", "application/json")
            .header("User-Agent", "GitHub-Hookshot/8b1d5e2")
            .header("X-GitHub-Delivery", &self.id)
            .header("X-GitHub-Event", &self.event)
            .header("X-GitHub-Hook-ID", "109948940")
            .header("X-GitHub-Hook-Installation-Target-ID", "35129377")
            .header("X-GitHub-Hook-Installation-Target-Type", "repository")
            .header("X-Hub-Signature-256", signature)
            .body(self.body.clone())
            .send()
            .await
            .expect("the receiver of the webhook answers");
        Answer { status: answer.status().as_u16(), body: answer.text().await.expect("a body") }
    }
}

/// A webhook as the API lists it and a ping shows it: set up well. `last_response`: how its last delivery went, as
/// `{"code": 202, "status": "active", "message": "OK"}`.
pub fn hook(url: &str, last_response: Value) -> Value {
    let api = "https://api.github.example/repos/acme/shop/hooks/109948940";
    let unused = json!({"code": null, "status": "unused", "message": null});
    json!({
        "type": "Repository", "id": 109_948_940, "name": "web", "active": true,
        "events": ["push", "pull_request", "issue_comment"],
        "config": {"url": url, "content_type": "json", "insecure_ssl": "0", "secret": "********"},
        "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z", "url": api,
        "test_url": format!("{api}/test"), "ping_url": format!("{api}/pings"),
        "deliveries_url": format!("{api}/deliveries"),
        "last_response": if last_response.is_null() { unused } else { last_response },
    })
}
