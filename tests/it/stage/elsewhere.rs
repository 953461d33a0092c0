//! Two nodes, each with a state folder of its own, that share an execution: no attempt runs on both, and one whose node
//! is gone is lost and not begun again by itself.

use std::collections::HashMap;
use std::fs;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use longboat::engine::Outcome;
use longboat::model::{ExecutionKey, StagePath};
use longboat::stage::{Placements, Whereabouts};
use serde_json::{Value, json};

use super::{Stage, World, checkpoint_of, failure_of, outputs_of, until};

/// A script that notes that it runs, and goes on when there is a file `go`.
const COUNTED: &str = "echo run >> runs; until [ -e go ]; do sleep 0.01; done";

type Rows = Arc<Mutex<HashMap<(StagePath, u32), String>>>;

/// What the nodes share, as one of them sees it.
struct Shared {
    name: String,
    rows: Rows,
    /// What the database says instead, if it can't be reached.
    broken: Option<String>,
}

impl Shared {
    fn seen(&self, node: &str) -> Whereabouts {
        if node == self.name { Whereabouts::Here } else { Whereabouts::Elsewhere { replica: node.to_owned() } }
    }
}

#[async_trait]
impl Placements for Shared {
    async fn place(&self, _: ExecutionKey, stage: &StagePath, attempt: u32) -> Result<Whereabouts, String> {
        self.broken.clone().map_or(Ok(()), Err)?;
        let mut rows = self.rows.lock().expect("free");
        let node = rows.entry((stage.clone(), attempt)).or_insert_with(|| self.name.clone());
        Ok(self.seen(node))
    }

    async fn find(&self, _: ExecutionKey, stage: &StagePath, attempt: u32) -> Result<Option<Whereabouts>, String> {
        self.broken.clone().map_or(Ok(()), Err)?;
        let rows = self.rows.lock().expect("free");
        Ok(rows.get(&(stage.clone(), attempt)).map(|node| self.seen(node)))
    }
}

/// Two nodes of one execution.
struct Nodes {
    one: World,
    other: World,
    rows: Rows,
}

impl Nodes {
    fn new() -> Self {
        let (mut one, mut other, rows) = (World::new(), World::new(), Rows::default());
        other.execution = Arc::clone(&one.execution);
        for (world, name) in [(&mut one, "one"), (&mut other, "other")] {
            let shared = Shared { name: name.to_owned(), rows: rows.clone(), broken: None };
            world.deps.placements = Some(Arc::new(shared));
        }
        Self { one, other, rows }
    }

    /// Starts a script on the first node, and looks at it until it runs.
    async fn begin(&self, fields: Value) -> (Stage, Value) {
        let stage = self.one.stage("script", fields);
        let checkpoint = stage.start_long().await;
        until("the script runs", || runs(&self.one) == 1).await;
        (stage, checkpoint)
    }
}

fn runs(world: &World) -> usize {
    fs::read_to_string(world.workspace().join("runs")).map_or(0, |text| text.lines().count())
}

#[tokio::test]
async fn an_attempt_of_a_node_that_is_gone_is_lost() {
    let nodes = Nodes::new();
    let fields = json!({"command": COUNTED});
    let (_running, checkpoint) = nodes.begin(fields.clone()).await;
    // With a checkpoint, or without: the first node died before its answer was recorded.
    for checkpoint in [Some(checkpoint), None] {
        let (message, outputs) = failure_of(nodes.other.stage("script", fields.clone()).recover(checkpoint).await);
        assert!(message.contains("begun by the replica `one`") && message.contains("on: [lost]"), "{message}");
        assert_eq!(outputs, json!({"exitCode": null, "lost": true}));
    }
    let again = json!({"command": COUNTED, "restartable": true});
    match nodes.other.stage("script", again).recover(None).await {
        Outcome::Restart { reason } => assert!(reason.contains("`one`") && reason.contains("runs again"), "{reason}"),
        other => panic!("should be made anew, not {other:?}"),
    }
    assert_eq!((runs(&nodes.one), runs(&nodes.other)), (1, 0));
}

