//! `longboat explain`: where a value of a rendered file comes from, and which layer each variable has its value from.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::library::ModuleArgs;
use super::work_tree::{Files, GlobalArgs, WorkTree};
use super::{Answer, excerpt};
use crate::diagnostic::{Diagnostic, Place};
use crate::gitops::{self, Explanation, LayerName, LayerOutcome, LayerValue, Variable};

/// Say where a value of a rendered file comes from
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file, like .longboat/deploy.yaml
    #[arg(required_unless_present = "vars")]
    file: Option<PathBuf>,
    /// The JSON pointer of the value in what `longboat render` prints, like /pipelines/0/stages/2/command
    #[arg(long, default_value = "")]
    at: String,
    /// Print all variables that the file sees (without one, those that all files share), with the layer that each has its
    /// value from and the layers that this one shadows
    #[arg(long, conflicts_with = "at")]
    vars: bool,
    /// The environment whose variables are meant
    #[arg(long, requires = "vars")]
    environment: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// The branch that templates see, instead of the one that is checked out
    #[arg(long)]
    branch: Option<String>,
    #[command(flatten)]
    globals: GlobalArgs,
    #[command(flatten)]
    modules: ModuleArgs,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<Answer> {
    let given = args.file.as_deref();
    let tree = WorkTree::find(given.unwrap_or_else(|| Path::new(".")))?;
    let Some(globals) = args.globals.load() else { return Ok(Answer::No) };
    let files = Files::new(&tree, args.branch.as_deref(), &args.modules).with_globals(globals);
    let path = given.map(|file| tree.relative(file)).transpose()?;
    match (args.vars, path) {
        (false, Some(path)) => value(args, files, &path),
        (_, path) => variables(args, &files, path.as_deref()),
    }
}

/// Explains one value.
fn value(args: &Args, mut files: Files<'_>, path: &str) -> anyhow::Result<Answer> {
    let rendered = files.with_modules(|files| gitops::render_file(&files.request(), path));
    let read = |path: &str| files.read(path);
    complain(&rendered.findings, &read);
    if rendered.root.is_none() {
        return Ok(Answer::No);
    }
    let Some(explanation) = gitops::explain(&rendered, &args.at) else {
        anyhow::bail!("{}", nothing(&rendered, &args.at, path));
    };
    if args.json {
        let document = json!({
            "value": explanation.value,
            "place": explanation.place,
            "through": explanation.through,
            "chain": explanation.chain,
            "variables": explanation.variables,
        });
        super::print(&format!("{}\n", serde_json::to_string_pretty(&document)?))?;
    } else {
        super::print(&for_people(&explanation, &read)?)?;
    }
    Ok(Answer::Yes)
}

/// Says how far a pointer leads, and what is there.
fn nothing(rendered: &gitops::RenderedFile, pointer: &str, path: &str) -> String {
    if !pointer.is_empty() && !pointer.starts_with('/') {
        return format!("{pointer:?} is no JSON pointer: write it like /pipelines/0/stages/2/command");
    }
    let mut there = pointer;
    while let Some((parent, _)) = there.rsplit_once('/') {
        there = parent;
        let Some(node) = rendered.root.as_deref().and_then(|root| root.at(parent)) else { continue };
        let has = match (node.as_map(), node.as_list()) {
            (Some(entries), _) => {
                let names: Vec<&str> = entries.iter().take(30).map(|(key, _)| &*key.name).collect();
                format!("has {}", names.join(", "))
            }
            (_, Some(items)) => format!("is a list of {}", items.len()),
            _ => format!("is {}", node.kind()),
        };
        let place = if parent.is_empty() { "the document".to_owned() } else { format!("`{parent}`") };
        return format!("nothing stands at `{pointer}` in what {path} renders to: {place} {has}");
    }
    format!("nothing stands at `{pointer}` in what {path} renders to")
}

fn complain(findings: &[Diagnostic], read: &dyn Fn(&str) -> Option<String>) {
    findings.iter().for_each(|finding| eprintln!("{}\n", excerpt(finding, false, read)));
}

