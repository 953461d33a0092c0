//! Freezes, and what is started while there is one.

use serde_json::json;

use super::reads::seed;
use super::*;

const STARTS: &str = "/api/v1/applications/shop/pipelines/deploy/executions";

async fn until(world: &World, id: &str, what: impl Fn(&Value) -> bool) -> Value {
    let mut changes = world.state.engine.subscribe();
    loop {
        let view = world.get(&format!("/api/v1/executions/{id}")).await.json(200);
        if what(&view) {
            return view;
        }
        changes.recv().await.expect("the engine runs");
    }
}

#[tokio::test]
async fn a_freeze_is_made_listed_replaced_and_ended() {
    let world = World::new().await;
    seed(&world).await;
    assert_eq!(world.get("/api/v1/freezes").await.json(200), json!({"items": [], "nextCursor": null}));
    let all = world.send("PUT", "/api/v1/freezes", r#"{"reason": " holidays ", "until": "2030-01-02T03:04:05+01:00"}"#);
    let all = all.await.json(200);
    assert_eq!((&all["application"], &all["reason"]), (&json!(null), &json!("holidays")));
    assert_eq!(all["until"], "2030-01-02T02:04:05.000Z");
    assert_eq!(all["since"], "2026-05-28T20:26:40.000Z");
    assert!(all["by"].is_string());
    let shop = world.send("PUT", "/api/v1/freezes/shop", r#"{"reason": "audit"}"#).await.json(200);
    assert_eq!((&shop["application"], &shop["until"]), (&json!("shop"), &json!(null)));
    assert_eq!(world.get("/api/v1/freezes").await.json(200)["items"], json!([all, shop]));
    world.send("PUT", "/api/v1/freezes/shop", r#"{"reason": "longer audit"}"#).await.json(200);
    assert_eq!(world.get("/api/v1/freezes").await.json(200)["items"][1]["reason"], "longer audit");

    assert_eq!(world.send("DELETE", "/api/v1/freezes", "").await.status, StatusCode::NO_CONTENT);
    world.send("DELETE", "/api/v1/freezes", "").await.problem(404, "not-found");
    assert_eq!(world.send("DELETE", "/api/v1/freezes/shop", "").await.status, StatusCode::NO_CONTENT);
    world.send("DELETE", "/api/v1/freezes/shop", "").await.problem(404, "not-found");
    assert_eq!(world.get("/api/v1/freezes").await.json(200)["items"], json!([]));
}

#[tokio::test]
async fn everything_wrong_with_a_freeze_is_said_at_once() {
    let world = World::new().await;
    seed(&world).await;
    let long = "x".repeat(201);
    for (body, fields) in [
        (json!({}), vec!["reason"]),
        (json!({"reason": "two\nlines", "until": "tomorrow"}), vec!["reason", "until"]),
        (json!({"reason": long, "until": "2020-01-01T00:00:00Z"}), vec!["reason", "until"]),
        (json!({"reason": "audit", "until": "2026-05-28T20:26:40Z"}), vec!["until"]),
    ] {
        let problem = world.send("PUT", "/api/v1/freezes", &body.to_string()).await.problem(422, "invalid-freeze");
        let found: Vec<&Value> =
            problem["errors"].as_array().expect("faults").iter().map(|one| &one["field"]).collect();
        assert_eq!(found, fields, "{body}");
    }
    world.send("PUT", "/api/v1/freezes", r#"{"reason": "audit", "for": "2h"}"#).await.problem(400, "bad-request");
    let slip = world.send("PUT", "/api/v1/freezes/shpo", r#"{"reason": "audit"}"#).await.problem(404, "not-found");
    assert!(slip["detail"].as_str().is_some_and(|detail| detail.ends_with("did you mean `shop`?")), "{slip}");
    world.send("PUT", "/api/v1/freezes/*", r#"{"reason": "audit"}"#).await.problem(404, "not-found");
    world.send("POST", "/api/v1/freezes", r#"{"reason": "audit"}"#).await.problem(405, "method-not-allowed");
    assert_eq!(world.get("/api/v1/freezes").await.json(200)["items"], json!([]));
}

#[tokio::test]
async fn a_start_waits_for_the_end_of_the_freeze_or_goes_before_it() {
    let world = World::new().await;
    seed(&world).await;
    let frozen = world.send("PUT", "/api/v1/freezes/shop", r#"{"reason": "audit"}"#).await.json(200);
    let started = world.post(STARTS, r#"{"parameters": {"region": "eu"}}"#).await.json(201);
    let id = started["id"].as_str().expect("an id");
    let held = until(&world, id, |view| view["held"].is_object()).await;
    assert_eq!((&held["status"], &held["description"]), (&json!("NOT_STARTED"), &json!("Waiting: frozen, audit")));
    assert_eq!(held["held"], json!({"kind": "freeze", "reason": "audit", "by": frozen["by"], "until": null}));
    assert_eq!(held["trigger"]["overrideFreeze"], json!(null));

    let over = world.post(STARTS, r#"{"parameters": {"region": "eu"}, "override": true}"#).await.json(201);
    assert_eq!(over["trigger"]["overrideFreeze"], over["trigger"]["actor"]);
    let running = |view: &Value| view["stages"][0]["waitingFor"] == "approval";
    let over = over["id"].as_str().expect("an id");
    until(&world, over, running).await;
    world.post(&format!("/api/v1/executions/{over}/cancel"), "{}").await.json(202);
    until(&world, over, |view| view["status"] == "CANCELED").await;
    let again = world.post(&format!("/api/v1/executions/{over}/restart"), "{}").await.json(202);
    assert_eq!((&again["status"], &again["held"]["reason"]), (&json!("RUNNING"), &json!("audit")));
    world.post(&format!("/api/v1/executions/{over}/cancel"), "{}").await.json(202);
    let again = world.post(&format!("/api/v1/executions/{over}/restart"), r#"{"override": true}"#).await.json(202);
    assert_eq!((&again["held"], &again["restarts"][1]["overrideFreeze"]), (&json!(null), &json!(true)));

    assert_eq!(world.send("DELETE", "/api/v1/freezes/shop", "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(until(&world, id, running).await["held"], json!(null));
}
