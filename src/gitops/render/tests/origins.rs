//! Where values came from.

use serde_json::json;

use super::*;
use crate::diagnostic::Place;
use crate::gitops::explain;

fn short(place: &Place) -> String {
    format!("{}:{}:{}", place.file.trim_start_matches(".longboat/"), place.line, place.column)
}

/// Place, calls and other places of what a pointer leads to.
fn origin(files: &[(&str, &str)], pointer: &str) -> (String, Vec<String>, Vec<String>) {
    let file = render(files);
    assert_eq!(file.findings, []);
    let explanation = explain(&file, pointer).expect(pointer);
    let chain = explanation
        .chain
        .iter()
        .map(|link| format!("{}:{}:{}", link.file.trim_start_matches(".longboat/"), link.line, link.column))
        .collect();
    (short(&explanation.place), chain, explanation.through.iter().map(short).collect())
}

#[test]
fn written_values_are_where_they_are_written() {
    let text = "\
{# a note #}
a: 1
{% for x in [1, 2] %}
k{{ x }}: {b: [é, 'x', {{ x }}]}
{% endfor %}
c: |
  text
  {{ 5 }}
{{ 'd' }}: x{{ 1 }}
";
    let files = [("a", text)];
    for (pointer, place) in [
        ("", "a.yaml:2:1"),
        ("/a", "a.yaml:2:4"),
        ("/k1", "a.yaml:4:11"),
        ("/k2/b/0", "a.yaml:4:16"),
        ("/k2/b/1", "a.yaml:4:19"),
        ("/k2/b/2", "a.yaml:4:24"),
        ("/c", "a.yaml:7:3"),
        ("/d", "a.yaml:9:12"),
    ] {
        assert_eq!(origin(&files, pointer).0, place, "{pointer}");
    }
    let root = good(&files);
    let keys: Vec<String> =
        root.as_map().expect("a mapping").iter().map(|(key, _)| short(&key.origin.place())).collect();
    assert_eq!(keys, ["a.yaml:2:1", "a.yaml:4:1", "a.yaml:4:1", "a.yaml:6:1", "a.yaml:9:1"]);
    let place = root.at("/k2/b/2").expect("the value").origin.place();
    assert_eq!((place.end_line, place.end_column), (4, 31));
    let place = root.at("/k1/b/0").expect("the value").origin.place();
    assert_eq!((place.end_line, place.end_column), (4, 17));
}

const VARS: &str = "# note\nimage: shop\nenv: {A: 1, B: [2]}\n";
const OUTER: &str = "module: {parameters: {image: {}, env: {}, n: {default: 3}}}\n---\nstage:\n  use: inner\n  with:\n    image: {{ image }}\n    list: [{{ image }}, {{ n }}]\n    env: {{ env }}\n";
const INNER: &str = "image: {{ image }}\nfull: img:{{ image }}\nlist: {{ list }}\nenv: {{ env }}\nfixed: x\nown: {{ image|default('y') }}\n";

fn chain_files() -> [(&'static str, &'static str); 4] {
    [
        (
            "a",
            "x: {{ module('outer', image=vars.image, env=vars.env) }}\ny: {{ module('outer', image='lit', env={}) }}\n",
        ),
        ("vars/default", VARS),
        ("m/outer", OUTER),
        ("m/inner", INNER),
    ]
}

#[test]
fn a_parameter_is_where_the_outermost_caller_wrote_it() {
    let files = chain_files();
    let calls = vec!["a.yaml:1:7".to_owned(), "modules/outer.yaml:4:8".to_owned()];
    let (place, chain, through) = origin(&files, "/x/stage/image");
    assert_eq!(place, "a.yaml:1:29");
    assert_eq!(chain, calls);
    // The tags that handed it on, and the variable's line.
    assert_eq!(through, ["modules/inner.yaml:1:8", "modules/outer.yaml:6:12", "vars/default.yaml:2:8"]);
    let (place, _, through) = origin(&files, "/y/stage/image");
    assert_eq!(place, "a.yaml:2:29");
    assert_eq!(through, ["modules/inner.yaml:1:8", "modules/outer.yaml:6:12"]);
    let (place, chain, through) = origin(&files, "/x/stage/full");
    assert_eq!((place.as_str(), chain), ("modules/inner.yaml:2:7", calls.clone()));
    assert_eq!(through, ["a.yaml:1:29", "modules/inner.yaml:2:11", "modules/outer.yaml:6:12", "vars/default.yaml:2:8"]);
    let (place, chain, _) = origin(&files, "/x/stage/fixed");
    assert_eq!((place.as_str(), chain), ("modules/inner.yaml:5:8", calls));
}

