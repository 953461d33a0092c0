//! GitHub's pull requests, read one by one and as a list that costs nothing while it stays the same.

use longboat::clock::Clock;
use longboat::forge::{Budget, Forge, ForgeErrorKind, HeadSource, Listing, Validator};
use longboat::model::{CommitSha, PullRequest, PullRequestState, RepositoryName};

use super::github::{SHOP, clock, fake, github};
use crate::support::fake_github::{FakeGitHub, Fault, PullOf, TOKEN};

fn shop() -> RepositoryName {
    SHOP.parse().expect("a name")
}

fn open(fake: &FakeGitHub, clock: &Clock, from: &str) -> u64 {
    clock.advance(std::time::Duration::from_secs(1));
    let head = "a".repeat(40);
    fake.open_pull(SHOP, &PullOf { title: "Topic", from, branch: "topic", head: &head, target: "main", author: "ann" })
}

fn changed(listing: Listing) -> (Vec<PullRequest>, bool, Option<Validator>) {
    match listing {
        Listing::Changed { open, truncated, validator } => (open, truncated, validator),
        Listing::Unchanged => panic!("it has changed"),
    }
}

#[tokio::test]
async fn a_pull_request_is_read_as_it_stands() {
    let clock = clock();
    let fake = fake(&clock).await;
    let github = github(&fake.url(), TOKEN, &clock);
    assert_eq!((open(&fake, &clock, SHOP), open(&fake, &clock, "ann/shop")), (1, 2));

    let own = github.pull_request(&shop(), 1).await.expect("read");
    assert_eq!((own.state, own.fork, own.merge_commit.is_none()), (PullRequestState::Open, false, true));
    assert_eq!(github.head_of(&own), HeadSource::Ref("refs/pull/1/head".to_owned()));
    let fork = github.pull_request(&shop(), 2).await.expect("read");
    assert_eq!((fork.fork, fork.head_repository.as_deref()), (true, Some("ann/shop")));
    fake.change_pull(SHOP, 2, |pull| pull.head_repository = None);
    let gone = github.pull_request(&shop(), 2).await.expect("read");
    assert_eq!((gone.fork, &gone.head_repository), (true, &None));
    assert_eq!(github.head_of(&gone), HeadSource::Ref("refs/pull/2/head".to_owned()), "GitHub keeps it");

    let merge = "d".repeat(40);
    fake.close_pull(SHOP, 1, Some(&merge));
    let merged = github.pull_request(&shop(), 1).await.expect("read");
    assert_eq!((merged.state, merged.merge_commit), (PullRequestState::Merged, CommitSha::parse(&merge).ok()));
    fake.close_pull(SHOP, 2, None);
    assert_eq!(github.pull_request(&shop(), 2).await.expect("read").state, PullRequestState::Closed);

    let error = github.pull_request(&shop(), 9).await.expect_err("there is none");
    assert_eq!(error.kind, ForgeErrorKind::NotFound);
}

#[tokio::test]
async fn an_unchanged_list_costs_nothing() {
    let clock = clock();
    let fake = fake(&clock).await;
    let github = github(&fake.url(), TOKEN, &clock);
    for _ in 0..3 {
        open(&fake, &clock, SHOP);
    }
    let (found, truncated, validator) = changed(github.open_pull_requests(&shop(), None).await.expect("read"));
    assert_eq!(found.iter().map(|pull| pull.number).collect::<Vec<_>>(), [3, 2, 1], "the newest change first");
    assert!(!truncated);
    let validator = validator.expect("GitHub names its lists");
    let left = github.budget().expect("GitHub tells what is left");
    assert_eq!(github.open_pull_requests(&shop(), Some(&validator)).await.expect("read"), Listing::Unchanged);
    assert_eq!(github.budget().map(|budget| budget.remaining), Some(left.remaining), "304 is free");
    assert_eq!(fake.seen().last().and_then(|seen| seen.status), Some(304));

    fake.push_to_pull(SHOP, 1, &"b".repeat(40));
    let (found, _, next) = changed(github.open_pull_requests(&shop(), Some(&validator)).await.expect("read"));
    assert!(found.iter().any(|pull| pull.number == 1 && pull.head.as_str() == "b".repeat(40)));
    assert_ne!(next, Some(validator));
}

#[tokio::test]
async fn one_that_is_closed_behind_the_first_page_is_missed_as_well() {
    let clock = clock();
    let fake = fake(&clock).await;
    let github = github(&fake.url(), TOKEN, &clock);
    for _ in 0..130 {
        open(&fake, &clock, SHOP);
    }
    let (found, _, validator) = changed(github.open_pull_requests(&shop(), None).await.expect("read"));
    assert_eq!(found.len(), 130);
    assert_eq!(github.open_pull_requests(&shop(), validator.as_ref()).await.expect("read"), Listing::Unchanged);
    // The oldest stands on the second page; the first stays what it is.
    fake.close_pull(SHOP, 1, None);
    let (found, _, _) = changed(github.open_pull_requests(&shop(), validator.as_ref()).await.expect("read"));
    assert_eq!(found.len(), 129);
}

#[tokio::test]
async fn texts_that_fill_every_answer_hide_no_pull_request() {
    let clock = clock();
    let fake = fake(&clock).await;
    let github = github(&fake.url(), TOKEN, &clock);
    for number in 1..=45 {
        open(&fake, &clock, SHOP);
        fake.change_pull(SHOP, number, |pull| pull.body = "\u{1}".repeat(65_536));
    }
    let (found, truncated, validator) = changed(github.open_pull_requests(&shop(), None).await.expect("read"));
    assert_eq!((found.len(), truncated), (45, false));
    assert_eq!(validator, None, "it was read in parts that have no name together");
}

#[tokio::test]
async fn what_is_left_of_the_allowance_is_known() {
    let clock = clock();
    let fake = fake(&clock).await;
    let github = github(&fake.url(), TOKEN, &clock);
    assert_eq!(github.budget(), None, "nobody was asked yet");
    github.open_pull_requests(&shop(), None).await.expect("read");
    github.open_pull_requests(&shop(), None).await.expect("read");
    let resets_at = clock.now().plus(std::time::Duration::from_secs(3600));
    assert_eq!(github.budget(), Some(Budget { limit: 5000, remaining: 4998, resets_at }));
}

#[tokio::test]
async fn a_github_that_fails_on_every_second_request_is_read_to_the_end() {
    let clock = clock();
    let fake = fake(&clock).await;
    let github = github(&fake.url(), TOKEN, &clock);
    for _ in 0..230 {
        open(&fake, &clock, SHOP);
    }
    fake.fail_calls(Some((2, Fault::Answer(500))));
    let (found, _, validator) = changed(github.open_pull_requests(&shop(), None).await.expect("read"));
    // Three pages, and one more try for the second and the third.
    assert_eq!((found.len(), fake.seen().len()), (230, 5));
    fake.fail_calls(Some((2, Fault::Answer(500))));
    assert_eq!(github.open_pull_requests(&shop(), validator.as_ref()).await.expect("read"), Listing::Unchanged);
    // What fails at the beginning is left to whoever asked.
    fake.fail_always(Some(Fault::Answer(500)));
    let asked = fake.seen().len();
    github.open_pull_requests(&shop(), None).await.expect_err("it fails");
    assert_eq!(fake.seen().len(), asked + 1);
}
