//! What the tests of several stage types share, and those of the catalogue.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{Checkouts, StageDeps, catalog, handlers};
use crate::clock::{Clock, Timestamp};
use crate::diagnostic::Place;
use crate::engine::{SentSignal, Signals, StageContext};
use crate::expression::Scope;
use crate::model::{
    ApplicationName, Artifacts, Cause, CommitSha, Dialect, Execution, ExecutionId, ExecutionKey, ExpectedArtifact,
    NewExecution, OnFailure, Pipeline, PipelineName, RepositoryName, Span, StageId, StagePath,
};

/// A clock that stands at some moment.
pub(super) fn clock() -> Clock {
    Clock::manual(Timestamp::from_millis(1_700_000_000_000))
}

/// An execution of one stage, with which a handler can be called.
pub(super) struct Stage {
    stage: crate::model::Stage,
    clock: Clock,
    scope: Scope,
    commit: bool,
}

impl Stage {
    pub(super) fn of(kind: &str, fields: Value) -> Self {
        let Value::Object(fields) = fields else { panic!("fields are a map") };
        let stage = crate::model::Stage {
            id: StageId::parse("stage").expect("an id"),
            name: "A stage".to_owned(),
            kind: kind.to_owned(),
            needs: Vec::new(),
            when: None,
            on_failure: OnFailure::Halt,
            timeout: None,
            retry: None,
            expected_artifacts: Vec::new(),
            group: None,
            window: None,
            spread: None,
            finally: false,
            fields,
            raw: Vec::new(),
            secret: Vec::new(),
            source: Place::point("deploy.yaml", 1, 1),
        };
        Self { stage, clock: Clock::system(), scope: Scope::default(), commit: false }
    }

    pub(super) fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// What the stage's own expressions see.
    pub(super) fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// What it has to yield.
    pub(super) fn expects(mut self, artifacts: Vec<ExpectedArtifact>) -> Self {
        self.stage.expected_artifacts = artifacts;
        self
    }

    pub(super) fn timeout(mut self, timeout: Span) -> Self {
        self.stage.timeout = Some(timeout);
        self
    }

    /// The execution runs a commit of `acme/shop`'s branch `main`.
    pub(super) fn commit(mut self) -> Self {
        self.commit = true;
        self
    }

    /// The context of the first attempt, and the end where its signals arrive.
    pub(super) fn context(self) -> (StageContext, mpsc::Receiver<SentSignal>) {
        let (signals, arrivals) = Signals::channel(8);
        let repository = self.commit.then(|| RepositoryName::parse("acme/shop").expect("a name"));
        let commit = self.commit.then(|| CommitSha::parse(&"1a".repeat(20)).expect("an id"));
        let trigger = Cause { branch: self.commit.then(|| "main".to_owned()), ..Cause::default() };
        let fields = self.stage.fields.clone();
        let pipeline = Pipeline {
            application: ApplicationName::parse("shop").expect("a name"),
            name: PipelineName::parse("deploy").expect("a name"),
            id: Uuid::nil(),
            dialect: Dialect::Longboat,
            description: None,
            environment: None,
            parameters: Vec::new(),
            triggers: Vec::new(),
            expected_artifacts: Vec::new(),
            concurrency: None,
            start_expiry: None,
            timeout: None,
            stages: vec![self.stage],
            source: Place::point("deploy.yaml", 1, 1),
        };
        let info = NewExecution {
            id: ExecutionId::generate(),
            pipeline,
            revision: None,
            parameters: Map::new(),
            trigger,
            repository,
            commit,
            report: None,
            artifacts: Artifacts::default(),
            correlation_id: None,
            created_at: self.clock.now(),
        };
        let context = StageContext {
            execution: Arc::new(Execution { key: ExecutionKey(1), info }),
            path: StagePath::parse("stage").expect("a path"),
            attempt: 1,
            fields,
            secrets: Vec::new(),
            scope: Arc::new(self.scope),
            clock: self.clock,
            signals,
        };
        (context, arrivals)
    }
}

struct NoCheckouts;

#[async_trait::async_trait]
impl Checkouts for NoCheckouts {
    async fn checkout(&self, _: &RepositoryName, _: &CommitSha, _: &Path) -> Result<(), String> {
        Err("there are none".to_owned())
    }
}

#[test]
fn every_type_has_a_handler_and_a_schema() {
    let handled: BTreeSet<_> =
        handlers(StageDeps::new(Arc::new(NoCheckouts), "state".into())).iter().map(|handler| handler.kind()).collect();
    let described: BTreeSet<_> = catalog().names().collect();
    assert_eq!(handled, described);
}

#[test]
fn a_script_s_command_is_passed_on_as_it_stands() {
    let catalog = catalog();
    assert_eq!(catalog.get("script").expect("is there").raw, ["/command", "/files"]);
    for name in ["manualJudgment", "noop", "wait"] {
        assert!(catalog.get(name).expect("is there").raw.is_empty(), "{name}");
    }
}

#[test]
fn schemas_take_what_authors_write_and_refuse_the_rest() {
    let catalog = catalog();
    for kind in catalog.iter() {
        kind.check_schema().expect("the schema itself is legal");
    }
    let good = [
        ("noop", json!({})),
        ("wait", json!({"waitTime": 30})),
        ("wait", json!({"waitTime": "${ parameters.pause }"})),
        ("manualJudgment", json!({"instructions": "Look", "judgmentInputs": ["a", {"value": "b"}]})),
        ("script", json!({"command": "make"})),
        ("script", json!({"command": ["make", "all"], "dir": "src", "runner": "host", "workspace": "fresh"})),
        ("script", json!({"command": "make", "env": {"A": "${ trigger.branch }", "B": 1, "C": true}, "grace": "10s"})),
        ("script", json!({"command": "make", "restartable": "${ parameters.again }"})),
        ("script", json!({"command": "make", "files": {"save": ["dist/**"], "from": ["build", "parent/build"]}})),
        ("pipeline", json!({"pipeline": "build"})),
        (
            "pipeline",
            json!({"application": "base", "pipeline": "build", "pipelineParameters": {"a": 1, "b": "${ parameters.x }"}, "waitForCompletion": false, "skipDownstreamOutput": true, "files": {"from": ["a"]}}),
        ),
    ];
    for (kind, fields) in good {
        assert_eq!(catalog.get(kind).expect("is there").check(&fields), [], "{kind} {fields}");
    }
    let bad = [
        ("noop", json!({"command": "make"})),
        ("wait", json!({})),
        ("wait", json!({"waitTime": "soon"})),
        ("manualJudgment", json!({"judgmentInputs": [{"name": "a"}]})),
        ("manualJudgment", json!({"requiredJudgmentRoles": "ops"})),
        ("script", json!({"dir": "src"})),
        ("script", json!({"command": 5})),
        ("script", json!({"command": []})),
        ("script", json!({"command": "make", "runner": "kubernetes"})),
        ("script", json!({"command": "make", "files": {"keep": ["a"]}})),
        ("script", json!({"command": "make", "files": {"save": "a"}})),
        ("pipeline", json!({"application": "base"})),
        ("pipeline", json!({"pipeline": "build", "files": {"save": ["a"]}})),
        ("script", json!({"command": "make", "env": {"A": ["list"]}})),
    ];
    for (kind, fields) in bad {
        assert_ne!(catalog.get(kind).expect("is there").check(&fields), [], "{kind} {fields}");
    }
}
