//! `longboat explain`: where a value of a rendered file comes from.

use std::path::PathBuf;

use serde_json::json;

use super::library::ModuleArgs;
use super::work_tree::{Files, WorkTree};
use super::{Answer, excerpt};
use crate::diagnostic::Place;
use crate::gitops;

/// Say where a value of a rendered file comes from
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file, like .longboat/deploy.yaml
    file: PathBuf,
    /// The JSON pointer of the value in what `longboat render` prints, like /pipelines/0/stages/2/command
    #[arg(long, default_value = "")]
    at: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// The branch that templates see, instead of the one that is checked out
    #[arg(long)]
    branch: Option<String>,
    #[command(flatten)]
    modules: ModuleArgs,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<Answer> {
    let tree = WorkTree::find(&args.file)?;
    let mut files = Files::new(&tree, args.branch.as_deref(), &args.modules);
    let path = tree.relative(&args.file)?;
    let rendered = files.with_modules(|files| gitops::render_file(&files.request(), &path));
    let read = |path: &str| files.read(path);
    for finding in &rendered.findings {
        eprintln!("{}\n", excerpt(finding, false, &read));
    }
    if rendered.root.is_none() {
        return Ok(Answer::No);
    }
    let Some(explanation) = gitops::explain(&rendered, &args.at) else {
        anyhow::bail!(
            "nothing stands at {:?} in what {} renders to; `longboat render --format json` shows the whole",
            args.at,
            args.file.display()
        );
    };
    if args.json {
        let document = json!({
            "value": explanation.value,
            "place": explanation.place,
            "through": explanation.through,
            "chain": explanation.chain,
        });
        super::print(&format!("{}\n", serde_json::to_string_pretty(&document)?))?;
        return Ok(Answer::Yes);
    }
    let mut text = format!("{}\n", serde_json::to_string_pretty(&explanation.value)?);
    text.push_str(&step("written at", &explanation.place, &read));
    for place in &explanation.through {
        text.push_str(&step("value from", place, &read));
    }
    for link in &explanation.chain {
        let place = Place::point(&link.file, link.line, link.column);
        text.push_str(&step(&format!("`{}` called at", link.module), &place, &read));
    }
    super::print(&text)?;
    Ok(Answer::Yes)
}

/// A line that names a place, and the line of text that stands there.
fn step(what: &str, place: &Place, read: &dyn Fn(&str) -> Option<String>) -> String {
    let mut text = format!("{what} {}:{}:{}\n", place.file, place.line, place.column);
    let line =
        read(&place.file).and_then(|file| file.lines().nth(place.line.saturating_sub(1) as usize).map(str::to_owned));
    if let Some(line) = line {
        text.push_str(&format!("    {}\n", line.trim_end()));
    }
    text
}
