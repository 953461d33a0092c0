//! What good documents mean.

use serde_json::{Value, json};

use super::*;
use crate::model::{Dialect, Hours, OnFailure, OnNew, Over, ParameterType, Span, Trigger, Workday};

#[test]
fn a_whole_pipeline_is_read() {
    let checked = check_pipeline(json!({
        "name": "deploy it", "description": "Ships", "environment": "prod", "timeout": "2h",
        "parameters": [
            {"name": "version", "required": true, "default": "1", "options": ["1", "2"], "description": "What"},
            {"name": "n", "type": "integer", "default": 3},
        ],
        "triggers": [{"type": "git", "branches": ["main", "release/*"], "tags": ["v*"], "paths": ["src/**"], "ignorePaths": ["docs/**"]}],
        "stages": [
            {"id": "test", "type": "script", "command": "echo ${HOME}", "env": {"V": "${ parameters.version }"}},
            {"id": "wait-a-bit", "name": "Wait", "type": "wait", "waitTime": "${ parameters.n * 2 }", "needs": ["test"],
             "when": "trigger.branch == 'main' && stages.test.status == 'SUCCEEDED'", "onFailure": "haltBranchThenFail",
             "timeout": 90, "retry": {"attempts": 3}},
        ],
    }));
    assert_eq!(said(&checked), "nothing");
    let pipeline = pipeline(&checked);
    assert_eq!(pipeline.dialect, Dialect::Longboat);
    assert_eq!(pipeline.id, crate::model::pipeline_id(&pipeline.application, &pipeline.name));
    assert_eq!(pipeline.timeout.map(Span::as_millis), Some(7_200_000));
    assert_eq!(pipeline.parameters[0].options, [json!("1"), json!("2")]);
    assert_eq!(pipeline.parameters[1].kind, ParameterType::Integer);
    let [Trigger::Git(trigger)] = pipeline.triggers.as_slice() else { panic!("a git trigger") };
    assert_eq!((trigger.branches.len(), trigger.tags.len()), (2, 1));
    let [test, wait] = pipeline.stages.as_slice() else { panic!("two stages") };
    assert_eq!(
        Value::Object(test.fields.clone()),
        json!({"command": "echo ${HOME}", "env": {"V": "${ parameters.version }"}})
    );
    assert_eq!(test.raw, ["/command"]);
    assert_eq!((test.name.as_str(), wait.name.as_str()), ("test", "Wait"));
    assert_eq!(wait.on_failure, OnFailure::HaltBranchThenFail);
    assert_eq!(wait.retry.as_ref().map(|retry| (retry.attempts, retry.backoff.as_millis())), Some((3, 10_000)));
    assert_eq!(wait.when.as_deref(), Some("trigger.branch == 'main' && stages.test.status == 'SUCCEEDED'"));
    assert_eq!(wait.source.file, "f.yaml");
}

#[test]
fn a_lock_and_an_expiry_are_read() {
    let checked = check_pipeline(json!({
        "name": "p", "concurrency": {"max": 2, "onNew": "cancelRunning", "lock": "prod-db"}, "startExpiry": "12h",
        "stages": [{"id": "a", "type": "wait", "waitTime": 1}],
    }));
    assert_eq!(said(&checked), "nothing");
    let pipeline = pipeline(&checked);
    let (lane, rule) = pipeline.lane().expect("a lane");
    assert_eq!((lane.to_string().as_str(), rule.max, rule.on_new), ("lock prod-db", 2, OnNew::CancelRunning));
    assert_eq!(pipeline.start_expiry.map(Span::as_millis), Some(12 * 3_600_000));
}

