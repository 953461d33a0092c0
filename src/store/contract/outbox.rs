//! The outbox: order, patience, and what is outdated.

use std::time::Duration;

use super::Fixture;
use super::sample::{append, created, run, settlement, status};
use crate::model::{ExecutionKey, Message, Status};
use crate::store::{Append, OutboxEntry, Settlement, Store};

/// Lets an execution say something about `longboat/shop/deploy`.
async fn say(store: &Store, key: ExecutionKey, seq: i64, text: &str) {
    let row = Append { report: Some(status("longboat/shop/deploy", text)), ..append(key, seq, Status::Running) };
    store.append(vec![row]).await.expect("appends");
}

async fn say_about_files(store: &Store, context: &str, text: &str) {
    store
        .settle(Settlement { messages: vec![status(context, text).into()], ..settlement(None, 1) })
        .await
        .expect("settles");
}

async fn due(store: &Store) -> Vec<OutboxEntry> {
    store.due_outbox(10).await.expect("reads")
}

/// The text of a row that must be a status.
fn said(row: &OutboxEntry) -> &str {
    &row.message.status().expect("a status").description
}

fn texts(rows: &[OutboxEntry]) -> Vec<(&str, bool)> {
    rows.iter().map(|row| (said(row), row.newer)).collect()
}

/// All rows in the order in which they would be sent, with what is outdated by then.
async fn send_all(store: &Store) -> Vec<(String, bool)> {
    let mut sent = Vec::new();
    while let Some(row) = due(store).await.into_iter().next() {
        store.outbox_sent(&[row.id]).await.expect("writes");
        sent.push((said(&row).to_owned(), row.newer));
    }
    sent
}

pub(super) async fn what_was_said_last_is_known(fixture: Fixture) {
    let store = fixture.open().await;
    let context = "longboat/validate";
    let (checking, valid) = (status(context, "Checking").into(), status(context, "1 pipeline valid").into());
    assert!(!store.was_said_last(&checking).await.expect("reads"));
    say_about_files(&store, context, "Checking").await;
    assert!(store.was_said_last(&checking).await.expect("reads"), "it waits");
    say_about_files(&store, context, "1 pipeline valid").await;
    assert!(!store.was_said_last(&checking).await.expect("reads"));
    send_all(&store).await;
    assert!(store.was_said_last(&valid).await.expect("reads"), "it was sent");
    say_about_files(&store, context, "Checking").await;
    store.outbox_failed(due(&store).await[0].id, "no").await.expect("writes");
    assert!(!store.was_said_last(&checking).await.expect("reads"), "nobody heard it");
}

pub(super) async fn rows_of_a_context_are_sent_in_order(fixture: Fixture) {
    let store = fixture.open().await;
    let key = created(&store, run()).await;
    say(&store, key, 1, "Running: a (1 of 2)").await;
    say_about_files(&store, "longboat/validate", "1 pipeline valid").await;
    say(&store, key, 2, "Running: b (2 of 2)").await;
    assert_eq!(texts(&due(&store).await), [("Queued", true), ("1 pipeline valid", false)]);
    store.outbox_obsolete(&[due(&store).await[0].id]).await.expect("writes");
    assert_eq!(texts(&due(&store).await), [("Running: a (1 of 2)", true), ("1 pipeline valid", false)]);
    assert_eq!(texts(&store.due_outbox(1).await.expect("reads")), [("Running: a (1 of 2)", true)]);
    let ids: Vec<_> = due(&store).await.iter().map(|row| row.id).collect();
    store.outbox_sent(&ids).await.expect("writes");
    assert_eq!(send_all(&store).await, [("Running: b (2 of 2)".to_owned(), false)]);
    assert_eq!(store.next_outbox_due().await.expect("reads"), None);
}

pub(super) async fn a_row_put_off_holds_its_context_and_no_other(fixture: Fixture) {
    let store = fixture.open().await;
    let key = created(&store, run()).await;
    say(&store, key, 1, "Running: a (1 of 1)").await;
    let queued = due(&store).await.remove(0);
    let later = fixture.clock.now().plus(Duration::from_secs(10));
    store.outbox_retry(queued.id, later, "502 Bad Gateway").await.expect("writes");
    assert_eq!(due(&store).await, []);
    assert_eq!(store.next_outbox_due().await.expect("reads"), Some(later));
    say_about_files(&store, "longboat/validate", "1 pipeline valid").await;
    assert_eq!(texts(&due(&store).await), [("1 pipeline valid", false)]);
    assert_eq!(store.next_outbox_due().await.expect("reads"), Some(fixture.clock.now()));
    fixture.clock.advance(Duration::from_secs(10));
    let rows = due(&store).await;
    assert_eq!((rows[0].id, rows[0].attempts, rows.len()), (queued.id, 1, 2));
}

