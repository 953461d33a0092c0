//! What Longboat's own functions do.

use serde_json::{Value, json};

use crate::expression::{Expression, ExpressionError, Scope, helpers};

fn scope() -> Scope {
    Scope {
        parameters: json!({"n": 4, "tag": "v1.2.3", "text": "a-b c", "when": "2024-02-29T13:04:05.678Z", "which": "Build it", "big": "x".repeat(300_000)}),
        trigger: json!({"resolvedExpectedArtifacts": [
            {"id": "e1", "displayName": "the image", "boundArtifact": {"type": "docker/image", "name": "shop", "version": "7"}},
        ]}),
        execution: json!({"startTime": "2024-03-01T09:00:00.000Z"}),
        stages: json!({
            "build": {"id": "build", "name": "Build it", "type": "script", "status": "SUCCEEDED", "outputs": {"image": "shop:1"}, "context": {"dir": "src"}},
            "Build it": {"id": "Build it", "name": "other", "type": "noop", "status": "SKIPPED", "outputs": {}},
            "go": {"id": "go", "name": "Go on?", "type": "manualJudgment", "status": "SUCCEEDED", "outputs": {"judgmentInput": "eu", "judgedBy": "ann"}},
            "open": {"id": "open", "name": "open", "type": "manualJudgment", "status": "RUNNING", "outputs": {}},
        }),
        artifacts: json!([
            {"artifacts": [{"name": "shop", "version": "8"}], "resolvedExpectedArtifacts": null},
            {"artifacts": [{"name": "shop", "version": "7"}, {"name": "chart"}], "resolvedExpectedArtifacts": [{"id": "e1", "displayName": "the image", "boundArtifact": {"name": "shop", "version": "7"}}]},
        ]),
        ..Scope::default()
    }
}

fn evaluate(text: &str) -> Result<Value, ExpressionError> {
    Expression::parse(text)?.evaluate(&scope())
}