#[test]
fn a_window_is_read_in_both_spellings() {
    let window = |stage: Value| {
        let checked = check_stages(json!([stage]));
        assert_eq!(said(&checked), "nothing");
        pipeline(&checked).stages.remove(0).window.expect("a window")
    };
    let own = window(json!({"id": "a", "type": "wait", "waitTime": 1, "window": {
        "days": ["mon", "fri"], "hours": ["09:00-12:30", "22:00-04:00"], "timezone": "Europe/Berlin", "jitter": "10m",
    }}));
    assert_eq!((own.days.as_slice(), own.timezone.as_str()), (&[Workday::Mon, Workday::Fri][..], "Europe/Berlin"));
    assert_eq!(own.hours, [Hours { from: 540, to: 750 }, Hours { from: 1320, to: 240 }]);
    assert_eq!(own.jitter.map(|jitter| (jitter.min.as_millis(), jitter.max.as_millis())), Some((0, 600_000)));
    let spinnakers = window(json!({"refId": "1", "type": "wait", "waitTime": 1,
        "restrictExecutionDuringTimeWindow": true,
        "restrictedExecutionWindow": {
            "days": [1, 7], "whitelist": [{"startHour": 9, "startMin": 5, "endHour": 17, "endMin": 0}],
            "jitter": {"enabled": true, "minDelay": 60, "maxDelay": 600, "skipManual": true},
        },
    }));
    assert_eq!((spinnakers.days.as_slice(), spinnakers.timezone.as_str()), (&[Workday::Sun, Workday::Sat][..], "UTC"));
    assert_eq!(spinnakers.hours, [Hours { from: 545, to: 1020 }]);
    let jitter = spinnakers.jitter.expect("some");
    assert_eq!((jitter.min.as_millis(), jitter.max.as_millis(), jitter.skip_manual), (60_000, 600_000, true));
    let off =
        check_stages(json!([{"refId": "1", "type": "wait", "waitTime": 1, "restrictExecutionDuringTimeWindow": false,
        "restrictedExecutionWindow": {"days": [1]}}]));
    assert_eq!((said(&off).as_str(), pipeline(&off).stages.remove(0).window), ("nothing", None));
}

#[test]
fn what_a_window_or_a_retry_cannot_be_is_said() {
    let wrong = |stage: Value| said(&check_stages(json!([stage])));
    let window = wrong(json!({"id": "a", "type": "wait", "waitTime": 1,
        "window": {"days": ["monday"], "hours": ["9-17"], "timezone": "Mars/Base", "jitter": "soon"}}));
    for part in
        ["`monday`, which is none of", "`9-17` is no stretch of a day", "no time zone `Mars/Base`", "/window/jitter"]
    {
        assert!(window.contains(part), "{part}: {window}");
    }
    let retry =
        wrong(json!({"id": "a", "type": "wait", "waitTime": 1, "retry": {"attempts": 2, "on": ["(", 300, true]}}));
    for part in ["`(` is no regular expression", "/retry/on/1", "/retry/on/2"] {
        assert!(retry.contains(part), "{part}: {retry}");
    }
}

#[test]
fn a_matrix_and_a_list_are_read_in_all_their_spellings() {
    let spread = |extra: Value| {
        let mut stage = json!({"id": "a", "type": "script", "command": "x", "when": "each.index < 2"});
        stage.as_object_mut().expect("a map").extend(extra.as_object().expect("a map").clone());
        let checked = check_stages(json!([stage]));
        assert_eq!(said(&checked), "nothing");
        pipeline(&checked).stages.remove(0).spread.expect("becomes several")
    };
    let matrix = spread(json!({
        "matrix": {"axes": {"os": ["linux", "darwin"], "arch": "${ parameters.version }"}, "maxParallel": 2, "failFast": false,
            "include": [{"os": "bsd", "arch": "amd64", "slow": true}], "exclude": [{"os": "darwin"}]},
        "env": {"A": "${ matrix.os } ${ matrix.slow } ${ each.key }"},
    }));
    assert_eq!((matrix.max_parallel, matrix.fail_fast, matrix.over.word()), (Some(2), false, "matrix"));
    let short = spread(json!({"forEach": ["eu", "us"], "env": {"A": "${ each.item } ${ each.index }"}}));
    assert_eq!((short.max_parallel, short.fail_fast), (None, true));
    assert_eq!(short.over, Over::ForEach { items: json!(["eu", "us"]), name: "item".to_owned() });
    let ignored = spread(json!({"forEach": "${ parameters.version }", "onFailure": "ignore"}));
    assert!(!ignored.fail_fast, "what is ignored ends nobody");
    let long = spread(json!({"forEach": {"in": [1], "as": "region"}, "env": {"A": "${ each.region }"}}));
    assert_eq!(long.over, Over::ForEach { items: json!([1]), name: "region".to_owned() });
}

