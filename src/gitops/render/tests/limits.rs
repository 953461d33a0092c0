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
