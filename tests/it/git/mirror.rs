//! Mirrors of repositories on this machine, and what becomes of them.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use longboat::git::{GitError, GitOptions, Mirror, Remote};
use longboat::model::CommitSha;

use crate::support::repo::{Repo, git_in};

async fn mirror_of(repo: &Repo, state: &tempfile::TempDir) -> Mirror {
    let remote = Remote::open_to_all(repo.path().to_string_lossy());
    Mirror::open(state.path().join("mirrors/shop"), remote, GitOptions::default()).await.expect("opens")
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[tokio::test]
async fn an_empty_repository_is_a_state() {
    let (repo, state) = (Repo::bare(), folder());
    let mirror = mirror_of(&repo, &state).await;
    mirror.fetch().await.expect("nothing to fetch is no error");
    assert!(mirror.heads().expect("read").is_empty());
    let heads = mirror.remote_heads().await.expect("listed");
    assert_eq!((heads.default_branch, heads.refs.len()), (None, 0));
}

#[tokio::test]
async fn branches_come_go_and_are_forced() {
    let (repo, state) = (Repo::new(), folder());
    let one = repo.write("a", "1").commit("One");
    repo.git(&["branch", "topic"]);
    let mirror = mirror_of(&repo, &state).await;
    mirror.fetch().await.expect("fetched");
    assert_eq!(mirror.heads().expect("read").len(), 2);

    // A folder takes the place of a branch, and the history is rewritten.
    repo.git(&["branch", "--delete", "--force", "topic"]);
    repo.git(&["branch", "topic/below"]);
    repo.git(&["commit", "--quiet", "--amend", "--message", "Other"]);
    let other = repo.head();
    mirror.fetch().await.expect("fetched");
    let heads = mirror.heads().expect("read");
    assert_eq!(heads.keys().collect::<Vec<_>>(), ["refs/heads/main", "refs/heads/topic/below"]);
    assert_eq!(heads["refs/heads/main"], other);
    assert!(mirror.has_commit(&one), "what a forced push left can still be read");
    let never = CommitSha::parse(&"ab".repeat(20)).expect("an id");
    assert!(!mirror.has_commit(&never));
    assert!(matches!(mirror.snapshot(&never), Err(GitError::MissingCommit { .. })));
    assert!(matches!(
        mirror.commit(&CommitSha::parse(&"ab".repeat(32)).expect("an id")),
        Err(GitError::MissingCommit { .. })
    ));
}

#[tokio::test]
async fn a_commit_that_a_forced_push_left_is_fetched_by_its_id() {
    let (repo, state) = (Repo::new(), folder());
    let left = repo.write("a", "1").commit("One");
    repo.git(&["commit", "--quiet", "--amend", "--message", "Other"]);
    let mirror = mirror_of(&repo, &state).await;
    mirror.fetch().await.expect("fetched");
    assert!(!mirror.has_commit(&left));
    mirror.fetch_commit(&left).await.expect("the remote still has it");
    assert!(mirror.has_commit(&left));
    let target = folder();
    mirror.checkout(&left, target.path()).await.expect("checked out");
    assert_eq!(fs::read_to_string(target.path().join("a")).ok().as_deref(), Some("1"));
    mirror.fetch().await.expect("fetched");
    assert!(mirror.has_commit(&left), "it stays");
    let never = CommitSha::parse(&"ab".repeat(20)).expect("an id");
    let refused = mirror.fetch_commit(&never).await;
    assert!(matches!(refused, Err(GitError::MissingCommit { .. })), "{refused:?}");
}

#[tokio::test]
async fn the_default_branch_of_a_work_tree_does_not_follow_its_owner_around() {
    let (repo, state) = (Repo::new(), folder());
    repo.write("a", "1").commit("One");
    repo.git(&["checkout", "--quiet", "-b", "topic"]);
    let mirror = mirror_of(&repo, &state).await;
    assert_eq!(mirror.remote_heads().await.expect("listed").default_branch.as_deref(), Some("main"));

    let (trunk, state) = (Repo::init("work", &["--initial-branch=trunk"]), folder());
    trunk.write("a", "1").commit("One");
    let mirror = mirror_of(&trunk, &state).await;
    assert_eq!(mirror.remote_heads().await.expect("listed").default_branch.as_deref(), Some("trunk"));
}

#[tokio::test]
async fn a_repository_that_is_not_there_is_an_error_of_the_look_not_of_the_start() {
    let (repo, state) = (Repo::new(), folder());
    fs::remove_dir_all(repo.path()).expect("removed");
    let mirror = mirror_of(&repo, &state).await;
    for error in [mirror.fetch().await.expect_err("gone"), mirror.remote_heads().await.expect_err("gone")] {
        assert!(matches!(error, GitError::NotARepository { .. }), "{error}");
    }
}

#[tokio::test]
async fn sha_256_repositories_are_refused_in_words() {
    let (repo, state) = (Repo::init("work", &["--object-format=sha256"]), folder());
    repo.write("a", "1").commit("One");
    let error = mirror_of(&repo, &state).await.fetch().await.expect_err("refused");
    assert!(matches!(error, GitError::Unsupported { .. }), "{error}");
    assert!(error.to_string().contains("SHA-256"), "{error}");
}

#[tokio::test]
async fn a_damaged_mirror_is_made_anew() {
    let (repo, state) = (Repo::new(), folder());
    let one = repo.write("a", "1").commit("One");
    let damage: [fn(&std::path::Path); 5] = [
        |dir| fs::remove_file(dir.join("HEAD")).expect("removed"),
        |dir| fs::remove_dir_all(dir.join("objects")).expect("removed"),
        |dir| fs::write(dir.join("config"), "[core\nbroken").expect("written"),
        |dir| {
            fs::create_dir_all(dir.join("refs/heads")).expect("made");
            fs::write(dir.join("refs/heads/main"), "").expect("written");
        },
        |dir| {
            for pack in fs::read_dir(dir.join("objects/pack")).expect("read").flatten() {
                fs::set_permissions(pack.path(), fs::Permissions::from_mode(0o644)).expect("writable");
                fs::write(pack.path(), "garbage").expect("written");
            }
        },
    ];
    for (number, damage) in damage.into_iter().enumerate() {
        let mirror = mirror_of(&repo, &state).await;
        mirror.fetch().await.expect("fetched");
        assert!(mirror.has_commit(&one), "{number}");
        damage(mirror.dir());
        // Both ways: found while running, and found at the next start.
        mirror.fetch().await.unwrap_or_else(|error| panic!("{number}: {error}"));
        if !mirror.has_commit(&one) {
            mirror.repair().await.expect("repaired");
            mirror.fetch().await.expect("fetched");
        }
        assert!(mirror.has_commit(&one), "{number}");
        damage(mirror.dir());
        let mirror = mirror_of(&repo, &state).await;
        mirror.fetch().await.unwrap_or_else(|error| panic!("{number}: {error}"));
        mirror.repair().await.expect("repaired");
    }
}

#[tokio::test]
async fn hooks_of_the_mirror_do_not_run_and_user_configuration_is_not_read() {
    let (repo, state) = (Repo::new(), folder());
    repo.write("a", "1").commit("One");
    let mirror = mirror_of(&repo, &state).await;
    let (proof, hook) = (state.path().join("proof"), mirror.dir().join("hooks/reference-transaction"));
    fs::create_dir_all(hook.parent().expect("a folder")).expect("made");
    fs::write(&hook, format!("#!/bin/sh\ntouch '{}'\n", proof.display())).expect("written");
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).expect("executable");
    fs::write(mirror.dir().join(".gitconfig"), "[broken").expect("written");
    mirror.fetch().await.expect("fetched");
    assert!(!proof.exists());
}

