//! `run`: a pipeline on this machine, with uncommitted files.

use std::io::Write;
use std::process::{Command, Stdio};

use super::{longboat, stderr, stdout, tree};

const PIPELINE: &str = "\
application: shop
pipelines:
  - name: build
    parameters:
      - {name: count, type: integer, default: 2}
    stages:
      - {id: make, type: script, command: 'cat data; echo \"made=$COUNT\" >> \"$LONGBOAT_OUTPUT\"', env: {COUNT: '${ parameters.count }'}}
      - {id: show, type: script, needs: [make], command: 'test \"$MADE\" = 3', env: {MADE: '${ stages.make.outputs.made }'}}
  - name: ask
    stages:
      - {id: approve, type: manualJudgment, instructions: 'Ship it?'}
";

#[test]
fn a_pipeline_runs_with_the_files_as_they_are() {
    let folder = tree(&[(".longboat/shop.yaml", PIPELINE), ("data", "not committed")]);
    let args = ["run", ".longboat/shop.yaml", "--pipeline", "build", "--param", "count=3"];
    let good = longboat(folder.path(), &args);
    assert_eq!(good.status.code(), Some(0), "{}{}", stdout(&good), stderr(&good));
    assert!(stdout(&good).contains("shop/build: Succeeded"), "{}", stdout(&good));

    let bad = longboat(folder.path(), &["run", ".longboat/shop.yaml", "--pipeline", "build"]);
    assert_eq!(bad.status.code(), Some(1), "{}{}", stdout(&bad), stderr(&bad));
    assert!(stdout(&bad).contains("Failed: show, exit code 1"), "{}", stdout(&bad));
}

const SECRETS: &str = "\
application: shop
pipelines:
  - name: build
    stages:
      - id: use
        type: script
        env: {TOKEN: 'Bearer ${ secret(\"api\") }', KEY: '${ secret(\"key\") }'}
        command: 'test \"$TOKEN $KEY\" = \"Bearer of-the-machine of-the-file\" || exit 3; echo \"$TOKEN\"; exit 1'
";

#[test]
fn secrets_are_given_by_their_sources() {
    let folder = tree(&[(".longboat/shop.yaml", SECRETS), ("key", "of-the-file\n")]);
    let run = |more: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_longboat"))
            .args(["run", ".longboat/shop.yaml"])
            .args(more)
            .env("API_TOKEN", "of-the-machine")
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .output()
            .expect("the binary runs");
        (output.status.code(), format!("{}{}", stdout(&output), stderr(&output)))
    };
    let (code, said) = run(&["--secret", "api=API_TOKEN", "--secret", "key=@key"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("Failed: use, exit code 1") && said.contains("Bearer ***"), "{said}");
    assert!(!said.contains("of-the-machine"), "{said}");

    let (code, said) = run(&["--secret", "api=API_TOKEN"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("nobody gave: key;") && said.contains("--secret key=@FILE"), "{said}");
    let (code, said) = run(&["--secret", "api=hunter2-of-the-machine", "--secret", "key=@key"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("never the value itself") && !said.contains("hunter2"), "{said}");
    let (code, said) = run(&["--secret", "api=API_TOKEN", "--secret", "key=@nowhere"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("the secret `key` is missing: the file") && said.contains("nowhere is not set"), "{said}");
}

#[test]
fn what_cannot_be_run_is_said() {
    let folder = tree(&[(".longboat/shop.yaml", PIPELINE)]);
    let several = longboat(folder.path(), &["run", ".longboat/shop.yaml"]);
    assert_eq!(several.status.code(), Some(2));
    assert!(stderr(&several).contains("choose one with --pipeline: build, ask"), "{}", stderr(&several));

    let wrong = ["run", ".longboat/shop.yaml", "--pipeline", "build", "--param", "count=many", "--param", "cuont=1"];
    let output = longboat(folder.path(), &wrong);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("`count`") && stderr(&output).contains("`cuont`"), "{}", stderr(&output));
}

#[test]
fn a_judgment_is_asked_on_the_terminal() {
    let folder = tree(&[(".longboat/shop.yaml", PIPELINE)]);
    for (answer, code, text) in
        [("continue\n", 0, "Succeeded"), ("what\nstop\n", 1, "Failed: approve"), ("", 1, "Cancelled")]
    {
        let mut child = Command::new(env!("CARGO_BIN_EXE_longboat"))
            .args(["run", ".longboat/shop.yaml", "--pipeline", "ask"])
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        child.stdin.take().expect("stdin").write_all(answer.as_bytes()).expect("an answer");
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(code), "{answer:?}: {}{}", stdout(&output), stderr(&output));
        assert!(stdout(&output).contains(text), "{answer:?}: {}", stdout(&output));
        assert!(stderr(&output).contains("Ship it?"), "{}", stderr(&output));
    }
}
