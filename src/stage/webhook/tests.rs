//! Against a real server of loopback, which answers as a test tells it and remembers what it was asked.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::clock::Clock;
use crate::model::Span;
use crate::outbound::AddressPolicy;
use crate::stage::tests::{Stage, clock};

/// What the server was asked: method and path, headers in lower case, body.
#[derive(Debug, Clone)]
struct Heard {
    line: String,
    head: String,
    body: String,
}

impl Heard {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// Answers the n-th request of each line (`POST /jobs`) with the n-th of its answers, then with the last one.
struct Server {
    port: u16,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Server {
    async fn start(answers: &[(&str, &[String])]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let heard = Arc::new(Mutex::new(Vec::<Heard>::new()));
        let answers: Vec<(String, Vec<String>)> =
            answers.iter().map(|(line, answers)| ((*line).to_owned(), answers.to_vec())).collect();
        let answers = Arc::new(answers);
        tokio::spawn({
            let heard = Arc::clone(&heard);
            async move {
                while let Ok((mut stream, _)) = listener.accept().await {
                    let (heard, answers) = (Arc::clone(&heard), Arc::clone(&answers));
                    tokio::spawn(async move {
                        let Some(request) = read(&mut stream).await else { return };
                        let line = request.line.clone();
                        let before = {
                            let mut heard = heard.lock().expect("unharmed");
                            heard.push(request);
                            heard.iter().filter(|other| other.line == line).count() - 1
                        };
                        let of_line = answers.iter().find(|(known, _)| *known == line).map(|(_, answers)| answers);
                        let answer = match of_line {
                            Some(answers) => {
                                answers.get(before).or_else(|| answers.last()).cloned().unwrap_or_default()
                            }
                            None => http(404, "", "no such address"),
                        };
                        if answer.is_empty() {
                            std::future::pending::<()>().await;
                        }
                        let _ = stream.write_all(answer.as_bytes()).await.is_ok();
                    });
                }
            }
        });
        Self { port, heard }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn heard(&self) -> Vec<Heard> {
        self.heard.lock().expect("unharmed").clone()
    }

    fn lines(&self) -> Vec<String> {
        self.heard().into_iter().map(|heard| heard.line).collect()
    }
}

async fn read(stream: &mut tokio::net::TcpStream) -> Option<Heard> {
    let mut bytes = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece).await.ok()?;
        bytes.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            if count == 0 {
                return None;
            }
            continue;
        };
        let head = head.to_owned();
        let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) || count == 0 {
            let mut words = head.split_whitespace();
            let line = format!("{} {}", words.next()?, words.next()?);
            let headers = head.lines().skip(1).map(|line| match line.split_once(':') {
                Some((name, value)) => format!("{}:{value}", name.to_lowercase()),
                None => line.to_owned(),
            });
            return Some(Heard { line, head: headers.collect::<Vec<_>>().join("\n"), body: body.to_owned() });
        }
    }
}

fn http(status: u16, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}", body.len())
}

fn json(body: &Value) -> String {
    http(200, "content-type: application/json\r\n", &body.to_string())
}

/// A handler that may call loopback.
fn handler() -> Webhook {
    let except = vec!["127.0.0.0/8".parse().expect("a network")];
    Webhook::new(ClientOptions { policy: AddressPolicy::Public { except }, ..quick() }, Secrets::none())
}

/// Short deadlines: nothing here takes longer, but what hangs.
fn quick() -> ClientOptions {
    ClientOptions { deadline: Duration::from_millis(700), connect: Duration::from_millis(500), ..usual_calls() }
}

struct Run {
    ctx: StageContext,
    clock: Clock,
    _signals: tokio::sync::mpsc::Receiver<crate::engine::SentSignal>,
}

impl Run {
    fn of(fields: Value) -> Self {
        Self::with(fields, |stage| stage)
    }

    fn with(fields: Value, change: impl FnOnce(Stage) -> Stage) -> Self {
        let clock = clock();
        let (ctx, signals) = change(Stage::of("webhook", fields).clock(clock.clone())).context();
        Self { ctx, clock, _signals: signals }
    }

    /// Does what the engine does: resumes when the time has come. Each time, as after a restart of Longboat.
    async fn finish(&self, handler: &Webhook) -> Outcome {
        let mut outcome = handler.start(&self.ctx).await;
        while let Outcome::Poll { after, checkpoint } = outcome {
            self.clock.advance(after);
            let kept: Value = serde_json::from_str(&checkpoint.to_string()).expect("JSON");
            outcome = handler.resume(&self.ctx, Some(kept), Wake::Recovered).await;
        }
        outcome
    }
}

