//! What must hold for all values and all templates.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::diagnostic::Place;
use crate::gitops::render::engine;
use crate::gitops::render::file::File;
use crate::gitops::render::frame::{Frame, Work};
use crate::gitops::render::kept::Kept;
use crate::gitops::render::reserved::{self, Piece};
use crate::gitops::render::scan::Scan;
use crate::gitops::render::session::{Session, connect};
use crate::gitops::render::template::Template;
use crate::gitops::render::variables::Variables;
use crate::gitops::render::{data, scalar};
use crate::gitops::{Library, NodeValue, to_yaml};

/// Texts that mean something to YAML, to templates, or to nobody.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec![
            "a", "key", "0", "10", "1e3", ".5", "true", "no", "null", "~", ".inf", "0x1f", " ", "  ", "\t", "\n", "\n\n", "\r\n",
            "\r", ": ", ":", "- ", "-", "? ", "# ", " #", ", ", "[", "]", "{", "}", "{{", "}}", "{{ x }}", "{%", "%}",
            "{% raw %}", "{% endraw %}", "{#", "#}", "{# x #}", "\"", "'", "\\", "\\n", "|", ">", "|-\n", "&a ", "*a", "!t ", "!!str ", "%",
            "@", "`", "<<", "---", "\n---\n", "...", "\u{0}", "\u{1}", "\u{7f}", "\u{85}", "\u{2028}", "\u{FEFF}", "\u{E000}",
            "\u{FFFE}", "é", "𝒳", "__e(1,(", "${{ x }}", "$${x}", "use", "with", "vars",
        ]).prop_map(str::to_owned),
        1 => "\\PC{0,8}",
        1 => any::<char>().prop_filter("reserved", |letter| !('\u{FDD0}'..='\u{FDEF}').contains(letter)).prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

const PLACES: &str = "\
{% macro m(x) %}<{{ x }}>{% endmacro %}
{% set captured %}<{{ vars.s }}>{% endset %}
plain: {{ vars.s }}
next: {{ vars.s }} # note
double: \"{{ vars.s }}\"
single: '{{ vars.s }}'
literal: |
  {{ vars.s }}
kept: |+
  x {{ vars.s }}
folded: >-
  {{ vars.s }}
inside: a {{ vars.s }} b
quoted: \"a {{ vars.s }}\\n\"
twice: {{ vars.s }}{{ vars.s }}
list:
  - {{ vars.s }}
  - - {{ vars.s }}
  - {% if true %}{{ vars.s }}{% endif %}

