//! What a token, its permissions or a webhook lack, found out without changing anything.
//!
//! A classic token's scopes stand in a header of each answer (GitHub's page "Scopes for OAuth apps"). A fine-grained
//! token and that of an App don't tell what they may do; what they may read is tried, and whether they may write
//! statuses is asked about the commit of zeros, which can't exist: GitHub answers 422 if only the commit is missing.

use http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::read;
use super::client::{Answer, Api, Call, one_line};
use super::hook::HookPart;
use super::repository_path;
use crate::forge::{CheckItem, CheckVerdict, ForgeErrorKind};
use crate::model::RepositoryName;

/// Below which part of the allowance of requests it is said to be short.
const SHORT: u64 = 10;

/// The webhook that there should be.
pub(super) struct Wanted {
    /// Whether the configuration has a secret for it.
    pub(super) secret: bool,
    /// Where it should send its deliveries, if the configuration has the server's public address.
    pub(super) address: Option<String>,
}

/// What a token may do as far as it tells: the scopes of a classic one.
struct Scopes(Option<Vec<String>>);

impl Scopes {
    fn of(headers: &HeaderMap) -> Self {
        let text = headers.get("x-oauth-scopes").and_then(|value| value.to_str().ok());
        Self(text.map(|text| text.split(',').map(|scope| scope.trim().to_owned()).collect()))
    }

    /// Whether one of them is enough; none if the token doesn't tell.
    fn have(&self, any: &[&str]) -> Option<bool> {
        self.0.as_ref().map(|scopes| scopes.iter().any(|scope| any.contains(&scope.as_str())))
    }
}

fn good(subject: &str, message: impl Into<String>) -> CheckItem {
    CheckItem::new(subject, CheckVerdict::Good, message)
}

fn bad(subject: &str, message: impl Into<String>) -> CheckItem {
    CheckItem::new(subject, CheckVerdict::Bad, message)
}

fn warning(subject: &str, message: impl Into<String>) -> CheckItem {
    CheckItem::new(subject, CheckVerdict::Warning, message)
}

fn unknown(subject: &str, message: impl Into<String>) -> CheckItem {
    CheckItem::new(subject, CheckVerdict::Unknown, message)
}

impl Api {
    /// Whether GitHub answers and takes the token.
    pub(super) async fn check_access(&self) -> Vec<CheckItem> {
        let call = Call::get("/user");
        let answer = match self.ask(call).await {
            Ok(answer) => answer,
            Err(error) => return vec![bad("connection", error.message)],
        };
        let mut items = vec![good("connection", format!("{} answers", self.base()))];
        let error = self.refusal(&answer, call, "");
        items.push(match (answer.status, error.kind) {
            (StatusCode::OK, _) => token_of_a_person(&answer),
            (_, ForgeErrorKind::Auth) => bad("token", "GitHub doesn't take it (401): it is wrong, expired or revoked"),
            (_, ForgeErrorKind::RateLimited { until }) => warning(
                "token",
                format!("there were too many requests; GitHub takes none until {}", until.to_rfc3339()),
            ),
            (StatusCode::FORBIDDEN, _) => good("token", "that of a GitHub App"),
            _ => bad("token", error.message),
        });
        items.extend(self.allowance());
        items
    }

    fn allowance(&self) -> Option<CheckItem> {
        let budget = self.budget()?;
        let text = format!(
            "{} of {} requests are left until {}",
            budget.remaining,
            budget.limit,
            budget.resets_at.to_rfc3339()
        );
        let short = budget.remaining < budget.limit / SHORT;
        Some(if short { warning("allowance", text) } else { good("allowance", text) })
    }

    /// Whether a repository can be used as Longboat uses it.
    pub(super) async fn check(&self, repository: &RepositoryName, webhook: &Wanted) -> Vec<CheckItem> {
        let path = match repository_path(repository.as_str()) {
            Ok(path) => path,
            Err(error) => return vec![bad("repository", error.message)],
        };
        let call = Call::get(&path);
        let answer = match self.ask(call).await {
            Ok(answer) if answer.status == StatusCode::OK => answer,
            Ok(answer) => {
                let error = self.refusal(&answer, call, "Metadata: read");
                return vec![bad("repository", error.message)];
            }
            Err(error) => return vec![bad("repository", error.message)],
        };
        let found: RepositoryPart = match read(&answer, call, "a repository") {
            Ok(found) => found,
            Err(error) => return vec![bad("repository", error.message)],
        };
        let scopes = Scopes::of(&answer.headers);
        let mut items = vec![found.item(repository)];
        items.push(self.readable("contents", &format!("{path}/branches?per_page=1"), "Contents: read").await);
        items.push(self.statuses_writable(&path, &scopes, found.private.unwrap_or(true)).await);
        items.push(self.comments_writable(&path, &scopes, found.private.unwrap_or(true)).await);
        items.push(self.webhook(&path, found.html_url.as_deref(), webhook).await);
        items
    }

