//! Wishes, and what replicas have to know of one another beside them.

use std::time::Duration;

use super::Fixture;
use super::sample::{created, finish, quiet_run, run};
use crate::model::ExecutionKey;
use crate::store::{Shard, Shards, StoreError};

fn shard(number: i64) -> Shard {
    Shard::of_key(ExecutionKey(number))
}

pub(super) async fn a_wish_is_found_by_its_shard_answered_once_and_gone(fixture: Fixture) {
    let store = fixture.open().await;
    let first = store.wish(ExecutionKey(7), shard(7), "pause".to_owned()).await.expect("written");
    let second = store.wish(ExecutionKey(8), shard(8), "cancel".to_owned()).await.expect("written");
    let own: Shards = [shard(7)].into_iter().collect();
    let found = store.wishes(own).await.expect("reads");
    assert_eq!(found.iter().map(|wish| (wish.id, wish.document.as_str())).collect::<Vec<_>>(), [(first, "pause")]);
    assert_eq!(store.wishes(Shards::ALL).await.expect("reads").len(), 2);
    assert_eq!(store.wish_answer(first).await.expect("reads"), None);
    store.answer_wish(first, "done".to_owned()).await.expect("written");
    store.answer_wish(first, "refused".to_owned()).await.expect("too late, which is no fault");
    assert_eq!(store.wish_answer(first).await.expect("reads").as_deref(), Some("done"));
    assert_eq!(store.wishes(own).await.expect("reads"), []);
    assert_eq!(store.forget_wish(first).await.expect("written").as_deref(), Some("done"));
    assert_eq!(store.forget_wish(first).await.expect("it is gone"), None);
    // What was taken back isn't done any more.
    assert_eq!(store.forget_wish(second).await.expect("written"), None);
    assert_eq!(store.wishes(Shards::ALL).await.expect("reads"), []);
    store.answer_wish(second, "done".to_owned()).await.expect("nobody waits");
    assert_eq!(store.wish_answer(second).await.expect("reads"), None);
}

pub(super) async fn a_wish_that_nobody_came_back_for_is_forgotten(fixture: Fixture) {
    let store = fixture.open().await;
    store.wish(ExecutionKey(7), shard(7), "pause".to_owned()).await.expect("written");
    fixture.clock.advance(Duration::from_secs(121));
    let second = store.wish(ExecutionKey(8), shard(8), "cancel".to_owned()).await.expect("written");
    assert_eq!(
        store.wishes(Shards::ALL).await.expect("reads").iter().map(|wish| wish.id).collect::<Vec<_>>(),
        [second]
    );
    let large = store.wish(ExecutionKey(8), shard(8), "x".repeat(256 * 1024 + 1)).await;
    assert!(matches!(large, Err(StoreError::TooLarge { .. })), "{large:?}");
}

pub(super) async fn who_heeds_which_change_of_the_freezes_is_known(fixture: Fixture) {
    let store = fixture.open().await;
    let freeze = || crate::model::Freeze {
        application: None,
        reason: "audit".to_owned(),
        by: "ann".to_owned(),
        since: fixture.clock.now(),
        until: None,
    };
    let first = store.freeze(freeze()).await.expect("frozen");
    store.note_heeded("one", first).await.expect("written");
    assert!(store.thaw(None).await.expect("thawed") && !store.thaw(None).await.expect("there is none"));
    let second = store.freeze(freeze()).await.expect("frozen");
    assert_eq!((second, store.freezes_number().await.expect("reads")), (first + 2, second));
    store.note_heeded("two", second).await.expect("written");
    assert_eq!(store.heeding(first).await.expect("reads"), ["one", "two"]);
    assert_eq!(store.heeding(second).await.expect("reads"), ["two"]);
    store.note_heeded("one", second).await.expect("written");
    assert_eq!(store.heeding(second).await.expect("reads"), ["one", "two"]);
    let (number, freezes) = store.numbered_freezes().await.expect("reads");
    assert_eq!((number, freezes), (second, vec![freeze()]));
}

pub(super) async fn what_was_created_meanwhile_is_known(fixture: Fixture) {
    let store = fixture.open().await;
    assert_eq!(store.newest_key().await.expect("reads"), ExecutionKey(0));
    assert_eq!(store.created_since(ExecutionKey(0)).await.expect("reads"), (ExecutionKey(0), vec![]));
    let first = created(&store, run()).await;
    let second = created(&store, quiet_run()).await;
    let third = created(&store, quiet_run()).await;
    finish(&store, second, 1).await;
    let (newest, live) = store.created_since(ExecutionKey(0)).await.expect("reads");
    assert_eq!((newest, live.iter().map(|one| one.key).collect::<Vec<_>>()), (third, vec![first, third]));
    let (newest, live) = store.created_since(first).await.expect("reads");
    assert_eq!((newest, live.iter().map(|one| one.key).collect::<Vec<_>>()), (third, vec![third]));
    assert_eq!(store.newest_key().await.expect("reads"), third);
    assert_eq!(store.shard(first).await.expect("reads"), Some(Shard::of_key(first)));
    assert_eq!(store.shard(ExecutionKey(77)).await.expect("reads"), None);
}
