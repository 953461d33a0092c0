//! Calls held against headers, and what modules yield held against what they say.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::diagnostic::Severity;

const DEPLOY: &str = "\
module:
  yields: stage
  parameters:
    replicas: {type: integer, min: 1, max: 5, default: 2}
    track: {type: enum, options: [stable, canary], default: stable}
    tag: {type: string, pattern: 'v[0-9]+', required: true, description: which version}
    hosts: {type: list, items: string, min: 1}
    token: {type: secret}
    owner: {type: string, deprecated: use `team`}
---
type: deploy
replicas: {{ replicas }}
track: {{ track }}
tag: {{ tag }}
";

/// Places, codes, messages and hints of the findings of a file beside the module `deploy`.
fn found(files: &[(&str, &str)]) -> Vec<String> {
    let all: Vec<_> = files.iter().copied().chain([("m/deploy", DEPLOY)]).collect();
    let line = |finding: &Diagnostic| {
        let hint = finding.hint.as_deref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        let way: String = finding.through.iter().map(|place| format!(" < {}:{}", place.file, place.line)).collect();
        format!("{} {} {}{hint}{way}", at(finding), finding.code, finding.message)
    };
    render(&all).findings.iter().map(line).collect()
}

#[test]
fn a_wrong_argument_is_named_where_the_call_gives_it() {
    let text = "\
stages:
  - {{ module('deploy', tag='v1', replicas='two') }}
  - use: deploy
    with:
      tag: latest
      replicas: 9
      track: canry
      hosts: [a, 2]
      token: hunter2
";
    assert_eq!(
        found(&[("a", text)]),
        [
            "a.yaml:2:44 LB0210 the parameter `replicas` of `deploy` is an integer; \"two\" is a string",
            "a.yaml:5:12 LB0210 the parameter `tag` of `deploy` has to match `v[0-9]+`; \"latest\" doesn't (the whole text has to match the pattern)",
            "a.yaml:6:17 LB0210 the parameter `replicas` of `deploy` is from 1 to 5; it can't be 9",
            "a.yaml:7:14 LB0210 the parameter `track` of `deploy` is one of \"stable\", \"canary\"; \"canry\" is none of them (did you mean \"canary\"?)",
            "a.yaml:8:18 LB0210 the parameter `hosts` of `deploy` is a list of which each item is a string; item 2 (2) is an integer (put it in quotes: \"2\")",
            "a.yaml:9:14 LB0210 the parameter `token` of `deploy` takes the name of a secret, not a text (write `${ secret(\"name\") }`, and nothing around it; the value itself belongs to the operator)",
        ]
    );
}

#[test]
fn the_value_s_own_way_is_told() {
    let files = [
        ("vars/default", "count: many\n"),
        (
            "a",
            "stages:\n  - {{ module('deploy', tag='v1', replicas=vars.count) }}\n  - {{ module('outer', n=true) }}\n",
        ),
        ("m/outer", "module: {parameters: {n: {}}}\n---\n{{ module('deploy', tag='v1', replicas=n) }}\n"),
    ];
    assert_eq!(
        found(&files),
        [
            "a.yaml:2:44 LB0210 the parameter `replicas` of `deploy` is an integer; \"many\" is a string < .longboat/vars/default.yaml:1",
            "a.yaml:3:26 LB0210 the parameter `replicas` of `deploy` is an integer; true is a boolean < .longboat/modules/outer.yaml:3",
        ]
    );
}

#[test]
fn a_deprecated_parameter_is_a_warning_at_the_call() {
    let file = render(&[("a", "stages:\n  - {{ module('deploy', tag='v1', owner='x') }}\n"), ("m/deploy", DEPLOY)]);
    assert!(file.root.is_some());
    let finding = &file.findings[0];
    assert_eq!((finding.severity, finding.code), (Severity::Warning, Code::DeprecatedParameter));
    assert_eq!((at(finding).as_str(), finding.hint.as_deref()), ("a.yaml:2:41", Some("use `team`")));
}

