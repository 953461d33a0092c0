//! What Bitbucket Cloud takes, what it refuses, and in which words.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use serde_json::{Value, json};

use super::serve::{Asked, Reply};
use super::{API_TOKEN, BOT, Comment, Pull, Repository, Shared, State, Status, TOKEN, USER};

const KEY_LIMIT: usize = 40;
const COMMENT_LIMIT: usize = 32_768;

fn refuse(status: u16, message: &str) -> Reply {
    Reply::new(status, json!({"type": "error", "error": {"message": message}}))
}

fn bad_field(field: &str, message: &str) -> Reply {
    let error = json!({"message": "Bad request", "fields": {field: [message]}});
    Reply::new(400, json!({"type": "error", "error": error}))
}

/// The uuid of an account or of a token.
fn uuid(name: &str) -> String {
    format!("{{{name}}}")
}

fn account(name: &str) -> Value {
    // What writes with an access token is no user.
    let kind = if name == BOT { "app_user" } else { "user" };
    json!({"type": kind, "uuid": uuid(name), "account_id": format!("557058:{name}"), "nickname": "admin", "display_name": name})
}

pub(super) fn answer(shared: &Shared, state: &mut State, asked: &Asked<'_>) -> Reply {
    let who = match asked.header("authorization") {
        None => return refuse(401, "Token is invalid, expired, or not supported for this endpoint."),
        Some(value) if value == format!("Bearer {TOKEN}") => BOT,
        Some(value) if value == format!("Basic {}", BASE64.encode(format!("{USER}:{API_TOKEN}"))) => USER,
        Some(_) => return refuse(401, "Token is invalid, expired, or not supported for this endpoint."),
    };
    let parts: Vec<&str> = asked.path.trim_matches('/').split('/').collect();
    let (workspace, slug, rest) = match parts.as_slice() {
        ["2.0", "user"] if who == USER => return Reply::new(200, account(who)),
        ["2.0", "user"] => {
            return refuse(
                403,
                "This API is only accessible with the following authentication types: session, password, apppassword.",
            );
        }
        ["2.0", "repositories", workspace, slug, rest @ ..] => (*workspace, *slug, rest),
        _ => return refuse(404, "Resource not found"),
    };
    for (scope, part) in [("pullrequest", "pullrequests"), ("webhook", "hooks"), ("repository", "commit")] {
        if state.denied.iter().any(|denied| denied == scope) && rest.first() == Some(&part) {
            return refuse(403, "Your credentials lack one or more required privilege scopes.");
        }
    }
    let key = format!("{workspace}/{slug}").to_ascii_lowercase();
    if !state.repositories.contains_key(&key) {
        return refuse(404, &format!("Repository {workspace}/{slug} not found"));
    }
    match (asked.method, rest) {
        ("GET", []) => Reply::new(200, json!({"type": "repository", "full_name": key, "uuid": "{1}"}))
            .with("x-oauth-scopes", "repository, pullrequest, webhook"),
        ("GET", ["hooks"]) => page(asked, 10, state.repositories[&key].hooks.clone()),
        (_, ["commit", sha, rest @ ..]) => commit(shared, state, asked, who, &key, sha, rest),
        (_, ["pullrequests", rest @ ..]) => pulls(state, asked, who, &key, rest),
        _ => refuse(404, "Resource not found"),
    }
}

fn page(asked: &Asked<'_>, default: usize, all: Vec<Value>) -> Reply {
    let (size, number) = (asked.number("pagelen", default).clamp(1, 100), asked.number("page", 1).max(1));
    let total = all.len();
    let values: Vec<Value> = all.into_iter().skip((number - 1) * size).take(size).collect();
    let mut body = json!({"size": total, "page": number, "pagelen": size, "values": values});
    if number * size < total {
        // Whoever follows this leads their token to another host.
        body["next"] = json!("https://evil.example/2.0/next");
    }
    Reply::new(200, body)
}

fn commit(
    shared: &Shared,
    state: &mut State,
    asked: &Asked<'_>,
    who: &str,
    key: &str,
    sha: &str,
    rest: &[&str],
) -> Reply {
    let Some(full) = state.repositories[key].commit(sha) else {
        return refuse(404, &format!("Commit not found: {sha}"));
    };
    match (asked.method, rest) {
        ("GET", []) => Reply::new(200, json!({"type": "commit", "hash": full})),
        ("GET", ["statuses"]) => {
            let mine = state.statuses.iter().rev().filter(|status| status.sha == full && status.repository == key);
            page(asked, 10, mine.map(show_status).collect())
        }
        ("POST", ["statuses", "build"]) => {
            let word = |field: &str| asked.text(&format!("/{field}")).filter(|text| !text.is_empty());
            let Some(name) = word("key") else { return bad_field("key", "This field is required.") };
            if name.chars().count() > KEY_LIMIT {
                return bad_field("key", "Ensure this value has at most 40 characters.");
            }
            let Some(url) = word("url") else { return bad_field("url", "This field is required.") };
            let host = url.split_once("://").map(|(scheme, rest)| (scheme, rest.split('/').next().unwrap_or_default()));
            if !matches!(host, Some(("http" | "https", host)) if !host.is_empty()) {
                return bad_field("url", "Enter a valid URL.");
            }
            let Some(word_of_state) = word("state") else { return bad_field("state", "This field is required.") };
            if !["SUCCESSFUL", "FAILED", "INPROGRESS", "STOPPED"].contains(&word_of_state.as_str()) {
                return bad_field("state", &format!("{word_of_state} is not a valid choice."));
            }
            let status = Status {
                repository: key.to_owned(),
                sha: full,
                key: name,
                name: word("name"),
                state: word_of_state,
                description: word("description").unwrap_or_default(),
                url,
                author: who.to_owned(),
            };
            let same = |old: &&Status| old.key == status.key && old.sha == status.sha && old.repository == key;
            if state.statuses.iter().find(same).is_some_and(|old| old.author != who) {
                return refuse(403, "Only the creator of a build status may overwrite it.");
            }
            let shown = show_status(&status);
            state.post(status, shared.clock.now());
            Reply::new(201, shown)
        }
        _ => refuse(404, "Resource not found"),
    }
}

