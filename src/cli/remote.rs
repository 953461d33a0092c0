//! A server that a command speaks to, over its API.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use http::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::outbound::{AddressPolicy, Answer, Client, ClientOptions, Request};

/// The longest answer that is read: a page of a list with large documents fits.
const ANSWER_LIMIT: usize = 64 * 1024 * 1024;

/// Which server, and as whom
#[derive(Debug, Clone, clap::Args)]
pub struct ServerArgs {
    /// The server's address
    #[arg(long, global = true, env = "LONGBOAT_SERVER", default_value = "http://127.0.0.1:8084", value_name = "URL")]
    server: String,
    /// A file with a token of the server; LONGBOAT_TOKEN holds one otherwise
    #[arg(long, global = true, value_name = "PATH")]
    token_file: Option<PathBuf>,
}

/// The API of a server.
#[derive(Debug)]
pub struct Api {
    client: Client,
    base: String,
    token: Option<SecretString>,
}

impl ServerArgs {
    /// Gets ready to speak to the server; nothing is sent yet. To be called within the runtime.
    ///
    /// # Errors
    /// If the address or the token can't be used.
    pub fn connect(&self) -> anyhow::Result<Api> {
        let base = self.server.trim_end_matches('/').to_owned();
        if !base.starts_with("http://") && !base.starts_with("https://") {
            bail!("`{base}` is no address of a server; write it like https://cd.example.com");
        }
        let token = match &self.token_file {
            Some(path) => Some(
                std::fs::read_to_string(path).with_context(|| format!("can't read the token in {}", path.display()))?,
            ),
            None => std::env::var("LONGBOAT_TOKEN").ok(),
        };
        let token = token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
        let options = ClientOptions {
            deadline: Duration::from_secs(60),
            body_limit: ANSWER_LIMIT,
            // The person at the terminal says where to go.
            policy: AddressPolicy::Any,
            ..ClientOptions::default()
        };
        Ok(Api { client: Client::new(options)?, base, token: token.map(SecretString::from) })
    }
}

impl Api {
    /// Reads a document: `path` is below `/api/v1`.
    ///
    /// # Errors
    /// If the server can't be asked, or says no; with its own words.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let answer = self.send(Method::GET, path, None).await?;
        read(&answer, &self.base)
    }

    /// Does something.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> anyhow::Result<T> {
        let answer = self.send(Method::POST, path, Some(body)).await?;
        read(&answer, &self.base)
    }

    /// Sends a request and yields a good answer as it is.
    ///
    /// # Errors
    /// As [`Api::get`].
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Answer> {
        let mut request = Request::new(method, format!("{}/api/v1{path}", self.base));
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(token) = &self.token {
            let value = SecretString::from(format!("Bearer {}", token.expose_secret()));
            request = request
                .secret_header("authorization", &value)
                .map_err(|_| anyhow::anyhow!("the token holds characters that no token has; is it the right file?"))?;
        }
        let answer = self.client.send(request).await.with_context(|| {
            format!(
                "can't reach {}; is the server running there? (--server or LONGBOAT_SERVER names another)",
                self.base
            )
        })?;
        if answer.status.is_success() { Ok(answer) } else { Err(self.refusal(&answer)) }
    }

    /// What the server said, as it says it (RFC 9457).
    fn refusal(&self, answer: &Answer) -> anyhow::Error {
        if answer.status == StatusCode::UNAUTHORIZED {
            let what = if self.token.is_some() { "doesn't take this token" } else { "asks for a token" };
            return anyhow::anyhow!("{} {what}: set LONGBOAT_TOKEN, or give --token-file PATH", self.base);
        }
        let problem: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let Some(detail) = problem["detail"].as_str().or_else(|| problem["title"].as_str()) else {
            return anyhow::anyhow!("{} answers with {}; is a Longboat there?", self.base, answer.status);
        };
        let mut text = detail.to_owned();
        for fault in problem["errors"].as_array().into_iter().flatten() {
            let (field, message) = (fault["field"].as_str(), fault["message"].as_str());
            text.push_str(&format!("\n  {}: {}", field.unwrap_or_default(), message.unwrap_or_default()));
        }
        anyhow::anyhow!(text)
    }
}

fn read<T: DeserializeOwned>(answer: &Answer, base: &str) -> anyhow::Result<T> {
    serde_json::from_slice(&answer.body).with_context(|| {
        format!("{base} answers with something that this version doesn't understand; are both the same?")
    })
}
