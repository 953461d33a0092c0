//! A pull request on a module repository: one comment says what the merge would do in all that use it, and the merge
//! publishes exactly those again. With the real binary and real Git, on a GitHub that refuses what GitHub refuses.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use longboat::clock::Clock;

use super::terminal::ask;
use crate::cli::{stderr, stdout};
use crate::support::control::PullOf;
use crate::support::fake_github::{Delivery, FakeGitHub, PushOf, TOKEN};
use crate::support::git_http::GitHttp;
use crate::support::repo::git_in;
use crate::support::server::{Server, write_config};
use crate::support::wait::eventually_async;

const LIMIT: Duration = Duration::from_secs(60);
const HOOK: &str = "a secret that only the forge and Longboat know";
const MODULES: &str = "acme/modules";
const DEPLOY: &str = "\
module:
  description: Deploys an image
  yields: stage
  parameters:
    image: {type: string, required: true}
---
id: deploy
type: script
env:
  IMAGE: {{ image }}
command: ./deploy
";

/// Who uses the modules, each with its call.
const USERS: [(&str, &str); 3] =
    [("pinned", "platform/deploy@v1"), ("shop", "platform/deploy"), ("tea", "platform/deploy@main")];

struct Town {
    folder: tempfile::TempDir,
    github: FakeGitHub,
    _git: GitHttp,
    config: PathBuf,
    told: String,
    names: Vec<(String, String)>,
}

impl Town {
    async fn begin(dependents: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let github = FakeGitHub::start(Clock::system()).await;
        let git = GitHttp::start(&folder.path().join("served"), None).await;
        let all = ["modules"].into_iter().chain(USERS.map(|(name, _)| name));
        let mut repositories = String::new();
        for name in all {
            let bare = folder.path().join(format!("served/acme/{name}.git"));
            std::fs::create_dir_all(&bare).expect("a folder");
            git_in(&bare, &["init", "--quiet", "--bare", "--initial-branch=main"]);
            git_in(folder.path(), &["init", "--quiet", "--initial-branch=main", name]);
            git_in(&folder.path().join(name), &["remote", "add", "origin", bare.to_str().expect("UTF-8")]);
            github.add_repository(&format!("acme/{name}"));
            let url = git.url(&format!("acme/{name}.git"));
            let _ = writeln!(
                repositories,
                "  - {{name: acme/{name}, forge: forge, url: '{url}', branches: [main], poll: 1h}}"
            );
        }
        let config = format!(
            "server: {{listen: '127.0.0.1:0', publicUrl: 'https://cd.example.com', stateDir: state}}\n\
             forges:\n  forge: {{type: github, apiUrl: '{}', token: {{env: TEST_TOKEN}}, webhookSecret: {{env: TEST_SECRET}}}}\n\
             repositories:\n{repositories}\
             modules: {{platform: {{repository: {MODULES}, path: ., dependents: {dependents}}}}}\n",
            github.url(),
        );
        let config = write_config(folder.path(), &config);
        let mut town = Self { folder, github, _git: git, config, told: String::new(), names: Vec::new() };
        town.push("modules", "main", "deploy.yaml", DEPLOY, "old modules");
        git_in(&town.work("modules"), &["tag", "v1"]);
        git_in(&town.work("modules"), &["push", "--quiet", "origin", "v1"]);
        for (name, call) in USERS {
            let text = format!(
                "application: {name}\npipelines:\n  - name: deploy\n    triggers: [{{type: git, branches: [main]}}]\n    stages:\n      - use: '{call}'\n        with: {{image: '{name}:1'}}\n"
            );
            town.push(name, "main", ".longboat/app.yaml", &text, name);
        }
        town
    }

    fn work(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Commits a file and pushes it to a branch; the commit, called `called` from now on.
    fn push(&mut self, name: &str, branch: &str, path: &str, text: &str, called: &str) -> String {
        let work = self.work(name);
        let path = work.join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, text).expect("a file");
        git_in(&work, &["add", "--all"]);
        git_in(&work, &["commit", "--quiet", "--message", called]);
        let commit = git_in(&work, &["rev-parse", "HEAD"]);
        git_in(&work, &["push", "--quiet", "--force", "origin", &format!("HEAD:refs/heads/{branch}")]);
        self.github.add_commit(&format!("acme/{name}"), &commit);
        self.names.push((commit.clone(), called.to_owned()));
        commit
    }

    fn serve(&self) -> Server {
        Server::start(&self.config, &[("TEST_TOKEN", TOKEN), ("TEST_SECRET", HOOK)])
    }

    /// What `longboat/validate` said on a commit and was final, in order.
    fn said(&self, commit: &str) -> Vec<String> {
        let posted = self.github.posted().into_iter();
        let of = posted.filter(|posted| posted.sha == commit && posted.context == "longboat/validate");
        of.filter(|posted| posted.state != "pending").map(|one| format!("{}: {}", one.state, one.description)).collect()
    }

    async fn until_said(&self, commit: &str, number: usize) -> String {
        let what = format!("{number} words about {commit}");
        eventually_async(LIMIT, &what, || async { self.said(commit).get(number - 1).cloned() }).await
    }

