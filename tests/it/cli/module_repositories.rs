//! Module repositories on a laptop: named by `.longboat/settings.yaml`, kept in the user's cache.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::{stderr, stdout, tree};
use crate::support::git_http::{GitHttp, Mood};
use crate::support::repo::Repo;

const FILE: &str = ".longboat/shop.yaml";

fn longboat(folder: &Path, cache: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_longboat"))
        .args(args)
        .current_dir(folder)
        .env("NO_COLOR", "1")
        .env("XDG_CACHE_HOME", cache)
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs")
}

/// A module repository with a tag and something newer.
fn library() -> Repo {
    let repo = Repo::new();
    let module =
        "module: {parameters: {text: {required: true}}}\n---\nid: say\ntype: script\ncommand: echo {{ text }}\n";
    repo.write("modules/say.yaml", module).commit("One");
    repo.git(&["tag", "v1.0.0"]);
    repo.write("modules/say.yaml", module.replace("echo", "printf")).commit("Two");
    repo
}

fn work_tree(url: &str, call: &str) -> tempfile::TempDir {
    let settings = format!("modules:\n  platform: {{url: '{url}', path: modules}}\n");
    let text = format!(
        "application: shop\npipelines:\n  - name: greet\n    stages:\n      - use: {call}\n        with: {{text: hello}}\n"
    );
    tree(&[(".longboat/settings.yaml", &settings), (FILE, &text)])
}

#[test]
fn settings_name_module_repositories_for_every_command() {
    let (library, cache) = (library(), tempfile::tempdir().expect("a folder"));
    let url = library.path().to_string_lossy().into_owned();
    let folder = work_tree(&url, "platform/say@^1.0");
    let run = |args: &[&str]| longboat(folder.path(), cache.path(), args);
    let valid = run(&["validate"]);
    assert_eq!(stdout(&valid), "1 pipeline valid\n", "{}", stderr(&valid));
    assert_eq!(stderr(&valid), format!("looking at the module repository platform ({url})\n"));
    let rendered = run(&["render", FILE]);
    assert!(stdout(&rendered).contains("command: echo hello"), "{}{}", stdout(&rendered), stderr(&rendered));
    let explained = stdout(&run(&["explain", FILE, "--at", "/pipelines/0/stages/0/command"]));
    let short = library.commit_of("v1.0.0").short().to_owned();
    let place = format!("written at platform/say.yaml@{short}:5:10\n    command: echo {{{{ text }}}}\n");
    assert!(explained.contains(&place), "{explained}");
    assert!(explained.contains("`platform/say@^1.0` called at .longboat/shop.yaml:5:14"), "{explained}");
    let ran = run(&["run", FILE]);
    assert_eq!(ran.status.code(), Some(0), "{}{}", stdout(&ran), stderr(&ran));
}

#[test]
fn an_error_in_a_module_shows_the_module_s_line() {
    let (library, cache) = (library(), tempfile::tempdir().expect("a folder"));
    library.write("modules/say.yaml", "type: script\ncommand: echo {{ txet }}\n").commit("Three");
    let folder = work_tree(&library.path().to_string_lossy(), "platform/say");
    let output = longboat(folder.path(), cache.path(), &["validate"]);
    let said = stdout(&output);
    let short = library.head().short().to_owned();
    assert!(said.contains(&format!("platform/say.yaml@{short}:2:")), "{said}");
    assert!(said.contains("command: echo {{ txet }}") && said.contains("did you mean `text`?"), "{said}");
}

#[tokio::test]
async fn offline_uses_what_is_there_and_so_does_a_server_that_is_down() {
    let (work, bare) = (library(), Repo::init("modules.git", &["--bare", "--initial-branch=main"]));
    work.push_to(&bare);
    let server = GitHttp::start(bare.root(), None).await;
    let cache = tempfile::tempdir().expect("a folder");
    let folder = work_tree(&server.url("modules.git"), "platform/say");
    let run = |args: &'static [&'static str]| {
        let (folder, cache) = (folder.path().to_owned(), cache.path().to_owned());
        // The server lives in this runtime.
        tokio::task::spawn_blocking(move || longboat(&folder, &cache, args))
    };
    let never = run(&["validate", "--offline"]).await.expect("ends");
    assert_eq!(never.status.code(), Some(1));
    assert!(
        stdout(&never).contains("it was never fetched; run the command once without --offline"),
        "{}",
        stdout(&never)
    );
    assert!(server.seen().is_empty(), "nothing was asked");

    let online = run(&["validate"]).await.expect("ends");
    assert_eq!(stdout(&online), "1 pipeline valid\n", "{}", stderr(&online));
    let asked = server.seen().len();
    for _ in 0..2 {
        let offline = run(&["validate", "--offline"]).await.expect("ends");
        assert_eq!((stdout(&offline).as_str(), stderr(&offline).as_str()), ("1 pipeline valid\n", ""));
        // What was looked at a moment ago is not looked at again.
        let again = run(&["validate"]).await.expect("ends");
        assert_eq!((stdout(&again).as_str(), stderr(&again).as_str()), ("1 pipeline valid\n", ""));
    }
    assert_eq!(server.seen().len(), asked);

    server.set_mood(Mood::Overloaded);
    let stamp = walk(cache.path()).into_iter().find(|path| path.extension().is_some_and(|kind| kind == "looked"));
    std::fs::remove_file(stamp.expect("a stamp")).expect("removed");
    let down = run(&["validate"]).await.expect("ends");
    assert_eq!(stdout(&down), "1 pipeline valid\n", "{}", stderr(&down));
    assert!(stderr(&down).contains("the modules of platform are those that were fetched last"), "{}", stderr(&down));
}

#[test]
fn what_cannot_be_had_is_said_plainly() {
    let cache = tempfile::tempdir().expect("a folder");
    let folder = work_tree("../nowhere", "platform/say");
    let output = longboat(folder.path(), cache.path(), &["validate"]);
    assert_eq!(output.status.code(), Some(1));
    let said = stdout(&output);
    assert!(said.contains("LB0221") && said.contains("nowhere is not a Git repository that can be read"), "{said}");
    let wrong = tree(&[(".longboat/settings.yaml", "modules:\n  platform: {uri: x}\n"), (FILE, "application: shop\n")]);
    let output = longboat(wrong.path(), cache.path(), &["validate"]);
    let said = stdout(&output);
    assert!(said.contains("`uri` is not known here") && said.contains("settings.yaml:2:14"), "{said}");
}

fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).expect("reads").map(|entry| entry.expect("reads").path());
    entries
        .flat_map(|path| if path.is_dir() && path.extension().is_none() { walk(&path) } else { vec![path] })
        .collect()
}
