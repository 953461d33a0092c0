//! A freeze: what is pushed waits and says why, over `kill -9`, and begins in order when the freeze is over.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::terminal::ask;
use super::world::World;
use crate::cli::{stderr, stdout};
use crate::support::server::Server;

/// A pipeline of an application, which notes that it ran outside of its checkout.
fn file(application: &str) -> String {
    format!(
        "application: {application}\n\
         pipelines:\n\
         \x20 - name: deploy\n\
         \x20   triggers: [{{type: git, branches: [main]}}]\n\
         \x20   stages:\n\
         \x20     - id: ship\n\
         \x20       type: script\n\
         \x20       env: {{MARKS: '{{{{ file(\"marks\") }}}}'}}\n\
         \x20       command: echo \"$LONGBOAT_EXECUTION_ID\" >> \"$MARKS\"\n"
    )
}

struct Frozen {
    world: World,
    marks: PathBuf,
    first: String,
}

impl Frozen {
    /// A server with the applications `shop` and `bank`, of which scripts run one at a time.
    async fn new() -> (Self, Server) {
        let world = World::with("limits: {runningStages: 1}\n").await;
        let marks = world.folder().join("ran");
        let files = [
            (".longboat/shop.yaml", file("shop")),
            (".longboat/bank.yaml", file("bank")),
            ("marks", marks.to_str().expect("UTF-8").to_owned()),
        ];
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
        let first = world.push(&files, "First").await;
        let server = world.serve();
        world.settled(&first, "longboat/validate").await;
        (Self { world, marks, first }, server)
    }

    async fn push(&self, server: &Server, before: &str, text: &str) -> String {
        let commit = self.world.push(&[("code", text)], text).await;
        assert_eq!(self.world.webhook(server, before, &commit).await, 202);
        commit
    }

    /// Waits until a context of a commit says something.
    async fn says(&self, commit: &str, context: &str, text: &str) {
        self.world
            .until(&format!("{context} says {text}"), || async {
                let statuses = self.world.statuses(commit).remove(context)?;
                statuses.iter().any(|status| status.state == "pending" && status.description == text).then_some(())
            })
            .await;
    }

