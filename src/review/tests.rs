//! The whole comment in each situation, as GitHub and Bitbucket get it.

use serde_json::{Map, Value, json};

use super::runs::{Failure, Run, Runs};
use super::{Subject, layout};
use crate::clock::Timestamp;
use crate::diagnostic::{ChainLink, Code, Diagnostic, Place};
use crate::forge::{Capabilities, Markup, markdown};
use crate::model::{
    ApplicationName, Artifacts, Cause, Change, ChangeKind, CommitSha, ExecutionId, ExecutionView, Pins, PipelineChange,
    PipelineName, Plan, PlanEdge, PlanGraph, PlanStage, PlannedStart, PullRequest, PullRequestState, RepositoryName,
    Review, ReviewFinding, SourceLine, StageId, StageSource, StageView, Status, WhyNot,
};

const NOON: i64 = 1_700_000_000_000;

fn sha(letter: char) -> CommitSha {
    CommitSha::parse(&letter.to_string().repeat(40)).expect("legal")
}

fn pull_request(state: PullRequestState) -> PullRequest {
    PullRequest {
        repository: RepositoryName::parse("acme/shop").expect("legal"),
        number: 7,
        title: "Ship faster @everyone".to_owned(),
        state,
        head: sha('b'),
        head_branch: "faster".to_owned(),
        head_repository: Some("acme/shop".to_owned()),
        fork: false,
        target_branch: "main".to_owned(),
        author: Some("ann".to_owned()),
        merge_commit: (state == PullRequestState::Merged).then(|| sha('c')),
    }
}

fn good() -> Review {
    Review {
        commit: sha('b'),
        target_branch: "main".to_owned(),
        files: 1,
        pipelines: 3,
        findings: Vec::new(),
        errors: 0,
        warnings: 0,
        errors_before: 0,
        changed: 3,
        pins: Pins::default(),
        plan: Some(Plan {
            pipelines: vec![deploy(), nightly()],
            changed: 2,
            added: 1,
            starts: vec![
                start("deploy", None),
                start("asks", Some(WhyNot::MissingParameters)),
                start("nightly", Some(WhyNot::NoGitTrigger)),
            ],
            starting: 1,
            tracked: true,
            ..Plan::default()
        }),
        base: Some(sha('a')),
        dependents: None,
        trouble: None,
    }
}

fn change(pointer: &str, before: Option<Value>, after: Option<Value>) -> Change {
    let kind = match (&before, &after) {
        (None, _) => ChangeKind::Added,
        (_, None) => ChangeKind::Removed,
        _ => ChangeKind::Changed,
    };
    let place = Some(SourceLine { file: ".longboat/deploy.yaml".to_owned(), line: 12 });
    Change { kind, pointer: pointer.to_owned(), before, after, place, cut: false }
}

fn pipeline(name: &str, kind: ChangeKind, changes: Vec<Change>, graph: Option<PlanGraph>) -> PipelineChange {
    PipelineChange {
        application: ApplicationName::parse("shop").expect("legal"),
        pipeline: PipelineName::parse(name).expect("legal"),
        kind,
        place: SourceLine { file: ".longboat/deploy.yaml".to_owned(), line: 3 },
        changes,
        left_out: 0,
        graph,
    }
}

fn deploy() -> PipelineChange {
    let id = |id: &str| StageId::parse(id).expect("legal");
    let stage = |name: &str, change, needs: &[&str]| PlanStage {
        id: id(name),
        name: name.to_owned(),
        kind: "script".to_owned(),
        change,
        needs: needs.iter().map(|need| PlanEdge { stage: id(need), change }).collect(),
    };
    let added = Some(ChangeKind::Added);
    let graph =
        PlanGraph { stages: vec![stage("bake", Some(ChangeKind::Changed), &[]), stage("smoke", added, &["bake"])] };
    let changes = vec![
        change("/stages/bake/image", Some(json!("a@everyone")), Some(json!("b"))),
        change("/stages/bake/command", Some(json!("one\ntwo\n")), Some(json!("one\n```\n"))),
        change("/stages/smoke", None, Some(json!({"type": "script", "needs": {"bake": true}}))),
    ];
    pipeline("deploy", ChangeKind::Changed, changes, Some(graph))
}

fn nightly() -> PipelineChange {
    let document = json!({"triggers": {"cron-1": {"type": "cron", "schedule": "0 3 * * *"}}, "stages": {"clean": {"type": "wait"}}});
    pipeline("nightly", ChangeKind::Added, vec![change("", None, Some(document))], None)
}

