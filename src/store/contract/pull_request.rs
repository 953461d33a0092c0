//! Pull requests: what is noticed of them, and what is kept.

use std::time::Duration;

use super::Fixture;
use super::sample::{accept_new, is_new, repository, settlement, sha, status, webhook};
use crate::model::{Pins, PullRequest, PullRequestState, Review, pull_request_ref};
use crate::store::{
    Accepted, InboxId, KeptComment, NoticedPullRequest, PullRequestNotice, RefChange, Seen, Settlement, Source, Store,
};

fn pull_request(number: u64, head: u64, target: &str) -> PullRequest {
    PullRequest {
        repository: repository("acme/shop"),
        number,
        title: "Ship faster".to_owned(),
        state: PullRequestState::Open,
        head: sha(head),
        head_branch: "faster".to_owned(),
        head_repository: Some("acme/shop".to_owned()),
        fork: false,
        target_branch: target.to_owned(),
        author: Some("ann".to_owned()),
        merge_commit: None,
    }
}

fn notice(told: &PullRequest) -> PullRequestNotice {
    PullRequestNotice {
        repository: told.repository.clone(),
        number: told.number,
        noticed: NoticedPullRequest { told: Some(told.clone()), again: false },
        delivery: None,
        source: Source::Webhook,
        actor: Some("ann".to_owned()),
        event: Some("opened".to_owned()),
        checking: Some(status("longboat/validate", "Checking")),
    }
}

fn review(head: u64, errors: u32) -> Review {
    Review {
        commit: sha(head),
        target_branch: "main".to_owned(),
        files: 1,
        pipelines: 1,
        findings: Vec::new(),
        errors,
        warnings: 0,
        errors_before: 0,
        plan: None,
        base: None,
        changed: 0,
        pins: Pins::default(),
        dependents: None,
        trouble: None,
    }
}

async fn accept(store: &Store, notice: PullRequestNotice) -> Accepted {
    store.notice_pull_request(notice).await.expect("accepts")
}

async fn said(store: &Store) -> usize {
    usize::try_from(store.outbox_waiting().await.expect("reads")).expect("small")
}

fn keeping(inbox: Option<InboxId>, this: &PullRequest, review: Option<Review>) -> Settlement {
    Settlement {
        git_ref: pull_request_ref(this.number),
        pull_request: Some((this.clone(), review)),
        ..settlement(inbox, 1)
    }
}

pub(super) async fn only_another_head_target_or_state_is_news(fixture: Fixture) {
    let store = fixture.open().await;
    let first = pull_request(7, 1, "main");
    assert!(is_new(accept(&store, notice(&first)).await));
    let titled = PullRequest { title: "Another title".to_owned(), ..first.clone() };
    assert_eq!(accept(&store, notice(&titled)).await, Accepted::Duplicate);
    assert!(is_new(accept(&store, notice(&pull_request(7, 2, "main"))).await), "another head");
    assert!(is_new(accept(&store, notice(&first)).await), "back to the first head");
    assert!(is_new(accept(&store, notice(&pull_request(7, 1, "release"))).await), "another target");
    let closed = PullRequest { state: PullRequestState::Closed, ..pull_request(7, 1, "release") };
    assert!(is_new(accept(&store, notice(&closed)).await));
    assert!(is_new(accept(&store, notice(&pull_request(7, 1, "release"))).await), "open again");
    assert!(is_new(accept(&store, notice(&pull_request(8, 1, "main"))).await), "another pull request, the same head");
    let entries = store.pending_inbox(&repository("acme/shop"), &pull_request_ref(7)).await.expect("reads");
    let heads: Vec<_> = entries.iter().map(|entry| (entry.old.clone(), entry.new.clone())).collect();
    let (one, two) = (Some(sha(1)), Some(sha(2)));
    assert_eq!(heads[..3], [(None, one.clone()), (one.clone(), two.clone()), (two, one)]);
    assert_eq!(entries[0].pull_request, Some(NoticedPullRequest { told: Some(first), again: false }));
    assert_eq!(said(&store).await, 6, "a closed one isn't checked, nor is what is known");
}

pub(super) async fn asking_again_is_news_and_a_delivery_is_known(fixture: Fixture) {
    let store = fixture.open().await;
    let this = pull_request(7, 1, "main");
    accept(&store, notice(&this)).await;
    let again = PullRequestNotice {
        noticed: NoticedPullRequest { told: None, again: true },
        delivery: Some("one".to_owned()),
        ..notice(&this)
    };
    assert!(is_new(accept(&store, again.clone()).await));
    assert_eq!(accept(&store, again.clone()).await, Accepted::Duplicate);
    assert!(is_new(accept(&store, PullRequestNotice { delivery: Some("two".to_owned()), ..again }).await));
    assert_eq!(accept(&store, notice(&this)).await, Accepted::Duplicate, "the head is still known");
    assert_eq!(said(&store).await, 1, "without a head there is no commit to say anything on");
}

