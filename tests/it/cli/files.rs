//! `validate`, `render`, `explain`: what is said about files.

use serde_json::Value;

use super::{longboat, stderr, stdout, tree};

const GOOD: &str = "\
application: shop
vars: {greeting: 'a: b # c'}
pipelines:
  - name: deploy
    stages:
      - id: build
        type: script
        command: echo {{ vars.greeting }}
      - use: ask
        with: {question: 'Ship {{ vars.greeting }}?', needs: [build]}
";

const ASK: &str = "\
id: ask
type: manualJudgment
needs: {{ needs }}
instructions: {{ question }}
";

#[test]
fn a_good_tree_is_valid() {
    let folder = tree(&[(".longboat/shop.yaml", GOOD), (".longboat/modules/ask.yaml", ASK)]);
    let output = longboat(folder.path(), &["validate"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    assert_eq!(stdout(&output), "1 pipeline valid\n");
}

#[test]
fn a_broken_tree_is_refused_with_every_place_at_once() {
    let broken = GOOD.replace("type: script", "type: scirpt").replace("[build]", "[biuld]");
    let folder = tree(&[(".longboat/shop.yaml", &broken), (".longboat/modules/ask.yaml", ASK)]);
    let output = longboat(folder.path(), &["validate"]);
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!("broken_tree", stdout(&output));

    let json = longboat(folder.path(), &["validate", "--format", "json"]);
    let report: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(report["summary"]["errors"], 2, "{report:#}");
    assert_eq!(report["findings"][0]["file"], ".longboat/shop.yaml");
    assert_eq!(report["findings"][0]["line"], 7);
    assert_eq!(report["findings"][0]["code"], "LB0304");
}

#[test]
fn a_folder_without_repository_cannot_be_validated() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = longboat(folder.path(), &["validate"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("no repository at ."), "{}", stderr(&output));
}

#[test]
fn render_prints_what_templates_make_and_it_reads_back() {
    let folder = tree(&[(".longboat/shop.yaml", GOOD), (".longboat/modules/ask.yaml", ASK)]);
    let output = longboat(folder.path(), &["render", ".longboat/shop.yaml", "--format", "json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(document.pointer("/pipelines/0/stages/0/command"), Some(&Value::from("echo a: b # c")));
    assert_eq!(document.pointer("/pipelines/0/stages/1/instructions"), Some(&Value::from("Ship a: b # c?")));

    let yaml = longboat(folder.path(), &["render", ".longboat/shop.yaml"]);
    insta::assert_snapshot!("rendered_yaml", stdout(&yaml));
    let normalized = longboat(folder.path(), &["render", ".longboat/shop.yaml", "--normalized", "--format", "json"]);
    let pipelines: Value = serde_json::from_slice(&normalized.stdout).expect("JSON");
    assert_eq!(pipelines[0]["stages"][1]["needs"], serde_json::json!(["build"]));
}

#[test]
fn explain_names_the_template_the_variable_and_the_call() {
    let folder = tree(&[(".longboat/shop.yaml", GOOD), (".longboat/modules/ask.yaml", ASK)]);
    let at = ["explain", ".longboat/shop.yaml", "--at", "/pipelines/0/stages/1/instructions"];
    let output = longboat(folder.path(), &at);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    insta::assert_snapshot!("explained", stdout(&output));

    let nothing = longboat(folder.path(), &["explain", ".longboat/shop.yaml", "--at", "/pipelines/7"]);
    assert_eq!(nothing.status.code(), Some(2));
}

#[test]
fn the_example_repository_and_the_first_file_of_the_readme_are_valid() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/examples-repo/.longboat");
    let folder = tempfile::tempdir().expect("a folder");
    let copied = std::process::Command::new("cp").args(["-r", example]).arg(folder.path()).status().expect("cp runs");
    assert!(copied.success());
    let output = longboat(folder.path(), &["validate"]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));

    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).expect("a README");
    let first = readme.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a YAML block");
    let folder = tree(&[(".longboat/deploy.yaml", first)]);
    let output = longboat(folder.path(), &["validate"]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    assert_eq!(stdout(&output), "1 pipeline valid\n");
}