#[test]
fn what_a_stage_cannot_be_spread_over_is_said() {
    let wrong = |extra: Value| {
        let mut stage = json!({"id": "a", "type": "script", "command": "x"});
        stage.as_object_mut().expect("a map").extend(extra.as_object().expect("a map").clone());
        let before = json!({"id": "b", "type": "script", "command": "x", "matrix": {"axes": {"os": ["linux"]}}});
        said(&check_stages(json!([before, stage])))
    };
    let many: Vec<u32> = (0..20).collect();
    for (extra, part) in [
        (
            json!({"matrix": {"axes": {"a": [1]}}, "forEach": [1]}),
            "LB0306 /stages/1/forEach: a stage has `matrix` or `forEach`",
        ),
        (
            json!({"matrix": {"os": ["linux"], "maxParallel": 2}}),
            "LB0303 /stages/1/matrix: the axes of a `matrix` stand below `axes` (write `matrix: {axes: {os: [...]}}`)",
        ),
        (json!({"forEach": [1], "env": {"A": "${ item }"}}), "in a stage with `forEach` write `each.item`"),
        (json!({"matrix": {}}), "LB0303 /stages/1/matrix: `matrix` needs `axes`"),
        (json!({"matrix": {"axes": {"os": "linux"}}}), "LB0302 /stages/1/matrix/axes/os: `os` has to be a list, or an"),
        (json!({"matrix": {"axes": {"o-s": ["x"]}}}), "LB0308 /stages/1/matrix/axes/o-s: `o-s` is not an axis"),
        (
            json!({"matrix": {"axes": {"a": many, "b": many}}}),
            "LB0313 /stages/1/matrix: the stage can't become that many",
        ),
        (json!({"matrix": {"axes": {"os": ["x"]}, "exclude": [{"so": "x"}]}}), "has no axis `so` (did you mean `os`?)"),
        (json!({"matrix": {"axes": {"os": ["x"]}, "include": [{"arch": "x"}]}}), "and `os` is missing"),
        (json!({"matrix": {"axes": {"os": ["x"]}, "maxParalell": 1}}), "did you mean `maxParallel`?"),
        (json!({"matrix": {"axes": {"os": ["x"]}, "maxParallel": 0}}), "from 1 to 256"),
        (
            json!({"forEach": "eu,us"}),
            "LB0302 /stages/1/forEach: `forEach` has to be a list, or an expression that yields",
        ),
        (json!({"forEach": {"as": "x"}}), "LB0303 /stages/1/forEach: `forEach` needs `in`"),
        (json!({"forEach": {"in": [1], "as": "index"}}), "`each.index` has a meaning of its own"),
        (json!({"forEach": vec![0; 300]}), "LB0313 /stages/1/forEach: `forEach` has 300 items, and 256 is the most"),
        (json!({"forEach": "${ parameters.nothing }"}), "LB0502 /stages/1/forEach: the pipeline has no parameter"),
        (json!({"forEach": {"in": ["${ each.item }"]}}), "/stages/1/forEach/in/0: there is no variable `each` here"),
        (json!({"forEach": "${ secret('x') }"}), "can't be used here"),
        (json!({"forEach": [1], "env": {"A": "${ each.itme }"}}), "`each` has no `itme` (did you mean `item`?)"),
        (json!({"forEach": [1], "env": {"A": "${ matrix.os }"}}), "there is no variable `matrix` here (write `each`"),
        (json!({"env": {"A": "${ matrix.os }"}}), "there is no variable `matrix` here (give the stage a `matrix`)"),
        (
            json!({"matrix": {"axes": {"os": [1]}}, "env": {"A": "${ matrix.so }"}}),
            "`matrix` has no `so` (did you mean `os`?)",
        ),
        (json!({"env": {"A": "${ stages['b[linux]'].outputs.x }"}}), "write `stages.b.outputs.instances[\"linux\"]`"),
    ] {
        let said = wrong(extra.clone());
        assert!(said.contains(part), "{extra}: {part}: {said}");
    }
}

#[test]
fn stages_at_the_end_have_an_order_of_their_own_and_see_all_others() {
    let script = |id: &str, extra: Value| {
        let mut stage = json!({"id": id, "type": "script", "command": "x"});
        stage.as_object_mut().expect("a map").extend(extra.as_object().expect("a map").clone());
        stage
    };
    let checked = check_stages(json!([
        script("a", json!({})),
        script("tidy", json!({"finally": true, "env": {"CODE": "${ stages.b.outputs.exitCode }"}})),
        script("b", json!({})),
        script("tell", json!({"finally": true})),
    ]));
    assert_eq!(said(&checked), "nothing");
    assert_eq!(needs(&pipeline(&checked)), "a() tidy() b(a) tell(tidy)");
    let crossed = check_stages(json!([
        script("a", json!({"needs": ["tidy"]})),
        script("tidy", json!({"finally": true, "needs": ["b"]})),
        script("b", json!({"needs": []})),
    ]));
    let crossed = said(&crossed);
    assert!(crossed.contains("can't need one that runs after all others: not `tidy`"), "{crossed}");
    assert!(crossed.contains("runs when all others have ended, whatever became of them: not `b`"), "{crossed}");
}