    /// Tries to read something.
    async fn readable(&self, subject: &str, path: &str, permission: &str) -> CheckItem {
        let call = Call::get(path);
        match self.ask(call).await {
            Ok(answer) if answer.status == StatusCode::OK => good(subject, "can be read"),
            Ok(answer) => bad(subject, self.refused(&answer, call, permission)),
            Err(error) => unknown(subject, error.message),
        }
    }

    async fn statuses_writable(&self, path: &str, scopes: &Scopes, private: bool) -> CheckItem {
        let subject = "commit statuses";
        let enough: &[&str] = if private { &["repo", "repo:status"] } else { &["repo", "public_repo", "repo:status"] };
        if scopes.have(enough) == Some(false) {
            return bad(
                subject,
                "the token can't write them: give it the scope \"repo\" (or \"repo:status\" for this alone)",
            );
        }
        let path = format!("{path}/statuses/{}", "0".repeat(40));
        let body = json!({"state": "error", "context": "longboat/check", "description": "A commit that can't exist"});
        let call = Call::with(&Method::POST, &path, &body);
        match self.ask(call).await {
            Ok(answer) if answer.status == StatusCode::UNPROCESSABLE_ENTITY => good(subject, "can be written"),
            Ok(answer) => bad(subject, self.refused(&answer, call, "Commit statuses: write")),
            Err(error) => unknown(subject, error.message),
        }
    }

    async fn comments_writable(&self, path: &str, scopes: &Scopes, private: bool) -> CheckItem {
        let subject = "pull requests";
        let item = self.readable(subject, &format!("{path}/pulls?per_page=1"), "Pull requests: write").await;
        if item.verdict != CheckVerdict::Good {
            return item;
        }
        let enough: &[&str] = if private { &["repo"] } else { &["repo", "public_repo"] };
        match scopes.have(enough) {
            Some(true) => good(subject, "can be read and commented on"),
            Some(false) => bad(subject, "can be read, but not commented on: give the token the scope \"repo\""),
            None => unknown(
                subject,
                "can be read; a token of this kind doesn't tell whether it may comment: it needs \"Pull requests: write\"",
            ),
        }
    }

    async fn webhook(&self, path: &str, page: Option<&str>, wanted: &Wanted) -> CheckItem {
        let subject = "webhook";
        if !wanted.secret {
            return warning(
                subject,
                "the forge has no `webhookSecret`: webhooks are refused, news come by polling alone",
            );
        }
        let path = format!("{path}/hooks?per_page=100");
        let call = Call::get(&path);
        let answer = match self.ask(call).await {
            Ok(answer) => answer,
            Err(error) => return unknown(subject, error.message),
        };
        if answer.status != StatusCode::OK {
            let settings = page.map_or_else(String::new, |page| format!(" at {}/settings/hooks", one_line(page, 200)));
            return unknown(
                subject,
                format!(
                    "the token may not see webhooks (\"Webhooks: read\"), which is no harm; look yourself{settings}"
                ),
            );
        }
        match read::<Vec<HookPart>>(&answer, call, "a list of webhooks") {
            Ok(hooks) => judge(&hooks, wanted.address.as_deref()),
            Err(error) => unknown(subject, error.message),
        }
    }

    fn refused(&self, answer: &Answer, call: Call<'_>, permission: &str) -> String {
        let mut text = self.refusal(answer, call, permission).message;
        let wants = answer.headers.get("x-accepted-github-permissions").and_then(|value| value.to_str().ok());
        if let Some(wants) = wants.filter(|_| answer.status == StatusCode::FORBIDDEN) {
            text.push_str(&format!(" (GitHub asks for `{}`)", one_line(wants, 100)));
        }
        text
    }
}

fn token_of_a_person(answer: &Answer) -> CheckItem {
    let login = serde_json::from_slice::<Person>(&answer.body).ok().and_then(|person| person.login);
    let mut text = format!("that of {}", one_line(login.as_deref().unwrap_or("somebody"), 100));
    if let Some(scopes) = Scopes::of(&answer.headers).0 {
        let scopes = scopes.join(", ");
        let scopes = if scopes.is_empty() { "none".to_owned() } else { one_line(&scopes, 200) };
        text.push_str(&format!("; scopes: {scopes}"));
    }
    let ends = answer.headers.get("github-authentication-token-expiration").and_then(|value| value.to_str().ok());
    if let Some(ends) = ends {
        text.push_str(&format!("; ends on {}", one_line(ends, 40)));
    }
    good("token", text)
}

