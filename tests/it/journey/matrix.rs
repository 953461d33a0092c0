//! A stage that becomes several, with the real binary: over a crash, with a failure, a restart of one, and its pages.

use serde_json::{Value, json};

use super::terminal::ask;
use super::world::World;
use crate::cli::stdout;

const FILE: &str = r#"
application: shop
pipelines:
  - name: release
    parameters: [{name: regions, type: list, default: [eu, us, ap]}]
    stages:
      - id: build
        type: script
        matrix: {axes: {os: [linux, darwin], arch: [amd64]}, maxParallel: 1}
        env: {OS: "${ matrix.os }"}
        command: echo "file=shop-$OS" >> "$LONGBOAT_OUTPUT"
      - id: ask
        type: manualJudgment
        forEach: {in: "${ parameters.regions }", as: region}
        when: each.region != "ap"
        instructions: Ship to ${ each.region }?
      - id: deploy
        name: Deploy
        type: script
        forEach: {in: "${ parameters.regions }", as: region, failFast: false}
        env: {REGION: "${ each.region }", FILES: "${ toJson(stages.build.outputs.list.map(o, o.file)) }"}
        command: |
          echo "$REGION gets $FILES"
          test "$REGION" != us || test "$LONGBOAT_ATTEMPT" -gt 1
"#;

fn statuses(view: &Value) -> String {
    let stages = view["stages"].as_array().expect("stages").iter();
    let words = stages.map(|stage| {
        format!("{}={}", stage["path"].as_str().expect("a path"), stage["status"].as_str().expect("a status"))
    });
    words.collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_becomes_several_and_one_of_them_is_restarted_alone() {
    let world = World::new().await;
    let commit = world.push(&[(".longboat/shop.yaml", FILE)], "First").await;
    let server = world.serve();
    world.settled(&commit, "longboat/validate").await;
    let (status, view) = server.post("/api/v1/applications/shop/pipelines/release/executions", json!({})).await;
    assert_eq!(status, 201, "{view}");
    let id = view["id"].as_str().expect("an id").to_owned();
    let address = format!("/api/v1/executions/{id}");
    let asks =
        |view: &Value| view["stages"].as_array().is_some_and(|all| all.iter().any(|one| one["path"] == "ask[1]"));
    world
        .until("both ask", || async {
            let view = server.get(&address).await;
            asks(&view).then_some(())
        })
        .await;
    server.kill();
    let server = world.serve();
    let view = server.get(&address).await;
    assert!(
        statuses(&view)
            .contains("build=SUCCEEDED build[linux-amd64]=SUCCEEDED build[darwin-amd64]=SUCCEEDED ask=RUNNING"),
        "{}",
        statuses(&view)
    );
    assert_eq!(view["stages"][0]["outputs"]["instances"]["linux-amd64"]["file"], "shop-linux");
    for region in ["ask%5B0%5D", "ask%5B1%5D"] {
        let (status, said) =
            server.post(&format!("{address}/stages/{region}/judge"), json!({"verdict": "continue"})).await;
        assert_eq!(status, 202, "{said}");
    }
    let ended = |restarts: usize| {
        let (server, address) = (&server, &address);
        move || async move {
            let view = server.get(address).await;
            let done =
                view["endTime"].is_string() && view["restarts"].as_array().is_some_and(|all| all.len() == restarts);
            done.then_some(view)
        }
    };
    let view = world.until("the end", ended(0)).await;
    assert!(
        statuses(&view)
            .ends_with("ask[2]=SKIPPED deploy=TERMINAL deploy[0]=SUCCEEDED deploy[1]=TERMINAL deploy[2]=SUCCEEDED"),
        "{}",
        statuses(&view)
    );
    let log = server.get_text(&format!("{address}/stages/deploy%5B0%5D/log")).await;
    assert!(log.contains("eu gets"), "{log}");
    let shown = ask(&server, &["executions", "show", &id]).await;
    assert!(stdout(&shown).contains("3 of 3 ended, 1 failed"), "{}", stdout(&shown));
    let page = server.get_text(&format!("/executions/{id}")).await;
    assert!(page.contains("Deploy (us)") && page.contains("3 of 3 ended, 1 failed"), "{page}");

    let restarted = ask(&server, &["executions", "restart", &id, "--stage", "deploy[1]"]).await;
    assert!(restarted.status.success(), "{restarted:?}");
    let view = world.until("the end", ended(1)).await;
    assert_eq!(view["status"], "SUCCEEDED", "{view:#}");
    let attempts: Vec<&Value> =
        view["stages"].as_array().expect("stages").iter().map(|stage| &stage["attempt"]).collect();
    assert_eq!(attempts.last(), Some(&&json!(1)), "the others were left alone");
    assert_eq!(attempts[attempts.len() - 2], &json!(2));
}
