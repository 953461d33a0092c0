//! What pull requests, people and repositories look like in GitHub's payloads and answers: the same in both.
//!
//! All fields are optional, so that what GitHub adds or leaves out breaks nothing; what is needed is asked for by
//! [`PullRequestPart::into_model`], which believes no text.

use serde::Deserialize;

use crate::model::{CommitSha, PullRequest, PullRequestState, RepositoryName};

/// The longest login that is kept, in characters. GitHub's own limit is 39, plus marks of enterprises and bots.
const LOGIN_LIMIT: usize = 100;
/// The longest title that is kept, in characters. GitHub's own limit is 256.
const TITLE_LIMIT: usize = 300;
/// The longest name of a branch that is taken, in bytes.
const BRANCH_LIMIT: usize = 1000;

/// A repository.
#[derive(Debug, Deserialize)]
pub(super) struct RepositoryPart {
    pub(super) full_name: Option<String>,
}

/// Somebody with an account.
#[derive(Debug, Deserialize)]
pub(super) struct UserPart {
    login: Option<String>,
}

impl UserPart {
    /// The login; one that doesn't look like a login is left out, for it would be shown as the one who acted.
    pub(super) fn login(self) -> Option<String> {
        self.login.filter(|text| {
            (1..=LOGIN_LIMIT).contains(&text.chars().count())
                && !text.chars().any(|letter| letter.is_control() || letter == ' ')
        })
    }
}

/// A pull request.
#[derive(Debug, Deserialize)]
pub(super) struct PullRequestPart {
    pub(super) number: Option<u64>,
    state: Option<String>,
    title: Option<String>,
    merged: Option<bool>,
    merged_at: Option<String>,
    merge_commit_sha: Option<String>,
    user: Option<UserPart>,
    head: Option<BranchPart>,
    base: Option<BranchPart>,
}

#[derive(Debug, Deserialize)]
struct BranchPart {
    #[serde(rename = "ref")]
    name: Option<String>,
    sha: Option<String>,
    /// None for a fork that is gone.
    repo: Option<RepositoryPart>,
}

impl PullRequestPart {
    /// The pull request in Longboat's words; `repository` is the name in the configuration of the one that it must be in.
    ///
    /// # Errors
    /// What is missing or odd, in words.
    pub(super) fn into_model(self, repository: &RepositoryName) -> Result<PullRequest, String> {
        let head = self.head.ok_or("pull_request.head is missing")?;
        let base = self.base.ok_or("pull_request.base is missing")?;
        let base_repository = base.repo.and_then(|repo| repo.full_name).unwrap_or_default();
        let merged = self.merged == Some(true) || self.merged_at.is_some();
        let state = match self.state.as_deref() {
            Some("open") => PullRequestState::Open,
            Some("closed") if merged => PullRequestState::Merged,
            Some("closed") => PullRequestState::Closed,
            _ => return Err("pull_request.state is neither open nor closed".to_owned()),
        };
        let head_repository = head.repo.and_then(|repo| repo.full_name);
        if let Some(name) = &head_repository {
            RepositoryName::parse(name).map_err(|_| "pull_request.head.repo.full_name is no name of a repository")?;
        }
        // A fork keeps its parent's name in `base`; a renamed repository has its new name in both.
        let fork = head_repository.as_ref().is_none_or(|name| !name.eq_ignore_ascii_case(&base_repository));
        // Until it is merged, this is a merge that GitHub tries out for itself.
        let merge_commit = self.merge_commit_sha.filter(|_| state == PullRequestState::Merged);
        Ok(PullRequest {
            repository: repository.clone(),
            number: self.number.filter(|number| *number > 0).ok_or("pull_request.number is missing")?,
            title: one_line(&self.title.unwrap_or_default()),
            state,
            head: commit("pull_request.head.sha", head.sha)?,
            head_branch: branch("pull_request.head.ref", head.name)?,
            head_repository,
            fork,
            target_branch: branch("pull_request.base.ref", base.name)?,
            author: self.user.and_then(UserPart::login),
            merge_commit: merge_commit.map(|id| commit("pull_request.merge_commit_sha", Some(id))).transpose()?,
        })
    }

    /// The full name of the repository that it would change.
    pub(super) fn base_repository(&self) -> Option<&str> {
        self.base.as_ref()?.repo.as_ref()?.full_name.as_deref()
    }
}

fn commit(field: &str, text: Option<String>) -> Result<CommitSha, String> {
    let text = text.ok_or_else(|| format!("{field} is missing"))?;
    CommitSha::parse(&text).map_err(|error| format!("{field}: {error}"))
}

