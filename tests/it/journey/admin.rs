//! Everything that a server keeps, moved to another database and back: `longboat admin export` and `import`.

use super::world::World;
use crate::cli::{longboat, stderr, stdout};

const FILE: &str = "\
application: shop
pipelines:
  - name: deploy
    triggers: [{type: git, branches: [main]}]
    stages: [{id: build, type: script, command: echo built}]
";

#[tokio::test(flavor = "multi_thread")]
async fn a_server_goes_on_with_another_database() {
    let world = World::new().await;
    let first = world.push(&[(".longboat/shop.yaml", FILE)], "First").await;
    let server = world.serve();
    world.settled(&first, "longboat/validate").await;
    let commit = world.push(&[("code", "1")], "Change").await;
    assert_eq!(world.webhook(&server, &first, &commit).await, 202);
    world.finished(&commit, "longboat/shop/deploy").await;
    let before = server.get("/api/v1/executions").await;
    let run = |args: &[&str]| {
        let (folder, args) = (world.folder().to_owned(), args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>());
        tokio::task::spawn_blocking(move || {
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            longboat(&folder, &args)
        })
    };

    // The configuration's secrets are not there, but the database can be named without them.
    let text = std::fs::read_to_string(world.folder().join("longboat.yaml")).expect("the configuration");
    let plain = "server: {stateDir: state}\n";
    std::fs::write(world.folder().join("old.yaml"), plain).expect("written");
    std::fs::write(world.folder().join("new.yaml"), "server: {stateDir: other}\n").expect("written");
    let used = run(&["admin", "export", "--config", "old.yaml", "--to", "out.jsonl"]).await.expect("it ends");
    assert_eq!(used.status.code(), Some(2), "{}", stdout(&used));
    assert!(stderr(&used).contains("process"), "who has it is named: {}", stderr(&used));
    assert!(server.stop().success());

    let out = run(&["admin", "export", "--config", "old.yaml", "--to", "out.jsonl"]).await.expect("it ends");
    assert_eq!(out.status.code(), Some(0), "{}", stderr(&out));
    std::fs::create_dir_all(world.folder().join("other")).expect("a folder");
    let into = run(&["admin", "import", "--config", "new.yaml", "--from", "out.jsonl"]).await.expect("it ends");
    assert_eq!(into.status.code(), Some(0), "{}", stderr(&into));
    let again = run(&["admin", "import", "--config", "new.yaml", "--from", "out.jsonl"]).await.expect("it ends");
    assert_eq!(again.status.code(), Some(2), "a database that isn't empty is refused: {}", stdout(&again));

    std::fs::write(world.folder().join("longboat.yaml"), text.replace("stateDir: state", "stateDir: other"))
        .expect("written");
    let server = world.serve();
    assert_eq!(server.get("/api/v1/executions").await["items"], before["items"]);
    let next = world.push(&[("code", "2")], "Another").await;
    assert_eq!(world.webhook(&server, &commit, &next).await, 202);
    world.finished(&next, "longboat/shop/deploy").await;
    assert!(server.stop().success());
}
