//! That requests which GitHub would not understand are caught, and answers that it would not give.

use serde_json::{Value, json};

use super::github::{clock, fake, sha};
use crate::support::fake_github::TOKEN;
use crate::support::fake_github::contract::{Contract, contract};

/// None where the description isn't there, which `LONGBOAT_REQUIRE_PEERS=1` doesn't allow.
fn description() -> Option<&'static Contract> {
    contract()
}

#[test]
fn a_wrong_request_is_caught() {
    let Some(description) = description() else { return };
    let statuses = "/repos/acme/shop/statuses/abc";
    let body = |value: Value| serde_json::to_vec(&value).expect("JSON");
    let good =
        body(json!({"state": "success", "context": "longboat/validate", "description": "x", "target_url": null}));
    assert_eq!(description.request("POST", statuses, "", &good), [""; 0]);
    let pulls = "/repos/acme/shop/pulls";
    assert_eq!(description.request("GET", pulls, "state=open&sort=updated&per_page=100&page=2", b""), [""; 0]);
    for (method, path, query, body, said) in [
        ("POST", statuses, "", body(json!({"state": "cancelled"})), "\"cancelled\" is not one of"),
        ("POST", statuses, "", body(json!({"context": "x"})), "\"state\" is a required property"),
        ("POST", statuses, "", body(json!({"state": "error", "targetUrl": "x"})), "there is no field `targetUrl`"),
        ("POST", statuses, "", body(json!({"state": "error", "context": 7})), "7 is not of type \"string\""),
        ("POST", statuses, "", Vec::new(), "the body is missing"),
        ("POST", statuses, "", b"{".to_vec(), "the body is no JSON"),
        ("PUT", statuses, "", good, "no such operation"),
        ("GET", "/repos/acme/shop/nothing", "", Vec::new(), "no such operation"),
        ("GET", "/repos/acme/shop/pulls/seven", "", Vec::new(), "`seven` is no value of the parameter `pull_number`"),
        ("GET", pulls, "state=opened", Vec::new(), "`opened` is no value of the parameter `state`"),
        ("GET", pulls, "perPage=100", Vec::new(), "there is no parameter `perPage`"),
        ("GET", pulls, "", b"{}".to_vec(), "it has a body"),
    ] {
        let faults = description.request(method, path, query, &body);
        assert!(faults.len() == 1 && faults[0].contains(said), "{method} {path}?{query}: {faults:?}");
    }
}

#[test]
fn an_answer_that_github_would_not_give_is_caught() {
    let Some(description) = description() else { return };
    let path = "/repos/acme/shop/issues/1/comments";
    let faults = description.response("POST", path, 201, &json!({"id": 1, "body": "x"}));
    assert!(faults.iter().any(|fault| fault.contains("\"node_id\" is a required property")), "{faults:?}");
    assert_eq!(description.response("POST", path, 200, &json!({})).len(), 1, "it is 201");
    let faults = description.webhook("issue_comment", &json!({"action": "created", "issue": {}}));
    assert!(faults.iter().any(|fault| fault.contains("\"comment\" is a required property")), "{faults:?}");
}

#[tokio::test]
async fn the_fake_takes_note_of_what_it_was_asked_wrongly() {
    if description().is_none() {
        return;
    }
    let fake = fake(&clock()).await;
    let answer = reqwest::Client::new()
        .post(format!("{}/repos/acme/shop/statuses/{}", fake.url(), sha()))
        .header("User-Agent", "test")
        .bearer_auth(TOKEN)
        .json(&json!({"state": "success", "colour": "green"}))
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status().as_u16(), 201, "GitHub itself would take it");
    let violations = fake.take_violations();
    assert!(violations.len() == 1 && violations[0].ends_with("there is no field `colour`"), "{violations:?}");
}

#[tokio::test]
#[should_panic(expected = "not as GitHub's OpenAPI description has it")]
async fn and_a_test_that_asks_wrongly_fails() {
    let fake = fake(&clock()).await;
    if description().is_none() {
        panic!("not as GitHub's OpenAPI description has it: nobody knows");
    }
    let url = format!("{}/repos/acme/shop/pulls?state=opened", fake.url());
    let answer = reqwest::Client::new().get(url).header("User-Agent", "test").bearer_auth(TOKEN).send().await;
    assert_eq!(answer.expect("an answer").status().as_u16(), 200);
}
