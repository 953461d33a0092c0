//! The pages of pull requests.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::super::view::samples::HOSTILE;
use super::pages::{World, pin, seed};
use crate::diagnostic::{Code, Diagnostic, Place};
use crate::model::{
    Change, ChangeKind, CommitSha, Impact, ImpactDetail, ImpactedBranch, ImpactedPipeline, Pins, PipelineChange, Plan,
    PlanEdge, PlanGraph, PlanStage, PlannedStart, PullRequest, PullRequestState, Review, ReviewFinding, SourceLine,
    WhyNot, pull_request_ref,
};
use crate::store::Settlement;

const LIST: &str = "/repositories/acme/shop/pull-requests";

fn sha(text: &str) -> CommitSha {
    text.repeat(40 / text.len()).parse().expect("a commit")
}

fn pull_request(number: u64, state: PullRequestState) -> PullRequest {
    PullRequest {
        repository: "acme/shop".parse().expect("a name"),
        number,
        title: "Let the basket survive".to_owned(),
        state,
        head: sha("abcde"),
        head_branch: "basket".to_owned(),
        head_repository: Some("acme/shop".to_owned()),
        fork: false,
        target_branch: "main".to_owned(),
        author: Some("ann".to_owned()),
        merge_commit: (state == PullRequestState::Merged).then(|| sha("1a2b3c4d5e")),
    }
}

fn plan() -> Plan {
    let place = SourceLine { file: ".longboat/shop.yaml".to_owned(), line: 7 };
    let change = |pointer: &str, kind, before: Option<Value>, after: Option<Value>| Change {
        kind,
        pointer: pointer.to_owned(),
        before,
        after,
        place: Some(place.clone()),
        cut: false,
    };
    let pipeline = |name: &str, kind, changes, graph| PipelineChange {
        application: "shop".parse().expect("a name"),
        pipeline: name.parse().expect("a name"),
        kind,
        place: place.clone(),
        changes,
        left_out: 0,
        graph,
    };
    let stage = |name: &str, kind, needs: &[(&str, Option<ChangeKind>)]| PlanStage {
        id: name.parse().expect("an id"),
        name: name.to_owned(),
        kind: "script".to_owned(),
        change: kind,
        needs: needs
            .iter()
            .map(|(stage, change)| PlanEdge { stage: stage.parse().expect("an id"), change: *change })
            .collect(),
    };
    let (added, removed) = (Some(ChangeKind::Added), Some(ChangeKind::Removed));
    let graph = PlanGraph {
        stages: vec![
            stage("build", Some(ChangeKind::Changed), &[]),
            stage("ship", added, &[("build", added)]),
            stage("old", removed, &[("build", removed)]),
            stage("same", None, &[]),
        ],
    };
    let deploy = vec![
        change("/stages/build/command", ChangeKind::Changed, Some(json!("make\ntest")), Some(json!("make\ncheck"))),
        change("/stages/ship", ChangeKind::Added, None, Some(json!({"type": "script", "needs": {"build": true}}))),
        change("/stages/old", ChangeKind::Removed, Some(json!({"type": "script"})), None),
    ];
    let smoke = vec![change("", ChangeKind::Added, None, Some(json!({"stages": {"knock": {"type": "script"}}})))];
    let start = |name: &str, why_not| PlannedStart {
        application: "shop".parse().expect("a name"),
        pipeline: name.parse().expect("a name"),
        starts: false,
        why_not,
        trigger: None,
        parameters: Vec::new(),
        otherwise: Vec::new(),
    };
    Plan {
        pipelines: vec![
            pipeline("deploy", ChangeKind::Changed, deploy, Some(graph)),
            pipeline("smoke", ChangeKind::Added, smoke, None),
        ],
        changed: 3,
        added: 1,
        starts: vec![
            PlannedStart { starts: true, ..start("deploy", None) },
            start("nightly", Some(WhyNot::NoGitTrigger)),
        ],
        starting: 1,
        tracked: true,
        hidden: vec!["bank".parse().expect("a name")],
        cut: true,
        ..Plan::default()
    }
}

fn review() -> Review {
    let finding = Diagnostic::error(Code::UnknownStageType, "unknown stage type `scirpt`")
        .at(Place::point(".longboat/shop.yaml", 8, 13))
        .hint("did you mean `script`?");
    let snippet = "   7 |  - id: ship\n>  8 |    type: scirpt\n     |          ^^^^^^".to_owned();
    Review {
        commit: sha("abcde"),
        target_branch: "main".to_owned(),
        files: 1,
        pipelines: 2,
        findings: vec![ReviewFinding { finding, snippet: Some(snippet) }],
        errors: 3,
        warnings: 0,
        errors_before: 5,
        changed: 4,
        plan: Some(plan()),
        base: Some(sha("b")),
        pins: Pins::default(),
        dependents: None,
        trouble: None,
    }
}

