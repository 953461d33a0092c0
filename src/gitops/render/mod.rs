//! Rendering a commit's application files: templates, modules and variables in, one tree of values out.
//!
//! The way of a file (FORMAT section 3):
//! 1. [`head`] and [`variables`]: what `vars` is, read from the text as written.
//! 2. [`scan`] and [`prepass`]: the template is rewritten so that each tag and each line can be recognised.
//! 3. [`engine`]: the template runs; its formatter keeps every value and prints a placeholder ([`reserved`]).
//! 4. [`yaml`]: the text is parsed once, and values take the place of their placeholders.
//! 5. [`call`], [`lookup`] and [`module`]: `module(...)` and `use:` go through 2 to 4 for the module, and place its tree.
//!
//! What a template uses is bounded ([`Limits`], counted in [`budget`]): what operators and filters make of texts and lists
//! is counted before it is made ([`growth`], [`guards`]). The engine's steps are bounded in number, but not in time: to
//! compare two long texts is one step. Files of strangers are therefore to be rendered in a process of their own, with
//! limits on memory and time.

mod again;
mod arguments;
mod budget;
mod call;
mod crew;
mod data;
mod engine;
mod expression;
mod fault;
mod file;
mod frame;
mod growth;
mod guards;
mod head;
mod header;
mod items;
mod kept;
mod lookup;
mod manual;
mod module;
mod origin;
mod placement;
mod prepass;
mod reserved;
pub(super) mod scalar;
mod scan;
mod session;
mod settings;
mod template;
#[cfg(test)]
mod tests;
mod value;
mod variables;
mod witness;
mod yaml;

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Map, Value};

use self::crew::Lost;
use self::file::File;
use self::frame::{Frame, Uses, Work};
use self::kept::Kept;
use self::lookup::Home;
pub use self::manual::{
    ExampleManual, Manual, ModuleManual, ParameterManual, Trial, inspect_module, manual, module_manual, try_modules,
};
use self::session::Session;
use self::template::Template;
pub use self::variables::{LayerName, LayerOutcome, LayerValue, Variable};
use self::variables::{Stacks, Trouble, shared_stack};
use super::node::steps;
use super::plan::cover_named;
use super::{Library, Limits, Node, NodeValue, Source, Spot};
use crate::diagnostic::{ChainLink, Code, Diagnostic, Place};
use crate::model::{FileUse, ModuleUse, Pins, RepositoryName};

/// What to render: a source of files, and what templates see besides.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The files of the commit.
    pub source: &'a dyn Source,
    /// Seen as `repository`.
    pub repository: &'a RepositoryName,
    /// Seen as `branch`; of a pull request its target branch.
    pub branch: &'a str,
    /// The operator's variables, the lowest layer of `vars`.
    pub globals: &'a Map<String, Value>,
    /// What it may use.
    pub limits: &'a Limits,
    /// The module repositories; without them, names with an `@` lead nowhere.
    pub library: Option<&'a dyn Library>,
}

/// All application files of a commit.
#[derive(Debug, Default)]
pub struct Rendered {
    /// One for each file, sorted by path.
    pub files: Vec<RenderedFile>,
    /// What concerns no single file: variables that files share, too many files.
    pub findings: Vec<Diagnostic>,
}

/// One application file, rendered as written: no key is renamed, none is filled in.
#[derive(Debug)]
pub struct RenderedFile {
    /// Its path inside the repository.
    pub path: String,
    /// The document; nothing if it could not be rendered. There may be a document and errors.
    pub root: Option<Arc<Node>>,
    /// What was made of a file that is not to be gone by.
    pub(in crate::gitops) partial: Option<Partial>,
    /// What was found while rendering. The same finding stands once, with the first of the calls that lead to it.
    pub findings: Vec<Diagnostic>,
    /// The modules that it used, itself or through others, by full name.
    pub modules: Vec<ModuleUse>,
    /// The variable files that it sees and the files that `file(...)` read, sorted.
    pub files: Vec<FileUse>,
    /// What the references to module repositories meant.
    pub pins: Pins,
    /// The layers of variables that it saw.
    pub(in crate::gitops) stacks: Arc<Stacks>,
}

