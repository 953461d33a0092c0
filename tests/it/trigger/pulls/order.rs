//! What comes late, twice, in another order, or in between.

use longboat::forge::{CommentEvent, CommentId, ForgeErrorKind};
use longboat::model::{PullRequest, PullRequestState};
use longboat::store::Accepted;
use longboat::trigger::Noticed;

use super::world::{Pulls, file};
use super::{FILE, repository};

#[tokio::test]
async fn what_does_not_change_the_outcome_is_no_news() {
    let pulls = Pulls::new().await;
    let (this, review) = pulls.open(7, &[(FILE, &file("noob"))]).await;
    let asked = pulls.forge.asked();
    let titled = PullRequest { title: "Better words".to_owned(), ..this.clone() };
    assert_eq!(pulls.tell(&titled).await, Accepted::Duplicate);
    assert_eq!(pulls.forge.asked(), asked);
    // A payload that doesn't tell enough is asked about, and then found to be known.
    pulls.said(&this.head).await;
    assert!(matches!(pulls.hook(None, 7).await, Accepted::New(_)));
    pulls.world.idle().await;
    let stored = pulls.stored(7).await;
    assert_eq!((stored.pull_request.title.as_str(), stored.review), ("Better words", Some(review)));
    assert_eq!(pulls.said(&this.head).await, [""; 0]);
}

#[tokio::test]
async fn the_forge_s_word_counts_and_not_the_order_of_webhooks() {
    let pulls = Pulls::new().await;
    let first = pulls.head(7, &[(FILE, &file("noob"))]);
    let second = pulls.head(7, &[(FILE, &file("wait"))]);
    let old = pulls.pull_request(7, &first);
    let new = PullRequest { head: second.clone(), ..old.clone() };
    pulls.forge.has(&new);
    // The news first, what came before it later.
    pulls.hook(Some(&new), 7).await;
    pulls.world.idle().await;
    pulls.hook(Some(&old), 7).await;
    pulls.world.idle().await;
    assert_eq!(pulls.stored(7).await.pull_request.head, second);
    let said = pulls.said(&first).await;
    assert_eq!(said, ["Pending Checking".to_owned(), format!("Failure Superseded by {}", second.short())]);
    assert_eq!(pulls.hook(Some(&new), 7).await, Accepted::Duplicate, "how it stands is known");
}

#[tokio::test]
async fn many_pushes_that_waited_are_one_look() {
    let pulls = Pulls::new().await;
    pulls.forge.fails(Some(ForgeErrorKind::Unreachable));
    // Nothing is known, so the forge has to be waited for.
    pulls.hook(None, 7).await;
    pulls.world.until("the forge was asked", async |_| pulls.forge.asked() > 0).await;
    let heads: Vec<_> =
        (0..4).map(|at| pulls.head(7, &[("README", &format!("{at}")), (FILE, &file("noop"))])).collect();
    for head in &heads {
        pulls.hook(Some(&pulls.pull_request(7, head)), 7).await;
    }
    pulls.forge.has(&pulls.pull_request(7, &heads[3]));
    pulls.forge.fails(None);
    pulls.idle_later().await;
    assert_eq!(pulls.review(7).await.commit, heads[3]);
    assert_eq!(pulls.said(&heads[3]).await.last().map(String::as_str), Some("Success 1 pipeline valid"));
}

#[tokio::test]
async fn a_forge_that_is_down_holds_up_neither_pushes_nor_what_was_told_in_full() {
    let pulls = Pulls::new().await;
    pulls.forge.fails(Some(ForgeErrorKind::Server));
    pulls.hook(None, 8).await;
    let head = pulls.head(7, &[(FILE, &file("noob"))]);
    pulls.hook(Some(&pulls.pull_request(7, &head)), 7).await;
    pulls
        .world
        .until("the review", async |world| {
            let stored = world.store.pull_request(&repository("acme/shop"), 7).await.expect("reads");
            stored.is_some_and(|stored| stored.review.is_some_and(|review| review.errors == 1))
        })
        .await;
    let next = pulls.remote.write("README", "x").commit("a push");
    let old = pulls.remote.git(&["rev-parse", "main~1"]).parse().expect("a commit");
    pulls.world.notice(super::super::world::push("refs/heads/main", Some(&old), Some(&next))).await;
    pulls
        .world
        .until("the push is settled", async |world| {
            let states = world.store.repository_states().await.expect("reads");
            states.iter().any(|state| state.settled_commit.as_ref() == Some(&next))
        })
        .await;
    assert!(pulls.world.store.next_inbox_due().await.expect("reads").is_some(), "the other one is waited for");
}

#[tokio::test]
async fn without_anybody_to_ask_git_says_where_the_head_is() {
    let pulls = Pulls::new().await;
    pulls.forge.fails(Some(ForgeErrorKind::Unreachable));
    let first = pulls.head(7, &[(FILE, &file("noob"))]);
    let second = pulls.head(7, &[(FILE, &file("noop")), ("README", "x")]);
    pulls.hook(Some(&pulls.pull_request(7, &second)), 7).await;
    pulls.world.idle().await;
    pulls.hook(Some(&pulls.pull_request(7, &first)), 7).await;
    pulls.idle_later().await;
    assert_eq!(pulls.review(7).await.commit, second);
    assert_eq!(pulls.stored(7).await.pull_request.head, second);
}

