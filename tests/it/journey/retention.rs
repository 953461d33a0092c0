//! Executions that have outlived their details.

use serde_json::{Value, json};

use super::terminal::ask;
use super::world::World;
use crate::cli::{stderr, stdout};

const FILE: &str = "\
application: shop
pipelines:
  - name: deploy
    parameters: [{name: version, default: '7'}]
    triggers: [{type: git, branches: [main]}]
    stages:
      - id: build
        type: script
        command: 'echo built the shop; echo image=shop:7 >> $LONGBOAT_OUTPUT'
";

#[tokio::test(flavor = "multi_thread")]
async fn old_executions_stay_in_the_list_and_lose_the_rest() {
    let world = World::with("retention: {newest: 1, most: 1}\n").await;
    let mut commit = world.push(&[(".longboat/shop.yaml", FILE)], "First").await;
    let server = world.serve();
    world.settled(&commit, "longboat/validate").await;
    for number in 1..=3 {
        let next = world.push(&[("code", &number.to_string())], "Change").await;
        assert_eq!(world.webhook(&server, &commit, &next).await, 202);
        world.settled(&next, "longboat/shop/deploy").await;
        commit = next;
    }
    server.kill();

    // A server looks when it starts.
    let server = world.serve();
    let list = || async { server.get("/api/v1/executions").await["items"].as_array().cloned().expect("a list") };
    let items = list().await;
    let ids: Vec<String> = items.iter().map(|item| item["id"].as_str().expect("an id").to_owned()).collect();
    let one = |id: String| {
        let server = &server;
        async move { server.get(&format!("/api/v1/executions/{id}")).await }
    };
    let oldest = world
        .until("the oldest loses its details", || async {
            let view = one(ids[2].clone()).await;
            (!view["compactedTime"].is_null()).then_some(view)
        })
        .await;
    world
        .until("the second loses its details", || async {
            (!one(ids[1].clone()).await["compactedTime"].is_null()).then_some(())
        })
        .await;
    assert_eq!((&oldest["status"], &oldest["parameters"]), (&json!("SUCCEEDED"), &json!({})));
    let stage = &oldest["stages"][0];
    assert_eq!((&stage["id"], &stage["status"], &stage["outputs"]), (&json!("build"), &json!("SUCCEEDED"), &json!({})));
    let newest = one(ids[0].clone()).await;
    assert_eq!((&newest["compactedTime"], &newest["stages"][0]["outputs"]["image"]), (&Value::Null, &json!("shop:7")));
    assert_eq!(list().await, items, "the list is as it was");

    let log = |id: &str| world.folder().join("state/logs").join(id).exists();
    assert_eq!([log(&ids[0]), log(&ids[2])], [true, false]);
    let path = format!("/api/v1/executions/{}/stages/build/restart", ids[2]);
    let (status, problem) = server.post(&path, json!({})).await;
    assert_eq!((status, &problem["code"]), (409, &json!("compacted")), "{problem}");
    let page = server.get_text(&format!("/executions/{}", ids[2])).await;
    assert!(page.contains("Its parameters, outputs and logs are gone"), "{page}");
    assert!(!page.contains("/restart"), "{page}");
    let told = ask(&server, &["executions", "logs", &ids[2]]).await;
    assert!(stderr(&told).contains("dropped"), "{}{}", stdout(&told), stderr(&told));
    assert!(server.stop().success());
}
