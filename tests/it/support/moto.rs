//! An S3-compatible store for one test: moto's server, on loopback, on a port of its own, stopped by its pid.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use longboat::bucket::Bucket;
use longboat::config;
use secrecy::SecretString;

use super::wait::eventually_async;

/// The program, if it isn't where `tests/run` installs it.
const PROGRAM: &str = "LONGBOAT_TEST_MOTO";

/// What the server takes: any key.
pub const ACCESS_KEY: &str = "AKIALONGBOATTEST";
/// It must appear nowhere.
pub const SECRET_KEY: &str = "a-key-that-only-the-store-knows";
/// The bucket of every test.
pub const BUCKET: &str = "longboat-logs";

/// A running store with an empty bucket.
pub struct Moto {
    child: Child,
    /// Its address.
    pub url: String,
}

impl Moto {
    /// Starts one. Without the program the test says so and is left out, unless `LONGBOAT_REQUIRE_PEERS=1` wants every
    /// peer.
    pub async fn start() -> Option<Self> {
        let program = program()?;
        // What the system gave is free, and it doesn't give it again soon.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
        let child = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("moto's server starts");
        let moto = Self { child, url: format!("http://127.0.0.1:{port}") };
        let client = reqwest::Client::new();
        eventually_async(Duration::from_secs(60), "moto's server answers", || async {
            let made = client.put(format!("{}/{BUCKET}", moto.url)).send().await.ok()?;
            made.status().is_success().then_some(())
        })
        .await;
        Some(moto)
    }

    /// What a configuration says about it.
    pub fn place(&self) -> config::Bucket {
        config::Bucket {
            endpoint: self.url.clone(),
            region: "us-east-1".to_owned(),
            name: BUCKET.to_owned(),
            prefix: "longboat".to_owned(),
            path_style: true,
            access_key: ACCESS_KEY.to_owned(),
            secret_key: SecretString::from(SECRET_KEY),
            session_token: None,
            files: config::KeyFiles::default(),
        }
    }

    /// The bucket as Longboat sees it.
    pub fn bucket(&self) -> Bucket {
        Bucket::new(&self.place()).expect("a bucket")
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // It is our own child; if it ended before, there is nothing to stop.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

fn program() -> Option<PathBuf> {
    let named = std::env::var_os(PROGRAM).map(PathBuf::from);
    let usual = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/peers/moto/bin/moto_server");
    let found = named.unwrap_or(usual);
    if found.is_file() {
        return Some(found);
    }
    assert!(std::env::var("LONGBOAT_REQUIRE_PEERS").as_deref() != Ok("1"), "{} is missing", found.display());
    eprintln!("left out: {} is missing; `tests/run` installs it", found.display());
    None
}
