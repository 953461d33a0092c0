//! Who uses a module, and what the files of a repository use.

use serde_json::json;

use super::reads::seed;
use super::*;
use crate::config::{Dependents, ModuleRepository, ModuleSource};
use crate::model::{CommitSha, RepositoryName};
use crate::store::{FileDependency, Settlement};

fn sha(letter: char) -> CommitSha {
    letter.to_string().repeat(40).parse().expect("a commit")
}

fn shop() -> RepositoryName {
    "acme/shop".parse().expect("a name")
}

fn used(repository: Option<&str>, module: &str, reference: Option<&str>) -> FileDependency {
    FileDependency {
        application: Some("shop".parse().expect("a name")),
        file: ".longboat/shop.yaml".to_owned(),
        used_repository: repository.map(str::to_owned),
        module: Some(module.to_owned()),
        used_file: Some("some.yaml".to_owned()),
        reference: reference.map(str::to_owned),
        commit: repository.filter(|name| *name != "std").map(|_| sha(if reference.is_some() { 'b' } else { 'a' })),
        line: Some(7),
        through: Vec::new(),
    }
}

/// A world with the module repository `platform`, that tells this much, and with what the branches of `acme/shop` use.
async fn world(dependents: Dependents) -> World {
    let world = World::following_with(|config| {
        config.modules.push(ModuleRepository {
            name: "platform".to_owned(),
            source: ModuleSource::Followed(shop()),
            reference: None,
            folder: String::new(),
            dependents,
        });
    })
    .await;
    seed(&world).await;
    let file = FileDependency { module: None, line: None, ..used(None, "", None) };
    let through = FileDependency {
        file: ".longboat/tea.yaml".to_owned(),
        through: vec!["platform/all".to_owned()],
        ..used(Some("platform"), "platform/deploy", None)
    };
    let main = vec![
        used(Some("platform"), "platform/all", None),
        used(Some("platform"), "platform/deploy", None),
        used(Some("platform"), "platform/deploy", Some("v1")),
        through,
        used(Some("std"), "std/approve", None),
        used(None, "own", None),
        file,
    ];
    let old = vec![used(Some("platform"), "platform/deploy", Some("v0"))];
    for (branch, uses) in [("main", main), ("old", old)] {
        let heads = vec![(format!("refs/heads/{branch}"), sha('c'))];
        world.state.store.remember_heads(&shop(), heads).await.expect("written");
        keep(&world, branch, uses).await;
    }
    world
}

async fn keep(world: &World, branch: &str, uses: Vec<FileDependency>) {
    let settlement = Settlement {
        inbox: None,
        also: Vec::new(),
        repository: shop(),
        git_ref: format!("refs/heads/{branch}"),
        commit: Some(sha('c')),
        publish: Vec::new(),
        withdraw: Vec::new(),
        removal: None,
        executions: Vec::new(),
        messages: Vec::new(),
        findings: None,
        has_files: None,
        uses: Some(uses),
        pull_request: None,
    };
    world.state.store.settle(settlement).await.expect("settled");
}

async fn asked(world: &World, name: &str) -> Value {
    world.get(&format!("/api/v1/modules/{name}/dependents")).await.json(200)
}

