//! Who may define which application, on which branch.

use std::collections::BTreeMap;
use std::time::Duration;

use longboat::clock::Clock;
use longboat::diagnostic::Code;
use longboat::forge::Forges;
use longboat::git::GitOptions;
use longboat::model::CommitSha;
use longboat::store::{Approval, Store, StoreOptions, StoredRemoval};
use longboat::trigger::{ModuleOptions, RepositorySpec, TriggerOptions};

use super::world::{ON_MAIN, START, World, file, follow, may_define, repository};
use crate::support::postgres::with_database;
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

/// How many repositories want the same application.
const RIVALS: usize = 6;

/// What was to be said about the files of all commits since the last call.
async fn verdicts(world: &World) -> BTreeMap<CommitSha, Vec<String>> {
    let mut said: BTreeMap<CommitSha, Vec<String>> = BTreeMap::new();
    loop {
        let due = world.store.due_outbox(500).await.expect("reads");
        if due.is_empty() {
            return said;
        }
        for status in due.iter().filter_map(|entry| entry.message.status()) {
            if status.target.context == "longboat/validate" && status.description != "Checking" {
                let line = format!("{:?} {}", status.state, status.description);
                said.entry(status.target.commit.clone()).or_default().push(line);
            }
        }
        let ids: Vec<_> = due.iter().map(|entry| entry.id).collect();
        world.store.outbox_sent(&ids).await.expect("writes");
    }
}

/// The number of the repository that has the application, which has exactly one pipeline: that repository's.
async fn owner(world: &World) -> Option<usize> {
    let all = world.store.pipelines(None).await.expect("reads");
    let [one] = all.as_slice() else { return None };
    let number = one.repository.as_str().trim_start_matches("local/r").parse().expect("a number");
    assert_eq!(one.pipeline.name.as_str(), format!("by-{number}"), "whoever owns it is who defines it");
    Some(number)
}

fn lost_to(owner: usize) -> String {
    format!("Failure Failed: 1 error, shop.yaml:1 the application shop belongs to the repository local/r{owner}")
}

/// Checks that exactly one has it, and that each was told so once, with no word to the contrary before or after.
async fn one_has_it(world: &World, commits: &[CommitSha]) -> usize {
    let owner = owner(world).await.expect("somebody has it");
    let said = verdicts(world).await;
    for (number, commit) in commits.iter().enumerate() {
        let expected = if number == owner { "Success 1 pipeline valid".to_owned() } else { lost_to(owner) };
        assert_eq!(said.get(commit), Some(&vec![expected]), "of r{number}, while r{owner} has it: {said:#?}");
        let codes = found(world, &format!("local/r{number}"), commit).await;
        let expected = (Code::ForeignApplication, ".longboat/shop.yaml:1".to_owned());
        assert_eq!(codes, if number == owner { Vec::new() } else { vec![expected] });
    }
    owner
}

