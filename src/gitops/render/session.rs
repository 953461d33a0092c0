//! What the render of one commit shares between its files: the modules, compiled once, the layers of variables, and
//! the way to the source.
//!
//! Files are rendered by threads with a large stack of their own, and the thread that asked for the render meanwhile
//! hands them the files they ask for: the source is only borrowed, and may not be used from several threads at once.

use std::collections::HashMap;
use std::fmt;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use minijinja::Environment;

use super::engine;
use super::fault::Fault;
use super::module::{self, FOLDER, Found, Home, Module};
use super::variables::Layers;
use crate::diagnostic::{Code, Diagnostic, Place};
use crate::gitops::{Limits, Request, Source, SourceError, SourceFile};

/// Locks, also after another thread panicked: what the locks here guard is never half written.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

type Loaded<T> = Result<Arc<T>, Arc<[Diagnostic]>>;

/// The render of one commit.
pub(super) struct Session {
    /// Seen as `repository`.
    pub(super) repository: String,
    /// Seen as `branch`.
    pub(super) branch: String,
    /// What each file may use.
    pub(super) limits: Limits,
    /// Compiles templates, and keeps those of modules.
    pub(super) environment: Environment<'static>,
    /// The layers of variables.
    pub(super) layers: Layers,
    client: Client,
    /// The rewritten texts of modules, for the environment to compile.
    texts: Arc<Mutex<HashMap<String, String>>>,
    module_files: OnceLock<Result<Vec<String>, Fault>>,
    modules: Mutex<HashMap<String, Loaded<Module>>>,
    files: Mutex<HashMap<String, Result<Arc<str>, Fault>>>,
}

impl fmt::Debug for Session {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Session").field("repository", &self.repository).field("branch", &self.branch).finish()
    }
}

impl Session {
    /// Nothing loaded yet.
    pub(super) fn new(request: &Request<'_>, client: Client) -> Self {
        let texts: Arc<Mutex<HashMap<String, String>>> = Arc::default();
        let mut environment = engine::environment(request.limits.fuel);
        let waiting = texts.clone();
        environment.set_loader(move |name| Ok(lock(&waiting).get(name).cloned()));
        Self {
            repository: request.repository.to_string(),
            branch: request.branch.to_owned(),
            limits: request.limits.clone(),
            environment,
            layers: Layers::new(request.globals),
            client,
            texts,
            module_files: OnceLock::new(),
            modules: Mutex::default(),
            files: Mutex::default(),
        }
    }

    /// The bytes of a file of the commit.
    pub(super) fn read(&self, path: &str) -> Result<Option<Vec<u8>>, SourceError> {
        self.client.read(path)
    }

    /// Looks a module's name up.
    pub(super) fn find_module(&self, name: &str, home: Home) -> Result<Found, Fault> {
        let files = self.module_files.get_or_init(|| {
            let files = self.client.list(FOLDER).map_err(|error| {
                Fault::new(Code::UnreadablePath, format!("the modules of the repository can't be read: {error}"))
            })?;
            Ok(files.into_iter().map(|file| file.path).collect())
        });
        module::find(name, home, files.as_ref().map_err(Clone::clone)?)
    }

    /// A module, read and checked once.
    pub(super) fn load_module(&self, found: &Found) -> Loaded<Module> {
        if let Some(loaded) = lock(&self.modules).get(&found.file) {
            return loaded.clone();
        }
        let loaded = self.read_module(found).map(Arc::new).map_err(Arc::from);
        let mut modules = lock(&self.modules);
        if let Ok(module) = &loaded
            && !modules.contains_key(&found.file)
            && let Some(marked) = &module.template.marked
        {
            lock(&self.texts).insert(module.file.clone(), marked.clone());
        }
        modules.entry(found.file.clone()).or_insert(loaded).clone()
    }

