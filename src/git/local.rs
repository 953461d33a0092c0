//! A person's own repository, read at any commit. Nothing is written into it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use git2::{DiffOptions, ErrorCode, Repository};

use super::history::{self, Changed, MAX_PATHS};
use super::{GitError, Snapshot};
use crate::model::CommitSha;

/// Where the default branch of a clone is looked for, in this order, if its remote doesn't say.
const DEFAULTS: [&str; 4] =
    ["refs/remotes/origin/main", "refs/remotes/origin/master", "refs/heads/main", "refs/heads/master"];

/// The repository that a folder of a person's lies in.
pub struct Local {
    repository: Repository,
    dir: PathBuf,
    prefix: String,
}

impl std::fmt::Debug for Local {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Local").field("dir", &self.dir).field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Local {
    /// The repository whose work tree `root` is, or lies in; none if there is none.
    ///
    /// # Errors
    /// If it can't be read, or its work tree has a name that is not UTF-8.
    pub fn find(root: &Path) -> Result<Option<Self>, GitError> {
        let repository = match Repository::discover(root) {
            Ok(repository) => repository,
            Err(error) if error.code() == ErrorCode::NotFound => return Ok(None),
            Err(error) => return Err(GitError::reading(root)(error)),
        };
        let Some(tree) = repository.workdir().and_then(|tree| tree.canonicalize().ok()) else { return Ok(None) };
        let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
        let Ok(inside) = root.strip_prefix(&tree) else { return Ok(None) };
        let prefix = inside.to_str().ok_or_else(|| GitError::NameNotUtf8(inside.to_string_lossy().into_owned()))?;
        let (dir, prefix) = (repository.path().to_owned(), prefix.to_owned());
        Ok(Some(Self { repository, dir, prefix }))
    }

    /// The way from the work tree's root to the folder, with `/`; empty if they are the same.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The commit that a revision names as Git understands it; none if it names none.
    pub fn resolve(&self, revision: &str) -> Option<CommitSha> {
        let commit = self.repository.revparse_single(revision).ok()?.peel_to_commit().ok()?;
        CommitSha::parse(&commit.id().to_string()).ok()
    }

    /// The short name of the default branch, and where it stands: what `origin` calls so, or `main` or `master`.
    pub fn default_branch(&self) -> Option<(String, CommitSha)> {
        let named = self.repository.find_reference("refs/remotes/origin/HEAD").ok();
        let named = named.and_then(|head| head.symbolic_target().ok().flatten().map(str::to_owned));
        let candidates = named.iter().map(String::as_str).chain(DEFAULTS);
        candidates.filter_map(|name| Some((short(name).to_owned(), self.resolve(name)?))).next()
    }

    /// Where a branch stands: at `origin`, or here.
    pub fn branch(&self, name: &str) -> Option<CommitSha> {
        let full = [format!("refs/remotes/origin/{name}"), format!("refs/heads/{name}")];
        full.iter().find_map(|name| self.resolve(name))
    }

    /// The branches and tags as others see them at `origin`, by full name: `refs/heads/main` is `origin`'s as it was fetched
    /// last, or this clone's own.
    ///
    /// # Errors
    /// If the repository can't be read.
    pub fn heads(&self) -> Result<BTreeMap<String, CommitSha>, GitError> {
        let failed = GitError::reading(&self.dir);
        let mut heads = BTreeMap::new();
        for reference in self.repository.references().map_err(&failed)? {
            let reference = reference.map_err(&failed)?;
            let Ok(name) = reference.name() else { continue };
            let Some(commit) = self.resolve(name) else { continue };
            match name.strip_prefix("refs/remotes/origin/") {
                Some(branch) => drop(heads.insert(format!("refs/heads/{branch}"), commit)),
                None if name.starts_with("refs/heads/") => drop(heads.entry(name.to_owned()).or_insert(commit)),
                None if name.starts_with("refs/tags/") => drop(heads.insert(name.to_owned(), commit)),
                None => {}
            }
        }
        Ok(heads)
    }

    /// The commits in the histories of these that begin with some digits, two at most.
    ///
    /// # Errors
    /// If the repository can't be read, or its history is too long.
    pub fn beginning_with(
        &self,
        digits: &str,
        heads: &BTreeMap<String, CommitSha>,
    ) -> Result<Vec<CommitSha>, GitError> {
        super::commits_beginning_with(&self.dir, digits, heads.values())
    }