flow: [{{ vars.s }}, {k: {{ vars.s }}}]
key: {\"{{ vars.s }}\": {{ vars.s }}}
? plainkey
: {{ vars.s }}
loop:
{% for x in [vars.s, vars.s] %}
  - {{ x }}
{% endfor %}
captured: {{ captured }}
macro: {{ m(vars.s) }}
merged:
  <<: {{ {'s': vars.s} }}
anchor: &a {{ vars.s }}
alias: *a
built: {{ {'k': [vars.s], vars.s: 1} }}
joined: {{ vars.s ~ '|' ~ vars.s }}
called: {{ module('m', p=vars.s, q=[vars.s]) }}
used:
  use: m
  with: {p: {{ vars.s }}, q: [\"{{ vars.s }}\"]}
deep: {{ module('n', p=module('m', p=vars.s, q=vars)) }}
file: {{ vars.f }}
";

const MODULE: &str =
    "module: {parameters: {p: {}, q: {}}}\n---\np: {{ p }}\nt: <{{ p }}>\nq: {{ q }}\nown: {{ vars.s }}\n";

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_comes_back_from_any_place(s in text()) {
        let variables = ascii(&json!({"f": s}).to_string());
        let files = source(&[("a", PLACES), ("m/m", MODULE), ("m/n", "{{ p }}"), (".longboat/vars/default.json", &variables)]);
        let repository = RepositoryName::parse("x").expect("a name");
        let (limits, globals) = (Limits::default(), json!({"s": s}));
        let file = render_file(&request(&files, &repository, &limits, globals.as_object().expect("a mapping")), FILE);
        prop_assert_eq!(&file.findings, &[]);
        let module = json!({"p": s, "t": format!("<{s}>"), "q": [s], "own": s});
        let mut built = json!({"k": [s]});
        built[&s] = json!(1);
        let mut deep = module.clone();
        deep["q"] = json!({"s": s, "f": s});
        let expected = json!({
            "plain": s, "next": s, "double": s, "single": s, "literal": format!("{s}\n"), "kept": format!("x {s}\n"),
            "folded": s, "inside": format!("a {s} b"), "quoted": format!("a {s}\n"), "twice": format!("{s}{s}"),
            "list": [s, [s], s], "flow": [s, {"k": s}], "key": {(s.clone()): s}, "plainkey": s, "loop": [s, s],
            "captured": format!("<{s}>"), "macro": format!("<{s}>"), "merged": {"s": s}, "anchor": s, "alias": s,
            "built": built, "joined": format!("{s}|{s}"), "called": module, "used": module, "deep": deep, "file": s,
        });
        let found = file.root.expect("a document").to_json();
        for (key, value) in expected.as_object().expect("a mapping") {
            prop_assert_eq!(&found[key], value, "{}", key);
        }
    }

    #[test]
    fn what_is_written_reads_back(node in value()) {
        let text = to_yaml(node.as_ref()).expect("written");
        let file = Arc::new(File::new("x", text.clone().into_bytes(), &Limits::default()).map_err(|findings| {
            TestCaseError::fail(format!("{text}\n{findings:?}"))
        })?);
        let read = data::read_data(&file, 0..file.text.len(), &Limits::default());
        let read = read.map_err(|findings| TestCaseError::fail(format!("{text}\n{findings:?}")))?;
        prop_assert_eq!(format!("{:?}", bare(&read)), format!("{:?}", bare(&node)), "{}", text);
    }

    #[test]
    fn no_file_makes_the_renderer_panic(a in soup(), m in soup(), v in text()) {
        let variables = format!("vars: {v}");
        for text in [format!("{a}\n{{{{ module('m', x={}) }}}}\n{a}", 1), format!("{variables}\n{a}"), a] {
            let file = render(&[("a", &text), ("m/m", &m)]);
            for finding in &file.findings {
                prop_assert!(!finding.message.contains("bug in Longboat"), "{}", text);
                prop_assert!(reserved::find(&finding.message).is_none());
                let place = finding.place.as_ref().expect("a place");
                prop_assert!(exists(place, &[(FILE, &text), (".longboat/modules/m.yaml", &m)]), "{:?}", place);
            }
        }
    }

    #[test]
    fn marks_and_numbers_don_t_change_what_a_template_yields(text in template()) {
        let (plain, marked) = both(&text)?;
        prop_assert_eq!(marked, plain, "{}", text);
    }

    #[test]
    fn every_value_is_where_its_origin_says(text in document(false)) {
        let files = [("a", text.as_str()), ("m/m", "a: m1\nb: [{{ 'm2' }}, m3]\n"), ("vars/default", "s: s1\nl: [s2, {k: s3}]\n")];
        let file = render(&files);
        prop_assert_eq!(&file.findings, &[], "{}", text);
        let mut leaves = Vec::new();
        collect(&file.root.expect("a document"), &mut leaves);
        for (value, place) in leaves {
            let here = at_place(&files, &place);
            // A written word stands there, maybe in quotes, or the tag that yields it.
            let good = here.starts_with(value.as_str()) || here[1..].starts_with(value.as_str())
                || (here.starts_with("{{") && !value.starts_with('w'))
                || (value.starts_with("b ") && here.starts_with("b "));
            prop_assert!(good, "{} at {:?}: {}\n{}", value, place, here, text);
        }
    }

    #[test]
    fn every_part_of_a_document_comes_from_real_lines_and_does_so_every_time(
        text in document(true), crlf in any::<bool>(), bom in any::<bool>(),
    ) {
        let text = if crlf { text.replace('\n', "\r\n") } else { text };
        let text = if bom { format!("\u{FEFF}{text}") } else { text };
        let files = [
            ("a", text.as_str()),
            ("m/m", "a: m1\nb: [{{ 'm2' }}, m3]\n"),
            ("m/outer", "module: {parameters: {p: {}, q: {default: d}}}\n---\nuse: inner\nwith: {p: {{ p }}, q: {{ q }}}\n"),
            ("m/inner", "{% for x in [p, q] %}\n- {{ x }}\n{% endfor %}\n- {{ p }}\n- {{ {\n 'q': q,\n 's': vars.s} }}\n"),
            ("vars/default", "s: s1\nl: [s2, {k: s3}]\nm: {a: {x: 1}, b: {x: é}}\nzero: ~\n"),
            ("vars/branch/feature/x", "s: |\n  one\n  two\n"),
            ("f.txt", "one\ntwo\n"),
        ];
        let library = library::shelf();
        let file = library::rendered(&files, &library);
        prop_assert_eq!(&file.findings, &[], "{}", text);
        let again = library::rendered(&files, &library::shelf());
        // What a node's text shows of its origin is place and calls.
        prop_assert_eq!(format!("{:?}", file.root), format!("{:?}", again.root));
        let root = file.root.clone().expect("a document");
        prop_assert_eq!(to_yaml(root.as_ref()).ok(), to_yaml(again.root.expect("a document").as_ref()).ok());
        let mut places = Vec::new();
        all_places(&root, &mut places);
        for pointer in pointers(&root).iter().take(40) {
            let explained = crate::gitops::explain(&file, pointer).expect("a part of the document");
            let layers = explained.variables.iter().flat_map(|variable| &variable.layers);
            places.extend(layers.map(|told| told.place.clone()));
        }
        for place in places {
            let held = library.text(&place.file);
            let content = held.as_deref().or_else(|| full_name(&files, &place.file)).unwrap_or_else(|| panic!("no file {}\n{text}", place.file));
            prop_assert!(exists(&place, &[(&place.file, content)]), "{:?}\n{}", place, text);
            let end = Place::point(&*place.file, place.end_line, place.end_column);
            prop_assert!(exists(&end, &[(&place.file, content)]), "{:?}\n{}", place, text);
        }
    }
}

/// The text of one of the files, by the name that places give it.
fn full_name<'a>(files: &[(&str, &'a str)], name: &str) -> Option<&'a str> {
    let short = match name.strip_prefix(".longboat/") {
        Some(below) => below.trim_end_matches(".yaml").replace("modules/", "m/"),
        None => name.to_owned(),
    };
    files.iter().find(|(path, _)| *path == short).map(|(_, text)| *text)
}

