//! The graph of dependencies: who uses a module, and what the files of a repository use.
//!
//! The server keeps what the files of each tracked branch used when they were looked at last. How much is told of those
//! who use a module repository is what its `dependents` allows, as in the comments of its pull requests.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Shared;
use super::problem::Problem;
use crate::config::Repository;
use crate::diagnostic::nearest;
use crate::model::{ApplicationName, CommitSha, ImpactDetail, PipelineName, RepositoryName};
use crate::store::{Dependent, FileDependency, MOST_USES, Published};

/// What the modules of the program are filed under.
const BUILT_IN: &str = "std";

/// A use of a module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct User<'a> {
    repository: &'a RepositoryName,
    branch: &'a str,
    application: Option<&'a ApplicationName>,
    /// Those that the file defines.
    pipelines: Vec<&'a PipelineName>,
    module: Option<&'a str>,
    /// What stands behind the `@`.
    reference: Option<&'a str>,
    commit: Option<&'a CommitSha>,
    #[serde(flatten)]
    site: Option<Site<'a>>,
}

/// Where a file uses something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Site<'a> {
    file: &'a str,
    line: Option<u32>,
    /// The modules in between.
    through: &'a [String],
}

impl<'a> Site<'a> {
    fn new(uses: &'a FileDependency) -> Self {
        Self { file: &uses.file, line: uses.line, through: &uses.through }
    }
}

/// How many use the same of a module repository.
#[derive(Debug, Serialize)]
struct ByReference<'a> {
    reference: Option<&'a str>,
    commit: Option<&'a CommitSha>,
    #[serde(flatten)]
    count: Count,
}

#[derive(Debug, Serialize)]
struct Count {
    repositories: usize,
    branches: usize,
    files: usize,
}

impl Count {
    fn new<'a>(users: impl Iterator<Item = &'a Dependent> + Clone) -> Self {
        let repositories: BTreeSet<_> = users.clone().map(|one| &one.repository).collect();
        let branches: BTreeSet<_> = users.clone().map(|one| (&one.repository, &one.branch)).collect();
        let files: BTreeSet<_> = users.map(|one| (&one.repository, &one.branch, &one.uses.file)).collect();
        Self { repositories: repositories.len(), branches: branches.len(), files: files.len() }
    }
}

/// Answers `GET /modules/{name}/dependents`: a name has slashes, escaped or not.
pub(super) async fn below(State(shared): State<Shared>, Path(path): Path<String>) -> Result<Json<Value>, Problem> {
    let name = path.strip_suffix("/dependents").filter(|name| !name.is_empty());
    let Some(name) = name else {
        return Err(Problem::not_found(format!("the API has no `modules/{path}`; ask for its `dependents`")));
    };
    let whole = shared.api.config.modules.iter().any(|modules| modules.name == name);
    let store = &shared.api.store;
    let mut users = if whole { store.dependents_of_all(name).await? } else { store.dependents(name).await? };
    let cut = is_cut(users.len());
    let standing = standing(&shared, &users).await?;
    users.retain(|one| standing.contains(&(one.repository.clone(), one.branch.clone())));
    let detail = detail(&shared, name, &users);
    let near = match users.is_empty() && !whole && detail != ImpactDetail::Counts {
        true => {
            let used = store.used_modules().await?;
            nearest(name, used.iter().map(String::as_str).filter(|used| *used != name)).map(str::to_owned)
        }
        false => None,
    };
    let pipelines = match detail {
        ImpactDetail::Counts => Vec::new(),
        _ if users.is_empty() => Vec::new(),
        _ => store.pipelines(None).await?,
    };
    let mut items: Vec<User<'_>> = Vec::new();
    if detail != ImpactDetail::Counts {
        for one in &users {
            let user = user(one, detail, &pipelines);
            // Without their files, several are the same; those of a branch stand together.
            if !items.iter().rev().take_while(|other| other.repository == user.repository).any(|other| *other == user) {
                items.push(user);
            }
        }
    }
    let mut by_reference: BTreeMap<_, Vec<&Dependent>> = BTreeMap::new();
    for one in &users {
        by_reference.entry((&one.uses.reference, &one.uses.commit)).or_default().push(one);
    }
    let references = by_reference.into_iter().map(|((reference, commit), users)| ByReference {
        reference: reference.as_deref(),
        commit: commit.as_ref(),
        count: Count::new(users.into_iter()),
    });
    let mut answer = json!({
        "module": name,
        "detail": detail,
        "references": references.collect::<Vec<_>>(),
        "items": items,
        "cut": cut,
        "near": near,
        "nextCursor": null,
    });
    let Count { repositories, branches, files } = Count::new(users.iter());
    for (key, number) in [("repositories", repositories), ("branches", branches), ("files", files)] {
        answer[key] = json!(number);
    }
    Ok(Json(answer))
}

