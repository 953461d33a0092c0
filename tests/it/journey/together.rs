//! All that is wrong with a commit is said at once, everywhere: in the status, in the comment of the pull request, by the
//! API and by `longboat validate`.

use serde_json::Value;

use super::world::{REPOSITORY, World};
use crate::cli::{longboat, stdout};
use crate::support::fake_github::PullOf;
use crate::support::repo::git_in;

const GOOD: &str = "application: shop\npipelines: [{name: deploy, stages: [{id: a, type: noop}]}]\n";

/// Files that are wrong, each in another way, and the places where.
const FILES: [(&str, &str); 6] = [
    (".longboat/bank.yaml", "application: bank\npipelines: [{name: pay, stages: [{id: a, type: noop}]}]\n"),
    (".longboat/broken.yaml", "application: [\n"),
    (
        ".longboat/shop.yaml",
        "application: shop\npipelines:\n  - name: deploy\n    stages:\n      - use: no/such\n      - {id: b, type: scirpt}\n",
    ),
    (
        ".longboat/tea.yaml",
        "application: tea\npipelines:\n  - name: brew\n    stages:\n      - {id: a, type: wait, waitTime: []}\n      - {id: b, type: noop, needs: [x]}\n",
    ),
    (
        ".longboat/deploy.yaml",
        "application: tea\npipelines:\n  - {name: ship, stages: [{id: a, type: script, command: '{{ vars.leaf }}'}]}\n",
    ),
    (".longboat/vars/default.yaml", "leaf: [green\n"),
];

/// Code and place of each, sorted by place.
const WRONG: [&str; 7] = [
    "LB0311 .longboat/bank.yaml:1",
    "LB0001 .longboat/broken.yaml:1",
    "LB0201 .longboat/shop.yaml:5",
    "LB0304 .longboat/shop.yaml:6",
    "LB0302 .longboat/tea.yaml:5",
    "LB0401 .longboat/tea.yaml:6",
    "LB0001 .longboat/vars/default.yaml:1",
];

fn named(found: &Value) -> Vec<String> {
    let line = |one: &Value| {
        let text = |pointer: &str| one.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        format!("{} {}:{}", text("/code"), text("/file"), one["line"])
    };
    found["findings"].as_array().expect("findings").iter().map(line).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_wrong_with_a_commit_is_said_at_once() {
    let world = World::new().await;
    let first = world.push(&[(".longboat/shop.yaml", GOOD)], "First").await;
    let rules = |text: String| text.replace("branches: [main]", "branches: [main], applications: [shop, tea]");
    let server = world.serve_otherwise("rules.yaml", rules);
    world.settled(&first, "longboat/validate").await;

    // What a developer sees before it is pushed: all but what the operator of a server has to say.
    let head = world.push_to("all", &FILES, "All wrong").await;
    let told = longboat(&world.work(), &["validate", "--format", "json"]);
    let told: Value = serde_json::from_str(&stdout(&told)).expect("JSON");
    assert_eq!(named(&told), WRONG[1..], "{told:#}");

    // On the pull request.
    let of = PullOf { title: "All", from: REPOSITORY, branch: "all", head: &head, target: "main", author: "ann" };
    let number = world.github.open_pull(REPOSITORY, &of);
    let bare = world.folder().join("served/acme/shop.git");
    git_in(&bare, &["update-ref", &format!("refs/pull/{number}/head"), &head]);
    let delivery = world.github.pull_event(REPOSITORY, number, "opened", "ann");
    assert_eq!(delivery.send(&format!("{}/webhooks/github", server.url), world.secret()).await.status, 202);
    let said = world.finished(&head, "longboat/validate").await.pop().expect("a status");
    let expected = "Failed: 7 errors, bank.yaml:1 this repository may not define the application bank";
    assert_eq!((said.state.as_str(), said.description.as_str()), ("failure", expected));
    let comment = world
        .until("the comment", || async { world.github.comments(REPOSITORY, number).pop().map(|one| one.body) })
        .await;
    for wrong in WRONG {
        let (code, place) = wrong.split_once(' ').expect("a code");
        assert!(comment.contains(code) && comment.contains(place), "{wrong} is not in\n{comment}");
    }

    // And on the commit, once it is there.
    git_in(&bare, &["update-ref", "refs/heads/main", &head]);
    assert_eq!(world.webhook(&server, &first, &head).await, 202);
    let found = world
        .until("the commit is looked at", || async {
            let path = format!("{}/api/v1/diagnostics?repository={REPOSITORY}&commit={head}", server.url);
            let answer = reqwest::get(path).await.ok()?.error_for_status().ok()?;
            answer.json::<Value>().await.ok()
        })
        .await;
    assert_eq!(named(&found), WRONG, "{found:#}");
    assert_eq!((&found["summary"]["errors"], &found["summary"]["valid"]), (&7.into(), &false.into()));
    let pipelines = server.get("/api/v1/applications/shop/pipelines").await;
    assert!(pipelines.to_string().contains(first.as_str()), "the last good revision stays: {pipelines:#}");
    assert!(server.stop().success());
}
