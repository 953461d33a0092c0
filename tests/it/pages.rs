//! The examples in the documentation are run: a block of a file is written, a block of commands is run and what it prints
//! stands in the page. `UPDATE_DOCS=1` writes what is printed into the page.
//!
//! A block whose first line is a comment with a path (`# .longboat/shop.yaml`) is a file of that name. Each page begins
//! with an empty folder; where `anew` says so, each chapter (`## ...`) does.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cli::{longboat, stdout};
use crate::docs::in_step;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The path that the first line of a block names.
pub fn named(block: &str) -> Option<&str> {
    let name = block.lines().next()?.strip_prefix("# ")?;
    let fine = !name.contains(' ') && (name.starts_with(".longboat/") || name == "Makefile");
    fine.then_some(name)
}

/// The blocks of a page: their languages and texts.
pub fn blocks(page: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.trim_start().strip_prefix("```") else { continue };
        let body: Vec<&str> = lines.by_ref().take_while(|line| line.trim_start() != "```").collect();
        blocks.push((language.to_owned(), body.join("\n") + "\n"));
    }
    blocks
}

/// A shell's words, with the program first in `PATH`; both outputs as they come.
fn shell(folder: &Path, command: &str) -> String {
    let programs = PathBuf::from(env!("CARGO_BIN_EXE_longboat"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = [programs.parent().expect("a folder").to_owned()].into_iter().chain(std::env::split_paths(&path));
    let output = Command::new("sh")
        .args(["-c", &format!("exec 2>&1; {command}")])
        .current_dir(folder)
        .env("PATH", std::env::join_paths(all).expect("a path"))
        .env("NO_COLOR", "1")
        .env("XDG_CACHE_HOME", folder.join(".cache"))
        .output()
        .expect("a shell");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// A console block with what its commands print now.
fn console(folder: &Path, block: &str) -> String {
    let mut out = String::new();
    for command in block.lines().filter_map(|line| line.strip_prefix("$ ")) {
        out.push_str(&format!("$ {command}\n"));
        let said = shell(folder, command);
        for line in said.lines() {
            out.push_str(line.trim_end());
            out.push('\n');
        }
    }
    out
}

/// The page with what its commands print now. At the end of each folder's life its pipeline files are valid.
fn run(page: &str, anew: bool) -> String {
    let mut folder = tempfile::tempdir().expect("a folder");
    let mut out = String::new();
    let mut lines = page.lines();
    let holds = |folder: &Path| {
        if folder.join(".longboat").is_dir() {
            // Libraries that a page names aren't there.
            let _none = std::fs::remove_file(folder.join(".longboat/settings.yaml"));
            let output = longboat(folder, &["validate"]);
            assert!(output.status.success(), "the page leaves files that are wrong:\n{}", stdout(&output));
        }
    };
    while let Some(line) = lines.next() {
        out.push_str(line);
        out.push('\n');
        if anew && line.starts_with("## ") {
            holds(folder.path());
            folder = tempfile::tempdir().expect("a folder");
        }
        let Some(language) = line.strip_prefix("```") else { continue };
        let body: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let block = body.join("\n") + "\n";
        if language == "console" {
            out.push_str(&console(folder.path(), &block));
        } else {
            if let Some(name) = named(&block) {
                let path = folder.path().join(name);
                std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
                let text = block.split_once('\n').map_or("", |(_, rest)| rest);
                std::fs::write(path, text).expect("a file");
            }
            out.push_str(&block);
        }
        out.push_str("```\n");
    }
    holds(folder.path());
    out
}

#[test]
fn the_guide_does_what_it_says() {
    in_step("docs/guide.md", &run(&read("docs/guide.md"), false));
}

#[test]
fn the_page_for_those_who_come_from_dinghy_does_what_it_says() {
    in_step("docs/from-dinghy.md", &run(&read("docs/from-dinghy.md"), true));
}

#[test]
fn the_page_of_triggers_does_what_it_says() {
    in_step("docs/triggers.md", &run(&read("docs/triggers.md"), true));
}

#[test]
fn the_page_of_executions_does_what_it_says() {
    in_step("docs/executions.md", &run(&read("docs/executions.md"), true));
}

#[test]
fn the_page_about_variables_does_what_it_says() {
    in_step("docs/variables.md", &run(&read("docs/variables.md"), true));
}

#[test]
fn the_examples_of_the_format_are_valid() {
    let page = read("docs/format.md");
    assert_eq!(run(&page, true), page);
}

#[test]
fn pages_link_to_what_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for page in [
        "docs/guide.md",
        "docs/from-dinghy.md",
        "docs/format.md",
        "docs/triggers.md",
        "docs/variables.md",
        "docs/executions.md",
        "README.md",
    ] {
        let text = read(page);
        let folder = root.join(page).parent().expect("a folder").to_owned();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (path, place) = link.split_once('#').map_or((link, None), |(path, place)| (path, Some(place)));
            if path.contains("://") {
                continue;
            }
            let target = if path.is_empty() { root.join(page) } else { folder.join(path) };
            assert!(target.exists(), "{page}: {link}");
            let Some(place) = place else { continue };
            let there = std::fs::read_to_string(&target).expect("a page").lines().any(|line| {
                let title = line.trim_start_matches('#').trim().to_lowercase();
                line.starts_with('#') && title.replace(' ', "-").replace(['`', '.', ',', ':'], "") == place
            });
            assert!(there, "{page}: {link}");
        }
    }
}
