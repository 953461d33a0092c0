//! `longboat plan`: what a change does to the pipelines, before anybody merges it.

mod human;

use std::path::PathBuf;

use anyhow::bail;
use clap::ValueEnum;

use super::library::{ModuleArgs, Modules};
use super::work_tree::{GlobalArgs, WorkTree};
use super::{Answer, Report, excerpt};
use crate::diagnostic::{Diagnostic, Severity};
use crate::forge::{Capabilities, Markup, markdown};
use crate::git::{Changed, Local, Snapshot};
use crate::gitops::{
    self, Base, Checked, FolderSource, Library, Limits, MemorySource, Ownership, PRINTED_PLAN, Push, Request, Source,
    SubFolder, built_in,
};
use crate::model::{Comment, CommitSha, Line, Piece, PlanReport};
use crate::review;

/// The longest comment of GitHub, which is the shortest of the forges that draw Mermaid.
const MARKDOWN_LIMIT: usize = 65_536;
/// The most findings that the JSON lists.
const MAX_FINDINGS: usize = 10_000;

/// Say what a change does to the pipelines, and what its merge would start
///
/// Both sides are rendered as the target branch would be. What differs is told by meaning: where something stands, and
/// orders that mean nothing, don't count. Exit code 1 means that the change has errors.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The repository, or a folder or file in it
    #[arg(default_value = ".")]
    path: PathBuf,
    /// The commit before the change; by default the newest one that it shares with the target branch
    #[arg(long, value_name = "REV")]
    base: Option<String>,
    /// The commit after it; by default the files as they are, committed or not
    #[arg(long, value_name = "REV")]
    head: Option<String>,
    /// The target branch; by default the one that `origin` calls its default, or `main` or `master`
    #[arg(long, value_name = "TARGET")]
    branch: Option<String>,
    /// How the plan is printed
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    #[command(flatten)]
    globals: GlobalArgs,
    #[command(flatten)]
    modules: ModuleArgs,
}

/// The forms of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Human,
    /// For programs: one document, as `schema/plan.json` describes it.
    Json,
    /// For a comment on GitHub or GitLab, with pictures.
    Markdown,
    /// What was found in the files after the change, for code review: SARIF 2.1.0.
    Sarif,
    /// What was found in the files after the change, for GitHub Actions: workflow commands, which become annotations.
    Github,
}

impl Format {
    /// The form of the findings, if it has nothing but them.
    const fn of_findings(self) -> Option<super::Format> {
        match self {
            Self::Sarif => Some(super::Format::Sarif),
            Self::Github => Some(super::Format::Github),
            Self::Human | Self::Json | Self::Markdown => None,
        }
    }
}

/// The two sides of a change.
struct Sides {
    base: Option<CommitSha>,
    head: Option<CommitSha>,
    before: Option<Snapshot>,
    after: Option<Snapshot>,
    branch: String,
    changed: Changed,
    prefix: String,
}

/// Runs the command.
pub fn run(args: &Args) -> anyhow::Result<Answer> {
    let tree = WorkTree::find(&args.path)?;
    let Some(globals) = args.globals.load() else { return Ok(Answer::No) };
    let sides = sides(args, &tree)?;
    let (folder, nothing) = (FolderSource::new(&tree.root), MemorySource::default());
    let before = sides.before.as_ref().map(|before| SubFolder::new(before, &sides.prefix));
    let after = sides.after.as_ref().map(|after| SubFolder::new(after, &sides.prefix));
    let before = before.as_ref().map_or(&nothing as &dyn Source, |before| before);
    let after = after.as_ref().map_or(&folder as &dyn Source, |after| after);
    let limits = Limits::default();
    let request = |source| Request {
        source,
        repository: &tree.name,
        branch: &sides.branch,
        globals: &globals,
        limits: &limits,
        library: None,
    };
    let (settings, _) = gitops::settings(after, &limits);
    let mut modules = Modules::new(&settings.modules, &tree.root, &args.modules);
    if let Some(modules) = &mut modules {
        // Rendered to learn what has to be fetched, so that both sides see module repositories at the same commits.
        for source in [before, after] {
            drop(gitops::render_all(&Request { library: Some(modules.shelf()), ..request(source) }));
        }
        modules.fetch_wanted();
    }
    let library = modules.as_ref().map(|modules| modules.shelf() as &dyn Library);
    let request = |source| Request { library, ..request(source) };
    let catalog = crate::stage::catalog();
    if args.format == Format::Markdown {
        // A comment has its own bounds, and is put together as on a pull request.
        let commit = sides.head.as_ref().or(sides.base.as_ref()).cloned();
        let commit = commit.map_or_else(|| CommitSha::parse(&"0".repeat(40)), Ok)?;
        let base = sides.base.as_ref().map(|commit| Base { commit, source: before, changed: &sides.changed });
        let ownership = Ownership { tracked: true, ..Ownership::default() };
        let reviewed = gitops::review(&commit, &request(after), base, &catalog, &ownership);
        let comment = Comment {
            repository: tree.name.clone(),
            pull_request: 0,
            blocks: review::plan(&reviewed, about(&sides)),
            page: None,
        };
        let markup = Markup { folding: true, hidden_text: true, mermaid: true };
        let forge = Capabilities { comment_limit: MARKDOWN_LIMIT, markup, ..Capabilities::NONE };
        super::print(&format!("{}\n", markdown::write(&comment, &forge, None, "").trim_end()))?;
        return Ok(if reviewed.errors > 0 { Answer::No } else { Answer::Yes });
    }
    let old = gitops::check_with_documents(&request(before), &catalog, None);
    let new = gitops::check_with_documents(&request(after), &catalog, None);
    if let Some(format) = args.format.of_findings() {
        let report = Report { findings: &new.findings, summary: "", files: new.files, pipelines: 0 };
        super::print(&report.render(format, false, &|_| None))?;
        return Ok(if new.is_valid() { Answer::Yes } else { Answer::No });
    }
    let push = Push { branch: &sides.branch, changed: &sides.changed, tracked: true };
    let plan = gitops::plan(&old, &new, push, PRINTED_PLAN);
    let failed = !new.is_valid();
    if args.format == Format::Json {
        let report = report(&sides, &tree, (&old, &new), plan);
        super::print(&format!("{}\n", serde_json::to_string_pretty(&report)?))?;
    } else {
        let color = super::color();
        let mut text = String::new();
        for finding in gitops::in_order_of_weight(&new.findings) {
            let of_library = |path: &str| library.and_then(|library| library.text(path));
            let read = |path: &str| {
                let of_folder = || String::from_utf8(after.read(path).ok()??).ok();
                built_in(path).or_else(|| of_library(path)).or_else(of_folder)
            };
            text.push_str(&excerpt(finding, color, &read));
            text.push_str("\n\n");
        }
        let errors = new.findings.iter().filter(|finding| finding.is_error()).count();
        let pins = (&old.pins, &new.pins);
        text.push_str(&human::written(&plan, pins, errors, &about(&sides), &sides.branch, color));
        super::print(&text)?;
    }
    Ok(if failed { Answer::No } else { Answer::Yes })
}

