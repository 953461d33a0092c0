//! GitHub's webhooks: the signature over the raw bytes first, then, and only then, what they say.
//!
//! The rules are those of GitHub's page "Validating webhook deliveries": HMAC-SHA256 of the body under
//! the shared secret in `X-Hub-Signature-256`. The older SHA-1 header is never enough. A payload is taken
//! apart by types with optional fields, so that what GitHub adds or leaves out can't break it; and a valid
//! signature speaks only for the repositories that its secret covers.

use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, header};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sha2::Sha256;

use crate::forge::{Delivery, ForgeEvent, Push, WebhookError};
use crate::model::{CommitSha, RepositoryName};

/// The longest name of a ref that is taken, in bytes; git itself stops at what a file system takes.
const REF_LIMIT: usize = 1000;
/// The longest login that is kept, in characters. GitHub's own limit is 39, plus marks of enterprises and bots.
const LOGIN_LIMIT: usize = 100;

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
        "ping" => {
            let ping: Ping = parse(body)?;
            if let Some(name) = ping.repository.and_then(|repository| repository.full_name) {
                covered(repositories, &name)?;
            }
            ForgeEvent::Ping { complaints: Vec::new() }
        }
        "push" => ForgeEvent::Push(push(repositories, parse(body)?)?),
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

fn push(repositories: &[RepositoryName], payload: PushPayload) -> Result<Push, WebhookError> {
    let full_name = payload
        .repository
        .and_then(|repository| repository.full_name)
        .ok_or_else(|| WebhookError::Malformed("repository.full_name is missing".to_owned()))?;
    let repository_full_name = covered(repositories, &full_name)?;
    let git_ref = payload.git_ref.ok_or_else(|| WebhookError::Malformed("ref is missing".to_owned()))?;
    if !is_ref(&git_ref) {
        return Err(WebhookError::Malformed(format!("ref `{}` is not the full name of a ref", shorten(&git_ref))));
    }
    let before = payload.before.as_deref().map(|text| commit("before", text)).transpose()?.flatten();
    let after = payload.after.ok_or_else(|| WebhookError::Malformed("after is missing".to_owned()))?;
    let mut after = commit("after", &after)?;
    if payload.deleted == Some(true) {
        after = None;
    }
    // For an annotated tag `after` is the tag object, and a status can stand only on a commit.
    if git_ref.starts_with("refs/tags/")
        && after.is_some()
        && let Some(id) = payload.head_commit.and_then(|head| head.id)
    {
        after = commit("head_commit.id", &id)?;
    }
    Ok(Push {
        repository_full_name,
        git_ref,
        created: payload.created.unwrap_or_else(|| before.is_none()),
        deleted: after.is_none(),
        forced: payload.forced.unwrap_or(false),
        before,
        after,
        actor: payload.sender.and_then(|sender| sender.login).filter(|login| is_login(login)),
    })
}

/// The commit of that id; none for the id of zeros, with which GitHub says "nothing".
fn commit(field: &str, text: &str) -> Result<Option<CommitSha>, WebhookError> {
    if matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte == b'0') {
        return Ok(None);
    }
    CommitSha::parse(text).map(Some).map_err(|error| WebhookError::Malformed(format!("{field}: {error}")))
}

fn is_ref(text: &str) -> bool {
    text.starts_with("refs/")
        && text.len() <= REF_LIMIT
        && !text.ends_with('/')
        && !text.contains("..")
        && !text.chars().any(|letter| letter.is_control() || letter == ' ')
}

/// A login that doesn't look like one is left out: it would be shown as the one who acted.
fn is_login(text: &str) -> bool {
    (1..=LOGIN_LIMIT).contains(&text.chars().count())
        && !text.chars().any(|letter| letter.is_control() || letter == ' ')
}

/// Foreign text for a message of ours: one line of at most 100 characters.
fn shorten(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(100).collect()
}

#[derive(Deserialize)]
struct Ping {
    repository: Option<RepositoryPart>,
}

#[derive(Deserialize)]
struct PushPayload {
    #[serde(rename = "ref")]
    git_ref: Option<String>,
    before: Option<String>,
    after: Option<String>,
    created: Option<bool>,
    deleted: Option<bool>,
    forced: Option<bool>,
    head_commit: Option<HeadCommit>,
    repository: Option<RepositoryPart>,
    sender: Option<Sender>,
}

#[derive(Deserialize)]
struct HeadCommit {
    id: Option<String>,
}

#[derive(Deserialize)]
struct RepositoryPart {
    full_name: Option<String>,
}

#[derive(Deserialize)]
struct Sender {
    login: Option<String>,
}

#[cfg(test)]
mod tests;