#[test]
fn lists_and_mappings_keep_the_places_of_what_is_in_them() {
    let files = chain_files();
    assert_eq!(origin(&files, "/x/stage/list/0").0, "a.yaml:1:29");
    // A default stands in the header.
    assert_eq!(origin(&files, "/x/stage/list/1").0, "modules/outer.yaml:1:56");
    let (place, chain, through) = origin(&files, "/x/stage/env/B/0");
    assert_eq!((place.as_str(), chain), ("vars/default.yaml:3:17", vec![]));
    // The ways by which the mapping came here are known from the mapping itself.
    assert_eq!(through, ["a.yaml:1:45", "modules/inner.yaml:4:6", "modules/outer.yaml:8:10", "vars/default.yaml:3:6"]);
    let (place, ..) = origin(&files, "/x/stage/env");
    assert_eq!(place, "a.yaml:1:45");
}

#[test]
fn a_default_filter_leaves_the_value_with_its_tag() {
    let files = [("a", "x: {{ module('m') }}\n"), ("m/m", "v: {{ p|default('y') }}\n")];
    let (place, chain, through) = origin(&files, "/x/v");
    assert_eq!((place.as_str(), chain, through), ("modules/m.yaml:1:4", vec!["a.yaml:1:7".to_owned()], vec![]));
}

#[test]
fn a_variable_s_place_is_the_tag_and_its_line_is_among_the_others() {
    let files = [("a", "vars:\n  deep: {x: [1, 2]}\na: {{ vars.deep.x[1] }}\nb: {{ vars['deep'].x|first ~ 'z' }}\n")];
    let (place, _, through) = origin(&files, "/a");
    assert_eq!((place.as_str(), through), ("a.yaml:3:4", vec!["a.yaml:2:17".to_owned()]));
    let (place, _, through) = origin(&files, "/b");
    assert_eq!((place.as_str(), through), ("a.yaml:4:4", vec!["a.yaml:2:13".to_owned()]));
}

#[test]
fn local_names_hide_parameters() {
    let files = [
        ("a", "x: {{ module('m', p=1) }}\n"),
        ("m/m", "{% set p = 2 %}\nv: {{ p }}\nl: [{% for p in [3] %}{{ p }}{% endfor %}]\n"),
    ];
    assert_eq!(origin(&files, "/x/v").0, "modules/m.yaml:2:4");
    assert_eq!(origin(&files, "/x/l/0").0, "modules/m.yaml:3:23");
}

#[test]
fn what_blocks_yield_is_where_it_stands() {
    let files = [("a", "a: x\nb: {% filter upper %}y{% endfilter %}\nc: {{ 1 }} {% filter upper %}y{% endfilter %}\n")];
    assert_eq!(good(&files).to_json(), json!({"a": "x", "b": "Y", "c": "1 Y"}));
    assert_eq!(origin(&files, "/b").0, "a.yaml:2:4");
    assert_eq!(origin(&files, "/c").0, "a.yaml:3:4");
}

#[test]
fn built_in_modules_are_named_in_places() {
    let file = render(&[("a", "- use: std/approve\n")]);
    let explanation = explain(&file, "/0/type").expect("the type");
    assert_eq!((explanation.place.file.as_str(), explanation.value), ("std/approve", json!("manualJudgment")));
    assert_eq!(explanation.chain[0].module, "std/approve");
    assert_eq!(explain(&file, "/1"), None);
    assert_eq!(explain(&file, "x"), None);
    assert_eq!(explain(&file, "/0/id").expect("the id").place.file, "std/approve");
}

#[test]
fn positions_count_characters_and_line_ends_of_every_kind() {
    let files = [("a", "\u{FEFF}é: \"ü\" # {{ 1 }}\r\nb: [𝒳, {{ 2 }}, ß]\r\n")];
    assert_eq!(origin(&files, "/b/0").0, "a.yaml:2:5");
    assert_eq!(origin(&files, "/b/1").0, "a.yaml:2:8");
    assert_eq!(origin(&files, "/b/2").0, "a.yaml:2:17");
    assert_eq!(origin(&files, "/é").0, "a.yaml:1:4");
}