/// All look at the same application at once: one gets it, whatever comes after that, until it gives it up.
async fn rivals(store: Store, clock: Clock) {
    let repos: Vec<Repo> = (0..RIVALS).map(|_| Repo::new()).collect();
    let own_file = |number: usize| file("shop", ON_MAIN).replace("deploy", &format!("by-{number}"));
    let commits = |message: &str, change: &dyn Fn(usize, &Repo)| -> Vec<CommitSha> {
        let each = repos.iter().enumerate();
        each.map(|(number, repo)| {
            change(number, repo);
            repo.commit(message)
        })
        .collect()
    };
    let one = commits("One", &|number, repo| {
        repo.git(&["checkout", "--quiet", "-B", "main"]);
        repo.write(".longboat/shop.yaml", own_file(number));
    });
    let spec = |(number, repo): (usize, &Repo)| RepositorySpec {
        applications: Some(may_define(&[("shop*", None)])),
        ..follow(&format!("local/r{number}"), repo.path().to_string_lossy())
    };
    let specs: Vec<RepositorySpec> = repos.iter().enumerate().map(spec).collect();
    let modules = (Vec::new(), ModuleOptions::default());
    let (options, git) = (TriggerOptions::default(), GitOptions::default());
    let mut world = World::kept_in(store, clock, Forges::new(), specs, modules, options, git).await;
    let seen = async |world: &World, commits: &[CommitSha]| {
        world
            .until("all are settled", async |world| {
                let states = world.store.repository_states().await.expect("reads");
                let settled = |commit| states.iter().any(|state| state.settled_commit.as_ref() == Some(commit));
                commits.iter().all(settled) && world.store.next_inbox_due().await.expect("reads").is_none()
            })
            .await;
    };
    seen(&world, &one).await;
    let first = one_has_it(&world, &one).await;
    let published = world.store.pipelines(None).await.expect("reads");

    let two = commits("Two", &|_, repo| {
        repo.write("code", "1");
    });
    seen(&world, &two).await;
    assert_eq!(one_has_it(&world, &two).await, first, "pushes change nothing");
    assert_eq!(world.store.pipelines(None).await.expect("reads")[0].revision, published[0].revision);
    assert_eq!(world.started().await, [(format!("shop/by-{first}"), two[first].clone())], "and one alone starts");

    world.clock.advance(Duration::from_millis(1));
    world.restart().await;
    let since = world.clock.now();
    let all_since = async |world: &World| {
        let states = world.store.repository_states().await.expect("reads");
        states.len() == RIVALS && states.iter().all(|state| state.settled_at == Some(since))
    };
    world.until("all are looked at again", all_since).await;
    assert_eq!((owner(&world).await, verdicts(&world).await.len()), (Some(first), 0), "a start neither, and is silent");

    // The owner gives it up: another one has it with no push of its own, and says so where it said that it hasn't.
    std::fs::remove_file(repos[first].path().join(".longboat/shop.yaml")).expect("removed");
    let three = repos[first].commit("Three");
    world.until("another one has it", async |world| owner(world).await.is_some_and(|now| now != first)).await;
    seen(&world, std::slice::from_ref(&three)).await;
    let second = owner(&world).await.expect("one");
    world.idle().await;
    let said = verdicts(&world).await;
    for (number, commit) in two.iter().enumerate() {
        let expected = if number == second { "Success 1 pipeline valid".to_owned() } else { lost_to(second) };
        let last = said.get(commit).and_then(|said| said.last());
        assert_eq!(last, (number != first).then_some(&expected), "r{number}, from r{first} to r{second}: {said:#?}");
    }
    assert_eq!(said.get(&three), Some(&vec!["Success No pipeline files".to_owned()]));
    assert_eq!(world.started().await.len(), 1, "what changes hands starts nothing");

    repos[first].write(".longboat/shop.yaml", own_file(first));
    let four = repos[first].commit("Four");
    seen(&world, std::slice::from_ref(&four)).await;
    assert_eq!(owner(&world).await, Some(second), "who gave it up has no right to it");
    assert_eq!(verdicts(&world).await.get(&four), Some(&vec![lost_to(second)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_define_the_same_application_at_once_one_has_it_on_sqlite() {
    let clock = Clock::manual(START);
    rivals(Store::temporary(clock.clone()).await.expect("a store"), clock).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_define_the_same_application_at_once_one_has_it_on_postgres() {
    with_database(|url| async move {
        let clock = Clock::manual(START);
        let options = StoreOptions { durable: false, ..StoreOptions::new(url, "the test") };
        let store = Store::open(options, clock.clone()).await.expect("the store opens");
        rivals(store.clone(), clock).await;
        store.close().await;
    })
    .await;
}

/// An application file with a number of pipelines.
fn many(application: &str, pipelines: u32) -> String {
    let one = |at: u32| format!("  - {{name: p{at}, stages: [{{id: one, type: noop}}]}}\n");
    format!("application: {application}\npipelines:\n{}", (0..pipelines).map(one).collect::<String>())
}

async fn waiting(world: &World) -> Vec<StoredRemoval> {
    let all = world.store.removals(None).await.expect("reads");
    all.into_iter().filter(|one| one.approved.is_none()).collect()
}

#[tokio::test]
async fn a_slip_in_the_rules_takes_nothing_away_until_it_is_approved() {
    let (one, two) = (Repo::new(), Repo::new());
    for repo in [&one, &two] {
        repo.git(&["checkout", "--quiet", "-B", "main"]);
    }
    let first =
        one.write(".longboat/shop.yaml", many("shop", 6)).write(".longboat/tea.yaml", many("tea", 1)).commit("One");
    two.write(".longboat/shop.yaml", many("shop", 1)).commit("One");
    let specs = |of_one: &[&str]| {
        let names: Vec<_> = of_one.iter().map(|name| (*name, None)).collect();
        let mut specs =
            [follow("local/one", one.path().to_string_lossy()), follow("local/two", two.path().to_string_lossy())];
        specs[0].applications = Some(may_define(&names));
        specs[1].applications = Some(may_define(&[]));
        Vec::from(specs)
    };
    let mut world = World::new(specs(&["shop", "tea"])).await;
    world.seen("local/one").await;
    world.seen("local/two").await;
    let before = world.published().await;
    assert_eq!(before.len(), 7);

    let mut slip = specs(&["shpo", "tea"]);
    slip[1].applications = Some(may_define(&[("shop", None)]));
    world.restart_with(slip.clone()).await;
    let waits = waiting(&world).await;
    assert_eq!(waits.len(), 1, "before anything else: {waits:?}");
    assert!(waits[0].is_by_configuration());
    assert_eq!((&waits[0].commit, waits[0].pipelines.len(), waits[0].of), (&first, 6, 7));
    // The one that may have it now hasn't, and the one that has it goes on with the rest.
    let push = two.write("code", "1").commit("Two");
    world.settled(&push).await;
    let said = validate(&world, &push).await;
    assert!(said.ends_with("shop.yaml:1 the application shop belongs to the repository local/one"), "{said}");
    let second = one.write(".longboat/tea.yaml", many("tea", 2)).commit("Two");
    world.settled(&second).await;
    let said = validate(&world, &second).await;
    assert!(said.ends_with("shop.yaml:1 this repository may not define the application shop"), "{said}");
    assert_eq!(world.published().await.len(), 8, "tea has one more, and shop all that it had");
    assert_eq!(waiting(&world).await, waits, "pushes leave it as it is");

    world.restart_with(specs(&["shop", "tea"])).await;
    assert_eq!(waiting(&world).await, [], "the slip was mended");
    world.until("the commit is good now", async |world| found(world, "local/one", &second).await.is_empty()).await;
    world.idle().await;
    assert_eq!(validate(&world, &second).await, "longboat/validate: Success 8 pipelines valid");
    assert_eq!(world.published().await.len(), 8);

    // Meant after all.
    world.clock.advance(Duration::from_millis(1));
    world.restart_with(slip).await;
    let waits = waiting(&world).await;
    assert_eq!((waits.len(), &waits[0].commit), (1, &second));
    let name = repository("local/one");
    assert_eq!(world.store.approve_removal(&name, &first, "ann").await.expect("written"), Approval::NotRefused);
    let given = world.store.approve_removal(&name, &second, "ann").await.expect("written");
    assert!(matches!(given, Approval::Given(_)), "{given:?}");
    let taken = ["shop/p0", "tea/p0", "tea/p1"];
    world.until("the other one has it, without a push", async |world| world.published().await == taken).await;
    world.idle().await;
    assert_eq!(validate(&world, &push).await, "longboat/validate: Success 1 pipeline valid");
    assert!(found(&world, "local/two", &push).await.is_empty());
    assert_eq!(world.started().await, [], "nothing is started by it");
}

#[tokio::test]
async fn a_repository_that_is_not_followed_any_more_loses_what_it_has_once_that_is_approved() {
    let repos: Vec<Repo> = (0..3).map(|_| Repo::new()).collect();
    for (number, repo) in repos.iter().enumerate() {
        repo.git(&["checkout", "--quiet", "-B", "main"]);
        repo.write(".longboat/a.yaml", many(&format!("app-{number}"), 3)).commit("One");
    }
    let specs = |numbers: std::ops::Range<usize>| -> Vec<RepositorySpec> {
        numbers.map(|at| follow(&format!("local/r{at}"), repos[at].path().to_string_lossy())).collect()
    };
    let mut world = World::new(specs(0..3)).await;
    let all = async |world: &World| world.published().await.len() == 9;
    world.until("all are published", all).await;
    world.idle().await;

    // Three of nine go by themselves, and come back with the repository.
    world.restart_with(specs(0..2)).await;
    assert_eq!(world.published().await.len(), 6, "before anything else");
    assert_eq!(waiting(&world).await, []);
    world.restart_with(specs(0..3)).await;
    world.until("all are published again", all).await;

    // Two thirds don't, although of each repository there are but a few.
    world.clock.advance(Duration::from_millis(1));
    world.restart_with(specs(2..3)).await;
    let waits = waiting(&world).await;
    let listed: Vec<_> = waits.iter().map(|one| (one.repository.as_str(), one.pipelines.len(), one.of)).collect();
    assert_eq!(listed, [("local/r0", 3, 3), ("local/r1", 3, 3)]);
    assert_eq!(world.published().await.len(), 9);
    let approve = async |world: &World, number: usize| {
        let name = repository(&format!("local/r{number}"));
        let given = world.store.approve_removal(&name, &repos[number].head(), "ann").await.expect("written");
        assert!(matches!(given, Approval::Given(_)), "{given:?}");
    };
    approve(&world, 0).await;
    world.until("it is gone", async |world| world.published().await.len() == 6).await;
    world.idle().await;
    assert_eq!(waiting(&world).await.len(), 1, "the other one still waits");
    approve(&world, 1).await;
    world.until("both are gone", async |world| world.published().await.len() == 3).await;
    world.idle().await;

    // What came back is there by its own right: the same slip again needs another word.
    world.clock.advance(Duration::from_millis(1));
    world.restart_with(specs(0..3)).await;
    world.until("all are back", all).await;
    world.idle().await;
    world.restart_with(specs(2..3)).await;
    assert_eq!(waiting(&world).await.len(), 2);
    assert_eq!(world.published().await.len(), 9);
}
