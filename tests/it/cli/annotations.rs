//! `validate --format sarif` and `--format github`: what code hosts show beside the lines.

use serde_json::Value;

use super::{longboat, stdout, tree};

const FILE: &str = "\
application: shop
vars: {kind: scirpt}
pipelines:
  - name: deploy
    stages:
      - id: a
        type: wiat
        waitTime: 3
      - use: odd
        with: {kind: '{{ vars.kind }}'}
";

fn sarif(files: &[(&str, &str)]) -> Value {
    let folder = tree(files);
    let output = longboat(folder.path(), &["validate", "--format", "sarif"]);
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// The schema of the format, if `LONGBOAT_SARIF_SCHEMA` names a copy (`tests/run` fetches one).
fn holds_the_schema(log: &Value) {
    let Some(path) = std::env::var_os("LONGBOAT_SARIF_SCHEMA") else { return };
    let mut schema: Value = serde_json::from_slice(&std::fs::read(path).expect("the schema")).expect("JSON");
    // Its id is an address that nobody may ask here, and the pattern of languages is no regular expression.
    schema.as_object_mut().expect("a schema").remove("id");
    for holder in ["run", "toolComponent"] {
        let language = schema.pointer_mut(&format!("/definitions/{holder}/properties/language"));
        language.and_then(Value::as_object_mut).map(|language| language.remove("pattern"));
    }
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let wrong: Vec<String> =
        validator.iter_errors(log).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(wrong.is_empty(), "{wrong:#?}\n{log:#}");
}

#[test]
fn sarif_names_each_finding_its_rule_and_its_calls() {
    let log = sarif(&[(".longboat/my shop.yaml", FILE), (".longboat/modules/odd.yaml", "id: b\ntype: {{ kind }}\n")]);
    holds_the_schema(&log);
    // What the format requires, and what code hosts rely on.
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().expect("rules");
    let results = run["results"].as_array().expect("results");
    assert_eq!(results.len(), 2, "{log:#}");
    let mut fingerprints = Vec::new();
    for result in results {
        let rule = &rules[usize::try_from(result["ruleIndex"].as_u64().expect("a rule")).expect("an index")];
        assert_eq!(rule["id"], result["ruleId"]);
        assert!(rule["help"]["text"].is_string() && rule["shortDescription"]["text"].is_string(), "{rule:#}");
        assert!(result["message"]["text"].is_string());
        let place = &result["locations"][0]["physicalLocation"];
        let uri = place["artifactLocation"]["uri"].as_str().expect("an address");
        assert!(uri.starts_with(".longboat/") && !uri.contains(' '), "{uri}");
        assert!(place["region"]["startLine"].as_u64().is_some_and(|line| line > 0));
        fingerprints.push(result["partialFingerprints"]["longboatFinding/v1"].as_str().expect("a text").to_owned());
    }
    fingerprints.dedup();
    assert_eq!(fingerprints.len(), 2);
    let through_module =
        results.iter().find(|result| result.get("relatedLocations").is_some()).expect("one with calls");
    let call = &through_module["relatedLocations"][0];
    assert_eq!(call["message"]["text"], "In the call of `odd`");
    assert_eq!(call["physicalLocation"]["artifactLocation"]["uri"], ".longboat/my%20shop.yaml");
    assert_eq!(call["physicalLocation"]["region"]["startLine"], 9);
}

#[test]
fn a_good_tree_gives_an_empty_log() {
    let log = sarif(&[
        (".longboat/a.yaml", &FILE.replace("wiat", "wait").replace("scirpt", "noop")),
        (".longboat/modules/odd.yaml", "id: b\ntype: {{ kind }}\n"),
    ]);
    holds_the_schema(&log);
    assert_eq!(log["runs"][0]["results"], serde_json::json!([]), "{log:#}");
}

#[test]
fn github_gets_a_command_a_line() {
    let folder = tree(&[
        (".longboat/a.yaml", &FILE.replace("wiat", "\"w:i,a%t\\nx\"")),
        (".longboat/modules/odd.yaml", "type: {{ kind }}\n"),
    ]);
    let output = longboat(folder.path(), &["validate", "--format", "github"]);
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!("github_commands", stdout(&output));
}
