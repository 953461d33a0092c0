//! What a `webhook` trigger asks of a payload.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Start;

/// The largest compiled pattern, in bytes.
const MAX_PATTERN: usize = 1 << 20;

/// Starts the pipeline when a custom webhook comes whose payload fits.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WebhookTrigger {
    /// Where it comes from: the last part of its address, and a key of the server's configuration.
    pub source: String,
    /// Places of the payload and the regular expressions that have to match in each; all have to.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub payload_constraints: IndexMap<String, String>,
    /// What a start gets.
    #[serde(flatten)]
    pub start: Start,
}

impl WebhookTrigger {
    /// Whether a payload fits. A place that isn't there fits nothing, and neither does a pattern that can't be read.
    pub fn accepts(&self, payload: &Value) -> bool {
        self.payload_constraints.iter().all(|(place, pattern)| {
            let Some(found) = at(payload, place) else { return false };
            let text = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
            payload_pattern(pattern).is_ok_and(|pattern| pattern.is_match(&text))
        })
    }
}

/// The value at a place of a payload: a key as it stands, a JSON pointer (`/a/0/b`), or a path (`a.b`, `$.a[0].b`).
fn at<'a>(payload: &'a Value, place: &str) -> Option<&'a Value> {
    if let Some(found) = payload.get(place) {
        return Some(found);
    }
    if place.starts_with('/') {
        return payload.pointer(place);
    }
    let path = place.strip_prefix("$.").unwrap_or(place);
    path.split(['.', '[']).try_fold(payload, |value, step| {
        let step = step.strip_suffix(']').unwrap_or(step).trim_matches(['\'', '"']);
        match value {
            Value::Array(items) => items.get(step.parse::<usize>().ok()?),
            value => value.get(step),
        }
    })
}

/// A pattern of a constraint, which may match anywhere in the text, as in Spinnaker.
///
/// # Errors
/// If it can't be read, or is too large.
pub fn payload_pattern(pattern: &str) -> Result<regex::Regex, regex::Error> {
    regex::RegexBuilder::new(pattern).size_limit(MAX_PATTERN).build()
}

/// Whether a text can name the source of custom webhooks.
pub fn is_hook_source(text: &str) -> bool {
    let sane = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=63).contains(&text.len()) && text.bytes().all(sane)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_constraints_have_to_fit_wherever_they_point() {
        let payload = json!({"action": "completed", "a.b": 1, "run": {"id": 17, "tags": ["x", "v1"]}, "ok": true});
        let fits = |constraints: Value| {
            let constraints = serde_json::from_value(constraints).expect("texts");
            WebhookTrigger { payload_constraints: constraints, ..WebhookTrigger::default() }.accepts(&payload)
        };
        for good in [
            json!({}),
            json!({"action": "complete"}),
            json!({"action": "^completed$", "/run/id": "^17$", "run.tags[1]": "^v", "$.run.tags[0]": "x"}),
            json!({"a.b": "1", "ok": "true", "/run/tags/1": "v1"}),
        ] {
            assert!(fits(good.clone()), "{good}");
        }
        for bad in [
            json!({"action": "^complete$"}),
            json!({"action": "completed", "missing": ".*"}),
            json!({"run.tags[2]": ""}),
            json!({"action": "("}),
            json!({"/run/id": "^7"}),
        ] {
            assert!(!fits(bad.clone()), "{bad}");
        }
    }

    #[test]
    fn sources_are_plain_words() {
        assert!(is_hook_source("nightly-Build_2"));
        for bad in ["", "a/b", "a b", "ä", &"x".repeat(64)] {
            assert!(!is_hook_source(bad), "{bad}");
        }
    }
}
