//! The whole story of a pull request, word by word: opened with a mistake, mended, merged, deployed. Told on a GitHub, a
//! Bitbucket Cloud and a Bitbucket Data Center, with the real binary and real Git.
//!
//! What people read is a snapshot per forge; only ids, commits and durations are replaced.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use longboat::clock::Clock;

use crate::support::control::PullOf;
use crate::support::fake_bitbucket::{self, FakeBitbucket, Kind};
use crate::support::fake_github::{self, FakeGitHub, Posted};
use crate::support::git_http::GitHttp;
use crate::support::postgres::with_database;
use crate::support::repo::git_in;
use crate::support::server::{Server, write_config};
use crate::support::wait::eventually_async;

const LIMIT: Duration = Duration::from_secs(60);
const REPOSITORY: &str = "acme/shop";
const HOOK: &str = "a secret that only the forge and Longboat know";
/// A secret of the pipelines, which a careless script prints.
const TOKEN_OF_THE_SHOP: &str = "s3cr3t-of-the-shop-4711";

/// What stands on the target branch before the story begins.
const BEFORE: &str = "\
application: shop
pipelines:
  - name: deploy
    triggers: [{type: git, branches: [main]}]
    stages:
      - {id: build, type: script, command: echo built}
";

/// What the pull request brings, with a mistake in line 8.
const BROKEN: &str = "\
application: shop
pipelines:
  - name: deploy
    triggers: [{type: git, branches: [main]}]
    stages:
      - {id: build, type: script, command: echo built}
      - id: ship
        type: scirpt
        needs: [build]
        command: echo shipped
  - name: smoke
    triggers: [{type: git, branches: [main]}]
    stages:
      - id: knock
        type: script
        env: {TOKEN: '${ secret(\"shop\") }'}
        command: |
          echo \"knocking with $TOKEN\"
          echo '@everyone: **nobody** is at home'
          exit 7
";

/// A forge of the story.
enum Fake {
    GitHub(FakeGitHub),
    Bitbucket(FakeBitbucket),
}

impl Fake {
    /// The lines of the configuration.
    fn config(&self) -> String {
        match self {
            Self::GitHub(fake) => format!("type: github, apiUrl: '{}'", fake.url()),
            Self::Bitbucket(fake) => match fake.kind() {
                Kind::Cloud => format!("type: {}, apiUrl: '{}'", fake.forge_type(), fake.url()),
                Kind::DataCenter => format!("type: {}, url: '{}'", fake.forge_type(), fake.url()),
            },
        }
    }

    fn token(&self) -> &'static str {
        match self {
            Self::GitHub(_) => fake_github::TOKEN,
            Self::Bitbucket(_) => fake_bitbucket::TOKEN,
        }
    }

    fn add_repository(&self) {
        match self {
            Self::GitHub(fake) => fake.add_repository(REPOSITORY),
            Self::Bitbucket(fake) => fake.add_repository(REPOSITORY),
        }
    }

    fn add_commit(&self, commit: &str) {
        match self {
            Self::GitHub(fake) => fake.add_commit(REPOSITORY, commit),
            Self::Bitbucket(fake) => fake.add_commit(REPOSITORY, commit),
        }
    }

    fn posted(&self) -> Vec<Posted> {
        match self {
            Self::GitHub(fake) => fake.posted(),
            Self::Bitbucket(fake) => fake.posted(),
        }
    }

    fn open(&self, head: &str) -> u64 {
        let (title, branch, target) = ("Ship it, and @knock", "ship", "main");
        let of = PullOf { title, from: REPOSITORY, branch, head, target, author: "ann" };
        match self {
            Self::GitHub(fake) => fake.open_pull(REPOSITORY, &of),
            Self::Bitbucket(fake) => fake.open_pull(REPOSITORY, &of),
        }
    }

    fn push_to_pull(&self, number: u64, head: &str) {
        match self {
            Self::GitHub(fake) => fake.push_to_pull(REPOSITORY, number, head),
            Self::Bitbucket(fake) => fake.push_to_pull(REPOSITORY, number, head),
        }
    }

    fn merge(&self, number: u64, commit: &str) {
        match self {
            Self::GitHub(fake) => fake.close_pull(REPOSITORY, number, Some(commit)),
            Self::Bitbucket(fake) => fake.close_pull(REPOSITORY, number, Some(commit)),
        }
    }

    /// The comments that stand on the pull request.
    fn comments(&self, number: u64) -> Vec<String> {
        match self {
            Self::GitHub(fake) => fake.comments(REPOSITORY, number).into_iter().map(|comment| comment.body).collect(),
            Self::Bitbucket(fake) => {
                let comments = fake.comments(REPOSITORY, number).into_iter();
                comments.filter(|comment| !comment.deleted).map(|comment| comment.body).collect()
            }
        }
    }

    /// The webhook about the pull request: `opened`, `updated` or `merged`, in the forge's own words.
    async fn tell(&self, server: &Server, number: u64, action: &str) -> u16 {
        match self {
            Self::GitHub(fake) => {
                let action = match action {
                    "updated" => "synchronize",
                    "merged" => "closed",
                    other => other,
                };
                let delivery = fake.pull_event(REPOSITORY, number, action, "ann");
                delivery.send(&format!("{}/webhooks/github", server.url), HOOK).await.status
            }
            Self::Bitbucket(fake) => {
                let delivery = fake.pull_event(REPOSITORY, number, action, "ann");
                delivery.send(&format!("{}/webhooks/bitbucket", server.url), HOOK).await.status
            }
        }
    }

    /// The webhook about a push to `main`.
    async fn tell_of_push(&self, server: &Server, before: &str, after: &str) -> u16 {
        let git_ref = "refs/heads/main";
        match self {
            Self::GitHub(_) => {
                let push = fake_github::PushOf {
                    repository: REPOSITORY,
                    git_ref,
                    before: Some(before),
                    after: Some(after),
                    actor: "ann",
                    forced: false,
                };
                fake_github::Delivery::push(&push).send(&format!("{}/webhooks/github", server.url), HOOK).await.status
            }
            Self::Bitbucket(fake) => {
                let push = fake_bitbucket::PushOf { git_ref, before: Some(before), after: Some(after) };
                let delivery = fake_bitbucket::Delivery::push(fake.kind(), REPOSITORY, "ann", &[push]);
                delivery.send(&format!("{}/webhooks/bitbucket", server.url), HOOK).await.status
            }
        }
    }
}