/// The short forms of the places, apart from the first.
fn way(files: &[(&str, &str)], pointer: &str) -> String {
    let (place, calls, through) = origin(files, pointer);
    let calls: String = calls.iter().map(|call| format!(" < {call}")).collect();
    let through: String = through.iter().map(|place| format!(" + {place}")).collect();
    format!("{place}{calls}{through}")
}

#[test]
fn what_a_loop_yields_knows_the_item_and_the_list() {
    let text = "\
{% for service in vars.services %}
{{ service.name }}:
  image: {{ service.image }}
  whole: {{ service }}
  called: {{ module('m', image=service.image) }}
{% endfor %}
scalars:
{% for region in vars.regions if region %}
  - {{ region }}
{% endfor %}
{% for name, value in vars.map|items %}
{{ name }}: {{ value.x }}
{% endfor %}
";
    let files = [
        ("a", text),
        (
            "vars/default",
            "services:\n  - {name: api, image: i1}\n  - name: web\n    image: i2\nregions: [eu]\nmap:\n  k: {x: 1}\n",
        ),
        ("m/m", "i: {{ image }}\n"),
    ];
    assert_eq!(way(&files, "/api/image"), "a.yaml:3:10 + vars/default.yaml:2:24");
    assert_eq!(way(&files, "/web/image"), "a.yaml:3:10 + vars/default.yaml:4:12");
    assert_eq!(way(&files, "/web/whole/image"), "vars/default.yaml:4:12 + a.yaml:4:10 + vars/default.yaml:3:5");
    assert_eq!(way(&files, "/web/called/i"), "a.yaml:5:32 < a.yaml:5:14 + modules/m.yaml:1:4 + vars/default.yaml:4:12");
    assert_eq!(way(&files, "/scalars/0"), "a.yaml:9:5 + vars/default.yaml:5:11");
    assert_eq!(way(&files, "/k"), "a.yaml:12:13 + vars/default.yaml:7:10");
}

#[test]
fn a_text_or_number_of_a_loop_names_its_own_place() {
    let text = "\
{% for r in vars.regions %}
r{{ loop.index }}: {{ r }}
{% endfor %}
{% for r in vars.regions|reverse|unique if r != 'us' %}
u{{ loop.index }}: x{{ r }}
{% endfor %}
{% for key, value in vars.map|dictsort %}
{{ key }}: {{ value }}
key_{{ key }}: {{ key }}
{% endfor %}
{% for key in vars.map %}
k_{{ key }}: {{ key }}
{% endfor %}
{% for service in vars.services %}
{% for zone in service.zones %}
{{ service.name }}_{{ loop.index }}: {{ zone }}
{% set copy = zone ~ '!' %}
c_{{ service.name }}_{{ loop.index }}: {{ copy }}
{% endfor %}
{% endfor %}
{% for a, b in vars.pairs %}
p{{ a }}: {{ b }}
{% endfor %}
{% for n in range(vars.count) %}
n{{ n }}: {{ n }}
{% endfor %}
{% for r in vars.regions|map('upper') %}
m{{ loop.index }}: {{ r }}
{% endfor %}
called: {{ module('m', list=vars.regions) }}
";
    let files = [
        ("a", text),
        (
            "vars/default",
            "regions: [eu, us, eu]\nmap: {b: 1, a: 2}\nservices:\n- {name: s, zones: [1, 2]}\n- name: t\n  zones:\n  - 1\npairs: [[x, y]]\ncount: 1\n",
        ),
        ("m/m", "{% for r in list %}\n- {{ r }}\n{% endfor %}\n"),
    ];
    for (pointer, place) in [
        // The innermost loop says which of two equal ones it is.
        ("/r1", "1:11"),
        ("/r2", "1:15"),
        ("/r3", "1:19"),
        // What is sorted, or left out, is every place that holds it.
        ("/u1", "1:11 1:19"),
        ("/a", "2:16"),
        ("/key_a", "2:13"),
        ("/b", "2:10"),
        ("/k_b", "2:7"),
        ("/s_2", "4:24"),
        ("/t_1", "7:5"),
        ("/c_s_1", "4:21"),
        ("/px", "8:13"),
        ("/n0", "9:8"),
        ("/m1", "1:10"),
        ("/called/1", "1:15"),
    ] {
        let (_, _, through) = origin(&files, pointer);
        let of_variables: Vec<&str> =
            through.iter().filter_map(|place| place.strip_prefix("vars/default.yaml:")).collect();
        assert_eq!(of_variables.join(" "), place, "{pointer}: {through:?}");
    }
    // In an outer loop all that are equal are named, for the innermost one is another.
    let outer =
        "{% for r in vars.l %}{% for s in [1] %}\ni{{ loop.index }}{{ r }}: {{ r }}\n{% endfor %}{% endfor %}\n";
    let files = [("a", outer), ("vars/default", "l: [eu, us]\n")];
    assert_eq!(way(&files, "/i1us"), "a.yaml:2:27 + vars/default.yaml:1:9");
}

