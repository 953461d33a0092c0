//! `longboat validate --watch`: the answer anew, whenever files change.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::tree;
use crate::support::repo::Repo;

const GOOD: &str = "application: shop\npipelines:\n  - name: a\n    stages:\n      - {id: x, type: noop}\n";
const MODULE: &str = "application: shop\npipelines:\n  - name: a\n    stages:\n      - {use: deep/x}\n";
const LIMIT: Duration = Duration::from_secs(30);

impl Drop for Watching {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _status = self.child.wait();
    }
}

/// The binary while it watches; lines of both its outputs as they come.
struct Watching {
    child: Child,
    out: Receiver<String>,
    talk: Receiver<String>,
}

fn lines(from: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

impl Watching {
    fn start(folder: &Path) -> Self {
        Self::start_with(folder, &[])
    }

    fn start_with(folder: &Path, args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_longboat"))
            .args(["validate", "--watch"])
            .args(args)
            .current_dir(folder)
            .env("XDG_CACHE_HOME", folder.join("cache"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let out = lines(child.stdout.take().expect("piped"));
        let talk = lines(child.stderr.take().expect("piped"));
        Self { child, out, talk }
    }

    /// Waits for an answer with this text; answers to states in between may come before it.
    fn says(&self, text: &str) {
        let deadline = Instant::now() + LIMIT;
        let mut all = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.out.recv_timeout(left) else { panic!("never said {text:?}, but {all:#?}") };
            if line.contains(text) {
                break;
            }
            all.push(line);
        }
        // The answer is whole when it watches again.
        while !self.talk.recv_timeout(LIMIT).expect("it watches").starts_with("watching ") {}
    }

    fn signal(mut self, name: &str) -> Option<i32> {
        let sent = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status().expect("kill");
        assert!(sent.success());
        self.child.wait().expect("it ends").code()
    }
}

#[test]
fn each_change_is_answered_and_the_exit_code_is_that_of_the_last_answer() {
    let folder = tree(&[(".longboat/a.yaml", GOOD)]);
    let root = folder.path();
    let watching = Watching::start(root);
    watching.says("1 pipeline valid");
    std::fs::write(root.join(".longboat/a.yaml"), GOOD.replace("noop", "nope")).expect("written");
    watching.says("LB0304");
    // As editors save: a new file takes the place of the old one.
    std::fs::write(root.join(".longboat/.a.yaml.swp"), GOOD).expect("written");
    std::fs::rename(root.join(".longboat/.a.yaml.swp"), root.join(".longboat/a.yaml")).expect("renamed");
    watching.says("1 pipeline valid");
    std::fs::rename(root.join(".longboat/a.yaml"), root.join(".longboat/b.yml")).expect("renamed");
    std::fs::write(root.join(".longboat/c.yaml"), GOOD.replace("name: a", "name: c")).expect("written");
    watching.says("2 pipelines valid");
    std::fs::write(root.join(".longboat/c.yaml"), "application: [").expect("written");
    watching.says("error[");
    assert_eq!(watching.signal("INT"), Some(1));
}

#[test]
fn folders_may_come_and_go() {
    let folder = tree(&[(".longboat/a.yaml", GOOD)]);
    let root = folder.path();
    let watching = Watching::start(root);
    watching.says("1 pipeline valid");
    std::fs::remove_dir_all(root.join(".longboat")).expect("removed");
    watching.says("No pipeline files");
    std::fs::create_dir_all(root.join(".longboat/modules/deep")).expect("made");
    std::fs::write(root.join(".longboat/a.yaml"), MODULE).expect("written");
    watching.says("LB0201");
    std::fs::write(root.join(".longboat/modules/deep/x.yaml"), "id: x\ntype: noop\n").expect("written");
    watching.says("1 pipeline valid");
    assert_eq!(watching.signal("TERM"), Some(0));
}

#[test]
fn a_file_that_a_pipeline_reads_counts_wherever_it_is() {
    let reads = "application: shop\npipelines:\n  - name: a\n    stages:\n      - {id: x, type: script, command: \"{{ file('ci/x.sh') }}\"}\n";
    let folder = tree(&[(".longboat/a.yaml", reads), ("README.md", "")]);
    let root = folder.path();
    let watching = Watching::start(root);
    watching.says("LB0008");
    std::fs::create_dir_all(root.join("ci")).expect("made");
    std::fs::write(root.join("ci/x.sh"), "make").expect("written");
    watching.says("1 pipeline valid");
    std::fs::remove_file(root.join("ci/x.sh")).expect("removed");
    watching.says("LB0008");
    assert_eq!(watching.signal("INT"), Some(1));
}

#[test]
fn a_commit_to_a_module_repository_on_this_machine_counts_at_once() {
    let library = Repo::new();
    library.write("modules/say.yaml", "id: say\ntype: noop\n").commit("One");
    let settings = format!("modules:\n  platform: {{url: '{}', path: modules}}\n", library.path().display());
    let calls = MODULE.replace("deep/x", "platform/say");
    let folder = tree(&[(".longboat/settings.yaml", &settings), (".longboat/a.yaml", &calls)]);
    let watching = Watching::start(folder.path());
    watching.says("1 pipeline valid");
    library.write("modules/say.yaml", "id: say\ntype: nope\n").commit("Two");
    watching.says("LB0304");
    library.git(&["reset", "--hard", "HEAD~1"]);
    watching.says("1 pipeline valid");
    assert_eq!(watching.signal("INT"), Some(0));
}

#[test]
fn the_operator_s_variables_count_and_so_does_a_change_of_them() {
    let text = GOOD.replace("noop", "'{{ vars.kind }}'");
    let folder = tree(&[(".longboat/a.yaml", &text), ("server.yaml", "vars: {kind: noop}\n")]);
    let root = folder.path();
    let watching = Watching::start_with(root, &["--config", "server.yaml"]);
    watching.says("1 pipeline valid");
    std::fs::write(root.join("server.yaml"), "vars: {kind: nope}\n").expect("written");
    watching.says("LB0304");
    assert_eq!(watching.signal("INT"), Some(1));
}

#[test]
fn it_ends_with_the_folder_that_it_watches() {
    let folder = tree(&[("tree/.longboat/a.yaml", GOOD)]);
    let root = folder.path().join("tree");
    let mut watching = Watching::start(&root);
    watching.says("1 pipeline valid");
    // The files first, and the folder, which is the program's own, when it has looked at what is left.
    std::fs::remove_dir_all(root.join(".longboat")).expect("removed");
    watching.says("No pipeline files");
    std::fs::remove_dir(&root).expect("removed");
    let deadline = Instant::now() + LIMIT;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let line = watching.talk.recv_timeout(left).expect("it says that the folder is gone");
        if line.contains("is gone") {
            break;
        }
    }
    assert_eq!(watching.child.wait().expect("it ends").code(), Some(2));
}