/// A document of a file in which modules failed, or whose variables can't be read.
#[derive(Debug)]
pub(in crate::gitops) struct Partial {
    pub(in crate::gitops) root: Arc<Node>,
    /// Whether it has holes, which are null: what modules would have yielded, or variables.
    pub(in crate::gitops) has_holes: bool,
}

impl RenderedFile {
    fn failed(path: &str, findings: Vec<Diagnostic>) -> Self {
        Self {
            path: path.to_owned(),
            root: None,
            partial: None,
            findings,
            modules: Vec::new(),
            files: Vec::new(),
            pins: Pins::default(),
            stacks: Arc::default(),
        }
    }
}

/// Where a value came from, for `longboat explain`.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The value.
    pub value: Value,
    /// The place to edit first.
    pub place: Place,
    /// The calls of modules through which it came, outermost first.
    pub chain: Vec<ChainLink>,
    /// Other places that had a part in it: tags in modules, arguments, lines of variable files.
    pub through: Vec<Place>,
    /// The variables that had a part in it, with what each layer says about them.
    pub variables: Vec<Variable>,
    /// Whether the value, or that of a variable, looks like a credential, and is `***` in whole or in part.
    pub covered: bool,
}

/// All variables that a file's templates see, or those that all files share.
#[derive(Debug, Default)]
pub struct Variables {
    /// The environment of the file itself, or the one that was asked for.
    pub environment: Option<String>,
    /// Whether there is a file of variables for it.
    pub has_layer: bool,
    /// The other environments of the file's pipelines that see other variables than the rest of the file.
    pub environments: Vec<String>,
    /// Each value that is no mapping, in the order in which the layers name them; the lowest layer's first.
    pub variables: Vec<Variable>,
}

pub use self::settings::{ProposedModules, Settings, settings};

/// Where application files and everything that belongs to them are.
const FOLDER: &str = ".longboat";
/// The file in [`FOLDER`] that is no application's.
const SETTINGS: &str = "settings";
/// The text of a built-in module, by its full name (`std/approve`).
pub fn built_in(name: &str) -> Option<String> {
    lookup::built_in_bytes(name).and_then(|bytes| String::from_utf8(bytes).ok())
}

/// Renders every application file of the commit: `.longboat/*.{yaml,yml,json}`, except `settings.*`.
///
/// Blocks until all are rendered, and uses several threads for it; async code calls it from a blocking task.
pub fn render_all(request: &Request<'_>) -> Rendered {
    let (files, findings) = each(request, |file| file);
    Rendered { files, findings }
}

/// Renders every application file of the commit, and does something with each on the thread that has rendered it.
/// Yields what that comes to, in the order of the paths, and what concerns no single file.
pub(super) fn each<T: Send>(
    request: &Request<'_>,
    then: impl Fn(RenderedFile) -> T + Sync,
) -> (Vec<T>, Vec<Diagnostic>) {
    let mut findings = Vec::new();
    let paths = match request.source.list(FOLDER) {
        Ok(files) => files.into_iter().map(|file| file.path).filter(|path| is_application(path)).collect(),
        Err(error) => {
            findings.push(Diagnostic::error(Code::UnreadablePath, error.to_string()).at(Place::point(FOLDER, 1, 1)));
            Vec::new()
        }
    };
    let mut paths: Vec<String> = paths;
    if paths.len() > request.limits.files {
        let message =
            format!("the commit has {} application files; the limit is {}", paths.len(), request.limits.files);
        findings.push(Diagnostic::error(Code::FileTooLarge, message).at(Place::point(FOLDER, 1, 1)));
        paths.truncate(request.limits.files);
    }
    findings.extend(taken_names(request));
    findings.extend(settings::proposals(request));
    let (files, shared) = each_of(request, &paths, then);
    findings.retain(|finding| !shared.contains(finding));
    findings.extend(shared);
    (files, findings)
}

/// Renders these application files of the commit and no others: those that a change concerns. What is wrong with the
/// commit as a whole is not looked for.
///
/// Blocks, as [`render_all`] does.
pub fn render_some(request: &Request<'_>, paths: &[String]) -> Rendered {
    let (files, findings) = each_of(request, paths, |file| file);
    Rendered { files, findings }
}

