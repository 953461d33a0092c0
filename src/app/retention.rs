//! How executions that ended long ago lose their details (journal, parameters, outputs, logs, and what a webhook or another
//! execution gave them), and how rows go that nobody needs any more. One after the other, each in a commit that others
//! share, so that the engine hardly notices.

use std::time::Duration;

use serde_json::Map;
use tokio_util::sync::CancellationToken;

use super::shared::Left;
use crate::clock::{Clock, Timestamp};
use crate::config::Retention;
use crate::engine;
use crate::model::{Artifacts, ExecutionId, ExecutionView, NewExecution};
use crate::stage;
use crate::store::{self, Compaction, Stale, Store};

/// The pause between two looks.
const LOOK: Duration = Duration::from_secs(600);
/// The pause after each execution, and after each step through a table.
const PAUSE: Duration = Duration::from_millis(5);
/// For how long pushes and deliveries are known at least, so that one that is sent again starts nothing. The forges
/// send again what is a few days old at most.
const KNOWN: Duration = Duration::from_secs(7 * 24 * 3600);
/// How many executions of a pipeline are asked for at once.
const STEP: u32 = 100;
/// How much of a stage's error stays, in characters.
const ERROR: usize = 1000;
/// How many artifacts stay, so that later executions find them.
const ARTIFACTS: usize = 100;

