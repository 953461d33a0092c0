//! `longboat validate`: checks the pipeline files of a work tree, as the server would on a push.

use std::path::PathBuf;

use super::library::ModuleArgs;
use super::work_tree::{Files, GlobalArgs, WorkTree};
use super::{Answer, Format, Report};
use crate::diagnostic::Diagnostic;
use crate::gitops;

/// Check the pipeline files of a work tree
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The work tree, or a folder or file in it
    #[arg(default_value = ".")]
    pub(super) path: PathBuf,
    /// How findings are printed
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// The branch that templates see, instead of the one that is checked out
    #[arg(long)]
    branch: Option<String>,
    #[command(flatten)]
    globals: GlobalArgs,
    #[command(flatten)]
    modules: ModuleArgs,
    /// Check again whenever a file changes, until Ctrl-C; the exit code is that of the last check
    #[arg(long)]
    pub(super) watch: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<Answer> {
    let looked = check(args, &WorkTree::find(&args.path)?)?;
    super::print(&looked.text)?;
    Ok(looked.answer)
}

/// What came of a check.
pub(super) struct Looked {
    /// What is to be printed.
    pub(super) text: String,
    pub(super) answer: Answer,
    /// The files of the work tree that were read, or looked for, beside those of pipelines; the configuration with its
    /// whole path.
    pub(super) read: Vec<String>,
    /// The folders of the module repositories that are on this machine.
    pub(super) modules: Vec<PathBuf>,
}

/// Checks once.
pub(super) fn check(args: &Args, tree: &WorkTree) -> anyhow::Result<Looked> {
    // Wherever it is, a change of it is one as well.
    let config = args.globals.config.as_ref().and_then(|path| std::path::absolute(path).ok());
    let config = config.map(|path| path.display().to_string());
    let Some(globals) = args.globals.load() else {
        let (text, read) = (String::new(), config.into_iter().collect());
        return Ok(Looked { text, answer: Answer::No, read, modules: Vec::new() });
    };
    let mut files = Files::new(tree, args.branch.as_deref(), &args.modules).with_globals(globals);
    let checked = files.with_modules(|files| gitops::check(&files.request(), &crate::stage::catalog(), None));
    let (_, summary) = gitops::summarize(&checked);
    let valid = checked.applications.iter().filter(|application| application.valid);
    let report = Report {
        findings: &checked.findings,
        summary: &summary,
        files: checked.files,
        pipelines: valid.map(|application| application.pipelines.len()).sum(),
    };
    let text = report.render(args.format, super::color(), &|path| files.read(path));
    let modules = files.module_folders();
    let failed = checked.findings.iter().any(Diagnostic::is_error);
    let files = checked.uses.iter().flat_map(|uses| &uses.files).filter(|used| used.repository.is_none());
    let mut read: Vec<String> = files.map(|used| used.path.clone()).collect();
    read.extend(config);
    read.sort_unstable();
    read.dedup();
    Ok(Looked { text, answer: if failed { Answer::No } else { Answer::Yes }, read, modules })
}
