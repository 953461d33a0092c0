//! The worker that empties the inbox.

use std::any::Any;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::task::{Id, JoinSet};

use super::failure::{Verdict, WorkError, verdict};
use super::modules;
use super::pulls;
use super::settle::{self, Occasion};
use super::{Repository, Shared, taken};
use crate::clock::Timestamp;
use crate::git::GitError;
use crate::gitops::matching::RefName;
use crate::model::{CommitSha, RepositoryName};
use crate::store::{BY_CONFIGURATION, InboxEntry, RepositoryNote, Source, StoreError};

/// How soon the inbox is asked again while an entry that is due is being worked on and hides what is due next.
const RECHECK: Duration = Duration::from_millis(250);
/// How old the word may be that a repository is well. Of one that is not, only the first word is kept: since then.
const FRESH: Duration = Duration::from_secs(60);
/// The pause after the store failed.
const STORE_PAUSE: Duration = Duration::from_secs(5);

/// Works off entries until it is told to stop: of each repository one after the other, of several at a time.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut grown = shared.store.inbox_changed();
    let mut tasks: JoinSet<()> = JoinSet::new();
    let mut busy: HashMap<Id, RepositoryName> = HashMap::new();
    loop {
        grown.mark_unchanged();
        let next = match begin(&shared, &mut tasks, &mut busy).await {
            Ok(next) => next,
            Err(StoreError::Closed | StoreError::Fenced) => return,
            Err(error) => {
                tracing::error!(%error, "the inbox can't be read");
                Some(shared.clock.now().plus(STORE_PAUSE))
            }
        };
        tokio::select! {
            () = shared.stopping.cancelled() => break,
            changed = grown.changed() => if changed.is_err() { break },
            Some(ended) = tasks.join_next_with_id(), if !tasks.is_empty() => {
                busy.remove(&ended.map_or_else(|error| error.id(), |(id, ())| id));
            }
            () = wait(&shared, next) => {}
        }
    }
    tasks.shutdown().await;
}

