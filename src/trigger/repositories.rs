//! The repositories that are followed, each with its mirror.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;

use crate::clock::Timestamp;
use crate::config::{self, Applications};
use crate::git::{self, GitError, GitOptions, Mirror, Remote};
use crate::gitops::matching::RefName;
use crate::model::{CommitSha, RepositoryName};

/// A repository to follow.
#[derive(Debug, Clone)]
pub struct RepositorySpec {
    /// `owner/name` for one of a forge.
    pub name: RepositoryName,
    /// The forge that hosts it, by the operator's name for it.
    pub forge: Option<String>,
    /// The address of that forge; what it names elsewhere is not fetched.
    pub forge_url: Option<String>,
    /// Where it is fetched from.
    pub remote: Remote,
    /// The branches whose definitions count; empty: the remote's default branch.
    pub branches: Vec<String>,
    /// The applications that it may define; `None`: any.
    pub applications: Option<Applications>,
    /// The pause between two looks.
    pub poll: Duration,
}

impl RepositorySpec {
    /// All repositories of a configuration.
    pub fn all(config: &config::Config) -> Vec<Self> {
        let spec = |repository: &config::Repository| {
            let forge = repository.forge.as_ref().and_then(|name| config.forges.get(name));
            Self { forge_url: forge.map(|forge| forge.url.clone()), ..Self::of(repository) }
        };
        config.repositories.iter().map(spec).collect()
    }

    fn of(repository: &config::Repository) -> Self {
        let credentials = repository.credentials.as_ref().map(|credentials| git::Credentials {
            username: credentials.username.clone(),
            password: credentials.password.clone(),
        });
        Self {
            name: repository.name.clone(),
            forge: repository.forge.clone(),
            forge_url: None,
            remote: Remote { url: repository.location.to_url(), credentials },
            branches: repository.branches.clone(),
            applications: repository.applications.clone(),
            poll: repository.poll,
        }
    }
}

/// The repositories that are followed; cheap to clone.
#[derive(Debug, Clone)]
pub struct RepositorySet(Arc<BTreeMap<RepositoryName, Arc<Repository>>>);

impl RepositorySet {
    /// Repositories whose mirrors are below `mirrors`. Nothing is made or asked yet: a repository that can't be
    /// used must not keep the others from it.
    pub fn new(specs: Vec<RepositorySpec>, mirrors: &Path, options: &GitOptions) -> Self {
        let repository = |spec: RepositorySpec| {
            let dir = mirrors.join(format!("{}.git", spec.name.as_str().replace('/', "%2F")));
            (spec.name.clone(), Arc::new(Repository::new(spec, dir, options.clone())))
        };
        Self(Arc::new(specs.into_iter().map(repository).collect()))
    }

