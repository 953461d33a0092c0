//! 200 webhooks for 200 repositories at once, with the real binary, real Git over HTTP and a GitHub on loopback:
//! `cargo bench --bench burst`.
//!
//! Prints one line a figure, and the limit of the same run beside it: what it costs to do the same without Longboat, by
//! the same parallelism. That is 200 fetches by the git program, 600 shells, and as many durable commits, one after the
//! other, as the server really made (its `/metrics` counts them). Fetches, shells and commits are measured one kind
//! after the other, and added. Not in the limit: checkouts, supervisors, statuses and what else the server does.

#[path = "../tests/it/support/mod.rs"]
#[allow(dead_code, unused_imports)]
mod support;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};
use git2::{FileMode, Repository, Signature};
use longboat::clock::{Clock, Timestamp};
use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use support::fake_github::{Delivery, FakeGitHub, Posted, PushOf, TOKEN};
use support::git_http::GitHttp;
use support::server::{Server, write_config};
use support::wait::eventually_async;

const REPOSITORIES: usize = 200;
const STEPS: usize = 3;
const ROUNDS: usize = 3;
const SECRET: &str = "a secret that only GitHub and Longboat know";

/// How many repositories the server works on at the same time.
const FETCHES_AT_ONCE: usize = 32;
/// How many scripts it runs at the same time (`limits.runningStages`).
const SCRIPTS_AT_ONCE: usize = 16;
/// What the server may allocate at most, in MiB: the system refuses it more.
const MEMORY: u64 = 512;

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(300);

fn main() {
    tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
        let scene = Scene::new().await;
        let server = scene.serve().await;
        println!("burst.memory.before = {:.1} MB", scene.resident(&server, "VmRSS:"));
        let mut rounds = Vec::new();
        for number in 0..ROUNDS {
            rounds.push(scene.round(&server, number).await);
        }
        println!("burst.memory.peak = {:.1} MB", scene.resident(&server, "VmHWM:"));
        println!("burst.memory.peak.limit = {MEMORY} MB (RLIMIT_DATA)");
        rounds.sort_by(|one, other| one.ratio().total_cmp(&other.ratio()));
        println!("burst.ratio = {:.2} (median of {ROUNDS})", rounds[ROUNDS / 2].ratio());
        assert!(server.stop().success());
    });
}

/// All repositories, where they are served, and the forge.
struct Scene {
    folder: tempfile::TempDir,
    github: FakeGitHub,
    git: GitHttp,
    heads: std::sync::Mutex<Vec<String>>,
}

/// What one burst took, and its limit.
struct Round {
    last_status: Duration,
    limit: Duration,
    /// The processors' time for all of it, of every process on both sides of the network, and the same of the limit.
    cpu: Duration,
    cpu_limit: Duration,
}

impl Round {
    fn ratio(&self) -> f64 {
        self.last_status.as_secs_f64() / self.limit.as_secs_f64()
    }
}

fn name(number: usize) -> String {
    format!("burst/r{number:03}")
}

fn pipeline(number: usize) -> String {
    let mut text = format!(
        "application: app{number}\npipelines:\n  - name: three\n    triggers: [{{type: git, branches: [main]}}]\n    stages:\n"
    );
    for step in 0..STEPS {
        text.push_str(&format!("      - {{id: step{step}, type: script, command: 'true'}}\n"));
    }
    text
}

