//! Webhooks that nobody should send, to the real binary: a right answer, no crash, no outgoing call, no secret in a log.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::support::git_http::GitHttp;
use crate::support::repo::git_in;
use crate::support::server::{Server, write_config};

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const HUB: &str = "the-secret-of-the-hub-7f3a";
const OTHER: &str = "the-secret-of-the-other-hub-91c2";
const BUCKET: &str = "the-secret-of-the-bucket-5d5e";
const CENTER: &str = "the-secret-of-the-data-center-c0de";
const TOKENS: [&str; 4] = ["token-hub-1a2b3c", "token-other-4d5e6f", "token-bucket-7a8b9c", "token-center-0d1e2f"];

/// A delivery, and what it is to be answered with.
struct Row {
    name: &'static str,
    path: &'static str,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    want: u16,
}

fn sign(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("every length is a key");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

/// What GitHub would send, signed.
fn github(name: &'static str, want: u16, event: &str, body: impl Into<Vec<u8>>) -> Row {
    let body = body.into();
    let headers = vec![
        ("content-type", "application/json".to_owned()),
        ("x-github-event", event.to_owned()),
        ("x-github-delivery", format!("{:032x}", name.len())),
        ("x-hub-signature-256", sign(HUB, &body)),
    ];
    Row { name, path: "/webhooks/github", headers, body, want }
}

/// What Bitbucket would send, signed.
fn bitbucket(name: &'static str, want: u16, secret: &str, event: &str, body: impl Into<Vec<u8>>) -> Row {
    let body = body.into();
    let headers = vec![
        ("content-type", "application/json".to_owned()),
        ("x-event-key", event.to_owned()),
        ("x-request-uuid", "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0".to_owned()),
        ("x-hub-signature", sign(secret, &body)),
    ];
    Row { name, path: "/webhooks/bitbucket", headers, body, want }
}

impl Row {
    fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(header, _)| *header != name);
        self
    }

    fn with(self, name: &'static str, value: impl Into<String>) -> Self {
        self.without(name).and(name, value)
    }

    fn and(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn to(mut self, path: &'static str) -> Self {
        self.path = path;
        self
    }
}

fn push_to(repository: &str, git_ref: &str, before: &str, after: &str) -> Value {
    json!({
        "ref": git_ref, "before": before, "after": after, "created": false, "deleted": false, "forced": false,
        "repository": {"id": 7, "full_name": repository}, "sender": {"login": "ann", "id": 1},
        "head_commit": {"id": after},
    })
}

fn push() -> Vec<u8> {
    push_to("acme/shop", "refs/heads/main", A, B).to_string().into_bytes()
}

/// JSON that is nothing but depth.
fn nested(depth: usize) -> Vec<u8> {
    let mut body = "[".repeat(depth);
    body.push_str(&"]".repeat(depth));
    body.into_bytes()
}

fn forged() -> Vec<Row> {
    vec![
        github("no signature", 401, "push", push()).without("x-hub-signature-256"),
        github("only the old SHA-1", 401, "push", push())
            .without("x-hub-signature-256")
            .and("x-hub-signature", format!("sha1={}", "0".repeat(40))),
        github("an empty signature", 401, "push", push()).with("x-hub-signature-256", ""),
        github("a signature of nothing", 401, "push", push()).with("x-hub-signature-256", "sha256="),
        github("half a signature", 401, "push", push()).with("x-hub-signature-256", &sign(HUB, &push())[..40]),
        github("a signature without its name", 401, "push", push())
            .with("x-hub-signature-256", &sign(HUB, &push())[7..]),
        github("a signature that is no hexadecimal", 401, "push", push())
            .with("x-hub-signature-256", format!("sha256={}", "z".repeat(64))),
        github("a signature as long as a book", 401, "push", push())
            .with("x-hub-signature-256", format!("sha256={}", "ab".repeat(3000))),
        github("the signature of another body", 401, "push", push()).with("x-hub-signature-256", sign(HUB, b"{}")),
        github("a signature under another secret", 401, "push", push())
            .with("x-hub-signature-256", sign("guess", &push())),
        github("a signature under the empty secret", 401, "push", push())
            .with("x-hub-signature-256", sign("", &push())),
        github("two signatures, one of them good", 401, "push", push())
            .and("x-hub-signature-256", sign("guess", &push())),
        github("the secret of another forge for this forge's repository", 404, "push", push())
            .with("x-hub-signature-256", sign(OTHER, &push())),
        github("the secret of another forge of another kind", 401, "push", push())
            .with("x-hub-signature-256", sign(BUCKET, &push())),
        github("GitHub's delivery at Bitbucket's door", 401, "push", push()).to("/webhooks/bitbucket"),
        github("an unsigned word for another host", 401, "push", push())
            .without("x-hub-signature-256")
            .and("host", "localhost.evil.example.com"),
        github("a door that nobody opens", 404, "push", push()).to("/webhooks/gitlab"),
        github("a door with a way up", 404, "push", push()).to("/webhooks/github/..%2f..%2fapi"),
        bitbucket("Bitbucket without a signature", 401, BUCKET, "repo:push", "{}").without("x-hub-signature"),
        bitbucket("Bitbucket signed by a guess", 401, "guess", "repo:push", "{}"),
        bitbucket("a Data Center's event under the Cloud's secret", 200, BUCKET, "repo:refs_changed", "[]"),
    ]
}