/// Keeps the database and the folder of logs small until it is stopped.
pub(super) async fn keep_small(store: Store, clock: Clock, left: Left, rule: Retention, stop: CancellationToken) {
    let work = async {
        if let Err(error) = remove_orphans(&store, &left).await {
            tracing::warn!(%error, "some logs of executions without details could not be removed");
        }
        loop {
            match pass(&store, &clock, &left, rule).await {
                Ok(0) => {}
                Ok(count) => tracing::info!(count, "executions that ended long ago have lost their details"),
                Err(error) => tracing::warn!(%error, "details of old executions could not be dropped; trying again"),
            }
            clock.sleep(LOOK).await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}

/// Removes the logs of executions that have lost their details and, because of a crash, not their logs.
async fn remove_orphans(store: &Store, left: &Left) -> anyhow::Result<()> {
    for logs in stage::logged_executions(&left.state_dir, left.store()).await? {
        if store.execution(logs).await?.is_some_and(|stored| stored.summary.is_some()) {
            left.remove_logs(logs).await?;
        }
    }
    Ok(())
}

/// Looks at everything once; yields how many executions have lost their details.
async fn pass(store: &Store, clock: &Clock, left: &Left, rule: Retention) -> anyhow::Result<usize> {
    let ended_before = clock.now().minus(rule.details);
    let count = drop_all_details(store, clock, left, rule, ended_before).await?;
    for what in Stale::ALL {
        let before = match what {
            Stale::Inbox | Stale::Deliveries => ended_before.min(clock.now().minus(KNOWN)),
            Stale::Messages | Stale::Findings | Stale::Revisions => ended_before,
        };
        let (mut after, mut dropped) = (0, 0);
        loop {
            let step = store.prune(what, after, before).await?;
            dropped += step.count;
            let Some(next) = step.next else { break };
            after = next;
            pause().await;
        }
        if dropped > 0 {
            tracing::info!(?what, count = dropped, "rows that nobody needs any more were dropped");
        }
    }
    Ok(count)
}

async fn drop_all_details(
    store: &Store,
    clock: &Clock,
    left: &Left,
    rule: Retention,
    ended_before: Timestamp,
) -> anyhow::Result<usize> {
    let rule = store::Retention { newest: rule.newest, most: rule.most, ended_before };
    let mut count = 0;
    for (application, pipeline) in store.pipelines_with_details().await? {
        loop {
            let outlived = store.outlived((&application, &pipeline), rule, STEP).await?;
            let mut dropped = 0;
            for id in &outlived {
                if drop_details(store, clock, id).await? {
                    left.remove_logs(*id).await?;
                    dropped += 1;
                }
                pause().await;
            }
            count += dropped;
            // What could not be done now is looked at again next time.
            if outlived.len() < STEP as usize || dropped == 0 {
                break;
            }
        }
    }
    Ok(count)
}

/// Leaves the database to others for a moment; by the machine's clock, since it is the machine that needs it.
async fn pause() {
    tokio::time::sleep(PAUSE).await;
}

async fn drop_details(store: &Store, clock: &Clock, id: &ExecutionId) -> anyhow::Result<bool> {
    let Some(stored) = store.execution(*id).await? else { return Ok(false) };
    let Some(view) = engine::stored_view(store, *id).await? else { return Ok(false) };
    let mut summary = summary(view);
    summary.compacted_time = Some(clock.now());
    let (key, seq) = (stored.execution.key, stored.seq);
    Ok(store.compact(Compaction { key, seq, summary, info: without_details(stored.execution.info) }).await?)
}

/// What is shown of an execution without its details. The artifacts are kept, for those that look for them later.
fn summary(mut view: ExecutionView) -> ExecutionView {
    let mut artifacts = engine::produced(&view);
    artifacts.truncate(ARTIFACTS);
    view.artifacts = Artifacts { artifacts, ..Artifacts::default() };
    view.parameters = Map::new();
    view.trigger = view.trigger.in_short();
    for stage in &mut view.stages {
        stage.outputs = Map::new();
        stage.context = Map::new();
        if let Some(error) = &mut stage.error
            && let Some((cut, _)) = error.char_indices().nth(ERROR)
        {
            error.truncate(cut);
            error.push('…');
        }
    }
    view
}

fn without_details(mut info: NewExecution) -> NewExecution {
    info.parameters = Map::new();
    info.trigger = info.trigger.in_short();
    info.artifacts = Artifacts::default();
    info.pipeline.description = None;
    info.pipeline.parameters = Vec::new();
    info.pipeline.triggers = Vec::new();
    info.pipeline.expected_artifacts = Vec::new();
    info.pipeline.stages = Vec::new();
    info
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::{Cause, CauseKind, ExecutionKey, ParentExecution, Status};
    use crate::store::{Append, Created, ExecutionFilter, Shard};
    use crate::trigger::sample;

    const DAY: Duration = Duration::from_secs(24 * 3600);
    const SECRETIVE: &str = "told-by-a-stranger";

    /// Started by another pipeline that a webhook started, each of which said much.
    fn cause() -> Cause {
        let parent: ParentExecution = serde_json::from_value(json!({
            "id": ExecutionId::generate(), "application": "shop", "pipeline": "build", "status": "SUCCEEDED",
            "repository": null, "branch": "main", "commit": null, "parameters": {"version": SECRETIVE},
            "stages": {"a": {"status": "SUCCEEDED", "outputs": {"image": SECRETIVE}}}, "depth": 1, "root": "webhook",
        }))
        .expect("an execution");
        Cause {
            kind: CauseKind::Pipeline,
            payload: Some(json!({"text": SECRETIVE})),
            parent_execution: Some(Box::new(parent)),
            actor: Some("ann".to_owned()),
            ..Cause::default()
        }
    }

    async fn ended(store: &Store, clock: &Clock) -> (ExecutionKey, ExecutionId) {
        let new = NewExecution {
            id: ExecutionId::generate(),
            pipeline: sample::pipeline("shop", "deploy", json!([])),
            revision: None,
            parameters: Map::from_iter([("version".to_owned(), json!(SECRETIVE))]),
            trigger: cause(),
            repository: None,
            commit: None,
            report: None,
            artifacts: Artifacts::default(),
            correlation_id: None,
            created_at: clock.now(),
        };
        let id = new.id;
        let Created::New(key) = store.create(new).await.expect("stored") else { panic!("new") };
        let row = Append {
            key,
            shard: Shard::of_key(key),
            seq: 1,
            at: clock.now(),
            body: "{}".to_owned(),
            status: Status::Succeeded,
            due_at: None,
            started_at: Some(clock.now()),
            ended_at: Some(clock.now()),
            report: None,
            revives: false,
        };
        store.append(vec![row]).await.expect("written");
        (key, id)
    }

    #[tokio::test]
    async fn a_pass_leaves_who_and_why_and_nothing_that_they_said() {
        let clock = Clock::manual(Timestamp::from_millis(1_700_000_000_000));
        let store = Store::temporary(clock.clone()).await.expect("opens");
        let state = tempfile::tempdir().expect("a folder");
        let (old_key, old) = ended(&store, &clock).await;
        clock.advance(DAY * 40);
        let (young_key, young) = ended(&store, &clock).await;
        let logs = |id: ExecutionId| state.path().join("logs").join(id.to_string());
        for id in [old, young] {
            std::fs::create_dir_all(logs(id)).expect("made");
        }
        let listed = store.executions(ExecutionFilter::default()).await.expect("reads").items;
        let rule = Retention { details: DAY * 30, newest: 0, most: 500 };
        let here = Left { state_dir: state.path().to_owned(), shipper: None };
        assert_eq!(pass(&store, &clock, &here, rule).await.expect("passes"), 1);
        assert_eq!(pass(&store, &clock, &here, rule).await.expect("passes"), 0, "it is done");

        let left = store.execution(old).await.expect("reads").expect("there");
        let summary = left.summary.expect("a summary");
        assert_eq!(summary.compacted_time, Some(clock.now()));
        assert_eq!(store.journal(old_key).await.expect("reads"), []);
        for (what, text) in [
            ("the summary", serde_json::to_string(&*summary).expect("JSON")),
            ("the document", serde_json::to_string(&left.execution.info).expect("JSON")),
        ] {
            assert!(!text.contains(SECRETIVE), "{what} still has it: {text}");
        }
        let parent = left.execution.info.trigger.parent_execution.expect("it is known what started it");
        assert_eq!((parent.pipeline.as_str(), summary.trigger.actor.as_deref()), ("build", Some("ann")));

        let whole = store.execution(young).await.expect("reads").expect("there");
        assert!(whole.summary.is_none() && whole.execution.info.trigger.payload.is_some());
        assert_eq!(store.journal(young_key).await.expect("reads").len(), 1);
        assert_eq!([logs(old).exists(), logs(young).exists()], [false, true]);
        assert_eq!(store.executions(ExecutionFilter::default()).await.expect("reads").items, listed);
    }
}