/// As [`each`], of these files alone.
pub(super) fn each_of<T: Send>(
    request: &Request<'_>,
    paths: &[String],
    then: impl Fn(RenderedFile) -> T + Sync,
) -> (Vec<T>, Vec<Diagnostic>) {
    let mut findings = Vec::new();
    let mut files = Vec::with_capacity(paths.len());
    for (file, shared) in render(request, &Kept::of(request.limits), paths, then) {
        for finding in shared.iter() {
            if !findings.contains(finding) {
                findings.push(finding.clone());
            }
        }
        files.push(file);
    }
    (files, findings)
}

/// Folders of modules whose names are those of module repositories.
fn taken_names(request: &Request<'_>) -> Vec<Diagnostic> {
    let names = request.library.map(Library::names).unwrap_or_default();
    // What can't be listed is reported where a module is called.
    let files = if names.is_empty() { Vec::new() } else { request.source.list(lookup::FOLDER).unwrap_or_default() };
    let first = |name: &String| {
        let prefix = format!("{}/{name}/", lookup::FOLDER);
        let file = files.iter().find(|file| file.path.starts_with(&prefix))?;
        Some(session::taken(name).finding().at(Place::point(&*file.path, 1, 1)))
    };
    names.iter().filter_map(first).collect()
}

/// Renders one application file. What is wrong with variables that files share is among its findings.
pub fn render_file(request: &Request<'_>, path: &str) -> RenderedFile {
    let mut outcomes = render(request, &Kept::of(request.limits), &[path.to_owned()], |file| file);
    match outcomes.pop() {
        Some((mut file, shared)) => {
            file.findings.splice(0..0, shared.iter().cloned());
            file
        }
        None => broken(path, "the file was not rendered"),
    }
}

/// Whether a path is one of an application file.
fn is_application(path: &str) -> bool {
    let Some(name) = path.strip_prefix(FOLDER).and_then(|rest| rest.strip_prefix('/')) else { return false };
    let Some((word, ending)) = name.rsplit_once('.') else { return false };
    !name.contains('/') && !name.starts_with('.') && lookup::ENDINGS.contains(&ending) && word != SETTINGS
}

/// What is wrong with what a file shares with others.
type Shared = Arc<[Diagnostic]>;

/// Renders files on threads of their own, and serves the source meanwhile.
fn render<T: Send>(
    request: &Request<'_>,
    kept: &Arc<Kept>,
    paths: &[String],
    then: impl Fn(RenderedFile) -> T + Sync,
) -> Vec<(T, Shared)> {
    let lost = |path: &str, why| {
        let message = match why {
            Lost::Panicked => "the renderer failed on this file; this is a bug in Longboat",
            Lost::NoThread => "the system could not start a thread to render this file",
        };
        (then(broken(path, message)), Arc::new([]) as Shared)
    };
    let files: Vec<&str> = paths.iter().map(String::as_str).collect();
    let done = crew::work_on_files(request, kept, paths, &files, |session, path| {
        let (file, shared) = file(session, path);
        (then(file), shared)
    });
    let paired = paths.iter().zip(done);
    paired.map(|(path, outcome)| outcome.unwrap_or_else(|why| lost(path, why))).collect()
}

fn broken(path: &str, message: &str) -> RenderedFile {
    let finding = Diagnostic::error(Code::TemplateFailed, message).at(Place::point(path, 1, 1));
    RenderedFile::failed(path, vec![finding])
}