fn report(
    sides: &Sides,
    tree: &WorkTree,
    (old, checked): (&Checked, &Checked),
    plan: crate::model::Plan,
) -> PlanReport {
    let count = |severity| {
        let number = checked.findings.iter().filter(|finding| finding.severity == severity).count();
        u32::try_from(number).unwrap_or(u32::MAX)
    };
    let findings = gitops::in_order_of_weight(&checked.findings).into_iter().take(MAX_FINDINGS);
    PlanReport {
        repository: tree.name.clone(),
        target_branch: sides.branch.clone(),
        base: sides.base.clone(),
        head: sides.head.clone(),
        trouble: None,
        errors: count(Severity::Error),
        warnings: count(Severity::Warning),
        findings: findings.cloned().collect::<Vec<Diagnostic>>(),
        pins: checked.pins.clone(),
        base_pins: old.pins.clone(),
        plan: Some(plan),
    }
}

/// What is compared with what.
fn about(sides: &Sides) -> Line {
    let mut line = match &sides.head {
        Some(head) => vec![Piece::text("Compared "), Piece::code(head.short())],
        None => vec![Piece::text("Compared the files as they are")],
    };
    match &sides.base {
        Some(base) => line.extend([Piece::text(" with "), Piece::code(base.short())]),
        None => line.push(Piece::text(" with nothing")),
    }
    line.extend([Piece::text(", as "), Piece::code(&*sides.branch), Piece::text(" would be after the merge.")]);
    line
}

/// Finds what is to be compared.
fn sides(args: &Args, tree: &WorkTree) -> anyhow::Result<Sides> {
    let Some(local) = Local::find(&tree.root)? else {
        bail!(
            "{} is not in a Git repository, so there is nothing to compare with; `longboat validate` checks files \
             without one",
            tree.root.display()
        );
    };
    let named = |revision: &str, option: &str| match local.resolve(revision) {
        Some(commit) => Ok(commit),
        None => bail!("`--{option} {revision}` names no commit of {}", tree.root.display()),
    };
    let head = args.head.as_deref().map(|revision| named(revision, "head")).transpose()?;
    let default = local.default_branch();
    let branch = args.branch.clone().or_else(|| default.as_ref().map(|(name, _)| name.clone()));
    let branch = branch.unwrap_or_else(|| tree.branch.clone());
    let base = match &args.base {
        Some(revision) => Some(named(revision, "base")?),
        None => {
            let target = local.branch(&branch).or_else(|| default.map(|(_, commit)| commit));
            let from = head.clone().or_else(|| local.resolve("HEAD"));
            // Without a shared commit, everything is new to the target branch.
            from.zip(target).and_then(|(from, target)| local.merge_base(&from, &target).or(Some(target)))
        }
    };
    // A repository whose only branch has another name: what is committed is what the files are compared with.
    let base = base.or_else(|| local.resolve("HEAD").filter(|_| head.is_none()));
    Ok(Sides {
        before: base.as_ref().map(|base| local.snapshot(base)).transpose()?,
        after: head.as_ref().map(|head| local.snapshot(head)).transpose()?,
        changed: local.changed(base.as_ref(), head.as_ref())?,
        prefix: local.prefix().to_owned(),
        base,
        head,
        branch,
    })
}
