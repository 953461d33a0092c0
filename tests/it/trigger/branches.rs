//! Branches that aren't tracked, that come and that go.

use super::world::{World, file, follow, repository};
use crate::support::repo::Repo;

async fn world_of(repo: &Repo, triggers: &str) -> World {
    repo.write(".longboat/shop.yaml", file("shop", triggers)).commit("One");
    let world = World::new(vec![follow("local/shop", repo.path().to_string_lossy())]).await;
    world.seen("local/shop").await;
    world
}

#[tokio::test]
async fn another_branch_is_validated_and_runs_the_published_definition() {
    let repo = Repo::new();
    let world = world_of(&repo, "[{type: git, branches: [topic]}]").await;
    let revision = world.store.pipelines(None).await.expect("reads")[0].revision;
    repo.git(&["checkout", "--quiet", "-b", "topic"]);
    repo.write(".longboat/shop.yaml", file("shop", "[{type: git}]").replace("deploy", "evil"));
    let two = repo.write(".longboat/broken.yaml", "application: broken\npipelines: 3\n").commit("Two");
    world.settled(&two).await;
    assert_eq!(world.published().await, ["shop/deploy"], "nothing of it is published");
    let executions = world.executions().await;
    let [execution] = executions.as_slice() else { panic!("{executions:?}") };
    assert_eq!(execution.pipeline.name.as_str(), "deploy");
    assert_eq!((execution.revision, execution.commit.as_ref()), (Some(revision), Some(&two)));
    assert_eq!(execution.trigger.branch.as_deref(), Some("topic"));
    let said = world.said(&two).await;
    assert!(
        said.iter().any(|line| line.starts_with("longboat/validate: Failure Failed: 1 error, broken.yaml:2 ")),
        "{said:?}"
    );
    assert!(world.store.findings(&repository("local/shop"), &two).await.expect("reads").is_some());
}

#[tokio::test]
async fn a_new_branch_at_a_commit_that_ran_is_news_only_to_who_named_it() {
    let repo = Repo::new();
    let world = world_of(&repo, "[{type: git}]").await;
    let two = repo.commit("Two");
    world.settled(&two).await;
    assert_eq!(world.started().await.len(), 1);
    repo.git(&["branch", "copy"]);
    world
        .until("the branch was settled", async |world| {
            let states = world.store.repository_states().await.expect("reads");
            states[0].settled_ref.as_deref() == Some("refs/heads/copy")
        })
        .await;
    world.idle().await;
    assert_eq!(world.started().await.len(), 1);

    repo.write(".longboat/shop.yaml", file("shop", "[{type: git, branches: ['release/*']}]"));
    let three = repo.commit("Three");
    world.settled(&three).await;
    repo.git(&["branch", "release/1"]);
    world.until("the release runs", async |world| world.started().await.len() == 2).await;
    assert_eq!(world.executions().await[1].trigger.branch.as_deref(), Some("release/1"));
}

#[tokio::test]
async fn a_deleted_branch_starts_nothing_and_keeps_what_it_published() {
    let repo = Repo::new();
    let world = world_of(&repo, "[{type: git}]").await;
    repo.git(&["checkout", "--quiet", "-b", "topic"]);
    let gone = |branch: &'static str| {
        async move |world: &World| {
            let head = world.store.head(&repository("local/shop"), branch).await.expect("reads");
            head.is_some_and(|head| head.commit.is_none())
                && world.store.next_inbox_due().await.expect("reads").is_none()
        }
    };
    repo.git(&["branch", "--delete", "--force", "main"]);
    world.until("main is gone", gone("refs/heads/main")).await;
    assert_eq!(world.published().await, ["shop/deploy"]);
    repo.git(&["branch", "main"]);
    let head = repo.head();
    world
        .until("main is back", async |world| {
            let main = world.store.head(&repository("local/shop"), "refs/heads/main").await.expect("reads");
            main.is_some_and(|main| main.commit.as_ref() == Some(&head))
        })
        .await;
    world.idle().await;
}

#[tokio::test]
async fn a_forced_push_runs_and_the_history_before_it_doesn_t_matter() {
    let repo = Repo::new();
    let world = world_of(&repo, "[{type: git, branches: [main], paths: [src]}]").await;
    repo.write("src", "1");
    repo.git(&["add", "--all"]);
    repo.git(&["commit", "--quiet", "--amend", "--message", "Rewritten"]);
    let rewritten = repo.head();
    world.settled(&rewritten).await;
    assert_eq!(world.started().await, [("shop/deploy".to_owned(), rewritten)]);
}
