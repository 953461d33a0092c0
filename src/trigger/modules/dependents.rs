//! What depends on a module repository is published again when that one moves.
//!
//! Each look at a tracked branch leaves in the store what its files used, by reference and commit. When a module
//! repository changes, the references are looked up anew. A branch is put into the inbox once if one of its references
//! means another commit and a file that it used by that reference differs between the two; whatever else depends on
//! the repository is left alone. The inbox bounds how many are worked on at a time, and survives a crash; a change
//! that is noticed and not yet in the inbox at a crash is caught by the look at each branch that follows a start.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;

use crate::git::{Changed, GitError, Snapshot};
use crate::gitops::{Checked, FileUses, Library as _, LibraryError, ModuleMirror, Shelf};
use crate::model::{ApplicationName, CommitSha, Pin, RepositoryName};
use crate::store::{FileDependency, InboxEntry, InboxId, ReferenceUse, Source, StoreError};
use crate::trigger::failure::WorkError;
use crate::trigger::settle::{self, Occasion};
use crate::trigger::{Repository, Shared};

/// The pause after the store failed.
const STORE_PAUSE: Duration = Duration::from_secs(5);

/// Puts dependents into the inbox whenever a module repository has changed. Until told to stop.
pub(in crate::trigger) async fn spread(shared: Arc<Shared>) {
    let mut changes = shared.modules.changes();
    let mut due: BTreeSet<String> = BTreeSet::new();
    loop {
        let change = tokio::select! {
            () = shared.stopping.cancelled() => return,
            change = changes.recv(), if due.is_empty() => change.map(Some),
            // What could not be written is tried again.
            () = shared.clock.sleep(STORE_PAUSE), if !due.is_empty() => Ok(None),
        };
        match change {
            Ok(name) => due.extend(name),
            Err(RecvError::Lagged(_)) => due.extend(shared.modules.0.all.keys().cloned()),
            Err(RecvError::Closed) => return,
        }
        for name in due.clone() {
            match enqueue(&shared, &name).await {
                Ok(()) => {
                    due.remove(&name);
                }
                Err(StoreError::Closed | StoreError::Fenced) => return,
                Err(error) => {
                    tracing::error!(modules = name, %error, "the dependents of a module repository can't be looked up");
                }
            }
        }
    }
}

async fn enqueue(shared: &Arc<Shared>, name: &str) -> Result<(), StoreError> {
    let mut uses = shared.store.references_to(name).await?;
    uses.retain(|one| {
        let repository = shared.repositories.get(&one.repository);
        repository.is_some_and(|repository| repository.tracks(&format!("refs/heads/{}", one.branch)))
    });
    let Some(mirror) = shared.modules.taken().await.mirrors.into_iter().find(|mirror| mirror.name == name) else {
        return Ok(());
    };
    let all = uses.len();
    let moved = tokio::task::spawn_blocking(move || concerned(&mirror, &uses)).await.unwrap_or_default();
    if moved.is_empty() {
        return Ok(());
    }
    let number = shared.store.look_again(moved).await?;
    tracing::info!(
        modules = name,
        branches = number,
        uses = all,
        "a module repository has moved; what depends on it is published again"
    );
    Ok(())
}

/// The branches that are concerned by where the references stand now.
fn concerned(mirror: &ModuleMirror, uses: &[ReferenceUse]) -> Vec<(RepositoryName, String)> {
    let mut stand = Stand::new(mirror);
    let mut concerned = BTreeSet::new();
    for one in uses {
        if is_concerned(&mut stand, one) {
            concerned.insert((one.repository.clone(), one.branch.clone()));
        }
    }
    concerned.into_iter().collect()
}

fn is_concerned(stand: &mut Stand, one: &ReferenceUse) -> bool {
    let Some(before) = &one.commit else { return false };
    match stand.of(one.reference.as_deref()) {
        Ok(now) => now != *before && stand.differs(before, &now, one.used_file.as_deref()),
        // While it can't be read, the last good revision is all there is.
        Err(LibraryError::Unread { .. } | LibraryError::Unknown(_)) => false,
        // The branch or tag is gone: that is for the files to say.
        Err(LibraryError::Reference { .. }) => true,
    }
}

/// Where the references of a module repository stand, and what differs between two of its commits.
pub(in crate::trigger) struct Stand {
    name: String,
    dir: PathBuf,
    shelf: Shelf,
    changed: BTreeMap<(CommitSha, CommitSha), Option<Changed>>,
}

