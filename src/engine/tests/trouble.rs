//! The database fails, the executions are somebody else's, or a journal can't be read.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;

use super::house::*;
use super::world::*;
use crate::engine::{EngineError, EngineOptions};
use crate::model::{ExecutionId, Status};
use crate::store::Append;
use crate::store::contract::sample::respell;

#[tokio::test]
async fn while_the_database_fails_nothing_is_lost_and_nothing_is_called() {
    let house = House::with(Fault::Fails(4), EngineOptions::default()).await;
    let id = house.submit(pipeline(vec![stage("a", &[]), stage("b", &["a"])])).await;
    patiently("four attempts", async {
        while house.ledger.batches.load(Ordering::SeqCst) < 4 {
            assert!(house.outside.asked().is_empty(), "effects wait for their commit");
            house.clock.advance(Duration::from_secs(1));
            tokio::task::yield_now().await;
        }
    })
    .await;
    let view = house.hurry_to_end(id).await;
    assert_eq!(view.status, Status::Succeeded);
    assert_eq!(house.outside.asked(), ["a.1 start", "b.1 start"]);
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_recognised() {
    let house = House::with(Fault::LosesAnAnswer, EngineOptions::default()).await;
    let id = house.submit(pipeline(vec![stage("a", &[])])).await;
    let view = house.hurry_to_end(id).await;
    assert_eq!(view.status, Status::Succeeded);
    assert_eq!(house.outside.asked(), ["a.1 start"]);
    assert!(house.handle().is_ready());
}

#[tokio::test]
async fn an_engine_whose_executions_were_taken_over_stops_quietly() {
    let house = House::with(Fault::Fenced, EngineOptions::default()).await;
    let handle = house.handle();
    assert!(handle.is_ready());
    let id = house.submit(pipeline(vec![stage("a", &[])])).await;
    patiently("the stop", async {
        while handle.is_ready() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(house.outside.asked().is_empty(), "no effect without its commit");
    assert!(matches!(handle.cancel(id, "ann", None).await, Err(EngineError::Stopped)));
    patiently("shutdown", house.engine.shutdown()).await;
}

#[tokio::test]
async fn an_engine_can_be_stopped_while_the_database_fails() {
    let house = House::with(Fault::Fails(usize::MAX), EngineOptions::default()).await;
    house.submit(pipeline(vec![stage("a", &[])])).await;
    patiently("an attempt", async {
        while house.ledger.batches.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let house = house.restart().await;
    let view = house.hurry_to_end(only(&house).await).await;
    assert_eq!(view.status, Status::Succeeded, "what could not be recorded is done anew");
}

async fn only(house: &House) -> ExecutionId {
    let page = house.store.executions(crate::store::ExecutionFilter::default()).await.expect("reads");
    page.items[0].id
}

/// An execution that hangs, with a row of a newer Longboat at the end of its journal.
async fn with_a_row_of_the_future() -> (House, ExecutionId) {
    let house = House::new().await;
    let id = house.submit(pipeline(vec![stage("a", &[]).fields(json!({"do": "hang"}))])).await;
    house.outside.until_asked("a.1 start").await;
    // The handler still has it in hand, so nothing else is written.
    let stored = house.store.execution(id).await.expect("reads").expect("there");
    let row = Append {
        key: stored.execution.key,
        shard: stored.shard,
        seq: stored.seq + 1,
        at: house.clock.now(),
        body: r#"{"v":9,"e":[{"leap":{"far":true}}]}"#.to_owned(),
        status: Status::Running,
        due_at: Some(house.clock.now()),
        started_at: stored.started_at,
        ended_at: None,
        report: None,
        revives: false,
    };
    house.store.append(vec![row]).await.expect("written");
    (house.crash().await, id)
}

#[tokio::test]
async fn a_journal_of_a_newer_longboat_is_left_alone_and_counted() {
    let (house, id) = with_a_row_of_the_future().await;
    patiently("the look at it", async {
        while house.handle().stranded() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let view = house.view(id).await;
    assert_eq!(view.status, Status::Running, "it is not lost: a newer Longboat goes on with it");
    assert!(view.description.contains("version 9") && view.description.contains("newer Longboat"), "{view:?}");
    assert_eq!(view.stranded.as_deref(), Some(view.description.trim_start_matches("Longboat error: ")));
    let judged = house.judge(id, "a", crate::engine::Verdict::Continue).await;
    assert!(matches!(judged, Err(EngineError::Unreadable(_))), "{judged:?}");
    let house = house.restart().await;
    let other = house.submit(pipeline(vec![stage("b", &[])])).await;
    assert_eq!(house.until_complete(other).await.status, Status::Succeeded, "others go on");
    let stored = house.store.execution(id).await.expect("reads").expect("there");
    let rows = house.store.journal(stored.execution.key).await.expect("reads");
    assert!(rows.last().is_some_and(|row| row.body.contains("leap")), "nothing was written behind it");
    assert!(!house.said().await.iter().any(|text| text.contains("error")), "nor said");
}

#[tokio::test]
async fn an_execution_that_cannot_be_read_can_be_cancelled() {
    let (house, id) = with_a_row_of_the_future().await;
    house.handle().cancel(id, "ann", None).await.expect("taken");
    let view = house.view(id).await;
    assert_eq!(view.status, Status::Canceled);
    assert_eq!(house.said().await.last().map(String::as_str), Some("Cancelled by ann"));
}

#[tokio::test]
async fn a_definition_that_is_no_graph_is_an_error_of_longboat_and_holds_up_nobody() {
    let house = House::new().await;
    let id = house.submit(pipeline(vec![stage("a", &["b"]), stage("b", &["a"])])).await;
    let other = house.submit(pipeline(vec![stage("c", &[])])).await;
    assert_eq!(house.until_complete(other).await.status, Status::Succeeded);
    let view = house.view(id).await;
    assert!(view.description.starts_with("Longboat error: stage `a` needs itself"), "{}", view.description);
}

/// A damaged document, and one of a later version that looks quite different.
#[tokio::test]
async fn a_document_that_cannot_be_read_at_all_is_left_alone_and_holds_up_nobody() {
    let house = House::new().await;
    let hangs = || pipeline(vec![stage("a", &[]).fields(json!({"do": "hang"}))]);
    let (damaged, later) = (house.submit(hangs()).await, house.submit(hangs()).await);
    house.until(later, "its stage", |view| view.status == Status::Running).await;
    respell(&house.store, damaged, "{\"id\": 3", None).await;
    respell(&house.store, later, r#"{"definition": {"stages": {}}}"#, Some(99)).await;
    let house = house.crash().await;
    patiently("the look at them", async {
        while house.handle().stranded() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let other = house.submit(pipeline(vec![stage("b", &[])])).await;
    assert_eq!(house.until_complete(other).await.status, Status::Succeeded, "others go on");
    // The lists don't read documents.
    let listed = house.store.executions(crate::store::ExecutionFilter::default()).await.expect("reads").items;
    assert_eq!(listed.iter().filter(|one| one.status == Status::Running).count(), 2);
    let why = async |id| house.handle().view(id).await.expect_err("can't be read").to_string();
    let (of_damaged, of_later) = (why(damaged).await, why(later).await);
    assert!(of_damaged.contains("restore it from a backup"), "{of_damaged}");
    assert!(of_later.contains("a later Longboat") && of_later.contains("version 99"), "{of_later}");
    let cancelled = house.handle().cancel(later, "ann", None).await;
    assert!(cancelled.is_err(), "nothing is written about what isn't understood");
}