async fn keep(world: &World, pull_request: PullRequest, review: Option<Review>) {
    let settlement = Settlement {
        inbox: None,
        also: Vec::new(),
        repository: pull_request.repository.clone(),
        git_ref: pull_request_ref(pull_request.number),
        commit: Some(pull_request.head.clone()),
        publish: Vec::new(),
        withdraw: Vec::new(),
        removal: None,
        executions: Vec::new(),
        messages: Vec::new(),
        findings: None,
        has_files: None,
        uses: None,
        pull_request: Some((pull_request, review)),
    };
    world.state.store.settle(settlement).await.expect("settled");
}

#[track_caller]
fn holds(html: &str, texts: &[&str]) {
    for text in texts {
        assert!(html.contains(text), "{text} is not in {html}");
    }
}

#[tokio::test]
async fn the_list_shows_how_each_stands_and_is_cut_into_parts() {
    use PullRequestState::{Closed, Merged, Open};
    let world = World::new(&[]).await;
    holds(&World::shown(world.get(LIST).await), &["No pull request is known"]);
    holds(&World::shown(world.get("/repositories/acme/shop").await), &[&format!("href=\"{LIST}\"")]);
    keep(&world, pull_request(1, Merged), Some(Review { errors: 0, findings: Vec::new(), ..review() })).await;
    keep(&world, pull_request(2, Closed), None).await;
    keep(&world, pull_request(3, Open), Some(review())).await;
    keep(&world, pull_request(4, Open), Some(Review { commit: sha("12345"), ..review() })).await;
    let html = World::shown(world.get(LIST).await);
    holds(
        &html,
        &["#3</span> Let the basket survive", "Failed: 3 errors", "Good", "basket → main", "Merged", "Checking", "ann"],
    );
    assert_eq!(html.matches("class=\"row ").count(), 4);
    let merged = World::shown(world.get(&format!("{LIST}?state=merged")).await);
    assert_eq!(merged.matches("class=\"row ").count(), 1);
    holds(
        &merged,
        &["?state=merged\" aria-current=\"true\"", &format!("data-fragment=\"/fragments{LIST}?state=merged\"")],
    );
    for number in 5..60 {
        keep(&world, pull_request(number, Open), None).await;
    }
    let first = World::shown(world.get(&format!("{LIST}?state=open")).await);
    assert_eq!(first.matches("class=\"row ").count(), 50);
    holds(&first, &["?state=open&amp;cursor=10\" rel=\"next\""]);
    let rest = World::shown(world.get(&format!("/fragments{LIST}?state=open&cursor=10")).await);
    assert_eq!(rest.matches("class=\"row ").count(), 7);
    holds(&rest, &[&format!("href=\"{LIST}?state=open\">Newest")]);
    for bad in ["state=great", "cursor=x", "cursor=%3Cimg%3E"] {
        let (status, _, html) = world.get(&format!("{LIST}?{bad}")).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{bad}");
        assert!(!html.contains("<img"), "{html}");
    }
}

