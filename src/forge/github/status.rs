//! Commit statuses, as GitHub's REST API spells them, and what its answers mean.
//!
//! From GitHub's pages "REST API endpoints for commit statuses" and "Rate limits for the REST API": 201 is
//! the only good answer to a new status; 403 and 429 can both mean "too many requests", and then
//! `retry-after`, else `x-ratelimit-reset`, else a minute decides when to go on.

use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Answer, GitHub, one_line};
use crate::clock::Timestamp;
use crate::forge::{Capabilities, Forge, ForgeError, ForgeErrorKind, Markup, PostedStatus};
use crate::model::{CommitSha, CommitStatus, RepositoryName, StatusState};

/// How many statuses a page has: GitHub's maximum.
const PAGE: usize = 100;
/// How many pages are read back at most. GitHub keeps up to 1,000 statuses of a commit and context.
const PAGES: usize = 10;
/// How long to wait if GitHub asks for a pause without saying how long.
const PAUSE: Duration = Duration::from_secs(60);
/// The longest pause that is obeyed: GitHub's limits are per hour, so more is a clock that is wrong.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// The most characters of GitHub's own message that are kept.
const MESSAGE_LIMIT: usize = 300;

#[async_trait]
impl Forge for GitHub {
    fn name(&self) -> &str {
        &self.name
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            statuses: true,
            status_needs_url: false,
            pull_requests: false,
            comment_limit: 65_536,
            markup: Markup { folding: true, hidden_text: true },
        }
    }

    async fn post_status(&self, repo: &str, status: &CommitStatus, target_url: Option<&str>) -> Result<(), ForgeError> {
        let path = format!("{}/statuses/{}", repository_path(repo)?, status.target.commit);
        let mut body = json!({
            "state": status.state,
            "context": status.target.context,
            "description": status.description,
        });
        if let Some(url) = target_url {
            body["target_url"] = json!(url);
        }
        let answer = self.ask(&Method::POST, &path, Some(&body)).await?;
        if answer.status == StatusCode::CREATED {
            Ok(())
        } else {
            Err(classify(&answer, &format!("POST {path}"), self.clock.now()))
        }
    }

    async fn statuses(&self, repo: &str, commit: &CommitSha) -> Result<Vec<PostedStatus>, ForgeError> {
        let mut all = Vec::new();
        for page in 1..=PAGES {
            let statuses = self.page(repo, commit, page).await?;
            let last = statuses.len() < PAGE;
            all.extend(statuses);
            if last {
                break;
            }
        }
        Ok(all)
    }

    async fn newest_status(
        &self,
        repo: &str,
        commit: &CommitSha,
        context: &str,
    ) -> Result<Option<PostedStatus>, ForgeError> {
        for page in 1..=PAGES {
            let statuses = self.page(repo, commit, page).await?;
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
}

impl GitHub {
    async fn ask(&self, method: &Method, path: &str, body: Option<&Value>) -> Result<Answer, ForgeError> {
        self.call(method, path, body).await.map_err(|trouble| ForgeError {
            kind: ForgeErrorKind::Unreachable,
            message: format!("{method} {path}: {}", trouble.message),
            may_have_arrived: trouble.may_have_arrived,
        })
    }

    /// One page of a commit's statuses, newest first.
    async fn page(&self, repo: &str, commit: &CommitSha, page: usize) -> Result<Vec<PostedStatus>, ForgeError> {
        let path = format!("{}/commits/{commit}/statuses?per_page={PAGE}&page={page}", repository_path(repo)?);
        let answer = self.ask(&Method::GET, &path, None).await?;
        if answer.status != StatusCode::OK {
            return Err(classify(&answer, &format!("GET {path}"), self.clock.now()));
        }
        let statuses: Vec<StatusPart> = serde_json::from_slice(&answer.body).map_err(|error| ForgeError {
            kind: ForgeErrorKind::Server,
            message: format!("GET {path}: the answer is no list of statuses: {error}"),
            may_have_arrived: false,
        })?;
        Ok(statuses.into_iter().map(PostedStatus::from).collect())
    }
}

/// Where a repository stands in the API. Its name is checked, because it becomes part of an address.
fn repository_path(repo: &str) -> Result<String, ForgeError> {
    if RepositoryName::parse(repo).is_ok() && repo.split('/').count() == 2 {
        Ok(format!("/repos/{repo}"))
    } else {
        Err(ForgeError {
            kind: ForgeErrorKind::Refused,
            message: format!("`{}` is no repository on GitHub: its name has to be owner/name", one_line(repo, 100)),
            may_have_arrived: false,
        })
    }
}

/// What an answer that is not the wanted one means.
fn classify(answer: &Answer, request: &str, now: Timestamp) -> ForgeError {
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
        ForgeErrorKind::Auth => "; check the forge's `token`",
        ForgeErrorKind::Forbidden => "; the token needs the permission \"Commit statuses: write\" for this repository",
        ForgeErrorKind::NotFound if status == StatusCode::NOT_FOUND => {
            "; the repository or commit doesn't exist, or the token may not see it"
        }
        _ => "",
    };
    ForgeError {
        kind,
        message: format!("{request}: {} {said}{advice}", status.as_u16()),
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

#[cfg(test)]
mod tests {
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

    fn kind(status: u16, headers: &[(&'static str, &str)], body: &str) -> ForgeErrorKind {
        classify(&answer(status, headers, body), "POST /x", NOW).kind
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
        assert!(classify(&answer(502, &[], ""), "", NOW).may_have_arrived);
        assert!(!classify(&answer(422, &[], ""), "", NOW).may_have_arrived);
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
        let error = classify(&answer(422, &[], body), "POST /repos/a/b/statuses/c", NOW);
        assert_eq!(
            error.message,
            "POST /repos/a/b/statuses/c: 422 Validation Failed: description is too long (maximum is 140 characters), state missing_field"
        );
        assert_eq!(github_message(b"<html>\n<h1>Oh no</h1>"), "<html> <h1>Oh no</h1>");
        assert_eq!(github_message(&[0xff; 5000]).chars().count(), MESSAGE_LIMIT);
    }

    #[test]
    fn a_repository_cannot_lead_elsewhere() {
        assert!(repository_path("acme/shop").is_ok());
        for bad in ["shop", "a/b/c", "../x", "a/..", "a/b?x", ""] {
            assert!(repository_path(bad).is_err(), "{bad}");
        }
    }
}