#[tokio::test]
async fn a_head_that_git_has_not_heard_of_yet_is_looked_for() {
    let pulls = Pulls::new().await;
    let (this, _) = pulls.open(7, &[(FILE, &file("noop"))]).await;
    let unknown = format!("{:040x}", 77).parse().expect("a commit");
    pulls.tell(&PullRequest { head: unknown, ..this.clone() }).await;
    pulls
        .world
        .until("it is put off", async |world| {
            let pending = world.store.pending_inbox(&repository("acme/shop"), "refs/pull/7/head").await.expect("reads");
            pending.iter().any(|entry| entry.attempts > 0)
        })
        .await;
    let head = pulls.head(7, &[(FILE, &file("wait"))]);
    pulls.tell(&PullRequest { head: head.clone(), ..this }).await;
    pulls.idle_later().await;
    assert_eq!(pulls.review(7).await.commit, head);
}

#[tokio::test]
async fn a_head_that_never_comes_is_given_up_with_a_reason() {
    let pulls = Pulls::new().await;
    let unknown: longboat::model::CommitSha = format!("{:040x}", 77).parse().expect("a commit");
    pulls.tell(&pulls.pull_request(7, &unknown)).await;
    pulls.idle_later().await;
    let why = pulls.review(7).await.trouble.expect("a reason");
    assert!(why.starts_with("the branch can't be fetched: ") && why.contains("refs/pull/7/head"), "{why}");
    let said = pulls.said(&unknown).await;
    assert!(said.last().expect("something").starts_with("Failure Failed: the branch can't be fetched"), "{said:?}");
    let states = pulls.world.store.repository_states().await.expect("reads");
    assert_eq!(states[0].error, None, "the repository is well");
}

#[tokio::test]
async fn closing_ends_what_waits_and_opening_again_begins_anew() {
    let pulls = Pulls::new().await;
    pulls.forge.fails(Some(ForgeErrorKind::Unreachable));
    pulls.hook(None, 7).await;
    pulls.world.until("the forge was asked", async |_| pulls.forge.asked() > 0).await;
    let head = pulls.head(7, &[(FILE, &file("noob"))]);
    let this = pulls.pull_request(7, &head);
    pulls.hook(Some(&this), 7).await;
    let closed = PullRequest { state: PullRequestState::Closed, ..this.clone() };
    pulls.forge.has(&closed);
    pulls.hook(Some(&closed), 7).await;
    pulls.forge.fails(None);
    pulls.idle_later().await;
    assert_eq!(pulls.stored(7).await.review, None);
    let said = pulls.said(&head).await;
    assert_eq!(said, ["Pending Checking", "Failure Cancelled: the pull request is closed"]);
    assert!(!pulls.keeps_head(7));
    // Open again, with the same head.
    pulls.tell(&this).await;
    pulls.world.idle().await;
    assert_eq!(pulls.review(7).await.errors, 1);
    assert!(pulls.said(&head).await.last().expect("something").starts_with("Failure Failed: 1 error"));
}

#[tokio::test]
async fn a_comment_that_asks_gets_another_look() {
    let pulls = Pulls::new().await;
    let (this, _) = pulls.open(7, &[(FILE, &file("noob"))]).await;
    pulls.said(&this.head).await;
    let asked = pulls.forge.asked();
    let comment = |text: &str, created| CommentEvent {
        repository: repository("acme/shop"),
        number: 7,
        comment: CommentId("1".to_owned()),
        actor: Some("ann".to_owned()),
        text: Some(text.to_owned()),
        created,
    };
    for ignored in [comment("> /longboat check", true), comment("/longboat check", false)] {
        let noticed = pulls.world.triggers.notice_comment(ignored, None).await.expect("written");
        assert_eq!(noticed, Noticed::NoCommand);
    }
    assert_eq!(pulls.forge.asked(), asked);
    pulls.world.triggers.notice_comment(comment("/longboat check", true), None).await.expect("written");
    pulls.world.idle().await;
    assert_eq!(pulls.forge.asked(), asked + 1);
    let said = pulls.said(&this.head).await;
    assert!(said.len() == 1 && said[0].starts_with("Failure Failed: 1 error"), "{said:?}");
}

#[tokio::test]
async fn a_merge_is_known_by_its_commit_even_if_the_forge_needs_a_moment() {
    let pulls = Pulls::new().await;
    let (this, _) = pulls.open(7, &[(FILE, &file("noop"))]).await;
    let merged = PullRequest { state: PullRequestState::Merged, ..this };
    pulls.tell(&merged).await;
    pulls
        .world
        .until("it is put off", async |world| {
            let pending = world.store.pending_inbox(&repository("acme/shop"), "refs/pull/7/head").await.expect("reads");
            pending.iter().any(|entry| entry.attempts > 0)
        })
        .await;
    let commit = pulls.remote.commit_of("main");
    pulls.forge.has(&PullRequest { merge_commit: Some(commit.clone()), ..merged });
    pulls.idle_later().await;
    assert_eq!(pulls.stored(7).await.pull_request.merge_commit, Some(commit));
}