#[test]
fn names_of_the_template_s_own_lead_to_what_they_were_made_of() {
    let text = "\
vars: {a: 1, b: {c: 2}}
{% set x = vars.a ~ 'z' %}
{% set y = vars.b %}
x: {{ x }}
y: {{ y.c }}
{% with z=vars.a %}
z: {{ z + 1 }}
{% endwith %}
";
    let files = [("a", text)];
    assert_eq!(way(&files, "/x"), "a.yaml:4:4 + a.yaml:1:11");
    assert_eq!(way(&files, "/y"), "a.yaml:5:4 + a.yaml:1:21");
    assert_eq!(way(&files, "/z"), "a.yaml:7:4 + a.yaml:1:11");
}

#[test]
fn included_files_are_among_the_places() {
    let text = "\
vars: {name: deploy}
a: {{ file('deploy.sh') }}
b: {{ file(vars.name ~ '.sh')|upper }}
c: |
  set -e
  {{ file('deploy.sh') }}
d: {{ module('m', text=file('deploy.sh')) }}
e: {{ vars.name }}
";
    let files = [("a", text), ("deploy.sh", "echo\n"), ("m/m", "t: {{ text }}\n")];
    assert_eq!(way(&files, "/a"), "a.yaml:2:4 + deploy.sh:1:1");
    assert_eq!(way(&files, "/b"), "a.yaml:3:4 + a.yaml:1:14 + deploy.sh:1:1");
    assert_eq!(way(&files, "/c"), "a.yaml:5:3 + a.yaml:6:3 + deploy.sh:1:1");
    assert_eq!(way(&files, "/d/t"), "a.yaml:7:24 < a.yaml:7:7 + modules/m.yaml:1:4 + deploy.sh:1:1");
    assert_eq!(way(&files, "/e"), "a.yaml:8:4 + a.yaml:1:14");
}

#[test]
fn conditions_filters_and_choices_name_what_they_read() {
    let text = "\
vars: {a: x, b: '', c: [p, q]}
t: {{ vars.a if vars.b else vars.c[1] }}
{% if vars.a == 'x' %}
f: {{ vars.a|upper|default('none') }}
{% else %}
f: no
{% endif %}
j: {{ vars.c|join('-') }}
m:
  <<: {{ {'k': vars.a} }}
  own: 1
s: |
  one
  two {{ vars.a }} three
{% macro wrap(v) %}<{{ v }}>{% endmacro %}
w: {{ wrap(vars.a) }}
";
    let files = [("a", text)];
    assert_eq!(way(&files, "/t"), "a.yaml:2:4 + a.yaml:1:11 + a.yaml:1:17 + a.yaml:1:28");
    assert_eq!(way(&files, "/f"), "a.yaml:4:4 + a.yaml:1:11");
    assert_eq!(way(&files, "/j"), "a.yaml:8:4 + a.yaml:1:24");
    assert_eq!(way(&files, "/m/k"), "a.yaml:10:7 + a.yaml:1:11");
    assert_eq!(way(&files, "/m/own"), "a.yaml:11:8");
    assert_eq!(way(&files, "/s"), "a.yaml:13:3 + a.yaml:14:7 + a.yaml:1:11");
    assert_eq!(way(&files, "/w"), "a.yaml:16:4 + a.yaml:1:11");
}

