//! What the render of one commit shares between its files: the modules, compiled once, the layers of variables, and
//! the way to the source.
//!
//! Files are rendered by threads with a large stack of their own, and the thread that asked for the render meanwhile
//! hands them the files they ask for: the source is only borrowed, and may not be used from several threads at once.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::fault::Fault;
use super::kept::Kept;
use super::lookup::{self, FOLDER, Found, Home, Name, Opened};
use super::module::Module;
use super::variables::Layers;
use crate::diagnostic::{Code, Diagnostic, Place};
use crate::gitops::{Library, LibraryError, Limits, Pinned, Request, Source, SourceError, SourceFile};

/// Locks, also after another thread panicked: what the locks here guard is never half written.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) type Loaded<T> = Result<Arc<T>, Arc<[Diagnostic]>>;
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
    /// The engine, and the modules that it has compiled.
    pub(super) kept: Arc<Kept>,
    /// The layers of variables.
    pub(super) layers: Layers,
    /// The names of the module repositories, sorted.
    pub(super) libraries: Vec<String>,
    client: Client,
    module_files: OnceLock<Result<Vec<String>, Fault>>,
    callees: Mutex<HashMap<usize, HashMap<String, Arc<Callee>>>>,
    modules: Mutex<HashMap<String, Loaded<Module>>>,
    opened: Mutex<HashMap<Asked, Result<Arc<Opened>, Fault>>>,
    files: Mutex<HashMap<TextKey, Result<Arc<str>, Fault>>>,
}

/// A module that files call, by one name.
pub(super) struct Callee {
    /// What the name means.
    pub(super) found: Found,
    /// What tells it apart among the modules that a file uses.
    pub(super) identity: String,
    module: OnceLock<Loaded<Module>>,
}

impl Callee {
    fn new(found: Found) -> Self {
        let identity = match &found.home {
            // One module may be named by two references that mean the same commit.
            Home::Library(opened) => format!("{} {}", found.name, opened.pinned.pin.commit),
            Home::Repository | Home::BuiltIn => found.name.clone(),
        };
        Self { found, identity, module: OnceLock::new() }
    }

    /// The module itself, read once.
    pub(super) fn module(&self, session: &Session) -> &Loaded<Module> {
        self.module.get_or_init(|| session.load_module(&self.found))
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Session").field("repository", &self.repository).field("branch", &self.branch).finish()
    }
}

impl Session {
    /// Nothing loaded yet but what was kept.
    pub(super) fn new(request: &Request<'_>, client: Client, kept: Arc<Kept>) -> Self {
        Self {
            repository: request.repository.to_string(),
            branch: request.branch.to_owned(),
            limits: request.limits.clone(),
            kept,
            layers: Layers::new(request.globals),
            libraries: request.library.map(Library::names).unwrap_or_default(),
            client,
            module_files: OnceLock::new(),
            callees: Mutex::default(),
            modules: Mutex::default(),
            opened: Mutex::default(),
            files: Mutex::default(),
        }
    }

    /// The bytes of a file of the commit.
    pub(super) fn read(&self, path: &str) -> Result<Option<Vec<u8>>, SourceError> {
        self.client.read(path)
    }

