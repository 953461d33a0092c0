//! Pipelines that are started by the end of others.

use longboat::model::{CauseKind, ExecutionKey, NewExecution, Status};
use longboat::store::{Append, Ending, Shard};
use longboat::trigger::ManualStart;
use serde_json::{Map, json};

use super::world::{World, application, file, follow, pipeline};
use crate::support::repo::Repo;

async fn start(world: &World, of: &str, name: &str, parameters: Map<String, serde_json::Value>) {
    let start = ManualStart {
        application: application(of),
        pipeline: pipeline(name),
        parameters,
        artifacts: Vec::new(),
        commit: None,
        actor: Some("ann".to_owned()),
        correlation_id: None,
        override_freeze: false,
    };
    world.triggers.start_pipeline(start).await.expect("starts");
}

/// Ends everything that was submitted, as the engine would.
async fn end_all(world: &World, status: Status) -> usize {
    let keys: Vec<ExecutionKey> = std::mem::take(&mut *world.submitted.lock().expect("whole"));
    for key in &keys {
        let now = Some(world.clock.now());
        let row = Append {
            key: *key,
            shard: Shard::of_key(*key),
            seq: 1,
            at: world.clock.now(),
            body: json!({"v": 1, "e": []}).to_string(),
            status,
            due_at: None,
            started_at: now,
            ended_at: now,
            report: None,
            revives: false,
        };
        world.store.append(vec![row]).await.expect("appends");
    }
    keys.len()
}

/// Waits until no end is left to be worked off; everything that was started.
async fn worked_off(world: &World) -> Vec<NewExecution> {
    world
        .until("all ends are worked off", async |world| {
            world.store.next_due::<Ending>().await.expect("reads").is_none()
        })
        .await;
    world.executions().await
}

async fn world_of(base: &Repo, shop: &Repo, listens: &str) -> World {
    let build = file("base", "[]").replace("    triggers", "    parameters: [{name: version}]\n    triggers");
    base.write(".longboat/base.yaml", build).commit("Base");
    shop.write(".longboat/shop.yaml", listens).commit("Shop");
    let specs =
        vec![follow("local/base", base.path().to_string_lossy()), follow("local/shop", shop.path().to_string_lossy())];
    let world = World::new(specs).await;
    world.seen("local/base").await;
    world.seen("local/shop").await;
    world
}

const AFTER: &str = r#"
application: shop
pipelines:
  - name: after
    parameters: [{name: version}, {name: how}]
    triggers:
      - type: pipeline
        application: base
        pipeline: deploy
        statuses: [SUCCEEDED, CANCELED]
        parameters:
          version: "${ trigger.parentExecution.parameters.version }"
          how: "${ trigger.parentExecution.status == 'SUCCEEDED' ? 'well' : 'ill' }"
    stages: [{id: one, type: noop}]
"#;

#[tokio::test]
async fn the_end_of_one_starts_the_other_for_its_own_commit() {
    let (base, shop) = (Repo::new(), Repo::new());
    let world = world_of(&base, &shop, AFTER).await;
    let given = json!({"version": "7"}).as_object().expect("an object").clone();
    start(&world, "base", "deploy", given).await;
    end_all(&world, Status::Succeeded).await;
    let executions = worked_off(&world).await;
    let [build, after] = executions.as_slice() else { panic!("two: {executions:?}") };
    assert_eq!((after.commit.as_ref(), after.report.as_ref()), (Some(&shop.head()), None));
    assert_eq!(json!(after.parameters), json!({"version": "7", "how": "well"}));
    assert_eq!((after.trigger.kind, after.trigger.actor.as_deref()), (CauseKind::Pipeline, Some("ann")));
    let parent = after.trigger.parent_execution.as_ref().expect("a parent");
    assert_eq!((parent.id, parent.status, parent.commit.as_ref()), (build.id, Status::Succeeded, Some(&base.head())));
    assert_eq!((parent.depth, parent.root), (1, CauseKind::Manual));
    world.until("it is submitted", async |world| world.submitted.lock().expect("whole").len() == 1).await;
}

#[tokio::test]
async fn only_the_ends_that_are_asked_for_start_it() {
    let (base, shop) = (Repo::new(), Repo::new());
    let world = world_of(&base, &shop, AFTER).await;
    start(&world, "base", "deploy", Map::new()).await;
    end_all(&world, Status::Terminal).await;
    assert_eq!(worked_off(&world).await.len(), 1);
    start(&world, "base", "deploy", Map::new()).await;
    end_all(&world, Status::Canceled).await;
    let executions = worked_off(&world).await;
    assert_eq!(executions.len(), 3);
    assert_eq!(json!(executions[2].parameters), json!({"version": null, "how": "ill"}));
}

#[tokio::test]
async fn an_end_while_nobody_looks_starts_it_later_and_once() {
    let (base, shop) = (Repo::new(), Repo::new());
    let mut world = world_of(&base, &shop, AFTER).await;
    start(&world, "base", "deploy", Map::new()).await;
    world.triggers.shutdown().await;
    end_all(&world, Status::Succeeded).await;
    assert_eq!(world.executions().await.len(), 1);
    world.restart().await;
    assert_eq!(worked_off(&world).await.len(), 2);
    world.restart().await;
    assert_eq!(worked_off(&world).await.len(), 2);
}

#[tokio::test]
async fn a_chain_that_runs_in_a_circle_is_ended_and_says_so() {
    let repo = Repo::new();
    repo.write(".longboat/shop.yaml", file("shop", "[{type: pipeline, pipeline: deploy}]")).commit("One");
    let world = World::new(vec![follow("local/shop", repo.path().to_string_lossy())]).await;
    world.seen("local/shop").await;
    let found = world.store.findings(&super::world::repository("local/shop"), &repo.head()).await.expect("reads");
    let found = found.expect("looked at").findings;
    assert_eq!(
        found.iter().map(|finding| finding.message.as_str()).collect::<Vec<_>>(),
        ["pipelines start each other by their ends: shop/deploy → shop/deploy"]
    );
    start(&world, "shop", "deploy", Map::new()).await;
    for count in 1..=11 {
        world.until("the next one", async |world| world.submitted.lock().expect("whole").len() == 1).await;
        assert_eq!(world.executions().await.len(), count);
        assert_eq!(end_all(&world, Status::Succeeded).await, 1);
    }
    assert_eq!(worked_off(&world).await.len(), 11, "ten followed the first");
    let said = world.said(&repo.head()).await;
    let last = said.last().expect("something");
    assert_eq!(last, "longboat/shop/deploy: Failure Failed: 10 ends of pipelines led to this one, which is the most");
}
