//! People, repositories, pull requests and comments as GitHub shows them: with all their fields, most of them addresses.

use serde_json::{Value, json};

use super::pulls::{Comment, Pull};

const WEB: &str = "https://github.example";
const API: &str = "https://api.github.example";

const REPOSITORY_ADDRESSES: &[&str] = &[
    "archive",
    "assignees",
    "blobs",
    "branches",
    "collaborators",
    "comments",
    "commits",
    "compare",
    "contents",
    "contributors",
    "deployments",
    "downloads",
    "events",
    "forks",
    "git_commits",
    "git_refs",
    "git_tags",
    "hooks",
    "issue_comment",
    "issue_events",
    "issues",
    "keys",
    "labels",
    "languages",
    "merges",
    "milestones",
    "notifications",
    "pulls",
    "releases",
    "stargazers",
    "statuses",
    "subscribers",
    "subscription",
    "tags",
    "teams",
    "trees",
    "git",
    "ssh",
    "clone",
    "svn",
];

const USER_ADDRESSES: &[&str] = &[
    "avatar",
    "events",
    "followers",
    "following",
    "gists",
    "html",
    "organizations",
    "received_events",
    "repos",
    "starred",
    "subscriptions",
];

/// Somebody's number: always the same for the same login.
pub(super) fn user_id(login: &str) -> u64 {
    login.bytes().fold(7, |id: u64, byte| (id * 31 + u64::from(byte)) % 100_000_007)
}

pub(super) fn user(login: &str) -> Value {
    let kind = if login.ends_with("[bot]") { "Bot" } else { "User" };
    let mut user = json!({
        "login": login, "id": user_id(login), "node_id": format!("U_{login}"), "gravatar_id": "", "type": kind,
        "site_admin": false, "url": format!("{API}/users/{login}"),
    });
    for name in USER_ADDRESSES {
        user[format!("{name}_url")] = json!(format!("{WEB}/{login}/{name}"));
    }
    user
}

/// The person behind a token, to themselves.
pub(super) fn oneself(login: &str) -> Value {
    let mut user = user(login);
    for field in ["bio", "blog", "company", "email", "hireable", "location", "name"] {
        user[field] = Value::Null;
    }
    for field in ["followers", "following", "public_gists", "public_repos"] {
        user[field] = json!(0);
    }
    user["user_view_type"] = json!("public");
    user["created_at"] = json!("2020-01-01T00:00:00Z");
    user["updated_at"] = json!("2026-01-01T00:00:00Z");
    user
}

pub(super) fn repository(full_name: &str) -> Value {
    let (owner, name) = full_name.split_once('/').expect("owner/name");
    let mut repository = json!({
        "id": 35_129_377, "node_id": format!("R_{name}"), "name": name, "full_name": full_name, "owner": user(owner),
        "private": true, "fork": false, "description": null, "homepage": null, "language": null, "license": null,
        "mirror_url": null, "default_branch": "main", "visibility": "private", "archived": false, "disabled": false,
        "html_url": format!("{WEB}/{full_name}"), "url": format!("{API}/repos/{full_name}"),
        "has_issues": true, "has_projects": false, "has_wiki": false, "has_pages": false, "has_downloads": false,
        "has_discussions": false, "topics": [], "size": 100,
        "permissions": {"admin": false, "maintain": false, "push": true, "triage": true, "pull": true},
        "created_at": "2020-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z", "pushed_at": "2026-01-01T00:00:00Z",
    });
    for field in ["forks", "watchers", "open_issues"] {
        repository[field] = json!(0);
        repository[format!("{field}_count")] = json!(0);
    }
    for field in ["stargazers_count", "network_count", "subscribers_count"] {
        repository[field] = json!(0);
    }
    for name in REPOSITORY_ADDRESSES {
        repository[format!("{name}_url")] = json!(format!("{API}/repos/{full_name}/{name}"));
    }
    repository
}

/// A repository inside a payload, where `permissions` and the rest of who asks are not told.
pub(super) fn repository_in_payload(full_name: &str) -> Value {
    let mut repository = repository(full_name);
    let fields = repository.as_object_mut().expect("an object");
    for field in ["permissions", "network_count", "subscribers_count"] {
        fields.shift_remove(field);
    }
    repository
}

fn branch(repository_name: Option<&str>, name: &str, sha: &str) -> Value {
    let owner = repository_name.and_then(|name| name.split('/').next()).unwrap_or("ghost");
    json!({
        "label": format!("{owner}:{name}"), "ref": name, "sha": sha, "user": user(owner),
        "repo": repository_name.map(repository_in_payload),
    })
}