    /// The module that a file at `home` calls by a name, looked up once.
    pub(super) fn callee(&self, name: &str, home: &Home) -> Result<Arc<Callee>, Fault> {
        let at = home.address();
        if let Some(callee) = lock(&self.callees).get(&at).and_then(|callees| callees.get(name)) {
            return Ok(callee.clone());
        }
        let callee = Arc::new(Callee::new(self.find_module(name, home)?));
        let mut callees = lock(&self.callees);
        Ok(callees.entry(at).or_default().entry(name.to_owned()).or_insert(callee).clone())
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
        lock(&self.modules).entry(found.key.clone()).or_insert(loaded).clone()
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
        let body = self.kept.body(&found.file, bytes)?;
        Ok(Module { name: found.name.clone(), home: found.home.clone(), body })
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

/// The bytes of a file, if there is one.
type Bytes = Result<Option<Vec<u8>>, SourceError>;

/// What a renderer asks the thread that has the source.
enum Question {
    Read(String, SyncSender<Bytes>),
    List(String, SyncSender<Result<Vec<SourceFile>, SourceError>>),
    Open(Asked, SyncSender<Result<Arc<Pinned>, LibraryError>>),
    /// There is room for files that will be asked for.
    ReadAhead,
    /// A renderer is done; it says so even if it panics.
    Done,
}

/// The most files that are read before they are asked for, and the most bytes, short of the last file's.
const AHEAD: usize = 32;
const AHEAD_BYTES: usize = 4 * 1024 * 1024;

/// Files that were read and not asked for yet.
#[derive(Default)]
struct Ahead {
    files: HashMap<String, Bytes>,
    bytes: usize,
}

impl Ahead {
    fn take(&mut self, path: &str) -> Option<Bytes> {
        let read = self.files.remove(path)?;
        self.bytes -= size(&read);
        Some(read)
    }

    fn put(&mut self, path: &str, read: Bytes) {
        self.bytes += size(&read);
        if let Some(before) = self.files.insert(path.to_owned(), read) {
            self.bytes -= size(&before);
        }
    }

    fn has_room(&self) -> bool {
        self.files.len() < AHEAD && self.bytes < AHEAD_BYTES
    }
}

fn size(read: &Bytes) -> usize {
    read.as_ref().ok().and_then(Option::as_ref).map_or(0, Vec::len)
}

/// Asks for files.
#[derive(Clone)]
pub(super) struct Client(Sender<Question>, Arc<Mutex<Ahead>>);

impl Client {
    fn read(&self, path: &str) -> Bytes {
        let taken = {
            let mut ahead = lock(&self.1);
            ahead.take(path).map(|read| (read, ahead.files.len() == AHEAD / 2))
        };
        if let Some((read, is_low)) = taken {
            if is_low {
                // Whoever doesn't listen any more reads nothing ahead.
                let _ = self.0.send(Question::ReadAhead).is_ok();
            }
            return read;
        }
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
pub(super) struct Server(Receiver<Question>, Arc<Mutex<Ahead>>);

/// Both ends of the way to a source.
pub(super) fn connect() -> (Client, Server) {
    let (sender, receiver) = channel();
    let ahead: Arc<Mutex<Ahead>> = Arc::default();
    (Client(sender, ahead.clone()), Server(receiver, ahead))
}

impl Server {
    /// Answers until that many renderers are done. While nobody asks, the files of `order` are read in that order,
    /// from `next` on, which says how many of them were begun: a renderer that finds its file there needn't wait.
    pub(super) fn serve(
        &self,
        source: &dyn Source,
        library: Option<&dyn Library>,
        mut renderers: usize,
        (order, next): (&[&str], &AtomicUsize),
    ) {
        let mut read = 0;
        while renderers > 0 {
            read = next.load(Ordering::Relaxed).max(read);
            let wanted = order.get(read).filter(|_| lock(&self.1).has_room());
            let question = match (self.0.try_recv(), wanted) {
                (Err(TryRecvError::Empty), Some(path)) => {
                    let bytes = source.read(path);
                    lock(&self.1).put(path, bytes);
                    read += 1;
                    continue;
                }
                (Err(TryRecvError::Empty), None) => self.0.recv().ok(),
                (question, _) => question.ok(),
            };
            let Some(question) = question else { return };
            match question {
                Question::Read(path, reply) => {
                    // It may have been read after the renderer looked.
                    let ahead = lock(&self.1).take(&path);
                    // A renderer that doesn't wait for its answer is gone.
                    drop(reply.send(ahead.unwrap_or_else(|| source.read(&path))));
                }
                Question::ReadAhead => {}
                Question::List(dir, reply) => drop(reply.send(source.list(&dir))),
                Question::Open((repository, reference), reply) => {
                    let opened = match library {
                        Some(library) => library.open(&repository, reference.as_deref()),
                        None => Err(LibraryError::Unknown(repository)),
                    };
                    drop(reply.send(opened));
                }
                Question::Done => renderers -= 1,
            }
        }
    }
}
