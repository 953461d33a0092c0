//! `longboat.yaml`: what the operator decides (FORMAT section 5).
//!
//! The text becomes a tree with places (`tree`), is held against the schema of the file (`shape`), is read
//! into the author's form (`file`), and from there into the types of this module, in which everything is
//! decided: defaults filled in, paths absolute, secrets fetched (`resolve`). All findings come at once.
//! Only the machine's own files and environment are read here; no host is contacted.

mod access;
mod applications;
mod file;
mod logs;
mod modules;
mod pages;
mod resolve;
mod secrets;
mod shape;
mod tree;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use indexmap::IndexMap;
use secrecy::SecretString;

pub use access::{Access, Holder, SESSION_COOKIE, SESSION_LENGTH};
pub use applications::{ApplicationRefusal, ApplicationRule, Applications};
pub use logs::{Bucket, Key, KeyFiles, LogStore};
pub use modules::{
    Dependents, MODULE_FOLDER, MODULE_REPOSITORY_RULE, ModuleRepository, ModuleSource, is_module_repository_name,
    module_folder,
};
pub use pages::Pages;
pub use secrets::{MIN_SECRET, Names, Secret, SecretAccess, SecretPlace, SecretRefusal, SecretRules, SecretUser};

use crate::diagnostic::{Code, Diagnostic, Place};
use crate::model::{RepositoryName, SecretName};
use crate::outbound::Allowed;

/// The whole configuration, checked, with every default filled in.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file it came from.
    pub path: PathBuf,
    /// How the server listens, and who may use it.
    pub server: Server,
    /// Where executions are kept.
    pub database: Database,
    /// The places that host repositories, by the operator's name for them.
    pub forges: IndexMap<String, Forge>,
    /// The repositories to follow, in the file's order; names are unique.
    pub repositories: Vec<Repository>,
    /// The repositories whose modules pipelines can use, in the file's order; names are unique.
    pub modules: Vec<ModuleRepository>,
    /// The variables that the files of all repositories see: the lowest layer of `vars`.
    pub vars: serde_json::Map<String, serde_json::Value>,
    /// What pipelines can use by name, without the values.
    pub secrets: IndexMap<SecretName, Secret>,
    /// The secrets of custom webhooks, by their sources.
    pub webhooks: IndexMap<String, SecretString>,
    /// The first part of every commit status context: `longboat`.
    pub status_prefix: String,
    /// Bounds on what others can make Longboat do.
    pub limits: Limits,
    /// How long what is known of executions is kept.
    pub retention: Retention,
    /// Where the logs of stages and what they save for later ones are kept.
    pub logs: LogStore,
    /// What stages may call beside the public internet.
    pub network: Vec<Allowed>,
    /// What goes to standard error.
    pub logging: Logging,
    /// What is not wrong, but should be said to the operator at the start.
    pub warnings: Vec<Diagnostic>,
}

/// How the server listens, and who may use it.
#[derive(Debug, Clone)]
pub struct Server {
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Scheme, host and path under which people reach the server, without a slash at the end.
    pub public_url: Option<String>,
    /// Tokens, any of which gives access to API and pages. If there are none, the server is on loopback.
    pub tokens: Vec<SecretString>,
    /// Who has each of them, in the same order.
    pub holders: Vec<Holder>,
    /// The absolute folder for mirrors, logs and workspaces.
    pub state_dir: PathBuf,
    /// What people call it among those that share a database; `None`: the machine's name.
    pub name: Option<String>,
    /// How long it lets running stages come to their end when it stops and others share its database.
    pub drain: Duration,
}

impl Server {
    /// How long a server that stops waits for running stages, if nobody says.
    pub const DRAIN: Duration = Duration::from_secs(20);
}

/// Where executions are kept.
#[derive(Debug, Clone)]
pub struct Database {
    /// `sqlite:` and an absolute path, or the address of a PostgreSQL database, without a password.
    pub url: String,
    /// The password for a server.
    pub password: Option<SecretString>,
    /// Whether every commit reaches the disk before it counts (`sync: full`).
    pub durable: bool,
    /// Whether other servers share it.
    pub replicas: bool,
}