#[tokio::test]
async fn dependents_are_told_whole_where_plans_may_be_told() {
    let world = world(Dependents::Plans).await;
    let answer = asked(&world, "platform/deploy").await;
    assert_eq!(answer, asked(&world, "platform%2Fdeploy").await);
    // Nothing of the branch `old`, which isn't tracked.
    let count = |reference: Option<&str>, letter, files| json!({"reference": reference, "commit": sha(letter), "repositories": 1, "branches": 1, "files": files});
    assert_eq!(answer["references"], json!([count(None, 'a', 2), count(Some("v1"), 'b', 1)]));
    assert_eq!((&answer["repositories"], &answer["branches"], &answer["files"]), (&json!(1), &json!(1), &json!(2)));
    assert_eq!(
        answer["items"][0],
        json!({
            "repository": "acme/shop", "branch": "main", "application": "shop", "pipelines": ["deploy", "clean up"],
            "module": "platform/deploy", "reference": null, "commit": sha('a'),
            "file": ".longboat/shop.yaml", "line": 7, "through": [],
        })
    );
    assert_eq!(answer["items"][2]["through"], json!(["platform/all"]));
    assert_eq!((answer["items"][2]["pipelines"].clone(), answer["cut"].clone()), (json!([]), json!(false)));
    let whole = asked(&world, "platform").await;
    assert_eq!(
        (whole["items"].as_array().map(Vec::len), &whole["items"][0]["module"]),
        (Some(4), &json!("platform/all"))
    );
    let nobody = asked(&world, "platform/deplyo").await;
    assert_eq!(
        (&nobody["items"], &nobody["files"], &nobody["near"]),
        (&json!([]), &json!(0), &json!("platform/deploy"))
    );
    for path in ["modules/platform/deploy", "modules/dependents", "modules"] {
        world.get(&format!("/api/v1/{path}")).await.problem(404, "not-found");
    }
}

#[tokio::test]
async fn no_more_is_told_of_dependents_than_the_configuration_allows() {
    let counting = world(Dependents::Counts).await;
    for name in ["platform", "platform/deploy"] {
        let counts = asked(&counting, name).await;
        assert_eq!((&counts["detail"], &counts["files"], &counts["items"]), (&json!("counts"), &json!(2), &json!([])));
        assert!(!counts.to_string().contains("shop"), "{counts}");
    }
    assert_eq!(asked(&counting, "platform/deplyo").await["near"], Value::Null);
    // What is not of a module repository is no secret of anybody.
    assert_eq!(asked(&counting, "std/approve").await["items"][0]["file"], ".longboat/shop.yaml");
    assert_eq!(asked(&counting, "own").await["items"][0]["line"], 7);

    let naming = world(Dependents::Names).await;
    let names = asked(&naming, "platform/deploy").await;
    assert_eq!(names["items"][0]["pipelines"], json!(["deploy", "clean up"]));
    assert_eq!(names["items"][1]["reference"], "v1");
    assert!(!names.to_string().contains(".yaml") && !names.to_string().contains("through"), "{names}");
}

#[tokio::test]
async fn of_a_module_repository_that_is_not_configured_any_more_only_counts_are_told() {
    let world = world(Dependents::Plans).await;
    keep(&world, "main", vec![used(Some("former"), "former/deploy", None)]).await;
    let counts = asked(&world, "former/deploy").await;
    assert_eq!((&counts["detail"], &counts["files"], &counts["items"]), (&json!("counts"), &json!(1), &json!([])));
}

#[tokio::test]
async fn what_files_use_is_told_by_branch_and_file() {
    let world = world(Dependents::Counts).await;
    let base = "/api/v1/repositories/acme/shop/dependencies";
    let all = world.get(base).await.json(200);
    assert_eq!(all["items"].as_array().map(Vec::len), Some(7), "{all:#}");
    assert_eq!(
        all["items"][2],
        json!({
            "branch": "main", "application": "shop", "file": ".longboat/shop.yaml", "line": 7, "through": [],
            "module": "platform/deploy", "moduleRepository": "platform", "usedFile": "some.yaml", "reference": "v1",
            "commit": sha('b'),
        })
    );
    assert_eq!((&all["items"][6]["module"], &all["items"][6]["usedFile"]), (&Value::Null, &json!("some.yaml")));
    let narrow = world.get(&format!("{base}?branch=main&file=.longboat/tea.yaml")).await.json(200);
    assert_eq!(
        (narrow["items"].as_array().map(Vec::len), &narrow["items"][0]["application"]),
        (Some(1), &json!("shop"))
    );
    world.get(&format!("{base}?branch=old")).await.problem(404, "not-found");
    world.get(&format!("{base}?brunch=old")).await.problem(400, "bad-request");
    let nobody = world.get("/api/v1/repositories/acme/none/dependencies").await.problem(404, "not-found");
    assert_eq!(nobody["detail"], "no repository `acme/none` is configured");
}
