//! The module repositories that a work tree's settings name, kept in the user's cache.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::clock::Clock;
use crate::git::{GitOptions, Remote};
use crate::gitops::{ProposedModules, Shelf, ShelfState};
use crate::model::ImpactDetail;
use crate::trigger::{ModuleFrom, ModuleOptions, ModuleSet, ModuleSpec, RepositorySet, Taken};

/// For how long a look at a remote counts for further commands; what they don't find is looked for all the same.
const FRESH: Duration = Duration::from_secs(60);
/// How long a command waits for module repositories; the first fetch of a large one takes its time.
const WAIT: Duration = Duration::from_secs(600);

/// How module repositories are had.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ModuleArgs {
    /// Use module repositories as they were fetched last, without the network
    #[arg(long)]
    pub offline: bool,
}

/// The module repositories of a work tree.
pub struct Modules {
    set: ModuleSet,
    specs: Vec<(ModuleSpec, PathBuf)>,
    offline: bool,
    taken: Taken,
    shelf: Shelf,
}

impl Modules {
    /// Those that settings name, with what the cache has of them; none if they name none.
    pub fn new(proposed: &[ProposedModules], root: &Path, args: &ModuleArgs) -> Option<Self> {
        if proposed.is_empty() {
            return None;
        }
        let cache = cache();
        let specs: Vec<_> = proposed.iter().map(|one| spec(one, root)).collect();
        let options = ModuleOptions { git: GitOptions::default(), wait: WAIT };
        let nothing = RepositorySet::new(Vec::new(), &cache, &options.git);
        let set = ModuleSet::new(specs.clone(), &nothing, &cache, Clock::system(), &options);
        let stamps = specs.into_iter().map(|spec| (spec.mirror(&cache).with_extension("looked"), spec));
        let specs: Vec<_> = stamps.map(|(stamp, spec)| (spec, stamp)).collect();
        let taken = take(&set, &specs, args.offline);
        let shelf = taken.shelf();
        Some(Self { set, specs, offline: args.offline, taken, shelf })
    }

    /// The folders of those that are on this machine: what is committed there counts at once.
    pub fn folders(&self) -> Vec<PathBuf> {
        self.specs.iter().filter_map(|(spec, _)| spec.folder_here()).collect()
    }

    /// What a render reads from.
    pub const fn shelf(&self) -> &Shelf {
        &self.shelf
    }

    /// Fetches what the last render would have needed; whether another one can find more.
    pub fn fetch_wanted(&mut self) -> bool {
        let wanted = self.shelf.wanted();
        if self.offline || wanted.is_empty() {
            return false;
        }
        for (spec, _) in self.specs.iter().filter(|(spec, _)| wanted.contains(&spec.name)) {
            eprintln!("looking at the module repository {} ({})", spec.name, spec.address);
        }
        let (set, taken) = (&self.set, &self.taken);
        let changed = wait(set.ask(&wanted, taken));
        for (spec, stamp) in self.specs.iter().filter(|(spec, _)| wanted.contains(&spec.name)) {
            match self.set.trouble(&spec.name) {
                // Only the next command's patience depends on it.
                None => drop(std::fs::write(stamp, b"")),
                Some(trouble) if self.knows(&spec.name) => {
                    eprintln!("{trouble}\nthe modules of {} are those that were fetched last", spec.name);
                }
                Some(_) => {}
            }
        }
        if changed {
            self.taken = take(&self.set, &self.specs, self.offline);
            self.shelf = self.taken.shelf();
        }
        changed
    }

    fn knows(&self, name: &str) -> bool {
        self.taken.mirrors.iter().any(|mirror| mirror.name == name && matches!(mirror.state, ShelfState::Known(_)))
    }
}

/// Where mirrors are kept: `longboat` in the user's cache folder.
fn cache() -> PathBuf {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    base.unwrap_or_else(std::env::temp_dir).join("longboat")
}

fn spec(proposed: &ProposedModules, root: &Path) -> ModuleSpec {
    let url = if proposed.url.contains("://") || proposed.url.split('/').next().is_some_and(|head| head.contains(':')) {
        proposed.url.clone()
    } else {
        root.join(&proposed.url).display().to_string()
    };
    ModuleSpec {
        name: proposed.name.clone(),
        address: proposed.url.clone(),
        folder: proposed.folder.clone(),
        reference: proposed.reference.clone(),
        from: ModuleFrom::Own { remote: Remote::open_to_all(url), poll: FRESH },
        tells: ImpactDetail::Counts,
    }
}

fn take(set: &ModuleSet, specs: &[(ModuleSpec, PathBuf)], offline: bool) -> Taken {
    let mut taken = wait(set.taken());
    for mirror in &mut taken.mirrors {
        let spec = specs.iter().find(|(spec, _)| spec.name == mirror.name);
        let is_local = spec.is_some_and(|(spec, _)| spec.is_local());
        let looked = spec.and_then(|(_, stamp)| std::fs::metadata(stamp).and_then(|meta| meta.modified()).ok());
        let lately = |at: SystemTime| SystemTime::now().duration_since(at).is_ok_and(|age| age < FRESH);
        mirror.fresh |= offline || (!is_local && looked.is_some_and(lately));
        if let (true, ShelfState::Unread(why)) = (offline, &mut mirror.state) {
            "it was never fetched; run the command once without --offline".clone_into(why);
        }
    }
    taken
}

/// Waits for work, whether or not the caller is a task itself.
fn wait<T: Send>(work: impl Future<Output = T> + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(work),
            Err(error) => panic!("the system has nothing left for a runtime: {error}"),
        });
        match thread.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
