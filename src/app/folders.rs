//! How the folders of executions that have ended go away: workspaces at once, saved files after a while.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::engine::Handle;
use crate::model::ExecutionId;
use crate::stage::{self, FolderLocks};
use crate::store::{Store, StoreError};

/// The pause between two looks at what has been saved.
const LOOK: Duration = Duration::from_secs(600);

/// Removes the workspaces of executions that ended while nobody could remove them.
pub(super) async fn remove_leftovers(store: &Store, state_dir: &Path) {
    // Better a folder too many than one too few.
    let Ok((live, _)) = live(store).await else { return };
    if let Err(error) = stage::sweep(state_dir, live).await {
        tracing::warn!(%error, "some workspaces of ended executions could not be removed");
    }
}

/// The executions that run, and those whose stages started them.
async fn live(store: &Store) -> Result<(HashSet<ExecutionId>, HashSet<ExecutionId>), StoreError> {
    let (mut live, mut parents) = (HashSet::new(), HashSet::new());
    for execution in store.live().await? {
        if let Some(stored) = store.execution_by_key(execution.key).await? {
            live.insert(stored.execution.info.id);
            parents.extend(stored.execution.info.trigger.parent.map(|parent| parent.execution));
        }
    }
    Ok((live, parents))
}

/// Removes the workspace of each execution when it has ended.
pub(super) async fn forget_ended(
    engine: Handle,
    store: Store,
    state_dir: PathBuf,
    locks: FolderLocks,
    stop: CancellationToken,
) {
    let mut changes = engine.subscribe();
    loop {
        let change = tokio::select! {
            () = stop.cancelled() => return,
            change = changes.recv() => change,
        };
        match change {
            Ok(change) if change.status.is_complete() => {
                let is_over = async {
                    let there = store.execution(change.id).await;
                    there.is_ok_and(|there| there.is_none_or(|there| there.status.is_complete()))
                };
                if let Err(error) = stage::forget(&state_dir, change.id, &locks, is_over).await {
                    tracing::warn!(execution.id = %change.id, %error, "the workspace could not be removed");
                }
            }
            // What was missed is removed at the next start.
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

/// Removes what executions have saved for their later stages, when they ended `keep` ago and nothing that they started
/// runs.
pub(super) async fn forget_saved(
    store: Store,
    clock: Clock,
    state_dir: PathBuf,
    keep: Duration,
    stop: CancellationToken,
) {
    loop {
        if let Err(error) = sweep_saved(&store, &clock, &state_dir, keep).await {
            tracing::warn!(%error, "saved files of ended executions could not be removed; trying again");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = clock.sleep(LOOK) => {}
        }
    }
}

async fn sweep_saved(store: &Store, clock: &Clock, state_dir: &Path, keep: Duration) -> anyhow::Result<()> {
    let mut over = Vec::new();
    for saved in stage::saved_executions(state_dir).await? {
        let ended_long_ago = match store.execution(saved.execution).await? {
            Some(stored) => stored.ended_at.is_some_and(|ended| ended.plus(keep) <= clock.now()),
            None => true,
        };
        if ended_long_ago {
            over.push(saved);
        }
    }
    if over.is_empty() {
        return Ok(());
    }
    let (live, parents) = live(store).await?;
    for saved in
        over.into_iter().filter(|saved| !live.contains(&saved.execution) && !parents.contains(&saved.execution))
    {
        saved.remove().await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::model::{Cause, CauseKind, NewExecution, Parent, Status};
    use crate::store::{Append, Created, Shard};
    use crate::trigger::sample;

    async fn created(store: &Store, parent: Option<ExecutionId>) -> (ExecutionId, crate::model::ExecutionKey) {
        let parent = parent.map(|execution| Parent {
            execution,
            stage: "sub".parse().expect("a path"),
            application: "shop".parse().expect("a name"),
            pipeline: "deploy".parse().expect("a name"),
            root: CauseKind::Git,
            files: Vec::new(),
            awaited_by: Vec::new(),
        });
        let new = NewExecution {
            id: ExecutionId::generate(),
            pipeline: sample::pipeline("shop", "deploy", serde_json::json!([])),
            revision: None,
            parameters: serde_json::Map::new(),
            trigger: Cause { parent, ..Cause::default() },
            repository: None,
            commit: None,
            report: None,
            artifacts: crate::model::Artifacts::default(),
            correlation_id: None,
            created_at: Timestamp::from_millis(0),
        };
        let id = new.id;
        let Created::New(key) = store.create(new).await.expect("stored") else { panic!("new") };
        (id, key)
    }

    async fn ended(store: &Store, key: crate::model::ExecutionKey, at: Timestamp) {
        let row = Append {
            key,
            shard: Shard::of_key(key),
            seq: 1,
            at,
            body: "{}".to_owned(),
            status: Status::Succeeded,
            due_at: None,
            started_at: Some(at),
            ended_at: Some(at),
            report: None,
            revives: false,
        };
        store.append(vec![row]).await.expect("written");
    }

    #[tokio::test]
    async fn saved_files_go_a_while_after_the_end_and_not_under_a_child_that_runs() {
        let clock = Clock::manual(Timestamp::from_millis(1_700_000_000_000));
        let store = Store::temporary(clock.clone()).await.expect("opens");
        let state = tempfile::tempdir().expect("a folder");
        let (running, _) = created(&store, None).await;
        let (done, key) = created(&store, None).await;
        ended(&store, key, clock.now()).await;
        let (parent, key) = created(&store, None).await;
        ended(&store, key, clock.now()).await;
        let (_, child) = created(&store, Some(parent)).await;
        let stranger = ExecutionId::generate();
        let dir = |id: ExecutionId| state.path().join("files").join(id.to_string()).join("build");
        for id in [running, done, parent, stranger] {
            std::fs::create_dir_all(dir(id)).expect("made");
        }
        std::fs::create_dir_all(state.path().join("files/notes")).expect("made");
        let day = Duration::from_secs(86_400);
        let kept = || [running, done, parent, stranger].map(|id| dir(id).exists());
        let sweep = || async { sweep_saved(&store, &clock, state.path(), day).await.expect("swept") };
        clock.advance(day - Duration::from_secs(1));
        sweep().await;
        assert_eq!(kept(), [true, true, true, false], "what nobody knows goes at once");
        clock.advance(Duration::from_secs(1));
        sweep().await;
        assert_eq!(kept(), [true, false, true, false]);
        ended(&store, child, clock.now()).await;
        sweep().await;
        assert_eq!(kept(), [true, false, false, false]);
        assert!(state.path().join("files/notes").exists());
    }
}