#[test]
fn null_counts_as_not_given() {
    let text = "stages:\n  - {{ module('deploy', tag='v1', replicas=none) }}\n";
    let root = good(&[("a", text), ("m/deploy", DEPLOY)]);
    assert_eq!(root.to_json()["stages"][0]["replicas"], 2);
    assert_eq!(
        found(&[("a", "stages:\n  - use: deploy\n    with: {tag: ~}\n")]),
        ["a.yaml:3:17 LB0203 the module `deploy` needs the parameter `tag`, which is null here (tag: which version)"]
    );
    // A module that failed leaves null, and no second error.
    let files = [
        ("a", "x: {{ module('needs', p=module('broken')) }}\n"),
        ("m/needs", "module: {parameters: {p: {type: object, required: true}}}\n---\nx: {{ p }}\n"),
        ("m/broken", "{{ nope }}"),
    ];
    assert_eq!(bad(&files).code, Code::UndefinedValue);
}

#[test]
fn what_is_evaluated_at_the_run_is_taken() {
    let text = "stages:\n  - use: deploy\n    with: {tag: '${ parameters.tag }', replicas: '${ parameters.n }'}\n";
    let root = good(&[("a", text), ("m/deploy", DEPLOY)]);
    assert_eq!(root.to_json()["stages"][0]["replicas"], "${ parameters.n }");
}

#[test]
fn a_body_yields_what_its_header_says() {
    for (yields, body, said) in [
        (
            "stage",
            "- type: wait",
            Some("3:1 the module `m` should yield a stage, and yields a list; say `yields: stages`"),
        ),
        ("stage", "5", Some("3:1 the module `m` should yield a stage, and yields an integer")),
        ("stage", "name: x", Some("3:1 the module `m` should yield a stage, and yields a mapping without `type`")),
        ("stage", "name: x\nstages: []", Some("say `yields: pipeline`")),
        ("stages", "type: wait", Some("yields one mapping; put `- ` before it")),
        (
            "stages",
            "- type: wait\n- name: x",
            Some("4:3 the module `m` should yield a list of stages, and yields a mapping without `type`"),
        ),
        ("trigger", "branches: [x]", Some("a trigger, and yields a mapping without `type`")),
        ("pipeline", "name: x", Some("a pipeline, and yields a mapping without `stages`")),
        ("stage", "type: wait", None),
        ("stage", "{% if false %}type: wait{% endif %}", None),
        ("stages", "[]", None),
        ("value", "5", None),
    ] {
        let module = format!("module: {{yields: {yields}}}\n---\n{body}\n");
        let file =
            render(&[("a", "stages: {{ module('m') if true }}\nx: {% set x = module('m') %}1\n"), ("m/m", &module)]);
        let shape: Vec<_> = file.findings.iter().filter(|finding| at(finding).starts_with("modules/")).collect();
        match said {
            None => assert!(shape.is_empty(), "{yields} {body}: {shape:?}"),
            Some(said) => {
                assert_eq!(file.findings.len(), 1, "{yields} {body}: {:?}", file.findings);
                let line = format!("{} {}", at(shape[0]), shape[0].message);
                assert!(line.contains(said) && shape[0].code == Code::ModuleResult, "{yields} {body}: {line}");
                assert_eq!(shape[0].chain.len(), 1);
            }
        }
    }
}

