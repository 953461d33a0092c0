//! A server on PostgreSQL whose database goes away: stopped for a while, and taken by another server.

use std::path::Path;

use super::world::World;
use crate::support::postgres::{Gate, with_database};

/// A pipeline whose script ends when a file appears.
fn pipeline(folder: &Path) -> String {
    format!(
        "application: shop\n\
         pipelines:\n  \
           - name: deploy\n    \
             triggers: [{{type: git, branches: [main]}}]\n    \
             stages:\n      \
               - id: wait\n        \
                 type: script\n        \
                 command: 'touch {0}/begun; until [ -e {0}/go ]; do sleep 0.05; done'\n      \
               - {{id: after, type: script, needs: [wait], command: echo after}}\n",
        folder.display()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_for_a_while_is_waited_for() {
    with_database(|url| async move {
        let (mut gate, through) = Gate::before(&url).await;
        let world = World::kept_in(&through).await;
        let first = world.push(&[(".longboat/shop.yaml", &pipeline(world.folder()))], "First").await;
        let server = world.serve();
        world.settled(&first, "longboat/validate").await;
        let commit = world.push(&[("code", "1")], "Change").await;
        assert_eq!(world.webhook(&server, &first, &commit).await, 202);
        let begun = world.folder().join("begun");
        world.until("the script begins", || async { begun.exists().then_some(()) }).await;

        gate.close().await;
        // The script ends while its end can't be written.
        std::fs::write(world.folder().join("go"), "").expect("written");
        let next = world.push(&[("code", "2")], "While it is away").await;
        let (webhook, ready, list) = tokio::join!(
            world.webhook(&server, &commit, &next),
            reqwest::get(format!("{}/readyz", server.url)),
            reqwest::get(format!("{}/api/v1/executions", server.url)),
        );
        assert_eq!(webhook, 503, "what can't be written is not taken: the forge shows it and can send it again");
        assert_eq!(ready.expect("an answer").status(), 503);
        assert_eq!(list.expect("an answer").status(), 503);
        let healthy = reqwest::get(format!("{}/healthz", server.url)).await.expect("an answer");
        assert!(healthy.status().is_success(), "the process lives");

        gate.open().await;
        let deploy = world.finished(&commit, "longboat/shop/deploy").await;
        assert_eq!(deploy.last().map(|status| status.state.as_str()), Some("success"), "{deploy:?}");
        // The push that was refused meanwhile is found by the next look.
        let deploy = world.finished(&next, "longboat/shop/deploy").await;
        assert_eq!(deploy.last().map(|status| status.state.as_str()), Some("success"), "{deploy:?}");
        world
            .until("the server is ready again", || async {
                let ready = reqwest::get(format!("{}/readyz", server.url)).await.expect("an answer");
                ready.status().is_success().then_some(())
            })
            .await;
        assert!(server.log().contains("connected to the database again"), "{}", server.log());
        assert!(server.stop().success());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_database_was_taken_ends_with_exit_code_2() {
    with_database(|url| async move {
        let (mut gate, through) = Gate::before(&url).await;
        let world = World::kept_in(&through).await;
        std::fs::write(world.folder().join("go"), "").expect("written");
        let first = world.push(&[(".longboat/shop.yaml", &pipeline(world.folder()))], "First").await;
        let server = world.serve();
        world.settled(&first, "longboat/validate").await;

        // While the first can't reach its database, somebody starts another server on it.
        gate.close().await;
        let second = world.serve_otherwise("second.yaml", |text| {
            format!("{}database: {{url: '{url}'}}\n", text.replace("stateDir: state", "stateDir: second"))
        });
        gate.open().await;
        let (code, log) = tokio::task::spawn_blocking(|| server.ended()).await.expect("it ends");
        assert_eq!(code, Some(2), "{log}");
        let last = log.lines().last().unwrap_or_default();
        assert!(last.contains("is in use by another Longboat"), "{log}");
        assert!(last.contains(&format!("process {}", second.pid())), "who has it is named: {log}");

        let commit = world.push(&[("code", "1")], "Change").await;
        assert_eq!(world.webhook(&second, &first, &commit).await, 202);
        let deploy = world.finished(&commit, "longboat/shop/deploy").await;
        assert_eq!(deploy.last().map(|status| status.state.as_str()), Some("success"), "{deploy:?}");
        assert!(second.stop().success());
    })
    .await;
}