/// A pull request as in a list, or whole.
pub(super) fn pull(full_name: &str, pull: &Pull, whole: bool) -> Value {
    let number = pull.number;
    let api = format!("{API}/repos/{full_name}/pulls/{number}");
    let issue = format!("{API}/repos/{full_name}/issues/{number}");
    let page = format!("{WEB}/{full_name}/pull/{number}");
    let statuses = format!("{API}/repos/{full_name}/statuses/{}", pull.head);
    let link = |address: &str| json!({"href": address});
    let closed_at = (!pull.open).then(|| pull.updated.to_rfc3339());
    let merged = pull.merge_commit.is_some() && !pull.open;
    let mut shown = json!({
        "id": 900_000 + number, "node_id": format!("PR_{number}"), "number": number, "state": if pull.open { "open" } else { "closed" },
        "locked": false, "title": pull.title, "body": pull.body, "user": user(&pull.author), "draft": pull.draft,
        "url": api, "html_url": page, "diff_url": format!("{page}.diff"), "patch_url": format!("{page}.patch"),
        "issue_url": issue, "commits_url": format!("{api}/commits"), "review_comments_url": format!("{api}/comments"),
        "review_comment_url": format!("{API}/repos/{full_name}/pulls/comments{{/number}}"),
        "comments_url": format!("{issue}/comments"), "statuses_url": statuses,
        "created_at": pull.created.to_rfc3339(), "updated_at": pull.updated.to_rfc3339(), "closed_at": closed_at,
        "merged_at": if merged { json!(closed_at) } else { Value::Null },
        // Before the merge: the merge that GitHub tries out for itself.
        "merge_commit_sha": pull.merge_commit.clone().unwrap_or_else(|| "7".repeat(40)),
        "head": branch(pull.head_repository.as_deref(), &pull.head_branch, &pull.head),
        "base": branch(Some(full_name), &pull.target, &"9".repeat(40)),
        "author_association": "CONTRIBUTOR",
    });
    shown["_links"] = json!({
        "self": link(&api), "html": link(&page), "issue": link(&issue), "comments": link(&format!("{issue}/comments")),
        "review_comments": link(&format!("{api}/comments")), "review_comment": link(&format!("{api}/comments{{/number}}")),
        "commits": link(&format!("{api}/commits")), "statuses": link(&statuses),
    });
    for field in ["assignee", "milestone", "auto_merge", "active_lock_reason"] {
        shown[field] = Value::Null;
    }
    for field in ["assignees", "requested_reviewers", "requested_teams", "labels"] {
        shown[field] = json!([]);
    }
    if whole {
        let more = json!({
            "merged": merged, "mergeable": null, "rebaseable": null, "mergeable_state": "unknown", "merged_by": null,
            "comments": 0, "review_comments": 0, "maintainer_can_modify": false, "commits": 1, "additions": 1,
            "deletions": 0, "changed_files": 1,
        });
        shown.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    }
    shown
}

pub(super) fn comment(full_name: &str, comment: &Comment) -> Value {
    let Comment { id, number, author, body, .. } = comment;
    let app = author.ends_with("[bot]").then(|| {
        json!({
            "id": 42, "node_id": "A_42", "slug": author.trim_end_matches("[bot]"), "name": author, "owner": user("acme"),
            "client_id": "Iv1.0", "description": "", "external_url": WEB, "html_url": format!("{WEB}/apps/x"),
            "created_at": "2020-01-01T00:00:00Z", "updated_at": "2020-01-01T00:00:00Z", "events": [],
            "permissions": {"issues": "write"},
        })
    });
    json!({
        "id": id, "node_id": format!("IC_{id}"), "url": format!("{API}/repos/{full_name}/issues/comments/{id}"),
        "html_url": format!("{WEB}/{full_name}/pull/{number}#issuecomment-{id}"),
        "issue_url": format!("{API}/repos/{full_name}/issues/{number}"), "user": user(author), "body": body,
        "created_at": comment.created.to_rfc3339(), "updated_at": comment.updated.to_rfc3339(),
        "author_association": "NONE", "performed_via_github_app": app,
        "reactions": {
            "url": format!("{API}/repos/{full_name}/issues/comments/{id}/reactions"), "total_count": 0, "+1": 0, "-1": 0,
            "laugh": 0, "hooray": 0, "confused": 0, "heart": 0, "rocket": 0, "eyes": 0,
        },
    })
}

/// A pull request as the issue that it also is.
pub(super) fn issue(full_name: &str, pull: &Pull) -> Value {
    let number = pull.number;
    let api = format!("{API}/repos/{full_name}/issues/{number}");
    let page = format!("{WEB}/{full_name}/pull/{number}");
    let pull_api = format!("{API}/repos/{full_name}/pulls/{number}");
    json!({
        "url": api, "repository_url": format!("{API}/repos/{full_name}"), "labels_url": format!("{api}/labels{{/name}}"),
        "comments_url": format!("{api}/comments"), "events_url": format!("{api}/events"), "html_url": page,
        "timeline_url": format!("{api}/timeline"),
        "id": 900_000 + number, "node_id": format!("PR_{number}"), "number": number, "title": pull.title,
        "user": user(&pull.author), "labels": [], "state": if pull.open { "open" } else { "closed" }, "locked": false,
        "assignee": null, "assignees": [], "milestone": null, "comments": 1, "body": pull.body, "draft": pull.draft,
        "created_at": pull.created.to_rfc3339(), "updated_at": pull.updated.to_rfc3339(),
        "closed_at": (!pull.open).then(|| pull.updated.to_rfc3339()), "author_association": "CONTRIBUTOR",
        "active_lock_reason": null, "performed_via_github_app": null, "state_reason": null,
        "pull_request": {
            "url": pull_api, "html_url": page, "diff_url": format!("{page}.diff"), "patch_url": format!("{page}.patch"),
            "merged_at": null,
        },
        "reactions": {
            "url": format!("{api}/reactions"), "total_count": 0, "+1": 0, "-1": 0, "laugh": 0, "hooray": 0,
            "confused": 0, "heart": 0, "rocket": 0, "eyes": 0,
        },
    })
}