#[test]
fn without_needs_the_list_is_the_order() {
    let order = |stages: Value| needs(&pipeline(&check_stages(stages)));
    let script = |extra: Value| {
        let mut stage = json!({"type": "script", "command": "x"});
        stage.as_object_mut().expect("a map").extend(extra.as_object().expect("a map").clone());
        stage
    };
    assert_eq!(
        order(json!([
            script(json!({})),
            script(json!({"name": "Unit tests!"})),
            script(json!({})),
            script(json!({"id": "script-2"}))
        ])),
        "script() unit-tests(script) script-3(unit-tests) script-2(script-3)"
    );
    assert_eq!(
        order(json!([
            script(json!({"id": "a"})),
            script(json!({"id": "b", "needs": ["a", "a"]})),
            script(json!({"id": "c"}))
        ])),
        "a() b(a) c()"
    );
    assert_eq!(order(json!([script(json!({"id": "a"})), script(json!({"id": "b", "needs": []}))])), "a() b()");
}

#[test]
fn spinnakers_spelling_means_the_same() {
    let checked = check_pipeline(json!({
        "name": "Deploy", "application": "shop", "id": "6a1e6b5e-0b0c-4d6d-9c6a-111111111111", "index": 3, "spelEvaluator": "v4",
        "limitConcurrent": true, "keepWaitingPipelines": false, "lastModifiedBy": "ann", "stageCounter": 4,
        "parameterConfig": [{"name": "version", "default": 12, "hasOptions": true, "options": [{"value": "12"}, {"value": 13}], "pinned": true},
                            {"name": "empty", "default": ""}],
        "triggers": [{"type": "git", "enabled": true, "source": "github", "project": "acme", "slug": "shop", "branch": "release/.*"},
                     {"type": "git", "enabled": false, "branch": "x"}, {"type": "jenkins", "master": "m", "job": "j"}],
        "notifications": [],
        "stages": [
            {"refId": 1, "type": "script", "name": "Build", "command": "make", "requisiteStageRefIds": [], "comments": "x"},
            {"refId": "2", "type": "wait", "waitTime": 30, "requisiteStageRefIds": ["1"], "failPipeline": false, "continuePipeline": true,
             "stageEnabled": {"type": "expression", "expression": "${ parameters.version == '12' }"}, "stageTimeoutMs": 60000, "zone": "eu"},
            {"refId": "3", "type": "wait", "requisiteStageRefIds": [1, 2], "failPipeline": false, "completeOtherBranchesThenFail": true},
            {"refId": "4", "type": "wait", "failPipeline": false, "stageEnabled": {"type": "expression", "expression": ""}},
        ],
    }));
    insta::assert_snapshot!(said(&checked), @"
    warning LB0901 /triggers/2/type: this version of Longboat doesn't act on triggers of the type `jenkins`
    warning LB0901 /notifications: this version of Longboat doesn't act on `notifications`
    warning LB0301 /stages/1/zone: a `wait` stage has no field `zone`
    ");
    let pipeline = pipeline(&checked);
    assert_eq!(pipeline.dialect, Dialect::Spinnaker);
    assert_eq!(needs(&pipeline), "1() 2(1) 3(1,2) 4()");
    assert_eq!(pipeline.parameters[0].options, [json!("12"), json!("13")]);
    assert_eq!(pipeline.parameters[0].default, Some(json!("12")));
    assert_eq!(pipeline.parameters[1].default, None);
    assert_eq!(pipeline.triggers.len(), 2);
    let failures: Vec<_> = pipeline.stages.iter().map(|stage| stage.on_failure).collect();
    assert_eq!(failures, [OnFailure::Halt, OnFailure::Ignore, OnFailure::HaltBranchThenFail, OnFailure::HaltBranch]);
    assert_eq!(pipeline.stages[1].when.as_deref(), Some("parameters.version == '12'"));
    assert_eq!(pipeline.stages[1].timeout.map(Span::as_millis), Some(60_000));
    assert_eq!(Value::Object(pipeline.stages[1].fields.clone()), json!({"waitTime": 30}));
    assert_eq!(pipeline.stages[3].when, None);
}

#[test]
fn a_thousand_stages_in_a_chain_are_checked() {
    let stage = |number: usize| {
        let uses = if number == 0 { String::new() } else { "${ stages.s0.status }".to_owned() };
        json!({"id": format!("s{number}"), "type": "script", "command": "x", "env": {"X": uses}})
    };
    let checked = check_stages((0..1000).map(stage).collect());
    assert_eq!(said(&checked), "nothing");
}
