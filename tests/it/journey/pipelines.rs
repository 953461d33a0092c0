//! Pipelines that run pipelines, with the real binary: parameters and files down, outputs up, one outcome.

use std::time::Duration;

use serde_json::{Value, json};

use super::world::World;
use crate::support::server::Server;

/// `all` builds, hands its files to `deploy` and works with what that yields. `deploy` fails as long as there is a file
/// `broken` beside the repository, and waits as long as there is one `slow`.
const FILES: &str = r#"
application: shop
pipelines:
  - name: all
    triggers: [{type: git, branches: [main]}]
    stages:
      - {id: build, type: script, command: "mkdir dist; echo v7 > dist/app", files: {save: [dist]}}
      - id: deploy
        type: pipeline
        pipeline: deploy
        needs: [build]
        pipelineParameters: {region: eu, count: "${ 1 + 1 }"}
        files: {from: [build]}
      - id: tell
        type: script
        needs: [deploy]
        env: {URL: "${ stages.deploy.outputs.stages.ship.url }"}
        command: echo "at=$URL" >> "$LONGBOAT_OUTPUT"
  - name: deploy
    parameters: [{name: region, required: true}, {name: count, type: integer, default: 1}]
    stages:
      - id: ship
        type: script
        workspace: fresh
        files: {from: [parent/build]}
        env: {REGION: "${ parameters.region }", COUNT: "${ parameters.count }", MARKS: "{{ file("marks") }}"}
        command: |
          echo "$LONGBOAT_EXECUTION_ID" >> "$MARKS/shipped"
          while test -e "$MARKS/slow"; do sleep 0.05; done
          test ! -e "$MARKS/broken" || exit 5
          echo "url=$REGION/$(cat dist/app)/$COUNT" >> "$LONGBOAT_OUTPUT"
"#;

struct Shop {
    world: World,
    marks: std::path::PathBuf,
    first: String,
}

impl Shop {
    async fn new(marks: &[&str]) -> Self {
        let world = World::new().await;
        let folder = world.folder().join("marks");
        std::fs::create_dir(&folder).expect("a folder");
        for mark in marks {
            std::fs::write(folder.join(mark), "").expect("a mark");
        }
        let files = [(".longboat/shop.yaml", FILES), ("marks", folder.to_str().expect("UTF-8"))];
        let first = world.push(&files, "First").await;
        Self { world, marks: folder, first }
    }

    /// Waits until the first commit is published, which starts nothing, and pushes a second one.
    async fn push(&self, server: &Server) -> String {
        self.world.settled(&self.first, "longboat/validate").await;
        let second = self.world.push(&[("code", "1")], "Second").await;
        assert_eq!(self.world.webhook(server, &self.first, &second).await, 202);
        second
    }

    fn remove(&self, mark: &str) {
        std::fs::remove_file(self.marks.join(mark)).expect("a mark");
    }

    /// The newest execution of a pipeline, if there is one that fits.
    async fn newest(&self, server: &Server, pipeline: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let list = format!("/api/v1/executions?application=shop&pipeline={pipeline}");
        self.world
            .until(&format!("an execution of {pipeline}"), || async {
                let newest = server.get(&list).await["items"].get(0)?["id"].as_str()?.to_owned();
                Some(server.get(&format!("/api/v1/executions/{newest}")).await).filter(|view| fits(view))
            })
            .await
    }

    async fn ended(&self, server: &Server, pipeline: &str) -> Value {
        self.newest(server, pipeline, |view| view["endTime"].is_string()).await
    }
}

