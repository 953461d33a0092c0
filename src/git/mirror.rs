//! The bare mirror of one repository.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use git2::{ErrorCode, Repository, RepositoryInitOptions, RepositoryOpenFlags};
use tokio::sync::Mutex;

use super::error::stopped;
use super::network::Network;
use super::remote::Location;
use super::{Changed, CommitInfo, GitError, Remote, RemoteHeads, Snapshot, checkout, history};
use crate::model::CommitSha;
use crate::telemetry::metrics;

/// What a mirror fetches: branches and tags, under their own names.
const REFSPECS: [&str; 2] = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
/// Every fetch leaves a pack; this many are joined.
const MANY_PACKS: usize = 40;
/// A lock file this old belongs to a git that is gone: none of ours may run longer.
const STALE_LOCK: Duration = Duration::from_secs(3600);

/// How long the `git` program may take, and how much it may say.
#[derive(Debug, Clone)]
pub struct GitOptions {
    /// For a look at a remote's refs.
    pub look_deadline: Duration,
    /// For a fetch into a mirror that has something.
    pub deadline: Duration,
    /// For the first fetch, and for housekeeping.
    pub first_deadline: Duration,
    /// The largest list of refs, in bytes.
    pub max_listing: usize,
}

impl Default for GitOptions {
    fn default() -> Self {
        Self {
            look_deadline: Duration::from_secs(30),
            deadline: Duration::from_secs(180),
            first_deadline: Duration::from_secs(1800),
            max_listing: 64 * 1024 * 1024,
        }
    }
}

impl GitOptions {
    /// With one figure for how long a talk with a server may take; a first fetch gets six times as long, and a
    /// look half a minute at most.
    pub fn within(deadline: Duration) -> Self {
        let default = Self::default();
        Self {
            look_deadline: default.look_deadline.min(deadline),
            deadline,
            first_deadline: deadline.saturating_mul(6),
            ..default
        }
    }
}

/// The bare mirror of one repository; cheap to clone. Fetches of one mirror run one after the other.
///
/// The functions that are not `async` read the disk: call them from blocking tasks.
#[derive(Clone)]
pub struct Mirror(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) dir: PathBuf,
    pub(super) network: Network,
    pub(super) options: GitOptions,
    pub(super) writing: Mutex<()>,
    /// Whether a git of this process writes, or was ended in the middle with whoever waited for it.
    pub(super) unfinished: AtomicBool,
}

impl std::fmt::Debug for Mirror {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Mirror").field("dir", &self.0.dir).field("remote", &self.0.network.name()).finish()
    }
}

impl Mirror {
    /// Opens the mirror in `dir`, making it if it isn't there and anew if it is damaged. The remote is not
    /// asked. One process at a time may use a mirror.
    ///
    /// # Errors
    /// If the address is not allowed or the folder can't be made.
    pub async fn open(dir: PathBuf, remote: Remote, options: GitOptions) -> Result<Self, GitError> {
        let dir = std::path::absolute(&dir).map_err(GitError::local("could not resolve", &dir))?;
        let network = Network::new(&dir, remote)?;
        let mirror = Self(Arc::new(Inner {
            dir,
            network,
            options,
            writing: Mutex::new(()),
            unfinished: AtomicBool::new(false),
        }));
        mirror.blocking(Inner::prepare).await?;
        Ok(mirror)
    }

    /// The mirror's folder.
    pub fn dir(&self) -> &Path {
        &self.0.dir
    }

    /// The remote's address as it may be shown.
    pub fn remote(&self) -> String {
        self.0.network.name()
    }

    /// Brings all branches and tags up to date; those that the remote no longer has go away. A damaged mirror
    /// is made anew, once.
    ///
    /// # Errors
    /// If the remote can't be fetched from.
    pub async fn fetch(&self) -> Result<(), GitError> {
        let started = Instant::now();
        let result = self.fetch_and_mend().await;
        metrics().fetched(if result.is_ok() { "good" } else { "failed" }, started.elapsed());
        result
    }

    /// Fetches a commit that no branch or tag leads to any more, if the remote still has it and gives it: another
    /// replica may have seen it while one did.
    ///
    /// # Errors
    /// [`GitError::MissingCommit`] if the remote refuses, or other errors as [`Mirror::fetch`].
    pub async fn fetch_commit(&self, commit: &CommitSha) -> Result<(), GitError> {
        let _writing = self.0.writing.lock().await;
        match self.fetch_refs(&[commit.as_str()]).await {
            // Git says in many words that a remote doesn't give a commit.
            Err(GitError::Failed { .. }) => Err(GitError::MissingCommit { commit: commit.clone() }),
            other => other,
        }
    }

