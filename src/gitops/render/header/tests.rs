//! Headers, good and wrong.

use super::super::module::Body;
use super::*;
use crate::diagnostic::Code;

fn loaded(text: &str) -> Result<Body, Vec<Diagnostic>> {
    Body::read("m.yaml", text.as_bytes().to_vec(), &Limits::default())
}

#[test]
fn headers_are_split_off_and_read() {
    let text = "# about\nmodule:\n  yields: stage\n  parameters:\n    image: {type: string, required: true}\n    n: {default: 2}\n---\ntype: {{ image }}\n";
    let module = loaded(text).expect("good");
    let header = module.header.expect("has a header");
    assert_eq!(header.parameters.len(), 2);
    assert!(header.parameters[0].required);
    assert_eq!(header.parameters[1].default.as_ref().map(|node| node.to_json()), Some(2.into()));
    assert_eq!(module.template.base, text.find("type: {{").expect("body"));
    assert!(loaded("type: wait\nmodule: x\n").expect("good").header.is_none());
    assert!(loaded("{\"module\": {}}\n---\n{}").expect("good").header.is_some());
}

#[test]
fn a_wrong_header_says_where() {
    for (text, line, message) in [
        ("module: {}\n", 1, "not followed by a body"),
        ("module: {parametres: {}}\n---\n", 1, "no `parametres`"),
        ("module:\n  parameters:\n    a: {requird: true}\n---\n", 3, "no `requird`"),
        ("module:\n  parameters: [a]\n---\n", 2, "a mapping of parameters"),
        ("module: text\n---\n", 1, "should be a mapping"),
        ("module: {}\nother: 1\n---\n", 2, "`other` can't stand"),
        ("module: {\n---\n", 1, "YAML"),
    ] {
        let findings = loaded(text).expect_err(text);
        let finding = &findings[0];
        assert!(finding.message.contains(message), "{text}: {finding}");
        if message != "YAML" {
            assert_eq!(finding.place.as_ref().map(|place| place.line), Some(line), "{text}");
        }
    }
}

/// A header with these parameters, in YAML's flow style.
fn parameters(text: &str) -> Result<Header, Vec<Diagnostic>> {
    loaded(&format!("module:\n  parameters:\n    {text}\n---\nx: 1\n")).map(|module| module.header.expect("a header"))
}

#[test]
fn a_declaration_has_to_make_sense() {
    for (text, column, message, hint) in [
        ("a: {type: strnig}", 15, "no type \"strnig\"", "did you mean `string`?"),
        ("a: {type: map}", 15, "no type \"map\"", "write `object`"),
        ("a: {type: 5}", 15, "no type 5", "there are string, integer"),
        (
            "a: {type: integer, default: x}",
            33,
            "the default of `a` doesn't fit: it is an integer; \"x\" is a string",
            "",
        ),
        ("a: {type: list, items: string, default: [x, 1]}", 49, "item 2 (1) is an integer", "quotes"),
        ("a: {required: true, default: 1}", 34, "is required and has a default", "leave one of them out"),
        ("a: {type: integer, min: 3, max: 2}", 37, "`min` is 3, and `max` is 2", "swap them"),
        ("a: {type: integer, min: 1.5}", 29, "it should be a whole number", ""),
        ("a: {type: string, min: -1}", 28, "a whole number from 0", ""),
        ("a: {type: boolean, max: 1}", 29, "for numbers, and for the length", "write `type: integer`"),
        ("a: {min: 1}", 14, "for numbers", ""),
        (
            "a: {type: string, pattern: '[a'}",
            32,
            "the pattern can't be read: unclosed character class",
            "regular expression",
        ),
        ("a: {type: string, pattern: 'a)|(b'}", 32, "the pattern can't be read", ""),
        ("a: {type: string, pattern: '(x{1000}){1000}'}", 32, "too much memory", ""),
        ("a: {type: integer, pattern: '1'}", 33, "for texts", "write `type: string`"),
        ("a: {type: enum}", 15, "an enum has `options`", "add `options:"),
        ("a: {type: enum, options: []}", 30, "a list of 1 to", ""),
        ("a: {type: enum, options: [x, [y]]}", 34, "an option is text", ""),
        ("a: {type: enum, options: [x, x]}", 34, "stands twice", ""),
        ("a: {type: enum, options: [x], default: y}", 44, "is one of \"x\"; \"y\" is none", "did you mean \"x\"?"),
        ("a: {type: string, options: [x]}", 32, "those of an enum", "write `type: enum`"),
        ("a: {type: string, items: string}", 30, "of what a list is", "write `type: list`"),
        ("a: {type: list, items: enum}", 28, "no type \"enum\"", "there are string"),
        ("a: {type: secret, default: hunter2}", 32, "takes the name of a secret, not a text", "secret("),
        ("a: {deprecated: true}", 21, "`deprecated` is a boolean", ""),
        ("a-b: {}", 5, "can't be the name of a parameter", "replica_count"),
        ("vars: {}", 5, "means something else", "another name"),
        ("a: {type: string, pattern: '[0-9]+', default: x}", 51, "has to match `[0-9]+`", "the whole text"),
    ] {
        let findings = parameters(text).expect_err(text);
        assert_eq!(findings.len(), 1, "{text}: {findings:#?}");
        let finding = &findings[0];
        let place = finding.place.as_ref().expect("a place");
        assert_eq!((finding.code, place.line, place.column), (Code::ModuleHeader, 3, column), "{text}: {finding}");
        assert!(finding.message.contains(message), "{text}: {finding}");
        assert!(finding.hint.as_deref().unwrap_or_default().contains(hint), "{text}: {finding:?}");
        assert!(!format!("{finding:?}").contains("hunter2"), "a secret is repeated: {finding:?}");
    }
    let yields = loaded("module: {yields: trigegr}\n---\n").expect_err("no such thing");
    assert_eq!(yields[0].hint.as_deref(), Some("did you mean `trigger`?"));
    let example = loaded("module: {examples: [{wiht: {}}, 1, {with: []}]}\n---\n").expect_err("no examples");
    assert_eq!(example.len(), 3, "{example:?}");
}

