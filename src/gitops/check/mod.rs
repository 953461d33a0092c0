//! From rendered documents to pipelines: what a file means, and everything that is wrong with it.
//!
//! All findings of a commit come at once, each at the place that a person must edit. A pipeline is handed out
//! only if nothing is wrong with it, and an application is valid only if all of its pipelines are: they are
//! published together or not at all.

mod application;
mod artifact;
mod chains;
mod expressions;
mod files;
mod graph;
mod modules;
mod parameter;
mod partial;
mod pipeline;
mod reader;
mod secrets;
mod spinnaker;
mod spread;
mod stage;
mod summary;
#[cfg(test)]
mod tests;
mod trigger;
mod window;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use modules::{CheckedModules, check_modules};
pub use secrets::SecretMention;
pub use summary::summarize;
pub(super) use summary::summary;

use super::render::{each, each_of, with_ways};
use super::{Node, Rendered, RenderedFile, Request};
use crate::config::Applications;
use crate::diagnostic::{Code, Diagnostic, Place, Together};
use crate::model::{ApplicationName, FileUse, ModuleUse, Pins, Pipeline, RepositoryName};
use crate::schema::Catalog;

/// What a commit's application files mean.
#[derive(Debug, Clone, Default)]
pub struct Checked {
    /// The applications, sorted by name; one that can't be read isn't among them.
    pub applications: Vec<CheckedApplication>,
    /// Everything that was found, warnings included, sorted by file and line.
    pub findings: Vec<Diagnostic>,
    /// What each application file used beside itself, in the order of the files.
    pub uses: Vec<FileUses>,
    /// What the references to module repositories meant.
    pub pins: Pins,
    /// How many application files there are.
    pub files: usize,
    /// Files whose application can't be told. What they defined before stays as it is.
    pub blocked_files: Vec<String>,
    /// The documents of the files, in the order of their paths; those that could not be rendered left out. Only
    /// [`check_with_documents`] keeps them.
    pub documents: Vec<Arc<Node>>,
    /// The secrets that pipelines name; whether they may is told by [`Checked::judge_secrets`].
    pub secrets: Vec<SecretMention>,
}

impl Checked {
    /// Whether nothing is wrong that keeps a file from being published.
    pub fn is_valid(&self) -> bool {
        !self.findings.iter().any(Diagnostic::is_error)
    }

    /// The modules that were used, by full name, sorted, each once.
    pub fn module_names(&self) -> Vec<String> {
        let modules = self.uses.iter().flat_map(|uses| &uses.modules);
        modules.map(|used| used.module.clone()).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

impl Checked {
    /// Marks the applications that belong to other repositories: each file that speaks of one has an error.
    pub fn refuse_foreign(&mut self, owners: &[(&ApplicationName, &RepositoryName)]) {
        let before = self.findings.len();
        for application in &mut self.applications {
            let Some((_, owner)) = owners.iter().find(|(name, _)| **name == application.name) else { continue };
            application.valid = false;
            let message = format!("the application `{}` belongs to the repository {owner}", application.name);
            let finding = Diagnostic::error(Code::ForeignApplication, message)
                .hint("choose another name, or remove the application there first")
                .pointer("/application");
            self.findings.extend(application.named_at.iter().map(|place| finding.clone().at(place.clone())));
        }
        if self.findings.len() > before {
            self.findings = in_order(std::mem::take(&mut self.findings));
        }
    }
}

/// What an application file used beside itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileUses {
    /// The application file.
    pub file: String,
    /// The modules.
    pub modules: Vec<ModuleUse>,
    /// Variable files, and what `file(...)` read.
    pub files: Vec<FileUse>,
    /// What its references to module repositories meant.
    pub pins: Pins,
    /// Whether nothing is wrong with it. Of a file with errors, not all may be known that it uses.
    pub valid: bool,
}

/// One application of a commit.
#[derive(Debug, Clone)]
pub struct CheckedApplication {
    /// Its name.
    pub name: ApplicationName,
    /// Where each of its files says that it is about this application.
    pub named_at: Vec<Place>,
    /// All its files, sorted.
    pub files: Vec<String>,
    /// Its pipelines, those with errors left out.
    pub pipelines: Vec<Pipeline>,
    /// Whether all of its files are right, so that it can be published.
    pub valid: bool,
    /// What the references of its files to module repositories meant.
    pub pins: Pins,
}

/// Which applications files may define.
#[derive(Debug, Clone, Copy)]
pub struct Permit<'a> {
    /// The operator's rules for the repository.
    pub rules: &'a Applications,
    /// The branch whose definitions these are to be; none, if they are to be nobody's: then it is not asked on which
    /// branches an application may be defined.
    pub branch: Option<&'a str>,
}

/// Renders and checks a whole commit; without a permit, its files may define any application.
///
/// Each document goes as soon as it is checked: at any time there are no more than there are renderers. Blocks, as
/// [`render_all`](super::render_all) does.
pub fn check(request: &Request<'_>, catalog: &Catalog, permit: Option<Permit<'_>>) -> Checked {
    let (files, findings) = each(request, |file| CheckedFile::new(file, catalog, permit).without_document());
    gather(files, findings)
}

