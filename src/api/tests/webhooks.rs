//! Webhooks as GitHub sends them, and as nobody should.

use futures::StreamExt as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha2::Sha256;

use super::*;
use crate::forge::{self, Capabilities, Forge, ForgeError, ForgeEvent, PostedStatus, Push, WebhookError};
use crate::model::{CommitSha, CommitStatus, RepositoryName};

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

fn sign(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("every length is a key");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

fn push(repository: &str, before: &str, after: &str) -> Value {
    json!({
        "ref": "refs/heads/main", "before": before, "after": after, "created": false, "deleted": false, "forced": false,
        "repository": {"id": 7, "full_name": repository}, "sender": {"login": "ann", "id": 1},
        "pusher": {"name": "mallory"}, "head_commit": {"id": after, "author": {"name": "root"}},
    })
}

/// A delivery: what is sent, and what is changed about it.
#[derive(Clone)]
struct Delivery {
    method: &'static str,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Delivery {
    fn new(event: &str, id: &str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let headers = vec![
            ("host", "cd.example.com".to_owned()),
            ("content-type", "application/json".to_owned()),
            ("x-github-event", event.to_owned()),
            ("x-github-delivery", id.to_owned()),
            ("x-hub-signature-256", sign(SECRET, &body)),
        ];
        Self { method: "POST", headers, body }
    }

    fn push(id: &str) -> Self {
        Self::new("push", id, push("acme/shop", A, B).to_string())
    }

    fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(header, _)| *header != name);
        self
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self = self.without(name);
        self.headers.push((name, value.to_owned()));
        self
    }

    fn and(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    fn method(mut self, method: &'static str) -> Self {
        self.method = method;
        self
    }

    async fn send(self, world: &World) -> Reply {
        let mut request = Request::builder().method(self.method).uri("/webhooks/github");
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        world.ask(request.body(Body::from(self.body)).expect("a request")).await
    }
}

/// Where the store saw the refs of the sample repository: what was accepted moved one.
async fn heads(world: &World) -> Vec<(String, Option<String>, i64)> {
    let heads = world.state.store.heads(&"acme/shop".parse().expect("a name")).await.expect("the heads");
    heads.into_iter().map(|head| (head.git_ref, head.commit.map(String::from), head.seq)).collect()
}

#[tokio::test]
async fn a_push_is_written_down_before_it_is_answered() {
    let world = World::following().await;
    let reply = Delivery::push("d-1").send(&world).await;
    assert_eq!(reply.json(202), json!({"result": "accepted"}));
    assert_eq!(heads(&world).await, [("refs/heads/main".to_owned(), Some(B.to_owned()), 1)]);
}

#[tokio::test]
async fn a_replay_changes_nothing() {
    let world = World::following().await;
    Delivery::push("d-1").send(&world).await.json(202);
    for id in ["d-1", "d-1", "d-2"] {
        assert_eq!(Delivery::push(id).send(&world).await.json(202)["result"], "duplicate", "{id}");
    }
    assert_eq!(heads(&world).await.len(), 1);
    assert_eq!(heads(&world).await[0].2, 1, "it moved once");
}

