//! Reading commits without a work tree.

use std::os::unix::ffi::OsStrExt;

use longboat::git::{EntryKind, GitError, GitOptions, Mirror, Remote};
use longboat::model::CommitSha;

use crate::support::repo::{Repo, git_in};

async fn fetched(repo: &Repo) -> (Mirror, tempfile::TempDir) {
    let state = tempfile::tempdir().expect("a folder");
    let remote = Remote::open_to_all(format!("file://{}", repo.path().display()));
    let mirror = Mirror::open(state.path().join("mirror"), remote, GitOptions::default()).await.expect("opens");
    mirror.fetch().await.expect("fetched");
    (mirror, state)
}

#[tokio::test]
async fn files_are_listed_and_read_at_their_commit() {
    let repo = Repo::new();
    let one = repo.write(".longboat/b.yaml", "b").write(".longboat/a/c.yaml", "c1").write("x", "x").commit("One");
    let two = repo.write(".longboat/a/c.yaml", "c2").commit("Two");
    let (mirror, _state) = fetched(&repo).await;
    let (first, second) = (mirror.snapshot(&one).expect("there"), mirror.snapshot(&two).expect("there"));
    let listed: Vec<_> =
        first.list(".longboat").expect("listed").into_iter().map(|entry| (entry.path, entry.size)).collect();
    assert_eq!(listed, [(".longboat/a/c.yaml".to_owned(), 2), (".longboat/b.yaml".to_owned(), 1)]);
    assert_eq!(first.read(".longboat/a/c.yaml", 10).expect("read").as_deref(), Some(&b"c1"[..]));
    assert_eq!(second.read(".longboat/a/c.yaml", 10).expect("read").as_deref(), Some(&b"c2"[..]));
    assert_eq!(first.read("nothing", 10).expect("read"), None);
    assert_eq!(first.read(".longboat/a", 10).expect("a folder is no file"), None);
    assert_eq!(first.read("x/below", 10).expect("a file is no folder"), None);
    assert_eq!(first.list("nothing").expect("listed"), []);
    assert_eq!(first.list("").expect("listed").len(), 3);
}

#[tokio::test]
async fn large_files_are_refused_before_they_are_read() {
    let repo = Repo::new();
    let one = repo.write("big", vec![b'x'; 100_000]).commit("One");
    let (mirror, _state) = fetched(&repo).await;
    let snapshot = mirror.snapshot(&one).expect("there");
    let Err(GitError::TooLarge { size, max, .. }) = snapshot.read("big", 99_999) else { panic!("not refused") };
    assert_eq!((size, max), (100_000, 99_999));
    assert_eq!(snapshot.read("big", 100_000).expect("read").map(|bytes| bytes.len()), Some(100_000));
}

#[tokio::test]
async fn nothing_leads_out_of_the_commit() {
    let repo = Repo::new();
    repo.write("real/file", "inside");
    std::os::unix::fs::symlink("/etc", repo.path().join("etc")).expect("linked");
    std::os::unix::fs::symlink("real/file", repo.path().join("near")).expect("linked");
    repo.write("d/x", "x").commit("One");
    git_in(&repo.path(), &["update-index", "--add", "--cacheinfo", &format!("160000,{},sub", repo.head())]);
    repo.git(&["commit", "--quiet", "--message", "Two"]);
    let (mirror, _state) = fetched(&repo).await;
    let snapshot = mirror.snapshot(&repo.head()).expect("there");
    for link in ["etc", "near", "etc/passwd"] {
        assert!(matches!(snapshot.read(link, 100), Err(GitError::SymbolicLink(_))), "{link}");
    }
    assert!(matches!(snapshot.read("sub/x", 100), Err(GitError::Submodule(_))));
    for bad in ["../x", "/etc/passwd", "a/../b", "a//b", "", ".", "a\0b", "a\\b"] {
        assert!(matches!(snapshot.read(bad, 100), Err(GitError::BadPath(_))), "{bad:?}");
    }
    let kinds: Vec<_> = snapshot.list("").expect("listed").into_iter().map(|entry| (entry.path, entry.kind)).collect();
    assert!(kinds.contains(&("etc".to_owned(), EntryKind::SymbolicLink)), "{kinds:?}");
    assert!(kinds.contains(&("sub".to_owned(), EntryKind::Submodule)), "{kinds:?}");
}

#[tokio::test]
async fn a_name_that_is_not_utf_8_is_refused_in_words() {
    let repo = Repo::new();
    let name = std::ffi::OsStr::from_bytes(b"b\xff.yaml");
    std::fs::write(repo.path().join(name), "x").expect("written");
    let one = repo.write("a.yaml", "a").commit("One");
    let (mirror, _state) = fetched(&repo).await;
    let snapshot = mirror.snapshot(&one).expect("there");
    let listed: Vec<_> = snapshot.list("").expect("listed").into_iter().map(|entry| entry.path).collect();
    assert_eq!(listed, ["a.yaml", "b\u{fffd}.yaml"]);
    assert!(matches!(snapshot.read(&listed[1], 100), Err(GitError::NameNotUtf8(_))));
}

#[tokio::test]
async fn a_commit_says_who_what_and_when() {
    let repo = Repo::new();
    let one = repo.commit("First line\n\nMore words");
    let (mirror, _state) = fetched(&repo).await;
    let info = mirror.commit(&one).expect("there");
    assert_eq!((info.author.as_str(), info.message.as_str()), ("Ann Author", "First line"));
    let time: i64 = repo.git(&["log", "-1", "--format=%ct"]).parse().expect("a number");
    assert_eq!(info.time.as_millis(), time * 1000);
}

#[tokio::test]
async fn changed_paths_compare_two_trees() {
    let repo = Repo::new();
    let one = repo.write("a", "1").write("b/c", "1").write("gone", "1").commit("One");
    std::fs::remove_file(repo.path().join("gone")).expect("removed");
    repo.write("b/c", "2").commit("Two");
    let three = repo.write("new", "1").commit("Three");
    let (mirror, _state) = fetched(&repo).await;
    let changed = mirror.changed_paths(Some(&one), &three).expect("compared");
    assert_eq!((changed.paths, changed.truncated), (vec!["b/c".to_owned(), "gone".into(), "new".into()], false));
    let back = mirror.changed_paths(Some(&three), &one).expect("compared");
    assert_eq!(back.paths.len(), 3, "a branch can also be set back");
    assert!(mirror.changed_paths(None, &three).expect("compared").truncated);
    let never = CommitSha::parse(&"ab".repeat(20)).expect("an id");
    assert!(mirror.changed_paths(Some(&never), &three).expect("compared").truncated);
    assert!(matches!(mirror.changed_paths(Some(&three), &never), Err(GitError::MissingCommit { .. })));
}
