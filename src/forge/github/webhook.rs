//! GitHub's webhooks: the signature over the raw bytes first, then, and only then, what they say.
//!
//! The rules are those of GitHub's page "Validating webhook deliveries": HMAC-SHA256 of the body under
//! the shared secret in `X-Hub-Signature-256`. The older SHA-1 header is never enough. A payload is taken
//! apart by types with optional fields, so that what GitHub adds or leaves out can't break it; and a valid
//! signature speaks only for the repositories that its secret covers.

use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, StatusCode, header};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sha2::Sha256;

use crate::forge::{ForgeEvent, Push};
use crate::model::{CommitSha, RepositoryName};

/// The longest name of a ref that is taken, in bytes; git itself stops at what a file system takes.
const REF_LIMIT: usize = 1000;
/// The longest login that is kept, in characters. GitHub's own limit is 39, plus marks of enterprises and bots.
const LOGIN_LIMIT: usize = 100;

/// One delivery of a webhook; GitHub keeps the id when somebody asks it to deliver again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// `X-GitHub-Delivery`: up to 100 letters, digits and hyphens.
    pub id: String,
}

/// Why a delivery is refused. The text is for the person who looks at the webhook's page on GitHub.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// There's no signature that counts.
    #[error(
        "the delivery has no X-Hub-Signature-256 header: set a secret for this webhook on GitHub, the one that \
         `webhookSecret` of the forge names (the SHA-1 header alone is not accepted)"
    )]
    Unsigned,
    /// The signature is not that of the body.
    #[error("the signature does not match: the webhook's secret on GitHub is not the forge's `webhookSecret`")]
    WrongSignature,
    /// The body isn't sent as JSON.
    #[error("the content type is `{found}`: set the webhook's content type on GitHub to application/json")]
    ContentType {
        /// What was sent, shortened.
        found: String,
    },
    /// The headers or the body are not what GitHub sends.
    #[error("the delivery can't be read: {0}")]
    Malformed(String),
    /// The secret doesn't speak for this repository.
    #[error(
        "this webhook's secret does not cover the repository `{repository}`: add it to `repositories`, or remove the webhook there"
    )]
    Repository {
        /// The repository that the payload names, shortened.
        repository: String,
    },
}

impl WebhookError {
    /// The HTTP status to answer with.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Unsigned | Self::WrongSignature => StatusCode::UNAUTHORIZED,
            Self::ContentType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Repository { .. } => StatusCode::FORBIDDEN,
        }
    }
}

/// Checks a delivery and says what it announces.
///
/// `repositories` are those that `secret` covers; a payload about another one is refused, whoever signed it.
/// Names are compared without regard to case, as GitHub does. Nothing but the signature is looked at before
/// the signature is good.
///
/// # Errors
/// [`WebhookError`], with the status to answer with.
pub fn verify_and_parse(
    secret: &SecretString,
    repositories: &[RepositoryName],
    headers: &HeaderMap,
    body: &[u8],
) -> Result<(Delivery, ForgeEvent), WebhookError> {
    verify(secret, headers, body)?;
    require_json(headers)?;
    let delivery = Delivery { id: word(headers, "x-github-delivery")? };
    let event = match word(headers, "x-github-event")?.as_str() {
        "ping" => {
            let ping: Ping = parse(body)?;
            if let Some(name) = ping.repository.and_then(|repository| repository.full_name) {
                covered(repositories, &name)?;
            }
            ForgeEvent::Ping
        }
        "push" => ForgeEvent::Push(push(repositories, parse(body)?)?),
        other => ForgeEvent::Ignored { event: other.to_owned() },
    };
    Ok((delivery, event))
}

