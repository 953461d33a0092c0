//! How values get into the document.

use serde_json::json;

use super::*;

#[test]
fn a_plain_file_is_read_as_yaml() {
    let text = "a: 1\nb: [x, 010, on, 0o14, 1.5, ~]\nc:\n  d: |\n    text\n80: port\n";
    let expected = json!({"a": 1, "b": ["x", 10, "on", 12, 1.5, null], "c": {"d": "text\n"}, "80": "port"});
    assert_eq!(json(text), expected);
    assert_eq!(json(""), json!(null));
    assert_eq!(json("{\"a\": [1, \"\\u00e9\"]}"), json!({"a": [1, "é"]}));
    assert_eq!(json("\u{FEFF}a: 1\r\nb: |\r\n  x\r\n  y\r\n"), json!({"a": 1, "b": "x\ny\n"}));
}

#[test]
fn a_value_that_stands_alone_keeps_its_type() {
    for (tag, expected) in [
        ("'010'", json!("010")),
        ("'a: b'", json!("a: b")),
        ("'- x'", json!("- x")),
        ("'null'", json!("null")),
        ("''", json!("")),
        ("10", json!(10)),
        ("4/2", json!(2.0)),
        ("7 // 2", json!(3)),
        ("true", json!(true)),
        ("none", json!(null)),
        ("1 if false", json!(null)),
        ("{'k': [1, {'l': none}]}", json!({"k": [1, {"l": null}]})),
        ("(1, 2)", json!([1, 2])),
        ("[1, 2]|map('string')", json!(["1", "2"])),
        ("range(3)", json!([0, 1, 2])),
        ("{1: 'a', 'true': 'b'}", json!({"1": "a", "true": "b"})),
        ("branch", json!("feature/x")),
        ("repository", json!("acme/shop")),
        ("-1", json!(-1)),
        ("'x'|e", json!("x")),
    ] {
        for text in [
            format!("v: {{{{ {tag} }}}}\n"),
            format!("v: [x, {{{{- {tag} -}}}} ]\n").replace("[x, ", "").replace(" ]", "").replace("{{-", "{{+"),
            format!("{{v: {{{{ {tag} }}}}}}"),
            format!("v:\n  {{{{ {tag} }}}} # note\n"),
            format!("v: {{% if true %}}{{{{ {tag} }}}}{{% endif %}}\n"),
        ] {
            assert_eq!(json(&text)["v"], expected, "{text}");
        }
        assert_eq!(json(&format!("--- {{{{ {tag} }}}}\n")), expected, "{tag}");
    }
}

#[test]
fn quotes_make_text_and_longer_texts_are_text() {
    let text = "\
q: \"{{ 1.10 }}\"
s: '{{ true }}'
n: \"{{ none }}\"
l: \"{{ [1] }}\"
m: 80{{ 1 }}
t: {{ 1 }}{{ 2 }}
e: a{{ none }}b{{ 1 if false }}c
b: |
  {{ 5 }}
f: >
  x {{ 'a\nb' }}
  y
";
    let expected = json!({"q": "1.1", "s": "true", "n": "", "l": [1], "m": "801", "t": "12", "e": "abc", "b": "5\n",
        "f": "x a\nb y\n"});
    assert_eq!(json(text), expected);
}

