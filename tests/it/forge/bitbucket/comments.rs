//! Comments: written, found again by their marker and author, edited in place.

use longboat::forge::{CommentId, Forge, ForgeErrorKind};

use super::{BOTH, clock, fake, forge, shop, with};
use crate::support::fake_bitbucket::{API_TOKEN, BOT, FakeBitbucket, Fault, Kind, PullOf, USER};

const MARKER: &str = "longboat: acme/shop#1";

fn open(fake: &FakeBitbucket) -> u64 {
    let repo = shop(fake.kind());
    fake.open_pull(
        repo,
        &PullOf { title: "Ship", from: repo, branch: "x", head: &"a".repeat(40), target: "main", author: "bob" },
    )
}

async fn bodies(bitbucket: &dyn Forge, fake: &FakeBitbucket, number: u64) -> Option<String> {
    let found = bitbucket.find_comment(shop(fake.kind()), number, MARKER).await.expect("read");
    found.map(|comment| comment.body)
}

#[tokio::test]
async fn a_comment_is_posted_found_and_edited_in_place() {
    let clock = clock();
    for kind in BOTH {
        let (fake, repo) = (fake(kind, &clock).await, shop(kind));
        let number = open(&fake);
        let bitbucket = forge(&fake, &clock);
        assert_eq!(bitbucket.find_comment(repo, number, MARKER).await, Ok(None));
        let first = format!("1 error\n\n{MARKER}");
        let id = bitbucket.post_comment(repo, number, &first).await.expect("posted");
        assert_eq!(bodies(&*bitbucket, &fake, number).await.as_deref(), Some(first.as_str()), "{kind:?}");
        let second = format!("All is well\n\n{MARKER}");
        bitbucket.edit_comment(repo, number, &id, &second).await.expect("edited");
        let found = bitbucket.find_comment(repo, number, MARKER).await.expect("read").expect("there");
        assert_eq!((&found.id, &found.body), (&id, &second));
        let comments = fake.comments(repo, number);
        assert_eq!(comments.len(), 1);
        assert_eq!(comments[0].versions, [first, second]);
        assert!(!bitbucket.capabilities().markup.hidden_text && !bitbucket.capabilities().markup.folding);
        assert_eq!(bitbucket.capabilities().comment_limit, 32_768);
        let error = bitbucket.post_comment(repo, number, &"x".repeat(32_769)).await.expect_err("too long");
        assert_eq!(error.kind, ForgeErrorKind::Refused, "{error}");
    }
}

#[tokio::test]
async fn a_planted_marker_is_not_ours() {
    let clock = clock();
    for kind in BOTH {
        let (fake, repo) = (fake(kind, &clock).await, shop(kind));
        let number = open(&fake);
        fake.comment_as(repo, number, "mallory", &format!("Approved. {MARKER}"));
        assert_eq!(bodies(&*forge(&fake, &clock), &fake, number).await, None, "{kind:?}");
        let ours = fake.comment_as(repo, number, BOT, &format!("1 error {MARKER}"));
        fake.comment_as(repo, number, BOT, &format!("A later one {MARKER}"));
        // A client that has just started, and has written nothing yet.
        let bitbucket = forge(&fake, &clock);
        let found = bitbucket.find_comment(repo, number, MARKER).await.expect("read").expect("there");
        assert_eq!(found.id, CommentId(ours.to_string()), "the oldest");
        fake.delete_comment(repo, ours);
        let found = bitbucket.find_comment(repo, number, MARKER).await.expect("read").expect("there");
        assert_ne!(found.id, CommentId(ours.to_string()), "{kind:?}: a deleted one is none");
    }
}

