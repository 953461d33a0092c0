//! What a template sees while it is rendered, and what it is rendered for.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use minijinja::value::{Object, ObjectRepr, Value};

use super::budget::Budget;
use super::call::Hole;
use super::fault::{Fault, OF_LIMITS, Stopped};
use super::lookup::Home;
use super::module::Module;
use super::placement::Results;
use super::prepass::VARS;
use super::session::{Callee, Session, lock};
use super::template::Template;
use super::value::to_value;
use super::variables::Variables;
use super::witness::Held;
use crate::diagnostic::{ChainLink, Diagnostic, Place, Together};
use crate::gitops::{Node, Origin, Position};
use crate::model::{FileUse, ModuleUse, Pins};

/// The name under which a template's functions find the frame. No template can write it.
pub(super) const FRAME: &str = "\u{1}frame";

/// How deep names are known for hints, and how many.
const MAX_STEPS: usize = 4;
const MAX_NAMES: usize = 5_000;

/// The names of a value and of what is in it.
fn below(name: &str, node: &Node, steps: usize, names: &mut Vec<String>) {
    if names.len() >= MAX_NAMES {
        return;
    }
    names.push(name.to_owned());
    let entries = node.as_map().filter(|_| steps > 0).into_iter().flatten();
    entries.for_each(|(key, node)| below(&format!("{name}.{}", key.name), node, steps - 1, names));
}

/// The most modules and tags of a file that may fail before the file is given up: each may have used a full tank of fuel.
const MAX_FAILURES: usize = 20;
/// The most that fail again in the same way, for the same reason.
const MAX_REPEATED: usize = 100;
/// How many calls of a module may fail in the same way before further ones are no longer tried.
const SAME_FAILURES: u32 = 8;

/// A module whose calls fail in the same way.
#[derive(Debug, Default)]
struct Failing {
    calls: u32,
    untried: u32,
}

/// A call that failed: where it stands, the calls that lead there, and the module's name.
type FailedCall = (Place, Arc<[ChainLink]>, Box<str>);

/// What an application file used beside itself.
#[derive(Debug, Default)]
pub(super) struct Uses {
    /// The modules, by what tells them apart in this render.
    pub(super) modules: BTreeMap<String, ModuleUse>,
    /// Variable files, and what `file(...)` read.
    pub(super) files: BTreeSet<FileUse>,
    /// The commits of the module repositories.
    pub(super) pins: Pins,
}

/// The render of one application file.
#[derive(Debug)]
pub(super) struct Work {
    /// The render of the commit.
    pub(super) session: Arc<Session>,
    /// What the file may use.
    pub(super) budget: Budget,
    /// What modules yielded to it.
    pub(super) yielded: Results,
    findings: Mutex<Together>,
    uses: Mutex<Uses>,
    failures: AtomicUsize,
    /// How often something failed of which nothing new was to be said.
    repeated: AtomicUsize,
    /// The modules whose calls fail again and again, by name.
    failing: Mutex<HashMap<String, Failing>>,
    /// Where modules failed, by which calls that is, and which.
    failed: Mutex<HashSet<FailedCall>>,
    again: AtomicBool,
    lost_variables: AtomicBool,
    missed_variables: AtomicBool,
    stopped: AtomicBool,
}

impl Work {
    /// Nothing rendered yet.
    pub(super) fn new(session: Arc<Session>) -> Self {
        let budget = Budget::new(&session.limits);
        Self {
            session,
            budget,
            yielded: Results::default(),
            findings: Mutex::default(),
            uses: Mutex::default(),
            failures: AtomicUsize::new(0),
            repeated: AtomicUsize::new(0),
            failing: Mutex::default(),
            failed: Mutex::default(),
            again: AtomicBool::new(false),
            lost_variables: AtomicBool::new(false),
            missed_variables: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        }
    }

    /// Keeps a finding; the same one at the same place only once, however many calls lead there.
    pub(super) fn report(&self, finding: Diagnostic) {
        if self.again.load(Ordering::Relaxed) && OF_LIMITS.contains(&finding.code) {
            // A single run would not have come to it.
            return;
        }
        let mut findings = lock(&self.findings);
        if findings.len() < self.session.limits.findings || findings.knows(&finding) {
            findings.add(finding);
        }
    }

    /// How many different findings there are.
    pub(super) fn found(&self) -> usize {
        lock(&self.findings).len()
    }

    /// Ends the render of the file.
    pub(super) fn stop(&self) -> Stopped {
        self.stopped.store(true, Ordering::Relaxed);
        Stopped
    }

    /// Whether the render of the file is over.
    pub(super) fn check(&self) -> Result<(), Stopped> {
        if self.stopped.load(Ordering::Relaxed) { Err(Stopped) } else { Ok(()) }
    }

    /// Notes that the file's variables can't be read: each is as unknown as what a module yields that failed.
    pub(super) fn lose_variables(&self) {
        self.lost_variables.store(true, Ordering::Relaxed);
    }

