//! Removals that wait for an approval.

use serde_json::json;

use super::*;
use crate::model::{CommitSha, RepositoryName};
use crate::store::{RefChange, RemovalVerdict, Seen, Settlement, Source};

const COMMIT: &str = "cccccccccccccccccccccccccccccccccccccccc";

/// A push to `acme/shop` that is refused.
async fn refuse(world: &World, commit: &str, pipelines: &[&str]) {
    let repository: RepositoryName = "acme/shop".parse().expect("a name");
    let commit: CommitSha = commit.parse().expect("a commit");
    let store = &world.state.store;
    let change = RefChange {
        repository: repository.clone(),
        git_ref: "refs/heads/main".to_owned(),
        old: Seen::Claimed(None),
        new: Some(commit.clone()),
        delivery: None,
        source: Source::Webhook,
        actor: None,
        event: None,
        tracked: true,
        checking: None,
    };
    store.accept(change).await.expect("accepted");
    let pipelines = pipelines.iter().map(|one| (*one).to_owned()).collect();
    let settlement = Settlement {
        inbox: None,
        also: Vec::new(),
        repository,
        git_ref: "refs/heads/main".to_owned(),
        commit: Some(commit),
        publish: Vec::new(),
        withdraw: Vec::new(),
        removal: Some(RemovalVerdict::Refused { pipelines, of: 3 }),
        executions: Vec::new(),
        messages: Vec::new(),
        pull_request: None,
        findings: None,
        has_files: None,
        uses: None,
    };
    store.settle(settlement).await.expect("settled");
}

#[tokio::test]
async fn a_removal_is_listed_and_approved() {
    let world = World::new().await;
    refuse(&world, COMMIT, &["shop/a", "shop/b"]).await;
    let waiting = json!([{
        "cause": "commit", "commit": COMMIT, "ref": "refs/heads/main", "pipelines": ["shop/a", "shop/b"], "of": 3,
        "refusedTime": "2026-05-28T20:26:40.000Z", "approvedBy": null, "approvedTime": null,
    }]);
    let list = world.get("/api/v1/repositories").await.json(200);
    assert_eq!((&list["items"][0]["removals"], &list["items"][1]["removals"]), (&waiting, &json!([])));
    assert_eq!(world.get("/api/v1/repositories/acme/shop").await.json(200)["removals"], waiting);

    let at = |commit: &str| format!("/api/v1/repositories/acme%2Fshop/removals/{commit}/approve");
    world.post(&at("cccccc"), "").await.problem(400, "bad-request");
    world.post(&at("main-branch"), "").await.problem(400, "bad-request");
    world.post(&at("ddddddd"), "").await.problem(404, "not-found");
    world.post(&at(&"d".repeat(40)), "").await.problem(404, "not-found");
    world.post(&at("ccccccc"), r#"{"by": "me"}"#).await.problem(400, "bad-request");
    world.post("/api/v1/repositories/acme/shop/removals", "").await.problem(405, "method-not-allowed");
    world.post("/api/v1/repositories/acme/shop/nothing", "").await.problem(404, "not-found");
    world.post("/api/v1/repositories/no/such/removals/ccccccc/approve", "").await.problem(404, "not-found");
    assert_eq!(
        world.get("/api/v1/repositories/acme/shop").await.json(200)["removals"],
        waiting,
        "nothing was approved"
    );

    let given = world.post("/api/v1/repositories/acme/shop/removals/CCCCCCC/approve", "").await.json(202);
    assert_eq!((&given["repository"], &given["commit"]), (&json!("acme/shop"), &json!(COMMIT)));
    assert!(given["removals"][0]["approvedBy"].is_string(), "{given}");
    let again = world.post(&at(COMMIT), "{}").await.json(202);
    assert_eq!(again, given, "again is the same as once");
    assert_eq!(world.get("/api/v1/repositories").await.json(200)["items"][0]["removals"], json!([]));
    assert_eq!(world.get("/api/v1/repositories/acme/shop").await.json(200)["removals"], given["removals"]);
}