    async fn fetch_and_mend(&self) -> Result<(), GitError> {
        let _writing = self.0.writing.lock().await;
        let error = match self.fetch_once().await {
            Err(error @ (GitError::Corrupt { .. } | GitError::Failed { .. })) => error,
            other => return other,
        };
        // Git has many words for a damaged repository, and the damage may also be the remote's: then making
        // the mirror anew helped once at most, and an empty one is as new as can be.
        let unclear = matches!(error, GitError::Failed { .. });
        if self.blocking(move |inner| Ok(inner.check().is_ok() && (unclear || inner.is_empty()?))).await? {
            return Err(error);
        }
        tracing::warn!(mirror = %self.0.dir.display(), %error, "the mirror is damaged; making it anew");
        self.blocking(Inner::recreate).await?;
        self.fetch_once().await
    }

    async fn fetch_once(&self) -> Result<(), GitError> {
        self.fetch_refs(&REFSPECS).await
    }

    async fn fetch_refs(&self, refspecs: &[&str]) -> Result<(), GitError> {
        let (empty, packs) = self.blocking(|inner| Ok((inner.is_empty()?, inner.count_packs()))).await?;
        let mut args: Vec<std::ffi::OsString> = [
            "fetch",
            "--quiet",
            "--prune",
            "--no-tags",
            "--no-auto-gc",
            "--no-recurse-submodules",
            "--no-write-fetch-head",
            "--",
        ]
        .map(Into::into)
        .into();
        args.push(self.0.network.address());
        args.extend(refspecs.iter().map(Into::into));
        let deadline = if empty { self.0.options.first_deadline } else { self.0.options.deadline };
        self.write(&self.0.network, args, deadline).await?;
        if packs >= MANY_PACKS {
            self.join_packs().await;
        }
        Ok(())
    }

    /// Runs a git that writes. To be called by whoever holds `writing`.
    pub(super) async fn write(
        &self,
        network: &Network,
        args: Vec<std::ffi::OsString>,
        deadline: Duration,
    ) -> Result<(), GitError> {
        let unfinished = &self.0.unfinished;
        if unfinished.swap(true, Ordering::AcqRel) {
            // It was killed with the task that waited for it, so its locks are nobody's.
            self.blocking(|inner| inner.remove_locks(Duration::ZERO)).await?;
        }
        let done = network.run(args, deadline, 64 * 1024).await;
        if let Err(GitError::TimedOut { .. }) = &done {
            // Killed as well.
            self.blocking(|inner| inner.remove_locks(Duration::ZERO)).await?;
        }
        unfinished.store(false, Ordering::Release);
        done.map(|_| ())
    }

    /// Joins small packs. Objects that no ref names any more are kept: executions may still need them.
    async fn join_packs(&self) {
        let args = ["repack", "--geometric=2", "-d", "--quiet"];
        if let Err(error) =
            self.write(&self.0.network, args.map(Into::into).into(), self.0.options.first_deadline).await
        {
            tracing::warn!(mirror = %self.0.dir.display(), %error, "joining the mirror's packs failed");
        }
    }

    /// Makes the mirror anew if it is damaged; the next [`Mirror::fetch`] fills it again.
    ///
    /// # Errors
    /// If the folder can't be written.
    pub async fn repair(&self) -> Result<(), GitError> {
        let _writing = self.0.writing.lock().await;
        self.blocking(Inner::recreate).await
    }

    /// What the remote has now, its default branch included. For a local work tree, whose HEAD is whatever
    /// its owner works on, the default branch is `main` or `master` if there is one.
    ///
    /// # Errors
    /// If the remote can't be asked.
    pub async fn remote_heads(&self) -> Result<RemoteHeads, GitError> {
        let mut heads = self.0.network.list(true, self.0.options.look_deadline, self.0.options.max_listing).await?;
        if let Location::Local(path) = self.0.network.location()
            && path.join(".git").exists()
            && let Some(usual) =
                ["main", "master"].into_iter().find(|name| heads.refs.contains_key(&format!("refs/heads/{name}")))
        {
            heads.default_branch = Some(usual.to_owned());
        }
        Ok(heads)
    }

    /// Like [`Mirror::remote_heads`] without the default branch; far less to say for a server that has many
    /// pull requests.
    ///
    /// # Errors
    /// If the remote can't be asked.
    pub async fn remote_branches(&self) -> Result<RemoteHeads, GitError> {
        self.0.network.list(false, self.0.options.look_deadline, self.0.options.max_listing).await
    }

