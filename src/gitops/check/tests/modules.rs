//! Modules that are checked by themselves, those that are built in among them.

use super::*;
use crate::gitops::{CheckedModules, Limits, MemorySource, check_modules, manual};
use crate::model::RepositoryName;

fn with<T>(files: &[(&str, &str)], work: impl FnOnce(&Request<'_>) -> T) -> T {
    let path = |name: &str| format!(".longboat/modules/{name}.yaml");
    let source = MemorySource::new(files.iter().map(|(name, text)| (path(name), text.as_bytes())));
    let (globals, limits) = (serde_json::Map::new(), Limits::default());
    let repository = RepositoryName::parse("acme/shop").expect("a name");
    work(&Request {
        source: &source,
        repository: &repository,
        branch: "main",
        globals: &globals,
        limits: &limits,
        library: None,
    })
}

fn checked(files: &[(&str, &str)]) -> CheckedModules {
    with(files, |request| check_modules(request, &crate::stage::catalog(), false))
}

/// What is found about one module, with places.
fn found(text: &str) -> Vec<String> {
    let line = |finding: &Diagnostic| {
        let place = finding.place.as_ref().expect("a place");
        let file = place.file.trim_start_matches(".longboat/modules/");
        format!("{file}:{}:{} {} {}", place.line, place.column, finding.code, finding.message)
    };
    checked(&[
        ("m", text),
        ("other", "module: {parameters: {a: {type: integer, required: true}, b: {}}}\n---\nx: {{ a }}\n"),
    ])
    .findings
    .iter()
    .filter(|finding| finding.code != Code::ModuleUntried)
    .map(line)
    .collect()
}

#[test]
fn the_built_in_modules_are_right_and_have_examples() {
    with(&[], |request| {
        let checked = check_modules(request, &crate::stage::catalog(), true);
        assert_eq!(checked.findings, []);
        let manual = manual(request);
        assert_eq!((manual.findings.len(), manual.modules.len()), (0, checked.modules));
        assert!(checked.examples >= checked.modules);
        for module in manual.modules {
            let parameters = module.parameters.as_ref().unwrap_or_else(|| panic!("{} has no header", module.name));
            assert!(module.description.is_some() && module.yields.is_some(), "{}", module.name);
            assert!(!module.examples.is_empty(), "{} has no example", module.name);
            for example in &module.examples {
                assert!(example.description.is_some(), "{}", module.name);
            }
            for parameter in parameters {
                let name = format!("{}.{}", module.name, parameter.name);
                assert!(parameter.kind.is_some() && parameter.description.is_some(), "{name}");
                // A list without the type of its items says too little.
                assert_eq!(parameter.kind == Some("list"), parameter.items.is_some(), "{name}");
            }
            let has = |name: &str| parameters.iter().any(|parameter| parameter.name == name);
            assert!(has("id") || module.yields.as_deref() == Some("trigger"), "{} has no `id`", module.name);
        }
    });
}

#[test]
fn a_body_is_looked_over_without_a_call() {
    assert_eq!(
        found(
            "module: {parameters: {image: {type: string}}}\n---\n{% set here = 1 %}\na: {{ imgae }}\nb: {{ vars.x ~ here ~ branch }}\n{% for i in range(2) %}\nc{{ i }}: {{ loop.index ~ repository }}\n{% endfor %}\nd: {{ dict(nope=1).nope }}\n"
        )[..1],
        ["m.yaml:4:7 LB0102 `imgae` is neither a parameter of `m` nor anything else that is known here"]
    );
    assert_eq!(
        found(
            "module: {parameters: {p: {type: string, required: true}}}\n---\na: {{ module('othr') }}\nb: {{ module('other', c=p) }}\nc: {{ module('other', a=1, b=p) }}\nd: {{ module(p) }}\n"
        ),
        [
            "m.yaml:3:7 LB0201 there is no module `othr`",
            "m.yaml:4:7 LB0203 the module `other` needs the parameter `a`",
            "m.yaml:4:25 LB0203 the module `other` has no parameter `c`",
        ]
    );
    assert_eq!(found("a: {{ anything }}\n"), [""; 0]);
    assert_eq!(found("module: {parameters: {a: {type: x}}}\n---\n")[0], "m.yaml:1:33 LB0206 there is no type \"x\"");
    assert_eq!(found("a: {{ 1 + }}\n").len(), 1);
}

#[test]
fn examples_are_rendered_and_checked_where_they_stand() {
    let module = "\
module:
  yields: stage
  parameters:
    command: {type: string, required: true}
    kind: {type: string, default: script}
  examples:
    - with: {command: make, needs: [a]}
    - with: {command: 5}
    - with: {command: make, kind: scirpt}
    - with: {command: make}
---
type: {{ kind }}
command: {{ command }}
";
    let found = found(module);
    assert_eq!(
        found,
        [
            "m.yaml:7:36 LB0203 the module `m` has no parameter `needs`",
            "m.yaml:8:23 LB0210 the parameter `command` of `m` is a string; 5 is an integer",
            "m.yaml:9:35 LB0304 unknown stage type `scirpt`",
        ]
    );
    let checked = checked(&[("m", module)]);
    assert_eq!((checked.modules, checked.examples), (1, 4));
}

#[test]
fn examples_know_the_stages_before_them() {
    let module = "\
module:
  yields: stages
  parameters: {of: {type: string, required: true}, needs: {type: list}}
  examples:
    - {with: {of: build, needs: [build]}, before: [{id: build, type: script, command: make, files: {save: [x]}}]}
    - {with: {of: lost, needs: [build]}}
---
- {id: take, type: script, needs: {{ needs }}, command: make, files: {from: [{{ of }}]}}
";
    assert_eq!(found(module), ["m.yaml:6:19 LB0405 `files.from` names `lost`, and there is no such stage"]);
}

#[test]
fn triggers_pipelines_and_values_are_tried_too() {
    for (yields, body, found_there) in [
        ("trigger", "{type: git, branches: [main]}", None),
        ("trigger", "{type: gti}", Some("LB0305 unknown trigger type `gti`")),
        ("pipeline", "{name: x, stages: [{type: wait, waitTime: 1}]}", None),
        ("pipeline", "{name: x, stages: []}", Some("LB0404 the pipeline has no stages")),
        ("value", "{{ [1, 2] }}", None),
        ("value", "{{ vars.nothing }}", Some("LB0102")),
        ("stage", "[]", Some("LB0212")),
        ("stages", "[]", None),
    ] {
        let found = found(&format!("module: {{yields: {yields}}}\n---\n{body}\n"));
        match found_there {
            None => assert_eq!(found, [""; 0], "{yields} {body}"),
            Some(part) => assert!(found.len() == 1 && found[0].contains(part), "{yields} {body}: {found:?}"),
        }
    }
}

#[test]
fn a_module_that_cannot_be_tried_is_a_warning() {
    let checked = checked(&[("m", "module: {parameters: {a: {required: true}}}\n---\nx: {{ a }}\n")]);
    let finding = &checked.findings[0];
    assert_eq!((finding.code, finding.is_error()), (Code::ModuleUntried, false));
    assert_eq!(finding.hint.as_deref(), Some("add `examples: [{with: {a: ...}}]` to its header"));
}

#[test]
fn the_manual_lists_broken_modules_too() {
    with(
        &[("good", "module: {description: Does it}\n---\n"), ("bad", "module: 5\n---\n"), ("plain", "a: 1\n")],
        |request| {
            let manual = manual(request);
            let own: Vec<_> = manual.modules.iter().filter(|module| module.source == "repository").collect();
            assert_eq!(
                own.iter().map(|module| (&*module.name, module.broken)).collect::<Vec<_>>(),
                [("bad", true), ("good", false), ("plain", false)]
            );
            assert_eq!(own[1].parameters.as_deref(), Some(&[][..]));
            assert!(own[2].parameters.is_none());
            assert_eq!(manual.findings.len(), 1);
        },
    );
}
