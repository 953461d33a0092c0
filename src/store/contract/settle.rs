//! Settling and the catalog.

use super::Fixture;
use super::sample::{
    MAIN, accept_new, application, created, pipeline, pipeline_name, publication, repository, run, settlement, sha,
    status, webhook,
};
use crate::diagnostic::{Code, Diagnostic};
use crate::model::{NewExecution, Pin, PinKind, Pins, RevisionId};
use crate::store::{CommitFindings, Publication, Published, RepositoryNote, Settled, Settlement, Store, StoreError};

async fn names(store: &Store) -> Vec<String> {
    let all = store.pipelines(None).await.expect("reads");
    all.iter().map(|published| format!("{}/{}", published.pipeline.application, published.pipeline.name)).collect()
}

async fn deploy(store: &Store) -> Published {
    store.pipeline(&application("shop"), &pipeline_name("deploy")).await.expect("reads").expect("is published")
}

fn publishing(number: u64, pipelines: &[&str]) -> Settlement {
    Settlement { publish: vec![publication("shop", "acme/shop", pipelines, number)], ..settlement(None, number) }
}

pub(super) async fn all_that_came_out_of_a_commit_appears_together(fixture: Fixture) {
    let store = fixture.open().await;
    let inbox = accept_new(&store, webhook(0, 1)).await;
    let findings = CommitFindings {
        repository: repository("acme/shop"),
        commit: sha(1),
        git_ref: MAIN.to_owned(),
        findings: vec![Diagnostic::warning(Code::UnknownKey, "stagse is not known")],
        pipelines: 2,
    };
    let settled = store
        .settle(Settlement {
            inbox: Some(inbox),
            executions: vec![run()],
            messages: vec![status("longboat/validate", "2 pipelines valid").into()],
            findings: Some(findings.clone()),
            has_files: Some(true),
            ..publishing(1, &["deploy", "build"])
        })
        .await
        .expect("settles");
    assert!(!settled.repeated);

    let deploy = deploy(&store).await;
    assert_eq!((deploy.repository, deploy.commit, deploy.branch.as_str()), (repository("acme/shop"), sha(1), "main"));
    assert_eq!(deploy.pipeline, pipeline("shop", "deploy"));
    assert_eq!(names(&store).await, ["shop/deploy", "shop/build"], "in their author's order");
    let stored = store.execution_by_key(settled.executions[0]).await.expect("reads").expect("was created");
    assert_eq!(stored.execution.info.revision, Some(deploy.revision));
    assert_eq!(store.findings(&repository("acme/shop"), &sha(1)).await.expect("reads"), Some(findings));
    assert_eq!(store.due_inbox(10).await.expect("reads"), []);
    let said = store.due_outbox(10).await.expect("reads");
    let said: Vec<_> =
        said.iter().map(|row| (row.message.status().expect("a status").description.as_str(), row.execution)).collect();
    assert_eq!(said, [("Queued", Some(settled.executions[0])), ("2 pipelines valid", None)]);
    let applications = store.applications().await.expect("reads");
    assert_eq!((applications[0].name.as_str(), applications[0].pipelines, applications.len()), ("shop", 2, 1));
    assert_eq!(store.pipelines_of(&repository("acme/shop")).await.expect("reads").len(), 2);
    assert_eq!(store.pipelines_of(&repository("acme/other")).await.expect("reads"), []);
}

pub(super) async fn a_pipeline_that_vanished_is_withdrawn(fixture: Fixture) {
    let store = fixture.open().await;
    store.settle(publishing(1, &["deploy", "build"])).await.expect("settles");
    store.settle(publishing(2, &["test", "deploy"])).await.expect("settles");
    assert_eq!(names(&store).await, ["shop/test", "shop/deploy"]);
    assert_eq!(store.pipeline(&application("shop"), &pipeline_name("build")).await.expect("reads"), None);
    assert_eq!(store.pipelines(Some(&application("shop"))).await.expect("reads").len(), 2);
}

pub(super) async fn an_unchanged_pipeline_keeps_its_revision(fixture: Fixture) {
    let store = fixture.open().await;
    store.settle(publishing(1, &["deploy"])).await.expect("settles");
    let first = deploy(&store).await;
    store.settle(publishing(2, &["deploy"])).await.expect("settles");
    let second = deploy(&store).await;
    assert_eq!((second.revision, second.commit), (first.revision, sha(2)));
    let mut changed = publishing(3, &["deploy"]);
    changed.publish[0].pipelines[0].description = Some("Ships the shop".to_owned());
    store.settle(changed).await.expect("settles");
    assert!(deploy(&store).await.revision > first.revision);
}

