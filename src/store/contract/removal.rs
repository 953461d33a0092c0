//! Removals that are refused, and approved.

use std::time::Duration;

use super::Fixture;
use super::sample::{MAIN, accept_new, application, commit, publication, repository, settlement, sha, webhook};
use crate::store::{
    Approval, BY_CONFIGURATION, InboxId, RemovalVerdict, Settlement, Source, Store, StoredRemoval, Taking,
};

fn refused(pipelines: &[&str]) -> Option<RemovalVerdict> {
    let pipelines = pipelines.iter().map(|one| (*one).to_owned()).collect();
    Some(RemovalVerdict::Refused { pipelines, of: 9 })
}

async fn settle(store: &Store, inbox: Option<InboxId>, number: u64, removal: Option<RemovalVerdict>) {
    store.settle(Settlement { removal, ..settlement(inbox, number) }).await.expect("settles");
}

async fn approve(store: &Store, number: u64, by: &str) -> Approval {
    store.approve_removal(&repository("acme/shop"), &sha(number), by).await.expect("writes")
}

async fn only(store: &Store) -> StoredRemoval {
    let mut all = store.removals(Some(&repository("acme/shop"))).await.expect("reads");
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

pub(super) async fn what_is_refused_waits_and_is_approved_once(fixture: Fixture) {
    let store = fixture.open().await;
    let first = accept_new(&store, webhook(0, 1)).await;
    settle(&store, Some(first), 1, Some(RemovalVerdict::Allowed)).await;
    assert_eq!(store.removals(None).await.expect("reads"), []);
    let inbox = accept_new(&store, webhook(1, 2)).await;
    settle(&store, Some(inbox), 2, refused(&["shop/a", "shop/b"])).await;
    assert_eq!(store.due_inbox(10).await.expect("reads"), []);
    store.close().await;

    let store = fixture.open().await;
    let waits = only(&store).await;
    assert_eq!((waits.git_ref.as_str(), waits.commit.clone(), waits.of), (MAIN, sha(2), 9));
    assert_eq!(
        (waits.pipelines.as_slice(), waits.approved.as_ref()),
        (["shop/a", "shop/b"].map(str::to_owned).as_slice(), None)
    );
    assert_eq!(waits.approves(&[]), None);
    // Looked at again without a push, as at a start.
    settle(&store, None, 2, refused(&["shop/a", "shop/b"])).await;
    assert_eq!(approve(&store, 1, "ann").await, Approval::NotRefused);
    fixture.clock.advance(Duration::from_secs(60));
    let bell = store.inbox_changed();
    let Approval::Given(given) = approve(&store, 2, "ann").await else { panic!("not given") };
    let at = fixture.clock.now();
    assert_eq!((given.len(), &given[0].approved), (1, &Some(("ann".to_owned(), at))));
    assert!(bell.has_changed().expect("open"));
    let due = store.due_inbox(10).await.expect("reads");
    assert_eq!(due.len(), 1, "{due:?}");
    assert_eq!((due[0].id, due[0].source, due[0].actor.as_deref()), (inbox, Source::Webhook, Some("ann")));
    assert_eq!((due[0].old.clone(), due[0].new.clone()), (commit(1), commit(2)), "the push as it was");

    assert_eq!(approve(&store, 2, "bob").await, Approval::Given(given), "who was first counts");
    settle(&store, Some(inbox), 2, Some(RemovalVerdict::Allowed)).await;
    assert_eq!(store.due_inbox(10).await.expect("reads"), []);
    let known = store.removal(&repository("acme/shop"), MAIN, &sha(2)).await.expect("reads").expect("stays");
    assert_eq!(known.approves(&["shop/b".to_owned()]), Some("ann"));
    assert!(matches!(approve(&store, 2, "bob").await, Approval::Given(_)));
    assert_eq!(store.due_inbox(10).await.expect("reads"), []);
}

pub(super) async fn an_approval_is_for_what_was_listed(fixture: Fixture) {
    let store = fixture.open().await;
    let inbox = accept_new(&store, webhook(0, 1)).await;
    settle(&store, Some(inbox), 1, refused(&["shop/a", "shop/b"])).await;
    assert!(matches!(approve(&store, 1, "ann").await, Approval::Given(_)));
    let more = ["shop/a", "shop/c"].map(str::to_owned);
    assert_eq!(only(&store).await.approves(&more), None);
    settle(&store, Some(inbox), 1, refused(&["shop/a", "shop/c"])).await;
    let waits = only(&store).await;
    assert_eq!((waits.approved.as_ref(), waits.pipelines.as_slice()), (None, more.as_slice()));
    assert!(matches!(approve(&store, 1, "bob").await, Approval::Given(_)));
    assert_eq!(only(&store).await.approves(&more), Some("bob"));
}

pub(super) async fn only_where_a_branch_stands_can_be_approved(fixture: Fixture) {
    let store = fixture.open().await;
    let first = accept_new(&store, webhook(0, 1)).await;
    settle(&store, Some(first), 1, refused(&["shop/a"])).await;
    // Noticed and not worked off yet.
    let second = accept_new(&store, webhook(1, 2)).await;
    let moved = Approval::MovedOn { git_ref: MAIN.to_owned(), head: commit(2) };
    assert_eq!(approve(&store, 1, "ann").await, moved);
    assert_eq!(only(&store).await.approved, None);
    settle(&store, Some(second), 2, refused(&["shop/a", "shop/b"])).await;
    assert_eq!(only(&store).await.commit, sha(2), "what the branch left behind is forgotten");
    assert_eq!(approve(&store, 1, "ann").await, Approval::NotRefused);
    // Another branch at the same commit, and another repository.
    let other =
        Settlement { git_ref: "refs/heads/release".to_owned(), removal: refused(&["shop/c"]), ..settlement(None, 2) };
    store.settle(other).await.expect("settles");
    let other = Settlement { repository: repository("acme/other"), removal: refused(&["x/y"]), ..settlement(None, 2) };
    store.settle(other).await.expect("settles");
    let Approval::Given(given) = approve(&store, 2, "ann").await else { panic!("not given") };
    assert_eq!((given.len(), given[0].git_ref.as_str()), (1, MAIN), "the other branch was never seen there");
    let all = store.removals(None).await.expect("reads");
    let waiting: Vec<_> = all.iter().map(|one| (one.repository.as_str(), one.approved.is_none())).collect();
    assert_eq!(waiting.last(), Some(&("acme/shop", false)), "those that wait come first: {waiting:?}");
    let third = accept_new(&store, webhook(2, 3)).await;
    settle(&store, Some(third), 3, Some(RemovalVerdict::Allowed)).await;
    let kept = store.removal(&repository("acme/shop"), MAIN, &sha(2)).await.expect("reads");
    assert!(kept.is_some_and(|kept| kept.approved.is_some()), "who approved stays known");
}

pub(super) async fn what_no_push_brought_is_published_and_starts_nothing(fixture: Fixture) {
    let store = fixture.open().await;
    store.remember_heads(&repository("acme/shop"), vec![(MAIN.to_owned(), sha(1))]).await.expect("writes");
    settle(&store, None, 1, refused(&["shop/a"])).await;
    assert!(matches!(approve(&store, 1, "ann").await, Approval::Given(_)));
    let due = store.due_inbox(10).await.expect("reads");
    assert_eq!((due.len(), due[0].source, due[0].new.clone()), (1, Source::Approval, commit(1)));
    settle(&store, Some(due[0].id), 1, Some(RemovalVerdict::Allowed)).await;
    // The branch's history takes no harm from it.
    accept_new(&store, webhook(1, 2)).await;
    assert_eq!(store.due_inbox(10).await.expect("reads").len(), 1);
}

pub(super) async fn what_the_configuration_takes_waits_for_its_own_word(fixture: Fixture) {
    let store = fixture.open().await;
    let published =
        Settlement { publish: vec![publication("shop", "acme/shop", &["a", "b"], 1)], ..settlement(None, 1) };
    store.settle(published).await.expect("settles");
    let taking = |verdict: Option<RemovalVerdict>, withdraw: &[&str], inbox| Taking {
        repository: repository("acme/shop"),
        withdraw: withdraw.iter().map(|name| application(name)).collect(),
        verdict: verdict.map(|verdict| (sha(1), verdict)),
        inbox,
    };
    store.take(taking(refused(&["shop/a", "shop/b"]), &[], None)).await.expect("writes");
    let waits = only(&store).await;
    assert_eq!((waits.is_by_configuration(), waits.commit.clone(), waits.pipelines.len()), (true, sha(1), 2));
    // Mended, and made again.
    store.take(taking(None, &[], None)).await.expect("writes");
    assert_eq!(store.removals(None).await.expect("reads"), []);
    store.take(taking(refused(&["shop/a", "shop/b"]), &[], None)).await.expect("writes");
    // The branch goes on, with and without a removal of its own, and leaves it alone.
    let inbox = accept_new(&store, webhook(0, 2)).await;
    settle(&store, Some(inbox), 2, refused(&["shop/a"])).await;
    let inbox = accept_new(&store, webhook(2, 3)).await;
    settle(&store, Some(inbox), 3, Some(RemovalVerdict::Allowed)).await;
    assert_eq!(only(&store).await, waits);

    let Approval::Given(given) = approve(&store, 1, "ann").await else { panic!("not given") };
    assert_eq!(given.len(), 1, "wherever the branch stands");
    let due = store.due_inbox(10).await.expect("reads");
    assert_eq!((due.len(), due[0].source, due[0].git_ref.as_str()), (1, Source::Approval, BY_CONFIGURATION));
    assert!(matches!(approve(&store, 1, "bob").await, Approval::Given(_)));
    let before = store.repository_states().await.expect("reads");
    store.take(taking(Some(RemovalVerdict::Allowed), &["shop"], Some(due[0].id))).await.expect("writes");
    assert_eq!(store.applications().await.expect("reads"), []);
    assert_eq!(store.due_inbox(10).await.expect("reads"), []);
    assert_eq!(store.repository_states().await.expect("reads"), before, "no commit of it was worked off");
    assert_eq!(only(&store).await.approves(&["shop/b".to_owned()]), Some("ann"), "who approved stays known");
    store.take(taking(None, &["shop"], None)).await.expect("once more is the same");
}