impl Stand {
    /// By the refs of this snapshot. Nothing is read yet.
    pub(in crate::trigger) fn new(mirror: &ModuleMirror) -> Self {
        Self {
            name: mirror.name.clone(),
            dir: mirror.mirror.clone(),
            shelf: Shelf::of_mirrors([mirror.clone()]),
            changed: BTreeMap::new(),
        }
    }

    /// What a reference means.
    pub(in crate::trigger) fn of(&self, reference: Option<&str>) -> Result<CommitSha, LibraryError> {
        self.shelf.open(&self.name, reference).map(|pinned| pinned.pin.commit.clone())
    }

    /// Whether a file differs between two commits; without one, whatever differs counts. So does what can't be told.
    pub(in crate::trigger) fn differs(&mut self, before: &CommitSha, after: &CommitSha, file: Option<&str>) -> bool {
        let Some(file) = file else { return true };
        let dir = &self.dir;
        let compared = self.changed.entry((before.clone(), after.clone())).or_insert_with(|| {
            let compare = || Snapshot::open(dir, after)?.changed_since(&Snapshot::open(dir, before)?);
            let note =
                |error: GitError| tracing::debug!(%error, "two commits of a module repository can't be compared");
            compare().map_err(note).ok()
        });
        let names = |changed: &Changed| changed.paths.binary_search_by(|path| path.as_str().cmp(file)).is_ok();
        compared.as_ref().is_none_or(|changed| changed.truncated || names(changed))
    }
}

/// Works off an entry that says that a branch depends on something that moved.
pub(in crate::trigger) async fn again(
    shared: &Arc<Shared>,
    repository: &Arc<Repository>,
    branch: &str,
    commit: &CommitSha,
    entry: &InboxEntry,
) -> Result<(), WorkError> {
    // Read before the module repositories are: what is said after that is worked off by itself.
    let pending = shared.store.pending_inbox(repository.name(), &entry.git_ref).await?;
    let same = |other: &InboxEntry| other.source == Source::Modules && other.id != entry.id && other.new == entry.new;
    let also: Vec<InboxId> = pending.iter().filter(|other| same(other)).map(|other| other.id).collect();
    let head = shared.store.head(repository.name(), &entry.git_ref).await?;
    let tracked = repository.tracked_now().await?.iter().any(|name| name == branch);
    if !tracked || head.is_none_or(|head| head.commit.as_ref() != Some(commit)) {
        // The newer commit sees the module repositories as they are now.
        return settle::end(shared, entry, None).await;
    }
    settle::branch(shared, repository, branch, commit, Occasion::Modules(entry, &also)).await
}

/// All that the files of a commit use, for the store.
pub(in crate::trigger) fn uses(checked: &Checked) -> Vec<FileDependency> {
    let mut all = Vec::new();
    for uses in &checked.uses {
        let application = checked.applications.iter().find(|application| application.files.contains(&uses.file));
        all.extend(of_file(uses, application.map(|application| &application.name)));
    }
    all
}

fn of_file(uses: &FileUses, application: Option<&ApplicationName>) -> Vec<FileDependency> {
    let nothing = FileDependency {
        application: application.cloned(),
        file: uses.file.clone(),
        used_repository: None,
        module: None,
        used_file: None,
        reference: None,
        commit: None,
        line: None,
        through: Vec::new(),
    };
    let by_pin = |pin: &Pin| FileDependency {
        used_repository: Some(pin.repository.clone()),
        reference: pin.reference.clone(),
        commit: Some(pin.commit.clone()),
        ..nothing.clone()
    };
    let mut all: Vec<FileDependency> = Vec::new();
    for used in &uses.modules {
        all.push(FileDependency {
            used_repository: used.repository.clone(),
            module: Some(used.module.clone()),
            used_file: Some(used.file.clone()),
            reference: used.reference.clone(),
            commit: used.commit.clone(),
            line: Some(used.call.line),
            through: used.through.clone(),
            ..nothing.clone()
        });
    }
    for used in &uses.files {
        let used_file = Some(used.path.clone());
        let Some(repository) = &used.repository else {
            all.push(FileDependency { used_file, ..nothing.clone() });
            continue;
        };
        // Several references may mean the commit that it was read from.
        let pins =
            uses.pins.iter().filter(|pin| pin.repository == *repository && Some(&pin.commit) == used.commit.as_ref());
        all.extend(pins.map(|pin| FileDependency { used_file: used_file.clone(), ..by_pin(pin) }));
    }
    if !uses.valid {
        all.extend(uses.pins.iter().map(by_pin));
    }
    let mut seen: Vec<FileDependency> = Vec::with_capacity(all.len());
    for one in all {
        if !seen.contains(&one) {
            seen.push(one);
        }
    }
    seen
}
