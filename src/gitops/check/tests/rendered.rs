//! From files to findings: each at the place to edit, with the calls that lead there.

use serde_json::Map;

use super::*;
use crate::gitops::{Limits, MemorySource};
use crate::model::RepositoryName;

fn check_sources(files: &[(&str, &str)]) -> Checked {
    let source = MemorySource::new(files.iter().map(|(path, text)| (format!(".longboat/{path}"), *text)));
    let repository = RepositoryName::parse("acme/shop").expect("a name");
    let (globals, limits) = (Map::new(), Limits::default());
    let request = Request {
        source: &source,
        repository: &repository,
        branch: "main",
        globals: &globals,
        limits: &limits,
        library: None,
    };
    check(&request, &catalog(), None)
}

fn places(checked: &Checked) -> String {
    let line = |finding: &Diagnostic| {
        let chain: Vec<_> =
            finding.chain.iter().map(|link| format!(" < {}:{} {}", link.file, link.line, link.module)).collect();
        format!("{finding} @ {}{}", finding.pointer.as_deref().unwrap_or("-"), chain.concat())
    };
    checked.findings.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_finding_stands_where_its_value_is_written() {
    let checked = check_sources(&[
        (
            "deploy.yaml",
            r#"application: shop
vars: {kind: scirpt}
pipelines:
  - name: deploy
    timout: 5m
    parameters:
      - {name: version, type: sting}
    triggers:
      - type: git
        branches: ["release/[a"]
    stages:
      - id: build
        type: {{ vars.kind }}
        command: make
      - id: test
        type: script
        command: ["a", 3]
        env:
          IMAGE: "${ stages.biuld.outputs.image }"
        needs: [bild]
      - {{ module("deploy", image="${ parameters.vresion }", wiat="5m") }}
      - use: deploy
        with: {image: x, wiat: soon}
"#,
        ),
        (
            "modules/deploy.yaml",
            r#"id: deploy-{{ image | length }}
type: script
command: deploy
env: {IMAGE: "{{ image }}"}
needs: [test]
timeout: {{ wiat }}
retries: 3
"#,
        ),
        ("broken.yaml", "application: base\npipelines: [\n"),
        (
            "json.json",
            r#"{"application": "shop", "pipelines": [{"name": "deploy", "stages": [{"type": "wait", "waitTime": "x"}]}]}"#,
        ),
    ]);
    insta::assert_snapshot!(places(&checked), @"
    .longboat/broken.yaml:2:12: error[LB0001]: this is not valid YAML: unclosed bracket '[' @ -
    .longboat/deploy.yaml:5:5: error[LB0301]: a pipeline has no field `timout` @ /pipelines/0/timout
    .longboat/deploy.yaml:7:31: error[LB0305]: `type` is `sting`, which is none of `string`, `integer`, `number`, `boolean`, `list`, `object` @ /pipelines/0/parameters/0/type
    .longboat/deploy.yaml:10:20: error[LB0309]: `release/[a` is not a pattern: unclosed character class; missing ']' @ /pipelines/0/triggers/0/branches/0
    .longboat/deploy.yaml:13:15: error[LB0304]: unknown stage type `scirpt` @ /pipelines/0/stages/0/type
    .longboat/deploy.yaml:17:18: error[LB0302]: `command` has to be a string, not a list @ /pipelines/0/stages/1/command
    .longboat/deploy.yaml:19:18: error[LB0502]: there is no stage `biuld` @ /pipelines/0/stages/1/env/IMAGE
    .longboat/deploy.yaml:20:17: error[LB0401]: there is no stage `bild` @ /pipelines/0/stages/1/needs/0
    .longboat/deploy.yaml:23:32: error[LB0307]: `timeout`: `soon` is not a duration: write `90s`, `5m`, `2h`, `3d`, `500ms`, or whole seconds, up to 3650 days @ /pipelines/0/stages/3/timeout < .longboat/deploy.yaml:22 deploy
    .longboat/json.json:1:98: error[LB0307]: `waitTime`: `x` is not a duration: write `90s`, `5m`, `2h`, `3d`, `500ms`, or whole seconds, up to 3650 days @ /pipelines/0/stages/0/waitTime
    .longboat/modules/deploy.yaml:4:14: error[LB0502]: the pipeline has no parameter `vresion` @ /pipelines/0/stages/2/env/IMAGE < .longboat/deploy.yaml:21 deploy
    .longboat/modules/deploy.yaml:7:1: error[LB0301]: a `script` stage has no field `retries` @ /pipelines/0/stages/2/retries < .longboat/deploy.yaml:21 deploy
    ");
    assert_eq!(checked.blocked_files, [".longboat/broken.yaml"]);
    insta::assert_snapshot!(summarize(&checked).1, @"Failed: 12 errors, broken.yaml:2 this is not valid YAML: unclosed bracket '['");
}

#[test]
fn what_modules_yield_is_placed_in_the_authors_files() {
    let checked = check_sources(&[
        (
            "a.yaml",
            r#"application: shop
pipelines:
  - use: whole
    with: {name: one}
  - name: two
    stages:
      - use: step
        with: {n: 1}
      - use: std/pause
        with: {seconds: 300}
"#,
        ),
        ("modules/whole.yaml", "name: {{ name }}\nstages:\n  - use: step\n    with: {n: 2}\n"),
        ("modules/step.yaml", "# a step\ntype: script\ncommand: step {{ n }}\n"),
    ]);
    let places: Vec<_> = checked
        .applications
        .iter()
        .flat_map(|application| &application.pipelines)
        .flat_map(|pipeline| {
            let stages = pipeline.stages.iter().map(|stage| (stage.id.to_string(), &stage.source));
            std::iter::once((pipeline.name.to_string(), &pipeline.source)).chain(stages)
        })
        .map(|(name, place)| format!("{name} {}:{}", place.file, place.line))
        .collect();
    insta::assert_snapshot!(format!("{}\n{}", places.join("\n"), said(&checked)), @"
    one .longboat/a.yaml:3
    script .longboat/modules/step.yaml:2
    two .longboat/a.yaml:5
    script .longboat/modules/step.yaml:2
    pause .longboat/a.yaml:9
    nothing
    ");
}

#[test]
fn a_value_three_modules_deep_names_the_argument_the_tags_and_the_line_of_the_variable_file() {
    let text = "application: shop\npipelines:\n  - name: deploy\n    stages:\n      - {{ module(\"outer\",\n           timeout=vars.limits.timeout, env=vars.env) }}\n";
    let checked = check_sources(&[
        ("a.yaml", text),
        ("vars/default.yaml", "# shared\nlimits:\n  timeout: soon\nenv: {A: [1]}\n"),
        ("modules/outer.yaml", "use: middle\nwith: {limit: {{ timeout }}, env: {{ env }}}\n"),
        (
            "modules/middle.yaml",
            "module: {parameters: {limit: {}, env: {}}}\n---\nuse: inner\nwith:\n  timeout: {{ limit }}\n  env: {{ env }}\n",
        ),
        ("modules/inner.yaml", "id: x\ntype: script\ncommand: x\ntimeout: {{ timeout }}\nenv: {{ env }}\n"),
    ]);
    let way = |finding: &Diagnostic| {
        let through = finding.through.iter().map(|place| format!(" + {}:{}", place.file, place.line));
        format!("{} @ {}{}", finding.code, finding.pointer.as_deref().unwrap_or("-"), through.collect::<String>())
    };
    let ways: Vec<String> = checked.findings.iter().map(way).collect();
    let place = |at: usize| checked.findings[at].place.as_ref().map(|place| (place.file.as_str(), place.line));
    assert_eq!((place(0), place(1)), (Some((".longboat/a.yaml", 6)), Some((".longboat/vars/default.yaml", 4))));
    assert_eq!(checked.findings[0].chain.len(), 3);
    assert_eq!(
        ways,
        [
            "LB0307 @ /pipelines/0/stages/0/timeout + .longboat/modules/inner.yaml:4 + .longboat/modules/middle.yaml:5 + .longboat/modules/outer.yaml:2 + .longboat/vars/default.yaml:3",
            "LB0302 @ /pipelines/0/stages/0/env/A + .longboat/a.yaml:6 + .longboat/modules/inner.yaml:5 + .longboat/modules/middle.yaml:6 + .longboat/modules/outer.yaml:2 + .longboat/vars/default.yaml:4",
        ]
    );
}

#[test]
fn names_that_dont_exist_and_wrong_stages_are_told_together() {
    let checked = check_sources(&[(
        "deploy.yaml",
        r#"application: shop
pipelines:
  - name: deploy
    stages:
      - {id: a, type: script, command: "deploy {{ vars.image }}"}
      - {id: b-{{ region }}, type: scirpt, comand: x}
      - {id: c, type: scirpt}
      - {id: d, type: script, command: "{{ vars.command|default("make") }}", timeout: 5x}
"#,
    )]);
    insta::assert_snapshot!(places(&checked), @r"
    .longboat/deploy.yaml:5:51: error[LB0102]: `vars.image` is undefined @ -
    .longboat/deploy.yaml:6:19: error[LB0102]: `region` is undefined @ -
    .longboat/deploy.yaml:6:36: error[LB0304]: unknown stage type `scirpt` @ /pipelines/0/stages/1/type
    .longboat/deploy.yaml:7:23: error[LB0304]: unknown stage type `scirpt` @ /pipelines/0/stages/2/type
    .longboat/deploy.yaml:8:87: error[LB0307]: `timeout`: `5x` is not a duration: write `90s`, `5m`, `2h`, `3d`, `500ms`, or whole seconds, up to 3650 days @ /pipelines/0/stages/3/timeout
    ");
}
