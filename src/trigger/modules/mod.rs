//! The module repositories: each with a mirror that is kept up to date, and snapshots of their refs for renders.
//!
//! - **A render gets what is known.** [`ModuleSet::taken`] is a snapshot of all refs. A render that used a repository which
//!   wasn't looked at lately, or asked it for what it doesn't have, is worth a second one after a look
//!   ([`ModuleSet::ask`]): a new tag works at once, and nobody waits for a repository that nobody uses.
//! - **Nobody waits for long.** A look goes on behind the render's back when it takes longer than
//!   [`ModuleOptions::wait`], and one that failed is not repeated for each render.
//! - **What was read once stays good.** While a remote is down, its last known refs are used. A repository that could
//!   never be read is a finding where it is called; when it can be, what waits for it is looked at again ([`mod@recover`]).
//! - **What depends on it follows.** When a reference comes to mean another commit, the branches whose files used what
//!   changed between the two are published again ([`spread`]).

mod dependents;
mod keep;
mod recover;
mod spec;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, broadcast};

pub(super) use dependents::{Stand, again, spread, uses};
pub(super) use keep::keep;
pub(super) use recover::{recover, waits};
pub use spec::{ModuleFrom, ModuleSpec};

use super::{Repository, RepositorySet};
use crate::clock::{Clock, Timestamp};
use crate::git::{GitError, GitOptions, Mirror, RemoteHeads};
use crate::gitops::{ModuleMirror, Refs, Shelf, ShelfState};
use crate::model::{ImpactDetail, Pins, RepositoryName};

/// The most branches and tags of a module repository.
const MAX_REFS: usize = 20_000;
/// The most of all that one render sees.
const MAX_ALL_REFS: usize = 100_000;
/// How soon a look that succeeded may be followed by another one for the sake of a render.
const SOON: Duration = Duration::from_secs(2);

/// How module repositories are kept.
#[derive(Debug, Clone)]
pub struct ModuleOptions {
    /// How Git is used.
    pub git: GitOptions,
    /// How long a render waits for module repositories that have to be looked at first.
    pub wait: Duration,
}

impl Default for ModuleOptions {
    fn default() -> Self {
        Self { git: GitOptions::default(), wait: Duration::from_secs(30) }
    }
}

/// The module repositories of a server or a laptop; cheap to clone.
#[derive(Clone)]
pub struct ModuleSet(Arc<Inner>);

struct Inner {
    all: BTreeMap<String, Arc<Kept>>,
    clock: Clock,
    wait: Duration,
    /// Rises whenever any of them has changed.
    version: AtomicU64,
    changes: broadcast::Sender<String>,
}

/// A snapshot of the refs of all module repositories.
pub struct Taken {
    /// One for each, by name.
    pub mirrors: Vec<ModuleMirror>,
    version: u64,
}

impl Taken {
    /// What a render reads from.
    pub fn shelf(&self) -> Shelf {
        Shelf::of_mirrors(self.mirrors.iter().cloned())
    }

    /// Which snapshot this is: it rises whenever any module repository changes.
    pub(super) fn version(&self) -> u64 {
        self.version
    }
}

/// One module repository.
struct Kept {
    spec: ModuleSpec,
    repository: Arc<Repository>,
    poll: Duration,
    state: Mutex<State>,
    /// Held while its remote is looked at.
    asking: tokio::sync::Mutex<()>,
    /// Somebody knows of a change.
    poked: Notify,
}

#[derive(Default)]
struct State {
    /// What the mirror has; none: nothing was ever fetched.
    refs: Option<Refs>,
    /// Whether the mirror was read for what it had before this process.
    opened: bool,
    /// What the remote said last.
    remote: Option<RemoteHeads>,
    /// When it was looked at last, with success or without.
    tried: Option<Timestamp>,
    /// How often it was looked at.
    round: u64,
    /// Why the last look failed.
    error: Option<String>,
}

impl Default for ModuleSet {
    fn default() -> Self {
        Self::empty(Clock::system(), Duration::ZERO)
    }
}

impl ModuleSet {
    /// Module repositories whose mirrors are below `mirrors`, or are those of `repositories`. Nothing is asked yet.
    /// Those whose followed repository isn't there are left out.
    pub fn new(
        specs: Vec<ModuleSpec>,
        repositories: &RepositorySet,
        mirrors: &Path,
        clock: Clock,
        options: &ModuleOptions,
    ) -> Self {
        let kept = |spec: ModuleSpec| {
            let (repository, poll) = spec.repository(repositories, mirrors, &options.git)?;
            let kept = Kept {
                repository,
                poll,
                state: Mutex::default(),
                asking: tokio::sync::Mutex::default(),
                poked: Notify::new(),
                spec,
            };
            Some((kept.spec.name.clone(), Arc::new(kept)))
        };
        let all = specs.into_iter().filter_map(kept).collect();
        Self(Arc::new(Inner { all, ..Inner::empty(clock, options.wait) }))
    }