#[tokio::test]
async fn ping_and_other_events_are_answered_and_start_nothing() {
    let world = World::following().await;
    assert_eq!(
        Delivery::new("ping", "d-1", r#"{"zen": "Design for failure."}"#).send(&world).await.json(200)["result"],
        "pong"
    );
    assert_eq!(Delivery::new("issues", "d-2", "{}").send(&world).await.json(200)["result"], "ignored");
    assert_eq!(heads(&world).await, []);
}

#[tokio::test]
async fn nothing_hostile_gets_in() {
    let world = World::following_with(|config| config.limits.webhook_body = 64 * 1024).await;
    let text = |value: &Value| value.to_string();
    let good = || push("acme/shop", A, B);
    let changed = |key: &str, value: Value| {
        let mut payload = good();
        payload[key] = value;
        Delivery::new("push", "d", text(&payload))
    };
    let nested = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    let deep_value = format!("{{\"ref\": {nested}}}");
    let signed_by = |secret: &str, body: Value| {
        let body = text(&body);
        let signature = sign(secret, body.as_bytes());
        Delivery::new("push", "d", body).with("x-hub-signature-256", &signature)
    };
    let tampered = {
        let mut delivery = Delivery::push("d");
        let at = delivery.body.len() - 2;
        delivery.body[at] ^= 1;
        delivery
    };
    let sha1 = Delivery::push("d")
        .without("x-hub-signature-256")
        .and("x-hub-signature", "sha1=0123456789abcdef0123456789abcdef01234567");
    let form = {
        let body = format!("payload={}", text(&good()).replace('"', "%22"));
        Delivery::new("push", "d", body).with("content-type", "application/x-www-form-urlencoded")
    };
    let valid_signature = sign(SECRET, text(&good()).as_bytes());
    let rows: Vec<(&str, Delivery, u16)> = vec![
        ("no signature", Delivery::push("d").without("x-hub-signature-256"), 401),
        ("an empty signature", Delivery::push("d").with("x-hub-signature-256", ""), 401),
        ("a signature without its name", Delivery::push("d").with("x-hub-signature-256", &valid_signature[7..]), 401),
        ("half a signature", Delivery::push("d").with("x-hub-signature-256", &valid_signature[..39]), 401),
        ("a longer signature", Delivery::push("d").with("x-hub-signature-256", &format!("{valid_signature}00")), 401),
        (
            "a signature that is no hex",
            Delivery::push("d").with("x-hub-signature-256", &format!("sha256={}", "z".repeat(64))),
            401,
        ),
        ("two signatures", Delivery::push("d").and("x-hub-signature-256", "sha256=00"), 401),
        ("only the old signature", sha1, 401),
        ("a wrong secret", signed_by("guess", good()), 401),
        ("an empty secret", signed_by("", good()), 401),
        ("a body changed on the way", tampered, 401),
        ("no body", Delivery::new("push", "d", "").with("x-hub-signature-256", &valid_signature), 401),
        ("the secret of another forge for this repository", signed_by("another", good()), 404),
        ("this secret for another forge's repository", signed_by(SECRET, push("acme/secret", A, B)), 404),
        ("a repository that isn't configured", signed_by(SECRET, push("acme/unknown", A, B)), 404),
        ("a repository without a forge", signed_by(SECRET, push("local/plain", A, B)), 404),
        ("a way up in the repository", signed_by(SECRET, push("../shop", A, B)), 404),
        ("no event", Delivery::push("d").without("x-github-event"), 400),
        ("no delivery id", Delivery::push("d").without("x-github-delivery"), 400),
        ("a delivery id with quotes", Delivery::push("d").with("x-github-delivery", "'; drop table inbox"), 400),
        ("a delivery id without end", Delivery::push(&"d".repeat(500)), 400),
        ("a form", form, 415),
        ("no content type", Delivery::push("d").without("content-type"), 415),
        ("text", Delivery::push("d").with("content-type", "text/plain"), 415),
        ("no JSON", Delivery::new("push", "d", "ref=main"), 400),
        ("half JSON", Delivery::new("push", "d", &text(&good()).as_bytes()[..60]), 400),
        ("a list", Delivery::new("push", "d", "[]"), 400),
        ("not UTF-8", Delivery::new("push", "d", [b"{\"ref\": \"", &b"\xff\xfe"[..], b"\"}"].concat()), 400),
        ("nested without end", Delivery::new("push", "d", nested.clone()), 400),
        ("nested in a field", Delivery::new("push", "d", deep_value), 400),
        ("a ref that is a number", changed("ref", json!(7)), 400),
        ("a ref that is no ref", changed("ref", json!("main")), 400),
        ("a ref with a way up", changed("ref", json!("refs/heads/../../etc/passwd")), 400),
        ("a ref like an option", changed("ref", json!("--upload-pack=touch /tmp/x")), 400),
        ("a ref with a line break", changed("ref", json!("refs/heads/a\nb")), 400),
        ("no commit", changed("after", Value::Null), 400),
        ("a commit like an option", changed("after", json!("--output=/etc/passwd")), 400),
        ("a short commit", changed("after", json!("abc")), 400),
        ("a repository that is a text", changed("repository", json!("acme/shop")), 400),
        ("no repository", changed("repository", Value::Null), 400),
        ("too large", Delivery::new("push", "d", vec![b' '; 64 * 1024 + 1]), 413),
        ("too large, it says", Delivery::push("d").and("content-length", "99999999999"), 413),
        ("not a POST", Delivery::push("d").method("GET"), 405),
        ("not a POST either", Delivery::push("d").method("PUT"), 405),
    ];
    for (name, delivery, expected) in rows {
        let reply = delivery.send(&world).await;
        assert_eq!(reply.status.as_u16(), expected, "{name}: {}", reply.text());
        assert_eq!(reply.headers["content-type"], "application/problem+json", "{name}");
        assert!(!reply.text().contains(SECRET), "{name}");
        assert_eq!(heads(&world).await, [], "{name}");
    }
    // And after all that, GitHub is still heard.
    Delivery::push("d").send(&world).await.json(202);
}

#[tokio::test]
async fn a_large_body_is_refused_while_it_comes_and_never_held() {
    let world = World::following_with(|config| config.limits.webhook_body = 64 * 1024).await;
    // Without a length, and without an end.
    let endless = futures::stream::repeat_with(|| Ok::<_, std::convert::Infallible>(vec![b' '; 4096])).take(1_000_000);
    let request = Request::post("/webhooks/github").header("content-type", "application/json");
    let reply = world.ask(request.body(Body::from_stream(endless)).expect("a request")).await;
    reply.problem(413, "too-large");
}

#[tokio::test]
async fn many_large_bodies_at_once_have_bounded_memory() {
    let world = World::following_with(|config| config.limits.webhook_body = 64 * 1024).await;
    // Each sends 60 KiB and then nothing more for ever: four fit.
    let half = || {
        let sent = futures::stream::iter([Ok::<_, std::convert::Infallible>(vec![b' '; 60 * 1024])]);
        let request = Request::post("/webhooks/github").header("content-type", "application/json");
        request.body(Body::from_stream(sent.chain(futures::stream::pending()))).expect("a request")
    };
    let mut waiting = Vec::new();
    for _ in 0..4 {
        let mut request = Box::pin(world.app.clone().oneshot(half()));
        assert!(futures::poll!(&mut request).is_pending());
        waiting.push(request);
    }
    world.ask(half()).await.problem(503, "unavailable");
    drop(waiting);
    Delivery::push("d").send(&world).await.json(202);
}

#[tokio::test]
async fn a_sender_who_hangs_up_takes_nothing_back() {
    let world = World::following().await;
    let delivery = Delivery::push("d-1");
    let mut request = Request::post("/webhooks/github");
    for (name, value) in &delivery.headers {
        request = request.header(*name, value);
    }
    let request = request.body(Body::from(delivery.body)).expect("a request");
    let mut answer = Box::pin(world.app.clone().oneshot(request));
    assert!(futures::poll!(&mut answer).is_pending(), "it waits for the disk");
    let mut changed = world.state.store.inbox_changed();
    drop(answer);
    if heads(&world).await.is_empty() {
        changed.changed().await.expect("the store lives");
    }
    assert_eq!(heads(&world).await.len(), 1);
}

#[tokio::test]
async fn without_a_secret_webhooks_are_refused() {
    let world =
        World::following_with(|config| config.forges.values_mut().for_each(|forge| forge.webhook_secret = None)).await;
    Delivery::push("d").send(&world).await.problem(404, "not-found");
    for other in ["/webhooks/gitlab", "/webhooks/", "/webhooks/github/x"] {
        world.post(other, "{}").await.problem(404, "not-found");
    }
}

/// A forge whose deliveries speak of two branches, as Bitbucket's do; anybody's are believed.
struct Chatty;

#[async_trait::async_trait]
impl Forge for Chatty {
    fn name(&self) -> &str {
        "chatty"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::NONE
    }

    fn webhook_path(&self) -> Option<&'static str> {
        Some("chatty")
    }

    fn receive(
        &self,
        repositories: &[RepositoryName],
        _: &HeaderMap,
        _: &[u8],
    ) -> Result<forge::Delivery, WebhookError> {
        let push = |branch: &str| {
            ForgeEvent::Push(Push {
                repository_full_name: repositories[0].clone(),
                git_ref: format!("refs/heads/{branch}"),
                before: None,
                after: B.parse().ok(),
                actor: None,
                forced: false,
                created: true,
                deleted: false,
            })
        };
        let events = vec![push("main"), push("next"), ForgeEvent::Ignored { event: "star".to_owned() }];
        Ok(forge::Delivery { id: Some("one".to_owned()), events })
    }

    async fn post_status(&self, _: &str, _: &CommitStatus, _: Option<&str>) -> Result<(), ForgeError> {
        Ok(())
    }

    async fn statuses(&self, _: &str, _: &CommitSha) -> Result<Vec<PostedStatus>, ForgeError> {
        Ok(Vec::new())
    }
}

