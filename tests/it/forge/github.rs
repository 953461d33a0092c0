//! GitHub: statuses out, webhooks in.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use longboat::clock::{Clock, Timestamp};
use longboat::forge::github::{GitHub, GitHubOptions};
use longboat::forge::{Forge, ForgeError, ForgeErrorKind, ForgeEvent, PostedStatus};
use longboat::model::{CommitSha, CommitStatus, ReportTarget, RepositoryName, StatusState};
use secrecy::SecretString;
use tokio::sync::mpsc;

use crate::support::fake_github::{Delivery, FakeGitHub, Fault, Limit, PushOf, TOKEN};

pub(super) const SHOP: &str = "acme/shop";
const CONTEXT: &str = "longboat/shop/deploy";

pub(super) fn sha() -> CommitSha {
    CommitSha::parse(&"1a2b3c4d".repeat(5)).expect("a commit id")
}

pub(super) fn status(state: StatusState, description: &str) -> CommitStatus {
    let target = ReportTarget {
        repository: RepositoryName::parse(SHOP).expect("a name"),
        commit: sha(),
        context: CONTEXT.to_owned(),
    };
    CommitStatus::new(target, state, description, "/executions/1")
}

pub(super) fn clock() -> Clock {
    Clock::manual(Timestamp::from_millis(1_700_000_000_000))
}

pub(super) async fn fake(clock: &Clock) -> FakeGitHub {
    let fake = FakeGitHub::start(clock.clone()).await;
    fake.add_repository(SHOP);
    fake.add_commit(SHOP, sha().as_str());
    fake
}

pub(super) fn github(url: &str, token: &str, clock: &Clock) -> GitHub {
    let mut options = GitHubOptions::new("github", url, SecretString::from(token));
    options.connect_timeout = Duration::from_secs(5);
    GitHub::new(options, clock.clone()).expect("set up")
}

/// A client that gives up soon.
pub(super) fn hasty(url: &str, clock: &Clock) -> GitHub {
    let mut options = GitHubOptions::new("github", url, SecretString::from(TOKEN));
    options.request_timeout = Duration::from_millis(200);
    GitHub::new(options, clock.clone()).expect("set up")
}

async fn post_to(fake: &FakeGitHub, clock: &Clock) -> Result<(), ForgeError> {
    github(&fake.url(), TOKEN, clock).post_status(SHOP, &status(StatusState::Pending, "Queued"), None).await
}

#[tokio::test]
async fn a_status_is_posted_and_read_back() {
    let clock = clock();
    let fake = fake(&clock).await;
    for url in [fake.url(), fake.enterprise_url(), format!("{}/", fake.enterprise_url())] {
        let github = github(&url, TOKEN, &clock);
        let queued = status(StatusState::Pending, "Queued");
        let done = status(StatusState::Success, "Succeeded in 2m 10s ✓");
        github.post_status(SHOP, &queued, Some("https://cd.example/executions/1")).await.expect("taken");
        github.post_status(SHOP, &done, None).await.expect("taken");

        let found = github.statuses(SHOP, &sha()).await.expect("read");
        assert!(found[0].says(&done, None), "newest first: {found:?}");
        assert!(found[1].says(&queued, Some("https://cd.example/executions/1")), "{found:?}");
        assert!(!found[1].says(&queued, None));
    }
    assert_eq!(fake.posted().len(), 6);
}

#[tokio::test]
async fn the_newest_status_of_a_context_is_found_behind_those_of_others() {
    let clock = clock();
    let fake = fake(&clock).await;
    let github = github(&fake.url(), TOKEN, &clock);
    let mine = status(StatusState::Failure, "Failed: bake, exit code 1");
    github.post_status(SHOP, &mine, None).await.expect("taken");
    let mut other = status(StatusState::Pending, "Queued");
    other.target.context = "ci".to_owned();
    for _ in 0..230 {
        github.post_status(SHOP, &other, None).await.expect("taken");
    }
    let found = github.newest_status(SHOP, &sha(), CONTEXT).await.expect("read");
    assert_eq!(
        found,
        Some(PostedStatus {
            context: CONTEXT.to_owned(),
            state: StatusState::Failure,
            description: "Failed: bake, exit code 1".to_owned(),
            target_url: None,
        })
    );
    let reads = fake.seen().iter().filter(|seen| seen.method == "GET").count();
    assert_eq!(reads, 3, "three pages");
    assert_eq!(github.newest_status(SHOP, &sha(), "none").await.expect("read"), None);
    assert_eq!(github.statuses(SHOP, &sha()).await.expect("read").len(), 231);
}

