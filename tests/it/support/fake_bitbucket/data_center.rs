//! What Bitbucket Data Center takes, what it refuses, and in which words. It stands below the path `/bitbucket`.

use serde_json::{Value, json};

use super::serve::{Asked, Reply};
use super::{BOT, Comment, Pull, Repository, Shared, State, Status, TOKEN};

const TEXT_LIMIT: usize = 32_768;
const KEY_LIMIT: usize = 255;

fn refuse(status: u16, exception: &str, message: &str) -> Reply {
    let error =
        json!({"context": null, "message": message, "exceptionName": format!("com.atlassian.bitbucket.{exception}")});
    Reply::new(status, json!({"errors": [error]}))
}

/// What the server says of an address that it doesn't have at all.
fn nowhere() -> Reply {
    Reply::new(404, json!({"message": "null for uri", "status-code": 404}))
}

pub(super) fn answer(shared: &Shared, state: &mut State, asked: &Asked<'_>) -> Reply {
    let Some(path) = asked.path.strip_prefix("/bitbucket/rest/") else { return nowhere() };
    match asked.header("authorization") {
        Some(value) if value == format!("Bearer {TOKEN}") => {}
        Some(_) => {
            return refuse(
                401,
                "auth.IncorrectPasswordAuthenticationException",
                "Authentication failed. Please check your credentials and try again.",
            );
        }
        None => return refuse(401, "AuthorisationException", "You are not permitted to access this resource"),
    }
    let parts: Vec<&str> = path.split('/').collect();
    let reply = match parts.as_slice() {
        ["api", "latest", "application-properties"] => {
            let version = if state.old { "7.0.4" } else { "8.19.2" };
            Reply::new(200, json!({"version": version, "buildNumber": "1", "displayName": "Bitbucket"}))
        }
        ["api", "latest", "projects", key, "repos", slug, rest @ ..] => {
            let name = format!("{key}/{slug}").to_ascii_lowercase();
            if state.repositories.contains_key(&name) {
                repository(shared, state, asked, &name, rest)
            } else {
                let message = format!("Repository {key}/{slug} does not exist.");
                refuse(404, "repository.NoSuchRepositoryException", &message)
            }
        }
        ["build-status", "1.0", "commits", sha] => old_statuses(shared, state, asked, sha),
        _ => nowhere(),
    };
    reply.with("x-ausername", BOT)
}

fn repository(shared: &Shared, state: &mut State, asked: &Asked<'_>, name: &str, rest: &[&str]) -> Reply {
    let denied = |permission: &str| state.denied.iter().any(|denied| denied == permission);
    let forbidden = || refuse(401, "AuthorisationException", "You are not permitted to access this resource");
    match (asked.method, rest) {
        _ if denied("read") => forbidden(),
        ("GET", []) => Reply::new(200, show_repository(&state.repositories[name].full_name)),
        ("GET", ["webhooks"]) if denied("admin") => forbidden(),
        ("GET", ["webhooks"]) => page(asked, state.repositories[name].hooks.clone()),
        (_, ["commits", _, "builds"]) if state.old => nowhere(),
        (_, ["commits", sha, "builds"]) => builds(shared, state, asked, name, sha),
        (_, ["pull-requests", rest @ ..]) => pulls(state, asked, name, rest),
        _ => nowhere(),
    }
}

fn page(asked: &Asked<'_>, all: Vec<Value>) -> Reply {
    let (size, start) = (asked.number("limit", 25).clamp(1, 1000), asked.number("start", 0));
    let total = all.len();
    let values: Vec<Value> = all.into_iter().skip(start).take(size).collect();
    let last = start + size >= total;
    let next = if last { Value::Null } else { json!(start + size) };
    Reply::new(
        200,
        json!({"size": values.len(), "limit": size, "start": start, "isLastPage": last, "nextPageStart": next, "values": values}),
    )
}