    /// The one comment, once it says something.
    async fn comment(&self, number: u64, says: &str) -> String {
        eventually_async(LIMIT, &format!("the comment says `{says}`"), || async {
            let comments = self.github.comments(MODULES, number);
            assert!(comments.len() <= 1, "one comment, not {}", comments.len());
            comments.into_iter().next().map(|comment| comment.body).filter(|body| body.contains(says))
        })
        .await
    }

    /// Brings a change of the module as a pull request, or a newer head of one.
    async fn propose(&mut self, server: &Server, number: Option<u64>, text: &str, called: &str) -> (u64, String) {
        let head = self.push("modules", "change", "deploy.yaml", text, called);
        let of =
            PullOf { title: "Better", from: MODULES, branch: "change", head: &head, target: "main", author: "ann" };
        let (number, action) = match number {
            Some(number) => {
                self.github.push_to_pull(MODULES, number, &head);
                (number, "synchronize")
            }
            None => (self.github.open_pull(MODULES, &of), "opened"),
        };
        let bare = self.folder.path().join("served/acme/modules.git");
        git_in(&bare, &["update-ref", &format!("refs/pull/{number}/head"), &head]);
        let delivery = self.github.pull_event(MODULES, number, action, "ann");
        assert_eq!(delivery.send(&format!("{}/webhooks/github", server.url), HOOK).await.status, 202);
        (number, head)
    }

    fn tell(&mut self, title: &str, text: &str) {
        let _ = writeln!(self.told, "# {title}\n\n{text}\n");
    }