    /// Whether the file's variables can't be read.
    pub(super) fn has_lost_variables(&self) -> bool {
        self.lost_variables.load(Ordering::Relaxed)
    }

    /// Whether something would have used them.
    pub(super) fn has_missed_variables(&self) -> bool {
        self.missed_variables.load(Ordering::Relaxed)
    }

    /// Notes that a module or a tag couldn't be rendered.
    pub(super) fn failed(&self) -> Result<(), Stopped> {
        let before = self.failures.fetch_add(1, Ordering::Relaxed);
        if before < MAX_FAILURES { Ok(()) } else { Err(self.stop()) }
    }

    /// The same, of something that failed in the same way before: one fault in a module that is called often is no reason
    /// to look for no others.
    pub(super) fn failed_again(&self) -> Result<(), Stopped> {
        let before = self.repeated.fetch_add(1, Ordering::Relaxed);
        if before < MAX_REPEATED { Ok(()) } else { Err(self.stop()) }
    }

    /// Notes that something couldn't be rendered; `found` is how many findings there were before.
    pub(super) fn failed_since(&self, found: usize) -> Result<(), Stopped> {
        // The first failure has to be counted: there may be no room for its finding.
        let is_new = self.found() > found || self.failures.load(Ordering::Relaxed) == 0;
        if is_new { self.failed() } else { self.failed_again() }
    }

    /// Notes that a call of a module failed; `found` is how many findings there were before.
    pub(super) fn call_failed(&self, module: &str, found: usize) {
        if self.found() == found {
            lock(&self.failing).entry(module.to_owned()).or_default().calls += 1;
        }
    }

    /// Whether so many calls of a module have failed in the same way that a further one isn't tried; counts it then.
    pub(super) fn gives_up(&self, module: &str) -> bool {
        let mut failing = lock(&self.failing);
        let Some(failing) = failing.get_mut(module).filter(|failing| failing.calls >= SAME_FAILURES) else {
            return false;
        };
        failing.untried += 1;
        true
    }

    /// Notes that a module couldn't be rendered that is called at a place.
    pub(super) fn note_failed_at(&self, frame: &Frame, site: &Origin, module: &str) {
        lock(&self.failed).insert((site.place(), frame.chain.clone(), module.into()));
    }

    /// Whether the frame's template is run after a run that failed, and this call failed in that.
    pub(super) fn has_failed_at(&self, frame: &Frame, site: &Origin, module: &str) -> bool {
        frame.again.load(Ordering::Relaxed)
            && lock(&self.failed).contains(&(site.place(), frame.chain.clone(), module.into()))
    }

    /// Notes that a template is run once more, to find out what else is wrong: nothing is said of limits then,
    /// which are for all runs together, and what failed is not tried again.
    pub(super) fn run_again(&self) {
        self.again.store(true, Ordering::Relaxed);
    }

    /// Whether a module or a tag couldn't be rendered, so that the document has a hole.
    pub(super) fn has_failed(&self) -> bool {
        self.failures.load(Ordering::Relaxed) > 0 || self.check().is_err()
    }

    /// Notes that a module is used, by a call in the application file, or by the modules that `chain` leads through.
    pub(super) fn uses(&self, callee: &Callee, chain: &[ChainLink], call: impl FnOnce() -> Place) {
        let mut uses = lock(&self.uses);
        // A call by the file itself says more than one that some module makes.
        let known = uses.modules.get(&callee.identity);
        if known.is_some_and(|known| !chain.is_empty() || known.through.is_empty()) {
            return;
        }
        if let Home::Library(opened) = &callee.found.home {
            uses.pins.add(&opened.pinned.pin);
        }
        let through = chain.iter().map(|link| link.module.clone()).collect();
        uses.modules.insert(callee.identity.clone(), callee.found.used_at(call(), through));
    }

    /// Notes that a file of the repository is read, or one of the module repository that `home` is.
    pub(super) fn reads(&self, path: &str, home: &Home) {
        let (repository, commit) = match home {
            Home::Library(opened) => {
                let pin = &opened.pinned.pin;
                (Some(pin.repository.clone()), Some(pin.commit.clone()))
            }
            Home::Repository | Home::BuiltIn => (None, None),
        };
        lock(&self.uses).files.insert(FileUse { repository, commit, path: path.to_owned() });
    }

    /// What was found, in the order of the files' lines, and what was used.
    pub(super) fn results(&self) -> (Vec<Diagnostic>, Uses) {
        let mut findings = std::mem::take(&mut *lock(&self.findings)).findings();
        let failing = std::mem::take(&mut *lock(&self.failing));
        for finding in &mut findings {
            let untried = finding.chain.last().and_then(|link| failing.get(&link.module)).map_or(0, |one| one.untried);
            finding.repeated.iter_mut().for_each(|repeated| repeated.untried = untried);
        }
        findings
            .sort_by_key(|finding| finding.place.as_ref().map(|place| (place.file.clone(), place.line, place.column)));
        (findings, std::mem::take(&mut *lock(&self.uses)))
    }
}

