//! Hostile files end in a finding.

use super::*;

/// Renders with small limits, and gives the code and place of the first finding.
fn hostile(files: &[(&str, &str)], limits: &Limits) -> (Code, String) {
    let file = with(files, limits, FILE);
    let finding = file.findings.first().expect("a finding");
    assert!(file.findings.len() < 30, "{:?}", file.findings);
    (finding.code, at(finding))
}

fn small() -> Limits {
    Limits { nodes: 2_000, output_bytes: 100_000, fuel: 50_000, module_calls: 50, ..Limits::default() }
}

#[test]
fn an_alias_bomb() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..40 {
        let items = format!("*a{}, ", level - 1).repeat(10);
        text += &format!("a{level}: &a{level} [{items}]\n");
    }
    assert_eq!(hostile(&[("a", &text)], &Limits::default()).0, Code::TooManyNodes);
    let merge =
        "a: &a {x: 1, y: 2}\n".to_owned() + &(0..2_000).map(|n| format!("k{n}: {{<<: *a}}\n")).collect::<String>();
    assert_eq!(hostile(&[("a", &merge)], &small()).0, Code::TooManyNodes);
}

#[test]
fn an_endless_template() {
    let text = "x: 1\n{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}\n";
    assert_eq!(hostile(&[("a", text)], &Limits::default()), (Code::OutOfFuel, "a.yaml:2:39".into()));
    let text = "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}\n";
    assert_eq!(hostile(&[("a", text)], &Limits::default()).0, Code::TemplateFailed);
    // Each module has a full tank, but their sum counts.
    let module = "{% for a in range(4000) %}{% set x = 1 %}{% endfor %}\n";
    let text = "{% for a in range(40) %}- {{ module('m') }}\n{% endfor %}\n";
    assert_eq!(hostile(&[("a", text), ("m/m", module)], &small()).0, Code::OutOfFuel);
}

#[test]
fn too_much_output() {
    let text = format!("a: |\n{{% for a in range(9999) %}}\n  {}\n{{% endfor %}}\n", "x".repeat(100));
    assert_eq!(hostile(&[("a", &text)], &small()).0, Code::OutputTooLarge);
    let captured =
        format!("{{% set x %}}{{% for a in range(9999) %}}{}{{% endfor %}}{{% endset %}}\n", "x".repeat(100));
    assert_eq!(hostile(&[("a", &captured)], &small()).0, Code::OutputTooLarge);
    let raw = format!(
        "{{% set x %}}{{% for a in range(9999) %}}{{% raw %}}{{{{ {}{{% endraw %}}{{% endfor %}}{{% endset %}}\n",
        "x".repeat(100)
    );
    assert_eq!(hostile(&[("a", &raw)], &small()).0, Code::OutputTooLarge);
    let values = "{% set x %}{% for a in range(9999) %}{{ 'x' * 100 }}{% endfor %}{% endset %}\n";
    assert_eq!(hostile(&[("a", values)], &small()).0, Code::OutputTooLarge);
    let placed = "a: {{ 'x' * 200000 }}\n";
    assert_eq!(hostile(&[("a", placed)], &small()), (Code::OutputTooLarge, "a.yaml:1:7".into()));
    let doubled = "{% set x = 'x' %}".to_owned() + &"{% set x = x ~ x %}".repeat(20) + "\na: {{ x }}\n";
    assert_eq!(hostile(&[("a", &doubled)], &small()).0, Code::OutputTooLarge);
    let files = "{% for a in range(999) %}{% set t = file('big.txt') %}{% endfor %}\n";
    assert_eq!(hostile(&[("a", files), ("big.txt", &"x".repeat(1_000))], &small()).0, Code::OutputTooLarge);
}

#[test]
fn too_many_values() {
    assert_eq!(hostile(&[("a", "a: {{ range(5000) }}\n")], &small()), (Code::TooManyNodes, "a.yaml:1:7".into()));
    let text = "{% for a in range(9999) %}\n- {{ a }}\n{% endfor %}\n";
    assert_eq!(hostile(&[("a", text)], &small()).0, Code::TooManyNodes);
    let doubled = "vars: {l: [1, 2, 3, 4, 5, 6, 7, 8]}\n".to_owned()
        + &(0..300).map(|n| format!("k{n}: {{{{ vars.l }}}}\n")).collect::<String>();
    assert_eq!(hostile(&[("a", &doubled)], &small()).0, Code::TooManyNodes);
    let text = "{% set x = [1] %}".to_owned() + &"{% set x = [x, x] %}".repeat(40) + "\na: {{ x }}\n";
    assert_eq!(hostile(&[("a", &text)], &Limits::default()).0, Code::TooManyNodes);
}

