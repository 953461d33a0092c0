//! What expressions do, seen from the other rooms.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn scope() -> Scope {
    Scope {
        parameters: json!({"n": 4, "ratio": 0.5, "tag": "1.2", "big": 18_446_744_073_709_551_615_u64, "list": [1, 2], "on": true, "nothing": null}),
        trigger: json!({"branch": "main", "tag": null}),
        execution: json!({"id": "e1"}),
        stages: json!({"build": {"status": "SUCCEEDED", "outputs": {"image": "shop:1"}}, "a-b": {"status": "FAILED"}}),
        ..Scope::default()
    }
}

fn evaluate(text: &str) -> Result<Value, ExpressionError> {
    Expression::parse(text)?.evaluate(&scope())
}

fn value(text: &str) -> Value {
    evaluate(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The error's message with the place it points at, and its hint.
fn complaint(text: &str) -> String {
    let error = match Expression::parse(text).and_then(|expression| expression.evaluate(&scope())) {
        Ok(value) => return format!("no error: {value}"),
        Err(error) => error,
    };
    let hint = error.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
    format!("{}: {}{hint}", error.offset, error.message)
}

#[test]
fn values_keep_their_types() {
    for (text, wanted) in [
        ("parameters.n", json!(4)),
        ("parameters.n / 2", json!(2)),
        ("7 / 2", json!(3)),
        ("parameters.ratio", json!(0.5)),
        ("double(parameters.n)", json!(4.0)),
        ("parameters.big", json!(18_446_744_073_709_551_615_u64)),
        ("parameters.big - 1u", json!(18_446_744_073_709_551_614_u64)),
        ("parameters.list + [3]", json!([1, 2, 3])),
        ("{'b': 1, 'a': null}", json!({"a": null, "b": 1})),
        ("{1: true}", json!({"1": true})),
        ("parameters.on ? 'yes' : 'no'", json!("yes")),
        ("stages['a-b'].status", json!("FAILED")),
        ("stages[\"build\"].outputs.image + ':' + parameters.tag", json!("shop:1:1.2")),
        ("has(stages.build.outputs.digest)", json!(false)),
        ("stages.?test.outputs.orValue('none')", json!("none")),
        ("parameters.?nope", json!(null)),
        ("size(parameters.list) == 2", json!(true)),
        ("string(parameters.n) + '!'", json!("4!")),
        ("int('12') + 1", json!(13)),
        ("trigger.branch.startsWith('ma') && trigger.tag == null", json!(true)),
        ("trigger.branch.matches('^m[a-z]+$')", json!(true)),
        ("parameters.list.map(x, x * 2)", json!([2, 4])),
        ("stages.exists(id, stages[id].status == 'FAILED')", json!(true)),
        ("stages.map(id, id)", json!(["a-b", "build"])),
        ("duration('90s')", json!("90s")),
        ("timestamp('2024-02-29T00:00:00Z').getFullYear()", json!(2024)),
        ("type(parameters.n) == int", json!(true)),
        ("optional.of(3)", json!(3)),
    ] {
        assert_eq!(value(text).to_string(), wanted.to_string(), "{text}");
    }
}

#[test]
fn syntax_errors_are_for_people() {
    let wrong = [
        "",
        "1 +",
        "a b",
        "parameters.n = 3",
        "a and b",
        "not a",
        "#stage('x')",
        "'abc",
        "stages.1.x",
        "a.b.",
        "(1",
        "1)",
        "a ? b",
        "list.all(1, true)",
        "has(x)",
        "${x}",
        "99999999999999999999",
        "for",
        "a <> b",
        "a === b",
        "'ä' ++ b",
        "a\n + * b",
        "x.map(1)",
        "foo(1)",
        "secret('token')",
        "'Bearer ' + secret('token')",
        "secret(parameters.tag)",
        "secret('a b')",
        "'x'.secret('y')",
        "parameters.tag.size",
        "parameters.tag.length()",
        "startsWith('a')",
        "Pod{name: 'x'}",
        "a.`b-c`",
        "if x then y",
        "VAR:-default",
        "x[",
        "@x",
        "1 2",
    ];
    let all: Vec<_> = wrong.iter().map(|text| format!("{text:?} {}", complaint(text))).collect();
    insta::assert_snapshot!(all.join("\n"), @r##"
    "" 0: the expression is empty
    "1 +" 3: the expression ends too early
    "a b" 2: `b` is not expected here
    "parameters.n = 3" 13: `=` is not expected here (compare with `==`)
    "a and b" 2: `and` is not expected here (`and` is written `&&`)
    "not a" 4: `a` is not expected here (`not` is written `!`)
    "#stage('x')" 0: `#` is not expected here (this looks like SpEL, Spinnaker's language; Longboat evaluates CEL)
    "'abc" 0: this text literal has no end
    "stages.1.x" 6: `.1` is not expected here (write `stages["1"]`)
    "a.b." 4: the expression ends too early
    "(1" 2: the expression ends too early
    "1)" 1: `)` is not expected here
    "a ? b" 5: the expression ends too early
    "list.all(1, true)" 9: the first argument names the variable of the loop, as in `list.all(x, x > 0)`
    "has(x)" 4: `has` asks for a key, as in `has(stages.build.outputs.image)`
    "${x}" 0: `$` is not expected here (inside `${ }` write variables as they are, without `$`)
    "99999999999999999999" 0: the number needs more than 64 bits
    "for" 0: `for` is a reserved word
    "a <> b" 3: `<>` is not expected here (compare with `!=`)
    "a === b" 4: `===` is not expected here (compare with `==`)
    "'ä' ++ b" 5: `+` is not expected here
    "a\n + * b" 5: `*` is not expected here
    "x.map(1)" 2: `map` is called in a wrong way (write it as in `list.map(x, x + 1)`)
    "foo(1)" 0: there is no function `foo`
    "secret('token')" 0: a secret can't be used here
    "'Bearer ' + secret('token')" 12: `secret(...)` has to be a whole expression of its own (write `${ secret("name") }` with the name in quotes; other text stands before and after the braces)
    "secret(parameters.tag)" 0: `secret(...)` has to be a whole expression of its own (write `${ secret("name") }` with the name in quotes; other text stands before and after the braces)
    "secret('a b')" 0: `a b` is not a secret's name: 1 to 100 letters, digits, `-`, `_` and `.`, not starting with `-` or `.`
    "'x'.secret('y')" 4: `secret(...)` has to be a whole expression of its own (write `${ secret("name") }` with the name in quotes; other text stands before and after the braces)
    "parameters.tag.size" 0: `parameters.tag` is a string ("1.2") and has no `size`
    "parameters.tag.length()" 15: there is no function `length` (write `size(value)`)
    "startsWith('a')" 0: there is no function `startsWith` (write `value.startsWith(...)`)
    "Pod{name: 'x'}" 3: there is no type `Pod` to make a value of (a mapping is written `{"key": value}`)
    "a.`b-c`" 1: `` ` `` has no meaning here (a key that is no plain word is written `["key"]`)
    "if x then y" 0: `if` is a reserved word (write `condition ? value : other`)
    "VAR:-default" 3: `:` is not expected here
    "x[" 2: the expression ends too early
    "@x" 0: `@` is not expected here
    "1 2" 2: `2` is not expected here
    "##);
}

#[test]
fn failures_say_what_stood_where() {
    let wrong = [
        "stages.build.outputs.imgae",
        "stages.biuld.outputs.image",
        "parameters.tag.major",
        "trigger.tag.name",
        "secrets.token",
        "paramters.n",
        "stages.build.outputs.imgae + 'x'",
        "stages.a-b.status",
        "parameters.list[5]",
        "parameters.n + parameters.tag",
        "parameters.n + 0.5",
        "parameters.tag > 3",
        "parameters.n ? 1 : 2",
        "!parameters.tag",
        "parameters.n && true",
        "1 / 0",
        "9223372036854775807 + 1",
        "size(parameters.n)",
        "int(parameters.tag)",
        "parameters.tag.matches('(')",
        "parameters.n.exists(x, true)",
        "0.0 / 0.0",
        "b'abc'",
        "{'a': 1, 'a': 2}",
        "parameters.tag in 3",
        "parameters.tag.contains(3)",
        "parameters.list.name",
        "[parameters.list][0].name",
        "-parameters.tag",
    ];
    let all: Vec<_> = wrong.iter().map(|text| format!("{text:?} {}", complaint(text))).collect();
    insta::assert_snapshot!(all.join("\n"), @r#"
    "stages.build.outputs.imgae" 0: `stages.build.outputs` has no `imgae`; it has `image` (did you mean `image`?)
    "stages.biuld.outputs.image" 0: `stages` has no `biuld`; it has `a-b`, `build` (did you mean `build`?)
    "parameters.tag.major" 0: `parameters.tag` is a string ("1.2") and has no `major`
    "trigger.tag.name" 0: `trigger.tag` is null and has no `name`
    "secrets.token" 0: there is no variable `secrets`
    "paramters.n" 0: there is no variable `paramters` (did you mean `parameters`?)
    "stages.build.outputs.imgae + 'x'" 0: `stages.build.outputs.imgae + 'x'`: `stages.build.outputs` has no `imgae`; it has `image` (did you mean `image`?)
    "stages.a-b.status" 0: `stages.a-b.status`: `stages` has no `a`; it has `a-b`, `build` (write `stages["a-b"]`)
    "parameters.list[5]" 0: `parameters.list[5]`: the list has no item 5; `parameters.list` is [1,2]
    "parameters.n + parameters.tag" 0: `parameters.n + parameters.tag`: `+` doesn't take an int (4) and a string ("1.2") (turn the number into text with `string(...)`)
    "parameters.n + 0.5" 0: `parameters.n + 0.5`: `+` doesn't take an int (4) and a double (0.5) (turn both into doubles with `double(...)`)
    "parameters.tag > 3" 0: `parameters.tag > 3`: `>` doesn't take a string and an int; `parameters.tag` is "1.2" (turn the text into a number with `int(...)`)
    "parameters.n ? 1 : 2" 0: `parameters.n ? 1 : 2`: a condition has to be true or false, not an int; `parameters.n` is 4
    "!parameters.tag" 0: `!parameters.tag`: `!` doesn't take a string; `parameters.tag` is "1.2"
    "parameters.n && true" 0: `parameters.n && true`: `&&` doesn't take an int and a bool; `parameters.n` is 4
    "1 / 0" 0: `1 / 0`: division by zero
    "9223372036854775807 + 1" 0: `9223372036854775807 + 1`: the result needs more than 64 bits
    "size(parameters.n)" 0: `size(parameters.n)`: `size` doesn't take an int; `parameters.n` is 4
    "int(parameters.tag)" 0: `int(parameters.tag)`: `int`: string parse error: invalid digit found in string; `parameters.tag` is "1.2"
    "parameters.tag.matches('(')" 0: `parameters.tag.matches('(')`: `matches`: `(` is not a pattern: unclosed group; `parameters.tag` is "1.2"
    "parameters.n.exists(x, true)" 0: `parameters.n.exists(x, true)`: only lists and maps can be gone through, not an int; `parameters.n` is 4
    "0.0 / 0.0" 0: `0.0 / 0.0` yields a number that JSON can't hold
    "b'abc'" 0: `b'abc'` yields bytes: turn them into text with `string(...)`
    "{'a': 1, 'a': 2}" 0: `{'a': 1, 'a': 2}`: the key "a" stands twice
    "parameters.tag in 3" 0: `parameters.tag in 3`: `in` doesn't take a string and an int; `parameters.tag` is "1.2"
    "parameters.tag.contains(3)" 0: `parameters.tag.contains(3)`: `contains` doesn't take a string and an int; `parameters.tag` is "1.2"
    "parameters.list.name" 0: `parameters.list.name`: `parameters.list` is a list ([1,2]) and has no `name`
    "[parameters.list][0].name" 0: `[parameters.list][0].name`: a list has no keys; `parameters.list` is [1,2]
    "-parameters.tag" 0: `-parameters.tag`: `-` doesn't take a string; `parameters.tag` is "1.2"
    "#);
}

#[test]
fn references_are_found_without_running() {
    let found = |text: &str| {
        let expression = Expression::parse(text).expect(text);
        let line = |reference: &Reference| format!("{}@{}", reference.path.join("/"), reference.offset);
        expression.references().iter().map(line).collect::<Vec<_>>().join(" ")
    };
    for (text, wanted) in [
        ("stages.build.outputs.image", "stages/build/outputs/image@0"),
        ("  stages['a-b']['x']", "stages/a-b/x@2"),
        ("'ä' == parameters.x && has(stages.b.outputs.c)", "parameters/x@7 stages/b/outputs/c@27"),
        ("stages[parameters.which].status", "stages@0 parameters/which@7"),
        ("parameters.list[0].name", "parameters/list@0"),
        ("parameters.list.all(x, x > parameters.min && x.y == z)", "parameters/list@0 parameters/min@27 z@52"),
        ("stages.?build.outputs[?'x']", "stages/build/outputs/x@0"),
        ("trigger.branch.startsWith(parameters.p)", "trigger/branch@0 parameters/p@26"),
        ("stages.a-b.c", "stages/a@0 b/c@9"),
        ("type(1) == int && optional.of(x).hasValue()", "x@30"),
        ("[parameters.a].map(x, [x].map(y, y + x + parameters.b))", "parameters/a@1 parameters/b@41"),
        ("1 + 2", ""),
    ] {
        assert_eq!(found(text), wanted, "{text}");
    }
}

#[test]
fn templates_keep_text_and_types_apart() {
    let run = |text: &str| Template::parse(text).and_then(|template| template.evaluate(&scope()));
    for (text, wanted) in [
        ("plain", json!("plain")),
        ("${ parameters.n }", json!(4)),
        ("${parameters.list}", json!([1, 2])),
        (" ${ parameters.n }", json!(" 4")),
        ("v${parameters.n}${parameters.tag}", json!("v41.2")),
        (r#"${ {"a": "}"}["a"] }"#, json!("}")),
        (r#"${ "${" }"#, json!("${")),
        (r"${ r'\' }", json!("\\")),
        ("${ '''}''' }x", json!("}x")),
        ("${ 1 // }\n }", json!(1)),
        ("$${HOME}", json!("${HOME}")),
        ("$$${HOME} ${parameters.n}", json!("$${HOME} 4")),
        ("cost: $5 {a}", json!("cost: $5 {a}")),
        ("a${ trigger.tag }b", json!("ab")),
        ("x ${ {'k': [1, 'a']} }", json!(r#"x {"k":[1,"a"]}"#)),
        ("${ parameters.ratio }!", json!("0.5!")),
    ] {
        assert_eq!(run(text), Ok(wanted), "{text}");
    }
}

#[test]
fn template_errors_point_into_the_whole_text() {
    let run = |text: &str| {
        let error = Template::parse(text).and_then(|template| template.evaluate(&scope())).expect_err(text);
        let hint = error.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("{text:?} {}: {}{hint}", error.offset, error.message)
    };
    let wrong =
        ["ä ${ 1 + }", "ä ${ parameters.m }", "a ${ b", "${}", "${ 'x }", "${VAR:-x}", "${VAR%.*}", "${a ${b}}"];
    let all: Vec<_> = wrong.into_iter().map(run).collect();
    insta::assert_snapshot!(all.join("\n"), @r#"
    "ä ${ 1 + }" 8: the expression ends too early
    "ä ${ parameters.m }" 5: `parameters` has no `m`; it has `big`, `list`, `n`, `nothing`, `on`, `ratio`, `tag` (did you mean `n`?)
    "a ${ b" 2: this `${` has no `}` (close it, or write `$${` for a literal `${`)
    "${}" 2: the expression is empty
    "${ 'x }" 3: this text literal has no end (write `$${` for a literal `${`)
    "${VAR:-x}" 5: `:` is not expected here (write `$${` for a literal `${`)
    "${VAR%.*}" 7: `*` is not expected here (write `$${` for a literal `${`)
    "${a ${b}}" 4: `$` is not expected here (inside `${ }` write variables as they are, without `$`)
    "#);
}

#[test]
fn work_is_bounded() {
    let numbers: Vec<_> = (0..2000).collect();
    let scope = Scope { parameters: json!({"l": numbers, "t": "x".repeat(100_000)}), ..Scope::default() };
    let doubling = format!("[parameters.t]{}", ".map(x, x + x)".repeat(40));
    for text in [
        "parameters.l.map(a, parameters.l.map(b, parameters.l.map(c, a + b + c)))",
        "parameters.l.exists(a, parameters.l.exists(b, parameters.l.exists(c, false)))",
        "parameters.l.all(a, parameters.l.map(b, parameters.l).size() > 0 || true)",
        "parameters.l.map(a, parameters.l)",
        "parameters.l.map(a, {'x': parameters.t})",
        "parameters.l.filter(x, parameters.t.matches('^x+$'))",
        doubling.as_str(),
    ] {
        let error = Expression::parse(text).expect(text).evaluate(&scope);
        let error = error.map(|value| value.to_string().len()).expect_err(text);
        assert!(error.message.contains("more work"), "{text}: {error}");
    }
    let fits = Expression::parse("parameters.l.filter(x, x % 2 == 0).map(x, x * 2)").expect("parses");
    assert_eq!(fits.evaluate(&scope).expect("fits").as_array().map(Vec::len), Some(1000));
}

#[test]
fn pathological_texts_are_refused_and_never_overflow_the_stack() {
    let scope = scope();
    let deepest = [
        format!("{}1{}", "(".repeat(32), ")".repeat(32)),
        format!("{}1{}", "[".repeat(32), "]".repeat(32)),
        vec!["1"; 250].join("+"),
        format!("a{}", ".b".repeat(250)),
        format!("a{}", "[0]".repeat(120)),
        format!("parameters.on{}", ".size()".repeat(60)),
        format!("{}1{}", "[1].map(x,".repeat(15), ")".repeat(15)),
        format!("{}true", "!".repeat(256)),
        format!("{}1", "true?1:".repeat(90)),
    ];
    for text in deepest {
        // Whether it has a value is not the question here.
        drop(Expression::parse(&text).and_then(|expression| expression.evaluate(&scope)));
    }
    for text in
        ["(".repeat(2000), "[".repeat(33), "1+".repeat(1000), "!".repeat(4000), "x".repeat(4097), "?".repeat(300)]
    {
        assert!(Expression::parse(&text).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_text_is_read_or_refused(text in r#"[\PC\n]{0,40}|[a-c.\[\](){}'"$?:+\-!&|=<>#0-9 /,]{0,30}"#) {
        let scope = scope();
        if let Ok(template) = Template::parse(&text) {
            drop(template.evaluate(&scope));
        }
        if let Err(error) = Expression::parse(&text).and_then(|expression| expression.evaluate(&scope)) {
            prop_assert!(error.offset <= text.chars().count());
        }
    }

    #[test]
    fn a_literal_text_comes_back(text in r"[^\u{0}]{0,20}") {
        let escaped = text.replace("${", "$${");
        prop_assume!(!text.contains("$$"));
        let back = Template::parse(&escaped).and_then(|template| template.evaluate(&scope()));
        prop_assert_eq!(back, Ok(Value::String(text)));
    }
}
