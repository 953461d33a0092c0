//! `longboat schema`: the JSON Schemas that this program checks with, for editors. No network, no version but its own.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::work_tree::WorkTree;
use super::{Answer, print};
use crate::config::Config;
use crate::diagnostic::nearest;
use crate::schema;

/// Where editors find the schemas of a repository, below its root.
pub(super) const FOLDER: &str = ".longboat/schema";
/// The schemas that editors of a repository's files need.
const FOR_EDITORS: [&str; 3] = ["application", "module", "settings"];

/// Print a JSON Schema, for editors that complete and check YAML
///
/// A file says which schema it follows in its first line, for editors with the YAML language server:
/// `# yaml-language-server: $schema=schema/application.json`, with the path from the file to the schema. `longboat schema
/// --write` puts the schemas where that line finds them; after an update of Longboat, say it again.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The schema: `application` (a file in .longboat), `config` (longboat.yaml), `stages/script`, and others
    #[arg(default_value = "application", conflicts_with_all = ["list", "write"])]
    name: String,
    /// List the names of all schemas
    #[arg(long, conflicts_with = "write")]
    list: bool,
    /// Write the schemas for a repository's files into its folder .longboat/schema
    #[arg(long, value_name = "PATH", num_args = 0..=1, default_missing_value = ".")]
    write: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<Answer> {
    let schemas = all();
    if args.list {
        let names: Vec<&str> = schemas.iter().map(|(name, _)| name.as_str()).collect();
        print(&format!("{}\n", names.join("\n")))?;
        return Ok(Answer::Yes);
    }
    if let Some(path) = &args.write {
        for file in write(&WorkTree::find(path)?.root)? {
            eprintln!("wrote {file}");
        }
        return Ok(Answer::Yes);
    }
    let Some((_, text)) = schemas.iter().find(|(name, _)| *name == args.name) else {
        let hint = match nearest(&args.name, schemas.iter().map(|(name, _)| name.as_str())) {
            Some(name) => format!("did you mean `{name}`?"),
            None => "`longboat schema --list` lists them".to_owned(),
        };
        bail!("there is no schema `{}`; {hint}", args.name)
    };
    print(text)?;
    Ok(Answer::Yes)
}

/// All schemas: their names, like `application`, and texts.
fn all() -> Vec<(String, String)> {
    let mut files = schema::files(&crate::stage::catalog());
    files.push(("schema/config.json".to_owned(), format!("{:#}\n", Config::json_schema())));
    let name = |path: &str| path.trim_start_matches("schema/").trim_end_matches(".json").to_owned();
    files.into_iter().map(|(path, text)| (name(&path), text)).collect()
}

/// Writes the schemas for editors into a repository, and returns their paths. What is there is replaced: it is ours.
///
/// # Errors
/// If a file can't be written.
pub(super) fn write(root: &Path) -> anyhow::Result<Vec<String>> {
    let folder = root.join(FOLDER);
    std::fs::create_dir_all(&folder).with_context(|| format!("can't make the folder {}", folder.display()))?;
    let mut written = Vec::new();
    for (name, text) in all().into_iter().filter(|(name, _)| FOR_EDITORS.contains(&name.as_str())) {
        let path = format!("{FOLDER}/{name}.json");
        std::fs::write(root.join(&path), text).with_context(|| format!("can't write {path}"))?;
        written.push(path);
    }
    Ok(written)
}