    fn empty(clock: Clock, wait: Duration) -> Self {
        Self(Arc::new(Inner::empty(clock, wait)))
    }

    /// What is known of all of them at this moment.
    pub async fn taken(&self) -> Taken {
        let version = self.version();
        let now = self.0.clock.now();
        let mut mirrors = Vec::with_capacity(self.0.all.len());
        let mut room = MAX_ALL_REFS;
        for kept in self.0.all.values() {
            kept.open().await;
            mirrors.push(kept.mirror(now, &mut room));
        }
        Taken { mirrors, version }
    }

    /// Looks at the remotes of some, as far as that wasn't done a moment ago, and waits for them for as long as the
    /// options allow. Whether anything is different from what was taken.
    pub async fn ask(&self, names: &[String], taken: &Taken) -> bool {
        let now = self.0.clock.now();
        let due = names.iter().filter_map(|name| self.0.all.get(name)).filter(|kept| kept.is_due(now));
        let looks: Vec<_> = due.map(|kept| tokio::spawn(self.clone().look(kept.clone()))).collect();
        let all = futures::future::join_all(looks);
        if tokio::time::timeout(self.0.wait, all).await.is_err() {
            tracing::warn!(?names, "a render goes on without module repositories that don't answer");
        }
        self.version() != taken.version
    }

    /// That something in a followed repository has changed.
    pub(super) fn touch(&self, repository: &RepositoryName) {
        self.0
            .all
            .values()
            .filter(|kept| kept.repository.name() == repository)
            .for_each(|kept| kept.poked.notify_one());
    }

    /// Tells again of the module repositories that these pins are of, if anything has changed since a snapshot.
    pub(super) fn tell_since(&self, version: u64, pins: &Pins) {
        if self.version() == version {
            return;
        }
        let names: BTreeSet<&str> = pins.iter().map(|pin| pin.repository.as_str()).collect();
        for name in names {
            let _nobody_listens = self.0.changes.send(name.to_owned());
        }
    }

    /// By which names a followed repository is a module repository, and what its pull requests may tell of dependents.
    pub(super) fn names_of(&self, repository: &RepositoryName) -> Vec<(String, ImpactDetail)> {
        let is_it = |kept: &&Arc<Kept>| match &kept.spec.from {
            ModuleFrom::Followed(name) => name == repository,
            ModuleFrom::Own { .. } => false,
        };
        self.0.all.values().filter(is_it).map(|kept| (kept.spec.name.clone(), kept.spec.tells)).collect()
    }

    /// The names of module repositories as they change.
    pub fn changes(&self) -> broadcast::Receiver<String> {
        self.0.changes.subscribe()
    }

    /// In words why the last look at a repository failed; nothing if it was good.
    pub fn trouble(&self, name: &str) -> Option<String> {
        self.0.all.get(name).and_then(|kept| kept.state().error.clone())
    }

    fn version(&self) -> u64 {
        self.0.version.load(Ordering::Acquire)
    }

    /// Looks at a remote, and fetches what is new. Of several that wait to do so, one does it for all.
    async fn look(self, kept: Arc<Kept>) {
        let round = kept.state().round;
        let _asking = kept.asking.lock().await;
        if kept.state().round != round {
            return;
        }
        kept.open().await;
        let looked = kept.fetch().await;
        let changed = kept.note(looked, self.0.clock.now());
        if changed {
            self.0.version.fetch_add(1, Ordering::AcqRel);
            let _nobody_listens = self.0.changes.send(kept.spec.name.clone());
        }
    }
}

impl Inner {
    fn empty(clock: Clock, wait: Duration) -> Self {
        Self { all: BTreeMap::new(), clock, wait, version: AtomicU64::new(0), changes: broadcast::channel(256).0 }
    }
}

impl Kept {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what the mirror has from before this process.
    async fn open(&self) {
        if self.state().opened {
            return;
        }
        let there = self.repository.read(refs_of).await;
        let mut state = self.state();
        if !state.opened {
            state.opened = true;
            match there {
                Ok(refs) => state.refs = Some(refs).filter(|refs| !refs.heads.is_empty()),
                Err(error) => state.error = Some(error.to_string()),
            }
        }
    }

