//! Bad input of every kind, in repositories side by side with a good one: each gets a clear error or state, and the
//! good one goes on.

use super::world::World;
use crate::support::git_http::{GitHttp, Mood};
use crate::support::repo::{Repo, git_in};

const GOOD: &str = "\
application: shop
pipelines:
  - name: deploy
    triggers: [{type: git, branches: [main]}]
    stages: [{id: say, type: script, command: echo hello}]
";

#[tokio::test(flavor = "multi_thread")]
async fn bad_repositories_say_what_is_wrong_and_the_good_one_goes_on() {
    let served = tempfile::tempdir().expect("a folder");
    let hanging = GitHttp::start(served.path(), None).await;
    hanging.set_mood(Mood::Hangs);
    let dripping = GitHttp::start(served.path(), None).await;
    dripping.set_mood(Mood::Drips);
    let empty = Repo::new();
    let broken = Repo::new();
    for (name, text) in broken_files() {
        broken.write(&format!(".longboat/{name}.yaml"), text);
    }
    broken.write(".longboat/modules/self.yaml", "{{ module('self') }}\n");
    broken.commit("Broken in every way");
    let missing = served.path().join("nothing-here");
    let more = format!(
        "  - {{name: bad/hanging, url: '{}', poll: 1s}}\n  - {{name: bad/dripping, url: '{}', poll: 1s}}\n\
         \x20 - {{name: bad/empty, path: '{}'}}\n  - {{name: bad/broken, path: '{}'}}\n  - {{name: bad/missing, path: '{}'}}\n\
         limits: {{gitDeadline: 3s}}\n",
        hanging.url("x.git"),
        dripping.url("x.git"),
        empty.path().display(),
        broken.path().display(),
        missing.display(),
    );
    let world = World::with(&more).await;
    let first = world.push(&[(".longboat/shop.yaml", GOOD)], "First").await;
    let server = world.serve();
    world.settled(&first, "longboat/validate").await;
    let second = world.push(&[("code", "2")], "Second").await;
    assert_eq!(world.webhook(&server, &first, &second).await, 202);
    world.settled(&second, "longboat/shop/deploy").await;

    let states = world
        .until("every bad repository says so", || async {
            let list = server.get("/api/v1/repositories").await;
            let items = list["items"].as_array().expect("a list").clone();
            let error = |name: &str| {
                let item = items.iter().find(|item| item["name"] == name);
                item.and_then(|item| item["error"].as_str()).map(str::to_owned)
            };
            Some((error("bad/missing")?, error("bad/hanging")?, error("bad/dripping")?, items.len()))
        })
        .await;
    let (missing, hanging, dripping, count) = states;
    assert_eq!(count, 6);
    assert!(missing.contains("nothing-here"), "{missing}");
    for text in [hanging, dripping] {
        assert!(text.contains("127.0.0.1") && text.contains("did not"), "{text}");
    }

    let head = git_in(&broken.path(), &["rev-parse", "HEAD"]);
    let findings = world
        .until("the findings of the broken repository", || async {
            let path = format!("/api/v1/diagnostics?repository=bad/broken&commit={head}");
            let answer = reqwest::get(format!("{}{path}", server.url)).await.ok()?;
            if !answer.status().is_success() {
                return None;
            }
            let findings: serde_json::Value = answer.json().await.ok()?;
            let items = findings.get("findings")?.as_array()?.clone();
            (!items.is_empty()).then_some(items)
        })
        .await;
    for (name, _) in broken_files() {
        let file = format!(".longboat/{name}.yaml");
        // A mistake inside a module is found there, with the call that led to it.
        let about = |finding: &&serde_json::Value| {
            finding["file"] == file.as_str() || finding["chain"][0]["file"] == file.as_str()
        };
        let own: Vec<_> = findings.iter().filter(about).collect();
        assert!(own.iter().any(|finding| finding["severity"] == "error"), "{file} has an error: {findings:#?}");
        for finding in own {
            assert!(finding["line"].as_u64().is_some_and(|line| line >= 1), "{finding:#}");
            assert!(finding["message"].as_str().is_some_and(|message| !message.is_empty()), "{finding:#}");
        }
    }
    assert!(server.stop().success());
}

