//! Everything that a server keeps, moved to another database: `longboat admin export` and `import`.

use std::process::Output;

use super::world::World;
use crate::cli::{longboat, stderr, stdout};
use crate::support::postgres::with_database;
use crate::support::server::Server;

const FILE: &str = "\
application: shop
pipelines:
  - name: deploy
    triggers: [{type: git, branches: [main]}]
    stages: [{id: build, type: script, command: echo built}]
";

/// A world whose server has run something, and its last commit.
async fn used() -> (World, Server, String) {
    let world = World::new().await;
    let first = world.push(&[(".longboat/shop.yaml", FILE)], "First").await;
    let server = world.serve();
    world.settled(&first, "longboat/validate").await;
    let commit = world.push(&[("code", "1")], "Change").await;
    assert_eq!(world.webhook(&server, &first, &commit).await, 202);
    world.finished(&commit, "longboat/shop/deploy").await;
    (world, server, commit)
}

/// Runs `longboat admin` with a configuration that names a database and nothing else: the server's secrets are not
/// there, and are not needed.
async fn admin(world: &World, database: &str, args: &[&str]) -> Output {
    let folder = world.folder().to_owned();
    std::fs::write(folder.join("admin.yaml"), format!("database: {{url: '{database}'}}\n")).expect("written");
    let mut all = vec!["admin".to_owned(), args[0].to_owned(), "--config".to_owned(), "admin.yaml".to_owned()];
    all.extend(args[1..].iter().map(|arg| (*arg).to_owned()));
    let run = move || longboat(&folder, &all.iter().map(String::as_str).collect::<Vec<_>>());
    tokio::task::spawn_blocking(run).await.expect("it ends")
}

/// Moves everything from database to database, and shows each time that the server goes on.
async fn goes_on_with(databases: &[&str]) {
    let (world, mut server, mut commit) = used().await;
    let mut old = "sqlite:state/longboat.db".to_owned();
    for (number, new) in databases.iter().enumerate() {
        let file = format!("out{number}.jsonl");
        let used = admin(&world, &old, &["export", "--to", &file]).await;
        assert_eq!(used.status.code(), Some(2), "{}", stdout(&used));
        assert!(stderr(&used).contains("process"), "who has it is named: {}", stderr(&used));
        let before = server.get("/api/v1/executions").await;
        assert_eq!(before["items"].as_array().map(Vec::len), Some(number + 1), "{before:#}");
        assert!(server.stop().success());

        let out = admin(&world, &old, &["export", "--to", &file]).await;
        assert_eq!(out.status.code(), Some(0), "{}", stderr(&out));
        let into = admin(&world, new, &["import", "--from", &file]).await;
        assert_eq!(into.status.code(), Some(0), "{}", stderr(&into));
        let again = admin(&world, new, &["import", "--from", &file]).await;
        assert_eq!(again.status.code(), Some(2), "a database that isn't empty is refused: {}", stdout(&again));

        world.keep_in(new);
        server = world.serve();
        assert_eq!(server.get("/api/v1/executions").await["items"], before["items"], "on {new}");
        let next = world.push(&[("code", &format!("on {number}"))], "Another").await;
        assert_eq!(world.webhook(&server, &commit, &next).await, 202);
        let deploy = world.finished(&next, "longboat/shop/deploy").await;
        assert_eq!(deploy.last().map(|status| status.state.as_str()), Some("success"), "{deploy:?}");
        (commit, old) = (next, (*new).to_owned());
    }
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_goes_on_with_another_database() {
    goes_on_with(&["sqlite:other.db"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_moves_to_postgresql_and_back() {
    with_database(|url| async move { goes_on_with(&[&url, "sqlite:back.db"]).await }).await;
}
