//! Fetching over HTTP, from servers well and unwell.

use std::time::{Duration, Instant};

use longboat::git::{Credentials, GitError, GitOptions, Mirror, Remote};

use crate::support::git_http::{GitHttp, Mood};
use crate::support::repo::Repo;

fn short() -> GitOptions {
    let second = Duration::from_millis(700);
    GitOptions { look_deadline: second, deadline: second, first_deadline: second, ..GitOptions::default() }
}

struct Setup {
    work: Repo,
    bare: Repo,
    server: GitHttp,
    state: tempfile::TempDir,
}

impl Setup {
    async fn new(credentials: Option<(&str, &str)>) -> Self {
        let (work, bare) = (Repo::new(), Repo::bare());
        work.write("a.txt", "one").commit("One");
        work.push_to(&bare);
        let server = GitHttp::start(bare.root(), credentials).await;
        Self { work, bare, server, state: tempfile::tempdir().expect("a folder") }
    }

    async fn mirror(&self, credentials: Option<(&str, &str)>, options: GitOptions) -> Mirror {
        let credentials = credentials.map(|(name, password)| Credentials {
            username: Some(name.to_owned()),
            password: password.to_owned().into(),
        });
        let remote = Remote { url: self.server.url("shop.git"), credentials };
        Mirror::open(self.state.path().join("mirror"), remote, options).await.expect("opens")
    }
}

#[tokio::test]
async fn a_push_arrives() {
    let setup = Setup::new(None).await;
    let mirror = setup.mirror(None, GitOptions::default()).await;
    let heads = mirror.remote_heads().await.expect("listed");
    assert_eq!(heads.default_branch.as_deref(), Some("main"));
    assert_eq!(heads.refs["refs/heads/main"], setup.work.head());
    mirror.fetch().await.expect("fetched");
    assert_eq!(mirror.heads().expect("read"), heads.refs);

    let two = setup.work.write("a.txt", "two").commit("Two");
    setup.work.git(&["tag", "--annotate", "v1", "--message", "First"]);
    setup.work.push_to(&setup.bare);
    mirror.fetch().await.expect("fetched");
    let heads = mirror.heads().expect("read");
    assert_eq!((&heads["refs/heads/main"], &heads["refs/tags/v1"]), (&two, &two), "the tag is followed");
    assert_eq!(mirror.remote_branches().await.expect("listed").refs, heads);
}

#[tokio::test]
async fn credentials_open_the_door_and_stay_out_of_the_mirror() {
    let setup = Setup::new(Some(("ann", "hunter2 %&:\"'$x"))).await;
    let mirror = setup.mirror(Some(("ann", "hunter2 %&:\"'$x")), GitOptions::default()).await;
    mirror.fetch().await.expect("fetched");
    assert!(setup.server.seen().iter().all(|seen| seen.authorized), "no request without them");
    let config = std::fs::read_to_string(mirror.dir().join("config")).expect("read");
    assert!(!config.contains("hunter2") && !config.contains("xtraHeader"), "{config}");
}

#[tokio::test]
async fn missing_and_wrong_credentials_are_refused_without_a_question() {
    let setup = Setup::new(Some(("ann", "hunter2"))).await;
    for credentials in [None, Some(("ann", "wrong"))] {
        let mirror = setup.mirror(credentials, GitOptions::default()).await;
        let error = mirror.fetch().await.expect_err("refused");
        assert!(matches!(error, GitError::AuthRefused { .. }), "{error}");
        assert!(!format!("{error} {error:?}").contains("wrong"));
    }
}

#[tokio::test]
async fn hanging_and_dripping_servers_are_stopped() {
    let setup = Setup::new(None).await;
    let mirror = setup.mirror(None, short()).await;
    for mood in [Mood::Hangs, Mood::Drips] {
        setup.server.set_mood(mood);
        let started = Instant::now();
        let error = mirror.fetch().await.expect_err("too slow");
        assert!(matches!(error, GitError::TimedOut { .. }), "{mood:?}: {error}");
        assert!(started.elapsed() < Duration::from_secs(20), "{mood:?}");
        let error = mirror.remote_heads().await.expect_err("too slow");
        assert!(matches!(error, GitError::TimedOut { .. }), "{mood:?}: {error}");
    }
    setup.server.set_mood(Mood::Well);
    let mirror = setup.mirror(None, GitOptions::default()).await;
    mirror.fetch().await.expect("the mirror is none the worse for it");
}

/// Whoever waited for it was dropped, and the git with it, with its locks.
#[tokio::test]
async fn a_fetch_that_was_dropped_is_in_nobody_s_way() {
    let setup = Setup::new(None).await;
    let mirror = setup.mirror(None, GitOptions::default()).await;
    mirror.fetch().await.expect("fetched");
    setup.server.set_mood(Mood::Hangs);
    let before = setup.server.seen().len();
    let dropped = tokio::spawn({
        let mirror = mirror.clone();
        async move { mirror.fetch().await }
    });
    while setup.server.seen().len() == before {
        tokio::task::yield_now().await;
    }
    dropped.abort();
    assert!(dropped.await.expect_err("it was dropped").is_cancelled());
    // As a git that was killed while it wrote leaves them.
    for lock in ["packed-refs.lock", "refs/heads/main.lock"] {
        std::fs::write(mirror.dir().join(lock), "").expect("written");
    }
    setup.server.set_mood(Mood::Well);
    mirror.fetch().await.expect("at once");
    assert!(!mirror.dir().join("packed-refs.lock").exists());
}

#[tokio::test]
async fn other_troubles_are_told_apart() {
    let setup = Setup::new(None).await;
    let mirror = setup.mirror(None, GitOptions::default()).await;
    setup.server.set_mood(Mood::Overloaded);
    assert!(matches!(mirror.fetch().await, Err(GitError::Unreachable { .. })));
    setup.server.set_mood(Mood::Well);

    let remote = Remote::open_to_all(setup.server.url("other.git"));
    let other = Mirror::open(setup.state.path().join("other"), remote, GitOptions::default()).await.expect("opens");
    let error = other.fetch().await.expect_err("there is none");
    assert!(matches!(error, GitError::NotARepository { .. }), "{error}");

    let nobody = Remote::open_to_all("http://127.0.0.1:9/x.git");
    let nobody = Mirror::open(setup.state.path().join("nobody"), nobody, GitOptions::default()).await.expect("opens");
    let error = nobody.fetch().await.expect_err("nobody listens");
    assert!(matches!(error, GitError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn a_redirect_is_followed_only_without_credentials() {
    let setup = Setup::new(None).await;
    setup.server.set_mood(Mood::Moves);
    let mirror = setup.mirror(Some(("ann", "hunter2")), GitOptions::default()).await;
    let error = mirror.fetch().await.expect_err("not followed");
    assert!(matches!(error, GitError::Moved { .. }), "{error}");
    assert!(setup.server.seen().iter().all(|seen| !seen.target.starts_with("/moved/")), "nobody else got them");
}