/// The story as it unfolds.
struct Story {
    folder: tempfile::TempDir,
    fake: Fake,
    _git: GitHttp,
    config: PathBuf,
    /// What people read so far.
    told: String,
    /// Commits by the names that the snapshot has for them.
    names: Vec<(String, &'static str)>,
}

impl Story {
    async fn begin(fake: Fake, database: Option<&str>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let bare = folder.path().join("served/acme/shop.git");
        std::fs::create_dir_all(&bare).expect("a folder");
        git_in(&bare, &["init", "--quiet", "--bare", "--initial-branch=main"]);
        git_in(folder.path(), &["init", "--quiet", "--initial-branch=main", "work"]);
        git_in(&folder.path().join("work"), &["remote", "add", "origin", bare.to_str().expect("UTF-8")]);
        let git = GitHttp::start(&folder.path().join("served"), None).await;
        fake.add_repository();
        let config = format!(
            "server: {{listen: '127.0.0.1:0', publicUrl: 'https://cd.example.com', stateDir: state}}\n\
             forges:\n  forge: {{{}, token: {{env: TEST_TOKEN}}, webhookSecret: {{env: TEST_SECRET}}}}\n\
             repositories:\n  - {{name: {REPOSITORY}, forge: forge, url: '{}', branches: [main], poll: 1h}}\n\
             secrets: {{shop: {{env: SHOP_TOKEN, repositories: [{REPOSITORY}]}}}}\n{}",
            fake.config(),
            git.url("acme/shop.git"),
            database.map(|url| format!("database: {{url: '{url}'}}\n")).unwrap_or_default(),
        );
        let config = write_config(folder.path(), &config);
        Self { folder, fake, _git: git, config, told: String::new(), names: Vec::new() }
    }

    fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    fn bare(&self) -> PathBuf {
        self.folder.path().join("served/acme/shop.git")
    }

    /// Commits the file and pushes it to a branch; the commit, called `name` from now on.
    fn push(&mut self, branch: &str, text: &str, name: &'static str) -> String {
        let work = self.work();
        write(&work.join(".longboat/shop.yaml"), text);
        git_in(&work, &["add", "--all"]);
        git_in(&work, &["commit", "--quiet", "--message", name]);
        self.publish(branch, name)
    }

    /// Pushes what stands in the work tree.
    fn publish(&mut self, branch: &str, name: &'static str) -> String {
        let work = self.work();
        let commit = git_in(&work, &["rev-parse", "HEAD"]);
        git_in(&work, &["push", "--quiet", "--force", "origin", &format!("HEAD:refs/heads/{branch}")]);
        self.fake.add_commit(&commit);
        self.names.push((commit.clone(), name));
        commit
    }

    /// The refs under which forges keep the heads of pull requests.
    fn offer_head(&self, number: u64, commit: &str) {
        for git_ref in [format!("refs/pull/{number}/head"), format!("refs/pull-requests/{number}/from")] {
            git_in(&self.bare(), &["update-ref", &git_ref, commit]);
        }
    }

    /// Waits until a status of a commit is final, and tells it.
    async fn status(&mut self, commit: &str, context: &str) {
        let last = eventually_async(LIMIT, &format!("{context} of {commit} is decided"), || async {
            let posted = self.fake.posted().into_iter().rev();
            let last = posted.into_iter().find(|posted| posted.sha == commit && posted.context == context)?;
            (!matches!(last.state.as_str(), "pending" | "INPROGRESS")).then_some(last)
        })
        .await;
        let _ = writeln!(self.told, "status  {context}: {}: {}", last.state, last.description);
    }