#[test]
fn what_is_yielded_stands_where_it_belongs() {
    let modules = [
        ("m/stage", "module: {yields: stage}\n---\ntype: wait\n"),
        ("m/stages", "module: {yields: stages}\n---\n- {type: wait}\n- use: stage\n"),
        ("m/trigger", "module: {yields: trigger}\n---\ntype: git\n"),
        ("m/pipeline", "module: {yields: pipeline}\n---\nname: x\nstages: {{ module('stages') }}\n"),
    ];
    for (text, said) in [
        ("stages: [{use: stage}, '{{ module('stage') }}']\n", None),
        ("stages:\n  - use: stages\n  - {{ module('stages') + [module('stage')] }}\n", None),
        ("stages: {use: stages}\n", None),
        ("pipelines:\n  - use: pipeline\n  - {triggers: [{use: trigger}]}\n", None),
        ("name: {{ module('stage').type }}\nn: {{ module('stages')|length }}\n", None),
        ("triggers:\n  - use: stage\n", Some("2:10 `stage` yields a stage, and stands in `triggers`")),
        ("stages: {use: stage}\n", Some("1:15 `stage` yields a stage, and is the value of `stages`, which is a list")),
        ("stages: [{use: trigger}]\n", Some("1:16 `trigger` yields a trigger, and stands in `stages`")),
        ("pipelines: [{use: stages}]\n", Some("1:19 `stages` yields a stage, and stands in `pipelines`")),
        (
            "stages: ['{{ module('stages') }}', '{{ module('pipeline') }}']\n",
            Some("1:14 `stages` yields a list of stages, and is one item of `stages`"),
        ),
        ("{use: pipeline}\n", Some("1:7 `pipeline` yields a pipeline, and stands by itself")),
        ("payload: {{ module('stage') }}\n", Some("1:13 `stage` yields a stage, and is the value of `payload`")),
    ] {
        let files: Vec<_> = [("a", text)].into_iter().chain(modules).collect();
        let findings = render(&files).findings;
        match said {
            None => assert_eq!(findings, [], "{text}"),
            Some(said) => {
                let line = format!("{} {}", at(&findings[0]), findings[0].message);
                assert!(line.contains(said) && findings[0].code == Code::ModuleResult, "{text}: {line}");
            }
        }
    }
}

/// An item of a list of stages: written as it stands, or a call that yields so many.
#[derive(Debug, Clone)]
enum Item {
    Written(String),
    Call(usize, bool),
}

fn items() -> impl Strategy<Value = Vec<Item>> {
    let written = "[a-z\\[\\]}:#'\" -]{0,12}".prop_map(Item::Written);
    let call = (0usize..4, any::<bool>()).prop_map(|(count, tag)| Item::Call(count, tag));
    prop::collection::vec(prop_oneof![written, call], 0..8)
}

proptest! {
    /// What a call in a list yields takes the call's place, and every item beside it is what it is without the call:
    /// the same value, from the same line and column.
    #[test]
    fn splicing_changes_no_sibling(items in items()) {
        let module = "module: {yields: stages, parameters: {n: {type: integer}}}\n---\n\
            {% for i in range(n) %}\n- {type: wait, name: s{{ i }}}\n{% endfor %}\n";
        let text = |calls: bool| {
            let line = |item: &Item| match item {
                Item::Written(name) => format!("  - {{type: wait, name: {}}}\n", Value::from(name.as_str())),
                Item::Call(..) if !calls => "  # left out\n".to_owned(),
                Item::Call(count, true) => format!("  - {{{{ module('m', n={count}) }}}}\n"),
                Item::Call(count, false) => format!("  - {{use: m, with: {{n: {count}}}}}\n"),
            };
            format!("stages:\n{}after: 1\n", items.iter().map(line).collect::<String>())
        };
        let with = good(&[("a", &text(true)), ("m/m", module)]);
        let without = good(&[("a", &text(false)), ("m/m", module)]);
        let stages = |node: &Arc<Node>| node.get("stages").and_then(Node::as_list).map(<[_]>::to_vec).unwrap_or_default();
        let (spliced, alone) = (stages(&with), stages(&without));
        let expected: Vec<Value> = items
            .iter()
            .flat_map(|item| match item {
                Item::Written(name) => vec![json!({"type": "wait", "name": name})],
                Item::Call(count, _) => (0..*count).map(|i| json!({"type": "wait", "name": format!("s{i}")})).collect(),
            })
            .collect();
        if !items.is_empty() {
            prop_assert_eq!(spliced.iter().map(|node| node.to_json()).collect::<Vec<_>>(), expected);
        }
        let own = |list: &[Arc<Node>]| -> Vec<String> {
            let written = list.iter().filter(|node| node.origin.chain().is_empty());
            written.map(|node| format!("{:?} {}", node.origin, node.to_json())).collect()
        };
        prop_assert_eq!(own(&spliced), own(&alone));
        prop_assert_eq!(with.get("after").map(Node::to_json), Some(json!(1)));
    }
}
