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
use super::lookup::{self, FOLDER, Found, Home, Name, Opened};
use super::module::{self, Module};
use super::variables::Layers;
use crate::diagnostic::{Code, Diagnostic, Place};
use crate::gitops::{Library, LibraryError, Limits, Pinned, Request, Source, SourceError, SourceFile};

/// Locks, also after another thread panicked: what the locks here guard is never half written.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

type Loaded<T> = Result<Arc<T>, Arc<[Diagnostic]>>;
/// A module repository and what stood behind the `@`.
type Asked = (String, Option<String>);
/// The path of a file, and the module repository and its commit if it isn't the repository that is rendered.
type TextKey = (Option<(String, String)>, String);

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
    /// The names of the module repositories, sorted.
    pub(super) libraries: Vec<String>,
    client: Client,
    /// The rewritten texts of modules, for the environment to compile.
    texts: Arc<Mutex<HashMap<String, String>>>,
    module_files: OnceLock<Result<Vec<String>, Fault>>,
    modules: Mutex<HashMap<String, Loaded<Module>>>,
    opened: Mutex<HashMap<Asked, Result<Arc<Opened>, Fault>>>,
    files: Mutex<HashMap<TextKey, Result<Arc<str>, Fault>>>,
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
            libraries: request.library.map(Library::names).unwrap_or_default(),
            client,
            texts,
            module_files: OnceLock::new(),
            modules: Mutex::default(),
            opened: Mutex::default(),
            files: Mutex::default(),
        }
    }

    /// The bytes of a file of the commit.
    pub(super) fn read(&self, path: &str) -> Result<Option<Vec<u8>>, SourceError> {
        self.client.read(path)
    }

    /// Looks a module's name up, as a file at `home` writes it.
    pub(super) fn find_module(&self, name: &str, home: &Home) -> Result<Found, Fault> {
        let name = Name::parse(name)?;
        if let Some(word) = name.standard() {
            return match name.reference {
                None => lookup::built_in(word),
                Some(_) => Err(Fault::new(Code::ModuleNotFound, "a built-in module has no revision to choose")
                    .hint(format!("write `{}`", name.path))),
            };
        }
        if matches!(home, Home::BuiltIn) {
            let message = format!("a built-in module can't call `{}`, only `std/...`", name.path);
            return Err(Fault::new(Code::ModuleNotFound, message));
        }
        if let Some((repository, path)) = name.in_library(&self.libraries) {
            return match home {
                // Its own name without a reference is the same commit: what belongs together stays together.
                Home::Library(own) if own.pinned.pin.repository == repository && name.reference.is_none() => {
                    lookup::in_opened(path, own)
                }
                Home::Repository if self.has_folder(repository)? => Err(taken(repository)),
                _ => lookup::in_opened(path, &self.open(repository, name.reference)?),
            };
        }
        match (name.reference, home) {
            (Some(_), _) => Err(lookup::unknown_repository(name.path, &self.libraries)),
            (None, Home::Library(opened)) => lookup::in_opened(name.path, opened),
            (None, _) => lookup::in_repository(name.path, self.module_files()?, &self.libraries),
        }
    }

    /// The files below the repository's own folder of modules, sorted.
    pub(super) fn module_files(&self) -> Result<&[String], Fault> {
        let files = self.module_files.get_or_init(|| {
            let files = self.client.list(FOLDER).map_err(|error| {
                Fault::new(Code::UnreadablePath, format!("the modules of the repository can't be read: {error}"))
            })?;
            Ok(files.into_iter().map(|file| file.path).collect())
        });
        files.as_deref().map_err(Clone::clone)
    }

    /// Whether the repository's own folder of modules has a folder of that name.
    fn has_folder(&self, name: &str) -> Result<bool, Fault> {
        let prefix = format!("{FOLDER}/{name}/");
        Ok(self.module_files()?.iter().any(|file| file.starts_with(&prefix)))
    }

    /// Opens a module repository, once for each reference.
    pub(super) fn open(&self, repository: &str, reference: Option<&str>) -> Result<Arc<Opened>, Fault> {
        let key = (repository.to_owned(), reference.map(str::to_owned));
        if let Some(opened) = lock(&self.opened).get(&key) {
            return opened.clone();
        }
        let opened = self.client.open(&key).map_err(|error| lookup::refusal(&error)).and_then(list);
        lock(&self.opened).entry(key).or_insert(opened).clone()
    }

    /// A module, read and checked once.
    pub(super) fn load_module(&self, found: &Found) -> Loaded<Module> {
        if let Some(loaded) = lock(&self.modules).get(&found.key) {
            return loaded.clone();
        }
        let loaded = self.read_module(found).map(Arc::new).map_err(Arc::from);
        let mut modules = lock(&self.modules);
        if let Ok(module) = &loaded
            && !modules.contains_key(&found.key)
            && let Some(marked) = &module.template.marked
        {
            lock(&self.texts).insert(module.key.clone(), marked.clone());
        }
        modules.entry(found.key.clone()).or_insert(loaded).clone()
    }

    fn read_module(&self, found: &Found) -> Result<Module, Vec<Diagnostic>> {
        let unreadable = |message: String| {
            vec![Diagnostic::error(Code::UnreadablePath, message).at(Place::point(found.file.clone(), 1, 1))]
        };
        let bytes = match &found.home {
            Home::BuiltIn => lookup::built_in_bytes(&found.name),
            Home::Repository => self.read(&found.path).map_err(|error| unreadable(error.to_string()))?,
            Home::Library(opened) => {
                opened.pinned.source.read(&found.path).map_err(|error| unreadable(error.to_string()))?
            }
        };
        let bytes = bytes.ok_or_else(|| unreadable(format!("`{}` is not there any more", found.file)))?;
        module::load(found, bytes, &self.limits)
    }

    /// A module's compiled template.
    pub(super) fn template(&self, name: &str) -> Result<minijinja::Template<'_, '_>, minijinja::Error> {
        self.environment.get_template(name)
    }

    /// The text of any file of the commit; of the module repository's commit, if a module of one asks for it.
    pub(super) fn file_text(&self, path: &str, home: &Home) -> Result<Arc<str>, Fault> {
        let opened = match home {
            Home::Library(opened) => Some(opened),
            Home::Repository | Home::BuiltIn => None,
        };
        let of = opened.map(|opened| (opened.pinned.pin.repository.clone(), opened.pinned.pin.commit.to_string()));
        let key = (of, path.to_owned());
        if let Some(text) = lock(&self.files).get(&key) {
            return text.clone();
        }
        let text = self.read_text(path, opened.map(|opened| &*opened.pinned));
        lock(&self.files).entry(key).or_insert(text).clone()
    }

    fn read_text(&self, path: &str, pinned: Option<&Pinned>) -> Result<Arc<str>, Fault> {
        let refuse = |message: String| Fault::new(Code::UnreadablePath, message);
        let bytes = match pinned {
            Some(pinned) => pinned.source.read(path),
            None => self.read(path),
        };
        let bytes = bytes.map_err(|error| refuse(error.to_string()))?.ok_or_else(|| {
            let fault = match pinned {
                Some(Pinned { pin, .. }) => {
                    refuse(format!("there is no file `{path}` in `{}` at {}", pin.repository, pin.commit.short()))
                }
                None => refuse(format!("there is no file `{path}` in the commit")),
            };
            fault.hint("paths start at the repository's root, not at the file that names them")
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

/// That a name is both a module repository's and a folder's.
pub(super) fn taken(repository: &str) -> Fault {
    let message = format!("`{FOLDER}/{repository}` has the name of the module repository `{repository}`");
    Fault::new(Code::ModuleNameTaken, message).hint("give the folder another name")
}

/// A module repository with the list of what can be a module in it.
fn list(pinned: Arc<Pinned>) -> Result<Arc<Opened>, Fault> {
    let prefix = if pinned.folder.is_empty() { String::new() } else { format!("{}/", pinned.folder) };
    let files = pinned.source.list(&pinned.folder).map_err(|error| {
        let message = format!("the modules of `{}` can't be read: {error}", pinned.pin.repository);
        Fault::new(Code::ModuleRepositoryUnread, message)
    })?;
    let files = files.into_iter().filter(|file| lookup::word(&file.path).is_some());
    let files = files.filter_map(|file| file.path.strip_prefix(&prefix).map(str::to_owned)).collect();
    Ok(Arc::new(Opened { pinned, files }))
}

/// What a renderer asks the thread that has the source.
enum Question {
    Read(String, SyncSender<Result<Option<Vec<u8>>, SourceError>>),
    List(String, SyncSender<Result<Vec<SourceFile>, SourceError>>),
    Open(Asked, SyncSender<Result<Arc<Pinned>, LibraryError>>),
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

    fn open(&self, asked: &Asked) -> Result<Arc<Pinned>, LibraryError> {
        let (reply, answer) = sync_channel(1);
        let sent = self.0.send(Question::Open(asked.clone(), reply));
        let gone =
            || Err(LibraryError::Unread { repository: asked.0.clone(), why: "the render was given up".to_owned() });
        sent.ok().and_then(|()| answer.recv().ok()).unwrap_or_else(gone)
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
    pub(super) fn serve(&self, source: &dyn Source, library: Option<&dyn Library>, mut renderers: usize) {
        while renderers > 0 {
            match self.0.recv() {
                // A renderer that doesn't wait for its answer is gone.
                Ok(Question::Read(path, reply)) => drop(reply.send(source.read(&path))),
                Ok(Question::List(dir, reply)) => drop(reply.send(source.list(&dir))),
                Ok(Question::Open((repository, reference), reply)) => {
                    let opened = match library {
                        Some(library) => library.open(&repository, reference.as_deref()),
                        None => Err(LibraryError::Unknown(repository)),
                    };
                    drop(reply.send(opened));
                }
                Ok(Question::Done) => renderers -= 1,
                Err(_) => return,
            }
        }
    }
}
