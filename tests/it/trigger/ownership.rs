//! Who may define which application, on which branch.

use longboat::diagnostic::Code;
use longboat::model::CommitSha;

use super::world::{ON_MAIN, World, file, follow, may_define, repository};
use crate::support::repo::Repo;

/// What was found in a commit: code, file and line of each.
async fn found(world: &World, name: &str, commit: &CommitSha) -> Vec<(Code, String)> {
    let found = world.store.findings(&repository(name), commit).await.expect("reads").expect("was looked at");
    let line = |place: &longboat::diagnostic::Place| format!("{}:{}", place.file, place.line);
    found.findings.iter().map(|one| (one.code, one.place.as_ref().map(line).unwrap_or_default())).collect()
}

async fn validate(world: &World, commit: &CommitSha) -> String {
    let said = world.said(commit).await;
    said.into_iter().rfind(|line| line.starts_with("longboat/validate")).expect("validated")
}

#[tokio::test]
async fn a_branch_publishes_what_the_operator_lets_it_and_says_all_that_it_may_not() {
    let repo = Repo::new();
    repo.git(&["checkout", "--quiet", "-B", "main"]);
    repo.write(".longboat/tea.yaml", file("tea", ON_MAIN)).commit("One");
    repo.git(&["branch", "release"]);
    let mut spec = follow("local/shop", repo.path().to_string_lossy());
    spec.branches = vec!["main".to_owned(), "release".to_owned()];
    spec.applications = Some(may_define(&[("tea", None), ("infra-*", Some(&["release"]))]));
    let world = World::new(vec![spec]).await;
    world.seen("local/shop").await;

    repo.write(".longboat/infra.yaml", format!("# kept apart\n{}", file("infra-eu", ON_MAIN)));
    let main = repo.write(".longboat/bank.yaml", file("bank", ON_MAIN)).commit("Two");
    world.settled(&main).await;
    assert_eq!(world.published().await, ["tea/deploy"]);
    let foreign = |place: &str| (Code::ForeignApplication, place.to_owned());
    assert_eq!(
        found(&world, "local/shop", &main).await,
        [foreign(".longboat/bank.yaml:1"), foreign(".longboat/infra.yaml:2")],
        "each where it is named"
    );
    let said = validate(&world, &main).await;
    let expected =
        "longboat/validate: Failure Failed: 2 errors, bank.yaml:1 this repository may not define the application bank";
    assert_eq!(said, expected);
    assert_eq!(world.started().await, [("tea/deploy".to_owned(), main.clone())], "what is refused starts nothing");

    // A branch that isn't tracked publishes nothing, and isn't asked whether it might.
    repo.git(&["checkout", "--quiet", "-b", "topic", "release"]);
    let topic = repo.write(".longboat/infra.yaml", file("infra-eu", ON_MAIN)).commit("Three");
    world.settled(&topic).await;
    assert_eq!(found(&world, "local/shop", &topic).await, []);

    repo.git(&["branch", "--quiet", "-f", "release", "topic"]);
    world.until("the release is published", async |world| world.published().await.len() == 2).await;
    assert_eq!(world.published().await, ["infra-eu/deploy", "tea/deploy"]);
}

#[tokio::test]
async fn what_the_operator_takes_from_a_repository_goes_and_another_may_have_it() {
    let (one, two) = (Repo::new(), Repo::new());
    for repo in [&one, &two] {
        repo.git(&["checkout", "--quiet", "-B", "main"]);
    }
    one.write(".longboat/shop.yaml", file("shop", ON_MAIN)).write(".longboat/tea.yaml", file("tea", ON_MAIN));
    one.commit("One");
    two.write(".longboat/shop.yaml", file("shop", ON_MAIN).replace("deploy", "ship")).commit("One");
    let specs = |of_one: Option<&[&str]>, of_two: &[&str]| {
        let names = |all: &[&str]| may_define(&all.iter().map(|name| (*name, None)).collect::<Vec<_>>());
        let mut specs =
            [follow("local/one", one.path().to_string_lossy()), follow("local/two", two.path().to_string_lossy())];
        specs[0].applications = of_one.map(names);
        specs[1].applications = Some(names(of_two));
        Vec::from(specs)
    };
    let mut world = World::new(specs(None, &[])).await;
    world.seen("local/one").await;
    world.seen("local/two").await;
    assert_eq!(world.published().await, ["shop/deploy", "tea/deploy"]);

    world.restart_with(specs(Some(&["tea"]), &[])).await;
    world.until("it is taken away", async |world| world.published().await == ["tea/deploy"]).await;

    world.restart_with(specs(Some(&["tea"]), &["shop"])).await;
    world.until("the other one has it", async |world| world.published().await == ["shop/ship", "tea/deploy"]).await;

    // Both may: it stays where it is.
    world.restart_with(specs(None, &["shop"])).await;
    world.idle().await;
    let commit = one.write("README", "x").commit("Two");
    world.settled(&commit).await;
    assert_eq!(world.published().await, ["shop/ship", "tea/deploy"]);
    let said = validate(&world, &commit).await;
    assert!(said.ends_with("shop.yaml:1 the application shop belongs to the repository local/two"), "{said}");
}
