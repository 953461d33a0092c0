//! Webhooks as the two send them: payloads in their shapes, signed, with their headers.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::{FakeBitbucket, Kind, cloud, data_center};

/// A webhook as a repository's list of them shows it: with a secret, and all events that Longboat acts on.
pub fn hook(kind: Kind, address: &str) -> Value {
    match kind {
        Kind::Cloud => json!({
            "uuid": "{1}", "url": address, "active": true, "secret_set": true,
            "events": ["repo:push", "pullrequest:created", "pullrequest:updated", "pullrequest:fulfilled",
                "pullrequest:rejected", "pullrequest:comment_created", "pullrequest:comment_updated",
                "pullrequest:comment_deleted"],
        }),
        Kind::DataCenter => json!({
            "id": 1, "url": address, "active": true, "configuration": {"secret": "hunter2"},
            "events": ["repo:refs_changed", "pr:opened", "pr:from_ref_updated", "pr:modified", "pr:merged",
                "pr:declined", "pr:deleted", "pr:comment:added", "pr:comment:edited", "pr:comment:deleted"],
        }),
    }
}

/// One delivery, which can be sent more than once.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub kind: Kind,
    /// `X-Request-UUID` or `X-Request-Id`.
    pub id: String,
    /// `X-Event-Key`.
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

/// One ref of a push, in the words of a test.
#[derive(Debug, Clone)]
pub struct PushOf<'a> {
    /// `refs/heads/main`.
    pub git_ref: &'a str,
    /// Where it stood; `None`: it's new.
    pub before: Option<&'a str>,
    /// Where it stands; `None`: it's gone.
    pub after: Option<&'a str>,
}

impl Delivery {
    /// A delivery of anything, with an id of its own.
    pub fn of(kind: Kind, event: &str, payload: &Value) -> Self {
        let body = serde_json::to_vec(payload).expect("JSON");
        Self { kind, id: uuid::Uuid::now_v7().to_string(), event: event.to_owned(), body }
    }

    /// A push of one or more refs.
    pub fn push(kind: Kind, repository: &str, actor: &str, refs: &[PushOf<'_>]) -> Self {
        match kind {
            Kind::Cloud => {
                let changes: Vec<Value> = refs.iter().map(cloud_change).collect();
                let payload = json!({
                    "repository": {"type": "repository", "full_name": repository, "uuid": "{1}"},
                    "actor": cloud::actor(actor),
                    "push": {"changes": changes},
                });
                Self::of(kind, "repo:push", &payload)
            }
            Kind::DataCenter => {
                let changes: Vec<Value> = refs.iter().map(data_center_change).collect();
                let payload = json!({
                    "eventKey": "repo:refs_changed", "date": "2026-11-20T10:11:12+0100",
                    "actor": data_center::user(actor),
                    "repository": data_center::show_repository(repository),
                    "changes": changes, "commits": [], "toCommit": null,
                });
                Self::of(kind, "repo:refs_changed", &payload)
            }
        }
    }

    /// `X-Hub-Signature` under a secret.
    pub fn signature(&self, secret: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("keys have any length");
        mac.update(&self.body);
        format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
    }

    /// Sends it to a receiver, with Bitbucket's headers. Sending it again is a redelivery: the id stays.
    pub async fn send(&self, url: &str, secret: &str) -> Answer {
        self.deliver(url, Some(&self.signature(secret))).await
    }

    /// Sends it with whatever signature, or none.
    pub async fn deliver(&self, url: &str, signature: Option<&str>) -> Answer {
        let mut request = reqwest::Client::new().post(url).header("Content-Type", "application/json");
        request = request.header("X-Event-Key", &self.event);
        request = match self.kind {
            Kind::Cloud => request
                .header("User-Agent", "Bitbucket-Webhooks/2.0")
                .header("X-Request-UUID", &self.id)
                .header("X-Hook-UUID", "8b1d5e2f-6a9c-4dbc-8b1e-0a53a46b2dc2")
                .header("X-Attempt-Number", "1"),
            Kind::DataCenter => request
                .header("User-Agent", "Atlassian HttpClient 2.1.5 / Bitbucket-8.19.2")
                .header("X-Request-Id", &self.id),
        };
        if let Some(signature) = signature {
            request = request.header("X-Hub-Signature", signature);
        }
        let answer = request.body(self.body.clone()).send().await.expect("the receiver of the webhook answers");
        Answer { status: answer.status().as_u16(), body: answer.text().await.expect("a body") }
    }
}

fn cloud_change(of: &PushOf<'_>) -> Value {
    let (kind, name) = match of.git_ref.strip_prefix("refs/heads/") {
        Some(name) => ("branch", name),
        None => ("tag", of.git_ref.strip_prefix("refs/tags/").expect("a branch or a tag")),
    };
    let part = |hash: &str| json!({"type": kind, "name": name, "target": {"type": "commit", "hash": hash}});
    json!({
        "old": of.before.map(part), "new": of.after.map(part), "created": of.before.is_none(),
        "closed": of.after.is_none(), "forced": false, "truncated": false, "commits": [],
    })
}

fn data_center_change(of: &PushOf<'_>) -> Value {
    let zero = "0".repeat(40);
    let kind = match (of.before, of.after) {
        (None, _) => "ADD",
        (_, None) => "DELETE",
        _ => "UPDATE",
    };
    let of_ref = if of.git_ref.starts_with("refs/tags/") { "TAG" } else { "BRANCH" };
    let short = of.git_ref.splitn(3, '/').last().expect("a name");
    json!({
        "ref": {"id": of.git_ref, "displayId": short, "type": of_ref}, "refId": of.git_ref,
        "fromHash": of.before.unwrap_or(&zero), "toHash": of.after.unwrap_or(&zero), "type": kind,
    })
}

impl FakeBitbucket {
    /// The delivery about a pull request as it stands. `action` is `opened`, `updated`, `merged` or `declined`.
    pub fn pull_event(&self, full_name: &str, number: u64, action: &str, actor: &str) -> Delivery {
        let (event, payload) = self.about(full_name, number, action, actor);
        Delivery::of(self.kind(), event, &payload)
    }