/// Every place that any part of a document names: its own, the calls' and the others.
pub(super) fn all_places(node: &Node, places: &mut Vec<Place>) {
    let mut add = |origin: &crate::gitops::Origin| {
        places.push(origin.place());
        places.extend(origin.chain().iter().map(|link| Place::point(&*link.file, link.line, link.column)));
        places.extend(origin.through().iter().map(crate::gitops::Spot::place));
    };
    add(&node.origin);
    if let NodeValue::Map(entries) = &node.value {
        entries.iter().for_each(|(key, _)| add(&key.origin));
    }
    match &node.value {
        NodeValue::List(items) => items.iter().for_each(|item| all_places(item, places)),
        NodeValue::Map(entries) => entries.iter().for_each(|(_, item)| all_places(item, places)),
        _ => {}
    }
}

/// The pointers to every part of a document.
fn pointers(node: &Node) -> Vec<String> {
    let below = |step: &str, node: &Node| {
        let step = format!("/{}", crate::diagnostic::pointer_step(step));
        pointers(node).into_iter().map(move |rest| format!("{step}{rest}")).collect::<Vec<_>>()
    };
    let mut all = vec![String::new()];
    match &node.value {
        NodeValue::List(items) => {
            items.iter().enumerate().for_each(|(at, item)| all.extend(below(&at.to_string(), item)));
        }
        NodeValue::Map(entries) => entries.iter().for_each(|(key, item)| all.extend(below(&key.name, item))),
        _ => {}
    }
    all
}

