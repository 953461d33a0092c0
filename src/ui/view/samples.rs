//! Made-up executions for tests of the pages.

use serde_json::{Map, Value, json};

use crate::clock::Timestamp;
use crate::model::{
    Artifacts, Cause, CauseKind, CommitSha, ExecutionId, ExecutionView, StageId, StagePath, StageSource, StageView,
    Status,
};

/// A hostile text: markup, quotes, and a way out of an attribute.
pub(in crate::ui) const HOSTILE: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>";

/// The moment at which the samples are looked at.
pub(in crate::ui) const NOW: Timestamp = Timestamp::from_millis(1_780_000_000_000);

fn before(seconds: i64) -> Timestamp {
    Timestamp::from_millis(NOW.as_millis() - seconds * 1000)
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

pub(in crate::ui) fn commit() -> CommitSha {
    CommitSha::parse(&"1a2b3c4d5e".repeat(4)).expect("a commit")
}

/// One stage: id, type, what it needs, status, seconds ago that it began and ended.
pub(in crate::ui) fn stage(
    id: &str,
    kind: &str,
    needs: &[&str],
    status: Status,
    times: (Option<i64>, Option<i64>),
) -> StageView {
    let id = StageId::parse(id).expect("an id");
    StageView {
        path: StagePath::from(&id),
        name: id.to_string(),
        id,
        kind: kind.to_owned(),
        needs: needs.iter().map(|need| StageId::parse(need).expect("an id")).collect(),
        group: None,
        status,
        attempt: u32::from(times.0.is_some()),
        start_time: times.0.map(before),
        end_time: times.1.map(before),
        instance_of: None,
        instance: None,
        instances: None,
        outputs: Map::new(),
        error: None,
        waiting_for: None,
        progress: crate::model::StageProgress::default(),
        context: Map::new(),
        source: StageSource { file: ".longboat/deploy.yaml".to_owned(), line: 12, commit: Some(commit()) },
    }
}

/// An execution in the middle: two branches are through, a person is asked.
pub(in crate::ui) fn execution() -> ExecutionView {
    use Status::{NotStarted, Running, Skipped, Succeeded};
    let mut build = stage("build", "script", &["checkout"], Succeeded, (Some(140), Some(96)));
    build.outputs =
        object(json!({"exitCode": 0, "image": "registry.example/shop:1a2b3c4", "digest": "sha256:9f86d081884c7d65"}));
    let mut approve = stage("approve", "manualJudgment", &["unit", "e2e", "scan"], Running, (Some(38), None));
    approve.waiting_for = Some("approval".to_owned());
    approve.context = object(
        json!({"instructions": "Ship 1a2b3c4 to production?", "judgmentInputs": [{"value": "all regions"}, {"value": "eu only"}]}),
    );
    ExecutionView {
        id: ExecutionId("018f6b2e-4a57-7c3e-9d8f-0a1b2c3d4e5f".parse().expect("an id")),
        application: "shop".parse().expect("a name"),
        pipeline: "deploy".parse().expect("a name"),
        status: Running,
        description: "Waiting for approval: approve".to_owned(),
        repository: Some("acme/shop".parse().expect("a name")),
        commit: Some(commit()),
        trigger: Cause {
            kind: CauseKind::Git,
            branch: Some("main".to_owned()),
            actor: Some("ann".to_owned()),
            author: Some("Ann Sailor <ann@example.com>".to_owned()),
            message: Some("Let the basket survive a restart".to_owned()),
            ..Cause::default()
        },
        parameters: object(json!({"region": "eu", "replicas": 3, "features": ["basket", "search"]})),
        artifacts: Artifacts::default(),
        created_time: before(170),
        start_time: Some(before(168)),
        end_time: None,
        canceled_by: None,
        held: None,
        compacted_time: None,
        paused: None,
        stranded: None,
        restarts: Vec::new(),
        children: Vec::new(),
        stages: vec![
            stage("checkout", "script", &[], Succeeded, (Some(168), Some(141))),
            build,
            stage("unit", "script", &["build"], Succeeded, (Some(95), Some(60))),
            stage("e2e", "script", &["build"], Succeeded, (Some(95), Some(39))),
            stage("scan", "script", &["checkout"], Succeeded, (Some(140), Some(100))),
            approve,
            stage("migrate", "script", &["approve"], Skipped, (None, None)),
            stage("deploy", "script", &["migrate"], NotStarted, (None, None)),
        ],
    }
}

/// An execution that failed: each kind of end is there.
pub(in crate::ui) fn failed() -> ExecutionView {
    use Status::{Canceled, FailedContinue, Stopped, Succeeded, Terminal};
    let mut lint = stage("lint", "script", &[], FailedContinue, (Some(90), Some(80)));
    lint.error = Some("exit code 2".to_owned());
    let mut test = stage("test", "script", &["build"], Terminal, (Some(60), Some(20)));
    test.attempt = 2;
    test.error = Some("exit code 101\nthread 'basket' panicked".to_owned());
    ExecutionView {
        status: Terminal,
        description: "Failed: test, exit code 101".to_owned(),
        end_time: Some(before(19)),
        parameters: Map::new(),
        artifacts: Artifacts::default(),
        stages: vec![
            lint,
            stage("build", "script", &[], Succeeded, (Some(90), Some(61))),
            test,
            stage("docs", "script", &["lint"], Stopped, (Some(79), Some(70))),
            stage("image", "script", &["build"], Canceled, (Some(60), Some(19))),
        ],
        ..execution()
    }
}

/// Everything that comes from outside says [`HOSTILE`].
pub(in crate::ui) fn hostile() -> ExecutionView {
    let mut view = execution();
    view.description = HOSTILE.to_owned();
    view.trigger.branch = Some(HOSTILE.to_owned());
    view.trigger.tag = Some(HOSTILE.to_owned());
    view.trigger.message = Some(HOSTILE.to_owned());
    view.trigger.author = Some(HOSTILE.to_owned());
    view.trigger.actor = Some(HOSTILE.to_owned());
    view.parameters = object(json!({HOSTILE: HOSTILE, "list": [HOSTILE]}));
    view.pipeline = "<b>\"x\"".parse().expect("pipelines may have such names");
    for stage in &mut view.stages {
        stage.name = HOSTILE.to_owned();
        stage.kind = if stage.kind == "script" { stage.kind.clone() } else { "manualJudgment".to_owned() };
        stage.error = Some(HOSTILE.to_owned());
        stage.outputs = object(json!({HOSTILE: HOSTILE}));
        stage.waiting_for = stage.waiting_for.as_ref().map(|_| HOSTILE.to_owned());
        stage.context = object(json!({"instructions": HOSTILE, "judgmentInputs": [HOSTILE]}));
        stage.source.file = HOSTILE.to_owned();
    }
    view
}
