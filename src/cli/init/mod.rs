//! `longboat init`: a first pipeline file that runs, made to fit what the repository shows of itself.

mod detect;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::json;

use self::detect::{Found, detect};
use super::work_tree::WorkTree;
use super::{Answer, schema};
use crate::gitops;

/// The folder of pipeline files.
const FOLDER: &str = ".longboat";
/// The names of files in it that hold no pipelines.
const OTHERS: [&str; 3] = ["settings.yaml", "settings.yml", "settings.json"];
/// The longest name of an application.
const LONGEST_NAME: usize = 100;

/// Write a first pipeline file that runs
///
/// It looks for the tests of the project (Makefile, Cargo.toml, package.json, go.mod, pyproject.toml, Gradle, Maven)
/// and writes one pipeline that runs them on every push. Beside it come the JSON Schemas with which editors complete
/// and check it. Nothing that is there is overwritten, and no network is needed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The repository, or a folder in it
    #[arg(default_value = ".")]
    path: PathBuf,
    /// The application's name; the folder's, if it is missing
    #[arg(long, value_name = "NAME")]
    application: Option<String>,
    /// Write no schemas for editors
    #[arg(long)]
    no_schema: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<Answer> {
    let path = args.path.canonicalize().with_context(|| format!("can't find {}", args.path.display()))?;
    if !path.is_dir() {
        bail!("{} is no folder; name the repository, or start in it", args.path.display());
    }
    // A folder that isn't in a repository yet will become one.
    let root = WorkTree::find(&path).map_or_else(|_| path.clone(), |tree| tree.root);
    if let Some(there) = pipeline_files(&root)? {
        bail!("{FOLDER}/{there} is there already, and `init` only writes a first file; see `longboat validate`");
    }
    let application = application(args.application.as_deref(), &root)?;
    let found = detect(&root);
    let file = format!("{FOLDER}/{application}.yaml");
    std::fs::create_dir_all(root.join(FOLDER)).with_context(|| format!("can't make the folder {FOLDER}"))?;
    create(&root.join(&file), &text(&application, &found, !args.no_schema)?)
        .with_context(|| format!("can't write {file}"))?;
    eprintln!("wrote {file}: {}", found.why);
    if !args.no_schema {
        for schema in schema::write(&root)? {
            eprintln!("wrote {schema}");
        }
    }
    next_steps(&root, &file);
    Ok(Answer::Yes)
}

/// Writes a new file; one that is there, a link included, is an error.
fn create(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())
}

/// The name of a pipeline file that is there, if there is one.
fn pipeline_files(root: &Path) -> anyhow::Result<Option<String>> {
    let entries = match std::fs::read_dir(root.join(FOLDER)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("can't read {FOLDER}")),
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            let kind = Path::new(&name).extension().and_then(|kind| kind.to_str())?;
            (matches!(kind, "yaml" | "yml" | "json") && !OTHERS.contains(&name.as_str())).then_some(name)
        })
        .collect();
    names.sort();
    Ok(names.into_iter().next())
}

/// The name that was given, or one that is made from the folder's.
fn application(given: Option<&str>, root: &Path) -> anyhow::Result<String> {
    if let Some(name) = given {
        let good = tame(name) == name;
        if !good {
            bail!(
                "`{name}` can't be an application's name: use letters, digits, `_`, `-` and `.`, not `-` or `.` at the start"
            );
        }
        return Ok(name.to_owned());
    }
    let folder = root.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(match tame(&folder) {
        name if name.is_empty() || OTHERS.contains(&format!("{name}.yaml").as_str()) => "app".to_owned(),
        name => name,
    })
}

/// A text with everything replaced or left out that an application's name can't hold.
fn tame(text: &str) -> String {
    let fine = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.');
    let name: String = text.chars().map(|letter| if fine(letter) { letter } else { '-' }).collect();
    name.trim_start_matches(['-', '.']).chars().take(LONGEST_NAME).collect()
}

/// The file's text.
fn text(application: &str, found: &Found, schema: bool) -> anyhow::Result<String> {
    let modeline = if schema { "# yaml-language-server: $schema=schema/application.json\n" } else { "" };
    let name = gitops::to_yaml(&json!(application))?;
    let command = match found.commands.as_slice() {
        [only] => format!("command: {}", gitops::to_yaml(&json!(only))?.trim_end()),
        lines => {
            let lines: Vec<String> = lines.iter().map(|line| format!("          {line}")).collect();
            format!("command: |\n{}", lines.join("\n"))
        }
    };
    Ok(format!(
        "{modeline}\
         application: {}\n\
         \n\
         pipelines:\n  \
         - name: test\n    \
         description: Tests every push\n    \
         triggers:\n      \
         # A push to any branch; `branches: [main]` would narrow it.\n      \
         - type: git\n    \
         stages:\n      \
         - id: test\n        \
         type: script\n        \
         timeout: 30m\n        \
         # {}\n        \
         {command}\n",
        name.trim_end(),
        found.why,
    ))
}

fn next_steps(root: &Path, file: &str) {
    let here = std::env::current_dir().and_then(|folder| folder.canonicalize()).is_ok_and(|folder| folder == root);
    let mut steps = Vec::new();
    if !here {
        steps.push(format!("cd {}", root.display()));
    }
    let mut git = "commit it; a server that watches the repository does the rest";
    if !root.join(".git").exists() {
        git = "make a repository of the folder (`git init`) and commit it; a server that watches it does the rest";
    }
    eprintln!("\nNext:");
    for step in steps {
        eprintln!("  {step}");
    }
    eprintln!("  longboat validate --watch      checks it whenever you save it");
    eprintln!("  longboat run {file}   runs it here, committed or not");
    eprintln!("Then {git}.");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_folders_become_names_of_applications() {
        assert_eq!(tame("My Shop (2)"), "My-Shop--2-");
        assert_eq!(tame("...git"), "git");
        assert_eq!(application(None, Path::new("/x/---")).expect("a name"), "app");
        assert_eq!(application(None, Path::new("/x/settings")).expect("a name"), "app");
        assert!(application(Some("a b"), Path::new("/x")).is_err());
    }

    #[test]
    fn a_name_that_yaml_would_read_as_a_number_stays_a_text() {
        let found = Found { commands: vec!["a".to_owned(), "b".to_owned()], why: "because".to_owned() };
        insta::assert_snapshot!(text("2026", &found, true).expect("a text"));
    }
}