#[test]
fn they_yield_what_spinnaker_s_helpers_do() {
    for (text, wanted) in [
        ("stage('Build it').outputs.image", json!("shop:1")),
        ("stage(parameters.which).status", json!("SUCCEEDED")),
        ("stage('build').context.dir", json!("src")),
        ("stage('other').status == 'SKIPPED' && stage(\"build\").type == 'script'", json!(true)),
        ("has(stage('build').outputs.digest)", json!(false)),
        ("['build', 'go'].map(name, stage(name).status)", json!(["SUCCEEDED", "SUCCEEDED"])),
        ("judgment('Go on?')", json!("eu")),
        ("judgement('go') + '!'", json!("eu!")),
        ("artifact('shop').version", json!("8")),
        ("artifact('the image').version", json!("7")),
        ("artifact('chart').name", json!("chart")),
        ("triggerResolvedArtifact('the image').version", json!("7")),
        ("triggerResolvedArtifact('e1').name", json!("shop")),
        ("triggerResolvedArtifactByType('docker/image').name", json!("shop")),
        ("toJson({'a': [1, null]})", json!(r#"{"a":[1,null]}"#)),
        ("readJson('{\"a\": [1, 2.5]}').a[1]", json!(2.5)),
        ("alphanumerical(parameters.text)", json!("abc")),
        ("toInt(' 12 ') + toInt(3.9) + toInt(-1)", json!(14)),
        ("toFloat('1.5') + toFloat(1)", json!(2.5)),
        ("toBoolean('TRUE') && !toBoolean(false)", json!(true)),
        ("toBase64('hi ü')", json!("aGkgw7w=")),
        ("fromBase64(toBase64('hi ü'))", json!("hi ü")),
        ("date('2024-02-29') < date(parameters.when)", json!(true)),
        ("formatDate(date('2024-02-28') + duration('24h'), 'yyyy-MM-dd')", json!("2024-02-29")),
        (
            "formatDate(parameters.when, \"d MMM yy HH:mm:ss.SSS EEEE 'at' h a DDD X ''\")",
            json!("29 Feb 24 13:04:05.678 Thursday at 1 PM 060 Z '"),
        ),
        ("formatDate(0, 'yyyy/M/d')", json!("1970/1/1")),
        ("dayOfWeek(execution.startTime)", json!("FRIDAY")),
        ("semver(parameters.tag).minor", json!(2)),
        ("semver('1.0.0-rc.1+b').prerelease", json!("rc.1")),
        ("semverCompare(parameters.tag, '1.10.0')", json!(-1)),
        ("semverCompare('2.0.0+a', 'v2.0.0+b')", json!(0)),
        ("semverMatches(parameters.tag, '>=1.2, <2') && !semverMatches('2.0.0', '^1')", json!(true)),
    ] {
        let value = evaluate(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(value.to_string(), wanted.to_string(), "{text}");
    }
}

#[test]
fn an_instance_of_a_judgment_is_asked_for_by_its_path() {
    let judged = |key: &str, input: &str| {
        json!({"id": format!("approve[{key}]"), "name": format!("approve ({key})"), "type": "manualJudgment",
            "status": "SUCCEEDED", "outputs": {"judgmentInput": input}})
    };
    let scope = Scope {
        stages: json!({
            "approve": {"id": "approve", "name": "Approve", "type": "manualJudgment", "status": "SUCCEEDED", "outputs":
                {"list": [{"judgmentInput": "go"}, {"judgmentInput": "wait"}], "instances": {"eu": {}, "us": {}}}},
            "approve[eu]": judged("eu", "go"),
            "approve[us]": judged("us", "wait"),
        }),
        ..Scope::default()
    };
    let evaluate = |text: &str| Expression::parse(text).expect("parses").evaluate(&scope);
    assert_eq!(evaluate("judgment('approve[eu]')"), Ok(json!("go")));
    assert_eq!(evaluate("judgment('approve[' + 'us' + ']') + stage('approve[eu]').status"), Ok(json!("waitSUCCEEDED")));
    assert_eq!(evaluate("stages.approve.outputs.list.map(one, one.judgmentInput)"), Ok(json!(["go", "wait"])));
    let error = evaluate("judgment('Approve')").expect_err("which of them");
    assert!(error.message.ends_with("each was judged by itself; name one, like `approve[eu]`"), "{}", error.message);
    let error = evaluate("judgment('approve[ue]')").expect_err("no such");
    assert!(error.message.contains("there is no stage `approve[ue]`"), "{}", error.message);
}

#[test]
fn what_they_do_not_take_is_said_with_the_value() {
    let wrong = [
        "stage('Bild it').status",
        "stage(parameters.tag).status",
        "stage(3)",
        "stage('build').outputs.imgae",
        "stage('build').outputs.image > 3",
        "judgment('open')",
        "judgment('build')",
        "artifact('shp')",
        "triggerResolvedArtifact('x')",
        "triggerResolvedArtifactByType('docker/imge')",
        "readJson('{')",
        "readJson(parameters.big)",
        "alphanumerical(3)",
        "toInt('1.5')",
        "toInt([1])",
        "toFloat('many')",
        "toBoolean('yes')",
        "fromBase64('?')",
        "fromBase64('/w==')",
        "date('tomorrow')",
        "date('2024-02-30')",
        "formatDate(parameters.when, 'YYYY')",
        "formatDate(parameters.when, \"'open\")",
        "dayOfWeek(null)",
        "semver('1.2')",
        "semverCompare(parameters.tag, 'latest')",
        "semverMatches(parameters.tag, 'about 1')",
        "toJson(b'x')",
    ];
    let one = |text: &&str| {
        let error = evaluate(text).map(|value| panic!("{text}: {value}")).unwrap_or_else(|error| error);
        let hint = error.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("{}{hint}", error.message)
    };
    insta::assert_snapshot!(wrong.iter().map(one).collect::<Vec<_>>().join("\n"), @r#"
    `stage('Bild it').status`: `stage`: there is no stage `Bild it` (did you mean `Build it`?)
    `stage(parameters.tag).status`: `stage`: there is no stage `v1.2.3`; there are `Build it`, `other`, `Go on?`, `open`; `parameters.tag` is "v1.2.3"
    `stage(3)`: `stage`: it takes a text, not an int (3)
    `stage('build').outputs.imgae`: `stages.build.outputs` has no `imgae`; it has `image` (did you mean `image`?)
    `stage('build').outputs.image > 3`: `>` doesn't take a string and an int; `stage("build").outputs.image` is "shop:1" (turn the text into a number with `int(...)`)
    `judgment('open')`: `judgment`: nobody has judged the stage `open`; it is RUNNING
    `judgment('build')`: `judgment`: the stage `build` is no judgment but a `script`
    `artifact('shp')`: `artifact`: there is no artifact `shp` (did you mean `shop`?)
    `triggerResolvedArtifact('x')`: `triggerResolvedArtifact`: there is no resolved artifact `x`; there are `the image`
    `triggerResolvedArtifactByType('docker/imge')`: `triggerResolvedArtifactByType`: there is no resolved artifact of the type `docker/imge` (did you mean `docker/image`?)
    `readJson('{')`: `readJson`: a string ("{") is not JSON: EOF while parsing an object at line 1 column 1
    `readJson(parameters.big)`: `readJson`: the text has 300000 bytes; 262144 is the most that is read
    `alphanumerical(3)`: `alphanumerical`: it takes a text, not an int (3)
    `toInt('1.5')`: `toInt`: a string ("1.5") is no whole number of 64 bits
    `toInt([1])`: `toInt`: a list ([1]) is no whole number of 64 bits
    `toFloat('many')`: `toFloat`: a string ("many") is no number
    `toBoolean('yes')`: `toBoolean`: a string ("yes") is neither `true` nor `false`
    `fromBase64('?')`: `fromBase64`: a string ("?") is not Base64: Invalid symbol 63, offset 0
    `fromBase64('/w==')`: `fromBase64`: what the Base64 text holds is not UTF-8 text
    `date('tomorrow')`: `date`: a string ("tomorrow") is no moment: write `2026-03-01`, `2026-03-01T09:30:00Z`, or milliseconds since 1970
    `date('2024-02-30')`: `date`: a string ("2024-02-30") is no moment: write `2026-03-01`, `2026-03-01T09:30:00Z`, or milliseconds since 1970
    `formatDate(parameters.when, 'YYYY')`: `formatDate`: `YYYY` means nothing in a date's pattern (text goes into single quotes); `parameters.when` is "2024-02-29T13:04:05.678Z"
    `formatDate(parameters.when, "'open")`: `formatDate`: a quote in the pattern has no end; `parameters.when` is "2024-02-29T13:04:05.678Z"
    `dayOfWeek(null)`: `dayOfWeek`: null is no moment: write `2026-03-01`, `2026-03-01T09:30:00Z`, or milliseconds since 1970
    `semver('1.2')`: `semver`: a string ("1.2") is no semantic version: unexpected end of input while parsing minor version number
    `semverCompare(parameters.tag, 'latest')`: `semverCompare`: a string ("latest") is no semantic version: unexpected character 'l' while parsing major version number; `parameters.tag` is "v1.2.3"
    `semverMatches(parameters.tag, 'about 1')`: `semverMatches`: a string ("about 1") is no range of versions: unexpected character 'a' while parsing major version number; `parameters.tag` is "v1.2.3"
    `toJson(b'x')`: `toJson`: its argument yields bytes: turn them into text with `string(...)`
    "#);
}

#[test]
fn their_work_is_bounded() {
    let long = Scope { parameters: json!({"t": "x".repeat(200_000), "l": vec![0; 2000]}), ..Scope::default() };
    for text in [
        "parameters.l.map(x, toBase64(parameters.t))",
        "parameters.l.map(x, toJson([parameters.t, parameters.t]))",
        "parameters.l.all(x, parameters.l.all(y, alphanumerical('a') == 'a'))",
    ] {
        let error = Expression::parse(text).expect(text).evaluate(&long).expect_err(text);
        assert!(error.message.contains("more work"), "{text}: {error}");
    }
}

#[test]
fn each_says_how_it_is_called() {
    for helper in helpers() {
        assert!(helper.form.ends_with(')') && helper.about.ends_with('.'), "{}", helper.form);
    }
}

#[test]
fn calls_by_name_are_told_without_running() {
    let expression = Expression::parse("1 == 1 && stage('a b').outputs['x'].y == judgment(\"j\")").expect("parses");
    let calls: Vec<_> = expression
        .calls()
        .iter()
        .map(|call| format!("{}({}) {} @{}", call.function, call.name, call.keys.join("/"), call.offset))
        .collect();
    assert_eq!(calls, ["stage(a b) outputs/x/y @10", "judgment(j)  @41"]);
}
