//! What a server does with a repository that it has never seen, and with one that it knows.

use longboat::git::GitOptions;
use longboat::model::CauseKind;
use longboat::trigger::TriggerOptions;

use super::world::{ON_MAIN, World, file, follow};
use crate::support::repo::Repo;

fn shop() -> Repo {
    let repo = Repo::new();
    repo.write(".longboat/shop.yaml", file("shop", ON_MAIN)).commit("One");
    repo
}

#[tokio::test]
async fn what_was_there_is_published_and_starts_nothing_and_the_next_commit_runs() {
    let repo = shop();
    let one = repo.head();
    repo.git(&["branch", "topic"]);
    repo.git(&["tag", "v1"]);
    let world = World::new(vec![follow("local/shop", repo.path().to_string_lossy())]).await;
    world.seen("local/shop").await;
    assert_eq!(world.published().await, ["shop/deploy"]);
    assert!(world.started().await.is_empty());
    assert_eq!(world.said(&one).await, ["longboat/validate: Success 1 pipeline valid"]);
    assert_eq!(world.store.heads(&super::world::repository("local/shop")).await.expect("reads").len(), 3);

    let two = repo.commit("Two\n\nMore");
    world.settled(&two).await;
    let executions = world.executions().await;
    let [execution] = executions.as_slice() else { panic!("{executions:?}") };
    let cause = &execution.trigger;
    assert_eq!(cause.kind, CauseKind::Git);
    assert_eq!((cause.commit.as_ref(), cause.previous.as_ref()), (Some(&two), Some(&one)));
    assert_eq!(cause.branch.as_deref(), Some("main"));
    assert_eq!((cause.author.as_deref(), cause.message.as_deref()), (Some("Ann Author"), Some("Two")));
    assert_eq!((cause.actor.as_deref(), cause.event.as_deref()), (None, Some("push")));
    assert_eq!(execution.commit.as_ref(), Some(&two));
    assert!(execution.revision.is_some(), "it names the revision that was published with it");
    assert_eq!(
        world.said(&two).await,
        [
            "longboat/validate: Pending Checking",
            "longboat/shop/deploy: Pending Queued",
            "longboat/validate: Success 1 pipeline valid"
        ]
    );
    world.until("it was handed to the engine", async |world| world.submitted.lock().expect("whole").len() == 1).await;
}

#[tokio::test]
async fn with_run_first_what_was_there_counts_as_pushed() {
    let repo = shop();
    repo.git(&["branch", "topic"]);
    let options = TriggerOptions { run_first: true, ..TriggerOptions::default() };
    let specs = vec![follow("local/shop", repo.path().to_string_lossy())];
    let mut world = World::with(specs, options, GitOptions::default()).await;
    let notice = world.notices.recv().await.expect("a notice");
    assert_eq!((notice.branch.as_str(), notice.message.as_str(), notice.tracked), ("main", "One", true));
    assert_eq!(notice.validate.description, "1 pipeline valid");
    assert_eq!(notice.executions.len(), 1);
    world.idle().await;
    assert_eq!(world.started().await, [("shop/deploy".to_owned(), repo.head())]);
    world.restart().await;
    world.seen("local/shop").await;
    assert_eq!(world.started().await.len(), 1, "the second start is no first sight");
}

#[tokio::test]
async fn a_restart_runs_what_was_pushed_meanwhile_and_says_nothing_twice() {
    let repo = shop();
    let one = repo.head();
    let mut world = World::new(vec![follow("local/shop", repo.path().to_string_lossy())]).await;
    world.seen("local/shop").await;
    world.said(&one).await;
    world.restart().await;
    world
        .until("published again", async |world| {
            let set = world.triggers.repositories().clone();
            let known = set.iter().next().expect("one").tracked();
            known.is_some()
        })
        .await;
    world.idle().await;
    assert!(world.said(&one).await.is_empty());

    world.triggers.shutdown().await;
    let two = repo.commit("Two");
    repo.git(&["branch", "release"]);
    world.restart().await;
    world.settled(&two).await;
    world.idle().await;
    assert_eq!(world.started().await, [("shop/deploy".to_owned(), two)]);
}

#[tokio::test]
async fn another_tracked_branch_takes_effect_at_the_next_start() {
    let repo = shop();
    repo.git(&["checkout", "--quiet", "-b", "prod"]);
    repo.write(".longboat/other.yaml", file("other", "[]")).commit("Two");
    repo.git(&["checkout", "--quiet", "main"]);
    let spec = follow("local/shop", repo.path().to_string_lossy());
    let mut world = World::new(vec![spec.clone()]).await;
    world.seen("local/shop").await;
    assert_eq!(world.published().await, ["shop/deploy"]);
    let mut spec = spec;
    spec.branches = vec!["main".to_owned(), "prod".to_owned()];
    world.restart_with(vec![spec]).await;
    world.until("prod is published", async |world| world.published().await == ["other/deploy", "shop/deploy"]).await;
    assert!(world.started().await.is_empty());
}

#[tokio::test]
async fn an_empty_repository_waits_for_its_first_commit() {
    let repo = Repo::new();
    let world = World::new(vec![follow("local/shop", repo.path().to_string_lossy())]).await;
    world
        .until("the first look", async |world| {
            let states = world.store.repository_states().await.expect("reads");
            states.first().is_some_and(|state| state.reached_at.is_some() && state.error.is_none())
        })
        .await;
    let one = repo.write(".longboat/shop.yaml", file("shop", ON_MAIN)).commit("One");
    world.settled(&one).await;
    assert_eq!(world.started().await, [("shop/deploy".to_owned(), one)], "a push to a known repository is a push");
}