    /// The branches and tags as last fetched, by full name, followed to their commits.
    ///
    /// # Errors
    /// If the mirror can't be read.
    pub fn heads(&self) -> Result<BTreeMap<String, CommitSha>, GitError> {
        let failed = GitError::reading(&self.0.dir);
        let repository = self.0.repository()?;
        let mut heads = BTreeMap::new();
        for reference in repository.references().map_err(&failed)? {
            let reference = reference.map_err(&failed)?;
            // What isn't UTF-8 or leads to no commit (a tag of a tree) can't be asked for either.
            let Ok(name) = reference.name() else { continue };
            let Ok(commit) = reference.peel_to_commit() else { continue };
            if let Ok(commit) = CommitSha::parse(&commit.id().to_string()) {
                heads.insert(name.to_owned(), commit);
            }
        }
        Ok(heads)
    }

    /// The default branch as [`Mirror::set_default_branch`] noted it, `main` before; none if there is no such branch.
    ///
    /// # Errors
    /// If the mirror can't be read.
    pub fn default_branch(&self) -> Result<Option<String>, GitError> {
        match self.0.repository()?.head() {
            Ok(head) => Ok(head.name().ok().and_then(|name| name.strip_prefix("refs/heads/")).map(str::to_owned)),
            Err(error) if matches!(error.code(), ErrorCode::UnbornBranch | ErrorCode::NotFound) => Ok(None),
            Err(error) => Err(GitError::reading(&self.0.dir)(error)),
        }
    }

    /// Notes which branch is the remote's default, so that it is known when the remote can't be asked.
    ///
    /// # Errors
    /// If the mirror can't be written.
    pub fn set_default_branch(&self, branch: &str) -> Result<(), GitError> {
        self.0.repository()?.set_head(&format!("refs/heads/{branch}")).map_err(GitError::reading(&self.0.dir))
    }

    /// Whether the mirror has the commit.
    pub fn has_commit(&self, commit: &CommitSha) -> bool {
        self.0.repository().is_ok_and(|repository| history::find(&repository, &self.0.dir, commit).is_ok())
    }

    /// The files of a commit.
    ///
    /// # Errors
    /// If the mirror doesn't have the commit or can't be read.
    pub fn snapshot(&self, commit: &CommitSha) -> Result<Snapshot, GitError> {
        Snapshot::new(self.0.repository()?, &self.0.dir, commit)
    }

    /// Who made a commit, when, and what for.
    ///
    /// # Errors
    /// If the mirror doesn't have the commit or can't be read.
    pub fn commit(&self, commit: &CommitSha) -> Result<CommitInfo, GitError> {
        history::info(&self.0.repository()?, &self.0.dir, commit)
    }

    /// Whether the history of `later` contains `earlier`; a commit contains itself.
    ///
    /// # Errors
    /// If the mirror doesn't have one of the commits or can't be read.
    pub fn contains(&self, later: &CommitSha, earlier: &CommitSha) -> Result<bool, GitError> {
        history::contains(&self.0.repository()?, &self.0.dir, later, earlier)
    }

    /// The paths in which two commits differ, whatever lies between them.
    ///
    /// # Errors
    /// If the mirror doesn't have the new commit or can't be read.
    pub fn changed_paths(&self, old: Option<&CommitSha>, new: &CommitSha) -> Result<Changed, GitError> {
        history::changed_paths(&self.0.repository()?, &self.0.dir, old, new)
    }

    /// Writes the files of a commit into `dir`, which must not exist or be empty. It appears complete or not
    /// at all. Submodules are empty folders; there is no `.git`.
    ///
    /// # Errors
    /// If the mirror doesn't have the commit, or the folder can't be written.
    pub async fn checkout(&self, commit: &CommitSha, dir: &Path) -> Result<(), GitError> {
        let (commit, dir) = (commit.clone(), dir.to_owned());
        self.blocking(move |inner| checkout::checkout(&inner.repository()?, &inner.dir, &commit, &dir)).await
    }

    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, GitError> + Send + 'static,
    ) -> Result<T, GitError> {
        let inner = self.0.clone();
        tokio::task::spawn_blocking(move || work(&inner)).await.map_err(stopped(&self.0.dir))?
    }
}

/// Opens the repository of a mirror as it is.
pub(super) fn open(dir: &Path) -> Result<Repository, GitError> {
    let flags = RepositoryOpenFlags::NO_SEARCH | RepositoryOpenFlags::BARE | RepositoryOpenFlags::NO_DOTGIT;
    let none: [&Path; 0] = [];
    Repository::open_ext(dir, flags, none).map_err(GitError::reading(dir))
}

impl Inner {
    /// Opened for each piece of work: a handle would keep seeing what a later fetch has replaced.
    pub(super) fn repository(&self) -> Result<Repository, GitError> {
        open(&self.dir)
    }

