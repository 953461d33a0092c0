//! What the fake answers about a repository: statuses, pull requests, comments, branches, webhooks.

use axum::body::Bytes;
use axum::http::Method;
use serde_json::{Value, json};

use super::api::{Reply, invalid, refuse};
use super::pulls::{refuse_text, sorted};
use super::{Posted, Repository, Shared, State, show};

const MOST_STATUSES: usize = 1000;

/// A request about a repository.
pub(super) struct Asked<'a> {
    /// Its name now.
    pub(super) name: String,
    pub(super) method: &'a Method,
    /// The path behind the repository.
    pub(super) rest: &'a [&'a str],
    pub(super) query: &'a str,
    pub(super) body: &'a Bytes,
}

impl Asked<'_> {
    pub(super) fn key(&self) -> String {
        self.name.to_ascii_lowercase()
    }

    fn parameter(&self, key: &str) -> Option<&str> {
        let mut pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find_map(|(name, value)| (name == key).then_some(value))
    }

    fn number(&self, key: &str, default: usize) -> usize {
        self.parameter(key).and_then(|value| value.parse().ok()).unwrap_or(default)
    }

    /// The part of a list that was asked for.
    fn page<T>(&self, all: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
        let size = self.number("per_page", 30).clamp(1, 100);
        all.skip(self.number("page", 1).saturating_sub(1) * size).take(size)
    }

    fn fields(&self) -> Result<Value, Reply> {
        let fields: Value = serde_json::from_slice(self.body).map_err(|_| refuse(400, "Problems parsing JSON"))?;
        if fields.is_object() { Ok(fields) } else { Err(refuse(400, "Body should be a JSON object")) }
    }
}

pub(super) fn oneself(state: &State) -> Reply {
    if state.account.ends_with("[bot]") {
        return refuse(403, "Resource not accessible by integration");
    }
    (200, show::oneself(&state.account), Vec::new())
}