fn verify(secret: &SecretString, headers: &HeaderMap, body: &[u8]) -> Result<(), WebhookError> {
    let mut signatures = headers.get_all("x-hub-signature-256").iter();
    let signature = signatures.next().ok_or(WebhookError::Unsigned)?;
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
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const SECRET: &str = "It's a Secret to Everybody";

    fn sign(body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any length");
        mac.update(body);
        format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
    }

    fn headers(event: &str, body: &[u8]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("x-hub-signature-256", sign(body).parse().expect("ascii"));
        headers.insert("content-type", "application/json".parse().expect("ascii"));
        headers.insert("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958".parse().expect("ascii"));
        headers.insert("x-github-event", event.parse().expect("ascii"));
        headers
    }

    fn shop() -> Vec<RepositoryName> {
        vec![RepositoryName::parse("acme/shop").expect("legal")]
    }

    fn check(headers: &HeaderMap, body: &[u8]) -> Result<ForgeEvent, WebhookError> {
        verify_and_parse(&SecretString::from(SECRET), &shop(), headers, body).map(|(_, event)| event)
    }

    fn push_of(payload: &Value) -> Result<Push, WebhookError> {
        let body = serde_json::to_vec(payload).expect("json");
        match check(&headers("push", &body), &body)? {
            ForgeEvent::Push(push) => Ok(push),
            other => panic!("{other:?} is no push"),
        }
    }

    fn payload() -> Value {
        json!({
            "ref": "refs/heads/main", "before": "a".repeat(40), "after": "b".repeat(40),
            "created": false, "deleted": false, "forced": true,
            "head_commit": {"id": "b".repeat(40), "author": {"name": "mallory", "username": "mallory"}},
            "pusher": {"name": "mallory"}, "sender": {"login": "ann", "id": 7},
            "repository": {"id": 1, "full_name": "Acme/Shop"},
        })
    }

    #[test]
    fn the_signature_of_githubs_own_documentation_is_accepted() {
        // The example of "Validating webhook deliveries" on docs.github.com.
        let mut headers = headers("whatever", b"");
        let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        headers.insert("x-hub-signature-256", signature.parse().expect("ascii"));
        assert_eq!(
            check(&headers, b"Hello, World!"),
            Ok(ForgeEvent::Ignored { event: "whatever".to_owned() }),
            "and the body of an event of no interest isn't read"
        );
    }

    #[test]
    fn what_is_not_signed_over_the_very_bytes_is_refused() {
        let body = br#"{"zen":"Keep it logically awesome."}"#;
        let good = headers("ping", body);
        assert_eq!(check(&good, body), Ok(ForgeEvent::Ping));
        assert_eq!(check(&good, br#"{"zen": "Keep it logically awesome."}"#), Err(WebhookError::WrongSignature));

        let mut unsigned = good.clone();
        unsigned.remove("x-hub-signature-256");
        unsigned.insert("x-hub-signature", "sha1=da39a3ee5e6b4b0d3255bfef95601890afd80709".parse().expect("ascii"));
        assert_eq!(check(&unsigned, body), Err(WebhookError::Unsigned));

        let digits = sign(body).replace("sha256=", "");
        for bad in [digits.clone(), format!("sha1={digits}"), format!("sha256={}", &digits[..62]), "sha256=".into()] {
            let mut headers = good.clone();
            headers.insert("x-hub-signature-256", bad.parse().expect("ascii"));
            assert_eq!(check(&headers, body), Err(WebhookError::WrongSignature), "{bad}");
        }

        let mut twice = good;
        twice.append("x-hub-signature-256", "sha256=00".parse().expect("ascii"));
        assert_eq!(check(&twice, body), Err(WebhookError::WrongSignature));
        assert_eq!(WebhookError::WrongSignature.status(), 401);
    }

    #[test]
    fn an_empty_secret_opens_nothing() {
        let mut mac = Hmac::<Sha256>::new_from_slice(b"").expect("any length");
        mac.update(b"{}");
        let mut headers = headers("ping", b"{}");
        let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
        headers.insert("x-hub-signature-256", signature.parse().expect("ascii"));
        let answer = verify_and_parse(&SecretString::from(""), &shop(), &headers, b"{}");
        assert_eq!(answer, Err(WebhookError::WrongSignature));
    }

    #[test]
    fn a_form_is_refused_with_what_to_change() {
        let body = b"payload=%7B%7D";
        let mut headers = headers("ping", body);
        headers.insert("content-type", "application/x-www-form-urlencoded".parse().expect("ascii"));
        let error = check(&headers, body).expect_err("no form");
        assert_eq!(error.status(), 415);
        assert!(error.to_string().ends_with("set the webhook's content type on GitHub to application/json"), "{error}");

        headers.insert("content-type", "application/json; charset=utf-8".parse().expect("ascii"));
        assert!(matches!(check(&headers, body), Err(WebhookError::Malformed(_))));
    }

    #[test]
    fn a_delivery_needs_a_sane_id_and_an_event() {
        let body = b"{}";
        for (name, value) in [
            ("x-github-delivery", None),
            ("x-github-delivery", Some("")),
            ("x-github-delivery", Some("a b")),
            ("x-github-delivery", Some("../../etc")),
            ("x-github-event", None),
        ] {
            let mut headers = headers("ping", body);
            headers.remove(name);
            if let Some(value) = value {
                headers.insert(name, value.parse().expect("ascii"));
            }
            let error = check(&headers, body).expect_err("refused");
            assert_eq!(error.status(), 400, "{name} {value:?}");
        }
    }

    #[test]
    fn a_push_tells_who_and_what() {
        assert_eq!(
            push_of(&payload()),
            Ok(Push {
                repository_full_name: shop()[0].clone(),
                git_ref: "refs/heads/main".to_owned(),
                before: CommitSha::parse(&"a".repeat(40)).ok(),
                after: CommitSha::parse(&"b".repeat(40)).ok(),
                actor: Some("ann".to_owned()),
                forced: true,
                created: false,
                deleted: false,
            })
        );
    }

    #[test]
    fn zeros_mean_created_and_deleted() {
        for zeros in ["0".repeat(40), "0".repeat(64)] {
            let mut created = payload();
            created["before"] = json!(zeros);
            created["created"] = Value::Null;
            let push = push_of(&created).expect("a push");
            assert!(push.before.is_none() && push.created && !push.deleted);

            let mut deleted = payload();
            deleted["after"] = json!(zeros);
            deleted["head_commit"] = Value::Null;
            let push = push_of(&deleted).expect("a push");
            assert!(push.after.is_none() && push.deleted);
        }
    }

    #[test]
    fn an_annotated_tag_stands_for_its_commit() {
        let mut tag = payload();
        tag["ref"] = json!("refs/tags/v1");
        tag["after"] = json!("c".repeat(40));
        assert_eq!(push_of(&tag).expect("a push").after, CommitSha::parse(&"b".repeat(40)).ok());
        // On a branch, `after` is the commit, whatever the head commit says.
        tag["ref"] = json!("refs/heads/main");
        assert_eq!(push_of(&tag).expect("a push").after, CommitSha::parse(&"c".repeat(40)).ok());
    }

    #[test]
    fn a_repository_that_the_secret_does_not_cover_is_refused() {
        let mut other = payload();
        other["repository"]["full_name"] = json!("acme/bank");
        let error = push_of(&other).expect_err("refused");
        assert_eq!(error, WebhookError::Repository { repository: "acme/bank".to_owned() });
        assert_eq!(error.status(), 403);

        let body = br#"{"repository":{"full_name":"acme/bank"}}"#;
        assert!(matches!(check(&headers("ping", body), body), Err(WebhookError::Repository { .. })));
    }

    #[test]
    fn what_is_missing_or_odd_is_malformed_and_never_a_panic() {
        let mut cases: Vec<(&str, Value)> =
            ["ref", "after", "repository"].into_iter().map(|key| (key, Value::Null)).collect();
        cases.extend([
            ("ref", json!("main")),
            ("ref", json!("refs/heads/../../x")),
            ("ref", json!("refs/heads/a\nb")),
            ("ref", json!(format!("refs/heads/{}", "x".repeat(2000)))),
            ("ref", json!(7)),
            ("after", json!("b".repeat(39))),
            ("after", json!("--upload-pack=x")),
            ("before", json!("Ä".repeat(20))),
            ("repository", json!("acme/shop")),
            ("sender", json!([])),
        ]);
        for (key, value) in cases {
            let mut odd = payload();
            odd[key] = value;
            let error = push_of(&odd).expect_err(key);
            assert_eq!(error.status(), 400, "{key}: {error}");
        }
        let deep = format!("{{\"sender\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        for body in [&b"\xff\xfe"[..], b"", b"null", b"[]", b"{\"ref\":1,\"ref\":2}", deep.as_bytes()] {
            assert!(matches!(check(&headers("push", body), body), Err(WebhookError::Malformed(_))));
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_was_signed_is_read_or_refused(
            body: Vec<u8>,
            key in "ref|before|after|created|deleted|forced|head_commit|repository|sender",
            text in ".{0,80}",
            number: i64,
        ) {
            let _ = check(&headers("push", &body), &body).is_ok();
            for value in [json!(text), json!(number), json!([text]), json!({"id": text, "full_name": text, "login": text})] {
                let mut odd = payload();
                odd[key.as_str()] = value;
                if let Ok(push) = push_of(&odd) {
                    assert_eq!(push.repository_full_name, shop()[0]);
                    assert!(push.git_ref.starts_with("refs/") && !push.git_ref.contains(".."));
                    assert_eq!(push.deleted, push.after.is_none());
                }
            }
        }
    }

    #[test]
    fn an_odd_sender_is_nobody() {
        for login in [json!("a b"), json!(""), json!("x".repeat(101)), Value::Null] {
            let mut odd = payload();
            odd["sender"]["login"] = login;
            assert_eq!(push_of(&odd).expect("a push").actor, None);
        }
    }
}
