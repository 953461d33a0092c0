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

use http::HeaderMap;
use secrecy::SecretString;

use super::wire::{RepositoryPart, UserPart};
use crate::forge::hook::{commit, covered, parse, shorten};
use crate::forge::{Delivery, ForgeEvent, WebhookError, hook};
use crate::model::RepositoryName;

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
    hook::verify(secret, headers, "X-Hub-Signature-256", body)?;
    hook::require_json(headers)?;
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

/// A header that has to be there.
fn word(headers: &HeaderMap, name: &str) -> Result<String, WebhookError> {
    hook::word(headers, name)?.ok_or_else(|| hook::missing(&format!("the header {name}")))
}

#[cfg(test)]
mod tests;
