//! One commit and one status, but several that speak of it.

use longboat::model::{PullRequest, PullRequestState};

use super::FILE;
use super::world::{Pulls, file};
use crate::trigger::world::push;

/// A file that is good on main and bad elsewhere.
fn only_on_main() -> String {
    file("{% if branch == 'main' %}noop{% else %}noob{% endif %}")
}

#[tokio::test]
async fn of_two_targets_the_worse_answer_counts() {
    let pulls = Pulls::new().await;
    pulls.remote.git(&["branch", "release", "main"]);
    let (into_main, _) = pulls.open(7, &[(FILE, &only_on_main())]).await;
    assert_eq!(pulls.said(&into_main.head).await.last().map(String::as_str), Some("Success 1 pipeline valid"));
    pulls.remote.git(&["update-ref", "refs/pull/8/head", into_main.head.as_str()]);
    let into_release = PullRequest { target_branch: "release".to_owned(), ..pulls.pull_request(8, &into_main.head) };
    pulls.tell(&into_release).await;
    pulls.world.idle().await;
    let said = pulls.said(&into_main.head).await;
    assert!(said.last().expect("something").starts_with("Failure Failed: 1 error, deploy.yaml:5"), "{said:?}");
    // Another look at the good one doesn't make the bad one good.
    pulls.tell(&PullRequest { state: PullRequestState::Closed, ..into_main.clone() }).await;
    pulls.world.idle().await;
    pulls.tell(&into_main).await;
    pulls.world.idle().await;
    let said = pulls.said(&into_main.head).await;
    let worse = "Failure Failed: #8 into release, 1 error, deploy.yaml:5 unknown stage type noob";
    assert!(said.last().expect("something").starts_with(worse), "{said:?}");
    // Without the bad one, the good one speaks.
    pulls.tell(&PullRequest { state: PullRequestState::Closed, ..into_release }).await;
    pulls.world.idle().await;
    assert_eq!(pulls.said(&into_main.head).await, ["Success 1 pipeline valid"]);
}

#[tokio::test]
async fn a_push_to_an_untracked_branch_leaves_the_word_to_the_pull_request() {
    let pulls = Pulls::new().await;
    // As a branch of its own it is bad, as what it would become it is good.
    let head = pulls.head(7, &[(FILE, &only_on_main())]);
    let announced = async || pulls.world.notice(push("refs/heads/change", None, Some(&head))).await;
    pulls.remote.git(&["branch", "change", head.as_str()]);
    announced().await;
    pulls.tell(&pulls.pull_request(7, &head)).await;
    pulls.world.idle().await;
    let said = pulls.said(&head).await;
    assert_eq!(said.last().map(String::as_str), Some("Success 1 pipeline valid"), "{said:?}");
    let found = pulls.world.store.findings(&super::repository("acme/shop"), &head).await.expect("reads");
    assert_eq!(found.map(|found| (found.git_ref, found.findings.len())), Some(("refs/pull/7/head".to_owned(), 0)));

    // And the other way round: the push is seen last.
    let head = pulls.head(8, &[(FILE, &only_on_main()), ("README", "x")]);
    pulls.tell(&pulls.pull_request(8, &head)).await;
    pulls.world.idle().await;
    assert_eq!(pulls.said(&head).await, ["Pending Checking", "Success 1 pipeline valid"]);
    pulls.remote.git(&["branch", "other", head.as_str()]);
    pulls.world.notice(push("refs/heads/other", None, Some(&head))).await;
    pulls.world.settled(&head).await;
    assert_eq!(pulls.said(&head).await, [""; 0], "nothing is said that would have to be taken back");
}

#[tokio::test]
async fn the_tip_of_a_tracked_branch_keeps_its_own_bad_news() {
    let pulls = Pulls::with(|spec| spec.branches.push("develop".to_owned()), |_| {}).await;
    let head = pulls.head(7, &[(FILE, &only_on_main())]);
    pulls.remote.git(&["branch", "develop", head.as_str()]);
    pulls.world.notice(push("refs/heads/develop", None, Some(&head))).await;
    pulls.world.settled(&head).await;
    assert!(pulls.said(&head).await.last().expect("something").starts_with("Failure Failed: 1 error"));
    pulls.tell(&PullRequest { head_branch: "develop".to_owned(), ..pulls.pull_request(7, &head) }).await;
    pulls.world.idle().await;
    assert_eq!(pulls.review(7).await.errors, 0);
    let said = pulls.said(&head).await;
    assert_eq!(said.last().map(String::as_str), Some("Failure Failed: 1 error on develop itself"), "{said:?}");
}