pub(super) async fn what_references_to_modules_meant_is_kept_with_the_publication(fixture: Fixture) {
    let store = fixture.open().await;
    let pins = |number| {
        let kind = PinKind::Branch("main".to_owned());
        let pin = Pin { repository: "platform".to_owned(), reference: None, commit: sha(number), kind };
        [pin].into_iter().collect::<Pins>()
    };
    let settle = async |pins: Pins, number| {
        let publication = Publication { pins, ..publication("shop", "acme/shop", &["deploy"], number) };
        let what = Settlement { publish: vec![publication], ..settlement(None, number) };
        store.settle(what).await.expect("settles");
        deploy(&store).await
    };
    let first = settle(pins(11), 1).await;
    assert_eq!(first.pins, pins(11));
    // The document is the same, and so is its revision; what it was rendered from is told by the newest publication.
    let second = settle(pins(12), 2).await;
    assert_eq!((second.revision, &second.pins), (first.revision, &pins(12)));
    assert!(settle(Pins::default(), 3).await.pins.is_empty());
    store.close().await;
    assert_eq!(deploy(&fixture.open().await).await.pins, Pins::default());
}

pub(super) async fn an_application_of_another_repository_is_refused(fixture: Fixture) {
    let store = fixture.open().await;
    store.settle(publishing(1, &["deploy"])).await.expect("settles");
    let before = store.pipelines(None).await.expect("reads");
    let inbox = accept_new(&store, webhook(0, 2)).await;
    let other = || Settlement {
        inbox: Some(inbox),
        repository: repository("acme/other"),
        publish: vec![
            publication("other", "acme/other", &["deploy"], 2),
            publication("shop", "acme/other", &["deploy", "steal"], 2),
        ],
        withdraw: vec![application("shop")],
        executions: vec![run(), NewExecution { pipeline: pipeline("other", "deploy"), ..run() }],
        messages: vec![status("longboat/validate", "2 pipelines valid").into()],
        ..settlement(None, 2)
    };
    let neighbour = Settlement { publish: vec![publication("tea", "acme/tea", &["brew"], 2)], ..settlement(None, 2) };
    let neighbour = Settlement { repository: repository("acme/tea"), ..neighbour };
    let (refused, settled) = tokio::join!(store.settle(other()), store.settle(neighbour));
    let refused = refused.expect_err("is owned");
    assert!(
        matches!(&refused, StoreError::Owned { applications } if *applications == [application("shop")]),
        "{refused}"
    );
    assert_eq!(refused.to_string(), "the application shop belongs to another repository");
    settled.expect("whoever shares a transaction with it takes no harm");
    assert_eq!(store.pipelines(Some(&application("shop"))).await.expect("reads"), before);
    assert_eq!(names(&store).await, ["shop/deploy", "tea/brew"], "nothing of it holds");
    assert_eq!(store.due_outbox(10).await.expect("reads"), []);
    assert_eq!(store.due_inbox(10).await.expect("reads").len(), 1, "the entry is still to be worked off");
    // Without the stranger's application, all of it does.
    let mut own = other();
    own.publish.truncate(1);
    own.executions.remove(0);
    assert_eq!(store.settle(own).await.expect("settles").executions.len(), 1);
    assert_eq!(names(&store).await, ["other/deploy", "shop/deploy", "tea/brew"]);
    assert_eq!(store.due_inbox(10).await.expect("reads"), []);
}

pub(super) async fn a_withdrawn_application_is_free_again(fixture: Fixture) {
    let store = fixture.open().await;
    store.settle(publishing(1, &["deploy"])).await.expect("settles");
    store.settle(Settlement { withdraw: vec![application("shop")], ..settlement(None, 2) }).await.expect("settles");
    assert_eq!(store.applications().await.expect("reads"), []);
    assert_eq!(names(&store).await, [""; 0]);
    let taken = Settlement { publish: vec![publication("shop", "acme/other", &["deploy"], 3)], ..settlement(None, 3) };
    store.settle(taken).await.expect("settles");
    assert_eq!(deploy(&store).await.repository, repository("acme/other"));
}

pub(super) async fn settling_twice_does_it_once(fixture: Fixture) {
    let store = fixture.open().await;
    let inbox = accept_new(&store, webhook(0, 1)).await;
    let what = || Settlement { inbox: Some(inbox), executions: vec![run()], ..publishing(1, &["deploy"]) };
    assert_eq!(store.settle(what()).await.expect("settles").executions.len(), 1);
    let again = store.settle(what()).await.expect("settles");
    assert_eq!(again, Settled { repeated: true, ..Settled::default() });
    assert_eq!(store.live().await.expect("reads").len(), 1);
}

