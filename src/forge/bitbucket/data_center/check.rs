//! What a token, its permissions or the webhook of a repository lack. Everything here only reads.

use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::{BitbucketDataCenter, Center, READ};
use crate::forge::bitbucket::answer::{one_line, user_name};
use crate::forge::bitbucket::check::{Hook, Wanted, item, no_token, verdict_of};
use crate::forge::bitbucket::client::Call;
use crate::forge::{CheckItem, CheckVerdict, ForgeError, ForgeErrorKind};
use crate::model::RepositoryName;

/// What is public is shown to nobody as well.
const NOBODY: &str = "the server doesn't say whom the token speaks for: it may have expired, or been taken back";

/// The events that Longboat acts on, first the one of a push.
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
        let wanted = Wanted {
            forge: &self.name,
            address: self.webhook_url.as_ref(),
            secret: self.webhook_secret.is_some(),
            events: &EVENTS,
            permission: "only an administrator's token may look at webhooks",
            above: "project",
        };
        wanted.judge(center.hooks(repository)).await
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
        let parts: Vec<HookPart> = self.list(&path, 100, 3).await?.0;
        // The secret itself may stand there; only whether there is one is looked at.
        let secret = |part: &HookPart| part.configuration.as_ref()?.get("secret").map(|text| text.as_str() != Some(""));
        let hook = |part: HookPart| Hook {
            secret: Some(secret(&part).unwrap_or(false)),
            url: part.url,
            active: part.active != Some(false),
            events: part.events,
        };
        Ok(parts.into_iter().map(hook).collect())
    }
}

#[derive(Deserialize)]
struct HookPart {
    url: Option<String>,
    active: Option<bool>,
    #[serde(default)]
    events: Vec<String>,
    configuration: Option<Value>,
}