    fn ending(&self) -> String {
        let mut told = self.told.clone();
        for (commit, name) in &self.names {
            told = told.replace(commit, &format!("<{name}>")).replace(&commit[..7], &format!("<{name}>"));
        }
        told
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_shows_the_plan_of_every_dependent_and_its_merge_publishes_them() {
    let mut town = Town::begin("plans").await;
    let before = git_in(&town.work("modules"), &["rev-parse", "HEAD"]);
    let server = town.serve();
    let heads = USERS.map(|(name, _)| git_in(&town.work(name), &["rev-parse", "HEAD"]));
    for head in &heads {
        assert_eq!(town.until_said(head, 1).await, "success: 1 pipeline valid");
    }

    git_in(&town.work("modules"), &["switch", "--quiet", "--create", "change"]);
    let broken = DEPLOY.replace("type: script", "type: scirpt");
    let (number, head) = town.propose(&server, None, &broken, "broken modules").await;
    let said = town.until_said(&head, 1).await;
    assert_eq!(said, "failure: Failed: breaks acme/shop and 1 more dependent");
    let comment = town.comment(number, "scirpt").await;
    town.tell("A change that breaks", &format!("{said}\n\n{comment}"));

    let better = DEPLOY.replace("command: ./deploy", "command: ./deploy --wait");
    let (_, head) = town.propose(&server, Some(number), &better, "better modules").await;
    let said = town.until_said(&head, 1).await;
    assert_eq!(said, "success: 2 pipelines of 2 dependents change");
    let comment = town.comment(number, "--wait").await;
    town.tell("A change that doesn't", &format!("{said}\n\n{comment}"));

    let work = town.work("modules");
    git_in(&work, &["switch", "--quiet", "main"]);
    git_in(&work, &["merge", "--quiet", "--no-ff", "--message", "Merge", "change"]);
    let merged = git_in(&work, &["rev-parse", "HEAD"]);
    git_in(&work, &["push", "--quiet", "origin", "main"]);
    town.github.add_commit(MODULES, &merged);
    town.names.push((merged.clone(), "merged modules".to_owned()));
    town.github.close_pull(MODULES, number, Some(&merged));
    let push = PushOf {
        repository: MODULES,
        git_ref: "refs/heads/main",
        before: Some(&before),
        after: Some(&merged),
        actor: "ann",
        forced: false,
    };
    for delivery in [town.github.pull_event(MODULES, number, "closed", "ann"), Delivery::push(&push)] {
        assert_eq!(delivery.send(&format!("{}/webhooks/github", server.url), HOOK).await.status, 202);
    }
    let [pinned, shop, tea] = &heads;
    let moved = format!("moved from {} to {}", &before[..7], &merged[..7]);
    assert_eq!(town.until_said(shop, 2).await, format!("success: 1 pipeline valid; platform {moved}"));
    assert_eq!(town.until_said(tea, 2).await, format!("success: 1 pipeline valid; platform@main {moved}"));
    assert_eq!((town.said(pinned).len(), town.said(shop).len(), town.said(tea).len()), (1, 2, 2));
    let asked = ask(&server, &["modules", "dependents", "platform/deploy"]).await;
    town.tell("Who uses the module", &stdout(&asked));
    let asked = ask(&server, &["modules", "dependencies", "acme/tea"]).await;
    town.tell("What a repository uses", &stdout(&asked));
    let list = server.get("/api/v1/executions").await;
    assert_eq!(list["items"].as_array().map(Vec::len), Some(0), "nothing is started: {list:#}");
    let pipeline = server.get("/api/v1/applications/shop/pipelines").await;
    assert!(pipeline.to_string().contains("--wait"), "{pipeline:#}");
    assert!(server.stop().success());
    insta::assert_snapshot!("modules_on_github", town.ending());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_told_of_others_is_not_told() {
    for (dependents, names) in [("counts", false), ("names", true)] {
        let mut town = Town::begin(dependents).await;
        let server = town.serve();
        for (name, _) in USERS {
            let head = git_in(&town.work(name), &["rev-parse", "HEAD"]);
            town.until_said(&head, 1).await;
        }
        git_in(&town.work("modules"), &["switch", "--quiet", "--create", "change"]);
        let better = DEPLOY.replace("command: ./deploy", "command: ./deploy --wait");
        let (number, _) = town.propose(&server, None, &better, "better modules").await;
        let comment = town.comment(number, "2 pipelines of 2 dependents change").await;
        assert_eq!(comment.contains("shop/deploy"), names, "{comment}");
        assert!(!comment.contains("--wait") && comment.contains("1 dependent uses other tags"), "{comment}");
        let broken = DEPLOY.replace("type: script", "type: scirpt");
        let (_, head) = town.propose(&server, Some(number), &broken, "broken modules").await;
        let comment = town.comment(number, "2 dependents would have 2 new errors").await;
        assert_eq!(comment.contains("acme/shop"), names, "{comment}");
        assert!(!comment.contains("app.yaml"), "{comment}");
        let said = town.until_said(&head, 1).await;
        let told = if names { "acme/shop and 1 more dependent" } else { "2 dependents" };
        assert_eq!(said, format!("failure: Failed: breaks {told}"));
        // The same is true for who asks the server.
        let asked = ask(&server, &["modules", "dependents", "platform/deploy"]).await;
        let (out, note) = (stdout(&asked), stderr(&asked));
        assert!(out.starts_with("3 files of 3 repositories use platform/deploy:\n"), "{out}{note}");
        assert_eq!((out.contains("acme/shop"), out.contains("app.yaml")), (names, false), "{out}");
        assert!(
            note.contains(&format!(
                "`dependents` of `modules.platform` in the server's configuration is `{dependents}`"
            )),
            "{note}"
        );
        assert!(server.stop().success());
    }
}

/// Who uses the module, as the server knows it: repository, reference, commit and line of each.
async fn users(server: &Server) -> Vec<String> {
    let answer = server.get("/api/v1/modules/platform/deploy/dependents").await;
    let line = |one: &serde_json::Value| {
        format!("{} {} {} {}", one["repository"], one["reference"], one["commit"], one["line"])
    };
    answer["items"].as_array().into_iter().flatten().map(line).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_database_is_filled_again_from_git_and_a_push_then_publishes_exactly_the_dependents() {
    let mut town = Town::begin("plans").await;
    let server = town.serve();
    let heads = USERS.map(|(name, _)| git_in(&town.work(name), &["rev-parse", "HEAD"]));
    for head in &heads {
        town.until_said(head, 1).await;
    }
    let before = users(&server).await;
    assert_eq!(before.len(), 3, "{before:?}");
    assert!(server.stop().success());
    // Database, mirrors, all of it.
    std::fs::remove_dir_all(town.folder.path().join("state")).expect("the state folder");

    let server = town.serve();
    eventually_async(LIMIT, "the graph is full again", || async { (users(&server).await == before).then_some(()) })
        .await;
    eventually_async(LIMIT, "everything is looked at and said", || async {
        let figures = server.get_text("/metrics").await;
        let idle = ["longboat_inbox_waiting 0\n", "longboat_outbox_waiting 0\n"];
        idle.iter().all(|figure| figures.contains(figure)).then_some(())
    })
    .await;
    let said = heads.each_ref().map(|head| town.said(head).len());
    let main = git_in(&town.work("modules"), &["rev-parse", "HEAD"]);
    let better = town.push("modules", "main", "deploy.yaml", &DEPLOY.replace("./deploy", "./deploy --wait"), "better");
    let push = PushOf {
        repository: MODULES,
        git_ref: "refs/heads/main",
        before: Some(&main),
        after: Some(&better),
        actor: "ann",
        forced: false,
    };
    assert_eq!(Delivery::push(&push).send(&format!("{}/webhooks/github", server.url), HOOK).await.status, 202);
    for (at, words) in [(1, "platform moved from"), (2, "platform@main moved from")] {
        let told = town.until_said(&heads[at], said[at] + 1).await;
        assert!(told.contains(words), "{told}");
    }
    let after = users(&server).await;
    let moved = |line: &String| line.contains(&better);
    assert_eq!(after.iter().map(moved).collect::<Vec<_>>(), [false, true, true], "{after:?}");
    assert_eq!(town.said(&heads[0]).len(), said[0], "whoever uses a tag is left alone");
    let list = server.get("/api/v1/executions").await;
    assert_eq!(list["items"].as_array().map(Vec::len), Some(0), "nothing is started: {list:#}");
    assert!(server.stop().success());
}
