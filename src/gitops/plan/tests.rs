//! Plans of generated and of rendered pipelines: what they tell, where it stands, and that it can be applied.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::git::Changed;
use crate::gitops::{CheckedApplication, Limits, MemorySource, Request, check_with_documents};
use crate::model::{RepositoryName, SourceLine};
use crate::schema::{Catalog, Dynamic, stage_type};

#[derive(schemars::JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema counts")]
struct Script {
    command: String,
    env: Option<BTreeMap<String, String>>,
}

#[derive(schemars::JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema counts")]
struct Wait {
    wait_time: Option<Dynamic<u64>>,
}

fn rendered(files: &[(&str, &str)]) -> Checked {
    let source = MemorySource::new(files.iter().map(|(path, text)| (format!(".longboat/{path}"), *text)));
    let repository = RepositoryName::parse("acme/shop").expect("a name");
    let (globals, limits) = (Map::new(), Limits::default());
    let request = Request {
        source: &source,
        repository: &repository,
        branch: "main",
        globals: &globals,
        limits: &limits,
        library: None,
    };
    let catalog = Catalog::new(vec![stage_type::<Script>("script", "Runs"), stage_type::<Wait>("wait", "Waits")]);
    check_with_documents(&request, &catalog, None)
}

fn good(files: &[(&str, &str)]) -> Checked {
    let checked = rendered(files);
    assert!(checked.is_valid(), "{:#?}", checked.findings);
    checked
}

fn changed(paths: &[&str]) -> Changed {
    Changed { paths: paths.iter().map(|path| (*path).to_owned()).collect(), truncated: false }
}

fn planned(before: &Checked, after: &Checked) -> Plan {
    let changed = changed(&["src/main.rs"]);
    plan(before, after, Push { branch: "main", changed: &changed, tracked: true }, PRINTED_PLAN)
}

/// The changes of the one pipeline that differs, with their lines.
fn told(before: &str, after: &str) -> Vec<(String, String)> {
    let plan = planned(&good(&[("a.yaml", before)]), &good(&[("a.yaml", after)]));
    assert_eq!(plan.pipelines.len(), 1, "{plan:#?}");
    let line = |change: &Change| {
        let place = change.place.as_ref().map(SourceLine::to_string);
        (change.pointer.clone(), place.unwrap_or_default().replace(".longboat/", ""))
    };
    plan.pipelines[0].changes.iter().map(line).collect()
}

const BEFORE: &str = "\
application: shop
pipelines:
  - name: deploy
    description: Ships
    parameters:
      - {name: region, default: eu}
    triggers:
      - {type: git, branches: [main]}
    stages:
      - id: build
        type: script
        command: make
        env: {A: '1', B: '2'}
      - id: test
        type: script
        command: make test
        needs: [build]
      - id: ship
        type: script
        command: ship
        needs: [build]
";

#[test]
fn each_change_points_to_the_line_where_it_is_written() {
    let after = BEFORE
        .replace("    description: Ships\n", "")
        .replace("default: eu", "default: us")
        .replace("branches: [main]}", "branches: [main, next]}")
        .replace("B: '2'", "C: '2'")
        .replace(
            "command: ship\n        needs: [build]",
            "command: ship\n        needs:\n          - build\n          - test",
        );
    let told = told(BEFORE, &after);
    let expected = [
        ("/parameters/region/default", "a.yaml:5"),
        ("/stages/build/env/C", "a.yaml:12"),
        ("/stages/build/env/B", "a.yaml:13"),
        ("/stages/ship/needs/test", "a.yaml:22"),
        ("/description", "a.yaml:4"),
    ];
    for (pointer, place) in expected {
        assert!(told.contains(&(pointer.to_owned(), place.to_owned())), "{pointer} {place}: {told:#?}");
    }
    let triggers: Vec<_> = told.iter().filter(|(pointer, _)| pointer.starts_with("/triggers/git-")).collect();
    assert_eq!(triggers.iter().map(|(_, place)| place.as_str()).collect::<Vec<_>>(), ["a.yaml:7", "a.yaml:8"]);
    assert_eq!(told.len(), 7, "{told:#?}");
}

