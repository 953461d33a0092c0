//! Retention.

use std::time::Duration;

use serde_json::json;

use super::Fixture;
use super::sample::{
    append, application, created, finish, pipeline, pipeline_name, publication, quiet_run, settlement,
};
use crate::clock::Timestamp;
use crate::model::{
    ApplicationName, Cause, ExecutionId, ExecutionKey, ExecutionView, NewExecution, Parent, PipelineName, Status,
};
use crate::store::{
    Append, Compaction, Ending, ExecutionFilter, Publication, Retention, Settlement, Shard, Store, StoredExecution,
};

fn deploy() -> (ApplicationName, PipelineName) {
    (application("shop"), pipeline_name("deploy"))
}

async fn outlived(store: &Store, newest: u32, most: u32, ended_before: i64) -> Vec<ExecutionId> {
    let (application, pipeline) = deploy();
    let rule = Retention { newest, most, ended_before: Timestamp::from_millis(ended_before) };
    store.outlived((&application, &pipeline), rule, 100).await.expect("reads")
}

/// An execution that ended at that time.
async fn ended(store: &Store, at: i64) -> (ExecutionKey, ExecutionId) {
    let new = quiet_run();
    let id = new.id;
    let key = created(store, new).await;
    let ended_at = Some(Timestamp::from_millis(at));
    store.append(vec![Append { ended_at, ..append(key, 1, Status::Succeeded) }]).await.expect("appends");
    (key, id)
}

/// What is left of an execution.
pub(super) fn summary(stored: &StoredExecution) -> ExecutionView {
    let info = &stored.execution.info;
    serde_json::from_value(json!({
        "id": info.id, "application": "shop", "pipeline": "deploy", "status": stored.status,
        "description": "Succeeded in 2s", "repository": null, "commit": null, "trigger": info.trigger,
        "parameters": {}, "createdTime": "2026-11-21T10:00:00Z", "startTime": null, "endTime": null,
        "canceledBy": null, "compactedTime": "2026-12-21T10:00:00Z", "restarts": [], "children": [], "stages": []
    }))
    .expect("a view")
}

fn compaction(stored: &StoredExecution) -> Compaction {
    let info = NewExecution { parameters: serde_json::Map::new(), ..stored.execution.info.clone() };
    Compaction { key: stored.execution.key, seq: stored.seq, summary: summary(stored), info }
}

pub(super) async fn the_newest_keep_their_details_and_old_or_many_lose_them(fixture: Fixture) {
    let store = fixture.open().await;
    let mut ids = Vec::new();
    for at in 1..=6 {
        ids.push(ended(&store, at * 1000).await.1);
    }
    let running = quiet_run();
    let parent = running.id;
    let live = created(&store, running).await;
    store.append(vec![append(live, 1, Status::Running)]).await.expect("appends");
    assert_eq!(store.pipelines_with_details().await.expect("reads"), [deploy()]);
    assert_eq!(outlived(&store, 0, 100, 3000).await, ids[..3], "what is old");
    assert_eq!(outlived(&store, 6, 100, 9000).await, ids[..1], "the newest stay; the running one is one of them");
    assert_eq!(outlived(&store, 0, 3, 0).await, ids[..4], "no more than three, the running one is one of them");
    assert_eq!(outlived(&store, 5, 3, 0).await, ids[..2], "the newest stay in any case");
    assert_eq!(outlived(&store, 100, 100, 9000).await, [], "there are fewer than that");

    // What a running execution started may still be asked for.
    let cause = Cause {
        parent: Some(Parent {
            execution: parent,
            stage: "child".parse().expect("a path"),
            application: application("shop"),
            pipeline: pipeline_name("deploy"),
            root: crate::model::CauseKind::Git,
            files: Vec::new(),
            awaited_by: Vec::new(),
        }),
        ..Cause::default()
    };
    let child = NewExecution { trigger: cause, ..quiet_run() };
    let child_id = child.id;
    let key = created(&store, child).await;
    finish(&store, key, 1).await;
    assert!(!outlived(&store, 0, 100, i64::MAX).await.contains(&child_id));
    finish(&store, live, 2).await;
    assert!(outlived(&store, 0, 100, i64::MAX).await.contains(&child_id));
}