#[tokio::test]
async fn an_account_knows_its_own_comments() {
    let clock = clock();
    let (fake, repo) = (fake(Kind::Cloud, &clock).await, shop(Kind::Cloud));
    let number = open(&fake);
    let account = |options: &mut longboat::forge::bitbucket::BitbucketOptions| {
        options.token = Some(API_TOKEN.into());
        options.user = Some(USER.to_owned());
    };
    fake.comment_as(repo, number, BOT, &format!("Another program's {MARKER}"));
    let bitbucket = with(&fake, &clock, account);
    assert_eq!(bodies(&*bitbucket, &fake, number).await, None);
    fake.comment_as(repo, number, USER, &format!("Ours {MARKER}"));
    assert_eq!(bodies(&*bitbucket, &fake, number).await, Some(format!("Ours {MARKER}")));
    let asked = fake.seen().iter().filter(|seen| seen.path == "/2.0/user").count();
    assert_eq!(asked, 1, "who it is, is asked once");
}

#[tokio::test]
async fn a_comment_is_found_behind_hundreds_of_others() {
    let clock = clock();
    for kind in BOTH {
        let (fake, repo) = (fake(kind, &clock).await, shop(kind));
        let number = open(&fake);
        for _ in 0..150 {
            fake.comment_as(repo, number, "ann", "chatter");
        }
        fake.comment_as(repo, number, BOT, MARKER);
        for _ in 0..150 {
            fake.comment_as(repo, number, "ann", "chatter");
        }
        assert_eq!(bodies(&*forge(&fake, &clock), &fake, number).await.as_deref(), Some(MARKER), "{kind:?}");
        // The address of the next page leads to another host; the fake heard all of them.
        assert!(fake.seen().iter().filter(|seen| seen.status == Some(200)).count() >= 2);
    }
}

#[tokio::test]
async fn a_comment_that_is_gone_is_told_so() {
    let clock = clock();
    for kind in BOTH {
        let (fake, repo) = (fake(kind, &clock).await, shop(kind));
        let number = open(&fake);
        let bitbucket = forge(&fake, &clock);
        let id = bitbucket.post_comment(repo, number, MARKER).await.expect("posted");
        fake.delete_comment(repo, id.0.parse().expect("a number"));
        let error = bitbucket.edit_comment(repo, number, &id, "x").await.expect_err("gone");
        assert_eq!(error.kind, ForgeErrorKind::NotFound, "{kind:?}: {error}");
        let odd = CommentId("../../hooks".to_owned());
        let error = bitbucket.edit_comment(repo, number, &odd, "x").await.expect_err("no number");
        assert_eq!(error.kind, ForgeErrorKind::NotFound);
        let error = bitbucket.post_comment(repo, 99, "x").await.expect_err("no such pull request");
        assert_eq!(error.kind, ForgeErrorKind::NotFound, "{error}");
    }
}

#[tokio::test]
async fn an_edit_that_comes_between_is_seen_and_edited_over() {
    let clock = clock();
    let (fake, repo) = (fake(Kind::DataCenter, &clock).await, shop(Kind::DataCenter));
    let number = open(&fake);
    let bitbucket = forge(&fake, &clock);
    let id = bitbucket.post_comment(repo, number, "one").await.expect("posted");
    fake.meddle("an administrator's");
    bitbucket.edit_comment(repo, number, &id, "two").await.expect("edited");
    assert_eq!(fake.comments(repo, number)[0].versions, ["one", "an administrator's", "two"]);
}

#[tokio::test]
async fn a_comment_whose_answer_is_lost_may_stand_there() {
    let clock = clock();
    for kind in BOTH {
        let (fake, repo) = (fake(kind, &clock).await, shop(kind));
        let number = open(&fake);
        let bitbucket = forge(&fake, &clock);
        fake.fail_next(Fault::BreakAfter);
        let error = bitbucket.post_comment(repo, number, MARKER).await.expect_err("lost");
        assert!(error.may_have_arrived);
        assert_eq!(bodies(&*bitbucket, &fake, number).await.as_deref(), Some(MARKER), "{kind:?}: found again");
    }
}
