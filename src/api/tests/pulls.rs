//! Pull requests, as the API tells them.

use serde_json::json;

use super::reads::{COMMIT, pin, seed};
use super::*;
use crate::diagnostic::{Code, Diagnostic, Place};
use crate::model::{
    Change, ChangeKind, CommitSha, Impact, ImpactDetail, ImpactedBranch, ImpactedPipeline, Pins, PipelineChange, Plan,
    PlanReport, PullRequest, PullRequestState, Review, ReviewFinding, SourceLine, pull_request_ref,
};
use crate::store::Settlement;

fn sha(letter: char) -> CommitSha {
    letter.to_string().repeat(40).parse().expect("a commit")
}

fn pull_request(number: u64, state: PullRequestState) -> PullRequest {
    PullRequest {
        repository: "acme/shop".parse().expect("a name"),
        number,
        title: format!("Change {number}"),
        state,
        head: sha('a'),
        head_branch: "change".to_owned(),
        head_repository: Some("ann/shop".to_owned()),
        fork: true,
        target_branch: "main".to_owned(),
        author: Some("ann".to_owned()),
        merge_commit: (state == PullRequestState::Merged).then(|| COMMIT.parse().expect("a commit")),
    }
}

fn plan() -> Plan {
    let place = SourceLine { file: ".longboat/shop.yaml".to_owned(), line: 7 };
    let change = Change {
        kind: ChangeKind::Added,
        pointer: "/stages/ship".to_owned(),
        before: None,
        after: Some(json!({"type": "script", "needs": {"build": true}})),
        place: Some(place.clone()),
        cut: false,
    };
    let pipeline = PipelineChange {
        application: "shop".parse().expect("a name"),
        pipeline: "deploy".parse().expect("a name"),
        kind: ChangeKind::Changed,
        place,
        changes: vec![change],
        left_out: 0,
        graph: None,
    };
    Plan { pipelines: vec![pipeline], changed: 1, tracked: true, ..Plan::default() }
}