fn done(outcome: Outcome) -> Value {
    match outcome {
        Outcome::Done { outputs } => outputs["webhook"].clone(),
        other => panic!("should be done, not {other:?}"),
    }
}

fn failure(outcome: Outcome) -> Failure {
    match outcome {
        Outcome::Fail(failure) => failure,
        other => panic!("should fail, not {other:?}"),
    }
}

#[tokio::test]
async fn a_call_carries_what_its_author_wrote_and_yields_the_answer() {
    let answer = http(201, "content-type: application/json\r\nx-id: 7\r\nset-cookie: a=b\r\n", r#"{"id": 7}"#);
    let server = Server::start(&[("POST /jobs?x=1", &[answer])]).await;
    let run = Run::of(json!({
        "url": server.url("/jobs?x=1"),
        "payload": {"version": "1.2"},
        "customHeaders": {"X-Token": "t", "X-Number": 5, "X-Many": ["a", "b"]},
    }));
    let webhook = done(run.finish(&handler()).await);
    assert_eq!(
        (&webhook["statusCode"], &webhook["statusCodeValue"], &webhook["body"]),
        (&json!(201), &json!(201), &json!({"id": 7}))
    );
    assert_eq!((webhook["headers"]["x-id"].as_str(), webhook["headers"].get("set-cookie")), (Some("7"), None));
    let heard = server.heard().remove(0);
    assert_eq!(heard.body, r#"{"version":"1.2"}"#);
    assert_eq!(
        (heard.header("content-type"), heard.header("x-token"), heard.header("x-number")),
        (Some("application/json"), Some("t"), Some("5"))
    );
    assert!(heard.head.contains("x-many: a\nx-many: b"), "{}", heard.head);
    assert_eq!(heard.header("idempotency-key").map(str::len), Some(36));
}

#[tokio::test]
async fn every_sending_of_an_attempt_has_the_same_key_and_another_attempt_another() {
    let server = Server::start(&[("POST /", &[http(500, "", ""), http(200, "", "")])]).await;
    let mut run = Run::of(json!({"url": server.url("/")}));
    let handler = handler();
    run.finish(&handler).await;
    // The answer was lost, and nothing says how far it came.
    handler.resume(&run.ctx, None, Wake::Recovered).await;
    run.ctx.attempt = 2;
    run.finish(&handler).await;
    let keys: Vec<_> = server.heard().iter().map(|heard| heard.header("idempotency-key").map(str::to_owned)).collect();
    assert_eq!(keys.len(), 4);
    assert!(keys[0].is_some() && keys[0] == keys[1] && keys[1] == keys[2] && keys[2] != keys[3], "{keys:?}");
}

#[tokio::test]
async fn other_bodies_and_methods_are_sent_as_they_are_written() {
    let server = Server::start(&[("PUT /", &[http(204, "", "")]), ("GET /", &[http(200, "", "fine")])]).await;
    let fields = json!({"url": server.url("/"), "method": "PUT", "payload": "a=1&b=2", "customHeaders": {"content-type": "application/x-www-form-urlencoded", "Idempotency-Key": "mine"}});
    done(Run::of(fields).finish(&handler()).await);
    let webhook = done(Run::of(json!({"url": server.url("/"), "method": "GET"})).finish(&handler()).await);
    assert_eq!(webhook["body"], "fine");
    let heard = server.heard();
    assert_eq!((heard[0].body.as_str(), heard[0].header("idempotency-key")), ("a=1&b=2", Some("mine")));
    assert_eq!(heard[1].body, "");
}

#[tokio::test]
async fn a_server_in_trouble_is_tried_again_with_growing_pauses() {
    let answers = [http(500, "", "down"), http(429, "retry-after: 20\r\n", ""), http(418, "", ""), http(200, "", "up")];
    let server = Server::start(&[("POST /", &answers)]).await;
    let run = Run::of(json!({"url": server.url("/"), "webhookRetryStatusCodes": [418]}));
    let started = run.clock.now();
    assert_eq!(done(run.finish(&handler()).await)["body"], "up");
    assert_eq!(run.clock.now().since(started), Duration::from_secs(2 + 20 + 8));

    let down = Server::start(&[("POST /", &[http(503, "", "<b>down for\n now</b>")])]).await;
    let run = Run::of(json!({"url": down.url("/")}));
    let failed = failure(run.finish(&handler()).await);
    assert!(failed.message.starts_with("127.0.0.1 answered 503"), "{}", failed.message);
    assert!(failed.message.contains("times in 5 minutes") && failed.retryable, "{}", failed.message);
    assert!((10..20).contains(&down.lines().len()), "{}", down.lines().len());
}

#[tokio::test]
async fn other_answers_fail_at_once_with_what_the_server_said() {
    for (answer, fields, expected) in [
        (http(404, "", "no such job"), json!({}), "127.0.0.1 answered 404 Not Found: no such job"),
        (http(504, "", ""), json!({}), "answered 504"),
        (http(500, "", ""), json!({"failFastStatusCodes": [500]}), "answered 500"),
        (
            http(302, "location: http://169.254.169.254/x\r\n", ""),
            json!({}),
            "redirects to 169.254.169.254, and redirects are not followed",
        ),
    ] {
        let server = Server::start(&[("POST /", &[answer])]).await;
        let mut all = fields;
        all["url"] = json!(server.url("/"));
        let failed = failure(Run::of(all).finish(&handler()).await);
        assert!(failed.message.contains(expected), "{}", failed.message);
        assert!(failed.outputs["webhook"]["statusCode"].is_u64());
        assert_eq!(server.lines().len(), 1);
    }
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_only_if_the_method_allows_it() {
    let server = Server::start(&[("POST /", &[String::new()]), ("PUT /", &[String::new(), http(200, "", "ok")])]).await;
    let failed = failure(Run::of(json!({"url": server.url("/")})).finish(&handler()).await);
    assert!(
        failed.message.contains("no answer within") && failed.message.contains("may have been taken"),
        "{}",
        failed.message
    );
    assert_eq!(done(Run::of(json!({"url": server.url("/"), "method": "PUT"})).finish(&handler()).await)["body"], "ok");
    assert_eq!(server.lines(), ["POST /", "PUT /", "PUT /"]);

    // Nobody listens: then nothing can have been taken.
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address").port();
    let run = Run::of(json!({"url": format!("http://127.0.0.1:{free}/")}));
    let failed = failure(run.finish(&handler()).await);
    assert!(failed.message.contains("times in 5 minutes"), "{}", failed.message);
}

#[tokio::test]
async fn what_is_not_public_is_refused_unless_the_configuration_allows_it() {
    let server = Server::start(&[("POST /", &[http(200, "", "")])]).await;
    let strict = Webhook::new(quick(), Secrets::none());
    for url in [
        server.url("/"),
        format!("http://localhost:{}/", server.port),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "http://[::1]/".to_owned(),
        "http://10.0.0.1/".to_owned(),
    ] {
        let failed = failure(Run::of(json!({"url": url})).finish(&strict).await);
        assert!(failed.message.contains("not an address of the public internet"), "{url}: {}", failed.message);
        assert!(failed.message.contains("network: {allow:") && !failed.retryable, "{}", failed.message);
    }
    assert_eq!(server.lines(), [""; 0]);
    // An address that an answer names is no way around.
    let away = json(&json!({"url": "http://169.254.169.254/"}));
    let server = Server::start(&[("POST /", &[away])]).await;
    let fields = json!({"url": server.url("/"), "waitForCompletion": true, "statusUrlResolution": "webhookResponse", "statusUrlJsonPath": "$.url"});
    let failed = failure(Run::of(fields).finish(&handler()).await);
    assert!(
        failed.message.contains("169.254.169.254") && failed.message.contains("not an address"),
        "{}",
        failed.message
    );
    let user = failure(Run::of(json!({"url": "http://ann:secret@example.com/"})).finish(&strict).await);
    assert!(!user.message.contains("secret"), "{}", user.message);
}

fn waits(server: &Server, more: Value) -> Value {
    let mut fields = json!({
        "url": server.url("/jobs"), "waitForCompletion": true, "statusUrlResolution": "locationHeader",
        "statusJsonPath": "$.state", "progressJsonPath": "$.step", "customHeaders": {"X-Token": "t"},
        "successStatuses": "Done, OK", "canceledStatuses": "aborted", "terminalStatuses": "FAILED,broken",
    });
    for (name, value) in more.as_object().expect("a map") {
        fields[name] = value.clone();
    }
    fields
}

#[tokio::test]
async fn the_end_is_waited_for_over_restarts_and_bad_moments() {
    let accepted = http(202, "location: /jobs/7\r\n", "");
    let states = [
        json(&json!({"state": "queued"})),
        http(500, "", ""),
        String::new(),
        json(&json!({"state": "running", "step": "baking"})),
        json(&json!({"state": "ok", "step": "baked", "image": "shop:1"})),
    ];
    let server = Server::start(&[("POST /jobs", &[accepted]), ("GET /jobs/7", &states)]).await;
    let run = Run::of(waits(&server, json!({"waitBeforeMonitor": "5s"})));
    let started = run.clock.now();
    let webhook = done(run.finish(&handler()).await);
    assert_eq!(webhook["monitor"]["body"]["image"], "shop:1");
    assert_eq!(
        (webhook["monitor"]["progressMessage"].as_str(), webhook["statusCode"].as_u64()),
        (Some("baked"), Some(202))
    );
    assert_eq!(webhook["statusEndpoint"], server.url("/jobs/7"));
    assert_eq!(run.clock.now().since(started), Duration::from_secs(5 + 4));
    assert_eq!(server.lines().iter().filter(|line| *line == "POST /jobs").count(), 1, "called once");
    assert_eq!(server.heard()[1].header("x-token"), Some("t"), "the same origin gets the headers");
}

#[tokio::test]
async fn the_answer_or_the_address_itself_can_be_asked_and_numbers_are_percent() {
    let other = Server::start(&[("GET /s", &[json(&json!({"p": 40})), json(&json!({"p": 100}))])]).await;
    let server = Server::start(&[("POST /jobs", &[json(&json!({"links": [{"href": other.url("/s")}]}))])]).await;
    let more =
        json!({"statusUrlResolution": "webhookResponse", "statusUrlJsonPath": "links[0].href", "statusJsonPath": "p"});
    let webhook = done(Run::of(waits(&server, more)).finish(&handler()).await);
    assert_eq!(webhook["monitor"]["percentComplete"], 100.0);
    assert_eq!(other.heard()[0].header("x-token"), None, "another origin gets no headers");

    let own =
        Server::start(&[("GET /jobs", &[json(&json!({"state": "done"}))]), ("POST /jobs", &[http(200, "", "")])]).await;
    done(Run::of(waits(&own, json!({"statusUrlResolution": "getMethod"}))).finish(&handler()).await);
    let any = Run::of(waits(&own, json!({"statusUrlResolution": "getMethod", "statusJsonPath": null})));
    done(any.finish(&handler()).await);
}

#[tokio::test]
async fn bad_ends_and_answers_that_say_nothing_fail_with_the_words_found() {
    for (status, expected) in [
        (json(&json!({"state": "broken", "step": "no disk"})), "says `broken`: no disk"),
        (json(&json!({"state": "Aborted"})), "it was cancelled there"),
        (json(&json!({"other": 1})), "`statusJsonPath`: the answer has nothing at `$.state`"),
        (json(&json!({"state": {"a": 1}})), "a list or mapping"),
        (http(200, "", "<html>"), "has nothing at"),
        (http(404, "", "gone"), "the status can't be asked for: 127.0.0.1 answered 404"),
    ] {
        let server = Server::start(&[("POST /jobs", &[http(202, "location: 7\r\n", "")]), ("GET /7", &[status])]).await;
        let failed = failure(Run::of(waits(&server, json!({}))).finish(&handler()).await);
        assert!(failed.message.contains(expected), "{expected}: {}", failed.message);
        assert_eq!(failed.outputs["webhook"]["statusCode"], 202);
    }
    let nowhere = Server::start(&[("POST /jobs", &[http(202, "", "")])]).await;
    let failed = failure(Run::of(waits(&nowhere, json!({}))).finish(&handler()).await);
    assert!(failed.message.contains("without a `Location`"), "{}", failed.message);
}

#[tokio::test]
async fn an_hour_is_enough_and_then_the_cancel_endpoint_is_called_once() {
    let answers: &[(&str, &[String])] = &[
        ("POST /jobs", &[http(202, "location: /jobs/7\r\n", "")]),
        ("GET /jobs/7", &[json(&json!({"state": "running"}))]),
        ("DELETE /jobs/7", &[http(200, "", "")]),
    ];
    let server = Server::start(answers).await;
    let more =
        json!({"cancelEndpoint": server.url("/jobs/7"), "cancelMethod": "DELETE", "cancelPayload": {"why": "late"}});
    let run = Run::of(waits(&server, more.clone()));
    let failed = failure(run.finish(&handler()).await);
    assert!(failed.message.contains("has not ended within an hour"), "{}", failed.message);
    let lines = server.lines();
    assert_eq!(lines.iter().filter(|line| *line == "DELETE /jobs/7").count(), 1);
    assert!((280..320).contains(&lines.len()), "every second, then every 15: {}", lines.len());
    assert_eq!(server.heard().last().map(|heard| heard.body.clone()).as_deref(), Some(r#"{"why":"late"}"#));

    // The stage's own timeout is the engine's to watch.
    let own = Run::with(waits(&server, more), |stage| stage.timeout(Span::parse("3h").expect("a span")));
    let mut outcome = handler().start(&own.ctx).await;
    own.clock.advance(Duration::from_secs(7200));
    for _ in 0..2 {
        let Outcome::Poll { checkpoint, .. } = outcome else { panic!("{outcome:?}") };
        outcome = handler().resume(&own.ctx, Some(checkpoint), Wake::Due).await;
    }
    assert!(matches!(outcome, Outcome::Poll { .. }), "{outcome:?}");
}

#[tokio::test]
async fn a_cancellation_calls_the_cancel_endpoint_once_if_there_is_something_to_cancel() {
    let answers: &[(&str, &[String])] =
        &[("POST /jobs", &[http(202, "location: /jobs/7\r\n", "")]), ("POST /cancel", &[http(200, "", "")])];
    let server = Server::start(answers).await;
    let fields = waits(&server, json!({"cancelEndpoint": server.url("/cancel")}));
    let run = Run::of(fields.clone());
    let handler = handler();
    let Outcome::Poll { checkpoint, .. } = handler.start(&run.ctx).await else { panic!("waits") };
    handler.cancel(&run.ctx, Some(checkpoint), CancelReason::Canceled).await;
    assert_eq!(server.lines(), ["POST /jobs", "POST /cancel"]);
    let keys: Vec<_> = server.heard().iter().map(|heard| heard.header("idempotency-key").map(str::to_owned)).collect();
    assert!(keys[1].is_some() && keys[0] != keys[1], "a call of its own: {keys:?}");

    // Nobody knows whether the call was made: better once too often.
    handler.cancel(&run.ctx, None, CancelReason::TimedOut).await;
    assert_eq!(server.lines().len(), 3);
    // It was refused, and is to be made again: nothing has begun.
    let waiting = json!({"step": "call", "tried": 1, "since": 0, "error": "x"});
    handler.cancel(&run.ctx, Some(waiting), CancelReason::Canceled).await;
    let mut quiet = fields;
    quiet["signalCancellation"] = json!(false);
    handler.cancel(&Run::of(quiet).ctx, None, CancelReason::Canceled).await;
    assert_eq!(server.lines().len(), 3);
}

#[tokio::test]
async fn mistakes_are_found_before_anything_is_called() {
    let server = Server::start(&[("POST /", &[http(200, "", "")])]).await;
    for (more, part) in [
        (json!({"waitForCompletion": true, "statusJsonPath": "$.["}), "`statusJsonPath`: `$.[` is no JSONPath"),
        (json!({"waitForCompletion": true, "statusUrlResolution": "webhookResponse"}), "needs `statusUrlJsonPath`"),
        (json!({"waitForCompletion": "${ x }"}), "write true or false"),
        (json!({"customHeaders": {"X-A": {"b": 1}}}), "the header `X-A` must be text"),
        (json!({"customHeaders": {"X-A": "a\nb"}}), "the header `X-A` can't be sent"),
        (json!({"url": "ftp://example.com"}), "must begin with http://"),
        (json!({"url": "not an address"}), "the address can't be read"),
    ] {
        let mut fields = json!({"url": server.url("/")});
        for (name, value) in more.as_object().expect("a map") {
            fields[name] = value.clone();
        }
        let failed = failure(Run::of(fields).finish(&handler()).await);
        assert!(failed.message.contains(part), "{part}: {}", failed.message);
    }
    assert_eq!(server.lines(), [""; 0]);
}

#[tokio::test]
async fn the_checkpoint_of_a_talkative_server_is_small() {
    let headers: String = (0..80).map(|number| format!("x-{number}: {}\r\n", "v".repeat(400))).collect();
    let answer = http(202, &format!("location: /s\r\n{headers}"), &"\"\\\u{1}".repeat(200_000));
    let server = Server::start(&[("POST /jobs", &[answer])]).await;
    let run = Run::of(waits(&server, json!({})));
    let Outcome::Poll { checkpoint, .. } = handler().start(&run.ctx).await else { panic!("waits") };
    assert!(checkpoint.to_string().len() < 64 * 1024, "{}", checkpoint.to_string().len());
}
