//! Following a repository: looks at its remote, from time to time and when the file system says so.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, StreamExt};

use super::failure::{WorkError, pause, spread};
use super::matching::RefName;
use super::settle::{self, Occasion};
use super::worker::note;
use super::{Repository, Shared};
use crate::git::{RemoteHeads, watch_local};
use crate::model::CommitSha;
use crate::store::{RefChange, RefHead, Seen, Source};

/// One look in this many also asks for the default branch again, which can change and costs the server more.
const LOOKS_PER_DEFAULT: u32 = 30;

type Hints = Pin<Box<dyn Stream<Item = ()> + Send>>;

/// Looks at a repository until told to stop. Its troubles are its own: they show at the repository, make the
/// pauses longer, and hold nobody else up.
pub(super) async fn follow(shared: Arc<Shared>, repository: Arc<Repository>) {
    let mut failures = 0;
    let mut hints: Option<Hints> = None;
    let mut source = Source::Poll;
    loop {
        // Watched before it is looked at, so that nothing falls in between.
        if hints.is_none() {
            hints = watch(&repository).await;
        }
        let looked = tokio::select! {
            () = shared.stopping.cancelled() => return,
            looked = look(&shared, &repository, source) => looked,
        };
        match looked {
            Ok(()) => failures = 0,
            Err(error) if error.ends_work() => return,
            Err(error) => {
                failures += 1;
                tracing::warn!(repository = %repository.name(), failures, %error, "a look at the repository failed");
                if let Err(error) = note(&shared, &repository, Some(error.to_string())).await {
                    tracing::error!(repository = %repository.name(), %error, "its state can't be written");
                }
            }
        }
        let poll = spread(repository.spec.poll, fastrand::f64());
        let rest = if failures == 0 { poll } else { poll.max(pause(failures, fastrand::f64())) };
        tokio::select! {
            () = shared.stopping.cancelled() => return,
            () = shared.clock.sleep(rest) => source = Source::Poll,
            hint = next_hint(&mut hints) => {
                source = Source::Watch;
                if hint.is_none() {
                    hints = None;
                }
            }
        }
    }
}

/// Local repositories are watched; if that can't be done, looks must do.
async fn watch(repository: &Repository) -> Option<Hints> {
    let path = repository.spec.remote.local_path()?;
    match tokio::task::spawn_blocking(move || watch_local(&path)).await {
        Ok(Ok(hints)) => Some(Box::pin(hints)),
        Ok(Err(error)) => {
            tracing::debug!(repository = %repository.name(), %error, "the repository is not watched");
            None
        }
        Err(_) => None,
    }
}

async fn next_hint(hints: &mut Option<Hints>) -> Option<()> {
    match hints {
        Some(hints) => hints.next().await,
        None => std::future::pending().await,
    }
}

/// Compares a remote with what the store has seen, and accepts what moved.
async fn look(shared: &Arc<Shared>, repository: &Arc<Repository>, source: Source) -> Result<(), WorkError> {
    let _permit = shared.looks.acquire().await.map_err(|_| WorkError::Stopping)?;
    // Read before the remote is asked: what moves meanwhile is left to the next look.
    let heads = shared.store.heads(repository.name()).await?;
    let remote = ask(repository).await?;
    let first = !repository.known().reached;
    let moved = if first {
        first_sight(shared, repository, &heads, &remote).await?
    } else {
        accept_moves(shared, repository, source, &heads, &remote).await?
    };
    note(shared, repository, None).await?;
    repository.known().reached = true;
    publish_tracked(shared, repository, &remote, &moved, if first { Occasion::FirstSight } else { Occasion::Again })
        .await
}

async fn ask(repository: &Repository) -> Result<RemoteHeads, WorkError> {
    let mirror = repository.mirror().await?;
    let by_default = repository.spec.branches.is_empty();
    let unknown = repository.tracked().is_none();
    if by_default && (unknown || fastrand::u32(..LOOKS_PER_DEFAULT) == 0) {
        let heads = mirror.remote_heads().await?;
        if heads.default_branch.is_some() {
            repository.known().default_branch.clone_from(&heads.default_branch);
        }
        Ok(heads)
    } else {
        Ok(mirror.remote_branches().await?)
    }
}

