//! What `vars` is.

use serde_json::json;

use super::*;
use crate::gitops::{Variable, explain, list_variables};

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
    // Another pipeline of the same environment makes it no better.
    let both = "pipelines:\n- {name: z}\n- name: b\n  environment: eu\n- name: a\n  environment: {{ 'e' ~ 'u' }}\n";
    assert_eq!(at(&bad(&[("a", both), ("vars/eu", "r: eu1\n")])), "a.yaml:6:16");
    // A module's pipeline is rendered before its environment is known.
    let files = [
        ("a", "pipelines:\n- use: m\n- {{ module('m') }}\n- name: x\n  stages: []\n"),
        ("vars/eu", "r: eu1\n"),
        ("m/m", "name: m\nenvironment: eu\nr: {{ vars.r|default('none') }}\n"),
    ];
    let finding = bad(&files);
    assert_eq!((finding.code, at(&finding).as_str()), (Code::MisplacedVariables, "modules/m.yaml:2:14"));
    assert_eq!(finding.chain.len(), 1);
    let json = good(&[files[0], files[2]]).to_json();
    assert_eq!(json["pipelines"][1], json!({"name": "m", "environment": "eu", "r": "none"}));
    // A merge brings it from another pipeline.
    let merged = "pipelines:\n- &p\n  name: b\n  environment: eu\n- <<: *p\n  name: c\n";
    assert_eq!(at(&bad(&[("a", merged), ("vars/eu", "r: eu1\n")])), "a.yaml:4:16");
    // Of two, rendering chooses one.
    let chosen = "pipelines:\n- name: a\n{% if false %}\n  environment: us\n{% endif %}\n  x: 1\n";
    let finding = bad(&[("a", chosen), ("vars/us", "r: us1\n")]);
    assert!(finding.message.contains("of the environment `us`, and ends up in none"), "{finding}");
    assert_eq!(at(&finding), "a.yaml:2:3");
    assert_eq!(good(&[("a", chosen), ("vars/eu", "r: us1\n")]).to_json()["pipelines"][0], json!({"name": "a", "x": 1}));
}

#[test]
fn the_files_environment_is_that_of_the_pipelines_that_name_none() {
    let files = [
        (
            "a",
            "\
application: shop
environment: eu
top: {{ vars.r }}
pipelines:
  - name: a
    v: {{ vars.r }}
    stages: [{{ module('m') }}]
  - name: b
    environment: us
    v: {{ vars.r }}
  - name: c
    environment: elsewhere
    v: {{ vars.r }}
  - name: d
    environment: eu
    v: {{ vars.r }}
",
        ),
        ("vars/default", "r: none\n"),
        ("vars/eu", "r: eu1\n"),
        ("vars/us", "r: us1\n"),
        ("m/m", "r: {{ vars.r }}\n"),
    ];
    let json = good(&files).to_json();
    assert_eq!(json["top"], "eu1");
    let seen: Vec<_> = (0..4).map(|at| json["pipelines"][at]["v"].as_str().expect("text")).collect();
    assert_eq!(seen, ["eu1", "us1", "none", "eu1"]);
    assert_eq!(json["pipelines"][0]["stages"], json!([{"r": "eu1"}]));
    let files = [("a", "environment: {{ 'eu' }}\npipelines: [{name: a}, {name: b}]\n"), ("vars/eu", "r: eu1\n")];
    let file = render(&files);
    assert_eq!(at(&file.findings[0]), "a.yaml:1:14");
    assert_eq!(file.findings.len(), 1, "the same place once");
    let json_file = "{\"environment\": \"eu\", \"pipelines\": [{\"v\": \"{{ vars.r }}\"}]}";
    assert_eq!(good(&[("a", json_file), files[1]]).to_json()["pipelines"][0]["v"], "eu1");
}

#[test]
fn what_layers_make_of_mappings_lists_and_null() {
    let files = source(&[
        ("a", "vars:\n  m: {own: 1, deep: {y: 2}}\n  gone: null\n  flat: 1\n  grown: {k: 1}\nv: {{ vars }}\n"),
        ("vars/default", "m: {low: 0, own: 0, deep: {x: 1, y: 1}}\nl: [1, 2]\ngone: {a: 1}\nflat: {a: 1}\ngrown: 1\n"),
        ("vars/branch/feature/x", "m: {}\nl: [3]\n"),
    ]);
    let repository = RepositoryName::parse("x").expect("a name");
    let (limits, globals) = (Limits::default(), json!({"m": {"op": 1}, "grown": {"op": 1}}));
    let file = render_file(&request(&files, &repository, &limits, globals.as_object().expect("a mapping")), FILE);
    assert_eq!(file.findings, []);
    let expected = json!({
        "m": {"op": 1, "low": 0, "own": 1, "deep": {"x": 1, "y": 2}},
        "l": [3], "gone": null, "flat": 1, "grown": {"k": 1},
    });
    assert_eq!(file.root.expect("a document").get("v").expect("there").to_json(), expected);
}

