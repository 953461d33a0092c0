//! Local repositories say when their refs move.

use std::time::Duration;

use futures::{FutureExt, Stream, StreamExt};
use longboat::git::{GitError, watch_local};

use crate::support::repo::{Repo, git_in};

async fn hint(stream: &mut (impl Stream<Item = ()> + Unpin)) {
    tokio::time::timeout(Duration::from_secs(20), stream.next()).await.expect("a hint in time").expect("still there");
}

/// Takes hints until none is waiting: the system may split one change into several.
async fn settle(stream: &mut (impl Stream<Item = ()> + Unpin)) {
    while tokio::time::timeout(Duration::from_millis(300), stream.next()).await.is_ok_and(|hint| hint.is_some()) {}
}

#[tokio::test]
async fn commits_branches_and_packed_refs_are_noticed() {
    let repo = Repo::new();
    repo.write("a", "1").commit("One");
    let mut stream = watch_local(&repo.path()).expect("watched");
    assert!(stream.next().now_or_never().is_none(), "nothing happened yet");
    repo.write("a", "2").commit("Two");
    hint(&mut stream).await;
    settle(&mut stream).await;
    repo.git(&["branch", "deep/in/folders"]);
    hint(&mut stream).await;
    settle(&mut stream).await;
    repo.git(&["pack-refs", "--all", "--prune"]);
    hint(&mut stream).await;
    settle(&mut stream).await;
    repo.git(&["branch", "deep/in/folders2"]);
    hint(&mut stream).await;
    settle(&mut stream).await;
    repo.git(&["checkout", "--quiet", "deep/in/folders2"]);
    hint(&mut stream).await;
}

#[tokio::test]
async fn pushes_to_a_bare_repository_are_noticed_and_reading_is_not() {
    let (work, bare) = (Repo::new(), Repo::bare());
    work.write("a", "1").commit("One");
    let mut stream = watch_local(&bare.path()).expect("watched");
    work.push_to(&bare);
    hint(&mut stream).await;
    settle(&mut stream).await;
    bare.git(&["log", "--oneline", "main"]);
    bare.git(&["for-each-ref"]);
    let silence = tokio::time::timeout(Duration::from_millis(300), stream.next()).await;
    assert!(silence.is_err(), "reading is no change");
}

#[tokio::test]
async fn a_linked_work_tree_is_watched_where_its_refs_are() {
    let repo = Repo::new();
    repo.write("a", "1").commit("One");
    let linked = repo.root().join("linked");
    repo.git(&["worktree", "add", "--quiet", "-b", "topic", &linked.to_string_lossy()]);
    let mut stream = watch_local(&linked).expect("watched");
    git_in(&linked, &["commit", "--quiet", "--allow-empty", "--message", "Two"]);
    hint(&mut stream).await;
}

#[tokio::test]
async fn a_repository_that_goes_away_ends_the_stream() {
    let repo = Repo::new();
    let mut stream = watch_local(&repo.path()).expect("watched");
    std::fs::remove_dir_all(repo.path()).expect("removed");
    let ended = async { while stream.next().await.is_some() {} };
    tokio::time::timeout(Duration::from_secs(20), ended).await.expect("the stream ends");
    assert!(matches!(watch_local(&repo.path()), Err(GitError::NotARepository { .. })));
}