/// What kind of place a forge is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ForgeKind {
    /// github.com or a GitHub Enterprise Server.
    GitHub,
    /// bitbucket.org.
    BitbucketCloud,
    /// A Bitbucket Data Center, or a Bitbucket Server as it was called before.
    BitbucketDataCenter,
}

impl ForgeKind {
    /// The word in `type:`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GitHub => "github",
            Self::BitbucketCloud => "bitbucket",
            Self::BitbucketDataCenter => "bitbucketDataCenter",
        }
    }

    /// For messages.
    pub const fn product(self) -> &'static str {
        match self {
            Self::GitHub => "GitHub",
            Self::BitbucketCloud => "Bitbucket Cloud",
            Self::BitbucketDataCenter => "Bitbucket Data Center",
        }
    }

    /// What the name of a repository looks like there.
    pub const fn repository_form(self) -> &'static str {
        match self {
            Self::GitHub => "owner/name",
            Self::BitbucketCloud => "workspace/repository",
            Self::BitbucketDataCenter => "PROJECT/repository, or ~user/repository",
        }
    }

    /// Whether it refuses a status without the address of a page.
    pub const fn status_needs_url(self) -> bool {
        matches!(self, Self::BitbucketCloud | Self::BitbucketDataCenter)
    }
}

/// A place that hosts repositories.
#[derive(Debug, Clone)]
pub struct Forge {
    /// What kind of place it is.
    pub kind: ForgeKind,
    /// Its address without a slash at the end: `https://github.com`.
    pub url: String,
    /// The address of its API without a slash at the end: `https://api.github.com`.
    pub api_url: String,
    /// Reads repositories and writes commit statuses; without it only public repositories are read.
    pub token: Option<SecretString>,
    /// Whose password the token is; none if it stands for itself.
    pub user: Option<String>,
    /// The secret of its webhooks; without it they are refused.
    pub webhook_secret: Option<SecretString>,
}

/// A repository to follow.
#[derive(Debug, Clone)]
pub struct Repository {
    /// `owner/name` for a repository of a forge.
    pub name: RepositoryName,
    /// The key in [`Config::forges`] of the forge that hosts it; none for a plain Git repository.
    pub forge: Option<String>,
    /// Where it is fetched from.
    pub location: Location,
    /// For the fetch. A forge's token is used only if the address has that forge's scheme, host and port.
    pub credentials: Option<Credentials>,
    /// The branches whose definitions count; empty means the default branch.
    pub branches: Vec<String>,
    /// The applications that it may define; none means any.
    pub applications: Option<Applications>,
    /// The pause between two looks for changes.
    pub poll: Duration,
}

/// Where a repository is fetched from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// An absolute path on this machine, which can be watched.
    Local(PathBuf),
    /// An address: `https://`, `http://` or `file://`, never with a user or password in it.
    Remote(String),
}

impl Location {
    /// Whether another address is certainly the same repository's: a URL but for a `.git` or a slash at its
    /// end, a path as it stands.
    pub fn is_same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Local(one), Self::Local(other)) => one == other,
            (Self::Remote(one), Self::Remote(other)) => {
                let plain = |url: &str| url.trim_end_matches('/').trim_end_matches(".git").to_owned();
                plain(one) == plain(other)
            }
            _ => false,
        }
    }

    /// What the `git` program takes.
    pub fn to_url(&self) -> String {
        match self {
            Self::Local(path) => path.display().to_string(),
            Self::Remote(url) => url.clone(),
        }
    }
}

/// User and password for Git over HTTP, or a token that stands for itself.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The user's name; none for a token that is sent as it is (`Bearer`).
    pub username: Option<String>,
    /// The password or token.
    pub password: SecretString,
}