#[test]
fn branches_with_slashes_have_their_layer_and_others_have_none() {
    let text = "x: {{ vars.b|default('none') }}\n";
    let files = [
        ("a", text),
        ("vars/branch/feature/x", "b: feature/x\n"),
        ("vars/branch/feature", "b: feature\n"),
        ("vars/branch/main", "b: main\n"),
    ];
    let files = source(&files);
    let repository = RepositoryName::parse("x").expect("a name");
    let (limits, globals) = (Limits::default(), Map::new());
    for (branch, seen) in [
        ("feature/x", "feature/x"),
        ("feature", "feature"),
        ("main", "main"),
        ("feature/x/y", "none"),
        ("feature/", "none"),
        ("x", "none"),
        ("a b", "none"),
        ("../../vars/branch/main", "none"),
    ] {
        let request = Request { branch, ..request(&files, &repository, &limits, &globals) };
        let file = render_file(&request, FILE);
        assert_eq!(file.findings, [], "{branch}");
        assert_eq!(file.root.expect("a document").to_json(), json!({"x": seen}), "{branch}");
    }
}

#[test]
fn an_environment_without_a_file_sees_the_other_layers() {
    let files = [
        ("a", "pipelines:\n- name: a\n  environment: staging\n  v: {{ vars.r }}\n"),
        ("vars/default", "r: none\n"),
        ("vars/eu", "r: eu1\n"),
    ];
    assert_eq!(good(&files).to_json()["pipelines"][0]["v"], "none");
}

#[test]
fn a_variable_of_another_environment_is_named_as_such() {
    let text = "\
pipelines:
  - name: a
    environment: eu
    v: {{ vars.region.zone }}
  - name: b
    v: {{ vars.region.zone }}
  - name: c
    environment: us
    v: {{ vars.region.zoen }}
";
    let files = [
        ("a", text),
        ("vars/default", "region: {}\n"),
        ("vars/eu", "region: {zone: 1}\n"),
        ("vars/us", "region: {zone: 2}\n"),
    ];
    let mut findings = render(&files).findings;
    assert_eq!(findings.len(), 2, "{findings:#?}");
    let finding = findings.remove(0);
    assert_eq!((finding.message.as_str(), at(&finding).as_str()), ("`vars.region.zone` is undefined", "a.yaml:6:11"));
    assert_eq!(findings[0].message, "`vars.region.zoen` is undefined");
    let hint = finding.hint.expect("a hint");
    assert!(hint.starts_with("only pipelines of `eu`, `us` have it"), "{hint}");
    let without = text.replace("  - name: b\n    v: {{ vars.region.zone }}\n", "");
    let finding = bad(&[("a", &without), files[1], files[2], files[3]]);
    assert_eq!(finding.hint.as_deref(), Some("did you mean `vars.region.zone`?"));
}

#[test]
fn all_that_is_wrong_with_the_layers_is_said_at_once() {
    let text = "vars: {a: 1, a: 2}\npipelines:\n- name: x\n  environment: eu\n- name: y\n  environment: us\n{% if %}\n";
    let files = [
        ("a", text),
        ("vars/default", "x: 1\nx: 2\n\ny: 1\ny: 3\n"),
        (".longboat/vars/branch/feature/x.yml", "- 1\n"),
        ("vars/eu", "r: [eu1\n"),
        ("vars/us", "r: us1\n"),
        (".longboat/vars/us.json", "{}\n"),
    ];
    let findings = render(&files).findings;
    let mut told: Vec<String> = findings.iter().map(|finding| format!("{} {}", finding.code, at(finding))).collect();
    told.sort();
    let expected = [
        "LB0001 vars/eu.yaml:1:4",
        "LB0002 a.yaml:1:14",
        "LB0002 vars/default.yaml:2:1",
        "LB0002 vars/default.yaml:5:1",
        "LB0009 vars/branch/feature/x.yml:1:1",
        "LB0101 a.yaml:7:7",
        "LB0108 vars/us.json:1:1",
    ];
    assert_eq!(told, expected, "{findings:#?}");
}

