//! `longboat modules`, and the built-in library at work: what its examples say is what they do.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Output;
use std::thread;

use serde_json::{Value, json};

use super::{longboat, stderr, stdout, tree};

const GREET: &str = "\
module:
  description: Says hello. And no more than that.
  yields: stage
  parameters:
    whom: {type: string, required: true, pattern: '[a-z]+', description: Who is greeted}
    times: {type: integer, default: 1, min: 1, max: 5}
    loudly: {type: boolean, default: false, deprecated: write it in capitals}
    way: {type: enum, options: [hello, hi], default: hello}
  examples:
    - {description: Greets ann, with: {whom: ann}}
---
type: script
command: echo {{ way }} {{ whom }}
";

fn json_of(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(output), stderr(output));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn modules_are_listed_and_shown() {
    let folder = tree(&[(".longboat/modules/greet.yaml", GREET), (".longboat/modules/plain.yaml", "a: {{ b }}\n")]);
    let output = longboat(folder.path(), &["modules", "list"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let listed = stdout(&output);
    assert!(listed.starts_with("MODULE"), "{listed}");
    for line in ["std/approve   stage    Waits until a person says yes", "greet         stage    Says hello", "plain"] {
        assert!(listed.lines().any(|listed| listed == line), "{line} is missing in\n{listed}");
    }

    let output = longboat(folder.path(), &["modules", "show", "greet"]);
    insta::assert_snapshot!("module_shown", stdout(&output));
    let shown = json_of(&longboat(folder.path(), &["modules", "show", "greet", "--format", "json"]));
    assert_eq!(shown["parameters"][0]["pattern"], "[a-z]+");
    assert_eq!(shown["examples"][0]["with"], json!({"whom": "ann"}));

    let output = longboat(folder.path(), &["modules", "show", "gret"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(stderr(&output), "longboat: there is no module `gret`; did you mean `greet`?\n");

    // Outside of a work tree there is the built-in library.
    let nowhere = tempfile::tempdir().expect("a folder");
    let all = json_of(&longboat(nowhere.path(), &["modules", "list", "--format", "json"]));
    let names: Vec<&str> =
        all["modules"].as_array().expect("a list").iter().filter_map(|one| one["name"].as_str()).collect();
    assert!(names.contains(&"std/deploy") && names.iter().all(|name| name.starts_with("std/")), "{names:?}");
}

#[test]
fn modules_are_checked_with_their_examples() {
    let folder = tree(&[(".longboat/modules/greet.yaml", GREET)]);
    let output = longboat(folder.path(), &["modules", "check"]);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(0), "1 module and 1 example checked\n"));

    let wrong = GREET.replace("{whom: ann}", "{whom: Ann, often: 2}").replace("{{ way }}", "{{ wya }}");
    let folder = tree(&[(".longboat/modules/greet.yaml", &wrong)]);
    let output = longboat(folder.path(), &["modules", "check"]);
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!("modules_checked", stdout(&output));
    let output = longboat(folder.path(), &["modules", "check", "--format", "json"]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["summary"]["errors"], 3);
    assert_eq!(report["findings"][0]["file"], ".longboat/modules/greet.yaml");

    let none = tree(&[(".longboat/shop.yaml", "application: shop\n")]);
    let output = longboat(none.path(), &["modules", "check"]);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(0), "No modules in .longboat/modules\n"));
}

/// The files of the example repository, with an application whose pipeline has these stages.
fn shop(stages: &Value) -> tempfile::TempDir {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples-repo");
    let text = |path: &str| std::fs::read_to_string(root.join(path)).expect("a file of the example repository");
    let document = json!({"application": "shop", "pipelines": [{"name": "p", "stages": stages}]});
    tree(&[
        (".longboat/shop.json", &document.to_string()),
        ("src/price.sh", &text("src/price.sh")),
        ("tests/unit.sh", &text("tests/unit.sh")),
    ])
}

#[test]
fn the_examples_of_the_built_in_modules_run() {
    let nowhere = tempfile::tempdir().expect("a folder");
    let mut ran = Vec::new();
    // A person, and a server somewhere else, are needed for the others.
    for name in ["std/test", "std/build", "std/deploy", "std/rollback", "std/require", "std/pause"] {
        let module = json_of(&longboat(nowhere.path(), &["modules", "show", name, "--format", "json"]));
        for example in module["examples"].as_array().expect("examples") {
            let mut stages = example["before"].as_array().cloned().unwrap_or_default();
            let needs = example["with"]["needs"].as_array().cloned().unwrap_or_default();
            stages.extend(needs.iter().map(|id| json!({"id": id, "type": "noop"})));
            stages.push(json!({"use": name, "with": example["with"]}));
            let folder = shop(&Value::Array(stages));
            let output = longboat(folder.path(), &["run", ".longboat/shop.json"]);
            assert_eq!(output.status.code(), Some(0), "{name}: {}{}", stdout(&output), stderr(&output));
            ran.push(name);
        }
    }
    assert!(ran.len() >= 7, "{ran:?}");
}

#[test]
fn the_whole_journey_of_built_in_modules_goes_back_where_a_deployment_fails() {
    let stages = json!([
        {"use": "std/test", "with": {"command": "sh tests/unit.sh"}},
        {"use": "std/build", "with": {"command": "mkdir dist && cp -R src dist/", "save": ["dist/**"], "needs": ["test"]}},
        {"use": "std/deploy", "with": {"command": "test -f dist/src/price.sh && exit 3", "from": ["build"], "on_failure": "ignore"}},
        {"use": "std/rollback", "with": {"of": "deploy", "command": "echo back again"}},
    ]);
    let folder = shop(&stages);
    let output = longboat(folder.path(), &["run", ".longboat/shop.json"]);
    let said = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{said}{}", stderr(&output));
    assert!(said.contains("The stage deploy has failed, and was rolled back"), "{said}");

    let typo = stages.to_string().replace("\"on_failure\":\"ignore\"", "\"on_failure\":\"ignroe\"");
    let folder = shop(&serde_json::from_str(&typo).expect("JSON"));
    let output = longboat(folder.path(), &["validate"]);
    assert_eq!(output.status.code(), Some(1));
    let said = stdout(&output);
    let message =
        "the parameter `on_failure` of `std/deploy` is one of \"halt\", \"ignore\"; \"ignroe\" is none of them";
    assert!(said.contains(message) && said.contains("did you mean \"ignore\"?"), "{said}");
}

/// Reads a request's head and answers it.
fn answer(mut stream: TcpStream, body: &str) -> String {
    let lines = BufReader::new(stream.try_clone().expect("a second handle")).lines();
    let head: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    stream.write_all(answer.as_bytes()).expect("an answer");
    head.join("\n")
}

#[test]
fn verify_asks_until_all_is_well() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/health", listener.local_addr().expect("an address"));
    let states = ["starting", "starting", "healthy"];
    let server = thread::spawn(move || {
        let one = |state| answer(listener.accept().expect("a request").0, &format!("{{\"status\": \"{state}\"}}"));
        states.map(one)
    });
    let token = "${ secret(\"health\") }";
    let folder = shop(&json!([{"use": "std/verify", "with": {"url": url, "token": token}}]));
    std::fs::write(folder.path().join("token"), "a-long-enough-token-1234").expect("a file");
    let output = longboat(folder.path(), &["run", ".longboat/shop.json", "--secret", "health=@token"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    for head in server.join().expect("all were asked") {
        assert!(head.starts_with("GET /health "), "{head}");
        assert!(head.to_lowercase().contains("authorization: bearer a-long-enough-token-1234"), "{head}");
    }
}
