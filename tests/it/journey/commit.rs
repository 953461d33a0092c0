//! What a team sees: a push becomes `pending`, then the outcome; a mistake is named with file and line.

use super::world::World;

const GOOD: &str = "\
application: shop
pipelines:
  - name: deploy
    triggers: [{type: git, branches: [main], ignorePaths: ['*.md']}]
    stages:
      - {id: left, type: script, command: echo left}
      - {id: right, type: script, needs: [], command: 'echo \"answer=42\" >> \"$LONGBOAT_OUTPUT\"'}
      - id: join
        type: script
        needs: [left, right]
        env: {ANSWER: '${ stages.right.outputs.answer }'}
        command: test \"$ANSWER\" = 42
";

on_both_databases! {
    a_push_shows_pending_and_then_success,
    a_broken_file_shows_failure_with_file_and_line_and_the_good_revision_stays,
    without_webhooks_polling_finds_the_push,
    a_judgment_is_given_through_the_api_and_a_manual_start_checks_its_parameters,
    a_second_server_on_the_same_state_is_refused,
}

async fn a_push_shows_pending_and_then_success(world: World) {
    let first = world.push(&[(".longboat/shop.yaml", GOOD)], "First").await;
    let server = world.serve();
    world.settled(&first, "longboat/validate").await;

    let commit = world.push(&[("code", "1")], "Change").await;
    assert_eq!(world.webhook(&server, &first, &commit).await, 202);
    let deploy = world.finished(&commit, "longboat/shop/deploy").await;
    let states: Vec<&str> = deploy.iter().map(|status| status.state.as_str()).collect();
    assert_eq!(states.first(), Some(&"pending"), "{deploy:?}");
    assert_eq!(states.last(), Some(&"success"), "{deploy:?}");
    assert!(deploy.last().expect("a status").description.starts_with("Succeeded in "), "{deploy:?}");
    let validate = world.finished(&commit, "longboat/validate").await;
    let texts: Vec<&str> = validate.iter().map(|status| status.description.as_str()).collect();
    assert_eq!(texts, ["Checking", "1 pipeline valid"]);
    let url = deploy.last().and_then(|status| status.target_url.clone()).expect("a link to the page");
    assert!(url.starts_with("https://cd.example.com/executions/"), "{url}");

    let list = server.get(&format!("/api/v1/executions?commit={commit}")).await;
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1), "{list:#}");
    let id = list["items"][0]["id"].as_str().expect("an id");
    let execution = server.get(&format!("/api/v1/executions/{id}")).await;
    assert_eq!(execution["status"], "SUCCEEDED");
    assert_eq!(execution["stages"][1]["outputs"]["answer"], "42");
    assert_eq!(execution["stages"][2]["source"]["file"], ".longboat/shop.yaml");

    let figures = server.get_text("/metrics").await;
    for line in [
        "longboat_webhooks_total{path=\"github\",result=\"believed\"} 1",
        "longboat_executions_ended_total{status=\"SUCCEEDED\"} 1",
        "longboat_stages_ended_total{type=\"script\",status=\"SUCCEEDED\"} 3",
        "longboat_repository_up{repository=\"acme/shop\"} 1",
        "longboat_executions_live 0",
    ] {
        assert!(figures.lines().any(|found| found == line), "{line} is not in\n{figures}");
    }

    // The same push again, by redelivery, starts nothing; a change of docs alone doesn't either.
    assert_eq!(world.webhook(&server, &first, &commit).await, 202);
    let docs = world.push(&[("README.md", "words")], "Words").await;
    assert_eq!(world.webhook(&server, &commit, &docs).await, 202);
    world.finished(&docs, "longboat/validate").await;
    let all = server.get("/api/v1/executions").await;
    assert_eq!(all["items"].as_array().map(Vec::len), Some(1), "{all:#}");
    assert!(server.stop().success());
}

