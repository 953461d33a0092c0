//! Opening, closing, and what survives in between.

use super::Fixture;
use super::sample::{accept_new, append, created, finish, look, quiet_run, run, webhook};
use crate::clock::Clock;
use crate::model::Status;
use crate::store::{Accepted, Store, StoreError};

pub(super) async fn a_second_store_is_turned_away_until_the_first_is_closed(fixture: Fixture) {
    let first = fixture.open().await;
    let error = fixture.try_open().await.expect_err("is turned away");
    assert!(matches!(error, StoreError::Taken { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains(&std::process::id().to_string()) && text.contains("stop that one"), "{text}");
    first.close().await;
    fixture.open().await;
}

pub(super) async fn reopening_finds_everything(fixture: Fixture) {
    let store = fixture.open().await;
    accept_new(&store, webhook(0, 1)).await;
    let (ended, waiting) = (created(&store, run()).await, created(&store, quiet_run()).await);
    finish(&store, ended, 1).await;
    let mut row = append(waiting, 1, Status::Running);
    row.due_at = Some(fixture.clock.now());
    store.append(vec![row]).await.expect("appends");
    let before = (
        store.execution_by_key(waiting).await.expect("reads"),
        store.live().await.expect("reads"),
        store.journal(waiting).await.expect("reads"),
        store.due_inbox(10).await.expect("reads"),
        store.due_outbox(10).await.expect("reads"),
    );
    store.close().await;

    let store = fixture.open().await;
    let after = (
        store.execution_by_key(waiting).await.expect("reads"),
        store.live().await.expect("reads"),
        store.journal(waiting).await.expect("reads"),
        store.due_inbox(10).await.expect("reads"),
        store.due_outbox(10).await.expect("reads"),
    );
    assert_eq!(before, after);
    assert_eq!(after.1.len(), 1);
    assert_eq!(store.accept(look(1, 1)).await.expect("accepts"), Accepted::Duplicate);
    // It goes on where it was.
    store.append(vec![append(waiting, 2, Status::Running)]).await.expect("appends");
    assert!(created(&store, run()).await > waiting);
}

pub(super) async fn the_database_of_a_later_version_is_refused(fixture: Fixture) {
    let store = fixture.open().await;
    store
        .write(|tx| {
            Box::pin(async move {
                sqlx::query("UPDATE _sqlx_migrations SET version = 9999 WHERE version = 1")
                    .execute(&mut tx.connection)
                    .await?;
                Ok(())
            })
        })
        .await
        .expect("writes");
    store.close().await;
    let error = fixture.try_open().await.expect_err("is refused");
    assert!(matches!(error, StoreError::Newer { step: 9999 }), "{error}");
}

pub(super) async fn a_closed_store_says_so(fixture: Fixture) {
    let store = fixture.open().await;
    store.close().await;
    store.close().await;
    assert!(matches!(store.accept(webhook(0, 1)).await, Err(StoreError::Closed)));
    assert!(matches!(store.live().await, Err(StoreError::Closed)));
}

pub(super) async fn dropping_all_handles_frees_the_database(fixture: Fixture) {
    let store = fixture.open().await;
    accept_new(&store, webhook(0, 1)).await;
    drop(store);
    // The writer ends by itself soon after.
    loop {
        match fixture.try_open().await {
            Ok(store) => {
                assert_eq!(store.due_inbox(1).await.expect("reads").len(), 1);
                return;
            }
            Err(StoreError::Taken { .. }) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    }
}

pub(super) async fn a_temporary_store_works(_: Fixture) {
    let store = Store::temporary(Clock::system()).await.expect("opens");
    let key = created(&store, run()).await;
    assert_eq!(store.live().await.expect("reads")[0].key, key);
}
