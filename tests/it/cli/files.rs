//! `validate`, `render`, `explain`: what is said about files.

use serde_json::Value;

use super::{longboat, stderr, stdout, tree};
use crate::support::repo::Repo;

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

    let nothing = |at| {
        let output = longboat(folder.path(), &["explain", ".longboat/shop.yaml", "--at", at]);
        assert_eq!(output.status.code(), Some(2));
        stderr(&output)
    };
    assert!(nothing("/pipelines/7").contains("`/pipelines` is a list of 1"));
    assert!(nothing("/pipelines/0/stagse/0").contains("`/pipelines/0` has name, stages"));
    assert!(nothing("pipelines/0").contains("is no JSON pointer"));
}

#[test]
fn explain_lists_variables_for_people_and_programs() {
    let files = [
        (".longboat/shop.yaml", "vars: {api_token: abcdef}\n"),
        (".longboat/vars/default.yaml", "region: us\nimage: {tag: 1}\napi_token: x\nlong: {A}\n"),
        (".longboat/vars/branch/feature/x.yaml", "region: de\n"),
        (".longboat/vars/eu.yaml", "region: eu\nimage: 5\n"),
    ];
    let long = files[1].1.replace("{A}", &"A".repeat(100));
    let folder = tree(&[files[0], (files[1].0, &long), files[2], files[3]]);
    let explain = |args: &[&str]| {
        let args: Vec<&str> = ["explain", "--vars"].iter().chain(args).copied().collect();
        let output = longboat(folder.path(), &args);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        (stdout(&output), stderr(&output))
    };
    let (said, aside) = explain(&[".longboat/shop.yaml", "--environment", "eu", "--branch", "feature/x"]);
    insta::assert_snapshot!("explained_variables", format!("{said}---\n{aside}"));
    let (said, _) = explain(&["--json", "--environment", "eu", "--branch", "feature/x"]);
    let document: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!((&document["file"], &document["environment"]), (&Value::Null, &"eu".into()));
    let region = &document["variables"][0];
    assert_eq!((&region["name"], &region["value"]), (&"vars.region".into(), &"eu".into()));
    let layers: Vec<_> =
        region["layers"].as_array().expect("layers").iter().map(|told| told["layer"].clone()).collect();
    assert_eq!(layers, ["environment", "branch", "default"]);
    assert_eq!(region["layers"][2]["outcome"], "shadowed");
    assert_eq!(region["layers"][2]["place"]["file"], ".longboat/vars/default.yaml");
    let (_, aside) = explain(&["--environment", "nowhere"]);
    assert!(aside.ends_with("there is no file of variables for this environment\n"), "{aside}");
    let alone = longboat(folder.path(), &["explain"]);
    assert_eq!(alone.status.code(), Some(2), "{}", stderr(&alone));
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

#[test]
fn commands_that_render_take_the_operator_s_variables_from_a_configuration() {
    let repo = Repo::new();
    let text = "application: shop\npipelines:\n  - name: deploy\n    stages:\n      - {id: a, type: script, command: 'ship to {{ vars.region }}'}\n";
    repo.write(".longboat/shop.yaml", text).write("server.yaml", "vars: {region: eu}\n").commit("One");
    repo.write("wrong.yaml", "vras: {}\n");
    let told = |args: &[&str]| longboat(&repo.path(), args);
    for command in [&["render", ".longboat/shop.yaml"][..], &["validate"], &["plan", "--base", "HEAD"]] {
        let without = told(command);
        assert_eq!(without.status.code(), Some(1), "{command:?}");
        let with = |config: &str| told(&[command, &["--config", config]].concat());
        let good = with("server.yaml");
        assert_eq!(good.status.code(), Some(0), "{command:?}: {}{}", stdout(&good), stderr(&good));
        let wrong = with("wrong.yaml");
        assert_eq!((wrong.status.code(), stdout(&wrong).as_str()), (Some(1), ""), "{command:?}");
        assert!(stderr(&wrong).contains("did you mean `vars`?"), "{}", stderr(&wrong));
    }
    assert!(stdout(&told(&["render", ".longboat/shop.yaml", "--config", "server.yaml"])).contains("ship to eu"));
}
