//! Duties: writes that hold as long as a term does, and doubts about what was sent.

use std::time::Duration;

use super::Fixture;
use super::sample::{settlement, status};
use crate::store::{Duty, Settlement, Store, StoreError, Term};

async fn take(store: &Store, duty: Duty) -> Term {
    let name = duty.as_str();
    let epoch = store.write(move |tx| {
        Box::pin(async move {
            Ok(sqlx::query_scalar(
                "INSERT INTO duty (duty, owner, epoch) VALUES ($1, 'somebody', 1) \
                 ON CONFLICT (duty) DO UPDATE SET epoch = duty.epoch + 1 RETURNING epoch",
            )
            .bind(name)
            .fetch_one(&mut tx.connection)
            .await?)
        })
    });
    Term::shared(duty, epoch.await.expect("taken"))
}

fn said(context: &str, text: &str) -> Settlement {
    Settlement { messages: vec![status(context, text).into()], ..settlement(None, 1) }
}

pub(super) async fn what_is_written_after_the_end_of_a_term_is_refused(fixture: Fixture) {
    let store = fixture.open().await;
    let first = store.for_duty(take(&store, Duty::Triggers).await);
    first.settle(said("one", "in time")).await.expect("the term holds");
    let second = store.for_duty(take(&store, Duty::Triggers).await);
    // The first one is stopped, and goes on.
    let late = first.settle(said("two", "too late")).await;
    assert!(matches!(late, Err(StoreError::Fenced)), "{late:?}");
    assert_eq!(store.outbox_waiting().await.expect("reads"), 1, "nothing of it is there");
    second.settle(said("three", "by the one who has it")).await.expect("the term holds");
    // Other duties, and what needs none, don't mind.
    store.for_duty(take(&store, Duty::Reports).await).settle(said("four", "another duty")).await.expect("it holds");
    store.settle(said("five", "no duty")).await.expect("it holds");
    // In one transaction with others, it is refused alone.
    let (stale, good) = tokio::join!(first.settle(said("six", "too late")), second.settle(said("seven", "good")));
    assert!(matches!(stale, Err(StoreError::Fenced)) && good.is_ok());
}

pub(super) async fn a_doubted_message_is_said_once_more_after_a_look(fixture: Fixture) {
    let store = fixture.open().await;
    let context = "longboat/validate";
    store.settle(said(context, "Checking")).await.expect("settles");
    let checking = store.due_outbox(10).await.expect("reads").remove(0);
    store.outbox_sent(&[checking.id]).await.expect("writes");
    store.settle(said(context, "1 pipeline valid")).await.expect("settles");
    let valid = store.due_outbox(10).await.expect("reads").remove(0);
    assert!(!valid.look_first);
    store.outbox_sent(&[valid.id]).await.expect("writes");
    // Somebody's request of the first one may still be under way.
    let at = fixture.clock.now().plus(Duration::from_secs(10));
    store.doubt_messages(&[checking.id], at).await.expect("writes");
    assert_eq!(store.due_outbox(10).await.expect("reads"), [], "not yet");
    fixture.clock.advance(Duration::from_secs(10));
    let due = store.due_outbox(10).await.expect("reads");
    let [again] = due.as_slice() else { panic!("one row: {due:?}") };
    assert!(again.look_first && !again.newer);
    assert_eq!((&again.message, &again.order_key), (&valid.message, &valid.order_key), "the last word");
}
