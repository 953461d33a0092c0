//! The journey on both Bitbuckets at once: one server, one address for their webhooks, a repository on each.

use std::path::PathBuf;
use std::time::Duration;

use longboat::clock::Clock;

use crate::support::fake_bitbucket::{Delivery, FakeBitbucket, Kind, PushOf, TOKEN};
use crate::support::fake_github::{Fault, Posted};
use crate::support::git_http::GitHttp;
use crate::support::repo::git_in;
use crate::support::server::{Server, write_config};
use crate::support::wait::eventually_async;

const LIMIT: Duration = Duration::from_secs(60);
/// The pipelines of an application.
fn good(kind: Kind) -> String {
    format!("application: {}\n{PIPELINES}", application(kind))
}

const PIPELINES: &str = "\
pipelines:
  - name: deploy
    triggers: [{type: git, branches: [main]}]
    stages: [{id: go, type: script, command: echo go}]
";

struct World {
    folder: tempfile::TempDir,
    cloud: FakeBitbucket,
    center: FakeBitbucket,
    _git: GitHttp,
    config: PathBuf,
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Cloud => "acme/shop",
        // A personal repository.
        Kind::DataCenter => "~ann/shop",
    }
}

fn application(kind: Kind) -> &'static str {
    match kind {
        Kind::Cloud => "shop",
        Kind::DataCenter => "tools",
    }
}

fn secret(kind: Kind) -> &'static str {
    match kind {
        Kind::Cloud => "a secret that only the Cloud knows",
        Kind::DataCenter => "a secret that only the Data Center knows",
    }
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for kind in [Kind::Cloud, Kind::DataCenter] {
            let bare = folder.path().join(format!("served/{kind:?}.git"));
            std::fs::create_dir_all(&bare).expect("a folder");
            git_in(&bare, &["init", "--quiet", "--bare", "--initial-branch=main"]);
            let work = format!("{kind:?}");
            git_in(folder.path(), &["init", "--quiet", "--initial-branch=main", &work]);
            git_in(&folder.path().join(work), &["remote", "add", "origin", bare.to_str().expect("UTF-8")]);
        }
        let git = GitHttp::start(&folder.path().join("served"), None).await;
        let cloud = FakeBitbucket::start(Kind::Cloud, Clock::system()).await;
        let center = FakeBitbucket::start(Kind::DataCenter, Clock::system()).await;
        cloud.add_repository(name(Kind::Cloud));
        center.add_repository(name(Kind::DataCenter));
        // Nothing is found by looking: it's the webhooks that tell.
        let config = format!(
            "server: {{listen: '127.0.0.1:0', publicUrl: 'https://cd.example.com', stateDir: state}}\n\
             forges:\n\
             \x20 cloud: {{type: {}, apiUrl: '{}', token: {{env: TEST_TOKEN}}, webhookSecret: {{env: CLOUD_SECRET}}}}\n\
             \x20 center: {{type: {}, url: '{}', token: {{env: TEST_TOKEN}}, webhookSecret: {{env: CENTER_SECRET}}}}\n\
             repositories:\n\
             \x20 - {{name: {}, forge: cloud, url: '{}', branches: [main], poll: 1h}}\n\
             \x20 - {{name: {}, forge: center, url: '{}', branches: [main], poll: 1h}}\n",
            cloud.forge_type(),
            cloud.url(),
            center.forge_type(),
            center.url(),
            name(Kind::Cloud),
            git.url("Cloud.git"),
            name(Kind::DataCenter),
            git.url("DataCenter.git"),
        );
        let config = write_config(folder.path(), &config);
        Self { folder, cloud, center, _git: git, config }
    }

    fn fake(&self, kind: Kind) -> &FakeBitbucket {
        match kind {
            Kind::Cloud => &self.cloud,
            Kind::DataCenter => &self.center,
        }
    }

    fn serve(&self) -> Server {
        let secrets = [("CLOUD_SECRET", secret(Kind::Cloud)), ("CENTER_SECRET", secret(Kind::DataCenter))];
        Server::start(&self.config, &[("TEST_TOKEN", TOKEN), secrets[0], secrets[1]])
    }

    /// Commits a file and pushes it; the commit.
    fn push(&self, kind: Kind, path: &str, text: &str) -> String {
        let work = self.folder.path().join(format!("{kind:?}"));
        let file = work.join(path);
        std::fs::create_dir_all(file.parent().expect("a parent")).expect("a folder");
        std::fs::write(file, text).expect("a file");
        git_in(&work, &["add", "--all"]);
        git_in(&work, &["commit", "--quiet", "--message", "Change"]);
        git_in(&work, &["push", "--quiet", "origin", "HEAD:refs/heads/main"]);
        let commit = git_in(&work, &["rev-parse", "HEAD"]);
        self.fake(kind).add_commit(name(kind), &commit);
        commit
    }

    async fn finished(&self, kind: Kind, commit: &str, context: &str) -> Vec<Posted> {
        eventually_async(LIMIT, &format!("{context} of {commit} ends"), || async {
            let posted = self.fake(kind).posted().into_iter();
            let mine: Vec<Posted> = posted.filter(|posted| posted.sha == commit && posted.context == context).collect();
            (mine.last()?.state != "INPROGRESS").then_some(mine)
        })
        .await
    }
}

