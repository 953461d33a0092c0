//! Calls of modules.

use serde_json::json;

use super::*;

const NOTIFY: &str = "\
module:
  description: Says something
  parameters:
    channel: {type: string, required: true, description: where}
    text: {default: done}
    note: {}
---
type: notify
channel: {{ channel }}
text: {{ text }} on {{ branch }}
note: {{ note }}
";

#[test]
fn a_module_is_called_from_a_tag_and_from_yaml() {
    let text = "\
stages:
  - {{ module('notify', channel='#a: b') }}
  - use: notify
    with: {channel: '#c', text: 5, note: [x]}
one:
  use: notify
  with:
    channel: {{ '#' ~ branch }}
";
    let expected = json!({
        "stages": [
            {"type": "notify", "channel": "#a: b", "text": "done on feature/x", "note": null},
            {"type": "notify", "channel": "#c", "text": "5 on feature/x", "note": ["x"]},
        ],
        "one": {"type": "notify", "channel": "#feature/x", "text": "done on feature/x", "note": null},
    });
    assert_eq!(good(&[("a", text), ("m/notify", NOTIFY)]).to_json(), expected);
    let file = render(&[("a", text), ("m/notify", NOTIFY)]);
    assert_eq!(file.modules.iter().map(|used| &*used.module).collect::<Vec<_>>(), ["notify"]);
    assert_eq!((file.modules[0].file.as_str(), file.modules[0].call.line), (".longboat/modules/notify.yaml", 2));
}

#[test]
fn the_built_in_library_is_called_std() {
    let root = good(&[("a", "stages:\n- use: std/approve\n- {{ module('std/approve', id='x', needs=['y']) }}\n")]);
    let expected = json!([
        {"id": "approve", "name": "Approve", "type": "manualJudgment", "instructions": "Go on?"},
        {"id": "x", "name": "Approve", "type": "manualJudgment", "instructions": "Go on?", "needs": ["y"]},
    ]);
    assert_eq!(root.to_json()["stages"], expected);
}

#[test]
fn results_are_values_that_a_template_can_use() {
    let files = [
        (
            "a",
            "{% set m = module('list', n=2) %}\nfirst: {{ m[0].name }}\nnames: [{% for s in m %}{{ s.name }},{% endfor %}]\nall:\n  - x\n  - {{ m }}\n  - use: list\n    with: {n: 1}\nnothing:\n  - {{ module('none') }}\n  - {{ module('none') if false }}\n  - use: none\nkept: {{ module('none') }}\nscalar: {{ module('five') + 1 }}\n",
        ),
        ("m/list", "{% for i in range(n) %}\n- name: s{{ i }}\n{% endfor %}\n"),
        ("m/none", "{% if false %}\na: 1\n{% endif %}\n"),
        ("m/five", "5"),
    ];
    let expected = json!({"first": "s0", "names": ["s0", "s1"], "all": ["x", {"name": "s0"}, {"name": "s1"}, {"name": "s0"}],
        "nothing": [], "kept": null, "scalar": 6});
    assert_eq!(good(&files).to_json(), expected);
}

#[test]
fn a_body_sees_its_parameters_and_not_its_callers_names() {
    let files = [
        ("a", "vars: {v: 1}\n{% set local = 2 %}\nx: {{ module('m', p=3) }}\n"),
        ("m/m", "{{ [p, vars.v, branch, repository, local is defined] }}"),
    ];
    assert_eq!(good(&files).to_json()["x"], json!([3, 1, "feature/x", "acme/shop", false]));
}

#[test]
fn modules_call_modules_and_parameters_may_be_calls() {
    let files = [
        ("a", "x: {{ module('outer', inner=module('leaf', v=1)) }}\n"),
        ("m/outer", "got: {{ inner }}\nown:\n  use: sub/leaf\n  with: {v: {{ inner.v + 1 }}}\n"),
        ("m/leaf", "v: {{ v }}\n"),
        ("m/sub/leaf", "w: {{ v }}\n"),
    ];
    assert_eq!(good(&files).to_json(), json!({"x": {"got": {"v": 1}, "own": {"w": 2}}}));
}

/// Places and messages of all findings.
fn found(text: &str) -> Vec<String> {
    let file = render(&[("a", text), ("m/notify", NOTIFY)]);
    assert!(file.root.is_none());
    file.findings.iter().map(|finding| format!("{} {}", at(finding), finding.message)).collect()
}

#[test]
fn wrong_calls_are_reported_all_at_once_and_where_they_are() {
    let text = "\
a: {{ module('notfy', channel=1) }}
b: {{ module('notify') }}
c: {{ module('notify', chanel='x', channel='y') }}
d:
  use: notify
  with:
    channel: x
    tekst: y
e: {use: notify, with: {channel: x}, wiht: 1, name: z}
f: {use: [notify]}
";
    let wrong = [
        "a.yaml:1:7 there is no module `notfy`",
        "a.yaml:2:7 the module `notify` needs the parameter `channel`",
        "a.yaml:3:31 the module `notify` has no parameter `chanel`",
        "a.yaml:8:12 the module `notify` has no parameter `tekst`",
        "a.yaml:9:38 `wiht` can't stand beside `use`",
        "a.yaml:9:47 `name` can't stand beside `use`",
        "a.yaml:10:10 `use` names a module; this is a list",
    ];
    assert_eq!(found(text), wrong);
    // An error of the template itself doesn't keep the rest from being read as YAML.
    let broken = found(&format!("{text}g: {{{{ module(name='notify') }}}}\n"));
    assert_eq!(broken[..wrong.len()], wrong);
    assert_eq!(broken[wrong.len()..], ["a.yaml:11:7 `module` gets the module's name and then arguments by name"]);
}

