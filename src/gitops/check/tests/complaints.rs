//! What is said about bad ones.

use serde_json::{Value, json};

use super::*;

#[test]
fn files_are_read_as_a_whole() {
    let wrong = [
        json!([]),
        json!({}),
        json!({"aplication": "shop", "pipelines": []}),
        json!({"application": "a b", "pipelines": [], "var": {}}),
        json!({"application": "shop", "vars": [1], "pipelines": {}}),
        json!({"application": "shop", "name": "p", "stages": []}),
        json!({"application": "shop", "pipelines": [3, {"name": " x", "stages": []}, {"stages": null}]}),
        json!({"application": 12, "environment": ["x"], "pipelines": []}),
    ];
    insta::assert_snapshot!(each(&wrong, |document| check_files(&[document], None)), @r#"
    []
      LB0009 : an application file has to be a mapping, not a list
    {}
      LB0303 : an application file needs `application`
      LB0303 : an application file needs `pipelines`
    {"aplication":"shop","pipelines":[]}
      LB0303 /aplication: an application file needs `application` (there is `aplication`: was `application` meant?)
    {"application":"a b","pipelines":[],"var":{}}
      LB0308 /application: `a b` is not an application name: 1 to 100 letters, digits, `-`, `_` and `.`, not starting with `-` or `.`
      LB0301 /var: an application file has no field `var` (did you mean `vars`?)
    {"application":"shop","vars":[1],"pipelines":{}}
      LB0302 /vars: `vars` has to be a mapping, not a list
      LB0302 /pipelines: `pipelines` has to be a list, not a mapping
    {"application":"shop","name":"p","stages":[]}
      LB0303 : an application file needs `pipelines` (this looks like a single pipeline: put it into a list under `pipelines`)
    {"application":"shop","pipelines":[3,{"name":" x","stages":[]},{"stages":null}]}
      LB0009 : a pipeline has to be a mapping, not an integer
      LB0308 /pipelines/1/name: ` x` is not a pipeline name: 1 to 120 characters, no control characters, no `/`, no space at either end
      LB0404 /pipelines/1/stages: the pipeline has no stages
      LB0303 /pipelines/2: a pipeline needs `name`
      LB0303 /pipelines/2: a pipeline needs `stages`
    {"application":12,"environment":["x"],"pipelines":[]}
      LB0302 /environment: `environment` has to be a string, not a list
    "#);
    assert_eq!(check_files(&wrong[..1], None).blocked_files, [".longboat/0.yaml"]);
    assert_eq!(check_files(&wrong[4..5], None).blocked_files, [""; 0]);
}

#[test]
fn pipelines_are_read_key_by_key() {
    let stages = json!([{"id": "a", "type": "wait"}]);
    let with = |extra: Value| {
        let mut pipeline = json!({"name": "p", "stages": stages});
        pipeline.as_object_mut().expect("a map").extend(extra.as_object().expect("a map").clone());
        pipeline
    };
    let wrong = [
        with(json!({"nmae": 1})),
        with(json!({"id": "x", "description": "${ x }", "environment": 3})),
        with(json!({"timeout": "soon"})),
        with(json!({"timeout": "${ parameters.t }"})),
        with(json!({"timeout": 0})),
        with(json!({"dialect": "spinaker"})),
        with(json!({"concurrency": {"max": 0, "onNew": "que"}})),
        with(json!({"concurrency": {"max": 1}})),
        with(json!({"parameters": {}, "parameterConfig": []})),
        with(
            json!({"spelEvaluator": "v4", "limitConcurrent": true, "concurrency": {"max": 2}, "whatever": 1, "disabled": true}),
        ),
        with(json!({"spelEvaluator": "v4", "application": "other"})),
        with(json!({"stages": []})),
        with(json!({"stages": "x", "triggers": [3]})),
    ];
    insta::assert_snapshot!(each(&wrong, check_pipeline), @r#"
    {"name":"p","stages":[{"id":"a","type":"wait"}],"nmae":1}
      LB0301 /nmae: a pipeline has no field `nmae` (did you mean `name`?)
    {"name":"p","stages":[{"id":"a","type":"wait"}],"id":"x","description":"${ x }","environment":3}
      LB0308 /id: `x` is not a UUID (leave `id` out: one is made from the names of the application and the pipeline)
      warning LB0503 /description: no expression is evaluated in `description`: it is shown as it is
      LB0302 /environment: `environment` has to be a string, not an integer (put it in quotes: `"3"`)
    {"name":"p","stages":[{"id":"a","type":"wait"}],"timeout":"soon"}
      LB0307 /timeout: `timeout`: `soon` is not a duration: write `90s`, `5m`, `2h`, `3d`, `500ms`, or whole seconds, up to 3650 days
    {"name":"p","stages":[{"id":"a","type":"wait"}],"timeout":"${ parameters.t }"}
      LB0503 /timeout: no expression is evaluated in `timeout` (write a duration like `90s` or `2h`)
    {"name":"p","stages":[{"id":"a","type":"wait"}],"timeout":0}
      LB0307 /timeout: `timeout` has to be longer than no time at all (leave it out if there is no limit)
    {"name":"p","stages":[{"id":"a","type":"wait"}],"dialect":"spinaker"}
      LB0305 /dialect: `dialect` is `spinaker`, which is none of `longboat`, `spinnaker` (did you mean `spinnaker`?)
    {"name":"p","stages":[{"id":"a","type":"wait"}],"concurrency":{"max":0,"onNew":"que"}}
      LB0305 /concurrency/max: `max` has to be from 1 to 1000000, not 0
      LB0305 /concurrency/onNew: `onNew` is `que`, which is none of `queue`, `cancelRunning`, `keepNewest`
    {"name":"p","stages":[{"id":"a","type":"wait"}],"concurrency":{"max":1}}
      nothing
    {"name":"p","stages":[{"id":"a","type":"wait"}],"parameters":{},"parameterConfig":[]}
      LB0306 /parameterConfig: `parameterConfig` and `parameters` say the same thing: give one of them
    {"name":"p","stages":[{"id":"a","type":"wait"}],"spelEvaluator":"v4","limitConcurrent":true,"concurrency":{"max":2},"whatever":1,"disabled":true}
      LB0306 /concurrency: `concurrency` and `limitConcurrent` say the same thing: give one of them
      warning LB0301 /whatever: a pipeline has no field `whatever`
      LB0901 /disabled: `disabled` is not in this version of Longboat (a disabled pipeline would run: take it out of the file)
    {"name":"p","stages":[{"id":"a","type":"wait"}],"spelEvaluator":"v4","application":"other"}
      LB0306 /application: the pipeline belongs to `other`, the file to `shop` (put the pipelines of an application into files of their own)
    {"name":"p","stages":[]}
      LB0404 /stages: the pipeline has no stages
    {"name":"p","stages":"x","triggers":[3]}
      LB0302 /stages: `stages` has to be a list, not a string
      LB0009 /triggers/0: a trigger has to be a mapping, not an integer
    "#);
}

#[test]
fn parameters_are_typed() {
    let wrong = json!([
        {"nam": "x"},
        {"name": "a", "type": "integer", "default": "3"},
        {"name": "a", "type": "strng"},
        {"name": "b", "default": 3, "options": ["1", 2]},
        {"name": "c", "default": "x", "options": ["y"]},
        {"name": "d", "default": "${ x }", "required": "yes"},
        {"name": "e", "type": "number", "default": 3, "options": [1, 2.5, 3]},
        {"name": " f"},
        {"name": "g", "type": "list", "default": {}, "label": "x"},
    ]);
    let checked = check_pipeline(json!({"name": "p", "parameters": wrong, "stages": [{"type": "wait"}]}));
    insta::assert_snapshot!(said(&checked), @r#"
    LB0303 /parameters/0/nam: a parameter needs `name` (there is `nam`: was `name` meant?)
    LB0302 /parameters/1/default: `default` has to be a whole number, not a string
    LB0306 /parameters/2: the parameter `a` is declared already, at line 14
    LB0305 /parameters/2/type: `type` is `strng`, which is none of `string`, `integer`, `number`, `boolean`, `list`, `object` (did you mean `string`?)
    LB0302 /parameters/3/default: `default` has to be a string, not an integer (put it in quotes: `"3"`)
    LB0302 /parameters/3/options/1: `options[1]` has to be a string, not an integer (put it in quotes: `"2"`)
    LB0305 /parameters/4/default: the default of `c` is not one of its options
    warning LB0503 /parameters/5/default: no expression is evaluated in `default`: it is taken as it is
    LB0302 /parameters/5/required: `required` has to be true or false, not a string
    LB0308 /parameters/7/name: a parameter's name has 1 to 100 characters, no quotes, and no space at either end
    LB0302 /parameters/8/default: `default` has to be a list, not a mapping
    LB0301 /parameters/8/label: a parameter has no field `label` (known here: `name`, `type`, `required`, `default`, `options`, `description`)
    "#);
}

#[test]
fn triggers_are_read_by_their_type() {
    let wrong = json!([
        {"branches": ["main"]},
        {"type": "gti"},
        {"type": "webhok"},
        {"type": "git", "branches": "main", "path": ["x"]},
        {"type": "git", "branches": ["a[", 3], "paths": ["src/{a"]},
        {"type": "git", "branch": "(?=x)"},
        {"type": "git", "branch": "release/.*", "enabled": "no"},
        {"type": "pull_request", "events": ["opened"], "branchs": []},
        {"type": "cron", "schedule": "daily", "timezone": "Middle Earth"},
        {"type": "cron", "schedule": "0 9 * * MON-FRI", "timezone": "Europe/Berlin"},
        {"type": "pipeline", "pipeline": "build", "statuses": ["SUCCEEDED", "RUNNING", "FAILED"]},
        {"type": "pipeline"},
    ]);
    let checked = check_pipeline(json!({"name": "p", "triggers": wrong, "stages": [{"type": "wait"}]}));
    insta::assert_snapshot!(said(&checked), @r#"
    LB0303 /triggers/0: a trigger needs `type`
    LB0305 /triggers/1/type: unknown trigger type `gti` (did you mean `git`?)
    LB0305 /triggers/2/type: unknown trigger type `webhok` (did you mean `webhook`?)
    LB0302 /triggers/3/branches: `branches` has to be a list, not a string (write `[main]`)
    LB0301 /triggers/3/path: a `git` trigger has no field `path` (did you mean `paths`?)
    LB0302 /triggers/4/branches/1: `branches[1]` has to be a string, not an integer (put it in quotes: `"3"`)
    LB0309 /triggers/4/paths/0: `src/{a` is not a pattern: unclosed alternate group; missing '}' (maybe escape '{' with '[{]'?)
    LB0309 /triggers/5/branch: `(?=x)` is not a regular expression: look-around, including look-ahead and look-behind, is not supported (globs of branch names go under `branches`; look-around and back references are not supported)
    LB0302 /triggers/6/enabled: `enabled` has to be true or false, not a string
    warning LB0901 /triggers/7: this version of Longboat doesn't act on a `pull_request` trigger
    LB0301 /triggers/7/branchs: a `pull_request` trigger has no field `branchs` (did you mean `branches`?)
    LB0321 /triggers/8/schedule: the schedule can't be read: a schedule has 5 fields (or 6 or 7, from seconds on), not 1 field (write minute, hour, day of month, month and day of week, as in `0 9 * * MON-FRI`)
    LB0321 /triggers/8/timezone: `Middle Earth` is not the name of a time zone (write a name like `Europe/Berlin` or `UTC`)
    LB0305 /triggers/10/statuses/1: `RUNNING` is not a status in which an execution ends
    LB0305 /triggers/10/statuses/2: `FAILED` is not a status in which an execution ends
    LB0303 /triggers/11: a `pipeline` trigger needs `pipeline`
    "#);
}

#[test]
fn what_the_end_of_another_gives_may_be_an_expression() {
    let wrong = json!([
        {"type": "pipeline", "pipeline": "build", "parameters": {"tag": "${ trigger.parentExecution.parameters.tag }"}},
        {"type": "pipeline", "pipeline": "build", "parameters": {"tag": "${ stages.make.outputs.tag }", "tga": "${ 1 }"}},
        {"type": "pipeline", "pipeline": "build", "parameters": {"tag": "${ trigger. }"}, "status": ["successful"]},
    ]);
    let checked = check_pipeline(json!({
        "name": "p", "parameters": [{"name": "tag", "required": true}], "triggers": wrong, "stages": [{"type": "wait"}],
    }));
    insta::assert_snapshot!(said(&checked), @r#"
    LB0322 /triggers/1/parameters/tga: a `pipeline` trigger can't start the pipeline: parameter `tga` is not declared by the pipeline; did you mean `tag`?
    LB0502 /triggers/1/parameters/tag: `stages` is not known where a trigger's parameters are evaluated (only `trigger` is)
    LB0501 /triggers/2/parameters/tag: the expression ends too early
    LB0301 /triggers/2/status: a `pipeline` trigger has no field `status` (did you mean `statuses`?)
    "#);
}

#[test]
fn what_a_time_table_gives_is_held_against_the_parameters() {
    let triggers = json!([
        {"type": "cron", "schedule": "@daily", "parameters": {"mode": "full", "count": 3}},
        {"type": "cron", "schedule": "@daily", "parameters": {"mode": "ful", "cuont": 3}, "report": "yes"},
        {"type": "cron", "schedule": "@daily", "timezone": "Europe/Berln", "enabled": false},
        {"type": "cron", "cronExpression": "0 0 9 ? * MON-FRI"},
        {"type": "cron", "schedule": "0 0 9 * * 8"},
    ]);
    let parameters =
        json!([{"name": "mode", "required": true, "options": ["full"]}, {"name": "count", "type": "integer"}]);
    let checked = check_pipeline(
        json!({"name": "p", "parameters": parameters, "triggers": triggers, "stages": [{"type": "wait"}]}),
    );
    insta::assert_snapshot!(said(&checked), @r#"
    LB0322 /triggers/1/parameters/mode: a `cron` trigger can't start the pipeline: parameter `mode` must be one of `full`, not `ful`
    LB0322 /triggers/1/parameters/cuont: a `cron` trigger can't start the pipeline: parameter `cuont` is not declared by the pipeline; did you mean `count`?
    LB0302 /triggers/1/report: `report` has to be true or false, not a string
    warning LB0322 /triggers/2: a `cron` trigger can't start the pipeline: parameter `mode` is required and has no default (give it under the trigger's `parameters`, or a default where it is declared)
    LB0321 /triggers/2/timezone: `Europe/Berln` is not the name of a time zone (did you mean `Europe/Berlin`?)
    LB0303 /triggers/3: a `cron` trigger needs `schedule`
    warning LB0322 /triggers/3: a `cron` trigger can't start the pipeline: parameter `mode` is required and has no default (give it under the trigger's `parameters`, or a default where it is declared)
    LB0301 /triggers/3/cronExpression: a `cron` trigger has no field `cronExpression` (known here: `type`, `schedule`, `timezone`, `parameters`, `expectedArtifactIds`, `report`, `enabled`)
    warning LB0322 /triggers/4: a `cron` trigger can't start the pipeline: parameter `mode` is required and has no default (give it under the trigger's `parameters`, or a default where it is declared)
    LB0321 /triggers/4/schedule: the schedule can't be read: `8` is not a day of the week (days are written `SUN`, `MON`, `TUE`, `WED`, `THU`, `FRI` and `SAT`)
    "#);
}

#[test]
fn stages_are_read_by_their_type() {
    let wrong = [
        json!({"id": "a"}),
        json!({"id": "a", "type": "scirpt", "command": "x"}),
        json!({"id": "a", "type": "jenkins"}),
        json!({"id": "a b", "type": "wait"}),
        json!({"id": "a", "type": "script"}),
        json!({"id": "a", "type": "script", "comand": "x", "neds": []}),
        json!({"id": "a", "type": "script", "command": 3, "env": {"PORT": 80}, "files": {"svae": []}}),
        json!({"id": "a", "type": "wait", "waitTime": "long"}),
        json!({"id": "a", "type": "wait", "needs": "b", "timeout": "0s", "onFailure": "ignor"}),
        json!({"id": "a", "refId": "a", "type": "wait"}),
        json!({"id": "a", "type": "wait", "onFailure": "halt", "failPipeline": false}),
        json!({"id": "a", "type": "wait", "timeout": 3, "stageTimeoutMs": 3000}),
        json!({"id": "a", "type": "wait", "when": "true", "stageEnabled": {"type": "expression", "expression": "true"}}),
        json!({"refId": "a", "type": "wait", "stageEnabled": {"type": "x", "expression": "true"}, "restrictExecutionDuringTimeWindow": true}),
        json!({"refId": "a", "type": "script", "command": "x", "files": {"save": [], "zone": 1}, "cluster": "x", "notifications": []}),
        json!({"id": "a", "type": "wait", "retry": {"attempts": 0, "backof": 3, "on": ["x"]}}),
        json!({"id": "a", "type": "wait", "name": "Wait ${ parameters.n }", "needs": [{}]}),
    ];
    insta::assert_snapshot!(each(&wrong, |stage| check_stages(json!([stage]))), @r#"
    {"id":"a"}
      LB0303 /stages/0: a stage needs `type`
    {"id":"a","type":"scirpt","command":"x"}
      LB0304 /stages/0/type: unknown stage type `scirpt` (did you mean `script`?)
    {"id":"a","type":"jenkins"}
      LB0304 /stages/0/type: unknown stage type `jenkins` (there are `script`, `wait`)
    {"id":"a b","type":"wait"}
      LB0308 /stages/0/id: `a b` is not a stage id: 1 to 63 letters, digits, `_` and `-`
    {"id":"a","type":"script"}
      LB0303 /stages/0: a `script` stage needs `command`
    {"id":"a","type":"script","comand":"x","neds":[]}
      LB0301 /stages/0/comand: a `script` stage has no field `comand` (did you mean `command`?)
      LB0301 /stages/0/neds: a `script` stage has no field `neds` (did you mean `needs`?)
    {"id":"a","type":"script","command":3,"env":{"PORT":80},"files":{"svae":[]}}
      LB0302 /stages/0/command: `command` has to be a string, not an integer (`3`) (put it in quotes: `"3"`)
      LB0302 /stages/0/env/PORT: `env.PORT` has to be a string, not an integer (`80`) (put it in quotes: `"80"`)
      LB0301 /stages/0/files/svae: `files` has no field `svae` (did you mean `save`?)
    {"id":"a","type":"wait","waitTime":"long"}
      LB0307 /stages/0/waitTime: `waitTime`: `long` is not a duration: write `90s`, `5m`, `2h`, `3d`, `500ms`, or whole seconds, up to 3650 days
    {"id":"a","type":"wait","needs":"b","timeout":"0s","onFailure":"ignor"}
      LB0302 /stages/0/needs: `needs` has to be a list, not a string (write `[b]`)
      LB0307 /stages/0/timeout: `timeout` has to be longer than no time at all (leave it out if there is no limit)
      LB0305 /stages/0/onFailure: `onFailure` is `ignor`, which is none of `halt`, `haltBranch`, `haltBranchThenFail`, `ignore` (did you mean `ignore`?)
    {"id":"a","refId":"a","type":"wait"}
      LB0306 /stages/0/refId: `refId` and `id` say the same thing: give one of them
    {"id":"a","type":"wait","onFailure":"halt","failPipeline":false}
      LB0306 /stages/0/failPipeline: `failPipeline` and `onFailure` say the same thing: give one of them
    {"id":"a","type":"wait","timeout":3,"stageTimeoutMs":3000}
      LB0306 /stages/0/stageTimeoutMs: `stageTimeoutMs` and `timeout` say the same thing: give one of them
    {"id":"a","type":"wait","when":"true","stageEnabled":{"type":"expression","expression":"true"}}
      LB0306 /stages/0/stageEnabled: `stageEnabled` and `when` say the same thing: give one of them
    {"refId":"a","type":"wait","stageEnabled":{"type":"x","expression":"true"},"restrictExecutionDuringTimeWindow":true}
      LB0305 /stages/0/stageEnabled/type: `stageEnabled.type` has to be `expression`
      LB0303 /stages/0/restrictExecutionDuringTimeWindow: `restrictExecutionDuringTimeWindow` is true, and there is no `restrictedExecutionWindow` that says when
    {"refId":"a","type":"script","command":"x","files":{"save":[],"zone":1},"cluster":"x","notifications":[]}
      warning LB0301 /stages/0/files/zone: `files` has no field `zone` (known here: `save` and `from`)
      warning LB0301 /stages/0/cluster: a `script` stage has no field `cluster`
      warning LB0901 /stages/0/notifications: this version of Longboat doesn't act on `notifications`
    {"id":"a","type":"wait","retry":{"attempts":0,"backof":3,"on":["x"]}}
      LB0305 /stages/0/retry/attempts: `attempts` has to be from 1 to 100, not 0
      LB0301 /stages/0/retry/backof: `retry` has no field `backof` (did you mean `backoff`?)
    {"id":"a","type":"wait","name":"Wait ${ parameters.n }","needs":[{}]}
      warning LB0503 /stages/0/name: no expression is evaluated in `name`: it is shown as it is
      LB0302 /stages/0/needs/0: `needs[0]` has to be a string, not a mapping
    "#);
}

#[test]
fn the_graph_is_sound() {
    let stage = |id: &str, needs: &[&str]| json!({"id": id, "type": "wait", "needs": needs});
    let wrong = [
        json!([stage("a", &[]), stage("b", &["aa"])]),
        json!([stage("a", &["a"])]),
        json!([stage("a", &[]), stage("a", &[])]),
        json!([stage("a", &["c"]), stage("b", &["a"]), stage("c", &["b"]), stage("d", &["c"])]),
        json!([
            stage("r", &[]),
            stage("a", &["b", "r"]),
            stage("b", &["a"]),
            stage("c", &["b"]),
            stage("x", &["y", "c"]),
            stage("y", &["x"])
        ]),
    ];
    insta::assert_snapshot!(each(&wrong, check_stages), @r#"
    [{"id":"a","type":"wait","needs":[]},{"id":"b","type":"wait","needs":["aa"]}]
      LB0401 /stages/1/needs/0: there is no stage `aa` (did you mean `a`?)
    [{"id":"a","type":"wait","needs":["a"]}]
      LB0402 /stages/0/needs/0: the stage `a` needs itself
    [{"id":"a","type":"wait","needs":[]},{"id":"a","type":"wait","needs":[]}]
      LB0403 /stages/1/id: the id `a` is taken already, by the stage at line 21
    [{"id":"a","type":"wait","needs":["c"]},{"id":"b","type":"wait","needs":["a"]},{"id":"c","type":"wait","needs":["b"]},{"id":"d","type":"wait","needs":["c"]}]
      LB0402 /stages/0/needs/0: stages need each other in a circle: `a` → `c` → `b` → `a` (take one of these `needs` out)
    [{"id":"r","type":"wait","needs":[]},{"id":"a","type":"wait","needs":["b","r"]},{"id":"b","type":"wait","needs":["a"]},{"id":"c","type":"wait","needs":["b"]},{"id":"x","type":"wait","needs":["y","c"]},{"id":"y","type":"wait","needs":["x"]}]
      LB0402 /stages/1/needs/0: stages need each other in a circle: `a` → `b` → `a` (take one of these `needs` out)
      LB0402 /stages/4/needs/0: stages need each other in a circle: `x` → `y` → `x` (take one of these `needs` out)
    "#);
}

#[test]
fn expressions_name_what_exists_upstream() {
    let chain = |script: Value| {
        let mut script = script;
        script["id"] = json!("mid");
        script["type"] = json!("script");
        script["command"] = json!("echo ${PATH} ${ 1 + }");
        script["needs"] = json!(["start-up"]);
        json!([{"id": "start-up", "type": "wait"}, script, {"id": "end", "type": "wait", "needs": ["mid"]}, {"id": "beside", "type": "wait"}])
    };
    let env = |text: &str| chain(json!({"env": {"X": text}}));
    let wrong = [
        env("${ parameters.version }${ stages['start-up'].outputs.x }${ trigger.actor }${ execution.id }"),
        env("${ parameters.vresion }"),
        env("${ parameters.colour }"),
        env("${ stages.start-up.status }"),
        env("${ stages.strat.status }"),
        env("${ stages.end.status }"),
        env("${ stages.beside.status }"),
        env("${ stages.mid.status }"),
        env("${ stages['start-up'].output.x }"),
        env("${ stages['start-up'].contxt.x }"),
        env("${ trigger.brnach } ${ trigger.parameters.x } ${ execution.time }"),
        env("${ paramters.n }"),
        env("${HOME}"),
        env("${ vars.region } ${ branch }"),
        env("${HOME:-x}"),
        env("${ 1 + }"),
        env("${ secret('token') }"),
        env("${ 'Bearer ' + secret('token') }"),
        env("${ secret(parameters.n) }"),
        env("${ secret('to ken') }"),
        chain(json!({"when": "secret('token')"})),
        chain(json!({"files": {"save": ["${ secret('token') }"]}, "env": {"X": "x"}})),
        env("$${HOME} is fine"),
        chain(json!({"when": "stages.end.status == 'SUCCEEDED' &&"})),
        chain(json!({"when": "${ parameters.n > 3 }"})),
        chain(json!({"when": "${ parameters.n > 3 } && ${ parameters.n < 5 }"})),
        chain(json!({"when": "parameters.m > 3"})),
        chain(json!({"when": 3})),
        chain(json!({"when": true})),
    ];
    let one = |stages: Value| {
        let text =
            stages[1].get("when").or_else(|| stages[1].get("files")).unwrap_or_else(|| &stages[1]["env"]["X"]).clone();
        format!("{text}\n  {}", said(&check_stages(stages)).replace('\n', "\n  "))
    };
    insta::assert_snapshot!(wrong.map(one).join("\n"), @r#"
    "${ parameters.version }${ stages['start-up'].outputs.x }${ trigger.actor }${ execution.id }"
      nothing
    "${ parameters.vresion }"
      LB0502 /stages/1/env/X: the pipeline has no parameter `vresion` (did you mean `version`?)
    "${ parameters.colour }"
      LB0502 /stages/1/env/X: the pipeline has no parameter `colour` (declare it under the pipeline's `parameters`)
    "${ stages.start-up.status }"
      LB0502 /stages/1/env/X: there is no stage `start` (write `stages["start-up"]`)
    "${ stages.strat.status }"
      LB0502 /stages/1/env/X: there is no stage `strat`
    "${ stages.end.status }"
      LB0504 /stages/1/env/X: the stage `end` only runs after this one
    "${ stages.beside.status }"
      LB0504 /stages/1/env/X: the stage `beside` may not have run yet when this one starts (add `beside` to this stage's `needs`)
    "${ stages.mid.status }"
      LB0504 /stages/1/env/X: the stage `mid` uses its own outputs
    "${ stages['start-up'].output.x }"
      LB0502 /stages/1/env/X: the stage `start-up` has no `output` (did you mean `outputs`?)
    "${ stages['start-up'].contxt.x }"
      LB0502 /stages/1/env/X: the stage `start-up` has no `contxt` (did you mean `context`?)
    "${ trigger.brnach } ${ trigger.parameters.x } ${ execution.time }"
      LB0502 /stages/1/env/X: the trigger has no `brnach` (did you mean `branch`?)
      LB0502 /stages/1/env/X: the trigger has no `parameters` (write `parameters` alone)
      LB0502 /stages/1/env/X: the execution has no `time` (it has `id`, `application`, `pipeline`, `createdTime`, `startTime`, `status`)
    "${ paramters.n }"
      LB0502 /stages/1/env/X: there is no variable `paramters` (did you mean `parameters`?)
    "${HOME}"
      LB0502 /stages/1/env/X: there is no variable `HOME` (for a shell's variable write `$${HOME}`)
    "${ vars.region } ${ branch }"
      LB0502 /stages/1/env/X: there is no variable `vars` (`vars` exists while files are rendered: write `{{ vars.region }}`)
      LB0502 /stages/1/env/X: there is no variable `branch` (write `trigger.branch`, or `{{ branch }}` for the branch of the definition)
    "${HOME:-x}"
      LB0501 /stages/1/env/X: `${HOME:-x}`, character 7: `:` is not expected here (write `$${` for a literal `${`)
    "${ 1 + }"
      LB0501 /stages/1/env/X: `${ 1 + }`, character 7: the expression ends too early
    "${ secret('token') }"
      nothing
    "${ 'Bearer ' + secret('token') }"
      LB0505 /stages/1/env/X: `${ 'Bearer ' + secret('token') }`, character 16: `secret(...)` has to be a whole expression of its own (write `${ secret("name") }` with the name in quotes; other text stands before and after the braces)
    "${ secret(parameters.n) }"
      LB0505 /stages/1/env/X: `${ secret(parameters.n) }`, character 4: `secret(...)` has to be a whole expression of its own (write `${ secret("name") }` with the name in quotes; other text stands before and after the braces)
    "${ secret('to ken') }"
      LB0505 /stages/1/env/X: `${ secret('to ken') }`, character 4: `to ken` is not a secret's name: 1 to 100 letters, digits, `-`, `_` and `.`, not starting with `-` or `.`
    "secret('token')"
      LB0505 /stages/1/when: the secret `token` can't be used here (a script takes secrets in `env`, a request in its headers)
    {"save":["${ secret('token') }"]}
      LB0505 /stages/1/files/save/0: the secret `token` can't be used here (of this stage, `env.*` can hold one)
    "$${HOME} is fine"
      nothing
    "stages.end.status == 'SUCCEEDED' &&"
      LB0501 /stages/1/when: `stages.end.status == 'SUCCEEDED' &&`, character 36: the expression ends too early
    "${ parameters.n > 3 }"
      nothing
    "${ parameters.n > 3 } && ${ parameters.n < 5 }"
      LB0501 /stages/1/when: `${ parameters.n > 3 } && ${ parameters.n < 5 }`: `$` is not expected here (a condition is one expression, without `${ }`)
    "parameters.m > 3"
      LB0502 /stages/1/when: the pipeline has no parameter `m` (did you mean `n`?)
    3
      LB0302 /stages/1/when: `when` has to be a string, not an integer (put it in quotes: `"3"`)
    true
      nothing
    "#);
    let spinnaker =
        check_stages(json!([{"refId": "1", "type": "wait", "waitTime": "${ #stage('Build')['context'] }"}]));
    insta::assert_snapshot!(said(&spinnaker), @"LB0501 /stages/0/waitTime: `${ #stage('Build')['context'] }`, character 4: `#` is not expected here; Longboat evaluates CEL, not SpEL");
}

#[test]
fn files_are_taken_from_stages_that_have_saved_some_by_then() {
    let stage = |id: &str, needs: Value, files: Value| json!({"id": id, "type": "script", "command": "x", "needs": needs, "files": files});
    let saves = |id| stage(id, json!([]), json!({"save": ["dist"]}));
    let takes = |from: &str, needs: Value| stage("c", needs, json!({"save": [], "from": [from]}));
    let with =
        |taking: Value| json!([saves("build"), saves("other"), {"id": "quiet", "type": "wait", "needs": []}, taking]);
    for good in [takes("build", json!(["build"])), takes("parent/whatever", json!([]))] {
        assert_eq!(said(&check_stages(with(good))), "nothing");
    }
    let between =
        json!([saves("build"), {"id": "b", "type": "wait", "needs": ["build"]}, takes("build", json!(["b"]))]);
    assert_eq!(said(&check_stages(between)), "nothing");
    for (taking, expected) in [
        (
            takes("other", json!(["build"])),
            "`files.from` names `other`, which may not have run by then (add `other` to `needs`)",
        ),
        (
            takes("biuld", json!(["build"])),
            "`files.from` names `biuld`, and there is no such stage (did you mean `build`?)",
        ),
        (
            takes("c", json!(["build"])),
            "`files.from` names the stage itself (name a stage before it; its own files are still there in a shared workspace)",
        ),
        (
            takes("quiet", json!(["quiet"])),
            "`files.from` names `quiet`, which saves no files (add `files: {save: [...]}` to `quiet`)",
        ),
    ] {
        assert_eq!(said(&check_stages(with(taking))), format!("LB0405 /stages/3/files/from/0: {expected}"));
    }
}
