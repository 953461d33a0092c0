//! `longboat init` and `longboat schema`: the first file, and what editors know of it.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::{longboat, stderr, stdout, tree};

fn read(folder: &Path, path: &str) -> String {
    std::fs::read_to_string(folder.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Initialises, validates and runs; yields what stands in the file.
fn first_file(folder: &Path, name: &str) -> String {
    let init = longboat(folder, &["init", "--application", name]);
    assert_eq!(init.status.code(), Some(0), "{}", stderr(&init));
    let file = format!(".longboat/{name}.yaml");
    assert!(stderr(&init).contains(&format!("longboat run {file}")), "{}", stderr(&init));
    let validate = longboat(folder, &["validate"]);
    assert_eq!(stdout(&validate), "1 pipeline valid\n");
    let run = longboat(folder, &["run", &file]);
    assert_eq!(run.status.code(), Some(0), "{}{}", stdout(&run), stderr(&run));
    read(folder, &file)
}

#[test]
fn the_first_file_is_valid_and_runs_at_once() {
    let folder = tree(&[("Makefile", "test:\n\t@echo tested > /dev/null\n")]);
    let git = Command::new("git").args(["init", "--quiet"]).current_dir(folder.path()).status().expect("git runs");
    assert!(git.success());
    insta::assert_snapshot!("first_file", first_file(folder.path(), "shop"));

    let empty = tempfile::tempdir().expect("a folder");
    let file = first_file(empty.path(), "nothing-yet");
    assert!(file.contains("command: echo"), "{file}");
}

#[test]
fn nothing_is_overwritten() {
    let folder = tree(&[(".longboat/mine.yaml", "application: mine\n")]);
    let output = longboat(folder.path(), &["init"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains(".longboat/mine.yaml is there already"), "{}", stderr(&output));
    assert_eq!(std::fs::read_dir(folder.path().join(".longboat")).expect("a folder").count(), 1);

    // What is no pipeline file doesn't count, and a link to elsewhere isn't written through.
    let folder = tree(&[(".longboat/settings.yaml", "modules: {}\n"), ("elsewhere", "kept")]);
    let first = longboat(folder.path(), &["init", "--application", "a", "--no-schema"]);
    assert_eq!(first.status.code(), Some(0), "{}", stderr(&first));
    assert!(!folder.path().join(".longboat/schema").exists());
    assert!(!read(folder.path(), ".longboat/a.yaml").contains("$schema"));
}

#[test]
fn the_modeline_leads_to_the_schema_that_the_program_prints() {
    let folder = tempfile::tempdir().expect("a folder");
    let init = longboat(folder.path(), &["init", "--application", "shop"]);
    assert_eq!(init.status.code(), Some(0), "{}", stderr(&init));
    let file = read(folder.path(), ".longboat/shop.yaml");
    let first = file.lines().next().expect("a line");
    let schema = first.strip_prefix("# yaml-language-server: $schema=").expect("a modeline");
    let written = read(&folder.path().join(".longboat"), schema);
    assert_eq!(written, stdout(&longboat(folder.path(), &["schema"])));

    std::fs::remove_dir_all(folder.path().join(".longboat/schema")).expect("removed");
    let again = longboat(folder.path(), &["schema", "--write"]);
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
    assert_eq!(read(folder.path(), ".longboat/schema/application.json"), written);
}

#[test]
fn every_schema_of_the_repository_is_in_the_program() {
    let folder = tempfile::tempdir().expect("a folder");
    let list = stdout(&longboat(folder.path(), &["schema", "--list"]));
    for name in ["application", "config", "plan", "stages/script"] {
        assert!(list.lines().any(|line| line == name), "{list}");
    }
    for name in list.lines() {
        let printed = longboat(folder.path(), &["schema", name]);
        let there = read(Path::new(env!("CARGO_MANIFEST_DIR")), &format!("schema/{name}.json"));
        assert!(stdout(&printed) == there, "schema/{name}.json is not what the program prints");
        let schema: Value = serde_json::from_str(&there).expect("JSON");
        assert!(schema["$schema"].is_string(), "{name}");
    }
    let unknown = longboat(folder.path(), &["schema", "aplication"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(stderr(&unknown).contains("did you mean `application`?"), "{}", stderr(&unknown));
}
