//! What GitHub's answers mean when they are not the wanted ones.
//!
//! From GitHub's pages "Rate limits for the REST API" and "Troubleshooting the REST API": 403 and 429 can both mean
//! "too many requests", and then `retry-after`, else `x-ratelimit-reset`, else a minute decides when to go on.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::client::{Answer, Call, one_line};
use crate::clock::Timestamp;
use crate::forge::{ForgeError, ForgeErrorKind};

/// How long to wait if GitHub asks for a pause without saying how long.
const PAUSE: Duration = Duration::from_secs(60);
/// The longest pause that is obeyed: GitHub's limits are per hour, so more is a clock that is wrong.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// The most characters of GitHub's own message that are kept.
const MESSAGE_LIMIT: usize = 300;

/// What an answer that is not the wanted one means.
///
/// `permission` is what a fine-grained token needs for it, in the words of GitHub's settings page.
pub(super) fn classify(answer: &Answer, call: Call<'_>, permission: &str, now: Timestamp) -> ForgeError {
    let status = answer.status;
    let said = github_message(&answer.body);
    let limited = matches!(status.as_u16(), 403 | 429 | 503);
    let kind = match (limited.then(|| pause(&answer.headers, now)).flatten(), status.as_u16()) {
        (Some(until), _) => ForgeErrorKind::RateLimited { until },
        (None, 429) => ForgeErrorKind::RateLimited { until: now.plus(PAUSE) },
        // The secondary limits don't always come with a header.
        (None, 403) if said.to_ascii_lowercase().contains("rate limit") => {
            ForgeErrorKind::RateLimited { until: now.plus(PAUSE) }
        }
        (None, 401) => ForgeErrorKind::Auth,
        (None, 403) => ForgeErrorKind::Forbidden,
        // A commit that GitHub doesn't know is one that it doesn't know yet, or that is gone.
        (None, 404 | 410) => ForgeErrorKind::NotFound,
        (None, 422) if said.starts_with("No commit found") => ForgeErrorKind::NotFound,
        (None, 408) => ForgeErrorKind::Server,
        (None, 400..=499) => ForgeErrorKind::Refused,
        _ => ForgeErrorKind::Server,
    };
    let advice = match kind {
        ForgeErrorKind::Auth => "; check the forge's `token`".to_owned(),
        ForgeErrorKind::Forbidden => {
            format!("; the token needs the permission \"{permission}\" for this repository")
        }
        ForgeErrorKind::NotFound if status == StatusCode::NOT_FOUND => {
            "; there is no such thing, or the token may not see it".to_owned()
        }
        _ => String::new(),
    };
    ForgeError {
        kind,
        message: format!("{}: {} {said}{advice}", call.title(), status.as_u16()),
        // A gateway's 502 or 504 doesn't say what happened behind it; an unexpected 2xx may well be a success.
        may_have_arrived: status.is_server_error() || status.is_success(),
    }
}

/// When GitHub takes requests again, if the answer says that it takes none for now.
fn pause(headers: &HeaderMap, now: Timestamp) -> Option<Timestamp> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let until = if let Some(after) = text("retry-after") {
        match after.parse::<u64>() {
            Ok(seconds) => now.plus(Duration::from_secs(seconds)),
            // The other form that HTTP allows: a date.
            Err(_) => match jiff::fmt::rfc2822::parse(after) {
                Ok(date) => Timestamp::from_millis(date.timestamp().as_millisecond()),
                Err(_) => now.plus(PAUSE),
            },
        }
    } else if text("x-ratelimit-remaining") == Some("0") {
        let reset = text("x-ratelimit-reset").and_then(|seconds| seconds.parse::<i64>().ok());
        reset.map_or_else(|| now.plus(PAUSE), |seconds| Timestamp::from_millis(seconds.saturating_mul(1000)))
    } else {
        return None;
    };
    Some(until.clamp(now.plus(Duration::from_secs(1)), now.plus(LONGEST_PAUSE)))
}

/// Reads a good answer. `what` is for the message if it can't be read: `a list of statuses`.
pub(super) fn read<'a, T: Deserialize<'a>>(answer: &'a Answer, call: Call<'_>, what: &str) -> Result<T, ForgeError> {
    serde_json::from_slice(&answer.body).map_err(|error| ForgeError {
        kind: ForgeErrorKind::Server,
        message: format!("{}: the answer is not {what}: {}", call.title(), one_line(&error.to_string(), MESSAGE_LIMIT)),
        // It was good, so whatever was to be done is done.
        may_have_arrived: call.body.is_some(),
    })
}