pub(super) async fn what_was_said_of_a_commit_is_not_said_again(fixture: Fixture) {
    let store = fixture.open().await;
    let validate =
        |text: &str| Settlement { messages: vec![status("longboat/validate", text).into()], ..publishing(1, &[]) };
    let said = async || {
        let mut said = Vec::new();
        while let Some(row) = store.due_outbox(10).await.expect("reads").into_iter().next() {
            store.outbox_sent(&[row.id]).await.expect("writes");
            said.push(row.message.status().expect("a status").description.clone());
        }
        said
    };
    store.settle(validate("1 pipeline valid")).await.expect("settles");
    store.settle(validate("1 pipeline valid")).await.expect("settles");
    assert_eq!(said().await, ["1 pipeline valid"], "the second one waits no more than the first");
    store.settle(validate("1 pipeline valid")).await.expect("settles");
    assert_eq!(said().await, [""; 0]);
    store.settle(validate("2 pipelines valid")).await.expect("settles");
    store.settle(validate("1 pipeline valid")).await.expect("settles");
    assert_eq!(said().await, ["2 pipelines valid", "1 pipeline valid"]);
    store.settle(validate("Failed: 1 error")).await.expect("settles");
    let refused = store.due_outbox(10).await.expect("reads")[0].id;
    store.outbox_failed(refused, "no").await.expect("writes");
    store.settle(validate("Failed: 1 error")).await.expect("settles");
    assert_eq!(said().await, ["Failed: 1 error"], "nobody heard it the first time");
}

pub(super) async fn a_settlement_that_fails_leaves_nothing(fixture: Fixture) {
    let store = fixture.open().await;
    let inbox = accept_new(&store, webhook(0, 1)).await;
    let known = run();
    created(&store, known.clone()).await;
    // The second execution has a public id that exists: the database refuses it at the very end.
    let what = Settlement {
        inbox: Some(inbox),
        executions: vec![run(), known],
        has_files: Some(true),
        ..publishing(1, &["deploy"])
    };
    assert!(matches!(store.settle(what).await, Err(StoreError::Database(_))));
    assert_eq!(store.applications().await.expect("reads"), []);
    assert_eq!(store.live().await.expect("reads").len(), 1);
    assert_eq!(store.due_inbox(10).await.expect("reads").len(), 1, "the entry is still to be done");
    assert_eq!(store.repository_states().await.expect("reads"), []);
}

pub(super) async fn a_start_by_hand_keeps_the_revision_it_names(fixture: Fixture) {
    let store = fixture.open().await;
    store.settle(publishing(1, &["deploy"])).await.expect("settles");
    let revision = deploy(&store).await.revision;
    let key = created(&store, NewExecution { revision: Some(revision), ..run() }).await;
    let other = created(&store, run()).await;
    let revision_of =
        async |key| store.execution_by_key(key).await.expect("reads").expect("exists").execution.info.revision;
    assert_eq!(revision_of(key).await, Some(revision));
    assert_eq!(revision_of(other).await, None::<RevisionId>);
}

pub(super) async fn what_is_known_of_a_repository_is_kept(fixture: Fixture) {
    let store = fixture.open().await;
    let shop = repository("acme/shop");
    let state = async || store.repository_states().await.expect("reads").remove(0);
    let well = RepositoryNote { error: None, has_files: Some(true) };
    store.note_repository(&shop, well).await.expect("writes");
    let reached = fixture.clock.now();
    assert_eq!((state().await.reached_at, state().await.has_files), (Some(reached), Some(true)));
    fixture.clock.advance(std::time::Duration::from_secs(5));
    let ill = RepositoryNote { error: Some("no answer within 30 s".to_owned()), has_files: None };
    store.note_repository(&shop, ill).await.expect("writes");
    assert_eq!(state().await.error.as_deref(), Some("no answer within 30 s"));
    assert_eq!((state().await.reached_at, state().await.has_files), (Some(reached), Some(true)));
    store.settle(Settlement { has_files: Some(false), ..settlement(None, 4) }).await.expect("settles");
    let now = state().await;
    assert_eq!((now.settled_commit, now.settled_ref.as_deref()), (Some(sha(4)), Some(MAIN)));
    assert_eq!((now.has_files, now.error.is_some()), (Some(false), true));
    assert_eq!((now.noted_at, now.settled_at), (fixture.clock.now(), Some(fixture.clock.now())));
}
