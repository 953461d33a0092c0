//! Standing in line with the real binary: newer commits supersede, waiting survives `kill -9`, and somebody pauses, skips and
//! asks beforehand from a terminal.

use serde_json::{Value, json};

use super::terminal::ask;
use super::world::World;
use crate::cli::{stderr, stdout};
use crate::support::server::Server;

/// Two pipelines: of `ship` the newest commit counts, and `queue` runs one at a time and waits in between.
fn file(gate: &str) -> String {
    format!(
        "application: shop\n\
         pipelines:\n\
         \x20 - name: ship\n\
         \x20   concurrency: {{max: 1, onNew: cancelRunning}}\n\
         \x20   triggers: [{{type: git, branches: [main]}}]\n\
         \x20   stages:\n\
         \x20     - {{id: build, type: script, command: 'until test -e \"{gate}-$LONGBOAT_COMMIT\"; do sleep 0.05; done'}}\n\
         \x20     - {{id: tidy, type: script, finally: true, command: 'echo $LONGBOAT_COMMIT >> \"{gate}-tidied\"'}}\n\
         \x20 - name: queue\n\
         \x20   concurrency: {{max: 1, lock: prod-db}}\n\
         \x20   stages:\n\
         \x20     - {{id: settle, type: wait, waitTime: 1h}}\n\
         \x20     - {{id: done, type: noop}}\n"
    )
}

async fn until_view(world: &World, server: &Server, id: &str, what: &str, shows: impl Fn(&Value) -> bool) -> Value {
    let path = format!("/api/v1/executions/{id}");
    world
        .until(what, || async {
            let view = server.get(&path).await;
            shows(&view).then_some(view)
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_commit_supersedes_the_one_that_runs_and_what_runs_at_the_end_runs() {
    let world = World::new().await;
    let gate = world.folder().join("gate").display().to_string();
    let base = world.push(&[(".longboat/shop.yaml", &file(&gate))], "Base").await;
    let server = world.serve();
    world.settled(&base, "longboat/validate").await;
    let context = "longboat/shop/ship";
    let first = world.push(&[("code", "1")], "First").await;
    assert_eq!(world.webhook(&server, &base, &first).await, 202);
    world
        .until("the first one to run", || async {
            let statuses = world.statuses(&first).remove(context)?;
            statuses.iter().any(|status| status.description.starts_with("Running: build")).then_some(())
        })
        .await;
    let second = world.push(&[("code", "2")], "Second").await;
    assert_eq!(world.webhook(&server, &first, &second).await, 202);
    let last = world.finished(&first, context).await;
    let last = last.last().expect("a status");
    assert_eq!((last.state.as_str(), last.description.clone()), ("failure", format!("Superseded by {}", &second[..7])));
    std::fs::write(format!("{gate}-{second}"), "").expect("opened");
    let last = world.finished(&second, context).await;
    assert_eq!(last.last().map(|last| last.state.as_str()), Some("success"));
    let tidied = std::fs::read_to_string(format!("{gate}-tidied")).expect("what runs at the end has run");
    assert_eq!(tidied, format!("{first}\n{second}\n"), "after the cancellation, too, and before the next one began");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_survives_a_kill_and_is_steered_from_a_terminal() {
    let world = World::new().await;
    let gate = world.folder().join("gate").display().to_string();
    let first = world.push(&[(".longboat/shop.yaml", &file(&gate))], "First").await;
    let server = world.serve();
    world.settled(&first, "longboat/validate").await;
    let starts = "/api/v1/applications/shop/pipelines/queue/executions";
    let (status, told) = server.post(starts, json!({"dryRun": true, "outcomes": {"settle": "FAILED"}})).await;
    assert_eq!((status, &told["status"], &told["never"]), (200, &json!("TERMINAL"), &json!(["done"])), "{told:#}");
    let mut ids = Vec::new();
    for _ in 0..3 {
        let (status, view) = server.post(starts, json!({})).await;
        assert_eq!(status, 201, "{view:#}");
        ids.push(view["id"].as_str().expect("an id").to_owned());
    }
    let waits = |view: &Value| view["description"] == "Queued: waiting for the lock prod-db (1 at once)";
    for id in &ids[1..] {
        let view = until_view(&world, &server, id, "its place in the line", waits).await;
        assert_eq!(view["held"]["holders"][0]["id"], json!(ids[0]), "{view:#}");
    }
    server.kill();
    let server = world.serve();
    let shown = ask(&server, &["executions", "show", &ids[2]]).await;
    assert!(stdout(&shown).contains("waiting for the lock prod-db"), "{}", stdout(&shown));
    assert!(stdout(&shown).contains(&format!("before it: shop/queue  {}", ids[0])), "{}", stdout(&shown));

    let running = |view: &Value| view["status"] == "RUNNING" && view["stages"][0]["skippable"] == json!(true);
    until_view(&world, &server, &ids[0], "the first one to wait", running).await;
    for (args, said) in
        [(["executions", "pause", &ids[0]], "Paused by "), (["executions", "resume", &ids[0]], "Running: settle")]
    {
        let done = ask(&server, &args).await;
        assert!(done.status.success() && stderr(&done).starts_with(said), "{args:?}: {}", stderr(&done));
    }
    let twice = ask(&server, &["executions", "resume", &ids[0]]).await;
    assert_eq!(twice.status.code(), Some(2), "{}", stderr(&twice));
    for (number, id) in ids.iter().enumerate() {
        until_view(&world, &server, id, "its turn", running).await;
        for later in &ids[number + 1..] {
            assert_eq!(server.get(&format!("/api/v1/executions/{later}")).await["status"], "NOT_STARTED");
        }
        let done = ask(&server, &["executions", "skip", id]).await;
        assert!(done.status.success(), "{}", stderr(&done));
        let view = until_view(&world, &server, id, "its end", |view| view["endTime"].is_string()).await;
        assert_eq!(
            (&view["status"], view["stages"][0]["outputs"]["skippedBy"].is_string()),
            (&json!("SUCCEEDED"), true)
        );
    }
}
