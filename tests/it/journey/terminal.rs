//! A server seen and steered from a terminal: `longboat executions` and `longboat judge`.

use std::process::{Command, Output, Stdio};

use super::world::World;
use crate::cli::{longboat, stderr, stdout};
use crate::support::server::Server;

const FILE: &str = "\
application: shop
pipelines:
  - name: deploy
    triggers: [{type: git, branches: [main]}]
    stages:
      - {id: build, type: script, command: 'echo built the shop'}
      - {id: ask, type: manualJudgment, instructions: 'Ship it?', judgmentInputs: [{value: now}, {value: later}], needs: [build]}
      - {id: ship, type: script, command: 'echo shipped; exit 3', needs: [ask]}
";

/// Runs a command against the server.
pub async fn ask(server: &Server, args: &[&str]) -> Output {
    let (url, args) = (server.url.clone(), args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>());
    let run = move || {
        Command::new(env!("CARGO_BIN_EXE_longboat"))
            .args(args)
            .env("LONGBOAT_SERVER", url)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .output()
            .expect("the binary runs")
    };
    tokio::task::spawn_blocking(run).await.expect("it ends")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_execution_is_listed_shown_judged_watched_and_read() {
    let world = World::new().await;
    let first = world.push(&[(".longboat/shop.yaml", FILE)], "First").await;
    let server = world.serve();
    world.settled(&first, "longboat/validate").await;
    let none = ask(&server, &["executions", "show", "latest"]).await;
    assert_eq!(none.status.code(), Some(2));
    assert!(stderr(&none).contains("nothing has run on this server yet"), "{}", stderr(&none));

    let commit = world.push(&[("code", "1")], "Change").await;
    assert_eq!(world.webhook(&server, &first, &commit).await, 202);
    world
        .until("the stage asks", || async {
            world
                .statuses(&commit)
                .get("longboat/shop/deploy")?
                .iter()
                .find(|status| status.description.starts_with("Waiting for"))?;
            Some(())
        })
        .await;

    let list = ask(&server, &["executions", "list", "--application", "shop", "--status", "RUNNING"]).await;
    let lines: Vec<String> = stdout(&list).lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 2, "{}{}", stdout(&list), stderr(&list));
    assert!(lines[0].starts_with("ID ") && lines[1].contains("RUNNING  shop/deploy"), "{lines:?}");
    assert!(lines[1].contains(&commit[..7]), "{lines:?}");
    let id = lines[1].split(' ').next().expect("an id").to_owned();

    let shown = ask(&server, &["executions", "show", &id]).await;
    assert!(stdout(&shown).contains("✓ build  succeeded"), "{}", stdout(&shown));
    assert!(stdout(&shown).contains("Waiting for approval: ask"), "{}", stdout(&shown));
    let json = ask(&server, &["executions", "show", &id, "--format", "json"]).await;
    let document: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(document["stages"][0]["status"], "SUCCEEDED");
    let logs = ask(&server, &["executions", "logs", "latest", "build"]).await;
    assert_eq!(stdout(&logs), "built the shop\n");

    let wrong = ask(&server, &["judge", &id, "continue", "--input", "never"]).await;
    assert_eq!(wrong.status.code(), Some(2), "{}", stderr(&wrong));
    assert!(stderr(&wrong).contains("never"), "{}", stderr(&wrong));
    let judged = ask(&server, &["judge", &id, "continue", "--input", "now"]).await;
    assert_eq!(judged.status.code(), Some(0), "{}", stderr(&judged));

    let watched = ask(&server, &["executions", "watch", &id]).await;
    assert_eq!(watched.status.code(), Some(1), "{}{}", stdout(&watched), stderr(&watched));
    assert!(stdout(&watched).ends_with("Failed: ship, exit code 3\n"), "{}", stdout(&watched));
    let failed = ask(&server, &["executions", "logs", &id, "--follow"]).await;
    assert_eq!((stdout(&failed).as_str(), stderr(&failed).as_str()), ("shipped\n", "stage ship, attempt 1\n"));
    let late = ask(&server, &["executions", "cancel", &id]).await;
    assert_eq!(late.status.code(), Some(2));
    assert!(stderr(&late).contains("has ended already"), "{}", stderr(&late));
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_execution_is_cancelled_with_a_reason() {
    let world = World::new().await;
    let slow = FILE.replace("echo built the shop", "sleep 300");
    let first = world.push(&[(".longboat/shop.yaml", &slow)], "First").await;
    let server = world.serve();
    world.settled(&first, "longboat/validate").await;
    let (status, started) =
        server.post("/api/v1/applications/shop/pipelines/deploy/executions", serde_json::json!({})).await;
    assert_eq!(status, 201, "{started}");
    let id = started["id"].as_str().expect("an id").to_owned();
    let cancelled = ask(&server, &["executions", "cancel", &id, "--reason", "wrong day"]).await;
    assert_eq!(cancelled.status.code(), Some(0), "{}", stderr(&cancelled));
    let watched = ask(&server, &["executions", "watch", &id]).await;
    assert_eq!(watched.status.code(), Some(1));
    assert!(stdout(&watched).contains("Cancelled by "), "{}", stdout(&watched));
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ended_execution_is_restarted_where_it_failed() {
    let world = World::new().await;
    let fixed = world.folder().join("fixed");
    let file = FILE.replace("echo shipped; exit 3", &format!("test -e {}", fixed.display()));
    let file = file.replace(
        "type: manualJudgment, instructions: 'Ship it?', judgmentInputs: [{value: now}, {value: later}]",
        "type: noop",
    );
    let first = world.push(&[(".longboat/shop.yaml", &file)], "First").await;
    let server = world.serve();
    world.settled(&first, "longboat/validate").await;
    let commit = world.push(&[("code", "1")], "Change").await;
    assert_eq!(world.webhook(&server, &first, &commit).await, 202);
    let failed = world.finished(&commit, "longboat/shop/deploy").await;
    assert_eq!(failed.last().map(|last| last.description.as_str()), Some("Failed: ship, exit code 1"));

    std::fs::write(&fixed, "").expect("written");
    let again = ask(&server, &["executions", "restart", "latest"]).await;
    assert_eq!((again.status.code(), stderr(&again).as_str()), (Some(0), "Running: ship (3 of 3)\n"));
    let watched = ask(&server, &["executions", "watch", "latest"]).await;
    assert_eq!(watched.status.code(), Some(0), "{}{}", stdout(&watched), stderr(&watched));
    let shown = ask(&server, &["executions", "show", "latest"]).await;
    let attempts: Vec<bool> = stdout(&shown)
        .lines()
        .filter(|line| line.contains('\u{2713}'))
        .map(|line| line.ends_with("attempt 2"))
        .collect();
    assert_eq!(attempts, [false, false, true], "only what failed ran again: {}", stdout(&shown));

    let nothing = ask(&server, &["executions", "restart", "latest"]).await;
    assert_eq!(nothing.status.code(), Some(2));
    assert!(stderr(&nothing).contains("no stage failed or was cancelled; name the stage"), "{}", stderr(&nothing));
    let wrong = ask(&server, &["executions", "restart", "latest", "--stage", "shipp"]).await;
    assert_eq!(wrong.status.code(), Some(2));
    assert!(stderr(&wrong).contains("has no stage `shipp`"), "{}", stderr(&wrong));

    let freeze = ask(&server, &["freeze", "on", "shop", "--reason", "audit"]).await;
    assert_eq!(freeze.status.code(), Some(0), "{}", stderr(&freeze));
    let held = ask(&server, &["executions", "restart", "latest", "--stage", "build"]).await;
    assert_eq!((held.status.code(), stderr(&held).as_str()), (Some(0), "Waiting: frozen, audit\n"));
    let running = ask(&server, &["executions", "restart", "latest", "--override"]).await;
    assert_eq!(running.status.code(), Some(2), "it is restarted already: {}", stderr(&running));
    assert_eq!(ask(&server, &["executions", "cancel", "latest"]).await.status.code(), Some(0));
    let over = ask(&server, &["executions", "restart", "latest", "--override"]).await;
    assert_eq!(over.status.code(), Some(0), "{}", stderr(&over));
    let watched = ask(&server, &["executions", "watch", "latest"]).await;
    assert_eq!(watched.status.code(), Some(0), "{}{}", stdout(&watched), stderr(&watched));
    assert!(server.stop().success());
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let gone = longboat(folder.path(), &["executions", "list", "--server", "http://127.0.0.1:1"]);
    assert_eq!(gone.status.code(), Some(2));
    assert!(
        stderr(&gone).contains("can't reach http://127.0.0.1:1; is the server running there?"),
        "{}",
        stderr(&gone)
    );
    let bad = longboat(folder.path(), &["executions", "list", "--server", "cd.example.com"]);
    assert!(stderr(&bad).contains("is no address of a server"), "{}", stderr(&bad));
}

#[test]
fn shells_complete_the_commands() {
    let folder = tempfile::tempdir().expect("a folder");
    for shell in ["bash", "zsh", "fish"] {
        let script = longboat(folder.path(), &["completions", shell]);
        assert_eq!(script.status.code(), Some(0));
        assert!(stdout(&script).contains("executions"), "{shell}");
        assert!(!stdout(&script).contains("supervise"), "{shell}: hidden commands stay hidden");
    }
}

const STARTED: &str = "\
application: shop
pipelines:
  - name: deploy
    concurrency: {max: 1}
    parameters:
      - {name: region, options: [eu, us], required: true}
      - {name: copies, type: integer, default: 1}
    stages:
      - {id: ship, type: script, env: {TO: '${ parameters.region }', N: '${ parameters.copies }'}, command: 'echo $N to $TO'}
      - {id: ask, type: manualJudgment, needs: [ship]}
";

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_is_started_once_and_rehearsed() {
    let world = World::new().await;
    let first = world.push(&[(".longboat/shop.yaml", STARTED)], "First").await;
    let server = world.serve();
    world.settled(&first, "longboat/validate").await;
    let start = async |more: &[&str]| ask(&server, &[&["executions", "start", "shop/deploy"], more].concat()).await;

    let wrong = start(&["--param", "region=mars", "--param", "copies=many"]).await;
    assert_eq!(wrong.status.code(), Some(2), "{}", stderr(&wrong));
    for part in ["region", "copies"] {
        assert!(stderr(&wrong).contains(part), "all that is wrong: {}", stderr(&wrong));
    }
    let once = ["--param", "region=eu", "--param", "copies=3", "--correlation-id", "release-7"];
    let (started, again) = (start(&once).await, start(&once).await);
    assert_eq!(started.status.code(), Some(0), "{}", stderr(&started));
    assert_eq!(stdout(&started), stdout(&again), "the same id starts once");
    let id = stdout(&started).trim().to_owned();
    world
        .until("the stage asks", || async {
            let view = server.get(&format!("/api/v1/executions/{id}")).await;
            view["stages"][1]["waitingFor"].is_string().then_some(())
        })
        .await;
    let log = ask(&server, &["executions", "logs", &id, "ship"]).await;
    assert_eq!(stdout(&log), "3 to eu\n");

    let rehearsed = start(&["--param", "region=us", "--dry-run", "--outcome", "ask=FAILED"]).await;
    assert_eq!(rehearsed.status.code(), Some(1), "{}", stderr(&rehearsed));
    let text = stdout(&rehearsed);
    for part in ["It would wait first", &format!("before it: shop/deploy  {id}"), "It would end as TERMINAL"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let judged = ask(&server, &["judge", &id, "continue"]).await;
    assert!(judged.status.success(), "{}", stderr(&judged));
    let all = server.get("/api/v1/executions").await;
    assert_eq!(all["items"].as_array().expect("a list").len(), 1, "a rehearsal starts nothing: {all}");
    assert!(server.stop().success());
}