/// What a token needs that isn't a classic one.
fn permission(asked: &Asked<'_>) -> &'static str {
    match asked.rest {
        ["statuses", _] => "statuses=write",
        [.., "statuses"] => "statuses=read",
        ["branches"] => "contents=read",
        ["hooks"] => "repository_hooks=read",
        [_, ..] if *asked.method == Method::GET => "pull_requests=read",
        [_, ..] => "pull_requests=write",
        [] => "metadata=read",
    }
}

pub(super) fn repository(shared: &Shared, state: &mut State, key: &str, asked: &Asked<'_>) -> Reply {
    let needed = permission(asked);
    if state.denied.iter().any(|denied| denied == needed) {
        let mut reply = refuse(403, "Resource not accessible by personal access token");
        reply.2.push(("x-accepted-github-permissions", needed.to_owned()));
        return reply;
    }
    let Some(repository) = state.repositories.get(key) else { return refuse(404, "Not Found") };
    let name = asked.name.as_str();
    match (asked.method.as_str(), asked.rest) {
        ("GET", []) => {
            let mut shown = show::repository(name);
            shown["id"] = json!(repository.id);
            (200, shown, Vec::new())
        }
        ("GET", ["branches"]) => {
            let head = repository.commits.first().cloned().unwrap_or_else(|| "9".repeat(40));
            let url = format!("https://api.github.example/repos/{name}/commits/{head}");
            (200, json!([{"name": "main", "commit": {"sha": head, "url": url}, "protected": false}]), Vec::new())
        }
        ("GET", ["hooks"]) => match &repository.hooks {
            Some(hooks) => (200, Value::Array(hooks.clone()), Vec::new()),
            None => refuse(404, "Not Found"),
        },
        ("GET", ["commits", sha, "statuses"]) if repository.has_commit(sha) => {
            let newest_first = state.posted.iter().enumerate().rev().filter(|(_, posted)| posted.sha == *sha);
            let shown = asked.page(newest_first).map(|(index, posted)| status(index + 1, posted, &state.account));
            (200, shown.collect(), Vec::new())
        }
        ("GET", ["commits", sha, "statuses"]) => refuse(422, &format!("No commit found for SHA: {sha}")),
        ("POST", ["statuses", sha]) => {
            let known = repository.has_commit(sha);
            match check(state, sha, known, asked) {
                Ok((context, fields)) => create(shared, state, name, sha, context, &fields),
                Err(reply) => reply,
            }
        }
        ("GET", ["pulls"]) => {
            let pulls = sorted(repository, asked.parameter("state").unwrap_or("open"));
            (200, asked.page(pulls.iter()).map(|pull| show::pull(name, pull, false)).collect(), Vec::new())
        }
        ("GET", ["pulls", number]) => match repository.pulls.iter().find(|pull| pull.number.to_string() == *number) {
            Some(pull) => (200, show::pull(name, pull, true), Vec::new()),
            None => refuse(404, "Not Found"),
        },
        ("GET", ["issues", number, "comments"]) if has_pull(repository, number) => {
            let mine = repository.comments.iter().filter(|comment| comment.number.to_string() == *number);
            (200, asked.page(mine).map(|comment| show::comment(name, comment)).collect(), Vec::new())
        }
        ("POST", ["issues", number, "comments"]) if has_pull(repository, number) => {
            comment(shared, state, key, asked, number)
        }
        ("PATCH", ["issues", "comments", id]) => edit(shared, state, key, asked, id),
        _ => refuse(404, "Not Found"),
    }
}

fn has_pull(repository: &Repository, number: &str) -> bool {
    repository.pulls.iter().any(|pull| pull.number.to_string() == number)
}

fn comment(shared: &Shared, state: &mut State, key: &str, asked: &Asked<'_>, number: &str) -> Reply {
    let fields = match asked.fields() {
        Ok(fields) => fields,
        Err(reply) => return reply,
    };
    if let Some(message) = refuse_text(&fields) {
        return invalid("IssueComment", "data", message);
    }
    state.ids += 1;
    let (id, account) = (state.ids, state.account.clone());
    let Some(repository) = state.repositories.get_mut(key) else { return refuse(404, "Not Found") };
    let body = fields["body"].as_str().unwrap_or_default();
    let posted = repository.comment_on(id, number.parse().unwrap_or_default(), &account, body, shared.clock.now());
    (201, show::comment(&asked.name, posted), Vec::new())
}

fn edit(shared: &Shared, state: &mut State, key: &str, asked: &Asked<'_>, id: &str) -> Reply {
    let account = state.account.clone();
    let found = state.repositories.get_mut(key).and_then(|repository| repository.comment_mut(id.parse().ok()?));
    let Some(comment) = found else { return refuse(404, "Not Found") };
    // Stricter than GitHub, which lets those edit it who may write to the repository: Longboat must not want to.
    if comment.author != account {
        return refuse(403, "Unauthorized");
    }
    let fields = match asked.fields() {
        Ok(fields) => fields,
        Err(reply) => return reply,
    };
    if let Some(message) = refuse_text(&fields) {
        return invalid("IssueComment", "data", message);
    }
    comment.body = fields["body"].as_str().unwrap_or_default().to_owned();
    comment.versions.push(comment.body.clone());
    comment.updated = shared.clock.now();
    (200, show::comment(&asked.name, comment), Vec::new())
}

/// What GitHub checks about a new status, in its order; the context and the other fields if all is well.
fn check(state: &State, sha: &str, known: bool, asked: &Asked<'_>) -> Result<(String, Value), Reply> {
    let fields = asked.fields()?;
    match fields["state"].as_str() {
        Some("error" | "failure" | "pending" | "success") => {}
        _ => return Err(invalid("Status", "state", "state is not included in the list")),
    }
    if fields["description"].as_str().is_some_and(|text| text.chars().count() > 140) {
        return Err(invalid("Status", "description", "description is too long (maximum is 140 characters)"));
    }
    if fields["target_url"].as_str().is_some_and(|url| !url.starts_with("http://") && !url.starts_with("https://")) {
        return Err(invalid("Status", "target_url", "target_url must use http(s) scheme"));
    }
    if !known {
        return Err(refuse(422, &format!("No commit found for SHA: {sha}")));
    }
    let context = fields["context"].as_str().unwrap_or("default").to_owned();
    let earlier = state.earlier.get(&(sha.to_owned(), context.clone())).copied().unwrap_or_default();
    let posted = state.posted.iter().filter(|posted| posted.sha == sha && posted.context == context).count();
    if earlier + posted >= MOST_STATUSES {
        return Err(invalid("Status", "base", "This SHA and context has reached the maximum number of statuses."));
    }
    Ok((context, fields))
}

fn create(shared: &Shared, state: &mut State, name: &str, sha: &str, context: String, fields: &Value) -> Reply {
    let text = |field: &str| fields[field].as_str().map(str::to_owned);
    state.posted.push(Posted {
        repository: name.to_owned(),
        sha: sha.to_owned(),
        context,
        state: text("state").unwrap_or_default(),
        description: text("description").unwrap_or_default(),
        target_url: text("target_url"),
        at: shared.clock.now(),
    });
    let id = state.posted.len();
    let shown = state.posted.last().map(|posted| status(id, posted, &state.account)).unwrap_or_default();
    (201, shown, Vec::new())
}

fn status(id: usize, posted: &Posted, account: &str) -> Value {
    json!({
        "id": id,
        "node_id": format!("SC_{id}"),
        "url": format!("https://api.github.example/repos/{}/statuses/{}", posted.repository, posted.sha),
        "avatar_url": "https://avatars.example/u/1",
        "state": posted.state,
        "description": if posted.description.is_empty() { Value::Null } else { json!(posted.description) },
        "target_url": posted.target_url,
        "context": posted.context,
        "created_at": posted.at.to_rfc3339(),
        "updated_at": posted.at.to_rfc3339(),
        "creator": show::user(account),
    })
}