/// The branches of these uses that are there, and whose definitions count.
async fn standing(shared: &Shared, users: &[Dependent]) -> Result<BTreeSet<(RepositoryName, String)>, Problem> {
    let mut standing: BTreeSet<_> = users.iter().map(|one| (one.repository.clone(), one.branch.clone())).collect();
    standing.retain(|(repository, branch)| shared.api.triggers.tracks(repository, branch));
    for branch in standing.clone() {
        let head = shared.api.store.head(&branch.0, &format!("refs/heads/{}", branch.1)).await?;
        if head.is_none_or(|head| head.commit.is_none()) {
            standing.remove(&branch);
        }
    }
    Ok(standing)
}

fn is_cut(number: usize) -> bool {
    i64::try_from(number).unwrap_or(i64::MAX) >= MOST_USES
}

/// How much may be told of those who use a module. Of a module repository that isn't configured any more, only how
/// many they are.
fn detail(shared: &Shared, name: &str, users: &[Dependent]) -> ImpactDetail {
    let configured = |name: &str| shared.api.config.modules.iter().find(|modules| modules.name == name);
    let of_name = configured(name.split('/').next().unwrap_or_default()).map(|modules| modules.dependents.detail());
    let of_users = users.iter().filter_map(|one| match one.uses.used_repository.as_deref() {
        None | Some(BUILT_IN) => None,
        Some(name) => Some(configured(name).map(|modules| modules.dependents.detail()).unwrap_or_default()),
    });
    of_users.chain(of_name).min().unwrap_or(ImpactDetail::Plans)
}

fn user<'a>(one: &'a Dependent, detail: ImpactDetail, pipelines: &'a [Published]) -> User<'a> {
    let Dependent { repository, branch, uses } = one;
    let defines = |published: &&Published| {
        Some(&published.pipeline.application) == uses.application.as_ref()
            && published.repository == *repository
            && published.branch == *branch
            && published.pipeline.source.file == uses.file
    };
    User {
        repository,
        branch,
        application: uses.application.as_ref(),
        pipelines: pipelines.iter().filter(defines).map(|published| &published.pipeline.name).collect(),
        module: uses.module.as_deref(),
        reference: uses.reference.as_deref(),
        commit: uses.commit.as_ref(),
        site: (detail == ImpactDetail::Plans).then(|| Site::new(uses)),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Narrow {
    branch: Option<String>,
    file: Option<String>,
}

/// Something that a file uses.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Dependency<'a> {
    branch: &'a str,
    application: Option<&'a ApplicationName>,
    #[serde(flatten)]
    site: Site<'a>,
    module: Option<&'a str>,
    /// The module repository, `std`, or null for the repository itself.
    module_repository: Option<&'a str>,
    /// Its file there.
    used_file: Option<&'a str>,
    reference: Option<&'a str>,
    commit: Option<&'a CommitSha>,
}

/// Answers `GET /repositories/{name}/dependencies`: what the files of its tracked branches use.
pub(super) async fn dependencies(
    shared: &Shared,
    repository: &Repository,
    narrow: Narrow,
) -> Result<Json<Value>, Problem> {
    let (name, store) = (&repository.name, &shared.api.store);
    let heads = store.heads(name).await?;
    let branches =
        heads.iter().filter(|head| head.commit.is_some()).filter_map(|head| head.git_ref.strip_prefix("refs/heads/"));
    let wanted = |branch: &&str| {
        shared.api.triggers.tracks(name, branch) && narrow.branch.as_deref().is_none_or(|one| one == *branch)
    };
    let branches: Vec<&str> = branches.filter(wanted).collect();
    if let (Some(branch), []) = (&narrow.branch, &branches[..]) {
        return Err(Problem::not_found(format!("`{branch}` is no branch of `{name}` whose pipelines count")));
    }
    let mut found = Vec::new();
    let mut cut = false;
    for branch in branches {
        let mut uses = store.dependencies(name, branch).await?;
        cut |= is_cut(uses.len());
        uses.retain(|one| narrow.file.as_deref().is_none_or(|file| file == one.file));
        found.extend(uses.into_iter().map(|one| (branch, one)));
    }
    let item = |(branch, uses): &'_ (&'_ str, FileDependency)| {
        json!(Dependency {
            branch,
            application: uses.application.as_ref(),
            site: Site::new(uses),
            module: uses.module.as_deref(),
            module_repository: uses.used_repository.as_deref(),
            used_file: uses.used_file.as_deref(),
            reference: uses.reference.as_deref(),
            commit: uses.commit.as_ref(),
        })
    };
    let items: Vec<Value> = found.iter().map(item).collect();
    Ok(Json(json!({"repository": name, "items": items, "cut": cut, "nextCursor": null})))
}
