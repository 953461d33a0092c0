//! From a webhook to a commit status, with the real binary, real Git over HTTP and a GitHub on loopback.
//!
//! Prints one line a figure, and the limit of the same run beside it. The limit of a whole run is what it costs to do
//! the same things without Longboat, one after the other: a fetch by the git program, three shells, and as many
//! durable commits as the journey has in a row by its design (nine; they are not counted in the run).

#[path = "../tests/it/support/mod.rs"]
#[allow(dead_code, unused_imports)]
mod support;
#[path = "../tests/it/journey/world.rs"]
#[allow(dead_code)]
mod world;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use support::repo::git_in;
use support::server::Server;
use world::World;

const ROUNDS: usize = 20;

/// Commits of one journey that wait for each other: accepted; settled; started; per step its process, and its end
/// with the next step's start.
const COMMITS: u32 = 9;

const PIPELINE: &str = "\
application: bench
pipelines:
  - name: three
    triggers: [{type: git, branches: [main]}]
    stages:
      - {id: one, type: script, command: 'true'}
      - {id: two, type: script, command: 'true'}
      - {id: three, type: script, command: 'true'}
";

fn main() {
    tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
        journey().await;
        start_and_rest().await;
    });
}

async fn journey() {
    let world = World::new().await;
    let mut before = world.push(&[(".longboat/bench.yaml", PIPELINE)], "First").await;
    let server = world.serve();
    world.settled(&before, "longboat/validate").await;
    let clone = world.folder().join("bare-fetch.git");
    let url = world.served("acme/shop.git");
    git_in(world.folder(), &["clone", "--quiet", "--bare", &url, "bare-fetch.git"]);

    let (mut first, mut whole, mut floor, mut fetches) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS + 2 {
        let commit = world.push(&[("code", &round.to_string())], "Change").await;
        let sent = Instant::now();
        assert_eq!(world.webhook(&server, &before, &commit).await, 202);
        let accepted = Instant::now();
        world
            .github
            .eventually("the first status", |github| github.posted().iter().any(|p| p.sha == commit).then_some(()))
            .await;
        let status = accepted.elapsed();
        world.finished(&commit, "longboat/bench/three").await;
        let all = sent.elapsed();

        let started = Instant::now();
        git_in(&clone, &["fetch", "--quiet", "origin", "+refs/heads/*:refs/heads/*"]);
        let fetch = started.elapsed();
        for _ in 0..3 {
            assert!(Command::new("sh").args(["-e", "-c", "true"]).status().expect("sh runs").success());
        }
        let processes = started.elapsed();
        let commits = commit_cost(world.folder()).await * COMMITS;
        if round >= 2 {
            first.push(status);
            whole.push(all);
            fetches.push(fetch);
            floor.push(processes + commits);
        }
        before = commit;
    }
    figure("webhook.first_status", median(first), "ms");
    let (whole, floor) = (median(whole), median(floor));
    figure("webhook.three_steps", whole, "ms");
    figure("webhook.three_steps.limit", floor, "ms");
    figure("webhook.three_steps.limit.fetch", median(fetches), "ms");
    println!("webhook.three_steps.ratio = {:.2}", whole.as_secs_f64() / floor.as_secs_f64());
    assert!(server.stop().success());
}

async fn start_and_rest() {
    let world = World::new().await;
    let mut text = String::from("application: bench\npipelines:\n");
    for number in 0..100 {
        text.push_str(&format!("  - name: p{number}\n    stages: [{{id: one, type: script, command: 'true'}}]\n"));
    }
    let commit = world.push(&[(".longboat/bench.yaml", &text)], "First").await;
    let server = world.serve();
    world.settled(&commit, "longboat/validate").await;
    assert!(server.stop().success());

    let (mut starts, mut execs) = (Vec::new(), Vec::new());
    let mut memory = 0;
    for _ in 0..ROUNDS {
        let started = Instant::now();
        let server = world.serve();
        starts.push(started.elapsed());
        let started = Instant::now();
        let version = Command::new(env!("CARGO_BIN_EXE_longboat")).arg("--version").output().expect("it runs");
        assert!(version.status.success());
        execs.push(started.elapsed());
        let ready = reqwest::get(format!("{}/readyz", server.url)).await.expect("an answer");
        assert!(ready.status().is_success());
        // After its first look at the repository.
        tokio::time::sleep(Duration::from_millis(300)).await;
        memory = memory.max(resident(&server));
        assert!(server.stop().success());
    }
    figure("serve.start", median(starts), "ms");
    figure("serve.start.limit", median(execs), "ms");
    println!("serve.idle_memory = {:.1} MB", memory as f64 / 1024.0);
}

/// What one durable commit of one row costs here and now: SQLite, WAL, synchronous=FULL.
async fn commit_cost(folder: &Path) -> Duration {
    let options = SqliteConnectOptions::new()
        .filename(folder.join("limit.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let mut connection = SqliteConnection::connect_with(&options).await.expect("a database");
    sqlx::query("CREATE TABLE IF NOT EXISTS row (body TEXT)").execute(&mut connection).await.expect("a table");
    let count = 10;
    let started = Instant::now();
    for _ in 0..count {
        sqlx::query("INSERT INTO row VALUES ('something of about the size of a journal row, which is a line')")
            .execute(&mut connection)
            .await
            .expect("a row");
    }
    started.elapsed() / count
}

/// The resident memory of a server, in KiB.
fn resident(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("a process");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn figure(name: &str, time: Duration, unit: &str) {
    println!("{name} = {:.2} {unit}", time.as_secs_f64() * 1000.0);
}