    /// Whether history is cut off somewhere, so that what isn't here may be at `origin`.
    pub fn is_shallow(&self) -> bool {
        self.repository.is_shallow()
    }

    /// The newest commit that the histories of two commits share.
    pub fn merge_base(&self, one: &CommitSha, other: &CommitSha) -> Option<CommitSha> {
        let id = |commit| history::find(&self.repository, &self.dir, commit).ok().map(|commit| commit.id());
        let base = self.repository.merge_base(id(one)?, id(other)?).ok()?;
        CommitSha::parse(&base.to_string()).ok()
    }

    /// The files of a commit.
    ///
    /// # Errors
    /// If the repository doesn't have it or can't be read.
    pub fn snapshot(&self, commit: &CommitSha) -> Result<Snapshot, GitError> {
        let repository = Repository::open(&self.dir).map_err(GitError::reading(&self.dir))?;
        Snapshot::new(repository, &self.dir, commit)
    }

    /// The paths below the folder in which `head` differs from `base`, seen from the folder; without `head`, in which
    /// the work tree does, committed or not, what is ignored left out.
    ///
    /// # Errors
    /// If the repository can't be read.
    pub fn changed(&self, base: Option<&CommitSha>, head: Option<&CommitSha>) -> Result<Changed, GitError> {
        let changed = match (base, head) {
            (base, Some(head)) => history::changed_paths(&self.repository, &self.dir, base, head)?,
            (Some(base), None) => self.changed_in_tree(base)?,
            (None, None) => Changed { paths: Vec::new(), truncated: true },
        };
        if self.prefix.is_empty() {
            return Ok(changed);
        }
        let inside = |path: &String| path.strip_prefix(&self.prefix)?.strip_prefix('/').map(str::to_owned);
        Ok(Changed { paths: changed.paths.iter().filter_map(inside).collect(), ..changed })
    }

    fn changed_in_tree(&self, base: &CommitSha) -> Result<Changed, GitError> {
        let failed = GitError::reading(&self.dir);
        let tree = history::find(&self.repository, &self.dir, base)?.tree().map_err(&failed)?;
        let mut options = DiffOptions::new();
        options.include_untracked(true).recurse_untracked_dirs(true).ignore_submodules(true);
        let diff = self.repository.diff_tree_to_workdir_with_index(Some(&tree), Some(&mut options)).map_err(&failed)?;
        Ok(history::paths(&diff, MAX_PATHS))
    }
}

/// `main` of `refs/remotes/origin/main` and of `refs/heads/main`.
fn short(name: &str) -> &str {
    let rest = name.strip_prefix("refs/remotes/origin/").or_else(|| name.strip_prefix("refs/heads/"));
    rest.unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::first_commit;

    #[tokio::test]
    async fn a_repository_is_read_at_a_commit_and_as_it_stands() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("shop");
        let inner = root.join("examples/one");
        std::fs::create_dir_all(&inner).expect("a folder");
        for (path, text) in [("a", "1"), (".gitignore", "ignored\n"), ("examples/one/b", "1"), ("examples/one/c", "1")]
        {
            std::fs::write(root.join(path), text).expect("a file");
        }
        let first = first_commit(&root, "First").await.expect("a commit");
        for path in ["examples/one/b", "examples/one/new/d", "ignored", "e"] {
            std::fs::create_dir_all(root.join(path).parent().expect("a parent")).expect("a folder");
            std::fs::write(root.join(path), "2").expect("a file");
        }
        let local = Local::find(&root).expect("reads").expect("is there");
        assert_eq!((local.prefix(), local.resolve("HEAD"), local.resolve("nothing")), ("", Some(first.clone()), None));
        assert_eq!(local.default_branch(), Some(("main".to_owned(), first.clone())));
        assert_eq!(local.merge_base(&first, &first), Some(first.clone()));
        let changed = local.changed(Some(&first), None).expect("reads");
        assert_eq!(changed.paths, ["e", "examples/one/b", "examples/one/new/d"]);
        assert_eq!(local.changed(Some(&first), Some(&first)).expect("reads"), Changed::default());
        let inner = Local::find(&inner).expect("reads").expect("is there");
        assert_eq!(inner.prefix(), "examples/one");
        assert_eq!(inner.changed(Some(&first), None).expect("reads").paths, ["b", "new/d"]);
        let read = inner.snapshot(&first).expect("opens").read("examples/one/b", 10).expect("reads");
        assert_eq!(read, Some(b"1".to_vec()));
        assert!(Local::find(folder.path()).expect("reads").is_none());
    }
}
