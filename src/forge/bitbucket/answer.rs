//! What the answers of both Bitbuckets mean when they are not the wanted ones.
//!
//! Cloud says `{"type": "error", "error": {"message", "detail", "fields"}}`, Data Center
//! `{"errors": [{"context", "message", "exceptionName"}]}`. Both answer 429 when there are too many requests, and not
//! always say for how long. Data Center says 401 to somebody it knows, too, if they may not do a thing.

use std::time::Duration;

use http::HeaderMap;
use serde::Deserialize;
use serde_json::Value;

use super::client::{Call, header_of};
use crate::clock::Timestamp;
use crate::forge::{ForgeError, ForgeErrorKind};
use crate::outbound::Answer;

/// How long to wait if Bitbucket asks for a pause without saying how long.
const PAUSE: Duration = Duration::from_secs(60);
/// The longest pause that is obeyed: Bitbucket's limits are per hour, so more is a clock that is wrong.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// The most characters of Bitbucket's own message that are kept.
const MESSAGE_LIMIT: usize = 300;

/// Which of the two it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Product {
    Cloud,
    DataCenter,
}

impl Product {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Cloud => "Bitbucket Cloud",
            Self::DataCenter => "Bitbucket Data Center",
        }
    }

    pub(super) const fn repository_form(self) -> &'static str {
        match self {
            Self::Cloud => "workspace/repository",
            Self::DataCenter => "PROJECT/repository",
        }
    }
}

/// What an answer that is not the wanted one means.
pub(super) fn classify(product: Product, answer: &Answer, call: Call<'_>, now: Timestamp) -> ForgeError {
    let status = answer.status;
    let (said, _) = message(&answer.body);
    let limited = matches!(status.as_u16(), 403 | 429 | 503);
    let known_user = product == Product::DataCenter && user_name(&answer.headers).is_some();
    let kind = match (limited.then(|| pause(&answer.headers, now)).flatten(), status.as_u16()) {
        (Some(until), _) => ForgeErrorKind::RateLimited { until },
        (None, 429) => ForgeErrorKind::RateLimited { until: now.plus(PAUSE) },
        (None, 401) if known_user => ForgeErrorKind::Forbidden,
        (None, 401) => ForgeErrorKind::Auth,
        (None, 403) => ForgeErrorKind::Forbidden,
        (None, 404 | 410) => ForgeErrorKind::NotFound,
        (None, 408 | 409) => ForgeErrorKind::Server,
        (None, 400..=499) => ForgeErrorKind::Refused,
        _ => ForgeErrorKind::Server,
    };
    let advice = match kind {
        ForgeErrorKind::Auth => "; check the forge's `token`, and `user` if it has one".to_owned(),
        ForgeErrorKind::Forbidden => format!("; the token needs {} for this repository", call.permission),
        ForgeErrorKind::NotFound => "; there is no such thing, or the token may not see it".to_owned(),
        _ => String::new(),
    };
    // Some of its messages are sentences.
    let said = if advice.is_empty() { said.as_str() } else { said.trim_end_matches('.') };
    ForgeError {
        kind,
        message: format!("{}: {} {said}{advice}", call.title(), status.as_u16()),
        // A gateway's 502 or 504 doesn't say what happened behind it; an unexpected 2xx may well be a success.
        may_have_arrived: status.is_server_error() || status.is_success(),
    }
}

/// Whom Data Center took the sender for, if for anybody.
pub(super) fn user_name(headers: &HeaderMap) -> Option<&str> {
    header_of(headers, "x-ausername").filter(|name| *name != "anonymous")
}

/// Whether a Data Center has no such address at all: where it knows the address and not the thing, it names the
/// exception.
pub(super) fn is_unknown_address(answer: &Answer) -> bool {
    answer.status.as_u16() == 404 && message(&answer.body).1.is_none()
}

/// When requests are taken again, if the answer says that none are for now.
fn pause(headers: &HeaderMap, now: Timestamp) -> Option<Timestamp> {
    let until = if let Some(after) = header_of(headers, "retry-after") {
        match after.parse::<u64>() {
            Ok(seconds) => now.plus(Duration::from_secs(seconds)),
            // The other form that HTTP allows: a date.
            Err(_) => match jiff::fmt::rfc2822::parse(after) {
                Ok(date) => Timestamp::from_millis(date.timestamp().as_millisecond()),
                Err(_) => now.plus(PAUSE),
            },
        }
    } else if header_of(headers, "x-ratelimit-remaining") == Some("0") {
        let reset = header_of(headers, "x-ratelimit-reset").and_then(|seconds| seconds.parse::<i64>().ok());
        reset.map_or_else(|| now.plus(PAUSE), |seconds| Timestamp::from_millis(seconds.saturating_mul(1000)))
    } else {
        return None;
    };
    Some(until.clamp(now.plus(Duration::from_secs(1)), now.plus(LONGEST_PAUSE)))
}

