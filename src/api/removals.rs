//! Commits that take away more pipelines than one commit may, and the word that they may after all.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Serialize;
use serde_json::{Value, json};

use super::Shared;
use super::guard::Actor;
use super::problem::Problem;
use super::repositories::repository_at;
use super::request::{Nothing, Payload};
use crate::model::{CommitSha, RepositoryName};
use crate::store::{Approval, StoredRemoval};

/// The fewest digits by which a commit can be named.
const FEWEST_DIGITS: usize = 7;

/// A removal as the API shows it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct View {
    /// What takes the pipelines away.
    cause: Cause,
    /// The commit that does, or the one by which that of the configuration is approved.
    commit: CommitSha,
    /// The branch of the commit that does.
    #[serde(rename = "ref")]
    git_ref: Option<String>,
    pipelines: Vec<String>,
    of: u32,
    refused_time: String,
    approved_by: Option<String>,
    approved_time: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Cause {
    Commit,
    Configuration,
}

impl From<StoredRemoval> for View {
    fn from(removal: StoredRemoval) -> Self {
        let by_configuration = removal.is_by_configuration();
        let (by, at) = removal.approved.unzip();
        Self {
            cause: if by_configuration { Cause::Configuration } else { Cause::Commit },
            commit: removal.commit,
            git_ref: (!by_configuration).then_some(removal.git_ref),
            pipelines: removal.pipelines,
            of: removal.of,
            refused_time: removal.refused_at.to_rfc3339(),
            approved_by: by,
            approved_time: at.map(|at| at.to_rfc3339()),
        }
    }
}

/// Those of `all` that wait for an approval in a repository.
pub(super) fn waiting(all: &[StoredRemoval], repository: &RepositoryName) -> Vec<View> {
    let waiting = all.iter().filter(|one| one.repository == *repository && one.approved.is_none());
    waiting.cloned().map(View::from).collect()
}

/// Answers `POST /repositories/{name}/removals/{commit}/approve`: a name has slashes, escaped or not.
pub(super) async fn act(
    State(shared): State<Shared>,
    Path(path): Path<String>,
    Extension(Actor(by)): Extension<Actor>,
    Payload(Nothing {}): Payload<Nothing>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let (name, rest) = match waiting_at(&shared, &path).await? {
        Some(found) => found,
        None => repository_at(&shared, &path).map(|(repository, rest)| (repository.name.clone(), rest))?,
    };
    let commit = rest.strip_prefix("removals/").and_then(|rest| rest.strip_suffix("/approve"));
    let Some(commit) = commit.filter(|commit| !commit.contains('/')) else {
        return Err(match rest {
            "" | "pull-requests" | "removals" => Problem::method_not_allowed(),
            _ => Problem::not_found(format!("of `{name}`, the API has no `{rest}` to be changed")),
        });
    };
    let commit = named(&shared, &name, commit).await?;
    let (store, wanted, actor) = (shared.api.store.clone(), commit.clone(), by.clone());
    let of = name.clone();
    // In a task of its own: it isn't taken back when the client hangs up.
    let task = tokio::spawn(async move { store.approve_removal(&of, &wanted, &actor).await });
    match task.await.map_err(Problem::internal)?? {
        Approval::Given(removals) => {
            tracing::info!(repository = %name, %commit, %by, "a removal of pipelines was approved");
            let items: Vec<View> = removals.into_iter().map(View::from).collect();
            Ok((StatusCode::ACCEPTED, Json(json!({"repository": name, "commit": commit, "removals": items}))))
        }
        Approval::NotRefused => Err(not_refused(&name, commit.as_str())),
        Approval::MovedOn { git_ref, head } => {
            let branch = git_ref.strip_prefix("refs/heads/").unwrap_or(&git_ref);
            let now = match head {
                Some(head) => format!("stands at {} by now", head.short()),
                None => "is gone by now".to_owned(),
            };
            let detail = format!("the branch {branch} of `{name}` {now}: only what it stands at can be approved");
            Err(Problem::conflict("moved-on", detail))
        }
    }
}

/// The repository that a path begins with and that isn't in the configuration any more, but has something that waits or
/// was approved, and what follows.
async fn waiting_at<'a>(shared: &Shared, path: &'a str) -> Result<Option<(RepositoryName, &'a str)>, Problem> {
    let Some((name, _)) = path.split_once("/removals/") else { return Ok(None) };
    let Ok(name) = RepositoryName::parse(name) else { return Ok(None) };
    let known = shared.api.store.removals(Some(&name)).await?;
    let rest = path.get(name.as_str().len() + 1..).unwrap_or_default();
    Ok((!known.is_empty()).then_some((name, rest)))
}

/// The refused commit that a text names, in full or by its first digits.
async fn named(shared: &Shared, repository: &RepositoryName, text: &str) -> Result<CommitSha, Problem> {
    let text = text.to_ascii_lowercase();
    if let Ok(commit) = CommitSha::parse(&text) {
        return Ok(commit);
    }
    if text.len() < FEWEST_DIGITS || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let detail = format!("`{text}` is no commit: write its id, or at least the first {FEWEST_DIGITS} digits");
        return Err(Problem::bad_request(detail));
    }
    let known = shared.api.store.removals(Some(repository)).await?;
    let mut found: Vec<CommitSha> =
        known.into_iter().map(|one| one.commit).filter(|commit| commit.as_str().starts_with(&text)).collect();
    found.sort_unstable();
    found.dedup();
    match found.len() {
        0 | 1 => found.pop().ok_or_else(|| not_refused(repository, &text)),
        several => {
            Err(Problem::conflict("ambiguous", format!("`{text}` stands for {several} commits: write more of it")))
        }
    }
}

fn not_refused(repository: &RepositoryName, commit: &str) -> Problem {
    let short: String = commit.chars().take(12).collect();
    Problem::not_found(format!("no removal by commit {short} of `{repository}` waits for an approval"))
}
