//! The real binary as a server: started on a free port, killed in whatever way the test wants, stopped by its pid.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::wait::eventually;

/// A running `longboat serve`.
pub struct Server {
    child: Child,
    /// Its address, like `http://127.0.0.1:41234`.
    pub url: String,
    log: Arc<Mutex<String>>,
    /// Reads standard error into `log`, to its end.
    lines: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    /// Starts `longboat serve --config CONFIG` and waits until it says where it listens.
    pub fn start(config: &Path, env: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_longboat"))
            .args(["serve", "--config"])
            .arg(config)
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let log = Arc::new(Mutex::new(String::new()));
        let errors = child.stderr.take().expect("stderr is piped");
        let lines = std::thread::spawn({
            let log = Arc::clone(&log);
            move || {
                for line in BufReader::new(errors).lines().map_while(Result::ok) {
                    let mut log = log.lock().expect("no test panics while it writes the log");
                    log.push_str(&line);
                    log.push('\n');
                }
            }
        });
        let mut out = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut url = String::new();
        out.read_line(&mut url).expect("stdout can be read");
        let url = url.trim().to_owned();
        if !url.starts_with("http://") {
            let status = child.wait().expect("it ended");
            panic!("the server did not start ({status}):\n{}", log.lock().expect("the log"));
        }
        // Later lines on stdout must not block the server.
        std::thread::spawn(move || {
            let mut rest = Vec::new();
            drop(out.read_to_end(&mut rest));
        });
        Self { child, url, log, lines: Some(lines) }
    }

    /// What it has written to standard error.
    pub fn log(&self) -> String {
        self.log.lock().expect("the log").clone()
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`, without a chance to tidy up.
    pub fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }

    /// Asks it to stop, and waits until it has.
    pub fn stop(mut self) -> ExitStatus {
        signal(self.child.id(), "TERM");
        eventually(Duration::from_secs(30), "the server stops", || self.child.try_wait().expect("a child's state"))
    }

    /// Waits until it has ended by itself: its exit code, and all that it wrote to standard error.
    pub fn ended(mut self) -> (Option<i32>, String) {
        let status = eventually(Duration::from_secs(60), "the server ends by itself", || {
            self.child.try_wait().expect("a child's state")
        });
        let lines = self.lines.take().expect("it is read once");
        lines.join().expect("standard error can be read");
        (status.code(), self.log())
    }

    /// GETs a text.
    pub async fn get_text(&self, path: &str) -> String {
        let answer = reqwest::get(format!("{}{path}", self.url)).await.expect("the server answers");
        let status = answer.status();
        let text = answer.text().await.expect("a body");
        assert!(status.is_success(), "GET {path}: {status}: {text}");
        text
    }

    /// GETs a JSON document of the API.
    pub async fn get(&self, path: &str) -> serde_json::Value {
        let text = self.get_text(path).await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("GET {path}: {error}: {text}"))
    }

    /// POSTs JSON to the API; the status and the body.
    pub async fn post(&self, path: &str, body: serde_json::Value) -> (u16, serde_json::Value) {
        let answer = reqwest::Client::new()
            .post(format!("{}{path}", self.url))
            .json(&body)
            .send()
            .await
            .expect("the server answers");
        let status = answer.status().as_u16();
        let text = answer.text().await.expect("a body");
        (status, serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text)))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nothing to do if it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Sends a signal by name.
pub fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().expect("kill runs");
    assert!(status.success(), "kill -{name} {pid}");
}

/// Writes a configuration file into `folder` and returns its path.
pub fn write_config(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("longboat.yaml");
    std::fs::write(&path, text).expect("the configuration is written");
    path
}
