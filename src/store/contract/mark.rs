//! Marks at the comments of merged pull requests.

use super::Fixture;
use super::sample::{append, created, finish, repository, run, settlement, sha, status};
use crate::model::{ExecutionKey, Message, NewExecution, PullRequest, PullRequestState, Status, pull_request_ref};
use crate::store::{Append, KeptComment, Settlement, Store};

fn merged(number: u64, commit: u64) -> PullRequest {
    PullRequest {
        repository: repository("acme/shop"),
        number,
        title: "Ship faster".to_owned(),
        state: PullRequestState::Merged,
        head: sha(80 + number),
        head_branch: "faster".to_owned(),
        head_repository: None,
        fork: false,
        target_branch: "main".to_owned(),
        author: None,
        merge_commit: Some(sha(commit)),
    }
}

async fn keep(store: &Store, this: PullRequest) {
    let (git_ref, pull_request) = (pull_request_ref(this.number), Some((this, None)));
    store.settle(Settlement { git_ref, pull_request, ..settlement(None, 1) }).await.expect("settles");
}

/// The pull requests whose comments are marked, since the last call.
async fn marked(store: &Store) -> Vec<u64> {
    let mut numbers = Vec::new();
    loop {
        let rows = store.due_outbox(100).await.expect("reads");
        if rows.is_empty() {
            return numbers;
        }
        numbers.extend(rows.iter().filter_map(|row| match &row.message {
            Message::Comment { pull_request, .. } => Some(*pull_request),
            Message::Status(_) => None,
        }));
        store.outbox_sent(&rows.iter().map(|row| row.id).collect::<Vec<_>>()).await.expect("writes");
    }
}

fn says(key: ExecutionKey, seq: i64, status_is: Status) -> Append {
    Append { report: Some(status("longboat/shop/deploy", status_is.as_str())), ..append(key, seq, status_is) }
}

async fn says_now(store: &Store, rows: Vec<Append>) {
    store.append(rows).await.expect("appends");
}

pub(super) async fn executions_of_a_merge_commit_mark_its_comment_at_both_ends(fixture: Fixture) {
    let store = fixture.open().await;
    // The commit of `run` is the first one.
    let before = created(&store, run()).await;
    says_now(&store, vec![says(before, 1, Status::Running)]).await;
    assert_eq!(marked(&store).await, [0; 0], "no pull request was merged");
    keep(&store, merged(7, 1)).await;
    keep(&store, merged(8, 2)).await;
    assert_eq!(marked(&store).await, [0; 0], "who settles says itself what it wants to say");
    says_now(&store, vec![says(before, 2, Status::Running)]).await;
    assert_eq!(marked(&store).await, [0; 0], "on its way, it has its page and its status");
    let after = created(&store, run()).await;
    assert_eq!(marked(&store).await, [7]);
    says_now(&store, vec![says(before, 3, Status::Terminal), says(after, 1, Status::Succeeded)]).await;
    assert_eq!(marked(&store).await, [7], "one mark for both");
    says_now(&store, vec![Append { revives: true, ..says(before, 4, Status::Running) }]).await;
    assert_eq!(marked(&store).await, [7], "it runs again");
    // What doesn't report has no say.
    let quiet = created(&store, NewExecution { report: None, ..run() }).await;
    finish(&store, quiet, 1).await;
    assert_eq!(marked(&store).await, [0; 0]);
}

pub(super) async fn a_merge_is_known_to_the_next_process(fixture: Fixture) {
    let store = fixture.open().await;
    let key = created(&store, run()).await;
    keep(&store, merged(7, 1)).await;
    marked(&store).await;
    store.close().await;
    let store = fixture.open().await;
    says_now(&store, vec![says(key, 1, Status::Succeeded)]).await;
    assert_eq!(marked(&store).await, [7]);
}

pub(super) async fn a_comment_that_somebody_touched_is_doubted(fixture: Fixture) {
    let store = fixture.open().await;
    let shop = repository("acme/shop");
    keep(&store, merged(7, 1)).await;
    store.note_comment(&shop, 7, "99", "digest").await.expect("writes");
    assert!(!store.doubt_comment(&shop, 7, "98").await.expect("writes"), "somebody else's comment");
    assert!(!store.doubt_comment(&shop, 8, "99").await.expect("writes"), "another pull request");
    assert_eq!(marked(&store).await, [0; 0]);
    assert!(store.doubt_comment(&shop, 7, "99").await.expect("writes"));
    assert_eq!(marked(&store).await, [7]);
    let kept = store.pull_request(&shop, 7).await.expect("reads").expect("is there").comment;
    assert_eq!(kept, Some(KeptComment { id: "99".to_owned(), digest: None }));
}
