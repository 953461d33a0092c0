//! How much waits.

use std::time::Duration;

use super::Fixture;
use super::sample::{accept_new, append, created, run, settlement, webhook};
use crate::model::Status;
use crate::store::Backlog;

pub(super) async fn what_waits_is_counted_and_what_is_done_is_not(fixture: Fixture) {
    let store = fixture.open().await;
    assert_eq!(store.backlog().await.expect("reads"), Backlog::default());
    let since = fixture.clock.now();
    let first = accept_new(&store, webhook(0, 1)).await;
    let key = created(&store, run()).await;
    fixture.clock.advance(Duration::from_secs(5));
    accept_new(&store, webhook(1, 2)).await;
    created(&store, run()).await;
    let waits =
        Backlog { live: 2, inbox: 2, inbox_since: Some(since), outbox: 2, outbox_since: Some(since), outbox_failed: 0 };
    assert_eq!(store.backlog().await.expect("reads"), waits);
    store.settle(settlement(Some(first), 1)).await.expect("settles");
    store.append(vec![append(key, 1, Status::Succeeded)]).await.expect("appends");
    let queued = store.due_outbox(10).await.expect("reads").remove(0);
    store.outbox_failed(queued.id, "no such repository").await.expect("writes");
    let left = store.backlog().await.expect("reads");
    assert_eq!((left.live, left.inbox, left.outbox_failed), (1, 1, 1));
    assert_eq!(left.inbox_since, Some(fixture.clock.now()));
}