fn builds(shared: &Shared, state: &mut State, asked: &Asked<'_>, name: &str, sha: &str) -> Reply {
    if sha.len() != 40 || state.repositories[name].commit(sha).is_none() {
        return refuse(
            404,
            "commit.NoSuchCommitException",
            &format!("Commit '{sha}' does not exist in the repository."),
        );
    }
    if asked.method == "GET" {
        let Some(key) = asked.word("key") else {
            return refuse(400, "validation.ArgumentValidationException", "key is required");
        };
        let found =
            state.statuses.iter().find(|status| status.key == key && status.sha == sha && status.repository == name);
        return match found {
            Some(status) => Reply::new(200, show_status(status)),
            None => refuse(404, "build.status.NoSuchBuildStatusException", "There is no such build status."),
        };
    }
    post(shared, state, asked, name, sha, &["INPROGRESS", "SUCCESSFUL", "FAILED", "CANCELLED", "UNKNOWN"])
}

fn old_statuses(shared: &Shared, state: &mut State, asked: &Asked<'_>, sha: &str) -> Reply {
    if asked.method == "GET" {
        let mine = state.statuses.iter().rev().filter(|status| status.sha == sha);
        return page(asked, mine.map(show_status).collect());
    }
    // The old address knows no repositories, and takes any id that looks like one.
    let name = state.repositories.iter().find(|(_, repository)| repository.commit(sha).is_some());
    let name = name.map(|(name, _)| name.clone()).unwrap_or_default();
    post(shared, state, asked, &name, sha, &["INPROGRESS", "SUCCESSFUL", "FAILED"])
}

fn post(shared: &Shared, state: &mut State, asked: &Asked<'_>, name: &str, sha: &str, states: &[&str]) -> Reply {
    let word = |field: &str| asked.text(&format!("/{field}")).filter(|text| !text.is_empty());
    let bad = |field: &str, message: &str| {
        let error = json!({"context": field, "message": message, "exceptionName": null});
        Reply::new(400, json!({"errors": [error]}))
    };
    let (Some(key), Some(url), Some(word_of_state)) = (word("key"), word("url"), word("state")) else {
        return bad("url", "The key, state and url are required.");
    };
    if key.chars().count() > KEY_LIMIT || word("name").is_some_and(|name| name.chars().count() > KEY_LIMIT) {
        return bad("key", "Please enter a non-empty value less than 255 characters.");
    }
    if !url.starts_with("http://") && !url.starts_with("https://") || url.len() > 450 {
        return bad("url", "Please enter a valid URL.");
    }
    if !states.contains(&word_of_state.as_str()) {
        return bad("state", "The state is not one that is known.");
    }
    let status = Status {
        repository: name.to_owned(),
        sha: sha.to_owned(),
        key,
        name: word("name"),
        state: word_of_state,
        description: word("description").unwrap_or_default(),
        url,
        author: BOT.to_owned(),
    };
    state.post(status, shared.clock.now());
    Reply::new(204, Value::Null)
}

fn show_status(status: &Status) -> Value {
    json!({
        "key": status.key, "name": status.name, "state": status.state, "description": status.description,
        "url": status.url, "dateAdded": 1_763_629_872_000_i64,
    })
}