#[tokio::test]
async fn two_fetches_at_once_take_turns() {
    let (repo, state) = (Repo::new(), folder());
    repo.write("a", "1").commit("One");
    let mirror = mirror_of(&repo, &state).await;
    let (one, two, three) = tokio::join!(mirror.fetch(), mirror.fetch(), mirror.fetch());
    one.and(two).and(three).expect("all fetched");
}

#[tokio::test]
async fn many_packs_are_joined_and_nothing_is_lost() {
    let (repo, state) = (Repo::new(), folder());
    let mirror = mirror_of(&repo, &state).await;
    let mut commits = Vec::new();
    for number in 0..45 {
        // Amending leaves the commit before without a name.
        repo.write("a", number.to_string());
        repo.git(&["add", "--all"]);
        let amend: &[&str] = if number == 0 { &[] } else { &["--amend"] };
        repo.git(&[&["commit", "--quiet", "--message", "Once"], amend].concat());
        commits.push(repo.head());
        mirror.fetch().await.expect("fetched");
    }
    let packs = fs::read_dir(mirror.dir().join("objects/pack")).expect("read").flatten();
    let packs = packs.filter(|file| file.path().extension().is_some_and(|kind| kind == "pack")).count();
    assert!(packs < 40, "{packs}");
    for commit in &commits {
        assert!(mirror.has_commit(commit), "{commit}");
    }
}