/// Bounds on what others can make Longboat do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The largest webhook, in bytes.
    pub webhook_body: usize,
    /// How long one talk with a Git server may take.
    pub git_deadline: Duration,
    /// How many stages may do something at the same time.
    pub running_stages: usize,
    /// How many requests are worked on at the same time.
    pub requests: usize,
    /// How many bytes one stage may save for later ones.
    pub saved_bytes: u64,
    /// How many files one stage may save.
    pub saved_files: usize,
    /// How long saved files are kept after the end of their execution.
    pub saved_for: Duration,
    /// How many bytes of memory rendering the files of one pull request may take.
    pub review_memory: u64,
    /// How long it may compute.
    pub review_cpu: Duration,
    /// How long it may take by the clock on the wall.
    pub review_deadline: Duration,
    /// What share of a repository's pipelines one commit may remove without an approval, in percent.
    pub removal_share: u32,
    /// How many it may remove at least before it needs one.
    pub removal_from: u32,
    /// How long ago the latest missed moment of a time table may be that is made up for.
    pub cron_catch_up: Duration,
}

/// How long what is known of executions is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// How long the details of an execution are kept after its end.
    pub details: Duration,
    /// So many of the newest executions of a pipeline keep theirs, however old.
    pub newest: u32,
    /// No more executions of a pipeline than so many keep theirs, however young.
    pub most: u32,
}

impl Default for Retention {
    /// 30 days; 20 and 500 of each pipeline.
    fn default() -> Self {
        Self { details: Duration::from_secs(30 * 24 * 3600), newest: 20, most: 500 }
    }
}

/// What goes to standard error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logging {
    /// How an event is written.
    pub format: LogFormat,
    /// Which events are written, in the words of `tracing`'s filters.
    pub filter: String,
}

/// How an event is written to standard error; one line each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For collectors of logs.
    Json,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            webhook_body: 25 * 1024 * 1024,
            git_deadline: Duration::from_secs(300),
            running_stages: 16,
            requests: 256,
            saved_bytes: 256 * 1024 * 1024,
            saved_files: 10_000,
            saved_for: Duration::from_secs(24 * 3600),
            review_memory: 256 * 1024 * 1024,
            review_cpu: Duration::from_secs(20),
            review_deadline: Duration::from_secs(60),
            removal_share: 50,
            removal_from: 5,
            cron_catch_up: Duration::from_secs(3600),
        }
    }
}

impl Default for Logging {
    fn default() -> Self {
        Self { format: LogFormat::Text, filter: "info".to_owned() }
    }
}

impl Config {
    /// Reads a configuration file, and the environment variables and files that it names.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of the file; each finding names what to do.
    pub fn load(path: &Path) -> Result<Self, Vec<Diagnostic>> {
        let text = read(path)?;
        Self::parse(path, &text, |name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
    }

    /// Reads a configuration from its text; `environment` answers for the environment variables that it names.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(
        path: &Path,
        text: &str,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Vec<Diagnostic>> {
        let (tree, written, findings) = form(&path.display().to_string(), text)?;
        resolve::resolve(path, &tree, written, findings, &environment)
    }

    /// Reads nothing but the variables of a configuration file; secrets that it names need not be there.
    ///
    /// # Errors
    /// As [`Config::load`], as far as the form of the file goes.
    pub fn load_vars(path: &Path) -> Result<serde_json::Map<String, serde_json::Value>, Vec<Diagnostic>> {
        let text = read(path)?;
        let (_, written, findings) = form(&path.display().to_string(), &text)?;
        if findings.is_empty() { Ok(written.vars.0) } else { Err(findings) }
    }

    /// A configuration without any repository, as the demo starts from: loopback, SQLite in `state_dir`.
    pub fn local(state_dir: &Path, listen: SocketAddr) -> Self {
        Self {
            path: PathBuf::from("longboat.yaml"),
            server: Server {
                listen,
                public_url: None,
                tokens: Vec::new(),
                holders: Vec::new(),
                state_dir: state_dir.to_owned(),
                name: None,
                drain: Server::DRAIN,
            },
            database: Database { url: default_database(state_dir), password: None, durable: true, replicas: false },
            forges: IndexMap::new(),
            repositories: Vec::new(),
            modules: Vec::new(),
            vars: serde_json::Map::new(),
            secrets: IndexMap::new(),
            webhooks: IndexMap::new(),
            status_prefix: DEFAULT_PREFIX.to_owned(),
            limits: Limits::default(),
            retention: Retention::default(),
            logs: LogStore::Files,
            network: Vec::new(),
            logging: Logging::default(),
            warnings: Vec::new(),
        }
    }

    /// The repository of that name.
    pub fn repository(&self, name: &RepositoryName) -> Option<&Repository> {
        self.repositories.iter().find(|repository| repository.name == *name)
    }

    /// The repository that a path begins with, the one with the longest name of several, and what follows after its
    /// slash: names have slashes themselves.
    pub fn repository_at<'a>(&self, path: &'a str) -> Option<(&Repository, &'a str)> {
        let rest = |repository: &Repository| match path.strip_prefix(repository.name.as_str())? {
            "" => Some(""),
            rest => rest.strip_prefix('/').filter(|rest| !rest.is_empty()),
        };
        let found = self.repositories.iter().filter_map(|repository| Some((repository, rest(repository)?)));
        found.max_by_key(|(repository, _)| repository.name.as_str().len())
    }