fn start(name: &str, why_not: Option<WhyNot>) -> PlannedStart {
    PlannedStart {
        application: ApplicationName::parse("shop").expect("legal"),
        pipeline: PipelineName::parse(name).expect("legal"),
        starts: why_not.is_none(),
        why_not,
        trigger: None,
        parameters: if why_not == Some(WhyNot::MissingParameters) { vec!["version".to_owned()] } else { Vec::new() },
        otherwise: Vec::new(),
    }
}

fn bad() -> Review {
    let unknown = Diagnostic::error(Code::UnknownStageType, "there is no stage type `scirpt`")
        .at(Place::point(".longboat/deploy.yaml", 14, 11))
        .hint("did you mean `script`?");
    let mut missing = Diagnostic::error(Code::MissingKey, "`image` is missing; ask @acme/ops, see #12")
        .at(Place::point(".longboat/modules/bake.yaml", 3, 1));
    missing.chain.push(ChainLink {
        file: ".longboat/deploy.yaml".to_owned(),
        line: 20,
        column: 5,
        module: "bake".to_owned(),
    });
    let warning = Diagnostic::warning(Code::NotInThisVersion, "`triggers[1]`: cron triggers are kept and not acted on");
    let snippet = "12 |   stages:\n13 |     - id: test\n14 |       type: scirpt\n   |             ^^^^^^";
    Review {
        pipelines: 1,
        findings: vec![
            ReviewFinding { finding: unknown, snippet: Some(snippet.to_owned()) },
            ReviewFinding { finding: missing, snippet: None },
            ReviewFinding { finding: warning, snippet: None },
        ],
        errors: 3,
        warnings: 1,
        changed: 0,
        pins: Pins::default(),
        plan: None,
        ..good()
    }
}

fn stage(name: &str, status: Status, start: i64, end: Option<i64>) -> StageView {
    let at = |seconds: i64| Timestamp::from_millis(NOON + seconds * 1000);
    StageView {
        id: StageId::parse(name).expect("legal"),
        path: (&StageId::parse(name).expect("legal")).into(),
        kind: "script".to_owned(),
        name: name.to_owned(),
        needs: Vec::new(),
        status,
        attempt: 1,
        start_time: end.map(|_| at(start)),
        end_time: end.map(at),
        instance_of: None,
        instance: None,
        instances: None,
        outputs: Map::new(),
        error: (status == Status::Terminal).then(|| "exit code 1".to_owned()),
        waiting_for: None,
        progress: crate::model::StageProgress::default(),
        group: None,
        context: Map::new(),
        source: StageSource { file: ".longboat/deploy.yaml".to_owned(), line: 9, commit: Some(sha('c')) },
    }
}

fn view(name: &str, status: Status, description: &str, stages: Vec<StageView>) -> ExecutionView {
    ExecutionView {
        id: ExecutionId(uuid::Uuid::from_u128(7)),
        application: ApplicationName::parse("shop").expect("legal"),
        pipeline: PipelineName::parse(name).expect("legal"),
        status,
        description: description.to_owned(),
        repository: None,
        commit: Some(sha('c')),
        trigger: Cause::default(),
        parameters: Map::new(),
        artifacts: Artifacts::default(),
        created_time: Timestamp::from_millis(NOON),
        start_time: None,
        end_time: None,
        canceled_by: None,
        held: None,
        compacted_time: None,
        paused: None,
        stranded: None,
        restarts: Vec::new(),
        children: Vec::new(),
        stages,
    }
}

fn went_well() -> Run {
    let stages = vec![
        stage("test", Status::Succeeded, 0, Some(42)),
        stage("bake", Status::Succeeded, 42, Some(130)),
        stage("announce", Status::Skipped, 130, None),
    ];
    Run { view: view("deploy", Status::Succeeded, "Succeeded in 2m 10s", stages), failure: None }
}

fn failed() -> Run {
    let stages = vec![
        stage("test", Status::Succeeded, 0, Some(42)),
        stage("bake", Status::Terminal, 42, Some(45)),
        stage("announce", Status::NotStarted, 0, None),
    ];
    let failure = Failure {
        stage: "bake".to_owned(),
        error: Some("exit code 1".to_owned()),
        lines: vec!["+ docker push registry/shop".to_owned(), "denied: ```access``` @team token=***".to_owned()],
    };
    Run { view: view("deploy", Status::Terminal, "Failed: bake, exit code 1", stages), failure: Some(failure) }
}