/// JSON that holds only characters that a YAML file may hold.
fn ascii(json: &str) -> String {
    let mut units = [0; 2];
    let escape = |letter: char| letter.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect();
    let mut escape: Box<dyn FnMut(char) -> String> = Box::new(escape);
    json.chars()
        .map(|letter| if letter.is_ascii() && letter != '\u{7f}' { letter.to_string() } else { escape(letter) })
        .collect()
}

/// A value without its origins, as text that keeps types apart.
fn bare(node: &Node) -> String {
    match &node.value {
        NodeValue::List(items) => format!("{:?}", items.iter().map(|item| bare(item)).collect::<Vec<_>>()),
        NodeValue::Map(entries) => {
            format!("{:?}", entries.iter().map(|(key, item)| (key.name.to_string(), bare(item))).collect::<Vec<_>>())
        }
        value => format!("{value:?}"),
    }
}

/// Any tree of values.
fn value() -> impl Strategy<Value = Arc<Node>> {
    let leaf = prop_oneof![
        Just(NodeValue::Null),
        any::<bool>().prop_map(NodeValue::Bool),
        any::<i64>().prop_map(NodeValue::Int),
        any::<f64>().prop_map(NodeValue::Float),
        (0..50i32).prop_map(|number| NodeValue::Float(f64::from(number))),
        text().prop_map(|text| NodeValue::String(text.into())),
    ];
    let file = File::new("x", Vec::new(), &Limits::default()).expect("an empty file");
    let origin = file.origin(0, 0);
    let node = move |value| Arc::new(Node { value, origin: origin.clone() });
    let leaf = leaf.prop_map(node.clone());
    let file = File::new("x", Vec::new(), &Limits::default()).expect("an empty file");
    leaf.prop_recursive(4, 30, 5, move |inner| {
        let (node, origin) = (node.clone(), file.origin(0, 0));
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(NodeValue::List),
            prop::collection::btree_map(text(), inner, 0..5).prop_map(move |entries| {
                let key = |name: String| crate::gitops::Key { name: name.into(), origin: origin.clone() };
                NodeValue::Map(entries.into_iter().map(|(name, value)| (key(name), value)).collect())
            }),
        ]
        .prop_map(node)
    })
}

/// Template and YAML syntax without order.
pub(super) fn soup() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{{ ",
        " }}",
        "{{- ",
        " -}}",
        "{% ",
        " %}",
        "{%- ",
        " -%}",
        "{# ",
        " #}",
        "if x ",
        "else",
        "endif",
        "for x in [1, 2] ",
        "for x in range(3) recursive ",
        "endfor",
        "set x = 1",
        "set x ",
        "endset",
        "macro f(a) ",
        "endmacro",
        "filter upper",
        "endfilter",
        "call f()",
        "endcall",
        "raw",
        "endraw",
        "with a=1 ",
        "endwith",
        "do f()",
        "x",
        "x.y",
        "vars",
        "loop(x)",
        "module(",
        "module('m', ",
        "'m')",
        "f(1)",
        "file('a')",
        "branch",
        "|tojson",
        "|default('x')",
        "|join(",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "'",
        "\"",
        "1",
        "none",
        "true",
        " ~ ",
        " + ",
        "=",
        ",",
        "use: m",
        "with:",
        "\n",
        "\n",
        "\n  ",
        "\n- ",
        "a: ",
        "b:\n  ",
        "- ",
        "? ",
        ": ",
        "|\n  ",
        ">\n ",
        "&a ",
        "*a",
        "<<: ",
        "!t ",
        "---",
        "#",
        "é",
        "\r\n",
        "\t",
        "vars:\n  x: 1\n",
        "pipelines:\n",
        "  - environment: e\n",
        "{% if true %}\n",
        "{% endif %}\n",
        "{% for x in [1] %}\n",
        "{% endfor %}\n",
        "module: {}\n---\n",
    ]);
    prop::collection::vec(piece, 0..25).prop_map(|pieces| pieces.concat())
}