fn for_people(explanation: &Explanation, read: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<String> {
    // The lines of a file hold what is not to be shown.
    let covered = explanation.covered;
    let read = |path: &str| if covered { None } else { read(path) };
    let mut text = format!("{}\n", serde_json::to_string_pretty(&explanation.value)?);
    let mut steps = vec![("written at".to_owned(), explanation.place.clone())];
    steps.extend(explanation.through.iter().map(|place| ("value from".to_owned(), place.clone())));
    steps.extend(
        explanation
            .chain
            .iter()
            .map(|link| (format!("`{}` called at", link.module), Place::point(&link.file, link.line, link.column))),
    );
    for (at, (what, place)) in steps.iter().enumerate() {
        // A line that was shown is not shown again.
        let again = steps[..at].iter().any(|(_, before)| (&before.file, before.line) == (&place.file, place.line));
        text.push_str(&step(what, place, &|path| if again { None } else { read(path) }));
    }
    for variable in &explanation.variables {
        text.push_str(&format!("variable {}\n", variable.name));
        text.push_str(&layers(variable));
    }
    Ok(text)
}

/// A line that names a place, and the line of text that stands there.
fn step(what: &str, place: &Place, read: &dyn Fn(&str) -> Option<String>) -> String {
    let mut text = format!("{what} {place}\n");
    let line =
        read(&place.file).and_then(|file| file.lines().nth(place.line.saturating_sub(1) as usize).map(str::to_owned));
    if let Some(line) = line {
        text.push_str(&format!("    {}\n", line.trim_end()));
    }
    text
}

/// The most letters of a value that are shown to people.
const SHOWN: usize = 60;

/// A value on one line.
fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= SHOWN { text } else { text.chars().take(SHOWN - 1).chain(['…']).collect() }
}

/// What each layer says about a variable, a line each.
fn layers(variable: &Variable) -> String {
    let line = |told: &LayerValue| {
        let outcome = match told.outcome {
            LayerOutcome::Wins => "set by",
            LayerOutcome::Joined => "joined with",
            LayerOutcome::Shadowed => "shadows",
        };
        let layer = match told.layer {
            LayerName::Operator => "the operator",
            LayerName::Default => "default",
            LayerName::Branch => "branch",
            LayerName::Environment => "environment",
            LayerName::File => "the file",
        };
        let name = if told.name == variable.name { String::new() } else { format!(" {} =", told.name) };
        format!("    {outcome} {} ({layer}):{name} {}\n", told.place, short(&told.value))
    };
    variable.layers.iter().map(line).collect()
}

/// Lists all variables.
fn variables(args: &Args, files: &Files<'_>, path: Option<&str>) -> anyhow::Result<Answer> {
    let request = files.request();
    let listed = match gitops::list_variables(&request, path, args.environment.as_deref()) {
        Ok(listed) => listed,
        Err(findings) => {
            complain(&findings, &|path| files.read(path));
            return Ok(Answer::No);
        }
    };
    if args.json {
        let document = json!({
            "file": path,
            "branch": request.branch,
            "environment": listed.environment,
            "otherEnvironments": listed.environments,
            "variables": listed.variables,
        });
        super::print(&format!("{}\n", serde_json::to_string_pretty(&document)?))?;
        return Ok(Answer::Yes);
    }
    let mut text = String::new();
    for variable in &listed.variables {
        text.push_str(&format!("{} = {}\n{}", variable.name, short(&variable.value), layers(variable)));
    }
    super::print(&text)?;
    let environment = listed.environment.map_or_else(String::new, |name| format!(", environment `{name}`"));
    eprintln!("{}, on branch `{}`{environment}", count(listed.variables.len()), request.branch);
    if args.environment.is_some() && !listed.has_layer {
        eprintln!("there is no file of variables for this environment");
    }
    for name in &listed.environments {
        eprintln!("pipelines of the environment `{name}` see other ones: --environment {name}");
    }
    Ok(Answer::Yes)
}

fn count(variables: usize) -> String {
    if variables == 1 { "1 variable".to_owned() } else { format!("{variables} variables") }
}
