//! Logs and files on their way through a shared store, with a process that dies and a store that can't be reached.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::memory::InMemory;
use super::*;
use crate::engine::{LogChunk, LogSource};
use crate::model::StagePath;
use crate::stage::files::{attempt_dir, log_file};
use crate::stage::logs::Logs;
use crate::stage::saved::{self, Globs, SavedLimits};

/// A node with a log that somebody writes.
struct Node {
    state: tempfile::TempDir,
    store: Arc<InMemory>,
    shipper: Shipper,
}

impl Node {
    fn new(store: &Arc<InMemory>) -> Self {
        let state = tempfile::tempdir().expect("a folder");
        let shipper = Shipper::new(state.path().to_owned(), store.clone());
        Self { state, store: store.clone(), shipper }
    }

    /// The process dies and is started anew.
    fn again(self) -> Self {
        let Self { state, store, shipper: _ } = self;
        let shipper = Shipper::new(state.path().to_owned(), store.clone());
        Self { state, store, shipper }
    }

    fn log(&self, id: ExecutionId) -> PathBuf {
        log_file(self.state.path(), id, &path(), 1)
    }

    fn print(&self, id: ExecutionId, text: &str) {
        use std::io::Write as _;
        let file = self.log(id);
        fs::create_dir_all(file.parent().expect("a parent")).expect("made");
        let mut file = fs::OpenOptions::new().create(true).append(true).open(file).expect("opened");
        file.write_all(text.as_bytes()).expect("written");
    }

    /// The attempt has begun.
    fn run(&self, id: ExecutionId) -> PathBuf {
        let dir = attempt_dir(self.state.path(), id, &path(), 1);
        fs::create_dir_all(&dir).expect("made");
        dir
    }

    fn logs(&self) -> SharedLogs {
        SharedLogs::new(Logs::new(self.state.path()), self.store.clone())
    }
}

fn path() -> StagePath {
    StagePath::parse("build/a").expect("a path")
}

async fn read(logs: &SharedLogs, id: ExecutionId, offset: u64, max: usize) -> LogChunk {
    logs.read(id, &path(), 1, offset, max).await.expect("read")
}

async fn text(logs: &SharedLogs, id: ExecutionId) -> (String, bool) {
    let chunk = read(logs, id, 0, usize::MAX).await;
    (String::from_utf8(chunk.bytes).expect("text"), chunk.end)
}

