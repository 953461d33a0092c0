//! All that is wrong with an application file and its modules is found at once.

use super::*;

fn found(text: &str) -> Vec<String> {
    let file = render(&[("a", text), ("vars/default", "region: eu\nlist: [1, 2]\n"), ("m/broken", "a: {{ nope }}\n")]);
    assert!(file.root.is_none(), "{text}");
    file.findings.iter().map(|finding| format!("{} {}", at(finding), finding.message)).collect()
}

#[test]
fn every_tag_that_fails_is_reported_and_so_is_the_document_around_it() {
    let text = "\
a: {{ vars.regoin }}
b: deploy to {{ stage }} of {{ vars.region }}
c: [{{ 'x'|nofilter }}, {{ file('no/such') }}]
d: {{ vars.region.city.street }}
{{ key }}: 1
e: {{ vars.list + 'x' }}
f: {{ module('no-such') }}
g: {{ 1 if vars.flag is defined else 2 }}{{ flag|default('x') }}
a: twice
";
    assert_eq!(
        found(text),
        [
            "a.yaml:1:7 `vars.regoin` is undefined",
            "a.yaml:2:17 `stage` is undefined",
            "a.yaml:3:12 there is no filter `nofilter`",
            "a.yaml:3:28 there is no file `no/such` in the commit",
            "a.yaml:4:18 `vars.region.city` is undefined",
            "a.yaml:5:4 `key` is undefined",
            "a.yaml:6:7 tried to use + operator on unsupported types sequence and string",
            "a.yaml:7:7 there is no module `no-such`",
            "a.yaml:9:1 the key `a` stands twice",
        ]
    );
}

#[test]
fn nothing_is_said_of_what_depends_on_it() {
    let text = "\
{% set image = registry ~ '/shop' %}
{% set tag = image.tag %}
a: {{ image + 1 }}
b: {{ tag }}
{% for one in vars.many %}
c: {{ one.name }}
{% else %}
d: {{ other }}
{% endfor %}
{% if vars.flag %}
e: {{ vars.flag.name }}
{% endif %}
f: {use: broken, with: {x: {{ y }}}}
g: {{ module(image, x=tag) }}
h: {{ last }}
";
    assert_eq!(
        found(text),
        [
            "a.yaml:1:16 `registry` is undefined",
            "a.yaml:5:15 `vars.many` is undefined",
            "a.yaml:8:7 `other` is undefined",
            "a.yaml:10:7 `vars.flag` is undefined",
            "a.yaml:13:31 `y` is undefined",
            "a.yaml:15:7 `last` is undefined",
        ]
    );
}

#[test]
fn what_captures_text_and_what_cant_be_left_out_end_well() {
    let macros = "{% macro m(x) %}{{ x }}-{{ nope }}{% endmacro %}\na: {{ m(1) }}\nb: {{ other }}\n";
    assert_eq!(found(macros), ["a.yaml:1:28 a value that doesn't exist is used", "a.yaml:3:7 `other` is undefined"]);
    let recursion = "{% for x in [1] recursive %}{{ loop(nope) }}{% endfor %}\na: {{ other }}\n";
    assert_eq!(found(recursion).len(), 1);
}

#[test]
fn a_file_has_so_many_failures_and_no_more() {
    let text: String = (0..60).map(|number| format!("a{number}: {{{{ nope{number} }}}}\n")).collect();
    let many = found(&text);
    assert!((20..=21).contains(&many.len()), "{many:#?}");
    // A module that fails is not tried again in each further run.
    let text: String = (0..15).map(|number| format!("a{number}: {{{{ nope{number} }}}}\n")).collect();
    let text = format!("a: {{{{ module('broken') }}}}\nb: {{use: broken}}\n{text}");
    let both = found(&text);
    assert_eq!(both.len(), 16, "{both:#?}");
}

#[test]
fn limits_are_those_of_all_runs_and_only_one_that_a_single_run_reaches_is_reported() {
    let limits = Limits { module_calls: 5, ..Limits::default() };
    let calls: String = (0..4).map(|number| format!("m{number}: {{{{ module('m') }}}}\n")).collect();
    let text = format!("{calls}a: {{{{ nope }}}}\nb: {{{{ other }}}}\n");
    let file = with(&[("a", &text), ("m/m", "x: 1\n")], &limits, FILE);
    let codes: Vec<Code> = file.findings.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, [Code::UndefinedValue], "{:#?}", file.findings);
    let text = format!("{calls}{}", calls.replace('m', "n").replace("nodule('n')", "module('m')"));
    let file = with(&[("a", &text), ("m/m", "x: 1\n")], &limits, FILE);
    assert_eq!(file.findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), [Code::ModuleLimit]);
}

