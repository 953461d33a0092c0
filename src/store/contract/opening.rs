//! Opening, closing, and what survives in between.

use super::Fixture;
use super::sample::{accept_new, append, created, finish, look, pipeline, quiet_run, run, webhook};
use crate::clock::Clock;
use crate::model::{Concurrency, NewExecution, OnNew, Status};
use crate::store::{Accepted, Append, Shard, Store, StoreError};

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

/// What a later version does to the tables: a step that only adds, or one from which on programs have to know them.
async fn brought_further(store: &Store, oldest: Option<i64>) {
    let write = store.write(move |tx| {
        Box::pin(async move {
            for added in [
                "ALTER TABLE execution_info ADD COLUMN novel TEXT",
                "ALTER TABLE inbox ADD COLUMN novel BIGINT",
                "CREATE TABLE novel (id BIGINT PRIMARY KEY, document TEXT NOT NULL)",
            ] {
                sqlx::query(added).execute(&mut tx.connection).await?;
            }
            sqlx::query(
                "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                 VALUES (9999, 'later', TRUE, $1, 0)",
            )
            .bind(vec![0_u8])
            .execute(&mut tx.connection)
            .await?;
            if let Some(oldest) = oldest {
                sqlx::query("INSERT INTO counter (name, value) VALUES ('oldest_step', $1)")
                    .bind(oldest)
                    .execute(&mut tx.connection)
                    .await?;
            }
            Ok(())
        })
    });
    write.await.expect("writes");
}

pub(super) async fn tables_to_which_a_later_version_only_added_are_worked_with(fixture: Fixture) {
    let store = fixture.open().await;
    let before = created(&store, run()).await;
    // An earlier step of its own may have said from which one on it is understood.
    brought_further(&store, Some(1)).await;
    store.close().await;
    for number in 1..=2 {
        let store = fixture.open().await;
        assert!(store.execution_by_key(before).await.expect("reads").is_some());
        let after = created(&store, run()).await;
        finish(&store, after, 1).await;
        accept_new(&store, webhook(number - 1, number)).await;
        store.close().await;
    }
}

/// What was created before lanes had shards is put there once, also if it has ended: it may be restarted.
pub(super) async fn whoever_stood_in_a_lane_before_it_had_a_shard_is_put_there(fixture: Fixture) {
    let store = fixture.open().await;
    let mut pipeline = pipeline("shop", "deploy");
    pipeline.concurrency = Some(Concurrency { max: 1, on_new: OnNew::Queue, lock: None });
    let lane = Shard::of_lane(&pipeline.lane().expect("a lane").0);
    let of = || NewExecution { pipeline: pipeline.clone(), ..run() };
    let (ended, waits, free) =
        (created(&store, of()).await, created(&store, of()).await, created(&store, quiet_run()).await);
    let row = |key, seq, status| Append { shard: lane, ..append(key, seq, status) };
    store.append(vec![row(ended, 1, Status::Succeeded)]).await.expect("ends");
    let as_before = store.write(move |tx| {
        Box::pin(async move {
            for text in ["UPDATE execution SET shard = id % 64", "DELETE FROM counter WHERE name = 'lanes_gathered'"] {
                sqlx::query(text).execute(&mut tx.connection).await?;
            }
            Ok(())
        })
    });
    as_before.await.expect("writes");
    store.close().await;
    let store = fixture.open().await;
    for key in [ended, waits] {
        assert_eq!(store.shard(key).await.expect("reads"), Some(lane));
    }
    assert_eq!(store.shard(free).await.expect("reads"), Some(Shard::of_key(free)));
    // A restart writes under the lane's shard.
    store.append(vec![Append { revives: true, ..row(ended, 2, Status::Running) }]).await.expect("is revived");
}

pub(super) async fn the_database_of_a_later_version_is_refused(fixture: Fixture) {
    let store = fixture.open().await;
    brought_further(&store, Some(9000)).await;
    store.close().await;
    let error = fixture.try_open().await.expect_err("is refused");
    assert!(matches!(error, StoreError::Newer { step: 9999, oldest: 9000, .. }), "{error}");
    assert!(error.to_string().contains("start the later one"), "{error}");
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