fn runs() -> Run {
    Run { view: view("nightly", Status::Running, "Running: test (1 of 3)", Vec::new()), failure: None }
}

/// Checks that lines stand in a text, in this order.
fn in_order(text: &str, lines: &[&str]) {
    let mut rest = text;
    for line in lines {
        let Some((_, after)) = rest.split_once(line) else { panic!("`{line}` is missing, or too early, in\n{text}") };
        rest = after;
    }
}

/// What both kinds of forges get.
fn written(state: PullRequestState, review: Option<&Review>, told: Option<Vec<Run>>) -> String {
    let pull_request = pull_request(state);
    let runs = told.map(|told| Runs { all: told.len(), told });
    let comment = layout::comment(&Subject { pull_request: &pull_request, review, runs });
    let write = |limit, markup: Markup| {
        let forge = Capabilities { comment_limit: limit, markup, ..Capabilities::NONE };
        let marker = markdown::marker(&pull_request.repository, pull_request.number, markup);
        markdown::write(&comment, &forge, Some("https://cd.example.com"), &marker)
    };
    let github = write(65_536, Markup { folding: true, hidden_text: true, mermaid: true });
    let bitbucket = write(32_768, Markup { folding: false, hidden_text: false, mermaid: false });
    format!("--- GitHub\n{github}\n--- Bitbucket\n{bitbucket}\n")
}

#[test]
fn errors_come_first_with_file_line_and_snippet() {
    let text = written(PullRequestState::Open, Some(&bad()), None);
    let lines = [
        "--- GitHub\n### ❌ Failed: 3 errors, 1 warning\n\n",
        "Checked `bbbbbbb` as `main` would be after the merge. Nothing of it was run.\n\n",
        "❌ `.longboat/deploy.yaml:14` there is no stage type `scirpt` (`LB0304`)\n\n",
        "```\n12 |   stages:\n13 |     - id: test\n14 |       type: scirpt\n   |             ^^^^^^\n```\n\n",
        "- Hint: did you mean `script`?\n\n",
        "❌ `.longboat/modules/bake.yaml:3` `image` is missing; ask @\u{2060}acme/ops, see #\u{2060}12 (`LB0303`)\n\n",
        "- in the call of `bake` at `.longboat/deploy.yaml:20`\n\n",
        "Not listed here: 1 further error.\n\n",
        "Which pipelines the merge would change can be told once the errors are fixed.\n\n",
        "<details><summary>1 warning</summary>\n\n",
        "</details>\n\nTo check again, comment `/longboat check`.\n\n<!-- longboat:acme/shop#7 -->\n",
        "--- Bitbucket\n### ❌ Failed: 3 errors, 1 warning\n\n",
        "\n\n1 warning\n\n",
        "\n\n`longboat: acme/shop#7`\n",
    ];
    in_order(&text, &lines);
    assert!(!text.contains("@acme") && !text.contains("everyone"), "{text}");
}

#[test]
fn a_good_one_says_what_the_merge_changes() {
    let text = written(PullRequestState::Open, Some(&good()), None);
    let lines = [
        "### ✅ Good: 3 pipelines valid, 3 change\n\n",
        "#### What the merge changes\n\n",
        "`shop/deploy` **changed**: 3 differences\n\n",
        "- **changed** stage `bake`: `image` from `a@everyone` to `b` · `.longboat/deploy.yaml:12`\n",
        "- **added** stage `smoke`, `script`, after `bake` · `.longboat/deploy.yaml:12`\n\n",
        "**changed** stage `bake`: `command` differs · `.longboat/deploy.yaml:12`\n\n````diff\n- two\n+ ```\n````\n\n",
        "```mermaid\nflowchart LR\n  n0[\"bake (changed)\"]:::changed\n  n1[\"smoke (added)\"]:::added\n  n0 ==> n1\n",
        "`shop/nightly` **added**\n\n- **added** trigger `cron`, schedule `0 3 * * *`\n- **added** stage `clean`, `wait`\n\n",
        "And 1 pipeline more.\n\n",
        "#### What the merge starts\n\n- `shop/deploy`\n- ⚠️ `shop/asks` can't start: no value for the required `version`\n\n",
        "<details><summary>1 pipeline is not started</summary>\n\n- `shop/nightly`: it has no git trigger\n\n</details>\n\n",
        "--- Bitbucket\n",
        "`shop/deploy` **changed**: 3 differences\n\n- **changed** stage `bake`",
        "1 pipeline is not started\n\n- `shop/nightly`",
    ];
    in_order(&text, &lines);
    let (_, bitbucket) = text.split_once("--- Bitbucket").expect("both");
    assert!(!bitbucket.contains("mermaid"), "{bitbucket}");
}