#[test]
fn too_many_modules() {
    let text = "{% for a in range(9999) %}\n- {{ module('m') }}\n{% endfor %}\n";
    assert_eq!(hostile(&[("a", text), ("m/m", "x")], &small()), (Code::ModuleLimit, "a.yaml:2:6".into()));
    let mut files: Vec<(String, String)> = vec![("a".into(), "x: {{ module('m0') }}\n".into())];
    files.extend((0..40).map(|n| (format!("m/m{n}"), format!("y: {{{{ module('m{}') }}}}\n", n + 1))));
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (&**path, &**text)).collect();
    let (code, place) = hostile(&files, &Limits::default());
    assert_eq!((code, place.as_str()), (Code::ModuleLimit, "modules/m29.yaml:1:7"));
}

#[test]
fn a_module_that_fails_over_and_over_ends_the_file() {
    let text = "{% for a in range(2000) %}\n- {{ module('m', n=a) }}\n{% endfor %}\n";
    let file = with(&[("a", text), ("m/m", "{{ nope }}")], &Limits::default(), FILE);
    assert_eq!(file.findings.len(), 1);
    assert!(file.root.is_none());
}

#[test]
fn deep_nesting() {
    let nested = |open: &str, close: &str, count: usize| open.repeat(count) + &close.repeat(count);
    for text in [
        nested("[", "]", 200),
        nested("{a: ", "}", 200),
        nested("[", "]", 100_000),
        nested("{? ", "}", 5_000),
        (0..200).map(|depth| " ".repeat(depth) + "a:\n").collect(),
        (0..300).map(|_| "- ").collect::<String>() + "x",
    ] {
        let (code, _) = hostile(&[("a", &text)], &Limits::default());
        assert!(matches!(code, Code::TooManyNodes | Code::YamlSyntax), "{code}: {}", &text[..20]);
    }
    for text in [nested("[", "]", 200), nested("(", ")", 100_000)] {
        let text = format!("a: {{{{ {text} }}}}\n");
        assert_eq!(hostile(&[("a", &text)], &Limits::default()).0, Code::TemplateSyntax);
    }
}

#[test]
fn long_chains_of_statements_and_filters_fit_the_stack() {
    let elifs = "{% if x is defined %}".to_owned() + &"{% elif x is defined %}".repeat(9_000) + "{% endif %}\n";
    let sets = "{% set x = 1 %}".to_owned() + &"{% set x = [x] %}".repeat(9_900) + "\na: 1\n";
    let filters = format!("a: {{{{ 1{} }}}}\n", "|int".repeat(2_400));
    let sum = format!("a: {{{{ 1{} }}}}\n", "+1".repeat(2_400));
    let attributes = format!("a: {{{{ x{} if false }}}}\n", ".y".repeat(2_400));
    let concat = format!("a: {{{{ ''{} }}}}\n", "~''".repeat(2_400));
    for text in [elifs, sets, filters, sum, attributes, concat] {
        let file = render(&[("a", &text)]);
        assert_eq!(file.findings, [], "{}", &text[..30]);
    }
    for text in [format!("a: {{{{ 1{} }}}}\n", "|int".repeat(100_000)), "{% set x = 1 %}".repeat(20_000)] {
        assert_eq!(hostile(&[("a", &text)], &Limits::default()).0, Code::TemplateSyntax);
    }
    let deep = "{% set x = 1 %}".to_owned() + &"{% set x = [x] %}".repeat(9_900) + "\na: {{ x }}\n";
    assert_eq!(hostile(&[("a", &deep)], &Limits::default()).0, Code::TooManyNodes);
}

#[test]
fn values_can_t_contain_themselves() {
    let text = "{% set ns = namespace(x=1) %}{% set ns.x = ns %}{{ ns }}\n";
    assert_eq!(hostile(&[("a", text)], &Limits::default()), (Code::UndefinedValue, "a.yaml:1:13".into()));
}

#[test]
fn files_that_are_no_text() {
    let repository = RepositoryName::parse("x").expect("a name");
    for (bytes, code, place) in [
        (&b"a: 1\nb: \xff\n"[..], Code::NotUtf8, "a.yaml:2:4"),
        (b"a: \0\n", Code::YamlSyntax, "a.yaml:1:4"),
        (b"\xff\xfea\0", Code::NotUtf8, "a.yaml:1:1"),
    ] {
        let mut files = MemorySource::default();
        files.insert(FILE, bytes);
        let file = render_file(&request(&files, &repository, &Limits::default(), &Map::new()), FILE);
        assert_eq!((file.findings[0].code, at(&file.findings[0]).as_str()), (code, place));
    }
    let long = "\n".repeat(70_000);
    assert_eq!(hostile(&[("a", &long)], &Limits::default()), (Code::FileTooLarge, "a.yaml:1:1".into()));
    let large = "#".repeat(1024 * 1024 + 1);
    assert_eq!(hostile(&[("a", &large)], &Limits::default()), (Code::FileTooLarge, "a.yaml:1:1".into()));
    assert_eq!(hostile(&[("b", "")], &Limits::default()), (Code::UnreadablePath, "a.yaml:1:1".into()));
}