/// Renders one file, on a renderer's thread.
fn file(session: &Arc<Session>, path: &str) -> (RenderedFile, Shared) {
    let fail = |findings: Vec<Diagnostic>, shared: Shared| (RenderedFile::failed(path, findings), shared);
    let unreadable = |message: String| {
        let finding = Diagnostic::error(Code::UnreadablePath, message).at(Place::point(path, 1, 1));
        fail(vec![finding], Arc::new([]))
    };
    let bytes = match session.read(path) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return unreadable(format!("there is no file `{path}`")),
        Err(error) => return unreadable(error.to_string()),
    };
    let file = match File::new(path, bytes, &session.limits) {
        Ok(file) => Arc::new(file),
        Err(findings) => return fail(findings, Arc::new([])),
    };
    let work = Arc::new(Work::new(session.clone()));
    let (variables, own, shared) = match variables::Variables::new(session, &file) {
        Ok(variables) => (variables, Vec::new(), Arc::from([])),
        Err(Trouble { own, shared }) => {
            // Without them nothing comes of the file; what else is wrong with it is looked for all the same.
            work.lose_variables();
            let nothing = Node { value: NodeValue::Map(Vec::new()), origin: file.origin(0, 0) };
            (variables::Variables::everywhere(Arc::new(nothing)), own, shared)
        }
    };
    let stacks = variables.stacks.clone();
    let regions: Vec<_> = variables.regions.iter().map(|region| region.range.clone()).collect();
    let template = match Template::to_compile(file, 0, &regions) {
        Ok(template) => Arc::new(template),
        Err(findings) => return fail(own.into_iter().chain(findings).collect(), shared),
    };
    // An application file is rendered once, so its compiled form isn't kept.
    let compile = |marked| session.kept.environment.template_from_named_str(path, marked);
    let compiled = template.marked.as_deref().map(compile);
    if let Some(Err(_)) = &compiled
        && let Err(findings) = Template::new(template.file.clone(), 0, &regions)
    {
        return fail(own.into_iter().chain(findings).collect(), shared);
    }
    variables.files.iter().for_each(|file| work.reads(file, &Home::Repository));
    let frame = Arc::new(Frame::of_file(work.clone(), template.clone(), variables));
    let root = document(&frame, compiled);
    if let Some(root) = root.as_ref().filter(|_| !work.has_lost_variables()) {
        frame.variables.verify(session, root).into_iter().for_each(|finding| work.report(finding));
        work.yielded.misplaced(root).into_iter().for_each(|finding| work.report(finding));
    }
    let (found, Uses { modules, files, pins }) = work.results();
    let certain = |finding: &Diagnostic| !work.has_missed_variables() || fault::is_certain_without_variables(finding);
    let line = |finding: &Diagnostic| finding.place.as_ref().map(|place| (place.file.clone(), place.line));
    let is_told = |finding: &Diagnostic| own.iter().any(|told| line(told) == line(finding));
    let found: Vec<Diagnostic> = found.into_iter().filter(|one| certain(one) && !is_told(one)).collect();
    let findings = own.into_iter().chain(found).collect();
    let has_holes = work.has_failed() || work.has_missed_variables();
    let (root, partial) = if has_holes || work.has_lost_variables() {
        (None, root.map(|root| Partial { root, has_holes }))
    } else {
        (root, None)
    };
    let (modules, files) = (modules.into_values().collect(), files.into_iter().collect());
    let file = RenderedFile { path: path.to_owned(), root, partial, findings, modules, files, pins, stacks };
    (file, shared)
}

fn document(
    frame: &Arc<Frame>,
    compiled: Option<Result<minijinja::Template<'_, '_>, minijinja::Error>>,
) -> Option<Arc<Node>> {
    match compiled.transpose() {
        Ok(compiled) => call::run(frame, compiled.as_ref()).ok().flatten(),
        Err(error) => {
            frame.report(fault::too_deep(&frame.template, &error));
            None
        }
    }
}

/// Adds to findings about a rendered file the places by which the lists and mappings came there that hold the values
/// which they are about: what is in a variable file's mapping knows its own line, and not who placed the mapping.
pub(super) fn with_ways(file: &RenderedFile, findings: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let add = |finding: Diagnostic| {
        let (Some(pointer), Some(place)) = (&finding.pointer, &finding.place) else { return finding };
        let Some(explained) = locate(file, pointer) else { return finding };
        if explained.place == *place {
            return finding.through(explained.through);
        }
        // It is about the key, or about a part of a text.
        let parent = pointer.rsplit_once('/').and_then(|(parent, _)| locate(file, parent));
        match parent.filter(|parent| parent.place.file == place.file) {
            Some(parent) => finding.through(parent.through),
            None => finding,
        }
    };
    findings.into_iter().map(add).collect()
}

