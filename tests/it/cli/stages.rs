//! One pipeline file for each stage type, run by the real binary: what it does, and what it says when it fails.

use std::process::Output;

use super::{longboat, stderr, stdout, tree};

/// Runs the only pipeline of a file whose stages are these lines.
fn run_with(head: &str, stages: &str, args: &[&str]) -> Output {
    let stages: Vec<String> = stages.lines().map(|line| format!("      {line}\n")).collect();
    let file = format!("application: shop\npipelines:\n  - name: p\n{head}    stages:\n{}", stages.concat());
    let folder = tree(&[(".longboat/shop.yaml", &file)]);
    longboat(folder.path(), &[&["run", ".longboat/shop.yaml"], args].concat())
}

fn run(stages: &str) -> Output {
    run_with("", stages, &[])
}

#[track_caller]
fn succeeds(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(output), stderr(output));
}

/// The run fails, and its last word is this.
#[track_caller]
fn fails(output: &Output, with: &str) {
    assert_eq!(output.status.code(), Some(1), "{}{}", stdout(output), stderr(output));
    let said = stdout(output);
    assert!(said.contains(with), "{said}{}", stderr(output));
}

/// A script that succeeds if the texts are equal.
fn check(value: &str, wanted: &str) -> String {
    format!("- {{type: script, command: 'echo \"$V\"; test \"$V\" = \"{wanted}\"', env: {{V: '{value}'}}}}")
}

#[test]
fn evaluate_variables() {
    let variables = "\
- id: names
  type: evaluateVariables
  variables:
    - {key: major, value: '${ semver(\"v2.3.4\").major }'}
    - {key: next, value: '${ variables.major + 1 }', description: The one after it}
    - {key: label, value: 'v${ variables.next }-${ alphanumerical(\"a/b c\") }'}
";
    let both = check("${ variables.label } ${ stages.names.outputs.next }", "v3-abc 3");
    succeeds(&run(&format!("{variables}{both}")));

    let broken = variables.replace("semver(\"v2.3.4\").major", "trigger.branch + 1");
    fails(&run(&broken), "Failed: names, its variable `major` (`${ trigger.branch + 1 }`) can't be evaluated");
}

