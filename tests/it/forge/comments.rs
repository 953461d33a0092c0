//! Comments on GitHub's pull requests: posted, found again and edited, whoever else writes there.

use longboat::clock::Clock;
use longboat::forge::{CommentId, Forge, ForgeErrorKind};

use super::github::{SHOP, clock, fake, github, hasty};
use crate::support::fake_github::{FakeGitHub, Fault, PullOf, TOKEN};

const MARKER: &str = "<!-- longboat:acme/shop#1 -->";

/// A fake with one pull request; its number is 1.
async fn with_pull(clock: &Clock) -> FakeGitHub {
    let fake = fake(clock).await;
    let head = "a".repeat(40);
    let of = PullOf { title: "Topic", from: SHOP, branch: "topic", head: &head, target: "main", author: "ann" };
    assert_eq!(fake.open_pull(SHOP, &of), 1);
    fake
}

#[tokio::test]
async fn a_comment_is_posted_once_and_edited_in_place() {
    let clock = clock();
    let fake = with_pull(&clock).await;
    for url in [fake.url(), fake.enterprise_url()] {
        let github = github(&url, TOKEN, &clock);
        let id = github.post_comment(SHOP, 1, &format!("First ✓ {MARKER}")).await.expect("taken");
        github.edit_comment(SHOP, 1, &id, &format!("Second {MARKER}")).await.expect("taken");
        let comments = fake.comments(SHOP, 1);
        let last = comments.last().expect("it is there");
        assert_eq!(last.id.to_string(), id.0);
        assert_eq!(last.versions, [format!("First ✓ {MARKER}"), format!("Second {MARKER}")]);
    }
    assert_eq!(fake.comments(SHOP, 1).len(), 2, "one each");
}

#[tokio::test]
async fn the_own_comment_is_found_among_those_that_look_like_it() {
    let clock = clock();
    let fake = with_pull(&clock).await;
    let github = github(&fake.url(), TOKEN, &clock);
    assert_eq!(github.find_comment(SHOP, 1, MARKER).await.expect("read"), None);
    assert_eq!(fake.seen().len(), 1, "who we are is not asked while nobody wrote such a comment");

    fake.comment_as(SHOP, 1, "mallory", &format!("Everything is fine {MARKER}"));
    for number in 0..150 {
        fake.comment_as(SHOP, 1, "ann", &format!("Talk {number}"));
    }
    assert_eq!(github.find_comment(SHOP, 1, MARKER).await.expect("read"), None, "a marker that somebody planted");

    let first = fake.comment_as(SHOP, 1, "longboat-bot", &format!("Ours {MARKER}"));
    fake.comment_as(SHOP, 1, "longboat-bot", &format!("Ours again {MARKER}"));
    let found = github.find_comment(SHOP, 1, MARKER).await.expect("read").expect("it is there");
    assert_eq!((found.id, found.body), (CommentId(first.to_string()), format!("Ours {MARKER}")), "the oldest");
    let asked = fake.seen().iter().filter(|seen| seen.path == "/user").count();
    assert_eq!(asked, 1, "who we are is asked once");
}

#[tokio::test]
async fn an_app_knows_its_comment_by_the_app_and_then_by_its_account() {
    let clock = clock();
    let fake = with_pull(&clock).await;
    fake.act_as("longboat[bot]");
    fake.comment_as(SHOP, 1, "mallory", MARKER);
    let other = fake.comment_as(SHOP, 1, "other[bot]", MARKER);
    let ours = fake.comment_as(SHOP, 1, "longboat[bot]", MARKER);
    let github = github(&fake.url(), TOKEN, &clock);
    // Nothing tells the two Apps apart yet.
    let found = github.find_comment(SHOP, 1, MARKER).await.expect("read").expect("an App's");
    assert_eq!(found.id.0, other.to_string());
    // GitHub names the author of what is written.
    let status = super::github::status(longboat::model::StatusState::Pending, "Checking");
    github.post_status(SHOP, &status, None).await.expect("taken");
    let found = github.find_comment(SHOP, 1, MARKER).await.expect("read").expect("ours");
    assert_eq!(found.id.0, ours.to_string());
    assert_eq!(fake.seen().iter().filter(|seen| seen.path == "/user").count(), 1);
}