#[tokio::test]
async fn what_github_refuses_is_told_apart() {
    let clock = clock();
    let fake = fake(&clock).await;
    let good = github(&fake.url(), TOKEN, &clock);

    let mut long = status(StatusState::Pending, "");
    long.description = "ä".repeat(141);
    let error = good.post_status(SHOP, &long, None).await.expect_err("too long");
    assert_eq!(error.kind, ForgeErrorKind::Refused);
    assert_eq!(
        error.message,
        format!(
            "POST /repos/acme/shop/statuses/{}: 422 Validation Failed: description is too long (maximum is 140 characters)",
            sha()
        )
    );

    fake.pretend_statuses(sha().as_str(), CONTEXT, 1000);
    let error = post_to(&fake, &clock).await.expect_err("too many");
    assert_eq!(error.kind, ForgeErrorKind::Refused);
    assert!(error.message.ends_with("This SHA and context has reached the maximum number of statuses."), "{error}");

    let mut unknown = status(StatusState::Pending, "Queued");
    unknown.target.commit = CommitSha::parse(&"e".repeat(40)).expect("a commit id");
    let error = good.post_status(SHOP, &unknown, None).await.expect_err("no such commit");
    assert_eq!(error.kind, ForgeErrorKind::NotFound);
    assert!(error.message.contains("422 No commit found for SHA: eee"), "{error}");

    let error = good.post_status("acme/other", &unknown, None).await.expect_err("no such repository");
    assert_eq!(error.kind, ForgeErrorKind::NotFound);

    let bad = github(&fake.url(), "ghp_wrong", &clock);
    let error = bad.post_status(SHOP, &status(StatusState::Pending, "Queued"), None).await.expect_err("bad token");
    assert_eq!(error.kind, ForgeErrorKind::Auth);
    assert!(error.message.ends_with("401 Bad credentials; check the forge's `token`"), "{error}");
    assert!(!format!("{error:?} {bad:?}").contains("ghp_wrong"));

    assert!(fake.posted().is_empty());
}

#[tokio::test]
async fn limits_say_when_to_go_on() {
    let clock = clock();
    for limit in [Limit::RetryAfter, Limit::Reset, Limit::TooMany] {
        let fake = fake(&clock).await;
        fake.limit(limit, Duration::from_secs(90));
        let error = post_to(&fake, &clock).await.expect_err("limited");
        let until = clock.now().plus(Duration::from_secs(90));
        assert_eq!(error.kind, ForgeErrorKind::RateLimited { until }, "{limit:?}");
        clock.advance(Duration::from_secs(90));
        post_to(&fake, &clock).await.expect("taken");
    }
}

#[tokio::test]
async fn a_request_is_sent_once_whatever_happens() {
    let clock = clock();
    for (fault, kind, arrived) in [
        (Fault::Answer(500), ForgeErrorKind::Server, 0),
        (Fault::Answer(503), ForgeErrorKind::Server, 0),
        (Fault::FailAfter, ForgeErrorKind::Server, 1),
        (Fault::BreakBefore, ForgeErrorKind::Unreachable, 0),
        (Fault::BreakAfter, ForgeErrorKind::Unreachable, 1),
    ] {
        let fake = fake(&clock).await;
        fake.fail_next(fault.clone());
        let error = post_to(&fake, &clock).await.expect_err("it fails");
        assert_eq!(error.kind, kind, "{fault:?}: {error}");
        assert!(error.may_have_arrived, "{fault:?}: nobody can know");
        assert_eq!(fake.seen().len(), 1, "{fault:?}: no second try");
        assert_eq!(fake.posted().len(), arrived, "{fault:?}");
    }
}

