//! The engine's hot path.

use super::Fixture;
use super::sample::{append, created, finish, quiet_run, status};
use super::writing::hold;
use crate::model::{ExecutionKey, Status};
use crate::store::{Append, JournalRow, Store, StoreError};

async fn executions(store: &Store, count: usize) -> Vec<ExecutionKey> {
    futures::future::join_all((0..count).map(|_| created(store, quiet_run()))).await
}

async fn seqs(store: &Store, key: ExecutionKey) -> Vec<i64> {
    store.journal(key).await.expect("reads").iter().map(|row| row.seq).collect()
}

fn is_fenced<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Fenced))
}

pub(super) async fn rows_reach_journal_summary_and_outbox(fixture: Fixture) {
    let store = fixture.open().await;
    let key = executions(&store, 1).await[0];
    let mut grown = store.outbox_changed();
    let due = fixture.clock.now().plus(std::time::Duration::from_secs(60));
    let row = Append {
        due_at: Some(due),
        report: Some(status("longboat/shop/deploy", "Running: bake (2 of 5)")),
        ..append(key, 1, Status::Running)
    };
    store.append(vec![row.clone()]).await.expect("appends");
    grown.changed().await.expect("open");
    assert_eq!(store.journal(key).await.expect("reads"), [JournalRow { seq: 1, at: row.at, body: row.body }]);
    let live = store.live().await.expect("reads")[0];
    assert_eq!((live.key, live.status, live.seq, live.due_at), (key, Status::Running, 1, Some(due)));
    let said = store.due_outbox(10).await.expect("reads");
    assert_eq!(
        (said[0].message.status().expect("a status").description.as_str(), said[0].execution),
        ("Running: bake (2 of 5)", Some(key))
    );

    // Numbers may leave gaps, but they rise.
    let end = append(key, 5, Status::Canceled);
    store.append(vec![end.clone()]).await.expect("appends");
    assert_eq!(store.live().await.expect("reads"), []);
    let stored = store.execution_by_key(key).await.expect("reads").expect("exists");
    assert_eq!((stored.status, stored.seq), (Status::Canceled, 5));
    assert_eq!((stored.started_at, stored.ended_at), (end.started_at, end.ended_at));
    store.append(Vec::new()).await.expect("nothing to do");
}

pub(super) async fn many_executions_share_a_commit(fixture: Fixture) {
    let store = fixture.open().await;
    let keys = executions(&store, 700).await;
    let release = hold(&store).await;
    // Batches of 300, 300 and 100 executions, of which every third ends.
    let calls = keys.chunks(300).map(|keys| {
        let row = |key: &ExecutionKey| Append {
            report: Some(status(&format!("context {}", key.0), "said")),
            ..append(*key, 1, if key.0 % 3 == 0 { Status::Terminal } else { Status::Running })
        };
        store.append(keys.iter().map(row).collect())
    });
    let (results, ()) = tokio::join!(futures::future::join_all(calls), async { release.send(()).expect("held") });
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(store.live().await.expect("reads").len(), 700 - 233);
    assert_eq!(store.due_outbox(1000).await.expect("reads").len(), 700);
    for key in keys {
        assert_eq!(seqs(&store, key).await, [1]);
    }
}

pub(super) async fn the_last_row_of_an_execution_counts(fixture: Fixture) {
    let store = fixture.open().await;
    let keys = executions(&store, 2).await;
    store
        .append(vec![
            append(keys[0], 2, Status::Paused),
            append(keys[1], 1, Status::Running),
            append(keys[0], 1, Status::Running),
        ])
        .await
        .expect("appends");
    assert_eq!(seqs(&store, keys[0]).await, [1, 2]);
    let live = store.live().await.expect("reads");
    assert_eq!((live[0].status, live[0].seq, live[1].status), (Status::Paused, 2, Status::Running));
}

pub(super) async fn a_row_written_twice_is_fenced(fixture: Fixture) {
    let store = fixture.open().await;
    let key = executions(&store, 1).await[0];
    store.append(vec![append(key, 1, Status::Running)]).await.expect("appends");
    assert!(is_fenced(&store.append(vec![append(key, 1, Status::Terminal)]).await));
    store.append(vec![append(key, 3, Status::Running)]).await.expect("appends");
    // Behind the last row, even where the journal has a gap.
    assert!(is_fenced(&store.append(vec![append(key, 2, Status::Running)]).await));
    assert!(is_fenced(&store.append(vec![append(key, 4, Status::Running), append(key, 4, Status::Running)]).await));
    assert_eq!(seqs(&store, key).await, [1, 3]);
    assert_eq!(store.live().await.expect("reads")[0].status, Status::Running);
}

pub(super) async fn a_fenced_batch_leaves_nothing_and_spares_its_neighbours(fixture: Fixture) {
    let store = fixture.open().await;
    let keys = executions(&store, 4).await;
    finish(&store, keys[3], 1).await;
    let release = hold(&store).await;
    let said = |row: Append| Append { report: Some(status("longboat/shop/deploy", "said")), ..row };
    let together = async {
        tokio::join!(
            store.append(vec![said(append(keys[0], 1, Status::Running))]),
            // Its first row would be good.
            store.append(vec![said(append(keys[1], 1, Status::Running)), append(keys[3], 1, Status::Running)]),
            store.append(vec![append(keys[2], 1, Status::Running)]),
        )
    };
    let (results, ()) = tokio::join!(together, async { release.send(()).expect("held") });
    assert!(results.0.is_ok() && is_fenced(&results.1) && results.2.is_ok(), "{results:?}");
    assert_eq!(seqs(&store, keys[1]).await, [0; 0]);
    assert_eq!((seqs(&store, keys[0]).await, seqs(&store, keys[2]).await), (vec![1], vec![1]));
    assert_eq!(store.due_outbox(10).await.expect("reads").len(), 1);
    let rows: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM outbox").fetch_one(store.reads()).await.expect("reads");
    assert_eq!(rows, 1);
}