#[tokio::test]
async fn comments_that_fill_every_answer_hide_nothing() {
    let clock = clock();
    let fake = with_pull(&clock).await;
    // 120 of the longest that GitHub takes, each character of which is escaped.
    for _ in 0..120 {
        fake.comment_as(SHOP, 1, "mallory", &"\u{1}".repeat(65_536));
    }
    let ours = fake.comment_as(SHOP, 1, "longboat-bot", MARKER);
    let github = github(&fake.url(), TOKEN, &clock);
    let found = github.find_comment(SHOP, 1, MARKER).await.expect("read").expect("ours");
    assert_eq!(found.id.0, ours.to_string());
}

#[tokio::test]
async fn what_github_refuses_is_told_apart() {
    let clock = clock();
    let fake = with_pull(&clock).await;
    let github = github(&fake.url(), TOKEN, &clock);

    let error = github.post_comment(SHOP, 1, &"x".repeat(65_537)).await.expect_err("too long");
    assert_eq!(error.kind, ForgeErrorKind::Refused);
    assert_eq!(
        error.message,
        "POST /repos/acme/shop/issues/1/comments: 422 Validation Failed: Body is too long (maximum is 65536 characters)"
    );
    github.post_comment(SHOP, 1, &"ä".repeat(65_536)).await.expect("characters count, not bytes");

    let error = github.post_comment(SHOP, 99, "x").await.expect_err("no such pull request");
    assert_eq!(error.kind, ForgeErrorKind::NotFound);

    let id = github.post_comment(SHOP, 1, "x").await.expect("taken");
    fake.delete_comment(SHOP, id.0.parse().expect("a number"));
    let error = github.edit_comment(SHOP, 1, &id, "y").await.expect_err("deleted");
    assert_eq!(error.kind, ForgeErrorKind::NotFound);

    let other = CommentId(fake.comment_as(SHOP, 1, "ann", "mine").to_string());
    let error = github.edit_comment(SHOP, 1, &other, "y").await.expect_err("another's");
    assert_eq!(error.kind, ForgeErrorKind::Forbidden);
    assert!(error.message.contains("needs the permission \"Pull requests: write\""), "{error}");

    for odd in ["", "../7", "7?x", "abc"] {
        let before = fake.seen().len();
        let error = github.edit_comment(SHOP, 1, &CommentId(odd.to_owned()), "y").await.expect_err("no number");
        assert_eq!((error.kind, fake.seen().len()), (ForgeErrorKind::NotFound, before), "{odd}");
    }
}

#[tokio::test]
async fn a_comment_that_may_have_arrived_is_told_so_and_found_again() {
    let clock = clock();
    let fake = with_pull(&clock).await;
    for (fault, arrives) in [(Fault::BreakBefore, false), (Fault::BreakAfter, true), (Fault::FailAfter, true)] {
        fake.fail_next(fault.clone());
        let before = fake.comments(SHOP, 1).len();
        let github = github(&fake.url(), TOKEN, &clock);
        let error = github.post_comment(SHOP, 1, MARKER).await.expect_err("it fails");
        assert!(error.may_have_arrived, "{fault:?}: nobody can know");
        assert_eq!(fake.comments(SHOP, 1).len() > before, arrives, "{fault:?}");
        assert_eq!(github.find_comment(SHOP, 1, MARKER).await.expect("read").is_some(), arrives, "{fault:?}");
    }
    fake.fail_next(Fault::HangAfter);
    let error = hasty(&fake.url(), &clock).post_comment(SHOP, 1, MARKER).await.expect_err("late");
    assert!(error.may_have_arrived && error.kind == ForgeErrorKind::Unreachable, "{error}");
}

#[tokio::test]
async fn every_second_call_fails_and_late_answers_still_count() {
    let clock = clock();
    let fake = with_pull(&clock).await;
    let github = github(&fake.url(), TOKEN, &clock);
    fake.fail_calls(Some((2, Fault::Answer(500))));
    let mut outcomes = Vec::new();
    for _ in 0..4 {
        outcomes.push(github.pull_request(&SHOP.parse().expect("a name"), 1).await.is_ok());
    }
    assert_eq!(outcomes, [true, false, true, false]);
    fake.fail_calls(None);

    fake.fail_next(Fault::GateAfter);
    let late = github.post_comment(SHOP, 1, "late");
    let meanwhile = async {
        fake.gate_holds(1).await;
        assert_eq!(fake.comments(SHOP, 1).len(), 1, "it is there before the answer");
        github.post_comment(SHOP, 1, "second").await.expect("taken");
        fake.open_gate();
    };
    let (late, ()) = tokio::join!(late, meanwhile);
    assert_eq!(late.expect("taken").0, fake.comments(SHOP, 1)[0].id.to_string());
}
