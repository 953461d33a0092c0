//! What is kept of an answer: enough to work with, and never much.

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::outbound::Answer;

/// The most bytes of a body that is kept as JSON, or as text. Two of them and the headers fit into a checkpoint.
const MAX_KEPT: usize = 20 * 1024;
/// The most headers, and the most bytes of one's value.
const MAX_HEADERS: usize = 40;
const MAX_HEADER: usize = 512;
/// The longest pause that a server may ask for, in seconds.
const MAX_RETRY_AFTER: u64 = 60;

/// Headers that are not kept: they are for the one connection, or open sessions.
const LEFT_OUT: &[&str] = &["set-cookie", "connection", "keep-alive", "transfer-encoding", "content-length", "date"];

/// What is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Kept {
    status_code: u16,
    /// JSON if it is JSON, else text.
    body: Value,
    /// Only the beginning of the body was kept, as text.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    body_cut: bool,
    headers: Map<String, Value>,
}

impl Kept {
    pub(super) fn of(answer: &Answer) -> Self {
        let (body, body_cut) = match json_of(answer) {
            Some(body) if body.to_string().len() <= MAX_KEPT => (body, false),
            _ => {
                let text = String::from_utf8_lossy(&answer.body);
                let kept = beginning(&text);
                let cut = kept.len() < text.len();
                (if kept.is_empty() { Value::Null } else { Value::String(kept.to_owned()) }, cut)
            }
        };
        let mut headers = Map::new();
        for name in answer.headers.keys().filter(|name| !LEFT_OUT.contains(&name.as_str())).take(MAX_HEADERS) {
            let values = answer.headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
            let text: String = values.collect::<Vec<_>>().join(", ").chars().take(MAX_HEADER).collect();
            headers.insert(name.to_string(), Value::String(text));
        }
        Self { status_code: answer.status.as_u16(), body, body_cut, headers }
    }

    /// As outputs: Spinnaker's `statusCodeValue` is there as well.
    pub(super) fn outputs(&self) -> Map<String, Value> {
        let mut outputs = match serde_json::to_value(self) {
            Ok(Value::Object(outputs)) => outputs,
            _ => Map::new(),
        };
        outputs.insert("statusCodeValue".to_owned(), json!(self.status_code));
        outputs
    }
}

/// As much of a text as may be kept, counted as it is written in JSON.
fn beginning(text: &str) -> &str {
    let mut left = MAX_KEPT;
    let written = |letter: char| match letter {
        '"' | '\\' | '\n' | '\r' | '\t' => 2,
        _ if letter.is_control() => 6,
        _ => letter.len_utf8(),
    };
    let end = text.char_indices().find(|(_, letter)| match left.checked_sub(written(*letter)) {
        Some(rest) => {
            left = rest;
            false
        }
        None => true,
    });
    end.map_or(text, |(end, _)| &text[..end])
}

/// The body as JSON, if it is.
pub(super) fn json_of(answer: &Answer) -> Option<Value> {
    serde_json::from_slice(&answer.body).ok()
}

/// The beginning of the body as one line, for an error.
pub(super) fn excerpt(answer: &Answer) -> String {
    let is_page = answer.header(CONTENT_TYPE.as_str()).is_some_and(|kind| kind.starts_with("text/html"));
    let text = String::from_utf8_lossy(&answer.body[..answer.body.len().min(600)]).into_owned();
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let line: String = line.chars().filter(|letter| !letter.is_control()).take(200).collect();
    if line.is_empty() || is_page { String::new() } else { format!(": {line}") }
}

/// How long the server asks to be left alone.
pub(super) fn retry_after(answer: &Answer) -> Option<std::time::Duration> {
    let seconds: u64 = answer.header(RETRY_AFTER.as_str())?.parse().ok()?;
    Some(std::time::Duration::from_secs(seconds.min(MAX_RETRY_AFTER)))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, StatusCode};

    use super::*;

    fn answer(body: impl Into<Vec<u8>>) -> Answer {
        Answer { status: StatusCode::OK, headers: HeaderMap::new(), body: body.into() }
    }

    #[test]
    fn json_stays_json_and_the_rest_is_text_and_never_much() {
        let kept = |body: &str| Kept::of(&answer(body));
        assert_eq!(kept(r#"{"a": [1]}"#).body, json!({"a": [1]}));
        assert_eq!(kept("done").body, json!("done"));
        assert_eq!(kept("").body, Value::Null);
        let long = kept(&format!("[\"{}\"]", "ü".repeat(MAX_KEPT)));
        assert!(long.body_cut && long.body.as_str().is_some_and(|text| text.len() <= MAX_KEPT && text.ends_with('ü')));
        assert_eq!(Kept::of(&answer(vec![0xff, 0xfe])).body, json!("\u{fffd}\u{fffd}"));
    }

    #[test]
    fn headers_are_bounded_and_cookies_left_out() {
        let mut answer = answer("");
        for number in 0..100 {
            let name = http::HeaderName::try_from(format!("x-{number}")).expect("a name");
            answer.headers.append(name, HeaderValue::try_from("v".repeat(4000)).expect("a value"));
        }
        answer.headers.insert("set-cookie", HeaderValue::from_static("session=secret"));
        let text = serde_json::to_string(&Kept::of(&answer)).expect("JSON");
        assert!(text.len() < 30_000 && !text.contains("session"), "{}", text.len());
    }
}
