//! `longboat modules`: what modules there are, how one is called, whether those of a work tree are right, and, as a
//! server knows it, who uses them.

mod graph;
mod show;

use std::path::PathBuf;

use anyhow::bail;
use clap::{Subcommand, ValueEnum};
use serde_json::json;

use super::library::ModuleArgs;
use super::work_tree::{Files, WorkTree};
use super::{Answer, Format, Report, excerpt};
use crate::diagnostic::{Diagnostic, nearest};
use crate::gitops::{self, Limits, Manual, MemorySource, ModuleManual, Request};
use crate::model::RepositoryName;

/// List, show and check modules, and ask a server who uses them
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: ModulesCommand,
}

#[derive(Debug, Subcommand)]
enum ModulesCommand {
    /// List the modules that a work tree can call: built in, its own, and those of module repositories
    List(ListArgs),
    /// Show what a module takes and yields, and how it is called
    Show(ShowArgs),
    /// Check the modules of a work tree: their headers, their bodies, and their worked examples
    Check(CheckArgs),
    /// Ask a server who uses a module, directly or through other modules
    Dependents(graph::DependentsArgs),
    /// Ask a server what the files of a repository use
    Dependencies(graph::DependenciesArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// The work tree, or a folder or file in it; outside of one, the built-in modules are listed
    #[arg(default_value = ".")]
    path: PathBuf,
    /// How the modules are printed
    #[arg(long, value_enum, default_value_t = Layout::Human)]
    format: Layout,
}

#[derive(Debug, clap::Args)]
struct ShowArgs {
    /// The module, like std/deploy
    name: String,
    /// The work tree, or a folder or file in it; outside of one, built-in modules are known
    #[arg(default_value = ".")]
    path: PathBuf,
    /// How the module is printed
    #[arg(long, value_enum, default_value_t = Layout::Human)]
    format: Layout,
}

#[derive(Debug, clap::Args)]
struct CheckArgs {
    /// The work tree, or a folder or file in it
    #[arg(default_value = ".")]
    path: PathBuf,
    /// How findings are printed
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// The branch that templates see, instead of the one that is checked out
    #[arg(long)]
    branch: Option<String>,
    #[command(flatten)]
    modules: ModuleArgs,
}

/// What modules are printed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Layout {
    /// For people
    Human,
    /// For programs
    Json,
}

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<Answer> {
    match args.command {
        ModulesCommand::List(args) => list(&args),
        ModulesCommand::Show(args) => show(&args),
        ModulesCommand::Check(args) => check(&args),
        ModulesCommand::Dependents(args) => super::block_on(graph::dependents(args)),
        ModulesCommand::Dependencies(args) => super::block_on(graph::dependencies(args)),
    }
}

/// The modules that a work tree can call; outside of one, those that are built in. What is wrong with some goes to
/// standard error.
fn manual(path: &PathBuf) -> anyhow::Result<Manual> {
    let found = WorkTree::find(path);
    // A folder that was named should be one; the usual one need not.
    if found.is_err() && path == &PathBuf::from(".") {
        let (source, globals, limits) = (MemorySource::default(), serde_json::Map::new(), Limits::default());
        let repository = RepositoryName::parse("local/nothing")?;
        let request = Request {
            source: &source,
            repository: &repository,
            branch: "main",
            globals: &globals,
            limits: &limits,
            library: None,
        };
        return Ok(gitops::manual(&request));
    }
    let tree = found?;
    let files = Files::new(&tree, None, &ModuleArgs::default());
    let manual = gitops::manual(&files.request());
    for finding in &manual.findings {
        eprintln!("{}\n", excerpt(finding, false, &|path| files.read(path)));
    }
    Ok(manual)
}

/// Columns as wide as what stands in them; the last one is not padded.
fn table(head: Vec<String>, rows: impl Iterator<Item = Vec<String>>) -> String {
    let rows: Vec<Vec<String>> = [head].into_iter().chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:<width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn list(args: &ListArgs) -> anyhow::Result<Answer> {
    let manual = manual(&args.path)?;
    let text = match args.format {
        Layout::Human => show::list(&manual.modules),
        Layout::Json => format!("{:#}\n", json!({"modules": manual.modules, "findings": manual.findings})),
    };
    super::print(&text)?;
    Ok(Answer::Yes)
}

fn show(args: &ShowArgs) -> anyhow::Result<Answer> {
    let manual = manual(&args.path)?;
    let Some(module) = manual.modules.iter().find(|module| module.name == args.name) else {
        let near = nearest(&args.name, manual.modules.iter().map(|module| module.name.as_str()));
        match near {
            Some(near) => bail!("there is no module `{}`; did you mean `{near}`?", args.name),
            None => bail!("there is no module `{}`; `longboat modules list` says which there are", args.name),
        }
    };
    let text = match args.format {
        Layout::Human => show::module(module)?,
        Layout::Json => format!("{:#}\n", serde_json::to_value(module)?),
    };
    super::print(&text)?;
    Ok(if module.broken { Answer::No } else { Answer::Yes })
}

fn check(args: &CheckArgs) -> anyhow::Result<Answer> {
    let tree = WorkTree::find(&args.path)?;
    let mut files = Files::new(&tree, args.branch.as_deref(), &args.modules);
    let checked = files.with_modules(|files| gitops::check_modules(&files.request(), &crate::stage::catalog(), false));
    let errors = checked.findings.iter().filter(|finding| finding.is_error()).count();
    let summary = summary(checked.modules, checked.examples, errors);
    let report = Report { findings: &checked.findings, summary: &summary, files: checked.modules, pipelines: 0 };
    super::print(&report.render(args.format, super::color(), &|path| files.read(path)))?;
    Ok(if checked.findings.iter().any(Diagnostic::is_error) { Answer::No } else { Answer::Yes })
}

fn summary(modules: usize, examples: usize, errors: usize) -> String {
    let count = |number: usize, noun: &str| match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    };
    match (modules, errors) {
        (0, 0) => "No modules in .longboat/modules".to_owned(),
        (_, 0) => format!("{} and {} checked", count(modules, "module"), count(examples, "example")),
        _ => format!("Failed: {} in {}", count(errors, "error"), count(modules, "module")),
    }
}

/// Where a module comes from, in words.
fn source(module: &ModuleManual) -> String {
    match module.source.as_str() {
        "std" => "built in".to_owned(),
        "repository" => module.file.clone(),
        repository => format!("of the module repository {repository}, {}", module.file),
    }
}
