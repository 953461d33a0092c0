//! `longboat modules`: what modules there are, how one is called, whether those of a work tree are right, and, as a
//! server knows it, who uses them.

mod graph;
mod own;
mod show;

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::{Subcommand, ValueEnum};
use serde_json::json;

use self::own::Own;
use super::library::ModuleArgs;
use super::work_tree::{Files, WorkTree};
use super::{Answer, Format, Report, excerpt};
use crate::config::{MODULE_FOLDER, module_folder};
use crate::diagnostic::{Diagnostic, nearest};
use crate::gitops::{self, FolderSource, Library, Limits, Manual, MemorySource, ModuleFolder, ModuleManual, Request};
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
    #[command(flatten)]
    folder: FolderArgs,
    #[command(flatten)]
    modules: ModuleArgs,
}

#[derive(Debug, clap::Args)]
struct ShowArgs {
    /// The module, like std/deploy, or platform/deploy@v2 of a module repository
    name: String,
    /// The work tree, or a folder or file in it; outside of one, built-in modules are known
    #[arg(default_value = ".")]
    path: PathBuf,
    /// How the module is printed
    #[arg(long, value_enum, default_value_t = Layout::Human)]
    format: Layout,
    #[command(flatten)]
    folder: FolderArgs,
    #[command(flatten)]
    modules: ModuleArgs,
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
    folder: FolderArgs,
    #[command(flatten)]
    modules: ModuleArgs,
}

/// Where the modules of a work tree are
#[derive(Debug, Default, clap::Args)]
struct FolderArgs {
    /// The folder of the modules, `.` for the whole repository; by default .longboat/modules, or in a repository that
    /// has nothing but modules the folder where they are
    #[arg(long, value_name = "DIR")]
    folder: Option<String>,
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

/// A work tree and the folder of its modules.
struct Place {
    tree: WorkTree,
    folder: String,
}

impl Place {
    /// Finds the folder of the modules, if it wasn't named.
    fn find(path: &Path, named: &FolderArgs) -> anyhow::Result<Self> {
        let tree = WorkTree::find(path)?;
        let folder = match &named.folder {
            Some(folder) => match module_folder(folder) {
                Some(folder) => folder,
                None => {
                    bail!("`--folder {folder}` is no folder inside of the repository; write it like `modules`, or `.`")
                }
            },
            None => {
                let found = ModuleFolder::find(&FolderSource::new(&tree.root));
                if let Some(found) = found.as_deref().filter(|found| *found != MODULE_FOLDER) {
                    let name = shown(found);
                    eprintln!(
                        "taking this for a module repository whose modules are in {name} (--folder names another folder)"
                    );
                }
                found.unwrap_or_else(|| MODULE_FOLDER.to_owned())
            }
        };
        Ok(Self { tree, folder })
    }

