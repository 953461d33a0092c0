//! The graph of dependencies.

use super::Fixture;
use super::sample::{accept_new, application, repository, settlement, sha, webhook};
use crate::store::{Accepted, Dependent, FileDependency, ReferenceUse, Settlement, Source};

fn used(file: &str, module: &str, reference: Option<&str>, commit: u64) -> FileDependency {
    FileDependency {
        application: Some(application("shop")),
        file: file.to_owned(),
        used_repository: Some("platform".to_owned()),
        module: Some(format!("platform/{module}")),
        used_file: Some(format!("{module}.yaml")),
        reference: reference.map(str::to_owned),
        commit: Some(sha(commit)),
        line: Some(4),
        through: vec!["platform/release@v2".to_owned(), "outer".to_owned()],
    }
}

/// A variable file of the repository itself.
fn own() -> FileDependency {
    FileDependency {
        application: None,
        used_repository: None,
        module: None,
        used_file: Some(".longboat/vars/a.yaml".to_owned()),
        commit: None,
        line: None,
        through: Vec::new(),
        ..used("a.yaml", "x", None, 1)
    }
}

fn using(uses: Vec<FileDependency>) -> Settlement {
    Settlement { uses: Some(uses), ..settlement(None, 1) }
}

pub(super) async fn what_files_use_is_kept_by_branch_and_replaced_as_a_whole(fixture: Fixture) {
    let store = fixture.open().await;
    // More rows than a statement takes.
    let many: Vec<_> = (0..700).map(|number| used("a.yaml", &format!("m{number:03}"), None, 7)).collect();
    store.settle(using(many.clone())).await.expect("settles");
    assert_eq!(store.dependencies(&repository("acme/shop"), "main").await.expect("reads"), many);
    let few = vec![used("a.yaml", "deploy", Some("v1"), 7), used("b.yaml", "deploy", Some("v1"), 7), own()];
    store.settle(using(few.clone())).await.expect("settles");
    store.settle(using(few.clone())).await.expect("settles");
    let other = Settlement { git_ref: "refs/heads/next".to_owned(), ..using(vec![used("a.yaml", "deploy", None, 8)]) };
    store.settle(other).await.expect("settles");
    assert_eq!(store.dependencies(&repository("acme/shop"), "main").await.expect("reads"), few);

    let of = |branch: &str, uses: &FileDependency| Dependent {
        repository: repository("acme/shop"),
        branch: branch.to_owned(),
        uses: uses.clone(),
    };
    let dependents = store.dependents("platform/deploy").await.expect("reads");
    assert_eq!(dependents, [of("main", &few[0]), of("main", &few[1]), of("next", &used("a.yaml", "deploy", None, 8))]);
    let of_all = store.dependents_of_all("platform").await.expect("reads");
    assert_eq!(of_all, dependents, "a variable file of its own is not among them");
    assert_eq!(store.used_modules().await.expect("reads"), ["platform/deploy"]);
    assert_eq!(store.dependents("platform/x").await.expect("reads"), []);
    let reference = |branch: &str, reference: Option<&str>, commit| ReferenceUse {
        repository: repository("acme/shop"),
        branch: branch.to_owned(),
        reference: reference.map(str::to_owned),
        commit: Some(sha(commit)),
        used_file: Some("deploy.yaml".to_owned()),
    };
    let references = store.references_to("platform").await.expect("reads");
    assert_eq!(references, [reference("main", Some("v1"), 7), reference("next", None, 8)]);
    store.settle(using(Vec::new())).await.expect("settles");
    assert_eq!(store.references_to("platform").await.expect("reads"), [reference("next", None, 8)]);
}

pub(super) async fn a_settlement_that_says_nothing_of_uses_leaves_them(fixture: Fixture) {
    let store = fixture.open().await;
    store.settle(using(vec![own()])).await.expect("settles");
    store.settle(settlement(None, 2)).await.expect("settles");
    // A tag is no branch.
    let tag = Settlement { git_ref: "refs/tags/main".to_owned(), ..using(Vec::new()) };
    store.settle(tag).await.expect("settles");
    store.close().await;
    let store = fixture.open().await;
    assert_eq!(store.dependencies(&repository("acme/shop"), "main").await.expect("reads"), [own()]);
}

pub(super) async fn a_branch_is_looked_at_again_without_a_move(fixture: Fixture) {
    let store = fixture.open().await;
    let first = accept_new(&store, webhook(0, 1)).await;
    store.settle(settlement(Some(first), 1)).await.expect("settles");
    let shop = || repository("acme/shop");
    let branches = vec![(shop(), "main".to_owned()), (shop(), "unknown".to_owned())];
    assert_eq!(store.look_again(branches).await.expect("writes"), 1);
    let due = store.due_inbox(10).await.expect("reads");
    assert_eq!(
        (due.len(), due[0].source, &due[0].new, &due[0].old),
        (1, Source::Modules, &Some(sha(1)), &Some(sha(1)))
    );
    // A push is still told from what is known: it is new once, and its late repetition is not.
    let second = accept_new(&store, webhook(1, 2)).await;
    assert_eq!(store.accept(webhook(1, 2)).await.expect("writes"), Accepted::Duplicate);
    assert_eq!(store.look_again(vec![(shop(), "main".to_owned())]).await.expect("writes"), 1);
    let third = accept_new(&store, webhook(2, 3)).await;
    let ids: Vec<_> =
        store.pending_inbox(&shop(), "refs/heads/main").await.expect("reads").iter().map(|one| one.id).collect();
    assert_eq!((ids[0], ids[1], ids[3]), (due[0].id, second, third));
    assert_eq!(store.accept(webhook(0, 1)).await.expect("writes"), Accepted::Duplicate);
}
