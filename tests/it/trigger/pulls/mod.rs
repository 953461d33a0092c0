//! Pull requests, from what a webhook tells to the review that is stored and the status that is said.

mod drafts;
mod forks;
mod hostile;
mod order;
mod several;
pub mod world;

use longboat::diagnostic::Code;
use longboat::forge::HeadSource;
use longboat::model::{ChangeKind, Message, PullRequest, PullRequestState, Review};
use longboat::store::Accepted;

use super::world::{may_define, repository};
use world::{Pulls, file};

const FILE: &str = ".longboat/deploy.yaml";

/// Where the pipelines differ.
fn pointers(review: &Review) -> Vec<&str> {
    let pipelines = review.plan.iter().flat_map(|plan| &plan.pipelines);
    pipelines.flat_map(|pipeline| &pipeline.changes).map(|change| change.pointer.as_str()).collect()
}

#[tokio::test]
async fn an_error_is_found_where_it_stands_and_its_fix_says_so() {
    let pulls = Pulls::new().await;
    let (this, review) = pulls.open(7, &[(FILE, &file("noob"))]).await;
    assert_eq!((review.commit, review.errors, review.files), (this.head.clone(), 1, 1));
    let first = &review.findings[0];
    let place = first.finding.place.as_ref().expect("a place");
    assert_eq!((first.finding.code, place.file.as_str(), place.line), (Code::UnknownStageType, FILE, 5));
    let lines = first.snippet.as_deref().expect("lines");
    assert!(lines.contains("> 5 |       - {id: one, type: noob}") && lines.contains('^'), "{lines}");
    let said = pulls.said(&this.head).await;
    let failed = "Failure Failed: 1 error, deploy.yaml:5 unknown stage type noob";
    assert_eq!((said[0].as_str(), said.len()), ("Pending Checking", 2), "{said:?}");
    assert!(said[1].starts_with(failed), "{said:?}");

    let fixed = pulls.head(7, &[(FILE, &file("wait").replace("wait}", "wait, waitTime: 1}"))]);
    pulls.tell(&PullRequest { head: fixed.clone(), ..this }).await;
    pulls.world.idle().await;
    let review = pulls.review(7).await;
    assert_eq!((review.errors, review.errors_before, review.pipelines, review.changed), (0, 1, 1, 1));
    let plan = review.plan.as_ref().expect("a plan");
    let change = &plan.pipelines[0];
    assert_eq!((change.kind, change.pipeline.as_str()), (ChangeKind::Changed, "deploy"));
    assert_eq!(pointers(&review), ["/stages/one/type", "/stages/one/waitTime"]);
    let starts: Vec<_> = plan.starts.iter().map(|start| (start.pipeline.as_str(), start.starts)).collect();
    assert_eq!((starts.as_slice(), review.base.is_some()), (&[("deploy", false)][..], true));
    assert_eq!(pulls.said(&fixed).await, ["Pending Checking", "Success 1 pipeline valid"]);
    assert_eq!(pulls.world.started().await, [], "nothing of a pull request is executed");
    assert_eq!(pulls.world.published().await, ["shop/deploy"], "and nothing is published");
}

#[tokio::test]
async fn it_is_rendered_as_its_target_would_be() {
    let pulls = Pulls::new().await;
    let text = "application: shop\npipelines:\n  - name: deploy\n    description: \"on {{ branch }}\"\n    stages: [{id: one, type: noop}]\n{% if branch != 'main' %}  - broken\n{% endif %}";
    let (this, review) = pulls.open(7, &[(FILE, text)]).await;
    assert_eq!((review.errors, review.target_branch.as_str()), (0, "main"), "{:?}", review.findings);
    assert_eq!(pointers(&review), ["/description"]);
    // The same head for another branch is another question.
    pulls.remote.git(&["branch", "release", "main"]);
    pulls.tell(&PullRequest { target_branch: "release".to_owned(), ..this.clone() }).await;
    pulls.world.idle().await;
    let review = pulls.review(7).await;
    assert_eq!(review.target_branch, "release");
    assert!(review.errors > 0, "{review:?}");
    let said = pulls.said(&this.head).await;
    assert!(said.last().expect("something").starts_with("Failure Failed: "), "{said:?}");
}

#[tokio::test]
async fn only_what_the_author_did_is_told_as_a_change() {
    let pulls = Pulls::new().await;
    let head = pulls.head(7, &[("README", "x")]);
    // Meanwhile the target goes on.
    pulls.remote.write(".longboat/other.yaml", file("noop").replace("shop", "other")).commit("elsewhere");
    pulls.tell(&pulls.pull_request(7, &head)).await;
    pulls.world.idle().await;
    assert_eq!((pointers(&pulls.review(7).await).len(), pulls.review(7).await.changed), (0, 0));
}