/// Balanced templates whose text is not YAML.
fn template() -> impl Strategy<Value = String> {
    let sign = || prop::sample::select(vec!["", "", "", "-", "+"]);
    let text = prop::sample::select(vec![
        "x", " ", "  ", "\n", "\n  ", "\r\n", "a: {x", "}", "{ ", "{ {y", "%}", "}}", "# ", "é", "\t", "{#y", "\n\n",
    ]);
    let value = (
        sign(),
        prop::sample::select(vec![
            "'v'",
            "s",
            "n",
            "true",
            "none",
            "s ~ n",
            "1 if false",
            "-1",
            "m('q')",
            "l|length",
            "(1 if true else 2)",
            "s|upper",
            "{'a': {'b': 'c'}}.a.b",
        ]),
        sign(),
    )
        .prop_map(|(open, expression, close)| {
            let close = if close == "+" { "" } else { close };
            let open = if open == "+" { "" } else { open };
            format!("{{{{{open} {expression} {close}}}}}")
        });
    let leaf = prop_oneof![
        6 => text.prop_map(str::to_owned),
        4 => value,
        1 => Just("{# c\nd #}".to_owned()),
        1 => (sign(), sign()).prop_map(|(open, close)| format!("{{%{open} raw {close}%}}{{{{ r }}}} \n{{% x {{%{close} endraw {open}%}}")),
        1 => (sign(), sign()).prop_map(|(open, close)| format!("{{%{open} set k = 1 {close}%}}")),
    ];
    let body = leaf.prop_recursive(3, 40, 8, move |inner| {
        let inner = prop::collection::vec(inner, 0..6).prop_map(|parts| parts.concat());
        let signs = (sign(), sign(), sign(), sign());
        prop_oneof![
            (inner.clone(), inner.clone(), signs).prop_map(|(yes, no, (a, b, c, d))| format!(
                "{{%{a} if n > 2 {b}%}}{yes}{{%{c} else {d}%}}{no}{{%{b} endif {a}%}}"
            )),
            (inner.clone(), (sign(), sign()))
                .prop_map(|(body, (a, b))| format!("{{%{a} for i in l {b}%}}{body}{{{{ i }}}}{{%{b} endfor {a}%}}")),
            (inner.clone(), (sign(), sign())).prop_map(|(body, (a, b))| format!(
                "{{%{a} set c {b}%}}{body}{{%{b} endset {a}%}}{{{{ c|length }}}}{{{{ c }}}}"
            )),
            inner.prop_map(|body| format!("{{% macro f(s) %}}{body}{{% endmacro %}}{{{{ f('z')|upper }}}}")),
        ]
    });
    prop::collection::vec(body, 0..8).prop_map(|parts| parts.concat())
}

const START: &str = "{% set s = 'str' %}{% set n = 2 %}{% set l = [1, 'two'] %}{% macro m(x) %}<{{ x }}>{% endmacro %}";