/// As [`check`], for those who ask where values of the documents came from.
pub fn check_with_documents(request: &Request<'_>, catalog: &Catalog, permit: Option<Permit<'_>>) -> Checked {
    let (files, findings) = each(request, |file| CheckedFile::new(file, catalog, permit));
    gather(files, findings)
}

/// Renders and checks these application files of a commit and no others, as
/// [`render_some`](super::render_some) renders them.
pub fn check_some(request: &Request<'_>, paths: &[String], catalog: &Catalog, permit: Option<Permit<'_>>) -> Checked {
    let (files, findings) = each_of(request, paths, |file| CheckedFile::new(file, catalog, permit).without_document());
    gather(files, findings)
}

/// Checks what was rendered.
pub fn check_rendered(rendered: Rendered, catalog: &Catalog, permit: Option<Permit<'_>>) -> Checked {
    let check = |file| CheckedFile::new(file, catalog, permit);
    gather(rendered.files.into_iter().map(check).collect(), rendered.findings)
}

/// A file by itself, rendered and checked.
struct CheckedFile {
    file: RenderedFile,
    valid: bool,
    outcome: application::Outcome,
}

impl CheckedFile {
    fn new(file: RenderedFile, catalog: &Catalog, permit: Option<Permit<'_>>) -> Self {
        let mut outcome = application::read(&file.path, file.root.as_ref(), catalog, permit);
        outcome.findings.extend(partial::findings(&file, catalog, permit));
        let valid = !file.findings.iter().chain(&outcome.findings).any(Diagnostic::is_error);
        outcome.findings = with_ways(&file, outcome.findings);
        Self { file, valid, outcome }
    }

    /// The same; the document is freed where it was made, which costs a fraction of what it costs elsewhere.
    fn without_document(mut self) -> Self {
        self.file.root = None;
        self.file.partial = None;
        self
    }
}

/// Puts the files of a commit together.
fn gather(files: Vec<CheckedFile>, findings: Vec<Diagnostic>) -> Checked {
    let mut checked = Checked { files: files.len(), findings, ..Checked::default() };
    let mut applications: BTreeMap<ApplicationName, CheckedApplication> = BTreeMap::new();
    for CheckedFile { file, valid, outcome } in files {
        checked.secrets.extend(outcome.secrets);
        let RenderedFile { path, findings, modules, files, pins, root, .. } = file;
        checked.documents.extend(root);
        checked.pins.extend(&pins);
        checked.uses.push(FileUses { file: path.clone(), modules, files, pins: pins.clone(), valid });
        checked.findings.extend(findings);
        checked.findings.extend(outcome.findings);
        let Some(name) = outcome.application else {
            checked.blocked_files.push(path);
            continue;
        };
        let application = applications.entry(name).or_insert_with_key(|name| CheckedApplication {
            name: name.clone(),
            named_at: Vec::new(),
            files: Vec::new(),
            pipelines: Vec::new(),
            valid: true,
            pins: Pins::default(),
        });
        application.pins.extend(&pins);
        application.valid &= valid;
        application.named_at.extend(outcome.named_at);
        application.files.push(path);
        application.pipelines.extend(outcome.pipelines);
    }
    for application in applications.values_mut() {
        let twice = duplicates(&application.pipelines);
        application.valid &= twice.is_empty();
        checked.findings.extend(twice);
    }
    checked.findings.extend(chains::circles(applications.values()));
    checked.applications = applications.into_values().collect();
    checked.findings = in_order(checked.findings);
    checked
}

/// Pipelines of one application with the same name or the same id, in one file or in several.
fn duplicates(pipelines: &[Pipeline]) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    let mut names: BTreeMap<&str, &Pipeline> = BTreeMap::new();
    let mut ids: BTreeMap<_, &Pipeline> = BTreeMap::new();
    for pipeline in pipelines {
        let place = |first: &Pipeline| format!("{}:{}", first.source.file, first.source.line);
        let same_name = names.insert(pipeline.name.as_str(), pipeline);
        let same_id = ids.insert(pipeline.id, pipeline);
        let message = match (same_name, same_id) {
            (Some(first), _) => {
                let (application, name) = (&pipeline.application, &pipeline.name);
                format!("the application `{application}` has a pipeline `{name}` already, at {}", place(first))
            }
            (None, Some(first)) => {
                format!("the pipeline `{}` at {} has the same `id`", first.name, place(first))
            }
            (None, None) => continue,
        };
        let finding = Diagnostic::error(Code::DuplicatePipeline, message).at(pipeline.source.clone());
        findings.push(finding.hint("give each pipeline its own name and id"));
    }
    findings
}

/// Sorted by place, each finding once: a module that is used twice has the same fault twice.
fn in_order(mut findings: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let key = |finding: &Diagnostic| {
        let place = finding.place.as_ref();
        let at = place.map(|place| (place.file.clone(), place.line, place.column));
        (at, finding.severity, finding.code)
    };
    findings.sort_by_cached_key(key);
    let mut together = Together::new();
    for finding in findings {
        together.add(finding);
    }
    together.findings()
}