#[test]
fn everything_wrong_with_a_header_is_said_at_once() {
    let findings = parameters("{a: {type: x}, b: {min: 1}, c: {requird: true}, 'd e': {}}").expect_err("wrong");
    assert_eq!(findings.len(), 4, "{findings:#?}");
}

#[test]
fn values_are_held_against_the_declaration() {
    let fits = |declared: &str, value: &str| {
        let header = parameters(&format!("a: {declared}")).expect(declared);
        let text = format!("module: {{parameters: {{v: {{default: {value}}}}}}}\n---\n");
        let node =
            loaded(&text).expect(value).header.expect("a header").parameters[0].default.clone().expect("a value");
        header.parameters[0].judge(&node).map(|node| node.to_json().to_string()).map_err(|misfit| misfit.message)
    };
    for (declared, value, expected) in [
        ("{}", "[1]", Ok("[1]")),
        ("{type: integer}", "2.0", Ok("2")),
        ("{type: list, items: integer}", "[2.0, '${ x }']", Ok("[2,\"${ x }\"]")),
        ("{type: number}", "2.5", Ok("2.5")),
        ("{type: object}", "{a: 1}", Ok("{\"a\":1}")),
        ("{type: enum, options: [1, x]}", "1", Ok("1")),
        ("{type: string, min: 2, max: 2, pattern: 'é+'}", "éé", Ok("\"éé\"")),
        // What is evaluated at the run is judged there.
        ("{type: integer, max: 2}", "'${ parameters.n }'", Ok("\"${ parameters.n }\"")),
        ("{type: boolean}", "'${ a }'", Ok("\"${ a }\"")),
        ("{type: string, pattern: 'v.*'}", "'x${ a }'", Ok("\"x${ a }\"")),
        ("{type: enum, options: [x]}", "'${ a }'", Ok("\"${ a }\"")),
        ("{type: secret}", "'${ secret(\"a\") }'", Ok("\"${ secret(\\\"a\\\") }\"")),
        ("{type: integer}", "'1${ a }'", Err("is an integer; \"1${ a }\" is a string")),
        ("{type: integer}", "'2'", Err("is an integer; \"2\" is a string")),
        ("{type: integer}", "2.5", Err("is an integer; 2.5 has a fraction")),
        ("{type: integer, min: 1, max: 3}", "4", Err("is from 1 to 3; it can't be 4")),
        ("{type: number}", ".inf", Err("is a number; inf is none that is finite")),
        ("{type: number, min: 0.5}", "0.25", Err("is at least 0.5; it can't be 0.25")),
        ("{type: string}", "1.10", Err("is a string; 1.1 is a number")),
        ("{type: string, min: 2}", "a", Err("has at least 2 characters; \"a\" has 1")),
        ("{type: string, pattern: 'a|b'}", "ab", Err("has to match `a|b`; \"ab\" doesn't")),
        ("{type: boolean}", "'yes'", Err("is a boolean; \"yes\" is a string")),
        ("{type: list, max: 1}", "[1, 2]", Err("has at most 1 item; this list has 2")),
        ("{type: list}", "'${ a }'", Err("is a list; \"${ a }\" is a string")),
        ("{type: object}", "[a]", Err("is an object; this is a list")),
        ("{type: enum, options: [eu, us]}", "uk", Err("is one of \"eu\", \"us\"; \"uk\" is none of them")),
        (
            "{type: secret}",
            "'x${ secret(\"a\") }'",
            Err("takes the name of a secret, not another text with an expression"),
        ),
        ("{type: secret}", "'hunter2'", Err("takes the name of a secret, not a text")),
    ] {
        assert_eq!(fits(declared, value), expected.map(str::to_owned).map_err(str::to_owned), "{declared} {value}");
    }
}

#[test]
fn the_published_schema_has_the_same_words() {
    let files = crate::schema::files(&crate::schema::Catalog::new(Vec::new()));
    let (_, text) = files.iter().find(|(path, _)| path == "schema/module.json").expect("a schema");
    let schema: serde_json::Value = serde_json::from_str(text).expect("JSON");
    let names = |pointer: &str| -> Vec<&str> {
        let choices = schema.pointer(pointer).and_then(|list| list.as_array()).expect(pointer);
        choices.iter().filter_map(|choice| choice["const"].as_str()).collect()
    };
    assert_eq!(names("/$defs/ModuleTypeFile/oneOf"), ParameterKind::ALL.map(|(name, _)| name));
    assert_eq!(names("/$defs/YieldsFile/oneOf"), Yields::ALL.map(|(name, _)| name));
}
