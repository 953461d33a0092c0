//! How executions that ended long ago lose their details: journal, parameters, outputs and logs. One after the other, each
//! in a commit that others share, so that the engine hardly notices.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Map;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::Retention;
use crate::engine;
use crate::model::{Artifacts, ExecutionId, ExecutionView, NewExecution};
use crate::stage;
use crate::store::{self, Compaction, Store};

/// The pause between two looks.
const LOOK: Duration = Duration::from_secs(600);
/// The pause after each execution.
const PAUSE: Duration = Duration::from_millis(5);
/// How many executions of a pipeline are asked for at once.
const STEP: u32 = 100;
/// How much of a stage's error stays, in characters.
const ERROR: usize = 1000;
/// How many artifacts stay, so that later executions find them.
const ARTIFACTS: usize = 100;

/// Keeps the database and the folder of logs small until it is stopped.
pub(super) async fn keep_small(
    store: Store,
    clock: Clock,
    state_dir: PathBuf,
    rule: Retention,
    stop: CancellationToken,
) {
    let work = async {
        if let Err(error) = remove_orphans(&store, &state_dir).await {
            tracing::warn!(%error, "some logs of executions without details could not be removed");
        }
        loop {
            match pass(&store, &clock, &state_dir, rule, PAUSE).await {
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
async fn remove_orphans(store: &Store, state_dir: &Path) -> anyhow::Result<()> {
    for logs in stage::logged_executions(state_dir).await? {
        if store.execution(logs).await?.is_some_and(|stored| stored.summary.is_some()) {
            stage::remove_logs(state_dir, logs).await?;
        }
    }
    Ok(())
}

/// Looks at all pipelines once; yields how many executions have lost their details.
async fn pass(
    store: &Store,
    clock: &Clock,
    state_dir: &Path,
    rule: Retention,
    pause: Duration,
) -> anyhow::Result<usize> {
    let ended_before = clock.now().minus(rule.details);
    let rule = store::Retention { newest: rule.newest, most: rule.most, ended_before };
    let mut count = 0;
    for (application, pipeline) in store.pipelines_with_details().await? {
        loop {
            let outlived = store.outlived((&application, &pipeline), rule, STEP).await?;
            let mut dropped = 0;
            for id in &outlived {
                if drop_details(store, clock, id).await? {
                    stage::remove_logs(state_dir, *id).await?;
                    dropped += 1;
                }
                if !pause.is_zero() {
                    clock.sleep(pause).await;
                }
            }
            count += dropped;
            // What could not be done now is looked at again next time.
            if outlived.len() < STEP as usize || dropped == 0 {
                break;
            }
        }
    }
    let mut after = 0;
    while let Some(next) = store.forget_messages(after, ended_before).await? {
        after = next;
        if !pause.is_zero() {
            clock.sleep(pause).await;
        }
    }
    Ok(count)
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
    info.artifacts = Artifacts::default();
    info.pipeline.description = None;
    info.pipeline.parameters = Vec::new();
    info.pipeline.triggers = Vec::new();
    info.pipeline.expected_artifacts = Vec::new();
    info.pipeline.stages = Vec::new();
    info
}
