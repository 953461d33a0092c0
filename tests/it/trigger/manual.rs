//! Starts by hand.

use longboat::model::{CauseKind, CommitSha};
use longboat::trigger::{ManualStart, StartError};
use serde_json::json;

use super::world::{World, application, file, follow, pipeline};
use crate::support::repo::Repo;

fn start() -> ManualStart {
    ManualStart {
        application: application("shop"),
        pipeline: pipeline("deploy"),
        parameters: serde_json::Map::new(),
        artifacts: Vec::new(),
        commit: None,
        actor: Some("ann".to_owned()),
        correlation_id: None,
        override_freeze: false,
    }
}

async fn world_of(repo: &Repo) -> World {
    let parameters = "    parameters: [{name: count, type: integer, required: true}, {name: region, default: eu}]\n";
    let text = file("shop", "[]").replace("    triggers", &format!("{parameters}    triggers"));
    repo.write(".longboat/shop.yaml", text).commit("One");
    let world = World::new(vec![follow("local/shop", repo.path().to_string_lossy())]).await;
    world.seen("local/shop").await;
    world
}

#[tokio::test]
async fn a_start_runs_the_published_definition_with_checked_parameters() {
    let repo = Repo::new();
    let world = world_of(&repo).await;
    let mut wanted = start();
    wanted.parameters.insert("count".into(), json!(3));
    let started = world.triggers.start_pipeline(wanted).await.expect("starts");
    assert_eq!(*world.submitted.lock().expect("whole"), [started.key]);
    let executions = world.executions().await;
    let [execution] = executions.as_slice() else { panic!("{executions:?}") };
    assert_eq!(execution.id, started.id);
    assert_eq!(serde_json::Value::Object(execution.parameters.clone()), json!({"count": 3, "region": "eu"}));
    assert_eq!((execution.trigger.kind, execution.trigger.actor.as_deref()), (CauseKind::Manual, Some("ann")));
    assert_eq!(
        (execution.trigger.branch.as_deref(), execution.trigger.message.as_deref()),
        (Some("main"), Some("One"))
    );
    assert_eq!(execution.commit.as_ref(), Some(&repo.head()));
    assert!(world.said(&repo.head()).await.contains(&"longboat/shop/deploy: Pending Queued".to_owned()));
}

#[tokio::test]
async fn all_that_is_wrong_with_parameters_is_said_at_once() {
    let repo = Repo::new();
    let world = world_of(&repo).await;
    let mut wanted = start();
    wanted.parameters = json!({"count": "3", "regoin": "us"}).as_object().expect("an object").clone();
    let error = world.triggers.start_pipeline(wanted).await.expect_err("refused");
    assert_eq!(
        error.to_string(),
        "parameter `count` must be a whole number, not the text `3`; \
         parameter `regoin` is not declared by the pipeline; did you mean `region`?"
    );
    assert!(world.started().await.is_empty());
}

#[tokio::test]
async fn one_correlation_id_starts_once() {
    let repo = Repo::new();
    let world = world_of(&repo).await;
    let mut wanted = start();
    wanted.parameters.insert("count".into(), json!(3));
    wanted.correlation_id = Some("order-7".to_owned());
    let first = world.triggers.start_pipeline(wanted.clone()).await.expect("starts");
    let again = world.triggers.start_pipeline(wanted).await.expect("is known");
    assert_eq!((again.id, again.key, again.existing), (first.id, first.key, true));
    assert!(!first.existing);
    assert_eq!(world.started().await.len(), 1);
    assert_eq!(world.submitted.lock().expect("whole").len(), 1);
}

#[tokio::test]
async fn a_given_commit_must_be_there() {
    let repo = Repo::new();
    let world = world_of(&repo).await;
    let one = repo.head();
    let two = repo.commit("Two");
    let mut wanted = start();
    wanted.parameters.insert("count".into(), json!(3));
    wanted.commit = Some(two.clone());
    world.triggers.start_pipeline(wanted.clone()).await.expect("fetched if need be");
    assert_eq!(world.started().await, [("shop/deploy".to_owned(), two)]);
    wanted.commit = Some(CommitSha::parse(&"ab".repeat(20)).expect("an id"));
    let error = world.triggers.start_pipeline(wanted).await.expect_err("refused");
    assert!(matches!(&error, StartError::NoCommit(text) if text.contains("abababa")), "{error}");
    assert_ne!(one, repo.head());
}

#[tokio::test]
async fn an_unknown_pipeline_gets_a_hint() {
    let repo = Repo::new();
    let world = world_of(&repo).await;
    let mut wanted = start();
    wanted.pipeline = pipeline("delpoy");
    let error = world.triggers.start_pipeline(wanted).await.expect_err("refused");
    assert_eq!(error.to_string(), "the application `shop` has no pipeline `delpoy`; did you mean `deploy`?");
    let mut wanted = start();
    wanted.application = application("shp");
    let error = world.triggers.start_pipeline(wanted).await.expect_err("refused");
    assert_eq!(error.to_string(), "there is no application `shp`");
}