fn pulls(state: &mut State, asked: &Asked<'_>, name: &str, rest: &[&str]) -> Reply {
    let id = state.ids + 1;
    let meddler = if asked.method == "PUT" { state.meddler.take() } else { None };
    let Some(repository) = state.repositories.get_mut(name) else { return nowhere() };
    let [number, rest @ ..] = rest else {
        let open = repository.pulls.iter().rev().filter(|pull| pull.open);
        return page(asked, open.map(|pull| show_pull(repository, pull)).collect());
    };
    let number: u64 = number.parse().unwrap_or_default();
    let Some(pull) = repository.pull(number) else {
        return refuse(404, "pull.NoSuchPullRequestException", &format!("No pull request exists with ID {number}"));
    };
    match (asked.method, rest) {
        ("GET", []) => Reply::new(200, show_pull(repository, pull)),
        ("GET", ["activities"]) => {
            let mine = repository.comments.iter().rev().filter(|comment| comment.number == number && !comment.deleted);
            let mut all: Vec<Value> = mine
                .map(|comment| json!({"id": comment.id, "action": "COMMENTED", "commentAction": "ADDED", "comment": show_comment(comment)}))
                .collect();
            all.push(json!({"id": 0, "action": "OPENED", "user": user(&pull.author)}));
            page(asked, all)
        }
        ("POST", ["comments"]) => match text(asked) {
            Ok(text) => {
                let comment = Comment::new(id, number, BOT, &text);
                let shown = show_comment(&comment);
                repository.comments.push(comment);
                state.ids = id;
                Reply::new(201, shown)
            }
            Err(reply) => reply,
        },
        (method, ["comments", id]) => {
            let found =
                repository.comments.iter_mut().find(|comment| comment.id.to_string() == *id && !comment.deleted);
            let Some(comment) = found else {
                return refuse(404, "comment.NoSuchCommentException", "The requested comment could not be found.");
            };
            if method == "GET" {
                return Reply::new(200, show_comment(comment));
            }
            if let Some(text) = meddler {
                comment.edit(&text);
            }
            if comment.author != BOT {
                return refuse(401, "AuthorisationException", "You do not have permission to edit this comment.");
            }
            if asked.body["version"].as_u64() != Some(comment.version) {
                let message = "You are attempting to modify a comment based on out-of-date information.";
                return refuse(409, "comment.CommentOutOfDateException", message);
            }
            match text(asked) {
                Ok(text) => {
                    comment.edit(&text);
                    Reply::new(200, show_comment(comment))
                }
                Err(reply) => reply,
            }
        }
        _ => nowhere(),
    }
}

fn text(asked: &Asked<'_>) -> Result<String, Reply> {
    let text = asked.text("/text").filter(|text| !text.is_empty() && text.chars().count() <= TEXT_LIMIT);
    text.ok_or_else(|| {
        refuse(400, "validation.ArgumentValidationException", "Please enter between 1 and 32768 characters.")
    })
}

fn show_comment(comment: &Comment) -> Value {
    json!({"id": comment.id, "version": comment.version, "text": comment.body, "author": user(&comment.author), "state": "OPEN"})
}

pub(super) fn user(name: &str) -> Value {
    json!({"name": name, "slug": name, "displayName": "Somebody", "emailAddress": "x@example.com", "active": true, "type": "NORMAL"})
}

pub(super) fn show_repository(full_name: &str) -> Value {
    let (key, slug) = full_name.split_once('/').expect("KEY/slug");
    json!({"slug": slug, "id": 84, "name": slug, "project": {"key": key, "id": 9, "type": if key.starts_with('~') { "PERSONAL" } else { "NORMAL" }}})
}

/// As Bitbucket shows it everywhere.
pub(super) fn show_pull(repository: &Repository, pull: &Pull) -> Value {
    let end = |branch: &str, commit: &str, full_name: &str| {
        json!({
            "id": format!("refs/heads/{branch}"), "displayId": branch, "latestCommit": commit,
            "repository": show_repository(full_name),
        })
    };
    let state = match (pull.open, &pull.merge_commit) {
        (true, _) => "OPEN",
        (false, Some(_)) => "MERGED",
        (false, None) => "DECLINED",
    };
    let newest = repository.commits.last().map(String::as_str).unwrap_or_default();
    let mut shown = json!({
        "id": pull.number, "version": pull.version, "title": pull.title, "state": state, "open": pull.open,
        "updatedDate": pull.updated.as_millis(), "author": {"user": user(&pull.author), "role": "AUTHOR"},
        "fromRef": end(&pull.head_branch, &pull.head, pull.head_repository.as_deref().unwrap_or("~gone/gone")),
        "toRef": end(&pull.target, newest, &repository.full_name),
    });
    if let Some(merge) = &pull.merge_commit {
        shown["properties"] = json!({"mergeCommit": {"displayId": &merge[..11], "id": merge}});
    }
    shown
}