#[test]
fn what_the_merge_starts_stays_where_the_differences_have_no_room() {
    let mut many = good();
    let plan = many.plan.as_mut().expect("a plan");
    let long = |number: u32| {
        let lines = |word: &str| {
            json!((0..40).map(|line| format!("{word} {line}{}", "x".repeat(90))).collect::<Vec<_>>().join("\n"))
        };
        let name = format!("p{number}");
        let command = change("/stages/0/command", Some(lines("old")), Some(lines("new")));
        pipeline(&name, ChangeKind::Changed, vec![command; 4], None)
    };
    plan.pipelines = (0..100).map(long).collect();
    many.changed = 100;
    let text = written(PullRequestState::Open, Some(&many), None);
    assert_eq!(text.matches("more parts had no room").count(), 2, "{text}");
    let starts = "#### What the merge starts\n\n- `shop/deploy`\n- ⚠️ `shop/asks` can't start: no value for the required `version`\n\n";
    assert_eq!(text.matches(starts).count(), 2, "{text}");
}

#[test]
fn many_pipelines_are_folded_and_the_rest_is_counted() {
    let mut many = good();
    let plan = many.plan.as_mut().expect("a plan");
    plan.pipelines = (0..5).map(|number| PipelineChange { left_out: number, ..deploy() }).collect();
    plan.hidden = vec!["bank".parse().expect("legal")];
    plan.starts.clear();
    plan.cut = true;
    many.changed = 9;
    let text = written(PullRequestState::Open, Some(&many), None);
    let lines = [
        "#### What the merge changes\n\nNot all of it has room here. In a clone, `longboat plan --base aaaaaaa --head bbbbbbb` shows everything.\n\n",
        "<details><summary><code>shop/deploy</code> <b>changed</b>: 3 differences</summary>\n\n- **changed**",
        "</details>",
        "<b>changed</b>: 7 differences</summary>",
        "- and 4 more\n",
        "And 4 pipelines more.\n\nNot compared, because of errors before or after: `bank`.\n",
    ];
    in_order(&text, &lines);
    assert!(!text.contains("What the merge starts"), "{text}");
    // A branch whose definitions don't count.
    many.plan.as_mut().expect("a plan").tracked = false;
    let text = written(PullRequestState::Open, Some(&many), None);
    assert!(text.contains("The definitions on `main` don't count: "), "{text}");
}

#[test]
fn fixed_errors_are_said() {
    let fixed = Review { errors_before: 2, plan: None, changed: 0, ..good() };
    let text = written(PullRequestState::Open, Some(&fixed), None);
    assert!(text.contains("### ✅ Good: 3 pipelines valid, none changes\n"), "{text}");
    assert!(text.contains("✅ **All 2 errors of the check before are fixed.**\n"), "{text}");
    let some = Review { errors_before: 5, ..bad() };
    assert!(
        written(PullRequestState::Open, Some(&some), None).contains("**2 errors fewer than at the check before.**")
    );
    let worse = Review { errors_before: 1, ..bad() };
    assert!(!written(PullRequestState::Open, Some(&worse), None).contains("the check before"));
}

#[test]
fn a_newer_commit_makes_it_stale() {
    let old = Review { commit: sha('a'), ..good() };
    let text = written(PullRequestState::Open, Some(&old), None);
    assert!(
        text.contains("⏳ A newer commit, `bbbbbbb`, is being checked. Until then, this is about `aaaaaaa`."),
        "{text}"
    );
}

#[test]
fn what_could_not_be_looked_at_says_why() {
    let trouble = Review {
        dependents: None,
        trouble: Some("it takes more than 256 MiB of memory to render `.longboat/deploy.yaml`".to_owned()),
        ..bad()
    };
    let text = written(PullRequestState::Open, Some(&trouble), None);
    let lines = [
        "### ⚠️ Could not be checked\n\n",
        "Longboat could not look at `bbbbbbb`: it takes more than 256 MiB of memory to render `.longboat/deploy.yaml`\n",
        "To check again, comment `/longboat check`.",
    ];
    in_order(&text, &lines);
    assert!(!text.contains("scirpt"), "nothing else counts\n{text}");
}