    /// The repository of that name.
    pub fn get(&self, name: &RepositoryName) -> Option<&Arc<Repository>> {
        self.0.get(name)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Repository>> {
        self.0.values()
    }

    /// Writes the files of a commit into `dir`, which must not exist or be empty. What the mirror doesn't have
    /// yet is fetched.
    ///
    /// # Errors
    /// If the repository isn't followed, doesn't have the commit, or the folder can't be written.
    pub async fn checkout(&self, name: &RepositoryName, commit: &CommitSha, dir: &Path) -> Result<(), CheckoutError> {
        let repository = self.get(name).ok_or_else(|| CheckoutError::NotFollowed(name.clone()))?;
        match repository.ensure(commit).await {
            // Its branch went on without it, and only another replica's mirror took it along meanwhile. An execution runs
            // it, so it was on a branch or tag; whoever starts one can't bring in a commit by this way.
            Err(GitError::MissingCommit { .. }) => repository.mirror().await?.fetch_commit(commit).await?,
            ensured => ensured?,
        }
        Ok(repository.mirror().await?.checkout(commit, dir).await?)
    }
}

/// Why the files of a commit can't be had.
#[derive(Debug, thiserror::Error)]
pub enum CheckoutError {
    /// The configuration doesn't have the repository any more.
    #[error("the repository {0} is not in the configuration any more")]
    NotFollowed(RepositoryName),
    /// Git failed.
    #[error(transparent)]
    Git(#[from] GitError),
}

/// One repository that is followed.
#[derive(Debug)]
pub struct Repository {
    /// What the configuration says.
    pub spec: RepositorySpec,
    dir: PathBuf,
    options: GitOptions,
    mirror: OnceCell<Mirror>,
    known: Mutex<Known>,
    /// Held while something of the repository is worked off, so that its branches are published in order.
    pub(super) working: tokio::sync::Mutex<()>,
}

/// What this process has learnt about a repository.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The remote's default branch.
    pub(super) default_branch: Option<String>,
    /// Whether its tree held application files when it was last looked at.
    pub(super) has_files: Option<bool>,
    /// Whether a look ever succeeded: until then, nothing is a change.
    pub(super) reached: bool,
    /// The tracked branches that were published by this process, at its start or later.
    pub(super) published: Vec<String>,
    /// What the store was last told about the repository's health, and when.
    pub(super) noted: Option<(Option<String>, Timestamp)>,
}

impl Repository {
    pub(super) fn new(spec: RepositorySpec, dir: PathBuf, options: GitOptions) -> Self {
        Self {
            spec,
            dir,
            options,
            mirror: OnceCell::new(),
            known: Mutex::default(),
            working: tokio::sync::Mutex::default(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &RepositoryName {
        &self.spec.name
    }

    /// The folder of its mirror.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The branches whose definitions count; `None`: the default branch, which isn't known yet.
    pub fn tracked(&self) -> Option<Vec<String>> {
        if self.spec.branches.is_empty() {
            self.known().default_branch.clone().map(|branch| vec![branch])
        } else {
            Some(self.spec.branches.clone())
        }
    }

    /// Whether a ref is a branch whose definitions count, as far as is known.
    pub(super) fn tracks(&self, git_ref: &str) -> bool {
        let branch = RefName::of(git_ref).and_then(RefName::branch);
        branch.is_some_and(|branch| self.tracked().is_some_and(|tracked| tracked.iter().any(|name| name == branch)))
    }

    /// Its mirror, opened when it is first needed.
    ///
    /// # Errors
    /// If it can't be made.
    pub async fn mirror(&self) -> Result<&Mirror, GitError> {
        let open = || Mirror::open(self.dir.clone(), self.spec.remote.clone(), self.options.clone());
        self.mirror.get_or_try_init(open).await
    }

    /// Fetches, unless the mirror has the commit.
    ///
    /// # Errors
    /// If the remote can't be fetched from, or doesn't have the commit.
    pub async fn ensure(&self, commit: &CommitSha) -> Result<(), GitError> {
        if self.has(commit).await? {
            return Ok(());
        }
        self.mirror().await?.fetch().await?;
        if self.has(commit).await? { Ok(()) } else { Err(GitError::MissingCommit { commit: commit.clone() }) }
    }

    async fn has(&self, commit: &CommitSha) -> Result<bool, GitError> {
        let commit = commit.clone();
        self.read(move |mirror| Ok(mirror.has_commit(&commit))).await
    }

    /// Reads the mirror in a blocking task.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Mirror) -> Result<T, GitError> + Send + 'static,
    ) -> Result<T, GitError> {
        let mirror = self.mirror().await?.clone();
        let dir = self.dir.clone();
        let stopped = |error| GitError::Local {
            action: "work was broken off on",
            path: dir,
            source: std::io::Error::other(error),
        };
        tokio::task::spawn_blocking(move || read(&mirror)).await.map_err(stopped)?
    }

    /// Like [`Repository::tracked`], asking the remote if need be.
    pub(super) async fn tracked_now(&self) -> Result<Vec<String>, GitError> {
        if let Some(branches) = self.tracked() {
            return Ok(branches);
        }
        let branch = self.mirror().await?.remote_heads().await?.default_branch;
        self.known().default_branch.clone_from(&branch);
        Ok(branch.into_iter().collect())
    }

    /// Begins anew with what the store knows: another process may have followed the repository meanwhile.
    pub(super) fn recall(&self, has_files: Option<bool>, reached: bool) {
        let mut known = self.known();
        // The default branch is the remote's word: the best that there is until the next look.
        let default_branch = known.default_branch.take();
        *known = Known { default_branch, has_files, reached, ..Known::default() };
    }

    /// Remembers whether the tree of a tracked branch has application files.
    pub(super) fn note_files(&self, has_files: bool) {
        self.known().has_files = Some(has_files);
    }

    /// Remembers that a tracked branch is published.
    pub(super) fn note_published(&self, branch: &str) {
        let mut known = self.known();
        if !known.published.iter().any(|name| name == branch) {
            known.published.push(branch.to_owned());
        }
    }

    pub(super) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
