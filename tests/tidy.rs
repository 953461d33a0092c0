//! The house rules that a compiler doesn't check: imports between rooms run downwards only, files fit in one
//! sitting, every room and every error code has its place in the documentation.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Rooms on the ground floor: anybody may import them.
const GROUND: &[&str] = &["model", "diagnostic", "clock"];

/// What each room may import besides the ground floor and itself. `None`: everything.
const ROOMS: &[(&str, Option<&[&str]>)] = &[
    ("clock", Some(&[])),
    ("diagnostic", Some(&[])),
    ("model", Some(&[])),
    ("config", Some(&["outbound"])),
    ("telemetry", Some(&["config", "outbound"])),
    ("process", Some(&[])),
    ("schema", Some(&[])),
    ("expression", Some(&[])),
    ("secret", Some(&["config"])),
    ("git", Some(&["process", "telemetry"])),
    ("outbound", Some(&[])),
    ("bucket", Some(&["config", "outbound"])),
    ("store", Some(&["telemetry"])),
    ("forge", Some(&["config", "git", "outbound"])),
    ("provider", Some(&["config", "process"])),
    ("policy", Some(&["config"])),
    ("gitops", Some(&["config", "git", "schema", "expression", "policy"])),
    ("strategy", Some(&["provider"])),
    ("canary", Some(&["config", "expression"])),
    ("notify", Some(&["config", "forge", "expression", "store", "telemetry"])),
    ("engine", Some(&["store", "expression", "telemetry"])),
    (
        "stage",
        Some(&[
            "engine",
            "provider",
            "strategy",
            "canary",
            "policy",
            "expression",
            "process",
            "git",
            "schema",
            "outbound",
            "secret",
        ]),
    ),
    (
        "trigger",
        Some(&["engine", "gitops", "forge", "git", "process", "store", "expression", "config", "schema", "telemetry"]),
    ),
    ("review", Some(&["config", "store", "engine", "gitops", "expression"])),
    (
        "api",
        Some(&["engine", "trigger", "gitops", "forge", "provider", "store", "policy", "schema", "config", "telemetry"]),
    ),
    ("ui", Some(&["engine", "provider", "store", "policy", "config"])),
    ("app", None),
    ("cli", None),
    ("main", None),
    ("lib", None),
];

/// Third-party crates that one room keeps to itself (`docs/ARCHITECTURE.md` has the reasons).
const CONFINED: &[(&str, &[&str])] = &[
    ("sqlx", &["store"]),
    ("sqlx_core", &["store"]),
    ("git2", &["git"]),
    ("notify", &["git"]),
    ("octocrab", &["forge"]),
    ("hyper_util", &["forge", "outbound"]),
    ("hyper_rustls", &["forge", "outbound"]),
    ("minijinja", &["gitops", "ui"]),
    ("granit_parser", &["gitops"]),
    ("cel", &["expression"]),
    ("aho_corasick", &["secret"]),
    ("jsonschema", &["schema"]),
    ("serde_json_path", &["stage"]),
    ("rusty_s3", &["bucket"]),
    ("axum", &["api", "ui", "app"]),
    ("clap", &["cli"]),
    ("prometheus_client", &["telemetry"]),
    ("clap_complete", &["cli"]),
    ("indicatif", &["cli"]),
    ("annotate_snippets", &["cli"]),
];

/// The most lines that a source file may have; `tests.rs` files may have twice as many.
const MAX_LINES: usize = 800;

#[test]
fn imports_run_downwards() {
    let mut faults = String::new();
    for source in sources("src") {
        let room = room_of(&source.path);
        let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
            let _ = writeln!(faults, "{}: `{room}` is not in the table of rooms", source.path.display());
            continue;
        };
        let Some(allowed) = allowed else { continue };
        if source.is_test() {
            continue;
        }
        for (number, line) in source.code_lines() {
            for target in crate_paths(line) {
                let fine = target == room
                    || GROUND.contains(&target) && allowed_on_ground(&room, target)
                    || allowed.contains(&target);
                if !fine && ROOMS.iter().any(|(name, _)| *name == target) {
                    let _ = writeln!(
                        faults,
                        "{}:{number}: `{room}` may not import `{target}`: {}",
                        source.path.display(),
                        line.trim()
                    );
                }
            }
        }
    }
    assert!(faults.is_empty(), "imports must run downwards (see ROOMS in tests/tidy.rs):\n{faults}");
}

/// On the ground floor itself only `diagnostic` and `clock` may be imported, so that there is no circle.
fn allowed_on_ground(room: &str, target: &str) -> bool {
    !GROUND.contains(&room) || target == "diagnostic" && room == "model" || target == "clock" && room == "model"
}