/// Takes down where everything stands. What was there before Longboat is no change, unless the heads of tracked
/// branches are to count as pushed. Yields the refs that were accepted as changes.
async fn first_sight(
    shared: &Shared,
    repository: &Repository,
    heads: &[RefHead],
    remote: &RemoteHeads,
) -> Result<Vec<String>, WorkError> {
    let tracked = repository.tracked().unwrap_or_default();
    let is_pushed = |git_ref: &str| {
        let branch = RefName::of(git_ref).and_then(RefName::branch);
        shared.options.run_first && branch.is_some_and(|branch| tracked.iter().any(|name| name == branch))
    };
    let (pushed, there): (Vec<_>, Vec<_>) =
        remote.refs.iter().map(|(name, commit)| (name.clone(), commit.clone())).partition(|(name, _)| is_pushed(name));
    shared.store.remember_heads(repository.name(), there).await?;
    for (git_ref, commit) in &pushed {
        let seq = heads.iter().find(|head| head.git_ref == *git_ref).map_or(0, |head| head.seq);
        accept(shared, repository, Source::Start, git_ref, seq, Some(commit)).await?;
    }
    // A webhook may have come before this look; it is being worked off already.
    let known = heads.iter().map(|head| head.git_ref.clone());
    Ok(pushed.into_iter().map(|(git_ref, _)| git_ref).chain(known).collect())
}

async fn accept_moves(
    shared: &Shared,
    repository: &Repository,
    source: Source,
    heads: &[RefHead],
    remote: &RemoteHeads,
) -> Result<Vec<String>, WorkError> {
    let known: HashMap<&str, &RefHead> = heads.iter().map(|head| (head.git_ref.as_str(), head)).collect();
    let mut moved = Vec::new();
    for (git_ref, commit) in &remote.refs {
        let head = known.get(git_ref.as_str());
        if head.and_then(|head| head.commit.as_ref()) != Some(commit) {
            accept(shared, repository, source, git_ref, head.map_or(0, |head| head.seq), Some(commit)).await?;
            moved.push(git_ref.clone());
        }
    }
    for head in heads.iter().filter(|head| head.commit.is_some() && !remote.refs.contains_key(&head.git_ref)) {
        accept(shared, repository, source, &head.git_ref, head.seq, None).await?;
    }
    Ok(moved)
}

async fn accept(
    shared: &Shared,
    repository: &Repository,
    source: Source,
    git_ref: &str,
    head_seq: i64,
    new: Option<&CommitSha>,
) -> Result<(), WorkError> {
    let change = RefChange {
        repository: repository.name().clone(),
        git_ref: git_ref.to_owned(),
        old: Seen::Observed { head_seq },
        new: new.cloned(),
        delivery: None,
        source,
        actor: None,
        event: None,
        checking: shared.checking(repository, git_ref, new),
    };
    shared.store.accept(change).await?;
    Ok(())
}

/// Publishes tracked branches that this process hasn't published yet and that no entry of the inbox is about to:
/// at the first sight of a repository, after a start, and when another branch becomes the default.
async fn publish_tracked(
    shared: &Arc<Shared>,
    repository: &Arc<Repository>,
    remote: &RemoteHeads,
    moved: &[String],
    occasion: Occasion<'_>,
) -> Result<(), WorkError> {
    for branch in repository.tracked().unwrap_or_default() {
        let git_ref = format!("refs/heads/{branch}");
        let Some(commit) = remote.refs.get(&git_ref).filter(|_| !moved.contains(&git_ref)) else { continue };
        let _working = repository.working.lock().await;
        if !repository.known().published.contains(&branch) {
            settle::branch(shared, repository, &branch, commit, occasion).await?;
        }
    }
    Ok(())
}