/// What a template yields to the bare engine, and to the renderer.
fn both(text: &str) -> Result<(String, String), TestCaseError> {
    let fail = |message: String| TestCaseError::fail(format!("{message}\n{text}"));
    let text = format!("{START}{text}");
    let file = Arc::new(File::new("a", text.into_bytes(), &Limits::default()).expect("good text"));
    let Scan { mut body, left_out } = Scan::new(&file, 0).map_err(|findings| fail(format!("{findings:?}")))?;
    left_out.into_iter().rev().for_each(|range| body.replace_range(range, ""));
    let mut environment = minijinja::Environment::new();
    environment.set_syntax(engine::syntax());
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_formatter(|out, _, value| {
        let shown = match value.kind() {
            minijinja::value::ValueKind::Bool => if value.is_true() { "true" } else { "false" }.to_owned(),
            minijinja::value::ValueKind::None | minijinja::value::ValueKind::Undefined => String::new(),
            _ => value.to_string(),
        };
        out.write_str(&shown).map_err(minijinja::Error::from)
    });
    let plain = environment.render_str(&body, ()).map_err(|error| fail(error.to_string()))?;

    let (client, _server) = connect();
    let repository = RepositoryName::parse("x").expect("a name");
    let (files, limits, globals) = (MemorySource::default(), Limits::default(), Map::new());
    let session = Arc::new(Session::new(&request(&files, &repository, &limits, &globals), client, Kept::of(&limits)));
    let template = Template::new(file.clone(), 0, &[]).map_err(|findings| fail(format!("{findings:?}")))?;
    let nothing = data::read_data(&file, 0..0, &limits).expect("nothing");
    let frame =
        Frame::of_file(Arc::new(Work::new(session.clone())), Arc::new(template), Variables::everywhere(nothing));
    let frame = Arc::new(frame);
    let marked = frame.template.marked.as_deref().unwrap_or_default();
    let compiled =
        session.kept.environment.template_from_named_str("a", marked).map_err(|error| fail(error.to_string()))?;
    let (text, placed) = engine::render(&frame, &compiled).map_err(|error| fail(error.to_string()))?;
    let (clean, _) = reserved::strip_marks(&text);
    let pieces = reserved::pieces(&clean).ok_or_else(|| fail("broken marks".to_owned()))?;
    let shown = pieces.into_iter().map(|piece| match piece {
        Piece::Text(text) => text.to_owned(),
        Piece::Value(number) => {
            scalar::text(&placed[number as usize].node.value).map(std::borrow::Cow::into_owned).unwrap_or_default()
        }
    });
    Ok((plain, shown.collect()))
}

