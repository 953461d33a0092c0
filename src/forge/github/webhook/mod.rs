//! GitHub's webhooks: the signature over the raw bytes first, then, and only then, what they say.
//!
//! The rules are those of GitHub's page "Validating webhook deliveries": HMAC-SHA256 of the body under
//! the shared secret in `X-Hub-Signature-256`. The older SHA-1 header is never enough. A payload is taken
//! apart by types with optional fields, so that what GitHub adds or leaves out can't break it; and a valid
//! signature speaks only for the repositories that its secret covers.

mod comment;
mod ping;
mod pull_request;
mod push;

use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, header};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sha2::Sha256;

use super::wire::{RepositoryPart, UserPart};
use crate::forge::{Delivery, ForgeEvent, WebhookError};
use crate::model::{CommitSha, RepositoryName};

/// Checks a delivery and says what it announces.
///
/// `repositories` are those that `secret` covers; a payload about another one is refused, whoever signed it.
/// Names are compared without regard to case, as GitHub does. Nothing but the signature is looked at before
/// the signature is good.
///
/// # Errors
/// [`WebhookError`], with the status to answer with.
pub(super) fn receive(
    secret: &SecretString,
    repositories: &[RepositoryName],
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Delivery, WebhookError> {
    verify(secret, headers, body)?;
    require_json(headers)?;
    let id = word(headers, "x-github-delivery")?;
    let event = match word(headers, "x-github-event")?.as_str() {
        "ping" => ping::ping(repositories, parse(body)?)?,
        "push" => ForgeEvent::Push(push::push(repositories, parse(body)?)?),
        "pull_request" => pull_request::pull_request(repositories, parse(body)?)?,
        "issue_comment" => comment::comment(repositories, parse(body)?)?,
        other => ForgeEvent::Ignored { event: other.to_owned() },
    };
    Ok(Delivery { id: Some(id), events: vec![event] })
}

fn verify(secret: &SecretString, headers: &HeaderMap, body: &[u8]) -> Result<(), WebhookError> {
    let mut signatures = headers.get_all("x-hub-signature-256").iter();
    let signature = signatures.next().ok_or(WebhookError::Unsigned { header: "X-Hub-Signature-256" })?;
    // Two signatures leave open which one counts; GitHub sends one. And under an empty secret anybody can sign.
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

fn require_json(headers: &HeaderMap) -> Result<(), WebhookError> {
    let found = headers.get(header::CONTENT_TYPE).map_or("", |value| value.to_str().unwrap_or("?"));
    let media_type = found.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("application/json") {
        Ok(())
    } else {
        Err(WebhookError::ContentType { found: shorten(found) })
    }
}

/// A header that holds an id or a name: 1 to 100 letters, digits, `-` and `_`.
fn word(headers: &HeaderMap, name: &'static str) -> Result<String, WebhookError> {
    let value = headers.get(name).ok_or_else(|| WebhookError::Malformed(format!("the header {name} is missing")))?;
    let text = value.to_str().unwrap_or_default();
    let sane = (1..=100).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if sane {
        Ok(text.to_owned())
    } else {
        Err(WebhookError::Malformed(format!("the header {name} is not 1 to 100 letters, digits and hyphens")))
    }
}

/// Reads the body; nesting is bounded by serde_json, and parts that no type names are skipped.
fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, WebhookError> {
    let text =
        std::str::from_utf8(body).map_err(|error| WebhookError::Malformed(format!("it is not UTF-8: {error}")))?;
    serde_json::from_str(text)
        .map_err(|error| WebhookError::Malformed(format!("its JSON: {}", shorten(&error.to_string()))))
}

fn covered(repositories: &[RepositoryName], full_name: &str) -> Result<RepositoryName, WebhookError> {
    repositories
        .iter()
        .find(|name| name.as_str().eq_ignore_ascii_case(full_name))
        .cloned()
        .ok_or_else(|| WebhookError::Repository { repository: shorten(full_name) })
}

/// The commit of that id; none for the id of zeros, with which GitHub says "nothing".
fn commit(field: &str, text: &str) -> Result<Option<CommitSha>, WebhookError> {
    if matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte == b'0') {
        return Ok(None);
    }
    CommitSha::parse(text).map(Some).map_err(|error| WebhookError::Malformed(format!("{field}: {error}")))
}

/// Foreign text for a message of ours: one line of at most 100 characters.
fn shorten(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(100).collect()
}

#[cfg(test)]
mod tests;
