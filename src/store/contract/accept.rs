//! What becomes of changes that were noticed.

use std::time::Duration;

use super::Fixture;
use super::sample::{MAIN, accept_new, is_new, look, repository, settlement, sha, status, webhook};
use crate::store::{Accepted, RefChange, Store};

async fn head_seq(store: &Store) -> i64 {
    store.head(&repository("acme/shop"), MAIN).await.expect("reads").map_or(0, |head| head.seq)
}

async fn head_is(store: &Store, number: u64) -> bool {
    let head = store.head(&repository("acme/shop"), MAIN).await.expect("reads").expect("is known");
    head.commit == super::sample::commit(number)
}

async fn accept(store: &Store, change: RefChange) -> Accepted {
    store.accept(change).await.expect("accepts")
}

pub(super) async fn one_push_seen_in_three_ways_runs_once(fixture: Fixture) {
    let store = fixture.open().await;
    assert!(is_new(accept(&store, look(0, 1)).await));
    let seq = head_seq(&store).await;
    assert!(is_new(accept(&store, webhook(1, 2)).await));
    assert_eq!(accept(&store, look(seq, 2)).await, Accepted::Duplicate);
    assert_eq!(accept(&store, look(head_seq(&store).await, 2)).await, Accepted::Duplicate);
    // And the other way round: the look was first.
    assert!(is_new(accept(&store, look(head_seq(&store).await, 3)).await));
    assert_eq!(accept(&store, webhook(2, 3)).await, Accepted::Duplicate);
}

pub(super) async fn a_b_a_runs_three_times(fixture: Fixture) {
    let store = fixture.open().await;
    for (old, new) in [(0, 1), (1, 2), (2, 1), (1, 2), (2, 1)] {
        assert!(is_new(accept(&store, webhook(old, new)).await), "{old} to {new}");
    }
    for number in [2, 1, 2] {
        assert!(is_new(accept(&store, look(head_seq(&store).await, number)).await), "look at {number}");
    }
    assert_eq!(head_seq(&store).await, 8);
}

pub(super) async fn a_late_webhook_is_superseded(fixture: Fixture) {
    let store = fixture.open().await;
    accept_new(&store, webhook(0, 1)).await;
    // 1 to 2 to 3 was pushed; a look saw only 3.
    accept_new(&store, look(1, 3)).await;
    assert_eq!(accept(&store, webhook(1, 2)).await, Accepted::Superseded);
    assert_eq!(accept(&store, webhook(2, 3)).await, Accepted::Duplicate);
    assert!(head_is(&store, 3).await);
    // What is superseded starts nothing: entries 1 and 2 are all there is.
    let mut seen = Vec::new();
    while let Some(entry) = store.due_inbox(10).await.expect("reads").pop() {
        seen.push(entry.new.clone());
        store.settle(settlement(Some(entry.id), 1)).await.expect("settles");
    }
    assert_eq!(seen, [Some(sha(1)), Some(sha(3))]);
}

pub(super) async fn webhooks_that_race_leave_the_newest_in_force(fixture: Fixture) {
    let store = fixture.open().await;
    // The branch is made and pushed to at once, and the words come in the wrong order.
    accept_new(&store, webhook(1, 2)).await;
    assert_eq!(accept(&store, webhook(0, 1)).await, Accepted::Superseded);
    accept_new(&store, webhook(3, 4)).await;
    assert_eq!(accept(&store, webhook(2, 3)).await, Accepted::Superseded);
    assert!(head_is(&store, 4).await);
    assert!(is_new(accept(&store, webhook(4, 5)).await));
}

pub(super) async fn a_whole_chain_of_late_webhooks_starts_nothing(fixture: Fixture) {
    let store = fixture.open().await;
    accept_new(&store, webhook(0, 1)).await;
    accept_new(&store, webhook(4, 5)).await;
    for (old, new) in [(1, 2), (2, 3), (3, 4)] {
        assert_eq!(accept(&store, webhook(old, new)).await, Accepted::Superseded, "{old} to {new}");
    }
    assert!(head_is(&store, 5).await);
    // A push that goes back to a commit that was jumped over is a push, and so is the next one.
    assert!(is_new(accept(&store, webhook(5, 2)).await));
    assert!(is_new(accept(&store, webhook(2, 6)).await));
}

pub(super) async fn two_hooks_for_one_push_run_once(fixture: Fixture) {
    let store = fixture.open().await;
    accept_new(&store, webhook(0, 1)).await;
    accept_new(&store, webhook(1, 2)).await;
    assert_eq!(accept(&store, webhook(1, 2)).await, Accepted::Duplicate);
    accept_new(&store, webhook(2, 3)).await;
    assert_eq!(accept(&store, webhook(1, 2)).await, Accepted::Duplicate);
}