pub(super) async fn a_row_given_up_lets_the_next_one_through(fixture: Fixture) {
    let store = fixture.open().await;
    let key = created(&store, run()).await;
    say(&store, key, 1, "Running: a (1 of 1)").await;
    let queued = due(&store).await.remove(0).id;
    store.outbox_failed(queued, "the commit is not known there").await.expect("writes");
    assert_eq!(texts(&due(&store).await), [("Running: a (1 of 1)", false)]);
    // What has ended stays ended.
    store.outbox_retry(queued, fixture.clock.now(), "late").await.expect("writes");
    store.outbox_sent(&[queued]).await.expect("writes");
    assert_eq!(texts(&due(&store).await), [("Running: a (1 of 1)", false)]);
}

pub(super) async fn rows_of_a_forge_at_rest_wait_without_a_failure(fixture: Fixture) {
    let store = fixture.open().await;
    created(&store, run()).await;
    say_about_files(&store, "longboat/validate", "1 pipeline valid").await;
    assert_eq!(store.outbox_waiting().await.expect("reads"), 2);
    let rows = due(&store).await;
    let later = fixture.clock.now().plus(Duration::from_secs(10));
    store.outbox_sent(&[rows[1].id]).await.expect("writes");
    store.outbox_defer(&[rows[0].id, rows[1].id], later).await.expect("writes");
    assert_eq!(store.outbox_waiting().await.expect("reads"), 1);
    assert_eq!(due(&store).await, []);
    assert_eq!(store.next_outbox_due().await.expect("reads"), Some(later));
    fixture.clock.advance(Duration::from_secs(10));
    assert_eq!(due(&store).await, [rows[0].clone()]);
}

pub(super) async fn the_newest_execution_owns_the_context(fixture: Fixture) {
    let store = fixture.open().await;
    let old = created(&store, run()).await;
    let new = created(&store, run()).await;
    say(&store, new, 1, "new: running").await;
    say(&store, new, 2, "new: succeeded").await;
    // The older execution goes on and speaks last; it must not have the last word.
    say(&store, old, 1, "old: running").await;
    say(&store, old, 2, "old: failed").await;
    let expected = [
        ("Queued", true),
        ("Queued", true),
        ("new: running", true),
        ("new: succeeded", false),
        ("old: running", true),
        ("old: failed", true),
    ];
    let sent = send_all(&store).await;
    assert_eq!(sent.iter().map(|(text, newer)| (text.as_str(), *newer)).collect::<Vec<_>>(), expected);
}

pub(super) async fn what_is_said_about_files_has_its_own_order(fixture: Fixture) {
    let store = fixture.open().await;
    for text in ["Checking", "2 pipelines valid"] {
        say_about_files(&store, "longboat/validate", text).await;
    }
    assert_eq!(send_all(&store).await, [("Checking".to_owned(), true), ("2 pipelines valid".to_owned(), false)]);
}

pub(super) async fn the_newest_key_is_known_at_start(fixture: Fixture) {
    let store = fixture.open().await;
    assert_eq!(store.last_outbox_id().await.expect("reads"), 0);
    created(&store, run()).await;
    say_about_files(&store, "longboat/validate", "1 pipeline valid").await;
    store.close().await;
    let store = fixture.open().await;
    let last = store.last_outbox_id().await.expect("reads");
    assert_eq!(due(&store).await.iter().map(|row| row.id.0).max(), Some(last));
    created(&store, run()).await;
    assert!(due(&store).await.iter().all(|row| row.id.0 <= last), "the context's older row is first");
}

pub(super) async fn a_message_that_was_given_up_gets_another_try_after_a_rest(fixture: Fixture) {
    let store = fixture.open().await;
    let (rest, hope) = (Duration::from_secs(3600), Duration::from_secs(86_400));
    say_about_files(&store, "longboat/validate", "1 pipeline valid").await;
    say_about_files(&store, "longboat/other", "1 pipeline valid").await;
    for row in due(&store).await {
        store.outbox_failed(row.id, "no permission").await.expect("writes");
    }
    assert_eq!(store.revive_outbox(rest, hope).await.expect("writes"), [], "they rest");
    fixture.clock.advance(rest);
    // What has a newer word after it is not worth a try.
    say_about_files(&store, "longboat/other", "2 pipelines valid").await;
    let revived = store.revive_outbox(rest, hope).await.expect("writes");
    assert!(matches!(&revived[..], [Message::Status(one)] if one.target.context == "longboat/validate"), "{revived:?}");
    let rows = due(&store).await;
    assert_eq!(texts(&rows), [("1 pipeline valid", false), ("2 pipelines valid", false)]);
    for row in rows {
        store.outbox_failed(row.id, "no permission").await.expect("writes");
    }
    fixture.clock.advance(hope + rest);
    assert_eq!(store.revive_outbox(rest, hope).await.expect("writes"), [], "nobody waits for them any more");
}