fn malformed() -> Vec<Row> {
    let other = push_to("evil/other", "refs/heads/main", A, B).to_string();
    vec![
        github("nothing", 400, "push", ""),
        github("no JSON", 400, "push", "push!"),
        github("half of it", 400, "push", &push()[..40]),
        github("no text", 400, "push", vec![0xff, 0xfe, 0x00, 0x80]),
        github("a list", 400, "push", "[]"),
        github("null", 400, "push", "null"),
        github("an empty object", 400, "push", "{}"),
        github("a form", 415, "push", "payload=%7B%7D").with("content-type", "application/x-www-form-urlencoded"),
        github("no content type", 415, "push", push()).without("content-type"),
        github("a hundred thousand levels deep", 400, "push", nested(100_000)),
        github("deep below a field", 400, "push", {
            let deep = String::from_utf8(nested(5000)).expect("brackets");
            format!("{{\"ref\":\"refs/heads/main\",\"commits\":{deep}}}")
        }),
        github(
            "numbers where words are",
            400,
            "push",
            r#"{"ref":1,"before":2,"after":3,"repository":{"full_name":4}}"#,
        ),
        github("a number beyond all numbers", 400, "push", r#"{"ref":1e999999}"#),
        github("a ref that climbs", 400, "push", push_to("acme/shop", "refs/heads/../../etc", A, B).to_string()),
        github("a ref with a line break", 400, "push", push_to("acme/shop", "refs/heads/a\nb", A, B).to_string()),
        github(
            "a ref as long as a book",
            400,
            "push",
            push_to("acme/shop", &format!("refs/heads/{}", "x".repeat(9000)), A, B).to_string(),
        ),
        github(
            "a commit that is none",
            400,
            "push",
            push_to("acme/shop", "refs/heads/main", A, "HEAD; rm -rf /").to_string(),
        ),
        github(
            "a commit that is an option",
            400,
            "push",
            push_to("acme/shop", "refs/heads/main", A, "--upload-pack=touch /tmp/x").to_string(),
        ),
        github("a repository that is not followed", 404, "push", other),
        github(
            "a repository with a way up",
            404,
            "push",
            push_to("../../etc/passwd", "refs/heads/main", A, B).to_string(),
        ),
        github("no event", 400, "push", push()).without("x-github-event"),
        github("an event that nobody knows", 200, "meteor_strike", push()),
        github("an event with odd letters", 400, "push", push()).with("x-github-event", "pu sh<script>"),
        github("no delivery id", 400, "push", push()).without("x-github-delivery"),
        github("a delivery id with odd letters", 400, "push", push())
            .with("x-github-delivery", "'; DROP TABLE inbox; --"),
        github("a delivery id as long as a book", 400, "push", push()).with("x-github-delivery", "a".repeat(4000)),
        github(
            "a pull request without a head",
            400,
            "pull_request",
            r#"{"action":"opened","number":1,"repository":{"full_name":"acme/shop"}}"#,
        ),
        github(
            "a pull request with a number below zero",
            400,
            "pull_request",
            r#"{"action":"opened","number":-1,"repository":{"full_name":"acme/shop"},"pull_request":{}}"#,
        ),
        bitbucket(
            "changes that are no list",
            400,
            BUCKET,
            "repo:push",
            r#"{"push":{"changes":7},"repository":{"full_name":"acme/cart"}}"#,
        ),
        bitbucket(
            "an event that Bitbucket doesn't know",
            200,
            BUCKET,
            "repo:meteor",
            r#"{"repository":{"full_name":"acme/cart"}}"#,
        ),
        bitbucket(
            "a repository of somebody else",
            404,
            BUCKET,
            "repo:push",
            r#"{"push":{"changes":[]},"repository":{"full_name":"evil/other"}}"#,
        ),
    ]
}

/// Accepts connections and only counts them: where every forge's API is supposed to be.
async fn counting() -> (String, Arc<AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            drop(stream);
        }
    });
    (url, count)
}

