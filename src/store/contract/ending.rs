//! Ends of executions that start others.

use std::time::Duration;

use serde_json::json;

use super::Fixture;
use super::sample::{
    append, application, created, finish, pipeline, pipeline_name, publication, quiet_run, repository, settlement,
};
use crate::model::{ExecutionId, NewExecution, Status, Trigger};
use crate::store::{Ending, Publication, Settlement, Store};

/// Publishes `bank/after`, which listens to these.
async fn listen(store: &Store, to: serde_json::Value) {
    let triggers: Vec<Trigger> = serde_json::from_value(to).expect("triggers");
    let mut after = pipeline("bank", "after");
    after.triggers = triggers;
    let publication = Publication { pipelines: vec![after], ..publication("bank", "acme/shop", &[], 1) };
    store.settle(Settlement { publish: vec![publication], ..settlement(None, 1) }).await.expect("settles");
}

async fn endings(store: &Store) -> Vec<Ending> {
    store.due::<Ending>(100).await.expect("read")
}

pub(super) async fn an_end_that_somebody_listens_to_is_noted_with_it(fixture: Fixture) {
    let store = fixture.open().await;
    let before = created(&store, quiet_run()).await;
    finish(&store, before, 1).await;
    assert_eq!(endings(&store).await, [], "nobody listens yet");
    listen(&store, json!([{"type": "pipeline", "application": "shop", "pipeline": "deploy"}])).await;
    let listeners = store.listeners(&pipeline("shop", "deploy")).await.expect("read");
    assert_eq!(listeners, [(application("bank"), pipeline_name("after"))]);
    assert_eq!(store.listeners(&pipeline("bank", "deploy")).await.expect("read"), []);

    let mut heard = store.chores_changed::<Ending>();
    heard.mark_unchanged();
    let of_another = NewExecution { pipeline: pipeline("shop", "test"), ..quiet_run() };
    let (deploy, other) = (created(&store, quiet_run()).await, created(&store, of_another).await);
    store.append(vec![append(deploy, 1, Status::Running), append(other, 1, Status::Succeeded)]).await.expect("appends");
    assert_eq!(endings(&store).await, [], "neither has `deploy` ended");
    assert!(!heard.has_changed().expect("open"));
    store.append(vec![append(deploy, 2, Status::Running), append(deploy, 3, Status::Terminal)]).await.expect("appends");
    assert!(heard.has_changed().expect("open"));
    let noted = endings(&store).await;
    let [ending] = noted.as_slice() else { panic!("one: {noted:?}") };
    assert_eq!((ending.execution, ending.seq, ending.status), (deploy, 3, Status::Terminal));
    store.close().await;
    let store = fixture.open().await;
    assert_eq!(endings(&store).await, noted, "it survives");
}

pub(super) async fn an_end_is_worked_off_once(fixture: Fixture) {
    let store = fixture.open().await;
    listen(&store, json!([{"type": "pipeline", "application": "shop", "pipeline": "deploy"}])).await;
    let key = created(&store, quiet_run()).await;
    finish(&store, key, 1).await;
    let ending = endings(&store).await.pop().expect("one");
    let later = fixture.clock.now().plus(Duration::from_secs(5));
    store.put_off(&ending, later).await.expect("written");
    assert_eq!((endings(&store).await, store.next_due::<Ending>().await.expect("read")), (Vec::new(), Some(later)));
    fixture.clock.advance(Duration::from_secs(5));
    assert_eq!(endings(&store).await[0].attempts, 1);
    let start = || NewExecution {
        id: ExecutionId::generate(),
        pipeline: pipeline("bank", "after"),
        correlation_id: Some("end".to_owned()),
        ..quiet_run()
    };
    assert_eq!(store.end_chore(&ending, vec![start()], Vec::new()).await.expect("written").len(), 1);
    assert_eq!(store.end_chore(&ending, vec![start()], Vec::new()).await.expect("written").len(), 0);
    assert_eq!((endings(&store).await, store.next_due::<Ending>().await.expect("read")), (Vec::new(), None));
    assert_eq!(store.live().await.expect("read").len(), 1);
}

pub(super) async fn who_listens_goes_with_what_is_in_force(fixture: Fixture) {
    let store = fixture.open().await;
    let deploy = pipeline("shop", "deploy");
    // By its id, without an application.
    listen(&store, json!([{"type": "pipeline", "pipeline": deploy.id.to_string()}])).await;
    assert_eq!(store.listeners(&deploy).await.expect("read").len(), 1);
    let first = created(&store, quiet_run()).await;
    finish(&store, first, 1).await;
    assert_eq!(endings(&store).await.len(), 1);

    listen(&store, json!([])).await;
    assert_eq!(store.listeners(&deploy).await.expect("read"), []);
    listen(&store, json!([{"type": "pipeline", "pipeline": "deploy"}])).await;
    assert_eq!(store.listeners(&deploy).await.expect("read"), [], "its own application's is meant");
    listen(&store, json!([{"type": "pipeline", "application": "shop", "pipeline": "deploy"}])).await;
    assert_eq!(store.listeners(&deploy).await.expect("read").len(), 1);
    let withdrawal = Settlement { withdraw: vec![application("bank")], ..settlement(None, 2) };
    assert_eq!(withdrawal.repository, repository("acme/shop"));
    store.settle(withdrawal).await.expect("settles");
    assert_eq!(store.listeners(&deploy).await.expect("read"), []);
    let last = created(&store, NewExecution { id: ExecutionId::generate(), ..quiet_run() }).await;
    finish(&store, last, 1).await;
    assert_eq!(endings(&store).await.len(), 1, "only the first");
}