pub(super) async fn a_look_that_was_overtaken_changes_nothing(fixture: Fixture) {
    let store = fixture.open().await;
    accept_new(&store, webhook(0, 1)).await;
    let began = head_seq(&store).await;
    accept_new(&store, webhook(1, 2)).await;
    assert_eq!(accept(&store, look(began, 1)).await, Accepted::Duplicate);
    assert!(head_is(&store, 2).await);
    // Even what it saw beyond the head waits for the next look.
    assert_eq!(accept(&store, look(began, 3)).await, Accepted::Duplicate);
    assert!(is_new(accept(&store, look(head_seq(&store).await, 3)).await));
}

pub(super) async fn a_branch_that_was_deleted_and_made_again_runs_again(fixture: Fixture) {
    let store = fixture.open().await;
    assert_eq!(accept(&store, webhook(1, 0)).await, Accepted::Duplicate, "a ref that nobody knew is gone");
    accept_new(&store, webhook(0, 1)).await;
    accept_new(&store, webhook(1, 0)).await;
    assert!(head_is(&store, 0).await);
    assert_eq!(accept(&store, webhook(1, 0)).await, Accepted::Duplicate);
    accept_new(&store, webhook(0, 1)).await;
    accept_new(&store, look(head_seq(&store).await, 0)).await;
    accept_new(&store, webhook(0, 2)).await;
    assert!(head_is(&store, 2).await);
}

pub(super) async fn a_force_push_is_a_push(fixture: Fixture) {
    let store = fixture.open().await;
    accept_new(&store, webhook(0, 1)).await;
    accept_new(&store, webhook(1, 2)).await;
    let id = accept_new(&store, webhook(2, 9)).await;
    let entries = store.due_inbox(10).await.expect("reads");
    assert!(entries.iter().all(|entry| entry.id < id), "the oldest comes first");
    // A word that doesn't fit what is known is taken for the truth: pushes were missed.
    accept_new(&store, webhook(77, 78)).await;
    assert!(head_is(&store, 78).await);
}

pub(super) async fn a_repeated_delivery_is_known(fixture: Fixture) {
    let store = fixture.open().await;
    let first = webhook(0, 1);
    accept_new(&store, first.clone()).await;
    assert_eq!(accept(&store, first.clone()).await, Accepted::Duplicate);
    // A delivery that brought nothing new when it came is remembered as well.
    accept_new(&store, look(1, 2)).await;
    let late = webhook(1, 2);
    assert_eq!(accept(&store, late.clone()).await, Accepted::Duplicate);
    accept_new(&store, webhook(2, 1)).await;
    assert_eq!(accept(&store, late).await, Accepted::Duplicate);
    assert_eq!(accept(&store, first).await, Accepted::Duplicate);
    assert!(head_is(&store, 1).await);
}

pub(super) async fn a_delivery_may_speak_of_several_refs(fixture: Fixture) {
    let store = fixture.open().await;
    let one = webhook(0, 1);
    accept_new(&store, one.clone()).await;
    accept_new(&store, RefChange { git_ref: "refs/tags/v1".to_owned(), ..one.clone() }).await;
    accept_new(&store, RefChange { repository: repository("acme/other"), ..one }).await;
    let heads = store.heads(&repository("acme/shop")).await.expect("reads");
    assert_eq!(heads.iter().map(|head| head.git_ref.as_str()).collect::<Vec<_>>(), [MAIN, "refs/tags/v1"]);
}

pub(super) async fn many_at_once_make_one_entry(fixture: Fixture) {
    let store = fixture.open().await;
    let all = (0..40).map(|number| accept(&store, if number % 2 == 0 { webhook(0, 1) } else { look(0, 1) }));
    let new = futures::future::join_all(all).await.into_iter().filter(|accepted| is_new(*accepted)).count();
    assert_eq!(new, 1);
}

pub(super) async fn checking_is_said_with_the_entry_and_not_without(fixture: Fixture) {
    let store = fixture.open().await;
    let (mut inbox, mut outbox) = (store.inbox_changed(), store.outbox_changed());
    let change = RefChange { checking: Some(status("longboat/validate", "Checking")), ..webhook(0, 1) };
    accept_new(&store, change.clone()).await;
    assert!(inbox.has_changed().expect("open") && outbox.has_changed().expect("open"));
    inbox.mark_unchanged();
    outbox.mark_unchanged();
    accept(&store, RefChange { delivery: None, ..change }).await;
    assert!(!inbox.has_changed().expect("open") && !outbox.has_changed().expect("open"));
    let rows = store.due_outbox(10).await.expect("reads");
    assert_eq!(
        rows.iter().map(|row| row.message.status().expect("a status").description.as_str()).collect::<Vec<_>>(),
        ["Checking"]
    );
}