#[tokio::test]
async fn an_application_of_another_repository_is_an_error() {
    let pulls = Pulls::with(|spec| spec.applications = Some(may_define(&[("shop", None)])), |_| {}).await;
    let (_, review) = pulls.open(7, &[(".longboat/x.yaml", &file("noop").replace("shop", "bank"))]).await;
    assert_eq!((review.errors, review.findings[0].finding.code), (1, Code::ForeignApplication));
    assert_eq!((pointers(&review).len(), review.changed), (0, 0));
}

#[tokio::test]
async fn a_repository_that_has_no_files_is_left_in_peace() {
    let pulls = Pulls::with(|_| {}, |_| {}).await;
    pulls.remote.git(&["rm", "--quiet", "-r", ".longboat"]);
    let empty = pulls.remote.commit("no pipelines any more");
    let from = pulls.remote.git(&["rev-parse", "HEAD~1"]).parse().expect("a commit");
    pulls.world.notice(super::world::push("refs/heads/main", Some(&from), Some(&empty))).await;
    pulls.world.settled(&empty).await;
    pulls.world.said(&empty).await;
    let head = pulls.head(7, &[("README", "x")]);
    pulls.tell(&pulls.pull_request(7, &head)).await;
    pulls.world.idle().await;
    let due = pulls.world.store.due_outbox(10).await.expect("reads");
    let comments = due.iter().filter(|entry| matches!(entry.message, Message::Comment { .. })).count();
    assert_eq!((pulls.review(7).await.files, comments), (0, 0));
    assert_eq!(pulls.said(&head).await, ["Success No pipeline files"]);
    // One that brings files is told everything.
    let (_, review) = pulls.open(8, &[(FILE, &file("noop"))]).await;
    assert_eq!(review.plan.expect("a plan").pipelines[0].kind, ChangeKind::Added);
}

#[tokio::test]
async fn a_comment_is_asked_for_with_each_review() {
    let pulls = Pulls::new().await;
    let comments = async || {
        let due = pulls.world.store.due_outbox(50).await.expect("reads");
        due.iter().filter(|entry| matches!(entry.message, Message::Comment { pull_request: 7, .. })).count()
    };
    let (this, _) = pulls.open(7, &[(FILE, &file("wait"))]).await;
    assert_eq!(comments().await, 1);
    pulls.said(&this.head).await;
    let merge = pulls.remote.commit_of("main");
    let merged = PullRequest { state: PullRequestState::Merged, merge_commit: Some(merge.clone()), ..this };
    assert!(pulls.keeps_head(7));
    pulls.tell(&merged).await;
    pulls.world.idle().await;
    assert_eq!(comments().await, 1);
    let found = pulls.world.store.pull_request_by_merge(&repository("acme/shop"), &merge).await.expect("reads");
    assert_eq!(found.map(|found| found.pull_request), Some(merged));
    pulls.world.until("the head is forgotten", async |_| !pulls.keeps_head(7)).await;
}

#[tokio::test]
async fn a_fork_is_fetched_below_the_forge_s_address_only() {
    let pulls = Pulls::with(|spec| spec.forge_url = Some("https://git.example.com".to_owned()), |_| {}).await;
    let head = pulls.head(7, &[(FILE, &file("noop"))]);
    let elsewhere = pulls.remote.path().to_str().expect("UTF-8").to_owned();
    pulls.forge.heads_are(HeadSource::Repository { url: elsewhere, git_ref: "refs/pull/7/head".to_owned() });
    let this = PullRequest { fork: true, head_repository: Some("eve/shop".to_owned()), ..pulls.pull_request(7, &head) };
    pulls.tell(&this).await;
    pulls.world.idle().await;
    let trouble = "the branch comes from a repository that is not on the same forge";
    assert_eq!(pulls.review(7).await.trouble.as_deref(), Some(trouble));
    let failed = format!("Failure Failed: {trouble}");
    assert_eq!(pulls.said(&head).await, ["Pending Checking", failed.as_str()]);

    pulls.forge.heads_are(HeadSource::Gone);
    let gone = pulls.head(7, &[(FILE, &file("wait"))]);
    pulls.tell(&PullRequest { head: gone, head_repository: None, ..this }).await;
    pulls.world.idle().await;
    let why = pulls.review(7).await.trouble;
    assert_eq!(why.as_deref(), Some("the repository that the branch comes from is gone"));
}

#[tokio::test]
async fn polling_leaves_heads_alone() {
    let pulls = Pulls::new().await;
    let (this, _) = pulls.open(7, &[(FILE, &file("noop"))]).await;
    pulls.said(&this.head).await;
    for _ in 0..3 {
        pulls.world.clock.advance(std::time::Duration::from_secs(100));
        pulls.idle_later().await;
    }
    let next = pulls.remote.write("README", "y").commit("more");
    pulls.world.until_later("the push is seen", async |world| world.was_settled(&next).await).await;
    assert!(pulls.keeps_head(7));
    assert_eq!(pulls.said(&this.head).await, [""; 0], "no look takes a pull request for a branch that is gone");
    assert_eq!(pulls.tell(&this).await, Accepted::Duplicate);
}