#[test]
fn closed_without_a_merge_is_said() {
    let text = written(PullRequestState::Closed, Some(&bad()), None);
    let lines = [
        "### ⏭️ Closed without a merge\n\nNothing of it was published, and nothing was run.\n\n",
        "<details><summary>What the last check found: Failed: 3 errors, 1 warning</summary>\n\n",
        "there is no stage type `scirpt`",
        "</details>\n\n<!-- longboat:acme/shop#7 -->\n",
    ];
    in_order(&text, &lines);
}

#[test]
fn a_merge_that_failed_shows_the_last_lines() {
    let told = vec![failed(), runs(), went_well()];
    let text = written(PullRequestState::Merged, Some(&good()), Some(told));
    let lines = [
        "### ❌ Merged: 3 pipelines, 1 failed, 1 not ended yet, 1 succeeded\n\nMerged into `main` as `ccccccc`.\n\n",
        "❌ `shop/deploy` Failed: bake, exit code 1 · [details](https://cd.example.com/executions/",
        "Stage `bake` failed: exit code 1. Its last 2 lines:\n\n",
        "````\n+ docker push registry/shop\ndenied: ```access``` @team token=***\n````\n\n",
        "| Stage | Outcome | Duration |\n| --- | --- | --- |\n| `test` | ✅ Succeeded | 42s |\n| `bake` | ❌ Failed | 3.0s |\n",
        "| `announce` | ⏭️ Not started |",
        "⏳ `shop/nightly` has not ended yet · [watch](https://cd.example.com/executions/",
        "✅ `shop/deploy` Succeeded in 2m 10s · [details](https://cd.example.com/executions/",
        "<details><summary>3 stages</summary>\n\n",
        "<details><summary>What was checked before the merge: Good: 3 pipelines valid, 3 change</summary>",
    ];
    in_order(&text, &lines);
}

#[test]
fn a_merge_that_went_well_is_short() {
    let text = written(PullRequestState::Merged, None, Some(vec![went_well()]));
    let lines =
        ["### ✅ Merged: 1 pipeline succeeded\n", "| `bake` | ✅ Succeeded | 1m 28s |", "| `announce` | ⏭️ Skipped |"];
    in_order(&text, &lines);
    assert!(!text.contains("before the merge"), "{text}");
}

#[test]
fn verdicts_of_merges() {
    for (told, expected) in [
        (Vec::new(), "### ⏭️ Merged: no pipeline was triggered\n"),
        (vec![runs()], "### ⏳ Merged: 1 pipeline not ended yet\n"),
        (vec![runs(), went_well()], "### ⏳ Merged: 2 pipelines, 1 not ended yet, 1 succeeded\n"),
        (vec![went_well(), went_well()], "### ✅ Merged: 2 pipelines succeeded\n"),
        (vec![failed()], "### ❌ Merged: 1 pipeline failed\n"),
    ] {
        let text = written(PullRequestState::Merged, Some(&good()), Some(told));
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn many_errors_are_folded_and_counted() {
    let mut many = bad();
    let first = many.findings[0].clone();
    many.findings = vec![first; 30];
    many.errors = 45;
    let text = written(PullRequestState::Open, Some(&many), None);
    assert!(text.contains("<details><summary>20 more errors</summary>"), "{text}");
    assert!(text.contains("Not listed here: 15 further errors."), "{text}");
}

#[test]
fn repositories_without_files_are_left_alone() {
    let nothing = Review { files: 0, pipelines: 0, plan: None, changed: 0, ..good() };
    let open = pull_request(PullRequestState::Open);
    let silent = |review: Option<&Review>, runs| Subject { pull_request: &open, review, runs }.is_of_no_interest();
    assert!(silent(Some(&nothing), None) && silent(None, None));
    assert!(!silent(Some(&good()), None));
    assert!(!silent(Some(&Review { trouble: Some("x".to_owned()), ..nothing.clone() }), None));
    assert!(!silent(Some(&nothing), Some(Runs { all: 1, told: Vec::new() })));
    assert!(written(PullRequestState::Open, Some(&nothing), None).contains("### ⏭️ No pipeline files\n"));
}