async fn a_broken_file_shows_failure_with_file_and_line_and_the_good_revision_stays(world: World) {
    let first = world.push(&[(".longboat/shop.yaml", GOOD)], "First").await;
    let server = world.serve();
    world.settled(&first, "longboat/validate").await;

    let broken = GOOD.replace("id: join\n        type: script", "id: join\n        type: scirpt");
    let commit = world.push(&[(".longboat/shop.yaml", &broken)], "Broken").await;
    assert_eq!(world.webhook(&server, &first, &commit).await, 202);
    let validate = world.finished(&commit, "longboat/validate").await;
    let last = validate.last().expect("a status");
    assert_eq!(
        (last.state.as_str(), last.description.as_str()),
        ("failure", "Failed: 1 error, shop.yaml:9 unknown stage type scirpt")
    );
    let findings = server.get(&format!("/api/v1/diagnostics?repository=acme/shop&commit={commit}")).await;
    let text = findings.to_string();
    assert!(text.contains("LB0304") && text.contains("did you mean `script`?"), "{findings:#}");
    let pipelines = server.get("/api/v1/applications/shop/pipelines").await;
    assert!(pipelines.to_string().contains(first.as_str()), "the last good revision stays: {pipelines:#}");
}

async fn without_webhooks_polling_finds_the_push(world: World) {
    let first = world.push(&[(".longboat/shop.yaml", GOOD)], "First").await;
    let server = world.serve();
    world.settled(&first, "longboat/validate").await;
    let commit = world.push(&[("code", "1")], "Change").await;
    let deploy = world.finished(&commit, "longboat/shop/deploy").await;
    assert_eq!(deploy.last().map(|status| status.state.as_str()), Some("success"));
    drop(server);
}

async fn a_judgment_is_given_through_the_api_and_a_manual_start_checks_its_parameters(world: World) {
    let file = "\
application: shop
pipelines:
  - name: promote
    parameters: [{name: version, type: string, required: true}]
    stages:
      - {id: ask, type: manualJudgment, instructions: 'Go?', judgmentInputs: [blue, green]}
      - {id: say, type: script, needs: [ask], env: {V: '${ parameters.version }'}, command: 'echo \"v=$V\" >> \"$LONGBOAT_OUTPUT\"'}
";
    let first = world.push(&[(".longboat/shop.yaml", file)], "First").await;
    let server = world.serve();
    world.settled(&first, "longboat/validate").await;

    let start = "/api/v1/applications/shop/pipelines/promote/executions";
    let (status, problem) = server.post(start, serde_json::json!({"parameters": {"verison": "1"}})).await;
    assert_eq!(status, 422, "{problem:#}");
    assert!(problem.to_string().contains("version"), "{problem:#}");
    let (status, created) = server.post(start, serde_json::json!({"parameters": {"version": "1.2"}})).await;
    assert_eq!(status, 201, "{created:#}");
    let id = created["id"].as_str().expect("an id").to_owned();
    let path = format!("/api/v1/executions/{id}");
    world
        .until(&format!("{path} waits"), || async {
            let view = server.get(&path).await;
            view["stages"][0]["waitingFor"].is_string().then_some(())
        })
        .await;

    let judge = format!("{path}/stages/ask/judge");
    let (status, problem) = server.post(&judge, serde_json::json!({"verdict": "continue", "input": "red"})).await;
    assert_eq!(status, 422, "{problem:#}");
    let (status, answer) = server.post(&judge, serde_json::json!({"verdict": "continue", "input": "blue"})).await;
    assert!((200..300).contains(&status), "{status} {answer:#}");
    let view = world
        .until("the end", || async {
            let view = server.get(&path).await;
            (view["status"] == "SUCCEEDED").then_some(view)
        })
        .await;
    assert_eq!(view["stages"][1]["outputs"]["v"], "1.2", "{view:#}");
    let log = reqwest::get(format!("{}{path}/stages/say/log", server.url)).await.expect("a log");
    assert!(log.status().is_success());
}

async fn a_second_server_on_the_same_state_is_refused(world: World) {
    world.push(&[(".longboat/shop.yaml", GOOD)], "First").await;
    let server = world.serve();
    let output = world.serve_and_fail();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("already") || text.contains("another"), "{text}");
    assert!(server.stop().success());
    let again = world.serve();
    assert!(again.stop().success());
}