#[tokio::test]
async fn a_forge_that_hangs_is_left() {
    let clock = clock();
    let fake = fake(&clock).await;
    for (fault, arrived) in [(Fault::HangBefore, 0), (Fault::HangAfter, 1)] {
        fake.fail_next(fault);
        let github = hasty(&fake.url(), &clock);
        let error = github.post_status(SHOP, &status(StatusState::Pending, "Queued"), None).await.expect_err("late");
        assert_eq!(error.kind, ForgeErrorKind::Unreachable);
        assert!(error.may_have_arrived && error.message.ends_with("no answer within 0.2 s"), "{error}");
        assert_eq!(fake.posted().len(), arrived);
    }
}

#[tokio::test]
async fn a_forge_that_is_not_there_has_received_nothing() {
    let clock = clock();
    let fake = fake(&clock).await;
    let url = fake.url();
    fake.stop().await;
    let error = github(&url, TOKEN, &clock)
        .post_status(SHOP, &status(StatusState::Pending, "Queued"), None)
        .await
        .expect_err("nobody there");
    assert_eq!(error.kind, ForgeErrorKind::Unreachable);
    assert!(!error.may_have_arrived);
    assert!(error.message.contains("Connection refused"), "{error}");
}

#[tokio::test]
async fn a_renamed_repository_is_found_but_another_host_is_never_asked() {
    let clock = clock();
    let fake = fake(&clock).await;
    let github = github(&fake.url(), TOKEN, &clock);
    fake.rename(SHOP, "acme/store");
    github.post_status(SHOP, &status(StatusState::Pending, "Queued"), None).await.expect("taken");
    assert_eq!(fake.posted()[0].repository, "acme/store");
    assert_eq!(github.statuses(SHOP, &sha()).await.expect("read").len(), 1);

    let other = self::fake(&clock).await;
    fake.redirect(SHOP, &other.url());
    let error = github.post_status(SHOP, &status(StatusState::Pending, "Queued"), None).await.expect_err("not there");
    assert!(error.message.contains("away from the configured address"), "{error}");
    assert!(other.seen().is_empty());

    fake.redirect(SHOP, &fake.url());
    let error = github.statuses(SHOP, &sha()).await.expect_err("round and round");
    assert!(error.message.contains("redirects in a circle"), "{error}");
}

/// A server of raw bytes: takes one request of each connection and answers always the same.
async fn raw_server(answer: Vec<u8>) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("its address"));
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut stream = BufReader::new(stream);
            let mut length = 0;
            let mut line = String::new();
            while stream.read_line(&mut line).is_ok_and(|read| read > 2) {
                if let Some(number) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = number.trim().parse().expect("a number");
                }
                line.clear();
            }
            stream.read_exact(&mut vec![0; length]).expect("the body");
            // A client that hangs up is the point.
            let _ = stream.get_mut().write_all(&answer).is_ok();
        }
    });
    url
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_its_end() {
    let clock = clock();
    let mut answer = b"HTTP/1.1 200 OK\r\ncontent-length: 900000000\r\n\r\n[".to_vec();
    answer.extend(std::iter::repeat_n(b' ', 20 << 20));
    let github = github(&raw_server(answer).await, TOKEN, &clock);
    let error = github.statuses(SHOP, &sha()).await.expect_err("too long");
    assert!(error.message.contains("length limit exceeded"), "{error}");
}

#[tokio::test]
async fn a_server_that_does_not_speak_tls_learns_nothing() {
    let clock = clock();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("https://{}", listener.local_addr().expect("its address"));
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut heard = vec![0; 16 * 1024];
        let length = stream.read(&mut heard).expect("a greeting");
        heard.truncate(length);
        stream.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}").expect("written");
        heard
    });
    let github = github(&url, TOKEN, &clock);
    let error = github.post_status(SHOP, &status(StatusState::Pending, "x"), None).await.expect_err("no TLS");
    assert_eq!(error.kind, ForgeErrorKind::Unreachable);
    assert!(!error.may_have_arrived, "{error}");
    let heard = String::from_utf8_lossy(&server.join().expect("the server ends")).into_owned();
    assert!(!heard.contains(TOKEN) && !heard.contains("POST"), "{heard}");
}

