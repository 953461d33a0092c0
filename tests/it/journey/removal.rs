//! Pipelines that go: one while it runs, and many at once.

use serde_json::{Value, json};

use super::terminal::ask;
use super::world::World;
use crate::cli::{stderr, stdout};
use crate::support::server::Server;

const SHOP: &str = "application: shop\npipelines:\n{% for n in range(6) %}  - {name: 'p{{ n }}', stages: [{type: noop}]}\n{% endfor %}";

/// A pipeline that waits for a file outside of its checkout.
const BANK: &str = "\
application: bank
pipelines:
  - name: deploy
    triggers: [{type: git, branches: [main]}]
    stages:
      - id: ship
        type: script
        env: {GO: '{{ file(\"go\") }}'}
        command: while [ ! -e \"$GO\" ]; do sleep 0.05; done
";

async fn applications(server: &Server) -> Vec<Value> {
    let list = server.get("/api/v1/applications").await;
    let items = list["items"].as_array().expect("items").iter();
    items.map(|one| one["name"].clone()).collect()
}

impl World {
    /// Removes a file from the work tree; the next push has it gone.
    fn remove(&self, path: &str) {
        std::fs::remove_file(self.work().join(path)).expect("removed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_ends_as_it_began_and_many_go_only_once_somebody_approved() {
    let world = World::new().await;
    let go = world.folder().join("go");
    let files = [(".longboat/shop.yaml", SHOP), (".longboat/bank.yaml", BANK), ("go", go.to_str().expect("UTF-8"))];
    let first = world.push(&files, "First").await;
    let server = world.serve();
    world.settled(&first, "longboat/validate").await;
    let second = world.push(&[("code", "1")], "Second").await;
    assert_eq!(world.webhook(&server, &first, &second).await, 202);
    world
        .until("the script runs", || async {
            let statuses = world.statuses(&second).remove("longboat/bank/deploy")?;
            statuses.iter().any(|status| status.description.starts_with("Running")).then_some(())
        })
        .await;

    // One of seven goes by itself, at once, and what runs of it goes on.
    world.remove(".longboat/bank.yaml");
    let third = world.push(&[], "Without the bank").await;
    assert_eq!(world.webhook(&server, &second, &third).await, 202);
    world.settled(&third, "longboat/validate").await;
    assert_eq!(applications(&server).await, ["shop"]);
    let (status, _) = server.post("/api/v1/applications/bank/pipelines/deploy/executions", json!({})).await;
    assert_eq!(status, 404, "nothing new starts");
    let list = server.get("/api/v1/executions?application=bank").await;
    assert_eq!((&list["items"][0]["status"], list["items"].as_array().map(Vec::len)), (&json!("RUNNING"), Some(1)));
    std::fs::write(&go, "").expect("a file");
    world.settled(&second, "longboat/bank/deploy").await;
    let (id, restart) = (list["items"][0]["id"].as_str().expect("an id"), json!({"stage": "ship"}));
    let (status, problem) = server.post(&format!("/api/v1/executions/{id}/restart"), restart).await;
    assert_eq!((status, &problem["code"]), (409, &json!("removed")), "{problem:#}");
    let told = ask(&server, &["executions", "restart", id, "--stage", "ship"]).await;
    let expected = "the pipeline `bank/deploy` is not there any more, so that its executions can't be restarted";
    assert!(stderr(&told).contains(expected), "{}", stderr(&told));

    // All that is left does not.
    world.remove(".longboat/shop.yaml");
    let fourth = world.push(&[], "Without the shop").await;
    assert_eq!(world.webhook(&server, &third, &fourth).await, 202);
    let said = world.finished(&fourth, "longboat/validate").await.pop().expect("a status");
    let short = &fourth[..7];
    let command = format!("longboat repositories approve-removal acme/shop {short}");
    assert_eq!(
        (said.state.as_str(), said.description),
        ("failure", format!("Failed: would remove 6 of 6 pipelines, approve with {command}"))
    );
    server.kill();

    let server = world.serve();
    let found = server.get(&format!("/api/v1/diagnostics?repository=acme/shop&commit={fourth}")).await;
    assert_eq!((&found["findings"][0]["code"], &found["summary"]["errors"]), (&json!("LB0312"), &json!(1)));
    assert_eq!(applications(&server).await, ["shop"], "over a kill, too");
    let list = ask(&server, &["repositories", "list"]).await;
    let expected = format!(
        "acme/shop: main at {short}, no pipeline files\n  {short} would remove 6 of 6 pipelines; if that is meant: {command}\n"
    );
    assert_eq!(stdout(&list), expected, "{}", stderr(&list));
    let page = server.get_text(&format!("/repositories/acme/shop?commit={fourth}")).await;
    assert!(
        page.contains("would remove 6 of the repository&#x27;s 6 pipelines")
            || page.contains("would remove 6 of the repository's 6 pipelines"),
        "{page}"
    );

    let slip = ask(&server, &["repositories", "approve-removal", "acme/shop", &third]).await;
    let expected = format!("longboat: no removal by commit {} of `acme/shop` waits for an approval\n", &third[..12]);
    assert_eq!((slip.status.code(), stderr(&slip)), (Some(2), expected));
    let approved = ask(&server, &["repositories", "approve-removal", "acme/shop", short]).await;
    assert_eq!(approved.status.code(), Some(0), "{}", stderr(&approved));
    let by = server.get("/api/v1/repositories/acme/shop").await["removals"][0]["approvedBy"].clone();
    let by = by.as_str().expect("somebody");
    let told = stderr(&approved);
    assert!(
        told.starts_with(&format!(
            "acme/shop: {short} on main may remove 6 of 6 pipelines (approved by {by}):\n  shop/p0\n"
        )),
        "{told}"
    );
    let said = world
        .until("the approval shows on the commit", || async {
            world.statuses(&fourth).remove("longboat/validate")?.pop().filter(|said| said.state == "success")
        })
        .await;
    assert_eq!(said.description, format!("No pipeline files, removal of 6 approved by {by}"));
    assert!(applications(&server).await.is_empty());
    let list = ask(&server, &["repositories", "list"]).await;
    assert_eq!(stdout(&list), format!("acme/shop: main at {short}, no pipeline files\n"));
    assert!(server.stop().success());
}

/// The configuration of the world with its repository changed.
fn with_repository(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{text}");
    text.replace(from, to)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slip_in_the_configuration_takes_nothing_away_until_somebody_approved() {
    let world = World::new().await;
    let first = world.push(&[(".longboat/shop.yaml", SHOP)], "First").await;
    let server = world.serve();
    world.settled(&first, "longboat/validate").await;
    assert!(server.stop().success());

    // A typing mistake in the rules.
    let typo = |text: String| with_repository(&text, "branches: [main]", "branches: [main], applications: [shpo]");
    let server = world.serve_otherwise("typo.yaml", typo);
    let short = &first[..7];
    let command = format!("longboat repositories approve-removal acme/shop {short}");
    let said = format!(
        "the configuration would take away 6 of the repository's 6 pipelines: they stay as they are; if it is a slip, mend the configuration and start again, if it is meant: {command}"
    );
    let log = server.log();
    let line = log.lines().find(|line| line.contains(&said)).unwrap_or_else(|| panic!("not said:\n{log}"));
    assert!(line.contains("WARN") && line.contains("acme/shop") && line.contains("`shop/p0`"), "{line}");
    assert_eq!(applications(&server).await, ["shop"]);
    let waits = server.get("/api/v1/repositories").await["items"][0]["removals"].clone();
    assert_eq!((&waits[0]["cause"], &waits[0]["ref"]), (&json!("configuration"), &Value::Null), "{waits:#}");
    assert_eq!((waits[0]["pipelines"].as_array().map(Vec::len), &waits[0]["of"]), (Some(6), &json!(6)));
    let list = stdout(&ask(&server, &["repositories", "list"]).await);
    let expected = format!("  the configuration would take away 6 of 6 pipelines; if that is meant: {command}\n");
    assert!(list.ends_with(&expected), "{list}");
    assert!(server.stop().success());

    // The repository is called something else, and that isn't meant either.
    let renamed = |text: String| with_repository(&text, "{name: acme/shop", "{name: acme/shpo");
    let server = world.serve_otherwise("renamed.yaml", renamed);
    assert_eq!(applications(&server).await, ["shop"]);
    let list = server.get("/api/v1/repositories").await;
    let gone = &list["items"][1];
    assert_eq!(
        (&gone["name"], &gone["error"], &gone["location"]),
        (&json!("acme/shop"), &json!("it is not in the configuration any more"), &Value::Null),
        "{list:#}"
    );
    assert!(server.stop().success());

    // The slip is mended: all is as it was.
    let server = world.serve();
    assert_eq!(server.get("/api/v1/repositories").await["items"][0]["removals"], json!([]));
    assert_eq!(applications(&server).await, ["shop"]);
    assert!(server.stop().success());

    // And now it is meant.
    let server = world.serve_otherwise("renamed.yaml", renamed);
    let slip = ask(&server, &["repositories", "approve-removal", "acme/shop", "0123456"]).await;
    assert_eq!(slip.status.code(), Some(2), "{}", stderr(&slip));
    let approved = ask(&server, &["repositories", "approve-removal", "acme/shop", short]).await;
    let told = stderr(&approved);
    assert_eq!(approved.status.code(), Some(0), "{told}");
    assert!(told.starts_with("acme/shop: the configuration may take away 6 of 6 pipelines (approved by "), "{told}");
    world
        .until("the other one has it", || async {
            let list = server.get("/api/v1/applications").await;
            (list["items"][0]["repository"] == "acme/shpo").then_some(())
        })
        .await;
    let list = server.get("/api/v1/repositories").await;
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1), "{list:#}");
    assert!(server.stop().success());
}