    /// The delivery about a comment. `action` is `created`, `edited` or `deleted`.
    pub fn comment_event(&self, full_name: &str, id: u64, action: &str, actor: &str) -> Delivery {
        let (number, body) = {
            let state = self.shared.state();
            let repository = &state.repositories[&full_name.to_ascii_lowercase()];
            let comment = repository.comments.iter().find(|comment| comment.id == id).expect("it was written");
            (comment.number, comment.body.clone())
        };
        let (_, mut payload) = self.about(full_name, number, "updated", actor);
        let event = match (self.kind(), action) {
            (Kind::Cloud, "created") => "pullrequest:comment_created",
            (Kind::Cloud, "edited") => "pullrequest:comment_updated",
            (Kind::Cloud, _) => "pullrequest:comment_deleted",
            (Kind::DataCenter, "created") => "pr:comment:added",
            (Kind::DataCenter, "edited") => "pr:comment:edited",
            (Kind::DataCenter, _) => "pr:comment:deleted",
        };
        payload["comment"] = match self.kind() {
            Kind::Cloud => json!({"id": id, "content": {"raw": body}, "user": cloud::actor(actor)}),
            Kind::DataCenter => json!({"id": id, "version": 0, "text": body, "author": data_center::user(actor)}),
        };
        Delivery::of(self.kind(), event, &payload)
    }

    fn about(&self, full_name: &str, number: u64, action: &str, actor: &str) -> (&'static str, Value) {
        let state = self.shared.state();
        let repository = &state.repositories[&full_name.to_ascii_lowercase()];
        let pull = repository.pull(number).expect("it was opened");
        match self.kind() {
            Kind::Cloud => {
                let event = match action {
                    "opened" => "pullrequest:created",
                    "updated" => "pullrequest:updated",
                    "merged" => "pullrequest:fulfilled",
                    _ => "pullrequest:rejected",
                };
                let payload = json!({
                    "repository": {"type": "repository", "full_name": repository.full_name}, "actor": cloud::actor(actor),
                    "pullrequest": cloud::show_pull(repository, pull),
                });
                (event, payload)
            }
            Kind::DataCenter => {
                let event = match action {
                    "opened" => "pr:opened",
                    "updated" => "pr:from_ref_updated",
                    "merged" => "pr:merged",
                    _ => "pr:declined",
                };
                // Some versions write the date in milliseconds.
                let payload = json!({
                    "eventKey": event, "date": 1_763_629_872_000_i64, "actor": data_center::user(actor),
                    "pullRequest": data_center::show_pull(repository, pull),
                });
                (event, payload)
            }
        }
    }
}
