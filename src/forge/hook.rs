//! What webhooks of different forges have in common: a signature over the raw bytes, headers and JSON that anybody
//! could have written, names that become part of messages.

use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, header};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sha2::Sha256;

use super::WebhookError;
use crate::model::{CommitSha, RepositoryName};

/// The longest name of a ref that is taken, in bytes; git itself stops at what a file system takes.
const REF_LIMIT: usize = 1000;
/// The longest name of an account that is kept, in characters.
const ACCOUNT_LIMIT: usize = 100;

/// Checks the HMAC-SHA256 of the body under the shared secret: `sha256=` and its digits in the header of that name.
pub(super) fn verify(
    secret: &SecretString,
    headers: &HeaderMap,
    header: &'static str,
    body: &[u8],
) -> Result<(), WebhookError> {
    let mut signatures = headers.get_all(header).iter();
    let signature = signatures.next().ok_or(WebhookError::Unsigned { header })?;
    // Two signatures leave open which one counts; forges send one. And under an empty secret anybody can sign.
    if signatures.next().is_some() || secret.expose_secret().is_empty() {
        return Err(WebhookError::WrongSignature);
    }
    let claimed = signature
        .to_str()
        .ok()
        .and_then(|text| text.strip_prefix("sha256="))
        .and_then(|digits| hex::decode(digits).ok())
        .ok_or(WebhookError::WrongSignature)?;
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).map_err(|_| WebhookError::WrongSignature)?;
    mac.update(body);
    // In constant time, and only for all 32 bytes.
    mac.verify_slice(&claimed).map_err(|_| WebhookError::WrongSignature)
}

/// Refuses what is not sent as JSON.
pub(super) fn require_json(headers: &HeaderMap) -> Result<(), WebhookError> {
    let found = headers.get(header::CONTENT_TYPE).map_or("", |value| value.to_str().unwrap_or("?"));
    let media_type = found.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("application/json") {
        Ok(())
    } else {
        Err(WebhookError::ContentType { found: shorten(found) })
    }
}

/// A header that holds an id or a name: 1 to 100 letters, digits, `-`, `_` and `:`; none if there is no such header.
pub(super) fn word(headers: &HeaderMap, name: &str) -> Result<Option<String>, WebhookError> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    let sane = (1..=100).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b':'));
    if sane {
        Ok(Some(text.to_owned()))
    } else {
        Err(WebhookError::Malformed(format!("the header {name} is not 1 to 100 letters, digits and hyphens")))
    }
}

/// That something isn't there.
pub(super) fn missing(what: &str) -> WebhookError {
    WebhookError::Malformed(format!("{what} is missing"))
}

/// Reads the body; nesting is bounded by serde_json, and parts that no type names are skipped.
pub(super) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, WebhookError> {
    let text =
        std::str::from_utf8(body).map_err(|error| WebhookError::Malformed(format!("it is not UTF-8: {error}")))?;
    serde_json::from_str(text)
        .map_err(|error| WebhookError::Malformed(format!("its JSON: {}", shorten(&error.to_string()))))
}

/// The repository of that name, spelled as in the configuration; forges don't tell upper from lower case.
pub(super) fn covered(repositories: &[RepositoryName], full_name: &str) -> Result<RepositoryName, WebhookError> {
    repositories
        .iter()
        .find(|name| name.as_str().eq_ignore_ascii_case(full_name))
        .cloned()
        .ok_or_else(|| WebhookError::Repository { repository: shorten(full_name) })
}

/// The commit of that id; none for the id of zeros, with which forges say "nothing".
pub(super) fn commit(field: &str, text: &str) -> Result<Option<CommitSha>, WebhookError> {
    if matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte == b'0') {
        return Ok(None);
    }
    CommitSha::parse(text).map(Some).map_err(|error| WebhookError::Malformed(format!("{field}: {error}")))
}

/// The full name of a ref, if that is what it is.
pub(super) fn git_ref(text: String) -> Result<String, WebhookError> {
    let legal = text.starts_with("refs/")
        && text.len() <= REF_LIMIT
        && !text.ends_with('/')
        && !text.contains("..")
        && !text.chars().any(|letter| letter.is_control() || letter == ' ');
    if legal {
        Ok(text)
    } else {
        Err(WebhookError::Malformed(format!("ref `{}` is not the full name of a ref", shorten(&text))))
    }
}

/// An account's name that doesn't look like one is left out: it would be shown as the one who acted.
pub(super) fn account(text: Option<String>) -> Option<String> {
    text.filter(|text| {
        (1..=ACCOUNT_LIMIT).contains(&text.chars().count())
            && !text.chars().any(|letter| letter.is_control() || letter == ' ')
    })
}

/// Foreign text for a message of ours: one line of at most 100 characters.
pub(super) fn shorten(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(100).collect()
}