/// Pushes of distinct commits, each with one to three webhooks that come in order but late, and looks between that
/// may be stale: no push runs twice, and a last look leaves the head where the branch really is.
pub(super) async fn ordered_news_with_looks_between_runs_each_push_once(fixture: Fixture) {
    let store = fixture.open().await;
    for seed in 0..60 {
        let mut random = fastrand::Rng::with_seed(seed);
        let git_ref = format!("refs/heads/branch-{seed}");
        let at = |change: RefChange| RefChange { git_ref: git_ref.clone(), ..change };
        let (mut truth, mut told, mut ran, mut look_began) = (0, 0, Vec::new(), None);
        for _ in 0..40 {
            let change = match random.u8(0..5) {
                0 | 1 => {
                    truth += 1;
                    continue;
                }
                2 if told < truth => {
                    told += u64::from(random.bool());
                    webhook(told.saturating_sub(1), told.max(1))
                }
                3 => {
                    let head = store.head(&repository("acme/shop"), &git_ref).await.expect("reads");
                    look_began = Some((head.map_or(0, |head| head.seq), truth));
                    continue;
                }
                _ => match look_began.take() {
                    Some((seq, found)) => look(seq, found),
                    None => continue,
                },
            };
            let new = change.new.clone();
            if is_new(accept(&store, at(change)).await) {
                assert!(!ran.contains(&new), "seed {seed}: {new:?} ran twice");
                ran.push(new);
            }
        }
        let seq = store.head(&repository("acme/shop"), &git_ref).await.expect("reads").map_or(0, |head| head.seq);
        accept(&store, at(look(seq, truth))).await;
        let head = store.head(&repository("acme/shop"), &git_ref).await.expect("reads");
        assert_eq!(head.and_then(|head| head.commit), super::sample::commit(truth), "seed {seed}");
    }
}

pub(super) async fn the_oldest_entry_of_each_repository_comes_first(fixture: Fixture) {
    let store = fixture.open().await;
    let shop = accept_new(&store, webhook(0, 1)).await;
    accept_new(&store, webhook(1, 2)).await;
    let other = accept_new(&store, RefChange { repository: repository("acme/other"), ..webhook(0, 1) }).await;
    let ids = |entries: Vec<crate::store::InboxEntry>| entries.into_iter().map(|entry| entry.id).collect::<Vec<_>>();
    assert_eq!(ids(store.due_inbox(10).await.expect("reads")), [shop, other]);
    assert_eq!(ids(store.due_inbox(1).await.expect("reads")), [shop]);
    let entry = store.due_inbox(1).await.expect("reads").remove(0);
    assert_eq!((entry.old, entry.new, entry.actor.as_deref()), (None, Some(sha(1)), Some("ann")));
    assert_eq!((entry.event.as_deref(), entry.attempts), (Some("push"), 0));
    store.settle(settlement(Some(shop), 1)).await.expect("settles");
    let entry = store.due_inbox(1).await.expect("reads").remove(0);
    assert_eq!((entry.old, entry.new), (Some(sha(1)), Some(sha(2))));
}

pub(super) async fn an_entry_put_off_holds_its_repository_and_no_other(fixture: Fixture) {
    let store = fixture.open().await;
    let first = accept_new(&store, webhook(0, 1)).await;
    accept_new(&store, webhook(1, 2)).await;
    let later = fixture.clock.now().plus(Duration::from_secs(30));
    store.retry_inbox(first, later, "the server did not answer").await.expect("writes");
    assert_eq!(store.due_inbox(10).await.expect("reads"), []);
    assert_eq!(store.next_inbox_due().await.expect("reads"), Some(later));
    accept_new(&store, RefChange { repository: repository("acme/other"), ..webhook(0, 1) }).await;
    assert_eq!(store.due_inbox(10).await.expect("reads").len(), 1);
    fixture.clock.advance(Duration::from_secs(30));
    let due = store.due_inbox(10).await.expect("reads");
    assert_eq!((due[0].id, due[0].attempts, due.len()), (first, 1, 2));
}

pub(super) async fn texts_sort_by_their_bytes(fixture: Fixture) {
    let store = fixture.open().await;
    for branch in ["b", "A", "a", "\u{e9}", "Z"] {
        let git_ref = format!("refs/heads/{branch}");
        accept_new(&store, RefChange { git_ref, ..webhook(0, 1) }).await;
    }
    let heads = store.heads(&repository("acme/shop")).await.expect("reads");
    let names: Vec<&str> = heads.iter().map(|head| &head.git_ref["refs/heads/".len()..]).collect();
    assert_eq!(names, ["A", "Z", "a", "b", "\u{e9}"]);
}

pub(super) async fn a_text_with_a_zero_character_is_kept_readable(fixture: Fixture) {
    let store = fixture.open().await;
    let id = accept_new(&store, RefChange { actor: Some("ann\0".to_owned()), ..webhook(0, 1) }).await;
    store.retry_inbox(id, fixture.clock.now(), "git said:\0").await.expect("writes");
    let actor = store.due_inbox(1).await.expect("reads").remove(0).actor.expect("is kept");
    assert!(actor.starts_with("ann"), "{actor:?}");
}
