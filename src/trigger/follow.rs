//! Following a repository: looks at its remote, from time to time and when the file system says so.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};

use super::failure::{WorkError, pause, spread};
use super::settle::{self, Occasion};
use super::worker::note;
use super::{Repository, Shared};
use crate::clock::Timestamp;
use crate::git::{RemoteHeads, watch_local};
use crate::gitops::matching::RefName;
use crate::model::CommitSha;
use crate::store::{RefChange, RefHead, Seen, Source};

/// One look in this many also asks for the default branch again, which can change and costs the server more.
const LOOKS_PER_DEFAULT: u32 = 30;

/// How long after a move a look that sees something else is not believed: servers answer with what they knew a
/// moment ago, and a step back that never happened must not be deployed. The next look decides.
const AFTERMATH: Duration = Duration::from_secs(10);

pub(super) type Hints = Pin<Box<dyn Stream<Item = ()> + Send>>;

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
pub(super) async fn watch(repository: &Repository) -> Option<Hints> {
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

pub(super) async fn next_hint(hints: &mut Option<Hints>) -> Option<()> {
    match hints {
        Some(hints) => hints.next().await,
        None => std::future::pending().await,
    }
}

/// Compares a remote with what the store has seen, and accepts what moved.
async fn look(shared: &Arc<Shared>, repository: &Arc<Repository>, source: Source) -> Result<(), WorkError> {
    let _permit = shared.looks.acquire().await.map_err(|_| WorkError::Stopping)?;
    // Read before the remote is asked: what moves meanwhile is left to the next look.
    let mut heads = shared.store.heads(repository.name()).await?;
    // Pull requests are the forge's, and no refs that a look at branches and tags could miss.
    heads.retain(|head| RefName::of(&head.git_ref).is_some());
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
    let local = repository.spec.remote.local_path().is_some();
    let window = if local { Duration::ZERO } else { AFTERMATH.min(repository.spec.poll / 2) };
    let mut moved = Vec::new();
    for (git_ref, head_seq, new) in moves(heads, remote, shared.clock.now(), window) {
        accept(shared, repository, source, git_ref, head_seq, new).await?;
        moved.push(git_ref.to_owned());
    }
    Ok(moved)
}

/// The refs that stand elsewhere than the store last saw them, each with the number of that sight and the commit
/// now. What the store saw move within `window` is left out.
fn moves<'a>(
    heads: &'a [RefHead],
    remote: &'a RemoteHeads,
    now: Timestamp,
    window: Duration,
) -> Vec<(&'a str, i64, Option<&'a CommitSha>)> {
    let known: HashMap<&str, &RefHead> = heads.iter().map(|head| (head.git_ref.as_str(), head)).collect();
    let settled_down = |head: &RefHead| now.since(head.seen_at) >= window;
    let there = remote.refs.iter().filter_map(|(git_ref, commit)| match known.get(git_ref.as_str()) {
        None => Some((git_ref.as_str(), 0, Some(commit))),
        Some(head) if head.commit.as_ref() == Some(commit) || !settled_down(head) => None,
        Some(head) => Some((git_ref.as_str(), head.seq, Some(commit))),
    });
    let gone = heads
        .iter()
        .filter(|head| head.commit.is_some() && !remote.refs.contains_key(&head.git_ref) && settled_down(head))
        .map(|head| (head.git_ref.as_str(), head.seq, None));
    there.chain(gone).collect()
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
        tracked: repository.tracks(git_ref),
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

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn head(name: &str, commit: Option<u32>, seq: i64, seen_at: i64) -> RefHead {
        RefHead {
            repository: sample::repository("acme/shop"),
            git_ref: format!("refs/heads/{name}"),
            commit: commit.map(sample::sha),
            seq,
            seen_at: Timestamp::from_millis(seen_at),
        }
    }

    #[test]
    fn what_stands_elsewhere_has_moved_unless_it_moved_a_moment_ago() {
        let heads = [
            head("same", Some(1), 1, 0),
            head("moved", Some(1), 2, 0),
            head("gone", Some(1), 3, 0),
            head("back", None, 4, 0),
            head("gone-before", None, 5, 0),
            head("fresh", Some(2), 6, 95_000),
            head("fresh-and-gone", Some(2), 7, 95_000),
        ];
        let there = [("same", 1), ("moved", 2), ("back", 1), ("new", 1), ("fresh", 1)];
        let refs = there.map(|(name, commit)| (format!("refs/heads/{name}"), sample::sha(commit)));
        let remote = RemoteHeads { default_branch: None, refs: refs.into() };
        let found = |window| {
            let now = Timestamp::from_millis(100_000);
            let found = moves(&heads, &remote, now, Duration::from_secs(window)).into_iter();
            let mut found: Vec<_> =
                found.map(|(name, seq, new)| (name.trim_start_matches("refs/heads/"), seq, new.is_some())).collect();
            found.sort_by_key(|(_, seq, _)| *seq);
            found
        };
        let calm = [("new", 0, true), ("moved", 2, true), ("gone", 3, false), ("back", 4, true)];
        assert_eq!(found(10), calm);
        assert_eq!(found(5), [calm.as_slice(), &[("fresh", 6, true), ("fresh-and-gone", 7, false)]].concat());
    }
}