    /// Every secret of the server's own: tokens, webhook secrets, passwords. None of them is for pipelines; they are
    /// kept out of logs.
    pub fn own_secrets(&self) -> Vec<SecretString> {
        let forges = self.forges.values().flat_map(|forge| [&forge.token, &forge.webhook_secret]).flatten();
        let credentials = self.repositories.iter().filter_map(|repository| repository.credentials.as_ref());
        let of_modules = self.modules.iter().filter_map(|modules| match &modules.source {
            ModuleSource::Own { credentials, .. } => credentials.as_ref(),
            ModuleSource::Followed(_) => None,
        });
        let passwords = credentials.chain(of_modules).map(|credentials| &credentials.password);
        let database = self.database.password.iter().chain(self.webhooks.values()).chain(self.logs.secrets());
        self.server.tokens.iter().chain(forges).chain(passwords).chain(database).cloned().collect()
    }

    /// Whether the server can be reached from other machines by itself.
    pub fn is_off_loopback(&self) -> bool {
        !self.server.listen.ip().is_loopback()
    }

    /// The JSON Schema of the file, for editors (`schema/config.json`).
    pub fn json_schema() -> serde_json::Value {
        file::schema()
    }
}

/// The text of a configuration file.
fn read(path: &Path) -> Result<String, Vec<Diagnostic>> {
    let shown = path.display().to_string();
    let text = std::fs::read(path).map_err(|error| {
        let message = format!("the configuration {shown} can't be read: {error}");
        vec![Diagnostic::error(Code::ConfigUnreadable, message).hint("give its path with --config FILE")]
    })?;
    String::from_utf8(text).map_err(|_| {
        vec![
            Diagnostic::error(Code::NotUtf8, format!("the configuration {shown} is not UTF-8 text"))
                .at(Place::point(&shown, 1, 1)),
        ]
    })
}

/// A configuration as its author wrote it, as far as it has the right form, and what hasn't.
fn form(shown: &str, text: &str) -> Result<(tree::Tree, file::File, Vec<Diagnostic>), Vec<Diagnostic>> {
    let tree = tree::Tree::parse(shown, text).map_err(|finding| vec![*finding])?;
    let (sound, findings) = shape::check(shown, &tree, &file::schema());
    let written = serde_json::from_value(sound)
        .map_err(|error| vec![Diagnostic::error(Code::WrongShape, format!("the configuration {shown}: {error}"))])?;
    Ok((tree, written, findings))
}

const DEFAULT_PREFIX: &str = "longboat";

fn default_database(state_dir: &Path) -> String {
    format!("sqlite:{}", state_dir.join("longboat.db").display())
}

#[cfg(test)]
mod tests;