#[tokio::test]
async fn a_delivery_that_speaks_of_several_branches_is_noticed_for_each() {
    let mut world = World::following().await;
    let mut state = world.state.clone();
    state.forges.add(Arc::new(Chatty), ["acme/shop".parse().expect("a name")]);
    world.app = guard(router(state.clone()), &state.config, state.clock.clone());
    let first = world.post("/webhooks/chatty", "{}").await.json(202);
    let results = json!([{"result": "accepted"}, {"result": "accepted"}, {"result": "ignored", "event": "star"}]);
    assert_eq!(first, json!({"result": "accepted", "results": results}));
    assert_eq!(heads(&world).await.len(), 2);
    let again = world.post("/webhooks/chatty", "{}").await.json(202);
    assert_eq!(again["result"], "duplicate", "the same delivery: {again}");
    assert_eq!(heads(&world).await.len(), 2);
    // The others are not disturbed.
    Delivery::new("ping", "d", "{}").send(&world).await.json(200);
}

#[tokio::test]
async fn a_webhook_that_is_set_up_badly_hears_of_it_at_its_ping() {
    let world = World::following().await;
    let hook = json!({"active": true, "events": ["push"], "config": {"content_type": "json", "secret": "********"}});
    let body = json!({"zen": "x", "hook": hook, "repository": {"full_name": "acme/shop"}}).to_string();
    let answer = Delivery::new("ping", "d", body).send(&world).await.json(200);
    let complaint = "it doesn't send \"Pull requests\" and \"Issue comments\"; tick them in its settings";
    assert_eq!(answer, json!({"result": "pong", "complaints": [complaint]}));
}