/// Says where the value at a JSON pointer into the rendered document came from; nothing if there is no such value.
pub fn explain(file: &RenderedFile, pointer: &str) -> Option<Explanation> {
    let mut explained = locate(file, pointer)?;
    let places: Vec<Place> = std::iter::once(&explained.place).chain(&explained.through).cloned().collect();
    explained.variables = file.stacks.written_at(environment_of(file, pointer).as_deref(), &places);
    let plain = explained.value.clone();
    let node = file.root.as_deref()?.at(pointer)?;
    explained.value = shown(node, &file.stacks.covered());
    steps(pointer)?.iter().for_each(|step| cover_named(step, &mut explained.value));
    cover_named("", &mut explained.value);
    explained.covered = explained.value != plain || explained.variables.iter().any(|variable| variable.covered);
    Some(explained)
}

/// A value without what was made of variables that look like credentials, whatever it is called here.
fn shown(node: &Node, covered: &HashSet<Place>) -> Value {
    match &node.value {
        NodeValue::List(items) => items.iter().map(|item| shown(item, covered)).collect(),
        NodeValue::Map(entries) => {
            Value::Object(entries.iter().map(|(key, item)| (key.name.to_string(), shown(item, covered))).collect())
        }
        _ => {
            let mut value = node.to_json();
            let origin = &node.origin;
            if !covered.is_empty()
                && (covered.contains(&origin.place())
                    || origin.through().iter().any(|spot| covered.contains(&spot.place())))
            {
                cover_named("password", &mut value);
            }
            value
        }
    }
}

/// The same without the variables.
fn locate(file: &RenderedFile, pointer: &str) -> Option<Explanation> {
    let mut node = file.root.as_deref()?;
    let mut through = Vec::new();
    for step in steps(pointer)? {
        // A list or mapping that was placed by a tag says so; what is in it has the places where it was written.
        if matches!(node.value, NodeValue::List(_) | NodeValue::Map(_)) && !node.origin.through().is_empty() {
            through.push(node.origin.place());
            through.extend(node.origin.through().iter().map(Spot::place));
        }
        node = node.child(&step)?;
    }
    through.splice(0..0, node.origin.through().iter().map(Spot::place));
    let place = node.origin.place();
    let mut seen = vec![place.clone()];
    through.retain(|other| {
        let new = !seen.contains(other);
        seen.push(other.clone());
        new
    });
    let (value, chain) = (node.to_json(), node.origin.chain().to_vec());
    Some(Explanation { value, place, chain, through, variables: Vec::new(), covered: false })
}

/// The environment of the pipeline that a pointer leads into.
fn environment_of(file: &RenderedFile, pointer: &str) -> Option<String> {
    let [list, number, ..] = &steps(pointer)?[..] else { return None };
    let pipeline = file.root.as_deref()?.child(list)?.child(number).filter(|_| list == "pipelines")?;
    pipeline.get("environment")?.as_str().map(str::to_owned)
}

/// All variables that the templates of a file see, for `longboat explain --vars`: in the pipelines of an environment, or in
/// the rest of the file. Without a file, those that all files share.
///
/// # Errors
/// What is wrong with a layer.
pub fn list_variables(
    request: &Request<'_>,
    path: Option<&str>,
    environment: Option<&str>,
) -> Result<Variables, Vec<Diagnostic>> {
    let mut done = crew::work(request, &[()], |session, ()| {
        let Some(path) = path else {
            let stack = shared_stack(session, environment)?;
            let stacks = Stacks::alone(environment, stack);
            return Ok(stacks.listed(None));
        };
        let unreadable =
            |message: String| vec![Diagnostic::error(Code::UnreadablePath, message).at(Place::point(path, 1, 1))];
        let bytes = session.read(path).map_err(|error| unreadable(error.to_string()))?;
        let bytes = bytes.ok_or_else(|| unreadable(format!("there is no file `{path}`")))?;
        let file = Arc::new(File::new(path, bytes, &session.limits)?);
        let seen = variables::Variables::of_environment(session, &file, environment);
        let stacks = seen.map_err(|Trouble { own, shared }| shared.iter().cloned().chain(own).collect::<Vec<_>>())?;
        Ok(stacks.listed(environment))
    });
    done.pop().and_then(Result::ok).unwrap_or_else(|| Err(broken(path.unwrap_or(FOLDER), "it was not read").findings))
}