pub(super) async fn an_owner_that_was_replaced_is_fenced(fixture: Fixture) {
    let store = fixture.open().await;
    let keys = executions(&store, 65).await;
    // Another owner took over the shard of the first and the last execution, and claimed another one anew.
    store
        .write(|tx| {
            Box::pin(async move {
                sqlx::query("UPDATE shard SET owner = 'other', epoch = epoch + 1 WHERE shard = 1")
                    .execute(&mut tx.connection)
                    .await?;
                sqlx::query("UPDATE shard SET epoch = epoch + 1 WHERE shard = 2").execute(&mut tx.connection).await?;
                Ok(())
            })
        })
        .await
        .expect("writes");
    assert_eq!((keys[0].0 % 64, keys[1].0 % 64, keys[64].0 % 64), (1, 2, 1));
    for lost in [keys[0], keys[1], keys[64]] {
        assert!(is_fenced(&store.append(vec![append(lost, 1, Status::Running)]).await), "{lost:?}");
    }
    store.append(vec![append(keys[2], 1, Status::Running)]).await.expect("its shard is still owned");
    // All or nothing, across shards.
    let all = keys.iter().map(|key| append(*key, 2, Status::Running)).collect();
    assert!(is_fenced(&store.append(all).await));
    assert_eq!(seqs(&store, keys[2]).await, [1]);
    // Whoever opens the database next owns everything.
    store.close().await;
    let store = fixture.open().await;
    store.append(vec![append(keys[0], 1, Status::Running)]).await.expect("appends");
}

pub(super) async fn an_execution_that_ended_or_never_was_is_fenced(fixture: Fixture) {
    let store = fixture.open().await;
    let key = executions(&store, 1).await[0];
    assert!(is_fenced(&store.append(vec![append(ExecutionKey(99), 1, Status::Running)]).await));
    finish(&store, key, 1).await;
    assert!(is_fenced(&store.append(vec![append(key, 2, Status::Running)]).await));
    assert!(is_fenced(&store.append(vec![append(key, 2, Status::Succeeded)]).await));
    assert_eq!(seqs(&store, ExecutionKey(99)).await, [0; 0]);
    assert_eq!(seqs(&store, key).await, [1]);
}

pub(super) async fn a_body_that_is_too_large_is_refused(fixture: Fixture) {
    let store = fixture.open().await;
    let key = executions(&store, 1).await[0];
    let large = Append { body: "x".repeat(16 * 1024 * 1024 + 1), ..append(key, 1, Status::Running) };
    let error = store.append(vec![large]).await.expect_err("is refused");
    assert!(error.to_string().contains("a journal row of execution 1 has 16777217 bytes"), "{error}");
    let most = Append { body: "x".repeat(16 * 1024 * 1024), ..append(key, 1, Status::Running) };
    store.append(vec![most]).await.expect("appends");
    assert_eq!(store.journal(key).await.expect("reads")[0].body.len(), 16 * 1024 * 1024);
}

pub(super) async fn an_execution_that_ended_is_revived_by_a_row_that_says_so(fixture: Fixture) {
    let store = fixture.open().await;
    let keys = executions(&store, 3).await;
    finish(&store, keys[0], 1).await;
    finish(&store, keys[2], 1).await;
    let revives = |key, seq, status| Append { revives: true, ..append(key, seq, status) };
    // Not one that lives, and then nothing of the batch holds.
    let batch = vec![revives(keys[0], 2, Status::Running), revives(keys[1], 1, Status::Running)];
    assert!(is_fenced(&store.append(batch).await));
    assert_eq!(seqs(&store, keys[0]).await, [1]);
    // One goes on, another ends at once.
    let batch = vec![revives(keys[0], 2, Status::Running), revives(keys[2], 2, Status::Terminal)];
    store.append(batch).await.expect("appends");
    let live: Vec<_> =
        store.live().await.expect("reads").iter().map(|live| (live.key, live.status, live.seq)).collect();
    assert_eq!(live, [(keys[0], Status::Running, 2), (keys[1], Status::NotStarted, 0)]);
    let stored = store.execution_by_key(keys[0]).await.expect("reads").expect("exists");
    assert_eq!((stored.status, stored.ended_at), (Status::Running, None));
    let of = |status| crate::store::ExecutionFilter { status: Some(status), ..Default::default() };
    let found = store.executions(of(Status::Terminal)).await.expect("reads").items;
    assert_eq!(found.iter().map(|found| found.key).collect::<Vec<_>>(), [keys[2]]);
    assert_eq!(store.executions(of(Status::Succeeded)).await.expect("reads").items, []);
    finish(&store, keys[0], 3).await;
    assert!(is_fenced(&store.append(vec![append(keys[0], 4, Status::Running)]).await));
}