    /// Does some work with the files, and once more if module repositories had to be fetched for it; then tells of what
    /// it found. `own` are the names by which its own modules may be called, too.
    fn with<T>(
        &self,
        branch: Option<&str>,
        modules: &ModuleArgs,
        own: Option<&Own>,
        work: impl Fn(&Request<'_>) -> T,
        tell: impl FnOnce(T, &ModuleFolder<'_>, &Files<'_>) -> anyhow::Result<Answer>,
    ) -> anyhow::Result<Answer> {
        let mut files = Files::new(&self.tree, branch, modules);
        let done = files.with_modules(|files| {
            let source = ModuleFolder::new(files.source(), &self.folder);
            let request = files.request();
            let own = own.map(|own| own.before(request.library));
            let library = own.as_ref().map(|own| own as &dyn Library).or(request.library);
            work(&Request { source: &source, library, ..request })
        });
        tell(done, &ModuleFolder::new(files.source(), &self.folder), &files)
    }
}

/// A folder of modules in words.
fn shown(folder: &str) -> &str {
    if folder.is_empty() { "the whole of it" } else { folder }
}

/// Does some work with what a work tree can call; outside of one, with what is built in.
fn with_manual<T>(
    path: &Path,
    folder: &FolderArgs,
    modules: &ModuleArgs,
    work: impl Fn(&Request<'_>) -> T,
    tell: impl FnOnce(T, Option<&ModuleFolder<'_>>, &dyn Fn(&str) -> Option<String>) -> anyhow::Result<Answer>,
) -> anyhow::Result<Answer> {
    let found = Place::find(path, folder);
    // A folder that was named should be one; the usual one need not.
    if found.is_err() && path == Path::new(".") && folder.folder.is_none() {
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
        return tell(work(&request), None, &|_| None);
    }
    found?.with(None, modules, None, work, |done, folder, files| tell(done, Some(folder), &|path| files.read(path)))
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
    with_manual(&args.path, &args.folder, &args.modules, gitops::manual, |manual, folder, read| {
        let findings = restored(manual.findings, folder);
        tell(&findings, read);
        let text = match args.format {
            Layout::Human => show::list(&manual.modules),
            Layout::Json => {
                let modules: Vec<ModuleManual> = manual.modules.into_iter().map(|one| in_place(one, folder)).collect();
                format!("{:#}\n", json!({"modules": modules, "findings": findings}))
            }
        };
        super::print(&text)?;
        Ok(Answer::Yes)
    })
}

/// What is wrong with some modules goes to standard error.
fn tell(findings: &[Diagnostic], read: &dyn Fn(&str) -> Option<String>) {
    for finding in findings {
        eprintln!("{}\n", excerpt(finding, false, read));
    }
}

/// Findings that name files as they are.
fn restored(findings: Vec<Diagnostic>, folder: Option<&ModuleFolder<'_>>) -> Vec<Diagnostic> {
    let restore = |finding| match folder {
        Some(folder) => folder.restore(finding),
        None => finding,
    };
    findings.into_iter().map(restore).collect()
}

/// A manual that names the file as it is.
fn in_place(module: ModuleManual, folder: Option<&ModuleFolder<'_>>) -> ModuleManual {
    match folder {
        Some(folder) => ModuleManual { file: folder.restore_path(&module.file), ..module },
        None => module,
    }
}

fn show(args: &ShowArgs) -> anyhow::Result<Answer> {
    let name = args.name.as_str();
    // All modules there are, for a name that is nearly one of theirs; a reference is looked up by itself.
    let work = |request: &Request<'_>| match name.contains('@') {
        true => {
            gitops::module_manual(request, name).map(|(module, findings)| Manual { modules: vec![module], findings })
        }
        false => Ok(gitops::manual(request)),
    };
    with_manual(&args.path, &args.folder, &args.modules, work, |manual, folder, read| {
        let manual = match manual {
            Ok(manual) => manual,
            Err(finding) => {
                let told = restored(vec![*finding], folder);
                let words = told.into_iter().flat_map(|finding| [Some(finding.message), finding.hint]).flatten();
                bail!("{}", words.collect::<Vec<_>>().join("; "));
            }
        };
        let findings = restored(manual.findings, folder);
        let near = nearest(name, manual.modules.iter().map(|module| module.name.as_str())).map(str::to_owned);
        let Some(module) = manual.modules.into_iter().find(|module| module.name == name) else {
            tell(&findings, read);
            match near {
                Some(near) => bail!("there is no module `{name}`; did you mean `{near}`?"),
                None => bail!("there is no module `{name}`; `longboat modules list` says which there are"),
            }
        };
        let module = in_place(module, folder);
        let of_it = |finding: &&Diagnostic| finding.place.as_ref().is_none_or(|place| place.file == module.file);
        let findings: Vec<Diagnostic> = findings.iter().filter(of_it).cloned().collect();
        tell(&findings, read);
        let text = match args.format {
            Layout::Human => show::module(&module)?,
            Layout::Json => format!("{:#}\n", serde_json::to_value(&module)?),
        };
        super::print(&text)?;
        Ok(if module.broken { Answer::No } else { Answer::Yes })
    })
}

fn check(args: &CheckArgs) -> anyhow::Result<Answer> {
    let place = Place::find(&args.path, &args.folder)?;
    let work = |request: &Request<'_>| gitops::check_modules(request, &crate::stage::catalog(), false);
    let own = Own::find(&place.tree, &place.folder, place.folder != MODULE_FOLDER);
    place.with(args.branch.as_deref(), &args.modules, own.as_ref(), work, |checked, folder, files| {
        let findings = restored(checked.findings, Some(folder));
        let errors = findings.iter().filter(|finding| finding.is_error()).count();
        let summary = summary(checked.modules, checked.examples, errors, &place.folder);
        let report = Report { findings: &findings, summary: &summary, files: checked.modules, pipelines: 0 };
        super::print(&report.render(args.format, super::color(), &|path| files.read(path)))?;
        Ok(if errors > 0 { Answer::No } else { Answer::Yes })
    })
}

fn summary(modules: usize, examples: usize, errors: usize, folder: &str) -> String {
    let count = |number: usize, noun: &str| match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    };
    match (modules, errors) {
        (0, 0) if folder.is_empty() => "No modules".to_owned(),
        (0, 0) => format!("No modules in {folder}"),
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
