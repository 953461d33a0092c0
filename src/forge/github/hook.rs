//! How a webhook of GitHub is set up, as its ping and the API's list of webhooks tell it, and what is wrong with that.

use serde::Deserialize;

/// The events that Longboat acts on, in the words of GitHub's settings page and of its API.
pub(super) const EVENTS: [(&str, &str); 3] =
    [("push", "Pushes"), ("pull_request", "Pull requests"), ("issue_comment", "Issue comments")];

/// A webhook's settings, in a ping as in the API's list of webhooks.
#[derive(Debug, Default, Deserialize)]
pub(super) struct HookPart {
    pub(super) active: Option<bool>,
    #[serde(default)]
    pub(super) events: Vec<String>,
    #[serde(default)]
    pub(super) config: HookConfig,
    pub(super) last_response: Option<LastResponse>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct HookConfig {
    pub(super) url: Option<String>,
    content_type: Option<String>,
    /// `"0"` or `"1"`, or the number.
    insecure_ssl: Option<serde_json::Value>,
    /// Asterisks if there is one.
    secret: Option<String>,
}

/// How the latest delivery went.
#[derive(Debug, Default, Deserialize)]
pub(super) struct LastResponse {
    pub(super) code: Option<i64>,
    pub(super) message: Option<String>,
}

impl HookPart {
    /// What is wrong with the settings and what to do, one sentence each; nothing that GitHub said is repeated.
    pub(super) fn complaints(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.active == Some(false) {
            found.push("the webhook is switched off; tick \"Active\" in its settings".to_owned());
        }
        // The answer to a webhook in the wrong form is 415, so that this is about the API's list of webhooks.
        if self.config.content_type.as_deref().unwrap_or("form") != "json" {
            found.push("its content type is not application/json; choose that in its settings".to_owned());
        }
        if self.config.secret.as_deref().unwrap_or_default().is_empty() {
            found.push("it has no secret, so its deliveries are refused; enter that of `webhookSecret`".to_owned());
        }
        let all = self.events.iter().any(|event| event == "*");
        let missing: Vec<&str> = EVENTS
            .iter()
            .filter(|(event, _)| !all && !self.events.iter().any(|known| known == event))
            .map(|(_, title)| *title)
            .collect();
        if !missing.is_empty() {
            found.push(format!("it doesn't send {}; tick them in its settings", list(&missing)));
        }
        if self.config.insecure_ssl.as_ref().is_some_and(|flag| flag == "1" || flag == 1) {
            found.push("GitHub doesn't check the certificate of its address; enable SSL verification".to_owned());
        }
        found
    }
}

/// `"Pushes" and "Pull requests"`.
fn list(titles: &[&str]) -> String {
    let quoted: Vec<String> = titles.iter().map(|title| format!("\"{title}\"")).collect();
    match quoted.as_slice() {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        _ => quoted.concat(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn complaints(hook: Value) -> Vec<String> {
        serde_json::from_value::<HookPart>(hook).expect("a hook").complaints()
    }

    fn good() -> Value {
        json!({
            "active": true, "events": ["issue_comment", "pull_request", "push"],
            "config": {"content_type": "json", "insecure_ssl": "0", "secret": "********", "url": "https://cd.example"},
        })
    }

    #[test]
    fn a_webhook_that_is_set_up_well_has_no_complaints() {
        assert!(complaints(good()).is_empty());
        let mut all = good();
        all["events"] = json!(["*"]);
        assert!(complaints(all).is_empty());
    }

    #[test]
    fn each_wrong_setting_is_named_with_what_to_do() {
        for (pointer, value, said) in [
            ("/active", json!(false), "the webhook is switched off; tick \"Active\" in its settings"),
            (
                "/events",
                json!(["push"]),
                "it doesn't send \"Pull requests\" and \"Issue comments\"; tick them in its settings",
            ),
            (
                "/config/content_type",
                json!("form"),
                "its content type is not application/json; choose that in its settings",
            ),
            (
                "/config/secret",
                Value::Null,
                "it has no secret, so its deliveries are refused; enter that of `webhookSecret`",
            ),
            (
                "/config/insecure_ssl",
                json!("1"),
                "GitHub doesn't check the certificate of its address; enable SSL verification",
            ),
            (
                "/config/insecure_ssl",
                json!(1),
                "GitHub doesn't check the certificate of its address; enable SSL verification",
            ),
        ] {
            let mut hook = good();
            *hook.pointer_mut(pointer).expect("it is there") = value;
            assert_eq!(complaints(hook), [said], "{pointer}");
        }
        assert_eq!(complaints(json!({})).len(), 3, "a webhook without anything");
    }
}