async fn wait(shared: &Shared, until: Option<Timestamp>) {
    match until {
        Some(until) => shared.clock.sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// Begins what is due and not in work yet; yields when to look again.
async fn begin(
    shared: &Arc<Shared>,
    tasks: &mut JoinSet<()>,
    busy: &mut HashMap<Id, RepositoryName>,
) -> Result<Option<Timestamp>, StoreError> {
    let most = shared.options.repositories_at_once.max(1);
    let limit = u32::try_from(most + busy.len()).unwrap_or(u32::MAX);
    for entry in shared.store.due_inbox(limit).await? {
        if busy.values().any(|name| *name == entry.repository) {
            continue;
        }
        if tasks.len() >= most {
            return Ok(None);
        }
        let name = entry.repository.clone();
        let handle = tasks.spawn(handle(shared.clone(), entry));
        busy.insert(handle.id(), name);
    }
    let now = shared.clock.now();
    let next = shared.store.next_inbox_due().await?;
    Ok(next.map(|due| if due > now { due } else { now.plus(RECHECK) }))
}

async fn handle(shared: Arc<Shared>, entry: InboxEntry) {
    let work = AssertUnwindSafe(work_off(&shared, &entry)).catch_unwind().await;
    let result = work.unwrap_or_else(|panic| Err(WorkError::Broken(panic_text(panic.as_ref()))));
    let Err(error) = result else { return };
    if error.ends_work() {
        return;
    }
    if let Err(error) = failed(&shared, &entry, error).await
        && !error.ends_work()
    {
        tracing::error!(repository = %entry.repository, %error, "what became of an inbox entry can't be written");
        // The entry is still due: without a pause it would be worked off again and again while the disk is full.
        shared.clock.sleep(STORE_PAUSE).await;
    }
}

async fn work_off(shared: &Arc<Shared>, entry: &InboxEntry) -> Result<(), WorkError> {
    if entry.git_ref == BY_CONFIGURATION {
        return taken::approved(shared, entry).await;
    }
    let Some(repository) = shared.repositories.get(&entry.repository) else {
        tracing::info!(repository = %entry.repository, "a push to a repository that is not in the configuration any more");
        return settle::end(shared, entry, None).await;
    };
    let _working = repository.working.lock().await;
    if entry.pull_request.is_some() {
        return pulls::work_off(shared, repository, entry).await;
    }
    match (&entry.new, RefName::of(&entry.git_ref)) {
        (Some(commit), Some(RefName::Branch(branch))) if entry.source == Source::Modules => {
            modules::again(shared, repository, branch, commit, entry).await
        }
        (Some(commit), Some(RefName::Branch(branch))) => {
            let occasion = match entry.source {
                Source::Approval => Occasion::Approved(entry),
                _ => Occasion::Change(entry),
            };
            settle::branch(shared, repository, branch, commit, occasion).await
        }
        (Some(commit), Some(RefName::Tag(tag))) => settle::tag(shared, repository, tag, commit, entry).await,
        // A branch or tag that is gone starts nothing; what it published stays until another commit changes it.
        (None, _) | (_, None) => settle::end(shared, entry, None).await,
    }
}

/// Puts an entry off or gives it up, and says so where people look.
async fn failed(shared: &Arc<Shared>, entry: &InboxEntry, error: WorkError) -> Result<(), WorkError> {
    let repository = shared.repositories.get(&entry.repository);
    if let (true, Some(repository)) = (error.concerns_repository(), repository) {
        note(shared, repository, Some(error.to_string())).await?;
    }
    if let (WorkError::Git(GitError::Corrupt { .. }), Some(repository)) = (&error, repository) {
        tracing::warn!(repository = %entry.repository, %error, "the mirror is made anew");
        repository.mirror().await?.repair().await?;
    }
    if let (WorkError::Git(GitError::MissingCommit { commit }), Some(repository)) = (&error, repository)
        && let Some(newer) = moved_on(repository, entry).await
    {
        tracing::info!(repository = %entry.repository, %commit, %newer, "the commit was overtaken before it was fetched");
        let status = shared.options.reports.superseded(&entry.repository, commit, &newer);
        return settle::end(shared, entry, Some(status)).await;
    }
    match verdict(&error, entry, shared.clock.now(), fastrand::f64()) {
        Verdict::Retry(at) => {
            tracing::warn!(repository = %entry.repository, git_ref = entry.git_ref, attempt = entry.attempts + 1, %error, "a push can't be worked off yet");
            shared.store.retry_inbox(entry.id, at, &error.to_string()).await?;
        }
        Verdict::GiveUp if entry.pull_request.is_some() => {
            tracing::error!(repository = %entry.repository, git_ref = entry.git_ref, %error, "a pull request is given up");
            match repository {
                Some(repository) => pulls::give_up(shared, repository, entry, &error).await?,
                None => settle::end(shared, entry, None).await?,
            }
        }
        Verdict::GiveUp => {
            tracing::error!(repository = %entry.repository, git_ref = entry.git_ref, %error, "a push is given up");
            let status = entry
                .new
                .as_ref()
                .map(|commit| shared.options.reports.failed(&entry.repository, commit, &error.to_string()));
            settle::end(shared, entry, status).await?;
        }
    }
    Ok(())
}

/// Where the branch stands by now, if it went on to another commit. What stands before the push, or before
/// where the push came from, is a server that hasn't heard of the push yet.
async fn moved_on(repository: &Repository, entry: &InboxEntry) -> Option<CommitSha> {
    let (git_ref, old) = (entry.git_ref.clone(), entry.old.clone());
    let now = repository.read(move |mirror| {
        let now = mirror.heads()?.remove(&git_ref);
        let behind = |now: &CommitSha| old.as_ref().is_some_and(|old| mirror.contains(old, now).unwrap_or(false));
        Ok(now.filter(|now| !behind(now)))
    });
    now.await.ok().flatten().filter(|now| Some(now) != entry.new.as_ref())
}

/// Tells the store how a repository stands, if that is news or the last word is old.
pub(super) async fn note(shared: &Shared, repository: &Repository, error: Option<String>) -> Result<(), StoreError> {
    let now = shared.clock.now();
    let known = repository.known().noted.clone();
    if known.is_some_and(|(noted, at)| noted == error && (error.is_some() || now.since(at) < FRESH)) {
        return Ok(());
    }
    let note = RepositoryNote { error: error.clone(), has_files: None };
    shared.store.note_repository(repository.name(), note).await?;
    repository.known().noted = Some((error, now));
    Ok(())
}

/// What a panic said.
pub(super) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "no reason given".to_owned()).chars().take(200).collect()
}