    /// Waits until the one comment says something, and tells all of it.
    async fn comment(&mut self, number: u64, says: &str) {
        let body = eventually_async(LIMIT, &format!("the comment says `{says}`"), || async {
            let comments = self.fake.comments(number);
            assert!(comments.len() <= 1, "one comment, not {}: {comments:#?}", comments.len());
            comments.into_iter().next().filter(|body| body.contains(says))
        })
        .await;
        let _ = writeln!(self.told, "comment\n{}\n", indent(&body));
    }

    fn chapter(&mut self, title: &str) {
        let _ = writeln!(self.told, "\n# {title}\n");
    }

    /// The story with what differs from run to run replaced.
    fn ending(mut self) -> String {
        assert!(!self.told.contains(TOKEN_OF_THE_SHOP), "a secret is told:\n{}", self.told);
        for (commit, name) in &self.names {
            self.told = self.told.replace(commit, &format!("<{name}>")).replace(&commit[..7], &format!("<{name}>"));
        }
        self.told
    }
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    std::fs::write(path, text).expect("a file");
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("    {line}").trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

async fn tell(fake: Fake, database: Option<&str>) -> String {
    let mut story = Story::begin(fake, database).await;
    let first = story.push("main", BEFORE, "first");
    let environment = [("TEST_TOKEN", story.fake.token()), ("TEST_SECRET", HOOK), ("SHOP_TOKEN", TOKEN_OF_THE_SHOP)];
    let server = Server::start(&story.config, &environment);
    story.chapter("The target branch, at the first sight");
    story.status(&first, "longboat/validate").await;

    story.chapter("A pull request with a mistake");
    git_in(&story.work(), &["switch", "--quiet", "--create", "ship"]);
    let broken = story.push("ship", BROKEN, "broken");
    let number = story.fake.open(&broken);
    story.offer_head(number, &broken);
    assert_eq!(story.fake.tell(&server, number, "opened").await, 202);
    story.status(&broken, "longboat/validate").await;
    story.comment(number, "scirpt").await;

    story.chapter("Its fix");
    let fixed = story.push("ship", &BROKEN.replace("scirpt", "script"), "fixed");
    story.offer_head(number, &fixed);
    story.fake.push_to_pull(number, &fixed);
    assert_eq!(story.fake.tell(&server, number, "updated").await, 202);
    story.status(&fixed, "longboat/validate").await;
    story.comment(number, "smoke").await;

    story.chapter("Its merge, and the deployment");
    let work = story.work();
    git_in(&work, &["switch", "--quiet", "main"]);
    git_in(&work, &["merge", "--quiet", "--no-ff", "--message", "Merge", "ship"]);
    let merged = story.publish("main", "merged");
    story.fake.merge(number, &merged);
    assert_eq!(story.fake.tell(&server, number, "merged").await, 202);
    assert_eq!(story.fake.tell_of_push(&server, &first, &merged).await, 202);
    story.status(&merged, "longboat/validate").await;
    story.status(&merged, "longboat/shop/deploy").await;
    story.status(&merged, "longboat/shop/smoke").await;
    story.comment(number, "nobody").await;

    let list = server.get("/api/v1/executions").await;
    assert_eq!(list["items"].as_array().map(Vec::len), Some(2), "the head was never executed: {list:#}");
    assert!(!server.log().contains(TOKEN_OF_THE_SHOP), "the log holds the secret");
    assert!(server.stop().success());
    story.ending()
}

fn check(name: &str, told: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", "<execution>");
    settings.add_filter(r"\b\d+(\.\d+)? ?m?s\b", "<time>");
    settings.bind(|| insta::assert_snapshot!(name, told));
}

#[tokio::test(flavor = "multi_thread")]
async fn on_github() {
    let fake = FakeGitHub::start(Clock::system()).await;
    check("story_on_github", &tell(Fake::GitHub(fake), None).await);
}

/// The same words, whatever the server keeps them in.
#[tokio::test(flavor = "multi_thread")]
async fn on_github_with_postgres() {
    with_database(|url| async move {
        let fake = FakeGitHub::start(Clock::system()).await;
        check("story_on_github", &tell(Fake::GitHub(fake), Some(&url)).await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_bitbucket_cloud() {
    let fake = FakeBitbucket::start(Kind::Cloud, Clock::system()).await;
    check("story_on_bitbucket_cloud", &tell(Fake::Bitbucket(fake), None).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_bitbucket_data_center() {
    let fake = FakeBitbucket::start(Kind::DataCenter, Clock::system()).await;
    check("story_on_bitbucket_data_center", &tell(Fake::Bitbucket(fake), None).await);
}
