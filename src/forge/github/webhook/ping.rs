//! The event `ping`: GitHub tries out a webhook, and tells how it is set up.

use serde::Deserialize;

use super::{RepositoryPart, covered};
use crate::forge::github::hook::HookPart;
use crate::forge::{ForgeEvent, WebhookError};
use crate::model::RepositoryName;

/// Reads a ping for one of `repositories`, or for an organization, and says what is wrong with the webhook.
pub(super) fn ping(repositories: &[RepositoryName], payload: Payload) -> Result<ForgeEvent, WebhookError> {
    if let Some(name) = payload.repository.and_then(|repository| repository.full_name) {
        covered(repositories, &name)?;
    }
    Ok(ForgeEvent::Ping { complaints: payload.hook.map(|hook| hook.complaints()).unwrap_or_default() })
}

#[derive(Deserialize)]
pub(super) struct Payload {
    hook: Option<HookPart>,
    repository: Option<RepositoryPart>,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn an_organizations_webhook_pings_without_a_repository() {
        let covers = [RepositoryName::parse("acme/shop").expect("legal")];
        let hook = json!({"events": ["*"], "config": {"content_type": "json", "secret": "********"}});
        let payload = |value: Value| serde_json::from_value::<Payload>(value).expect("a ping");
        let event = ping(&covers, payload(json!({"hook": hook, "organization": {"login": "acme"}})));
        assert_eq!(event, Ok(ForgeEvent::Ping { complaints: Vec::new() }));
        let other = ping(&covers, payload(json!({"hook": hook, "repository": {"full_name": "acme/bank"}})));
        assert!(matches!(other, Err(WebhookError::Repository { .. })));
    }
}