#[tokio::test]
async fn a_pull_request_has_a_page_with_its_findings_and_changes() {
    let world = World::new(&[]).await;
    keep(&world, pull_request(7, PullRequestState::Open), Some(review())).await;
    let html = World::shown(world.get(&format!("{LIST}/7")).await);
    holds(
        &html,
        &[
            "#7 Let the basket survive",
            "href=\"https://github.com/acme/shop/pull/7\"",
            "unknown stage type `scirpt`",
            ".longboat/shop.yaml:8:13",
            "https://github.com/acme/shop/blob/abcdeabcde",
            "<pre class=\"snippet\">   7 |  - id: ship\n&gt;  8 |    type: scirpt\n     |          ^^^^^^</pre>",
            "Not listed here: 2 further errors.",
            "2 errors fewer than at the check before",
            "<code>shop/deploy</code> changed",
            "<span class=\"sr-only\">added: </span>stage <code>ship</code>, <code>script</code>, after <code>build</code>",
            "<span class=\"bad\">- test</span>\n<span class=\"good\">+ check</span>",
            "https://github.com/acme/shop/blob/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb/.longboat/shop.yaml#L7\" rel=\"noreferrer\">was at .longboat/shop.yaml:7</a>",
            "aria-label=\"ship: added\"",
            "<g class=\"box bad gone\"",
            "added · script",
            "<path class=\"line fresh\"",
            "Not compared, because of errors before or after: bank.",
            "<code>longboat plan --base bbbbbbb --head abcdeab</code> shows everything",
            "What the merge starts",
            "<li><code>shop/nightly</code>: it has no git trigger</li>",
            "<code>shop/smoke</code> added",
            "And 2 more pipelines.",
        ],
    );
    let fragment = World::shown(world.get(&format!("/fragments{LIST}/7")).await);
    assert!(html.contains(fragment.trim()), "the page holds what the fragment holds");

    keep(&world, PullRequest { head: sha("12345"), ..pull_request(7, PullRequestState::Open) }, None).await;
    let html = World::shown(world.get(&format!("{LIST}/7")).await);
    holds(&html, &["This is about", "which is not how the pull request stands any more", "Checking"]);

    let trouble = Review { trouble: Some("the files need more than 256 MiB to render".to_owned()), ..review() };
    keep(&world, pull_request(8, PullRequestState::Open), Some(trouble)).await;
    let html = World::shown(world.get(&format!("{LIST}/8")).await);
    holds(&html, &["Longboat could not look at", "the files need more than 256 MiB to render"]);
    assert!(!html.contains("scirpt") && !html.contains("What the merge changes"), "nothing else counts: {html}");
}

/// A dependent that breaks, with what would change in it.
fn impact(name: &str) -> Impact {
    let pipeline = ImpactedPipeline {
        application: "tea".parse().expect("a name"),
        pipeline: "brew".parse().expect("a name"),
        kind: ChangeKind::Changed,
    };
    let broken = ImpactedBranch {
        repository: "acme/tea".parse().expect("a name"),
        branch: name.to_owned(),
        commit: sha("c"),
        errors: 1,
        pipelines: Vec::new(),
        findings: review().findings,
        plan: None,
    };
    let changed = ImpactedBranch {
        repository: "acme/juice".parse().expect("a name"),
        errors: 0,
        pipelines: vec![pipeline],
        findings: Vec::new(),
        plan: Some(plan()),
        ..broken.clone()
    };
    Impact {
        detail: ImpactDetail::Plans,
        dependents: vec![broken, changed],
        broken: 1,
        errors: 1,
        changed: 1,
        pipelines: 1,
        same: 2,
        elsewhere: 1,
        unknown: 0,
    }
}

#[tokio::test]
async fn a_pull_request_on_a_module_repository_shows_its_dependents_as_its_comment_does() {
    let world = World::new(&[]).await;
    seed(&world).await;
    let good = Review { errors: 0, findings: Vec::new(), pins: [pin('e')].into_iter().collect(), ..review() };
    let with = |impact: Impact| Some(Review { dependents: Some(impact), ..good.clone() });
    keep(&world, pull_request(7, PullRequestState::Open), with(impact("main"))).await;
    let html = World::shown(world.get(&format!("{LIST}/7")).await);
    holds(
        &html,
        &[
            "<p>1 dependent would have 1 new error.</p>",
            "<p>1 pipeline of 1 dependent changes.</p>",
            "<code>acme/tea</code> on <span class=\"branch\">main</span>",
            "unknown stage type `scirpt`",
            "<code>acme/juice</code> on",
            "aria-label=\"ship: added\"",
            "2 dependents by which nothing changes",
            "1 dependent with other tags, branches or commits",
            "<code>platform</code> is <span class=\"sha\" title=\"eeee",
            "; it has moved from <span class=\"sha\" title=\"dddd",
        ],
    );
    let first = |text: &str| html.find(text).expect("it is there");
    assert!(first("Where the modules are used") < first("What the merge changes"), "what breaks comes first");
    holds(
        &World::shown(world.get("/applications").await),
        &["<code>platform</code> is <span class=\"sha\" title=\"dddd"],
    );

    let mut names = impact("main");
    names.detail = ImpactDetail::Names;
    for one in &mut names.dependents {
        (one.plan, one.findings) = (None, Vec::new());
    }
    keep(&world, pull_request(8, PullRequestState::Open), with(names)).await;
    let html = World::shown(world.get(&format!("{LIST}/8")).await);
    holds(&html, &["<code>acme/tea</code>", "1 new error", "<li>tea/brew changed</li>"]);
    let counts = Impact { detail: ImpactDetail::Counts, dependents: Vec::new(), ..impact("main") };
    keep(&world, pull_request(9, PullRequestState::Open), with(counts)).await;
    let html = World::shown(world.get(&format!("{LIST}/9")).await);
    holds(&html, &["1 dependent would have 1 new error.", "<code>dependents: counts</code>"]);
    assert!(!html.contains("acme/tea") && !html.contains("more dependent"), "{html}");
}

