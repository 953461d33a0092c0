//! What `vars` is.

use serde_json::json;

use super::*;

#[test]
fn layers_lie_on_each_other_and_mappings_are_joined() {
    let files = source(&[
        ("a", "vars: {own: 5, m: {d: 5}}\npipelines:\n- name: x\n  environment: eu\n  v: {{ vars }}\n"),
        ("vars/default", "def: 2\nm: {a: 1, b: [1, 2]}\n"),
        (".longboat/vars/branch/feature/x.json", "{\"br\": 3, \"m\": {\"b\": [3]}}"),
        ("vars/eu", "env: 4\nm: {c: 3}\n"),
    ]);
    let globals = json!({"op": 1, "def": 0, "m": {"z": 0}});
    let repository = RepositoryName::parse("x").expect("a name");
    let limits = Limits::default();
    let file = render_file(&request(&files, &repository, &limits, globals.as_object().expect("a mapping")), FILE);
    assert_eq!(file.findings, []);
    let root = file.root.expect("a document");
    let seen = root.at("/pipelines/0/v").expect("the value").to_json();
    let expected =
        json!({"op": 1, "def": 2, "m": {"z": 0, "a": 1, "b": [3], "c": 3, "d": 5}, "br": 3, "env": 4, "own": 5});
    assert_eq!(seen, expected);
    assert_eq!(root.get("vars").expect("as written").to_json(), json!({"own": 5, "m": {"d": 5}}));
}

#[test]
fn each_pipeline_sees_the_variables_of_its_environment() {
    let files = [
        (
            "a",
            "\
application: shop
pipelines:
  - name: a
    environment: eu
    v: {{ vars.r }}
    stages: [{{ module('m') }}, {use: m}]
  - name: b
    environment: \"us\"
    v: {{ vars['r'] ~ vars.r|upper }}
    stages: [{{ module('m', x=vars.r) }}]
  - name: c
    v: {{ vars.r }}
    environment: other
",
        ),
        ("vars/default", "r: none\n"),
        ("vars/eu", "r: eu1\n"),
        ("vars/us", "r: us1\n"),
        ("m/m", "r: {{ vars.r }}\n"),
    ];
    let json = good(&files).to_json();
    assert_eq!(json["pipelines"][0]["v"], json!("eu1"));
    assert_eq!(json["pipelines"][0]["stages"], json!([{"r": "eu1"}, {"r": "eu1"}]));
    assert_eq!(json["pipelines"][1]["v"], json!("us1US1"));
    assert_eq!(json["pipelines"][1]["stages"], json!([{"r": "us1"}]));
    assert_eq!(json["pipelines"][2]["v"], json!("none"));
    let json_file = [
        ("a", "{\"pipelines\": [{\"environment\": \"eu\", \"v\": \"{{ vars.r }}\"}, {\"v\": \"{{ vars.r }}\"}]}"),
        ("vars/default", "r: none\n"),
        ("vars/eu", "r: eu1\n"),
    ];
    let json = good(&json_file).to_json();
    assert_eq!([&json["pipelines"][0]["v"], &json["pipelines"][1]["v"]], ["eu1", "none"]);
}

#[test]
fn an_environment_that_can_t_be_seen_beforehand_is_an_error() {
    let files = [("a", "pipelines:\n- name: a\n  environment: {{ 'e' ~ 'u' }}\n"), ("vars/eu", "r: eu1\n")];
    let finding = bad(&files);
    assert_eq!((finding.code, at(&finding).as_str()), (Code::MisplacedVariables, "a.yaml:3:16"));
    assert_eq!(good(&files[..1]).to_json()["pipelines"][0]["environment"], "eu");
}

#[test]
fn names_in_errors_are_the_authors() {
    let files =
        [("a", "pipelines:\n- name: a\n  environment: eu\n  v: {{ vars.regoin }}\n"), ("vars/eu", "region: eu1\n")];
    let finding = bad(&files);
    assert_eq!(finding.message, "`vars.regoin` is undefined");
    assert_eq!(finding.hint.as_deref(), Some("did you mean `vars.region`?"));
}

#[test]
fn a_files_own_variables_are_data_at_its_top() {
    let refuses = |text: &str, place: (u32, u32), words: &str| refuses(text, Code::MisplacedVariables, place, words);
    refuses("vars: {a: \"{{ branch }}\"}\n", (1, 12), "variables are data");
    refuses("vars: {a: 1}\nvars: {b: 1}\n", (2, 1), "stand twice");
    refuses(
        "{% if branch == 'feature/x' %}\nvars: {a: 1}\n{% else %}\nvars: {a: 2}\n{% endif %}\n",
        (4, 1),
        "stand twice",
    );
    refuses("{% for k in ['vars'] %}\n{{ k }}: {a: 1}\n{% endfor %}\n", (2, 1), "top level");
    refuses("{{ {'vars': {'a': 1}} }}\n", (1, 1), "top level");
    super::refuses("vars: [1]\n", Code::WrongShape, (1, 7), "variables are a mapping");
    super::refuses("vars:\n  a: 1\n  a: 2\n", Code::DuplicateKey, (3, 3), "");
    assert_eq!(json("vars:\na: {{ vars }}\n"), json!({"vars": null, "a": {}}));
}

#[test]
fn a_shared_layer_that_is_wrong_is_reported_once_for_the_commit() {
    let files = source(&[("a", "x: {{ vars.a }}\n"), ("b", "y: 1\n"), ("vars/default", "a: [\n")]);
    let repository = RepositoryName::parse("x").expect("a name");
    let (limits, globals) = (Limits::default(), Map::new());
    let request = request(&files, &repository, &limits, &globals);
    let rendered = crate::gitops::render_all(&request);
    assert_eq!(rendered.findings.len(), 1);
    assert_eq!(at(&rendered.findings[0]), "vars/default.yaml:1:4");
    assert!(rendered.files.iter().all(|file| file.root.is_none() && file.findings.is_empty()));
    assert_eq!(render_file(&request, FILE).findings.len(), 1);
}

#[test]
fn variable_files_are_not_templates() {
    let files = [("a", "x: {{ vars.a }}\n"), ("vars/default", "a: '{{ x }} {% y %}'\n")];
    assert_eq!(good(&files).to_json(), json!({"x": "{{ x }} {% y %}"}));
    let finding = bad(&[("a", "x: 1\n"), ("vars/default", "- a\n")]);
    assert_eq!((finding.code, at(&finding).as_str()), (Code::WrongShape, "vars/default.yaml:1:1"));
}

#[test]
fn a_branch_can_t_lead_out_of_its_folder() {
    let files = source(&[("a", "x: {{ vars|length }}\n"), ("vars/default", "a: 1\n")]);
    let repository = RepositoryName::parse("x").expect("a name");
    let (limits, globals) = (Limits::default(), Map::new());
    let request = Request { branch: "../default", ..request(&files, &repository, &limits, &globals) };
    assert_eq!(render_file(&request, FILE).root.expect("a document").to_json(), json!({"x": 1}));
}
