//! Pull requests: read whole, listed, and their heads found.

use std::time::Duration;

use longboat::forge::{ForgeError, ForgeErrorKind, HeadSource, Listing};
use longboat::model::{CommitSha, PullRequest, PullRequestState};

use super::{BOTH, clock, fake, forge, fork, name, shop};
use crate::support::fake_bitbucket::{FakeBitbucket, Fault, Kind, PullOf};

fn id(digit: &str) -> String {
    digit.repeat(40)
}

fn open(fake: &FakeBitbucket, from: &str, digit: &str) -> u64 {
    let head = id(digit);
    fake.open_pull(
        shop(fake.kind()),
        &PullOf { title: "Ship it", from, branch: "feature/x", head: &head, target: "main", author: "bob" },
    )
}

fn all(listing: Result<Listing, ForgeError>) -> (Vec<PullRequest>, bool) {
    match listing.expect("read") {
        Listing::Changed { open, truncated, .. } => (open, truncated),
        Listing::Unchanged => panic!("unchanged"),
    }
}

#[tokio::test]
async fn a_pull_request_is_read_with_full_ids() {
    let clock = clock();
    for kind in BOTH {
        let (fake, repo) = (fake(kind, &clock).await, shop(kind));
        fake.add_repository(fork(kind));
        let bitbucket = forge(&fake, &clock);
        for (from, digit, is_fork) in [(repo, "a", false), (fork(kind), "b", true)] {
            let number = open(&fake, from, digit);
            let found = bitbucket.pull_request(&name(repo), number).await.expect("read");
            let author = if kind == Kind::Cloud { "557058:bob" } else { "bob" };
            assert_eq!(
                found,
                PullRequest {
                    repository: name(repo),
                    number,
                    title: "Ship it".to_owned(),
                    state: PullRequestState::Open,
                    head: CommitSha::parse(&id(digit)).expect("legal"),
                    head_branch: "feature/x".to_owned(),
                    head_repository: Some(from.to_owned()),
                    fork: is_fork,
                    target_branch: "main".to_owned(),
                    author: Some(author.to_owned()),
                    merge_commit: None,
                }
            );
            let git_ref = "refs/heads/feature/x".to_owned();
            let expected = match (kind, is_fork) {
                (Kind::Cloud, false) => HeadSource::Ref(git_ref),
                (Kind::Cloud, true) => {
                    HeadSource::Repository { url: format!("{}/mallory/shop.git", fake.url()), git_ref }
                }
                (Kind::DataCenter, _) => HeadSource::Ref(format!("refs/pull-requests/{number}/from")),
            };
            assert_eq!(bitbucket.head_of(&found), expected);
        }
        let error = bitbucket.pull_request(&name(repo), 99).await.expect_err("not there");
        assert_eq!(error.kind, ForgeErrorKind::NotFound, "{error}");
    }
}

#[tokio::test]
async fn a_merge_has_its_commit_and_a_closed_one_has_none() {
    let clock = clock();
    for kind in BOTH {
        let (fake, repo) = (fake(kind, &clock).await, shop(kind));
        let bitbucket = forge(&fake, &clock);
        let (merged, declined) = (open(&fake, repo, "a"), open(&fake, repo, "b"));
        fake.close_pull(repo, merged, Some(&id("c")));
        fake.close_pull(repo, declined, None);
        let found = bitbucket.pull_request(&name(repo), merged).await.expect("read");
        let commit = found.merge_commit.map(|commit| commit.as_str().to_owned());
        assert_eq!((found.state, commit), (PullRequestState::Merged, Some(id("c"))));
        let found = bitbucket.pull_request(&name(repo), declined).await.expect("read");
        assert_eq!((found.state, found.merge_commit), (PullRequestState::Closed, None));
    }
}

#[tokio::test]
async fn a_fork_that_is_gone_is_known_as_gone() {
    let clock = clock();
    let (fake, repo) = (fake(Kind::Cloud, &clock).await, shop(Kind::Cloud));
    fake.add_repository(fork(Kind::Cloud));
    let number = open(&fake, fork(Kind::Cloud), "a");
    fake.change_pull(repo, number, |pull| pull.head_repository = None);
    let bitbucket = forge(&fake, &clock);
    let found = bitbucket.pull_request(&name(repo), number).await.expect("read");
    assert!(found.fork && found.head_repository.is_none());
    assert_eq!(bitbucket.head_of(&found), HeadSource::Gone);
}