/// What GitHub says about an error: `message`, then the details of `errors`; of anything else, the beginning.
fn github_message(body: &[u8]) -> String {
    let Ok(error) = serde_json::from_slice::<ErrorPart>(body) else {
        return one_line(&String::from_utf8_lossy(body.get(..2000).unwrap_or(body)), MESSAGE_LIMIT);
    };
    let details: Vec<String> = match &error.errors {
        Some(Value::Array(items)) => items.iter().take(5).map(detail).collect(),
        Some(other) => vec![detail(other)],
        None => Vec::new(),
    };
    let mut text = error.message.unwrap_or_default();
    if !details.is_empty() {
        text = format!("{text}: {}", details.join(", "));
    }
    one_line(&text, MESSAGE_LIMIT)
}

fn detail(error: &Value) -> String {
    let part = |key: &str| error.get(key).and_then(Value::as_str);
    match (error.as_str().or_else(|| part("message")), part("field"), part("code")) {
        (Some(message), _, _) => message.to_owned(),
        (None, Some(field), Some(code)) => format!("{field} {code}"),
        (None, None, Some(code)) => code.to_owned(),
        _ => error.to_string(),
    }
}

#[derive(Deserialize)]
struct ErrorPart {
    message: Option<String>,
    errors: Option<Value>,
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn answer(status: u16, headers: &[(&'static str, &str)], body: &str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).expect("a status"),
            headers: headers
                .iter()
                .map(|(name, value)| (name.parse().expect("name"), value.parse().expect("value")))
                .collect(),
            body: body.as_bytes().to_vec(),
        }
    }

    fn about(status: u16, headers: &[(&'static str, &str)], body: &str) -> ForgeError {
        let call = Call::with(&Method::POST, "/repos/a/b/statuses/c", &Value::Null);
        classify(&answer(status, headers, body), call, "Commit statuses: write", NOW)
    }

    fn kind(status: u16, headers: &[(&'static str, &str)], body: &str) -> ForgeErrorKind {
        about(status, headers, body).kind
    }

    fn until(seconds: u64) -> ForgeErrorKind {
        ForgeErrorKind::RateLimited { until: NOW.plus(Duration::from_secs(seconds)) }
    }

    #[test]
    fn answers_have_their_meaning() {
        assert_eq!(kind(401, &[], ""), ForgeErrorKind::Auth);
        assert_eq!(
            kind(403, &[], r#"{"message":"Resource not accessible by personal access token"}"#),
            ForgeErrorKind::Forbidden
        );
        assert_eq!(kind(404, &[], ""), ForgeErrorKind::NotFound);
        assert_eq!(kind(422, &[], r#"{"message":"Validation Failed"}"#), ForgeErrorKind::Refused);
        assert_eq!(kind(422, &[], r#"{"message":"No commit found for SHA: 1"}"#), ForgeErrorKind::NotFound);
        assert_eq!(kind(502, &[], "<html>"), ForgeErrorKind::Server);
        assert_eq!(kind(200, &[], "[]"), ForgeErrorKind::Server);
        assert!(about(502, &[], "").may_have_arrived);
        assert!(!about(422, &[], "").may_have_arrived);
    }

    #[test]
    fn a_pause_lasts_as_long_as_github_says() {
        assert_eq!(kind(403, &[("retry-after", "30")], ""), until(30));
        assert_eq!(kind(429, &[("retry-after", "Tue, 14 Nov 2023 22:15:00 GMT")], ""), until(100));
        assert_eq!(kind(503, &[("retry-after", "5")], ""), until(5));
        let spent = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1700000090")];
        assert_eq!(kind(403, &spent, ""), until(90));
        assert_eq!(kind(403, &[("x-ratelimit-remaining", "12")], ""), ForgeErrorKind::Forbidden);
        assert_eq!(kind(429, &[], ""), until(60));
        assert_eq!(kind(403, &[], r#"{"message":"You have exceeded a secondary rate limit."}"#), until(60));
        // Neither a clock that is behind nor nonsense stops the reports for good.
        assert_eq!(kind(429, &[("retry-after", "99999999")], ""), until(3600));
        assert_eq!(kind(429, &[("retry-after", "soon")], ""), until(60));
        assert_eq!(kind(429, &[("retry-after", "0")], ""), until(1));
    }

    #[test]
    fn githubs_words_are_kept() {
        let body = r#"{"message":"Validation Failed","errors":[
            {"resource":"Status","code":"custom","field":"description","message":"description is too long (maximum is 140 characters)"},
            {"resource":"Status","code":"missing_field","field":"state"}],"documentation_url":"https://docs.github.com"}"#;
        let error = about(422, &[], body);
        assert_eq!(
            error.message,
            "POST /repos/a/b/statuses/c: 422 Validation Failed: description is too long (maximum is 140 characters), state missing_field"
        );
        assert_eq!(github_message(b"<html>\n<h1>Oh no</h1>"), "<html> <h1>Oh no</h1>");
        assert_eq!(github_message(&[0xff; 5000]).chars().count(), MESSAGE_LIMIT);
    }
}