    fn prepare(&self) -> Result<(), GitError> {
        if !self.dir.exists() {
            return self.create();
        }
        if let Err(error) = self.check() {
            tracing::warn!(mirror = %self.dir.display(), %error, "the mirror can't be used; making it anew");
            return self.recreate();
        }
        self.write_global_config()?;
        self.remove_locks(STALE_LOCK)
    }

    /// Whether it is bare, and every ref leads to an object that can be read.
    fn check(&self) -> Result<(), GitError> {
        let repository = self.repository()?;
        let failed = GitError::reading(&self.dir);
        if !repository.is_bare() {
            return Err(GitError::Corrupt { dir: self.dir.clone(), detail: "it is not bare".to_owned() });
        }
        for reference in repository.references().map_err(&failed)? {
            if let Some(target) = reference.map_err(&failed)?.target() {
                repository.find_object(target, None).map_err(&failed)?;
            }
        }
        Ok(())
    }

    /// Made beside its place and then moved there, so that it is never half made. Who began to make it and was stopped may
    /// still come first; then theirs is as good.
    fn create(&self) -> Result<(), GitError> {
        let parent = self.dir.parent().unwrap_or(&self.dir);
        fs::create_dir_all(parent).map_err(GitError::local("could not create", parent))?;
        let fresh = tempfile::Builder::new()
            .prefix(".mirror-")
            .tempdir_in(parent)
            .map_err(GitError::local("could not create a folder in", parent))?;
        init(fresh.path()).map_err(GitError::reading(fresh.path()))?;
        match fs::rename(fresh.path(), &self.dir) {
            Ok(()) => drop(fresh.keep()),
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty && self.check().is_ok() => {}
            Err(error) => return Err(GitError::local("could not create", &self.dir)(error)),
        }
        self.write_global_config()
    }

    fn recreate(&self) -> Result<(), GitError> {
        match fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(GitError::local("could not remove", &self.dir)(error))
            }
            _ => self.create(),
        }
    }

    fn write_global_config(&self) -> Result<(), GitError> {
        match self.network.global_config() {
            Some((path, text)) => fs::write(&path, text).map_err(GitError::local("could not write", &path)),
            None => Ok(()),
        }
    }

    pub(super) fn is_empty(&self) -> Result<bool, GitError> {
        self.repository()?.is_empty().or_else(|error| match error.code() {
            ErrorCode::NotFound => Ok(true),
            _ => Err(GitError::reading(&self.dir)(error)),
        })
    }

    fn count_packs(&self) -> usize {
        let Ok(entries) = fs::read_dir(self.dir.join("objects/pack")) else { return 0 };
        entries.flatten().filter(|entry| entry.path().extension().is_some_and(|kind| kind == "pack")).count()
    }

    /// Removes what killed gits left: lock files, and packs that were never finished.
    pub(super) fn remove_locks(&self, older_than: Duration) -> Result<(), GitError> {
        let old = |path: &Path| {
            let changed = fs::symlink_metadata(path).and_then(|meta| meta.modified());
            changed.is_ok_and(|time| SystemTime::now().duration_since(time).unwrap_or_default() >= older_than)
        };
        let mut folders = vec![self.dir.clone(), self.dir.join("objects/pack")];
        let mut below = vec![self.dir.join("refs")];
        while let Some(folder) = below.pop() {
            folders.push(folder.clone());
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    below.push(entry.path());
                }
            }
        }
        for entry in folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten() {
            let path = entry.path();
            let left_behind = path.extension().is_some_and(|kind| kind == "lock")
                || entry.file_name().to_string_lossy().starts_with("tmp_");
            if left_behind && old(&path) {
                fs::remove_file(&path).map_err(GitError::local("could not remove", &path))?;
            }
        }
        Ok(())
    }
}

/// An empty bare repository. What the user's own git configuration says about line ends and attributes must
/// not reach checkouts, so the mirror says it itself.
fn init(dir: &Path) -> Result<(), git2::Error> {
    let mut options = RepositoryInitOptions::new();
    options.bare(true).no_reinit(true).mkdir(false).external_template(false).initial_head("main");
    let mut config = Repository::init_opts(dir, &options)?.config()?.open_level(git2::ConfigLevel::Local)?;
    config.set_str("core.autocrlf", "false")?;
    config.set_str("core.eol", "lf")?;
    config.set_str("core.attributesFile", "/dev/null")?;
    config.set_str("core.excludesFile", "/dev/null")?;
    config.set_bool("core.symlinks", true)?;
    config.set_bool("core.fileMode", true)?;
    config.set_str("core.hooksPath", "/dev/null")
}
