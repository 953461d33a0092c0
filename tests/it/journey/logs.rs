//! Logs and saved files where every node finds them: in the database, and in a bucket of an S3-compatible store.

use std::path::Path;

use async_trait::async_trait;
use longboat::bucket::Bucket;
use serde_json::{Value, json};
use sqlx::{Connection as _, Row as _, SqliteConnection};

use super::world::World;
use crate::support::moto::{ACCESS_KEY, BUCKET, Moto, SECRET_KEY};
use crate::support::server::Server;

const TOKEN: &str = "the-shops-own-token";

const SECRETS: &str = "secrets: {token: {env: SHOP_TOKEN}}\nretention: {newest: 1, most: 1}\n";

/// A script that shows a secret, waits for a file `go`, and saves what the next one needs.
fn files(world: &World) -> String {
    let go = world.folder().join("go");
    format!(
        "\
application: shop
pipelines:
  - name: deploy
    triggers: [{{type: git, branches: [main]}}]
    stages:
      - id: build
        type: script
        workspace: fresh
        env: {{TOKEN: '${{ secret(\"token\") }}'}}
        command: |
          mkdir dist
          echo the shop > dist/app
          echo begun with $TOKEN
          until [ -e {go} ]; do sleep 0.05; done
          seq 1 20000
          echo built
        files: {{save: [dist]}}
      - id: use
        type: script
        workspace: fresh
        files: {{from: [build]}}
        command: echo using $(cat dist/app)
",
        go = go.display()
    )
}

/// What the tests look into behind Longboat's back.
#[async_trait]
trait Behind {
    /// What is kept of the first attempt of `build`.
    async fn log(&self, id: &str) -> String;
    /// Whether anything is kept of an execution.
    async fn has(&self, id: &str) -> bool;
}

struct InFile(String);

impl InFile {
    async fn ask(&self, statement: &'static str, id: &str) -> Vec<Vec<u8>> {
        let Ok(mut connection) = SqliteConnection::connect(&self.0).await else { return Vec::new() };
        let rows = sqlx::query(statement).bind(id).fetch_all(&mut connection).await.unwrap_or_default();
        rows.iter().map(|row| row.get(0)).collect()
    }
}

#[async_trait]
impl Behind for InFile {
    async fn log(&self, id: &str) -> String {
        let text = "SELECT bytes FROM piece WHERE kind = 'logs' AND execution = $1 AND shelf = 'build.1' \
                    AND name NOT IN ('end', 'lost') ORDER BY name";
        String::from_utf8_lossy(&self.ask(text, id).await.concat()).into_owned()
    }

    async fn has(&self, id: &str) -> bool {
        !self.ask("SELECT bytes FROM piece WHERE kind = 'logs' AND execution = $1", id).await.is_empty()
    }
}

