//! `demo`: the README's first command.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::{longboat, stderr, stdout};
use crate::support::server::signal;

#[test]
fn it_shows_a_commit_become_a_status_and_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = longboat(folder.path(), &["demo", "--exit", "--port", "0"]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}{}", stderr(&output));
    for part in [
        "The boat shop opens",
        "std/test",
        "package",
        "2 pipelines valid",
        "✓ unit",
        "✓ package-large",
        "✓ verify",
        "✓ longboat/shop/deliver: Succeeded in",
        "page  http://127.0.0.1:",
        "Try next",
    ] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "no colours when piped");

    let again = longboat(folder.path(), &["demo", "--exit", "--port", "0"]);
    assert_eq!(again.status.code(), Some(0), "it goes on with an earlier demo: {}{}", stdout(&again), stderr(&again));
}

#[test]
fn a_folder_of_somebody_else_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("precious"), "mine").expect("a file");
    let output = longboat(folder.path(), &["demo", "--exit", "--port", "0", "--dir", "."]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("choose another folder with --dir"), "{}", stderr(&output));
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1);
}

#[test]
fn a_taken_port_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let output = longboat(folder.path(), &["demo", "--exit", "--port", &port]);
    assert_eq!(output.status.code(), Some(2), "{}", stdout(&output));
    assert!(stderr(&output).contains(&port) && stderr(&output).contains("taken"), "{}", stderr(&output));
}

#[test]
fn a_further_commit_runs_again_and_a_mistake_is_pointed_at() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = Command::new(env!("CARGO_BIN_EXE_longboat"))
        .args(["demo", "--port", "0"])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("the demo starts");
    let lines = lines(&mut child);
    wait_for(&lines, "longboat/shop/deliver: Succeeded");

    let shop = folder.path().join("longboat-demo/shop");
    std::fs::write(shop.join("VERSION"), "1.1.0\n").expect("a file");
    git(&shop, &["commit", "-qam", "Sail on"]);
    wait_for(&lines, "\"Sail on\"");
    wait_for(&lines, "longboat/shop/deliver: Succeeded");

    let file = shop.join(".longboat/shop.yaml");
    let text = std::fs::read_to_string(&file).expect("a file");
    std::fs::write(&file, text.replacen("type: script", "type: scirpt", 1)).expect("a file");
    git(&shop, &["commit", "-qam", "A typo"]);
    let line = wait_for(&lines, "Failed: 1 error");
    assert!(line.contains("shop.yaml:"), "{line}");

    signal(child.id(), "INT");
    wait_for(&lines, "The demo has stopped");
    assert!(child.wait().expect("it ends").success());
}

fn lines(child: &mut Child) -> Receiver<String> {
    let (sender, receiver) = channel();
    let out = BufReader::new(child.stdout.take().expect("stdout is piped"));
    std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    receiver
}

fn wait_for(lines: &Receiver<String>, part: &str) -> String {
    let mut seen = String::new();
    loop {
        let line = lines
            .recv_timeout(Duration::from_secs(60))
            .unwrap_or_else(|error| panic!("no line with {part:?} ({error}) after\n{seen}"));
        if line.contains(part) {
            return line;
        }
        seen.push_str(&line);
        seen.push('\n');
    }
}

fn git(folder: &Path, args: &[&str]) {
    let status = Command::new("git")
        .args(["-c", "user.name=Ann", "-c", "user.email=ann@example.com"])
        .args(args)
        .current_dir(folder)
        .status()
        .expect("git runs");
    assert!(status.success(), "git {args:?}");
}
