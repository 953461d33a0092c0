//! Commit statuses, as GitHub's REST API spells them.
//!
//! From GitHub's page "REST API endpoints for commit statuses": 201 is the only good answer to a new status, and a
//! commit keeps up to 1,000 of a context.

use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::account::AuthorPart;
use super::answer::read;
use super::client::{Api, Call};
use super::repository_path;
use crate::forge::{ForgeError, PostedStatus};
use crate::model::{CommitSha, CommitStatus, StatusState};

/// How many statuses a page has: GitHub's maximum.
const PAGE: usize = 100;
/// How many pages are read back at most. GitHub keeps up to 1,000 statuses of a commit and context.
const PAGES: usize = 10;
/// What a token needs to write and read them.
const PERMISSION: &str = "Commit statuses: write";

impl Api {
    pub(super) async fn post_status(
        &self,
        repo: &str,
        status: &CommitStatus,
        target_url: Option<&str>,
    ) -> Result<(), ForgeError> {
        let path = format!("{}/statuses/{}", repository_path(repo)?, status.target.commit);
        let mut body = json!({
            "state": status.state,
            "context": status.target.context,
            "description": status.description,
        });
        if let Some(url) = target_url {
            body["target_url"] = json!(url);
        }
        let call = Call::with(&Method::POST, &path, &body);
        let answer = self.ask(call).await?;
        if answer.status == StatusCode::CREATED {
            // It counts, whatever else the answer says.
            if let Ok(written) = serde_json::from_slice::<Written>(&answer.body) {
                self.account.wrote(written.creator.as_ref());
            }
            Ok(())
        } else {
            Err(self.refusal(&answer, call, PERMISSION))
        }
    }

    pub(super) async fn statuses(&self, repo: &str, commit: &CommitSha) -> Result<Vec<PostedStatus>, ForgeError> {
        let mut all = Vec::new();
        for page in 1..=PAGES {
            let statuses = self.page_of_statuses(repo, commit, page).await?;
            let last = statuses.len() < PAGE;
            all.extend(statuses);
            if last {
                break;
            }
        }
        Ok(all)
    }

    pub(super) async fn newest_status(
        &self,
        repo: &str,
        commit: &CommitSha,
        context: &str,
    ) -> Result<Option<PostedStatus>, ForgeError> {
        for page in 1..=PAGES {
            let statuses = self.page_of_statuses(repo, commit, page).await?;
            let last = statuses.len() < PAGE;
            if let Some(found) = statuses.into_iter().find(|status| status.context == context) {
                return Ok(Some(found));
            }
            if last {
                break;
            }
        }
        Ok(None)
    }

    /// One page of a commit's statuses, newest first.
    async fn page_of_statuses(
        &self,
        repo: &str,
        commit: &CommitSha,
        page: usize,
    ) -> Result<Vec<PostedStatus>, ForgeError> {
        let path = format!("{}/commits/{commit}/statuses?per_page={PAGE}&page={page}", repository_path(repo)?);
        let call = Call::get(&path);
        let answer = if page == 1 { self.ask(call).await? } else { self.ask_on(call).await? };
        if answer.status != StatusCode::OK {
            return Err(self.refusal(&answer, call, PERMISSION));
        }
        let statuses: Vec<StatusPart> = read(&answer, call, "a list of statuses")?;
        Ok(statuses.into_iter().map(PostedStatus::from).collect())
    }
}

/// The answer to a new status.
#[derive(Deserialize)]
struct Written {
    creator: Option<AuthorPart>,
}

#[derive(Deserialize)]
struct StatusPart {
    context: Option<String>,
    state: StatusState,
    description: Option<String>,
    target_url: Option<String>,
}

impl From<StatusPart> for PostedStatus {
    fn from(status: StatusPart) -> Self {
        Self {
            context: status.context.unwrap_or_else(|| "default".to_owned()),
            state: status.state,
            description: status.description.unwrap_or_default(),
            target_url: status.target_url.filter(|url| !url.is_empty()),
        }
    }
}
