//! Against real sockets of loopback, which say what they heard.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures::FutureExt as _;
use http::StatusCode;
use secrecy::SecretString;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// A server that answers each request with the same bytes and remembers what it was asked.
struct Raw {
    port: u16,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Raw {
    async fn start(answer: impl Into<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let answer = answer.into();
        tokio::spawn({
            let heard = Arc::clone(&heard);
            async move {
                loop {
                    let (mut stream, _) = listener.accept().await.expect("a connection");
                    let (heard, answer) = (Arc::clone(&heard), answer.clone());
                    tokio::spawn(async move {
                        let mut bytes = vec![0; 64 * 1024];
                        let length = stream.read(&mut bytes).await.unwrap_or(0);
                        let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
                        heard.lock().expect("unharmed").push(text);
                        let _ = stream.write_all(&answer).await.is_ok();
                        if answer.is_empty() {
                            std::future::pending::<()>().await;
                        }
                    });
                }
            }
        });
        Self { port, heard }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().expect("unharmed").clone()
    }
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

fn client(policy: AddressPolicy) -> Client {
    Client::new(ClientOptions { policy, ..ClientOptions::default() }).expect("set up")
}

fn public(except: &[&str]) -> AddressPolicy {
    AddressPolicy::Public { except: except.iter().map(|text| text.parse().expect("legal")).collect() }
}

#[tokio::test]
async fn a_request_goes_out_as_it_is_and_its_answer_comes_back() {
    let server = Raw::start(ok("{}")).await;
    let secret = SecretString::from("hunter2");
    let request = Request::new(Method::POST, server.url("/a?b=c"))
        .json(&serde_json::json!({"text": "done"}))
        .secret_header("X-Token", &secret)
        .and_then(|request| request.header("Authorization", "Basic aHVudGVyMg=="))
        .expect("legal headers");
    assert!(!format!("{request:?}").contains("hunter2"));
    let answer = client(AddressPolicy::Any).send(request).await.expect("an answer");
    assert_eq!((answer.status, answer.body.as_slice()), (StatusCode::OK, b"{}".as_slice()));
    assert_eq!(answer.header("content-length"), Some("2"));
    let heard = server.heard().remove(0).to_ascii_lowercase();
    for line in [
        "post /a?b=c http/1.1\r\n",
        "content-type: application/json\r\n",
        "content-length: 15\r\n",
        "x-token: hunter2\r\n",
        "authorization: basic",
        concat!("user-agent: longboat/", env!("CARGO_PKG_VERSION"), "\r\n"),
        "{\"text\":\"done\"}",
    ] {
        assert!(heard.contains(line), "{line} in {heard}");
    }
}

#[tokio::test]
async fn this_machine_is_not_public_however_it_is_spelled() {
    let server = Raw::start(ok("secret")).await;
    for host in ["127.0.0.1", "localhost", "LOCALHOST.", "[::ffff:127.0.0.1]", "0x7f.1", "2130706433", "127.1", "0"] {
        let url = format!("http://{host}:{}/?token=hunter2", server.port);
        let error = client(public(&[])).send(Request::get(url)).await.expect_err(host);
        // The odd spellings are addresses to some systems and names to others; nowhere do they lead in.
        assert!(matches!(error.kind, OutboundErrorKind::Refused | OutboundErrorKind::Unreachable), "{host}: {error:?}");
        assert!(!error.may_have_arrived && !error.message.contains("hunter2"), "{host}: {error}");
    }
    let error = client(public(&[])).send(Request::get("http://169.254.169.254/latest")).await.expect_err("refused");
    assert_eq!(error.kind, OutboundErrorKind::Refused);
    assert_eq!(
        error.message,
        "`169.254.169.254` leads to 169.254.169.254, which is not an address of the public internet"
    );
    assert!(server.heard().is_empty());
    client(public(&["127.0.0.1"])).send(Request::get(server.url("/"))).await.expect("let through");
    let by_name = Request::get(format!("http://localhost:{}/", server.port));
    client(public(&["localhost"])).send(by_name).await.expect("let through");
}

#[tokio::test]
async fn a_name_that_resolves_anew_is_checked_anew() {
    let server = Raw::start(ok("in")).await;
    let times = Arc::new(AtomicUsize::new(0));
    let lookup: Lookup = {
        let (times, port) = (Arc::clone(&times), server.port);
        Arc::new(move |_, _| {
            let first = times.fetch_add(1, Ordering::SeqCst) == 0;
            // The first time the address that is permitted among others, then one that is not.
            let found: Vec<[u8; 4]> =
                if first { vec![[10, 0, 0, 1], [127, 0, 0, 1]] } else { vec![[127, 0, 0, 2], [10, 0, 0, 1]] };
            async move { Ok(found.into_iter().map(|ip| (ip, port).into()).collect()) }.boxed()
        })
    };
    let options = ClientOptions { policy: public(&["127.0.0.1/32"]), ..ClientOptions::default() };
    let client = Client::with_lookup(options, lookup).expect("set up");
    client.send(Request::get("http://rebind.example/")).await.expect("the permitted one");
    let error = client.send(Request::get("http://rebind.example/")).await.expect_err("refused");
    assert_eq!(error.kind, OutboundErrorKind::Refused);
    assert_eq!(
        error.message,
        "`rebind.example` leads to 127.0.0.2, 10.0.0.1, which is not an address of the public internet"
    );
    assert_eq!((server.heard().len(), times.load(Ordering::SeqCst)), (1, 2));
}

#[tokio::test]
async fn redirects_are_followed_only_if_asked_for_and_never_to_another_host() {
    let redirect = |to: &str| {
        format!("HTTP/1.1 307 Temporary Redirect\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    };
    let target = Raw::start(ok("there")).await;
    let away = Raw::start(redirect(&target.url("/"))).await;
    let any = client(AddressPolicy::Any);
    let answer = any.send(Request::get(away.url("/"))).await.expect("an answer");
    assert_eq!(answer.status, 307, "unless asked for, a redirect is an answer");

    let mut asked = Request::get(away.url("/"));
    asked.redirects = 3;
    let error = any.send(asked).await.expect_err("another port is another server");
    assert_eq!(error.kind, OutboundErrorKind::Redirected);
    assert!(target.heard().is_empty());

    let circle = Raw::start(redirect("/again")).await;
    let mut asked = Request::get(circle.url("/"));
    asked.redirects = 3;
    let error = any.send(asked).await.expect_err("a circle");
    assert_eq!((error.kind, error.may_have_arrived), (OutboundErrorKind::Redirected, false));
    assert_eq!(circle.heard().len(), 4);
    assert!(circle.heard()[3].starts_with("GET /again "));
}

#[test]
fn a_redirect_stays_on_its_origin() {
    let base: Uri = "http://ci.example:8080/a/b".parse().expect("legal");
    for (location, expected) in [
        ("/x?y", Some("http://ci.example:8080/x?y")),
        ("http://ci.example:8080/y", Some("http://ci.example:8080/y")),
        ("https://ci.example:8080/y", None),
        ("http://ci.example/y", None),
        ("http://ci.example:8080@evil.example/y", None),
        ("//evil.example/y", None),
        ("x", None),
        ("", None),
    ] {
        assert_eq!(same_origin(&base, location).map(|uri| uri.to_string()).as_deref(), expected, "{location}");
    }
}

#[tokio::test]
async fn an_answer_has_a_size_and_an_end() {
    let mut declared = b"HTTP/1.1 200 OK\r\ncontent-length: 900000000\r\n\r\n".to_vec();
    declared.extend(std::iter::repeat_n(b' ', 1 << 20));
    let mut chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..100 {
        chunked.extend(format!("{:x}\r\n{}\r\n", 1024, " ".repeat(1024)).bytes());
    }
    for answer in [declared, chunked] {
        let server = Raw::start(answer).await;
        let options = ClientOptions { policy: AddressPolicy::Any, body_limit: 64 * 1024, ..ClientOptions::default() };
        let error = Client::new(options).expect("set up").send(Request::get(server.url("/"))).await.expect_err("long");
        assert_eq!((error.kind, error.may_have_arrived), (OutboundErrorKind::TooLarge, true));
        assert_eq!(error.message, "127.0.0.1: the answer is longer than 65536 bytes");
    }
    let silent = Raw::start("").await;
    let options =
        ClientOptions { policy: AddressPolicy::Any, deadline: Duration::from_millis(200), ..ClientOptions::default() };
    let error = Client::new(options).expect("set up").send(Request::get(silent.url("/"))).await.expect_err("late");
    assert_eq!((error.kind, error.may_have_arrived), (OutboundErrorKind::TimedOut, true));
    assert_eq!(error.message, "127.0.0.1: no answer within 0.2 s");
}

#[tokio::test]
async fn whether_a_request_may_have_arrived_is_known() {
    let gone = TcpListener::bind("127.0.0.1:0").await.expect("a free port").local_addr().expect("an address");
    let error = client(AddressPolicy::Any).send(Request::get(format!("http://{gone}/"))).await.expect_err("nobody");
    assert_eq!((error.kind, error.may_have_arrived), (OutboundErrorKind::Unreachable, false));
    assert!(error.message.contains("127.0.0.1: ") && error.message.contains("refused"), "{error}");

    let broken = Raw::start("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
    let error = client(AddressPolicy::Any).send(Request::get(broken.url("/"))).await.expect_err("half an answer");
    assert_eq!((error.kind, error.may_have_arrived), (OutboundErrorKind::Unreachable, true));

    // A server without TLS hears the greeting and nothing of the request.
    let plain = Raw::start(ok("{}")).await;
    let request = Request::get(format!("https://127.0.0.1:{}/hunter2", plain.port));
    let error = client(AddressPolicy::Any).send(request).await.expect_err("no TLS");
    assert!(!error.may_have_arrived, "{error}");
    assert!(plain.heard().iter().all(|heard| !heard.contains("hunter2")));
}

#[tokio::test]
async fn what_is_no_address_is_said_without_what_may_be_secret() {
    for url in [
        "hunter2",
        "ftp://host/hunter2",
        "file:///hunter2",
        "http://",
        "http://user:hunter2@host/",
        "http://a b/hunter2",
        "http:///hunter2",
        "https://host\n/hunter2",
    ] {
        let error = client(AddressPolicy::Any).send(Request::get(url)).await.expect_err(url);
        assert_eq!((error.kind, error.may_have_arrived), (OutboundErrorKind::Invalid, false), "{url}");
        assert!(!error.message.contains("hunter2"), "{url}: {error}");
    }
    let refused = Request::get("http://host").secret_header("x-token", &SecretString::from("hunter2\r\nx: y"));
    assert_eq!(
        refused.expect_err("refused").to_string(),
        "the header `x-token` can't be sent: its name or value holds characters that are not allowed there"
    );
}