fn show_status(status: &Status) -> Value {
    json!({
        "type": "build", "key": status.key, "name": status.name, "state": status.state, "refname": null,
        "description": status.description, "url": status.url, "created_on": "2026-11-20T10:11:12.345678+00:00",
    })
}

fn pulls(state: &mut State, asked: &Asked<'_>, who: &str, key: &str, rest: &[&str]) -> Reply {
    let id = state.ids + 1;
    let Some(repository) = state.repositories.get_mut(key) else { return refuse(404, "Resource not found") };
    let [number, rest @ ..] = rest else {
        let mut open: Vec<&Pull> = repository.pulls.iter().filter(|pull| pull.open).collect();
        open.sort_by_key(|pull| std::cmp::Reverse(pull.updated));
        let open = open.into_iter().map(|pull| show_pull(repository, pull)).collect();
        return page(asked, 10, open);
    };
    let number: u64 = number.parse().unwrap_or_default();
    let Some(pull) = repository.pull(number) else { return refuse(404, "Resource not found") };
    match (asked.method, rest) {
        ("GET", []) => Reply::new(200, show_pull(repository, pull)),
        ("GET", ["commits"]) => page(asked, 30, vec![json!({"type": "commit", "hash": pull.head})]),
        ("GET", ["comments"]) => {
            let mine = repository.comments.iter().filter(|comment| comment.number == number);
            page(asked, 10, mine.map(show_comment).collect())
        }
        ("POST", ["comments"]) => match raw(asked) {
            Ok(raw) => {
                let comment = Comment::new(id, number, who, &raw);
                let shown = show_comment(&comment);
                repository.comments.push(comment);
                state.ids = id;
                Reply::new(201, shown)
            }
            Err(reply) => reply,
        },
        ("PUT", ["comments", id]) => {
            let found = repository.comments.iter_mut().find(|comment| comment.id.to_string() == *id);
            match (found, raw(asked)) {
                (None, _) => refuse(404, "Resource not found"),
                (Some(comment), _) if comment.deleted => refuse(404, "Resource not found"),
                (Some(comment), _) if comment.author != who => {
                    refuse(403, "You do not have access to edit this comment.")
                }
                (Some(_), Err(reply)) => reply,
                (Some(comment), Ok(raw)) => {
                    comment.edit(&raw);
                    Reply::new(200, show_comment(comment))
                }
            }
        }
        _ => refuse(404, "Resource not found"),
    }
}

fn raw(asked: &Asked<'_>) -> Result<String, Reply> {
    let raw = asked.text("/content/raw").filter(|raw| !raw.is_empty());
    let raw = raw.ok_or_else(|| bad_field("content", "This field is required."))?;
    if raw.chars().count() > COMMENT_LIMIT {
        return Err(bad_field("content.raw", "Ensure this value has at most 32768 characters."));
    }
    Ok(raw)
}

fn show_comment(comment: &Comment) -> Value {
    let raw = if comment.deleted { "" } else { comment.body.as_str() };
    json!({
        "type": "pullrequest_comment", "id": comment.id, "user": account(&comment.author), "deleted": comment.deleted,
        "content": {"type": "rendered", "raw": raw, "markup": "markdown", "html": "<p>...</p>"},
    })
}

/// As Bitbucket shows it everywhere: commits are cut to 12 digits.
pub(super) fn show_pull(repository: &Repository, pull: &Pull) -> Value {
    let state = match (pull.open, &pull.merge_commit) {
        (true, _) => "OPEN",
        (false, Some(_)) => "MERGED",
        (false, None) => "DECLINED",
    };
    let end = |branch: &str, hash: Option<&str>, full_name: Option<&str>| {
        json!({
            "branch": {"name": branch},
            "commit": {"type": "commit", "hash": hash.map(|hash| &hash[..12])},
            "repository": full_name.map(|name| json!({"type": "repository", "full_name": name})),
        })
    };
    json!({
        "type": "pullrequest", "id": pull.number, "title": pull.title, "state": state,
        "author": account(&pull.author), "updated_on": pull.updated.to_rfc3339(),
        "source": end(&pull.head_branch, Some(&pull.head), pull.head_repository.as_deref()),
        "destination": end(&pull.target, repository.commits.first().map(String::as_str), Some(&repository.full_name)),
        "merge_commit": pull.merge_commit.as_ref().map(|hash| json!({"type": "commit", "hash": &hash[..12]})),
    })
}

pub(super) fn actor(name: &str) -> Value {
    account(name)
}
