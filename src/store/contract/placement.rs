//! Where attempts of scripts were begun.

use uuid::Uuid;

use super::Fixture;
use super::sample::{created, finish, quiet_run};
use crate::model::ExecutionKey;
use crate::store::Placement;

fn placement(execution: ExecutionKey, attempt: u32, node: Uuid, replica: &str) -> Placement {
    Placement { execution, stage: "deploy[eu]".parse().expect("a path"), attempt, node, replica: replica.to_owned() }
}

pub(super) async fn an_attempt_is_with_whoever_asked_first(fixture: Fixture) {
    let store = fixture.open().await;
    let key = created(&store, quiet_run()).await;
    let (one, other) = (Uuid::now_v7(), Uuid::now_v7());
    let stage = "deploy[eu]".parse().expect("a path");
    assert_eq!(store.placed(key, &stage, 1).await.expect("reads"), None);
    let first = store.place(placement(key, 1, one, "a")).await.expect("placed");
    assert_eq!((first.node, first.replica.as_str(), first.at), (one, "a", fixture.clock.now()));
    for (node, replica) in [(other, "b"), (one, "a, started anew")] {
        assert_eq!(store.place(placement(key, 1, node, replica)).await.expect("asked"), first);
    }
    assert_eq!(store.place(placement(key, 2, other, "b")).await.expect("placed").node, other);
    store.close().await;

    let store = fixture.open().await;
    assert_eq!(store.placed(key, &stage, 1).await.expect("reads"), Some(first));
    finish(&store, key, 1).await;
    assert!(store.placed(key, &stage, 2).await.expect("reads").is_some(), "a restart may still ask");
}