    fn ran(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.marks).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

async fn execution_of(server: &Server, commit: &str, application: &str) -> Value {
    let list = server.get(&format!("/api/v1/executions?commit={commit}&application={application}")).await;
    let id = list["items"][0]["id"].as_str().unwrap_or_else(|| panic!("one execution: {list:#}")).to_owned();
    server.get(&format!("/api/v1/executions/{id}")).await
}

async fn freeze(server: &Server, args: &[&str]) -> String {
    let args: Vec<&str> = ["freeze"].iter().chain(args).copied().collect();
    let done = ask(server, &args).await;
    assert_eq!(done.status.code(), Some(0), "{args:?}: {}", stderr(&done));
    format!("{}{}", stdout(&done), stderr(&done))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_frozen_waits_over_a_kill_and_begins_in_order() {
    let (frozen, server) = Frozen::new().await;
    let context = "longboat/shop/deploy";
    let said = freeze(&server, &["on", "--reason", "release week"]).await;
    assert!(said.starts_with("everything is frozen by ") && said.ends_with(": release week\n"), "{said}");
    let one = frozen.push(&server, &frozen.first, "1").await;
    frozen.says(&one, context, "Waiting: frozen, release week").await;
    let two = frozen.push(&server, &one, "2").await;
    frozen.says(&two, context, "Waiting: frozen, release week").await;
    frozen.says(&two, "longboat/bank/deploy", "Waiting: frozen, release week").await;
    let ids: Vec<Value> = [execution_of(&server, &one, "shop").await, execution_of(&server, &two, "shop").await]
        .map(|one| one["id"].clone())
        .into();
    server.kill();

    let server = frozen.world.serve();
    // By hand and before the freeze: shows that the engine is at work while the others wait.
    let starts = "/api/v1/applications/shop/pipelines/deploy/executions";
    let (status, over) = server.post(starts, json!({"override": true, "commit": frozen.first})).await;
    assert_eq!((status, over["trigger"]["overrideFreeze"].is_string()), (201, true), "{over}");
    frozen.world.settled(&frozen.first, context).await;
    assert_eq!(json!(frozen.ran()), json!([over["id"]]));
    for id in &ids {
        let held = server.get(&format!("/api/v1/executions/{}", id.as_str().expect("an id"))).await;
        assert_eq!(
            (&held["status"], &held["held"]["reason"], &held["startTime"]),
            (&json!("NOT_STARTED"), &json!("release week"), &Value::Null)
        );
    }
    let id = ids[0].as_str().expect("an id");
    let shown = ask(&server, &["executions", "show", id]).await;
    assert!(stdout(&shown).contains("Waiting: frozen, release week\n"), "{}", stdout(&shown));
    assert!(stdout(&shown).contains("until somebody ends it\n"), "{}", stdout(&shown));
    for path in ["/", "/repositories", &format!("/executions/{id}")] {
        let page = server.get_text(path).await;
        assert!(page.contains("Everything is frozen: release week"), "{path}: {page}");
    }
    assert!(server.get_text("/metrics").await.contains("longboat_frozen{scope=\"everything\"} 1\n"));
    assert_eq!(freeze(&server, &["list"]).await.lines().count(), 1);

    freeze(&server, &["off"]).await;
    for commit in [&one, &two] {
        let statuses = frozen.world.finished(commit, context).await;
        let waits = statuses.iter().filter(|status| status.description.starts_with("Waiting: frozen")).count();
        assert_eq!((waits, statuses.last().map(|last| last.state.as_str())), (1, Some("success")), "{statuses:?}");
        frozen.world.settled(commit, "longboat/bank/deploy").await;
    }
    let ran = frozen.ran();
    let shops: Vec<Value> = ran.iter().map(|id| json!(id)).filter(|id| ids.contains(id)).collect();
    assert_eq!((shops, ran.len()), (ids, 5), "each once, in the order of the pushes");
    assert_eq!(freeze(&server, &["list"]).await, "nothing is frozen\n");
    let twice = ask(&server, &["freeze", "off"]).await;
    assert_eq!(
        (twice.status.code(), stderr(&twice).as_str()),
        (Some(2), "longboat: there is no freeze of everything\n")
    );
    assert!(server.stop().success());
}

/// `all` waits for a file beside the repository, then runs `part`, which is of another application.
const PARENT: &str = r#"
application: shop
pipelines:
  - name: all
    triggers: [{type: git, branches: [main]}]
    stages:
      - {id: build, type: script, env: {GO: "{{ file("marks") }}"}, command: 'while ! test -e "$GO"; do sleep 0.05; done'}
      - {id: part, type: pipeline, application: bank, pipeline: part, needs: [build]}
"#;

const CHILD: &str = r#"
application: bank
pipelines:
  - name: part
    stages: [{id: ship, type: script, command: echo shipped}]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_goes_on_and_so_do_the_pipelines_that_it_starts() {
    let world = World::new().await;
    let go = world.folder().join("go");
    let marks = go.to_str().expect("UTF-8");
    let files = [(".longboat/shop.yaml", PARENT), (".longboat/bank.yaml", CHILD), ("marks", marks)];
    let first = world.push(&files, "First").await;
    let server = world.serve();
    world.settled(&first, "longboat/validate").await;
    let one = world.push(&[("code", "1")], "1").await;
    assert_eq!(world.webhook(&server, &first, &one).await, 202);
    world
        .until("it runs", || async {
            let statuses = world.statuses(&one).remove("longboat/shop/all")?;
            statuses.iter().any(|status| status.description == "Running: build (1 of 2)").then_some(())
        })
        .await;
    freeze(&server, &["on", "--reason", "audit"]).await;
    freeze(&server, &["on", "bank", "--reason", "audit of the bank"]).await;
    std::fs::write(&go, "").expect("written");
    world.settled(&one, "longboat/shop/all").await;
    let child = execution_of(&server, &one, "bank").await;
    assert_eq!((&child["status"], &child["trigger"]["type"]), (&json!("SUCCEEDED"), &json!("pipeline")));

    let off = freeze(&server, &["off"]).await;
    assert!(off.starts_with("the freeze of everything has ended\nstill in force: bank is frozen by "), "{off}");
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_application_that_is_frozen_waits_until_its_time_is_over() {
    let (frozen, server) = Frozen::new().await;
    let context = "longboat/shop/deploy";
    let slip = ask(&server, &["freeze", "on", "shpo", "--reason", "audit"]).await;
    assert_eq!(slip.status.code(), Some(2));
    assert!(stderr(&slip).contains("did you mean `shop`?"), "{}", stderr(&slip));
    freeze(&server, &["on", "shop", "--reason", "audit", "--until", "2h"]).await;
    let one = frozen.push(&server, &frozen.first, "1").await;
    frozen.world.settled(&one, "longboat/bank/deploy").await;
    frozen.says(&one, context, "Waiting: frozen, audit").await;
    let held = execution_of(&server, &one, "shop").await;
    assert!(held["held"]["until"].is_string(), "{held:#}");
    let page = server.get_text("/?application=bank").await;
    assert!(!page.contains("is frozen"), "the other application's pages say nothing: {page}");

    let id = held["id"].as_str().expect("an id");
    let cancelled = ask(&server, &["executions", "cancel", id]).await;
    assert_eq!(cancelled.status.code(), Some(0), "{}", stderr(&cancelled));
    let last = frozen.world.finished(&one, context).await.pop().expect("a status");
    assert!(last.state == "failure" && last.description.starts_with("Cancelled by "), "{last:?}");

    let two = frozen.push(&server, &one, "2").await;
    frozen.says(&two, context, "Waiting: frozen, audit").await;
    freeze(&server, &["on", "shop", "--reason", "almost done", "--until", "1s"]).await;
    frozen.world.settled(&two, context).await;
    assert_eq!(freeze(&server, &["list"]).await, "nothing is frozen\n");
    assert!(!frozen.ran().contains(&id.to_owned()), "what was cancelled never ran");
    assert!(server.stop().success());
}
