//! How the folders of executions that have ended go away: workspaces at once, saved files after a while.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::shared::Left;
use crate::clock::Clock;
use crate::engine::Handle;
use crate::model::ExecutionId;
use crate::stage::{self, FolderLocks};
use crate::store::{Shards, Store};

/// The pause between two looks at what has been saved.
const LOOK: Duration = Duration::from_secs(600);
/// The pause between two looks at workspaces of executions that other replicas may have taken over.
const LOOK_FOR_OTHERS: Duration = Duration::from_secs(5);
/// How long an execution is with nobody at most: what isn't this replica's for longer than that is another's.
const SURELY_ANOTHERS: Duration = Duration::from_secs(15);

/// Removes the workspaces of executions that ended while nobody could remove them.
pub(super) async fn remove_leftovers(store: &Store, state_dir: &Path, locks: &FolderLocks) {
    let removing = async {
        for id in stage::working_executions(state_dir).await? {
            stage::forget(state_dir, id, locks, is_over(store, id)).await?;
        }
        Ok::<_, std::io::Error>(())
    };
    if let Err(error) = removing.await {
        tracing::warn!(%error, "some workspaces of ended executions could not be removed");
    }
}

/// Whether an execution has ended, or never was. Better a folder too many than one too few.
async fn is_over(store: &Store, id: ExecutionId) -> bool {
    store.execution(id).await.is_ok_and(|there| there.is_none_or(|there| there.status.is_complete()))
}

/// Where several replicas share the executions: lets go of those that have gone over to another, and of those that ended
/// there, until it is stopped. The engine does it at once where it can; this makes it sure, also for what a former process
/// began.
pub(super) async fn let_go_of_others(store: Store, state_dir: PathBuf, locks: FolderLocks, stop: CancellationToken) {
    let mut others = Others::default();
    let work = async {
        loop {
            tokio::time::sleep(LOOK_FOR_OTHERS).await;
            let held = store.shards().borrow().held;
            if let Err(error) = others.look(held, tokio::time::Instant::now(), &store, &state_dir, &locks).await {
                tracing::warn!(%error, "scripts of executions that went over to other replicas could not be looked at");
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}

/// The executions with a folder here that are not this replica's.
#[derive(Default)]
struct Others(HashMap<ExecutionId, Other>);

struct Other {
    /// When that was first seen, by a clock that nobody moves.
    since: tokio::time::Instant,
    /// Whether nothing of it runs here any more.
    done: bool,
}

impl Others {
    /// Looks at what lies here while these shards are this replica's.
    async fn look(
        &mut self,
        held: Shards,
        now: tokio::time::Instant,
        store: &Store,
        state_dir: &Path,
        locks: &FolderLocks,
    ) -> anyhow::Result<()> {
        let here = stage::working_executions(state_dir).await?;
        self.0.retain(|id, _| here.contains(id));
        for id in here {
            match store.execution(id).await? {
                Some(there) if !there.status.is_complete() => {
                    if held.contains(there.shard) {
                        self.0.remove(&id);
                        continue;
                    }
                    let other = self.0.entry(id).or_insert(Other { since: now, done: false });
                    if !other.done && now.duration_since(other.since) >= SURELY_ANOTHERS {
                        stage::let_go(state_dir, id, locks).await?;
                        other.done = true;
                    }
                }
                Some(_) | None => stage::forget(state_dir, id, locks, is_over(store, id)).await?,
            }
        }
        Ok(())
    }
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
                if let Err(error) = stage::forget(&state_dir, change.id, &locks, is_over(&store, change.id)).await {
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
pub(super) async fn forget_saved(store: Store, clock: Clock, left: Left, keep: Duration, stop: CancellationToken) {
    loop {
        if let Err(error) = sweep_saved(&store, &clock, &left, keep).await {
            tracing::warn!(%error, "saved files of ended executions could not be removed; trying again");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = clock.sleep(LOOK) => {}
        }
    }
}

async fn sweep_saved(store: &Store, clock: &Clock, left: &Left, keep: Duration) -> anyhow::Result<()> {
    let mut over = Vec::new();
    for saved in stage::saved_executions(&left.state_dir, left.store()).await? {
        let ended_long_ago = match store.execution(saved).await? {
            Some(stored) => {
                stored.status.is_complete() && stored.ended_at.is_some_and(|ended| ended.plus(keep) <= clock.now())
            }
            None => true,
        };
        if ended_long_ago {
            over.push(saved);
        }
    }
    for saved in over {
        let children = store.children(saved).await?;
        if children.iter().all(|child| child.status.is_complete()) {
            stage::remove_saved(&left.state_dir, left.store(), saved).await?;
        }
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

    /// What is with another replica for 15 seconds is surely another's; before, it may be on its way back.
    #[tokio::test]
    async fn what_went_over_to_another_replica_is_let_go_of_after_a_while() {
        let clock = Clock::manual(Timestamp::from_millis(1_700_000_000_000));
        let store = Store::temporary(clock.clone()).await.expect("opens");
        let state = tempfile::tempdir().expect("a folder");
        let (own, own_key) = created(&store, None).await;
        let (gone, _) = created(&store, None).await;
        let (back, back_key) = created(&store, None).await;
        let (over, over_key) = created(&store, None).await;
        ended(&store, over_key, clock.now()).await;
        let stranger = ExecutionId::generate();
        let work = |id: ExecutionId| state.path().join("work").join(id.to_string());
        for id in [own, gone, back, over, stranger] {
            std::fs::create_dir_all(work(id).join("shared")).expect("made");
        }
        let shards =
            |keys: &[crate::model::ExecutionKey]| keys.iter().map(|key| Shard::of_key(*key)).collect::<Shards>();
        let (mine, with_back) = (shards(&[own_key]), shards(&[own_key, back_key]));
        let locks = FolderLocks::default();
        let begin = tokio::time::Instant::now();
        let mut others = Others::default();
        let checkouts = || [own, gone, back].map(|id| work(id).join("shared").exists());
        for (second, held, left) in [
            (0, mine, [true, true, true]),
            (10, with_back, [true, true, true]),
            (14, mine, [true, true, true]),
            (15, mine, [true, false, true]),
            (28, mine, [true, false, true]),
            // It was this one's at the tenth second, and isn't since the fourteenth.
            (29, mine, [true, false, false]),
        ] {
            let now = begin + Duration::from_secs(second);
            others.look(held, now, &store, state.path(), &locks).await.expect("looked");
            assert_eq!(checkouts(), left, "after {second} s");
            assert!(!work(over).exists() && !work(stranger).exists(), "what is over goes at once");
        }
        assert!(work(gone).exists(), "what says that its attempts are spent stays");
        assert!(others.0.contains_key(&gone) && !others.0.contains_key(&own) && !others.0.contains_key(&over));
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
        let left = Left { state_dir: state.path().to_owned(), shipper: None };
        let sweep = || async { sweep_saved(&store, &clock, &left, day).await.expect("swept") };
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