#[test]
fn assignments_that_fail_set_holes_and_the_rest_is_looked_at() {
    let pairs = "\
{% set x, y = nope %}
{% set (v, w) = vars.many %}
a: {{ x.name }}
b: {{ v }}{{ first }}
{% with one = vars.region, two = other, three = {'a': [1, 2]} %}
c: {{ one }} {{ two }} {{ three.b }}
{% endwith %}
{% with (pair, more) = last %}{% endwith %}
d: {{ w }}
";
    assert_eq!(
        found(pairs),
        [
            "a.yaml:1:8 value is not iterable (`nope` is undefined)",
            "a.yaml:2:9 value is not iterable (`vars.many` is undefined)",
            "a.yaml:4:14 `first` is undefined",
            "a.yaml:6:17 `other` is undefined",
            "a.yaml:6:27 `three.b` is undefined",
            "a.yaml:8:10 value is not iterable (`last` is undefined)",
        ]
    );
    // What is made of such a name may be anything, and with it the document.
    let made = "{% set x = nope ~ '' %}\na: {{ x|length }}\na: twice\n";
    assert_eq!(found(made), ["a.yaml:1:12 `nope` is undefined"]);
    let decided = "{% set x = nope ~ '' %}\n{% if x %}\na: 1\n{% endif %}\na: {{ other }}\n";
    assert_eq!(found(decided), ["a.yaml:1:12 `nope` is undefined", "a.yaml:5:7 `other` is undefined"]);
}

/// What is found in one call of a module, and in those that follow.
fn in_calls(file: &str, module: &str) -> Vec<String> {
    let file = render(&[("a", file), ("m/m", module), ("m/inner", "x: {{ image.tag }}\n")]);
    assert!(file.root.is_none());
    let say = |finding: &Diagnostic| {
        let repeated = finding.repeated.as_ref().map(|repeated| format!(" ({})", repeated.text())).unwrap_or_default();
        format!("{} {}{repeated}", at(finding), finding.message)
    };
    file.findings.iter().map(say).collect()
}

#[test]
fn every_tag_of_a_module_that_fails_is_reported() {
    let module = "\
a: {{ imgae }}
b: {{ module('no-such') }}
{% set tag = nope ~ 'x' %}
c: {{ module('inner', image=tag) }}
d: {{ module('inner', image='x') }}
e: {use: inner, with: {image: {{ other }}}}
f: {{ tag }}
f: twice
";
    let found = in_calls("a: {{ module('m', image='x') }}\nb: {{ last }}\n", module);
    assert_eq!(
        found,
        [
            "a.yaml:2:7 `last` is undefined",
            "modules/inner.yaml:1:7 `image.tag` is undefined",
            "modules/m.yaml:1:7 `imgae` is undefined",
            "modules/m.yaml:2:7 there is no module `no-such`",
            "modules/m.yaml:3:14 `nope` is undefined",
            "modules/m.yaml:6:34 `other` is undefined",
        ]
    );
}

#[test]
fn what_many_calls_lead_to_is_said_once_with_the_calls() {
    let calls: String = (0..30).map(|number| format!("m{number}: {{{{ module('m') }}}}\n")).collect();
    let found = in_calls(&format!("{calls}last: {{{{ last }}}}\n"), "a: {{ one }}\nb: {{ two }}\n");
    let [last, one, two] = &found[..] else { panic!("{found:#?}") };
    assert_eq!(last, "a.yaml:31:10 `last` is undefined");
    let calls = "the same in 8 more calls: .longboat/a.yaml:2, .longboat/a.yaml:3, .longboat/a.yaml:4, .longboat/a.yaml:5, \
                 .longboat/a.yaml:6 and 3 more; 21 further calls were not tried";
    assert_eq!(*one, format!("modules/m.yaml:1:7 `one` is undefined ({calls})"));
    assert_eq!(*two, format!("modules/m.yaml:2:7 `two` is undefined ({calls})"));
    // A call in a loop is one.
    let looped = in_calls("{% for x in [1, 2, 3] %}\na{{ x }}: {{ module('m') }}\n{% endfor %}\n", "a: {{ one }}\n");
    assert_eq!(looped, ["modules/m.yaml:1:7 `one` is undefined"]);
}