#[test]
fn tags_of_several_lines_don_t_shift_what_follows() {
    for end in ["\n", "\r\n"] {
        let text = "\
a: {{
  'ü' ~
  '1'
}}
{#
  a note
#}
b: 1
{% for x in [
  1,
  2
] %}
k{{ x }}: {{
  x
}}
{% endfor %}
{%- set y =
  3
%}
c: {{ y }}
d: [{{ {
  'e': 4} }}, 5]
";
        let text = text.replace('\n', end);
        let files = [("a", text.as_str())];
        for (pointer, place) in [
            ("/a", "a.yaml:1:4"),
            ("/b", "a.yaml:8:4"),
            ("/k1", "a.yaml:13:11"),
            ("/k2", "a.yaml:13:11"),
            ("/c", "a.yaml:20:4"),
            ("/d/0/e", "a.yaml:21:5"),
            ("/d/1", "a.yaml:22:15"),
        ] {
            assert_eq!(origin(&files, pointer).0, place, "{pointer}");
        }
    }
}

#[test]
fn an_error_in_a_template_names_where_the_value_was_written_that_it_fails_on() {
    let files = [
        ("a", "x: {{ module('outer', s=vars.service) }}\n"),
        ("vars/default", "# note\nservice: {nmae: web}\n"),
        ("m/outer", "use: inner\nwith: {service: {{ s }}}\n"),
        ("m/inner", "name: {{ service.name }}\n"),
    ];
    let finding = bad(&files);
    assert_eq!((finding.code, at(&finding).as_str()), (Code::UndefinedValue, "modules/inner.yaml:1:10"));
    let through: Vec<String> = finding.through.iter().map(short).collect();
    assert_eq!(through, ["a.yaml:1:25", "modules/outer.yaml:2:17", "vars/default.yaml:2:10"]);
    assert_eq!(finding.chain.len(), 2);
}

#[test]
fn an_error_in_a_statement_names_the_same_places() {
    let variables = ("vars/default", "# note\nservice: {nmae: web}\nlist: [{a: 1}, 5]\n");
    let outer = ("m/outer", "use: inner\nwith: {service: {{ s }}}\n");
    let call = ("a", "x: {{ module('outer', s=vars.service) }}\n");
    for (inner, place) in [
        ("{% if service.name %}\na: 1\n{% endif %}\n", "1:7"),
        ("{% if false %}\na: 1\n{% elif service.name == 'x' %}\nb: 1\n{% endif %}\n", "3:4"),
        ("{% for part in service.name %}\n- {{ part }}\n{% endfor %}\n", "1:16"),
        ("{% set name = service.name|upper %}\na: {{ name }}\n", "1:28"),
        ("{% with name = service.name.x %}\na: {{ name }}\n{% endwith %}\n", "1:23"),
    ] {
        let finding = bad(&[call, variables, outer, ("m/inner", inner)]);
        assert_eq!(finding.code, Code::UndefinedValue, "{inner}: {finding}");
        assert_eq!(at(&finding), format!("modules/inner.yaml:{place}"), "{inner}");
        let through: Vec<String> = finding.through.iter().map(short).collect();
        assert_eq!(through, ["a.yaml:1:25", "modules/outer.yaml:2:17", "vars/default.yaml:2:10"], "{inner}");
        assert_eq!(finding.chain.len(), 2, "{inner}");
    }
    let finding = bad(&[("a", "{% for x in vars.list %}\n{% if x.a.b %}{% endif %}\n{% endfor %}\n"), variables]);
    assert_eq!(at(&finding), "a.yaml:2:8");
    assert_eq!(finding.through.iter().map(short).collect::<Vec<_>>(), ["vars/default.yaml:3:12"]);
}

#[test]
fn an_error_in_a_loop_names_the_item_that_it_was_about() {
    let variables =
        ("vars/default", "list:\n- {name: web, ports: [1]}\n- {name: api, ports: [2]}\n- {nmae: db}\n- 7\n");
    for tag in ["- {{ x.name }}", "{% if x.name %}{% endif %}"] {
        let text = format!("{{% for x in vars.list %}}\n{tag}\n{{% endfor %}}\n");
        let found = render(&[("a", &text), variables]).findings;
        let places: Vec<String> = found[0].through.iter().map(short).collect();
        assert_eq!(places.first().map(String::as_str), Some("vars/default.yaml:4:3"), "{tag}: {found:#?}");
    }
}