/// One file per kind of mistake.
fn broken_files() -> Vec<(&'static str, Vec<u8>)> {
    let mut bomb = String::from("a: &a [1,1,1,1,1,1,1,1,1,1]\n");
    for (this, before) in ["b", "c", "d", "e", "f", "g", "h", "i"].iter().zip(["a", "b", "c", "d", "e", "f", "g", "h"])
    {
        let aliases = vec![format!("*{before}"); 10].join(",");
        bomb.push_str(&format!("{this}: &{this} [{aliases}]\n"));
    }
    vec![
        ("yaml", b"application: [\n".to_vec()),
        ("bomb", bomb.into_bytes()),
        ("endless", b"{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}\n".to_vec()),
        ("recursive", b"application: a\npipelines: [{name: a, stages: [{{ module('self') }}]}]\n".to_vec()),
        ("latin1", b"application: caf\xe9\n".to_vec()),
        ("upwards", b"application: b\npipelines: [{name: a, stages: [{{ module('../../etc/passwd') }}]}]\n".to_vec()),
        ("outside", b"application: c\nvars: {a: '{{ file(\"../secret\") }}'}\npipelines: []\n".to_vec()),
        ("undefined", b"application: d\npipelines: [{name: a, stages: [{type: script, command: '{{ vars.nope }}'}]}]\n".to_vec()),
        ("circle", b"application: e\npipelines: [{name: a, stages: [{id: x, type: noop, needs: [y]}, {id: y, type: noop, needs: [x]}]}]\n".to_vec()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn forced_and_deleted_branches_are_states() {
    let world = World::new().await;
    let first = world.push(&[(".longboat/shop.yaml", GOOD)], "First").await;
    let server = world.serve();
    world.settled(&first, "longboat/validate").await;
    let second = world.push(&[("code", "2")], "Second").await;
    assert_eq!(world.webhook(&server, &first, &second).await, 202);
    world.settled(&second, "longboat/shop/deploy").await;

    // History is rewritten: the new head stands beside the old one.
    git_in(&world.work(), &["reset", "--quiet", "--hard", &first]);
    let forced = world.push(&[("code", "forced")], "Forced").await;
    assert_eq!(world.webhook(&server, &second, &forced).await, 202);
    world.settled(&forced, "longboat/shop/deploy").await;

    // A branch comes and goes: its files are checked, nothing of it is published or run by its own definition.
    let side = world.push_to("side", &[(".longboat/shop.yaml", &GOOD.replace("hello", "{{ nope }}"))], "Side").await;
    let zero = "0".repeat(40);
    assert_eq!(world.webhook_of(&server, "refs/heads/side", &zero, &side).await, 202);
    let validate = world.finished(&side, "longboat/validate").await;
    assert_eq!(validate.last().map(|status| status.state.as_str()), Some("failure"), "{validate:?}");
    git_in(&world.work(), &["push", "--quiet", "origin", ":refs/heads/side"]);
    assert_eq!(world.webhook_of(&server, "refs/heads/side", &side, &zero).await, 202);

    git_in(&world.work(), &["checkout", "--quiet", "-B", "main", &forced]);
    let last = world.push(&[("code", "last")], "Last").await;
    assert_eq!(world.webhook(&server, &forced, &last).await, 202);
    world.settled(&last, "longboat/shop/deploy").await;
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_huge_webhook_is_refused_while_it_comes_and_a_wrong_signature_at_once() {
    let world = World::new().await;
    let first = world.push(&[(".longboat/shop.yaml", GOOD)], "First").await;
    let server = world.serve();
    world.settled(&first, "longboat/validate").await;
    let hook = format!("{}/webhooks/github", server.url);
    let client = reqwest::Client::new();

    let huge = client
        .post(&hook)
        .header("content-type", "application/json")
        .header("x-github-event", "push")
        .header("x-github-delivery", "d-1")
        .header("x-hub-signature-256", format!("sha256={}", "0".repeat(64)))
        .body(vec![b'x'; 100 * 1024 * 1024])
        .send()
        .await;
    // Either the answer came, or the connection was cut while we were still sending.
    if let Ok(answer) = huge {
        assert_eq!(answer.status(), 413);
    }
    let forged = client
        .post(&hook)
        .header("content-type", "application/json")
        .header("x-github-event", "push")
        .header("x-github-delivery", "d-2")
        .header("x-hub-signature-256", format!("sha256={}", "0".repeat(64)))
        .body("{}")
        .send()
        .await
        .expect("an answer");
    assert_eq!(forged.status(), 401);
    assert!(resident_mb(server.pid()) < 300, "memory stays bounded: {} MB", resident_mb(server.pid()));

    let second = world.push(&[("code", "2")], "Second").await;
    assert_eq!(world.webhook(&server, &first, &second).await, 202);
    world.settled(&second, "longboat/shop/deploy").await;
    assert!(!server.log().contains(world.secret()), "no secret in the log");
}

fn resident_mb(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok()).expect("a number") / 1024
}
