//! Pull requests and their comments: what the fake keeps of them, what a test does to them, and their webhooks.

use longboat::clock::Timestamp;
use serde_json::{Value, json};

use super::hooks::Delivery;
use super::{FakeGitHub, PullOf, Repository, show};

/// A pull request as it stands.
#[derive(Debug, Clone)]
pub struct Pull {
    pub number: u64,
    pub title: String,
    pub body: String,
    pub open: bool,
    pub draft: bool,
    pub merge_commit: Option<String>,
    /// None: the fork is gone.
    pub head_repository: Option<String>,
    pub head_branch: String,
    pub head: String,
    /// Where the head was before it moved.
    pub before: String,
    pub target: String,
    pub author: String,
    pub created: Timestamp,
    pub updated: Timestamp,
}

/// A comment as it stands, and what it said before.
#[derive(Debug, Clone)]
pub struct Comment {
    pub id: u64,
    /// Of the pull request.
    pub number: u64,
    pub author: String,
    pub body: String,
    /// All texts that it ever had, the first one included.
    pub versions: Vec<String>,
    pub created: Timestamp,
    pub updated: Timestamp,
}

impl Repository {
    pub(super) fn comment_on(&mut self, id: u64, number: u64, author: &str, body: &str, now: Timestamp) -> &Comment {
        self.comments.push(Comment {
            id,
            number,
            author: author.to_owned(),
            body: body.to_owned(),
            versions: vec![body.to_owned()],
            created: now,
            updated: now,
        });
        if let Some(pull) = self.pulls.iter_mut().find(|pull| pull.number == number) {
            pull.updated = now;
        }
        self.comments.last().expect("just pushed")
    }

    pub(super) fn comment_mut(&mut self, id: u64) -> Option<&mut Comment> {
        self.comments.iter_mut().find(|comment| comment.id == id)
    }
}

impl FakeGitHub {
    /// Opens a pull request; its number. Its head becomes known as a commit.
    pub fn open_pull(&self, full_name: &str, of: &PullOf<'_>) -> u64 {
        let now = self.shared.clock.now();
        let mut number = 0;
        self.with_repository(full_name, |repository| {
            number = repository.pulls.len() as u64 + 1;
            repository.commits.push(of.head.to_owned());
            repository.pulls.push(Pull {
                number,
                title: of.title.to_owned(),
                body: String::new(),
                open: true,
                draft: false,
                merge_commit: None,
                head_repository: Some(of.from.to_owned()),
                head_branch: of.branch.to_owned(),
                head: of.head.to_owned(),
                before: of.head.to_owned(),
                target: of.target.to_owned(),
                author: of.author.to_owned(),
                created: now,
                updated: now,
            });
        });
        number
    }

    /// Changes a pull request in any way.
    pub fn change_pull(&self, full_name: &str, number: u64, change: impl FnOnce(&mut Pull)) {
        let now = self.shared.clock.now();
        self.with_repository(full_name, |repository| {
            let pull = repository.pulls.iter_mut().find(|pull| pull.number == number).expect("it was opened");
            change(pull);
            pull.updated = now;
        });
    }

    /// Its branch has a new commit.
    pub fn push_to_pull(&self, full_name: &str, number: u64, head: &str) {
        self.add_commit(full_name, head);
        self.change_pull(full_name, number, |pull| pull.before = std::mem::replace(&mut pull.head, head.to_owned()));
    }

    /// It is closed; merged by a commit, or not.
    pub fn close_pull(&self, full_name: &str, number: u64, merge_commit: Option<&str>) {
        self.change_pull(full_name, number, |pull| {
            pull.open = false;
            pull.merge_commit = merge_commit.map(str::to_owned);
        });
        merge_commit.into_iter().for_each(|commit| self.add_commit(full_name, commit));
    }

    /// Somebody writes a comment; its id.
    pub fn comment_as(&self, full_name: &str, number: u64, login: &str, body: &str) -> u64 {
        let (id, now) = (self.next_id(), self.shared.clock.now());
        self.with_repository(full_name, |repository| {
            repository.comment_on(id, number, login, body, now);
        });
        id
    }

    /// Somebody deletes a comment.
    pub fn delete_comment(&self, full_name: &str, id: u64) {
        self.with_repository(full_name, |repository| repository.comments.retain(|comment| comment.id != id));
    }

    /// The comments of a pull request, oldest first.
    pub fn comments(&self, full_name: &str, number: u64) -> Vec<Comment> {
        let state = self.shared.state();
        let repository = state.repositories.get(&full_name.to_ascii_lowercase()).expect("the repository was added");
        repository.comments.iter().filter(|comment| comment.number == number).cloned().collect()
    }

    fn pull(&self, full_name: &str, number: u64) -> Pull {
        let state = self.shared.state();
        let repository = state.repositories.get(&full_name.to_ascii_lowercase()).expect("the repository was added");
        repository.pulls.iter().find(|pull| pull.number == number).expect("it was opened").clone()
    }

    /// The webhook about a pull request as it stands: `opened`, `reopened`, `synchronize`, `ready_for_review`, `edited`
    /// (of the target, which was `main`) or `closed`.
    pub fn pull_event(&self, full_name: &str, number: u64, action: &str, actor: &str) -> Delivery {
        let pull = self.pull(full_name, number);
        let mut payload = json!({
            "action": action, "number": number, "pull_request": show::pull(full_name, &pull, true),
            "repository": show::repository_in_payload(full_name), "sender": show::user(actor),
        });
        match action {
            "synchronize" => {
                payload["before"] = json!(pull.before);
                payload["after"] = json!(pull.head);
            }
            "edited" => {
                payload["changes"] = json!({"base": {"ref": {"from": "main"}, "sha": {"from": "9".repeat(40)}}});
            }
            _ => {}
        }
        Delivery::of("pull_request", &payload)
    }

    /// The webhook about a comment: `created`, `edited` or `deleted`; a deleted one has to be still there.
    pub fn comment_event(&self, full_name: &str, id: u64, action: &str, actor: &str) -> Delivery {
        let comment = {
            let state = self.shared.state();
            let repository = state.repositories.get(&full_name.to_ascii_lowercase()).expect("the repository was added");
            repository.comments.iter().find(|comment| comment.id == id).expect("it is there").clone()
        };
        let pull = self.pull(full_name, comment.number);
        let mut payload = json!({
            "action": action, "issue": show::issue(full_name, &pull), "comment": show::comment(full_name, &comment),
            "repository": show::repository_in_payload(full_name), "sender": show::user(actor),
        });
        if action == "edited" {
            let before = comment.versions.iter().rev().nth(1).cloned().unwrap_or_default();
            payload["changes"] = json!({"body": {"from": before}});
        }
        Delivery::of("issue_comment", &payload)
    }
}

/// The pull requests of a list, newest change first.
pub(super) fn sorted(repository: &Repository, state: &str) -> Vec<Pull> {
    let mut pulls: Vec<Pull> =
        repository.pulls.iter().filter(|pull| state == "all" || pull.open == (state == "open")).cloned().collect();
    pulls.sort_by_key(|pull| std::cmp::Reverse((pull.updated, pull.number)));
    pulls
}

/// What GitHub says to a text that it doesn't take.
pub(super) fn refuse_text(body: &Value) -> Option<&'static str> {
    match body["body"].as_str() {
        None => Some("body is missing"),
        Some("") => Some("Body can't be blank"),
        Some(text) if text.chars().count() > 65_536 => Some("Body is too long (maximum is 65536 characters)"),
        Some(_) => None,
    }
}