#[test]
fn what_a_module_yields_is_placed_where_its_author_edits_it() {
    let call = |image: &str| {
        format!(
            "application: shop\npipelines:\n  - name: deploy\n    stages:\n      - use: ship\n        with:\n          image: {image}\n"
        )
    };
    let module = "id: ship\ntype: script\ncommand: ship {{ image }}\n";
    let side = |image: &str, module: &str| good(&[("a.yaml", &call(image)), ("modules/ship.yaml", module)]);
    let plan = planned(&side("one", module), &side("one", &module.replace("ship {{", "ship -v {{")));
    let change = &plan.pipelines[0].changes[0];
    assert_eq!(change.place.as_ref().map(ToString::to_string).as_deref(), Some(".longboat/modules/ship.yaml:3"));
    assert_eq!(change.after, Some(json!("ship -v one")));
}

#[test]
fn order_place_and_spelling_are_no_difference() {
    let other = "\
# moved down
application: shop
pipelines:
  - stages:
      - {id: ship, needs: [build], command: ship, type: script}
      - {id: build, type: script, needs: [], env: {B: '2', A: '1'}, command: \"make\"}
      - {id: test, type: script, command: make test, needs: [build]}
    name: deploy
    triggers:
      - {branches: [main], type: git}
      - {branches: [main], type: git}
    parameters: [{default: eu, name: region, type: string}]
    description: Ships
";
    let plan = planned(&good(&[("a.yaml", BEFORE)]), &good(&[("b.yaml", other)]));
    assert_eq!((plan.pipelines.as_slice(), plan.unchanged, plan.cut), (&[][..], 1, false), "{plan:#?}");
}

#[test]
fn the_picture_has_the_stages_and_edges_of_both_sides() {
    let after = BEFORE
        .replace("id: test", "id: check")
        .replace("command: ship\n        needs: [build]", "command: ship\n        needs: [check]");
    let plan = planned(&good(&[("a.yaml", BEFORE)]), &good(&[("a.yaml", &after)]));
    let graph = plan.pipelines[0].graph.as_ref().expect("a picture");
    let stages: Vec<_> = graph.stages.iter().map(|stage| (stage.id.as_str(), stage.change)).collect();
    let (added, changed, removed) = (Some(ChangeKind::Added), Some(ChangeKind::Changed), Some(ChangeKind::Removed));
    assert_eq!(stages, [("build", None), ("check", added), ("ship", changed), ("test", removed)]);
    let edges: Vec<_> = graph.stages[2].needs.iter().map(|edge| (edge.stage.as_str(), edge.change)).collect();
    assert_eq!(edges, [("build", removed), ("check", added)]);
}

#[test]
fn what_a_push_starts_is_told_with_the_reason_of_what_it_does_not() {
    let file = "\
application: shop
pipelines:
  - {name: any, triggers: [{type: git}], stages: [{type: wait}]}
  - {name: by-hand, stages: [{type: wait}]}
  - {name: docs, triggers: [{type: git, branches: [main], paths: ['docs/**']}], stages: [{type: wait}]}
  - {name: next, triggers: [{type: git, branches: [next]}], stages: [{type: wait}]}
  - {name: release, triggers: [{type: git, tags: ['v*']}], stages: [{type: wait}]}
  - name: asks
    parameters: [{name: version, required: true}]
    triggers: [{type: git, branches: [main]}]
    stages: [{type: wait}]
  - {name: source, triggers: [{type: git, branches: [next]}, {type: git, paths: ['src/**']}], stages: [{type: wait}]}
";
    let checked = good(&[("a.yaml", file)]);
    let plan = planned(&checked, &checked);
    let told: Vec<_> = plan.starts.iter().map(|start| (start.pipeline.as_str(), start.starts, start.why_not)).collect();
    let expected = [
        ("any", true, None),
        ("source", true, None),
        ("asks", false, Some(WhyNot::MissingParameters)),
        ("by-hand", false, Some(WhyNot::NoGitTrigger)),
        ("docs", false, Some(WhyNot::OtherPaths)),
        ("next", false, Some(WhyNot::OtherBranch)),
        ("release", false, Some(WhyNot::OtherBranch)),
    ];
    assert_eq!((told.as_slice(), plan.starting), (&expected[..], 2));
    assert_eq!(plan.starts[2].parameters, ["version"]);
    let documents = documents(&checked);
    for start in plan.starts.iter().filter(|start| start.starts) {
        let document = &documents[&(start.application.clone(), start.pipeline.clone())];
        let trigger = start.trigger.as_deref().and_then(|pointer| document.pointer(pointer));
        assert_eq!(trigger.map(|trigger| &trigger["type"]), Some(&json!("git")), "{start:?}");
    }
    let changed = changed(&[]);
    let untracked = super::plan(&checked, &checked, Push { branch: "x", changed: &changed, tracked: false }, 1000);
    assert_eq!((untracked.starts, untracked.tracked), (Vec::new(), false));
}

#[test]
fn what_has_errors_is_named_and_not_compared() {
    let broken = BEFORE.replace("type: script\n        command: make test", "type: scirpt\n        command: make test");
    let other = BEFORE.replace("shop", "base");
    let plan = planned(
        &good(&[("a.yaml", BEFORE), ("b.yaml", &other)]),
        &rendered(&[("a.yaml", &broken), ("b.yaml", &other.replace("Ships", "Goes"))]),
    );
    assert_eq!(plan.hidden.iter().map(|name| name.as_str()).collect::<Vec<_>>(), ["shop"]);
    assert_eq!((plan.changed, plan.removed, plan.pipelines[0].application.as_str()), (1, 0, "base"));
    let starts: Vec<_> = plan.starts.iter().map(|start| (start.application.as_str(), start.why_not)).collect();
    assert_eq!(starts, [("base", None), ("shop", Some(WhyNot::Errors))]);
}

#[test]
fn a_plan_without_room_says_so_and_keeps_the_small_ones() {
    let file = |command: &str, wait: u32| {
        format!(
            "application: shop\npipelines:\n  - name: big\n    stages: [{{id: a, type: script, command: '{command}'}}]\n  \
             - name: small\n    stages: [{{id: a, type: wait, waitTime: {wait}}}]\n"
        )
    };
    let (before, after) = (file(&"x".repeat(50_000), 1), file(&"y".repeat(50_000), 2));
    let (before, after) = (good(&[("a.yaml", &before)]), good(&[("a.yaml", &after)]));
    let changed = changed(&[]);
    let plan = plan(&before, &after, Push { branch: "main", changed: &changed, tracked: true }, 4000);
    assert!(plan.cut && plan.changed == 2, "{plan:#?}");
    let size = serde_json::to_string(&plan).expect("JSON").len();
    assert!(size < 6000, "{size}");
    let (big, small) = (&plan.pipelines[0], &plan.pipelines[1]);
    assert_eq!((big.pipeline.as_str(), big.changes[0].cut, &big.changes[0].after), ("big", true, &None));
    assert_eq!((small.changes[0].after.as_ref(), small.graph.is_some()), (Some(&json!(2)), true));
    assert_eq!(apply(&plan, documents(&before)), None);
}

#[test]
fn a_plan_does_not_fit_what_it_was_not_made_for() {
    let side =
        |command: &str| good(&[("a.yaml", &BEFORE.replace("command: make\n", &format!("command: {command}\n")))]);
    let plan = planned(&side("one"), &side("two"));
    assert_eq!(apply(&plan, documents(&side("one"))), Some(documents(&side("two"))));
    assert_eq!(apply(&plan, documents(&side("three"))), None);
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![Just("build"), Just("test"), Just("a/b"), Just("~x"), Just("token"), Just("ship")]
        .prop_map(str::to_owned)
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        Just(json!(1)),
        Just(json!(1.5)),
        Just(json!(true)),
        Just(json!("")),
        Just(json!("${ secret(\"a\") }")),
        "[ -~]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name(), inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn pipeline() -> impl Strategy<Value = Value> {
    let ids = prop::collection::btree_set(prop_oneof![Just("a"), Just("b"), Just("c"), Just("d")], 0..4);
    let stage = (prop::collection::btree_map(name(), value(), 0..4), ids.clone(), any::<bool>());
    let stages = prop::collection::btree_map(prop_oneof![Just("a"), Just("b"), Just("c"), Just("d")], stage, 0..4);
    let parameters = prop::collection::btree_map(name(), (prop::option::of(value()), any::<bool>()), 0..3);
    let trigger = prop_oneof![
        prop::collection::vec("[a-c]{1,2}", 0..3).prop_map(|branches| json!({"type": "git", "branches": branches})),
        "[0-9*]{1,3}".prop_map(|schedule| json!({"type": "cron", "schedule": schedule})),
        Just(json!({"no": "type"})),
    ];
    let triggers = prop::collection::vec(trigger, 0..4);
    let artifacts = prop::collection::btree_map(name(), "[a-z]{0,3}", 0..3);
    let own = (prop::option::of("[a-c]"), prop::option::of(1_u32..4), 1_u32..90);
    (stages, parameters, triggers, artifacts, own, any::<bool>()).prop_map(
        |(stages, parameters, triggers, artifacts, (description, max, line), turned)| {
            let place = json!({"file": "x", "line": line, "column": 1, "endLine": line, "endColumn": 1});
            let stages = stages.into_iter().map(|(id, (fields, needs, halts))| {
                let on_failure = if halts { "halt" } else { "ignore" };
                json!({
                    "id": id, "name": id, "type": "x", "needs": needs, "fields": fields, "onFailure": on_failure,
                    "source": place, "raw": ["/a"],
                })
            });
            let mut stages: Vec<Value> = stages.collect();
            let parameters = parameters.into_iter().map(|(name, (default, required))| {
                let mut parameter = json!({"name": name, "required": required});
                if let Some(default) = default {
                    parameter["default"] = default;
                }
                parameter
            });
            let mut parameters: Vec<Value> = parameters.collect();
            if turned {
                stages.reverse();
                parameters.reverse();
            }
            let artifacts: Vec<_> =
                artifacts.into_iter().map(|(id, name)| json!({"id": id, "matchArtifact": {"name": name}})).collect();
            let mut all = json!({
                "application": "shop", "id": "00000000-0000-0000-0000-000000000001", "stages": stages,
                "parameters": parameters, "triggers": triggers, "expectedArtifacts": artifacts, "source": place,
            });
            if let Some(description) = description {
                all["description"] = json!(description);
            }
            if let Some(max) = max {
                all["concurrency"] = json!({"max": max});
            }
            all
        },
    )
}

/// One side of a comparison, with generated pipelines.
fn side() -> impl Strategy<Value = Checked> {
    prop::collection::btree_map("[p-s]", pipeline(), 0..4).prop_map(|all| {
        let pipelines = all.into_iter().map(|(name, mut value)| {
            value["name"] = json!(name);
            serde_json::from_value::<Pipeline>(value).expect("a pipeline")
        });
        let application = CheckedApplication {
            name: ApplicationName::parse("shop").expect("legal"),
            named_at: Vec::new(),
            files: vec!["x".to_owned()],
            pipelines: pipelines.collect(),
            valid: true,
            pins: Default::default(),
        };
        Checked { applications: vec![application], ..Checked::default() }
    })
}

/// Files that are rendered: each part is there or not, in one of two ways.
fn files() -> impl Strategy<Value = String> {
    let parts: [(&str, &str); 7] = [
        ("    description: {}\n", "    timeout: 1{}h\n"),
        ("    triggers: [{type: git, branches: [b{}]}]\n", "    triggers: [{type: git}, {type: git, tags: [v{}]}]\n"),
        ("    parameters: [{name: a, default: 'x{}'}, {name: b}]\n", "    parameters: [{name: b}, {name: c{}}]\n"),
        ("      - {id: one, type: wait, waitTime: {}}\n", "      - {id: one, type: script, command: 'x {}'}\n"),
        ("      - {id: two, type: wait, needs: [zero]}\n", "      - {id: two, name: T{}, type: wait, needs: []}\n"),
        ("      - {% if branch == 'main' %}{id: m, type: wait}{% endif %}\n", "      - {id: x{}, type: wait}\n"),
        (
            "      - {id: env, type: script, command: c, env: {A: '{}'}}\n",
            "      - use: std/approve\n        with: {instructions: q{}}\n",
        ),
    ];
    prop::collection::vec((0..3_usize, 1..9_u32), parts.len()).prop_map(move |choices| {
        let mut text = "application: shop\npipelines:\n  - name: deploy\n".to_owned();
        for (index, ((one, other), (choice, number))) in parts.iter().zip(choices).enumerate() {
            if index == 3 {
                text.push_str("    stages:\n      - {id: zero, type: wait, needs: []}\n");
            }
            let part = [*one, *other, ""][choice];
            text.push_str(&part.replace("{}", &number.to_string()));
        }
        text
    })
}

fn holds(before: &Checked, after: &Checked) -> Result<(), TestCaseError> {
    let plan = planned(before, after);
    let (old, new) = (documents(before), documents(after));
    prop_assert!(!plan.cut);
    // It is a document of its own.
    let text = serde_json::to_string(&plan).expect("JSON");
    let plan: Plan = serde_json::from_str(&text).expect("reads back");
    prop_assert_eq!(&text, &serde_json::to_string(&planned(before, after)).expect("JSON"), "the same again");
    for pipeline in &plan.pipelines {
        let name = (pipeline.application.clone(), pipeline.pipeline.clone());
        prop_assert!(!pipeline.changes.is_empty());
        for change in &pipeline.changes {
            let was = old.get(&name).and_then(|document| document.pointer(&change.pointer));
            let is = new.get(&name).and_then(|document| document.pointer(&change.pointer));
            prop_assert_eq!(change.before.as_ref(), was, "{}", &change.pointer);
            prop_assert_eq!(change.after.as_ref(), is, "{}", &change.pointer);
            prop_assert!(change.place.is_some());
            let kind = match (was, is) {
                (None, _) => ChangeKind::Added,
                (_, None) => ChangeKind::Removed,
                _ => ChangeKind::Changed,
            };
            prop_assert_eq!(change.kind, kind);
        }
    }
    prop_assert_eq!(apply(&plan, old), Some(new));
    Ok(())
}

proptest! {
    #[test]
    fn nothing_differs_from_itself(side in side()) {
        let plan = planned(&side, &side);
        prop_assert_eq!((plan.pipelines.len(), plan.all_changed(), plan.cut), (0, 0, false));
    }

    #[test]
    fn a_plan_has_both_values_of_every_pointer_and_leads_from_one_side_to_the_other(
        before in side(), after in side(),
    ) {
        holds(&before, &after)?;
    }

    #[test]
    fn there_and_back_are_mirrors(before in side(), after in side()) {
        let (there, back) = (planned(&before, &after), planned(&after, &before));
        prop_assert_eq!((there.added, there.changed, there.removed), (back.removed, back.changed, back.added));
        for (there, back) in there.pipelines.iter().zip(&back.pipelines) {
            let mut one: Vec<_> = there.changes.iter().map(|one| (&one.pointer, &one.before, &one.after)).collect();
            let mut other: Vec<_> = back.changes.iter().map(|one| (&one.pointer, &one.after, &one.before)).collect();
            one.sort_by_key(|(pointer, ..)| *pointer);
            other.sort_by_key(|(pointer, ..)| *pointer);
            prop_assert_eq!(one, other);
        }
    }

    #[test]
    fn whatever_has_no_room_a_plan_stays_small(before in side(), after in side(), room in 0..4000_usize) {
        let changed = changed(&[]);
        let plan = plan(&before, &after, Push { branch: "main", changed: &changed, tracked: true }, room);
        let heads = 600 * (plan.pipelines.len() + plan.starts.len() + 1);
        let size = serde_json::to_string(&plan).expect("JSON").len();
        prop_assert!(size <= room + heads, "{size} > {room} + {heads}");
        if !plan.cut {
            prop_assert_eq!(apply(&plan, documents(&before)), Some(documents(&after)));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn rendered_files_differ_as_their_plan_says(before in files(), after in files()) {
        let (before, after) = (rendered(&[("a.yaml", &before)]), rendered(&[("a.yaml", &after)]));
        prop_assume!(before.is_valid() && after.is_valid());
        holds(&before, &after)?;
        let same = planned(&after, &after);
        prop_assert_eq!((same.all_changed(), same.unchanged), (0, 1));
    }
}

#[test]
fn what_a_stage_is_spread_over_is_compared_where_it_is_written_and_the_picture_counts_it() {
    let file = |axes: &str| {
        format!(
            "application: shop\npipelines:\n  - name: deploy\n    stages:\n      - id: build\n        type: script\n        \
             command: make\n        matrix:\n          axes:\n            os: {axes}\n"
        )
    };
    let (before, after) = (file("[linux]"), file("[linux, darwin]"));
    assert_eq!(told(&before, &after), [("/stages/build/matrix/axes/os".to_owned(), "a.yaml:10".to_owned())]);
    let plan = planned(&good(&[("a.yaml", &before)]), &good(&[("a.yaml", &after)]));
    let graph = plan.pipelines[0].graph.as_ref().expect("a picture");
    assert_eq!(graph.stages[0].name, "build ×2");
}