#[tokio::test]
async fn open_ones_are_listed_and_a_list_without_news_costs_one_request() {
    let clock = clock();
    for kind in BOTH {
        let (fake, repo) = (fake(kind, &clock).await, shop(kind));
        let bitbucket = forge(&fake, &clock);
        let first = open(&fake, repo, "a");
        clock.advance(Duration::from_secs(1));
        let second = open(&fake, repo, "b");
        let closed = open(&fake, repo, "c");
        fake.close_pull(repo, closed, None);
        let listing = bitbucket.open_pull_requests(&name(repo), None).await;
        let Ok(Listing::Changed { validator: Some(validator), .. }) = &listing else { panic!("{listing:?}") };
        let validator = validator.clone();
        let (open, truncated) = all(listing);
        assert_eq!(open.iter().map(|pull| pull.number).collect::<Vec<_>>(), [second, first], "{kind:?}: newest first");
        assert!(!truncated && open.iter().all(|pull| pull.head.as_str().len() == 40));

        let before = fake.seen().len();
        let again = bitbucket.open_pull_requests(&name(repo), Some(&validator)).await;
        assert_eq!(again, Ok(Listing::Unchanged), "{kind:?}");
        assert_eq!(fake.seen().len() - before, 1);

        clock.advance(Duration::from_secs(1));
        fake.push_to_pull(repo, first, &id("d"));
        let (open, _) = all(bitbucket.open_pull_requests(&name(repo), Some(&validator)).await);
        let head = open.iter().find(|pull| pull.number == first).map(|pull| pull.head.as_str().to_owned());
        assert_eq!(head, Some(id("d")), "{kind:?}");
    }
}

#[tokio::test]
async fn a_list_is_bounded_and_says_so() {
    let clock = clock();
    for (kind, limit) in [(Kind::Cloud, 250), (Kind::DataCenter, 300)] {
        let (fake, repo) = (fake(kind, &clock).await, shop(kind));
        for _ in 0..limit {
            open(&fake, repo, "a");
        }
        let bitbucket = forge(&fake, &clock);
        let (found, truncated) = all(bitbucket.open_pull_requests(&name(repo), None).await);
        assert_eq!((found.len(), truncated), (limit, false), "{kind:?}");
        open(&fake, repo, "a");
        let (found, truncated) = all(bitbucket.open_pull_requests(&name(repo), None).await);
        assert_eq!((found.len(), truncated), (limit, true), "{kind:?}");
    }
}

#[tokio::test]
async fn a_bitbucket_that_fails_on_every_second_request_is_read_to_the_end() {
    let clock = clock();
    for kind in BOTH {
        let fake = fake(kind, &clock).await;
        for number in 1..=130_u64 {
            let head = format!("{number:012x}{}", "0".repeat(28));
            let of =
                PullOf { title: "Ship", from: shop(kind), branch: "x", head: &head, target: "main", author: "bob" };
            fake.open_pull(shop(kind), &of);
        }
        fake.fail_calls(Some((2, Fault::Answer(500))));
        let (found, truncated) = all(forge(&fake, &clock).open_pull_requests(&name(shop(kind)), None).await);
        assert_eq!((found.len(), truncated), (130, false), "{kind:?}");
    }
}

#[tokio::test]
async fn a_head_that_could_not_be_asked_for_is_asked_for_at_the_next_look() {
    let clock = clock();
    let fake = fake(Kind::Cloud, &clock).await;
    let repo = name(shop(Kind::Cloud));
    open(&fake, shop(Kind::Cloud), "a");
    let bitbucket = forge(&fake, &clock);
    fake.fail_only(Some("/commits"));
    fake.fail_always(Some(Fault::Answer(500)));
    let listing = bitbucket.open_pull_requests(&repo, None).await.expect("read");
    assert_eq!(listing, Listing::Changed { open: Vec::new(), truncated: true, validator: None });
    fake.fail_always(None);
    let (found, truncated) = all(bitbucket.open_pull_requests(&repo, None).await);
    assert_eq!((found.len(), truncated), (1, false));
}
