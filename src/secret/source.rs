//! Where values of secrets are kept.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use secrecy::{ExposeSecret as _, SecretString};

use crate::config::MIN_SECRET;

/// A longer file is not a secret.
const MAX_BYTES: u64 = 64 * 1024;

/// A place that keeps the value of one secret. It is asked each time that the secret is used, so that a value that was
/// changed counts from the next use on.
#[async_trait]
pub trait SecretSource: Send + Sync + 'static {
    /// What it is, for people: `the file /run/secrets/token`.
    fn describe(&self) -> String;

    /// Fetches the value.
    ///
    /// # Errors
    /// Why there is none; never with any part of a value.
    async fn fetch(&self) -> Result<SecretString, SourceError>;

    /// Whether asking it costs no more than a look at this machine. The values of such sources are kept out of every
    /// log from the beginning, those of others from their first use.
    fn is_near(&self) -> bool {
        false
    }
}

/// Why a source has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// There is nothing.
    #[error("is not set")]
    Missing,
    /// There is something, but no text in it.
    #[error("is empty")]
    Empty,
    /// It can't be read.
    #[error("can't be read: {0}")]
    Unreadable(String),
    /// What is there can't be used.
    #[error("can't be used: {0}")]
    Unusable(&'static str),
}

/// An environment variable of this process.
#[derive(Debug)]
pub(super) struct EnvSource(pub(super) String);

/// A file; a line break at its end is left out.
#[derive(Debug)]
pub(super) struct FileSource(pub(super) PathBuf);

#[async_trait]
impl SecretSource for EnvSource {
    fn describe(&self) -> String {
        format!("the environment variable {}", self.0)
    }

    async fn fetch(&self) -> Result<SecretString, SourceError> {
        let value = std::env::var_os(&self.0).ok_or(SourceError::Missing)?;
        usable(value.into_string().map_err(|_| SourceError::Unusable("it is not UTF-8 text"))?)
    }

    fn is_near(&self) -> bool {
        true
    }
}

#[async_trait]
impl SecretSource for FileSource {
    fn describe(&self) -> String {
        format!("the file {}", self.0.display())
    }

    async fn fetch(&self) -> Result<SecretString, SourceError> {
        let path = self.0.clone();
        match tokio::task::spawn_blocking(move || read(&path)).await {
            Ok(value) => usable(value?),
            Err(error) => Err(SourceError::Unreadable(error.to_string())),
        }
    }

    fn is_near(&self) -> bool {
        true
    }
}

fn read(path: &Path) -> Result<String, SourceError> {
    let unreadable = |error: std::io::Error| SourceError::Unreadable(error.kind().to_string());
    let file = match std::fs::File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(SourceError::Missing),
        file => file.map_err(unreadable)?,
    };
    // A pipe would be waited for, and is empty the next time.
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err(SourceError::Unusable("it is not a plain file"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(SourceError::Unusable("it is larger than 64 KiB"));
    }
    let mut text = String::from_utf8(bytes).map_err(|_| SourceError::Unusable("it is not UTF-8 text"))?;
    text.truncate(text.trim_end_matches(['\n', '\r']).len());
    Ok(text)
}

fn usable(value: String) -> Result<SecretString, SourceError> {
    checked(SecretString::from(value))
}

/// A value that can be handed out: one that can be kept out of logs.
pub(super) fn checked(value: SecretString) -> Result<SecretString, SourceError> {
    let text = value.expose_secret();
    if text.trim().is_empty() {
        return Err(SourceError::Empty);
    }
    if text.trim().len() < MIN_SECRET {
        return Err(SourceError::Unusable("it is shorter than 6 bytes, which can't be kept out of logs"));
    }
    if text.contains('\0') {
        return Err(SourceError::Unusable("it holds a zero byte"));
    }
    if text.len() as u64 > MAX_BYTES {
        return Err(SourceError::Unusable("it is larger than 64 KiB"));
    }
    Ok(value)
}
