//! Remotes that are away, commits that vanish, and files that nobody should have committed.

use std::time::Duration;

use longboat::git::GitOptions;
use longboat::model::CommitSha;
use longboat::trigger::TriggerOptions;

use super::world::{ON_MAIN, World, file, follow, push, repository};
use crate::support::git_http::{GitHttp, Mood};
use crate::support::repo::Repo;

const MAIN: &str = "refs/heads/main";

struct Remote {
    work: Repo,
    bare: Repo,
    server: GitHttp,
}

impl Remote {
    async fn new() -> Self {
        let (work, bare) = (Repo::new(), Repo::bare());
        work.write(".longboat/shop.yaml", file("shop", ON_MAIN)).commit("One");
        work.push_to(&bare);
        let server = GitHttp::start(bare.root(), None).await;
        Self { work, bare, server }
    }

    fn url(&self) -> String {
        self.server.url("shop.git")
    }

    fn commit(&self, message: &str) -> CommitSha {
        let commit = self.work.commit(message);
        self.work.push_to(&self.bare);
        commit
    }
}

async fn error_of(world: &World, name: &str) -> Option<String> {
    let states = world.store.repository_states().await.expect("reads");
    states.into_iter().find(|state| state.name == repository(name)).and_then(|state| state.error)
}

#[tokio::test]
async fn a_remote_that_hangs_shows_holds_nobody_up_and_is_caught_up_with() {
    let remote = Remote::new().await;
    let local = Repo::new();
    local.write(".longboat/tea.yaml", file("tea", ON_MAIN)).commit("One");
    let short = Duration::from_millis(500);
    let git = GitOptions { look_deadline: short, deadline: short, ..GitOptions::default() };
    let specs = vec![follow("acme/shop", remote.url()), follow("local/tea", local.path().to_string_lossy())];
    let world = World::with(specs, TriggerOptions::default(), git).await;
    world.seen("acme/shop").await;
    world.seen("local/tea").await;

    remote.server.set_mood(Mood::Hangs);
    let one = remote.work.head();
    let two = remote.commit("Two");
    world.notice(push(MAIN, Some(&one), Some(&two))).await;
    let other = local.commit("Two");
    world
        .until("the other goes on", async |world| world.started().await == [("tea/deploy".to_owned(), other.clone())])
        .await;
    world.until("the trouble shows", async |world| error_of(world, "acme/shop").await.is_some()).await;
    let error = error_of(&world, "acme/shop").await.expect("shown");
    assert!(error.contains("did not answer in full within 500ms"), "{error}");
    assert_eq!(error_of(&world, "local/tea").await, None);

    remote.server.set_mood(Mood::Well);
    world.until_later("it is caught up with", async |world| world.was_settled(&two).await).await;
    assert_eq!(world.started().await.last(), Some(&("shop/deploy".to_owned(), two)));
    world.until_later("all is well", async |world| error_of(world, "acme/shop").await.is_none()).await;
}

#[tokio::test]
async fn a_repository_that_is_missing_at_the_start_is_seen_when_it_comes() {
    let remote = Remote::new().await;
    remote.server.set_mood(Mood::Overloaded);
    let world = World::new(vec![follow("acme/shop", remote.url())]).await;
    world.until("the trouble shows", async |world| error_of(world, "acme/shop").await.is_some()).await;
    remote.server.set_mood(Mood::Well);
    world.until_later("it is seen", async |world| world.published().await == ["shop/deploy"]).await;
    assert!(world.started().await.is_empty(), "it is still the first sight");
    world.until("all is well", async |world| error_of(world, "acme/shop").await.is_none()).await;
}

#[tokio::test]
async fn a_webhook_before_the_first_look_runs_alone() {
    let remote = Remote::new().await;
    let one = remote.work.head();
    remote.work.write(".longboat/shop.yaml", file("shop", "[{type: git}]"));
    let two = remote.commit("Two");
    remote.work.git(&["branch", "topic"]);
    remote.work.push_to(&remote.bare);
    remote.server.set_mood(Mood::Overloaded);
    let world = World::new(vec![follow("acme/shop", remote.url())]).await;
    world.until("the first look failed", async |world| error_of(world, "acme/shop").await.is_some()).await;
    world.notice(push(MAIN, Some(&one), Some(&two))).await;
    remote.server.set_mood(Mood::Well);
    world.until_later("it has run", async |world| world.was_settled(&two).await).await;
    world
        .until_later("it was looked at", async |world| {
            let states = world.store.repository_states().await.expect("reads");
            states[0].reached_at.is_some()
        })
        .await;
    world.idle().await;
    assert_eq!(world.started().await, [("shop/deploy".to_owned(), two)]);
}