    fn mirror(&self, now: Timestamp, room: &mut usize) -> ModuleMirror {
        let state = self.state();
        let spec = &self.spec;
        let known = match (&state.refs, &state.error) {
            (Some(refs), _) if refs.heads.len() > *room => {
                ShelfState::Unread("the module repositories have more branches and tags than can be handled".to_owned())
            }
            (Some(refs), _) => {
                *room -= refs.heads.len();
                ShelfState::Known(refs.clone())
            }
            (None, Some(error)) => ShelfState::Unread(error.clone()),
            (None, None) => ShelfState::Unread("its server has not answered yet".to_owned()),
        };
        // A look may come later than the pause says, by chance.
        let fresh = state.tried.is_some_and(|at| now.since(at) < self.poll.saturating_mul(2).max(SOON));
        ModuleMirror {
            name: spec.name.clone(),
            address: spec.address.clone(),
            folder: spec.folder.clone(),
            reference: spec.reference.clone(),
            mirror: self.repository.dir().to_owned(),
            state: known,
            fresh,
        }
    }

    /// Whether a render's wish is reason enough for a look.
    fn is_due(&self, now: Timestamp) -> bool {
        let state = self.state();
        let rest = if state.error.is_some() { self.poll } else { SOON };
        state.tried.is_none_or(|at| now.since(at) >= rest)
    }

    async fn fetch(&self) -> Result<(Refs, RemoteHeads), GitError> {
        let mirror = self.repository.mirror().await?;
        let remote = mirror.remote_heads().await?;
        if remote.refs.len() > MAX_REFS {
            return Err(GitError::TooMany { what: format!("the list of refs of {}", mirror.remote()), max: MAX_REFS });
        }
        let here = self.repository.read(refs_of).await?;
        // Tags of what is no commit are never here; so a remote that says what it said before has nothing new.
        let same = self.state().remote.as_ref() == Some(&remote);
        if !same && here.heads != remote.refs {
            mirror.fetch().await?;
        }
        let default = remote.default_branch.clone();
        let read = move |mirror: &Mirror| {
            if let Some(branch) = &default {
                mirror.set_default_branch(branch)?;
            }
            refs_of(mirror)
        };
        Ok((self.repository.read(read).await?, remote))
    }

    /// Remembers how a look ended; whether that is anything new for a render.
    fn note(&self, looked: Result<(Refs, RemoteHeads), GitError>, now: Timestamp) -> bool {
        let mut state = self.state();
        state.round += 1;
        state.tried = Some(now);
        let name = &self.spec.name;
        match looked {
            Ok((refs, remote)) => {
                if let Some(before) = &state.refs {
                    for (tag, from, to) in moved_tags(before, &refs) {
                        tracing::warn!(modules = name, tag, from, to, "a tag of a module repository was moved");
                    }
                }
                if state.error.take().is_some() {
                    tracing::info!(modules = name, "the module repository can be read again");
                }
                state.remote = Some(remote);
                let changed = state.refs.as_ref() != Some(&refs);
                state.refs = Some(refs);
                changed
            }
            Err(error) => {
                let error = error.to_string();
                match &state.refs {
                    Some(_) => {
                        tracing::warn!(modules = name, %error, "a look at the module repository failed; its last known refs are used");
                    }
                    None => tracing::warn!(modules = name, %error, "the module repository can't be read"),
                }
                let changed = state.refs.is_none() && state.error.as_ref() != Some(&error);
                state.error = Some(error);
                changed
            }
        }
    }
}

/// The tags that stand elsewhere, with the short ids of both commits.
fn moved_tags<'r>(before: &'r Refs, after: &'r Refs) -> impl Iterator<Item = (&'r str, &'r str, &'r str)> {
    before.heads.iter().filter_map(|(name, old)| {
        let tag = name.strip_prefix("refs/tags/")?;
        let new = after.heads.get(name).filter(|new| *new != old)?;
        Some((tag, old.short(), new.short()))
    })
}

/// The branches and tags of a mirror; what else is kept there (heads of pull requests) is nobody's reference.
fn refs_of(mirror: &Mirror) -> Result<Refs, GitError> {
    let mut heads = mirror.heads()?;
    heads.retain(|name, _| name.starts_with("refs/heads/") || name.starts_with("refs/tags/"));
    Ok(Refs { default_branch: mirror.default_branch()?, heads })
}
