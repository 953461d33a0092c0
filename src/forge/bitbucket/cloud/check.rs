//! What a token, its scopes or the webhook of a repository lack. Everything here only reads.

use http::StatusCode;
use serde::Deserialize;

use super::pulls::Anything;
use super::{BitbucketCloud, Cloud, PULL_REQUESTS, Page, STATUSES};
use crate::forge::bitbucket::check::{Hook, Wanted, item, no_token, verdict_of};
use crate::forge::bitbucket::client::{Call, header_of};
use crate::forge::{CheckItem, CheckVerdict, ForgeError, ForgeErrorKind};
use crate::model::RepositoryName;

/// The events that Longboat acts on, first the one of a push.
const EVENTS: [&str; 8] = [
    "repo:push",
    "pullrequest:created",
    "pullrequest:updated",
    "pullrequest:fulfilled",
    "pullrequest:rejected",
    "pullrequest:comment_created",
    "pullrequest:comment_updated",
    "pullrequest:comment_deleted",
];

impl BitbucketCloud {
    pub(super) async fn check_all(&self, repository: &RepositoryName) -> Vec<CheckItem> {
        let Some(cloud) = &self.cloud else {
            return vec![no_token(&self.name)];
        };
        let mut items = Vec::new();
        let Some(scopes) = cloud.check_repository(repository, &mut items).await else { return items };
        items.push(cloud.check_pull_requests(repository, scopes.as_deref()).await);
        items.push(self.check_webhook(cloud, repository).await);
        items
    }

    async fn check_webhook(&self, cloud: &Cloud, repository: &RepositoryName) -> CheckItem {
        let wanted = Wanted {
            forge: &self.name,
            address: self.webhook_url.as_ref(),
            secret: self.webhook_secret.is_some(),
            events: &EVENTS,
            permission: "the token may not look at webhooks (the scope `webhook` would do)",
            above: "workspace",
        };
        wanted.judge(cloud.hooks(repository)).await
    }
}

impl Cloud {
    /// Whether Bitbucket answers, and whose token it is. The access token of a repository, project or workspace may
    /// not ask that, so a refusal says little.
    pub(super) async fn check_access(&self) -> Vec<CheckItem> {
        let call = Call::get("/2.0/user", "the scope `account`");
        let answer = match self.api.ask(call).await {
            Ok(answer) => answer,
            Err(error) => return vec![item("connection", CheckVerdict::Bad, error.message)],
        };
        let mut items = vec![item("connection", CheckVerdict::Good, format!("{} answers", self.api.base()))];
        let error = self.api.refusal(&answer, call);
        items.push(match (answer.status, error.kind) {
            (StatusCode::OK, _) => item("token", CheckVerdict::Good, "it speaks for an account".to_owned()),
            (_, ForgeErrorKind::Auth | ForgeErrorKind::Forbidden) => {
                let message = "it may not say whose it is: an access token of a repository, project or workspace never \
                               may; an API token needs `read:user:bitbucket`, so that its own comments are known again";
                item("token", CheckVerdict::Unknown, message.to_owned())
            }
            _ => item("token", verdict_of(&error), error.message),
        });
        items
    }

    /// The scopes of the token, if Bitbucket tells them; none if nothing else needs to be asked.
    async fn check_repository(
        &self,
        repository: &RepositoryName,
        items: &mut Vec<CheckItem>,
    ) -> Option<Option<String>> {
        let path = match Self::path(repository.as_str()) {
            Ok(path) => path,
            Err(error) => {
                items.push(item("repository", CheckVerdict::Bad, error.message));
                return None;
            }
        };
        let call = Call::get(&path, STATUSES);
        let answer = match self.api.ask(call).await {
            Ok(answer) => answer,
            Err(error) => {
                items.push(item("connection", CheckVerdict::Bad, error.message));
                return None;
            }
        };
        if answer.status != StatusCode::OK {
            let error = self.api.refusal(&answer, call);
            let subject = if error.kind == ForgeErrorKind::Auth { "token" } else { "repository" };
            items.push(item(subject, verdict_of(&error), error.message));
            return None;
        }
        items.push(item("repository", CheckVerdict::Good, format!("`{repository}` can be read, and statuses posted")));
        Some(header_of(&answer.headers, "x-oauth-scopes").map(str::to_owned))
    }

    async fn check_pull_requests(&self, repository: &RepositoryName, scopes: Option<&str>) -> CheckItem {
        let subject = "pull requests";
        let read = async {
            let path = format!("{}/pullrequests?state=OPEN&pagelen=1", Self::path(repository.as_str())?);
            self.api.read::<Anything>(&path, PULL_REQUESTS, "a list").await
        };
        match read.await {
            Err(error) => item(subject, verdict_of(&error), error.message),
            Ok(_) => {
                let told = scopes.map_or_else(String::new, |scopes| format!("; its scopes are {scopes}"));
                item(subject, CheckVerdict::Good, format!("they can be read{told}"))
            }
        }
    }

    async fn hooks(&self, repository: &RepositoryName) -> Result<Vec<Hook>, ForgeError> {
        let path = format!("{}/hooks?pagelen=100", Self::path(repository.as_str())?);
        let page: Page<HookPart> = self.api.read(&path, "the scope `webhook`", "a list of webhooks").await?;
        let hook = |part: HookPart| Hook {
            url: part.url,
            active: part.active != Some(false),
            secret: part.secret_set,
            events: part.events,
        };
        Ok(page.values.into_iter().map(hook).collect())
    }
}

#[derive(Deserialize)]
struct HookPart {
    url: Option<String>,
    active: Option<bool>,
    #[serde(default)]
    events: Vec<String>,
    secret_set: Option<bool>,
}