/// What operators, filters and slices would make is counted before it is made.
#[test]
fn texts_and_lists_that_grow() {
    let doubled =
        |kind: &str, sign: &str| format!("{{% set x = {kind} %}}{}", format!("{{% set x = x {sign} x %}}").repeat(40));
    let over =
        |body: &str| format!("{{% for a in range(9999) %}}{{% for b in range(9) %}}{body}{{% endfor %}}{{% endfor %}}");
    let long = "{% set x = 'abcdefgh ' * 100000 %}{% set l = [1] * 100000 %}";
    let after = |text: &str| format!("{long}{text}");
    for text in [
        doubled("'x'", "~"),
        doubled("'x'", "+"),
        doubled("[1]", "+"),
        doubled("[1]", "~"),
        "{% set x = 'x' %}".to_owned() + &"{% set x = (x ~ 1) ~ (x) %}".repeat(40),
        "{% set x = 'x' %}".to_owned() + &"{% set x = x * 9 %}".repeat(40),
        "{% set x = [1] %}".to_owned() + &"{% set x = 9 * x %}".repeat(40),
        "{% set x = [1] %}".to_owned() + &"{% set x = x|chain(x)|list %}".repeat(40),
        "{% set x = 'x' %}".to_owned() + &"{% set x = [x, x]|join('') %}".repeat(40),
        "{% set x = 'xx' %}".to_owned() + &"{% set x = x|replace('x', 'xx') %}".repeat(40),
        "{% set x = 'x' %}".to_owned() + &"{% set x = '%s%s'|format(x, x) %}".repeat(40),
        "{% set x = 'x' %}".to_owned() + &"{% set x = [x, x]|string %}".repeat(40),
        "{% set x = 'x' %}".to_owned() + &"{% set x = [x, x]|tojson %}".repeat(40),
        "{% set x = 'x' %}".to_owned() + &"{% set x = [x, x] %}".repeat(40) + "{{ x|pprint|length }}",
        "{% set x = 'x' * 999999999999999999 %}".to_owned(),
        "{% set x = [1] * 99999999 %}".to_owned(),
        "{% set x = '%0999999999d'|format(1) %}".to_owned(),
        "{% set x = '%*d'|format(999999999, 1) %}".to_owned(),
        "{% set x = ('a\\n' * 1000)|indent(999999) %}".to_owned(),
        "{% set x = ('a\\n' * 1000)|indent(width=999999) %}".to_owned(),
        "{% set x = [1]|batch(999999999, 0) %}".to_owned(),
        "{% set x = [1]|slice(999999999) %}".to_owned(),
        "{% set x = [[1]]|tojson(indent=999999999) %}".to_owned(),
        after("{% set x = x|replace('', x) %}"),
        after("{% set x = l|join(x) %}"),
        after("{% set x = x|list %}{% set x = x|list %}{% set x = x|list %}{% set x = x|list %}{% set x = x|list %}"),
        after("{% set x = x|split('a')|map('upper')|list|list|list %}").replace("100000", "900000"),
        after(&over("{% set y = x|upper %}")),
        after(&over("{% set y = x[1:] %}")),
        after(&over("{% set y = x[1:][:-1] %}")),
        after(&over("{% set y = l|sort %}")),
        after(&over("{% set y = l|list %}")),
        after(&over("{% set y = x|escape %}")),
        format!("{{% set m = {{{}}} %}}", (0..100).map(|n| format!("'k{n}': 1, ")).collect::<String>())
            + &over("{% set y = dict(m, a=1) %}"),
    ] {
        let started = std::time::Instant::now();
        let file = render(&[("a", &format!("{text}\n"))]);
        let shown: String = text.chars().take(90).collect();
        let finding = file.findings.first().unwrap_or_else(|| panic!("{shown}"));
        assert_eq!(finding.code, Code::OutputTooLarge, "{shown}: {finding}");
        assert!(started.elapsed() < std::time::Duration::from_secs(60), "{shown}: {:?}", started.elapsed());
    }
}

