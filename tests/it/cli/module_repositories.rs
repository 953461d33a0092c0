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

/// The value of a variable file goes through three modules of a module repository, and is wrong.
#[test]
fn an_error_of_a_value_names_every_place_that_it_came_through() {
    let (library, cache) = (Repo::new(), tempfile::tempdir().expect("a folder"));
    library
        .write(
            "modules/release.yaml",
            "module:\n  yields: stages\n  parameters: {calm: {}}\n---\n- {id: build, type: noop}\n- use: watch\n  with:\n    pause: {{ calm }}\n",
        )
        .write("modules/watch.yaml", "use: rest\nwith: {seconds: {{ pause }}, id: watch}\n")
        .write("modules/rest.yaml", "id: {{ id }}\ntype: wait\nwaitTime: {{ seconds }}\n")
        .commit("One");
    let settings = format!("modules:\n  platform: {{url: '{}', path: modules}}\n", library.path().to_string_lossy());
    let text = "\
application: shop
pipelines:
  - name: ship
    environment: production
    stages:
      - use: platform/release@main
        with:
          calm: {{ vars.calm.after }}
";
    let folder = tree(&[
        (".longboat/settings.yaml", &settings),
        (FILE, text),
        (".longboat/vars/default.yaml", "calm: {after: 60}\n"),
        (".longboat/vars/production.yaml", "# seconds\ncalm:\n  after: soon\n"),
    ]);
    let output = longboat(folder.path(), cache.path(), &["validate"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let short = library.head().short().to_owned();
    insta::assert_snapshot!("error_through_three_modules", stdout(&output).replace(&short, "COMMIT"));
    let at = ["explain", FILE, "--at", "/pipelines/0/stages/1/waitTime"];
    let output = longboat(folder.path(), cache.path(), &at);
    insta::assert_snapshot!("explained_through_three_modules", stdout(&output).replace(&short, "COMMIT"));
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

/// A module with an example, that calls another one.
const GREET: &str = "\
module:
  description: Greets somebody
  yields: stage
  parameters:
    whom: {type: string, required: true}
  examples:
    - {with: {whom: ann}}
---
use: leaf
with: {text: 'hello {{ whom }}'}
";
const LEAF: &str = "id: say\ntype: script\ncommand: echo {{ text }}\n";

#[test]
fn a_module_repository_lists_shows_and_checks_its_own_modules_wherever_they_are() {
    let cache = tempfile::tempdir().expect("a folder");
    for (prefix, named) in [("", "."), ("modules/", "modules"), ("deep/down/", "deep/down")] {
        let repo = Repo::new();
        let greet = format!("{prefix}greet.yaml");
        repo.write(&greet, GREET).write(&format!("{prefix}leaf.yaml"), LEAF).write("README.md", "Modules");
        repo.write(".github/workflows/ci.yaml", "on: ${{ push }}\n");
        // What can't be found by itself is named: the whole repository would be taken.
        let by_hand: &[&str] = if prefix == "deep/down/" { &["--folder", named] } else { &[] };
        let run = |args: &[&str]| longboat(&repo.path(), cache.path(), &[args, by_hand].concat());
        let checked = run(&["modules", "check"]);
        assert_eq!(stdout(&checked), "2 modules and 1 example checked\n", "{prefix}: {}", stderr(&checked));
        assert_eq!(stderr(&checked).contains("taking this for a module repository"), by_hand.is_empty());
        let listed = stdout(&run(&["modules", "list"]));
        assert!(listed.contains("greet         stage    Greets somebody\n"), "{listed}");
        assert!(!listed.contains("ci"), "{listed}");
        let shown = run(&["modules", "show", "greet"]);
        assert!(stdout(&shown).starts_with(&format!("greet ({greet})\n")), "{}{}", stdout(&shown), stderr(&shown));

        repo.write(&greet, GREET.replace("whom }}", "whmo }}"));
        let wrong = run(&["modules", "check", "--format", "github"]);
        assert_eq!(wrong.status.code(), Some(1));
        assert!(stdout(&wrong).contains(&format!("::error file={greet},line=10,")), "{}", stdout(&wrong));
        let human = stdout(&run(&["modules", "check"]));
        assert!(human.contains("with: {text: 'hello {{ whmo }}'}") && human.contains("Failed: "), "{human}");
    }
    let repo = Repo::new();
    repo.write("README.md", "Nothing");
    let run = |args: &[&str]| longboat(&repo.path(), cache.path(), args);
    assert_eq!(stdout(&run(&["modules", "check"])), "No modules in .longboat/modules\n");
    assert_eq!(stdout(&run(&["modules", "check", "--folder", "x"])), "No modules in x\n");
    let outside = run(&["modules", "check", "--folder", "../x"]);
    assert_eq!(outside.status.code(), Some(2));
    assert!(stderr(&outside).contains("no folder inside of the repository"), "{}", stderr(&outside));
}

#[test]
fn modules_of_module_repositories_are_listed_and_shown_at_any_commit() {
    let (library, cache) = (library(), tempfile::tempdir().expect("a folder"));
    library
        .write("modules/say.yaml", "module: {description: Says it louder}\n---\nid: say\ntype: noop\n")
        .commit("Three");
    let folder = work_tree(&library.path().to_string_lossy(), "platform/say");
    let run = |args: &[&str]| longboat(folder.path(), cache.path(), args);
    let shown = run(&["modules", "show", "platform/say"]);
    let said = stdout(&shown);
    assert!(stderr(&shown).starts_with("looking at the module repository platform"), "{}", stderr(&shown));
    let head = library.head();
    assert!(
        said.starts_with(&format!(
            "platform/say (of the module repository platform, platform/say.yaml@{})",
            head.short()
        )),
        "{said}"
    );
    assert!(said.contains("Says it louder") && said.contains("It takes no parameters."), "{said}");
    let listed = stdout(&run(&["modules", "list"]));
    assert!(
        listed.lines().any(|line| line.starts_with("platform/say") && line.ends_with("Says it louder")),
        "{listed}"
    );
    let old = stdout(&run(&["modules", "show", "platform/say@^1.0"]));
    assert!(old.starts_with("platform/say@^1.0 (") && old.contains("text       any   required"), "{old}");
    for (name, words) in [
        ("platform/sya", "there is no module `platform/sya`; did you mean `platform/say`?"),
        ("platform/sya@v1.0.0", "did you mean `platform/say"),
        ("platform/say@v7", "no tag, branch or commit `v7`"),
        ("platfrom/say@v1", "did you mean `platform/say`?"),
    ] {
        let missing = run(&["modules", "show", name]);
        assert_eq!(missing.status.code(), Some(2), "{name}");
        assert!(stderr(&missing).contains(words), "{name}: {}", stderr(&missing));
    }
}

#[test]
fn a_plan_names_the_commits_of_module_repositories_before_and_after() {
    let (library, cache) = (library(), tempfile::tempdir().expect("a folder"));
    let (old, new) = (library.commit_of("v1.0.0"), library.head());
    library.git(&["tag", "v2.0.0"]);
    let repo = Repo::new();
    let url = library.path().to_string_lossy().into_owned();
    let one = |call: &str| {
        format!(
            "application: shop\npipelines:\n  - name: greet\n    stages:\n      - {{use: '{call}', with: {{text: hello}}}}\n"
        )
    };
    repo.write(".longboat/settings.yaml", format!("modules:\n  platform: {{url: '{url}', path: modules}}\n"));
    repo.write(FILE, one("platform/say@v1.0.0")).commit("Before");
    repo.git(&["switch", "--quiet", "--create", "change"]);
    repo.write(FILE, one("platform/say@^2")).commit("After");
    let run = |args: &[&str]| longboat(&repo.path(), cache.path(), &[&["plan", "--branch", "main"], args].concat());
    let said = stdout(&run(&[]));
    let pins = format!(
        "\nModule repositories\n    + platform@^2 at {} (tag v2.0.0)\n    - platform@v1.0.0 at {}\n",
        new.short(),
        old.short()
    );
    assert!(said.contains("`command` from `echo hello` to `printf hello`") && said.contains(&pins), "{said}");
    let report: serde_json::Value = serde_json::from_slice(&run(&["--format", "json"]).stdout).expect("JSON");
    assert_eq!(report["pins"][0]["commit"], new.as_str());
    assert_eq!(
        (&report["basePins"][0]["reference"], &report["basePins"][0]["commit"]),
        (&"v1.0.0".into(), &old.as_str().into())
    );
    // Nothing is said of what stays but that it is there.
    let same = stdout(&run(&["--base", "HEAD"]));
    assert!(same.contains(&format!("\n      platform@^2 at {} (tag v2.0.0)\n", new.short())), "{same}");

    repo.write(FILE, one("platform/say@^2").replace("text: hello", "txet: hello")).commit("Wrong");
    let annotated = run(&["--format", "github"]);
    assert_eq!(annotated.status.code(), Some(1));
    assert!(stdout(&annotated).starts_with("::error file=.longboat/shop.yaml,line=5,"), "{}", stdout(&annotated));
    let validated = longboat(&repo.path(), cache.path(), &["validate", "--format", "sarif"]);
    assert_eq!(stdout(&run(&["--format", "sarif"])), stdout(&validated));
}

#[test]
fn an_operator_is_told_that_a_module_repository_by_address_has_no_say_on_pull_requests() {
    let cache = tempfile::tempdir().expect("a folder");
    let config = "\
repositories: [{name: acme/modules, path: ./modules}]
modules:
  platform: {url: ./modules}
  other: {url: 'https://git.example.com/other.git'}
  shared: {repository: acme/modules}
";
    let folder = tree(&[("longboat.yaml", config)]);
    let output = longboat(folder.path(), cache.path(), &["serve", "--check"]);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(0), "longboat.yaml is good: 1 repository\n"));
    let said = stderr(&output);
    let notes: Vec<&str> = said.lines().collect();
    // What is followed is known by its address as well.
    assert_eq!(notes.len(), 1, "{said}");
    assert!(notes[0].starts_with("note: `modules.other` is fetched by its `url`"), "{said}");
    assert!(notes[0].contains("add the repository to `repositories`"), "{said}");
}

#[test]
fn in_a_clone_a_module_repository_goes_by_the_names_that_others_have_for_it() {
    let cache = tempfile::tempdir().expect("a folder");
    let checked = |repo: &Repo| longboat(&repo.path(), cache.path(), &["modules", "check"]);
    // By its remote.
    let repo = Repo::new();
    repo.write("modules/greet.yaml", GREET.replace("use: leaf", "use: platform/leaf@v2"));
    repo.write("modules/leaf.yaml", LEAF).commit("One");
    let unknown = checked(&repo);
    assert!(stdout(&unknown).contains("no module repository"), "{}{}", stdout(&unknown), stderr(&unknown));
    repo.git(&["remote", "add", "origin", "https://git.example.com/acme/platform.git"]);
    let known = checked(&repo);
    assert_eq!(known.status.code(), Some(0));
    // The tag isn't in this clone yet: that is no reason to check nothing.
    let tag = stdout(&known);
    for words in [
        "warning[LB0222]: this clone of `platform` has no tag, branch or commit `v2`",
        "modules/greet.yaml:",
        "if others have it, `git fetch --tags` brings it",
        "2 modules and 1 example checked",
    ] {
        assert!(tag.contains(words), "{words}: {tag}");
    }
    repo.git(&["tag", "v2"]);
    let known = checked(&repo);
    assert_eq!(stdout(&known), "2 modules and 1 example checked\n", "{}", stderr(&known));
    // What is called that way is the work tree as it stands.
    repo.write("modules/leaf.yaml", LEAF.replace("type: script", "type: scirpt"));
    let wrong = stdout(&checked(&repo));
    assert!(wrong.contains("unknown stage type `scirpt`"), "{wrong}");
    // By its settings, whatever its remote is called.
    repo.write("modules/leaf.yaml", LEAF);
    repo.git(&["remote", "set-url", "origin", "https://git.example.com/acme/pipeline-modules.git"]);
    assert_eq!(checked(&repo).status.code(), Some(1));
    let settings = "modules:\n  platform: {url: 'https://git.example.com/acme/pipeline-modules', path: modules}\n";
    repo.write(".longboat/settings.yaml", settings);
    let named = longboat(&repo.path(), cache.path(), &["modules", "check", "--folder", "modules"]);
    assert_eq!(stdout(&named), "2 modules and 1 example checked\n", "{}", stderr(&named));
}