#[tokio::test]
async fn what_no_node_had_begun_is_begun_by_the_next() {
    let nodes = Nodes::new();
    // A start that was recorded, by a replica that came no further.
    let stage = nodes.other.stage("script", json!({"command": "echo run >> runs"}));
    assert_eq!(outputs_of(stage.recover(None).await), json!({"exitCode": 0}));
    // It is late: the first node had been stopped on its way.
    let (message, _) = failure_of(nodes.one.stage("script", json!({"command": "echo run >> runs"})).start().await);
    assert!(message.contains("`other`"), "{message}");
    assert_eq!((runs(&nodes.one), runs(&nodes.other)), (0, 1));
}

#[tokio::test]
async fn a_node_that_is_started_anew_finds_its_script() {
    let nodes = Nodes::new();
    let (stage, checkpoint) = nodes.begin(json!({"command": COUNTED})).await;
    let mut again = Stage { handler: nodes.one.handler(), ..stage };
    let running = again.recover(Some(checkpoint)).await;
    let _running = checkpoint_of(running.clone());
    fs::write(nodes.one.workspace().join("go"), "").expect("written");
    assert_eq!(outputs_of(again.follow(running).await), json!({"exitCode": 0}));
    assert_eq!(runs(&nodes.one), 1);
}

#[tokio::test]
async fn a_script_whose_execution_moved_away_is_ended_and_stays_spent() {
    let nodes = Nodes::new();
    let fields = json!({"command": format!("trap '' TERM; {COUNTED}"), "grace": 1});
    let (stage, checkpoint) = nodes.begin(fields.clone()).await;
    stage.handler.abandon(&stage.ctx).await;
    assert_eq!(nodes.one.processes(), [0; 0]);
    assert!(!nodes.one.workspace().exists(), "the checkout is gone");
    assert_eq!(nodes.rows.lock().expect("free").len(), 1, "and nothing else is touched");

    // It comes back before anybody else took it up: whatever is known of it here, it doesn't run a second time.
    for checkpoint in [Some(checkpoint), None] {
        let (message, outputs) = failure_of(nodes.one.stage("script", fields.clone()).recover(checkpoint).await);
        assert!(message.contains("went over to another replica"), "{message}");
        assert_eq!(outputs["lost"], true);
    }
    assert!(!nodes.one.workspace().exists());
    // One that isn't here has nothing to end, and leaves no trace.
    let elsewhere = nodes.other.stage("script", fields);
    elsewhere.handler.abandon(&elsewhere.ctx).await;
    assert_eq!(fs::read_dir(nodes.other.state.path()).expect("listed").count(), 0);
}

#[tokio::test]
async fn a_script_that_had_ended_by_itself_keeps_its_result() {
    let nodes = Nodes::new();
    let (mut stage, checkpoint) =
        nodes.begin(json!({"command": format!("{COUNTED}; echo a=b > $LONGBOAT_OUTPUT")})).await;
    fs::write(nodes.one.workspace().join("go"), "").expect("written");
    let signal = stage.arrivals.recv().await.expect("it has ended");
    drop(signal);
    stage.handler.abandon(&stage.ctx).await;
    assert_eq!(outputs_of(stage.recover(Some(checkpoint)).await), json!({"a": "b", "exitCode": 0}));
}

#[tokio::test]
async fn a_script_is_not_begun_while_the_database_can_t_be_asked() {
    let mut nodes = Nodes::new();
    let shared = Shared { name: "one".to_owned(), rows: nodes.rows.clone(), broken: Some("no route".to_owned()) };
    nodes.one.deps.placements = Some(Arc::new(shared));
    let outcome = nodes.one.stage("script", json!({"command": "echo run >> runs"})).start().await;
    assert!(matches!(outcome, Outcome::Poll { .. }), "it is looked at again: {outcome:?}");
    assert_eq!(runs(&nodes.one), 0);
}