#[async_trait]
impl Behind for Bucket {
    async fn log(&self, id: &str) -> String {
        let folder = format!("logs/{id}/build.1/");
        let mut text = Vec::new();
        for object in self.list(&folder, 100).await.expect("listed") {
            if object.name.bytes().all(|byte| byte.is_ascii_digit()) {
                text.extend(self.get(&format!("{folder}{}", object.name)).await.expect("read").unwrap_or_default());
            }
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    async fn has(&self, id: &str) -> bool {
        !self.list(&format!("logs/{id}/"), 1).await.expect("listed").is_empty()
    }
}

fn ids(list: &Value) -> Vec<String> {
    let items = list["items"].as_array().expect("a list");
    items.iter().map(|item| item["id"].as_str().expect("an id").to_owned()).collect()
}

async fn log_of(server: &Server, id: &str, stage: &str) -> String {
    server.get_text(&format!("/api/v1/executions/{id}/stages/{stage}/log?max=1000000")).await
}

/// How many logs lie on a node.
fn logs_on(node: &Path) -> usize {
    let Ok(executions) = std::fs::read_dir(node.join("logs")) else { return 0 };
    executions.map(|one| std::fs::read_dir(one.expect("listed").path()).map_or(0, Iterator::count)).sum()
}

/// A server works with one state folder, and the next with another: as two nodes would.
async fn another_node_finds_everything(world: World, behind: &dyn Behind, more: &[(&str, &str)]) {
    let mut environment = vec![("SHOP_TOKEN", TOKEN)];
    environment.extend_from_slice(more);
    let go = world.folder().join("go");
    let commit = world.push(&[(".longboat/shop.yaml", &files(&world))], "First").await;
    let server = world.serve_with(&environment);
    world.settled(&commit, "longboat/validate").await;
    let next = world.push(&[("code", "1")], "Change").await;
    assert_eq!(world.webhook(&server, &commit, &next).await, 202);
    let id = world.until("the pipeline starts", || async { ids(&server.get("/api/v1/executions").await).pop() }).await;
    // While it runs.
    world.until("its log arrives", || async { behind.log(&id).await.contains("begun").then_some(()) }).await;
    assert_eq!(behind.log(&id).await, "begun with ***\n", "masked on the way in");
    std::fs::write(&go, "").expect("written");
    world.settled(&next, "longboat/shop/deploy").await;
    let whole = log_of(&server, &id, "build").await;
    assert!(whole.starts_with("begun with ***\n1\n") && whole.ends_with("20000\nbuilt\n"), "{} bytes", whole.len());
    assert_eq!(behind.log(&id).await, whole);
    assert_eq!(logs_on(&world.folder().join("state")), 0, "they are kept once");
    let told = server.log();
    assert!(server.stop().success());

    // Another node: nothing of it is there.
    let server = world.serve_elsewhere("elsewhere", &environment);
    assert_eq!(log_of(&server, &id, "build").await, whole);
    let page = server.get_text(&format!("/executions/{id}")).await;
    assert!(page.contains("using the shop"), "{page}");
    let (status, answer) = server.post(&format!("/api/v1/executions/{id}/stages/use/restart"), json!({})).await;
    assert!((200..300).contains(&status), "{answer}");
    let view = world
        .until("the stage is done again", || async {
            let view = server.get(&format!("/api/v1/executions/{id}")).await;
            (view["status"] == "SUCCEEDED" && view["stages"][1]["attempt"] == 2).then_some(view)
        })
        .await;
    assert_eq!(view["stages"][1]["status"], "SUCCEEDED", "{view}");
    assert_eq!(log_of(&server, &id, "use").await, "using the shop\n", "the files were found");

    // Retention takes away what another node had brought there; what somebody restarted is kept a while.
    let mut commit = next;
    for number in 2..=3 {
        let next = world.push(&[("code", &number.to_string())], "Change").await;
        assert_eq!(world.webhook(&server, &commit, &next).await, 202);
        world.settled(&next, "longboat/shop/deploy").await;
        commit = next;
    }
    let second = ids(&server.get("/api/v1/executions").await)[1].clone();
    assert!(behind.has(&second).await);
    let told = told + &server.log();
    assert!(server.stop().success());
    let server = world.serve_with(&environment);
    world.until("the log is removed", || async { (!behind.has(&second).await).then_some(()) }).await;
    let newest = ids(&server.get("/api/v1/executions").await)[0].clone();
    assert!(behind.has(&newest).await);
    let told = told + &server.log();
    assert!(!told.contains(TOKEN) && !told.contains(SECRET_KEY) && !told.contains("X-Amz"), "{told}");
    assert!(server.stop().success());
}

/// A pipeline that saves files, asks, and hands them down to another one.
const HANDING_DOWN: &str = "\
application: shop
pipelines:
  - name: release
    triggers: [{type: git, branches: [main]}]
    stages:
      - {id: build, type: script, command: 'mkdir -p dist/deep; echo the shop > dist/deep/app', files: {save: [dist]}}
      - {id: ask, type: manualJudgment, needs: [build]}
      - {id: roll, type: pipeline, pipeline: roll-out, needs: [ask], files: {from: [build]}}
  - name: roll-out
    stages:
      - {id: use, type: script, workspace: fresh, files: {from: [parent/build]}, command: 'echo rolls $(cat dist/deep/app) out'}
";

/// One node runs the script that saves; on another one the sub-pipeline runs that takes what was saved.
async fn files_are_handed_down_over_nodes(world: World, more: &[(&str, &str)]) {
    let mut environment = vec![("SHOP_TOKEN", TOKEN)];
    environment.extend_from_slice(more);
    let commit = world.push(&[(".longboat/shop.yaml", HANDING_DOWN)], "First").await;
    let server = world.serve_with(&environment);
    world.settled(&commit, "longboat/validate").await;
    let next = world.push(&[("code", "1")], "Change").await;
    assert_eq!(world.webhook(&server, &commit, &next).await, 202);
    let id = world.until("the pipeline starts", || async { ids(&server.get("/api/v1/executions").await).pop() }).await;
    let asks = |view: &Value| view["stages"][1]["status"] == "RUNNING";
    let asked = async |server: &Server| asks(&server.get(&format!("/api/v1/executions/{id}")).await).then_some(());
    world.until("it asks", || asked(&server)).await;
    assert!(server.stop().success());

    let server = world.serve_elsewhere("elsewhere", &environment);
    world.until("it asks still", || asked(&server)).await;
    let answer = json!({"verdict": "continue"});
    let (status, told) = server.post(&format!("/api/v1/executions/{id}/stages/ask/judge"), answer).await;
    assert_eq!(status, 202, "{told}");
    world.settled(&next, "longboat/shop/release").await;
    let view = server.get(&format!("/api/v1/executions/{id}")).await;
    let child = view["children"][0]["id"].as_str().expect("a child").to_owned();
    assert_eq!(log_of(&server, &child, "use").await, "rolls the shop out\n");
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn files_in_the_database_are_handed_down_to_a_sub_pipeline_on_another_node() {
    let world = World::with(&format!("{SECRETS}logs: {{store: database}}\n")).await;
    world.keep_in("sqlite:shared.db");
    files_are_handed_down_over_nodes(world, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_in_a_bucket_are_handed_down_to_a_sub_pipeline_on_another_node() {
    let Some(moto) = Moto::start().await else { return };
    let logs = format!("logs: {{store: s3, s3: {{bucket: {BUCKET}, endpoint: '{}'}}}}\n", moto.url);
    let world = World::with(&format!("{SECRETS}{logs}")).await;
    world.keep_in("sqlite:shared.db");
    let key = [("AWS_ACCESS_KEY_ID", ACCESS_KEY), ("AWS_SECRET_ACCESS_KEY", SECRET_KEY)];
    files_are_handed_down_over_nodes(world, &key).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_and_files_in_the_database_are_found_by_another_node() {
    let world = World::with(&format!("{SECRETS}logs: {{store: database}}\n")).await;
    world.keep_in("sqlite:shared.db");
    let behind = InFile(format!("sqlite:{}", world.folder().join("shared.db").display()));
    another_node_finds_everything(world, &behind, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_and_files_in_a_bucket_are_found_by_another_node() {
    let Some(moto) = Moto::start().await else { return };
    let logs = format!("logs: {{store: s3, s3: {{bucket: {BUCKET}, endpoint: '{}'}}}}\n", moto.url);
    let world = World::with(&format!("{SECRETS}{logs}")).await;
    world.keep_in("sqlite:shared.db");
    let key = [("AWS_ACCESS_KEY_ID", ACCESS_KEY), ("AWS_SECRET_ACCESS_KEY", SECRET_KEY)];
    another_node_finds_everything(world, &moto.bucket(), &key).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_keeps_objects_by_name_and_lists_them_in_pages() {
    let Some(moto) = Moto::start().await else { return };
    let bucket = moto.bucket();
    assert_eq!(bucket.get("logs/a").await, Ok(None));
    // More than one page of a list, and names with everything that a stage's path becomes.
    let name = |number: usize| format!("logs/one/test%5Beu%2E1%5D~x.1/{number:08}");
    let names: Vec<String> = (0..1005).map(name).collect();
    for some in names.chunks(32) {
        let putting = some.iter().map(|name| bucket.put(name, name.clone().into_bytes()));
        futures::future::try_join_all(putting).await.expect("written");
    }
    bucket.put("logs/two/a", b"x\0\xff".to_vec()).await.expect("written");
    bucket.put("logs/two/a", b"x\0\xff and more".to_vec()).await.expect("replaced");
    let listed = bucket.list("logs/one/test%5Beu%2E1%5D~x.1/", 10_000).await.expect("listed");
    assert_eq!(listed.len(), 1005);
    assert_eq!((listed[1004].name.as_str(), listed[1004].size), ("00001004", names[1004].len() as u64));
    assert_eq!(bucket.get(&names[1004]).await, Ok(Some(names[1004].clone().into_bytes())));
    assert_eq!(bucket.get("logs/two/a").await, Ok(Some(b"x\0\xff and more".to_vec())));
    assert_eq!(bucket.folders("logs/", None).await, Ok(vec!["one".to_owned(), "two".to_owned()]));
    assert_eq!(bucket.folders("logs/", Some("one")).await, Ok(vec!["two".to_owned()]));
    assert_eq!(bucket.folders("logs/", Some("two")).await, Ok(Vec::new()));
    bucket.delete("logs/two/a").await.expect("removed");
    bucket.delete("logs/two/a").await.expect("it is gone");
    assert_eq!(bucket.folders("logs/", Some("one")).await, Ok(Vec::new()));

    let other = longboat::config::Bucket { name: "nobody-made-this".to_owned(), ..moto.place() };
    let error = Bucket::new(&other).expect("a bucket").get("a").await.expect_err("no bucket").to_string();
    assert!(error.contains("no such bucket"), "{error}");
}

/// A script that notes each attempt, waits for a file `go`, and may run again if it is lost.
fn one_script(world: &World) -> String {
    let folder = world.folder().display();
    format!(
        "\
application: shop
pipelines:
  - name: deploy
    triggers: [{{type: git, branches: [main]}}]
    stages:
      - id: build
        type: script
        retry: {{attempts: 3, backoff: 1s, on: [lost]}}
        command: |
          echo $LONGBOAT_ATTEMPT >> {folder}/runs
          echo begun $LONGBOAT_ATTEMPT
          until [ -e {folder}/go ]; do sleep 0.05; done
          echo done $LONGBOAT_ATTEMPT
"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_shows_the_log_of_another_and_takes_its_script_over_when_it_dies() {
    crate::support::postgres::with_database(|url| async move {
        let world = World::new().await;
        let replica = |name: &'static str| {
            let url = url.clone();
            world.serve_otherwise(&format!("{name}.yaml"), move |text| {
                let own = text.replace("stateDir: state}", &format!("stateDir: {name}, name: {name}}}"));
                format!("{own}database: {{url: '{url}', replicas: true}}\n")
            })
        };
        let commit = world.push(&[(".longboat/shop.yaml", &one_script(&world))], "First").await;
        let one = replica("one");
        world.settled(&commit, "longboat/validate").await;
        let next = world.push(&[("code", "1")], "Change").await;
        assert_eq!(world.webhook(&one, &commit, &next).await, 202);
        let id = world.until("the pipeline starts", || async { ids(&one.get("/api/v1/executions").await).pop() }).await;
        let two = replica("two");
        world
            .until("the other shows the log", || async {
                (log_of(&two, &id, "build").await == "begun 1\n").then_some(())
            })
            .await;

        one.kill();
        let log = |attempt: u32| {
            let (two, id) = (&two, &id);
            async move { two.get_text(&format!("/api/v1/executions/{id}/stages/build/log?attempt={attempt}")).await }
        };
        world.until("it runs again", || async { (log(2).await == "begun 2\n").then_some(()) }).await;
        std::fs::write(world.folder().join("go"), "").expect("written");
        world.settled(&next, "longboat/shop/deploy").await;
        assert_eq!(log(2).await, "begun 2\ndone 2\n");
        let view = two.get(&format!("/api/v1/executions/{id}")).await;
        let told = view["stages"][0].to_string();
        assert!(view["status"] == "SUCCEEDED" && view["stages"][0]["attempt"] == 2, "{told}");
        let runs = std::fs::read_to_string(world.folder().join("runs")).expect("it ran");
        assert_eq!(runs, "1\n2\n", "no attempt ran twice");

        // What the dead one had is found by its next process: the rest of the log is sent, the workspace removed.
        let one = replica("one");
        world
            .until("the rest of the log arrives", || async { (log(1).await == "begun 1\ndone 1\n").then_some(()) })
            .await;
        let work = world.folder().join("one/work").join(&id);
        world.until("the workspace goes", || async { (!work.exists()).then_some(()) }).await;
        assert_eq!(logs_on(&world.folder().join("one")), 0);
        assert!(one.stop().success() && two.stop().success());
    })
    .await;
}
