//! A commit as a whole: applications, files, findings.

use serde_json::json;

use super::*;
use crate::diagnostic::Place;
use crate::gitops::render::Partial;

/// A file with one pipeline, with which nothing is wrong.
fn good(application: &str, name: &str) -> Value {
    json!({"application": application, "pipelines": [{"name": name, "stages": [{"type": "wait"}]}]})
}

#[test]
fn applications_are_owned_and_whole() {
    let bad = json!({"application": "shop", "pipelines": [{"name": "broken", "stages": []}, {"name": "fine", "stages": [{"type": "wait"}]}]});
    let checked = check_files(&[good("shop", "a"), good("base", "a"), bad, good("shop", "b")], None);
    let summary: Vec<_> = checked
        .applications
        .iter()
        .map(|app| format!("{} {} {:?} {}", app.name, app.valid, app.files, app.pipelines.len()))
        .collect();
    assert_eq!(
        summary,
        [
            r#"base true [".longboat/1.yaml"] 1"#,
            r#"shop false [".longboat/0.yaml", ".longboat/2.yaml", ".longboat/3.yaml"] 3"#
        ]
    );
    let owned = Applications::new(vec![ApplicationRule { names: names(&["shop"]), branches: None }]);
    let foreign = check_files(&[good("shop", "a"), good("base", "a")], Some(&owned));
    assert!(!foreign.applications[0].valid && foreign.applications[1].valid);
    let twice = check_files(&[good("shop", "a"), good("shop", "a")], None);
    assert!(!twice.applications[0].valid);
    insta::assert_snapshot!(format!("{}\n{}\n{}", said(&foreign), said(&check_files(&[good("x", "a")], Some(&Applications::default()))), said(&twice)), @"
    LB0311 /application: this repository may not define the application `base` (it may define `shop`: the operator lists them in the configuration)
    LB0311 /application: this repository may not define the application `x` (it may define none: the operator lists its `applications` in the configuration)
    LB0310 : the application `shop` has a pipeline `a` already, at f.yaml:6 (give each pipeline its own name and id)
    ");
}

fn names(patterns: &[&str]) -> Names {
    Names::parse(&patterns.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>()).expect("patterns")
}

#[test]
fn an_application_for_other_branches_is_refused_where_it_is_named() {
    let rule = ApplicationRule { names: names(&["infra-*"]), branches: Some(names(&["release", "hotfix/*"])) };
    let rules = Applications::new(vec![rule]);
    let on = |branch| {
        let file = rendered(".longboat/a.yaml", &good("infra-eu", "a"));
        let permit = Permit { rules: &rules, branch };
        check_rendered(Rendered { files: vec![file], findings: Vec::new() }, &catalog(), Some(permit))
    };
    assert!(on(Some("hotfix/7")).is_valid() && on(None).is_valid());
    let refused = on(Some("main"));
    assert!(!refused.applications[0].valid);
    insta::assert_snapshot!(said(&refused), @"LB0311 /application: this repository may not define the application `infra-eu` on the branch `main` (it may on `release`, `hotfix/*`: the operator says so in the configuration)");
}

#[test]
fn each_file_about_another_repository_s_application_has_a_finding() {
    let mut checked = check_files(&[good("shop", "a"), good("base", "a"), good("shop", "b")], None);
    checked.applications[1].named_at[1].file = "g.yaml".to_owned();
    let name = |name: &str| ApplicationName::parse(name).expect("a name");
    let owner = RepositoryName::parse("acme/other").expect("a name");
    checked.refuse_foreign(&[(&name("shop"), &owner), (&name("bank"), &owner)]);
    assert_eq!(checked.findings.len(), 2, "{:?}", checked.findings);
    let valid: Vec<bool> = checked.applications.iter().map(|application| application.valid).collect();
    assert_eq!(valid, [true, false]);
}

#[test]
fn a_file_that_was_not_rendered_is_blocked_and_keeps_its_findings() {
    let finding = Diagnostic::error(Code::TemplateSyntax, "broken");
    let file = RenderedFile {
        path: ".longboat/x.yaml".to_owned(),
        root: None,
        partial: None,
        findings: vec![finding.clone()],
        modules: vec![ModuleUse {
            module: "std/x".to_owned(),
            reference: None,
            repository: Some("std".to_owned()),
            commit: None,
            file: "std/x".to_owned(),
            call: Place::point(".longboat/a.yaml", 1, 1),
            through: Vec::new(),
        }],
        files: Vec::new(),
        pins: Pins::default(),
        stacks: Arc::default(),
    };
    let checked = check_rendered(Rendered { files: vec![file], findings: Vec::new() }, &catalog(), None);
    assert_eq!(checked.blocked_files, [".longboat/x.yaml"]);
    assert_eq!(checked.findings, [finding]);
    assert_eq!((checked.files, checked.module_names()), (1, vec!["std/x".to_owned()]));
}

#[test]
fn findings_are_sorted_once_each_and_bounded() {
    let same = json!({"type": "nope"});
    let stages: Vec<_> = std::iter::repeat_n(same, 500).collect();
    let checked = check_stages(json!(stages));
    assert!(checked.findings.len() <= 201, "{}", checked.findings.len());
    let lines: Vec<_> =
        checked.findings.iter().filter_map(|finding| finding.place.as_ref()).map(|place| place.line).collect();
    assert!(lines.is_sorted());
    assert_eq!(in_order(vec![checked.findings[0].clone(), checked.findings[0].clone()]).len(), 1);
}

#[test]
fn what_is_too_much_is_refused() {
    let stages: Vec<_> = (0..1001).map(|number| json!({"id": format!("s{number}"), "type": "wait"})).collect();
    let checked = check_pipeline(json!({"name": "x".repeat(121), "stages": stages}));
    insta::assert_snapshot!(said(&checked), @"
    LB0308 /name: `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx` is not a pipeline name: 1 to 120 characters, no control characters, no `/`, no space at either end
    LB0007 /stages: `stages` has 1001 items; 1000 is the most
    ");
}

#[test]
fn secrets_are_judged_where_they_are_named() {
    use crate::config::{Names, Secret, SecretAccess, SecretPlace, SecretRules};
    use crate::model::{RepositoryName, SecretName};
    let file = |application: &str, secret: &str| {
        let env = json!({"A": "fine", "B": format!("Bearer ${{ secret('{secret}') }}")});
        let stage = json!({"id": "go", "type": "script", "command": "x", "env": env});
        json!({"application": application, "pipelines": [{"name": "p", "stages": [stage]}]})
    };
    let only = |name: &str| Some(Names::parse(&[name.to_owned()]).expect("patterns"));
    let secret = |name: &str, access: SecretAccess| {
        (SecretName::parse(name).expect("a name"), Secret { source: SecretPlace::Env("X".to_owned()), access })
    };
    let rules = SecretRules::new(&indexmap::IndexMap::from([
        secret("all", SecretAccess::default()),
        secret("main", SecretAccess { branches: only("main"), ..SecretAccess::default() }),
        secret("bank", SecretAccess { applications: only("bank"), ..SecretAccess::default() }),
        secret("infra", SecretAccess { repositories: only("acme/infra"), ..SecretAccess::default() }),
    ]));
    let repository = RepositoryName::parse("acme/shop").expect("a name");
    let judge = |application: &str, name: &str, branch: Option<&str>| {
        let mut checked = check_files(&[file(application, name), file("other", "all")], None);
        assert!(checked.findings.is_empty() && checked.secrets.len() == 2, "{checked:?}");
        checked.judge_secrets(&rules, &repository, branch);
        let valid = checked.applications.iter().filter(|application| application.valid).count();
        assert_eq!(valid, if checked.findings.is_empty() { 2 } else { 1 });
        let lines = checked.findings.iter().filter_map(|finding| finding.place.as_ref()).all(|place| place.line > 10);
        assert!(lines, "each is placed at the text that names the secret");
        said(&checked)
    };
    let judged = [
        judge("shop", "all", Some("main")),
        judge("shop", "main", Some("main")),
        judge("shop", "main", Some("develop")),
        judge("shop", "main", None),
        judge("shop", "bank", Some("main")),
        judge("bank", "bank", Some("main")),
        judge("shop", "infra", None),
        judge("shop", "man", None),
        judge("shop", "zebra", None),
    ];
    insta::assert_snapshot!(judged.join("\n"), @"
    nothing
    nothing
    LB0507 /stages/0/env/B: the secret `main` is not for the branch `develop` (the operator says in the configuration who may use it)
    nothing
    LB0507 /stages/0/env/B: the secret `bank` is not for the application `shop` (the operator says in the configuration who may use it)
    nothing
    LB0507 /stages/0/env/B: the secret `infra` is not for the repository acme/shop (the operator says in the configuration who may use it)
    LB0506 /stages/0/env/B: there is no secret `man` (did you mean `main`?)
    LB0506 /stages/0/env/B: there is no secret `zebra` (the operator adds it to `secrets` in the configuration)
    ");
}

#[test]
fn beside_what_failed_all_that_is_certain_is_said() {
    let stages = json!([
        {"id": "a", "type": "scirpt"},
        null,
        {"id": "b", "type": "wait", "wiat": 3, "needs": ["made-by-the-module"]},
        {"id": "c", "type": "wait", "needs": null, "waitTime": [1]},
        {"id": "a", "type": "wait"},
    ]);
    let document = json!({"application": "bank", "pipelines": [{"name": "p", "stages": stages}]});
    let mut file = rendered(".longboat/x.yaml", &document);
    file.partial = file.root.take().map(|root| Partial { root, has_holes: true });
    file.findings.push(Diagnostic::error(Code::ModuleNotFound, "there is no module `m`").pointer("/m"));
    let rules = Applications::new(vec![ApplicationRule { names: names(&["shop"]), branches: None }]);
    let permit = Permit { rules: &rules, branch: Some("main") };
    let checked = check_rendered(Rendered { files: vec![file], findings: Vec::new() }, &catalog(), Some(permit));
    // Nothing of the names of stages, and nothing of the one that may yet get what it needs.
    insta::assert_snapshot!(said(&checked), @r"
    LB0201 /m: there is no module `m`
    LB0311 /application: this repository may not define the application `bank` (it may define `shop`: the operator lists them in the configuration)
    LB0304 /stages/0/type: unknown stage type `scirpt` (did you mean `script`?)
    LB0301 /stages/2/wiat: a `wait` stage has no field `wiat` (known here: `waitTime`, `id`, `name`, `type`, `needs`, `when`, `onFailure`, `timeout`, `retry`, `window`, `matrix`, `forEach`, `finally`, `expectedArtifacts`, `group`)
    LB0302 /stages/3/waitTime: `waitTime` has to be a duration like `90s` or `2h`, not a list
    ");
    assert_eq!((checked.applications.len(), checked.blocked_files), (0, vec![".longboat/x.yaml".to_owned()]));
}
