//! Helper functions, variables, conditions and artifacts: what can be told before anything runs.

use super::*;

#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema counts")]
struct Set {
    #[schemars(extend("x-longboat-variables" = true))]
    variables: Vec<Variable>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema counts")]
struct Variable {
    key: String,
    value: Value,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema counts")]
struct Look {
    checks: Vec<Check>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema counts")]
struct Check {
    #[schemars(extend("x-longboat-condition" = true))]
    holds: Option<String>,
    #[schemars(extend("x-longboat-stage" = true))]
    of: Option<String>,
    #[schemars(extend("x-longboat-later" = ["moon"]))]
    at: Option<String>,
}

fn check_with(pipeline: Value) -> Checked {
    let catalog = Catalog::new(vec![
        stage_type::<Script>("script", "Runs a script"),
        stage_type::<Wait>("ask", "Asks").with_outputs(&["judgmentInput"]),
        stage_type::<Set>("set", "Sets variables"),
        stage_type::<Look>("look", "Looks"),
    ]);
    let files = vec![rendered(".longboat/a.yaml", &json!({"application": "shop", "pipelines": [pipeline]}))];
    check_rendered(Rendered { files, findings: Vec::new() }, &catalog, None)
}

/// A pipeline in which `mid` comes after `build`, `ask` and `set`, and `late` after all.
fn around(mid: Value) -> Value {
    let mut mid = mid;
    mid["id"] = json!("mid");
    mid["needs"] = json!(["build", "ask", "names"]);
    let set = |id: &str, key: &str, needs: &[&str]| json!({"id": id, "type": "set", "needs": needs, "variables": [{"key": key, "value": "${ parameters.n }"}]});
    json!({
        "name": "p",
        "parameters": [{"name": "n", "type": "integer"}],
        "expectedArtifacts": [{"id": "a1", "displayName": "the image"}],
        "stages": [
            {"id": "build", "name": "Build it", "type": "script", "command": "make"},
            {"id": "ask", "name": "Go on?", "type": "ask"},
            set("names", "version", &["build"]),
            mid,
            set("late", "after", &["mid"]),
        ],
    })
}

fn script(text: &str) -> Value {
    around(json!({"type": "script", "command": "x", "env": {"X": text}}))
}

#[test]
fn of_a_judgment_that_becomes_several_an_instance_is_named() {
    let with = |text: &str| {
        let mut pipeline = script(text);
        pipeline["stages"][1]["forEach"] = json!(["eu", "us"]);
        said(&check_with(pipeline))
    };
    assert_eq!(with("${ judgment('ask[0]') } ${ stage('ask[1]').status }"), "nothing");
    let (all, none) = (with("${ judgment('Go on?') }"), with("${ judgment('build[0]') }"));
    assert!(all.contains("`Go on?` becomes several") && all.contains(r#"`judgment("ask[...]")`"#), "{all}");
    assert!(none.contains("there is no stage `build[0]`"), "{none}");
    assert!(with("${ stage('ask[0]').statsu }").contains("has no `statsu`"));
}

#[test]
fn functions_are_checked_with_their_arguments() {
    let wrong = [
        "${ stage('Build it').outputs.image }${ stage('build').status }${ judgment('Go on?') }",
        "${ stage('Bild it').outputs.image }",
        "${ stage('build').output }",
        "${ stage('late').status }",
        "${ stage('mid').status }",
        "${ stage(parameters.which).status }",
        "${ judgment('Build it') }",
        "${ judgement('Go in?') }",
        "${ stage() }",
        "${ stage('build', 'x') }",
        "${ formatDate(execution.startTime) }",
        "${ formatDte(execution.startTime, 'yyyy') }",
        "${ now() }",
        "${ 'x'.toInt() }",
        "${ triggerResolvedArtifact('the image').name }${ triggerResolvedArtifact('a1').name }",
        "${ triggerResolvedArtifact('the imge').name }",
        "${ variables.version }${ trigger.artifacts[0].name }",
        "${ variables.vresion }",
        "${ variables.after }",
        "${ version }",
    ];
    let one = |text: &str| format!("{text}\n  {}", said(&check_with(script(text))).replace('\n', "\n  "));
    insta::assert_snapshot!(wrong.map(one).join("\n"), @r#"
    ${ stage('Build it').outputs.image }${ stage('build').status }${ judgment('Go on?') }
      nothing
    ${ stage('Bild it').outputs.image }
      LB0502 /stages/3/env/X: there is no stage `Bild it` (did you mean `Build it`?)
    ${ stage('build').output }
      LB0502 /stages/3/env/X: the stage `build` has no `output` (did you mean `outputs`?)
    ${ stage('late').status }
      LB0504 /stages/3/env/X: the stage `late` only runs after this one
    ${ stage('mid').status }
      LB0504 /stages/3/env/X: the stage `mid` uses its own outputs
    ${ stage(parameters.which).status }
      LB0502 /stages/3/env/X: the pipeline has no parameter `which` (declare it under the pipeline's `parameters`)
    ${ judgment('Build it') }
      LB0502 /stages/3/env/X: the stage `Build it` is no judgment but a `script` (name a `manualJudgment` stage)
    ${ judgement('Go in?') }
      LB0502 /stages/3/env/X: there is no stage `Go in?` (did you mean `Go on?`?)
    ${ stage() }
      LB0501 /stages/3/env/X: `${ stage() }`, character 4: `stage` takes 1 argument, not 0 (write `stage(name)`)
    ${ stage('build', 'x') }
      LB0501 /stages/3/env/X: `${ stage('build', 'x') }`, character 4: `stage` takes 1 argument, not 2 (write `stage(name)`)
    ${ formatDate(execution.startTime) }
      LB0501 /stages/3/env/X: `${ formatDate(execution.startTime) }`, character 4: `formatDate` takes 2 arguments, not 1 (write `formatDate(value, pattern)`)
    ${ formatDte(execution.startTime, 'yyyy') }
      LB0501 /stages/3/env/X: `${ formatDte(execution.startTime, 'yyyy') }`, character 4: there is no function `formatDte` (did you mean `formatDate`?)
    ${ now() }
      LB0501 /stages/3/env/X: `${ now() }`, character 4: there is no function `now` (write `execution.startTime` or `execution.createdTime`)
    ${ 'x'.toInt() }
      LB0501 /stages/3/env/X: `${ 'x'.toInt() }`, character 8: there is no function `toInt` (write `toInt(value)`)
    ${ triggerResolvedArtifact('the image').name }${ triggerResolvedArtifact('a1').name }
      nothing
    ${ triggerResolvedArtifact('the imge').name }
      LB0502 /stages/3/env/X: the pipeline expects no artifact `the imge` (did you mean `the image`?)
    ${ variables.version }${ trigger.artifacts[0].name }
      nothing
    ${ variables.vresion }
      LB0502 /stages/3/env/X: there is no variable `variables.vresion` (did you mean `version`?)
    ${ variables.after }
      LB0504 /stages/3/env/X: the stage `late`, which sets the variable `after`, only runs after this one
    ${ version }
      LB0502 /stages/3/env/X: there is no variable `version` (write `variables.version`)
    "#);
}

#[test]
fn what_a_stage_evaluates_itself_is_checked_too() {
    let look = |check: Value| around(json!({"type": "look", "checks": [check]}));
    let set = |variables: Value| around(json!({"type": "set", "variables": variables}));
    let wrong = [
        look(json!({"holds": "parameters.n > 3"})),
        look(json!({"holds": "${ parameters.n > 3 }"})),
        look(json!({"holds": "parameters.m > 3"})),
        look(json!({"holds": "parameters.n >"})),
        look(json!({"of": "Build it"})),
        look(json!({"of": "Build itt"})),
        look(json!({"of": "${ parameters.n }"})),
        look(json!({"at": "moon"})),
        set(json!([{"key": "a", "value": 1}, {"key": "b", "value": {"x": ["${ variables.a + variables.version }"]}}])),
        set(json!([{"key": "a", "value": "${ variables.b }"}, {"key": "b", "value": 1}])),
        set(json!([{"key": "a", "value": 1}, {"key": "a", "value": 2}])),
        set(json!([{"key": "${ parameters.n }", "value": "${ 1 + }"}])),
    ];
    let one = |pipeline: Value| {
        let stage = &pipeline["stages"][3];
        let text = stage.get("checks").or_else(|| stage.get("variables")).cloned().unwrap_or_default();
        format!("{text}\n  {}", said(&check_with(pipeline)).replace('\n', "\n  "))
    };
    insta::assert_snapshot!(wrong.map(one).join("\n"), @r#"
    [{"holds":"parameters.n > 3"}]
      nothing
    [{"holds":"${ parameters.n > 3 }"}]
      nothing
    [{"holds":"parameters.m > 3"}]
      LB0502 /stages/3/checks/0/holds: the pipeline has no parameter `m` (did you mean `n`?)
    [{"holds":"parameters.n >"}]
      LB0501 /stages/3/checks/0/holds: `parameters.n >`, character 15: the expression ends too early
    [{"of":"Build it"}]
      nothing
    [{"of":"Build itt"}]
      LB0502 /stages/3/checks/0/of: there is no stage `Build itt` (did you mean `Build it`?)
    [{"of":"${ parameters.n }"}]
      nothing
    [{"at":"moon"}]
      LB0901 /stages/3/checks/0/at: `moon` is not in this version of Longboat (take it out, or check it in a script)
    [{"key":"a","value":1},{"key":"b","value":{"x":["${ variables.a + variables.version }"]}}]
      nothing
    [{"key":"a","value":"${ variables.b }"},{"key":"b","value":1}]
      LB0502 /stages/3/variables/0/value: there is no variable `variables.b` (an `evaluateVariables` stage before this one has to set it)
    [{"key":"a","value":1},{"key":"a","value":2}]
      LB0306 /stages/3/variables/1/key: the variable `a` is set already in this stage
    [{"key":"${ parameters.n }","value":"${ 1 + }"}]
      LB0503 /stages/3/variables/0/key: no expression is evaluated in a variable's name
      LB0501 /stages/3/variables/0/value: `${ 1 + }`, character 7: the expression ends too early
    "#);
}

#[test]
fn artifacts_are_read_in_both_dialects() {
    let expected = json!([{
        "id": "image", "displayName": "the image", "usePriorArtifact": true, "useDefaultArtifact": true,
        "matchArtifact": {"type": "docker/image", "name": "acme/.*"},
        "defaultArtifact": {"type": "docker/image", "reference": "acme/shop:1", "metadata": {"a": 1}},
    }]);
    let longboat = json!({
        "name": "p", "expectedArtifacts": expected,
        "triggers": [{"type": "git", "expectedArtifactIds": ["image"]}],
        "stages": [{"id": "a", "type": "script", "command": "x", "group": "Build", "expectedArtifacts": expected}],
    });
    let found = pipeline(&check_with(longboat));
    assert_eq!(found.expected_artifacts[0].match_artifact.name.as_deref(), Some("acme/.*"));
    assert!(found.expected_artifacts[0].use_prior_artifact && found.expected_artifacts[0].use_default_artifact);
    assert_eq!(found.stages[0].expected_artifacts, found.expected_artifacts);
    assert_eq!(found.stages[0].group.as_deref(), Some("Build"));
    let crate::model::Trigger::Git(git) = &found.triggers[0] else { panic!("a git trigger") };
    assert_eq!(git.expected_artifact_ids, ["image"]);

    // As Deck writes it.
    let spinnaker = json!({
        "name": "p", "spelEvaluator": "v4",
        "expectedArtifacts": [{
            "id": "e1", "displayName": "x", "boundArtifact": {"name": "y"}, "useDefaultArtifact": false,
            "defaultArtifact": {"customKind": true, "id": "d1"},
            "matchArtifact": {"id": "m1", "artifactAccount": "docker", "type": "docker/image", "name": "shop"},
        }],
        "triggers": [{"type": "git", "expectedArtifactIds": ["e1"]}],
        "stages": [{"refId": "1", "type": "script", "command": "x", "requisiteStageRefIds": []}],
    });
    let checked = check_with(spinnaker);
    assert_eq!(said(&checked), "nothing");
    assert_eq!(pipeline(&checked).expected_artifacts[0].match_artifact.artifact_account.as_deref(), Some("docker"));
}

#[test]
fn what_is_wrong_with_artifacts_is_said() {
    let with = |expected: Value, ids: Value| {
        json!({
            "name": "p", "expectedArtifacts": expected, "triggers": [{"type": "git", "expectedArtifactIds": ids}],
            "stages": [{"id": "a", "type": "script", "command": "x"}],
        })
    };
    let wrong = [
        with(json!([{"matchArtifact": {}}]), json!([])),
        with(json!([{"id": "image", "matchArtefact": {}}]), json!([])),
        with(json!([{"id": "image", "matchArtifact": {"nmae": "x"}}]), json!([])),
        with(json!([{"id": "image", "matchArtifact": {"name": "a(b"}}]), json!([])),
        with(json!([{"id": "image", "useDefaultArtifact": true}]), json!([])),
        with(json!([{"id": "image"}, {"id": "image"}]), json!([])),
        with(json!([{"id": "image"}]), json!(["imgae", "other"])),
        with(json!([{"id": "image", "matchArtifact": {"version": 3, "name": "${ parameters.x }"}}]), json!([])),
    ];
    let one = |pipeline: Value| {
        let text = format!("{} {}", pipeline["expectedArtifacts"], pipeline["triggers"][0]["expectedArtifactIds"]);
        format!("{text}\n  {}", said(&check_with(pipeline)).replace('\n', "\n  "))
    };
    insta::assert_snapshot!(wrong.map(one).join("\n"), @r#"
    [{"matchArtifact":{}}] []
      LB0303 /expectedArtifacts/0: an expected artifact needs `id`
    [{"id":"image","matchArtefact":{}}] []
      LB0301 /expectedArtifacts/0/matchArtefact: an expected artifact has no field `matchArtefact` (did you mean `matchArtifact`?)
    [{"id":"image","matchArtifact":{"nmae":"x"}}] []
      LB0301 /expectedArtifacts/0/matchArtifact/nmae: an artifact has no field `nmae` (did you mean `name`?)
    [{"id":"image","matchArtifact":{"name":"a(b"}}] []
      warning LB0309 /expectedArtifacts/0/matchArtifact: `matchArtifact.name` is no regular expression (unclosed group): it is compared as it stands
    [{"id":"image","useDefaultArtifact":true}] []
      LB0303 /expectedArtifacts/0/useDefaultArtifact: `useDefaultArtifact` needs a `defaultArtifact`
    [{"id":"image"},{"id":"image"}] []
      LB0306 /expectedArtifacts/1: the artifact `image` is expected already, at line 11
    [{"id":"image"}] ["imgae","other"]
      LB0305 /triggers/0/expectedArtifactIds/0: the pipeline expects no artifact with the id `imgae` (did you mean `image`?)
      LB0305 /triggers/0/expectedArtifactIds/1: the pipeline expects no artifact with the id `other` (declare it under the pipeline's `expectedArtifacts`)
    [{"id":"image","matchArtifact":{"version":3,"name":"${ parameters.x }"}}] []
      warning LB0309 /expectedArtifacts/0/matchArtifact: `matchArtifact.name` is no regular expression (repetition quantifier expects a valid decimal): it is compared as it stands
      LB0302 /expectedArtifacts/0/matchArtifact/version: `version` has to be a string, not an integer (put it in quotes: `"3"`)
      warning LB0503 /expectedArtifacts/0/matchArtifact/name: no expression is evaluated in `name`: it is shown as it is
    "#);
}
