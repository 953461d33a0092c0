//! What tests a project has, told by the files at its root. Nothing is run.

use std::path::Path;

use serde_json::Value;

/// The largest file that is looked into, in bytes.
const LARGEST: u64 = 1 << 20;

/// How a project is tested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// The commands, one a line.
    pub(super) commands: Vec<String>,
    /// Why these, for people, in a sentence without its full stop.
    pub(super) why: String,
}

impl Found {
    fn new(commands: &[&str], why: &str) -> Self {
        Self { commands: commands.iter().map(|command| (*command).to_owned()).collect(), why: why.to_owned() }
    }
}

/// How the project at `root` is tested. What its authors wrote down counts before what its language suggests.
pub(super) fn detect(root: &Path) -> Found {
    let makefile = ["GNUmakefile", "makefile", "Makefile"].iter().find_map(|name| read(root, name));
    if let Some(target) = makefile.as_deref().and_then(make_target) {
        return Found::new(&[&format!("make {target}")], &format!("the Makefile has a target `{target}`"));
    }
    if root.join("Cargo.toml").is_file() {
        return Found::new(&["cargo test"], "there is a Cargo.toml");
    }
    if let Some(found) = read(root, "package.json").and_then(|text| node(root, &text)) {
        return found;
    }
    if root.join("go.mod").is_file() {
        return Found::new(&["go test ./..."], "there is a go.mod");
    }
    if let Some(found) = read(root, "pyproject.toml").and_then(|text| python(root, &text)) {
        return found;
    }
    if root.join("gradlew").is_file() {
        return Found::new(&["./gradlew test"], "there is a Gradle wrapper");
    }
    if root.join("pom.xml").is_file() {
        let command = if root.join("mvnw").is_file() { "./mvnw -B test" } else { "mvn -B test" };
        return Found::new(&[command], "there is a pom.xml");
    }
    let command = "echo No tests yet, put the command that tests this repository here";
    Found::new(&[command], "no tests were found, and this is where their command belongs")
}

/// A text file at the root, unless it is large.
fn read(root: &Path, name: &str) -> Option<String> {
    let path = root.join(name);
    let small = std::fs::metadata(&path).is_ok_and(|facts| facts.is_file() && facts.len() <= LARGEST);
    small.then(|| std::fs::read_to_string(path).ok())?
}

/// The target that tests.
fn make_target(makefile: &str) -> Option<&'static str> {
    let defines = |target: &str| {
        makefile.lines().any(|line| {
            let names = line.split_once(':').filter(|(_, rest)| !rest.starts_with('=') && !rest.starts_with(":="));
            names.is_some_and(|(names, _)| {
                !line.starts_with(['\t', '.', '#']) && names.split_whitespace().any(|name| name == target)
            })
        })
    };
    ["test", "check"].into_iter().find(|target| defines(target))
}

/// A project of Node.js with a script `test` that is not the one that only fails.
fn node(root: &Path, text: &str) -> Option<Found> {
    let package: Value = serde_json::from_str(text).ok()?;
    let script = package.pointer("/scripts/test")?.as_str()?;
    if script.contains("no test specified") {
        return None;
    }
    let has = |name: &str| root.join(name).is_file();
    let (install, test) = if has("pnpm-lock.yaml") {
        ("pnpm install --frozen-lockfile", "pnpm test")
    } else if has("yarn.lock") {
        ("yarn install --frozen-lockfile", "yarn test")
    } else if has("package-lock.json") {
        ("npm ci", "npm test")
    } else {
        ("npm install", "npm test")
    };
    let needs = |key: &str| package.get(key).and_then(Value::as_object).is_some_and(|packages| !packages.is_empty());
    // The checkout of a commit has no node_modules.
    let commands: &[&str] = if needs("dependencies") || needs("devDependencies") { &[install, test] } else { &[test] };
    Some(Found::new(commands, "package.json has a script `test`"))
}

fn python(root: &Path, text: &str) -> Option<Found> {
    if text.contains("pytest") {
        return Some(Found::new(&["python3 -m pytest"], "pyproject.toml names pytest"));
    }
    let tests = root.join("tests").is_dir();
    tests.then(|| {
        Found::new(&["python3 -m unittest discover -s tests"], "there is a pyproject.toml with a folder `tests`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names and texts.
    type Files = &'static [(&'static str, &'static str)];

    fn commands(files: &[(&str, &str)]) -> Vec<String> {
        let folder = tempfile::tempdir().expect("a folder");
        for (path, text) in files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::fs::write(path, text).expect("a file");
        }
        detect(folder.path()).commands
    }

    #[test]
    fn each_kind_of_project_is_known() {
        let cases: &[(Files, &[&str])] = &[
            (&[("Cargo.toml", "")], &["cargo test"]),
            (&[("Cargo.toml", ""), ("Makefile", "build test: x\n")], &["make test"]),
            (&[("Makefile", "all:\n\techo test:\ntest := 1\n.PHONY: test\ncheck: all\n")], &["make check"]),
            (&[("go.mod", "module x\n"), ("Makefile", "all:\n")], &["go test ./..."]),
            (&[("package.json", r#"{"scripts": {"test": "node --test"}}"#)], &["npm test"]),
            (
                &[
                    ("package.json", r#"{"scripts": {"test": "vitest"}, "devDependencies": {"vitest": "1"}}"#),
                    ("pnpm-lock.yaml", ""),
                ],
                &["pnpm install --frozen-lockfile", "pnpm test"],
            ),
            (
                &[
                    ("package.json", r#"{"scripts": {"test": "jest"}, "dependencies": {"jest": "1"}}"#),
                    ("package-lock.json", ""),
                ],
                &["npm ci", "npm test"],
            ),
            (&[("pyproject.toml", "[tool.pytest.ini_options]\n")], &["python3 -m pytest"]),
            (&[("pyproject.toml", "[project]\n"), ("tests/a.py", "")], &["python3 -m unittest discover -s tests"]),
            (&[("gradlew", "")], &["./gradlew test"]),
            (&[("pom.xml", ""), ("mvnw", "")], &["./mvnw -B test"]),
        ];
        for (files, wanted) in cases {
            assert_eq!(commands(files), *wanted, "{files:?}");
        }
    }

    #[test]
    fn without_tests_the_file_says_where_they_belong() {
        let broken: &[&[(&str, &str)]] = &[
            &[],
            &[("package.json", "{")],
            &[("package.json", r#"{"scripts": {"test": "echo \"Error: no test specified\" && exit 1"}}"#)],
            &[("pyproject.toml", "[project]\n")],
            &[("Makefile", "test := 1\n")],
        ];
        for files in broken {
            assert!(commands(files)[0].starts_with("echo "), "{files:?}");
        }
    }
}
