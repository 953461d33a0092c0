//! A store of one's own that answers as told. What a real one does is in `tests/it/logs`.

use std::sync::{Arc, Mutex};

use secrecy::SecretString;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// Gives these answers in turn, and then the last one for ever. Yields the bucket, and what it was asked.
async fn answering(answers: &[(u16, &str)]) -> (Bucket, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let answers: Vec<(u16, String)> = answers.iter().map(|(status, body)| (*status, (*body).to_owned())).collect();
    let heard = Arc::clone(&asked);
    tokio::spawn(async move {
        for number in 0.. {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut head = Vec::new();
            while !head.windows(4).any(|four| four == b"\r\n\r\n") {
                let byte = stream.read_u8().await.expect("a request");
                head.push(byte);
            }
            heard
                .lock()
                .expect("free")
                .push(String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned());
            let (status, body) = answers.get(number).or_else(|| answers.last()).expect("an answer");
            let answer =
                format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.expect("answered");
        }
    });
    (Bucket::new(&place(endpoint)).expect("a bucket"), asked)
}

#[tokio::test]
async fn a_key_that_is_over_is_read_anew_from_its_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        Some(path)
    };
    let expired = (400, "<Error><Code>ExpiredToken</Code></Error>");
    let (bucket, asked) = answering(&[expired, (200, "found"), expired, (403, ""), expired]).await;
    let files = config::KeyFiles {
        access_key: file("id", "AKIAEXAMPLE\n"),
        secret_key: file("key", "wJalrXUtnFEMI"),
        session_token: file("token", "first"),
    };
    let place = config::Bucket {
        session_token: Some(SecretString::from("first")),
        files,
        ..config::Bucket::clone(&bucket.place)
    };
    let bucket = Bucket::new(&place).expect("a bucket");
    // Whoever gives it has put another one there, and the store doesn't take the first one any more.
    file("id", "AKIASECOND");
    file("token", "second\n");
    assert_eq!(bucket.get("a").await, Ok(Some(b"found".to_vec())));
    let lines = asked.lock().expect("free").clone();
    let keys: Vec<bool> = lines.iter().map(|line| line.contains("AKIASECOND") && line.contains("=second")).collect();
    assert_eq!(keys, [false, true], "{lines:?}");
    // The files say nothing new: once is enough.
    let error = bucket.clone().get("a").await.expect_err("refused").to_string();
    assert!(error.contains("ExpiredToken") && !error.contains("second"), "{error}");
    assert_eq!(asked.lock().expect("free").len(), 3);
    std::fs::remove_file(folder.path().join("key")).expect("gone");
    let error = bucket.get("a").await.expect_err("refused").to_string();
    assert!(error.contains("the key may not do that"), "{error}");
    // A key from the environment is what it is.
    let (bucket, asked) = answering(&[expired]).await;
    bucket.get("a").await.expect_err("refused");
    assert_eq!(asked.lock().expect("free").len(), 1);
}

#[tokio::test]
async fn what_is_written_goes_with_its_digest() {
    let (bucket, asked) = answering(&[(200, "")]).await;
    bucket.put("a", b"hello".to_vec()).await.expect("written");
    let line = asked.lock().expect("free")[0].clone();
    assert!(
        line.starts_with("PUT /logs/prod/a?") && line.contains("SignedHeaders=host%3Bx-amz-checksum-sha256"),
        "{line}"
    );
}

fn place(endpoint: String) -> config::Bucket {
    config::Bucket {
        endpoint,
        region: "eu-central-1".to_owned(),
        name: "logs".to_owned(),
        prefix: "prod".to_owned(),
        path_style: true,
        access_key: "AKIAEXAMPLE".to_owned(),
        secret_key: SecretString::from("wJalrXUtnFEMI"),
        session_token: None,
        files: config::KeyFiles::default(),
    }
}

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    let (bucket, asked) = answering(&[(503, "<Error><Code>SlowDown</Code></Error>"), (500, ""), (200, "found")]).await;
    assert_eq!(bucket.get("a b/%2F").await, Ok(Some(b"found".to_vec())));
    let asked = asked.lock().expect("free").clone();
    assert_eq!(asked.len(), 3);
    assert!(asked[0].starts_with("GET /logs/prod/a%20b/%252F?") && asked[0].contains("X-Amz-Signature="), "{asked:?}");
}

#[tokio::test]
async fn a_refusal_is_said_without_address_and_key() {
    let (bucket, asked) = answering(&[(403, "<Error><Code>SignatureDoesNotMatch</Code></Error>")]).await;
    let error = bucket.put("a", b"x".to_vec()).await.expect_err("refused").to_string();
    assert!(
        error.starts_with("the bucket `logs`: the key may not") && error.contains("SignatureDoesNotMatch"),
        "{error}"
    );
    assert_eq!(asked.lock().expect("free").len(), 1, "another try changes nothing");
    for hidden in ["AKIA", "wJalr", "Signature=", "prod/a"] {
        assert!(!error.contains(hidden) && !format!("{bucket:?}").contains(hidden), "{error}");
    }
}

#[tokio::test]
async fn an_object_that_is_missing_is_told_from_a_bucket_that_is() {
    let (bucket, _) = answering(&[
        (404, "<Error><Code>NoSuchKey</Code></Error>"),
        (404, "<Error><Code>NoSuchKey</Code></Error>"),
        (404, "<Error><Code>NoSuchBucket</Code></Error>"),
    ])
    .await;
    assert_eq!(bucket.get("a").await, Ok(None));
    assert_eq!(bucket.delete("a").await, Ok(()));
    let error = bucket.get("a").await.expect_err("no bucket").to_string();
    assert!(error.contains("no such bucket"), "{error}");
}

#[tokio::test]
async fn nobody_there_is_said_after_some_tries() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let error = Bucket::new(&place(endpoint)).expect("a bucket").get("a").await.expect_err("nobody").to_string();
    assert!(error.contains("127.0.0.1"), "{error}");
}

#[test]
fn a_name_that_can_t_be_part_of_a_host_is_refused() {
    let place = config::Bucket { path_style: false, ..place("http://127.0.0.1:9000".to_owned()) };
    let error = Bucket::new(&place).expect_err("refused").to_string();
    assert!(error.contains("can't be made of"), "{error}");
}