#[test]
fn lists_are_flattened_where_a_tag_is_an_item() {
    let text = "\
{% set l = [1, [2]] %}
block:
  - {{ l }}
  - {{ [] }}
  - 'x'
flow: [{{ l }}, {{ 3 }}]
kept: [\"{{ l }}\", [{{ l }}]]
written:
  - - 1
  - [2]
null: [{{ none }}]
";
    let expected = json!({"block": [1, [2], "x"], "flow": [1, [2], 3], "kept": [[1, [2]], [1, [2]]],
        "written": [[1], [2]], "null": [null]});
    // `null` as a key is refused, so it stands in quotes here.
    assert_eq!(json(&text.replace("null:", "'null':")), expected);
}

#[test]
fn keys_are_text_and_may_be_tags() {
    let text = "{{ 'a: b' }}: 1\n? {{ 80 }}\n: 2\n\"{{ '<<' }}\": 3\nx-{{ 'y' }}: 4\n010: 5\n";
    assert_eq!(json(text), json!({"a: b": 1, "80": 2, "<<": 3, "x-y": 4, "010": 5}));
    refuses("{{ [1] }}: 1\n", Code::WrongShape, (1, 1), "a list can't be a key");
    refuses("{{ none }}: 1\n", Code::WrongShape, (1, 1), "can't be a key");
    refuses("? [a]\n: 1\n", Code::WrongShape, (1, 3), "can't be a key");
}

#[test]
fn duplicate_keys_are_errors_after_replacement() {
    refuses("a: 1\nb: 2\na: 3\n", Code::DuplicateKey, (3, 1), "line 1");
    refuses("a: 1\n{{ 'a' }}: 2\n", Code::DuplicateKey, (2, 1), "`a` stands twice");
    let file = render(&[("a", "a: 1\na: 2\n")]);
    assert_eq!(file.root.expect("still a document").to_json(), json!({"a": 1}));
}

#[test]
fn mappings_merge_and_written_keys_win() {
    let text = "\
base: &base {a: 1, b: 2}
one:
  b: 3
  <<: *base
  c: 4
two:
  <<: [{{ {'a': 9, 'd': 5} }}, *base]
  <<: {{ none }}
";
    let expected = json!({"base": {"a": 1, "b": 2}, "one": {"b": 3, "a": 1, "c": 4}, "two": {"a": 9, "d": 5, "b": 2}});
    assert_eq!(json(text), expected);
    refuses("<<: 5\n", Code::WrongShape, (1, 5), "can't merge an integer");
}

#[test]
fn aliases_copy_replaced_values() {
    assert_eq!(json("a: &x {{ [1] }}\nb: *x\nc: &y k\n*y : 1\n"), json!({"a": [1], "b": [1], "c": "k", "k": 1}));
    refuses("a: &x [*x]\n", Code::YamlSyntax, (1, 8), "can't contain itself");
    refuses("a: &{{ 'x' }} 1\n", Code::YamlSyntax, (1, 4), "anchor");
    refuses("a: *{{ 'x' }}\n", Code::YamlSyntax, (1, 4), "");
}

#[test]
fn yaml_tags_are_refused_except_what_makes_text() {
    assert_eq!(
        json("a: !!str 10\nb: !!int 5\nc: ! 7\nd: !!map {}\ne: !!seq []\n"),
        json!({"a": "10", "b": 5, "c": "7", "d": {}, "e": []})
    );
    refuses("a: !custom x\n", Code::TagOnTemplateValue, (1, 4), "`!custom` means nothing");
    refuses("a: !!int x\n", Code::TagOnTemplateValue, (1, 4), "means nothing");
    refuses("a: !!str {{ 5 }}\n", Code::TagOnTemplateValue, (1, 10), "leave the tag out");
    refuses("%YAML 1.2\n---\na: 1\n", Code::YamlSyntax, (1, 1), "");
}

#[test]
fn structure_inside_text_is_an_error_at_its_tag() {
    refuses("a: x\nb: 'x {{ [1] }}'\n", Code::WrongType, (2, 7), "a list stands inside a text");
    refuses("a: |\n  x\n  {{ {} }}\n", Code::WrongType, (3, 3), "a mapping stands inside a text");
    refuses("{% set x %}\n{{ [1] }}{% endset %}\na: {{ x }}\n", Code::WrongType, (2, 4), "|join");
}

#[test]
fn macros_and_captured_blocks_yield_text() {
    let text = "\
{% macro greet(name, loud=false) %}hello {{ name }}{% if loud %}!{% endif %}{% endmacro %}
{% macro twice(x) %}{{ greet(x) }} and {{ greet(x, loud=true) }}{% endmacro %}
{% macro call(x) %}hello {{ x }}{{ caller() }}{% endmacro %}
{% set block %}n={{ 5 }} {% for i in [1, 2] %}{{ i }},{% endfor %}{% raw %}{{ x }}{% endraw %}{% endset %}
a: {{ greet('x: y') }}
b: {{ twice('z')|upper }}
c: {{ block }}
d: {{ block|length }}
e: {% filter upper %}x{{ 'y' }}{% endfilter %}
f: {% call call('q') %}!{% endcall %}
g: {{ (block ~ '')|length }}
";
    let expected = json!({"a": "hello x: y", "b": "HELLO Z AND HELLO Z!", "c": "n=5 1,2,{{ x }}", "d": 15,
        "e": "XY", "f": "hello q!", "g": 15});
    assert_eq!(json(text), expected);
}

#[test]
fn recursive_loops_work_where_their_tag_stands_alone() {
    let flat = "[{% for n in [1, [2, [3]]] recursive %}{% if n is sequence %}{{ loop(n) }}{% else %}{{ n }},{% endif %}{% endfor %}]";
    assert_eq!(json(flat), json!([1, 2, 3]));
    refuses(
        "a: {% for x in [1] recursive %}{{ loop([])|upper }}{% endfor %}\n",
        Code::RefusedStatement,
        (1, 35),
        "stand alone",
    );
}

#[test]
fn white_space_control_and_lines_of_statements() {
    let text = "\
run: |
  {% for x in ['a', 'b'] %}
  echo {{ x }}
  {% endfor %}
  {# gone #}
  echo ${#x} {{- ' y' }}
  {%- if true %} z{% endif %}

";
    assert_eq!(json(text), json!({"run": "echo a\necho b\necho ${#x} y z\n"}));
    assert_eq!(json("a: 1 {# - x -#} #}\nb: 2\n"), json!({"a": 1, "b": 2}));
    assert_eq!(json("a: '{% raw %}{{ x }} {# y #}{% endraw %}'\n"), json!({"a": "{{ x }} {# y #}"}));
    assert_eq!(json("a: x{{- 1 -}}\n\n  \nb\n"), json!({"a": "x1b"}));
    // What trimming puts together must not become another tag.
    assert_eq!(json("a: 'x{ {{- 1 }}'\n"), json!({"a": "x{1"}));
}

#[test]
fn undefined_values_are_errors_with_their_name() {
    refuses("a: 1\nb: {{ imge }}\n", Code::UndefinedValue, (2, 7), "`imge` is undefined");
    refuses("a: {{ brnch }}\n", Code::UndefinedValue, (1, 7), "did you mean `branch`?");
    refuses("a: {{ 'x' ~ y.z }}\n", Code::UndefinedValue, (1, 13), "`y` is undefined");
    refuses("{% if nope %}{% endif %}\n", Code::UndefinedValue, (1, 7), "`nope` is undefined");
    refuses("{% set x %}\n  {{ nope }}\n{% endset %}\n", Code::UndefinedValue, (2, 6), "`nope` is undefined");
    refuses("a: {{ [nope] }}\n", Code::UndefinedValue, (1, 7), "`nope` is undefined");
    refuses("a: {{ trigger.x }}\n", Code::UndefinedValue, (1, 7), "${ trigger");
    refuses("\n# {{ old }}\n", Code::UndefinedValue, (2, 6), "write `old|default(...)`");
    refuses("a: {{ f() }}\n", Code::UndefinedValue, (1, 7), "no function `f`");
    refuses("a: {{ namespace() }}\n", Code::UndefinedValue, (1, 7), "carried out of a loop");
    refuses("a: {{ 1|lowr }}\n", Code::UndefinedValue, (1, 9), "did you mean `lower`?");
    refuses("a: {{ 1 is evn }}\n", Code::UndefinedValue, (1, 12), "did you mean `even`?");
    assert_eq!(json("a: {{ nope|default('x') }}\nb: {{ 1 if nope is defined else 2 }}\n"), json!({"a": "x", "b": 2}));
}

#[test]
fn syntax_errors_are_where_the_author_made_them() {
    refuses("a: 1\nb: {{ 1 + }}\n", Code::TemplateSyntax, (2, 11), "");
    refuses("a: 1\n{% if x %}\nb: 2\n", Code::TemplateSyntax, (2, 4), "`{% if %}` is not closed");
    refuses("{{{ x }}: 1}\n", Code::TemplateSyntax, (1, 7), "space after the first brace");
    refuses("a: {# b\n", Code::TemplateSyntax, (1, 4), "not closed");
    refuses("a: 'é' {{ ) }}\n", Code::TemplateSyntax, (1, 11), "");
    refuses("{% include 'x' %}\n", Code::RefusedStatement, (1, 4), "call a module");
    refuses("{% for x in y %}{% break %}{% endfor %}\n", Code::RefusedStatement, (1, 20), "filter the list");
    refuses(
        "{% set a %}{% filter upper %}{% endfilter %}{% endset %}\n",
        Code::RefusedStatement,
        (1, 15),
        "inside `{% set %}`",
    );
    let finding = bad(&[("a", "a: {{ __e(1, 2) }}\n")]);
    assert_eq!((finding.code, at(&finding).as_str()), (Code::RefusedStatement, "a.yaml:1:7"));
}

#[test]
fn yaml_errors_are_where_the_author_made_them() {
    refuses("a: 1\n b: 2\n", Code::YamlSyntax, (2, 3), "");
    refuses("a: {{ 1 }}\nb: c: d\n", Code::YamlSyntax, (2, 5), "quotes");
    refuses("a:\n\t- x\n", Code::YamlSyntax, (2, 2), "tabs");
    refuses("{% for x in [1, 2] %}\na: [{{ x }}\n{% endfor %}\n", Code::YamlSyntax, (2, 2), "");
    refuses("a: 1\n---\nb: 2\n", Code::WrongShape, (2, 1), "more than one document");
    refuses("a: 98765432109876543210\n", Code::NumberTooLarge, (1, 4), "quotes");
    refuses("a: {{ 2 ** 70 }}\n", Code::NumberTooLarge, (1, 7), "quotes");
}

#[test]
fn values_that_are_no_data_are_refused() {
    refuses("{% macro m() %}{% endmacro %}\na: {{ m }}\n", Code::TemplateFailed, (2, 7), "a macro that is not called");
    refuses("a: {% for x in [1] %}{{ loop }}{% endfor %}\n", Code::TemplateFailed, (1, 25), "the loop itself");
    refuses("a: {{ range }}\n", Code::TemplateFailed, (1, 7), "not data");
    refuses("a: {{ {none: 1} }}\n", Code::WrongType, (1, 8), "null can't be a key");
    refuses("a: {{ {1: 1, '1': 2} }}\n", Code::DuplicateKey, (1, 7), "two keys `1`");
}

#[test]
fn reserved_characters_are_no_way_in() {
    refuses("a: \"\\uFDD1\\uFDD2\\uFDD2\\uFDD2\\uFDD2\"\nb: {{ 1 }}\n", Code::ReservedCharacter, (1, 4), "");
    refuses("a: \"{{ 1 }}\\uFDD1\\uFDD2\\uFDD2\\uFDD2\\uFDD2\"\n", Code::ReservedCharacter, (1, 4), "");
    refuses("a: {{ '\\uFDD1\\uFDD2\\uFDD2\\uFDD2\\uFDD2' }}\n", Code::ReservedCharacter, (1, 7), "");
    refuses("a: \u{FDD1}\n", Code::ReservedCharacter, (1, 4), "");
}

#[test]
fn text_filters_where_a_value_would_do_get_a_hint() {
    let finding = bad(&[("a", "a: {{ [1]|tojson }}\n")]);
    assert_eq!((finding.code, finding.is_error()), (Code::TextFilter, false));
    assert_eq!(at(&finding), "a.yaml:1:4");
    assert_eq!(json("a: '{{ [1]|tojson }}'\n"), json!({"a": "[1]"}));
}

#[test]
fn files_of_the_commit_can_be_read_and_nothing_else() {
    let root = good(&[("a", "a: {{ file('notes/x.txt') }}\n"), ("notes/x.txt", "é: [\n")]);
    assert_eq!(root.to_json(), json!({"a": "é: [\n"}));
    for (path, code, words) in [
        ("../x", Code::UnreadablePath, "not a path inside"),
        ("/etc/passwd", Code::UnreadablePath, "not a path inside"),
        ("nope.txt", Code::UnreadablePath, "no file `nope.txt`"),
        ("bad.bin", Code::NotUtf8, "not UTF-8"),
        ("reserved.txt", Code::ReservedCharacter, ""),
    ] {
        let mut files = source(&[("a", &format!("x: 1\na: {{{{ file('{path}') }}}}\n")), ("reserved.txt", "\u{FDD0}")]);
        files.insert("bad.bin", [0xFF]);
        let repository = RepositoryName::parse("x").expect("a name");
        let file = render_file(&request(&files, &repository, &Limits::default(), &Map::new()), FILE);
        let finding = &file.findings[0];
        assert_eq!((finding.code, at(finding)), (code, "a.yaml:2:7".to_owned()), "{path}");
        assert!(finding.message.contains(words), "{path}: {finding}");
    }
}

#[test]
fn attributes_of_written_values_behave_as_in_python() {
    let files = [(
        "a",
        "vars: {m: {b: 1, a: [1, 2, 3]}}\nx: {{ vars.m.a[-1] }}\ny: {{ vars.m.a|first }}\nz: {{ vars.m|items }}\nk: {{ vars.m|list }}\ns: {{ vars.m.a + [4] }}\nd: {{ dict(vars.m, c=3) }}\ne: {{ vars.m.a == [1, 2, 3] }}\ni: {{ 2 in vars.m.a and 'b' in vars.m }}\nt: {{ vars.m is mapping }}\nl: {{ vars.m.a|length }}\n",
    )];
    let mut json = good(&files).to_json();
    json.as_object_mut().expect("a mapping").remove("vars");
    let expected = json!({"x": 3, "y": 1, "z": [["b", 1], ["a", [1, 2, 3]]], "k": ["b", "a"], "s": [1, 2, 3, 4],
        "d": {"b": 1, "a": [1, 2, 3], "c": 3}, "e": true, "i": true, "t": true, "l": 3});
    assert_eq!(json, expected);
}

#[test]
fn true_and_false_are_no_keys_of_mappings() {
    for word in ["true", "false", "True", "False"] {
        let hint = format!("put it in quotes: `\"{word}\"`");
        for (text, column) in [
            (format!("a: {{{{ {{1: 'a', {word}: 'b'}} }}}}\n"), 16),
            (format!("a: {{{{ {{{word}: 'b'}} }}}}\n"), 8),
            (format!("a: {{{{ {{'x': [1, 2], (({word})): 'b'}} }}}}\n"), 23),
            (format!("{{% set a = {{{word}: 'b'}} %}}\n"), 13),
        ] {
            refuses(&text, Code::RefusedStatement, (1, column), &hint);
        }
        // As values, as options of a choice and as attributes they are what they were.
        json(&format!("a: {{{{ {{'x': {word}, 'y': [{word}, 1], 'z': {word} if {word} else 1}} }}}}\n"));
        json(&format!("a: {{{{ {{'x': 1, {word} ~ '': 2, '{word}': 3, 'n': dict(a={word})}}|length }}}}\n"));
        json(&format!("a: {{{{ [0, 1, 2][{word}:] if false else [1, {word}] }}}}\n"));
    }
}

#[test]
fn keys_that_are_made_by_expressions_are_texts_and_numbers() {
    let text = "\
vars: {k: a, n: 1, t: true, f: 1.0, none: null, l: [1]}
{% set key = 'b' %}
m: {{ {vars.k: 1, key ~ 'c': {vars.n: 2, (vars.k|upper): [3, 'x' if vars.t else 'y']}, 'lit': vars.l[0:1], -1: 4} }}
item: {{ {vars.n: 'one'}[1] }}
{% set x = {vars.k: {key: 5}} %}
set: {{ x.a.b }}
captured: {% set c %}{{ {vars.k: 6}['a'] }}{% endset %}{{ c }}
called: {{ {'a': 1, **{}} if false else dict({vars.k: 7}) }}
";
    let text = text.replace("{'a': 1, **{}} if false else ", "");
    let json = json(&text);
    assert_eq!(json["m"], json!({"a": 1, "bc": {"1": 2, "A": [3, "x"]}, "lit": [1], "-1": 4}));
    assert_eq!((&json["item"], &json["set"], &json["captured"]), (&json!("one"), &json!(5), &json!("6")));
    assert_eq!(json["called"], json!({"a": 7}));
    for (key, words) in [
        ("vars.t", "`true` can't be a key"),
        ("not vars.t", "`false` can't be a key"),
        ("vars.n == 1", "`true` can't be a key"),
        ("vars.none", "null can't be a key"),
        ("vars.l", "a list or another object can't be a key"),
        ("vars", "a mapping can't be a key"),
    ] {
        let text = format!("vars: {{n: 1, t: true, none: null, l: [1]}}\na: {{{{ {{1: 'x', {key}: 'y'}} }}}}\n");
        let finding = bad(&[("a", &text)]);
        assert_eq!((finding.code, at(&finding).as_str()), (Code::WrongType, "a.yaml:2:16"), "{text}: {finding}");
        assert!(finding.message.contains(words), "{finding}");
        assert!(finding.hint.as_deref().is_some_and(|hint| hint.contains("|string")), "{finding}");
    }
    let finding = bad(&[("a", "vars: {n: 1}\na: {{ {vars.nn: 1} }}\n")]);
    assert_eq!((finding.code, finding.message.as_str()), (Code::UndefinedValue, "`vars.nn` is undefined"));
    // Equal for the engine, and now the same key.
    let equal = "vars: {n: 1, f: 1.0}\na: {{ {vars.n: 'x', vars.f: 'y'} }}\n";
    (0..5).for_each(|_| assert_eq!(super::json(equal)["a"], json!({"1": "y"})));
}