/// What Bitbucket says about an error, and the exception's name if it says one; of anything else, the beginning.
fn message(body: &[u8]) -> (String, Option<String>) {
    let Ok(part) = serde_json::from_slice::<ErrorPart>(body) else {
        return (one_line(&String::from_utf8_lossy(body.get(..2000).unwrap_or(body)), MESSAGE_LIMIT), None);
    };
    let mut texts: Vec<String> = Vec::new();
    let mut exception = None;
    if let Some(error) = part.error {
        texts.extend(error.message);
        texts.extend(error.detail.and_then(|detail| detail.as_str().map(str::to_owned)));
        if let Some(Value::Object(fields)) = error.fields {
            texts.extend(fields.iter().take(5).map(|(field, trouble)| format!("{field}: {}", first(trouble))));
        }
    }
    for error in part.errors.into_iter().flatten().take(5) {
        texts.extend(error.message);
        exception = exception.or(error.exception_name);
    }
    (one_line(&texts.join(": "), MESSAGE_LIMIT), exception)
}

fn first(trouble: &Value) -> String {
    let text = trouble.as_array().and_then(|texts| texts.first()).unwrap_or(trouble);
    text.as_str().map_or_else(|| text.to_string(), str::to_owned)
}

/// At most `limit` characters of a foreign text, in one line.
pub(super) fn one_line(text: &str, limit: usize) -> String {
    let words = text.split(|letter: char| letter.is_whitespace() || letter.is_control());
    let line = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    if line.chars().count() <= limit {
        return line;
    }
    let mut cut: String = line.chars().take(limit.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

#[derive(Deserialize)]
struct ErrorPart {
    error: Option<CloudError>,
    errors: Option<Vec<DataCenterError>>,
}

#[derive(Deserialize)]
struct CloudError {
    message: Option<String>,
    detail: Option<Value>,
    fields: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DataCenterError {
    message: Option<String>,
    exception_name: Option<String>,
}

#[cfg(test)]
mod tests {
    use http::{Method, StatusCode};

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn about(product: Product, status: u16, headers: &[(&'static str, &str)], body: &str) -> ForgeError {
        let answer = Answer {
            status: StatusCode::from_u16(status).expect("a status"),
            headers: headers
                .iter()
                .map(|(name, value)| (name.parse().expect("name"), value.parse().expect("value")))
                .collect(),
            body: body.as_bytes().to_vec(),
        };
        let call = Call::with(&Method::POST, "/x", &Value::Null, "the scope `pullrequest:write`");
        classify(product, &answer, call, NOW)
    }

    fn kind(status: u16, headers: &[(&'static str, &str)]) -> ForgeErrorKind {
        about(Product::Cloud, status, headers, "").kind
    }

    fn until(seconds: u64) -> ForgeErrorKind {
        ForgeErrorKind::RateLimited { until: NOW.plus(Duration::from_secs(seconds)) }
    }

    #[test]
    fn answers_have_their_meaning() {
        for (status, expected) in [
            (400, ForgeErrorKind::Refused),
            (401, ForgeErrorKind::Auth),
            (403, ForgeErrorKind::Forbidden),
            (404, ForgeErrorKind::NotFound),
            (409, ForgeErrorKind::Server),
            (410, ForgeErrorKind::NotFound),
            (502, ForgeErrorKind::Server),
            (200, ForgeErrorKind::Server),
        ] {
            assert_eq!(kind(status, &[]), expected, "{status}");
        }
        assert!(about(Product::Cloud, 502, &[], "").may_have_arrived);
        assert!(!about(Product::Cloud, 400, &[], "").may_have_arrived);
        // Data Center's 401 to somebody whom it names is no bad token.
        let named = [("x-ausername", "ann")];
        assert_eq!(about(Product::DataCenter, 401, &named, "").kind, ForgeErrorKind::Forbidden);
        assert_eq!(about(Product::DataCenter, 401, &[], "").kind, ForgeErrorKind::Auth);
        assert_eq!(about(Product::DataCenter, 401, &[("x-ausername", "anonymous")], "").kind, ForgeErrorKind::Auth);
    }

    #[test]
    fn a_pause_lasts_as_long_as_bitbucket_says() {
        assert_eq!(kind(429, &[("retry-after", "30")]), until(30));
        assert_eq!(kind(503, &[("retry-after", "5")]), until(5));
        assert_eq!(kind(429, &[("retry-after", "Tue, 14 Nov 2023 22:15:00 GMT")]), until(100));
        assert_eq!(kind(429, &[]), until(60));
        assert_eq!(kind(429, &[("retry-after", "soon")]), until(60));
        assert_eq!(kind(429, &[("retry-after", "99999999")]), until(3600));
        assert_eq!(kind(429, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1700000090")]), until(90));
    }

    #[test]
    fn bitbuckets_words_are_kept() {
        let cloud = r#"{"type":"error","error":{"message":"Bad request","fields":{"url":["Enter a valid URL."]},"detail":"Look again"}}"#;
        assert_eq!(
            about(Product::Cloud, 400, &[], cloud).message,
            "POST /x: 400 Bad request: Look again: url: Enter a valid URL."
        );
        let center = r#"{"errors":[{"context":null,"message":"Repository A/b does not exist.","exceptionName":"com.atlassian.bitbucket.repository.NoSuchRepositoryException"}]}"#;
        assert_eq!(
            about(Product::DataCenter, 404, &[], center).message,
            "POST /x: 404 Repository A/b does not exist; there is no such thing, or the token may not see it"
        );
        let forbidden = about(Product::Cloud, 403, &[], "<html>\n<b>No</b>").message;
        assert_eq!(
            forbidden,
            "POST /x: 403 <html> <b>No</b>; the token needs the scope `pullrequest:write` for this repository"
        );
        assert_eq!(message(&[0xff; 5000]).0.chars().count(), MESSAGE_LIMIT);
    }
}