#[test]
fn a_huge_file_of_variables_is_refused() {
    let large = format!("a: \"{}\"\n", "x".repeat(1024 * 1024));
    let finding = bad(&[("a", "x: 1\n"), ("vars/default", &large)]);
    assert_eq!((finding.code, at(&finding).as_str()), (Code::FileTooLarge, "vars/default.yaml:1:1"));
    let mut many = "l:\n".to_owned();
    (0..210_000).for_each(|_| many.push_str("- 1\n"));
    many = many.replace("- 1\n- 1\n- 1\n- 1\n", "- [1, 1, 1, 1]\n");
    let finding = bad(&[("a", "x: 1\n"), ("vars/default", &many)]);
    assert_eq!(finding.code, Code::TooManyNodes, "{finding}");
    assert!(at(&finding).starts_with("vars/default.yaml:"), "{finding}");
    // Wide layers lie on each other in no time.
    let wide = |letter: char| (0..20_000).map(|at| format!("{letter}{at}: 1\n")).collect::<String>();
    let (low, high) = (wide('a'), wide('b'));
    let files = [("a", "x: {{ vars|length }}\n"), ("vars/default", &*low), ("vars/branch/feature/x", &*high)];
    assert_eq!(good(&files).to_json(), json!({"x": 40_000}));
}

/// Name, and layer, outcome, place and value of each layer.
fn told(variable: &Variable) -> String {
    let layers = variable.layers.iter().map(|told| {
        let place = told.place.to_string().replace(".longboat/", "");
        let name = if told.name == variable.name { String::new() } else { format!("{}=", told.name) };
        format!("; {:?} {:?} {place} {name}{}", told.outcome, told.layer, told.value)
    });
    format!("{} {}{}", variable.name, variable.value, layers.collect::<String>())
}