#[test]
fn check_preconditions() {
    let head = "    parameters: [{name: n, type: integer, default: 3}]\n";
    let stages = "\
- {id: build, name: Build it, type: noop}
- id: sane
  type: checkPreconditions
  preconditions:
    - {type: expression, expression: parameters.n > 2, failureMessage: Too few}
    - {type: expression, context: {expression: '${ stage(\"Build it\").status == \"SUCCEEDED\" }'}}
    - {type: stageStatus, context: {stageName: Build it, stageStatus: SUCCEEDED}}
";
    succeeds(&run_with(head, stages, &[]));
    let failed = run_with(head, stages, &["--param", "n=1"]);
    fails(
        &failed,
        "Failed: sane, a precondition doesn't hold: Too few (`parameters.n > 2` is false: `parameters.n` is 1)",
    );

    // Only the branch stops.
    let gentle = stages.replace("Too few}", "Too few, failPipeline: false}");
    let after = "- {id: after, type: script, command: 'false'}\n";
    succeeds(&run_with(head, &format!("{gentle}{after}"), &["--param", "n=1"]));

    let cluster = stages.replace(
        "type: stageStatus, context: {stageName: Build it, stageStatus: SUCCEEDED}",
        "type: clusterSize, context: {cluster: shop}",
    );
    let refused = run_with(head, &cluster, &[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("`clusterSize` is not in this version"), "{}", stderr(&refused));
}

#[test]
fn the_built_in_module_that_requires_something() {
    let stages = "- use: std/require\n  with: {condition: 'trigger.branch == \"elsewhere\"', message: Wrong branch}\n";
    fails(
        &run(stages),
        "Failed: require, a precondition doesn't hold: Wrong branch (`trigger.branch == \"elsewhere\"` is false",
    );
    succeeds(&run("- {use: std/require, with: {condition: 'size(trigger.branch) >= 0'}}\n"));
}

#[test]
fn wait_until() {
    let stages = "- {type: waitUntil, epochMillis: 1}\n- {type: waitUntil, until: '${ formatDate(execution.startTime, \"yyyy-MM-dd\") }T00:00:00Z'}\n";
    succeeds(&run(stages));
    fails(&run("- {id: w, type: waitUntil, until: soon}"), "Failed: w, `until` is `soon`, no moment");
}

#[test]
fn group_and_noop() {
    succeeds(&run("- {id: heading, name: Before it, type: group}\n- {type: noop, group: Before it}\n"));
}

#[test]
fn find_artifact_from_execution() {
    // A run on a laptop has no past.
    let stages = "- {id: image, type: findArtifactFromExecution, pipeline: build}";
    fails(&run(stages), "Failed: image, the application `shop` has no pipeline `build`");
}

#[test]
fn artifacts_of_starts_and_scripts() {
    let head = "    expectedArtifacts: [{id: image, displayName: the image, matchArtifact: {type: docker/image, name: 'acme/.*'}}]\n";
    let make = "\
- id: make
  type: script
  command: 'echo \"artifact={\\\"type\\\": \\\"helm/chart\\\", \\\"name\\\": \\\"shop\\\", \\\"version\\\": \\\"$V\\\"}\" >> \"$LONGBOAT_OUTPUT\"'
  env: {V: '${ triggerResolvedArtifact(\"the image\").version }'}
  expectedArtifacts: [{id: chart, displayName: the chart, matchArtifact: {type: helm/chart}}]
";
    let both = check(
        "${ artifact(\"the chart\").version } ${ artifact(\"the image\").name } ${ trigger.artifacts[0].version }",
        "7 acme/shop 7",
    );
    let stages = format!("{make}{both}");
    let image = r#"{"type": "docker/image", "name": "acme/shop", "version": "7"}"#;
    succeeds(&run_with(head, &stages, &["--artifact", image]));

    let none = run_with(head, &stages, &[]);
    assert_eq!(none.status.code(), Some(2), "{}", stderr(&none));
    let said = stderr(&none);
    assert!(said.contains("the artifact `the image` is expected (docker/image acme/.*), and none fits"), "{said}");
    let other = r#"{"type": "docker/image", "name": "acme/shop", "version": "8"}"#;
    let two = run_with(head, &stages, &["--artifact", image, "--artifact", other]);
    assert!(stderr(&two).contains("fits 2 artifacts, and must fit one"), "{}", stderr(&two));

    let empty = stages.replace("helm/chart}}", "helm/charts}}");
    let failed = run_with(head, &empty, &["--artifact", image]);
    fails(
        &failed,
        "Failed: make, of what it yields, the artifact `the chart` is expected (helm/charts), and none fits",
    );
}

#[test]
fn a_condition_that_can_not_be_evaluated_is_a_failure() {
    let head = "    parameters: [{name: tag, default: latest}]\n";
    let stages = "- {id: ship, type: noop, when: 'semverMatches(parameters.tag, \"^1\")'}";
    let failed = run_with(head, stages, &[]);
    fails(&failed, "Failed: ship, its `when` (`semverMatches(parameters.tag, \"^1\")`) can't be evaluated");
    succeeds(&run_with(head, stages, &["--param", "tag=1.2.3"]));
    let odd = run_with(head, "- {id: ship, type: noop, when: 'parameters.tag'}", &[]);
    fails(&odd, "its `when` (`parameters.tag`) must yield true or false, and yields `\"latest\"`");
}

#[test]
fn a_name_that_no_stage_has_is_found_before_anything_runs() {
    let stages = "- {id: a, type: script, command: 'echo ran; exit 0'}\n- {type: script, command: 'true', env: {X: '${ stage(\"b\").outputs.x }'}}";
    let refused = run(stages);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("there is no stage `b`"), "{}", stderr(&refused));
    assert!(!stdout(&refused).contains("ran"));
}