#[tokio::test]
async fn an_answer_that_is_no_answer_is_the_forges_failure() {
    let clock = clock();
    for (body, text) in
        [("<html>Hotel login</html>", "is not a list of statuses"), ("[{\"state\":\"new\"}]", "unknown variant")]
    {
        let answer = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let github = github(&raw_server(answer.into_bytes()).await, TOKEN, &clock);
        let error = github.statuses(SHOP, &sha()).await.expect_err("no list");
        assert_eq!(error.kind, ForgeErrorKind::Server);
        assert!(error.message.contains(text), "{error}");
        let error = github.post_status(SHOP, &status(StatusState::Pending, "x"), None).await.expect_err("not 201");
        assert_eq!(error.kind, ForgeErrorKind::Server);
        assert!(error.may_have_arrived, "{error}");
    }
    let garbage = github(&raw_server(b"\0\x01\x02 not HTTP\r\n\r\n".to_vec()).await, TOKEN, &clock);
    let error = garbage.statuses(SHOP, &sha()).await.expect_err("no HTTP");
    assert_eq!(error.kind, ForgeErrorKind::Unreachable);
}

/// A receiver of webhooks that does what the API will: it verifies, and answers with the error's status.
pub async fn receiver(secret: &'static str) -> (String, mpsc::UnboundedReceiver<(String, ForgeEvent)>) {
    let (sender, events) = mpsc::unbounded_channel();
    let mut options = GitHubOptions::new("github", "https://api.github.com", None);
    options.webhook_secret = Some(SecretString::from(secret));
    let github = Arc::new(GitHub::new(options, clock()).expect("set up"));
    let router = Router::new()
        .route(
            "/webhooks/github",
            post(async move |State(sender): State<mpsc::UnboundedSender<_>>, headers: HeaderMap, body: Bytes| {
                let covers = [RepositoryName::parse(SHOP).expect("a name")];
                match github.receive(&covers, &headers, &body) {
                    Ok(delivery) => {
                        let id = delivery.id.expect("GitHub numbers its deliveries");
                        for event in delivery.events {
                            sender.send((id.clone(), event)).expect("the test listens");
                        }
                        (StatusCode::ACCEPTED, String::new())
                    }
                    Err(error) => (error.status(), error.to_string()),
                }
            }),
        )
        .with_state(sender);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/webhooks/github", listener.local_addr().expect("its address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, events)
}

#[tokio::test]
async fn webhooks_arrive_as_github_sends_them() {
    let (url, mut events) = receiver("hook secret").await;
    assert_eq!(Delivery::ping(SHOP).send(&url, "hook secret").await.status, 202);
    assert_eq!(events.recv().await.expect("an event").1, ForgeEvent::Ping { complaints: Vec::new() });

    let after = "b".repeat(40);
    let delivery = Delivery::push(&PushOf {
        repository: "Acme/Shop",
        git_ref: "refs/heads/main",
        before: None,
        after: Some(&after),
        actor: "ann",
        forced: false,
    });
    // A redelivery is the same to the eye, id included: it's the inbox that knows it.
    for _ in 0..2 {
        assert_eq!(delivery.send(&url, "hook secret").await.status, 202);
        let (id, event) = events.recv().await.expect("an event");
        assert_eq!(id, delivery.id);
        let ForgeEvent::Push(push) = event else { panic!("{event:?}") };
        assert_eq!((push.repository_full_name.as_str(), push.actor.as_deref()), (SHOP, Some("ann")));
        assert!(push.created && push.before.is_none() && push.after.is_some_and(|sha| sha.as_str() == after));
    }

    let wrong = delivery.send(&url, "another secret").await;
    assert_eq!(wrong.status, 401);
    assert!(wrong.body.contains("the signature does not match"), "{}", wrong.body);
    let other = Delivery::ping("acme/bank").send(&url, "hook secret").await;
    assert_eq!(other.status, 403);
    let ignored = Delivery::of("star", &serde_json::json!({})).send(&url, "hook secret").await;
    assert_eq!(ignored.status, 202);
    assert_eq!(events.recv().await.expect("an event").1, ForgeEvent::Ignored { event: "star".to_owned() });
}