#[test]
fn a_value_s_variables_say_which_layer_won_and_what_it_shadows() {
    let text = "\
vars: {m: {own: 1}, s: top}
pipelines:
  - name: a
    environment: eu
    s: {{ vars.s }}
    r: r-{{ vars.r }}
    m: {{ vars.m }}
    l: {{ vars.l[0].n }}
    t: {{ vars.token }}
    u: {{ vars|tojson|upper }}
    d: {{ vars.d }}
  - name: b
    r: {{ vars.r }}
    d: {{ vars.d }}
    called: {{ module('m', v=vars.s) }}
";
    let files = source(&[
        ("a", text),
        ("vars/default", "s: low\nr: low\nm: {low: 1}\nl: [{n: 1}]\ntoken: abcdef\nd: [1]\n"),
        ("vars/branch/feature/x", "l:\n  - n: 2\nd: {x: 1}\n"),
        ("vars/eu", "r: eu1\nm: {env: 1}\nd: {y: 2}\n"),
        ("m/m", "v: {{ v }}\n"),
    ]);
    let repository = RepositoryName::parse("x").expect("a name");
    let (limits, globals) = (Limits::default(), json!({"s": "op", "m": {"op": 1}, "a-b": 1}));
    let request = request(&files, &repository, &limits, globals.as_object().expect("a mapping"));
    let file = render_file(&request, FILE);
    assert_eq!(file.findings, []);
    let at = |pointer: &str| {
        let explained = explain(&file, pointer).expect(pointer);
        explained.variables.iter().map(told).collect::<Vec<_>>().join(" | ")
    };
    assert_eq!(
        at("/pipelines/0/s"),
        "vars.s \"top\"; Wins File a.yaml:1:24 \"top\"; Shadowed Default vars/default.yaml:1:4 \"low\"; \
         Shadowed Operator longboat.yaml#vars.s \"op\""
    );
    assert_eq!(
        at("/pipelines/0/r"),
        "vars.r \"eu1\"; Wins Environment vars/eu.yaml:1:4 \"eu1\"; Shadowed Default vars/default.yaml:2:4 \"low\""
    );
    assert_eq!(at("/pipelines/1/r"), "vars.r \"low\"; Wins Default vars/default.yaml:2:4 \"low\"");
    let joined = at("/pipelines/0/m");
    assert!(joined.contains("Wins File") && joined.contains("Joined Operator longboat.yaml#vars.m"), "{joined}");
    assert_eq!(at("/pipelines/0/m/low"), "vars.m.low 1; Wins Default vars/default.yaml:3:10 1");
    assert_eq!(
        at("/pipelines/0/l"),
        "vars.l[0].n 2; Wins Branch vars/branch/feature/x.yaml:2:8 2; \
         Shadowed Default vars/default.yaml:4:4 vars.l=[{\"n\":1}]"
    );
    assert_eq!(at("/pipelines/0/t"), "vars.token \"***\"; Wins Default vars/default.yaml:5:8 \"***\"");
    let covered = explain(&file, "/pipelines/0/t").expect("there");
    assert_eq!((covered.value, covered.covered), (json!("***"), true));
    // What was made of it is covered in whatever holds it; the rest is not.
    let whole = explain(&file, "/pipelines/0").expect("there").value;
    assert_eq!((&whole["t"], &whole["u"], &whole["s"]), (&json!("***"), &json!("***"), &json!("top")));
    // A mapping joins what lies below it, up to the first layer that has something else.
    assert_eq!(
        at("/pipelines/0/d/y"),
        "vars.d.y 2; Wins Environment vars/eu.yaml:3:8 2; Shadowed Default vars/default.yaml:6:4 vars.d=[1]"
    );
    assert!(at("/pipelines/1/called/v").starts_with("vars.s \"top\"; Wins File"), "{}", at("/pipelines/1/called/v"));
    assert_eq!(at("/pipelines/1/name"), "");

    let listed = |path, environment| list_variables(&request, path, environment).expect("listed");
    let of_eu = listed(Some(FILE), Some("eu"));
    assert_eq!((of_eu.has_layer, &of_eu.environments[..]), (true, &[][..] as &[String]));
    let names: Vec<&str> = of_eu.variables.iter().map(|variable| variable.name.as_str()).collect();
    let all = [
        "vars.s",
        "vars.m.op",
        "vars.m.low",
        "vars.m.env",
        "vars.m.own",
        "vars[\"a-b\"]",
        "vars.r",
        "vars.l",
        "vars.token",
        "vars.d.x",
        "vars.d.y",
    ];
    assert_eq!(names, all);
    let common = listed(Some(FILE), None);
    assert_eq!((common.environment, common.environments), (None, vec!["eu".to_owned()]));
    assert!(!common.variables.iter().any(|variable| variable.name == "vars.m.env"));
    let shared = listed(None, Some("eu"));
    assert!(told(&shared.variables[0]).starts_with("vars.s \"low\"; Wins Default"));
    let none = listed(Some(FILE), Some("nowhere"));
    assert!(!none.has_layer && none.environment.as_deref() == Some("nowhere"));
    assert!(list_variables(&request, Some(".longboat/none.yaml"), None).is_err());
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

#[test]
fn beside_a_layer_that_is_wrong_the_rest_of_a_file_is_looked_at() {
    let text = "application: shop\npipelines:\n  - name: a\n    stages:\n      - {use: no/such}\n      - {use: m, with: {n: '{{ vars.n }}'}}\n{% for x in vars.list %}\n      - {id: '{{ x }}', type: noop}\n{% endfor %}\n      - {id: b, type: '{{ vars.kind }}', command: '{{ vars.a.b }}'}\n";
    let module = "module:\n  parameters:\n    n: {type: integer, required: true}\n---\nid: m\ntype: noop\n";
    let all =
        [(".longboat/a.yaml", text), (".longboat/modules/m.yaml", module), (".longboat/vars/default.yaml", "a: [\n")];
    let file = with(&all, &Limits::default(), ".longboat/a.yaml");
    let found: Vec<_> = file.findings.iter().map(|finding| (finding.code, at(finding))).collect();
    let expected = [(Code::YamlSyntax, "vars/default.yaml:1:4"), (Code::ModuleNotFound, "a.yaml:5:15")];
    assert_eq!(
        found,
        expected.map(|(code, place)| (code, place.to_owned())),
        "no guesses about what the variables are"
    );
    assert!(file.root.is_none());
    let own = text.replace("application: shop\n", "application: shop\nvars: [x]\n");
    let file = with(&[(".longboat/a.yaml", &own), all[1]], &Limits::default(), ".longboat/a.yaml");
    let codes: Vec<_> = file.findings.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, [Code::WrongShape, Code::ModuleNotFound]);
}