    fn read_module(&self, found: &Found) -> Result<Module, Vec<Diagnostic>> {
        let unreadable = |message: String| {
            vec![Diagnostic::error(Code::UnreadablePath, message).at(Place::point(found.file.clone(), 1, 1))]
        };
        let bytes = match found.home {
            Home::BuiltIn => module::built_in_bytes(&found.name),
            Home::Repository => self.read(&found.file).map_err(|error| unreadable(error.to_string()))?,
        };
        let bytes = bytes.ok_or_else(|| unreadable(format!("`{}` is not there any more", found.file)))?;
        module::load(found, bytes, &self.limits)
    }

    /// A module's compiled template.
    pub(super) fn template(&self, name: &str) -> Result<minijinja::Template<'_, '_>, minijinja::Error> {
        self.environment.get_template(name)
    }

    /// The text of any file of the commit.
    pub(super) fn file_text(&self, path: &str) -> Result<Arc<str>, Fault> {
        if let Some(text) = lock(&self.files).get(path) {
            return text.clone();
        }
        let text = self.read_text(path);
        lock(&self.files).entry(path.to_owned()).or_insert(text).clone()
    }

    fn read_text(&self, path: &str) -> Result<Arc<str>, Fault> {
        let refuse = |message: String| Fault::new(Code::UnreadablePath, message);
        let bytes = self.read(path).map_err(|error| refuse(error.to_string()))?.ok_or_else(|| {
            refuse(format!("there is no file `{path}` in the commit"))
                .hint("paths start at the repository's root, not at the file that names them")
        })?;
        if bytes.len() > self.limits.file_bytes {
            let (size, max) = (bytes.len(), self.limits.file_bytes);
            return Err(Fault::new(Code::FileTooLarge, format!("`{path}` has {size} bytes; the limit is {max}")));
        }
        String::from_utf8(bytes)
            .map(Arc::from)
            .map_err(|_| Fault::new(Code::NotUtf8, format!("`{path}` is not UTF-8 text")))
    }
}

/// What a renderer asks the thread that has the source.
enum Question {
    Read(String, SyncSender<Result<Option<Vec<u8>>, SourceError>>),
    List(String, SyncSender<Result<Vec<SourceFile>, SourceError>>),
    /// A renderer is done; it says so even if it panics.
    Done,
}

/// Asks for files.
#[derive(Clone)]
pub(super) struct Client(Sender<Question>);

impl Client {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, SourceError> {
        let (reply, answer) = sync_channel(1);
        let sent = self.0.send(Question::Read(path.to_owned(), reply));
        sent.ok().and_then(|()| answer.recv().ok()).unwrap_or_else(|| Err(gone(path)))
    }

    fn list(&self, dir: &str) -> Result<Vec<SourceFile>, SourceError> {
        let (reply, answer) = sync_channel(1);
        let sent = self.0.send(Question::List(dir.to_owned(), reply));
        sent.ok().and_then(|()| answer.recv().ok()).unwrap_or_else(|| Err(gone(dir)))
    }

    /// A token for a renderer to hold while it works.
    pub(super) fn working(&self) -> Working {
        Working(self.clone())
    }
}

fn gone(path: &str) -> SourceError {
    SourceError::Unreadable { path: path.to_owned(), message: "the render was given up".to_owned() }
}

/// Tells the server, when it is dropped, that a renderer is done.
pub(super) struct Working(Client);

impl Drop for Working {
    fn drop(&mut self) {
        // If nobody listens any more, nobody waits either.
        let _ = self.0.0.send(Question::Done).is_ok();
    }
}

/// Answers the renderers of one render.
pub(super) struct Server(Receiver<Question>);

/// Both ends of the way to a source.
pub(super) fn connect() -> (Client, Server) {
    let (sender, receiver) = channel();
    (Client(sender), Server(receiver))
}

impl Server {
    /// Answers until that many renderers are done.
    pub(super) fn serve(&self, source: &dyn Source, mut renderers: usize) {
        while renderers > 0 {
            match self.0.recv() {
                // A renderer that doesn't wait for its answer is gone.
                Ok(Question::Read(path, reply)) => drop(reply.send(source.read(&path))),
                Ok(Question::List(dir, reply)) => drop(reply.send(source.list(&dir))),
                Ok(Question::Done) => renderers -= 1,
                Err(_) => return,
            }
        }
    }
}