/// What counts the operations changes nothing about them.
#[test]
fn operations_that_are_counted_yield_what_they_did() {
    let text = "\
vars: {s: a, n: 3, f: 1.5, l: [1, 2], m: {k: [5, 6, 7], s: xyz}}
a: {{ vars.s ~ vars.n ~ 'b' + 'c' ~ (1 + 2) * 3 }}
b: {{ (1 + 2) * (3 + 4) * 2 - 6 / 2 * 2 + 2 ** 3 * 2 }}
c: {{ 'ab' * 2 ~ 3 * 'c' }}
d: {{ vars.l * 2 + [vars.s * 2, 'x'][1:] }}
e: {{ vars.m.k[1:]|first * 2 ~ vars.m['s'][:2]|upper ~ vars.m.k[::-1]|first }}
f: {{ {vars.s ~ 'k': vars.n * 2, 'z': [1 * 1, -2 * 3, vars.f * 2, true * 5]} }}
g: {{ 'y' if vars.n * 2 == 6 and vars.n + 1 in [4] and not vars.n * 1 > 3 else 'n' }}
h: {{ [vars.s ~ 1, vars.s ~ 2]|map('upper')|join('-' ~ vars.n) }}
i: {{ -vars.n * 2 + -1 }}
j: {{ '%s-%03d'|format(vars.s ~ '!', vars.n * 2) }}
k: {{ module('m', a=vars.s ~ 'b', b=vars.n * 2, c=vars.l + [3]) }}
l: {{ dict(a=vars.n + 1, b=vars.m.s[1:]) }}
m: {{ (vars.l[0] + vars.l[1] * vars.n) ~ '' }}
n: {{ (vars.s, vars.n * 2)[1] }}
o: {{ vars.s[0:1] is string and vars.s ~ 'b' == 'ab' }}
{% set x = vars.n * 2 + 1 %}
p: {{ x }}
{% if vars.s ~ 'b' == 'ab' and vars.n * vars.n == 9 %}
q: {{ x * x }}
{% endif %}
{% for i in [1, 2] + vars.l * 1 if i * 2 < 4 %}
r{{ loop.index }}: {{ i ~ ':' ~ loop.index * 10 }}
{% endfor %}
{% macro join(a, b='x' ~ 'y') %}{{ a ~ b * 2 }}{% endmacro %}
s: {{ join(vars.s * 2, b=vars.s) ~ join('q') }}
t: {{ 9007199254740993 * 1 }}
u: {{ 4611686018427387904 * 2 // 2 }}
";
    let files = [("a", text), ("m/m", "v: {{ a ~ '/' ~ b * 2 }}\nc: {{ c[1:] }}\n")];
    let mut json = good(&files).to_json();
    json.as_object_mut().expect("a mapping").remove("vars");
    let expected = serde_json::json!({
        "a": "a3bc9", "b": 52.0, "c": "ababccc", "d": [1, 2, 1, 2, "x"], "e": "12XY7",
        "f": {"ak": 6, "z": [1, -6, 3.0, 5]}, "g": "y", "h": "A1-3A2", "i": -7, "j": "a!-006",
        "k": {"v": "ab/12", "c": [2, 3]}, "l": {"a": 4, "b": "yz"}, "m": "7", "n": 6, "o": true, "p": 7, "q": 49,
        "r1": "1:10", "r2": "1:20", "s": "aaaaqxyxy", "t": 9_007_199_254_740_993_i64, "u": 4_611_686_018_427_387_904_i64,
    });
    for (key, value) in expected.as_object().expect("a mapping") {
        assert_eq!(&json[key], value, "{key}");
    }
    for (text, words) in [
        ("{{ vars.s * 2 }}", "`vars.s` is undefined"),
        ("{{ 'a' ~ vars.s }}", "`vars.s` is undefined"),
        ("{{ [1] + vars.s }}", "`vars.s` is undefined"),
        ("{{ {} * 2 }}", "`*` can't be applied to a mapping and a number"),
        ("{{ 'a' * -1 }}", "a text can only be multiplied by a whole number"),
    ] {
        let finding = bad(&[("a", &format!("a: {text}\n"))]);
        assert!(finding.message.contains(words), "{text}: {finding}");
        assert_eq!(at(&finding).split(':').nth(1), Some("1"), "{text}");
    }
}

#[test]
fn a_tag_that_nests_too_deep_is_named() {
    let text = |depth: usize| format!("b: 1\na: {{{{ {}1{} }}}}\n", "2 * (".repeat(depth), ")".repeat(depth));
    assert_eq!(good(&[("a", &text(20))]).to_json()["a"], 1 << 20);
    let finding = bad(&[("a", &text(60))]);
    assert_eq!((finding.code, finding.place.as_ref().map(|place| place.line)), (Code::TemplateSyntax, Some(2)));
    assert!(finding.message.contains("nests its operations deeper"), "{finding}");
}
