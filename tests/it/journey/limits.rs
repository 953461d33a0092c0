//! Bounds and variables of the configuration that the real binary keeps to.

use super::world::{REPOSITORY, World};
use crate::cli::{longboat, stdout};
use crate::support::fake_github::PullOf;
use crate::support::repo::git_in;
use crate::support::server::Server;

const GOOD: &str = "application: shop\npipelines: [{name: deploy, stages: [{id: a, type: noop}]}]\n";

/// Opens a pull request whose file holds texts of 48 MiB on its way; what the status of its head says, and what the
/// API tells of it.
async fn review_with(limits: &str) -> (String, serde_json::Value) {
    let world = World::with(limits).await;
    let first = world.push(&[(".longboat/shop.yaml", GOOD)], "First").await;
    let server: Server = world.serve();
    world.settled(&first, "longboat/validate").await;
    let doubling = "{% set x = x ~ x %}".repeat(23);
    let held = "{% set y = [x ~ 'a', x ~ 'b', x ~ 'c', x ~ 'd', x ~ 'e'] %}";
    let text = format!("{{% set x = 'x' %}}{doubling}{held}{GOOD}# {{{{ y|length }}}}\n");
    let head = world.push_to("grow", &[(".longboat/shop.yaml", &text)], "Grow").await;
    let of = PullOf { title: "Grow", from: REPOSITORY, branch: "grow", head: &head, target: "main", author: "ann" };
    let number = world.github.open_pull(REPOSITORY, &of);
    let bare = world.folder().join("served/acme/shop.git");
    git_in(&bare, &["update-ref", &format!("refs/pull/{number}/head"), &head]);
    let delivery = world.github.pull_event(REPOSITORY, number, "opened", "ann");
    assert_eq!(delivery.send(&format!("{}/webhooks/github", server.url), world.secret()).await.status, 202);
    let said = world.finished(&head, "longboat/validate").await;
    let told = server.get(&format!("/api/v1/repositories/{REPOSITORY}/pull-requests/{number}")).await;
    assert!(server.stop().success());
    (said.last().map(|status| status.description.clone()).unwrap_or_default(), told)
}

/// What the operator gives to all repositories is seen on the server, and nowhere else.
#[tokio::test(flavor = "multi_thread")]
async fn the_operators_variables_are_seen_on_the_server_and_not_on_a_laptop() {
    let world = World::with("vars: {region: eu, tier: {name: gold}}\n").await;
    let text = "\
application: shop
pipelines:
  - name: deploy
    stages: [{id: a, type: noop, name: 'To {{ vars.region }}, {{ vars.tier.name }}, {{ vars.tier.size }}'}]
";
    let files = [(".longboat/shop.yaml", text), (".longboat/vars/default.yaml", "region: us\ntier: {size: 2}\n")];
    let commit = world.push(&files, "First").await;
    let server: Server = world.serve();
    world.settled(&commit, "longboat/validate").await;
    let pipeline = server.get("/api/v1/applications/shop/pipelines/deploy").await;
    assert!(pipeline.to_string().contains("To us, gold, 2"), "{pipeline:#}");
    assert!(server.stop().success());

    let laptop = longboat(&world.work(), &["validate"]);
    let said = stdout(&laptop);
    assert_eq!(laptop.status.code(), Some(1), "{said}");
    assert!(said.contains("`vars.tier.name` is undefined"), "{said}");
    let config = world.folder().join("longboat.yaml");
    let config = config.to_str().expect("UTF-8");
    let at = ["explain", ".longboat/shop.yaml", "--at", "/pipelines/0/stages/0/name", "--config", config];
    let said = stdout(&longboat(&world.work(), &at));
    assert!(said.starts_with("\"To us, gold, 2\"\n"), "{said}");
    assert!(said.contains("    set by longboat.yaml#vars.tier.name (the operator): \"gold\"\n"), "{said}");
    assert!(said.contains("    shadows longboat.yaml#vars.region (the operator): \"eu\"\n"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_review_of_a_pull_request_takes_what_the_configuration_gives() {
    let (said, told) = review_with("limits: {reviewMemory: 32MiB}\n").await;
    assert!(said.ends_with("the files need more than 32 MiB to render"), "{said}");
    assert_eq!(told["review"]["verdict"], "unchecked", "{told:#}");
    let (said, told) = review_with("limits: {reviewMemory: 1024MiB}\n").await;
    assert_eq!(said, "1 pipeline valid");
    assert_eq!((&told["review"]["verdict"], &told["review"]["pipelines"]), (&"good".into(), &1.into()), "{told:#}");
}