fn review() -> Review {
    let finding = Diagnostic::error(Code::UnknownStageType, "unknown stage type `scirpt`")
        .at(Place::point(".longboat/shop.yaml", 8, 13))
        .hint("did you mean `script`?");
    Review {
        commit: sha('a'),
        target_branch: "main".to_owned(),
        files: 1,
        pipelines: 2,
        findings: vec![ReviewFinding { finding, snippet: Some(">  8 |  type: scirpt".to_owned()) }],
        errors: 1,
        warnings: 0,
        errors_before: 2,
        changed: 1,
        plan: Some(plan()),
        base: Some(sha('b')),
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

#[tokio::test]
async fn pull_requests_are_listed_narrowed_and_paged() {
    use PullRequestState::{Closed, Merged, Open};
    let world = World::new().await;
    let base = "/api/v1/repositories/acme/shop/pull-requests";
    assert_eq!(world.get(base).await.json(200), json!({"items": [], "nextCursor": null}));
    for (number, state) in [(1, Open), (2, Merged), (3, Closed), (4, Open), (5, Open)] {
        keep(&world, pull_request(number, state), (number == 4).then(review)).await;
    }
    let numbers = |reply: &Reply| -> Vec<u64> {
        let items = reply.json(200)["items"].as_array().expect("items").clone();
        items.iter().map(|item| item["number"].as_u64().expect("a number")).collect()
    };
    for (query, expected) in [
        ("", vec![5, 4, 3, 2, 1]),
        ("?state=open", vec![5, 4, 1]),
        ("?state=merged&cursor=", vec![2]),
        ("?state=closed&limit=1", vec![3]),
        ("?cursor=3", vec![2, 1]),
    ] {
        assert_eq!(numbers(&world.get(&format!("{base}{query}")).await), expected, "{query}");
    }
    let (mut seen, mut path) = (Vec::new(), format!("{base}?limit=2"));
    loop {
        let reply = world.get(&path).await;
        seen.push(numbers(&reply));
        let Some(cursor) = reply.json(200)["nextCursor"].as_str().map(str::to_owned) else { break };
        path = format!("{base}?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, [vec![5, 4], vec![3, 2], vec![1]]);
    let four = &world.get(base).await.json(200)["items"][1];
    assert_eq!(four["review"]["summary"], "Failed: 1 error, 1 changes");
    assert_eq!(
        (&four["review"]["findings"], &four["url"]),
        (&Value::Null, &json!("https://github.com/acme/shop/pull/4"))
    );
    assert_eq!(numbers(&world.get("/api/v1/repositories/acme%2Fshop/pull-requests?state=merged").await), [2]);
    for bad in ["state=great", "limit=0", "limit=101", "cursor=x", "sate=open"] {
        world.get(&format!("{base}?{bad}")).await.problem(400, "bad-request");
    }
}

#[tokio::test]
async fn one_pull_request_tells_its_findings_and_what_its_merge_started() {
    let world = World::new().await;
    seed(&world).await;
    keep(&world, pull_request(7, PullRequestState::Merged), Some(review())).await;
    let one = world.get("/api/v1/repositories/acme/shop/pull-requests/7").await.json(200);
    assert_eq!(
        (&one["state"], &one["title"], &one["author"], &one["headRepository"], &one["fork"], &one["mergeCommit"]),
        (&json!("merged"), &json!("Change 7"), &json!("ann"), &json!("ann/shop"), &json!(true), &json!(COMMIT))
    );
    let review = &one["review"];
    assert_eq!(
        (&review["verdict"], &review["errors"], &review["errorsBefore"]),
        (&json!("failed"), &json!(1), &json!(2))
    );
    let finding = &review["findings"][0];
    assert_eq!((&finding["code"], &finding["snippet"]), (&json!("LB0304"), &json!(">  8 |  type: scirpt")));
    assert_eq!(
        review["changes"],
        json!([{"application": "shop", "pipeline": "deploy", "kind": "changed", "details": ["added stage `ship`, `script`, after `build`"]}])
    );
    let pipelines: Vec<&Value> =
        one["executions"].as_array().expect("a list").iter().map(|execution| &execution["pipeline"]).collect();
    assert_eq!(pipelines, ["clean up", "deploy"]);
    keep(&world, pull_request(8, PullRequestState::Open), None).await;
    let open = world.get("/api/v1/repositories/acme%2Fshop/pull-requests/8").await.json(200);
    assert_eq!((&open["review"], &open["executions"]), (&Value::Null, &json!([])));
}

#[tokio::test]
async fn a_pull_request_tells_what_module_repositories_meant_and_what_is_published_with() {
    let world = World::new().await;
    seed(&world).await;
    let other = crate::model::Pin { reference: Some("v1".to_owned()), ..pin('d') };
    let pins: Pins = [pin('e'), other].into_iter().collect();
    keep(&world, pull_request(7, PullRequestState::Open), Some(Review { pins, ..review() })).await;
    let one = world.get("/api/v1/repositories/acme/shop/pull-requests/7").await.json(200);
    assert_eq!(
        one["review"]["pins"],
        json!([
            {"repository": "platform", "commit": sha('e'), "kind": {"branch": "main"}, "published": sha('d')},
            {"repository": "platform", "reference": "v1", "commit": sha('d'), "kind": {"branch": "main"}, "published": null},
        ])
    );
    assert_eq!(one["review"]["dependents"], Value::Null);
    let application = world.get("/api/v1/applications/shop").await.json(200);
    assert_eq!(
        application["pins"],
        json!([{"repository": "platform", "commit": sha('d'), "kind": {"branch": "main"}}])
    );
}

#[tokio::test]
async fn a_pull_request_on_a_module_repository_tells_of_dependents_what_its_comment_tells() {
    let world = World::new().await;
    let pipeline = ImpactedPipeline {
        application: "tea".parse().expect("a name"),
        pipeline: "brew".parse().expect("a name"),
        kind: ChangeKind::Changed,
    };
    let branch = ImpactedBranch {
        repository: "acme/tea".parse().expect("a name"),
        branch: "main".to_owned(),
        commit: sha('c'),
        errors: 1,
        pipelines: vec![pipeline],
        findings: review().findings,
        plan: Some(plan()),
    };
    let impact = Impact {
        detail: ImpactDetail::Plans,
        dependents: vec![branch],
        broken: 1,
        errors: 1,
        same: 2,
        elsewhere: 3,
        ..Impact::default()
    };
    let counts = Impact { detail: ImpactDetail::Counts, dependents: Vec::new(), ..impact.clone() };
    for (number, impact) in [(7, &impact), (8, &counts)] {
        let review = Review { dependents: Some(impact.clone()), ..review() };
        keep(&world, pull_request(number, PullRequestState::Open), Some(review)).await;
    }
    let base = "/api/v1/repositories/acme/shop/pull-requests";
    let told = &world.get(&format!("{base}/7")).await.json(200)["review"]["dependents"];
    assert_eq!((&told["broken"], &told["same"], &told["elsewhere"]), (&json!(1), &json!(2), &json!(3)));
    let one = &told["items"][0];
    assert_eq!((&one["repository"], &one["commit"]), (&json!("acme/tea"), &json!(sha('c'))));
    assert_eq!(one["pipelines"], json!([{"application": "tea", "pipeline": "brew", "kind": "changed"}]));
    assert_eq!(
        (&one["findings"][0]["code"], &one["findings"][0]["snippet"]),
        (&json!("LB0304"), &json!(">  8 |  type: scirpt"))
    );
    assert_eq!(one["changes"][0]["details"], json!(["added stage `ship`, `script`, after `build`"]));
    let told = &world.get(&format!("{base}/8")).await.json(200)["review"]["dependents"];
    assert_eq!((&told["detail"], &told["broken"], &told["items"]), (&json!("counts"), &json!(1), &json!([])));
    assert_eq!(world.get(base).await.json(200)["items"][0]["review"]["dependents"], Value::Null);
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let world = World::new().await;
    for path in [
        "acme/shop/pull-requests/9",
        "acme/shop/pull-requests/x",
        "acme/shop/pull-requests/9/x",
        "acme/shop/x",
        "no/such/pull-requests",
        "acme/shop/pull-requests/",
    ] {
        world.get(&format!("/api/v1/repositories/{path}")).await.problem(404, "not-found");
    }
}

#[tokio::test]
async fn the_plan_of_a_pull_request_is_a_document_of_its_own() {
    let world = World::new().await;
    keep(&world, pull_request(7, PullRequestState::Open), Some(review())).await;
    keep(&world, pull_request(8, PullRequestState::Open), None).await;
    keep(&world, pull_request(9, PullRequestState::Open), Some(Review { plan: None, ..review() })).await;
    let base = "/api/v1/repositories/acme/shop/pull-requests";
    let told = world.get(&format!("{base}/7/plan")).await.json(200);
    let report: PlanReport = serde_json::from_value(told.clone()).expect("a plan");
    assert_eq!(report, review().report(&"acme/shop".parse().expect("a name")));
    assert_eq!(
        (&told["plan"]["pipelines"][0]["changes"][0]["pointer"], &told["errors"]),
        (&json!("/stages/ship"), &json!(1))
    );
    for missing in ["8/plan", "9/plan", "10/plan", "7/plan/x", "x/plan"] {
        world.get(&format!("{base}/{missing}")).await.problem(404, "not-found");
    }
}
