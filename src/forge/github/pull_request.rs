//! Pull requests, read from GitHub's REST API.
//!
//! From GitHub's pages "REST API endpoints for pull requests" and "Best practices for using the REST API": an answer
//! with an `ETag` can be asked for again under `If-None-Match`, and 304 costs nothing of the allowance.

use http::StatusCode;

use super::answer::read;
use super::client::{Api, Call};
use super::list::{List, PAGE};
use super::repository_path;
use super::wire::PullRequestPart;
use crate::forge::{ForgeError, ForgeErrorKind, Listing, Validator};
use crate::model::{PullRequest, RepositoryName};

/// How many open pull requests of a repository are read.
const OPEN: usize = 1000;
/// What a token needs to read them.
const PERMISSION: &str = "Pull requests: read";

impl Api {
    pub(super) async fn pull_request(
        &self,
        repository: &RepositoryName,
        number: u64,
    ) -> Result<PullRequest, ForgeError> {
        let path = format!("{}/pulls/{number}", repository_path(repository.as_str())?);
        let call = Call::get(&path);
        let answer = self.ask(call).await?;
        if answer.status != StatusCode::OK {
            return Err(self.refusal(&answer, call, PERMISSION));
        }
        let part: PullRequestPart = read(&answer, call, "a pull request")?;
        let odd = |message: String| ForgeError {
            kind: ForgeErrorKind::Server,
            message: format!("{}: the answer is odd: {message}", call.title()),
            may_have_arrived: false,
        };
        let found = part.into_model(repository).map_err(odd)?;
        if found.number == number { Ok(found) } else { Err(odd(format!("it is about #{}", found.number))) }
    }

    pub(super) async fn open_pull_requests(
        &self,
        repository: &RepositoryName,
        since: Option<&Validator>,
    ) -> Result<Listing, ForgeError> {
        let address = format!("{}/pulls?state=open&sort=updated&direction=desc", repository_path(repository.as_str())?);
        let list = List { address: &address, what: "pull requests", permission: PERMISSION, limit: OPEN };
        if let Some(since) = since
            && self.is_unchanged(list, since).await?
        {
            return Ok(Listing::Unchanged);
        }
        let mut open = Vec::new();
        let whole = self
            .list(list, |part: PullRequestPart| {
                let number = part.number;
                match part.into_model(repository) {
                    Ok(found) => open.push(found),
                    // The others are no less open for it.
                    Err(reason) => tracing::warn!(%repository, number, reason, "a pull request is odd and left out"),
                }
            })
            .await?;
        let validator = (!whole.names.is_empty()).then(|| Validator(whole.names.join("\n")));
        Ok(Listing::Changed { open, truncated: whole.truncated, validator })
    }

    /// Whether each page is what it was. Every page has to be asked: one that is closed leaves the first page as it is
    /// if it stood on the second.
    async fn is_unchanged(&self, list: List<'_>, since: &Validator) -> Result<bool, ForgeError> {
        for (index, name) in since.0.split('\n').enumerate() {
            let path = list.page(PAGE, index + 1);
            let name = Validator(name.to_owned());
            let call = Call { unless: Some(&name), ..Call::get(&path) };
            let asked = if index == 0 { self.try_ask(call).await } else { self.try_ask_on(call).await };
            match asked {
                Ok(answer) if answer.status == StatusCode::NOT_MODIFIED => {}
                Ok(answer) if answer.status == StatusCode::OK => return Ok(false),
                Ok(answer) => return Err(self.refusal(&answer, call, PERMISSION)),
                // It has changed, and too much for one answer.
                Err(trouble) if trouble.too_long => return Ok(false),
                Err(trouble) => return Err(self.trouble(call, trouble)),
            }
        }
        Ok(true)
    }
}