/// The name of a branch that can be made the end of a ref, and can't be taken for anything else.
fn branch(field: &str, text: Option<String>) -> Result<String, String> {
    let sane = |name: &String| {
        (1..=BRANCH_LIMIT).contains(&name.len())
            && !name.starts_with(['-', '/'])
            && !name.ends_with('/')
            && !name.contains("..")
            && !name.chars().any(|letter| letter.is_control() || " ~^:?*[\\".contains(letter))
    };
    text.filter(sane).ok_or_else(|| format!("{field} is not the name of a branch"))
}

/// A title in one line, cut at a character.
fn one_line(title: &str) -> String {
    super::client::one_line(title, TITLE_LIMIT)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn sample() -> Value {
        json!({
            "number": 7, "state": "open", "title": "Deploy\n twice", "merged": false, "draft": false,
            "merge_commit_sha": "c".repeat(40), "user": {"login": "ann"},
            "head": {"ref": "topic", "sha": "a".repeat(40), "repo": {"full_name": "ann/shop"}},
            "base": {"ref": "main", "sha": "b".repeat(40), "repo": {"full_name": "Acme/Shop"}},
        })
    }

    fn read(value: Value) -> Result<PullRequest, String> {
        let part: PullRequestPart = serde_json::from_value(value).map_err(|error| error.to_string())?;
        part.into_model(&RepositoryName::parse("acme/shop").expect("legal"))
    }

    #[test]
    fn an_open_one_of_a_fork() {
        let found = read(sample()).expect("legal");
        assert_eq!(
            found,
            PullRequest {
                repository: RepositoryName::parse("acme/shop").expect("legal"),
                number: 7,
                title: "Deploy twice".to_owned(),
                state: PullRequestState::Open,
                head: CommitSha::parse(&"a".repeat(40)).expect("legal"),
                head_branch: "topic".to_owned(),
                head_repository: Some("ann/shop".to_owned()),
                fork: true,
                target_branch: "main".to_owned(),
                author: Some("ann".to_owned()),
                merge_commit: None,
            },
            "the merge that GitHub tried out for itself is no merge"
        );
    }

    #[test]
    fn a_merged_one_has_its_commit_and_a_closed_one_has_none() {
        let mut value = sample();
        value["state"] = json!("closed");
        assert_eq!(
            read(value.clone()).map(|found| (found.state, found.merge_commit)),
            Ok((PullRequestState::Closed, None))
        );
        // The list of the API has the date and no flag.
        value["merged"] = Value::Null;
        value["merged_at"] = json!("2026-11-20T10:11:12Z");
        let found = read(value).expect("legal");
        assert_eq!(found.state, PullRequestState::Merged);
        assert_eq!(found.merge_commit, CommitSha::parse(&"c".repeat(40)).ok());
    }

    #[test]
    fn a_fork_is_known_by_its_repository_whatever_the_case_or_when_it_is_gone() {
        let mut value = sample();
        value["head"]["repo"]["full_name"] = json!("acme/SHOP");
        assert_eq!(read(value.clone()).map(|found| found.fork), Ok(false));
        value["head"]["repo"] = Value::Null;
        assert_eq!(read(value).map(|found| (found.fork, found.head_repository)), Ok((true, None)));
    }

    #[test]
    fn odd_values_are_refused_and_long_ones_cut() {
        for (pointer, value) in [
            ("/number", json!(0)),
            ("/number", json!(-1)),
            ("/number", json!("7")),
            ("/state", json!("draft")),
            ("/head", Value::Null),
            ("/head/sha", json!("abc")),
            ("/head/sha", json!("--upload-pack=x")),
            ("/head/ref", json!("--upload-pack=x")),
            ("/head/ref", json!("a/../b")),
            ("/head/ref", json!("a\nb")),
            ("/head/ref", json!("a:b")),
            ("/head/ref", json!("")),
            ("/head/ref", json!("x".repeat(1001))),
            ("/head/repo/full_name", json!("../../etc")),
            ("/base/ref", Value::Null),
            ("/base", json!([])),
        ] {
            let mut odd = sample();
            *odd.pointer_mut(pointer).expect("it is there") = value.clone();
            assert!(read(odd).is_err(), "{pointer} {value}");
        }
        let mut long = sample();
        long["title"] = json!("ä".repeat(5000));
        long["user"]["login"] = json!("not a login");
        let found = read(long).expect("legal");
        assert_eq!((found.title.chars().count(), found.author), (TITLE_LIMIT, None));
    }
}
