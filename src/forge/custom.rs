//! Webhooks of programs that are no forge: anything that can sign what it sends.
//!
//! Two forms of signature are taken, each an HMAC-SHA256 under the shared secret: GitHub's (`X-Hub-Signature-256`, over the
//! body), and that of Standard Webhooks (`webhook-id`, `webhook-timestamp`, `webhook-signature`, over all three), which
//! can't be sent again later by somebody who saw it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use sha2::Sha256;

use super::{WebhookError, hook};
use crate::clock::Timestamp;

/// How far the sender's clock may be from ours.
const TOLERANCE: Duration = Duration::from_secs(300);
/// The most signatures of one delivery: a sender that changes its secret signs with both.
const MAX_SIGNATURES: usize = 10;

/// A delivery whose signature was right.
#[derive(Debug, Clone, PartialEq)]
pub struct CustomDelivery {
    /// What the sender calls it, so that it is known if it comes again.
    pub id: Option<String>,
    /// The body: a JSON object.
    pub payload: Value,
}

/// Believes a delivery if it is signed under the secret.
///
/// # Errors
/// If it isn't, or isn't a JSON object. Nothing in the body is looked at before its signature.
pub fn receive_custom(
    secret: &SecretString,
    now: Timestamp,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<CustomDelivery, WebhookError> {
    let id = if headers.contains_key("webhook-signature") {
        Some(verify_standard(secret, now, headers, body)?)
    } else {
        hook::verify(secret, headers, "x-hub-signature-256", body)?;
        match hook::word(headers, "x-github-delivery")? {
            Some(id) => Some(id),
            None => hook::word(headers, "idempotency-key")?,
        }
    };
    hook::require_json(headers)?;
    let payload: Value = hook::parse(body)?;
    if !payload.is_object() {
        return Err(WebhookError::Malformed("it is not a JSON object".to_owned()));
    }
    Ok(CustomDelivery { id, payload })
}

/// The id of a delivery that is signed as Standard Webhooks have it.
fn verify_standard(
    secret: &SecretString,
    now: Timestamp,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<String, WebhookError> {
    let id = hook::word(headers, "webhook-id")?.ok_or_else(|| hook::missing("the header webhook-id"))?;
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let time = text("webhook-timestamp");
    let seconds: i64 = time.parse().map_err(|_| hook::missing("webhook-timestamp, in seconds,"))?;
    let sent = Timestamp::from_millis(seconds.saturating_mul(1000));
    if now.since(sent).max(sent.since(now)) > TOLERANCE {
        return Err(WebhookError::WrongSignature);
    }
    let exposed = secret.expose_secret();
    let key = match exposed.strip_prefix("whsec_") {
        Some(coded) => STANDARD.decode(coded).map_err(|_| WebhookError::WrongSignature)?,
        None => exposed.as_bytes().to_vec(),
    };
    if key.is_empty() {
        return Err(WebhookError::WrongSignature);
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| WebhookError::WrongSignature)?;
    for part in [id.as_bytes(), b".", time.as_bytes(), b".", body] {
        mac.update(part);
    }
    let signatures = text("webhook-signature").split(' ').filter_map(|one| one.strip_prefix("v1,"));
    // Each comparison takes the same time, whatever is wrong.
    let fits =
        |signature: &str| STANDARD.decode(signature).is_ok_and(|claimed| mac.clone().verify_slice(&claimed).is_ok());
    if signatures.take(MAX_SIGNATURES).any(fits) { Ok(id) } else { Err(WebhookError::WrongSignature) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        map.insert("content-type", "application/json".parse().expect("a value"));
        for (name, value) in all {
            map.insert(*name, value.parse().expect("a value"));
        }
        map
    }

    fn mac(key: &[u8], text: &str) -> Vec<u8> {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().to_vec()
    }

    fn receive(secret: &str, all: &[(&'static str, &str)], body: &str) -> Result<CustomDelivery, WebhookError> {
        receive_custom(&SecretString::from(secret), NOW, &headers(all), body.as_bytes())
    }

    #[test]
    fn a_body_that_is_signed_as_github_signs_is_believed() {
        let body = r#"{"a": 1}"#;
        let signature = format!("sha256={}", hex::encode(mac(b"secret of some length", body)));
        let delivery =
            receive("secret of some length", &[("x-hub-signature-256", &signature), ("idempotency-key", "d-1")], body);
        assert_eq!(
            delivery.expect("believed"),
            CustomDelivery { id: Some("d-1".to_owned()), payload: serde_json::json!({"a": 1}) }
        );
        let bare = receive("secret of some length", &[("x-hub-signature-256", &signature)], body).expect("believed");
        assert_eq!(bare.id, None);
        let other = receive("another secret", &[("x-hub-signature-256", &signature)], body);
        assert_eq!(other, Err(WebhookError::WrongSignature));
        assert_eq!(
            receive("secret of some length", &[("x-hub-signature-256", &signature)], "{}"),
            Err(WebhookError::WrongSignature)
        );
        assert!(matches!(receive("secret of some length", &[], body), Err(WebhookError::Unsigned { .. })));
    }

    #[test]
    fn a_standard_webhook_is_believed_for_five_minutes() {
        let body = r#"{"a": 1}"#;
        let key = b"the key itself, 24 bytes";
        let secret = format!("whsec_{}", STANDARD.encode(key));
        let signed =
            |seconds: i64| format!("v1,AAAA v1,{}", STANDARD.encode(mac(key, &format!("msg_1.{seconds}.{body}"))));
        let try_at = |seconds: i64, signature: &str| {
            let time = seconds.to_string();
            receive(
                &secret,
                &[("webhook-id", "msg_1"), ("webhook-timestamp", &time), ("webhook-signature", signature)],
                body,
            )
        };
        let now = NOW.as_millis() / 1000;
        assert_eq!(try_at(now, &signed(now)).expect("believed").id.as_deref(), Some("msg_1"));
        assert!(try_at(now - 299, &signed(now - 299)).is_ok() && try_at(now + 299, &signed(now + 299)).is_ok());
        for wrong in [
            try_at(now - 301, &signed(now - 301)),
            try_at(now + 301, &signed(now + 301)),
            try_at(now + 1, &signed(now)),
            try_at(now, "v1,AAAA"),
            try_at(now, ""),
        ] {
            assert_eq!(wrong, Err(WebhookError::WrongSignature));
        }
    }

    #[test]
    fn only_objects_are_payloads() {
        for body in ["[]", "3", "{", "\"x\""] {
            let signature = format!("sha256={}", hex::encode(mac(b"s", body)));
            let refused = receive("s", &[("x-hub-signature-256", &signature)], body);
            assert!(matches!(refused, Err(WebhookError::Malformed(_))), "{body}: {refused:?}");
        }
    }
}
