//! `longboat render`: a pipeline file as its templates and modules make it.

use std::path::PathBuf;

use clap::ValueEnum;

use super::library::ModuleArgs;
use super::work_tree::{Files, GlobalArgs, WorkTree};
use super::{Answer, excerpt};
use crate::diagnostic::Diagnostic;
use crate::gitops;

/// Print a pipeline file as its templates and modules make it
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file, like .longboat/deploy.yaml
    file: PathBuf,
    /// The language to print
    #[arg(long, value_enum, default_value_t = Language::Yaml)]
    format: Language,
    /// Print the canonical form that is executed, not the keys as written
    #[arg(long)]
    normalized: bool,
    /// The branch that templates see, instead of the one that is checked out
    #[arg(long)]
    branch: Option<String>,
    #[command(flatten)]
    globals: GlobalArgs,
    #[command(flatten)]
    modules: ModuleArgs,
}

/// What a rendered file is printed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Language {
    Yaml,
    Json,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<Answer> {
    let tree = WorkTree::find(&args.file)?;
    let Some(globals) = args.globals.load() else { return Ok(Answer::No) };
    let mut files = Files::new(&tree, args.branch.as_deref(), &args.modules).with_globals(globals);
    let path = tree.relative(&args.file)?;

    let (document, findings) = if args.normalized {
        let checked = files.with_modules(|files| files.check(&path));
        let pipelines: Vec<_> = checked.applications.iter().flat_map(|application| &application.pipelines).collect();
        (Some(serde_json::to_value(pipelines)?), checked.findings)
    } else {
        let rendered = files.with_modules(|files| gitops::render_file(&files.request(), &path));
        (rendered.root.map(|root| root.to_json()), rendered.findings)
    };
    for finding in &findings {
        eprintln!("{}\n", excerpt(finding, false, &|path| files.read(path)));
    }
    let failed = findings.iter().any(Diagnostic::is_error);
    if let Some(document) = document.filter(|_| !failed) {
        let text = match args.format {
            Language::Yaml => gitops::to_yaml(&document)?,
            Language::Json => format!("{}\n", serde_json::to_string_pretty(&document)?),
        };
        super::print(&text)?;
    }
    Ok(if failed { Answer::No } else { Answer::Yes })
}
