//! Things to store.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Timestamp;
use crate::diagnostic::Place;
use crate::model::{
    ApplicationName, Artifacts, Cause, CommitSha, CommitStatus, ExecutionId, ExecutionKey, NewExecution, Pins,
    Pipeline, PipelineName, ReportTarget, RepositoryName, Status, StatusState, pipeline_id,
};
use crate::store::{
    Accepted, Append, Created, InboxId, Publication, RefChange, Seen, Settlement, Shard, Source, Store,
};

pub(in crate::store) const MAIN: &str = "refs/heads/main";

pub(in crate::store) fn repository(name: &str) -> RepositoryName {
    RepositoryName::parse(name).expect("a repository name")
}

pub(in crate::store) fn application(name: &str) -> ApplicationName {
    ApplicationName::parse(name).expect("an application name")
}

pub(in crate::store) fn pipeline_name(name: &str) -> PipelineName {
    PipelineName::parse(name).expect("a pipeline name")
}

/// The commit with that number; 0 is no commit.
pub(in crate::store) fn commit(number: u64) -> Option<CommitSha> {
    (number > 0).then(|| sha(number))
}

pub(in crate::store) fn sha(number: u64) -> CommitSha {
    CommitSha::parse(&format!("{number:040x}")).expect("a commit id")
}

/// A webhook about `main` of `acme/shop`, with a delivery id of its own.
pub(in crate::store) fn webhook(old: u64, new: u64) -> RefChange {
    static DELIVERY: AtomicU64 = AtomicU64::new(0);
    RefChange {
        repository: repository("acme/shop"),
        git_ref: MAIN.to_owned(),
        old: Seen::Claimed(commit(old)),
        new: commit(new),
        delivery: Some(format!("delivery-{}", DELIVERY.fetch_add(1, Ordering::Relaxed))),
        source: Source::Webhook,
        actor: Some("ann".to_owned()),
        event: Some("push".to_owned()),
        tracked: true,
        checking: None,
    }
}

/// A look at `main` of `acme/shop` that began at `head_seq` and found `new`.
pub(in crate::store) fn look(head_seq: i64, new: u64) -> RefChange {
    RefChange {
        old: Seen::Observed { head_seq },
        delivery: None,
        source: Source::Poll,
        actor: None,
        event: None,
        ..webhook(0, new)
    }
}

pub(in crate::store) fn is_new(accepted: Accepted) -> bool {
    matches!(accepted, Accepted::New(_))
}

/// Accepts a change that must be new.
pub(in crate::store) async fn accept_new(store: &Store, change: RefChange) -> InboxId {
    match store.accept(change).await.expect("accepts") {
        Accepted::New(id) => id,
        other => panic!("not new: {other:?}"),
    }
}

pub(in crate::store) fn pipeline(of: &str, name: &str) -> Pipeline {
    let (application, name) = (application(of), pipeline_name(name));
    Pipeline {
        id: pipeline_id(&application, &name),
        application,
        name,
        dialect: crate::model::Dialect::Longboat,
        description: None,
        environment: None,
        parameters: Vec::new(),
        triggers: Vec::new(),
        expected_artifacts: Vec::new(),
        concurrency: None,
        start_expiry: None,
        timeout: None,
        stages: Vec::new(),
        source: Place::point(".longboat/deploy.yaml", 1, 1),
    }
}

pub(in crate::store) fn publication(of: &str, owner: &str, pipelines: &[&str], number: u64) -> Publication {
    Publication {
        application: application(of),
        file_owner: repository(owner),
        pipelines: pipelines.iter().map(|name| pipeline(of, name)).collect(),
        branch: "main".to_owned(),
        commit: sha(number),
        pins: Pins::default(),
    }
}

/// A settlement of `main` of `acme/shop` with nothing in it.
pub(in crate::store) fn settlement(inbox: Option<InboxId>, number: u64) -> Settlement {
    Settlement {
        inbox,
        also: Vec::new(),
        repository: repository("acme/shop"),
        git_ref: MAIN.to_owned(),
        commit: commit(number),
        publish: Vec::new(),
        withdraw: Vec::new(),
        removal: None,
        executions: Vec::new(),
        messages: Vec::new(),
        pull_request: None,
        findings: None,
        has_files: None,
        uses: None,
    }
}

pub(in crate::store) fn target(context: &str) -> ReportTarget {
    ReportTarget { repository: repository("acme/shop"), commit: sha(1), context: context.to_owned() }
}

pub(in crate::store) fn status(context: &str, text: &str) -> CommitStatus {
    CommitStatus::new(target(context), StatusState::Pending, text, "/")
}

/// A run of `shop/deploy` at commit 1 that reports to `longboat/shop/deploy`.
pub(in crate::store) fn run() -> NewExecution {
    NewExecution {
        id: ExecutionId::generate(),
        pipeline: pipeline("shop", "deploy"),
        revision: None,
        parameters: serde_json::Map::new(),
        trigger: Cause { branch: Some("main".to_owned()), ..Cause::default() },
        repository: Some(repository("acme/shop")),
        commit: commit(1),
        report: Some(target("longboat/shop/deploy")),
        artifacts: Artifacts::default(),
        correlation_id: None,
        created_at: Timestamp::from_millis(1_700_000_000_000),
    }
}

pub(in crate::store) fn quiet_run() -> NewExecution {
    NewExecution { report: None, ..run() }
}

/// Creates an execution that must be new.
pub(in crate::store) async fn created(store: &Store, new: NewExecution) -> ExecutionKey {
    match store.create(new).await.expect("creates") {
        Created::New(key) => key,
        other => panic!("not new: {other:?}"),
    }
}

pub(in crate::store) fn append(key: ExecutionKey, seq: i64, status: Status) -> Append {
    let at = Timestamp::from_millis(1_700_000_000_000 + seq);
    Append {
        key,
        shard: Shard::of_key(key),
        seq,
        at,
        body: format!("{{\"v\":1,\"entries\":[{seq}]}}"),
        status,
        due_at: None,
        started_at: Some(at),
        ended_at: status.is_complete().then_some(at),
        report: None,
        revives: false,
    }
}

/// Ends an execution well.
pub(in crate::store) async fn finish(store: &Store, key: ExecutionKey, seq: i64) {
    store.append(vec![append(key, seq, Status::Succeeded)]).await.expect("appends");
}

/// Puts something else in the place of an execution's document, and of the version that it needs.
pub(crate) async fn respell(store: &Store, id: ExecutionId, document: &'static str, needs: Option<i64>) {
    let write = store.write(move |tx| {
        Box::pin(async move {
            sqlx::query("UPDATE execution_info SET document = $1, needs = $2 WHERE public_id = $3")
                .bind(document)
                .bind(needs)
                .bind(id.to_string())
                .execute(&mut tx.connection)
                .await?;
            Ok(())
        })
    });
    write.await.expect("writes");
}
