//! What nobody needs any more.

use std::time::Duration;

use super::Fixture;
use super::sample::{
    MAIN, accept_new, append, created, finish, is_new, pipeline, publication, quiet_run, repository, run, settlement,
    sha, status, webhook,
};
use crate::clock::Timestamp;
use crate::model::{NewExecution, RevisionId, Status};
use crate::store::{
    Accepted, Append, CommitFindings, Compaction, Publication, RefChange, RemovalVerdict, Settlement, Stale, Store,
    StoreError,
};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Drops what is older, as the server does: step by step to the end.
async fn prune(store: &Store, what: Stale, before: Timestamp) -> u64 {
    let (mut after, mut count) = (0, 0);
    loop {
        let step = store.prune(what, after, before).await.expect("prunes");
        count += step.count;
        match step.next {
            Some(next) => after = next,
            None => return count,
        }
    }
}

async fn numbers(store: &Store, query: &'static str) -> Vec<i64> {
    sqlx::query_scalar(query).fetch_all(store.reads()).await.expect("reads")
}

/// A push to `main` that is worked off: a commit with findings, which publishes a pipeline of its own text.
async fn push(store: &Store, number: u64) {
    let mut deploy = pipeline("shop", "deploy");
    deploy.description = Some(format!("as of {number}"));
    let publication = Publication { pipelines: vec![deploy], ..publication("shop", "acme/shop", &[], number) };
    let findings = CommitFindings {
        repository: repository("acme/shop"),
        commit: sha(number),
        git_ref: MAIN.to_owned(),
        findings: Vec::new(),
        pipelines: 1,
    };
    let inbox = accept_new(store, webhook(number - 1, number)).await;
    let what = Settlement { publish: vec![publication], findings: Some(findings), ..settlement(Some(inbox), number) };
    store.settle(what).await.expect("settles");
}

pub(super) async fn messages_are_forgotten_but_for_the_last_word(fixture: Fixture) {
    let store = fixture.open().await;
    let key = created(&store, run()).await;
    for (seq, text) in [(1, "Running: a (1 of 2)"), (2, "Running: b (2 of 2)")] {
        let report = Some(status("longboat/shop/deploy", text));
        store.append(vec![Append { report, ..append(key, seq, Status::Running) }]).await.expect("appends");
    }
    assert_eq!(store.due_outbox(10).await.expect("reads").len(), 1, "one context, one at a time");
    let left = async || numbers(&store, "SELECT id FROM outbox ORDER BY id").await.len();
    assert_eq!(left().await, 3);
    let everything = fixture.clock.now().plus(Duration::from_secs(3600));
    assert_eq!(prune(&store, Stale::Messages, everything).await, 0);
    assert_eq!(left().await, 3, "they wait");
    while let Some(entry) = store.due_outbox(1).await.expect("reads").into_iter().next() {
        store.outbox_sent(&[entry.id]).await.expect("sent");
    }
    assert_eq!(prune(&store, Stale::Messages, Timestamp::from_millis(0)).await, 0, "they are young");
    assert_eq!(prune(&store, Stale::Messages, everything).await, 2);
    assert_eq!(left().await, 1);
}

pub(super) async fn pushes_are_forgotten_but_for_where_a_branch_stands(fixture: Fixture) {
    let store = fixture.open().await;
    let began = fixture.clock.now();
    for number in 1..=3 {
        push(&store, number).await;
    }
    // Not worked off yet.
    let other = RefChange { git_ref: "refs/heads/other".to_owned(), ..webhook(0, 4) };
    accept_new(&store, other).await;
    let before = fixture.clock.now().minus(Duration::from_millis(1));
    assert_eq!(prune(&store, Stale::Inbox, before).await, 0, "they are young");
    assert_eq!(prune(&store, Stale::Deliveries, before).await, 0);
    fixture.clock.advance(DAY);
    assert_eq!(prune(&store, Stale::Inbox, began).await, 2);
    assert_eq!(prune(&store, Stale::Deliveries, began).await, 4);
    let left = numbers(&store, "SELECT seq FROM inbox ORDER BY id").await;
    assert_eq!(left, [3, 1], "where `main` stands, and what waits");
    // The same push, told once more, and the next one, are taken as ever.
    assert_eq!(store.accept(webhook(2, 3)).await.expect("answers"), Accepted::Duplicate);
    assert!(is_new(store.accept(webhook(3, 5)).await.expect("accepts")));
}

pub(super) async fn what_waits_for_an_approval_keeps_its_push(fixture: Fixture) {
    let store = fixture.open().await;
    let inbox = accept_new(&store, webhook(0, 1)).await;
    let pipelines = vec!["shop/deploy".to_owned()];
    let removal = Some(RemovalVerdict::Refused { pipelines, of: 1 });
    store.settle(Settlement { removal, ..settlement(Some(inbox), 1) }).await.expect("settles");
    // Somebody moved the ref by a look that began before: the entry is not the one of the head any more.
    store
        .write(|tx| {
            Box::pin(async move {
                sqlx::query("UPDATE ref_head SET seq = seq + 1").execute(&mut tx.connection).await?;
                Ok::<_, StoreError>(())
            })
        })
        .await
        .expect("writes");
    fixture.clock.advance(DAY);
    assert_eq!(prune(&store, Stale::Inbox, fixture.clock.now()).await, 0);
}

pub(super) async fn findings_and_revisions_stay_for_what_is_in_force_or_has_its_details(fixture: Fixture) {
    let store = fixture.open().await;
    for number in 1..=3 {
        push(&store, number).await;
        fixture.clock.advance(DAY);
    }
    let found = async || {
        let mut found = Vec::new();
        for number in 1..=3 {
            let findings = store.findings(&repository("acme/shop"), &sha(number)).await.expect("reads");
            found.extend(findings.map(|_| number));
        }
        found
    };
    let revisions = async || numbers(&store, "SELECT id FROM revision ORDER BY id").await;
    assert_eq!((found().await, revisions().await), (vec![1, 2, 3], vec![1, 2, 3]));
    // It ran the first.
    let old = NewExecution { revision: Some(RevisionId(1)), ..quiet_run() };
    let id = old.id;
    let key = created(&store, old).await;
    finish(&store, key, 1).await;
    let now = fixture.clock.now();
    assert_eq!(prune(&store, Stale::Findings, now.minus(DAY * 4)).await, 0, "they are young");
    assert_eq!(prune(&store, Stale::Revisions, now.minus(DAY * 4)).await, 0);
    assert_eq!((prune(&store, Stale::Findings, now).await, prune(&store, Stale::Revisions, now).await), (1, 1));
    assert_eq!((found().await, revisions().await), (vec![1, 3], vec![1, 3]));

    let stored = store.execution(id).await.expect("reads").expect("there");
    let summary = super::retention::summary(&stored);
    let compaction = Compaction { key, seq: 1, summary, info: stored.execution.info };
    assert!(store.compact(compaction).await.expect("answers"));
    assert_eq!((prune(&store, Stale::Findings, now).await, prune(&store, Stale::Revisions, now).await), (1, 1));
    assert_eq!((found().await, revisions().await), (vec![3], vec![3]), "what is in force");
    let left = store.execution(id).await.expect("reads").expect("still listed");
    assert_eq!(left.execution.info.revision, Some(RevisionId(1)), "which it was is still known");
}