/// Waits until the store has that much of a log.
async fn until(logs: &SharedLogs, id: ExecutionId, wanted: (&str, bool)) {
    let waiting = async {
        while text(logs, id).await != (wanted.0.to_owned(), wanted.1) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("it comes");
}

#[tokio::test]
async fn a_log_is_read_elsewhere_while_it_grows_and_when_it_has_ended() {
    let store = Arc::new(InMemory::default());
    let (one, other) = (Node::new(&store), Node::new(&store));
    let id = ExecutionId::generate();
    let (attempt, logs) = (one.run(id), other.logs());
    assert_eq!(read(&logs, id, 5, 5).await, LogChunk { bytes: vec![], next: 0, end: false });
    one.shipper.begin(id, &path(), 1);
    one.print(id, "grün ");
    until(&logs, id, ("grün ", false)).await;
    one.print(id, "und 🛶, and on");
    until(&logs, id, ("grün und 🛶, and on", false)).await;
    fs::remove_dir(&attempt).expect("over");
    one.shipper.finish(id, &path(), 1).await;
    assert_eq!(text(&logs, id).await, ("grün und 🛶, and on".to_owned(), true));
    assert!(!one.log(id).exists(), "it is kept once");
    assert_eq!(text(&one.logs(), id).await.0, "grün und 🛶, and on");

    // In small chunks of whole characters, and from behind the end.
    let (mut whole, mut offset, mut end) = (String::new(), 0, false);
    while !end {
        let chunk = read(&logs, id, offset, 5).await;
        assert!(!chunk.bytes.is_empty(), "every piece brings something");
        whole.push_str(&String::from_utf8(chunk.bytes).expect("whole characters"));
        (offset, end) = (chunk.next, chunk.end);
    }
    assert_eq!(whole, "grün und 🛶, and on");
    assert_eq!(read(&logs, id, u64::MAX, 5).await, LogChunk { bytes: vec![], next: 22, end: true });
    // Asked again after a crash: nothing is left to do.
    one.shipper.finish(id, &path(), 1).await;
    assert_eq!(text(&logs, id).await.0.len(), 22);
}

#[tokio::test]
async fn what_a_crash_kept_from_being_sent_is_sent_by_the_next_process() {
    let store = Arc::new(InMemory::default());
    let (one, other) = (Node::new(&store), Node::new(&store));
    let [id, unwanted] = [ExecutionId::generate(), ExecutionId::generate()];
    let attempt = one.run(id);
    one.print(id, "0123456789abcdef-");
    one.print(unwanted, "of an execution that has lost its details");
    one.shipper.begin(id, &path(), 1);
    until(&other.logs(), id, ("0123456789abcdef-", false)).await;
    let one = one.again();
    one.print(id, "and more");
    fs::remove_dir(&attempt).expect("over");
    let puts = store.puts.load(Ordering::SeqCst);
    one.shipper.send_leftovers(|found| async move { found == id }).await.expect("sent");
    assert_eq!(text(&other.logs(), id).await, ("0123456789abcdef-and more".to_owned(), true));
    assert_eq!(store.puts.load(Ordering::SeqCst) - puts, 3, "whole pieces are not sent again");
    assert_eq!(fs::read_dir(one.state.path().join("logs")).expect("listed").count(), 0);
    assert_eq!(text(&other.logs(), unwanted).await.0, "");
}

#[tokio::test]
async fn a_log_waits_for_a_store_that_can_t_be_reached() {
    let store = Arc::new(InMemory::default());
    let one = Node::new(&store);
    let id = ExecutionId::generate();
    store.broken.store(true, Ordering::SeqCst);
    one.print(id, "kept");
    one.shipper.begin(id, &path(), 1);
    while store.refused.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(one.log(id).exists());
    assert_eq!(text(&one.logs(), id).await, ("kept".to_owned(), true), "it is read here meanwhile");
    store.broken.store(false, Ordering::SeqCst);
    one.shipper.finish(id, &path(), 1).await;
    assert_eq!(text(&Node::new(&store).logs(), id).await, ("kept".to_owned(), true));
}

#[tokio::test]
async fn a_log_whose_node_is_gone_ends_and_goes_on_if_it_comes_back() {
    let store = Arc::new(InMemory::default());
    let (one, other) = (Node::new(&store), Node::new(&store));
    let id = ExecutionId::generate();
    let attempt = one.run(id);
    one.print(id, "so far");
    one.shipper.begin(id, &path(), 1);
    let logs = other.logs();
    until(&logs, id, ("so far", false)).await;
    other.shipper.give_up(id, &path(), 1).await;
    assert_eq!(text(&logs, id).await, ("so far".to_owned(), true));
    one.print(id, ", and the rest");
    fs::remove_dir(&attempt).expect("over");
    one.shipper.finish(id, &path(), 1).await;
    assert_eq!(text(&logs, id).await, ("so far, and the rest".to_owned(), true));
    let mut all = Vec::new();
    all_executions(store.as_ref(), Leaving::Log, &mut all).await.expect("listed");
    assert_eq!(all, [id]);
    crate::stage::remove_logs(other.state.path(), Some(store.as_ref()), id).await.expect("removed");
    assert_eq!(text(&other.logs(), id).await.0, "");
}

fn saved_in(node: &Node, id: ExecutionId, attempt: u32, files: &[(&str, &str)]) -> PathBuf {
    let checkout = tempfile::tempdir().expect("a folder");
    for (path, text) in files {
        let full = checkout.path().join(path);
        fs::create_dir_all(full.parent().expect("a parent")).expect("made");
        fs::write(full, text).expect("written");
    }
    let dir = saved::stage_dir(node.state.path(), id, &path());
    let globs = Globs::parse(&["**".to_owned()]).expect("globs");
    saved::save(checkout.path(), globs, &dir, attempt, &SavedLimits::default()).expect("saved");
    dir
}

fn tree(dir: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("listed") {
        let path = entry.expect("read").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if path.is_dir() {
            found.extend(tree(&path).into_iter().map(|(below, text)| (format!("{name}/{below}"), text)));
        } else {
            found.push((name, fs::read_to_string(&path).expect("text")));
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn saved_files_are_found_on_another_node_as_a_whole() {
    let store = Arc::new(InMemory::default());
    let (one, other) = (Node::new(&store), Node::new(&store));
    let id = ExecutionId::generate();
    let shelf = saved::shelf(id, &path());
    let there = saved::stage_dir(other.state.path(), id, &path());
    assert_eq!(fetch(store.as_ref(), &shelf, &there).await.expect("asked"), Fetched::Nothing);
    let long = "x".repeat(200);
    let files = [("dist/app", long.as_str()), ("dist/deep/empty", ""), ("report \n.xml", "<r/>")];
    let dir = saved_in(&one, id, 1, &files);
    send(store.as_ref(), &shelf, &dir).await.expect("sent");
    let puts = store.puts.load(Ordering::SeqCst);
    send(store.as_ref(), &shelf, &dir).await.expect("asked again after a crash");
    assert_eq!(store.puts.load(Ordering::SeqCst), puts, "it isn't sent twice");
    for _ in 0..2 {
        assert_eq!(fetch(store.as_ref(), &shelf, &there).await.expect("fetched"), Fetched::There);
        assert_eq!(tree(&there), tree(&dir));
    }
    // A later attempt takes their place.
    let dir = saved_in(&one, id, 2, &[("dist/app", "new")]);
    send(store.as_ref(), &shelf, &dir).await.expect("sent");
    assert_eq!(fetch(store.as_ref(), &shelf, &there).await.expect("fetched"), Fetched::There);
    assert_eq!(tree(&there.join("files")), [("dist/app".to_owned(), "new".to_owned())]);
    let left = fs::read_dir(there.parent().expect("a parent")).expect("listed").count();
    assert_eq!(left, 1, "no draft is left");
}

/// What somebody does to bytes that are kept.
type Change<'a> = &'a dyn Fn(&mut Vec<u8>);

#[tokio::test]
async fn damaged_files_are_refused_and_leave_nothing() {
    let hostile = hex::encode("../../escaped");
    let as_hostile = |bytes: &mut Vec<u8>| {
        *bytes = format!("{{\"path\":\"{hostile}\",\"bytes\":4,\"executable\":false}}\nleak").into_bytes();
    };
    let one_letter = |bytes: &mut Vec<u8>| {
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
    };
    let longer = |bytes: &mut Vec<u8>| bytes.extend_from_slice(b"{\"path\":\"61\",\"bytes\":0,\"executable\":false}\n");
    let changes: [(Change<'_>, &str); 4] = [
        (&as_hostile, "leads out"),
        (&one_letter, "not what was sent"),
        (&longer, "more than was saved"),
        (&|bytes: &mut Vec<u8>| bytes.truncate(10), "not what was sent"),
    ];
    for (change, why) in changes {
        let store = Arc::new(InMemory::default());
        let (one, other) = (Node::new(&store), Node::new(&store));
        let id = ExecutionId::generate();
        let shelf = saved::shelf(id, &path());
        send(store.as_ref(), &shelf, &saved_in(&one, id, 1, &[("a", "text")])).await.expect("sent");
        store.change(|name, bytes| {
            if name.starts_with("1-") {
                change(bytes);
            }
        });
        let there = saved::stage_dir(other.state.path(), id, &path());
        let error = fetch(store.as_ref(), &shelf, &there).await.expect_err("refused").to_string();
        assert!(error.contains(why), "{error}");
        assert!(!there.exists() && !other.state.path().join("escaped").exists());
        assert_eq!(fs::read_dir(there.parent().expect("a parent")).expect("listed").count(), 0, "no draft is left");
    }
}