async fn send(server: &Server, row: &Row) -> (u16, String) {
    let mut request = reqwest::Client::new().post(format!("{}{}", server.url, row.path)).body(row.body.clone());
    for (name, value) in &row.headers {
        request = request.header(*name, value.as_str());
    }
    let answer = request.send().await.unwrap_or_else(|error| panic!("{}: no answer: {error}", row.name));
    (answer.status().as_u16(), answer.text().await.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_hostile_webhook_gets_a_right_answer_and_calls_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    for repository in ["acme/shop", "acme/cart", "ACME/crate"] {
        let bare = folder.path().join(format!("served/{repository}.git"));
        std::fs::create_dir_all(&bare).expect("a folder");
        git_in(&bare, &["init", "--quiet", "--bare", "--initial-branch=main"]);
    }
    let git = GitHttp::start(&folder.path().join("served"), None).await;
    let (api, calls) = counting().await;
    let config = format!(
        "server: {{listen: '127.0.0.1:0', publicUrl: 'https://cd.example.com', stateDir: state}}\n\
         logging: {{filter: trace}}\n\
         forges:\n\
         \x20 hub: {{type: github, apiUrl: '{api}', token: {{env: T0}}, webhookSecret: {{env: S0}}}}\n\
         \x20 other: {{type: github, url: 'https://git.example.com', apiUrl: '{api}', token: {{env: T1}}, webhookSecret: {{env: S1}}}}\n\
         \x20 bucket: {{type: bitbucket, apiUrl: '{api}', token: {{env: T2}}, webhookSecret: {{env: S2}}}}\n\
         \x20 center: {{type: bitbucketDataCenter, url: '{api}', token: {{env: T3}}, webhookSecret: {{env: S3}}}}\n\
         repositories:\n\
         \x20 - {{name: acme/shop, forge: hub, url: '{shop}', branches: [main], poll: 1h}}\n\
         \x20 - {{name: acme/cart, forge: bucket, url: '{cart}', branches: [main], poll: 1h}}\n\
         \x20 - {{name: ACME/crate, forge: center, url: '{krate}', branches: [main], poll: 1h}}\n",
        shop = git.url("acme/shop.git"),
        cart = git.url("acme/cart.git"),
        krate = git.url("ACME/crate.git"),
    );
    let config = write_config(folder.path(), &config);
    let secrets = [HUB, OTHER, BUCKET, CENTER];
    let names = ["S0", "S1", "S2", "S3", "T0", "T1", "T2", "T3"];
    let values: Vec<&str> = secrets.into_iter().chain(TOKENS).collect();
    let environment: Vec<(&str, &str)> = names.into_iter().zip(values.iter().copied()).collect();
    let server = Server::start(&config, &environment);
    // The first look at each repository is no answer to a webhook.
    crate::support::wait::eventually_async(std::time::Duration::from_secs(60), "all were looked at", || async {
        let known = server.get("/api/v1/repositories").await;
        let items = known["items"].as_array().cloned().unwrap_or_default();
        items.iter().all(|item| item["reachedTime"].is_string() || item["error"].is_string()).then_some(())
    })
    .await;
    let (fetches, asked) = (git.seen().len(), calls.load(Ordering::SeqCst));

    let rows: Vec<Row> = forged().into_iter().chain(malformed()).collect();
    assert!(rows.len() >= 30, "{} rows", rows.len());
    let mut wrong = Vec::new();
    for row in &rows {
        let (status, text) = send(&server, row).await;
        if status != row.want {
            wrong.push(format!("{}: {status} instead of {}: {text}", row.name, row.want));
        }
        if status >= 400 {
            let problem: Value = serde_json::from_str(&text).unwrap_or_default();
            if !problem["detail"].is_string() {
                wrong.push(format!("{}: no words for the person who looks at the delivery: {text}", row.name));
            }
        }
        for secret in &values {
            assert!(!text.contains(secret), "{}: the answer holds a secret: {text}", row.name);
        }
    }
    let huge = github("as large as nobody sends", 413, "push", vec![b' '; 26 * 1024 * 1024]);
    // The server may answer and close before the last byte was sent.
    let large =
        reqwest::Client::new().post(format!("{}{}", server.url, huge.path)).body(huge.body.clone()).send().await;
    assert!(large.is_err() || large.is_ok_and(|answer| answer.status() == 413), "an oversized delivery is refused");
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));

    assert_eq!(git.seen().len(), fetches, "no repository was fetched");
    assert_eq!(calls.load(Ordering::SeqCst), asked, "no forge was called");

    // What is signed is believed whatever host it names, once.
    let good = github("a replay", 202, "push", push()).and("host", "evil.example.com");
    let mut words = Vec::new();
    for _ in 0..3 {
        let (status, text) = send(&server, &good).await;
        assert_eq!(status, 202, "{text}");
        words.push(serde_json::from_str::<Value>(&text).expect("JSON")["result"].as_str().map(str::to_owned));
    }
    assert_eq!(words, ["accepted", "duplicate", "duplicate"].map(|word| Some(word.to_owned())));
    let executions = server.get("/api/v1/executions").await;
    assert_eq!(executions["items"].as_array().map(Vec::len), Some(0), "{executions:#}");
    let log = server.log();
    for secret in values {
        assert!(!log.contains(secret), "the log holds {secret}");
    }
    assert!(!log.contains("panic"), "{log}");
    assert!(server.stop().success());
}