#[tokio::test]
async fn a_commit_that_was_forced_away_ends_with_a_word_about_what_took_its_place() {
    let remote = Remote::new().await;
    let world = World::new(vec![follow("acme/shop", remote.url())]).await;
    world.seen("acme/shop").await;
    let one = remote.work.head();
    let lost = remote.work.commit("Lost");
    remote.work.git(&["commit", "--quiet", "--amend", "--allow-empty", "--message", "Found"]);
    let found = remote.work.head();
    remote.work.push_to(&remote.bare);
    world.notice(push(MAIN, Some(&one), Some(&lost))).await;
    world.notice(push(MAIN, Some(&lost), Some(&found))).await;
    world.settled(&found).await;
    assert_eq!(world.started().await, [("shop/deploy".to_owned(), found.clone())]);
    let expected = format!("longboat/validate: Failure Superseded by {}", found.short());
    assert_eq!(world.said(&lost).await, ["longboat/validate: Pending Checking".to_owned(), expected]);
}

#[tokio::test]
async fn a_server_that_lags_behind_a_webhook_is_waited_for() {
    let remote = Remote::new().await;
    let world = World::new(vec![follow("acme/shop", remote.url())]).await;
    world.seen("acme/shop").await;
    let one = remote.work.head();
    let two = remote.commit("Two");
    world.notice(push(MAIN, Some(&one), Some(&two))).await;
    world.settled(&two).await;
    // The forge speaks of a third commit, while its server still shows the first.
    let three = remote.work.commit("Three");
    remote.bare.git(&["update-ref", MAIN, one.as_str()]);
    world.notice(push(MAIN, Some(&two), Some(&three))).await;
    world
        .until("it was tried", async |world| {
            let due = world.store.next_inbox_due().await.expect("reads");
            due.is_some_and(|due| due > world.clock.now())
        })
        .await;
    remote.work.push_to(&remote.bare);
    world.until_later("it has run", async |world| world.was_settled(&three).await).await;
    assert_eq!(world.started().await.last(), Some(&("shop/deploy".to_owned(), three)));
}

#[tokio::test]
async fn a_commit_that_never_comes_is_given_up() {
    let remote = Remote::new().await;
    let world = World::new(vec![follow("acme/shop", remote.url())]).await;
    world.seen("acme/shop").await;
    let one = remote.work.head();
    let never = CommitSha::parse(&"ab".repeat(20)).expect("an id");
    world.notice(push(MAIN, Some(&one), Some(&never))).await;
    world
        .until_later("it is given up", async |world| {
            world.said(&never).await.iter().any(|line| {
                line.starts_with("longboat/validate: Error Longboat error: commit abababa is not in the repository")
            })
        })
        .await;
    // Nothing is stuck behind it: the next look finds where the branch really is, and a push runs.
    let two = remote.commit("Two");
    world.until_later("the next push runs", async |world| world.was_settled(&two).await).await;
    assert_eq!(world.started().await.last(), Some(&("shop/deploy".to_owned(), two)));
}

#[tokio::test]
async fn a_damaged_mirror_is_made_anew_under_way() {
    let remote = Remote::new().await;
    let mut world = World::new(vec![follow("acme/shop", remote.url())]).await;
    world.seen("acme/shop").await;
    let set = world.triggers.repositories().clone();
    let mirror = set.get(&repository("acme/shop")).expect("followed").mirror().await.expect("open").dir().to_owned();
    std::fs::remove_dir_all(mirror.join("objects")).expect("removed");
    let one = remote.work.head();
    let two = remote.commit("Two");
    world.notice(push(MAIN, Some(&one), Some(&two))).await;
    world.until_later("it has run all the same", async |world| world.was_settled(&two).await).await;
    std::fs::remove_dir_all(&mirror).expect("removed");
    world.restart().await;
    let three = remote.commit("Three");
    world.notice(push(MAIN, Some(&two), Some(&three))).await;
    world.until_later("a lost mirror is no loss", async |world| world.was_settled(&three).await).await;
    assert_eq!(world.started().await.len(), 2);
}

#[tokio::test]
async fn hostile_files_are_findings() {
    let repo = Repo::new();
    repo.write(".longboat/good.yaml", file("good", ON_MAIN));
    repo.write(".longboat/bytes.yaml", [0xff, 0xfe, 0x00]);
    repo.write(".longboat/loop.yaml", "application: loop\npipelines: {{ range(1000000000) | list }}\n");
    repo.write(".longboat/bomb.yaml", bomb());
    std::os::unix::fs::symlink("/etc/passwd", repo.path().join(".longboat/link.yaml")).expect("linked");
    let one = repo.commit("One");
    let world = World::new(vec![follow("local/shop", repo.path().to_string_lossy())]).await;
    world.seen("local/shop").await;
    assert_eq!(world.published().await, ["good/deploy"]);
    let found = world.store.findings(&repository("local/shop"), &one).await.expect("reads").expect("kept");
    let files: std::collections::BTreeSet<_> =
        found.findings.iter().filter_map(|finding| Some(finding.place.as_ref()?.file.as_str())).collect();
    for file in ["bytes", "loop", "bomb", "link"] {
        assert!(files.contains(format!(".longboat/{file}.yaml").as_str()), "{file}: {:?}", found.findings);
    }
}

/// Ten to the ninth values, if anybody counted them.
fn bomb() -> String {
    let mut text = "a0: &a0 [x]\n".to_owned();
    for level in 1..=9 {
        let items = vec![format!("*a{}", level - 1); 10].join(", ");
        text += &format!("a{level}: &a{level} [{items}]\n");
    }
    text
}