/// YAML with tags, in which every written leaf is a word of its own: `w` and a number. With `more`, modules hand values
/// on, files are read, and module repositories are asked.
pub(super) fn document(more: bool) -> impl Strategy<Value = String> {
    let more = if more {
        vec![
            "{{ module('outer', p=vars.l) }}",
            "{use: outer, with: {p: {{ vars.m }}, q: ß}}",
            "{{ module('platform/deploy@main', image=vars.s) }}",
            "{use: platform/deep/er@main}",
            "{{ file('f.txt') }}",
            "\"{{ file('f.txt') }} and {{ vars.s|upper }}\"",
            "[{% for k, v in vars.m|items %}{ {{ k }}: {{ v.x }} },{% endfor %}]",
            "{<<: {{ vars.m }}, own: {{ vars.m.b.x if vars.s else 1 }}}",
            "{{ vars.s\n     ~ 'x' }}",
            "[{% for x in vars.l|reverse %}{{ x }},{% endfor %}]",
            "[{%\n   for k, v in vars.m|items\n %}{{ k }}, {{ v.x * 2 }},{% endfor %}]",
            "{{ vars.l[1:] + [vars.s, 1.5, none, true] }}",
            "{{ {vars.s: {}, 'e' ~ vars.m.a.x: []} }}",
            "[null, ~, true, -1, 0x1f, 1.5, .inf, '', \"é\\n\", [], {}]",
            "[&x ß, *x]",
            "{{ none if vars.s\n  else 1 }}",
            "{{ vars.zero }}",
            "{{ vars }}",
        ]
    } else {
        vec!["w0"]
    };
    let word = prop::sample::select(vec!["w", "'w", "\"w"]);
    let leaf = prop_oneof![
        6 => (word, 0..1000u32).prop_map(|(word, number)| {
            let quote = word.strip_suffix('w').unwrap_or_default();
            format!("{word}{number}{quote}")
        }),
        2 => Just("{{ 't1' }}".to_owned()),
        1 => Just("{{ vars.s }}".to_owned()),
        1 => Just("b {{ vars.s }} c".to_owned()),
        1 => Just("{{ vars.l }}".to_owned()),
        1 => Just("{{ module('m') }}".to_owned()),
        1 => Just("{use: m}".to_owned()),
        1 => Just("{% if true %}{{ 't2' }}{% endif %}".to_owned()),
        1 => Just("[w7, {é: w8, {{ 'k2' }}: w9}]".to_owned()),
        3 => prop::sample::select(more).prop_map(str::to_owned),
    ];
    let noise = || {
        prop::sample::select(vec![
            "",
            "",
            "",
            "# ü\n",
            "{# é #}\n",
            "\n",
            "{% set x = 1 %}\n",
            "{% if true %}\n{% endif %}\n",
            "{%+ set y = 2 %}\n",
        ])
    };
    let node = (leaf, noise())
        .prop_map(|(leaf, noise)| vec![format!(" {leaf} {}\n", if noise.starts_with('#') { "# ü" } else { "" })]);
    let node = node.prop_recursive(3, 24, 4, move |inner| {
        let indent = |lines: Vec<String>| lines.into_iter().map(|line| format!("  {line}")).collect::<Vec<_>>();
        prop_oneof![
            prop::collection::vec((inner.clone(), noise()), 1..4).prop_map(move |items| {
                let mut lines = vec!["\n".to_owned()];
                for (at, (value, noise)) in items.into_iter().enumerate() {
                    lines.extend((!noise.is_empty()).then(|| noise.to_owned()));
                    let mut value = value.into_iter();
                    let key = ["k: ", "é: ", "{{ 'key' }}: ", "\"q\": "][at % 4].trim_end();
                    lines.push(format!("{key}{}", value.next().unwrap_or_default()));
                    lines.extend(indent(value.collect()));
                }
                lines
            }),
            prop::collection::vec((inner, any::<bool>()), 1..4).prop_map(move |items| {
                let mut lines = vec!["\n".to_owned()];
                for (value, repeated) in items {
                    let mut value = value.into_iter();
                    lines.extend(repeated.then(|| "{% for z in [1, 2] %}\n".to_owned()));
                    lines.push(format!("-{}", value.next().unwrap_or_default()));
                    lines.extend(indent(value.collect()));
                    lines.extend(repeated.then(|| "{% endfor %}\n".to_owned()));
                }
                lines
            }),
        ]
    });
    node.prop_map(|lines| format!("root:{}", indent_all(lines)))
}

fn indent_all(lines: Vec<String>) -> String {
    let mut lines = lines.into_iter();
    let first = lines.next().unwrap_or_default();
    first + &lines.map(|line| format!("  {line}")).collect::<String>()
}

/// Every scalar with its place.
fn collect(node: &Node, leaves: &mut Vec<(String, Place)>) {
    match &node.value {
        NodeValue::List(items) => items.iter().for_each(|item| collect(item, leaves)),
        NodeValue::Map(entries) => entries.iter().for_each(|(_, item)| collect(item, leaves)),
        value => leaves.push((scalar::text(value).unwrap_or_default().into_owned(), node.origin.place())),
    }
}

/// The text of a file from a place on.
fn at_place<'a>(files: &[(&str, &'a str)], place: &Place) -> &'a str {
    let short = place.file.trim_start_matches(".longboat/").trim_end_matches(".yaml").replace("modules/", "m/");
    let (_, text) = files.iter().find(|(path, _)| *path == short).unwrap_or_else(|| panic!("no file {short}"));
    let line: usize = text.split_inclusive('\n').take(place.line as usize - 1).map(str::len).sum();
    let column = text[line..].char_indices().nth(place.column as usize - 1).map_or(0, |(at, _)| at);
    &text[line + column..]
}

/// Whether a place is inside of a file that exists.
fn exists(place: &Place, files: &[(&str, &str)]) -> bool {
    let Some((_, text)) = files.iter().find(|(path, _)| *path == place.file) else { return false };
    let text = text.trim_start_matches('\u{FEFF}');
    let line = text.split('\n').nth(place.line as usize - 1);
    line.is_some_and(|line| (1..=line.chars().count() + 1).contains(&(place.column as usize)))
}