#[test]
fn foreign_crates_stay_in_their_room() {
    let mut faults = String::new();
    for source in sources("src") {
        let room = room_of(&source.path);
        for (number, line) in source.code_lines() {
            for (name, rooms) in CONFINED {
                let used = line.trim_start().starts_with(&format!("use {name}::"))
                    || line.contains(&format!(" {name}::"))
                    || line.contains(&format!("({name}::"))
                    || line.contains(&format!("<{name}::"));
                if used && !rooms.contains(&room.as_str()) && room != *name {
                    let _ = writeln!(
                        faults,
                        "{}:{number}: the crate `{name}` belongs to {rooms:?}: {}",
                        source.path.display(),
                        line.trim()
                    );
                }
            }
        }
    }
    assert!(faults.is_empty(), "a third-party API lives in one room (see CONFINED in tests/tidy.rs):\n{faults}");
}

#[test]
fn files_fit_in_one_sitting() {
    let long: Vec<String> = sources("src")
        .into_iter()
        .filter_map(|source| {
            let lines = source.text.lines().count();
            let limit = if source.is_test() { 2 * MAX_LINES } else { MAX_LINES };
            (lines > limit).then(|| format!("{}: {lines} lines, {limit} at most", source.path.display()))
        })
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn nothing_is_left_unfinished() {
    let marks = ["todo!(", "unimplemented!(", "#[ignore", "FIXME", "XXX:", "dbg!("];
    let mut faults = String::new();
    for source in sources("src").into_iter().chain(sources("tests/it")).chain(sources("benches")) {
        for (number, line) in source.text.lines().enumerate() {
            if let Some(mark) = marks.iter().find(|mark| line.contains(**mark)) {
                let _ = writeln!(faults, "{}:{}: `{mark}`", source.path.display(), number + 1);
            }
        }
    }
    assert!(faults.is_empty(), "unfinished work:\n{faults}");
}

#[test]
fn the_architecture_page_names_every_room() {
    let page = read("docs/ARCHITECTURE.md");
    let missing: BTreeSet<String> = sources("src")
        .iter()
        .map(|source| room_of(&source.path))
        .filter(|room| !page.contains(&format!("`{room}`")))
        .collect();
    assert!(missing.is_empty(), "docs/ARCHITECTURE.md doesn't name {missing:?}");
}

#[test]
fn every_error_code_has_its_page_and_no_page_is_left_over() {
    let pages: BTreeMap<String, String> = fs::read_dir(root().join("docs/errors"))
        .expect("docs/errors exists")
        .filter_map(|entry| {
            let path = entry.expect("a directory entry").path();
            let name = path.file_stem()?.to_str()?.to_owned();
            name.starts_with("LB").then(|| (name, fs::read_to_string(&path).expect("a readable page")))
        })
        .collect();
    for code in longboat::diagnostic::Code::ALL {
        let page = pages.get(code.as_str()).unwrap_or_else(|| panic!("{} has no page {}", code, code.page()));
        assert!(
            page.starts_with(&format!("# {code}: {}\n", code.title())),
            "{} must start with `# {code}: {}`",
            code.page(),
            code.title()
        );
        assert!(page.contains("## What to do"), "{} must say what to do", code.page());
    }
    for name in pages.keys() {
        assert!(
            longboat::diagnostic::Code::ALL.iter().any(|code| code.as_str() == name),
            "docs/errors/{name}.md is about no code"
        );
    }
}

struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    /// Tests beside the code may set up whatever they need.
    fn is_test(&self) -> bool {
        self.path.ends_with("tests.rs") || self.path.iter().any(|part| part == "tests")
    }

    /// Lines of code with their numbers: without comments, and without what stands after `mod tests`.
    fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line))
            .take_while(|(_, line)| !line.starts_with("mod tests {"))
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn sources(folder: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.expect("a directory entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&path).expect("a readable source");
                found.push(Source { path: path.strip_prefix(root()).expect("below the root").to_owned(), text });
            }
        }
    }
    found.sort_by(|left, right| left.path.cmp(&right.path));
    found
}

/// `src/engine/decide.rs` and `src/engine.rs` are both in the room `engine`.
fn room_of(path: &Path) -> String {
    let inside = path.strip_prefix("src").unwrap_or(path);
    let first = inside.components().next().expect("a path has a first part").as_os_str().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// The rooms that a line names as `crate::room`, grouped imports included.
fn crate_paths(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (index, _) in line.match_indices("crate::") {
        let rest = &line[index + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let group = group.split('}').next().unwrap_or(group);
            found.extend(group.split(',').map(|part| first_word(part.trim())));
        } else {
            found.push(first_word(rest));
        }
    }
    found
}

fn first_word(text: &str) -> &str {
    let end = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(text.len());
    &text[..end]
}