fn stage<'a>(view: &'a Value, id: &str) -> &'a Value {
    let stages = view["stages"].as_array().expect("stages");
    stages.iter().find(|stage| stage["id"] == id).expect("a stage")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_runs_another_hands_files_down_and_takes_outputs_up() {
    let shop = Shop::new(&[]).await;
    let server = shop.world.serve();
    let commit = shop.push(&server).await;
    shop.world.settled(&commit, "longboat/shop/all").await;
    shop.world.settled(&commit, "longboat/shop/deploy").await;
    let (all, deploy) = (shop.ended(&server, "all").await, shop.ended(&server, "deploy").await);
    assert_eq!(stage(&all, "tell")["outputs"]["at"], "eu/v7/2");
    let outputs = &stage(&all, "deploy")["outputs"];
    assert_eq!((&outputs["executionId"], &outputs["status"]), (&deploy["id"], &json!("SUCCEEDED")));
    assert_eq!(
        all["children"],
        json!([{"id": deploy["id"], "application": "shop", "pipeline": "deploy", "status": "SUCCEEDED", "stage": "deploy"}])
    );
    let parent = &deploy["trigger"]["parent"];
    assert_eq!(
        (&parent["execution"], &parent["stage"], &deploy["trigger"]["type"]),
        (&all["id"], &json!("deploy"), &json!("pipeline"))
    );
    assert_eq!(
        (deploy["commit"].as_str(), deploy["trigger"]["branch"].as_str()),
        (Some(commit.as_str()), Some("main"))
    );
    let children = server.get(&format!("/api/v1/executions?parent={}", all["id"].as_str().expect("an id"))).await;
    assert_eq!(children["items"][0]["id"], deploy["id"]);
    // The pages of both lead to each other.
    for (from, to) in [(&all, &deploy), (&deploy, &all)] {
        let page = server.get_text(&format!("/executions/{}", from["id"].as_str().expect("an id"))).await;
        assert!(
            page.replace("&#x2f;", "/")
                .contains(&format!("href=\"/executions/{}\"", to["id"].as_str().expect("an id")))
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_fails_is_restarted_and_its_parent_goes_on() {
    let shop = Shop::new(&["broken"]).await;
    let server = shop.world.serve();
    let commit = shop.push(&server).await;
    let words = shop.world.finished(&commit, "longboat/shop/all").await;
    let last = words.last().expect("a status");
    assert_eq!(
        (last.state.as_str(), last.description.as_str()),
        ("failure", "Failed: deploy, shop/deploy failed at its stage ship: exit code 5")
    );
    let (all, deploy) = (shop.ended(&server, "all").await, shop.ended(&server, "deploy").await);
    let running = server.post("/api/v1/executions/018f6b2e-4a57-7c3e-9d8f-0a1b2c3d4e5f/restart", json!({})).await;
    assert_eq!(running.0, 404, "{}", running.1);
    shop.remove("broken");
    let restart = format!("/api/v1/executions/{}/restart", deploy["id"].as_str().expect("an id"));
    let (status, view) = server.post(&restart, json!({})).await;
    assert_eq!((status, &view["stages"][0]["attempt"]), (202, &json!(2)), "{view}");
    shop.world
        .until("both succeed", || async {
            let statuses = shop.world.statuses(&commit);
            let good = |context: &str| statuses[context].last().is_some_and(|status| status.state == "success");
            (good("longboat/shop/all") && good("longboat/shop/deploy")).then_some(())
        })
        .await;
    let all = server.get(&format!("/api/v1/executions/{}", all["id"].as_str().expect("an id"))).await;
    assert_eq!((&all["status"], &stage(&all, "deploy")["attempt"]), (&json!("SUCCEEDED"), &json!(2)), "{all:#}");
    assert_eq!(stage(&all, "deploy")["outputs"]["executionId"], deploy["id"], "it waited for the same child");
    assert_eq!(all["children"].as_array().map(Vec::len), Some(1));
    assert_eq!(all["restarts"].as_array().map(Vec::len), Some(1));
    assert_eq!(stage(&all, "tell")["outputs"]["at"], "eu/v7/2", "the files were still there");
    assert_eq!(stage(&all, "build")["attempt"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_a_pipeline_cancels_what_it_runs_and_the_other_way_round() {
    let shop = Shop::new(&["slow"]).await;
    let server = shop.world.serve();
    let commit = shop.push(&server).await;
    let runs = |view: &Value| stage(view, "ship")["status"] == "RUNNING";
    let deploy = shop.newest(&server, "deploy", runs).await;
    let all = shop.newest(&server, "all", |_| true).await;
    let cancel = format!("/api/v1/executions/{}/cancel", all["id"].as_str().expect("an id"));
    assert_eq!(server.post(&cancel, json!({"reason": "wrong version"})).await.0, 202);
    let (all, child) = (shop.ended(&server, "all").await, shop.ended(&server, "deploy").await);
    assert_eq!(
        (&all["status"], &child["status"], &child["id"]),
        (&json!("CANCELED"), &json!("CANCELED"), &deploy["id"])
    );
    assert_eq!(child["canceledBy"], "pipeline shop/all: its stage deploy was cancelled");

    // Again, and this time the child is cancelled.
    let again = shop.world.push(&[("code", "2")], "Third").await;
    shop.world.webhook(&server, &commit, &again).await;
    let deploy = shop.newest(&server, "deploy", |view| runs(view) && view["commit"] == json!(again)).await;
    let cancel = format!("/api/v1/executions/{}/cancel", deploy["id"].as_str().expect("an id"));
    assert_eq!(server.post(&cancel, json!({})).await.0, 202);
    let words = shop.world.finished(&again, "longboat/shop/all").await;
    let last = words.last().expect("a status");
    assert!(last.description.starts_with("Failed: deploy, shop/deploy was cancelled by "), "{}", last.description);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_starts_its_child_once_however_often_the_server_dies() {
    let shop = Shop::new(&["slow"]).await;
    let server = shop.world.serve();
    let commit = shop.push(&server).await;
    server.kill();
    // Killed again and again around the moment of the child's start, whenever that comes.
    for _ in 0..12 {
        let server = shop.world.serve();
        tokio::time::sleep(Duration::from_millis(fastrand::u64(0..350))).await;
        server.kill();
    }
    shop.remove("slow");
    let server = shop.world.serve();
    shop.world.settled(&commit, "longboat/shop/all").await;
    let all = shop.ended(&server, "all").await;
    assert_eq!(
        (all["children"].as_array().map(Vec::len), &stage(&all, "deploy")["attempt"]),
        (Some(1), &json!(1)),
        "{all:#}"
    );
    let shipped = std::fs::read_to_string(shop.marks.join("shipped")).expect("it was shipped");
    assert_eq!(shipped.lines().count(), 1, "shipped once: {shipped}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelines_that_can_t_be_started_fail_with_the_nearest_name() {
    let world = World::new().await;
    let file = r#"
application: shop
pipelines:
  - name: deploy
    parameters: [{name: region, required: true}]
    stages: [{id: one, type: noop}]
  - name: first
    stages: [{id: sub, type: pipeline, pipeline: second}]
  - name: second
    stages: [{id: sub, type: pipeline, pipeline: first}]
  - name: wrong
    parameters: [{name: application, default: shop}, {name: pipeline}]
    stages: [{id: sub, type: pipeline, application: "${ parameters.application }", pipeline: "${ parameters.pipeline }"}]
"#;
    let commit = world.push(&[(".longboat/shop.yaml", file)], "First").await;
    let server = world.serve();
    world.settled(&commit, "longboat/validate").await;
    let error = async |pipeline: &str, parameters: Value| {
        let starts = format!("/api/v1/applications/shop/pipelines/{pipeline}/executions");
        let (status, view) = server.post(&starts, json!({"parameters": parameters})).await;
        assert_eq!(status, 201, "{view}");
        let id = view["id"].as_str().expect("an id").to_owned();
        world
            .until("the end", || async {
                let view = server.get(&format!("/api/v1/executions/{id}")).await;
                view["endTime"].is_string().then(|| view["stages"][0]["error"].as_str().unwrap_or_default().to_owned())
            })
            .await
    };
    for (parameters, expected) in [
        (json!({"pipeline": "deplyo"}), "the application `shop` has no pipeline `deplyo`; did you mean `deploy`?"),
        (json!({"pipeline": "x", "application": "shpo"}), "there is no application `shpo`; did you mean `shop`?"),
        (json!({"pipeline": "deploy"}), "parameter `region` is required and has no default"),
        (json!({"pipeline": "wrong"}), "the pipeline `shop/wrong` would run within itself: shop/wrong → shop/wrong"),
    ] {
        assert_eq!(error("wrong", parameters).await, expected);
    }
    let circle = error("first", json!({})).await;
    assert_eq!(
        circle,
        "shop/second failed at its stage sub: the pipeline `shop/first` would run within itself: \
         shop/first → shop/second → shop/first"
    );
}