/// What a caller gave a module under one name.
#[derive(Debug, Clone)]
pub(super) struct Argument {
    /// The parameter's name.
    pub(super) name: Arc<str>,
    /// The value.
    pub(super) node: Arc<Node>,
    /// Where the caller wrote it.
    pub(super) origin: Origin,
}

/// One template's render: an application file's, or a call of a module.
#[derive(Debug)]
pub(super) struct Frame {
    /// The application file's render that this is part of.
    pub(super) work: Arc<Work>,
    /// The template.
    pub(super) template: Arc<Template>,
    /// The calls that lead here, outermost first.
    pub(super) chain: Arc<[ChainLink]>,
    /// Where the names of modules are looked up.
    pub(super) home: Home,
    /// What `vars` is.
    pub(super) variables: Variables,
    arguments: Vec<Argument>,
    /// Whether the template, or one that called it, is run once more after it failed.
    again: AtomicBool,
    /// What a [`super::witness`] has noted.
    pub(super) witnessed: Mutex<Option<Held>>,
}

impl Frame {
    /// The frame of an application file.
    pub(super) fn of_file(work: Arc<Work>, template: Arc<Template>, variables: Variables) -> Self {
        let (chain, again) = (Arc::new([]), AtomicBool::new(false));
        let (arguments, witnessed) = (Vec::new(), Mutex::default());
        Self { work, template, chain, home: Home::Repository, variables, arguments, again, witnessed }
    }

    /// The frame of a module that this frame calls at a position of its file.
    pub(super) fn of_call(
        &self,
        module: &Module,
        link: ChainLink,
        arguments: Vec<Argument>,
        position: Position,
    ) -> Self {
        Self {
            work: self.work.clone(),
            template: module.body.template.clone(),
            chain: self.chain.iter().cloned().chain([link]).collect(),
            home: module.home.clone(),
            variables: Variables::everywhere(self.variables.at(position).clone()),
            arguments,
            again: AtomicBool::new(self.again.load(Ordering::Relaxed)),
            witnessed: Mutex::default(),
        }
    }

    /// Notes that the template is run once more.
    pub(super) fn run_again(&self) {
        self.again.store(true, Ordering::Relaxed);
        self.work.run_again();
    }

    /// What the caller gave under a name.
    pub(super) fn argument(&self, name: &str) -> Option<&Argument> {
        self.arguments.iter().find(|argument| &*argument.name == name)
    }

    /// Reports a finding about this template, with the calls that lead here.
    pub(super) fn report(&self, finding: Diagnostic) {
        self.work.report(if finding.chain.is_empty() { finding.chain(self.chain.to_vec()) } else { finding });
    }

    /// Reports a limit that is reached, and ends the render of the file.
    pub(super) fn exhausted(&self, fault: &Fault, at: &Origin) -> Stopped {
        if self.work.check().is_ok() {
            self.report(fault.finding().at(at.place()));
        }
        self.work.stop()
    }

    /// The names that the template sees, for hints: with `vars.region` for what is below `vars`.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = ["repository", "branch", "vars"].map(str::to_owned).into();
        names.extend(self.template.assigned.iter().map(|name| name.to_string()));
        for (owner, node) in self
            .arguments
            .iter()
            .map(|argument| (&*argument.name, &argument.node))
            .chain([("vars", &self.variables.common)])
            .chain(self.variables.regions.iter().map(|region| ("vars", &region.vars)))
        {
            below(owner, node, MAX_STEPS, &mut names);
        }
        names
    }

    /// For a name below `vars` that the pipelines of some environments see and others don't: which environments.
    pub(super) fn of_environments(&self, name: &str) -> Vec<&str> {
        let mut steps = name.split('.');
        if steps.next() != Some("vars") {
            return Vec::new();
        }
        let has = |node: &Node| steps.clone().try_fold(node, |node, step| node.get(step)).is_some();
        let regions = self.variables.regions.iter().filter(|region| has(&region.vars));
        let mut found: Vec<&str> = regions.map(|region| &*region.environment).collect();
        found.sort_unstable();
        found.dedup();
        found
    }
}

impl Object for Frame {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        if let Some(argument) = self.argument(key) {
            return Some(to_value(&argument.node));
        }
        match key {
            "vars" if self.work.has_lost_variables() => {
                self.work.missed_variables.store(true, Ordering::Relaxed);
                Some(Value::from_object(Hole))
            }
            "vars" => Some(to_value(&self.variables.common)),
            "repository" => Some(Value::from(&self.work.session.repository)),
            "branch" => Some(Value::from(&self.work.session.branch)),
            FRAME => Some(Value::from_dyn_object(self.clone())),
            _ => {
                let region: usize = key.strip_prefix(VARS)?.parse().ok()?;
                self.variables.regions.get(region).map(|region| to_value(&region.vars))
            }
        }
    }
}