#[tokio::test]
async fn after_the_merge_the_page_shows_what_it_started() {
    let world = World::new(&[]).await;
    seed(&world).await;
    keep(&world, pull_request(7, PullRequestState::Merged), Some(review())).await;
    let html = World::shown(world.get(&format!("{LIST}/7")).await);
    holds(&html, &["What the merge started", "Merged", "/repositories/acme/shop?commit=1a2b3c4d5e", "Queued"]);
    assert_eq!(html.matches("class=\"row ").count(), 3);
    let other = PullRequest { merge_commit: Some(sha("9")), ..pull_request(8, PullRequestState::Merged) };
    keep(&world, other, None).await;
    holds(&World::shown(world.get(&format!("{LIST}/8")).await), &["No pipeline was started by it", "Not checked"]);
}

#[tokio::test]
async fn nothing_of_a_stranger_s_pull_request_becomes_markup() {
    let world = World::new(&[]).await;
    let mut hostile = review();
    let finding = Diagnostic::warning(Code::UnknownKey, HOSTILE).at(Place::point(HOSTILE, 1, 1)).hint(HOSTILE);
    hostile.findings = vec![ReviewFinding { finding, snippet: Some(HOSTILE.to_owned()) }];
    let plan = hostile.plan.as_mut().expect("a plan");
    let change = &mut plan.pipelines[0];
    change.pipeline = "<b>\"x\"".parse().expect("pipelines may have such names");
    change.place.file = HOSTILE.to_owned();
    change.changes[0].pointer = format!("/stages/build/{HOSTILE}");
    change.changes[0].after = Some(json!(format!("{HOSTILE}\n{HOSTILE}")));
    for stage in &mut change.graph.as_mut().expect("a picture").stages {
        (stage.name, stage.kind) = (HOSTILE.to_owned(), HOSTILE.to_owned());
    }
    plan.starts[1].why_not = Some(WhyNot::MissingParameters);
    plan.starts[1].parameters = vec![HOSTILE.to_owned()];
    hostile.target_branch = HOSTILE.to_owned();
    let mut dependents = impact(HOSTILE);
    dependents.dependents[0].findings.clone_from(&hostile.findings);
    dependents.dependents[1].plan.clone_from(&hostile.plan);
    hostile.dependents = Some(dependents);
    hostile.pins = [crate::model::Pin { reference: Some(HOSTILE.to_owned()), ..pin('e') }].into_iter().collect();
    let pull = PullRequest {
        title: HOSTILE.to_owned(),
        head_branch: HOSTILE.to_owned(),
        head_repository: Some(HOSTILE.to_owned()),
        fork: true,
        target_branch: HOSTILE.to_owned(),
        author: Some(HOSTILE.to_owned()),
        ..pull_request(7, PullRequestState::Open)
    };
    keep(&world, pull.clone(), Some(hostile.clone())).await;
    let trouble = Review { trouble: Some(HOSTILE.to_owned()), ..hostile };
    keep(&world, PullRequest { number: 8, ..pull }, Some(trouble)).await;
    for path in [LIST.to_owned(), format!("{LIST}/7"), format!("{LIST}/8")] {
        let html = World::shown(world.get(&path).await);
        assert!(html.contains("&lt;script&gt;alert(1)"), "the texts are there: {html}");
        for markup in ["<script>alert", "<img", "<b>", "\"'>"] {
            assert!(!html.contains(markup), "{path} has {markup}: {html}");
        }
    }
}

#[tokio::test]
async fn a_pull_request_that_is_not_known_has_no_page() {
    let world = World::new(&[]).await;
    for path in ["/7", "/x", "/7/x", "/"] {
        for before in ["", "/fragments"] {
            let (status, _, html) = world.get(&format!("{before}{LIST}{path}")).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{before}{path}");
            assert!(html.contains("<h1>Not found</h1>"), "{html}");
        }
    }
    assert_eq!(world.get("/fragments/repositories/acme/shop").await.0, StatusCode::NOT_FOUND);
}
