//! A small world: a repository behind Git over HTTP, a GitHub that refuses what GitHub refuses, and the real binary.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use longboat::clock::Clock;

use crate::support::fake_github::{Delivery, FakeGitHub, Posted, PushOf, TOKEN};
use crate::support::git_http::GitHttp;
use crate::support::repo::git_in;
use crate::support::server::{Server, write_config};
use crate::support::wait::eventually_async;

/// The repository of most tests.
pub const REPOSITORY: &str = "acme/shop";

/// The secret of its webhook.
const SECRET: &str = "a secret that only GitHub and Longboat know";

/// How long anything may take before a test gives up.
const LIMIT: Duration = Duration::from_secs(60);

/// One repository, one forge, one configuration; servers come and go.
pub struct World {
    folder: tempfile::TempDir,
    /// The fake forge.
    pub github: FakeGitHub,
    git: GitHttp,
    config: PathBuf,
    /// The configuration without its database.
    text: String,
}

impl World {
    /// A world with an empty repository.
    pub async fn new() -> Self {
        Self::with("").await
    }

    /// A world whose configuration has more repositories (lines of the list).
    pub async fn with(more_repositories: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let bare = folder.path().join("served/acme/shop.git");
        std::fs::create_dir_all(&bare).expect("a folder");
        git_in(&bare, &["init", "--quiet", "--bare", "--initial-branch=main"]);
        let work = folder.path().join("work");
        git_in(folder.path(), &["init", "--quiet", "--initial-branch=main", "work"]);
        git_in(&work, &["remote", "add", "origin", bare.to_str().expect("UTF-8")]);
        let served = GitHttp::start(&folder.path().join("served"), None).await;
        let github = FakeGitHub::start(Clock::system()).await;
        github.add_repository(REPOSITORY);
        let config = format!(
            "server: {{listen: '127.0.0.1:0', publicUrl: 'https://cd.example.com', stateDir: state}}\n\
             forges:\n  github: {{type: github, apiUrl: '{api}', token: {{env: TEST_TOKEN}}, webhookSecret: {{env: TEST_SECRET}}}}\n\
             repositories:\n  - {{name: {REPOSITORY}, forge: github, url: '{url}', branches: [main], poll: 1s}}\n\
             {more_repositories}",
            api = github.url(),
            url = served.url("acme/shop.git"),
        );
        let path = write_config(folder.path(), &config);
        Self { folder, github, git: served, config: path, text: config }
    }

    /// A world with an empty repository, whose server keeps everything in the database that the URL names.
    pub async fn kept_in(database: &str) -> Self {
        let world = Self::new().await;
        world.keep_in(database);
        world
    }

    /// From the next start on, the server keeps everything in another database.
    pub fn keep_in(&self, database: &str) {
        write_config(self.folder(), &format!("{}database: {{url: '{database}'}}\n", self.text));
    }

    /// The folder of everything.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The work tree of a developer.
    pub fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    /// The address of a repository over HTTP.
    #[allow(dead_code, reason = "a benchmark asks for it")]
    pub fn served(&self, path: &str) -> String {
        self.git.url(path)
    }

    /// Writes files, commits and pushes them to `main`; the commit.
    pub async fn push(&self, files: &[(&str, &str)], message: &str) -> String {
        self.push_to("main", files, message).await
    }

    /// The same to another branch.
    pub async fn push_to(&self, branch: &str, files: &[(&str, &str)], message: &str) -> String {
        let work = self.work();
        for (path, text) in files {
            let path = work.join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::fs::write(path, text).expect("a file");
        }
        git_in(&work, &["add", "--all"]);
        git_in(&work, &["commit", "--quiet", "--allow-empty", "--message", message]);
        let commit = git_in(&work, &["rev-parse", "HEAD"]);
        self.github.add_commit(REPOSITORY, &commit);
        git_in(&work, &["push", "--quiet", "--force", "origin", &format!("HEAD:refs/heads/{branch}")]);
        commit
    }

    /// Starts the server.
    pub fn serve(&self) -> Server {
        self.serve_with(&[])
    }

    /// Starts a server with another configuration, of which this world's is the model.
    pub fn serve_otherwise(&self, name: &str, change: impl FnOnce(String) -> String) -> Server {
        let path = self.folder().join(name);
        std::fs::write(&path, change(self.text.clone())).expect("the configuration is written");
        Server::start(&path, &[("TEST_TOKEN", TOKEN), ("TEST_SECRET", SECRET)])
    }