/// What is to be said about the webhooks of a repository.
fn judge(hooks: &[HookPart], address: Option<&str>) -> CheckItem {
    let subject = "webhook";
    let ours = |hook: &&HookPart| {
        let url = hook.config.url.as_deref().unwrap_or_default().trim_end_matches('/');
        address.map_or_else(|| url.ends_with("/webhooks/github"), |address| url.eq_ignore_ascii_case(address))
    };
    let Some(hook) = hooks.iter().find(ours) else {
        let wanted = address.unwrap_or("an address that ends in /webhooks/github");
        return warning(
            subject,
            format!(
                "none of the repository's {} goes to {wanted}; unless its organization has one, news come by polling alone",
                hooks.len()
            ),
        );
    };
    let mut complaints = hook.complaints();
    let last = hook.last_response.as_ref();
    let code = last.and_then(|last| last.code).filter(|code| *code > 0);
    match code {
        Some(200..=299) => {}
        Some(401) => {
            complaints.push("its last delivery was answered 401: its secret is not `webhookSecret`".to_owned())
        }
        Some(code) => complaints.push(format!("its last delivery was answered {code}")),
        // GitHub's own word for a failure without an answer.
        None if last.and_then(|last| last.message.as_deref()).is_some_and(|message| !message.is_empty()) => {
            let message = last.and_then(|last| last.message.as_deref()).unwrap_or_default();
            complaints.push(format!("its last delivery found nobody: {}", one_line(message, 200)));
        }
        None => {}
    }
    if !complaints.is_empty() {
        return bad(subject, complaints.join("; "));
    }
    match code {
        Some(code) => good(subject, format!("set up; its last delivery was answered {code}")),
        None => good(subject, "set up; nothing was delivered yet"),
    }
}

#[derive(Deserialize)]
struct Person {
    login: Option<String>,
}

#[derive(Deserialize)]
struct RepositoryPart {
    full_name: Option<String>,
    html_url: Option<String>,
    private: Option<bool>,
    archived: Option<bool>,
    permissions: Option<Value>,
}

impl RepositoryPart {
    fn item(&self, repository: &RepositoryName) -> CheckItem {
        let subject = "repository";
        let name = one_line(self.full_name.as_deref().unwrap_or_default(), 200);
        if self.archived == Some(true) {
            return bad(subject, "it is archived: nothing can be written there");
        }
        if !name.eq_ignore_ascii_case(repository.as_str()) {
            return bad(
                subject,
                format!("it is called {name} now: change its `name`, for webhooks come under the new one"),
            );
        }
        let push = self.permissions.as_ref().and_then(|permissions| permissions["push"].as_bool());
        if push == Some(false) {
            return bad(
                subject,
                "can be seen, but the token's account may only read there: give it the role \"Write\"",
            );
        }
        good(subject, "can be seen")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ADDRESS: &str = "https://cd.example/webhooks/github";

    fn said(hooks: Value) -> (CheckVerdict, String) {
        let hooks: Vec<HookPart> = serde_json::from_value(hooks).expect("hooks");
        let item = judge(&hooks, Some(ADDRESS));
        (item.verdict, item.message)
    }

    fn hook(last_response: Value) -> Value {
        json!([
            {"active": true, "events": ["push"], "config": {"url": "https://ci.example/hook", "content_type": "form"}},
            {
                "active": true, "events": ["push", "pull_request", "issue_comment"], "last_response": last_response,
                "config": {"url": ADDRESS, "content_type": "json", "insecure_ssl": "0", "secret": "********"},
            },
        ])
    }

    #[test]
    fn a_webhook_is_judged_by_its_settings_and_its_last_delivery() {
        let ok = said(hook(json!({"code": 202, "status": "active", "message": "OK"})));
        assert_eq!(ok, (CheckVerdict::Good, "set up; its last delivery was answered 202".to_owned()));
        let fresh = said(hook(json!({"code": null, "status": "unused", "message": null})));
        assert_eq!(fresh, (CheckVerdict::Good, "set up; nothing was delivered yet".to_owned()));
        let wrong = said(hook(json!({"code": 401, "message": "Invalid HTTP Response: 401"})));
        assert_eq!(wrong.1, "its last delivery was answered 401: its secret is not `webhookSecret`");
        let gone = said(hook(json!({"code": 0, "message": "Failed to connect to server"})));
        assert_eq!(gone, (CheckVerdict::Bad, "its last delivery found nobody: Failed to connect to server".to_owned()));
        let mut form = hook(json!({"code": 415}));
        form[1]["config"]["content_type"] = json!("form");
        assert_eq!(
            said(form).1,
            "its content type is not application/json; choose that in its settings; its last delivery was answered 415"
        );
    }

    #[test]
    fn a_webhook_to_somebody_else_is_none() {
        let mut other = hook(Value::Null);
        other[1]["config"]["url"] = json!("https://old.example/webhooks/github");
        let (verdict, text) = said(other);
        assert_eq!(verdict, CheckVerdict::Warning);
        assert!(text.starts_with(&format!("none of the repository's 2 goes to {ADDRESS}")), "{text}");
        assert_eq!(said(json!([])).0, CheckVerdict::Warning);
    }
}