fn delivery(kind: Kind, before: &str, after: &str) -> Delivery {
    let main = PushOf { git_ref: "refs/heads/main", before: Some(before), after: Some(after) };
    let gone = PushOf { git_ref: "refs/heads/gone", before: Some(before), after: None };
    Delivery::push(kind, name(kind), "ann", &[main, gone])
}

fn words(posted: &[Posted]) -> Vec<(&str, &str)> {
    posted.iter().map(|posted| (posted.state.as_str(), posted.description.as_str())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_on_either_shows_pending_and_then_how_it_went() {
    let world = World::new().await;
    let server = {
        let first =
            [Kind::Cloud, Kind::DataCenter].map(|kind| (kind, world.push(kind, ".longboat/shop.yaml", &good(kind))));
        let server = world.serve();
        for (kind, commit) in &first {
            world.finished(*kind, commit, "longboat/validate").await;
        }
        server
    };
    let address = format!("{}/webhooks/bitbucket", server.url);
    for kind in [Kind::Cloud, Kind::DataCenter] {
        // Every second request that writes fails from now on; nothing may be lost or come twice.
        world.fake(kind).fail_every(2, Fault::Answer(500));
        let before = git_in(&world.folder.path().join(format!("{kind:?}")), &["rev-parse", "HEAD"]);
        let commit = world.push(kind, "code", "1");
        let told = delivery(kind, &before, &commit);

        let other = if kind == Kind::Cloud { Kind::DataCenter } else { Kind::Cloud };
        assert_eq!(told.send(&address, secret(other)).await.status, 401, "the other one's secret");
        assert_eq!(told.deliver(&address, None).await.status, 401, "unsigned");
        let answer = told.send(&address, secret(kind)).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        assert!(answer.body.contains("\"accepted\""), "{}", answer.body);

        let validate = world.finished(kind, &commit, "longboat/validate").await;
        assert_eq!(words(&validate), [("INPROGRESS", "Checking"), ("SUCCESSFUL", "1 pipeline valid")], "{kind:?}");
        let deploy = world.finished(kind, &commit, &format!("longboat/{}/deploy", application(kind))).await;
        let last = deploy.last().expect("a status");
        assert_eq!(last.state, "SUCCESSFUL", "{deploy:?}");
        assert!(last.description.starts_with("Succeeded in "), "{deploy:?}");
        let page = last.target_url.clone().expect("a page");
        assert!(page.starts_with("https://cd.example.com/executions/"), "{page}");

        // A redelivery starts nothing.
        let again = told.send(&address, secret(kind)).await;
        assert_eq!(again.status, 202);
        assert!(again.body.contains("\"duplicate\""), "{}", again.body);
        let list = server.get(&format!("/api/v1/executions?commit={commit}")).await;
        assert_eq!(list["items"].as_array().map(Vec::len), Some(1), "{list:#}");

        let broken = world.push(kind, ".longboat/shop.yaml", &good(kind).replace("script", "scirpt"));
        assert_eq!(delivery(kind, &commit, &broken).send(&address, secret(kind)).await.status, 202);
        let validate = world.finished(kind, &broken, "longboat/validate").await;
        let expected = ("FAILED", "Failed: 1 error, shop.yaml:5 unknown stage type scirpt");
        assert_eq!(words(&validate).last(), Some(&expected), "{kind:?}");
    }
    let ping = Delivery::of(Kind::DataCenter, "diagnostics:ping", &serde_json::json!({"test": true}));
    assert_eq!(ping.deliver(&address, None).await.status, 200, "the test button");
    let log = server.log();
    for secret in [secret(Kind::Cloud), secret(Kind::DataCenter), TOKEN] {
        assert!(!log.contains(secret), "{log}");
    }
    assert!(server.stop().success());
}
