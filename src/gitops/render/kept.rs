//! Modules as earlier renders read them.
//!
//! What the text of a module comes to depends on nothing but the text, the name that places give its file, and the
//! limits. So it is kept under exactly these, for all renders of the process: the many repositories that call the
//! modules of one, and the renders that follow each other, read each module once. Nothing is ever stale, because nothing
//! is asked for by less than all that it was made of.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use minijinja::Environment;

use super::engine;
use super::module::Body;
use super::session::lock;
use super::template::Template;
use crate::diagnostic::Diagnostic;
use crate::gitops::Limits;

/// The most that is kept, in bytes, as far as they are counted. When there is more, the next render begins anew.
const MOST: usize = 64 * 1024 * 1024;
/// About how many times the text of a module is what is made of it.
const WEIGHT: usize = 32;

/// What the last render used, for the next one.
static LAST: Mutex<Option<Arc<Kept>>> = Mutex::new(None);

/// Modules that were read, and the engine that has compiled them.
pub(super) struct Kept {
    limits: Limits,
    /// Compiles templates, and keeps those of modules.
    pub(super) environment: Environment<'static>,
    /// The templates of modules, for the environment to compile.
    templates: Arc<Mutex<HashMap<String, Arc<Template>>>>,
    bodies: Mutex<Bodies>,
    /// About how many bytes are kept.
    bytes: AtomicUsize,
    /// Whether anything is kept; if not, all is read each time that it is needed.
    remembers: bool,
}

/// The texts that a file has had, and what each came to.
type Texts = Vec<(Vec<u8>, Arc<Body>)>;

#[derive(Default)]
struct Bodies {
    /// By the name that places give the file.
    by_file: HashMap<String, Texts>,
    number: usize,
}

impl Kept {
    /// What earlier renders with the same limits have left, or nothing yet.
    pub(super) fn of(limits: &Limits) -> Arc<Self> {
        let mut last = lock(&LAST);
        if let Some(kept) = last.as_ref().filter(|kept| kept.limits == *limits && kept.has_room()) {
            return kept.clone();
        }
        let kept = Arc::new(Self::new(limits));
        *last = Some(kept.clone());
        kept
    }

    /// Nothing kept yet.
    pub(super) fn new(limits: &Limits) -> Self {
        let templates: Arc<Mutex<HashMap<String, Arc<Template>>>> = Arc::default();
        let mut environment = engine::environment(limits.fuel);
        let waiting = templates.clone();
        environment.set_loader(move |name| Ok(lock(&waiting).get(name).and_then(|template| template.marked.clone())));
        let (bodies, bytes) = (Mutex::default(), AtomicUsize::new(0));
        Self { limits: limits.clone(), environment, templates, bodies, bytes, remembers: true }
    }

    /// What a render comes to that nothing is kept for, to hold others against.
    #[cfg(test)]
    pub(super) fn forgetful(limits: &Limits) -> Self {
        Self { remembers: false, ..Self::new(limits) }
    }

    fn has_room(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) <= MOST
    }

    /// Whether what a template yields is to be read for the next time.
    pub(super) fn remembers(&self) -> bool {
        self.remembers && self.has_room()
    }

    /// Counts what is kept with a module.
    pub(super) fn grow(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The module whose file places call `file`, and which has these bytes.
    pub(super) fn body(&self, file: &str, bytes: Vec<u8>) -> Result<Arc<Body>, Vec<Diagnostic>> {
        if let Some(body) = lock(&self.bodies).find(file, &bytes).filter(|_| self.remembers) {
            return Ok(body);
        }
        let mut body = Body::read(file, bytes.clone(), &self.limits)?;
        let mut bodies = lock(&self.bodies);
        // Another renderer may have read it meanwhile.
        if let Some(body) = bodies.find(file, &bytes).filter(|_| self.remembers) {
            return Ok(body);
        }
        bodies.number += 1;
        body.compiled = format!("{} {file}", bodies.number);
        let body = Arc::new(body);
        if body.template.marked.is_some() {
            lock(&self.templates).insert(body.compiled.clone(), body.template.clone());
        }
        self.grow(bytes.len() * WEIGHT);
        bodies.by_file.entry(file.to_owned()).or_default().push((bytes, body.clone()));
        Ok(body)
    }

    /// A module's compiled template.
    pub(super) fn template(&self, body: &Body) -> Result<minijinja::Template<'_, '_>, minijinja::Error> {
        self.environment.get_template(&body.compiled)
    }
}

impl Bodies {
    fn find(&self, file: &str, bytes: &[u8]) -> Option<Arc<Body>> {
        let known = self.by_file.get(file)?;
        known.iter().find(|(known, _)| known == bytes).map(|(_, body)| body.clone())
    }
}
