//! What is published, what stays, and what goes.

use super::world::{ON_MAIN, World, application, file, follow, may_define, repository};
use crate::support::repo::Repo;

async fn world_of(repo: &Repo) -> World {
    let world = World::new(vec![follow("local/shop", repo.path().to_string_lossy())]).await;
    world.seen("local/shop").await;
    world
}

#[tokio::test]
async fn an_application_with_errors_keeps_its_last_good_revision_and_others_go_on() {
    let repo = Repo::new();
    repo.write(".longboat/shop.yaml", file("shop", ON_MAIN)).write(".longboat/tea.yaml", file("tea", ON_MAIN));
    repo.commit("One");
    let world = world_of(&repo).await;
    let before = world.store.pipelines(Some(&application("shop"))).await.expect("reads");

    repo.write(".longboat/shop.yaml", file("shop", ON_MAIN).replace("noop", "nope"));
    repo.write(".longboat/tea.yaml", file("tea", ON_MAIN).replace("deploy", "brew"));
    let two = repo.commit("Two");
    world.settled(&two).await;
    assert_eq!(world.published().await, ["shop/deploy", "tea/brew"]);
    assert_eq!(world.store.pipelines(Some(&application("shop"))).await.expect("reads"), before);
    assert_eq!(world.started().await, [("tea/brew".to_owned(), two.clone())], "what has errors starts nothing");
    let said = world.said(&two).await;
    let validate = said.iter().rfind(|line| line.starts_with("longboat/validate")).expect("validated");
    assert!(validate.starts_with("longboat/validate: Failure Failed: 1 error, shop.yaml:5 "), "{validate}");
    let found = world.store.findings(&repository("local/shop"), &two).await.expect("reads").expect("kept");
    assert_eq!((found.pipelines, found.findings.len()), (1, 1));
    assert_eq!(found.findings[0].place.as_ref().map(|place| place.line), Some(5));
}

#[tokio::test]
async fn an_application_goes_with_its_file_unless_a_file_can_t_be_told_whose_it_is() {
    let repo = Repo::new();
    repo.write(".longboat/shop.yaml", file("shop", ON_MAIN)).write(".longboat/tea.yaml", file("tea", ON_MAIN));
    repo.commit("One");
    let world = world_of(&repo).await;
    assert_eq!(world.published().await, ["shop/deploy", "tea/deploy"]);

    let two = repo.write(".longboat/tea.yaml", "application: [what\n").commit("Two");
    world.settled(&two).await;
    assert_eq!(world.published().await, ["shop/deploy", "tea/deploy"], "nobody knows what it was to be");

    std::fs::remove_file(repo.path().join(".longboat/tea.yaml")).expect("removed");
    let three = repo.commit("Three");
    world.settled(&three).await;
    assert_eq!(world.published().await, ["shop/deploy"]);

    std::fs::remove_file(repo.path().join(".longboat/shop.yaml")).expect("removed");
    let four = repo.commit("Four");
    world.settled(&four).await;
    assert!(world.published().await.is_empty());
    assert_eq!(
        world.said(&four).await,
        ["longboat/validate: Pending Checking", "longboat/validate: Success No pipeline files"]
    );
    let five = repo.commit("Five");
    world.settled(&five).await;
    assert_eq!(world.said(&five).await, ["longboat/validate: Success No pipeline files"], "and no pending before it");
}

#[tokio::test]
async fn an_application_belongs_to_one_repository_until_that_one_lets_go() {
    let (one, two) = (Repo::new(), Repo::new());
    one.write(".longboat/shop.yaml", file("shop", ON_MAIN)).commit("One");
    two.write("README", "nothing yet").commit("One");
    let specs =
        vec![follow("local/one", one.path().to_string_lossy()), follow("local/two", two.path().to_string_lossy())];
    let mut world = World::new(specs.clone()).await;
    world.seen("local/one").await;
    world.seen("local/two").await;
    let taken = two.write(".longboat/a.yaml", file("shop", ON_MAIN).replace("deploy", "steal")).commit("Two");
    world.settled(&taken).await;
    assert_eq!(world.published().await, ["shop/deploy"]);
    assert!(world.started().await.is_empty());
    let said = world.said(&taken).await;
    assert!(
        said.iter().any(|line| line.contains("a.yaml:1 the application shop belongs to the repository local/one")),
        "{said:?}"
    );

    // The first one is followed no more: the name is free.
    world.restart_with(vec![specs[1].clone()]).await;
    world.until("it is taken over", async |world| world.published().await == ["shop/steal"]).await;
}

#[tokio::test]
async fn the_configuration_says_which_applications_a_repository_may_define() {
    let repo = Repo::new();
    repo.write(".longboat/shop.yaml", file("shop", ON_MAIN)).write(".longboat/tea.yaml", file("tea", ON_MAIN));
    repo.commit("One");
    let mut spec = follow("local/shop", repo.path().to_string_lossy());
    spec.applications = Some(may_define(&[("tea", None)]));
    let world = World::new(vec![spec]).await;
    world.seen("local/shop").await;
    assert_eq!(world.published().await, ["tea/deploy"]);
}
