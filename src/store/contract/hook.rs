//! The inbox of custom webhooks.

use std::time::Duration;

use serde_json::json;

use super::Fixture;
use super::sample::{application, pipeline, pipeline_name, publication, quiet_run, settlement};
use crate::model::{ExecutionId, NewExecution};
use crate::store::{Hook, HookAccepted, Publication, Settlement, Store};

async fn accept(store: &Store, source: &str, delivery: &str) -> HookAccepted {
    store.accept_hook(source.to_owned(), delivery.to_owned(), json!({"n": 1})).await.expect("written")
}

pub(super) async fn a_delivery_is_taken_up_once_and_survives(fixture: Fixture) {
    let store = fixture.open().await;
    let mut heard = store.chores_changed::<Hook>();
    heard.mark_unchanged();
    assert_eq!(accept(&store, "nightly", "a").await, HookAccepted::New);
    assert!(heard.has_changed().expect("open"));
    assert_eq!(accept(&store, "nightly", "a").await, HookAccepted::Duplicate);
    assert_eq!(accept(&store, "other", "a").await, HookAccepted::New, "each source counts for itself");
    store.close().await;
    let store = fixture.open().await;
    let due = store.due::<Hook>(10).await.expect("read");
    assert_eq!(due.iter().map(|hook| hook.source.as_str()).collect::<Vec<_>>(), ["nightly", "other"]);
    assert_eq!((&due[0].payload, due[0].attempts), (&json!({"n": 1}), 0));

    let start = || NewExecution { id: ExecutionId::generate(), ..quiet_run() };
    assert_eq!(store.end_chore(&due[0], vec![start()], Vec::new()).await.expect("written").len(), 1);
    assert_eq!(store.end_chore(&due[0], vec![start()], Vec::new()).await.expect("written").len(), 0);
    assert_eq!(accept(&store, "nightly", "a").await, HookAccepted::Duplicate, "what is done is known");
    let later = fixture.clock.now().plus(Duration::from_secs(5));
    store.put_off(&due[1], later).await.expect("written");
    assert_eq!(store.due::<Hook>(10).await.expect("read"), []);
    assert_eq!(store.next_due::<Hook>().await.expect("read"), Some(later));
    // A week later it is forgotten.
    fixture.clock.advance(Duration::from_secs(7 * 24 * 3600 + 1));
    assert_eq!(accept(&store, "nightly", "b").await, HookAccepted::New);
    assert_eq!(accept(&store, "nightly", "a").await, HookAccepted::New);
    assert_eq!(accept(&store, "other", "a").await, HookAccepted::Duplicate, "what waits isn't");
}

pub(super) async fn a_source_that_sends_too_much_is_held_up(fixture: Fixture) {
    let store = fixture.open().await;
    for number in 0..1000 {
        assert_eq!(accept(&store, "nightly", &number.to_string()).await, HookAccepted::New);
    }
    assert_eq!(accept(&store, "nightly", "more").await, HookAccepted::Full);
    assert_eq!(accept(&store, "other", "more").await, HookAccepted::New);
}

pub(super) async fn who_listens_to_a_source_is_known(fixture: Fixture) {
    let store = fixture.open().await;
    let mut deploy = pipeline("shop", "deploy");
    deploy.triggers = serde_json::from_value(json!([{"type": "webhook", "source": "nightly"}])).expect("triggers");
    let publish = vec![Publication { pipelines: vec![deploy], ..publication("shop", "acme/shop", &[], 1) }];
    store.settle(Settlement { publish, ..settlement(None, 1) }).await.expect("settles");
    let listeners = store.hook_listeners("nightly").await.expect("read");
    assert_eq!(listeners, [(application("shop"), pipeline_name("deploy"))]);
    assert_eq!(store.hook_listeners("other").await.expect("read"), []);
}
