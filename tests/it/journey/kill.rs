//! `kill -9`, fifty times at random moments while pipelines run: nothing is lost, nothing runs again, every status
//! arrives once and in order.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

use super::world::World;

const KILLS: usize = 50;

/// Pushes are spread over the kills.
const PUSHES: usize = 10;

/// Each script notes when it begins and when it ends, outside of its checkout, so that the test can count.
const PIPELINE: &str = r#"
application: shop
pipelines:
  - name: deploy
    triggers: [{type: git, branches: [main]}]
    stages:
{% for id in ["a", "b"] %}
      - {{ module("noted", id=id, needs=[]) }}
{% endfor %}
      - {{ module("noted", id="c", needs=["a", "b"]) }}
      - {id: pause, type: wait, needs: [c], waitTime: 1}
      - {{ module("noted", id="d", needs=["pause"]) }}
      - {{ module("noted", id="e", needs=["d"]) }}
"#;

const NOTED: &str = r#"
id: {{ id }}
type: script
needs: {{ needs }}
env: {MARKS: "{{ file("marks") }}"}
command: |
  echo "begin" >> "$MARKS/$LONGBOAT_EXECUTION_ID.$LONGBOAT_STAGE"
  sleep 0.2
  echo "end" >> "$MARKS/$LONGBOAT_EXECUTION_ID.$LONGBOAT_STAGE"
  echo "stage=$LONGBOAT_STAGE" >> "$LONGBOAT_OUTPUT"
"#;

on_both_databases!(fifty_kills_lose_nothing_and_repeat_nothing);

async fn fifty_kills_lose_nothing_and_repeat_nothing(world: World) {
    let marks = world.folder().join("marks");
    std::fs::create_dir(&marks).expect("a folder");
    let marks_text = marks.to_str().expect("UTF-8");
    let files = [(".longboat/shop.yaml", PIPELINE), (".longboat/modules/noted.yaml", NOTED), ("marks", marks_text)];
    let first = world.push(&files, "First").await;
    let server = world.serve();
    world.settled(&first, "longboat/validate").await;
    server.kill();

    let mut commits = vec![first.clone()];
    for round in 0..KILLS {
        if round % (KILLS / PUSHES) == 0 {
            let commit = world.push(&[("code", &round.to_string())], &format!("Change {round}")).await;
            commits.push(commit);
        }
        let server = world.serve();
        if round % (KILLS / PUSHES) == 0 {
            let [.., before, after] = commits.as_slice() else { unreachable!("there are two commits") };
            // Killed before it answers: then the poll of a later round finds the push.
            let _ = world.try_webhook(&server, before, after).await;
        }
        let moment = Duration::from_millis(fastrand::u64(0..600));
        // The one thing here that is about real time: the kill has to come at a random moment.
        tokio::time::sleep(moment).await;
        server.kill();
    }

    let server = world.serve();
    let newest = commits.last().expect("a commit").clone();
    world.finished(&newest, "longboat/shop/deploy").await;
    let list = world
        .until("every execution has ended", || async {
            let list = server.get("/api/v1/executions?limit=100").await;
            let items = list["items"].as_array().expect("a list").clone();
            items.iter().all(|item| matches!(item["status"].as_str(), Some("SUCCEEDED" | "TERMINAL"))).then_some(items)
        })
        .await;
    assert!(list.len() >= PUSHES / 2, "most pushes were noticed one by one: {}", list.len());

    for item in &list {
        let id = item["id"].as_str().expect("an id");
        let view = server.get(&format!("/api/v1/executions/{id}")).await;
        let begun = notes(&marks, id);
        for stage in view["stages"].as_array().expect("stages") {
            let path = stage["path"].as_str().expect("a path");
            if stage["type"] != "script" || stage["status"] == "NOT_STARTED" || stage["status"] == "SKIPPED" {
                continue;
            }
            let notes = begun.get(path).cloned().unwrap_or_default();
            let ends = notes.iter().filter(|note| note.as_str() == "end").count();
            if stage["status"] == "SUCCEEDED" {
                assert_eq!(ends, 1, "{id} {path} ran to its end once: {notes:?}\n{stage:#}");
                assert_eq!(stage["outputs"]["stage"], path, "{stage:#}");
                assert_eq!(notes.last().map(String::as_str), Some("end"), "nothing began after success: {notes:?}");
            } else {
                let error = stage["error"].as_str().unwrap_or_default();
                assert!(!error.is_empty(), "a failure says why: {stage:#}");
            }
        }
        // A script is never lost by a kill of Longboat alone: its supervisor lives on.
        assert_eq!(view["status"], "SUCCEEDED", "{view:#}");
    }

    // What may have been sent before the last kill is told a moment later.
    for commit in &commits {
        world
            .until("each context has its last word", || async {
                let statuses = world.statuses(commit);
                let mut last = statuses.values().filter_map(|statuses| statuses.last());
                last.all(|status| status.state != "pending").then_some(())
            })
            .await;
    }
    for commit in &commits {
        for (context, statuses) in world.statuses(commit) {
            let words: Vec<(String, String)> =
                statuses.iter().map(|status| (status.state.clone(), status.description.clone())).collect();
            for pair in words.windows(2) {
                assert_ne!(pair[0], pair[1], "{commit} {context}: the same status twice: {words:?}");
                assert_eq!(pair[0].0, "pending", "{commit} {context}: nothing follows a final status: {words:?}");
            }
            assert_ne!(words.last().expect("a status").0, "pending", "{commit} {context}: {words:?}");
        }
    }
    assert!(server.stop().success());
    let orphans = processes_with(marks_text);
    assert!(orphans.is_empty(), "processes are left: {orphans:?}");
}

/// What the scripts of an execution noted, by stage.
fn notes(marks: &Path, execution: &str) -> HashMap<String, Vec<String>> {
    std::fs::read_dir(marks)
        .expect("a folder")
        .filter_map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path.file_name()?.to_str()?.to_owned();
            let stage = name.strip_prefix(&format!("{execution}."))?.to_owned();
            let lines = std::fs::read_to_string(&path).expect("a file").lines().map(str::to_owned).collect();
            Some((stage, lines))
        })
        .collect()
}

/// Processes whose environment names the folder of this test.
fn processes_with(text: &str) -> BTreeMap<u32, String> {
    std::fs::read_dir("/proc")
        .expect("/proc")
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let pid: u32 = path.file_name()?.to_str()?.parse().ok()?;
            let environment = std::fs::read(path.join("environ")).ok()?;
            let found = environment.windows(text.len()).any(|window| window == text.as_bytes());
            found.then(|| (pid, std::fs::read_to_string(path.join("cmdline")).unwrap_or_default()))
        })
        .collect()
}