    /// Starts a server with the configuration as it stands, but with another state folder: another node.
    pub fn serve_elsewhere(&self, state: &str, more: &[(&str, &str)]) -> Server {
        let text = std::fs::read_to_string(&self.config).expect("the configuration is read");
        let path = self.folder().join(format!("{state}.yaml"));
        let elsewhere = text.replace("stateDir: state}", &format!("stateDir: {state}}}"));
        std::fs::write(&path, elsewhere).expect("the configuration is written");
        let mut environment = vec![("TEST_TOKEN", TOKEN), ("TEST_SECRET", SECRET)];
        environment.extend_from_slice(more);
        Server::start(&path, &environment)
    }

    /// Starts the server with more in its environment.
    pub fn serve_with(&self, more: &[(&str, &str)]) -> Server {
        let mut environment = vec![("TEST_TOKEN", TOKEN), ("TEST_SECRET", SECRET)];
        environment.extend_from_slice(more);
        Server::start(&self.config, &environment)
    }

    /// Runs the server until it gives up by itself.
    pub fn serve_and_fail(&self) -> Output {
        Command::new(env!("CARGO_BIN_EXE_longboat"))
            .args(["serve", "--config"])
            .arg(&self.config)
            .env("TEST_TOKEN", TOKEN)
            .env("TEST_SECRET", SECRET)
            .stdin(Stdio::null())
            .output()
            .expect("the binary runs")
    }

    /// Tells the server of a push, as GitHub does; the answer's status.
    pub async fn webhook(&self, server: &Server, before: &str, after: &str) -> u16 {
        self.webhook_of(server, "refs/heads/main", before, after).await
    }

    /// The same for any ref; a zero commit is none.
    pub async fn webhook_of(&self, server: &Server, git_ref: &str, before: &str, after: &str) -> u16 {
        let delivery = push_of(git_ref, before, after);
        delivery.send(&format!("{}/webhooks/github", server.url), SECRET).await.status
    }

    /// The webhook's secret, which must appear nowhere.
    pub fn secret(&self) -> &'static str {
        SECRET
    }

    /// The same to a server that may be gone by now.
    pub async fn try_webhook(&self, server: &Server, before: &str, after: &str) -> Option<u16> {
        let delivery = push_of("refs/heads/main", before, after);
        let answer = reqwest::Client::new()
            .post(format!("{}/webhooks/github", server.url))
            .header("content-type", "application/json")
            .header("x-github-event", &delivery.event)
            .header("x-github-delivery", &delivery.id)
            .header("x-hub-signature-256", delivery.signature(SECRET))
            .body(delivery.body)
            .send()
            .await;
        answer.ok().map(|answer| answer.status().as_u16())
    }

    /// Waits for something of this world.
    pub async fn until<T, F: Future<Output = Option<T>>>(&self, what: &str, check: impl FnMut() -> F) -> T {
        eventually_async(LIMIT, what, check).await
    }

    /// The statuses of a commit, by context, in the order in which they came.
    pub fn statuses(&self, commit: &str) -> BTreeMap<String, Vec<Posted>> {
        let mut by_context: BTreeMap<String, Vec<Posted>> = BTreeMap::new();
        for posted in self.github.posted().into_iter().filter(|posted| posted.sha == commit) {
            by_context.entry(posted.context.clone()).or_default().push(posted);
        }
        by_context
    }

    /// Waits until a context of a commit has a final status; all of its statuses.
    pub async fn finished(&self, commit: &str, context: &str) -> Vec<Posted> {
        let what = format!("{context} of {commit} ends");
        self.until(&what, || async {
            let statuses = self.statuses(commit).remove(context)?;
            (statuses.last()?.state != "pending").then_some(statuses)
        })
        .await
    }

    /// Waits until a context of a commit is good.
    pub async fn settled(&self, commit: &str, context: &str) {
        let statuses = self.finished(commit, context).await;
        assert_eq!(statuses.last().map(|status| status.state.as_str()), Some("success"), "{statuses:?}");
    }
}

fn push_of(git_ref: &str, before: &str, after: &str) -> Delivery {
    Delivery::push(&PushOf {
        repository: REPOSITORY,
        git_ref,
        before: Some(before).filter(|commit| !commit.trim_matches('0').is_empty()),
        after: Some(after).filter(|commit| !commit.trim_matches('0').is_empty()),
        actor: "ann",
        forced: false,
    })
}
