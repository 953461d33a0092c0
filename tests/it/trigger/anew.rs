//! A change of the operator's variables, which takes effect in what is published already.

use longboat::diagnostic::{Code, Diagnostic, Severity};
use longboat::git::GitOptions;
use longboat::model::{CommitSha, StatusState};
use longboat::trigger::TriggerOptions;
use serde_json::{Value, json};

use super::world::{World, follow, repository};
use crate::support::repo::Repo;

/// Pipelines whose stages carry the operator's word, and as many others as it says.
const FILE: &str = "\
application: shop
pipelines:
  - {name: deploy, triggers: [{type: git}], stages: [{id: one, type: noop, name: \"{{ vars.word }}\"}]}
  - {name: plain, stages: [{id: one, type: noop}]}
{% for number in range(vars.number) %}
  - {name: \"p{{ number }}\", stages: [{id: one, type: noop}]}
{% endfor %}
";

async fn world(globals: Value) -> (Repo, World, CommitSha) {
    let repo = Repo::new();
    repo.git(&["checkout", "--quiet", "-B", "main"]);
    let commit = repo.write(".longboat/shop.yaml", FILE).commit("One");
    let specs = vec![follow("local/shop", repo.path().to_string_lossy())];
    let globals = globals.as_object().expect("variables").clone();
    let options = TriggerOptions { globals, ..TriggerOptions::default() };
    let world = World::with(specs, options, GitOptions::default()).await;
    world.seen("local/shop").await;
    (repo, world, commit)
}

async fn findings(world: &World, commit: &CommitSha) -> Vec<Diagnostic> {
    let found = world.store.findings(&repository("local/shop"), commit).await.expect("reads");
    found.expect("was looked at").findings
}

async fn word(world: &World) -> String {
    let all = world.store.pipelines(None).await.expect("reads");
    let deploy = all.iter().find(|one| one.pipeline.name.as_str() == "deploy").expect("it is published");
    deploy.pipeline.stages[0].name.clone()
}

#[tokio::test]
async fn a_start_with_other_variables_publishes_what_comes_out_otherwise_and_says_so_once() {
    let (_repo, mut world, commit) = world(json!({"word": "old", "number": 1})).await;
    assert_eq!(world.said(&commit).await, ["longboat/validate: Success 3 pipelines valid"]);

    world.restart().await;
    world.seen("local/shop").await;
    assert_eq!(world.said(&commit).await, [""; 0], "nothing is new");

    world.restart_where(json!({"word": "new", "number": 0})).await;
    world.until("it is published anew", async |world| word(world).await == "new").await;
    world.idle().await;
    let text = "2 pipelines come out otherwise by the server's configuration";
    assert_eq!(world.said(&commit).await, [format!("longboat/validate: Success 2 pipelines valid; {text}")]);
    let found = findings(&world, &commit).await;
    let [anew] = &found[..] else { panic!("{found:#?}") };
    assert_eq!((anew.code, anew.severity), (Code::RenderedAnew, Severity::Info));
    assert!(anew.message.ends_with(", without a new commit: `deploy` changed, `p0` removed"), "{}", anew.message);
    assert_eq!(world.published().await, ["shop/deploy", "shop/plain"]);
    assert_eq!(world.started().await, [], "nothing is started");

    world.restart().await;
    world.seen("local/shop").await;
    assert_eq!(world.said(&commit).await, [""; 0], "it was said");
}

#[tokio::test]
async fn what_would_take_away_too_many_waits_for_an_approval() {
    let (_repo, mut world, commit) = world(json!({"word": "old", "number": 12})).await;
    world.restart_where(json!({"word": "new", "number": 0})).await;
    let waits = async |world: &World| !world.store.removals(None).await.expect("reads").is_empty();
    world.until("it is refused", waits).await;
    world.idle().await;
    assert_eq!(word(&world).await, "old");
    assert_eq!(world.published().await.len(), 14);
    let found = findings(&world, &commit).await;
    assert_eq!(found.iter().map(|one| one.code).collect::<Vec<_>>(), [Code::LargeRemoval]);
    world.store.approve_removal(&repository("local/shop"), &commit, "ann").await.expect("written");
    world.until("it is published anew", async |world| word(world).await == "new").await;
    assert_eq!(world.published().await.len(), 2);
    let said = world.said(&commit).await;
    assert!(said.iter().any(|line| line.contains("removal of 12 approved by ann")), "{said:?}");
    assert!(!said.iter().any(|line| line.contains(&format!("{:?}", StatusState::Pending))), "{said:?}");
}