pub(super) async fn a_summary_takes_the_place_of_the_details(fixture: Fixture) {
    let store = fixture.open().await;
    let (key, id) = ended(&store, 1000).await;
    let whole = store.execution(id).await.expect("reads").expect("there");
    assert!(whole.summary.is_none());
    let later = Compaction { seq: 2, ..compaction(&whole) };
    assert!(!store.compact(later).await.expect("answers"), "it went on meanwhile");
    let new = quiet_run();
    let running_id = new.id;
    let running = created(&store, new).await;
    store.append(vec![append(running, 1, Status::Running)]).await.expect("appends");
    let live = store.execution(running_id).await.expect("reads").expect("there");
    assert!(!store.compact(compaction(&live)).await.expect("answers"), "it runs");

    assert!(store.keep_details(key).await.expect("kept"));
    assert!(!store.compact(compaction(&whole)).await.expect("answers"), "somebody is about to restart it");
    fixture.clock.advance(Duration::from_secs(3600));
    assert!(store.compact(compaction(&whole)).await.expect("compacted"));
    assert!(!store.compact(compaction(&whole)).await.expect("answers"), "once is enough");
    assert!(!store.keep_details(key).await.expect("answers"), "there is nothing to keep");
    store.close().await;

    let store = fixture.open().await;
    let left = store.execution(id).await.expect("reads").expect("there");
    assert_eq!(left.summary.map(|summary| summary.description).as_deref(), Some("Succeeded in 2s"));
    assert_eq!((left.status, left.seq), (Status::Succeeded, 1));
    assert_eq!(store.journal(key).await.expect("reads"), []);
    assert_eq!(store.journal(running).await.expect("reads").len(), 1);
    let listed = store.executions(ExecutionFilter::default()).await.expect("reads").items;
    assert_eq!(listed.iter().map(|one| one.key).collect::<Vec<_>>(), [running, key]);
}

pub(super) async fn an_end_that_waits_to_be_worked_off_keeps_the_details(fixture: Fixture) {
    let store = fixture.open().await;
    let triggers = json!([{"type": "pipeline", "application": "shop", "pipeline": "deploy"}]);
    let mut after = pipeline("bank", "after");
    after.triggers = serde_json::from_value(triggers).expect("triggers");
    let publication = Publication { pipelines: vec![after], ..publication("bank", "acme/shop", &[], 1) };
    store.settle(Settlement { publish: vec![publication], ..settlement(None, 1) }).await.expect("settles");
    let (_, id) = ended(&store, 1000).await;
    let ending = store.due::<Ending>(10).await.expect("read").pop().expect("one");
    assert_eq!(outlived(&store, 0, 1, i64::MAX).await, [], "who listens is still to be told what it yielded");
    let stored = store.execution(id).await.expect("reads").expect("there");
    assert!(!store.compact(compaction(&stored)).await.expect("answers"));
    store.end_chore(&ending, Vec::new(), Vec::new()).await.expect("settles");
    assert_eq!(outlived(&store, 0, 1, i64::MAX).await, [id]);
    assert!(store.compact(compaction(&stored)).await.expect("answers"));
}

pub(super) async fn its_place_in_a_lane_goes_with_the_details(fixture: Fixture) {
    let store = fixture.open().await;
    let mut new = quiet_run();
    new.pipeline.concurrency = serde_json::from_value(json!({"max": 1, "lock": "prod-db"})).expect("a rule");
    let (lane, _) = new.pipeline.lane().expect("a lane");
    let id = new.id;
    let key = created(&store, new).await;
    let rows = async || {
        sqlx::query_scalar::<_, i64>("SELECT execution FROM lane").fetch_all(store.reads()).await.expect("reads")
    };
    let end = Append { shard: Shard::of_lane(&lane), ..append(key, 1, Status::Succeeded) };
    store.append(vec![end]).await.expect("appends");
    assert_eq!(rows().await, [key.0], "it may be restarted");
    let stored = store.execution(id).await.expect("reads").expect("there");
    assert!(store.compact(compaction(&stored)).await.expect("answers"));
    assert_eq!(rows().await, [0; 0]);
}
