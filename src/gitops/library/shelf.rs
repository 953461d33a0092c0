//! A [`Library`] over snapshots of refs, and what it was asked for in vain.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::{Library, LibraryError, Pinned, Refs, resolve};
use crate::gitops::{MemorySource, Source};
use crate::model::{CommitSha, Pin};

/// The commits of one repository.
pub trait Commits: Send + Sync {
    /// The files of a commit; nothing if the repository doesn't have it.
    ///
    /// # Errors
    /// In words why it can't be read.
    fn source(&self, commit: &CommitSha) -> Result<Option<Arc<dyn Source>>, String>;

    /// The commits in the histories of these that begin with some digits, two at most.
    ///
    /// # Errors
    /// In words why they can't be read.
    fn beginning_with(&self, digits: &str, heads: &BTreeMap<String, CommitSha>) -> Result<Vec<CommitSha>, String>;
}

/// One module repository, as it stood when the render began.
pub struct Stock {
    /// Where it is fetched from, as the operator wrote it.
    pub address: String,
    /// The folder of its modules; empty: the whole repository.
    pub folder: String,
    /// What a name without `@` means; none: the default branch.
    pub reference: Option<String>,
    /// Whether its refs are known.
    pub state: ShelfState,
    /// Its commits.
    pub commits: Arc<dyn Commits>,
    /// Whether the remote was asked lately; if not, using it is worth asking and rendering again.
    pub fresh: bool,
}

/// Whether a module repository's refs are known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ShelfState {
    /// They are.
    Known(Refs),
    /// They are not, and why, in words.
    Unread(String),
}

type Opened = Result<Arc<Pinned>, LibraryError>;

/// Module repositories by name, for one render.
#[derive(Default)]
pub struct Shelf {
    stocks: BTreeMap<String, Stock>,
    opened: Mutex<HashMap<(String, Option<String>), Opened>>,
    wanted: Mutex<BTreeSet<String>>,
}

impl Shelf {
    /// These repositories.
    pub fn new(stocks: impl IntoIterator<Item = (String, Stock)>) -> Self {
        Self { stocks: stocks.into_iter().collect(), ..Self::default() }
    }

    /// The repositories that were asked for something that they didn't have, or that were used and not fresh: asking
    /// their remotes can make a difference.
    pub fn wanted(&self) -> Vec<String> {
        lock(&self.wanted).iter().cloned().collect()
    }

    fn find(&self, name: &str, stock: &Stock, reference: Option<&str>) -> Opened {
        let refs = match &stock.state {
            ShelfState::Known(refs) => refs,
            ShelfState::Unread(why) => return Err(unread(name, why)),
        };
        let none = |(what, hint)| LibraryError::Reference { repository: name.to_owned(), what, hint };
        let default = || {
            let branch = refs.default_branch.clone();
            branch.ok_or_else(|| none(("no default branch, or nothing in it".to_owned(), None)))
        };
        let wanted = match reference.map(str::to_owned).or_else(|| stock.reference.clone()) {
            Some(wanted) => wanted,
            None => default()?,
        };
        let beginning_with = |digits: &str| stock.commits.beginning_with(digits, &refs.heads);
        let resolved = resolve(refs, &wanted, &beginning_with).map_err(none)?;
        let source = stock.commits.source(&resolved.commit).map_err(|why| unread(name, &why))?;
        let source = source.ok_or_else(|| none((format!("no commit {}", resolved.commit.short()), None)))?;
        let pin = Pin {
            repository: name.to_owned(),
            reference: reference.map(str::to_owned),
            commit: resolved.commit,
            kind: resolved.kind,
        };
        Ok(Arc::new(Pinned {
            pin,
            folder: stock.folder.clone(),
            source,
            also_branch: resolved.also_branch,
            doubt: None,
        }))
    }
}

impl Library for Shelf {
    fn names(&self) -> Vec<String> {
        self.stocks.keys().cloned().collect()
    }

    fn address(&self, repository: &str) -> Option<String> {
        self.stocks.get(repository).map(|stock| stock.address.clone())
    }

    fn open(&self, repository: &str, reference: Option<&str>) -> Opened {
        let stock = self.stocks.get(repository).ok_or_else(|| LibraryError::Unknown(repository.to_owned()))?;
        let key = (repository.to_owned(), reference.map(str::to_owned));
        if let Some(known) = lock(&self.opened).get(&key) {
            return known.clone();
        }
        let opened = self.find(repository, stock, reference);
        if opened.is_err() || !stock.fresh {
            lock(&self.wanted).insert(repository.to_owned());
        }
        lock(&self.opened).entry(key).or_insert(opened).clone()
    }

    fn text(&self, place: &str) -> Option<String> {
        let (path, short) = place.rsplit_once('@')?;
        let (name, below) = path.split_once('/')?;
        let is_it = |pinned: &&Arc<Pinned>| pinned.pin.repository == name && pinned.pin.commit.short() == short;
        let pinned = lock(&self.opened).values().flatten().find(is_it).cloned()?;
        let read = |path: &str| pinned.source.read(path).ok().flatten();
        // `file(...)` reads what isn't below the folder of modules, too.
        let bytes = read(&pinned.path(below)).or_else(|| read(below))?;
        String::from_utf8(bytes).ok()
    }
}

fn unread(repository: &str, why: &str) -> LibraryError {
    LibraryError::Unread { repository: repository.to_owned(), why: why.to_owned() }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Commits in memory.
#[derive(Default)]
pub struct MemoryCommits(BTreeMap<CommitSha, Arc<MemorySource>>);

impl MemoryCommits {
    /// These commits with their files.
    pub fn new(commits: impl IntoIterator<Item = (CommitSha, MemorySource)>) -> Self {
        Self(commits.into_iter().map(|(commit, source)| (commit, Arc::new(source))).collect())
    }
}

impl Commits for MemoryCommits {
    fn source(&self, commit: &CommitSha) -> Result<Option<Arc<dyn Source>>, String> {
        Ok(self.0.get(commit).map(|source| source.clone() as Arc<dyn Source>))
    }

    fn beginning_with(&self, digits: &str, _: &BTreeMap<String, CommitSha>) -> Result<Vec<CommitSha>, String> {
        Ok(self.0.keys().filter(|commit| commit.as_str().starts_with(digits)).take(2).cloned().collect())
    }
}