pub(super) async fn what_is_kept_can_be_found(fixture: Fixture) {
    let store = fixture.open().await;
    let shop = repository("acme/shop");
    let this = pull_request(7, 1, "main");
    assert_eq!(store.pull_request(&shop, 7).await.expect("reads"), None);
    store.settle(keeping(None, &this, Some(review(1, 2)))).await.expect("settles");
    store.settle(keeping(None, &pull_request(8, 1, "release"), None)).await.expect("settles");
    store.note_comment(&shop, 7, "99", "digest").await.expect("writes");
    let first = fixture.clock.now();
    fixture.clock.advance(Duration::from_secs(1));
    let merged = PullRequest { state: PullRequestState::Merged, merge_commit: Some(sha(9)), ..this.clone() };
    store.settle(keeping(None, &merged, None)).await.expect("settles");

    let kept = store.pull_request(&shop, 7).await.expect("reads").expect("is there");
    assert_eq!(kept.pull_request, merged);
    assert_eq!(kept.review, Some(review(1, 2)), "stays without a new one");
    assert_eq!(kept.comment, Some(KeptComment { id: "99".to_owned(), digest: Some("digest".to_owned()) }));
    assert_eq!((kept.seen_at, kept.updated_at), (first, fixture.clock.now()));
    assert_eq!(store.pull_request_by_merge(&shop, &sha(9)).await.expect("reads"), Some(kept));
    assert_eq!(store.pull_request_by_merge(&shop, &sha(1)).await.expect("reads"), None);
    let open = store.open_pull_requests(&shop).await.expect("reads");
    assert_eq!(open.iter().map(|open| open.number).collect::<Vec<_>>(), [8]);
    let at = store.open_pull_requests_at(&shop, &sha(1)).await.expect("reads");
    assert_eq!(at.iter().map(|at| at.pull_request.number).collect::<Vec<_>>(), [8]);
    let page = async |state, before| {
        let page = store.pull_requests(&shop, state, before, 10).await.expect("reads");
        page.iter().map(|one| one.pull_request.number).collect::<Vec<_>>()
    };
    assert_eq!((page(None, None).await, page(None, Some(8)).await), (vec![8, 7], vec![7]));
    assert_eq!(page(Some(PullRequestState::Merged), None).await, [7]);
    assert_eq!(store.repository_states().await.expect("reads"), [], "a repository's state is about its branches");
}

pub(super) async fn entries_known_at_a_look_end_together(fixture: Fixture) {
    let store = fixture.open().await;
    let shop = repository("acme/shop");
    for head in [1, 2] {
        accept(&store, notice(&pull_request(7, head, "main"))).await;
    }
    let entries = store.pending_inbox(&shop, &pull_request_ref(7)).await.expect("reads");
    // Noticed meanwhile: it is still to be worked off, and what it tells stays the newest word.
    accept(&store, notice(&pull_request(7, 3, "main"))).await;
    let also = vec![entries[1].id];
    let this = pull_request(7, 2, "main");
    store.settle(Settlement { also, ..keeping(Some(entries[0].id), &this, None) }).await.expect("settles");
    let left = store.pending_inbox(&shop, &pull_request_ref(7)).await.expect("reads");
    assert_eq!(left.iter().map(|entry| entry.new.clone()).collect::<Vec<_>>(), [Some(sha(3))]);
    assert_eq!(accept(&store, notice(&pull_request(7, 3, "main"))).await, Accepted::Duplicate);
    // The forge knew better than the last word: that is what counts from now on.
    store.settle(keeping(Some(left[0].id), &this, None)).await.expect("settles");
    assert_eq!(accept(&store, notice(&this)).await, Accepted::Duplicate);
    assert!(is_new(accept(&store, notice(&pull_request(7, 3, "main"))).await));
}

pub(super) async fn a_head_s_review_speaks_for_an_untracked_branch(fixture: Fixture) {
    let store = fixture.open().await;
    let shop = repository("acme/shop");
    accept(&store, notice(&pull_request(7, 1, "main"))).await;
    assert!(store.has_pull_request_at(&shop, &sha(1)).await.expect("reads"));
    let push = |branch: &str, tracked| RefChange {
        git_ref: format!("refs/heads/{branch}"),
        old: Seen::Claimed(None),
        tracked,
        checking: Some(status("longboat/validate", "Checking")),
        ..webhook(0, 1)
    };
    accept_new(&store, push("faster", false)).await;
    assert_eq!(said(&store).await, 1, "the pull request has said so");
    accept_new(&store, push("main", true)).await;
    assert_eq!(said(&store).await, 2, "a tracked branch speaks for itself");
    let closed = PullRequest { state: PullRequestState::Closed, ..pull_request(7, 1, "main") };
    accept(&store, notice(&closed)).await;
    assert!(!store.has_pull_request_at(&shop, &sha(1)).await.expect("reads"));
    accept_new(&store, push("other", false)).await;
    assert_eq!(said(&store).await, 3);
}

pub(super) async fn pull_requests_hold_up_neither_pushes_nor_each_other(fixture: Fixture) {
    let store = fixture.open().await;
    for number in [7, 8] {
        accept(&store, notice(&pull_request(number, number, "main"))).await;
    }
    let push = accept_new(&store, webhook(0, 1)).await;
    let due = async || {
        let due = store.due_inbox(10).await.expect("reads");
        due.iter().map(|entry| (entry.id, entry.git_ref.clone())).collect::<Vec<_>>()
    };
    let first = due().await;
    assert_eq!(first.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [push], "one of the repository: the push");
    let later = fixture.clock.now().plus(Duration::from_secs(60));
    store.retry_inbox(push, later, "down").await.expect("writes");
    let next = due().await;
    assert_eq!((next.len(), next[0].1.as_str()), (1, "refs/pull/7/head"));
    store.retry_inbox(next[0].0, later, "down").await.expect("writes");
    assert_eq!(due().await[0].1, "refs/pull/8/head");
}
