//! What a token, its permissions or the webhook of a repository lack. Everything here only reads.

use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::{BitbucketDataCenter, Center, READ};
use crate::forge::bitbucket::answer::{one_line, user_name};
use crate::forge::bitbucket::check::{item, judge, no_token, verdict_of};
use crate::forge::bitbucket::client::Call;
use crate::forge::{CheckItem, CheckVerdict, ForgeError, ForgeErrorKind};
use crate::model::RepositoryName;

/// What is public is shown to nobody as well.
const NOBODY: &str = "the server doesn't say whom the token speaks for: it may have expired, or been taken back";

/// The events that Longboat acts on.
const EVENTS: [&str; 10] = [
    "repo:refs_changed",
    "pr:opened",
    "pr:from_ref_updated",
    "pr:modified",
    "pr:merged",
    "pr:declined",
    "pr:deleted",
    "pr:comment:added",
    "pr:comment:edited",
    "pr:comment:deleted",
];

impl BitbucketDataCenter {
    pub(super) async fn check_all(&self, repository: &RepositoryName) -> Vec<CheckItem> {
        let Some(center) = &self.center else {
            return vec![no_token(&self.name)];
        };
        let mut items = Vec::new();
        if center.check_repository(repository, &mut items).await {
            items.push(center.check_pull_requests(repository).await);
            items.push(self.check_webhook(center, repository).await);
        }
        items
    }

    async fn check_webhook(&self, center: &Center, repository: &RepositoryName) -> CheckItem {
        let subject = "webhook";
        let Some(address) = &self.webhook_url else {
            let message = "`server.publicUrl` is not set, so it isn't known which webhook is Longboat's".to_owned();
            return item(subject, CheckVerdict::Unknown, message);
        };
        if self.webhook_secret.is_none() {
            let message = format!("the forge `{}` has no `webhookSecret`: webhooks are refused", self.name);
            return item(subject, CheckVerdict::Bad, message);
        }
        let hooks = match center.hooks(repository).await {
            Ok(hooks) => hooks,
            Err(error) if error.kind == ForgeErrorKind::Forbidden => {
                let message = "only an administrator's token may look at webhooks; see to it in the repository's \
                               settings, under Webhooks"
                    .to_owned();
                return item(subject, CheckVerdict::Unknown, message);
            }
            Err(error) => return item(subject, verdict_of(&error), error.message),
        };
        let Some(hook) = hooks.iter().find(|hook| hook.url.as_deref() == Some(address)) else {
            let message = format!("no webhook of the repository points to {address}: add one in its settings");
            return item(subject, CheckVerdict::Warning, format!("{message} (one of the project would do as well)"));
        };
        // The secret itself may stand there; only whether there is one is looked at.
        let secret = hook.configuration.as_ref().and_then(|configuration| configuration.get("secret"));
        let secret = secret.is_some_and(|secret| secret.as_str() != Some(""));
        judge(address, hook.active != Some(false), Some(secret), &EVENTS, EVENTS[0], &hook.events)
    }
}

impl Center {
    /// Whether the server answers, how old it is, and whose token it is.
    pub(super) async fn check_access(&self) -> Vec<CheckItem> {
        let call = Call::get("/rest/api/latest/application-properties", READ);
        let answer = match self.api.ask(call).await {
            Ok(answer) => answer,
            Err(error) => return vec![item("connection", CheckVerdict::Bad, error.message)],
        };
        if answer.status != StatusCode::OK {
            let error = self.api.refusal(&answer, call);
            let subject = if error.kind == ForgeErrorKind::Auth { "token" } else { "connection" };
            return vec![item(subject, verdict_of(&error), error.message)];
        }
        let version = serde_json::from_slice::<Value>(&answer.body).ok();
        let version = version.as_ref().and_then(|answer| answer.get("version")?.as_str()).unwrap_or("?");
        let version = one_line(version, 30);
        let items =
            vec![item("connection", CheckVerdict::Good, format!("{} answers, version {version}", self.api.base()))];
        let token = match user_name(&answer.headers) {
            Some(user) => {
                item("token", CheckVerdict::Good, format!("it speaks for the user `{}`", one_line(user, 100)))
            }
            None => item("token", CheckVerdict::Bad, NOBODY.to_owned()),
        };
        items.into_iter().chain([token]).collect()
    }

    /// Whether anything else needs to be asked.
    async fn check_repository(&self, repository: &RepositoryName, items: &mut Vec<CheckItem>) -> bool {
        let path = match Self::path(repository.as_str()) {
            Ok(path) => path,
            Err(error) => {
                items.push(item("repository", CheckVerdict::Bad, error.message));
                return false;
            }
        };
        let call = Call::get(&path, READ);
        let answer = match self.api.ask(call).await {
            Ok(answer) => answer,
            Err(error) => {
                items.push(item("connection", CheckVerdict::Bad, error.message));
                return false;
            }
        };
        if answer.status != StatusCode::OK {
            let error = self.api.refusal(&answer, call);
            let subject = if error.kind == ForgeErrorKind::Auth { "token" } else { "repository" };
            items.push(item(subject, verdict_of(&error), error.message));
            return false;
        }
        if user_name(&answer.headers).is_none() {
            items.push(item("token", CheckVerdict::Bad, NOBODY.to_owned()));
            return false;
        }
        items.push(item("repository", CheckVerdict::Good, format!("`{repository}` can be read, and statuses posted")));
        true
    }

    async fn check_pull_requests(&self, repository: &RepositoryName) -> CheckItem {
        let read = async {
            let path = format!("{}/pull-requests?state=OPEN&limit=1", Self::path(repository.as_str())?);
            self.api.read::<Value>(&path, READ, "a list").await
        };
        match read.await {
            Ok(_) => item("pull requests", CheckVerdict::Good, "they can be read and commented on".to_owned()),
            Err(error) => item("pull requests", verdict_of(&error), error.message),
        }
    }

    async fn hooks(&self, repository: &RepositoryName) -> Result<Vec<Hook>, ForgeError> {
        let path = format!("{}/webhooks", Self::path(repository.as_str())?);
        Ok(self.list(&path, 100, 3).await?.0)
    }
}

#[derive(Deserialize)]
struct Hook {
    url: Option<String>,
    active: Option<bool>,
    #[serde(default)]
    events: Vec<String>,
    configuration: Option<Value>,
}
