//! The one writer.

use tokio::sync::oneshot;

use super::Fixture;
use super::sample::{append, created, quiet_run, run, webhook};
use crate::model::{Concurrency, ExecutionKey, NewExecution, OnNew, Status};
use crate::store::{Created, Store, StoreError};

/// Keeps the writer busy until the sender is used, so that what is queued meanwhile shares the next transaction.
pub(super) async fn hold(store: &Store) -> oneshot::Sender<()> {
    let (release, released) = oneshot::channel::<()>();
    let (started, running) = oneshot::channel();
    let held = store.clone();
    tokio::spawn(async move {
        held.write(move |_| {
            Box::pin(async move {
                let _ = started.send(()).is_ok();
                let _ = released.await.is_ok();
                Ok(())
            })
        })
        .await
    });
    running.await.expect("the writer began");
    release
}

/// Writes an execution, then fails.
async fn fail(store: &Store) -> Result<(), StoreError> {
    store
        .write(|tx| {
            Box::pin(async move {
                sqlx::query("UPDATE execution SET status = 'TERMINAL'").execute(&mut tx.connection).await?;
                sqlx::query("INSERT INTO shard (shard, owner, epoch) VALUES (0, 'thief', 1)")
                    .execute(&mut tx.connection)
                    .await?;
                Ok(())
            })
        })
        .await
}

pub(super) async fn a_failing_job_does_not_hurt_its_neighbours(fixture: Fixture) {
    let store = fixture.open().await;
    let key = created(&store, quiet_run()).await;
    let release = hold(&store).await;
    let together = async {
        tokio::join!(
            store.accept(webhook(0, 1)),
            fail(&store),
            store.append(vec![append(key, 1, Status::Running)]),
            store.create(quiet_run()),
            fail(&store),
        )
    };
    let (results, ()) = tokio::join!(together, async { release.send(()).expect("held") });
    assert!(results.0.is_ok() && results.2.is_ok() && results.3.is_ok(), "{results:?}");
    assert!(matches!(results.1, Err(StoreError::Database(_))), "{results:?}");
    assert!(matches!(results.4, Err(StoreError::Database(_))), "{results:?}");
    let statuses: Vec<Status> = store.live().await.expect("reads").iter().map(|live| live.status).collect();
    assert_eq!(statuses, [Status::Running, Status::NotStarted]);
    // Alone in its transaction, a failure is taken back as well.
    fail(&store).await.expect_err("fails");
    assert_eq!(store.live().await.expect("reads")[0].status, Status::Running);
}

pub(super) async fn the_write_of_a_caller_that_went_away_lands(fixture: Fixture) {
    let store = fixture.open().await;
    let mut grown = store.inbox_changed();
    let release = hold(&store).await;
    let mut asking = Box::pin(store.accept(webhook(0, 1)));
    assert!(futures::poll!(&mut asking).is_pending());
    drop(asking);
    release.send(()).expect("held");
    grown.changed().await.expect("open");
    assert_eq!(store.due_inbox(10).await.expect("reads").len(), 1);
}

pub(super) async fn closing_writes_what_is_queued(fixture: Fixture) {
    let store = fixture.open().await;
    let release = hold(&store).await;
    let mut asking = Box::pin(store.accept(webhook(0, 1)));
    assert!(futures::poll!(&mut asking).is_pending());
    let mut closing = Box::pin(store.close());
    assert!(futures::poll!(&mut closing).is_pending());
    release.send(()).expect("held");
    closing.await;
    asking.await.expect("was written");
    assert_eq!(fixture.open().await.due_inbox(10).await.expect("reads").len(), 1);
}

pub(super) async fn readers_may_not_write(fixture: Fixture) {
    let store = fixture.open().await;
    let result = sqlx::query("UPDATE shard SET owner = 'thief'").execute(store.reads()).await;
    assert!(result.is_err());
}

pub(super) async fn executions_that_start_together_are_all_there_but_those_that_fail(fixture: Fixture) {
    let store = fixture.open().await;
    let queued = || {
        let mut new = run();
        new.pipeline.concurrency = Some(Concurrency { max: 1, on_new: OnNew::Queue, lock: None });
        new
    };
    let at_once = |new: Vec<NewExecution>| {
        let store = store.clone();
        async move {
            let release = hold(&store).await;
            let all = futures::future::join_all(new.into_iter().map(|new| store.create(new)));
            let (created, ()) = tokio::join!(all, async { release.send(()).expect("held") });
            created
        }
    };
    let first: Vec<NewExecution> =
        (0..70).map(|number| if number % 10 == 0 { queued() } else { quiet_run() }).collect();
    let created = at_once(first.clone()).await;
    for (number, (created, new)) in (1..).zip(created.into_iter().zip(&first)) {
        let Ok(Created::New(key)) = created else { panic!("{created:?}") };
        assert_eq!(key, ExecutionKey(number));
        assert_eq!(store.execution_by_key(key).await.expect("reads").expect("exists").execution.info, *new);
    }
    assert_eq!(store.lane_members(None).await.expect("reads").len(), 7);
    assert_eq!(store.outbox_waiting().await.expect("reads"), 7);
    // One that is there already fails by itself.
    let second = vec![quiet_run(), first[3].clone(), queued(), quiet_run()];
    let created = at_once(second).await;
    let went: Vec<bool> = created.iter().map(Result::is_ok).collect();
    assert_eq!(went, [true, false, true, true], "{created:?}");
    assert_eq!(store.live().await.expect("reads").len(), 73);
    assert_eq!(store.outbox_waiting().await.expect("reads"), 8);
}

pub(super) async fn keys_rise_and_a_failed_job_leaves_no_trace(fixture: Fixture) {
    let store = fixture.open().await;
    let first = created(&store, quiet_run()).await;
    let twice = quiet_run();
    let second = created(&store, twice.clone()).await;
    // The same public id again: refused, with all that was written before the refusal.
    assert!(matches!(store.create(twice).await, Err(StoreError::Database(_))));
    let third = created(&store, quiet_run()).await;
    assert!(first < second && second < third);
    assert_eq!(store.live().await.expect("reads").len(), 3);
    assert_eq!(first, ExecutionKey(1));
}