#[test]
fn only_a_written_key_is_a_call() {
    let json = good(&[("a", "x: {{ {'use': 'y'} }}\n{{ 'use' }}: z\nv: {'{{ 'use' }}': 1}\n")]).to_json();
    assert_eq!(json, json!({"x": {"use": "y"}, "use": "z", "v": {"use": 1}}));
}

#[test]
fn module_repositories_are_not_configured() {
    let finding = bad(&[("a", "x: {{ module('platform/deploy@v2') }}\n")]);
    assert_eq!((finding.code, at(&finding).as_str()), (Code::ModuleRepository, "a.yaml:1:7"));
    assert!(finding.message.contains("`platform`"));
}

#[test]
fn an_error_three_modules_down_says_how_it_was_reached() {
    let files = [
        ("a", "x:\n  - {{ module('one') }}\n  - {{ module('one') }}\n"),
        ("m/one", "module: {}\n---\na: 1\nb: {use: two}\n"),
        ("m/two", "c:\n  {{ module('three', y=1) }}\n"),
        ("m/three", "module: {parameters: {y: {}}}\n---\nd: {{ z }}\n"),
    ];
    let finding = bad(&files);
    assert_eq!((finding.code, at(&finding).as_str()), (Code::UndefinedValue, "modules/three.yaml:3:7"));
    let chain: Vec<String> = finding
        .chain
        .iter()
        .map(|link| {
            format!("{}:{}:{} {}", link.file.trim_start_matches(".longboat/"), link.line, link.column, link.module)
        })
        .collect();
    assert_eq!(chain, ["a.yaml:2:8 one", "modules/one.yaml:4:10 two", "modules/two.yaml:2:6 three"]);
    assert!(finding.hint.expect("a hint").contains('y'));
}

#[test]
fn errors_in_a_modules_file_have_its_lines() {
    for (body, code, place) in [
        ("module: {}\n---\na: {{ 1 + }}\n", Code::TemplateSyntax, "3:11"),
        ("module: {}\n---\na: b: c\n", Code::YamlSyntax, "3:5"),
        ("module: {}\n---\na: 1\na: 2\n", Code::DuplicateKey, "4:1"),
        ("module: {x: 1}\n---\na: 1\n", Code::ModuleHeader, "1:10"),
        ("module: {}\n---\n{% include 'x' %}\n", Code::RefusedStatement, "3:4"),
        ("module: {}\n---\n\n{{ file('no') }}\n", Code::UnreadablePath, "4:4"),
        ("a: 1\n---\nb: 2\n", Code::WrongShape, "2:1"),
    ] {
        let finding = bad(&[("a", "x: {{ module('m') }}\n"), ("m/m", body)]);
        assert_eq!((finding.code, at(&finding)), (code, format!("modules/m.yaml:{place}")), "{body}");
        assert_eq!(finding.chain.len(), 1, "{body}");
    }
}

#[test]
fn a_module_that_calls_itself_is_found_with_its_way() {
    let finding = bad(&[("a", "x: {{ module('m') }}\n"), ("m/m", "{{ module('n') }}"), ("m/n", "use: m\n")]);
    assert_eq!(finding.code, Code::ModuleRecursion);
    assert_eq!(finding.message, "a module calls itself: m → n → m");
    assert_eq!(at(&finding), "modules/n.yaml:1:6");
    assert_eq!(finding.chain.len(), 2);
}

#[test]
fn a_failed_module_leads_to_no_other_errors() {
    let text = "{% set m = module('m') %}\na: {{ m.x.y }}\nb: {{ m|length }}\nc: {% for i in m %}{{ i }}{% endfor %}\nd: {{ m() }}\ne: 'x {{ m.z }}'\n";
    let finding = bad(&[("a", text), ("m/m", "a: {{ nope }}\n")]);
    assert_eq!(at(&finding), "modules/m.yaml:1:7");
}

#[test]
fn module_is_a_call_and_nothing_else() {
    refuses("{% set m = module %}\na: {{ m('x') }}\n", Code::ModuleCall, (2, 7), "by this name");
    refuses("a: {{ module }}\n", Code::TemplateFailed, (1, 7), "not data");
    refuses("a: {{ module() }}\n", Code::ModuleCall, (1, 7), "the module's name");
    refuses("a: {{ module('x', 'y') }}\n", Code::ModuleCall, (1, 7), "arguments by name");
    refuses("a: {{ module(5) }}\n", Code::ModuleCall, (1, 7), "has to be text");
    refuses("a: {{ module('std/approve', id=nope) }}\n", Code::UndefinedValue, (1, 7), "`nope` is undefined");
}