#[tokio::test]
async fn a_checkout_is_whole_and_has_nothing_of_git() {
    let (repo, state) = (Repo::new(), folder());
    repo.write("src/a.txt", "line\r\nend").write("run.sh", "#!/bin/sh\n").write(".gitattributes", "*.txt -text\n");
    fs::set_permissions(repo.path().join("run.sh"), fs::Permissions::from_mode(0o755)).expect("executable");
    std::os::unix::fs::symlink("src/a.txt", repo.path().join("link")).expect("linked");
    repo.commit("One");
    let id = repo.head();
    // A submodule that nobody has.
    git_in(&repo.path(), &["update-index", "--add", "--cacheinfo", &format!("160000,{id},sub")]);
    repo.git(&["commit", "--quiet", "--message", "Two"]);
    let two = repo.head();
    let mirror = mirror_of(&repo, &state).await;
    mirror.fetch().await.expect("fetched");
    let target = state.path().join("work/1");
    mirror.checkout(&two, &target).await.expect("checked out");
    assert_eq!(fs::read(target.join("src/a.txt")).expect("read"), b"line\r\nend");
    assert_ne!(fs::metadata(target.join("run.sh")).expect("there").permissions().mode() & 0o100, 0);
    assert_eq!(fs::read_link(target.join("link")).expect("a link").to_string_lossy(), "src/a.txt");
    assert!(!target.join(".git").exists());
    let names = fs::read_dir(state.path().join("work")).expect("read").flatten().count();
    assert_eq!(names, 1, "nothing is left beside it");
    let error = mirror.checkout(&two, &target).await.expect_err("taken");
    assert!(matches!(error, GitError::Local { .. }), "{error}");
    assert_eq!(fs::read_dir(state.path().join("work")).expect("read").flatten().count(), 1);
}

#[tokio::test]
async fn a_tree_made_to_lead_out_of_a_checkout_doesn_t() {
    let (repo, state) = (Repo::new(), folder());
    let outside = state.path().join("outside");
    fs::create_dir(&outside).expect("made");
    repo.write("b", "evil").commit("One");
    repo.write("link", outside.to_string_lossy().as_bytes());
    let link = repo.git(&["hash-object", "-w", "link"]);
    let blob = repo.commit_file_id("b");
    let below = repo.tree(&[("100644", &blob, "b")]);
    let mirror = mirror_of(&repo, &state).await;
    // Git's own commands refuse to make the first two; a hostile client doesn't ask them.
    let trees = [
        repo.tree(&[("120000", &link, "a"), ("40000", &below, "a")]),
        repo.tree(&[("40000", &below, ".git")]),
        repo.tree(&[("40000", &below, "..")]),
    ];
    for (number, tree) in trees.into_iter().enumerate() {
        let commit = repo.git(&["commit-tree", &tree, "-m", "Hostile"]);
        repo.git(&["update-ref", &format!("refs/heads/hostile{number}"), &commit]);
        mirror.fetch().await.expect("fetched");
        let target = state.path().join(format!("work/{number}/dir"));
        let commit = CommitSha::parse(&commit).expect("a commit");
        let checkout = mirror.checkout(&commit, &target).await;
        assert!(fs::read_dir(&outside).expect("read").next().is_none(), "{number}: {checkout:?}");
        assert!(!state.path().join(format!("work/{number}/b")).exists(), "{number}: {checkout:?}");
        assert!(!target.join(".git").exists(), "{number}: {checkout:?}");
        let snapshot = mirror.snapshot(&commit).expect("there");
        assert!(!matches!(snapshot.read("../b", 100), Ok(Some(_))), "{number}");
    }
}

/// Whoever began to make it was stopped, and goes on meanwhile: what runs on a thread can't be called off.
#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_several_make_at_once_is_made_once() {
    let (repo, state) = (Repo::bare(), folder());
    for round in 0..50 {
        let dir = state.path().join(format!("mirrors/{round}"));
        let open = || {
            let remote = Remote::open_to_all(repo.path().to_string_lossy());
            tokio::spawn(Mirror::open(dir.clone(), remote, GitOptions::default()))
        };
        let makers = [open(), open(), open(), open()];
        for maker in makers {
            maker.await.expect("no panic").expect("opens");
        }
    }
    let left = fs::read_dir(state.path().join("mirrors")).expect("listed").count();
    assert_eq!(left, 50, "no other folder is left");
}