impl Scene {
    async fn new() -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let github = FakeGitHub::start(Clock::system()).await;
        let mut heads = Vec::new();
        for number in 0..REPOSITORIES {
            let bare = served(folder.path(), number);
            let repository = Repository::init_bare(&bare).expect("a repository");
            repository.set_head("refs/heads/main").expect("a branch");
            let first = commit(&repository, &[(".longboat", &pipeline(number))]);
            github.add_repository(&name(number));
            github.add_commit(&name(number), &first);
            heads.push(first);
            // What the bare fetches go into.
            let clone = cloned(folder.path(), number);
            let mut builder = git2::build::RepoBuilder::new();
            builder.bare(true).clone(bare.to_str().expect("UTF-8"), &clone).expect("a clone");
        }
        let git = GitHttp::start(&folder.path().join("served"), None).await;
        Self { folder, github, git, heads: heads.into() }
    }

    /// Starts the server, and waits until it has published every repository.
    async fn serve(&self) -> Server {
        let mut config = format!(
            "server: {{listen: '127.0.0.1:0', publicUrl: 'https://cd.example.com', stateDir: state}}\n\
             forges:\n  github: {{type: github, apiUrl: '{}', token: {{env: TEST_TOKEN}}, webhookSecret: {{env: TEST_SECRET}}}}\n\
             repositories:\n",
            self.github.url()
        );
        for number in 0..REPOSITORIES {
            let (name, url) = (name(number), self.git.url(&format!("{}.git", name(number))));
            config
                .push_str(&format!("  - {{name: {name}, forge: github, url: '{url}', branches: [main], poll: 1h}}\n"));
        }
        let config = write_config(self.folder.path(), &config);
        let server = Server::start(&config, &[("TEST_TOKEN", TOKEN), ("TEST_SECRET", SECRET)]);
        let heads = self.heads.lock().expect("the heads").clone();
        self.decided(&heads, |_| "longboat/validate".to_owned()).await;
        let pid = server.pid().to_string();
        let bound = format!("--data={}", MEMORY * 1024 * 1024);
        let set = std::process::Command::new("prlimit").args(["--pid", &pid, &bound]).status().expect("prlimit runs");
        assert!(set.success(), "the server's memory can't be limited");
        server
    }

    /// Waits until a context of each commit is good; all statuses by commit and context.
    async fn decided(
        &self,
        commits: &[String],
        context: impl Fn(usize) -> String,
    ) -> HashMap<(String, String), Vec<Posted>> {
        eventually_async(LIMIT, "everything is decided", || async {
            // Seldom, because the forge runs in this process; when a status came is noted with it.
            tokio::time::sleep(Duration::from_millis(200)).await;
            let mut statuses: HashMap<(String, String), Vec<Posted>> = HashMap::new();
            for posted in self.github.posted() {
                statuses.entry((posted.sha.clone(), posted.context.clone())).or_default().push(posted);
            }
            for (number, commit) in commits.iter().enumerate() {
                let last = statuses.get(&(commit.clone(), context(number)))?.last()?;
                assert!(last.state == "success" || last.state == "pending", "{last:?}");
                (last.state == "success").then_some(())?;
            }
            Some(statuses)
        })
        .await
    }

    /// One burst, and the same without Longboat.
    async fn round(&self, server: &Server, round: usize) -> Round {
        let before = self.heads.lock().expect("the heads").clone();
        let after: Vec<String> = (0..REPOSITORIES)
            .map(|number| {
                let repository = Repository::open_bare(served(self.folder.path(), number)).expect("a repository");
                let commit = commit(&repository, &[("code", &format!("round {round}"))]);
                self.github.add_commit(&name(number), &commit);
                commit
            })
            .collect();
        *self.heads.lock().expect("the heads") = after.clone();
        let commits_before = commits_of(server).await;

        let client = reqwest::Client::new();
        let deliveries = before.iter().zip(&after).enumerate().map(|(number, (before, after))| {
            let delivery = Delivery::push(&PushOf {
                repository: &name(number),
                git_ref: "refs/heads/main",
                before: Some(before),
                after: Some(after),
                actor: "ann",
                forced: false,
            });
            client
                .post(format!("{}/webhooks/github", server.url))
                .header("content-type", "application/json")
                .header("x-github-event", &delivery.event)
                .header("x-github-delivery", &delivery.id)
                .header("x-hub-signature-256", delivery.signature(SECRET))
                .body(delivery.body)
        });
        let deliveries: Vec<_> = deliveries.collect();
        let cpu = cpu_of(std::process::id()) + cpu_of(server.pid());
        let (began, started) = (Clock::system().now(), Instant::now());
        let answers = futures::future::join_all(deliveries.into_iter().map(reqwest::RequestBuilder::send)).await;
        let accepted = started.elapsed();
        for answer in answers {
            assert_eq!(answer.expect("an answer").status(), 202);
        }
        let statuses = self.decided(&after, |number| format!("longboat/app{number}/three")).await;
        let cpu = cpu_of(std::process::id()) + cpu_of(server.pid()) - cpu;
        let commits = commits_of(server).await - commits_before;
        let of_round = |context: &dyn Fn(usize) -> String| -> Vec<&Posted> {
            let keys = after.iter().enumerate().map(|(number, commit)| (commit.clone(), context(number)));
            keys.flat_map(|key| statuses.get(&key).into_iter().flatten()).collect()
        };
        let pipelines = of_round(&|number| format!("longboat/app{number}/three"));
        let validations = of_round(&|_| "longboat/validate".to_owned());
        let last_status = last(&pipelines, began);

        let bare_cpu = cpu_of(std::process::id());
        let fetches = self.fetches().await;
        let processes = processes().await;
        let durable = self.commits(commits).await;
        let cpu_limit = cpu_of(std::process::id()) - bare_cpu;
        let round = Round { last_status, limit: fetches + processes + durable, cpu, cpu_limit };
        figure("burst.accepted", accepted);
        println!("burst.statuses = {} ({} of pipelines)", pipelines.len() + validations.len(), pipelines.len());
        let mut first: Vec<Duration> = (0..REPOSITORIES)
            .filter_map(|number| validations.iter().find(|posted| posted.repository == name(number)))
            .map(|posted| posted.at.since(began))
            .collect();
        first.sort();
        figure("burst.first_status.median", first[first.len() / 2]);
        figure("burst.last_validated", last(&validations, began));
        figure("burst.last_status", last_status);
        figure("burst.last_status.limit", round.limit);
        println!(
            "burst.last_status.limit.parts = {:.0} ms for {REPOSITORIES} fetches, {:.0} ms for {} shells, {:.0} ms for {commits} commits",
            millis(fetches),
            millis(processes),
            REPOSITORIES * STEPS,
            millis(durable),
        );
        println!("burst.last_status.ratio = {:.2}", round.ratio());
        let (cpu, cpu_limit) = (round.cpu.as_secs_f64(), round.cpu_limit.as_secs_f64());
        println!("burst.cpu = {cpu:.2} s");
        println!("burst.cpu.limit = {cpu_limit:.2} s");
        println!("burst.cpu.ratio = {:.2}", cpu / cpu_limit);
        round
    }

    /// All repositories fetched by the git program, as many at once as the server does.
    async fn fetches(&self) -> Duration {
        let started = Instant::now();
        stream::iter(0..REPOSITORIES)
            .for_each_concurrent(FETCHES_AT_ONCE, |number| async move {
                let url = self.git.url(&format!("{}.git", name(number)));
                let fetched = tokio::process::Command::new("git")
                    .args(["fetch", "--quiet", &url, "+refs/heads/*:refs/heads/*"])
                    .current_dir(cloned(self.folder.path(), number))
                    .env("GIT_CONFIG_NOSYSTEM", "1")
                    .env("GIT_CONFIG_GLOBAL", "/dev/null")
                    .stdin(Stdio::null())
                    .status();
                assert!(fetched.await.expect("git runs").success());
            })
            .await;
        started.elapsed()
    }

    /// So many durable commits of a row, one after the other.
    async fn commits(&self, count: u64) -> Duration {
        let options = SqliteConnectOptions::new()
            .filename(self.folder.path().join("limit.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let mut connection = SqliteConnection::connect_with(&options).await.expect("a database");
        sqlx::query("CREATE TABLE IF NOT EXISTS row (body TEXT)").execute(&mut connection).await.expect("a table");
        let started = Instant::now();
        for _ in 0..count {
            sqlx::query("INSERT INTO row VALUES ('something of about the size of a journal row, which is a line')")
                .execute(&mut connection)
                .await
                .expect("a row");
        }
        started.elapsed()
    }

    /// A figure of the server's process, in MB.
    fn resident(&self, server: &Server, which: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("a process");
        let line = status.lines().find(|line| line.starts_with(which)).expect("the figure");
        let kib: f64 = line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number");
        kib / 1024.0
    }
}

/// The scripts' shells, as many at once as the server runs.
async fn processes() -> Duration {
    let started = Instant::now();
    stream::iter(0..REPOSITORIES)
        .for_each_concurrent(SCRIPTS_AT_ONCE, |_| async {
            for _ in 0..STEPS {
                let ended = tokio::process::Command::new("sh").args(["-e", "-c", "true"]).stdin(Stdio::null()).status();
                assert!(ended.await.expect("sh runs").success());
            }
        })
        .await;
    started.elapsed()
}

/// Adds a commit to `main`: what stands there, and these files (one in a folder `.longboat`).
fn commit(repository: &Repository, files: &[(&str, &str)]) -> String {
    let parent = repository.head().ok().and_then(|head| head.peel_to_commit().ok());
    let tree = parent.as_ref().map(|parent| parent.tree().expect("a tree"));
    let mut builder = repository.treebuilder(tree.as_ref()).expect("a tree");
    for (path, text) in files {
        let blob = repository.blob(text.as_bytes()).expect("a blob");
        if *path == ".longboat" {
            let mut inner = repository.treebuilder(None).expect("a tree");
            inner.insert("app.yaml", blob, FileMode::Blob.into()).expect("an entry");
            builder.insert(path, inner.write().expect("a tree"), FileMode::Tree.into()).expect("an entry");
        } else {
            builder.insert(path, blob, FileMode::Blob.into()).expect("an entry");
        }
    }
    let tree = repository.find_tree(builder.write().expect("a tree")).expect("a tree");
    let ann = Signature::now("Ann Author", "ann@example.com").expect("a name");
    let parents: Vec<_> = parent.iter().collect();
    let id = repository.commit(Some("refs/heads/main"), &ann, &ann, "Change", &tree, &parents).expect("a commit");
    id.to_string()
}

fn served(folder: &Path, number: usize) -> PathBuf {
    folder.join("served").join(format!("{}.git", name(number)))
}

fn cloned(folder: &Path, number: usize) -> PathBuf {
    folder.join("bare").join(format!("{}.git", name(number)))
}

/// How many transactions the server has committed.
async fn commits_of(server: &Server) -> u64 {
    let figures = server.get_text("/metrics").await;
    let line = figures.lines().find_map(|line| line.strip_prefix("longboat_store_commits_total "));
    line.and_then(|number| number.parse().ok()).expect("the figure")
}

/// The processors' time that a process and its ended children took so far.
fn cpu_of(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    let (_, fields) = stat.rsplit_once(')').expect("a name");
    // Fields 14 to 17, in hundredths of a second.
    let ticks = fields.split_whitespace().skip(11).take(4).map(|ticks| ticks.parse::<u64>().expect("a number"));
    Duration::from_millis(10 * ticks.sum::<u64>())
}

/// When the last of the statuses came.
fn last(statuses: &[&Posted], began: Timestamp) -> Duration {
    statuses.iter().map(|posted| posted.at.since(began)).max().expect("a status")
}

fn figure(name: &str, time: Duration) {
    println!("{name} = {:.0} ms", millis(time));
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
